//! The slab: one file of slots of equal size, and which of them are free.
//!
//! It knows nothing of rows. A slot that no committed row names is free; so the free list needs no place on disk, and
//! a crash between writing slots and committing the rows that name them costs nothing.

use super::disk::Backing;
use super::{StoreError, io_error};
use std::collections::BTreeSet;
use std::io::ErrorKind;

/// Length of a slot: whole 4 KiB pages, so that writing one never has to read, and room for a packet, its next header
/// and its hop keys.
pub const SLOT_LEN: usize = 69_632;

/// Slots a file grows by, 16.7 MB: zeros are written in advance, so that a full disk is met here and not in the
/// middle of a batch, and committing needs no new extents.
const FILE_GROWTH: u32 = 240;

/// Bytes that a slab in a file grows by at once.
pub const STEP: u64 = FILE_GROWTH as u64 * SLOT_LEN as u64;

/// Slots a slab in memory grows by.
const MEMORY_GROWTH: u32 = 8;

pub(super) struct Slab {
    file: Backing,
    total: u32,
    free: BTreeSet<u32>,
    /// Bytes that the file may still grow by.
    growth: u64,
}

impl Slab {
    /// A slab over `file` with every slot free; the rows then `claim` theirs.
    pub(super) fn open(file: Backing) -> Result<Self, StoreError> {
        let len = file.len().map_err(io_error("slab"))?;
        let total = u32::try_from(len / SLOT_LEN as u64)
            .map_err(|_| StoreError::Damaged("slab: longer than a slab can be".to_owned()))?;
        Ok(Self { file, total, free: (0..total).collect(), growth: u64::MAX })
    }

    /// Takes the slots of a row that is there already. False if one is beyond the end, or taken.
    #[must_use]
    pub(super) fn claim(&mut self, slots: &[u32]) -> bool {
        slots.iter().all(|slot| self.free.remove(slot))
    }

    pub(super) const fn total(&self) -> u32 {
        self.total
    }

    pub(super) fn used(&self) -> u64 {
        u64::from(self.total).saturating_sub(self.free.len() as u64)
    }

    pub(super) fn len(&self) -> Result<u64, StoreError> {
        self.file.len().map_err(io_error("slab"))
    }

    /// Lets the file grow by so many bytes from here on.
    pub(super) const fn allow_growth(&mut self, bytes: u64) {
        self.growth = bytes;
    }

    /// Takes `n` free slots, the lowest first, growing the file where they don't suffice.
    ///
    /// # Errors
    /// `Full` if there is no room to grow, or it may not; nothing is taken then.
    pub(super) fn take(&mut self, n: usize) -> Result<Vec<u32>, StoreError> {
        while self.free.len() < n {
            self.grow()?;
        }
        Ok((0..n).filter_map(|_| self.free.pop_first()).collect())
    }

    /// Gives slots back.
    pub(super) fn give(&mut self, slots: impl IntoIterator<Item = u32>) {
        self.free.extend(slots);
    }

    /// Writes `content` into `slots`, which it fills exactly; not durable before `sync`.
    pub(super) fn write(&self, slots: &[u32], content: &[u8]) -> Result<(), StoreError> {
        for (&slot, part) in slots.iter().zip(content.chunks(SLOT_LEN)) {
            self.file.write(offset(slot), part).map_err(io_error("slab"))?;
        }
        Ok(())
    }

    /// Fills `out` with the bytes that `slots`, taken as one, have from `from` on.
    ///
    /// # Errors
    /// `Io`, also if they end before `out` is full.
    pub(super) fn read(&self, slots: &[u32], from: usize, mut out: &mut [u8]) -> Result<(), StoreError> {
        let mut skip = from % SLOT_LEN;
        let mut slots = slots.iter().skip(from / SLOT_LEN);
        while !out.is_empty() {
            let slot = slots.next().ok_or_else(|| io_error("slab")(ErrorKind::UnexpectedEof.into()))?;
            let (part, rest) = out.split_at_mut(out.len().min(SLOT_LEN - skip));
            self.file.read(offset(*slot).saturating_add(skip as u64), part).map_err(io_error("slab"))?;
            (out, skip) = (rest, 0);
        }
        Ok(())
    }

    pub(super) fn sync(&self) -> Result<(), StoreError> {
        self.file.sync().map_err(io_error("slab"))
    }

    fn grow(&mut self) -> Result<(), StoreError> {
        let by = match self.file {
            Backing::File(_) => FILE_GROWTH,
            Backing::Memory(_) => MEMORY_GROWTH,
        };
        let total = self.total.checked_add(by).ok_or(StoreError::Full)?;
        let growth = self.growth.checked_sub(offset(by)).ok_or(StoreError::Full)?;
        let zeros = [0; SLOT_LEN];
        if let Err(error) = (self.total..total).try_for_each(|slot| self.file.write(offset(slot), &zeros)) {
            // What was gained would be given to nobody: it is better given back to the disk.
            self.file.set_len(offset(self.total)).map_err(io_error("slab"))?;
            return Err(io_error("slab")(error));
        }
        self.free.extend(self.total..total);
        self.total = total;
        self.growth = growth;
        Ok(())
    }
}

fn offset(slot: u32) -> u64 {
    u64::from(slot).saturating_mul(SLOT_LEN as u64)
}
