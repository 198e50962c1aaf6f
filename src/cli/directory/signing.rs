//! The draft of the next document, and the authority's signature on it.

use super::super::error::CliError;
use super::super::global::Global;
use super::super::init::{authority_key, role_words};
use super::super::node_info::{MAX_DESCRIPTOR, draft};
use super::super::words::{candidate, command, io_trouble, key_trouble, span_words};
use super::{Told, go_by, not_taken};
use crate::config::Config;
use crate::directory::{Candidate, Contents, Document, IdentityKey, Signed, VALID_EPOCHS};
use crate::id::{Epoch, NodeId};
use crate::sys::exit_code::ExitCode;
use crate::sys::{file, key_file};
use crate::time::Time;
use serde_json::json;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

/// Takes descriptors into the draft.
pub(super) fn add(files: &[PathBuf], config: &Config, now: Time, global: &Global) -> Result<Told, CliError> {
    let mut contents = next_contents(config, now, global)?;
    let (mut words, mut added) = (String::new(), Vec::new());
    for path in files {
        let signed = read_descriptor(path)?;
        let node = signed.descriptor();
        let what = admit(&mut contents, &signed, path)?;
        writeln!(words, "{what:<8}{} ({}), {}", node.name, role_words(node.roles()), node.id())
            .expect("a String takes all");
        added.push(json!({"name": node.name, "id": node.id().to_string(), "what": what}));
    }
    let candidate = Candidate::new(&contents).map_err(|rejected| {
        CliError::new(ExitCode::Data, "these nodes make no document").found(rejected.to_string())
    })?;
    let path = draft(config);
    write(&path, &candidate)?;
    writeln!(
        words,
        "The draft has {} nodes and isn't signed yet:\n  ->  {}",
        contents.nodes.len(),
        command(global, "directory sign")
    )
    .expect("a String takes all");
    Ok(Told { words, json: json!({"v": 1, "draft": path, "nodes": contents.nodes.len(), "added": added}) })
}

/// Puts a node into `contents`; says whether it is new there.
fn admit(contents: &mut Contents, signed: &Signed, path: &Path) -> Result<&'static str, CliError> {
    let node = signed.descriptor();
    let refuse = |what: String| CliError::new(ExitCode::Data, what);
    if !node.mix_keys.contains_key(&contents.epoch) {
        return Err(refuse(format!("{} has no mix key for epoch {}", path.display(), contents.epoch))
            .found("it is an old one, or of a node with another network's parameters")
            .try_(format!("ask {} for a new one: fog node-info", node.name)));
    }
    if !contents.has_room_for(node) {
        return Err(refuse(format!("{}: {} is no onion service", path.display(), node.name))
            .found(format!("it is reached at {}, and this network has only-onions = true", node.address))
            .try_(format!("ask {} for an onion: fog setup tor, node.onion, fog node-info", node.name)));
    }
    if let Some(shared) = contents.clash(node) {
        return Err(refuse(format!("{}: two nodes with one {shared}", path.display()))
            .found(format!("{} would share it with a node that is in the document", node.name)));
    }
    let known = contents.nodes.get(&node.id());
    let what = match known.map(|known| (known == signed, known.descriptor().sequence)) {
        None => "new",
        Some((true, _)) => "same",
        Some((false, sequence)) if sequence < node.sequence => "newer",
        Some((false, sequence)) => {
            return Err(refuse(format!("{} is older than what is known of {}", path.display(), node.name))
                .found(format!("its number is {}, the known one's {sequence}", node.sequence)));
        }
    };
    contents.nodes.insert(node.id(), signed.clone());
    Ok(what)
}

fn read_descriptor(path: &Path) -> Result<Signed, CliError> {
    let text = file::read_text(path, MAX_DESCRIPTOR).map_err(|error| io_trouble(path, &error))?;
    Signed::parse(&text).map_err(|bad| {
        CliError::new(ExitCode::Data, format!("{} is no descriptor", path.display()))
            .found(bad.to_string())
            .try_("take what `fog node-info` printed there, byte for byte")
    })
}

/// What the next document says, as things stand: the draft, or what the document says now; for the running epoch.
fn next_contents(config: &Config, now: Time, global: &Global) -> Result<Contents, CliError> {
    let document = candidate(&config.spool.document())?;
    let draft = candidate(&draft(config))?;
    let base = draft.as_ref().or(document.as_ref()).ok_or_else(|| {
        CliError::new(ExitCode::NoInput, "there is no directory document, and no draft of one")
            .found(format!("looked in {}", config.spool.path.display()))
            .try_(command(global, "init --new-network"))
    })?;
    let contents = base.contents();
    let epoch = now.epoch(contents.params.epoch);
    Ok(Contents { epoch, previous: document.as_ref().map(Candidate::hash), ..contents.clone() })
}

