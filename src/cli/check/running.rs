//! What only the running node can know.

use super::super::control::{ask, member};
use super::super::global::Global;
use super::finding::Finding;
use crate::config::Config;
use serde_json::Value;

/// What the node says of itself. Nothing of one that isn't running or may not be asked: that is for others to tell.
pub(super) fn status(config: &Config, global: &Global) -> Option<Value> {
    ask(config, global, "status").ok()
}

/// Whether the node's clock is wrong by what other nodes say of theirs.
pub(super) fn clock(status: &Value) -> Option<Finding> {
    let hint = "set it right: timedatectl; mail is sent again by itself then";
    if warns(status, "clock-off") {
        return Some(Finding::wrong("clock", "other nodes say that it is another time: nothing is sent").hint(hint));
    }
    warns(status, "clock-set-back").then(|| Finding::wrong("clock", "it was set back: nothing is sent").hint(hint))
}

/// Whether this node's loops come back; nothing as long as that is not known.
pub(super) fn loops(status: &Value) -> Option<Finding> {
    if warns(status, "n-1") {
        let says = "none comes back: somebody may hold back all packets but those that they follow";
        let hint =
            "fog ping --link; if all answer, fog stats shows in a day whether this node's first hops lose packets";
        return Some(Finding::wrong("loops", says).hint(hint));
    }
    let back = member(status, &["period", "loops", "back"]).as_u64()?;
    (back > 0).then(|| Finding::good("loops", "they come back"))
}

fn warns(status: &Value, word: &str) -> bool {
    member(status, &["warnings"]).as_array().is_some_and(|warnings| warnings.iter().any(|warning| warning == word))
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;
    use serde_json::json;

    #[test]
    fn a_clock_that_others_call_wrong_is_wrong() {
        for (warnings, wrong) in [
            (json!([]), false),
            (json!(["spool-low"]), false),
            (json!(["clock-off"]), true),
            (json!(["spool-low", "clock-set-back"]), true),
        ] {
            assert_eq!(clock(&json!({ "warnings": warnings })).is_some(), wrong, "{warnings}");
        }
    }

    #[test]
    fn loops_of_which_none_comes_back_are_wrong_and_unknown_ones_are_no_finding() {
        let period = |back: u64| json!({ "loops": { "back": back, "lost": 1 } });
        for (warnings, period, state) in [
            (json!([]), Value::Null, None),
            (json!([]), period(0), None),
            (json!(["spool-low"]), period(3), Some(State::Good)),
            (json!(["n-1"]), Value::Null, Some(State::Wrong)),
            (json!(["n-1", "spool-low"]), period(3), Some(State::Wrong)),
        ] {
            let found = loops(&json!({ "warnings": warnings, "period": period }));
            assert_eq!(found.as_ref().map(|found| found.state), state, "{warnings} {period}");
            assert!(found.is_none_or(|found| found.state == State::Good || found.hint.is_some()));
        }
    }
}
