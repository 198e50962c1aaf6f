//! The node's memory: one redb file for rows, one slab file for content, one file of keys.
//!
//! A row lies on a shelf: its meta (small: what the engine keeps an index of) sealed in redb, its content in slots of
//! the slab. The content's key is drawn for the row alone and stands in the sealed redb row only. So to seal a row
//! under another epoch's spool key means writing some hundred bytes, and once a spool key is destroyed nothing sealed
//! under it can be read again, wherever copies of it may lie. What always holds is said in `schema`.

mod disk;
mod header;
mod keys;
mod marks;
mod schema;
mod seal;
mod slab;
mod txn;
mod view;

pub use disk::{MemoryDisk, Work};
pub use schema::SHELVES;
pub use slab::{SLOT_LEN, STEP};
pub use txn::Txn;

use crate::id::Epoch;
use crate::secret::Secret;
use disk::Backing;
use header::Commits;
use keys::KeyFile;
use marks::MarkIndex;
use rand_core::CryptoRng;
use redb::backends::FileBackend;
use redb::{Builder, Database, ReadTransaction, ReadableDatabase, TableHandle};
use schema::{Record, damaged};
use seal::SEAL_LEN;
use slab::Slab;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use thiserror::Error;
use view::View;
use zeroize::Zeroizing;

const DB_FILE: &str = "store.redb";

/// What redb may hold in memory; its own default is 1 GiB.
const CACHE_LEN: usize = 32 << 20;

/// What a row is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Shelf {
    /// Packets a mix holds until they are due.
    Pool,
    /// Mail the entry answers for.
    Spool,
    /// Fragments waiting for their send slot.
    Fragments,
    /// Parts of mail at the exit, until there are enough.
    Parts,
    /// Mail for the local MTA.
    Outbox,
    /// What the engine has to know of itself after a restart.
    Notes,
    /// Loops that left here, and what became of them.
    Loops,
    /// The first hops that this node keeps.
    Firsts,
    /// What became of loops, an epoch a row.
    Health,
    /// Through which nodes loops are wanted.
    Pings,
    /// What opens the answers to reply blocks made here.
    Surbs,
    /// Reply blocks by which this node, as an exit, has still to answer.
    Answers,
    /// How often this node sends.
    Pace,
}

/// Sets of 16-byte marks, one set an epoch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Marks {
    /// Replay tags, of the mix key of that epoch.
    Replay,
    /// What the MTA has handed in already.
    Submitted,
    /// Mail the exit has delivered or given up.
    Delivered,
}

/// A row's number. All shelves share the numbers, and none is ever given again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RowId(pub u64);

/// A row without its content.
#[derive(Debug)]
pub struct Row {
    /// Its number.
    pub id: RowId,
    /// The epoch whose spool key seals it.
    pub epoch: Epoch,
    /// What `put` or the latest `set_meta` said.
    pub meta: Zeroizing<Vec<u8>>,
    /// Slots that its content takes.
    pub slots: u64,
}

/// A row's content.
#[derive(Debug, PartialEq, Eq)]
pub struct Content {
    /// The part that lies sealed.
    pub sealed: Zeroizing<Vec<u8>>,
    /// The part that lies as it is.
    pub raw: Vec<u8>,
}

/// How full the store is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Usage {
    /// Slots in use, `SLOT_LEN` bytes each.
    pub slots: u64,
    /// Slots the slab has; it grows when they don't suffice.
    pub slots_total: u64,
    /// Bytes of slab and database.
    pub bytes: u64,
}

