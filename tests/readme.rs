//! What the README tells people to type is typed: its network of four nodes carries a letter, its example networks can be
//! founded, and all that somebody who knew the earlier program looks for is there.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops at the first surprise")]

use std::fs;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

const FOG: &str = env!("CARGO_BIN_EXE_fog");

/// How often it is looked for the letter, five times a second: it takes seconds by the delays of that network, and more where
/// the machine is busy.
const LOOKS: u32 = 1200;

/// The chapter whose commands are typed, and whose figures are held against what they print.
const SIMULATE: &str = "### Simulate a network";

#[test]
fn the_network_of_the_readme_carries_a_letter() {
    let dir = tempfile::tempdir().unwrap();
    let mut script = code_under("### Try it without any of this");
    let ports: Vec<_> = (0..4).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    for (written, port) in ["7101", "7102", "7103", "7104"].iter().zip(&ports) {
        assert!(script.contains(written), "{script}");
        script = script.replace(written, &port.local_addr().unwrap().port().to_string());
    }
    drop(ports);
    // A person copies the fingerprint out of what the first command prints.
    let (founding, rest) = script.split_once("\nfog init --join").unwrap();
    let rest = rest.replace("FINGERPRINT", "$trust");
    let copied = "trust=$(grep -o '[0-9a-f]\\{64\\}' founded | head -n 1)";
    let script = format!(
        "set -e; fog() {{ \"$FOG\" \"$@\"; }}\n{founding} > founded\n{copied}\nfog init --join{rest}\necho done > done\nwait\n"
    );
    let mut shell = Command::new("bash");
    shell.arg("-c").arg(&script).current_dir(dir.path()).env("FOG", FOG).process_group(0);
    let out = fs::File::create(dir.path().join("out")).unwrap();
    let mut all = Group(shell.stdout(out.try_clone().unwrap()).stderr(out).spawn().unwrap());
    let inbox = dir.path().join("news/INBOX/new");
    let letter = all.wait_for(|| fs::read_dir(&inbox).ok()?.next()?.ok().map(|entry| entry.path()));
    let said = fs::read_to_string(dir.path().join("out")).unwrap();
    let letter = fs::read_to_string(letter.unwrap_or_else(|| panic!("{said}"))).unwrap();
    drop(all);
    assert!(dir.path().join("done").exists(), "{said}");
    assert!(letter.contains("\nTo: alice@example.com\n") && letter.contains("\nSubject: Hello\n"), "{letter}");
    assert!(said.contains("can send        yes: "), "{said}");
}

#[test]
fn the_example_networks_of_the_readme_can_be_founded() {
    let text = readme().replace("\\\n", " ");
    let lines: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("    fog init --new-network ")).collect();
    let examples = lines.iter().filter(|line| line.contains("192.0.2.1:9999"));
    let mut founded = 0;
    for line in examples {
        let dir = tempfile::tempdir().unwrap();
        let node = dir.path().join("node").display().to_string();
        let arguments = ["-q", "init", "--new-network", "--dir", &node].into_iter().chain(line.split_whitespace());
        let output = Command::new(FOG).args(arguments).output().unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        let draft = fs::read_to_string(dir.path().join("node/spool/directory.draft")).unwrap();
        for set in line.split_whitespace().filter_map(|word| word.strip_prefix("network.")) {
            let (key, value) = set.split_once('=').unwrap();
            assert!(draft.contains(&format!("\n{key} = \"{value}\"\n")), "{set} in\n{draft}");
        }
        founded += 1;
    }
    assert_eq!(founded, 3, "high anonymity, medium, low latency");
}

#[test]
fn the_simulation_of_the_readme_says_what_is_shown_and_writes_its_files() {
    let dir = tempfile::tempdir().unwrap();
    let script = format!("set -e; fog() {{ \"$FOG\" \"$@\"; }}\n{}", code_under(SIMULATE));
    let typed = Command::new("bash").arg("-c").arg(&script).current_dir(dir.path()).env("FOG", FOG).output().unwrap();
    assert!(typed.status.success(), "{}", String::from_utf8_lossy(&typed.stderr));
    let text = readme();
    let shown = text.split(SIMULATE).nth(1).and_then(|section| section.split("```\n").nth(1)).unwrap();
    let printed = String::from_utf8(typed.stdout).unwrap();
    assert!(printed.starts_with(shown), "shown:\n{shown}\nprinted:\n{printed}");
    let file = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
    let told: serde_json::Value = serde_json::from_str(&file("friends.json")).unwrap();
    let guess = format!("{:.1} %", told["observer"]["guess"].as_f64().unwrap() * 100.0);
    assert!(shown.contains(&format!("from one mail               {guess}")), "{guess}");
    let (csv, svg) = (file("friends.csv"), file("friends.svg"));
    // What comes after one mail and after several, and what bad nodes know.
    let rows = shown.lines().filter(|line| line.starts_with("from ")).count();
    assert_eq!(csv.lines().count(), rows + 1, "{csv}");
    assert!(csv.starts_with("bad,k,samples,") && svg.starts_with("<svg "), "{csv}\n{svg}");
}

#[test]
fn what_a_reader_of_the_earlier_readme_looks_for_has_a_heading() {
    let text = readme();
    let headings: Vec<_> =
        text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim()).collect();
    for wanted in [
        "Features",
        "Security guarantees",
        "Quick start",
        "Prerequisites",
        "Installation",
        "Users and directories",
        "Node identity",
        "Tor onion service",
        "Join a network",
        "Services",
        "Usage",
        "Send anonymous mail",
        "Post to Usenet",
        "Configuration",
        "Command line flags",
        "Delay strategies",
        "Example networks",
        "Monitoring",
        "Network information",
        "Troubleshooting",
        "Contributing",
        "Run a node",
        "Development",
        "Issues",
        "Security vulnerabilities",
        "Documentation",
        "How it works",
        "License",
        "Acknowledgments",
        "Contact",
        "Disclaimer",
    ] {
        assert!(headings.iter().any(|heading| heading.starts_with(wanted)), "{wanted} in {headings:?}");
    }
}

/// A shell and all that it has started, which end with it.
struct Group(Child);

impl Group {
    /// What `look` finds; none if it takes too long, or a command has failed and the shell with it.
    fn wait_for<T>(&mut self, look: impl Fn() -> Option<T>) -> Option<T> {
        (0..LOOKS).take_while(|_| self.0.try_wait().unwrap().is_none()).find_map(|_| {
            std::thread::sleep(Duration::from_millis(200));
            look()
        })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let group = format!("-{}", self.0.id());
        drop(Command::new("kill").args(["-KILL", "--", &group]).status());
        drop(self.0.wait());
    }
}

/// The first block of commands under a heading.
fn code_under(heading: &str) -> String {
    let text = readme();
    let section = text.split(heading).nth(1).unwrap();
    let lines = section.lines().skip_while(|line| !line.starts_with("    "));
    lines.map_while(|line| line.strip_prefix("    ")).collect::<Vec<_>>().join("\n")
}

fn readme() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap()
}
