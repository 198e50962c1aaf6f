//! `fog send`, the real binary: every exit code and message, for a person and for an MTA's pipe.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops at the first surprise")]

use fog::id::MessageId;
use fog::submit::{Outcome, PREFIX_LEN, Reason, Reply, Request, Source};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread::{self, JoinHandle};

const FOG: &str = env!("CARGO_BIN_EXE_fog");
const MAX_MAIL: usize = 1 << 24;
const ACCEPTED: Outcome = Outcome::Accepted(MessageId([7; 16]));
const MAIL: &[u8] = b"To: alice@example.com.fog\nSubject: canary\n\nbody\n";
const PIPED: &[u8] = b"Return-Path: <sender@canary.example>\nX-Original-To: x@canary.example.fog\n\
    Delivered-To: alice@canary.example.fog\nReceived: by mx\nSubject: canary\n\nbody\n";

/// `fog` with these arguments and this on its standard input.
fn fog(args: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(FOG)
        .args(args)
        .env("FOG_CONFIG", "/nonexistent/fog.toml")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // A fog that doesn't read its input closes the pipe: no error here.
    let writer = thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("fog was not killed by a signal")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// A node that answers one request with `reply` (or just goes away), and tells what it was asked.
struct Node {
    dir: tempfile::TempDir,
    heard: JoinHandle<Option<Request>>,
}

impl Node {
    fn start(reply: Option<Reply>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("submit.sock")).unwrap();
        let heard = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let request = read_request(&mut stream);
            if let Some(reply) = reply {
                let _ = stream.write_all(&reply.encode().unwrap());
            }
            request
        });
        Self { dir, heard }
    }

    fn socket(&self) -> String {
        self.dir.path().join("submit.sock").to_str().unwrap().to_owned()
    }

    fn heard(self) -> Request {
        self.heard.join().unwrap().expect("a whole request")
    }
}

fn read_request(stream: &mut UnixStream) -> Option<Request> {
    let mut prefix = [0; PREFIX_LEN];
    stream.read_exact(&mut prefix).ok()?;
    let mut body = vec![0; Request::body_len(prefix, MAX_MAIL).unwrap()];
    stream.read_exact(&mut body).ok()?;
    Some(Request::decode(&body, MAX_MAIL).unwrap())
}

fn accepting(n: usize) -> Option<Reply> {
    Some(Reply { outcomes: vec![ACCEPTED; n] })
}

fn no_socket() -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("submit.sock").to_str().unwrap().to_owned();
    (dir, socket)
}

#[test]
fn fog_alone_says_what_it_is_and_how_to_begin() {
    let output = fog(&[], b"");
    assert_eq!(code(&output), 0);
    assert_eq!(text(&output.stdout).lines().count(), 3);
    assert!(text(&output.stdout).contains("fog demo") && text(&output.stdout).contains("fog init"));
}

#[test]
fn help_and_version_go_to_standard_output() {
    for (args, want) in [
        (&["--help"][..], "Use       send"),
        (&["send", "--help"], "--dry-run"),
        (&["--version"], concat!("fog ", env!("CARGO_PKG_VERSION"))),
    ] {
        let output = fog(args, b"");
        assert_eq!(code(&output), 0, "{args:?}");
        assert!(text(&output.stdout).contains(want), "{}", text(&output.stdout));
        assert!(output.stderr.is_empty());
        let (lines, width) = (text(&output.stdout).lines(), |line: &str| line.chars().count());
        assert!(lines.clone().count() < 40 && lines.map(width).max() <= Some(80), "{}", text(&output.stdout));
    }
}

