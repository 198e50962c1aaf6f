//! One call of [`Engine::handle`](super::Engine::handle).

use super::bounds::Bounds;
use super::figures::Counts;
use super::ports::Output;
use super::quota::Quota;
use super::replies::Replies;
use super::setup::Setup;
use super::witness::Book;
use crate::directory::{Document, Params};
use crate::id::{Epoch, MessageId, NodeId};
use crate::message::payload::{Class, Status};
use crate::sphinx::geometry::SURB_LEN;
use crate::store::{Marks, StoreError, Txn};
use crate::time::Time;
use std::collections::BTreeSet;
use std::time::Duration;

/// Epochs for which a mail that came is known again: an MTA gives up after five days.
pub(super) const REMEMBERED: u64 = 6;

/// One call of `handle`: the transaction, and what every decision needs to see.
pub(super) struct Batch<'a, 's, R> {
    pub(super) txn: Txn<'s>,
    pub(super) now: Time,
    pub(super) rng: &'a mut R,
    pub(super) out: Vec<Output>,
    pub(super) setup: &'a Setup,
    pub(super) document: Option<&'a Document>,
    pub(super) before: &'a BTreeSet<NodeId>,
    pub(super) forked: Option<Epoch>,
    pub(super) counts: &'a mut Counts,
    pub(super) book: &'a mut Book,
    pub(super) quota: &'a mut Quota,
    pub(super) replies: &'a mut Replies,
    /// The spool key under which rows without a due time of their own are sealed.
    pub(super) epoch: Epoch,
    pub(super) epoch_length: Duration,
    /// The first epoch that is not proved to be over: there may be no keys of those before.
    pub(super) least: Epoch,
    /// For how long packets may ask to be held.
    pub(super) bounds: &'a Bounds,
    /// Whether something is wrong with the clock. Then nothing is sent, and what is sent to us is not refused by it.
    pub(super) clock_is_wrong: bool,
    /// Whether the disk has no more room for the spool.
    pub(super) disk_is_low: bool,
    pub(super) params: &'a Params,
    /// Slots that mail of this node had in use when the batch began, and has taken since.
    pub(super) ours: u64,
}

impl<'a, R> Batch<'a, '_, R> {
    /// Whether there can ever be a link to `node`: by the document, or by the one before, by which nodes let in still.
    pub(super) fn is_known(&self, node: &NodeId) -> bool {
        self.before.contains(node) || self.document.is_some_and(|document| document.node(node).is_some())
    }

    /// The document by which this node may send; none if it has expired, if the clock is wrong, or if it is one of two of its
    /// epoch: somebody was shown another network, and it may be us.
    pub(super) fn sends_by(&self) -> Option<&'a Document> {
        let document = self.document.filter(|document| !self.clock_is_wrong && self.now < document.valid_until())?;
        (self.forked < Some(document.epoch())).then_some(document)
    }

    /// The epoch that `at` falls in; where a clock that is behind says one whose keys are gone, the first that isn't.
    pub(super) fn epoch_of(&self, at: Time) -> Epoch {
        at.epoch(self.epoch_length).max(self.least)
    }

    /// Whether mail of this node fills its part of what the operator allows. Counted in slots in use: files don't shrink.
    pub(super) const fn is_full(&self) -> bool {
        self.ours >= self.setup.rooms().own
    }

    /// Whether a mark was set in this epoch or one of the last few.
    pub(super) fn remembered(&self, kind: Marks, mark: &[u8; 16]) -> Result<bool, StoreError> {
        self.remembered_for(REMEMBERED, kind, mark)
    }

    /// Whether a mark was set in this epoch or one of so many before it.
    pub(super) fn remembered_for(&self, epochs: u64, kind: Marks, mark: &[u8; 16]) -> Result<bool, StoreError> {
        for age in 0..=epochs {
            if self.txn.marked(kind, self.epoch.minus(age), mark)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What is remembered of a message under `kind`: nothing that anybody else who knew it would know again.
    pub(super) fn mark_of(&self, kind: Marks, id: &MessageId) -> [u8; 16] {
        let label: &[u8] = match kind {
            Marks::Replay => b"replay",
            Marks::Submitted => b"submitted",
            Marks::Delivered => b"delivered",
        };
        self.mark(id, label)
    }

    /// What is remembered, among the messages dealt with, of a message with which it came to this.
    pub(super) fn fate_mark(&self, id: &MessageId, status: Status, class: Class) -> [u8; 16] {
        self.mark(id, &[b'f', status.code(), class.digit()])
    }

    /// What is remembered, among the messages dealt with, of a reply block that came with one.
    pub(super) fn surb_mark(&self, surb: &[u8; SURB_LEN]) -> [u8; 16] {
        self.mark_bytes(surb, b"surb")
    }

    fn mark(&self, id: &MessageId, label: &[u8]) -> [u8; 16] {
        self.mark_bytes(&id.0, label)
    }

    fn mark_bytes(&self, bytes: &[u8], label: &[u8]) -> [u8; 16] {
        let mut mark = [0; 16];
        let mut hash = blake3::Hasher::new_keyed(self.setup.dedup_key.expose());
        hash.update(bytes).update(label).finalize_xof().fill(&mut mark);
        mark
    }
}
