//! The network, and who breaks it.

use super::ledger::{Custody, Fault, Ledger, What};
use super::network::{Network, Plan, free_ports};
use super::proxy::{Harm, Proxy, Weather};
use super::senders::{Accepted, HOME};
use super::sink::Sink;
use super::thief::Thief;
use fog::id::{NodeId, QueueId};
use fog::store::{Shelf, Store};
use fog::sys::key_file::NodeKey;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

const NODES: usize = 9;
/// Where mail is handed in, and where its senders get notices.
pub(crate) const ENTRIES: [usize; 2] = [0, 1];
/// Of these one dies for good after a third of the mails, and one takes everything and hands on nothing.
const MIXES: [usize; 4] = [2, 3, 4, 5];
/// Says of every mail that it is delivered.
pub(crate) const LIAR: usize = 6;
pub(crate) const EXITS: [usize; 2] = [7, 8];

/// An epoch is six minutes, so that a mail is given up after thirty: a try on which nothing is heard is over after three
/// quarters of one. A link is closed where clocks are more than fifteen seconds apart. Who looks later than a tick at what is due draws a
/// new delay, and on a machine that has other things to do that is soon.
const PARAMETERS: &[&str] = &[
    "min-delay=200ms",
    "mean-delay=500ms",
    "max-delay=2s",
    "tick=1s",
    "batch-min=0",
    "send-every=300ms",
    "max-size=4M",
    "epoch=6m",
];

/// What can break.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Break {
    /// Bytes between nodes are lost, doubled, exchanged and late, and links are cut.
    Links,
    /// Nodes are killed.
    Kills,
    /// Nodes are killed, and come back with another clock.
    Clocks,
    /// Exit processes are killed.
    Exits,
    /// MTAs turn exits away.
    Mtas,
    /// A mix is gone for good.
    Gone,
    /// A mix throws everything away.
    Thief,
    /// An exit lies.
    Liar,
}

/// What breaks in this run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Breaks(Vec<Break>);

impl Breaks {
    const ALL: [(&str, Break); 8] = [
        ("links", Break::Links),
        ("kills", Break::Kills),
        ("clocks", Break::Clocks),
        ("exits", Break::Exits),
        ("mtas", Break::Mtas),
        ("gone", Break::Gone),
        ("thief", Break::Thief),
        ("liar", Break::Liar),
    ];

    /// What the environment says; everything, if it says nothing.
    pub(crate) fn wished() -> Self {
        let Ok(wish) = std::env::var("FOG_BREAK_FAULTS") else {
            return Self(Self::ALL.map(|(_, which)| which).to_vec());
        };
        let one = |word: &str| {
            let known = Self::ALL.iter().find(|(name, _)| *name == word);
            known.unwrap_or_else(|| panic!("FOG_BREAK_FAULTS: {word:?} is none of {:?}", Self::ALL)).1
        };
        Self(wish.split(',').filter(|word| !word.is_empty()).map(one).collect())
    }

    fn has(&self, which: Break) -> bool {
        self.0.contains(&which)
    }

    /// One of those that come again and again, drawn by how often it shall; none if there are none.
    fn draw(&self, rng: &mut StdRng) -> Option<Break> {
        let often = [(Break::Kills, 5), (Break::Clocks, 2), (Break::Exits, 2), (Break::Mtas, 1)];
        let often: Vec<_> = often.into_iter().filter(|(which, _)| self.has(*which)).collect();
        let all: Vec<_> = often.iter().flat_map(|(which, times)| vec![*which; *times]).collect();
        (!all.is_empty()).then(|| all[rng.random_range(0..all.len())])
    }
}

pub(crate) struct Broken {
    pub(crate) network: Network,
    breaks: Breaks,
    doors: Vec<Proxy>,
    pub(crate) harm: Arc<Harm>,
    /// Of the honest exits.
    sinks: [Sink; 2],
    /// For notices.
    home: Sink,
    /// What the liar has noted.
    lied: PathBuf,
    gone: Victim,
    is_one_gone: bool,
    thief: Victim,
    stolen: Option<Thief>,
    /// What is broken for long, or for good.
    lasting: Vec<Fault>,
    _dir: tempfile::TempDir,
}