/// Why the store can't do what it was asked to.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Another process has the database open.
    #[error("{0}: another fog has it open")]
    Locked(PathBuf),
    /// Others than its owner may get at it.
    #[error("{path}: its mode {mode:o} lets others in; fog wants {wanted:o}")]
    Access {
        /// File or directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// What they must be.
        wanted: u32,
    },
    /// The database has a format that this fog doesn't know.
    #[error("made by a newer fog: its format is {0}, this fog knows {known}", known = schema::FORMAT)]
    Newer(u64),
    /// What is on disk contradicts itself.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// There is no spool key of this epoch.
    #[error("there is no key of epoch {0}")]
    NoKey(Epoch),
    /// There is no such row.
    #[error("there is no row {1:?} on the shelf {0:?}")]
    NoRow(Shelf, RowId),
    /// The disk is full.
    #[error("the disk is full")]
    Full,
    /// An earlier write failed: what is on disk is known again only after opening the store anew.
    #[error("an earlier write failed; the store must be opened anew")]
    Stopped,
    /// The operating system refused.
    #[error("{what}: {source}")]
    Io {
        /// The file.
        what: String,
        /// Its words.
        source: io::Error,
    },
    /// redb refused.
    #[error("{DB_FILE}: {0}")]
    Database(Box<redb::Error>),
}

impl StoreError {
    /// Whether what is on disk is not what was written there, so that opening it anew doesn't help.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Damaged(_) | Self::NoKey(_) | Self::NoRow(..) => true,
            Self::Io { source, .. } => source.kind() == ErrorKind::UnexpectedEof,
            // What failed before is known anew after a start.
            Self::Database(error) => !matches!(**error, redb::Error::PreviousIo),
            Self::Locked(_) | Self::Access { .. } | Self::Newer(_) | Self::Full | Self::Stopped => false,
        }
    }
}

/// The store of one node.
pub struct Store {
    db: Database,
    db_file: Backing,
    slab: Slab,
    keys: KeyFile,
    next_row: u64,
    marks: MarkIndex,
    /// What is sealed under which spool key.
    sealed: BTreeSet<(Epoch, Shelf, RowId)>,
    stopped: bool,
    commit_undone: bool,
}

/// The seeds of the mix keys that the store in `dir` has, read beside whoever has it open. Nothing is locked or written.
///
/// # Errors
/// `Io`, or `Damaged`: then, too, if a key was being written at this moment.
pub fn mix_seeds(dir: &Path) -> Result<BTreeMap<Epoch, Secret<32>>, StoreError> {
    let file = File::open(dir.join(keys::FILE)).map_err(io_error(keys::FILE))?;
    Ok(KeyFile::open(Backing::File(file), false)?.into_mix_seeds())
}

