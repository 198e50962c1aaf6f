//! Unix sockets of this machine: bound once, with the right mode, for the right users, gone when the node is.

use crate::wire::{Malformed, PREFIX_LEN};
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use thiserror::Error;
use tokio::io::AsyncReadExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::sleep;

/// The pause after `accept` failed, mostly for want of file descriptors: others' ends free some.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Whom systemd lets in where it opens a socket for us: its units say which group.
const ADOPTED_MODE: u32 = 0o660;

/// Why a socket could not be bound.
#[derive(Debug, Error)]
pub enum BindError {
    /// Another process answers there.
    #[error("another process listens there")]
    InUse,
    /// Something else has that name; it is left alone.
    #[error("there is something that is no socket")]
    NotASocket,
    /// The operating system said no.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A listening socket. Its file goes when it is dropped.
#[derive(Debug)]
pub struct Local {
    listener: UnixListener,
    path: PathBuf,
    mode: u32,
    /// The user we run as.
    owner: u32,
    /// Whether the file is ours to remove.
    is_ours: bool,
}

impl Local {
    /// Listens at `path` with these permissions. A file left behind by a process that is gone is replaced.
    ///
    /// # Errors
    /// `InUse` and `NotASocket` leave what is there alone; `Io` is what the operating system said.
    pub fn bind(path: &Path, mode: u32) -> Result<Self, BindError> {
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
            Ok(found) if !found.file_type().is_socket() => return Err(BindError::NotASocket),
            Ok(_) => match std::os::unix::net::UnixStream::connect(path) {
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path)?,
                Err(error) => return Err(error.into()),
                Ok(_) => return Err(BindError::InUse),
            },
        }
        let listener = UnixListener::bind(path)?;
        let local = Self { listener, path: path.to_owned(), mode, owner: fs::metadata(path)?.uid(), is_ours: true };
        fs::set_permissions(path, Permissions::from_mode(mode))?;
        Ok(local)
    }

    /// Goes on with a socket that systemd has opened at `path`, for its owner and its group. The file is systemd's.
    ///
    /// # Errors
    /// What the operating system said.
    pub fn adopt(listener: std::os::unix::net::UnixListener, path: &Path) -> Result<Self, BindError> {
        listener.set_nonblocking(true)?;
        let listener = UnixListener::from_std(listener)?;
        let owner = fs::metadata("/proc/self")?.uid();
        Ok(Self { listener, path: path.to_owned(), mode: ADOPTED_MODE, owner, is_ours: false })
    }

    /// Whether a caller with this user may do what only the node's operator may.
    #[must_use]
    pub const fn is_operator(&self, user: u32) -> bool {
        user == 0 || user == self.owner
    }

    /// The next connection of somebody who may have one, and whose it is, whatever happens to others. Who may not sees
    /// it close.
    pub async fn accept(&self) -> (UnixStream, u32) {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    if let Some(user) = self.user(&stream) {
                        return (stream, user);
                    }
                }
                Err(_) => sleep(ACCEPT_PAUSE).await,
            }
        }
    }

    /// The next connection, whoever's it is: for what proves itself by other means than who it runs as.
    ///
    /// # Errors
    /// What the operating system said, mostly that there are too many open files.
    pub async fn accept_anybody(&self) -> io::Result<UnixStream> {
        self.listener.accept().await.map(|(stream, _)| stream)
    }

    /// Who called, if it may.
    fn user(&self, stream: &UnixStream) -> Option<u32> {
        let peer = stream.peer_cred().ok()?;
        let file = fs::metadata(&self.path).ok()?;
        let may = self.may_call((peer.uid(), peer.gid()), (file.gid(), file.mode()));
        may.then_some(peer.uid())
    }

    /// The system has held the caller against the mode of the file as it is; this holds it against the one we gave it,
    /// for a slip of `chmod` must not open a door.
    const fn may_call(&self, (user, group): (u32, u32), (file_group, file_mode): (u32, u32)) -> bool {
        if self.is_operator(user) {
            return true;
        }
        let lets_group_in = self.mode & 0o020 != 0;
        // Of a caller's groups only the first can be seen. The system knows the others, and has looked at them unless
        // the file is open to everybody.
        lets_group_in && (group == file_group || file_mode & 0o002 == 0)
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        if self.is_ours {
            // Who finds it left behind replaces it, so it is no loss if this fails.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// What came instead of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoFrame {
    /// The stream ended or failed.
    Ended,
    /// It announced more bytes than it may have, this many; they have not been read.
    TooLong(u32),
}

/// Reads one frame: its length, held against the bounds of `body_len`, and then the rest, for which room is made as it
/// comes.
///
/// # Errors
/// What came instead.
pub async fn read_frame(
    stream: &mut (impl AsyncReadExt + Unpin),
    body_len: impl FnOnce([u8; PREFIX_LEN]) -> Result<usize, Malformed>,
) -> Result<Vec<u8>, NoFrame> {
    let length = read_length(stream, body_len).await?;
    let mut body = Vec::new();
    read_until(stream, &mut body, length).await?;
    Ok(body)
}

/// Reads how long a frame is that begins here.
///
/// # Errors
/// What came instead.
pub async fn read_length(
    stream: &mut (impl AsyncReadExt + Unpin),
    body_len: impl FnOnce([u8; PREFIX_LEN]) -> Result<usize, Malformed>,
) -> Result<usize, NoFrame> {
    let mut prefix = [0; PREFIX_LEN];
    stream.read_exact(&mut prefix).await.map_err(|_| NoFrame::Ended)?;
    body_len(prefix).map_err(|_| NoFrame::TooLong(u32::from_be_bytes(prefix)))
}

/// Reads on until `body` has `length` bytes. It grows as they come: to announce many costs us nothing.
///
/// # Errors
/// `Ended`
pub async fn read_until(
    stream: &mut (impl AsyncReadExt + Unpin),
    body: &mut Vec<u8>,
    length: usize,
) -> Result<(), NoFrame> {
    let missing = u64::try_from(length.saturating_sub(body.len())).unwrap_or(u64::MAX);
    let got = stream.take(missing).read_to_end(body).await.map_err(|_| NoFrame::Ended)?;
    if u64::try_from(got) == Ok(missing) { Ok(()) } else { Err(NoFrame::Ended) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_has_its_mode_and_goes_with_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.sock");
        let local = Local::bind(&path, 0o660).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o660);
        let (ours, _) = tokio::join!(local.accept(), UnixStream::connect(&path));
        drop((ours, local));
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn what_a_dead_process_left_is_replaced_and_what_lives_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "left behind");
        let local = Local::bind(&path, 0o660).unwrap();
        assert!(matches!(Local::bind(&path, 0o660), Err(BindError::InUse)));
        assert!(UnixStream::connect(&path).await.is_ok(), "the living one is not disturbed");
        drop(local);

        fs::write(&path, "a letter").unwrap();
        assert!(matches!(Local::bind(&path, 0o660), Err(BindError::NotASocket)));
        assert_eq!(fs::read(&path).unwrap(), b"a letter");
        assert!(matches!(Local::bind(&dir.path().join("no/x.sock"), 0o660), Err(BindError::Io(_))));
    }

    #[tokio::test]
    async fn who_may_call_is_decided_by_the_mode_we_gave_the_file() {
        const OURS: u32 = 70;
        const GROUP: u32 = 80;
        const OTHER: u32 = 90;
        let dir = tempfile::tempdir().unwrap();
        let bound = |name: &str, mode| {
            let mut local = Local::bind(&dir.path().join(name), mode).unwrap();
            local.owner = OURS;
            local
        };
        let (shared, private) = (bound("shared", 0o660), bound("private", 0o600));
        for (caller, mode, to_shared, to_private) in [
            ((0, OTHER), 0o600, true, true),
            ((OURS, OTHER), 0o600, true, true),
            ((OTHER, GROUP), 0o660, true, false),
            ((OTHER, OTHER), 0o660, true, false),
            ((OTHER, GROUP), 0o666, true, false),
            ((OTHER, OTHER), 0o666, false, false),
            ((OTHER, OTHER), 0o777, false, false),
        ] {
            let said = [&shared, &private].map(|socket| socket.may_call(caller, (GROUP, mode)));
            assert_eq!(said, [to_shared, to_private], "{caller:?} under {mode:o}");
        }
    }

    #[tokio::test]
    async fn what_is_announced_and_does_not_come_takes_no_room() {
        let mut body = Vec::new();
        assert_eq!(read_until(&mut &[7; 100][..], &mut body, 1 << 40).await, Err(NoFrame::Ended));
        assert!(body.capacity() < 1000, "{}", body.capacity());
    }

    #[tokio::test]
    async fn a_frame_is_read_only_within_its_bounds() {
        let bounded = |prefix: [u8; 4]| match u32::from_be_bytes(prefix) {
            n @ 0..=5 => Ok(usize::try_from(n).unwrap()),
            _ => Err(Malformed),
        };
        for (bytes, want) in [
            (&[0, 0, 0, 5, 1, 2, 3, 4, 5][..], Ok(vec![1, 2, 3, 4, 5])),
            (&[0, 0, 0, 0], Ok(vec![])),
            (&[0, 0, 0, 5, 1], Err(NoFrame::Ended)),
            (&[0, 0, 0], Err(NoFrame::Ended)),
            (&[0, 0, 0, 6, 1, 2, 3, 4, 5, 6], Err(NoFrame::TooLong(6))),
            (&[0xff; 9], Err(NoFrame::TooLong(u32::MAX))),
        ] {
            assert_eq!(read_frame(&mut &*bytes, bounded).await, want, "{bytes:?}");
        }
    }
}
