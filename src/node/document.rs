//! The directory document that lies in the spool: whether this node can go by it, at the start and while it runs.

use super::trouble::Trouble;
use crate::config::Config;
use crate::directory::{Document, MAX_DOCUMENT, Rejected};
use crate::id::{Epoch, NodeId};
use crate::sys::directory_fault::DirectoryFault;
use crate::sys::exit_code::ExitCode;
use crate::sys::file;
use crate::sys::history::History;
use crate::sys::log::{self, Program, log};
use crate::time::Time;
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::path::Path;

/// What a document must say of this node.
#[derive(Debug, Clone)]
pub(super) struct Ours {
    pub(super) id: NodeId,
    /// The public half.
    pub(super) link_key: [u8; 32],
}

/// Why this node can't go by a document.
#[derive(Debug)]
pub(super) enum NotTaken {
    Unreadable(io::Error),
    Rejected(Rejected),
    NotMember,
    OtherLinkKey,
    NotExit,
    NoKey(Epoch),
    Demonstration,
}

/// Reads the document in the spool, and asks who signed it.
pub(super) fn read(config: &Config, now: Time) -> Result<Document, NotTaken> {
    read_at(&config.spool.document(), config, now)
}

/// The document before `document`, if it is there and was a good one.
pub(super) fn before(config: &Config, document: &Document, now: Time) -> Option<Document> {
    // Without it, who takes the new document later than we do has to wait. That is no reason not to start.
    read_at(&config.spool.previous_document(), config, now).ok().filter(|before| before.epoch() <= document.epoch())
}

/// Puts `document` in the place of `before` in the spool, as `fog directory verify --keep` does.
pub(super) fn keep(config: &Config, document: &Document, before: &Document, now: Time) -> io::Result<()> {
    // What the operator has put there, and not yet called for, stays.
    if read(config, now).is_ok_and(|there| there.epoch() > document.epoch()) {
        return Ok(());
    }
    let write = |path: &Path, document: &Document| file::replace(path, document.to_text().as_bytes(), file::PUBLIC);
    write(&config.spool.previous_document(), before)?;
    write(&config.spool.document(), document)
}

/// Notes what `document` says of each node, for `fog stats`. A node that can't do that mixes all the same.
pub(super) fn note(config: &Config, document: &Document) {
    if History::note(&config.spool.uptimes(), document).is_err() {
        log(Program::Node, log::Event::DirectoryRejected { why: DirectoryFault::Unwritable });
    }
}

/// Keeps the other document of the epoch of the one in use. It proves itself, so that no restart makes it undone.
pub(super) fn keep_fork(config: &Config, other: &Document) -> io::Result<()> {
    file::replace(&config.spool.other_document(), other.to_text().as_bytes(), file::PUBLIC)
}

/// Whether another document of the epoch of `document` is kept, and was one to go by.
pub(super) fn is_forked(config: &Config, document: &Document, now: Time) -> bool {
    read_at(&config.spool.other_document(), config, now)
        .is_ok_and(|other| other.epoch() == document.epoch() && other.hash() != document.hash())
}

fn read_at(path: &Path, config: &Config, now: Time) -> Result<Document, NotTaken> {
    let text = file::read_text(path, MAX_DOCUMENT as u64).map_err(NotTaken::Unreadable)?;
    Document::reopen(&text, &config.trust, now).map_err(NotTaken::Rejected)
}

/// Whether this node is what `document` says of it. A node that others don't know as it is would be let in nowhere, and
/// one that lacks a role would acknowledge packets only to drop them.
pub(super) fn check(document: &Document, ours: &Ours, config: &Config) -> Result<(), NotTaken> {
    let said = document.node(&ours.id).ok_or(NotTaken::NotMember)?;
    if said.link_key != ours.link_key {
        return Err(NotTaken::OtherLinkKey);
    }
    if said.exit.is_some() && config.exit.is_none() {
        return Err(NotTaken::NotExit);
    }
    // What a demonstration shows of its nodes is for one machine.
    let is_here = |host: &str| host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    if document.params().demo && !document.nodes().all(|(_, node)| is_here(node.address.host())) {
        return Err(NotTaken::Demonstration);
    }
    Ok(())
}

impl NotTaken {
    /// For the log.
    pub(super) fn fault(&self) -> DirectoryFault {
        match self {
            Self::Unreadable(_) => DirectoryFault::Unreadable,
            Self::Rejected(rejected) => rejected.into(),
            Self::NotMember | Self::OtherLinkKey => DirectoryFault::NotMember,
            Self::NotExit | Self::NoKey(_) => DirectoryFault::Promises,
            Self::Demonstration => DirectoryFault::Demonstration,
        }
    }

