//! One transaction: what the engine changes in one batch.
//!
//! Content is written into free slots at once; rows and marks are kept in memory until `commit`, which syncs the slab
//! *before* redb commits the rows that name its slots. A power cut in between leaves slots nobody names.

use super::marks::{Mark, MarkChanges};
use super::schema::{self, Record};
use super::seal::{self, SEAL_LEN};
use super::view::View;
use super::{Content, Marks, RowId, SLOT_LEN, Shelf, Store, StoreError, database};
use crate::id::Epoch;
use crate::secret::Secret;
use rand_core::CryptoRng;
use redb::Durability;
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// A transaction; see `Store::begin`.
pub struct Txn<'a> {
    store: &'a mut Store,
    view: View,
    next_row: u64,
    /// Rows as they will be; none: deleted.
    rows: BTreeMap<(Shelf, RowId), Option<Vec<u8>>>,
    marks: MarkChanges,
    /// Under which keys rows lay that are changed or deleted.
    left: Vec<(Epoch, Shelf, RowId)>,
    /// Slots taken for new rows: free again if there is no commit.
    taken: Vec<u32>,
    /// Slots of deleted rows: free once there is a commit, since until then a power cut brings the row back.
    freed: Vec<u32>,
}

impl<'a> Txn<'a> {
    pub(super) fn new(store: &'a mut Store, view: View) -> Self {
        Txn {
            next_row: store.next_row,
            store,
            view,
            rows: BTreeMap::new(),
            marks: MarkChanges::default(),
            left: Vec::new(),
            taken: Vec::new(),
            freed: Vec::new(),
        }
    }

    /// Puts a new row on `shelf`, under the spool key of `epoch`.
    ///
    /// `sealed` and `raw` together are its content; `raw` lies in the slab as it is.
    ///
    /// # Errors
    /// `Full` or `NoKey`: nothing has changed and the transaction may go on. `Io`: the store is stopped.
    pub fn put<R: CryptoRng>(
        &mut self,
        shelf: Shelf,
        epoch: Epoch,
        meta: &[u8],
        sealed: &[u8],
        raw: &[u8],
        rng: &mut R,
    ) -> Result<RowId, StoreError> {
        let id = RowId(self.next_row);
        let spool = self.store.keys.spool(epoch)?;
        let key = Secret::filled(|bytes| rng.fill_bytes(bytes));
        let content = seal_content(&key, sealed, raw, rng);
        let slots = self.store.slab.take(content.len() / SLOT_LEN)?;
        if let Err(error) = self.store.slab.write(&slots, &content) {
            self.store.slab.give(slots);
            self.store.stopped = !matches!(error, StoreError::Full);
            return Err(error);
        }
        self.taken.extend_from_slice(&slots);
        let (sealed_len, raw_len) = (sealed.len(), raw.len());
        let record = Record { key, slots, sealed_len, raw_len, meta: Zeroizing::new(meta.to_vec()) };
        self.rows.insert((shelf, id), Some(record.seal((shelf, id), epoch, spool, rng)));
        self.next_row += 1;
        Ok(id)
    }

    /// Replaces a row's meta and seals the row under the spool key of `epoch`. Its content is not touched.
    ///
    /// # Errors
    /// `NoRow`, `NoKey`, `Damaged`, `Database`: nothing has changed.
    pub fn set_meta<R: CryptoRng>(
        &mut self,
        shelf: Shelf,
        id: RowId,
        epoch: Epoch,
        meta: &[u8],
        rng: &mut R,
    ) -> Result<(), StoreError> {
        self.seal((shelf, id), epoch, |record| record.meta = Zeroizing::new(meta.to_vec()), rng)
    }

    /// Seals up to `most` of the rows that lay under the spool key of `from` before this transaction, and that it has not
    /// changed, under that of `to`; says how many.
    ///
    /// # Errors
    /// `NoKey`, `Damaged`, `Database`: rows may have changed.
    pub fn seal_anew<R: CryptoRng>(
        &mut self,
        from: Epoch,
        to: Epoch,
        most: usize,
        rng: &mut R,
    ) -> Result<usize, StoreError> {
        let rows = self.store.sealed_under(from).filter(|at| !self.rows.contains_key(at));
        let rows: Vec<_> = rows.take(most).collect();
        for at in &rows {
            self.seal(*at, to, |_| {}, rng)?;
        }
        Ok(rows.len())
    }

