//! `fog setup exim` and `fog setup tor` on Debian's configuration, looked at by the real programs.

use crate::instance::{Exim, Layout};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

type Files = BTreeMap<PathBuf, Vec<u8>>;

/// A machine with a copy of fog.
fn machine(dir: &Path, layout: Layout) -> (Exim, PathBuf) {
    let fog = dir.join("fog");
    fs::copy(env!("CARGO_BIN_EXE_fog"), &fog).unwrap();
    (Exim::new(dir, "here", crate::HERE, &["ann"], layout), fog)
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn well(out: &Output) -> &str {
    assert!(out.status.success(), "{}\n{}{}", out.status, text(&out.stdout), text(&out.stderr));
    text(&out.stdout)
}

/// `files` without the dated copies, of which there must be so many.
fn without_copies(files: Files, copies: usize) -> Files {
    let (kept, files): (Files, Files) =
        files.into_iter().partition(|(path, _)| path.to_str().unwrap().contains(".fog-20"));
    assert_eq!(kept.len(), copies, "{:?}", kept.keys());
    files
}

#[test]
fn exim_is_set_up_once_and_taken_back_in_every_layout() {
    for layout in [Layout::Split, Layout::Unsplit] {
        let Some(dir) = crate::scratch() else { return };
        let (mut here, fog) = machine(dir.path(), layout);
        here.start();
        let before = here.all_of_etc();

        let shown = here.setup(&fog, &["exim"]);
        assert!(well(&shown).contains("+  transport = fog_pipe"), "{}", well(&shown));
        assert!(well(&shown).contains("Nothing was changed.\n  ->  fog setup exim --apply"), "{}", well(&shown));
        assert_eq!(here.all_of_etc(), before);

        well(&here.setup(&fog, &["exim", "--apply"]));
        let routed = here.exim(&["-bt", "bob@dest.invalid.fog"]).stdout;
        assert!(text(&routed).contains("router = fog, transport = fog_pipe"), "{layout:?}: {}", text(&routed));
        let applied = without_copies(here.all_of_etc(), usize::from(layout == Layout::Unsplit));
        let again = here.setup(&fog, &["exim", "--apply"]);
        assert_eq!(well(&again).lines().last(), Some("There is nothing to do."), "{}", well(&again));

        well(&here.setup(&fog, &["exim", "--undo"]));
        let gone = here.inside(&["exim4", "-bt", "bob@dest.invalid.fog"]).output().unwrap();
        assert!(text(&gone.stdout).contains("5.1.2 fog is not installed here"), "{layout:?}: {}", text(&gone.stdout));
        assert!(!text(&gone.stdout).contains("dnslookup"), "{}", text(&gone.stdout));
        // The daemon that runs has read it too: taken in, answered with a bounce on this machine, and gone.
        here.submit("ann@home.invalid", &["bob@dest.invalid.fog"], b"Subject: x\r\n\r\nx\r\n");
        let bounce = crate::wait_for("an answer", || here.mailbox("ann").pop());
        assert!(text(&bounce).contains("fog is not installed here"), "{}", text(&bounce));
        let undone = here.all_of_etc();
        assert_eq!(well(&here.setup(&fog, &["exim", "--undo"])), "There is nothing to do.\n");
        assert_eq!(here.all_of_etc(), undone);
        // Nothing but the router that refuses is left of it.
        for (path, bytes) in undone.iter().filter(|(path, bytes)| before.get(*path) != Some(bytes)) {
            let name = path.to_str().unwrap();
            assert!(name.contains(".fog-20") || text(bytes).contains("fog is not installed here"), "{name}");
        }
        assert!(before.keys().all(|path| undone.contains_key(path)));

        well(&here.setup(&fog, &["exim", "--apply"]));
        let again: Files =
            here.all_of_etc().into_iter().filter(|(path, _)| !path.to_str().unwrap().contains(".fog-20")).collect();
        assert_eq!(again, applied);
    }
}

#[test]
fn a_router_in_front_that_takes_all_mail_is_not_overlooked() {
    let Some(dir) = crate::scratch() else { return };
    let (here, fog) = machine(dir.path(), Layout::Split);
    fs::write(here.etc().join("conf.d/router/170_all"), "all:\n  driver = accept\n  transport = remote_smtp\n")
        .unwrap();
    let before = here.all_of_etc();
    let out = here.setup(&fog, &["exim", "--apply"]);
    assert_eq!(out.status.code(), Some(78));
    let said = text(&out.stderr);
    assert!(
        said.contains("does not say `router = fog, transport = fog_pipe`") && said.contains("router = all"),
        "{said}"
    );
    assert_eq!(here.all_of_etc(), before);
}

#[test]
fn a_configuration_elsewhere_is_changed_there_and_only_there() {
    let Some(dir) = crate::scratch() else { return };
    let (here, fog) = machine(dir.path(), Layout::Unsplit);
    let before = here.all_of_etc();
    let other = dir.path().join("exim4");
    crate::run(std::process::Command::new("cp").arg("-a").arg(here.etc()).arg(&other));
    let link = other.join("exim4.conf.template");
    fs::rename(&link, other.join("the-template")).unwrap();
    std::os::unix::fs::symlink("the-template", &link).unwrap();
    well(&here.setup(&fog, &["exim", "--apply", "--config-dir", other.to_str().unwrap()]));
    assert_eq!(here.all_of_etc(), before);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink(), "a link stays a link");
    assert!(fs::read_to_string(other.join("the-template")).unwrap().contains("transport = fog_pipe"));
}