    /// For the operator of the node `me`, which doesn't start.
    pub(super) fn trouble(&self, config: &Config, me: &NodeId) -> Trouble {
        let shown = config.spool.document().display().to_string();
        let trouble = |what: &str| Trouble::new(ExitCode::Config, what);
        let renew = "give what fog node-info prints to the authorities of the network, and take their next document";
        match self {
            Self::Unreadable(error) if error.kind() == ErrorKind::NotFound => {
                trouble("there is no directory document, so no other node is known")
                    .found(format!("{shown}: not there"))
                    .hint("fog directory fetch, or fog directory sign if this network is yours")
            }
            Self::Unreadable(error) => {
                Trouble::os("the directory document can't be read", error).found(format!("{shown}: {error}"))
            }
            // A clock that was behind is set right by its own daemon, soon after the machine has started.
            Self::Rejected(rejected @ Rejected::FromTheFuture { .. }) => {
                Trouble::new(ExitCode::TryAgain, "the directory document is of an epoch that has not begun")
                    .found(format!("{shown}: {rejected}"))
                    .hint(hint(rejected))
            }
            Self::Rejected(rejected) => trouble("the directory document is not one to go by")
                .found(format!("{shown}: {rejected}"))
                .hint(hint(rejected)),
            Self::NotMember => {
                trouble("this node is not in the directory document").found(format!("node id {me}")).hint(renew)
            }
            Self::OtherLinkKey => trouble("the directory document has another link key for this node")
                .found(format!("node id {me}"))
                .hint(renew),
            Self::NotExit => trouble("the directory document calls this node an exit, its configuration does not")
                .found("mail that reaches it would be lost")
                .hint("put \"exit\" back into node.roles, or get a document without"),
            Self::NoKey(epoch) => trouble("this node has not got the mix keys it has published")
                .found(format!("{}: no key of epoch {epoch}, or another", config.spool.path.display()))
                .hint(renew),
            Self::Demonstration => {
                trouble("this network is a demonstration, which hides nobody, and it leaves this machine")
                    .found("its directory document says demo = true and names addresses other than 127.0.0.1")
                    .hint("found another: fog init --new-network")
            }
        }
    }
}

const fn hint(rejected: &Rejected) -> &'static str {
    match rejected {
        Rejected::FromTheFuture { .. } => "is the clock right? see: timedatectl",
        Rejected::TooFewSignatures { .. } | Rejected::UnknownAuthority(_) => {
            "compare the fingerprints in directory.trust with fog directory show"
        }
        _ => "get a good one from another node's operator",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::Contents;
    use crate::directory::fixture::{at, contents, descriptor, key, signed_text, trust};
    use std::fs;

    #[test]
    fn a_document_is_kept_with_the_one_before_it_but_not_in_the_place_of_a_newer_one() {
        let dir = tempfile::tempdir().unwrap();
        let lines =
            format!("node.name = \"a\"\nnode.onion = \"a:1\"\ndirectory.trust = [\"{}\"]\n", key(101).node_id());
        let config = Config::parse(&[("fog.toml".into(), lines)], &["spool.path=.".into()], dir.path()).unwrap();
        let now = at(80);
        let [first, second, third] = [0, 1, 2].map(|age| {
            let first = contents(1, 1, [(1, descriptor(1))]);
            let contents = Contents { epoch: first.epoch.plus(age), ..first };
            Document::reopen(&signed_text(&contents, [101]), &trust(1, 1), now).unwrap()
        });
        let text = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        keep(&config, &second, &first, now).unwrap();
        assert_eq!((text("directory"), text("directory.previous")), (second.to_text(), first.to_text()));
        fs::write(dir.path().join("directory"), third.to_text()).unwrap();
        keep(&config, &second, &first, now).unwrap();
        assert_eq!(text("directory"), third.to_text(), "what the operator has put there");
        fs::write(dir.path().join("directory"), "?").unwrap();
        keep(&config, &third, &second, now).unwrap();
        assert_eq!((text("directory"), text("directory.previous")), (third.to_text(), second.to_text()));
    }

    #[test]
    fn where_the_clock_is_behind_the_node_is_started_again_and_else_a_person_has_to_help() {
        let dir = tempfile::tempdir().unwrap();
        let trusted = key(101).node_id();
        let lines = format!("[node]\nname = \"a\"\nonion = \"a:1\"\n[directory]\ntrust = [\"{trusted}\"]\n");
        let config = Config::parse(&[("fog.toml".into(), lines)], &[], dir.path()).unwrap();
        let text = signed_text(&contents(1, 1, [(1, descriptor(1))]), [101]);
        let clock_behind = Document::reopen(&text, &trust(1, 1), at(0).minus(std::time::Duration::from_secs(1)));
        let no_signature =
            Document::reopen(&signed_text(&contents(1, 1, [(1, descriptor(1))]), []), &trust(1, 1), at(1));
        for (rejected, want) in [(clock_behind, ExitCode::TryAgain), (no_signature, ExitCode::Config)] {
            let trouble = NotTaken::Rejected(rejected.unwrap_err()).trouble(&config, &key(1).node_id());
            assert_eq!(trouble.exit, want, "{trouble:?}");
        }
    }
}
