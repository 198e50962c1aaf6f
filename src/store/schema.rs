//! What is where in the redb file, and what always holds after a commit.
//!
//! - `meta`: `format` is `FORMAT`; `next_row` is greater than every row id ever given. Written in the very first
//!   transaction together with all empty row tables: a database without it is no store yet. A shelf that came with a later
//!   fog gets its table when the store is opened.
//! - `rows/SHELF`: row id → epoch u64 ‖ seal ‖ sealed record. The record says shelf and id itself, so a row copied to
//!   another place doesn't open. Every slot it names is within the slab, synced, and named by no other row of any
//!   shelf. The key of its epoch is in `epoch.keys`.
//! - `marks/KIND/EPOCH`: 16 bytes → nothing. It is there if and only if it has a mark.
//! - `new-marks`: numbers in the order of writing → kind u8 ‖ epoch u64 ‖ marks, each of which is in no other row and
//!   in no `marks/` table. Missing while there are none.
//!
//! No mark is sealed: it says nothing to who hasn't the key or the mail it was made of.

use super::marks::Mark;
use super::seal::{self, SEAL_LEN};
use super::{Marks, RowId, Shelf, StoreError};
use crate::id::Epoch;
use crate::secret::Secret;
use crate::wire::{Malformed, Reader};
use rand_core::CryptoRng;
use redb::{ReadOnlyTable, TableDefinition};
use std::collections::BTreeSet;
use zeroize::Zeroizing;

/// The format this fog writes; a higher one is a newer fog's.
///
/// 2 has more shelves than 1, and is otherwise the same. In 3 what is sealed of a row's content opens only beside the rest
/// of it as it was written.
pub(super) const FORMAT: u64 = 3;
/// The oldest format that this fog brings up to its own.
pub(super) const OLDEST: u64 = 1;

pub(super) const META: TableDefinition<'static, &str, u64> = TableDefinition::new("meta");
pub(super) const META_FORMAT: &str = "format";
pub(super) const META_NEXT_ROW: &str = "next_row";

pub(super) type RowTable = TableDefinition<'static, u64, &'static [u8]>;
pub(super) type OpenRows = ReadOnlyTable<u64, &'static [u8]>;
pub(super) type MarkTable<'a> = TableDefinition<'a, &'static Mark, ()>;
pub(super) type OpenMarks = ReadOnlyTable<&'static Mark, ()>;

pub(super) const NEW_MARKS: RowTable = RowTable::new("new-marks");

/// All shelves, in the order in which a store opens what lies on them.
pub const SHELVES: [Shelf; 13] = [
    Shelf::Pool,
    Shelf::Spool,
    Shelf::Fragments,
    Shelf::Parts,
    Shelf::Outbox,
    Shelf::Notes,
    Shelf::Loops,
    Shelf::Firsts,
    Shelf::Health,
    Shelf::Pings,
    Shelf::Surbs,
    Shelf::Answers,
    Shelf::Pace,
];

impl Shelf {
    pub(super) const fn table(self) -> RowTable {
        RowTable::new(match self {
            Self::Pool => "rows/pool",
            Self::Spool => "rows/spool",
            Self::Fragments => "rows/fragments",
            Self::Parts => "rows/parts",
            Self::Outbox => "rows/outbox",
            Self::Notes => "rows/notes",
            Self::Loops => "rows/loops",
            Self::Firsts => "rows/firsts",
            Self::Health => "rows/health",
            Self::Pings => "rows/pings",
            Self::Surbs => "rows/surbs",
            Self::Answers => "rows/answers",
            Self::Pace => "rows/pace",
        })
    }

    /// What a record says it is on: never change one.
    const fn code(self) -> u8 {
        match self {
            Self::Pool => 1,
            Self::Spool => 2,
            Self::Fragments => 3,
            Self::Parts => 4,
            Self::Outbox => 5,
            Self::Notes => 6,
            Self::Loops => 7,
            Self::Firsts => 8,
            Self::Health => 11,
            Self::Pings => 12,
            Self::Surbs => 9,
            Self::Answers => 10,
            Self::Pace => 13,
        }
    }
}

/// Kind, what a row of new marks calls it, and how the names of its tables begin: never change one.
const KINDS: [(Marks, u8, &str); 3] = [
    (Marks::Replay, 1, "marks/replay/"),
    (Marks::Submitted, 2, "marks/submitted/"),
    (Marks::Delivered, 3, "marks/delivered/"),
];

/// The name of the table of one kind and epoch.
pub(super) fn marks_name((kind, epoch): (Marks, Epoch)) -> String {
    let prefix = KINDS.iter().find(|(k, ..)| *k == kind).map_or("", |(.., prefix)| prefix);
    format!("{prefix}{epoch}")
}

/// Whose marks the table `name` holds; none if it holds no marks.
pub(super) fn marks_of(name: &str) -> Option<(Marks, Epoch)> {
    KINDS.iter().find_map(|(kind, _, prefix)| Some((*kind, Epoch(name.strip_prefix(prefix)?.parse().ok()?))))
}

