//! fog's packet beside `sphinx-packet`, the one most used: 64 KiB, 3 hops, one run.
#![allow(missing_docs, reason = "criterion's macros write an item without")]

use criterion::{Criterion, criterion_group, criterion_main};
use fog::id::NodeId;
use fog::secret::Secret;
use fog::sphinx::geometry::{PACKET_LEN, PAYLOAD_LEN};
use fog::sphinx::xwing::MixKey;
use fog::sphinx::{Hop, Last, Packet, Randomness, build, open, open_body};
use rand::SeedableRng;
use rand::rngs::StdRng;
use sphinx_packet::header::delays::Delay;
use sphinx_packet::packet::builder::SphinxPacketBuilder;
use sphinx_packet::route::{Destination, DestinationAddressBytes, Node, NodeAddressBytes};
use sphinx_packet::{ProcessedPacketData, SphinxPacket};
use std::hint::black_box;
use x25519_dalek::{PublicKey, StaticSecret};

const HOPS: u8 = 3;

/// What `sphinx-packet` puts around a payload: its header, at its default of five hops.
const SPHINX_HEADER_LEN: usize = 348;

fn fog(c: &mut Criterion) {
    let keys: Vec<MixKey> = (0..HOPS).map(|i| MixKey::from_seed(&Secret::filled(|seed| seed.fill(i)))).collect();
    let hop = |(id, key): (u8, &'static MixKey)| Hop { id: NodeId([id; 32]), key: key.public() };
    let keys: &'static [MixKey] = Vec::leak(keys);
    let hops: Vec<Hop<'_>> = (0..HOPS).zip(keys).map(hop).collect();
    let (mut rng, payload) = (StdRng::from_seed([1; 32]), vec![7; PAYLOAD_LEN].into_boxed_slice());
    let payload: Box<[u8; PAYLOAD_LEN]> = payload.try_into().expect("its length is PAYLOAD_LEN");
    let mut sealed = || {
        let random = Randomness::draw(&mut rng);
        build(&hops, &[1, 2], Last::Deliver { delay_ms: 3 }, &payload, &random).expect("3 hops, 2 delays")
    };
    let packet = sealed();
    c.bench_function("build/fog", |b| b.iter(&mut sealed));

    let (key, node) = keys.iter().zip(&hops).map(|(key, hop)| (key, hop.id)).next().expect("3 hops");
    c.bench_function("peel/fog", |b| b.iter(|| peel(black_box(packet.as_bytes()), key, &node)));
}

/// All that a hop does with the bytes of a packet, header and body: what `SphinxPacket::process` does.
fn peel(bytes: &[u8; PACKET_LEN], key: &MixKey, node: &NodeId) -> Packet {
    let mut packet = Packet::from_bytes(bytes).expect("its length is PACKET_LEN");
    let opened = open(packet.header(), key, node).expect("it was built for this key");
    black_box(opened.tag());
    let peeled = opened.route().expect("it was built by us");
    open_body(&peeled.body_key, packet.body_mut());
    packet.with_header(&peeled.next_header.expect("the first of 3 hops forwards"))
}

fn sphinx_packet(c: &mut Criterion) {
    let secrets: Vec<StaticSecret> = (1..=HOPS).map(|i| StaticSecret::from([i; 32])).collect();
    let node = |secret| Node::new(NodeAddressBytes::from_bytes([5; 32]), PublicKey::from(secret));
    let route: Vec<Node> = secrets.iter().map(node).collect();
    let delays = [1, 2, 3].map(Delay::new_from_millis);
    let destination = Destination::new(DestinationAddressBytes::from_bytes([3; 32]), [4; 16]);
    let builder = SphinxPacketBuilder::new().with_payload_size(PACKET_LEN - SPHINX_HEADER_LEN);
    let message = vec![7; PAYLOAD_LEN];
    let sealed = || builder.build_packet(&message, &route, &destination, &delays).expect("it fits");

    let bytes = sealed().to_bytes();
    assert_eq!(bytes.len(), PACKET_LEN, "both are 64 KiB");
    c.bench_function("build/sphinx-packet", |b| b.iter(sealed));

    let secret = secrets.first().expect("3 hops");
    let peel = |bytes: &[u8]| SphinxPacket::from_bytes(bytes).and_then(|packet| packet.process(secret));
    let forwarded = peel(&bytes).expect("it was built for this key").data;
    assert!(matches!(forwarded, ProcessedPacketData::ForwardHop { .. }), "the first of 3 hops forwards");
    c.bench_function("peel/sphinx-packet", |b| b.iter(|| peel(black_box(&bytes))));
}

criterion_group!(packet, fog, sphinx_packet);
criterion_main!(packet);
