//! `fog stats`: the last 12 epochs of every node, as the directory documents told them. All of it is public: who has the
//! documents has it too.

mod html;
mod lists;
mod prometheus;

use super::control::ask;
use super::error::CliError;
use super::global::Global;
use super::words::{document_in_use, io_trouble, rfc3339, role_words};
use crate::config::Config;
use crate::directory::{Descriptor, Document, Roles, Strategy, Uptime};
use crate::id::{Epoch, NodeId};
use crate::sys::exit_code::ExitCode;
use crate::sys::history::{EPOCHS, History};
use crate::sys::{clock, file};
use crate::time::Time;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// `fog stats`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How to print it
    #[arg(long, value_name = "FORMAT", default_value = "text", conflicts_with = "html")]
    format: Format,
    /// Write a page, nodes.json and mlist2.txt into DIR [default: stats.publish]
    #[arg(long, value_name = "DIR", num_args = 0..=1)]
    html: Option<Option<PathBuf>>,
}

/// How to print it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum Format {
    /// For people: a strip for each node
    Text,
    /// One object
    Json,
    /// The list that clients of the earlier remailers read
    Mlist2,
    /// For the textfile collector of node_exporter
    Prometheus,
}

/// What there is to show.
struct Table {
    now: Time,
    /// The epoch of the document; the last column.
    epoch: Epoch,
    epoch_length: Duration,
    valid_until: Time,
    min_uptime: u8,
    /// How long a hop keeps a packet, on the average, by the network's law.
    held: Duration,
    /// The best first.
    rows: Vec<Row>,
}

/// One node.
struct Row {
    name: String,
    id: NodeId,
    roles: Roles,
    news: bool,
    family: Option<String>,
    contact: Option<String>,
    version: String,
    address: String,
    /// By epoch, the latest last.
    days: [Option<Uptime>; EPOCHS],
    uptime: Option<Uptime>,
    on_paths: bool,
}

/// Prints it, or writes the page.
///
/// # Errors
/// No document, or what can't be read or written.
pub fn run(args: &Args, global: &Global) -> Result<(), CliError> {
    let (config, now) = (global.load()?, clock::now());
    let document = document_in_use(&config, now, global)?;
    let path = config.spool.uptimes();
    let history = History::read(&path).map_err(|error| io_trouble(&path, &error))?;
    let table = Table::new(&document, &history, now);
    if let Some(dir) = &args.html {
        return publish(&table, dir.as_deref(), &config, global);
    }
    let format = if global.json { Format::Json } else { args.format };
    let text = match format {
        Format::Text => text(&table),
        Format::Json => format!("{}\n", json(&table)),
        Format::Mlist2 => lists::mlist2(&table),
        Format::Prometheus => prometheus::figures(&table, ask(&config, global, "status").ok().as_ref()),
    };
    super::print(text.as_bytes())
}

/// Writes the files that a web server can serve.
fn publish(table: &Table, dir: Option<&Path>, config: &Config, global: &Global) -> Result<(), CliError> {
    let dir = dir.or(config.publish.as_deref()).ok_or_else(|| {
        CliError::new(ExitCode::Usage, "it is not known where to write the page")
            .found("neither a directory behind --html nor stats.publish")
            .try_("fog stats --html /var/www/fog")
    })?;
    for (name, text) in [
        ("nodes.json", format!("{}\n", json(table))),
        ("mlist2.txt", lists::mlist2(table)),
        ("index.html", html::page(table)),
    ] {
        let path = dir.join(name);
        file::replace(&path, text.as_bytes(), file::PUBLIC).map_err(|error| {
            let trouble = io_trouble(&path, &error);
            if dir.is_dir() { trouble } else { trouble.try_(format!("mkdir {}", dir.display())) }
        })?;
    }
    if global.quiet { Ok(()) } else { super::print(format!("{}\n", dir.join("index.html").display()).as_bytes()) }
}

