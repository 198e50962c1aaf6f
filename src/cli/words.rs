//! Words that several verbs share: troubles with files, spans of time, commands to type.

use super::error::CliError;
use super::global::Global;
use crate::config::Config;
use crate::directory::{Candidate, Document, Params, Roles};
use crate::store::StoreError;
use crate::sys::exit_code::ExitCode;
use crate::sys::file::{self, SecretError};
use crate::sys::key_file::KeyFileError;
use crate::time::Time;
use std::io::{self, BufRead, IsTerminal};
use std::path::Path;
use std::time::Duration;

/// Longest directory document that is read from a file.
pub(super) const MAX_DOCUMENT: u64 = crate::directory::MAX_DOCUMENT as u64;

/// A file that can't be read or written.
pub(super) fn io_trouble(path: &Path, error: &io::Error) -> CliError {
    let exit = match error.kind() {
        io::ErrorKind::NotFound => ExitCode::NoInput,
        io::ErrorKind::PermissionDenied => ExitCode::Permission,
        io::ErrorKind::AlreadyExists => ExitCode::Exists,
        io::ErrorKind::FileTooLarge | io::ErrorKind::InvalidData => ExitCode::Data,
        _ => ExitCode::Io,
    };
    CliError::new(exit, format!("{}: {error}", path.display()))
}

/// A key file that isn't taken.
pub(super) fn key_trouble(path: &Path, error: &KeyFileError) -> CliError {
    match error {
        KeyFileError::File(SecretError::Access { path, mode }) => {
            CliError::new(ExitCode::Config, "a secret key can be read by others")
                .found(format!("{} is {}, wanted {}", path.display(), mode_words(*mode), mode_words(file::SECRET)))
                .try_(format!("chmod 600 {}", path.display()))
        }
        KeyFileError::File(SecretError::Io(error)) => io_trouble(path, error),
        KeyFileError::Malformed(_) => {
            CliError::new(ExitCode::Config, format!("{} is damaged", path.display())).found(error.to_string())
        }
    }
}

/// A store that can't be used. One that is locked is the caller's to explain.
pub(super) fn store_trouble(dir: &Path, error: &StoreError) -> CliError {
    let (exit, try_) = match error {
        StoreError::Locked(_) => (ExitCode::TryAgain, None),
        StoreError::Access { path, wanted, .. } => {
            (ExitCode::Config, Some(format!("chmod {wanted:o} {}", path.display())))
        }
        _ => (ExitCode::Io, None),
    };
    let error = CliError::new(exit, format!("the store in {} can't be used", dir.display())).found(error.to_string());
    CliError { try_, ..error }
}

/// Reads a document without asking who signed it; `None` if there is no such file.
pub(super) fn candidate(path: &Path) -> Result<Option<Candidate>, CliError> {
    let text = match file::read_text(path, MAX_DOCUMENT) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        text => text.map_err(|error| io_trouble(path, &error))?,
    };
    let parsed = Candidate::parse(&text).map_err(|rejected| {
        CliError::new(ExitCode::Data, format!("{} is no directory document", path.display()))
            .found(rejected.to_string())
    });
    parsed.map(Some)
}

/// The document that the node goes by.
pub(super) fn document_in_use(config: &Config, now: Time, global: &Global) -> Result<Document, CliError> {
    let path = config.spool.document();
    let text = file::read_text(&path, MAX_DOCUMENT).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => CliError::new(ExitCode::Config, "there is no directory document")
            .found(format!("{} is missing", path.display()))
            .try_(command(global, "directory fetch")),
        _ => io_trouble(&path, &error),
    })?;
    Document::reopen(&text, &config.trust, now).map_err(|rejected| {
        CliError::new(ExitCode::Config, "the directory document is not one to go by")
            .found(format!("{}: {rejected}", path.display()))
            .try_(command(global, "directory fetch"))
    })
}

/// `fog VERB`, for the same configuration.
pub(super) fn command(global: &Global, verb: &str) -> String {
    if global.config == super::global::default_config() {
        format!("fog {verb}")
    } else {
        format!("fog -c {} {verb}", global.config.display())
    }
}

