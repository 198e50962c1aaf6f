//! Nodes whose disk is nearly full, full, read-only, failing or damaged: real processes on a disk of their own, brought back
//! by what fog-node(8) says.
//!
//! Needs root, for the disk: without it the tests are skipped, unless FOG_REQUIRE_E2E says that they must not be.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test stops at the first surprise")]
#![allow(clippy::print_stderr, clippy::disallowed_methods, reason = "real processes have a real clock and real logs")]

#[path = "common/network.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod network;
#[path = "common/sink.rs"]
mod sink;

use fog::id::Epoch;
use fog::store::{Marks, Store, StoreError};
use network::{Network, Plan, free_ports};
use sink::Sink;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// An authority takes what it is given in the second half of an epoch into the document of the epoch after the next.
const PATIENCE: Duration = Duration::from_secs(300);
/// Without the fourth there would be no way back from the exit, and no receipts: two hops that are neither it nor the entry.
const NODES: usize = 4;
const MIB: u64 = 1 << 20;

struct Site {
    network: Network,
    sink: Sink,
    dir: TempDir,
}

impl Site {
    /// Four nodes: the entry, which is the authority, two mixes, and an exit. None without root, if nobody insists.
    fn start(epoch: &str) -> Option<Self> {
        if fs::metadata("/proc/self").unwrap().uid() != 0 {
            assert!(std::env::var_os("FOG_REQUIRE_E2E").is_none(), "can't run without root");
            eprintln!("skipped: can't run without root");
            return None;
        }
        let (dir, sink) = (tempfile::tempdir().unwrap(), Sink::start());
        let epoch = format!("epoch={epoch}");
        let parameters = ["min-delay=50ms", "mean-delay=100ms", "max-delay=1s", "tick=100ms", "batch-min=0"];
        // One that was away for two of such epochs is on paths again at once: here it is the only one there is.
        let parameters =
            [&parameters[..], &["send-every=100ms", "max-size=6M", "hops=2", "min-uptime=0", &epoch]].concat();
        let addresses = free_ports(NODES).into_iter().map(|port| format!("127.0.0.1:{port}"));
        let plan = Plan {
            user: 0,
            addresses: addresses.map(|address| (address.clone(), address)).collect(),
            exits: vec![(NODES - 1, format!("smtp:{}", sink.address()))],
            homes: Vec::new(),
            parameters: &parameters,
            sets: &["log.target=stderr"],
        };
        Some(Self { network: Network::start_as(dir.path(), &plan), sink, dir })
    }

