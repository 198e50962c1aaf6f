//! Neighbours say in the handshake by which document they go. One that goes by another one of this node's epoch means that
//! somebody was shown another network than others: so it is looked at, and if it is one that this node would have taken, too,
//! nothing is sent any more.
//!
//! Whose document it is isn't told from when it is asked for: that is drawn by chance, and who asks is nobody, as always.

use super::dial::Road;
use super::fetch::fetch;
use super::renew::{Aim, Fetched};
use crate::directory::Source;
use crate::mix::random::exponential;
use crate::sys::clock;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::sleep;

/// How many doubts may wait: what is more comes again with the next handshake.
pub(super) const WAITING: usize = 16;

/// Most other documents that are looked at while one is in use: who says a new hash in each handshake makes us do no more.
const MOST: usize = 64;

/// So often in an epoch one is looked at, on the average, if there are that many.
const OFTEN: u32 = 96;

/// A neighbour goes by another document.
#[derive(Debug)]
pub struct Doubt {
    /// The neighbour.
    pub source: Source,
    /// Its document's hash.
    pub hash: [u8; 32],
}

/// Looks into doubts for as long as anybody takes what comes of it.
pub(super) async fn look_into(
    mut doubts: mpsc::Receiver<Doubt>,
    aims: watch::Receiver<Aim>,
    road: Arc<Road>,
    fetched: mpsc::Sender<Fetched>,
) {
    let (mut in_use, mut seen) = (None, BTreeSet::new());
    while let Some(Doubt { source, hash }) = doubts.recv().await {
        let aim = aims.borrow().clone();
        if in_use != aim.wanted.have {
            in_use = aim.wanted.have;
            seen.clear();
        }
        // After the document's own epoch others have a newer one, which comes by itself.
        if !aim.is_of_the_running_epoch(clock::now()) || seen.len() >= MOST || !seen.insert(hash) {
            continue;
        }
        let pause = (aim.epoch_length() / OFTEN).mul_f64(exponential(&mut clock::rng()));
        sleep(pause).await;
        let Ok(Some(text)) = fetch(&road, &source, &aim.wanted).await else {
            // It may be there the next time.
            seen.remove(&hash);
            continue;
        };
        let (taken, answer) = oneshot::channel();
        if fetched.send(Fetched { text, taken }).await.is_err() {
            return;
        }
        // Whatever comes of it, whoever takes it says.
        let _ = answer.await;
    }
}
