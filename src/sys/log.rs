//! What the log may say: a closed list. There is no call that takes free text, so no address, subject, id or size of a
//! mail can get in, by any mistake.

use super::directory_fault::DirectoryFault;
use super::outlet::{Line, Outlet};
use super::summary::{Rounded, Summary, span};
use super::tor_failure::TorFailure;
use crate::config::{self, Level, LogTarget};
use crate::engine::LoopFigures;
use crate::id::Epoch;
use crate::link::offer::Verdict;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Who speaks: the tag of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// `fog node`.
    Node,
    /// `fog exit`.
    Exit,
    /// `fog milter`.
    Milter,
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
    /// The directory document has no path for a mail of this node: nothing is sent.
    NotEnoughNodes,
    /// It has none for its receipt: nothing is sent that needs one.
    NoWayBack,
    /// Packets were dropped in the period that is over.
    Dropped {
        /// How long it was.
        period: Duration,
        /// How many.
        packets: Rounded,
    },
    /// Mails were refused to injectors in the period that is over.
    Refused {
        /// How long it was.
        period: Duration,
        /// How many, one a recipient.
        mails: Rounded,
    },
    /// The MTA has put off mails in the period that is over.
    ExitDeferred {
        /// How long it was.
        period: Duration,
        /// How many times.
        mails: Rounded,
    },
    /// Mails that reached this exit did not go out, in the period that is over.
    ExitRefused {
        /// How long it was.
        period: Duration,
        /// How many.
        mails: Rounded,
    },
    /// The newest commit in the store was not whole; the one before it holds.
    CommitUndone,
    /// Its file system has less room left than the spool's reserve: nothing is taken in.
    DiskLow,
    /// It has room again.
    DiskRoom,
    /// The spool has little room left.
    SpoolLow,
    /// It has none.
    SpoolFull,
    /// What was in the period that is over.
    Summary(&'a Summary),
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
    /// Enough authorities have signed the next directory document.
    DirectorySigned {
        /// Its epoch.
        epoch: Epoch,
    },
    /// There is no directory document of this epoch that enough authorities have signed, or this one can't sign it.
    DirectoryUnsigned {
        /// Its epoch.
        epoch: Epoch,
    },
    /// An authority doesn't keep what this node says of itself.
    DescriptorRefused {
        /// Why.
        why: Verdict,
    },
    /// Something is wrong that a person has to look into.
    Alarm {
        /// What.
        what: Danger,
    },
    /// The keys of an epoch have been destroyed, or others drawn in their place.
    KeyRotated {
        /// The epoch.
        epoch: Epoch,
    },
    /// The directory document names keys of this node for few more epochs.
    KeyExpiring {
        /// For how many.
        left: u64,
    },
    /// What became of this node's loops that were due in this epoch or the one before.
    Loop(&'a LoopFigures),
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

/// What a person has to look into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Danger {
    /// There are two directory documents of one epoch: somebody was shown something else than others.
    Fork,
    /// This node's clock is another than that of most others: it sends nothing.
    ClockOff,
    /// This node's clock was set back: it sends nothing.
    ClockSetBack,
    /// No loop comes back: somebody may hold back everything but what they want to follow (an n − 1 attack).
    HeldBack,
}

impl Danger {
    const fn word(self) -> &'static str {
        match self {
            Self::Fork => "fork",
            Self::ClockOff => "clock-off",
            Self::ClockSetBack => "clock-set-back",
            Self::HeldBack => "n-1",
        }
    }
}

