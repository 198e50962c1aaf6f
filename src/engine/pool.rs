//! What a mix holds, and when it lets go of it.

use super::rows::{Pooled, Then};
use crate::directory::Params;
use crate::mix::{delay, epoch};
use crate::store::RowId;
use crate::time::Time;
use rand_core::CryptoRng;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long a packet waits whose content found no room.
const NO_ROOM: Duration = Duration::from_secs(60);

/// A packet that is later than this part of an epoch, five minutes of a day, and than a tick, has missed its batch.
const LATE: u32 = 288;

/// Packets, due or not, until somebody else answers for them.
#[derive(Debug, Default)]
pub(super) struct Pool {
    rows: BTreeMap<RowId, Pooled>,
    /// Rows not yet due, by the tick they leave at.
    held: BTreeSet<(Time, RowId)>,
    /// When it was last looked into.
    looked: Time,
}

/// What has come due.
#[derive(Debug, Default)]
pub(super) struct Due {
    /// What leaves, or ends here, now.
    pub(super) leaving: Vec<RowId>,
    /// What can't get to its next hop in time any more.
    pub(super) lost: Vec<RowId>,
}

impl Pool {
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn get(&self, id: RowId) -> Option<Pooled> {
        self.rows.get(&id).copied()
    }

    pub(super) fn remove(&mut self, id: RowId) {
        self.rows.remove(&id);
    }

    /// Holds a packet until it is due.
    pub(super) fn hold(&mut self, id: RowId, row: Pooled) {
        self.rows.insert(id, row);
        self.held.insert((row.due, id));
    }

    /// Adds a packet that leaves at once.
    pub(super) fn add(&mut self, id: RowId, row: Pooled) {
        self.rows.insert(id, row);
    }

    /// Keeps a packet that ended here for a little longer, because there was no room for what it carried.
    pub(super) fn keep(&mut self, now: Time, id: RowId) {
        self.held.insert((now.plus(NO_ROOM), id));
    }

    pub(super) fn next_due(&self) -> Option<Time> {
        self.held.first().map(|(due, _)| *due)
    }

    /// Takes out what is due. What should have left at an earlier tick, because the node was down or its clock has
    /// jumped, doesn't leave now: at one stroke it would show what was held, and in any order of its own when it came.
    /// It gets a new draw. Only where the clock `is_sure` a packet is given up for being too late.
    pub(super) fn take_due<R: CryptoRng>(&mut self, now: Time, params: &Params, is_sure: bool, rng: &mut R) -> Due {
        let late = params.tick.max(params.epoch / LATE);
        if now.plus(late) < self.looked {
            // What was put off by a clock that was ahead is due when it was.
            let held = std::mem::take(&mut self.held);
            self.held = held.into_iter().filter_map(|(_, id)| Some((self.rows.get(&id)?.due, id))).collect();
        }
        self.looked = now;
        let mut due = Due::default();
        let mut put_off = Vec::new();
        while let Some(&(at, id)) = self.held.first().filter(|(at, _)| *at <= now) {
            self.held.pop_first();
            let Some(row) = self.rows.get(&id) else { continue };
            if matches!(row.then, Then::Open | Then::Reply(_)) || now.since(at) <= late {
                due.leaving.push(id);
                continue;
            }
            let in_time = delay::anew(now, epoch::too_late(row.due, now, params), params, rng);
            match in_time.or_else(|| if is_sure { None } else { delay::anew(now, Time::LAST, params, rng) }) {
                Some(at) => put_off.push((at, id)),
                None => due.lost.push(id),
            }
        }
        self.held.extend(put_off);
        due
    }
}
