//! `fog config`: what holds, wherever it was set.

use super::error::CliError;
use super::global::Global;
use crate::config::Config;
use serde_json::{Map, Value, json};
use std::fmt::Write as _;

/// `fog config`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only what differs from the defaults
    #[arg(short = 'n', long, conflicts_with = "defaults")]
    non_default: bool,
    /// The defaults, whatever is configured
    #[arg(short, long)]
    defaults: bool,
}

/// Prints the configuration, a key a line, as it could stand in a file.
///
/// # Errors
/// A configuration that is wrong.
pub fn run(args: &Args, global: &Global) -> Result<(), CliError> {
    let defaults = Config::defaults(&global.dir());
    let shown = if args.defaults {
        defaults
    } else {
        let mut all = global.load()?.show();
        all.retain(|set| !args.non_default || !defaults.contains(set));
        all
    };
    super::print(if global.json { as_json(&shown) } else { as_toml(&shown) }.as_bytes())
}

/// What is not set and has no default is a comment: a reader sees that it is there.
fn as_toml(shown: &[(String, Option<String>)]) -> String {
    let mut out = String::new();
    for (key, value) in shown {
        let _ = match value {
            Some(value) => writeln!(out, "{key} = {value}"),
            None => writeln!(out, "# {key}"),
        };
    }
    out
}

fn as_json(shown: &[(String, Option<String>)]) -> String {
    let value = |value: &Option<String>| -> Value {
        let parsed = value.as_ref().and_then(|value| toml::from_str::<toml::Table>(&format!("x = {value}")).ok());
        parsed.and_then(|table| serde_json::to_value(table.get("x")?).ok()).unwrap_or(Value::Null)
    };
    let members: Map<String, Value> = shown.iter().map(|(key, shown)| (key.clone(), value(shown))).collect();
    let mut all = Map::from_iter([("v".to_owned(), json!(1))]);
    all.insert("config".into(), members.into());
    format!("{}\n", Value::from(all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_can_stand_in_a_file() {
        let shown = [
            ("node.name".to_owned(), Some("\"kvara\"".to_owned())),
            ("node.contact".into(), None),
            ("log.round".into(), Some("8".into())),
        ];
        assert_eq!(as_toml(&shown), "node.name = \"kvara\"\n# node.contact\nlog.round = 8\n");
        let json: Value = serde_json::from_str(&as_json(&shown)).unwrap();
        assert_eq!(json, json!({ "v": 1, "config": { "node.name": "kvara", "node.contact": null, "log.round": 8 } }));
    }
}
