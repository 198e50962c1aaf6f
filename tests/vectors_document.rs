//! The directory document, byte for byte: `tests/vectors/document.json` is what the code gives, and what must be refused
//! is refused for the reason given.
//!
//! `FOG_BLESS=1 cargo test --test vectors_document` writes the file anew; each change of it is another document format.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops at the first surprise")]

use data_encoding::HEXLOWER;
use fog::directory::{
    Authority, Candidate, Contents, Descriptor, Document, Domains, ExitPolicy, IdentityKey, Measured, NodeAddress,
    Params, Signed, Strategy, Trust, Uptime,
};
use fog::id::{Epoch, NodeId};
use fog::secret::Secret;
use fog::sphinx::xwing::MixKey;
use fog::time::Time;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/document.json");
const EPOCH: Epoch = Epoch(20_000);
const DAY: u64 = 86_400;
const AUTHORITIES: [&str; 4] = ["north", "east", "south", "west"];

#[test]
fn the_vectors_are_what_the_code_gives() {
    let made = format!("{}\n", serde_json::to_string_pretty(&vectors()).unwrap());
    if std::env::var_os("FOG_BLESS").is_some() {
        fs::write(FILE, &made).unwrap();
    }
    assert!(fs::read_to_string(FILE).unwrap() == made, "tests/vectors/document.json is not what the code gives");
}

#[test]
fn a_stranger_comes_to_the_same_verdicts_from_the_file_alone() {
    let file: Value = serde_json::from_str(&fs::read_to_string(FILE).unwrap()).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let fingerprints = file["trust"]["fingerprints"].as_array().unwrap().iter().map(|id| NodeId(unhex(&text(id))));
    let threshold = usize::try_from(file["trust"]["threshold"].as_u64().unwrap()).unwrap();
    let trust = Trust::new(threshold, fingerprints.collect()).unwrap();
    let at = |value: &Value| Time::from_secs(value.as_u64().unwrap());
    let document = Document::verify(&text(&file["document"]), &trust, at(&file["now"]), None).unwrap();
    assert_eq!(hex(document.hash()), text(&file["hash"]));
    let signed_len = usize::try_from(file["signed_bytes"].as_u64().unwrap()).unwrap();
    assert_eq!(Sha256::digest(&text(&file["document"]).as_bytes()[..signed_len])[..], document.hash()[..]);
    for node in file["nodes"].as_array().unwrap() {
        let signed = Signed::parse(&text(&node["descriptor"])).unwrap();
        assert_eq!(signed.descriptor().id().to_string(), text(&node["id"]));
    }
    for case in file["accepted"].as_array().unwrap() {
        let document = Document::verify(&text(&case["document"]), &trust, at(&file["now"]), None).unwrap();
        assert_eq!(hex(document.hash()), text(&case["hash"]), "{}", case["name"]);
    }
    let refused = file["refused"].as_array().unwrap();
    assert!(refused.len() > 20);
    for case in refused {
        let have = case["have"].as_str().map(|have| Document::reopen(have, &trust, at(&case["now"])).unwrap());
        let verdict = Document::verify(&text(&case["document"]), &trust, at(&case["now"]), have.as_ref());
        assert_eq!(reason(&verdict.unwrap_err()), text(&case["reason"]), "{}", case["name"]);
    }
}

/// The name of the variant: what a stranger calls it is their business, but there is one of each.
fn reason(rejected: &impl std::fmt::Debug) -> String {
    format!("{rejected:?}").chars().take_while(char::is_ascii_alphanumeric).collect()
}

fn vectors() -> Value {
    let contents = contents();
    let document = text(&contents, &AUTHORITIES[..3]);
    let candidate = Candidate::parse(&document).unwrap();
    let authorities: Vec<_> = AUTHORITIES
        .map(|name| json!({"name": name, "seed": hex(seed(name, "identity").expose()), "fingerprint": key(name).node_id().to_string()}))
        .into();
    let nodes: Vec<_> = ["kvara", "pietro"].map(node_case).into();
    json!({
        "v": 1,
        "authorities": authorities,
        "nodes": nodes,
        "trust": {"threshold": 3, "fingerprints": trusted().map(|id| id.to_string()).collect::<Vec<_>>()},
        "now": EPOCH.0 * DAY,
        "document": document,
        "signed_bytes": document.find("\nsignature ").unwrap() + 1,
        "hash": hex(&candidate.hash()),
        "accepted": accepted(&contents),
        "refused": refused(&contents),
    })
}

