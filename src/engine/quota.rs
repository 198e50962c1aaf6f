//! How much of this node each neighbour may fill, so that one that floods us can't keep the others' packets out.
//!
//! No number of neighbours stands in it: each may hold half of what is left. One that takes all it can get ends at a
//! third of the whole, two at a quarter each, k at 1/(k+2); there is always room for somebody who holds little.
//!
//! Mail that they have brought for the local MTA has a room of its own: packed into one packet it may be a hundred times
//! as long, and if it had to fit in beside the packets, a neighbour's packets could take the room that they need
//! themselves to end.

use crate::id::{Epoch, NodeId};
use crate::store::{RowId, SLOT_LEN};
use std::collections::BTreeMap;

/// So many bytes that the store may take let in one new replay tag an epoch: with 16 bytes and what the table adds, tags
/// are a few percent of it. A store of 1 GiB takes a million packets a day, and a third of them from one neighbour.
const BYTES_PER_TAG: u64 = 1024;

/// New replay tags of one epoch that even the smallest store has room for: a few megabytes.
const MIN_TAGS: u64 = 65_536;

/// Slots of the store that may be in use, and what for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Rooms {
    /// For mail of this node's users, and its packets.
    pub(super) own: u64,
    /// For others' packets.
    packets: u64,
    /// For what they have brought for the local MTA.
    outbox: u64,
}

impl Rooms {
    /// Of a store that may take `max` bytes. Half of them are for others' packets, whatever the users of this node have
    /// handed in: two nodes that are full of mail for each other could never take the first packet else.
    pub(super) const fn of(max: u64, is_exit: bool) -> Self {
        let half = max / 2 / SLOT_LEN as u64;
        let outbox = if is_exit { half / 2 } else { 0 };
        Self { own: half - outbox, packets: half, outbox }
    }

    /// How much of the room for packets may be in use by pieces of mails that are not whole yet.
    pub(super) const fn parts(&self) -> u64 {
        self.packets / 2
    }
}

/// What neighbours have filled of this node.
#[derive(Debug, Default)]
pub(super) struct Quota {
    /// Rows that hold others' packets, or parts from them.
    rows: Rows,
    /// Rows that hold mail for the local MTA.
    outbox: Rows,
    /// Tags that were new in `epoch`. Peeled packets that leave no row leave a tag.
    tags: Pot,
    epoch: Option<Epoch>,
}

impl Quota {
    /// Whether `from` may hand over one more packet, in a store that may take `max` bytes, so many `rooms`.
    pub(super) fn admits(&self, from: &NodeId, now: Epoch, max: u64, rooms: Rooms) -> bool {
        let tags = self.epoch != Some(now) || self.tags.has_room(Some(from), 1, tags_of(max));
        tags && self.rows.pot.has_room(Some(from), 1, rooms.packets)
    }

    /// Whether the mail that the packet in `row` completes may lie here, if it takes so many slots. One alone always may,
    /// or what is longer than a share would never go out.
    pub(super) fn takes_mail(&self, row: RowId, slots: u64, rooms: Rooms) -> bool {
        let pot = &self.outbox.pot;
        pot.total == 0 || pot.has_room(self.rows.owner(row).as_ref(), slots, rooms.outbox)
    }

    /// Whether an answer to what the packet in `row` completes may lie here: it is its neighbour's as much as the packet.
    pub(super) fn has_room_for_answer(&self, row: RowId, rooms: Rooms) -> bool {
        self.rows.pot.has_room(self.rows.owner(row).as_ref(), 1, rooms.packets)
    }

    /// A replay tag was written.
    pub(super) fn tagged(&mut self, from: NodeId, now: Epoch) {
        if self.epoch != Some(now) {
            (self.tags, self.epoch) = (Pot::default(), Some(now));
        }
        self.tags.add(Some(from), 1);
    }

    /// `row` is filled by `from`; by nobody that is known, if it was found at the start.
    pub(super) fn charge(&mut self, row: RowId, from: Option<NodeId>) {
        self.rows.charge(row, from, 1);
    }

    /// What was in `row` lies in `heir` now, and is its neighbour's still.
    pub(super) fn inherit(&mut self, row: RowId, heir: RowId) {
        self.rows.charge(heir, self.rows.owner(row), 1);
    }