#[test]
fn a_configuration_that_exim_refuses_is_put_back_as_it_was() {
    let Some(dir) = crate::scratch() else { return };
    let (here, fog) = machine(dir.path(), Layout::Split);
    fs::write(here.etc().join("conf.d/router/170_broken"), "broken:\n  driver = nonsense\n").unwrap();
    let before = here.all_of_etc();
    let out = here.setup(&fog, &["exim", "--apply"]);
    assert_eq!(out.status.code(), Some(78));
    let said = text(&out.stderr);
    assert!(said.contains("every file was put back as it was") && said.contains("nonsense"), "{said}");
    assert_eq!(here.all_of_etc(), before);
}

#[test]
fn without_the_user_of_the_pipe_nothing_is_written() {
    let Some(dir) = crate::scratch() else { return };
    let (here, fog) = machine(dir.path(), Layout::Unsplit);
    let passwd = here.etc().join("../passwd");
    let without: String = fs::read_to_string(&passwd)
        .unwrap()
        .lines()
        .filter(|l| !l.starts_with("fog-mta"))
        .map(|l| format!("{l}\n"))
        .collect();
    fs::write(&passwd, without).unwrap();
    let before = here.all_of_etc();
    let out = here.setup(&fog, &["exim", "--apply"]);
    assert!(!out.status.success() && text(&out.stderr).contains("useradd --system --gid fog-submit"), "{out:?}");
    assert_eq!(here.all_of_etc(), before);
}

#[test]
fn a_configuration_of_ones_own_gets_the_router_in_front_of_all_others() {
    let Some(dir) = crate::scratch() else { return };
    let (here, fog) = machine(dir.path(), Layout::Split);
    fs::write(
        here.etc().join("exim4.conf"),
        "domainlist local_domains = home.invalid\nbegin routers\n\nall:\n  driver = accept\n  transport = away\n\
         begin transports\n\naway:\n  driver = appendfile\n  file = /dev/null\n  user = mail\n",
    )
    .unwrap();
    well(&here.setup(&fog, &["exim", "--apply"]));
    let route = |address: &str| text(&here.exim(&["-bt", address]).stdout).to_owned();
    assert!(route("bob@dest.invalid.fog").contains("transport = fog_pipe"));
    assert!(route("bob@dest.invalid").contains("transport = away"));
}

#[test]
fn tor_is_set_up_once_and_taken_back() {
    let Some(dir) = crate::scratch() else { return };
    let (here, fog) = machine(dir.path(), Layout::Split);
    let torrc = here.etc().join("../tor/torrc");
    let before = fs::read_to_string(&torrc).unwrap();
    let shown = here.setup(&fog, &["tor"]);
    assert!(well(&shown).contains("+HiddenServicePort 9999 127.0.0.1:9999"), "{}", well(&shown));
    assert_eq!(fs::read_to_string(&torrc).unwrap(), before);

    let done = here.setup(&fog, &["tor", "--apply"]);
    assert!(well(&done).contains("->  systemctl reload tor"), "{}", well(&done));
    // As Debian's unit starts it: its defaults open the socket for clients already.
    let defaults = "/usr/share/tor/tor-service-defaults-torrc";
    let dump = ["tor", "--hush", "--defaults-torrc", defaults, "-f", "/etc/tor/torrc", "--dump-config", "full"];
    let dumped = here.inside(&dump).output().unwrap();
    for line in
        ["HiddenServiceDir /var/lib/tor/fog", "HiddenServicePort 9999 127.0.0.1:9999", "SocksPort unix:/run/tor/socks"]
    {
        assert!(text(&dumped.stdout).lines().any(|l| l.starts_with(line)), "{line}: {}", text(&dumped.stdout));
    }
    assert_eq!(well(&here.setup(&fog, &["tor", "--apply"])), "There is nothing to do.\n");
    well(&here.setup(&fog, &["tor", "--undo"]));
    assert_eq!(fs::read_to_string(&torrc).unwrap(), before);

    // What Tor refuses is put back.
    fs::write(&torrc, format!("{before}NoSuchOption 1\n")).unwrap();
    let out = here.setup(&fog, &["tor", "--apply"]);
    assert!(!out.status.success() && text(&out.stderr).contains("NoSuchOption"), "{out:?}");
    assert_eq!(fs::read_to_string(&torrc).unwrap(), format!("{before}NoSuchOption 1\n"));
}
