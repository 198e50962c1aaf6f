//! Making a packet (docs/spec.md, "Building").

use super::geometry::{AD, FILL_LEN, HEADER_LEN, KEM_CT_LEN, MAC_LEN, MAX_HOPS, PAYLOAD_LEN, ROUTE_LEN, SLOT_LEN};
use super::geometry::{BODY_TAG_LEN, WINDOW_LEN};
use super::kdf::HopKeys;
use super::slot::{self, Command, Last, Next};
use super::xwing::{self, PublicKey};
use super::{Packet, joined, split, split_mut, wide_block};
use crate::id::NodeId;
use rand_core::CryptoRng;
use thiserror::Error;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// One node of a path.
#[derive(Debug, Clone, Copy)]
pub struct Hop<'a> {
    /// Who it is.
    pub id: NodeId,
    /// Its mix key of the epoch in which the packet is due there.
    pub key: &'a PublicKey,
}

/// All that is random about a packet. Used for one packet and wiped.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Randomness {
    /// Encapsulation randomness, first hop first; 32 bytes for ML-KEM and 32 for X25519.
    pub encaps: [[u8; 64]; MAX_HOPS],
    /// What stands behind the last hop's slot. Zeros there would tell that hop how long the path was (Kuhn, Beck and
    /// Strufe 2020).
    pub fill: [u8; FILL_LEN],
}

impl Randomness {
    /// Fresh randomness.
    pub fn draw(rng: &mut impl CryptoRng) -> Self {
        let mut random = Self { encaps: [[0; 64]; MAX_HOPS], fill: [0; FILL_LEN] };
        random.encaps.iter_mut().for_each(|bytes| rng.fill_bytes(bytes));
        rng.fill_bytes(&mut random.fill);
        random
    }
}

/// There is no such packet.
#[derive(Debug, Error, PartialEq, Eq, Clone, Copy)]
pub enum BuildError {
    /// A path of no hops, or of more than [`MAX_HOPS`].
    #[error("a path has 1 to {MAX_HOPS} hops")]
    PathLength,
    /// Each hop but the last has a delay.
    #[error("a path has one delay for each hop but the last")]
    Delays,
}

