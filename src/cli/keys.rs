//! `fog keys`: the mix keys of this node, and other ones where nobody has been told of them yet.

use super::control::{ask, member};
use super::error::CliError;
use super::global::Global;
use super::words::{MAX_DOCUMENT, command, io_trouble, key_trouble, span_words, store_trouble};
use crate::config::Config;
use crate::directory::{Document, Params};
use crate::engine::rotate_mix_keys;
use crate::id::Epoch;
use crate::mix::epoch::accepted;
use crate::node::descriptor;
use crate::sphinx::xwing::{MixKey, PublicKey};
use crate::store::{self, Store};
use crate::sys::exit_code::ExitCode;
use crate::sys::key_file::NodeKey;
use crate::sys::{clock, file};
use crate::time::Time;
use mail_parser::DateTime;
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::ErrorKind;

/// `fog keys`
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// The epochs of which this node has keys, and which of them the document names
    List,
    /// Draw other keys for the epochs ahead that no document names yet
    Rotate,
}

/// Does what is asked of the keys.
///
/// # Errors
/// A configuration, key or document that can't be used; a store that can't be read or written.
pub fn run(args: &Args, global: &Global) -> Result<(), CliError> {
    let config = global.load()?;
    let key = NodeKey::read(&config.node.key).map_err(|error| key_trouble(&config.node.key, &error))?;
    match args.verb {
        Verb::List => list(&config, &key, global),
        Verb::Rotate => rotate(&config, &key, global),
    }
}

fn document(config: &Config, global: &Global) -> Result<Document, CliError> {
    let path = config.spool.document();
    let text = file::read_text(&path, MAX_DOCUMENT).map_err(|error| {
        let told = io_trouble(&path, &error);
        let hint = command(global, "directory fetch --from KEY@HOST:PORT");
        if error.kind() == ErrorKind::NotFound { told.try_(hint) } else { told }
    })?;
    Document::reopen(&text, &config.trust, clock::now()).map_err(|rejected| {
        CliError::new(ExitCode::Data, format!("{} is not a document to go by", path.display()))
            .found(rejected.to_string())
            .try_(command(global, "check"))
    })
}

/// One epoch's keys, as they are told.
#[derive(Debug, PartialEq, Eq)]
struct Listed {
    epoch: Epoch,
    state: &'static str,
    /// When the key is accepted.
    from: Time,
    until: Time,
    /// Whether the document names this very key.
    published: bool,
}

fn list(config: &Config, key: &NodeKey, global: &Global) -> Result<(), CliError> {
    let document = document(config, global)?;
    let dir = &config.spool.path;
    let seeds = store::mix_seeds(dir).map_err(|error| store_trouble(dir, &error).try_("sudo, or ask again"))?;
    let named = document.node(&key.identity.node_id()).map(|node| node.mix_keys.clone()).unwrap_or_default();
    let keys = seeds.iter().map(|(epoch, seed)| (*epoch, MixKey::from_seed(seed).public().clone()));
    let now = clock::now();
    let listed: Vec<_> = keys.map(|(epoch, key)| listed(epoch, &key, &named, document.params(), now)).collect();
    let mut out = String::new();
    for key in &listed {
        let _ = if global.json { writeln!(out, "{}", in_json(key)) } else { writeln!(out, "{}", in_words(key, now)) };
    }
    super::print(out.as_bytes())
}

fn listed(epoch: Epoch, key: &PublicKey, named: &BTreeMap<Epoch, PublicKey>, params: &Params, now: Time) -> Listed {
    let (window, used) = (params.epoch / 12, accepted(now, params));
    Listed {
        epoch,
        state: if used.contains(&epoch) {
            "accepted"
        } else if epoch < *used.start() {
            "ended"
        } else {
            "ahead"
        },
        from: Time::epoch_start(epoch, params.epoch).minus(window),
        until: Time::epoch_start(epoch.plus(1), params.epoch).plus(window),
        published: named.get(&epoch) == Some(key),
    }
}

fn in_words(key: &Listed, now: Time) -> String {
    let Listed { epoch, state, from, until, published } = key;
    let when = match *state {
        "accepted" => format!("for {} more", span_words(until.since(now))),
        "ahead" => format!("in {}", span_words(from.since(now))),
        _ => "is destroyed when that is proved".into(),
    };
    format!("{epoch:<8} {state:<9} {when:<34} {}", if *published { "published" } else { "not published" })
}

