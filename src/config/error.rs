//! What is wrong with a configuration, where, and what to do.

use std::fmt;

/// The first thing wrong with a configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigError {
    /// The file, or `--set`.
    pub file: String,
    /// The line, from 1; 0 if it is no single line's fault.
    pub line: usize,
    /// The column in characters, from 1; 0 as `line`.
    pub column: usize,
    /// The line as it stands there; empty as `line`.
    pub text: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl ConfigError {
    /// An error in `text`, at byte `at`.
    pub(super) fn at(file: &str, text: &str, at: usize, message: String) -> Self {
        let before = text.get(..at).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = text.get(line_start..).unwrap_or_default().lines().next().unwrap_or_default();
        let in_front = before.get(line_start..).unwrap_or_default();
        Self {
            file: file.to_owned(),
            line: before.matches('\n').count() + 1,
            // A place in the middle of a CRLF is the end of its line.
            column: in_front.chars().count().min(line.chars().count()) + 1,
            text: line.to_owned(),
            message,
            hint: None,
        }
    }

    /// An error that is no single line's fault.
    pub(super) fn of_file(file: &str, message: String) -> Self {
        Self { file: file.to_owned(), line: 0, column: 0, text: String::new(), message, hint: None }
    }

    /// An error in what several `--set` say together.
    pub(super) fn of_sets(sets: &[String], message: &str) -> Self {
        let hint = (!sets.is_empty()).then(|| format!("what was set: {}", sets.join(" ")));
        Self { hint, ..Self::of_file("--set", message.to_owned()) }
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// `PLACE: message`: the first line of `Display`.
    #[must_use]
    pub fn headline(&self) -> String {
        format!("{}: {}", self.place(), self.message)
    }

    /// `FILE:LINE:COL`, or `FILE`.
    #[must_use]
    pub fn place(&self) -> String {
        match self.line {
            0 => self.file.clone(),
            line => format!("{}:{line}:{}", self.file, self.column),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.headline())?;
        if !self.text.is_empty() {
            write!(f, "\n    {}", self.text)?;
        }
        self.hint.iter().try_for_each(|hint| write!(f, "\n    {hint}"))
    }
}

impl std::error::Error for ConfigError {}
