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

/// The first hop of a slot: drawn before anything is chosen for it. So where this node sends says nothing of what it has to
/// send, though all of a mail's try goes by one first hop, whose loss then costs it no more than that try.
#[derive(Clone, Copy, Debug)]
pub(super) struct FirstHop<'a> {
    /// Where this slot's packet goes.
    pub(super) node: &'a NodeId,
    /// Those that can be reached, it too.
    pub(super) kept: &'a [NodeId],
    /// Those of them through which loops come back, or may.
    pub(super) there: &'a [NodeId],
}

impl FirstHop<'_> {
    /// It alone, as the ones to choose from.
    pub(super) const fn only(&self) -> &[NodeId] {
        std::slice::from_ref(self.node)
    }
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
