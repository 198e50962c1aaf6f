//! Single-use reply blocks: a header whose last hop is its maker, for others to send to us with.
//!
//! A SURB carries one key that is nobody else's, and *no* hop key: with those its user and the last mix could
//! recognise each other's packets.

use super::build::{BuildError, Hop, Randomness, seal_header, tagged};
use super::geometry::{BODY_LEN, HEADER_LEN, PAYLOAD_LEN, SURB_KEY_LEN, SURB_LEN};
use super::kdf::BodyKey;
use super::peel::{PeelError, payload_of};
use super::slot::Command;
use super::{Packet, split, split_mut, wide_block};
use crate::id::{NodeId, SurbId};
use crate::secret::Secret;
use std::fmt;

/// What its user gets.
pub struct Surb {
    header: Box<[u8; HEADER_LEN]>,
    first: NodeId,
    key: Secret<SURB_KEY_LEN>,
}

impl fmt::Debug for Surb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Surb(..)")
    }
}

/// What its maker keeps, under the SURB's id. Deleted with the first use, also when that comes to nothing.
#[derive(Debug)]
pub struct Record {
    /// Which command will name it.
    pub id: SurbId,
    /// The key in the SURB.
    pub key: Secret<SURB_KEY_LEN>,
    /// The hops' body keys, first hop first; the last is our own.
    pub body_keys: Vec<BodyKey>,
}

/// Makes a SURB for a path whose last hop is its maker.
///
/// `id` and `key` are random, `delays_ms` is as in [`build`](super::build::build).
///
/// # Errors
/// [`BuildError`] if there is no such path.
pub fn make(
    hops: &[Hop<'_>],
    delays_ms: &[u32],
    id: SurbId,
    key: Secret<SURB_KEY_LEN>,
    random: &Randomness,
) -> Result<(Surb, Record), BuildError> {
    let (header, keys) = seal_header(hops, delays_ms, Command::Reply { surb: id }, random)?;
    let first = hops.first().ok_or(BuildError::PathLength)?.id;
    let surb = Surb { header, first, key: Secret::filled(|copy| *copy = *key.expose()) };
    Ok((surb, Record { id, key, body_keys: keys.into_iter().map(|keys| keys.body).collect() }))
}

/// Undoes a reply in place. `body` is what peeling it as its last hop gave, wholly decrypted as any other.
///
/// # Errors
/// [`PeelError::BadBody`] if this is not what the SURB's user sent.
pub fn open(record: Record, body: &mut [u8; BODY_LEN]) -> Result<&[u8; PAYLOAD_LEN], PeelError> {
    record.body_keys.iter().rev().for_each(|key| wide_block::encrypt(key, body));
    wide_block::decrypt(&BodyKey::of_surb(&record.key), body);
    payload_of(body)
}

impl Surb {
    /// Sends `payload` to the SURB's maker.
    ///
    /// # Returns
    /// Whom to send the packet to, and the packet. It can't be told from any other.
    #[must_use]
    pub fn reply(self, payload: &[u8; PAYLOAD_LEN]) -> (NodeId, Packet) {
        let mut packet = Packet::from_parts(&self.header, &tagged(payload));
        wide_block::encrypt(&BodyKey::of_surb(&self.key), packet.body_mut());
        (self.first, packet)
    }

    /// `header ‖ id of the first hop ‖ key`.
    #[must_use]
    pub fn to_bytes(&self) -> Secret<SURB_LEN> {
        Secret::filled(|bytes| {
            let (header, rest) = split_mut::<HEADER_LEN, { SURB_LEN - HEADER_LEN }, SURB_LEN>(bytes);
            let (first, key) = split_mut(rest);
            (*header, *first, *key) = (*self.header, self.first.0, *self.key.expose());
        })
    }

    /// The SURB that [`to_bytes`](Self::to_bytes) wrote. Any bytes are one: only its use shows whether it is good.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; SURB_LEN]) -> Self {
        let (header, rest) = split::<HEADER_LEN, { SURB_LEN - HEADER_LEN }, SURB_LEN>(bytes);
        let (first, key) = split(rest);
        Self { header: Box::new(*header), first: NodeId(*first), key: Secret::filled(|copy| *copy = *key) }
    }
}
