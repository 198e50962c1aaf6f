//! What the earlier program called its PKI: a file of nodes without signatures, as a list of people to ask.
//!
//! Nothing in it is believed and nothing is written: whoever had the file, or gossiped with who had it, could have put
//! any key under any name. Its keys are of another kind anyway. What is left is who took part, and under which onion.

use super::super::error::CliError;
use super::super::words::{candidate, io_trouble};
use super::Told;
use crate::config::Config;
use crate::directory::{Contents, NodeAddress, Signed};
use crate::sys::exit_code::ExitCode;
use crate::sys::file;
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

/// Longest file that is read.
const MAX_FILE: u64 = 4 << 20;
/// The longest name and address that are shown.
const SHOWN: usize = 70;

/// What is read of a node; keys, versions and health are not.
#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    name: String,
    #[serde(default)]
    address: String,
}

/// Lists who is in the file at `path`.
pub(super) fn import(path: &Path, config: &Config) -> Result<Told, CliError> {
    let text = file::read_text(path, MAX_FILE).map_err(|error| io_trouble(path, &error))?;
    let entries: BTreeMap<String, Option<Entry>> = serde_json::from_str(&text).map_err(|error| {
        CliError::new(ExitCode::Data, format!("{} is no nodes.json", path.display()))
            .found(format!("{error}; wanted: {{\"ID\": {{\"name\": ..., \"address\": ...}}, ...}}"))
            .try_("take the file that the earlier program was started with (-pki-file)")
    })?;
    let document = candidate(&config.spool.document())?;
    let contents = document.as_ref().map(|document| document.contents());
    let mut people: Vec<_> = entries.into_values().flatten().map(|entry| Person::of(&entry, contents)).collect();
    people.sort_by(|a, b| (&a.name, &a.address).cmp(&(&b.name, &b.address)));
    people.dedup_by(|a, b| (&a.name, &a.address) == (&b.name, &b.address));
    Ok(told(path, &people))
}

/// Somebody to ask.
struct Person {
    name: String,
    address: String,
    what: &'static str,
}

impl Person {
    fn of(entry: &Entry, contents: Option<&Contents>) -> Self {
        let known = contents.into_iter().flat_map(|contents| contents.nodes.values()).map(Signed::descriptor);
        let host = entry.address.rsplit_once(':').map_or(entry.address.as_str(), |(host, _)| host);
        // It was written with and without its port.
        let onion = NodeAddress::parse(&format!("{host}:1")).is_ok_and(|address| address.is_onion());
        let mut known = known.filter(|node| node.address.host() == host || node.name == entry.name);
        let what = match known.next() {
            Some(node) if node.address.host() == host => "here",
            Some(_) => "name taken",
            None if onion => "ask",
            None => "no onion",
        };
        Self { name: printable(&entry.name), address: printable(&entry.address), what }
    }
}

/// What a stranger wrote, so that it can do nothing to a terminal.
fn printable(text: &str) -> String {
    let shown = text.chars().map(|c| if c.is_ascii_graphic() { c } else { '?' });
    let shown: String = shown.take(SHOWN).collect();
    if shown.is_empty() { "?".into() } else { shown }
}

fn told(path: &Path, people: &[Person]) -> Told {
    let mut words = String::new();
    let mut line = |line: std::fmt::Arguments<'_>| writeln!(words, "{line}").expect("a String takes all");
    for Person { name, address, what } in people {
        line(format_args!("{what:<11}{name:<20} {address}"));
    }
    let count = people.iter().filter(|person| person.what == "ask").count();
    line(format_args!("{} nodes in {}, {count} of them to ask; nothing was taken over.", people.len(), path.display()));
    line(format_args!("Ask each operator, by a way you trust, for what this prints there:\n  ->  fog node-info"));
    let people: Vec<_> = people.iter().map(|p| json!({"name": p.name, "address": p.address, "what": p.what})).collect();
    Told { words, json: json!({"v": 1, "people": people}) }
}
