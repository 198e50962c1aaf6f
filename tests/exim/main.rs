//! Real Exim at both ends, as Debian configures it: swaks, Exim, `fog send --bsmtp`, five nodes, `fog exit`, Exim,
//! Maildir.
//!
//! The entry's Exim has the router and the transport of `exim/`. Needs root, what `tests/exim/fetch` gets, and a few Debian
//! packages: without them the tests are skipped, unless FOG_REQUIRE_E2E says that they must not be.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test stops at the first surprise")]
#![allow(clippy::print_stderr, clippy::disallowed_methods, reason = "real processes have a real clock and real logs")]

mod check;
mod instance;
#[path = "../postfix/letters.rs"]
mod letters;
#[path = "../common/mta.rs"]
mod mta;
#[path = "../common/network.rs"]
#[allow(dead_code, reason = "the Postfix test uses the rest")]
mod network;
mod setup;

use fog::config::Deliver;
use fog::delivery::Disposition;
use fog::mail::address::Address;
use fog::mta::hand_over::{Patience, hand_over};
use fog::mta::smtp::Envelope;
use instance::{Exim, FOG_MTA, Layout};
use letters::{Arrived, Letter, letters};
use mta::{run, wait_for, with};
use network::Network;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Who runs the nodes, on both sides: Debian's user nobody.
const NOBODY: u32 = 65_534;

/// Nodes of the network between the two.
const NODES: usize = 5;

#[test]
fn letters_of_every_kind_arrive_whole_and_without_their_sender() {
    let Some(dir) = scratch() else { return };
    let letters = letters(dir.path());
    let site = Site::start(dir.path(), &letters, Layout::Split);
    let routed = site.here.exim(&["-bt", "plain@dest.invalid.fog", "anon@fog.invalid"]);
    let routed = String::from_utf8(routed.stdout).unwrap();
    assert_eq!(routed.matches("router = fog, transport = fog_pipe").count(), 2, "{routed}");
    for letter in &letters {
        site.send(letter);
    }
    site.here.submit("ann@home.invalid", &["anon@fog.invalid"], QUIET.replace('\n', "\r\n").as_bytes());
    let quiet = wait_for("the quiet letter", || site.there.mailbox("quiet").pop());
    Arrived { recipient: format!("quiet@{THERE}"), raw: quiet }.check_clean("ann@home.invalid");
    for (letter, local) in letters.iter().flat_map(|letter| letter.to.iter().map(move |local| (letter, local))) {
        site.check_arrival(letter, local);
    }
    for local in letters.iter().flat_map(|letter| letter.to) {
        assert_eq!(site.there.mailbox(local).len(), 1, "{local} got a copy");
    }
    assert_eq!(site.here.queue(), "");
    // What is left on the machine where it was written: that there was mail, and from whom.
    assert!(site.here.log().contains("<= ann@home.invalid"), "{}", site.here.log());
    site.nothing_here_names(THERE);
}

#[test]
fn a_mail_waits_in_exim_while_the_node_is_down() {
    let Some(dir) = scratch() else { return };
    let letters = letters(dir.path());
    let letter = &letters[0];
    let mut site = Site::start_as_set_up(dir.path(), &letters, Layout::Unsplit);
    site.network.kill_node(0);
    site.send(letter);
    let (path, told) = wait_for("a deferral", || {
        site.here.kept().into_iter().find(|(path, told)| in_dir(path, "msglog") && contains(told, "defer (0)"))
    });
    // Exim's own words, and none of fog's; the file goes with the mail.
    assert!(contains(&told, "R=fog T=fog_pipe defer (0): Child process of fog_pipe transport returned 75"));
    site.here.run_queue(false);
    assert!(site.here.queue().contains("plain@dest.invalid.fog"), "{}", site.here.queue());
    assert!(!site.here.log().contains(THERE), "{}", site.here.log());

    site.network.start_node(0);
    site.here.run_queue(false);
    site.check_arrival(letter, "plain");
    assert_eq!(site.here.queue(), "");
    assert!(!path.exists(), "the mail's own log is still there");
    assert!(site.here.mailbox("ann").is_empty(), "Exim bounced");
    // The domain may be left in the hints of when to try again, and no address.
    site.nothing_here_names("plain@");
}

