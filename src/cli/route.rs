//! `fog route`: how a mail to an address would be sent, how long it would take, and how well it would hide. It sends
//! nothing, and tells nobody whom it was asked about.

use super::control::{ask, member};
use super::error::CliError;
use super::global::Global;
use super::note;
use super::send::is_shared_machine;
use super::words::{document_in_use, key_trouble, span_words};
use crate::config::Config;
use crate::directory::units::{parse_size, size};
use crate::directory::{Document, Params};
use crate::engine::pieces_of;
use crate::id::NodeId;
use crate::mail::address::Address;
use crate::mail::hidden::is_door;
use crate::mix::back::Reach;
use crate::mix::forecast::{Forecast, Pieces, crowd, forecast};
use crate::mix::route;
use crate::sys::clock;
use crate::sys::exit_code::ExitCode;
use crate::sys::key_file::NodeKey;
use crate::time::Time;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::{self, BufRead as _, Read as _};
use std::time::Duration;

/// What a mail has beside its own bytes when it is packed: recipient, ids, and frames.
const ENVELOPE: u64 = 1 << 10;

/// Longest line with an address.
const MAX_LINE: u64 = 1 << 10;

/// So few nodes that it has to be said.
const FEW: usize = 10;

/// Asked twice the same, it says the same.
const SEED: u64 = 1;

/// `fog route ADDR`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The recipient, with or without .fog; - reads it from standard input
    #[arg(value_name = "ADDR", allow_hyphen_values = true)]
    to: String,
    /// How large the mail is, as in 40K
    #[arg(long, value_name = "SIZE", value_parser = parse_mail_size, default_value = "4K")]
    size: u64,
}

fn parse_mail_size(text: &str) -> Result<u64, String> {
    parse_size(text).filter(|size| *size > 0).ok_or_else(|| "a size such as 4K, 300K or 2M".to_owned())
}

/// What there is to say.
struct Told {
    to: Address,
    pieces: Option<Pieces>,
    exits: Vec<String>,
    others: usize,
    params: Params,
    forecast: Option<Forecast>,
    hidden_among: f64,
    careful: Vec<String>,
    /// Why it would not be sent.
    hindrance: Option<Hindrance>,
}

/// Why a mail would not be sent, and what can be done.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Hindrance {
    exit: ExitCode,
    why: String,
}

impl Hindrance {
    fn new(exit: ExitCode, why: impl Into<String>) -> Self {
        Self { exit, why: why.into() }
    }
}

/// Says how a mail would be sent, and with which code to end.
///
/// # Errors
/// An address that is none, or a configuration, key or document that can't be read.
pub fn run(args: &Args, global: &Global) -> Result<ExitCode, CliError> {
    let (config, now) = (global.load()?, clock::now());
    let to = recipient(&args.to, &config.entry.suffix, global)?;
    let document = document_in_use(&config, now, global)?;
    let key = NodeKey::read(&config.node.key).map_err(|error| key_trouble(&config.node.key, &error))?;
    let status = ask(&config, global, "status");
    let asked = Asked { to, size: args.size, me: key.identity.node_id(), now };
    let told = tell(asked, &document, &config, &status);
    let text = if global.json { format!("{}\n", to_json(&told)) } else { to_text(&told) };
    if !global.quiet {
        super::print(text.as_bytes())?;
    }
    Ok(told.hindrance.map_or(ExitCode::Ok, |hindrance| hindrance.exit))
}

/// The address, without the network's suffix.
fn recipient(text: &str, suffix: &str, global: &Global) -> Result<Address, CliError> {
    let text =
        if text == "-" {
            let mut line = String::new();
            io::stdin().lock().take(MAX_LINE).read_line(&mut line).map_err(|error| {
                CliError::new(ExitCode::Io, "standard input can't be read").found(error.to_string())
            })?;
            line.trim().to_owned()
        } else {
            if !global.quiet && is_shared_machine() {
                note("fog: other users of this machine can see the address in `ps` while this runs");
                note("  ->  give it on standard input, and say `fog route -`");
            }
            text.to_owned()
        };
    let parsed = Address::parse(&text).map_err(|error| {
        CliError::new(ExitCode::Address, error.to_string())
            .found(format!("{:?}", text.chars().take(100).collect::<String>()))
            .try_("write it as name@domain, without angle brackets or a name in front")
    })?;
    Ok(parsed.under_suffix(suffix).unwrap_or(parsed))
}

/// What is asked, and by whom.
struct Asked {
    to: Address,
    size: u64,
    me: NodeId,
    now: Time,
}

