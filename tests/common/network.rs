//! A network of real `fog node` processes on loopback, set up with the verbs that an operator uses.

use std::fs;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// How a test's network is set up; seconds where a real one has hours.
const PARAMETERS: &[&str] =
    &["--min-delay", "0s", "--mean-delay", "1s", "--max-delay", "5s", "--tick", "1s", "--max-size", "6M"];

/// A running network: `n1` is the directory's authority, the last node the exit. Its processes end when it is dropped.
pub(crate) struct Network {
    dir: PathBuf,
    fog: PathBuf,
    user: u32,
    nodes: Vec<Option<Child>>,
    exit: Option<Child>,
}

impl Network {
    /// Sets up `count` nodes below `dir` and starts them, all as `user`, who must be able to enter `dir`. The exit hands
    /// its mail to `deliver`, in the words of fog.toml(5).
    pub(crate) fn start(dir: &Path, user: u32, count: usize, deliver: &str) -> Self {
        // Of our own, because the user may not be able to enter the build directory.
        let fog = dir.join("fog");
        fs::copy(env!("CARGO_BIN_EXE_fog"), &fog).unwrap();
        let mut network = Self { dir: dir.to_owned(), fog, user, nodes: Vec::new(), exit: None };
        for index in 0..count {
            network.init(index, index + 1 == count, deliver);
        }
        network.agree(count);
        for index in 0..count {
            network.nodes.push(None);
            network.start_node(index);
        }
        network.exit = Some(network.spawn(count - 1, "exit"));
        network
    }

    /// The program, to be run by anybody.
    pub(crate) fn fog(&self) -> &Path {
        &self.fog
    }

    /// Where node `index` (from 0) has its configuration.
    pub(crate) fn config(&self, index: usize) -> PathBuf {
        self.home(index).join("fog.toml")
    }

    /// Starts node `index`.
    pub(crate) fn start_node(&mut self, index: usize) {
        self.nodes[index] = Some(self.spawn(index, "node"));
    }

    /// Kills node `index` as a power cut would.
    pub(crate) fn kill_node(&mut self, index: usize) {
        let mut child = self.nodes[index].take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    fn home(&self, index: usize) -> PathBuf {
        self.dir.join(format!("n{}", index + 1))
    }

    fn init(&self, index: usize, is_exit: bool, deliver: &str) {
        let home = self.home(index);
        fs::create_dir(&home).unwrap();
        std::os::unix::fs::chown(&home, Some(self.user), Some(self.user)).unwrap();
        let address = format!("127.0.0.1:{}", free_port());
        let mut init = self.command(&["init", "--name", &format!("n{}", index + 1), "--dir"]);
        init.arg(&home).args(["--listen", &address, "--address", &address]);
        init.args(["--roles", if is_exit { "mix,exit" } else { "mix" }]);
        if is_exit {
            init.args(["--deliver", deliver, "--from", "anonymous@exit.invalid"]);
        }
        if index == 0 {
            init.arg("--new-network").args(PARAMETERS);
        }
        output(&mut init);
    }

    /// Collects the descriptors at the authority, has it sign, and hands the document to everybody.
    fn agree(&self, count: usize) {
        for index in 1..count {
            let descriptor = self.dir.join(format!("n{}.descriptor", index + 1));
            fs::write(&descriptor, output(&mut self.at(index, &["node-info"]))).unwrap();
            output(self.at(0, &["directory", "add"]).arg(&descriptor));
        }
        output(&mut self.at(0, &["directory", "sign"]));
    }

    fn spawn(&self, index: usize, verb: &str) -> Child {
        let log = fs::File::create(self.home(index).join(format!("{verb}.log"))).unwrap();
        let mut command = self.at(index, &[verb]);
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        command.spawn().unwrap()
    }

    fn at(&self, index: usize, arguments: &[&str]) -> Command {
        let mut command = self.command(arguments);
        command.arg("--config").arg(self.config(index));
        command
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.fog);
        command.args(arguments).current_dir(&self.dir).uid(self.user).gid(self.user);
        command
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for child in self.nodes.iter_mut().flatten().chain(&mut self.exit) {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            for index in 0..self.nodes.len() {
                for verb in ["node", "exit"] {
                    let log = fs::read_to_string(self.home(index).join(format!("{verb}.log"))).unwrap_or_default();
                    eprintln!("--- n{} {verb}\n{log}", index + 1);
                }
            }
        }
    }
}

/// A port of loopback that nobody listens on at this moment.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// What `command` prints; it must end well.
fn output(command: &mut Command) -> Vec<u8> {
    let out = command.stdin(Stdio::null()).output().unwrap();
    assert!(out.status.success(), "{command:?}: {}\n{}", out.status, String::from_utf8_lossy(&out.stderr));
    out.stdout
}