/// Signs the draft for the running epoch, and goes by it.
pub(super) fn sign(config: &Config, now: Time, global: &Global) -> Result<Told, CliError> {
    let path = authority_key(config);
    let key = key_file::read_authority(&path).map_err(|error| key_trouble(&path, &error))?;
    let contents = next_contents(config, now, global)?;
    let (epoch, epoch_length) = (contents.epoch, contents.params.epoch);
    if candidate(&draft(config))?.is_none() && kept_epoch(config)? == Some(epoch) {
        let words = format!("The document of epoch {epoch} is signed, and nothing has changed since.\n");
        return Ok(Told { words, json: json!({"v": 1, "epoch": epoch.0, "signed": false}) });
    }
    let candidate = signed_candidate(&contents, &key)?;
    let document = Document::verify(&candidate.to_text(), &config.trust, now, None)
        .map_err(|rejected| not_taken("the document", &rejected))?;
    record(config, epoch, document.hash()).map_err(|refusal| match refusal {
        NotRecorded::Trouble(error) => error,
        NotRecorded::Signed(last) => {
            signed_already(last, Time::epoch_start(last.plus(1), epoch_length).since(now), global)
        }
    })?;
    go_by(config, &candidate.to_text())?;
    match std::fs::remove_file(draft(config)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io_trouble(&draft(config), &error)),
        _ => {}
    }
    stale_nodes(&document).iter().for_each(|line| super::super::note(line));
    Ok(told_of_signing(config, &document, now, global))
}

fn kept_epoch(config: &Config) -> Result<Option<Epoch>, CliError> {
    Ok(candidate(&config.spool.document())?.map(|document| document.contents().epoch))
}

pub(super) fn signed_candidate(contents: &Contents, key: &IdentityKey) -> Result<Candidate, CliError> {
    let mut candidate = Candidate::new(contents).map_err(|rejected| not_taken("the draft", &rejected))?;
    if candidate.sign(key) {
        return Ok(candidate);
    }
    Err(CliError::new(ExitCode::Data, "this node's authority is none of the document's")
        .found(format!("its fingerprint is {}", key.node_id())))
}

fn signed_already(epoch: Epoch, left: std::time::Duration, global: &Global) -> CliError {
    CliError::new(ExitCode::TryAgain, format!("this authority has signed another document of epoch {epoch}"))
        .found("two documents of one epoch would stop the network; the draft is kept")
        .try_(format!("in {}: {}", span_words(left), command(global, "directory sign")))
}

/// Why a signature is not given.
enum NotRecorded {
    /// Something else was signed for this epoch, or a later one.
    Signed(Epoch),
    Trouble(CliError),
}

/// Writes down what is about to be signed; refuses if it would be the second of its epoch.
fn record(config: &Config, epoch: Epoch, hash: &[u8; 32]) -> Result<(), NotRecorded> {
    let path = config.spool.path.join("authority.signed");
    let trouble = |error: &io::Error| NotRecorded::Trouble(io_trouble(&path, error));
    // A hash looks as an id does.
    let line = format!("{epoch} {}\n", NodeId(*hash));
    let last = match file::read_text(&path, 256) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        last => Some(last.map_err(|error| trouble(&error))?),
    };
    if last.as_deref() == Some(&line) {
        return Ok(());
    }
    if let Some(last) = last {
        let last = last.split_once(' ').and_then(|(epoch, _)| epoch.parse().ok()).map(Epoch);
        let last = last.ok_or_else(|| trouble(&io::ErrorKind::InvalidData.into()))?;
        if last >= epoch {
            return Err(NotRecorded::Signed(last));
        }
    }
    file::replace(&path, line.as_bytes(), file::SECRET).map_err(|error| trouble(&error))
}

fn told_of_signing(config: &Config, document: &Document, now: Time, global: &Global) -> Told {
    let path = config.spool.document();
    let words = format!(
        "The document of epoch {} is signed, with {} nodes, good for {} more.\n\
         This node goes by {} from its next start or SIGHUP on.\n\
         Others get it from there by themselves, or at once after\n  ->  fog directory fetch\n\
         Sign again within {} epochs, so that the network goes on:\n  ->  {}\n",
        document.epoch(),
        document.nodes().count(),
        span_words(document.valid_until().since(now)),
        path.display(),
        VALID_EPOCHS,
        command(global, "directory sign")
    );
    let hash = NodeId(*document.hash()).to_string();
    Told { words, json: json!({"v": 1, "epoch": document.epoch().0, "signed": true, "document": path, "hash": hash}) }
}

/// Nodes no packet can go through before they have given new keys.
pub(super) fn stale_nodes(document: &Document) -> Vec<String> {
    let stale = document.nodes().filter(|(_, node)| !node.mix_keys.contains_key(&document.epoch()));
    stale
        .map(|(_, node)| format!("fog: {} has no mix key for this epoch: ask for a new descriptor", node.name))
        .collect()
}

fn write(path: &Path, candidate: &Candidate) -> Result<(), CliError> {
    file::replace(path, candidate.to_text().as_bytes(), file::PUBLIC).map_err(|error| io_trouble(path, &error))
}