fn in_json(key: &Listed) -> serde_json::Value {
    let Listed { epoch, state, from, until, published } = key;
    let (from, until) = (rfc3339(*from), rfc3339(*until));
    json!({ "v": 1, "epoch": epoch.0, "state": state, "from": from, "until": until, "published": published })
}

fn rfc3339(time: Time) -> String {
    DateTime::from_timestamp(i64::try_from(time.as_secs()).unwrap_or(i64::MAX)).to_rfc3339()
}

fn rotate(config: &Config, key: &NodeKey, global: &Global) -> Result<(), CliError> {
    let (epochs, runs) = match ask(config, global, "keys rotate") {
        Ok(answer) => {
            let epochs = member(&answer, &["epochs"]).as_array().map_or(&[][..], Vec::as_slice);
            (epochs.iter().filter_map(serde_json::Value::as_u64).map(Epoch).collect(), true)
        }
        Err(error) if error.exit == ExitCode::Unavailable => {
            (of_stopped_node(config, key, global, clock::now())?, false)
        }
        Err(error) => return Err(error),
    };
    if !epochs.is_empty() {
        forget_descriptor(config)?;
    }
    let numbers: Vec<u64> = epochs.iter().map(|epoch| epoch.0).collect();
    if global.json {
        return super::print(format!("{}\n", json!({ "v": 1, "epochs": numbers })).as_bytes());
    }
    if global.quiet {
        return Ok(());
    }
    super::print(told(&epochs, runs, global).as_bytes())
}

/// The descriptor given out last names keys that are gone.
pub(super) fn forget_descriptor(config: &Config) -> Result<(), CliError> {
    let path = descriptor::path(config);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(io_trouble(&path, &error)),
        _ => Ok(()),
    }
}

fn told(epochs: &[Epoch], runs: bool, global: &Global) -> String {
    let words: Vec<String> = epochs.iter().map(Epoch::to_string).collect();
    if words.is_empty() {
        return "the document names all keys that this node has: packets may be under way to them, so they stay\n"
            .into();
    }
    let then = if runs {
        "the node hands its new descriptor in to the authorities by itself".to_owned()
    } else {
        let by_hand = command(global, "node-info");
        format!("the node hands its new descriptor in when it runs; where it can't before the next document: {by_hand}")
    };
    format!("other keys for epoch {}; {then}\n", words.join(", "))
}

pub(super) fn of_stopped_node(
    config: &Config,
    key: &NodeKey,
    global: &Global,
    now: Time,
) -> Result<Vec<Epoch>, CliError> {
    let (document, dir) = (document(config, global)?, &config.spool.path);
    let trouble = |error: &_| store_trouble(dir, error);
    let mut store = Store::open(dir).map_err(|error| trouble(&error))?;
    rotate_mix_keys(&mut store, &document, &key.identity.node_id(), now, &mut clock::rng())
        .map_err(|error| trouble(&error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    #[test]
    fn keys_are_told_by_when_they_are_accepted_and_whether_others_know_them() {
        let params = Params::default();
        let key = |n: u8| MixKey::from_seed(&Secret::filled(|seed| seed.fill(n))).public().clone();
        let named: BTreeMap<_, _> = [(Epoch(20_000), key(1)), (Epoch(20_001), key(2))].into();
        let now = Time::epoch_start(Epoch(20_000), params.epoch).plus(params.epoch / 2);
        let tell = |epoch, n| in_words(&listed(Epoch(epoch), &key(n), &named, &params, now), now);
        for (epoch, n, want) in [
            (19_999, 3, "19999    ended     is destroyed when that is proved   not published"),
            (20_000, 1, "20000    accepted  for 14 h more                      published"),
            (20_001, 2, "20001    ahead     in 10 h                            published"),
            (20_001, 4, "20001    ahead     in 10 h                            not published"),
        ] {
            assert_eq!(tell(epoch, n), want);
        }
        let said = in_json(&listed(Epoch(20_000), &key(1), &named, &params, now));
        let (from, until) = ("2024-10-03T22:00:00Z", "2024-10-05T02:00:00Z");
        let want =
            json!({ "v": 1, "epoch": 20_000, "state": "accepted", "from": from, "until": until, "published": true });
        assert_eq!(said, want);
    }
}
