//! Which way a packet goes. The same law for every sender: a private preference would be a fingerprint.

use super::chain::Chain;
use super::random::choose;
use crate::directory::{Descriptor, Document};
use crate::id::NodeId;
use crate::mail::address::Address;
use rand_core::CryptoRng;
use thiserror::Error;

/// No path of the network's length can be made of the nodes there are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("not enough nodes of different families for a path")]
pub struct NotEnoughNodes;

/// The exits whose policy takes a mail of `size` bytes to `recipient`, by id. None: nobody in this network takes it.
#[must_use]
pub fn exits_for(document: &Document, recipient: &Address, size: u64) -> Vec<NodeId> {
    let takes = |node: &Descriptor| node.exit.as_ref().is_some_and(|exit| exit.takes(recipient, size));
    document.nodes().filter(|(_, node)| takes(node)).map(|(id, _)| *id).collect()
}

/// One of `exits`, each as likely, leaving out ourselves and those to which no path can be made, or none along `chain`.
///
/// # Errors
/// `NotEnoughNodes` if none is left.
pub fn exit(
    document: &Document,
    me: &NodeId,
    exits: &[NodeId],
    chain: &Chain,
    rng: &mut impl CryptoRng,
) -> Result<NodeId, NotEnoughNodes> {
    let usable: Vec<_> = exits.iter().filter(|exit| is_usable(document, me, exit, chain)).collect();
    choose(&usable, rng).map(|exit| **exit).ok_or(NotEnoughNodes)
}

/// Whether there is a path along `chain` to any of `exits`.
#[must_use]
pub fn is_possible(document: &Document, me: &NodeId, exits: &[NodeId], chain: &Chain) -> bool {
    exits.iter().any(|exit| is_usable(document, me, exit, chain))
}

/// Whether there is a path for a mail of ours to any exit at all.
#[must_use]
pub fn is_there_any(document: &Document, me: &NodeId) -> bool {
    let exits: Vec<_> = document.nodes().filter(|(_, node)| node.exit.is_some()).map(|(id, _)| *id).collect();
    is_possible(document, me, &exits, &Chain::default())
}

/// The path of a mail to `exit`: the network's number of hops, the exit last. Before it come mixes: those that `chain`
/// names, in their places, and each other one drawn uniformly from those that are neither on the path already, nor of the
/// family of one that is, nor of ours.
///
/// # Errors
/// `NotEnoughNodes` if they don't suffice, one that is named can't stand there, or `exit` is no exit of the document, is
/// ourselves or of our family.
pub fn path(
    document: &Document,
    me: &NodeId,
    exit: &NodeId,
    chain: &Chain,
    rng: &mut impl CryptoRng,
) -> Result<Vec<NodeId>, NotEnoughNodes> {
    let mixes = chain.mixes(document);
    let mut left = mixes_left(document, me, exit, &mixes).ok_or(NotEnoughNodes)?;
    let mut path = Vec::with_capacity(mixes.len() + 1);
    for named in mixes {
        if let Some(id) = named {
            path.push(id);
            continue;
        }
        let (id, node) = *choose(&left, rng).ok_or(NotEnoughNodes)?;
        path.push(*id);
        left.retain(|(other, candidate)| *other != id && !are_kin(node, candidate));
    }
    path.push(*exit);
    Ok(path)
}

/// What chance may choose from once the mixes that are named have their places; `None` if one of them can't have it.
fn mixes_left<'a>(
    document: &'a Document,
    me: &NodeId,
    exit: &NodeId,
    mixes: &[Option<NodeId>],
) -> Option<Vec<(&'a NodeId, &'a Descriptor)>> {
    let mut left = mixes_beside(document, me, exit)?;
    for named in mixes.iter().flatten() {
        let (id, node) = *left.iter().find(|(id, _)| *id == named)?;
        left.retain(|(other, candidate)| *other != id && !are_kin(node, candidate));
    }
    Some(left)
}

