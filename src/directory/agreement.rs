//! How m of n authorities come to one document an epoch, whatever a few of them do (docs/spec-directory.md, "Agreement").
//!
//! Each says what it would have the document say: its vote. Votes go round in rounds, and who takes one signs it; in the
//! nth round a vote is taken only with n signatures. So what one of them takes in any round all others can still take in
//! the next, and after as many rounds as there can be liars, and one, all who are honest have the same votes: a liar can
//! neither show its vote to some alone nor come so late with it that only some still take it (Dolev and Strong, 1983).
//! Who shows two votes has none. From equal votes come equal documents, byte for byte, and those are signed.
//!
//! Pure: who brings what others say, and at what time, is the node's business.

use super::contents::{Contents, liars};
use super::descriptor::Signed;
use super::document::{Candidate, MAX_DOCUMENT, read_unchecked_signatures, write_signatures};
use super::identity::{IdentityKey, Signature};
use super::lines::Lines;
use super::rejected::Rejected;
use super::vote::{self, Vote, Witnessed};
use crate::id::{Epoch, NodeId};
use crate::time::Time;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use thiserror::Error;

const FORMAT: &str = "format = \"fog directory agreement 1\"";

/// Longest text that goes from one authority to another.
pub const MAX_AGREEMENT: usize = MAX_DOCUMENT;

/// Two votes of one authority are enough to know it for a liar.
const MOST_OF_ONE: usize = 2;

/// Where an agreement stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// It has not begun.
    Before,
    /// Votes go round; the first round is 1.
    Round(usize),
    /// No vote is taken any more: the document is made, and signatures go round.
    Signing,
    /// The epoch that the document is for has begun.
    Over,
}

/// When what happens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Schedule {
    start: Time,
    round: Duration,
    rounds: usize,
    end: Time,
}

impl Schedule {
    /// That of the document for `epoch`, between the authorities of the document `current`: from the middle of the epoch
    /// before it on, in rounds of a 48th of an epoch. That is three times what clocks may differ by.
    #[must_use]
    pub fn new(epoch: Epoch, current: &Contents) -> Self {
        let length = current.params.epoch;
        let authorities = current.authorities.len();
        // One more than there can be liars; with nobody else to ask, one; else two, as one that stops in the middle has
        // shown its vote to some.
        let rounds = (liars(authorities) + 1).max(authorities.min(2));
        let end = Time::epoch_start(epoch, length);
        Self { start: end.minus(length / 2), round: length / 48, rounds, end }
    }

    /// When votes begin to go round. Who is not there by then has no vote.
    #[must_use]
    pub const fn start(&self) -> Time {
        self.start
    }

    /// How long a round is.
    #[must_use]
    pub const fn round(&self) -> Duration {
        self.round
    }

    /// Where the agreement stands at `now`.
    #[must_use]
    pub fn phase(&self, now: Time) -> Phase {
        if now < self.start {
            return Phase::Before;
        }
        if now >= self.end {
            return Phase::Over;
        }
        let since = now.since(self.start);
        let passed =
            (0..self.rounds).take_while(|round| since >= self.round * u32::try_from(*round).unwrap_or(u32::MAX));
        let round = passed.count();
        let over = since >= self.round * u32::try_from(self.rounds).unwrap_or(u32::MAX);
        if over { Phase::Signing } else { Phase::Round(round) }
    }
}

/// Why there is no document.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum NoDocument {
    /// Too few authorities have a vote.
    #[error("{have} authorities have a vote, {want} are wanted")]
    TooFewVotes {
        /// How many have one.
        have: usize,
        /// The threshold.
        want: usize,
    },
    /// Too few agree on parameters, authorities and the document before.
    #[error("too few authorities agree on the parameters, the authorities and the document before")]
    NoFrame,
    /// A descriptor that is to be in it hasn't come yet.
    #[error("a descriptor is missing")]
    NoDescriptor,
    /// What most would have it say makes no document.
    #[error("what they agree on makes no document: {0}")]
    Bad(#[from] Rejected),
}

/// What one authority knows of the agreement on one document.
#[derive(Debug)]
pub struct Agreement {
    epoch: Epoch,
    /// The document in use, whose authorities agree on the next.
    current: Contents,
    /// By their authorities.
    votes: BTreeMap<NodeId, Vec<Witnessed>>,
    /// By hash.
    descriptors: BTreeMap<[u8; 32], Signed>,
    /// What we have signed, and who has signed the same.
    document: Option<Candidate>,
}

impl Agreement {
    /// Begins it, for the document of `epoch`, between the authorities of `current`.
    #[must_use]
    pub fn new(epoch: Epoch, current: Contents) -> Self {
        let mut this = Self { epoch, current, votes: BTreeMap::new(), descriptors: BTreeMap::new(), document: None };
        let nodes: Vec<_> = this.current.nodes.values().cloned().collect();
        nodes.into_iter().for_each(|node| this.keep(node));
        this
    }

