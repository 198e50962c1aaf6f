//! The exit process: takes mail from the node, hands it to the local MTA, tells the node how that went. It keeps
//! nothing: what it has not answered, the node still owns and brings again. What a node brings again that has died before it
//! could note the answer is known here for as long as the process lives, so that it is handed over once.

use crate::config;
use crate::delivery::{Deliver, Disposition, Outcome};
use crate::engine::EXIT_WINDOW;
use crate::mta::hand_over::{Patience, hand_over};
use crate::mta::pipe::MAX_MAIL;
use crate::mta::smtp::Envelope;
use crate::wire::Malformed;
use crate::wire::PREFIX_LEN;
use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::time::Duration;
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::sleep;

/// The first and the longest pause before the node is looked for again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(15));

/// What the operator is told, each only when it changes. Says nothing of any mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The node took us.
    NodeUp,
    /// The node can't be reached.
    NodeDown,
    /// The local MTA takes connections, its program can be started, or the Maildir can be written.
    MtaUp,
    /// It doesn't, or it can't: mail waits in the node.
    MtaDown,
}

/// An exit process.
pub struct Exit<R> {
    target: config::Deliver,
    suffix: String,
    report: R,
    node: Option<bool>,
    mta: Option<bool>,
    /// Hashes of the last mails that the MTA has taken: as many as the node can't have noted yet.
    taken: VecDeque<[u8; 32]>,
}

/// Why a link to the node ended.
#[derive(Debug, Error)]
enum Ended {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

impl<R: FnMut(Event)> Exit<R> {
    /// An exit that hands mail to `target`, refuses what is addressed under `suffix` (it would go round again), and
    /// tells `report` what changes.
    pub const fn new(target: config::Deliver, suffix: String, report: R) -> Self {
        Self { target, suffix, report, node: None, mta: None, taken: VecDeque::new() }
    }

    /// Serves the node behind `socket` until `stop` is done; looks for it again, for ever, when it goes away. A
    /// hand-over that has begun is finished and answered first.
    pub async fn serve(&mut self, socket: &Path, stop: impl Future<Output = ()>) {
        let mut stop = std::pin::pin!(stop);
        let mut pause = PAUSES.0;
        loop {
            if let Ok(mut node) = UnixStream::connect(socket).await {
                self.node_is(true);
                loop {
                    let frame = tokio::select! {
                        () = &mut stop => return,
                        frame = read(&mut node) => frame,
                    };
                    let Ok(request) = frame else { break };
                    pause = PAUSES.0;
                    let disposition = self.hand_over(&request).await;
                    let answer = Outcome { id: request.id, disposition }.encode();
                    if node.write_all(&answer).await.is_err() {
                        break;
                    }
                }
            }
            self.node_is(false);
            tokio::select! {
                () = &mut stop => return,
                () = sleep(pause) => {}
            }
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    async fn hand_over(&mut self, request: &Deliver) -> Disposition {
        if request.recipient.is_within(&self.suffix) || request.recipient.is_routed() {
            return Disposition::Permanent;
        }
        let hash = hash(request);
        if self.taken.contains(&hash) {
            return Disposition::Delivered;
        }
        let envelope = Envelope { from: request.envelope_from.as_ref(), to: &request.recipient, mail: &request.mail };
        let handed = hand_over(&self.target, envelope, &Patience::default()).await;
        self.mta_is(handed.is_ok());
        if matches!(handed, Ok(Disposition::Delivered)) {
            self.taken.truncate(EXIT_WINDOW - 1);
            self.taken.push_front(hash);
        }
        handed.unwrap_or(Disposition::Temporary)
    }

    fn node_is(&mut self, up: bool) {
        if self.node.replace(up) != Some(up) {
            (self.report)(if up { Event::NodeUp } else { Event::NodeDown });
        }
    }

    fn mta_is(&mut self, up: bool) {
        if self.mta.replace(up) != Some(up) {
            (self.report)(if up { Event::MtaUp } else { Event::MtaDown });
        }
    }
}

/// Of all that makes a mail the same one: the node's number for it may be another's in another life, its content is not.
fn hash(request: &Deliver) -> [u8; 32] {
    let mut hash = blake3::Hasher::new();
    hash.update(&request.id.to_be_bytes()).update(request.recipient.to_string().as_bytes()).update(&[0]);
    hash.update(&request.mail).finalize().into()
}

async fn read(node: &mut UnixStream) -> Result<Deliver, Ended> {
    let mut prefix = [0; PREFIX_LEN];
    node.read_exact(&mut prefix).await?;
    let mut body = vec![0; Deliver::body_len(prefix, MAX_MAIL)?];
    node.read_exact(&mut body).await?;
    Ok(Deliver::decode(&body, MAX_MAIL)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::NodeAddress;
    use crate::mail::address::Address;
    use tokio::net::UnixListener;
    use tokio::sync::oneshot;

    fn deliver(id: u64, to: &str) -> Vec<u8> {
        let recipient = Address::parse(to).unwrap();
        Deliver { id, recipient, envelope_from: None, mail: b"Subject: x\r\n\r\nbody\r\n".to_vec() }.encode().unwrap()
    }

    async fn outcome(node: &mut UnixStream) -> Outcome {
        let mut prefix = [0; PREFIX_LEN];
        node.read_exact(&mut prefix).await.unwrap();
        let mut body = vec![0; Outcome::body_len(prefix).unwrap()];
        node.read_exact(&mut body).await.unwrap();
        Outcome::decode(&body).unwrap()
    }

    /// Runs an exit beside `node`, a test that plays the node; what the exit reported comes back.
    fn beside<F: Future<Output = ()>>(target: config::Deliver, node: impl FnOnce(UnixListener) -> F) -> Vec<Event> {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("exit.sock");
        let mut events = Vec::new();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let node = node(UnixListener::bind(&socket).unwrap());
            let mut exit = Exit::new(target, "fog".to_owned(), |event| events.push(event));
            let (stop, stopped) = oneshot::channel::<()>();
            let stopped = async move {
                let _ = stopped.await;
            };
            tokio::join!(exit.serve(&socket, stopped), async move {
                node.await;
                drop(stop);
            });
        });
        events
    }

    #[test]
    fn a_mail_into_a_maildir_is_answered_when_it_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let new = dir.path().join("new");
        let events = beside(config::Deliver::Maildir(dir.path().to_owned()), |listener| async move {
            let (mut node, _) = listener.accept().await.unwrap();
            node.write_all(&deliver(7, "alice@example.com")).await.unwrap();
            assert_eq!(outcome(&mut node).await, Outcome { id: 7, disposition: Disposition::Delivered });
            assert_eq!(std::fs::read_dir(&new).unwrap().count(), 1);
            node.write_all(&deliver(8, "alice@example.com.fog")).await.unwrap();
            assert_eq!(outcome(&mut node).await, Outcome { id: 8, disposition: Disposition::Permanent });
            assert_eq!(std::fs::read_dir(&new).unwrap().count(), 1);
        });
        assert_eq!(events, [Event::NodeUp, Event::MtaUp]);
    }