/// The mixes that may stand on a path from us to `exit`; `None` if there can be no such path.
fn mixes_beside<'a>(document: &'a Document, me: &NodeId, exit: &NodeId) -> Option<Vec<(&'a NodeId, &'a Descriptor)>> {
    let last = document.node(exit).filter(|node| node.exit.is_some() && exit != me)?;
    let ours = document.node(me);
    if ours.is_some_and(|ours| are_kin(ours, last)) {
        return None;
    }
    let ends = [Some(last), ours];
    let free = |id: &NodeId, node: &Descriptor| {
        node.mix && id != me && id != exit && !ends.iter().flatten().any(|end| are_kin(end, node))
    };
    Some(document.nodes().filter(|(id, node)| free(id, node)).collect())
}

fn is_usable(document: &Document, me: &NodeId, exit: &NodeId, chain: &Chain) -> bool {
    if chain.exit().is_some_and(|wished| wished != exit) {
        return false;
    }
    let mixes = chain.mixes(document);
    let Some(mut left) = mixes_left(document, me, exit, &mixes) else { return false };
    let mut families: usize = 0;
    while let Some((_, node)) = left.pop() {
        families += 1;
        left.retain(|(_, other)| !are_kin(node, other));
    }
    families >= mixes.iter().filter(|named| named.is_none()).count()
}

fn are_kin(one: &Descriptor, other: &Descriptor) -> bool {
    one.family.is_some() && one.family == other.family
}

#[cfg(test)]
mod tests {
    use super::super::random::tests::{chi_squared, rng};
    use super::*;
    use crate::directory::fixture::{contents, descriptor, document, key};
    use crate::directory::{Domains, ExitPolicy};
    use std::collections::BTreeSet;

    const ANY: Chain = Chain::from_hops(Vec::new());

    fn id(n: u8) -> NodeId {
        key(n).node_id()
    }

    /// A node that is a mix and nothing else, of this family.
    fn mix(n: u8, family: Option<&str>) -> (u8, Descriptor) {
        (n, Descriptor { exit: None, family: family.map(str::to_owned), ..descriptor(n) })
    }

    fn exit_node(n: u8) -> (u8, Descriptor) {
        (n, Descriptor { mix: false, ..descriptor(n) })
    }

    #[test]
    fn exits_are_those_whose_policy_takes_the_mail() {
        let mut picky = descriptor(2);
        picky.exit = Some(ExitPolicy { domains: Domains::Only(vec!["example.com".into()]), max_size: 10, news: false });
        let document = document([mix(1, None), (2, picky), exit_node(3)]);
        let exits = |address, size| -> BTreeSet<_> {
            exits_for(&document, &Address::parse(address).unwrap(), size).into_iter().collect()
        };
        assert_eq!(exits("a@example.com", 10), [id(2), id(3)].into());
        assert_eq!(exits("a@example.com", 11), [id(3)].into());
        assert_eq!(exits("a@example.org", 10), [id(3)].into());
        assert_eq!(exits("a@example.org", 3 << 20), [].into());
    }

    #[test]
    fn a_path_has_distinct_mixes_in_front_of_the_exit_and_never_ourselves() {
        let document = document((1..=6).map(|n| (n, descriptor(n))));
        let mut rng = rng(20);
        for _ in 0..1000 {
            let path = path(&document, &id(1), &id(2), &ANY, &mut rng).unwrap();
            assert_eq!(path.len(), 3);
            assert_eq!(path[2], id(2));
            assert!(!path.contains(&id(1)));
            assert_eq!(path.iter().collect::<BTreeSet<_>>().len(), 3);
        }
    }

