//! Loops: packets of this node to itself, which nobody can tell from mail. That they come back shows that mail arrives.

use super::Batch;
use super::build;
use super::first_hops::FirstHop;
use super::relay::Relay;
use super::rows::Loop;
use crate::directory::Document;
use crate::id::NodeId;
use crate::message::payload::Payload;
use crate::mix::chain::Chain;
use crate::mix::route;
use crate::store::{RowId, Shelf, Store, StoreError};
use rand_core::CryptoRng;
use std::collections::BTreeMap;

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

    /// Sends one, through `wished` if there is a path. Gives its way; none if there is no path for it, or no room.
    pub(super) fn send<R: CryptoRng>(
        &mut self,
        batch: &mut Batch<'_, '_, R>,
        document: &Document,
        relay: &mut Relay,
        hops: FirstHop<'_>,
        wished: Option<NodeId>,
    ) -> Result<Option<Vec<NodeId>>, StoreError> {
        let mut mark = [0; 32];
        batch.rng.fill_bytes(&mut mark);
        let payload = Payload::Loop(mark).encode(batch.rng);
        let me = batch.setup.me;
        let through = wished.map(|id| through(document, id)).unwrap_or_default();
        let draw = |rng: &mut R| {
            let wished = route::loop_path(document, &me, hops.only(), hops.kept, &through, rng);
            wished.or_else(|_| route::loop_path(document, &me, hops.only(), hops.kept, &Chain::default(), rng)).ok()
        };
        let Some(built) = build::deliver(batch, document, &payload, &[], draw) else { return Ok(None) };
        if !relay.send_own(batch, &built)? {
            return Ok(None);
        }
        let path: Vec<NodeId> = built.path.iter().filter(|id| **id != me).copied().collect();
        let row = Loop { mark, path: path.clone(), left: built.leaves, due: built.ends, back: None };
        let id = batch.txn.put(Shelf::Loops, batch.epoch, &row.encode(), &[], &[], batch.rng)?;
        self.insert(id, row);
        batch.counts.loops += 1;
        Ok(Some(path))
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

    /// Those of which it is not known yet what became of them, and those of which it is.
    pub(super) fn rows(&self) -> impl Iterator<Item = &Loop> + Clone {
        self.rows.values()
    }

    /// Takes out those of which `is_over` says so.
    pub(super) fn take<R>(
        &mut self,
        batch: &mut Batch<'_, '_, R>,
        is_over: impl Fn(&Loop) -> bool,
    ) -> Result<Vec<Loop>, StoreError> {
        let mut taken = Vec::new();
        for (id, row) in self.rows.extract_if(.., |_, row| is_over(row)) {
            self.marks.remove(&row.mark);
            batch.txn.delete(Shelf::Loops, id)?;
            taken.push(row);
        }
        Ok(taken)
    }
}

/// A wish for a path with `id` behind the first hop, which is kept: last but one, or at the end if it is no mix.
fn through(document: &Document, id: NodeId) -> Chain {
    let is_mix = document.node(&id).is_some_and(|node| node.mix);
    let hops = usize::from(document.params().hops);
    let at = if is_mix && hops > 2 { hops - 2 } else { hops.saturating_sub(1) };
    Chain::from_hops((0..hops).map(|n| (n == at).then_some(id)).collect())
}
