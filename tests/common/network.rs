//! A network of real `fog node` processes on loopback, set up with the verbs that an operator uses.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How a test's network is set up; fractions of a second where a real one has hours.
const PARAMETERS: &[&str] = &[
    "min-delay=100ms",
    "mean-delay=300ms",
    "max-delay=2s",
    "tick=100ms",
    "batch-min=0",
    "send-every=100ms",
    "max-size=6M",
];

/// How long a process may take to open its sockets, on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// Mounts the disk beside a spool on it.
const MOUNT: &str = "mount -o loop \"$1.disk\" \"$1\"";

/// What a network is to be made of.
pub(crate) struct Plan<'a> {
    /// Whom its processes run as, who must be able to enter its directory.
    pub(crate) user: u32,
    /// Where each node listens, and where the others find it.
    pub(crate) addresses: Vec<(String, String)>,
    /// Which nodes are exits, and how each hands its mail out, in the words of fog.toml(5).
    pub(crate) exits: Vec<(usize, String)>,
    /// Which nodes without that role hand out notices to their own users, how, and of which domain these are.
    pub(crate) homes: Vec<(usize, String, &'a str)>,
    /// Parameters in place of those of other tests.
    pub(crate) parameters: &'a [&'a str],
    /// What the daemons are given as `--set`.
    pub(crate) sets: &'a [&'a str],
}

/// A running network: `n1` is the directory's authority. Its processes end when it is dropped.
pub(crate) struct Network {
    dir: PathBuf,
    fog: PathBuf,
    user: u32,
    nodes: Vec<Option<Child>>,
    /// By the number of the node that they are beside.
    exits: BTreeMap<usize, Option<Child>>,
    sets: Vec<String>,
    /// Whoever holds the disk of a node that has one of its own.
    disks: BTreeMap<usize, Child>,
}

impl Network {
    /// Sets up `count` nodes below `dir` and starts them, all as `user`, who must be able to enter `dir`. The last one is
    /// the exit, and hands its mail to `deliver`, in the words of fog.toml(5).
    #[allow(dead_code, reason = "not every test has an ordinary network")]
    pub(crate) fn start(dir: &Path, user: u32, count: usize, deliver: &str) -> Self {
        Self::start_with(dir, user, count, deliver, &["log.target=stderr"])
    }

    /// The same, with these settings for all daemons.
    #[allow(dead_code, reason = "not every test has other settings")]
    pub(crate) fn start_with(dir: &Path, user: u32, count: usize, deliver: &str, sets: &[&str]) -> Self {
        let addresses = free_ports(count).into_iter().map(|port| format!("127.0.0.1:{port}"));
        let plan = Plan {
            user,
            addresses: addresses.map(|address| (address.clone(), address)).collect(),
            exits: vec![(count - 1, deliver.to_owned())],
            homes: Vec::new(),
            parameters: &[],
            sets,
        };
        Self::start_as(dir, &plan)
    }

