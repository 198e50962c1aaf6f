//! A directory document is taken in its canonical text only, and never with fewer signatures than trust asks for.
#![no_main]

use fog::directory::{Candidate, Document, Trust};
use fog::id::NodeId;
use fog::time::Time;
use fog_fuzz::{hex, vectors};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

struct Known {
    trust: Trust,
    now: Time,
    /// What the authorities have signed.
    signed: Vec<Candidate>,
}

static KNOWN: LazyLock<Known> = LazyLock::new(|| {
    let vectors = vectors("document");
    let fingerprints = vectors["trust"]["fingerprints"].as_array().expect("a list").iter();
    let fingerprints = fingerprints.map(|id| NodeId(hex(id).try_into().expect("32 bytes"))).collect();
    let trust = Trust::new(3, fingerprints).expect("as in the vectors");
    let now = Time::from_secs(vectors["now"].as_u64().expect("seconds"));
    // What is refused only beside the document before it is signed as well.
    let list = |name: &str| vectors[name].as_array().expect("a list").iter();
    let others = list("accepted").chain(list("refused").filter(|case| !case["have"].is_null()));
    let texts = std::iter::once(&vectors["document"]).chain(others.map(|case| &case["document"]));
    let signed = texts.filter_map(|text| Candidate::parse(text.as_str().expect("a text")).ok()).collect();
    Known { trust, now, signed }
});

fuzz_target!(|text: &str| {
    if let Ok(candidate) = Candidate::parse(text) {
        assert_eq!(candidate.to_text(), text);
    }
    // Nobody here has the authorities' keys: what is taken says what they signed.
    if let Ok(document) = Document::verify(text, &KNOWN.trust, KNOWN.now, None) {
        assert!(KNOWN.signed.iter().any(|known| known.contents() == document.contents()));
    }
});
