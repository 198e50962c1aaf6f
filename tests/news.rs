//! Postings through real nodes, to an exit that mails them to gateways.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test stops at the first surprise, and takes the time"
)]

#[path = "common/network.rs"]
#[allow(dead_code, reason = "the other tests with a network use the rest")]
mod network;
#[path = "common/sink.rs"]
mod sink;

use network::Network;
use sink::{Sink, Taken};
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

fn send(network: &Network, args: &[&str], mail: &str) {
    let mut send = Command::new(network.fog());
    send.arg("-c").arg(network.config(0)).args(["-q", "send"]).args(args).stdin(Stdio::piped());
    let mut send = send.spawn().unwrap();
    send.stdin.take().unwrap().write_all(mail.as_bytes()).unwrap();
    assert!(send.wait().unwrap().success(), "{args:?}");
}

fn header<'m>(mail: &'m Taken, name: &str) -> Vec<&'m str> {
    let head = mail.text.split("\r\n\r\n").next().unwrap();
    head.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).collect()
}

#[test]
fn a_posting_reaches_the_gateway_that_takes_it_and_a_gateway_can_be_written_to_as_anybody() {
    let dir = tempfile::tempdir().unwrap();
    let sink = Sink::refusing("mail2news@away.example");
    let uid = fs::metadata("/proc/self").unwrap().uid();
    let network = Network::start(dir.path(), uid, 4, &format!("smtp:{}", sink.address()));
    let mail = |subject: &str| format!("From: Me <me@home.example>\nSubject: {subject}\n\nhello\n");
    send(&network, &["-g", "alt.test"], &mail("one"));
    let crossposted = format!("Newsgroups: misc.test,alt.test\nFollowup-To: alt.test\n{}", mail("two"));
    send(&network, &["-t", "post@news.fog"], &crossposted);
    let by_hand = format!("Newsgroups: alt.test\n{}", mail("three"));
    send(&network, &["-t", "mail2news@other.example.fog"], &by_hand);

    let began = Instant::now();
    while sink.mails().len() < 3 {
        assert!(began.elapsed() < PATIENCE, "{} of 3 came", sink.mails().len());
        thread::sleep(Duration::from_millis(50));
    }
    let mut mails = sink.mails();
    mails.sort_by_key(|mail| header(mail, "Subject").concat());
    let [one, three, two] = mails.try_into().unwrap_or_else(|mails: Vec<Taken>| panic!("{} came", mails.len()));
    for (mail, gateway, groups) in [
        (&one, "-alt.test@taking.example", "alt.test"),
        (&two, "-alt.test=misc.test@taking.example", "alt.test, misc.test"),
    ] {
        let day = mail.to.strip_prefix("m2n-").and_then(|rest| rest.strip_suffix(gateway)).unwrap_or_default();
        assert!(day.len() == 8 && day.bytes().all(|b| b.is_ascii_digit()), "{}", mail.to);
        assert_eq!(header(mail, "To"), [mail.to.as_str()]);
        assert_eq!(header(mail, "Newsgroups"), [groups]);
        assert!(!mail.text.contains("home.example"), "{}", mail.text);
    }
    assert_eq!(header(&two, "Followup-To"), ["alt.test"]);
    assert_eq!((three.to.as_str(), header(&three, "To")), ("mail2news@other.example", vec!["mail2news@other.example"]));
    assert_eq!(header(&three, "Newsgroups"), ["alt.test"]);
}
