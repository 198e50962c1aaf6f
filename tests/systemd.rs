//! The units of `systemd/`: sound, tight, and a node under sockets that systemd has opened.
//!
//! Needs the Debian package `systemd`, not a running systemd: without it the tests are skipped, unless FOG_REQUIRE_E2E says
//! that they must not be.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test stops at the first surprise")]
#![allow(clippy::print_stderr, clippy::disallowed_methods, reason = "real processes have a real clock and real logs")]

#[path = "common/network.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod network;

use network::Network;
use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);
/// Users and groups that need not exist.
const FOG: u32 = 64_001;
const ADM: u32 = 64_002;
const OTHER: u32 = 64_003;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Whether there is no such program here, and nobody insists.
fn is_missing(tool: &str) -> bool {
    let found = ["/usr/bin", "/bin", "/usr/sbin"].iter().any(|dir| Path::new(dir).join(tool).exists());
    assert!(found || std::env::var_os("FOG_REQUIRE_E2E").is_none(), "can't run without {tool} (package systemd)");
    if !found {
        eprintln!("skipped: no {tool}");
    }
    !found
}

/// The units as they are installed, but for the place of the program.
fn units(dir: &Path) -> Vec<PathBuf> {
    let mut units = Vec::new();
    for entry in fs::read_dir(root().join("systemd")).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if name.ends_with(".service") || name.ends_with(".socket") {
            let text = fs::read_to_string(entry.path()).unwrap();
            let unit = dir.join(&name);
            fs::write(&unit, text.replace("/usr/bin/fog", env!("CARGO_BIN_EXE_fog"))).unwrap();
            units.push(unit);
        }
    }
    assert_eq!(units.len(), 8);
    units.sort();
    units
}

#[test]
fn the_units_are_sound() {
    if is_missing("systemd-analyze") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let out = Command::new("systemd-analyze").args(["verify", "--man=no"]).args(units(dir.path())).output().unwrap();
    let said = String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned();
    // Of what is installed here besides, nothing is ours to judge.
    let ours: Vec<_> = said.lines().filter(|line| line.contains("fog")).collect();
    assert!(out.status.success() && ours.is_empty(), "{said}");
}

#[test]
fn no_service_is_exposed_more_than_1_0() {
    if is_missing("systemd-analyze") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let services: Vec<_> =
        units(dir.path()).into_iter().filter(|unit| unit.extension().unwrap() == "service").collect();
    assert_eq!(services.len(), 3);
    for service in services {
        let out = Command::new("systemd-analyze")
            .args(["security", "--offline=true", "--threshold=10", "--no-pager"])
            .arg(&service)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(out.status.success(), "{}", said.lines().filter(|line| !line.starts_with('✓')).collect::<String>());
        let said = said.lines().last().unwrap_or_default().to_owned();
        assert!(said.contains("Overall exposure level"), "{said}");
    }
}

#[test]
fn every_service_keeps_memory_off_the_disk_and_ends_for_good_where_only_a_person_helps() {
    let dir = tempfile::tempdir().unwrap();
    for unit in units(dir.path()).iter().filter(|unit| unit.extension().unwrap() == "service") {
        let text = fs::read_to_string(unit).unwrap();
        for line in [
            "LimitCORE=0",
            "MemorySwapMax=0",
            "Type=notify",
            "Restart=on-failure",
            "NoNewPrivileges=yes",
            "ConditionPathExists=/etc/fog/fog.toml",
        ] {
            assert!(text.lines().any(|found| found == line), "{}: {line}", unit.display());
        }
    }
    for (unit, codes) in [("node", "64 65 73 77 78"), ("exit", "64 73 77 78"), ("milter", "64 73 77 78")] {
        let text = fs::read_to_string(root().join(format!("systemd/fog-{unit}.service"))).unwrap();
        let line = format!("RestartPreventExitStatus={codes}");
        assert!(text.lines().any(|found| found == line), "{unit}: {line}");
    }
    let node = fs::read_to_string(root().join("systemd/fog-node.service")).unwrap();
    assert!(node.contains("\nLoadCredential=node.key:") && node.contains("\nWatchdogSec="));
}

#[test]
fn a_node_whose_disk_is_full_is_started_again_until_there_is_room() {
    let unit = fs::read_to_string(root().join("systemd/fog-node.service")).unwrap();
    let value = |key: &str| unit.lines().find_map(|line| line.strip_prefix(key)).unwrap();
    let seconds = |key: &str| value(key).strip_suffix('s').unwrap().parse::<u32>().unwrap();
    assert_eq!(value("StartLimitIntervalSec="), "1min");
    // A start that systemd counts for its limit is never so many of them.
    assert!(value("StartLimitBurst=").parse::<u32>().unwrap() > 60 / seconds("RestartSec=") + 1, "{unit}");
    let prevented: Vec<_> = value("RestartPreventExitStatus=").split(' ').collect();
    assert!(!prevented.contains(&"74") && prevented.contains(&"65"), "{prevented:?}");
}

#[test]
fn a_milter_that_fails_again_and_again_keeps_its_socket() {
    // systemd closes a socket whose service has hit its start limit, and one that starts it 20 times in 2 seconds.
    let unit = fs::read_to_string(root().join("systemd/fog-milter.service")).unwrap();
    assert!(unit.lines().any(|line| line == "StartLimitIntervalSec=0"), "{unit}");
    let line = unit.lines().find_map(|line| line.strip_prefix("ExecStopPost=")).unwrap();
    let script = line.strip_prefix("/bin/sh -c '").unwrap().strip_suffix('\'').unwrap().replace("$$", "$");
    let prevented = unit.lines().find_map(|line| line.strip_prefix("RestartPreventExitStatus=")).unwrap();
    for (status, waits) in
        prevented.split(' ').map(|status| (status, true)).chain([("0", false), ("101", false), ("TERM", false)])
    {
        let slept = script.replace("sleep 5", "echo sleeps");
        let out = Command::new("/bin/sh").args(["-c", &slept]).env("EXIT_STATUS", status).output().unwrap();
        assert!(out.status.success() && (out.stdout == b"sleeps\n") == waits, "{status}: {out:?}");
    }
}

