//! Five operators with a machine each, whose nodes are onions and nothing else: set up with `fog setup tor` and the verbs
//! of the README, run without any network interface.

use crate::mta::{run, wait_for};
use crate::relays::{Control, Relays};
use crate::world::{Machine, Running, World};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;

/// Seconds where a real network has hours, and few enough packets for five relays that share a machine with all else.
const PARAMETERS: [&str; 6] =
    ["min-delay=100ms", "mean-delay=1s", "max-delay=5s", "tick=1s", "send-every=2s", "batch-min=0"];

/// Where links come in, and Tor brings them.
const LINKS: &str = "unix:/run/fog/links.sock";

/// How Debian's unit starts Tor.
const TOR: [&str; 7] = [
    "tor",
    "--defaults-torrc",
    "/usr/share/tor/tor-service-defaults-torrc",
    "-f",
    "/etc/tor/torrc",
    "--RunAsDaemon",
    "0",
];

/// A machine with Tor and a node, `n1` to `n5`; the last one is the exit.
#[derive(Debug)]
pub(crate) struct Operator {
    pub(crate) machine: Machine,
    name: String,
    fog: PathBuf,
    tor: Option<(Running, Control)>,
    node: Option<Running>,
    exit: Option<Running>,
}

/// All of it.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) operators: Vec<Operator>,
    pub(crate) relays: Relays,
    // The last to go.
    _world: World,
}

impl Site {
    /// `count` operators below `dir`, each with a Tor that has published its onion's descriptor. No node is set up yet.
    pub(crate) fn start(dir: &Path, count: usize) -> Self {
        let fog = dir.join("fog");
        // By another process: while we held it open for writing, nobody could run it.
        run(Command::new("cp").arg(env!("CARGO_BIN_EXE_fog")).arg(&fog));
        let (world, began) = (World::new(), Instant::now());
        let relays = Relays::start(&world, dir);
        eprintln!("{:5.1} s  relays", began.elapsed().as_secs_f32());
        // No password for the control socket: only root gets as far.
        let torrc = format!("{}CookieAuthentication 0\nLog notice file /var/lib/tor/log\n", relays.torrc);
        // Debian's has a port too, which Tors on one loopback can't share. The first one has its socket, the others another.
        let socks =
            |index| format!("SocksPort unix:/run/tor/{} WorldWritable\n", if index == 0 { "socks" } else { "other" });
        let operator = |index: usize| {
            let name = format!("n{}", index + 1);
            let machine = Machine::new(&world, &dir.join(&name), &(torrc.clone() + &socks(index)));
            Operator { machine, name, fog: fog.clone(), tor: None, node: None, exit: None }
        };
        let operators: Vec<_> = (0..count).map(operator).collect();
        let mut site = Self { operators, relays, _world: world };
        for operator in &mut site.operators {
            run(&mut operator.as_root(&["setup", "tor", "--apply", "--listen", LINKS]));
            operator.start_tor();
        }
        site.operators.iter_mut().for_each(Operator::wait_until_published);
        eprintln!("{:5.1} s  {count} onions published", began.elapsed().as_secs_f32());
        site
    }

    /// Founds a network of them all and starts their nodes: the first one's descriptor and document come by hand, all else
    /// over the onions.
    pub(crate) fn found(&mut self) {
        let (first, others) = self.operators.split_first().unwrap();
        let mut init = first.init("mix");
        init.arg("--new-network").args(PARAMETERS.iter().flat_map(|set| ["--set".into(), format!("network.{set}")]));
        let founded: Value = serde_json::from_slice(&run(&mut init).stdout).unwrap();
        let text = |key: &str| founded[key].as_str().unwrap();
        let mut add = first.fog(&["directory", "add"]);
        for (index, operator) in others.iter().enumerate() {
            let is_exit = index + 1 == others.len();
            let mut init = operator.init(if is_exit { "mix,exit" } else { "mix" });
            if is_exit {
                init.args(["--deliver", "maildir:INBOX", "--from", "Anonymous <anonymous@exit.invalid>"]);
            }
            run(init.args(["--join", text("draft"), "--trust", text("authority")]));
            let descriptor = first.home().join(format!("{}.info", operator.name));
            fs::write(&descriptor, run(&mut operator.fog(&["node-info"])).stdout).unwrap();
            add.arg(&descriptor);
        }
        run(&mut add);
        let elsewhere =
            ["--name", "n6", "--onion", "192.0.2.1:9999", "--join", text("draft"), "--trust", text("authority")];
        let refused = others[0].as_root(&[&["init", "--dir", "n6"][..], &elsewhere].concat()).output().unwrap();
        assert!(String::from_utf8_lossy(&refused.stderr).contains("is no onion service"), "{refused:?}");
        run(&mut first.fog(&["directory", "sign"]));
        self.operators[0].start_node();
        for operator in &mut self.operators[1..] {
            let name = operator.name.clone();
            let fetched = wait_for("the directory document over an onion", || {
                let out = operator.fog(&["directory", "fetch"]).output().unwrap();
                out.status.success().then_some(out)
            });
            assert!(fs::metadata(operator.home().join("spool/directory")).unwrap().len() > 0, "{name}: {fetched:?}");
            operator.start_node();
        }
        self.operators.last_mut().unwrap().start_exit();
    }

