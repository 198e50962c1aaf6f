//! `fog status`: the running node, now; of traffic, the last period.

use super::control::{ask, member};
use super::error::CliError;
use super::global::Global;
use super::words::{role_words, span_words};
use crate::directory::Roles;
use crate::sys::clock;
use crate::sys::exit_code::ExitCode;
use crate::time::Time;
use mail_parser::DateTime;
use serde_json::Value;
use std::fmt::Write as _;
use std::io::{self, IsTerminal};
use std::time::Duration;

/// How often `--watch` looks again.
const WATCH_EVERY: Duration = Duration::from_secs(5);

/// Width of the first column.
const LABEL: usize = 16;

/// `fog status`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Look again every 5 seconds, until interrupted
    #[arg(short, long, conflicts_with = "nagios")]
    watch: bool,
    /// One line for a monitoring program; ends with 0 (all is well), 1, 2 or 3 (not known)
    #[arg(long)]
    pub(super) nagios: bool,
}

/// Prints the status.
///
/// # Errors
/// A configuration that can't be read, or a node that can't be asked.
pub fn run(args: &Args, global: &Global) -> Result<(), CliError> {
    let config = global.load()?;
    let mut last = None;
    loop {
        let status = ask(&config, global, "status")?;
        let text = if global.json { format!("{status}\n") } else { text(&status, clock::now()) };
        if last.as_ref() != Some(&text) {
            let clear = if args.watch && !global.json && io::stdout().is_terminal() { "\x1b[H\x1b[2J" } else { "" };
            super::print(format!("{clear}{text}").as_bytes())?;
            last = Some(text);
        }
        if !args.watch {
            return Ok(());
        }
        std::thread::sleep(WATCH_EVERY);
    }
}

/// The line for a monitoring program, and the code to end with.
#[must_use]
pub fn nagios(global: &Global) -> (String, ExitCode) {
    let status = global.load().and_then(|config| ask(&config, global, "status"));
    match status {
        Ok(status) => {
            let (word, code) = verdict(&status);
            (format!("FOG {word} - {}\n", one_line(&status)), code)
        }
        Err(error) if error.exit == ExitCode::Unavailable => {
            ("FOG CRITICAL - the node is not running\n".into(), ExitCode::Critical)
        }
        Err(error) => (format!("FOG UNKNOWN - {}\n", error.what), ExitCode::Unknown),
    }
}

/// What hinders mail is critical; what may come right by itself is a warning.
fn verdict(status: &Value) -> (&'static str, ExitCode) {
    let critical = [
        "fork",
        "clock-off",
        "clock-set-back",
        "directory-stale",
        "n-1",
        "not-enough-nodes",
        "no-way-back",
        "disk-low",
        "spool-full",
    ];
    let warnings = words(status);
    let no_links = member(status, &["links", "up"]) == 0 && member(status, &["tor"]) == "down";
    if no_links || warnings.iter().any(|warning| critical.contains(warning)) {
        ("CRITICAL", ExitCode::Critical)
    } else if warnings.is_empty() {
        ("OK", ExitCode::Ok)
    } else {
        ("WARNING", ExitCode::No)
    }
}

