//! What becomes of a store whose files are not what was written: it says so, or holds what it held. It never panics, never
//! gives out anything else, and never forgets without a word.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "clippy sees tests only in #[test] functions"
)]

use fog::id::Epoch;
use fog::store::{Marks, MemoryDisk, RowId, STEP, Shelf, Store, StoreError};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use tempfile::TempDir;

const EPOCH: Epoch = Epoch(20_000);
const SHELVES: [Shelf; 6] = [Shelf::Pool, Shelf::Spool, Shelf::Fragments, Shelf::Parts, Shelf::Outbox, Shelf::Notes];
const KINDS: [Marks; 3] = [Marks::Replay, Marks::Submitted, Marks::Delivered];
const MARKS: u8 = 40;
const NAMES: [&str; 3] = ["store.redb", "slab", "epoch.keys"];

/// The bytes of each file.
type Files = [Vec<u8>; 3];

/// Shelf, number, meta, and content: what lies sealed, and what lies as it is.
type Row = (Shelf, RowId, Vec<u8>, Vec<u8>, Vec<u8>);

/// All that a store holds: its rows, and which of the marks are set.
#[derive(Debug, PartialEq)]
struct Held {
    rows: Vec<Row>,
    marks: Vec<(Marks, u8)>,
    counts: [u64; 3],
}

fn held(store: &mut Store) -> Result<Held, StoreError> {
    let mut rows = Vec::new();
    for shelf in SHELVES {
        for row in store.rows(shelf)? {
            let content = store.read(shelf, row.id)?;
            rows.push((shelf, row.id, row.meta.to_vec(), content.sealed.to_vec(), content.raw));
        }
    }
    let counts = KINDS.map(|kind| store.mark_count(kind, EPOCH));
    let txn = store.begin()?;
    let mut marks = Vec::new();
    for kind in KINDS {
        for mark in 0..MARKS {
            if txn.marked(kind, EPOCH, &[mark; 16])? {
                marks.push((kind, mark));
            }
        }
    }
    Ok(Held { rows, marks, counts })
}

/// Opens what the files hold, and tells whether a commit was undone.
fn open(files: Files) -> Result<(Held, bool), StoreError> {
    let mut store = Store::on(&MemoryDisk::with_files(files))?;
    let undone = store.commit_was_undone();
    Ok((held(&mut store)?, undone))
}

/// Puts a row on each shelf and sets a few marks, in one transaction.
fn fill(store: &mut Store, turn: u8, rng: &mut StdRng) {
    let mut txn = store.begin().unwrap();
    for (shelf, sealed_len) in SHELVES.into_iter().zip([7_300, 90_000, 40, 1, 300, 0]) {
        let raw = vec![turn; if shelf == Shelf::Pool { 58_437 } else { 0 }];
        txn.put(shelf, EPOCH, &[turn; 30], &vec![turn; sealed_len], &raw, rng).unwrap();
    }
    for kind in KINDS {
        for mark in turn * 8..(turn + 1) * 8 {
            assert!(txn.mark(kind, EPOCH, [mark; 16]).unwrap());
        }
    }
    txn.commit().unwrap();
}

/// A store with rows and marks of five transactions; what its files were and held before the last one, and after it.
fn two_states() -> ([(Files, Held); 2], MemoryDisk, Store) {
    let mut rng = StdRng::seed_from_u64(4);
    let disk = MemoryDisk::new();
    let mut store = Store::on(&disk).unwrap();
    store.ensure_keys(EPOCH, EPOCH.plus(2), &mut rng).unwrap();
    (0..4).for_each(|turn| fill(&mut store, turn, &mut rng));
    let before = (disk.files(), held(&mut store).unwrap());
    fill(&mut store, 4, &mut rng);
    let after = (disk.files(), held(&mut store).unwrap());
    ([before, after], disk, store)
}

/// The files of a store that was closed as it should be, and what it holds.
fn closed() -> (Files, Held) {
    let ([_, (_, held)], disk, store) = two_states();
    drop(store);
    (disk.files(), held)
}

