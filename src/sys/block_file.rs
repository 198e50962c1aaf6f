//! The file of recipients who are not to be written to.

use super::file;
use crate::config::Config;
use crate::mail::block::{BlockList, MAX_FILE, NotAList};
use crate::secret::Secret;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::Path;
use thiserror::Error;

/// Why the list can't be gone by. Without it nobody's wish would be kept.
#[derive(Debug, Error)]
pub enum BlockFileError {
    /// It can't be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It isn't what `fog block` of this node writes.
    #[error(transparent)]
    NotAList(#[from] NotAList),
}

/// Reads the list of the node with this link key; an empty one if there is no file.
///
/// # Errors
/// See `BlockFileError`.
pub fn read(path: &Path, link: &Secret<32>) -> Result<BlockList, BlockFileError> {
    match read_there(path, link) {
        Err(BlockFileError::Io(error)) if error.kind() == ErrorKind::NotFound => Ok(BlockList::new(link)),
        read => read,
    }
}

/// Reads the list of the node with this link key, where there has to be one.
///
/// # Errors
/// As `read`; and if there is no file.
pub fn read_there(path: &Path, link: &Secret<32>) -> Result<BlockList, BlockFileError> {
    Ok(BlockList::parse(&file::read_text(path, MAX_FILE)?, link)?)
}

/// Reads the list that the configuration of a node means. `was_there`: there was one before, which nobody asked to be
/// taken off by taking it away.
///
/// # Errors
/// As `read`; and if there is no file where one has to be.
pub fn read_for(config: &Config, link: &Secret<32>, was_there: bool) -> Result<BlockList, BlockFileError> {
    let has_to_be = config.block_is_named || was_there;
    if has_to_be { read_there(&config.block, link) } else { read(&config.block, link) }
}

/// Reads the list, lets `change` change it, and writes it back if that says so. Two at once wait for each other.
///
/// # Errors
/// As `read`; and what the operating system says, in which case the list is as it was.
pub fn update<T>(
    path: &Path,
    link: &Secret<32>,
    change: impl FnOnce(&mut BlockList) -> (bool, T),
) -> Result<T, BlockFileError> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let lock = File::open(dir)?;
    lock.lock()?;
    let mut list = read(path, link)?;
    let (changed, told) = change(&mut list);
    let text = list.to_text();
    if changed && text.len() as u64 > MAX_FILE {
        return Err(io::Error::from(ErrorKind::FileTooLarge).into());
    }
    if changed {
        file::replace(path, text.as_bytes(), file::PUBLIC)?;
    }
    Ok(told)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::block::Who;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn link() -> Secret<32> {
        Secret::filled(|bytes| bytes.fill(1))
    }

    #[test]
    fn a_list_is_made_with_its_first_entry_and_read_by_everybody() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("block");
        assert!(read(&path, &link()).unwrap().is_empty());
        update(&path, &link(), |_| (false, ())).unwrap();
        assert!(!path.exists());
        let who = Who::parse("alice@example.com").unwrap();
        assert!(update(&path, &link(), |list| (true, list.add(&who, "2026-11-23"))).unwrap());
        assert_eq!(read(&path, &link()).unwrap().len(), 1);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
    }

    #[test]
    fn what_is_no_list_is_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("block");
        fs::write(&path, "alice@example.com\n").unwrap();
        let changed = update(&path, &link(), |_| (true, ()));
        assert!(matches!(changed, Err(BlockFileError::NotAList(NotAList::Malformed(1)))));
        assert_eq!(fs::read_to_string(&path).unwrap(), "alice@example.com\n");
    }

    #[test]
    fn two_at_once_lose_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("block");
        std::thread::scope(|scope| {
            for n in 0..8 {
                let path = &path;
                scope.spawn(move || {
                    let who = Who::parse(&format!("user{n}@example.com")).unwrap();
                    update(path, &link(), |list| (true, list.add(&who, "2026-11-23"))).unwrap();
                });
            }
        });
        assert_eq!(read(&path, &link()).unwrap().len(), 8);
    }
}
