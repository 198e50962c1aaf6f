//! `fog send`, the real binary: every exit code and message, for a person and for an MTA's pipe.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops at the first surprise")]

#[path = "common/submit.rs"]
mod submit;

use fog::submit::{Outcome, Reason, Reply, Source, Wish};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};
use submit::{FOG, Node, accepting, code, deferred_line, fog, no_socket, read_request, text};

const MAIL: &[u8] = b"To: alice@example.com.fog\nSubject: canary\n\nbody\n";
const PIPED: &[u8] = b"Return-Path: <sender@canary.example>\nX-Original-To: x@canary.example.fog\n\
    Delivered-To: alice@canary.example.fog\nReceived: by mx\nSubject: canary\n\nbody\n";

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
        (&["send", "-n", "0", "-t", "a@x"], "1..=10", "fog send --help"),
        (&["send", "-n", "11", "-t", "a@x"], "1..=10", "fog send --help"),
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
        (&["-f", "<>", "bob@example.com"], &["bob@example.com.fog"]),
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
    assert_eq!(text(&output.stdout), "{\"accepted\":1,\"ids\":[\"070707070707\"],\"v\":1}\n");
    assert_eq!(node.heard().sender.unwrap().to_string(), "me@here.example");
}

/// Who sits at a terminal may want to ask later what became of it; a script may not have words where it had none.
#[test]
fn at_a_terminal_a_mail_is_told_its_name_and_into_a_pipe_nothing_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let letter = dir.path().join("letter");
    std::fs::write(&letter, MAIL).unwrap();
    for (at_a_terminal, want) in
        [(true, "fog: alice@example.com.fog: is on its way, and called 070707070707 here\r\n"), (false, "")]
    {
        let node = Node::start(accepting(1));
        let typed = format!("{FOG} send --socket {} -t < {}", node.socket(), letter.display());
        let mut shell = if at_a_terminal { Command::new("script") } else { Command::new("sh") };
        // script(1) is Debian's in every installation.
        let typist: &[&str] = if at_a_terminal { &["-qec", &typed, "/dev/null"] } else { &["-c", &typed] };
        let output = shell.args(typist).stdin(Stdio::null()).output().unwrap();
        let said = [text(&output.stdout), text(&output.stderr)].concat();
        assert_eq!((code(&output), said.as_str()), (0, want));
        assert_eq!(node.heard().mail, MAIL);
    }
}

#[test]
fn a_wish_for_the_way_goes_to_the_node() {
    let node = Node::start(accepting(1));
    let args = ["send", "-q", "--socket", &node.socket(), "-l", "*, dries,kvara", "-n", "3", "-t", "bob@x.org"];
    assert_eq!(code(&fog(&args, MAIL)), 0);
    let chain = vec![None, Some("dries".to_owned()), Some("kvara".to_owned())];
    assert_eq!(node.heard().wish, Wish { chain, copies: 3 });
}

#[test]
fn a_group_is_a_recipient_and_a_subject_takes_the_place_of_the_mails() {
    let node = Node::start(accepting(2));
    let args = ["send", "-q", "--socket", &node.socket(), "-g", "alt.test", "-g", "misc.test", "-s", "caf\u{e9}"];
    let output = fog(&args, MAIL);
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    let request = node.heard();
    let to: Vec<_> = request.recipients.iter().map(ToString::to_string).collect();
    assert_eq!(to, ["alt.test@news.fog", "misc.test@news.fog"]);
    let mail = text(&request.mail);
    assert!(mail.starts_with("Subject: =?utf-8?") && !mail.contains("canary"), "{mail}");
    assert!(mail.ends_with("To: alice@example.com.fog\n\nbody\n"), "{mail}");
    // A text without a header begins with an empty line.
    let output = fog(&["send", "-q", "--dry-run", "-s", "new", "bob@example.com"], b"\ntext\n");
    assert!(text(&output.stdout).contains("\r\nSubject: new\r\n") && text(&output.stdout).ends_with("text\r\n"));
}

