//! Which way a packet goes. The same law for every sender: a private preference would be a fingerprint.

use super::chain::Chain;
use super::random::{below, choose};
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
/// One that the document calls unreliable is drawn only where no other is left, or where it is wished for.
///
/// # Errors
/// `NotEnoughNodes` if none is left.
pub fn exit(
    document: &Document,
    me: &NodeId,
    exits: &[NodeId],
    front: Front<'_>,
    rng: &mut impl CryptoRng,
) -> Result<NodeId, NotEnoughNodes> {
    last(document, me, exits, front, Mixes::Reliable, rng)
}

/// Which mixes may be drawn.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mixes {
    /// Those that the document doesn't call unreliable.
    Reliable,
    /// All: so that it is seen if one that had fallen comes up again.
    All,
}

fn last(
    document: &Document,
    me: &NodeId,
    among: &[NodeId],
    front: Front<'_>,
    drawn: Mixes,
    rng: &mut impl CryptoRng,
) -> Result<NodeId, NotEnoughNodes> {
    let usable: Vec<_> = among.iter().filter(|last| is_usable(document, me, last, front, drawn)).collect();
    let reliable: Vec<_> = usable.iter().copied().filter(|last| document.is_reliable(last)).collect();
    choose(if reliable.is_empty() { &usable } else { &reliable }, rng).map(|last| **last).ok_or(NotEnoughNodes)
}

/// Whether there is a path along `chain` to any of `exits`.
#[must_use]
pub fn is_possible(document: &Document, me: &NodeId, exits: &[NodeId], chain: &Chain) -> bool {
    exits.iter().any(|exit| is_usable(document, me, exit, Front { chain, firsts: &[], full: &[] }, Mixes::Reliable))
}

/// Whether a path along `chain` to `exit` can begin with `first`, where no other node is wished for in that place.
#[must_use]
pub fn may_begin(document: &Document, me: &NodeId, exit: &NodeId, chain: &Chain, first: &NodeId) -> bool {
    let mixes = chain.mixes(document);
    let left = mixes_left(document, me, exit, &mixes, Mixes::Reliable);
    matches!(mixes.first(), Some(None)) && left.is_some_and(|left| left.iter().any(|(id, _)| *id == first))
}

/// What stands in front of the last hop of a path.
#[derive(Clone, Copy, Debug)]
pub struct Front<'a> {
    /// Mixes that are named, in their places.
    pub chain: &'a Chain,
    /// One of these comes first, if none is named for that place; if none are given, any mix.
    pub firsts: &'a [NodeId],
    /// None of these comes behind the first hop, as long as there are others.
    pub full: &'a [NodeId],
}

