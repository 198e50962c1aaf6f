//! A real node, looked after: asked how it is and what waits, told to stop, with logs that stand still, fill up or go, and
//! under something that talks to it as systemd does.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test stops at the first surprise")]
#![allow(clippy::disallowed_methods, clippy::print_stderr, reason = "real processes have a real clock and real logs")]

#[path = "common/network.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod network;

use network::Network;
use serde_json::Value;
use std::fs::{self, OpenOptions, Permissions};
use std::io::{ErrorKind, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

/// An entry that has a mail to send and too few others to send it through, set up and stopped.
struct Entry {
    dir: tempfile::TempDir,
    network: Network,
}

impl Entry {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let user = fs::metadata("/proc/self").unwrap().uid();
        let mut network = Network::start(dir.path(), user, 2, "maildir:mail");
        network.kill_node(0);
        Self { dir, network }
    }

    fn fog(&self, args: &[&str]) -> Command {
        let mut fog = Command::new(self.network.fog());
        fog.args(args).arg("--config").arg(self.network.config(0)).stdin(Stdio::null()).env_remove("JOURNAL_STREAM");
        fog
    }

    fn run(&self, args: &[&str]) -> Output {
        self.fog(args).output().unwrap()
    }

    /// Starts the node, and waits until it answers.
    fn start(&self, node: &mut Command) -> Node {
        let node = Node(node.spawn().unwrap());
        until("it answers", || self.run(&["status"]).status.success());
        node
    }

    fn json(&self, args: &[&str]) -> Value {
        let out = self.run(&[args, &["--json"]].concat());
        assert!(out.status.success(), "{args:?}: {out:?}");
        serde_json::from_slice(&out.stdout).unwrap_or(Value::Null)
    }
}

/// A running node; killed when it is dropped.
struct Node(Child);