#[test]
fn recipients_hidden_in_the_header_are_found_and_taken_out() {
    let hidden =
        b"To: anon@fog.invalid\nAnon-To: B <bob@x.org>, carl@x.org.fog\nSubject: s\nAnon-Post-To: alt.test\n\nbody\n";
    // The last two are how mutt and git call what they take for sendmail.
    for args in [&["-t"][..], &["-t", "anon@fog.invalid"], &["-oi", "--", "anon@fog.invalid"]] {
        let node = Node::start(accepting(3));
        let output = fog(&[&["send", "-v", "--socket", &node.socket()], args].concat(), hidden);
        assert_eq!(code(&output), 0, "{}", text(&output.stderr));
        assert_eq!(text(&output.stderr).matches("is on its way").count(), 3, "{}", text(&output.stderr));
        let request = node.heard();
        let to: Vec<_> = request.recipients.iter().map(ToString::to_string).collect();
        assert_eq!(to, ["bob@x.org.fog", "carl@x.org.fog", "alt.test@news.fog"]);
        assert_eq!(text(&request.mail), "To: anon@fog.invalid\nSubject: s\n\nbody\n");
    }
}

#[test]
fn a_persons_mistake_is_told_with_its_code_and_nothing_is_sent() {
    let (_dir, socket) = no_socket();
    let header = |to: &str| format!("To: {to}\n\nbody\n").into_bytes();
    let many: String = (0..1001).map(|n| format!("a{n}@x.fog,\n ")).collect();
    for (args, mail, want, what) in [
        (&["-t", "bob"][..], MAIL.to_vec(), 67, "an address looks like local@domain"),
        (&["-t", "a b@x.org"], MAIL.to_vec(), 67, "the part before the @ is malformed"),
        (&["-t", "bob@[192.0.2.1]"], MAIL.to_vec(), 67, "an IP address can't stand after the @"),
        (&["-t"], header("undisclosed-recipients:;"), 67, "there is no recipient in To, Cc or Bcc"),
        (&[], MAIL.to_vec(), 67, "there is no recipient on the command line"),
        (&["-t"], header("a@x.fog, b@x.org"), 67, "a recipient in the header is not under .fog"),
        (&["-t", "bob@x.org", "-f", "me"], MAIL.to_vec(), 67, "an address looks like local@domain"),
        (&["-t"], header("anon@fog.invalid"), 67, "the mail names no recipient in Anon-To"),
        (&["anon@fog.invalid"], MAIL.to_vec(), 67, "the mail names no recipient in Anon-To"),
        (&["-t"], header("a@x.fog: b@x.fog"), 67, "To, Cc or Bcc is no list of addresses"),
        (&["-t"], b"no header\nTo: a@x.fog\n\n".to_vec(), 65, "a line of the header is no header field"),
        (&["-t"], header(&many), 67, "there are more than 1000 recipients"),
        (&["-t"], header("a@x.fog\nAnon-To: bob"), 67, "a recipient in Anon-To is no mail address"),
        (&["-t"], header("a@x.fog\nAnon-Post-To: a b"), 67, "a group in Anon-Post-To is no newsgroup"),
        (&["-g", "alt test"], MAIL.to_vec(), 67, "a newsgroup is named by"),
        (&["-l", "*,Kvara", "-t"], MAIL.to_vec(), 64, "a chain is the names of nodes"),
        (&["-l", "", "-t"], MAIL.to_vec(), 64, "a chain is the names of nodes"),
        (&["-l", "*,*,*,*,*,*", "-t"], MAIL.to_vec(), 64, "a chain is the names of nodes"),
        (&["-s", "a\nBcc: b", "-t"], MAIL.to_vec(), 64, "a subject is one line"),
        (&["-s", "a", "bob@x.org"], b"no header\n".to_vec(), 65, "a line of the header is no header field"),
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
        (Outcome::Permanent(Reason::TooManyCopies), 65),
        (Outcome::Permanent(Reason::ChainExit), 67),
        (Outcome::Permanent(Reason::ChainUnknown), 64),
        (Outcome::Permanent(Reason::ChainLength), 64),
        (Outcome::Permanent(Reason::ChainImpossible), 64),
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
fn a_piped_mail_to_the_door_goes_to_those_in_its_header() {
    let front = "Return-Path: <>\nX-Original-To: anon@fog.invalid\nDelivered-To: anon@fog.invalid\n";
    let node = Node::start(accepting(2));
    let mail = format!("{front}Anon-To: bob@canary.example,\n alice@canary.example.fog\nSubject: canary\n\nbody\n");
    assert_eq!(deferred_line(&mta_args(&node.socket()), mail.as_bytes()), None);
    let request = node.heard();
    let to: Vec<_> = request.recipients.iter().map(ToString::to_string).collect();
    assert_eq!(to, ["bob@canary.example.fog", "alice@canary.example.fog"]);
    assert_eq!(text(&request.mail), "Subject: canary\n\nbody\n");
    let (_dir, socket) = no_socket();
    for (fields, want) in [
        ("Subject: canary\n", "4.1.3 fog: the mail names no recipient in Anon-To or Anon-Post-To"),
        ("Anon-To: alice@canary.example, canary\n", "4.1.3 fog: a recipient in Anon-To is no mail address"),
        ("Anon-Post-To: can ary\n", "4.1.3 fog: a group in Anon-Post-To is no newsgroup"),
        ("canary\n", "4.6.0 fog: this is no mail"),
    ] {
        let line = deferred_line(&mta_args(&socket), format!("{front}{fields}\nbody\n").as_bytes()).unwrap();
        assert!(line.starts_with(want), "{line}");
    }
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
        (
            b"Return-Path: <a@x.org>\nDelivered-To: -canary@x.fog\n\nbody\n",
            "4.1.3 fog: the recipient is not a mail address",
        ),
    ] {
        assert_eq!(deferred_line(&mta_args(&socket), input).as_deref(), Some(want));
    }
}

#[test]
fn what_is_wrong_for_good_is_the_nodes_to_tell_its_sender() {
    let from = |sender: &str, to: &str, mail: &str| format!("Return-Path: <{sender}>\nDelivered-To: {to}\n{mail}");
    let (carol, door) = ("carol@home.example", "anon@fog.invalid");
    for (piped, line) in [
        (from(carol, "-canary@x.fog", "Subject: canary\n\nbody\n"), "4.1.3 fog: the recipient is not a mail address"),
        (from(carol, door, "Subject: canary\n\nbody\n"), "4.1.3 fog: the mail names no recipient in Anon-To or"),
        (from(carol, door, "Anon-To: canary\n\nbody\n"), "4.1.3 fog: a recipient in Anon-To is no mail address"),
        (from(carol, door, "Anon-Post-To: can ary\n\nbody\n"), "4.1.3 fog: a group in Anon-Post-To is no newsgroup"),
    ] {
        // Taken by the node: Postfix hears nothing, and lets go of it.
        let node = Node::start(accepting(1));
        assert_eq!(deferred_line(&mta_args(&node.socket()), piped.as_bytes()), None, "{line}");
        let request = node.heard();
        assert!(request.recipients.iter().all(|recipient| recipient.is_routed()), "none that any node takes");
        assert_eq!(request.sender.unwrap().to_string(), carol);
        assert!(!text(&request.mail).contains("canary"), "of the mail nothing but a mark");
        // Not taken: it says what it knows, and keeps the mail.
        let refused = Reply { outcomes: vec![Outcome::Permanent(Reason::BadAddress)] };
        let node = Node::start(Some(refused));
        let said = deferred_line(&mta_args(&node.socket()), piped.as_bytes()).unwrap();
        assert!(said.starts_with(line), "{said}");
        // Nobody could be told: no node is asked.
        let (_dir, socket) = no_socket();
        let said = deferred_line(&mta_args(&socket), piped.replace(carol, "").as_bytes()).unwrap();
        assert!(said.starts_with(line), "{said}");
    }
    // The mark is the mail's.
    let mark = |body: &str| {
        let node = Node::start(accepting(1));
        let piped = from(carol, "-x@x.fog", body);
        assert_eq!(deferred_line(&mta_args(&node.socket()), piped.as_bytes()), None);
        node.heard().mail
    };
    assert!(mark("a") == mark("a") && mark("a") != mark("b"));
}

#[test]
fn of_a_mail_that_no_node_takes_for_its_size_the_node_gets_the_beginning() {
    let node = Node::start(Some(Reply::refusing(Reason::MailTooBig)));
    let huge = [PIPED, &vec![b'x'; 70 << 20]].concat();
    let line = deferred_line(&mta_args(&node.socket()), &huge).unwrap();
    assert_eq!(line, "4.3.4 fog: the mail is bigger than the network takes");
    let mail = node.heard().mail;
    assert!(mail.len() > 60 << 20 && mail.len() <= 64 << 20, "{}", mail.len());
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
    let output = fog(&["send", "-q", "-c", "/nonexistent/other.toml", "-t", "bob@example.com"], MAIL);
    assert_eq!(code(&output), 78, "{}", text(&output.stderr));
    assert!(text(&output.stderr).starts_with("fog: there is no configuration"), "{}", text(&output.stderr));
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
