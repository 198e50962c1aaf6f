//! What is to be expected of a network's traffic, from what is seen of all of it.

use super::super::num::{NONE, NodeIx, ix, node, real};
use super::super::trace::Trace;

/// Rounds in which arrivals and departures are brought into line; more change little.
const ROUNDS: usize = 8;

/// How much goes where, as anybody sees who watches long enough.
pub(super) struct Flows {
    nodes: Vec<Node>,
    /// The share of what came to a node that left it again.
    passed: Vec<f64>,
    /// How likely a packet that is passed on goes to a node.
    goes_to: Vec<f64>,
    /// What a node sends of its own to a first hop of its at a tick, on average.
    to_first: f64,
    /// And to any other node: what fills up batches, and receipts.
    to_other: f64,
}

/// What can be told of a node's packets by the ticks at which they came and left, and the delay law.
struct Node {
    /// How much rather, or less, a packet that came at this tick was passed on than the share of all: many that left at a
    /// time when few could be due speak for those few.
    weight: Vec<f64>,
    /// Packets passed on that are to be expected at this tick.
    due: Vec<f64>,
}

impl Flows {
    pub(super) fn of(trace: &Trace, law: &[f64]) -> Self {
        let ticks = ix(trace.ticks) + 1;
        let (mut came, mut left, mut goes_to) =
            (vec![0.0; trace.nodes], vec![0.0; trace.nodes], vec![0.0; trace.nodes]);
        let (mut to_first, mut to_other) = (0.0, 0.0);
        let mut sent = vec![0.0; trace.nodes * ticks];
        for leg in &trace.legs {
            add(&mut came, usize::from(leg.to));
            add(&mut sent, usize::from(leg.from) * ticks + ix(leg.tick));
            if leg.came_by != NONE {
                add(&mut left, usize::from(leg.from));
                add(&mut goes_to, usize::from(leg.to));
            } else if is_first(trace, leg.from, leg.to) {
                to_first += 1.0;
            } else {
                to_other += 1.0;
            }
        }
        let own = (to_first + to_other) / (real(trace.nodes) * real(ticks));
        let passed: Vec<f64> = left.iter().zip(&came).map(|(left, came)| left / f64::max(*came, 1.0)).collect();
        let nodes = (0..trace.nodes).zip(sent.chunks(ticks)).zip(&passed);
        let nodes = nodes
            .map(|((place, sent), passed)| Node::of(&arrivals(trace, node(place), ticks), sent, law, *passed, own));
        let nodes = nodes.collect();
        let all: f64 = goes_to.iter().sum();
        goes_to.iter_mut().for_each(|share| *share /= all.max(1.0));
        let links = real(trace.nodes * trace.nodes.saturating_sub(1));
        let firsts: f64 = trace.first_hops.iter().map(|hops| real(hops.len())).sum();
        to_first /= firsts.max(1.0) * real(ticks);
        to_other /= (links - firsts).max(1.0) * real(ticks);
        Self { nodes, passed, goes_to, to_first, to_other }
    }

    /// Packets that are to be expected on a link in a batch.
    pub(super) fn expected(&self, trace: &Trace, from: NodeIx, to: NodeIx, tick: u32) -> f64 {
        let due = self.nodes.get(usize::from(from)).and_then(|node| node.due.get(ix(tick))).copied().unwrap_or(0.0);
        let own = if is_first(trace, from, to) { self.to_first } else { self.to_other };
        (due * self.share_to(from, to) + own).max(1e-12)
    }

    /// How much rather a packet that came to `node` at `tick` was passed on than others.
    pub(super) fn weight(&self, node: NodeIx, tick: u32) -> f64 {
        self.nodes.get(usize::from(node)).and_then(|node| node.weight.get(ix(tick))).copied().unwrap_or(1.0)
    }

    /// How likely a packet that came to `from` goes on to `to`.
    pub(super) fn passed_to(&self, from: NodeIx, to: NodeIx) -> f64 {
        self.passed.get(usize::from(from)).copied().unwrap_or(0.0) * self.share_to(from, to)
    }

    /// The share of what `from` passes on that goes to `to`.
    fn share_to(&self, from: NodeIx, to: NodeIx) -> f64 {
        let of = |node: NodeIx| self.goes_to.get(usize::from(node)).copied().unwrap_or(0.0);
        of(to) / (1.0 - of(from)).max(1e-9)
    }
}

impl Node {
    /// Weighs the ticks at which packets came until two things hold as far as they can: what came at each tick left in the
    /// usual share, and at each tick as many left as did (the scaling of Sinkhorn, with `own` packets a tick of the node's
    /// own). So it is used that each packet leaves once, and no more than that.
    fn of(came: &[f64], sent: &[f64], law: &[f64], passed: f64, own: f64) -> Self {
        let mut weight = vec![1.0; came.len()];
        let mut due = leaving(came, &weight, law, passed);
        for _ in 0..ROUNDS {
            let over: Vec<f64> = sent.iter().zip(&due).map(|(sent, due)| sent / (due + own).max(1e-9)).collect();
            let mut seen = vec![0.0; came.len()];
            for (lag, chance) in delays(law) {
                seen.iter_mut().zip(over.iter().skip(lag)).for_each(|(sum, over)| *sum += chance * over);
            }
            for (tick, (weight, seen)) in weight.iter_mut().zip(&seen).enumerate() {
                // What leaves after the end is as much as expected.
                let unseen: f64 = law.iter().skip(came.len() - tick).sum();
                *weight = 1.0 / (seen + unseen).max(1e-3);
            }
            due = leaving(came, &weight, law, passed);
        }
        Self { weight, due }
    }
}

/// How many packets leave at each tick, of those that came, by their weights.
fn leaving(came: &[f64], weight: &[f64], law: &[f64], passed: f64) -> Vec<f64> {
    let leaves: Vec<f64> = came.iter().zip(weight).map(|(came, weight)| came * weight * passed).collect();
    let mut due = vec![0.0; came.len()];
    for (lag, chance) in delays(law) {
        due.iter_mut().skip(lag).zip(&leaves).for_each(|(sum, leaves)| *sum += leaves * chance);
    }
    due
}

/// The delays that there are, in ticks, and how likely each is. With these in the outer loop the inner ones are of many
/// sums that don't wait for each other: ten times as fast.
fn delays(law: &[f64]) -> impl Iterator<Item = (usize, &f64)> {
    law.iter().enumerate().filter(|(_, chance)| **chance > 0.0)
}

/// Packets that came to `node`, by the tick at which they had left the one before.
fn arrivals(trace: &Trace, node: NodeIx, ticks: usize) -> Vec<f64> {
    let mut came = vec![0.0; ticks];
    for leg in trace.legs.get(trace.arrivals(node)).unwrap_or_default() {
        add(&mut came, ix(leg.tick));
    }
    came
}

fn add(counts: &mut [f64], place: usize) {
    counts.get_mut(place).into_iter().for_each(|count| *count += 1.0);
}

/// Whether `to` is a first hop of `from`.
pub(super) fn is_first(trace: &Trace, from: NodeIx, to: NodeIx) -> bool {
    trace.first_hops.get(usize::from(from)).is_some_and(|hops| hops.contains(&to))
}
