//! `fog block`: who has asked not to be written to. Addresses come from standard input: an argument can be read by
//! everybody on the machine, and the list keeps none.

use super::error::CliError;
use super::global::Global;
use super::words::{command, io_trouble, key_trouble};
use crate::config::Config;
use crate::mail::block::{NotAList, Who};
use crate::sys::block_file::{self, BlockFileError};
use crate::sys::exit_code::ExitCode;
use crate::sys::key_file::NodeKey;
use crate::sys::{clock, file};
use mail_parser::DateTime;
use serde_json::json;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};

/// The longest list of addresses that is read.
const MAX_INPUT: u64 = 16 << 20;

/// `fog block`: recipients who asked not to be written to.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Write to nobody whose ADDRESS, or whose @DOMAIN, stands on a line of standard input
    Add,
    /// Write to them again
    Remove,
    /// Add all that stand in a file, one a line; empty lines and those with # are left out
    Import {
        /// The file
        file: PathBuf,
    },
    /// Show how many there are, and since when; who they are can't be told from the list
    List,
}

/// Does it.
///
/// # Errors
/// `Address` for a line that is neither address nor domain: nothing is changed then. `No` if none of those to remove
/// was there. What reading the key or the list gives.
pub fn run(args: &Args, global: &Global) -> Result<(), CliError> {
    let config = global.load()?;
    let key = NodeKey::read(&config.node.key).map_err(|error| key_trouble(&config.node.key, &error))?;
    let (path, day) = (&config.block, today());
    let trouble = |error: BlockFileError| block_trouble(path, &error);
    let (verb, counted, rest, all) = match &args.verb {
        Verb::List => return list(&config, &key, global),
        Verb::Add | Verb::Import { .. } => {
            let who = match &args.verb {
                Verb::Import { file } => from_file(file)?,
                _ => from_stdin()?,
            };
            let (added, all) = block_file::update(path, &key.link, |list| {
                let added = who.iter().filter(|who| list.add(who, &day)).count();
                (added > 0, (added, list.len()))
            })
            .map_err(trouble)?;
            ("added", added, who.len() - added, all)
        }
        Verb::Remove => {
            let who = from_stdin()?;
            let (removed, all) = block_file::update(path, &key.link, |list| {
                let removed = who.iter().filter(|who| list.remove(who)).count();
                (removed > 0, (removed, list.len()))
            })
            .map_err(trouble)?;
            if removed == 0 {
                return Err(CliError::new(ExitCode::No, "none of them was on the list").found(format!("it has {all}")));
            }
            ("removed", removed, who.len() - removed, all)
        }
    };
    tell(global, verb, counted, rest, all)
}

fn tell(global: &Global, verb: &str, counted: usize, rest: usize, all: usize) -> Result<(), CliError> {
    if global.quiet {
        return Ok(());
    }
    if global.json {
        return super::print(format!("{}\n", json!({"v": 1, verb: counted, "entries": all})).as_bytes());
    }
    let was = if verb == "added" { "there already" } else { "not there" };
    let rest = if rest == 0 { String::new() } else { format!(", {rest} {was}") };
    let then = "the node keeps to it from its next start or reload on (systemctl reload fog-node)";
    super::print(format!("{counted} {verb}{rest}; {all} on the list\n{then}\n").as_bytes())
}

fn list(config: &Config, key: &NodeKey, global: &Global) -> Result<(), CliError> {
    let list = block_file::read(&config.block, &key.link).map_err(|error| block_trouble(&config.block, &error))?;
    let mut entries: Vec<_> = list.entries().collect();
    entries.sort();
    let mut text = String::new();
    for (day, hash) in &entries {
        let line = if global.json {
            json!({"v": 1, "since": day, "hash": hash}).to_string()
        } else {
            format!("{day}  {hash}")
        };
        text.push_str(&line);
        text.push('\n');
    }
    if entries.is_empty() && !global.json {
        text = format!("nobody is on the list\n  ->  {} add\n", command(global, "block"));
    }
    super::print(text.as_bytes())
}

fn from_stdin() -> Result<Vec<Who>, CliError> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        super::note("fog: addresses, one a line, then Ctrl-D");
    }
    let mut text = String::new();
    let read = stdin.lock().take(MAX_INPUT).read_to_string(&mut text);
    read.map_err(|error| CliError::new(ExitCode::Data, "standard input can't be read").found(error.to_string()))?;
    parse(&text, "standard input")
}

fn from_file(path: &Path) -> Result<Vec<Who>, CliError> {
    let text = file::read_text(path, MAX_INPUT).map_err(|error| io_trouble(path, &error))?;
    parse(&text, &path.display().to_string())
}

/// Who stands in `text`; all of them, or the first line that is wrong, which is not repeated.
fn parse(text: &str, name: &str) -> Result<Vec<Who>, CliError> {
    let lines = text.lines().map(str::trim).enumerate();
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let who = lines.map(|(number, line)| {
        Who::parse(line).map_err(|error| {
            CliError::new(ExitCode::Address, format!("{name}, line {}: {error}", number + 1))
                .found("wanted: ADDRESS, or @DOMAIN for all of a domain; nothing was changed")
        })
    });
    let who = who.collect::<Result<Vec<_>, _>>()?;
    if who.is_empty() {
        return Err(CliError::new(ExitCode::NoInput, format!("{name} has no address"))
            .try_("echo alice@example.com | fog block add"));
    }
    Ok(who)
}

fn block_trouble(path: &Path, error: &BlockFileError) -> CliError {
    match error {
        BlockFileError::Io(error) => io_trouble(path, error),
        BlockFileError::NotAList(not) => {
            let error = CliError::new(ExitCode::Config, format!("{} is not the list of this node", path.display()))
                .found(not.to_string());
            match not {
                NotAList::OtherKey => error.try_("put the node key of that time back, or move the list away"),
                NotAList::Malformed(_) => error.try_("take that line out; fog block writes the others"),
            }
        }
    }
}

/// As in `2026-11-23`, UTC.
fn today() -> String {
    let now = i64::try_from(clock::now().as_secs()).unwrap_or_default();
    let DateTime { year, month, day, .. } = DateTime::from_timestamp(now);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_addresses_is_read_whole_or_not_at_all() {
        let who = parse("# from the old list\n\nalice@example.com\n @example.org \r\n", "x").unwrap();
        assert_eq!(who, [Who::parse("alice@example.com").unwrap(), Who::parse("@example.org").unwrap()]);
        let error = parse("alice@example.com\nbob\n", "x").unwrap_err();
        assert_eq!(
            (error.exit, error.what.as_str()),
            (ExitCode::Address, "x, line 2: an address looks like local@domain")
        );
        assert!(!error.to_string().contains("bob"), "{error}");
        assert_eq!(parse("# nobody\n", "x").unwrap_err().exit, ExitCode::NoInput);
    }
}
