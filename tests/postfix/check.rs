//! `fog check` on what a real Postfix says of its configuration, broken in one way at a time.

use crate::setup::{Milter, Tree, well};
use std::fs;
use std::path::Path;
use std::process::Command;

/// What `fog check` says of Postfix that is not as it should be: state and sentence.
fn findings(home: &Path, tree: &Tree) -> Vec<(String, String)> {
    let mut check = Command::new(env!("CARGO_BIN_EXE_fog"));
    check.arg("-c").arg(home.join("fog.toml")).args(["-q", "-j", "check", "--postfix"]).arg(&tree.dir);
    let said = String::from_utf8(check.output().unwrap().stdout).unwrap();
    let found = said.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let of_postfix = found.filter(|finding| finding["about"] == "postfix");
    let word = |finding: &serde_json::Value, name: &str| finding[name].as_str().unwrap().to_owned();
    of_postfix.map(|finding| (word(&finding, "state"), word(&finding, "says"))).collect()
}

/// A configuration of fog, as `fog init` makes it.
fn home(root: &Path) -> std::path::PathBuf {
    let home = root.join("fog");
    let mut init = Command::new(env!("CARGO_BIN_EXE_fog"));
    init.args(["init", "--new-network", "--name", "kvara", "--onion", "127.0.0.1:7001", "--dir"]).arg(&home);
    well(&init.output().unwrap());
    home
}

#[test]
fn what_setup_leaves_is_good_and_each_thing_that_is_broken_then_has_its_sentence() {
    let Some(root) = crate::scratch() else { return };
    let (tree, home) = (Tree::new(root.path(), false), home(root.path()));
    let wrong = |says: &str| {
        let found = findings(&home, &tree);
        found.iter().any(|(state, said)| state == "wrong" && said.contains(says)).then_some(()).ok_or(found)
    };
    assert_eq!(wrong("is not for fog: Postfix asks the DNS"), Ok(()));
    assert_eq!(wrong("master.cf has no service fog"), Ok(()));

    let _milter = Milter::start(&tree);
    well(&tree.setup(&["--apply", "--exit"]));
    // The accounts come with the package, which need not be installed here.
    let has_account = fs::read_to_string("/etc/passwd").unwrap().lines().any(|line| line.starts_with("fog-mta:"));
    let no_account = "the service fog runs as fog-mta:fog-submit, and there is no such user or group";
    let told = (!has_account).then(|| ("wrong".to_owned(), no_account.to_owned()));
    assert_eq!(findings(&home, &tree), Vec::from_iter(told));

    let table = tree.dir.join("elsewhere");
    fs::write(&table, "/fog$/ smtp:[10.0.0.1]\n").unwrap();
    let elsewhere = format!("transport_maps=regexp:{}", table.display());
    let [domains, aliases] = ["domains", "aliases"].map(|name| tree.dir.join(name));
    fs::write(&domains, "/\\.com\\.fog$/ ours\n").unwrap();
    fs::write(&aliases, "/@example\\.com\\.fog$/ archive@home.invalid\n").unwrap();
    let relay = format!("relay_domains=$mydestination regexp:{}", domains.display());
    let rewrite = format!("virtual_alias_maps=regexp:{}", aliases.display());
    let files = ["main.cf", "master.cf"].map(|name| (tree.dir.join(name), fs::read(tree.dir.join(name)).unwrap()));
    for (change, says) in [
        (["-e", elsewhere.as_str()], "goes to `smtp:[10.0.0.1]`, not to fog"),
        (["-e", "relay_domains=$mydestination .fog"], "strangers may send through fog"),
        (["-e", relay.as_str()], "relay_domains has .fog: strangers may send through fog"),
        (
            ["-e", rewrite.as_str()],
            "virtual_alias_maps takes mail to .fog: it goes to `archive@home.invalid`, in clear",
        ),
        (["-e", "always_bcc=archive@home.invalid"], "keeps a copy of every mail"),
        (
            ["-e", "smtpd_recipient_restrictions=reject_unknown_recipient_domain, permit_mynetworks"],
            "asks the DNS for the recipient's domain",
        ),
        (["-e", "fog_destination_recipient_limit=20"], "several recipients would come as one"),
        (["-e", "smtpd_milters={ unix:fog/milter.sock, default_action=accept }"], "mail passes it by"),
        (["-P", "fog/unix/flags=Rq"], "the recipient would not reach fog"),
        (["-P", "fog/unix/user=root"], "the service fog runs as root"),
    ] {
        tree.postconf(&change);
        assert_eq!(wrong(says), Ok(()), "{change:?}");
        for (path, bytes) in &files {
            fs::write(path, bytes).unwrap();
        }
    }
    tree.postconf(&["-F", "smtp/inet/chroot=y"]);
    tree.postconf(&["-e", "smtpd_milters={ unix:/run/fog/milter.sock, default_action=tempfail }"]);
    assert_eq!(wrong("outside of the directory that smtpd is shut in"), Ok(()));
}
