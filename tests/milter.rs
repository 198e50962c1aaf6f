//! The real `fog milter` between an MTA that is another implementation of the protocol (indymilter-test) and a node.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test stops at the first surprise")]
#![allow(clippy::print_stderr, clippy::disallowed_methods, reason = "real processes have a real clock and real logs")]

#[path = "common/submit.rs"]
mod submit;

use fog::id::{MessageId, QueueId};
use fog::submit::{Outcome, Reason, Reply, Request, Source};
use indymilter_test::{EomAction, MacroStage, ProtoOpts, Status, TestConnection};
use std::collections::VecDeque;
use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long anything may take on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(60);
const ALICE: &str = "alice@canary.example.fog";

/// A `fog milter` with its configuration, and a place for a node's socket.
struct Milter {
    dir: TempDir,
    child: Child,
}

impl Milter {
    fn start(set: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let trust = "0".repeat(64);
        let config = format!(
            "node.name = \"n1\"\nnode.onion = \"127.0.0.1:1\"\nnode.sockets = \".\"\ndirectory.trust = [\"{trust}\"]\n\
             milter.listen = \"unix:milter.sock\"\n"
        );
        fs::write(dir.path().join("fog.toml"), config).unwrap();
        let child = Self::spawn(dir.path(), set);
        let milter = Self { dir, child };
        milter.wait_for_log("ready");
        milter
    }

    fn spawn(dir: &Path, set: &[&str]) -> Child {
        let log = fs::File::create(dir.join("log")).unwrap();
        let mut milter = Command::new(submit::FOG);
        milter.args(["milter", "--set", "log.target=stderr", "--config"]).arg(dir.join("fog.toml"));
        for set in set {
            milter.args(["--set", set]);
        }
        milter.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
    }

    /// Ends it as a power cut would, and starts another one.
    fn kill_and_start_again(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = Self::spawn(self.dir.path(), &[]);
        self.wait_for_log("ready");
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("milter.sock")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap()
    }

    fn wait_for_log(&self, word: &str) {
        wait_until(word, || self.log().contains(word));
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status().unwrap();
        assert!(sent.success());
    }

    async fn connect(&self) -> TestConnection {
        TestConnection::configure().open_unix(self.socket()).await.unwrap()
    }

    /// A session with a client of this machine.
    async fn session(&self) -> TestConnection {
        let mut mta = self.connect().await;
        mta.connect("localhost", (Ipv4Addr::LOCALHOST, 4321)).await.unwrap();
        mta
    }
}

impl Drop for Milter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- log of the milter\n{}", self.log());
        }
    }
}

