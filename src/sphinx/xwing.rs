//! X-Wing, the hybrid of X25519 and ML-KEM-768 (draft-connolly-cfrg-xwing-kem-06), put together from its parts because
//! the ready-made crate expands the private key at every call and takes the slow way through X25519.

use super::geometry::{KEM_CT_LEN, ML_KEM_CT_LEN, X25519_LEN};
use super::{split, split_mut};
use crate::secret::Secret;
use curve25519_dalek::{edwards::EdwardsPoint, montgomery::MontgomeryPoint};
#[cfg(target_arch = "x86_64")]
use libcrux_ml_kem::mlkem768::avx2;
use libcrux_ml_kem::mlkem768::{self, MlKem768Ciphertext, MlKem768PrivateKey, MlKem768PublicKey};
use std::fmt;
use std::ops::IndexMut;
use subtle::{Choice, ConstantTimeEq};
use thiserror::Error;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// A public key: ML-KEM-768 (1,184 bytes) and X25519 (32).
pub const PUBLIC_KEY_LEN: usize = ML_KEM_PUBLIC_LEN + X25519_LEN;

const ML_KEM_PUBLIC_LEN: usize = 1_184;

/// What the draft mixes in last, so that a key of this KEM is one of no other.
const LABEL: &[u8; 6] = br"\.//^\";

/// These bytes are no public key: a wrong length, an ML-KEM key that FIPS 203 (7.2) refuses, or a Curve25519 point of
/// low order, with which no packet would ever be accepted.
#[derive(Debug, Error, PartialEq, Eq, Clone, Copy)]
#[error("not an X-Wing public key")]
pub struct BadKey;

/// A public key that has been checked.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey(Box<[u8; PUBLIC_KEY_LEN]>);

impl PublicKey {
    /// Checks a public key, `ML-KEM ‖ X25519`.
    ///
    /// # Errors
    /// [`BadKey`].
    pub fn parse(bytes: &[u8]) -> Result<Self, BadKey> {
        let key = Self(Box::<[u8]>::from(bytes).try_into().map_err(|_| BadKey)?);
        let (ml_kem, x25519) = key.halves();
        // Any clamped scalar is a multiple of the cofactors of curve and twist, so it finds every low-order point.
        if !mlkem768::validate_public_key(&ml_kem.into()) || x25519_shared(&[0; X25519_LEN], x25519).1.into() {
            return Err(BadKey);
        }
        Ok(key)
    }

    /// The key as it is published.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; PUBLIC_KEY_LEN] {
        &self.0
    }

    fn halves(&self) -> (&[u8; ML_KEM_PUBLIC_LEN], &[u8; X25519_LEN]) {
        split(&self.0)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("xwing::PublicKey(..)")
    }
}

/// A node's private key for one epoch, expanded once.
pub struct MixKey {
    ml_kem: MlKemKey,
    x25519: Secret<X25519_LEN>,
    public: PublicKey,
}

impl MixKey {
    /// Expands the 32-byte private key of the draft.
    #[must_use]
    pub fn from_seed(seed: &Secret<32>) -> Self {
        let mut expanded: [u8; 96] = libcrux_sha3::shake256(seed.expose());
        let (ml_kem_seed, x25519_seed) = split_mut::<64, X25519_LEN, 96>(&mut expanded);
        let pair = mlkem768::generate_key_pair(*ml_kem_seed);
        ml_kem_seed.zeroize();
        let x25519 = Secret::take(x25519_seed);

        let mut public = Box::new([0; PUBLIC_KEY_LEN]);
        let (ml_kem_public, x25519_public) = split_mut(&mut public);
        *ml_kem_public = *pair.pk();
        *x25519_public = x25519_base(x25519.expose());
        Self { ml_kem: MlKemKey::expand(pair.into_parts().0), x25519, public: PublicKey(public) }
    }

    /// The public key to publish.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The shared secret in `ciphertext`, and whether X25519 gave the all-zero value, which must count as a MAC
    /// failure: the caller goes on to the MAC all the same, so that both take one way.
    pub(super) fn decapsulate(&self, ciphertext: &[u8; KEM_CT_LEN]) -> (Secret<32>, Choice) {
        let (ml_kem_ct, x25519_ct) = split::<ML_KEM_CT_LEN, X25519_LEN, KEM_CT_LEN>(ciphertext);
        let ml_kem = self.ml_kem.decapsulate(&ml_kem_ct.into());
        let (x25519, is_zero) = x25519_shared(self.x25519.expose(), x25519_ct);
        (combine(&ml_kem, &x25519, x25519_ct, self.public.halves().1), is_zero)
    }
}

impl fmt::Debug for MixKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MixKey(..)")
    }
}