impl Event<'_> {
    /// Its word in the log, and how much it matters.
    const fn word(self) -> (&'static str, Level) {
        use Level::{Error, Info, Notice, Warning};
        match self {
            Self::Start => ("start", Notice),
            Self::Ready => ("ready", Notice),
            Self::Stop => ("stop", Notice),
            Self::LinkUp { .. } => ("link-up", Notice),
            Self::LinkDown { .. } => ("link-down", Warning),
            Self::TorUp => ("tor-up", Notice),
            Self::TorDown { .. } => ("tor-down", Warning),
            Self::Directory { .. } => ("directory", Notice),
            Self::DirectoryStale { .. } => ("directory-stale", Warning),
            Self::DirectoryRejected { .. } => ("directory-rejected", Warning),
            Self::NotEnoughNodes => ("not-enough-nodes", Error),
            Self::NoWayBack => ("no-way-back", Error),
            Self::Dropped { .. } => ("dropped", Notice),
            Self::Refused { .. } => ("refused", Notice),
            Self::ExitDeferred { .. } => ("exit-deferred", Notice),
            Self::ExitRefused { .. } => ("exit-refused", Notice),
            Self::MtaUp => ("mta-up", Notice),
            Self::MtaDown => ("mta-down", Warning),
            Self::CommitUndone => ("commit-undone", Warning),
            Self::DiskLow => ("disk-low", Error),
            Self::DiskRoom => ("disk-room", Notice),
            Self::SpoolLow => ("spool-low", Warning),
            Self::SpoolFull => ("spool-full", Error),
            Self::DirectorySigned { .. } => ("directory-signed", Notice),
            Self::DirectoryUnsigned { .. } => ("directory-unsigned", Error),
            Self::DescriptorRefused { .. } => ("descriptor-refused", Warning),
            Self::Alarm { .. } => ("alarm", Error),
            Self::KeyRotated { .. } => ("key-rotated", Notice),
            Self::KeyExpiring { .. } => ("key-expiring", Warning),
            Self::Summary(_) => ("summary", Info),
            Self::Loop(_) => ("loop", Info),
            Self::Reload { .. } => ("reload", Notice),
            Self::ConfigRejected { .. } => ("config-rejected", Error),
            Self::Bug => ("bug", Error),
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
            Self::Directory { epoch }
            | Self::DirectoryStale { epoch }
            | Self::DirectorySigned { epoch }
            | Self::DirectoryUnsigned { epoch }
            | Self::KeyRotated { epoch } => write!(f, ": epoch={epoch}"),
            Self::KeyExpiring { left } => write!(f, ": left={left}"),
            Self::DescriptorRefused { why } => write!(f, ": why={}", why.word()),
            Self::DirectoryRejected { why } => write!(f, ": why={}", why.word()),
            Self::Alarm { what } => write!(f, ": what={}", what.word()),
            Self::Reload { waiting: [] } => Ok(()),
            Self::Reload { waiting } => write!(f, ": waiting={}", waiting.join("+")),
            Self::ConfigRejected { at } => write!(f, ": at={}", at.escape_debug()),
            Self::Dropped { period, packets } => write!(f, ": period={}, packets{packets}", span(*period)),
            Self::Refused { period, mails }
            | Self::ExitDeferred { period, mails }
            | Self::ExitRefused { period, mails } => write!(f, ": period={}, mails{mails}", span(*period)),
            Self::Summary(summary) => write!(f, ": {summary}"),
            Self::Loop(LoopFigures { back, lost, median }) => {
                write!(f, ": back={back}, lost={lost}")?;
                median.map_or(Ok(()), |median| write!(f, ", median={}", span(median)))
            }
            Self::Start
            | Self::Ready
            | Self::Stop
            | Self::TorUp
            | Self::NotEnoughNodes
            | Self::NoWayBack
            | Self::CommitUndone
            | Self::DiskLow
            | Self::DiskRoom
            | Self::SpoolLow
            | Self::SpoolFull
            | Self::MtaUp
            | Self::MtaDown
            | Self::Bug => Ok(()),
        }
    }
}

impl Program {
    const fn tag(self) -> &'static str {
        match self {
            Self::Node => "fog/node",
            Self::Exit => "fog/exit",
            Self::Milter => "fog/milter",
        }
    }
}

/// How the log of this process goes.
struct Log {
    level: Level,
    target: LogTarget,
    outlet: Outlet,
}

