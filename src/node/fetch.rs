//! Asking another node for its directory document, or an authority for what it shows to others. What comes back is a text
//! that nobody has looked at yet.
//!
//! Who asks for the document is nobody: each time the link key is a fresh one and the circuit through Tor one of its own, and nothing is
//! said of the clock or of the document that is there already. So a node that is asked doesn't learn which node asks,
//! and can't choose whom to give an old document.

use super::dial::{NoLink, Road};
use super::session::{self, Cut};
use crate::directory::{MAX_DOCUMENT, Source};
use crate::id::NodeId;
use crate::link::document::{self, Head, Incoming, Opening};
use crate::secret::Secret;
use crate::sys::clock;
use crate::sys::tor_failure::TorFailure;
use rand_core::Rng;
use std::time::Duration;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

const _: () = assert!(document::MAX_DOCUMENT == MAX_DOCUMENT, "each document can go over a link");

/// Most nodes asked in a row.
pub const ASKED: usize = 5;

/// How long a document may take beside the time that its length takes.
const LATENCY: Duration = Duration::from_secs(120);

/// Bytes a second that a source must bring: slower than Tor ever is, and fast enough that one that drips can't hold us
/// up for hours.
const SLOWEST: u64 = 64 << 10;

/// Why a source gave no document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NoDocument {
    /// Tor gives no stream to it.
    #[error(transparent)]
    Tor(TorFailure),
    /// There is no stream to it.
    #[error("nothing answers at its address")]
    Unreachable,
    /// It closed, was silent, or couldn't prove its key.
    #[error("it gives no document: it has another link key, it is busy, or it is no node of this version")]
    Refused,
    /// What it announced is empty, longer than a document may be, or longer than what is wanted.
    #[error("what it gives can't be a document: it is empty or longer than 32 MiB")]
    Length,
    /// It ended, or sent what it didn't announce, before the document was whole.
    #[error("the document breaks off")]
    Broken,
    /// It took too long.
    #[error("it is too slow")]
    Late,
    /// The document is no text.
    #[error("what it gives is no text")]
    NoText,
}

impl From<NoLink> for NoDocument {
    fn from(why: NoLink) -> Self {
        match why {
            NoLink::Tor(why) => Self::Tor(why),
            NoLink::Unreachable | NoLink::Cut(Cut) => Self::Unreachable,
        }
    }
}

/// What is wanted of a source.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// The hash of the document that is here already; it isn't sent again.
    pub have: Option<[u8; 32]>,
    /// The longest text that is taken in.
    pub most: usize,
}

/// The document of `source`; none if it is the one that is here already.
///
/// # Errors
/// Why there is none.
pub async fn fetch(road: &Road, source: &Source, wanted: &Wanted) -> Result<Option<String>, NoDocument> {
    let nobody = NodeId(draw());
    let stream = road.open(&source.address, &nobody).await.map_err(NoDocument::from)?;
    let ours = Secret::filled(|bytes| *bytes = draw());
    ask(stream, &ours, &source.link_key, &Opening::Document, wanted).await
}

/// What the authority at the node `id`, which is at `source`, shows to others; `ours` is our link key, by which it knows
/// who asks. None if it is what is here already.
///
/// # Errors
/// Why there is none.
pub(super) async fn fetch_agreement(
    road: &Road,
    id: &NodeId,
    source: &Source,
    ours: &Secret<32>,
    wanted: &Wanted,
) -> Result<Option<String>, NoDocument> {
    let stream = road.open(&source.address, id).await.map_err(NoDocument::from)?;
    ask(stream, ours, &source.link_key, &Opening::Agreement, wanted).await
}

/// Whether `source` answers and proves its key. It is asked as by anybody who wants a document, and let go.
///
/// # Errors
/// What it doesn't do.
pub async fn knock(road: &Road, source: &Source) -> Result<(), NoDocument> {
    let nobody = NodeId(draw());
    let stream = road.open(&source.address, &nobody).await.map_err(NoDocument::from)?;
    let ours = Secret::filled(|bytes| *bytes = draw());
    session::ask(stream, &ours, &source.link_key, &Opening::Document).await.map(drop).map_err(|Cut| NoDocument::Refused)
}

fn draw() -> [u8; 32] {
    let mut bytes = [0; 32];
    clock::rng().fill_bytes(&mut bytes);
    bytes
}

async fn ask<S: AsyncRead + AsyncWrite>(
    stream: S,
    ours: &Secret<32>,
    theirs: &[u8; 32],
    what: &Opening,
    wanted: &Wanted,
) -> Result<Option<String>, NoDocument> {
    let (mut link, head) = session::ask(stream, ours, theirs, what).await.map_err(|Cut| NoDocument::Refused)?;
    let head = Head::decode(&head).map_err(|_| NoDocument::Length)?;
    if wanted.have.as_ref() == Some(head.hash()) {
        return Ok(None);
    }
    if head.length() > wanted.most {
        return Err(NoDocument::Length);
    }
    let mut incoming = Incoming::new(&head);
    let pieces = async {
        while let Some(length) = incoming.expects() {
            incoming.take(link.receiver.piece(length).await?)?;
        }
        Ok(())
    };
    timeout(limit(&head), pieces).await.map_err(|_| NoDocument::Late)?.map_err(|Cut| NoDocument::Broken)?;
    incoming.finish().map(Some).map_err(|_| NoDocument::NoText)
}

