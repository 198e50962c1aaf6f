//! The body's cipher: LIONESS (Anderson and Biham 1996) with AES-256-CTR and keyed BLAKE3.
//!
//! Each bit of the output depends on each bit of the input, so a changed bit leaves nothing to recognise a body by.
//! The stream key is *derived* from the left part, not XORed into the key as in the original: AES-256 never sees
//! related keys.

use super::kdf::{BodyKey, stream};
use super::split;
use crate::secret::Secret;

const LEFT_LEN: usize = 32;

/// Encrypts `block` (more than 32 bytes) in place.
pub fn encrypt<const N: usize>(key: &BodyKey, block: &mut [u8; N]) {
    let ([k1, k2, k3, k4], (left, right)) = (keys(key), halves(block));
    stream_from(k1, left, right);
    hash_onto(k2, left, right);
    stream_from(k3, left, right);
    hash_onto(k4, left, right);
}

/// Undoes [`encrypt`].
pub fn decrypt<const N: usize>(key: &BodyKey, block: &mut [u8; N]) {
    let ([k1, k2, k3, k4], (left, right)) = (keys(key), halves(block));
    hash_onto(k4, left, right);
    stream_from(k3, left, right);
    hash_onto(k2, left, right);
    stream_from(k1, left, right);
}

/// `R ^= S(B(k, L))`
fn stream_from(key: &[u8; 32], left: &[u8; LEFT_LEN], right: &mut [u8]) {
    let stream_key = Secret::take(&mut blake3::keyed_hash(key, left).into());
    stream(stream_key.expose(), right);
}

/// `L ^= B(k, R)`
fn hash_onto(key: &[u8; 32], left: &mut [u8; LEFT_LEN], right: &[u8]) {
    let hash = blake3::keyed_hash(key, right);
    left.iter_mut().zip(hash.as_bytes()).for_each(|(to, from)| *to ^= from);
}

fn keys(key: &BodyKey) -> [&[u8; 32]; 4] {
    let (front, back) = split::<64, 64, { BodyKey::LEN }>(key.as_bytes());
    let ((k1, k2), (k3, k4)) = (split(front), split(back));
    [k1, k2, k3, k4]
}

fn halves<const N: usize>(block: &mut [u8; N]) -> (&mut [u8; LEFT_LEN], &mut [u8]) {
    const { assert!(N > LEFT_LEN) };
    block.split_first_chunk_mut().expect("N > LEFT_LEN, asserted above")
}
