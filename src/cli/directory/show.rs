//! What a document says, for people and for programs.

use super::super::error::CliError;
use super::super::global::Global;
use super::super::node_info::draft;
use super::super::words::{candidate, command, io_trouble, params_words, rfc3339, role_words, span_words};
use super::Told;
use super::admitting::register;
use crate::config::Config;
use crate::directory::units::{size, span};
use crate::directory::{Candidate, Document, Domains, ExitPolicy, Rejected, Signed, Source, VALID_EPOCHS};
use crate::id::NodeId;
use crate::node::authority::desk::Desk;
use crate::time::Time;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io;
use std::path::Path;

/// Shows a document.
pub(super) fn show(path: Option<&Path>, config: &Config, now: Time, global: &Global) -> Result<Told, CliError> {
    let own = config.spool.document();
    let path = path.unwrap_or(&own);
    let shown = candidate(path)?.ok_or_else(|| {
        let error = io_trouble(path, &io::ErrorKind::NotFound.into());
        if draft(config).exists() { error.try_(command(global, "directory sign")) } else { error }
    })?;
    let trusted = Document::verify(&shown.to_text(), &config.trust, now, None);
    let mut words = shown_words(&shown, &trusted, now);
    if path == own && draft(config).exists() {
        writeln!(
            words,
            "There is a draft beside it that isn't signed yet:\n  ->  {}",
            command(global, "directory sign")
        )
        .expect("a String takes all");
    }
    let mut json = shown_json(&shown, &trusted);
    if path == own {
        let waiting = waiting(&shown, config)?;
        words.push_str(&waiting_words(&waiting));
        if let Value::Object(members) = &mut json {
            let nodes: Vec<_> = waiting.iter().map(|(what, node)| node_and(what, node)).collect();
            members.insert("waiting".into(), nodes.into());
        }
    }
    Ok(Told { words, json })
}

/// What an authority's operator has decided and what was handed in, as far as the document doesn't have it.
fn waiting(shown: &Candidate, config: &Config) -> Result<Vec<(&'static str, Signed)>, CliError> {
    let register = register(&Desk::of(&config.spool))?;
    let nodes = &shown.contents().nodes;
    let out = nodes.iter().filter(|(id, _)| register.removed.contains(id)).map(|(_, node)| ("out", node));
    let added = register.added.values().map(|node| ("let in", node));
    let offered = register.offered.iter().map(|(id, node)| {
        let roles = |node: &Signed| node.descriptor().roles();
        let is_news = nodes.get(id).is_some_and(|known| roles(known).cover(roles(node)));
        (if is_news { "newer" } else { "waits" }, node)
    });
    Ok(added.chain(out).chain(offered).map(|(what, node)| (what, node.clone())).collect())
}

