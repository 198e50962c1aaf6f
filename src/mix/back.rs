//! Which way an answer comes back.

use super::chain::Chain;
use super::random::choose;
use super::route::{NotEnoughNodes, all_exits, are_kin, is_possible};
use crate::directory::{Descriptor, Document};
use crate::id::NodeId;
use rand_core::CryptoRng;

/// How far a mail of ours comes by a document.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reach {
    /// To an exit, and its receipt comes back, if there is to be one.
    Whole,
    /// No receipt could come back: a mail that needs one waits.
    NoWayBack,
    /// There is no path: it waits.
    NoPath,
}

impl Reach {
    /// That of a mail to one of `exits`, with a receipt or without.
    #[must_use]
    pub fn of(document: &Document, me: &NodeId, exits: &[NodeId], receipt: bool) -> Self {
        let goes = |exits: &[NodeId]| is_possible(document, me, exits, &Chain::default());
        if !goes(exits) {
            return Self::NoPath;
        }
        if receipt && !goes(&answering(document, me, exits)) { Self::NoWayBack } else { Self::Whole }
    }

    /// That of a mail to whichever exit.
    #[must_use]
    pub fn of_any(document: &Document, me: &NodeId, receipt: bool) -> Self {
        Self::of(document, me, &all_exits(document), receipt)
    }
}

/// Those of `exits` from which answers can come back to us when all nodes are well: not every network is large enough.
#[must_use]
pub fn answering(document: &Document, me: &NodeId, exits: &[NodeId]) -> Vec<NodeId> {
    exits.iter().filter(|exit| may_answer(document, me, exit)).copied().collect()
}

fn may_answer(document: &Document, me: &NodeId, exit: &NodeId) -> bool {
    let Some(ours) = document.node(me) else { return false };
    let hops = usize::from(document.params().hops);
    let families = |is_theirs: bool| {
        let theirs = document.node(exit);
        let mut left: Vec<_> = document.nodes().filter(|(id, node)| node.mix && *id != me).collect();
        left.retain(|(_, node)| !are_kin(ours, node));
        left.retain(|(id, node)| (*id == exit || theirs.is_some_and(|theirs| are_kin(theirs, node))) == is_theirs);
        let mut count: usize = 0;
        // More than a path has are as good.
        while count < hops
            && let Some((_, node)) = left.pop()
        {
            count += 1;
            left.retain(|(_, other)| !are_kin(node, other));
        }
        count
    };
    // The two ends are others than the exit; between them it may stand itself.
    let between = if hops > 2 { families(true).min(1) } else { 0 };
    families(false).saturating_add(between) >= hops
}

