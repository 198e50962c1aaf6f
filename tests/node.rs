//! Whole nodes, with their sockets, threads and disks: started, used, refused and stopped.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test stops at the first surprise")]
#![allow(clippy::disallowed_methods, reason = "real nodes have a real clock")]

use fog::config::Config;
use fog::delivery::{self, Deliver, Disposition};
use fog::directory::{Authority, Candidate, Contents, IdentityKey, Params};
use fog::mail::address::Address;
use fog::node::{self, trouble::Trouble};
use fog::secret::Secret;
use fog::submit::{Outcome, Reply, Request, Source, Wish};
use fog::sys::clock;
use fog::sys::exit_code::ExitCode;
use fog::sys::key_file::NodeKey;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

#[path = "common/member.rs"]
mod member;

const NAMES: [&str; 4] = ["entry", "mix", "exit", "mix2"];
const MAX_MAIL: usize = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(60);

/// A network of an entry, two mixes and an exit, on loopback, as quick as it may be.
struct Network {
    dir: TempDir,
    configs: [String; 4],
}

impl Network {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
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
        let epoch = clock::now().epoch(params.epoch);
        let authority = IdentityKey::from_seed(&Secret::filled(|seed| seed.fill(9)));
        let fingerprint = authority.node_id();
        let nodes = NAMES.map(|name| member::signed(&dir.path().join(name), name, epoch));
        let listens = nodes.clone().map(|node| node.descriptor().address.to_string());
        let contents = Contents {
            epoch,
            previous: None,
            params,
            threshold: 1,
            authorities: BTreeMap::from([(fingerprint, Authority { name: "us".into(), identity: authority.public() })]),
            nodes: nodes.into_iter().map(|node| (node.descriptor().id(), node)).collect(),
        };
        let mut document = Candidate::new(&contents).unwrap();
        assert!(document.sign(&authority));
        for name in NAMES {
            fs::write(dir.path().join(name).join("spool/directory"), document.to_text()).unwrap();
        }
        let configs = [0, 1, 2, 3].map(|n| {
            let exit = "[exit]\ndeliver = \"smtp:127.0.0.1:25\"\nfrom = \"Nobody <anonymous@exit.example>\"\n";
            format!(
                "[node]\nname = \"{}\"\nroles = [{}]\nonion = \"{listen}\"\nlisten = \"{listen}\"\nsockets = \".\"\n{}\
                 [directory]\ntrust = [\"{fingerprint}\"]\n[spool]\npath = \"spool\"\n",
                NAMES[n],
                ["", "\"mix\"", "\"exit\"", "\"mix\""][n],
                ["", "", exit, ""][n],
                listen = listens[n],
            )
        });
        Self { dir, configs }
    }

    fn home(&self, node: usize) -> PathBuf {
        self.dir.path().join(NAMES[node])
    }

    fn config(&self, node: usize) -> Config {
        Config::parse(&[("fog.toml".into(), self.configs[node].clone())], &[], &self.home(node)).unwrap()
    }

    fn start(&self, node: usize) -> thread::JoinHandle<Result<(), Trouble>> {
        let config = self.config(node);
        let (ready, when_ready) = mpsc::channel();
        let node = thread::spawn(move || node::run(&config, || Ok(config.clone()), || ready.send(()).unwrap()));
        if when_ready.recv().is_err() {
            panic!("{:?}", node.join().unwrap());
        }
        node
    }
}

fn ask(home: &Path, request: &str) -> BufReader<UnixStream> {
    let mut stream = UnixStream::connect(home.join("control.sock")).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    BufReader::new(stream)
}

fn line(from: &mut impl BufRead) -> Value {
    let mut line = String::new();
    from.read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap()
}

fn frame(from: &mut impl Read, length: impl FnOnce([u8; 4]) -> usize) -> Vec<u8> {
    let mut prefix = [0; 4];
    from.read_exact(&mut prefix).unwrap();
    let mut body = vec![0; length(prefix)];
    from.read_exact(&mut body).unwrap();
    body
}

