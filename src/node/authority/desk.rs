//! What an authority keeps on disk beside the document: whom its operator let in or put out, and what was handed in. Each a
//! file of its own, so that the node and its operator can both write without waiting for each other.

use crate::config::{Spool, parse_fingerprint};
use crate::directory::{Contents, Register, Signed};
use crate::id::NodeId;
use crate::link::offer::MAX_DESCRIPTOR;
use crate::sys::file;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const ADDED: &str = "added";
const REMOVED: &str = "removed";
const OFFERED: &str = "offered";

/// The directory of those files.
#[derive(Debug, Clone)]
pub struct Desk {
    dir: PathBuf,
}

impl Desk {
    /// That of the authority whose node has this spool.
    #[must_use]
    pub fn of(spool: &Spool) -> Self {
        Self { dir: spool.path.join("authority") }
    }

    /// All of it.
    ///
    /// # Errors
    /// What the operating system says; `InvalidData` for what the operator let in and is damaged.
    pub fn register(&self) -> io::Result<Register> {
        let mut register = Register::default();
        for (id, path) in self.files(ADDED)? {
            register.added.insert(id, read(&path, id)?.ok_or(io::ErrorKind::InvalidData)?);
        }
        register.removed = self.files(REMOVED)?.into_keys().collect();
        for (id, path) in self.files(OFFERED)? {
            // Whose descriptor is damaged hands it in again.
            register.offered.extend(read(&path, id)?.map(|node| (id, node)));
        }
        Ok(register)
    }

    /// Lets a node in; it is on disk then.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn add(&self, node: &Signed) -> io::Result<()> {
        let id = node.descriptor().id();
        self.write(ADDED, &id, node.to_text().as_bytes())?;
        self.forget(REMOVED, &id)
    }

    /// Puts a node out; it is on disk then.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn remove(&self, id: &NodeId) -> io::Result<()> {
        self.write(REMOVED, id, b"")?;
        self.forget(ADDED, id)?;
        self.forget(OFFERED, id)
    }

    /// Keeps what was handed in; it is on disk then.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn offer(&self, node: &Signed) -> io::Result<()> {
        self.write(OFFERED, &node.descriptor().id(), node.to_text().as_bytes())
    }

    /// Forgets what the document that says `current` has made good, and what nothing can become of any more.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn tidy(&self, current: &Contents) -> io::Result<()> {
        let mut register = self.register()?;
        register.tidy(current);
        let stay = |nodes: BTreeMap<NodeId, Signed>| nodes.into_keys().collect::<BTreeSet<_>>();
        for (what, stay) in [(ADDED, stay(register.added)), (OFFERED, stay(register.offered))] {
            for id in self.files(what)?.into_keys().filter(|id| !stay.contains(id)) {
                self.forget(what, &id)?;
            }
        }
        Ok(())
    }

    /// The files under `what`, by the ids that are their names; others are none of ours.
    fn files(&self, what: &str) -> io::Result<BTreeMap<NodeId, PathBuf>> {
        let entries = match fs::read_dir(self.dir.join(what)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            entries => entries?,
        };
        let mut files = BTreeMap::new();
        for entry in entries {
            let path = entry?.path();
            let id = path.file_name().and_then(|name| parse_fingerprint(name.to_str()?));
            files.extend(id.map(|id| (id, path)));
        }
        Ok(files)
    }

    fn write(&self, what: &str, id: &NodeId, bytes: &[u8]) -> io::Result<()> {
        let dir = self.dir.join(what);
        file::create_owners_dir(&self.dir)?;
        file::create_owners_dir(&dir)?;
        file::replace(&dir.join(id.to_string()), bytes, file::SECRET)
    }

    fn forget(&self, what: &str, id: &NodeId) -> io::Result<()> {
        match fs::remove_file(self.dir.join(what).join(id.to_string())) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// The descriptor in a file, if it is that of this node.
fn read(path: &Path, id: NodeId) -> io::Result<Option<Signed>> {
    let text = match file::read_text(path, MAX_DESCRIPTOR as u64) {
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::FileTooLarge) => {
            return Ok(None);
        }
        text => text?,
    };
    Ok(Signed::parse(&text).ok().filter(|node| node.descriptor().id() == id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::fixture::{contents, descriptor, key, signed};

    fn desk() -> (tempfile::TempDir, Desk) {
        let dir = tempfile::tempdir().unwrap();
        let desk = Desk::of(&Spool { path: dir.path().to_owned(), max: 0, reserve: 0 });
        (dir, desk)
    }

    #[test]
    fn what_is_put_on_the_desk_is_there_and_gone_when_the_document_has_it() {
        let (_dir, desk) = desk();
        assert_eq!(desk.register().unwrap(), Register::default());
        let [one, two, three] = [1, 2, 3].map(|n| signed(descriptor(n), n));
        let id = |node: &Signed| node.descriptor().id();
        desk.add(&one).unwrap();
        desk.offer(&two).unwrap();
        desk.remove(&id(&three)).unwrap();
        let want = Register {
            added: [(id(&one), one.clone())].into(),
            removed: [id(&three)].into(),
            offered: [(id(&two), two.clone())].into(),
        };
        assert_eq!(desk.register().unwrap(), want);
        desk.tidy(&contents(1, 1, [(1, descriptor(1))])).unwrap();
        assert_eq!(
            desk.register().unwrap(),
            Register { removed: want.removed, ..Register::default() },
            "no keys are left"
        );
        desk.add(&three).unwrap();
        assert_eq!(desk.register().unwrap().removed, BTreeSet::new());
        desk.remove(&id(&three)).unwrap();
        assert_eq!(desk.register().unwrap().added, BTreeMap::new());
    }

    #[test]
    fn damaged_files_are_no_descriptors_and_others_files_are_left_alone() {
        let (dir, desk) = desk();
        desk.offer(&signed(descriptor(1), 1)).unwrap();
        let offered = dir.path().join("authority/offered");
        fs::write(offered.join(key(2).node_id().to_string()), signed(descriptor(1), 1).to_text()).unwrap();
        fs::write(offered.join(key(3).node_id().to_string()), [0xff]).unwrap();
        fs::write(offered.join("README"), "?").unwrap();
        assert_eq!(desk.register().unwrap().offered.len(), 1);
        desk.add(&signed(descriptor(1), 1)).unwrap();
        fs::write(dir.path().join("authority/added").join(key(1).node_id().to_string()), "?").unwrap();
        assert_eq!(
            desk.register().unwrap_err().kind(),
            io::ErrorKind::InvalidData,
            "what the operator said is not lost in silence"
        );
    }
}
