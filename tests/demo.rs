//! `fog demo`, as a person runs it: what it tells, that its nodes are real, and what is left of it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test stops at the first surprise")]
#![allow(clippy::disallowed_methods, reason = "real processes have a real clock")]

use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long anything may take on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the sample letter says of its writer.
const SENDER: &[&str] = &["alice", "home.example", "laptop", "192.168", "mutt", "dkim", "21:14:07"];

#[test]
fn a_letter_crosses_five_processes_and_all_of_it_is_told() {
    let mut demo = Demo::start(&["--nodes", "5"]);
    let network = demo.next();
    let nodes = network["nodes"].as_array().unwrap().clone();
    assert_eq!((network["event"].as_str().unwrap(), nodes.len()), ("network", 5));
    for node in &nodes {
        let verbs: Vec<String> = pids(node).into_iter().map(verb).collect();
        let want: &[&str] = if node["exit"] == true { &["node", "exit"] } else { &["node"] };
        assert_eq!(verbs, want, "{node}");
    }
    let id = |index: usize| nodes[index]["id"].as_str().unwrap();
    let told = demo.until("delivered");
    let named = |name: &str| told.iter().filter(|event| event["event"] == name).collect::<Vec<_>>();
    let order: Vec<_> = told.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(order[..2], ["accepted", "cut"], "{order:?}");
    // The last piece may have its turn only when the letter has arrived without it.
    assert!((1..=named("cut")[0]["total"].as_u64().unwrap()).contains(&(named("built").len() as u64)), "{order:?}");
    assert_eq!(named("assembled").len(), 1, "{order:?}");

    // One piece is enough; what carried it looked different on every link.
    let last = named("opened")[0];
    let mut looks = vec![last["came_as"].as_str().unwrap()];
    let mut way = vec![last["node"].as_str().unwrap()];
    while let Some(before) = named("passed").into_iter().find(|passed| passed["went_as"] == looks[looks.len() - 1]) {
        looks.push(before["came_as"].as_str().unwrap());
        way.push(before["node"].as_str().unwrap());
    }
    let built = named("built").into_iter().find(|built| built["packet"] == looks[looks.len() - 1]).unwrap();
    let path = built["path"].as_array().unwrap();
    let names: Vec<_> =
        path.iter().map(|hop| nodes.iter().find(|node| node["id"] == *hop).unwrap()["name"].clone()).collect();
    way.reverse();
    assert_eq!(names, way);
    assert_eq!((path.len(), looks.iter().collect::<BTreeSet<_>>().len()), (3, 3), "{looks:?}");
    assert!(path.iter().all(|hop| hop != id(0)), "the entry is no hop of its own");

    check_clean(told.last().unwrap());
    demo.check_over(0);
}

/// What the sample letter may be when it has arrived.
fn check_clean(delivered: &Value) {
    let mail = delivered["mail"].as_str().unwrap();
    for mark in SENDER {
        assert!(!mail.to_lowercase().contains(mark), "{mark}:\n{mail}");
    }
    for want in ["Dear friend,", "To: friend@example.org", "Subject: What I saw", "From: \"Anonymous\" <anonymous@"] {
        assert!(mail.contains(want), "{want}:\n{mail}");
    }
    let after = |field: &str| {
        let change = delivered["header"].as_array().unwrap().iter().find(|change| change["field"] == field).unwrap();
        change["after"].clone()
    };
    for gone in ["Return-Path", "Received", "DKIM-Signature", "Reply-To", "User-Agent", "X-Originating-IP"] {
        assert_eq!(after(gone), Value::Null, "{gone}");
    }
    assert_eq!(after("Subject"), "What I saw");
}

