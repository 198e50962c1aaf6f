//! Nothing of a mail is anywhere but where it belongs, with all that it goes through: a client, Postfix with the milter,
//! an entry, three mixes, an exit, and another Postfix. A mark in each field, down to the client's greeting, is looked for
//! in what they print, log, write and are started with.
//!
//! Where it belongs: sealed in the spools, and in the Maildir at the end, what is for the recipient. Exceptions:
//!
//! - the entry's Postfix logs the Message-ID, before any milter is asked; the network draws another one;
//! - it has the whole mail in its queue until it has let go of it, some milliseconds after its answer;
//! - the exit's Postfix logs whom it delivers to, and has them in its table of mailboxes: it is their mail server.

use crate::instance::{NOBODY, Postfix, open_to_all};
use crate::marks::{DELIVERED, Leaks, Marks, Syslog, kinds, search_files, search_processes};
use crate::milter::Site;
use crate::network::Network;
use crate::{scratch, wait_for};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// Entry, three mixes, exit.
const NODES: usize = 5;

/// A file's text is free of marks once these are taken out of it.
fn excepted(file: &Path, excepted: &[String]) -> String {
    let text = fs::read_to_string(file).unwrap();
    excepted.iter().fold(text, |text, known| {
        assert!(text.contains(known), "{known} is not in {}: the exception is none", file.display());
        text.replace(known, "")
    })
}

/// The mail as its author's program says it to Postfix, and what that answers.
fn submit(site: &Site, marks: &Marks) {
    let mark = |field| marks.of(field);
    let mail = marks.mail();
    // What pipe(8) puts in front isn't there yet.
    let added = ["Return-Path:", "X-Original-To:", "Delivered-To:"];
    let lines = mail.lines().skip_while(|line| added.iter().any(|name| line.starts_with(name)));
    let mail: String = lines.map(|line| format!("{line}\r\n")).collect();
    let mut smtp = site.smtp();
    for (line, answer) in [
        (format!("EHLO {}.example", mark("helo")), "250"),
        (format!("MAIL FROM:<{}@{}.example>", mark("sender"), mark("senderdomain")), "250"),
        (format!("RCPT TO:<{}@{}.example.fog>", mark("rcpt"), mark("rcptdomain")), "250"),
        ("DATA".to_owned(), "354"),
        (format!("{mail}."), "250"),
        ("QUIT".to_owned(), "221"),
    ] {
        let said = smtp.say(&line);
        assert!(said.starts_with(answer), "{line}: {said}");
    }
}

/// Everything below `dir` and every process, but the named exceptions.
fn search(marks: &Marks, dir: &Path) -> Leaks {
    let mailboxes = dir.join("there/mail");
    let expected = |leak: &String| {
        let (kind, path) = leak.split_once(' ').unwrap();
        let path = PathBuf::from(path);
        let is_log = [dir.join("here/mail.log"), dir.join("there/mail.log")].contains(&path);
        // Those two are read with their exceptions at the end.
        kind == "file" && (is_log || path.starts_with(dir.join("there/etc"))) || path.starts_with(&mailboxes)
    };
    let mut leaks = search_files(marks, dir);
    leaks.retain(|leak| !expected(leak));
    leaks.extend(search_processes(marks));
    leaks
}

