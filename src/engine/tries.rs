//! A mail's tries: which exit, which reply block, and a piece at a time.

use super::Batch;
use super::build::{self, Built, Way};
use super::entry::{shard, size};
use super::first_hops::FirstHop;
use super::journey::{Receipts, Spooled, Stage, Try};
use super::relay::Relay;
use super::replies;
use super::rows::{Place, Waiting, damaged};
use crate::directory::Document;
use crate::id::{NodeId, SetId};
use crate::mail::canary::is_canary;
use crate::message::payload::{Fragment, Payload};
use crate::message::shards::{self, Shape};
use crate::message::{self, MAX_SURBS, Message};
use crate::mix::back;
use crate::mix::receipt::slot_wait;
use crate::mix::route::{self, Front};
use crate::sphinx::geometry::SURB_LEN;
use crate::store::{RowId, Shelf, StoreError};
use crate::time::Time;
use rand_core::CryptoRng;
use std::collections::BTreeMap;

/// What reply blocks add to a packed message, at most: they can't be made shorter, and may cost what is around them some of
/// what it was made shorter by.
const SURB_ROOM: usize = MAX_SURBS * SURB_LEN + 1024;

/// A mail that this node answers for, and the pieces of its try that wait for their slots.
#[derive(Debug)]
pub(super) struct Mail {
    pub(super) row: Spooled,
    pub(super) waiting: BTreeMap<RowId, Waiting>,
    /// The exit of its next try, once it is drawn and until a slot comes whose first hop goes with it. Drawn anew after a
    /// restart.
    next_exit: Option<NodeId>,
}

/// What a mail goes by whose turn it is.
#[derive(Clone, Copy)]
pub(super) struct Turn<'a> {
    pub(super) document: &'a Document,
    /// The slot's first hop.
    pub(super) hops: FirstHop<'a>,
    /// How many mails share the slots, it too.
    pub(super) beside: u32,
}

/// What came of a slot that a mail was chosen for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Piece {
    /// A piece of it has left.
    Left,
    /// Its last one has, and nothing is heard of it any more.
    Gone,
    /// It has to wait.
    Stays,
    /// It was never to leave.
    EndsHere,
    /// It would arrive when it is given up already.
    TooLate,
}

/// What came of cutting a mail.
enum Cut {
    Done,
    /// It would come too late.
    TooLate,
    /// There is no way for an answer now.
    NoWayBack,
}

/// What becomes of a mail whose slot has come.
enum Prepared {
    /// It has a try under way, to this exit.
    Leaves(NodeId),
    Not(Piece),
}

impl Mail {
    pub(super) const fn new(row: Spooled) -> Self {
        Self { row, waiting: BTreeMap::new(), next_exit: None }
    }

    /// An earlier fog left a mail whose exit had gone without its pieces, and wrote that only in memory: it begins anew.
    pub(super) fn resume(&mut self) {
        if matches!(self.row.stage, Stage::Leaving(_)) && self.waiting.is_empty() {
            self.row.break_off();
        }
    }

    /// Slots it still needs.
    pub(super) fn slots(&self) -> u32 {
        match self.row.stage {
            Stage::Waiting => u32::from(self.row.pieces) * u32::from(self.row.copies),
            Stage::Leaving(_) => u32::try_from(self.waiting.len()).unwrap_or(u32::MAX),
            Stage::Held(_) | Stage::Travelling(_) | Stage::GivenUp(_) => 0,
        }
    }

    /// Whether it may have anything for a slot with this first hop: all of a try goes by that of its first slot, as long as
    /// that can be reached.
    pub(super) fn goes_by(&self, hops: FirstHop<'_>) -> bool {
        let leaves = matches!(self.row.stage, Stage::Leaving(_));
        let first = self.row.first.filter(|first| leaves && hops.kept.contains(first));
        first.is_none_or(|first| first == *hops.node)
    }

