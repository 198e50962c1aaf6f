//! What who watches the links of a node sees of it: when it sends, how much, and to whom. One engine, whose neighbours
//! take whatever it sends, under virtual time.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests: a failure is to stop them")]

#[path = "network/world.rs"]
#[allow(dead_code, reason = "the network test uses the rest")]
mod world;

use fog::directory::Params;
use fog::engine::{Engine, Input, Output, PacketId, Setup, Token};
use fog::id::NodeId;
use fog::mail::Address;
use fog::sphinx::geometry::PAYLOAD_LEN;
use fog::sphinx::{self, Hop, Last, Randomness};
use fog::store::{MemoryDisk, Store};
use fog::submit::{Outcome, Request, Source, Wish};
use fog::time::Time;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use world::{START, bare_network};

const HOUR: Duration = Duration::from_secs(3600);
const TICK: Duration = Duration::from_secs(300);

/// The node that is watched. It is a mix and no exit.
const ME: usize = 1;

/// Two hops and few slots: what a packet costs to build is what these tests take.
fn params() -> Params {
    // A document is good for three epochs: as long as a test may last.
    Params { epoch: HOUR * 24 * 7, hops: 2, batch_min: 0, tick: TICK, ..Params::default() }
}

/// A node, and what was seen of it.
struct Watched {
    engine: Engine,
    disk: MemoryDisk,
    members: usize,
    seed: u64,
    rng: StdRng,
    now: Time,
    sent: Vec<(Time, NodeId)>,
    /// The names of what was sent, which ascend in the order in which it came.
    order: Vec<PacketId>,
    ids: Vec<NodeId>,
}

impl Watched {
    fn new(seed: u64, members: usize, params: Params) -> Self {
        let (engine, disk) = open(seed, members, &params, None);
        let network = bare_network(members, params, &mut StdRng::seed_from_u64(seed)).0;
        let ids = network.iter().map(|(setup, _)| setup.me).collect();
        let rng = StdRng::seed_from_u64(seed);
        Self { engine, disk, members, seed, rng, now: START, sent: Vec::new(), order: Vec::new(), ids }
    }

    /// Cuts the power, and opens the node again on what its disk has kept.
    fn cut_power(&mut self) {
        let params = self.engine.document().unwrap().params().clone();
        self.disk = self.disk.after_power_cut(&mut self.rng);
        self.engine = open(self.seed, self.members, &params, Some(&self.disk)).0;
    }

    /// Lets time pass until `end`. Every neighbour that it wants a link to has one, and takes all.
    fn run(&mut self, end: Time) {
        self.handle(vec![]);
        while let Some(next) = self.engine.next_wakeup().filter(|next| *next < end) {
            self.now = self.now.max(next);
            self.handle(vec![]);
        }
        self.now = end;
    }

    fn handle(&mut self, inputs: Vec<Input>) {
        let mut inputs = inputs;
        loop {
            let outputs = self.engine.handle(std::mem::take(&mut inputs), self.now, &mut self.rng).unwrap();
            for output in outputs {
                match output {
                    Output::Connect(to) => inputs.push(Input::LinkUp(to)),
                    Output::Send { to, id, .. } => {
                        self.sent.push((self.now, to));
                        self.order.push(id);
                        inputs.push(Input::Acked { to, id });
                    }
                    Output::Reply { reply, .. } => {
                        assert!(matches!(reply.outcomes[..], [Outcome::Accepted(..)]), "{reply:?}");
                    }
                    Output::Disposed(_) => {}
                    other => panic!("{other:?}"),
                }
            }
            if inputs.is_empty() {
                return;
            }
        }
    }

    fn submit(&mut self) {
        let recipients = vec![Address::parse("a@example.com.fog").unwrap()];
        let mail = b"From: a@b.example\r\nSubject: x\r\n\r\nHello.\r\n".to_vec();
        let (source, wish) = (Source::Mta, Wish::default());
        let request = Request { source, dedup: None, sender: None, wish, recipients, mail };
        self.handle(vec![Input::Submit { token: Token(1), request }]);
    }

