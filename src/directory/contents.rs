//! What a directory document says.

use super::descriptor::{Descriptor, Signed, is_name};
use super::identity::Identity;
use super::lines::{Lines, Malformed, Wrong, base64, parse_base64, parse_hex, unquote};
use super::params::Params;
use super::rejected::Rejected;
use super::units::parse_number;
use crate::id::{Epoch, NodeId};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use thiserror::Error;

/// Most authorities of a document.
pub(super) const MAX_AUTHORITIES: usize = 31;
pub(super) const FORMAT: &str = "format = \"fog directory document 1\"";

/// One of those who sign the document.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Authority {
    /// For people; written as a node's name is.
    pub name: String,
    /// Whose signature counts.
    pub identity: Identity,
}

/// What a document says. As a value it claims nothing: see `Candidate` and `Document`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Contents {
    /// The epoch from whose start it holds.
    pub epoch: Epoch,
    /// The hash of the document before it; none for a network's first.
    pub previous: Option<[u8; 32]>,
    /// The network's parameters.
    pub params: Params,
    /// How many authorities have to sign.
    pub threshold: usize,
    /// Who signs, by fingerprint.
    pub authorities: BTreeMap<NodeId, Authority>,
    /// The nodes, by id.
    pub nodes: BTreeMap<NodeId, Signed>,
}

/// How many of `authorities` may lie, at most, and change nothing; none up to three.
pub(super) const fn liars(authorities: usize) -> usize {
    if authorities <= 3 { 0 } else { (authorities - 1) / 3 }
}

/// Smallest safe threshold for `authorities` of them: `⌈(n + f + 1) / 2⌉` with `f = ⌊(n − 1) / 3⌋` liars, none up to
/// three. With less, two documents of one epoch could both be signed.
#[must_use]
pub const fn least_threshold(authorities: usize) -> usize {
    (authorities + liars(authorities) + 1).div_ceil(2)
}

/// What two nodes may not have in common.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Shared {
    /// One is the other.
    #[error("identity")]
    Identity,
    /// Who dials one reaches the other.
    #[error("address")]
    Address,
    /// People couldn't tell them apart.
    #[error("name")]
    Name,
    /// A link couldn't tell them apart.
    #[error("link key")]
    LinkKey,
}

impl Contents {
    /// What of it `candidate` may not share with a node that is here under another id.
    #[must_use]
    pub fn clash(&self, candidate: &Descriptor) -> Option<Shared> {
        let id = candidate.id();
        let others = self.nodes.iter().filter(|(other, _)| **other != id);
        others.map(|(_, signed)| shared(signed.descriptor(), candidate)).find_map(|shared| shared)
    }

    /// Whether the network's parameters allow nodes where `candidate` is reached.
    #[must_use]
    pub fn has_room_for(&self, candidate: &Descriptor) -> bool {
        !self.params.only_onions || candidate.address.is_onion()
    }

    /// Whether epochs go on being counted as by `before`: at another length every number means another time, so that keys
    /// live now would be over, and those published of no use to anybody. A network with other epochs is another network.
    ///
    /// # Errors
    /// `OtherEpochs` if they don't.
    pub fn keeps_epochs_of(&self, before: &Self) -> Result<(), Rejected> {
        let (ours, theirs) = (before.params.epoch, self.params.epoch);
        if ours == theirs { Ok(()) } else { Err(Rejected::OtherEpochs { ours, theirs }) }
    }

    pub(super) fn to_text(&self) -> String {
        let mut text = format!("{FORMAT}\n");
        self.write_frame(&mut text);
        for node in self.nodes.values() {
            text.push('\n');
            text.push_str(&node.to_text());
        }
        text
    }

    /// Writes everything but the nodes.
    pub(super) fn write_frame(&self, text: &mut String) {
        let mut line = |line: std::fmt::Arguments<'_>| writeln!(text, "{line}").expect("a String takes all");
        line(format_args!("epoch = {}", self.epoch));
        if let Some(previous) = self.previous {
            line(format_args!("previous = \"{}\"", NodeId(previous)));
        }
        line(format_args!("threshold = {}\n\n[params]", self.threshold));
        self.params.write(text);
        for authority in self.authorities.values() {
            let identity = base64(authority.identity.as_bytes());
            writeln!(text, "\n[[authority]]\nname = \"{}\"\nidentity = \"{identity}\"", authority.name)
                .expect("a String takes all");
        }
    }

