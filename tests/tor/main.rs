//! Real Tor: nodes that are v3 onions and nothing else, over a private Tor network of real relays on loopback. The nodes
//! run in network namespaces without an interface that is up; what reaches them and what they reach, Tor brings.
//!
//! Needs root and the Debian package `tor`: without them the tests are skipped, unless FOG_REQUIRE_E2E says that they must
//! not be.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test stops at the first surprise")]
#![allow(clippy::print_stderr, clippy::disallowed_methods, reason = "real processes have a real clock and real logs")]

#[path = "../common/mta.rs"]
#[allow(dead_code, reason = "the tests with an MTA use the rest")]
mod mta;
mod relays;
mod site;
mod world;

use site::Site;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long what was killed stays away: until others have noticed.
const AWAY: Duration = Duration::from_secs(5);

/// The directory of a test, if there is all that it needs.
fn scratch() -> Option<TempDir> {
    let mut missing = Vec::new();
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        missing.push("root");
    }
    let there = |tool: &str| ["/usr/bin", "/usr/sbin", "/sbin"].iter().any(|dir| Path::new(dir).join(tool).exists());
    missing.extend(["tor", "tor-gencert", "ip", "unshare", "nsenter", "setpriv"].iter().filter(|tool| !there(tool)));
    mta::scratch(&missing)
}

fn numbered(from: usize, to: usize) -> Vec<String> {
    (from..to).map(|number| format!("letter {number}")).collect()
}

#[test]
fn letters_cross_five_onions_and_none_is_lost_when_a_node_or_a_tor_is_killed() {
    let Some(dir) = scratch() else { return };
    let mut site = Site::start(dir.path(), 5);
    let began = Instant::now();
    let took = |what: &str| eprintln!("{:5.1} s  {what}", began.elapsed().as_secs_f32());
    site.found();
    took("founded, documents fetched over onions, all nodes ready");
    site.operators[0].send("letter 0");
    site.operators[0].says("fog/node: link-up: node=");
    took("first link");
    site.wait_for(&numbered(0, 1));
    took("first letter");
    site.operators.iter().for_each(|operator| operator.has_no_other_way_out());

    // A mix is gone while letters are under way; what was for it or lies in it waits.
    (1..3).for_each(|number| site.operators[0].send(&format!("letter {number}")));
    site.operators[1].kill_node();
    (3..5).for_each(|number| site.operators[0].send(&format!("letter {number}")));
    sleep(AWAY);
    site.operators[1].start_node();
    site.wait_for(&numbered(0, 5));
    took("letters 1 to 4, and a killed node");

    // So is a Tor, with the onion behind it and all links in both directions.
    (5..7).for_each(|number| site.operators[0].send(&format!("letter {number}")));
    site.operators[0].kill_tor();
    (7..9).for_each(|number| site.operators[0].send(&format!("letter {number}")));
    site.operators[0].says("fog/node: tor-down: why=unreachable");
    sleep(AWAY);
    site.operators[0].start_tor();
    site.wait_for(&numbered(0, 9));
    took("letters 5 to 8, and a killed Tor");
    let log = site.operators[0].log();
    let (down, up) = (log.find("tor-down").unwrap(), log.rfind("tor-up").unwrap());
    assert!(down < up, "{log}");
    site.operators.iter().for_each(|operator| operator.has_no_other_way_out());
}