    /// The packets of each tick from `from` on, and whom each went to.
    fn ticks(&self, from: Time) -> BTreeMap<Time, Vec<NodeId>> {
        let mut ticks: BTreeMap<_, Vec<_>> = BTreeMap::new();
        let mut at = from.next_tick(TICK);
        while at < self.now {
            ticks.insert(at, Vec::new());
            at = at.plus(TICK);
        }
        for (at, to) in self.sent.iter().filter(|(at, _)| *at >= from) {
            assert_eq!(at.next_tick(TICK), *at, "a packet left between two ticks");
            ticks.get_mut(at).unwrap().push(*to);
        }
        ticks
    }
}

/// The node ME of a network of so many: a new one, or what a disk has kept of it.
fn open(seed: u64, members: usize, params: &Params, disk: Option<&MemoryDisk>) -> (Engine, MemoryDisk) {
    let (mut network, document) = bare_network(members, params.clone(), &mut StdRng::seed_from_u64(seed));
    let (setup, new): (Setup, MemoryDisk) = network.swap_remove(ME);
    let disk = disk.map_or(new, MemoryDisk::clone);
    (Engine::open(Store::on(&disk).unwrap(), setup, Some(Box::new(document))).unwrap(), disk)
}

/// How often each of some outcomes was seen: in hours without mail, and in hours with it.
type Table = BTreeMap<String, [u32; 2]>;

/// Whether the two columns are of one law: Pearson's test of homogeneity. False by chance once in 100 seeds.
fn are_alike(table: &Table) -> bool {
    let total = |column: usize| f64::from(table.values().map(|row| row[column]).sum::<u32>());
    let (totals, all) = ([total(0), total(1)], total(0) + total(1));
    assert!(totals.iter().all(|total| *total > 200.0), "too little was seen: {totals:?}");
    // What is rare is put together, or the statistic would not follow its law.
    let (mut cells, mut rare) = (Vec::new(), [0.0, 0.0]);
    for row in table.values() {
        let row = row.map(f64::from);
        let least = (row[0] + row[1]) * totals[0].min(totals[1]) / all;
        if least < 5.0 {
            rare = [rare[0] + row[0], rare[1] + row[1]];
        } else {
            cells.push(row);
        }
    }
    if rare[0] + rare[1] > 0.0 {
        cells.push(rare);
    }
    let mut statistic = 0.0;
    for row in &cells {
        for column in 0..2 {
            let expected = (row[0] + row[1]) * totals[column] / all;
            statistic += (row[column] - expected).powi(2) / expected;
        }
    }
    statistic < critical(f64::from(u32::try_from(cells.len() - 1).unwrap()))
}

/// What chi squared with so many degrees of freedom goes beyond once in 100 times (Wilson and Hilferty).
fn critical(freedom: f64) -> f64 {
    let a = 2.0 / (9.0 * freedom.max(1.0));
    freedom.max(1.0) * (1.0 - a + 2.326_35 * a.sqrt()).powi(3)
}

/// Hours, each with what left at its ticks and whether mail waited in it.
type Hours = Vec<(bool, Vec<Vec<NodeId>>)>;

