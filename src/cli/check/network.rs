//! The directory document: whether this node is in it, for how long it holds, and whether mail can go by it.

use super::super::words::MAX_DOCUMENT;
use super::finding::Finding;
use crate::config::Config;
use crate::directory::{Descriptor, Document};
use crate::id::NodeId;
use crate::mail::address::Address;
use crate::mix::back::Reach;
use crate::mix::route;
use crate::sphinx::xwing::MixKey;
use crate::store;
use crate::sys::file;
use crate::sys::key_file::{self, NodeKey};
use crate::time::Time;
use std::time::Duration;

/// What there is to say of the document, and the document, if it is one to go by.
pub(super) fn document(config: &Config, now: Time) -> (Option<Document>, Finding) {
    let path = config.spool.document();
    let shown = path.display();
    let text = match file::read_text(&path, MAX_DOCUMENT) {
        Ok(text) => text,
        Err(error) => {
            let hint = "fog init --join DOCUMENT, or fog directory sign if this network is yours";
            return (None, Finding::wrong("directory", format!("{shown}: {error}")).hint(hint));
        }
    };
    match Document::reopen(&text, &config.trust, now) {
        Ok(document) => {
            let finding = fork(&document, config, now).unwrap_or_else(|| validity(&document, now));
            (Some(document), finding)
        }
        Err(rejected) => {
            let hint = "take the network's document of today: fog directory fetch";
            (None, Finding::wrong("directory", format!("{shown}: {rejected}")).hint(hint))
        }
    }
}

/// Another document of the same epoch, which the node has kept as a proof.
fn fork(document: &Document, config: &Config, now: Time) -> Option<Finding> {
    let path = config.spool.other_document();
    let text = file::read_text(&path, MAX_DOCUMENT).ok()?;
    let other = Document::reopen(&text, &config.trust, now).ok()?;
    let is_fork = other.epoch() == document.epoch() && other.hash() != document.hash();
    let says = format!("{} is another document of epoch {}: nothing is sent", path.display(), other.epoch());
    is_fork.then(|| {
        Finding::wrong("directory", says).hint("ask the authorities which one others go by, and who signed twice")
    })
}

fn validity(document: &Document, now: Time) -> Finding {
    let (until, epoch) = (document.valid_until(), document.params().epoch);
    let left = until.since(now);
    let told = super::super::words::span_words(left);
    let signed = format!("signed by {} of {}", document.signers().count(), document.contents().authorities.len());
    if left.is_zero() {
        return Finding::wrong("directory", "the document has expired: nothing is sent until there is another")
            .hint("ask the authorities for the document of today");
    }
    if left < epoch {
        return Finding::careful("directory", format!("the document is good for {told} only, {signed}"))
            .hint("ask the authorities for the next one");
    }
    Finding::good("directory", format!("good for {told}, {signed}"))
}

/// Whether others know this node as it is.
pub(super) fn membership(document: &Document, key: &NodeKey, config: &Config, now: Time) -> Finding {
    let renew = "give what fog node-info prints to the authorities of the network";
    let Some(node) = document.node(&key.identity.node_id()) else {
        return Finding::wrong("directory", "this node is not in the document: nobody takes packets from it")
            .hint(renew);
    };
    if node.link_key != key.link_public() {
        return Finding::wrong("directory", "the document has another link key of this node").hint(renew);
    }
    if node.address != config.node.onion {
        let says = format!("the document says {}, node.onion says {}", node.address, config.node.onion);
        return Finding::wrong("directory", says).hint(renew);
    }
    if node.roles() != config.node.roles {
        return Finding::wrong("directory", "the document gives this node other roles than node.roles").hint(renew);
    }
    keys_left(node, document.params().epoch, now).unwrap_or_else(|| {
        Finding::good("directory", format!("this node is in it as {}, with keys for days", node.name))
    })
}

/// Whether the authority at this node can do its work.
pub(super) fn authority(document: &Document, config: &Config) -> Option<Finding> {
    let path = config.node.authority_key();
    if !config.node.roles.authority {
        let says = format!("{} is there, and node.roles has no \"authority\": nothing is signed here", path.display());
        let hint = "put \"authority\" into node.roles, or take the key away if others sign";
        return path.exists().then(|| Finding::careful("authority", says).hint(hint));
    }
    let key = match key_file::read_authority(&path) {
        Ok(key) => key,
        Err(error) => {
            let finding = Finding::wrong("authority", format!("{}: {error}", path.display()));
            return Some(finding.hint("put the key back, or take \"authority\" out of node.roles; run this as root"));
        }
    };
    let (all, threshold) = (document.contents().authorities.len(), document.contents().threshold);
    if !document.contents().authorities.contains_key(&key.node_id()) {
        let says = format!("the document does not know this node's authority, {}", key.node_id());
        let hint = "its authorities would have to sign one that does: fog directory add --authority";
        return Some(Finding::careful("authority", says).hint(hint));
    }
    let reached = document.nodes().filter(|(_, node)| node.authority.is_some()).count();
    if reached < threshold {
        let says =
            format!("{threshold} of {all} authorities have to sign, and only {reached} have a node in the document");
        let hint = "on the nodes of the others: \"authority\" in node.roles";
        return Some(Finding::wrong("authority", says).hint(hint));
    }
    Some(Finding::good("authority", format!("one of {all}, of whom {threshold} sign the next document by themselves")))
}

