//! Whether a milter answers on its socket. A file is there also when it has died, and a Postfix that asks a dead one takes
//! no mail at all.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// How long it has to answer: a service that is started by it needs a moment.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a Postfix begins with: version 6, every action and every step that there is, so that a milter can ask for what it
/// needs.
const OFFER: [u8; 17] = [0, 0, 0, 13, b'O', 0, 0, 0, 6, 0, 0, 1, 0xff, 0, 0x1f, 0xff, 0xff];

/// What it ends with.
const QUIT: [u8; 5] = [0, 0, 0, 1, b'Q'];

/// Whether one does that takes part.
pub(super) fn answers(socket: &Path) -> bool {
    let (tell, told) = mpsc::channel();
    let socket = socket.to_owned();
    // Connecting has no time limit of its own: where too many wait already it would last.
    thread::spawn(move || tell.send(negotiate(&socket).is_ok()));
    told.recv_timeout(PATIENCE).unwrap_or(false)
}

fn negotiate(socket: &Path) -> io::Result<()> {
    let mut stream = UnixStream::connect(socket)?;
    stream.write_all(&OFFER)?;
    let mut head = [0; 5];
    stream.read_exact(&mut head)?;
    let [.., kind] = head;
    if kind != b'O' {
        return Err(io::ErrorKind::InvalidData.into());
    }
    // It has answered; how it takes the end of it is its own affair.
    let _ = stream.write_all(&QUIT);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn a_socket_that_is_dead_or_not_a_milters_does_not_answer() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("milter.sock");
        assert!(!answers(&path));
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists() && !answers(&path), "nobody listens");
        std::fs::remove_file(&path).unwrap();
        let listener = UnixListener::bind(&path).unwrap();
        for (said, want) in [(&b"220 mx ESMTP"[..], false), (b"", false), (&OFFER, true)] {
            thread::scope(|scope| {
                scope.spawn(|| {
                    let (mut stream, _) = listener.accept().unwrap();
                    stream.read_exact(&mut [0; OFFER.len()]).unwrap();
                    stream.write_all(said).unwrap();
                });
                assert_eq!(answers(&path), want, "{said:?}");
            });
        }
    }
}
