//! What this node's loops tell: which nodes lose packets, and whether somebody holds everything back.

use super::Batch;
use super::loops::Loops;
use super::rows::Loop;
use super::standing::Standing;
use super::tally::Tally;
use crate::directory::{Document, MAX_MEASURED, Measured, Uptime};
use crate::id::{Epoch, NodeId};
use crate::mix::health::{self, ALARM, Missing, REMEMBERED, Trips};
use crate::store::{RowId, Shelf, Store, StoreError};
use crate::time::Time;
use rand_core::CryptoRng;
use std::collections::BTreeMap;
use std::time::Duration;

/// What became of the loops of late, for the operator. Loops are no mail, and their number is a quarter of the slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LoopFigures {
    /// How many came back, of those that were due in this epoch or the one before.
    pub back: u64,
    /// How many didn't.
    pub lost: u64,
    /// How long half of those that came back took, at most.
    pub median: Option<Duration>,
}

/// What the loops of the node with this store have told of the others of `document`, for its descriptor; none before they
/// have told anything.
///
/// # Errors
/// `StoreError` if the store can't be read.
pub fn measured(store: &Store, document: &Document, now: Time) -> Result<Option<Measured>, StoreError> {
    Ok(Health::open(store)?.measured(document, now.epoch(document.params().epoch)))
}

/// What is known by loops, and kept.
#[derive(Debug, Default)]
pub(super) struct Health {
    tallies: BTreeMap<Epoch, (RowId, Tally)>,
    /// Since when this node is there to take what comes back.
    up: Option<Time>,
    /// How many loops in a row have been lost.
    lost_in_a_row: usize,
    standing: Standing,
}

impl Health {
    pub(super) fn open(store: &Store) -> Result<Self, StoreError> {
        let mut health = Self::default();
        for row in store.rows(Shelf::Health)? {
            let tally = Tally::decode(&row.meta)?;
            health.tallies.insert(tally.epoch, (row.id, tally));
        }
        health.standing = Standing::from_tallies(health.tallies.values().map(|(_, tally)| tally));
        Ok(health)
    }

    /// Whether loops don't come back at all: somebody may hold back everything but what they want to follow.
    pub(super) const fn is_alarming(&self) -> bool {
        self.lost_in_a_row >= ALARM
    }

    /// Through which nodes loops come back.
    pub(super) const fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Goes through the loops under way. Of those of which it is known what became of them the outcome is kept, by epoch
    /// and without their times, and they are taken out.
    pub(super) fn settle<R: CryptoRng>(
        &mut self,
        batch: &mut Batch<'_, '_, R>,
        loops: &mut Loops,
        is_linked: bool,
    ) -> Result<Vec<Outcome>, StoreError> {
        let (now, params) = (batch.now, batch.params);
        if !is_linked {
            // Nothing can come back, and nobody is to blame for it.
            self.up = None;
            return Ok(Vec::new());
        }
        let up = *self.up.get_or_insert(now);
        let missing = |row: &Loop| Missing::of(row.due, now, up, params);
        let over = loops.take(batch, |row| row.back.is_some() || missing(row) != Missing::OnTheWay)?;
        let mut outcomes = Vec::with_capacity(over.len());
        for row in over {
            let took = row.back.map(|back| back.since(row.left));
            if took.is_none() && missing(&row) == Missing::Forgotten {
                continue;
            }
            self.lost_in_a_row = if took.is_some() { 0 } else { self.lost_in_a_row.saturating_add(1) };
            let due = row.due.epoch(params.epoch);
            self.standing.note(&row.path, took.is_some(), due);
            self.add(batch, due, &row.path, took)?;
            outcomes.push(Outcome { path: row.path, left: row.left, is_back: took.is_some() });
        }
        self.forget(batch)?;
        Ok(outcomes)
    }

    fn add<R: CryptoRng>(
        &mut self,
        batch: &mut Batch<'_, '_, R>,
        epoch: Epoch,
        path: &[NodeId],
        took: Option<Duration>,
    ) -> Result<(), StoreError> {
        let (row, mut tally) = match self.tallies.remove(&epoch) {
            Some((row, tally)) => (Some(row), tally),
            None => (None, Tally::new(epoch)),
        };
        tally.add(path, took);
        let meta = tally.encode();
        let row = match row {
            Some(row) => batch.txn.set_meta(Shelf::Health, row, batch.epoch, &meta, batch.rng).map(|()| row)?,
            None => batch.txn.put(Shelf::Health, batch.epoch, &meta, &[], &[], batch.rng)?,
        };
        self.tallies.insert(epoch, (row, tally));
        Ok(())
    }

    /// Forgets what is too old to count.
    fn forget<R>(&mut self, batch: &mut Batch<'_, '_, R>) -> Result<(), StoreError> {
        let oldest = batch.epoch.minus(REMEMBERED - 1);
        for (_, (row, _)) in self.tallies.extract_if(..oldest, |_, _| true) {
            batch.txn.delete(Shelf::Health, row)?;
        }
        self.standing.forget(oldest);
        Ok(())
    }

    /// What became of the loops of late.
    pub(super) fn figures(&self, now: Epoch) -> LoopFigures {
        let mut figures = LoopFigures::default();
        let mut minutes = Vec::new();
        for (_, tally) in self.tallies.range(now.minus(1)..).map(|(_, kept)| kept) {
            for (back, lost) in tally.ways.values() {
                figures.back += u64::from(*back);
                figures.lost += u64::from(*lost);
            }
            minutes.extend_from_slice(&tally.minutes);
        }
        minutes.sort_unstable();
        figures.median = minutes.get(minutes.len() / 2).map(|minutes| Duration::from_secs(60 * u64::from(*minutes)));
        figures
    }

    /// What this node has found of the others of `document`, for its descriptor; none before it has measured any.
    pub(super) fn measured(&self, document: &Document, now: Epoch) -> Option<Measured> {
        let told = health::told(&self.trips(now), |id| document.node(id).is_some_and(|node| node.mix));
        if told.is_empty() {
            return None;
        }
        let mut wanting: Vec<_> =
            told.into_iter().filter(|(id, uptime)| *uptime < Uptime::FULL && document.node(id).is_some()).collect();
        wanting.sort_by_key(|(id, uptime)| (*uptime, *id));
        wanting.truncate(MAX_MEASURED);
        Some(wanting.into_iter().collect())
    }

    fn trips(&self, now: Epoch) -> Vec<Trips> {
        let of_epoch = |tally: &Tally| {
            let age = now.0.saturating_sub(tally.epoch.0);
            let trips = |(hops, (back, lost)): (&Vec<NodeId>, &(u32, u32))| Trips {
                age,
                hops: hops.clone(),
                back: *back,
                lost: *lost,
            };
            tally.ways.iter().map(trips).collect::<Vec<_>>()
        };
        self.tallies.values().flat_map(|(_, tally)| of_epoch(tally)).collect()
    }
}

/// What became of one loop, for who asked for it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Outcome {
    pub(super) path: Vec<NodeId>,
    pub(super) left: Time,
    pub(super) is_back: bool,
}
