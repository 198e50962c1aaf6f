//! Files that are whole or not there, and files that nobody else may read.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use thiserror::Error;
use zeroize::Zeroizing;

/// Mode of a file that holds secrets, and of one that everybody may read.
pub const SECRET: u32 = 0o600;
/// Mode of a file that everybody may read.
pub const PUBLIC: u32 = 0o644;
/// Longest file with a secret.
const MAX_SECRET: u64 = 4096;

/// Why a file with a secret isn't taken.
#[derive(Debug, Error)]
pub enum SecretError {
    /// Others than its owner can get at it.
    #[error("{path} has mode {mode:04o}", path = .path.display())]
    Access {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It can't be read.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Writes a new file: whole, durable and with `mode`, or not at all.
///
/// # Errors
/// `AlreadyExists` if there is anything at `path`, which stays as it is; else what the operating system says.
pub fn create(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let temporary = write_beside(path, bytes, mode)?;
    // A rename would overwrite; a link doesn't.
    let linked = fs::hard_link(&temporary, path);
    fs::remove_file(&temporary)?;
    linked?;
    sync_parent(path)
}

/// Writes a file, in place of the one that may be there: after a crash there is the old one or the new one.
///
/// # Errors
/// What the operating system says; the old file is still there then.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let temporary = write_beside(path, bytes, mode)?;
    if let Err(error) = fs::rename(&temporary, path) {
        // The first error is the one to tell.
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    sync_parent(path)
}

/// Reads a text of at most `max` bytes.
///
/// # Errors
/// `FileTooLarge` or `InvalidData` if it is longer or no UTF-8; else what the operating system says.
pub fn read_text(path: &Path, max: u64) -> io::Result<String> {
    read_bounded(&File::open(path)?, max)
}

/// Reads a text that is a secret, of at most 4 KiB, from a file that only its owner can get at.
///
/// # Errors
/// `Access` if group or others can; `Io` as `read_text`.
pub fn read_secret(path: &Path) -> Result<Zeroizing<String>, SecretError> {
    let file = File::open(path)?;
    let mode = file.metadata()?.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(SecretError::Access { path: path.to_owned(), mode });
    }
    Ok(Zeroizing::new(read_bounded(&file, MAX_SECRET)?))
}

/// Reads a text that is a secret, of at most 4 KiB, from a credential of systemd (LoadCredential): who may read it is what
/// systemd has seen to, by means that a mode doesn't show.
///
/// # Errors
/// As `read_text`.
pub fn read_credential(path: &Path) -> io::Result<Zeroizing<String>> {
    Ok(Zeroizing::new(read_bounded(&File::open(path)?, MAX_SECRET)?))
}

/// Makes a directory that only its owner may enter, and its parents. One that is there stays as it is.
///
/// # Errors
/// What the operating system says.
pub fn create_private_dir(path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        other => other,
    }
}

/// Makes a directory as `create_private_dir` does, for whoever owns the one it lies in: what root makes in the spool is the
/// node's user's.
///
/// # Errors
/// What the operating system says.
pub fn create_owners_dir(path: &Path) -> io::Result<()> {
    create_private_dir(path)?;
    give_to_owner_of_directory(path, &File::open(path)?)
}

fn read_bounded(file: &File, max: u64) -> io::Result<String> {
    // Room for all of it from the start: a string that grows leaves copies of a secret behind.
    let length = file.metadata()?.len().min(max);
    let mut text = String::with_capacity(usize::try_from(length).unwrap_or(0).saturating_add(1));
    file.take(max.saturating_add(1)).read_to_string(&mut text)?;
    let long = u64::try_from(text.len()).is_ok_and(|len| len > max);
    if long { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(text) }
}

/// A durable file with these bytes in the directory of `path`.
fn write_beside(path: &Path, bytes: &[u8], mode: u32) -> io::Result<PathBuf> {
    let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let temporary = path.with_file_name(name);
    // Left by a process of our number that was cut off; in a container there may be no other number.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let written = write_durably(&temporary, bytes, mode);
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written.map(|()| temporary)
}

fn write_durably(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    give_to_owner_of_directory(path, &file)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// What root makes in a directory of somebody else is theirs: the node's user has to read what its operator puts into the
/// spool.
fn give_to_owner_of_directory(path: &Path, file: &File) -> io::Result<()> {
    const ROOT: u32 = 0;
    let (dir, made) = (fs::metadata(parent_of(path))?, file.metadata()?);
    if made.uid() != ROOT || dir.uid() == ROOT {
        return Ok(());
    }
    std::os::unix::fs::fchown(file, Some(dir.uid()), Some(dir.gid()))
}

fn parent_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn sync_parent(path: &Path) -> io::Result<()> {
    File::open(parent_of(path))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_new_file_never_overwrites() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        create(&path, b"first", SECRET).unwrap();
        assert_eq!(create(&path, b"second", SECRET).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert_eq!(path.metadata().unwrap().mode() & 0o7777, 0o600);
        assert_eq!(names(dir.path()), ["key"], "nothing is left behind");
    }

    #[test]
    fn a_file_is_replaced_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("document");
        replace(&path, b"first", PUBLIC).unwrap();
        replace(&path, b"second", PUBLIC).unwrap();
        assert_eq!(read_text(&path, 6).unwrap(), "second");
        assert_eq!(path.metadata().unwrap().mode() & 0o7777, 0o644);
        assert_eq!(names(dir.path()), ["document"], "nothing is left behind");
        let nowhere = dir.path().join("nowhere/document");
        assert!(replace(&nowhere, b"x", PUBLIC).is_err());
    }

    #[test]
    fn what_a_process_left_half_written_is_in_nobodys_way() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("document");
        fs::write(dir.path().join(format!("document.{}.new", std::process::id())), b"ha").unwrap();
        replace(&path, b"whole", PUBLIC).unwrap();
        assert_eq!((read_text(&path, 6).unwrap().as_str(), names(dir.path())), ("whole", vec!["document".into()]));
    }

    #[test]
    fn a_file_that_is_too_long_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("long");
        replace(&path, b"seven b", PUBLIC).unwrap();
        assert_eq!(read_text(&path, 6).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(read_text(&path, 7).unwrap(), "seven b");
    }

    #[test]
    fn a_secret_that_others_can_read_is_not_taken() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        create(&path, b"secret", SECRET).unwrap();
        assert_eq!(read_secret(&path).unwrap().as_str(), "secret");
        for mode in [0o640, 0o604, 0o610, 0o602] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert!(matches!(read_secret(&path), Err(SecretError::Access { mode: found, .. }) if found == mode));
        }
    }

    #[test]
    fn what_root_makes_in_a_directory_of_somebody_else_is_theirs() {
        const SOMEBODY: u32 = 64_001;
        let dir = tempfile::tempdir().unwrap();
        if std::os::unix::fs::chown(dir.path(), Some(SOMEBODY), Some(SOMEBODY)).is_err() {
            return;
        }
        let path = dir.path().join("document");
        replace(&path, b"first", PUBLIC).unwrap();
        let made = fs::metadata(&path).unwrap();
        assert_eq!((made.uid(), made.gid()), (SOMEBODY, SOMEBODY));
    }

    #[test]
    fn a_private_directory_is_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        create_private_dir(&path).unwrap();
        create_private_dir(&path).unwrap();
        assert_eq!(path.metadata().unwrap().mode() & 0o7777, 0o700);
        create(&dir.path().join("file"), b"", PUBLIC).unwrap();
        assert!(create_private_dir(&dir.path().join("file")).is_err());
    }
}