    fn fog(&self, node: usize, args: &[&str], input: &str) -> Output {
        let mut command = Command::new(self.network.fog());
        command.args(args).arg("--config").arg(self.network.config(node)).current_dir(self.dir.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // It may have given up already, without reading.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    }

    /// What the MTA's pipe says of a mail with this mark: its code, and its words.
    fn send(&self, node: usize, mark: usize) -> (i32, String) {
        let mail = format!("Return-Path: <>\nDelivered-To: bob@example.org.fog\nSubject: mark {mark}\n\nHello.\n");
        let said = self.fog(node, &["send", "--mta", "--queue-id", &format!("Q{mark}")], &mail);
        (said.status.code().unwrap(), String::from_utf8(said.stdout).unwrap())
    }

    fn arrived(&self, mark: usize) -> usize {
        self.sink.arrived().get(&mark).map_or(0, Vec::len)
    }

    fn wait_for_mail(&self, mark: usize) {
        wait_for("the mail", || self.arrived(mark) > 0);
    }

    /// What the operator of a node is told of the mails that it has.
    fn queue(&self, node: usize) -> String {
        let listed = self.fog(node, &["queue", "list"], "");
        assert!(listed.status.success(), "{listed:?}");
        String::from_utf8(listed.stdout).unwrap()
    }

    /// Waits until a node has its receipts, and answers for no mail any more.
    fn wait_for_receipts(&self, node: usize) {
        wait_for("the receipts", || self.queue(node) == "no mail waits here\n");
    }

    fn log(&self, node: usize) -> String {
        fs::read_to_string(self.dir.path().join(format!("n{}/node.log", node + 1))).unwrap()
    }
}

fn wait_for(what: &str, mut is_there: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_there() {
        assert!(began.elapsed() < PATIENCE, "{what}: nothing after {PATIENCE:?}");
        sleep(Duration::from_millis(200));
    }
}

/// Takes what is free on the disk below `spool`, but so many bytes.
fn fill(spool: &Path, but: u64) {
    let out = Command::new("stat").args(["--file-system", "--format=%a %S"]).arg(spool).output().unwrap();
    let numbers: Vec<u64> =
        String::from_utf8(out.stdout).unwrap().split_whitespace().map(|n| n.parse().unwrap()).collect();
    let mut left = (numbers[0] * numbers[1]).saturating_sub(but);
    let mut ballast = fs::File::create(spool.join("ballast")).unwrap();
    while left > 0 {
        let part = left.min(MIB);
        // What others take meanwhile is taken as well.
        if ballast.write_all(&vec![0; usize::try_from(part).unwrap()]).is_err() {
            return;
        }
        left -= part;
    }
}

/// Writes to the store in `spool`, on a full disk, until it takes not even the least.
fn fill_database(spool: &Path) {
    // By little, so that every free page of the smallest size is taken, not only those side by side.
    let end = |marks: usize| -> Result<(), StoreError> {
        let mut store = Store::open(spool)?;
        loop {
            let mut txn = store.begin()?;
            for _ in 0..marks {
                txn.mark(Marks::Replay, Epoch(0), rand::random())?;
            }
            txn.commit()?;
        }
    };
    for marks in [8, 1, 1] {
        let end = end(marks);
        assert!(matches!(end, Err(StoreError::Full)), "{end:?}");
    }
}

#[test]
fn a_node_with_less_than_the_reserve_takes_nothing_sends_what_it_has_and_takes_again() {
    let Some(mut site) = Site::start("1d") else { return };
    site.network.kill_node(0);
    site.network.put_on_small_disk(0, 256 * MIB);
    site.network.start_node(0);
    // It has this one, and nobody to send it to.
    (1..NODES).for_each(|node| site.network.kill_node(node));
    assert_eq!(site.send(0, 1), (0, String::new()));
    let spool = site.network.spool_seen_by(0);
    fill(&spool, 100 * MIB);
    wait_for("a refusal", || site.send(0, 2).0 == 75);
    assert_eq!(site.send(0, 2), (75, "4.3.1 fog: the node's disk has too little room left".into()));
    let told = site.fog(0, &["status", "--nagios"], "");
    assert_eq!(told.status.code(), Some(2), "{told:?}");
    assert!(String::from_utf8_lossy(&told.stdout).contains("disk-low"), "{told:?}");

    (1..NODES).for_each(|node| site.network.start_node(node));
    site.wait_for_mail(1);
    assert_eq!(site.send(0, 2).0, 75);
    assert_eq!(site.log(0).matches("disk-low").count(), 1, "{}", site.log(0));
    fs::remove_file(spool.join("ballast")).unwrap();
    wait_for("room", || site.send(0, 2).0 == 0);
    site.wait_for_mail(2);
    site.wait_for_receipts(0);
    assert_eq!((site.arrived(1), site.arrived(2)), (1, 1), "a copy");
    assert!(site.log(0).contains("fog/node: disk-room\n"), "{}", site.log(0));
}

#[test]
fn a_disk_that_is_full_or_read_only_ends_the_node_with_words_and_nothing_is_lost() {
    let Some(mut site) = Site::start("1d") else { return };
    site.network.kill_node(0);
    site.network.put_on_small_disk(0, 256 * MIB);
    site.network.start_node(0);
    (1..NODES).for_each(|node| site.network.kill_node(node));
    assert_eq!(site.send(0, 1).0, 0);
    let spool = site.network.spool_seen_by(0);

    // The node could go on for as long as its database has places in its file: they are taken, too.
    site.network.kill_node(0);
    fill(&spool, 0);
    fill_database(&spool);
    let (code, said) = site.network.node_that_ends(0);
    assert_eq!(code, 74, "{said}");
    assert!(said.contains("fog: the disk is full\n") && said.contains("make room on its file system"), "{said}");
    assert_eq!(site.send(0, 2).0, 75);

    site.network.remount(0, "ro");
    let (code, said) = site.network.node_that_ends(0);
    assert_eq!(code, 74, "{said}");
    assert!(said.contains("fog: the disk can't be written to\n") && said.contains("remount,rw"), "{said}");
    assert_eq!(site.send(0, 2).0, 75);
    site.network.remount(0, "rw");

    fs::remove_file(spool.join("ballast")).unwrap();
    site.network.start_node(0);
    (1..NODES).for_each(|node| site.network.start_node(node));
    assert_eq!(site.send(0, 2).0, 0);
    site.wait_for_mail(1);
    site.wait_for_mail(2);
    site.wait_for_receipts(0);
    assert_eq!((site.arrived(1), site.arrived(2)), (1, 1), "a copy");
}

#[test]
fn a_disk_that_fails_ends_the_node_with_words_and_nothing_is_lost() {
    let Some(mut site) = Site::start("1d") else { return };
    site.network.kill_node(0);
    site.network.put_on_disk_that_can_fail(0, 256 * MIB);
    site.network.start_node(0);
    (1..NODES).for_each(|node| site.network.kill_node(node));
    assert_eq!(site.send(0, 1).0, 0);

    site.network.fail_disk(0);
    wait_for("the node's end", || site.network.ended(0).is_some());
    let said = site.log(0);
    assert_eq!(site.network.ended(0).unwrap().code(), Some(74), "{said}");
    assert!(said.contains("fog: the store failed\n") && said.contains("look after the disk"), "{said}");
    assert_eq!(site.send(0, 2).0, 75);
    // It can't be read either.
    let (code, said) = site.network.node_that_ends(0);
    assert_eq!((code, said.matches("fog: the store failed\n").count()), (74, 2), "{said}");
    assert!(said.contains("Input/output error"), "{said}");

    site.network.mend_disk(0);
    (0..NODES).for_each(|node| site.network.start_node(node));
    assert_eq!(site.send(0, 2).0, 0);
    site.wait_for_mail(1);
    site.wait_for_mail(2);
    site.wait_for_receipts(0);
    assert_eq!((site.arrived(1), site.arrived(2)), (1, 1), "a copy");
}

#[test]
fn a_damaged_spool_is_refused_and_what_the_manual_says_brings_the_node_back() {
    let Some(mut site) = Site::start("2m") else { return };
    let home = site.dir.path().join("n2");
    site.network.kill_node(1);
    let store = fs::File::options().read(true).write(true).open(home.join("spool/store.redb")).unwrap();
    for at in (8192..store.metadata().unwrap().len()).step_by(512) {
        let mut byte = [0];
        store.read_exact_at(&mut byte, at).unwrap();
        store.write_all_at(&[byte[0] ^ 1], at).unwrap();
    }
    for _ in 0..2 {
        let (code, said) = site.network.node_that_ends(1);
        assert_eq!(code, 65, "{said}");
        assert!(said.contains("fog: the spool is damaged\n") && said.contains("WHEN THE DISK FAILS"), "{said}");
    }

    let typed = way_back(site.network.fog(), &site.network.config(1), &home.join("spool"));
    let out = Command::new("sh").args(["-ec", &typed]).env("HOME", site.dir.path()).output().unwrap();
    assert!(out.status.success(), "{typed}: {out:?}");
    let (code, said) = site.network.node_that_ends(1);
    assert_eq!(code, 78, "{said}");
    assert!(said.contains("this node has not got the mix keys it has published"), "{said}");

    // The authority's part.
    let added = site.fog(0, &["directory", "add", "descriptor"], "");
    assert!(added.status.success(), "{added:?}");
    let descriptor = fs::read_to_string(site.dir.path().join("descriptor")).unwrap();
    let newest_key = descriptor.lines().rfind(|line| line.starts_with("mix-keys.")).unwrap();
    let document = site.dir.path().join("n1/spool/directory");
    wait_for("their next document", || fs::read_to_string(&document).unwrap().contains(newest_key));
    for node in 1..NODES {
        let kept = site.fog(node, &["directory", "verify", "--keep", document.to_str().unwrap()], "");
        assert!(kept.status.success(), "{kept:?}");
    }
    for node in [0, 2, 3] {
        site.network.kill_node(node);
        site.network.start_node(node);
    }
    site.network.start_node(1);
    // By way of it, and from it.
    assert_eq!((site.send(0, 1).0, site.send(1, 2).0), (0, 0));
    site.wait_for_mail(1);
    site.wait_for_mail(2);
    (0..2).for_each(|node| site.wait_for_receipts(node));
    assert_eq!((site.arrived(1), site.arrived(2)), (1, 1), "a copy");
    assert!(home.join("spool/damaged/store.redb").exists(), "the manual keeps the damaged files");
}

/// The commands of fog-node(8) for a damaged spool, but for those to systemd.
fn way_back(fog: &Path, config: &Path, spool: &Path) -> String {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("man/fog-node.8")).unwrap();
    let section = page.split_once(".Sh WHEN THE DISK FAILS").unwrap().1;
    let commands = section.split_once(".Bd -literal -offset indent\n").unwrap().1.split_once(".Ed").unwrap().0;
    let lines: Vec<_> = commands.lines().filter(|line| !line.starts_with("systemctl ")).collect();
    assert!(lines.len() > 2 && lines.iter().any(|line| line.starts_with("fog node-info")), "{commands}");
    let fog = format!("{} --config {} node-info", fog.display(), config.display());
    lines.join("\n").replace("/var/lib/fog", spool.to_str().unwrap()).replace("fog node-info", &fog)
}
