//! When to try an MTA again that said "not now".

use rand_core::CryptoRng;
use std::time::Duration;

const FIRST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(4 * 3600);

/// How long to wait after the `attempt`th try has failed (from 1): about a minute, doubling up to four hours, each time
/// between half of that and all of it, so that what failed together doesn't come back together.
pub fn backoff(attempt: u32, rng: &mut impl CryptoRng) -> Duration {
    let doubled = FIRST.saturating_mul(2_u32.saturating_pow(attempt.saturating_sub(1)));
    doubled.min(LONGEST).mul_f64(0.5 + super::random::unit(rng) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::super::random::tests::rng;
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_four_hours_and_is_spread_over_its_upper_half() {
        let mut rng = rng(11);
        for (attempt, most) in [(0, 60), (1, 60), (2, 120), (5, 960), (8, 7680), (9, 14_400), (1000, 14_400)] {
            let waits: Vec<_> = (0..200).map(|_| backoff(attempt, &mut rng).as_secs_f64() / f64::from(most)).collect();
            assert!(waits.iter().all(|share| (0.5..=1.0).contains(share)), "try {attempt}");
            assert!(waits.iter().any(|share| *share < 0.6) && waits.iter().any(|share| *share > 0.9), "try {attempt}");
        }
    }
}
