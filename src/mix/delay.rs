//! How long each hop holds a packet: drawn by the sender, written in the slot, checked by the mix.

use super::random::{below, exponential, unit};
use crate::directory::{Params, Strategy};
use crate::time::Time;
use rand_core::CryptoRng;
use std::time::Duration;

/// Steps between the least and the greatest delay of the Poisson strategy.
const STEPS: f64 = 24.0;

/// Draws one hop's delay, between `min_delay` and `max_delay`, from the network's law; to the millisecond, as a slot
/// carries it.
pub fn draw(params: &Params, rng: &mut impl CryptoRng) -> Duration {
    let (min, mean, max) = (millis(params.min_delay), millis(params.mean_delay), millis(params.max_delay));
    let width = max - min;
    let above = match params.strategy {
        Strategy::Constant => width * unit(rng),
        Strategy::Exponential => redrawn(width, || (mean - min) * exponential(rng)),
        Strategy::Poisson => {
            let step = width / STEPS;
            // No width, no steps: the mean is the least delay too.
            let expected = if step > 0.0 { (mean - min) / step } else { 0.0 };
            redrawn(width, || step * poisson(expected, rng))
        }
    };
    Duration::from_secs_f64((min + above) / 1000.0).clamp(params.min_delay, params.max_delay)
}

/// Draws before a packet that has little time left takes any tick that there is.
const DRAWS: usize = 16;

/// The tick at which a packet leaves that should have left before `now`: after another draw from the network's law, and
/// before `until`. None if no tick is left before that.
///
/// It comes after all that is due now, so that what a node held when it went down leaves in no order that says when it
/// came, and not at one stroke, which would say that it was held.
pub fn anew(now: Time, until: Time, params: &Params, rng: &mut impl CryptoRng) -> Option<Time> {
    const ONE: Duration = Duration::from_millis(1);
    let first = now.plus(ONE).next_tick(params.tick);
    if first >= until {
        return None;
    }
    let drawn = (0..DRAWS).map(|_| now.plus(draw(params, rng)).next_tick(params.tick).max(first));
    let drawn = drawn.into_iter().find(|at| *at < until);
    Some(drawn.unwrap_or_else(|| {
        let ticks = until.minus(ONE).since(first).as_millis() / params.tick.as_millis().max(1);
        let skipped = below(u64::try_from(ticks).unwrap_or(0).saturating_add(1), rng);
        first.plus(params.tick.saturating_mul(u32::try_from(skipped).unwrap_or(0)))
    }))
}

/// The first draw that is not above `max`. The parameters' bounds (`mean ≤ max`) make half of all draws good, or more.
fn redrawn(max: f64, mut draw: impl FnMut() -> f64) -> f64 {
    loop {
        let drawn = draw();
        if drawn <= max {
            return drawn;
        }
    }
}

/// A Poisson number: how many exponential spans of mean 1 end before `mean` is over. `mean` is at most 24.
fn poisson(mean: f64, rng: &mut impl CryptoRng) -> f64 {
    let mut count = 0.0;
    let mut over = exponential(rng);
    while over < mean {
        count += 1.0;
        over += exponential(rng);
    }
    count
}

fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::super::random::tests::rng;
    use super::*;

    const HOUR: f64 = 3600.0;

    fn params(strategy: Strategy) -> Params {
        Params { strategy, ..Params::default() }
    }

    fn draws(params: &Params, seed: u64) -> Vec<f64> {
        let mut rng = rng(seed);
        let mut drawn: Vec<_> = (0..40_000).map(|_| draw(params, &mut rng).as_secs_f64()).collect();
        drawn.sort_by(f64::total_cmp);
        drawn
    }

    fn mean_and_deviation(drawn: &[f64]) -> (f64, f64) {
        let n = 40_000.0;
        let mean = drawn.iter().sum::<f64>() / n;
        (mean, (drawn.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt())
    }

    /// The greatest distance between what was drawn and the law (Kolmogorov and Smirnov).
    fn distance(drawn: &[f64], law: impl Fn(f64) -> f64) -> f64 {
        let n = 40_000.0;
        let steps = drawn.iter().zip(0_u32..).map(|(x, i)| {
            let at = law(*x);
            (at - f64::from(i) / n).abs().max((at - f64::from(i + 1) / n).abs())
        });
        steps.fold(0.0, f64::max)
    }

    /// Above 1.95 / √n once in 1,000 seeds.
    const FAR: f64 = 1.95 / 200.0;

    #[test]
    fn exponential_delays_follow_the_law_cut_off_at_the_greatest() {
        let drawn = draws(&params(Strategy::Exponential), 3);
        let whole = 1.0 - (-23.0_f64 / 2.0).exp();
        let law = |x: f64| (1.0 - (-(x / HOUR - 1.0) / 2.0).exp()) / whole;
        assert!(distance(&drawn, law) < FAR);
        assert!(drawn[0] >= HOUR && drawn[39_999] <= 24.0 * HOUR);
    }

    #[test]
    fn delays_above_the_greatest_are_drawn_again_not_cut() {
        let tight = Params { max_delay: Duration::from_secs(3 * 3600), ..params(Strategy::Exponential) };
        let drawn = draws(&tight, 4);
        let whole = 1.0 - (-1.0_f64).exp();
        assert!(distance(&drawn, |x| (1.0 - (-(x / HOUR - 1.0) / 2.0).exp()) / whole) < FAR);
        assert_eq!(drawn.iter().filter(|x| **x >= 3.0 * HOUR).count(), 0, "no heap at the end");
    }

    #[test]
    fn constant_delays_are_uniform() {
        let drawn = draws(&params(Strategy::Constant), 5);
        assert!(distance(&drawn, |x| (x / HOUR - 1.0) / 23.0) < FAR);
    }

    #[test]
    fn poisson_delays_are_whole_steps_with_the_mean_and_the_spread_of_their_law() {
        let drawn = draws(&params(Strategy::Poisson), 6);
        let step = 23.0 / 24.0 * HOUR;
        let off_step = |x: &&f64| ((*x - HOUR) / step).fract().min(1.0 - ((*x - HOUR) / step).fract()) > 1e-6;
        assert_eq!(drawn.iter().filter(off_step).count(), 0);
        let (mean, deviation) = mean_and_deviation(&drawn);
        let expected = 2.0 * HOUR / step;
        // Standard error of the mean is 0.7 % of a step here: five of them.
        assert!((mean - 3.0 * HOUR).abs() < 0.036 * step, "mean {mean}");
        assert!((deviation - expected.sqrt() * step).abs() < 0.05 * step, "deviation {deviation}");
    }

    #[test]
    fn every_law_keeps_its_bounds_and_its_mean() {
        for (strategy, want) in [(Strategy::Exponential, 3.0), (Strategy::Constant, 12.5), (Strategy::Poisson, 3.0)] {
            let params = params(strategy);
            let mut rng = rng(7);
            let bounds = params.min_delay..=params.max_delay;
            assert!((0..10_000).all(|_| bounds.contains(&draw(&params, &mut rng))), "{strategy:?}");
            let (mean, deviation) = mean_and_deviation(&draws(&params, 8));
            assert!((mean - want * HOUR).abs() < 5.0 * deviation / 200.0, "{strategy:?}: {mean}");
        }
    }

    #[test]
    fn what_is_overdue_leaves_after_a_new_draw_and_in_time() {
        let (params, mut rng) = (params(Strategy::Exponential), rng(11));
        let now = Time::from_secs(1_800_000_123);
        let mut spread = |hours: u64| -> Vec<f64> {
            let until = now.plus(Duration::from_secs(hours * 3600));
            let drawn = (0..2000).map(|_| anew(now, until, &params, &mut rng).unwrap());
            let mut after: Vec<f64> = drawn
                .inspect(|at| assert!(*at > now && *at < until && at.next_tick(params.tick) == *at))
                .map(|at| at.since(now).as_secs_f64() / HOUR)
                .collect();
            after.sort_by(f64::total_cmp);
            after
        };
        let long = spread(48);
        assert!((long[1000] - (1.0 + 2.0 * 2.0_f64.ln())).abs() < 0.25, "the law's median: {}", long[1000]);
        // No draw of the law is below an hour: any tick does, and each is as likely.
        let short = spread(1);
        assert!((short[1000] - 0.5).abs() < 0.06 && short[0] < 0.1 && short[1999] > 0.9, "{}", short[1000]);
        assert_eq!(anew(now, now.plus(Duration::from_secs(60)), &params, &mut rng), None, "no tick is left");
        let none = Duration::ZERO;
        let quick = Params { min_delay: none, mean_delay: none, max_delay: none, ..params };
        let next = anew(now, now.plus(Duration::from_secs(3600)), &quick, &mut rng);
        assert_eq!(next, Some(now.next_tick(quick.tick)), "a network without delays has nothing to draw");
    }

    #[test]
    fn equal_bounds_give_that_delay_and_none_gives_none() {
        for seconds in [0, 60] {
            let span = Duration::from_secs(seconds);
            for strategy in [Strategy::Exponential, Strategy::Constant, Strategy::Poisson] {
                let params = Params { min_delay: span, mean_delay: span, max_delay: span, ..params(strategy) };
                assert_eq!(draw(&params, &mut rng(9)), span, "{strategy:?}");
            }
        }
    }
}
