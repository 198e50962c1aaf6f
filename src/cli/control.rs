//! Asking the running node on its `control.sock`: one line, one answer.

use super::error::CliError;
use super::global::Global;
use super::words::command;
use crate::config::Config;
use crate::sys::exit_code::ExitCode;
use serde_json::Value;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// How long the node may take: longer than it takes over its engine.
const PATIENCE: Duration = Duration::from_secs(15);

/// The longest answer: a queue of 100,000 mails.
const MAX_ANSWER: u64 = 8 << 20;

/// The node's answer to `request`.
///
/// # Errors
/// `Unavailable` if nobody is there, `Permission` if we may not ask; what the node says of a request that it refuses.
pub(super) fn ask(config: &Config, global: &Global, request: &str) -> Result<Value, CliError> {
    let path = config.node.control_socket();
    let line = talk(&path, request).map_err(|error| {
        let found = format!("{}: {error}", path.display());
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                CliError::new(ExitCode::Unavailable, "the node is not running")
                    .found(found)
                    .try_(format!("systemctl start fog-node, or {}", command(global, "node")))
            }
            io::ErrorKind::PermissionDenied => {
                let error = CliError::new(ExitCode::Permission, "the node's socket may not be used").found(found);
                error.try_("sudo; or for status alone, the group adm where systemd has opened it")
            }
            _ => CliError::new(ExitCode::TryAgain, "the node does not answer").found(found),
        }
    })?;
    if line.is_empty() {
        // So it does with whom its socket let in by mistake.
        return Err(CliError::new(ExitCode::Permission, "the node does not answer this user").try_("sudo"));
    }
    let answer: Value = serde_json::from_str(&line)
        .map_err(|error| CliError::new(ExitCode::Bug, "the node's answer is no JSON").found(error.to_string()))?;
    refused(&answer).map_or(Ok(answer), Err)
}

fn talk(path: &std::path::Path, request: &str) -> io::Result<String> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    let answered = stream
        .write_all(format!("{request}\n").as_bytes())
        .and_then(|()| BufReader::new(stream.take(MAX_ANSWER)).read_line(&mut line));
    match answered {
        // Cut off before it had read what we said: that is how it answers whom it doesn't know.
        Err(error) if matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => {
            Ok(String::new())
        }
        answered => answered.map(|_| line),
    }
}

fn refused(answer: &Value) -> Option<CliError> {
    let error = answer.get("error")?;
    let text = |key: &str| error.get(key).and_then(Value::as_str).map(str::to_owned);
    let exit = match error.get("code").and_then(Value::as_u64) {
        Some(64) => ExitCode::Usage,
        Some(75) => ExitCode::TryAgain,
        Some(77) => ExitCode::Permission,
        _ => ExitCode::Bug,
    };
    Some(CliError { exit, what: text("message").unwrap_or_default(), found: text("found"), try_: text("try") })
}

/// A member of an answer; nothing where it isn't there, as from a node of another version.
pub(super) fn member<'a>(answer: &'a Value, path: &[&str]) -> &'a Value {
    path.iter().fold(answer, |at, key| at.get(key).unwrap_or(&Value::Null))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_refusal_of_the_node_is_an_error_with_its_code_and_hint() {
        let answer = json!({ "v": 1, "error": { "code": 77, "message": "no", "found": null, "try": "sudo" } });
        let error = refused(&answer).unwrap();
        assert_eq!(
            (error.exit, error.what.as_str(), error.try_.as_deref()),
            (ExitCode::Permission, "no", Some("sudo"))
        );
        assert!(refused(&json!({ "v": 1, "mails": 0 })).is_none());
    }

    #[test]
    fn a_member_that_is_not_there_is_null() {
        let answer = json!({ "links": { "up": 3 } });
        assert_eq!(member(&answer, &["links", "up"]), &json!(3));
        assert_eq!(member(&answer, &["links", "down", "x"]), &Value::Null);
    }
}
