//! The vectors of docs/spec-message.md, made again byte for byte: `tests/vectors/{message,shards,link}.json`.
//!
//! `FOG_BLESS=1 cargo test --test vectors_codec` writes them anew after a deliberate change.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops at the first surprise")]

use data_encoding::{BASE64, HEXLOWER};
use fog::id::{MessageId, SetId};
use fog::link::offer::Verdict;
use fog::link::{document, frame};
use fog::mail::address::Address;
use fog::message::payload::{Class, Fragment, Payload, Receipt, Status};
use fog::message::shards::{SHARD_LEN, Shape, Shard, join, split};
use fog::message::{Message, unpack};
use fog::sphinx::geometry::{PACKET_LEN, SURB_LEN};
use fog::time::Time;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::path::Path;

fn hold_against(name: &str, made: &Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(name);
    let made = format!("{}\n", serde_json::to_string_pretty(made).unwrap());
    if std::env::var_os("FOG_BLESS").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap();
    assert!(kept == made, "{name} is not what the code makes: FOG_BLESS=1 if the change is meant");
}

fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// SHA-256(label ‖ 0) ‖ SHA-256(label ‖ 1) ‖ …, counters of four bytes, big endian, cut at `length`.
fn stream(label: &str, length: usize) -> Vec<u8> {
    let blocks = (0u32..).flat_map(|n| Sha256::new().chain_update(label).chain_update(n.to_be_bytes()).finalize());
    blocks.take(length).collect()
}

const STREAM_RULE: &str = "stream(label, length) = first `length` bytes of SHA-256(label || 0) || SHA-256(label || 1) || ..., \
                           label in ASCII, counters four bytes big endian";

#[test]
fn shards_are_those_of_the_vectors() {
    let cases = [(1, 0), (1000, 2), (SHARD_LEN, 1), (SHARD_LEN + 1, 1), (150_000, 2), (5 * SHARD_LEN, 3), (980_000, 3)];
    let mut made: Vec<Value> = cases.into_iter().map(|(length, spare)| shard_case(length, spare)).collect();
    made.push(shard_case(240 * SHARD_LEN, 15));
    let shapes = [(0, 0, 0), (0, 1, 0), (1, 1, 0), (1, 0, 1), (1, 1, 58_381), (2, 1, 58_381), (2, 2, 58_380)];
    let refused: Vec<Value> = shapes
        .into_iter()
        .map(|(k, n, length)| {
            assert!(Shape::new(k, n, length).is_err(), "{k} of {n}, {length} bytes");
            json!({"k": k, "n": n, "length": length})
        })
        .collect();
    hold_against(
        "shards.json",
        &json!({
            "v": 1,
            "rule": format!("message = stream(\"fog shards\", length); {STREAM_RULE}"),
            "shard_len": SHARD_LEN,
            "cases": made,
            "refused_shapes": refused,
        }),
    );
}

fn shard_case(length: usize, spare: usize) -> Value {
    let message = stream("fog shards", length);
    let (shape, shards) = split(&message, spare).unwrap();
    let indexed: Vec<(u8, &Shard)> = (0..).zip(&shards).collect();
    let last: Vec<_> = indexed.iter().skip(spare).copied().collect();
    assert!(join(shape, &last).unwrap() == message, "{length} bytes, {spare} spare");
    let spare_starts: Vec<String> = shards.iter().skip(usize::from(shape.k())).map(|s| hex(&s[..16])).collect();
    json!({
        "length": length,
        "k": shape.k(),
        "n": shape.n(),
        "message_sha256": sha256(&message),
        "shards_sha256": shards.iter().map(|shard| sha256(shard)).collect::<Vec<_>>(),
        "spare_shards_first_16_bytes": spare_starts,
    })
}

/// A zstd frame with the given header behind its magic number, and one last raw block.
fn raw_frame(header: &[u8], content: &[u8]) -> Vec<u8> {
    let block = u32::try_from(content.len() << 3 | 1).unwrap().to_le_bytes();
    [&[0x28, 0xb5, 0x2f, 0xfd], header, &block[..3], content].concat()
}

/// A frame in single-segment form that states its content size in four bytes.
fn framed(content: &[u8]) -> Vec<u8> {
    let size = u32::try_from(content.len()).unwrap().to_le_bytes();
    raw_frame(&[&[0xa0][..], &size].concat(), content)
}

const MAIL: &[u8] = b"Subject: x\r\n\r\nhi\r\n";

