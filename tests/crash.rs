//! The store against a model of it, and against power cuts.
//!
//! A `MemoryDisk` loses or tears what was written and not synced. Whatever it does: every committed row is there and
//! intact, nothing uncommitted is, and rows and marks of one transaction are there together or not at all.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "clippy sees tests only in #[test] functions"
)]

use fog::id::Epoch;
use fog::store::{Marks, MemoryDisk, RowId, SLOT_LEN, Shelf, Store, StoreError, Txn};
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

const SHELVES: [Shelf; 6] = [Shelf::Pool, Shelf::Spool, Shelf::Fragments, Shelf::Parts, Shelf::Outbox, Shelf::Notes];
const KINDS: [Marks; 3] = [Marks::Replay, Marks::Submitted, Marks::Delivered];
const EPOCHS: u64 = 3;
const SEAL_LEN: usize = 40;
const RAW_LEN: usize = 58_437;
/// Nothing, little, a packet, exactly one slot, one byte more, several slots.
const SIZES: [(usize, usize); 8] = [
    (0, 0),
    (1, 0),
    (0, 1),
    (7_300, RAW_LEN),
    (SLOT_LEN - SEAL_LEN - RAW_LEN, RAW_LEN),
    (SLOT_LEN - SEAL_LEN - RAW_LEN + 1, RAW_LEN),
    (200_000, 0),
    (0, 3 * SLOT_LEN),
];

#[derive(Clone, Debug)]
enum Step {
    Put { shelf: usize, epoch: u64, size: usize },
    SetMeta { nth: usize, epoch: u64 },
    Delete { nth: usize },
    Mark { kind: usize, epoch: u64, mark: u8 },
    DropMarks { kind: usize, epoch: u64 },
    Commit,
    Abort,
    Reopen,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0..5usize, 0..EPOCHS, 0..SIZES.len()).prop_map(|(shelf, epoch, size)| Step::Put { shelf, epoch, size }),
        2 => (any::<usize>(), 0..EPOCHS).prop_map(|(nth, epoch)| Step::SetMeta { nth, epoch }),
        3 => any::<usize>().prop_map(|nth| Step::Delete { nth }),
        4 => (0..3usize, 0..EPOCHS, 0..8u8).prop_map(|(kind, epoch, mark)| Step::Mark { kind, epoch, mark }),
        1 => (0..3usize, 0..EPOCHS).prop_map(|(kind, epoch)| Step::DropMarks { kind, epoch }),
        3 => Just(Step::Commit),
        1 => Just(Step::Abort),
        1 => Just(Step::Reopen),
    ]
}

fn random_step(rng: &mut StdRng) -> Step {
    let epoch = rng.random_range(0..EPOCHS);
    match rng.random_range(0..12) {
        0..5 => Step::Put { shelf: rng.random_range(0..5), epoch, size: rng.random_range(0..SIZES.len()) },
        5 => Step::SetMeta { nth: rng.random_range(0..99), epoch },
        6..8 => Step::Delete { nth: rng.random_range(0..99) },
        8..11 => Step::Mark { kind: rng.random_range(0..3), epoch, mark: rng.random_range(0..8) },
        _ => Step::DropMarks { kind: rng.random_range(0..3), epoch },
    }
}

#[derive(Clone, PartialEq, Debug)]
struct Item {
    epoch: Epoch,
    meta: Vec<u8>,
    sealed: Vec<u8>,
    raw: Vec<u8>,
}

/// What a store should hold.
#[derive(Clone, Default, PartialEq, Debug)]
struct Model {
    rows: BTreeMap<(Shelf, RowId), Item>,
    marks: BTreeMap<(Marks, Epoch), BTreeSet<u8>>,
}

impl Model {
    /// All that `store` holds, through the calls that the engine has.
    fn of(store: &mut Store) -> Result<Self, StoreError> {
        let mut model = Self::default();
        for shelf in SHELVES {
            for row in store.rows(shelf)? {
                let content = store.read(shelf, row.id)?;
                let (meta, sealed) = (row.meta.to_vec(), content.sealed.to_vec());
                model.rows.insert((shelf, row.id), Item { epoch: row.epoch, meta, sealed, raw: content.raw });
            }
        }
        for kind in KINDS {
            for epoch in store.mark_epochs(kind).collect::<Vec<_>>() {
                let txn = store.begin()?;
                let is_there = |mark: &u8| txn.marked(kind, epoch, &[*mark; 16]).unwrap();
                let marks: BTreeSet<_> = (0..8).filter(is_there).collect();
                drop(txn);
                assert_eq!(store.mark_count(kind, epoch), marks.len() as u64, "{kind:?} of {epoch}");
                model.marks.insert((kind, epoch), marks);
            }
        }
        assert_eq!(store.usage()?.slots, model.slots(), "slots in use");
        Ok(model)
    }

