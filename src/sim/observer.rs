//! Who sees every packet on every link, and what he can make of it: for a letter that leaves an exit, how likely each node
//! is to be its sender.
//!
//! A letter that left exit X at tick t had left some node B for X at some s, and so on back to its sender. A guess at its
//! way (A at s0, C at s1, B at s2, X at t) is as likely as the delays it needs, times, for each link, how many packets
//! were on it in that batch over how many are to be expected there without the letter. All ways are summed up backwards,
//! a mix and its batches at a time, so that the work grows with the packets and not with the ways.
//!
//! What is to be expected on a link comes from the packets that came to the node before (each leaves by the delay law, or
//! ended there, in the network's proportion) and from what nodes send of their own. That packets' fates hang together,
//! because each leaves once, is used for the packets of a tick together (`flows`); on small networks a test holds the
//! result against all possible worlds.
//!
//! He knows the network's laws, everybody's kept first hops, the number of a path's hops, and how much is mail. A letter's
//! receipts come back by the first hop that it went by, so that he weighs both together (`receipts`).
//!
//! Nodes that are bad tell him which packet that left them was which that had come. A bad exit knows both packets of a
//! letter. No sender is among them: who hands a letter to a bad node is known to it.

mod flows;
mod receipts;
#[cfg(test)]
mod tests;

use super::law;
use super::num::{NONE, NodeIx, count, ix, node, real};
use super::trace::{Leg, Letter, Trace};
use crate::directory::Params;
use flows::{Flows, is_first};
use receipts::Receipts;

/// Ways that all together are less likely than this share are let go.
const NEGLIGIBLE: f64 = 1e-9;

/// The senders whose first hop a node is, and for each tick how likely a letter of each would leave that node then.
type Firsts = Vec<(NodeIx, Vec<f64>)>;

/// What is known of a network's traffic before any letter is looked at.
pub(super) struct Observer<'a> {
    trace: &'a Trace,
    hops: u8,
    law: Vec<f64>,
    /// For each leg, one over the packets that are to be expected on that link in that batch.
    rarity: Vec<f64>,
    firsts: Vec<Firsts>,
    flows: Flows,
    /// Where there are any.
    receipts: Option<Receipts>,
}

/// For each sender, a figure for each of its first hops.
type ByFirst = Vec<Vec<f64>>;

/// One letter's ways, from the exit back.
struct Search<'a, 'o> {
    observer: &'o Observer<'a>,
    is_bad: &'o [bool],
    exit: NodeIx,
    /// The first tick of the masses.
    base: u32,
    width: usize,
    /// How likely the letter left each node at each tick, so many links before the exit.
    mass: Vec<Vec<f64>>,
    likelihood: ByFirst,
}

impl<'a> Observer<'a> {
    pub(super) fn new(trace: &'a Trace, params: &Params) -> Self {
        let law = law::ticks(params);
        let flows = Flows::of(trace, &law);
        let rarity: Vec<f64> =
            trace.legs.iter().map(|leg| 1.0 / flows.expected(trace, leg.from, leg.to, leg.tick)).collect();
        let receipts = trace.receipts.then(|| Receipts::new(params, &law));
        let mut observer = Self { trace, hops: params.hops, law, rarity, firsts: Vec::new(), flows, receipts };
        observer.firsts = (0..trace.nodes).map(|place| observer.firsts_of(node(place))).collect();
        observer
    }

    /// How likely each node is to have sent `letter`, from nothing known of its sender before but that it is none of the bad
    /// nodes and not the exit. Zero for all if the letter never arrived.
    pub(super) fn posterior(&self, letter: &Letter, is_bad: &[bool]) -> Vec<f64> {
        let Some((exit, tick)) = letter.delivered else { return vec![0.0; self.trace.nodes] };
        let mut found = self.ways_here(letter, exit, tick, is_bad);
        if let Some(receipts) = &self.receipts {
            multiply(&mut found, &receipts.weigh(self, exit, tick));
        }
        normalized(found.iter().map(|row| row.iter().sum()).collect())
    }

    /// How likely each node is to have sent it by each of its first hops, from the letter's own packets.
    fn ways_here(&self, letter: &Letter, exit: NodeIx, tick: u32, is_bad: &[bool]) -> ByFirst {
        if !bad(is_bad, exit) {
            return self.search(exit, tick, is_bad, |search| search.left(self.hops + 1, exit, tick, 1.0));
        }
        // Both packets went by one first hop.
        let mut both: ByFirst = self.trace.first_hops.iter().map(|hops| vec![1.0; hops.len()]).collect();
        for leg in &letter.last_legs {
            let mut found = self.search(exit, tick, is_bad, |search| search.came_by(self.hops, *leg, 1.0, None));
            let all: f64 = found.iter().flatten().sum();
            if all > 0.0 {
                found.iter_mut().flatten().for_each(|chance| *chance /= all);
                multiply(&mut both, &found);
            }
        }
        both
    }