impl Store {
    /// Opens the store in `dir`, which must exist with mode 0700; what is missing in an empty one is made.
    ///
    /// # Errors
    /// `Locked`, `Access`, `Newer`, `Damaged`; `NoKey` if a row's key is gone; `Io` and `Database`.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        check_mode(dir, 0o700)?;
        let slab = open_file(&dir.join("slab"))?;
        // redb locks its file too, but only once it is made; until somebody holds this, all of them may be in use.
        slab.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => StoreError::Locked(dir.to_owned()),
            TryLockError::Error(error) => io_error("slab")(error),
        })?;
        let db = open_file(&dir.join(DB_FILE))?;
        let keys = open_file(&dir.join(keys::FILE))?;
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(io_error(&dir.to_string_lossy()))?;
        Self::assemble(Backing::File(db), Backing::File(slab), Backing::File(keys))
    }

    /// Opens the store on a disk in memory.
    ///
    /// # Errors
    /// As `open`; there is no lock.
    pub fn on(disk: &MemoryDisk) -> Result<Self, StoreError> {
        let file = |file: &disk::MemoryFile| Backing::Memory(file.clone());
        Self::assemble(file(&disk.db), file(&disk.slab), file(&disk.keys))
    }

    /// Whether the newest commit was not whole when the store was opened, and the one before holds. After a power cut that is
    /// one that had not been acknowledged yet; without one the disk has lost what it had said to keep.
    #[must_use]
    pub const fn commit_was_undone(&self) -> bool {
        self.commit_undone
    }

    /// Begins a transaction. One that is dropped without `commit` has changed nothing.
    ///
    /// # Errors
    /// `Stopped`, `Database`.
    pub fn begin(&mut self) -> Result<Txn<'_>, StoreError> {
        if self.stopped {
            return Err(StoreError::Stopped);
        }
        let view = self.view()?;
        Ok(Txn::new(self, view))
    }

    /// Makes the keys that are missing of the epochs `from` to `to` inclusive; they are durable when this returns.
    ///
    /// # Errors
    /// `Stopped`, `Full`, `Io`; the store is stopped then.
    pub fn ensure_keys<R: CryptoRng>(&mut self, from: Epoch, to: Epoch, rng: &mut R) -> Result<(), StoreError> {
        if self.stopped {
            return Err(StoreError::Stopped);
        }
        let made = self.keys.ensure(from..=to, rng).map_err(io_error(keys::FILE));
        self.stopped = made.is_err();
        made
    }

    /// The epochs of which there are keys.
    pub fn key_epochs(&self) -> impl Iterator<Item = Epoch> {
        self.keys.epochs()
    }

    /// Whether a row is sealed under the spool key of `epoch`.
    #[must_use]
    pub fn is_sealed_under(&self, epoch: Epoch) -> bool {
        self.sealed_under(epoch).next().is_some()
    }

    fn sealed_under(&self, epoch: Epoch) -> impl Iterator<Item = (Shelf, RowId)> {
        let of_epoch = self.sealed.range((epoch, Shelf::Pool, RowId(0))..).take_while(move |(of, ..)| *of == epoch);
        of_epoch.map(|(_, shelf, id)| (*shelf, *id))
    }

    /// Destroys mix and spool key of `epoch`: nothing that was made for the one or sealed under the other can be opened
    /// any more, wherever copies of it lie. False, and nothing is changed, if a row is sealed under it still.
    ///
    /// # Errors
    /// `Stopped`, `Io`; the store is stopped then.
    pub fn destroy_keys(&mut self, epoch: Epoch) -> Result<bool, StoreError> {
        if self.stopped {
            return Err(StoreError::Stopped);
        }
        if self.is_sealed_under(epoch) {
            return Ok(false);
        }
        let destroyed = self.keys.destroy(epoch).map_err(io_error(keys::FILE));
        self.stopped = destroyed.is_err();
        destroyed.map(|()| true)
    }

    /// Draws other mix keys for those of `epochs` that have one, and destroys the old ones; what was made for these can't
    /// be opened any more.
    ///
    /// # Errors
    /// `Stopped`, `Io`; the store is stopped then.
    pub fn draw_mix_keys_anew<R: CryptoRng>(&mut self, epochs: &[Epoch], rng: &mut R) -> Result<(), StoreError> {
        if self.stopped {
            return Err(StoreError::Stopped);
        }
        let drawn = self.keys.draw_anew(epochs, rng).map_err(io_error(keys::FILE));
        self.stopped = drawn.is_err();
        drawn
    }

    /// The seed of this node's mix key of `epoch`; none if `ensure_keys` wasn't asked for it.
    #[must_use]
    pub fn mix_seed(&self, epoch: Epoch) -> Option<&Secret<32>> {
        self.keys.mix_seed(epoch)
    }

    /// All rows of `shelf`, by id.
    ///
    /// # Errors
    /// `Damaged`, `NoKey`, `Database`.
    pub fn rows(&self, shelf: Shelf) -> Result<Vec<Row>, StoreError> {
        let mut rows = Vec::new();
        scan(self.view()?.txn(), &self.keys, shelf, |id, epoch, record| {
            rows.push(Row { id, epoch, meta: record.meta, slots: record.slots.len() as u64 });
            Ok(())
        })?;
        Ok(rows)
    }

    /// The content of a row.
    ///
    /// # Errors
    /// `NoRow`, `Damaged`, `Io`, `Database`.
    pub fn read(&self, shelf: Shelf, id: RowId) -> Result<Content, StoreError> {
        let value = self.view()?.row(shelf, id)?.ok_or(StoreError::NoRow(shelf, id))?;
        self.content((shelf, id), &value)
    }

    /// The epochs of which there are marks of this kind.
    pub fn mark_epochs(&self, kind: Marks) -> impl Iterator<Item = Epoch> {
        self.marks.tables().into_iter().filter(move |(of, _)| *of == kind).map(|(_, epoch)| epoch)
    }

    /// How many marks of this kind and epoch there are.
    #[must_use]
    pub fn mark_count(&self, kind: Marks, epoch: Epoch) -> u64 {
        self.marks.count((kind, epoch))
    }

    /// Lets the slab grow by so many bytes from here on, and no more: what needs more is told that there is no room.
    pub const fn allow_growth(&mut self, bytes: u64) {
        self.slab.allow_growth(bytes);
    }

    /// How full it is.
    ///
    /// # Errors
    /// `Io` if the operating system doesn't say.
    pub fn usage(&self) -> Result<Usage, StoreError> {
        let db = self.db_file.len().map_err(io_error(DB_FILE))?;
        Ok(Usage {
            slots: self.slab.used(),
            slots_total: self.slab.total().into(),
            bytes: db.saturating_add(self.slab.len()?),
        })
    }

    fn assemble(db_file: Backing, slab: Backing, keys: Backing) -> Result<Self, StoreError> {
        let (db, commit_undone) = open_database(&db_file, &keys)?;
        let fresh = is_fresh(&db)?;
        let keys = KeyFile::open(keys, fresh)?;
        let mut slab = Slab::open(slab)?;
        if fresh && (keys.epochs().next().is_some() || slab.total() > 0) {
            let why =
                "it is empty or gone, and what belongs to it isn't: without replay tags no key of theirs may be used";
            return Err(StoreError::Damaged(format!("{DB_FILE}: {why}")));
        }
        lay_out(&db, fresh)?;
        let txn = db.begin_read().map_err(database)?;
        let next_row = meta(&txn, schema::META_NEXT_ROW)?;
        let mut sealed = BTreeSet::new();
        for shelf in schema::SHELVES {
            scan(&txn, &keys, shelf, |id, epoch, record| {
                sealed.insert((epoch, shelf, id));
                if id.0 >= next_row {
                    return Err(damaged((shelf, id), "its number has not been given yet"));
                }
                if !slab.claim(&record.slots) {
                    return Err(damaged((shelf, id), "it names a slot that the slab has not, or that another row has"));
                }
                Ok(())
            })?;
        }
        let marks = MarkIndex::open(&txn, &db_file)?;
        Ok(Self { db, db_file, slab, keys, next_row, marks, sealed, stopped: false, commit_undone })
    }

    fn view(&self) -> Result<View, StoreError> {
        self.db.begin_read().map(View::new).map_err(database)
    }

    fn open_row(&self, at: (Shelf, RowId), value: &[u8]) -> Result<(Epoch, Record), StoreError> {
        Record::open(value, at, |epoch| self.keys.spool(epoch))
    }

    /// The content of the row `value`. The lengths come from a record that only we could seal, but slots can rot.
    fn content(&self, at: (Shelf, RowId), value: &[u8]) -> Result<Content, StoreError> {
        let (_, record) = self.open_row(at, value)?;
        if record.slots.is_empty() {
            return Ok(Content { sealed: Zeroizing::default(), raw: Vec::new() });
        }
        let wrong = || damaged(at, "its content does not open");
        let end = record.slots.len().saturating_mul(SLOT_LEN);
        let raw_from = end.checked_sub(record.raw_len).ok_or_else(wrong)?;
        if raw_from < SEAL_LEN.saturating_add(record.sealed_len) {
            return Err(wrong());
        }
        let mut raw = vec![0; record.raw_len];
        self.slab.read(&record.slots, raw_from, &mut raw)?;
        let mut seal = [0; SEAL_LEN];
        self.slab.read(&record.slots, 0, &mut seal)?;
        let mut sealed = Zeroizing::new(vec![0; record.sealed_len]);
        self.slab.read(&record.slots, SEAL_LEN, &mut sealed)?;
        seal::open_beside(&record.key, &raw, &seal, &mut sealed)
            // As it was up to format 2. What was sealed since doesn't open so, whatever has become of it.
            .or_else(|_| seal::open(record.key.expose(), &seal, &mut sealed))
            .map_err(|_| wrong())?;
        Ok(Content { sealed, raw })
    }
}

