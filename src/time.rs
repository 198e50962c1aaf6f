//! Instants, as values. No clock lives here: `sys::clock` has the only one.

use crate::id::Epoch;
use std::time::Duration;

/// So many in every span of that length, wherever it begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    /// How many; at least 1.
    pub count: u32,
    /// In how long; not zero.
    pub per: Duration,
}

/// An instant: milliseconds since the Unix epoch, UTC. Wall clock, because deadlines outlive a restart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Time(u64);

impl Time {
    /// The last instant there is.
    pub const LAST: Self = Self(u64::MAX);

    /// The instant `ms` milliseconds after the Unix epoch.
    #[must_use]
    pub const fn from_millis(ms: u64) -> Self {
        Self(ms)
    }

    /// The instant `s` seconds after the Unix epoch; the last one there is where that overflows.
    #[must_use]
    pub const fn from_secs(s: u64) -> Self {
        Self(s.saturating_mul(1000))
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Whole seconds since the Unix epoch.
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        self.0 / 1000
    }

    /// `self + d`, the last instant there is where that overflows.
    #[must_use]
    pub fn plus(self, d: Duration) -> Self {
        Self(self.0.saturating_add(millis(d)))
    }

    /// `self - d`, the Unix epoch where that underflows.
    #[must_use]
    pub fn minus(self, d: Duration) -> Self {
        Self(self.0.saturating_sub(millis(d)))
    }

    /// The span from `earlier` to `self`; zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// The first multiple of `tick` (counted from the Unix epoch) at or after `self`. A zero tick is `self`.
    #[must_use]
    pub fn next_tick(self, tick: Duration) -> Self {
        let tick = millis(tick);
        if tick == 0 {
            return self;
        }
        Self(self.0.div_ceil(tick).saturating_mul(tick))
    }

    /// The epoch `self` falls in, for epochs of the given length (at least one second).
    #[must_use]
    pub fn epoch(self, length: Duration) -> Epoch {
        Epoch(self.as_secs() / length.as_secs().max(1))
    }

    /// When `epoch` starts.
    #[must_use]
    pub fn epoch_start(epoch: Epoch, length: Duration) -> Self {
        Self::from_secs(epoch.0.saturating_mul(length.as_secs().max(1)))
    }
}

fn millis(d: Duration) -> u64 {
    u64::try_from(d.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_is_a_multiple_counted_from_the_unix_epoch() {
        let tick = Duration::from_secs(300);
        for (at, want) in [(0, 0), (1, 300_000), (300_000, 300_000), (300_001, 600_000)] {
            assert_eq!(Time::from_millis(at).next_tick(tick).as_millis(), want, "at {at}");
        }
    }

    #[test]
    fn an_epoch_starts_where_its_number_begins() {
        let day = Duration::from_secs(86_400);
        let start = Time::epoch_start(Epoch(20_000), day);
        assert_eq!(start.epoch(day), Epoch(20_000));
        assert_eq!(start.minus(Duration::from_millis(1)).epoch(day), Epoch(19_999));
    }

    #[test]
    fn arithmetic_saturates() {
        let last = Time::from_millis(u64::MAX);
        assert_eq!(last.plus(Duration::from_secs(1)), last);
        assert_eq!(Time::from_millis(5).minus(Duration::from_secs(1)), Time::from_millis(0));
        assert_eq!(Time::from_millis(5).since(last), Duration::ZERO);
    }
}