    /// Who has filled a row.
    pub(super) fn owner(&self, row: RowId) -> Option<NodeId> {
        self.rows.owner(row)
    }

    /// The row goes.
    pub(super) fn release(&mut self, row: RowId) {
        self.rows.release(row);
    }

    /// The mail that the packet in `row` completes lies in `mail` now; in so many slots.
    pub(super) fn charge_mail(&mut self, mail: RowId, row: RowId, slots: u64) {
        self.outbox.charge(mail, self.rows.owner(row), slots);
    }

    /// A mail for the MTA that was found at the start.
    pub(super) fn charge_found_mail(&mut self, mail: RowId, slots: u64) {
        self.outbox.charge(mail, None, slots);
    }

    /// The MTA has it, or nobody will.
    pub(super) fn release_mail(&mut self, mail: RowId) {
        self.outbox.release(mail);
    }

    /// Slots of the store that hold what others handed over.
    pub(super) const fn slots(&self) -> u64 {
        self.rows.pot.total.saturating_add(self.outbox.pot.total)
    }

    /// Of the three rooms the share in use, in percent: of the fullest one, if `own` slots are this node's own.
    pub(super) fn percent(&self, own: u64, rooms: Rooms) -> u64 {
        let used = [(own, rooms.own), (self.rows.pot.total, rooms.packets), (self.outbox.pot.total, rooms.outbox)];
        used.into_iter().map(|(used, of)| used.saturating_mul(100) / of.max(1)).max().unwrap_or(0)
    }
}

/// Rows, and who filled how many slots of the store with each; none for those that were here before the start. In memory
/// alone: on disk it would join the two ends of a hop.
#[derive(Debug, Default)]
struct Rows {
    owners: BTreeMap<RowId, (Option<NodeId>, u64)>,
    pot: Pot,
}

impl Rows {
    fn owner(&self, row: RowId) -> Option<NodeId> {
        self.owners.get(&row).and_then(|(owner, _)| *owner)
    }

    fn charge(&mut self, row: RowId, from: Option<NodeId>, slots: u64) {
        self.owners.insert(row, (from, slots));
        self.pot.add(from, slots);
    }

    fn release(&mut self, row: RowId) {
        if let Some((owner, slots)) = self.owners.remove(&row) {
            self.pot.remove(owner, slots);
        }
    }
}

fn tags_of(max: u64) -> u64 {
    (max / BYTES_PER_TAG).max(MIN_TAGS)
}

/// Something that neighbours fill together.
#[derive(Debug, Default)]
pub(super) struct Pot {
    total: u64,
    by_peer: BTreeMap<NodeId, u64>,
}

impl Pot {
    /// Whether `peer` may add so many, one after the other.
    pub(super) fn has_room(&self, peer: Option<&NodeId>, count: u64, limit: u64) -> bool {
        let theirs = peer.and_then(|peer| self.by_peer.get(peer)).copied().unwrap_or(0);
        let before_last = count.saturating_sub(1);
        let left = limit.saturating_sub(self.total).saturating_sub(before_last);
        theirs.saturating_add(before_last).saturating_mul(2) < left
    }

    /// `peer` has added so many; nobody that is known, if none.
    pub(super) fn add(&mut self, peer: Option<NodeId>, count: u64) {
        self.total = self.total.saturating_add(count);
        if let Some(peer) = peer {
            let theirs = self.by_peer.entry(peer).or_default();
            *theirs = theirs.saturating_add(count);
        }
    }

