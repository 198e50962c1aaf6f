//! `tests/vectors/packet.json`: what another implementation is checked with, checked itself (docs/spec.md, "Vectors").
//!
//! `FOG_BLESS=1 cargo test --test vectors` writes the file anew; each change of it is another packet format.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test helpers are tests")]

use aes::Aes256;
use ctr::Ctr128BE;
use ctr::cipher::{KeyIvInit, StreamCipher};
use data_encoding::{BASE64, HEXLOWER};
use fog::id::{NodeId, SurbId};
use fog::secret::Secret;
use fog::sphinx::geometry::{AD, BODY_LEN, FILL_LEN, HEADER_LEN, MAX_HOPS, PAYLOAD_LEN, ROUTE_LEN, SLOT_LEN};
use fog::sphinx::xwing::{self, MixKey};
use fog::sphinx::{BodyKey, Command, Hop, Last, Packet, PeelError, Randomness, build, open, open_body, payload_of};
use fog::sphinx::{surb, wide_block};
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/packet.json");

#[derive(Serialize, Deserialize)]
struct Vectors {
    v: u32,
    cases: Vec<Case>,
    surbs: Vec<SurbCase>,
    refused: Vec<Refused>,
    wide_block: Vec<WideBlock>,
}

#[derive(Serialize, Deserialize)]
struct Case {
    name: String,
    nodes: Vec<Node>,
    encaps: Vec<String>,
    fill: String,
    packet: String,
    hops: Vec<PeeledHop>,
    payload: String,
}

#[derive(Serialize, Deserialize, Clone)]
struct Node {
    seed: String,
    id: String,
}

#[derive(Serialize, Deserialize)]
struct PeeledHop {
    sha256: String,
    command: u8,
    delay_ms: u32,
    next_id: String,
    tag: String,
}

