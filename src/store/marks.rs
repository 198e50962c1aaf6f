//! Marks: sorted in a table for each kind and epoch, but the newest of them lie in the order in which they came.
//!
//! A mark is random, so writing a batch of them into a large table touches as many pages as there are marks, and that
//! was a third of what a commit wrote. The newest go into one row for each batch instead, and stay in memory too; when
//! there are many, all are merged into their tables in one commit, which then share pages.

use super::disk::Backing;
use super::schema::{self, MarkTable, NEW_MARKS};
use super::{Marks, StoreError, database};
use crate::id::Epoch;
use redb::{ReadTransaction, ReadableTable, ReadableTableMetadata, TableError, TableHandle, WriteTransaction};
use std::collections::{BTreeMap, BTreeSet};

/// New marks, of all tables together, that a commit may leave: 128 KiB of them, read again at each start.
const FILE_NEW: usize = 8192;

/// The same on a disk in memory: simulations are to meet merging, too.
const MEMORY_NEW: usize = 16;

/// A mark: a tag or a keyed hash.
pub(super) type Mark = [u8; 16];

/// Marks by kind and epoch; no set is empty.
pub(super) type Sets = BTreeMap<(Marks, Epoch), BTreeSet<Mark>>;

/// What there is of marks.
pub(super) struct MarkIndex {
    /// How many lie in each table; tables without any don't exist.
    merged: BTreeMap<(Marks, Epoch), u64>,
    /// Those that lie in none yet.
    new: Sets,
    new_max: usize,
}

/// Marks that a transaction sets and forgets.
#[derive(Default)]
pub(super) struct MarkChanges {
    /// None of them is in the store, or its table is among `dropped`.
    pub(super) set: Sets,
    /// Tables of which nothing is to be left but what is in `set`.
    pub(super) dropped: BTreeSet<(Marks, Epoch)>,
}

impl MarkChanges {
    pub(super) fn is_empty(&self) -> bool {
        self.set.is_empty() && self.dropped.is_empty()
    }
}

impl MarkIndex {
    /// All marks that `txn` sees, in a store on `disk`.
    pub(super) fn open(txn: &ReadTransaction, disk: &Backing) -> Result<Self, StoreError> {
        let mut merged = BTreeMap::new();
        for table in txn.list_tables().map_err(database)? {
            if let Some(of) = schema::marks_of(table.name()) {
                let table = txn.open_table(MarkTable::new(table.name())).map_err(database)?;
                merged.insert(of, table.len().map_err(database)?);
            }
        }
        let new_max = match disk {
            Backing::File(_) => FILE_NEW,
            Backing::Memory(_) => MEMORY_NEW,
        };
        Ok(Self { merged, new: read_new(txn)?, new_max })
    }

    /// The kinds and epochs of which there are any.
    pub(super) fn tables(&self) -> BTreeSet<(Marks, Epoch)> {
        self.merged.keys().chain(self.new.keys()).copied().collect()
    }

    pub(super) fn count(&self, of: (Marks, Epoch)) -> u64 {
        let new = self.new.get(&of).map_or(0, BTreeSet::len);
        self.merged.get(&of).copied().unwrap_or(0).saturating_add(new as u64)
    }

    pub(super) fn is_new(&self, of: (Marks, Epoch), mark: &Mark) -> bool {
        self.new.get(&of).is_some_and(|marks| marks.contains(mark))
    }

    pub(super) fn has_table(&self, of: (Marks, Epoch)) -> bool {
        self.merged.contains_key(&of)
    }

    /// Writes `changes`; the index stays as it is until they are committed.
    pub(super) fn write(&self, txn: &WriteTransaction, changes: &MarkChanges) -> Result<(), StoreError> {
        if self.merges(changes) { self.merge(txn, changes) } else { append(txn, &changes.set) }
    }

    /// `changes` are committed.
    pub(super) fn committed(&mut self, changes: &MarkChanges) {
        let merges = self.merges(changes);
        for of in &changes.dropped {
            self.merged.remove(of);
            self.new.remove(of);
        }
        for (of, marks) in &changes.set {
            self.new.entry(*of).or_default().extend(marks);
        }
        if merges {
            for (of, marks) in std::mem::take(&mut self.new) {
                *self.merged.entry(of).or_default() += marks.len() as u64;
            }
        }
    }

    /// What is dropped lies among the new marks of others as well: merging leaves none of it.
    fn merges(&self, changes: &MarkChanges) -> bool {
        let len = |sets: &Sets| sets.values().map(BTreeSet::len).sum::<usize>();
        !changes.dropped.is_empty() || len(&self.new).saturating_add(len(&changes.set)) > self.new_max
    }

    fn merge(&self, txn: &WriteTransaction, changes: &MarkChanges) -> Result<(), StoreError> {
        for of in &changes.dropped {
            txn.delete_table(MarkTable::new(&schema::marks_name(*of))).map_err(database)?;
        }
        let kept = self.new.iter().filter(|(of, _)| !changes.dropped.contains(of));
        for (of, marks) in kept.chain(&changes.set) {
            let name = schema::marks_name(*of);
            let mut table = txn.open_table(MarkTable::new(&name)).map_err(database)?;
            for mark in marks {
                table.insert(mark, ()).map_err(database)?;
            }
        }
        txn.delete_table(NEW_MARKS).map_err(database)?;
        Ok(())
    }
}

