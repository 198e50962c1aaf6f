//! What the log may say: a closed list. There is no call that takes free text, so no address, subject, id or size of a
//! mail can get in, by any mistake.

use super::directory_fault::DirectoryFault;
use super::tor_failure::TorFailure;
use crate::id::Epoch;
use std::fmt;
use std::io::Write;

/// Who speaks: the tag of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// `fog node`.
    Node,
    /// `fog exit`.
    Exit,
}

/// What may be said. Names are those that nodes published in the directory document: letters, digits, hyphens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// The program begins.
    Start,
    /// Its sockets are open.
    Ready,
    /// It was told to stop, and what it had taken on is committed.
    Stop,
    /// Packets can go to this node.
    LinkUp {
        /// Its published name.
        node: &'a str,
    },
    /// They can't, for a while now; it is tried again and again.
    LinkDown {
        /// Its published name.
        node: &'a str,
        /// Why, if Tor says so.
        why: Option<TorFailure>,
    },
    /// Tor takes our requests.
    TorUp,
    /// It doesn't, for a while now; it is tried again and again.
    TorDown {
        /// Why.
        why: TorFailure,
    },
    /// The directory document in use.
    Directory {
        /// Its epoch.
        epoch: Epoch,
    },
    /// The MTA takes mail.
    MtaUp,
    /// It doesn't; what waits is tried again.
    MtaDown,
    /// The directory document in use is in its last epoch, or over, and nobody gives a newer one.
    DirectoryStale {
        /// Its epoch.
        epoch: Epoch,
    },
    /// The directory document that lies there now, or that a node gave, is not taken; the one before stays in use.
    DirectoryRejected {
        /// Why.
        why: DirectoryFault,
    },
    /// Something is wrong that a person has to look into.
    Alarm {
        /// What.
        what: DirectoryFault,
    },
    /// The configuration was read again.
    Reload {
        /// The keys whose new values wait for the next start.
        waiting: &'a [&'static str],
    },
    /// The configuration is wrong; the one before stays in use.
    ConfigRejected {
        /// Where: FILE:LINE:COL, or FILE.
        at: &'a str,
    },
    /// Something that can't happen did. Please report it.
    Bug,
}

impl Event<'_> {
    /// Its word in the log and its syslog severity.
    const fn word(self) -> (&'static str, u8) {
        const ERROR: u8 = 3;
        const WARNING: u8 = 4;
        const NOTICE: u8 = 5;
        const INFO: u8 = 6;
        match self {
            Self::Start => ("start", NOTICE),
            Self::Ready => ("ready", NOTICE),
            Self::Stop => ("stop", NOTICE),
            Self::LinkUp { .. } => ("link-up", INFO),
            Self::LinkDown { .. } => ("link-down", WARNING),
            Self::TorUp => ("tor-up", NOTICE),
            Self::TorDown { .. } => ("tor-down", WARNING),
            Self::Directory { .. } => ("directory", NOTICE),
            Self::MtaUp => ("mta-up", NOTICE),
            Self::MtaDown => ("mta-down", WARNING),
            Self::DirectoryStale { .. } => ("directory-stale", WARNING),
            Self::DirectoryRejected { .. } => ("directory-rejected", WARNING),
            Self::Alarm { .. } => ("alarm", ERROR),
            Self::Reload { .. } => ("reload", NOTICE),
            Self::ConfigRejected { .. } => ("config-rejected", ERROR),
            Self::Bug => ("bug", ERROR),
        }
    }
}

impl fmt::Display for Event<'_> {
    /// `event: key=value`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word().0)?;
        match self {
            Self::LinkUp { node } | Self::LinkDown { node, why: None } => write!(f, ": node={node}"),
            Self::LinkDown { node, why: Some(why) } => write!(f, ": node={node}, why={}", why.word()),
            Self::TorDown { why } => write!(f, ": why={}", why.word()),
            Self::Directory { epoch } | Self::DirectoryStale { epoch } => write!(f, ": epoch={epoch}"),
            Self::DirectoryRejected { why } => write!(f, ": why={}", why.word()),
            Self::Alarm { what } => write!(f, ": what={}", what.word()),
            Self::Reload { waiting: [] } => Ok(()),
            Self::Reload { waiting } => write!(f, ": waiting={}", waiting.join("+")),
            Self::ConfigRejected { at } => write!(f, ": at={}", at.escape_debug()),
            Self::Start | Self::Ready | Self::Stop | Self::TorUp | Self::MtaUp | Self::MtaDown | Self::Bug => Ok(()),
        }
    }
}

/// Writes one line to stderr: for journald with its severity in front, elsewhere with the program's tag.
pub fn log(program: Program, event: Event<'_>) {
    let line = line(program, event, std::env::var_os("JOURNAL_STREAM").is_some());
    // A log that can't be written must not stop the mail.
    let _ = std::io::stderr().lock().write_all(line.as_bytes());
}

fn line(program: Program, event: Event<'_>, journal: bool) -> String {
    let tag = match program {
        Program::Node => "fog/node",
        Program::Exit => "fog/exit",
    };
    // journald has the tag from the unit (SyslogIdentifier).
    if journal { format!("<{}>{event}\n", event.word().1) } else { format!("{tag}: {event}\n") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line() {
        for (event, plain, journal) in [
            (Event::Start, "fog/node: start\n", "<5>start\n"),
            (
                Event::LinkDown { node: "kvara", why: None },
                "fog/node: link-down: node=kvara\n",
                "<4>link-down: node=kvara\n",
            ),
            (
                Event::LinkDown { node: "kvara", why: Some(TorFailure::NoDescriptor) },
                "fog/node: link-down: node=kvara, why=no-descriptor\n",
                "<4>link-down: node=kvara, why=no-descriptor\n",
            ),
            (
                Event::DirectoryRejected { why: DirectoryFault::Rollback },
                "fog/node: directory-rejected: why=rollback\n",
                "<4>directory-rejected: why=rollback\n",
            ),
            (Event::Alarm { what: DirectoryFault::Fork }, "fog/node: alarm: what=fork\n", "<3>alarm: what=fork\n"),
            (Event::Reload { waiting: &[] }, "fog/node: reload\n", "<5>reload\n"),
            (
                Event::Reload { waiting: &["node.listen", "spool.path"] },
                "fog/node: reload: waiting=node.listen+spool.path\n",
                "<5>reload: waiting=node.listen+spool.path\n",
            ),
            (
                Event::ConfigRejected { at: "a\nb.toml:2:7" },
                "fog/node: config-rejected: at=a\\nb.toml:2:7\n",
                "<3>config-rejected: at=a\\nb.toml:2:7\n",
            ),
            (
                Event::TorDown { why: TorFailure::NotSocks },
                "fog/node: tor-down: why=not-socks\n",
                "<4>tor-down: why=not-socks\n",
            ),
            (Event::Directory { epoch: Epoch(7) }, "fog/node: directory: epoch=7\n", "<5>directory: epoch=7\n"),
            (
                Event::DirectoryStale { epoch: Epoch(7) },
                "fog/node: directory-stale: epoch=7\n",
                "<4>directory-stale: epoch=7\n",
            ),
        ] {
            assert_eq!(line(Program::Node, event, false), plain);
            assert_eq!(line(Program::Node, event, true), journal);
        }
        assert_eq!(line(Program::Exit, Event::MtaUp, false), "fog/exit: mta-up\n");
    }
}
