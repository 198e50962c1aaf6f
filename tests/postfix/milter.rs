//! A real Postfix, chrooted and not, with a real `fog milter`: what its log holds, what its clients hear, what is lost.

use crate::instance::{NOBODY, Postfix, open_to_all, run};
use crate::network::{self, Network};
use crate::{PATIENCE, scratch, snippet, wait_for, with};
use fog::id::{MessageId, QueueId};
use fog::submit::{Outcome, Reason, Reply, Request, Source};
use fog::wire::PREFIX_LEN;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

const FROM: &str = "canary-from@home.invalid";

/// What a node that is none says to the milter.
#[derive(Clone, Copy)]
enum Says {
    Takes,
    Refuses(Reason),
}

/// Somebody's Postfix with a milter. The node is the test, or a real one behind `socket`.
pub(crate) struct Site {
    dir: PathBuf,
    pub(crate) postfix: Postfix,
    /// Where a chrooted smtpd listens.
    chrooted: u16,
    fog: PathBuf,
    milter: Option<Child>,
}

impl Site {
    pub(crate) fn start(dir: &Path, set: &[&str]) -> Self {
        let chrooted = network::free_ports(1)[0];
        let fog = dir.join("fog");
        if !fog.exists() {
            fs::copy(env!("CARGO_BIN_EXE_fog"), &fog).unwrap();
        }
        let trust = "0".repeat(64);
        let config = format!(
            "node.name = \"n1\"\nnode.onion = \"127.0.0.1:1\"\nnode.sockets = \"{}\"\ndirectory.trust = [\"{trust}\"]\n\
             milter.listen = \"unix:{}\"\n",
            dir.display(),
            socket(dir).display(),
        );
        fs::write(dir.join("fog.toml"), config).unwrap();
        let master = format!("127.0.0.1:{chrooted} inet n - y - - smtpd\npickup unix n - n 1 1 pickup\n");
        let pipe = format!("{} --config {} send", fog.display(), dir.join("fog.toml").display());
        let service = with(
            &snippet("master.cf"),
            &[("user=fog-mta:fog-submit", "user=nobody"), ("/usr/local/bin/fog send", &pipe)],
        );
        let main = snippet("main.cf") + &snippet("milter-main.cf");
        let postfix = Postfix::start(&dir.join("here"), "home.invalid", &["ann"], &main, &(master + &service));
        // As the README says, with another user.
        let home = dir.join("here/spool/fog");
        fs::create_dir_all(&home).unwrap();
        let postfix_group = run(Command::new("id").args(["-g", "postfix"])).stdout;
        let group = String::from_utf8(postfix_group).unwrap().trim().parse().unwrap();
        chown(&home, Some(NOBODY), Some(group)).unwrap();
        fs::set_permissions(&home, fs::Permissions::from_mode(0o2750)).unwrap();
        let mut site = Self { dir: dir.to_owned(), postfix, chrooted, fog, milter: None };
        site.start_milter(set);
        site
    }

    fn start_milter(&mut self, set: &[&str]) {
        let log = fs::File::create(self.dir.join("milter.log")).unwrap();
        let mut milter = Command::new(&self.fog);
        milter.arg("--config").arg(self.dir.join("fog.toml")).arg("milter").uid(NOBODY).gid(NOBODY);
        milter.args(["--set", "log.target=stderr"]);
        for set in set {
            milter.args(["--set", set]);
        }
        milter.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.milter = Some(milter.spawn().unwrap());
        wait_for("the milter", || self.milter_log().contains("ready").then_some(()));
    }

    fn milter_log(&self) -> String {
        fs::read_to_string(self.dir.join("milter.log")).unwrap_or_default()
    }

    /// Ends the milter as a power cut would.
    fn kill_milter(&mut self) {
        let mut milter = self.milter.take().unwrap();
        milter.kill().unwrap();
        milter.wait().unwrap();
    }

    /// Tells it to stop, and waits until it has.
    fn stop_milter(&mut self) {
        let mut milter = self.milter.take().unwrap();
        run(Command::new("kill").arg("-TERM").arg(milter.id().to_string()));
        assert!(milter.wait().unwrap().success());
    }

