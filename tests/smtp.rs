//! The SMTP client against a hostile peer: a real socket, a scripted answer to everything, wrong in every way.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops at the first surprise")]

use fog::delivery::Disposition::{self, Delivered, Permanent, Temporary};
use fog::mail::address::Address;
use fog::mail::sanitize::{self, EntryRules, ExitRules};
use fog::mta::smtp::{self, Envelope, Hello, Limits, Protocol};
use fog::time::Time;
use proptest::prelude::*;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

const MAIL: &[u8] = b"Subject: x\r\n\r\n.hidden\r\nend\r\n";

/// One thing the peer does.
#[derive(Clone, Copy, Debug)]
enum Act {
    /// Sends this.
    Say(&'static [u8]),
    /// Reads up to and including this.
    Until(&'static [u8]),
    /// Keeps the connection open and says nothing until the client has gone.
    Hang,
    /// Sends a reply that never ends, until the client has gone.
    Drip,
}
use Act::{Drip, Hang, Say, Until};

const LINE: Act = Until(b"\r\n");
const DOT: Act = Until(b"\r\n.\r\n");
const HI: Act = Say(b"220 mx ESMTP\r\n");
const OK: Act = Say(b"250 ok\r\n");
const GO: Act = Say(b"354 go\r\n");
/// A peer that has agreed to everything before RCPT, before DATA, and before the text.
const TO_RCPT: [Act; 5] = [HI, LINE, OK, LINE, OK];
const TO_DATA: [Act; 7] = [HI, LINE, OK, LINE, OK, LINE, OK];
const TO_TEXT: [Act; 9] = [HI, LINE, OK, LINE, OK, LINE, OK, LINE, GO];

/// Plays `script` to one client, then closes; what it read comes back.
fn play(listener: &TcpListener, script: &[Act]) -> Vec<u8> {
    let (mut stream, _) = listener.accept().unwrap();
    let mut heard = Vec::new();
    for act in script {
        match act {
            Say(bytes) => {
                let _ = stream.write_all(bytes);
            }
            Until(end) => read_until(&mut stream, &mut heard, end),
            Hang => {
                let _ = stream.read_to_end(&mut heard);
            }
            Drip => while stream.write_all(b"220-").and_then(|()| stream.write_all(b"x\r\n")).is_ok() {},
        }
    }
    heard
}

fn read_until(stream: &mut TcpStream, heard: &mut Vec<u8>, end: &[u8]) {
    let mut from = heard.len();
    let mut block = [0; 65_536];
    // More than the end may come in one block, in the middle of a text: it is heard all the same.
    while !heard[from..].windows(end.len()).any(|window| window == end) {
        from = from.max((heard.len() + 1).saturating_sub(end.len()));
        match stream.read(&mut block) {
            Ok(n) if n > 0 => heard.extend_from_slice(&block[..n]),
            _ => break,
        }
    }
}

/// Delivers `mail` to a peer that plays `script`: how it ended, and what the peer heard.
fn against(script: &[&[Act]], mail: &[u8]) -> (Disposition, Vec<u8>) {
    let script = script.concat();
    // Only a peer that is silent can make us wait for a limit to pass.
    let silent = script.iter().any(|act| matches!(act, Hang | Drip));
    let limit = if silent { Duration::from_millis(200) } else { Duration::from_secs(20) };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let peer = thread::spawn(move || play(&listener, &script));
    let disposition = deliver(address, mail, limit);
    (disposition, peer.join().unwrap())
}

fn deliver(address: std::net::SocketAddr, mail: &[u8], limit: Duration) -> Disposition {
    let limits = Limits { command: limit, block: limit, end: limit };
    let to = Address::parse("alice@example.com").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let hello = Hello { protocol: Protocol::Smtp, name: "[127.0.0.1]" };
        smtp::deliver(stream, hello, Envelope { from: None, to: &to, mail }, &limits).await
    })
}

#[test]
fn a_mail_is_handed_over_dot_stuffed_in_one_transaction() {
    let ehlo = Say(b"250-mx\r\n250-SIZE 10000\r\n250-PIPELINING\r\n250 8BITMIME\r\n");
    let script = [HI, LINE, ehlo, LINE, OK, LINE, OK, LINE, GO, DOT, OK, LINE];
    let (disposition, heard) = against(&[&script], MAIL);
    assert_eq!(disposition, Delivered);
    let want = "EHLO [127.0.0.1]\r\nMAIL FROM:<> SIZE=28\r\nRCPT TO:<alice@example.com>\r\nDATA\r\n\
                Subject: x\r\n\r\n..hidden\r\nend\r\n.\r\nQUIT\r\n";
    assert_eq!(String::from_utf8(heard).unwrap(), want);
}

