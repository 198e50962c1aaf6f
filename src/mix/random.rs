//! Uniform numbers from a CSPRNG.

use rand_core::CryptoRng;

/// Uniform in `0..n`, without bias; 0 if `n` is 0.
pub(super) fn below(n: u64, rng: &mut impl CryptoRng) -> u64 {
    // What is above the last whole multiple of n is drawn again, or the first remainders would come more often.
    let last_whole = u64::MAX - u64::MAX.checked_rem(n).unwrap_or(u64::MAX);
    loop {
        let drawn = rng.next_u64();
        if drawn < last_whole || n == 0 {
            return drawn.checked_rem(n).unwrap_or(0);
        }
    }
}

/// Uniform in `[0, 1)`, with all 53 bits that a float has there.
#[expect(clippy::cast_precision_loss, reason = "53 bits are exactly what a float holds")]
pub(super) fn unit(rng: &mut impl CryptoRng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

/// Exponential with mean 1, at most 36.8.
pub fn exponential(rng: &mut impl CryptoRng) -> f64 {
    -(1.0 - unit(rng)).ln()
}

/// One of `items`, each as likely; `None` if there are none.
pub fn choose<'a, T>(items: &'a [T], rng: &mut impl CryptoRng) -> Option<&'a T> {
    let n = u64::try_from(items.len()).unwrap_or(u64::MAX);
    items.get(usize::try_from(below(n, rng)).unwrap_or(usize::MAX))
}

/// Puts `items` in an order of which every one is as likely (Fisher and Yates).
pub fn shuffle<T>(items: &mut [T], rng: &mut impl CryptoRng) {
    for end in (1..items.len()).rev() {
        let n = u64::try_from(end).unwrap_or(u64::MAX).saturating_add(1);
        items.swap(end, usize::try_from(below(n, rng)).unwrap_or(end));
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    pub(crate) fn rng(seed: u64) -> StdRng {
        StdRng::seed_from_u64(seed)
    }

    /// Pearson's statistic of `counts` against equal shares.
    pub(crate) fn chi_squared(counts: &[u32]) -> f64 {
        let expected = f64::from(counts.iter().sum::<u32>()) / f64::from(u32::try_from(counts.len()).unwrap());
        counts.iter().map(|n| (f64::from(*n) - expected).powi(2) / expected).sum()
    }

    #[test]
    fn numbers_below_n_are_equally_likely() {
        let mut counts = [0; 7];
        let mut rng = rng(1);
        (0..70_000).for_each(|_| counts[usize::try_from(below(7, &mut rng)).unwrap()] += 1);
        // 6 degrees of freedom: above 22.46 once in 1,000 seeds.
        assert!(chi_squared(&counts) < 22.46, "{counts:?}");
        assert_eq!(below(0, &mut rng), 0);
        assert_eq!(below(1, &mut rng), 0);
    }

    #[test]
    fn the_unit_interval_is_covered_and_never_left() {
        let mut rng = rng(2);
        let mut counts = [0; 100];
        for _ in 0..100_000 {
            let x = unit(&mut rng);
            assert!((0.0..1.0).contains(&x));
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let bin = (x * 100.0) as usize;
            counts[bin] += 1;
        }
        // 99 degrees of freedom: above 148.2 once in 1,000 seeds.
        assert!(chi_squared(&counts) < 148.2);
    }

    #[test]
    fn every_order_is_equally_likely() {
        let mut rng = rng(3);
        let mut counts = [0; 27];
        for _ in 0..60_000 {
            let mut items = [0, 1, 2];
            shuffle(&mut items, &mut rng);
            counts[items.iter().fold(0, |code, item| code * 3 + item)] += 1;
        }
        let orders: Vec<u32> = counts.into_iter().filter(|n| *n > 0).collect();
        assert_eq!(orders.len(), 6);
        // 5 degrees of freedom: above 20.5 once in 1,000 seeds.
        assert!(chi_squared(&orders) < 20.5, "{orders:?}");
    }
}