    /// Sets up what is planned below `dir`, and starts it.
    pub(crate) fn start_as(dir: &Path, plan: &Plan<'_>) -> Self {
        // Of our own, because the user may not be able to enter the build directory.
        let fog = dir.join("fog");
        // By another process: while we held it open for writing, nobody could run it, and whoever another test starts
        // at that moment holds it open as well.
        output(Command::new("cp").arg(env!("CARGO_BIN_EXE_fog")).arg(&fog));
        let sets = plan.sets.iter().map(|set| format!("--set={set}")).collect();
        let mut network = Self {
            dir: dir.to_owned(),
            fog,
            user: plan.user,
            nodes: Vec::new(),
            exits: BTreeMap::new(),
            sets,
            disks: BTreeMap::new(),
        };
        network.found(plan);
        let count = plan.addresses.len();
        network.nodes.resize_with(count, || None);
        for index in 0..count {
            network.nodes[index] = Some(network.spawn(index, "node"));
        }
        for index in 0..count {
            network.wait_for_node(index);
        }
        let exits = plan.exits.iter().map(|(index, _)| *index);
        exits.chain(plan.homes.iter().map(|(index, ..)| *index)).for_each(|index| network.start_exit_of(index));
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

    /// Starts node `index`; it takes mail when this returns.
    pub(crate) fn start_node(&mut self, index: usize) {
        self.nodes[index] = Some(self.spawn(index, "node"));
        self.wait_for_node(index);
    }

    /// Starts node `index` as systemd would: once more for as long as it ends and asks for that, as one does whose clock was
    /// ahead, when it has a document of an epoch that has not begun.
    #[allow(dead_code, reason = "the breaking test uses it")]
    pub(crate) fn start_node_again(&mut self, index: usize) {
        const TRY_AGAIN: i32 = 75;
        let began = Instant::now();
        loop {
            self.nodes[index] = Some(self.spawn(index, "node"));
            let Some(status) = self.has_ended(index) else { return };
            assert_eq!(status.code(), Some(TRY_AGAIN), "n{} has ended", index + 1);
            assert!(began.elapsed() < PATIENCE, "n{} does not start", index + 1);
            thread::sleep(Duration::from_secs(1));
        }
    }

    /// Starts node `index` with a clock that is so many seconds off. It may not want to start by it.
    #[allow(dead_code, reason = "the breaking test uses it")]
    pub(crate) fn start_node_off(&mut self, index: usize, seconds: i64) {
        let library = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";
        let library = library.replace("x86_64", std::env::consts::ARCH);
        assert!(Path::new(&library).exists(), "{library} is missing: it is in Debian's package libfaketime");
        let mut command = self.at(index, &["node"]);
        command.args(&self.sets).env("LD_PRELOAD", library).env("FAKETIME", format!("{seconds:+}s"));
        command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("DONT_FAKE_MONOTONIC", "1");
        self.nodes[index] = Some(with_log(&mut command, &self.log(index, "node")));
    }

    /// Puts the spool of node `index`, which doesn't run, on a disk of its own of so many bytes, that no other process sees but
    /// by [`Self::spool_seen_by`]. It outlives the node, and is gone with the network.
    #[allow(dead_code, reason = "the Exim test uses it")]
    pub(crate) fn put_on_small_disk(&mut self, index: usize, bytes: u64) {
        let user = self.user;
        let options = format!("size={bytes},mode=700,uid={user},gid={user}");
        self.put_on_disk(index, &format!("mount -t tmpfs -o {options} tmpfs \"$1\""));
    }

    /// The same, a disk with a file system of its own, which can fail.
    #[allow(dead_code, reason = "the test of disks uses it")]
    pub(crate) fn put_on_disk_that_can_fail(&mut self, index: usize, bytes: u64) {
        self.put_on_disk(
            index,
            &format!("truncate -s {bytes} \"$1.disk\" && mke2fs -q -t ext4 \"$1.disk\" && {MOUNT}"),
        );
    }

    /// Puts the spool of node `index` on what `mount` mounts there; `$1` is its path.
    fn put_on_disk(&mut self, index: usize, mount: &str) {
        // Copied aside first: the new disk hides what is below it.
        let script = format!(
            "copy=$(mktemp -d); cp -a \"$1/.\" \"$copy\"
            {mount} && cp -a \"$copy/.\" \"$1\" && sync && rm -r \"$copy\" || exit 1
            echo ready; exec sleep infinity"
        );
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &script, "sh"]).arg(self.home(index).join("spool"));
        let mut holder = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut said).unwrap();
        self.disks.insert(index, holder);
        assert_eq!(said, "ready\n", "there is no disk for n{}", index + 1);
    }

    /// Lets the disk of node `index` fail, as one does that is torn out: from here on nothing can be read or written there.
    #[allow(dead_code, reason = "the test of disks uses it")]
    pub(crate) fn fail_disk(&self, index: usize) {
        // EXT4_IOC_SHUTDOWN, with what is not synced lost: what mount(8) can do leaves it readable.
        const FAIL: &str =
            "open my $disk, '<', $ARGV[0] or die $!; my $how = pack 'L', 2; ioctl $disk, 0x8004587d, $how or die $!";
        self.on_disk(index, &["perl", "-e", FAIL]);
    }

    /// Mounts the disk of node `index`, which doesn't run, once more, after it failed.
    #[allow(dead_code, reason = "the test of disks uses it")]
    pub(crate) fn mend_disk(&self, index: usize) {
        self.on_disk(index, &["sh", "-c", &format!("umount \"$1\" && {MOUNT}"), "sh"]);
    }

    /// Runs a command where the disk of node `index` is seen, the spool its last argument.
    fn on_disk(&self, index: usize, command: &[&str]) {
        let holder = format!("--mount=/proc/{}/ns/mnt", self.disks[&index].id());
        output(Command::new("nsenter").arg(holder).args(command).arg(self.home(index).join("spool")));
    }

    /// The spool of node `index` as the node itself sees it.
    #[allow(dead_code, reason = "the Exim test uses it")]
    pub(crate) fn spool_seen_by(&self, index: usize) -> PathBuf {
        let process = PathBuf::from(format!("/proc/{}/root", self.disks[&index].id()));
        process.join(self.home(index).join("spool").strip_prefix("/").unwrap())
    }

    /// Starts node `index` again if it has ended, as systemd would.
    #[allow(dead_code, reason = "the Exim test uses it")]
    pub(crate) fn start_node_if_it_has_ended(&mut self, index: usize) {
        if self.nodes[index].as_mut().is_none_or(|node| node.try_wait().unwrap().is_some()) {
            self.start_node(index);
        }
    }

    /// How node `index` has ended, if it has.
    #[allow(dead_code, reason = "the test of disks uses it")]
    pub(crate) fn ended(&mut self, index: usize) -> Option<ExitStatus> {
        self.nodes[index].as_mut().and_then(|node| node.try_wait().unwrap())
    }

    /// Starts node `index`, which ends by itself; gives its code and what it said.
    #[allow(dead_code, reason = "the test of disks uses it")]
    pub(crate) fn node_that_ends(&mut self, index: usize) -> (i32, String) {
        let (began, mut node) = (Instant::now(), self.spawn(index, "node"));
        loop {
            if let Some(status) = node.try_wait().unwrap() {
                return (status.code().unwrap(), fs::read_to_string(self.log(index, "node")).unwrap());
            }
            // It may be half a minute before it has anything to write.
            if began.elapsed() > 3 * PATIENCE {
                let _ = node.kill();
                panic!("n{} goes on", index + 1);
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Mounts the disk of node `index`, which doesn't run, anew: `ro` or `rw`.
    #[allow(dead_code, reason = "the test of disks uses it")]
    pub(crate) fn remount(&self, index: usize, how: &str) {
        self.on_disk(index, &["mount", "-o", &format!("remount,{how}")]);
    }

    /// Sends a signal to node `index`, by its name: STOP, CONT.
    #[allow(dead_code, reason = "the Exim test uses it")]
    pub(crate) fn signal_node(&self, index: usize, signal: &str) {
        let pid = self.nodes[index].as_ref().unwrap().id();
        output(Command::new("kill").arg(format!("-{signal}")).arg(pid.to_string()));
    }

    /// All processes that run, to be ended by somebody else.
    #[allow(dead_code, reason = "the test of core files uses it")]
    pub(crate) fn take_processes(&mut self) -> Vec<Child> {
        self.nodes.iter_mut().chain(self.exits.values_mut()).filter_map(Option::take).collect()
    }

    /// Starts the exit process beside the last node.
    #[allow(dead_code, reason = "not every test has an ordinary network")]
    pub(crate) fn start_exit(&mut self) {
        self.start_exit_of(self.nodes.len() - 1);
    }

    /// Starts the exit process beside node `index`.
    pub(crate) fn start_exit_of(&mut self, index: usize) {
        let exit = self.spawn(index, "exit");
        self.exits.insert(index, Some(exit));
    }

    /// Kills node `index` as a power cut would.
    pub(crate) fn kill_node(&mut self, index: usize) {
        let mut child = self.nodes[index].take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Kills the exit process beside the last node as a power cut would.
    #[allow(dead_code, reason = "not every test has an ordinary network")]
    pub(crate) fn kill_exit(&mut self) {
        self.kill_exit_of(self.nodes.len() - 1);
    }

    /// Kills the exit process beside node `index` as a power cut would.
    pub(crate) fn kill_exit_of(&mut self, index: usize) {
        let mut child = self.exits.get_mut(&index).and_then(Option::take).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// What an operator sees of node `index` by this verb and its arguments; why not, if it can't be asked.
    #[allow(dead_code, reason = "the breaking test uses it")]
    pub(crate) fn ask(&self, index: usize, arguments: &[&str]) -> String {
        let out = self.at(index, arguments).stdin(Stdio::null()).output().unwrap();
        String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned()
    }

    /// What the exit processes beside the last node have logged.
    #[allow(dead_code, reason = "not every test has an ordinary network")]
    pub(crate) fn exit_log(&self) -> String {
        fs::read_to_string(self.log(self.nodes.len() - 1, "exit")).unwrap_or_default()
    }

    fn home(&self, index: usize) -> PathBuf {
        self.dir.join(format!("n{}", index + 1))
    }

    /// The first node founds the network, the others join it; the first signs them all in, and everybody keeps that.
    fn found(&self, plan: &Plan<'_>) {
        let count = plan.addresses.len();
        let deliver = |index: usize| plan.exits.iter().find(|(exit, _)| *exit == index).map(|(_, deliver)| deliver);
        let mut init = self.init(0, &plan.addresses[0], deliver(0));
        init.arg("--new-network");
        let parameters = if plan.parameters.is_empty() { PARAMETERS } else { plan.parameters };
        for parameter in parameters {
            init.args(["--set", &format!("network.{parameter}")]);
        }
        let founded: serde_json::Value = serde_json::from_slice(&output(&mut init)).unwrap();
        let text = |key: &str| founded[key].as_str().unwrap();
        let mut add = self.at(0, &["directory", "add"]);
        for index in 1..count {
            let mut init = self.init(index, &plan.addresses[index], deliver(index));
            init.args(["--join", text("draft"), "--trust", text("authority")]);
            output(&mut init);
            if deliver(index).is_some() {
                self.set_manners(index);
            }
            let descriptor = self.dir.join(format!("n{}.descriptor", index + 1));
            fs::write(&descriptor, output(&mut self.at(index, &["node-info"]))).unwrap();
            add.arg(&descriptor);
        }
        for (index, deliver, domain) in &plan.homes {
            let home = format!("[entry]\nnotify = [\"{domain}\"]\n\n[exit]\ndeliver = \"{deliver}\"\n");
            self.configure(*index, "home.toml", &home);
        }
        output(&mut add);
        output(&mut self.at(0, &["directory", "sign"]));
        // Everybody's own operator takes it from there, and none can read another's directory.
        let document = self.dir.join("directory");
        fs::copy(self.home(0).join("spool/directory"), &document).unwrap();
        for index in 1..count {
            output(self.at(index, &["directory", "verify", "--keep"]).arg(&document));
        }
    }

    /// Lets an exit hand out in a minute what it would in days, and post to newsgroups.
    fn set_manners(&self, index: usize) {
        let gateways = "[\"mail2news@away.example\", \"m2n-{date}-{groups}@taking.example\"]";
        let manners = format!("[exit]\nper-recipient = \"none\"\nrate = \"none\"\nnews = {gateways}\n");
        self.configure(index, "manners.toml", &manners);
    }

    /// Adds a file to the configuration of a node.
    fn configure(&self, index: usize, name: &str, text: &str) {
        let dir = self.home(index).join("conf.d");
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join(name), text).unwrap();
        if let Some(user) = self.other_user() {
            std::os::unix::fs::chown(&dir, Some(user), Some(user)).unwrap();
        }
    }

    fn init(&self, index: usize, (listen, onion): &(String, String), deliver: Option<&String>) -> Command {
        let home = self.home(index);
        fs::create_dir(&home).unwrap();
        if let Some(user) = self.other_user() {
            std::os::unix::fs::chown(&home, Some(user), Some(user)).unwrap();
        }
        let mut init = self.command(&["init", "--json", "--name", &format!("n{}", index + 1)]);
        init.args(["--onion", onion, "--listen", listen, "--dir"]).arg(home);
        match deliver {
            None => init.args(["--roles", "mix"]),
            Some(deliver) => {
                let from = "Anonymous <anonymous@exit.invalid>";
                init.args(["--roles", "mix,exit", "--deliver", deliver, "--from", from])
            }
        };
        init
    }

    fn wait_for_node(&mut self, index: usize) {
        let ended = self.has_ended(index);
        assert!(ended.is_none(), "n{} has ended: {ended:?}", index + 1);
    }

    /// Waits until node `index` takes mail; gives how it has ended, if it has instead.
    fn has_ended(&mut self, index: usize) -> Option<ExitStatus> {
        let (began, socket) = (Instant::now(), self.home(index).join("run/submit.sock"));
        while UnixStream::connect(&socket).is_err() {
            let ended = self.nodes[index].as_mut().unwrap().try_wait().unwrap();
            if ended.is_some() {
                return ended;
            }
            assert!(began.elapsed() < PATIENCE, "n{} does not open {}", index + 1, socket.display());
            thread::sleep(Duration::from_millis(20));
        }
        None
    }

    fn spawn(&self, index: usize, verb: &str) -> Child {
        let mut command = match self.disks.get(&index) {
            Some(holder) if verb == "node" => self.on_disk_of(holder, index),
            _ => self.at(index, &[verb]),
        };
        command.args(&self.sets);
        with_log(&mut command, &self.log(index, verb))
    }

    /// The node, where it sees what `holder` holds.
    fn on_disk_of(&self, holder: &Child, index: usize) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--mount=/proc/{}/ns/mnt", holder.id()));
        let user = self.user.to_string();
        command.args(["setpriv", "--reuid", &user, "--regid", &user, "--clear-groups"]);
        command.arg(&self.fog).arg("node").arg("--config").arg(self.config(index)).current_dir(&self.dir);
        command
    }

    fn log(&self, index: usize, verb: &str) -> PathBuf {
        self.home(index).join(format!("{verb}.log"))
    }

    fn at(&self, index: usize, arguments: &[&str]) -> Command {
        let mut command = self.command(arguments);
        command.arg("--config").arg(self.config(index));
        command
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.fog);
        command.args(arguments).current_dir(&self.dir);
        if let Some(user) = self.other_user() {
            command.uid(user).gid(user);
        }
        command
    }

    /// Whom to run as, if not as we are: only root may become somebody else, or have another group.
    fn other_user(&self) -> Option<u32> {
        let ours = fs::metadata("/proc/self").unwrap().uid();
        Some(self.user).filter(|user| *user != ours)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let processes = self.nodes.iter_mut().chain(self.exits.values_mut()).flatten();
        for child in processes.chain(self.disks.values_mut()) {
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

/// Ports of loopback that nobody listens on at this moment, all different, and none that the system gives to whoever calls
/// somebody: it would be taken while a node that was killed is away.
pub(crate) fn free_ports(count: usize) -> Vec<u16> {
    let listen = |port: u16| TcpListener::bind(("127.0.0.1", port)).ok();
    let listeners: Vec<_> =
        std::iter::repeat_with(|| rand::random_range(10_000..32_000)).filter_map(listen).take(count).collect();
    listeners.iter().map(|listener| listener.local_addr().unwrap().port()).collect()
}

fn with_log(command: &mut Command, log: &Path) -> Child {
    // Of one that was killed the log goes on: what it said before may be why.
    let log = fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
}

/// What `command` prints; it must end well.
fn output(command: &mut Command) -> Vec<u8> {
    let out = command.stdin(Stdio::null()).output().unwrap();
    assert!(out.status.success(), "{command:?}: {}\n{}", out.status, String::from_utf8_lossy(&out.stderr));
    out.stdout
}