    /// So many go that `peer` had added.
    pub(super) fn remove(&mut self, peer: Option<NodeId>, count: u64) {
        self.total = self.total.saturating_sub(count);
        if let Some(peer) = peer
            && let Some(theirs) = self.by_peer.get_mut(&peer)
        {
            *theirs = theirs.saturating_sub(count);
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
    const ROOMS: Rooms = Rooms::of(MAX, true);

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
                if quota.admits(&peer(*n), TODAY, MAX, ROOMS) {
                    quota.charge(RowId(next), Some(peer(*n)));
                    (next, going) = (next + 1, true);
                }
            }
        }
        peers.iter().map(|n| quota.rows.pot.by_peer.get(&peer(*n)).copied().unwrap_or(0)).collect()
    }

    #[test]
    fn however_many_flood_there_is_room_for_one_who_holds_little() {
        assert_eq!(fill(&mut Quota::default(), &[1]), [40]);
        assert_eq!(fill(&mut Quota::default(), &[1, 2]), [30, 30]);
        for k in 1..50 {
            let mut quota = Quota::default();
            fill(&mut quota, &(1..=k).collect::<Vec<_>>());
            assert!(!quota.admits(&peer(1), TODAY, MAX, ROOMS), "{k}: it has had its share");
            assert!(quota.admits(&peer(99), TODAY, MAX, ROOMS), "{k}: nothing is left");
        }
    }

    #[test]
    fn what_goes_makes_room_and_what_is_passed_on_does_not() {
        let mut quota = Quota::default();
        fill(&mut quota, &[1]);
        quota.inherit(RowId(1000), RowId(5));
        quota.release(RowId(1000));
        assert!(!quota.admits(&peer(1), TODAY, MAX, ROOMS));
        quota.release(RowId(5));
        quota.release(RowId(5));
        assert!(quota.admits(&peer(1), TODAY, MAX, ROOMS));
        (1001..1040).for_each(|row| quota.release(RowId(row)));
        assert_eq!((quota.slots(), quota.rows.pot.by_peer.len(), quota.rows.owners.len()), (0, 0, 0));
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
    fn attack_5_tags_that_leave_no_row_are_counted_until_the_epoch_is_over() {
        let mut quota = Quota::default();
        let mut taken = 0;
        while taken <= MIN_TAGS && quota.admits(&peer(1), TODAY, MAX, ROOMS) {
            quota.tagged(peer(1), TODAY);
            taken += 1;
        }
        assert_eq!(taken, MIN_TAGS.div_ceil(3));
        assert!(quota.admits(&peer(2), TODAY, MAX, ROOMS));
        assert!(quota.admits(&peer(1), TODAY.plus(1), MAX, ROOMS));
        quota.tagged(peer(1), TODAY.plus(1));
        assert!(quota.admits(&peer(1), TODAY.plus(1), MAX, ROOMS));
    }

    #[test]
    fn a_large_store_has_room_for_more_tags() {
        const LARGE: u64 = 1 << 28;
        let (mut quota, rooms, mut taken) = (Quota::default(), Rooms::of(LARGE, false), 0);
        while taken <= LARGE && quota.admits(&peer(1), TODAY, LARGE, rooms) {
            quota.tagged(peer(1), TODAY);
            taken += 1;
        }
        assert_eq!(taken, (LARGE / BYTES_PER_TAG).div_ceil(3));
    }

    #[test]
    fn mail_for_the_mta_has_a_room_of_its_own_and_each_neighbour_a_share_of_that() {
        let mut quota = Quota::default();
        assert_eq!((ROOMS.own, ROOMS.packets, ROOMS.outbox), (60, 120, 60));
        fill(&mut quota, &[1, 2]);
        let packet = |n: u8| if n == 1 { RowId(1000) } else { RowId(1001) };
        let mut mails = 0;
        while quota.takes_mail(packet(1), 7, ROOMS) {
            quota.charge_mail(RowId(5000 + mails), packet(1), 7);
            mails += 1;
        }
        assert_eq!(mails, 2, "a third of 60, in mails of 7");
        assert!(quota.takes_mail(packet(2), 7, ROOMS), "another neighbour is shut out");
        assert!(!quota.takes_mail(packet(2), 100, ROOMS));
        assert_eq!(quota.slots(), 60 + 14);
        assert_eq!((quota.percent(30, ROOMS), quota.percent(0, Rooms { outbox: 15, ..ROOMS })), (50, 93));
        quota.release_mail(RowId(5000));
        assert!(quota.takes_mail(packet(1), 7, ROOMS));
        quota.release_mail(RowId(5001));
        quota.release_mail(RowId(5001));
        assert_eq!(quota.slots(), 60);
        assert!(quota.takes_mail(packet(2), 100, ROOMS), "alone it may lie here, or it would never go out");
        quota.charge_found_mail(RowId(7), 3);
        assert!(!quota.takes_mail(packet(2), 100, ROOMS));
    }

    #[test]
    fn a_store_that_may_take_nothing_admits_nobody() {
        assert!(!Quota::default().admits(&peer(1), TODAY, 0, Rooms::of(0, true)));
    }
}
