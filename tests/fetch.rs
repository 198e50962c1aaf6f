//! The directory document from node to node, with real processes: one that is new gets it and joins, one that runs renews
//! it by itself, and whatever a source says that is no newer document changes nothing.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test stops at the first surprise")]
#![allow(clippy::disallowed_methods, reason = "real processes have a deadline in real time")]

use fog::directory::{Authority, Candidate, Contents, IdentityKey, NodeAddress, Params, Signed, Source};
use fog::id::Epoch;
use fog::link::document::{Head, MAX_DOCUMENT, Opening, PIECE_LEN, pieces};
use fog::link::frame::Hello;
use fog::node::session;
use fog::secret::Secret;
use fog::sys::clock;
use fog::sys::key_file::NodeKey;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};

#[path = "common/member.rs"]
mod member;

const NAMES: [&str; 2] = ["entry", "mix"];
const ENTRY: usize = 0;
const MIX: usize = 1;
const PATIENCE: Duration = Duration::from_secs(120);

/// Two nodes, of which nobody has a document yet.
struct Network {
    dir: TempDir,
    nodes: [Signed; 2],
    authority: IdentityKey,
    params: Params,
    /// The running one when the test began.
    epoch: Epoch,
    running: Vec<Child>,
}

impl Network {
    fn new(epoch_length: Duration) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let params = Params {
            min_delay: Duration::ZERO,
            mean_delay: Duration::ZERO,
            max_delay: Duration::ZERO,
            tick: Duration::from_millis(20),
            batch_min: 0,
            send_every: Duration::from_millis(100),
            hops: 1,
            epoch: epoch_length,
            demo: true,
            ..Params::default()
        };
        let epoch = clock::now().epoch(epoch_length);
        let nodes = NAMES.map(|name| member::signed(&dir.path().join(name), name, epoch));
        Self { dir, nodes, authority: authority(9), params, epoch, running: Vec::new() }
    }

    fn home(&self, node: usize) -> PathBuf {
        self.dir.path().join(NAMES[node])
    }

    fn spool(&self, node: usize) -> PathBuf {
        self.home(node).join("spool/directory")
    }

    /// The document so many epochs before the one in which the test began.
    fn document(&self, age: u64, nodes: &[usize]) -> String {
        self.signed(Epoch(self.epoch.0 - age), nodes, &self.authority, "us")
    }

    fn signed(&self, epoch: Epoch, nodes: &[usize], authority: &IdentityKey, name: &str) -> String {
        let us = Authority { name: name.into(), identity: authority.public() };
        let contents = Contents {
            epoch,
            previous: None,
            params: self.params.clone(),
            threshold: 1,
            authorities: BTreeMap::from([(authority.node_id(), us)]),
            nodes: nodes.iter().map(|n| (self.nodes[*n].descriptor().id(), self.nodes[*n].clone())).collect(),
        };
        let mut document = Candidate::new(&contents).unwrap();
        assert!(document.sign(authority));
        document.to_text()
    }

    fn configure(&self, node: usize, directory: &str) {
        let address = &self.nodes[node].descriptor().address;
        let text = format!(
            "[node]\nname = \"{}\"\nroles = [{}]\nonion = \"{address}\"\nlisten = \"{address}\"\nsockets = \".\"\n\
             [spool]\npath = \"spool\"\n[directory]\ntrust = [\"{}\"]\n{directory}",
            NAMES[node],
            ["", "\"mix\""][node],
            self.authority.node_id(),
        );
        fs::write(self.home(node).join("fog.toml"), text).unwrap();
    }

    fn fog(&self, node: usize, arguments: &[&str]) -> Command {
        let mut fog = Command::new(env!("CARGO_BIN_EXE_fog"));
        fog.args(arguments).arg("--config").arg(self.home(node).join("fog.toml")).env_remove("JOURNAL_STREAM");
        fog.stdin(Stdio::null());
        fog
    }

    fn fetch(&self, arguments: &[&str]) -> Output {
        self.fog(ENTRY, &[&["directory", "fetch"][..], arguments].concat()).output().unwrap()
    }

    /// Starts a node; what it says goes to `log` in its home.
    fn start(&mut self, node: usize) {
        let log = File::create(self.home(node).join("log")).unwrap();
        let node_process = self.fog(node, &["node", "--set", "log.target=stderr"]).stderr(log).spawn().unwrap();
        self.running.push(node_process);
        self.says(node, "ready");
    }

    fn log(&self, node: usize) -> Vec<String> {
        let log = fs::read_to_string(self.home(node).join("log")).unwrap();
        log.lines().map(|line| line.strip_prefix("fog/node: ").unwrap().to_owned()).collect()
    }

    fn status(&self, node: usize) -> Value {
        let mut stream = UnixStream::connect(self.home(node).join("control.sock")).unwrap();
        stream.write_all(b"status\n").unwrap();
        let mut status = String::new();
        BufReader::new(stream).read_line(&mut status).unwrap();
        serde_json::from_str(&status).unwrap()
    }

    fn says(&self, node: usize, line: &str) {
        until(&format!("{} says `{line}`", NAMES[node]), || self.log(node).iter().any(|said| said == line));
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

fn authority(seed: u8) -> IdentityKey {
    IdentityKey::from_seed(&Secret::filled(|bytes| bytes.fill(seed)))
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < PATIENCE, "not in time: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// What a hostile source says to whoever asks it.
#[derive(Clone, Debug)]
enum Answer {
    /// This text, as an honest node would.
    Text(String),
    /// As much of it.
    CutOff(String, usize),
    /// The text, and then more and more.
    Endless(String),
    /// A document of this length; nothing follows.
    Announce(u32),
    /// Bytes that are no text.
    Binary,
    /// It is asked, and goes.
    Nothing,
}

/// A node of nobody's that answers as it is told.
struct Hostile {
    source: Source,
    answer: Arc<Mutex<Answer>>,
    /// How many have asked and been answered.
    asked: Arc<AtomicUsize>,
}

impl Hostile {
    fn start() -> Self {
        Self::start_as("127.0.0.1:0", [3; 32])
    }

    /// One with this link key.
    fn start_as(address: &str, secret: [u8; 32]) -> Self {
        let listener = std::net::TcpListener::bind(address).unwrap();
        let address = NodeAddress::parse(&listener.local_addr().unwrap().to_string()).unwrap();
        let link_key = x25519_dalek::PublicKey::from(&x25519_dalek::StaticSecret::from(secret)).to_bytes();
        let answer = Arc::new(Mutex::new(Answer::Nothing));
        let asked = Arc::<AtomicUsize>::default();
        let (says, count) = (Arc::clone(&answer), Arc::clone(&asked));
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                listener.set_nonblocking(true).unwrap();
                let listener = TcpListener::from_std(listener).unwrap();
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    let answer = says.lock().unwrap().clone();
                    give(stream, &secret, answer).await;
                    count.fetch_add(1, Ordering::SeqCst);
                }
            });
        });
        Self { source: Source { link_key, address }, answer, asked }
    }

    fn says(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
        self.asked.store(0, Ordering::SeqCst);
    }
}

