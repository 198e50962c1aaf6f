//! `fog setup postfix` on Debian's configuration, looked at by Postfix's own programs.

use crate::instance::Postfix;
use crate::mta::run;
use crate::wait_for;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// What Debian's package asks and writes for an "Internet Site".
const ANSWERS: &[&str] = &[
    "smtpd_relay_restrictions=permit_mynetworks permit_sasl_authenticated defer_unauth_destination",
    "myhostname=mx.home.invalid",
    "alias_maps=hash:/etc/aliases",
    "alias_database=hash:/etc/aliases",
    "mydestination=$myhostname, home.invalid, localhost",
    "relayhost=",
    "mynetworks=127.0.0.0/8 [::ffff:127.0.0.0]/104 [::1]/128",
    "mailbox_size_limit=0",
    "recipient_delimiter=+",
    "inet_interfaces=all",
    "inet_protocols=all",
];

/// What somebody has added who runs filters and a relay.
const USED: &str = "
smtpd_milters =
    unix:opendkim/opendkim.sock,
    { inet:127.0.0.1:11332, connect_timeout=5s, default_action=accept }
non_smtpd_milters = $smtpd_milters
transport_maps = texthash:/TREE/transport, inline:{ {a.example = smtp:[10.0.0.1]}, {b.example = error:5.1.1 no b} }
smtpd_recipient_restrictions = reject_unknown_recipient_domain, permit_mynetworks, reject
always_bcc = archive@home.invalid
";

pub(crate) struct Tree {
    pub(crate) dir: PathBuf,
    pub(crate) queue: PathBuf,
}

impl Tree {
    pub(crate) fn new(root: &Path, used: bool) -> Self {
        let tree = Self { dir: root.join("etc"), queue: root.join("queue") };
        for dir in [&tree.dir, &tree.queue, &root.join("data")] {
            fs::create_dir(dir).unwrap();
        }
        run(Command::new("chown").arg("postfix").arg(root.join("data")));
        fs::copy("/usr/share/postfix/main.cf.debian", tree.dir.join("main.cf")).unwrap();
        fs::copy("/usr/share/postfix/master.cf.dist", tree.dir.join("master.cf")).unwrap();
        let places =
            [format!("queue_directory={}", tree.queue.display()), format!("data_directory={}/data", root.display())];
        for answer in ANSWERS.iter().map(|answer| (*answer).to_owned()).chain(places) {
            tree.postconf(&["-e", &answer]);
        }
        if used {
            fs::write(tree.dir.join("transport"), "c.example smtp:[10.0.0.2]\n* relay:[10.0.0.3]\n").unwrap();
            let main = fs::read_to_string(tree.dir.join("main.cf")).unwrap();
            let more = USED.replace("/TREE", tree.dir.to_str().unwrap());
            fs::write(tree.dir.join("main.cf"), main + &more).unwrap();
        }
        run(Command::new("postfix").arg("-c").arg(&tree.dir).arg("check"));
        tree
    }

    pub(crate) fn postconf(&self, arguments: &[&str]) -> String {
        let out = run(Command::new("postconf").arg("-c").arg(&self.dir).args(arguments));
        String::from_utf8(out.stdout).unwrap()
    }

    fn value(&self, name: &str) -> String {
        self.postconf(&["-h", name]).trim().to_owned()
    }

    /// What Postfix makes of the two files.
    fn settings(&self) -> (Vec<String>, String) {
        let lines = self.postconf(&["-n"]).lines().map(str::to_owned).collect();
        (lines, self.postconf(&["-M"]))
    }

    pub(crate) fn setup(&self, arguments: &[&str]) -> Output {
        setup(&self.dir, arguments)
    }

    /// What transport_maps say of a key: the first table that has an answer.
    fn transport(&self, key: &str) -> Option<String> {
        let tables = fog_tables(&self.value("transport_maps"));
        tables.iter().find_map(|table| {
            let out = Command::new("postmap").arg("-c").arg(&self.dir).args(["-q", key, table]).output().unwrap();
            Some(String::from_utf8(out.stdout).unwrap().trim().to_owned()).filter(|text| !text.is_empty())
        })
    }

    /// The bytes of main.cf and master.cf.
    fn files(&self) -> [Vec<u8>; 2] {
        ["main.cf", "master.cf"].map(|name| fs::read(self.dir.join(name)).unwrap())
    }

    fn copies(&self) -> Vec<PathBuf> {
        let all = fs::read_dir(&self.dir).unwrap().map(|entry| entry.unwrap().path());
        all.filter(|path| path.to_str().unwrap().contains(".fog-20")).collect()
    }
}

/// A milter, where Postfix looks for it. What it leaves behind when it is dropped is a socket that nobody listens at.
pub(crate) struct Milter(Child);