/// The files of a store that was killed, and what it holds.
fn killed() -> (Files, Held) {
    let ([_, state], ..) = two_states();
    state
}

/// Where bytes are flipped: all over the beginning, which is headers, and then here and there.
fn places(len: usize, every: usize) -> impl Iterator<Item = usize> {
    (0..len.min(330)).chain((330..len).step_by(every))
}

#[test]
fn a_byte_that_rots_is_told_or_changes_nothing() {
    let (files, want) = closed();
    for (which, every) in [(0, 499), (1, 9973), (2, 7)] {
        let mut told = 0;
        for at in places(files[which].len(), every) {
            let mut rotten = files.clone();
            rotten[which][at] ^= 1 << (at % 8);
            match open(rotten) {
                Ok((found, _)) => assert!(found == want, "{}: byte {at} made another store", NAMES[which]),
                Err(error) => {
                    assert!(error.is_damage(), "{}: byte {at}: {error}", NAMES[which]);
                    told += 1;
                }
            }
        }
        assert!(told > 30, "{}: only {told} were found", NAMES[which]);
    }
}

#[test]
fn a_byte_that_rots_in_a_store_that_was_killed_is_told_too() {
    let ([(_, before), (files, want)], ..) = two_states();
    let mut undone = 0;
    for at in places(files[0].len(), 499) {
        let mut rotten = files.clone();
        rotten[0][at] ^= 1 << (at % 8);
        match open(rotten) {
            Ok((found, false)) => assert!(found == want, "byte {at} made another store"),
            // It looks like a commit that the power cut in the middle, and is told.
            Ok((found, true)) => {
                assert!(found == before || found == want, "byte {at} made another store");
                undone += usize::from(found == before);
            }
            Err(error) => assert!(error.is_damage(), "byte {at}: {error}"),
        }
    }
    assert!(undone > 0, "no byte of the last commit was met");
}

#[test]
fn a_commit_that_is_whole_is_not_said_to_be_undone() {
    let ([(_, before), (files, want)], ..) = two_states();
    assert_eq!(open(files.clone()).unwrap(), (want, false));
    assert!(!open(closed().0).unwrap().1);
    let old_header = {
        let mut files = files;
        // Its pages are there; the header that names them is not.
        let ([(old, _), _], ..) = two_states();
        files[0][..512].copy_from_slice(&old[0][..512]);
        files
    };
    assert_eq!(open(old_header).unwrap(), (before, false));
}

#[test]
fn a_file_that_is_cut_off_is_told_or_nothing_of_it_is_missing() {
    let (files, want) = closed();
    let lengths = |which: usize| (0..files[which].len()).step_by([1999, 39_999, 61][which]);
    for (which, len) in (0..3).flat_map(|which| lengths(which).map(move |len| (which, len))) {
        let mut cut = files.clone();
        cut[which].truncate(len);
        match open(cut) {
            Ok((found, _)) => assert!(found == want, "{} of {len} bytes made another store", NAMES[which]),
            Err(error) => assert!(error.is_damage(), "{} of {len} bytes: {error}", NAMES[which]),
        }
    }
}

#[test]
fn files_of_two_stores_are_no_store() {
    let (ours, _) = closed();
    let mut rng = StdRng::seed_from_u64(99);
    let disk = MemoryDisk::new();
    let mut store = Store::on(&disk).unwrap();
    store.ensure_keys(EPOCH, EPOCH, &mut rng).unwrap();
    (0..2).for_each(|turn| fill(&mut store, turn, &mut rng));
    drop(store);
    let theirs = disk.files();
    for which in 0..3 {
        let mut mixed = ours.clone();
        mixed[which].clone_from(&theirs[which]);
        let error = open(mixed).map(drop).expect_err(NAMES[which]);
        assert!(error.is_damage(), "{}: {error}", NAMES[which]);
    }
}

