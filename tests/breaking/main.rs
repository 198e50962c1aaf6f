//! Everything breaks at once: real processes, real files, and between each two nodes somebody who drops, doubles, reorders,
//! delays and cuts. Nodes and exits are killed, clocks step, MTAs rest; one mix dies for good, one takes everything and hands
//! on nothing, one exit lies. What was accepted is at an MTA in the end, or its sender is told.
//!
//! `FOG_BREAK_MAILS` says how many mails, `FOG_BREAK_FAULTS` what breaks (everything, if it says nothing), as
//! `links,kills`; `FOG_SEED` repeats a run as far as chance goes. The last line says what became of the mails.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a test stops at the first surprise, and takes the time"
)]

mod broken;
mod ledger;
#[path = "../common/network.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod network;
mod proxy;
mod senders;
#[path = "../common/sink.rs"]
mod sink;
mod thief;

use broken::{Breaks, Broken};
use ledger::Fault;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use senders::{Accepted, Senders};
use std::thread;
use std::time::{Duration, Instant};

/// From one mail to the next, on the average: what both entries have slots for, and something over.
const PACE: Duration = Duration::from_millis(900);

/// How long everything may take to be accepted, beyond what the pace says.
const RELUCTANCE: Duration = Duration::from_secs(600);

/// How long everything may take to be decided once nothing breaks any more: of many mails one may have to be given up, which
/// takes half an hour.
const PATIENCE: Duration = Duration::from_secs(2_000);

/// The same where they are few: long enough for a third try, so that next to nothing is left that an entry still answers for.
const SHORT_PATIENCE: Duration = Duration::from_secs(800);
const FEW: usize = 200;

/// Of so many mails at least one may come twice: a hundred are on their way all at once while everything breaks every second or
/// so and three of nine nodes are bad, thousands hardly ever.
const TWICE_OF_FEW: usize = 6;
const TWICE_OF_MANY: usize = 100;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |number| number.parse().unwrap())
}

#[test]
fn what_is_accepted_arrives_or_its_sender_is_told() {
    let (mails, seed) = (number("FOG_BREAK_MAILS", 100), number("FOG_SEED", rand::random()));
    let breaks = Breaks::wished();
    println!("FOG_SEED={seed} {breaks:?}");
    let began = Instant::now();
    let mut broken = Broken::start(breaks, seed);
    println!("the network stands after {:?}", began.elapsed());
    let senders = Senders::start(broken.network.fog(), &broken.entries(), mails, PACE, seed);
    let faults = break_until_sent(&mut broken, &senders, mails, seed);
    let accepted = senders.end();
    println!("all is sent after {:?}", began.elapsed());
    settle(&broken, &accepted);
    // In this order: what arrives meanwhile is in both, and not in neither.
    let (custody, ledger) = (broken.custody(), broken.ledger(&accepted));
    println!("all is decided after {:?}: {:?} faults={}", began.elapsed(), broken.harm, faults.len());
    let all_faults = [&faults, broken.lasting()].concat();
    ledger
        .second_copies(&all_faults)
        .iter()
        .for_each(|(why, copies)| println!("second copies because {why}: {copies}"));
    println!("{ledger}");
    // Where few are waited for no longer than this, an entry may still be at it: what it has in its custody is not lost.
    let lost = if accepted.len() > FEW { ledger.missing() } else { ledger.nobodys(&custody) };
    println!("of these as lost the entries still answer for {}", ledger.lost() - lost.len());
    if !lost.is_empty() {
        broken.tell();
    }
    assert!(lost.is_empty(), "nobody answers for {lost:?}");
    assert!(broken.is_hit(&faults), "too little has happened");
    // Of what the liar has nobody can say how it would have fared.
    let honest = (accepted.len() - ledger.lied()).max(100);
    assert!(ledger.told() * 100 <= honest, "too many were told: {:?}", ledger.told_of());
    let one_of = if accepted.len() > FEW { TWICE_OF_MANY } else { TWICE_OF_FEW };
    assert!(ledger.twice() * one_of <= honest, "too many came twice");
}

/// Breaks one thing after the other, until all mails are accepted. Then whoever is not gone for good is there, and nothing
/// happens to links.
fn break_until_sent(broken: &mut Broken, senders: &Senders, mails: u64, seed: u64) -> Vec<Fault> {
    let (mut rng, mut faults, began) = (StdRng::seed_from_u64(seed), Vec::new(), Instant::now());
    let longest = RELUCTANCE + PACE * u32::try_from(2 * mails).unwrap();
    broken.storm(true);
    while !senders.are_done() {
        let accepted = senders.accepted() as u64;
        assert!(began.elapsed() < longest, "{accepted} of {mails} mails were accepted");
        if accepted > mails / 3 {
            broken.lose_one_for_good();
        }
        faults.extend(broken.harm(&mut rng));
        thread::sleep(Duration::from_millis(rng.random_range(100..1_500)));
    }
    broken.storm(false);
    faults
}

/// Waits until every accepted mail is somewhere, or its sender has been told; not longer than there is time.
fn settle(broken: &Broken, accepted: &Accepted) {
    let (began, patience) = (Instant::now(), if accepted.len() > FEW { PATIENCE } else { SHORT_PATIENCE });
    while broken.ledger(accepted).lost() > 0 && began.elapsed() <= patience {
        thread::sleep(Duration::from_millis(300));
    }
}
