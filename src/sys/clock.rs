//! The only place that asks the operating system for the time and for randomness.

use crate::time::Time;
use rand::rngs::ThreadRng;
use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime};

/// Now, by the wall clock; the Unix epoch if the clock stands before it.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn now() -> Time {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Time::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// How long it is since this was first asked, by a clock that nobody can set and that stands still while the machine sleeps.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn uptime() -> Duration {
    static FIRST: LazyLock<Instant> = LazyLock::new(Instant::now);
    FIRST.elapsed()
}

/// This thread's CSPRNG: ChaCha, seeded and seeded again by the operating system.
///
/// # Panics
/// If the operating system has no randomness to give: then there is no key to be had, and nothing to be done.
#[must_use]
pub fn rng() -> ThreadRng {
    rand::rng()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::Rng;

    #[test]
    fn the_clock_is_past_the_day_this_was_written() {
        assert!(now() > Time::from_secs(1_780_000_000));
    }

    #[test]
    fn two_draws_differ() {
        let mut drawn = [[0; 32]; 2];
        drawn.iter_mut().for_each(|bytes| rng().fill_bytes(bytes));
        assert_ne!(drawn[0], drawn[1]);
    }
}
