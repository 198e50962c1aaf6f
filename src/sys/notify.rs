//! What systemd is told (sd_notify(3)): that a service is ready, that it stops, that it is alive.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// Tells systemd that the service is ready. Without systemd, nothing.
pub fn ready() {
    tell("READY=1");
}

/// Tells systemd that the service ends, on its own account or because it was told to.
pub fn stopping() {
    tell("STOPPING=1");
}

/// Tells systemd that the service is alive.
pub fn alive() {
    tell("WATCHDOG=1");
}

/// How often systemd wants to hear that this process is alive, if it wants to.
#[must_use]
pub fn watchdog() -> Option<Duration> {
    let number = |name| std::env::var(name).ok()?.parse().ok();
    let ours = number("WATCHDOG_PID").is_none_or(|pid: u64| pid == u64::from(std::process::id()));
    ours.then(|| number("WATCHDOG_USEC").map(Duration::from_micros))?
}

fn tell(state: &str) {
    if let Some(socket) = std::env::var_os("NOTIFY_SOCKET") {
        // If systemd doesn't hear it, it will do what it does with services that say nothing; no mail is at stake.
        let _ = send(&socket, state);
    }
}

fn send(socket: &OsStr, state: &str) -> io::Result<()> {
    let address = match socket.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    let ours = UnixDatagram::unbound()?;
    // systemd reads it when it gets to it; the engine has other things to do than to wait for that.
    ours.set_nonblocking(true)?;
    ours.send_to_addr(state.as_bytes(), &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systemd_is_told_at_a_path_and_at_an_abstract_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let name = format!("fog-test-{}", std::process::id());
        let heard = |systemd: &UnixDatagram| {
            let mut bytes = [0; 64];
            let length = systemd.recv(&mut bytes).unwrap();
            String::from_utf8(bytes[..length].to_vec()).unwrap()
        };
        let systemd = UnixDatagram::bind(&path).unwrap();
        send(path.as_os_str(), "READY=1").unwrap();
        assert_eq!(heard(&systemd), "READY=1");
        let systemd = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        send(format!("@{name}").as_ref(), "WATCHDOG=1").unwrap();
        assert_eq!(heard(&systemd), "WATCHDOG=1");
        assert!(send("/nonexistent/notify".as_ref(), "READY=1").is_err());
    }
}
