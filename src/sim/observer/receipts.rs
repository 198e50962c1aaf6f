//! What the receipts of a letter say of its sender: both leave its exit some time after it, and come to the sender by the
//! first hop that the letter had gone by.
//!
//! A guess at a receipt's way (exit at s0, A at s1, B at s2, first hop at s3, sender) is as likely as the delays it needs,
//! times how rare the packets are that it needs; all ways are summed up, as those of the letter itself are. Two receipts
//! are two packets at the end: what a single packet says twice is taken off.

use super::super::num::{NodeIx, count, ix, real};
use super::super::trace::Trace;
use super::super::{RECEIPTS, USABLE};
use super::Observer;
use crate::directory::Params;

/// Up to so many nodes a way that has one of them twice would count for much, and each pair of sender and first hop is
/// looked at by itself.
const FEW: usize = 12;

/// How often something holds a receipt up that is not in the laws, so that he misses it.
const MISSED: f64 = 0.02;

/// Of each law so much is gone through; the rest is long, and hardly anything. What it makes late counts as not seen.
const GONE_THROUGH: f64 = 0.9995;

/// The laws of receipts, and who sent which packet.
pub(super) struct Receipts {
    /// The delay law.
    law: Vec<f64>,
    /// For each number of ticks after the letter's, how likely a receipt leaves the exit then.
    leaves: Vec<f64>,
    /// And how likely it has left its last hop by then.
    ends_by: Vec<f64>,
    /// The legs from each node, in time.
    from: Vec<Vec<u32>>,
}

/// A sender, one of its first hops, and who can't be on a way between the exit and that.
struct Pair {
    sender: NodeIx,
    first: NodeIx,
}

impl Receipts {
    pub(super) fn new(trace: &Trace, params: &Params, law: &[f64]) -> Self {
        let law = without_the_end(law);
        let leaves = without_the_end(&convolved(&law, &slot_wait(params)));
        let mut ends = leaves.clone();
        for _ in 0..params.hops {
            ends = without_the_end(&convolved(&ends, &law));
        }
        let mut sum = 0.0;
        let ends_by = ends.iter().map(|chance| {
            sum += chance;
            sum
        });
        let ends_by = ends_by.collect();
        let mut from = vec![Vec::new(); trace.nodes];
        for (leg, place) in trace.legs.iter().zip(0..) {
            from.get_mut(usize::from(leg.from)).into_iter().for_each(|legs| legs.push(place));
        }
        let tick = |leg: &u32| trace.legs.get(ix(*leg)).map_or(0, |leg| leg.tick);
        from.iter_mut().for_each(|legs| legs.sort_by_key(tick));
        Self { law, leaves, ends_by, from }
    }

    /// How much rather each sender and first hop have the receipts of a letter that left `exit` at `tick` than nobody: a row
    /// for each sender, in it a figure for each of its first hops.
    pub(super) fn weigh(&self, observer: &Observer<'_>, exit: NodeIx, tick: u32) -> Vec<Vec<f64>> {
        let trace = observer.trace;
        let mut sums: Vec<Vec<(f64, f64)>> = trace.first_hops.iter().map(|hops| vec![(0.0, 0.0); hops.len()]).collect();
        let mut add = |sender: NodeIx, first: NodeIx, weight: f64| {
            let place =
                trace.first_hops.get(usize::from(sender)).and_then(|hops| hops.iter().position(|hop| *hop == first));
            let sum = sums.get_mut(usize::from(sender)).zip(place).and_then(|(row, place)| row.get_mut(place));
            if let Some((one, squared)) = sum {
                *one += weight;
                *squared += weight * weight;
            }
        };
        if trace.nodes > FEW {
            self.spread(observer, exit, tick, None, &mut add);
        } else {
            for (hops, sender) in trace.first_hops.iter().zip(0..) {
                for first in hops.iter().filter(|first| **first != exit && sender != exit) {
                    self.spread(observer, exit, tick, Some(&Pair { sender, first: *first }), &mut add);
                }
            }
        }
        let ways = ways(trace.nodes, observer.hops);
        let seen = ix(trace.ticks.saturating_sub(tick));
        let unseen = 1.0 - self.ends_by.get(seen).or(self.ends_by.last()).copied().unwrap_or(0.0);
        let weigh = |(one, squared): (f64, f64)| {
            let all = (1.0 - MISSED) * (one / ways + unseen) + MISSED;
            let twice = squared * ((1.0 - MISSED) / ways).powi(2);
            (all.powi(i32::try_from(RECEIPTS).unwrap_or(1)) - twice).max(MISSED * MISSED)
        };
        sums.into_iter().map(|row| row.into_iter().map(weigh).collect()).collect()
    }

