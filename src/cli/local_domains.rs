//! The domains whose mail the MTA of this machine delivers here. Only senders in them may be told what became of their mail
//! (`entry.notify`): a notice to another machine would tell who keeps that mail that somebody here has used the network.

use super::check::{PATH, run_program};
use super::main_cf::{DELIVERED, leaves, members};
use crate::directory::is_host_name;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

/// What an MTA says of it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Local {
    /// The domains that can be named, in lower case.
    pub(super) domains: BTreeSet<String>,
    /// Members of its lists whose domains can't be: databases, patterns.
    pub(super) unnamed: Vec<String>,
}

impl Local {
    fn add(&mut self, words: impl IntoIterator<Item = String>, suffix: &str) {
        let names = words.into_iter().map(|word| word.to_lowercase());
        let is_within = |name: &String| name == suffix || name.ends_with(&format!(".{suffix}"));
        self.domains.extend(names.filter(|name| is_host_name(name) && !is_within(name)));
    }
}

/// Of the Postfix whose configuration lies in `dir`: `mydestination` and `virtual_mailbox_domains`, without what goes on to
/// another machine.
pub(super) fn of_postfix(dir: &Path, suffix: &str) -> io::Result<Local> {
    let conf = |name: &str| run_program(Command::new("postconf").arg("-c").arg(dir).args(["-x", "-h", name]));
    let mut local = Local::default();
    for (list, transports) in DELIVERED {
        let goes_on = transports.iter().map(|name| Ok(leaves(conf(name)?.trim()))).collect::<io::Result<Vec<_>>>()?;
        if goes_on.contains(&true) {
            continue;
        }
        for member in members(&conf(list)?) {
            match named_by(dir, &member) {
                Some(names) => local.add(names, suffix),
                None => local.unnamed.push(member),
            }
        }
    }
    let keys: Vec<_> = local.domains.iter().flat_map(|domain| route_keys(domain)).collect();
    let tables = members(&conf("transport_maps")?);
    let tables: Vec<_> = tables.iter().map(|table| answers(dir, table, &keys)).collect::<io::Result<_>>()?;
    local.domains.retain(|domain| {
        let keys = route_keys(domain);
        let mut answers = keys.iter().flat_map(|key| tables.iter().filter_map(|table| table.get(key)));
        !answers.next().is_some_and(|transport| leaves(transport))
    });
    Ok(local)
}

/// As transport(5) looks for a domain: itself, what it lies in, and what stands for everything.
pub(super) fn route_keys(domain: &str) -> Vec<String> {
    let above = domain.match_indices('.').filter_map(|(at, _)| domain.get(at..).map(str::to_owned));
    std::iter::once(domain.to_owned()).chain(above).chain(["*".to_owned()]).collect()
}

/// The words of a member of a list; none if they can't be listed.
fn named_by(dir: &Path, member: &str) -> Option<Vec<String>> {
    if member.starts_with('/') {
        let text = std::fs::read_to_string(member).ok()?;
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        return Some(lines.flat_map(members).collect());
    }
    if member.starts_with('!') {
        return None;
    }
    if member.starts_with('[') || !member.contains(':') {
        return Some(vec![member.to_owned()]);
    }
    let rows = run_program(Command::new("postmap").arg("-c").arg(dir).args(["-s", member])).ok()?;
    Some(rows.lines().filter_map(|row| row.split_whitespace().next()).map(str::to_owned).collect())
}

/// What a table answers for each of `keys` that it knows, asked at once: a machine may have hundreds of domains.
fn answers(dir: &Path, table: &str, keys: &[String]) -> io::Result<BTreeMap<String, String>> {
    let mut ask = Command::new("postmap");
    ask.arg("-c").arg(dir).args(["-q", "-", table]).env("PATH", PATH).env("LC_ALL", "C");
    let mut asked = ask.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let questions: String = keys.iter().map(|key| format!("{key}\n")).collect();
    let mut stdin = asked.stdin.take();
    let writer = thread::spawn(move || stdin.as_mut().map(|stdin| stdin.write_all(questions.as_bytes())));
    let said = asked.wait_with_output()?;
    // One that was not all read is one whose table can't be: Postfix's own trouble, and no answer.
    drop(writer.join());
    let rows = String::from_utf8_lossy(&said.stdout);
    let row = |row: &str| row.split_once('\t').map(|(key, answer)| (key.to_owned(), answer.trim().to_owned()));
    Ok(rows.lines().filter_map(row).collect())
}

/// Of an Exim, `ask`ed as its command line is: `local_domains`, as Debian and Exim's own configuration call it.
pub(super) fn of_exim(ask: impl Fn(&[&str]) -> io::Result<String>, suffix: &str) -> io::Result<Local> {
    let mut local = Local::default();
    let list = ask(&["-bP", "+local_domains"])?;
    let list = list.split_once('=').map_or("", |(_, list)| list).trim();
    for item in exim_items(list) {
        match item.as_str() {
            "@" => {
                let name = ask(&["-bP", "primary_hostname"])?;
                local.add(name.split_once('=').map(|(_, name)| name.trim().to_owned()), suffix);
            }
            // The machine's own numbers, which no sender has.
            "@[]" => {}
            item if is_host_name(&item.to_lowercase()) => local.add([item.to_owned()], suffix),
            item => local.unnamed.push(item.to_owned()),
        }
    }
    Ok(local)
}

/// The items of a list of Exim's: colons between them, or what `<` in front says. One that is doubled is a letter of an item.
fn exim_items(list: &str) -> Vec<String> {
    let other = list.strip_prefix('<').and_then(|rest| Some((rest.chars().next()?, rest)));
    let (between, list) = match other {
        Some((between, rest)) => (between, rest.strip_prefix(between).unwrap_or(rest)),
        None => (':', list),
    };
    let (doubled, one) = (format!("{between}{between}"), between.to_string());
    let items =
        list.replace(&doubled, "\0").split(between).map(|item| item.trim().replace('\0', &one)).collect::<Vec<_>>();
    items.into_iter().filter(|item| !item.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exim(list: &str) -> Local {
        let ask = |words: &[&str]| match words {
            ["-bP", "+local_domains"] => Ok(format!("domainlist local_domains = {list}\n")),
            ["-bP", "primary_hostname"] => Ok("primary_hostname = mx.home.org\n".to_owned()),
            other => panic!("{other:?}"),
        };
        of_exim(ask, "fog").unwrap()
    }

    #[test]
    fn exim_s_list_is_read_as_it_is_written() {
        for (list, domains, unnamed) in [
            ("@:localhost:home.org", &["home.org", "localhost", "mx.home.org"][..], &[][..]),
            ("<; @[] ; Home.ORG; lsearch;;/etc/x", &["home.org"], &["lsearch;/etc/x"]),
            ("home.org : fe80::::1", &["home.org"], &["fe80::1"]),
            ("home.org : *.home.org : +more : !a.org", &["home.org"], &["*.home.org", "+more", "!a.org"]),
            ("a.fog : fog : notfog", &["notfog"], &[]),
            ("", &[], &[]),
        ] {
            let found = exim(list);
            assert_eq!(found.domains.iter().map(String::as_str).collect::<Vec<_>>(), domains, "{list}");
            assert_eq!(found.unnamed, unnamed, "{list}");
        }
    }

    #[test]
    fn a_domain_is_looked_for_with_what_it_lies_in() {
        assert_eq!(route_keys("a.b.org"), ["a.b.org", ".b.org", ".org", "*"]);
        assert_eq!(route_keys("localhost"), ["localhost", "*"]);
    }
}
