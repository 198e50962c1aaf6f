use super::*;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::fs::{self, Permissions};
use tempfile::TempDir;

const EPOCH: Epoch = Epoch(20_779);

fn private_dir() -> TempDir {
    tempfile::Builder::new().permissions(Permissions::from_mode(0o700)).tempdir().unwrap()
}

fn rng() -> StdRng {
    StdRng::seed_from_u64(7)
}

/// A store in `dir` with the keys of `EPOCH` and one packet in its pool.
fn store_with_a_packet(dir: &Path) -> (Store, RowId) {
    let mut store = Store::open(dir).unwrap();
    let id = add_packet(&mut store);
    (store, id)
}

fn add_packet(store: &mut Store) -> RowId {
    store.ensure_keys(EPOCH, EPOCH, &mut rng()).unwrap();
    let mut txn = store.begin().unwrap();
    let id = txn.put(Shelf::Pool, EPOCH, b"due soon", b"next header and hop key", &[9; 58_437], &mut rng()).unwrap();
    txn.commit().unwrap();
    id
}

/// The error that opening gives, in words.
fn refusal(dir: &Path) -> String {
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
fn a_store_of_a_newer_fog_is_refused() {
    let dir = private_dir();
    let store = Store::open(dir.path()).unwrap();
    let txn = store.db.begin_write().unwrap();
    txn.open_table(schema::META).unwrap().insert(schema::META_FORMAT, 2).unwrap();
    txn.commit().unwrap();
    drop(store);
    assert_eq!(refusal(dir.path()), "made by a newer fog: its format is 2, this fog knows 1");
}

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
    txn.open_table(schema::META).unwrap().insert(schema::META_NEXT_ROW, 9).unwrap();
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
    for at in [0, 30, 50, SLOT_LEN as u64 - 58_438] {
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
fn a_key_file_that_is_wrong_is_refused_in_words() {
    type Change = fn(&mut Vec<u8>);
    let cases: [(Change, &str); 7] = [
        (Vec::clear, "it is empty or gone, and the rows sealed with its keys can't be read"),
        (|bytes| bytes.fill(0), "it is empty or gone, and the rows sealed with its keys can't be read"),
        (|bytes| bytes.truncate(100), "it is cut off"),
        (|bytes| bytes[23] = b'2', "it is no key file, or one of a newer fog"),
        (|bytes| bytes.truncate(200), "the record at byte 128 is torn"),
        (|bytes| bytes[140] ^= 1, "the record at byte 128 is torn"),
        (|bytes| bytes.copy_within(128..256, 256), "it has two records for epoch 20779"),
    ];
    for (change, why) in cases {
        let dir = private_dir();
        drop(store_with_a_packet(dir.path()));
        let path = dir.path().join("epoch.keys");
        let mut bytes = fs::read(&path).unwrap();
        change(&mut bytes);
        fs::write(&path, bytes).unwrap();
        assert_eq!(refusal(dir.path()), format!("the store is damaged: epoch.keys: {why}"));
    }
}

#[test]
fn a_row_whose_key_is_gone_is_refused() {
    let dir = private_dir();
    drop(store_with_a_packet(dir.path()));
    let path = dir.path().join("epoch.keys");
    let mut bytes = fs::read(&path).unwrap();
    bytes[128..256].fill(0);
    fs::write(&path, bytes).unwrap();
    assert_eq!(refusal(dir.path()), "there is no key of epoch 20779");
}

#[test]
fn keys_are_drawn_once_and_kept() {
    let dir = private_dir();
    let mut store = Store::open(dir.path()).unwrap();
    store.ensure_keys(Epoch(5), Epoch(90), &mut rng()).unwrap();
    let seed_of = |store: &Store, epoch| store.mix_seed(Epoch(epoch)).map(|seed| *seed.expose());
    let seeds: Vec<_> = (5..=90).map(|epoch| seed_of(&store, epoch).unwrap()).collect();
    let different: std::collections::BTreeSet<_> = seeds.iter().collect();
    assert_eq!(different.len(), seeds.len());
    drop(store);
    let mut store = Store::open(dir.path()).unwrap();
    store.ensure_keys(Epoch(4), Epoch(91), &mut StdRng::seed_from_u64(8)).unwrap();
    assert_eq!((5..=90).map(|epoch| seed_of(&store, epoch).unwrap()).collect::<Vec<_>>(), seeds);
    assert!(seed_of(&store, 4).is_some() && seed_of(&store, 91).is_some() && seed_of(&store, 92).is_none());
}

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
