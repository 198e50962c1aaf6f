//! Which nodes lose packets, from the loops that didn't come back.
//!
//! A loop says that somebody on its way lost it, not who. Blaming each of its hops alike would make everybody look bad
//! who shares paths with a dead node. So the blame for a lost loop goes to its hops by how much each of them loses
//! otherwise, and that is found by going over all loops again and again.

use crate::directory::{Params, Uptime};
use crate::id::NodeId;
use crate::time::Time;
use std::collections::BTreeMap;
use std::time::Duration;

/// Epochs over which loops are remembered, the running one included.
pub const REMEMBERED: u64 = 12;

/// How much a loop counts, by its age in epochs: of yesterday more than of last week, and of today less, as that is not
/// over yet. (The weights of Echolot, the pinger of the Mixmaster network.)
const WEIGHTS: [f64; 12] = [0.5, 1.0, 1.0, 1.0, 1.0, 0.9, 0.8, 0.5, 0.3, 0.2, 0.2, 0.1];

/// What a node passes on before anything is known of it.
const START: f64 = 0.95;

/// How often the blame is shared out anew. From then on nothing changes that rounding would show.
const ROUNDS: usize = 30;

/// Loops that have to have gone through a node before anything is said of it.
const LEAST: u32 = 8;

/// So many loops in a row that are all late are no accident: with half of all loops lost it happens once in 4,096.
pub const ALARM: usize = 12;

/// After so many loops in a row that didn't come back through a node, whoever sent them takes it for away. Where half of all
/// loops are lost it happens once in 256 times to one that is there.
pub const STAYS_AWAY: u8 = 8;

/// What came of the loops of one epoch that went one way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trips {
    /// How many epochs ago they were due.
    pub age: u64,
    /// Their hops but the last one, which is this node.
    pub hops: Vec<NodeId>,
    /// How many of them came back.
    pub back: u32,
    /// How many didn't.
    pub lost: u32,
}

impl Trips {
    fn weight(&self) -> f64 {
        usize::try_from(self.age).ok().and_then(|age| WEIGHTS.get(age)).copied().unwrap_or(0.0)
    }

    fn weighted(&self, count: u32) -> f64 {
        self.weight() * f64::from(count)
    }

    const fn count(&self) -> u32 {
        self.back.saturating_add(self.lost)
    }

    /// Whether `id` stands where chance alone puts a node: between the first hop, which is kept, and the last.
    fn has_between(&self, id: &NodeId) -> bool {
        match self.hops.as_slice() {
            [_, between @ .., _] if !between.is_empty() => between.contains(id),
            all => all.contains(id),
        }
    }
}

/// What a node passes on, from 0 to 1, by all that is remembered; of each node that a loop has gone through.
#[must_use]
pub fn shares(trips: &[Trips]) -> BTreeMap<NodeId, f64> {
    let mut shares: BTreeMap<NodeId, f64> = trips
        .iter()
        .filter(|trips| trips.weight() > 0.0)
        .flat_map(|trips| &trips.hops)
        .map(|id| (*id, START))
        .collect();
    for _ in 0..ROUNDS {
        let mut sums: BTreeMap<NodeId, Sum> = BTreeMap::new();
        for trip in trips {
            for id in &trip.hops {
                sums.entry(*id).or_default().add(trip, id, &shares);
            }
        }
        shares.iter_mut().for_each(|(id, share)| *share = sums.get(id).map_or(START, Sum::share));
    }
    shares
}

/// What may be told of other nodes: of each that enough loops have gone through, rounded.
///
/// Only those loops count here in which a node stood where chance put it. The first hop of all loops is one of two, which
/// are kept; were they measured better than others, it would show who they are. A node that is no mix stands at the end
/// alone, and is measured there.
#[must_use]
pub fn told(trips: &[Trips], is_mix: impl Fn(&NodeId) -> bool) -> BTreeMap<NodeId, Uptime> {
    let shares = shares(trips);
    let told = shares.keys().filter_map(|id| {
        let counts = |trip: &&Trips| if is_mix(id) { trip.has_between(id) } else { trip.hops.contains(id) };
        let (mut sum, mut count) = (Sum::default(), 0_u32);
        for trip in trips.iter().filter(counts) {
            sum.add(trip, id, &shares);
            count = count.saturating_add(trip.count());
        }
        (count >= LEAST && sum.all > 0.0).then(|| (*id, Uptime::nearest(sum.share())))
    });
    told.collect()
}

