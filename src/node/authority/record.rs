//! What an authority has signed last. It is written down before a signature is given: two documents of one epoch would stop
//! the network, and whoever has two signatures of one authority under different ones knows it for a liar.

use crate::config::Spool;
use crate::id::{Epoch, NodeId};
use crate::sys::file;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// Why a signature is not given.
#[derive(Debug, Error)]
pub enum NotRecorded {
    /// Something else was signed for this epoch, or a later one.
    #[error("another document of epoch {0} was signed")]
    Signed(Epoch),
    /// It can't be written down.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The file with what was signed last.
#[derive(Debug)]
pub struct Record {
    path: PathBuf,
}

impl Record {
    /// That of the authority whose node has this spool.
    #[must_use]
    pub fn of(spool: &Spool) -> Self {
        Self { path: spool.path.join("authority.signed") }
    }

    /// Where it lies.
    #[must_use]
    pub const fn path(&self) -> &PathBuf {
        &self.path
    }

    /// Writes down what is about to be signed; it is on disk then.
    ///
    /// # Errors
    /// `Signed`, if it would be the second of its epoch; nothing may be signed then, nor after `Io`.
    pub fn note(&self, epoch: Epoch, hash: &[u8; 32]) -> Result<(), NotRecorded> {
        // The node and its operator may both be about to sign.
        let _one_at_a_time = self.lock()?;
        // A hash looks as an id does.
        let line = format!("{epoch} {}\n", NodeId(*hash));
        match self.read()? {
            Some((_, last)) if last == line => return Ok(()),
            Some((last, _)) if last >= epoch => return Err(NotRecorded::Signed(last)),
            _ => {}
        }
        Ok(file::replace(&self.path, line.as_bytes(), file::SECRET)?)
    }

    /// The epoch of what was signed last, and the whole line.
    fn read(&self) -> io::Result<Option<(Epoch, String)>> {
        let line = match file::read_text(&self.path, 256) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            line => line?,
        };
        let epoch = line.split_once(' ').and_then(|(epoch, _)| epoch.parse().ok()).map(Epoch);
        epoch.map(|epoch| Some((epoch, line))).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    fn lock(&self) -> io::Result<File> {
        let path = self.path.with_extension("lock");
        match file::create(&path, b"", file::SECRET) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let lock = OpenOptions::new().write(true).open(&path)?;
        lock.lock()?;
        Ok(lock)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn record() -> (tempfile::TempDir, Record) {
        let dir = tempfile::tempdir().unwrap();
        let record = Record::of(&Spool { path: dir.path().to_owned(), max: 0, reserve: 0 });
        (dir, record)
    }

    #[test]
    fn one_document_an_epoch_is_noted_and_the_same_again() {
        let (_dir, record) = record();
        record.note(Epoch(7), &[1; 32]).unwrap();
        record.note(Epoch(7), &[1; 32]).unwrap();
        for (epoch, hash) in [(7, 2), (6, 1), (0, 1)] {
            let refused = record.note(Epoch(epoch), &[hash; 32]);
            assert!(matches!(refused, Err(NotRecorded::Signed(Epoch(7)))), "{refused:?}");
        }
        record.note(Epoch(8), &[2; 32]).unwrap();
        assert!(record.note(Epoch(7), &[1; 32]).is_err());
    }

    #[test]
    fn what_can_not_be_read_lets_nothing_be_signed() {
        let (_dir, record) = record();
        for bad in ["", "x", "x y\n", "18446744073709551616 00\n"] {
            fs::write(record.path(), bad).unwrap();
            assert!(matches!(record.note(Epoch(9), &[1; 32]), Err(NotRecorded::Io(_))), "{bad}");
            assert_eq!(fs::read_to_string(record.path()).unwrap(), bad);
        }
    }

    #[test]
    fn of_many_at_once_one_signs() {
        let (_dir, record) = record();
        let won = std::thread::scope(|scope| {
            let tries: Vec<_> = (0..8)
                .map(|n| {
                    scope.spawn({
                        let record = &record;
                        move || record.note(Epoch(7), &[n; 32]).is_ok()
                    })
                })
                .collect();
            tries.into_iter().filter_map(|one| one.join().ok()).filter(|won| *won).count()
        });
        assert_eq!(won, 1);
    }
}
