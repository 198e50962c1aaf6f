//! Sealing at rest: XSalsa20-Poly1305 with a random nonce.

use crate::secret::Secret;
use crate::wire::Malformed;
use crypto_secretbox::aead::{AeadInPlace, KeyInit};
use crypto_secretbox::{Nonce, Tag, XSalsa20Poly1305};
use rand_core::CryptoRng;

const NONCE_LEN: usize = 24;

/// What sealing adds: nonce ‖ tag.
pub(super) const SEAL_LEN: usize = NONCE_LEN + 16;

/// Encrypts `text` in place; the result and the seal together open it.
pub(super) fn seal<R: CryptoRng>(key: &[u8; 32], text: &mut [u8], rng: &mut R) -> [u8; SEAL_LEN] {
    let mut seal = [0; SEAL_LEN];
    let (nonce, tag) = seal.split_at_mut(NONCE_LEN);
    rng.fill_bytes(nonce);
    let made = XSalsa20Poly1305::new(key.into())
        .encrypt_in_place_detached(Nonce::from_slice(nonce), b"", text)
        .expect("it only fails on associated data: there is none");
    tag.copy_from_slice(&made);
    seal
}

/// Decrypts `text` in place.
///
/// # Errors
/// `Malformed` if key, seal or a bit is wrong; `text` is as it was then.
pub(super) fn open(key: &[u8; 32], seal: &[u8; SEAL_LEN], text: &mut [u8]) -> Result<(), Malformed> {
    let (nonce, tag) = seal.split_at(NONCE_LEN);
    XSalsa20Poly1305::new(key.into())
        .decrypt_in_place_detached(Nonce::from_slice(nonce), b"", text, Tag::from_slice(tag))
        .map_err(|_| Malformed)
}

/// As `seal`, so that it opens beside the same `raw` alone: what lies in the clear can't change unseen.
pub(super) fn seal_beside<R: CryptoRng>(key: &Secret<32>, raw: &[u8], text: &mut [u8], rng: &mut R) -> [u8; SEAL_LEN] {
    seal(beside(key, raw).expose(), text, rng)
}

/// As `open`, for what was sealed beside `raw`.
///
/// # Errors
/// As `open`, and if a bit of `raw` is another.
pub(super) fn open_beside(
    key: &Secret<32>,
    raw: &[u8],
    seal: &[u8; SEAL_LEN],
    text: &mut [u8],
) -> Result<(), Malformed> {
    open(beside(key, raw).expose(), seal, text)
}

fn beside(key: &Secret<32>, raw: &[u8]) -> Secret<32> {
    Secret::filled(|bytes| *bytes = *blake3::keyed_hash(key.expose(), raw).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    #[test]
    fn what_is_sealed_twice_looks_different_and_opens_with_its_own_seal_alone() {
        let mut rng = StdRng::seed_from_u64(1);
        let (mut one, mut two) = (*b"the same text", *b"the same text");
        let seals = [seal(&[1; 32], &mut one, &mut rng), seal(&[1; 32], &mut two, &mut rng)];
        assert!(one != two && one != *b"the same text");
        for (key, seal) in [([2; 32], seals[0]), ([1; 32], seals[1])] {
            let sealed = one;
            assert_eq!(open(&key, &seal, &mut one), Err(Malformed));
            assert_eq!(one, sealed, "changed by a failed opening");
        }
        assert_eq!(open(&[1; 32], &seals[0], &mut one), Ok(()));
        assert_eq!(&one, b"the same text");
    }
}
