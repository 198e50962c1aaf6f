//! When the node asks others for a newer directory document, and whom.
//!
//! From the end of a document's own epoch on, until there is a newer one, it asks at moments that are as likely at any
//! time, whatever happened before: who watches it learns neither when it was started nor what it got the last time.

use super::dial::Road;
use super::fetch::{ASKED, Wanted, fetch};
use crate::directory::{Document, MAX_DOCUMENT, Source, VALID_EPOCHS};
use crate::id::{Epoch, NodeId};
use crate::mix::random::{exponential, shuffle};
use crate::sys::clock;
use crate::sys::log::{self, Program, log};
use crate::time::Time;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::sleep;

/// So often in an epoch, on the average, it asks.
const OFTEN: u32 = 12;

/// So often when the document is in its last epoch, or expired.
const VERY_OFTEN: u32 = 48;

/// By how much, and by how many bytes then, a newer document may be longer than the one in use: what it takes up while it
/// is read is many times its length, and any node can make us read one.
const GROWTH: (usize, usize) = (4, 1 << 20);

/// The longest sleep until a time of day: the clock may be set, or the machine may have slept.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// What there is to be renewed, and who may have it.
#[derive(Debug, Clone)]
pub(super) struct Aim {
    /// Of the document in use.
    epoch: Epoch,
    epoch_length: Duration,
    pub(super) wanted: Wanted,
    sources: Vec<Source>,
}

impl Aim {
    /// The successor of `document`, to be had at `sources`; without any, at every other node of the document.
    pub(super) fn new(document: &Document, me: &NodeId, sources: &[Source]) -> Self {
        let others = || document.nodes().filter(|(id, _)| *id != me).map(|(_, node)| Source::of(node)).collect();
        Self {
            epoch: document.epoch(),
            epoch_length: document.params().epoch,
            wanted: Wanted { have: Some(*document.hash()), most: growth(document.to_text().len()) },
            sources: if sources.is_empty() { others() } else { sources.to_vec() },
        }
    }

    /// How long an epoch is.
    pub(super) const fn epoch_length(&self) -> Duration {
        self.epoch_length
    }

    /// Whether no newer document than the one in use can be good at `now`.
    pub(super) fn is_of_the_running_epoch(&self, now: Time) -> bool {
        now < self.after(1)
    }

    /// When the epoch begins that comes so many after the document's.
    fn after(&self, epochs: u64) -> Time {
        Time::epoch_start(self.epoch.plus(epochs), self.epoch_length)
    }

    /// The mean time between two tries, at `now`; none as long as there can't be a newer document.
    fn mean(&self, now: Time) -> Option<Duration> {
        if now < self.after(1) {
            None
        } else if self.is_stale(now) {
            Some(self.epoch_length / VERY_OFTEN)
        } else {
            Some(self.epoch_length / OFTEN)
        }
    }

    /// Whether the document is in the last of its epochs, or over.
    fn is_stale(&self, now: Time) -> bool {
        now >= self.after(VALID_EPOCHS - 1)
    }
}

fn growth(length: usize) -> usize {
    let (times, more) = GROWTH;
    length.saturating_mul(times).saturating_add(more).min(MAX_DOCUMENT)
}

/// A text that another node gave out, and where to say whether it was taken.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) text: String,
    pub(super) taken: oneshot::Sender<bool>,
}

/// Asks for newer documents for as long as somebody takes them.
pub(super) async fn renew(mut aims: watch::Receiver<Aim>, road: Arc<Road>, fetched: mpsc::Sender<Fetched>) {
    let mut told = None;
    loop {
        let aim = aims.borrow_and_update().clone();
        tokio::select! {
            () = due(&aim) => {}
            changed = aims.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
        }
        let (now, running) = (clock::now(), clock::now().epoch(aim.epoch_length));
        // Once an epoch, whatever others do.
        if !ask_around(&aim, &road, &fetched).await && aim.is_stale(now) && told.replace(running) != Some(running) {
            log(Program::Node, log::Event::DirectoryStale { epoch: aim.epoch });
        }
    }
}

/// Waits for the next moment to ask.
async fn due(aim: &Aim) {
    loop {
        let now = clock::now();
        if let Some(mean) = aim.mean(now) {
            let pause = mean.mul_f64(exponential(&mut clock::rng()));
            return sleep(pause).await;
        }
        sleep(aim.after(1).since(now).min(LONGEST_SLEEP)).await;
    }
}

/// Asks a few of those who may have it, one after the other; gives whether what one had was taken.
async fn ask_around(aim: &Aim, road: &Road, fetched: &mpsc::Sender<Fetched>) -> bool {
    let mut sources: Vec<_> = aim.sources.iter().collect();
    shuffle(&mut sources, &mut clock::rng());
    for source in sources.into_iter().take(ASKED) {
        // Why there is none is nobody's business but the links', which go to the same nodes.
        let Ok(Some(text)) = fetch(road, source, &aim.wanted).await else { continue };
        let (taken, answer) = oneshot::channel();
        let _ = fetched.send(Fetched { text, taken }).await;
        if answer.await == Ok(true) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_asks_from_the_end_of_the_documents_epoch_and_more_often_when_it_is_stale() {
        let length = Duration::from_secs(86_400);
        let aim = Aim {
            epoch: Epoch(100),
            epoch_length: length,
            wanted: Wanted { have: None, most: 0 },
            sources: Vec::new(),
        };
        let after = |epochs: u64, hours: u64| {
            Time::epoch_start(Epoch(100 + epochs), length).plus(Duration::from_secs(hours * 3600))
        };
        for (now, mean, stale) in [
            (after(0, 0), None, false),
            (after(0, 23), None, false),
            (after(1, 0), Some(7_200), false),
            (after(1, 23), Some(7_200), false),
            (after(2, 0), Some(1_800), true),
            (after(9, 0), Some(1_800), true),
        ] {
            assert_eq!((aim.mean(now), aim.is_stale(now)), (mean.map(Duration::from_secs), stale), "{now:?}");
        }
    }

    #[test]
    fn a_newer_document_may_be_some_times_as_long_and_never_longer_than_any() {
        assert_eq!(growth(100), 400 + (1 << 20));
        assert_eq!(growth(MAX_DOCUMENT), MAX_DOCUMENT);
        assert_eq!(growth(usize::MAX), MAX_DOCUMENT);
    }
}