/// Of what went through a node, all and what it has the blame for.
#[derive(Default)]
struct Sum {
    all: f64,
    blamed: f64,
}

impl Sum {
    fn add(&mut self, trip: &Trips, id: &NodeId, shares: &BTreeMap<NodeId, f64>) {
        let loses = |id: &NodeId| 1.0 - shares.get(id).copied().unwrap_or(START);
        let together: f64 = trip.hops.iter().map(loses).sum();
        // Where none of them loses anything, none is more to blame than another.
        let even = 1.0 / f64::from(u32::try_from(trip.hops.len()).unwrap_or(u32::MAX));
        let part = if together > 0.0 { loses(id) / together } else { even };
        self.all += trip.weighted(trip.count());
        self.blamed += trip.weighted(trip.lost) * part;
    }

    fn share(&self) -> f64 {
        if self.all > 0.0 { (1.0 - self.blamed / self.all).clamp(0.0, 1.0) } else { START }
    }
}

/// By how much a loop may be late and still be on its way: links break and come back. It is the time for which a key is
/// accepted beyond its epoch, by which whoever holds a packet may bring it.
#[must_use]
pub fn slack(params: &Params) -> Duration {
    params.epoch / 12
}

/// What is known of a loop that has not come back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Missing {
    /// It is within the delays that were drawn for it, or little beyond.
    OnTheWay,
    /// Somebody has lost it.
    Lost,
    /// It was to come while this node was not there to take it, which is nobody's fault.
    Forgotten,
}