/// What can be seen of an hour that may tell whether mail waited: how much leaves at a tick and in the hour, how long it is
/// quiet, and to which of the two first hops packets go.
fn tables(hours: &Hours) -> [(&'static str, Table); 4] {
    let mut tables = ["at a tick", "in an hour", "quiet for", "destination"].map(|name| (name, Table::new()));
    for (has_mail, ticks) in hours {
        let mut count = |table: usize, outcome: String| {
            tables[table].1.entry(outcome).or_default()[usize::from(*has_mail)] += 1;
        };
        ticks.iter().for_each(|tick| count(0, format!("{:02}", tick.len().min(8))));
        count(1, format!("{:02}", ticks.iter().map(Vec::len).sum::<usize>()));
        let quiet = ticks.split(|tick| !tick.is_empty()).map(<[_]>::len).max().unwrap_or(0);
        count(2, format!("{quiet:02}"));
        ticks.iter().flatten().for_each(|to| count(3, format!("{:02}", to.0[0])));
    }
    tables
}

/// So many hours of a node, in about half of which mail waits.
fn watch(seed: u64, hours: u32) -> Hours {
    let mut node = Watched::new(seed, 5, Params { send_every: TICK * 4, tick: TICK, ..params() });
    // What a new node does at first is another thing.
    node.run(START.plus(HOUR).next_tick(HOUR));
    let from = node.now;
    let mut busy = Vec::new();
    for hour in 0..hours {
        let begins = from.plus(HOUR * hour);
        let writes = node.rng.random_bool(0.2);
        // By what was before it and what is handed in: an hour in which chance gives many slots must not count as one
        // without mail because they are why none waits any more.
        busy.push(writes || node.engine.held().unwrap().slots > 0);
        if writes {
            let second = node.rng.random_range(0..3600);
            node.run(begins.plus(Duration::from_secs(second)));
            (0..2).for_each(|_| node.submit());
        }
        node.run(begins.plus(HOUR));
    }
    let mut seen: BTreeMap<u64, Vec<Vec<NodeId>>> = BTreeMap::new();
    node.ticks(from).into_iter().for_each(|(at, to)| seen.entry(at.as_secs() / 3600).or_default().push(to));
    busy.into_iter().zip(seen.into_values()).collect()
}

/// What was seen of several nodes together: which of two is a node's first hop is what counts, and not its name.
fn watch_all(seeds: std::ops::Range<u64>, hours: u32) -> Hours {
    let worlds = std::thread::scope(|scope| {
        let watching: Vec<_> = seeds.map(|seed| scope.spawn(move || watch(seed, hours))).collect();
        watching.into_iter().map(|world| world.join().unwrap()).collect::<Vec<_>>()
    });
    let mut all = Hours::new();
    for world in worlds {
        let names: BTreeSet<NodeId> = world.iter().flat_map(|(_, ticks)| ticks.iter().flatten().copied()).collect();
        let name = |id: &NodeId| NodeId([u8::try_from(names.iter().position(|n| n == id).unwrap()).unwrap(); 32]);
        let renamed = |ticks: Vec<Vec<NodeId>>| ticks.iter().map(|tick| tick.iter().map(name).collect()).collect();
        all.extend(world.into_iter().map(|(has_mail, ticks)| (has_mail, renamed(ticks))));
    }
    all
}

/// What can be told from watching, by name.
fn told(hours: &Hours) -> Vec<&'static str> {
    tables(hours).into_iter().filter(|(_, table)| !are_alike(table)).map(|(name, _)| name).collect()
}

#[test]
fn nobody_who_watches_can_tell_hours_with_mail_from_hours_without() {
    let mut hours = watch_all(0..6, 340);
    assert!(hours.len() >= 2000);
    assert_eq!(told(&hours), Vec::<&str>::new());

    // A node that lets slots pass while nobody has written keeps its loops, one packet in four.
    let mut rng = StdRng::seed_from_u64(9);
    for (has_mail, ticks) in &mut hours {
        if !*has_mail {
            ticks.iter_mut().for_each(|tick| tick.retain(|_| rng.random_bool(0.25)));
        }
    }
    let caught = told(&hours);
    assert!(["at a tick", "in an hour", "quiet for"].iter().all(|name| caught.contains(name)), "{caught:?}");

    // Nor does one that sends mail by another first hop than cover.
    for (has_mail, ticks) in &mut hours {
        let first = NodeId([0; 32]);
        if *has_mail {
            ticks.iter_mut().flatten().for_each(|to| *to = if rng.random_bool(0.2) { first } else { *to });
        }
    }
    assert!(told(&hours).contains(&"destination"), "a fifth of the packets of an hour with mail");
}

