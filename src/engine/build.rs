//! Packets of this node's own: what each hop is told, and under which of its keys.

use super::Batch;
use crate::directory::Document;
use crate::id::NodeId;
use crate::mix::{delay, epoch, route};
use crate::sphinx::geometry::PAYLOAD_LEN;
use crate::sphinx::xwing::PublicKey;
use crate::sphinx::{self, Hop, Last, Packet, Randomness};
use crate::time::Time;
use rand_core::CryptoRng;

/// Draws of path and delays before a packet is given up for lack of a key far enough ahead.
const DRAWS: usize = 8;

/// A packet, ready to leave.
pub(super) struct Built {
    pub(super) packet: Packet,
    /// Who gets it, one after the other.
    pub(super) path: Vec<NodeId>,
    /// When it leaves.
    pub(super) leaves: Time,
    /// When the last of them lets go of it, if nobody holds it for longer than they are told.
    pub(super) ends: Time,
}

/// A packet for the exit that ends the path, which `path` draws, with the keys of the epochs in which it is due where;
/// none if there is no such path.
pub(super) fn deliver<R: CryptoRng>(
    batch: &mut Batch<'_, '_, R>,
    document: &Document,
    payload: &[u8; PAYLOAD_LEN],
    path: impl FnMut(&mut R) -> Option<Vec<NodeId>>,
) -> Option<Built> {
    let leaves = batch.now.next_tick(document.params().tick);
    build(batch, document, leaves, path, |delay_ms| (Last::Deliver { delay_ms }, payload))
}

/// A packet of cover traffic that ends with the path, on which one of `firsts` comes first; none if there is no path.
pub(super) fn drop<R: CryptoRng>(
    batch: &mut Batch<'_, '_, R>,
    document: &Document,
    leaves: Time,
    firsts: &[NodeId],
) -> Option<Built> {
    let me = &batch.setup.me;
    let path = |rng: &mut R| route::drop_path(document, me, firsts, rng).ok();
    // Encrypted for each hop, it looks like any other to all of them but the last, which is told to drop it.
    build(batch, document, leaves, path, |_| (Last::Drop, &[0; PAYLOAD_LEN]))
}

/// `end` says what the last hop is told, if it is to hold the packet for that long, and what it gets.
fn build<'p, R: CryptoRng>(
    batch: &mut Batch<'_, '_, R>,
    document: &Document,
    leaves: Time,
    mut path: impl FnMut(&mut R) -> Option<Vec<NodeId>>,
    end: impl Fn(u32) -> (Last, &'p [u8; PAYLOAD_LEN]),
) -> Option<Built> {
    for _ in 0..DRAWS {
        let path = path(batch.rng)?;
        let Some(legs) = Legs::draw(document, &path, leaves, batch.rng) else { continue };
        let (held, between) = legs.delays()?;
        let (last, payload) = end(held);
        let packet = sphinx::build(&legs.hops(), &between, last, payload, &Randomness::draw(batch.rng)).ok()?;
        return Some(Built { packet, path, leaves, ends: legs.ends });
    }
    None
}

/// A path, and what each of its hops is told.
pub(super) struct Legs<'a> {
    legs: Vec<Leg<'a>>,
    /// When the last one lets go of the packet.
    ends: Time,
}

struct Leg<'a> {
    node: NodeId,
    key: &'a PublicKey,
    delay_ms: u32,
}

impl<'a> Legs<'a> {
    /// Draws how long each hop, the last too, holds a packet that leaves here at `leaves`; none if a hop has no key
    /// published for the time at which it gets there.
    pub(super) fn draw(
        document: &'a Document,
        path: &[NodeId],
        leaves: Time,
        rng: &mut impl CryptoRng,
    ) -> Option<Self> {
        let params = document.params();
        let mut ends = leaves;
        let mut legs = Vec::with_capacity(path.len());
        for node in path {
            let epoch = epoch::key_epoch(ends, params, rng);
            let key = document.node(node)?.mix_keys.get(&epoch)?;
            let delay = delay::draw(params, rng);
            let delay_ms = u32::try_from(delay.as_millis()).ok()?;
            legs.push(Leg { node: *node, key, delay_ms });
            ends = ends.plus(delay).next_tick(params.tick);
        }
        Some(Self { legs, ends })
    }

    /// What a packet is built for.
    pub(super) fn hops(&self) -> Vec<Hop<'a>> {
        self.legs.iter().map(|leg| Hop { id: leg.node, key: leg.key }).collect()
    }

    /// How long the last hop holds it, and each one before; none of a path without hops.
    pub(super) fn delays(&self) -> Option<(u32, Vec<u32>)> {
        let (last, between) = self.legs.split_last()?;
        Some((last.delay_ms, between.iter().map(|leg| leg.delay_ms).collect()))
    }
}
