//! Networks of real engines under virtual time in which mail gets lost: whatever breaks, each mail that was taken reaches
//! an MTA at the end, or its sender is told.
//!
//! `FOG_SEEDS=N` runs N seeds instead of one, from `FOG_FIRST_SEED` on; a failure prints its seed.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests: a failure is to stop them")]

#[path = "network/world.rs"]
#[allow(dead_code, reason = "the other tests use the rest")]
mod world;

use fog::submit::Wish;
use fog::time::Time;
use std::ops::Range;
use std::time::Duration;
use world::{Faults, GIVE_UP, Plan, START, Trouble, World};

const HOUR: Duration = Duration::from_secs(3600);

fn seeds() -> Range<u64> {
    seeds_or(1)
}

/// Those that are wished for; so many, if none are.
fn seeds_or(usual: u64) -> Range<u64> {
    let number = |name, default| std::env::var(name).map_or(default, |n| n.parse().unwrap());
    let first = number("FOG_FIRST_SEED", 0);
    first..first + number("FOG_SEEDS", usual)
}

/// What became of the mails of one run.
#[derive(Default, PartialEq, Eq, Debug)]
struct Tally {
    once: usize,
    twice: usize,
    /// Told that it was not delivered, and it was not.
    told: usize,
    /// Of these, told that the MTA at the end refuses them.
    refused: usize,
    /// A lying exit has them, and has said that they are delivered: no receipt can see that.
    lied: usize,
    lost: Vec<usize>,
}

fn tally(world: &World, mails: usize) -> Tally {
    let mut tally = Tally::default();
    for mail in 0..mails {
        let failed = world.told.get(&mail).is_some_and(|notice| notice.contains("Action: failed"));
        match world.delivered.get(&mail).map_or(0, |(count, _)| *count) {
            0 if failed => {
                tally.told += 1;
                tally.refused += usize::from(world.told[&mail].contains("refuses it for good"));
            }
            0 if world.lied.contains(&mail) => tally.lied += 1,
            0 => tally.lost.push(mail),
            1 => tally.once += 1,
            _ => tally.twice += 1,
        }
    }
    tally
}

/// Runs the plan and checks that no mail is lost.
fn run(plan: Plan) -> (World, Tally) {
    let (seed, mails) = (plan.seed, plan.mails);
    let mut world = World::new(plan);
    world.run();
    let tally = tally(&world, mails);
    assert!(tally.lost.is_empty(), "seed {seed}: lost: {tally:?}, {}", world.listing());
    (world, tally)
}

fn plan(seed: u64) -> Plan {
    let send_every = Duration::from_secs(300);
    Plan { nodes: 9, mails: 24, sizes: vec![700, 90_000], send_every, ..Plan::new(seed) }
}

/// All of so many mails, delivered once.
fn once(mails: usize) -> Tally {
    Tally { once: mails, ..Tally::default() }
}

#[test]
fn in_a_quiet_network_each_mail_is_receipted_and_nothing_is_left_of_it() {
    let (mut world, tally) = run(plan(1));
    assert_eq!(tally, once(24));
    assert_eq!(world.counts(|counts| counts.receipted), 24);
    assert!(world.told.is_empty(), "nobody has asked to be told of what arrives: {:?}", world.told);
    assert_eq!(world.counts(|counts| counts.again), 0);
    assert_eq!(world.rows_left(), 0);
}

#[test]
fn who_asks_for_it_is_told_that_a_mail_has_arrived() {
    let (world, tally) = run(Plan { header: "X-Fog-Receipt: yes\r\n", ..plan(2) });
    assert_eq!(tally, once(24));
    assert_eq!(world.told.len(), 24);
    assert!(world.told.values().all(|notice| notice.contains("Action: relayed")), "{:?}", world.told);
}

#[test]
fn a_mail_that_asks_for_no_receipt_is_forgotten_when_it_has_left() {
    let (mut world, tally) = run(Plan { header: "X-Fog-Receipt: no\r\n", ..plan(3) });
    assert_eq!((tally, world.counts(|counts| counts.receipted)), (once(24), 0));
    assert_eq!(world.rows_left(), 0);
}

#[test]
fn a_node_that_wants_no_receipts_forgets_each_mail_when_it_has_left() {
    let (mut world, tally) = run(Plan { receipts: false, ..plan(3) });
    assert_eq!((tally, world.counts(|counts| counts.receipted)), (once(24), 0));
    assert_eq!(world.rows_left(), 0);
}