#[test]
fn a_letter_arrives_though_a_node_on_the_way_of_one_piece_is_killed() {
    let mut demo = Demo::start(&["--nodes", "8"]);
    let (nodes, paths) = demo.paths();
    let spare = paths[0].iter().find(|hop| paths[1..].iter().all(|path| !path.contains(hop)));
    // Once in many runs all pieces go through the same nodes.
    let victim = nodes.iter().find(|node| node["id"] == *spare.unwrap_or(&paths[0][0])).unwrap();
    kill(victim);
    let died = demo.until("died");
    assert_eq!(died.last().unwrap()["node"], victim["name"]);
    if spare.is_none() {
        demo.interrupt();
        return demo.check_over(75);
    }
    let told = demo.until("delivered");
    assert!(told.iter().all(|event| event["node"] != victim["name"]), "it speaks after its death");
    check_clean(told.last().unwrap());
    demo.check_over(0);
}

#[test]
fn a_letter_does_not_arrive_when_the_node_is_killed_where_it_would_leave() {
    let mut demo = Demo::start(&["--nodes", "5"]);
    let (nodes, paths) = demo.paths();
    let exit = paths[0].last().unwrap();
    assert!(paths.iter().all(|path| path.last() == Some(exit)), "its pieces meet somewhere");
    let victim = nodes.iter().find(|node| node["id"] == **exit).unwrap();
    kill(victim);
    let told = demo.until("died");
    assert_eq!(told.last().unwrap()["node"], victim["name"]);
    demo.interrupt();
    demo.check_over(75);
}

#[test]
fn a_letter_of_ones_own_goes_to_whom_one_says_and_stays_where_one_says() {
    let dir = tempfile::tempdir().unwrap();
    let (letter, maildir, temp) = (dir.path().join("letter"), dir.path().join("mail"), dir.path().join("tmp"));
    fs::create_dir(&temp).unwrap();
    fs::write(&letter, "From: me@home.example\nSubject: Mine\n\nWords of mine.\n").unwrap();
    // What lies there from another day is neither touched nor taken for the letter.
    fs::create_dir_all(maildir.join("new")).unwrap();
    fs::write(maildir.join("new/older"), "To: you@there.example\nSubject: Older\n\nOlder words.\n").unwrap();
    let options = ["demo", "--nodes", "4", "--to", "you@there.example"];
    let out = run(fog(&temp).args(options).arg("--input").arg(&letter).arg("--maildir").arg(&maildir));
    let told = String::from_utf8(out.stdout).unwrap();
    assert!(out.status.success(), "{told}{}", String::from_utf8_lossy(&out.stderr));
    let arrived: Vec<String> = fs::read_dir(maildir.join("new"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| !path.ends_with("older"))
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    let [mail] = arrived.as_slice() else { panic!("{arrived:?}") };
    assert!(
        mail.contains("Words of mine.") && mail.contains("Subject: Mine") && !mail.contains("home.example"),
        "{mail}"
    );
    for want in ["- From: me@home.example", "+ From: \"Anonymous\" ", "Words of mine.", maildir.to_str().unwrap()] {
        assert!(told.contains(want), "{want}:\n{told}");
    }
    assert!(told.lines().all(|line| line.chars().count() <= 80 || line.contains(maildir.to_str().unwrap())), "{told}");
    assert!(is_empty(&temp));
}

#[test]
fn what_cannot_be_shown_is_refused_in_words() {
    let temp = tempfile::tempdir().unwrap();
    for (options, code, words) in [
        (&["--nodes", "3"][..], 64, "3 nodes can't be shown"),
        (&["--nodes", "13"], 64, "12 is the most"),
        (&["--input", "/not/there"], 66, "/not/there can't be read"),
        (&["--to", "nobody"], 67, "--to is no mail address"),
    ] {
        let out = run(fog(temp.path()).arg("demo").args(options));
        let said = String::from_utf8(out.stderr).unwrap();
        assert_eq!(out.status.code(), Some(code), "{said}");
        assert!(said.contains(words) && out.stdout.is_empty(), "{said}");

        let out = run(fog(temp.path()).args(["demo", "--json"]).args(options));
        let said: Value = serde_json::from_slice(&out.stderr).unwrap();
        assert_eq!((&said["v"], &said["error"]["code"]), (&1.into(), &code.into()));
    }
    assert!(is_empty(temp.path()));
}

/// A demonstration under way, told in JSON.
struct Demo {
    child: Child,
    told: Receiver<Value>,
    pids: Vec<u32>,
    temp: TempDir,
}

impl Demo {
    fn start(options: &[&str]) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let mut command = fog(temp.path());
        command.args(["demo", "--json"]).args(options).stdin(Stdio::null());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, told) = channel();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let _ = sender.send(serde_json::from_str(&line).unwrap());
            }
        });
        Self { child, told, pids: Vec::new(), temp }
    }

    /// What it tells next.
    fn next(&mut self) -> Value {
        let Ok(event) = self.told.recv_timeout(PATIENCE) else {
            // Else its words would be waited for until it ends by itself.
            self.interrupt();
            let mut words = String::new();
            self.child.stderr.take().unwrap().read_to_string(&mut words).unwrap();
            panic!("nothing more is told: {words}");
        };
        assert_eq!(event["v"], 1, "{event}");
        if event["event"] == "network" {
            self.pids = event["nodes"].as_array().unwrap().iter().flat_map(pids).collect();
        }
        event
    }

    /// All that it tells until this.
    fn until(&mut self, last: &str) -> Vec<Value> {
        let mut told = vec![self.next()];
        while told[told.len() - 1]["event"] != last {
            told.push(self.next());
        }
        told
    }

    /// Its nodes, and the hops of every piece of the letter, as soon as they are known.
    fn paths(&mut self) -> (Vec<Value>, Vec<Vec<String>>) {
        let nodes = self.next()["nodes"].as_array().unwrap().clone();
        let total = self.until("cut").last().unwrap()["total"].as_u64().unwrap();
        let path = |built: &Value| {
            let hops = built["path"].as_array().unwrap().iter();
            hops.map(|hop| hop.as_str().unwrap().to_owned()).collect()
        };
        let paths = (0..total).map(|_| path(self.until("built").last().unwrap())).collect();
        (nodes, paths)
    }

    /// As Ctrl-C does.
    fn interrupt(&self) {
        signal("INT", self.child.id());
    }

    /// It ends with this code, and nothing of it is left.
    fn check_over(&mut self, code: i32) {
        let ended = wait_for("its end", || self.child.try_wait().unwrap());
        assert_eq!(ended.code(), Some(code));
        assert!(!self.pids.is_empty() && self.pids.iter().all(|pid| !Path::new(&format!("/proc/{pid}")).exists()));
        assert!(is_empty(self.temp.path()));
        // What was not waited for is no second delivery.
        assert!(self.told.try_iter().all(|event| event["event"] != "delivered"));
    }
}