fn message() -> Message {
    Message {
        recipient: Address::parse("a@x.org").unwrap(),
        mail: MAIL.to_vec(),
        surbs: Vec::new(),
        id: MessageId([0xab; 16]),
    }
}

#[test]
fn messages_are_those_of_the_vectors() {
    let surb = |rule: &str| -> Box<[u8; SURB_LEN]> { stream(rule, SURB_LEN).try_into().unwrap() };
    let utf8 = Address::parse("jos\u{e9}@m\u{fc}nchen.example").unwrap();
    let cases = [
        ("plain", message()),
        ("with a SURB", Message { surbs: vec![surb("fog surb")], ..message() }),
        ("with two SURBs", Message { surbs: vec![surb("fog surb"), surb("fog other surb")], ..message() }),
        ("UTF-8 recipient, mail of 300 bytes", Message { recipient: utf8, mail: vec![b'x'; 300], ..message() }),
    ];
    let cases: Vec<Value> = cases.into_iter().map(|(name, message)| message_case(name, &message)).collect();
    hold_against(
        "message.json",
        &json!({
            "v": 1,
            "rule": format!("SURBs here are stream(\"fog surb\", {SURB_LEN}) and stream(\"fog other surb\", {SURB_LEN}), no real ones; {STREAM_RULE}"),
            "cases": cases,
            "refused": refused_messages(),
            "payloads": payloads(),
        }),
    );
}

fn message_case(name: &str, message: &Message) -> Value {
    let cbor = message.encode().unwrap();
    let packed = framed(&cbor);
    assert!(unpack(&packed, message.mail.len()).as_ref() == Ok(message), "{name}");
    json!({
        "name": name,
        "recipient": message.recipient.to_string(),
        "mail": BASE64.encode(&message.mail),
        "surbs_sha256": message.surbs.iter().map(|surb| sha256(&surb[..])).collect::<Vec<_>>(),
        "id": hex(&message.id.0),
        "cbor": BASE64.encode(&cbor),
        "packed": BASE64.encode(&packed),
    })
}

fn refused_messages() -> Vec<Value> {
    let good = message().encode().unwrap();
    assert!(unpack(&framed(&good), MAIL.len()).is_ok());
    let size = u32::try_from(good.len()).unwrap().to_le_bytes();
    let with = |at: usize, byte: u8| {
        let mut bad = good.clone();
        bad[at] = byte;
        framed(&bad)
    };
    let long_head = [&good[..1], &[0x01, 0x78, 0x07], &good[3..]].concat();
    let skippable = [0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0];
    let window = |descriptor: u8| raw_frame(&[&[0x80, descriptor][..], &size].concat(), &good);
    assert!(unpack(&window(13 << 3), MAIL.len()).is_ok(), "a window of 8 MiB");
    [
        ("a map of four with three entries", with(0, 0xa4)),
        ("a map without a length", with(0, 0xbf)),
        ("key 1 missing", with(1, 0x00)),
        ("an unknown key", with(30, 0x05)),
        ("a domain in capitals", with(5, b'X')),
        ("a bare LF", with(22, b'x')),
        ("a NUL", with(25, 0)),
        ("a text head longer than it must be", framed(&long_head)),
        ("a byte behind the message", framed(&[&good[..], &[0]].concat())),
        ("two frames", [framed(&good), framed(&[])].concat()),
        ("a skippable frame in front", [&skippable[..], &framed(&good)].concat()),
        ("a byte behind the frame", [&framed(&good)[..], &[0]].concat()),
        ("a frame without content size", raw_frame(&[0x00, 0x58], &good)),
        ("a frame with the reserved bit", raw_frame(&[&[0xa8][..], &size].concat(), &good)),
        ("a frame with a dictionary id", raw_frame(&[&[0xa1, 9][..], &size].concat(), &good)),
        ("a window of 9 MiB", window(13 << 3 | 1)),
        ("a content size of 4 GiB", raw_frame(&[0xa0, 0xff, 0xff, 0xff, 0xff], &good)),
    ]
    .into_iter()
    .map(|(name, packed)| {
        assert!(unpack(&packed, MAIL.len()).is_err(), "{name}");
        json!({"name": name, "max_size": MAIL.len(), "packed": BASE64.encode(&packed)})
    })
    .collect()
}

