//! `[log]`: what is said, where, and how seldom traffic is.

use super::error::ConfigError;
use super::path_under;
use super::settings::Settings;
use crate::directory::units::{parse_number, parse_span};
use core::time::Duration;
use std::path::{Path, PathBuf};

/// Where a syslog daemon listens.
const DEV_LOG: &str = "/dev/log";

/// `[log]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Log {
    /// The least that is said.
    pub level: Level,
    /// Where lines go.
    pub target: LogTarget,
    /// How often traffic is summed up: 10 minutes at least.
    pub every: Duration,
    /// What its figures are rounded up to a multiple of: 8 at least.
    pub round: u64,
}

/// How much a line has to matter; the numbers are syslog's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Level {
    /// Somebody has to do something.
    Error = 3,
    /// Something doesn't work, and may come right by itself.
    Warning = 4,
    /// What an operator wants to know.
    Notice = 5,
    /// All there is.
    Info = 6,
}

/// Where lines go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LogTarget {
    /// To the journal if standard error leads there, else to a terminal if it is one, else to syslog.
    Auto,
    /// Standard error.
    Stderr,
    /// The syslog daemon behind this socket.
    Syslog(PathBuf),
}

impl Default for Log {
    fn default() -> Self {
        Self { level: Level::Notice, target: LogTarget::Auto, every: Duration::from_secs(3600), round: 8 }
    }
}

impl LogTarget {
    /// Syslog, where it usually is.
    #[must_use]
    pub fn syslog() -> Self {
        Self::Syslog(DEV_LOG.into())
    }
}

impl Level {
    /// Its word in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Notice => "notice",
            Self::Info => "info",
        }
    }
}

pub(super) fn log(settings: &Settings, base: &Path) -> Result<Log, ConfigError> {
    let default = Log::default();
    let level = |text: &str| {
        [Level::Error, Level::Warning, Level::Notice, Level::Info].into_iter().find(|level| level.as_str() == text)
    };
    // Shorter, or finer, and the log would tell who sent when.
    let every = |text: &str| parse_span(text).filter(|every| (600..=7 * 86_400).contains(&every.as_secs()));
    let round = |text: &str| parse_number(text).filter(|round| (8..=1 << 20).contains(round));
    Ok(Log {
        level: settings.or("log.level", default.level, "error, warning, notice or info", level)?,
        target: settings
            .or("log.target", default.target, "auto, stderr, syslog or syslog:PATH", |text| target(text, base))?,
        every: settings.or("log.every", default.every, "a span such as 1h, from 10m to 7d", every)?,
        round: settings.or("log.round", default.round, "a number, at least 8", round)?,
    })
}

fn target(text: &str, base: &Path) -> Option<LogTarget> {
    match text {
        "auto" => Some(LogTarget::Auto),
        "stderr" => Some(LogTarget::Stderr),
        "syslog" => Some(LogTarget::syslog()),
        _ => text.strip_prefix("syslog:").and_then(path_under(base)).map(LogTarget::Syslog),
    }
}