/// A node whose published keys run out is no hop any more.
fn keys_left(node: &Descriptor, epoch: Duration, now: Time) -> Option<Finding> {
    let ahead = node.mix_keys.keys().filter(|key| **key > now.epoch(epoch)).count();
    let renew = "publish new ones: fog node-info";
    match ahead {
        0 => Some(Finding::wrong("keys", "the last published key of this node is in use or over").hint(renew)),
        1 | 2 => Some(Finding::careful("keys", format!("published keys of {ahead} more epochs are left")).hint(renew)),
        _ => None,
    }
}

/// Whether the node has the keys that the document promises: what is sealed for others it can't open.
pub(super) fn mix_keys(document: &Document, key: &NodeKey, config: &Config, now: Time) -> Option<Finding> {
    let node = document.node(&key.identity.node_id())?;
    let dir = &config.spool.path;
    let seeds = match store::mix_seeds(dir) {
        Ok(seeds) => seeds,
        Err(error) => {
            let says = format!("what the document promises can't be held against the node's own keys: {error}");
            return Some(Finding::careful("keys", says).hint("run this as root"));
        }
    };
    // Those before are gone as they should be.
    let running = now.epoch(document.params().epoch);
    let published = node.mix_keys.range(running..);
    let missing = published
        .filter(|(epoch, public)| !seeds.get(epoch).is_some_and(|seed| MixKey::from_seed(seed).public() == *public));
    Some(match missing.map(|(epoch, _)| epoch).next() {
        None => Finding::good("keys", "the node has the keys that it has published"),
        Some(epoch) => {
            let says = format!("{} has not the key of epoch {epoch} that the document promises", dir.display());
            Finding::wrong("keys", format!("{says}: what is sent here is lost"))
                .hint("put epoch.keys back; or give what fog node-info prints to the authorities of the network")
        }
    })
}

/// Which nodes the document calls unreliable; this one among them is trouble.
pub(super) fn uptimes(document: &Document, key: &NodeKey) -> Finding {
    let me = key.identity.node_id();
    let fallen = |id: &NodeId| document.uptime(id).filter(|_| !document.is_reliable(id));
    if let Some(uptime) = fallen(&me) {
        let says =
            format!("others find that only {uptime} of what is sent through this node comes on: it is on no path");
        return Finding::careful("uptime", says)
            .hint("is it up all day, and its onion reachable? fog status; fog ping");
    }
    let others: Vec<_> = document.nodes().filter(|(id, _)| fallen(id).is_some()).map(|(_, node)| &*node.name).collect();
    if others.is_empty() {
        return Finding::good("uptime", "no node is left out of paths");
    }
    Finding::good("uptime", format!("left out of paths until they are better: {}", others.join(", ")))
}

/// Whether a mail can go out by the document at all, from here, and its receipt come back.
pub(super) fn paths(document: &Document, key: &NodeKey, config: &Config) -> Finding {
    let me = key.identity.node_id();
    let somebody = Address::parse("somebody@example.com").expect("a constant that is an address");
    let exits = route::exits_for(document, &somebody, 1);
    let (nodes, hops) = (document.nodes().count(), document.params().hops);
    match Reach::of(document, &me, &exits, config.entry.receipts) {
        Reach::Whole => Finding::good("network", format!("{nodes} nodes, {} exits that write to anybody", exits.len())),
        Reach::NoWayBack => {
            let says =
                format!("{nodes} nodes are not enough for receipts, over {hops} mixes beside the exit: mail waits");
            Finding::wrong("network", says).hint(
                "it takes a mix more, of another family; or set entry.receipts = \"no\": what gets lost then, nobody knows",
            )
        }
        Reach::NoPath => {
            let says = format!("{nodes} nodes are not enough for a path of {hops} hops: mail waits");
            Finding::wrong("network", says)
                .hint("it takes as many others as hops, of different families and with an exit among them")
        }
    }
}
