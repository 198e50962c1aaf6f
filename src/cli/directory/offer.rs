//! `fog directory offer`: this node's descriptor, to the authorities, over links. A node that is in the document does it by
//! itself; one that isn't yet has it done here.

use super::super::error::CliError;
use super::super::global::Global;
use super::super::node_info;
use super::super::words::{candidate, command, key_trouble};
use super::Told;
use super::fetch::{Asked, named};
use crate::config::Config;
use crate::directory::{Candidate, Contents, Source};
use crate::link::offer::Verdict;
use crate::node::dial::Road;
use crate::node::hand_in::{self, NoVerdict};
use crate::node::socks::Tor;
use crate::sys::exit_code::ExitCode;
use crate::sys::key_file::NodeKey;
use crate::time::Time;
use serde_json::json;
use std::fmt::Write as _;

/// Hands the descriptor in.
pub(super) fn offer(to: &[String], config: &Config, now: Time, global: &Global) -> Result<Told, CliError> {
    let known = known(config, global)?;
    let asked = whom_to_ask(to, known.contents(), global)?;
    let key = NodeKey::read(&config.node.key).map_err(|error| key_trouble(&config.node.key, &error))?;
    let signed = node_info::current(config, &known.contents().params, &key, now, global)?;
    let text = signed.to_text();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::new(ExitCode::Io, "no runtime can be had").found(error.to_string()))?;
    let road = Road { tor: Tor::new(config.socks.clone()), only_tor: config.node.onion.is_onion() };
    let give = |source: &Source| runtime.block_on(hand_in::hand_in(&road, source, &key.link, &text));
    let said: Vec<_> = asked.iter().map(|Asked { name, source }| (name.as_str(), give(source))).collect();
    // A name that is being looked up would hold us up.
    runtime.shutdown_background();
    told(&said, global)
}

/// The document, or the draft of a network's first one: it has the parameters, and says who the authorities are.
fn known(config: &Config, global: &Global) -> Result<Candidate, CliError> {
    let document = candidate(&config.spool.document())?;
    let known = document.map_or_else(|| candidate(&node_info::draft(config)), |document| Ok(Some(document)))?;
    known.ok_or_else(|| {
        CliError::new(ExitCode::Config, "there is no directory document")
            .found(format!("{} is missing", config.spool.document().display()))
            .try_(command(global, "directory fetch --from KEY@HOST:PORT"))
    })
}

fn whom_to_ask(to: &[String], known: &Contents, global: &Global) -> Result<Vec<Asked>, CliError> {
    if !to.is_empty() {
        return to.iter().map(|text| named(text, Some(known))).collect();
    }
    let nodes = known.nodes.values().map(|signed| signed.descriptor());
    let authorities = nodes.filter(|node| node.authority.is_some());
    let asked: Vec<_> = authorities.map(|node| Asked { name: node.name.clone(), source: Source::of(node) }).collect();
    if asked.is_empty() {
        return Err(CliError::new(ExitCode::Config, "no node of the document is an authority's")
            .found("its descriptor would say so")
            .try_(format!("{}, and give it to the authority by hand", command(global, "node-info"))));
    }
    Ok(asked)
}

fn told(said: &[(&str, Result<Verdict, NoVerdict>)], global: &Global) -> Result<Told, CliError> {
    let mut words = String::new();
    for (name, verdict) in said {
        let what = verdict.as_ref().map_or_else(ToString::to_string, ToString::to_string);
        writeln!(words, "{name}: {what}").expect("a String takes all");
    }
    let is_kept =
        |verdict: &Result<Verdict, NoVerdict>| matches!(verdict, Ok(Verdict::In | Verdict::Known | Verdict::Waits));
    if said.iter().any(|(_, verdict)| is_kept(verdict)) {
        let asked: Vec<_> = said
            .iter()
            .map(|(name, verdict)| match verdict {
                Ok(verdict) => json!({"node": name, "verdict": verdict.word(), "error": null}),
                Err(why) => json!({"node": name, "verdict": null, "error": why.to_string()}),
            })
            .collect();
        return Ok(Told { words, json: json!({"v": 1, "asked": asked}) });
    }
    let error = if said.iter().any(|(_, verdict)| verdict.is_ok()) {
        CliError::new(ExitCode::No, "no authority keeps this node's descriptor")
            .try_("change what is in the way in fog.toml, and offer it again")
    } else {
        CliError::new(ExitCode::TryAgain, "no authority takes a descriptor now")
            .try_(format!("later: {}", command(global, "directory offer")))
    };
    Err(error.found(words.trim_end()))
}
