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

    /// An exit that is not `me`, as one is drawn for a mail.
    pub(super) fn exit(&self, me: NodeIx, rng: &mut StdRng) -> NodeIx {
        loop {
            match choose(&self.exits, rng) {
                Some(exit) if *exit != me => return *exit,
                _ => {}
            }
        }
    }

    /// The way of a mail's packet, or of a drop, to `last`.
    pub(super) fn to(&self, me: NodeIx, last: NodeIx, rng: &mut StdRng) -> Way {
        let mut way = Way::default();
        if self.hops > 1 {
            way.push(self.first(me, last, rng));
        }
        self.fill(&mut way, self.hops - 1, &[me, last], rng);
        way.push(last);
        way
    }

    /// The way of a drop that fills up a batch: to any mix first, as what is passed on does.
    pub(super) fn anywhere(&self, me: NodeIx, last: NodeIx, rng: &mut StdRng) -> Way {
        let mut way = Way::default();
        self.fill(&mut way, self.hops - 1, &[me, last], rng);
        way.push(last);
        way
    }

    /// The way of a loop: to foreign nodes, and back.
    pub(super) fn around(&self, me: NodeIx, rng: &mut StdRng) -> Way {
        let mut way = Way::default();
        if self.hops == 1 {
            way.push(self.first(me, me, rng));
        } else {
            let last = self.last_of_loop(me, rng);
            way.push(self.first(me, last, rng));
            self.fill(&mut way, self.hops - 1, &[me, last], rng);
            way.push(last);
        }
        way.push(me);
        way
    }

    /// The way of a receipt from `exit` to `me`, along a SURB that `me` made.
    pub(super) fn back(&self, exit: NodeIx, me: NodeIx, rng: &mut StdRng) -> Way {
        let mut way = Way::default();
        let last = self.first(me, exit, rng);
        let mut taken = vec![me, last];
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

    /// By the law that draws exits in one half of the cases, and a kept first hop in the other half.
    fn last_of_loop(&self, me: NodeIx, rng: &mut StdRng) -> NodeIx {
        if choose(&[true, false], rng) == Some(&true) { self.first(me, me, rng) } else { self.exit(me, rng) }
    }

    /// One of the first hops that `me` keeps, but not `not`.
    fn first(&self, me: NodeIx, not: NodeIx, rng: &mut StdRng) -> NodeIx {
        let kept = self.first_hops.get(usize::from(me)).map(Vec::as_slice).unwrap_or_default();
        let free: Vec<NodeIx> = kept.iter().copied().filter(|hop| *hop != not).collect();
        choose(&free, rng).copied().unwrap_or_else(|| self.other(&[me, not], &[], rng))
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
            (3, 1, vec![0, 1]),
            (3, 2, vec![0, 1]),
            (5, 4, vec![0, 2]),
        ] {
            let mut rng = StdRng::seed_from_u64(1);
            let map = Map::draw(nodes, hops, exits.clone(), &mut rng);
            for me in (0..node(nodes)).cycle().take(300) {
                let exit = map.exit(me, &mut rng);
                let what = format!("{nodes} nodes, {hops} hops, {me} to {exit}");
                let distinct = |way: &Way| way.as_slice().iter().collect::<BTreeSet<_>>().len() == way.as_slice().len();
                let first_hops = &map.first_hops()[usize::from(me)];
                let mail = map.to(me, exit, &mut rng);
                assert_eq!((mail.as_slice().len(), mail.as_slice().last()), (usize::from(hops), Some(&exit)), "{what}");
                assert!(distinct(&mail) && !mail.as_slice().contains(&me), "{what}: {mail:?}");
                assert!(first_hops.contains(&mail.as_slice()[0]), "{what}: {mail:?}");
                let around = map.around(me, &mut rng);
                assert_eq!((around.as_slice().len(), around.as_slice().last()), (usize::from(hops) + 1, Some(&me)));
                assert!(distinct(&around) && first_hops.contains(&around.as_slice()[0]), "{what}: {around:?}");
                let back = map.back(exit, me, &mut rng);
                assert_eq!(back.as_slice().last(), Some(&me), "{what}: {back:?}");
                assert!(distinct(&back) && back.as_slice()[0] != exit, "{what}: {back:?}");
            }
        }
    }
}