    /// The subjects of what has arrived, in order.
    pub(crate) fn arrived(&self) -> Vec<String> {
        let inbox = self.operators.last().unwrap().home().join("INBOX/new");
        let Ok(mails) = fs::read_dir(inbox) else { return Vec::new() };
        let subject = |path: PathBuf| {
            let text = fs::read_to_string(path).unwrap();
            text.lines().find_map(|line| line.strip_prefix("Subject: ").map(str::to_owned)).unwrap()
        };
        let mut subjects: Vec<_> = mails.map(|mail| subject(mail.unwrap().path())).collect();
        subjects.sort();
        subjects
    }

    /// Waits until exactly these subjects have arrived.
    pub(crate) fn wait_for(&mut self, subjects: &[String]) {
        let mut wanted = subjects.to_vec();
        wanted.sort();
        wait_for("the letters", || {
            self.relays.must_run();
            self.operators.iter_mut().for_each(Operator::must_run);
            (self.arrived().len() >= wanted.len()).then_some(())
        });
        assert_eq!(self.arrived(), wanted);
    }
}

impl Operator {
    pub(crate) fn home(&self) -> PathBuf {
        self.machine.home.join("fog")
    }

    /// `fog` as the node's user, without a network.
    pub(crate) fn fog(&self, arguments: &[&str]) -> Command {
        let config = self.home().join("fog.toml");
        let before = [self.fog.to_str().unwrap(), "--config", config.to_str().unwrap()];
        self.machine.alone(&[&before, arguments].concat())
    }

    /// `fog` as root.
    pub(crate) fn as_root(&self, arguments: &[&str]) -> Command {
        let config = self.home().join("fog.toml");
        let before = [self.fog.to_str().unwrap(), "--config", config.to_str().unwrap()];
        self.machine.command(&[&before, arguments].concat())
    }