/// The database, and whether its newest commit was not whole.
fn open_database(file: &Backing, keys: &Backing) -> Result<(Database, bool), StoreError> {
    // redb writes its first bytes last: zeros there mean that the power went while it made the file, and it would
    // refuse that for ever. The key file gets its first bytes only after that, so nothing can be lost.
    let mut magic = [0; 9];
    let half_made = keys.len().map_err(io_error(keys::FILE))? == 0
        && match file.read(0, &mut magic) {
            Ok(()) => magic == [0; 9],
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => true,
            Err(error) => return Err(io_error(DB_FILE)(error)),
        };
    if half_made {
        file.set_len(0).map_err(io_error(DB_FILE))?;
    }
    let before = Commits::of(file).map_err(io_error(DB_FILE))?;
    let mut builder = Builder::new();
    // redb doesn't ask whether a page is the one that it wrote, and may panic at one that isn't, or not find a row of it;
    // but once, here, it reads them all.
    builder.set_cache_size(CACHE_LEN).set_check_integrity_on_open(true);
    let db = match file {
        Backing::File(file) => {
            let backend = file.try_clone().map_err(io_error(DB_FILE)).map(FileBackend::new)?.map_err(database)?;
            builder.create_with_backend(backend).map_err(database)
        }
        Backing::Memory(file) => builder.create_with_backend(file.clone()).map_err(database),
    }?;
    let after = Commits::of(file).map_err(io_error(DB_FILE))?;
    let undone = before.zip(after).is_some_and(|(before, after)| before.was_undone(&after));
    Ok((db, undone))
}