fn node_case(name: &str) -> Value {
    let mix_seeds: Vec<_> = (0..2).map(|i| hex(seed(name, &format!("mix {i}")).expose())).collect();
    json!({
        "name": name,
        "seed": hex(seed(name, "identity").expose()),
        "id": key(name).node_id().to_string(),
        "link_private_key": hex(seed(name, "link").expose()),
        "mix_seeds": mix_seeds,
        "descriptor": signed(name, descriptor(name)).to_text(),
    })
}

/// Documents in which stands what the first one leaves out or has by default.
fn accepted(good: &Contents) -> Vec<Value> {
    let onions = ["kvara", "pietro"].into_iter().zip(ONIONS).map(|(name, onion)| {
        let address = NodeAddress::parse(onion).unwrap();
        (key(name).node_id(), signed(name, Descriptor { address, ..descriptor(name) }))
    });
    let onions = Contents { nodes: onions.collect(), ..good.clone() };
    let with = |contents: &Contents, params: Params| Contents { params, ..contents.clone() };
    let params = &good.params;
    let case = |(name, contents): (&str, Contents)| {
        let document = text(&contents, &AUTHORITIES[..3]);
        let hash = hex(&Candidate::parse(&document).unwrap().hash());
        json!({"name": name, "document": document, "hash": hash})
    };
    let cases = [
        ("onions alone", with(&onions, Params { only_onions: true, ..params.clone() })),
        ("a demonstration", with(good, Params { demo: true, ..params.clone() })),
        (
            "onions alone, and a demonstration",
            with(&onions, Params { only_onions: true, demo: true, ..params.clone() }),
        ),
        ("other parameters, each", with(good, others())),
        ("no delays", with(good, undelayed(params))),
        ("a network's first", Contents { previous: None, ..good.clone() }),
    ];
    cases.map(case).into()
}

const ONIONS: [&str; 2] = [
    "pg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd.onion:9999",
    "2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion:1",
];

/// No value is that of the first document, except the epoch, which numbers it.
fn others() -> Params {
    let minutes = |n: u64| Duration::from_secs(n * 60);
    Params {
        strategy: Strategy::Constant,
        min_delay: Duration::from_millis(1),
        mean_delay: minutes(90),
        max_delay: minutes(72 * 60),
        tick: minutes(120),
        batch_min: 100,
        send_every: minutes(24 * 60),
        hops: 4,
        epoch: Duration::from_secs(DAY),
        max_size: 14 << 20,
        message_id_domain: "mail.example.org".into(),
        min_uptime: 0,
        only_onions: false,
        demo: false,
    }
}

fn undelayed(params: &Params) -> Params {
    let none = Duration::ZERO;
    let strategy = Strategy::Exponential;
    Params { strategy, min_delay: none, mean_delay: none, max_delay: none, hops: 1, ..params.clone() }
}

