//! What the documents of the last epochs said of each node, in a file of the spool: all of it is public.

use super::file;
use crate::directory::{Document, Uptime};
use crate::id::{Epoch, NodeId};
use crate::mix::health::REMEMBERED;
use data_encoding::HEXLOWER;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::Path;

/// Longest file: 12 epochs of 2,000 nodes.
const MAX_LEN: u64 = 4 << 20;

/// Epochs of which it tells, for an array.
pub const EPOCHS: usize = 12;

const _: () = assert!(EPOCHS as u64 == REMEMBERED, "as long as loops are remembered");

/// By epoch and node; a node of which a document said nothing is not in it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct History(BTreeMap<(Epoch, NodeId), Uptime>);

impl History {
    /// Reads what `note` has written; nothing, if nothing was.
    ///
    /// # Errors
    /// What the operating system says. A file that no fog has written is `InvalidData`.
    pub fn read(path: &Path) -> io::Result<Self> {
        let text = match file::read_text(path, MAX_LEN) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            text => text?,
        };
        let lines: Option<_> = text.lines().map(entry).collect();
        lines.map(Self).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a line says what no fog writes"))
    }

    /// Adds what `document` says to the file, and takes out what is older than 12 epochs. A damaged file is begun anew.
    ///
    /// # Errors
    /// What the operating system says; the file is as it was then.
    pub fn note(path: &Path, document: &Document) -> io::Result<()> {
        let before = match Self::read(path) {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Self::default(),
            before => before?,
        };
        let mut history = before.clone();
        let said = |id: &NodeId| Some(((document.epoch(), *id), document.uptime(id)?));
        history.0.extend(document.nodes().filter_map(|(id, _)| said(id)));
        let oldest = document.epoch().minus(REMEMBERED - 1);
        history.0.retain(|(epoch, _), _| *epoch >= oldest);
        if history == before { Ok(()) } else { file::replace(path, history.to_text().as_bytes(), file::SECRET) }
    }

    /// What was said of a node in the 12 epochs to `last`, the last one at the end.
    #[must_use]
    pub fn of(&self, id: &NodeId, last: Epoch) -> [Option<Uptime>; EPOCHS] {
        let mut said = [None; EPOCHS];
        for (age, said) in (0..).zip(said.iter_mut().rev()) {
            *said = last.0.checked_sub(age).and_then(|epoch| self.0.get(&(Epoch(epoch), *id)).copied());
        }
        said
    }

    fn to_text(&self) -> String {
        let mut text = String::new();
        for ((epoch, id), uptime) in &self.0 {
            writeln!(text, "{epoch} {id} {}", uptime.percent()).expect("a String takes all");
        }
        text
    }
}

fn entry(line: &str) -> Option<((Epoch, NodeId), Uptime)> {
    let mut words = line.split(' ');
    let epoch = words.next()?.parse().ok().map(Epoch)?;
    let id = NodeId(HEXLOWER.decode(words.next()?.as_bytes()).ok()?.try_into().ok()?);
    let uptime = words.next()?.parse().ok().and_then(Uptime::from_percent)?;
    words.next().is_none().then_some(((epoch, id), uptime))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::fixture::{at, contents, descriptor, key, signed_text, trust};
    use crate::directory::{Contents, Descriptor, Measured};
    use std::fs;

    /// A document of four nodes, `age` epochs after the first, of which node 1 has this uptime.
    fn document(age: u64, percent: u8) -> Document {
        let found = Measured::from([(key(1).node_id(), Uptime::from_percent(percent).unwrap())]);
        let judge = |n| Descriptor { measured: (n > 1).then(|| found.clone()), ..descriptor(n) };
        let first = contents(1, 1, (1..=4).map(|n| (n, judge(n))));
        let contents = Contents { epoch: first.epoch.plus(age), ..first };
        Document::reopen(&signed_text(&contents, [101]), &trust(1, 1), at(24 * age)).unwrap()
    }

    #[test]
    fn each_epochs_word_is_kept_for_twelve_epochs() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("uptimes");
        assert_eq!(History::read(&path).unwrap(), History::default());
        for (age, percent) in [(0, 50), (1, 55), (3, 60)] {
            History::note(&path, &document(age, percent)).unwrap();
        }
        let said = |last: &Document| -> Vec<Option<u8>> {
            let history = History::read(&path).unwrap();
            history.of(&key(1).node_id(), last.epoch()).map(|said| said.map(Uptime::percent)).into()
        };
        let last = document(3, 60);
        assert_eq!(said(&last)[7..], [None, Some(50), Some(55), None, Some(60)]);
        assert_eq!(History::read(&path).unwrap().of(&key(4).node_id(), last.epoch()), [None; EPOCHS], "two judges");
        History::note(&path, &document(13, 65)).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 2, "{text}");
        assert_eq!(said(&document(13, 65))[1..3], [Some(60), None]);
    }

    #[test]
    fn a_damaged_file_is_told_and_begun_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("uptimes");
        let id = key(1).node_id();
        for text in ["x", &format!("1 {id} 85 \n"), &format!("1 {id} 84\n"), &format!("1 {id}\n"), "1 aa 85\n"] {
            fs::write(&path, text).unwrap();
            assert_eq!(History::read(&path).unwrap_err().kind(), io::ErrorKind::InvalidData, "{text}");
        }
        History::note(&path, &document(0, 50)).unwrap();
        assert_eq!(History::read(&path).unwrap().0.len(), 1);
    }
}
