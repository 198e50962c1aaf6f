//! How much of this node each neighbour may fill, so that one that floods us can't keep the others' packets out.
//!
//! No number of neighbours stands in it: each may hold half of what is left. One that takes all it can get ends at a
//! third of the whole, two at a quarter each, k at 1/(k+2); there is always room for somebody who holds little.

use crate::id::{Epoch, NodeId};
use crate::store::{RowId, SLOT_LEN};
use std::collections::BTreeMap;

/// So many bytes that the store may take let in one new replay tag an epoch: with 16 bytes and what the table adds, tags
/// are a few percent of it. A store of 1 GiB takes a million packets a day, and a third of them from one neighbour.
const BYTES_PER_TAG: u64 = 1024;

/// New replay tags of one epoch that even the smallest store has room for: a few megabytes.
const MIN_TAGS: u64 = 65_536;

/// What neighbours have filled of this node.
#[derive(Debug, Default)]
pub(super) struct Quota {
    /// Rows that hold others' packets, or parts from them, and who handed each over; none for those that were here
    /// before the start. In memory alone: on disk it would join the two ends of a hop.
    owners: BTreeMap<RowId, Option<NodeId>>,
    rows: Pot,
    /// Tags that were new in `epoch`. Peeled packets that leave no row leave a tag.
    tags: Pot,
    epoch: Option<Epoch>,
}

impl Quota {
    /// Whether `from` may hand over one more packet, in a store that may take `max` bytes. Half of them are for others'
    /// packets, whatever the users of this node have handed in: two nodes that are full of mail for each other could
    /// never take the first packet else.
    pub(super) fn admits(&self, from: &NodeId, now: Epoch, max: u64) -> bool {
        let tags = self.epoch != Some(now) || self.tags.has_room(from, tags_of(max));
        tags && self.rows.has_room(from, max / 2 / SLOT_LEN as u64)
    }

    /// A replay tag was written.
    pub(super) fn tagged(&mut self, from: NodeId, now: Epoch) {
        if self.epoch != Some(now) {
            (self.tags, self.epoch) = (Pot::default(), Some(now));
        }
        self.tags.add(Some(from));
    }

    /// `row` is filled by `from`; by nobody that is known, if it was found at the start.
    pub(super) fn charge(&mut self, row: RowId, from: Option<NodeId>) {
        self.owners.insert(row, from);
        self.rows.add(from);
    }

    /// What was in `row` lies in `heir` now, and is its neighbour's still.
    pub(super) fn inherit(&mut self, row: RowId, heir: RowId) {
        self.charge(heir, self.owners.get(&row).copied().flatten());
    }

    /// The row goes.
    pub(super) fn release(&mut self, row: RowId) {
        if let Some(owner) = self.owners.remove(&row) {
            self.rows.remove(owner);
        }
    }

    /// Slots of the store that hold what others handed over.
    pub(super) const fn slots(&self) -> u64 {
        self.rows.total
    }
}

fn tags_of(max: u64) -> u64 {
    (max / BYTES_PER_TAG).max(MIN_TAGS)
}

/// Something that neighbours fill together.
#[derive(Debug, Default)]
struct Pot {
    total: u64,
    by_peer: BTreeMap<NodeId, u64>,
}

impl Pot {
    fn has_room(&self, peer: &NodeId, limit: u64) -> bool {
        let theirs = self.by_peer.get(peer).copied().unwrap_or(0);
        theirs.saturating_mul(2) < limit.saturating_sub(self.total)
    }

    fn add(&mut self, peer: Option<NodeId>) {
        self.total += 1;
        if let Some(peer) = peer {
            *self.by_peer.entry(peer).or_default() += 1;
        }
    }

    fn remove(&mut self, peer: Option<NodeId>) {
        self.total = self.total.saturating_sub(1);
        if let Some(peer) = peer
            && let Some(theirs) = self.by_peer.get_mut(&peer)
        {
            *theirs = theirs.saturating_sub(1);
            if *theirs == 0 {
                self.by_peer.remove(&peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: u64 = 2 * 120 * SLOT_LEN as u64;
    const TODAY: Epoch = Epoch(7);

    fn peer(n: u8) -> NodeId {
        NodeId([n; 32])
    }

    /// Lets each of `peers` in turn hand over all that it may; gives how many rows each has then.
    fn fill(quota: &mut Quota, peers: &[u8]) -> Vec<u64> {
        let mut next = 1000;
        let mut going = true;
        while going {
            going = false;
            for n in peers {
                if quota.admits(&peer(*n), TODAY, MAX) {
                    quota.charge(RowId(next), Some(peer(*n)));
                    (next, going) = (next + 1, true);
                }
            }
        }
        peers.iter().map(|n| quota.rows.by_peer.get(&peer(*n)).copied().unwrap_or(0)).collect()
    }

    #[test]
    fn however_many_flood_there_is_room_for_one_who_holds_little() {
        assert_eq!(fill(&mut Quota::default(), &[1]), [40]);
        assert_eq!(fill(&mut Quota::default(), &[1, 2]), [30, 30]);
        for k in 1..50 {
            let mut quota = Quota::default();
            fill(&mut quota, &(1..=k).collect::<Vec<_>>());
            assert!(!quota.admits(&peer(1), TODAY, MAX), "{k}: it has had its share");
            assert!(quota.admits(&peer(99), TODAY, MAX), "{k}: nothing is left");
        }
    }

    #[test]
    fn what_goes_makes_room_and_what_is_passed_on_does_not() {
        let mut quota = Quota::default();
        fill(&mut quota, &[1]);
        quota.inherit(RowId(1000), RowId(5));
        quota.release(RowId(1000));
        assert!(!quota.admits(&peer(1), TODAY, MAX));
        quota.release(RowId(5));
        quota.release(RowId(5));
        assert!(quota.admits(&peer(1), TODAY, MAX));
        (1001..1040).for_each(|row| quota.release(RowId(row)));
        assert_eq!((quota.slots(), quota.rows.by_peer.len(), quota.owners.len()), (0, 0, 0));
    }

    #[test]
    fn what_was_here_before_the_start_fills_the_node_and_nobodys_share() {
        let mut quota = Quota::default();
        (0..60).for_each(|row| quota.charge(RowId(row), None));
        assert_eq!(fill(&mut quota, &[1]), [20], "a third of the rest");
        quota.inherit(RowId(0), RowId(99));
        assert_eq!(quota.slots(), 60 + 20 + 1);
    }

    #[test]
    fn tags_that_leave_no_row_are_counted_until_the_epoch_is_over() {
        let mut quota = Quota::default();
        let mut taken = 0;
        while quota.admits(&peer(1), TODAY, MAX) {
            quota.tagged(peer(1), TODAY);
            taken += 1;
        }
        assert_eq!(taken, MIN_TAGS.div_ceil(3));
        assert!(quota.admits(&peer(2), TODAY, MAX));
        assert!(quota.admits(&peer(1), TODAY.plus(1), MAX));
        quota.tagged(peer(1), TODAY.plus(1));
        assert!(quota.admits(&peer(1), TODAY.plus(1), MAX));
    }

    #[test]
    fn a_store_that_may_take_nothing_admits_nobody() {
        assert!(!Quota::default().admits(&peer(1), TODAY, 0));
    }
}
