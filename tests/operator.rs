//! What an operator types at a running node of a real network: ping, stats, route, keys.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test stops at the first surprise")]
#![allow(clippy::disallowed_methods, clippy::print_stderr, reason = "real processes have a real clock and real logs")]

#[path = "common/member.rs"]
mod member;
#[path = "common/network.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod network;

use fog::directory::{Authority, Candidate, Contents, IdentityKey, Params};
use fog::secret::Secret;
use fog::store::mix_seeds;
use fog::sys::clock;
use network::{Network, Plan, free_ports};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);
const ME: usize = 0;

fn network(dir: &Path) -> Network {
    Network::start(dir, fs::metadata("/proc/self").unwrap().uid(), 4, "maildir:mail")
}

/// What is typed at the node with this configuration.
fn typed(network: &Network, config: &Path, args: &[&str]) -> Command {
    let mut fog = Command::new(network.fog());
    fog.args(args).arg("--config").arg(config).stdin(Stdio::null()).env_remove("JOURNAL_STREAM");
    fog
}

/// What the first node's operator types, and is told.
fn run(network: &Network, args: &[&str]) -> Output {
    typed(network, &network.config(ME), args).output().unwrap()
}

/// The same, where all is well.
fn told(network: &Network, args: &[&str]) -> String {
    done(args, run(network, args))
}

