//! Keys, spool and lists: there, whole, and readable by the service alone.

use super::finding::Finding;
use super::whom::{Denied, Want, Whom};
use crate::config::{Config, Spool};
use crate::secret::Secret;
use crate::sys::block_file;
use crate::sys::disk;
use crate::sys::key_file::NodeKey;
use std::fs::{self, File};
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

/// How much room the spool's file system has; nothing where there is no spool, which is told already.
pub(super) fn room(config: &Config) -> Option<Finding> {
    let dir = File::open(&config.spool.path).ok()?;
    let free = disk::free(&dir);
    Some(match free {
        Ok(free) => judge_room(&config.spool, free),
        Err(error) => Finding::careful("disk", format!("nobody knows how much room there is: {error}")),
    })
}

fn judge_room(spool: &Spool, free: u64) -> Finding {
    let shown = spool.path.display();
    let (free, reserve) = (free >> 20, spool.reserve >> 20);
    let says = format!("{free}M are free for {shown}, and {reserve}M of them are reserved");
    let hint = format!("make room: df {shown}; or less reserve: spool.reserve");
    match free.checked_sub(reserve) {
        None => Finding::wrong("disk", format!("{free}M are free for {shown}, less than {reserve}M: nothing is taken"))
            .hint(hint),
        Some(more) if more < reserve => Finding::careful("disk", says).hint(hint),
        Some(_) => Finding::good("disk", says),
    }
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

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;

    #[test]
    fn a_disk_that_has_less_room_than_the_reserve_is_wrong_and_one_that_is_near_it_careful() {
        let spool = Spool { path: "/var/lib/fog".into(), max: 1 << 30, reserve: 128 << 20 };
        for (free, want) in [(0, State::Wrong), (127, State::Wrong), (128, State::Careful), (256, State::Good)] {
            let found = judge_room(&spool, free << 20);
            assert_eq!(found.state, want, "{found:?}");
            assert!(found.says.contains("/var/lib/fog") && found.says.contains("128M"), "{found:?}");
        }
    }
}
