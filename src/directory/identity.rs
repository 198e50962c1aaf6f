//! The keys that say who a node or an authority is.

use crate::id::NodeId;
use crate::secret::Secret;
use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};

/// An Ed25519 signature.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Signature(pub [u8; 64]);

/// A node's or an authority's long-lived public key: a point of Ed25519, none of the weak ones.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity(VerifyingKey);

impl Identity {
    /// Reads 32 bytes. `None` if they are no point, or one of small order (it would verify anything).
    #[must_use]
    pub fn parse(bytes: &[u8; 32]) -> Option<Self> {
        let key = VerifyingKey::from_bytes(bytes).ok()?;
        (!key.is_weak()).then_some(Self(key))
    }

    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// The node id, which is also an authority's fingerprint: SHA-256 of the key.
    #[must_use]
    pub fn id(&self) -> NodeId {
        NodeId(Sha256::digest(self.0.as_bytes()).into())
    }

    /// Whether `signature` is this key's over `message`. Strict: one message and key, one signature.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &Signature) -> bool {
        self.0.verify_strict(message, &ed25519_dalek::Signature::from_bytes(&signature.0)).is_ok()
    }
}

/// The secret half of an `Identity`.
pub struct IdentityKey(SigningKey);

impl IdentityKey {
    /// The key that grows from `seed`; the same seed gives the same key.
    #[must_use]
    pub fn from_seed(seed: &Secret<32>) -> Self {
        Self(SigningKey::from_bytes(seed.expose()))
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> Identity {
        Identity(self.0.verifying_key())
    }

    /// The id of the public half.
    #[must_use]
    pub fn node_id(&self) -> NodeId {
        self.public().id()
    }

    /// Signs `message`. Deterministic.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Signature {
        Signature(self.0.sign(message).to_bytes())
    }
}

impl std::fmt::Debug for IdentityKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "IdentityKey(of {})", self.node_id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_holds_for_its_message_and_key_alone() {
        let [one, two] = [1, 2].map(|n| IdentityKey::from_seed(&Secret::filled(|seed| seed.fill(n))));
        let signature = one.sign(b"message");
        assert!(one.public().verifies(b"message", &signature));
        assert!(!one.public().verifies(b"massage", &signature));
        assert!(!two.public().verifies(b"message", &signature));
    }

    #[test]
    fn a_point_of_small_order_is_no_identity() {
        let mut neutral = [0; 32];
        neutral[0] = 1;
        assert_eq!(Identity::parse(&neutral), None);
        assert_eq!(Identity::parse(&[0; 32]), None);
        assert_eq!(Identity::parse(&[2; 32]), None, "not on the curve");
    }
}
