//! `fog ping`: whether mail gets through a node. Loops tell that, which nobody can tell from mail; or, with `--link`,
//! whether the node is there at all.

use super::control::{ask, member};
use super::error::CliError;
use super::global::Global;
use super::words::{document_in_use, key_trouble, span_words};
use super::{note, print};
use crate::config::Config;
use crate::directory::{Document, Source, is_name};
use crate::id::NodeId;
use crate::mix::forecast::{Pieces, forecast};
use crate::mix::schedule::loop_span;
use crate::node::dial::Road;
use crate::node::fetch::{self, NoDocument};
use crate::node::socks::Tor;
use crate::sys::clock;
use crate::sys::exit_code::ExitCode;
use crate::sys::key_file::NodeKey;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::time::Duration;

/// How often it looks whether a loop has come back.
const EVERY: Duration = Duration::from_secs(30);

/// `fog ping [NODE]`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The node, by its name; without one, all
    #[arg(value_name = "NODE")]
    node: Option<String>,
    /// Only whether the node answers and proves its key: sends nothing through the network
    #[arg(short, long)]
    link: bool,
    /// Don't wait: tell how far the loops are that were asked for, ask for no others
    #[arg(short, long, conflicts_with_all = ["node", "link"])]
    show: bool,
}

/// Asks, waits and tells.
///
/// # Errors
/// `No` if something was lost or doesn't answer; a node that can't be asked; a name that no node has.
pub fn run(args: &Args, global: &Global) -> Result<ExitCode, CliError> {
    if let Some(name) = args.node.as_ref().filter(|name| !is_name(name)) {
        return Err(unknown(name));
    }
    let config = global.load()?;
    if args.link {
        return links(args.node.as_deref(), &config, global);
    }
    let request = match (&args.node, args.show) {
        (_, true) => "ping show".to_owned(),
        (None, false) => "ping all".to_owned(),
        (Some(name), false) => format!("ping node {name}"),
    };
    let mut told = ask(&config, global, &request)?;
    if !args.show {
        if !global.quiet {
            tell_how_long(&told, &config, global)?;
        }
        while is_open(&told, args.node.as_deref()) {
            std::thread::sleep(EVERY);
            told = ask(&config, global, "ping show")?;
        }
    }
    let rows: Vec<&Value> = rows(&told, args.node.as_deref()).collect();
    if !global.quiet {
        print(if global.json { lines(&rows) } else { table(&rows) }.as_bytes())?;
    }
    let has_lost = rows.iter().any(|row| number(row, "lost") > 0);
    Ok(if has_lost { ExitCode::No } else { ExitCode::Ok })
}

/// The nodes that were asked for.
fn rows<'a>(told: &'a Value, name: Option<&'a str>) -> impl Iterator<Item = &'a Value> {
    let all = member(told, &["nodes"]).as_array().into_iter().flatten();
    all.filter(move |row| name.is_none_or(|name| member(row, &["name"]) == name))
}

/// Whether an answer is still to come.
fn is_open(told: &Value, name: Option<&str>) -> bool {
    rows(told, name).any(|row| member(row, &["waits"]) == true || number(row, "back") + number(row, "lost") == 0)
}

fn number(row: &Value, key: &str) -> u64 {
    member(row, &[key]).as_u64().unwrap_or(0)
}

fn tell_how_long(told: &Value, config: &Config, global: &Global) -> Result<(), CliError> {
    let document = document_in_use(config, clock::now(), global)?;
    let waiting = rows(told, None).filter(|row| member(row, &["waits"]) == true).count();
    let slots = loop_span(u32::try_from(waiting).unwrap_or(u32::MAX), document.params());
    let one = Pieces { needed: 1, sent: 1, ahead: 0 };
    let travel = forecast(document.params(), one, &mut StdRng::seed_from_u64(1)).half;
    let hours = |span: Duration| span_words(Duration::from_secs(span.as_secs().div_ceil(60) * 60));
    note(&format!(
        "Loops leave in their ordinary slots, within about {}, and come back within about {}.",
        hours(slots),
        hours(travel)
    ));
    note("Ctrl-C ends the waiting, not the loops: fog ping shows them again.");
    Ok(())
}

fn lines(rows: &[&Value]) -> String {
    let line = |row: &&Value| {
        json!({ "v": 1, "name": row["name"], "waits": row["waits"], "under_way": row["under_way"], "back": row["back"],
            "lost": row["lost"] })
    };
    rows.iter().map(|row| format!("{}\n", line(row))).collect()
}