#[test]
fn what_vanishes_on_the_way_is_sent_again_and_delivered_once() {
    for seed in seeds() {
        let faults = Faults { vanishing: 0.1, loss: 0.05, ack_loss: 0.05, crashes: 20, torn: 10, deferral: 0.1 };
        let (world, tally) = run(Plan { faults, ..plan(40 + seed) });
        assert!(tally.once >= 22, "seed {seed}: {tally:?}");
        assert!(world.counts(|counts| counts.again) > 0, "seed {seed}: nothing was sent again: the faults don't bite");
    }
}

#[test]
fn a_mix_that_takes_and_never_forwards_costs_no_mail() {
    for seed in seeds() {
        let (_, tally) = run(Plan { trouble: Trouble::Swallows(1), entry: Some(2), ..plan(60 + seed) });
        assert_eq!(tally, once(24), "seed {seed}");
    }
}

#[test]
fn a_node_that_is_gone_costs_no_mail() {
    for seed in seeds() {
        let (_, tally) = run(Plan { trouble: Trouble::Gone(4), entry: Some(2), ..plan(80 + seed) });
        assert_eq!(tally, once(24), "seed {seed}");
    }
}

#[test]
fn of_what_an_mta_refuses_for_good_the_sender_is_told_at_once() {
    let (world, tally) = run(Plan { trouble: Trouble::Refuses(3), entry: Some(2), ..plan(100) });
    assert!(tally.told > 2 && tally.once > 2 && tally.told + tally.once == 24, "{tally:?}");
    assert_eq!(tally.refused, tally.told, "{:?}", world.told);
    assert_eq!(world.counts(|counts| counts.again), 0, "what is refused isn't sent again");
}

#[test]
fn what_an_mta_puts_off_for_long_is_held_and_delivered_once_by_the_same_exit() {
    let (world, tally) = run(Plan { trouble: Trouble::Defers(3, HOUR * 16), entry: Some(2), ..plan(110) });
    assert_eq!(tally, once(24));
    let late = world.delivered.values().filter(|(_, at)| at.since(START) >= HOUR * 16).count();
    assert!(late > 3, "{late}");
    assert!(world.counts(|counts| counts.again) > 0, "none was asked for again");
    assert_eq!(world.counts(|counts| counts.assembled), 24, "what came again was known");
}

#[test]
fn what_is_put_off_for_longer_than_the_sender_waits_is_told() {
    let (world, tally) = run(Plan { trouble: Trouble::Defers(3, GIVE_UP * 5), entry: Some(2), mails: 12, ..plan(120) });
    assert!(tally.told > 0 && tally.told + tally.once == 12, "{tally:?}");
    assert!(world.told.values().all(|notice| notice.contains("may have arrived all the same")));
}

#[test]
fn an_exit_that_is_gone_is_left_for_another() {
    for seed in seeds() {
        let (world, tally) = run(Plan { trouble: Trouble::Swallows(3), entry: Some(2), ..plan(130 + seed) });
        assert_eq!(tally, once(24), "seed {seed}");
        assert!(world.tries.values().any(|tries| *tries == 3), "seed {seed}: the third try goes to another exit");
    }
}

/// The spares make up for any one mix behind the first hop, and so does the second way back: its loss costs no other try.
#[test]
fn the_loss_of_any_one_mix_behind_the_first_hop_costs_no_retry() {
    let plan = |trouble| Plan { trouble, entry: Some(2), sizes: vec![700, 90_000, 300_000], ..plan(150) };
    let (quiet, _) = run(plan(Trouble::Nothing));
    let behind = (0..9).filter(|node| node % 3 != 0 && *node != 2 && !quiet.firsts.contains(node));
    let mut tried = 0;
    for mix in behind {
        let (world, tally) = run(plan(Trouble::Swallows(mix)));
        if world.firsts.contains(&mix) {
            continue;
        }
        tried += 1;
        assert_eq!(tally, once(24), "without {mix}");
        assert_eq!(world.counts(|counts| counts.again), 0, "without {mix}: {:?}", world.tries);
    }
    assert!(tried >= 2, "{tried}");
}

