//! A node of the document that hands everybody whatever it likes.

use super::{Event, LATENCY, START, World, entry_setup};
use fog::engine::{Input, Settings, Token};
use fog::id::SetId;
use fog::mail::block::BlockList;
use fog::message::Payload;
use fog::message::payload::Fragment;
use fog::message::shards::{SHARD_LEN, Shape};
use fog::secret::Secret;
use fog::sphinx::geometry::PACKET_LEN;
use fog::sphinx::{Hop, Last, Packet, Randomness, build};
use fog::store::SLOT_LEN;
use fog::time::Time;
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use std::sync::Arc;
use std::time::Duration;

/// Room of each node: the flood could fill it many times over.
const SLOTS: u64 = 200;

impl World {
    /// From now on until `end`, `from` hands each other node a packet every `every`. Gives how many those are.
    pub fn flood(&mut self, from: usize, every: Duration, end: Time) -> u64 {
        for node in 0..self.nodes.len() {
            let block = Arc::new(BlockList::new(&Secret::filled(|key| key.fill(1))));
            let entry = entry_setup(false);
            let settings = Settings { max_spool: SLOTS * SLOT_LEN as u64, exit: None, entry, block };
            self.tell(node, Input::Settings(settings));
        }
        let mut count = 0;
        let mut at = START.plus(LATENCY);
        while at < end {
            self.at(at, Event::Flood { from, number: count });
            (at, count) = (at.plus(every), count + 1);
        }
        count * u64::try_from(self.nodes.len() - 1).unwrap()
    }

    /// One packet for everybody. Nobody keeps more than it has room for.
    pub(super) fn hand_over_junk(&mut self, from: usize, number: u64) {
        let id = self.id(from);
        for to in (0..self.nodes.len()).filter(|to| *to != from) {
            let packet = self.junk(to, number);
            self.counter += 1;
            self.tell(to, Input::Packet { token: Token(self.counter), from: id, packet });
            let held = self.nodes[to].engine.as_ref().unwrap().held().unwrap();
            assert!(held.percent <= 100, "seed {}: node {to} is {} % full", self.plan.seed, held.percent);
        }
    }

    fn junk(&mut self, to: usize, number: u64) -> Packet {
        let mut rng = StdRng::seed_from_u64(self.rng.next_u64());
        let document = self.nodes[to].engine.as_ref().unwrap().document().unwrap();
        let (params, epoch) = (document.params(), self.now.epoch(document.params().epoch));
        let hop = |node: &usize| {
            let (id, _) = self.ids.iter().find(|(_, n)| *n == node).unwrap();
            Hop { id: *id, key: &document.node(id).unwrap().mix_keys[&epoch] }
        };
        let (shortest, longest) = (millis(params.min_delay), millis(params.max_delay));
        let others: Vec<usize> = (0..self.nodes.len()).filter(|node| *node != to).collect();
        let next = others[rng.random_range(0..others.len())];
        let noise = Payload::Loop([7; 32]).encode(&mut rng);
        match number % 5 {
            0 => {
                let mut bytes = [0; PACKET_LEN];
                rng.fill_bytes(&mut bytes);
                Packet::from_bytes(&bytes).unwrap()
            }
            // The same one each time.
            1 => {
                let mut same = StdRng::seed_from_u64(epoch.0);
                let noise = Payload::Loop([7; 32]).encode(&mut same);
                build(&[hop(&to)], &[], Last::Drop, &noise, &Randomness::draw(&mut same)).unwrap()
            }
            // A piece of a mail that has no other, at an exit at once, or behind this node.
            2 => {
                let mut set = SetId([0; SetId::LEN]);
                rng.fill_bytes(&mut set.0);
                let shape = Shape::new(2, 3, u32::try_from(SHARD_LEN).unwrap() + 1).unwrap();
                let payload = Payload::Fragment(Fragment { set, shape, index: 0, shard: &[7; SHARD_LEN] });
                let path = if to.is_multiple_of(3) { vec![to] } else { vec![to, 0] };
                let (hops, delays): (Vec<_>, Vec<_>) = path.iter().map(|node| (hop(node), shortest)).unzip();
                let payload = payload.encode(&mut rng);
                let last = Last::Deliver { delay_ms: shortest };
                build(&hops, &delays[1..], last, &payload, &Randomness::draw(&mut rng)).unwrap()
            }
            3 => {
                let hops = [hop(&to), hop(&next)];
                build(&hops, &[longest], Last::Drop, &noise, &Randomness::draw(&mut rng)).unwrap()
            }
            _ => build(&[hop(&to)], &[], Last::Drop, &noise, &Randomness::draw(&mut rng)).unwrap(),
        }
    }

    /// Plays everything that happens until `end`.
    pub fn run_until(&mut self, end: Time) {
        while self.events.first_key_value().is_some_and(|((at, _), _)| *at <= end) {
            let Some(((at, _), event)) = self.events.pop_first() else { return };
            self.now = self.now.max(at);
            self.play(event);
        }
    }
}

fn millis(span: Duration) -> u32 {
    u32::try_from(span.as_millis()).unwrap()
}
