//! Nothing of a mail is anywhere but where it belongs: a mark in each of its fields, sent through an entry, two mixes and
//! an exit, is looked for in all that they print, log, write and are started with. The search itself is tested first.
//!
//! Where it belongs: sealed in the spools, where no mark can be read, and in the Maildir at the end, what is for the
//! recipient. One exception: the MTA gives its queue id to `fog send --mta` as an argument, where it stands until that
//! ends; it may be nowhere else. Real processes; the MTA's own logs are its own, and are not here.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test stops at the first surprise")]
#![allow(clippy::disallowed_methods, clippy::print_stderr, reason = "real processes have a real clock and real logs")]

#[path = "common/network.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod network;

use data_encoding::{BASE64, HEXLOWER};
use network::Network;
use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(90);

/// Entry, two mixes, exit.
const NODES: usize = 4;

/// A mark for each field; what they have in common is in no program, and no other run of this test has it.
struct Marks(String);

/// What of a mail its recipient gets; nobody else gets even that.
const DELIVERED: [&str; 5] = ["rcpt", "rcptdomain", "subject", "body", "filename"];

/// What nobody gets.
const TAKEN_OUT: [&str; 12] = [
    "sender",
    "senderdomain",
    "fromname",
    "from",
    "replyto",
    "cc",
    "received",
    "msgid",
    "agent",
    "xheader",
    "boundary",
    "org",
];

impl Marks {
    fn new() -> Self {
        Self(HEXLOWER.encode(&rand::random::<[u8; 6]>()))
    }

    /// Letters and digits that stand in an address as well as in a word.
    fn of(&self, field: &str) -> String {
        format!("{field}{}", self.0)
    }

    fn all() -> impl Iterator<Item = &'static str> {
        DELIVERED.into_iter().chain(TAKEN_OUT)
    }

    /// A mail as an MTA's pipe hands it over, with a mark in each field.
    fn mail(&self) -> String {
        let mark = |field| self.of(field);
        format!(
            "Return-Path: <{sender}@{senderdomain}.example>\n\
             X-Original-To: {rcpt}@{rcptdomain}.example.fog\n\
             Delivered-To: {rcpt}@{rcptdomain}.example.fog\n\
             Received: from {received}.example ([192.0.2.77]) by mx; Mon, 23 Nov 2026 01:02:03 +0100\n\
             From: {fromname} <{from}@{senderdomain}.example>\nTo: {rcpt}@{rcptdomain}.example.fog\n\
             Reply-To: {replyto}@x.example\nCc: {cc}@x.example\nMessage-ID: <{msgid}@{senderdomain}.example>\n\
             Date: Mon, 23 Nov 2026 01:02:03 +0100\nUser-Agent: {agent}\nX-Mark: {xheader}\nOrganization: {org}\n\
             Subject: {subject}\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"{boundary}\"\n\n\
             --{boundary}\nContent-Type: text/plain\n\n{body}\n\
             --{boundary}\nContent-Type: text/plain; name=\"{filename}.txt\"\n\
             Content-Disposition: attachment; filename=\"{filename}.txt\"\n\n{body}\n--{boundary}--\n",
            sender = mark("sender"),
            senderdomain = mark("senderdomain"),
            rcpt = mark("rcpt"),
            rcptdomain = mark("rcptdomain"),
            received = mark("received"),
            fromname = mark("fromname"),
            from = mark("from"),
            replyto = mark("replyto"),
            cc = mark("cc"),
            msgid = mark("msgid"),
            agent = mark("agent"),
            xheader = mark("xheader"),
            org = mark("org"),
            subject = mark("subject"),
            boundary = mark("boundary"),
            body = mark("body"),
            filename = mark("filename"),
        )
    }

    /// Whether a mark is in `bytes`, as it is, in other letters, in hex, in base64 or in UTF-16.
    fn is_in(&self, bytes: &[u8]) -> bool {
        let lower = bytes.to_ascii_lowercase();
        let plain = self.0.as_bytes();
        let wide: Vec<u8> = plain.iter().flat_map(|byte| [*byte, 0]).collect();
        let hex = HEXLOWER.encode(plain).into_bytes();
        // By its first byte: spools are large.
        let has = |haystack: &[u8], needle: &[u8]| {
            let starts = haystack.iter().enumerate().filter(|(_, byte)| **byte == needle[0]);
            starts.map(|(at, _)| &haystack[at..]).any(|rest| rest.starts_with(needle))
        };
        // In base64 it looks different at each of three places; its ends hang on what stands beside it.
        let base64 = (0..3).map(|pad| {
            let text = BASE64.encode(&[&b"xxx"[..pad], plain].concat());
            text.as_bytes()[4..text.len() - 4].to_vec()
        });
        [plain.to_vec(), wide, hex].iter().any(|needle| has(&lower, needle))
            || base64.into_iter().any(|n| has(bytes, &n))
    }
}

/// Where a mark was found.
type Leaks = BTreeSet<String>;

/// Looks through a directory: names and contents of all that is in it.
fn search_files(marks: &Marks, dir: &Path) -> Leaks {
    let mut found = Leaks::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for path in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
            let kind = fs::symlink_metadata(&path).unwrap();
            if marks.is_in(path.as_os_str().as_encoded_bytes()) {
                found.insert(format!("name {}", path.display()));
            }
            if kind.is_dir() {
                dirs.push(path);
            } else if kind.is_file() && marks.is_in(&fs::read(&path).unwrap()) {
                found.insert(format!("file {}", path.display()));
            }
        }
    }
    found
}

/// Looks at how every process of the machine was started.
fn search_processes(marks: &Marks) -> Leaks {
    let mut found = Leaks::new();
    for process in fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path()) {
        for what in ["cmdline", "environ", "comm"] {
            // It may have ended, or be somebody else's.
            if fs::read(process.join(what)).is_ok_and(|bytes| marks.is_in(&bytes)) {
                found.insert(format!("{what} {}", process.display()));
            }
        }
    }
    found
}

/// A syslog daemon that keeps what it hears.
struct Syslog {
    path: PathBuf,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Syslog {
    fn start(path: PathBuf) -> Self {
        let socket = UnixDatagram::bind(&path).unwrap();
        let heard = Arc::<Mutex<Vec<u8>>>::default();
        let kept = Arc::clone(&heard);
        thread::spawn(move || {
            let mut line = [0; 2048];
            while let Ok(length) = socket.recv(&mut line) {
                kept.lock().unwrap().extend([&line[..length], b"\n"].concat());
            }
        });
        Self { path, heard }
    }

    fn heard(&self) -> Vec<u8> {
        self.heard.lock().unwrap().clone()
    }
}

fn kinds(leaks: &Leaks) -> Vec<&str> {
    leaks.iter().map(|leak| leak.split(' ').next().unwrap()).collect()
}

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
fn nothing_of_a_mail_is_anywhere_but_in_the_sealed_store_and_the_last_maildir() {
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