/// What the operating system refused, and no more: what is on disk is as good as it was.
fn assert_is_io(error: &StoreError, when: &str) {
    assert!(matches!(error, StoreError::Io { .. }) && !error.is_damage(), "{when}: {error:?}");
}

#[test]
fn a_read_that_fails_is_told_as_that_and_what_was_there_is_there_when_the_disk_is_well() {
    for (files, want) in [closed(), killed()] {
        let mut failed = 0;
        // Every read is the last one once, until all of them go well.
        for reads in 0.. {
            let disk = MemoryDisk::with_files(files.clone());
            disk.fail_reads_after(reads);
            let found = Store::on(&disk).and_then(|mut store| held(&mut store));
            disk.fail_reads_after(u64::MAX);
            let error = match found {
                Ok(found) => {
                    assert!(found == want, "{reads} reads made another store");
                    break;
                }
                Err(error) => error,
            };
            assert_is_io(&error, &format!("after {reads} reads"));
            assert!(held(&mut Store::on(&disk).unwrap()).unwrap() == want, "after {reads} reads");
            failed += 1;
        }
        assert!(failed > 50, "only {failed} reads failed");
    }
}

#[test]
fn a_write_that_fails_is_told_as_that_and_what_was_committed_before_is_there_when_the_disk_is_well() {
    for writes in 0.. {
        let ([_, (_, before)], disk, mut store) = two_states();
        disk.fail_after(writes);
        let mut txn = store.begin().unwrap();
        let put = txn.put(Shelf::Spool, EPOCH, b"meta", b"a mail", b"", &mut StdRng::seed_from_u64(1));
        let committed = put.and_then(|id| txn.commit().map(|()| id));
        drop(store);
        disk.fail_after(u64::MAX);
        let mut store = Store::on(&disk).unwrap();
        let kept: Vec<_> = store.rows(Shelf::Spool).unwrap().into_iter().map(|row| row.id).collect();
        match committed {
            Ok(id) => {
                assert!(kept.contains(&id), "after {writes} writes: it was committed, and is gone");
                assert!(writes > 5, "{writes} writes are no commit");
                break;
            }
            Err(error) => assert_is_io(&error, &format!("after {writes} writes")),
        }
        // The one that failed may be there, whole.
        let is_new = |row: &Row| !before.rows.contains(row);
        let now = held(&mut store).unwrap();
        let new: Vec<_> = now.rows.iter().filter(|row| is_new(row)).collect();
        assert!(now.rows.len() == before.rows.len() + new.len(), "after {writes} writes: rows are gone");
        assert!(new.iter().all(|row| row.3 == b"a mail") && new.len() < 2, "after {writes} writes");
        assert!(now.marks == before.marks, "after {writes} writes: marks are gone");
    }
}

/// A store on a real disk with rows in it.
fn on_disk() -> TempDir {
    let dir = tempfile::Builder::new().permissions(Permissions::from_mode(0o700)).tempdir().unwrap();
    let mut rng = StdRng::seed_from_u64(1);
    let mut store = Store::open(dir.path()).unwrap();
    store.ensure_keys(EPOCH, EPOCH, &mut rng).unwrap();
    fill(&mut store, 0, &mut rng);
    dir
}

fn refusal(dir: &Path) -> String {
    match Store::open(dir) {
        Ok(_) => "opened".into(),
        Err(error) => {
            assert!(error.is_damage() || matches!(error, StoreError::Newer(_)), "{error}");
            error.to_string()
        }
    }
}

#[test]
fn a_file_that_is_gone_or_another_programs_is_told_by_its_name() {
    for name in NAMES {
        let dir = on_disk();
        fs::remove_file(dir.path().join(name)).unwrap();
        let error = refusal(dir.path());
        // A slab that is gone is found by the first row that names a slot of it.
        assert!(error.contains(if name == "slab" { "a slot that the slab has not" } else { name }), "{name}: {error}");
        // And again: the first try has made nothing that the second takes for a store.
        assert_eq!(refusal(dir.path()), error, "{name}");
    }
    for name in ["store.redb", "epoch.keys"] {
        let dir = on_disk();
        fs::write(dir.path().join(name), "Dear diary, ".repeat(2000)).unwrap();
        let error = refusal(dir.path());
        assert!(error.contains(name), "{name}: {error}");
    }
}

