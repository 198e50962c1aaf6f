//! The other ways out of an exit: LMTP, Unix sockets and a `sendmail` program, each real and each wrong in many ways.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops at the first surprise")]

use fog::config::{Deliver, Place};
use fog::delivery::Disposition::{self, Delivered, Permanent, Temporary};
use fog::directory::NodeAddress;
use fog::mail::address::Address;
use fog::mta::hand_over::{Patience, hand_over};
use fog::mta::smtp::Envelope;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

const MAIL: &[u8] = b"Subject: x\r\n\r\n.hidden\r\n.\r\nFrom here\r\nend\r\n";

/// Hands `MAIL` over; `None` if nobody is there to take it.
fn hand(target: &Deliver, mail: &[u8], limit: Duration) -> Option<Disposition> {
    let from = Address::parse("anonymous@exit.example").unwrap();
    let to = Address::parse("alice@example.com").unwrap();
    let patience = Patience { sendmail: limit, ..Patience::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let envelope = Envelope { from: Some(&from), to: &to, mail };
    runtime.block_on(hand_over(target, envelope, &patience)).ok()
}

const LONG: Duration = Duration::from_secs(60);

/// What an LMTP server was told, line by line, and the text it was given, un-stuffed.
type Heard = (Vec<String>, Vec<u8>);

/// A small real LMTP server for one client. `rcpt` and `end` are its answers to RCPT and to the final dot.
fn lmtp(stream: impl Read + Write, rcpt: &str, end: &str) -> Heard {
    let mut stream = BufReader::new(stream);
    let (mut said, mut text) = (Vec::new(), Vec::new());
    stream.get_mut().write_all(b"220 mail LMTP\r\n").unwrap();
    let mut line = String::new();
    while stream.read_line(&mut line).unwrap_or(0) > 0 {
        said.push(line.trim_end().to_owned());
        let answer = match line.split([' ', ':']).next().unwrap().trim_end() {
            "LHLO" => "250-mail\r\n250-PIPELINING\r\n250 8BITMIME\r\n",
            "MAIL" => "250 2.1.0 ok\r\n",
            "RCPT" => rcpt,
            "DATA" => {
                stream.get_mut().write_all(b"354 go\r\n").unwrap();
                read_text(&mut stream, &mut text);
                end
            }
            "QUIT" => "221 bye\r\n",
            _ => "500 5.5.1 this is LMTP\r\n",
        };
        if stream.get_mut().write_all(answer.as_bytes()).is_err() {
            break;
        }
        line.clear();
    }
    (said, text)
}

fn read_text(stream: &mut impl BufRead, text: &mut Vec<u8>) {
    let mut line = Vec::new();
    while stream.read_until(b'\n', &mut line).unwrap() > 0 && line != b".\r\n" {
        text.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
        line.clear();
    }
}

fn on_unix(dir: &Path, rcpt: &'static str, end: &'static str) -> (Place, JoinHandle<Heard>) {
    let path = dir.join("lmtp.sock");
    let _ = fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    (Place::Unix(path), thread::spawn(move || lmtp(listener.accept().unwrap().0, rcpt, end)))
}

#[test]
fn lmtp_takes_a_mail_on_a_socket_and_on_a_port() {
    let dir = tempfile::tempdir().unwrap();
    let (unix, at_unix) = on_unix(dir.path(), "250 2.1.5 ok\r\n", "250 2.0.0 saved\r\n");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let tcp = Place::Tcp(NodeAddress::parse(&listener.local_addr().unwrap().to_string()).unwrap());
    let at_tcp = thread::spawn(move || lmtp(listener.accept().unwrap().0, "250 ok\r\n", "250 saved\r\n"));
    for (place, server, us) in [(unix, at_unix, "localhost"), (tcp, at_tcp, "[127.0.0.1]")] {
        assert_eq!(hand(&Deliver::Lmtp(place), MAIL, LONG), Some(Delivered));
        let (said, text) = server.join().unwrap();
        let want = [
            &format!("LHLO {us}"),
            "MAIL FROM:<anonymous@exit.example>",
            "RCPT TO:<alice@example.com>",
            "DATA",
            "QUIT",
        ];
        assert_eq!(said, want);
        assert_eq!(text, MAIL, "{}", text.escape_ascii());
    }
}

#[test]
fn what_lmtp_says_of_the_recipient_decides() {
    let dir = tempfile::tempdir().unwrap();
    for (rcpt, end, want) in [
        ("550 5.1.1 who\r\n", "", Permanent),
        ("450 4.2.1 locked\r\n", "", Temporary),
        ("250 ok\r\n", "552 5.2.2 full\r\n", Permanent),
        ("250 ok\r\n", "452 4.2.2 full\r\n", Temporary),
        // For a recipient more than there were: the first answer is ours.
        ("250 ok\r\n", "250 saved\r\n452 4.2.2 full\r\n", Delivered),
        ("250 ok\r\n", "452 4.2.2 full\r\n250 saved\r\n", Temporary),
        ("250 ok\r\n", "250-saved\r\n452 full\r\n", Temporary),
    ] {
        let (place, server) = on_unix(dir.path(), rcpt, end);
        assert_eq!(hand(&Deliver::Lmtp(place), MAIL, LONG), Some(want), "{rcpt}{end}");
        server.join().unwrap();
    }
}

#[test]
fn an_smtp_server_where_lmtp_is_wanted_keeps_the_mail_with_us() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("smtp.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let server = thread::spawn(move || lmtp(listener.accept().unwrap().0, "", ""));
    // The other way round, too: our server speaks no SMTP.
    assert_eq!(hand(&Deliver::Smtp(Place::Unix(path)), MAIL, LONG), Some(Temporary));
    let (said, _) = server.join().unwrap();
    assert_eq!(said, ["EHLO localhost", "HELO localhost", "QUIT"]);
}

#[test]
fn a_socket_that_nobody_listens_on_is_no_mta() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gone.sock");
    assert_eq!(hand(&Deliver::Lmtp(Place::Unix(path.clone())), MAIL, LONG), None);
    drop(UnixListener::bind(&path).unwrap());
    assert_eq!(hand(&Deliver::Smtp(Place::Unix(path.clone())), MAIL, LONG), None);
    assert_eq!(hand(&Deliver::Sendmail(path), MAIL, LONG), None);
}

