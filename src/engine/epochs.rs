//! What dies with an epoch, and in which order.
//!
//! Its mix key, its replay tags, and the key that rows are sealed under. First every row that is left is sealed under the
//! key of the running epoch, some of them in each batch; when that is committed, the record of both keys is overwritten;
//! then the tags go. So a crash at any point leaves no row without its key and no key without its tags.

use super::bounds::Bounds;
use super::keys::AHEAD;
use super::proof::Proof;
use super::rows::Noted;
use super::{Batch, StoreError};
use crate::directory::Document;
use crate::id::Epoch;
use crate::store::{RowId, Shelf, Store};
use crate::time::Time;
use rand_core::CryptoRng;
use std::ops::RangeInclusive;
use std::time::Duration;

/// Rows that are sealed anew in one batch: some milliseconds.
const SEALED_AT_ONCE: usize = 256;

/// Keys that are destroyed in one batch: each is a sync of its own.
const DESTROYED_AT_ONCE: usize = 16;

/// What is known of the time beyond the clock, and which keys are to go.
#[derive(Debug, Default)]
pub(super) struct Epochs {
    proof: Proof,
    /// The uptime last heard of.
    up: Option<Duration>,
    /// The row that says all this after a restart, and what it says.
    row: Option<RowId>,
    noted: Noted,
    /// An epoch whose keys are to go as soon as no row needs them.
    dying: Option<Epoch>,
    /// Epochs whose keys have gone, and nobody has been told of.
    gone: Vec<Epoch>,
}

impl Epochs {
    /// Reads what was noted: with it, the bounds of documents before, and what the clock said last.
    pub(super) fn open(store: &Store) -> Result<(Self, Bounds, Time), StoreError> {
        let mut epochs = Self::default();
        for row in store.rows(Shelf::Notes)? {
            (epochs.row, epochs.noted) = (Some(row.id), Noted::decode(&row.meta)?);
        }
        epochs.proof = epochs.noted.proof;
        let (bounds, clock) = (epochs.noted.bounds.clone(), epochs.noted.clock);
        Ok((epochs, bounds, clock))
    }

    /// A document was verified.
    pub(super) fn document(&mut self, document: &Document) {
        self.proof.document(document);
    }

    /// The machine has been up for so long.
    pub(super) fn uptime(&mut self, up: Duration) {
        let last = self.up.replace(up).unwrap_or(up);
        self.proof.up = self.proof.up.saturating_add(up.saturating_sub(last));
    }

    /// The first epoch, for epochs of this length, that is not proved to be over.
    pub(super) fn least(&self, length: Duration) -> Epoch {
        self.proof.least(length)
    }

    /// The epochs whose keys have gone since this was asked last.
    pub(super) fn take_gone(&mut self) -> Vec<Epoch> {
        std::mem::take(&mut self.gone)
    }

    /// Other keys are in the place of these.
    pub(super) fn add_gone(&mut self, epochs: &[Epoch]) {
        self.gone.extend_from_slice(epochs);
    }

    /// Whether there is something to do without delay.
    pub(super) const fn is_busy(&self) -> bool {
        self.dying.is_some()
    }

    /// Destroys the keys that are out of use and that no row needs any more. `used` are the epochs that `now` may need
    /// keys of; `made_by_mistake` says of later ones whether a clock that was wrong has made them.
    pub(super) fn destroy(
        &mut self,
        store: &mut Store,
        used: &RangeInclusive<Epoch>,
        least: Epoch,
        made_by_mistake: impl Fn(Epoch) -> bool,
    ) -> Result<(), StoreError> {
        let far = used.end().plus(AHEAD + 1);
        let is_to_go =
            |epoch: &Epoch| (*epoch < *used.start() && *epoch < least) || (*epoch > far && made_by_mistake(*epoch));
        for _ in 0..DESTROYED_AT_ONCE {
            self.dying = store.key_epochs().find(is_to_go);
            let Some(epoch) = self.dying else { break };
            if !store.destroy_keys(epoch)? {
                break;
            }
            self.gone.push(epoch);
        }
        Ok(())
    }

    /// Seals some rows of the dying key anew, and notes what has to be known after a restart.
    pub(super) fn work<R: CryptoRng>(&mut self, batch: &mut Batch<'_, '_, R>, clock: Time) -> Result<(), StoreError> {
        if let Some(epoch) = self.dying {
            batch.txn.seal_anew(epoch, batch.epoch, SEALED_AT_ONCE, batch.rng)?;
        }
        let noted = Noted { proof: self.proof, clock, bounds: batch.bounds.clone() };
        if !self.noted.is_outdated(&noted, batch.epoch_length / 24) {
            return Ok(());
        }
        match self.row {
            Some(row) => batch.txn.set_meta(Shelf::Notes, row, batch.epoch, &noted.encode(), batch.rng)?,
            None => self.row = Some(batch.txn.put(Shelf::Notes, batch.epoch, &noted.encode(), &[], &[], batch.rng)?),
        }
        self.noted = noted;
        Ok(())
    }
}
