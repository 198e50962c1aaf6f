//! From a configuration to a node that is ready to open its sockets.

use super::dial::{Pace, Road};
use super::peers::{Peer, Us};
use super::socks::Tor;
use super::trouble::Trouble;
use crate::config::Config;
use crate::directory::{Document, Params, Rejected};
use crate::engine::{Engine, ExitSetup, Setup};
use crate::id::{Epoch, NodeId};
use crate::mail::address::Address;
use crate::secret::Secret;
use crate::sphinx::xwing::MixKey;
use crate::store::Store;
use crate::sys::exit_code::ExitCode;
use crate::sys::key_file::NodeKey;
use crate::sys::{clock, file};
use crate::time::Time;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::time::Duration;

/// Longest text of a directory document, as `Document` has it.
const MAX_DOCUMENT: u64 = 32 << 20;

/// Names the key that is derived for it (BLAKE3, `derive_key`).
const DEDUP_CONTEXT: &str = "fog 2026-11 known mails";

/// A node whose state is open and whose sockets are not.
pub(super) struct Node {
    pub(super) engine: Engine,
    pub(super) us: Us,
    pub(super) pace: Pace,
    pub(super) road: Road,
    /// The envelope sender of what it hands out.
    pub(super) envelope_from: Option<Address>,
    /// The largest mail it takes from an injector, in bytes.
    pub(super) max_mail: usize,
    pub(super) demo: bool,
    pub(super) epoch: Epoch,
    pub(super) valid_until: Time,
}

/// Opens the store, reads keys and document, and puts the engine together.
pub(super) fn load(config: &Config) -> Result<Node, Trouble> {
    let spool = &config.spool.path;
    let store = Store::open(spool).map_err(|error| Trouble::store(spool, &error))?;
    let key = NodeKey::read(&config.node.key).map_err(|error| Trouble::key(&config.node.key, &error))?;
    let me = key.identity.node_id();
    let document = document(config)?;
    check_membership(&document, &me, &key)?;
    check_promises(&document, &me, config, &store)?;
    check_demonstration(&document)?;

    let params = document.params();
    let max_mail = config.entry.max_size.map_or(params.max_size, |ours| ours.min(params.max_size));
    let max_mail = usize::try_from(max_mail).unwrap_or(usize::MAX);
    let setup = Setup {
        me,
        suffix: config.entry.suffix.clone(),
        own_domains: Vec::new(),
        max_size: max_mail,
        max_spool: config.spool.max,
        exit: config
            .exit
            .as_ref()
            .map(|exit| ExitSetup { from: exit.from.address.clone(), from_name: exit.from.name.clone() }),
        dedup_key: Secret::filled(|bytes| *bytes = blake3::derive_key(DEDUP_CONTEXT, key.link.expose())),
    };
    let others = document.nodes().filter(|(id, _)| **id != me);
    Ok(Node {
        us: Us {
            document: *document.hash(),
            clock_tolerance: params.epoch / 24,
            peers: others.map(|(id, node)| Peer::new(*id, node)).collect(),
            link_secret: key.link,
        },
        pace: pace(params),
        road: Road { tor: Tor::new(config.socks.clone()), only_tor: config.node.onion.is_onion() },
        envelope_from: config.exit.as_ref().and_then(|exit| exit.envelope_from.clone()),
        max_mail,
        demo: params.demo,
        epoch: document.epoch(),
        valid_until: document.valid_until(),
        engine: Engine::open(store, setup, Some(Box::new(document))).map_err(|error| Trouble::store(spool, &error))?,
    })
}

fn document(config: &Config) -> Result<Document, Trouble> {
    let path = config.spool.document();
    let shown = path.display();
    let text = file::read_text(&path, MAX_DOCUMENT).map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            Trouble::new(ExitCode::Config, "there is no directory document, so no other node is known")
                .found(format!("{shown}: not there"))
                .hint("fog init --join DOCUMENT, or fog directory sign if this network is yours")
        }
        _ => Trouble::os("the directory document can't be read", &error).found(format!("{shown}: {error}")),
    })?;
    Document::reopen(&text, &config.trust, clock::now()).map_err(|rejected| {
        let trouble = Trouble::new(ExitCode::Config, "the directory document is not one to go by")
            .found(format!("{shown}: {rejected}"));
        match rejected {
            Rejected::FromTheFuture { .. } => trouble.hint("is the clock right? see: timedatectl"),
            Rejected::TooFewSignatures { .. } | Rejected::UnknownAuthority(_) => {
                trouble.hint("compare the fingerprints in directory.trust with fog directory show")
            }
            _ => trouble.hint("get a good one from another node's operator"),
        }
    })
}

/// A node that others don't know as it is would be let in nowhere.
fn check_membership(document: &Document, me: &NodeId, key: &NodeKey) -> Result<(), Trouble> {
    let hint = "give what fog node-info prints to the authorities of the network, and take their next document";
    let trouble = |what: &str| Trouble::new(ExitCode::Config, what).found(format!("node id {me}")).hint(hint);
    match document.node(me) {
        None => Err(trouble("this node is not in the directory document")),
        Some(ours) if ours.link_key != key.link_public() => {
            Err(trouble("the directory document has another link key for this node"))
        }
        Some(_) => Ok(()),
    }
}

/// A node that lacks the keys it has published, or a role, would acknowledge packets only to drop them.
fn check_promises(document: &Document, me: &NodeId, config: &Config, store: &Store) -> Result<(), Trouble> {
    let Some(ours) = document.node(me) else { return Ok(()) };
    let hint = "give what fog node-info prints to the authorities of the network, and take their next document";
    if ours.exit.is_some() && config.exit.is_none() {
        return Err(Trouble::new(
            ExitCode::Config,
            "the directory document calls this node an exit, its configuration does not",
        )
        .found("mail that reaches it would be lost")
        .hint("put \"exit\" back into node.roles, or get a document without"));
    }
    let running = clock::now().epoch(document.params().epoch);
    for (epoch, published) in ours.mix_keys.range(running..) {
        let has_it = store.mix_seed(*epoch).is_some_and(|seed| MixKey::from_seed(seed).public() == published);
        if !has_it {
            return Err(Trouble::new(ExitCode::Config, "this node has not got the mix keys it has published")
                .found(format!("{}: no key of epoch {epoch}, or another", config.spool.path.display()))
                .hint(hint));
        }
    }
    Ok(())
}

/// What a demonstration shows of its nodes is for one machine.
fn check_demonstration(document: &Document) -> Result<(), Trouble> {
    let is_here = |host: &str| host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    if !document.params().demo || document.nodes().all(|(_, node)| is_here(node.address.host())) {
        return Ok(());
    }
    Err(Trouble::new(
        ExitCode::Config,
        "this network is a demonstration, which hides nobody, and it leaves this machine",
    )
    .found("its directory document says demo = true and names addresses other than 127.0.0.1")
    .hint("found another: fog init --new-network"))
}

fn pace(params: &Params) -> Pace {
    if params.demo {
        Pace { first: Duration::from_millis(100), most: Duration::from_secs(2) }
    } else {
        Pace { first: Duration::from_secs(1), most: Duration::from_secs(300) }
    }
}
