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

use site::{Operator, Site};
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

/// As an operator sees it, with both kinds of SOCKS sockets: Debian's, and the one that `fog setup tor` adds.
#[test]
fn what_is_wrong_with_tor_is_told_and_an_onion_can_be_closed_to_strangers() {
    let Some(dir) = scratch() else { return };
    let mut site = Site::start(dir.path(), 3);
    site.found();
    for operator in &site.operators[..2] {
        let again = operator.as_root(&["setup", "tor", "--apply"]).output().unwrap();
        assert_eq!(String::from_utf8(again.stdout).unwrap(), "There is nothing to do.\n");
        let found = operator.check(&[]);
        assert!(
            matches!(&found[..], [(socks, _), (onion, says)] if socks == "ok" && onion == "ok"
            && says.ends_with("is reached through Tor")),
            "{found:?}"
        );
    }
    let [first, second, _] = &mut site.operators[..] else { panic!("three") };
    let nowhere = "node.onion=2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion:9999";
    tells(first, &["--set", nowhere], "Tor can't reach it");
    tells(second, &["--set", nowhere], "the onion service isn't published");
    tells(
        second,
        &["--set", &format!("node.onion={}", second.onion().replace(":9999", ":1"))],
        "nothing answers at this port",
    );
    second.kill_node();
    tells(second, &[], "is not reached through Tor");
    second.start_node();
    tells(second, &["--user", "games"], "games may not use Tor's socket /run/tor/socks");

    close(first, second);
    second.kill_tor();
    tells(second, &[], "no onion can be reached");
}

/// `fog check` says that something is wrong with Tor, in these words.
fn tells(operator: &Operator, arguments: &[&str], words: &str) {
    let found = operator.check(arguments);
    assert!(found.iter().any(|(state, says)| state == "wrong" && says.contains(words)), "{words}: {found:?}");
}

/// The first one's onion is closed to all but itself, and then opened to the second one.
fn close(first: &mut Operator, second: &mut Operator) {
    let list = first.machine.home.join("keys");
    std::fs::write(&list, "").unwrap();
    let closes = |operator: &Operator| {
        let out =
            mta::run(&mut operator.as_root(&["setup", "tor", "--apply", "--client-auth", list.to_str().unwrap()]));
        let said = String::from_utf8(out.stdout).unwrap();
        let line = said.lines().find_map(|line| line.split_once("need this line in their file: ")).unwrap().1;
        line.to_owned() + "\n"
    };
    closes(first);
    let line = closes(second);
    [&mut *first, &mut *second].into_iter().for_each(Operator::restart_tor);
    let fetches = |from: &str| second.fog(&["directory", "fetch", "--from", from]).output().unwrap();
    let refused = fetches("n1");
    assert_eq!(refused.status.code(), Some(75), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("client authorization"), "{refused:?}");
    assert!(first.check(&[]).iter().all(|(state, _)| state == "ok"), "it finds itself");

    std::fs::write(&list, line).unwrap();
    closes(first);
    first.restart_tor();
    mta::wait_for("the onion to let the second one in", || fetches("n1").status.success().then_some(()));
}