    pub(crate) fn smtp(&self) -> Smtp {
        Smtp::open(self.postfix.port())
    }

    /// By the program sendmail, as a user of the machine would.
    fn sendmail(&self, recipients: &[&str], mail: &str) {
        let mut sendmail = Command::new("/usr/sbin/sendmail");
        sendmail.arg("-C").arg(self.postfix.etc()).args(["-i", "-f", FROM, "--"]).args(recipients);
        let mut child = sendmail.stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(mail.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
    }

    /// What Postfix has logged; nothing of sender and recipients may be in it. But for the user who calls sendmail: that is
    /// logged before any milter is asked.
    fn assert_log_is_clean(&self) {
        let log = self.postfix.log();
        for line in log.lines() {
            let line = if line.contains("/pickup[") { line.replace(FROM, "") } else { line.to_owned() };
            assert!(!line.to_lowercase().contains("canary"), "{line}");
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(milter) = &mut self.milter {
            let _ = milter.kill();
            let _ = milter.wait();
        }
    }
}

fn socket(dir: &Path) -> PathBuf {
    dir.join("here/spool/fog/milter.sock")
}

/// A node that takes or refuses everything; what it was asked is in the list.
fn node(dir: &Path, says: Says) -> Arc<Mutex<Vec<Request>>> {
    let path = dir.join("submit.sock");
    let listener = UnixListener::bind(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let list = Arc::clone(&asked);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let Some((_, request)) = read_request(&mut stream) else { continue };
            let outcome = match says {
                Says::Takes => Outcome::Accepted(MessageId([1; 16]), QueueId([1; 6])),
                Says::Refuses(reason) => Outcome::refused(reason),
            };
            let outcomes = vec![outcome; request.recipients.len()];
            list.lock().unwrap().push(request);
            let _ = stream.write_all(&Reply { outcomes }.encode().unwrap());
        }
    });
    asked
}

fn read_request(stream: &mut UnixStream) -> Option<(Vec<u8>, Request)> {
    const MAX: usize = 1 << 24;
    let mut prefix = [0; PREFIX_LEN];
    stream.read_exact(&mut prefix).ok()?;
    let mut body = vec![0; Request::body_len(prefix, MAX).unwrap()];
    stream.read_exact(&mut body).ok()?;
    let request = Request::decode(&body, MAX).unwrap();
    Some(([&prefix[..], &body].concat(), request))
}

/// A client that can say anything.
pub(crate) struct Smtp(BufReader<TcpStream>);

impl Smtp {
    fn open(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut smtp = Self(BufReader::new(stream));
        smtp.answer();
        smtp.say("EHLO client.invalid");
        smtp
    }

    /// All lines of one answer; empty if the connection has ended.
    fn answer(&mut self) -> String {
        let mut all = String::new();
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).unwrap_or(0) == 0 {
                return all;
            }
            let is_last = line.as_bytes().get(3) != Some(&b'-');
            all.push_str(&line);
            if is_last {
                return all;
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        // An end shows in the answer.
        let _ = self.0.get_mut().write_all(bytes);
    }

    pub(crate) fn say(&mut self, line: &str) -> String {
        self.write(format!("{line}\r\n").as_bytes());
        self.answer()
    }

    /// The last answer, or the first that isn't a yes.
    fn mail(&mut self, recipients: &[&str], text: &str) -> String {
        let mut lines = vec![format!("MAIL FROM:<{FROM}>")];
        lines.extend(recipients.iter().map(|recipient| format!("RCPT TO:{recipient}")));
        lines.push("DATA".into());
        for line in lines {
            let answer = self.say(&line);
            if !answer.starts_with(['2', '3']) {
                self.say("RSET");
                return answer;
            }
        }
        self.say(&format!("{text}\r\n."))
    }
}

fn text(id: &str) -> String {
    format!("From: {FROM}\r\nMessage-ID: <{id}@client.invalid>\r\nSubject: x\r\n\r\ntext")
}

