//! What one authority would have the next document say, and who of them has seen it say so.

use super::contents::{Authority, Contents};
use super::document::{read_signatures, write_signatures};
use super::identity::{IdentityKey, Signature};
use super::lines::{Lines, Malformed, Wrong, parse_hex};
use super::rejected::Rejected;
use crate::id::NodeId;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The first line of a vote: no document's and no descriptor's text begins with it, so that no signature under one of
/// these can be shown as one under another.
pub(super) const HEADER: &str = "[[vote]]";

/// Longest text of a vote: about 3,000 nodes. Two of each of the most authorities there can be still leave room for
/// descriptors in what one shows: else a liar's could keep what is honest from being read.
const MAX_VOTE: usize = 448 << 10;

/// What one authority would have the document of an epoch say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Vote {
    pub(super) authority: NodeId,
    /// Everything but the nodes.
    pub(super) frame: Contents,
    /// The hash of each node's descriptor.
    pub(super) nodes: BTreeMap<NodeId, [u8; 32]>,
}

impl Vote {
    /// That of `authority` for `contents`.
    pub(super) fn of(authority: NodeId, contents: &Contents) -> Self {
        let hash = |text: String| <[u8; 32]>::from(Sha256::digest(text.as_bytes()));
        let nodes = contents.nodes.iter().map(|(id, node)| (*id, hash(node.to_text()))).collect();
        let frame = Contents { nodes: BTreeMap::new(), ..contents.clone() };
        Self { authority, frame, nodes }
    }

    fn to_text(&self) -> String {
        let mut text = format!("{HEADER}\nauthority = \"{}\"\n", self.authority);
        self.frame.write_frame(&mut text);
        for (id, hash) in &self.nodes {
            writeln!(text, "node {id} {}", NodeId(*hash)).expect("a String takes all");
        }
        text
    }

    fn read(lines: &mut Lines<'_>) -> Result<Self, Malformed> {
        let start = lines.offset();
        lines.literal(HEADER)?;
        let authority = NodeId(lines.string("authority", parse_hex)?);
        let frame = Contents::read_frame(lines)?;
        let mut nodes = BTreeMap::new();
        while let Some(line) = lines.after("node ") {
            let (id, hash) = parse_node(line).ok_or(lines.wrong(Wrong::Value("node")))?;
            if nodes.last_key_value().is_some_and(|(last, _)| *last >= id) {
                return Err(lines.wrong(Wrong::Order));
            }
            if lines.offset() - start > MAX_VOTE {
                return Err(lines.wrong(Wrong::TooLong));
            }
            nodes.insert(id, hash);
        }
        Ok(Self { authority, frame, nodes })
    }
}

fn parse_node(line: &str) -> Option<(NodeId, [u8; 32])> {
    let (id, hash) = line.split_once(' ')?;
    Some((NodeId(parse_hex(id)?), parse_hex(hash)?))
}

/// A vote and the signatures under it: its authority's own, and those of the ones that have it from each other.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Witnessed {
    pub(super) vote: Vote,
    /// What is signed.
    text: String,
    pub(super) signatures: BTreeMap<NodeId, Signature>,
}

impl Witnessed {
    /// `vote`, which is of the authority with this key.
    pub(super) fn new(vote: Vote, key: &IdentityKey) -> Self {
        let mut this = Self { text: vote.to_text(), vote, signatures: BTreeMap::new() };
        this.sign(key);
        this
    }

    pub(super) fn sign(&mut self, key: &IdentityKey) {
        self.signatures.insert(key.node_id(), key.sign(self.text.as_bytes()));
    }

    /// Whether both are one vote, whoever has signed.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.text == other.text
    }

    pub(super) fn write(&self, text: &mut String) {
        text.push('\n');
        text.push_str(&self.text);
        write_signatures(text, &self.signatures);
    }

    /// Reads what `write` wrote after the empty line. Every signature has to be of one of `authorities`, and to hold; one
    /// has to be that of the vote's own.
    pub(super) fn read(
        lines: &mut Lines<'_>,
        text: &str,
        authorities: &BTreeMap<NodeId, Authority>,
    ) -> Result<Self, Rejected> {
        let start = lines.offset();
        let vote = Vote::read(lines)?;
        let text = text.get(start..lines.offset()).unwrap_or_default().to_owned();
        let signatures = read_signatures(lines, authorities, &text)?;
        if signatures.contains_key(&vote.authority) {
            Ok(Self { vote, text, signatures })
        } else {
            Err(Rejected::BadSignature(vote.authority))
        }
    }
}
