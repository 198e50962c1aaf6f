//! `epoch.keys`: the mix seed and the spool key of each epoch, beside the database and never in it.
//!
//! Overwriting a record here is what deletes everything sealed under its spool key, wherever old copies of it may lie.
//! So the file is only ever written in place, never copied and renamed. It consists of records of 128 bytes, of which
//! a sector holds whole ones: a power cut leaves a record as it was or as it was meant. Record 0 is `HEADER`; the
//! others are zeros (free), or epoch u64 ‖ mix seed 32 ‖ spool key 32 ‖ zeros 24 ‖ SHA-256 of all that.

use super::disk::Backing;
use super::{StoreError, io_error};
use crate::id::Epoch;
use crate::secret::Secret;
use crate::wire::{Malformed, Reader};
use rand_core::CryptoRng;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::RangeInclusive;
use zeroize::Zeroizing;

pub(super) const FILE: &str = "epoch.keys";
const HEADER: &[u8] = b"fog epoch keys, format 1\n";
const RECORD_LEN: usize = 128;
const BODY_LEN: usize = 96;
const GROWTH: usize = 4096;

pub(super) struct KeyFile {
    file: Backing,
    keys: BTreeMap<Epoch, EpochKeys>,
    /// Where free records are.
    free: BTreeSet<u64>,
    len: u64,
}

struct EpochKeys {
    mix_seed: Secret<32>,
    spool: Secret<32>,
    /// Where its record is.
    at: u64,
}

impl KeyFile {
    /// Reads the file. An empty one is laid out if the store is `fresh`, and a sign of damage if not.
    pub(super) fn open(file: Backing, fresh: bool) -> Result<Self, StoreError> {
        let len = file.len().map_err(io_error(FILE))?;
        let mut bytes = Zeroizing::new(vec![0; usize::try_from(len).map_err(|_| damaged("too long"))?]);
        file.read(0, &mut bytes).map_err(io_error(FILE))?;
        let mut this = Self { file, keys: BTreeMap::new(), free: BTreeSet::new(), len };
        if is_zero(&bytes) {
            if !fresh {
                return Err(damaged("it is empty or gone, and the rows sealed with its keys can't be read"));
            }
            this.lay_out().map_err(io_error(FILE))?;
            return Ok(this);
        }
        let (header, records) = bytes.split_at_checked(RECORD_LEN).ok_or_else(|| damaged("it is cut off"))?;
        if !header.strip_prefix(HEADER).is_some_and(is_zero) {
            return Err(damaged("it is no key file, or one of a newer fog"));
        }
        for (at, record) in (1..).zip(records.chunks(RECORD_LEN)) {
            this.take_in(at * RECORD_LEN as u64, record)?;
        }
        Ok(this)
    }

    pub(super) fn mix_seed(&self, epoch: Epoch) -> Option<&Secret<32>> {
        self.keys.get(&epoch).map(|keys| &keys.mix_seed)
    }

    pub(super) fn into_mix_seeds(self) -> BTreeMap<Epoch, Secret<32>> {
        self.keys.into_iter().map(|(epoch, keys)| (epoch, keys.mix_seed)).collect()
    }

    pub(super) fn spool(&self, epoch: Epoch) -> Result<&[u8; 32], StoreError> {
        self.keys.get(&epoch).map(|keys| keys.spool.expose()).ok_or(StoreError::NoKey(epoch))
    }

    pub(super) fn epochs(&self) -> impl Iterator<Item = Epoch> {
        self.keys.keys().copied()
    }

    /// Overwrites the record of `epoch`, if there is one: the keys are nowhere any more when this returns.
    pub(super) fn destroy(&mut self, epoch: Epoch) -> io::Result<()> {
        let Some(at) = self.keys.get(&epoch).map(|keys| keys.at) else { return Ok(()) };
        self.file.write(at, &[0; RECORD_LEN])?;
        self.file.sync()?;
        self.keys.remove(&epoch);
        self.free.insert(at);
        Ok(())
    }

    /// Draws other mix seeds for those of `epochs` that have one, in the place of the old ones. The spool keys stay: rows
    /// that are due then lie under them.
    pub(super) fn draw_anew<R: CryptoRng>(&mut self, epochs: &[Epoch], rng: &mut R) -> io::Result<()> {
        for epoch in epochs {
            let Some(keys) = self.keys.get_mut(epoch) else { continue };
            keys.mix_seed = Secret::filled(|bytes| rng.fill_bytes(bytes));
            self.file.write(keys.at, &encode(*epoch, keys))?;
        }
        self.file.sync()
    }

