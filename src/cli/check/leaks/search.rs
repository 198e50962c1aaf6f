//! Where a canary's words are looked for: files, processes, the journal. What it means is decided elsewhere.

use super::canary::{Canary, Fields};
use crate::sys::clock;
use crate::time::Time;
use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Bytes of a file that are held at a time.
const CHUNK: usize = 1 << 20;

/// Most of a line that is shown.
const SHOWN: usize = 160;

/// Clocks of file systems run a little behind.
const BEHIND: Duration = Duration::from_secs(5);

/// Words of the canary in one place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Hit {
    /// The path of a file, or what a process runs.
    pub(super) place: String,
    pub(super) fields: Fields,
    /// The line, if it is text, with names instead of the words.
    pub(super) line: Option<String>,
}

/// What was looked at.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Seen {
    pub(super) hits: Vec<Hit>,
    /// How many files, processes or lines there were.
    pub(super) count: usize,
    /// How many of them could not be read.
    pub(super) unread: usize,
}

impl Seen {
    /// Adds what was found of a place, to what was found there before.
    fn note(&mut self, place: String, fields: Fields, line: Option<String>) {
        match self.hits.iter_mut().find(|hit| hit.place == place) {
            Some(hit) => {
                hit.fields.extend(fields);
                hit.line = hit.line.take().or(line);
            }
            None => self.hits.push(Hit { place, fields, line }),
        }
    }
}

/// Files as they were before the mail: where each ended.
pub(super) struct Before {
    ends: BTreeMap<(u64, u64), u64>,
    at: Time,
}

impl Before {
    /// No file's end is known: all of what has changed since is searched.
    pub(super) fn nothing() -> Self {
        Self { ends: BTreeMap::new(), at: clock::now() }
    }

    /// For files that only grow, like logs.
    pub(super) fn of(roots: &[PathBuf]) -> Self {
        let mut before = Self::nothing();
        let mut seen = Seen::default();
        walk(roots, &mut seen, &mut |_, found, _| {
            before.ends.insert((found.dev(), found.ino()), found.len());
        });
        before
    }

    fn is_older(&self, found: &Metadata) -> bool {
        let since = self.at.as_secs().saturating_sub(BEHIND.as_secs());
        u64::try_from(found.mtime()).is_ok_and(|changed| changed < since)
    }

    pub(super) const fn at(&self) -> Time {
        self.at
    }
}

/// Looks through files and the directories among `roots`: names, and what has come since `before`.
pub(super) fn files(canary: &Canary, roots: &[PathBuf], before: &Before) -> Seen {
    let mut seen = Seen::default();
    walk(roots, &mut seen, &mut |path, found, seen| {
        let shown = path.display().to_string();
        if let Some((fields, _)) = canary.find(path.as_os_str().as_encoded_bytes()) {
            seen.note(canary.masked(&shown), fields, None);
        }
        if before.is_older(found) {
            return;
        }
        let known = before.ends.get(&(found.dev(), found.ino())).copied().filter(|end| *end <= found.len());
        match file(canary, path, known.unwrap_or(0)) {
            Ok(Some((fields, line))) => seen.note(canary.masked(&shown), fields, line),
            Ok(None) => {}
            // It may be gone by now, as a mail that has left a queue is.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(_) => seen.unread = seen.unread.saturating_add(1),
        }
    });
    seen
}

/// Calls `each` for every regular file; links are not followed, and the journal's files are read by its own program.
fn walk(roots: &[PathBuf], seen: &mut Seen, each: &mut impl FnMut(&Path, &Metadata, &mut Seen)) {
    let mut todo = roots.to_vec();
    while let Some(path) = todo.pop() {
        let found = match fs::symlink_metadata(&path) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(_) => {
                seen.unread = seen.unread.saturating_add(1);
                continue;
            }
        };
        if found.is_dir() && !path.ends_with("log/journal") {
            match fs::read_dir(&path) {
                Ok(entries) => todo.extend(entries.filter_map(Result::ok).map(|entry| entry.path())),
                Err(_) => seen.unread = seen.unread.saturating_add(1),
            }
        } else if found.is_file() {
            seen.count = seen.count.saturating_add(1);
            each(&path, &found, seen);
        }
    }
}