#[test]
fn an_old_mta_without_ehlo_is_greeted_with_helo() {
    let script = [HI, LINE, Say(b"500 what\r\n"), LINE, OK, LINE, OK, LINE, OK, LINE, GO, DOT, OK, LINE];
    let (disposition, heard) = against(&[&script], MAIL);
    assert_eq!(disposition, Delivered);
    assert!(heard.starts_with(b"EHLO [127.0.0.1]\r\nHELO [127.0.0.1]\r\nMAIL FROM:<>\r\n"), "{}", heard.escape_ascii());
}

#[test]
fn whatever_the_peer_does_before_the_recipient_is_temporary_unless_it_is_about_the_size() {
    for (name, script, want) in [
        ("closes at once", &[][..], Temporary),
        ("never greets", &[Hang], Temporary),
        ("greets for ever", &[Drip], Temporary),
        ("greets in rubbish", &[Say(b"\0\xff\r\n"), Hang], Temporary),
        ("greets in HTTP", &[Say(b"HTTP/1.1 400 Bad Request\r\n\r\n"), Hang], Temporary),
        ("refuses everybody", &[Say(b"554 go away\r\n"), LINE], Temporary),
        ("is busy", &[Say(b"421 busy\r\n"), LINE], Temporary),
        ("greets twice", &[Say(b"220 a\r\n220 b\r\n"), LINE], Temporary),
        (
            "answers before it is asked",
            &[Say(b"220 a\r\n250 b\r\n250 c\r\n250 d\r\n354 e\r\n250 f\r\n"), Hang],
            Temporary,
        ),
        ("answers before it is asked, in rubbish", &[Say(b"220 a\r\n\0\xff250 b\r\n"), Hang], Temporary),
        ("says NUL in a reply", &[Say(b"22\x000 a\r\n"), Hang], Temporary),
        (
            "hides a code behind a CR",
            &[HI, LINE, Say(b"550 no\r250 ok\r\n"), LINE, Say(b"550 no\r250 ok\r\n"), LINE],
            Temporary,
        ),
        ("mixes codes in many lines", &[HI, LINE, Say(b"250-a\r\n250-b\r\n450 c\r\n"), LINE], Temporary),
        ("ends a reply in mid-line", &[HI, LINE, Say(b"250-a\r\n25")], Temporary),
        ("says 1xx", &[HI, LINE, Say(b"150 wait\r\n250 ok\r\n"), LINE], Temporary),
        ("says half a reply, then nothing", &[Say(b"220-a\r\n220"), Hang], Temporary),
        ("changes its code in mid-reply", &[HI, LINE, Say(b"250-a\r\n550 b\r\n"), LINE], Temporary),
        ("refuses EHLO and HELO", &[HI, LINE, Say(b"502 no\r\n"), LINE, Say(b"502 no\r\n"), LINE], Temporary),
        ("is busy at EHLO", &[HI, LINE, Say(b"421 busy\r\n"), LINE], Temporary),
        ("takes no mail of this size", &[HI, LINE, Say(b"250-mx\r\n250 SIZE 5\r\n"), LINE], Permanent),
        ("dislikes the sender", &[HI, LINE, OK, LINE, Say(b"550 5.7.1 sender\r\n"), LINE], Temporary),
        ("finds it too big at MAIL", &[HI, LINE, OK, LINE, Say(b"552 5.3.4 big\r\n"), LINE], Permanent),
        ("is full at MAIL", &[HI, LINE, OK, LINE, Say(b"452 4.3.1 full\r\n"), LINE], Temporary),
        ("answers MAIL with 354", &[HI, LINE, OK, LINE, GO, LINE], Temporary),
    ] {
        let (disposition, heard) = against(&[script], MAIL);
        assert_eq!(disposition, want, "a peer that {name}; it heard {}", heard.escape_ascii());
    }
}

