//! Real Postfix at both ends: swaks, Postfix, pipe(8), `fog send --mta`, five nodes, `fog exit`, Postfix, Maildir.
//!
//! Both Postfixes run with the snippets of `postfix/`, as an operator would have them. Needs root and a few Debian
//! packages: without them the tests are skipped, unless FOG_REQUIRE_E2E says that they must not be.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test stops at the first surprise")]
#![allow(clippy::print_stderr, clippy::disallowed_methods, reason = "real processes have a real clock and real logs")]

mod check;
mod instance;
mod leaks;
mod letters;
#[path = "../common/marks.rs"]
mod marks;
mod milter;
#[path = "../common/mta.rs"]
mod mta;
#[path = "../common/network.rs"]
mod network;
mod no_logs;
mod notices;
mod setup;

use fog::config::Deliver;
use fog::delivery::Disposition;
use fog::mail::address::Address;
use fog::mta::hand_over::{Patience, hand_over};
use fog::mta::smtp::Envelope;
use instance::{NOBODY, Postfix};
use letters::{Arrived, Letter, letters};
use mta::*;
use network::Network;
use std::fs;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

#[test]
fn letters_of_every_kind_arrive_whole_and_without_their_sender() {
    let Some(dir) = scratch() else { return };
    let letters = letters(dir.path());
    let site = Site::start(dir.path(), &letters);
    for letter in &letters {
        site.send(letter);
    }
    let mut arrived = Vec::new();
    for (letter, local) in letters.iter().flat_map(|letter| letter.to.iter().map(move |local| (letter, local))) {
        let recipient = format!("{local}@{THERE}");
        let raw = wait_for(letter.name, || site.there.mailbox(&recipient).pop());
        let mail = Arrived { recipient, raw };
        mail.check_clean(letter.from);
        (letter.check)(&mail);
        arrived.push(mail);
    }
    for mail in arrived {
        assert_eq!(site.there.mailbox(&mail.recipient).len(), 1, "{} got a copy", mail.recipient);
    }
    assert!(site.here.queue().is_empty(), "{:?}", site.here.queue());
}

#[test]
fn a_mail_waits_in_postfix_while_the_node_is_down() {
    let Some(dir) = scratch() else { return };
    let letters = letters(dir.path());
    let letter = &letters[0];
    let mut site = Site::start(dir.path(), &letters);
    site.network.kill_node(0);
    site.send(letter);
    let reason = wait_for("deferred", || {
        let row = site.here.queue().pop()?;
        row["recipients"][0]["delay_reason"].as_str().map(str::to_owned)
    });
    assert!(reason.contains("fog: ") && !reason.contains('@'), "{reason}");
    let line = wait_for("a line of the log", || {
        site.here.log().lines().find(|line| line.contains("status=deferred")).map(str::to_owned)
    });
    assert!(line.contains("dsn=4.") && line.contains("postfix/fog/pipe"), "{line}");
    assert!(site.there.mailbox("plain@dest.invalid").is_empty());

    site.network.start_node(0);
    let raw = wait_for(letter.name, || site.there.mailbox("plain@dest.invalid").pop());
    (letter.check)(&Arrived { recipient: "plain@dest.invalid".to_owned(), raw });
    assert!(site.here.queue().is_empty());
    assert!(!site.here.log().contains("status=bounced"), "{}", site.here.log());
    assert!(site.here.mailbox("ann@home.invalid").is_empty(), "Postfix bounced");
}

#[test]
fn nothing_is_lost_while_the_exit_or_its_mta_is_away() {
    const TAKES: &str = "smtpd_recipient_restrictions=permit_mynetworks,reject";
    const DEFERS: &str = "smtpd_recipient_restrictions=defer";
    let Some(dir) = scratch() else { return };
    let letters = letters(dir.path());
    let mut site = Site::start(dir.path(), &letters);
    site.there.stop();
    site.there.change_master(TAKES, DEFERS);
    site.there.start_again();
    let named = |name: &str| letters.iter().find(|letter| letter.name == name).unwrap();
    let (deferred, refused) = (named("plain text"), named("lines that begin with a dot"));

    // An MTA that says "not now": the mail stays with the node.
    site.send(deferred);
    wait_for("a 4xx", || site.there.log().contains("NOQUEUE: reject: RCPT").then_some(()));
    // One that is gone, and an exit process that is new and knows of nothing.
    site.network.kill_exit();
    site.there.stop();
    site.send(refused);
    site.network.start_exit();
    wait_for("an MTA that is missed", || site.network.exit_log().contains("mta-down").then_some(()));
    site.there.change_master(DEFERS, TAKES);
    wait_for("the entry", || site.here.queue().is_empty().then_some(()));

    site.there.start_again();
    for letter in [deferred, refused] {
        let recipient = format!("{}@{THERE}", letter.to[0]);
        let raw = wait_for(letter.name, || site.there.mailbox(&recipient).pop());
        let mail = Arrived { recipient, raw };
        mail.check_clean(letter.from);
        (letter.check)(&mail);
        assert_eq!(site.there.mailbox(&mail.recipient).len(), 1, "{} got a copy", mail.recipient);
    }
}