#[derive(Serialize, Deserialize)]
struct SurbCase {
    name: String,
    nodes: Vec<Node>,
    encaps: Vec<String>,
    fill: String,
    surb: String,
    payload: String,
    packet: String,
    hops: Vec<PeeledHop>,
    surb_id: String,
    body_keys: Vec<String>,
    k_s: String,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Refused {
    Changed { name: String, case: String, hop: usize, offset: usize, xor: u8, reason: String },
    Whole { name: String, nodes: Vec<Node>, packet: String, reason: String },
}

#[derive(Serialize, Deserialize)]
struct WideBlock {
    key: String,
    plain: String,
    cipher: String,
}

#[test]
fn the_vectors_are_what_the_code_gives() {
    let made = serde_json::to_string_pretty(&vectors()).unwrap() + "\n";
    if std::env::var_os("FOG_BLESS").is_some() {
        std::fs::write(FILE, &made).unwrap();
    }
    let file = std::fs::read_to_string(FILE).unwrap();
    let line = made.lines().zip(file.lines()).position(|(made, file)| made != file);
    assert!(made == file, "packet.json is not what the code gives; the first other line is {line:?}, from 0");
}

#[test]
fn what_must_be_refused_is_refused_for_the_reason_given() {
    let vectors: Vectors = serde_json::from_str(&std::fs::read_to_string(FILE).unwrap()).unwrap();
    for refused in &vectors.refused {
        let (name, found, reason) = match refused {
            Refused::Changed { name, case, hop, offset, xor, reason } => {
                let case = vectors.cases.iter().find(|c| c.name == *case).unwrap();
                let path = path(&case.nodes);
                let mut packet = Packet::from_bytes(&unbase64(&case.packet)).unwrap();
                for (id, key) in &path[..*hop] {
                    packet = peel(packet, id, key).unwrap().2;
                }
                let mut bytes = packet.as_bytes().to_vec();
                bytes[*offset] ^= xor;
                let left = &path[if reason == "BadBody" { *hop..path.len() } else { *hop..*hop + 1 }];
                (name, refusal(Packet::from_bytes(&bytes).unwrap(), left), reason)
            }
            Refused::Whole { name, nodes, packet, reason } => {
                (name, refusal(Packet::from_bytes(&unbase64(packet)).unwrap(), &path(nodes)), reason)
            }
        };
        assert_eq!(found.map(|e| format!("{e:?}")).as_ref(), Some(reason), "{name}");
    }
}

/// Why the last of these nodes, after the others have forwarded it, refuses a packet.
fn refusal(mut packet: Packet, path: &[(NodeId, MixKey)]) -> Option<PeelError> {
    for (n, (id, key)) in path.iter().enumerate() {
        packet = match peel(packet, id, key) {
            Ok((.., packet)) => packet,
            Err(error) => {
                assert_eq!(n + 1, path.len(), "refused before its time: {error}");
                return Some(error);
            }
        };
    }
    payload_of(packet.body()).err()
}

fn peel(mut packet: Packet, id: &NodeId, key: &MixKey) -> Result<(Command, String, Packet), PeelError> {
    let opened = open(packet.header(), key, id)?;
    let tag = hex(&opened.tag().0);
    let peeled = opened.route()?;
    open_body(&peeled.body_key, packet.body_mut());
    if let Some(header) = peeled.next_header {
        packet = packet.with_header(&header);
    }
    Ok((peeled.command, tag, packet))
}

fn vectors() -> Vectors {
    let deliver = |delay_ms| Last::Deliver { delay_ms };
    Vectors {
        v: 1,
        cases: vec![
            case("one hop", &[], deliver(0)),
            case("two hops", &[1], deliver(86_400_000)),
            case("three hops", &[0, 3_600_000], deliver(1_234_567)),
            case("four hops, cover traffic", &[u32::MAX, 0, 65_536], Last::Drop),
            case("five hops", &[0x0102_0304, 5, 6, 7], deliver(u32::MAX)),
        ],
        surbs: vec![surb_case("reply over four hops", &[1_000, 2_000, 3_000])],
        refused: refused(),
        wide_block: vec![wide_block_case::<33>("33 bytes"), wide_block_case::<1000>("1000 bytes")],
    }
}

fn case(name: &str, delays: &[u32], last: Last) -> Case {
    let (nodes, random, payload) = (nodes(name, delays.len() + 1), randomness(name), payload(name));
    let path = path(&nodes);
    let packet = build(&hops(&path), delays, last, &payload, &random).unwrap();
    let (seen, end) = peeled_hops(&packet, &path);
    assert_eq!(payload_of(end.body()), Ok(&*payload));
    Case {
        name: name.to_owned(),
        encaps: random.encaps[..nodes.len()].iter().map(|bytes| hex(bytes)).collect(),
        nodes,
        fill: hex(&random.fill),
        packet: BASE64.encode(packet.as_bytes()),
        hops: seen,
        payload: BASE64.encode(&*payload),
    }
}

fn surb_case(name: &str, delays: &[u32]) -> SurbCase {
    let (nodes, random, payload) = (nodes(name, delays.len() + 1), randomness(name), payload(name));
    let path = path(&nodes);
    let (id, k_s) = (SurbId(*bytes(name, "SURB id")), Secret::take(&mut bytes(name, "k_s")));
    let (surb, record) = surb::make(&hops(&path), delays, id, k_s, &random).unwrap();
    let surb_bytes = BASE64.encode(surb.to_bytes().expose());
    let (_, packet) = surb.reply(&payload);
    let (seen, mut end) = peeled_hops(&packet, &path);
    let (k_s, body_keys) = (hex(record.key.expose()), record.body_keys.iter().map(|key| hex(key.as_bytes())).collect());
    assert_eq!(surb::open(record, end.body_mut()), Ok(&*payload));
    SurbCase {
        name: name.to_owned(),
        encaps: random.encaps[..nodes.len()].iter().map(|bytes| hex(bytes)).collect(),
        nodes,
        fill: hex(&random.fill),
        surb: surb_bytes,
        payload: BASE64.encode(&*payload),
        packet: BASE64.encode(packet.as_bytes()),
        hops: seen,
        surb_id: hex(&id.0),
        body_keys,
        k_s,
    }
}

/// What each hop of the path gets and reads, and what the last one is left with.
fn peeled_hops(packet: &Packet, path: &[(NodeId, MixKey)]) -> (Vec<PeeledHop>, Packet) {
    let (mut packet, mut seen) = (packet.clone(), Vec::new());
    for (id, key) in path {
        let sha256 = hex(&packet.digest());
        let (command, tag, next) = peel(packet, id, key).unwrap();
        packet = next;
        let (command, delay_ms, next_id) = match command {
            Command::Forward { next, delay_ms } => (1, delay_ms, next.0),
            Command::Deliver { delay_ms } => (2, delay_ms, [0; 32]),
            Command::Reply { surb } => (3, 0, surb.0),
            Command::Drop => (4, 0, [0; 32]),
        };
        seen.push(PeeledHop { sha256, command, delay_ms, next_id: hex(&next_id), tag });
    }
    (seen, packet)
}

fn refused() -> Vec<Refused> {
    let header_fields = [
        ("version", 1),
        ("ML-KEM ciphertext", 2),
        ("X25519 ciphertext", 2 + 1_088),
        ("command", 2 + 1_120),
        ("delay", 2 + 1_120 + 1),
        ("id", 2 + 1_120 + 5),
        ("next MAC", 2 + 1_120 + 37),
        ("next ciphertext", 2 + 1_120 + 69),
        ("rest of the route", 2 + 1_120 + SLOT_LEN),
        ("end of the route", 2 + 1_120 + ROUTE_LEN - 1),
        ("MAC", HEADER_LEN - 32),
    ];
    let body = [("body", HEADER_LEN), ("end of the body", HEADER_LEN + BODY_LEN - 1)];
    let header_fields = header_fields.map(|(field, at)| (field, at, "BadMac"));
    let fields: Vec<_> = header_fields.into_iter().chain(body.map(|(field, at)| (field, at, "BadBody"))).collect();
    let changed = (0..3).flat_map(|hop| {
        let changed = move |&(field, offset, reason): &(&str, usize, &str)| Refused::Changed {
            name: format!("{field} changed before hop {hop}"),
            case: "three hops".to_owned(),
            hop,
            offset,
            xor: if offset % 2 == 0 { 0x01 } else { 0x80 },
            reason: reason.to_owned(),
        };
        fields.iter().map(changed).collect::<Vec<_>>()
    });
    changed.chain(refused_whole()).collect()
}

/// Packets of one hop, built and MACed as they should be, that say what may not be said.
fn refused_whole() -> Vec<Refused> {
    const DELIVER: u8 = 2;
    const REPLY: u8 = 3;
    const DROP: u8 = 4;
    let (delay, id, mac, ct, last) = (1, 5, 37, 69, SLOT_LEN - 1);
    let slots = [
        ("unknown command", 5, vec![]),
        ("deliver with an id", DELIVER, vec![id]),
        ("deliver with a next MAC", DELIVER, vec![mac]),
        ("deliver with a next ciphertext", DELIVER, vec![last]),
        ("reply with a delay", REPLY, vec![delay + 3, id]),
        ("reply with a next MAC", REPLY, vec![id, mac + 31]),
        ("reply with a next ciphertext", REPLY, vec![id, ct]),
        ("drop with a delay", DROP, vec![delay]),
        ("drop with an id", DROP, vec![id + 31]),
        ("drop with a next MAC", DROP, vec![mac]),
        ("drop with a next ciphertext", DROP, vec![ct]),
    ];
    let slots = slots.into_iter().map(|(name, command, ones)| {
        let mut packet = RawPacket::new(name, command);
        ones.into_iter().for_each(|at| packet.slot[at] = 1);
        packet.refused("BadCommand")
    });
    let mut version = RawPacket::new("another version", DELIVER);
    version.ad = [0, 2];
    let mut point = RawPacket::new("X25519 ciphertext of low order", DELIVER);
    point.low_order = true;
    let mut tag = RawPacket::new("body tag not zero", DELIVER);
    tag.body[31] = 1;
    slots.chain([version.refused("BadMac"), point.refused("BadMac"), tag.refused("BadBody")]).collect()
}

/// A packet of one hop before encryption, put together here once more: `sphinx::build` can't make what is malformed.
struct RawPacket {
    name: &'static str,
    ad: [u8; 2],
    low_order: bool,
    slot: [u8; SLOT_LEN],
    body: Box<[u8; BODY_LEN]>,
}

impl RawPacket {
    fn new(name: &'static str, command: u8) -> Self {
        let mut slot = [0; SLOT_LEN];
        slot[0] = command;
        let body = [[0; 32].as_slice(), payload(name).as_slice()].concat().try_into().unwrap();
        Self { name, ad: AD, low_order: false, slot, body }
    }