#[test]
fn a_refused_recipient_is_final_unless_the_peer_complains_of_us() {
    for (name, answer, want) in [
        ("knows no such recipient", &b"550 5.1.1 who\r\n"[..], Permanent),
        ("finds the recipient malformed", b"501 5.1.3 what\r\n", Permanent),
        ("greylists", b"450 4.2.0 later\r\n", Temporary),
        ("wants a password", b"530 log in\r\n", Temporary),
        ("is out of step", b"503 MAIL first\r\n", Temporary),
        ("is going down", b"421 4.3.2 down\r\n", Temporary),
        ("wants the text already", b"354 go\r\n", Temporary),
    ] {
        let (disposition, _) = against(&[&TO_RCPT, &[LINE, Say(answer), LINE]], MAIL);
        assert_eq!(disposition, want, "a peer that {name}");
    }
}

#[test]
fn whatever_the_peer_does_from_data_on_ends_in_a_disposition() {
    for (name, answer, want) in [
        ("takes no recipients after all", &[LINE, Say(b"554 5.5.1 none\r\n"), LINE][..], Permanent),
        ("takes DATA for done", &[LINE, OK, LINE], Temporary),
        ("answers the text before it has come", &[LINE, Say(b"354 go\r\n250 ok\r\n"), Hang], Temporary),
    ] {
        assert_eq!(against(&[&TO_DATA, answer], MAIL).0, want, "a peer that {name}");
    }
    for (name, answer, want) in [
        ("closes in the text", &[Until(b"S")][..], Temporary),
        ("closes at once when it may begin", &[], Temporary),
        ("answers the dot in mixed codes", &[DOT, Say(b"250-ok\r\n451 no\r\n"), LINE], Temporary),
        ("answers the dot with NUL", &[DOT, Say(b"25\x000 ok\r\n"), LINE], Temporary),
        ("answers the dot without end", &[DOT, Say(b"250 ok")], Temporary),
        ("answers the dot with half a line and hangs", &[DOT, Say(b"250 ok"), Hang], Temporary),
        ("closes after the dot", &[DOT], Temporary),
        ("is silent after the dot", &[DOT, Hang], Temporary),
        ("says half an answer after the dot", &[DOT, Say(b"250-ok\r\n25")], Temporary),
        ("says 354 again after the dot", &[DOT, GO, LINE], Temporary),
        ("can't keep the text", &[DOT, Say(b"451 4.3.0 disk\r\n"), LINE], Temporary),
        ("goes down after the dot", &[DOT, Say(b"421 4.3.2 down\r\n")], Temporary),
        ("takes the text for spam", &[DOT, Say(b"554 5.7.1 spam\r\n"), LINE], Permanent),
        ("takes it in many lines", &[DOT, Say(b"250-2.0.0 Ok\r\n250 queued\r\n"), LINE], Delivered),
        ("takes it and hangs", &[DOT, OK, Hang], Delivered),
        ("takes it and says more", &[DOT, Say(b"250 ok\r\n421 bye\r\n")], Delivered),
    ] {
        assert_eq!(against(&[&TO_TEXT, answer], MAIL).0, want, "a peer that {name}");
    }
}

/// A mail that does not fit into what the kernel holds for us: we are still writing when the peer speaks.
fn big_mail() -> Vec<u8> {
    b"0123456789abcdef0123456789abcd\r\n".repeat(1 << 20)
}

#[test]
fn whatever_is_said_in_the_middle_of_the_text_is_no_answer_to_its_end() {
    let mail = big_mail();
    for (name, said) in [
        ("is going down", &b"421 4.3.2 down\r\n"[..]),
        ("takes it already", b"250 2.0.0 ok\r\n"),
        ("refuses it already", b"552 5.3.4 big\r\n"),
        ("talks rubbish", b"\0\xff"),
    ] {
        for end in [&[][..], &[DOT, LINE], &[Until(b"89abcd\r\n")]] {
            let script: &[&[Act]] = &[&TO_TEXT, &[Until(b"0123456789"), Say(said)], end];
            assert_eq!(against(script, &mail).0, Temporary, "a peer that {name}, then {end:?}");
        }
    }
}

#[test]
fn a_line_without_end_is_not_read_for_ever() {
    static LONG: &[u8] = &[b'x'; 1 << 20];
    assert_eq!(against(&[&[Say(LONG), Until(b"\0")]], MAIL).0, Temporary);
}

