//! `fog node-info`: this node's signed descriptor, to give to the directory.

use super::error::CliError;
use super::global::Global;
use super::words::{candidate, command, io_trouble, key_trouble, store_trouble};
use crate::config::Config;
use crate::directory::{Descriptor, ExitPolicy, MIX_KEYS, Params, Signed};
use crate::id::Epoch;
use crate::sphinx::xwing::MixKey;
use crate::store::{Store, StoreError};
use crate::sys::exit_code::ExitCode;
use crate::sys::key_file::NodeKey;
use crate::sys::{clock, file};
use crate::time::Time;
use serde_json::json;
use std::path::PathBuf;

/// Longest descriptor that is read from a file.
pub(super) const MAX_DESCRIPTOR: u64 = 64 << 10;

/// `fog node-info` takes no options of its own.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Prints the descriptor.
///
/// # Errors
/// A configuration or key that can't be used; a running node whose descriptor is out of date.
pub fn run(_: &Args, global: &Global) -> Result<(), CliError> {
    let config = global.load()?;
    let key = NodeKey::read(&config.node.key).map_err(|error| key_trouble(&config.node.key, &error))?;
    let signed = current(&config, &params(&config, global)?, &key, clock::now(), global)?;
    let text = signed.to_text();
    let json = || format!("{}\n", json!({"v": 1, "id": signed.descriptor().id().to_string(), "descriptor": text}));
    super::print(if global.json { json() } else { text.clone() }.as_bytes())
}

/// The network's parameters: of the document the node goes by, or of the draft where there is none yet.
fn params(config: &Config, global: &Global) -> Result<Params, CliError> {
    for path in [config.spool.document(), draft(config)] {
        if let Some(candidate) = candidate(&path)? {
            return Ok(candidate.contents().params.clone());
        }
    }
    Err(CliError::new(ExitCode::Config, "there is no directory document")
        .found(format!("{} is missing", config.spool.document().display()))
        .try_(command(global, "directory fetch --from KEY@HOST:PORT")))
}

/// What is to become the next document.
pub(super) fn draft(config: &Config) -> PathBuf {
    config.spool.path.join("directory.draft")
}

/// The descriptor this node has given out last.
pub(super) fn kept(config: &Config) -> PathBuf {
    config.spool.path.join("descriptor")
}

/// The descriptor as it should be now. The one given out last is given out again as long as it says the same, so that
/// its number goes up only with a change.
pub(super) fn current(
    config: &Config,
    params: &Params,
    key: &NodeKey,
    now: Time,
    global: &Global,
) -> Result<Signed, CliError> {
    let running = now.epoch(params.epoch);
    let last = read_kept(config);
    let mut store = match Store::open(&config.spool.path) {
        Ok(store) => store,
        Err(StoreError::Locked(_)) => return of_running_node(last, running, global),
        Err(error) => return Err(store_trouble(&config.spool.path, &error)),
    };
    let mut descriptor = describe(config, params, key, &mut store, running)?;
    let last_sequence = last.as_ref().map_or(0, |last| last.descriptor().sequence);
    descriptor.sequence = last_sequence;
    if let Some(last) = last.filter(|last| last.descriptor() == &descriptor) {
        return Ok(last);
    }
    // The clock makes it higher than that of a descriptor whose file was lost.
    descriptor.sequence = last_sequence.saturating_add(1).max(now.as_secs());
    let signed = descriptor
        .sign(&key.identity)
        .map_err(|bad| CliError::new(ExitCode::Bug, "the descriptor breaks its own grammar").found(bad.to_string()))?;
    let path = kept(config);
    file::replace(&path, signed.to_text().as_bytes(), file::SECRET).map_err(|error| io_trouble(&path, &error))?;
    Ok(signed)
}

fn read_kept(config: &Config) -> Option<Signed> {
    // One that is gone or damaged is made anew.
    file::read_text(&kept(config), MAX_DESCRIPTOR).ok().and_then(|text| Signed::parse(&text).ok())
}

/// While the node runs, only it may open its keys.
fn of_running_node(last: Option<Signed>, running: Epoch, global: &Global) -> Result<Signed, CliError> {
    last.filter(|last| last.descriptor().mix_keys.contains_key(&running)).ok_or_else(|| {
        CliError::new(ExitCode::TryAgain, "the node is running, and its descriptor has no key for this epoch")
            .found("a new one needs the node's keys, which only one process may open")
            .try_(format!("stop the node, then: {}", command(global, "node-info")))
    })
}

fn describe(
    config: &Config,
    params: &Params,
    key: &NodeKey,
    store: &mut Store,
    running: Epoch,
) -> Result<Descriptor, CliError> {
    let trouble = |error: &StoreError| store_trouble(&config.spool.path, error);
    let last = running.plus(MIX_KEYS - 1);
    store.ensure_keys(running, last, &mut clock::rng()).map_err(|error| trouble(&error))?;
    let seed = |epoch| store.mix_seed(epoch).ok_or(StoreError::NoKey(epoch));
    let mix_key = |epoch| seed(epoch).map(|seed| (epoch, MixKey::from_seed(seed).public().clone()));
    let mix_keys = (running.0..=last.0).map(Epoch).map(mix_key).collect::<Result<_, _>>();
    let exit = config.exit.as_ref().map(|exit| ExitPolicy {
        domains: exit.domains.clone(),
        max_size: exit.max_size.unwrap_or(params.max_size).min(params.max_size),
        news: !exit.news.is_empty(),
    });
    Ok(Descriptor {
        name: config.node.name.clone(),
        sequence: 0,
        identity: key.identity.public(),
        link_key: key.link_public(),
        address: config.node.onion.clone(),
        family: config.node.family.clone(),
        contact: config.node.contact.clone(),
        version: env!("CARGO_PKG_VERSION").into(),
        mix: config.node.roles.mix,
        exit,
        measured: None,
        mix_keys: mix_keys.map_err(|error| trouble(&error))?,
    })
}