    fn search(&self, exit: NodeIx, tick: u32, is_bad: &[bool], begin: impl FnOnce(&mut Search<'_, '_>)) -> ByFirst {
        let longest = count(self.law.len()).saturating_mul(u32::from(self.hops));
        let base = tick.saturating_sub(longest);
        let width = ix(tick - base) + 1;
        let layers = usize::from(self.hops) + 2;
        let mass = vec![Vec::new(); layers];
        let likelihood = self.trace.first_hops.iter().map(|hops| vec![0.0; hops.len()]).collect();
        let mut search = Search { observer: self, is_bad, exit, base, width, mass, likelihood };
        begin(&mut search);
        for link in (2..=self.hops + 1).rev() {
            search.layer(link);
        }
        search.likelihood
    }

    /// What `firsts` holds of one node.
    fn firsts_of(&self, node: NodeIx) -> Firsts {
        let users = self.trace.first_hops.iter().zip(0..).filter(|(hops, _)| hops.contains(&node));
        let mut firsts: Firsts = users.map(|(_, user)| (user, vec![0.0; ix(self.trace.ticks) + 1])).collect();
        for leg in self.trace.arrivals(node) {
            let Some((at, rarity)) = self.trace.legs.get(leg).zip(self.rarity.get(leg)) else { continue };
            let Some((_, row)) = firsts.iter_mut().find(|(user, _)| *user == at.from) else { continue };
            let share = rarity * self.flows.weight(node, at.tick);
            let row = row.get_mut(ix(at.tick)..).unwrap_or_default();
            row.iter_mut().zip(&self.law).for_each(|(sum, chance)| *sum += share * chance);
        }
        firsts
    }

    /// How likely a letter of `sender` goes to this of all exits, and by this first hop of his: the exit is drawn first, and
    /// then waits for the slot of a hop that it isn't.
    fn first_share(&self, sender: NodeIx, first: NodeIx, exit: NodeIx) -> f64 {
        let kept = self.trace.first_hops.get(usize::from(sender)).map(Vec::as_slice).unwrap_or_default();
        if self.hops == 1 {
            return 1.0 / real(kept.len().max(1));
        }
        let hops_to = |exit: &NodeIx| kept.iter().filter(|hop| *hop != exit).count();
        let exits = self.trace.exits.iter().filter(|exit| **exit != sender && hops_to(exit) > 0).count();
        if first == exit { 0.0 } else { 1.0 / real(exits.max(1)) / real(hops_to(&exit).max(1)) }
    }
}

impl Search<'_, '_> {
    /// The letter may have left `node` at `tick` for its `link`th link.
    fn left(&mut self, link: u8, node: NodeIx, tick: u32, weight: f64) {
        let place = usize::from(node) * self.width + ix(tick.saturating_sub(self.base));
        let size = self.observer.trace.nodes * self.width;
        let Some(mass) = self.mass.get_mut(usize::from(link)) else { return };
        if mass.is_empty() {
            mass.resize(size, 0.0);
        }
        mass.get_mut(place).into_iter().for_each(|mass| *mass += weight);
    }

    /// The letter left `node` for its `link`th link, at each tick as likely as `row` says: by which packet had it come?
    fn spread(&mut self, link: u8, node: NodeIx, row: &[f64]) {
        let observer = self.observer;
        let mut came = vec![0.0; row.len()];
        for (tick, weight) in row.iter().enumerate().filter(|(_, weight)| **weight > 0.0) {
            let before = came.get_mut(..tick).unwrap_or_default().iter_mut().rev();
            before.zip(observer.law.iter().skip(1)).for_each(|(sum, chance)| *sum += weight * chance);
        }
        let first = came.iter().position(|weight| *weight > 0.0).unwrap_or(came.len());
        if link <= observer.hops {
            let passed = came.iter_mut().zip(self.base..).skip(first);
            passed.for_each(|(weight, tick)| *weight *= observer.flows.weight(node, tick));
        }
        let ticks = self.base + count(first)..self.base + count(row.len());
        let legs = observer.trace.arrivals_in(node, ticks);
        let found = observer.trace.legs.get(legs.clone()).unwrap_or_default();
        let rarities = observer.rarity.get(legs).unwrap_or_default();
        for (at, rarity) in found.iter().zip(rarities) {
            let weight = came.get(ix(at.tick - self.base)).copied().unwrap_or(0.0);
            if weight > 0.0 {
                self.came(link - 1, at, *rarity, weight, Some(node));
            }
        }
    }

