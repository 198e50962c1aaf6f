//! What became of a mail, told to its sender: set up beside a real Postfix, looked at, and delivered by it.

use crate::instance::{NOBODY, Postfix};
use crate::mta::{wait_for, with};
use crate::network::{self, Network, Plan};
use crate::setup::{Tree, well};
use crate::{HERE, THERE, snippet};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// A fog that has been set up in `root`, with `arguments` for `fog init`.
fn init(root: &Path, arguments: &[&str]) -> std::path::PathBuf {
    let home = root.join("fog");
    let mut init = Command::new(env!("CARGO_BIN_EXE_fog"));
    init.args(["init", "--new-network", "--name", "kvara", "--onion", "127.0.0.1:7001", "--dir"]).arg(&home);
    well(&init.args(arguments).output().unwrap());
    home
}

fn setup(home: &Path, tree: &Tree, arguments: &[&str]) -> Output {
    let mut fog = Command::new(env!("CARGO_BIN_EXE_fog"));
    fog.arg("-c").arg(home.join("fog.toml")).args(["setup", "postfix", "--config-dir"]).arg(&tree.dir);
    fog.args(arguments).output().unwrap()
}

/// What `fog check` says of notices: state and sentence.
fn check(home: &Path, tree: &Tree, arguments: &[&str]) -> Vec<(String, String)> {
    let mut check = Command::new(env!("CARGO_BIN_EXE_fog"));
    check.arg("-c").arg(home.join("fog.toml")).args(["-j", "check", "--postfix"]).arg(&tree.dir).args(arguments);
    let said = String::from_utf8(check.output().unwrap().stdout).unwrap();
    let found = said.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let of_notices = found.filter(|finding| finding["about"] == "notices");
    let word = |finding: &serde_json::Value, name: &str| finding[name].as_str().unwrap().to_owned();
    of_notices.map(|finding| (word(&finding, "state"), word(&finding, "says"))).collect()
}

#[test]
fn senders_at_home_in_postfix_are_to_be_told_and_no_others() {
    let Some(root) = crate::scratch() else { return };
    let (tree, home) = (Tree::new(root.path(), false), init(root.path(), &[]));
    // Names, a file, a table that can be listed, one that can't be but asked, and two domains that go on.
    let domains = tree.dir.join("domains");
    fs::write(&domains, "# ours\nfile.invalid\n").unwrap();
    fs::write(tree.dir.join("table"), "table.invalid x\nbob@not-a-domain.invalid x\n").unwrap();
    fs::write(tree.dir.join("pattern"), "/^pattern\\.invalid$/ x\n").unwrap();
    fs::write(tree.dir.join("transport"), "gone.invalid smtp:[10.0.0.9]\n.far.invalid relay:[10.0.0.9]\n").unwrap();
    let dir = tree.dir.display();
    for set in [
        format!(
            "mydestination=$myhostname, Home.invalid, localhost, {dir}/domains, gone.invalid, a.far.invalid, x.fog"
        ),
        format!("virtual_mailbox_domains=texthash:{dir}/table, regexp:{dir}/pattern"),
        format!("transport_maps=texthash:{dir}/transport"),
    ] {
        tree.postconf(&["-e", &set]);
    }
    let nobody = check(&home, &tree, &[]);
    assert!(nobody[0].0 == "careful" && nobody[0].1.contains("entry.notify is empty"), "{nobody:?}");

    let shown = setup(&home, &tree, &[]);
    assert!(well(&shown).contains("+notify = ["), "{}", well(&shown));
    assert!(well(&shown).contains(&format!("the domains of regexp:{dir}/pattern can't be listed")), "{}", well(&shown));
    assert!(!home.join("conf.d").exists(), "only shown");
    let done = setup(&home, &tree, &["--apply"]);
    assert!(well(&done).contains("systemctl enable --now fog-exit"), "{}", well(&done));
    let written: toml::Table = fs::read_to_string(home.join("conf.d/notify.toml")).unwrap().parse().unwrap();
    let named = written["entry"]["notify"].as_array().unwrap();
    let named: Vec<_> = named.iter().map(|name| name.as_str().unwrap()).collect();
    assert_eq!(named, ["file.invalid", "home.invalid", "localhost", "mx.home.invalid", "table.invalid"]);
    assert_eq!(written["exit"]["deliver"].as_str(), Some("smtp:127.0.0.1:25"));
    assert_eq!(well(&setup(&home, &tree, &["--apply"])).lines().last(), Some("There is nothing to do."));

    let told = check(&home, &tree, &[]);
    assert!(matches!(&told[..], [(state, says)] if state == "ok" && says.contains("file.invalid, ")), "{told:?}");
    for (domain, state, says) in [
        ("pattern.invalid", "ok", "senders in pattern.invalid are told"),
        ("gone.invalid", "wrong", "entry.notify has gone.invalid, whose mail the MTA does not deliver"),
        ("a.far.invalid", "wrong", "entry.notify has a.far.invalid, "),
        ("example.org", "wrong", "entry.notify has example.org, "),
    ] {
        let found = check(&home, &tree, &["--set", &format!("entry.notify={domain}")]);
        assert!(found[0].0 == state && found[0].1.contains(says), "{domain}: {found:?}");
    }

    well(&setup(&home, &tree, &["--undo"]));
    assert!(!home.join("conf.d/notify.toml").exists());
    // All of it goes on: nobody's mail is here.
    tree.postconf(&["-e", "local_transport=relay:[10.0.0.9]"]);
    tree.postconf(&["-e", "virtual_transport=lmtp:inet:store.invalid:24"]);
    let shown = setup(&home, &tree, &["--apply"]);
    assert!(well(&shown).contains("no domain is delivered on this machine"), "{}", well(&shown));
    assert!(!home.join("conf.d/notify.toml").exists());
}