impl Broken {
    pub(crate) fn start(breaks: Breaks, seed: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let weather = if breaks.has(Break::Links) { Weather::FOUL } else { Weather::FAIR };
        let (harm, ports) = (Arc::<Harm>::default(), free_ports(NODES));
        let listens: Vec<_> = ports.iter().map(|port| SocketAddr::from(([127, 0, 0, 1], *port))).collect();
        let door = |index: usize| Proxy::start(listens[index], weather, &harm, seed ^ (index as u64) << 48);
        let doors: Vec<Proxy> = (0..NODES).map(door).collect();
        let (sinks, home) = ([Sink::start(), Sink::start()], Sink::start());
        let lied = dir.path().join("taken-by-the-liar");
        let mut exits: Vec<_> =
            EXITS.iter().zip(&sinks).map(|(exit, sink)| (*exit, format!("smtp:{}", sink.address()))).collect();
        if breaks.has(Break::Liar) {
            exits.push((LIAR, format!("sendmail:{}", lie(dir.path(), &lied).display())));
        }
        let addresses = listens.iter().zip(&doors).map(|(at, door)| (at.to_string(), door.address().to_string()));
        let plan = Plan {
            user: fs::metadata(dir.path()).unwrap().uid(),
            addresses: addresses.collect(),
            exits,
            homes: ENTRIES.map(|entry| (entry, format!("smtp:{}", home.address()), HOME)).to_vec(),
            parameters: PARAMETERS,
            sets: &["log.target=stderr"],
        };
        let mut network = Network::start_as(dir.path(), &plan);
        let (gone, thief) = victims(&mut network, seed);
        let stolen = breaks.has(Break::Thief).then(|| {
            network.kill_node(thief.node);
            Thief::start(listens[thief.node], key_of(&network, thief.node))
        });
        let lasting = stolen.iter().map(|_| Fault::of(What::Mix(thief.is_first_of))).collect();
        let is_one_gone = false;
        Self { network, breaks, doors, harm, sinks, home, lied, gone, is_one_gone, thief, stolen, lasting, _dir: dir }
    }

    /// The configurations of those who take mail.
    pub(crate) fn entries(&self) -> [PathBuf; 2] {
        ENTRIES.map(|entry| self.network.config(entry))
    }

    /// Whether anything happens on the links.
    pub(crate) fn storm(&mut self, is_on: bool) {
        self.doors.iter().for_each(|door| door.storm(is_on));
        let storms = self.lasting.iter_mut().filter(|fault| fault.is_of(What::Links));
        storms.for_each(|storm| *storm = storm.mended());
        if is_on && self.breaks.has(Break::Links) {
            self.lasting.push(Fault::of(What::Links));
        }
    }

    /// What is or was broken for long, or for good.
    pub(crate) fn lasting(&self) -> &[Fault] {
        &self.lasting
    }

    /// One mix dies for good, if one is to, and has not yet.
    pub(crate) fn lose_one_for_good(&mut self) {
        if self.breaks.has(Break::Gone) && !self.is_one_gone {
            self.network.kill_node(self.gone.node);
            self.lasting.push(Fault::of(What::Mix(self.gone.is_first_of)));
            self.is_one_gone = true;
        }
    }

    /// Breaks something, and mends it; says what it was.
    pub(crate) fn harm(&mut self, rng: &mut StdRng) -> Vec<Fault> {
        match self.breaks.draw(rng) {
            Some(Break::Kills) => {
                let node = self.some_node(rng);
                self.network.kill_node(node);
                let fault = Fault::of(What::Node(node));
                thread::sleep(Duration::from_millis(rng.random_range(0..2_000)));
                self.network.start_node_again(node);
                vec![fault.mended()]
            }
            Some(Break::Clocks) => {
                let (node, off) = (self.some_node(rng), rng.random_range(1..=30) * [-1, 1][rng.random_range(0..2)]);
                self.network.kill_node(node);
                let fault = Fault::of(What::Node(node));
                self.network.start_node_off(node, off);
                thread::sleep(Duration::from_millis(rng.random_range(500..4_000)));
                self.network.kill_node(node);
                let again = Fault::of(What::Node(node));
                self.network.start_node_again(node);
                vec![fault.mended(), again.mended()]
            }
            Some(Break::Exits) => {
                let exit = EXITS[rng.random_range(0..2)];
                self.network.kill_exit_of(exit);
                let fault = Fault::of(What::Exit(exit));
                self.network.start_exit_of(exit);
                vec![fault.mended()]
            }
            Some(Break::Mtas) => {
                let index = rng.random_range(0..2);
                let fault = Fault::of(What::Mta(EXITS[index]));
                self.sinks[index].rest(true);
                thread::sleep(Duration::from_secs(rng.random_range(1..4)));
                self.sinks[index].rest(false);
                vec![fault.mended()]
            }
            _ => Vec::new(),
        }
    }

