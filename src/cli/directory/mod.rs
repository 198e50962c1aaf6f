//! `fog directory`: the document of a network, shown, checked and fetched; and what an authority's operator decides.
//!
//! The node goes by `directory` in its spool. What is signed by hand, as a network's first one is, is `directory.draft` beside
//! it until enough have signed, so that a half-made document never takes the place of a good one. All others the nodes of the
//! authorities agree on by themselves; what is decided here goes to where they look (`node::authority`).

mod admitting;
mod fetch;
mod import;
mod offer;
mod show;
mod signing;

use super::error::CliError;
use super::global::Global;
use super::node_info::draft;
use super::words::{MAX_DOCUMENT, candidate, command, io_trouble, key_trouble, rfc3339, span_words};
use crate::config::Config;
use crate::directory::{Document, Rejected};
use crate::id::NodeId;
use crate::sys::exit_code::ExitCode;
use crate::sys::{clock, file, key_file};
use crate::time::Time;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

/// `fog directory`
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Verb {
    /// Take nodes into the next document, or newer descriptors of those in it
    Add {
        /// What `fog node-info` gave, or the name or id of a node that has handed in its descriptor
        #[arg(required = true)]
        node: Vec<String>,
        /// Make the authorities of these nodes authorities of the document too
        #[arg(long)]
        authority: bool,
    },
    /// Put nodes out of the next document
    Remove {
        /// Their names or ids
        #[arg(required = true)]
        node: Vec<String>,
    },
    /// Hand this node's descriptor in to the authorities
    Offer {
        /// To whom: KEY@HOST:PORT, or a node of the document by name or address [default: all authorities]
        #[arg(long, value_name = "NODE", value_delimiter = ',')]
        to: Vec<String>,
    },
    /// Sign the next document, or the one in FILE, by hand and at once
    Sign {
        /// What another authority has signed by hand
        file: Option<PathBuf>,
    },
    /// Show the document this node goes by
    Show {
        /// Show this one; nobody is asked who signed it
        file: Option<PathBuf>,
    },
    /// Ask other nodes for the document, and go by it if it is to be taken
    Fetch {
        /// Whom to ask: KEY@HOST:PORT, or a node of the document by name or address [default: directory.sources, else
        /// nodes of the document]
        #[arg(long, value_name = "NODE", value_delimiter = ',')]
        from: Vec<String>,
    },
    /// List whom to ask for a descriptor: those in the earlier program's nodes.json
    Import {
        /// What that program exported
        file: PathBuf,
    },
    /// Say whether a document is to be taken: exit code 0 or 1
    Verify {
        /// The document
        file: PathBuf,
        /// Go by it from now on, if it is to be taken
        #[arg(long)]
        keep: bool,
    },
}

/// Does it.
///
/// # Errors
/// Each with what was found and what to type.
pub fn run(args: &Args, global: &Global) -> Result<(), CliError> {
    let (config, now) = (global.load()?, clock::now());
    let told = match &args.verb {
        Verb::Add { node, authority } => admitting::add(node, *authority, &config, now, global)?,
        Verb::Remove { node } => admitting::remove(node, &config, now, global)?,
        Verb::Offer { to } => offer::offer(to, &config, now, global)?,
        Verb::Sign { file } => signing::sign(file.as_deref(), &config, now, global)?,
        Verb::Fetch { from } => fetch::fetch(from, &config, now, global)?,
        Verb::Import { file } => import::import(file, &config)?,
        Verb::Show { file } => show::show(file.as_deref(), &config, now, global)?,
        Verb::Verify { file, keep } => verify(file, *keep, &config, now, global)?,
    };
    let text = if global.json { format!("{}\n", told.json) } else { told.words };
    if global.quiet { Ok(()) } else { super::print(text.as_bytes()) }
}

/// What a verb has to say.
#[derive(Debug)]
struct Told {
    words: String,
    json: Value,
}

/// Says whether the document at `path` is to be taken.
fn verify(path: &Path, keep: bool, config: &Config, now: Time, global: &Global) -> Result<Told, CliError> {
    let name = path.display().to_string();
    let text = file::read_text(path, MAX_DOCUMENT).map_err(|error| io_trouble(path, &error))?;
    let have = kept(config, now)?;
    let document = Document::verify(&text, &config.trust, now, have.as_ref()).map_err(|bad| not_taken(&name, &bad))?;
    taken(&document, keep, config, now, global)
}