    fn slots(&self) -> u64 {
        let len = |item: &Item| item.sealed.len() + item.raw.len();
        let filled = self.rows.values().map(len).filter(|len| *len > 0);
        filled.map(|len| (len + SEAL_LEN).div_ceil(SLOT_LEN) as u64).sum()
    }

    fn nth(&self, nth: usize) -> Option<(Shelf, RowId)> {
        self.rows.keys().nth(nth.checked_rem(self.rows.len())?).copied()
    }

    /// Takes a step in both.
    fn step(&mut self, txn: &mut Txn<'_>, step: &Step, rng: &mut StdRng) -> Result<(), StoreError> {
        match *step {
            Step::Put { shelf, epoch, size } => {
                let mut bytes = |len: usize| -> Vec<u8> {
                    let seed: usize = rng.random_range(0..256);
                    (0..len).map(|n| u8::try_from((seed + n / 64) % 256).unwrap()).collect()
                };
                let (sealed, raw, meta) = (bytes(SIZES[size].0), bytes(SIZES[size].1), bytes(size * 10));
                let item = Item { epoch: Epoch(epoch), meta, sealed, raw };
                let shelf = SHELVES[shelf];
                let id = txn.put(shelf, item.epoch, &item.meta, &item.sealed, &item.raw, rng)?;
                assert_eq!(self.rows.insert((shelf, id), item), None, "{id:?} was given twice");
            }
            Step::SetMeta { nth, epoch } => {
                let Some((shelf, id)) = self.nth(nth) else { return Ok(()) };
                let item = self.rows.get_mut(&(shelf, id)).unwrap();
                (item.epoch, item.meta) = (Epoch(epoch), vec![7; nth % 50]);
                txn.set_meta(shelf, id, item.epoch, &item.meta, rng)?;
            }
            Step::Delete { nth } => {
                let Some((shelf, id)) = self.nth(nth) else { return Ok(()) };
                let item = self.rows.remove(&(shelf, id)).unwrap();
                let content = txn.read(shelf, id)?;
                assert_eq!((&*content.sealed, &content.raw), (&item.sealed, &item.raw));
                txn.delete(shelf, id)?;
                assert!(matches!(txn.read(shelf, id), Err(StoreError::NoRow(..))), "deleted, and still there");
            }
            Step::Mark { kind, epoch, mark } => {
                let (kind, epoch) = (KINDS[kind], Epoch(epoch));
                let new = self.marks.entry((kind, epoch)).or_default().insert(mark);
                assert_eq!(txn.mark(kind, epoch, [mark; 16])?, new);
            }
            Step::DropMarks { kind, epoch } => {
                self.marks.remove(&(KINDS[kind], Epoch(epoch)));
                txn.drop_marks(KINDS[kind], Epoch(epoch));
            }
            Step::Commit | Step::Abort | Step::Reopen => unreachable!("the caller's"),
        }
        Ok(())
    }
}

