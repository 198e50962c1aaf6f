//! What the tests with a real MTA share, whichever it is.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a letter may be under way.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// Lets every user enter `dir`.
pub(crate) fn open_to_all(dir: &Path) {
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Runs `command` to its end, which must be a good one.
pub(crate) fn run(command: &mut Command) -> Output {
    let out = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(out.status.success(), "{command:?}: {}\n{}{}", out.status, text(&out.stdout), text(&out.stderr));
    out
}

/// `mail` as it follows DATA: dot lines stuffed, and the final dot.
pub(crate) fn on_the_wire(mail: &[u8]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(mail.len() + 5);
    for line in mail.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(b".") {
            wire.push(b'.');
        }
        wire.extend_from_slice(line);
    }
    wire.extend_from_slice(b".\r\n");
    wire
}

/// `text` with each pair's first replaced by its second; every first must be there.
pub(crate) fn with(text: &str, pairs: &[(&str, &str)]) -> String {
    pairs.iter().fold(text.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from} is not in {text}");
        text.replace(from, to)
    })
}

/// Asks until there is an answer.
pub(crate) fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(began.elapsed() < PATIENCE, "{what}: nothing after {PATIENCE:?}");
        thread::sleep(Duration::from_millis(200));
    }
}

/// A directory that everybody may enter; none, if something is `missing` without which the test can't run and nobody
/// insists.
pub(crate) fn scratch(missing: &[impl AsRef<str>]) -> Option<TempDir> {
    if !missing.is_empty() {
        let missing: Vec<&str> = missing.iter().map(AsRef::as_ref).collect();
        let insisted = std::env::var_os("FOG_REQUIRE_E2E").is_some();
        assert!(!insisted, "can't run without {}", missing.join(", "));
        eprintln!("skipped: can't run without {}", missing.join(", "));
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    open_to_all(dir.path());
    Some(dir)
}
