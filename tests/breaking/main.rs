//! Everything breaks at once: real processes, real files, and between each two nodes somebody who drops, doubles, reorders,
//! delays and cuts. Nodes and exits are killed, clocks step, MTAs rest; one mix dies for good, one takes everything and hands
//! on nothing, one exit lies. What was accepted is at an MTA in the end, or its sender is told.
//!
//! `FOG_BREAK_MAILS` says how many mails, `FOG_SEED` repeats a run. The last line says what became of them.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a test stops at the first surprise, and takes the time"
)]

mod ledger;
#[path = "../common/network.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod network;
mod proxy;
mod senders;
#[path = "../common/sink.rs"]
mod sink;
mod thief;

use ledger::{Fault, Ledger};
use network::{Network, Plan, free_ports};
use proxy::{Harm, Proxy, Weather};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use senders::Senders;
use sink::Sink;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use thief::Thief;

const NODES: usize = 9;
/// Where mail is handed in, and where its senders get notices.
const ENTRIES: [usize; 2] = [0, 1];
/// Dies for good after a third of the mails.
const GONE: usize = 3;
/// Takes everything and hands on nothing.
const THIEF: usize = 4;
/// Says of every mail that it is delivered.
const LIAR: usize = 6;
const EXITS: [usize; 2] = [7, 8];

const PARAMETERS: &[&str] =
    &["min-delay=50ms", "mean-delay=200ms", "max-delay=1s", "tick=100ms", "send-every=25ms", "max-size=4M", "epoch=6m"];

/// How long everything may take to be decided once nothing breaks any more.
const PATIENCE: Duration = Duration::from_secs(600);

/// The network, and who breaks it.
struct Broken {
    network: Network,
    doors: Vec<Proxy>,
    listens: Vec<SocketAddr>,
    harm: Arc<Harm>,
    /// Of the honest exits.
    sinks: [Sink; 2],
    /// For notices.
    home: Sink,
    liar: PathBuf,
    _dir: tempfile::TempDir,
}

impl Broken {
    fn start(weather: Weather, seed: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let (harm, ports) = (Arc::<Harm>::default(), free_ports(NODES));
        let listens: Vec<_> = ports.iter().map(|port| SocketAddr::from(([127, 0, 0, 1], *port))).collect();
        let door = |index: usize| Proxy::start(listens[index], weather, &harm, seed ^ (index as u64) << 48);
        let doors: Vec<Proxy> = (0..NODES).map(door).collect();
        let (sinks, home) = ([Sink::start(), Sink::start()], Sink::start());
        let liar = dir.path().join("taken-by-the-liar");
        let mut exits = vec![(LIAR, format!("sendmail:{}", lie(dir.path(), &liar).display()))];
        exits.extend(EXITS.iter().zip(&sinks).map(|(exit, sink)| (*exit, format!("smtp:{}", sink.address()))));
        let plan = Plan {
            user: fs::metadata(dir.path()).unwrap().uid(),
            addresses: (0..NODES)
                .map(|index| (listens(index).to_string(), doors[index].address().to_string()))
                .collect(),
            exits,
            homes: ENTRIES.map(|entry| (entry, format!("smtp:{}", home.address()))).to_vec(),
            parameters: PARAMETERS,
            sets: &["log.target=stderr", "entry.notify=home.invalid", "entry.give-up=10m"],
        };
        let network = Network::start_as(dir.path(), &plan);
        Self { network, doors, listens, harm, sinks, home, liar, _dir: dir }
    }

    fn storm(&self, is_on: bool) {
        self.doors.iter().for_each(|door| door.storm(is_on));
    }

    /// Breaks something, and mends it; says what it was.
    fn harm(&mut self, gone: bool, rng: &mut StdRng) -> Vec<Fault> {
        let node = loop {
            let node = rng.random_range(0..NODES);
            if node != THIEF && !(gone && node == GONE) {
                break node;
            }
        };
        match rng.random_range(0..10) {
            0..5 => {
                self.network.kill_node(node);
                self.network.start_node(node);
                vec![Fault::node(node)]
            }
            5..7 => {
                self.network.kill_node(node);
                self.network.start_node_off(node, rng.random_range(-9..9));
                vec![Fault::node(node)]
            }
            7..9 => {
                let exit = EXITS[rng.random_range(0..2)];
                self.network.kill_exit_of(exit);
                self.network.start_exit_of(exit);
                vec![Fault::exit(exit)]
            }
            _ => {
                let index = rng.random_range(0..2);
                let begins = Fault::mta(EXITS[index]);
                self.sinks[index].rest(true);
                thread::sleep(Duration::from_secs(rng.random_range(1..4)));
                self.sinks[index].rest(false);
                vec![begins, Fault::mta(EXITS[index])]
            }
        }
    }
}

/// A program that takes a mail as sendmail does, notes its mark, and does nothing else with it.
fn lie(dir: &Path, notes: &Path) -> PathBuf {
    let program = dir.join("lie");
    fs::write(&program, format!("#!/bin/sh\ngrep -a '^Subject: mark ' >>'{}'\n", notes.display())).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    program
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |number| number.parse().unwrap())
}

#[test]
fn what_is_accepted_arrives_or_its_sender_is_told() {
    let (mails, seed) = (number("FOG_BREAK_MAILS", 60), number("FOG_SEED", rand::random()));
    println!("FOG_SEED={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let mut broken = Broken::start(Weather::FOUL, seed);
    broken.network.kill_node(THIEF);
    let key = broken.network.config(THIEF).with_file_name("node.key");
    let thief = Thief::start(broken.listens[THIEF], key);
    let entries = ENTRIES.map(|entry| broken.network.config(entry));
    let senders = Senders::start(broken.network.fog(), &entries, mails, seed);
    broken.storm(true);
    let (mut faults, mut gone, began) = (Vec::new(), false, Instant::now());
    while !senders.are_done() {
        assert!(began.elapsed() < 2 * PATIENCE, "{} of {mails} mails were accepted", senders.accepted().len());
        if !gone && senders.accepted().len() as u64 > mails / 3 {
            broken.network.kill_node(GONE);
            gone = true;
        }
        faults.extend(broken.harm(gone, &mut rng));
        thread::sleep(Duration::from_millis(rng.random_range(100..1_500)));
    }
    broken.storm(false);
    let accepted = senders.end();
    let ledger = settle(&broken, &accepted);
    println!("{:?} stolen={} faults={}", broken.harm, thief.stolen(), faults.len());
    ledger.second_copies(&faults).iter().for_each(|(why, copies)| println!("second copies because {why}: {copies}"));
    println!("{ledger}");
    assert!(accepted.len() as u64 == mails && faults.len() > 5 && gone, "too little has happened");
    assert!(thief.stolen() > 0, "nothing was stolen");
    assert_eq!(ledger.lost(), 0, "{:?}", ledger.missing());
    assert!(ledger.told() * 100 <= accepted.len().max(100), "too many were told");
    assert!(ledger.twice() * 100 <= accepted.len().max(500), "too many came twice");
}

/// Waits until every accepted mail is somewhere, or its sender has been told.
fn settle(broken: &Broken, accepted: &[usize]) -> Ledger {
    let began = Instant::now();
    loop {
        let lied = fs::read_to_string(&broken.liar).unwrap_or_default();
        let ledger = Ledger::new(accepted, &broken.sinks, &broken.home, &lied);
        if ledger.lost() == 0 || began.elapsed() > PATIENCE {
            return ledger;
        }
        thread::sleep(Duration::from_millis(300));
    }
}
