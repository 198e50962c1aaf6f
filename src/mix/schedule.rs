//! When a node sends: a Poisson process, the same whether or not there is mail.

use super::random::{below, exponential};
use crate::directory::Params;
use rand_core::CryptoRng;
use std::time::Duration;

/// The span from one send slot to the next: exponential with the mean `send_every`, so that slots tell nothing of each
/// other, and nothing of what waits.
pub fn next_slot(params: &Params, rng: &mut impl CryptoRng) -> Duration {
    params.send_every.mul_f64(exponential(rng))
}

/// One slot in so many is a loop.
const A_LOOP_IN: u32 = 4;

/// Whether a slot is for a loop: by chance alone, so that who counts them measures the network however much mail there is.
pub fn is_loop(rng: &mut impl CryptoRng) -> bool {
    below(A_LOOP_IN.into(), rng) == 0
}

/// How long so many pieces of mail wait for their slots: one in a few is never theirs.
#[must_use]
pub fn span_of(pieces: u32, params: &Params) -> Duration {
    params.send_every.saturating_mul(pieces).saturating_mul(A_LOOP_IN) / (A_LOOP_IN - 1)
}

/// How long so many loops wait for their slots, on the average.
#[must_use]
pub fn loop_span(loops: u32, params: &Params) -> Duration {
    params.send_every.saturating_mul(loops).saturating_mul(A_LOOP_IN)
}

#[cfg(test)]
mod tests {
    use super::super::random::tests::rng;
    use super::*;

    #[test]
    fn one_slot_in_four_is_a_loop_and_mail_waits_for_the_others() {
        let mut rng = rng(12);
        let loops = (0..40_000).filter(|_| is_loop(&mut rng)).count();
        // A deviation is 87: five of them.
        assert!(loops.abs_diff(10_000) < 433, "{loops}");
        let params = Params { send_every: Duration::from_secs(300), ..Params::default() };
        assert_eq!(span_of(3, &params), Duration::from_secs(1200));
    }

    #[test]
    fn spans_between_slots_are_exponential_with_the_mean_of_the_network() {
        let params = Params::default();
        let mut rng = rng(10);
        let every = params.send_every.as_secs_f64();
        let spans: Vec<_> = (0..40_000).map(|_| next_slot(&params, &mut rng).as_secs_f64() / every).collect();
        let mean = spans.iter().sum::<f64>() / 40_000.0;
        // The deviation of an exponential is its mean: five standard errors.
        assert!((mean - 1.0).abs() < 5.0 / 200.0, "{mean}");
        for (longer_than, share) in [(0.1, 0.904_84), (1.0, 0.367_88), (3.0, 0.049_79)] {
            let found =
                f64::from(u32::try_from(spans.iter().filter(|s| **s > longer_than).count()).unwrap()) / 40_000.0;
            assert!((found - share).abs() < 0.0125, "{longer_than}: {found}");
        }
    }
}
