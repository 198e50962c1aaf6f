//! A mark for each field of a mail, and the search for them in files, processes and what a log has heard.

use data_encoding::{BASE64, HEXLOWER};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;

/// A mark for each field; what they have in common is in no program, and no other run of this test has it.
pub(crate) struct Marks(String);

/// What of a mail its recipient gets; nobody else gets even that.
pub(crate) const DELIVERED: [&str; 5] = ["rcpt", "rcptdomain", "subject", "body", "filename"];

/// What nobody gets.
pub(crate) const TAKEN_OUT: [&str; 13] = [
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
    "helo",
];

impl Marks {
    pub(crate) fn new() -> Self {
        Self(HEXLOWER.encode(&rand::random::<[u8; 6]>()))
    }

    /// Letters and digits that stand in an address as well as in a word.
    pub(crate) fn of(&self, field: &str) -> String {
        format!("{field}{}", self.0)
    }

    pub(crate) fn all() -> impl Iterator<Item = &'static str> {
        DELIVERED.into_iter().chain(TAKEN_OUT)
    }

    /// A mail as an MTA's pipe hands it over, with a mark in each field.
    pub(crate) fn mail(&self) -> String {
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
    pub(crate) fn is_in(&self, bytes: &[u8]) -> bool {
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
pub(crate) type Leaks = BTreeSet<String>;

/// Looks through a directory: names and contents of all that is in it.
pub(crate) fn search_files(marks: &Marks, dir: &Path) -> Leaks {
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
pub(crate) fn search_processes(marks: &Marks) -> Leaks {
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
pub(crate) struct Syslog {
    pub(crate) path: PathBuf,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Syslog {
    pub(crate) fn start(path: PathBuf) -> Self {
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

    pub(crate) fn heard(&self) -> Vec<u8> {
        self.heard.lock().unwrap().clone()
    }
}

pub(crate) fn kinds(leaks: &Leaks) -> Vec<&str> {
    leaks.iter().map(|leak| leak.split(' ').next().unwrap()).collect()
}
