//! The draft of the next document, and the authority's signature on it.

use super::super::error::CliError;
use super::super::global::Global;
use super::super::node_info::draft;
use super::super::words::{candidate, command, io_trouble, key_trouble, span_words};
use super::admitting::register;
use super::{Told, go_by, not_taken};
use crate::config::Config;
use crate::directory::{Candidate, Contents, Document, IdentityKey, Rejected, VALID_EPOCHS};
use crate::id::{Epoch, NodeId};
use crate::node::authority::desk::Desk;
use crate::node::authority::record::{NotRecorded, Record};
use crate::sys::exit_code::ExitCode;
use crate::sys::{file, key_file};
use crate::time::Time;
use serde_json::json;
use std::io;
use std::path::Path;

/// What the next document says, as things stand, for the running epoch: the draft, if there is one; else what the document
/// says now, with what was decided and handed in since.
pub(super) fn next_contents(config: &Config, now: Time, global: &Global) -> Result<Contents, CliError> {
    let document = candidate(&config.spool.document())?;
    let previous = document.as_ref().map(Candidate::hash);
    if let Some(draft) = candidate(&draft(config))? {
        let epoch = now.epoch(draft.contents().params.epoch);
        return Ok(Contents { epoch, previous, ..draft.contents().clone() });
    }
    let document = document.ok_or_else(|| {
        CliError::new(ExitCode::NoInput, "there is no directory document, and no draft of one")
            .found(format!("looked in {}", config.spool.path.display()))
            .try_(command(global, "init --new-network"))
    })?;
    let (current, register) = (document.contents(), register(&Desk::of(&config.spool))?);
    Ok(register.draft(current, document.hash(), now.epoch(current.params.epoch), config.admission))
}

/// Signs the next document, or the one in `file`, for the running epoch; goes by it when enough have signed.
pub(super) fn sign(file: Option<&Path>, config: &Config, now: Time, global: &Global) -> Result<Told, CliError> {
    let path = config.node.authority_key();
    let key = key_file::read_authority(&path).map_err(|error| key_trouble(&path, &error))?;
    let to_sign = match file {
        Some(path) => brought(path, config, global)?,
        None => next(config, now, global)?,
    };
    if let Some(kept) = candidate(&config.spool.document())? {
        let keeps = to_sign.contents().keeps_epochs_of(kept.contents());
        keeps.map_err(|rejected| not_taken("the draft", &rejected))?;
    }
    let (epoch, epoch_length) = (to_sign.contents().epoch, to_sign.contents().params.epoch);
    let drafted = file.is_some() || candidate(&draft(config))?.is_some();
    if !drafted && kept_epoch(config)? == Some(epoch) && says_nothing_new(to_sign.contents(), config)? {
        let words = format!("The document of epoch {epoch} is signed, and nothing has changed since.\n");
        return Ok(Told { words, json: json!({"v": 1, "epoch": epoch.0, "signed": false}) });
    }
    let signed = signed(to_sign, &key)?;
    let verified = match Document::verify(&signed.to_text(), &config.trust, now, None) {
        Err(Rejected::TooFewSignatures { .. }) => None,
        verified => Some(verified.map_err(|rejected| not_taken("the document", &rejected))?),
    };
    Record::of(&config.spool).note(epoch, &signed.hash()).map_err(|refusal| match refusal {
        NotRecorded::Io(error) => io_trouble(Record::of(&config.spool).path(), &error),
        NotRecorded::Signed(last) => {
            signed_already(last, Time::epoch_start(last.plus(1), epoch_length).since(now), global)
        }
    })?;
    let Some(document) = verified else { return more_have_to(&signed, config, global) };
    go_by(config, &signed.to_text())?;
    match std::fs::remove_file(draft(config)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io_trouble(&draft(config), &error)),
        _ => {}
    }
    let tidied = Desk::of(&config.spool).tidy(document.contents());
    tidied.map_err(|error| io_trouble(&config.spool.path, &error))?;
    stale_nodes(&document).iter().for_each(|line| super::super::note(line));
    Ok(told_of_signing(config, &document, now))
}