    /// Whether a try to `exit` may begin in a slot with this first hop. It goes by another, if one leads there, after a try by
    /// this one on which nothing was heard, where no loop comes back by this one, and where what is wished for its path has
    /// no place for it.
    fn begins_by<R: CryptoRng>(&self, batch: &mut Batch<'_, '_, R>, turn: Turn<'_>, exit: NodeId) -> bool {
        let Turn { document, hops, .. } = turn;
        let mut leads = |first: &NodeId| {
            let front = Front { chain: &self.row.chain, firsts: std::slice::from_ref(first), full: &[] };
            route::exit(document, &batch.setup.me, &[exit], front, batch.rng).is_ok()
        };
        if !leads(hops.node) {
            return false;
        }
        let me = batch.setup.me;
        let has_place = |first: &NodeId| route::may_begin(document, &me, &exit, &self.row.chain, first);
        let was_silent = self.row.silent > 0 && self.row.first == Some(*hops.node);
        let better = match has_place(hops.node) {
            // Any kept one is better than a fresh one.
            false => hops.kept,
            true if was_silent || !hops.there.contains(hops.node) => hops.there,
            true => &[],
        };
        !better.iter().any(|other| other != hops.node && has_place(other) && leads(other))
    }

    /// It has to have arrived by now: pieces that have not left would come too late. Says whether so many have left that an
    /// answer may still come.
    pub(super) fn rest_stays_here<R: CryptoRng>(&mut self, batch: &mut Batch<'_, '_, R>) -> Result<bool, StoreError> {
        let all = usize::from(self.row.pieces) * usize::from(self.row.copies);
        let have_left = all.saturating_sub(self.waiting.len());
        if have_left < needed_of(self.row.pieces) || !self.row.has_left(batch.params) {
            return Ok(false);
        }
        self.take_back(batch).map(|()| true)
    }

    /// Sends a piece, and begins a try if none is under way.
    pub(super) fn leave<R: CryptoRng>(
        &mut self,
        batch: &mut Batch<'_, '_, R>,
        turn: Turn<'_>,
        relay: &mut Relay,
        id: RowId,
    ) -> Result<Piece, StoreError> {
        let Turn { document, hops, .. } = turn;
        let exit = match self.prepare(batch, turn, id)? {
            Prepared::Leaves(exit) => exit,
            Prepared::Not(piece) => return Ok(piece),
        };
        let Some((fragment, waiting)) = self.next_in_time(batch) else { return Ok(Piece::Stays) };
        let Place { set, shape, index } = waiting.place;
        let full = self.row.full_mixes(shape, index);
        let content = batch.txn.read(Shelf::Fragments, fragment)?;
        let payload = Payload::Fragment(Fragment { set, shape, index, shard: shard(&content.sealed)? });
        let payload = payload.encode(batch.rng);
        let (me, front) = (&batch.setup.me, Front { chain: &self.row.chain, firsts: hops.only(), full: &full });
        let draw = |rng: &mut R| route::path(document, me, &exit, front, rng).ok();
        let built = build::deliver(batch, document, &payload, &waiting.delays, draw);
        // Where no key is far enough ahead it has other delays, by which it may come too late.
        let Some(built) = built.filter(|built| built.ends <= self.row.ends) else { return Ok(Piece::Stays) };
        if !relay.send_own(batch, &built)? {
            return Ok(Piece::Stays);
        }
        batch.book.built(self.row.message, index, &built.path, &built.packet, batch.now, &mut batch.out);
        batch.txn.delete(Shelf::Fragments, fragment)?;
        self.waiting.remove(&fragment);
        self.row.piece_left(index, &built);
        // Of a mail of which nothing is to be heard the pool answers by this same commit.
        if self.waiting.is_empty() && !self.row.has_left(document.params()) {
            return Ok(Piece::Gone);
        }
        batch.txn.set_meta(Shelf::Spool, id, batch.epoch, &self.row.encode(), batch.rng)?;
        Ok(Piece::Left)
    }

    /// The next piece, of those that arrive before the mail is given up if they leave now. What is never one of them stays
    /// here, until [`Self::rest_stays_here`].
    fn next_in_time<R>(&self, batch: &Batch<'_, '_, R>) -> Option<(RowId, &Waiting)> {
        let tick = batch.params.tick;
        let arrives = |piece: &Waiting| build::end_of_way(batch.now.next_tick(tick), &piece.delays, tick);
        self.waiting.iter().find(|(_, piece)| arrives(piece) <= self.row.ends).map(|(id, piece)| (*id, piece))
    }

