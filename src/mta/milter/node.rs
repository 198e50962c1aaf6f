//! The node on this machine: hands it mails, a few at a time, and sees whether it is there.

use super::refusal::Refusal;
use super::room::Share;
use crate::mta::submit::submit;
use crate::submit::Request;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

/// How long a client waits for the node. The MTA would wait for minutes, but its client may not.
const PATIENCE: Duration = Duration::from_secs(30);

/// A mail above this size is handed over with few others: it is held several times meanwhile.
const SMALL: usize = 64 << 10;

/// Such mails at once: the node reads no more of one user.
const BIG: usize = 2;

/// How often the node is looked for.
const LOOK: Duration = Duration::from_secs(15);

/// Whether the node is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// It takes connections.
    NodeUp,
    /// It doesn't: mail for the network waits with its clients.
    NodeDown,
}

/// The way to the node.
pub(super) struct Node {
    big: Arc<Semaphore>,
}

impl Node {
    pub(super) fn new() -> Self {
        Self { big: Arc::new(Semaphore::new(BIG)) }
    }

    /// Hands `request` over, and waits until the node has it on disk for every recipient. `share` is given back when it
    /// is out of memory.
    ///
    /// # Errors
    /// What to tell the client.
    pub(super) async fn take(&self, socket: &Path, request: Request, share: Share) -> Result<(), Refusal> {
        let (answer, answered) = oneshot::channel();
        let (socket, big) = (socket.to_owned(), Arc::clone(&self.big));
        let work = async move {
            // Never closed, so always had.
            let turn = if request.mail.len() > SMALL { big.acquire_owned().await.ok() } else { None };
            spawn_blocking(move || {
                // Nobody waits any more: then the last byte stays here, and the node has nothing.
                let outcome = submit(&socket, &request, || !answer.is_closed());
                drop((request, turn, share));
                // Who has gone has been told to try again.
                let _ = answer.send(outcome);
            });
            answered.await
        };
        match timeout(PATIENCE, work).await {
            Ok(Ok(Ok(outcomes))) => Refusal::among(&outcomes).map_or(Ok(()), Err),
            Ok(Ok(Err(error))) => Err(Refusal::no_answer(&error)),
            Ok(Err(_)) | Err(_) => Err(Refusal::LATE),
        }
    }
}

/// Looks for the node for ever, and tells when it comes and goes. Not when a mail finds it so: the log must not say when
/// there was one.
pub async fn watch(socket: impl Fn() -> PathBuf, tell: impl Fn(Event)) -> Infallible {
    let mut last = None;
    loop {
        let now = match timeout(LOOK, UnixStream::connect(socket())).await {
            Ok(Ok(_)) => Event::NodeUp,
            Ok(Err(_)) | Err(_) => Event::NodeDown,
        };
        if last != Some(now) {
            tell(now);
            last = Some(now);
        }
        sleep(LOOK).await;
    }
}