#[test]
fn with_the_milter_nothing_of_a_mail_is_left_but_what_is_named() {
    let Some(dir) = scratch() else { return };
    let (dir, marks) = (dir.path(), Marks::new());
    let domain = format!("{}.example", marks.of("rcptdomain"));
    let there = Postfix::start(&dir.join("there"), &domain, &[&marks.of("rcpt")], "", "");
    // Its name is in the environment of all its processes, and would be a mark.
    there.stop();
    there.set("myhostname = mx.there.invalid");
    there.start_again();
    let outside = tempfile::tempdir().unwrap();
    open_to_all(outside.path());
    let syslog = Syslog::start(outside.path().join("log"));
    fs::set_permissions(&syslog.path, fs::Permissions::from_mode(0o666)).unwrap();
    let target = format!("log.target=syslog:{}", syslog.path.display());
    let deliver = format!("smtp:127.0.0.1:{}", there.port());
    let network = Network::start_with(dir, NOBODY, NODES, &deliver, &["log.level=info", &target]);
    symlink(network.config(0).with_file_name("run").join("submit.sock"), dir.join("submit.sock")).unwrap();
    let site = Site::start(dir, &["log.level=info"]);

    let done = AtomicBool::new(false);
    let mail = thread::scope(|scope| {
        let (watched, marks) = (&done, &marks);
        let watcher = scope.spawn(move || {
            let mut leaks = Leaks::new();
            while !watched.load(Ordering::Relaxed) {
                leaks.extend(search_processes(marks));
                thread::sleep(std::time::Duration::from_millis(5));
            }
            leaks
        });
        let stop = Stop(&done);
        submit(&site, marks);
        wait_for("an empty queue", || site.postfix.queue().is_empty().then_some(()));
        // While it lies in spools and pools, and is under way.
        let mail = wait_for("the mail", || {
            assert_eq!(search(marks, &dir.join("here/spool")), Leaks::new());
            for node in 1..=NODES {
                assert_eq!(search_files(marks, &dir.join(format!("n{node}"))), Leaks::new());
            }
            there.mailbox(&format!("{}@{domain}", marks.of("rcpt"))).pop()
        });
        wait_for("an empty queue", || there.queue().is_empty().then_some(()));
        drop(stop);
        assert_eq!(watcher.join().unwrap(), Leaks::new());
        mail
    });
    assert_eq!(search(&marks, dir), Leaks::new());
    let message_id = format!("message-id=<{}@{}.example>", marks.of("msgid"), marks.of("senderdomain"));
    let here = excepted(&dir.join("here/mail.log"), &[message_id]);
    let delivered = excepted(&dir.join("there/mail.log"), &[format!("to=<{}@{domain}>", marks.of("rcpt"))]);
    for (log, text) in [("here", &here), ("there", &delivered)] {
        let lines: Vec<_> = text.lines().filter(|line| marks.is_in(line.as_bytes())).collect();
        assert!(text.contains("removed") && lines.is_empty(), "{log}: {lines:?}");
    }
    let heard = String::from_utf8(syslog.heard()).unwrap();
    assert_eq!(heard.matches(": ready\n").count(), NODES, "{heard}");
    assert!(!marks.is_in(heard.as_bytes()), "{heard}");

    // It was this mail, and of it what is for the recipient.
    let mail = String::from_utf8(mail).unwrap();
    for field in Marks::all() {
        assert_eq!(mail.contains(&marks.of(field)), DELIVERED.contains(&field), "{field} in\n{mail}");
    }
    what_is_planted_is_found(&marks, dir, &syslog);
}

/// Ends the watching when it goes, after a failure too.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A leak of each kind in the same running system, and the same search.
fn what_is_planted_is_found(marks: &Marks, dir: &Path, syslog: &Syslog) {
    let mark = marks.of("rcpt");
    let planted = dir.join("n2/spool/planted");
    fs::write(&planted, format!("x{mark}")).unwrap();
    assert_eq!(kinds(&search(marks, dir)), ["file"]);
    fs::remove_file(&planted).unwrap();
    fs::write(dir.join("here/spool").join(&mark), "").unwrap();
    assert_eq!(kinds(&search(marks, dir)), ["name"]);
    fs::remove_file(dir.join("here/spool").join(&mark)).unwrap();

    let argument = ["-c", "read x", mark.as_str()];
    for (command, kind) in [
        (Command::new("sh").args(argument), "cmdline"),
        (Command::new("sh").args(&argument[..2]).env("SENDER", &mark), "environ"),
    ] {
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        let found = search(marks, dir);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(kinds(&found), [kind]);
    }
    UnixDatagram::unbound().unwrap().send_to(format!("<22>fog/node: to={mark}").as_bytes(), &syslog.path).unwrap();
    wait_for("syslog", || marks.is_in(&syslog.heard()).then_some(()));
}