fn table(rows: &[&Value]) -> String {
    if rows.is_empty() {
        return "no loop was asked for\n".to_owned();
    }
    let mut out = format!("{:<32} {:>8} {:>10} {:>5} {:>5}\n", "NODE", "WAITING", "ON THE WAY", "BACK", "LOST");
    for row in rows {
        let name = member(row, &["name"]).as_str().unwrap_or("?");
        let waits = if member(row, &["waits"]) == true { 1 } else { 0 };
        let (way, back, lost) = (number(row, "under_way"), number(row, "back"), number(row, "lost"));
        writeln!(out, "{name:<32} {waits:>8} {way:>10} {back:>5} {lost:>5}").expect("a String takes all");
    }
    out
}

fn unknown(name: &str) -> CliError {
    CliError::new(ExitCode::Usage, "no other node of the document has that name")
        .found(format!("`{}`", name.escape_debug()))
        .try_("fog stats")
}

/// Asks nodes whether they are there, one after the other, as nobody.
fn links(name: Option<&str>, config: &Config, global: &Global) -> Result<ExitCode, CliError> {
    let document = document_in_use(config, clock::now(), global)?;
    let key = NodeKey::read(&config.node.key).map_err(|error| key_trouble(&config.node.key, &error))?;
    let others = others(&document, &key.identity.node_id(), name);
    if others.is_empty() {
        return Err(unknown(name.unwrap_or("")));
    }
    let mut all_answer = true;
    for (name, source) in others {
        let answer = knock(&source, config)?;
        all_answer &= answer.is_ok();
        let words = answer.err().map_or_else(|| "answers, and proves its key".to_owned(), |why| why.to_string());
        if global.json {
            print(format!("{}\n", json!({ "v": 1, "name": name, "answers": answer.is_ok(), "why": answer.err().map(|why| why.to_string()) })).as_bytes())?;
        } else if !global.quiet {
            print(format!("{name:<32} {words}\n").as_bytes())?;
        }
    }
    Ok(if all_answer { ExitCode::Ok } else { ExitCode::No })
}

fn others(document: &Document, me: &NodeId, name: Option<&str>) -> Vec<(String, Source)> {
    let is_wanted = |wanted: &str| name.is_none_or(|name| name == wanted);
    let others = document.nodes().filter(|(id, node)| *id != me && is_wanted(&node.name));
    others.map(|(_, node)| (node.name.clone(), Source::of(node))).collect()
}

fn knock(source: &Source, config: &Config) -> Result<Result<(), NoDocument>, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::new(ExitCode::Io, "no runtime can be had").found(error.to_string()))?;
    let road = Road { tor: Tor::new(config.socks.clone()), only_tor: config.node.onion.is_onion() };
    let answer = runtime.block_on(fetch::knock(&road, source));
    // A name that is being looked up would hold us up.
    runtime.shutdown_background();
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told() -> Value {
        json!({ "v": 1, "nodes": [
            { "name": "dries", "waits": false, "under_way": 2, "back": 3, "lost": 0 },
            { "name": "kvara", "waits": true, "under_way": 0, "back": 0, "lost": 0 },
            { "name": "mct8", "waits": false, "under_way": 1, "back": 0, "lost": 1 },
        ] })
    }

    #[test]
    fn it_waits_until_each_node_that_was_asked_for_has_an_answer() {
        let told = told();
        assert!(is_open(&told, None) && is_open(&told, Some("kvara")));
        assert!(!is_open(&told, Some("dries")) && !is_open(&told, Some("mct8")));
        let again = json!({ "nodes": [{ "name": "dries", "waits": true, "under_way": 0, "back": 3, "lost": 0 }] });
        assert!(is_open(&again, None), "it was asked for once more");
    }

    #[test]
    fn the_table_has_a_line_a_node() {
        let told = told();
        let rows: Vec<_> = rows(&told, None).collect();
        let want = "\
NODE                              WAITING ON THE WAY  BACK  LOST
dries                                   0          2     3     0
kvara                                   1          0     0     0
mct8                                    0          1     0     1
";
        assert_eq!(table(&rows), want);
        assert_eq!(lines(&rows).lines().count(), 3);
        assert_eq!(table(&[]), "no loop was asked for\n");
    }
}
