//! The packet: KEM-Sphinx, 64 KiB, post-quantum (docs/spec.md).
//!
//! Whoever sends [`build`]s a packet for a path. Each hop [`open`]s its header, looks up the replay tag, reads the
//! [`route`](Opened::route) and, when the packet leaves, decrypts the body with [`open_body`]; the last hop reads the
//! [`payload_of`] it. [`surb`] makes headers that others may send to us with.

pub mod geometry;
pub mod surb;
pub mod wide_block;
pub mod xwing;

mod build;
mod kdf;
mod peel;
mod slot;
#[cfg(test)]
mod testing;

pub use build::{BuildError, Hop, Randomness, build};
pub use kdf::BodyKey;
pub use peel::{Opened, PeelError, Peeled, open, open_body, payload_of};
pub use slot::{Command, Last};

use geometry::{BODY_LEN, HEADER_LEN, PACKET_LEN};
use sha2::{Digest, Sha256};
use std::fmt;

/// A packet as it goes over a link: `PACKET_LEN` bytes, header and body.
#[derive(Clone, PartialEq, Eq)]
pub struct Packet(Box<[u8; PACKET_LEN]>);

impl Packet {
    /// The packet these bytes are; none if they are not exactly `PACKET_LEN`.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Box::<[u8]>::from(bytes).try_into().ok().map(Self)
    }

    /// Puts a packet together.
    #[must_use]
    pub fn from_parts(header: &[u8; HEADER_LEN], body: &[u8; BODY_LEN]) -> Self {
        Self(joined(&[header, body]))
    }

    /// This body under another header: what a hop sends on.
    #[must_use]
    pub fn with_header(mut self, header: &[u8; HEADER_LEN]) -> Self {
        *split_mut::<HEADER_LEN, BODY_LEN, PACKET_LEN>(&mut self.0).0 = *header;
        self
    }

    /// All of it.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; PACKET_LEN] {
        &self.0
    }

    /// The part that [`open`] reads.
    #[must_use]
    pub fn header(&self) -> &[u8; HEADER_LEN] {
        split::<HEADER_LEN, BODY_LEN, PACKET_LEN>(&self.0).0
    }

    /// The part that [`open_body`] decrypts.
    #[must_use]
    pub fn body(&self) -> &[u8; BODY_LEN] {
        split::<HEADER_LEN, BODY_LEN, PACKET_LEN>(&self.0).1
    }

    /// The body, to be decrypted where it lies.
    #[must_use]
    pub fn body_mut(&mut self) -> &mut [u8; BODY_LEN] {
        split_mut::<HEADER_LEN, BODY_LEN, PACKET_LEN>(&mut self.0).1
    }

    /// SHA-256 of all of it: a name for this packet on one link, nothing that another hop could know.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.0.as_slice()).into()
    }
}

impl fmt::Debug for Packet {
    /// Says nothing: packets turn up in errors and traces, and their bytes are nobody's business there.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Packet(..)")
    }
}

/// These parts in one piece.
fn joined<const N: usize>(parts: &[&[u8]]) -> Box<[u8; N]> {
    parts.concat().into_boxed_slice().try_into().expect("the parts' lengths sum up to N, by geometry")
}

/// The first `A` and the last `B` of `N` bytes; does not compile unless `A + B = N`.
fn split<const A: usize, const B: usize, const N: usize>(bytes: &[u8; N]) -> (&[u8; A], &[u8; B]) {
    const { assert!(A + B == N) };
    let (left, right) = bytes.split_at(A);
    let left = left.try_into().expect("split at A");
    (left, right.try_into().expect("A + B = N, asserted above"))
}

/// As [`split`], to write to.
fn split_mut<const A: usize, const B: usize, const N: usize>(bytes: &mut [u8; N]) -> (&mut [u8; A], &mut [u8; B]) {
    const { assert!(A + B == N) };
    let (left, right) = bytes.split_at_mut(A);
    let left = left.try_into().expect("split at A");
    (left, right.try_into().expect("A + B = N, asserted above"))
}
