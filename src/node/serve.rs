//! Texts for those who ask. The directory document for anybody, slowly: few at once, and all of them together no faster than one stream, so
//! that strangers who ask without end take neither places nor bandwidth from peers.

use super::session::{Cut, Sender};
use crate::link::document::{Head, PIECE_LEN, pieces};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWrite;
use tokio::sync::Mutex;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};

/// Answered at once; whoever else comes is turned away without a word, and can ask another node. Each takes some tens of
/// kilobytes.
pub const ASKERS: usize = 32;

/// One piece of a document leaves in this time, whoever it is for: 256 KiB a second for all together.
const PIECE_EVERY: Duration = Duration::from_millis(125);

/// How long a document may take beside the time its pieces take when all places are taken.
const LATENCY: Duration = Duration::from_secs(20);

/// A document as it is given out.
#[derive(Debug)]
pub struct Served {
    /// None of a text that can't go over a link; a document's can.
    head: Option<Head>,
    text: String,
}

impl Served {
    /// The document with this text and hash.
    #[must_use]
    pub fn new(text: String, hash: [u8; 32]) -> Self {
        Self { head: Head::new(text.len(), hash).ok(), text }
    }

    /// How long an asker may take: with every place taken, an honest one is done by then.
    fn limit(&self) -> Duration {
        let pieces = u32::try_from(self.text.len().div_ceil(PIECE_LEN)).unwrap_or(u32::MAX);
        let round = PIECE_EVERY.saturating_mul(u32::try_from(ASKERS).unwrap_or(u32::MAX));
        LATENCY.saturating_add(round.saturating_mul(pieces))
    }
}

/// Those who are being answered.
#[derive(Debug, Default)]
pub(super) struct Askers {
    tasks: JoinSet<()>,
    /// Gives each piece its moment, in the order in which they ask for one. None as long as nobody has asked.
    pace: Option<Arc<Mutex<Interval>>>,
}

impl Askers {
    /// Sends an asker the document, if there is a place.
    pub(super) fn answer<S: AsyncWrite + Send + 'static>(&mut self, to: Sender<S>, served: Arc<Served>) {
        if self.tasks.len() >= ASKERS {
            return;
        }
        let pace = Arc::clone(self.pace.get_or_insert_with(|| {
            let mut pace = interval(PIECE_EVERY);
            pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
            Arc::new(Mutex::new(pace))
        }));
        self.tasks.spawn(async move {
            // Slow or gone: there is nobody to tell.
            let _ = timeout(served.limit(), send(to, &served, Some(&pace))).await;
        });
    }

    /// Waits until one is done with; none if there are none.
    pub(super) async fn next(&mut self) -> Option<()> {
        self.tasks.join_next().await.map(drop)
    }
}

/// Authorities that are being shown what this one shows, each once at a time: who asks again has given up.
#[derive(Debug, Default)]
pub(super) struct Colleagues {
    tasks: JoinSet<()>,
    /// By link key.
    by_key: BTreeMap<[u8; 32], AbortHandle>,
}

impl Colleagues {
    /// Sends the holder of this link key what is shown to authorities.
    pub(super) fn answer<S: AsyncWrite + Send + 'static>(&mut self, key: [u8; 32], to: Sender<S>, served: Arc<Served>) {
        self.by_key.retain(|_, colleague| !colleague.is_finished());
        let answer = self.tasks.spawn(async move {
            // Slow or gone: there is nobody to tell.
            let _ = timeout(served.limit(), send(to, &served, None)).await;
        });
        if let Some(before) = self.by_key.insert(key, answer) {
            before.abort();
        }
    }

    /// Waits until one is done with; none if there are none.
    pub(super) async fn next(&mut self) -> Option<()> {
        self.tasks.join_next().await.map(drop)
    }
}

async fn send<S: AsyncWrite>(mut to: Sender<S>, served: &Served, pace: Option<&Mutex<Interval>>) -> Result<(), Cut> {
    to.head(served.head.as_ref().ok_or(Cut)?).await?;
    for piece in pieces(&served.text) {
        if let Some(pace) = pace {
            pace.lock().await.tick().await;
        }
        to.piece(piece).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::document::Opening;
    use crate::node::session::{self, Link};
    use crate::secret::Secret;
    use tokio::io::{DuplexStream, duplex};
    use tokio::time::{Instant, sleep};

    fn served(pieces: usize) -> Arc<Served> {
        Arc::new(Served::new("x".repeat(pieces * PIECE_LEN), [7; 32]))
    }

    /// An asker over a stream that holds less than a piece, when it has been handed over.
    async fn asker(askers: &mut Askers, served: &Arc<Served>) -> Link<DuplexStream> {
        let (near, far) = duplex(1000);
        let secret = |seed| Secret::filled(|bytes: &mut [u8; 32]| bytes.fill(seed));
        let theirs = x25519_dalek::PublicKey::from(&x25519_dalek::StaticSecret::from([2; 32])).to_bytes();
        let answer = async {
            askers.answer(session::respond(far, &secret(2)).await.unwrap().listens(), Arc::clone(served));
        };
        let ours = secret(1);
        tokio::join!(session::ask(near, &ours, &theirs, &Opening::Document), answer).0.unwrap().0
    }

    #[tokio::test(start_paused = true)]
    async fn all_together_get_one_piece_at_a_time_and_each_its_share() {
        let (mut askers, served, begin) = (Askers::default(), served(8), Instant::now());
        let mut links = Vec::new();
        for _ in 0..4 {
            links.push(asker(&mut askers, &served).await);
        }
        let mut reading = JoinSet::new();
        for mut link in links {
            reading.spawn(async move {
                for _ in 0..8 {
                    link.receiver.piece(PIECE_LEN).await.unwrap();
                }
                begin.elapsed()
            });
        }
        let took = reading.join_all().await;
        let (all, round) = (PIECE_EVERY * 31, PIECE_EVERY * 4);
        assert!(took.iter().all(|took| (all - round..=all + round).contains(took)), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_asker_that_reads_nothing_is_cut_off_when_any_honest_one_would_be_done() {
        let (mut askers, served, begin) = (Askers::default(), served(10), Instant::now());
        let _silent = asker(&mut askers, &served).await;
        askers.next().await.unwrap();
        assert_eq!(begin.elapsed(), LATENCY + PIECE_EVERY * 320);
    }

    #[tokio::test(start_paused = true)]
    async fn an_asker_that_goes_gives_its_place_up_at_once() {
        let (mut askers, served) = (Askers::default(), served(10));
        drop(asker(&mut askers, &served).await);
        askers.next().await.unwrap();
        assert_eq!(askers.tasks.len(), 0);
        // After a rest there is no rush.
        sleep(Duration::from_secs(60)).await;
        let (mut link, begin) = (asker(&mut askers, &served).await, Instant::now());
        for _ in 0..10 {
            link.receiver.piece(PIECE_LEN).await.unwrap();
        }
        assert!(begin.elapsed() >= PIECE_EVERY * 9);
    }
}