#[test]
fn a_mail_goes_out_by_the_sendmail_of_postfix_whole_and_as_one() {
    let Some(dir) = scratch() else { return };
    // What takes in what sendmail has put down.
    let pickup = "pickup unix n - n 60 1 pickup\n";
    let there = Postfix::start(&dir.path().join("there"), THERE, &["plain"], "", pickup);
    let program = dir.path().join("sendmail");
    // Written by a shell: a program that a test has open for writing can't be run while another test starts one.
    let script = format!("#!/bin/sh\nexec /usr/sbin/sendmail -C {} \"$@\"\n", there.etc().display());
    let write = "printf %s \"$1\" > \"$0\"; chmod 755 \"$0\"";
    run(Command::new("sh").args(["-c", write]).arg(&program).arg(script));
    let (from, to) = ("anonymous@exit.invalid", format!("plain@{THERE}"));
    let mail = format!("From: {from}\r\nTo: {to}\r\nSubject: x\r\n\r\n.\r\n..\r\n.x\r\nFrom here\r\nQUIT\r\n");
    let (from, to) = (Address::parse(from).unwrap(), Address::parse(&to).unwrap());
    let envelope = Envelope { from: Some(&from), to: &to, mail: mail.as_bytes() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let target = Deliver::Sendmail(program);
    let handed = runtime.block_on(hand_over(&target, envelope, &Patience::default())).unwrap();
    assert_eq!(handed, Disposition::Delivered);
    let raw = wait_for("the mail", || there.mailbox(&format!("plain@{THERE}")).pop());
    let raw = String::from_utf8(raw).unwrap();
    assert!(raw.starts_with("Return-Path: <anonymous@exit.invalid>\n"), "{raw}");
    assert!(raw.ends_with("\n\n.\n..\n.x\nFrom here\nQUIT\n"), "{raw}");
    assert_eq!(there.mailbox(&format!("plain@{THERE}")).len(), 1);
    assert!(there.queue().is_empty());
}

const HERE: &str = "home.invalid";
const THERE: &str = "dest.invalid";

/// Somebody's Postfix, a network, and somebody else's Postfix.
struct Site {
    here: Postfix,
    network: Network,
    there: Postfix,
}

impl Site {
    fn start(dir: &Path, letters: &[Letter]) -> Self {
        let mailboxes: Vec<&str> = letters.iter().flat_map(|letter| letter.to.iter().copied()).collect();
        let port = network::free_ports(1)[0];
        let header_checks = snippets().join("fog_header_checks");
        let listener = with(
            &snippet("exit-master.cf"),
            &[
                ("127.0.0.1:10027", &format!("127.0.0.1:{port}")),
                ("/etc/postfix/fog_header_checks", header_checks.to_str().unwrap()),
            ],
        );
        let there = Postfix::start(&dir.join("there"), THERE, &mailboxes, "", &listener);
        let network = Network::start(dir, NOBODY, 5, &format!("smtp:127.0.0.1:{port}"));
        let command = format!("{} --config {} send", network.fog().display(), network.config(0).display());
        let service = with(
            &snippet("master.cf"),
            &[("user=fog-mta:fog-submit", "user=nobody"), ("/usr/local/bin/fog send", &command)],
        );
        let here = Postfix::start(&dir.join("here"), HERE, &["ann", "björn"], &snippet("main.cf"), &service);
        Self { here, network, there }
    }

    fn send(&self, letter: &Letter) {
        let to: Vec<String> = letter.to.iter().map(|local| format!("{local}@{THERE}.fog")).collect();
        self.here.submit(letter.from, &to.iter().map(String::as_str).collect::<Vec<_>>(), &letter.mail);
    }
}

/// A directory that everybody may enter; none, if there is no way to run a Postfix here and nobody insists.
fn scratch() -> Option<TempDir> {
    mta::scratch(&instance::missing())
}

fn snippets() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/postfix"))
}

fn snippet(name: &str) -> String {
    fs::read_to_string(snippets().join(name)).unwrap()
}