/// What the payloads that are not random say, without what fills them up.
fn payloads() -> Vec<Value> {
    use rand::SeedableRng as _;
    let shard: Box<Shard> = stream("fog shard", SHARD_LEN).try_into().unwrap();
    let shape = Shape::new(2, 5, 100_000).unwrap();
    let fragment = Fragment { set: SetId([0xcd; 16]), shape, index: 4, shard: &shard };
    let receipt = Receipt { message: MessageId([0xab; 16]), status: Status::Refused, class: Class::Permanent };
    [
        ("fragment 4 of a message of 100000 bytes, 2 of 5; then the shard", Payload::Fragment(fragment), 25),
        ("receipt, refused for good with 5xx; then random bytes", Payload::Receipt(receipt), 19),
        ("loop; then random bytes", Payload::Loop([0xef; 32]), 33),
    ]
    .into_iter()
    .map(|(name, payload, says)| {
        let bytes = payload.encode(&mut rand::rngs::StdRng::seed_from_u64(1));
        assert!(Payload::decode(&bytes) == Ok(payload), "{name}");
        json!({"name": name, "starts": hex(&bytes[..says])})
    })
    .collect()
}

#[test]
fn a_link_says_what_the_vectors_say() {
    let mut link = Link::open();
    let hellos = link.hellos.map(|(side, hello)| {
        let document = hello.document.map(|hash| hex(&hash));
        json!({"side": side, "seconds": hello.now.as_secs(), "document": document, "bytes": hex(&hello.encode())})
    });
    let handshake = link.handshake.clone();
    let hash = link.hash.clone();
    let packets: Vec<Value> = ["fog packet 1", "fog packet 2"].map(|label| link.packet_case(label)).into();
    let answers = [frame::Answer::DisposedOf, frame::Answer::Busy].map(|answer| link.answer_case(answer));
    let hello = link.hellos[1].1.encode();
    hold_against(
        "link.json",
        &json!({
            "v": 1,
            "rule": format!("packets here are stream(label, {PACKET_LEN}), no real ones; {STREAM_RULE}"),
            "pattern": frame::PATTERN,
            "prologue": String::from_utf8(frame::PROLOGUE.to_vec()).unwrap(),
            "private_keys": {
                "initiator_static": hex(&INITIATOR),
                "initiator_ephemeral": hex(&INITIATOR_EPHEMERAL),
                "responder_static": hex(&RESPONDER),
                "responder_ephemeral": hex(&RESPONDER_EPHEMERAL),
            },
            "hellos": hellos,
            "opening_on_the_wire": handshake,
            "handshake_hash": hash,
            "packets": packets,
            "answers": answers,
            "document": asked_for_the_document(),
            "descriptor": handed_in(),
            "agreement": json!({"opening": hex(&document::Opening::Agreement.encode())}),
            "refused": refused_plaintexts(&hello),
        }),
    );
}

const INITIATOR: [u8; 32] = [0x11; 32];
const INITIATOR_EPHEMERAL: [u8; 32] = [0x22; 32];
const RESPONDER: [u8; 32] = [0x33; 32];
const RESPONDER_EPHEMERAL: [u8; 32] = [0x44; 32];

