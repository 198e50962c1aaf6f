//! `fog check leaks` with a real Postfix, a real milter and a real node: what is left of one mail, and what is planted.

use crate::instance::NOBODY;
use crate::milter::Site;
use crate::network::Network;
use crate::{scratch, wait_for};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

/// Somebody's Postfix with a milter before a node that is not alone.
struct Machine {
    network: Network,
    site: Site,
}

impl Machine {
    fn start(dir: &Path) -> Self {
        let network = Network::start(dir, NOBODY, 2, &format!("maildir:{}", dir.join("out").display()));
        symlink(network.config(0).with_file_name("run").join("submit.sock"), dir.join("submit.sock")).unwrap();
        Self { network, site: Site::start(dir, &[]) }
    }

    /// Postfix with another configuration.
    fn restart(&self, change: impl FnOnce()) {
        self.site.postfix.stop();
        change();
        self.site.postfix.start_again();
    }

    fn leaks(&self, more: &[&str]) -> Child {
        let home = self.network.config(0);
        let mut check = Command::new(self.network.fog());
        check.arg("--config").arg(self.network.fog().with_file_name("fog.toml")).args([
            "-j",
            "check",
            "leaks",
            "--postfix",
        ]);
        check.arg(self.site.postfix.etc()).args(more);
        check.arg(format!("--set=spool.path={}", home.with_file_name("spool").display()));
        check.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// What is found: how it ends, and of each its state and sentence.
    fn found(&self) -> (i32, Vec<(String, String)>) {
        told(&self.leaks(&["--yes"]).wait_with_output().unwrap())
    }
}

fn told(output: &Output) -> (i32, Vec<(String, String)>) {
    let text = std::str::from_utf8(&output.stdout).unwrap();
    let found = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let word = |finding: &serde_json::Value, name: &str| finding[name].as_str().unwrap().to_owned();
    let found: Vec<_> = found.map(|finding| (word(&finding, "state"), word(&finding, "says"))).collect();
    assert!(!found.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    (output.status.code().unwrap(), found)
}

/// The sentence of that state about a place.
fn says<'f>(found: &'f [(String, String)], state: &str, about: &str) -> &'f str {
    let one = found.iter().find(|(is, says)| is == state && says.contains(about));
    &one.unwrap_or_else(|| panic!("nothing {state} about {about}: {found:#?}")).1
}

#[test]
fn with_the_milter_only_what_is_known_is_found_and_each_planted_leak_is() {
    let Some(dir) = scratch() else { return };
    let machine = Machine::start(dir.path());
    let (code, found) = machine.found();
    assert_eq!(code, 0, "{found:#?}");
    let log = says(&found, "careful", "mail.log has sender, Message-ID: ");
    assert!(log.contains("not to whom") && log.contains("(sender)"), "{log}");
    for place in ["files of the MTA's spool", "files of fog's spool", "processes' arguments"] {
        let said = says(&found, "ok", place);
        assert!(said.ends_with(": nothing of the mail") && !said.starts_with("0 "), "{said}");
    }
    // Where the tests run there may be a process that even root can't look into.
    let rest = found.iter().filter(|(state, says)| state != "ok" && !says.contains("environments could be read"));
    assert_eq!(rest.count(), 1, "{found:#?}");
    // It went by the milter, to the node, and no further.
    assert!(!machine.site.postfix.log().contains("relay=fog"), "{}", machine.site.postfix.log());
    assert!(machine.site.postfix.log().contains("from=<>"), "{}", machine.site.postfix.log());
    assert!(machine.site.postfix.queue().is_empty());

    // A header that is logged.
    let checks = dir.path().join("here/etc/header_checks");
    fs::write(&checks, "/^Subject:/ INFO\n").unwrap();
    machine.restart(|| machine.site.postfix.set(&format!("header_checks = regexp:{}", checks.display())));
    let (code, found) = machine.found();
    assert_eq!(code, 78, "{found:#?}");
    assert!(says(&found, "wrong", "mail.log has ").contains("subject"), "{found:#?}");
    // A copy of all mail. It waits: nobody delivers it.
    machine.restart(|| {
        machine.site.postfix.set("header_checks =");
        machine.site.postfix.set("always_bcc = ann@home.invalid");
        machine.site.postfix.set(&format!("mail_spool_directory = {}", dir.path().join("here/mail").display()));
    });
    let (code, found) = machine.found();
    assert_eq!(code, 78, "{found:#?}");
    assert!(says(&found, "wrong", "here/mail/ann@home.invalid").contains("kept in clear"), "{found:#?}");
}

#[test]
fn without_the_milter_the_log_joins_sender_and_recipient_and_arguments_are_seen() {
    let Some(dir) = scratch() else { return };
    let machine = Machine::start(dir.path());
    machine.restart(|| {
        machine.site.postfix.set("non_smtpd_milters =");
        machine.site.postfix.change_master("--queue-id ${queue_id}", "--queue-id ${recipient}");
    });
    // Held back, so that it is sure to be seen.
    machine.network.signal_node(0, "STOP");
    let check = machine.leaks(&["--yes"]);
    let _ = wait_for("fog send", || {
        let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
        let lines: Vec<_> = processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok()).collect();
        lines.into_iter().find(|line| {
            let line = String::from_utf8_lossy(line).replace('\0', " ");
            line.contains(dir.path().to_str().unwrap())
                && line.contains("fog-check.invalid")
                && line.contains("send --mta")
        })
    });
    std::thread::sleep(std::time::Duration::from_millis(500));
    machine.network.signal_node(0, "CONT");
    let (code, found) = told(&check.wait_with_output().unwrap());
    assert_eq!(code, 78, "{found:#?}");
    let log = says(&found, "wrong", "mail.log has sender, recipient, recipient's domain, Message-ID: ");
    assert!(log.contains("who wrote to whom"), "{log}");
    says(&found, "wrong", "(recipient)@(recipient's domain).fog-check.invalid.fog` has recipient");
    assert!(machine.site.postfix.queue().is_empty());
}

#[test]
fn nothing_is_handed_over_unasked_or_where_it_would_go_elsewhere() {
    let Some(dir) = scratch() else { return };
    let mut machine = Machine::start(dir.path());
    let ends = |machine: &Machine, more: &[&str], code: i32, says: &str| {
        let out = machine.leaks(more).wait_with_output().unwrap();
        let said = String::from_utf8(out.stderr).unwrap();
        assert!(out.status.code() == Some(code) && said.contains(says), "{said}");
    };
    ends(&machine, &[], 64, "one mail would be handed to the MTA");
    machine.network.kill_node(0);
    ends(&machine, &["--yes"], 69, "the node is not running");
    machine.network.start_node(0);
    machine.restart(|| machine.site.postfix.set("transport_maps ="));
    ends(&machine, &["--yes"], 78, "does not get into fog");
    assert!(!machine.site.postfix.log().contains("pickup"), "{}", machine.site.postfix.log());
}
