//! Who handed over the pieces of mails that are not whole yet, so that what one neighbour brings can push out nothing but
//! what it has brought itself.
//!
//! A piece lies here until its siblings come, which whoever sent it decides: pieces that never have any cost a stranger
//! one packet each, and would fill the share of the mixes that passed them on in good faith, until those could hand over
//! nothing any more. So the pieces of all neighbours together may fill half of the room for packets, each neighbour its
//! part of that; beyond it, its oldest piece goes for a new one. Honest mail becomes whole within hours, has spare pieces,
//! and is sent again where those don't suffice.

use super::quota::Pot;
use crate::id::{NodeId, SetId};
use crate::store::RowId;
use std::collections::{BTreeMap, BTreeSet};

/// The pieces, by who handed them over; nobody that is known, if they were here before the start.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pot: Pot,
    owners: BTreeMap<RowId, Owned>,
    /// Rows are numbered in the order in which they are made: the first one of an owner is its oldest.
    by_owner: BTreeSet<(Option<NodeId>, RowId)>,
}

/// A piece.
#[derive(Debug, Clone, Copy)]
struct Owned {
    owner: Option<NodeId>,
    set: SetId,
    index: u8,
}

impl Parts {
    /// A piece is kept.
    pub(super) fn add(&mut self, row: RowId, owner: Option<NodeId>, set: SetId, index: u8) {
        self.pot.add(owner, 1);
        self.by_owner.insert((owner, row));
        self.owners.insert(row, Owned { owner, set, index });
    }

    /// A piece goes.
    pub(super) fn remove(&mut self, row: RowId) {
        if let Some(Owned { owner, .. }) = self.owners.remove(&row) {
            self.pot.remove(owner, 1);
            self.by_owner.remove(&(owner, row));
        }
    }

    /// The piece that has to go before one more of `owner` may be kept, where all may fill `limit` slots: its own oldest
    /// one, or else the oldest one of nobody that is known. None if there is room, or nothing to go.
    pub(super) fn in_the_way(&self, owner: Option<NodeId>, limit: u64) -> Option<(RowId, SetId, u8)> {
        if self.pot.has_room(owner.as_ref(), 1, limit) {
            return None;
        }
        let oldest_of = |owner| {
            let rows = (owner, RowId(0))..=(owner, RowId(u64::MAX));
            self.by_owner.range(rows).next().map(|(_, row)| *row)
        };
        let row = oldest_of(owner).or_else(|| oldest_of(None))?;
        self.owners.get(&row).map(|of| (row, of.set, of.index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Option<NodeId> = Some(NodeId([1; 32]));
    const B: Option<NodeId> = Some(NodeId([2; 32]));
    const SET: SetId = SetId([7; 16]);

    fn in_the_way(parts: &Parts, owner: Option<NodeId>) -> Option<u64> {
        parts.in_the_way(owner, 12).map(|(row, ..)| row.0)
    }

    #[test]
    fn a_neighbour_pushes_out_its_own_oldest_piece_and_nobody_elses() {
        let mut parts = Parts::default();
        (0..4).for_each(|n| parts.add(RowId(n), A, SET, 0));
        assert_eq!((in_the_way(&parts, A), in_the_way(&parts, B)), (Some(0), None), "a third is its share");
        parts.add(RowId(4), B, SET, 5);
        parts.remove(RowId(0));
        parts.remove(RowId(0));
        assert_eq!(in_the_way(&parts, A), None);
        parts.add(RowId(9), A, SET, 0);
        assert_eq!((in_the_way(&parts, A), in_the_way(&parts, B)), (Some(1), None));
        assert_eq!(parts.in_the_way(B, 3), Some((RowId(4), SET, 5)), "the operator gives less room");
    }

    #[test]
    fn what_was_here_before_the_start_makes_room_for_whoever_has_nothing_to_give() {
        let mut parts = Parts::default();
        (0..12).for_each(|n| parts.add(RowId(n), None, SET, 0));
        assert_eq!((in_the_way(&parts, A), in_the_way(&parts, None)), (Some(0), Some(0)));
        parts.remove(RowId(0));
        assert_eq!(in_the_way(&parts, A), None);
        parts.add(RowId(12), A, SET, 0);
        assert_eq!((in_the_way(&parts, A), in_the_way(&parts, B)), (Some(12), Some(1)));
        assert_eq!(Parts::default().in_the_way(A, 0), None);
    }
}
