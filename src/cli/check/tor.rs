//! Tor's SOCKS port: there, Tor's, and open to the service.

use super::finding::Finding;
use super::whom::{Denied, Want, Whom};
use crate::config::{Config, Socks};
use crate::id::NodeId;
use crate::node::socks::Tor;
use crate::sys::tor_failure::TorFailure;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);

/// How long Tor may take to find a service that is there.
const ONION: Duration = Duration::from_secs(60);

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

/// Whether the node's onion leads to it, as anybody else finds it: through Tor's network and back. It takes a minute at
/// most; Tor connects to the onion's target, and nothing is said there.
pub(super) fn own_onion(config: &Config) -> Finding {
    let answer = tokio::runtime::Builder::new_current_thread().enable_all().build().map(|runtime| {
        runtime.block_on(async {
            // Circuits of its own: nobody's who is written to.
            let reached = Tor::new(config.socks.clone());
            let reached =
                tokio::time::timeout(ONION, reached.connect(&config.node.onion, &NodeId([0; NodeId::LEN]))).await;
            reached.unwrap_or(Err(TorFailure::Late)).map(drop)
        })
    });
    let onion = &config.node.onion;
    match answer {
        Ok(Ok(())) => Finding::good("tor", format!("{onion} is reached through Tor")),
        Ok(Err(failure)) => Finding::wrong("tor", format!("{onion} is not reached through Tor: {failure}"))
            .hint("start the node; HiddenServicePort of torrc leads to node.listen; one made just now takes minutes"),
        Err(error) => Finding::careful("tor", format!("nobody could ask whether {onion} is reached: {error}")),
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
        socks(&config(&path, onion), &Whom::runs(0, 0))
    }

    fn config(socks: &Path, onion: bool) -> Config {
        let host = if onion { "pg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd.onion" } else { "127.0.0.1" };
        let text = format!(
            "node.name = \"a\"\nnode.onion = \"{host}:1\"\ntor.socks = \"unix:{}\"\ndirectory.trust = [\"{}\"]\n",
            socks.display(),
            "0".repeat(64)
        );
        Config::parse(&[("fog.toml".into(), text)], &[], Path::new("/")).unwrap()
    }

    #[test]
    fn the_onion_is_reached_or_tor_says_why_not() {
        for (reply, state, says) in
            [(0, State::Good, "is reached through Tor"), (0xf0, State::Wrong, "the onion service isn't published")]
        {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("socks");
            let listener = UnixListener::bind(&path).unwrap();
            let tor = thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let mut take = |length: usize, answer: &[u8]| {
                    let mut bytes = vec![0; length];
                    stream.read_exact(&mut bytes).unwrap();
                    stream.write_all(answer).unwrap();
                    bytes
                };
                let methods = take(2, &[])[1];
                take(methods.into(), &[5, 2]);
                // A user name and a password, each behind its length.
                let user = take(2, &[])[1];
                let password = take(usize::from(user) + 1, &[])[usize::from(user)];
                take(password.into(), &[1, 0]);
                let host = take(5, &[])[4];
                take(usize::from(host) + 2, &[5, reply, 0, 1, 0, 0, 0, 0, 0, 0])
            });
            let found = own_onion(&config(&path, true));
            assert!(found.state == state && found.says.contains(says), "{found:?}");
            assert!(tor.join().unwrap().starts_with(b"pg6mmjiyjm"), "another host was asked for");
        }
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
