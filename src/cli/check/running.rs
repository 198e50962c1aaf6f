//! What only the running node can know.

use super::super::control::{ask, member};
use super::super::global::Global;
use super::finding::Finding;
use crate::config::Config;
use serde_json::Value;

/// Whether the node's clock is right by what other nodes say of theirs. Nothing of a node that isn't running or may not be
/// asked: that is for others to tell.
pub(super) fn clock(config: &Config, global: &Global) -> Option<Finding> {
    judge(&ask(config, global, "status").ok()?)
}

fn judge(status: &Value) -> Option<Finding> {
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
            assert_eq!(judge(&json!({ "warnings": warnings })).is_some(), wrong, "{warnings}");
        }
    }
}
