//! No header but the one that was made opens.
#![no_main]

use fog::id::NodeId;
use fog::secret::Secret;
use fog::sphinx::geometry::HEADER_LEN;
use fog::sphinx::open;
use fog::sphinx::xwing::MixKey;
use fog_fuzz::{base64, hex, vectors};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

struct Known {
    key: MixKey,
    node: NodeId,
    header: [u8; HEADER_LEN],
}

static KNOWN: LazyLock<Known> = LazyLock::new(|| {
    let vectors = vectors("packet");
    let (case, node) = (&vectors["cases"][0], &vectors["cases"][0]["nodes"][0]);
    let mut seed: [u8; 32] = hex(&node["seed"]).try_into().expect("32 bytes");
    Known {
        key: MixKey::from_seed(&Secret::take(&mut seed)),
        node: NodeId(hex(&node["id"]).try_into().expect("32 bytes")),
        header: *base64(&case["packet"]).first_chunk().expect("a packet"),
    }
});

fuzz_target!(|bytes: &[u8]| {
    // What is missing is as it was: so a short input changes the front alone.
    let mut header = KNOWN.header;
    header.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    let opened = open(&header, &KNOWN.key, &KNOWN.node);
    assert_eq!(opened.is_ok(), header == KNOWN.header);
    if let Ok(opened) = opened {
        assert!(opened.route().is_ok());
    }
});
