//! Authorities that agree over links, with real processes: a network of four of which one lies, founded, joined and run with
//! the verbs an operator would type.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test stops at the first surprise")]
#![allow(clippy::disallowed_methods, reason = "real processes have a deadline in real time")]
#![allow(clippy::print_stderr, reason = "what the nodes of a failed test have said")]

use fog::directory::{Agreement, Candidate, Contents, IdentityKey, Signed};
use fog::link::document::{Head, Opening, pieces};
use fog::node::session;
use fog::sys::clock;
use fog::sys::key_file::{self, NodeKey};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};

const PATIENCE: Duration = Duration::from_secs(240);

/// Before the middle of an epoch, in which the authorities begin to agree, all has to stand.
const SET_UP: u64 = 22;

struct Network {
    dir: TempDir,
    /// Seconds.
    epoch: u64,
    running: Vec<(String, Child)>,
}

impl Network {
    fn new() -> Self {
        // Epochs are counted from 1970: of all lengths, one whose middle is near.
        let now = clock::now().as_secs();
        let left = |length: &u64| (length / 2).checked_sub(now % length);
        let epoch = (60..=200).find(|length| left(length).is_some_and(|left| (SET_UP..SET_UP + 4).contains(&left)));
        Self { dir: tempfile::tempdir().unwrap(), epoch: epoch.unwrap(), running: Vec::new() }
    }

    fn home(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn spool(&self, name: &str, file: &str) -> PathBuf {
        self.home(name).join("spool").join(file)
    }

    fn fog(&self, name: &str, arguments: &[&str]) -> Command {
        let mut fog = Command::new(env!("CARGO_BIN_EXE_fog"));
        fog.args(arguments).arg("--config").arg(self.home(name).join("fog.toml")).env_remove("JOURNAL_STREAM");
        fog.stdin(Stdio::null());
        fog
    }

    /// What a verb says, which must end well.
    fn says(&self, name: &str, arguments: &[&str]) -> String {
        ok(&self.fog(name, arguments).output().unwrap())
    }

    /// Sets a node up; gives the fingerprint of its authority, if it has one.
    fn init(&self, name: &str, roles: &str, more: &[&str]) -> String {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let mut init = Command::new(env!("CARGO_BIN_EXE_fog"));
        init.args(["init", "--json", "--name", name, "--roles", roles, "--onion", &address, "--dir"]);
        init.arg(self.home(name)).args(more).stdin(Stdio::null());
        let said: Value = serde_json::from_str(&ok(&init.output().unwrap())).unwrap();
        said["authority"].as_str().unwrap_or_default().to_owned()
    }

    /// What `fog node-info` prints, in a file.
    fn info(&self, name: &str) -> String {
        let path = self.dir.path().join(format!("{name}.info"));
        fs::write(&path, self.says(name, &["node-info"])).unwrap();
        path.display().to_string()
    }

    fn start(&mut self, name: &str) {
        let log = File::create(self.home(name).join("log")).unwrap();
        let node = self.fog(name, &["node", "--set", "log.target=stderr"]).stderr(log).spawn().unwrap();
        self.running.push((name.into(), node));
        self.tells(name, "ready");
    }

    fn stop(&mut self, name: &str) {
        let at = self.running.iter().position(|(running, _)| running == name).unwrap();
        let mut node = self.running.remove(at).1;
        node.kill().unwrap();
        node.wait().unwrap();
    }

    fn log(&self, name: &str) -> String {
        fs::read_to_string(self.home(name).join("log")).unwrap_or_default()
    }

    fn tells(&self, name: &str, line: &str) {
        let line = format!("fog/node: {line}");
        until(&format!("{name} says `{line}`"), || self.log(name).lines().any(|said| said == line));
    }

    fn status(&self, name: &str) -> Value {
        let mut stream = UnixStream::connect(self.home(name).join("run/control.sock")).unwrap();
        stream.write_all(b"status\n").unwrap();
        let mut status = String::new();
        BufReader::new(stream).read_line(&mut status).unwrap();
        serde_json::from_str(&status).unwrap()
    }

    fn document(&self, name: &str) -> Candidate {
        Candidate::parse(&fs::read_to_string(self.spool(name, "directory")).unwrap()).unwrap()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for (name, mut node) in self.running.drain(..).collect::<Vec<_>>() {
            let _ = node.kill();
            let _ = node.wait();
            if thread::panicking() {
                eprintln!("--- {name}\n{}", self.log(&name));
            }
        }
    }
}

fn ok(out: &Output) -> String {
    assert!(out.status.success(), "{}\n{}", out.status, String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout.clone()).unwrap()
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < PATIENCE, "not in time: {what}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// An authority that says something else to everybody who asks.
struct Liar {
    asked: Arc<AtomicUsize>,
}

impl Liar {
    fn start(network: &Network, name: &str, current: Contents, previous: [u8; 32]) -> Self {
        let home = network.home(name);
        let key = NodeKey::read(&home.join("node.key")).unwrap();
        let authority = key_file::read_authority(&home.join("authority.key")).unwrap();
        let address = current.nodes[&key.identity.node_id()].descriptor().address.to_string();
        let listener = std::net::TcpListener::bind(address).unwrap();
        let asked = Arc::<AtomicUsize>::default();
        let count = Arc::clone(&asked);
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                listener.set_nonblocking(true).unwrap();
                let listener = TcpListener::from_std(listener).unwrap();
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    let Ok(caller) = session::respond(stream, &key.link).await else { continue };
                    if caller.opening == Opening::Agreement {
                        let n = count.fetch_add(1, Ordering::SeqCst);
                        show(caller.listens(), &lie(n, &current, previous, &authority)).await;
                    }
                }
            });
        });
        Self { asked }
    }
}

