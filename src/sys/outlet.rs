//! Where lines of the log go: the journal, standard error, or a syslog daemon.
//!
//! A thread of its own writes them, and takes no more of them than it can hold: a daemon that stands still, a pipe that
//! nobody reads or a full disk costs lines, and never a mail.

use crate::config::LogTarget;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::linux::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

/// Lines that may wait. What fog says in days.
const ROOM: usize = 256;

/// How long the end of a program waits for its last lines.
const LAST_LINES: Duration = Duration::from_secs(1);

/// syslog's facility `mail`.
const MAIL: u8 = 2 << 3;

/// One line, without what the way it goes puts around it.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) tag: &'static str,
    /// syslog's, 0 to 7.
    pub(super) severity: u8,
    pub(super) text: String,
}

#[derive(Debug)]
enum Job {
    Write(Line),
    /// All that came before is written when this is answered.
    Flush(SyncSender<()>),
}

/// The way out for lines.
#[derive(Debug)]
pub(super) struct Outlet {
    jobs: SyncSender<Job>,
}

impl Outlet {
    /// Opens the way to `target`.
    pub(super) fn open(target: &LogTarget) -> Self {
        let mut sink = Sink::new(target);
        let (jobs, todo): (_, Receiver<Job>) = sync_channel(ROOM);
        let write = move || {
            for job in todo {
                match job {
                    Job::Write(line) => sink.write(&line),
                    // Who waited has given up.
                    Job::Flush(done) => drop(done.send(())),
                }
            }
        };
        // Without a thread there is no log. There is no way to say so, and no reason not to carry mail.
        let _ = std::thread::Builder::new().name("log".into()).spawn(write);
        Self { jobs }
    }

    /// Writes a line soon; if too many wait, not at all.
    pub(super) fn write(&self, line: Line) {
        let _ = self.jobs.try_send(Job::Write(line));
    }

    /// Waits a moment for all lines to be written.
    pub(super) fn flush(&self) {
        let (done, written) = sync_channel(1);
        if self.jobs.try_send(Job::Flush(done)).is_ok() {
            let _ = written.recv_timeout(LAST_LINES);
        }
    }
}

enum Sink {
    /// `<N>event`
    Journal(Option<File>),
    /// `fog/node: event`
    Plain(Option<File>),
    Syslog(Syslog),
}

impl Sink {
    fn new(target: &LogTarget) -> Self {
        let journal = || Self::Journal(standard_error());
        match target {
            LogTarget::Syslog(path) => Self::Syslog(Syslog { path: path.clone(), socket: None }),
            LogTarget::Auto | LogTarget::Stderr if is_journal() => journal(),
            LogTarget::Stderr => Self::Plain(standard_error()),
            LogTarget::Auto if io::stderr().is_terminal() => Self::Plain(standard_error()),
            LogTarget::Auto => Self::new(&LogTarget::syslog()),
        }
    }

    fn write(&mut self, Line { tag, severity, text }: &Line) {
        // What can't be written is gone.
        let put = |file: &mut Option<File>, line: String| {
            let _ = file.as_mut().map(|file| file.write_all(line.as_bytes()));
        };
        match self {
            // journald has the tag from the unit (SyslogIdentifier).
            Self::Journal(file) => put(file, format!("<{severity}>{text}\n")),
            Self::Plain(file) => put(file, format!("{tag}: {text}\n")),
            // No time and no host: the daemon knows both, and the time zone.
            Self::Syslog(syslog) => {
                syslog.write(format!("<{}>{tag}[{}]: {text}", MAIL | severity, std::process::id()).as_bytes());
            }
        }
    }
}

/// Standard error, past std's lock: whoever else has something to say there, of a bug for instance, must not wait for a
/// log that stands still.
fn standard_error() -> Option<File> {
    io::stderr().as_fd().try_clone_to_owned().ok().map(File::from)
}

/// Whether standard error leads to the journal. systemd says which file that is, because programs that it starts hand
/// the variable on to others, whose standard error is something else.
fn is_journal() -> bool {
    let told = std::env::var("JOURNAL_STREAM").unwrap_or_default();
    let file = standard_error().and_then(|file| file.metadata().ok());
    file.is_some_and(|file| told == format!("{}:{}", file.st_dev(), file.st_ino()))
}

/// A syslog daemon, found again when it has gone.
struct Syslog {
    path: PathBuf,
    socket: Option<UnixDatagram>,
}

impl Syslog {
    fn write(&mut self, line: &[u8]) {
        // Twice: the first time it may be the socket of a daemon that was restarted since.
        for _ in 0..2 {
            let socket = self.socket.take().map_or_else(|| self.connect(), Ok);
            if let Ok(socket) = socket
                && socket.send(line).is_ok()
            {
                self.socket = Some(socket);
                return;
            }
        }
    }

    fn connect(&self) -> io::Result<UnixDatagram> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(&self.path)?;
        Ok(socket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Line {
        Line { tag: "fog/node", severity: 5, text: text.into() }
    }

    fn daemon(path: &std::path::Path) -> UnixDatagram {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        socket
    }

    fn heard(daemon: &UnixDatagram) -> String {
        let mut bytes = [0; 512];
        let length = daemon.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    #[test]
    fn a_syslog_daemon_is_found_again_after_its_restart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let first = daemon(&path);
        let outlet = Outlet::open(&LogTarget::Syslog(path.clone()));
        outlet.write(line("start"));
        assert_eq!(heard(&first), format!("<21>fog/node[{}]: start", std::process::id()));
        drop(first);
        std::fs::remove_file(&path).unwrap();
        let second = daemon(&path);
        outlet.write(line("stop"));
        assert_eq!(heard(&second), format!("<21>fog/node[{}]: stop", std::process::id()));
    }

    #[test]
    fn a_syslog_daemon_that_stands_still_costs_lines_and_no_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let stuck = daemon(&path);
        let outlet = Outlet::open(&LogTarget::Syslog(path));
        // Far more than the socket and the queue before it hold. If one of them waited, so would this test, for ever.
        for n in 0..5000 {
            outlet.write(line(&format!("alarm: n={n}")));
        }
        outlet.flush();
        assert!(heard(&stuck).ends_with("alarm: n=0"));
    }
}