/// Writes each set as a row behind the last.
fn append(txn: &WriteTransaction, sets: &Sets) -> Result<(), StoreError> {
    if sets.is_empty() {
        return Ok(());
    }
    let mut table = txn.open_table(NEW_MARKS).map_err(database)?;
    let mut next = table.last().map_err(database)?.map_or(0, |(key, _)| key.value().saturating_add(1));
    for (of, marks) in sets {
        table.insert(next, schema::new_marks(*of, marks).as_slice()).map_err(database)?;
        next = next.saturating_add(1);
    }
    Ok(())
}

fn read_new(txn: &ReadTransaction) -> Result<Sets, StoreError> {
    let table = match txn.open_table(NEW_MARKS) {
        Ok(table) => table,
        Err(TableError::TableDoesNotExist(_)) => return Ok(Sets::new()),
        Err(error) => return Err(database(error)),
    };
    let mut sets = Sets::new();
    for entry in table.range::<u64>(..).map_err(database)? {
        let (key, value) = entry.map_err(database)?;
        let damaged = |_| StoreError::Damaged(format!("new marks, row {}: not as fog writes them", key.value()));
        let (of, marks) = schema::read_new_marks(value.value()).map_err(damaged)?;
        sets.entry(of).or_default().extend(marks);
    }
    Ok(sets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Epoch;
    use crate::store::tests::{EPOCH, private_dir, refusal};
    use crate::store::{MemoryDisk, Store};

    const OF: (Marks, Epoch) = (Marks::Replay, EPOCH);

    fn mark(n: usize) -> Mark {
        blake3::hash(&n.to_be_bytes()).as_bytes()[..16].try_into().unwrap()
    }

    fn set(store: &mut Store, marks: std::ops::Range<usize>) {
        let mut txn = store.begin().unwrap();
        for n in marks {
            assert!(txn.mark(OF.0, OF.1, mark(n)).unwrap(), "mark {n} was there");
        }
        txn.commit().unwrap();
    }

    fn is_set(store: &mut Store, n: usize) -> bool {
        store.begin().unwrap().marked(OF.0, OF.1, &mark(n)).unwrap()
    }

    /// How many marks lie merged, and whether there are new ones on disk.
    fn layout(store: &Store) -> (u64, bool) {
        let view = store.view().unwrap();
        let merged = MarkIndex::open(view.txn(), &Backing::Memory(MemoryDisk::new().db)).unwrap();
        (merged.merged.get(&OF).copied().unwrap_or(0), !merged.new.is_empty())
    }

    #[test]
    fn new_marks_are_merged_when_there_are_too_many_and_none_is_forgotten() {
        let disk = MemoryDisk::new();
        let mut store = Store::on(&disk).unwrap();
        let layouts = [(0, true), (0, true), (18, false), (18, true), (18, true), (36, false)];
        for (batch, wanted) in layouts.into_iter().enumerate() {
            set(&mut store, batch * 6..batch * 6 + 6);
            assert_eq!(layout(&store), wanted, "after batch {batch}");
            if batch % 2 == 0 {
                drop(store);
                store = Store::on(&disk).unwrap();
            }
            assert_eq!(store.mark_count(OF.0, OF.1), batch as u64 * 6 + 6);
            for n in 0..42 {
                assert_eq!(is_set(&mut store, n), n < batch * 6 + 6, "mark {n} after batch {batch}");
            }
        }
    }

    #[test]
    fn marks_that_are_dropped_leave_nothing_on_disk() {
        let disk = MemoryDisk::new();
        let mut store = Store::on(&disk).unwrap();
        set(&mut store, 0..3);
        let mut txn = store.begin().unwrap();
        assert!(txn.mark(Marks::Delivered, EPOCH, mark(7)).unwrap());
        txn.commit().unwrap();
        let mut txn = store.begin().unwrap();
        txn.drop_marks(OF.0, OF.1);
        assert!(txn.mark(OF.0, OF.1, mark(2)).unwrap(), "set again behind the drop");
        txn.commit().unwrap();
        for opened_anew in [false, true] {
            assert_eq!(layout(&store), (1, false));
            assert_eq!((0..3).map(|n| is_set(&mut store, n)).collect::<Vec<_>>(), [false, false, true]);
            assert!(store.begin().unwrap().marked(Marks::Delivered, EPOCH, &mark(7)).unwrap(), "another kind");
            if !opened_anew {
                drop(store);
                store = Store::on(&disk).unwrap();
            }
        }
    }

    #[test]
    fn a_row_of_new_marks_that_is_none_is_damage_that_is_named() {
        for row in [&[][..], &[1; 9], &[1; 9 + 17], &[4; 9 + 16]] {
            let dir = private_dir();
            let store = Store::open(dir.path()).unwrap();
            let txn = store.db.begin_write().unwrap();
            txn.open_table(NEW_MARKS).unwrap().insert(3, row).unwrap();
            txn.commit().unwrap();
            drop(store);
            let error = refusal(dir.path());
            assert_eq!(error, "the store is damaged: new marks, row 3: not as fog writes them", "{row:?}");
        }
    }
}