    /// What `fog check` says of Tor, each with its state.
    pub(crate) fn check(&self, arguments: &[&str]) -> Vec<(String, String)> {
        let Output { stdout, .. } = self.as_root(&[&["--json", "check"], arguments].concat()).output().unwrap();
        let findings: Vec<Value> =
            String::from_utf8(stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let text = |finding: &Value, key: &str| finding[key].as_str().unwrap().to_owned();
        let of_tor = findings.iter().filter(|finding| finding["about"] == "tor");
        of_tor.map(|finding| (text(finding, "state"), text(finding, "says"))).collect()
    }

    pub(crate) fn onion(&self) -> String {
        let name = fs::read_to_string(self.machine.path("/var/lib/tor/fog/hostname")).unwrap();
        format!("{}:9999", name.trim())
    }

    fn init(&self, roles: &str) -> Command {
        let (home, onion) = (self.home(), self.onion());
        let argv = [self.fog.to_str().unwrap(), "init", "--json", "--name", &self.name, "--roles", roles];
        let place = ["--onion", &onion, "--listen", LINKS, "--dir", home.to_str().unwrap()];
        self.machine.alone(&[&argv[..], &place].concat())
    }

    pub(crate) fn start_tor(&mut self) {
        let mut tor = Running::start(&mut self.machine.command(&TOR), &self.machine.home.join("tor.log"));
        let mut control = Control::at(&self.machine.path("/run/tor/control"), &mut tor);
        control.ask("SETEVENTS HS_DESC");
        self.tor = Some((tor, control));
    }

    /// Kills Tor as a power cut would.
    pub(crate) fn kill_tor(&mut self) {
        drop(self.tor.take());
    }

    /// Has Tor read its configuration anew, and forget what it knows of onions.
    pub(crate) fn restart_tor(&mut self) {
        self.kill_tor();
        self.start_tor();
        self.wait_until_published();
    }

    /// Waits until others can find the onion.
    pub(crate) fn wait_until_published(&mut self) {
        let (tor, control) = self.tor.as_mut().unwrap();
        wait_for("an onion's descriptor to be published", || {
            tor.must_run();
            // Whatever it is asked, it tells first what has happened.
            control.ask("GETINFO version");
            control.events.iter().any(|event| event.starts_with("HS_DESC UPLOADED ")).then_some(())
        });
    }

    pub(crate) fn start_node(&mut self) {
        let mut node = self.fog(&["--set", "log.target=stderr", "node"]);
        let log = self.home().join("node.log");
        // What it said before it was killed is part of its story.
        let before = fs::read_to_string(&log).unwrap_or_default();
        let mut node = Running::start(&mut node, &log);
        wait_for("a node to be ready", || {
            node.must_run();
            node.said().contains("fog/node: ready\n").then_some(())
        });
        fs::write(self.home().join("node.log.before"), before).unwrap();
        self.node = Some(node);
    }

    /// Kills the node as a power cut would.
    pub(crate) fn kill_node(&mut self) {
        drop(self.node.take());
    }

    fn start_exit(&mut self) {
        let mut exit = self.fog(&["--set", "log.target=stderr", "exit"]);
        self.exit = Some(Running::start(&mut exit, &self.home().join("exit.log")));
    }

    fn must_run(&mut self) {
        let tor = self.tor.as_mut().map(|(tor, _)| tor);
        [tor, self.node.as_mut(), self.exit.as_mut()].into_iter().flatten().for_each(Running::must_run);
    }

    /// What the node has logged since it was last started.
    pub(crate) fn log(&self) -> String {
        self.node.as_ref().unwrap().said()
    }

    /// Waits until the node has logged this since it was last started.
    pub(crate) fn says(&self, line: &str) {
        wait_for(line, || self.log().lines().any(|said| said.starts_with(line)).then_some(()));
    }

    /// Hands a letter in.
    pub(crate) fn send(&self, subject: &str) {
        let letter = self.machine.home.join("letter");
        fs::write(&letter, format!("To: alice@away.example.fog\nSubject: {subject}\n\nWho am I?\n")).unwrap();
        let out = self.fog(&["send", "-t"]).stdin(fs::File::open(letter).unwrap()).output().unwrap();
        assert!(out.status.success(), "{out:?}");
    }

    /// The node, and the exit, have no way out but Unix sockets: of interfaces there is only loopback, down, over which
    /// nothing ever went, and each socket that they have open is one of the machine.
    pub(crate) fn has_no_other_way_out(&self) {
        let tor = self.tor.as_ref().map(|(tor, _)| tor);
        let all = [self.node.as_ref(), self.exit.as_ref(), tor];
        let pids: Vec<_> = all.into_iter().flatten().map(|running| running.pid().unwrap()).collect();
        // The end that is accepted belongs to the namespace of whoever connects.
        let local: BTreeSet<_> = pids.iter().flat_map(|pid| local_sockets(*pid)).collect();
        let (_, ours) = pids.split_last().unwrap();
        for pid in ours {
            let interfaces = fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap();
            let interfaces: Vec<_> = interfaces.lines().skip(2).map(|line| line.split_once(':').unwrap()).collect();
            assert!(matches!(interfaces[..], [(name, _)] if name.trim() == "lo"), "{interfaces:?}");
            assert!(interfaces[0].1.split_whitespace().all(|count| count == "0"), "{interfaces:?}");
            let open = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
            let open = open.filter_map(|fd| fs::read_link(fd.unwrap().path()).ok()?.to_str().map(str::to_owned));
            let sockets: BTreeSet<_> = open.filter_map(|fd| fd.strip_prefix("socket:[").map(str::to_owned)).collect();
            assert!(!sockets.is_empty() && sockets.is_subset(&local), "{sockets:?} of {local:?}");
        }
    }
}

/// The inodes of all Unix sockets in the network namespace of a process, each with a bracket behind it.
fn local_sockets(pid: u32) -> Vec<String> {
    let table = fs::read_to_string(format!("/proc/{pid}/net/unix")).unwrap();
    let inodes = table.lines().skip(1).filter_map(|line| line.split_whitespace().nth(6));
    inodes.map(|inode| format!("{inode}]")).collect()
}

/// What all of them have said, where a test ends badly.
impl Drop for Site {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for operator in &self.operators {
            for log in ["lib-tor/log", "fog/node.log.before", "fog/node.log", "fog/exit.log"] {
                let text = fs::read_to_string(operator.machine.home.join(log)).unwrap_or_default();
                let from = text.lines().count().saturating_sub(20);
                eprintln!("--- {} {log}", operator.name);
                text.lines().skip(from).for_each(|line| eprintln!("{line}"));
            }
        }
    }
}
