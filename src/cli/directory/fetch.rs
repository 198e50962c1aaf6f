//! `fog directory fetch`: the document, from nodes that have it. Whom it is asked of needs no trust: the signatures are
//! held against those that the configuration trusts, as with any other document.

use super::super::error::CliError;
use super::super::global::Global;
use super::super::node_info::draft;
use super::super::note;
use super::super::words::{candidate, command, span_words};
use super::{Told, advice, kept, not_taken, own_id, taken};
use crate::config::Config;
use crate::directory::{Contents, Document, MAX_DOCUMENT, Rejected, Source};
use crate::mix::random::shuffle;
use crate::node::dial::Road;
use crate::node::fetch::{self, ASKED, Wanted};
use crate::node::socks::Tor;
use crate::sys::clock;
use crate::sys::exit_code::ExitCode;
use crate::time::Time;
use serde_json::{Value, json};
use std::io::IsTerminal;

/// Somebody to ask, and what people call it.
pub(super) struct Asked {
    pub(super) name: String,
    pub(super) source: Source,
}

/// What somebody who was asked had.
enum Answer {
    /// A document to be taken.
    Good(Box<Document>),
    /// What is here already, or older than what another had.
    NoNews,
    /// One that is not to be taken.
    Rejected(Rejected),
    /// None.
    Nothing(fetch::NoDocument),
}

/// Asks for the document, and goes by it.
pub(super) fn fetch(from: &[String], config: &Config, now: Time, global: &Global) -> Result<Told, CliError> {
    let asked = whom_to_ask(from, config, global)?;
    let mut have = kept(config, now)?;
    let (mut news, mut answers) = (false, Vec::new());
    for Asked { name, source } in asked {
        if !global.quiet && std::io::stderr().is_terminal() {
            note(&format!("asking {name} ..."));
        }
        let answer = match ask(&source, config, now, have.as_ref())? {
            Answer::Rejected(fork @ Rejected::Fork(_)) => return Err(not_taken(&format!("what {name} has"), &fork)),
            Answer::Good(document) => {
                (have, news) = (Some(*document), true);
                Answer::NoNews
            }
            other => other,
        };
        answers.push((name, answer));
        // There can't be a newer one.
        if have.as_ref().is_some_and(|have| have.epoch() == now.epoch(have.params().epoch)) {
            break;
        }
    }
    match have {
        Some(document) if news => Ok(told(taken(&document, true, config, now, global)?, &answers, true)),
        Some(document) if answers.iter().any(|(_, answer)| matches!(answer, Answer::NoNews)) => {
            Ok(told(no_news(&document, now), &answers, false))
        }
        _ => Err(nothing(&answers)),
    }
}

/// Who is named; else who is configured; else some who are in the document, or in the draft of a network's first one.
fn whom_to_ask(from: &[String], config: &Config, global: &Global) -> Result<Vec<Asked>, CliError> {
    let known = match candidate(&config.spool.document())? {
        None => candidate(&draft(config))?,
        known => known,
    };
    let contents = known.as_ref().map(|known| known.contents());
    if !from.is_empty() {
        return from.iter().map(|text| named(text, contents)).collect();
    }
    let mut asked: Vec<Asked> = config
        .sources
        .iter()
        .map(|source| Asked { name: source.address.to_string(), source: source.clone() })
        .collect();
    if let Some(contents) = contents.filter(|_| asked.is_empty()) {
        let me = own_id(config)?;
        let others = contents.nodes.iter().filter(|(id, _)| **id != me).map(|(_, signed)| signed.descriptor());
        asked.extend(others.map(|node| Asked { name: node.name.clone(), source: Source::of(node) }));
    }
    if asked.is_empty() {
        return Err(CliError::new(ExitCode::Config, "no node is known that could be asked for the document")
            .found("none in directory.sources, and no document that has any")
            .try_(command(global, "directory fetch --from KEY@HOST:PORT")));
    }
    shuffle(&mut asked, &mut clock::rng());
    asked.truncate(ASKED);
    Ok(asked)
}