fn waiting_words(waiting: &[(&'static str, Signed)]) -> String {
    let mut text = String::new();
    let mut title = "\nNEXT    NODE\n";
    for (what, signed) in waiting {
        let node = signed.descriptor();
        let (roles, contact) = (role_words(node.roles()), node.contact.as_deref().unwrap_or("no contact"));
        writeln!(text, "{title}{what:<8}{:<20} {roles:<16} {} ({contact}) {}", node.name, node.address, node.id())
            .expect("a String takes all");
        title = "";
    }
    text
}

fn node_and(what: &str, signed: &Signed) -> Value {
    let mut node = node_json(&signed.descriptor().id(), signed);
    if let Value::Object(members) = &mut node {
        members.insert("what".into(), what.into());
    }
    node
}

fn shown_words(shown: &Candidate, trusted: &Result<Document, Rejected>, now: Time) -> String {
    let contents = shown.contents();
    let validity = match trusted {
        Ok(document) => format!("valid for {} more", span_words(document.valid_until().since(now))),
        Err(rejected) => format!("NOT TAKEN: {rejected}"),
    };
    let names: Vec<_> =
        shown.signers().filter_map(|id| contents.authorities.get(&id)).map(|a| a.name.as_str()).collect();
    let names = if names.is_empty() { "nobody".into() } else { names.join(", ") };
    let mut text = String::new();
    let mut line = |line: std::fmt::Arguments<'_>| writeln!(text, "{line}").expect("a String takes all");
    line(format_args!("epoch       {}, {validity}", contents.epoch));
    line(format_args!("signed by   {names} ({} of {} needed)", shown.signers().count(), contents.threshold));
    for (id, authority) in &contents.authorities {
        line(format_args!("authority   {} {id}", authority.name));
    }
    line(format_args!("hash        {}", NodeId(shown.hash())));
    line(format_args!("parameters  {}\n", params_words(&contents.params)));
    line(format_args!("{:<20} {:<16} {:<14} ADDRESS", "NODE", "ROLES", "KEYS TO EPOCH"));
    for node in contents.nodes.values().map(Signed::descriptor) {
        let last = node.mix_keys.last_key_value().map_or(0, |(epoch, _)| epoch.0);
        line(format_args!("{:<20} {:<16} {last:<14} {}", node.name, role_words(node.roles()), node.address));
    }
    let mut title = "\nEXIT                 TAKES\n";
    for node in contents.nodes.values().map(Signed::descriptor) {
        if let Some(exit) = &node.exit {
            line(format_args!("{title}{:<20} {}", node.name, takes_words(exit)));
            title = "";
        }
    }
    text
}

/// Which mails an exit takes.
fn takes_words(exit: &ExitPolicy) -> String {
    let whom = match &exit.domains {
        Domains::All => "anybody".to_owned(),
        Domains::Only(domains) => domains.join(", "),
    };
    let news = if exit.news { "and to newsgroups" } else { "to no newsgroup" };
    format!("mail to {whom}, {news}, up to {}", size(exit.max_size))
}

fn shown_json(shown: &Candidate, trusted: &Result<Document, Rejected>) -> Value {
    let contents = shown.contents();
    let params = &contents.params;
    let nodes: Vec<_> = contents.nodes.iter().map(|(id, signed)| node_json(id, signed)).collect();
    let authorities: Vec<_> =
        contents.authorities.iter().map(|(id, a)| json!({"name": a.name, "fingerprint": id.to_string()})).collect();
    json!({
        "v": 1,
        "epoch": contents.epoch.0,
        "good": trusted.is_ok(),
        "rejected": trusted.as_ref().err().map(ToString::to_string),
        "valid_until": rfc3339(Time::epoch_start(contents.epoch.plus(VALID_EPOCHS), params.epoch)),
        "hash": NodeId(shown.hash()).to_string(),
        "previous": contents.previous.map(|hash| NodeId(hash).to_string()),
        "threshold": contents.threshold,
        "authorities": authorities,
        "signed_by": shown.signers().map(|id| id.to_string()).collect::<Vec<_>>(),
        "params": {
            "strategy": params.strategy.as_str(),
            "min_delay": span(params.min_delay),
            "mean_delay": span(params.mean_delay),
            "max_delay": span(params.max_delay),
            "tick": span(params.tick),
            "batch_min": params.batch_min,
            "send_every": span(params.send_every),
            "hops": params.hops,
            "epoch": span(params.epoch),
            "max_size": size(params.max_size),
            "message_id_domain": params.message_id_domain,
            "min_uptime": params.min_uptime,
            "only_onions": params.only_onions,
            "demo": params.demo,
        },
        "nodes": nodes,
    })
}

fn node_json(id: &NodeId, signed: &Signed) -> Value {
    let node = signed.descriptor();
    let exit = node.exit.as_ref().map(|exit| {
        let domains = match &exit.domains {
            Domains::All => json!("all"),
            Domains::Only(domains) => json!(domains),
        };
        json!({"domains": domains, "max_size": size(exit.max_size), "news": exit.news})
    });
    json!({
        "id": id.to_string(),
        "name": node.name,
        "sequence": node.sequence,
        "address": node.address.to_string(),
        "source": Source::of(node).to_string(),
        "mix": node.mix,
        "authority": node.authority.as_ref().map(|identity| identity.id().to_string()),
        "exit": exit,
        "family": node.family,
        "contact": node.contact,
        "version": node.version,
        "keys_from": node.mix_keys.first_key_value().map(|(epoch, _)| epoch.0),
        "keys_to": node.mix_keys.last_key_value().map(|(epoch, _)| epoch.0),
    })
}