/// What a neighbour hands over, and what becomes of it.
impl Watched {
    /// Hands the node a packet, which it is to hold for so long, then to pass on to the node with that number.
    fn hand_over(&mut self, next: usize, delay: Duration) {
        let (epoch, document) = (START.epoch(params().epoch), self.engine.document().unwrap());
        let hops = [ME, next].map(|n| {
            let id = self.ids[n];
            Hop { id, key: &document.node(&id).unwrap().mix_keys[&epoch] }
        });
        let random = Randomness::draw(&mut self.rng);
        let delay_ms = u32::try_from(delay.as_millis()).unwrap();
        let packet = sphinx::build(&hops, &[delay_ms], Last::Drop, &[0; PAYLOAD_LEN], &random).unwrap();
        let from = self.ids[0];
        self.handle(vec![Input::Packet { token: Token(2), from, packet }]);
    }

    /// Hands over 40 packets, one a minute, to be held for an hour to three.
    fn hand_over_many(&mut self) {
        for n in 0..40_u64 {
            self.now = START.plus(Duration::from_secs(60 * n));
            let delay = HOUR + Duration::from_secs(self.rng.random_range(0..7200));
            self.hand_over(2 + usize::try_from(n % 3).unwrap(), delay);
        }
    }
}

/// A node that sends nothing of its own, as far as a test can tell.
fn quiet(seed: u64) -> Watched {
    Watched::new(seed, 5, Params { send_every: HOUR * 24 * 7, ..params() })
}

#[test]
fn attack_14_what_was_held_over_a_restart_leaves_late_and_in_no_order_that_tells_when_it_came() {
    let mut node = quiet(20);
    node.hand_over_many();
    let up = START.plus(HOUR * 10).plus(Duration::from_secs(17));
    node.cut_power();
    node.now = up;
    node.run(up.plus(HOUR * 2));
    let early = node.sent.len();
    node.run(up.plus(HOUR * 30));
    assert_eq!((node.sent.len(), node.engine.counts().dropped), (40, 0), "none is lost");
    assert!(early < 25, "{early} of 40 left within two hours, of which each is held for one anew");
    let ticks: BTreeSet<Time> = node.sent.iter().map(|(at, _)| *at).collect();
    assert!(ticks.len() > 15, "they left at {} ticks", ticks.len());
    // Pairs that left in the other order than they came: 390 on average, with a deviation of 43.
    let pairs =
        node.order.iter().enumerate().flat_map(|(n, one)| node.order[n + 1..].iter().map(move |two| (one, two)));
    let turned = pairs.filter(|(one, two)| one > two).count();
    assert!((260..520).contains(&turned), "{turned} of 780 pairs left in the other order");
}

#[test]
fn attack_14_what_leaves_at_one_tick_is_shuffled() {
    let mut node = quiet(26);
    node.now = START.plus(Duration::from_secs(1));
    for n in 0..24 {
        node.hand_over(2 + n % 3, HOUR);
    }
    node.run(START.plus(HOUR * 2));
    let left: Vec<_> = node.sent.iter().map(|(_, to)| *to).zip(&node.order).collect();
    assert_eq!((left.len(), node.sent.iter().map(|(at, _)| *at).collect::<BTreeSet<_>>().len()), (24, 1));
    // A link keeps its order. Of 84 pairs on one link 42 on average are turned, with a deviation of 8.1.
    let pairs = left.iter().enumerate().flat_map(|(n, one)| left[n + 1..].iter().map(move |two| (one, two)));
    let turned = pairs.filter(|(one, two)| one.0 == two.0 && one.1 > two.1).count();
    assert!((14..70).contains(&turned), "{turned} of 84 pairs");
}