impl Front<'_> {
    /// Those of `left` that may come first.
    fn begins<'l, 'a>(&self, left: &'l [(&'a NodeId, &'a Descriptor)]) -> Vec<&'l (&'a NodeId, &'a Descriptor)> {
        let firsts: Vec<_> = left.iter().filter(|(id, _)| self.firsts.is_empty() || self.firsts.contains(id)).collect();
        // Who names other hops has their wish, even if none of the first ones goes with them.
        if firsts.is_empty() && !self.chain.is_any() { left.iter().collect() } else { firsts }
    }

    /// Those of `left` that may come behind the first hop.
    fn goes_on<'l, 'a>(&self, left: &'l [(&'a NodeId, &'a Descriptor)]) -> Vec<&'l (&'a NodeId, &'a Descriptor)> {
        let with_room: Vec<_> = left.iter().filter(|(id, _)| !self.full.contains(id)).collect();
        if with_room.is_empty() { left.iter().collect() } else { with_room }
    }
}

/// The path of a mail to `exit`: the network's number of hops, the exit last. Before it come mixes: those that are wished
/// for, in their places, and each other one drawn uniformly from those that the document doesn't call unreliable and that
/// are neither on the path already, nor of the family of one that is, nor of ours.
///
/// # Errors
/// `NotEnoughNodes` if they don't suffice, one that is named can't stand there, or `exit` is no exit of the document, is
/// ourselves or of our family.
pub fn path(
    document: &Document,
    me: &NodeId,
    exit: &NodeId,
    front: Front<'_>,
    rng: &mut impl CryptoRng,
) -> Result<Vec<NodeId>, NotEnoughNodes> {
    if !is_exit(document, exit) {
        return Err(NotEnoughNodes);
    }
    along(document, me, exit, front, Mixes::Reliable, rng)
}

/// The path of cover traffic that nobody answers for: to an exit, drawn as the exits of mails are, or where there is no
/// other exit to any mix.
///
/// # Errors
/// `NotEnoughNodes` if there is no such path.
pub fn drop_path(
    document: &Document,
    me: &NodeId,
    firsts: &[NodeId],
    rng: &mut impl CryptoRng,
) -> Result<Vec<NodeId>, NotEnoughNodes> {
    let (chain, mixes) = (Chain::default(), all_mixes(document));
    let front = Front { chain: &chain, firsts, full: &[] };
    let end = last(document, me, &all_exits(document), front, Mixes::All, rng)
        .or_else(|_| last(document, me, &mixes, front, Mixes::All, rng))?;
    along(document, me, &end, front, Mixes::All, rng)
}

/// The path of a loop: as many hops as a mail's, then ourselves. One of `firsts` comes first. The last of the others is
/// drawn as the exits of mails are in one half of the cases, and is another one of `kept` in the other half, as it is for
/// receipts on their way to us: so nobody can tell a loop by the hop that it stands at. Those that `through` names are on it.
///
/// # Errors
/// `NotEnoughNodes` if there is no such path.
pub fn loop_path(
    document: &Document,
    me: &NodeId,
    firsts: &[NodeId],
    kept: &[NodeId],
    through: &Chain,
    rng: &mut impl CryptoRng,
) -> Result<Vec<NodeId>, NotEnoughNodes> {
    let front = Front { chain: through, firsts, full: &[] };
    let mixes = all_mixes(document);
    let exits: Vec<_> = mixes.iter().filter(|id| is_exit(document, id)).copied().collect();
    let end = if below(2, rng) == 0 { last(document, me, kept, front, Mixes::All, rng) } else { Err(NotEnoughNodes) };
    let end = end.or_else(|_| last(document, me, &exits, front, Mixes::All, rng));
    let end = end.or_else(|_| last(document, me, &mixes, front, Mixes::All, rng))?;
    let mut path = along(document, me, &end, front, Mixes::All, rng)?;
    path.push(*me);
    Ok(path)
}

/// The mixes that a packet of ours may go to first: those that the document doesn't call unreliable, if there are any.
#[must_use]
pub fn firsts(document: &Document, me: &NodeId) -> Vec<NodeId> {
    let ours = document.node(me);
    let is_free = |node: &Descriptor| ours.is_none_or(|ours| !are_kin(ours, node));
    let all: Vec<_> =
        document.nodes().filter(|(id, node)| node.mix && *id != me && is_free(node)).map(|(id, _)| *id).collect();
    let reliable: Vec<_> = all.iter().filter(|id| document.is_reliable(id)).copied().collect();
    // Where all have fallen, loops have to find out who comes up again.
    if reliable.is_empty() { all } else { reliable }
}

/// Whether one operator runs both, as they say.
#[must_use]
pub fn are_of_one_family(document: &Document, one: &NodeId, other: &NodeId) -> bool {
    document.node(one).zip(document.node(other)).is_some_and(|(one, other)| are_kin(one, other))
}

/// Whether it is an exit of the document.
#[must_use]
pub fn is_exit(document: &Document, id: &NodeId) -> bool {
    document.node(id).is_some_and(|node| node.exit.is_some())
}

/// All exits of the document, by id.
pub(super) fn all_exits(document: &Document) -> Vec<NodeId> {
    document.nodes().filter(|(_, node)| node.exit.is_some()).map(|(id, _)| *id).collect()
}

fn all_mixes(document: &Document) -> Vec<NodeId> {
    document.nodes().filter(|(_, node)| node.mix).map(|(id, _)| *id).collect()
}

/// A path to `last` along what is wished for.
fn along(
    document: &Document,
    me: &NodeId,
    last: &NodeId,
    front: Front<'_>,
    drawn: Mixes,
    rng: &mut impl CryptoRng,
) -> Result<Vec<NodeId>, NotEnoughNodes> {
    let mixes = front.chain.mixes(document);
    let mut left = mixes_left(document, me, last, &mixes, drawn).ok_or(NotEnoughNodes)?;
    let mut path = Vec::with_capacity(mixes.len() + 1);
    for named in mixes {
        if let Some(id) = named {
            path.push(id);
            continue;
        }
        let may_come = if path.is_empty() { front.begins(&left) } else { front.goes_on(&left) };
        let (id, node) = **choose(&may_come, rng).ok_or(NotEnoughNodes)?;
        path.push(*id);
        left.retain(|(other, candidate)| *other != id && !are_kin(node, candidate));
    }
    path.push(*last);
    Ok(path)
}

/// What chance may choose from once the mixes that are named have their places; `None` if one of them can't have it.
fn mixes_left<'a>(
    document: &'a Document,
    me: &NodeId,
    last: &NodeId,
    mixes: &[Option<NodeId>],
    drawn: Mixes,
) -> Option<Vec<(&'a NodeId, &'a Descriptor)>> {
    let mut left = mixes_beside(document, me, last)?;
    for named in mixes.iter().flatten() {
        let (id, node) = *left.iter().find(|(id, _)| *id == named)?;
        left.retain(|(other, candidate)| *other != id && !are_kin(node, candidate));
    }
    left.retain(|(id, _)| drawn == Mixes::All || document.is_reliable(id));
    Some(left)
}