    /// Sees to it that there is a try under way, and to an exit that is still there.
    fn prepare<R: CryptoRng>(
        &mut self,
        batch: &mut Batch<'_, '_, R>,
        turn: Turn<'_>,
        id: RowId,
    ) -> Result<Prepared, StoreError> {
        if let (Stage::Leaving(_), Some(exit)) = (&self.row.stage, self.row.exit) {
            if route::is_exit(turn.document, &exit) {
                return Ok(Prepared::Leaves(exit));
            }
            // What is left of the set has nowhere to go. If enough has left the exit may have it all the same, and answer.
            let is_enough = self.rest_stays_here(batch)?;
            if !is_enough {
                self.take_back(batch)?;
                self.row.break_off();
            }
            batch.txn.set_meta(Shelf::Spool, id, batch.epoch, &self.row.encode(), batch.rng)?;
            if is_enough {
                return Ok(Prepared::Not(Piece::Stays));
            }
        }
        let packed = batch.txn.read(Shelf::Spool, id)?;
        // Whatever the network's limit is by now: it was within the limit when it was taken.
        let message = message::unpack(&packed.sealed, usize::MAX).map_err(|_| damaged())?;
        if is_canary(&message.recipient) {
            return Ok(Prepared::Not(Piece::EndsHere));
        }
        let Some(exit) = self.choose_exit(batch, turn, &message) else {
            return Ok(Prepared::Not(Piece::Stays));
        };
        self.next_exit = Some(exit);
        if !self.begins_by(batch, turn, exit) {
            // A slot with another first hop comes.
            return Ok(Prepared::Not(Piece::Stays));
        }
        match self.cut(batch, turn, id, exit, message) {
            Ok(Cut::Done) => {
                self.next_exit = None;
                Ok(Prepared::Leaves(exit))
            }
            Ok(Cut::TooLate) => Ok(Prepared::Not(Piece::TooLate)),
            Ok(Cut::NoWayBack) => Ok(Prepared::Not(Piece::Stays)),
            // A set takes more room than its mail. It waits in the spool until there is some.
            Err(StoreError::Full) => self.take_back(batch).map(|()| Prepared::Not(Piece::Stays)),
            Err(error) => Err(error),
        }
    }

    /// The exit of the last try, as long as that is to be asked again: it hands the mail out once, however often it comes.
    /// Else one that has not been tried in vain, if there is any.
    fn choose_exit<R: CryptoRng>(
        &self,
        batch: &mut Batch<'_, '_, R>,
        Turn { document, hops, .. }: Turn<'_>,
        message: &Message,
    ) -> Option<NodeId> {
        let (row, me) = (&self.row, &batch.setup.me);
        let all = self.exits(document, me, message);
        let again = row.exit.filter(|exit| !row.tried.contains(exit) && all.contains(exit));
        let untried: Vec<NodeId> = all.iter().filter(|exit| !row.tried.contains(exit)).copied().collect();
        let left = if untried.is_empty() { &all } else { &untried };
        let next = again.or(self.next_exit.filter(|exit| left.contains(exit)));
        let mut among = |exits: &[NodeId], firsts| {
            let front = Front { chain: &row.chain, firsts, full: &[] };
            route::exit(document, me, exits, front, batch.rng).ok()
        };
        // By whichever of them the slot is, so that no exit is drawn less often for being one.
        if let Some(exit) = next.and_then(|exit| among(&[exit], hops.there)) {
            return Some(exit);
        }
        let again_by_all = again.and_then(|exit| among(&[exit], hops.kept));
        if again.is_some_and(|exit| again_by_all.is_none() && among(&[exit], &[]).is_some()) {
            // Only the first hop that leads to it can't be reached now.
            return None;
        }
        // Who has spoken has the mail; who was silent, by way of a first hop that is away, has not.
        again_by_all
            .filter(|_| row.silent == 0)
            .or_else(|| among(&untried, hops.there))
            .or(again_by_all)
            .or_else(|| among(&untried, hops.kept))
            .or_else(|| among(&all, hops.there))
            .or_else(|| among(&all, hops.kept))
    }

