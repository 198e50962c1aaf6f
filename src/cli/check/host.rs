//! The machine: where memory and deleted bytes can end up, and whether its clock is set by somebody.

use super::finding::Finding;
use std::path::Path;

/// Swap that is not encrypted keeps what was in memory. `swaps` is /proc/swaps.
pub(super) fn swap(swaps: &str) -> Finding {
    let areas: Vec<_> = swaps.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
    // What a device mapper carries may be encrypted or not; zram is memory.
    let on_disk: Vec<_> = areas.iter().filter(|area| !area.contains("/zram")).copied().collect();
    if on_disk.is_empty() {
        return Finding::good("swap", "nothing in memory is written to disk");
    }
    Finding::careful("swap", format!("keys and mail in memory can be written to {}", on_disk.join(", ")))
        .hint("the units keep fog out of it (MemorySwapMax=0); for the rest of the machine encrypt it, or swapoff -a")
}

/// A core file is a copy of all keys. `pattern` is /proc/sys/kernel/core_pattern, `limit` what `ulimit -c` would say.
pub(super) fn core(pattern: &str) -> Finding {
    let pattern = pattern.trim();
    if pattern.is_empty() {
        return Finding::good("core", "a program that dies leaves no copy of its memory");
    }
    Finding::careful("core", format!("a program that dies may leave a copy of its memory ({pattern})"))
        .hint("the units forbid it (LimitCORE=0); started by hand: ulimit -c 0")
}

/// The kind of file system that `path` (absolute) lies on. `mounts` is /proc/self/mountinfo.
pub(super) fn file_system<'m>(mounts: &'m str, path: &Path) -> Option<&'m str> {
    let of = |line: &'m str| {
        let (before, after) = line.split_once(" - ")?;
        let at = before.split(' ').nth(4)?.replace("\\040", " ");
        path.starts_with(&at).then(|| (at.len(), after.split(' ').next().unwrap_or_default()))
    };
    // Of two mounted on one place, the later one is seen.
    mounts.lines().filter_map(of).max_by_key(|(len, _)| *len).map(|(_, kind)| kind)
}

/// Whether what is overwritten there is gone.
pub(super) fn overwriting(mounts: &str, path: &Path) -> Finding {
    let shown = path.display();
    match file_system(mounts, path) {
        Some(kind @ ("btrfs" | "zfs" | "bcachefs" | "nilfs2" | "f2fs")) => {
            Finding::wrong("spool", format!("{shown} is on {kind}, which keeps what is overwritten: no key ever dies"))
                .hint("put spool.path on ext4 or xfs, without snapshots and backups")
        }
        Some(kind @ ("nfs" | "nfs4" | "cifs" | "9p" | "fuse.sshfs")) => {
            Finding::wrong("spool", format!("{shown} is on {kind}: another machine has all of it"))
                .hint("put spool.path on a disk of this machine")
        }
        Some(kind) => Finding::good("spool", format!("{shown} is on {kind}, where what is overwritten is gone")),
        None => Finding::careful("spool", format!("nobody knows what file system {shown} is on")),
    }
}

/// `synchronized` is what `timedatectl show -p NTPSynchronized --value` says; none if it isn't there.
pub(super) fn clock(synchronized: Option<&str>) -> Finding {
    match synchronized.map(str::trim) {
        Some("yes") => Finding::good("clock", "set over the network"),
        Some(_) => Finding::careful("clock", "nothing sets it; ten minutes off and no packet is taken any more")
            .hint("apt install systemd-timesyncd; through Tor alone, look at it by hand: date -u"),
        None => Finding::careful("clock", "nobody can say whether something sets it").hint("look at it: date -u"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;

    #[test]
    fn swap_on_a_disk_is_told() {
        let head = "Filename\tType\tSize\tUsed\tPriority\n";
        assert_eq!(swap(head).state, State::Good);
        assert_eq!(swap(&format!("{head}/dev/zram0 partition 1 0 5\n")).state, State::Good);
        let found = swap(&format!("{head}/dev/zram0 partition 1 0 5\n/dev/sda2 partition 1 0 -2\n"));
        assert!(found.state == State::Careful && found.says.ends_with("to /dev/sda2"), "{found:?}");
    }

    #[test]
    fn a_core_file_is_told() {
        assert_eq!((core("\n").state, core("|/bin/apport %p\n").state), (State::Good, State::Careful));
    }

    #[test]
    fn a_path_is_on_what_is_mounted_nearest_and_last() {
        let mounts = "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 0:9 / /var/lib/fog rw - btrfs /dev/sdb rw\n\
                      3 1 0:8 / /srv rw - ext4 x rw\n4 1 0:8 / /srv rw - nfs4 y rw\n5 1 0:1 / /a\\040b rw - zfs z rw\n";
        for (path, kind, state) in [
            ("/var/lib/other", "ext4", State::Good),
            ("/var/lib/fog/slab", "btrfs", State::Wrong),
            ("/var/lib/fogger", "ext4", State::Good),
            ("/srv/fog", "nfs4", State::Wrong),
            ("/a b/fog", "zfs", State::Wrong),
        ] {
            assert_eq!(file_system(mounts, Path::new(path)), Some(kind), "{path}");
            assert_eq!(overwriting(mounts, Path::new(path)).state, state, "{path}");
        }
        assert_eq!(overwriting("", Path::new("/x")).state, State::Careful);
    }

    #[test]
    fn a_clock_that_nothing_sets_is_told() {
        let states = [Some("yes\n"), Some("no\n"), None].map(|said| clock(said).state);
        assert_eq!(states, [State::Good, State::Careful, State::Careful]);
    }
}