    #[test]
    fn who_is_no_mix_stands_only_at_the_end() {
        let document = document([mix(1, None), mix(2, None), exit_node(3), exit_node(4)]);
        let mut rng = rng(21);
        for _ in 0..100 {
            let path = path(&document, &id(9), &id(3), &ANY, &mut rng).unwrap();
            assert_eq!(path[..2].iter().collect::<BTreeSet<_>>(), [&id(1), &id(2)].into());
        }
        assert_eq!(path(&document, &id(9), &id(1), &ANY, &mut rng), Err(NotEnoughNodes), "node 1 is no exit");
        assert_eq!(path(&document, &id(9), &id(8), &ANY, &mut rng), Err(NotEnoughNodes), "node 8 is not there");
        assert_eq!(path(&document, &id(3), &id(3), &ANY, &mut rng), Err(NotEnoughNodes), "never ourselves");
    }

    #[test]
    fn every_pair_of_mixes_is_equally_likely_in_either_order() {
        let document = document([mix(1, None), mix(2, None), mix(3, None), mix(4, None), exit_node(5)]);
        let mut rng = rng(22);
        let mut counts = [0; 12];
        let pairs: Vec<_> =
            (1..=4).flat_map(|a| (1..=4).filter(move |b| *b != a).map(move |b| [id(a), id(b)])).collect();
        for _ in 0..24_000 {
            let path = path(&document, &id(9), &id(5), &ANY, &mut rng).unwrap();
            counts[pairs.iter().position(|pair| path.starts_with(pair)).unwrap()] += 1;
        }
        // 11 degrees of freedom: above 31.26 once in 1,000 seeds.
        assert!(chi_squared(&counts) < 31.26, "{counts:?}");
    }

    #[test]
    fn two_of_one_family_never_share_a_path_with_each_other_or_with_us() {
        let kin = Some("kin");
        let document = document([mix(1, kin), mix(2, kin), mix(3, kin), mix(4, None), exit_node(5), mix(6, None)]);
        let mut rng = rng(23);
        for _ in 0..500 {
            let path = path(&document, &id(9), &id(5), &ANY, &mut rng).unwrap();
            assert!(path.iter().filter(|hop| [id(1), id(2), id(3)].contains(hop)).count() < 2);
        }
        let from_kin: BTreeSet<_> =
            (0..100).flat_map(|_| path(&document, &id(1), &id(5), &ANY, &mut rng).unwrap()).collect();
        assert_eq!(from_kin, [id(4), id(5), id(6)].into());
    }

    #[test]
    fn an_exit_of_our_family_or_with_too_few_mixes_beside_it_is_not_chosen() {
        let kin = |n| (n, Descriptor { family: Some("kin".into()), ..descriptor(n) });
        let document = document([kin(1), kin(2), mix(3, None), mix(4, None), exit_node(5)]);
        let exits = [id(1), id(2), id(5)];
        let mut rng = rng(24);
        for _ in 0..50 {
            assert_eq!(exit(&document, &id(1), &exits, &ANY, &mut rng), Ok(id(5)));
        }
        assert_eq!(exit(&document, &id(1), &[id(1), id(2)], &ANY, &mut rng), Err(NotEnoughNodes));
        assert_eq!(path(&document, &id(1), &id(2), &ANY, &mut rng), Err(NotEnoughNodes));
        // From mix 3 to exit 1 only mix 4 is left: exit 1's kin can't stand on that path.
        assert_eq!(exit(&document, &id(3), &[id(1)], &ANY, &mut rng), Err(NotEnoughNodes));
    }

    #[test]
    fn exits_are_equally_likely() {
        let document = document((1..=5).map(|n| (n, descriptor(n))));
        let exits: Vec<_> = (1..=4).map(id).collect();
        let mut rng = rng(25);
        let mut counts = [0; 4];
        for _ in 0..8000 {
            let exit = exit(&document, &id(5), &exits, &ANY, &mut rng).unwrap();
            counts[exits.iter().position(|id| *id == exit).unwrap()] += 1;
        }
        // 3 degrees of freedom: above 16.27 once in 1,000 seeds.
        assert!(chi_squared(&counts) < 16.27, "{counts:?}");
    }

