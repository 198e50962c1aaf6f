//! The ways of packets in the light model, by the laws of docs/design.md: kept first hops, distinct nodes, an exit last.

use super::num::{NodeIx, node};
use crate::mix::random::choose;
use rand::rngs::StdRng;

/// Most nodes on a way: four foreign hops, and ourselves.
pub(super) const LONGEST: usize = 5;

/// A way, by the nodes it comes to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Way {
    nodes: [NodeIx; LONGEST],
    len: u8,
}

impl Way {
    pub(super) fn at(&self, hop: u8) -> Option<NodeIx> {
        self.as_slice().get(usize::from(hop)).copied()
    }

    pub(super) fn is_last(&self, hop: u8) -> bool {
        hop + 1 >= self.len
    }

    pub(super) fn as_slice(&self) -> &[NodeIx] {
        self.nodes.get(..usize::from(self.len)).unwrap_or_default()
    }

    fn push(&mut self, node: NodeIx) {
        if let Some(place) = self.nodes.get_mut(usize::from(self.len)) {
            *place = node;
            self.len += 1;
        }
    }
}

/// Who there is, and whom each node keeps as its first hops.
pub(super) struct Map {
    nodes: NodeIx,
    hops: usize,
    exits: Vec<NodeIx>,
    first_hops: Vec<Vec<NodeIx>>,
}

/// First hops that a node keeps.
pub(super) const KEPT: usize = 2;

impl Map {
    pub(super) fn draw(nodes: usize, hops: u8, exits: Vec<NodeIx>, rng: &mut StdRng) -> Self {
        let mut map = Self { nodes: node(nodes), hops: usize::from(hops), exits, first_hops: Vec::new() };
        for me in 0..map.nodes {
            // With one hop the exit is the first, and exits aren't kept.
            let first = if map.hops == 1 {
                map.exits.iter().copied().filter(|exit| *exit != me).collect()
            } else {
                let mut kept = Vec::with_capacity(KEPT);
                while kept.len() < KEPT {
                    let other = map.other(&[me], &kept, rng);
                    kept.push(other);
                }
                kept
            };
            map.first_hops.push(first);
        }
        map
    }

    pub(super) fn first_hops(&self) -> &Vec<Vec<NodeIx>> {
        &self.first_hops
    }

    /// The first hop of whatever leaves `me` at a slot, drawn before it is known what that is.
    pub(super) fn first(&self, me: NodeIx, rng: &mut StdRng) -> NodeIx {
        let kept = self.first_hops.get(usize::from(me)).map(Vec::as_slice).unwrap_or_default();
        choose(kept, rng).copied().unwrap_or_else(|| self.other(&[me], &[], rng))
    }

    /// An exit for a mail, before it is known by which first hop it goes: one that is not the only one of these.
    pub(super) fn exit_of_mail(&self, me: NodeIx, rng: &mut StdRng) -> Option<NodeIx> {
        let kept = self.first_hops.get(usize::from(me)).map(Vec::as_slice).unwrap_or_default();
        let leads = |exit: &NodeIx| *exit != me && (self.hops == 1 || kept.iter().any(|hop| hop != exit));
        let exits: Vec<NodeIx> = self.exits.iter().copied().filter(leads).collect();
        choose(&exits, rng).copied()
    }

    /// An exit for what goes by `first`; none if that is the only one.
    fn exit(&self, me: NodeIx, first: NodeIx, rng: &mut StdRng) -> Option<NodeIx> {
        if self.hops == 1 {
            return Some(first);
        }
        let exits: Vec<NodeIx> = self.exits.iter().copied().filter(|exit| ![me, first].contains(exit)).collect();
        choose(&exits, rng).copied()
    }

    /// Where a drop ends that goes by `first`: at an exit, or at any mix where there is no other.
    pub(super) fn end_of_drop(&self, me: NodeIx, first: NodeIx, rng: &mut StdRng) -> NodeIx {
        self.exit(me, first, rng).unwrap_or_else(|| self.other(&[me, first], &[], rng))
    }

    /// The way of a mail's packet, or of a drop, by `first` to `last`.
    pub(super) fn to(&self, me: NodeIx, first: NodeIx, last: NodeIx, rng: &mut StdRng) -> Way {
        let mut way = Way::default();
        if self.hops > 1 {
            way.push(first);
        }
        self.fill(&mut way, self.hops - 1, &[me, last], rng);
        way.push(last);
        way
    }

    /// The way of a drop that fills up a batch: to any mix first, as what is passed on does.
    pub(super) fn anywhere(&self, me: NodeIx, rng: &mut StdRng) -> Way {
        let mut way = Way::default();
        let exits: Vec<NodeIx> = self.exits.iter().copied().filter(|exit| *exit != me).collect();
        let last = choose(&exits, rng).copied().unwrap_or_else(|| self.other(&[me], &[], rng));
        self.fill(&mut way, self.hops - 1, &[me, last], rng);
        way.push(last);
        way
    }

    /// The way of a loop by `first`: to foreign nodes, and back.
    pub(super) fn around(&self, me: NodeIx, first: NodeIx, rng: &mut StdRng) -> Way {
        let mut way = Way::default();
        way.push(first);
        if self.hops > 1 {
            let last = self.last_of_loop(me, first, rng);
            self.fill(&mut way, self.hops - 1, &[me, last], rng);
            way.push(last);
        }
        way.push(me);
        way
    }