    pub(super) fn read(lines: &mut Lines<'_>, text: &str) -> Result<Self, Rejected> {
        lines.literal(FORMAT)?;
        let frame = Self::read_frame(lines)?;
        let contents = Self { nodes: read_nodes(lines, text)?, ..frame };
        let stranger = contents.nodes.iter().find(|(_, node)| !contents.has_room_for(node.descriptor()));
        stranger.map_or(Ok(()), |(id, _)| Err(Rejected::NoOnion(*id)))?;
        Ok(contents)
    }

    /// Reads what `write_frame` wrote; there are no nodes in it.
    pub(super) fn read_frame(lines: &mut Lines<'_>) -> Result<Self, Malformed> {
        let epoch = Epoch(lines.number("epoch")?);
        let previous = lines.optional("previous", |value| parse_hex(unquote(value)?))?;
        let threshold = lines.value("threshold", |value| parse_number(value)?.try_into().ok())?;
        lines.literal("")?;
        lines.literal("[params]")?;
        let params = Params::read(lines)?;
        let authorities = read_authorities(lines, threshold)?;
        Ok(Self { epoch, previous, params, threshold, authorities, nodes: BTreeMap::new() })
    }
}

fn read_authorities(lines: &mut Lines<'_>, threshold: usize) -> Result<BTreeMap<NodeId, Authority>, Malformed> {
    let mut authorities = BTreeMap::new();
    while lines.block("[[authority]]") {
        lines.literal("[[authority]]")?;
        let name = lines.string("name", |text| is_name(text).then(|| text.to_owned()))?;
        let identity = lines.string("identity", |text| Identity::parse(&parse_base64(text)?))?;
        let id = identity.id();
        let ascending = authorities.last_key_value().is_none_or(|(last, _)| *last < id);
        if !ascending || authorities.len() == MAX_AUTHORITIES {
            return Err(lines.wrong(Wrong::Order));
        }
        authorities.insert(id, Authority { name, identity });
    }
    if authorities.is_empty() {
        return Err(lines.expected("[[authority]]"));
    }
    if !(least_threshold(authorities.len())..=authorities.len()).contains(&threshold) {
        return Err(lines.wrong(Wrong::Threshold));
    }
    Ok(authorities)
}

fn read_nodes(lines: &mut Lines<'_>, text: &str) -> Result<BTreeMap<NodeId, Signed>, Rejected> {
    let mut nodes: BTreeMap<NodeId, Signed> = BTreeMap::new();
    let (mut names, mut addresses, mut link_keys) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    while lines.block("[[node]]") {
        let node = Signed::read(lines, text)?;
        let descriptor = node.descriptor();
        let id = descriptor.id();
        let unique = [
            (nodes.contains_key(&id), Shared::Identity),
            (!addresses.insert(descriptor.address.clone()), Shared::Address),
            (!names.insert(descriptor.name.clone()), Shared::Name),
            (!link_keys.insert(descriptor.link_key), Shared::LinkKey),
        ];
        if let Some((_, shared)) = unique.into_iter().find(|(twice, _)| *twice) {
            return Err(Rejected::TwoNodes(shared));
        }
        if nodes.last_key_value().is_some_and(|(last, _)| *last > id) {
            return Err(lines.wrong(Wrong::Order).into());
        }
        nodes.insert(id, node);
    }
    Ok(nodes)
}

fn shared(one: &Descriptor, other: &Descriptor) -> Option<Shared> {
    let checks = [
        (one.address == other.address, Shared::Address),
        (one.name == other.name, Shared::Name),
        (one.link_key == other.link_key, Shared::LinkKey),
    ];
    checks.into_iter().find_map(|(same, shared)| same.then_some(shared))
}
