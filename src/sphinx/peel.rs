//! Taking one layer off a packet, in the order of docs/spec.md, "Peeling", and no other.
//!
//! The order is in the types: the slot is read from an [`Opened`], which exists only when the MAC held, and between
//! the two the caller looks up the replay tag. The body is decrypted last, and may wait until the packet leaves.

use super::build::header;
use super::geometry::{AD, AD_LEN, BODY_LEN, BODY_TAG_LEN, HEADER_LEN, KEM_CT_LEN, MAC_LEN, PAYLOAD_LEN};
use super::geometry::{ROUTE_LEN, SLOT_LEN, WINDOW_LEN};
use super::kdf::{BodyKey, HopKeys};
use super::slot::{self, Command};
use super::xwing::MixKey;
use super::{split, split_mut, wide_block};
use crate::id::{NodeId, ReplayTag};
use std::fmt;
use subtle::ConstantTimeEq;
use thiserror::Error;

/// Why a packet is refused: for counters. Whoever sent it must not learn which, nor that it was refused at all.
#[derive(Debug, Error, PartialEq, Eq, Clone, Copy)]
pub enum PeelError {
    /// Not for this key, another version, or a bit of the header was changed.
    #[error("the header is not for this key, or was changed")]
    BadMac,
    /// The slot says something that the grammar doesn't know.
    #[error("the header's command is malformed")]
    BadCommand,
    /// The body was changed on its way.
    #[error("the body was changed")]
    BadBody,
}

/// A header whose MAC holds. Nothing of it has been decrypted.
pub struct Opened {
    keys: HopKeys,
    window: Box<[u8; WINDOW_LEN]>,
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Opened(..)")
    }
}

/// What one hop learns from a packet.
pub struct Peeled {
    /// What to do with it.
    pub command: Command,
    /// The next hop's header; there for [`Command::Forward`], and for nothing else.
    pub next_header: Option<Box<[u8; HEADER_LEN]>>,
    /// For [`open_body`].
    pub body_key: BodyKey,
}

impl fmt::Debug for Peeled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Peeled(..)")
    }
}

/// Checks a header with one of this node's mix keys.
///
/// # Errors
/// [`PeelError::BadMac`] if the packet is not for this key, or any bit of its header was changed.
pub fn open(header: &[u8; HEADER_LEN], key: &MixKey, node: &NodeId) -> Result<Opened, PeelError> {
    let (ad, rest) = split::<AD_LEN, { HEADER_LEN - AD_LEN }, HEADER_LEN>(header);
    let (ct, rest) = split::<KEM_CT_LEN, { ROUTE_LEN + MAC_LEN }, { HEADER_LEN - AD_LEN }>(rest);
    let (route, mac) = split::<ROUTE_LEN, MAC_LEN, { ROUTE_LEN + MAC_LEN }>(rest);
    if *ad != AD {
        return Err(PeelError::BadMac);
    }
    let (shared, x25519_is_zero) = key.decapsulate(ct);
    let keys = HopKeys::derive(&shared, node);
    if !bool::from(keys.mac(ct, route).ct_eq(mac) & !x25519_is_zero) {
        return Err(PeelError::BadMac);
    }
    let mut window = Box::new([0; WINDOW_LEN]);
    split_mut::<ROUTE_LEN, SLOT_LEN, WINDOW_LEN>(&mut window).0.copy_from_slice(route);
    Ok(Opened { keys, window })
}

impl Opened {
    /// What to look for among the replay tags of the key that opened this, before anything else.
    #[must_use]
    pub fn tag(&self) -> ReplayTag {
        self.keys.tag
    }

    /// Reads this hop's slot.
    ///
    /// # Errors
    /// [`PeelError::BadCommand`] if it breaks the grammar.
    pub fn route(mut self) -> Result<Peeled, PeelError> {
        self.keys.crypt_route(&mut self.window);
        let (slot, next_route) = split::<SLOT_LEN, ROUTE_LEN, WINDOW_LEN>(&self.window);
        let (command, next) = slot::decode(slot)?;
        let next_header = next.map(|next| header(&next.ct, next_route, &next.mac));
        Ok(Peeled { command, next_header, body_key: self.keys.body })
    }
}

/// Decrypts one layer of a body in place.
pub fn open_body(key: &BodyKey, body: &mut [u8; BODY_LEN]) {
    wide_block::decrypt(key, body);
}

/// The payload of a body that is wholly decrypted.
///
/// # Errors
/// [`PeelError::BadBody`] if any bit of the body was changed on its way.
pub fn payload_of(body: &[u8; BODY_LEN]) -> Result<&[u8; PAYLOAD_LEN], PeelError> {
    let (tag, payload) = split::<BODY_TAG_LEN, PAYLOAD_LEN, BODY_LEN>(body);
    if bool::from(tag.ct_eq(&[0; BODY_TAG_LEN])) { Ok(payload) } else { Err(PeelError::BadBody) }
}
