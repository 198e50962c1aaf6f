//! Sockets that systemd has opened for this process (sd_listen_fds(3)), known by their addresses.
//!
//! With them the node needs no network of its own, and each local socket has its own group, which the node need not be
//! in.

use super::trouble::Trouble;
use crate::config::{Config, Listen};
use crate::sys::exit_code::ExitCode;
use listenfd::ListenFd;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

/// Sockets that have been opened and not been taken.
#[derive(Debug, Default)]
pub(super) struct Inherited {
    links: Vec<(SocketAddr, TcpListener)>,
    local: Vec<(PathBuf, UnixListener)>,
}

impl Inherited {
    /// Those of this process. To be called once and before there are threads, as it takes the variables out of the
    /// environment that tell of them.
    ///
    /// # Errors
    /// What was handed over and is no listening socket.
    pub(super) fn take() -> Result<Self, Trouble> {
        let mut given = ListenFd::from_env();
        let mut inherited = Self::default();
        for index in 0..given.len() {
            let taken = inherited.take_one(&mut given, index);
            taken.map_err(|error| Trouble::os("what systemd hands over is no listening socket", &error))?;
        }
        Ok(inherited)
    }

    fn take_one(&mut self, given: &mut ListenFd, index: usize) -> io::Result<()> {
        // One that is no TCP socket stays where it is.
        if let Ok(Some(tcp)) = given.take_tcp_listener(index) {
            self.links.push((tcp.local_addr()?, tcp));
        } else if let Some(unix) = given.take_unix_listener(index)? {
            let address = unix.local_addr()?;
            self.local.push((address.as_pathname().unwrap_or(Path::new("")).to_owned(), unix));
        }
        Ok(())
    }

    /// The port for links, if there is any.
    ///
    /// # Errors
    /// One that isn't what `node.listen` says: what the directory document says of this node would lead nowhere.
    pub(super) fn links(&mut self, at: &Listen) -> Result<Option<TcpListener>, Trouble> {
        match self.links.pop() {
            Some((address, listener)) if *at == Listen::Inet(address) => Ok(Some(listener)),
            Some((address, _)) => {
                Err(Trouble::new(ExitCode::Config, "systemd listens somewhere else than node.listen")
                    .found(format!("it listens at {address}, node.listen is {at}"))
                    .hint("systemctl edit fog-node.socket, or change node.listen"))
            }
            None => Ok(None),
        }
    }

    /// The one at `path`, if there is one.
    pub(super) fn local(&mut self, path: &Path) -> Option<UnixListener> {
        let place = self.local.iter().position(|(at, _)| at == path)?;
        Some(self.local.swap_remove(place).1)
    }

    /// This one alone.
    #[cfg(test)]
    pub(super) fn of_local(path: &Path, socket: UnixListener) -> Self {
        Self { links: Vec::new(), local: vec![(path.to_owned(), socket)] }
    }

    /// Looks whether there is one left that this node has no use for.
    ///
    /// # Errors
    /// One that the configuration knows nothing of: whoever calls there would wait for ever.
    pub(super) fn check_rest(&self, config: &Config) -> Result<(), Trouble> {
        // Without the role nobody calls there.
        match self.local.iter().find(|(path, _)| *path != config.node.exit_socket()) {
            None => Ok(()),
            Some((path, _)) => {
                Err(Trouble::new(ExitCode::Config, "systemd listens at a socket that is not the node's")
                    .found(format!("{}, node.sockets is {}", path.display(), config.node.sockets.display()))
                    .hint("systemctl edit the fog-node sockets, or change node.sockets"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_known_by_their_addresses() {
        let dir = tempfile::tempdir().unwrap();
        let [ours, other] = ["submit.sock", "other.sock"].map(|name| dir.path().join(name));
        let tcp = || TcpListener::bind("127.0.0.1:0").unwrap();
        let (listener, address) = (tcp(), tcp().local_addr().unwrap());
        let at = listener.local_addr().unwrap();
        let mut inherited =
            Inherited { links: vec![(at, listener)], local: vec![(ours.clone(), UnixListener::bind(&ours).unwrap())] };
        assert!(inherited.local(&other).is_none());
        assert!(inherited.local(&ours).is_some() && inherited.local(&ours).is_none());
        assert_eq!(inherited.links(&Listen::Inet(address)).unwrap_err().exit, ExitCode::Config);
        assert!(inherited.links(&Listen::Inet(at)).unwrap().is_none(), "it was taken");
        let listener = tcp();
        inherited.links.push((listener.local_addr().unwrap(), listener));
        assert_eq!(inherited.links(&Listen::Unix(ours)).unwrap_err().exit, ExitCode::Config, "a socket was wanted");
    }
}