/// A Postfix whose users are told, and the network beside it; its last node is the only exit, and takes no news.
fn told_at_home(dir: &Path) -> (Postfix, Network) {
    let command = format!("{} --config {} send", dir.join("fog").display(), dir.join("n1/fog.toml").display());
    let service = with(
        &snippet("master.cf"),
        &[("user=fog-mta:fog-submit", "user=nobody"), ("/usr/local/bin/fog send", &command)],
    );
    let here = Postfix::start(&dir.join("here"), HERE, &["ann"], &snippet("main.cf"), &service);
    let addresses = network::free_ports(5).into_iter().map(|port| format!("127.0.0.1:{port}"));
    let home = format!("smtp:127.0.0.1:{}", here.port());
    let plan = Plan {
        user: NOBODY,
        addresses: addresses.map(|address| (address.clone(), address)).collect(),
        exits: vec![(4, format!("maildir:{}", dir.join("inbox").display()))],
        homes: vec![(0, home, HERE)],
        parameters: &[
            "min-delay=100ms",
            "mean-delay=300ms",
            "max-delay=2s",
            "tick=200ms",
            "batch-min=0",
            "send-every=500ms",
            "max-size=100K",
        ],
        sets: &["log.target=stderr"],
    };
    fs::create_dir(dir.join("inbox")).unwrap();
    std::os::unix::fs::chown(dir.join("inbox"), Some(NOBODY), Some(NOBODY)).unwrap();
    (here, Network::start_as(dir, &plan))
}