/// With one mix of nine dead, and one packet in twenty lost on each link, and as many acknowledgements.
#[test]
fn with_a_dead_mix_and_lossy_links_hardly_a_mail_waits_for_a_second_try() {
    let plan = |trouble, seed| Plan { trouble, entry: Some(2), mails: 60, sizes: vec![700, 90_000], ..plan(seed) };
    let faults = Faults { loss: 0.05, ack_loss: 0.05, ..Faults::NONE };
    let (mut mails, mut at_once) = (0, 0);
    for seed in seeds().map(|seed| 150 + seed) {
        let (quiet, _) = run(Plan { mails: 8, ..plan(Trouble::Nothing, seed) });
        for mix in (0..9).filter(|node| node % 3 != 0 && *node != 2 && !quiet.firsts.contains(node)) {
            let (world, tally) = run(Plan { faults, ..plan(Trouble::Swallows(mix), seed) });
            if world.firsts.contains(&mix) {
                continue;
            }
            assert_eq!(tally, once(60), "without {mix}, seed {seed}");
            mails += 60;
            at_once += world.tries.values().filter(|tries| **tries == 1).count();
        }
    }
    println!("{at_once} of {mails} at the first try");
    assert!(mails >= 120 && at_once * 100 >= mails * 99, "{at_once} of {mails}");
}

/// Where two mixes of fifteen are bad, one of them a first hop of the sender's, some tries come to nothing, and so do the answers
/// to others. It is not the exit's fault, and another one would hand the mail out a second time.
#[test]
fn two_bad_mixes_make_hardly_a_second_copy() {
    // Loops have had the time to tell.
    let (alone, nodes, sizes) = (HOUR * 12, 15, vec![700]);
    let plan =
        |trouble, seed| Plan { trouble, nodes, sizes: sizes.clone(), entry: Some(2), mails: 48, alone, ..plan(seed) };
    let (mut all, mut mails) = (Tally::default(), 0);
    for seed in seeds().map(|seed| 150 + seed) {
        let (quiet, _) = run(Plan { mails: 8, ..plan(Trouble::Nothing, seed) });
        let (firsts, behind): (Vec<usize>, Vec<usize>) =
            (0..nodes).filter(|node| node % 3 != 0 && *node != 2).partition(|node| quiet.firsts.contains(node));
        for (first, mix) in firsts.iter().flat_map(|first| behind.iter().take(2).map(move |mix| (*first, *mix))) {
            let (_, tally) = run(plan(Trouble::BothSwallow(first, mix), seed));
            mails += 48;
            all.once += tally.once;
            all.twice += tally.twice;
        }
    }
    println!("{all:?}");
    assert!(mails > 0 && all.once * 100 >= mails * 99, "{all:?}");
}

/// A try and its answers go by one first hop, and the next try by the other, if that isn't the exit.
#[test]
fn the_loss_of_a_first_hop_costs_no_more_than_one_retry() {
    let mut tried = 0;
    for first in (1..9).filter(|node| *node != 2) {
        let trouble = Trouble::Swallows(first);
        let (world, tally) =
            run(Plan { trouble, entry: Some(2), exits: 1, mails: 16, give_up: HOUR * 36, ..plan(150) });
        // If the other one is the exit, all mail goes by this one.
        if !world.firsts.contains(&first) || world.firsts.len() != 2 {
            continue;
        }
        tried += 1;
        assert_eq!(tally, once(16), "without {first}");
        assert!(world.counts(|counts| counts.again) > 0, "without {first}: nothing was sent again");
        assert!(world.tries.values().all(|tries| *tries <= 2), "without {first}: {:?}", world.tries);
        break;
    }
    assert!(tried >= 1);
}

/// Of two kept first hops one is wished for in another place: then the other one comes first, and no third one.
#[test]
fn a_wish_that_takes_one_first_hop_leaves_the_other_and_lets_no_fresh_one_in() {
    let plan = |chain| Plan { entry: Some(2), wish: Wish { chain, copies: 1 }, mails: 12, ..plan(180) };
    let (quiet, _) = run(plan(Vec::new()));
    let kept: Vec<usize> = quiet.firsts.iter().copied().collect();
    assert_eq!(kept.len(), 2);
    let exit = [0, 3, 6].into_iter().find(|exit| !kept.contains(exit)).unwrap();
    for (wished, first) in [(kept[0], kept[1]), (kept[1], kept[0])] {
        let (world, tally) =
            run(plan([None, Some(wished), Some(exit)].map(|node| node.map(|n| format!("node-{n}"))).to_vec()));
        assert_eq!((tally, world.firsts), (once(12), [first].into()), "with {wished} in the middle");
    }
}