/// Builds the packet that the first of `hops` gets.
///
/// `delays_ms` says how long each hop but the last holds it; the last hop's delay is in `last`.
///
/// # Errors
/// [`BuildError`] if there is no such path.
pub fn build(
    hops: &[Hop<'_>],
    delays_ms: &[u32],
    last: Last,
    payload: &[u8; PAYLOAD_LEN],
    random: &Randomness,
) -> Result<Packet, BuildError> {
    let (header, keys) = seal_header(hops, delays_ms, last.into(), random)?;
    let mut packet = plain(&header, payload);
    keys.iter().rev().for_each(|keys| wide_block::encrypt(&keys.body, packet.body_mut()));
    Ok(packet)
}

/// A packet whose body is not encrypted yet: `0^32 ‖ payload`.
pub(super) fn plain(header: &[u8; HEADER_LEN], payload: &[u8; PAYLOAD_LEN]) -> Packet {
    Packet(joined(&[header, &[0; BODY_TAG_LEN], payload]))
}

/// `AD ‖ ct ‖ route ‖ mac`
pub(super) fn header(ct: &[u8; KEM_CT_LEN], route: &[u8; ROUTE_LEN], mac: &[u8; MAC_LEN]) -> Box<[u8; HEADER_LEN]> {
    joined(&[&AD, ct, route, mac])
}

/// The first hop's header, and what each hop will derive from its own, first hop first.
pub(super) fn seal_header(
    hops: &[Hop<'_>],
    delays_ms: &[u32],
    last: Command,
    random: &Randomness,
) -> Result<(Box<[u8; HEADER_LEN]>, Vec<HopKeys>), BuildError> {
    let commands = commands(hops, delays_ms, last)?;
    let (cts, keys): (Vec<_>, Vec<_>) = hops.iter().zip(&random.encaps).map(encapsulate).unzip();

    let mut window = [0; WINDOW_LEN];
    split_mut::<FILL_LEN, { 2 * SLOT_LEN }, WINDOW_LEN>(&mut window).0.copy_from_slice(&random.fill);
    let mut filler = Some(filler(&keys));
    let mut next = Next::ZERO;
    for ((command, ct), keys) in commands.into_iter().zip(cts).zip(&keys).rev() {
        window.copy_within(..FILL_LEN, SLOT_LEN);
        split_mut::<SLOT_LEN, ROUTE_LEN, WINDOW_LEN>(&mut window).0.copy_from_slice(&slot::encode(command, &next));
        keys.crypt_route(&mut window);
        let (route, _) = split_mut::<ROUTE_LEN, SLOT_LEN, WINDOW_LEN>(&mut window);
        if let Some(filler) = filler.take() {
            // Only the last hop's route: the others' tails come out right by themselves.
            route.split_at_mut(ROUTE_LEN - filler.len()).1.copy_from_slice(&filler);
        }
        next = Next { mac: keys.mac(&ct, route), ct };
    }
    let (route, _) = split::<ROUTE_LEN, SLOT_LEN, WINDOW_LEN>(&window);
    Ok((header(&next.ct, route, &next.mac), keys))
}

fn commands(hops: &[Hop<'_>], delays_ms: &[u32], last: Command) -> Result<Vec<Command>, BuildError> {
    if hops.is_empty() || hops.len() > MAX_HOPS {
        return Err(BuildError::PathLength);
    }
    if delays_ms.len() + 1 != hops.len() {
        return Err(BuildError::Delays);
    }
    let nexts = hops.iter().skip(1).zip(delays_ms);
    Ok(nexts.map(|(next, &delay_ms)| Command::Forward { next: next.id, delay_ms }).chain([last]).collect())
}

fn encapsulate((hop, random): (&Hop<'_>, &[u8; 64])) -> ([u8; KEM_CT_LEN], HopKeys) {
    let (ct, shared) = xwing::encapsulate(hop.key, random);
    (ct, HopKeys::derive(&shared, &hop.id))
}

/// The tail that the last hop's route will have: what all hops before it make of the zeros they append.
fn filler(keys: &[HopKeys]) -> Vec<u8> {
    let before = keys.len().saturating_sub(1);
    let mut window = [0; WINDOW_LEN];
    for keys in keys.iter().take(before) {
        keys.crypt_route(&mut window);
        window.copy_within(SLOT_LEN.., 0);
        split_mut::<ROUTE_LEN, SLOT_LEN, WINDOW_LEN>(&mut window).1.fill(0);
    }
    let (route, _) = split::<ROUTE_LEN, SLOT_LEN, WINDOW_LEN>(&window);
    route.split_at(ROUTE_LEN - before * SLOT_LEN).1.to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sphinx::testing::{TestPath, TestRng};

    #[test]
    fn a_path_too_short_too_long_or_with_other_delays_is_refused() {
        let mut rng = TestRng::new(1);
        let (path, payload) = (TestPath::new(MAX_HOPS + 1, &mut rng), rng.array());
        let (hops, random) = (path.hops(), Randomness::draw(&mut rng));
        let table = [
            (0, 0, Err(BuildError::PathLength)),
            (1, 0, Ok(())),
            (1, 1, Err(BuildError::Delays)),
            (3, 3, Err(BuildError::Delays)),
            (5, 4, Ok(())),
            (6, 5, Err(BuildError::PathLength)),
        ];
        for (n, delays, want) in table {
            let built = build(&hops[..n], &[1; 6][..delays], Last::Drop, &payload, &random);
            assert_eq!(built.map(|_| ()), want, "{n} hops, {delays} delays");
        }
    }

    #[test]
    fn drawn_randomness_is_all_drawn() {
        let mut rng = TestRng::new(1);
        let (a, b) = (Randomness::draw(&mut rng), Randomness::draw(&mut rng));
        for (i, encaps) in a.encaps.iter().enumerate() {
            assert!(!a.encaps[..i].contains(encaps) && !b.encaps.contains(encaps) && *encaps != [0; 64]);
        }
        assert!(a.fill.chunks(16).zip(b.fill.chunks(16)).all(|(a, b)| a != b));
    }
}
