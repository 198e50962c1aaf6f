//! Real processes and real files under load, killed at random as a power cut would: no accepted mail is lost, and each
//! second copy at the MTA is the fault of a kill that hit the exit.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test stops at the first surprise, and takes the time"
)]

#[path = "common/network.rs"]
mod network;
#[path = "common/sink.rs"]
mod sink;

use fog::store::{Shelf, Store};
use network::Network;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sink::Sink;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const NODES: usize = 5;
const SENDERS: u64 = 2;
/// How long nothing at all may arrive once nobody is killed any more, while something is missing: how long all of it takes
/// depends on how much was handed in, and an entry's slots carry three or four mails a second.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Victim {
    Node(usize),
    Exit,
}

/// What the senders know.
#[derive(Default)]
struct Sent {
    next: AtomicUsize,
    stop: AtomicBool,
    /// Marks of mails that `fog send` said were accepted.
    accepted: Mutex<Vec<usize>>,
    killed: AtomicUsize,
}

/// Ends the sending when the killing ends, well or not.
struct Stop<'a>(&'a Sent);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }
}

#[test]
fn no_accepted_mail_is_lost_whoever_is_killed() {
    let seconds = std::env::var("FOG_KILL_SECONDS").map_or(60, |seconds| seconds.parse().unwrap());
    let seed = std::env::var("FOG_SEED").map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    println!("FOG_SEED={seed}");
    let dir = tempfile::tempdir().unwrap();
    let sink = Sink::start();
    let mut network = Network::start(dir.path(), own_uid(), NODES, &format!("smtp:{}", sink.address()));
    let entry = (network.fog().to_owned(), network.config(0));
    let sent = Sent::default();
    let kills = thread::scope(|scope| {
        let _stop = Stop(&sent);
        for sender in 0..SENDERS {
            let (entry, sent) = (&entry, &sent);
            scope.spawn(move || send_until_told(entry, sent, StdRng::seed_from_u64(seed ^ sender << 32)));
        }
        kill_for(Duration::from_secs(seconds), &mut network, &mut StdRng::seed_from_u64(seed))
    });
    let accepted = sent.accepted.into_inner().unwrap();
    wait_for(&accepted, &sink);
    let arrived = sink.arrived();
    let twice = second_copies(&arrived, &kills);
    println!(
        "accepted={} arrived={} twice={} kills={} senders_killed={}",
        accepted.len(),
        arrived.len(),
        twice.values().sum::<usize>(),
        kills.len(),
        sent.killed.into_inner(),
    );
    twice.iter().for_each(|(victim, copies)| println!("second copies after {victim:?} was killed: {copies}"));
    assert!(accepted.len() > 20 && kills.len() > 10, "too little has happened");
    assert!(!network.exit_log().contains("panicked"), "{}", network.exit_log());
    assert_nothing_left(network, dir.path());
}

/// Kills one after the other for so long, and starts each again at once.
fn kill_for(span: Duration, network: &mut Network, rng: &mut StdRng) -> Vec<(Instant, Victim)> {
    let (began, mut kills) = (Instant::now(), Vec::new());
    while began.elapsed() < span {
        thread::sleep(Duration::from_millis(rng.random_range(100..1_500)));
        let victim =
            [Victim::Exit, Victim::Node(NODES - 1), Victim::Node(rng.random_range(0..NODES))][rng.random_range(0..3)];
        kills.push((Instant::now(), victim));
        match victim {
            Victim::Node(index) => {
                network.kill_node(index);
                network.start_node(index);
            }
            Victim::Exit => {
                network.kill_exit();
                network.start_exit();
            }
        }
    }
    kills
}

