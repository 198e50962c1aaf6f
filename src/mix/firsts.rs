//! The first hops that a node keeps for everything that it sends.
//!
//! With a fresh first hop for each packet, whoever has a few bad nodes is the first hop and the exit of some packet of
//! every longer mail, and sees both ends of it. With kept ones most senders never are in their hands.

use super::random::choose;
use super::route;
use crate::directory::Document;
use crate::id::NodeId;
use crate::time::Time;
use rand_core::CryptoRng;

/// First hops at a time, so that the loss of one stops nobody.
const COUNT: usize = 2;

/// Epochs after which another one is chosen.
const KEPT: u32 = 60;

/// Epochs from one such change to the next, so that both never change at once.
const BETWEEN: u32 = 7;

/// One that is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct First {
    /// Which node.
    pub node: NodeId,
    /// Since when.
    pub since: Time,
}

/// The first hops of a node.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Firsts {
    /// Those that are kept, oldest first; fewer than two only where the network has no more.
    pub kept: Vec<First>,
    /// When one was last exchanged for its age.
    pub changed: Time,
}

impl Firsts {
    /// Goes by `document` at `now`: who can't be a first hop any more is replaced at once, who has been one for long when
    /// it is its turn. Says whether anything has changed.
    pub fn renew(&mut self, document: &Document, me: &NodeId, now: Time, rng: &mut impl CryptoRng) -> bool {
        let before = self.clone();
        let usable = route::firsts(document, me);
        self.kept.retain(|first| usable.contains(&first.node));
        self.part_kin(document, &usable);
        self.let_oldest_go(document, now);
        while self.kept.len() < COUNT {
            let others: Vec<NodeId> = usable.iter().filter(|id| !self.has(id)).copied().collect();
            let strangers: Vec<NodeId> = others.iter().filter(|id| !self.has_kin(document, id)).copied().collect();
            let Some(node) = choose(&strangers, rng).or_else(|| choose(&others, rng)) else { break };
            self.kept.push(First { node: *node, since: now });
        }
        *self != before
    }

    /// Of two of one family the second goes, if there are others: no path to an exit of that family could begin else.
    fn part_kin(&mut self, document: &Document, usable: &[NodeId]) {
        let &[one, other] = self.kept.as_slice() else { return };
        let are_kin = |id: &NodeId| route::are_of_one_family(document, &one.node, id);
        if are_kin(&other.node) && usable.iter().any(|id| *id != one.node && !are_kin(id)) {
            self.kept.truncate(1);
        }
    }

    fn let_oldest_go(&mut self, document: &Document, now: Time) {
        let epoch = document.params().epoch;
        let is_old = self.kept.first().is_some_and(|first| now.since(first.since) >= epoch * KEPT);
        if is_old && now.since(self.changed) >= epoch * BETWEEN {
            self.kept.remove(0);
            self.changed = now;
        }
    }

    fn has(&self, id: &NodeId) -> bool {
        self.kept.iter().any(|first| first.node == *id)
    }

    fn has_kin(&self, document: &Document, id: &NodeId) -> bool {
        self.kept.iter().any(|first| route::are_of_one_family(document, &first.node, id))
    }
}

#[cfg(test)]
mod tests {
    use super::super::random::tests::{chi_squared, rng};
    use super::*;
    use crate::directory::fixture::{at, descriptor, document, key};
    use crate::directory::{Descriptor, Measured, Uptime};
    use std::collections::BTreeSet;

    const DAY: u64 = 24;

    fn id(n: u8) -> NodeId {
        key(n).node_id()
    }

    fn nodes(numbers: impl IntoIterator<Item = u8>) -> Document {
        document(numbers.into_iter().map(|n| (n, descriptor(n))))
    }

    fn of_family(n: u8, family: &str) -> (u8, Descriptor) {
        (n, Descriptor { family: Some(family.into()), ..descriptor(n) })
    }

    /// Six nodes, of which all but 1 have found that so many percent of what is sent through `of` come on.
    fn judged(of: u8, percent: u8) -> Document {
        let measured = Measured::from([(id(of), Uptime::from_percent(percent).unwrap())]);
        let judge = |n| Descriptor { measured: (n > 1).then(|| measured.clone()), ..descriptor(n) };
        document((1..=6).map(|n| (n, judge(n))))
    }

    fn drawn(document: &Document, seed: u64) -> Firsts {
        let mut firsts = Firsts::default();
        assert!(firsts.renew(document, &id(1), at(0), &mut rng(seed)));
        firsts
    }

    fn ids(firsts: &Firsts) -> BTreeSet<NodeId> {
        firsts.kept.iter().map(|first| first.node).collect()
    }

