//! The network by its laws alone: slots, ways, delays, ticks and top-up, event by event, with packets that are a few bytes.

use super::num::{NONE, NodeIx, count, ix, node, tick_of, time_of};
use super::paths::{Map, Way};
use super::trace::{Leg, Letter, Trace};
use super::{LATENCY, PIECES, Plan, ticks_in};
use crate::mix::delay;
use crate::mix::random::choose;
use crate::mix::retry::backoff;
use crate::mix::schedule::next_slot;
use crate::time::Time;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// No network's time begins here; it is a multiple of every usual tick.
const START: Time = Time::from_secs(1_800_000_000);

/// How much longer than planned it is run for what has not arrived by then.
const PATIENCE: Duration = Duration::from_secs(30 * 86_400);

/// Ticks between two words on how far it is.
const TELL_EVERY: u32 = 64;

/// What a packet is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Fragment(u32),
    Receipt,
    Cover,
}

/// A packet that lies at the node `way.at(hop)`.
#[derive(Clone, Copy)]
struct Held {
    way: Way,
    hop: u8,
    kind: Kind,
    came_by: u32,
}

/// A mail that has slots still to come.
struct Waiting {
    mail: u32,
    left: u32,
    exit: NodeIx,
    /// The first hop of the slot at which its first piece left, by which the others go too.
    by: Option<NodeIx>,
}

#[derive(Default)]
struct Node {
    next_slot: Time,
    waiting: Vec<Waiting>,
    /// Fragments of all that waits.
    backlog: u32,
    receipts: VecDeque<Way>,
}

/// What is handed in when, or again after the node had too much; or a receipt that may leave an exit from then on.
enum Wake {
    Submit { mail: u32, attempt: u32 },
    Receipt { exit: NodeIx, way: Way },
}

struct Light<'a> {
    plan: &'a Plan,
    rng: StdRng,
    start: Time,
    map: Map,
    nodes: Vec<Node>,
    /// What leaves at each tick, from the running one on.
    held: VecDeque<Vec<Held>>,
    wakes: BTreeMap<(Time, u64), Wake>,
    wake_count: u64,
    trace: Trace,
    /// Packets of this tick, a node.
    batch: Vec<u32>,
    undelivered: usize,
    fragments: usize,
    /// Receipts that have not come to their ends.
    receipts: usize,
    /// The first hops of the letters.
    firsts: Vec<NodeIx>,
}

/// Plays the plan.
pub(super) fn play(plan: &Plan, progress: &(dyn Fn(&str, f64) + Sync)) -> Trace {
    let mut light = Light::new(plan);
    let days = Duration::from_secs_f64(plan.days_needed() * super::DAY);
    let (planned, patience) =
        (ticks_in(days.as_secs_f64(), &plan.params), ticks_in(PATIENCE.as_secs_f64(), &plan.params));
    let first = plan.warm_up();
    light.hand_in(first, days);
    let mut tick = 0;
    while tick < first + planned || (light.is_busy() && tick < first + planned + patience) {
        light.tick(tick);
        if tick.is_multiple_of(TELL_EVERY) {
            progress("playing", f64::from(tick) / f64::from(first + planned));
        }
        tick += 1;
    }
    light.trace.ticks = tick;
    light.trace.sort();
    light.trace
}

impl<'a> Light<'a> {
    fn new(plan: &'a Plan) -> Self {
        let mut rng = StdRng::seed_from_u64(plan.seed);
        let start = START.next_tick(plan.params.tick);
        let exits = plan.exit_places();
        let map = Map::draw(plan.nodes, plan.params.hops, exits.clone(), &mut rng);
        let nodes = (0..plan.nodes)
            .map(|_| Node { next_slot: start.plus(next_slot(&plan.params, &mut rng)), ..Node::default() })
            .collect();
        let trace = Trace { nodes: plan.nodes, exits, first_hops: map.first_hops().clone(), ..Trace::default() };
        let trace = Trace { receipts: plan.habits.receipts, ..trace };
        Self {
            plan,
            rng,
            start,
            map,
            nodes,
            held: VecDeque::new(),
            wakes: BTreeMap::new(),
            wake_count: 0,
            trace,
            batch: vec![0; plan.nodes],
            undelivered: plan.mails,
            fragments: 0,
            receipts: 0,
            firsts: vec![0; plan.mails],
        }
    }

    /// The mails, at times and nodes drawn evenly.
    fn hand_in(&mut self, first: u32, days: Duration) {
        let begin = time_of(first, self.start, self.plan.params.tick);
        let mut times: Vec<Time> =
            (0..self.plan.mails).map(|_| begin.plus(days.mul_f64(self.rng.random::<f64>()))).collect();
        times.sort_unstable();
        for (mail, at) in times.into_iter().enumerate() {
            let sender = self.rng.random_range(0..node(self.plan.nodes));
            let submitted = at.since(self.start).as_millis().try_into().unwrap_or(u64::MAX);
            self.trace.letters.push(Letter { sender, submitted, delivered: None, last_legs: Vec::new() });
            self.wake(at, Wake::Submit { mail: count(mail), attempt: 1 });
        }
    }

