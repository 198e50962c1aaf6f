//! `fog node-info`: this node's signed descriptor, to give to the directory.

use super::error::CliError;
use super::global::Global;
use super::words::{candidate, command, document_in_use, io_trouble, key_trouble, store_trouble};
use crate::config::Config;
use crate::directory::{Identity, MIX_KEYS, Params, Signed};
use crate::engine;
use crate::id::Epoch;
use crate::node::descriptor::{self, NoDescriptor};
use crate::sphinx::xwing::{MixKey, PublicKey};
use crate::store::{Store, StoreError};
use crate::sys::clock;
use crate::sys::exit_code::ExitCode;
use crate::sys::key_file::{self, NodeKey};
use crate::time::Time;
use serde_json::json;
use std::collections::BTreeMap;
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
    let mut store = match Store::open(&config.spool.path) {
        Ok(store) => store,
        Err(StoreError::Locked(_)) => return of_running_node(descriptor::last(config), running, global),
        Err(error) => return Err(store_trouble(&config.spool.path, &error)),
    };
    let mix_keys = mix_keys(config, &mut store, running)?;
    let measured = match document_in_use(config, now, global) {
        Ok(document) => {
            engine::measured(&store, &document, now).map_err(|error| store_trouble(&config.spool.path, &error))?
        }
        // A node that is to join has nothing to go by yet, and has measured nobody.
        Err(_) => None,
    };
    descriptor::current(config, params, key, authority(config)?, (mix_keys, measured), now).map_err(|none| match none {
        NoDescriptor::Malformed(_) => CliError::new(ExitCode::Bug, none.to_string()),
        NoDescriptor::Unwritable(error) => io_trouble(&descriptor::path(config), &error),
    })
}

/// The public key of the authority at this node, if its roles say that there is one.
fn authority(config: &Config) -> Result<Option<Identity>, CliError> {
    if !config.node.roles.authority {
        return Ok(None);
    }
    let path = config.node.authority_key();
    let key = key_file::read_authority(&path).map_err(|error| {
        let error = key_trouble(&path, &error);
        if error.exit == ExitCode::NoInput {
            error.try_("take \"authority\" out of node.roles, or put the key back")
        } else {
            error
        }
    })?;
    Ok(Some(key.public()))
}

/// While the node runs, only it may open its keys.
fn of_running_node(last: Option<Signed>, running: Epoch, global: &Global) -> Result<Signed, CliError> {
    last.filter(|last| last.descriptor().mix_keys.contains_key(&running)).ok_or_else(|| {
        CliError::new(ExitCode::TryAgain, "the node is running, and its descriptor has no key for this epoch")
            .found("a new one needs the node's keys, which only one process may open")
            .try_(format!("stop the node, then: {}", command(global, "node-info")))
    })
}

fn mix_keys(config: &Config, store: &mut Store, running: Epoch) -> Result<BTreeMap<Epoch, PublicKey>, CliError> {
    let trouble = |error: &StoreError| store_trouble(&config.spool.path, error);
    let last = running.plus(MIX_KEYS - 1);
    store.ensure_keys(running, last, &mut clock::rng()).map_err(|error| trouble(&error))?;
    let seed = |epoch| store.mix_seed(epoch).ok_or(StoreError::NoKey(epoch));
    let mix_key = |epoch| seed(epoch).map(|seed| (epoch, MixKey::from_seed(seed).public().clone()));
    (running.0..=last.0).map(Epoch).map(mix_key).collect::<Result<_, _>>().map_err(|error| trouble(&error))
}