#[test]
fn the_log_has_neither_sender_nor_recipient_in_whatever_form_and_way_a_mail_comes() {
    let Some(dir) = scratch() else { return };
    let site = Site::start(dir.path(), &[]);
    let asked = node(dir.path(), Says::Takes);
    let forms = [
        "<Canary@dest.invalid.fog>",
        "<canary@DEST.invalid.FOG>",
        "<canary@dest.invalid.fog.>",
        "<@a.invalid,@b.invalid:canary@dest.invalid.fog>",
        "<\"canary\"@dest.invalid.fog>",
        "<dest.invalid.fog!canary>",
        "<canary%dest.invalid.fog>",
        "canary@dest.invalid.fog",
        "<canary@dest.invalid.fog> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;canary@dest.invalid.fog",
    ];
    for port in [site.postfix.port(), site.chrooted] {
        let mut smtp = Smtp::open(port);
        for (at, form) in forms.iter().enumerate() {
            let answer = smtp.mail(&[form], &text(&format!("{port}-{at}")));
            assert!(answer.starts_with("250"), "{form}: {answer}");
        }
        // Several at once, and a session that goes on after RSET.
        smtp.say(&format!("MAIL FROM:<{FROM}>"));
        smtp.say("RCPT TO:<canary-reset@dest.invalid.fog>");
        smtp.say("RSET");
        assert!(
            smtp.mail(&["<canary-1@dest.invalid.fog>", "<canary-2@dest.invalid.fog>"], &text("two")).starts_with("250")
        );
    }
    let mut smtp = site.smtp();
    // Pipelined, in pieces, with an address in UTF-8, and with a header of the longest kind.
    let pipelined = format!(
        "MAIL FROM:<{FROM}> BODY=8BITMIME\r\nRCPT TO:<canary-p@dest.invalid.fog>\r\nDATA\r\n{}\r\n.\r\nNOOP\r\n",
        text("pipelined")
    );
    let (envelope, rest) = pipelined.split_at(pipelined.find("DATA\r\n").unwrap() + 6);
    smtp.write(envelope.as_bytes());
    assert_eq!([0; 3].map(|_| smtp.answer()[..3].to_owned()), ["250", "250", "354"]);
    smtp.write(rest.as_bytes());
    assert_eq!([0; 2].map(|_| smtp.answer()[..3].to_owned()), ["250", "250"]);
    smtp.say(&format!("MAIL FROM:<{FROM}>"));
    smtp.say("RCPT TO:<canary-b@dest.invalid.fog>");
    let piece = text("bdat") + "\r\n";
    assert!(smtp.say(&format!("BDAT {}\r\n{}", piece.len(), piece.trim_end())).starts_with("250"));
    assert!(smtp.say("BDAT 6 LAST\r\nmore").starts_with("250"));
    smtp.say(&format!("MAIL FROM:<{FROM}> SMTPUTF8"));
    assert!(smtp.say("RCPT TO:<canary-j\u{f6}rg@dest.invalid.fog>").starts_with("250"));
    smtp.say("DATA");
    assert!(smtp.say(&format!("{}\r\n.", text("utf8"))).starts_with("250"));
    let long = format!("X-Long: {}\r\n{}", "x ".repeat(40_000), text("long"));
    let long = long.replace(&"x ".repeat(40_000), &"x x x x x x x x x x\r\n ".repeat(4_000));
    assert!(smtp.mail(&["<canary-l@dest.invalid.fog>"], &long).starts_with("250"));

    let by_sendmail = ["canary@dest.invalid.fog", "Canary-2@DEST.invalid.FOG", "canary-3@dest.invalid.fog"];
    site.sendmail(&by_sendmail, "Subject: x\n\nby sendmail\n");
    let mails = 2 * (forms.len() + 1) + 5;
    wait_for("the mail of sendmail", || (asked.lock().unwrap().len() == mails).then_some(()));
    wait_for("an empty queue", || site.postfix.queue().is_empty().then_some(()));
    let asked = asked.lock().unwrap();
    for request in asked.iter() {
        let sound = |to: &String| to.to_lowercase().starts_with("canary") && to.ends_with("@dest.invalid.fog");
        let to: Vec<String> = request.recipients.iter().map(ToString::to_string).collect();
        assert!(to.iter().all(sound) && !to.concat().contains("reset"), "{to:?}");
        assert_eq!(request.sender.as_ref().unwrap().to_string(), FROM);
        assert!(matches!(request.source, Source::Milter { .. }), "the pipe had to bring it");
    }
    assert_eq!(asked.last().unwrap().recipients.len(), 3, "of sendmail");
    assert!(asked.iter().any(|request| request.mail.ends_with(b"text\r\nmore\r\n")), "both pieces");
    let log = site.postfix.log();
    assert!(log.contains("from=<>") && log.contains("message-id=<two@client.invalid>"), "{log}");
    site.assert_log_is_clean();
}