/// The path of an answer from `exit` to us: the network's number of mixes, then ourselves. The last mix is one of
/// `firsts`, if any are given, and each other one is drawn uniformly from those that the document doesn't call
/// unreliable and that are neither on the path already, nor of the family of one that is, of ours or of the exit's; nor
/// one of `used`, as long as there are others. In a network that has too few of them the exit, or one of its family, may
/// stand between two others.
///
/// # Errors
/// `NotEnoughNodes` if they don't suffice even so, or nobody knows us.
pub fn way_back(
    document: &Document,
    me: &NodeId,
    exit: &NodeId,
    firsts: &[NodeId],
    used: &[NodeId],
    rng: &mut impl CryptoRng,
) -> Result<Vec<NodeId>, NotEnoughNodes> {
    let ours = document.node(me).ok_or(NotEnoughNodes)?;
    let theirs = document.node(exit);
    let is_theirs = |id: &NodeId, node: &Descriptor| id == exit || theirs.is_some_and(|theirs| are_kin(theirs, node));
    let free =
        |id: &NodeId, node: &Descriptor| node.mix && id != me && !are_kin(ours, node) && document.is_reliable(id);
    let mut left: Vec<_> = document.nodes().filter(|(id, node)| free(id, node)).collect();
    let hops = usize::from(document.params().hops);
    let last = hops.saturating_sub(1);
    let mut path = vec![*me; hops.saturating_add(1)];
    // The two ends are drawn first: they can't be the exit's.
    for place in [last].into_iter().chain(0..last) {
        let others: Vec<_> = left.iter().filter(|(id, node)| !is_theirs(id, node)).copied().collect();
        let among: Vec<_> = match place {
            _ if place == last && !firsts.is_empty() => {
                others.into_iter().filter(|(id, _)| firsts.contains(id)).collect()
            }
            _ if place == last || place == 0 || !others.is_empty() => others,
            _ => left.clone(),
        };
        let unused: Vec<_> = among.iter().filter(|(id, _)| !used.contains(id)).copied().collect();
        let is_free = (place == last && !firsts.is_empty()) || unused.is_empty();
        let (id, node) = *choose(if is_free { &among } else { &unused }, rng).ok_or(NotEnoughNodes)?;
        *path.get_mut(place).ok_or(NotEnoughNodes)? = *id;
        left.retain(|(other, candidate)| *other != id && !are_kin(node, candidate));
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::super::random::tests::{chi_squared, rng};
    use super::super::route::tests::{id, mix, of_hops};
    use super::*;
    use crate::directory::Contents;
    use crate::directory::fixture::{at, contents, descriptor, document, signed_text, trust};
    use std::collections::BTreeSet;

    #[test]
    fn an_answer_comes_back_over_a_kept_first_hop_and_not_over_its_exit() {
        let document = document((1..=7).map(|n| (n, descriptor(n))));
        let (firsts, mut rng) = ([id(4), id(5)], rng(40));
        let mut counts = [0; 2];
        let mut seen = BTreeSet::new();
        for _ in 0..2000 {
            let path = way_back(&document, &id(1), &id(2), &firsts, &[], &mut rng).unwrap();
            assert_eq!((path.len(), path[3]), (4, id(1)));
            assert!(!path[..3].contains(&id(2)) && !path[..3].contains(&id(1)), "{path:?}");
            assert_eq!(path.iter().collect::<BTreeSet<_>>().len(), 4);
            counts[firsts.iter().position(|first| *first == path[2]).unwrap()] += 1;
            seen.insert([path[0], path[1]]);
        }
        // 1 degree of freedom: above 10.83 once in 1,000 seeds.
        assert!(chi_squared(&counts) < 10.83, "{counts:?}");
        assert_eq!(seen.len(), 12 + 12 - 6, "two of the four that are left, in either order; 4 or 5 ends it");
    }

    #[test]
    fn a_second_way_back_has_only_the_first_hop_in_common_with_the_first_where_there_are_enough_mixes() {
        let mut rng = rng(43);
        for (nodes, in_common) in [(7, 1), (6, 2), (5, 3)] {
            let document = document((1..=nodes).map(|n| (n, descriptor(n))));
            for _ in 0..500 {
                let mut way = |used: &[NodeId]| way_back(&document, &id(1), &id(2), &[id(4)], used, &mut rng).unwrap();
                let one = way(&[]);
                let other = way(&one);
                let both = one.iter().filter(|hop| **hop != id(1) && other.contains(hop)).count();
                assert_eq!(both, in_common, "{nodes}: {one:?} {other:?}");
            }
        }
    }

    #[test]
    fn in_a_small_network_the_exit_may_stand_between_two_others_and_nowhere_else() {
        let mut rng = rng(41);
        let small = document((1..=4).map(|n| (n, descriptor(n))));
        for _ in 0..100 {
            let path = way_back(&small, &id(1), &id(2), &[], &[], &mut rng).unwrap();
            assert_eq!((path[1], path[3]), (id(2), id(1)), "{path:?}");
        }
        let kin = |n| (n, Descriptor { family: Some("kin".into()), ..descriptor(n) });
        let of_one_family = document([kin(1), kin(2), kin(3), mix(4, None), mix(5, None), mix(6, None)]);
        assert_eq!(
            way_back(&of_one_family, &id(4), &id(1), &[id(2)], &[], &mut rng),
            Err(NotEnoughNodes),
            "of the exit's"
        );
        let three = document((1..=3).map(|n| (n, descriptor(n))));
        assert_eq!(way_back(&three, &id(1), &id(2), &[], &[], &mut rng), Err(NotEnoughNodes));
        let two_hops = of_hops(2, 3);
        assert_eq!(way_back(&two_hops, &id(1), &id(2), &[], &[], &mut rng), Err(NotEnoughNodes), "there is no between");
        for (document, may) in [(&two_hops, false), (&of_hops(2, 4), true), (&small, true), (&three, false)] {
            assert_eq!(may_answer(document, &id(1), &id(2)), may);
        }
        assert_eq!(way_back(&small, &id(9), &id(2), &[], &[], &mut rng), Err(NotEnoughNodes), "nobody can write to us");
        assert!(!may_answer(&small, &id(9), &id(2)));
    }

    #[test]
    fn with_a_receipt_a_mail_needs_an_exit_that_can_answer() {
        // 3 and 4 are exits and no mixes. 2 is of the operator of 3: answers of 3 have 5 alone to go by.
        let kin = |n, node: Descriptor| (n, Descriptor { family: Some("kin".into()), ..node });
        let (mut apart, end) = (contents(1, 1, []), |n| Descriptor { mix: false, ..descriptor(n) });
        apart.params.hops = 2;
        let with = |nodes: Vec<(u8, Descriptor)>| {
            let nodes = contents(1, 1, nodes).nodes;
            Document::verify(&signed_text(&Contents { nodes, ..apart.clone() }, [101]), &trust(1, 1), at(1), None)
                .unwrap()
        };
        let all = vec![mix(1, None), kin(2, descriptor(2)), kin(3, end(3)), (4, end(4)), mix(5, None)];
        let (exits, me) = ([id(3), id(4)], id(1));
        let document = with(all.clone());
        assert_eq!(answering(&document, &me, &exits), [id(4)]);
        let reach = |exits: &[NodeId], receipt| Reach::of(&document, &me, exits, receipt);
        assert_eq!([reach(&exits, true), reach(&exits, false)], [Reach::Whole; 2]);
        assert_eq!([reach(&exits[..1], true), reach(&exits[..1], false)], [Reach::NoWayBack, Reach::Whole]);
        let without_five = with(all[..4].to_vec());
        assert_eq!(
            Reach::of(&without_five, &me, &exits, true),
            Reach::NoWayBack,
            "to 4 by 2, and no other mix for an answer"
        );
        assert_eq!(Reach::of(&without_five, &me, &exits[..1], false), Reach::NoPath);
    }
}