/// A row of new marks.
pub(super) fn new_marks((kind, epoch): (Marks, Epoch), marks: &BTreeSet<Mark>) -> Vec<u8> {
    let code = KINDS.iter().find(|(k, ..)| *k == kind).map_or(0, |(_, code, _)| *code);
    let mut row = Vec::with_capacity(9 + 16 * marks.len());
    row.push(code);
    row.extend_from_slice(&epoch.0.to_be_bytes());
    marks.iter().for_each(|mark| row.extend_from_slice(mark));
    row
}

/// Whose marks a row of new marks holds, and which.
pub(super) fn read_new_marks(row: &[u8]) -> Result<((Marks, Epoch), &[Mark]), Malformed> {
    let mut reader = Reader::new(row);
    let code = reader.u8()?;
    let (kind, ..) = KINDS.iter().find(|(_, known, _)| *known == code).ok_or(Malformed)?;
    let epoch = Epoch(reader.u64()?);
    match reader.rest().as_chunks() {
        ([], _) => Err(Malformed),
        (marks, []) => Ok(((*kind, epoch), marks)),
        _ => Err(Malformed),
    }
}

/// A row, opened.
pub(super) struct Record {
    /// Opens the sealed part of the content; drawn for this row alone.
    pub(super) key: Secret<32>,
    pub(super) slots: Vec<u32>,
    pub(super) sealed_len: usize,
    pub(super) raw_len: usize,
    pub(super) meta: Zeroizing<Vec<u8>>,
}

/// The epoch of the key that a row in redb is sealed with.
pub(super) fn epoch_of(value: &[u8]) -> Result<Epoch, Malformed> {
    Reader::new(value).u64().map(Epoch)
}

impl Record {
    /// The row as it goes into redb.
    pub(super) fn seal<R: CryptoRng>(&self, at: (Shelf, RowId), epoch: Epoch, key: &[u8; 32], rng: &mut R) -> Vec<u8> {
        let mut text = Zeroizing::new(Vec::with_capacity(64 + 4 * self.slots.len() + self.meta.len()));
        text.push(at.0.code());
        text.extend_from_slice(&at.1.0.to_be_bytes());
        text.extend_from_slice(self.key.expose());
        text.extend_from_slice(&(self.sealed_len as u64).to_be_bytes());
        text.extend_from_slice(&(self.raw_len as u64).to_be_bytes());
        text.extend_from_slice(&(self.slots.len() as u64).to_be_bytes());
        self.slots.iter().for_each(|slot| text.extend_from_slice(&slot.to_be_bytes()));
        text.extend_from_slice(&self.meta);
        let seal = seal::seal(key, &mut text, rng);
        [&epoch.0.to_be_bytes(), &seal[..], &text].concat()
    }

    /// Opens a row with the key that `key_of` has for its epoch.
    pub(super) fn open<'k>(
        value: &[u8],
        at: (Shelf, RowId),
        key_of: impl FnOnce(Epoch) -> Result<&'k [u8; 32], StoreError>,
    ) -> Result<(Epoch, Self), StoreError> {
        let damaged = |_| damaged(at, "it does not open");
        let mut reader = Reader::new(value);
        let epoch = Epoch(reader.u64().map_err(damaged)?);
        let seal = reader.array::<SEAL_LEN>().map_err(damaged)?;
        let mut text = Zeroizing::new(reader.rest().to_vec());
        seal::open(key_of(epoch)?, &seal, &mut text).map_err(damaged)?;
        Ok((epoch, Self::decode(&text, at).map_err(damaged)?))
    }

    fn decode(text: &[u8], at: (Shelf, RowId)) -> Result<Self, Malformed> {
        let mut reader = Reader::new(text);
        if (reader.u8()?, reader.u64()?) != (at.0.code(), at.1.0) {
            return Err(Malformed);
        }
        let key = Secret::take(&mut reader.array()?);
        let mut length = || -> Result<usize, Malformed> { usize::try_from(reader.u64()?).map_err(|_| Malformed) };
        let (sealed_len, raw_len, slots) = (length()?, length()?, length()?);
        let slots = reader.bytes(slots.checked_mul(4).ok_or(Malformed)?)?;
        let slots = slots.as_chunks().0.iter().map(|slot| u32::from_be_bytes(*slot)).collect();
        Ok(Self { key, slots, sealed_len, raw_len, meta: Zeroizing::new(reader.rest().to_vec()) })
    }
}

