//! Nothing of a mail is anywhere but where it belongs: a mark in each of its fields, sent through an entry, two mixes and
//! an exit, is looked for in all that they print, log, write and are started with. The search itself is tested first.
//!
//! Where it belongs: sealed in the spools, where no mark can be read, and in the Maildir at the end, what is for the
//! recipient. One exception: the MTA gives its queue id to `fog send --mta` as an argument, where it stands until that
//! ends; it may be nowhere else. Real processes; the MTA's own logs are its own, and are not here.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test stops at the first surprise")]
#![allow(clippy::disallowed_methods, clippy::print_stderr, reason = "real processes have a real clock and real logs")]

#[path = "common/marks.rs"]
mod marks;
#[path = "common/network.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod network;

use data_encoding::{BASE64, HEXLOWER};
use marks::{DELIVERED, Leaks, Marks, Syslog, kinds, search_files, search_processes};
use network::Network;
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(90);

/// Entry, two mixes, exit.
const NODES: usize = 4;

#[test]
fn a_leak_of_each_kind_is_found() {
    let marks = Marks::new();
    let mark = marks.of("rcpt");
    for bytes in [
        mark.clone().into_bytes(),
        format!("to=<{}@x>", mark.to_uppercase()).into_bytes(),
        HEXLOWER.encode(format!("a{mark}b").as_bytes()).into_bytes(),
        mark.encode_utf16().flat_map(u16::to_le_bytes).collect(),
    ] {
        assert!(marks.is_in(&[&b"start "[..], &bytes, b" end"].concat()), "{bytes:?}");
    }
    for before in ["", "a", "ab", "abc"] {
        assert!(marks.is_in(BASE64.encode(format!("{before}{mark} and more").as_bytes()).as_bytes()), "{before}");
    }
    assert!(!marks.is_in(Marks::new().mail().as_bytes()), "another mail");

    let dir = tempfile::tempdir().unwrap();
    assert_eq!(search_files(&marks, dir.path()), Leaks::new());
    fs::create_dir(dir.path().join("spool")).unwrap();
    fs::write(dir.path().join("spool/slab"), [&[0; 9000][..], mark.as_bytes()].concat()).unwrap();
    assert_eq!(kinds(&search_files(&marks, dir.path())), ["file"]);
    fs::write(dir.path().join("spool").join(&mark), "").unwrap();
    assert_eq!(kinds(&search_files(&marks, dir.path())), ["file", "name"]);

    let syslog = Syslog::start(dir.path().join("log"));
    UnixDatagram::unbound().unwrap().send_to(format!("<22>x: to={mark}").as_bytes(), &syslog.path).unwrap();
    let begin = Instant::now();
    while !marks.is_in(&syslog.heard()) {
        assert!(begin.elapsed() < PATIENCE, "syslog was not listened to");
        thread::yield_now();
    }

    assert_eq!(search_processes(&marks), Leaks::new());
    let mut argument = Command::new("sh").args(["-c", "read x", &mark]).stdin(Stdio::piped()).spawn().unwrap();
    let mut variable = Command::new("cat").env("RECIPIENT", &mark).stdin(Stdio::piped()).spawn().unwrap();
    let begin = Instant::now();
    while kinds(&search_processes(&marks)) != ["cmdline", "environ"] {
        assert!(begin.elapsed() < PATIENCE, "{:?}", search_processes(&marks));
        thread::yield_now();
    }
    for child in [&mut argument, &mut variable] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

/// Hands the mail in as an MTA's pipe does, and gives back the process, which has all of it but its end.
fn hand_in(network: &Network, marks: &Marks, queue: &Marks) -> Child {
    let mut send = Command::new(network.fog());
    send.args(["send", "--mta", "--queue-id", &queue.of("queueid")]).arg("--config").arg(network.config(0));
    send.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = send.spawn().unwrap();
    child.stdin.as_mut().unwrap().write_all(marks.mail().as_bytes()).unwrap();
    child
}

fn ask(network: &Network, node: usize, verb: &[&str]) -> Output {
    Command::new(network.fog()).args(verb).arg("--config").arg(network.config(node)).output().unwrap()
}

fn arrived(maildir: &Path) -> Option<Vec<u8>> {
    let mails = fs::read_dir(maildir.join("new")).ok()?;
    mails.map(|entry| fs::read(entry.unwrap().path()).unwrap()).next()
}

#[test]
fn attack_16_nothing_of_a_mail_is_anywhere_but_in_the_sealed_store_and_the_last_maildir() {
    let (dir, end) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (marks, queue, maildir) = (Marks::new(), Marks::new(), end.path().join("Maildir"));
    let syslog = Syslog::start(end.path().join("log"));
    let user = fs::metadata("/proc/self").unwrap().uid();
    let target = format!("log.target=syslog:{}", syslog.path.display());
    let deliver = format!("maildir:{}", maildir.display());
    let network = Network::start_with(dir.path(), user, NODES, &deliver, &["log.level=info", &target]);

    let mut outputs = Vec::new();
    let mut leaks = Leaks::new();
    let is_in = |bytes: &[u8]| marks.is_in(bytes) || queue.is_in(bytes);
    let mut send = hand_in(&network, &marks, &queue);
    leaks.extend(search_processes(&marks));
    drop(send.stdin.take());
    let sent = send.wait_with_output().unwrap();
    assert_eq!(sent.status.code(), Some(0), "{sent:?}");
    outputs.push(sent);
    let begin = Instant::now();
    // All the way: what waits, what is cut, what lies in pools, what is put together.
    let mail = loop {
        for node in [0, NODES - 1] {
            for verb in [&["queue", "list"][..], &["queue", "list", "--json"], &["status"], &["status", "--json"]] {
                outputs.push(ask(&network, node, verb));
            }
        }
        leaks.extend(search_processes(&marks));
        leaks.extend(search_files(&marks, dir.path()));
        if let Some(mail) = arrived(&maildir) {
            break mail;
        }
        assert!(begin.elapsed() < PATIENCE, "the mail doesn't arrive:\n{}", String::from_utf8_lossy(&syslog.heard()));
    };
    leaks.extend(search_files(&marks, dir.path()));
    leaks.extend(search_files(&queue, dir.path()));
    leaks.extend(search_processes(&queue));
    for output in &outputs {
        assert!(output.status.success(), "{output:?}");
        if is_in(&output.stdout) || is_in(&output.stderr) {
            leaks.insert(format!("output {output:?}"));
        }
    }
    let heard = String::from_utf8(syslog.heard()).unwrap();
    assert_eq!(heard.matches(": ready\n").count(), NODES, "{heard}");
    if is_in(heard.as_bytes()) {
        leaks.insert(format!("syslog {heard}"));
    }
    assert_eq!(leaks, Leaks::new());

    // It was this mail, and of it what is for the recipient.
    let mail = String::from_utf8(mail).unwrap();
    assert!(!queue.is_in(mail.as_bytes()));
    for field in Marks::all() {
        assert_eq!(mail.contains(&marks.of(field)), DELIVERED.contains(&field), "{field} in\n{mail}");
    }
}

/// Lets a process leave as large a core file as it likes, ends it as a bug would, and says whether it has left one.
fn leaves_core(child: &mut Child) -> bool {
    let pid = child.id().to_string();
    // Where that is forbidden there is none.
    let _ = Command::new("prlimit").args(["--core=unlimited", "--pid", &pid]).output();
    assert!(Command::new("kill").args(["-s", "ABRT", &pid]).status().unwrap().success());
    child.wait().unwrap().core_dumped()
}

#[test]
fn attack_16_no_process_of_fog_leaves_its_memory_when_it_dies() {
    let dir = tempfile::tempdir().unwrap();
    let marks = Marks::new();
    let home = dir.path().join("cores");
    fs::create_dir(&home).unwrap();
    // Any other program does, unless the machine forbids it: then there is nothing to be seen here.
    let mut other = Command::new("sh");
    other.args(["-c", "read x"]).env("RECIPIENT", marks.of("rcpt")).current_dir(&home).stdin(Stdio::piped());
    if !leaves_core(&mut other.spawn().unwrap()) {
        eprintln!("skipped: no program leaves a core file here");
        return;
    }
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    if !pattern.starts_with(['|', '/']) {
        assert_eq!(kinds(&search_files(&marks, &home)), ["file"], "a core file is not searched");
    }
    fs::remove_dir_all(&home).unwrap();
    fs::create_dir(&home).unwrap();

    let user = fs::metadata("/proc/self").unwrap().uid();
    let mut network = Network::start_with(dir.path(), user, 2, "maildir:/nonexistent", &["log.target=stderr"]);
    let mut children = network.take_processes();
    assert_eq!(children.len(), 3, "two nodes and an exit");
    let config = network.config(0);
    for arguments in [&["send", "--mta", "--queue-id", "x"][..], &["milter", "--set"]] {
        let mut fog = Command::new(network.fog());
        fog.args(arguments);
        if arguments[0] == "milter" {
            fog.arg(format!("milter.listen=unix:{}", dir.path().join("milter.sock").display()));
        }
        fog.arg("--config").arg(&config).stdin(Stdio::piped()).stderr(Stdio::null()).current_dir(&home);
        children.push(fog.spawn().unwrap());
    }
    let begin = Instant::now();
    while !dir.path().join("milter.sock").exists() {
        assert!(begin.elapsed() < PATIENCE, "the milter does not open its socket");
        thread::yield_now();
    }
    // All of them end before anything is said of one.
    let line = |child: &Child| fs::read_to_string(format!("/proc/{}/cmdline", child.id())).unwrap();
    let ended: Vec<_> = children.iter_mut().map(|child| (line(child), leaves_core(child))).collect();
    let leaving: Vec<_> = ended.iter().filter(|(_, leaves)| *leaves).map(|(line, _)| line.replace('\0', " ")).collect();
    assert!(leaving.is_empty(), "{leaving:?}");
}
