//! `fog ping`: loops that go through nodes of the operator's choice. They leave in slots in which a loop leaves anyway, so
//! that who watches sees nothing of it.

use super::Batch;
use super::health::Outcome;
use super::rows::{Loop, damaged};
use crate::id::NodeId;
use crate::mix::random::choose;
use crate::store::{RowId, Shelf, Store, StoreError};
use crate::time::Time;
use crate::wire::{Malformed, Reader, Writer};
use rand_core::CryptoRng;
use std::collections::BTreeMap;

const VERSION: u8 = 1;

/// A wish of the one who runs this node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PingAsk {
    /// How do the loops do that were asked for?
    Show,
    /// A loop through each mix and exit.
    All,
    /// A loop through the node of this name.
    Node(String),
}

/// What comes of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PingAnswer {
    /// No other mix or exit of the document has this name.
    Unknown,
    /// What is known of each node that was asked for.
    Table(Vec<Pinged>),
}

/// What is known of one node, by loops since it was asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pinged {
    /// Its published name.
    pub name: String,
    /// Whether the loop that was asked for still waits for its slot.
    pub waits: bool,
    /// Loops through it that are within their delays.
    pub under_way: u64,
    /// Those that came back.
    pub back: u32,
    /// Those that didn't.
    pub lost: u32,
}

/// What was asked for, over restarts.
#[derive(Debug, Default)]
pub(super) struct Pings {
    row: Option<RowId>,
    asked: BTreeMap<NodeId, Ping>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Ping {
    since: Time,
    waits: bool,
    back: u32,
    lost: u32,
}

impl Ping {
    /// Whether the answer is there.
    const fn is_over(&self) -> bool {
        !self.waits && self.back.saturating_add(self.lost) > 0
    }
}

impl Pings {
    pub(super) fn open(store: &Store) -> Result<Self, StoreError> {
        let Some(row) = store.rows(Shelf::Pings)?.pop() else { return Ok(Self::default()) };
        let asked = decode(&row.meta).map_err(|Malformed| damaged())?;
        Ok(Self { row: Some(row.id), asked })
    }

    /// Does what is asked. What was asked for before and has no answer yet goes on as it was.
    pub(super) fn ask<'l, R: CryptoRng>(
        &mut self,
        batch: &mut Batch<'_, '_, R>,
        ask: &PingAsk,
        loops: impl Iterator<Item = &'l Loop> + Clone,
    ) -> Result<PingAnswer, StoreError> {
        let Some(document) = batch.document else { return Ok(PingAnswer::Unknown) };
        let me = batch.setup.me;
        let on_paths = document.nodes().filter(|(id, node)| **id != me && (node.mix || node.exit.is_some()));
        let wanted: Vec<NodeId> = match ask {
            PingAsk::Show => Vec::new(),
            PingAsk::All => on_paths.map(|(id, _)| *id).collect(),
            PingAsk::Node(name) => on_paths.filter(|(_, node)| node.name == *name).map(|(id, _)| *id).collect(),
        };
        if wanted.is_empty() && *ask != PingAsk::Show {
            return Ok(PingAnswer::Unknown);
        }
        let before = self.asked.clone();
        self.asked.retain(|id, _| document.node(id).is_some());
        for id in wanted {
            let fresh = Ping { since: batch.now, waits: true, back: 0, lost: 0 };
            let ping = self.asked.entry(id).or_insert(fresh);
            if ping.is_over() {
                *ping = fresh;
            }
        }
        if self.asked != before {
            self.keep(batch)?;
        }
        let told = self.asked.iter().filter_map(|(id, ping)| {
            let name = document.node(id)?.name.clone();
            let through = loops.clone().filter(|row| row.left >= ping.since && row.path.contains(id));
            let under_way = u64::try_from(through.count()).unwrap_or(u64::MAX);
            Some(Pinged { name, waits: ping.waits, under_way, back: ping.back, lost: ping.lost })
        });
        Ok(PingAnswer::Table(told.collect()))
    }

    /// One of the nodes through which the next loop is to go.
    pub(super) fn next(&self, rng: &mut impl CryptoRng) -> Option<NodeId> {
        let waiting: Vec<NodeId> = self.asked.iter().filter(|(_, ping)| ping.waits).map(|(id, _)| *id).collect();
        choose(&waiting, rng).copied()
    }

    /// A loop goes this way.
    pub(super) fn sent<R: CryptoRng>(
        &mut self,
        batch: &mut Batch<'_, '_, R>,
        path: &[NodeId],
    ) -> Result<(), StoreError> {
        let mut changed = false;
        for (_, ping) in self.asked.iter_mut().filter(|(id, ping)| ping.waits && path.contains(id)) {
            ping.waits = false;
            changed = true;
        }
        if changed { self.keep(batch) } else { Ok(()) }
    }

    /// It is known what became of these loops.
    pub(super) fn settled<R: CryptoRng>(
        &mut self,
        batch: &mut Batch<'_, '_, R>,
        outcomes: &[Outcome],
    ) -> Result<(), StoreError> {
        let before = self.asked.clone();
        for Outcome { path, left, is_back } in outcomes {
            for (_, ping) in self.asked.iter_mut().filter(|(id, ping)| ping.since <= *left && path.contains(id)) {
                let count = if *is_back { &mut ping.back } else { &mut ping.lost };
                *count = count.saturating_add(1);
            }
        }
        if self.asked == before { Ok(()) } else { self.keep(batch) }
    }

    fn keep<R: CryptoRng>(&mut self, batch: &mut Batch<'_, '_, R>) -> Result<(), StoreError> {
        let meta = encode(&self.asked);
        if let Some(row) = self.row {
            return batch.txn.set_meta(Shelf::Pings, row, batch.epoch, &meta, batch.rng);
        }
        self.row = Some(batch.txn.put(Shelf::Pings, batch.epoch, &meta, &[], &[], batch.rng)?);
        Ok(())
    }
}

fn encode(asked: &BTreeMap<NodeId, Ping>) -> Vec<u8> {
    let mut w = Writer::with_capacity(1 + 49 * asked.len());
    w.u8(VERSION);
    for (id, ping) in asked {
        w.bytes(&id.0).u64(ping.since.as_millis()).u8(u8::from(ping.waits)).u32(ping.back).u32(ping.lost);
    }
    w.finish()
}

fn decode(meta: &[u8]) -> Result<BTreeMap<NodeId, Ping>, Malformed> {
    let mut r = Reader::new(meta);
    if r.u8()? != VERSION {
        return Err(Malformed);
    }
    let mut asked = BTreeMap::new();
    while !r.rest().is_empty() {
        let id = NodeId(r.array()?);
        let since = Time::from_millis(r.u64()?);
        let waits = match r.u8()? {
            0 => false,
            1 => true,
            _ => return Err(Malformed),
        };
        asked.insert(id, Ping { since, waits, back: r.u32()?, lost: r.u32()? });
    }
    Ok(asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_for_comes_back_as_it_was_written() {
        let ping = |waits, back| Ping { since: Time::from_millis(7), waits, back, lost: 2 };
        for asked in [vec![], vec![(NodeId([1; 32]), ping(true, 0)), (NodeId([2; 32]), ping(false, 3))]] {
            let asked: BTreeMap<_, _> = asked.into_iter().collect();
            let row = encode(&asked);
            assert_eq!(decode(&row), Ok(asked));
            assert!(decode(&[&row[..], &[0]].concat()).is_err());
        }
        assert_eq!((ping(true, 3).is_over(), ping(false, 0).is_over()), (false, true));
    }
}
