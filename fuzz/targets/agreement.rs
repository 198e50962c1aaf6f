//! What an authority shows to another one is taken in one way only, adds no vote that its authority has not signed, and makes
//! nothing that is shown longer than it may be; and a verdict is read in one way.
#![no_main]

use fog::directory::{Agreement, Candidate, IdentityKey, MAX_AGREEMENT, Phase};
use fog::link::offer::Verdict;
use fog::secret::Secret;
use fog_fuzz::vectors;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static CURRENT: LazyLock<Candidate> = LazyLock::new(|| {
    let vectors = vectors("document");
    Candidate::parse(vectors["document"].as_str().expect("a text")).expect("a vector")
});

fuzz_target!(|text: &str| {
    if let Ok(verdict) = Verdict::decode(text.as_bytes()) {
        assert_eq!(verdict.encode(), text.as_bytes());
    }
    let current = CURRENT.contents();
    let stranger = IdentityKey::from_seed(&Secret::filled(|seed| seed.fill(9)));
    let mut agreement = Agreement::new(current.epoch.plus(1), current.clone());
    for phase in [Phase::Before, Phase::Round(1), Phase::Round(2), Phase::Signing] {
        let _ = agreement.take(text, phase, &stranger);
    }
    // Who has no key of an authority has made none of them say anything, but for what is in the vectors.
    assert!(agreement.voters().all(|voter| current.authorities.contains_key(&voter)));
    let shown = agreement.to_text(&stranger.node_id());
    assert!(shown.len() <= MAX_AGREEMENT);
    assert!(Agreement::resume(current.epoch.plus(1), current.clone(), &shown, &stranger).is_ok());
});