fn limit(head: &Head) -> Duration {
    LATENCY.saturating_add(Duration::from_secs(u64::try_from(head.length()).unwrap_or(u64::MAX) / SLOWEST))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::document::PIECE_LEN;
    use crate::node::session::{HANDSHAKE_LIMIT, Sender};
    use tokio::io::{AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::{Instant, sleep};

    const HASH: [u8; 32] = [7; 32];

    fn head(length: usize) -> Head {
        Head::new(length, HASH).unwrap()
    }

    /// What an honest fetcher makes of a source that answers like this, and how long it takes.
    async fn fetched<F: Future<Output = ()>>(
        source: impl FnOnce(Sender<DuplexStream>) -> F,
        have: Option<[u8; 32]>,
    ) -> (Result<Option<String>, NoDocument>, Duration) {
        let (near, far) = duplex(1000);
        let secret = |seed| Secret::filled(|bytes: &mut [u8; 32]| bytes.fill(seed));
        let theirs = x25519_dalek::PublicKey::from(&x25519_dalek::StaticSecret::from([2; 32])).to_bytes();
        let begin = Instant::now();
        let answer = async { source(session::respond(far, &secret(2)).await.unwrap().listens()).await };
        let ours = secret(1);
        let wanted = Wanted { have, most: MAX_DOCUMENT };
        let asked = async { (ask(near, &ours, &theirs, &Opening::Document, &wanted).await, begin.elapsed()) };
        tokio::select! {
            fetched = asked => fetched,
            // Who has said all closes.
            () = async { answer.await; std::future::pending().await } => unreachable!(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_document_comes_piece_by_piece_unless_it_is_here_already() {
        let text = "line\n".repeat(PIECE_LEN);
        let answer = async |mut to: Sender<_>| {
            let _ = to.head(&head(5 * PIECE_LEN)).await;
            for piece in document::pieces(&"line\n".repeat(PIECE_LEN)) {
                let _ = to.piece(piece).await;
            }
        };
        assert_eq!(fetched(answer, None).await.0, Ok(Some(text.clone())));
        assert_eq!(fetched(answer, Some([8; 32])).await.0, Ok(Some(text)));
        assert_eq!(fetched(answer, Some(HASH)).await.0, Ok(None));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_too_long_or_empty_is_not_begun() {
        for length in [0, u32::try_from(MAX_DOCUMENT).unwrap() + 1, u32::MAX] {
            let head = [&length.to_be_bytes()[..], &HASH].concat();
            let answer = async |mut to: Sender<_>| to.piece(&head).await.unwrap();
            assert_eq!(fetched(answer, None).await.0, Err(NoDocument::Length), "{length}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_ends_early_or_is_not_what_was_announced_breaks_off() {
        for pieces in [vec![], vec![PIECE_LEN], vec![PIECE_LEN, 8], vec![PIECE_LEN, 10], vec![9], vec![PIECE_LEN + 1]] {
            let answer = async |mut to: Sender<_>| {
                let _ = to.head(&head(PIECE_LEN + 9)).await;
                for length in &pieces {
                    let _ = to.piece(&vec![b'x'; *length]).await;
                }
            };
            assert_eq!(fetched(answer, None).await.0, Err(NoDocument::Broken), "{pieces:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn of_what_never_ends_no_more_is_read_than_was_announced() {
        let answer = async |mut to: Sender<_>| {
            let _ = to.head(&head(PIECE_LEN)).await;
            while to.piece(&[b'x'; PIECE_LEN]).await.is_ok() {}
        };
        assert_eq!(fetched(answer, None).await.0, Ok(Some("x".repeat(PIECE_LEN))));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_no_text_is_none() {
        let answer = async |mut to: Sender<_>| {
            let _ = to.head(&head(9)).await;
            let _ = to.piece(&[0xff; 9]).await;
        };
        assert_eq!(fetched(answer, None).await.0, Err(NoDocument::NoText));
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_is_silent_or_drips_is_given_up() {
        let silent = async |to: Sender<_>| {
            sleep(HANDSHAKE_LIMIT * 2).await;
            drop(to);
        };
        assert_eq!(fetched(silent, None).await, (Err(NoDocument::Refused), HANDSHAKE_LIMIT));
        let drips = async |mut to: Sender<_>| {
            let _ = to.head(&head(MAX_DOCUMENT)).await;
            while to.piece(&[b'x'; PIECE_LEN]).await.is_ok() {
                sleep(Duration::from_secs(10)).await;
            }
        };
        let (late, took) = fetched(drips, None).await;
        assert_eq!((late, took), (Err(NoDocument::Late), Duration::from_secs(120 + 512)));
    }

    #[tokio::test]
    async fn what_proves_no_key_gives_no_document() {
        let (near, mut far) = duplex(1000);
        far.write_all(&[0, 48]).await.unwrap();
        far.write_all(&[9; 48]).await.unwrap();
        let ours = Secret::filled(|bytes| bytes.fill(1));
        let wanted = Wanted { have: None, most: MAX_DOCUMENT };
        assert_eq!(ask(near, &ours, &[9; 32], &Opening::Document, &wanted).await, Err(NoDocument::Refused));
    }
}