    #[test]
    fn two_mixes_are_drawn_evenly_and_kept_for_sixty_epochs() {
        let document = nodes(1..=5);
        let pairs: Vec<_> = (2..=5).flat_map(|a| (a + 1..=5).map(move |b| BTreeSet::from([id(a), id(b)]))).collect();
        let mut counts = [0; 6];
        for seed in 0..3000 {
            let mut firsts = drawn(&document, seed);
            let pair = ids(&firsts);
            counts[pairs.iter().position(|p| *p == pair).unwrap()] += 1;
            assert!(!firsts.renew(&document, &id(1), at(60 * DAY - 1), &mut rng(seed)), "{seed}");
            assert_eq!(ids(&firsts), pair);
        }
        // 5 degrees of freedom: above 20.5 once in 1,000 seeds.
        assert!(chi_squared(&counts) < 20.5, "{counts:?}");
    }

    #[test]
    fn one_goes_for_its_age_in_a_week() {
        let document = nodes(1..=40);
        let mut firsts = drawn(&document, 1);
        let first = firsts.clone();
        let mut rng = rng(2);
        assert!(firsts.renew(&document, &id(1), at(60 * DAY), &mut rng));
        assert_eq!((firsts.kept[0], firsts.kept[1].since), (first.kept[1], at(60 * DAY)));
        let second = firsts.clone();
        assert!(!firsts.renew(&document, &id(1), at(67 * DAY - 1), &mut rng), "a second one in the same week");
        assert!(firsts.renew(&document, &id(1), at(67 * DAY), &mut rng));
        assert_eq!((firsts.kept[0], firsts.kept[1].since), (second.kept[1], at(67 * DAY)));
    }

    #[test]
    fn who_can_not_be_one_any_more_is_replaced_at_once_and_only_they() {
        let mut firsts = drawn(&nodes(1..=6), 3);
        let [gone, stays] = [firsts.kept[0].node, firsts.kept[1].node];
        let left = |gone: NodeId| (1..=6).filter(move |n| id(*n) != gone);
        for (document, what) in [
            (nodes(left(gone)), "gone"),
            (document((1..=6).map(|n| (n, Descriptor { mix: id(n) != gone, ..descriptor(n) }))), "no mix"),
            (
                document(
                    (1..=6).map(|n| if n == 1 || id(n) == gone { of_family(n, "us") } else { (n, descriptor(n)) }),
                ),
                "of our family",
            ),
        ] {
            let mut firsts = firsts.clone();
            assert!(firsts.renew(&document, &id(1), at(1), &mut rng(4)), "{what}");
            assert_eq!(firsts.kept[0], First { node: stays, since: at(0) }, "{what}");
            assert!(firsts.kept[1].node != gone && firsts.kept[1].since == at(1), "{what}");
        }
        assert!(!firsts.renew(&nodes(1..=6), &id(1), at(1), &mut rng(4)));
    }

    #[test]
    fn who_falls_below_min_uptime_is_replaced_at_once_and_not_drawn_again_before_it_is_up() {
        let mut firsts = drawn(&nodes(1..=6), 3);
        let [fallen, stays] = [firsts.kept[0].node, firsts.kept[1].node];
        let n = (2..=6).find(|n| id(*n) == fallen).unwrap();
        let with = |percent| judged(n, percent);
        assert!(!firsts.renew(&with(90), &id(1), at(1), &mut rng(4)), "90 % are enough");
        assert!(firsts.renew(&with(85), &id(1), at(1), &mut rng(4)));
        assert_eq!(firsts.kept[0], First { node: stays, since: at(0) });
        for seed in 0..50 {
            assert!(!ids(&drawn(&with(85), seed)).contains(&fallen), "{seed}");
        }
        assert!((0..50).any(|seed| ids(&drawn(&with(90), seed)).contains(&fallen)), "it is up again");
    }

    #[test]
    fn two_are_of_different_families_where_there_are_two() {
        let kin = |n| of_family(n, "kin");
        for seed in 0..50 {
            let of_two = document([kin(2), kin(3), kin(4), (5, descriptor(5))]);
            assert!(ids(&drawn(&of_two, seed)).contains(&id(5)));
            // Where there is one family only, two of it are better than one.
            let mut firsts = drawn(&document([kin(2), kin(3), kin(4)]), seed);
            assert_eq!(firsts.kept.len(), 2);
            let first = firsts.kept[0];
            assert!(firsts.renew(&of_two, &id(1), at(1), &mut rng(seed)));
            assert_eq!(firsts.kept, [first, First { node: id(5), since: at(1) }]);
        }
    }

    #[test]
    fn a_network_of_fewer_nodes_has_fewer() {
        assert_eq!(ids(&drawn(&nodes([1, 2]), 1)), [id(2)].into());
        let mut none = Firsts::default();
        assert!(!none.renew(&nodes([1]), &id(1), at(0), &mut rng(1)) && none.kept.is_empty());
    }
}