#[test]
fn what_the_pipe_can_not_send_is_answered_by_a_notice_and_never_comes_back() {
    const TO: &str = "secret@dest.invalid.fog";
    let Some(dir) = crate::scratch() else { return };
    let (here, _network) = told_at_home(dir.path());
    let text = |size: usize| format!("Subject: canary\r\n\r\n{}\r\n", "canary \r\n".repeat(size / 9)).into_bytes();
    let door = |field: &str| format!("Subject: canary\r\n{field}\r\n\r\ncanary\r\n").into_bytes();
    // Longer than a mail address may be; Postfix doesn't mind.
    let long = format!("{}@dest.invalid.fog", "secret".repeat(12));
    let been = b"Subject: canary\r\nRemailed-By: fog\r\n\r\ncanary\r\n".to_vec();
    // A little too big, so that the node reads all of it; and so big that it doesn't.
    for (mail, to, status, why) in [
        (text(110 << 10), TO, "5.3.4", "the mail is bigger than the network takes"),
        (text(9 << 20), TO, "5.3.4", "the mail is bigger than the network takes"),
        (door("Anon-To: secret"), "anon@fog.invalid", "5.1.3", "the recipient is not a mail address"),
        (door("X: y"), "anon@fog.invalid", "5.1.3", "the recipient is not a mail address"),
        (text(20), &long, "5.1.3", "the recipient is not a mail address"),
        (text(20), "secret%dest.invalid@x.invalid.fog", "5.1.3", "the recipient is not a mail address"),
        (been, TO, "5.4.6", "the mail has been through the network already"),
    ] {
        let before = here.mailbox("ann@home.invalid").len();
        here.submit("ann@home.invalid", &[to], &mail);
        let notices = wait_for(why, || Some(here.mailbox("ann@home.invalid")).filter(|mails| mails.len() > before));
        let newest = notices.iter().map(|mail| String::from_utf8_lossy(mail)).find(|mail| mail.contains(status));
        let notice = newest.unwrap_or_else(|| panic!("none with {status} for {to}: {} mails", notices.len()));
        assert!(notice.contains("Return-Path: <>") && notice.contains(why), "{notice}");
        assert!(!notice.contains("canary") && !notice.contains("secret"), "{notice}");
        assert_eq!(notices.len(), before + 1, "{to}");
        wait_for("an empty queue", || here.queue().is_empty().then_some(()));
    }
    assert!(!here.log().contains("status=bounced"), "{}", here.log());
}

#[test]
fn what_the_pipe_can_not_send_stays_in_the_queue_where_nobody_can_be_told() {
    let Some(dir) = crate::scratch() else { return };
    let (here, _network) = told_at_home(dir.path());
    let mail = [b"Subject: x\r\n\r\n", "x\r\n".repeat(70_000).as_bytes()].concat();
    here.submit("carol@elsewhere.invalid", &["secret@dest.invalid.fog"], &mail);
    let reason = wait_for("a deferral", || {
        let row = here.queue().pop()?;
        row["recipients"][0]["delay_reason"].as_str().map(str::to_owned)
    });
    assert!(reason.contains("fog: the mail is bigger than the network takes"), "{reason}");
    assert!(!here.log().contains("status=bounced"), "{}", here.log());
}

#[test]
fn who_asks_for_a_receipt_is_told_that_the_mail_has_arrived_and_nobody_sees_that_they_asked() {
    let Some(dir) = crate::scratch() else { return };
    let (here, network) = told_at_home(dir.path());
    let mail = |receipt: &str| format!("Subject: {receipt}\r\nX-Fog-Receipt: {receipt}\r\n\r\ncanary\r\n");
    for receipt in ["no", "yes"] {
        here.submit("ann@home.invalid", &[&format!("bob@{THERE}.fog")], mail(receipt).as_bytes());
    }
    let notice = wait_for("a notice", || here.mailbox("ann@home.invalid").pop());
    let notice = String::from_utf8_lossy(&notice);
    assert!(notice.contains("Action: relayed") && notice.contains("has taken it over"), "{notice}");
    assert!(!notice.contains("canary") && !notice.contains(THERE), "{notice}");
    let arrived = || -> Vec<String> {
        let found = fs::read_dir(dir.path().join("inbox/new")).into_iter().flatten();
        found.map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap()).collect()
    };
    wait_for("both mails", || (arrived().len() == 2).then_some(()));
    assert!(arrived().iter().all(|mail| !mail.to_lowercase().contains("receipt")), "{:?}", arrived());
    // Its sender knows now, and the other asked not to: nothing is left to list.
    wait_for("an empty list", || {
        let list =
            Command::new(network.fog()).arg("-c").arg(network.config(0)).args(["queue", "list"]).output().unwrap();
        String::from_utf8_lossy(&list.stdout).contains("no mail waits here").then_some(())
    });
    assert_eq!(here.mailbox("ann@home.invalid").len(), 1);
}
