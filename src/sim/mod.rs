//! A network under virtual time, and somebody who watches all of it.
//!
//! Two models play the same network and give the same kind of `Trace`: `engines` runs the node's real engine and store for
//! each node, with real packets; `light` goes by the same laws of `mix` event by event, without cryptography and disks, so
//! that thousands of nodes fit. A test holds one against the other. What an observer can make of a trace is `observer`'s,
//! how good that is `judge`'s.

mod engines;
mod judge;
mod law;
mod light;
mod num;
mod observer;
mod paths;
mod plot;
mod report;
mod told;
mod trace;

pub use judge::{Estimate, Known};
pub use plot::svg;
pub use report::{AfterK, BadNodes, Report, Seen};
pub use trace::{Leg, Letter, Trace};

use crate::directory::Params;
use crate::store::StoreError;
use num::{node, real};
use std::time::Duration;
use thiserror::Error;

/// From a packet's leaving to its arrival, as in a network on one continent.
const LATENCY: Duration = Duration::from_millis(80);

/// The most nodes.
pub const MOST_NODES: usize = 5000;

/// The most packets on links that are kept in memory: about 40 bytes each.
const MOST_LEGS: f64 = 120e6;

/// Up to so many nodes times days the real engines play by themselves.
const ENGINES_UP_TO: f64 = 40.0;

/// Slots in which something waiting may leave: one in four is a loop.
const USABLE: f64 = 0.75;

/// Packets of a short mail: one fragment, and one to spare.
const PIECES: u32 = 2;

/// Receipts of a mail.
const RECEIPTS: usize = 2;

const DAY: f64 = 86_400.0;

/// Who plays the network.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Model {
    /// A real engine and store for each node.
    Engines,
    /// The laws alone.
    Light,
}

/// What the light model's nodes do besides their mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Habits {
    /// Slots without mail carry loops and drops, and ticks are topped up.
    pub cover: bool,
    /// Exits answer each mail by two reply blocks.
    pub receipts: bool,
}

impl Default for Habits {
    fn default() -> Self {
        Self { cover: true, receipts: true }
    }
}

/// What is to be played.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many nodes; each is a mix.
    pub nodes: usize,
    /// How many of them are exits too.
    pub exits: usize,
    /// How many mails, each a short one: two packets, of which one is enough.
    pub mails: usize,
    /// For each number of nodes that work together against the letters: what they would know.
    pub bad: Vec<usize>,
    /// The days over which the mails are handed in.
    pub days: f64,
    /// The network's parameters.
    pub params: Params,
    /// What nodes do besides.
    pub habits: Habits,
    /// Who plays; none: the engines if that takes about a minute.
    pub model: Option<Model>,
    /// The letters that the observer looks at, at most.
    pub looked_at: usize,
    /// Where chance begins: the same seed gives the same figures.
    pub seed: u64,
}

/// Why a plan can't be played.
#[derive(Debug, Error)]
pub enum PlanError {
    /// Paths need other nodes.
    #[error("{0} nodes are too few: a path of {1} hops past its sender needs {2}")]
    TooFewNodes(usize, u8, usize),
    /// They don't fit.
    #[error("{0} nodes are too many: {MOST_NODES} are the most")]
    TooManyNodes(usize),
    /// A mail leaves through another node than it came in by.
    #[error("{0} exits can't be had of {1} nodes: at least 2, or a node that is the only one could not send")]
    Exits(usize, usize),
    /// There must be a sender and somebody to hide from.
    #[error("{0} bad nodes of {1} leave nobody to hide among: at most {2}")]
    TooManyBad(usize, usize, usize),
    /// Nothing to look at.
    #[error("there must be a mail at least")]
    NoMails,
    /// Neither zero nor without end.
    #[error("the days must be above 0 and at most 366")]
    Days,
    /// It would take too much memory.
    #[error("about {0:.0} million packets would cross links: {1:.0} million are the most that are kept in memory")]
    TooMuch(f64, f64),
    /// The engines do what nodes do.
    #[error("the real engines always send cover; only the light model can leave it out")]
    EnginesHaveNoSwitch,
    /// A store in memory failed.
    #[error("a node's store in memory failed: {0}")]
    Store(#[from] StoreError),
}

impl Plan {
    /// Whether it can be played.
    ///
    /// # Errors
    /// The first thing that stands against it.
    pub fn check(&self) -> Result<(), PlanError> {
        let hops = self.params.hops;
        let least = (usize::from(hops) + 1).max(3);
        let most_bad = self.nodes.saturating_sub(2);
        if self.nodes < least {
            return Err(PlanError::TooFewNodes(self.nodes, hops, least));
        }
        if self.nodes > MOST_NODES {
            return Err(PlanError::TooManyNodes(self.nodes));
        }
        if self.exits < 2 || self.exits > self.nodes {
            return Err(PlanError::Exits(self.exits, self.nodes));
        }
        if let Some(bad) = self.bad.iter().find(|bad| **bad > most_bad) {
            return Err(PlanError::TooManyBad(*bad, self.nodes, most_bad));
        }
        if self.mails == 0 {
            return Err(PlanError::NoMails);
        }
        if !(self.days > 0.0 && self.days <= 366.0) {
            return Err(PlanError::Days);
        }
        if self.model == Some(Model::Engines) && !self.habits.cover {
            return Err(PlanError::EnginesHaveNoSwitch);
        }
        let legs = self.expected_legs();
        if legs > MOST_LEGS { Err(PlanError::TooMuch(legs / 1e6, MOST_LEGS / 1e6)) } else { Ok(()) }
    }

