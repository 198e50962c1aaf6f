//! Handing a mail to the node: one request on its socket, one reply.

use crate::submit::{Outcome, Reply, Request};
use crate::wire::Malformed;
use crate::wire::PREFIX_LEN;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;
use thiserror::Error;

/// How long the node may take over any one read or write.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why there is no answer. In none of these cases may the mail be taken for sent.
#[derive(Debug, Error)]
pub enum SubmitError {
    /// Nobody listens on the socket.
    #[error("the node isn't running")]
    NoNode(#[source] io::Error),
    /// The socket may not be used by this user.
    #[error("the node's socket may not be used")]
    Forbidden(#[source] io::Error),
    /// The node went away before it had answered. It may have the mail.
    #[error("the node did not answer")]
    NoAnswer(#[source] io::Error),
    /// What it answered means nothing; or the request is one that no node would read.
    #[error("the node's answer was not understood")]
    NotUnderstood(#[from] Malformed),
    /// `is_whole` said no. Nothing was sent.
    #[error("the mail was cut off")]
    CutOff,
}

impl SubmitError {
    /// The enhanced status code, as in `4.3.2`. Never a permanent one: the mail is as good as it was.
    #[must_use]
    pub const fn status(&self) -> &'static str {
        match self {
            Self::NoNode(_) => "4.3.2",
            Self::Forbidden(_) | Self::NotUnderstood(_) => "4.3.5",
            Self::NoAnswer(_) | Self::CutOff => "4.4.2",
        }
    }
}

/// Sends `request` to the node that listens on `socket`; an outcome for each recipient comes back.
///
/// The request's last byte is sent only after `is_whole` has said yes. Before that the node has less than a frame and
/// can commit nothing, so a mail that turns out to be cut off on its way to us is never accepted.
///
/// # Errors
/// See [`SubmitError`].
pub fn submit(socket: &Path, request: &Request, is_whole: impl FnOnce() -> bool) -> Result<Vec<Outcome>, SubmitError> {
    let frame = request.encode()?;
    let (last, most) = frame.split_last().ok_or(Malformed)?;
    let mut stream = connect(socket)?;
    let sent = stream.write_all(most);
    if !is_whole() {
        return Err(SubmitError::CutOff);
    }
    // A node that refuses early (too big, shutting down) answers and closes while we are still writing.
    let sent = sent.and_then(|()| stream.write_all(&[*last]));
    let reply = read_reply(&mut stream).map_err(|error| match sent {
        Err(sent) if matches!(error, SubmitError::NoAnswer(_)) => SubmitError::NoAnswer(sent),
        _ => error,
    })?;
    Ok(reply.for_each(request.recipients.len())?)
}

fn connect(socket: &Path) -> Result<UnixStream, SubmitError> {
    let stream = UnixStream::connect(socket).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => SubmitError::Forbidden(error),
        _ => SubmitError::NoNode(error),
    })?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(SubmitError::NoNode)?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(SubmitError::NoNode)?;
    Ok(stream)
}

fn read_reply(stream: &mut UnixStream) -> Result<Reply, SubmitError> {
    let mut prefix = [0; PREFIX_LEN];
    stream.read_exact(&mut prefix).map_err(SubmitError::NoAnswer)?;
    let mut body = vec![0; Reply::body_len(prefix)?];
    stream.read_exact(&mut body).map_err(SubmitError::NoAnswer)?;
    Ok(Reply::decode(&body)?)
}
