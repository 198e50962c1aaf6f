//! From a hop's shared secret to its keys (docs/spec.md, "Hop keys").

use super::geometry::{AD, KEM_CT_LEN, MAC_LEN, ROUTE_LEN, WINDOW_LEN};
use crate::id::{NodeId, ReplayTag};
use crate::secret::Secret;
use aes::Aes256;
use ctr::Ctr128BE;
use ctr::cipher::{KeyIvInit, StreamCipher};
use hkdf::{Hkdf, HkdfExtract};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroize;

/// The key of a body: four keys of the wide block, 128 bytes.
#[derive(Debug, PartialEq, Eq)]
pub struct BodyKey(Secret<{ BodyKey::LEN }>);

impl BodyKey {
    /// Length in bytes.
    pub const LEN: usize = 128;

    /// The key with these bytes, which the caller wipes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; Self::LEN]) -> Self {
        Self(Secret::filled(|to| *to = *bytes))
    }

    /// The bytes, to seal them at rest.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; Self::LEN] {
        self.0.expose()
    }

    /// The key that a SURB's user encrypts with, from the SURB's `k_s`.
    pub(super) fn of_surb(key: &Secret<32>) -> Self {
        Self(expand(&extract(b"fog/1 surb", &[key.expose()]), b"body"))
    }
}

/// What one hop knows of a packet.
pub(super) struct HopKeys {
    mac: Secret<32>,
    route: Secret<32>,
    pub(super) body: BodyKey,
    pub(super) tag: ReplayTag,
}

impl HopKeys {
    /// The keys for the hop with this id.
    pub(super) fn derive(shared: &Secret<32>, node: &NodeId) -> Self {
        let prk = extract(b"fog/1 hop", &[shared.expose(), &node.0]);
        Self {
            mac: expand(&prk, b"mac"),
            route: expand(&prk, b"route"),
            body: BodyKey(expand(&prk, b"body")),
            tag: ReplayTag(*expand(&prk, b"tag").expose()),
        }
    }

    /// The MAC over `AD ‖ ct ‖ route`.
    pub(super) fn mac(&self, ct: &[u8; KEM_CT_LEN], route: &[u8; ROUTE_LEN]) -> [u8; MAC_LEN] {
        let mac = <Hmac<Sha256> as KeyInit>::new_from_slice(self.mac.expose()).expect("HMAC takes a key of any length");
        mac.chain_update(AD).chain_update(ct).chain_update(route).finalize().into_bytes().into()
    }

    /// XORs the keystream of the route onto a route and the slot behind it.
    pub(super) fn crypt_route(&self, route: &mut [u8; WINDOW_LEN]) {
        stream(self.route.expose(), route);
    }
}

/// XORs the AES-256-CTR keystream of `key` onto `bytes`: the counter starts at zero, so a key is good for one use.
pub(super) fn stream(key: &[u8; 32], bytes: &mut [u8]) {
    Ctr128BE::<Aes256>::new(key.into(), &[0; 16].into()).apply_keystream(bytes);
}

fn extract(salt: &[u8], ikm: &[&[u8; 32]]) -> Hkdf<Sha256> {
    let mut extract = HkdfExtract::<Sha256>::new(Some(salt));
    ikm.iter().for_each(|part| extract.input_ikm(*part));
    let (mut prk, hkdf) = extract.finalize();
    prk.as_mut_slice().zeroize();
    hkdf
}

fn expand<const N: usize>(prk: &Hkdf<Sha256>, info: &[u8]) -> Secret<N> {
    Secret::filled(|okm| prk.expand(info, okm).expect("HKDF gives 8,160 bytes, and no key is so long"))
}
