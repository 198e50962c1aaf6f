//! Where bytes lie: in files, or on a disk in memory whose power can be cut.

use rand_core::CryptoRng;
use redb::StorageBackend;
use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A power cut leaves each of these whole, old or new.
const SECTOR: usize = 512;

/// One file, of whichever kind.
#[derive(Debug)]
pub(super) enum Backing {
    File(File),
    Memory(MemoryFile),
}

impl Backing {
    pub(super) fn len(&self) -> io::Result<u64> {
        match self {
            Self::File(file) => Ok(file.metadata()?.len()),
            Self::Memory(file) => StorageBackend::len(file),
        }
    }

    pub(super) fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        match self {
            Self::File(file) => file.read_exact_at(out, offset),
            Self::Memory(file) => StorageBackend::read(file, offset, out),
        }
    }

    pub(super) fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        match self {
            Self::File(file) => file.write_all_at(data, offset),
            Self::Memory(file) => StorageBackend::write(file, offset, data),
        }
    }

    pub(super) fn set_len(&self, len: u64) -> io::Result<()> {
        match self {
            Self::File(file) => file.set_len(len),
            Self::Memory(file) => StorageBackend::set_len(file, len),
        }
    }

    /// What was written is on disk when this returns, and so is the length.
    pub(super) fn sync(&self) -> io::Result<()> {
        match self {
            Self::File(file) => file.sync_data(),
            Self::Memory(file) => StorageBackend::sync_data(file),
        }
    }
}

/// A disk in memory, for simulations: it outlives the `Store` on it, and a clone is the same disk.
///
/// It forgets like a real one: what was written but not synced may be lost when the power goes.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk {
    pub(super) db: MemoryFile,
    pub(super) slab: MemoryFile,
    pub(super) keys: MemoryFile,
}

impl MemoryDisk {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        let faults = Arc::default();
        let file = || MemoryFile { image: Arc::default(), faults: Arc::clone(&faults) };
        Self { db: file(), slab: file(), keys: file() }
    }

    /// What who takes this disk away finds on it: the bytes of each file, also those that no sync has reached.
    #[must_use]
    pub fn files(&self) -> [Vec<u8>; 3] {
        [&self.db, &self.slab, &self.keys].map(|file| locked(&file.image).bytes.clone())
    }

    /// A disk with these files on it, in the order in which `files` gives them: what an older copy can be put together of.
    #[must_use]
    pub fn with_files(files: [Vec<u8>; 3]) -> Self {
        let disk = Self::new();
        for (file, bytes) in [&disk.db, &disk.slab, &disk.keys].into_iter().zip(files) {
            *locked(&file.image) = Image { bytes: bytes.clone(), synced: bytes, ..Image::default() };
        }
        disk
    }

    /// Lets `n` more writes and syncs succeed and fails all that follow.
    pub fn fail_after(&self, n: u64) {
        locked(&self.db.faults).left = Some(n);
    }

    /// Lets `n` more reads succeed and fails all that follow, as a disk does that has lost what is on it.
    pub fn fail_reads_after(&self, n: u64) {
        locked(&self.db.faults).reads_left = Some(n);
    }

    /// From now on no file may grow beyond `len` bytes: the disk is full.
    pub fn limit(&self, len: u64) {
        locked(&self.db.faults).longest = Some(len);
    }

    /// What has been written to it and synced so far.
    #[must_use]
    pub fn work(&self) -> Work {
        let (slab, db) = (locked(&self.slab.image), locked(&self.db.image));
        Work { slab_bytes: slab.written, slab_syncs: slab.syncs, db_syncs: db.syncs }
    }

    /// A new disk: this one after a power cut. Every write since the last sync of its file is there, lost, or torn
    /// into sectors that are there or lost, as `rng` says.
    #[must_use]
    pub fn after_power_cut<R: CryptoRng>(&self, rng: &mut R) -> Self {
        let after = Self::new();
        for (from, to) in [(&self.db, &after.db), (&self.slab, &after.slab), (&self.keys, &after.keys)] {
            let survived = locked(&from.image).survivors(rng);
            *locked(&to.image) = Image { bytes: survived.clone(), synced: survived, ..Image::default() };
        }
        after
    }
}

