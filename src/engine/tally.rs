//! What came of this node's loops, an epoch at a time, as it lies in the store.

use super::rows::damaged;
use crate::id::{Epoch, NodeId};
use crate::store::StoreError;
use crate::wire::{Malformed, Reader, Writer};
use std::collections::BTreeMap;
use std::time::Duration;

const VERSION: u8 = 1;

/// How long a loop took is kept no finer than this.
const GRAIN: u64 = 60;

/// The loops that were due in one epoch. When each of them left or came back is forgotten: whoever got hold of the store
/// could tell by it which of the packets that were seen to leave were loops, and so which were not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Tally {
    pub(super) epoch: Epoch,
    /// By their hops but the last, which is this node: how many came back, and how many didn't.
    pub(super) ways: BTreeMap<Vec<NodeId>, (u32, u32)>,
    /// How many minutes those took that came back, in ascending order.
    pub(super) minutes: Vec<u32>,
}

impl Tally {
    pub(super) const fn new(epoch: Epoch) -> Self {
        Self { epoch, ways: BTreeMap::new(), minutes: Vec::new() }
    }

    /// Adds a loop that took so long, or was lost.
    pub(super) fn add(&mut self, hops: &[NodeId], took: Option<Duration>) {
        let (back, lost) = self.ways.entry(hops.to_vec()).or_default();
        match took {
            None => *lost = lost.saturating_add(1),
            Some(took) => {
                *back = back.saturating_add(1);
                let minutes = u32::try_from(took.as_secs() / GRAIN).unwrap_or(u32::MAX);
                self.minutes.insert(self.minutes.partition_point(|known| *known <= minutes), minutes);
            }
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(64 + 4 * self.minutes.len() + 112 * self.ways.len());
        let count = u32::try_from(self.minutes.len()).unwrap_or(u32::MAX);
        w.u8(VERSION).u64(self.epoch.0).u32(count);
        self.minutes.iter().for_each(|minutes| {
            w.u32(*minutes);
        });
        for (hops, (back, lost)) in &self.ways {
            w.u8(u8::try_from(hops.len()).unwrap_or(u8::MAX)).u32(*back).u32(*lost);
            hops.iter().for_each(|hop| {
                w.bytes(&hop.0);
            });
        }
        w.finish()
    }

    pub(super) fn decode(meta: &[u8]) -> Result<Self, StoreError> {
        Self::read(&mut Reader::new(meta)).map_err(|Malformed| damaged())
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        if r.u8()? != VERSION {
            return Err(Malformed);
        }
        let mut tally = Self::new(Epoch(r.u64()?));
        for _ in 0..r.u32()? {
            tally.minutes.push(r.u32()?);
        }
        while !r.rest().is_empty() {
            let (hops, back, lost) = (r.u8()?, r.u32()?, r.u32()?);
            let hops = (0..hops).map(|_| Ok(NodeId(r.array()?))).collect::<Result<Vec<_>, Malformed>>()?;
            tally.ways.insert(hops, (back, lost));
        }
        Ok(tally)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_comes_back_as_it_was_written_and_knows_no_time_of_day() {
        let mut tally = Tally::new(Epoch(7));
        let [a, b] = [NodeId([1; 32]), NodeId([2; 32])];
        assert_eq!(Tally::decode(&tally.encode()).unwrap(), tally);
        for (hops, took) in [
            (vec![a, b], Some(7200)),
            (vec![b, a], None),
            (vec![a, b], Some(3659)),
            (vec![a, b], None),
            (vec![], Some(1)),
        ] {
            tally.add(&hops, took.map(Duration::from_secs));
        }
        assert_eq!(tally.minutes, [0, 60, 120]);
        assert_eq!(tally.ways[&vec![a, b]], (2, 1));
        let row = tally.encode();
        assert_eq!(Tally::decode(&row).unwrap(), tally);
        for bytes in [&row[..row.len() - 1], &[&[2], &row[1..]].concat(), &[&row[..], &[0]].concat()] {
            assert!(matches!(Tally::decode(bytes), Err(StoreError::Damaged(_))));
        }
    }
}
