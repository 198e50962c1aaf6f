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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sphinx::geometry::BODY_LEN;
    use crate::sphinx::testing::TestRng;

    #[test]
    fn a_block_is_decrypted_to_what_was_encrypted() {
        let mut rng = TestRng::new(1);
        let key = BodyKey::from_bytes(&rng.array());
        let plain: Box<[u8; BODY_LEN]> = rng.array();
        let mut block = plain.clone();
        encrypt(&key, &mut block);
        assert_ne!(block, plain);
        decrypt(&key, &mut block);
        assert_eq!(block, plain);
    }

    /// What makes tagging useless: whichever bit is changed, nothing of the block is left, front and end included.
    #[test]
    fn one_changed_bit_changes_all_of_the_block() {
        let mut rng = TestRng::new(2);
        let key = BodyKey::from_bytes(&rng.array());
        let block: Box<[u8; BODY_LEN]> = rng.array();
        let mut plain = block.clone();
        decrypt(&key, &mut plain);
        for at in [0, 31, 32, BODY_LEN / 2, BODY_LEN - 1] {
            let mut changed = block.clone();
            changed[at] ^= 1;
            decrypt(&key, &mut changed);
            for (part, (now, before)) in changed.chunks(32).zip(plain.chunks(32)).enumerate() {
                let same = now.iter().zip(before).filter(|(a, b)| a == b).count();
                assert!(same < 8, "byte {at} changed: {same} of 32 bytes are the same in part {part}");
            }
        }
    }
}