/// Encapsulates to `key`; `randomness` is 32 bytes for ML-KEM and 32 for X25519, used once.
///
/// # Returns
/// The ciphertext, `ML-KEM ‖ X25519`, and the shared secret.
#[must_use]
pub fn encapsulate(key: &PublicKey, randomness: &[u8; 64]) -> ([u8; KEM_CT_LEN], Secret<32>) {
    let (ml_kem_random, x25519_random) = split::<32, X25519_LEN, 64>(randomness);
    let (ml_kem_key, x25519_key) = key.halves();

    let (ml_kem_ct, mut ml_kem) = mlkem768::encapsulate(&MlKem768PublicKey::from(ml_kem_key), *ml_kem_random);
    let (x25519, _) = x25519_shared(x25519_random, x25519_key);
    let mut ciphertext = [0; KEM_CT_LEN];
    let (left, right) = split_mut(&mut ciphertext);
    *left = *ml_kem_ct.as_slice();
    *right = x25519_base(x25519_random);
    let shared = combine(&Secret::take(&mut ml_kem), &x25519, right, x25519_key);
    (ciphertext, shared)
}

/// The draft's combiner: `SHA3-256(ss_M ‖ ss_X ‖ ct_X ‖ pk_X ‖ label)`.
fn combine(
    ml_kem: &Secret<32>,
    x25519: &Secret<X25519_LEN>,
    ct: &[u8; X25519_LEN],
    key: &[u8; X25519_LEN],
) -> Secret<32> {
    let input = Secret::filled(|input: &mut [u8; 4 * 32 + LABEL.len()]| {
        let parts = [ml_kem.expose(), x25519.expose(), ct, key];
        let bytes = parts.into_iter().flatten().chain(LABEL);
        input.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    });
    Secret::take(&mut libcrux_sha3::sha256(input.expose()))
}

/// X25519 (RFC 7748), and whether the result is all zero.
///
/// Through the Edwards form, whose arithmetic is vectorised: the same 32 bytes in two thirds of the time. A point of
/// the twist has no Edwards form; it takes the Montgomery ladder. Which way is taken depends on the public point alone.
fn x25519_shared(scalar: &[u8; X25519_LEN], point: &[u8; X25519_LEN]) -> (Secret<X25519_LEN>, Choice) {
    let point = MontgomeryPoint(*point);
    let mut shared = match point.to_edwards(0) {
        Some(edwards) => edwards.mul_clamped(*scalar).to_montgomery(),
        None => point.mul_clamped(*scalar),
    };
    let is_zero = shared.0.ct_eq(&[0; X25519_LEN]);
    (Secret::take(&mut shared.0), is_zero)
}

/// The public point of an X25519 scalar.
fn x25519_base(scalar: &[u8; X25519_LEN]) -> [u8; X25519_LEN] {
    EdwardsPoint::mul_base_clamped(*scalar).to_montgomery().0
}

/// The ML-KEM half of a private key.
enum MlKemKey {
    /// With the public matrix expanded, which takes decapsulation from 21 to 12 microseconds. libcrux has this form for
    /// one instruction set at a time.
    #[cfg(target_arch = "x86_64")]
    Avx2(Box<avx2::unpacked::MlKem768KeyPairUnpacked>),
    /// As FIPS 203 has it. libcrux picks the instructions at each call.
    Packed(Box<MlKem768PrivateKey>),
}

impl MlKemKey {
    fn expand(private: MlKem768PrivateKey) -> Self {
        let packed = Self::Packed(Box::new(private));
        #[cfg(target_arch = "x86_64")]
        if let Self::Packed(private) = &packed
            && std::arch::is_x86_feature_detected!("avx2")
        {
            let mut pair = Box::new(avx2::unpacked::init_key_pair());
            avx2::unpacked::key_pair_from_private_mut(private, &mut pair);
            return Self::Avx2(pair);
        }
        packed
    }

    fn decapsulate(&self, ciphertext: &MlKem768Ciphertext) -> Secret<32> {
        Secret::take(&mut match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(pair) => avx2::unpacked::decapsulate(pair, ciphertext),
            Self::Packed(private) => mlkem768::decapsulate(private, ciphertext),
        })
    }
}

impl Drop for MlKemKey {
    fn drop(&mut self) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(pair) => {
                // libcrux lets nobody into this one; the black box keeps the compiler from dropping the write.
                **pair = avx2::unpacked::init_key_pair();
                std::hint::black_box(pair);
            }
            Self::Packed(private) => private.index_mut(0..).zeroize(),
        }
    }
}

impl ZeroizeOnDrop for MlKemKey {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sphinx::testing::TestRng;
    use proptest::prelude::*;
    use serde::Deserialize;

