//! Keys, spool and lists: there, whole, and readable by the service alone.

use super::finding::Finding;
use super::whom::{Denied, Want, Whom};
use crate::config::Config;
use crate::secret::Secret;
use crate::sys::block_file;
use crate::sys::key_file::NodeKey;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The node's key, if it can be read by who runs this; and what there is to say of it.
///
/// It belongs to root where systemd hands it to the service, so it isn't asked whether the service may read it.
pub(super) fn key(config: &Config) -> (Option<NodeKey>, Finding) {
    let path = &config.node.key;
    match NodeKey::read(path) {
        Ok(key) => (Some(key), Finding::good("key", format!("{} is its owner's alone", path.display()))),
        Err(error) => {
            let told = super::super::words::key_trouble(path, &error);
            let says = told.found.map_or_else(|| told.what.clone(), |found| format!("{}: {found}", told.what));
            let finding = Finding::wrong("key", says);
            (None, finding.hint(told.try_.unwrap_or_else(|| "run this as root, or put the key back".to_owned())))
        }
    }
}

/// Who asked not to be written to: whether the node can go by it.
pub(super) fn block_list(config: &Config, link: &Secret<32>, whom: &Whom) -> Finding {
    let shown = config.block.display();
    if !config.block.exists() && config.block_is_named {
        return Finding::wrong("block", format!("{shown}: exit.block names it, and there is no such file"))
            .hint("correct exit.block, or make the list there with fog block add");
    }
    if !config.block.exists() {
        return Finding::good("block", "nobody has asked not to be written to");
    }
    if let Err(denied) = whom.may(Want::Read, &config.block) {
        return not_allowed("block", whom, "read", &config.block, &denied);
    }
    match block_file::read(&config.block, link) {
        Ok(list) => Finding::good("block", format!("{} have asked not to be written to", list.len())),
        Err(error) => Finding::wrong("block", format!("{shown}: {error}")).hint("fog-block(8)"),
    }
}

/// The spool: the service's own, and nobody else's.
pub(super) fn spool(config: &Config, whom: &Whom) -> Finding {
    let path = &config.spool.path;
    let shown = path.display();
    let found = match fs::metadata(path) {
        Ok(found) => found,
        Err(error) => {
            return Finding::wrong("spool", format!("{shown}: {error}")).hint("fog init, or change spool.path");
        }
    };
    if found.mode() & 0o077 != 0 {
        return Finding::wrong("spool", format!("{shown} has mode {:o}: others can get at it", found.mode() & 0o777))
            .hint(format!("chmod 700 {shown}"));
    }
    if found.uid() != whom.uid() {
        return Finding::wrong("spool", format!("{shown} belongs to uid {}, not to {}", found.uid(), whom.name))
            .hint(format!("chown -R {} {shown}; or say whom the service runs as: fog check --user NAME", whom.name));
    }
    Finding::good("spool", format!("{shown} is {}'s alone", whom.name))
}

/// The configuration, which the service reads itself.
pub(super) fn configuration(path: &Path, whom: &Whom) -> Finding {
    match whom.may(Want::Read, path) {
        Ok(()) => Finding::good("config", format!("{} is whole, and {} can read it", path.display(), whom.name)),
        Err(denied) => not_allowed("config", whom, "read", path, &denied),
    }
}

fn not_allowed(about: &'static str, whom: &Whom, verb: &str, path: &Path, denied: &Denied) -> Finding {
    let shown = path.display();
    match denied {
        Denied::Mode(at) => Finding::wrong(about, format!("{} can't {verb} {shown}", whom.name))
            .hint(format!("see who may: ls -ld {}", at.display())),
        Denied::Io(error) => Finding::wrong(about, format!("{shown}: {error}")),
    }
}