/// Whether somebody says yes: by the option, or at the terminal. `would` is what can't be done without.
///
/// # Errors
/// There is nobody to ask.
pub(super) fn confirm(yes: bool, would: &str, question: &str) -> Result<bool, CliError> {
    if yes {
        return Ok(true);
    }
    if !io::stdin().is_terminal() {
        return Err(CliError::new(ExitCode::Usage, would)
            .found("there is no terminal to ask at")
            .try_("say so with --yes"));
    }
    super::note(question);
    let mut line = String::new();
    let answered = io::stdin().lock().read_line(&mut line);
    Ok(matches!(answered.ok().map(|_| line.trim()), Some("y" | "Y" | "yes")))
}

/// A span in its two largest units: `2 d 3 h`, `5 min`, `12 s`.
pub(super) fn span_words(span: Duration) -> String {
    let s = span.as_secs();
    let units = [(s / 86_400, "d"), (s / 3600 % 24, "h"), (s / 60 % 60, "min"), (s % 60, "s")];
    let first = units.iter().position(|(n, _)| *n > 0).unwrap_or(units.len() - 1);
    let words = units.iter().skip(first).take(2).filter(|(n, _)| *n > 0 || s == 0);
    words.map(|(n, unit)| format!("{n} {unit}")).collect::<Vec<_>>().join(" ")
}

/// A time for programs, UTC.
pub(super) fn rfc3339(time: Time) -> String {
    mail_parser::DateTime::from_timestamp(i64::try_from(time.as_secs()).unwrap_or(i64::MAX)).to_rfc3339()
}

/// The parameters in one line.
pub(super) fn params_words(params: &Params) -> String {
    use crate::directory::units::{size, span};
    format!(
        "{} delays {} / {} / {}, tick {}, at least {} packets each, send every {}, {} hops, epoch {}, mail to {}",
        params.strategy.as_str(),
        span(params.min_delay),
        span(params.mean_delay),
        span(params.max_delay),
        span(params.tick),
        params.batch_min,
        span(params.send_every),
        params.hops,
        span(params.epoch),
        size(params.max_size)
    )
}

/// `mix + exit`, or `entry only`.
pub(super) fn role_words(roles: Roles) -> String {
    let words: Vec<_> = roles.words().collect();
    if words.is_empty() { "entry only".into() } else { words.join(" + ") }
}

/// A mode as `ls -l` shows it.
fn mode_words(mode: u32) -> String {
    let bit = |n: u32, letter: char| if mode & (1 << n) == 0 { '-' } else { letter };
    (0..9).rev().map(|n| bit(n, ['x', 'w', 'r'].into_iter().cycle().nth(n as usize).unwrap_or('-'))).fold(
        String::from("-"),
        |mut text, letter| {
            text.push(letter);
            text
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_told_in_their_two_largest_units() {
        let told = [0, 59, 60, 3600, 3661, 86_400, 90_000, 183_600].map(|s| span_words(Duration::from_secs(s)));
        assert_eq!(told, ["0 s", "59 s", "1 min", "1 h", "1 h 1 min", "1 d", "1 d 1 h", "2 d 3 h"]);
    }

    #[test]
    fn modes_are_told_as_ls_does() {
        assert_eq!([0o600, 0o644, 0o751].map(mode_words), ["-rw-------", "-rw-r--r--", "-rwxr-x--x"]);
    }

    #[test]
    fn a_key_that_others_can_read_says_what_to_type() {
        let access = SecretError::Access { path: "/etc/fog/node.key".into(), mode: 0o644 };
        let error = key_trouble(Path::new("/etc/fog/node.key"), &KeyFileError::File(access));
        assert_eq!(
            error.to_string(),
            "fog: a secret key can be read by others\n     /etc/fog/node.key is -rw-r--r--, wanted -rw-------\n  ->  chmod 600 /etc/fog/node.key"
        );
    }

    #[test]
    fn times_are_utc() {
        assert_eq!(rfc3339(Time::from_secs(1_700_000_000)), "2023-11-14T22:13:20Z");
    }
}
