//! Whether this node's clock is right, by what others say of theirs.
//!
//! Everybody who opens a link, or lets one in, says what time it is, and has proved by then which node it is. Each word is
//! kept as the distance from our uptime, which nobody can set: so what was said an hour ago still tells the time, and a
//! clock that is set is found out at once. A family has one voice, whatever the number of its nodes.

use crate::directory::Document;
use crate::id::NodeId;
use crate::time::Time;
use std::collections::BTreeMap;
use std::time::Duration;

/// Families that have to be heard before what they say counts.
const FAMILIES: usize = 3;

/// Clocks are told in whole seconds, and a handshake takes its time: less than this says nothing, in a network for tests
/// whose epochs are short.
const LEAST_TOLERANCE: Duration = Duration::from_secs(10);

/// What is wrong with the clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClockFault {
    /// The median of what others say is another time.
    Off,
    /// It was set back, and not enough others have said since that it is right.
    SetBack,
}

/// What is known of the clock.
#[derive(Debug, Default)]
pub(super) struct Clock {
    /// How far the clock of each node is ahead of our uptime, in milliseconds.
    heard: BTreeMap<NodeId, i128>,
    /// The median of that, and whether something has been heard since it was taken.
    theirs: Option<i128>,
    is_stale: bool,
    uptime: Option<Duration>,
    /// How far our clock was ahead of our uptime when it was looked at last.
    ahead: Option<i128>,
    /// What it said when nothing was known to be wrong with it, at first in an earlier life.
    good: Time,
    /// How far it was ahead before it was set back.
    before: Option<i128>,
    fault: Option<ClockFault>,
    confirmed: bool,
}

impl Clock {
    /// The clock of a node of which it was noted that the clock said `good`.
    pub(super) fn open(good: Time) -> Self {
        Self { good, ..Self::default() }
    }

    /// The machine has been up for so long.
    pub(super) const fn uptime(&mut self, up: Duration) {
        self.uptime = Some(up);
    }

    /// The node `peer` has proved its link key and says that it is `said`.
    pub(super) fn heard(&mut self, peer: NodeId, said: Time) {
        if let Some(up) = self.uptime {
            self.heard.insert(peer, ahead(said, up));
            self.is_stale = true;
        }
    }

    /// Forgets what nodes have said that `document` doesn't name.
    pub(super) fn document(&mut self, document: &Document) {
        self.heard.retain(|id, _| document.node(id).is_some());
        self.is_stale = true;
    }

    /// Looks at the clock. Without an uptime nothing can be said of it.
    pub(super) fn look(&mut self, now: Time, document: Option<&Document>, me: &NodeId) {
        let (Some(up), Some(document)) = (self.uptime, document) else { return };
        let tolerance = millis((document.params().epoch / 144).max(LEAST_TOLERANCE));
        let ours = ahead(now, up);
        if std::mem::take(&mut self.is_stale) {
            self.theirs = self.median(document, me);
        }
        let theirs = self.theirs;
        self.confirmed = theirs.is_some_and(|theirs| (ours - theirs).abs() <= tolerance);
        let last = self.ahead.replace(ours).unwrap_or_else(|| ours.max(ahead(self.good, up)));
        if self.before.is_none() && ours + tolerance < last {
            self.before = Some(last);
        }
        if self.confirmed || self.before.is_some_and(|before| ours + tolerance >= before) {
            self.before = None;
        }
        self.fault = match (theirs, self.before) {
            (Some(_), _) if !self.confirmed => Some(ClockFault::Off),
            (_, Some(_)) => Some(ClockFault::SetBack),
            _ => None,
        };
        if self.fault.is_none() {
            self.good = now;
        }
    }

    /// What is wrong with it.
    pub(super) const fn fault(&self) -> Option<ClockFault> {
        self.fault
    }

    /// Whether enough others say that it is right.
    pub(super) const fn is_confirmed(&self) -> bool {
        self.confirmed
    }

    /// What it said when nothing was known to be wrong with it: what is to be known of it in a later life.
    pub(super) const fn good(&self) -> Time {
        self.good
    }

    /// The median of all families but ours, of each the median of its nodes; none if too few have been heard.
    fn median(&self, document: &Document, me: &NodeId) -> Option<i128> {
        let ours = document.node(me).and_then(|node| node.family.as_deref());
        let mut families: BTreeMap<(Option<&str>, Option<NodeId>), Vec<i128>> = BTreeMap::new();
        for (id, ahead) in &self.heard {
            let Some(node) = document.node(id) else { continue };
            let family = node.family.as_deref();
            if id != me && (family.is_none() || family != ours) {
                families.entry((family, family.is_none().then_some(*id))).or_default().push(*ahead);
            }
        }
        if families.len() < FAMILIES {
            return None;
        }
        median(families.into_values().filter_map(median).collect())
    }
}

fn median(mut values: Vec<i128>) -> Option<i128> {
    values.sort_unstable();
    let above = values.get(values.len() / 2)?;
    let below = values.get(values.len().saturating_sub(1) / 2)?;
    Some((above + below) / 2)
}

fn ahead(clock: Time, up: Duration) -> i128 {
    i128::from(clock.as_millis()) - millis(up)
}

fn millis(span: Duration) -> i128 {
    i128::try_from(span.as_millis()).unwrap_or(i128::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_between_the_two_in_the_middle() {
        for (values, want) in [(vec![], None), (vec![5], Some(5)), (vec![9, 1], Some(5)), (vec![1, 900, 3], Some(3))] {
            assert_eq!(median(values), want);
        }
    }
}