    fn wake(&mut self, at: Time, wake: Wake) {
        self.wake_count += 1;
        self.wakes.insert((at, self.wake_count), wake);
    }

    fn is_busy(&self) -> bool {
        self.undelivered > 0 || self.fragments > 0 || self.receipts > 0
    }

    fn tick(&mut self, tick: u32) {
        let now = time_of(tick, self.start, self.plan.params.tick);
        self.batch.fill(0);
        for held in self.held.pop_front().unwrap_or_default() {
            self.leave(held, tick);
        }
        while self.wakes.first_key_value().is_some_and(|((at, _), _)| *at <= now) {
            if let Some(((at, _), wake)) = self.wakes.pop_first() {
                self.slots_until(&wake, at, tick);
                self.woken(wake, at);
            }
        }
        for me in 0..node(self.plan.nodes) {
            self.slots(me, now, tick);
            self.top_up(me, tick);
        }
    }

    /// A slot that came before something was there to use it does not wait for it.
    fn slots_until(&mut self, wake: &Wake, at: Time, tick: u32) {
        let me = match wake {
            Wake::Submit { mail, .. } => self.trace.letters.get(ix(*mail)).map(|letter| letter.sender),
            Wake::Receipt { exit, .. } => Some(*exit),
        };
        if let Some(me) = me {
            self.slots(me, at, tick);
        }
    }

    fn woken(&mut self, wake: Wake, at: Time) {
        match wake {
            Wake::Submit { mail, attempt } => self.submit(mail, attempt, at),
            Wake::Receipt { exit, way } => {
                if let Some(node) = self.nodes.get_mut(usize::from(exit)) {
                    node.receipts.push_back(way);
                }
            }
        }
    }

    /// A mail is taken, or, where what waits needs half an epoch of slots already, comes again later.
    fn submit(&mut self, mail: u32, attempt: u32, at: Time) {
        let params = &self.plan.params;
        let Some(letter) = self.trace.letters.get(ix(mail)) else { return };
        let sender = letter.sender;
        let Some(exit) = self.map.exit_of_mail(sender, &mut self.rng) else { return };
        let Some(node) = self.nodes.get_mut(usize::from(sender)) else { return };
        let takes = params.send_every.saturating_mul(node.backlog + PIECES);
        if node.backlog > 0 && takes > params.epoch / 2 {
            let again = at.plus(backoff(attempt, &mut self.rng));
            return self.wake(again, Wake::Submit { mail, attempt: attempt + 1 });
        }
        node.waiting.push(Waiting { mail, left: PIECES, exit, by: None });
        node.backlog += PIECES;
        self.fragments += ix(PIECES);
    }

    /// Uses the slots of `me` up to `until`; what they send leaves at `tick`.
    fn slots(&mut self, me: NodeIx, until: Time, tick: u32) {
        loop {
            let Some(node) = self.nodes.get_mut(usize::from(me)).filter(|node| node.next_slot <= until) else { return };
            node.next_slot = node.next_slot.plus(next_slot(&self.plan.params, &mut self.rng));
            self.slot(me, tick);
        }
    }

    fn slot(&mut self, me: NodeIx, tick: u32) {
        let cover = self.plan.habits.cover;
        let first = self.map.first(me, &mut self.rng);
        if cover && self.rng.random_range(0..4) == 0 {
            let way = self.map.around(me, first, &mut self.rng);
            return self.send_own(me, way, Kind::Cover, tick);
        }
        let receipts_first = choose(&[true, false], &mut self.rng) == Some(&true);
        if (receipts_first && self.send_receipt(me, tick))
            || self.send_fragment(me, first, tick)
            || (!receipts_first && self.send_receipt(me, tick))
        {
            return;
        }
        if cover {
            let last = self.map.end_of_drop(me, first, &mut self.rng);
            let way = self.map.to(me, first, last, &mut self.rng);
            self.send_own(me, way, Kind::Cover, tick);
        }
    }

    fn send_receipt(&mut self, me: NodeIx, tick: u32) -> bool {
        let receipt = self.nodes.get_mut(usize::from(me)).and_then(|node| node.receipts.pop_front());
        let Some(way) = receipt else { return false };
        self.send_own(me, way, Kind::Receipt, tick);
        true
    }

    fn send_fragment(&mut self, me: NodeIx, first: NodeIx, tick: u32) -> bool {
        let Some((mail, exit)) = self.next_fragment(me, first) else { return false };
        let way = self.map.to(me, first, exit, &mut self.rng);
        self.send_own(me, way, Kind::Fragment(mail), tick);
        true
    }

