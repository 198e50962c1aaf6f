//! The node's memory: one redb file for rows, one slab file for bodies, one key file.
#![allow(clippy::unimplemented, unused_variables, missing_debug_implementations)]

use crate::id::Epoch;
use crate::secret::Secret;
use rand_core::CryptoRng;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;
use zeroize::Zeroizing;

/// What a row is about; every shelf has its own redb table and its own row ids' meaning.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Shelf {
    /// Packets a mix holds until they are due.
    Pool,
    /// Mail the entry answers for.
    Spool,
    /// Fragments waiting for their send slot.
    Fragments,
    /// Parts of mail at the exit, until there are enough.
    Parts,
    /// Mail for the local MTA.
    Outbox,
}

/// Sets of 16-byte marks, one per epoch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Marks {
    /// Replay tags of a mix key.
    Replay,
    /// What an MTA has handed in already.
    Submitted,
    /// Message ids the exit has dealt with.
    Delivered,
}

/// A row's number: unique over all shelves, never given twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RowId(pub u64);

/// A row as the engine gets it back at opening.
#[derive(Debug)]
pub struct Row {
    /// Its number.
    pub id: RowId,
    /// The epoch whose spool key seals it.
    pub epoch: Epoch,
    /// What `put` or the last `set_meta` said.
    pub meta: Zeroizing<Vec<u8>>,
}

/// A row's content, as it was put.
#[derive(Debug)]
pub struct Content {
    /// The part that lies sealed.
    pub sealed: Zeroizing<Vec<u8>>,
    /// The part that lies as it is.
    pub raw: Vec<u8>,
}

/// How full the store is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Usage {
    /// Slots in use.
    pub slots: u64,
    /// Slots there are.
    pub slots_total: u64,
    /// Bytes on disk, slab and database.
    pub bytes: u64,
}

/// Why the store can't do it.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Another process has it open.
    #[error("{0}: another fog has it open")]
    Locked(PathBuf),
    /// The operating system refused.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// The store.
pub struct Store;

impl Store {
    /// Opens the store in `dir`.
    ///
    /// # Errors
    /// See `StoreError`.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        unimplemented!()
    }

    /// Opens the store on a disk in memory (simulation, tests).
    ///
    /// # Errors
    /// As `open`.
    pub fn on(disk: &MemoryDisk) -> Result<Self, StoreError> {
        unimplemented!()
    }

    /// Begins a transaction; dropped without `commit` it changes nothing.
    ///
    /// # Errors
    /// See `StoreError`.
    pub fn begin(&mut self) -> Result<Txn<'_>, StoreError> {
        unimplemented!()
    }

    /// Makes the missing keys of the epochs `from..=to`, durably.
    ///
    /// # Errors
    /// See `StoreError`.
    pub fn ensure_keys<R: CryptoRng>(&mut self, from: Epoch, to: Epoch, rng: &mut R) -> Result<(), StoreError> {
        unimplemented!()
    }

    /// The seed of the mix key of `epoch`.
    #[must_use]
    pub fn mix_seed(&self, epoch: Epoch) -> Option<&Secret<32>> {
        unimplemented!()
    }

    /// All rows of a shelf, by id, for the engine's index.
    ///
    /// # Errors
    /// See `StoreError`.
    pub fn rows(&self, shelf: Shelf) -> Result<Vec<Row>, StoreError> {
        unimplemented!()
    }

    /// A row's content.
    ///
    /// # Errors
    /// See `StoreError`.
    pub fn read(&self, shelf: Shelf, id: RowId) -> Result<Content, StoreError> {
        unimplemented!()
    }

    /// The epochs that have marks of this kind.
    pub fn mark_epochs(&self, kind: Marks) -> Vec<Epoch> {
        unimplemented!()
    }

    /// How many marks of this kind `epoch` has.
    #[must_use]
    pub fn mark_count(&self, kind: Marks, epoch: Epoch) -> u64 {
        unimplemented!()
    }

    /// How full it is.
    #[must_use]
    pub fn usage(&self) -> Usage {
        unimplemented!()
    }
}

/// One transaction.
pub struct Txn<'a>(&'a mut Store);

impl Txn<'_> {
    /// Puts a new row; it is there for this transaction at once, for everybody after `commit`.
    ///
    /// # Errors
    /// See `StoreError`. `Full` and `NoKey` leave the transaction as it was before the call.
    pub fn put<R: CryptoRng>(
        &mut self,
        shelf: Shelf,
        epoch: Epoch,
        meta: &[u8],
        sealed: &[u8],
        raw: &[u8],
        rng: &mut R,
    ) -> Result<RowId, StoreError> {
        unimplemented!()
    }

    /// Replaces a row's meta and seals it under the key of `epoch`; its content stays where it is.
    ///
    /// # Errors
    /// See `StoreError`; `NoRow` if there is none.
    pub fn set_meta<R: CryptoRng>(
        &mut self,
        shelf: Shelf,
        id: RowId,
        epoch: Epoch,
        meta: &[u8],
        rng: &mut R,
    ) -> Result<(), StoreError> {
        unimplemented!()
    }

    /// Deletes a row.
    ///
    /// # Errors
    /// See `StoreError`; `NoRow` if there is none.
    pub fn delete(&mut self, shelf: Shelf, id: RowId) -> Result<(), StoreError> {
        unimplemented!()
    }

    /// A row's content, this transaction's changes included.
    ///
    /// # Errors
    /// See `StoreError`; `NoRow` if there is none.
    pub fn read(&self, shelf: Shelf, id: RowId) -> Result<Content, StoreError> {
        unimplemented!()
    }

    /// Sets a mark; false if it was there.
    ///
    /// # Errors
    /// See `StoreError`.
    pub fn mark(&mut self, kind: Marks, epoch: Epoch, mark: [u8; 16]) -> Result<bool, StoreError> {
        unimplemented!()
    }

    /// Whether a mark is set.
    ///
    /// # Errors
    /// See `StoreError`.
    pub fn marked(&self, kind: Marks, epoch: Epoch, mark: &[u8; 16]) -> Result<bool, StoreError> {
        unimplemented!()
    }

    /// Forgets all marks of one kind and epoch.
    pub fn drop_marks(&mut self, kind: Marks, epoch: Epoch) {
        unimplemented!()
    }

    /// Makes it all durable: when this returns, it is on disk.
    ///
    /// # Errors
    /// See `StoreError`; the store then refuses further use (`Stopped`).
    pub fn commit(self) -> Result<(), StoreError> {
        unimplemented!()
    }
}

/// A disk in memory: what a process has written to it outlives the `Store`; a clone is the same disk.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk;

impl MemoryDisk {
    /// From now on, `n` more writes or syncs work, and then none: the power goes.
    pub fn fail_after(&self, n: u64) {
        unimplemented!()
    }

    /// Another disk, as this one is after a power cut: each unsynced write is there, not there, or torn.
    #[must_use]
    pub fn after_power_cut<R: CryptoRng>(&self, rng: &mut R) -> Self {
        unimplemented!()
    }
}