    /// The ways of the two receipts of a mail of `me` that went by `first` to `exit`. Both end with that hop; the mixes between
    /// are others for each where there are enough.
    pub(super) fn back(&self, exit: NodeIx, me: NodeIx, first: NodeIx, rng: &mut StdRng) -> [Way; 2] {
        let between = self.hops - 1;
        // With one hop the exit was the first.
        let last = if first == exit { self.other(&[me, exit], &[], rng) } else { first };
        let one = self.way_back(exit, me, last, &[], rng);
        let taken = one.as_slice().get(..between).unwrap_or_default();
        let enough = usize::from(self.nodes) >= 3 + 2 * between;
        let other = self.way_back(exit, me, last, if enough { taken } else { &[] }, rng);
        [one, other]
    }

    fn way_back(&self, exit: NodeIx, me: NodeIx, last: NodeIx, besides: &[NodeIx], rng: &mut StdRng) -> Way {
        let mut way = Way::default();
        let mut taken = [&[me, last], besides].concat();
        // The exit is on it only where there are too few others, and then in the middle.
        if usize::from(self.nodes) > self.hops + 1 {
            taken.push(exit);
            self.fill(&mut way, self.hops - 1, &taken, rng);
        } else if self.hops > 2 {
            taken.push(exit);
            self.fill(&mut way, 1, &taken, rng);
            way.push(exit);
            self.fill(&mut way, self.hops - 1, &taken, rng);
        } else {
            self.fill(&mut way, self.hops - 2, &taken, rng);
        }
        way.push(last);
        way.push(me);
        way
    }

    /// By the law that draws exits in one half of the cases, and the other kept first hop in the other half.
    fn last_of_loop(&self, me: NodeIx, first: NodeIx, rng: &mut StdRng) -> NodeIx {
        let kept = self.first_hops.get(usize::from(me)).map(Vec::as_slice).unwrap_or_default();
        let other = kept.iter().copied().find(|hop| *hop != first);
        match other.filter(|_| choose(&[true, false], rng) == Some(&true)) {
            Some(other) => other,
            None => self.end_of_drop(me, first, rng),
        }
    }

    /// Makes the way `len` nodes long, with nodes that are neither on it nor among `taken`.
    fn fill(&self, way: &mut Way, len: usize, taken: &[NodeIx], rng: &mut StdRng) {
        while usize::from(way.len) < len {
            let next = self.other(taken, way.as_slice(), rng);
            way.push(next);
        }
    }

    /// Any node that is in neither list. There is one: `Plan::check` counts the nodes that a way needs.
    fn other(&self, taken: &[NodeIx], besides: &[NodeIx], rng: &mut StdRng) -> NodeIx {
        use rand::RngExt;
        loop {
            let drawn = rng.random_range(0..self.nodes);
            if !taken.contains(&drawn) && !besides.contains(&drawn) {
                return drawn;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use std::collections::BTreeSet;

    #[test]
    fn ways_are_as_the_network_s_rules_say_whatever_it_has() {
        for (nodes, hops, exits) in [
            (4, 3, vec![0, 2]),
            (5, 3, vec![0, 2]),
            (9, 2, vec![0, 4]),
            (9, 4, vec![0, 1]),
            (9, 3, vec![0, 4, 6]),
            (3, 1, vec![0, 1]),
            (3, 2, vec![0, 1]),
            (5, 4, vec![0, 2]),
        ] {
            let mut rng = StdRng::seed_from_u64(1);
            let map = Map::draw(nodes, hops, exits.clone(), &mut rng);
            for me in (0..node(nodes)).cycle().take(300) {
                let first = map.first(me, &mut rng);
                let what = format!("{nodes} nodes, {hops} hops, {me} by {first}");
                assert!(map.first_hops()[usize::from(me)].contains(&first), "{what}");
                let distinct = |way: &Way| way.as_slice().iter().collect::<BTreeSet<_>>().len() == way.as_slice().len();
                let around = map.around(me, first, &mut rng);
                assert_eq!((around.as_slice().len(), around.as_slice().last()), (usize::from(hops) + 1, Some(&me)));
                assert!(distinct(&around) && around.as_slice()[0] == first, "{what}: {around:?}");
                let Some(exit) = map.exit(me, first, &mut rng) else {
                    assert!(exits.iter().all(|exit| [me, first].contains(exit)), "{what}");
                    assert!(![me, first].contains(&map.end_of_drop(me, first, &mut rng)), "{what}");
                    continue;
                };
                let mail = map.to(me, first, exit, &mut rng);
                assert_eq!((mail.as_slice().len(), mail.as_slice().last()), (usize::from(hops), Some(&exit)), "{what}");
                assert!(distinct(&mail) && !mail.as_slice().contains(&me), "{what}: {mail:?}");
                assert_eq!(mail.as_slice()[0], first, "{what}: {mail:?}");
                let back = map.back(exit, me, first, &mut rng);
                for way in &back {
                    let [hops_between @ .., last, end] = way.as_slice() else { panic!("{what}: {way:?}") };
                    assert!(*end == me && (*last == first || hops == 1), "{what}: {way:?}");
                    assert!(distinct(way) && way.as_slice()[0] != exit, "{what}: {way:?}");
                    let apart = nodes > 2 * usize::from(hops);
                    let other = back.iter().find(|other| other.as_slice() != way.as_slice());
                    let shared =
                        |mix: &NodeIx| other.is_some_and(|other| other.as_slice()[..hops_between.len()].contains(mix));
                    assert!(
                        !apart || hops == 1 || (other.is_some() && !hops_between.iter().any(shared)),
                        "{what}: {back:?}"
                    );
                }
            }
        }
    }
}