fn hand_in(home: &Path, mail: &[u8]) -> Reply {
    let request = Request {
        source: Source::Person,
        dedup: None,
        sender: Some(Address::parse("carol@home.example").unwrap()),
        wish: Wish::default(),
        recipients: vec![Address::parse("alice@example.com.fog").unwrap()],
        mail: mail.into(),
    };
    let mut stream = UnixStream::connect(home.join("submit.sock")).unwrap();
    stream.write_all(&request.encode().unwrap()).unwrap();
    let body = frame(&mut stream, |prefix| Reply::body_len(prefix).unwrap());
    Reply::decode(&body).unwrap()
}

fn take(process: &mut UnixStream) -> Deliver {
    let body = frame(process, |prefix| Deliver::body_len(prefix, MAX_MAIL).unwrap());
    Deliver::decode(&body, MAX_MAIL).unwrap()
}

#[test]
fn a_letter_crosses_the_nodes_and_is_answered_for_and_they_stop_when_told() {
    let network = Network::new();
    let nodes = [0, 1, 2, 3].map(|node| network.start(node));
    let (entry, exit) = (network.home(0), network.home(2));

    let status = line(&mut ask(&entry, "status\n"));
    assert_eq!((&status["name"], &status["links"]["known"]), (&json!("entry"), &json!(3)));
    let mut witness = ask(&network.home(1), "witness\n");
    let mut process = UnixStream::connect(exit.join("exit.sock")).unwrap();

    let letter = b"From: Carol <carol@home.example>\r\nSubject: Tea\r\n\r\nAt five, by the old oak.\r\n";
    for _ in 0..3 {
        let outcomes = hand_in(&entry, letter).outcomes;
        assert!(matches!(outcomes[..], [Outcome::Accepted(..)]), "{outcomes:?}");
    }
    for _ in 0..3 {
        let got = take(&mut process);
        let mail = String::from_utf8(got.mail).unwrap();
        assert_eq!(got.recipient.to_string(), "alice@example.com");
        assert_eq!(got.envelope_from.unwrap().to_string(), "anonymous@exit.example");
        assert!(mail.contains("by the old oak") && !mail.to_lowercase().contains("carol"), "{mail}");
        let outcome = delivery::Outcome { id: got.id, disposition: Disposition::Delivered };
        process.write_all(&outcome.encode()).unwrap();
    }
    assert_eq!(line(&mut witness)["event"], "passed");
    let begin = Instant::now();
    while line(&mut ask(&entry, "queue list\n"))["mails"] != json!([]) {
        assert!(begin.elapsed() < PATIENCE, "no receipt has come back");
        thread::sleep(Duration::from_millis(20));
    }
    let up = line(&mut ask(&entry, "status\n"))["links"]["up"].as_u64().unwrap();
    assert!((1..=2).contains(&up), "it keeps two first hops: {up}");

    let second = node::run(&network.config(0), || Err(String::new()), || panic!("not two on one spool")).unwrap_err();
    assert_eq!((second.exit, second.what.as_str()), (ExitCode::Exists, "another node works on this spool"));

    assert!(Command::new("kill").arg(std::process::id().to_string()).status().unwrap().success());
    for node in nodes {
        node.join().unwrap().unwrap();
    }
    for socket in ["submit.sock", "control.sock"] {
        assert!(!entry.join(socket).exists(), "{socket}");
    }
    assert!(!exit.join("exit.sock").exists());
}