impl Log {
    fn open(config: &config::Log) -> Self {
        Self { level: config.level, target: config.target.clone(), outlet: Outlet::open(&config.target) }
    }
}

static LOG: Mutex<Option<Log>> = Mutex::new(None);

fn hold() -> MutexGuard<'static, Option<Log>> {
    // Nothing under the lock can fail half way.
    LOG.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on the log goes as `config` says. Until it is told, a program logs by the defaults.
pub fn set_up(config: &config::Log) {
    let mut log = hold();
    match &mut *log {
        // What waits there is still written.
        Some(log) if log.target == config.target => log.level = config.level,
        log => *log = Some(Log::open(config)),
    }
}

/// Says what happened. It never waits: a log that can't be written must not stop the mail.
pub fn log(program: Program, event: Event<'_>) {
    let mut log = hold();
    let log = log.get_or_insert_with(|| Log::open(&config::Log::default()));
    let level = event.word().1;
    if level <= log.level {
        log.outlet.write(Line { tag: program.tag(), severity: level as u8, text: event.to_string() });
    }
}

/// Waits a moment for what was said to be written, at the end of a program.
pub fn flush() {
    if let Some(log) = &*hold() {
        log.outlet.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::io::Write;
    use std::process::{Command, Stdio};

    #[test]
    fn an_event_is_one_line() {
        let (period, few) = (Duration::from_secs(3600), Rounded::up(3, 8));
        for (event, want) in [
            (Event::Start, "start"),
            (Event::LinkDown { node: "kvara", why: None }, "link-down: node=kvara"),
            (
                Event::LinkDown { node: "kvara", why: Some(TorFailure::NoDescriptor) },
                "link-down: node=kvara, why=no-descriptor",
            ),
            (Event::DirectoryRejected { why: DirectoryFault::Rollback }, "directory-rejected: why=rollback"),
            (Event::Alarm { what: Danger::Fork }, "alarm: what=fork"),
            (Event::Alarm { what: Danger::ClockSetBack }, "alarm: what=clock-set-back"),
            (Event::KeyRotated { epoch: Epoch(7) }, "key-rotated: epoch=7"),
            (Event::KeyExpiring { left: 2 }, "key-expiring: left=2"),
            (Event::Reload { waiting: &[] }, "reload"),
            (Event::Reload { waiting: &["node.listen", "spool.path"] }, "reload: waiting=node.listen+spool.path"),
            (Event::ConfigRejected { at: "a\nb.toml:2:7" }, "config-rejected: at=a\\nb.toml:2:7"),
            (Event::TorDown { why: TorFailure::NotSocks }, "tor-down: why=not-socks"),
            (Event::Directory { epoch: Epoch(7) }, "directory: epoch=7"),
            (Event::DirectoryStale { epoch: Epoch(7) }, "directory-stale: epoch=7"),
            (Event::DirectorySigned { epoch: Epoch(7) }, "directory-signed: epoch=7"),
            (Event::DirectoryUnsigned { epoch: Epoch(7) }, "directory-unsigned: epoch=7"),
            (Event::DescriptorRefused { why: Verdict::LinkKey }, "descriptor-refused: why=link-key"),
            (Event::Dropped { period, packets: few }, "dropped: period=1h, packets<=8"),
            (Event::ExitRefused { period, mails: few }, "exit-refused: period=1h, mails<=8"),
        ] {
            assert_eq!(event.to_string(), want);
        }
        assert_eq!(Event::Loop(&LOOPS).to_string(), "loop: back=47, lost=1, median=11h");
        assert_eq!(Event::Loop(&LoopFigures::default()).to_string(), "loop: back=0, lost=0");
        let summary = crate::sys::summary::tests::summary();
        assert_eq!(Event::Summary(&summary).to_string(), format!("summary: {summary}"));
    }

    const LOOPS: LoopFigures = LoopFigures { back: 47, lost: 1, median: Some(Duration::from_secs(40_800)) };

    /// One of each, and of those that look different at times both.
    fn all(summary: &Summary) -> Vec<Event<'_>> {
        let (period, epoch, node, some) = (Duration::from_secs(3600), Epoch(7), "kvara-2", Rounded::up(3, 8));
        vec![
            Event::Start,
            Event::Ready,
            Event::Stop,
            Event::LinkUp { node },
            Event::LinkDown { node, why: None },
            Event::LinkDown { node, why: Some(TorFailure::NoDescriptor) },
            Event::TorUp,
            Event::TorDown { why: TorFailure::NotSocks },
            Event::Directory { epoch },
            Event::DirectoryStale { epoch },
            Event::DirectoryRejected { why: DirectoryFault::Rollback },
            Event::DirectorySigned { epoch },
            Event::DirectoryUnsigned { epoch },
            Event::DescriptorRefused { why: Verdict::Name },
            Event::NotEnoughNodes,
            Event::NoWayBack,
            Event::Dropped { period, packets: some },
            Event::Refused { period, mails: some },
            Event::ExitDeferred { period, mails: some },
            Event::ExitRefused { period, mails: some },
            Event::MtaUp,
            Event::MtaDown,
            Event::CommitUndone,
            Event::DiskLow,
            Event::DiskRoom,
            Event::SpoolLow,
            Event::SpoolFull,
            Event::Alarm { what: Danger::Fork },
            Event::Alarm { what: Danger::ClockOff },
            Event::KeyRotated { epoch },
            Event::KeyExpiring { left: 2 },
            Event::Summary(summary),
            Event::Loop(&LOOPS),
            Event::Alarm { what: Danger::HeldBack },
            Event::Reload { waiting: &[] },
            Event::Reload { waiting: &["node.listen", "spool.path"] },
            Event::ConfigRejected { at: "/etc/fog/fog.toml:2:7" },
            Event::Bug,
        ]
    }

    /// Whether logcheck, which asks grep, sends nobody a mail for this line.
    fn is_silent(line: &str) -> bool {
        let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/package/logcheck");
        let mut grep = Command::new("grep").args(["-E", "-q", "-f", rules]).stdin(Stdio::piped()).spawn().unwrap();
        writeln!(grep.stdin.take().unwrap(), "{line}").unwrap();
        grep.wait().unwrap().success()
    }

    #[test]
    fn logcheck_is_silent_about_what_is_routine_and_tells_the_rest() {
        let exit = crate::sys::summary::tests::summary();
        let events = all(&exit);
        for event in &events {
            // A node that can't be reached comes back by itself, and there is nothing to do about it here.
            let routine = event.word().1 > Level::Warning || matches!(event, Event::LinkDown { .. });
            for start in ["Nov 23 05:40:00 mail", "2026-11-23T05:40:00.123456+00:00 mail"] {
                let line = format!("{start} fog/node[123]: {event}");
                assert_eq!(is_silent(&line), routine, "{line}");
                assert!(!is_silent(&format!("{line} more")), "{line} more");
            }
        }
        let no_exit = Event::Summary(&Summary { exit: None, ..exit }).to_string();
        assert!(is_silent(&format!("Nov 23 05:40:00 mail fog/milter[1]: {no_exit}")));
        let source = include_str!("log.rs")
            .split_once("impl Event<'_>")
            .unwrap()
            .1
            .split_once("fn word(")
            .unwrap()
            .1
            .split_once("\n    }")
            .unwrap()
            .0;
        let words = source.lines().filter_map(|line| Some(line.split_once("=> (\"")?.1.split_once('"')?.0));
        let said: BTreeSet<_> = events.iter().map(|event| event.word().0).collect();
        assert_eq!(said, words.collect(), "an event is missing here");
    }

    #[test]
    fn the_least_level_that_is_said_is_the_one_of_syslog() {
        assert!(
            Event::Bug.word().1 as u8 == 3 && Event::MtaDown.word().1 as u8 == 4 && Event::Stop.word().1 as u8 == 5
        );
        assert!(Event::Bug.word().1 <= Level::Error && Event::Stop.word().1 > Level::Warning);
    }
}