    /// Goes on, after a restart, with what this authority showed before.
    ///
    /// # Errors
    /// What is wrong with `shown`.
    pub fn resume(epoch: Epoch, current: Contents, shown: &str, key: &IdentityKey) -> Result<Self, Rejected> {
        let mut this = Self::new(epoch, current);
        // As if no round had begun: all of it has been taken before, each in its time.
        this.take(shown, Phase::Round(0), key)?;
        Ok(this)
    }

    /// Says what the authority with this key would have the document say; once, when the first round begins. Nothing, if
    /// it is none of them.
    pub fn vote(&mut self, contents: &Contents, key: &IdentityKey) {
        let me = key.node_id();
        if !self.current.authorities.contains_key(&me) || self.votes.contains_key(&me) {
            return;
        }
        let contents = Contents { epoch: self.epoch, ..contents.clone() };
        contents.nodes.values().for_each(|node| self.keep(node.clone()));
        self.votes.insert(me, vec![Witnessed::new(Vote::of(me, &contents), key)]);
    }

    /// What the authority with the id `me` shows to others. Of descriptors those that its own vote names and the document
    /// in use lacks: what is to be in the next one is in the vote of one who is honest, and liars can't make us carry theirs.
    #[must_use]
    pub fn to_text(&self, me: &NodeId) -> String {
        let mut text = format!("{FORMAT}\n");
        self.votes.values().flatten().for_each(|vote| vote.write(&mut text));
        let in_use: BTreeSet<_> = self.current.nodes.values().map(hash).collect();
        let new = self.named_by(me).filter(|hash| !in_use.contains(*hash));
        for descriptor in new.filter_map(|hash| self.descriptors.get(hash)) {
            text.push('\n');
            text.push_str(&descriptor.to_text());
        }
        if let Some(document) = &self.document {
            text.push_str("\n[document]\n");
            write_signatures(&mut text, document.signatures());
        }
        text
    }

    /// Takes what another authority shows, in `phase`. `key` is ours.
    ///
    /// # Errors
    /// What is wrong with the text; nothing of it is taken then.
    pub fn take(&mut self, text: &str, phase: Phase, key: &IdentityKey) -> Result<(), Rejected> {
        let shown = Shown::parse(text, &self.current)?;
        if let Phase::Round(round) = phase {
            shown.votes.into_iter().for_each(|vote| self.take_vote(vote, round, key));
        }
        let wanted = self.wanted(&key.node_id());
        for descriptor in shown.descriptors.into_iter().filter(|node| wanted.contains(&hash(node))) {
            self.keep(descriptor);
        }
        if let Some(document) = &mut self.document {
            // Those under another document are none under ours.
            for (authority, signature) in shown.signatures {
                document.add_signature(authority, signature);
            }
        }
        Ok(())
    }

    fn take_vote(&mut self, mut vote: Witnessed, round: usize, key: &IdentityKey) {
        let (me, author) = (key.node_id(), vote.vote.authority);
        let signers = vote.signatures.keys().filter(|signer| **signer != me).count();
        if vote.vote.frame.epoch != self.epoch || signers < round {
            return;
        }
        let of_author = self.votes.entry(author).or_default();
        if of_author.len() >= MOST_OF_ONE || of_author.iter().any(|known| known.is(&vote)) {
            return;
        }
        if self.current.authorities.contains_key(&me) {
            vote.sign(key);
        }
        of_author.push(vote);
    }

    fn keep(&mut self, descriptor: Signed) {
        self.descriptors.insert(hash(&descriptor), descriptor);
    }

    /// The hashes of the descriptors that the votes of this authority name.
    fn named_by(&self, authority: &NodeId) -> impl Iterator<Item = &[u8; 32]> {
        self.votes.get(authority).into_iter().flatten().flat_map(|vote| vote.vote.nodes.values())
    }

    /// The hashes of the descriptors to be kept: our own, and those that more votes name than there can be liars. Those of
    /// liars alone would fill the memory.
    fn wanted(&self, me: &NodeId) -> BTreeSet<[u8; 32]> {
        let mut counts: BTreeMap<[u8; 32], usize> = BTreeMap::new();
        for of_one in self.votes.keys() {
            let named: BTreeSet<_> = self.named_by(of_one).copied().collect();
            named.into_iter().for_each(|hash| *counts.entry(hash).or_default() += 1);
        }
        let liars = liars(self.current.authorities.len());
        let enough = counts.into_iter().filter(|(_, count)| *count > liars).map(|(hash, _)| hash);
        enough.chain(self.named_by(me).copied()).collect()
    }

    /// Whether this authority has said what it would have.
    #[must_use]
    pub fn has_voted(&self, authority: &NodeId) -> bool {
        self.votes.contains_key(authority)
    }

    /// The authorities that have a vote: one, and not two.
    pub fn voters(&self) -> impl Iterator<Item = NodeId> {
        self.votes.iter().filter(|(_, votes)| only(votes).is_some()).map(|(id, _)| *id)
    }

    /// Those who have signed what we have signed, and we ourselves; nobody before that.
    pub fn signers(&self) -> impl Iterator<Item = NodeId> {
        self.document.iter().flat_map(Candidate::signers)
    }