/// A vote for the document as it is without one node, another one each time.
fn lie(n: usize, current: &Contents, previous: [u8; 32], authority: &IdentityKey) -> String {
    let mut draft = Contents { previous: Some(previous), ..current.clone() };
    let without = *draft.nodes.keys().nth(n % draft.nodes.len()).unwrap();
    draft.nodes.remove(&without);
    let next = clock::now().epoch(current.params.epoch).plus(1);
    let mut agreement = Agreement::new(next, current.clone());
    agreement.vote(&draft, authority);
    agreement.to_text(&authority.node_id())
}

/// Whoever goes in the middle has heard enough.
async fn show(mut to: session::Sender<TcpStream>, text: &str) {
    let head = Head::new(text.len(), Sha256::digest(text).into()).unwrap();
    let _ = to.head(&head).await;
    for piece in pieces(text) {
        let _ = to.piece(piece).await;
    }
}

/// Four authorities found it, three of them sign; gives their fingerprints, the liar's last, and the file of the document.
fn found(network: &Network) -> (Vec<String>, String) {
    let parameters = format!(
        "--new-network --set network.demo=true --set network.epoch={}s --set network.tick=1s --set network.send-every=20s --set network.batch-min=0 \
         --set network.min-delay=0s --set network.mean-delay=0s --set network.max-delay=0s --set network.hops=1",
        network.epoch
    );
    let first = network.init("north", "mix", &parameters.split(' ').collect::<Vec<_>>());
    let draft = network.spool("north", "directory.draft").display().to_string();
    let mut trust = vec![first.clone()];
    for name in ["east", "south", "liar"] {
        trust.push(network.init(name, "mix,authority", &["--join", &draft, "--trust", &first]));
    }
    let infos = ["east", "south", "liar"].map(|name| network.info(name));
    let said = network.says("north", &["directory", "add", "--authority", &infos[0], &infos[1], &infos[2]]);
    assert!(said.contains("It has 4 authorities, of which 3 have to sign."), "{said}");
    for name in ["north", "east", "south"] {
        // As the last lines said.
        let conf = network.home(name).join("fog.toml");
        let text = fs::read_to_string(&conf).unwrap();
        let list = trust.iter().map(|id| format!("\"{id}\"")).collect::<Vec<_>>().join(", ");
        let edited = text.lines().map(|line| match line.split_once(" = ") {
            Some(("trust", _)) => format!("trust = [{list}]\n"),
            Some(("threshold", _)) => "threshold = 3\nadmit = \"entries\"\n".into(),
            _ => format!("{line}\n"),
        });
        fs::write(&conf, edited.collect::<String>()).unwrap();
    }
    let said = network.says("north", &["directory", "sign"]);
    assert!(said.contains("has 1 signatures of the 3 it needs"), "{said}");
    network.says("east", &["directory", "sign", &draft]);
    let twice = network.spool("east", "directory.draft").display().to_string();
    let said = network.says("south", &["directory", "sign", &twice]);
    assert!(said.contains("is signed, with 4 nodes"), "{said}");
    let signed = network.spool("south", "directory").display().to_string();
    ["north", "east"]
        .into_iter()
        .for_each(|name| drop(network.says(name, &["directory", "verify", "--keep", &signed])));
    (trust, signed)
}

