//! The store as its last commit left it.

use super::marks::Mark;
use super::schema::{self, MarkTable, OpenMarks, OpenRows};
use super::{Marks, RowId, Shelf, StoreError, database};
use crate::id::Epoch;
use redb::ReadTransaction;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// Reads; a table that was opened stays open, since finding one costs as much as finding a row in it.
pub(super) struct View {
    txn: ReadTransaction,
    rows: RefCell<BTreeMap<Shelf, OpenRows>>,
    marks: RefCell<BTreeMap<(Marks, Epoch), OpenMarks>>,
}

impl View {
    pub(super) const fn new(txn: ReadTransaction) -> Self {
        Self { txn, rows: RefCell::new(BTreeMap::new()), marks: RefCell::new(BTreeMap::new()) }
    }

    pub(super) const fn txn(&self) -> &ReadTransaction {
        &self.txn
    }

    pub(super) fn row(&self, shelf: Shelf, id: RowId) -> Result<Option<Vec<u8>>, StoreError> {
        let mut open = self.rows.borrow_mut();
        let table = match open.entry(shelf) {
            Entry::Occupied(table) => table.into_mut(),
            Entry::Vacant(place) => place.insert(self.txn.open_table(shelf.table()).map_err(database)?),
        };
        Ok(table.get(id.0).map_err(database)?.map(|value| value.value().to_vec()))
    }

    /// Whether a mark is among those merged into their table, which must exist.
    pub(super) fn marked(&self, of: (Marks, Epoch), mark: &Mark) -> Result<bool, StoreError> {
        let mut open = self.marks.borrow_mut();
        let table = match open.entry(of) {
            Entry::Occupied(table) => table.into_mut(),
            Entry::Vacant(place) => {
                let name = schema::marks_name(of);
                place.insert(self.txn.open_table(MarkTable::new(&name)).map_err(database)?)
            }
        };
        Ok(table.get(mark).map_err(database)?.is_some())
    }
}
