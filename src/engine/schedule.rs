//! When this node sends, and what: at every slot something, whether or not anybody has written.

use super::Batch;
use super::build;
use super::entry::Entry;
use super::exit::Exit;
use super::first_hops::{FirstHop, FirstHops};
use super::health::{Health, LoopFigures};
use super::loops::Loops;
use super::pace::Paces;
use super::pings::{PingAnswer, PingAsk, Pings};
use super::relay::Relay;
use super::standing::Standing;
use crate::directory::{Document, Measured};
use crate::id::Epoch;
use crate::mix::random;
use crate::mix::schedule::{is_loop, next_slot};
use crate::store::{Store, StoreError};
use crate::time::Time;
use rand_core::CryptoRng;

/// A slot further off than this many times the mean distance is drawn anew: after a pause a burst would say how long it
/// was, and after a clock that was set back nothing would be sent for as long.
const MAKE_UP: u32 = 16;

/// The slots at which packets of this node's own leave.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    next: Option<Time>,
    firsts: FirstHops,
    loops: Loops,
    paces: Paces,
    health: Health,
    pings: Pings,
}

impl Schedule {
    pub(super) fn open(store: &Store) -> Result<Self, StoreError> {
        let (firsts, loops, paces) = (FirstHops::open(store)?, Loops::open(store)?, Paces::open(store)?);
        Ok(Self { next: None, firsts, loops, paces, health: Health::open(store)?, pings: Pings::open(store)? })
    }

    /// The next slot; none while nothing may be sent.
    pub(super) const fn next_slot(&self) -> Option<Time> {
        self.next
    }

    /// A packet that ended here says that it is a loop.
    pub(super) fn back<R: CryptoRng>(
        &mut self,
        batch: &mut Batch<'_, '_, R>,
        mark: &[u8; 32],
    ) -> Result<(), StoreError> {
        self.loops.back(batch, mark)
    }

    /// What became of loops of late.
    pub(super) fn figures(&self, now: Epoch) -> LoopFigures {
        self.health.figures(now)
    }

    /// Whether all loops stay away.
    pub(super) const fn is_held_back(&self) -> bool {
        self.health.is_alarming()
    }

    /// Through which nodes this node's loops come back.
    pub(super) const fn standing(&self) -> &Standing {
        self.health.standing()
    }

    /// What this node has found of others, for its descriptor.
    pub(super) fn measured(&self, document: &Document, now: Epoch) -> Option<Measured> {
        self.health.measured(document, now)
    }

    /// Does what is asked about loops through certain nodes.
    pub(super) fn ask<R: CryptoRng>(
        &mut self,
        batch: &mut Batch<'_, '_, R>,
        ask: &PingAsk,
    ) -> Result<PingAnswer, StoreError> {
        self.pings.ask(batch, ask, self.loops.rows())
    }

    fn send_loop<R: CryptoRng>(
        &mut self,
        batch: &mut Batch<'_, '_, R>,
        document: &Document,
        relay: &mut Relay,
        hops: FirstHop<'_>,
    ) -> Result<bool, StoreError> {
        let wished = self.pings.next(batch.rng);
        let Some(path) = self.loops.send(batch, document, relay, hops, wished)? else { return Ok(false) };
        self.pings.sent(batch, &path)?;
        Ok(true)
    }

    /// Uses the slots that have come.
    pub(super) fn slots<R: CryptoRng>(
        &mut self,
        batch: &mut Batch<'_, '_, R>,
        entry: &mut Entry,
        relay: &mut Relay,
        exit: &mut Exit,
    ) -> Result<(), StoreError> {
        let outcomes = self.health.settle(batch, &mut self.loops, relay.has_link())?;
        self.pings.settled(batch, &outcomes)?;
        let Some(document) = batch.sends_by() else {
            // Nothing may be sent: no slot comes before there is a document to send by.
            self.next = None;
            return Ok(());
        };
        let params = document.params();
        let (asked, waiting) = exit.take_asked();
        let times = u32::from(self.paces.renew(batch, params, asked, waiting)?.times());
        let mut slot = match self.next {
            Some(slot) if batch.now.since(slot).max(slot.since(batch.now)) <= params.send_every * MAKE_UP / times => {
                slot
            }
            _ => batch.now.plus(next_slot(params, batch.rng) / times),
        };
        while slot <= batch.now {
            self.slot(batch, document, entry, relay, exit)?;
            slot = slot.plus(next_slot(params, batch.rng) / times);
        }
        self.next = Some(slot);
        Ok(())
    }

    /// One slot: a loop; or an answer that is owed, or a piece of mail; or what looks like one.
    fn slot<R: CryptoRng>(
        &mut self,
        batch: &mut Batch<'_, '_, R>,
        document: &Document,
        entry: &mut Entry,
        relay: &mut Relay,
        exit: &mut Exit,
    ) -> Result<(), StoreError> {
        self.firsts.renew(batch, document)?;
        let kept = self.firsts.reachable(batch, relay);
        let Some(node) = random::choose(&kept, batch.rng) else {
            // Nothing can leave. What waits is of more use later than in a packet whose key ends before the link is back.
            return Ok(());
        };
        let there = self.standing().there(&kept);
        let hops = FirstHop { node, kept: &kept, there: &there };
        let is_used = if is_loop(batch.rng) {
            self.send_loop(batch, document, relay, hops)?
        } else if random::choose(&[true, false], batch.rng).is_some_and(|answers_first| *answers_first) {
            // Where there are answers and mail, chance decides, so that neither keeps the other waiting.
            exit.answer(batch, document, relay)? || entry.send(batch, document, relay, exit, hops)?
        } else {
            entry.send(batch, document, relay, exit, hops)? || exit.answer(batch, document, relay)?
        };
        if is_used { Ok(()) } else { drop_cover(batch, document, relay, hops) }
    }
}

/// A packet that ends at an exit and is nothing.
fn drop_cover<R: CryptoRng>(
    batch: &mut Batch<'_, '_, R>,
    document: &Document,
    relay: &mut Relay,
    hops: FirstHop<'_>,
) -> Result<(), StoreError> {
    if let Some(built) = build::drop(batch, document, batch.now.next_tick(batch.params.tick), hops.only()) {
        let sent = relay.send_own(batch, &built)?;
        batch.counts.drops += u64::from(sent);
    }
    Ok(())
}