/// Whether `db` is no store yet.
fn is_fresh(db: &Database) -> Result<bool, StoreError> {
    let txn = db.begin_read().map_err(database)?;
    if txn.list_tables().map_err(database)?.next().is_none() {
        return Ok(true);
    }
    match meta(&txn, schema::META_FORMAT)? {
        schema::OLDEST..=schema::FORMAT => Ok(false),
        newer if newer > schema::FORMAT => Err(StoreError::Newer(newer)),
        other => Err(StoreError::Damaged(format!("{DB_FILE}: there never was a format {other}"))),
    }
}

/// Makes the tables that are missing: all of them in a fresh store, those of new shelves in an older fog's. It is of our
/// format then.
fn lay_out(db: &Database, fresh: bool) -> Result<(), StoreError> {
    let txn = db.begin_read().map_err(database)?;
    let there: BTreeSet<_> = txn.list_tables().map_err(database)?.map(|table| table.name().to_owned()).collect();
    let mut missing = schema::SHELVES.into_iter().filter(|shelf| !there.contains(shelf.table().name())).peekable();
    if missing.peek().is_none() && meta(&txn, schema::META_FORMAT)? == schema::FORMAT {
        return Ok(());
    }
    let txn = db.begin_write().map_err(database)?;
    {
        let mut table = txn.open_table(schema::META).map_err(database)?;
        table.insert(schema::META_FORMAT, schema::FORMAT).map_err(database)?;
        if fresh {
            table.insert(schema::META_NEXT_ROW, 0).map_err(database)?;
        }
    }
    for shelf in missing {
        txn.open_table(shelf.table()).map_err(database)?;
    }
    txn.commit().map_err(database)
}

fn meta(txn: &ReadTransaction, name: &str) -> Result<u64, StoreError> {
    let table = txn.open_table(schema::META).map_err(database)?;
    let value = table.get(name).map_err(database)?;
    value.map(|value| value.value()).ok_or_else(|| StoreError::Damaged(format!("{DB_FILE}: meta has no {name}")))
}