fn tell(asked: Asked, document: &Document, config: &Config, status: &Result<Value, CliError>) -> Told {
    let Asked { to, size, me, now } = asked;
    let params = document.params().clone();
    let exits = route::exits_for(document, &to, size);
    let others: Vec<_> = exits.iter().filter(|id| **id != me).collect();
    let waiting = status.as_ref().ok().and_then(|status| member(status, &["period", "slots"]).as_u64());
    let ahead = waiting.and_then(|slots| usize::try_from(slots).ok()).unwrap_or(0);
    let pieces = usize::try_from(size.saturating_add(ENVELOPE)).ok().and_then(pieces_of);
    let pieces = pieces.map(|(needed, sent)| Pieces { needed, sent, ahead });
    let forecast = pieces.map(|pieces| forecast(&params, pieces, &mut StdRng::seed_from_u64(SEED)));
    let hops = document.nodes().filter(|(id, node)| **id != me && (node.mix || node.exit.is_some())).count();
    let told = Told {
        exits: others.iter().filter_map(|id| document.node(id)).map(|node| node.name.clone()).collect(),
        others: hops,
        hidden_among: forecast.map_or(0.0, |forecast| crowd(document, forecast.held)),
        hindrance: hindrance(&to, size, document, config, &exits, me, now).or_else(|| of_the_node(status)),
        careful: Vec::new(),
        to,
        pieces,
        params,
        forecast,
    };
    Told { careful: careful(&told), ..told }
}

/// What configuration and document have against it.
fn hindrance(
    to: &Address,
    bytes: u64,
    document: &Document,
    config: &Config,
    exits: &[NodeId],
    me: NodeId,
    now: Time,
) -> Option<Hindrance> {
    let most = config.entry.max_size.map_or(document.params().max_size, |ours| ours.min(document.params().max_size));
    if to.is_within(&config.entry.suffix) || is_door(to) || to.is_routed() {
        return Some(Hindrance::new(ExitCode::Address, "no exit takes mail to such an address"));
    }
    if bytes > most {
        return Some(Hindrance::new(ExitCode::No, format!("it is larger than {}, the most that is taken", size(most))));
    }
    if exits.is_empty() {
        return Some(Hindrance::new(ExitCode::Address, "no exit of this network takes it"));
    }
    if now >= document.valid_until() {
        return Some(Hindrance::new(ExitCode::No, "the directory document has expired: fog directory fetch"));
    }
    let why = match Reach::of(document, &me, exits, config.entry.receipts) {
        Reach::Whole => return None,
        Reach::NoWayBack => "there are not enough nodes for a receipt; it would wait",
        Reach::NoPath => "there are not enough nodes for a path; it would wait",
    };
    Some(Hindrance::new(ExitCode::No, why))
}

/// What the running node has against it.
fn of_the_node(status: &Result<Value, CliError>) -> Option<Hindrance> {
    match status {
        Err(error) if error.exit == ExitCode::Unavailable => {
            Some(Hindrance::new(ExitCode::Unavailable, "the node is not running: systemctl start fog-node"))
        }
        Err(error) => Some(Hindrance::new(error.exit, error.what.clone())),
        Ok(status) if member(status, &["can_send"]) != true => {
            Some(Hindrance::new(ExitCode::No, "the node can send nothing now: fog status"))
        }
        Ok(status) if says(status, "disk-low") => {
            Some(Hindrance::new(ExitCode::No, "the disk is nearly full; the MTA would keep it and come again"))
        }
        Ok(status) if member(status, &["period", "spool"]) == "full" => {
            Some(Hindrance::new(ExitCode::No, "the spool is full; the MTA would keep it and come again"))
        }
        Ok(_) => None,
    }
}

fn says(status: &Value, word: &str) -> bool {
    member(status, &["warnings"]).as_array().is_some_and(|warnings| warnings.iter().any(|warning| warning == word))
}

/// What the sender should know.
fn careful(told: &Told) -> Vec<String> {
    let mut careful = vec!["the exit can read what is not encrypted, and sees to whom it goes".to_owned()];
    if let Some(pieces) = told.pieces.filter(|pieces| pieces.needed > 1) {
        careful.push(format!("it takes {} pieces: larger mails are fewer, and easier to follow", pieces.needed));
    }
    if told.params.max_delay.is_zero() {
        careful.push("this network delays nothing: times show who wrote to whom".to_owned());
    }
    if told.params.hops < 3 {
        careful.push("a path of this network has fewer than three hops".to_owned());
    }
    if let [exit] = told.exits.as_slice() {
        careful.push(format!("all mail to that address leaves at one exit, {exit}"));
    }
    if told.others < FEW {
        let nodes = if told.others == 1 { "node" } else { "nodes" };
        careful.push(format!("with {} other {nodes} it hides among what these carry, and no more", told.others));
    }
    careful
}