#[test]
fn a_clock_that_jumps_ahead_lets_nothing_go_at_once_and_set_right_all_goes_when_it_is_due() {
    let mut node = quiet(21);
    node.hand_over_many();
    let right = START.plus(Duration::from_secs(2400));
    // Ahead by so much that no key of today's would be accepted any more.
    node.now = right.plus(HOUR * 24 * 15);
    node.handle(vec![]);
    node.now = node.now.plus(TICK);
    node.handle(vec![]);
    // Slots may have come in that time.
    let own = |node: &Watched| usize::try_from(node.engine.counts().loops + node.engine.counts().drops).unwrap();
    assert!(node.sent.len() <= own(&node), "{} have left", node.sent.len());
    assert_eq!(node.engine.counts().dropped, 0);
    node.now = right;
    let before = node.sent.len();
    node.run(right.plus(HOUR * 3));
    assert_eq!((node.sent.len(), node.engine.counts().dropped), (40 + own(&node), 0));
    assert!(node.sent[before..].iter().all(|(at, _)| at.next_tick(TICK) == *at && at.since(START) >= HOUR));
}

#[test]
fn attack_17_a_packet_that_is_all_a_node_was_left_with_leaves_among_others_that_go_everywhere() {
    let mut node = Watched::new(22, 5, Params { batch_min: 5, send_every: HOUR * 24 * 7, ..params() });
    node.run(START.plus(TICK));
    node.hand_over(3, HOUR * 2);
    let from = node.now.plus(Duration::from_secs(1));
    node.run(START.plus(HOUR * 4));
    let ticks = node.ticks(from);
    assert!(ticks.len() > 40 && ticks.values().all(|tick| tick.len() == 5), "{ticks:?}");
    assert_eq!(u64::try_from(node.sent.len()).unwrap(), node.engine.counts().drops + 1, "all but the one are cover");
    // Whom the one goes to can't be told by that none of the others ever goes there. (An exit comes first less often: it
    // can't be first and last.)
    let mut to: BTreeMap<NodeId, usize> = BTreeMap::new();
    ticks.values().flatten().for_each(|id| *to.entry(*id).or_default() += 1);
    assert!(to.len() == 4 && to.values().all(|n| n * 10 > ticks.len() * 5), "{to:?}");
}

#[test]
fn attack_17_one_slot_in_four_is_a_loop_however_much_mail_there_is() {
    for mails in [0, 30] {
        let mut node = Watched::new(23, 5, params());
        for hour in 0..16 {
            while mails > node.engine.held().unwrap().mails {
                node.submit();
            }
            node.run(START.plus(HOUR * (hour + 1)));
        }
        let (loops, sent) = (node.engine.counts().loops, node.sent.len());
        // 192 slots, of which 48 with a deviation of 6.
        assert!((150..234).contains(&sent) && (28..68).contains(&loops), "{loops} of {sent}");
        assert_eq!(node.engine.counts().drops > 100, mails == 0);
    }
}

#[test]
fn kept_first_hops_are_all_that_a_node_sends_to_and_outlive_restarts() {
    let mut node = Watched::new(24, 8, Params { send_every: HOUR, ..params() });
    for day in 1..=5 {
        (0..3).for_each(|_| node.submit());
        node.run(START.plus(HOUR * 24 * day));
        node.cut_power();
    }
    let firsts: BTreeSet<NodeId> = node.sent.iter().map(|(_, to)| *to).collect();
    assert_eq!(firsts.len(), 2, "of {} packets", node.sent.len());
    assert!(node.sent.len() > 80);
}

#[test]
fn a_first_hop_that_can_not_be_reached_is_left_out_until_it_can() {
    let mut node = Watched::new(25, 8, Params { send_every: TICK * 6, ..params() });
    node.run(START.plus(HOUR * 12));
    let [down, up] = node.sent.iter().map(|(_, to)| *to).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>()[..]
    else {
        panic!("two first hops")
    };
    node.handle(vec![Input::LinkDown(down)]);
    let from = node.now.plus(TICK * 2);
    node.run(START.plus(HOUR * 24));
    let after: Vec<_> = node.sent.iter().filter(|(at, _)| *at > from).collect();
    assert!(after.len() > 10 && after.iter().all(|(_, to)| *to == up), "it waits for the other one");
    node.handle(vec![Input::LinkUp(down)]);
    let from = node.now;
    node.run(START.plus(HOUR * 36));
    assert!(node.sent.iter().any(|(at, to)| *at > from && *to == down));
}