/// What is in a file behind `from`, as far as it reaches now.
fn file(canary: &Canary, path: &Path, from: u64) -> io::Result<Option<(Fields, Option<String>)>> {
    let mut file = File::open(path)?;
    let mut left = file.metadata()?.len().saturating_sub(from);
    file.seek(SeekFrom::Start(from))?;
    let (mut held, mut all): (Vec<u8>, Option<(Fields, Option<String>)>) = (Vec::new(), None);
    while left > 0 {
        let wanted = left.min(CHUNK as u64);
        let read = Read::take(&mut file, wanted).read_to_end(&mut held)?;
        if read == 0 {
            break;
        }
        left = left.saturating_sub(read as u64);
        if let Some((fields, at)) = canary.find(&held) {
            let line = line_at(canary, &held, at);
            let (known, first) = all.get_or_insert_with(|| (Fields::new(), None));
            known.extend(fields);
            *first = first.take().or(line);
        }
        // A word may lie across the border.
        let kept = held.len().saturating_sub(canary.longest());
        held.drain(..kept);
    }
    Ok(all)
}

/// The line around `at`, if it is one.
fn line_at(canary: &Canary, bytes: &[u8], at: usize) -> Option<String> {
    let (before, after) = bytes.split_at_checked(at)?;
    let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let end = after.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |end| at + end);
    let line = std::str::from_utf8(bytes.get(start..end)?).ok()?;
    (line.len() < 4096 && !line.chars().any(char::is_control)).then(|| shown(canary, line))
}

fn shown(canary: &Canary, line: &str) -> String {
    let masked = canary.masked(line.trim());
    if masked.chars().count() <= SHOWN {
        return masked;
    }
    masked.chars().take(SHOWN).chain("...".chars()).collect()
}