/// For a week half as much again is handed in as the slots of the entry carry, and packets vanish, so that it sends again
/// besides. Its MTA is put off, first tries go before others, and nothing collapses: the slots carry mail all the time.
#[test]
fn an_entry_with_too_much_mail_for_a_week_puts_its_mta_off_and_serves_everybody_in_the_end() {
    // 18 slots for mail a day, and two pieces to a mail.
    let (days, mails, sizes) = (7, 94, vec![700]);
    let faults = Faults { vanishing: 0.05, ..Faults::NONE };
    let (world, tally) = run(Plan { days, faults, entry: Some(2), nodes: 7, mails, sizes, ..plan(160) });
    assert!(world.put_off > 500, "it was no overload: {}", world.put_off);
    let in_the_week = world.delivered.values().filter(|(_, at)| at.since(START) < HOUR * 24 * 7).count();
    assert!(in_the_week >= 50, "it has collapsed: {in_the_week}");
    assert!(tally.once >= 85 && tally.twice <= 1, "{tally:?}");
}

/// Many more mails in a day than an exit has slots for its answers: from the next day on it sends more often, and in the
/// end all are answered.
#[test]
fn an_exit_with_more_mail_than_slots_for_answers_sends_more_often_from_the_next_day_on() {
    // It has 18 slots a day for what is no loop, and 60 mails a day to answer.
    let (days, mails, sizes) = (3, 180, vec![700]);
    let give_up = HOUR * 24 * 5;
    let (world, tally) = run(Plan { days, nodes: 9, exits: 1, mails, sizes, give_up, ..plan(170) });
    assert_eq!(tally, once(180));
    assert_eq!(world.counts(|counts| counts.receipted), 180);
}

/// What is the matter with a node for all of a run.
fn trouble(seed: u64) -> Trouble {
    match seed % 6 {
        0 => Trouble::Nothing,
        1 => Trouble::Swallows(1),
        2 => Trouble::Gone(4),
        3 => Trouble::Refuses(3),
        4 => Trouble::Defers(6, HOUR * 40),
        _ => Trouble::Lies(0),
    }
}

/// All at once, for days: packets vanish, links break, nodes crash and clocks are set, while keys and documents change; and
/// besides a mix is gone or throws everything away, an MTA refuses everything or puts it off, or an exit lies.
#[test]
fn whatever_breaks_for_days_each_mail_arrives_or_its_sender_is_told() {
    let mut all = Tally::default();
    for seed in seeds_or(6) {
        let faults = Faults { vanishing: 0.03, loss: 0.05, ack_loss: 0.05, crashes: 30, torn: 10, deferral: 0.1 };
        let (days, give_up, clock_steps, trouble) = (3, HOUR * 24 * 5, 12, trouble(seed));
        let (world, tally) = run(Plan { days, give_up, faults, clock_steps, trouble, ..plan(1000 + seed) });
        println!("seed {seed}: {tally:?} again {}", world.counts(|counts| counts.again));
        all.once += tally.once;
        all.twice += tally.twice;
        all.told += tally.told;
        all.refused += tally.refused;
        all.lied += tally.lied;
    }
    println!("{all:?}");
    let mails = 24 * seeds_or(6).count();
    // One in a hundred at most; of a few seeds' mails, what chance may do.
    let bound = (mails / 100).max(3);
    assert!(all.twice <= bound && all.told - all.refused <= bound, "{all:?} of {mails}");
}

/// Nobody can be told: then it stays in the list, as given up.
#[test]
fn where_nobody_can_be_told_the_mail_is_listed_as_given_up() {
    let mut world = World::new(Plan { trouble: Trouble::Refuses(3), entry: Some(2), tells: false, ..plan(140) });
    world.run();
    assert!(world.told.is_empty());
    let given_up = world.counts(|counts| counts.given_up);
    assert!(given_up > 0);
    assert_eq!(world.listed_as(2, "given-up"), usize::try_from(given_up).unwrap());
}

/// Pieces whose drawn delays would bring them late stay here: nobody is told that a mail was not delivered which comes then.
#[test]
fn no_try_arrives_after_give_up() {
    let give_up = HOUR * 5 / 4;
    for seed in seeds() {
        let (world, tally) = run(Plan { give_up, sizes: vec![90_000], mails: 60, ..plan(190 + seed) });
        // Links and ticks make it a little later than it was drawn.
        let late = |(mail, (_, at)): &(&usize, &(usize, Time))| at.since(world.accepted[*mail]) > give_up + HOUR / 12;
        let late: Vec<_> = world.delivered.iter().filter(late).collect();
        assert!(late.is_empty(), "seed {seed}: {late:?}");
        let has_stayed = |notice: &&String| notice.contains("Nothing of it has left this machine");
        let stayed = world.told.values().filter(has_stayed).count();
        assert!(
            tally.once > 20 && tally.told > stayed && stayed > 5,
            "seed {seed}: {tally:?}, {stayed} of them stayed"
        );
    }
}