    /// Goes forward from the exit, a link at a time, and tells `end` for each packet that may be a receipt's last how likely it
    /// is. `pair`: of this one alone.
    fn spread(
        &self,
        observer: &Observer<'_>,
        exit: NodeIx,
        tick: u32,
        pair: Option<&Pair>,
        end: &mut impl FnMut(NodeIx, NodeIx, f64),
    ) {
        let (trace, hops) = (observer.trace, observer.hops);
        let longest = self.ends_by.len();
        let width = longest.min(ix(trace.ticks.saturating_sub(tick)) + 1);
        let mut leaves: Vec<Vec<f64>> = vec![Vec::new(); trace.nodes];
        if let Some(row) = leaves.get_mut(usize::from(exit)) {
            row.clone_from(&self.leaves);
            row.resize(width, 0.0);
        }
        // Where there are too few others, the exit may be on the way.
        let is_tight = trace.nodes <= usize::from(hops) + 1;
        for link in 1..=hops {
            let may = |to: NodeIx| match pair {
                Some(pair) if link == hops => to == pair.first,
                Some(pair) => to != pair.sender && to != pair.first && (is_tight || to != exit),
                None => to != exit,
            };
            let mut came: Vec<Vec<f64>> = vec![Vec::new(); trace.nodes];
            self.each(trace, tick, &leaves, |leg, chance| {
                let (Some(at), Some(rarity)) = (trace.legs.get(leg), observer.rarity.get(leg)) else { return };
                if !may(at.to) {
                    return;
                }
                let Some(row) = came.get_mut(usize::from(at.to)) else { return };
                row.resize(width, 0.0);
                let weight = chance * rarity * observer.flows.weight(at.to, at.tick);
                row.get_mut(ix(at.tick - tick)).into_iter().for_each(|sum| *sum += weight);
            });
            leaves = came.iter().map(|row| delayed(row, &self.law)).collect();
        }
        self.each(trace, tick, &leaves, |leg, chance| {
            let (Some(at), Some(rarity)) = (trace.legs.get(leg), observer.rarity.get(leg)) else { return };
            if pair.is_none_or(|pair| at.to == pair.sender) && at.to != exit {
                end(at.to, at.from, chance * rarity);
            }
        });
    }

    /// Calls `with` for each leg from a node at a tick at which something may leave it, and how likely that is.
    fn each(&self, trace: &Trace, tick: u32, leaves: &[Vec<f64>], mut with: impl FnMut(usize, f64)) {
        for (row, legs) in leaves.iter().zip(&self.from).filter(|(row, _)| !row.is_empty()) {
            let at = |leg: &u32| trace.legs.get(ix(*leg)).map_or(0, |leg| leg.tick);
            let first = legs.partition_point(|leg| at(leg) < tick);
            let last = legs.partition_point(|leg| at(leg) < tick + count(row.len()));
            for leg in legs.get(first..last).unwrap_or_default() {
                let chance = row.get(ix(at(leg) - tick)).copied().unwrap_or(0.0);
                if chance > 0.0 {
                    with(ix(*leg), chance);
                }
            }
        }
    }
}

/// How many ways there are between an exit and a first hop, each as likely.
fn ways(nodes: usize, hops: u8) -> f64 {
    let others = nodes.saturating_sub(if nodes > usize::from(hops) + 1 { 3 } else { 2 });
    let between = usize::from(hops).saturating_sub(1);
    (0..between).map(|taken| real(others.saturating_sub(taken).max(1))).product()
}

/// When what came at these ticks leaves, by the delay law.
fn delayed(came: &[f64], law: &[f64]) -> Vec<f64> {
    let mut leaves = vec![0.0; came.len()];
    for (tick, weight) in came.iter().enumerate().filter(|(_, weight)| **weight > 0.0) {
        let later = leaves.get_mut(tick..).unwrap_or_default();
        later.iter_mut().zip(law).for_each(|(sum, chance)| *sum += weight * chance);
    }
    leaves
}