/// How every process of the machine was started, but what has `own` as its command line: the program that hands the mail
/// in, and what it has forked.
pub(super) fn processes(canary: &Canary, own: &[u8], found: &mut Processes) {
    let Ok(entries) = fs::read_dir("/proc") else { return };
    let mut count = 0_usize;
    for process in entries.filter_map(Result::ok).map(|entry| entry.path()) {
        if !process.file_name().is_some_and(|name| name.as_encoded_bytes().iter().all(u8::is_ascii_digit)) {
            continue;
        }
        count = count.saturating_add(1);
        // It may have ended meanwhile.
        let Ok(arguments) = fs::read(process.join("cmdline")) else { continue };
        // One without is the kernel's.
        if arguments.is_empty() || arguments == own {
            continue;
        }
        let program = || shown(canary, &words(&arguments));
        if let Some((fields, _)) = canary.find(&arguments) {
            found.arguments.note(program(), fields, None);
        }
        match fs::read(process.join("environ")) {
            Ok(variables) => {
                if let Some((fields, _)) = canary.find(&variables) {
                    let named = variables.split(|byte| *byte == 0).filter(|one| canary.find(one).is_some());
                    let named: Vec<_> =
                        named.map(|one| words(one.split(|b| *b == b'=').next().unwrap_or(one))).collect();
                    found.variables.note(program(), fields, Some(named.join(", ")));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => found.variables.unread = 1,
            Err(_) => {}
        }
    }
    found.arguments.count = found.arguments.count.max(count);
    found.variables.count = found.variables.count.max(count);
}

/// What processes were started with.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Processes {
    /// By place: the command line, masked.
    pub(super) arguments: Seen,
    /// By place: the command line; the line names the variables.
    pub(super) variables: Seen,
}

/// Words with zeros behind them, as the kernel gives them.
fn words(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace('\0', " ").trim().to_owned()
}

/// What the journal has got since `since`; none if there is no journal that we may read.
pub(super) fn journal(canary: &Canary, since: Time) -> Option<Seen> {
    let mut ask = Command::new("journalctl");
    ask.args(["--no-pager", "--quiet", "--output=export"]).arg(format!("--since=@{}", since.as_secs()));
    let answer = ask.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    answer.status.success().then(|| entries(canary, &answer.stdout)).filter(|seen| seen.count > 0)
}

/// Entries in the journal's export format: a field a line, a blank line between. Fields that the journal adds by itself are
/// searched too: `_CMDLINE` is one.
fn entries(canary: &Canary, exported: &[u8]) -> Seen {
    let mut seen = Seen::default();
    for line in exported.split(|byte| *byte == b'\n') {
        if line.starts_with(b"__CURSOR=") {
            seen.count = seen.count.saturating_add(1);
        }
        if let Some((fields, _)) = canary.find(line) {
            let field = line.split(|byte| *byte == b'=').next().filter(|name| name.len() < line.len());
            let field = field.map_or_else(|| "MESSAGE".to_owned(), words);
            seen.note(format!("the journal's {field}"), fields, Some(shown(canary, &String::from_utf8_lossy(line))));
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::super::canary::Field;
    use super::super::canary::tests::canary;
    use super::*;
    use std::io::{Read, Write};
    use std::process::Child;

    #[test]
    fn only_what_has_come_since_is_searched_and_a_word_across_a_border_is_found() {
        let (canary, dir) = (canary(3), tempfile::tempdir().unwrap());
        let roots = [dir.path().to_owned()];
        let log = dir.path().join("mail.log");
        fs::write(&log, format!("old to=<{}>\n", canary.word(Field::Recipient))).unwrap();
        let before = Before::of(&roots);
        assert_eq!(files(&canary, &roots, &before), Seen { hits: vec![], count: 1, unread: 0 });

        let mut grown = File::options().append(true).open(&log).unwrap();
        writeln!(grown, "new from=<{}@here>", canary.word(Field::Sender)).unwrap();
        let [hit] = files(&canary, &roots, &before).hits.try_into().unwrap();
        assert_eq!((hit.fields, hit.line.as_deref()), ([Field::Sender].into(), Some("new from=<(sender)@here>")));

        fs::remove_file(&log).unwrap();
        fs::create_dir(dir.path().join("sub")).unwrap();
        let word = canary.word(Field::Body).as_bytes();
        let across = [&vec![0; CHUNK - 7][..], word, &[0; 9]].concat();
        fs::write(dir.path().join("sub/slab"), across).unwrap();
        let [hit] = files(&canary, &roots, &before).hits.try_into().unwrap();
        assert_eq!((hit.fields, hit.line), ([Field::Body].into(), None));

        fs::write(dir.path().join("sub/slab"), "").unwrap();
        fs::write(dir.path().join("sub").join(canary.word(Field::Domain)), "").unwrap();
        let [hit] = files(&canary, &roots, &before).hits.try_into().unwrap();
        assert!(hit.place.ends_with("/sub/(recipient's domain)"), "{hit:?}");
    }

    /// Waits for its input; dropped, it ends.
    struct Waiting(Child);

    impl Drop for Waiting {
        fn drop(&mut self) {
            self.0.kill().unwrap();
            self.0.wait().unwrap();
        }
    }

    #[test]
    fn a_process_shows_what_it_was_started_with_unless_we_have_started_it() {
        let canary = canary(4);
        // It is there as it will be seen once it speaks: the kernel shows a new program's arguments a little after it is started.
        let start = |command: &mut Command| {
            let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
            child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
            Waiting(child)
        };
        let (to, from) = (canary.word(Field::Recipient), canary.word(Field::Sender));
        let _shows = start(Command::new("sh").args(["-c", "echo; read x", to]));
        let _has = start(Command::new("sh").args(["-c", "echo; read y"]).env("SENDER", from));
        let _ours = start(Command::new("sh").args(["-c", "echo; read z", canary.word(Field::Body)]));
        let own = format!("sh\0-c\0echo; read z\0{}\0", canary.word(Field::Body));
        let mut found = Processes::default();
        processes(&canary, own.as_bytes(), &mut found);
        let [shown] = found.arguments.hits.try_into().unwrap();
        assert_eq!((shown.place.as_str(), shown.fields), ("sh -c echo; read x (recipient)", [Field::Recipient].into()));
        let [had] = found.variables.hits.try_into().unwrap();
        assert_eq!((had.place.as_str(), had.line.as_deref()), ("sh -c echo; read y", Some("SENDER")));
    }

    #[test]
    fn every_field_of_the_journal_is_searched() {
        let canary = canary(5);
        let exported = format!(
            "__CURSOR=1\nMESSAGE=from=<{}>\nSYSLOG_IDENTIFIER=postfix/qmgr\n\n__CURSOR=2\n_COMM=x\n_CMDLINE=x {}\n",
            canary.word(Field::Sender),
            canary.word(Field::Recipient)
        );
        let seen = entries(&canary, exported.as_bytes());
        let places: Vec<_> = seen.hits.iter().map(|hit| (hit.place.as_str(), hit.line.as_deref().unwrap())).collect();
        assert_eq!(
            places,
            [
                ("the journal's MESSAGE", "MESSAGE=from=<(sender)>"),
                ("the journal's _CMDLINE", "_CMDLINE=x (recipient)")
            ]
        );
        assert_eq!(seen.count, 2);
    }
}