impl Milter {
    pub(crate) fn start(tree: &Tree) -> Self {
        let home = tree.queue.join("fog");
        fs::create_dir(&home).unwrap();
        let (config, log) = (home.join("fog.toml"), home.join("log"));
        let text = format!(
            "node.name = \"n1\"\nnode.onion = \"127.0.0.1:1\"\nnode.sockets = \".\"\ndirectory.trust = [\"{}\"]\n\
             log.target = \"stderr\"\nmilter.listen = \"unix:milter.sock\"\n",
            "0".repeat(64)
        );
        fs::write(&config, text).unwrap();
        let mut fog = Command::new(env!("CARGO_BIN_EXE_fog"));
        fog.arg("-c").arg(&config).arg("milter").env_remove("JOURNAL_STREAM");
        let milter = Self(fog.stdin(Stdio::null()).stderr(fs::File::create(&log).unwrap()).spawn().unwrap());
        wait_for("the milter", || fs::read_to_string(&log).unwrap().contains("ready").then_some(()));
        milter
    }
}

impl Drop for Milter {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Tables of transport_maps, told apart at the commas between them.
fn fog_tables(list: &str) -> Vec<String> {
    let (mut depth, mut tables) = (0, vec![String::new()]);
    for c in list.chars() {
        depth += i32::from(c == '{') - i32::from(c == '}');
        if c == ',' && depth == 0 { tables.push(String::new()) } else { tables.last_mut().unwrap().push(c) }
    }
    tables.iter().map(|table| table.trim().to_owned()).collect()
}

fn setup(dir: &Path, arguments: &[&str]) -> Output {
    let mut fog = Command::new(env!("CARGO_BIN_EXE_fog"));
    fog.args(["setup", "postfix", "--config-dir"]).arg(dir).args(arguments);
    fog.env("FOG_CONFIG", "/nonexistent/fog.toml").output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

pub(crate) fn well(out: &Output) -> &str {
    assert!(out.status.success(), "{}\n{}{}", out.status, text(&out.stdout), text(&out.stderr));
    text(&out.stdout)
}

#[test]
fn postfix_is_set_up_once_and_taken_back_on_a_new_and_on_a_used_configuration() {
    for used in [false, true] {
        let Some(root) = crate::scratch() else { return };
        let tree = Tree::new(root.path(), used);
        let (before, files) = (tree.settings(), tree.files());
        let milters = tree.value("smtpd_milters");
        let _milter = Milter::start(&tree);

        let shown = tree.setup(&["--exit"]);
        assert!(well(&shown).contains("postconf -c"), "{}", well(&shown));
        assert!(well(&shown).contains("Nothing was changed.\n"), "{}", well(&shown));
        for careful in ["smtpd_recipient_restrictions asks the DNS", "always_bcc gets every mail"] {
            assert_eq!(well(&shown).contains(careful), used, "{}", well(&shown));
        }
        assert_eq!((tree.files(), tree.copies().len()), (files.clone(), 0));

        well(&tree.setup(&["--apply", "--exit"]));
        assert_eq!(tree.transport(".fog").as_deref(), Some("fog:"));
        assert_eq!(tree.transport("fog.invalid").as_deref(), Some("fog:"));
        let pipe = tree.postconf(&["-M", "fog/unix"]);
        assert!(
            pipe.contains("flags=DORq null_sender= user=fog-mta") && pipe.contains("--queue-id ${queue_id}"),
            "{pipe}"
        );
        assert!(tree.postconf(&["-M", "127.0.0.1:10027/inet"]).contains("cleanup_service_name=fogcleanup"));
        assert_eq!(tree.value("fog_destination_recipient_limit"), "1");
        for list in ["smtpd_milters", "non_smtpd_milters"] {
            let value = tree.postconf(&["-x", "-h", list]);
            const ONCE: &str =
                "{ unix:fog/milter.sock, connect_timeout=5s, command_timeout=60s, default_action=tempfail }";
            assert!(value.trim().ends_with(ONCE) && value.matches("milter.sock").count() == 1, "{list} = {value}");
        }
        if used {
            assert!(tree.value("smtpd_milters").starts_with("unix:opendkim/opendkim.sock, { inet:127.0.0.1:11332,"));
            assert_eq!(tree.value("non_smtpd_milters"), "$smtpd_milters");
            assert_eq!(tree.transport("c.example").as_deref(), Some("smtp:[10.0.0.2]"));
            assert_eq!(tree.transport("a.example").as_deref(), Some("smtp:[10.0.0.1]"));
        }
        let copies: Vec<_> = tree.copies().iter().map(|path| fs::read(path).unwrap()).collect();
        assert!(copies.len() == 2 && files.iter().all(|file| copies.contains(file)), "{:?}", tree.copies());
        let applied = (tree.settings(), tree.files());
        assert_eq!(well(&tree.setup(&["--apply", "--exit"])).lines().last(), Some("There is nothing to do."));
        assert_eq!((tree.settings(), tree.files()), applied);

        well(&tree.setup(&["--undo"]));
        assert_eq!(tree.transport(".fog").as_deref(), Some("error:5.1.2 fog is not installed here"));
        let (mut now, services) = tree.settings();
        let mut then = before.0.clone();
        for settings in [&mut now, &mut then] {
            settings.retain(|line| !line.starts_with("transport_maps ="));
            for line in settings {
                *line = line.replace(',', " ").split_whitespace().collect::<Vec<_>>().join(" ");
            }
        }
        assert_eq!(now, then);
        assert_eq!(services, before.1);
        assert!(!tree.dir.join("fog_header_checks").exists());
        if !used {
            assert_eq!(milters, "");
        }
        assert_eq!(well(&tree.setup(&["--undo"])).lines().last(), Some("There is nothing to do."));

        well(&tree.setup(&["--apply", "--exit"]));
        assert_eq!(tree.settings(), applied.0);
    }
}

#[test]
fn a_milter_that_has_died_is_not_asked_and_a_way_past_it_is_told() {
    let Some(root) = crate::scratch() else { return };
    let tree = Tree::new(root.path(), false);
    drop(Milter::start(&tree));
    assert!(tree.queue.join("fog/milter.sock").exists());
    tree.postconf(&["-M", "smtpd/pass=smtpd pass - - y - - smtpd -o receive_override_options=no_milters"]);
    tree.postconf(&["-e", "smtpd_milter_maps=cidr:/etc/postfix/milters"]);
    let said = tree.setup(&["--apply"]);
    for careful in [
        "no milter answers",
        "the service smtpd/pass has receive_override_options=no_milters",
        "main.cf has smtpd_milter_maps=cidr:/etc/postfix/milters",
    ] {
        assert!(well(&said).contains(careful), "{careful}: {}", well(&said));
    }
    assert_eq!(tree.value("smtpd_milters"), "");
}

#[test]
fn a_table_that_takes_all_mail_is_not_overlooked() {
    let Some(root) = crate::scratch() else { return };
    let tree = Tree::new(root.path(), false);
    let table = tree.dir.join("all");
    fs::write(&table, "/.*/ smtp:[10.0.0.1]\n").unwrap();
    tree.postconf(&["-e", &format!("transport_maps = regexp:{}", table.display())]);
    let files = tree.files();
    let out = tree.setup(&["--apply"]);
    assert_eq!(out.status.code(), Some(78));
    assert!(
        text(&out.stderr).contains("a table of transport_maps sends mail to .fog elsewhere"),
        "{}",
        text(&out.stderr)
    );
    assert_eq!(tree.files(), files);
    fs::write(&table, "if !/\\.fog$/\n/.*/ smtp:[10.0.0.1]\nendif\n").unwrap();
    assert!(text(&tree.setup(&[]).stderr).contains("elsewhere"), "the door is taken too");
    fs::write(&table, "if !/(\\.fog|fog\\.invalid)$/\n/.*/ smtp:[10.0.0.1]\nendif\n").unwrap();
    well(&tree.setup(&["--apply"]));
}

#[test]
fn what_postfix_refuses_is_put_back_as_it_was() {
    let Some(root) = crate::scratch() else { return };
    let tree = Tree::new(root.path(), true);
    tree.postconf(&["-e", "data_directory = /nonexistent/data"]);
    let files = tree.files();
    let out = tree.setup(&["--apply", "--exit"]);
    assert!(!out.status.success(), "{}", text(&out.stdout));
    assert!(text(&out.stderr).contains("every file was put back as it was"), "{}", text(&out.stderr));
    assert_eq!(tree.files(), files);
    assert!(!tree.dir.join("fog_header_checks").exists());
}

#[test]
fn a_postfix_that_runs_refuses_fog_mail_when_fog_is_taken_back() {
    let Some(dir) = crate::scratch() else { return };
    let postfix = Postfix::start(&dir.path().join("here"), crate::HERE, &["ann"], "", "");
    well(&setup(&postfix.etc(), &["--apply"]));
    well(&setup(&postfix.etc(), &["--undo"]));
    // In the session already, and without a question to the DNS: there is none here.
    let out =
        postfix.swaks("ann@home.invalid", &["bob@dest.invalid.fog"], b"Subject: x\r\n\r\nx\r\n").output().unwrap();
    let said = text(&out.stdout);
    assert!(
        !out.status.success() && said.contains("<** 550 5.1.2 ") && said.contains("fog is not installed here"),
        "{said}"
    );
    assert!(postfix.queue().is_empty());
}
