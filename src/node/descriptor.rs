//! What this node says of itself, as its configuration and its keys are now.

use crate::config::Config;
use crate::directory::{Descriptor, ExitPolicy, Identity, Malformed, Measured, Params, Signed};
use crate::id::Epoch;
use crate::link::offer::MAX_DESCRIPTOR;
use crate::sphinx::xwing::PublicKey;
use crate::sys::file;
use crate::sys::key_file::NodeKey;
use crate::time::Time;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// Why there is no descriptor.
#[derive(Debug, Error)]
pub enum NoDescriptor {
    /// What it would say breaks the grammar.
    #[error("the descriptor breaks its own grammar: {0}")]
    Malformed(#[from] Malformed),
    /// It can't be kept, so that the next one's number might be no higher.
    #[error(transparent)]
    Unwritable(#[from] io::Error),
}

/// Where the descriptor lies that was given out last.
#[must_use]
pub fn path(config: &Config) -> PathBuf {
    config.spool.path.join("descriptor")
}

/// The descriptor that was given out last; one that is gone or damaged is made anew.
#[must_use]
pub fn last(config: &Config) -> Option<Signed> {
    file::read_text(&path(config), MAX_DESCRIPTOR as u64).ok().and_then(|text| Signed::parse(&text).ok())
}

/// The descriptor as it should be now. The one given out last is given out again as long as it says the same, so that its
/// number goes up only with a change.
///
/// # Errors
/// See `NoDescriptor`.
pub fn current(
    config: &Config,
    params: &Params,
    key: &NodeKey,
    authority: Option<Identity>,
    (mix_keys, measured): (BTreeMap<Epoch, PublicKey>, Option<Measured>),
    now: Time,
) -> Result<Signed, NoDescriptor> {
    let last = last(config);
    let last_sequence = last.as_ref().map_or(0, |last| last.descriptor().sequence);
    let mut descriptor = Descriptor {
        name: config.node.name.clone(),
        sequence: last_sequence,
        identity: key.identity.public(),
        link_key: key.link_public(),
        address: config.node.onion.clone(),
        family: config.node.family.clone(),
        contact: config.node.contact.clone(),
        version: env!("CARGO_PKG_VERSION").into(),
        mix: config.node.roles.mix,
        exit: policy(config, params),
        authority: authority.filter(|_| config.node.roles.authority),
        measured: last.as_ref().and_then(|last| last.descriptor().measured.clone()),
        mix_keys,
    };
    if let Some(last) = last.filter(|last| last.descriptor() == &descriptor) {
        return Ok(last);
    }
    // What was measured is told anew with the keys of a new epoch: at another time it would tell when a loop was lost.
    descriptor.measured = measured;
    // The clock makes it higher than that of a descriptor whose file was lost.
    descriptor.sequence = last_sequence.saturating_add(1).max(now.as_secs());
    let signed = descriptor.sign(&key.identity)?;
    file::replace(&path(config), signed.to_text().as_bytes(), file::SECRET)?;
    Ok(signed)
}

fn policy(config: &Config, params: &Params) -> Option<ExitPolicy> {
    config.exit.as_ref().map(|exit| ExitPolicy {
        domains: exit.domains.clone(),
        max_size: exit.max_size.unwrap_or(params.max_size).min(params.max_size),
        news: !exit.news.is_empty(),
    })
}