/// Whoever has gone in the middle has heard enough.
async fn give(stream: TcpStream, secret: &[u8; 32], answer: Answer) {
    let Ok(caller) = session::respond(stream, &Secret::filled(|bytes| *bytes = *secret)).await else { return };
    assert_eq!(caller.opening, Opening::Document, "an asker says nothing of itself");
    let mut to = caller.listens();
    let head = |text: &str| Head::new(text.len(), Sha256::digest(text).into()).unwrap();
    let _ = match answer {
        Answer::Text(text) => {
            let _ = to.head(&head(&text)).await;
            for piece in pieces(&text) {
                let _ = to.piece(piece).await;
            }
            Ok(())
        }
        Answer::CutOff(text, length) => {
            let _ = to.head(&head(&text)).await;
            to.piece(&text.as_bytes()[..length]).await
        }
        Answer::Endless(text) => {
            let _ = to.head(&head(&text)).await;
            for piece in pieces(&text) {
                let _ = to.piece(piece).await;
            }
            while to.piece(&[b'x'; PIECE_LEN]).await.is_ok() {}
            Ok(())
        }
        Answer::Announce(length) => to.piece(&[&length.to_be_bytes()[..], &[7; 32]].concat()).await,
        Answer::Binary => {
            let _ = to.head(&Head::new(5, [7; 32]).unwrap()).await;
            to.piece(&[0xff; 5]).await
        }
        Answer::Nothing => Ok(()),
    };
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn a_new_node_fetches_the_document_and_joins() {
    let mut network = Network::new(Params::default().epoch);
    let document = network.document(0, &[ENTRY, MIX]);
    network.configure(MIX, "");
    network.configure(ENTRY, "");
    fs::write(network.spool(MIX), &document).unwrap();
    network.start(MIX);

    let out = network.fetch(&[]);
    assert_eq!(out.status.code(), Some(78), "nobody is known: {out:?}");
    assert!(text(&out.stderr).ends_with(" directory fetch --from KEY@HOST:PORT\n"), "{out:?}");
    let out = network.fetch(&["--from", "mix"]);
    assert_eq!(out.status.code(), Some(64), "it has no document that names it yet: {out:?}");

    let source = Source::of(network.nodes[MIX].descriptor()).to_string();
    let out = network.fetch(&["--json", "--from", &source]);
    assert_eq!(out.status.code(), Some(0), "{out:?}");
    let said: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!((&said["new"], &said["kept"], &said["has_this_node"]), (&true.into(), &true.into(), &true.into()));
    assert_eq!((&said["epoch"], &said["asked"][0]["error"]), (&network.epoch.0.into(), &Value::Null));
    assert_eq!(fs::read_to_string(network.spool(ENTRY)).unwrap(), document);
    network.start(ENTRY);
    assert_eq!(network.status(ENTRY)["links"]["known"], 1);

    // It has it now, and knows whom to ask: the others of the document, by name too.
    for arguments in [&[][..], &["--from", "mix"]] {
        let out = network.fetch(arguments);
        assert_eq!(out.status.code(), Some(0), "{out:?}");
        assert!(text(&out.stdout).starts_with("nobody who was asked has a newer one: epoch "), "{out:?}");
    }
    // A word of strangers is in nobody's log.
    assert_eq!(
        network.log(MIX)[..4],
        // Two nodes are a network for fetching, not for mail.
        ["start".to_owned(), format!("directory: epoch={}", network.epoch), "not-enough-nodes".into(), "ready".into()]
    );
    let wrong_key = Source { link_key: [7; 32], ..Source::of(network.nodes[MIX].descriptor()) };
    let out = network.fetch(&["--from", &wrong_key.to_string()]);
    assert!(out.status.code() == Some(75) && text(&out.stderr).contains("it gives no document"), "{out:?}");
}

#[test]
fn what_is_no_newer_document_is_refused_with_its_word_and_changes_nothing() {
    let network = Network::new(Params::default().epoch);
    let hostile = Hostile::start();
    let kept = network.document(1, &[ENTRY, MIX]);
    network.configure(ENTRY, &format!("sources = [\"{}\"]\n", hostile.source));
    fs::write(network.spool(ENTRY), &kept).unwrap();
    let good = network.document(0, &[ENTRY, MIX]);
    let (body, _) = good.split_once("\nsignature ").unwrap();
    let unsigned = format!("{body}\n");
    let tampered = good.replace("hops = 1", "hops = 2");
    let whole = Answer::Text;
    for (answer, code, words) in [
        (whole(network.document(2, &[ENTRY, MIX])), 1, "a rollback: it is of epoch"),
        (whole(network.signed(Epoch(network.epoch.0 - 1), &[ENTRY], &network.authority, "us")), 1, "a fork: another"),
        (whole(network.signed(Epoch(network.epoch.0 + 1), &[ENTRY], &network.authority, "us")), 1, "from the future"),
        (whole(network.document(3, &[ENTRY, MIX])), 1, "expired"),
        (whole(unsigned), 1, "too few signatures: 0 of the 1"),
        (whole(network.signed(network.epoch, &[ENTRY], &authority(8), "us")), 1, "signed by an unknown authority"),
        (whole(tampered), 1, "the signature of authority"),
        (whole("?".repeat(3 * PIECE_LEN)), 1, "line 1"),
        (Answer::Endless("?".repeat(PIECE_LEN)), 1, "line 1"),
        (Answer::CutOff(good.clone(), good.len() - 1), 75, "the document breaks off"),
        (Answer::CutOff(good.clone(), 0), 75, "the document breaks off"),
        (Answer::Announce(0), 75, "empty or longer than 32 MiB"),
        (Answer::Announce(u32::try_from(MAX_DOCUMENT).unwrap() + 1), 75, "empty or longer than 32 MiB"),
        (Answer::Announce(u32::MAX), 75, "empty or longer than 32 MiB"),
        (Answer::Announce(5), 75, "the document breaks off"),
        (Answer::Binary, 75, "what it gives is no text"),
        (Answer::Nothing, 75, "it gives no document"),
    ] {
        hostile.says(answer);
        let out = network.fetch(&[]);
        let said = text(&out.stderr);
        assert!(out.status.code() == Some(code) && said.contains(words), "wanted {code}, {words}: {said}");
        assert!(said.contains("\n  ->  "), "and what to do: {said}");
        assert_eq!(fs::read_to_string(network.spool(ENTRY)).unwrap(), kept, "{words}");
    }
    hostile.says(Answer::Endless(good.clone()));
    assert_eq!(network.fetch(&[]).status.code(), Some(0), "of what never ends, the document is taken");
    assert_eq!(fs::read_to_string(network.spool(ENTRY)).unwrap(), good);
    assert_eq!(fs::read_to_string(network.spool(ENTRY).with_extension("previous")).unwrap(), kept);
}

#[test]
fn a_node_that_runs_renews_its_document_by_itself_and_keeps_it() {
    // The shortest there are, so that the last epoch asks every second or so.
    let mut network = Network::new(Duration::from_secs(60));
    let (old, new) = (network.document(2, &[ENTRY, MIX]), network.document(0, &[ENTRY, MIX]));
    for (node, document) in [(MIX, &new), (ENTRY, &old)] {
        network.configure(node, "");
        fs::write(network.spool(node), document).unwrap();
        network.start(node);
    }
    network.says(ENTRY, &format!("directory: epoch={}", network.epoch));
    until("it is kept", || fs::read_to_string(network.spool(ENTRY)).unwrap() == new);
    assert_eq!(fs::read_to_string(network.spool(ENTRY).with_extension("previous")).unwrap(), old);
}

#[test]
fn a_source_that_lags_behind_is_no_news() {
    until("an epoch has begun", || clock::now().as_secs() % 60 < 20);
    let mut network = Network::new(Duration::from_secs(60));
    let hostile = Hostile::start();
    network.configure(ENTRY, &format!("sources = [\"{}\"]\n", hostile.source));
    let kept = network.document(1, &[ENTRY, MIX]);
    fs::write(network.spool(ENTRY), &kept).unwrap();
    hostile.says(Answer::Text(network.document(2, &[ENTRY, MIX])));
    network.start(ENTRY);
    // When it asks again, it is done with the first.
    until("it has asked twice", || hostile.asked.load(Ordering::SeqCst) >= 2);
    let log = network.log(ENTRY);
    assert!(log.iter().all(|said| !said.contains("rollback")), "{log:#?}");
    assert_eq!(fs::read_to_string(network.spool(ENTRY)).unwrap(), kept);
}

#[test]
fn whatever_sources_say_a_node_that_runs_keeps_its_document_and_tells_each_fault_once() {
    // With time for the fork, before all documents of its epoch are over.
    until("an epoch has begun", || clock::now().as_secs() % 60 < 20);
    let mut network = Network::new(Duration::from_secs(60));
    let hostile = Hostile::start();
    let (old, new) = (network.document(2, &[ENTRY, MIX]), network.document(0, &[ENTRY, MIX]));
    network.configure(ENTRY, &format!("sources = [\"{}\"]\n", hostile.source));
    fs::write(network.spool(ENTRY), &old).unwrap();
    network.start(ENTRY);
    let (mut told, before) = (Vec::new(), Epoch(network.epoch.0 - 2));
    for (answer, line) in [
        (Answer::Text(network.signed(before, &[ENTRY], &network.authority, "us")), Some("alarm: what=fork")),
        (Answer::Text(network.document(3, &[ENTRY, MIX])), Some("directory-rejected: why=expired")),
        (Answer::Nothing, None),
        (Answer::CutOff(new, 9), None),
        (Answer::Text(network.document(0, &[MIX])), Some("directory-rejected: why=not-member")),
        (Answer::Text("?".into()), Some("directory-rejected: why=malformed")),
    ] {
        hostile.says(answer);
        // The first may have been under way already.
        until("it has asked often", || hostile.asked.load(Ordering::SeqCst) >= 3);
        if let Some(line) = line {
            network.says(ENTRY, line);
            told.push(line);
        }
    }
    network.says(ENTRY, &format!("directory-stale: epoch={before}"));
    let log = network.log(ENTRY);
    for line in told {
        assert_eq!(log.iter().filter(|said| *said == line).count(), 1, "{line}: {log:#?}");
    }
    let stale = log.iter().filter(|said| said.starts_with("directory-stale")).count();
    assert!(stale <= 4, "{log:#?}");
    // The node's own keys are short-lived here.
    let keys = log.iter().filter(|said| said.starts_with("key-")).count();
    assert_eq!(log.len(), 4 + 4 + stale + keys, "no other word: {log:#?}");
    assert_eq!(fs::read_to_string(network.spool(ENTRY)).unwrap(), old);

    hostile.says(Answer::Text(network.signed(
        clock::now().epoch(network.params.epoch),
        &[ENTRY],
        &network.authority,
        "us",
    )));
    until("it takes a good one", || fs::read_to_string(network.spool(ENTRY)).unwrap() != old);
}

/// Attack 20: two documents for one epoch, both signed, and each neighbour is shown another one. They tell each other in the
/// handshake by which they go.
#[test]
fn attack_20_a_neighbour_that_goes_by_another_document_of_the_epoch_raises_an_alarm_and_nothing_is_sent() {
    // With time for what is to come before the next epoch.
    until("an epoch has begun", || clock::now().as_secs() % 60 < 30);
    let mut network = Network::new(Duration::from_secs(60));
    network.configure(MIX, "");
    fs::write(network.spool(MIX), network.document(0, &[ENTRY, MIX])).unwrap();
    let other = network.signed(network.epoch, &[ENTRY, MIX], &network.authority, "them");
    let (mix, entry) = (network.nodes[MIX].descriptor().clone(), network.nodes[ENTRY].descriptor().clone());
    let key = NodeKey::read(&network.home(ENTRY).join("node.key")).unwrap();
    let neighbour = Hostile::start_as(&entry.address.to_string(), *key.link.expose());
    neighbour.says(Answer::Text(other.clone()));
    network.start(MIX);
    let is_warned =
        |network: &Network| network.status(MIX)["warnings"].as_array().unwrap().iter().any(|warning| warning == "fork");
    assert!(!is_warned(&network));

    let hash = Some(Candidate::parse(&other).unwrap().hash());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = TcpStream::connect(mix.address.to_string()).await.unwrap();
        let hello = Hello { now: clock::now(), document: hash };
        let (_, said) = session::initiate(stream, &key.link, &mix.link_key, &hello).await.unwrap();
        assert_ne!(said.document, hash, "it goes by the other one, and lets us in");
    });
    network.says(MIX, "alarm: what=fork");
    let running = clock::now().epoch(Duration::from_secs(60));
    assert_eq!(running, network.epoch, "it was met with when a newer one was looked for, and not before");
    until("it is kept", || {
        fs::read_to_string(network.spool(MIX).with_extension("other")).is_ok_and(|kept| kept == other)
    });
    assert!(is_warned(&network) && network.status(MIX)["can_send"] == false);

    // A restart makes it no better.
    let mut process = network.running.pop().unwrap();
    process.kill().unwrap();
    process.wait().unwrap();
    network.start(MIX);
    assert!(is_warned(&network));
}