    fn refused(mut self, reason: &str) -> Refused {
        let nodes = nodes(self.name, 1);
        let (id, key) = &path(&nodes)[0];
        let random = randomness(self.name);
        let (mut ct, mut shared) = xwing::encapsulate(key.public(), &random.encaps[0]);
        if self.low_order {
            ct[1_088..].fill(0);
            shared = with_x25519_zero(key.public(), &random.encaps[0]);
        }
        let ikm = [shared.expose().as_slice(), &id.0].concat();
        let hop = Hkdf::<Sha256>::new(Some(b"fog/1 hop"), &ikm);
        let (mut mac_key, mut route_key, mut body_key) = ([0; 32], [0; 32], [0; 128]);
        hop.expand(b"mac", &mut mac_key).unwrap();
        hop.expand(b"route", &mut route_key).unwrap();
        hop.expand(b"body", &mut body_key).unwrap();

        let mut route = [self.slot.as_slice(), &random.fill].concat();
        Ctr128BE::<Aes256>::new(&route_key.into(), &[0; 16].into()).apply_keystream(&mut route);
        let authenticated = [self.ad.as_slice(), &ct, &route].concat();
        let mac =
            Hmac::<Sha256>::new_from_slice(&mac_key).unwrap().chain_update(&authenticated).finalize().into_bytes();
        wide_block::encrypt(&BodyKey::from_bytes(&body_key), &mut self.body);
        let packet = [authenticated.as_slice(), &mac, self.body.as_slice()].concat();
        let (name, reason) = (self.name.to_owned(), reason.to_owned());
        Refused::Whole { name, nodes, packet: BASE64.encode(&packet), reason }
    }
}

/// The secret that an X-Wing ciphertext whose X25519 half is the point zero has.
fn with_x25519_zero(key: &xwing::PublicKey, randomness: &[u8; 64]) -> Secret<32> {
    let (ml_kem_key, x25519_key) = key.as_bytes().split_first_chunk::<1_184>().unwrap();
    let (_, ml_kem) = libcrux_ml_kem::mlkem768::encapsulate(&ml_kem_key.into(), randomness[..32].try_into().unwrap());
    let input = [ml_kem.as_slice(), &[0; 64], x25519_key, br"\.//^\"].concat();
    Secret::take(&mut libcrux_sha3::sha256(&input))
}

fn wide_block_case<const N: usize>(name: &str) -> WideBlock {
    let (key, plain) = (bytes(name, "key"), bytes::<N>(name, "plain"));
    let mut cipher = plain.clone();
    wide_block::encrypt(&BodyKey::from_bytes(&key), &mut cipher);
    WideBlock { key: hex(&*key), plain: BASE64.encode(&*plain), cipher: BASE64.encode(&*cipher) }
}

fn nodes(name: &str, n: usize) -> Vec<Node> {
    let node = |n| Node {
        seed: hex(&*bytes::<32>(name, &format!("seed {n}"))),
        id: hex(&*bytes::<32>(name, &format!("id {n}"))),
    };
    (0..n).map(node).collect()
}

fn path(nodes: &[Node]) -> Vec<(NodeId, MixKey)> {
    nodes
        .iter()
        .map(|node| (NodeId(unhex(&node.id)), MixKey::from_seed(&Secret::take(&mut unhex(&node.seed)))))
        .collect()
}

fn hops(path: &[(NodeId, MixKey)]) -> Vec<Hop<'_>> {
    path.iter().map(|(id, key)| Hop { id: *id, key: key.public() }).collect()
}

fn randomness(name: &str) -> Randomness {
    let encaps: Vec<[u8; 64]> = (0..MAX_HOPS).map(|n| *bytes(name, &format!("encaps {n}"))).collect();
    Randomness { encaps: encaps.try_into().unwrap(), fill: *bytes::<FILL_LEN>(name, "fill") }
}

fn payload(name: &str) -> Box<[u8; PAYLOAD_LEN]> {
    bytes(name, "payload")
}

/// Bytes that look random and are the same for ever.
fn bytes<const N: usize>(name: &str, what: &str) -> Box<[u8; N]> {
    let mut bytes = vec![0; N];
    blake3::Hasher::new().update(format!("{name}/{what}").as_bytes()).finalize_xof().fill(&mut bytes);
    bytes.into_boxed_slice().try_into().unwrap()
}

fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

fn unhex(hex: &str) -> [u8; 32] {
    HEXLOWER.decode(hex.as_bytes()).unwrap().try_into().unwrap()
}

fn unbase64(base64: &str) -> Vec<u8> {
    BASE64.decode(base64.as_bytes()).unwrap()
}