#[test]
fn of_a_mixed_mail_each_recipient_gets_it_by_its_own_way() {
    let Some(dir) = scratch() else { return };
    let site = Site::start(dir.path(), &[]);
    let asked = node(dir.path(), Says::Takes);
    let answer = site.smtp().mail(&["<ann@home.invalid>", "<secret@dest.invalid.fog>"], &text("mixed"));
    assert!(answer.starts_with("250"), "{answer}");
    let mail = wait_for("ann's mail", || site.postfix.mailbox("ann@home.invalid").pop());
    assert!(String::from_utf8(mail).unwrap().starts_with(&format!("Return-Path: <{FROM}>")));
    assert_eq!(asked.lock().unwrap()[0].recipients[0].to_string(), "secret@dest.invalid.fog");
    wait_for("an empty queue", || site.postfix.queue().is_empty().then_some(()));
    let log = site.postfix.log();
    assert!(!log.contains("secret") && log.contains("to=<ann@home.invalid>"), "{log}");
}

#[test]
fn a_refusal_reaches_the_client_in_words_and_leaves_no_sender_in_the_log() {
    let Some(dir) = scratch() else { return };
    let mut site = Site::start(dir.path(), &["entry.max-size=20K"]);
    let _asked = node(dir.path(), Says::Refuses(Reason::NoExit));
    let mut smtp = site.smtp();
    let to = ["<someone@dest.invalid.fog>"];
    let answer = smtp.mail(&to, &text("a"));
    assert_eq!(answer.trim_end(), "550 5.7.1 fog: no exit of the network takes this recipient; nothing was sent");
    let big = format!("{}\r\n{}", text("b"), "0123456789abcdef\r\n".repeat(2000));
    let answer = smtp.mail(&to, &big);
    assert_eq!(answer.trim_end(), "552 5.3.4 fog: the mail is bigger than the network takes; nothing was sent");
    assert!(smtp.mail(&["<anon@fog.invalid>"], &text("c")).starts_with("550 5.1.3 fog: the mail names no recipient"));
    assert!(site.postfix.queue().is_empty());
    site.assert_log_is_clean();

    // What sendmail brings has nobody who waits: it is returned to its sender.
    site.sendmail(&["someone@dest.invalid.fog"], "Subject: x\n\nhi\n");
    wait_for("a bounce", || site.postfix.log().contains("status=bounced").then_some(()));

    // A rule for whole mails: nothing of it is left, and nothing goes on in clear.
    site.kill_milter();
    fs::remove_file(dir.path().join("submit.sock")).unwrap();
    let asked = node(dir.path(), Says::Takes);
    site.start_milter(&["entry.rules=fog if header X-Fog"]);
    let mut smtp = site.smtp();
    let marked = format!("X-Fog: yes\r\n{}", text("d"));
    assert!(smtp.mail(&["<ann@home.invalid>", "<ann@home.invalid>"], &marked).starts_with("250"));
    assert!(smtp.mail(&["<ann@home.invalid>"], &text("e")).starts_with("250"));
    let mail = wait_for("the other mail", || site.postfix.mailbox("ann@home.invalid").pop());
    assert!(String::from_utf8(mail).unwrap().contains("<e@client.invalid>"));
    wait_for("an empty queue", || site.postfix.queue().is_empty().then_some(()));
    assert_eq!(site.postfix.mailbox("ann@home.invalid").len(), 1);
    assert_eq!(asked.lock().unwrap()[0].recipients[0].to_string(), "ann@home.invalid.fog");
    assert!(site.postfix.log().contains("milter-discard"), "{}", site.postfix.log());
}