fn wait_until(what: &str, mut is: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is() {
        assert!(began.elapsed() < PATIENCE, "{what}: nothing after {PATIENCE:?}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// A node that answers request after request with the next of `answers`, and passes on what it was asked. What is no
/// whole request (the milter looks whether the node is there) is not counted.
fn node(milter: &Milter, answers: Vec<Option<Vec<Outcome>>>) -> Receiver<Request> {
    let listener = UnixListener::bind(milter.dir.path().join("submit.sock")).unwrap();
    let (heard, asked) = channel();
    let mut answers = VecDeque::from(answers);
    thread::spawn(move || {
        while let Some(answer) = answers.front().cloned() {
            let (mut stream, _) = listener.accept().unwrap();
            let Some(request) = submit::read_request(&mut stream) else { continue };
            answers.pop_front();
            if let Some(outcomes) = answer {
                let _ = stream.write_all(&Reply { outcomes }.encode().unwrap());
            }
            if heard.send(request).is_err() {
                return;
            }
        }
    });
    asked
}

fn taken(count: usize) -> Option<Vec<Outcome>> {
    Some(vec![Outcome::Accepted(MessageId([7; 16]), QueueId([7; 6])); count])
}

fn refused(reason: Reason) -> Option<Vec<Outcome>> {
    Some(vec![Outcome::refused(reason)])
}

/// MAIL and one RCPT each, with what Postfix says of them.
async fn envelope(mta: &mut TestConnection, recipients: &[&str]) {
    mta.macros(MacroStage::Mail, [("{mail_addr}", "ann@home.example")]).await.unwrap();
    mta.mail(["<ann@home.example>"]).await.unwrap();
    for recipient in recipients {
        let mailer = if recipient.ends_with(".fog") { "fog" } else { "smtp" };
        let macros = [("{rcpt_addr}", *recipient), ("{rcpt_mailer}", mailer)];
        mta.macros(MacroStage::Rcpt, macros).await.unwrap();
        mta.rcpt([format!("<{recipient}>")]).await.unwrap();
    }
}

/// The text of a mail and its end. `id` is the queue id.
async fn text(mta: &mut TestConnection, id: &str, message_id: &str) -> (Vec<EomAction>, Status) {
    mta.header("Message-ID", message_id).await.unwrap();
    mta.header("Subject", "canary\n\tsubject").await.unwrap();
    assert_eq!(mta.eoh().await.unwrap(), Status::Continue);
    mta.body("canary body\r\n").await.unwrap();
    mta.macros(MacroStage::Eom, [("i", id)]).await.unwrap();
    let (actions, status) = mta.eom().await.unwrap();
    (actions.actions, status)
}

async fn send(mta: &mut TestConnection, recipients: &[&str]) -> (Vec<EomAction>, Status) {
    envelope(mta, recipients).await;
    assert_eq!(mta.data().await.unwrap(), Status::Continue);
    text(mta, "4jXqueueid", "<1@home.example>").await
}

fn sender_goes() -> EomAction {
    EomAction::ChangeSender { mail: c"<>".into(), args: None }
}

fn goes(recipient: &str) -> EomAction {
    EomAction::DeleteRecipient { rcpt: std::ffi::CString::new(recipient).unwrap() }
}

/// `4.x.x` or `5.x.x`, and the words.
fn words(status: &Status) -> (String, String) {
    let text = |message: &std::ffi::CString| message.to_str().unwrap().to_owned();
    let reply = match status {
        Status::Reject { message: Some(message) } | Status::Tempfail { message: Some(message) } => text(message),
        other => panic!("{other:?}"),
    };
    for secret in ["canary", "alice", "ann", "4jXqueueid", "@"] {
        assert!(!reply.contains(secret), "{reply}");
    }
    let (code, rest) = reply.split_once(' ').unwrap();
    assert_eq!(code.as_bytes()[0], rest.as_bytes()[0], "{reply}");
    (code.to_owned(), rest.to_owned())
}

#[tokio::test]
async fn mail_for_others_is_let_go_when_its_recipients_are_known() {
    let milter = Milter::start(&[]);
    let mut mta = milter.session().await;
    // Nothing before that is waited for, and nothing is asked for that isn't used.
    for unasked in [ProtoOpts::NOREPLY_CONNECT, ProtoOpts::NOREPLY_MAIL, ProtoOpts::NOREPLY_RCPT, ProtoOpts::NO_HELO] {
        assert!(mta.negotiated_opts().contains(unasked), "{unasked:?}");
    }
    assert_eq!(mta.requested_macros()[&MacroStage::Rcpt].to_str(), Ok("{rcpt_addr} {rcpt_mailer}"));
    for _ in 0..3 {
        envelope(&mut mta, &["bob@example.org", "carol@befog"]).await;
        assert_eq!(mta.data().await.unwrap(), Status::Accept);
    }
    mta.close().await.unwrap();
}

#[tokio::test]
async fn mail_for_the_network_is_with_the_node_before_anything_is_taken_out_of_it() {
    let milter = Milter::start(&[]);
    let asked = node(&milter, vec![taken(2), taken(1)]);
    let mut mta = milter.session().await;
    let (actions, status) = send(&mut mta, &[ALICE, "Bob@canary.example.fog"]).await;
    assert_eq!(status, Status::Continue);
    let raw = ["<alice@canary.example.fog>", "<Bob@canary.example.fog>"];
    assert_eq!(actions, [sender_goes(), goes(raw[0]), goes(raw[1])]);
    let request = asked.recv().unwrap();
    assert!(matches!(request.source, Source::Milter { .. }), "{:?}", request.source);
    let to: Vec<String> = request.recipients.iter().map(ToString::to_string).collect();
    assert_eq!(to, [ALICE, "Bob@canary.example.fog"]);
    assert_eq!(request.sender.unwrap().to_string(), "ann@home.example");
    assert_eq!(request.dedup.unwrap(), b"4jXqueueid");
    assert_eq!(request.mail, b"Message-ID: <1@home.example>\r\nSubject: canary\r\n\tsubject\r\n\r\ncanary body\r\n");

    // Another mail of the session: nothing of the first is left. One recipient outside: the sender stays for it.
    let (actions, status) = send(&mut mta, &["bob@example.org", ALICE]).await;
    assert_eq!((actions, status), (vec![goes(raw[0])], Status::Continue));
    assert_eq!(asked.recv().unwrap().recipients.len(), 1);
}

#[tokio::test]
async fn an_mta_that_offers_less_is_served_as_well() {
    let milter = Milter::start(&["entry.max-size=2K"]);
    let asked = node(&milter, vec![taken(1)]);
    let opts = ProtoOpts::NO_HELO | ProtoOpts::NO_UNKNOWN;
    let mut mta = TestConnection::configure().available_opts(opts).open_unix(milter.socket()).await.unwrap();
    assert_eq!(mta.connect("localhost", (Ipv4Addr::LOCALHOST, 4321)).await.unwrap(), Status::Continue);
    for size in [10, 3000] {
        assert_eq!(mta.mail(["<ann@home.example>"]).await.unwrap(), Status::Continue);
        assert_eq!(mta.rcpt([format!("<{ALICE}>")]).await.unwrap(), Status::Continue);
        assert_eq!(mta.data().await.unwrap(), Status::Continue);
        assert_eq!(mta.header("Subject", "one").await.unwrap(), Status::Continue);
        mta.eoh().await.unwrap();
        assert_eq!(mta.body(vec![b'x'; size]).await.unwrap(), Status::Continue);
        let (_, status) = mta.eom().await.unwrap();
        assert_eq!(status == Status::Continue, size == 10, "{status:?}");
    }
    assert!(asked.recv().unwrap().mail.starts_with(b"Subject: one\r\n\r\nxxx"));
}

#[tokio::test]
async fn every_form_of_an_address_is_taken_out_as_typed_and_as_rewritten() {
    let milter = Milter::start(&[]);
    let forms = [
        ("<Bob@x.fog>", "bob@x.fog"),
        ("<Bob@X.FOG>", "bob@x.fog"),
        ("<Bob@x.fog.>", "bob@x.fog"),
        ("<@a,@b:Bob@x.fog>", "bob@x.fog"),
        ("<\"Bob\"@x.fog>", "bob@x.fog"),
        ("<x.fog!Bob>", "bob@x.fog"),
        ("<Bob%x.fog@home.example>", "bob@x.fog"),
        ("Bob@x.fog", "bob@x.fog"),
        ("<j\u{f6}rg@x.fog>", "j\u{f6}rg@x.fog"),
    ];
    let asked = node(&milter, vec![taken(1); forms.len()]);
    let mut mta = milter.session().await;
    for (typed, rewritten) in forms {
        mta.mail(["<ann@home.example>", "SMTPUTF8"]).await.unwrap();
        mta.macros(MacroStage::Rcpt, [("{rcpt_addr}", rewritten), ("{rcpt_mailer}", "fog")]).await.unwrap();
        mta.rcpt([typed, "NOTIFY=NEVER"]).await.unwrap();
        assert_eq!(mta.data().await.unwrap(), Status::Continue, "{typed}");
        let (actions, status) = text(&mut mta, "id", "<1@x>").await;
        assert_eq!(status, Status::Continue, "{typed}");
        assert!(actions.contains(&goes(typed)) && actions.contains(&sender_goes()), "{typed}: {actions:?}");
        let without = typed.trim_matches(['<', '>']);
        assert!(without == rewritten || actions.contains(&goes(rewritten)), "{typed}: {actions:?}");
        let to = asked.recv().unwrap().recipients[0].to_string();
        assert_eq!(to.to_lowercase(), rewritten, "{typed}");
    }
}

#[tokio::test]
async fn what_the_node_says_is_what_the_client_hears() {
    let milter = Milter::start(&[]);
    let answers = [
        (refused(Reason::MailTooBig), "552", "5.3.4 fog: the mail is bigger than the network takes; nothing was sent"),
        (refused(Reason::NoExit), "550", "5.7.1 fog: no exit of the network takes this recipient; nothing was sent"),
        (refused(Reason::SpoolFull), "451", "4.3.1 fog: too much mail is waiting to be sent; nothing was sent"),
        (refused(Reason::NoDirectory), "451", "4.3.5 fog: the node has no directory document yet; nothing was sent"),
        (None, "451", "4.4.2 fog: the node did not answer"),
    ];
    let asked = node(&milter, answers.iter().map(|(answer, ..)| answer.clone()).collect());
    let mut mta = milter.session().await;
    for (_, code, want) in answers {
        let (actions, status) = send(&mut mta, &[ALICE]).await;
        assert_eq!(words(&status), (code.to_owned(), want.to_owned()));
        // A refusal leaves a line in the MTA's log.
        assert_eq!(actions, [sender_goes()]);
        asked.recv().unwrap();
    }
}

#[tokio::test]
async fn without_a_node_mail_for_the_network_waits_and_other_mail_goes_on() {
    let milter = Milter::start(&[]);
    milter.wait_for_log("link-down: node=n1");
    let mut mta = milter.session().await;
    let (_, status) = send(&mut mta, &[ALICE, "bob@example.org"]).await;
    assert_eq!(words(&status).0, "451");
    assert_eq!(words(&status).1, "4.3.2 fog: the node isn't running; nothing was sent");
    envelope(&mut mta, &["bob@example.org"]).await;
    assert_eq!(mta.data().await.unwrap(), Status::Accept);
    let asked = node(&milter, vec![taken(1)]);
    assert_eq!(send(&mut mta, &[ALICE]).await.1, Status::Continue);
    asked.recv().unwrap();
    assert_eq!(milter.log().lines().count(), 3, "a mail leaves no line: {}", milter.log());
}

#[tokio::test]
async fn strangers_are_refused_and_those_who_have_a_password_are_not() {
    let milter = Milter::start(&["milter.networks=10.0.0.0/8"]);
    let asked = node(&milter, vec![taken(1); 3]);
    let far = IpAddr::from([192, 0, 2, 1]);
    for (client, port, user, is_let_in) in [
        (far, 25, None, false),
        (far, 25, Some("ann"), true),
        (IpAddr::from([10, 1, 2, 3]), 25, None, true),
        (IpAddr::from([127, 0, 0, 1]), 25, None, false),
        // Postfix's sendmail.
        (IpAddr::from([127, 0, 0, 1]), 0, None, true),
    ] {
        let mut mta = milter.connect().await;
        mta.connect("client", (client, port)).await.unwrap();
        if let Some(user) = user {
            mta.macros(MacroStage::Mail, [("{auth_authen}", user)]).await.unwrap();
        }
        mta.mail(["<ann@home.example>"]).await.unwrap();
        mta.rcpt([format!("<{ALICE}>")]).await.unwrap();
        assert_eq!(mta.data().await.unwrap(), Status::Continue);
        let (_, status) = text(&mut mta, "id", "<1@x>").await;
        if is_let_in {
            assert_eq!(status, Status::Continue, "{client} {user:?}");
            asked.recv().unwrap();
        } else {
            assert!(words(&status).1.starts_with("5.7.1 fog: only users of this machine"), "{status:?}");
        }
    }
}

#[tokio::test]
async fn a_rule_takes_the_whole_mail_and_throws_the_rest_away() {
    let rules = "entry.rules=leave if header X-Fog: no, fog if header X-Fog, fog if user ann";
    let milter = Milter::start(&[rules]);
    let asked = node(&milter, vec![taken(2)]);
    let mut mta = milter.session().await;
    envelope(&mut mta, &["bob@example.org", ALICE]).await;
    assert_eq!(mta.data().await.unwrap(), Status::Continue);
    mta.header("x-FOG", "yes").await.unwrap();
    let (actions, status) = text(&mut mta, "id", "<1@x>").await;
    assert_eq!((actions, status), (vec![sender_goes()], Status::Discard));
    let to: Vec<String> = asked.recv().unwrap().recipients.iter().map(ToString::to_string).collect();
    assert_eq!(to, ["bob@example.org.fog", ALICE]);
    // Nothing in the header: let go at its end.
    envelope(&mut mta, &["bob@example.org"]).await;
    assert_eq!(mta.data().await.unwrap(), Status::Continue);
    mta.header("Subject", "X-Fog: yes").await.unwrap();
    assert_eq!(mta.eoh().await.unwrap(), Status::Accept);
}

#[tokio::test]
async fn the_configuration_decides_about_mixed_and_about_fully_diverted_mail() {
    let milter = Milter::start(&["milter.mixed=reject", "milter.on-full-divert=discard", "entry.max-size=2K"]);
    let asked = node(&milter, vec![taken(1)]);
    let mut mta = milter.session().await;
    let (_, status) = send(&mut mta, &[ALICE, "bob@example.org"]).await;
    assert!(words(&status).1.starts_with("5.7.1 fog: one mail can't go to addresses inside and outside"));
    assert_eq!(send(&mut mta, &[ALICE]).await, (vec![sender_goes()], Status::Discard));
    asked.recv().unwrap();
    envelope(&mut mta, &[ALICE]).await;
    mta.data().await.unwrap();
    mta.header("Subject", "x").await.unwrap();
    mta.eoh().await.unwrap();
    assert_eq!(mta.body(vec![b'x'; 3000]).await.unwrap(), Status::Skip, "no more of it is wanted");
    let (_, status) = mta.eom().await.unwrap();
    assert_eq!(words(&status).0, "552");
}

#[tokio::test]
async fn a_mail_that_is_given_up_half_way_leaves_nothing_behind() {
    let milter = Milter::start(&[]);
    let asked = node(&milter, vec![taken(1)]);
    let mut mta = milter.session().await;
    // RSET before and after DATA, and a client that is gone.
    envelope(&mut mta, &["mallory@x.fog"]).await;
    mta.abort().await.unwrap();
    envelope(&mut mta, &["mallory@x.fog"]).await;
    mta.data().await.unwrap();
    mta.header("Subject", "mallory").await.unwrap();
    mta.abort().await.unwrap();
    let mut gone = milter.session().await;
    envelope(&mut gone, &["mallory@x.fog"]).await;
    gone.data().await.unwrap();
    drop(gone);
    assert_eq!(send(&mut mta, &[ALICE]).await.1, Status::Continue);
    let request = asked.recv().unwrap();
    assert_eq!(request.recipients.iter().map(ToString::to_string).collect::<Vec<_>>(), [ALICE]);
    assert!(!String::from_utf8(request.mail).unwrap().contains("mallory"));
}

#[tokio::test]
async fn a_mail_that_comes_again_after_a_crash_has_the_same_mark() {
    let mut milter = Milter::start(&[]);
    let asked = node(&milter, vec![taken(1), taken(1), taken(1)]);
    let marks = |request: Request| match request.source {
        Source::Milter { marks, .. } => marks,
        other => panic!("{other:?}"),
    };
    let mut mta = milter.session().await;
    envelope(&mut mta, &[ALICE]).await;
    mta.data().await.unwrap();
    text(&mut mta, "4jXFIRST", "<1@home.example>").await;
    let first = marks(asked.recv().unwrap());
    milter.kill_and_start_again();
    let mut mta = milter.session().await;
    envelope(&mut mta, &[ALICE]).await;
    mta.data().await.unwrap();
    text(&mut mta, "4jXSECOND", "<1@home.example>").await;
    assert_eq!(marks(asked.recv().unwrap()), first);
    envelope(&mut mta, &[ALICE]).await;
    mta.data().await.unwrap();
    text(&mut mta, "4jXTHIRD", "<2@home.example>").await;
    assert!(!first.contains(&marks(asked.recv().unwrap())[0]));
}

#[tokio::test]
async fn garbage_ends_its_own_session_and_no_other() {
    let milter = Milter::start(&[]);
    let mut mta = milter.session().await;
    let huge = [&[0xff; 4][..], b"O"].concat();
    let early = [&[0, 0, 0, 1][..], b"E"].concat();
    let short = [&[0, 0, 0, 2][..], b"Ox"].concat();
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &huge, &early, &short, &[0; 1000], &[0xff; 100_000]] {
        let mut stream = UnixStream::connect(milter.socket()).unwrap();
        // It may be gone before all is written.
        let _ = stream.write_all(garbage);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.len() < 100, "{answer:?}");
    }
    envelope(&mut mta, &["bob@example.org"]).await;
    assert_eq!(mta.data().await.unwrap(), Status::Accept);
    assert!(milter.log().lines().count() <= 3, "strangers make the log grow: {}", milter.log());
}

#[tokio::test]
async fn many_sessions_that_stand_still_keep_nobody_out() {
    let milter = Milter::start(&[]);
    let mut idle = Vec::new();
    for _ in 0..300 {
        idle.push(UnixStream::connect(milter.socket()).unwrap());
    }
    let mut mta = milter.session().await;
    envelope(&mut mta, &["bob@example.org"]).await;
    assert_eq!(mta.data().await.unwrap(), Status::Accept);
}

#[tokio::test]
async fn a_slow_client_is_waited_for_and_a_new_configuration_holds_from_the_next_mail() {
    let milter = Milter::start(&[]);
    let asked = node(&milter, vec![taken(1)]);
    let mut slow = milter.session().await;
    envelope(&mut slow, &[ALICE]).await;
    slow.data().await.unwrap();
    let config = fs::read_to_string(milter.dir.path().join("fog.toml")).unwrap();
    let changed = format!("{config}milter.mixed = \"reject\"\nentry.rules = [\"fog if header X-Fog\"]\n");
    fs::write(milter.dir.path().join("fog.toml"), changed).unwrap();
    milter.signal("HUP");
    milter.wait_for_log("reload");
    let mut mta = milter.session().await;
    assert!(words(&send(&mut mta, &[ALICE, "bob@example.org"]).await.1).1.contains("inside and outside"));
    assert_eq!(text(&mut slow, "id", "<1@x>").await.1, Status::Continue);
    asked.recv().unwrap();
    fs::write(milter.dir.path().join("fog.toml"), config + "milter.mixed = \"no\"\n").unwrap();
    milter.signal("HUP");
    milter.wait_for_log("config-rejected");
    assert!(words(&send(&mut mta, &[ALICE, "bob@example.org"]).await.1).1.contains("inside and outside"));
}

#[tokio::test]
async fn told_to_stop_it_answers_the_mail_in_hand_and_takes_no_more() {
    let mut milter = Milter::start(&[]);
    let listener = UnixListener::bind(milter.dir.path().join("submit.sock")).unwrap();
    let mut mta = milter.session().await;
    let hand = tokio::spawn(async move { send(&mut mta, &[ALICE]).await });
    let (mut stream, request) = tokio::task::spawn_blocking(move || {
        loop {
            let (mut stream, _) = listener.accept().unwrap();
            if let Some(request) = submit::read_request(&mut stream) {
                return (stream, request);
            }
        }
    })
    .await
    .unwrap();
    milter.signal("TERM");
    wait_until("the socket to close", || UnixStream::connect(milter.socket()).is_err());
    stream.write_all(&Reply { outcomes: taken(request.recipients.len()).unwrap() }.encode().unwrap()).unwrap();
    assert_eq!(hand.await.unwrap().1, Status::Continue);
    assert_eq!(milter.child.wait().unwrap().code(), Some(0));
    assert!(milter.log().ends_with("fog/milter: stop\n"), "{}", milter.log());
}

#[tokio::test]
async fn a_node_that_never_answers_does_not_keep_it_from_stopping() {
    let mut milter = Milter::start(&[]);
    let listener = UnixListener::bind(milter.dir.path().join("submit.sock")).unwrap();
    let mut mta = milter.session().await;
    let hand = tokio::spawn(async move {
        envelope(&mut mta, &[ALICE]).await;
        mta.data().await.unwrap();
        mta.eoh().await.unwrap();
        mta.body("x\r\n").await.unwrap();
        mta.eom().await.is_err()
    });
    let held = tokio::task::spawn_blocking(move || {
        loop {
            let (mut stream, _) = listener.accept().unwrap();
            if submit::read_request(&mut stream).is_some() {
                return stream;
            }
        }
    });
    let stream = held.await.unwrap();
    let began = Instant::now();
    milter.signal("TERM");
    assert_eq!(milter.child.wait().unwrap().code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert!(hand.await.unwrap(), "the client was told that it is sent");
    drop(stream);
}

#[tokio::test]
async fn its_socket_is_for_owner_and_group_and_is_taken_over_from_a_dead_one() {
    let mut milter = Milter::start(&[]);
    assert_eq!(fs::metadata(milter.socket()).unwrap().permissions().mode() & 0o7777, 0o660);
    let second = submit::fog(&["milter", "--config", milter.dir.path().join("fog.toml").to_str().unwrap()], b"");
    assert_eq!(submit::code(&second), 73, "{second:?}");
    assert!(submit::text(&second.stderr).contains("another process listens there"), "{second:?}");
    milter.kill_and_start_again();
    drop(milter.session().await);
}

#[tokio::test]
async fn it_listens_on_loopback_and_on_what_a_unit_has_opened() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let milter = Milter::start(&[&format!("milter.listen=inet:127.0.0.1:{port}")]);
    let mut mta = TestConnection::configure().open_tcp(("127.0.0.1", port)).await.unwrap();
    mta.connect("localhost", (Ipv4Addr::LOCALHOST, 1)).await.unwrap();
    envelope(&mut mta, &["bob@example.org"]).await;
    assert_eq!(mta.data().await.unwrap(), Status::Accept);
    drop(milter);

    // As systemd does it: the socket is number 3, and stays open between two runs.
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("unit.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let trust = "0".repeat(64);
    let config = format!(
        "node.name = \"n1\"\nnode.onion = \"127.0.0.1:1\"\nnode.sockets = \".\"\ndirectory.trust = [\"{trust}\"]\n"
    );
    fs::write(dir.path().join("fog.toml"), config).unwrap();
    for _ in 0..2 {
        let handed = std::os::fd::OwnedFd::from(listener.try_clone().unwrap());
        // On standard input, from where the shell puts it where systemd would.
        let mut child = Command::new("sh")
            .args(["-c", "exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$@\"", "sh", submit::FOG, "milter"])
            .arg("--config")
            .arg(dir.path().join("fog.toml"))
            .stdin(Stdio::from(handed))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // It can connect before anybody listens: nothing is lost while the milter starts.
        let mut mta = TestConnection::configure().open_unix(&socket).await.unwrap();
        mta.connect("localhost", (Ipv4Addr::LOCALHOST, 1)).await.unwrap();
        envelope(&mut mta, &["bob@example.org"]).await;
        assert_eq!(mta.data().await.unwrap(), Status::Accept);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