/// A stranger that only sends hands itself in; one that mixes waits for whom it may concern.
fn hand_in(network: &Network, trusted: &str, signed: &str) {
    for (name, roles, word) in [("entry", "", "in"), ("stranger", "mix", "waits")] {
        network.init(name, roles, &["--join", signed, "--trust", trusted]);
        let said: Value =
            serde_json::from_str(&network.says(name, &["--json", "directory", "offer", "--to", "north,east,south"]))
                .unwrap();
        let words: BTreeSet<_> =
            said["asked"].as_array().unwrap().iter().map(|one| one["verdict"].as_str().unwrap()).collect();
        assert_eq!(words, BTreeSet::from([word]), "{said}");
    }
    let shown = network.says("north", &["directory", "show"]);
    assert!(shown.contains("stranger"), "{shown}");
}

#[test]
fn four_authorities_of_which_one_lies_found_a_network_and_agree_on_its_next_document() {
    let mut network = Network::new();
    let (trust, signed) = found(&network);
    let now = network.document("south");
    let liar = Liar::start(&network, "liar", now.contents().clone(), now.hash());
    ["north", "east", "south"].into_iter().for_each(|name| network.start(name));

    hand_in(&network, &trust.join(","), &signed);
    // One is killed in the middle, and goes on where it was.
    until("votes go round", || {
        network.status("east")["authority"]["votes"].as_array().is_some_and(|votes| votes.len() >= 2)
    });
    network.stop("east");
    network.start("east");
    // In the document of the next epoch; of the one after it, where all this took too long.
    let three = ["north", "east", "south"];
    let documents = || three.map(|name| network.document(name));
    until("all have a document with the entry in it", || {
        documents()
            .iter()
            .all(|document| document.contents().nodes.values().any(|node| node.descriptor().name == "entry"))
    });
    let documents = documents();
    assert!(documents.iter().all(|document| document == &documents[0]), "the same bytes");
    let contents = documents[0].contents();
    assert!(contents.epoch > now.contents().epoch && contents.previous.is_some());
    network.tells("north", &format!("directory-signed: epoch={}", contents.epoch));
    network.tells("north", &format!("directory: epoch={}", contents.epoch));
    let names: Vec<_> = contents
        .nodes
        .values()
        .map(|node| node.descriptor().name.as_str())
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    assert_eq!(names, ["east", "entry", "liar", "north", "south"]);
    let signers: BTreeSet<_> = documents[0].signers().map(|id| id.to_string()).collect();
    assert_eq!(signers, trust[..3].iter().cloned().collect());
    // Each has made new keys known by itself.
    let last = |document: &Candidate, name: &str| {
        let mut nodes = document.contents().nodes.values().map(Signed::descriptor);
        nodes.find(|node| node.name == name).unwrap().mix_keys.last_key_value().unwrap().0.0
    };
    assert!(last(&documents[0], "north") >= last(&now, "north"));
    let status = network.status("north");
    assert_eq!(status["roles"]["authority"], true);
    assert_eq!(status["authority"]["authorities"], 4);
    assert!(liar.asked.load(Ordering::SeqCst) > 0, "the liar was asked");
}
