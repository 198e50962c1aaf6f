//! This node's own descriptor: made anew when its keys or its configuration are others, and handed in to each authority by
//! itself, each epoch, long before the keys that are published run out.
//!
//! When it does so is drawn by chance, as for the document (`renew`). It shows its link key, by which an
//! authority knows a member from the strangers who may crowd its door; what it brings says who it is anyway.

use super::authority::{Brief, Offered};
use super::descriptor::{self, NoDescriptor};
use super::dial::{NoLink, Road};
use super::driver::Event;
use super::session::{self, Cut};
use crate::directory::{Identity, Signed, Source};
use crate::id::{Epoch, NodeId};
use crate::link::document::{Head, pieces};
use crate::link::offer::Verdict;
use crate::mix::random::exponential;
use crate::secret::Secret;
use crate::sys::clock;
use crate::sys::key_file::NodeKey;
use crate::sys::log::{self, Program, log};
use crate::sys::tor_failure::TorFailure;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{sleep, timeout};

/// So often in an epoch it looks, on the average.
const OFTEN: u32 = 48;

/// How long an authority may take: a minute, and what Tor takes.
const LIMIT: Duration = Duration::from_secs(90);

/// Why an authority says nothing to a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NoVerdict {
    /// Tor gives no stream to it.
    #[error(transparent)]
    Tor(TorFailure),
    /// There is no stream to it.
    #[error("nothing answers at its address")]
    Unreachable,
    /// It closed, was silent, or couldn't prove its key.
    #[error("it takes no descriptor: it is no authority, it is busy, or it has another link key")]
    Refused,
}

impl From<NoLink> for NoVerdict {
    fn from(why: NoLink) -> Self {
        match why {
            NoLink::Tor(why) => Self::Tor(why),
            NoLink::Unreachable | NoLink::Cut(Cut) => Self::Unreachable,
        }
    }
}

/// Hands the descriptor with this text to the authority at `to`; `ours` is our link key.
///
/// # Errors
/// Why it says nothing to it.
pub async fn hand_in(road: &Road, to: &Source, ours: &Secret<32>, text: &str) -> Result<Verdict, NoVerdict> {
    // Any stream but those of packets: what goes over it says who we are.
    let circuit = NodeId(Sha256::digest(text).into());
    let stream = road.open(&to.address, &circuit).await.map_err(NoVerdict::from)?;
    let given = timeout(LIMIT, give(stream, ours, &to.link_key, text)).await;
    given.map_err(|_| NoVerdict::Refused)?.map_err(|Cut| NoVerdict::Refused)
}

async fn give<S: AsyncRead + AsyncWrite>(
    stream: S,
    ours: &Secret<32>,
    theirs: &[u8; 32],
    text: &str,
) -> Result<Verdict, Cut> {
    let mut link = session::hand_in(stream, ours, theirs).await?;
    link.sender.head(&Head::new(text.len(), Sha256::digest(text).into())?).await?;
    for piece in pieces(text) {
        link.sender.piece(piece).await?;
    }
    link.receiver.verdict().await
}

/// What makes this node's descriptor and brings it to where it has to be.
#[derive(Debug)]
pub(super) struct HandIn {
    pub(super) key: NodeKey,
    /// The authority at this node.
    pub(super) authority: Option<Identity>,
    /// The way to it.
    pub(super) own: Option<mpsc::Sender<Offered>>,
    pub(super) briefs: watch::Receiver<Brief>,
    pub(super) road: Arc<Road>,
    pub(super) events: mpsc::Sender<Event>,
}

/// What is known of earlier tries.
#[derive(Debug, Default)]
struct Done {
    /// The hash of what each authority's node has said its last word to.
    by: BTreeMap<NodeId, [u8; 32]>,
    /// What the log has heard in this epoch.
    told: BTreeSet<Verdict>,
    epoch: Option<Epoch>,
}

impl HandIn {
    /// Does it until the node ends. It looks at all moments alike, whether there is anything to hand in or not: keys may have
    /// been changed by hand.
    pub(super) async fn work(mut self) {
        let mut done = Done::default();
        while self.briefs.has_changed().is_ok() {
            let brief = self.briefs.borrow_and_update().clone();
            let epoch = brief.document.params().epoch;
            let pause = (epoch / OFTEN).mul_f64(exponential(&mut clock::rng()));
            sleep(pause).await;
            done.begin(clock::now().epoch(epoch));
            self.hand_in(&brief, &mut done).await;
        }
    }

    /// Makes the descriptor and hands it in where it isn't known.
    async fn hand_in(&self, brief: &Brief, done: &mut Done) {
        let me = self.key.identity.node_id();
        // The engine has ended, or the disk is full: others say so.
        let Some(Ok(own)) = self.make(brief).await else { return };
        if brief.document.contents().nodes.get(&me) == Some(&own) {
            return;
        }
        let text = own.to_text();
        let hash = Sha256::digest(&text).into();
        for (id, node) in brief.document.nodes().filter(|(_, node)| node.authority.is_some()) {
            if done.by.get(id) == Some(&hash) {
                continue;
            }
            let said = match &self.own {
                Some(own) if *id == me => ask_own(own, &text).await,
                // Its roles are not yet, or no longer, what the document says.
                None if *id == me => None,
                _ => hand_in(&self.road, &Source::of(node), &self.key.link, &text).await.ok(),
            };
            if let Some(verdict) = said {
                done.note(*id, hash, verdict);
            }
        }
    }

    async fn make(&self, brief: &Brief) -> Option<Result<Signed, NoDescriptor>> {
        let (reply, keys) = oneshot::channel();
        self.events.send(Event::PublicKeys { reply }).await.ok()?;
        let (params, now) = (brief.document.params(), clock::now());
        let keys = keys.await.ok()?;
        Some(descriptor::current(&brief.config, params, &self.key, self.authority.clone(), keys, now))
    }
}

impl Done {
    /// In a new epoch the log hears again what it has heard in another.
    fn begin(&mut self, running: Epoch) {
        if self.epoch.replace(running) != Some(running) {
            self.told.clear();
        }
    }

    /// Takes an authority's word to what was handed in.
    fn note(&mut self, id: NodeId, hash: [u8; 32], verdict: Verdict) {
        if !matches!(verdict, Verdict::In | Verdict::Known | Verdict::Waits) && self.told.insert(verdict) {
            log(Program::Node, log::Event::DescriptorRefused { why: verdict });
        }
        // There may be room again; all else is the same the next time.
        if verdict != Verdict::NoRoom {
            self.by.insert(id, hash);
        }
    }
}

/// The word of this node's own authority.
async fn ask_own(own: &mpsc::Sender<Offered>, text: &str) -> Option<Verdict> {
    let (verdict, found) = oneshot::channel();
    own.send(Offered { text: text.to_owned(), verdict }).await.ok()?;
    found.await.ok()
}
