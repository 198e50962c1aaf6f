//! Unix sockets of this machine: bound once, with the right mode, gone when the node is.

use crate::wire::Malformed;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use thiserror::Error;
use tokio::io::AsyncReadExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::sleep;

/// The pause after `accept` failed, mostly for want of file descriptors: others' ends free some.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Bytes of a frame's length.
const PREFIX_LEN: usize = 4;

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
        let local = Self { listener: UnixListener::bind(path)?, path: path.to_owned() };
        fs::set_permissions(path, Permissions::from_mode(mode))?;
        Ok(local)
    }

    /// The next connection, whatever happens to others.
    pub async fn accept(&self) -> UnixStream {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => return stream,
                Err(_) => sleep(ACCEPT_PAUSE).await,
            }
        }
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        // Who finds it left behind replaces it, so it is no loss if this fails.
        let _ = fs::remove_file(&self.path);
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

/// Reads one frame: its length, held against the bounds of `body_len`, and only then room for it and the rest.
///
/// # Errors
/// What came instead.
pub async fn read_frame(
    stream: &mut (impl AsyncReadExt + Unpin),
    body_len: impl FnOnce([u8; PREFIX_LEN]) -> Result<usize, Malformed>,
) -> Result<Vec<u8>, NoFrame> {
    let mut prefix = [0; PREFIX_LEN];
    stream.read_exact(&mut prefix).await.map_err(|_| NoFrame::Ended)?;
    let length = body_len(prefix).map_err(|_| NoFrame::TooLong(u32::from_be_bytes(prefix)))?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.map_err(|_| NoFrame::Ended)?;
    Ok(body)
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
