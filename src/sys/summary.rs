//! What may be said of traffic: figures of a period that is over, rounded up. Who has them can't tell one mail.

use crate::engine::LoopFigures;
use std::fmt;
use std::time::Duration;

/// A count of which only the step is known that it doesn't go beyond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rounded(u64);

impl Rounded {
    /// `count`, rounded up to a multiple of `round`: none and a little look alike. A quiet node would tell of each packet
    /// else, and one refusal, though it is trouble, of somebody who wrote.
    #[must_use]
    pub const fn up(count: u64, round: u64) -> Self {
        let steps = count.div_ceil(round);
        Self(if steps == 0 { round } else { steps.saturating_mul(round) })
    }

    /// The most that it can be.
    #[must_use]
    pub const fn most(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Rounded {
    /// `<=64`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<={}", self.0)
    }
}

/// How full the spool is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// There is room.
    Enough,
    /// More than four fifths are in use, of the part for own mail, for others' packets or for mail to the MTA.
    Low,
    /// One of the parts is in use.
    Full,
}

impl Room {
    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Enough => "enough",
            Self::Low => "low",
            Self::Full => "full",
        }
    }
}

/// What was in the period that ended last. The log and everything else that tells of traffic shows this and nothing
/// else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// How long the period was.
    pub period: Duration,
    /// Packets taken from other nodes.
    pub taken: Rounded,
    /// Packets that other nodes have taken.
    pub sent: Rounded,
    /// Packets held at its end.
    pub held: Rounded,
    /// Packets of cover traffic that ended here: others' drops, and loops of this node. What it builds itself is not told:
    /// of a known number of slots, what is no cover is mail.
    pub cover: Rounded,
    /// Of these, those that were due and found no way.
    pub overdue: Rounded,
    /// Mails of this node's users that waited at its end.
    pub waiting: Rounded,
    /// Send slots that they needed still; told by `fog route`, and not logged.
    pub slots: Rounded,
    /// Packets dropped.
    pub dropped: Rounded,
    /// Mails refused to injectors.
    pub refused: Rounded,
    /// What an exit has to say besides; none if the node is no exit.
    pub exit: Option<ExitSummary>,
    /// How full the spool was at its end.
    pub room: Room,
    /// What had become of loops of late, at its end.
    pub loops: LoopFigures,
    /// Nodes that packets could go to at its end, and all others that the directory document names.
    pub nodes: (usize, usize),
    /// How long the directory document was good for still.
    pub directory: Duration,
    /// How long the program had run.
    pub up: Duration,
}

/// What an exit has to say of a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExitSummary {
    /// Mails that waited for the MTA at its end.
    pub waiting: Rounded,
    /// Hand-overs that the MTA has put off.
    pub deferred: Rounded,
    /// Mails that the MTA doesn't take, or that may not go out.
    pub refused: Rounded,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { taken, sent, held, cover, overdue, waiting, dropped, refused, nodes, .. } = self;
        write!(
            f,
            "period={}, in{taken}, out{sent}, held{held}, cover{cover}, overdue{overdue}, waiting{waiting}",
            span(self.period)
        )?;
        write!(f, ", dropped{dropped}, refused{refused}")?;
        if let Some(ExitSummary { waiting, deferred, refused }) = &self.exit {
            write!(f, ", exit-waiting{waiting}, exit-deferred{deferred}, exit-refused{refused}")?;
        }
        let (up, known) = nodes;
        write!(f, ", spool={}, nodes={up}/{known}", self.room.word())?;
        write!(f, ", directory={}, up={}", span(self.directory), span(self.up))
    }
}

/// A span in its largest unit, the rest cut off: `9d`, `19h`, `40m`.
#[must_use]
pub fn span(span: Duration) -> String {
    let minutes = span.as_secs() / 60;
    let (n, unit) = match minutes {
        0..60 => (minutes, 'm'),
        60..2880 => (minutes / 60, 'h'),
        _ => (minutes / 1440, 'd'),
    };
    format!("{n}{unit}")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// One of an exit.
    pub(crate) fn summary() -> Summary {
        let up = |count| Rounded::up(count, 8);
        Summary {
            period: Duration::from_secs(3600),
            taken: up(64),
            sent: up(58),
            held: up(41),
            cover: up(5),
            overdue: up(0),
            waiting: up(1),
            slots: up(2),
            dropped: up(0),
            refused: up(1),
            exit: Some(ExitSummary { waiting: up(0), deferred: up(9), refused: up(0) }),
            room: Room::Enough,
            loops: LoopFigures { back: 47, lost: 1, median: Some(Duration::from_secs(40_800)) },
            nodes: (5, 6),
            directory: Duration::from_secs(19 * 3600 + 3599),
            up: Duration::from_secs(9 * 86_400 + 5),
        }
    }

    #[test]
    fn counts_are_rounded_up_and_none_looks_like_a_little() {
        for (count, want) in [(0, "<=8"), (1, "<=8"), (8, "<=8"), (9, "<=16"), (64, "<=64")] {
            assert_eq!(Rounded::up(count, 8).to_string(), want);
        }
        assert!(Rounded::up(u64::MAX, 8).most() >= u64::MAX - 8);
    }

    #[test]
    fn a_period_is_one_line() {
        assert_eq!(
            summary().to_string(),
            "period=1h, in<=64, out<=64, held<=48, cover<=8, overdue<=8, waiting<=8, dropped<=8, refused<=8, exit-waiting<=8, \
             exit-deferred<=16, exit-refused<=8, spool=enough, nodes=5/6, directory=19h, up=9d"
        );
        assert!(!Summary { exit: None, ..summary() }.to_string().contains("exit"));
    }

    #[test]
    fn spans_are_told_in_one_unit() {
        let told = [0, 59, 60, 3599, 3600, 172_799, 172_800].map(|s| span(Duration::from_secs(s)));
        assert_eq!(told, ["0m", "0m", "1m", "59m", "1h", "47h", "2d"]);
    }
}
