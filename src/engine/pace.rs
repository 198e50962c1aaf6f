//! How often an exit sends: as often as everybody, or so many times as often as the answers that it owes need.

use super::Batch;
use super::rows::{VERSION, read};
use crate::directory::Params;
use crate::id::Epoch;
use crate::mix::pace::{Pace, next};
use crate::store::{RowId, Shelf, Store, StoreError};
use crate::wire::{Malformed, Reader, Writer};
use rand_core::CryptoRng;

/// The pace of this epoch, over restarts: a restart that changed it would say that there was one.
#[derive(Debug, Default)]
pub(super) struct Paces {
    row: Option<RowId>,
    kept: Kept,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Kept {
    epoch: Epoch,
    pace: Pace,
    /// Answers that messages have asked for since the epoch began.
    owed: u64,
}

impl Kept {
    fn encode(self) -> Vec<u8> {
        let mut w = Writer::with_capacity(32);
        w.u8(VERSION).u64(self.epoch.0).u8(self.pace.times()).u64(self.owed);
        w.finish()
    }

    fn decode(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        let epoch = Epoch(r.u64()?);
        Ok(Self { epoch, pace: Pace::of(r.u8()?).ok_or(Malformed)?, owed: r.u64()? })
    }
}

impl Paces {
    pub(super) fn open(store: &Store) -> Result<Self, StoreError> {
        let Some(row) = store.rows(Shelf::Pace)?.pop() else { return Ok(Self::default()) };
        Ok(Self { row: Some(row.id), kept: read(&row.meta, Kept::decode)? })
    }

    /// The pace of this epoch. `owed` answers have been asked for since it was asked last; `waiting` are to be given.
    pub(super) fn renew<R: CryptoRng>(
        &mut self,
        batch: &mut Batch<'_, '_, R>,
        params: &Params,
        owed: u64,
        waiting: u64,
    ) -> Result<Pace, StoreError> {
        let mut kept = self.kept;
        kept.owed = kept.owed.saturating_add(owed);
        let now = batch.now.epoch(batch.epoch_length);
        if now > kept.epoch {
            kept = Kept { epoch: now, pace: next(kept.pace, kept.owed.max(waiting), params), owed: 0 };
        }
        if kept != self.kept {
            self.write(batch, kept)?;
        }
        Ok(kept.pace)
    }

    fn write<R: CryptoRng>(&mut self, batch: &mut Batch<'_, '_, R>, kept: Kept) -> Result<(), StoreError> {
        let meta = kept.encode();
        match self.row {
            Some(row) => batch.txn.set_meta(Shelf::Pace, row, batch.epoch, &meta, batch.rng)?,
            None => self.row = Some(batch.txn.put(Shelf::Pace, batch.epoch, &meta, &[], &[], batch.rng)?),
        }
        self.kept = kept;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_comes_back_as_it_was_written() {
        let pace = Pace::of(8).unwrap();
        let row = Kept { epoch: Epoch(7), pace, owed: 9 };
        assert_eq!(read(&row.encode(), Kept::decode).unwrap(), row);
        let mut broken = row.encode();
        broken[9] = 3;
        assert!(read(&broken, Kept::decode).is_err(), "no pace");
    }
}
