//! Our own small SMTP and LMTP client, for one thing: handing one mail for one recipient to the local MTA.
//!
//! What to say to which reply is in `dialogue`; [`deliver`] moves its bytes, with a time limit on every step. Whatever
//! the peer does ends in a `Disposition`.

use crate::delivery::Disposition;
use crate::mta::dialogue::{Dialogue, Step};
use crate::mta::reply::{BadReply, Replies, Reply};
use std::io;
use std::time::Duration;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::time::timeout;

pub use crate::mta::dialogue::{Envelope, Hello, Protocol};

/// Written at once; each piece has the time limit `block`.
const BLOCK: usize = 65_536;

/// How long to wait for the peer, by step. RFC 5321, 4.5.3.2 has the defaults.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// For the greeting and the answer to any command.
    pub command: Duration,
    /// For the peer to take one block of the mail.
    pub block: Duration,
    /// For the answer to the final dot. Giving up early here makes duplicates.
    pub end: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { command: Duration::from_mins(5), block: Duration::from_mins(3), end: Duration::from_mins(10) }
    }
}

/// The mail holds a carriage return, a line feed or a NUL where none may be. Sent as it is, it could end early at one
/// MTA or another, and what follows would be a second mail of somebody's choice.
#[derive(Debug, Error, PartialEq, Eq, Clone, Copy)]
#[error("a bare CR, a bare LF or a NUL in the mail")]
pub struct BareLineEnd;

/// Hands `envelope` over on `stream`, introducing ourselves as `hello` says.
///
/// Nothing is written before the mail has been found free of bare CR, LF and NUL (else `Permanent`). A connection lost
/// after the final dot is `Temporary`: the MTA may have the mail, but a second copy is better than none.
pub async fn deliver<S>(mut stream: S, hello: Hello<'_>, envelope: Envelope<'_>, limits: &Limits) -> Disposition
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Ok(text) = stuff(envelope.mail) else { return Disposition::Permanent };
    let (reader, mut writer) = split(&mut stream);
    let mut dialogue = Dialogue::new(hello, envelope);
    let outcome = converse(Listener::new(reader), &mut writer, &mut dialogue, &text, limits).await;
    // Politeness only: whether the peer hears it changes nothing. After a break it might be taken for mail text.
    if outcome.is_ok() {
        let _ = timeout(limits.command, writer.write_all(b"QUIT\r\n")).await;
        let _ = timeout(limits.command, writer.shutdown()).await;
    }
    outcome.unwrap_or(Disposition::Temporary)
}

