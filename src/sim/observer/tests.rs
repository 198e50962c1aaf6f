use super::super::num::{NONE, count, tick_of};
use super::super::tests::plan;
use super::super::trace::Leg;
use super::super::{Habits, LATENCY, Plan, light};
use super::*;
use crate::mix::delay;
use crate::time::Time;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use std::time::Duration;

/// Short delays, so that small traces have many ways.
fn short() -> Params {
    let minutes = |n: u64| Duration::from_secs(n * 60);
    Params { min_delay: minutes(5), mean_delay: minutes(20), max_delay: minutes(60), ..Params::default() }
}

fn law_at(law: &[f64], from: u32, to: u32) -> f64 {
    to.checked_sub(from).and_then(|ticks| law.get(ix(ticks))).copied().unwrap_or(0.0)
}

/// How many exits a node may draw, and by how many of its first hops `exit` can be reached then.
fn drawn_from(trace: &Trace, node: NodeIx, exit: NodeIx) -> (usize, usize) {
    let hops = |exit: NodeIx| trace.first_hops[usize::from(node)].iter().filter(|hop| **hop != exit).count();
    (trace.exits.iter().filter(|exit| **exit != node && hops(**exit) > 0).count(), hops(exit))
}

/// As `posterior`, by looking at every three packets that may have been the letter's.
fn one_by_one(observer: &Observer<'_>, letter: &Letter, is_bad: &[bool]) -> Vec<f64> {
    let trace = observer.trace;
    let (exit, tick) = letter.delivered.unwrap();
    let bad = |node: NodeIx| is_bad.get(usize::from(node)) == Some(&true);
    let told = |into: u32, out: &Leg| if bad(out.from) { out.came_by == into } else { true };
    // What a mix adds: its delay, and how rare the packet is that leaves it; or, told by a bad one, how rare its kind is.
    let step = |into: &Leg, out: &Leg, rarity: f64| {
        if bad(out.from) {
            1.0 / observer.flows.passed_to(out.from, out.to)
        } else {
            law_at(&observer.law, into.tick, out.tick) * rarity * observer.flows.weight(out.from, into.tick)
        }
    };
    let mut found = vec![0.0; trace.nodes];
    for third in trace.arrivals(exit) {
        let last = trace.legs[third];
        if law_at(&observer.law, last.tick, tick) == 0.0 {
            continue;
        }
        for second in trace.arrivals(last.from) {
            let middle = trace.legs[second];
            if !bad(last.from) && law_at(&observer.law, middle.tick, last.tick) == 0.0 {
                continue;
            }
            for first in trace.arrivals(middle.from) {
                let begin = trace.legs[first];
                let distinct = ![exit, last.from].contains(&begin.from) && middle.from != exit && last.from != exit;
                let kept = &trace.first_hops[usize::from(begin.from)];
                if !distinct || bad(begin.from) || !kept.contains(&begin.to) {
                    continue;
                }
                if !told(count(first), &middle) || !told(count(second), &last) {
                    continue;
                }
                let (exits, hops) = drawn_from(trace, begin.from, exit);
                found[usize::from(begin.from)] += law_at(&observer.law, last.tick, tick)
                    * step(&middle, &last, observer.rarity[third])
                    * step(&begin, &middle, observer.rarity[second])
                    * observer.rarity[first]
                    / real(exits)
                    / real(hops);
            }
        }
    }
    normalized(found)
}

#[test]
fn ways_summed_up_backwards_are_those_counted_one_by_one() {
    let plan = Plan {
        params: Params { send_every: Duration::from_secs(900), batch_min: 2, ..short() },
        days: 0.1,
        // Receipts have a test of their own.
        habits: Habits { cover: true, receipts: false },
        ..plan(4, 12)
    };
    let trace = light::play(&plan, &|_, _| ());
    let observer = Observer::new(&trace, &plan.params);
    for (place, letter) in trace.letters.iter().enumerate() {
        let (exit, _) = letter.delivered.unwrap();
        let mut is_bad = vec![false; 4];
        let other = (0..4).find(|node| ![exit, letter.sender].contains(node)).unwrap();
        is_bad[usize::from(other)] = place % 2 == 1;
        let (found, wanted) = (observer.posterior(letter, &is_bad), one_by_one(&observer, letter, &is_bad));
        let far = found.iter().zip(&wanted).map(|(one, other)| (one - other).abs()).fold(0.0, f64::max);
        assert!(far < 1e-6, "letter {place}: {found:?} {wanted:?}");
        assert!(found[usize::from(letter.sender)] > 0.0 && found[usize::from(exit)] == 0.0);
    }
}