    /// The epoch that the document is for.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The document that comes from the votes, unsigned. To be asked for when the rounds are over.
    ///
    /// # Errors
    /// Why there is none, or none yet.
    pub fn document(&self) -> Result<Candidate, NoDocument> {
        let votes: Vec<&Vote> = self.votes.values().filter_map(|of_one| only(of_one)).collect();
        let want = self.current.threshold;
        if votes.len() < want {
            return Err(NoDocument::TooFewVotes { have: votes.len(), want });
        }
        let same_epochs = |frame: &Contents| frame.keeps_epochs_of(&self.current).is_ok();
        let enough = |frame: &Contents| votes.iter().filter(|vote| vote.frame == *frame).count() >= want;
        let mut frames = votes.iter().map(|vote| &vote.frame);
        let frame = frames.find(|frame| same_epochs(frame) && enough(frame)).ok_or(NoDocument::NoFrame)?;
        let mut contents = frame.clone();
        contents.nodes = self.nodes(&votes)?;
        // Liars can have their votes name what makes no document; it is no reason for none.
        let allowed = frame.clone();
        contents.nodes.retain(|_, node| allowed.has_room_for(node.descriptor()));
        self.fall_back(&votes, &mut contents);
        Ok(Candidate::new(&contents)?)
    }

    /// The nodes of which enough authorities have the same descriptor. Any two of those are both in the vote of one who is
    /// honest, so that no two of them share what they may not.
    fn nodes(&self, votes: &[&Vote]) -> Result<BTreeMap<NodeId, Signed>, NoDocument> {
        let mut counts: BTreeMap<(&NodeId, &[u8; 32]), usize> = BTreeMap::new();
        votes.iter().flat_map(|vote| &vote.nodes).for_each(|entry| *counts.entry(entry).or_default() += 1);
        let enough = counts.into_iter().filter(|(_, count)| *count >= self.current.threshold);
        let found = enough.map(|((id, hash), _)| {
            let descriptor = self.descriptors.get(hash).ok_or(NoDocument::NoDescriptor)?;
            // The hash is of one node's descriptor: an honest vote names it under that node's id.
            Ok((*id, descriptor.clone()))
        });
        found.collect()
    }

    /// A node that has just given a new descriptor to some of them stays with the one in use: enough authorities have it,
    /// if not the same way.
    fn fall_back(&self, votes: &[&Vote], contents: &mut Contents) {
        for (id, known) in &self.current.nodes {
            let have = votes.iter().filter(|vote| vote.nodes.contains_key(id)).count();
            let known_node = known.descriptor();
            let free = !contents.nodes.contains_key(id) && contents.clash(known_node).is_none();
            let free = free && contents.has_room_for(known_node);
            if have >= self.current.threshold && free {
                contents.nodes.insert(*id, known.clone());
            }
        }
    }

    /// Signs `document`, once. That this authority has signed it is to be on disk before.
    pub fn sign(&mut self, mut document: Candidate, key: &IdentityKey) {
        if self.document.is_none() && document.sign(key) {
            self.document = Some(document);
        }
    }

    /// The document, when enough have signed it.
    #[must_use]
    pub fn signed(&self) -> Option<&Candidate> {
        let document = self.document.as_ref()?;
        let want = self.current.threshold.max(document.contents().threshold);
        (document.signatures().len() >= want).then_some(document)
    }
}

/// The vote of an authority that has shown one.
fn only(votes: &[Witnessed]) -> Option<&Vote> {
    match votes {
        [one] => Some(&one.vote),
        _ => None,
    }
}

fn hash(descriptor: &Signed) -> [u8; 32] {
    Sha256::digest(descriptor.to_text().as_bytes()).into()
}

/// What an authority shows to others.
struct Shown {
    votes: Vec<Witnessed>,
    descriptors: Vec<Signed>,
    signatures: BTreeMap<NodeId, Signature>,
}

impl Shown {
    fn parse(text: &str, current: &Contents) -> Result<Self, Rejected> {
        let mut lines = Lines::new(text, MAX_AGREEMENT)?;
        lines.literal(FORMAT)?;
        let (mut votes, mut descriptors) = (Vec::new(), Vec::new());
        while lines.block(vote::HEADER) {
            if votes.len() >= MOST_OF_ONE * current.authorities.len() {
                return Err(lines.expected("[[node]]").into());
            }
            votes.push(Witnessed::read(&mut lines, text, &current.authorities)?);
        }
        while lines.block("[[node]]") {
            descriptors.push(Signed::read(&mut lines, text)?);
        }
        let signatures = if lines.block("[document]") {
            lines.literal("[document]")?;
            read_unchecked_signatures(&mut lines)?
        } else {
            BTreeMap::new()
        };
        if lines.is_at_end() {
            Ok(Self { votes, descriptors, signatures })
        } else {
            Err(lines.expected("the end").into())
        }
    }
}

#[cfg(test)]
mod tests;
