//! What the fuzzers of `fuzz/` begin with, written to where `fuzz/run` looks for it: vectors, test mails, examples.

// What clippy allows in tests, it should allow in what they share.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "common/foreign.rs"]
mod foreign;

use fog::delivery::{Deliver, Disposition, Outcome};
use fog::directory::{Agreement, Candidate, Contents, IdentityKey};
use fog::mail::Address;
use fog::secret::Secret;
use fog::sphinx::geometry::HEADER_LEN;
use fog::submit::{Reason, Reply, Request, Source, Wish};
use foreign::foreign_mails;
use serde_json::Value;
use std::fs;
use std::path::PathBuf;

#[test]
fn every_target_has_seeds() {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("fuzz-seeds");
    let seeds: [(&str, Vec<Vec<u8>>); 14] = [
        ("agreement", agreements()),
        ("bsmtp", batches()),
        ("config", config()),
        ("delivery", delivery()),
        ("descriptor", descriptors()),
        ("document", documents()),
        ("fetch", fetch()),
        ("link", link()),
        ("mail", mails()),
        ("message", messages()),
        ("packet", headers()),
        ("payload", payloads()),
        ("reply", replies()),
        ("submit", submit()),
    ];
    let mut targets: Vec<_> = fs::read_dir("fuzz/targets").unwrap().map(|file| file.unwrap().path()).collect();
    targets.sort();
    let names = targets.iter().map(|path| path.file_stem().unwrap().to_str().unwrap());
    assert!(names.eq(seeds.iter().map(|(target, _)| *target)));
    for (target, seeds) in seeds {
        let dir = dir.join(target);
        fs::create_dir_all(&dir).unwrap();
        for (i, seed) in seeds.iter().enumerate() {
            fs::write(dir.join(format!("seed-{i:03}")), seed).unwrap();
        }
    }
}

