//! Packets of this node's own: what each hop is told, and under which of its keys.

use super::Batch;
use crate::directory::Document;
use crate::id::{Epoch, NodeId, SurbId};
use crate::mix::receipt::{answer_delay, slot_wait};
use crate::mix::{delay, epoch, route};
use crate::secret::Secret;
use crate::sphinx::geometry::PAYLOAD_LEN;
use crate::sphinx::surb::{self, Record, Surb};
use crate::sphinx::xwing::PublicKey;
use crate::sphinx::{self, Hop, Last, Packet, Randomness};
use crate::time::Time;
use rand_core::CryptoRng;
use std::time::Duration;

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

/// A way back to this node: a reply block for somebody else, and what opens the answer.
pub(super) struct Way {
    pub(super) surb: Surb,
    pub(super) record: Record,
    /// Who gets the answer, one after the other; the last one is this node.
    pub(super) path: Vec<NodeId>,
    /// Of our own key under which the answer ends here.
    pub(super) epoch: Epoch,
    /// From when the exit has what it answers to when the answer is here.
    pub(super) takes: Duration,
}

/// A packet for the exit that ends the path, which `path` draws, with the keys of the epochs in which it is due where;
/// none if there is no such path. Each hop holds it as long as `delays` say, if they are as many and the network allows
/// them still; else that is drawn, too.
pub(super) fn deliver<R: CryptoRng>(
    batch: &mut Batch<'_, '_, R>,
    document: &Document,
    payload: &[u8; PAYLOAD_LEN],
    delays: &[u32],
    path: impl FnMut(&mut R) -> Option<Vec<NodeId>>,
) -> Option<Built> {
    let leaves = batch.now.next_tick(document.params().tick);
    build(batch, document, leaves, delays, path, |delay_ms| (Last::Deliver { delay_ms }, payload))
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
    build(batch, document, leaves, &[], path, |_| (Last::Drop, &[0; PAYLOAD_LEN]))
}

/// `end` says what the last hop is told, if it is to hold the packet for that long, and what it gets.
fn build<'p, R: CryptoRng>(
    batch: &mut Batch<'_, '_, R>,
    document: &Document,
    leaves: Time,
    delays: &[u32],
    mut path: impl FnMut(&mut R) -> Option<Vec<NodeId>>,
    end: impl Fn(u32) -> (Last, &'p [u8; PAYLOAD_LEN]),
) -> Option<Built> {
    for draw in 0..DRAWS {
        let path = path(batch.rng)?;
        // With these delays there may be no key anywhere, by whatever path: then others are drawn.
        let given = if draw < DRAWS / 2 { given(document, delays, path.len()) } else { None };
        let Some(legs) = Legs::draw(document, &path, leaves, given, batch.rng) else { continue };
        let (held, between) = legs.delays()?;
        let (last, payload) = end(held);
        let packet = sphinx::build(&legs.hops(), &between, last, payload, &Randomness::draw(batch.rng)).ok()?;
        return Some(Built { packet, path, leaves, ends: legs.ends });
    }
    None
}

/// A way back by a path that ends here, for the answer of an exit that has it from `there` on; none if there is no such
/// path.
pub(super) fn way_back<R: CryptoRng>(
    batch: &mut Batch<'_, '_, R>,
    document: &Document,
    there: Time,
    mut path: impl FnMut(&mut R) -> Option<Vec<NodeId>>,
) -> Option<Way> {
    let params = document.params();
    for _ in 0..DRAWS {
        let path = path(batch.rng)?;
        let mut id = SurbId([0; SurbId::LEN]);
        batch.rng.fill_bytes(&mut id.0);
        let key = Secret::filled(|key| batch.rng.fill_bytes(key));
        let sets_out = there.plus(answer_delay(params, key.expose())).plus(slot_wait(params));
        let Some(legs) = Legs::draw(document, &path, sets_out.next_tick(params.tick), None, batch.rng) else {
            continue;
        };
        let (_, between) = legs.delays()?;
        let last = legs.legs.last()?;
        let (surb, record) = surb::make(&legs.hops(), &between, id, key, &Randomness::draw(batch.rng)).ok()?;
        let (epoch, takes) = (last.epoch, last.arrives.since(there));
        return Some(Way { surb, record, path, epoch, takes });
    }
    None
}

/// When a packet ends that leaves at `leaves` and is held by its hops as `delays` say.
pub(super) fn end_of_way(leaves: Time, delays: &[u32], tick: Duration) -> Time {
    delays.iter().fold(leaves, |at, delay| at.plus(Duration::from_millis((*delay).into())).next_tick(tick))
}

/// How long a hop holds a packet, drawn as everybody draws it.
pub(super) fn draw_delay(document: &Document, rng: &mut impl CryptoRng) -> Option<u32> {
    u32::try_from(delay::draw(document.params(), rng).as_millis()).ok()
}

/// `delays`, if they do for a path of so many hops.
fn given<'d>(document: &Document, delays: &'d [u32], hops: usize) -> Option<&'d [u32]> {
    let params = document.params();
    let is_allowed =
        |delay: &u32| (params.min_delay..=params.max_delay).contains(&Duration::from_millis((*delay).into()));
    (delays.len() == hops && delays.iter().all(is_allowed)).then_some(delays)
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
    epoch: Epoch,
    arrives: Time,
    delay_ms: u32,
}

impl<'a> Legs<'a> {
    /// What each hop is told of a packet that leaves here at `leaves`. It holds it, the last hop too, as long as `delays`
    /// say, or as is drawn. None if a hop has no key published for the time at which it gets there.
    pub(super) fn draw(
        document: &'a Document,
        path: &[NodeId],
        leaves: Time,
        delays: Option<&[u32]>,
        rng: &mut impl CryptoRng,
    ) -> Option<Self> {
        let params = document.params();
        let mut arrives = leaves;
        let mut legs = Vec::with_capacity(path.len());
        for (hop, node) in path.iter().enumerate() {
            let epoch = epoch::key_epoch(arrives, params, rng);
            let key = document.node(node)?.mix_keys.get(&epoch)?;
            let delay_ms = match delays {
                Some(delays) => *delays.get(hop)?,
                None => draw_delay(document, rng)?,
            };
            legs.push(Leg { node: *node, key, epoch, arrives, delay_ms });
            arrives = arrives.plus(Duration::from_millis(delay_ms.into())).next_tick(params.tick);
        }
        Some(Self { legs, ends: arrives })
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