#[test]
fn without_a_node_only_mail_for_the_network_waits_and_without_a_milter_nothing_goes_in_clear() {
    let Some(dir) = scratch() else { return };
    let mut site = Site::start(dir.path(), &[]);
    let mut smtp = site.smtp();
    let answer = smtp.mail(&["<secret@dest.invalid.fog>"], &text("a"));
    assert_eq!(answer.trim_end(), "451 4.3.2 fog: the node isn't running; nothing was sent");
    assert!(smtp.mail(&["<ann@home.invalid>", "<secret@dest.invalid.fog>"], &text("b")).starts_with("451"));
    site.assert_log_is_clean();
    assert!(smtp.mail(&["<ann@home.invalid>"], &text("c")).starts_with("250"));
    wait_for("other mail", || site.postfix.mailbox("ann@home.invalid").pop());
    site.kill_milter();
    for _ in 0..2 {
        let answer = site.smtp().mail(&["<secret@dest.invalid.fog>"], &text("d"));
        assert!(answer.starts_with('4') || answer.is_empty(), "{answer}");
    }
    wait_for("an empty queue", || site.postfix.queue().is_empty().then_some(()));
    assert_eq!(site.postfix.mailbox("ann@home.invalid").len(), 1);
    assert!(!site.postfix.log().contains("relay=fog"), "{}", site.postfix.log());
}

#[test]
fn a_milter_that_is_restarted_under_load_loses_and_doubles_nothing() {
    const MAILS: usize = 80;
    let Some(dir) = scratch() else { return };
    let mut site = Site::start(dir.path(), &[]);
    let asked = node(dir.path(), Says::Takes);
    let port = site.postfix.port();
    let clients: Vec<_> = (0..4)
        .map(|client| {
            thread::spawn(move || {
                for mail in 0..MAILS / 4 {
                    let to = if mail % 2 == 0 { "<ann@home.invalid>" } else { "<secret@dest.invalid.fog>" };
                    let began = Instant::now();
                    // As any client: again until it is taken.
                    while !Smtp::open(port).mail(&[to], &text(&format!("{client}-{mail}"))).starts_with("250") {
                        assert!(began.elapsed() < PATIENCE, "{client}-{mail}");
                        thread::sleep(Duration::from_millis(50));
                    }
                }
            })
        })
        .collect();
    for _ in 0..3 {
        thread::sleep(Duration::from_millis(300));
        site.stop_milter();
        site.start_milter(&[]);
    }
    for client in clients {
        client.join().unwrap();
    }
    wait_for("the other half", || {
        let mails = site.postfix.mailbox("ann@home.invalid");
        (mails.len() >= MAILS / 2).then_some(())
    });
    assert_eq!(site.postfix.mailbox("ann@home.invalid").len(), MAILS / 2);
    let asked = asked.lock().unwrap();
    let mut ids: Vec<&str> = asked
        .iter()
        .map(|request| str::from_utf8(&request.mail).unwrap().split("Message-ID: ").nth(1).unwrap())
        .map(|rest| rest.split("\r\n").next().unwrap())
        .collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), MAILS / 2, "every mail is with the node");
}

#[test]
fn another_test_tool_of_the_protocol_agrees() {
    let Some(dir) = scratch() else { return };
    let site = Site::start(dir.path(), &[]);
    let asked = node(dir.path(), Says::Takes);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/postfix/milter.lua");
    let socket = format!("socket=unix:{}", socket(&site.dir).display());
    run(Command::new("miltertest").args(["-D", &socket, "-s", script]));
    assert_eq!(asked.lock().unwrap()[0].recipients[0].to_string(), "bob@dest.invalid.fog");
}