#[test]
fn a_peer_that_stops_reading_is_given_up() {
    let mail = big_mail();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (gone, wait) = std::sync::mpsc::channel::<()>();
    let peer = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"220 hi\r\n").unwrap();
        for answer in ["250 ok\r\n", "250 ok\r\n", "250 ok\r\n", "354 go\r\n"] {
            read_until(&mut stream, &mut Vec::new(), b"\r\n");
            stream.write_all(answer.as_bytes()).unwrap();
        }
        let _ = wait.recv();
    });
    assert_eq!(deliver(address, &mail, Duration::from_millis(300)), Temporary);
    drop(gone);
    peer.join().unwrap();
}

/// What one MTA or another has taken for the end of a mail (the SMTP smuggling papers of 2023, and the crates tried).
const ENDS: [&[u8]; 11] = [
    b"\r\n.\r\n",
    b"\r\r\n.\r\n",
    b"\r\n.\r\r\n",
    b"\n.\n",
    b"\r.\r",
    b"\n.\r\n",
    b"\r\n.\n",
    b"\r\n.\r",
    b"\r.\r\n",
    b"\n.\r",
    b"\n\0.\r\n",
];

/// What a reader for whom `end` ends a mail sees behind the first end.
fn behind<'a>(wire: &'a [u8], end: &[u8]) -> Option<&'a [u8]> {
    wire.windows(end.len()).position(|w| w == end).map(|at| &wire[at + end.len()..])
}

#[test]
fn attack_11_a_mail_with_any_end_of_mail_inside_never_becomes_two() {
    for end in ENDS {
        for tail in [&b""[..], b"MAIL FROM:<evil@example.com>\r\nRCPT TO:<victim@example.com>\r\nDATA\r\n"] {
            let mail = [b"Subject: x\r\n\r\nbody", end, tail].concat();
            let (disposition, heard) = against(&[&TO_TEXT, &[DOT, OK, LINE]], &mail);
            if end == b"\r\n.\r\n" {
                assert_eq!(disposition, Delivered);
                let text = behind(&heard, b"DATA\r\n").unwrap();
                assert_eq!(behind(text, b"\r\n.\r\n"), Some(&b"QUIT\r\n"[..]), "{}", text.escape_ascii());
            } else {
                assert_eq!(disposition, Permanent, "{}", end.escape_ascii());
                assert!(heard.is_empty(), "said {} before refusing", heard.escape_ascii());
            }
        }
    }
}

proptest! {
    #[test]
    fn no_mail_ends_before_its_end_for_any_reader(pieces in prop::collection::vec(
        prop::sample::select(vec![&b"."[..], b"\r", b"\n", b"\r\n", b"a", b"..", b"\r\n.", b"\0"]), 0..12,
    )) {
        let mail = pieces.concat();
        let Ok(wire) = smtp::stuff(&mail) else {
            // Refused, and rightly: without its CRLFs there is one of the three in it.
            let rest = String::from_utf8(mail).unwrap().replace("\r\n", "");
            prop_assert!(rest.contains(['\r', '\n', '\0']));
            return Ok(());
        };
        // The peer has just read the CRLF of DATA.
        let wire = [b"\r\n".as_slice(), &wire].concat();
        for end in ENDS {
            let rest = behind(&wire, end);
            prop_assert!(rest.is_none_or(|rest| rest.is_empty() || rest == b"\n"), "{}", wire.escape_ascii());
        }
        // And a reader that does it right gets the mail back.
        let (lines, last) = wire[2..].split_at(wire.len() - 5);
        prop_assert_eq!(last, b".\r\n");
        let lines = lines.split_inclusive(|&b| b == b'\n').map(|line| line.strip_prefix(b".").unwrap_or(line));
        let end: &[u8] = if mail.is_empty() || mail.ends_with(b"\r\n") { b"" } else { b"\r\n" };
        prop_assert_eq!(lines.collect::<Vec<_>>().concat(), [mail.as_slice(), end].concat());
    }
}

/// What an MTA takes for the end of a line, longest first.
const READERS: [(&str, &[&[u8]]); 4] = [
    ("RFC 5321", &[b"\r\n"]),
    ("one that takes a bare LF", &[b"\r\n", b"\n"]),
    ("one that takes a bare CR", &[b"\r\n", b"\r"]),
    ("one that takes anything", &[b"\r\r\n", b"\r\n", b"\n", b"\r", b"\0"]),
];