/// Opens every row of `shelf` in turn.
fn scan(
    txn: &ReadTransaction,
    keys: &KeyFile,
    shelf: Shelf,
    mut each: impl FnMut(RowId, Epoch, Record) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let table = txn.open_table(shelf.table()).map_err(database)?;
    for entry in table.range::<u64>(..).map_err(database)? {
        let (id, value) = entry.map_err(database)?;
        let id = RowId(id.value());
        let (epoch, record) = Record::open(value.value(), (shelf, id), |epoch| keys.spool(epoch))?;
        each(id, epoch, record)?;
    }
    Ok(())
}

fn open_file(path: &Path) -> Result<File, StoreError> {
    let name = path.to_string_lossy();
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
    let file = file.map_err(io_error(&name))?;
    give_to_owner_of_directory(path, &file).map_err(io_error(&name))?;
    check_mode(path, 0o600)?;
    Ok(file)
}

/// What root makes here is the node's user's, who has to open it.
fn give_to_owner_of_directory(path: &Path, file: &File) -> io::Result<()> {
    const ROOT: u32 = 0;
    let dir = path.parent().map(std::fs::metadata).transpose()?;
    match dir {
        Some(dir) if dir.uid() != ROOT && file.metadata()?.uid() == ROOT => {
            std::os::unix::fs::fchown(file, Some(dir.uid()), Some(dir.gid()))
        }
        _ => Ok(()),
    }
}

fn check_mode(path: &Path, wanted: u32) -> Result<(), StoreError> {
    let mode = path.metadata().map_err(io_error(&path.to_string_lossy()))?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(StoreError::Access { path: path.to_owned(), mode, wanted });
    }
    Ok(())
}

fn io_error(what: &str) -> impl FnOnce(io::Error) -> StoreError {
    move |source| match source.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => StoreError::Full,
        _ => StoreError::Io { what: what.to_owned(), source },
    }
}

