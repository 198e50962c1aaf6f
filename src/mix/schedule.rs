//! When a node sends: a Poisson process, the same whether or not there is mail.

use super::random::exponential;
use crate::directory::Params;
use rand_core::CryptoRng;
use std::time::Duration;

/// The span from one send slot to the next: exponential with the mean `send_every`, so that slots tell nothing of each
/// other, and nothing of what waits.
pub fn next_slot(params: &Params, rng: &mut impl CryptoRng) -> Duration {
    params.send_every.mul_f64(exponential(rng))
}

#[cfg(test)]
mod tests {
    use super::super::random::tests::rng;
    use super::*;

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
