//! Five nodes of a network of their own: founded, joined and started with the verbs an operator would type.

use crate::cli::error::CliError;
use crate::sys::exit_code::ExitCode;
use crate::sys::file;
use serde_json::Value;
use std::fs::File;
use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The nodes of the earlier program's network, then more.
const NAMES: [&str; 12] =
    ["kvara", "dries", "mct8", "news", "pietro", "banana", "hal", "frell", "paranoia", "cracker", "lefarris", "dizum"];

/// Seconds where a real network takes hours; `demo` lets its nodes be watched, and says so in the signed document.
const NETWORK: [&str; 9] = [
    "demo=true",
    "min-delay=300ms",
    "mean-delay=1500ms",
    "max-delay=5s",
    "tick=250ms",
    "batch-min=2",
    "send-every=400ms",
    "max-size=6M",
    "message-id-domain=demo.fog",
];

/// How long a node may take to open its sockets.
const START: Duration = Duration::from_secs(20);

/// The fewest nodes among which an entry finds three others, one of them an exit.
pub(super) const FEWEST: usize = 4;
/// The most that this machine should be asked for.
pub(super) const MOST: usize = NAMES.len();

/// A node of the demonstration, and its process.
pub(super) struct Member {
    pub(super) name: &'static str,
    pub(super) port: u16,
    pub(super) is_exit: bool,
    pub(super) id: String,
    dir: PathBuf,
    node: Option<Child>,
    exit: Option<Child>,
}

impl Member {
    pub(super) fn config(&self) -> PathBuf {
        self.dir.join("fog.toml")
    }

    pub(super) fn socket(&self, name: &str) -> PathBuf {
        self.dir.join("run").join(name)
    }

    /// The processes, as `ps` shows them.
    pub(super) fn pids(&self) -> Vec<u32> {
        [&self.node, &self.exit].into_iter().flatten().map(Child::id).collect()
    }

    /// Whether the node's process has ended since the last time this was asked.
    pub(super) fn has_just_died(&mut self) -> bool {
        let ended = self.node.as_mut().is_some_and(|child| !matches!(child.try_wait(), Ok(None)));
        if ended {
            self.node = None;
        }
        ended
    }

    fn has_sockets(&self) -> bool {
        ["submit.sock", "control.sock"].iter().all(|name| UnixStream::connect(self.socket(name)).is_ok())
    }
}

/// The network. Its processes end with it, unless it is kept.
pub(super) struct Network {
    pub(super) members: Vec<Member>,
    pub(super) maildir: PathBuf,
    dir: PathBuf,
    keep: bool,
}

impl Network {
    /// Founds and starts a network of `nodes` nodes in `dir`, which is made; the last two are exits into its Maildir.
    pub(super) fn start(dir: &Path, nodes: usize, keep: bool) -> Result<Self, CliError> {
        file::create_private_dir(dir).map_err(|error| trouble(format!("{} can't be made", dir.display()), &error))?;
        let mut network = Self { members: Vec::new(), maildir: dir.join("Maildir"), dir: dir.to_owned(), keep };
        let ports = free_ports(nodes).map_err(|error| trouble("there is no free port on 127.0.0.1", &error))?;
        for (n, (name, port)) in NAMES.into_iter().zip(ports).enumerate() {
            let is_exit = n + 2 >= nodes;
            let dir = dir.join(name);
            network.members.push(Member { name, port, is_exit, id: String::new(), dir, node: None, exit: None });
        }
        network.found()?;
        network.launch()?;
        Ok(network)
    }

    /// `init`, `node-info`, `directory add`, `directory sign`, and the signed document to everybody.
    fn found(&mut self) -> Result<(), CliError> {
        let Some((founder, others)) = self.members.split_first_mut() else { return Ok(()) };
        let mut init = init(founder, &self.maildir);
        init.arg("--new-network");
        for set in NETWORK {
            init.args(["--set", &format!("network.{set}")]);
        }
        let founded = answer(&mut init)?;
        let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
        founder.id = text(&founded, "id");
        let (draft, authority) = (text(&founded, "draft"), text(&founded, "authority"));
        let mut descriptors = Vec::new();
        for other in others {
            let joined = answer(&mut init_joining(other, &self.maildir, &draft, &authority))?;
            other.id = text(&joined, "id");
            let path = other.dir.join("descriptor");
            let descriptor = output(fog(other).arg("node-info"))?;
            file::create(&path, &descriptor, file::PUBLIC)
                .map_err(|error| trouble(format!("{} can't be written", path.display()), &error))?;
            descriptors.push(path);
        }
        let Some((founder, others)) = self.members.split_first() else { return Ok(()) };
        output(fog(founder).args(["directory", "add"]).args(descriptors))?;
        output(fog(founder).args(["directory", "sign"]))?;
        let document = founder.dir.join("spool/directory");
        others
            .iter()
            .try_for_each(|other| output(fog(other).args(["directory", "verify", "--keep"]).arg(&document)).map(drop))
    }