fn refused(good: &Contents) -> Vec<Value> {
    let three = &AUTHORITIES[..3];
    let now = EPOCH.0 * DAY;
    let mut cases = Vec::new();
    let mut case = |name: &str, document: String, now: u64, have: Option<String>, reason: &str| {
        cases.push(json!({"name": name, "document": document, "now": now, "have": have, "reason": reason}));
    };
    case("two of three signatures", text(good, &AUTHORITIES[..2]), now, None, "TooFewSignatures");
    case("no signature", text(good, &[]), now, None, "TooFewSignatures");
    case("an authority that isn't trusted", text(good, &["north", "east", "west"]), now, None, "UnknownAuthority");
    let body = Candidate::new(good).unwrap().to_text();
    case("an authority that isn't listed", sign(&body, &["kvara"]), now, None, "UnknownAuthority");
    let swapped = text(good, three).replace("hops = 3", "hops = 2");
    case("changed after it was signed", swapped, now, None, "BadSignature");
    case("a second before its epoch", text(good, three), now - 1, None, "FromTheFuture");
    case("three epochs old", text(good, three), now + 3 * DAY, None, "Expired");
    let next = Contents { epoch: EPOCH.plus(1), ..good.clone() };
    case("older than ours", text(good, three), now + DAY, Some(text(&next, three)), "Rollback");
    let other = Contents { params: Params { hops: 2, ..good.params.clone() }, ..good.clone() };
    case("another one of our epoch", text(good, three), now, Some(text(&other, three)), "Fork");
    let half = Duration::from_secs(DAY / 2);
    let params = Params { epoch: half, ..good.params.clone() };
    let shorter = Contents { epoch: Epoch(EPOCH.0 * 2), params, ..good.clone() };
    case("epochs of another length than ours", text(&shorter, three), now, Some(text(good, three)), "OtherEpochs");
    for (name, document) in two_of_a_kind(good) {
        case(name, document, now, None, "TwoNodes");
    }
    for (name, find, replace) in EDITS {
        let changed = body.replacen(find, replace, 1);
        assert_ne!(changed, body, "{name}");
        let reason = match name {
            _ if name.contains("mix key") => "BadMixKey",
            "a node that is no onion where all have to be" => "NoOnion",
            _ => "Malformed",
        };
        case(name, sign(&changed, three), now, None, reason);
    }
    let lines = text(good, three);
    let mut lines: Vec<_> = lines.lines().collect();
    let last = lines.len() - 1;
    lines.swap(last, last - 1);
    case("signatures out of order", lines.join("\n") + "\n", now, None, "Malformed");
    cases
}

/// What to change in the text before it is signed, to break one rule.
const EDITS: [(&str, &str, &str); 31] = [
    ("a comment", "epoch = ", "# of today\nepoch = "),
    ("an unknown key", "hops = 3", "colour = 1\nhops = 3"),
    ("a key twice", "hops = 3", "hops = 3\nhops = 3"),
    ("a key missing", "hops = 3\n", ""),
    ("another spelling of a number", "hops = 3", "hops = 03"),
    ("another spelling of a span", "\"3h\"", "\"180m\""),
    ("another spelling of a string", "\"kvara\"", "'kvara'"),
    ("space at the end of a line", "hops = 3", "hops = 3 "),
    ("parameters that make no network", "hops = 3", "hops = 5"),
    ("an unknown law of delays", "\"poisson\"", "\"pareto\""),
    ("delays out of order", "min-delay = \"1h\"", "min-delay = \"4h\""),
    ("delays longer than three epochs", "max-delay = \"1d\"", "max-delay = \"73h\""),
    ("ticks too long for an epoch", "tick = \"1500ms\"", "tick = \"121m\""),
    ("batches too large", "batch-min = 5", "batch-min = 101"),
    ("less than a slot an epoch", "send-every = \"5m\"", "send-every = \"25h\""),
    ("epochs too short", "epoch = \"1d\"", "epoch = \"59s\""),
    ("mails too small for their header", "max-size = \"2M\"", "max-size = \"15K\""),
    ("no host name", "\"fog.invalid\"", "\"fog invalid\""),
    ("onions alone, false, which is never written", "min-uptime = 90", "min-uptime = 90\nonly-onions = false"),
    ("a node that is no onion where all have to be", "min-uptime = 90", "min-uptime = 90\nonly-onions = true"),
    ("a threshold that liars can get round", "threshold = 3", "threshold = 2"),
    ("a descriptor changed by the authorities", "address = \"127.0.0.1:7001\"", "address = \"127.0.0.1:7009\""),
    ("more than all", "min-uptime = 90", "min-uptime = 101"),
    ("a complaint that is none", " 85\"]", " 100\"]"),
    ("a measure that is not rounded", " 85\"]", " 84\"]"),
    ("complaints out of order", "measured = [\"07", "measured = [\"ff"),
    ("a false flag, which is never written", "message-id-domain", "demo = false\nmessage-id-domain"),
    ("roles in another order", "\"exit\", \"authority\"", "\"authority\", \"exit\""),
    ("an authority without its key", "authority = \"", "authority = \"A"),
    ("a mix key cut short", "mix-keys.20000 = \"", "mix-keys.20000 = \"AAAA"),
    ("a gap between mix keys", "mix-keys.20001", "mix-keys.20002"),
];

