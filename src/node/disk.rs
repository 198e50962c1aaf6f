//! How much of its disk the spool may take, so that a full disk is met by who brings something, and never by a commit.

use super::changes::Changes;
use crate::config;
use crate::engine::Input;
use crate::store::{STEP, StoreError};
use crate::sys::disk;
use crate::sys::log::{Event, Program, log};
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Looks at the spool's file system before each turn, and tells what is new.
#[derive(Debug)]
pub struct Disk {
    dir: File,
    reserve: u64,
    changes: Changes,
    is_low: Arc<AtomicBool>,
}

impl Disk {
    /// The disk of this spool, which must be there.
    ///
    /// # Errors
    /// `Io` if it can't be opened.
    pub fn open(spool: &config::Spool) -> Result<Self, StoreError> {
        let dir = File::open(&spool.path).map_err(|error| refused("the spool", error))?;
        Ok(Self { dir, reserve: spool.reserve, changes: Changes::of_what_is_up(), is_low: Arc::default() })
    }

    /// Whether it has less room than the reserve.
    #[must_use]
    pub fn is_low(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_low)
    }

    /// Goes by this reserve from here on.
    pub(super) const fn set_up(&mut self, reserve: u64) {
        self.reserve = reserve;
    }

    /// What the engine has to know. To be called at each turn.
    pub(super) fn look(&mut self) -> Result<Input, StoreError> {
        let free = disk::free(&self.dir).map_err(|error| refused("the spool's file system", error))?;
        let room = room(free, self.reserve);
        self.is_low.store(room == 0, Ordering::Relaxed);
        if room > 0 && self.changes.up() {
            log(Program::Node, Event::DiskRoom);
        }
        if room == 0 && self.changes.down() {
            log(Program::Node, Event::DiskLow);
        }
        Ok(Input::Room(room))
    }
}

/// Bytes that the spool may grow by, with so many free. One step of the slab is always among them if anything is: what is
/// left then is the database's, which needs some to delete a row, too.
const fn room(free: u64, reserve: u64) -> u64 {
    match free.checked_sub(reserve) {
        None => 0,
        Some(more) => more.saturating_add(STEP),
    }
}

fn refused(what: &str, source: std::io::Error) -> StoreError {
    StoreError::Io { what: what.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_less_free_than_the_reserve_there_is_no_room_and_with_as_much_there_is_a_step() {
        let reserve = 64 << 20;
        for (free, want) in
            [(0, 0), (reserve - 1, 0), (reserve, STEP), (reserve + 7, STEP + 7), (u64::MAX, u64::MAX - reserve + STEP)]
        {
            assert_eq!(room(free, reserve), want, "{free}");
        }
    }

    #[test]
    fn the_state_of_a_disk_follows_its_reserve() {
        let dir = tempfile::tempdir().unwrap();
        let spool = config::Spool { path: dir.path().to_owned(), max: 1 << 20, reserve: 0 };
        let mut disk = Disk::open(&spool).unwrap();
        let is_low = disk.is_low();
        for (reserve, want) in [(0, false), (u64::MAX, true), (0, false)] {
            disk.set_up(reserve);
            let Input::Room(room) = disk.look().unwrap() else { panic!("something else") };
            assert_eq!((room == 0, is_low.load(Ordering::Relaxed)), (want, want), "{reserve}");
        }
    }
}
