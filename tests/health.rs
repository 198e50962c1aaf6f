//! What a node finds out by its loops: engines of one network under virtual time, some of which take packets and lose them.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests: a failure is to stop them")]

#[path = "network/world.rs"]
#[allow(dead_code, reason = "the network test uses the rest")]
mod world;

use fog::directory::{Document, Params};
use fog::engine::{Engine, Input, Output, PingAnswer, PingAsk, Pinged, Token};
use fog::id::NodeId;
use fog::store::{MemoryDisk, Store};
use fog::time::Time;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;
use world::{START, bare_network};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const NODES: usize = 5;
/// The node that measures.
const ME: usize = 1;
/// A mix and no exit.
const MIX: usize = 2;

fn params() -> Params {
    Params {
        min_delay: MINUTE / 2,
        mean_delay: MINUTE,
        max_delay: 10 * MINUTE,
        tick: MINUTE / 6,
        batch_min: 0,
        send_every: MINUTE,
        epoch: 2 * HOUR,
        ..Params::default()
    }
}

struct Net {
    seed: u64,
    engines: Vec<Engine>,
    disks: Vec<MemoryDisk>,
    ids: Vec<NodeId>,
    document: Document,
    rng: StdRng,
    now: Time,
    /// Who acknowledges what comes, and loses it.
    losing: BTreeSet<usize>,
    answers: Vec<PingAnswer>,
}

impl Net {
    fn new(seed: u64, losing: impl IntoIterator<Item = usize>) -> Self {
        let (members, document) = bare_network(NODES, params(), &mut StdRng::seed_from_u64(seed));
        let ids = members.iter().map(|(setup, _)| setup.me).collect();
        let (engines, disks) = members
            .into_iter()
            .map(|(setup, disk)| {
                let document = Some(Box::new(document.clone()));
                (Engine::open(Store::on(&disk).unwrap(), setup, document).unwrap(), disk)
            })
            .unzip();
        let (rng, losing) = (StdRng::seed_from_u64(seed), losing.into_iter().collect());
        Self { seed, engines, disks, ids, document, rng, now: START, losing, answers: Vec::new() }
    }

    /// Cuts the power of the node that measures, and opens it again on what its disk has kept.
    fn cut_power(&mut self) {
        let (mut members, _) = bare_network(NODES, params(), &mut StdRng::seed_from_u64(self.seed));
        self.disks[ME] = self.disks[ME].after_power_cut(&mut self.rng);
        let store = Store::on(&self.disks[ME]).unwrap();
        let document = Some(Box::new(self.document.clone()));
        self.engines[ME] = Engine::open(store, members.swap_remove(ME).0, document).unwrap();
        let links = self.ids.iter().map(|id| (ME, Input::LinkUp(*id))).collect();
        self.handle(links);
    }

    fn run(&mut self, span: Duration) {
        let end = self.now.plus(span);
        // A node has no slots before it has been called for the first time.
        (0..NODES).for_each(|node| self.step(node, vec![]));
        loop {
            let wakeups = (0..NODES).filter_map(|node| Some((self.engines[node].next_wakeup()?, node)));
            let Some((at, node)) = wakeups.min().filter(|(at, _)| *at < end) else { break };
            self.now = self.now.max(at);
            self.step(node, vec![]);
        }
        self.now = end;
    }

    fn step(&mut self, node: usize, inputs: Vec<Input>) {
        let outputs = self.engines[node].handle(inputs, self.now, &mut self.rng).unwrap();
        let mut queue = VecDeque::new();
        self.take(node, outputs, &mut queue);
        self.handle(queue);
    }

    fn handle(&mut self, mut queue: VecDeque<(usize, Input)>) {
        while let Some((node, input)) = queue.pop_front() {
            let outputs = self.engines[node].handle(vec![input], self.now, &mut self.rng).unwrap();
            self.take(node, outputs, &mut queue);
        }
    }

