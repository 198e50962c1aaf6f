//! `fog block` as an operator types it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests: a failure is to stop them")]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const FOG: &str = env!("CARGO_BIN_EXE_fog");

fn fog(dir: &Path, args: &[&str], stdin: &str) -> Output {
    let mut fog = Command::new(FOG);
    fog.arg("-c").arg(dir.join("fog.toml")).args(args);
    let mut fog = fog.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A command that refuses its arguments reads nothing.
    let _ = fog.stdin.take().unwrap().write_all(stdin.as_bytes());
    fog.wait_with_output().unwrap()
}

fn said(output: &Output) -> (i32, String) {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

/// A configuration and keys, as `fog init` makes them.
fn founded() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let init = ["init", "--new-network", "--name", "kvara", "--onion", "127.0.0.1:7001", "--dir"];
    let init = Command::new(FOG).args(init).arg(dir.path()).output().unwrap();
    assert!(init.status.success(), "{}", String::from_utf8_lossy(&init.stderr));
    dir
}

#[test]
fn who_asks_for_it_is_on_the_list_until_they_ask_again_and_is_named_nowhere() {
    let dir = founded();
    let block = |args: &[&str], stdin: &str| said(&fog(dir.path(), args, stdin));
    let (code, text) = block(&["block", "list"], "");
    assert!(code == 0 && text.starts_with("nobody is on the list\n  ->  fog -c "), "{text}");

    let (code, text) = block(&["block", "add"], "Alice@Example.com\n\n@example.org\n");
    assert!(code == 0 && text.starts_with("2 added; 2 on the list\n"), "{text}");
    let (code, text) = block(&["block", "add", "--json"], "alice+x@example.com\n");
    assert_eq!((code, text.as_str()), (0, "{\"added\":0,\"entries\":2,\"v\":1}\n"));

    let (_, list) = block(&["block", "list", "--json"], "");
    let entries: Vec<serde_json::Value> = list.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((entries.len(), entries[0]["hash"].as_str().unwrap().len()), (2, 32));
    let file = fs::read_to_string(dir.path().join("block")).unwrap();
    assert!(!(list + &file).to_lowercase().contains("example"), "{file}");

    let (code, text) = block(&["block", "remove"], "bob@example.com\n");
    assert!(code == 1 && text.contains("none of them was on the list"), "{text}");
    let (code, text) = block(&["block", "remove"], "alice@example.com\nbob@example.com\n");
    assert!(code == 0 && text.starts_with("1 removed, 1 not there; 1 on the list\n"), "{text}");
}

#[test]
fn a_file_is_taken_whole_or_not_at_all() {
    let dir = founded();
    let path = dir.path().join("wishes");
    let import = || said(&fog(dir.path(), &["block", "import", path.to_str().unwrap()], ""));
    assert_eq!(import().0, 66);
    fs::write(&path, "# from the old node\nalice@example.com\nbob\n").unwrap();
    let (code, text) = import();
    assert!(code == 67 && text.contains("wishes, line 3: ") && !text.contains("bob"), "{text}");
    assert!(!dir.path().join("block").exists());
    fs::write(&path, "# from the old node\nalice@example.com\n\n@example.org\n").unwrap();
    let (code, text) = import();
    assert!(code == 0 && text.starts_with("2 added; 2 on the list\n"), "{text}");
}

#[test]
fn what_can_not_be_gone_by_says_what_to_do() {
    let dir = founded();
    let block = |args: &[&str], stdin: &str| said(&fog(dir.path(), args, stdin));
    // Anybody on the machine could read it there.
    assert_eq!(block(&["block", "add", "alice@example.com"], "").0, 64);
    let (code, text) = block(&["block", "add"], "");
    assert!(code == 66 && text.contains("echo alice@example.com | fog block add"), "{text}");
    assert_eq!(block(&["block", "add"], "alice@example.com\n").0, 0);
    let list = fs::read_to_string(dir.path().join("block")).unwrap();

    let other = founded();
    fs::write(other.path().join("block"), &list).unwrap();
    let (code, text) = said(&fog(other.path(), &["block", "list"], ""));
    assert!(code == 78 && text.contains("another node key") && text.contains("\n  ->  "), "{text}");
    fs::write(dir.path().join("block"), list + "bob@example.com\n").unwrap();
    let (code, text) = block(&["block", "add"], "alice@example.com\n");
    assert!(code == 78 && text.contains("line 3: not as fog block writes it"), "{text}");
    // A node that does not know who asked must not run.
    let (code, text) = block(&["node"], "");
    assert!(code == 78 && text.contains("who is not to be written to can't be read"), "{text}");
}