    #[test]
    fn the_network_says_how_many_hops() {
        for hops in 1..=4 {
            let mut contents = contents(1, 1, (1..=6).map(|n| (n, descriptor(n))));
            contents.params.hops = hops;
            let text = crate::directory::fixture::signed_text(&contents, [101]);
            let trust = crate::directory::fixture::trust(1, 1);
            let document = Document::verify(&text, &trust, crate::directory::fixture::at(1), None).unwrap();
            assert_eq!(path(&document, &id(1), &id(2), &ANY, &mut rng(26)).unwrap().len(), usize::from(hops));
        }
    }

    #[test]
    fn three_nodes_are_too_few_for_one_of_them_to_send_but_enough_for_an_entry() {
        let document = document((1..=3).map(|n| (n, descriptor(n))));
        assert_eq!(path(&document, &id(1), &id(2), &ANY, &mut rng(27)), Err(NotEnoughNodes));
        assert!(path(&document, &id(9), &id(2), &ANY, &mut rng(27)).is_ok());
    }

    /// Nodes by their numbers; 0 is any.
    fn chain(hops: &[u8]) -> Chain {
        Chain::from_hops(hops.iter().map(|&n| (n > 0).then(|| id(n))).collect())
    }

    #[test]
    fn a_path_goes_along_its_chain_and_the_rest_is_drawn_evenly() {
        let document = document((1..=6).map(|n| (n, descriptor(n))));
        let exits: Vec<_> = (1..=6).map(id).collect();
        let mut rng = rng(28);
        for wish in [[0, 0, 2], [3, 0, 2], [0, 3, 2], [3, 4, 2], [3, 0, 0], [0, 3, 0], [3, 4, 0]] {
            let chain = chain(&wish);
            let mut seen = BTreeSet::new();
            for _ in 0..300 {
                let exit = exit(&document, &id(1), &exits, &chain, &mut rng).unwrap();
                let path = path(&document, &id(1), &exit, &chain, &mut rng).unwrap();
                let obeys = |(hop, n): (&NodeId, &u8)| *n == 0 || *hop == id(*n);
                assert!(path.len() == 3 && path.iter().zip(&wish).all(obeys), "{wish:?}");
                assert_eq!(path.iter().collect::<BTreeSet<_>>().len(), 3);
                assert!(!path.contains(&id(1)));
                seen.insert(path);
            }
            let free = wish.iter().filter(|n| **n == 0).count();
            let ways: usize = (0..free).map(|taken| 5 - (3 - free) - taken).product();
            assert_eq!(seen.len(), ways, "{wish:?}");
        }
    }

    #[test]
    fn a_chain_that_no_path_can_go_along_is_impossible() {
        let kin = |n| (n, Descriptor { family: Some("kin".into()), ..descriptor(n) });
        let document = document([kin(1), kin(2), mix(3, None), mix(4, None), exit_node(5), exit_node(6), kin(7)]);
        let exits = exits_for(&document, &Address::parse("a@example.com").unwrap(), 1);
        for (me, wish, want) in [
            (9, [0, 0, 5], true),
            (9, [1, 3, 5], true),
            (9, [1, 0, 5], true),
            (9, [3, 3, 5], false),
            (9, [5, 0, 6], false),
            (9, [0, 0, 3], false),
            (9, [1, 2, 5], false),
            (9, [1, 0, 2], false),
            (9, [3, 0, 3], false),
            (3, [3, 0, 5], false),
            (1, [2, 0, 5], false),
            (1, [0, 0, 2], false),
            (5, [0, 0, 5], false),
            (3, [4, 0, 1], false),
            (3, [4, 0, 5], true),
            (9, [8, 0, 5], false),
        ] {
            let chain = chain(&wish);
            assert_eq!(is_possible(&document, &id(me), &exits, &chain), want, "{me}: {wish:?}");
            if !want {
                let path = path(&document, &id(me), &id(wish[2]), &chain, &mut rng(29));
                assert_eq!(path, Err(NotEnoughNodes), "{me}: {wish:?}");
            }
        }
    }
}
