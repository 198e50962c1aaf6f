//! `fog queue`: what waits on this node, and what its operator can do about it.

use super::control::{ask, member};
use super::error::CliError;
use super::global::Global;
use super::words::{self, command};
use crate::config::Config;
use crate::id::QueueId;
use crate::sys::exit_code::ExitCode;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// `fog queue`
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// The mails that wait: each one's name on this node, what for, since when
    List,
    /// Ask the local MTA again at once; nothing can shorten a delay of the network
    #[command(visible_alias = "flush")]
    Retry {
        /// Which; without, all
        #[arg(value_name = "ID")]
        ids: Vec<String>,
    },
    /// Forget mails for good; nobody is told
    Drop {
        /// Which
        #[arg(value_name = "ID", required_unless_present = "all")]
        ids: Vec<String>,
        /// All of them
        #[arg(long, conflicts_with = "ids")]
        all: bool,
        /// Don't ask
        #[arg(short, long)]
        yes: bool,
    },
}

/// Does what is asked of the queue.
///
/// # Errors
/// A node that can't be asked, a name that no mail has, or a question that can't be asked or was answered with no.
pub fn run(args: &Args, global: &Global) -> Result<(), CliError> {
    let config = global.load()?;
    match &args.verb {
        Verb::List => list(&ask(&config, global, "queue list")?, global),
        Verb::Retry { ids } => each(&config, global, "retry", ids, "told to the MTA again"),
        Verb::Drop { ids, yes, .. } => {
            known(ids)?;
            confirm(ids, *yes)?;
            each(&config, global, "drop", ids, "dropped")
        }
    }
}

fn list(answer: &Value, global: &Global) -> Result<(), CliError> {
    let mails = member(answer, &["mails"]).as_array().map_or(&[][..], Vec::as_slice);
    let mut out = String::new();
    for mail in mails {
        let text = |key: &str| member(mail, &[key]).as_str().unwrap_or("?");
        let _ = if global.json {
            let line = json!({ "v": 1, "id": mail["id"], "state": mail["state"], "age_h": mail["age_h"] });
            writeln!(out, "{line}")
        } else {
            let hours = member(mail, &["age_h"]).as_u64().unwrap_or(0);
            writeln!(out, "{}  {:<9} {:<8} {}", text("id"), text("state"), age(hours), waits_for(text("state")))
        };
    }
    if mails.is_empty() && !global.json && !global.quiet {
        out.push_str("no mail waits here\n");
    }
    super::print(out.as_bytes())
}

fn age(hours: u64) -> String {
    match hours {
        0 => "< 1 h".into(),
        1..48 => format!("{hours} h"),
        _ => format!("{} d", hours / 24),
    }
}

fn waits_for(state: &str) -> &'static str {
    match state {
        "waiting" => "for its first send slot",
        "leaving" => "for the send slots of its other pieces",
        "mixing" => "for word from its exit, or its next try",
        "held" => "for its exit's MTA, which puts it off",
        "receipted" => "for its sender to be told that it arrived",
        "given-up" => "for nothing: it was not delivered",
        "outbox" => "for the local MTA",
        "deferred" => "for the local MTA, which has put it off",
        _ => "",
    }
}

/// A name that is none is told before anything is done.
fn known(ids: &[String]) -> Result<(), CliError> {
    match ids.iter().find(|id| QueueId::parse(id).is_none()) {
        None => Ok(()),
        Some(id) => Err(CliError::new(ExitCode::Usage, "that is no name of a mail")
            .found(format!("`{}`, wanted 12 digits 0-9 and a-f", id.escape_debug()))
            .try_("fog queue list")),
    }
}

fn each(config: &Config, global: &Global, verb: &str, ids: &[String], done: &str) -> Result<(), CliError> {
    known(ids)?;
    let all = ["all".to_owned()];
    let mut count = 0;
    for id in if ids.is_empty() { &all[..] } else { ids } {
        let answer = ask(config, global, &format!("queue {verb} {id}"))?;
        let mails = member(&answer, &["mails"]).as_u64().unwrap_or(0);
        if mails == 0 && !ids.is_empty() {
            return Err(CliError::new(ExitCode::No, format!("no mail waits here that can be {done}"))
                .found(id.clone())
                .try_(command(global, "queue list")));
        }
        count += mails;
    }
    match (global.json, global.quiet) {
        (true, _) => super::print(format!("{}\n", json!({ "v": 1, "mails": count })).as_bytes()),
        (false, true) => Ok(()),
        (false, false) => super::print(format!("{count} {done}\n").as_bytes()),
    }
}

fn confirm(ids: &[String], yes: bool) -> Result<(), CliError> {
    let what = if ids.is_empty() { "all mails".to_owned() } else { format!("{} mails", ids.len()) };
    let question = format!("fog: drop {what} that wait here? They are gone for good, and nobody is told. [y/N]");
    if words::confirm(yes, &format!("{what} would be gone for good"), &question)? {
        return Ok(());
    }
    Err(CliError::new(ExitCode::No, "nothing was dropped"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_in_a_name_is_told_before_anything_is_dropped() {
        let ids = ["0a0b0c0d0e0f".to_owned(), "0a0b0c0d0e0".to_owned()];
        assert!(known(&ids[..1]).is_ok());
        let error = known(&ids).unwrap_err();
        assert_eq!((error.exit, error.try_.as_deref()), (ExitCode::Usage, Some("fog queue list")));
    }

    #[test]
    fn ages_are_told_in_one_unit() {
        assert_eq!([0, 1, 47, 48, 100].map(age), ["< 1 h", "1 h", "47 h", "2 d", "4 d"]);
    }
}