    /// One that is there.
    fn some_node(&self, rng: &mut StdRng) -> usize {
        let is_gone = |node: usize| node == self.gone.node && self.is_one_gone;
        let is_there = |node: &usize| !is_gone(*node) && (*node != self.thief.node || self.stolen.is_none());
        let there: Vec<_> = (0..NODES).filter(is_there).collect();
        there[rng.random_range(0..there.len())]
    }

    /// What has become of the mails by now.
    pub(crate) fn ledger(&self, accepted: &Accepted) -> Ledger {
        let lied = fs::read_to_string(&self.lied).unwrap_or_default();
        Ledger::new(accepted, &self.sinks, &self.home, &lied)
    }

    /// What the entries answer for: that it arrives, or that its sender is told.
    pub(crate) fn custody(&self) -> Custody {
        ENTRIES.map(|entry| {
            let listed = self.network.ask(entry, &["queue", "list", "--json"]);
            let mails = listed.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect(line));
            // The last two are notices: an entry is no exit.
            let kept = ["waiting", "leaving", "mixing", "held", "outbox", "deferred"];
            let is_kept = |mail: &serde_json::Value| kept.contains(&mail["state"].as_str().unwrap());
            mails.filter(is_kept).map(|mail| QueueId::parse(mail["id"].as_str().unwrap()).unwrap()).collect()
        })
    }

    /// Whether what was to break did.
    pub(crate) fn is_hit(&self, faults: &[Fault]) -> bool {
        let stolen = self.stolen.as_ref().is_none_or(|thief| thief.stolen() > 0);
        let gone = self.is_one_gone || !self.breaks.has(Break::Gone);
        let lied = !self.breaks.has(Break::Liar) || self.lied.exists();
        let again = self
            .breaks
            .0
            .iter()
            .filter(|which| matches!(which, Break::Kills | Break::Clocks | Break::Exits | Break::Mtas));
        stolen && gone && lied && faults.len() >= 5 * again.count().min(1)
    }

    /// What an operator sees where mail was handed in, and at the exits.
    pub(crate) fn tell(&self) {
        for index in ENTRIES.into_iter().chain(EXITS) {
            for verb in [&["queue", "list"][..], &["status"]] {
                println!("--- n{} {}\n{}", index + 1, verb.join(" "), self.network.ask(index, verb));
            }
        }
    }
}

/// A mix that dies for good, or steals.
struct Victim {
    node: usize,
    /// Whether it is a first hop of each entry.
    is_first_of: [bool; ENTRIES.len()],
}

/// Who dies for good, and who steals: nobody's two first hops, or nothing of what they send gets anywhere, and no receipt
/// can help.
fn victims(network: &mut Network, seed: u64) -> (Victim, Victim) {
    let ids = MIXES.map(|mix| NodeKey::read(&key_of(network, mix)).unwrap().identity.node_id());
    let firsts = ENTRIES.map(|entry| first_hops(network, entry));
    let has = |firsts: &[u8], mix: usize| firsts.windows(NodeId::LEN).any(|id| id == ids[mix].0);
    let pairs = (0..MIXES.len()).flat_map(|gone| (0..MIXES.len()).map(move |thief| (gone, thief)));
    let pairs: Vec<_> = pairs
        .filter(|(gone, thief)| gone != thief && !firsts.iter().any(|it| has(it, *gone) && has(it, *thief)))
        .collect();
    let (gone, thief) = pairs[StdRng::seed_from_u64(seed).random_range(0..pairs.len())];
    let victim = |name: &str, mix: usize| {
        let is_first_of = [0, 1].map(|entry: usize| has(&firsts[entry], mix));
        println!("{name}: n{}; the entries' first hop: {is_first_of:?}", MIXES[mix] + 1);
        Victim { node: MIXES[mix], is_first_of }
    };
    (victim("gone", gone), victim("thief", thief))
}

/// What a node has noted of the first hops that it keeps, ids among it. It is killed for that.
fn first_hops(network: &mut Network, node: usize) -> Vec<u8> {
    let spool = network.config(node).with_file_name("spool");
    loop {
        thread::sleep(Duration::from_secs(1));
        network.kill_node(node);
        let row = Store::open(&spool).unwrap().rows(Shelf::Firsts).unwrap().pop();
        network.start_node(node);
        if let Some(row) = row {
            return row.meta.to_vec();
        }
    }
}

fn key_of(network: &Network, node: usize) -> PathBuf {
    network.config(node).with_file_name("node.key")
}

/// A program that takes a mail as sendmail does, notes its mark, and does nothing else with it.
fn lie(dir: &Path, notes: &Path) -> PathBuf {
    let program = dir.join("lie");
    fs::write(&program, format!("#!/bin/sh\ngrep -a '^Subject: mark ' >>'{}'\n", notes.display())).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    program
}