/// A `sendmail` that does what `script` says. Written by a shell: a file that this process had open for writing could
/// not be run while another thread starts a program.
fn sendmail(dir: &Path, script: &str) -> PathBuf {
    let path = dir.join("sendmail");
    let mut shell = Command::new("sh")
        .args(["-c", "rm -f \"$0\"; cat > \"$0\"; chmod 755 \"$0\""])
        .arg(&path)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let script = format!("#!/bin/sh\ncd '{}'\n{script}\n", dir.display());
    shell.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    assert!(shell.wait().unwrap().success());
    path
}

#[test]
fn sendmail_gets_sender_recipient_and_mail_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let program = sendmail(dir.path(), "printf '%s\\n' \"$@\" >args; env >env; cat >mail");
    assert_eq!(hand(&Deliver::Sendmail(program), MAIL, LONG), Some(Delivered));
    let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
    assert_eq!(read("args"), "-i\n-f\nanonymous@exit.example\n--\nalice@example.com\n");
    assert_eq!(read("mail"), "Subject: x\n\n.hidden\n.\nFrom here\nend\n");
    let names: Vec<String> = read("env").lines().map(|line| line.split('=').next().unwrap().to_owned()).collect();
    let of_the_shell = ["PATH", "PWD", "OLDPWD", "_", "SHLVL"];
    assert!(names.iter().all(|name| of_the_shell.contains(&name.as_str())), "{names:?}");
}

#[test]
fn the_end_of_sendmail_says_what_became_of_the_mail() {
    let dir = tempfile::tempdir().unwrap();
    for (script, want) in [
        ("cat >/dev/null; exit 0", Delivered),
        ("cat >/dev/null; echo 'alice@example.com: unknown' >&2; exit 67", Permanent),
        ("cat >/dev/null; exit 65", Permanent),
        ("exit 68", Permanent),
        ("cat >/dev/null; exit 64", Temporary),
        ("cat >/dev/null; exit 69", Temporary),
        ("exit 75", Temporary),
        ("exit 77", Temporary),
        ("exit 78", Temporary),
        ("cat >/dev/null; exit 1", Temporary),
        ("cat >/dev/null; exit 127", Temporary),
        ("cat >/dev/null; kill -9 $$", Temporary),
    ] {
        let program = sendmail(dir.path(), script);
        assert_eq!(hand(&Deliver::Sendmail(program), MAIL, LONG), Some(want), "{script}");
    }
}

#[test]
fn a_sendmail_that_has_not_read_all_or_never_ends_has_not_taken_the_mail() {
    let dir = tempfile::tempdir().unwrap();
    let big = b"0123456789abcdef0123456789abcd\r\n".repeat(1 << 15);
    let program = sendmail(dir.path(), "head -c 1000 >/dev/null; exit 0");
    assert_eq!(hand(&Deliver::Sendmail(program), &big, LONG), Some(Temporary), "it ended with 0 in the middle");
    let program = sendmail(dir.path(), "exec sleep 600");
    for mail in [MAIL, &big] {
        let short = Duration::from_millis(300);
        assert_eq!(hand(&Deliver::Sendmail(program.clone()), mail, short), Some(Temporary), "it hung");
    }
}

#[test]
fn a_mail_with_bare_line_ends_is_given_to_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let program = sendmail(dir.path(), "echo run >run; cat >/dev/null");
    for mail in [&b"a\n.\nb\r\n"[..], b"a\r.\rb\r\n", b"a\r\r\n.\r\n", b"a\0\r\n"] {
        assert_eq!(hand(&Deliver::Sendmail(program.clone()), mail, LONG), Some(Permanent), "{}", mail.escape_ascii());
    }
    assert!(!dir.path().join("run").exists());
}