    /// The points of order 1, 2, 4 and 8 on the curve and its twist (RFC 7748, 6.1), and one that is not reduced.
    const LOW_ORDER: [&str; 6] = [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ];

    #[derive(Deserialize)]
    struct Vector {
        eseed: String,
        ss: String,
        sk: String,
        pk: String,
        ct: String,
    }

    fn unhex<const N: usize>(hex: &str) -> [u8; N] {
        data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap().try_into().unwrap()
    }

    fn ladder(scalar: [u8; 32], point: [u8; 32]) -> [u8; 32] {
        MontgomeryPoint(point).mul_clamped(scalar).0
    }

    #[test]
    fn the_vectors_of_the_draft_hold() {
        let vectors: Vec<Vector> = serde_json::from_str(include_str!("../../tests/vectors/xwing.json")).unwrap();
        assert_eq!(vectors.len(), 3);
        for vector in vectors {
            let key = MixKey::from_seed(&Secret::take(&mut unhex(&vector.sk)));
            assert_eq!(key.public().as_bytes(), &unhex(&vector.pk));
            assert!(PublicKey::parse(key.public().as_bytes()).is_ok());

            let (ct, sent) = encapsulate(key.public(), &unhex(&vector.eseed));
            assert_eq!(ct, unhex(&vector.ct));
            let (received, is_zero) = key.decapsulate(&ct);
            assert_eq!((sent.expose(), received.expose()), (&unhex(&vector.ss), &unhex(&vector.ss)));
            assert!(!bool::from(is_zero));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        // Half of these points are on the twist.
        #[test]
        fn x25519_through_edwards_gives_the_ladders_bytes(scalar: [u8; 32], point: [u8; 32]) {
            prop_assert_eq!(*x25519_shared(&scalar, &point).0.expose(), ladder(scalar, point));
            prop_assert_eq!(x25519_base(&scalar), ladder(scalar, curve25519_dalek::constants::X25519_BASEPOINT.0));
        }
    }

    #[test]
    fn a_point_of_low_order_gives_zero_and_is_no_public_key() {
        let key = MixKey::from_seed(&Secret::filled(|seed| seed.fill(1)));
        for point in LOW_ORDER.map(unhex::<32>) {
            let (shared, is_zero) = x25519_shared(&[0x55; 32], &point);
            assert!(bool::from(is_zero) && *shared.expose() == [0; 32], "{point:02x?}");

            let mut public = *key.public().as_bytes();
            *split_mut::<ML_KEM_PUBLIC_LEN, X25519_LEN, PUBLIC_KEY_LEN>(&mut public).1 = point;
            assert_eq!(PublicKey::parse(&public), Err(BadKey), "{point:02x?}");
        }
    }

    #[test]
    fn bytes_that_fips_203_refuses_are_no_public_key() {
        let good = *MixKey::from_seed(&Secret::filled(|seed| seed.fill(1))).public().as_bytes();
        assert_eq!(PublicKey::parse(&good).unwrap().as_bytes(), &good);
        assert_eq!(PublicKey::parse(&good[1..]), Err(BadKey), "too short");
        assert_eq!(PublicKey::parse(&[good.as_slice(), &[0]].concat()), Err(BadKey), "too long");

        // Coefficients are 12 bits and below 3,329; 0xfff is not.
        for at in [0, 3 * 200, 1_149] {
            let mut public = good;
            public[at..at + 3].fill(0xff);
            assert_eq!(PublicKey::parse(&public), Err(BadKey), "coefficient at byte {at}");
        }
    }

    /// Whatever processor this runs on, both forms are checked on one that has AVX2.
    #[test]
    fn the_packed_and_the_expanded_key_give_the_same_secrets() {
        let mut rng = TestRng::new(2);
        for _ in 0..8 {
            let (private, public) = mlkem768::generate_key_pair(*rng.array()).into_parts();
            let (expanded, packed) = (MlKemKey::expand(private.clone()), MlKemKey::Packed(Box::new(private)));
            let (good, sent) = mlkem768::encapsulate(&public, *rng.array());
            for ciphertext in [good.clone(), (*rng.array()).into()] {
                assert_eq!(expanded.decapsulate(&ciphertext), packed.decapsulate(&ciphertext));
            }
            assert_eq!(*expanded.decapsulate(&good).expose(), sent);
        }
    }

    #[test]
    fn a_changed_ciphertext_gives_another_secret() {
        let mut rng = TestRng::new(1);
        let key = MixKey::from_seed(&Secret::take(&mut rng.array()));
        let (ct, shared) = encapsulate(key.public(), &rng.array());
        for at in [0, 959, 960, 1_087, 1_088, 1_119] {
            let mut changed = ct;
            changed[at] ^= 1;
            assert_ne!(key.decapsulate(&changed).0, shared, "byte {at}");
        }
    }
}