    /// Who plays it.
    #[must_use]
    pub fn model(&self) -> Model {
        let small = real(self.nodes) * self.days_needed() <= ENGINES_UP_TO && self.habits.cover;
        self.model.unwrap_or(if small { Model::Engines } else { Model::Light })
    }

    /// The days over which the mails are handed in: those of the plan, or as many as their slots need.
    #[must_use]
    pub fn days_needed(&self) -> f64 {
        let slots_a_day = USABLE * DAY / self.params.send_every.as_secs_f64();
        let mails = real(self.mails);
        let own = mails * f64::from(PIECES) / real(self.nodes);
        let receipts = if self.habits.receipts { mails * real(RECEIPTS) / real(self.exits) } else { 0.0 };
        // Chance gives some nodes more than their share; a queue that is always full never drains.
        let needed = (own + receipts) / slots_a_day / 0.8;
        if needed > self.days { needed.ceil() } else { self.days }
    }

    /// The ticks before the first mail, in which the network comes to its usual load.
    fn warm_up(&self) -> u32 {
        let path = self.params.mean_delay.saturating_mul(2 * u32::from(self.params.hops));
        ticks_in(path.as_secs_f64(), &self.params) + 1
    }

    fn expected_legs(&self) -> f64 {
        let tick = self.params.tick.as_secs_f64();
        let ticks = self.days_needed() * DAY / tick;
        let hops = f64::from(self.params.hops);
        let own = tick / self.params.send_every.as_secs_f64();
        let batch = if self.habits.cover { (own * (hops + 0.5)).max(f64::from(self.params.batch_min)) } else { 0.0 };
        let mails = real(self.mails) * (f64::from(PIECES) + 4.0) * hops;
        (real(self.nodes) * ticks * batch * 1.3).max(mails)
    }

    /// Which nodes are exits: spread over all of them.
    fn exit_places(&self) -> Vec<u16> {
        (0..self.exits).map(|n| node(n * self.nodes / self.exits)).collect()
    }
}

/// How many ticks are in so many seconds, rounded up.
fn ticks_in(seconds: f64, params: &Params) -> u32 {
    let ticks = Duration::from_secs_f64(seconds).as_millis().div_ceil(params.tick.as_millis().max(1));
    u32::try_from(ticks).unwrap_or(u32::MAX)
}

/// Plays the plan and judges it. `progress` is told what is being done, and how much of it is.
///
/// # Errors
/// The plan can't be played.
pub fn run(plan: &Plan, progress: &(dyn Fn(&str, f64) + Sync)) -> Result<Report, PlanError> {
    plan.check()?;
    let trace = play(plan, progress)?;
    Ok(report::of(plan, &trace, progress))
}

/// Plays the plan.
///
/// # Errors
/// The plan can't be played.
pub fn play(plan: &Plan, progress: &(dyn Fn(&str, f64) + Sync)) -> Result<Trace, PlanError> {
    plan.check()?;
    match plan.model() {
        Model::Engines => engines::play(plan, progress),
        Model::Light => Ok(light::play(plan, progress)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A day of a small network.
    pub(super) fn plan(nodes: usize, mails: usize) -> Plan {
        Plan {
            nodes,
            exits: 2,
            mails,
            bad: vec![],
            days: 1.0,
            params: Params::default(),
            habits: Habits::default(),
            model: Some(Model::Light),
            looked_at: 200,
            seed: 1,
        }
    }
}
