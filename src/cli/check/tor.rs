//! Tor's SOCKS port: there, Tor's, and open to the service.

use super::finding::Finding;
use super::whom::{Denied, Want, Whom};
use crate::config::{Config, Socks};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);

/// Version 5; one method: user name and password, by which circuits are kept apart.
const GREETING: [u8; 3] = [5, 1, 2];

/// What there is to say of it. A node without an onion, among others without, needs none.
pub(super) fn socks(config: &Config, whom: &Whom) -> Finding {
    let needed = config.node.onion.is_onion();
    let (shown, answer) = match &config.socks {
        Socks::Unix(path) => {
            if let Err(Denied::Mode(at)) = whom.may(Want::Write, path) {
                let says = format!("{} may not use Tor's socket {}", whom.name, path.display());
                return Finding::wrong("tor", says).hint(format!(
                    "adduser {} debian-tor; see who may: ls -ld {}",
                    whom.name,
                    at.display()
                ));
            }
            (
                format!("unix:{}", path.display()),
                UnixStream::connect(path).and_then(|stream| {
                    stream.set_read_timeout(Some(PATIENCE))?;
                    greet(stream)
                }),
            )
        }
        Socks::Tcp(address) => (
            address.to_string(),
            TcpStream::connect_timeout(address, PATIENCE).and_then(|stream| {
                stream.set_read_timeout(Some(PATIENCE))?;
                greet(stream)
            }),
        ),
    };
    match answer {
        Ok(()) => Finding::good("tor", format!("{shown} speaks SOCKS and keeps circuits apart")),
        Err(error) if needed => Finding::wrong("tor", format!("{shown}: {error}; no onion can be reached"))
            .hint("systemctl status tor@default; fog setup tor; or change tor.socks"),
        Err(_) => Finding::careful("tor", "there is no Tor: who watches this machine sees which nodes it talks to")
            .hint("fog setup tor, and an onion in node.onion"),
    }
}

fn greet(mut stream: impl Read + Write) -> io::Result<()> {
    stream.write_all(&GREETING)?;
    let mut answer = [0; 2];
    stream.read_exact(&mut answer)?;
    match answer {
        [5, 2] => Ok(()),
        [5, _] => Err(io::Error::other("it takes no user names, so circuits would be shared")),
        _ => Err(io::Error::other("what answers there speaks no SOCKS 5")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;
    use std::os::unix::net::UnixListener;
    use std::path::Path;
    use std::thread;

    fn with(answer: Option<&'static [u8]>, onion: bool) -> Finding {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socks");
        if let Some(answer) = answer {
            let listener = UnixListener::bind(&path).unwrap();
            thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                stream.write_all(answer).unwrap();
                stream.read_exact(&mut [0; 3]).unwrap();
            });
        }
        let host = if onion { "pg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd.onion" } else { "127.0.0.1" };
        let text = format!(
            "node.name = \"a\"\nnode.onion = \"{host}:1\"\ntor.socks = \"unix:{}\"\ndirectory.trust = [\"{}\"]\n",
            path.display(),
            "0".repeat(64)
        );
        let config = Config::parse(&[("fog.toml".into(), text)], &[], Path::new("/")).unwrap();
        socks(&config, &Whom::runs(0, 0))
    }

    #[test]
    fn only_what_keeps_circuits_apart_is_tor() {
        assert_eq!(with(Some(&[5, 2]), true).state, State::Good);
        for (answer, says) in [(&[5, 0][..], "circuits would be shared"), (b"HT", "speaks no SOCKS 5")] {
            let found = with(Some(answer), true);
            assert!(found.state == State::Wrong && found.says.contains(says), "{found:?}");
        }
    }

    #[test]
    fn without_tor_an_onion_is_wrong_and_another_address_is_seen() {
        assert_eq!((with(None, true).state, with(None, false).state), (State::Wrong, State::Careful));
    }
}
