//! Which way a packet goes. The same law for every sender: a private preference would be a fingerprint.

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

/// One of `exits`, each as likely, leaving out ourselves and those to which no path can be made.
///
/// # Errors
/// `NotEnoughNodes` if none is left.
pub fn exit(
    document: &Document,
    me: &NodeId,
    exits: &[NodeId],
    rng: &mut impl CryptoRng,
) -> Result<NodeId, NotEnoughNodes> {
    let usable: Vec<_> = exits.iter().filter(|exit| is_usable(document, me, exit)).collect();
    choose(&usable, rng).map(|exit| **exit).ok_or(NotEnoughNodes)
}

/// The path of a mail to `exit`: the network's number of hops, the exit last. Before it come mixes, each drawn uniformly
/// from those that are neither on the path already, nor of the family of one that is, nor of ours.
///
/// # Errors
/// `NotEnoughNodes` if they don't suffice, or `exit` is no exit of the document, is ourselves or of our family.
pub fn path(
    document: &Document,
    me: &NodeId,
    exit: &NodeId,
    rng: &mut impl CryptoRng,
) -> Result<Vec<NodeId>, NotEnoughNodes> {
    let mut left = mixes_beside(document, me, exit).ok_or(NotEnoughNodes)?;
    let mut path = Vec::with_capacity(usize::from(document.params().hops));
    for _ in 1..document.params().hops {
        let (id, node) = *choose(&left, rng).ok_or(NotEnoughNodes)?;
        path.push(*id);
        left.retain(|(other, candidate)| *other != id && !are_kin(node, candidate));
    }
    path.push(*exit);
    Ok(path)
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

fn is_usable(document: &Document, me: &NodeId, exit: &NodeId) -> bool {
    let Some(mut left) = mixes_beside(document, me, exit) else { return false };
    let mut families: usize = 1;
    while let Some((_, node)) = left.pop() {
        families += 1;
        left.retain(|(_, other)| !are_kin(node, other));
    }
    families >= usize::from(document.params().hops)
}

fn are_kin(one: &Descriptor, other: &Descriptor) -> bool {
    one.family.is_some() && one.family == other.family
}
