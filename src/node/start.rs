//! From a configuration to a node that is ready to open its sockets.

use super::authority::{Authority, Own};
use super::dial::{Pace, Road};
use super::document::{self, NotTaken, Ours};
use super::doubt::{self, Doubt};
use super::peers::{Peer, Peers, Us};
use super::serve::Served;
use super::socks::Tor;
use super::trouble::Trouble;
use crate::config::Config;
use crate::directory::{Document, Identity, Params};
use crate::engine::{Engine, EntrySetup, ExitSetup, Limits, Setup};
use crate::mail::address::Address;
use crate::secret::Secret;
use crate::store::Store;
use crate::sys::key_file::{self, NodeKey};
use crate::sys::log::{Event, Program, log};
use crate::sys::{block_file, clock};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Names the key that is derived for it (BLAKE3, `derive_key`).
const DEDUP_CONTEXT: &str = "fog 2026-11 known mails";

/// A node whose state is open and whose sockets are not.
pub(super) struct Node {
    pub(super) engine: Engine,
    pub(super) us: Us,
    /// What it tells of.
    pub(super) doubted: mpsc::Receiver<Doubt>,
    /// Whether there are two documents of the epoch of the one in use.
    pub(super) forked: bool,
    pub(super) pace: Pace,
    pub(super) road: Road,
    /// The envelope sender of what it hands out.
    pub(super) envelope_from: Option<Address>,
    /// The largest mail it takes from an injector, in bytes.
    pub(super) max_mail: usize,
    pub(super) demo: bool,
    /// Whether the list of who is not to be written to has anybody on it.
    pub(super) is_anybody_blocked: bool,
    pub(super) ours: Ours,
    pub(super) document: Document,
    pub(super) own: Own,
}

/// Opens the store, reads keys and document, and puts the engine together.
pub(super) fn load(config: &Config) -> Result<Node, Trouble> {
    let spool = &config.spool.path;
    let store = Store::open(spool).map_err(|error| Trouble::store(spool, &error))?;
    if store.commit_was_undone() {
        log(Program::Node, Event::CommitUndone);
    }
    let key = key(config)?;
    let block = block_file::read_for(config, &key.link, false);
    let block = block.map_err(|error| Trouble::block_list(&config.block, &error))?;
    let me = key.identity.node_id();
    let ours = Ours { id: me, link_key: key.link_public() };
    let refused = |not: NotTaken| not.trouble(config, &me);
    let document = document::read(config, clock::now()).map_err(refused)?;
    document::check(&document, &ours, config).map_err(refused)?;

    let params = document.params();
    let max_mail = config.entry.max_size.map_or(params.max_size, |ours| ours.min(params.max_size));
    let max_mail = usize::try_from(max_mail).unwrap_or(usize::MAX);
    let is_anybody_blocked = !block.is_empty();
    let setup = Setup {
        me,
        suffix: config.entry.suffix.clone(),
        own_domains: Vec::new(),
        max_size: max_mail,
        max_spool: config.spool.max,
        exit: exit_setup(config),
        entry: entry_setup(config),
        block: Arc::new(block),
        dedup_key: Secret::filled(|bytes| *bytes = blake3::derive_key(DEDUP_CONTEXT, key.link.expose())),
    };
    let authority = authority(config)?;
    let before = document::before(config, &document, clock::now());
    let (doubts, doubted) = mpsc::channel(doubt::WAITING);
    let us = us(&document, before.as_ref(), &ours, &key.link, doubts);
    let forked = document::is_forked(config, &document, clock::now());
    let (pace, demo) = (pace(params), params.demo);
    let engine = Engine::open(store, setup, Some(Box::new(document.clone())));
    let mut engine = engine.map_err(|error| Trouble::store(spool, &error))?;
    if let Some(before) = &before {
        engine = engine.after(before);
    }
    if let Some(epoch) = engine.missing_key(&document, clock::now()) {
        return Err(NotTaken::NoKey(epoch).trouble(config, &me));
    }
    engine = if forked { engine.forked() } else { engine };
    Ok(Node {
        us,
        doubted,
        forked,
        ours,
        pace,
        road: Road { tor: Tor::new(config.socks.clone()), only_tor: config.node.onion.is_onion() },
        envelope_from: envelope_from(config),
        max_mail,
        demo,
        is_anybody_blocked,
        engine,
        document,
        own: Own { key, authority },
    })
}

