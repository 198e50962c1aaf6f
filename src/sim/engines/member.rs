//! The nodes of a simulated network and their documents.

use crate::directory::{
    self, Candidate, Contents, Descriptor, Document, Domains, ExitPolicy, Identity, IdentityKey, NodeAddress, Params,
    Trust,
};
use crate::engine::{EntrySetup, ExitSetup, Limits, Setup};
use crate::id::{Epoch, NodeId};
use crate::mail::Address;
use crate::mail::block::BlockList;
use crate::secret::Secret;
use crate::sphinx::xwing::{MixKey, PublicKey};
use crate::store::{MemoryDisk, Store, StoreError};
use crate::time::Time;
use rand::Rng;
use rand::rngs::StdRng;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Epochs for which a document publishes keys.
pub(super) const PUBLISHED: u64 = 8;

/// A node's keys and its disk.
pub(super) struct Member {
    name: usize,
    identity: IdentityKey,
    link_key: [u8; 32],
    /// Those that are published: of the running epoch and of the next.
    pub(super) keys: BTreeMap<Epoch, PublicKey>,
    dedup: [u8; 32],
    is_exit: bool,
    pub(super) disk: MemoryDisk,
}

impl Member {
    /// A node with the keys of these epochs.
    pub(super) fn new(
        name: usize,
        is_exit: bool,
        first: Epoch,
        last: Epoch,
        rng: &mut StdRng,
    ) -> Result<Self, StoreError> {
        let identity = IdentityKey::from_seed(&Secret::filled(|seed| rng.fill_bytes(seed)));
        let (mut link_key, mut dedup) = ([0; 32], [0; 32]);
        rng.fill_bytes(&mut link_key);
        rng.fill_bytes(&mut dedup);
        let disk = MemoryDisk::new();
        let mut store = Store::on(&disk)?;
        store.ensure_keys(first, last, rng)?;
        let key = |epoch| Some((epoch, MixKey::from_seed(store.mix_seed(epoch)?).public().clone()));
        let keys = (first.0..=last.0).map(Epoch).filter_map(key).collect();
        Ok(Self { name, identity, link_key, keys, dedup, is_exit, disk })
    }

    pub(super) fn id(&self) -> NodeId {
        self.identity.node_id()
    }

    /// What its engine is given; `receipts` is whether exits are asked for them.
    pub(super) fn setup(&self, receipts: bool) -> Setup {
        let address = |text: &str| Address::parse(text).expect("an address as it stands here");
        Setup {
            me: self.id(),
            suffix: "fog".into(),
            own_domains: vec![],
            max_size: 8 << 20,
            max_spool: u64::MAX,
            exit: self.is_exit.then(|| ExitSetup {
                from: address("anonymous@exit.example"),
                from_name: "Anonymous".into(),
                comment: String::new(),
                // Nobody is bothered here, and a limit would be seen as a delay.
                limits: Limits { all: None, per_recipient: None },
                gateways: vec![],
            }),
            entry: EntrySetup { give_up: Duration::from_secs(5 * 86_400), notify: vec![], receipts },
            block: Arc::new(BlockList::new(&Secret::filled(|key| *key = self.dedup))),
            dedup_key: Secret::filled(|key| *key = self.dedup),
        }
    }

    fn descriptor(&self, epoch: Epoch, params: &Params) -> Descriptor {
        let policy = ExitPolicy { domains: Domains::All, max_size: params.max_size, news: false };
        Descriptor {
            name: format!("node-{}", self.name),
            sequence: epoch.0,
            identity: self.identity.public(),
            link_key: self.link_key,
            address: NodeAddress::parse(&format!("node-{}.example:9999", self.name)).expect("a host name and a port"),
            family: None,
            contact: None,
            version: "0".into(),
            mix: true,
            authority: None,
            exit: self.is_exit.then_some(policy),
            measured: None,
            mix_keys: self.keys.range(epoch..epoch.plus(PUBLISHED)).map(|(at, key)| (*at, key.clone())).collect(),
        }
    }
}

/// Who signs the network's documents.
pub(super) struct Authority(IdentityKey);

impl Authority {
    pub(super) fn new(rng: &mut StdRng) -> Self {
        Self(IdentityKey::from_seed(&Secret::filled(|seed| rng.fill_bytes(seed))))
    }

    fn identity(&self) -> Identity {
        self.0.public()
    }

    /// The document of `epoch`. What it says is right by construction, so that whatever refuses it is a bug.
    pub(super) fn document<'a>(
        &self,
        epoch: Epoch,
        params: &Params,
        members: impl Iterator<Item = &'a Member>,
    ) -> Document {
        let id = self.0.node_id();
        let authority = directory::Authority { name: "authority".into(), identity: self.identity() };
        let nodes = members.map(|member| {
            let signed =
                member.descriptor(epoch, params).sign(&member.identity).expect("a descriptor within all bounds");
            (member.id(), signed)
        });
        let contents = Contents {
            epoch,
            previous: None,
            params: Params { demo: true, only_onions: false, ..params.clone() },
            threshold: 1,
            authorities: [(id, authority)].into(),
            nodes: nodes.collect(),
        };
        let mut candidate = Candidate::new(&contents).expect("nodes with names and keys of their own");
        candidate.sign(&self.0);
        let trust = Trust::new(1, [id].into()).expect("one of one");
        let now = Time::epoch_start(epoch, params.epoch);
        Document::verify(&candidate.to_text(), &trust, now, None).expect("signed a moment ago")
    }
}

/// A mail of a few lines.
pub(super) fn letter(mail: u32) -> Vec<u8> {
    format!(
        "From: a@sender.example\r\nTo: b@example.com\r\nSubject: letter {mail}\r\n\r\nThe text of letter {mail}.\r\n"
    )
    .into_bytes()
}