/// Runs `steps` against a store and its model; `open` opens the same store every time.
fn agrees_with_its_model(steps: &[Step], open: impl Fn() -> Store) {
    let mut rng = StdRng::seed_from_u64(1);
    let mut store = open();
    store.ensure_keys(Epoch(0), Epoch(EPOCHS - 1), &mut rng).unwrap();
    let mut committed = Model::default();
    for batch in steps.split_inclusive(|step| matches!(step, Step::Commit | Step::Abort | Step::Reopen)) {
        let mut model = committed.clone();
        let mut txn = store.begin().unwrap();
        let mut end = &Step::Abort;
        for step in batch {
            match step {
                Step::Commit | Step::Abort | Step::Reopen => end = step,
                _ => model.step(&mut txn, step, &mut rng).unwrap(),
            }
        }
        match end {
            Step::Commit => {
                txn.commit().unwrap();
                committed = model;
            }
            Step::Reopen => {
                drop(txn);
                drop(store);
                store = open();
            }
            _ => drop(txn),
        }
        assert_eq!(Model::of(&mut store).unwrap(), committed);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn a_store_in_memory_holds_what_its_model_holds(steps in prop::collection::vec(any_step(), 1..60)) {
        let disk = MemoryDisk::new();
        agrees_with_its_model(&steps, || Store::on(&disk).unwrap());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn a_store_on_disk_holds_what_its_model_holds(steps in prop::collection::vec(any_step(), 1..60)) {
        let mode = Permissions::from_mode(0o700);
        let dir = tempfile::Builder::new().permissions(mode).tempdir().unwrap();
        agrees_with_its_model(&steps, || Store::open(dir.path()).unwrap());
    }
}

/// How a run ended: the state of the last commit that worked, and what the one that failed wanted.
struct End {
    committed: Model,
    attempted: Option<Model>,
    /// The disk failed.
    cut: bool,
}

/// Makes transactions until the disk fails, or a few have gone well.
fn run_until_the_end(store: &mut Store, committed: Model, rng: &mut StdRng) -> End {
    let mut end = End { committed, attempted: None, cut: true };
    for _ in 0..6 {
        let mut model = end.committed.clone();
        let Ok(mut txn) = store.begin() else { return end };
        for _ in 0..rng.random_range(0..8) {
            let step = random_step(rng);
            if model.step(&mut txn, &step, rng).is_err() {
                return end;
            }
        }
        if rng.random_range(0..4) == 0 {
            continue;
        }
        if txn.commit().is_err() {
            assert!(matches!(store.begin(), Err(StoreError::Stopped)), "a store that failed goes on");
            end.attempted = Some(model);
            return end;
        }
        end.committed = model;
    }
    end.cut = false;
    end
}

#[test]
fn after_a_power_cut_there_is_all_that_was_committed_and_nothing_else() {
    for seed in 0..200 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut disk = MemoryDisk::new();
        let mut store = Store::on(&disk).unwrap();
        store.ensure_keys(Epoch(0), Epoch(EPOCHS - 1), &mut rng).unwrap();
        let mut model = Model::default();
        for cut in 0..4 {
            disk.fail_after(rng.random_range(0..60));
            let end = run_until_the_end(&mut store, model, &mut rng);
            disk = disk.after_power_cut(&mut rng);
            store = Store::on(&disk).unwrap_or_else(|error| panic!("seed {seed}, cut {cut}: {error}"));
            model = Model::of(&mut store).unwrap_or_else(|error| panic!("seed {seed}, cut {cut}: {error}"));
            assert!(
                model == end.committed || Some(&model) == end.attempted.as_ref(),
                "seed {seed}, cut {cut}: neither the last commit nor the one under way"
            );
        }
    }
}

#[test]
fn a_power_cut_after_any_write_leaves_the_commits_before_it_and_every_mark_of_them() {
    let mut cuts = 0;
    for seed in 0..3 {
        // Every write and sync of a few transactions is the last one once, until all of them go well.
        for writes in 0.. {
            let mut rng = StdRng::seed_from_u64(seed);
            let disk = MemoryDisk::new();
            let mut store = Store::on(&disk).unwrap();
            store.ensure_keys(Epoch(0), Epoch(EPOCHS - 1), &mut rng).unwrap();
            disk.fail_after(writes);
            let end = run_until_the_end(&mut store, Model::default(), &mut rng);
            for torn in 0..2 {
                let disk = disk.after_power_cut(&mut StdRng::seed_from_u64(torn));
                let mut store = Store::on(&disk).unwrap_or_else(|error| panic!("after {writes} writes: {error}"));
                let model = Model::of(&mut store).unwrap_or_else(|error| panic!("after {writes} writes: {error}"));
                let is_known = model == end.committed || Some(&model) == end.attempted.as_ref();
                assert!(is_known, "seed {seed}, after {writes} writes: neither the last commit nor the one under way");
            }
            if !end.cut {
                break;
            }
            cuts += 1;
        }
    }
    assert!(cuts > 100, "{cuts} cuts are not every write");
}

#[test]
fn a_power_cut_while_the_store_is_made_leaves_one_that_can_be_made() {
    let mut made_in_time = 0;
    for writes in 0..90 {
        let mut rng = StdRng::seed_from_u64(writes);
        let disk = MemoryDisk::new();
        disk.fail_after(writes);
        let made = Store::on(&disk).and_then(|mut store| {
            store.ensure_keys(Epoch(0), Epoch(40), &mut rng)?;
            Ok(store.mix_seed(Epoch(40)).unwrap().expose().to_vec())
        });
        let disk = disk.after_power_cut(&mut rng);
        let mut store = Store::on(&disk).unwrap_or_else(|error| panic!("after {writes} writes: {error}"));
        store.ensure_keys(Epoch(0), Epoch(40), &mut rng).unwrap();
        if let Ok(mix_seed) = made {
            assert_eq!(&mix_seed, store.mix_seed(Epoch(40)).unwrap().expose(), "after {writes} writes: a key is lost");
            made_in_time += 1;
        }
    }
    assert!((10..80).contains(&made_in_time), "of 90 cuts, {made_in_time} came too late: adjust their number");
}

/// The end of an epoch, as the engine goes about it: a few rows of it sealed anew in each transaction, then the keys
/// destroyed, then the tags dropped. Gives whether the keys are gone.
fn end_epoch(store: &mut Store, epoch: Epoch, rng: &mut StdRng) -> Result<bool, StoreError> {
    while store.is_sealed_under(epoch) {
        assert!(!store.destroy_keys(epoch)?, "a key is destroyed that a row needs");
        let mut txn = store.begin()?;
        assert!(txn.seal_anew(epoch, epoch.plus(1), 3, rng)? > 0);
        txn.commit()?;
    }
    let gone = store.destroy_keys(epoch)?;
    let mut txn = store.begin()?;
    txn.drop_marks(Marks::Replay, epoch);
    txn.commit()?;
    Ok(gone)
}

fn has(disk: &MemoryDisk, needle: &[u8]) -> bool {
    disk.files().iter().any(|file| file.windows(needle.len()).any(|window| window == needle))
}

#[test]
fn a_power_cut_at_any_write_of_an_epochs_end_loses_no_row_and_revives_no_key() {
    const DYING: Epoch = Epoch(0);
    let (mut before, mut after) = (0, 0);
    for writes in 0.. {
        let mut rng = StdRng::seed_from_u64(9);
        let disk = MemoryDisk::new();
        let mut store = Store::on(&disk).unwrap();
        store.ensure_keys(DYING, DYING.plus(1), &mut rng).unwrap();
        let seed = store.mix_seed(DYING).unwrap().expose().to_vec();
        let mut model = Model::default();
        let mut txn = store.begin().unwrap();
        for size in 0..7 {
            let step = Step::Put { shelf: size % 6, epoch: u64::from(size == 3), size };
            model.step(&mut txn, &step, &mut rng).unwrap();
        }
        model.step(&mut txn, &Step::Mark { kind: 0, epoch: DYING.0, mark: 7 }, &mut rng).unwrap();
        txn.commit().unwrap();

        disk.fail_after(writes);
        let ended = end_epoch(&mut store, DYING, &mut rng);
        drop(store);
        for torn in 0..3 {
            let disk = disk.after_power_cut(&mut StdRng::seed_from_u64(torn));
            let mut store = Store::on(&disk).unwrap_or_else(|error| panic!("after {writes} writes: {error}"));
            let is_there = store.mix_seed(DYING).is_some();
            let found = Model::of(&mut store).unwrap_or_else(|error| panic!("after {writes} writes: {error}"));
            let without_epoch = |model: &Model| -> Vec<_> {
                let rows = model.rows.iter().map(|(at, item)| (*at, item.meta.clone(), item.sealed.clone()));
                rows.collect()
            };
            assert_eq!(without_epoch(&found), without_epoch(&model), "after {writes} writes");
            assert_eq!(has(&disk, &seed), is_there, "after {writes} writes");
            let tags = found.marks.get(&(Marks::Replay, DYING)).map_or(0, BTreeSet::len);
            assert!(tags == 1 || !is_there, "after {writes} writes: the key outlives its tags");
            if ended.is_ok() {
                assert!(!is_there && tags == 0);
            }
            let counted = if is_there { &mut before } else { &mut after };
            *counted += 1;
        }
        if ended.is_ok() {
            break;
        }
    }
    assert!(before > 20 && after > 5, "{before} cuts before the keys went, {after} after it: not every write");
}

#[test]
fn rows_of_a_dead_epoch_open_with_no_key_that_is_left() {
    let mut rng = StdRng::seed_from_u64(3);
    let disk = MemoryDisk::new();
    let mut store = Store::on(&disk).unwrap();
    store.ensure_keys(Epoch(0), Epoch(1), &mut rng).unwrap();
    let mut txn = store.begin().unwrap();
    let kept = txn.put(Shelf::Spool, Epoch(0), b"meta", b"kept", b"", &mut rng).unwrap();
    let gone = txn.put(Shelf::Spool, Epoch(0), b"meta", b"gone", b"", &mut rng).unwrap();
    txn.commit().unwrap();
    let [db, slab, keys] = disk.files();
    let mut txn = store.begin().unwrap();
    txn.delete(Shelf::Spool, gone).unwrap();
    txn.commit().unwrap();
    assert!(end_epoch(&mut store, Epoch(0), &mut rng).unwrap());
    assert_eq!(&*store.read(Shelf::Spool, kept).unwrap().sealed, b"kept");
    assert!(!store.is_sealed_under(Epoch(0)) && store.is_sealed_under(Epoch(1)));

    // Whoever has copied all of it once, and takes the disk now: the copy opens with the keys of its time alone.
    let [_, _, keys_now] = disk.files();
    assert!(Store::on(&MemoryDisk::with_files([db.clone(), slab.clone(), keys])).is_ok());
    let copy = Store::on(&MemoryDisk::with_files([db, slab, keys_now]));
    assert!(matches!(copy.err(), Some(StoreError::NoKey(Epoch(0)))));
}