/// What a disk has done: as much as a clock on the outside could tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Work {
    /// Bytes written to the slab.
    pub slab_bytes: u64,
    /// Times that the slab was synced.
    pub slab_syncs: u64,
    /// Times that the database was synced.
    pub db_syncs: u64,
}

/// A file on a `MemoryDisk`; a clone is the same file.
#[derive(Clone, Default)]
pub(super) struct MemoryFile {
    image: Arc<Mutex<Image>>,
    faults: Arc<Mutex<Faults>>,
}

#[derive(Default)]
struct Faults {
    left: Option<u64>,
    reads_left: Option<u64>,
    longest: Option<u64>,
}

#[derive(Default)]
struct Image {
    bytes: Vec<u8>,
    synced: Vec<u8>,
    unsynced: Vec<Step>,
    written: u64,
    syncs: u64,
}

enum Step {
    Write(usize, Vec<u8>),
    SetLen(usize),
}

impl Step {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write(offset, data) => overwrite(bytes, *offset, data),
            Self::SetLen(len) => bytes.resize(*len, 0),
        }
    }
}

impl Image {
    fn step(&mut self, step: Step) {
        if let Step::Write(_, data) = &step {
            self.written = self.written.saturating_add(data.len() as u64);
        }
        step.apply(&mut self.bytes);
        self.unsynced.push(step);
    }

    fn sync(&mut self) {
        self.syncs = self.syncs.saturating_add(1);
        for step in self.unsynced.drain(..) {
            step.apply(&mut self.synced);
        }
    }

    fn survivors<R: CryptoRng>(&self, rng: &mut R) -> Vec<u8> {
        let mut bytes = self.synced.clone();
        for step in &self.unsynced {
            match (step, rng.next_u32() % 3) {
                (_, 0) => {}
                (Step::Write(offset, data), 1) => tear(&mut bytes, *offset, data, rng),
                _ => step.apply(&mut bytes),
            }
        }
        bytes
    }
}

impl MemoryFile {
    /// Counts one write or sync that would leave the file `len` bytes long.
    fn allow(&self, len: u64) -> io::Result<()> {
        let mut faults = locked(&self.faults);
        if faults.longest.is_some_and(|longest| len > longest) {
            return Err(ErrorKind::StorageFull.into());
        }
        count_down(&mut faults.left, "the power is off")
    }
}

impl StorageBackend for MemoryFile {
    fn len(&self) -> io::Result<u64> {
        Ok(locked(&self.image).bytes.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        count_down(&mut locked(&self.faults).reads_left, "it can't be read any more")?;
        let image = locked(&self.image);
        let from = position(offset)?;
        let bytes = image.bytes.get(from..from.saturating_add(out.len())).ok_or(ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.allow(len)?;
        locked(&self.image).step(Step::SetLen(position(len)?));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.allow(0)?;
        locked(&self.image).sync();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.allow(offset.saturating_add(data.len() as u64))?;
        locked(&self.image).step(Step::Write(position(offset)?, data.to_vec()));
        Ok(())
    }
}

impl fmt::Debug for MemoryFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryFile")
    }
}

/// A thread that panicked inside leaves nothing half done here that matters: the disk is only bytes.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts one of those that may still succeed.
fn count_down(left: &mut Option<u64>, why: &'static str) -> io::Result<()> {
    if let Some(left) = left {
        *left = left.checked_sub(1).ok_or_else(|| io::Error::other(why))?;
    }
    Ok(())
}

fn position(offset: u64) -> io::Result<usize> {
    usize::try_from(offset).map_err(|_| ErrorKind::InvalidInput.into())
}

fn overwrite(bytes: &mut Vec<u8>, offset: usize, data: &[u8]) {
    let end = offset.saturating_add(data.len());
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    if let Some(place) = bytes.get_mut(offset..end) {
        place.copy_from_slice(data);
    }
}

fn tear<R: CryptoRng>(bytes: &mut Vec<u8>, mut offset: usize, mut data: &[u8], rng: &mut R) {
    while !data.is_empty() {
        let to_border = (SECTOR - offset % SECTOR).min(data.len());
        let (sector, rest) = data.split_at(to_border);
        if rng.next_u32().is_multiple_of(2) {
            overwrite(bytes, offset, sector);
        }
        offset += sector.len();
        data = rest;
    }
}