    fn take(&mut self, node: usize, outputs: Vec<Output>, queue: &mut VecDeque<(usize, Input)>) {
        for output in outputs {
            match output {
                Output::Connect(to) => queue.push_back((node, Input::LinkUp(to))),
                Output::Send { to, id, packet } => {
                    let at = self.ids.iter().position(|id| *id == to).unwrap();
                    if !self.losing.contains(&at) {
                        let from = self.ids[node];
                        queue.push_back((at, Input::Packet { token: Token(0), from, packet }));
                    }
                    queue.push_back((node, Input::Acked { to, id }));
                }
                Output::Ping { answer, .. } => self.answers.push(answer),
                Output::Disposed(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn ping(&mut self, ask: PingAsk) -> Vec<Pinged> {
        self.step(ME, vec![Input::Ping { token: Token(1), ask }]);
        match self.answers.pop() {
            Some(PingAnswer::Table(table)) => table,
            other => panic!("{other:?}"),
        }
    }

    fn name(&self, node: usize) -> String {
        self.document.node(&self.ids[node]).unwrap().name.clone()
    }

    /// Which nodes the one that measures complains of, and how much comes on there, in percent.
    fn complaints(&self) -> Vec<(usize, u8)> {
        let measured = self.engines[ME].measured(self.now).unwrap();
        let at = |id: &NodeId| self.ids.iter().position(|known| known == id).unwrap();
        measured.iter().map(|(id, uptime)| (at(id), uptime.percent())).collect()
    }
}

#[test]
fn a_node_that_loses_packets_is_found_and_nobody_else_is_blamed_also_after_a_power_cut() {
    // By this seed it is no first hop of the one that measures: of those nothing is told.
    let mut net = Net::new(6, [MIX]);
    assert_eq!(net.engines[ME].measured(net.now), None, "nothing is known yet");
    net.run(7 * HOUR);
    assert_eq!(net.complaints(), [(MIX, 0)]);
    let figures = net.engines[ME].loops(net.now);
    assert!(figures.back > 5 && figures.lost > 5, "{figures:?}");
    let median = figures.median.unwrap();
    assert!((2 * MINUTE..20 * MINUTE).contains(&median), "four hops of a minute: {median:?}");
    net.cut_power();
    assert_eq!(net.complaints(), [(MIX, 0)]);
    assert_eq!(net.engines[ME].loops(net.now), figures);
}

#[test]
fn where_nobody_loses_anything_nobody_is_blamed() {
    let mut net = Net::new(2, []);
    net.run(4 * HOUR);
    assert_eq!(net.complaints(), []);
    assert_eq!(net.engines[ME].loops(net.now).lost, 0);
}

#[test]
fn attack_17_holding_back_all_loops_raises_the_alarm_until_one_comes_back() {
    let mut net = Net::new(3, []);
    net.run(HOUR);
    assert!(!net.engines[ME].is_held_back());
    net.losing = (0..NODES).filter(|node| *node != ME).collect();
    net.run(3 * HOUR / 2);
    assert!(net.engines[ME].is_held_back());
    net.losing.clear();
    net.run(HOUR);
    assert!(!net.engines[ME].is_held_back());
}

#[test]
fn a_ping_is_answered_by_a_loop_in_an_ordinary_slot_also_after_a_power_cut() {
    let mut net = Net::new(4, [MIX]);
    net.run(MINUTE);
    let (good, bad) = (net.name(4), net.name(MIX));
    assert!(matches!(net.ping(PingAsk::Show)[..], []));
    net.step(ME, vec![Input::Ping { token: Token(1), ask: PingAsk::Node("nobody".into()) }]);
    assert_eq!(net.answers.pop(), Some(PingAnswer::Unknown));
    net.step(ME, vec![Input::Ping { token: Token(1), ask: PingAsk::Node(net.name(ME)) }]);
    assert_eq!(net.answers.pop(), Some(PingAnswer::Unknown), "not through ourselves");
    net.ping(PingAsk::Node(good.clone()));
    let asked = net.ping(PingAsk::Node(bad.clone()));
    assert!(asked.len() == 2 && asked.iter().all(|node| node.waits && node.back + node.lost == 0), "{asked:?}");
    net.run(10 * MINUTE);
    net.cut_power();
    net.run(HOUR);
    let told = net.ping(PingAsk::Show);
    let of = |name: &str| told.iter().find(|node| node.name == name).unwrap().clone();
    assert!(!of(&good).waits && of(&good).back > 0, "{told:?}");
    assert!(!of(&bad).waits && of(&bad).back == 0 && of(&bad).lost > 0, "{told:?}");
    let again = net.ping(PingAsk::Node(good.clone()));
    assert!(again.iter().any(|node| node.name == good && node.waits && node.back == 0), "an answered one begins anew");
}
