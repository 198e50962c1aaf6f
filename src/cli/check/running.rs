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
    let warnings = member(status, &["warnings"]).as_array()?;
    let says = |word: &str| warnings.iter().any(|warning| warning == word);
    let hint = "set it right: timedatectl; mail is sent again by itself then";
    if says("clock-off") {
        return Some(Finding::wrong("clock", "other nodes say that it is another time: nothing is sent").hint(hint));
    }
    says("clock-set-back").then(|| Finding::wrong("clock", "it was set back: nothing is sent").hint(hint))
}

#[cfg(test)]
mod tests {
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
}