/// The mails that such a reader finds in what follows DATA, dots taken off, every line ended by CRLF; and what is behind
/// the last of them.
fn mails_read(wire: &[u8], ends: &[&[u8]]) -> (Vec<Vec<u8>>, Vec<u8>) {
    let (mut mails, mut mail, mut line) = (Vec::new(), Vec::new(), Vec::new());
    let mut rest = wire;
    while let Some(&byte) = rest.first() {
        let Some(end) = ends.iter().find(|end| rest.starts_with(end)) else {
            line.push(byte);
            rest = &rest[1..];
            continue;
        };
        rest = &rest[end.len()..];
        if line == b"." {
            mails.push(std::mem::take(&mut mail));
        } else {
            mail.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
            mail.extend_from_slice(b"\r\n");
        }
        line.clear();
    }
    (mails, [mail, line].concat())
}

fn soup() -> impl Strategy<Value = Vec<u8>> {
    let pieces: Vec<&[u8]> = vec![
        b".",
        b"..",
        b"\r",
        b"\n",
        b"\r\n",
        b"\r\n.",
        b"a",
        b"\0",
        b"\xe9",
        b"\r\r\n.\r\n",
        b"\n.\n",
        b"\r.\r",
        b"\n.\r\n",
        b"\r\n.\n",
        b"\r\n.\r",
        b"\r\n.\r\n",
        b"MAIL FROM:<evil@x.org>\r\n",
        b"RCPT TO:<victim@x.org>\r\n",
        b"DATA\r\n",
        b"=0D=0A.=0D=0A",
        b"=\r\n",
        b"--b\r\n",
        b"--b--\r\n",
        b"\r\n\r\n",
    ];
    prop::collection::vec(prop::sample::select(pieces), 0..16).prop_map(|pieces| pieces.concat())
}

fn fronts() -> impl Strategy<Value = &'static [u8]> {
    let fronts: Vec<&[u8]> = vec![
        b"Subject: x\r\n\r\n",
        b"Subject: x\n\n",
        b"Subject: x\r\nContent-Type: text/plain; charset=latin1\r\nContent-Transfer-Encoding: 8bit\r\n\r\n",
        b"Subject: x\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n",
        b"Subject: x\r\nContent-Type: application/octet-stream\r\n\r\n",
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n",
        b"Content-Type: multipart/signed; boundary=b; protocol=\"application/pgp-signature\"\r\n\r\n--b\r\n\r\n",
        b"Content-Type: message/rfc822\r\n\r\nSubject: y\r\n\r\n",
        b"Subject: ",
    ];
    prop::sample::select(fronts)
}

/// What an entry and then an exit make of a mail; none if either refuses it.
fn cleaned(raw: &[u8]) -> Option<Vec<u8>> {
    let recipient = Address::parse("alice@example.com").unwrap();
    let entry = EntryRules {
        recipient: &recipient,
        message_id: [7; 16],
        message_id_domain: "fog.invalid",
        own_domains: &[],
        seed: [1; 32],
    };
    let exit = ExitRules {
        recipient: &recipient,
        newsgroups: &[],
        comment: "",
        from: &recipient,
        from_name: "Anonymous",
        message_id_domain: "fog.invalid",
        date: Time::from_secs(1_800_000_000),
        seed: [2; 32],
    };
    sanitize::at_exit(&sanitize::at_entry(raw, &entry).ok()?, &exit).ok()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn whatever_soup_a_mail_is_every_reader_at_the_exit_sees_one_mail_and_all_of_it(
        front in fronts(),
        soup in soup(),
    ) {
        let raw = [front, &soup].concat();
        // As it came, and as it leaves the network.
        for mail in [Some(raw.clone()), cleaned(&raw)].into_iter().flatten() {
            let Ok(wire) = smtp::stuff(&mail) else {
                prop_assert_eq!(&mail, &raw, "a cleaned mail with a bare line end");
                continue;
            };
            let whole = if mail.ends_with(b"\r\n") { mail.clone() } else { [mail.as_slice(), b"\r\n"].concat() };
            for (reader, ends) in READERS {
                let (mails, behind) = mails_read(&wire, ends);
                prop_assert_eq!(mails.len(), 1, "{} reads {}", reader, wire.escape_ascii());
                prop_assert!(behind.is_empty() && mails[0] == whole, "{} reads {}", reader, wire.escape_ascii());
            }
        }
    }
}