fn words(status: &Value) -> Vec<&str> {
    member(status, &["warnings"]).as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn one_line(status: &Value) -> String {
    let number = |path: &[&str]| member(status, path).to_string();
    let links = format!("{}/{} nodes linked", number(&["links", "up"]), number(&["links", "known"]));
    match words(status).as_slice() {
        [] => format!("{links}, epoch {}", number(&["directory", "epoch"])),
        warnings => format!("{}; {links}", warnings.join(", ")),
    }
}

/// The status for people.
fn text(status: &Value, now: Time) -> String {
    let text = |key: &str| member(status, &[key]).as_str().unwrap_or("?");
    let mut out = String::new();
    let name = format!("{:<LABEL$}{}", text("name"), roles(status));
    let up = time(member(status, &["up_since"])).map_or_else(|| "?".into(), |since| span_words(now.since(since)));
    let _ = writeln!(out, "{name:<42} fog {}, up {up}", text("version"));
    let mut line = |label: &str, told: &str| {
        let _ = writeln!(out, "{label:<LABEL$}{told}");
    };
    line("can send", &can_send(status));
    line(
        "tor",
        match text("tor") {
            "up" => "takes requests",
            "down" => "takes no requests",
            _ => "not asked for anything yet",
        },
    );
    line("directory", &directory(status, now));
    authority(status, now).into_iter().for_each(|told| line("authority", &told));
    let period = member(status, &["period"]);
    if period.is_null() {
        line("traffic", "told when the first period is over");
    } else {
        period_lines(period, &mut line);
    }
    match member(status, &["exit_process"]) {
        Value::Bool(true) => line("exit", &exit(period)),
        Value::Bool(false) => line("exit", "fog exit isn't there; mail for the local MTA waits"),
        _ => {}
    }
    let warnings = words(status);
    line("warnings", warnings.first().map_or("none", |warning| sentence(warning)));
    warnings.iter().skip(1).for_each(|warning| line("", sentence(warning)));
    out
}

fn roles(status: &Value) -> String {
    let has = |role| member(status, &["roles", role]) == true;
    role_words(Roles { mix: has("mix"), exit: has("exit"), authority: has("authority") })
}

fn can_send(status: &Value) -> String {
    let number = |path: &[&str]| member(status, path).as_u64().unwrap_or(0);
    if member(status, &["can_send"]) != true {
        return "no: nothing is sent, mail waits".into();
    }
    let exits = match number(&["exits"]) {
        1 => "1 exit".to_owned(),
        exits => format!("{exits} exits"),
    };
    format!("yes: {} of {} nodes reachable, {exits}", number(&["links", "up"]), number(&["links", "known"]))
}

fn directory(status: &Value, now: Time) -> String {
    let of = |key: &str| member(status, &["directory", key]);
    let epoch = of("epoch");
    let signed = match (of("signed_by").as_u64(), of("authorities").as_u64()) {
        (Some(have), Some(all)) => format!(", signed by {have} of {all}"),
        _ => String::new(),
    };
    match time(member(status, &["directory", "valid_until"])) {
        Some(until) if until > now => format!("epoch {epoch}, valid for {} more{signed}", span_words(until.since(now))),
        _ => format!("epoch {epoch}, expired"),
    }
}

/// How the next document stands, on the node of an authority.
fn authority(status: &Value, now: Time) -> Option<String> {
    let of = |key: &str| member(status, &["authority", key]);
    let epoch = of("next_epoch").as_u64()?;
    let names = |key: &str| {
        let names: Vec<_> = of(key).as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        if names.is_empty() { "nobody".into() } else { names.join(", ") }
    };
    let left = |key: &str| time(of(key)).map(|at| at.since(now)).unwrap_or_default();
    if let Some(trouble) = of("trouble").as_str() {
        return Some(format!("has not signed epoch {epoch}: {trouble}"));
    }
    let due = span_words(left("due"));
    if of("agreed") == true {
        let (threshold, all) = (of("threshold"), of("authorities"));
        return Some(format!("epoch {epoch} in {due}, signed by {} ({threshold} of {all} needed)", names("signed_by")));
    }
    let begins = left("begins");
    Some(if begins.is_zero() {
        format!("epoch {epoch} in {due}: votes of {}, signed by {}", names("votes"), names("signed_by"))
    } else {
        format!("epoch {epoch} in {due}, to be agreed on from in {} on", span_words(begins))
    })
}

fn period_lines(period: &Value, line: &mut impl FnMut(&str, &str)) {
    let number = |key: &str| member(period, &[key]).as_u64().unwrap_or(0);
    let most = |key: &str| format!("at most {}", number(key));
    line("traffic", &format!("of the last {}, rounded up:", span_words(Duration::from_secs(number("seconds")))));
    line("  packets", &format!("{} in, {} out, {} dropped", most("in"), most("out"), most("dropped")));
    line("  held here", &format!("{} packets (mixing), {} overdue", most("held"), most("overdue")));
    line("  cover", &format!("{} packets that ended here", most("cover")));
    line("  own mail", &format!("{} waiting, {} refused", most("waiting"), most("refused")));
    line("own test loops", &loops(period));
    line(
        "spool",
        match member(period, &["spool"]).as_str() {
            Some("full") => "full",
            Some("low") => "more than 80 % in use",
            _ => "has room",
        },
    );
}

/// Those that were due in this epoch or the one before.
fn loops(period: &Value) -> String {
    let number = |key: &str| member(period, &["loops", key]).as_u64();
    let (back, lost) = (number("back").unwrap_or(0), number("lost").unwrap_or(0));
    if back + lost == 0 {
        return "none is due back yet".to_owned();
    }
    let median = number("median_s").map(|s| format!(", median {}", span_words(Duration::from_secs(s))));
    format!("{back} of {} came back{}", back + lost, median.unwrap_or_default())
}

fn exit(period: &Value) -> String {
    let number = |key: &str| member(period, &[key]).as_u64();
    let (Some(waiting), Some(deferred), Some(refused)) =
        (number("exit_waiting"), number("exit_deferred"), number("exit_refused"))
    else {
        return "is there".into();
    };
    format!("is there; at most {waiting} waiting, {deferred} deferred, {refused} refused")
}

fn sentence(warning: &str) -> &str {
    match warning {
        "fork" => "there are two signed documents of this epoch: ask the authorities",
        "clock-off" => "this node's clock is wrong, others say: timedatectl",
        "clock-set-back" => "this node's clock was set back: is it right? timedatectl",
        "directory-stale" => "expired directory: get a new one, then systemctl reload fog-node",
        "not-enough-nodes" => "the directory document has too few nodes for a path",
        "no-way-back" => "too few nodes for receipts, and without them mail could get lost unheard: fog check",
        "directory-unsigned" => "this authority could not sign the next directory document",
        "disk-low" => "the disk is nearly full: mail waits in the MTA (spool.reserve)",
        "spool-full" => "the spool is full: mail waits in the MTA (spool.max)",
        "spool-low" => "the spool is nearly full (spool.max)",
        "n-1" => "no loop comes back: somebody may hold back packets (fog ping --link)",
        "tor-down" => "Tor takes no requests: systemctl status tor",
        "no-exit-process" => "fog exit isn't there: systemctl status fog-exit",
        other => other,
    }
}

fn time(value: &Value) -> Option<Time> {
    let parsed = DateTime::parse_rfc3339(value.as_str()?)?;
    u64::try_from(parsed.to_timestamp()).ok().map(Time::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn status() -> Value {
        json!({
            "v": 1, "name": "kvara", "version": "0.3.0", "roles": { "mix": true, "exit": true },
            "up_since": "2026-05-28T20:27:00Z", "can_send": true, "links": { "known": 6, "up": 5 }, "exits": 3,
            "tor": "up", "directory": { "epoch": 1482, "valid_until": "2026-06-07T15:27:00Z",
                "signed_by": 4, "authorities": 5 }, "exit_process": true,
            "period": {
                "seconds": 3600, "in": 64, "out": 64, "held": 48, "cover": 8, "overdue": 8, "waiting": 8, "dropped": 8,
                "refused": 8, "exit_waiting": 8, "exit_deferred": 8, "exit_refused": 16, "spool": "enough",
                "loops": { "back": 47, "lost": 1, "median_s": 40_800 },
            },
            "warnings": [],
        })
    }

    fn now() -> Time {
        time(&json!("2026-06-06T20:27:00Z")).unwrap()
    }

    #[test]
    fn a_node_that_is_well_is_told_in_a_few_lines() {
        let want = "\
kvara           mix + exit                 fog 0.3.0, up 9 d
can send        yes: 5 of 6 nodes reachable, 3 exits
tor             takes requests
directory       epoch 1482, valid for 19 h more, signed by 4 of 5
traffic         of the last 1 h, rounded up:
  packets       at most 64 in, at most 64 out, at most 8 dropped
  held here     at most 48 packets (mixing), at most 8 overdue
  cover         at most 8 packets that ended here
  own mail      at most 8 waiting, at most 8 refused
own test loops  47 of 48 came back, median 11 h 20 min
spool           has room
exit            is there; at most 8 waiting, 8 deferred, 16 refused
warnings        none
";
        assert_eq!(text(&status(), now()), want);
        assert!(want.lines().all(|line| line.len() <= 80));
        assert_eq!(verdict(&status()), ("OK", ExitCode::Ok));
        assert_eq!(one_line(&status()), "5/6 nodes linked, epoch 1482");
    }

    #[test]
    fn one_exit_is_one() {
        let mut status = status();
        *status.get_mut("exits").unwrap() = json!(1);
        assert_eq!(can_send(&status), "yes: 5 of 6 nodes reachable, 1 exit");
    }

    #[test]
    fn a_node_that_can_do_nothing_says_why_and_what_to_do() {
        let ill = json!({
            "v": 1, "name": "kvara", "version": "0.3.0", "roles": { "mix": false, "exit": false },
            "up_since": "2026-06-06T20:26:00Z", "can_send": false, "links": { "known": 2, "up": 0 }, "exits": 0,
            "tor": null, "directory": { "epoch": 1482, "valid_until": "2026-06-06T20:00:00Z" }, "exit_process": null,
            "period": null, "warnings": ["directory-stale", "not-enough-nodes"],
        });
        let want = "\
kvara           entry only                 fog 0.3.0, up 1 min
can send        no: nothing is sent, mail waits
tor             not asked for anything yet
directory       epoch 1482, expired
traffic         told when the first period is over
warnings        expired directory: get a new one, then systemctl reload fog-node
                the directory document has too few nodes for a path
";
        assert_eq!(text(&ill, now()), want);
        assert!(want.lines().all(|line| line.len() <= 80));
        assert_eq!(one_line(&ill), "directory-stale, not-enough-nodes; 0/2 nodes linked");
    }

    #[test]
    fn a_monitoring_program_is_told_by_its_own_numbers() {
        for (warnings, want) in [
            (json!([]), ExitCode::Ok),
            (json!(["no-exit-process"]), ExitCode::No),
            (json!(["spool-low", "tor-down"]), ExitCode::No),
            (json!(["spool-full", "no-exit-process"]), ExitCode::Critical),
            (json!(["n-1"]), ExitCode::Critical),
            (json!(["directory-stale"]), ExitCode::Critical),
            (json!(["clock-off"]), ExitCode::Critical),
            (json!(["clock-set-back"]), ExitCode::Critical),
            (json!(["not-enough-nodes"]), ExitCode::Critical),
        ] {
            let status = json!({ "warnings": warnings, "links": { "up": 1 }, "tor": "down" });
            assert_eq!(verdict(&status).1, want, "{warnings}");
        }
        let alone = json!({ "warnings": ["tor-down"], "links": { "up": 0 }, "tor": "down" });
        assert_eq!(verdict(&alone).1, ExitCode::Critical);
    }

    #[test]
    fn a_node_of_another_version_is_told_as_far_as_it_goes() {
        let told = text(&json!({ "v": 1, "warnings": ["something-new"] }), now());
        assert!(told.contains("warnings        something-new\n"), "{told}");
    }
}
