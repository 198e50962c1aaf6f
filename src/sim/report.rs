//! What came of it, in figures.

use super::judge::{self, Estimate, Known};
use super::num::real;
use super::observer::Observer;
use super::trace::Trace;
use super::{Habits, Model, Plan};
use crate::directory::Params;
use crate::sphinx::geometry::PACKET_LEN;
use std::time::Duration;

/// Numbers of letters to one recipient that are looked at together, as far as there are as many.
const TOGETHER: [usize; 6] = [1, 2, 5, 10, 20, 50];

/// Runs of letters that a figure is told from at least.
const FEWEST_RUNS: usize = 3;

/// What a plan gave.
#[derive(Debug)]
pub struct Report {
    /// How many nodes there were.
    pub nodes: usize,
    /// How many of them were exits.
    pub exits: usize,
    /// How many mails were handed in.
    pub mails: usize,
    /// Over how many days.
    pub days: f64,
    /// Whether these are more than were asked for, because the mails need them.
    pub more_days: bool,
    /// Who played.
    pub model: Model,
    /// The share of mails that left the network.
    pub delivered: f64,
    /// From handing in to leaving, in seconds: the middle one.
    pub p50: f64,
    /// And that of which one in twenty took longer.
    pub p95: f64,
    /// All of them, sorted.
    pub latencies: Vec<f64>,
    /// Bytes of packets that a node sent a day; it received as many.
    pub bytes_per_node_day: f64,
    /// Packets in a batch.
    pub batch: f64,
    /// Letters looked at.
    pub letters: usize,
    /// What the observer makes of one letter.
    pub observer: Seen,
    /// What he makes of it with the help of bad nodes.
    pub with_bad_nodes: Vec<BadNodes>,
    /// What he makes of several letters of one sender to one recipient.
    pub after_k: Vec<AfterK>,
    /// Where chance began.
    pub seed: u64,
    /// The network's parameters.
    pub params: Params,
    /// What nodes did besides.
    pub habits: Habits,
}

/// What the observer knew on average.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Seen {
    /// Entropy of what he believes, in bits.
    pub entropy_bits: Estimate,
    /// How often his best guess is right.
    pub guess: Estimate,
    /// How likely he holds it to be.
    pub believed: Estimate,
}

impl Seen {
    fn of(known: &[Known]) -> Self {
        let estimate = |of: fn(&Known) -> f64| Estimate::of(&known.iter().map(of).collect::<Vec<_>>());
        Self {
            entropy_bits: estimate(|known| known.entropy_bits),
            guess: estimate(|known| known.guess),
            believed: estimate(|known| known.believed),
        }
    }
}

/// With this many bad nodes.
#[derive(Debug)]
pub struct BadNodes {
    /// How many.
    pub bad: usize,
    /// How many letters were looked at.
    pub letters: usize,
    /// What is known.
    pub seen: Seen,
    /// The share of letters of which a packet passed bad nodes alone.
    pub fully_traced: Estimate,
}

/// After this many letters.
#[derive(Debug)]
pub struct AfterK {
    /// How many.
    pub k: usize,
    /// How many runs of so many were looked at.
    pub runs: usize,
    /// What is known.
    pub seen: Seen,
}

/// Judges a trace.
pub(super) fn of(plan: &Plan, trace: &Trace, progress: &(dyn Fn(&str, f64) + Sync)) -> Report {
    progress("preparing to look", 0.0);
    let observer = Observer::new(trace, &plan.params);
    let longest = TOGETHER.last().copied().unwrap_or(1).min(plan.mails.div_ceil(plan.nodes).max(1));
    let letters = judge::choose(trace, plan.looked_at, longest.min(plan.looked_at.max(1)));
    let looked = judge::look(&observer, &letters, progress);
    let bad = |bad: &usize| {
        // The runs have the letters of few senders first; for bad nodes a quarter of all, from everywhere, is enough.
        let some: Vec<_> = letters.iter().step_by(letters.len().div_ceil(500).max(1)).copied().collect();
        let against = judge::against(plan, trace, &observer, &some, *bad, progress);
        let fully_traced = Estimate::of(&against.traced);
        BadNodes { bad: *bad, letters: some.len(), seen: Seen::of(&against.known), fully_traced }
    };
    let after =
        TOGETHER.iter().map(|k| (*k, judge::after(&looked, *k))).filter(|(_, known)| known.len() >= FEWEST_RUNS);
    let latencies = latencies(plan, trace);
    let quantile = |share: f64| quantile(&latencies, share);
    let ticks_a_day = super::DAY / plan.params.tick.as_secs_f64();
    let first = plan.warm_up();
    let batches = trace.batches(first..first + super::ticks_in(plan.days_needed() * super::DAY, &plan.params));
    let batch = batches.iter().copied().map(f64::from).sum::<f64>() / real(batches.len().max(1));
    Report {
        nodes: plan.nodes,
        exits: trace.exits.len(),
        mails: plan.mails,
        days: plan.days_needed(),
        more_days: plan.days_needed() > plan.days,
        model: plan.model(),
        delivered: real(latencies.len()) / real(plan.mails),
        p50: quantile(0.5),
        p95: quantile(0.95),
        bytes_per_node_day: batch * ticks_a_day * real(PACKET_LEN),
        batch,
        letters: letters.len(),
        observer: Seen::of(&judge::alone(&looked)),
        with_bad_nodes: plan.bad.iter().map(bad).collect(),
        after_k: after.map(|(k, known)| AfterK { k, runs: known.len(), seen: Seen::of(&known) }).collect(),
        latencies,
        seed: plan.seed,
        params: plan.params.clone(),
        habits: plan.habits.clone(),
    }
}

fn latencies(plan: &Plan, trace: &Trace) -> Vec<f64> {
    let tick = plan.params.tick.as_secs_f64();
    let mut all: Vec<f64> = trace
        .letters
        .iter()
        .filter_map(|letter| {
            let (_, delivered) = letter.delivered?;
            let submitted = Duration::from_millis(letter.submitted).as_secs_f64();
            Some((f64::from(delivered) * tick - submitted).max(0.0))
        })
        .collect();
    all.sort_by(f64::total_cmp);
    all
}

/// The value below which this share of `sorted` lies; zero if there are none.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = (1..=sorted.len()).find(|n| real(*n) >= share * real(sorted.len()));
    place.and_then(|place| sorted.get(place - 1)).copied().unwrap_or(0.0)
}
