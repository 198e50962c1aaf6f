//! What a check says, and how it is told.

use serde_json::{Value, json};
use std::fmt::Write as _;

/// How much is amiss.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum State {
    /// As it should be.
    Good,
    /// It works, and costs something that the operator should know.
    Careful,
    /// It doesn't work, or it gives somebody away.
    Wrong,
}

impl State {
    const fn word(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Careful => "careful",
            Self::Wrong => "wrong",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Finding {
    /// What it is about, in a word: `key`, `postfix`.
    pub(super) about: &'static str,
    pub(super) state: State,
    /// One sentence without a full stop.
    pub(super) says: String,
    /// What to type or do.
    pub(super) hint: Option<String>,
}

impl Finding {
    fn new(about: &'static str, state: State, says: impl Into<String>) -> Self {
        Self { about, state, says: says.into(), hint: None }
    }

    pub(super) fn good(about: &'static str, says: impl Into<String>) -> Self {
        Self::new(about, State::Good, says)
    }

    pub(super) fn careful(about: &'static str, says: impl Into<String>) -> Self {
        Self::new(about, State::Careful, says)
    }

    pub(super) fn wrong(about: &'static str, says: impl Into<String>) -> Self {
        Self::new(about, State::Wrong, says)
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    pub(super) fn to_json(&self) -> Value {
        json!({"v": 1, "about": self.about, "state": self.state.word(), "says": self.says, "try": self.hint})
    }
}

/// The findings as a person reads them; `quiet` leaves out what is good.
pub(super) fn words(findings: &[Finding], quiet: bool) -> String {
    let mut text = String::new();
    for finding in findings.iter().filter(|finding| !quiet || finding.state > State::Good) {
        writeln!(text, "{:<8} {:<10} {}", finding.state.word(), finding.about, finding.says)
            .expect("a String takes all");
        for line in finding.hint.iter().flat_map(|hint| hint.lines()) {
            writeln!(text, "  ->  {line}").expect("a String takes all");
        }
    }
    let count = |state| findings.iter().filter(|finding| finding.state == state).count();
    let (wrong, careful) = (count(State::Wrong), count(State::Careful));
    if !quiet || wrong + careful > 0 {
        writeln!(text, "{} looked at: {wrong} wrong, {careful} to be careful about", findings.len())
            .expect("a String takes all");
    }
    text
}