/// The next document, unsigned; or as far as it is signed by hand already.
fn next(config: &Config, now: Time, global: &Global) -> Result<Candidate, CliError> {
    let contents = next_contents(config, now, global)?;
    match candidate(&draft(config))? {
        Some(draft) if *draft.contents() == contents => Ok(draft),
        _ => Candidate::new(&contents).map_err(|rejected| not_taken("the draft", &rejected)),
    }
}

/// The document in a file that another authority has signed by hand.
fn brought(path: &Path, config: &Config, global: &Global) -> Result<Candidate, CliError> {
    let missing = || io_trouble(path, &io::ErrorKind::NotFound.into());
    let brought = candidate(path)?.ok_or_else(missing)?;
    let ours = candidate(&config.spool.document())?;
    if brought.contents().previous == ours.as_ref().map(Candidate::hash) {
        return Ok(brought);
    }
    Err(CliError::new(ExitCode::Data, format!("{} does not follow the document that is here", path.display()))
        .found("it was made from another one")
        .try_(command(global, "directory fetch")))
}

/// Whether the next document says what the one of this epoch says.
fn says_nothing_new(next: &Contents, config: &Config) -> Result<bool, CliError> {
    let kept = candidate(&config.spool.document())?;
    Ok(kept.is_some_and(|kept| Contents { previous: next.previous, ..kept.contents().clone() } == *next))
}

fn kept_epoch(config: &Config) -> Result<Option<Epoch>, CliError> {
    Ok(candidate(&config.spool.document())?.map(|document| document.contents().epoch))
}

pub(super) fn signed(mut candidate: Candidate, key: &IdentityKey) -> Result<Candidate, CliError> {
    if candidate.sign(key) {
        return Ok(candidate);
    }
    Err(CliError::new(ExitCode::Data, "this node's authority is none of the document's")
        .found(format!("its fingerprint is {}", key.node_id())))
}

fn signed_already(epoch: Epoch, left: std::time::Duration, global: &Global) -> CliError {
    CliError::new(ExitCode::TryAgain, format!("this authority has signed another document of epoch {epoch}"))
        .found("two documents of one epoch would stop the network; what is to be in the next one is kept")
        .try_(format!("in {}: {}", span_words(left), command(global, "directory sign")))
}

/// Keeps the draft with its signatures, for the other authorities.
fn more_have_to(signed: &Candidate, config: &Config, global: &Global) -> Result<Told, CliError> {
    let path = draft(config);
    file::replace(&path, signed.to_text().as_bytes(), file::PUBLIC).map_err(|error| io_trouble(&path, &error))?;
    let (have, want) = (signed.signers().count(), signed.contents().threshold);
    let words = format!(
        "The draft of epoch {} has {have} signatures of the {want} it needs. Give {} to another authority, to type\n\
         \x20 ->  fog directory sign FILE\n\
         and take back what is signed then:\n  ->  {}\n",
        signed.contents().epoch,
        path.display(),
        command(global, "directory verify --keep FILE")
    );
    let hash = NodeId(signed.hash()).to_string();
    let epoch = signed.contents().epoch.0;
    Ok(Told {
        words,
        json: json!({"v": 1, "epoch": epoch, "signed": true, "document": null, "draft": path, "hash": hash}),
    })
}

fn told_of_signing(config: &Config, document: &Document, now: Time) -> Told {
    let path = config.spool.document();
    let words = format!(
        "The document of epoch {} is signed, with {} nodes, good for {} more.\n\
         This node goes by {} from its next start or SIGHUP on.\n\
         Others get it from there by themselves, or at once after\n  ->  fog directory fetch\n\
         The next ones are signed by themselves while fog node runs here; it is good for {} epochs.\n",
        document.epoch(),
        document.nodes().count(),
        span_words(document.valid_until().since(now)),
        path.display(),
        VALID_EPOCHS,
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
