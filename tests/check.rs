//! `fog check` on set-ups that are broken in one way each: it says that way's sentence, and not before.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests: a failure is to stop them")]
#![allow(clippy::disallowed_methods, reason = "real processes have a deadline in real time")]

#[path = "common/sink.rs"]
mod sink;

use serde_json::Value;
use sink::Sink;
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

const FOG: &str = env!("CARGO_BIN_EXE_fog");

/// A node that is a network of its own, with an exit whose MTA is `sink`.
struct Node {
    dir: TempDir,
    sink: Sink,
}

impl Node {
    fn new() -> Self {
        let (dir, sink) = (tempfile::tempdir().unwrap(), Sink::refusing("abuse@away.example"));
        let node = Self { dir, sink };
        let deliver = format!("smtp:{}", node.sink.address());
        let home = node.dir.path().to_str().unwrap();
        let init = ["init", "--new-network", "--name", "kvara", "--onion", "127.0.0.1:7001", "--dir", home];
        let exit = ["--roles", "mix,exit", "--deliver", &deliver, "--from", "anonymous@exit.example"];
        node.done(&[&init[..], &exit].concat());
        node.done(&["directory", "sign"]);
        node
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn fog(&self, args: &[&str]) -> Output {
        Command::new(FOG).arg("-c").arg(self.path("fog.toml")).args(args).output().unwrap()
    }

    fn done(&self, args: &[&str]) {
        let output = self.fog(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// What is found, without Postfix: its state, and what it says.
    fn check(&self, args: &[&str]) -> Vec<(String, String)> {
        let output = self.fog(&[&["check", "--json", "--postfix", "/nonexistent"], args].concat());
        let text = String::from_utf8(output.stdout).unwrap();
        let found: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let wrong = found.iter().any(|finding| finding["state"] == "wrong");
        assert_eq!(output.status.code(), Some(if wrong { 78 } else { 0 }), "{text}");
        let word = |finding: &Value, name: &str| finding[name].as_str().unwrap().to_owned();
        assert!(found.iter().all(|finding| finding["v"] == 1 && (finding["state"] == "ok" || finding["try"] != "")));
        found.iter().map(|finding| (word(finding, "state"), word(finding, "says"))).collect()
    }

    /// Breaks it in one way: then `says` is said, and was not before.
    fn breaks(says: &str, how: impl FnOnce(&Self) -> Vec<String>) {
        let node = Self::new();
        let before = node.check(&[]);
        assert!(before.iter().all(|(_, said)| !said.contains(says)), "{says} is said of what is whole: {before:?}");
        let args = how(&node);
        let after = node.check(&args.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(after.iter().any(|(state, said)| state == "wrong" && said.contains(says)), "{says}: {after:?}");
    }
}

/// What is said, and what breaks the node so that it is; options of `fog check` come back.
type Way = (&'static str, fn(&Node) -> Vec<String>);

fn chmod(path: &Path, mode: u32) -> Vec<String> {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    Vec::new()
}

fn set(what: &str) -> Vec<String> {
    vec!["--set".into(), what.into()]
}

fn listens_at(socket: &Path) -> Vec<String> {
    set(&format!("node.listen=unix:{}", socket.display()))
}

#[test]
fn each_broken_set_up_has_its_sentence() {
    let ways: [Way; 15] = [
        ("a secret key can be read by others", |node| chmod(&node.path("node.key"), 0o644)),
        ("has mode 755: others can get at it", |node| chmod(&node.path("spool"), 0o755)),
        ("No such file", |node| {
            fs::remove_file(node.path("spool/directory")).unwrap();
            Vec::new()
        }),
        ("signed by an unknown", |_| set(&format!("directory.trust={}", "0a".repeat(32)))),
        ("the document says 127.0.0.1:7001, node.onion says 127.0.0.1:7002", |_| set("node.onion=127.0.0.1:7002")),
        ("other roles than node.roles", |_| set("node.roles=exit")),
        ("this node is not in the document", |node| {
            let other = Node::new();
            fs::copy(other.path("node.key"), node.path("node.key")).unwrap();
            Vec::new()
        }),
        ("has not the key of epoch", |node| {
            let other = Node::new();
            fs::copy(other.path("spool/epoch.keys"), node.path("spool/epoch.keys")).unwrap();
            Vec::new()
        }),
        ("mail for the world waits", |_| set("exit.deliver=smtp:127.0.0.1:1")),
        ("the MTA refuses abuse@away.example (550)", |_| set("exit.from=anonymous@away.example")),
        ("no onion can be reached", |_| {
            let onion = "pg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd.onion:1";
            [set(&format!("node.onion={onion}")), set("tor.socks=unix:/nonexistent/socks")].concat()
        }),
        ("node.listen wants a socket in /nonexistent", |_| set("node.listen=unix:/nonexistent/links.sock")),
        ("is no socket: the node leaves it alone", |node| listens_at(&node.path("node.key"))),
        ("every program of this machine can put a socket of its own", |node| {
            let open = node.path("open");
            fs::create_dir(&open).unwrap();
            chmod(node.dir.path(), 0o755);
            chmod(&open, 0o1777);
            listens_at(&open.join("links.sock"))
        }),
        ("line 1: not as fog block writes it", |node| {
            fs::write(node.path("block"), "alice@example.com\n").unwrap();
            Vec::new()
        }),
    ];
    for (says, how) in ways {
        Node::breaks(says, how);
    }
}

#[test]
fn a_sendmail_that_needs_what_the_exit_may_not_is_told() {
    let node = Node::new();
    // As Exim's is.
    let sendmail = node.path("sendmail");
    fs::copy("/bin/true", &sendmail).unwrap();
    chmod(&sendmail, 0o4755);
    let deliver = set(&format!("exit.deliver=sendmail:{}", sendmail.display()));
    let says = |wanted: &str, state: &str| {
        let found = node.check(&deliver.iter().map(String::as_str).collect::<Vec<_>>());
        found.iter().any(|(is, said)| is == state && said.contains(wanted)).then_some(()).ok_or(found)
    };
    assert_eq!(says("fog exit does not run", "careful"), Ok(()));
    for (how, wanted, state) in [
        (&["sh", "-c", "exec \"$@\"", "sh"][..], "fog exit may become what", "ok"),
        (&["setpriv", "--no-new-privs"], "fog exit runs with NoNewPrivileges", "wrong"),
    ] {
        let mut exit = Command::new(how[0]);
        exit.args(&how[1..]).arg(FOG).arg("-c").arg(node.path("fog.toml")).arg("exit").args(&deliver);
        let mut exit = exit.args(["--set", "log.target=stderr"]).stderr(Stdio::piped()).spawn().unwrap();
        // It runs, and not what has started it, when it says so.
        BufReader::new(exit.stderr.take().unwrap()).read_line(&mut String::new()).unwrap();
        let found = says(wanted, state);
        exit.kill().unwrap();
        exit.wait().unwrap();
        assert_eq!(found, Ok(()), "{how:?}");
    }
}

#[test]
fn it_is_judged_as_the_service_and_not_as_who_asks() {
    let node = Node::new();
    chmod(&node.path("fog.toml"), 0o600);
    let found = node.check(&["--user", "nobody"]);
    let says = |what: &str| found.iter().any(|(state, said)| state == "wrong" && said.contains(what));
    assert!(says("nobody can't read") && says("not to nobody"), "{found:?}");
    let unknown = node.fog(&["check", "--user", "nobody-of-that-name"]);
    assert_eq!(unknown.status.code(), Some(64));
}

#[test]
fn nothing_is_written_and_a_person_is_told_what_to_type() {
    let node = Node::new();
    let times = || {
        let files =
            ["fog.toml", "node.key", "spool", "spool/directory", "spool/store.redb"].map(|name| node.path(name));
        files.map(|path| fs::metadata(path).unwrap().modified().unwrap())
    };
    let before = times();
    let output = node.fog(&["check", "--postfix", "/nonexistent"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(times(), before, "{text}");
    assert!(
        text.contains("\nwrong    network    1 nodes are not enough for a path of 3 hops: mail waits\n  ->  "),
        "{text}"
    );
    assert!(text.lines().last().unwrap().contains(" looked at: 1 wrong, "), "{text}");
    let quiet = String::from_utf8(node.fog(&["-q", "check", "--postfix", "/nonexistent"]).stdout).unwrap();
    assert!(!quiet.lines().any(|line| line.starts_with("ok ")) && quiet.contains("wrong "), "{quiet}");
}