/// The mixes that may stand on a path from us to `last`; `None` if there can be no such path.
fn mixes_beside<'a>(document: &'a Document, me: &NodeId, last: &NodeId) -> Option<Vec<(&'a NodeId, &'a Descriptor)>> {
    let end = document.node(last).filter(|_| last != me)?;
    let ours = document.node(me);
    if ours.is_some_and(|ours| are_kin(ours, end)) {
        return None;
    }
    let ends = [Some(end), ours];
    let free = |id: &NodeId, node: &Descriptor| {
        node.mix && id != me && id != last && !ends.iter().flatten().any(|end| are_kin(end, node))
    };
    Some(document.nodes().filter(|(id, node)| free(id, node)).collect())
}

fn is_usable(document: &Document, me: &NodeId, last: &NodeId, front: Front<'_>, drawn: Mixes) -> bool {
    if front.chain.exit().is_some_and(|wished| wished != last) {
        return false;
    }
    let mixes = front.chain.mixes(document);
    let Some(mut left) = mixes_left(document, me, last, &mixes, drawn) else { return false };
    let has_first = !matches!(mixes.first(), Some(None)) || !front.begins(&left).is_empty();
    let mut families: usize = 0;
    while let Some((_, node)) = left.pop() {
        families += 1;
        left.retain(|(_, other)| !are_kin(node, other));
    }
    has_first && families >= mixes.iter().filter(|named| named.is_none()).count()
}

