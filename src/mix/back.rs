//! Which way an answer comes back.

use super::random::choose;
use super::route::{NotEnoughNodes, are_kin};
use crate::directory::{Descriptor, Document};
use crate::id::NodeId;
use rand_core::CryptoRng;

/// Whether there can be answers from `exit` to us when all nodes are well, in a network that is not too small for it.
#[must_use]
pub fn may_answer(document: &Document, me: &NodeId, exit: &NodeId) -> bool {
    let families = |is_theirs: bool| {
        let (ours, theirs) = (document.node(me), document.node(exit));
        let mut left: Vec<_> = document.nodes().filter(|(id, node)| node.mix && *id != me).collect();
        left.retain(|(_, node)| ours.is_none_or(|ours| !are_kin(ours, node)));
        left.retain(|(id, node)| (*id == exit || theirs.is_some_and(|theirs| are_kin(theirs, node))) == is_theirs);
        let mut count: usize = 0;
        while let Some((_, node)) = left.pop() {
            count += 1;
            left.retain(|(_, other)| !are_kin(node, other));
        }
        count
    };
    let hops = usize::from(document.params().hops);
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
    use crate::directory::fixture::{descriptor, document};
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
        assert!(!may_answer(&two_hops, &id(1), &id(2)) && may_answer(&of_hops(2, 4), &id(1), &id(2)));
        assert_eq!(way_back(&small, &id(9), &id(2), &[], &[], &mut rng), Err(NotEnoughNodes), "nobody can write to us");
    }
}