    /// Draws the keys that are missing among `epochs` and makes them durable.
    pub(super) fn ensure<R: CryptoRng>(&mut self, epochs: RangeInclusive<Epoch>, rng: &mut R) -> io::Result<()> {
        let (from, to) = epochs.into_inner();
        let missing: Vec<_> = (from.0..=to.0).map(Epoch).filter(|epoch| !self.keys.contains_key(epoch)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let mut made = BTreeMap::new();
        for epoch in missing {
            let keys = EpochKeys {
                mix_seed: Secret::filled(|bytes| rng.fill_bytes(bytes)),
                spool: Secret::filled(|bytes| rng.fill_bytes(bytes)),
                at: self.free_record()?,
            };
            self.file.write(keys.at, &encode(epoch, &keys))?;
            made.insert(epoch, keys);
        }
        self.file.sync()?;
        self.keys.append(&mut made);
        Ok(())
    }

    fn lay_out(&mut self) -> io::Result<()> {
        let mut page = [0; GROWTH];
        page.iter_mut().zip(HEADER).for_each(|(to, from)| *to = *from);
        self.file.write(0, &page)?;
        self.file.sync()?;
        self.len = GROWTH as u64;
        self.free = (1..(GROWTH / RECORD_LEN) as u64).map(|at| at * RECORD_LEN as u64).collect();
        Ok(())
    }

    fn take_in(&mut self, at: u64, record: &[u8]) -> Result<(), StoreError> {
        if is_zero(record) {
            if record.len() == RECORD_LEN {
                self.free.insert(at);
            }
            return Ok(());
        }
        let (epoch, keys) = decode(record, at).map_err(|_| damaged(&format!("the record at byte {at} is torn")))?;
        match self.keys.insert(epoch, keys) {
            None => Ok(()),
            Some(_) => Err(damaged(&format!("it has two records for epoch {epoch}"))),
        }
    }

    /// Where the next record goes; the file grows, and is synced, before one reaches beyond its end.
    fn free_record(&mut self) -> io::Result<u64> {
        if let Some(at) = self.free.pop_first() {
            return Ok(at);
        }
        // A page that a power cut left half gained is begun again.
        let start = self.len / RECORD_LEN as u64 * RECORD_LEN as u64;
        self.file.write(start, &[0; GROWTH])?;
        self.file.sync()?;
        self.len = start + GROWTH as u64;
        self.free = (1..(GROWTH / RECORD_LEN) as u64).map(|n| start + n * RECORD_LEN as u64).collect();
        Ok(start)
    }
}

fn encode(epoch: Epoch, keys: &EpochKeys) -> Zeroizing<Vec<u8>> {
    let mut record = Zeroizing::new(Vec::with_capacity(RECORD_LEN));
    record.extend_from_slice(&epoch.0.to_be_bytes());
    record.extend_from_slice(keys.mix_seed.expose());
    record.extend_from_slice(keys.spool.expose());
    record.resize(BODY_LEN, 0);
    let sum = Sha256::digest(&*record);
    record.extend_from_slice(&sum);
    record
}

fn decode(record: &[u8], at: u64) -> Result<(Epoch, EpochKeys), Malformed> {
    let mut reader = Reader::new(record);
    let mut body = Reader::new(reader.bytes(BODY_LEN)?);
    if Sha256::digest(body.rest()).as_slice() != reader.rest() {
        return Err(Malformed);
    }
    let epoch = Epoch(body.u64()?);
    let (mut mix_seed, mut spool) = (body.array()?, body.array()?);
    let keys = EpochKeys { mix_seed: Secret::take(&mut mix_seed), spool: Secret::take(&mut spool), at };
    Ok((epoch, keys))
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

fn damaged(why: &str) -> StoreError {
    StoreError::Damaged(format!("{FILE}: {why}"))
}

#[cfg(test)]
mod tests {
    use crate::id::Epoch;
    use crate::store::Store;
    use crate::store::tests::{private_dir, refusal, rng, store_with_a_packet};
    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use std::collections::BTreeSet;
    use std::fs;

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
        let different: BTreeSet<_> = seeds.iter().collect();
        assert_eq!(different.len(), seeds.len());
        drop(store);
        let mut store = Store::open(dir.path()).unwrap();
        store.ensure_keys(Epoch(4), Epoch(91), &mut StdRng::seed_from_u64(8)).unwrap();
        assert_eq!((5..=90).map(|epoch| seed_of(&store, epoch).unwrap()).collect::<Vec<_>>(), seeds);
        assert!(seed_of(&store, 4).is_some() && seed_of(&store, 91).is_some() && seed_of(&store, 92).is_none());
    }
}