fn vectors(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn base64(value: &Value) -> Vec<u8> {
    data_encoding::BASE64.decode(value.as_str().unwrap().as_bytes()).unwrap()
}

fn hex(value: &Value) -> Vec<u8> {
    data_encoding::HEXLOWER.decode(value.as_str().unwrap().as_bytes()).unwrap()
}

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

fn config() -> Vec<Vec<u8>> {
    let manual = include_str!("../man/fog.toml.5");
    let keys = "[node]\nname = \"kvara\"\nroles = [\"mix\", \"exit\"]\nlisten = \"127.0.0.1:9999\"\n\
        [exit]\ndeliver = \"smtp:127.0.0.1:10025\"\nfrom = \"Anonymous <anonymous@example.org>\"\n\
        [directory]\ntrust = [\"00\"]\nthreshold = 1\n[spool]\nmax = \"2G\"\n";
    vec![keys.into(), manual.into()]
}

fn delivery() -> Vec<Vec<u8>> {
    let mail = b"Subject: s\r\n\r\ntext\r\n".to_vec();
    let deliver =
        Deliver { id: 7, recipient: address("bob@example.org"), envelope_from: Some(address("a@example.org")), mail };
    let outcome = Outcome { id: 7, disposition: Disposition::Temporary };
    vec![deliver.encode().unwrap().split_off(4), outcome.encode().split_off(4)]
}

fn descriptors() -> Vec<Vec<u8>> {
    let vectors = vectors(include_str!("vectors/document.json"));
    let nodes = vectors["nodes"].as_array().unwrap();
    nodes.iter().map(|node| node["descriptor"].as_str().unwrap().into()).collect()
}

fn documents() -> Vec<Vec<u8>> {
    let vectors = vectors(include_str!("vectors/document.json"));
    let refused = vectors["refused"].as_array().unwrap();
    let texts = refused.iter().map(|case| &case["document"]).chain([&vectors["document"]]);
    texts.map(|text| text.as_str().unwrap().into()).collect()
}

fn fetch() -> Vec<Vec<u8>> {
    let vectors = vectors(include_str!("vectors/link.json"));
    let (asked, head) = (hex(&vectors["document"]["opening"]), hex(&vectors["document"]["head"]["plaintext"]));
    let refused = vectors["refused"].as_array().unwrap().iter().map(|case| hex(&case["plaintext"]));
    let whole = [&head[..], b"ab"].concat();
    let others = ["descriptor", "agreement"].map(|kind| hex(&vectors[kind]["opening"]));
    refused.chain([asked, head, whole]).chain(others).collect()
}

fn link() -> Vec<Vec<u8>> {
    let vectors = vectors(include_str!("vectors/link.json"));
    let hellos = vectors["hellos"].as_array().unwrap().iter().map(|hello| hex(&hello["bytes"]));
    hellos.chain([vec![1], vec![2]]).collect()
}

/// Without the mark that the target looks for.
fn mails() -> Vec<Vec<u8>> {
    let marked = String::from_utf8_lossy(include_bytes!("mails/marked.eml")).replace("canary", "sender");
    let mails = foreign_mails().into_iter().map(|(_, mail)| mail);
    mails.chain([marked.into_bytes()]).collect()
}

fn messages() -> Vec<Vec<u8>> {
    let vectors = vectors(include_str!("vectors/message.json"));
    let cases = vectors["cases"].as_array().unwrap().iter();
    cases.flat_map(|case| [base64(&case["packed"]), base64(&case["cbor"])]).collect()
}

fn headers() -> Vec<Vec<u8>> {
    let vectors = vectors(include_str!("vectors/packet.json"));
    vec![base64(&vectors["cases"][0]["packet"])[..HEADER_LEN].to_vec()]
}

fn payloads() -> Vec<Vec<u8>> {
    let vectors = vectors(include_str!("vectors/message.json"));
    let payloads = vectors["payloads"].as_array().unwrap();
    payloads.iter().map(|payload| hex(&payload["starts"])).collect()
}

fn replies() -> Vec<Vec<u8>> {
    let said: [&[u8]; 4] = [
        b"220 mx ESMTP\r\n250-mx\r\n250-SIZE 10240000\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n",
        b"354 go on\r\n250 2.0.0 queued as x\r\n221 bye\r\n",
        b"421 4.3.2 going down\r\n",
        b"550-5.7.1 no\r\n550 5.7.1 no\r\n",
    ];
    said.map(<[u8]>::to_vec).to_vec()
}

/// What each authority of the vectors shows when it has voted.
fn agreements() -> Vec<Vec<u8>> {
    let vectors = vectors(include_str!("vectors/document.json"));
    let current = Candidate::parse(vectors["document"].as_str().unwrap()).unwrap();
    let draft = Contents { previous: Some(current.hash()), ..current.contents().clone() };
    let key = |authority: &Value| {
        let seed: [u8; 32] = hex(&authority["seed"]).try_into().unwrap();
        IdentityKey::from_seed(&Secret::filled(|bytes| *bytes = seed))
    };
    let keys = vectors["authorities"].as_array().unwrap().iter().map(key);
    let shown = keys.map(|key| {
        let mut agreement = Agreement::new(draft.epoch.plus(1), current.contents().clone());
        agreement.vote(&draft, &key);
        agreement.to_text(&key.node_id()).into_bytes()
    });
    shown.chain([vec![1]]).collect()
}

fn batches() -> Vec<Vec<u8>> {
    let said: [&[u8]; 3] = [
        b"MAIL FROM:<alice@example.com>\nRCPT TO:<bob@example.org.fog>\nDATA\nSubject: s\n\n..\n.\n",
        b"EHLO mx\r\nMAIL FROM:<> SIZE=1\r\nRCPT TO:<\"b>\"@example.org.fog>\r\nDATA\r\n.\r\nQUIT\r\n",
        b"Anon-To: Bob <bob@example.org>,\n carol@example.org\nAnon-Post-To: alt.test\nSubject: s\n\ntext\n",
    ];
    said.map(<[u8]>::to_vec).to_vec()
}

fn submit() -> Vec<Vec<u8>> {
    let request = Request {
        source: Source::Mta,
        dedup: Some(b"4Xyz1A2b3c".to_vec()),
        sender: Some(address("alice@example.com")),
        wish: Wish { chain: vec![None, Some("kvara".into())], copies: 2 },
        recipients: vec![address("bob@example.org.fog"), address("carol@example.org.fog")],
        mail: b"Subject: s\r\n\r\ntext\r\n".to_vec(),
    };
    let reply = Reply::refusing(Reason::Unreadable);
    vec![request.encode().unwrap().split_off(4), reply.encode().unwrap().split_off(4)]
}