fn done(args: &[&str], out: Output) -> String {
    assert!(out.status.success(), "{args:?}: {out:?}");
    String::from_utf8(out.stdout).unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn objects(lines: &str) -> Vec<Value> {
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn names(rows: &[Value]) -> Vec<&str> {
    rows.iter().map(|row| row["name"].as_str().unwrap()).collect()
}

/// Waits until the loops of these nodes have come back by what `fog ping --show` says.
fn wait_for_loops(network: &Network, wanted: &[&str]) {
    let began = Instant::now();
    loop {
        let rows = objects(&told(network, &["ping", "--show", "--json"]));
        let back: Vec<_> = rows.iter().filter(|row| row["back"].as_u64() > Some(0)).cloned().collect();
        if wanted.iter().all(|name| names(&back).contains(name)) {
            assert!(rows.iter().all(|row| row["v"] == 1 && row["lost"] == 0), "{rows:?}");
            return;
        }
        assert!(began.elapsed() < PATIENCE, "no loop through {wanted:?} comes back: {rows:?}");
        thread::sleep(Duration::from_millis(100));
    }
}

/// What it says at its end on standard output and standard error.
fn ended(child: Child) -> (String, String) {
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success(), "{out:?}");
    (text(&out.stdout).into(), text(&out.stderr).into())
}

#[test]
fn loops_that_an_operator_asks_for_leave_come_back_and_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let network = network(dir.path());
    assert_eq!(told(&network, &["ping", "--show"]), "no loop was asked for\n");
    let out = run(&network, &["ping", "nobody"]);
    assert_eq!(out.status.code(), Some(64), "{out:?}");
    assert!(text(&out.stderr).contains("no other mix or exit of the document has that name"), "{out:?}");

    let ask = |args: &[&str]| {
        let mut fog = typed(&network, &network.config(ME), args);
        fog.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let one = ask(&["ping", "n3"]);
    wait_for_loops(&network, &["n3"]);
    let all = ask(&["ping", "--json"]);
    wait_for_loops(&network, &["n2", "n3", "n4"]);
    let rows = told(&network, &["ping", "--show"]);
    assert!(rows.starts_with("NODE ") && rows.lines().count() == 4, "{rows}");

    // They look again only every half a minute; then they are done.
    let (stdout, stderr) = ended(one);
    assert_eq!(stdout.lines().count(), 2, "it was asked for one node: {stdout}");
    assert!(stdout.lines().nth(1).unwrap().starts_with("n3 "), "{stdout}");
    assert!(stderr.starts_with("Loops leave in their ordinary slots, within about "), "{stderr}");
    let (stdout, _) = ended(all);
    assert_eq!(names(&objects(&stdout)).len(), 3, "{stdout}");
}

/// What `fog ping --link` tells of each node, and how it ends.
fn links(network: &Network, args: &[&str]) -> (i32, BTreeMap<String, String>) {
    let out = run(network, &[&["ping", "--link"], args].concat());
    let line = |line: &str| line.split_once(' ').map(|(name, says)| (name.to_owned(), says.trim().to_owned())).unwrap();
    (out.status.code().unwrap(), text(&out.stdout).lines().map(line).collect())
}

#[test]
fn whether_nodes_are_there_is_told_of_each_in_words_and_by_the_exit_code() {
    const WELL: &str = "answers, and proves its key";
    const GONE: &str = "nothing answers at its address";
    const OTHER: &str = "it gives no document: it has another link key, it is busy, or it is no node of this version";
    let dir = tempfile::tempdir().unwrap();
    let mut network = network(dir.path());
    let all =
        |says: [&str; 3]| ["n2", "n3", "n4"].map(str::to_owned).into_iter().zip(says.map(str::to_owned)).collect();
    assert_eq!(links(&network, &[]), (0, all([WELL; 3])), "not itself");
    assert_eq!(links(&network, &["n3"]), (0, [("n3".into(), WELL.into())].into()));
    let said = objects(&told(&network, &["ping", "--link", "--json", "n3"]));
    assert_eq!(said, [serde_json::json!({ "v": 1, "name": "n3", "answers": true, "why": null })]);
    assert_eq!(told(&network, &["--quiet", "ping", "--link"]), "");
    for name in ["nobody", "No-Name", "n1"] {
        let out = run(&network, &["ping", "--link", name]);
        assert_eq!((out.status.code(), text(&out.stdout)), (Some(64), ""), "{out:?}");
        assert!(text(&out.stderr).contains("no other node of the document has that name"), "{out:?}");
    }

    network.kill_node(2);
    assert_eq!(links(&network, &[]), (1, all([WELL, GONE, WELL])));
    assert_eq!(links(&network, &["n4"]).0, 0, "it was not asked of the one that is gone");
    let out = run(&network, &["ping", "--link", "--json"]);
    let said = objects(text(&out.stdout));
    assert_eq!((out.status.code(), names(&said).len()), (Some(1), 3), "{out:?}");
    let gone = said.iter().find(|row| row["name"] == "n3").unwrap();
    assert_eq!((&gone["answers"], &gone["why"]), (&false.into(), &GONE.into()));
    assert_eq!(run(&network, &["--quiet", "ping", "--link"]).status.code(), Some(1));

    // Somebody else at its address, who hasn't its key.
    let stats = objects(&told(&network, &["stats", "--json"])).remove(0);
    let row = stats["nodes"].as_array().unwrap().iter().find(|row| row["name"] == "n3").unwrap();
    let listener = TcpListener::bind(row["address"].as_str().unwrap()).unwrap();
    thread::spawn(move || listener.incoming().for_each(drop));
    assert_eq!(links(&network, &["n3"]), (1, [("n3".into(), OTHER.into())].into()));
    // It is asked by us, not by our node.
    network.kill_node(ME);
    assert_eq!(links(&network, &["n2"]).0, 0);
    assert_eq!(run(&network, &["ping"]).status.code(), Some(69), "the node is not running");
}

#[test]
fn stats_and_routes_are_told_in_every_form() {
    let dir = tempfile::tempdir().unwrap();
    let mut network = network(dir.path());
    let table = told(&network, &["stats"]);
    for name in ["n1", "n2", "n3", "n4"] {
        let row = table.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap();
        assert!(row.ends_with(" ????????????        ?"), "nothing is measured yet: {row}");
    }
    let json = objects(&told(&network, &["stats", "--json"])).remove(0);
    assert_eq!(names(json["nodes"].as_array().unwrap()), ["n1", "n2", "n3", "n4"]);
    assert_eq!((&json["nodes"][3]["exit"], &json["nodes"][3]["on_paths"]), (&true.into(), &true.into()));
    assert!(told(&network, &["stats", "--format", "mlist2"]).starts_with("Stats-Version: 2.0\nGenerated: "));
    let figures = told(&network, &["stats", "--format", "prometheus"]);
    for figure in ["fog_up 1", "fog_directory_nodes 4", "fog_can_send 1", "fog_node_on_paths{node=\"n4\"} 1"] {
        assert!(figures.lines().any(|line| line == figure), "{figure}: {figures}");
    }
    let pages = dir.path().join("pages");
    let html = ["stats", "--html", pages.to_str().unwrap()];
    let out = run(&network, &html);
    assert!(out.status.code() == Some(66) && text(&out.stderr).contains("mkdir "), "{out:?}");
    fs::create_dir(&pages).unwrap();
    assert_eq!(told(&network, &html), format!("{}\n", pages.join("index.html").display()));
    let file = |name: &str| fs::read_to_string(pages.join(name)).unwrap();
    assert!(file("index.html").contains("n3") && file("mlist2.txt").starts_with("Stats-Version: 2.0\n"));
    assert_eq!(objects(&file("nodes.json"))[0]["nodes"], json["nodes"]);
    assert_eq!(run(&network, &["stats", "--html"]).status.code(), Some(64), "nobody says where to");

    let route = told(&network, &["route", "alice@example.com.fog"]);
    assert!(route.starts_with("to            alice@example.com, by e-mail\n"), "{route}");
    assert!(route.contains("leaves at one exit, n4"), "{route}");
    let mut asked = typed(&network, &network.config(ME), &["route", "--json", "--size", "300K", "-"]);
    let mut asked = asked.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    asked.stdin.take().unwrap().write_all(b"alice@example.com\n").unwrap();
    let said = done(&["route", "-"], asked.wait_with_output().unwrap());
    assert_eq!(objects(&said)[0]["exits"], serde_json::json!(["n4"]), "{said}");
    assert_eq!(run(&network, &["route", "alice"]).status.code(), Some(67));

    network.kill_node(ME);
    let out = run(&network, &["route", "alice@example.com"]);
    assert_eq!(out.status.code(), Some(69), "{out:?}");
    assert!(text(&out.stdout).contains("the node is not running"), "{out:?}");
    assert!(told(&network, &["stats", "--format", "prometheus"]).contains("\nfog_up 0\n"));
}

/// A network whose epoch is so short that a loop is known to be lost after seconds.
fn impatient(dir: &Path) -> Network {
    let addresses = free_ports(4).into_iter().map(|port| format!("127.0.0.1:{port}"));
    let parameters = ["epoch=2m", "min-delay=100ms", "mean-delay=200ms", "max-delay=1s", "tick=100ms", "batch-min=0"];
    let plan = Plan {
        user: fs::metadata("/proc/self").unwrap().uid(),
        addresses: addresses.map(|address| (address.clone(), address)).collect(),
        exits: vec![(3, "maildir:mail".to_owned())],
        homes: Vec::new(),
        parameters: &[&parameters[..], &["send-every=100ms"]].concat(),
        sets: &["log.target=stderr"],
    };
    Network::start_as(dir, &plan)
}

const NONE_COMES_BACK: &str = "none comes back: somebody may hold back all packets but those that they follow";

/// Waits until `fog check` says that no loop comes back, or doesn't say it any more; gives all that it says.
fn checked(network: &Network, none_comes_back: bool) -> String {
    let began = Instant::now();
    loop {
        let said = run(network, &["check", "--offline", "--postfix", "/nonexistent"]);
        let said = text(&said.stdout).to_owned();
        if said.contains(NONE_COMES_BACK) == none_comes_back {
            return said;
        }
        assert!(began.elapsed() < PATIENCE, "it never changes: {said}");
        thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn that_no_loop_comes_back_is_an_alarm_once_each_time_and_check_and_status_say_so_as_long_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let network = impatient(dir.path());
    let alarms = || fs::read_to_string(dir.path().join("n1/node.log")).unwrap().matches("alarm: what=n-1").count();
    let warns = || {
        let status = objects(&told(&network, &["status", "--json"])).remove(0);
        status["warnings"].as_array().unwrap().contains(&"n-1".into())
    };
    // Without a link nobody would be to blame.
    let mut asked = typed(&network, &network.config(ME), &["--quiet", "ping", "n3"]).spawn().unwrap();
    wait_for_loops(&network, &["n3"]);
    asked.kill().and_then(|()| asked.wait()).unwrap();
    for times in 0..=2 {
        if times > 0 {
            // They keep what they were sent, and their links.
            (1..4).for_each(|node| network.signal_node(node, "STOP"));
            let said = checked(&network, true);
            assert!(said.contains(&format!("wrong    loops      {NONE_COMES_BACK}\n  ->  fog ping --link")), "{said}");
            assert!(warns());
            (1..4).for_each(|node| network.signal_node(node, "CONT"));
        }
        checked(&network, false);
        assert!(!warns() && alarms() == times, "{} alarms after {times} times", alarms());
    }
}

/// What `fog keys list --json` says: of which epochs ahead there are keys that the document doesn't name.
fn ahead(list: &[Value]) -> Vec<u64> {
    let epochs = list.iter().filter(|key| key["state"] == "ahead" && key["published"] == false);
    epochs.map(|key| key["epoch"].as_u64().unwrap()).collect()
}

/// What `fog keys rotate --json` says.
fn rotated(said: &str) -> Vec<u64> {
    objects(said)[0]["epochs"].as_array().unwrap().iter().map(|epoch| epoch.as_u64().unwrap()).collect()
}

/// The mix keys that a descriptor names, by epoch.
fn mix_keys(descriptor: &str) -> BTreeMap<u64, &str> {
    let keys = descriptor.lines().filter_map(|line| line.strip_prefix("mix-keys.")?.split_once(" = "));
    keys.map(|(epoch, key)| (epoch.parse().unwrap(), key)).collect()
}

#[test]
fn keys_that_a_document_names_are_listed_and_stay() {
    let dir = tempfile::tempdir().unwrap();
    let network = network(dir.path());
    let list = objects(&told(&network, &["keys", "list", "--json"]));
    let published = |key: &Value| key["published"] == true;
    assert!(list.len() >= 8 && list.iter().filter(|key| key["state"] == "accepted").all(published), "{list:?}");
    let words = told(&network, &["keys", "list"]);
    assert!(words.lines().count() == list.len() && words.contains(" accepted  for "), "{words}");
    let before = told(&network, &["node-info"]);
    assert_eq!(rotated(&told(&network, &["keys", "rotate", "--json"])), ahead(&list));
    let after = told(&network, &["node-info"]);
    for key in list.iter().filter(|key| published(key)) {
        let epoch = key["epoch"].as_u64().unwrap();
        assert_eq!(mix_keys(&before)[&epoch], mix_keys(&after)[&epoch]);
    }
}

/// A node by a document that names few of its keys: it has made more since.
struct Lone {
    dir: TempDir,
    node: Option<Child>,
}

impl Lone {
    fn new() -> Self {
        let (dir, params) = (tempfile::tempdir().unwrap(), Params::default());
        let epoch = clock::now().epoch(params.epoch);
        let home = dir.path().join("lone");
        let signed = member::signed(&home, "lone", epoch);
        let address = signed.descriptor().address.clone();
        let authority = IdentityKey::from_seed(&Secret::filled(|seed| seed.fill(9)));
        let id = authority.node_id();
        let contents = Contents {
            epoch,
            previous: None,
            params,
            threshold: 1,
            authorities: [(id, Authority { name: "us".into(), identity: authority.public() })].into(),
            nodes: [(signed.descriptor().id(), signed)].into(),
        };
        let mut document = Candidate::new(&contents).unwrap();
        assert!(document.sign(&authority));
        fs::write(home.join("spool/directory"), document.to_text()).unwrap();
        let text = format!(
            "[node]\nname = \"lone\"\nroles = []\nonion = \"{address}\"\nlisten = \"{address}\"\nsockets = \".\"\n\
             [directory]\ntrust = [\"{id}\"]\n[log]\ntarget = \"stderr\"\n[spool]\npath = \"spool\"\n"
        );
        fs::write(home.join("fog.toml"), text).unwrap();
        Self { dir, node: None }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut fog = Command::new(env!("CARGO_BIN_EXE_fog"));
        fog.args(args).arg("--config").arg(self.dir.path().join("lone/fog.toml"));
        fog.stdin(Stdio::null()).env_remove("JOURNAL_STREAM");
        fog
    }

    fn told(&self, args: &[&str]) -> String {
        done(args, self.command(args).output().unwrap())
    }

    /// The secret of each of its mix keys, by epoch, as it lies on disk.
    fn seeds(&self) -> BTreeMap<u64, Vec<u8>> {
        let seeds = mix_seeds(&self.dir.path().join("lone/spool")).unwrap();
        seeds.into_iter().map(|(epoch, seed)| (epoch.0, seed.expose().to_vec())).collect()
    }

    /// Starts it; its engine has answered, and so made its keys, when this returns.
    fn start(&mut self) {
        self.node = Some(self.command(&["node"]).spawn().unwrap());
        let began = Instant::now();
        while !self.command(&["queue", "list"]).output().unwrap().status.success() {
            assert!(began.elapsed() < PATIENCE, "it does not start");
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn stop(&mut self) {
        if let Some(mut node) = self.node.take() {
            let _ = node.kill();
            let _ = node.wait();
        }
    }
}

impl Drop for Lone {
    fn drop(&mut self) {
        self.stop();
    }
}

#[test]
fn keys_that_no_document_names_are_drawn_anew_and_no_others_whether_the_node_runs_or_not() {
    let mut lone = Lone::new();
    lone.start();
    for runs in [true, false] {
        if !runs {
            let said = lone.told(&["keys", "rotate"]);
            assert!(said.starts_with("other keys for epoch ") && said.contains("by itself"), "{said}");
            lone.stop();
        }
        let (before, list) = (lone.seeds(), lone.told(&["keys", "list", "--json"]));
        let epochs = rotated(&lone.told(&["keys", "rotate", "--json"]));
        assert_eq!(epochs, ahead(&objects(&list)), "runs: {runs}");
        assert!(epochs.len() >= 5, "runs: {runs}: the document names those of three days ahead: {list}");
        assert_eq!(lone.told(&["keys", "list", "--json"]), list, "runs: {runs}: as many, of the same epochs");
        let after = lone.seeds();
        assert_eq!(before.len(), after.len(), "runs: {runs}");
        let changed = after.into_iter().filter(|(epoch, seed)| before[epoch] != *seed).map(|(epoch, _)| epoch);
        assert_eq!(changed.collect::<Vec<_>>(), epochs, "runs: {runs}");
    }
    let said = lone.told(&["keys", "rotate"]);
    assert!(said.starts_with("other keys for epoch ") && said.contains("node-info"), "{said}");
}
