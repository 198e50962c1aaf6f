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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sphinx::testing::{TestPath, TestRng, delay, packet};
    use crate::sphinx::{Last, Randomness, build, xwing};
    use proptest::prelude::*;

    fn refused(header: &[u8; HEADER_LEN], path: &TestPath) -> Option<PeelError> {
        let (id, key) = &path.0[0];
        open(header, key, id).err()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn a_packet_on_any_path_gives_each_hop_its_command_and_the_last_its_payload(
            seed: u64, hops in 1_usize..=5, delays: [u32; 4], last: Option<u32>,
        ) {
            let mut rng = TestRng::new(seed);
            let (path, payload) = (TestPath::new(hops, &mut rng), rng.array());
            let (delays, random) = (&delays[..hops - 1], Randomness::draw(&mut rng));
            let last = last.map_or(Last::Drop, |delay_ms| Last::Deliver { delay_ms });
            let mut packet = build(&path.hops(), delays, last, &payload, &random).unwrap();
            for (hop, &delay_ms) in delays.iter().enumerate() {
                let next = path.0[hop + 1].0;
                prop_assert_eq!(path.peel(hop, &mut packet), Command::Forward { next, delay_ms });
                prop_assert_eq!(payload_of(packet.body()), Err(PeelError::BadBody));
            }
            prop_assert_eq!(path.peel(hops - 1, &mut packet), last.into());
            prop_assert_eq!(payload_of(packet.body()), Ok(&*payload));
        }
    }

    /// All 56,792 bits.
    #[test]
    fn attack_3_any_changed_bit_of_the_header_is_a_bad_mac() {
        let (path, packet, _) = packet(3, &mut TestRng::new(1));
        let mut header = *packet.header();
        assert_eq!(refused(&header, &path), None);
        for at in 0..HEADER_LEN {
            for bit in 0..8 {
                header[at] ^= 1 << bit;
                assert_eq!(refused(&header, &path), Some(PeelError::BadMac), "byte {at}, bit {bit}");
                header[at] ^= 1 << bit;
            }
        }
    }

    /// Whoever changes a body on its way sees no effect until the end, and there no trace of the payload.
    #[test]
    fn attack_2_any_changed_bit_of_the_body_is_forwarded_and_refused_at_the_end() {
        let (path, packet, payload) = packet(3, &mut TestRng::new(2));
        let tag_bits = 0..8 * BODY_TAG_LEN;
        let (every_997th, last_bit) = ((0..8 * BODY_LEN).step_by(997), 8 * BODY_LEN - 1);
        for bit in tag_bits.chain(every_997th).chain([last_bit]) {
            let mut packet = packet.clone();
            packet.body_mut()[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(path.peel(0, &mut packet), Command::Forward { next: path.0[1].0, delay_ms: delay(0) });
            assert_eq!(path.peel(1, &mut packet), Command::Forward { next: path.0[2].0, delay_ms: delay(1) });
            assert_eq!(path.peel(2, &mut packet), Command::Deliver { delay_ms: delay(2) });
            assert_eq!(payload_of(packet.body()), Err(PeelError::BadBody), "bit {bit}");
            let found = packet.body()[BODY_TAG_LEN..].iter().zip(&*payload).filter(|(a, b)| a == b).count();
            assert!(found < PAYLOAD_LEN / 128, "bit {bit}: {found} bytes of the payload");
        }
    }

    #[test]
    fn a_packet_for_another_node_or_key_is_a_bad_mac() {
        let (path, packet, _) = packet(2, &mut TestRng::new(3));
        let (header, (id, key), (other_id, other_key)) = (packet.header(), &path.0[0], &path.0[1]);
        assert!(open(header, key, id).is_ok());
        assert_eq!(open(header, other_key, id).err(), Some(PeelError::BadMac));
        assert_eq!(open(header, key, other_id).err(), Some(PeelError::BadMac));
    }

    /// A sender who forces the X25519 half to zero would have a packet whose secret rests on ML-KEM alone.
    #[test]
    fn a_ciphertext_of_low_order_is_a_bad_mac_although_its_mac_holds() {
        let mut rng = TestRng::new(4);
        let path = TestPath::new(1, &mut rng);
        let (id, key) = &path.0[0];
        let (mut ct, _) = xwing::encapsulate(key.public(), &rng.array());
        ct.last_chunk_mut::<32>().unwrap().fill(0);
        let (keys, route) = (HopKeys::derive(&key.decapsulate(&ct).0, id), rng.array());
        let forged = header(&ct, &route, &keys.mac(&ct, &route));
        assert_eq!(open(&forged, key, id).err(), Some(PeelError::BadMac));
    }

    #[test]
    fn a_replay_tag_is_the_packets_own_at_each_hop_and_no_change_of_it_opens() {
        let (path, mut packet, _) = packet(5, &mut TestRng::new(5));
        let mut tags = Vec::new();
        for (hop, (id, key)) in path.0.iter().enumerate() {
            let tag = open(packet.header(), key, id).unwrap().tag();
            assert_eq!(open(packet.header(), key, id).unwrap().tag(), tag, "the same packet again");
            assert!(!tags.contains(&tag));
            tags.push(tag);
            path.peel(hop, &mut packet);
        }
    }

    /// What the last hop sees of its route, slot by slot, as counts of zero bytes.
    fn zeros_seen_by_the_last_hop(hops: usize, rng: &mut TestRng) -> Vec<usize> {
        let (path, mut packet, _) = packet(hops, rng);
        (0..hops - 1).for_each(|hop| assert!(matches!(path.peel(hop, &mut packet), Command::Forward { .. })));
        let (id, key) = &path.0[hops - 1];
        let mut opened = open(packet.header(), key, id).unwrap();
        opened.keys.crypt_route(&mut opened.window);
        let slots = opened.window.chunks(SLOT_LEN).skip(1);
        slots.map(|slot| slot.iter().filter(|byte| **byte == 0).count()).collect()
    }

    /// Zeros behind the last slot tell an exit how long the path was (Kuhn, Beck and Strufe 2020).
    #[test]
    fn attack_1_the_last_hop_tells_a_path_of_two_hops_from_one_of_three_no_better_than_chance() {
        const PACKETS: usize = 60;
        let mut rng = TestRng::new(6);
        let two: Vec<_> = (0..PACKETS).map(|_| zeros_seen_by_the_last_hop(2, &mut rng)).collect();
        let three: Vec<_> = (0..PACKETS).map(|_| zeros_seen_by_the_last_hop(3, &mut rng)).collect();
        for slot in 0..two[0].len() {
            let mut all: Vec<usize> = two.iter().chain(&three).map(|zeros| zeros[slot]).collect();
            all.sort_unstable();
            assert!(all[2 * PACKETS - 1] < 20, "slot {slot}: {} zeros where 5 are expected", all[2 * PACKETS - 1]);

            // The best guess there is from a count: above the median it is the longer path, or the shorter.
            let median = all[PACKETS];
            let right = two.iter().filter(|zeros| zeros[slot] < median).count()
                + three.iter().filter(|zeros| zeros[slot] >= median).count();
            let advantage = right.abs_diff(PACKETS);
            assert!(advantage < PACKETS * 2 / 5, "slot {slot}: {right} of {} guesses are right", 2 * PACKETS);
        }
    }

    /// There is one answer to each header that doesn't open, and nothing about it says what was wrong.
    #[test]
    fn attack_15_all_that_is_wrong_with_a_header_gives_the_same_answer() {
        let mut rng = TestRng::new(7);
        let (path, packet, _) = packet(1, &mut rng);
        let (version, noise) = (1, rng.array());
        let mut other_version = *packet.header();
        other_version[version] = 2;
        let mut no_point = *packet.header();
        no_point[AD_LEN + KEM_CT_LEN - 32..AD_LEN + KEM_CT_LEN].fill(0);
        for header in [&other_version, &no_point, &noise, &[0; HEADER_LEN], &[0xff; HEADER_LEN]] {
            assert_eq!(refused(header, &path), Some(PeelError::BadMac));
        }
    }
}
