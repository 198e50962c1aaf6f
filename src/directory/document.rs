//! The directory document: the one set of keys that every sender uses, signed by m of n authorities.

use super::descriptor::{Descriptor, Signed, is_name};
use super::identity::{Identity, IdentityKey, Signature};
use super::lines::{Lines, Malformed, Wrong, base64, parse_base64, parse_hex, unquote};
use super::params::Params;
use super::units::parse_number;
use crate::id::{Epoch, NodeId};
use crate::time::Time;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use thiserror::Error;

/// Epochs a document is good for, its own included.
pub const VALID_EPOCHS: u64 = 3;
/// Most authorities of a document.
const MAX_AUTHORITIES: usize = 31;
/// Longest text of a document: about 2,000 nodes.
const MAX_LEN: usize = 32 << 20;
const FORMAT: &str = "format = \"fog directory document 1\"";

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

/// Smallest safe threshold for `authorities` of them: `⌈(n + f + 1) / 2⌉` with `f = ⌊(n − 1) / 3⌋` liars, none up to
/// three. With less, two documents of one epoch could both be signed.
#[must_use]
pub(super) const fn least_threshold(authorities: usize) -> usize {
    let liars = if authorities <= 3 { 0 } else { (authorities - 1) / 3 };
    (authorities + liars + 1).div_ceil(2)
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

/// Why a document is not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Rejected {
    /// Not enough authorities that we trust have signed.
    #[error("too few signatures: {have} of the {want} that are wanted")]
    TooFewSignatures {
        /// Good signatures of authorities we trust.
        have: usize,
        /// The higher of our threshold and the document's.
        want: usize,
    },
    /// A signature of an authority that the document doesn't list; or one we don't trust, where its signature is needed.
    #[error("signed by an unknown authority, {0}")]
    UnknownAuthority(NodeId),
    /// The authority didn't sign this.
    #[error("the signature of authority {0} does not hold")]
    BadSignature(NodeId),
    /// Older than the one we have.
    #[error("a rollback: it is of epoch {theirs}, ours of epoch {ours}")]
    Rollback {
        /// The epoch of the document we have.
        ours: Epoch,
        /// The epoch of this one.
        theirs: Epoch,
    },
    /// Not the one we have, but of the same epoch: authorities have signed twice.
    #[error("a fork: another document of epoch {0}, the epoch of ours")]
    Fork(Epoch),
    /// Its epoch has not begun.
    #[error("from the future: it is of epoch {theirs}, it is epoch {running} now")]
    FromTheFuture {
        /// The epoch of this document.
        theirs: Epoch,
        /// The running epoch.
        running: Epoch,
    },
    /// Its epochs are over.
    #[error("expired: it is of epoch {theirs} and good for {VALID_EPOCHS}, it is epoch {running} now")]
    Expired {
        /// The epoch of this document.
        theirs: Epoch,
        /// The running epoch.
        running: Epoch,
    },
    /// Two nodes have in common what they may not.
    #[error("two nodes with one {0}")]
    TwoNodes(Shared),
    /// A mix key that is none.
    #[error("line {0}: a bad mix key")]
    BadMixKey(usize),
    /// Not a document's text.
    #[error("{0}")]
    Malformed(Malformed),
}

impl From<Malformed> for Rejected {
    fn from(malformed: Malformed) -> Self {
        match malformed {
            Malformed { line, why: Wrong::MixKey } => Self::BadMixKey(line),
            other => Self::Malformed(other),
        }
    }
}

/// Whose signatures we believe, and how many of them we want.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trust {
    threshold: usize,
    fingerprints: BTreeSet<NodeId>,
}

impl Trust {
    /// Trust in `threshold` of the authorities with these fingerprints.
    ///
    /// # Errors
    /// The least threshold, if `threshold` is below it or above the number of authorities.
    pub fn new(threshold: usize, fingerprints: BTreeSet<NodeId>) -> Result<Self, usize> {
        let least = least_threshold(fingerprints.len());
        let fits = (least..=fingerprints.len()).contains(&threshold);
        if fits { Ok(Self { threshold, fingerprints }) } else { Err(least) }
    }
}

impl Contents {
    /// What of it `candidate` may not share with a node that is here under another id.
    #[must_use]
    pub fn clash(&self, candidate: &Descriptor) -> Option<Shared> {
        let id = candidate.id();
        let others = self.nodes.iter().filter(|(other, _)| **other != id);
        others.map(|(_, signed)| shared(signed.descriptor(), candidate)).find_map(|shared| shared)
    }

