//! What fog is built from: every crate's licence and source is in the allow list of `deny.toml`.
//!
//! `cargo deny` says the same and more, but takes longer to build than fog itself; the list is one, so both can be used.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops at the first surprise")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn every_crate_has_an_allowed_licence() {
    let allowed = allowed();
    let metadata = metadata();
    let packages = metadata["packages"].as_array().unwrap();
    let refused: Vec<String> = packages
        .iter()
        .map(|package| (package["name"].as_str().unwrap(), package["license"].as_str().unwrap_or("none stated")))
        .filter(|(_, licence)| !is_allowed(licence, &allowed))
        .map(|(name, licence)| format!("{name}: {licence}"))
        .collect();
    assert!(packages.len() > 50 && refused.is_empty(), "not in deny.toml [licenses] allow: {refused:#?}");
}

#[test]
fn every_crate_comes_from_the_one_registry_and_is_not_banned() {
    let lock: toml::Table = read("Cargo.lock");
    let deny: toml::Table = read("deny.toml");
    let banned: Vec<&str> =
        deny["bans"]["deny"].as_array().unwrap().iter().map(|entry| entry["name"].as_str().unwrap()).collect();
    let mut sources = BTreeSet::new();
    for package in lock["package"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        assert!(!banned.contains(&name), "{name} is banned in deny.toml: {}", deny["bans"]["deny"]);
        match package.get("source") {
            Some(source) => drop(sources.insert(source.as_str().unwrap().to_owned())),
            None => assert_eq!(name, "fog", "a crate from a path"),
        }
    }
    assert!(sources.len() == 1 && sources.iter().all(|source| source.starts_with("registry+")), "{sources:?}");
}

#[test]
fn a_licence_expression_needs_one_side_of_or_and_both_of_and() {
    let allowed = ["MIT".to_owned(), "ISC".to_owned(), "Apache-2.0 WITH LLVM-exception".to_owned()];
    for (expression, want) in [
        ("MIT", true),
        ("MIT OR SSPL-1.0", true),
        ("SSPL-1.0/MIT", true),
        ("MIT AND SSPL-1.0", false),
        ("MIT AND ISC", true),
        ("(MIT OR SSPL-1.0) AND ISC", true),
        ("(SSPL-1.0 OR X) AND ISC", false),
        ("Apache-2.0 WITH LLVM-exception", true),
        ("Apache-2.0", false),
    ] {
        assert_eq!(is_allowed(expression, &allowed), want, "{expression}");
    }
}

/// Whether `expression` (SPDX, or the older `A/B`) can be met by `allowed` alone.
fn is_allowed(expression: &str, allowed: &[String]) -> bool {
    let expression = expression.trim().replace('/', " OR ");
    let inner = expression.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
    if let Some(inner) = inner.filter(|inner| !inner.contains('(')) {
        return is_allowed(inner, allowed);
    }
    // AND binds tighter than OR, so OR is taken apart first.
    let parts = outside_brackets(&expression, " OR ");
    if parts.len() > 1 {
        return parts.iter().any(|part| is_allowed(part, allowed));
    }
    let parts = outside_brackets(&expression, " AND ");
    if parts.len() > 1 {
        return parts.iter().all(|part| is_allowed(part, allowed));
    }
    allowed.iter().any(|licence| licence.as_str() == expression.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// `text` cut at every `word` that stands in no bracket.
fn outside_brackets(text: &str, word: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    for piece in text.split(word) {
        let last = parts.last_mut().unwrap();
        if last.matches('(').count() > last.matches(')').count() {
            last.push_str(word);
            last.push_str(piece);
        } else if last.is_empty() {
            last.push_str(piece);
        } else {
            parts.push(piece.to_owned());
        }
    }
    parts
}

fn allowed() -> Vec<String> {
    let deny: toml::Table = read("deny.toml");
    deny["licenses"]["allow"].as_array().unwrap().iter().map(|licence| licence.as_str().unwrap().to_owned()).collect()
}

fn read(name: &str) -> toml::Table {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap().parse().unwrap()
}

/// What cargo knows of the crates that are built here, for this machine alone: others need not have been fetched.
fn metadata() -> serde_json::Value {
    let rustc = Command::new("rustc").arg("-vV").output().unwrap();
    let host = String::from_utf8(rustc.stdout).unwrap();
    let host = host.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    let cargo = Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--offline", "--format-version", "1", "--filter-platform", host])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(cargo.status.success(), "{}", String::from_utf8_lossy(&cargo.stderr));
    serde_json::from_slice(&cargo.stdout).unwrap()
}