    /// The exits that take it, and can answer if answers are wished for.
    fn exits(&self, document: &Document, me: &NodeId, message: &Message) -> Vec<NodeId> {
        let all = route::exits_for(document, &message.recipient, size(message.mail.len()));
        if self.row.receipt == Receipts::Off { all } else { back::answering(document, me, &all) }
    }

    /// Cuts the message into a new set of fragments for each copy and keeps them, to leave at slots of their own. All copies
    /// go to one exit, which knows the message again and hands it out once.
    fn cut<R: CryptoRng>(
        &mut self,
        batch: &mut Batch<'_, '_, R>,
        turn: Turn<'_>,
        id: RowId,
        exit: NodeId,
        mut message: Message,
    ) -> Result<Cut, StoreError> {
        let document = turn.document;
        let hops = self.row.chain.hops().len().max(usize::from(document.params().hops));
        let delays = draw_delays(batch, document, usize::from(self.row.pieces), hops).ok_or(damaged())?;
        let there = self.there(turn, batch.now, &delays);
        if there > self.row.ends {
            return Ok(Cut::TooLate);
        }
        let ways = if self.row.receipt == Receipts::Off { Vec::new() } else { ways_back(batch, turn, exit, there) };
        if ways.is_empty() && self.row.receipt != Receipts::Off {
            // Keys run short just now, or mixes do: without an answer it would be forgotten unheard.
            return Ok(Cut::NoWayBack);
        }
        message.surbs = ways.iter().map(|way| Box::new(*way.surb.to_bytes().expose())).collect();
        let packed = message::pack(&message).map_err(|_| damaged())?;
        let (shape, shards) = shards::split(&packed, spares(packed.len())).map_err(|_| damaged())?;
        for _ in 0..self.row.copies {
            let mut set = SetId([0; SetId::LEN]);
            batch.rng.fill_bytes(&mut set.0);
            for (index, shard) in (0..=u8::MAX).zip(&shards) {
                let delays = delays.get(usize::from(index)).cloned().unwrap_or_default();
                let waiting = Waiting { mail: id, place: Place { set, shape, index }, delays };
                let row = batch.txn.put(Shelf::Fragments, batch.epoch, &waiting.encode(), shard, &[], batch.rng)?;
                self.waiting.insert(row, waiting);
            }
        }
        replies::keep_all(batch, id, exit, &ways)?;
        (0..self.row.copies).for_each(|_| batch.book.cut(self.row.message, shape, &mut batch.out));
        batch.counts.again += u64::from(self.row.tries > 0);
        self.row.begin(exit, *turn.hops.node, ways.iter().map(|way| way.takes).max());
        batch.txn.set_meta(Shelf::Spool, id, batch.epoch, &self.row.encode(), batch.rng)?;
        Ok(Cut::Done)
    }

    /// When the exit has as many pieces as it needs, if none gets lost and each leaves when it may be expected to.
    fn there(&self, Turn { document, beside, .. }: Turn<'_>, now: Time, delays: &[Vec<u32>]) -> Time {
        let params = document.params();
        let turn = slot_wait(params).saturating_mul(beside.max(1));
        let mut ends: Vec<Time> = (0_u32..)
            .zip(delays)
            .map(|(piece, delays)| {
                let leaves = now.plus(turn.saturating_mul(piece)).next_tick(params.tick);
                build::end_of_way(leaves, delays, params.tick)
            })
            .collect();
        ends.sort_unstable();
        let needed = needed_of(self.row.pieces);
        ends.get(needed.saturating_sub(1)).copied().unwrap_or(now)
    }

    /// Forgets the pieces that have not left.
    pub(super) fn take_back<R>(&mut self, batch: &mut Batch<'_, '_, R>) -> Result<(), StoreError> {
        std::mem::take(&mut self.waiting).into_keys().try_for_each(|row| batch.txn.delete(Shelf::Fragments, row))
    }
}

