//! `fog send --bsmtp`, the real binary, as Exim's pipe transport runs it: whole and accepted, or nothing taken.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops at the first surprise")]

#[path = "common/submit.rs"]
mod submit;

use fog::submit::{Outcome, Reason, Reply, Source, Wish};
use submit::{Node, accepting, code, deferred_line, fog, fog_in, line_of, no_socket, text};

const BATCH: &[u8] = b"MAIL FROM:<sender@canary.example>\nRCPT TO:<alice@canary.example.fog>\n\
    RCPT TO:<bob@canary.example.fog>\nDATA\nReceived: by mx\nSubject: canary\n\n..\n..x\nbody\n.\n";

fn args(socket: &str) -> Vec<&str> {
    vec!["send", "--bsmtp", "--socket", socket]
}

#[test]
fn a_batch_from_exim_is_handed_in_silently_under_its_message_id() {
    for (env, args, id) in [
        (&[("MESSAGE_ID", "1qWert-000001-2a")][..], &["--bsmtp"][..], Some(&b"1qWert-000001-2a"[..])),
        (&[("MESSAGE_ID", "1qWert")], &["--mta", "--bsmtp", "--queue-id", "other"], Some(b"other")),
        (&[("MESSAGE_ID", "")], &["--bsmtp"], None),
        (&[], &["--bsmtp"], None),
    ] {
        let node = Node::start(accepting(2));
        let socket = node.socket();
        let output = fog_in(env, &[&["send", "--socket", &socket], args].concat(), BATCH);
        assert_eq!(line_of(&output), None);
        let request = node.heard();
        assert_eq!((request.source, request.wish), (Source::Mta, Wish::default()));
        assert_eq!(request.dedup.as_deref(), id);
        assert_eq!(request.sender.unwrap().to_string(), "sender@canary.example");
        let to: Vec<_> = request.recipients.iter().map(ToString::to_string).collect();
        assert_eq!(to, ["alice@canary.example.fog", "bob@canary.example.fog"]);
        assert_eq!(text(&request.mail), "Received: by mx\nSubject: canary\n\n.\n.x\nbody\n");
    }
}

#[test]
fn several_mails_of_a_batch_are_several_requests() {
    let node = Node::start_with(vec![accepting(1), accepting(1)]);
    let one = |to: &str| format!("MAIL FROM:<>\r\nRCPT TO:<{to}@x.fog>\r\nDATA\r\nSubject: {to}\r\n\r\n.\r\n");
    let batch = format!("EHLO mx\r\n{}{}QUIT\r\n", one("a"), one("b"));
    assert_eq!(deferred_line(&args(&node.socket()), batch.as_bytes()), None);
    let heard = node.all_heard();
    let of: Vec<_> = heard.iter().map(|r| (r.recipients[0].local(), text(&r.mail))).collect();
    assert_eq!(of, [("a", "Subject: a\r\n\r\n"), ("b", "Subject: b\r\n\r\n")]);
    // The second is refused: Exim keeps both, and the first is known again by its id.
    let node = Node::start_with(vec![accepting(1), Some(Reply::refusing(Reason::SpoolFull))]);
    let line = deferred_line(&args(&node.socket()), batch.as_bytes()).unwrap();
    assert!(line.starts_with("4.3.1 "), "{line}");
    assert_eq!(node.all_heard().len(), 2);
}

#[test]
fn a_batch_that_is_cut_off_or_broken_reaches_no_node() {
    let (_dir, socket) = no_socket();
    let whole = String::from_utf8(BATCH.to_vec()).unwrap();
    for end in 0..whole.len() {
        let line = deferred_line_quickly(end, &socket, &whole);
        assert!(line.is_none_or(|line| !line.starts_with("4.3.2 ")), "taken for whole, cut at {end}");
    }
    for (batch, want) in [
        (whole.clone(), "4.3.2 fog: the node isn't running"),
        (String::new(), "4.3.5 fog: use_bsmtp is wanted in the transport"),
        ("Subject: canary\n\nbody\n".to_owned(), "4.3.5 fog: use_bsmtp is wanted in the transport"),
        (whole.replace("..x", ".x"), "4.3.5 fog: a line of the mail begins with a dot that was not doubled"),
        (
            whole.replace("DATA\n", "DATA\r\n"),
            "4.3.5 fog: a line of the batch is no SMTP command, or not one that fits there",
        ),
        (format!("{whole}body\n.\n"), "4.3.5 fog: a line of the batch is no SMTP command, or not one that fits there"),
        (whole.replace("<bob@", "<@relay:bob@"), "4.1.3 fog: the recipient is not a mail address"),
        (whole.replace("<bob@", "<-bob@"), "4.1.3 fog: the recipient is not a mail address"),
        (whole.replace("<sender@canary.example>", "<>").replace("<bob@", "<-bob@"), "4.1.3 fog: the recipient is"),
        (
            whole.replace("bob@canary.example.fog", "bob@canary.example"),
            "4.1.2 fog: the recipient is not an address of the anonymous network",
        ),
        (
            format!("{}{}.\n", whole.strip_suffix(".\n").unwrap(), "x\n".repeat(32 << 20)),
            "4.3.4 fog: the mail is bigger than the network takes",
        ),
    ] {
        let line = deferred_line(&args(&socket), batch.as_bytes()).unwrap();
        assert!(line.starts_with(want), "{line}");
    }
}