/// Stands between milter and node: when the node has taken a mail and before the milter hears of it, says so, and waits
/// to be told whether it may.
fn between(dir: &Path, node: PathBuf) -> (std::sync::mpsc::Receiver<()>, std::sync::mpsc::Sender<bool>) {
    let listener = UnixListener::bind(dir.join("submit.sock")).unwrap();
    fs::set_permissions(dir.join("submit.sock"), fs::Permissions::from_mode(0o666)).unwrap();
    let ((taken, heard), (may, told)) = (std::sync::mpsc::channel(), std::sync::mpsc::channel());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let Some((frame, _)) = read_request(&mut stream) else { continue };
            let mut to_node = UnixStream::connect(&node).unwrap();
            to_node.write_all(&frame).unwrap();
            let mut reply = Vec::new();
            to_node.read_to_end(&mut reply).unwrap();
            if taken.send(()).is_err() {
                return;
            }
            if told.recv().unwrap_or(false) {
                let _ = stream.write_all(&reply);
            }
        }
    });
    (heard, may)
}

#[test]
fn a_milter_killed_after_the_node_has_the_mail_makes_no_second_copy_nor_does_the_pipe() {
    let Some(dir) = scratch() else { return };
    let there = Postfix::start(&dir.path().join("there"), "dest.invalid", &["bob", "carol", "dave"], "", "");
    let network = Network::start(dir.path(), NOBODY, 5, &format!("smtp:127.0.0.1:{}", there.port()));
    let node = network.config(0).with_file_name("run").join("submit.sock");
    open_to_all(dir.path());
    let (taken, may) = between(dir.path(), node);
    let mut site = Site::start(dir.path(), &[]);

    // By SMTP: the client hears a 451 or nothing, and sends again under another queue id.
    let port = site.postfix.port();
    let once = move || Smtp::open(port).mail(&["<bob@dest.invalid.fog>"], &text("bob"));
    let client = thread::spawn(once);
    taken.recv().unwrap();
    site.kill_milter();
    may.send(false).unwrap();
    let answer = client.join().unwrap();
    assert!(answer.starts_with('4') || answer.is_empty(), "{answer}");
    // So that a Date that Postfix adds is another one.
    thread::sleep(Duration::from_millis(1100));
    site.start_milter(&[]);
    let client = thread::spawn(once);
    taken.recv().unwrap();
    may.send(true).unwrap();
    assert!(client.join().unwrap().starts_with("250"));

    // By sendmail: Postfix tries again by itself, and makes a new Message-ID.
    site.sendmail(&["carol@dest.invalid.fog"], "From: ann@home.invalid\nSubject: x\n\nhi\n");
    taken.recv().unwrap();
    site.kill_milter();
    may.send(false).unwrap();
    thread::sleep(Duration::from_secs(3));
    site.start_milter(&[]);
    taken.recv().unwrap();
    may.send(true).unwrap();
    wait_for("an empty queue", || site.postfix.queue().is_empty().then_some(()));

    // Of a form that only Postfix knows it lets nothing be taken out: the pipe brings that, and the node knows it.
    site.sendmail(&["dest.invalid.fog!dave"], "From: ann@home.invalid\nSubject: x\n\nhi\n");
    for _ in ["by the milter", "by the pipe"] {
        taken.recv().unwrap();
        may.send(true).unwrap();
    }
    wait_for("an empty queue", || site.postfix.queue().is_empty().then_some(()));
    assert!(site.postfix.log().contains("relay=fog,"), "the pipe was not needed");

    for address in ["bob@dest.invalid", "carol@dest.invalid", "dave@dest.invalid"] {
        wait_for(address, || (!there.mailbox(address).is_empty()).then_some(()));
    }
    // Time for a second copy: as long as the first took would be enough.
    thread::sleep(Duration::from_secs(10));
    for address in ["bob@dest.invalid", "carol@dest.invalid", "dave@dest.invalid"] {
        assert_eq!(there.mailbox(address).len(), 1, "{address}");
    }
}
