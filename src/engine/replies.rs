//! The reply blocks that this node has made, and what opens the answers that come by them.

use super::Batch;
use super::build::Way;
use super::rows::{VERSION, damaged, read};
use crate::id::{Epoch, NodeId, SurbId};
use crate::message::payload::{Payload, Receipt};
use crate::secret::Secret;
use crate::sphinx::BodyKey;
use crate::sphinx::geometry::{BODY_LEN, SURB_KEY_LEN};
use crate::sphinx::surb::{self, Record};
use crate::store::{RowId, Shelf, Store, StoreError, Txn};
use crate::wire::Writer;
use rand_core::CryptoRng;
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// The blocks that have not been used yet.
#[derive(Debug, Default)]
pub(super) struct Replies(BTreeMap<SurbId, (RowId, Made)>);

/// A reply block that was made here; its content is what opens the answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Made {
    id: SurbId,
    /// The mail in the spool whose fate the answer tells.
    mail: RowId,
    /// Who answers.
    exit: NodeId,
    /// Of the key under which the answer ends here: with that it is of no use.
    epoch: Epoch,
}

impl Made {
    fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(96);
        w.u8(VERSION).bytes(&self.id.0).u64(self.mail.0).bytes(&self.exit.0).u64(self.epoch.0);
        w.finish()
    }

    fn decode(meta: &[u8]) -> Result<Self, StoreError> {
        read(meta, |r| {
            let (id, mail) = (SurbId(r.array()?), RowId(r.u64()?));
            Ok(Self { id, mail, exit: NodeId(r.array()?), epoch: Epoch(r.u64()?) })
        })
    }
}

/// An answer that was opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Said {
    /// The mail in the spool for which the block was made.
    pub(super) mail: RowId,
    /// Who had it.
    pub(super) exit: NodeId,
    /// What it says.
    pub(super) receipt: Receipt,
}

impl Replies {
    pub(super) fn open(store: &Store) -> Result<Self, StoreError> {
        let mut replies = Self::default();
        for row in store.rows(Shelf::Surbs)? {
            let made = Made::decode(&row.meta)?;
            replies.0.insert(made.id, (row.id, made));
        }
        Ok(replies)
    }

    /// Whether a packet by this block would be an answer.
    pub(super) fn expects(&self, id: &SurbId) -> bool {
        self.0.contains_key(id)
    }

    /// What came by the block `id`, whose body is decrypted as any other's; none if it is no receipt.
    pub(super) fn read(
        &self,
        txn: &Txn<'_>,
        id: &SurbId,
        body: &mut [u8; BODY_LEN],
    ) -> Result<Option<Said>, StoreError> {
        let Some((row, made)) = self.0.get(id) else { return Ok(None) };
        let record = record(*id, &txn.read(Shelf::Surbs, *row)?.sealed)?;
        let payload = surb::open(record, body).ok().map(Payload::decode);
        Ok(match payload {
            Some(Ok(Payload::Receipt(receipt))) => Some(Said { mail: made.mail, exit: made.exit, receipt }),
            _ => None,
        })
    }

    /// Forgets a block that was used, whatever came by it.
    pub(super) fn used(&mut self, txn: &mut Txn<'_>, id: &SurbId) -> Result<(), StoreError> {
        self.0.remove(id).map_or(Ok(()), |(row, _)| txn.delete(Shelf::Surbs, row))
    }

    /// Forgets the blocks that were made for a mail which nobody need say anything about any more.
    pub(super) fn forget(&mut self, txn: &mut Txn<'_>, mail: RowId) -> Result<(), StoreError> {
        let of_mail = self.0.extract_if(.., |_, (_, made)| made.mail == mail);
        of_mail.map(|(_, (row, _))| row).try_for_each(|row| txn.delete(Shelf::Surbs, row))
    }

    /// Forgets the blocks whose last key is older than `oldest`: nothing that comes by them can be peeled here.
    pub(super) fn expire(&mut self, txn: &mut Txn<'_>, oldest: Epoch) -> Result<(), StoreError> {
        let old = self.0.extract_if(.., |_, (_, made)| made.epoch < oldest);
        old.map(|(_, (row, _))| row).try_for_each(|row| txn.delete(Shelf::Surbs, row))
    }

    fn keep(&mut self, row: RowId, made: Made) {
        self.0.insert(made.id, (row, made));
    }
}

/// Keeps what opens the answer to the block that `way` leads back by, for `exit` to say what became of `mail`.
fn keep<R: CryptoRng>(batch: &mut Batch<'_, '_, R>, mail: RowId, exit: NodeId, way: &Way) -> Result<(), StoreError> {
    let made = Made { id: way.record.id, mail, exit, epoch: way.epoch };
    let content = content(&way.record);
    let row = batch.txn.put(Shelf::Surbs, batch.epoch, &made.encode(), &content, &[], batch.rng)?;
    batch.replies.keep(row, made);
    Ok(())
}

/// Keeps what opens the answers to all of these blocks, or of none.
///
/// # Errors
/// `Full`: nothing has changed.
pub(super) fn keep_all<R: CryptoRng>(
    batch: &mut Batch<'_, '_, R>,
    mail: RowId,
    exit: NodeId,
    ways: &[Way],
) -> Result<(), StoreError> {
    for way in ways {
        if let Err(error) = keep(batch, mail, exit, way) {
            ways.iter().try_for_each(|way| batch.replies.used(&mut batch.txn, &way.record.id))?;
            return Err(error);
        }
    }
    Ok(())
}

/// The key in the block, then the hops' body keys.
fn content(record: &Record) -> Zeroizing<Vec<u8>> {
    let mut content = Zeroizing::new(Vec::with_capacity(SURB_KEY_LEN + record.body_keys.len() * BodyKey::LEN));
    content.extend_from_slice(record.key.expose());
    record.body_keys.iter().for_each(|key| content.extend_from_slice(key.as_bytes()));
    content
}

fn record(id: SurbId, content: &[u8]) -> Result<Record, StoreError> {
    let (key, rest) = content.split_first_chunk::<SURB_KEY_LEN>().ok_or(damaged())?;
    let (keys, rest) = rest.as_chunks::<{ BodyKey::LEN }>();
    if !rest.is_empty() {
        return Err(damaged());
    }
    let body_keys = keys.iter().map(BodyKey::from_bytes).collect();
    Ok(Record { id, key: Secret::filled(|copy| *copy = *key), body_keys })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_comes_back_as_it_was_written() {
        let row = Made { id: SurbId([1; 32]), mail: RowId(2), exit: NodeId([3; 32]), epoch: Epoch(4) };
        assert_eq!(Made::decode(&row.encode()).unwrap(), row);
    }
}