    /// A fragment of a mail chosen by chance among those that may go by `first`, and where it goes.
    fn next_fragment(&mut self, me: NodeIx, first: NodeIx) -> Option<(u32, NodeIx)> {
        let is_one_hop = self.plan.params.hops == 1;
        let node = self.nodes.get_mut(usize::from(me))?;
        let may = |waiting: &Waiting| is_one_hop || waiting.by.map_or(waiting.exit != first, |by| by == first);
        let places: Vec<usize> =
            node.waiting.iter().enumerate().filter(|(_, waiting)| may(waiting)).map(|(place, _)| place).collect();
        let place = *choose(&places, &mut self.rng)?;
        let waiting = node.waiting.get_mut(place)?;
        if is_one_hop && waiting.by.is_none() {
            waiting.exit = first;
        }
        waiting.by.get_or_insert(first);
        let exit = waiting.exit;
        self.firsts.get_mut(ix(waiting.mail)).into_iter().for_each(|hop| *hop = first);
        waiting.left -= 1;
        node.backlog -= 1;
        let mail = waiting.mail;
        if waiting.left == 0 {
            node.waiting.swap_remove(place);
        }
        Some((mail, exit))
    }

    fn top_up(&mut self, me: NodeIx, tick: u32) {
        let least = if self.plan.habits.cover { u32::from(self.plan.params.batch_min) } else { 0 };
        while self.batch.get(usize::from(me)).is_some_and(|size| *size < least) {
            let way = self.map.anywhere(me, &mut self.rng);
            self.send_own(me, way, Kind::Cover, tick);
        }
    }

    fn send_own(&mut self, me: NodeIx, way: Way, kind: Kind, tick: u32) {
        self.send(me, Held { way, hop: 0, kind, came_by: NONE }, tick);
    }

    /// A packet goes from `me` to the node `held.hop` of its way, which holds it as long as its sender says.
    fn send(&mut self, me: NodeIx, held: Held, tick: u32) {
        let Some(to) = held.way.at(held.hop) else { return };
        let leg = count(self.trace.legs.len());
        self.trace.legs.push(Leg { from: me, to, tick, came_by: held.came_by });
        if let Some(size) = self.batch.get_mut(usize::from(me)) {
            *size += 1;
        }
        let params = &self.plan.params;
        let arrives = time_of(tick, self.start, params.tick).plus(LATENCY);
        let due = arrives.plus(delay::draw(params, &mut self.rng)).next_tick(params.tick);
        // The running tick's place is taken off already, so that of the next is the first.
        let place = ix(tick_of(due, self.start, params.tick).saturating_sub(tick + 1));
        while self.held.len() <= place {
            self.held.push_back(Vec::new());
        }
        if let Some(there) = self.held.get_mut(place) {
            there.push(Held { came_by: leg, ..held });
        }
    }

    /// A packet is due: it goes on, or ends here.
    fn leave(&mut self, held: Held, tick: u32) {
        let Some(here) = held.way.at(held.hop) else { return };
        if !held.way.is_last(held.hop) {
            return self.send(here, Held { hop: held.hop + 1, ..held }, tick);
        }
        self.receipts -= usize::from(held.kind == Kind::Receipt);
        let Kind::Fragment(mail) = held.kind else { return };
        self.fragments -= 1;
        let Some(letter) = self.trace.letters.get_mut(ix(mail)) else { return };
        letter.last_legs.push(held.came_by);
        if letter.delivered.is_some() {
            return;
        }
        letter.delivered = Some((here, tick));
        self.undelivered -= 1;
        if self.plan.habits.receipts {
            let sender = letter.sender;
            self.answer(here, sender, mail, tick);
        }
    }

    /// The exit answers by each of the mail's two reply blocks, after a delay of its own.
    fn answer(&mut self, exit: NodeIx, sender: NodeIx, mail: u32, tick: u32) {
        let first = self.firsts.get(ix(mail)).copied().unwrap_or(exit);
        for way in self.map.back(exit, sender, first, &mut self.rng) {
            let params = &self.plan.params;
            let at = time_of(tick, self.start, params.tick).plus(delay::draw(params, &mut self.rng));
            self.receipts += 1;
            self.wake(at, Wake::Receipt { exit, way });
        }
    }
}

/// What the light model gives of a plan, for those who test it.
#[cfg(test)]
mod tests {
    use super::super::num::real;
    use super::super::tests::plan;
    use super::super::{Habits, USABLE};
    use super::*;

