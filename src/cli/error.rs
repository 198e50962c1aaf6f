//! An error is three things: what is wrong, what was found and expected, what to type.

use crate::sys::exit_code::ExitCode;
use std::fmt;

/// Why a verb could not do what was asked, in words for the person at the terminal.
///
/// `Display` gives the layout of every error of fog, without a newline at the end:
///
/// ```text
/// fog: the node key can be read by others
///      /etc/fog/node.key is -rw-r--r--, wanted -rw-------
///   ->  chmod 600 /etc/fog/node.key
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CliError {
    /// The code the process ends with.
    pub exit: ExitCode,
    /// What is wrong, one line, no full stop.
    pub what: String,
    /// What was found and what was expected; may have several lines.
    pub found: Option<String>,
    /// What to type or do now; may have several lines.
    pub try_: Option<String>,
}

impl CliError {
    /// An error that says only what is wrong.
    pub fn new(exit: ExitCode, what: impl Into<String>) -> Self {
        Self { exit, what: what.into(), found: None, try_: None }
    }

    /// Adds what was found and expected.
    #[must_use]
    pub fn found(self, found: impl Into<String>) -> Self {
        Self { found: Some(found.into()), ..self }
    }

    /// Adds what to type.
    #[must_use]
    pub fn try_(self, try_: impl Into<String>) -> Self {
        Self { try_: Some(try_.into()), ..self }
    }

    /// The error as one JSON object, for `--json`; absent parts are null.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "v": 1,
            "error": {
                "code": self.exit.number(), "message": self.what, "found": self.found, "try": self.try_,
            },
        })
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fog: {}", self.what)?;
        for line in self.found.iter().flat_map(|found| found.lines()) {
            write!(f, "\n     {line}")?;
        }
        for line in self.try_.iter().flat_map(|try_| try_.lines()) {
            write!(f, "\n  ->  {line}")?;
        }
        Ok(())
    }
}

impl std::error::Error for CliError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_error() -> CliError {
        CliError::new(ExitCode::Config, "the node key can be read by others")
            .found("/etc/fog/node.key is -rw-r--r--, wanted -rw-------")
            .try_("chmod 600 /etc/fog/node.key")
    }

    #[test]
    fn an_error_says_what_was_found_and_what_to_type() {
        let want = "fog: the node key can be read by others\n\
                    \u{20}    /etc/fog/node.key is -rw-r--r--, wanted -rw-------\n\
                    \u{20} ->  chmod 600 /etc/fog/node.key";
        assert_eq!(key_error().to_string(), want);
        assert_eq!(CliError::new(ExitCode::Bug, "x").to_string(), "fog: x");
    }

    #[test]
    fn an_error_in_json_has_a_code_and_the_command_to_try() {
        let json = key_error().to_json();
        assert_eq!(json["v"], 1);
        assert_eq!(json["error"]["code"], 78);
        assert_eq!(json["error"]["try"], "chmod 600 /etc/fog/node.key");
        assert_eq!(CliError::new(ExitCode::Bug, "x").to_json()["error"]["found"], serde_json::Value::Null);
    }
}