/// Goes by `document`, if it is to be kept, and tells what it is.
fn taken(document: &Document, keep: bool, config: &Config, now: Time, global: &Global) -> Result<Told, CliError> {
    let here = document.node(&own_id(config)?).is_some();
    let mut words = format!(
        "good: epoch {}, {} nodes, signed by {} of {}, for {} more\n",
        document.epoch(),
        document.nodes().count(),
        document.signers().count(),
        document.contents().authorities.len(),
        span_words(document.valid_until().since(now))
    );
    if keep {
        go_by(config, &document.to_text())?;
        words.push_str("kept: the node goes by it from its next start or SIGHUP on\n");
    }
    if !here {
        writeln!(words, "this node is not in it; its operator takes\n  ->  {}", command(global, "node-info"))
            .expect("a String takes all");
    }
    let json = json!({"v": 1, "good": true, "epoch": document.epoch().0, "kept": keep, "has_this_node": here,
        "valid_until": rfc3339(document.valid_until())});
    Ok(Told { words, json })
}

/// Puts `document` in the place of the one in use, which becomes the previous one.
fn go_by(config: &Config, document: &str) -> Result<(), CliError> {
    let (path, previous) = (config.spool.document(), config.spool.previous_document());
    match file::read_text(&path, MAX_DOCUMENT) {
        // The same once more has no say in what was before it.
        Ok(text) if text == document => return Ok(()),
        Ok(text) => {
            file::replace(&previous, text.as_bytes(), file::PUBLIC).map_err(|error| io_trouble(&previous, &error))?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(io_trouble(&path, &error)),
    }
    file::replace(&path, document.as_bytes(), file::PUBLIC).map_err(|error| io_trouble(&path, &error))?;
    forget_first_draft(config)
}

/// With a document, the draft of a network's first one is of no more use: what is decided from here on is not in it.
fn forget_first_draft(config: &Config) -> Result<(), CliError> {
    let path = draft(config);
    let is_first = candidate(&path)?.is_some_and(|draft| draft.contents().previous.is_none());
    match is_first.then(|| std::fs::remove_file(&path)) {
        Some(Err(error)) if error.kind() != io::ErrorKind::NotFound => Err(io_trouble(&path, &error)),
        _ => Ok(()),
    }
}

fn own_id(config: &Config) -> Result<NodeId, CliError> {
    let key = key_file::NodeKey::read(&config.node.key).map_err(|error| key_trouble(&config.node.key, &error))?;
    Ok(key.identity.node_id())
}

/// The document this node goes by, if there is one that is still to be trusted.
fn kept(config: &Config, now: Time) -> Result<Option<Document>, CliError> {
    let Some(candidate) = candidate(&config.spool.document())? else { return Ok(None) };
    Ok(Document::reopen(&candidate.to_text(), &config.trust, now).ok())
}

fn not_taken(what: &str, rejected: &Rejected) -> CliError {
    CliError::new(ExitCode::No, format!("{what} is not taken")).found(rejected.to_string()).try_(advice(rejected))
}

/// What to do about a document that is not taken.
const fn advice(rejected: &Rejected) -> &'static str {
    match rejected {
        Rejected::TooFewSignatures { .. } => "ask the authorities to sign it",
        Rejected::UnknownAuthority(_) => {
            "if you have its fingerprint from its operator, add it to trust in [directory]"
        }
        Rejected::Rollback { .. } | Rejected::Expired { .. } => "ask for the document of today",
        Rejected::OtherEpochs { .. } => {
            "stay with the epochs that the network was founded with, or found another: fog init --new-network"
        }
        Rejected::FromTheFuture { .. } => "look at this machine's clock: date -u",
        Rejected::Fork(_) => "do not use either of them before the authorities have explained this",
        Rejected::BadSignature(_)
        | Rejected::TwoNodes(_)
        | Rejected::NoOnion(_)
        | Rejected::BadMixKey(_)
        | Rejected::Malformed(_) => "take the file as it was given out, byte for byte",
    }
}

#[cfg(test)]
mod tests;