#[test]
fn a_store_that_grew_to_its_limit_takes_what_there_are_places_for_and_no_more() {
    let dir = on_disk();
    let mut rng = StdRng::seed_from_u64(2);
    let mut store = Store::open(dir.path()).unwrap();
    let before = store.usage().unwrap();
    store.allow_growth(STEP);
    let mut put = |store: &mut Store, content: usize| {
        let mut txn = store.begin().unwrap();
        let put = txn.put(Shelf::Spool, EPOCH, b"", &vec![1; content], b"", &mut rng);
        let full = matches!(put, Err(StoreError::Full));
        assert!(full || put.is_ok());
        txn.commit().unwrap();
        !full
    };
    let mut taken = 0;
    // Of seven places each, which leave some that are too few.
    while taken < 100 && put(&mut store, 480_000) {
        taken += 1;
    }
    assert!((60..100).contains(&taken), "{taken}: not one step");
    let after = store.usage().unwrap();
    assert_eq!(after.slots_total - before.slots_total, STEP / fog::store::SLOT_LEN as u64);
    assert!(put(&mut store, 10), "there are places left");
    store.allow_growth(STEP - 1);
    assert!(!put(&mut store, 480_000), "less than a step was taken for one");
    store.allow_growth(u64::MAX);
    assert!(put(&mut store, 480_000), "it has room again");
}

/// What one commit may take of a disk that has no more than `spool.reserve`, of which the slab has taken a step: by far
/// the most is written where some thousands of marks are merged into a large table.
#[test]
fn no_commit_takes_more_of_the_disk_than_the_least_reserve_leaves() {
    let marks: usize = std::env::var("FOG_MARKS").map_or(100_000, |marks| marks.parse().unwrap());
    let dir = tempfile::Builder::new().permissions(Permissions::from_mode(0o700)).tempdir().unwrap();
    let mut rng = StdRng::seed_from_u64(3);
    let mut store = Store::open(dir.path()).unwrap();
    store.ensure_keys(EPOCH, EPOCH.plus(1), &mut rng).unwrap();
    let taken = || File::open(dir.path().join("store.redb")).unwrap().metadata().unwrap().blocks() * 512;
    let (mut most, mut last) = (0, taken());
    let mut look = |what: &str| {
        let now = taken();
        if now.saturating_sub(last) > most {
            most = now - last;
            println!("{what}: {} KiB more, {} KiB in all", most >> 10, now >> 10);
        }
        last = now;
        most
    };
    let mut ids = Vec::new();
    for turn in 0..marks / 256 {
        let mut txn = store.begin().unwrap();
        for n in 0..256 {
            assert!(txn.mark(Marks::Replay, EPOCH, rng.random()).unwrap());
            if n % 16 == 0 {
                ids.push(txn.put(Shelf::Pool, EPOCH, &[1; 60], b"", b"", &mut rng).unwrap());
            }
        }
        txn.commit().unwrap();
        look(&format!("{} marks", (turn + 1) * 256));
    }
    while !ids.is_empty() {
        let mut txn = store.begin().unwrap();
        ids.drain(..ids.len().min(256)).for_each(|id| txn.delete(Shelf::Pool, id).unwrap());
        txn.seal_anew(EPOCH, EPOCH.plus(1), 256, &mut rng).unwrap();
        txn.commit().unwrap();
        look("rows deleted and sealed anew");
    }
    let mut txn = store.begin().unwrap();
    txn.drop_marks(Marks::Replay, EPOCH);
    txn.commit().unwrap();
    let most = look("all marks dropped");
    assert!(most < (64 << 20) - STEP, "{most} bytes");
}