    fn to_text(&self) -> String {
        let mut text = format!("{FORMAT}\nepoch = {}\n", self.epoch);
        let mut line = |line: std::fmt::Arguments<'_>| writeln!(text, "{line}").expect("a String takes all");
        if let Some(previous) = self.previous {
            line(format_args!("previous = \"{}\"", NodeId(previous)));
        }
        line(format_args!("threshold = {}\n\n[params]", self.threshold));
        self.params.write(&mut text);
        for authority in self.authorities.values() {
            let identity = base64(authority.identity.as_bytes());
            writeln!(text, "\n[[authority]]\nname = \"{}\"\nidentity = \"{identity}\"", authority.name)
                .expect("a String takes all");
        }
        for node in self.nodes.values() {
            text.push('\n');
            text.push_str(&node.to_text());
        }
        text
    }

    fn read(lines: &mut Lines<'_>, text: &str) -> Result<Self, Rejected> {
        lines.literal(FORMAT)?;
        let epoch = Epoch(lines.number("epoch")?);
        let previous = lines.optional("previous", |value| parse_hex(unquote(value)?))?;
        let threshold = lines.value("threshold", |value| parse_number(value)?.try_into().ok())?;
        lines.literal("")?;
        lines.literal("[params]")?;
        let params = Params::read(lines)?;
        let authorities = read_authorities(lines, threshold)?;
        let nodes = read_nodes(lines, text)?;
        Ok(Self { epoch, previous, params, threshold, authorities, nodes })
    }
}

/// A well-formed document, signed or not, of which nobody has yet asked who signed it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Candidate {
    contents: Contents,
    signatures: BTreeMap<NodeId, Signature>,
    /// What is signed and hashed.
    body: String,
}

impl Candidate {
    /// A document that says `contents`, unsigned.
    ///
    /// # Errors
    /// Where `contents` breaks a rule of the grammar.
    pub fn new(contents: &Contents) -> Result<Self, Rejected> {
        Self::parse(&contents.to_text())
    }

    /// Reads a document. Every signature in it has to be of an authority in it, and to hold.
    ///
    /// # Errors
    /// Where and how the text breaks the grammar, or what in it is bad. Only the canonical text is taken.
    pub fn parse(text: &str) -> Result<Self, Rejected> {
        let mut lines = Lines::new(text, MAX_LEN)?;
        let contents = Contents::read(&mut lines, text)?;
        let body = text.get(..lines.offset()).unwrap_or_default().to_owned();
        let signatures = read_signatures(&mut lines, &contents, &body)?;
        if lines.is_at_end() {
            Ok(Self { contents, signatures, body })
        } else {
            Err(lines.expected("a signature line, or the end").into())
        }
    }

    /// What it says.
    #[must_use]
    pub const fn contents(&self) -> &Contents {
        &self.contents
    }

    /// SHA-256 of what is signed.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.body.as_bytes()).into()
    }

    /// Adds the signature of `key`. False if it is none of the authorities', and nothing is changed.
    pub fn sign(&mut self, key: &IdentityKey) -> bool {
        let id = key.node_id();
        let known = self.contents.authorities.contains_key(&id);
        if known {
            self.signatures.insert(id, key.sign(self.body.as_bytes()));
        }
        known
    }

    /// The authorities that have signed.
    pub fn signers(&self) -> impl Iterator<Item = NodeId> {
        self.signatures.keys().copied()
    }

    /// The text `parse` reads.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = self.body.clone();
        for (id, signature) in &self.signatures {
            writeln!(text, "signature {id} {}", base64(&signature.0)).expect("a String takes all");
        }
        text
    }

    fn check_signers(&self, trust: &Trust) -> Result<(), Rejected> {
        let (trusted, unknown): (Vec<NodeId>, Vec<NodeId>) =
            self.signers().partition(|id| trust.fingerprints.contains(id));
        let (have, want) = (trusted.len(), trust.threshold.max(self.contents.threshold));
        match unknown.first() {
            _ if have >= want => Ok(()),
            Some(id) => Err(Rejected::UnknownAuthority(*id)),
            None => Err(Rejected::TooFewSignatures { have, want }),
        }
    }
}

/// A document that enough authorities we trust have signed, and whose epoch has begun.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Document {
    candidate: Candidate,
    hash: [u8; 32],
    links: BTreeMap<[u8; 32], NodeId>,
}