impl Drop for Demo {
    /// After a surprise nothing must stay behind.
    fn drop(&mut self) {
        if self.child.try_wait().unwrap().is_none() {
            self.interrupt();
            let _ = self.child.wait();
        }
    }
}

/// The program, with a directory of its own for what it needs for a while.
fn fog(temp: &Path) -> Command {
    let mut fog = Command::new(env!("CARGO_BIN_EXE_fog"));
    fog.env("TMPDIR", temp).env_remove("FOG_CONFIG");
    fog
}

fn run(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap()
}

fn pids(node: &Value) -> Vec<u32> {
    node["pids"].as_array().unwrap().iter().map(|pid| u32::try_from(pid.as_u64().unwrap()).unwrap()).collect()
}

/// What `ps` would show as the last word of a process.
fn verb(pid: u32) -> String {
    // A process that has just begun has no command line for a moment.
    let line = || fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    let line = std::iter::repeat_with(line).find(|line| !line.is_empty()).unwrap();
    line.trim_end_matches('\0').rsplit('\0').next().unwrap().to_owned()
}

/// Kills a node, as a power cut would.
fn kill(node: &Value) {
    signal("KILL", pids(node)[0]);
}

fn signal(name: &str, pid: u32) {
    assert!(Command::new("kill").args([format!("-{name}"), pid.to_string()]).status().unwrap().success());
}

fn is_empty(dir: &Path) -> bool {
    fs::read_dir(dir).unwrap().next().is_none()
}

/// Asks until there is an answer.
fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(began.elapsed() < PATIENCE, "{what}: nothing after {PATIENCE:?}");
        thread::sleep(Duration::from_millis(20));
    }
}