#[test]
fn a_wrong_command_line_ends_with_64_and_says_what_to_type() {
    for (args, found, try_) in [
        (&["frob"][..], "frob", "fog --help"),
        (&["send", "--frob"], "--frob", "fog send --help"),
        (&["send", "--queue-id", "x"], "--mta", "fog send --help"),
        (&["send", "-ox", "-t", "a@x"], "[possible values: i]", "fog send --help"),
    ] {
        let output = fog(args, MAIL);
        let stderr = text(&output.stderr);
        assert_eq!(code(&output), 64, "{args:?}: {stderr}");
        assert!(stderr.starts_with("fog: ") && stderr.contains(found), "{stderr}");
        assert!(stderr.ends_with(&format!("  ->  {try_}\n")), "{stderr}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn a_reader_that_has_gone_is_no_error() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = Command::new(FOG).arg("--help").stdout(writer).status().unwrap();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_mail_from_a_person_goes_to_the_node_as_it_is() {
    for (args, to) in [
        (&["-t", "bob@example.com"][..], &["bob@example.com.fog"][..]),
        (&["-t", "bob@example.com.fog"], &["bob@example.com.fog"]),
        (&["-t"], &["alice@example.com.fog"]),
        (&["-i", "-oi", "-f", "", "bob@example.com"], &["bob@example.com.fog"]),
        (&["-t", "--", "bob@x.org"], &["bob@x.org.fog", "alice@example.com.fog"]),
        (&["bob@x.org", "bob@X.org.fog", "carl@x.org"], &["bob@x.org.fog", "carl@x.org.fog"]),
    ] {
        let node = Node::start(accepting(to.len()));
        let output = fog(&[&["send", "-q", "--socket", &node.socket()], args].concat(), MAIL);
        assert_eq!(code(&output), 0, "{}", text(&output.stderr));
        assert!(output.stdout.is_empty() && output.stderr.is_empty(), "{}", text(&output.stderr));
        let request = node.heard();
        let recipients: Vec<_> = request.recipients.iter().map(ToString::to_string).collect();
        assert_eq!(recipients, to, "{args:?}");
        assert_eq!((request.source, request.dedup, request.sender), (Source::Person, None, None));
        assert_eq!(request.mail, MAIL);
    }
}

#[test]
fn a_sender_and_json_are_passed_on() {
    let node = Node::start(accepting(1));
    let args = ["send", "-q", "--json", "--socket", &node.socket(), "-f", "me@here.example", "-t", "bob@x.org"];
    let output = fog(&args, MAIL);
    assert_eq!(text(&output.stdout), "{\"v\":1,\"accepted\":1}\n");
    assert_eq!(node.heard().sender.unwrap().to_string(), "me@here.example");
}

#[test]
fn a_persons_mistake_is_told_with_its_code_and_nothing_is_sent() {
    let (_dir, socket) = no_socket();
    let header = |to: &str| format!("To: {to}\n\nbody\n").into_bytes();
    for (args, mail, want, what) in [
        (&["-t", "bob"][..], MAIL.to_vec(), 67, "an address looks like local@domain"),
        (&["-t", "a b@x.org"], MAIL.to_vec(), 67, "the part before the @ is malformed"),
        (&["-t", "bob@[192.0.2.1]"], MAIL.to_vec(), 67, "an IP address can't stand after the @"),
        (&["-t"], header("undisclosed-recipients:;"), 67, "there is no recipient in To, Cc or Bcc"),
        (&[], MAIL.to_vec(), 67, "there is no recipient on the command line"),
        (&["-t"], header("a@x.fog, b@x.org"), 67, "a recipient in the header is not under .fog"),
        (&["-t", "bob@x.org", "-f", "me"], MAIL.to_vec(), 67, "an address looks like local@domain"),
        (&["-t", "bob@x.org"], Vec::new(), 66, "there is no mail on standard input"),
        (&["-t", "bob@x.org"], vec![b'x'; (64 << 20) + 1], 65, "the mail is bigger than 64 MiB"),
        (&["-t", "bob@x.org"], MAIL.to_vec(), 69, "the node isn't running"),
    ] {
        let output = fog(&[&["send", "-q", "--socket", &socket], args].concat(), &mail);
        let stderr = text(&output.stderr);
        assert_eq!(code(&output), want, "{args:?}: {stderr}");
        assert!(stderr.starts_with(&format!("fog: {what}")), "{stderr}");
        assert!(stderr.contains("nothing was sent") && stderr.contains("\n  ->  "), "{stderr}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn a_node_that_is_not_there_is_named_by_its_socket() {
    let (_dir, socket) = no_socket();
    let output = fog(&["send", "-q", "--socket", &socket, "-t", "bob@x.org"], MAIL);
    assert!(text(&output.stderr).contains(&format!("nobody listens on {socket}")), "{}", text(&output.stderr));
    let output = fog(&["send", "-q", "--json", "--socket", &socket, "-t", "bob@x.org"], MAIL);
    assert!(text(&output.stderr).contains("{\"code\":69,"), "{}", text(&output.stderr));
}

#[test]
fn what_the_node_refuses_is_told_with_its_reason() {
    for (outcome, want) in [
        (Outcome::Permanent(Reason::NoExit), 67),
        (Outcome::Permanent(Reason::MailTooBig), 65),
        (Outcome::Permanent(Reason::NotAMail), 65),
        (Outcome::Temporary(Reason::SpoolFull), 75),
        (Outcome::Temporary(Reason::MailTooBig), 75),
    ] {
        let node = Node::start(Some(Reply { outcomes: vec![outcome] }));
        let output = fog(&["send", "-q", "--socket", &node.socket(), "-t", "bob@x.org"], MAIL);
        let (Outcome::Permanent(reason) | Outcome::Temporary(reason)) = outcome else { unreachable!() };
        let stderr = text(&output.stderr);
        assert_eq!(code(&output), want, "{stderr}");
        assert!(stderr.starts_with(&format!("fog: {}\n", reason.text())), "{stderr}");
        assert!(stderr.contains("nothing was sent") && stderr.contains(reason.advice()), "{stderr}");
    }
    let node = Node::start(None);
    let output = fog(&["send", "-q", "--socket", &node.socket(), "-t", "bob@x.org"], MAIL);
    assert_eq!(code(&output), 75);
    assert!(text(&output.stderr).contains("it may have the mail or not"), "{}", text(&output.stderr));
}

/// An MTA's run: 0 and silence, or 75 and one line that starts with a status and holds nothing of the mail.
fn deferred_line(args: &[&str], input: &[u8]) -> Option<String> {
    let output = fog(args, input);
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(stderr.is_empty(), "{args:?} on standard error: {stderr}");
    if code(&output) == 0 {
        assert_eq!(stdout, "", "a silent success");
        return None;
    }
    assert_eq!(code(&output), 75, "{args:?}: {stdout}");
    let line = stdout;
    assert!(line.starts_with("4.") && line.contains(" fog: ") && !line.contains('\n'), "{stdout}");
    for secret in ["canary", "alice", "sender", "4jXqueue", "@"] {
        assert!(!line.contains(secret), "{line}");
    }
    Some(line.to_owned())
}

fn mta_args(socket: &str) -> Vec<&str> {
    vec!["send", "--mta", "--queue-id", "4jXqueue", "--socket", socket]
}

#[test]
fn a_mail_from_the_pipe_is_handed_in_silently_under_its_queue_id() {
    let node = Node::start(accepting(1));
    assert_eq!(deferred_line(&mta_args(&node.socket()), PIPED), None);
    let request = node.heard();
    assert_eq!(request.source, Source::Mta);
    assert_eq!(request.dedup.as_deref(), Some(&b"4jXqueue"[..]));
    assert_eq!(request.sender.unwrap().to_string(), "sender@canary.example");
    assert_eq!(request.recipients.iter().map(ToString::to_string).collect::<Vec<_>>(), ["alice@canary.example.fog"]);
    assert_eq!(request.mail, b"Received: by mx\nSubject: canary\n\nbody\n");
}

#[test]
fn whatever_is_wrong_with_a_piped_mail_it_stays_with_the_mta() {
    let (_dir, socket) = no_socket();
    let outside = b"Return-Path: <>\nDelivered-To: alice@canary.example\n\nbody\n";
    for (input, want) in [
        (PIPED, "4.3.2 fog: the node isn't running"),
        (MAIL, "4.3.5 fog: flags=DORq is wanted in master.cf"),
        (b"", "4.3.5 fog: flags=DORq is wanted in master.cf"),
        (outside, "4.1.2 fog: the recipient is not an address of the anonymous network"),
        (&vec![b'x'; (64 << 20) + 1], "4.3.4 fog: the mail is bigger than the network takes"),
    ] {
        assert_eq!(deferred_line(&mta_args(&socket), input).as_deref(), Some(want));
    }
}

#[test]
fn whatever_the_node_says_but_yes_the_piped_mail_stays_with_the_mta() {
    for (reply, want) in [
        (Some(Reply { outcomes: vec![Outcome::Permanent(Reason::NoExit)] }), "4.7.1 fog: no exit"),
        (Some(Reply { outcomes: vec![Outcome::Permanent(Reason::MailTooBig)] }), "4.3.4 fog: the mail is bigger"),
        (Some(Reply { outcomes: vec![Outcome::Temporary(Reason::SpoolFull)] }), "4.3.1 fog: too much mail"),
        (accepting(2), "4.3.5 fog: the node's answer"),
        (None, "4.4.2 fog: the node did not answer"),
    ] {
        let node = Node::start(reply);
        let line = deferred_line(&mta_args(&node.socket()), PIPED).unwrap();
        assert!(line.starts_with(want), "{line}");
    }
}

#[test]
fn a_wrong_command_line_in_master_cf_defers_instead_of_bouncing() {
    for args in [
        &["send", "--mta"][..],
        &["send", "--mta", "--queue-id"],
        &["send", "--mta", "--queue-id", "x", "--frob"],
        &["send", "--mta", "--queue-id", "x", "-t", "alice@canary.example.fog"],
        &["send", "--mta", "--queue-id", "x", "--", "alice@canary.example.fog"],
        &["send", "--mta", "--queue-id", "x", "--dry-run"],
        &["send", "--mta", "--help"],
        &["--version", "--mta"],
        &["send", "--queue-id", "--mta"],
        &["send", "-t", "alice@canary.example.fog", "--", "--mta"],
        &["exit", "--mta"],
        &["--mta"],
    ] {
        let line = deferred_line(args, PIPED).unwrap();
        assert_eq!(line, "4.3.5 fog: wrong command line in master.cf", "{args:?}");
    }
    let (_dir, socket) = no_socket();
    let long = "x".repeat(300);
    let args = ["send", "--mta", "--queue-id", &long, "--socket", &socket];
    assert!(deferred_line(&args, PIPED).unwrap().starts_with("4.3.5 "));
}

/// A shell that starts `fog send --mta` on a FIFO, writes `mail` into it and says so, then does `end`.
fn pipe_in_a_shell(dir: &Path, end: &str) -> std::process::Child {
    std::fs::write(dir.join("mail"), PIPED).unwrap();
    let script = format!(
        "mkfifo fifo; '{FOG}' send --mta --queue-id 4jX --socket submit.sock <fifo & exec 3>fifo; \
         cat mail >&3; echo written; read word; {end}"
    );
    Command::new("sh")
        .args(["-c", &script])
        .current_dir(dir)
        .env("FOG_CONFIG", "/nonexistent/fog.toml")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn read_line(from: &mut impl Read) -> String {
    let mut line = Vec::new();
    let mut byte = [0];
    while from.read(&mut byte).unwrap() == 1 && byte[0] != b'\n' {
        line.push(byte[0]);
    }
    String::from_utf8(line).unwrap()
}

#[test]
fn a_mail_whose_writer_ends_it_is_accepted() {
    let node = Node::start(accepting(1));
    let mut shell = pipe_in_a_shell(node.dir.path(), "exec 3>&-; wait");
    shell.stdin.take().unwrap().write_all(b"go\n").unwrap();
    let output = shell.wait_with_output().unwrap();
    assert_eq!(text(&output.stdout), "written\n");
    assert!(node.heard().mail.ends_with(b"body\n"));
}

#[test]
fn a_mail_whose_writer_is_killed_is_never_accepted() {
    // Often, since the writer's end and the end of its file are an instant apart.
    for _ in 0..20 {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("submit.sock")).unwrap();
        let mut shell = pipe_in_a_shell(dir.path(), "exit");
        let mut stdout = shell.stdout.take().unwrap();
        assert_eq!(read_line(&mut stdout), "written");
        shell.kill().unwrap();
        // To the end of the output is to the end of fog, which holds the other end of it.
        let mut said = String::new();
        stdout.read_to_string(&mut said).unwrap();
        shell.wait().unwrap();
        assert_eq!(said, "4.4.2 fog: the mail was cut off");
        listener.set_nonblocking(true).unwrap();
        match listener.accept() {
            Ok((mut stream, _)) => assert_eq!(read_request(&mut stream), None),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }
}

#[test]
fn a_dry_run_shows_what_arrives_and_needs_nothing() {
    let mail = b"Received: from laptop\nFrom: Anna Canary <anna@own.example>\nTo: bob@example.com\nX-Mailer: m\n\
        Subject: hi\nMessage-ID: <1@own.example>\n\nText\n-- \nAnna Canary\n";
    let output = fog(&["send", "-q", "--dry-run", "-t", "bob@example.com"], mail);
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    let want = "From: \"Anonymous\" <anonymous@fog.invalid>\r\nTo: bob@example.com\r\nSubject: hi\r\n\
        Date: Thu, 1 Jan 1970 00:00:00 +0000\r\nMessage-ID: <00000000000000000000000000000000@fog.invalid>\r\n\
        Remailed-By: fog\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=\"utf-8\"\r\n\
        Content-Transfer-Encoding: 7bit\r\n\r\nText\r\n-- \r\nAnna Canary\r\n";
    assert_eq!(text(&output.stdout), want);
    assert!(output.stderr.is_empty());

    let output = fog(&["send", "--dry-run", "-t"], mail);
    assert_eq!(code(&output), 67, "a recipient that is not under the suffix");
    let output = fog(&["send", "--dry-run", "bob@example.com", "carl@x.org"], mail);
    let stderr = text(&output.stderr);
    assert_eq!((code(&output), text(&output.stdout)), (0, want));
    assert!(stderr.contains("placeholders") && stderr.contains("the first of 2"), "{stderr}");
    assert!(stderr.contains("careful: text/plain "), "{stderr}");
    let output = fog(&["send", "-q", "--dry-run", "bob@example.com"], b"no mail at all");
    assert_eq!(code(&output), 65, "{}", text(&output.stderr));
}

#[test]
fn a_configuration_gives_the_suffix_and_the_socket() {
    let node = Node::start(accepting(1));
    let file = node.dir.path().join("fog.toml");
    let trust = "0a".repeat(32);
    let toml = format!(
        "[node]\nname = \"kvara\"\nonion = \"127.0.0.1:7000\"\nsockets = \".\"\n[entry]\nsuffix = \"anon\"\n\
         [directory]\ntrust = [\"{trust}\"]\n"
    );
    std::fs::write(&file, &toml).unwrap();
    let config = file.to_str().unwrap();
    let output = fog(&["send", "-q", "-c", config, "-t", "bob@example.com"], MAIL);
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    let wrong = ["send", "-q", "-c", config, "--set", "entry.sufix=x", "-t", "bob@example.com"];
    let output = fog(&wrong, MAIL);
    assert_eq!(code(&output), 78);
    assert!(text(&output.stderr).contains("did you mean `suffix`?"), "{}", text(&output.stderr));
    // Not under the suffix that is configured: it waits.
    let args = ["send", "--mta", "--queue-id", "x", "-c", config];
    assert!(deferred_line(&args, PIPED).unwrap().starts_with("4.1.2 "));
    assert_eq!(node.heard().recipients[0].to_string(), "bob@example.com.anon");
}

#[test]
fn a_node_that_is_no_exit_says_so() {
    let output = fog(&["exit"], b"");
    assert_eq!(code(&output), 78, "{}", text(&output.stderr));
    assert!(text(&output.stderr).starts_with("fog: there is no configuration"), "{}", text(&output.stderr));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("fog.toml");
    let trust = "0a".repeat(32);
    std::fs::write(
        &file,
        format!("node.name = \"k\"\nnode.onion = \"127.0.0.1:7000\"\ndirectory.trust = [\"{trust}\"]\n"),
    )
    .unwrap();
    let output = fog(&["exit", "-c", file.to_str().unwrap()], b"");
    assert_eq!(code(&output), 78);
    assert!(text(&output.stderr).starts_with("fog: this node is no exit"), "{}", text(&output.stderr));
}