#[test]
fn a_node_that_cannot_start_says_what_to_do() {
    let network = Network::new();
    let home = network.home(0);
    let no_change: fn(&Path) = |_| {};
    type Change = fn(&Path);
    let cases: [(&str, &str, Change, ExitCode, &str, &str); 8] = [
        (
            "the node key can be read by others",
            "",
            |home| fs::set_permissions(home.join("node.key"), Permissions::from_mode(0o640)).unwrap(),
            ExitCode::Config,
            "node.key",
            "chmod 600",
        ),
        (
            "the node key is damaged",
            "",
            |home| {
                fs::write(home.join("node.key"), "?").unwrap();
                fs::set_permissions(home.join("node.key"), Permissions::from_mode(0o600)).unwrap();
            },
            ExitCode::Config,
            "node.key",
            "fog init",
        ),
        (
            "there is no node key",
            "",
            |home| fs::remove_file(home.join("node.key")).unwrap(),
            ExitCode::Config,
            "node.key",
            "fog init",
        ),
        (
            "this node is not in the directory document",
            "",
            |home| drop(NodeKey::create(&home.join("node.key"), &mut clock::rng()).unwrap()),
            ExitCode::Config,
            "node id ",
            "fog node-info",
        ),
        (
            "the directory document is not one to go by",
            "",
            |home| fs::write(home.join("spool/directory"), "?").unwrap(),
            ExitCode::Config,
            "spool/directory",
            "a good one",
        ),
        (
            "there is no directory document, so no other node is known",
            "",
            |home| fs::remove_file(home.join("spool/directory")).unwrap(),
            ExitCode::Config,
            "spool/directory",
            "fog directory fetch",
        ),
        ("there is no spool", "spool.path=elsewhere", no_change, ExitCode::Config, "elsewhere", "fog init"),
        (
            "others can get at the spool",
            "",
            |home| fs::set_permissions(home.join("spool"), Permissions::from_mode(0o755)).unwrap(),
            ExitCode::Config,
            "spool",
            "chmod 700",
        ),
    ];
    for (what, set, change, exit, found, hint) in cases {
        change(&home);
        refused(&network, set, (what, exit, found, hint));
    }
}

#[test]
fn a_node_whose_sockets_are_taken_says_by_whom() {
    let network = Network::new();
    let home = network.home(0);
    let what = "a socket can't be opened";
    refused(&network, "node.sockets=nowhere", (what, ExitCode::Config, "nowhere/submit.sock", "mkdir"));
    let long = format!("node.sockets={}", "long".repeat(30));
    fs::create_dir(home.join("long".repeat(30))).unwrap();
    refused(&network, &long, (what, ExitCode::Config, "submit.sock", "107 bytes"));
    fs::write(home.join("submit.sock"), "a letter").unwrap();
    refused(&network, "", (what, ExitCode::Exists, "no socket", "move it away"));
    fs::remove_file(home.join("submit.sock")).unwrap();

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let listen = format!("node.listen={address}");
    refused(&network, &listen, ("links can't be listened for", ExitCode::Io, &address, "ss -ltnp"));
    assert!(!home.join("submit.sock").exists(), "what was opened before is closed again");
    refused(
        &network,
        "node.listen=203.0.113.1:7000",
        ("links can't be listened for", ExitCode::Io, "203.0.113.1:7000", "an address of this machine"),
    );
}

fn refused(network: &Network, set: &str, (what, exit, found, hint): (&str, ExitCode, &str, &str)) {
    let set: Vec<String> = Some(set.to_owned()).filter(|set| !set.is_empty()).into_iter().collect();
    let files = [("fog.toml".to_owned(), network.configs[0].clone())];
    let config = Config::parse(&files, &set, &network.home(0)).unwrap();
    let trouble = node::run(&config, || Err(String::new()), || panic!("it started: {what}")).unwrap_err();
    assert_eq!((trouble.what.as_str(), trouble.exit), (what, exit), "{trouble:?}");
    assert!(trouble.found.as_ref().is_some_and(|said| said.contains(found)), "{trouble:?}");
    assert!(trouble.hint.as_ref().is_some_and(|said| said.contains(hint)), "{trouble:?}");
}