fn to_text(told: &Told) -> String {
    let mut out = String::new();
    let mut line = |label: &str, said: &str| writeln!(out, "{label:<14}{said}").expect("a String takes all");
    line("to", &format!("{}, {}", told.to, if told.to.is_news() { "a newsgroup" } else { "by e-mail" }));
    if let Some(Pieces { needed, sent, .. }) = told.pieces {
        line(
            "pieces",
            &format!("{sent} of 64 K; any {needed} of {sent} {} enough", if needed == 1 { "is" } else { "are" }),
        );
    }
    line(
        "hops",
        &format!("{} of {} nodes; two nodes of one operator never share a path", told.params.hops, told.others),
    );
    if told.exits.len() > 1 {
        line("exit", &format!("one of {}", told.exits.len()));
    }
    if let Some(forecast) = told.forecast {
        let Forecast { leaves, half, most, .. } = forecast;
        line("leaves", &format!("the last piece within {}, mostly: a piece a slot", rough(leaves)));
        line("arrives", &format!("half within {}, 95 % within {}", rough(half), rough(most)));
        line("hidden among", &format!("about {} other packets at each hop, cover included", about(told.hidden_among)));
    }
    told.careful
        .iter()
        .zip(["careful"].into_iter().chain(std::iter::repeat("")))
        .for_each(|(said, label)| line(label, said));
    match &told.hindrance {
        None => line("would send", "yes"),
        Some(Hindrance { why, .. }) => line("would send", &format!("no: {why}")),
    }
    out
}

/// Rounded up to what matters: minutes, then hours.
fn rough(span: Duration) -> String {
    let unit = match span.as_secs() {
        0..120 => 1,
        120..7200 => 60,
        _ => 3600,
    };
    span_words(Duration::from_secs(span.as_secs().div_ceil(unit) * unit))
}

/// Two digits that count.
fn about(count: f64) -> String {
    let mut step = 1.0;
    while count / step >= 100.0 {
        step *= 10.0;
    }
    format!("{:.0}", (count / step).round() * step)
}

