//! Single-use reply blocks: a header whose last hop is its maker, for others to send to us with.
//!
//! A SURB carries one key that is nobody else's, and *no* hop key: with those its user and the last mix could
//! recognise each other's packets.

use super::build::{BuildError, Hop, Randomness, plain, seal_header};
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
        let mut packet = plain(&self.header, payload);
        wide_block::encrypt(&BodyKey::of_surb(&self.key), packet.body_mut());
        (self.first, packet)
    }

    /// Who gets the packet.
    #[must_use]
    pub const fn first(&self) -> NodeId {
        self.first
    }

    /// The key that nobody else has but its maker.
    #[must_use]
    pub const fn key(&self) -> &Secret<SURB_KEY_LEN> {
        &self.key
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sphinx::geometry::MAX_HOPS;
    use crate::sphinx::testing::{TestPath, TestRng, delay};
    use proptest::prelude::*;

    fn surb(hops: usize, rng: &mut TestRng) -> (TestPath, Surb, Record) {
        let (path, id) = (TestPath::new(hops, rng), SurbId(*rng.array()));
        let (key, random) = (Secret::take(&mut rng.array()), Randomness::draw(rng));
        let delays: Vec<u32> = (0..hops - 1).map(delay).collect();
        let (surb, record) = make(&path.hops(), &delays, id, key, &random).unwrap();
        (path, surb, record)
    }

    /// A reply at its maker, and what each hop before it got.
    fn carried(path: &TestPath, mut packet: Packet, record: &Record) -> (Packet, Vec<Packet>) {
        let (mut seen, last) = (Vec::new(), path.0.len() - 1);
        for hop in 0..last {
            seen.push(packet.clone());
            let next = path.0[hop + 1].0;
            assert_eq!(path.peel(hop, &mut packet), Command::Forward { next, delay_ms: delay(hop) });
        }
        seen.push(packet.clone());
        assert_eq!(path.peel(last, &mut packet), Command::Reply { surb: record.id });
        (packet, seen)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20))]

        #[test]
        fn a_reply_on_any_path_reaches_the_surbs_maker(seed: u64, hops in 1_usize..=MAX_HOPS) {
            let mut rng = TestRng::new(seed);
            let (path, surb, record) = surb(hops, &mut rng);
            let payload = rng.array();
            let (first, packet) = Surb::from_bytes(surb.to_bytes().expose()).reply(&payload);
            prop_assert_eq!(first, path.0[0].0);
            let (mut packet, _) = carried(&path, packet, &record);
            prop_assert_eq!(open(record, packet.body_mut()), Ok(&*payload));
        }
    }

    #[test]
    fn a_reply_that_was_changed_on_its_way_is_refused() {
        let mut rng = TestRng::new(1);
        for at in [0, 31, 32, BODY_LEN - 1] {
            let (path, surb, record) = surb(3, &mut rng);
            let (_, mut packet) = surb.reply(&rng.array());
            packet.body_mut()[at] ^= 1;
            let (mut packet, _) = carried(&path, packet, &record);
            assert_eq!(open(record, packet.body_mut()), Err(PeelError::BadBody), "byte {at}");
        }
    }

    /// The user knows the SURB and its payload. Were a hop key among that, it could follow the body through
    /// that hop; were `k_s` all that keeps the body, it would know it anywhere.
    #[test]
    fn attack_7_a_surbs_user_recognises_the_reply_at_no_later_hop() {
        let mut rng = TestRng::new(2);
        let (path, surb, record) = surb(4, &mut rng);
        let (known, payload) = (surb.to_bytes(), rng.array());
        for key in &record.body_keys {
            let is_in_surb = |part: &[u8]| known.expose().windows(part.len()).any(|window| window == part);
            assert!(!key.as_bytes().chunks(16).any(is_in_surb), "a part of a hop's body key is in the SURB");
        }
        let (at_maker, seen) = carried(&path, surb.reply(&payload).1, &record);
        let user_key = BodyKey::of_surb(&record.key);
        for (hop, later) in seen[1..].iter().chain([&at_maker]).enumerate() {
            for (name, known) in
                [("sent", seen[0].as_bytes().as_slice()), ("surb", known.expose()), ("payload", &*payload)]
            {
                let same = later.as_bytes().iter().zip(known).filter(|(a, b)| a == b).count();
                assert!(same < known.len() / 64, "hop {hop}: {same} bytes are as in {name}");
            }
            for transform in [wide_block::encrypt, wide_block::decrypt] {
                let mut body = Box::new(*later.body());
                transform(&user_key, &mut body);
                assert_eq!(payload_of(&body), Err(PeelError::BadBody), "hop {hop}");
                let same = body[BODY_LEN - PAYLOAD_LEN..].iter().zip(&*payload).filter(|(a, b)| a == b).count();
                assert!(same < PAYLOAD_LEN / 64, "hop {hop}: {same} bytes of the payload under the user's key");
            }
        }
    }

    #[test]
    fn nothing_secret_is_printed() {
        let (_, surb, record) = surb(1, &mut TestRng::new(3));
        assert_eq!(format!("{surb:?}"), "Surb(..)");
        let printed = format!("{record:?}");
        assert!(printed.contains("Secret(..)") && printed.contains("BodyKey(Secret(..))"), "{printed}");
    }
}
