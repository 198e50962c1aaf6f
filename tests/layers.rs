//! The layers of `src/lib.rs` hold: who may import whom, and who may touch the outside.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops at the first surprise")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Sideways edges inside a layer; every other one is refused. The left side is a module, the right side a path prefix.
const SIDEWAYS: &[(&str, &str)] = &[
    ("time", "id"),
    ("message", "sphinx::geometry"),
    ("message", "mail::address"),
    ("link", "sphinx::geometry"),
    ("directory", "sphinx::xwing"),
    ("directory", "mail::address"),
    ("mix", "directory"),
    ("mix", "mail::address"),
    ("config", "mail::address"),
    ("config", "mail::news"),
    ("config", "directory"),
    ("config", "mix"),
    ("submit", "mail::address"),
    ("delivery", "mail::address"),
    ("node", "sys"),
    ("mta", "sys"),
];

/// Paths into the outside world: the prefix, the modules that may use it whatever their layer, and the lowest layer
/// that may use it (6: none).
const OUTSIDE: &[(&str, &[&str], u8)] = &[
    ("tokio", &[], 4),
    ("std::net", &[], 4),
    ("std::os::unix::net", &[], 4),
    ("std::thread", &[], 4),
    ("std::process", &[], 4),
    ("std::env", &[], 4),
    ("log", &[], 4),
    ("syslog", &[], 4),
    ("std::fs", &["store"], 4),
    ("std::time::SystemTime::now", &["sys::clock"], 6),
    ("std::time::Instant::now", &["sys::clock"], 6),
    ("SystemTime::now", &["sys::clock"], 6),
    ("Instant::now", &["sys::clock"], 6),
    ("rand", &[], 4),
    ("rand::rng", &["sys::clock"], 6),
    ("rand::rngs::SysRng", &["sys::clock"], 6),
    ("getrandom", &["sys::clock"], 6),
];