/// Why a conversation broke off. All of these are the peer's or the connection's fault, so: later.
#[derive(Debug, Error)]
enum Broken {
    #[error("connection lost")]
    Io(#[from] io::Error),
    #[error("silence")]
    Silence(#[from] tokio::time::error::Elapsed),
    #[error(transparent)]
    Reply(#[from] BadReply),
    #[error("spoke out of turn")]
    OutOfTurn,
}

async fn converse(
    mut peer: Listener<impl AsyncRead + Unpin>,
    writer: &mut (impl AsyncWrite + Unpin),
    dialogue: &mut Dialogue<'_>,
    text: &[u8],
    l: &Limits,
) -> Result<Disposition, Broken> {
    loop {
        let patience = if dialogue.awaits_verdict() { l.end } else { l.command };
        let reply = timeout(patience, peer.reply()).await??;
        let step = dialogue.step(&reply);
        if let Step::Done(disposition) = step {
            return Ok(disposition);
        }
        if !peer.replies.is_idle() {
            return Err(Broken::OutOfTurn);
        }
        match &step {
            Step::Say(line) => timeout(l.command, writer.write_all(line.as_bytes())).await??,
            Step::SendText => {
                for block in text.chunks(BLOCK) {
                    // Looked at first: an answer that is there before the final dot is no answer to it.
                    tokio::select! {
                        biased;
                        early = peer.hear() => return Err(early.err().unwrap_or(Broken::OutOfTurn)),
                        sent = timeout(l.block, writer.write_all(block)) => sent??,
                    }
                }
            }
            Step::Done(_) => {}
        }
        timeout(l.block, writer.flush()).await??;
    }
}

/// The peer's side of the stream.
struct Listener<R> {
    reader: R,
    replies: Replies,
}

impl<R: AsyncRead + Unpin> Listener<R> {
    fn new(reader: R) -> Self {
        Self { reader, replies: Replies::default() }
    }

    async fn reply(&mut self) -> Result<Reply, Broken> {
        loop {
            if let Some(reply) = self.replies.reply()? {
                return Ok(reply);
            }
            self.hear().await?;
        }
    }

    /// Waits until the peer has said something, and takes it in. Dropped halfway, nothing is lost.
    async fn hear(&mut self) -> Result<(), Broken> {
        let mut bytes = [0; 1024];
        let n = self.reader.read(&mut bytes).await?;
        if n == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        self.replies.feed(bytes.get(..n).unwrap_or_default());
        Ok(())
    }
}

/// Whether every line of the mail ends with CRLF, and no CR, LF or NUL stands elsewhere.
///
/// # Errors
/// `BareLineEnd`; nothing of such a mail may be sent.
pub fn check(mail: &[u8]) -> Result<(), BareLineEnd> {
    let text = |line: &[u8]| line.strip_suffix(b"\r\n").unwrap_or(line).iter().all(|b| !matches!(b, b'\r' | b'\n' | 0));
    if mail.split_inclusive(|&b| b == b'\n').all(text) { Ok(()) } else { Err(BareLineEnd) }
}

/// The mail as it goes over the wire: every line that starts with a dot gets another, and the final dot line.
///
/// # Errors
/// `BareLineEnd`; nothing of such a mail may be sent.
pub fn stuff(mail: &[u8]) -> Result<Vec<u8>, BareLineEnd> {
    check(mail)?;
    let mut wire = Vec::with_capacity(mail.len() + mail.len() / 64 + 5);
    for line in mail.split_inclusive(|&b| b == b'\n') {
        if line.first() == Some(&b'.') {
            wire.push(b'.');
        }
        wire.extend_from_slice(line);
    }
    if !mail.is_empty() && !mail.ends_with(b"\n") {
        wire.extend_from_slice(b"\r\n");
    }
    wire.extend_from_slice(b".\r\n");
    Ok(wire)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_with_a_dot_are_stuffed_and_the_end_is_marked() {
        for (mail, want) in [
            (&b""[..], &b".\r\n"[..]),
            (b"a\r\n", b"a\r\n.\r\n"),
            (b"a", b"a\r\n.\r\n"),
            (b".", b"..\r\n.\r\n"),
            (b".\r\n", b"..\r\n.\r\n"),
            (b"..\r\n", b"...\r\n.\r\n"),
            (b"\r\n.\r\n", b"\r\n..\r\n.\r\n"),
            (b"a\r\n.b\r\n\r\n", b"a\r\n..b\r\n\r\n.\r\n"),
            (b"a.\r\nb.c\r\n", b"a.\r\nb.c\r\n.\r\n"),
        ] {
            assert_eq!(stuff(mail).as_deref(), Ok(want), "{}", mail.escape_ascii());
        }
    }

    #[test]
    fn a_bare_line_end_or_nul_is_refused() {
        for mail in [
            &b"a\n"[..],
            b"\n",
            b"a\r",
            b"a\rb\r\n",
            b"a\r\r\n",
            b"a\n\r\n",
            b"a\r\n\n",
            b"\r\n\r",
            b"a\0b\r\n",
            b"\r\r\n.\r\n",
            b"\n.\n",
            b"\r.\r",
            b"\n.\r\n",
            b"\r\n.\r",
            b"\r\n.\n",
        ] {
            assert_eq!(stuff(mail), Err(BareLineEnd), "{}", mail.escape_ascii());
        }
    }
}
