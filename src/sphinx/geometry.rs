//! Every length of the packet, built from its parts (docs/spec.md, "Geometry").

use crate::id::NodeId;

/// A packet: the same on every link, always.
pub const PACKET_LEN: usize = 65_536;

/// The longest path.
pub const MAX_HOPS: usize = 5;

/// The associated data at the front of every header: version 1. Anything else is refused.
pub const AD: [u8; AD_LEN] = [0x00, 0x01];

/// Length of [`AD`].
pub const AD_LEN: usize = 2;

/// The ML-KEM-768 half of a KEM ciphertext (FIPS 203, table 3).
pub const ML_KEM_CT_LEN: usize = 1_088;

/// A Curve25519 point, public or as ciphertext.
pub const X25519_LEN: usize = 32;

/// An X-Wing ciphertext.
pub const KEM_CT_LEN: usize = ML_KEM_CT_LEN + X25519_LEN;

/// A slot's command.
pub const COMMAND_LEN: usize = 1;

/// A slot's delay: milliseconds, big endian.
pub const DELAY_LEN: usize = 4;

/// The header's MAC: HMAC-SHA-256, never truncated.
pub const MAC_LEN: usize = 32;

/// What one hop is told: command, delay, id, and the MAC and KEM ciphertext of the next hop.
pub const SLOT_LEN: usize = COMMAND_LEN + DELAY_LEN + NodeId::LEN + MAC_LEN + KEM_CT_LEN;

/// The encrypted slots, as many for a path of one hop as for the longest.
pub const ROUTE_LEN: usize = MAX_HOPS * SLOT_LEN;

/// A route and one slot more: what a hop decrypts. The first slot is its own, the rest is the next hop's route.
pub const WINDOW_LEN: usize = ROUTE_LEN + SLOT_LEN;

/// What the last hop's route holds behind its slot: random bytes.
pub const FILL_LEN: usize = ROUTE_LEN - SLOT_LEN;

/// `AD ‖ ct ‖ route ‖ mac`.
pub const HEADER_LEN: usize = AD_LEN + KEM_CT_LEN + ROUTE_LEN + MAC_LEN;

/// What follows the header.
pub const BODY_LEN: usize = PACKET_LEN - HEADER_LEN;

/// The zero bytes in front of a payload, by which its last reader sees that no bit was changed.
pub const BODY_TAG_LEN: usize = 32;

/// What one packet carries.
pub const PAYLOAD_LEN: usize = BODY_LEN - BODY_TAG_LEN;

/// A single-use reply block: `header ‖ id of the first hop ‖ k_s`.
pub const SURB_LEN: usize = HEADER_LEN + NodeId::LEN + SURB_KEY_LEN;

/// The key a reply is encrypted with by the SURB's user.
pub const SURB_KEY_LEN: usize = 32;

// The figures of docs/spec.md: a change here is another packet format.
const _: () = assert!(KEM_CT_LEN == 1_120);
const _: () = assert!(SLOT_LEN == 1_189);
const _: () = assert!(ROUTE_LEN == 5_945);
const _: () = assert!(HEADER_LEN == 7_099);
const _: () = assert!(BODY_LEN == 58_437);
const _: () = assert!(PAYLOAD_LEN == 58_405);
const _: () = assert!(SURB_LEN == 7_163);
// A slot's id is a node's or a SURB's.
const _: () = assert!(NodeId::LEN == crate::id::SurbId::LEN);