    fn launch(&mut self) -> Result<(), CliError> {
        for member in &mut self.members {
            member.node = Some(service(member, "node")?);
        }
        for member in &mut self.members {
            wait_for(member)?;
            if member.is_exit {
                member.exit = Some(service(member, "exit")?);
            }
        }
        Ok(())
    }

    /// The nodes that have ended since this was last asked.
    pub(super) fn just_died(&mut self) -> Vec<&'static str> {
        self.members.iter_mut().filter_map(|member| member.has_just_died().then_some(member.name)).collect()
    }

    /// The name of the node with this id, in hex.
    pub(super) fn name_of(&self, id: &str) -> &'static str {
        self.members.iter().find(|member| member.id == id).map_or("?", |member| member.name)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        for child in self.members.iter_mut().flat_map(|member| [member.node.take(), member.exit.take()]).flatten() {
            end(child);
        }
        // What can't be removed lies in the directory for temporary files, and holds nothing but this demonstration.
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn end(mut child: Child) {
    // One that has ended already needs no killing.
    let _ = child.kill();
    let _ = child.wait();
}

/// Ports that were free a moment ago, all different.
fn free_ports(count: usize) -> io::Result<Vec<u16>> {
    let listeners = (0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<io::Result<Vec<_>>>()?;
    listeners.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}

fn me() -> Command {
    Command::new(std::env::current_exe().unwrap_or_else(|_| PathBuf::from("fog")))
}

/// `fog -c CONFIG`
fn fog(member: &Member) -> Command {
    let mut command = me();
    command.arg("-c").arg(member.config());
    command
}

fn init(member: &Member, maildir: &Path) -> Command {
    let mut command = me();
    let address = format!("127.0.0.1:{}", member.port);
    command.args(["init", "--name", member.name, "--onion", &address, "--listen", &address, "--dir"]);
    command.arg(&member.dir).args(["--roles", if member.is_exit { "mix,exit" } else { "mix" }]);
    if member.is_exit {
        let from = format!("Anonymous <anonymous@{}.example>", member.name);
        command.args(["--from", &from, "--deliver", &format!("maildir:{}", maildir.display())]);
    }
    command
}

fn init_joining(member: &Member, maildir: &Path, draft: &str, authority: &str) -> Command {
    let mut command = init(member, maildir);
    command.args(["--join", draft, "--trust", authority]);
    command
}

/// Starts a service; what it says goes into a file beside it.
fn service(member: &Member, verb: &str) -> Result<Child, CliError> {
    let log = member.dir.join(format!("{verb}.log"));
    let log = File::create(&log).map_err(|error| trouble(format!("{} can't be written", log.display()), &error))?;
    let mut command = fog(member);
    command.args(["--set", "log.target=stderr", verb]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    command.spawn().map_err(|error| trouble(format!("fog {verb} can't be started"), &error))
}

fn wait_for(member: &mut Member) -> Result<(), CliError> {
    let polls = START.as_millis() / 20;
    for _ in 0..polls {
        if member.has_sockets() {
            return Ok(());
        }
        if member.has_just_died() {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let log = std::fs::read_to_string(member.dir.join("node.log")).unwrap_or_default();
    let error = CliError::new(ExitCode::Unavailable, format!("the node {} did not start", member.name));
    Err(if log.trim().is_empty() { error } else { error.found(log.trim().to_owned()) })
}

fn output(command: &mut Command) -> Result<Vec<u8>, CliError> {
    let done = command.stdin(Stdio::null()).output().map_err(|error| trouble("fog can't be started", &error))?;
    if done.status.success() {
        return Ok(done.stdout);
    }
    let words = String::from_utf8_lossy(&done.stderr).trim().to_owned();
    Err(CliError::new(ExitCode::Bug, "the network could not be set up").found(words))
}

fn answer(command: &mut Command) -> Result<Value, CliError> {
    let bytes = output(command.arg("--json"))?;
    serde_json::from_slice(&bytes)
        .map_err(|error| CliError::new(ExitCode::Bug, "fog init did not answer in JSON").found(error.to_string()))
}

fn trouble(what: impl Into<String>, error: &io::Error) -> CliError {
    CliError::new(ExitCode::Io, what).found(error.to_string())
}