#[test]
fn whatever_becomes_of_the_command_no_mail_bounces_and_none_is_lost() {
    let Some(dir) = scratch() else { return };
    let command = dir.path().join("command");
    let mut here = Exim::new(dir.path(), "here", HERE, &["ann"], Layout::Split);
    here.add_fog(&[("/usr/local/bin/fog send", command.to_str().unwrap()), ("60s", "1s")]);
    here.start();
    let cases: &[(&str, u32, &str)] = &[
        ("exit 75", 0o755, "returned 75"),
        ("exit 1", 0o755, "returned 75"),
        ("exit 65", 0o755, "returned 75"),
        ("exit 101", 0o755, "returned 75"),
        ("echo 5.1.1 unknown; exit 77", 0o755, "returned 75"),
        ("exec sleep 20", 0o755, "timed out"),
        ("kill -KILL $$", 0o755, "returned 75"),
        ("kill -ABRT $$", 0o755, "returned 75"),
        ("exit 0", 0o644, "returned 75"),
        ("", 0, "returned 75"),
        // The shell around it.
        ("kill -KILL $PPID", 0o755, "terminated by signal 9"),
    ];
    for (script, mode, want) in cases {
        let _ = fs::remove_file(&command);
        if *mode != 0 {
            // Renamed, so that nobody executes a file that is open for writing.
            let new = dir.path().join("command.new");
            fs::write(&new, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(&new, fs::Permissions::from_mode(*mode)).unwrap();
            fs::rename(&new, &command).unwrap();
        }
        let mail = format!("Subject: {script}\r\n\r\nx\r\n");
        here.submit("ann@home.invalid", &["bob@dest.invalid.fog"], mail.as_bytes());
        wait_for(want, || {
            here.kept().iter().any(|(path, told)| in_dir(path, "msglog") && contains(told, want)).then_some(())
        });
        assert!(here.mailbox("ann").is_empty(), "{script}: it bounced");
        if want.contains("signal") {
            assert!(here.queue().contains("*** frozen ***"), "{script}: {}", here.queue());
        }
        // Each is looked at by itself, and kept for the end.
        for (path, _) in here.kept().iter().filter(|(path, _)| in_dir(path, "msglog")) {
            fs::write(path, "").unwrap();
        }
    }
    let taken = dir.path().join("taken");
    fs::create_dir(&taken).unwrap();
    chown(&taken, Some(FOG_MTA), None).unwrap();
    let script = format!("#!/bin/sh\nexec cat > {}/$$\n", taken.display());
    fs::write(dir.path().join("command.new"), script).unwrap();
    fs::set_permissions(dir.path().join("command.new"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(dir.path().join("command.new"), &command).unwrap();
    here.run_queue(true);
    wait_for("all of it", || (!here.queue().contains(THERE)).then_some(()));
    let batches: Vec<_> = fs::read_dir(&taken).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect();
    for (script, ..) in cases {
        let with_it = batches.iter().filter(|batch| contains(batch, &format!("Subject: {script}\n")));
        assert_eq!(with_it.count(), 1, "{script}");
    }
    assert!(!here.log().contains(THERE), "{}", here.log());
}

#[test]
fn a_pipe_that_is_killed_takes_no_half_mail_and_no_second_copy() {
    let Some(dir) = scratch() else { return };
    let letters = letters(dir.path());
    let named = |name: &str| letters.iter().find(|letter| letter.name.contains(name)).unwrap();
    let site = Site::start_by(dir.path(), &letters, Layout::Split, &[]);

    // Exim dies in the middle of a mail: what has come through has a normal end, and no final dot.
    let large = named("3 MB");
    fs::write(site.hook("hold"), "").unwrap();
    site.send(large);
    let parent =
        wait_for("half a mail", || fs::read_to_string(site.hook("caught")).ok().filter(|pid| pid.ends_with('\n')));
    site.here.kill(parent.trim());
    fs::write(site.hook("go"), "").unwrap();
    let said = wait_for("an end", || fs::read_to_string(site.hook("ended")).ok().filter(|said| said.ends_with('\n')));
    assert_eq!(said, "4.4.2 fog: the mail was cut off75\n");
    site.here.run_queue(false);
    site.check_arrival(large, "html");

    // fog is killed when the node may have the mail or not: Exim brings it again, and it is known.
    let plain = named("plain text");
    site.network.signal_node(0, "STOP");
    site.send(plain);
    let fog = wait_for("fog send", || site.here.process("send --bsmtp"));
    site.here.kill(&fog);
    wait_for("a deferral", || site.deferred().then_some(()));
    site.network.signal_node(0, "CONT");
    site.check_arrival_later(plain, "plain", || site.here.run_queue(false));
    assert_eq!(site.here.queue(), "");
    for local in ["html", "plain"] {
        assert_eq!(site.there.mailbox(local).len(), 1, "{local} got a copy");
    }
    assert!(site.here.mailbox("ann").is_empty(), "Exim bounced");
}

#[test]
fn several_recipients_of_a_batch_each_get_a_mail_of_their_own() {
    let Some(dir) = scratch() else { return };
    let letters = letters(dir.path());
    let letter = letters.iter().find(|letter| letter.name == "several recipients").unwrap();
    let site =
        Site::start_by(dir.path(), &letters, Layout::Unsplit, &[("  use_bsmtp\n", "  use_bsmtp\n  batch_max = 50\n")]);
    site.send(letter);
    for local in letter.to {
        site.check_arrival(letter, local);
    }
    assert_eq!(fs::read_to_string(site.hook("runs")).unwrap(), "x", "one run for all three");
    assert_eq!(site.here.queue(), "");
    site.nothing_here_names(THERE);
}

#[test]
fn a_full_disk_lets_mail_wait_where_it_is() {
    let Some(dir) = scratch() else { return };
    let letters = letters(dir.path());
    let large = letters.iter().find(|letter| letter.name.contains("3 MB")).unwrap();
    let mut site = Site::start(dir.path(), &letters, Layout::Split);

    // The node's disk. It says so before a commit meets the end of it; if one does, the node ends, and is started again.
    site.network.kill_node(0);
    site.network.put_on_small_disk(0, 256 << 20);
    site.network.start_node(0);
    let ballast = site.network.spool_seen_by(0).join("ballast");
    let mut filled = fs::File::create(&ballast).unwrap();
    while filled.write_all(&[0; 4096]).is_ok() {}
    drop(filled);
    site.send(large);
    wait_for("a deferral", || site.deferred().then_some(()));
    assert!(site.here.mailbox("ann").is_empty(), "Exim bounced");
    assert!(site.there.mailbox("html").is_empty(), "it was taken");
    fs::remove_file(&ballast).unwrap();
    wait_for("the mail", || {
        site.network.start_node_if_it_has_ended(0);
        site.here.run_queue(false);
        site.there.mailbox("html").pop()
    });
    site.check_arrival(large, "html");
    assert_eq!(site.there.mailbox("html").len(), 1, "a copy");

    // Exim's own: it takes nothing that it can't keep, and the mail program is told to come again.
    site.here.stop();
    run(&mut site.here.inside(&["mount", "-t", "tmpfs", "-o", "size=1m,mode=1777", "tmpfs", "/var/spool/exim4"]));
    site.here.start();
    let refused = site.here.swaks(large.from, &["html@dest.invalid.fog"], &large.mail).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stdout);
    assert!(!refused.status.success() && said.contains("<** 452 "), "{said}");
}

#[test]
fn a_mail_goes_out_by_the_sendmail_of_exim_whole_and_as_one() {
    let Some(dir) = scratch() else { return };
    let mut there = Exim::new(dir.path(), "there", THERE, &["plain"], Layout::Split);
    there.start();
    let program = there.sendmail(dir.path());
    let (from, to) = ("anonymous@exit.invalid", format!("plain@{THERE}"));
    let mail = format!("From: {from}\r\nTo: {to}\r\nSubject: x\r\n\r\n.\r\n..\r\n.x\r\nFrom here\r\nQUIT\r\n");
    let (from, to) = (Address::parse(from).unwrap(), Address::parse(&to).unwrap());
    let envelope = Envelope { from: Some(&from), to: &to, mail: mail.as_bytes() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let handed = runtime.block_on(hand_over(&Deliver::Sendmail(program), envelope, &Patience::default())).unwrap();
    assert_eq!(handed, Disposition::Delivered);
    let raw = String::from_utf8(wait_for("the mail", || there.mailbox("plain").pop())).unwrap();
    assert!(raw.starts_with("Return-path: <anonymous@exit.invalid>\n"), "{raw}");
    assert!(!raw.contains("Sender:"), "{raw}");
    assert!(raw.ends_with("\n\n.\n..\n.x\nFrom here\nQUIT\n"), "{raw}");
    assert_eq!((there.mailbox("plain").len(), there.queue()), (1, String::new()));
}

/// A mail to the door, whose recipient no MTA on the way reads.
const QUIET: &str =
    "From: ann@home.invalid\nTo: anon@fog.invalid\nAnon-To: quiet@dest.invalid\nSubject: Quiet\n\nHello.\n";

/// In front of `fog send --bsmtp`: counts its runs, and holds one back in the middle of a mail when told to.
const HOOK: &str = r#"#!/bin/sh
cd HOOKS
printf x >> runs
[ -e hold ] || exec FOG
rm hold
head -c 100000 > part
cut -d" " -f4 /proc/$PPID/stat > caught
until [ -e go ]; do sleep 0.1; done
(cat part; cat) | FOG > said
code=$?
echo "$(cat said)$code" > ended
exit $code
"#;

const HERE: &str = "home.invalid";
const THERE: &str = "dest.invalid";

/// Somebody's Exim, a network, and somebody else's Exim.
pub(crate) struct Site {
    pub(crate) here: Exim,
    pub(crate) network: Network,
    there: Exim,
    hooks: PathBuf,
}

impl Site {
    fn start(dir: &Path, letters: &[Letter], layout: Layout) -> Self {
        Self::build(dir, letters, layout, |fog| vec![("/usr/local/bin/fog send --bsmtp".to_owned(), fog.to_owned())])
    }

    /// As `start`, with Exim set up by `fog setup`.
    pub(crate) fn start_as_set_up(dir: &Path, letters: &[Letter], layout: Layout) -> Self {
        Self::build(dir, letters, layout, |_| Vec::new())
    }

    /// As `start`, with [`HOOK`] in front, and `pairs` changed in the transport.
    fn start_by(dir: &Path, letters: &[Letter], layout: Layout, pairs: &[(&str, &str)]) -> Self {
        Self::build(dir, letters, layout, |fog| {
            let (hooks, hook) = (dir.join("hooks"), dir.join("hook"));
            fs::create_dir(&hooks).unwrap();
            chown(&hooks, Some(FOG_MTA), None).unwrap();
            fs::write(&hook, with(HOOK, &[("HOOKS", hooks.to_str().unwrap()), ("FOG", fog)])).unwrap();
            fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
            let own = ("/usr/local/bin/fog send --bsmtp".to_owned(), hook.to_str().unwrap().to_owned());
            pairs.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).chain([own]).collect()
        })
    }

    fn build(
        dir: &Path,
        letters: &[Letter],
        layout: Layout,
        pairs: impl FnOnce(&str) -> Vec<(String, String)>,
    ) -> Self {
        let mut users: Vec<&str> = letters.iter().flat_map(|letter| letter.to.iter().copied()).collect();
        users.push("quiet");
        let mut there = Exim::new(dir, "there", THERE, &users, Layout::Unsplit);
        there.start();
        let network = Network::start(dir, NOBODY, NODES, &format!("smtp:127.0.0.1:{}", there.port()));
        // `fog-mta` is another user than the node's, and may use the socket by its group, as in fog-node(8).
        fs::set_permissions(dir.join("n1/run"), fs::Permissions::from_mode(0o755)).unwrap();
        let mut here = Exim::new(dir, "here", HERE, &["ann", "björn"], layout);
        let fog = format!("{} --config {} send --bsmtp", network.fog().display(), network.config(0).display());
        let pairs = pairs(&fog);
        if pairs.is_empty() {
            let config = network.config(0);
            let done = here.setup(network.fog(), &["exim", "--apply", "--config", config.to_str().unwrap()]);
            assert!(done.status.success(), "{done:?}");
            here.start();
            return Self { here, network, there, hooks: dir.join("hooks") };
        }
        here.add_fog(&pairs.iter().map(|(from, to)| (from.as_str(), to.as_str())).collect::<Vec<_>>());
        here.start();
        Self { here, network, there, hooks: dir.join("hooks") }
    }

    fn send(&self, letter: &Letter) {
        let to: Vec<String> = letter.to.iter().map(|local| format!("{local}@{THERE}.fog")).collect();
        self.here.submit(letter.from, &to.iter().map(String::as_str).collect::<Vec<_>>(), &letter.mail);
    }

    fn check_arrival(&self, letter: &Letter, local: &str) {
        self.check_arrival_later(letter, local, || {});
    }

    /// Waits for a letter, doing `meanwhile` again and again.
    fn check_arrival_later(&self, letter: &Letter, local: &str, meanwhile: impl Fn()) {
        let raw = wait_for(letter.name, || {
            meanwhile();
            self.there.mailbox(local).pop()
        });
        let mail = Arrived { recipient: format!("{local}@{THERE}"), raw };
        mail.check_clean(letter.from);
        (letter.check)(&mail);
    }

    /// Whether a mail waits because fog said so.
    fn deferred(&self) -> bool {
        self.here.kept().iter().any(|(path, told)| in_dir(path, "msglog") && contains(told, "returned 75"))
    }

    /// What [`HOOK`] reads and writes.
    fn hook(&self, name: &str) -> PathBuf {
        self.hooks.join(name)
    }

    /// Looks at all that the entry's Exim keeps: logs, spool, hints.
    fn nothing_here_names(&self, text: &str) {
        let kept = self.here.kept();
        assert!(kept.iter().any(|(path, _)| path.ends_with("log/exim4/mainlog")), "this isn't all of it");
        for (path, bytes) in kept {
            assert!(!contains(&bytes, text), "{} names {text}:\n{}", path.display(), String::from_utf8_lossy(&bytes));
        }
    }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

fn in_dir(path: &Path, dir: &str) -> bool {
    path.parent().is_some_and(|parent| parent.ends_with(dir))
}

/// A directory that everybody may enter; none, if there is no way to run an Exim here and nobody insists.
fn scratch() -> Option<TempDir> {
    mta::scratch(&instance::missing())
}
