//! A network namespace of the test's own in which the private Tor network lives, and machines in it: each with a /run, an
//! /etc/tor and a /var/lib/tor that nobody else sees. All processes end with the test, whatever ends it: they live in a
//! process namespace whose first process reads a pipe of ours.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Waits for the end of its input. Prints, when all is in place, its own number outside, for nsenter: this /proc is the
/// outer one.
const STAY: &str = "read -r pid _ </proc/self/stat; echo \"$pid\"; exec cat";

/// Who runs the nodes: Debian's user nobody.
pub(crate) const NOBODY: u32 = 65_534;

/// A namespace that is kept by a process of ours.
#[derive(Debug)]
struct Kept {
    keeper: Child,
    pid: String,
}

impl Kept {
    fn start(command: &mut Command) -> Self {
        let mut keeper = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut pid = String::new();
        BufReader::new(keeper.stdout.take().unwrap()).read_line(&mut pid).unwrap();
        let pid = pid.trim().to_owned();
        assert!(!pid.is_empty(), "no namespace: {:?}", keeper.wait());
        Self { keeper, pid }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // Its input ends, and it with it.
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// Loopback, and nothing else.
#[derive(Debug)]
pub(crate) struct World(Kept);

impl World {
    pub(crate) fn new() -> Self {
        let mut command = Command::new("unshare");
        command.args(["--net", "--pid", "--fork", "--kill-child", "--", "sh", "-ec"]);
        Self(Kept::start(command.arg(format!("ip link set lo up; {STAY}"))))
    }

    /// A program in it.
    pub(crate) fn command(&self, argv: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.0.pid, "--net", "--pid", "--"]).args(argv).stdin(Stdio::null());
        command
    }
}

/// One operator's machine: Debian's Tor is installed there as everywhere, and what is below these directories is its own.
#[derive(Debug)]
pub(crate) struct Machine {
    kept: Kept,
    pub(crate) home: PathBuf,
}

impl Machine {
    /// A machine whose disk is `home`, with this `torrc`.
    pub(crate) fn new(world: &World, home: &Path, torrc: &str) -> Self {
        for dir in ["etc-tor", "lib-tor", "apparmor.d/local"] {
            fs::create_dir_all(home.join(dir)).unwrap();
        }
        fs::write(home.join("etc-tor/torrc"), torrc).unwrap();
        fs::write(home.join("apparmor.d/local/system_tor"), "").unwrap();
        let script = format!(
            "cd '{}'; chown debian-tor:debian-tor lib-tor; chmod 2700 lib-tor; chown {NOBODY}:{NOBODY} .
            mount --bind etc-tor /etc/tor; mount --bind lib-tor /var/lib/tor
            [ ! -d /etc/apparmor.d ] || mount --bind apparmor.d /etc/apparmor.d
            mount -t tmpfs tmpfs /run; mkdir /run/tor /run/fog
            chown debian-tor:debian-tor /run/tor; chmod 2755 /run/tor; chown {NOBODY}:{NOBODY} /run/fog
            {STAY}",
            home.display()
        );
        let mut command = world.command(&["unshare", "--mount", "--", "sh", "-ec", &script]);
        Self { kept: Kept::start(&mut command), home: home.to_owned() }
    }

    /// A program of it, as root.
    pub(crate) fn command(&self, argv: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.kept.pid, "--net", "--pid", "--mount", "--"]).args(argv);
        command.stdin(Stdio::null()).current_dir(&self.home);
        command
    }

    /// A program of it as the node's user, who is in Tor's group, without any network interface that is up.
    pub(crate) fn alone(&self, argv: &[&str]) -> Command {
        let (user, group) = (format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"));
        let before = ["unshare", "--net", "--", "setpriv", &user, &group, "--groups=debian-tor", "--"];
        self.command(&[&before, argv].concat())
    }

    /// A path of the machine, as it is seen from outside.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.kept.pid))
    }
}

/// A program that runs in a machine or in the world; it is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    /// nsenter, which waits for it.
    outer: Child,
    pub(crate) log: PathBuf,
}

impl Running {
    /// Starts it; all that it says goes to `log`.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Self {
        let file = fs::File::create(log).unwrap();
        let outer = command.stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
        Self { outer, log: log.to_owned() }
    }

    /// Its number outside.
    pub(crate) fn pid(&self) -> Option<u32> {
        let outer = self.outer.id();
        let children = fs::read_to_string(format!("/proc/{outer}/task/{outer}/children")).ok()?;
        children.split_whitespace().next()?.parse().ok()
    }

    /// What it has said.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Panics with what it said, if it has ended.
    pub(crate) fn must_run(&mut self) {
        if let Some(status) = self.outer.try_wait().unwrap() {
            panic!("{} ended, {status}: {}", self.log.display(), self.said());
        }
    }
}

impl Drop for Running {
    /// As a power cut would.
    fn drop(&mut self) {
        if let Some(pid) = self.pid() {
            let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
        }
        let _ = self.outer.wait();
    }
}