#[test]
fn every_import_goes_down_a_layer() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let layers = layers(&fs::read_to_string(src.join("lib.rs")).unwrap());
    assert_eq!(layers.get("sphinx"), Some(&1), "the table in src/lib.rs was not understood");
    let mut files = Vec::new();
    rust_files(&src, &mut files);
    let tests = files_of_tests(&files);
    let mut found = Vec::new();
    for file in files.iter().filter(|file| !tests.contains(file)) {
        let module = module_of(file.strip_prefix(&src).unwrap());
        let text = without_tests(&without_comments(&fs::read_to_string(file).unwrap()));
        found.extend(
            breaches(&module, &text, &layers).into_iter().map(|breach| format!("{}: {breach}", file.display())),
        );
    }
    assert!(files.len() > 10 && found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn a_forbidden_edge_is_seen_in_every_spelling() {
    let layers = layers(
        "//! | L0 a | `id` |\n//! | L1 b | `sphinx` `mail` `message` `submit` |\n//! | L2 c | `store` |\n//! | L3 d | `engine` |\n//! | L4 e | `sys` `node` `mta` |\n",
    );
    for (module, line, count) in [
        ("message", "use crate::sphinx::geometry::BODY_LEN;", 0),
        ("message", "use crate::{id::SetId, sphinx::{geometry, build}};", 1),
        ("message", "fn f() { crate::store::open() }", 1),
        ("submit", "use super::mail::sanitize;", 1),
        ("mail::address", "use super::sanitize;", 0),
        ("mail::address", "use super::super::engine::Input;", 1),
        ("store", "use crate::mail::address::Address;", 1),
        ("store", "use std::{fs, net::TcpStream};", 1),
        ("mail", "use std::{fmt, fs};", 1),
        ("engine", "use tokio::sync::mpsc;", 1),
        ("engine", "fn f() { let now = Instant::now(); }", 1),
        ("mta::smtp", "use crate::node::dial;", 1),
        ("node", "use crate::sys::clock;", 0),
        ("node", "use crate::nowhere::thing;", 1),
        ("mail", "#[cfg(test)]\nmod tests {\n    use std::fs;\n    fn f() {}\n}\nuse std::env;", 1),
        ("mail", "// use std::fs;\nconst S: &str = \"std::fs::read\";", 0),
    ] {
        let found = breaches(module, &without_tests(&without_comments(line)), &layers);
        assert_eq!(found.len(), count, "{module}: {line}: {found:?}");
    }
}

/// Module to layer, from the table in the crate's documentation.
fn layers(lib: &str) -> BTreeMap<String, u8> {
    let mut layers = BTreeMap::new();
    for row in lib.lines().filter_map(|line| line.strip_prefix("//! | L")) {
        let layer = row.as_bytes()[0] - b'0';
        let modules = row.split('|').nth(1).unwrap_or_default();
        layers.extend(modules.split('`').skip(1).step_by(2).map(|module| (module.to_owned(), layer)));
    }
    layers
}

/// What in `text`, the source of `module`, the table forbids.
fn breaches(module: &str, text: &str, layers: &BTreeMap<String, u8>) -> Vec<String> {
    let own = module.split("::").next().unwrap_or_default();
    // lib.rs declares the modules; main.rs is the face.
    let layer = layers.get(own).copied().unwrap_or(5);
    let mut found = Vec::new();
    for path in paths(text) {
        if let Some((prefix, ..)) = OUTSIDE.iter().find(|(prefix, exempt, lowest)| {
            within(&path, prefix) && layer < *lowest && !exempt.iter().any(|allowed| within(module, allowed))
        }) {
            found.push(format!("{module} (L{layer}) may not use {prefix}"));
        }
        let Some(target) = absolute(module, &path) else { continue };
        let top = target.split("::").next().unwrap_or_default();
        let Some(&theirs) = layers.get(top) else {
            found.push(format!("{path}: {top} is in no layer of src/lib.rs"));
            continue;
        };
        let sideways = SIDEWAYS.iter().any(|(from, to)| *from == own && within(&target, to));
        // The store keeps bytes: it knows the words and nothing else.
        let down = theirs < layer && (own != "store" || theirs == 0);
        if top != own && layer < 5 && !sideways && !down {
            found.push(format!("{module} (L{layer}) may not import {target} (L{theirs})"));
        }
    }
    found
}

/// `path` from the crate's root, if it is one of ours.
fn absolute(module: &str, path: &str) -> Option<String> {
    if let Some(rest) = path.strip_prefix("crate::") {
        return Some(rest.to_owned());
    }
    let mut at: Vec<&str> = module.split("::").collect();
    let mut rest = path.strip_prefix("super::")?;
    at.pop();
    while let Some(further) = rest.strip_prefix("super::") {
        at.pop();
        rest = further;
    }
    at.push(rest);
    Some(at.join("::"))
}

/// Whether `path` is `prefix` or something inside it.
fn within(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Every path of two segments or more that `text` names, `{…}` groups taken apart.
fn paths(text: &str) -> Vec<String> {
    let (mut found, mut stack, mut path) = (Vec::new(), Vec::<String>::new(), String::new());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        if word > 0 {
            if !path.is_empty() && !path.ends_with("::") {
                path = stack.last().cloned().unwrap_or_default();
            }
            path.push_str(&rest[..word]);
            rest = &rest[word..];
            if path.contains("::") && !rest.starts_with("::") {
                found.push(path.clone());
            }
            continue;
        }
        if let Some(after) = rest.strip_prefix("::") {
            path.push_str("::");
            rest = after;
            continue;
        }
        match c {
            '{' => stack.push(if path.ends_with("::") { path.clone() } else { String::new() }),
            '}' => drop(stack.pop()),
            _ => {}
        }
        if !c.is_whitespace() || !path.ends_with("::") {
            path = stack.last().cloned().unwrap_or_default();
        }
        rest = &rest[c.len_utf8()..];
    }
    found
}

/// `text` without comments and without what stands in string and character literals.
fn without_comments(text: &str) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some(c) = rest.chars().next() {
        let skip = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(raw) = rest.strip_prefix("r#\"") {
            raw.find("\"#").map_or(rest.len(), |end| end + 5)
        } else if c == '"' {
            end_of_string(rest)
        } else if rest.starts_with("'\"'") || rest.starts_with("'{'") || rest.starts_with("'}'") {
            3
        } else {
            out.push(c);
            c.len_utf8()
        };
        rest = &rest[skip..];
    }
    out
}

/// Length of the string literal that `text` starts with.
fn end_of_string(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// `text` without the items under `#[cfg(test)]`.
fn without_tests(text: &str) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some(at) = rest.find("#[cfg(test)]") {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let mut depth = 0_usize;
        let end = rest.find(|c| {
            match c {
                '{' => depth += 1,
                '}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            (c == '}' || c == ';') && depth == 0
        });
        rest = &rest[end.map_or(rest.len(), |end| end + 1)..];
    }
    out + rest
}

/// The files that are modules under `#[cfg(test)]`.
fn files_of_tests(files: &[PathBuf]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for file in files {
        let text = fs::read_to_string(file).unwrap();
        for after in text.split("#[cfg(test)]").skip(1) {
            if let Some((name, _)) = after.trim_start().strip_prefix("mod ").and_then(|rest| rest.split_once(';')) {
                let dir = if file.ends_with("mod.rs") { file.with_file_name("") } else { file.with_extension("") };
                found.push(dir.join(name).with_extension("rs"));
            }
        }
    }
    found
}

/// `mail/address.rs` is `mail::address`, `mail/mod.rs` is `mail`.
fn module_of(file: &Path) -> String {
    let name = file.with_extension("").to_string_lossy().replace('/', "::");
    name.strip_suffix("::mod").unwrap_or(&name).to_owned()
}

fn rust_files(dir: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}
