//! Where the MTA comes in: a socket of our own, or one that systemd has opened for us.

use crate::config::Listen;
use indymilter::{EitherStream, Listener};
use listenfd::ListenFd;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::time::{Sleep, sleep};

/// The pause after `accept` failed, mostly for want of file descriptors: others' ends free some.
const PAUSE: Duration = Duration::from_millis(200);

/// The owner and the group, which is the MTA's by way of the directory.
const MODE: u32 = 0o660;

/// Why there is no socket.
#[derive(Debug, Error)]
pub enum DoorError {
    /// Another process answers there.
    #[error("another process listens there")]
    InUse,
    /// Something else has that name; it is left alone.
    #[error("there is something that is no socket")]
    NotASocket,
    /// What systemd has handed over is no socket of a kind that an MTA could use.
    #[error("the socket of the unit is neither a stream nor a port")]
    Inherited,
    /// The operating system said no.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A listening socket. Its file stays when it is dropped: a process that follows replaces it, and might have done so
/// already.
#[derive(Debug)]
pub struct Door {
    socket: Socket,
    pause: Option<Pin<Box<Sleep>>>,
}

#[derive(Debug)]
enum Socket {
    Unix(UnixListener),
    Tcp(TcpListener),
}

impl Door {
    /// The socket that systemd has opened, if it has; or one where the configuration says.
    ///
    /// # Errors
    /// See [`DoorError`].
    pub fn open(listen: &Listen) -> Result<Self, DoorError> {
        let socket = match inherited()? {
            Some(socket) => socket,
            None => match listen {
                Listen::Unix(path) => Socket::Unix(bind(path)?),
                Listen::Inet(address) => {
                    let listener = std::net::TcpListener::bind(address).map_err(|error| match error.kind() {
                        io::ErrorKind::AddrInUse => DoorError::InUse,
                        _ => error.into(),
                    })?;
                    listener.set_nonblocking(true)?;
                    Socket::Tcp(TcpListener::from_std(listener)?)
                }
            },
        };
        Ok(Self { socket, pause: None })
    }
}

fn inherited() -> Result<Option<Socket>, DoorError> {
    let mut handed = ListenFd::from_env();
    if handed.len() == 0 {
        return Ok(None);
    }
    if let Ok(Some(listener)) = handed.take_unix_listener(0) {
        listener.set_nonblocking(true)?;
        return Ok(Some(Socket::Unix(UnixListener::from_std(listener)?)));
    }
    let Ok(Some(listener)) = handed.take_tcp_listener(0) else { return Err(DoorError::Inherited) };
    listener.set_nonblocking(true)?;
    Ok(Some(Socket::Tcp(TcpListener::from_std(listener)?)))
}

/// A file left behind by a process that is gone is replaced.
fn bind(path: &Path) -> Result<UnixListener, DoorError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
        Ok(found) if !found.file_type().is_socket() => return Err(DoorError::NotASocket),
        Ok(_) => match std::os::unix::net::UnixStream::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path)?,
            Err(error) => return Err(error.into()),
            Ok(_) => return Err(DoorError::InUse),
        },
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, Permissions::from_mode(MODE))?;
    Ok(listener)
}

impl Listener for Door {
    type Io = EitherStream<TcpStream, UnixStream>;

    /// Never fails: a milter that ends because of one caller would stop all mail.
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Self::Io>> {
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(cx));
                self.pause = None;
            }
            let next = match &self.socket {
                Socket::Unix(listener) => listener.poll_accept(cx).map_ok(|(stream, _)| EitherStream::Unix(stream)),
                Socket::Tcp(listener) => listener.poll_accept(cx).map_ok(|(stream, _)| {
                    // Without it each answer waits for the other side's acknowledgement.
                    let _ = stream.set_nodelay(true);
                    EitherStream::Tcp(stream)
                }),
            };
            match ready!(next) {
                Ok(stream) => return Poll::Ready(Ok(stream)),
                Err(_) => self.pause = Some(Box::pin(sleep(PAUSE))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_a_dead_process_left_is_replaced_and_what_lives_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("milter.sock");
        let door = bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, MODE);
        assert!(matches!(bind(&path), Err(DoorError::InUse)));
        drop(door);
        assert!(path.exists(), "left behind");
        let again = bind(&path).unwrap();
        assert!(UnixStream::connect(&path).await.is_ok());
        drop(again);
        fs::write(dir.path().join("file"), "a letter").unwrap();
        assert!(matches!(bind(&dir.path().join("file")), Err(DoorError::NotASocket)));
        assert!(matches!(bind(&dir.path().join("no/x.sock")), Err(DoorError::Io(_))));
    }
}