#[test]
fn beside_a_recipient_that_is_none_the_others_are_handed_in_once_the_sender_is_told() {
    let bad = String::from_utf8(BATCH.to_vec()).unwrap().replace("<bob@", "<-bob@");
    let node = Node::start_with(vec![accepting(1), accepting(1)]);
    assert_eq!(deferred_line(&args(&node.socket()), bad.as_bytes()), None);
    let [told, sent] = node.all_heard().try_into().unwrap();
    assert!(told.recipients[0].is_routed() && !text(&told.mail).contains("canary"));
    assert_eq!(sent.recipients.iter().map(ToString::to_string).collect::<Vec<_>>(), ["alice@canary.example.fog"]);
    // Else none gets it: Exim keeps it for all.
    let node = Node::start(Some(Reply::refusing(Reason::BadAddress)));
    let line = deferred_line(&args(&node.socket()), bad.as_bytes()).unwrap();
    assert_eq!(line, "4.1.3 fog: the recipient is not a mail address");
}

/// Every 7th cut and those around the end: each is a process of its own.
fn deferred_line_quickly(end: usize, socket: &str, whole: &str) -> Option<String> {
    (end.is_multiple_of(7) || end + 4 > whole.len())
        .then(|| deferred_line(&args(socket), &whole.as_bytes()[..end]).unwrap())
}

#[test]
fn whatever_the_node_says_but_yes_exim_keeps_the_batch() {
    let mixed = Reply { outcomes: vec![Outcome::Permanent(Reason::NoExit), Outcome::Temporary(Reason::SpoolFull)] };
    for (reply, want) in [
        (Some(mixed), "4.7.1 fog: no exit"),
        (Some(Reply::refusing(Reason::MailTooBig)), "4.3.4 fog: the mail is bigger"),
        (accepting(1), "4.3.5 fog: the node's answer"),
        (None, "4.4.2 fog: the node did not answer"),
    ] {
        let node = Node::start(reply);
        let line = deferred_line(&args(&node.socket()), BATCH).unwrap();
        assert!(line.starts_with(want), "{line}");
    }
}

#[test]
fn a_wrong_command_line_in_exims_transport_defers_instead_of_bouncing() {
    let long = "x".repeat(256);
    for wrong in [
        &["send", "--bsmtp", "--frob"][..],
        &["send", "--bsmtp", "--queue-id", &long],
        &["send", "--bsmtp", "--queue-id", ""],
        &["send", "--bsmtp", "-t", "alice@canary.example.fog"],
        &["send", "--bsmtp", "-n", "2"],
        &["send", "--bsmtp", "-s", "canary"],
        &["send", "--bsmtp", "--help"],
        &["send", "--", "--bsmtp"],
        &["--bsmtp"],
    ] {
        let line = deferred_line(wrong, BATCH).unwrap();
        assert_eq!(line, "4.3.5 fog: wrong command line in the transport", "{wrong:?}");
    }
}

#[test]
fn a_mail_to_the_door_goes_to_those_in_its_header_and_beside_them() {
    let node = Node::start(accepting(3));
    let batch = b"MAIL FROM:<>\nRCPT TO:<anon@fog.invalid>\nRCPT TO:<bob@canary.example.fog>\nDATA\n\
        Anon-To: alice@canary.example, bob@canary.example\nAnon-Post-To: alt.canary\nSubject: canary\n\nbody\n.\n";
    assert_eq!(deferred_line(&args(&node.socket()), batch), None);
    let request = node.heard();
    let to: Vec<_> = request.recipients.iter().map(ToString::to_string).collect();
    assert_eq!(to, ["bob@canary.example.fog", "alice@canary.example.fog", "alt.canary@news.fog"]);
    assert_eq!(text(&request.mail), "Subject: canary\n\nbody\n");
    let (_dir, socket) = no_socket();
    let bad = String::from_utf8(batch.to_vec()).unwrap().replace("alice@canary.example,", "canary,");
    let line = deferred_line(&args(&socket), bad.as_bytes()).unwrap();
    assert_eq!(line, "4.1.3 fog: a recipient in Anon-To is no mail address");
    let others: String = (0..999).map(|n| format!("RCPT TO:<a{n}@x.fog>\n")).collect();
    let many = String::from_utf8(batch.to_vec()).unwrap().replace("RCPT TO:<bob@canary.example.fog>\n", &others);
    let line = deferred_line(&args(&socket), many.as_bytes()).unwrap();
    assert_eq!(line, "4.5.3 fog: too many mails or recipients at once");
}

#[test]
fn the_help_tells_of_it() {
    let output = fog(&["send", "--help"], b"");
    assert_eq!(code(&output), 0);
    assert!(text(&output.stdout).contains("--bsmtp"));
}