impl Table {
    fn new(document: &Document, history: &History, now: Time) -> Self {
        let mut rows: Vec<_> = document.nodes().map(|(id, node)| Row::new(document, history, id, node)).collect();
        rows.sort_by(|a, b| b.uptime.cmp(&a.uptime).then_with(|| a.name.cmp(&b.name)));
        let params = document.params();
        let mean = match params.strategy {
            Strategy::Constant => params.min_delay.saturating_add(params.max_delay) / 2,
            Strategy::Exponential | Strategy::Poisson => params.mean_delay,
        };
        Self {
            now,
            epoch: document.epoch(),
            epoch_length: params.epoch,
            valid_until: document.valid_until(),
            min_uptime: params.min_uptime,
            // Half a tick passes until the next one.
            held: mean.saturating_add(params.tick / 2),
            rows,
        }
    }

    /// The first epoch that has a column.
    fn first(&self) -> Epoch {
        self.epoch.minus(EPOCHS as u64 - 1)
    }

    fn start(&self, epoch: Epoch) -> Time {
        Time::epoch_start(epoch, self.epoch_length)
    }
}

impl Row {
    fn new(document: &Document, history: &History, id: &NodeId, node: &Descriptor) -> Self {
        let mut days = history.of(id, document.epoch());
        // What the document says now it says also where nobody has noted it yet.
        let uptime = document.uptime(id);
        if let Some(last) = days.last_mut() {
            *last = uptime;
        }
        let is_hop = node.mix || node.exit.is_some();
        Self {
            name: node.name.clone(),
            id: *id,
            roles: node.roles(),
            news: node.exit.as_ref().is_some_and(|exit| exit.news),
            family: node.family.clone(),
            contact: node.contact.clone(),
            version: node.version.clone(),
            address: node.address.to_string(),
            days,
            uptime,
            on_paths: is_hop && document.is_reliable(id),
        }
    }

    fn is_hop(&self) -> bool {
        self.roles.mix || self.roles.exit
    }

    /// One character an epoch: `+` for all, the tens of percent for less, `?` for nothing known.
    fn strip(&self) -> String {
        self.days.iter().map(|day| sign(*day)).collect()
    }

    /// What becomes of it on paths, in a word or two.
    const fn verdict(&self) -> &'static str {
        match (self.roles.mix || self.roles.exit, self.on_paths) {
            (false, _) => "on no path",
            (true, true) => "",
            (true, false) => "left out",
        }
    }
}

fn sign(day: Option<Uptime>) -> char {
    match day.map(Uptime::percent) {
        None => '?',
        Some(100..) => '+',
        Some(percent) => char::from_digit(u32::from(percent) / 10, 10).unwrap_or('?'),
    }
}

fn text(table: &Table) -> String {
    let mut out = String::new();
    let mut line = |line: std::fmt::Arguments<'_>| writeln!(out, "{line}").expect("a String takes all");
    line(format_args!("{:<32} {:<10} {:<12} {:>8}", "NODE", "ROLES", "12 EPOCHS", "COMES ON"));
    for row in &table.rows {
        let uptime = row.uptime.map_or_else(|| "?".into(), |uptime| uptime.to_string());
        let told = format!(
            "{:<32} {:<10} {:<12} {uptime:>8}  {}",
            row.name,
            role_words(row.roles),
            row.strip(),
            row.verdict()
        );
        line(format_args!("{}", told.trim_end()));
    }
    line(format_args!("\nWhat comes on of what is sent through a node: the median of others' measures, by"));
    line(format_args!("epoch, the latest last. + is all of it, 9 is 90 or 95 %, ? is not measured."));
    line(format_args!("Below {} % a node is left out of paths. Epoch {}.", table.min_uptime, table.epoch));
    out
}

fn json(table: &Table) -> Value {
    json!({
        "v": 1,
        "generated": rfc3339(table.now),
        "epoch": table.epoch.0,
        "epoch_s": table.epoch_length.as_secs(),
        "valid_until": rfc3339(table.valid_until),
        "min_uptime": table.min_uptime,
        "nodes": table.rows.iter().map(row_json).collect::<Vec<_>>(),
    })
}

fn row_json(row: &Row) -> Value {
    json!({
        "name": row.name,
        "id": row.id.to_string(),
        "mix": row.roles.mix,
        "exit": row.roles.exit,
        "family": row.family,
        "contact": row.contact,
        "version": row.version,
        "address": row.address,
        "epochs": row.days.map(|day| day.map(Uptime::percent)),
        "uptime": row.uptime.map(Uptime::percent),
        "on_paths": row.on_paths,
    })
}

#[cfg(test)]
mod tests;