fn to_json(told: &Told) -> Value {
    let seconds = |span: fn(&Forecast) -> Duration| told.forecast.as_ref().map(|forecast| span(forecast).as_secs());
    json!({
        "v": 1,
        "to": told.to.to_string(),
        "news": told.to.is_news(),
        "pieces": told.pieces.map(|pieces| json!({ "needed": pieces.needed, "sent": pieces.sent })),
        "hops": told.params.hops,
        "nodes": told.others,
        "exits": told.exits,
        "leaves_s": seconds(|forecast| forecast.leaves),
        "arrives_s": { "p50": seconds(|forecast| forecast.half), "p95": seconds(|forecast| forecast.most) },
        "hidden_among": about(told.hidden_among).parse::<u64>().ok(),
        "careful": told.careful,
        "would_send": told.hindrance.is_none(),
        "why": told.hindrance.as_ref().map(|hindrance| &hindrance.why),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::Descriptor;
    use crate::directory::fixture::{at, contents, descriptor, key, signed_text, trust};

    fn config() -> Config {
        let lines = format!("node.name = \"a\"\nnode.onion = \"a:1\"\ndirectory.trust = [\"{}\"]\n", "0".repeat(64));
        Config::parse(&[("fog.toml".into(), lines)], &[], std::path::Path::new(".")).unwrap()
    }

    fn document(nodes: u8, change: fn(&mut Params)) -> Document {
        let mut contents = contents(1, 1, (1..=nodes).map(|n| (n, of_six(n))));
        change(&mut contents.params);
        Document::verify(&signed_text(&contents, [101]), &trust(1, 1), at(1), None).unwrap()
    }

    /// Nodes 1 to 3 are exits.
    fn of_six(n: u8) -> Descriptor {
        let node = descriptor(n);
        Descriptor { exit: node.exit.clone().filter(|_| n <= 3), ..node }
    }

    fn well() -> Result<Value, CliError> {
        Ok(json!({ "v": 1, "can_send": true, "period": { "slots": 8, "spool": "enough" } }))
    }

    fn told(to: &str, size: u64, document: &Document, status: &Result<Value, CliError>, hours: u64) -> Told {
        let asked = Asked { to: Address::parse(to).unwrap(), size, me: key(1).node_id(), now: at(hours) };
        tell(asked, document, &config(), status)
    }

    #[test]
    fn a_short_letter_is_told_in_a_few_lines() {
        let text = to_text(&told("alice@example.com", 40 << 10, &document(6, |_| {}), &well(), 1));
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines[..4],
            [
                "to            alice@example.com, by e-mail",
                "pieces        2 of 64 K; any 1 of 2 is enough",
                "hops          3 of 5 nodes; two nodes of one operator never share a path",
                "exit          one of 2",
            ]
        );
        assert!(
            lines[5].starts_with("arrives       half within ") && lines[6].contains("about 110 other packets"),
            "{text}"
        );
        assert_eq!(lines.last(), Some(&"would send    yes"));
        assert!(lines.iter().all(|line| line.len() <= 80), "{text}");
        assert_eq!(to_text(&told("alice@example.com", 40 << 10, &document(6, |_| {}), &well(), 1)), text);
    }

    #[test]
    fn what_hinders_a_mail_is_told_with_a_code_of_its_own() {
        let (six, three) = (document(6, |_| {}), document(3, |_| {}));
        let apart = document(3, |params| params.hops = 2);
        let fails = |exit| Err(CliError::new(exit, "trouble"));
        let cannot = Ok(json!({ "can_send": false, "period": null }));
        let low = Ok(json!({ "can_send": true, "period": null, "warnings": ["tor-down", "disk-low"] }));
        let full = Ok(json!({ "can_send": true, "period": { "spool": "full" } }));
        for (to, size, document, status, hours, want, word) in [
            ("a@example.com", 1, &six, well(), 1, None, ""),
            ("group.x@news", 1, &six, well(), 1, Some(ExitCode::Address), "no exit of this network"),
            ("a@x.fog", 1, &six, well(), 1, Some(ExitCode::Address), "such an address"),
            ("a%b@example.com", 1, &six, well(), 1, Some(ExitCode::Address), "such an address"),
            ("a@example.com", 3 << 20, &six, well(), 1, Some(ExitCode::No), "larger than 2M"),
            ("a@example.com", 1, &six, well(), 73, Some(ExitCode::No), "expired"),
            ("a@example.com", 1, &three, well(), 1, Some(ExitCode::No), "not enough nodes for a path"),
            ("a@example.com", 1, &apart, well(), 1, Some(ExitCode::No), "not enough nodes for a receipt"),
            ("a@example.com", 1, &six, fails(ExitCode::Unavailable), 1, Some(ExitCode::Unavailable), "not running"),
            ("a@example.com", 1, &six, fails(ExitCode::Permission), 1, Some(ExitCode::Permission), "trouble"),
            ("a@example.com", 1, &six, cannot, 1, Some(ExitCode::No), "can send nothing"),
            ("a@example.com", 1, &six, low, 1, Some(ExitCode::No), "disk is nearly full"),
            ("a@example.com", 1, &six, full, 1, Some(ExitCode::No), "spool is full"),
        ] {
            let told = told(to, size, document, &status, hours);
            let found = told.hindrance.clone();
            assert_eq!(found.as_ref().map(|hindrance| hindrance.exit), want, "{to} {word}");
            let said = to_text(&told);
            assert!(said.lines().last().unwrap().contains(if want.is_none() { "yes" } else { word }), "{said}");
            assert_eq!(to_json(&told)["would_send"], json!(want.is_none()));
        }
    }

    #[test]
    fn what_makes_a_mail_hide_badly_is_told() {
        let none = |p: &mut Params| {
            (p.min_delay, p.mean_delay, p.max_delay, p.hops) = (Duration::ZERO, Duration::ZERO, Duration::ZERO, 2);
        };
        let told = told("a@example.com", 500_000, &document(2, none), &well(), 1);
        for words in
            ["not encrypted", "pieces: larger", "delays nothing", "fewer than three", "one exit, node-2", "1 other"]
        {
            assert!(told.careful.iter().any(|line| line.contains(words)), "{words}: {:?}", told.careful);
        }
    }

    #[test]
    fn spans_are_rounded_up_and_counts_to_two_digits() {
        let told = [40, 200, 7199, 7201, 90_000].map(|s| rough(Duration::from_secs(s)));
        assert_eq!(told, ["40 s", "4 min", "2 h", "3 h", "1 d 1 h"]);
        assert_eq!([0.4, 7.6, 104.9, 1234.0].map(about), ["0", "8", "100", "1200"]);
    }
}
