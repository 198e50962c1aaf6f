//! What Postfix's tables answer for addresses of the network: asked of the tables themselves, for no list of words says
//! what a regular expression or a database matches.

use super::super::main_cf::members;
use super::output;
use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

/// Somebody in the network, for whom a table has no entry of their own.
fn somebody(suffix: &str) -> String {
    format!("somebody@example.com.{suffix}")
}

/// As transport(5) looks: the address, its domain, and what the domain lies in.
pub(super) fn route_keys(suffix: &str) -> Vec<String> {
    vec![somebody(suffix), format!("example.com.{suffix}"), format!(".com.{suffix}"), format!(".{suffix}")]
}

/// As a list of domains is looked at: the domain, and what it lies in, with and without a dot in front.
pub(super) fn domain_keys(suffix: &str) -> Vec<String> {
    ["example.com.", "com.", ".com.", "", "."].map(|before| format!("{before}{suffix}")).into()
}

/// As virtual(5) and canonical(5) look: the address, and its domain with an @ in front.
pub(super) fn address_keys(suffix: &str) -> Vec<String> {
    vec![somebody(suffix), format!("@example.com.{suffix}")]
}

/// The first answer that the tables of `list` have for one of `keys`.
pub(super) fn answer(dir: &Path, list: &str, keys: &[String]) -> io::Result<Option<String>> {
    for table in members(list) {
        for key in keys {
            if let Some(answer) = ask(dir, &table, key)? {
                return Ok(Some(answer));
            }
        }
    }
    Ok(None)
}

fn ask(dir: &Path, table: &str, key: &str) -> io::Result<Option<String>> {
    if table.starts_with('/') {
        // A file of domains, which only some lists may have.
        let text = fs::read_to_string(table).unwrap_or_default();
        return Ok(text.split_whitespace().find(|word| *word == key).map(str::to_owned));
    }
    if !table.contains(':') {
        return Ok(None);
    }
    let answer = output(Command::new("postmap").arg("-c").arg(dir).args(["-q", key, table]))?;
    Ok(Some(String::from_utf8_lossy(&answer.stdout).trim().to_owned()).filter(|answer| !answer.is_empty()))
}
