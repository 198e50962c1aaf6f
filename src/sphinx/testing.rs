//! Nodes, paths and randomness for the tests of this module, all from a seed.

use super::geometry::PAYLOAD_LEN;
use super::xwing::MixKey;
use super::{Command, Hop, Last, Packet, Randomness, build, open, open_body};
use crate::id::NodeId;
use crate::secret::Secret;
use rand_core::{TryCryptoRng, TryRng};
use std::convert::Infallible;

/// BLAKE3's output as a random number generator: the same bytes from a seed, whatever becomes of other crates.
pub(super) struct TestRng(blake3::OutputReader);

impl TestRng {
    pub(super) fn new(seed: u64) -> Self {
        Self(blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof())
    }

    pub(super) fn array<const N: usize>(&mut self) -> Box<[u8; N]> {
        let mut bytes = vec![0; N];
        self.0.fill(&mut bytes);
        bytes.into_boxed_slice().try_into().unwrap()
    }
}

impl TryRng for TestRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_le_bytes(*self.array()))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_le_bytes(*self.array()))
    }

    fn try_fill_bytes(&mut self, to: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(to);
        Ok(())
    }
}

impl TryCryptoRng for TestRng {}

/// A path of nodes with their private keys.
pub(super) struct TestPath(pub(super) Vec<(NodeId, MixKey)>);

impl TestPath {
    pub(super) fn new(hops: usize, rng: &mut TestRng) -> Self {
        Self((0..hops).map(|_| (NodeId(*rng.array()), MixKey::from_seed(&Secret::take(&mut rng.array())))).collect())
    }

    pub(super) fn hops(&self) -> Vec<Hop<'_>> {
        self.0.iter().map(|(id, key)| Hop { id: *id, key: key.public() }).collect()
    }

    /// Peels `packet` at the hop with this index.
    pub(super) fn peel(&self, hop: usize, packet: &mut Packet) -> Command {
        let (id, key) = &self.0[hop];
        let peeled = open(packet.header(), key, id).unwrap().route().unwrap();
        open_body(&peeled.body_key, packet.body_mut());
        if let Some(header) = peeled.next_header {
            *packet = packet.clone().with_header(&header);
        }
        peeled.command
    }
}

/// A packet for a path of this length, whose last hop delivers, and its payload. All delays are the hop's index.
pub(super) fn packet(hops: usize, rng: &mut TestRng) -> (TestPath, Packet, Box<[u8; PAYLOAD_LEN]>) {
    let (path, payload) = (TestPath::new(hops, rng), rng.array());
    let random = Randomness::draw(rng);
    let last = Last::Deliver { delay_ms: delay(hops - 1) };
    let delays: Vec<u32> = (0..hops - 1).map(delay).collect();
    let packet = build(&path.hops(), &delays, last, &payload, &random).unwrap();
    (path, packet, payload)
}

pub(super) fn delay(hop: usize) -> u32 {
    u32::try_from(hop).unwrap()
}