/// Both ends of a link with fixed keys, after the handshake.
struct Link {
    initiator: snow::TransportState,
    responder: snow::TransportState,
    incoming: frame::Incoming,
    hellos: [(&'static str, frame::Hello); 2],
    handshake: Vec<String>,
    hash: String,
}

impl Link {
    fn open() -> Self {
        let hello = |seconds, document| frame::Hello { now: Time::from_secs(seconds), document };
        let hellos = [
            ("initiator, in the third handshake message", hello(1_750_000_003, None)),
            ("responder, in its first transport message", hello(1_750_000_000, Some([0xd0; 32]))),
        ];
        let (mut handshake, mut initiator, mut responder, hash) = shaken(&document::Opening::Packets(hellos[0].1));
        let (wire, read) = cross(&mut responder, &mut initiator, &hellos[1].1.encode());
        assert_eq!(frame::Hello::decode(&read), Ok(hellos[1].1));
        handshake.push(hex(&wire));
        Self { initiator, responder, incoming: frame::Incoming::default(), hellos, handshake, hash }
    }

    fn packet_case(&mut self, label: &str) -> Value {
        let packet: Box<[u8; PACKET_LEN]> = stream(label, PACKET_LEN).try_into().unwrap();
        let (first, body) = frame::messages(&packet);
        let mut arrived = None;
        let messages = [&first[..], body].map(|plaintext| {
            let expected = self.incoming.expects();
            let (wire, read) = cross(&mut self.initiator, &mut self.responder, plaintext);
            frame::check_prefix([wire[0], wire[1]], expected).unwrap();
            arrived = self.incoming.take(&read).unwrap();
            json!({
                "plaintext_sha256": sha256(plaintext),
                "wire_len": wire.len(),
                "wire_starts": hex(&wire[..18]),
                "wire_sha256": sha256(&wire),
            })
        });
        assert!(arrived.unwrap() == packet, "{label}");
        json!({"label": label, "packet_sha256": sha256(&packet[..]), "messages": messages})
    }

    fn answer_case(&mut self, answer: frame::Answer) -> Value {
        let (wire, read) = cross(&mut self.responder, &mut self.initiator, &answer.encode());
        assert_eq!(frame::Answer::decode(&read), Ok(answer));
        json!({"answer": format!("{answer:?}"), "plaintext": hex(&answer.encode()), "wire": hex(&wire)})
    }
}

/// Both ends after the handshake, the initiator saying `opening` in it; with its messages and its hash.
fn shaken(opening: &document::Opening) -> (Vec<String>, snow::TransportState, snow::TransportState, String) {
    let public = x25519_dalek::PublicKey::from(&x25519_dalek::StaticSecret::from(RESPONDER));
    let mut initiator = noise(&INITIATOR, &INITIATOR_EPHEMERAL, |noise| {
        noise.remote_public_key(public.as_bytes()).unwrap().build_initiator()
    });
    let mut responder = noise(&RESPONDER, &RESPONDER_EPHEMERAL, |noise| noise.build_responder());
    let mut handshake = Vec::new();
    let mut pass = |from: &mut snow::HandshakeState, to: &mut snow::HandshakeState, payload: &[u8], len: usize| {
        let (mut message, mut got) = (vec![0; 1000], vec![0; 1000]);
        let length = from.write_message(payload, &mut message).unwrap();
        message.truncate(length);
        assert_eq!(message.len(), len);
        let read = to.read_message(&message, &mut got).unwrap();
        assert_eq!(&got[..read], payload);
        handshake.push(hex(&on_the_wire(&message)));
    };
    let [one, two, three] = frame::HANDSHAKE_LENS;
    pass(&mut initiator, &mut responder, &[], one);
    pass(&mut responder, &mut initiator, &[], two);
    pass(&mut initiator, &mut responder, &opening.encode(), three);
    let hash = hex(initiator.get_handshake_hash());
    (handshake, initiator.into_transport_mode().unwrap(), responder.into_transport_mode().unwrap(), hash)
}

/// A link on which the initiator asks for the document and gets one.
fn asked_for_the_document() -> Value {
    let opening = document::Opening::Document;
    let (handshake, mut initiator, mut responder, _) = shaken(&opening);
    let text = hex(&stream("fog document", document::PIECE_LEN / 2 + 500));
    let head = document::Head::new(text.len(), Sha256::digest(&text).into()).unwrap();
    let (head_wire, read) = cross(&mut responder, &mut initiator, &head.encode());
    assert_eq!(document::Head::decode(&read), Ok(head));
    let mut incoming = document::Incoming::new(&head);
    let pieces: Vec<Value> = document::pieces(&text)
        .map(|piece| {
            let (wire, read) = cross(&mut responder, &mut initiator, piece);
            incoming.take(&read).unwrap();
            json!({"plaintext_len": piece.len(), "wire_len": wire.len(), "wire_sha256": sha256(&wire)})
        })
        .collect();
    assert_eq!(incoming.finish().as_ref(), Ok(&text));
    json!({
        "rule": "the text here is the hex of stream(\"fog document\", 16884), no real one; its hash is that of all of it",
        "opening": hex(&opening.encode()),
        "opening_on_the_wire": handshake,
        "head": {"plaintext": hex(&head.encode()), "wire": hex(&head_wire)},
        "pieces": pieces,
    })
}

/// A link on which the initiator hands in a descriptor, and what it may be told.
fn handed_in() -> Value {
    let opening = document::Opening::Descriptor;
    let (handshake, mut initiator, mut responder, _) = shaken(&opening);
    let text = hex(&stream("fog descriptor", 7_000));
    let head = document::Head::new(text.len(), Sha256::digest(&text).into()).unwrap();
    let (head_wire, read) = cross(&mut initiator, &mut responder, &head.encode());
    assert_eq!(document::Head::decode(&read), Ok(head));
    let (piece, read) = cross(&mut initiator, &mut responder, text.as_bytes());
    assert_eq!((read, document::pieces(&text).count()), (text.clone().into_bytes(), 1));
    let verdicts: Vec<Value> = Verdict::ALL
        .into_iter()
        .map(|verdict| {
            let (wire, read) = cross(&mut responder, &mut initiator, &verdict.encode());
            assert_eq!(Verdict::decode(&read), Ok(verdict));
            json!({"verdict": verdict.word(), "plaintext": hex(&verdict.encode()), "wire": hex(&wire)})
        })
        .collect();
    json!({
        "rule": "the text here is the hex of stream(\"fog descriptor\", 7000), no real one; the verdicts are given one after \
            the other, as no responder does",
        "opening": hex(&opening.encode()),
        "opening_on_the_wire": handshake,
        "head": {"plaintext": hex(&head.encode()), "wire": hex(&head_wire)},
        "piece": {"plaintext_len": text.len(), "wire_len": piece.len(), "wire_sha256": sha256(&piece)},
        "verdicts": verdicts,
    })
}

fn noise(
    key: &[u8; 32],
    ephemeral: &[u8; 32],
    build: impl FnOnce(snow::Builder) -> Result<snow::HandshakeState, snow::Error>,
) -> snow::HandshakeState {
    let builder = snow::Builder::new(frame::PATTERN.parse().unwrap())
        .prologue(frame::PROLOGUE)
        .and_then(|builder| builder.local_private_key(key))
        .unwrap();
    build(builder.fixed_ephemeral_key_for_testing_only(ephemeral)).unwrap()
}

fn on_the_wire(message: &[u8]) -> Vec<u8> {
    [&frame::prefix(message.len()).unwrap()[..], message].concat()
}

fn cross(from: &mut snow::TransportState, to: &mut snow::TransportState, plaintext: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (mut message, mut read) = (vec![0; PACKET_LEN], vec![0; PACKET_LEN]);
    let length = from.write_message(plaintext, &mut message).unwrap();
    message.truncate(length);
    let length = to.read_message(&message, &mut read).unwrap();
    read.truncate(length);
    (on_the_wire(&message), read)
}

fn refused_plaintexts(hello: &[u8]) -> Vec<Value> {
    let changed = |at: usize, byte: u8| {
        let mut bad = hello.to_vec();
        bad[at] = byte;
        bad
    };
    let hellos = [
        ("hello", "version 2", changed(1, 2)),
        ("hello", "a clock beyond the milliseconds of 64 bits", changed(2, 0xff)),
        ("hello", "a non-zero byte behind the document hash", changed(42, 1)),
        ("hello", "a byte too few", hello[..63].to_vec()),
        ("hello", "who answers a link asks for no document", document::Opening::Document.encode().to_vec()),
    ];
    let ask = |at: usize, byte: u8| {
        let mut bad = document::Opening::Document.encode();
        bad[at] = byte;
        bad.to_vec()
    };
    let openings = [
        ("opening", "a clock of who asks", ask(9, 1)),
        ("opening", "a document of who asks", ask(10, 1)),
        ("opening", "an unknown kind", ask(42, 4)),
        ("opening", "a non-zero byte behind the kind", ask(63, 1)),
    ];
    let head = |length: u32| [&length.to_be_bytes()[..], &[7; 32]].concat();
    let heads = [
        ("head", "an empty document", head(0)),
        ("head", "a document of a byte too much", head(u32::try_from(document::MAX_DOCUMENT).unwrap() + 1)),
        ("head", "a byte too few", head(5)[..document::HEAD_LEN - 1].to_vec()),
    ];
    let answers = [
        ("answer", "an unknown byte", vec![0x03]),
        ("answer", "zero", vec![0x00]),
        ("answer", "two bytes", vec![0x01, 0x01]),
        ("answer", "no byte", vec![]),
    ];
    let verdicts = [
        ("verdict", "zero", vec![0]),
        ("verdict", "an unknown byte", vec![12]),
        ("verdict", "two bytes", vec![1, 1]),
        ("verdict", "no byte", vec![]),
    ];
    let packets = [("packet", "an answer where a packet must begin", vec![0x01])];
    hellos
        .into_iter()
        .chain(answers)
        .chain(packets)
        .chain(openings)
        .chain(heads)
        .chain(verdicts)
        .map(|(what, reason, bytes)| {
            let refused = match what {
                "hello" => frame::Hello::decode(&bytes).is_err(),
                "opening" => document::Opening::decode(&bytes).is_err(),
                "head" => document::Head::decode(&bytes).is_err(),
                "verdict" => Verdict::decode(&bytes).is_err(),
                "answer" => frame::Answer::decode(&bytes).is_err(),
                _ => frame::Incoming::default().take(&bytes).is_err(),
            };
            assert!(refused, "{what}: {reason}");
            json!({"as": what, "reason": reason, "plaintext": hex(&bytes)})
        })
        .collect()
}