impl Missing {
    /// What is known at `now` of a loop that was `due` here, where this node is up since `up`.
    #[must_use]
    pub fn of(due: Time, now: Time, up: Time, params: &Params) -> Self {
        if now < due.max(up).plus(slack(params)) {
            Self::OnTheWay
        } else if due < up {
            Self::Forgotten
        } else {
            Self::Lost
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::random::tests::rng;
    use super::super::random::{shuffle, unit};
    use super::*;

    fn id(n: u8) -> NodeId {
        NodeId([n; 32])
    }

    /// 600 loops of three hops out of `nodes`, of which node n passes on `passes[n]`.
    fn network(passes: &[f64], seed: u64) -> Vec<Trips> {
        let mut rng = rng(seed);
        let loops = (0..600).map(|i| {
            let mut nodes: Vec<usize> = (0..passes.len()).collect();
            shuffle(&mut nodes, &mut rng);
            nodes.truncate(3);
            let back = nodes.iter().all(|n| unit(&mut rng) < passes[*n]);
            let hops = nodes.iter().map(|n| id(u8::try_from(*n).unwrap())).collect();
            Trips { age: i / 100, hops, back: u32::from(back), lost: u32::from(!back) }
        });
        loops.collect()
    }

    fn in_percent(shares: &BTreeMap<NodeId, f64>) -> Vec<i32> {
        #[allow(clippy::cast_possible_truncation)]
        let percent = |share: &f64| (share * 100.0).round() as i32;
        shares.values().map(percent).collect()
    }

    #[test]
    fn one_dead_node_of_five_has_all_the_blame_and_the_others_have_none() {
        let trips = network(&[1.0, 1.0, 0.0, 1.0, 1.0], 40);
        assert_eq!(in_percent(&shares(&trips)), [100, 100, 0, 100, 100]);
        // What the simple average makes of the same loops: half of what the others carried was lost by node 2.
        let average = |n: u8| {
            let through = || trips.iter().filter(|trip| trip.hops.contains(&id(n)));
            let back: u32 = through().map(|trip| trip.back).sum();
            f64::from(back) / f64::from(u32::try_from(through().count()).unwrap())
        };
        assert!([0, 1, 3, 4].into_iter().all(|n| average(n) < 0.6), "averages blame everybody");
    }

    #[test]
    fn nodes_that_lose_a_part_are_found_within_a_few_percent() {
        for seed in 41..46 {
            let passes = [1.0, 0.9, 1.0, 0.5, 1.0, 1.0];
            let found = shares(&network(&passes, seed));
            for (share, wanted) in found.values().zip(passes) {
                // About 300 loops through each: a standard error of 3 % at most, here with blame that wanders.
                assert!((share - wanted).abs() < 0.12, "seed {seed}: {found:?}");
            }
        }
    }

    #[test]
    fn the_same_loops_give_the_same_bits_and_their_order_does_not_matter_to_what_is_told() {
        let mut trips = network(&[0.97, 0.8, 1.0, 0.5, 0.99], 47);
        let bits = |trips: &[Trips]| shares(trips).values().map(|share| share.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&trips), bits(&trips.clone()));
        let before = told(&trips, |_| true);
        shuffle(&mut trips, &mut rng(48));
        assert_eq!(told(&trips, |_| true), before);
    }

    #[test]
    fn what_was_long_ago_counts_less_and_what_is_older_not_at_all() {
        let trip = |age, back: u32| Trips { age, hops: vec![id(1)], back: 10 * back, lost: 10 * (1 - back) };
        let share = |trips: &[Trips]| shares(trips)[&id(1)];
        assert!(share(&[trip(1, 1), trip(11, 0)]) > 0.9);
        assert!(share(&[trip(1, 0), trip(11, 1)]) < 0.1);
        assert_eq!(in_percent(&shares(&[trip(1, 1), trip(12, 0)])), [100]);
        assert!(shares(&[trip(12, 0)]).is_empty());
    }

    #[test]
    fn nothing_is_told_of_a_node_before_eight_loops_and_then_in_steps() {
        let trip = |back, lost| Trips { age: 1, hops: vec![id(1)], back, lost };
        assert!(told(&[trip(7, 0)], |_| true).is_empty());
        let percent = |trips: &[Trips]| told(trips, |_| true)[&id(1)].percent();
        assert_eq!(percent(&[trip(8, 0)]), 100);
        assert_eq!(percent(&[trip(30, 1)]), 95);
        assert!(told(&[], |_| true).is_empty());
    }

    /// Were all loops counted, nodes 1 and 2 would be known for the first hops by how well they are measured.
    #[test]
    fn a_kept_first_hop_is_told_by_the_loops_in_which_chance_put_it_somewhere() {
        let trip = |hops: [u8; 3], back, lost| Trips { age: 1, hops: hops.map(id).to_vec(), back, lost };
        let trips = [trip([1, 3, 2], 40, 0), trip([2, 4, 1], 40, 0), trip([2, 1, 3], 7, 0)];
        let mixes = told(&trips, |_| true);
        assert_eq!(mixes.keys().collect::<Vec<_>>(), [&id(3), &id(4)], "47 loops went through node 1, 7 by chance");
        let told = told(&trips, |node| *node != id(1));
        assert!(told.contains_key(&id(1)), "who is no mix is measured at the end");
    }

    #[test]
    fn a_loop_is_lost_when_its_delays_and_some_more_are_over_and_this_node_was_there_to_take_it() {
        let params = Params::default();
        let hour = |n: u64| Time::from_secs(1_700_000_000 + n * 3600);
        for (due, now, up, want) in [
            (10, 5, 0, Missing::OnTheWay),
            (10, 11, 0, Missing::OnTheWay),
            (10, 12, 0, Missing::Lost),
            (10, 12, 10, Missing::Lost),
            (10, 12, 11, Missing::OnTheWay),
            (10, 13, 11, Missing::Forgotten),
        ] {
            assert_eq!(Missing::of(hour(due), hour(now), hour(up), &params), want, "{due} {now} {up}");
        }
    }
}