fn database(error: impl Into<redb::Error>) -> StoreError {
    match error.into() {
        // What has another beginning than its own files.
        redb::Error::Io(source) if source.kind() == ErrorKind::InvalidData => {
            StoreError::Damaged(format!("{DB_FILE}: {source}"))
        }
        redb::Error::Io(source) => io_error(DB_FILE)(source),
        redb::Error::Corrupted(why) => StoreError::Damaged(format!("{DB_FILE}: {why}")),
        other => StoreError::Database(Box::new(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use std::fs::{self, Permissions};
    use tempfile::TempDir;

    pub(in crate::store) const EPOCH: Epoch = Epoch(20_779);

    pub(in crate::store) fn private_dir() -> TempDir {
        tempfile::Builder::new().permissions(Permissions::from_mode(0o700)).tempdir().unwrap()
    }

    pub(in crate::store) fn rng() -> StdRng {
        StdRng::seed_from_u64(7)
    }

    /// A store in `dir` with the keys of `EPOCH` and one packet in its pool.
    pub(in crate::store) fn store_with_a_packet(dir: &Path) -> (Store, RowId) {
        let mut store = Store::open(dir).unwrap();
        let id = add_packet(&mut store);
        (store, id)
    }

    pub(in crate::store) fn add_packet(store: &mut Store) -> RowId {
        store.ensure_keys(EPOCH, EPOCH, &mut rng()).unwrap();
        let mut txn = store.begin().unwrap();
        let id =
            txn.put(Shelf::Pool, EPOCH, b"due soon", b"next header and hop key", &[9; 58_437], &mut rng()).unwrap();
        txn.commit().unwrap();
        id
    }

    /// The error that opening gives, in words.
    pub(in crate::store) fn refusal(dir: &Path) -> String {
        match Store::open(dir) {
            Ok(_) => "opened".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_store_opened_twice_is_locked() {
        let dir = private_dir();
        let store = Store::open(dir.path()).unwrap();
        assert!(matches!(Store::open(dir.path()), Err(StoreError::Locked(_))));
        drop(store);
        assert!(Store::open(dir.path()).is_ok());
    }

    #[test]
    fn what_others_may_get_at_is_refused() {
        for name in ["", "store.redb", "slab", "epoch.keys"] {
            let dir = private_dir();
            drop(Store::open(dir.path()).unwrap());
            let path = dir.path().join(name);
            let mode = path.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{name} is made with mode {mode:o}");
            fs::set_permissions(&path, Permissions::from_mode(mode | 0o040)).unwrap();
            let Err(StoreError::Access { path: refused, mode, .. }) = Store::open(dir.path()) else {
                panic!("{name} was taken with mode {mode:o}")
            };
            assert_eq!((refused, mode & 0o777), (path, if name.is_empty() { 0o740 } else { 0o640 }));
        }
    }

    #[test]
    fn a_missing_directory_is_named() {
        let dir = private_dir();
        let error = refusal(&dir.path().join("nowhere"));
        assert!(error.contains("nowhere") && error.contains("No such file"), "{error}");
    }

    #[test]
    fn a_slab_that_is_cut_off_or_gone_is_damage_that_names_the_row() {
        for gone in [false, true] {
            let dir = private_dir();
            drop(store_with_a_packet(dir.path()));
            let slab = dir.path().join("slab");
            if gone {
                fs::remove_file(&slab).unwrap();
            } else {
                File::options().write(true).open(&slab).unwrap().set_len(SLOT_LEN as u64 - 1).unwrap();
            }
            let error = refusal(dir.path());
            assert!(error.starts_with("the store is damaged: Pool row 0: it names a slot"), "{error}");
        }
    }

    #[test]
    fn sealed_content_that_rots_is_damage() {
        let dir = private_dir();
        let (store, id) = store_with_a_packet(dir.path());
        let before = store.read(Shelf::Pool, id).unwrap();
        assert_eq!(&*before.sealed, b"next header and hop key");
        let slab = Backing::File(File::options().read(true).write(true).open(dir.path().join("slab")).unwrap());
        for at in [0, 30, 50, SEAL_LEN as u64 + 22] {
            let mut byte = [0];
            slab.read(at, &mut byte).unwrap();
            slab.write(at, &[byte[0] ^ 1]).unwrap();
            let error = store.read(Shelf::Pool, id).unwrap_err().to_string();
            assert_eq!(error, "the store is damaged: Pool row 0: its content does not open", "byte {at}");
            slab.write(at, &byte).unwrap();
        }
        assert_eq!(store.read(Shelf::Pool, id).unwrap(), before);
    }

    #[test]
    fn nothing_sealed_and_no_length_of_it_is_on_disk() {
        const MARK: &[u8] = b"alice@example.com writes to bob@example.org";
        let dir = private_dir();
        let mut store = Store::open(dir.path()).unwrap();
        store.ensure_keys(EPOCH, EPOCH, &mut rng()).unwrap();
        let mut txn = store.begin().unwrap();
        txn.put(Shelf::Spool, EPOCH, MARK, MARK, &[9; 100], &mut rng()).unwrap();
        txn.commit().unwrap();
        let mix_seed = *store.mix_seed(EPOCH).unwrap().expose();
        let slab = fs::read(dir.path().join("slab")).unwrap();
        let zeros = slab[..SLOT_LEN].chunks(16).filter(|part| **part == [0; 16]).count();
        assert_eq!(zeros, 0, "the end of the mail shows");
        drop(store);
        for entry in fs::read_dir(dir.path()).unwrap() {
            let path = entry.unwrap().path();
            let bytes = fs::read(&path).unwrap();
            let has = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
            assert!(!has(MARK), "{} has the mark", path.display());
            assert_eq!(has(&mix_seed), path.ends_with("epoch.keys"), "{}: the mix seed", path.display());
        }
    }
}