fn send_until_told(entry: &(PathBuf, PathBuf), sent: &Sent, mut rng: StdRng) {
    while !sent.stop.load(Ordering::Relaxed) {
        let mark = sent.next.fetch_add(1, Ordering::Relaxed);
        let size = if rng.random_ratio(1, 5) { 200_000 } else { 1_000 };
        let mail = format!("Subject: mark {mark}\n\n{}\n", "some words of it\n".repeat(size / 17));
        // Half of them as an MTA does: again and again under one queue id, until they are accepted.
        let accepted = if mark.is_multiple_of(2) {
            let piped = format!("Return-Path: <>\nDelivered-To: bob@example.org.fog\n{mail}");
            let id = format!("Q{mark}");
            let mut accepted = false;
            while !accepted && !sent.stop.load(Ordering::Relaxed) {
                accepted = fog_send(entry, &["--mta", "--queue-id", &id], &piped, sent, &mut rng);
                thread::sleep(Duration::from_millis(50));
            }
            accepted
        } else {
            fog_send(entry, &["-q", "-t", "bob@example.org"], &mail, sent, &mut rng)
        };
        if accepted {
            sent.accepted.lock().unwrap().push(mark);
        }
        thread::sleep(Duration::from_millis(rng.random_range(150..450)));
    }
}

/// Whether `fog send` said that the mail is accepted. Some are killed before they can say anything.
fn fog_send(entry: &(PathBuf, PathBuf), args: &[&str], mail: &str, sent: &Sent, rng: &mut StdRng) -> bool {
    let mut child = Command::new(&entry.0)
        .arg("send")
        .args(args)
        .arg("--config")
        .arg(&entry.1)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // It may have given up already, without reading.
    let _ = child.stdin.take().unwrap().write_all(mail.as_bytes());
    if rng.random_ratio(1, 4) {
        thread::sleep(Duration::from_millis(rng.random_range(0..40)));
        let _ = child.kill();
        let status = child.wait().unwrap();
        sent.killed.fetch_add(usize::from(!status.success()), Ordering::Relaxed);
        return status.success();
    }
    child.wait().unwrap().success()
}

fn wait_for(accepted: &[usize], sink: &Sink) {
    let (mut least, mut since) = (usize::MAX, Instant::now());
    loop {
        let arrived = sink.arrived();
        let missing: Vec<_> = accepted.iter().filter(|mark| !arrived.contains_key(mark)).collect();
        if missing.is_empty() {
            return;
        }
        if missing.len() < least {
            (least, since) = (missing.len(), Instant::now());
        }
        assert!(since.elapsed() < PATIENCE, "{} of {} are lost: {missing:?}", missing.len(), accepted.len());
        thread::sleep(Duration::from_millis(200));
    }
}

/// How many second copies there are, by who was killed between the copy and the one before it: the MTA had the mail, and
/// whoever should have noted it was killed before it could. There is no other reason.
fn second_copies(arrived: &BTreeMap<usize, Vec<Instant>>, kills: &[(Instant, Victim)]) -> BTreeMap<Victim, usize> {
    let mut faults = BTreeMap::new();
    for (mark, times) in arrived {
        for pair in times.windows(2) {
            let hit = |(at, victim): &&(Instant, Victim)| {
                let is_at_exit = matches!(victim, Victim::Exit | Victim::Node(4));
                is_at_exit && pair[0] - Duration::from_millis(50) <= *at && *at <= pair[1]
            };
            let Some((_, victim)) = kills.iter().find(hit) else {
                panic!("mark {mark} came again after {:?}, and nobody was killed", pair[1] - pair[0]);
            };
            *faults.entry(*victim).or_default() += 1;
        }
    }
    faults
}

/// What was delivered is in nobody's spool or outbox any more. Of what is in a pool nobody can tell whether it is cover.
fn assert_nothing_left(network: Network, dir: &Path) {
    let began = Instant::now();
    let mut network = network;
    loop {
        for index in 0..NODES {
            network.kill_node(index);
        }
        let left: Vec<_> = (0..NODES).flat_map(|index| left_at(&dir.join(format!("n{}/spool", index + 1)))).collect();
        if left.is_empty() {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{left:?}");
        for index in 0..NODES {
            network.start_node(index);
        }
        thread::sleep(Duration::from_secs(3));
    }
}

fn left_at(spool: &Path) -> Vec<String> {
    let store = Store::open(spool).unwrap();
    let shelves = [Shelf::Spool, Shelf::Fragments, Shelf::Outbox];
    let rows = shelves.map(|shelf| (shelf, store.rows(shelf).unwrap().len()));
    let left = rows.into_iter().filter(|(_, rows)| *rows > 0);
    left.map(|(shelf, rows)| format!("{}: {rows} in {shelf:?}", spool.display())).collect()
}

fn own_uid() -> u32 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").unwrap().uid()
}