impl Document {
    /// Takes a document that somebody gave us. `have` is the one we go by.
    ///
    /// # Errors
    /// Why it is not taken; the order is: what it is, who signed it, when it holds, what we have.
    pub fn verify(text: &str, trust: &Trust, now: Time, have: Option<&Self>) -> Result<Self, Rejected> {
        let document = Self::reopen(text, trust, now)?;
        let (theirs, running) = (document.epoch(), now.epoch(document.params().epoch));
        if now >= document.valid_until() {
            return Err(Rejected::Expired { theirs, running });
        }
        let Some(have) = have else { return Ok(document) };
        let ours = have.epoch();
        if theirs < ours {
            return Err(Rejected::Rollback { ours, theirs });
        }
        if theirs == ours && document.hash != have.hash {
            return Err(Rejected::Fork(ours));
        }
        Ok(document)
    }

    /// Takes the document that this node kept itself. It may have expired: with such a one nothing is sent, but what is
    /// on its way is still mixed.
    ///
    /// # Errors
    /// As `verify`, but never `Expired`, `Rollback` or `Fork`.
    pub fn reopen(text: &str, trust: &Trust, now: Time) -> Result<Self, Rejected> {
        let candidate = Candidate::parse(text)?;
        candidate.check_signers(trust)?;
        let contents = candidate.contents();
        let (theirs, running) = (contents.epoch, now.epoch(contents.params.epoch));
        if theirs > running {
            return Err(Rejected::FromTheFuture { theirs, running });
        }
        let links = contents.nodes.iter().map(|(id, signed)| (signed.descriptor().link_key, *id)).collect();
        Ok(Self { hash: candidate.hash(), candidate, links })
    }

    /// What it says.
    #[must_use]
    pub const fn contents(&self) -> &Contents {
        &self.candidate.contents
    }

    /// The epoch from whose start it holds.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.contents().epoch
    }

    /// When it stops being good to send by.
    #[must_use]
    pub fn valid_until(&self) -> Time {
        Time::epoch_start(self.epoch().plus(VALID_EPOCHS), self.params().epoch)
    }

    /// The network's parameters.
    #[must_use]
    pub const fn params(&self) -> &Params {
        &self.contents().params
    }

    /// SHA-256 of what was signed.
    #[must_use]
    pub const fn hash(&self) -> &[u8; 32] {
        &self.hash
    }

    /// What the node `id` says of itself.
    #[must_use]
    pub fn node(&self, id: &NodeId) -> Option<&Descriptor> {
        self.contents().nodes.get(id).map(Signed::descriptor)
    }

    /// All nodes, by id.
    pub fn nodes(&self) -> impl Iterator<Item = (&NodeId, &Descriptor)> {
        self.contents().nodes.iter().map(|(id, signed)| (id, signed.descriptor()))
    }

    /// The node that has this link key.
    #[must_use]
    pub fn by_link_key(&self, key: &[u8; 32]) -> Option<&NodeId> {
        self.links.get(key)
    }

    /// The authorities that have signed, trusted or not.
    pub fn signers(&self) -> impl Iterator<Item = NodeId> {
        self.candidate.signers()
    }

    /// The text it was read from.
    #[must_use]
    pub fn to_text(&self) -> String {
        self.candidate.to_text()
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

fn read_signatures(
    lines: &mut Lines<'_>,
    contents: &Contents,
    body: &str,
) -> Result<BTreeMap<NodeId, Signature>, Rejected> {
    let mut signatures = BTreeMap::new();
    while let Some(line) = lines.after("signature ") {
        let (id, signature) = parse_signature(line).ok_or(lines.wrong(Wrong::Value("signature")))?;
        if signatures.last_key_value().is_some_and(|(last, _)| *last >= id) {
            return Err(lines.wrong(Wrong::Order).into());
        }
        let authority = contents.authorities.get(&id).ok_or(Rejected::UnknownAuthority(id))?;
        if !authority.identity.verifies(body.as_bytes(), &signature) {
            return Err(Rejected::BadSignature(id));
        }
        signatures.insert(id, signature);
    }
    Ok(signatures)
}

fn parse_signature(line: &str) -> Option<(NodeId, Signature)> {
    let (id, signature) = line.split_once(' ')?;
    Some((NodeId(parse_hex(id)?), Signature(parse_base64(signature)?)))
}

fn shared(one: &Descriptor, other: &Descriptor) -> Option<Shared> {
    let checks = [
        (one.address == other.address, Shared::Address),
        (one.name == other.name, Shared::Name),
        (one.link_key == other.link_key, Shared::LinkKey),
    ];
    checks.into_iter().find_map(|(same, shared)| same.then_some(shared))
}