    fn seal<R: CryptoRng>(
        &mut self,
        at: (Shelf, RowId),
        epoch: Epoch,
        change: impl FnOnce(&mut Record),
        rng: &mut R,
    ) -> Result<(), StoreError> {
        let (lay, mut record) = self.store.open_row(at, &self.row(at)?)?;
        change(&mut record);
        let value = record.seal(at, epoch, self.store.keys.spool(epoch)?, rng);
        self.rows.insert(at, Some(value));
        self.left.push((lay, at.0, at.1));
        Ok(())
    }

    /// Deletes a row and its content.
    ///
    /// # Errors
    /// `NoRow`, `Damaged`, `Database`: nothing has changed.
    pub fn delete(&mut self, shelf: Shelf, id: RowId) -> Result<(), StoreError> {
        let at = (shelf, id);
        let (lay, record) = self.store.open_row(at, &self.row(at)?)?;
        self.freed.extend(record.slots);
        self.rows.insert(at, None);
        self.left.push((lay, shelf, id));
        Ok(())
    }

    /// The content of a row, as this transaction sees it.
    ///
    /// # Errors
    /// `NoRow`, `Damaged`, `Io`, `Database`.
    pub fn read(&self, shelf: Shelf, id: RowId) -> Result<Content, StoreError> {
        let at = (shelf, id);
        self.store.content(at, &self.row(at)?)
    }

    /// Sets a mark. False if it was set already, by this transaction or before.
    ///
    /// # Errors
    /// `Database`.
    pub fn mark(&mut self, kind: Marks, epoch: Epoch, mark: Mark) -> Result<bool, StoreError> {
        if self.marked(kind, epoch, &mark)? {
            return Ok(false);
        }
        self.marks.set.entry((kind, epoch)).or_default().insert(mark);
        Ok(true)
    }

    /// Whether a mark is set, as this transaction sees it.
    ///
    /// # Errors
    /// `Database`.
    pub fn marked(&self, kind: Marks, epoch: Epoch, mark: &Mark) -> Result<bool, StoreError> {
        let of = (kind, epoch);
        if self.marks.set.get(&of).is_some_and(|marks| marks.contains(mark)) {
            return Ok(true);
        }
        if self.marks.dropped.contains(&of) {
            return Ok(false);
        }
        let known = &self.store.marks;
        Ok(known.is_new(of, mark) || (known.has_table(of) && self.view.marked(of, mark)?))
    }

    /// Forgets all marks of one kind and epoch.
    pub fn drop_marks(&mut self, kind: Marks, epoch: Epoch) {
        self.marks.set.remove(&(kind, epoch));
        self.marks.dropped.insert((kind, epoch));
    }

    /// Makes all changes durable at once: they are on disk when this returns.
    ///
    /// # Errors
    /// `Full`, `Io`, `Database`: nothing may be acknowledged, and the store is stopped. Opened anew, it has either all
    /// of the changes or none.
    pub fn commit(mut self) -> Result<(), StoreError> {
        if self.store.stopped {
            return Err(StoreError::Stopped);
        }
        if self.rows.is_empty() && self.marks.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.write() {
            self.store.stopped = true;
            return Err(error);
        }
        self.store.next_row = self.next_row;
        for lay in &self.left {
            self.store.sealed.remove(lay);
        }
        for ((shelf, id), value) in &self.rows {
            let epoch = value.as_deref().and_then(|value| schema::epoch_of(value).ok());
            self.store.sealed.extend(epoch.map(|epoch| (epoch, *shelf, *id)));
        }
        self.taken.clear();
        self.store.slab.give(self.freed.drain(..));
        self.store.marks.committed(&self.marks);
        Ok(())
    }

    fn row(&self, at: (Shelf, RowId)) -> Result<Vec<u8>, StoreError> {
        let value = match self.rows.get(&at) {
            Some(changed) => changed.clone(),
            None => self.view.row(at.0, at.1)?,
        };
        value.ok_or(StoreError::NoRow(at.0, at.1))
    }

    fn write(&self) -> Result<(), StoreError> {
        if !self.taken.is_empty() {
            self.store.slab.sync()?;
        }
        let mut txn = self.store.db.begin_write().map_err(database)?;
        txn.set_durability(Durability::Immediate).map_err(database)?;
        self.write_rows(&txn)?;
        self.store.marks.write(&txn, &self.marks)?;
        txn.commit().map_err(database)
    }