/// The node key: from systemd, if it hands it over, else from its file.
fn key(config: &Config) -> Result<NodeKey, Trouble> {
    let (path, read) = match key_file::credential() {
        Some(path) => (path.clone(), NodeKey::read_credential(&path)),
        None => (config.node.key.clone(), NodeKey::read(&config.node.key)),
    };
    read.map_err(|error| Trouble::key(&path, &error))
}

/// The authority at this node, if its roles say that there is one.
fn authority(config: &Config) -> Result<Option<(Authority, Identity)>, Trouble> {
    if !config.node.roles.authority {
        return Ok(None);
    }
    let (path, read) = match key_file::authority_credential() {
        Some(path) => (path.clone(), key_file::read_authority_credential(&path)),
        None => (config.node.authority_key(), key_file::read_authority(&config.node.authority_key())),
    };
    let key = read.map_err(|error| Trouble::authority_key(&path, &error))?;
    let public = key.public();
    let opened = Authority::open(key, &config.spool);
    let authority = opened.map_err(|error| Trouble::os("what the authority has kept can't be read", &error))?;
    Ok(Some((authority, public)))
}

/// Our side of links by `document`; who was in the one `before` is let in still.
pub(super) fn us(
    document: &Document,
    before: Option<&Document>,
    ours: &Ours,
    link: &Secret<32>,
    doubts: mpsc::Sender<Doubt>,
) -> Us {
    let others = |document: &Document| -> Vec<Peer> {
        let others = document.nodes().filter(|(id, _)| **id != ours.id);
        others.map(|(id, node)| Peer::new(*id, node)).collect()
    };
    let peers: Peers = others(document).into_iter().collect();
    let of_authorities = [Some(document), before].into_iter().flatten().flat_map(Document::nodes);
    let of_authorities = of_authorities.filter(|(id, node)| **id != ours.id && node.authority.is_some());
    Us {
        authorities: of_authorities.map(|(_, node)| node.link_key).collect(),
        document: *document.hash(),
        before: before.map(|before| *before.hash()),
        doubts,
        served: Arc::new(Served::new(document.to_text(), *document.hash())),
        clock_tolerance: document.params().epoch / 24,
        peers: peers.after(before.map(others).unwrap_or_default()),
        link_secret: Secret::filled(|bytes| bytes.copy_from_slice(link.expose())),
    }
}

/// How an exit writes to the world.
pub(super) fn exit_setup(config: &Config) -> Option<ExitSetup> {
    let exit = config.exit.as_ref()?;
    Some(ExitSetup {
        from: exit.from.address.clone(),
        from_name: exit.from.name.clone(),
        comment: exit.comment.clone(),
        limits: Limits { all: exit.rate, per_recipient: exit.per_recipient },
        gateways: exit.news.clone(),
    })
}

/// What becomes of mail that is taken here.
pub(super) fn entry_setup(config: &Config) -> EntrySetup {
    let entry = &config.entry;
    EntrySetup { give_up: entry.give_up, notify: entry.notify.clone(), receipts: entry.receipts }
}

/// The envelope sender of what an exit hands out.
pub(super) fn envelope_from(config: &Config) -> Option<Address> {
    config.exit.as_ref().and_then(|exit| exit.envelope_from.clone())
}

fn pace(params: &Params) -> Pace {
    if params.demo {
        Pace { first: Duration::from_millis(100), most: Duration::from_secs(2) }
    } else {
        Pace { first: Duration::from_secs(1), most: Duration::from_secs(300) }
    }
}