    #[test]
    fn a_node_that_died_before_it_noted_the_answer_gets_it_again_and_the_mta_no_second_copy() {
        let dir = tempfile::tempdir().unwrap();
        let new = dir.path().join("new");
        let _ = beside(config::Deliver::Maildir(dir.path().to_owned()), |listener| async move {
            // Mail 8 has the words of mail 7, and is another one.
            for (id, want) in [(7, 1), (7, 1), (8, 2), (7, 2)] {
                let (mut node, _) = listener.accept().await.unwrap();
                node.write_all(&deliver(id, "alice@example.com")).await.unwrap();
                assert_eq!(outcome(&mut node).await, Outcome { id, disposition: Disposition::Delivered });
                assert_eq!(std::fs::read_dir(&new).unwrap().count(), want, "after mail {id}");
            }
        });
    }

    #[test]
    fn a_node_that_comes_back_is_served_again() {
        let dir = tempfile::tempdir().unwrap();
        let events = beside(config::Deliver::Maildir(dir.path().to_owned()), |listener| async move {
            for rubbish in [&b""[..], &[0, 0], &[0xff; 9], &[0, 0, 0, 3, 9, 9, 9]] {
                let (mut node, _) = listener.accept().await.unwrap();
                node.write_all(rubbish).await.unwrap();
                drop(node);
            }
            let (mut node, _) = listener.accept().await.unwrap();
            node.write_all(&deliver(1, "alice@example.com")).await.unwrap();
            assert_eq!(outcome(&mut node).await, Outcome { id: 1, disposition: Disposition::Delivered });
        });
        assert_eq!(events.last(), Some(&Event::MtaUp));
    }

    #[test]
    fn without_an_mta_the_mail_stays_with_the_node() {
        // A port that was free a moment ago, and whose listener is gone.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let place = config::Place::Tcp(NodeAddress::parse(&format!("127.0.0.1:{port}")).unwrap());
        let target = config::Deliver::Smtp(place);
        let events = beside(target, |listener| async move {
            let (mut node, _) = listener.accept().await.unwrap();
            for id in 1..3 {
                node.write_all(&deliver(id, "alice@example.com")).await.unwrap();
                assert_eq!(outcome(&mut node).await, Outcome { id, disposition: Disposition::Temporary });
            }
        });
        assert_eq!(events, [Event::NodeUp, Event::MtaDown]);
    }
}