impl Node {
    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([&format!("-{name}"), &self.0.id().to_string()]).status().unwrap().success());
    }

    /// Tells it to stop, and sees that it does so well and soon.
    fn stop(mut self) {
        let begin = Instant::now();
        self.signal("TERM");
        let mut ended = None;
        until("it stops", || {
            ended = self.0.try_wait().unwrap();
            ended.is_some()
        });
        assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
        assert_eq!(ended.unwrap().code(), Some(0));
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn until(what: &str, mut is: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is() {
        assert!(begin.elapsed() < PATIENCE, "in vain: {what}");
        sleep(Duration::from_millis(20));
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

#[test]
fn an_operator_sees_how_the_node_is_and_what_waits_and_can_drop_it() {
    let entry = Entry::new();
    let out = entry.run(&["status"]);
    assert_eq!(code(&out), 69, "{out:?}");
    assert!(text(&out.stderr).contains("the node is not running"));
    let out = entry.run(&["status", "--nagios"]);
    assert_eq!((code(&out), text(&out.stdout)), (2, "FOG CRITICAL - the node is not running\n"));

    let node = entry.start(&mut entry.fog(&["node", "--set", "log.target=stderr"]));
    let status = entry.json(&["status"]);
    assert_eq!((&status["name"], &status["can_send"], &status["period"]), (&"n1".into(), &false.into(), &Value::Null));
    assert_eq!(status["warnings"], serde_json::json!(["not-enough-nodes"]));
    let out = entry.run(&["status"]);
    assert!(text(&out.stdout).contains("\ncan send        no: nothing is sent, mail waits\n"), "{out:?}");
    let out = entry.run(&["status", "--nagios"]);
    assert_eq!(code(&out), 2);
    assert!(text(&out.stdout).starts_with("FOG CRITICAL - not-enough-nodes; "), "{out:?}");

    for mark in ["canary-one", "canary-two"] {
        let to = format!("{mark}@example.com.fog");
        let mut send = entry.fog(&["send", "-t", &to]).stdin(Stdio::piped()).spawn().unwrap();
        send.stdin.take().unwrap().write_all(format!("Subject: {mark}\n\n{mark}\n").as_bytes()).unwrap();
        assert!(send.wait().unwrap().success());
    }
    let out = entry.run(&["queue", "list", "--json"]);
    let lines: Vec<Value> = text(&out.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.iter().map(|mail| &mail["state"]).collect::<Vec<_>>(), ["waiting"; 2]);
    let out = entry.run(&["queue", "list"]);
    assert!(text(&out.stdout).lines().count() == 2 && !text(&out.stdout).contains("canary"), "{out:?}");
    assert_eq!(entry.json(&["queue", "flush"])["mails"], 0, "no delay is shortened");

    let out = entry.run(&["queue", "drop", "--all"]);
    assert_eq!(code(&out), 64, "nobody to ask: {out:?}");
    let first = lines[0]["id"].as_str().unwrap();
    assert_eq!(code(&entry.run(&["queue", "drop", "--yes", first])), 0);
    assert_eq!(code(&entry.run(&["queue", "drop", "--yes", first])), 1, "it is gone");
    assert_eq!(entry.json(&["queue", "drop", "--all", "--yes"])["mails"], 1);
    assert_eq!(text(&entry.run(&["queue", "list"]).stdout), "no mail waits here\n");
    node.stop();
}

#[test]
fn the_configuration_is_shown_as_it_could_stand_in_a_file() {
    let entry = Entry::new();
    let out = entry.run(&["config", "-n", "--set", "log.round=16"]);
    let shown = text(&out.stdout);
    assert!(
        shown.starts_with("node.name = \"n1\"\nnode.roles = [\"mix\", \"authority\"]\n")
            && shown.ends_with("log.round = 16\n"),
        "{shown}"
    );
    assert!(!shown.contains("entry.suffix"), "{shown}");
    assert!(text(&entry.run(&["config"]).stdout).contains("entry.suffix = \"fog\"\n"));
    assert!(text(&entry.run(&["config", "-d"]).stdout).contains("# node.name\n"));
    assert_eq!(entry.json(&["config"])["config"]["log.round"], 8);
}

#[test]
fn another_user_of_the_machine_is_told_nothing() {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        eprintln!("skipped: only root can be somebody else");
        return;
    }
    let entry = Entry::new();
    fs::set_permissions(entry.dir.path(), Permissions::from_mode(0o755)).unwrap();
    let node = entry.start(&mut entry.fog(&["node", "--set", "log.target=stderr"]));
    let socket = entry.dir.path().join("n1/run/control.sock");
    let ask = |request: &str| {
        let mut other = Command::new("setpriv");
        other.args(["--reuid=65534", "--regid=65534", "--clear-groups", "perl", "-e", PERL]).arg(request).arg(&socket);
        other.stderr(Stdio::null()).output().unwrap()
    };
    let refused = ask("status");
    assert!(refused.stdout.is_empty(), "{refused:?}");
    // A slip of chmod opens no door.
    for path in [socket.parent().unwrap().parent().unwrap(), socket.parent().unwrap()] {
        fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    }
    fs::set_permissions(&socket, Permissions::from_mode(0o666)).unwrap();
    let refused = ask("status");
    assert!(refused.stdout.is_empty(), "{refused:?}");
    node.stop();
}

/// Says one line at a socket and prints the line that comes back. Perl is part of every Debian.
const PERL: &str = "use IO::Socket::UNIX; my $s = IO::Socket::UNIX->new(Peer => $ARGV[1]) or exit 1; \
                    print $s \"$ARGV[0]\\n\"; my $l = <$s>; print $l if defined $l;";

#[test]
fn a_syslog_daemon_that_is_restarted_hears_the_node_again() {
    let entry = Entry::new();
    let path = entry.dir.path().join("log");
    let daemon = |path: &Path| {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    };
    // The founder signs the next document when it comes to it, which may be in between.
    let heard = |daemon: &UnixDatagram| {
        loop {
            let mut bytes = [0; 512];
            let length = daemon.recv(&mut bytes).unwrap();
            let line = text(&bytes[..length]);
            if !line.contains("directory-signed") {
                return line.to_owned();
            }
        }
    };
    let first = daemon(&path);
    let target = format!("log.target=syslog:{}", path.display());
    let node = entry.start(&mut entry.fog(&["node", "--set", &target]));
    let line = |severity, what: &str| format!("<{severity}>fog/node[{}]: {what}", node.0.id());
    assert_eq!(heard(&first), line(21, "start"));
    assert!(heard(&first).starts_with(&line(21, "directory: epoch=")));
    assert_eq!(heard(&first), line(19, "not-enough-nodes"));
    assert_eq!(heard(&first), line(21, "ready"));
    drop(first);
    fs::remove_file(&path).unwrap();
    let second = daemon(&path);
    node.signal("HUP");
    assert_eq!(heard(&second), line(21, "reload"));
    let stop = line(21, "stop");
    node.stop();
    assert_eq!(heard(&second), stop);

    // What matters less than what was asked for is not said.
    let node = entry.start(&mut entry.fog(&["node", "--set", &target, "--set", "log.level=error"]));
    assert_eq!(heard(&second), format!("<19>fog/node[{}]: not-enough-nodes", node.0.id()));
    node.stop();
    second.set_nonblocking(true).unwrap();
    assert!(second.recv(&mut [0; 8]).is_err());
}

#[test]
fn the_journal_gets_severities_if_it_is_the_one_that_standard_error_leads_to() {
    let entry = Entry::new();
    let path = entry.dir.path().join("journal");
    for is_it in [true, false] {
        let file = fs::File::create(&path).unwrap();
        let (device, inode) = (file.metadata().unwrap().dev(), file.metadata().unwrap().ino());
        let mut node = entry.fog(&["node", "--set", "log.target=stderr"]);
        node.env("JOURNAL_STREAM", format!("{device}:{}", if is_it { inode } else { inode + 1 })).stderr(file);
        entry.start(&mut node).stop();
        let said = fs::read_to_string(&path).unwrap();
        assert!(said.starts_with(if is_it { "<5>start\n<5>directory: epoch=" } else { "fog/node: start\n" }), "{said}");
    }
}

#[test]
fn logs_that_stand_still_are_full_or_closed_stop_nothing() {
    let entry = Entry::new();
    let node = || entry.fog(&["node", "--set", "log.target=stderr"]);
    // Nobody reads the other end, and there is no room left.
    let (stuck, _unread) = UnixStream::pair().unwrap();
    stuck.set_nonblocking(true).unwrap();
    while (&stuck).write(&[b'x'; 4096]).map_err(|error| error.kind()) != Err(ErrorKind::WouldBlock) {}
    stuck.set_nonblocking(false).unwrap();
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let (gone, reader) = UnixStream::pair().unwrap();
    drop(reader);
    for stderr in [OwnedFd::from(stuck), full.into(), gone.into()] {
        let node = entry.start(node().stderr(stderr));
        for _ in 0..3 {
            node.signal("HUP");
        }
        assert_eq!(entry.json(&["status"])["name"], "n1");
        node.stop();
    }
    let mut closed = Command::new("sh");
    closed.args(["-c", "exec \"$@\" 2>&-", "sh"]).arg(entry.network.fog()).args(node().get_args());
    let node = entry.start(closed.stdin(Stdio::null()));
    node.stop();
}

#[test]
fn systemd_is_told_that_the_node_is_ready_and_alive_and_stops() {
    let entry = Entry::new();
    let path = entry.dir.path().join("notify");
    let systemd = UnixDatagram::bind(&path).unwrap();
    systemd.set_read_timeout(Some(PATIENCE)).unwrap();
    let heard = || {
        let mut bytes = [0; 512];
        let length = systemd.recv(&mut bytes).unwrap();
        text(&bytes[..length]).to_owned()
    };
    let mut node = entry.fog(&["node", "--set", "log.target=stderr"]);
    node.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "300000");
    let node = entry.start(&mut node);
    assert_eq!(heard(), "READY=1");
    let begin = Instant::now();
    (0..10).for_each(|_| assert_eq!(heard(), "WATCHDOG=1"));
    assert!(begin.elapsed() < Duration::from_secs(3), "ten times within ten periods: {:?}", begin.elapsed());
    // A node that stands still doesn't say that it is alive.
    node.signal("STOP");
    systemd.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let mut bytes = [0; 64];
    while systemd.recv(&mut bytes).is_ok() {}
    systemd.set_read_timeout(Some(PATIENCE)).unwrap();
    node.signal("CONT");
    node.stop();
    let mut last = heard();
    while last == "WATCHDOG=1" {
        last = heard();
    }
    assert_eq!(last, "STOPPING=1");
}

#[test]
fn the_key_may_come_from_systemd() {
    let entry = Entry::new();
    let credentials = entry.dir.path().join("credentials");
    fs::create_dir(&credentials).unwrap();
    let key = entry.dir.path().join("n1/node.key");
    fs::rename(&key, credentials.join("node.key")).unwrap();
    // As systemd leaves it where an access list lets the service in.
    fs::set_permissions(credentials.join("node.key"), Permissions::from_mode(0o440)).unwrap();
    assert_eq!(code(&entry.run(&["node"])), 78, "there is none");
    let node =
        entry.start(entry.fog(&["node", "--set", "log.target=stderr"]).env("CREDENTIALS_DIRECTORY", &credentials));
    node.stop();
}
