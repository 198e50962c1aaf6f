//! Who we are on a link, and who may be at its other end.

use super::doubt::Doubt;
use super::driver::Event;
use super::serve::Served;
use crate::directory::{Descriptor, NodeAddress, Source};
use crate::id::NodeId;
use crate::link::frame::Hello;
use crate::secret::Secret;
use crate::sys::clock;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// Who we are and whom we know, as it changes with the directory document.
pub type Known = watch::Receiver<Arc<Us>>;

/// What a link needs to know of another node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its id.
    pub id: NodeId,
    /// Its published name, for the log.
    pub name: String,
    /// Where it listens.
    pub address: NodeAddress,
    /// Its link key.
    pub link_key: [u8; 32],
}

impl Peer {
    /// What the directory document says of the node `id`.
    #[must_use]
    pub fn new(id: NodeId, node: &Descriptor) -> Self {
        Self { id, name: node.name.clone(), address: node.address.clone(), link_key: node.link_key }
    }
}

/// This node's side of every link.
#[derive(Debug)]
pub struct Us {
    /// The secret half of our link key.
    pub link_secret: Secret<32>,
    /// The hash of the directory document we go by.
    pub document: [u8; 32],
    /// The hash of the one before it: not all take a new one at once.
    pub before: Option<[u8; 32]>,
    /// Where to tell of neighbours that go by another one.
    pub doubts: mpsc::Sender<Doubt>,
    /// That document, for whoever asks.
    pub served: Arc<Served>,
    /// By how much the other's clock may differ from ours. With more, packets would reach the other outside the
    /// validity of their keys, and be lost; before the handshake is done they are still ours and can wait.
    pub clock_tolerance: Duration,
    /// The link keys of the other authorities' nodes, which may see what ours shows.
    pub authorities: BTreeSet<[u8; 32]>,
    /// Who is in the directory document or the one before, without ourselves.
    pub peers: Peers,
}

impl Us {
    /// What we say of ourselves, now.
    #[must_use]
    pub fn hello(&self) -> Hello {
        Hello { now: clock::now(), document: Some(self.document) }
    }

    /// Whether a link to `peer`, who said `hello` just now, may carry packets. Another document is no reason against it, but
    /// one to look at that document.
    #[must_use]
    pub fn agrees(&self, peer: &Peer, hello: &Hello) -> bool {
        let strange = hello.document.filter(|hash| *hash != self.document && Some(*hash) != self.before);
        if let Some(hash) = strange {
            let source = Source { link_key: peer.link_key, address: peer.address.clone() };
            // With too many of them that wait this one comes again at the next handshake.
            let _ = self.doubts.try_send(Doubt { source, hash });
        }
        let now = clock::now();
        now.since(hello.now).max(hello.now.since(now)) <= self.clock_tolerance
    }
}

/// Tells the engine what `peer`, which has proved its link key, says of its clock: whether or not that agrees with ours, for
/// who is wrong is for all of them together to say.
pub(super) fn tell_clock(peer: NodeId, hello: &Hello, events: &mpsc::Sender<Event>) {
    // Not waited for: with so much to do, the engine can go without, and a handshake can't.
    let _ = events.try_send(Event::Clock { peer, said: hello.now });
}

/// The nodes to which there may be links, and the link keys by which nodes are let in.
#[derive(Debug, Default)]
pub struct Peers {
    by_id: BTreeMap<NodeId, Peer>,
    by_key: BTreeMap<[u8; 32], NodeId>,
}

impl Peers {
    /// As they are, but who was let in by the document before is let in still: not all nodes take the new one at once.
    /// One that has left takes what waits for it, by that document too, so there are still links to it.
    #[must_use]
    pub fn after(mut self, before: impl IntoIterator<Item = Peer>) -> Self {
        for peer in before {
            self.by_key.entry(peer.link_key).or_insert(peer.id);
            self.by_id.entry(peer.id).or_insert(peer);
        }
        self
    }

    /// The node with this id.
    #[must_use]
    pub fn get(&self, id: &NodeId) -> Option<&Peer> {
        self.by_id.get(id)
    }

    /// Whose link key this is.
    #[must_use]
    pub fn holder(&self, link_key: &[u8; 32]) -> Option<NodeId> {
        self.by_key.get(link_key).copied()
    }
}

impl FromIterator<Peer> for Peers {
    fn from_iter<I: IntoIterator<Item = Peer>>(peers: I) -> Self {
        let by_id: BTreeMap<_, _> = peers.into_iter().map(|peer| (peer.id, peer)).collect();
        let by_key = by_id.values().map(|peer| (peer.link_key, peer.id)).collect();
        Self { by_id, by_key }
    }
}