    #[test]
    fn every_mail_arrives_and_later_than_the_least_delays() {
        let plan = plan(6, 200);
        let trace = play(&plan, &|_, _| ());
        for letter in &trace.letters {
            let (exit, tick) = letter.delivered.unwrap();
            assert!(trace.exits.contains(&exit) && exit != letter.sender);
            assert_eq!(letter.last_legs.len(), 2, "both packets came");
            let took = u64::from(tick) * 300_000 - letter.submitted;
            assert!(took > 3 * 3_600_000, "{took} ms");
            for leg in &letter.last_legs {
                let mut at = trace.legs[ix(*leg)];
                assert_eq!(at.to, exit);
                let mut legs = 1;
                while at.came_by != NONE {
                    let before = trace.legs[ix(at.came_by)];
                    assert_eq!(before.to, at.from, "a packet leaves where it came to");
                    assert!(before.tick < at.tick);
                    (at, legs) = (before, legs + 1);
                }
                assert_eq!((at.from, legs), (letter.sender, 3));
                assert!(trace.first_hops[usize::from(at.from)].contains(&at.to));
            }
        }
    }

    #[test]
    fn every_batch_has_the_least_and_no_mail_changes_what_a_node_sends_on_average() {
        let quiet = play(&plan(6, 1), &|_, _| ());
        let busy = play(&plan(6, 1000), &|_, _| ());
        for trace in [&quiet, &busy] {
            assert!(trace.batches(0..trace.ticks).iter().all(|size| *size >= 5));
        }
        let mean = |trace: &Trace| f64::from(trace.batches(220..500).iter().sum::<u32>()) / (6.0 * 280.0);
        let (quiet, busy) = (mean(&quiet), mean(&busy));
        // 1,680 node-ticks of about 6 with a deviation of 2: five standard errors.
        assert!((quiet - busy).abs() < 0.3, "{quiet} {busy}");
    }

    #[test]
    fn without_cover_only_mail_is_sent() {
        let habits = Habits { cover: false, receipts: false };
        let trace = play(&Plan { habits, ..plan(6, 100) }, &|_, _| ());
        assert_eq!(trace.legs.len(), 100 * 2 * 3);
        let habits = Habits { cover: false, receipts: true };
        let trace = play(&Plan { habits, ..plan(6, 100) }, &|_, _| ());
        assert_eq!(trace.legs.len(), 100 * 2 * 3 + 100 * 2 * 4, "two receipts of four legs each");
    }

    /// The first leg of the packet whose last is `leg`.
    fn beginning(trace: &Trace, leg: u32) -> Leg {
        let mut at = trace.legs[ix(leg)];
        while at.came_by != NONE {
            at = trace.legs[ix(at.came_by)];
        }
        at
    }

    #[test]
    fn a_mail_goes_by_one_first_hop_and_its_receipts_come_back_by_it() {
        let habits = Habits { cover: false, receipts: true };
        let trace = play(&Plan { habits, exits: 4, ..plan(12, 300) }, &|_, _| ());
        let goes_on: std::collections::BTreeSet<u32> = trace.legs.iter().map(|leg| leg.came_by).collect();
        let ends = |leg: &u32| !goes_on.contains(leg);
        let receipts =
            (0..count(trace.legs.len())).filter(ends).map(|leg| (trace.legs[ix(leg)], beginning(&trace, leg)));
        let is_mail: std::collections::BTreeSet<u32> =
            trace.letters.iter().flat_map(|letter| letter.last_legs.clone()).collect();
        // Without cover, what ends and is no mail is a receipt: from its exit, by its sender's first hop, to its sender.
        let mut back: Vec<_> = receipts
            .zip((0..count(trace.legs.len())).filter(ends))
            .filter(|(_, leg)| !is_mail.contains(leg))
            .map(|((last, first), _)| (first.from, last.from, last.to))
            .collect();
        let mut wanted = Vec::new();
        let mut by = [0_u32; 2];
        for letter in &trace.letters {
            let firsts: Vec<NodeIx> = letter.last_legs.iter().map(|leg| beginning(&trace, *leg).to).collect();
            assert!(firsts.len() == 2 && firsts[0] == firsts[1], "{firsts:?}");
            let place = trace.first_hops[usize::from(letter.sender)].iter().position(|hop| *hop == firsts[0]).unwrap();
            by[place] += 1;
            wanted.extend([(letter.delivered.unwrap().0, firsts[0], letter.sender); 2]);
        }
        back.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(back, wanted);
        // 300 times a coin: a deviation of 9.
        assert!(by[0].abs_diff(by[1]) < 70, "{by:?}");
    }

    #[test]
    fn more_mails_than_slots_take_the_days_they_need() {
        let few = plan(4, 20);
        assert!((few.days_needed() - few.days).abs() < f64::EPSILON);
        let many = Plan { days: 0.25, ..plan(4, 2000) };
        let days = many.days_needed();
        assert!(days > real(2000 * 2 / 4) / (288.0 * USABLE), "{days}");
        let trace = play(&many, &|_, _| ());
        assert!(trace.letters.iter().all(|letter| letter.delivered.is_some()));
    }
}
