//! How much an exit hands out: how many mails in all, and how many to one recipient.
//!
//! Kept in memory alone. On disk it would say who was written to, and when; what is forgotten at a restart is how much
//! of a span's share was used.

use crate::time::{Rate, Time};
use std::collections::{BTreeMap, VecDeque};

/// A recipient, as a keyed hash.
pub(super) type RecipientMark = [u8; 16];

/// What an operator allows; none is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Hand-overs to the local MTA.
    pub all: Option<Rate>,
    /// Mails to one recipient.
    pub per_recipient: Option<Rate>,
}

/// The hand-overs of late.
#[derive(Debug, Default)]
pub(super) struct Meter {
    all: VecDeque<Time>,
    by_recipient: BTreeMap<RecipientMark, VecDeque<Time>>,
}

impl Meter {
    /// When a mail may be handed over to anybody: `now`, or later.
    pub(super) fn all_may_go(&mut self, limits: &Limits, now: Time) -> Time {
        next(&mut self.all, limits.all, now)
    }

    /// When one may be handed over to `recipient`, as far as their own share goes: `now`, or later.
    pub(super) fn may_go(&mut self, limits: &Limits, recipient: &RecipientMark, now: Time) -> Time {
        self.by_recipient.get_mut(recipient).map_or(now, |times| next(times, limits.per_recipient, now))
    }

    /// How many of late were handed over to `recipient`.
    pub(super) fn had(&mut self, rate: Rate, recipient: &RecipientMark, now: Time) -> usize {
        self.by_recipient.get_mut(recipient).map_or(0, |times| {
            next(times, Some(rate), now);
            times.len()
        })
    }

    /// A mail is being handed over.
    pub(super) fn goes(&mut self, limits: &Limits, recipient: RecipientMark, now: Time) {
        if limits.all.is_some() {
            self.all.push_back(now);
        }
        if let Some(rate) = limits.per_recipient {
            self.by_recipient.retain(|_, times| {
                next(times, Some(rate), now);
                !times.is_empty()
            });
            self.by_recipient.entry(recipient).or_default().push_back(now);
        }
    }

    /// The MTA did not take what went last to `recipient`: it is none of their share.
    pub(super) fn came_back(&mut self, recipient: &RecipientMark) {
        if let Some(times) = self.by_recipient.get_mut(recipient) {
            times.pop_back();
        }
    }
}

/// Forgets what is older than the span of `rate`, and says when there is room for one more.
fn next(times: &mut VecDeque<Time>, rate: Option<Rate>, now: Time) -> Time {
    let Some(Rate { count, per }) = rate else {
        times.clear();
        return now;
    };
    // What seems to lie ahead was noted before the clock was set back.
    while times.front().is_some_and(|time| now.since(*time) >= per || *time > now) {
        times.pop_front();
    }
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let full = times.len().checked_sub(count).and_then(|at| times.get(at));
    full.map_or(now, |time| time.plus(per))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const ALICE: RecipientMark = [1; 16];
    const BOB: RecipientMark = [2; 16];

    fn at(s: u64) -> Time {
        Time::from_secs(1_000_000 + s)
    }

    fn limits(all: Option<u32>, per_recipient: Option<u32>) -> Limits {
        let rate = |count, s| Rate { count, per: Duration::from_secs(s) };
        Limits { all: all.map(|n| rate(n, 60)), per_recipient: per_recipient.map(|n| rate(n, 1000)) }
    }

    #[test]
    fn one_recipient_gets_no_more_in_any_span_and_the_others_do() {
        let (limits, mut meter) = (limits(None, Some(2)), Meter::default());
        for s in [0, 10] {
            assert_eq!(meter.may_go(&limits, &ALICE, at(s)), at(s));
            meter.goes(&limits, ALICE, at(s));
        }
        assert_eq!(meter.may_go(&limits, &ALICE, at(20)), at(1000));
        assert_eq!(meter.may_go(&limits, &BOB, at(20)), at(20));
        assert_eq!(meter.may_go(&limits, &ALICE, at(1000)), at(1000));
        meter.goes(&limits, ALICE, at(1000));
        assert_eq!(meter.may_go(&limits, &ALICE, at(1001)), at(1010));
        meter.goes(&limits, BOB, at(3000));
        assert_eq!(meter.by_recipient.len(), 1, "who was written to long ago is forgotten");
    }

    #[test]
    fn all_together_get_no_more_either() {
        let (limits, mut meter) = (limits(Some(1), None), Meter::default());
        meter.goes(&limits, ALICE, at(0));
        assert_eq!(meter.all_may_go(&limits, at(59)), at(60));
        assert_eq!(meter.all_may_go(&limits, at(60)), at(60));
        assert!(meter.by_recipient.is_empty());
    }

    #[test]
    fn what_the_mta_did_not_take_is_nobodys_share() {
        let (limits, mut meter) = (limits(None, Some(1)), Meter::default());
        meter.goes(&limits, ALICE, at(0));
        meter.came_back(&ALICE);
        assert_eq!(meter.may_go(&limits, &ALICE, at(1)), at(1));
        meter.came_back(&BOB);
    }

    #[test]
    fn what_comes_back_is_what_went_last_and_the_mta_was_asked_all_the_same() {
        let (limits, mut meter) = (limits(Some(3), Some(2)), Meter::default());
        for s in [0, 10] {
            meter.goes(&limits, ALICE, at(s));
        }
        meter.came_back(&ALICE);
        meter.goes(&limits, ALICE, at(20));
        assert_eq!(meter.may_go(&limits, &ALICE, at(30)), at(1000), "the first one was theirs");
        assert_eq!(meter.all_may_go(&limits, at(30)), at(60), "three were handed over");
        let had = |meter: &mut Meter, s| meter.had(limits.per_recipient.unwrap(), &ALICE, at(s));
        assert_eq!([30, 1000, 1020].map(|s| had(&mut meter, s)), [2, 1, 0]);
        assert_eq!(meter.had(limits.per_recipient.unwrap(), &BOB, at(30)), 0);
    }

    #[test]
    fn without_a_limit_nothing_is_remembered() {
        let (none, mut meter) = (limits(None, None), Meter::default());
        meter.goes(&none, ALICE, at(0));
        assert!(meter.all.is_empty() && meter.by_recipient.is_empty());
        meter.goes(&limits(Some(1), Some(1)), ALICE, at(0));
        meter.all_may_go(&none, at(1));
        meter.may_go(&none, &ALICE, at(1));
        assert_eq!(meter.all_may_go(&limits(Some(1), None), at(1)), at(1));
        assert_eq!(meter.may_go(&limits(None, Some(1)), &ALICE, at(1)), at(1));
    }

    #[test]
    fn a_limit_that_is_lifted_holds_nobody_and_a_clock_set_back_neither() {
        let (some, mut meter) = (limits(Some(1), Some(1)), Meter::default());
        meter.goes(&some, ALICE, at(0));
        assert_eq!(meter.may_go(&limits(None, None), &ALICE, at(1)), at(1));
        assert_eq!(meter.all_may_go(&limits(None, None), at(1)), at(1));
        meter.goes(&some, ALICE, at(5000));
        assert_eq!((meter.may_go(&some, &ALICE, at(2)), meter.all_may_go(&some, at(2))), (at(2), at(2)));
    }
}