#[test]
fn the_accounts_are_those_that_the_units_name() {
    let sysusers = fs::read_to_string(root().join("systemd/sysusers.conf")).unwrap();
    let made: BTreeSet<&str> = sysusers.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
    let mut named = BTreeSet::new();
    let dir = tempfile::tempdir().unwrap();
    let texts: Vec<_> = units(dir.path()).iter().map(|unit| fs::read_to_string(unit).unwrap()).collect();
    for line in texts.iter().flat_map(|text| text.lines()) {
        if let Some((key, account)) = line.split_once('=')
            && ["User", "Group", "SocketUser", "SocketGroup"].contains(&key)
        {
            named.insert(account);
        }
    }
    // Debian has the first, and Postfix brings the second.
    let others = named.difference(&made).copied().collect::<Vec<_>>();
    assert_eq!(others, ["adm", "postfix"]);
    assert!(named.contains("fog-mta") && sysusers.contains("\nm fog-mta    fog-submit\n"));
}

/// Ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_node_under_sockets_of_systemd_tells_a_group_its_status_and_no_more() {
    if is_missing("systemd-socket-activate") || fs::metadata("/proc/self").unwrap().uid() != 0 {
        eprintln!("skipped: only root can be somebody else");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    let mut network = Network::start(dir.path(), FOG, 2, "maildir:mail");
    network.kill_node(0);
    let run = dir.path().join("sockets");
    fs::create_dir(&run).unwrap();
    let config = fs::read_to_string(network.config(0)).unwrap();
    let listen = config.lines().find_map(|line| line.strip_prefix("listen = ")).unwrap().trim_matches('"').to_owned();
    let sockets = ["submit", "control"].map(|name| run.join(format!("{name}.sock")));
    let mut activate = Command::new("systemd-socket-activate");
    activate.args(["-l", &listen]);
    for socket in &sockets {
        activate.arg("-l").arg(socket);
    }
    activate.args(["setpriv", &format!("--reuid={FOG}"), &format!("--regid={FOG}"), "--clear-groups"]);
    activate.arg(network.fog()).args(["node", "--set", "log.target=stderr", "--config"]).arg(network.config(0));
    activate.args(["--set", &format!("node.sockets={}", run.display())]);
    let log = fs::File::create(dir.path().join("activated.log")).unwrap();
    let _running = Running(activate.stdin(Stdio::null()).stderr(log).spawn().unwrap());
    let begin = Instant::now();
    let until = |is: &dyn Fn() -> bool| {
        while !is() {
            let log = fs::read_to_string(dir.path().join("activated.log")).unwrap();
            assert!(begin.elapsed() < PATIENCE, "in vain\n{log}");
            sleep(Duration::from_millis(20));
        }
    };
    until(&|| sockets.iter().all(|socket| socket.exists()));
    // As the units have it: SocketUser, SocketGroup, SocketMode.
    for socket in &sockets {
        chown(socket, Some(FOG), Some(ADM)).unwrap();
        fs::set_permissions(socket, Permissions::from_mode(0o660)).unwrap();
    }
    // The first caller starts it, and waits in the socket until it is there.
    let first = TcpStream::connect(&listen).unwrap();
    let ask = |user: u32, groups: &[u32], verb: &[&str]| {
        let mut fog = Command::new("setpriv");
        fog.args([format!("--reuid={user}"), format!("--regid={user}")]);
        let groups: Vec<_> = groups.iter().map(ToString::to_string).collect();
        if groups.is_empty() {
            fog.arg("--clear-groups")
        } else {
            fog.arg(format!("--groups={}", groups.join(",")))
        };
        fog.arg(network.fog()).args(verb).arg("--config").arg(dir.path().join("shown.toml"));
        let out = fog.stdin(Stdio::null()).output().unwrap();
        (out.status.code().unwrap(), String::from_utf8(out.stdout).unwrap())
    };
    // What others may read of the configuration is enough to ask.
    let shown = config.replace("sockets = \"run\"", &format!("sockets = \"{}\"", run.display()));
    let shown = if shown == config { format!("node.sockets = \"{}\"\n{config}", run.display()) } else { shown };
    fs::write(dir.path().join("shown.toml"), shown).unwrap();
    until(&|| ask(0, &[], &["status"]).0 == 0);
    drop(first);
    assert_eq!(ask(OTHER, &[ADM], &["status"]).0, 0, "a member of the group");
    assert_eq!(ask(OTHER, &[], &["status"]).0, 77, "anybody else");
    for verb in [&["queue", "list"][..], &["queue", "retry"], &["queue", "drop", "--all", "--yes"]] {
        assert_eq!(ask(OTHER, &[ADM], verb).0, 77, "{verb:?}");
        assert_eq!(ask(FOG, &[], verb).0, 0, "{verb:?}: the node's own user");
    }
    let log = fs::read_to_string(dir.path().join("activated.log")).unwrap();
    assert!(log.contains("fog/node: ready\n"), "{log}");
    assert_eq!(fs::metadata(&sockets[1]).unwrap().gid(), ADM);
}