impl Spooled {
    /// The mixes that may get no more of a set, so that the loss of one of them costs no more than the spares.
    fn full_mixes(&self, shape: Shape, index: u8) -> Vec<NodeId> {
        let Stage::Leaving(Try { carried, .. }) = &self.stage else { return Vec::new() };
        let spares = shape.n().saturating_sub(shape.k());
        // The pieces of a set leave in their order, and another set begins with its first.
        if index == 0 || spares == 0 {
            return Vec::new();
        }
        carried.iter().filter(|(_, count)| **count >= spares).map(|(node, _)| *node).collect()
    }

    /// Notes which way a piece has gone.
    fn piece_left(&mut self, index: u8, built: &Built) {
        let Stage::Leaving(Try { arrives, carried, .. }) = &mut self.stage else { return };
        *arrives = built.ends.max(*arrives);
        if index == 0 {
            carried.clear();
        }
        if let [_, between @ .., _] = built.path.as_slice() {
            for mix in between {
                let count = carried.entry(*mix).or_default();
                *count = count.saturating_add(1);
            }
        }
    }
}

/// Ways back from `exit`, over different mixes but for the one in front of us, where there are enough; none in a network
/// that has no path for them.
fn ways_back<R: CryptoRng>(
    batch: &mut Batch<'_, '_, R>,
    Turn { document, hops, .. }: Turn<'_>,
    exit: NodeId,
    there: Time,
) -> Vec<Way> {
    let me = &batch.setup.me;
    let mut ways: Vec<Way> = Vec::with_capacity(MAX_SURBS);
    for _ in 0..MAX_SURBS {
        let used: Vec<NodeId> = ways.iter().flat_map(|way| way.path.iter().copied()).collect();
        let used = used.as_slice();
        let way = |firsts| move |rng: &mut R| back::way_back(document, me, &exit, firsts, used, rng).ok();
        // Where a path was wished for, the slot's first hop may be the exit itself: then any mix does.
        let is_free = *hops.node == exit || route::are_of_one_family(document, hops.node, &exit);
        let lasts = if is_free { &[] } else { hops.only() };
        ways.extend(build::way_back(batch, document, there, way(lasts)));
    }
    ways
}

fn draw_delays<R: CryptoRng>(
    batch: &mut Batch<'_, '_, R>,
    document: &Document,
    pieces: usize,
    hops: usize,
) -> Option<Vec<Vec<u32>>> {
    (0..pieces).map(|_| (0..hops).map(|_| build::draw_delay(document, batch.rng)).collect()).collect()
}

/// Spare shards: two for every five, and never none while there is room in a set, so that the loss of a mix need not
/// cost the mail.
fn spares(packed: usize) -> usize {
    spares_of(packed.div_ceil(shards::SHARD_LEN))
}

fn spares_of(needed: usize) -> usize {
    needed.saturating_mul(2).div_ceil(5).min(shards::MAX_SHARDS.saturating_sub(needed))
}

/// Of how many pieces a message that is cut into `pieces` needs how many.
fn needed_of(pieces: u8) -> usize {
    let pieces = usize::from(pieces);
    (1..=pieces).rev().find(|needed| needed + spares_of(*needed) <= pieces).unwrap_or(1)
}

/// How many pieces a message of so many bytes is cut into, spares and reply block included; none if no set holds it.
pub(super) fn pieces(packed: usize, receipt: Receipts) -> Option<u8> {
    let packed = if receipt == Receipts::Off { packed } else { packed.saturating_add(SURB_ROOM) };
    u8::try_from(packed.div_ceil(shards::SHARD_LEN) + spares(packed)).ok()
}

/// Of how many pieces a message of so many bytes has to arrive, and how many are sent, its reply block included; none if
/// no set holds it.
#[must_use]
pub fn pieces_of(packed: usize) -> Option<(usize, usize)> {
    let pieces = pieces(packed, Receipts::On)?;
    Some((needed_of(pieces), usize::from(pieces)))
}