/// A law up to where nearly all of it has been.
fn without_the_end(law: &[f64]) -> Vec<f64> {
    let mut left = law.iter().sum::<f64>() * GONE_THROUGH;
    let kept = law.iter().take_while(|chance| {
        let is_before = left > 0.0;
        left -= **chance;
        is_before
    });
    kept.copied().collect()
}

/// The law of the sum of two spans.
fn convolved(one: &[f64], other: &[f64]) -> Vec<f64> {
    let mut sum = vec![0.0; one.len() + other.len() - 1];
    for (at, weight) in one.iter().enumerate() {
        let later = sum.get_mut(at..).unwrap_or_default();
        later.iter_mut().zip(other).for_each(|(sum, chance)| *sum += weight * chance);
    }
    sum
}

/// How many ticks a receipt that is due at any instant of one waits for a slot.
fn slot_wait(params: &Params) -> Vec<f64> {
    let slots = USABLE * params.tick.as_secs_f64() / params.send_every.as_secs_f64();
    if slots <= 0.0 {
        return vec![1.0];
    }
    let at_once = 1.0 - (1.0 - (-slots).exp()) / slots;
    let mut waits = vec![at_once];
    let mut left = 1.0 - at_once;
    while left > 1e-4 {
        waits.push(left * (1.0 - (-slots).exp()));
        left *= (-slots).exp();
    }
    waits
}

#[cfg(test)]
mod tests {
    use super::super::super::light;
    use super::super::super::tests::plan;
    use super::*;

    #[test]
    fn spans_add_up_to_one() {
        let params = Params::default();
        let waits = slot_wait(&params);
        assert!((waits.iter().sum::<f64>() - 1.0).abs() < 1e-3, "{waits:?}");
        // Slots that may carry something are 6 min 40 s apart: the mean wait, and what rounding up to a tick adds.
        let mean: f64 = waits.iter().zip(0_u32..).map(|(chance, ticks)| chance * f64::from(ticks)).sum();
        assert!((mean - 400.0 / 300.0).abs() < 0.05, "{mean}");
        assert_eq!(convolved(&[0.5, 0.5], &[0.0, 1.0]), [0.0, 0.5, 0.5]);
        assert_eq!(without_the_end(&[0.0, 0.5, 0.4996, 0.0004]), [0.0, 0.5, 0.4996]);
        assert_eq!([ways(6, 3), ways(5, 3), ways(4, 3), ways(9, 1)], [6.0, 2.0, 2.0, 1.0]);
    }

    #[test]
    fn the_sender_weighs_more_than_others() {
        // Among nine and more they say next to nothing.
        let (nodes, exits, mails) = (6, 3, 300);
        let plan = crate::sim::Plan { exits, ..plan(nodes, mails) };
        let trace = light::play(&plan, &|_, _| ());
        let observer = Observer::new(&trace, &plan.params);
        let receipts = observer.receipts.as_ref().unwrap();
        let (mut ours, mut theirs, mut others) = (0.0, 0.0, 0.0);
        for letter in &trace.letters {
            let (exit, tick) = letter.delivered.unwrap();
            let weights = receipts.weigh(&observer, exit, tick);
            for (row, sender) in weights.iter().zip(0..).filter(|(_, sender)| *sender != exit) {
                let share: f64 = row.iter().sum::<f64>() / real(row.len());
                if sender == letter.sender {
                    ours += share.ln();
                } else {
                    theirs += share.ln();
                    others += 1.0;
                }
            }
        }
        let (ours, theirs) = (ours / real(trace.letters.len()), theirs / others);
        assert!(ours > theirs + 0.02, "{nodes} nodes: {ours} for senders, {theirs} for others");
    }

    #[test]
    fn what_can_not_be_seen_any_more_says_nothing() {
        let plan = plan(6, 20);
        let trace = light::play(&plan, &|_, _| ());
        let observer = Observer::new(&trace, &plan.params);
        let receipts = observer.receipts.as_ref().unwrap();
        let exit = trace.exits[0];
        for weight in receipts.weigh(&observer, exit, trace.ticks).into_iter().flatten() {
            assert!((weight - 1.0).abs() < 0.05, "{weight}");
        }
    }
}
