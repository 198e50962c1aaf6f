//! The first hops of all that this node sends, over restarts.

use super::Batch;
use super::relay::Relay;
use super::rows::{decode_firsts, encode_firsts};
use crate::directory::Document;
use crate::id::NodeId;
use crate::mix::firsts::Firsts;
use crate::store::{RowId, Shelf, Store, StoreError};
use rand_core::CryptoRng;

/// The first hops that are kept, and where that is written.
#[derive(Debug, Default)]
pub(super) struct FirstHops {
    row: Option<RowId>,
    firsts: Firsts,
}

impl FirstHops {
    pub(super) fn open(store: &Store) -> Result<Self, StoreError> {
        let Some(row) = store.rows(Shelf::Firsts)?.pop() else { return Ok(Self::default()) };
        Ok(Self { row: Some(row.id), firsts: decode_firsts(&row.meta)? })
    }

    /// Goes by the document and the clock; what has changed is committed before anything is sent by it.
    pub(super) fn renew<R: CryptoRng>(
        &mut self,
        batch: &mut Batch<'_, '_, R>,
        document: &Document,
    ) -> Result<(), StoreError> {
        if !self.firsts.renew(document, &batch.setup.me, batch.now, batch.rng) {
            return Ok(());
        }
        let meta = encode_firsts(&self.firsts);
        if let Some(row) = self.row {
            return batch.txn.set_meta(Shelf::Firsts, row, batch.epoch, &meta, batch.rng);
        }
        self.row = Some(batch.txn.put(Shelf::Firsts, batch.epoch, &meta, &[], &[], batch.rng)?);
        Ok(())
    }

    /// Those that can be reached.
    pub(super) fn reachable<R>(&self, batch: &Batch<'_, '_, R>, relay: &Relay) -> Vec<NodeId> {
        let ids = self.firsts.kept.iter().map(|first| first.node);
        ids.filter(|id| !relay.is_down(batch, id)).collect()
    }
}