pub(super) fn are_kin(one: &Descriptor, other: &Descriptor) -> bool {
    one.family.is_some() && one.family == other.family
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::random::tests::{chi_squared, rng};
    use super::*;
    use crate::directory::fixture::{contents, descriptor, document, key};
    use crate::directory::{Domains, ExitPolicy, Measured, Uptime};
    use std::collections::BTreeSet;

    const NOBODY: Chain = Chain::from_hops(Vec::new());
    const ANY: Front<'static> = Front { chain: &NOBODY, firsts: &[], full: &[] };

    pub(in super::super) fn id(n: u8) -> NodeId {
        key(n).node_id()
    }

    /// A node that is a mix and nothing else, of this family.
    pub(in super::super) fn mix(n: u8, family: Option<&str>) -> (u8, Descriptor) {
        (n, Descriptor { exit: None, family: family.map(str::to_owned), ..descriptor(n) })
    }

    pub(in super::super) fn exit_node(n: u8) -> (u8, Descriptor) {
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
            let path = path(&document, &id(1), &id(2), ANY, &mut rng).unwrap();
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
            let path = path(&document, &id(9), &id(3), ANY, &mut rng).unwrap();
            assert_eq!(path[..2].iter().collect::<BTreeSet<_>>(), [&id(1), &id(2)].into());
        }
        assert_eq!(path(&document, &id(9), &id(1), ANY, &mut rng), Err(NotEnoughNodes), "node 1 is no exit");
        assert_eq!(path(&document, &id(9), &id(8), ANY, &mut rng), Err(NotEnoughNodes), "node 8 is not there");
        assert_eq!(path(&document, &id(3), &id(3), ANY, &mut rng), Err(NotEnoughNodes), "never ourselves");
    }

    #[test]
    fn every_pair_of_mixes_is_equally_likely_in_either_order() {
        let document = document([mix(1, None), mix(2, None), mix(3, None), mix(4, None), exit_node(5)]);
        let mut rng = rng(22);
        let mut counts = [0; 12];
        let pairs: Vec<_> =
            (1..=4).flat_map(|a| (1..=4).filter(move |b| *b != a).map(move |b| [id(a), id(b)])).collect();
        for _ in 0..24_000 {
            let path = path(&document, &id(9), &id(5), ANY, &mut rng).unwrap();
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
            let path = path(&document, &id(9), &id(5), ANY, &mut rng).unwrap();
            assert!(path.iter().filter(|hop| [id(1), id(2), id(3)].contains(hop)).count() < 2);
        }
        let from_kin: BTreeSet<_> =
            (0..100).flat_map(|_| path(&document, &id(1), &id(5), ANY, &mut rng).unwrap()).collect();
        assert_eq!(from_kin, [id(4), id(5), id(6)].into());
    }

    #[test]
    fn an_exit_of_our_family_or_with_too_few_mixes_beside_it_is_not_chosen() {
        let kin = |n| (n, Descriptor { family: Some("kin".into()), ..descriptor(n) });
        let document = document([kin(1), kin(2), mix(3, None), mix(4, None), exit_node(5)]);
        let exits = [id(1), id(2), id(5)];
        let mut rng = rng(24);
        for _ in 0..50 {
            assert_eq!(exit(&document, &id(1), &exits, ANY, &mut rng), Ok(id(5)));
        }
        assert_eq!(exit(&document, &id(1), &[id(1), id(2)], ANY, &mut rng), Err(NotEnoughNodes));
        assert_eq!(path(&document, &id(1), &id(2), ANY, &mut rng), Err(NotEnoughNodes));
        // From mix 3 to exit 1 only mix 4 is left: exit 1's kin can't stand on that path.
        assert_eq!(exit(&document, &id(3), &[id(1)], ANY, &mut rng), Err(NotEnoughNodes));
    }

    #[test]
    fn exits_are_equally_likely() {
        let document = document((1..=5).map(|n| (n, descriptor(n))));
        let exits: Vec<_> = (1..=4).map(id).collect();
        let mut rng = rng(25);
        let mut counts = [0; 4];
        for _ in 0..8000 {
            let exit = exit(&document, &id(5), &exits, ANY, &mut rng).unwrap();
            counts[exits.iter().position(|id| *id == exit).unwrap()] += 1;
        }
        // 3 degrees of freedom: above 16.27 once in 1,000 seeds.
        assert!(chi_squared(&counts) < 16.27, "{counts:?}");
    }

    /// So many nodes in a network of so many hops.
    pub(in super::super) fn of_hops(hops: u8, nodes: u8) -> Document {
        let mut contents = contents(1, 1, (1..=nodes).map(|n| (n, descriptor(n))));
        contents.params.hops = hops;
        let text = crate::directory::fixture::signed_text(&contents, [101]);
        let trust = crate::directory::fixture::trust(1, 1);
        Document::verify(&text, &trust, crate::directory::fixture::at(1), None).unwrap()
    }

    #[test]
    fn the_network_says_how_many_hops() {
        for hops in 1..=4 {
            let document = of_hops(hops, 6);
            assert_eq!(path(&document, &id(1), &id(2), ANY, &mut rng(26)).unwrap().len(), usize::from(hops));
        }
    }

    #[test]
    fn three_nodes_are_too_few_for_one_of_them_to_send_but_enough_for_an_entry() {
        let document = document((1..=3).map(|n| (n, descriptor(n))));
        assert_eq!(path(&document, &id(1), &id(2), ANY, &mut rng(27)), Err(NotEnoughNodes));
        assert!(path(&document, &id(9), &id(2), ANY, &mut rng(27)).is_ok());
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
            let front = Front { chain: &chain, firsts: &[], full: &[] };
            let mut seen = BTreeSet::new();
            for _ in 0..300 {
                let exit = exit(&document, &id(1), &exits, front, &mut rng).unwrap();
                let path = path(&document, &id(1), &exit, front, &mut rng).unwrap();
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

    /// How many of 4,000 are a share of them, within five deviations.
    fn is_share(count: usize, share: f64) -> bool {
        let (count, n) = (f64::from(u32::try_from(count).unwrap()), 4000.0);
        (count - share * n).abs() < 5.0 * (share * (1.0 - share) * n).sqrt()
    }

    #[test]
    fn a_path_begins_with_a_kept_hop_and_where_that_is_its_exit_with_the_other() {
        let document = document((1..=6).map(|n| (n, descriptor(n))));
        let (firsts, all) = ([id(2), id(3)], (1..=6).map(id).collect::<Vec<_>>());
        let front = Front { chain: &NOBODY, firsts: &firsts, full: &[] };
        let mut rng = rng(30);
        let mut begins = [0; 2];
        for _ in 0..4000 {
            let exit = exit(&document, &id(1), &all, front, &mut rng).unwrap();
            let path = path(&document, &id(1), &exit, front, &mut rng).unwrap();
            assert!(firsts.contains(&path[0]) && path[2] == exit && path[0] != exit && path[1] != path[0]);
            begins[usize::from(path[0] == id(3))] += 1;
        }
        assert!(is_share(begins[0], 0.5), "{begins:?}");
        // Who names another first hop, or leaves the kept ones no place, has that.
        for (wish, first) in [([4, 0, 0], 4), ([0, 2, 3], 0)] {
            let chain = chain(&wish);
            let front = Front { chain: &chain, firsts: &firsts, full: &[] };
            let exit = exit(&document, &id(1), &all, front, &mut rng).unwrap();
            let path = path(&document, &id(1), &exit, front, &mut rng).unwrap();
            assert!(if first > 0 { path[0] == id(first) } else { !firsts.contains(&path[0]) }, "{wish:?}");
        }
        // Without a wish nobody else comes first.
        let only = Front { chain: &NOBODY, firsts: &[id(2)], full: &[] };
        assert_eq!(exit(&document, &id(1), &[id(2)], only, &mut rng), Err(NotEnoughNodes));
    }

    #[test]
    fn a_path_may_begin_with_whom_it_has_room_for_in_that_place() {
        let document = document((1..=6).map(|n| (n, descriptor(n))));
        let may = |hops: [Option<u8>; 3], first| {
            may_begin(&document, &id(1), &id(6), &Chain::from_hops(hops.map(|hop| hop.map(id)).to_vec()), &id(first))
        };
        assert!(may_begin(&document, &id(1), &id(6), &NOBODY, &id(2)));
        assert!(may([None, Some(3), None], 2) && may([None, None, Some(6)], 3));
        assert!(!may([None, Some(3), None], 3), "it comes later");
        assert!(!may([Some(3), None, None], 2) && !may([Some(3), None, None], 3), "who comes first is wished for");
        assert!(!may([None, None, None], 1) && !may([None, None, None], 6), "it stands at an end");
    }

    #[test]
    fn a_loop_ends_with_us_behind_an_exit_or_the_other_kept_hop_each_in_half_the_cases() {
        let document = document((1..=8).map(|n| if n < 5 { (n, descriptor(n)) } else { mix(n, None) }));
        let firsts = [id(5), id(6)];
        let mut rng = rng(31);
        let mut lasts = std::collections::BTreeMap::new();
        let mut between = BTreeSet::new();
        for _ in 0..4000 {
            let path = loop_path(&document, &id(1), &firsts, &firsts, &NOBODY, &mut rng).unwrap();
            assert!(path.len() == 4 && path[3] == id(1) && firsts.contains(&path[0]));
            assert_eq!(path.iter().collect::<BTreeSet<_>>().len(), 4);
            between.insert(path[1]);
            *lasts.entry(path[2]).or_insert(0) += 1;
        }
        let share = |n: u8| lasts[&id(n)];
        assert!(is_share(share(5) + share(6), 0.5) && is_share(share(5), 0.25), "{lasts:?}");
        assert!((2..=4).all(|n| is_share(share(n), 1.0 / 6.0)) && lasts.len() == 5, "{lasts:?}");
        assert_eq!(between.len(), 7, "the others are drawn from all mixes");
    }

    #[test]
    fn a_loop_comes_back_over_mixes_alone_and_without_another_exit_over_any() {
        let mixes = [mix(1, None), mix(2, None), mix(3, None), mix(4, None), mix(5, None)];
        let mut rng = rng(32);
        // An exit that passes nothing on can't be the last before us.
        for document in [document(mixes.clone().into_iter().chain([exit_node(6)])), document(mixes)] {
            let lasts: BTreeSet<_> = (0..200)
                .map(|_| loop_path(&document, &id(1), &[id(2)], &[id(2)], &NOBODY, &mut rng).unwrap()[2])
                .collect();
            assert_eq!(lasts, [id(3), id(4), id(5)].into());
        }
    }

    #[test]
    fn cover_ends_where_mail_does_and_without_an_exit_anywhere() {
        let mut rng = rng(33);
        let with_exits = document((1..=6).map(|n| if n < 5 { (n, descriptor(n)) } else { mix(n, None) }));
        let mut ends = std::collections::BTreeMap::new();
        for _ in 0..4000 {
            let path = drop_path(&with_exits, &id(1), &[id(5), id(6)], &mut rng).unwrap();
            assert!(path.len() == 3 && [id(5), id(6)].contains(&path[0]));
            *ends.entry(path[2]).or_insert(0) += 1;
        }
        assert!((2..=4).all(|n| is_share(ends[&id(n)], 1.0 / 3.0)), "{ends:?}");
        let without = document((1..=5).map(|n| mix(n, None)));
        let ends: BTreeSet<_> = (0..200).map(|_| drop_path(&without, &id(1), &[], &mut rng).unwrap()[2]).collect();
        assert_eq!(ends, (2..=5).map(id).collect());
        let too_small = document((1..=3).map(|n| mix(n, None)));
        assert_eq!(drop_path(&too_small, &id(1), &[], &mut rng), Err(NotEnoughNodes));
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
                let path = path(
                    &document,
                    &id(me),
                    &id(wish[2]),
                    Front { chain: &chain, firsts: &[], full: &[] },
                    &mut rng(29),
                );
                assert_eq!(path, Err(NotEnoughNodes), "{me}: {wish:?}");
            }
        }
    }

    /// A document of these mixes and exits, of which all but 1 have found these nodes wanting, by their numbers.
    fn judged(nodes: u8, found: &[(u8, u8)]) -> Document {
        let measured: Measured =
            found.iter().map(|(of, percent)| (id(*of), Uptime::from_percent(*percent).unwrap())).collect();
        let judge = |n| Descriptor { measured: (n > 1).then(|| measured.clone()), ..descriptor(n) };
        document((1..=nodes).map(|n| (n, judge(n))))
    }

    #[test]
    fn a_node_that_the_document_calls_unreliable_is_drawn_by_nobody() {
        let document = judged(8, &[(6, 85), (7, 90), (8, 0)]);
        let exits: Vec<_> = (1..=8).map(id).collect();
        let mut rng = rng(30);
        let mut seen = BTreeSet::new();
        for _ in 0..500 {
            let exit = exit(&document, &id(1), &exits, ANY, &mut rng).unwrap();
            seen.extend(path(&document, &id(1), &exit, ANY, &mut rng).unwrap());
        }
        assert_eq!(seen, [2, 3, 4, 5, 7].map(id).into(), "90 % are enough, 85 % are not");
        assert_eq!(firsts(&document, &id(1)).len(), 5);
        assert_eq!(firsts(&judged(3, &[(2, 0), (3, 0)]), &id(1)).len(), 2, "where two can't judge, nobody is judged");
    }

    #[test]
    fn loops_go_through_fallen_nodes_too_or_nobody_would_see_them_come_up_again() {
        let document = judged(8, &[(6, 85), (8, 0)]);
        let firsts = [id(2), id(3)];
        let mut rng = rng(34);
        let middles: BTreeSet<_> =
            (0..400).map(|_| loop_path(&document, &id(1), &firsts, &firsts, &NOBODY, &mut rng).unwrap()[1]).collect();
        assert!(middles.contains(&id(6)) && middles.contains(&id(8)), "{middles:?}");
        let through = chain(&[0, 8, 0]);
        for _ in 0..50 {
            assert_eq!(loop_path(&document, &id(1), &firsts, &firsts, &through, &mut rng).unwrap()[1], id(8));
        }
        let all: Vec<_> = (2..=8).map(|n| (n, 0)).collect();
        let fallen = judged(8, &all);
        let firsts = super::firsts(&fallen, &id(1));
        assert!(loop_path(&fallen, &id(1), &firsts, &firsts, &NOBODY, &mut rng).is_ok());
    }

    #[test]
    fn an_unreliable_node_is_taken_where_it_is_wished_for_or_the_only_exit() {
        let document = judged(8, &[(6, 85), (8, 0)]);
        let mut rng = rng(31);
        assert!(exit(&document, &id(1), &[id(6), id(8)], ANY, &mut rng).is_ok());
        let wish = chain(&[0, 6, 8]);
        let path = path(&document, &id(1), &id(8), Front { chain: &wish, firsts: &[], full: &[] }, &mut rng).unwrap();
        assert_eq!(path[1..], [id(6), id(8)]);
    }

    #[test]
    fn with_too_few_reliable_nodes_nothing_is_sent() {
        let exits: Vec<_> = (1..=5).map(id).collect();
        assert!(is_possible(&judged(5, &[(5, 85)]), &id(1), &exits, &NOBODY));
        let document = judged(5, &[(4, 85), (5, 85)]);
        assert!(!is_possible(&document, &id(1), &[id(2), id(3)], &NOBODY));
        assert_eq!(path(&document, &id(1), &id(2), ANY, &mut rng(32)), Err(NotEnoughNodes));
    }

    /// A sender whose loops somebody drops sees other nodes fail than everybody else. What it draws from must not change,
    /// or whoever drops loops would lead its mail, and its choice of nodes would tell it from others.
    #[test]
    fn attack_19_who_drops_a_senders_loops_changes_nothing_of_its_paths() {
        // By its own loops, all but 5, 6 and 7 fail.
        let lies: Measured =
            (2..=9).filter(|n| !(5..=7).contains(n)).map(|n| (id(n), Uptime::from_percent(0).unwrap())).collect();
        let measured = |n| match n {
            1 => Some(lies.clone()),
            2..=4 => Some(Measured::new()),
            _ => None,
        };
        let document = document((1..=9).map(|n| (n, Descriptor { measured: measured(n), ..descriptor(n) })));
        let mut rng = rng(33);
        let mut counts = [0; 7];
        for _ in 0..7000 {
            let path = path(&document, &id(1), &id(9), ANY, &mut rng).unwrap();
            counts[(2..=8).position(|n| path[1] == id(n)).unwrap()] += 1;
        }
        // 6 degrees of freedom: above 22.46 once in 1,000 seeds.
        assert!(chi_squared(&counts) < 22.46, "{counts:?}");
    }

    #[test]
    fn a_mix_that_carries_enough_gets_no_more_behind_the_first_hop_while_there_are_others() {
        let document = document((1..=6).map(|n| (n, descriptor(n))));
        let mut rng = rng(42);
        let mut firsts = BTreeSet::new();
        for _ in 0..500 {
            let front = Front { full: &[id(3), id(4)], ..ANY };
            let path = path(&document, &id(1), &id(2), front, &mut rng).unwrap();
            assert!([id(5), id(6)].contains(&path[1]), "{path:?}");
            firsts.insert(path[0]);
        }
        assert_eq!(firsts.len(), 4, "first hops are kept whatever they carry");
        let all = [3, 4, 5, 6].map(id);
        assert!(path(&document, &id(1), &id(2), Front { full: &all, ..ANY }, &mut rng).is_ok());
    }
}