/// The error that names a row.
pub(super) fn damaged((shelf, id): (Shelf, RowId), why: &str) -> StoreError {
    StoreError::Damaged(format!("{shelf:?} row {}: {why}", id.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;
    use crate::store::tests::{EPOCH, private_dir, refusal, rng, store_with_a_packet};
    use redb::ReadableDatabase;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_row_that_was_moved_or_changed_does_not_open() {
        let moved: [(&str, Shelf, u64); 2] = [("Pool row 1", Shelf::Pool, 1), ("Spool row 0", Shelf::Spool, 0)];
        for (name, shelf, id) in moved {
            let dir = private_dir();
            let (store, from) = store_with_a_packet(dir.path());
            let value = store.view().unwrap().row(Shelf::Pool, from).unwrap().unwrap();
            insert(&store, shelf, id, &value);
            drop(store);
            assert_eq!(refusal(dir.path()), format!("the store is damaged: {name}: it does not open"));
        }
        for (len, at) in [(0, 0), (7, 0), (40, 0), (120, 119), (120, 8), (120, 40), (120, 60)] {
            let dir = private_dir();
            let (store, id) = store_with_a_packet(dir.path());
            let mut value = store.view().unwrap().row(Shelf::Pool, id).unwrap().unwrap();
            value.truncate(len);
            value.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1);
            insert(&store, Shelf::Pool, id.0, &value);
            drop(store);
            assert_eq!(refusal(dir.path()), "the store is damaged: Pool row 0: it does not open", "{len} bytes, {at}");
        }
    }

    fn insert(store: &Store, shelf: Shelf, id: u64, value: &[u8]) {
        let txn = store.db.begin_write().unwrap();
        txn.open_table(shelf.table()).unwrap().insert(id, value).unwrap();
        txn.open_table(META).unwrap().insert(META_NEXT_ROW, 9).unwrap();
        txn.commit().unwrap();
    }

    #[test]
    fn two_rows_with_one_slot_are_damage() {
        let dir = private_dir();
        let (store, id) = store_with_a_packet(dir.path());
        let value = store.view().unwrap().row(Shelf::Pool, id).unwrap().unwrap();
        let (_, record) = store.open_row((Shelf::Pool, id), &value).unwrap();
        let spool = store.keys.spool(EPOCH).unwrap();
        let twin = record.seal((Shelf::Outbox, RowId(5)), EPOCH, spool, &mut rng());
        insert(&store, Shelf::Outbox, 5, &twin);
        drop(store);
        let error = refusal(dir.path());
        assert!(error.starts_with("the store is damaged: Outbox row 5: it names a slot"), "{error}");
    }

    /// A store as the fog that wrote format 1 left it: on each shelf one row whose meta is the shelf's code and whose
    /// content is nine times that, and a replay tag.
    fn store_of_format_1() -> tempfile::TempDir {
        let files: [(&str, &[u8]); 3] = [
            ("store.redb", include_bytes!("../../tests/stores/format-1/store.redb.zst")),
            ("slab", include_bytes!("../../tests/stores/format-1/slab.zst")),
            ("epoch.keys", include_bytes!("../../tests/stores/format-1/epoch.keys.zst")),
        ];
        let dir = private_dir();
        for (name, bytes) in files {
            let path = dir.path().join(name);
            std::fs::write(&path, zstd::decode_all(bytes).unwrap()).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        dir
    }

    #[test]
    fn a_store_of_format_1_is_brought_up_to_date_with_all_that_it_holds() {
        let dir = store_of_format_1();
        for _ in 0..2 {
            let mut store = Store::open(dir.path()).unwrap();
            let old = [Shelf::Pool, Shelf::Spool, Shelf::Fragments, Shelf::Parts, Shelf::Outbox];
            for shelf in old {
                let rows = store.rows(shelf).unwrap();
                assert_eq!((rows.len(), &rows[0].meta[..]), (1, &[shelf.code()][..]), "{shelf:?}");
                assert_eq!(&store.read(shelf, rows[0].id).unwrap().sealed[..], [shelf.code(); 9], "{shelf:?}");
            }
            assert_eq!(store.mark_count(Marks::Replay, EPOCH), 1);
            for shelf in SHELVES.into_iter().filter(|shelf| !old.contains(shelf)) {
                let mut txn = store.begin().unwrap();
                txn.put(shelf, EPOCH, b"new", b"", b"", &mut rng()).unwrap();
                txn.commit().unwrap();
            }
            let txn = store.db.begin_read().unwrap();
            let format = txn.open_table(META).unwrap().get(META_FORMAT).unwrap().unwrap().value();
            assert_eq!(format, FORMAT);
        }
    }

    #[test]
    fn a_store_of_a_fog_that_knew_fewer_shelves_gets_theirs() {
        let dir = private_dir();
        let (store, id) = store_with_a_packet(dir.path());
        let txn = store.db.begin_write().unwrap();
        assert!(txn.delete_table(Shelf::Notes.table()).unwrap());
        txn.commit().unwrap();
        drop(store);
        let store = Store::open(dir.path()).unwrap();
        assert!(store.rows(Shelf::Notes).unwrap().is_empty() && store.read(Shelf::Pool, id).is_ok());
    }

    #[test]
    fn a_store_of_a_newer_fog_is_refused() {
        let dir = private_dir();
        let store = Store::open(dir.path()).unwrap();
        let txn = store.db.begin_write().unwrap();
        txn.open_table(META).unwrap().insert(META_FORMAT, FORMAT + 1).unwrap();
        txn.commit().unwrap();
        drop(store);
        let want = format!("made by a newer fog: its format is {}, this fog knows {FORMAT}", FORMAT + 1);
        assert_eq!(refusal(dir.path()), want);
    }
}
