//! What the receipts of a letter say of its sender: both leave its exit some time after it, and come to the sender by the
//! first hop that the letter had gone by.
//!
//! A guess at a receipt's way (exit at s0, A at s1, B at s2, first hop at s3, sender) is as likely as the delays it needs,
//! times how rare the packets are that it needs; all ways are summed up, as those of the letter itself are. Two receipts
//! are two packets at the end: what a single packet says twice is taken off.

use super::super::law::Steps;
use super::super::num::{NodeIx, count, ix, node, real};
use super::super::trace::Leg;
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
    law: Steps,
    /// How many ticks it covers.
    law_ticks: usize,
    /// For each number of ticks after the letter's, how likely a receipt leaves the exit then.
    leaves: Vec<f64>,
    /// And how likely it has left its last hop by then.
    ends_by: Vec<f64>,
}

/// A sender, one of its first hops, and who can't be on a way between the exit and that.
struct Pair {
    sender: NodeIx,
    first: NodeIx,
}

impl Receipts {
    pub(super) fn new(params: &Params, law: &[f64]) -> Self {
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
        Self { law: Steps::of(&law), law_ticks: law.len(), leaves, ends_by }
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
        let most = self.ends_by.len().min(ix(trace.ticks.saturating_sub(tick)) + 1);
        let mut leaves = Leaves { tick, width: self.leaves.len().min(most), rows: vec![Vec::new(); trace.nodes] };
        if let Some(row) = leaves.rows.get_mut(usize::from(exit)) {
            row.extend(self.leaves.iter().take(most));
        }
        // Where there are too few others, the exit may be on the way.
        let is_tight = trace.nodes <= usize::from(hops) + 1;
        for link in 1..=hops {
            let may = |to: NodeIx| match pair {
                Some(pair) if link == hops => to == pair.first,
                Some(pair) => to != pair.sender && to != pair.first && (is_tight || to != exit),
                None => to != exit,
            };
            let width = (leaves.width + self.law_ticks).min(most);
            let row = |to| if may(to) { self.passed_on(observer, &leaves, to, width) } else { Vec::new() };
            leaves = Leaves { tick, width, rows: (0..trace.nodes).map(|to| row(node(to))).collect() };
        }
        let ends = |to: &NodeIx| *to != exit && pair.is_none_or(|pair| *to == pair.sender);
        for to in (0..trace.nodes).map(node).filter(ends) {
            leaves.arriving(observer, to).for_each(|(leg, weight)| end(to, leg.from, weight));
        }
    }

    /// How likely it leaves `to` for the next link, in the first so many ticks, if it `leaves` for this one.
    fn passed_on(&self, observer: &Observer<'_>, leaves: &Leaves, to: NodeIx, width: usize) -> Vec<f64> {
        let mut came = vec![0.0; width];
        for (leg, weight) in leaves.arriving(observer, to) {
            came.get_mut(ix(leg.tick - leaves.tick)).into_iter().for_each(|sum| *sum += weight);
        }
        for (weight, tick) in came.iter_mut().zip(leaves.tick..).filter(|(weight, _)| **weight > 0.0) {
            *weight *= observer.flows.weight(to, tick);
        }
        self.law.delayed(&came)
    }
}

/// How likely a receipt leaves each node for its next link: a row for each where it can be, from `tick` on.
struct Leaves {
    tick: u32,
    width: usize,
    rows: Vec<Vec<f64>>,
}

impl Leaves {
    /// The packets to a node that it may be, and how likely each is.
    fn arriving<'a>(&'a self, observer: &Observer<'a>, to: NodeIx) -> impl Iterator<Item = (&'a Leg, f64)> {
        let (trace, all) = (observer.trace, observer.trace.arrivals_in(to, self.tick..self.tick + count(self.width)));
        let rarities = observer.rarity.get(all.clone()).unwrap_or_default();
        let legs = trace.legs.get(all).unwrap_or_default().iter().zip(rarities);
        let weigh = |(leg, rarity): (&'a Leg, &f64)| {
            let row = self.rows.get(usize::from(leg.from))?;
            let chance = *row.get(ix(leg.tick - self.tick))?;
            (chance > 0.0).then_some((leg, chance * rarity))
        };
        legs.filter_map(weigh)
    }
}

/// How many ways there are between an exit and a first hop, each as likely.
fn ways(nodes: usize, hops: u8) -> f64 {
    let others = nodes.saturating_sub(if nodes > usize::from(hops) + 1 { 3 } else { 2 });
    let between = usize::from(hops).saturating_sub(1);
    (0..between).map(|taken| real(others.saturating_sub(taken).max(1))).product()
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
