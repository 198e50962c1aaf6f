//! What happened in a network: every packet on every link, and which of them were letters.
//!
//! Who watches all links sees `Leg`s: from whom to whom and in which batch. What he doesn't see (`came_by`, and which legs
//! were a letter's) is here too: nodes that are bad know the former, and the judge needs the latter to say who was right.

use super::num::{NONE, NodeIx, count, ix};
use std::ops::Range;

/// One packet on one link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Leg {
    /// The node it left.
    pub from: NodeIx,
    /// The node it came to.
    pub to: NodeIx,
    /// The tick at which it left; it came in the same one, shortly after.
    pub tick: u32,
    /// The leg by which it had come to the node it left; `NONE` if it was built there. Only that node knows.
    pub came_by: u32,
}

/// A letter that was handed in, and what became of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Letter {
    /// The node it was handed in at.
    pub sender: NodeIx,
    /// When, in ms after the network's start.
    pub submitted: u64,
    /// The exit at which it left the network, and the tick of that; `None` if it did not.
    pub delivered: Option<(NodeIx, u32)>,
    /// The last legs of its packets: the one that completed it first.
    pub last_legs: Vec<u32>,
}

/// A network's traffic over a time.
#[derive(Debug, Default)]
pub struct Trace {
    /// How many nodes.
    pub nodes: usize,
    /// Ticks it covers.
    pub ticks: u32,
    /// The nodes that are exits.
    pub exits: Vec<NodeIx>,
    /// The first hops of each node's packets, each as likely. He who watches for weeks knows them: what a node sends of its
    /// own goes there, so more goes there.
    pub first_hops: Vec<Vec<NodeIx>>,
    /// Whether exits answered each letter, by two reply blocks.
    pub receipts: bool,
    /// Every packet on a link: by the node it came to, then by time, once `sort` was called.
    pub legs: Vec<Leg>,
    /// The letters, in the order in which they were handed in.
    pub letters: Vec<Letter>,
    /// Where the legs to each node begin; `sort` makes it.
    pub(super) starts: Vec<usize>,
}

impl Trace {
    /// Puts the legs in the order of the nodes they came to; within one, time's. They must be in that of time before.
    pub(super) fn sort(&mut self) {
        let mut starts = vec![0; self.nodes + 1];
        self.legs.iter().for_each(|leg| bump(&mut starts, usize::from(leg.to) + 1));
        let mut sum = 0;
        starts.iter_mut().for_each(|start| {
            sum += *start;
            *start = sum;
        });
        let mut next = starts.clone();
        let mut places = Vec::with_capacity(self.legs.len());
        for leg in &self.legs {
            let place = next.get_mut(usize::from(leg.to)).map_or(0, |next| {
                *next += 1;
                *next - 1
            });
            places.push(count(place));
        }
        let moved = |leg: u32| places.get(ix(leg)).copied().unwrap_or(NONE);
        let mut sorted = self.legs.clone();
        for (leg, place) in self.legs.iter().zip(&places) {
            if let Some(slot) = sorted.get_mut(ix(*place)) {
                *slot = Leg { came_by: moved(leg.came_by), ..*leg };
            }
        }
        self.letters.iter_mut().flat_map(|letter| &mut letter.last_legs).for_each(|leg| *leg = moved(*leg));
        (self.legs, self.starts) = (sorted, starts);
    }

    /// The numbers of the legs to `node`.
    pub(super) fn arrivals(&self, node: NodeIx) -> Range<usize> {
        let at = |n: usize| self.starts.get(n).copied().unwrap_or(self.legs.len());
        at(usize::from(node))..at(usize::from(node) + 1)
    }

    /// The numbers of the legs to `node` that left in one of `ticks`.
    pub(super) fn arrivals_in(&self, node: NodeIx, ticks: Range<u32>) -> Range<usize> {
        let all = self.arrivals(node);
        let legs = self.legs.get(all.clone()).unwrap_or_default();
        let from = legs.partition_point(|leg| leg.tick < ticks.start);
        let to = legs.partition_point(|leg| leg.tick < ticks.end);
        all.start + from..all.start + to
    }

    /// How many packets a batch had, for each node and each of `ticks`.
    pub(super) fn batches(&self, ticks: Range<u32>) -> Vec<u32> {
        let width = ticks.len();
        let mut sizes = vec![0; self.nodes * width];
        for leg in self.legs.iter().filter(|leg| ticks.contains(&leg.tick)) {
            if let Some(size) = sizes.get_mut(usize::from(leg.from) * width + ix(leg.tick - ticks.start)) {
                *size += 1;
            }
        }
        sizes
    }
}

fn bump(counts: &mut [usize], at: usize) {
    if let Some(count) = counts.get_mut(at) {
        *count += 1;
    }
}
