//! Small networks for tests.

use super::{
    Authority, Candidate, Contents, Descriptor, Document, Domains, ExitPolicy, IdentityKey, NodeAddress, Params,
    Signed, Trust,
};
use crate::id::Epoch;
use crate::secret::Secret;
use crate::sphinx::xwing::{MixKey, PublicKey};
use crate::time::Time;
use std::sync::LazyLock;

/// The epoch of every document made here.
pub(crate) const EPOCH: Epoch = Epoch(20_000);

static MIX_KEY: LazyLock<PublicKey> =
    LazyLock::new(|| MixKey::from_seed(&Secret::filled(|seed| seed.fill(1))).public().clone());

pub(crate) fn key(n: u8) -> IdentityKey {
    IdentityKey::from_seed(&Secret::filled(|seed| seed.fill(n)))
}

/// A mix and exit, with one mix key (the same for all, or tests would take long).
pub(crate) fn descriptor(n: u8) -> Descriptor {
    Descriptor {
        name: format!("node-{n}"),
        sequence: 1,
        identity: key(n).public(),
        link_key: [n; 32],
        address: NodeAddress::parse(&format!("127.0.0.1:{}", 7000 + u16::from(n))).unwrap(),
        family: None,
        contact: Some("mail@example.org".into()),
        version: "0.1.0".into(),
        mix: true,
        exit: Some(ExitPolicy { domains: Domains::All, max_size: 2 << 20, news: false }),
        authority: None,
        measured: None,
        mix_keys: [(EPOCH, MIX_KEY.clone())].into(),
    }
}

pub(crate) fn signed(descriptor: Descriptor, n: u8) -> Signed {
    descriptor.sign(&key(n)).unwrap()
}

/// A first document with authorities 101, 102, … and these nodes, the nth signed by key n.
pub(crate) fn contents(
    authorities: u8,
    threshold: usize,
    nodes: impl IntoIterator<Item = (u8, Descriptor)>,
) -> Contents {
    let authority = |n| Authority { name: format!("authority-{n}"), identity: key(n).public() };
    Contents {
        epoch: EPOCH,
        previous: None,
        params: Params::default(),
        threshold,
        authorities: (101..101 + authorities).map(|n| (key(n).node_id(), authority(n))).collect(),
        nodes: nodes.into_iter().map(|(n, node)| (key(n).node_id(), signed(node, n))).collect(),
    }
}

/// The text of `contents`, signed by these authorities.
pub(crate) fn signed_text(contents: &Contents, signers: impl IntoIterator<Item = u8>) -> String {
    let mut candidate = Candidate::new(contents).unwrap();
    signers.into_iter().for_each(|n| assert!(candidate.sign(&key(n))));
    candidate.to_text()
}

pub(crate) fn trust(authorities: u8, threshold: usize) -> Trust {
    Trust::new(threshold, (101..101 + authorities).map(|n| key(n).node_id()).collect()).unwrap()
}

/// `hours` after the start of the document's epoch.
pub(crate) fn at(hours: u64) -> Time {
    Time::from_secs(EPOCH.0 * 86_400 + hours * 3600)
}

/// A verified document of these nodes.
pub(crate) fn document(nodes: impl IntoIterator<Item = (u8, Descriptor)>) -> Document {
    Document::verify(&signed_text(&contents(1, 1, nodes), [101]), &trust(1, 1), at(1), None).unwrap()
}