fn two_of_a_kind(good: &Contents) -> Vec<(&'static str, String)> {
    let pair = |other: Descriptor| {
        let empty = Candidate::new(&Contents { nodes: [].into(), ..good.clone() }).unwrap().to_text();
        let owner = if other.identity == key("kvara").public() { "kvara" } else { "pietro" };
        let mut nodes = [signed("kvara", descriptor("kvara")), signed(owner, other)];
        nodes.sort_by_key(|node| node.descriptor().id());
        sign(&format!("{empty}\n{}\n{}", nodes[0].to_text(), nodes[1].to_text()), &AUTHORITIES[..3])
    };
    let (kvara, pietro) = (descriptor("kvara"), descriptor("pietro"));
    vec![
        ("two nodes with one identity", pair(Descriptor { identity: kvara.identity.clone(), ..pietro.clone() })),
        ("two nodes with one address", pair(Descriptor { address: kvara.address.clone(), ..pietro.clone() })),
        ("two nodes with one name", pair(Descriptor { name: kvara.name.clone(), ..pietro.clone() })),
        ("two nodes with one link key", pair(Descriptor { link_key: kvara.link_key, ..pietro })),
    ]
}

fn contents() -> Contents {
    let params = Params { strategy: Strategy::Poisson, tick: Duration::from_millis(1500), ..Params::default() };
    Contents {
        epoch: EPOCH,
        previous: Some(Sha256::digest(b"the document before").into()),
        params,
        threshold: 3,
        authorities: AUTHORITIES
            .map(|name| (key(name).node_id(), Authority { name: name.into(), identity: key(name).public() }))
            .into(),
        nodes: ["kvara", "pietro"].map(|name| (key(name).node_id(), signed(name, descriptor(name)))).into(),
    }
}

/// kvara is an exit with everything that can be said, pietro an entry with as little as possible.
fn descriptor(name: &str) -> Descriptor {
    let full = name == "kvara";
    let link = x25519_dalek::StaticSecret::from(*seed(name, "link").expose());
    let domains = Domains::Only(vec!["example.com".into(), "example.org".into()]);
    let mix_key = |i: u64| MixKey::from_seed(&seed(name, &format!("mix {i}"))).public().clone();
    Descriptor {
        name: name.into(),
        sequence: if full { 1_728_000_000 } else { 0 },
        identity: key(name).public(),
        link_key: x25519_dalek::PublicKey::from(&link).to_bytes(),
        address: NodeAddress::parse(if full { "127.0.0.1:7001" } else { "[::1]:7002" }).unwrap(),
        family: full.then(|| "kin".into()),
        contact: full.then(|| "Kvara <post@example.org>".into()),
        version: "0.1.0".into(),
        mix: full,
        exit: full.then_some(ExitPolicy { domains, max_size: 2 << 20, news: false }),
        authority: full.then(|| key("north").public()),
        measured: full.then(|| Measured::from([(NodeId([7; 32]), uptime(0)), (key("pietro").node_id(), uptime(85))])),
        mix_keys: (0..2).map(|i| (EPOCH.plus(i), mix_key(i))).collect(),
    }
}

fn uptime(percent: u8) -> Uptime {
    Uptime::from_percent(percent).unwrap()
}

fn signed(name: &str, descriptor: Descriptor) -> Signed {
    descriptor.sign(&key(name)).unwrap()
}

fn text(contents: &Contents, signers: &[&str]) -> String {
    sign(&Candidate::new(contents).unwrap().to_text(), signers)
}

/// Signs whatever it is given, in the order of fingerprints.
fn sign(body: &str, signers: &[&str]) -> String {
    let keys: BTreeSet<_> = signers.iter().map(|name| (key(name).node_id(), *name)).collect();
    let mut text = body.to_owned();
    for (id, name) in keys {
        let signature = data_encoding::BASE64.encode(&key(name).sign(body.as_bytes()).0);
        text.push_str(&format!("signature {id} {signature}\n"));
    }
    text
}

fn trusted() -> impl Iterator<Item = NodeId> {
    AUTHORITIES[..3].iter().map(|name| key(name).node_id())
}

fn key(name: &str) -> IdentityKey {
    IdentityKey::from_seed(&seed(name, "identity"))
}

fn seed(name: &str, what: &str) -> Secret<32> {
    Secret::filled(|seed| seed.copy_from_slice(&Sha256::digest(format!("fog vectors, {name}, {what}"))))
}

fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

fn unhex(text: &str) -> [u8; 32] {
    HEXLOWER.decode(text.as_bytes()).unwrap().try_into().unwrap()
}
