//! Loops: packets of this node to itself, which nobody can tell from mail. That they come back shows that mail arrives.

use super::Batch;
use super::build;
use super::relay::Relay;
use super::rows::Loop;
use crate::directory::Document;
use crate::id::NodeId;
use crate::message::payload::Payload;
use crate::mix::route;
use crate::store::{RowId, Shelf, Store, StoreError};
use rand_core::CryptoRng;
use std::collections::BTreeMap;

/// Epochs for which a loop is remembered after it was due: what is told of a node reaches back as far.
const REMEMBERED: u32 = 12;

/// The loops that left here, those under way and those whose outcome counts still.
#[derive(Debug, Default)]
pub(super) struct Loops {
    rows: BTreeMap<RowId, Loop>,
    /// By what they carry.
    marks: BTreeMap<[u8; 32], RowId>,
}

impl Loops {
    pub(super) fn open(store: &Store) -> Result<Self, StoreError> {
        let mut loops = Self::default();
        for row in store.rows(Shelf::Loops)? {
            loops.insert(row.id, Loop::decode(&row.meta)?);
        }
        Ok(loops)
    }

    /// Sends one. False if there is no path for it, or no room.
    pub(super) fn send<R: CryptoRng>(
        &mut self,
        batch: &mut Batch<'_, '_, R>,
        document: &Document,
        relay: &mut Relay,
        firsts: &[NodeId],
    ) -> Result<bool, StoreError> {
        let mut mark = [0; 32];
        batch.rng.fill_bytes(&mut mark);
        let payload = Payload::Loop(mark).encode(batch.rng);
        let me = batch.setup.me;
        let draw = |rng: &mut R| route::loop_path(document, &me, firsts, rng).ok();
        let Some(built) = build::deliver(batch, document, &payload, draw) else { return Ok(false) };
        if !relay.send_own(batch, &built)? {
            return Ok(false);
        }
        let path = built.path.iter().filter(|id| **id != me).copied().collect();
        let row = Loop { mark, path, left: built.leaves, due: built.ends, back: None };
        let id = batch.txn.put(Shelf::Loops, batch.epoch, &row.encode(), &[], &[], batch.rng)?;
        self.insert(id, row);
        batch.counts.loops += 1;
        Ok(true)
    }

    fn insert(&mut self, id: RowId, row: Loop) {
        self.marks.insert(row.mark, id);
        self.rows.insert(id, row);
    }

    /// A loop has come to light here, one of ours or what somebody takes for one.
    pub(super) fn back<R: CryptoRng>(
        &mut self,
        batch: &mut Batch<'_, '_, R>,
        mark: &[u8; 32],
    ) -> Result<(), StoreError> {
        let known = self.marks.get(mark).and_then(|id| Some((*id, self.rows.get_mut(id)?)));
        let Some((id, row)) = known.filter(|(_, row)| row.back.is_none()) else {
            batch.counts.dropped += 1;
            return Ok(());
        };
        row.back = Some(batch.now);
        batch.counts.loops_back += 1;
        batch.txn.set_meta(Shelf::Loops, id, batch.epoch, &row.encode(), batch.rng)
    }

    /// Forgets those that are too old to say anything of a node as it is.
    pub(super) fn expire<R>(&mut self, batch: &mut Batch<'_, '_, R>) -> Result<(), StoreError> {
        let oldest = batch.now.minus(batch.epoch_length * REMEMBERED);
        // In the order in which they left, which is nearly that in which they are due.
        while let Some(first) = self.rows.first_entry().filter(|first| first.get().due < oldest) {
            let (id, row) = first.remove_entry();
            self.marks.remove(&row.mark);
            batch.txn.delete(Shelf::Loops, id)?;
        }
        Ok(())
    }
}
