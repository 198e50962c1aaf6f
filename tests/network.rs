//! A dozen engines, each with its disk in memory, under virtual time: links break, acknowledgements get lost, nodes crash in
//! the middle of a write. Whatever breaks, each mail is put into an outbox exactly once.
//!
//! `FOG_SEEDS=N` runs N seeds instead of a few; a failure prints its seed.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests: a failure is to stop them")]

#[path = "network/world.rs"]
#[allow(dead_code, reason = "the engine test uses the rest")]
mod world;

use fog::submit::Wish;
use std::time::Duration;
use world::{Faults, Plan, START, World};

fn seeds() -> u64 {
    std::env::var("FOG_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(1)
}

/// Runs the plan and checks that every mail is in one outbox, once.
fn run(plan: Plan) -> World {
    let seed = plan.seed;
    let mut world = World::new(plan);
    world.run();
    let (missing, doubled) = world.tally();
    assert!(missing.is_empty(), "seed {seed}: {} mails are in no outbox: {missing:?}", missing.len());
    assert!(doubled.is_empty(), "seed {seed}: {} mails are in more than one: {doubled:?}", doubled.len());
    world
}

#[test]
fn mails_cross_a_quiet_network_exactly_once() {
    let mut world = run(Plan { nodes: 12, mails: 24, faults: Faults::NONE, ..Plan::new(1) });
    assert_eq!(world.counts(|counts| counts.replayed), 0);
    assert!(world.overdue() < 9, "more than one tick's packets, which may be on a link as the clock stops");
    // Loops that left in the last hours are on their way still.
    let (loops, back) = (world.counts(|counts| counts.loops), world.counts(|counts| counts.loops_back));
    assert!(loops > 50 && back > loops / 2 && back < loops, "{back} of {loops} loops came back");
    assert!(world.counts(|counts| counts.cover) > 100);
    assert_eq!(world.rows_left(), 0, "nothing is kept that somebody else answers for");
}

#[test]
fn mails_cross_exactly_once_whatever_breaks() {
    for seed in 0..seeds() {
        let faults = Faults { loss: 0.1, ack_loss: 0.1, crashes: 60, torn: 20, deferral: 0.2, vanishing: 0.0 };
        let world = run(Plan { nodes: 12, mails: 30, faults, ..Plan::new(100 + seed) });
        assert!(world.counts(|counts| counts.replayed) > 0, "seed {seed}: no packet came twice: the faults don't bite");
    }
}

#[test]
fn a_mail_sent_in_copies_arrives_once() {
    let pieces = |copies| {
        let wish = Wish { copies, ..Wish::default() };
        // As soon as a receipt is here nothing more is sent.
        let header = "X-Fog-Receipt: no\r\n";
        let mut world = run(Plan { nodes: 5, mails: 3, wish, header, ..Plan::new(5) });
        assert_eq!(world.counts(|counts| counts.assembled), 3);
        assert_eq!(world.rows_left(), 0);
        world.pieces
    };
    assert_eq!(pieces(3), 3 * pieces(1));
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let faults = Faults { loss: 0.1, ack_loss: 0.1, crashes: 10, torn: 5, deferral: 0.2, vanishing: 0.0 };
    let trace = |seed| run(Plan { nodes: 5, mails: 4, faults, ..Plan::new(seed) }).trace();
    assert_eq!(trace(7), trace(7));
    assert_ne!(trace(7), trace(8));
}

#[test]
fn a_mail_of_five_megabytes_crosses_as_well_as_one_of_a_kilobyte() {
    let faults = Faults { loss: 0.05, ack_loss: 0.05, crashes: 5, torn: 2, deferral: 0.0, vanishing: 0.0 };
    let send_every = Duration::from_secs(240);
    let world = run(Plan { nodes: 5, mails: 2, sizes: vec![5_000_000, 1_000], send_every, faults, ..Plan::new(3) });
    assert_eq!(world.tally(), (vec![], vec![]));
}

#[test]
fn what_is_handed_in_twice_under_one_queue_id_is_taken_once() {
    let faults = Faults { loss: 0.0, ack_loss: 0.0, crashes: 5, torn: 0, deferral: 0.0, vanishing: 0.0 };
    run(Plan { nodes: 6, mails: 10, handed_in: 3, faults, ..Plan::new(4) });
}

/// A node of the document that hands everybody noise, replays, packets to be held for long, and pieces of mails that never
/// become whole, through others too. Who sends mail meanwhile gets it through in the time that it takes without that: three
/// hours in which it is handed in, its slots, and the longest way.
#[test]
fn a_neighbour_that_floods_everybody_keeps_no_mail_back() {
    let end = START.plus(Duration::from_secs((8 + 13) * 3600));
    let send_every = Duration::from_secs(300);
    let mut world = World::new(Plan { nodes: 8, mails: 24, send_every, ..Plan::new(8) });
    let handed = world.flood(5, Duration::from_secs(120), end);
    world.run_until(end);
    assert_eq!(world.tally(), (vec![], vec![]));
    let junk = world.counts(|counts| counts.dropped + counts.replayed);
    assert!(junk > handed / 4, "{junk} of {handed}: the flood doesn't bite");
}
