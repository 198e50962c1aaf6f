//! SIGHUP, with real processes: what changes under way, what waits, and what is refused.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test stops at the first surprise")]
#![allow(clippy::disallowed_methods, reason = "real processes have a deadline in real time")]

use fog::delivery::Deliver;
use fog::directory::{Authority, Candidate, Contents, IdentityKey, Params, Signed};
use fog::id::Epoch;
use fog::mail::address::Address;
use fog::secret::Secret;
use fog::submit::{Outcome, Reason, Reply, Request, Source, Wish};
use fog::sys::clock;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use tempfile::TempDir;

#[path = "common/member.rs"]
mod member;

const NAMES: [&str; 4] = ["entry", "mix", "exit", "mix2"];
const PATIENCE: Duration = Duration::from_secs(60);
const MAX_MAIL: usize = 1 << 20;
const LETTER: &[u8] = b"Subject: Tea\r\n\r\nAt five.\r\n";

/// Nodes, of which nobody has a document yet.
struct Network {
    dir: TempDir,
    nodes: [Signed; 4],
    authority: IdentityKey,
    epoch: Epoch,
    running: Vec<Child>,
}

impl Network {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let epoch = clock::now().epoch(Params::default().epoch);
        let authority = IdentityKey::from_seed(&Secret::filled(|seed| seed.fill(9)));
        let nodes = NAMES.map(|name| member::signed(&dir.path().join(name), name, epoch));
        Self { dir, nodes, authority, epoch, running: Vec::new() }
    }

    fn home(&self, node: usize) -> PathBuf {
        self.dir.path().join(NAMES[node])
    }

    /// The document of `epoch`, with these of the nodes.
    fn document(&self, epoch: Epoch, nodes: &[usize], contact: &str) -> String {
        let params = Params {
            min_delay: Duration::ZERO,
            mean_delay: Duration::ZERO,
            max_delay: Duration::ZERO,
            tick: Duration::from_millis(20),
            batch_min: 0,
            send_every: Duration::from_millis(100),
            hops: 2,
            demo: true,
            ..Params::default()
        };
        let us = Authority { name: contact.into(), identity: self.authority.public() };
        let contents = Contents {
            epoch,
            previous: None,
            params,
            threshold: 1,
            authorities: BTreeMap::from([(self.authority.node_id(), us)]),
            nodes: nodes.iter().map(|n| (self.nodes[*n].descriptor().id(), self.nodes[*n].clone())).collect(),
        };
        let mut document = Candidate::new(&contents).unwrap();
        assert!(document.sign(&self.authority));
        document.to_text()
    }

    fn give(&self, node: usize, document: &str) {
        fs::write(self.home(node).join("spool/directory"), document).unwrap();
    }

    fn configure(&self, node: usize, more: &str) {
        let exit = "[exit]\ndeliver = \"maildir:mail\"\nfrom = \"Nobody <anonymous@exit.example>\"\n";
        let address = &self.nodes[node].descriptor().address;
        let text = format!(
            "[node]\nname = \"{}\"\nroles = [{}]\nonion = \"{address}\"\nlisten = \"{address}\"\nsockets = \".\"\n{}\
             [directory]\ntrust = [\"{}\"]\n[log]\ntarget = \"stderr\"\n[spool]\npath = \"spool\"\n{more}",
            NAMES[node],
            ["", "\"mix\"", "\"exit\"", "\"mix\""][node],
            ["", "", exit, ""][node],
            self.authority.node_id(),
        );
        fs::write(self.home(node).join("fog.toml"), text).unwrap();
    }

    /// Starts a node; what it says goes to `node.log` in its home.
    fn start(&mut self, node: usize) -> usize {
        let process = self.spawn(node, "node");
        self.says(node, "ready", 1);
        process
    }

    fn spawn(&mut self, node: usize, verb: &str) -> usize {
        let log = File::create(self.home(node).join(format!("{verb}.log"))).unwrap();
        let config = self.home(node).join("fog.toml");
        let mut fog = Command::new(env!("CARGO_BIN_EXE_fog"));
        fog.arg(verb).arg("--config").arg(config).stdin(Stdio::null()).stderr(log).env_remove("JOURNAL_STREAM");
        self.running.push(fog.spawn().unwrap());
        self.running.len() - 1
    }

    fn hang_up(&self, process: usize) {
        let pid = self.running[process].id().to_string();
        assert!(Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
    }

    /// Waits until the node has said this line so many times.
    fn says(&self, node: usize, line: &str, times: usize) {
        let (line, begin) = (format!("fog/node: {line}"), Instant::now());
        loop {
            let log = fs::read_to_string(self.home(node).join("node.log")).unwrap();
            if log.lines().filter(|said| *said == line).count() >= times {
                return;
            }
            assert!(begin.elapsed() < PATIENCE, "{} doesn't say `{line}` {times} times:\n{log}", NAMES[node]);
            sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for process in &mut self.running {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn status(home: &Path) -> Value {
    let mut stream = UnixStream::connect(home.join("control.sock")).unwrap();
    stream.write_all(b"status\n").unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap()
}

fn frame(from: &mut impl Read, length: impl FnOnce([u8; 4]) -> usize) -> Vec<u8> {
    let mut prefix = [0; 4];
    from.read_exact(&mut prefix).unwrap();
    let mut body = vec![0; length(prefix)];
    from.read_exact(&mut body).unwrap();
    body
}

fn hand_in(home: &Path, mail: &[u8]) -> Outcome {
    let request = Request {
        source: Source::Person,
        dedup: None,
        sender: None,
        recipients: vec![Address::parse("alice@example.com.fog").unwrap()],
        wish: Wish::default(),
        mail: mail.to_vec(),
    };
    let mut stream = UnixStream::connect(home.join("submit.sock")).unwrap();
    stream.write_all(&request.encode().unwrap()).unwrap();
    let body = frame(&mut stream, |prefix| Reply::body_len(prefix).unwrap());
    Reply::decode(&body).unwrap().outcomes.remove(0)
}

#[test]
fn a_changed_configuration_is_taken_and_a_wrong_one_is_not() {
    let mut network = Network::new();
    network.configure(0, "");
    network.give(0, &network.document(network.epoch, &[0, 1, 2], "us"));
    let node = network.start(0);
    assert!(matches!(hand_in(&network.home(0), LETTER), Outcome::Accepted(..)));

    network.configure(0, "max = \"1M\"\n[tor]\nsocks = \"127.0.0.1:9\"\n");
    network.hang_up(node);
    network.says(0, "reload", 1);
    // A mail and its fragment, and no more room: each piece takes 64 K of the megabyte.
    let begin = Instant::now();
    while !matches!(hand_in(&network.home(0), LETTER), Outcome::Temporary(_)) {
        assert!(begin.elapsed() < PATIENCE, "spool.max is not taken");
    }

    let moved = fs::read_to_string(network.home(0).join("fog.toml"))
        .unwrap()
        .replace("listen = \"127.0.0.1", "listen = \"127.0.0.2");
    fs::write(network.home(0).join("fog.toml"), moved.replace("[spool]", "[entry]\nmax-size = \"9K\"\n[spool]"))
        .unwrap();
    network.hang_up(node);
    network.says(0, "reload: waiting=node.listen+entry.max-size", 1);

    let config = network.home(0).join("fog.toml");
    fs::write(&config, format!("{}nmae = \"entry\"\n", fs::read_to_string(&config).unwrap())).unwrap();
    let line = fs::read_to_string(&config).unwrap().lines().count();
    network.hang_up(node);
    network.says(0, &format!("config-rejected: at={}:{line}:1", config.display()), 1);
    fs::remove_file(&config).unwrap();
    network.hang_up(node);
    network.says(0, &format!("config-rejected: at={}", config.display()), 1);
    assert_eq!(status(&network.home(0))["name"], "entry", "it lives on");
}

#[test]
fn who_asks_not_to_be_written_to_is_not_after_the_next_reload() {
    let mut network = Network::new();
    network.configure(0, "");
    network.give(0, &network.document(network.epoch, &[0, 1, 2], "us"));
    let node = network.start(0);
    let config = network.home(0).join("fog.toml");
    let mut block = Command::new(env!("CARGO_BIN_EXE_fog"));
    block.arg("-c").arg(&config).args(["-q", "block", "add"]).stdin(Stdio::piped());
    let mut block = block.spawn().unwrap();
    block.stdin.take().unwrap().write_all(b"alice@example.com\n").unwrap();
    assert!(block.wait().unwrap().success());
    assert!(matches!(hand_in(&network.home(0), LETTER), Outcome::Accepted(..)), "the node goes by what it has read");
    network.hang_up(node);
    network.says(0, "reload", 1);
    let begin = Instant::now();
    while hand_in(&network.home(0), LETTER) != Outcome::Permanent(Reason::Blocked) {
        assert!(begin.elapsed() < PATIENCE, "the list is not taken");
    }

    // A list that can't be read is not gone by; the one before is.
    let list = network.home(0).join("block");
    fs::write(&list, "alice@example.com\n").unwrap();
    network.hang_up(node);
    network.says(0, &format!("config-rejected: at={}", list.display()), 1);
    assert_eq!(hand_in(&network.home(0), LETTER), Outcome::Permanent(Reason::Blocked));

    // Nor is one that is gone, or that was never there: nobody has asked to be written to again.
    fs::remove_file(&list).unwrap();
    network.hang_up(node);
    network.says(0, &format!("config-rejected: at={}", list.display()), 2);
    network.configure(0, "[exit]\nblock = \"blokc\"\n");
    network.hang_up(node);
    network.says(0, &format!("config-rejected: at={}", network.home(0).join("blokc").display()), 1);
    assert_eq!(hand_in(&network.home(0), LETTER), Outcome::Permanent(Reason::Blocked));
}

#[test]
fn a_node_whose_list_of_who_is_not_to_be_written_to_is_not_there_does_not_start() {
    let mut network = Network::new();
    network.configure(0, "[exit]\nblock = \"blokc\"\n");
    network.give(0, &network.document(network.epoch, &[0, 1, 2], "us"));
    let (node, begin) = (network.spawn(0, "node"), Instant::now());
    let ended = loop {
        match network.running[node].try_wait().unwrap() {
            Some(ended) => break ended,
            None => assert!(begin.elapsed() < PATIENCE, "it has started"),
        }
        sleep(Duration::from_millis(20));
    };
    assert_eq!(ended.code(), Some(78));
    let said = fs::read_to_string(network.home(0).join("node.log")).unwrap();
    assert!(said.contains("blokc") && said.contains("exit.block names it"), "{said}");
}

#[test]
fn a_document_that_is_no_better_than_the_one_in_use_is_not_taken() {
    let mut network = Network::new();
    network.configure(0, "");
    let before = Epoch(network.epoch.0 - 1);
    network.give(0, &network.document(before, &[0, 1], "us"));
    let node = network.start(0);
    let good = network.document(before, &[0, 1], "us");
    for (document, line) in [
        ("?".into(), "directory-rejected: why=malformed"),
        (good.split("\nsignature ").next().unwrap().to_owned() + "\n", "directory-rejected: why=signatures"),
        (network.document(Epoch(before.0 - 1), &[0, 1], "us"), "directory-rejected: why=rollback"),
        (network.document(Epoch(network.epoch.0 + 1), &[0, 1], "us"), "directory-rejected: why=future"),
        (network.document(before, &[0, 1], "them"), "alarm: what=fork"),
        (network.document(network.epoch, &[1, 2], "us"), "directory-rejected: why=not-member"),
    ] {
        network.give(0, &document);
        network.hang_up(node);
        network.says(0, line, 1);
        assert_eq!(status(&network.home(0))["directory"]["epoch"], before.0, "{line}");
    }
    fs::remove_file(network.home(0).join("spool/directory")).unwrap();
    network.hang_up(node);
    network.says(0, "directory-rejected: why=unreadable", 1);
    // The one in use, again: nothing to say.
    network.give(0, &good);
    network.hang_up(node);
    network.says(0, "reload", 8);
    network.says(0, &format!("directory: epoch={}", before.0), 1);
}

#[test]
fn a_node_that_is_an_onion_reaches_others_through_tor_alone() {
    const ONION: &str = "pg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd.onion:9999";
    let mut network = Network::new();
    let tor = TcpListener::bind("127.0.0.1:0").unwrap();
    // The mix listens where the document says, and would be reached there at once.
    let mix = TcpListener::bind(network.nodes[1].descriptor().address.to_string()).unwrap();
    mix.set_nonblocking(true).unwrap();
    network.give(0, &network.document(network.epoch, &[0, 1, 2], "us"));
    network.configure(0, &format!("[tor]\nsocks = \"{}\"\n", tor.local_addr().unwrap()));
    let config = network.home(0).join("fog.toml");
    let own = format!("onion = \"{}\"", network.nodes[0].descriptor().address);
    let text = fs::read_to_string(&config).unwrap().replace(&own, &format!("onion = \"{ONION}\""));
    fs::write(&config, text).unwrap();
    network.start(0);
    assert!(matches!(hand_in(&network.home(0), LETTER), Outcome::Accepted(..)));
    tor.set_nonblocking(true).unwrap();
    let begin = Instant::now();
    let mut asked = loop {
        match tor.accept() {
            Ok((asked, _)) => break asked,
            Err(_) => assert!(begin.elapsed() < PATIENCE, "Tor is not asked"),
        }
        sleep(Duration::from_millis(20));
    };
    asked.set_nonblocking(false).unwrap();
    let mut greeting = [0; 2];
    asked.read_exact(&mut greeting).unwrap();
    assert_eq!(greeting[0], 5, "SOCKS");
    assert_eq!(mix.accept().map(|_| ()).map_err(|error| error.kind()), Err(ErrorKind::WouldBlock));
}

#[test]
fn mail_flows_to_a_node_that_a_new_document_adds() {
    let mut network = Network::new();
    let before = network.document(Epoch(network.epoch.0 - 1), &[0, 1], "us");
    let now = network.document(network.epoch, &[0, 1, 2, 3], "us");
    for node in 0..4 {
        network.configure(node, "");
        network.give(node, if node >= 2 { &now } else { &before });
    }
    let processes = [0, 1, 2, 3].map(|node| network.start(node));
    let (entry, exit) = (network.home(0), network.home(2));
    assert!(!matches!(hand_in(&entry, LETTER), Outcome::Accepted(..)), "there is no exit yet");
    assert_eq!(status(&entry)["links"]["known"], 1);

    for node in [0, 1] {
        network.give(node, &now);
        network.hang_up(processes[node]);
        network.says(node, &format!("directory: epoch={}", network.epoch.0), 1);
    }
    let mut process = UnixStream::connect(exit.join("exit.sock")).unwrap();
    process.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(matches!(hand_in(&entry, LETTER), Outcome::Accepted(..)));
    let body = frame(&mut process, |prefix| Deliver::body_len(prefix, MAX_MAIL).unwrap());
    let mail = String::from_utf8(Deliver::decode(&body, MAX_MAIL).unwrap().mail).unwrap();
    assert!(mail.contains("At five."), "{mail}");
    let status = status(&entry);
    assert_eq!((&status["links"]["known"], &status["directory"]["epoch"]), (&3.into(), &network.epoch.0.into()));
}

/// The way back needs a mix more than the way there. What nobody would miss is not sent, but where the operator or the
/// mail says that it need not be missed.
#[test]
fn where_no_receipt_could_come_back_mail_waits_unless_it_does_without() {
    let mut network = Network::new();
    let document = network.document(network.epoch, &[0, 1, 2], "us");
    for node in 0..3 {
        network.configure(node, "");
        network.give(node, &document);
    }
    let node = [0, 1, 2].map(|node| network.start(node))[0];
    let (entry, exit) = (network.home(0), network.home(2));
    network.says(0, "no-way-back", 1);
    let said = status(&entry);
    assert_eq!((&said["can_send"], &said["warnings"]), (&false.into(), &serde_json::json!(["no-way-back"])));
    let fog = |verb: &[&str]| {
        let mut fog = Command::new(env!("CARGO_BIN_EXE_fog"));
        let said = fog.args(verb).arg("--config").arg(entry.join("fog.toml")).output().unwrap();
        String::from_utf8(said.stdout).unwrap()
    };
    let checked = fog(&["check", "--offline"]);
    assert!(checked.contains("3 nodes are not enough for receipts") && checked.contains("entry.receipts"), "{checked}");
    let nagios = fog(&["status", "--nagios"]);
    assert!(nagios.starts_with("FOG CRITICAL - no-way-back; "), "{nagios}");
    assert!(
        fog(&["route", "alice@example.com"]).contains("no: there are not enough nodes for a receipt; it would wait")
    );

    let mut process = UnixStream::connect(exit.join("exit.sock")).unwrap();
    process.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut next = || {
        let body = frame(&mut process, |prefix| Deliver::body_len(prefix, MAX_MAIL).unwrap());
        String::from_utf8(Deliver::decode(&body, MAX_MAIL).unwrap().mail).unwrap()
    };
    assert!(matches!(hand_in(&entry, b"Subject: it waits\r\n\r\nAt five.\r\n"), Outcome::Accepted(..)));
    let without = b"Subject: it goes\r\nX-Fog-Receipt: no\r\n\r\nAt five.\r\n";
    assert!(matches!(hand_in(&entry, without), Outcome::Accepted(..)));
    assert!(next().contains("it goes"));
    let chained = |header: &str| {
        let mail = format!("{header}Subject: along a chain\n\nAt five.\n");
        let mut fog = Command::new(env!("CARGO_BIN_EXE_fog"));
        fog.args(["send", "-l", "mix,exit", "alice@example.com"]).arg("--config").arg(entry.join("fog.toml"));
        let mut fog = fog.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        fog.stdin.take().unwrap().write_all(mail.as_bytes()).unwrap();
        let said = fog.wait_with_output().unwrap();
        (said.status.code().unwrap(), String::from_utf8(said.stderr).unwrap())
    };
    let (code, said) = chained("");
    assert!(code == 64 && said.contains("no path of the network can go along the chain"), "{code}: {said}");
    assert_eq!(chained("X-Fog-Receipt: no\n").0, 0);
    assert!(next().contains("along a chain"));

    let config = entry.join("fog.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{text}[entry]\nreceipts = \"no\"\n")).unwrap();
    network.hang_up(node);
    network.says(0, "reload", 1);
    let said = status(&entry);
    assert_eq!((&said["can_send"], &said["warnings"]), (&true.into(), &serde_json::json!([])));
    assert!(matches!(hand_in(&entry, b"Subject: it goes, too\r\n\r\nAt five.\r\n"), Outcome::Accepted(..)));
    assert!(next().contains("it goes, too"));
    let queue = fog(&["queue", "list"]);
    assert!(queue.lines().filter(|line| line.contains("waiting")).count() == 1, "{queue}");
}

#[test]
fn an_exit_takes_its_new_target_and_keeps_the_old_one_when_the_configuration_is_wrong() {
    let mut network = Network::new();
    let document = network.document(network.epoch, &[0, 1, 2, 3], "us");
    for node in 0..4 {
        network.configure(node, "");
        network.give(node, &document);
        network.start(node);
    }
    let process = network.spawn(2, "exit");
    let (entry, home) = (network.home(0), network.home(2));
    let comes_to = |maildir: &str, count: usize| {
        let (new, begin) = (home.join(maildir).join("new"), Instant::now());
        while fs::read_dir(&new).map_or(0, Iterator::count) < count {
            assert!(begin.elapsed() < PATIENCE, "nothing comes to {maildir}");
            sleep(Duration::from_millis(20));
        }
    };
    let config = home.join("fog.toml");
    let log = || fs::read_to_string(home.join("exit.log")).unwrap();
    let said = |line: &str| log().lines().filter(|said| *said == line).count();
    assert!(matches!(hand_in(&entry, LETTER), Outcome::Accepted(..)));
    comes_to("mail", 1);

    let good = fs::read_to_string(&config).unwrap();
    let hang_up_until = |line: &str| {
        let before = said(line);
        network.hang_up(process);
        let begin = Instant::now();
        while said(line) == before {
            assert!(begin.elapsed() < PATIENCE, "no `{line}`:\n{}", log());
            sleep(Duration::from_millis(20));
        }
    };
    fs::write(&config, good.replace("maildir:mail", "mail")).unwrap();
    hang_up_until(&format!("fog/exit: config-rejected: at={}:8:11", config.display()));
    assert!(matches!(hand_in(&entry, LETTER), Outcome::Accepted(..)));
    comes_to("mail", 2);

    let other = good.replace("maildir:mail", "maildir:other").replace("sockets = \".\"", "sockets = \"..\"");
    fs::write(&config, format!("{other}[entry]\nsuffix = \"anon\"\n")).unwrap();
    // What waits goes on waiting, and is said each time.
    for _ in 0..2 {
        hang_up_until("fog/exit: reload: waiting=node.sockets+entry.suffix");
    }
    assert!(matches!(hand_in(&entry, LETTER), Outcome::Accepted(..)));
    comes_to("other", 1);

    // An exit that is to be none goes on until it is stopped, or mail that is on its way to it would wait for nobody.
    fs::write(&config, good.replace("roles = [\"exit\"]", "roles = [\"mix\"]")).unwrap();
    hang_up_until("fog/exit: reload: waiting=node.roles");
    assert!(matches!(hand_in(&entry, LETTER), Outcome::Accepted(..)));
    comes_to("other", 2);
}
