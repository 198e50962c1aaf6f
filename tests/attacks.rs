//! Each line of the table of attacks in docs/threat-model.md has a test named after it, and a patch in `tests/attacks/`
//! that takes the defence away and still applies. That the test fails then is seen by `make attacks`, which takes long.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test stops at the first surprise")]
#![allow(clippy::disallowed_methods, reason = "git says whether a patch applies")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What stands before the first dash of a patch's name: a line of the table, or `rule`.
fn line_of(patch: &Path) -> String {
    patch.file_stem().unwrap().to_str().unwrap().split('-').next().unwrap().to_owned()
}

/// The lines of the table.
fn lines() -> BTreeSet<String> {
    let model = fs::read_to_string(root().join("docs/threat-model.md")).unwrap();
    let table = model.split("| # | attack |").nth(1).expect("the table of attacks");
    let rows = table.lines().skip(2).take_while(|row| row.starts_with('|'));
    rows.map(|row| row.split('|').nth(1).unwrap().trim().to_owned()).collect()
}

fn patches() -> Vec<PathBuf> {
    let files = fs::read_dir(root().join("tests/attacks")).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "patch")).collect()
}

/// The source files under `dir`.
fn sources(dir: &Path, found: &mut BTreeMap<PathBuf, String>) {
    for path in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.insert(path.strip_prefix(root()).unwrap().to_owned(), fs::read_to_string(&path).unwrap());
        }
    }
}

fn all_sources() -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    ["src", "tests"].iter().for_each(|dir| sources(&root().join(dir), &mut found));
    found
}

/// The lines of the table that tests are named after.
fn lines_with_tests(sources: &BTreeMap<PathBuf, String>) -> BTreeSet<String> {
    let names = sources.values().flat_map(|text| text.split("fn attack_").skip(1));
    let line = |name: &str| name.split('_').next().unwrap().to_owned();
    let is_line = |line: &String| line.starts_with(|c: char| c.is_ascii_digit());
    names.map(line).filter(is_line).collect()
}

/// The words of a patch before its diff, and the test that it names.
fn head(patch: &Path) -> (String, Vec<String>) {
    let text = fs::read_to_string(patch).unwrap();
    let head = text.split("diff --git ").next().unwrap();
    let (words, test) = head.split_once("\nTest: ").unwrap_or_else(|| panic!("{} names no test", patch.display()));
    (words.trim().to_owned(), test.split_whitespace().map(str::to_owned).collect())
}

/// Whether the test that a patch names stands where it says: `--lib path::of::the::test` or `--test file test`.
fn is_there(test: &[String], sources: &BTreeMap<PathBuf, String>) -> bool {
    let (target, name) = match test {
        [lib, path] if lib == "--lib" => ("src/".to_owned(), path.rsplit("::").next().unwrap()),
        [option, file, path] if option == "--test" => (format!("tests/{file}"), path.rsplit("::").next().unwrap()),
        _ => return false,
    };
    let holds = |(path, text): (&PathBuf, &String)| {
        path.to_str().unwrap().starts_with(&target) && text.contains(&format!("fn {name}("))
    };
    sources.iter().any(holds)
}

#[test]
fn every_attack_in_the_threat_model_has_a_test_and_a_patch_and_no_test_has_none() {
    let (lines, tested) = (lines(), lines_with_tests(&all_sources()));
    assert!(lines.contains("1") && lines.contains("16"), "the table was not understood: {lines:?}");
    assert_eq!(lines, tested, "lines of the table, and lines with a test attack_LINE_...");
    let patched: BTreeSet<_> = patches().iter().map(|path| line_of(path)).filter(|line| line != "rule").collect();
    assert_eq!(lines, patched, "lines of the table, and lines with a patch tests/attacks/LINE-....patch");
}

#[test]
fn every_patch_says_what_it_takes_away_and_names_a_test_of_its_line() {
    let sources = all_sources();
    for patch in patches() {
        let (words, test) = head(&patch);
        assert!(words.len() > 20, "{} does not say what it takes away", patch.display());
        assert!(is_there(&test, &sources), "{}: there is no test {}", patch.display(), test.join(" "));
        let (line, name) = (line_of(&patch), test.last().unwrap().rsplit("::").next().unwrap());
        assert!(line == "rule" || name.starts_with(&format!("attack_{line}_")), "{}: {name}", patch.display());
    }
}

#[test]
fn every_patch_still_applies() {
    for patch in patches() {
        let git = Command::new("git").args(["apply", "--check"]).arg(&patch).current_dir(root()).output().unwrap();
        let why = String::from_utf8_lossy(&git.stderr);
        assert!(git.status.success(), "the defence has moved, and its patch has to follow: {}\n{why}", patch.display());
    }
}