    fn write_rows(&self, txn: &redb::WriteTransaction) -> Result<(), StoreError> {
        if self.next_row != self.store.next_row {
            let mut table = txn.open_table(schema::META).map_err(database)?;
            table.insert(schema::META_NEXT_ROW, self.next_row).map_err(database)?;
        }
        for shelf in schema::SHELVES {
            let changes = self.rows.range((shelf, RowId(0))..=(shelf, RowId(u64::MAX)));
            let mut changes = changes.peekable();
            if changes.peek().is_none() {
                continue;
            }
            let mut table = txn.open_table(shelf.table()).map_err(database)?;
            for ((_, id), value) in changes {
                match value {
                    Some(value) => table.insert(id.0, value.as_slice()),
                    None => table.remove(id.0),
                }
                .map_err(database)?;
            }
        }
        Ok(())
    }
}

impl Drop for Txn<'_> {
    fn drop(&mut self) {
        self.store.slab.give(self.taken.drain(..));
    }
}

/// Content as it lies in the slab: seal ‖ sealed part ‖ random bytes that fill whole slots ‖ raw part. Who hasn't the key
/// can't tell where the sealed part ends, so nothing says how long a mail is; and a write of whole pages never has to
/// read one first.
fn seal_content<R: CryptoRng>(key: &Secret<32>, sealed: &[u8], raw: &[u8], rng: &mut R) -> Vec<u8> {
    if sealed.is_empty() && raw.is_empty() {
        return Vec::new();
    }
    let end = SEAL_LEN + sealed.len();
    let total = (end + raw.len()).next_multiple_of(SLOT_LEN);
    let mut content = Vec::with_capacity(total);
    content.extend_from_slice(&[0; SEAL_LEN]);
    content.extend_from_slice(sealed);
    let (head, text) = content.split_at_mut(SEAL_LEN);
    head.copy_from_slice(&seal::seal_beside(key, raw, text, rng));
    content.resize(total - raw.len(), 0);
    let (_, padding) = content.split_at_mut(end);
    rng.fill_bytes(padding);
    content.extend_from_slice(raw);
    content
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryDisk;
    use crate::store::tests::{EPOCH, add_packet, private_dir, rng, store_with_a_packet};
    use std::fs;

    #[test]
    fn a_row_for_an_epoch_without_key_is_refused_and_the_transaction_goes_on() {
        let mut store = Store::on(&MemoryDisk::new()).unwrap();
        let id = add_packet(&mut store);
        let next = EPOCH.plus(1);
        let mut txn = store.begin().unwrap();
        let put = txn.put(Shelf::Pool, next, b"", b"", b"raw", &mut rng());
        assert!(matches!(put, Err(StoreError::NoKey(epoch)) if epoch == next));
        let sealed_anew = txn.set_meta(Shelf::Pool, id, next, b"", &mut rng());
        assert!(matches!(sealed_anew, Err(StoreError::NoKey(epoch)) if epoch == next));
        txn.commit().unwrap();
        assert_eq!(store.usage().unwrap().slots, 1);
    }

    #[test]
    fn a_row_that_is_not_there_is_named() {
        let mut store = Store::on(&MemoryDisk::new()).unwrap();
        let id = add_packet(&mut store);
        assert!(matches!(store.read(Shelf::Spool, id), Err(StoreError::NoRow(Shelf::Spool, _))));
        let mut txn = store.begin().unwrap();
        assert!(matches!(txn.delete(Shelf::Outbox, id), Err(StoreError::NoRow(Shelf::Outbox, _))));
        let set = txn.set_meta(Shelf::Pool, RowId(77), EPOCH, b"", &mut rng());
        assert!(matches!(set, Err(StoreError::NoRow(Shelf::Pool, RowId(77)))));
        txn.delete(Shelf::Pool, id).unwrap();
        assert!(matches!(txn.delete(Shelf::Pool, id), Err(StoreError::NoRow(Shelf::Pool, _))));
    }

    #[test]
    fn the_number_of_a_deleted_row_is_not_given_again() {
        let disk = MemoryDisk::new();
        let mut store = Store::on(&disk).unwrap();
        let first = add_packet(&mut store);
        let mut txn = store.begin().unwrap();
        txn.delete(Shelf::Pool, first).unwrap();
        txn.commit().unwrap();
        drop(store);
        let second = add_packet(&mut Store::on(&disk).unwrap());
        assert!(second > first, "{second:?} after {first:?}");
    }

    #[test]
    fn a_full_disk_refuses_one_mail_and_nothing_else() {
        let disk = MemoryDisk::new();
        let mut store = Store::on(&disk).unwrap();
        add_packet(&mut store);
        let before = store.usage().unwrap();
        disk.limit(before.bytes);
        let mut txn = store.begin().unwrap();
        let mail = vec![1; 400 * SLOT_LEN];
        assert!(matches!(txn.put(Shelf::Spool, EPOCH, b"", &mail, b"", &mut rng()), Err(StoreError::Full)));
        let slab = &txn.store.slab;
        assert_eq!(slab.len().unwrap(), u64::from(slab.total()) * SLOT_LEN as u64, "what could not be used is kept");
        txn.put(Shelf::Spool, EPOCH, b"", b"a small one", b"", &mut rng()).unwrap();
        txn.commit().unwrap();
        assert_eq!(store.usage().unwrap().slots, before.slots + 1);
        assert_eq!(store.rows(Shelf::Spool).unwrap().len(), 1);
    }

    #[test]
    fn a_store_whose_write_failed_is_stopped() {
        for failing in ["put", "slab", "database", "keys"] {
            let disk = MemoryDisk::new();
            let mut store = Store::on(&disk).unwrap();
            add_packet(&mut store);
            let failed = if failing == "keys" {
                disk.fail_after(0);
                store.ensure_keys(EPOCH, EPOCH.plus(1), &mut rng()).is_err()
            } else {
                let mut txn = store.begin().unwrap();
                disk.fail_after(u64::from(failing != "put") + u64::from(failing == "database"));
                let put = txn.put(Shelf::Pool, EPOCH, b"", b"sealed", b"raw", &mut rng());
                assert_eq!(put.is_err(), failing == "put");
                txn.commit().is_err()
            };
            assert!(failed, "{failing}");
            assert!(matches!(store.begin(), Err(StoreError::Stopped)), "{failing}");
            let keys = store.ensure_keys(EPOCH, EPOCH.plus(1), &mut rng());
            assert!(matches!(keys, Err(StoreError::Stopped)), "{failing}");
        }
    }

    #[test]
    fn sealing_a_row_anew_leaves_its_content_where_it_is() {
        let dir = private_dir();
        let (mut store, id) = store_with_a_packet(dir.path());
        let next = EPOCH.plus(1);
        store.ensure_keys(next, next, &mut rng()).unwrap();
        let (slab, content) = (fs::read(dir.path().join("slab")).unwrap(), store.read(Shelf::Pool, id).unwrap());
        let mut txn = store.begin().unwrap();
        txn.set_meta(Shelf::Pool, id, next, b"due later", &mut rng()).unwrap();
        txn.commit().unwrap();
        assert!(slab == fs::read(dir.path().join("slab")).unwrap(), "the slab was written");
        assert_eq!(store.read(Shelf::Pool, id).unwrap(), content);
        let rows = store.rows(Shelf::Pool).unwrap();
        assert_eq!((rows[0].epoch, &rows[0].meta[..]), (next, &b"due later"[..]));
    }

    #[test]
    fn marks_of_one_kind_and_epoch_are_no_others() {
        let disk = MemoryDisk::new();
        let mut store = Store::on(&disk).unwrap();
        let mut txn = store.begin().unwrap();
        assert!(txn.mark(Marks::Replay, EPOCH, [1; 16]).unwrap());
        assert!(!txn.mark(Marks::Replay, EPOCH, [1; 16]).unwrap(), "the same transaction");
        assert!(txn.mark(Marks::Replay, EPOCH.plus(1), [1; 16]).unwrap(), "another epoch");
        assert!(txn.mark(Marks::Delivered, EPOCH, [1; 16]).unwrap(), "another kind");
        txn.commit().unwrap();
        drop(store);
        let mut store = Store::on(&disk).unwrap();
        assert_eq!(store.mark_epochs(Marks::Replay).collect::<Vec<_>>(), [EPOCH, EPOCH.plus(1)]);
        assert_eq!(store.mark_count(Marks::Replay, EPOCH), 1);
        let mut txn = store.begin().unwrap();
        assert!(!txn.mark(Marks::Replay, EPOCH, [1; 16]).unwrap(), "after opening anew");
        txn.drop_marks(Marks::Replay, EPOCH);
        assert!(!txn.marked(Marks::Replay, EPOCH, &[1; 16]).unwrap());
        txn.commit().unwrap();
        assert_eq!(store.mark_epochs(Marks::Replay).collect::<Vec<_>>(), [EPOCH.plus(1)]);
        assert_eq!(store.mark_count(Marks::Delivered, EPOCH), 1);
    }
}