    /// The letter came to `node`, its first hop, and left it at each tick as likely as `mass` says.
    fn sent_by_users_of(&mut self, node: NodeIx, mass: &[f64]) {
        let Some(firsts) = self.observer.firsts.get(usize::from(node)) else { return };
        for (user, row) in firsts {
            let row = row.get(ix(self.base)..).unwrap_or_default();
            let share = self.observer.first_share(*user, node, self.exit);
            self.add(*user, node, share * mass.iter().zip(row).map(|(mass, chance)| mass * chance).sum::<f64>());
        }
    }

    /// The letter was the packet `leg`, its `link`th. `after` is where it went then, where that is known.
    fn came_by(&mut self, link: u8, leg: u32, weight: f64, after: Option<NodeIx>) {
        let observer = self.observer;
        if let Some((at, rarity)) = observer.trace.legs.get(ix(leg)).zip(observer.rarity.get(ix(leg))) {
            self.came(link, at, *rarity, weight, after);
        }
    }

    /// As `came_by`, with what there is to know of the packet.
    fn came(&mut self, link: u8, at: &Leg, rarity: f64, weight: f64, after: Option<NodeIx>) {
        let observer = self.observer;
        if at.from == self.exit {
            return;
        }
        if link == 1 {
            if is_first(observer.trace, at.from, at.to) && after != Some(at.from) {
                self.add(at.from, at.to, weight * rarity * observer.first_share(at.from, at.to, self.exit));
            }
            return;
        }
        if bad(self.is_bad, at.from) {
            // It says by which packet this one had come, or that it made this one itself.
            if at.came_by != NONE {
                let share = observer.flows.passed_to(at.from, at.to).max(1e-12);
                self.came_by(link - 1, at.came_by, weight / share, Some(at.to));
            }
            return;
        }
        let weight = weight * rarity;
        if link == 2 {
            self.take_back(at.from, at.to, at.tick, weight);
        }
        self.left(link, at.from, at.tick, weight);
    }

    /// Nobody is twice on a path: what `layer` will give `after` for having sent the letter to `first`, from which it came
    /// to `after` itself, is taken off.
    fn take_back(&mut self, first: NodeIx, after: NodeIx, tick: u32, weight: f64) {
        // Most packets are none of its own: that is seen without looking at `firsts`, which is large.
        if !is_first(self.observer.trace, after, first) {
            return;
        }
        let Some(firsts) = self.observer.firsts.get(usize::from(first)) else { return };
        if let Some((_, row)) = firsts.iter().find(|(user, _)| *user == after) {
            let share = self.observer.first_share(after, first, self.exit);
            self.add(after, first, -weight * share * row.get(ix(tick)).copied().unwrap_or(0.0));
        }
    }

    fn add(&mut self, sender: NodeIx, first: NodeIx, weight: f64) {
        if sender == self.exit || bad(self.is_bad, sender) {
            return;
        }
        let hops = self.observer.trace.first_hops.get(usize::from(sender));
        let place = hops.and_then(|hops| hops.iter().position(|hop| *hop == first));
        let sum = self.likelihood.get_mut(usize::from(sender)).zip(place).and_then(|(row, place)| row.get_mut(place));
        sum.into_iter().for_each(|sum| *sum += weight);
    }

    /// Goes on from everywhere where the letter may have left for its `link`th link.
    fn layer(&mut self, link: u8) {
        let mut mass = self.mass.get_mut(usize::from(link)).map(std::mem::take).unwrap_or_default();
        let least = mass.iter().sum::<f64>() * NEGLIGIBLE;
        mass.iter_mut().filter(|weight| **weight <= least).for_each(|weight| *weight = 0.0);
        for (node, row) in (0..).zip(mass.chunks(self.width.max(1))) {
            if link > 2 && row.iter().any(|weight| *weight > 0.0) {
                self.spread(link, node, row);
            }
            if link == 2 {
                self.sent_by_users_of(node, row);
            }
        }
    }
}

fn multiply(all: &mut ByFirst, by: &ByFirst) {
    all.iter_mut().flatten().zip(by.iter().flatten()).for_each(|(one, other)| *one *= other);
}

fn bad(is_bad: &[bool], node: NodeIx) -> bool {
    is_bad.get(usize::from(node)).copied().unwrap_or(false)
}

/// The same, with the sum 1, unless all are zero. What is below it by rounding is zero.
fn normalized(mut chances: Vec<f64>) -> Vec<f64> {
    let sum: f64 = chances.iter().map(|chance| chance.max(0.0)).sum();
    chances.iter_mut().for_each(|chance| *chance = if sum > 0.0 { chance.max(0.0) / sum } else { 0.0 });
    chances
}