pub(super) fn named(text: &str, contents: Option<&Contents>) -> Result<Asked, CliError> {
    if let Some(source) = Source::parse(text) {
        return Ok(Asked { name: source.address.to_string(), source });
    }
    let nodes = contents.into_iter().flat_map(|contents| contents.nodes.values()).map(|signed| signed.descriptor());
    let mut of_name = nodes.filter(|node| node.name == text || node.address.to_string() == text);
    let known = of_name.next().map(|node| Asked { name: node.name.clone(), source: Source::of(node) });
    known.ok_or_else(|| {
        CliError::new(ExitCode::Usage, format!("it is not known how to ask `{text}`"))
            .found("wanted: KEY@HOST:PORT, or the name or address of a node of the document")
            .try_("take link-key and address from what fog node-info prints there")
    })
}

fn ask(source: &Source, config: &Config, now: Time, have: Option<&Document>) -> Result<Answer, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::new(ExitCode::Io, "no runtime can be had").found(error.to_string()))?;
    let road = Road { tor: Tor::new(config.socks.clone()), only_tor: config.node.onion.is_onion() };
    let wanted = Wanted { have: have.map(|have| *have.hash()), most: MAX_DOCUMENT };
    let text = runtime.block_on(fetch::fetch(&road, source, &wanted));
    // A name that is being looked up would hold us up.
    runtime.shutdown_background();
    Ok(match text {
        Err(why) => Answer::Nothing(why),
        Ok(None) => Answer::NoNews,
        Ok(Some(text)) => match Document::verify(&text, &config.trust, now, have) {
            Ok(document) if have.is_some_and(|have| have.hash() == document.hash()) => Answer::NoNews,
            Ok(document) => Answer::Good(Box::new(document)),
            Err(rejected) => Answer::Rejected(rejected),
        },
    })
}

fn no_news(document: &Document, now: Time) -> Told {
    let left = document.valid_until().since(now);
    let validity = if left.is_zero() { "expired".into() } else { format!("good for {} more", span_words(left)) };
    let words = format!("nobody who was asked has a newer one: epoch {}, {validity}\n", document.epoch());
    Told { words, json: json!({"v": 1, "good": !left.is_zero(), "epoch": document.epoch().0, "kept": false}) }
}

/// With who was asked, and what was wrong.
fn told(mut told: Told, answers: &[(String, Answer)], new: bool) -> Told {
    for (name, why) in answers.iter().filter_map(|(name, answer)| Some((name, complaint(answer)?))) {
        told.words.push_str(&format!("{name}: {why}\n"));
    }
    let asked: Vec<_> =
        answers.iter().map(|(name, answer)| json!({"node": name, "error": complaint(answer)})).collect();
    if let Value::Object(members) = &mut told.json {
        members.extend([("new".into(), new.into()), ("asked".into(), asked.into())]);
    }
    told
}

fn complaint(answer: &Answer) -> Option<String> {
    match answer {
        Answer::Good(_) | Answer::NoNews => None,
        Answer::Rejected(rejected) => Some(rejected.to_string()),
        Answer::Nothing(why) => Some(why.to_string()),
    }
}

/// Nobody had a document to be taken.
fn nothing(answers: &[(String, Answer)]) -> CliError {
    let found: Vec<_> =
        answers.iter().filter_map(|(name, answer)| Some(format!("{name}: {}", complaint(answer)?))).collect();
    let rejected = answers.iter().find_map(|(_, answer)| match answer {
        Answer::Rejected(rejected) => Some(rejected),
        _ => None,
    });
    let error = match rejected {
        Some(rejected) => CliError::new(ExitCode::No, "no document that was given is taken").try_(advice(rejected)),
        None => CliError::new(ExitCode::TryAgain, "nobody who was asked gives a document")
            .try_("ask again later, or others: fog directory fetch --from KEY@HOST:PORT"),
    };
    error.found(found.join("\n"))
}