/// Packets of four nodes, three hops each, all of which are seen to leave; packet 0 is the letter.
fn few_packets(packets: usize, params: &Params, rng: &mut StdRng) -> (Trace, Vec<(NodeIx, u32)>) {
    let start = Time::from_secs(1_800_000_000);
    let (mut legs, mut left) = (Vec::new(), Vec::new());
    for _ in 0..packets {
        let mut nodes: Vec<NodeIx> = (0..4).collect();
        nodes.shuffle(rng);
        let mut at = start.plus(Duration::from_secs(rng.random_range(0..3600))).next_tick(params.tick);
        for hop in nodes.windows(2) {
            let tick = tick_of(at, start, params.tick);
            legs.push(Leg { from: hop[0], to: hop[1], tick, came_by: NONE });
            at = at.plus(LATENCY).plus(delay::draw(params, rng)).next_tick(params.tick);
        }
        left.push((nodes[3], tick_of(at, start, params.tick)));
    }
    // In the order of time, as a trace's are before it is sorted.
    let mut order: Vec<usize> = (0..legs.len()).collect();
    order.sort_by_key(|n| legs[*n].tick);
    let place = |n: usize| count(order.iter().position(|at| *at == n).unwrap());
    let came_by = |n: usize| if n.is_multiple_of(3) { NONE } else { place(n - 1) };
    let sender = legs[0].from;
    let legs = order.iter().map(|n| Leg { came_by: came_by(*n), ..legs[*n] }).collect();
    let first_hops = (0..4).map(|me| (0..4).filter(|node| *node != me).collect()).collect();
    let ticks = left.iter().map(|(_, tick)| *tick).max().unwrap() + 1;
    let letter = Letter { sender, submitted: 0, delivered: Some(left[0]), last_legs: vec![place(2)] };
    let exits = (0..4).collect();
    let mut trace = Trace { nodes: 4, ticks, exits, first_hops, legs, letters: vec![letter], ..Trace::default() };
    trace.sort();
    (trace, left)
}

/// Goes through every way to make whole paths of all the packets, and adds how likely each is to its letter's sender.
fn worlds(
    law: &[f64],
    legs: &[Leg],
    left: &[(NodeIx, u32)],
    used: &mut Vec<bool>,
    so_far: f64,
    sender: Option<NodeIx>,
    found: &mut [f64],
) {
    let Some(((exit, tick), rest)) = left.split_first() else {
        found[usize::from(sender.unwrap())] += so_far;
        return;
    };
    let all = 0..legs.len();
    for third in all.clone().filter(|n| legs[*n].to == *exit) {
        for second in all.clone().filter(|n| legs[*n].to == legs[third].from && legs[*n].from != *exit) {
            for first in all.clone().filter(|n| legs[*n].to == legs[second].from) {
                let way = [first, second, third];
                let from = legs[first].from;
                let chance = law_at(law, legs[third].tick, *tick)
                    * law_at(law, legs[second].tick, legs[third].tick)
                    * law_at(law, legs[first].tick, legs[second].tick);
                if chance == 0.0 || [*exit, legs[third].from].contains(&from) || way.iter().any(|n| used[*n]) {
                    continue;
                }
                way.iter().for_each(|n| used[*n] = true);
                worlds(law, legs, rest, used, so_far * chance, sender.or(Some(from)), found);
                way.iter().for_each(|n| used[*n] = false);
            }
        }
    }
}

#[test]
fn what_is_believed_is_near_what_all_possible_worlds_say() {
    let params = short();
    // That each packet leaves once is not used: with four packets and nothing else, what can be known is known by it.
    for (packets, near) in [(1, 1e-9), (2, 0.1), (4, 0.15)] {
        let mut rng = StdRng::seed_from_u64(7);
        let (mut far, mut ours, mut theirs) = (0.0, 0.0, 0.0);
        let traces = 200;
        for _ in 0..traces {
            let (trace, left) = few_packets(packets, &params, &mut rng);
            let observer = Observer::new(&trace, &params);
            let letter = &trace.letters[0];
            let believed = observer.posterior(letter, &[]);
            let mut found = vec![0.0; 4];
            worlds(&observer.law, &trace.legs, &left, &mut vec![false; trace.legs.len()], 1.0, None, &mut found);
            let found = normalized(found);
            far += believed.iter().zip(&found).map(|(one, other)| (one - other).abs()).sum::<f64>() / 2.0;
            ours += believed[usize::from(letter.sender)];
            theirs += found[usize::from(letter.sender)];
        }
        let [far, ours, theirs] = [far, ours, theirs].map(|sum| sum / f64::from(traces));
        assert!(far < near, "{packets} packets: {far} apart on average; of the sender {ours} and {theirs}");
        assert!((ours - theirs).abs() < near, "{packets} packets: of the sender {ours}, and {theirs} is the most");
    }
}
