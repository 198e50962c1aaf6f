//! The delay law as one who watches knows it: how likely a packet leaves a mix so many ticks after it came.

use super::LATENCY;
use crate::directory::{Params, Strategy};
use std::time::Duration;

/// As in `mix::delay`.
const STEPS: f64 = 24.0;

/// For each number of ticks, how likely a packet that left its last node at a tick leaves this one so many later; from
/// none on. The sum is 1.
pub(super) fn ticks(params: &Params) -> Vec<f64> {
    let tick = millis(params.tick).max(1.0);
    let latency = millis(LATENCY);
    let mut chances = vec![0.0];
    let mut below = 0.0;
    while below < 1.0 - 1e-12 {
        let end = tick * f64::from(u32::try_from(chances.len()).unwrap_or(u32::MAX)) - latency;
        let upto = at_most(params, end);
        chances.push(upto - below);
        below = upto;
    }
    chances
}

/// Below this a law has nothing more to say.
const NOTHING: f64 = 1e-13;

/// A law in a form in which what it makes of many ticks is soon told. Laws are the same few steps again and again: each
/// chance is the one before times `factor`, and at some ticks something is added (where it begins, where it ends).
pub(super) struct Steps {
    factor: f64,
    /// After how many ticks, and how much; in the order of the ticks.
    added: Vec<(usize, f64)>,
}

impl Steps {
    pub(super) fn of(law: &[f64]) -> Self {
        let factor = match law.get(law.len() / 2..) {
            Some([one, next, ..]) if *one > 0.0 => (next / one).min(1.0),
            _ => 0.0,
        };
        let before = std::iter::once(0.0).chain(law.iter().copied());
        let all = law.iter().copied().chain([0.0]).zip(before).map(|(chance, before)| chance - factor * before);
        Self { factor, added: all.enumerate().filter(|(_, added)| added.abs() > NOTHING).collect() }
    }

    /// When what came at these ticks leaves, as far as it leaves in as many.
    pub(super) fn delayed(&self, came: &[f64]) -> Vec<f64> {
        let mut leaves = vec![0.0; came.len()];
        for (lag, added) in &self.added {
            leaves.iter_mut().skip(*lag).zip(came).for_each(|(sum, weight)| *sum += weight * added);
        }
        let (mut before, mut least) = (0.0, 0.0_f64);
        for (sum, weight) in leaves.iter_mut().zip(came) {
            // Where all has left, rounding would leave something of the greatest.
            least = least.max(weight * NOTHING);
            before = self.factor * before + *sum;
            before = if before > least { before } else { 0.0 };
            *sum = before;
        }
        leaves
    }
}

/// How likely a delay is at most so many milliseconds; `mix::delay::draw` is what it is the law of.
fn at_most(params: &Params, ms: f64) -> f64 {
    let (min, mean, max) = (millis(params.min_delay), millis(params.mean_delay), millis(params.max_delay));
    // Delays are whole milliseconds.
    if ms >= max.floor() {
        return 1.0;
    }
    if ms < min {
        return 0.0;
    }
    let (above, width) = (ms - min, max - min);
    match params.strategy {
        Strategy::Constant => above / width,
        Strategy::Exponential if mean <= min => 1.0,
        Strategy::Exponential => {
            let upto = |x: f64| 1.0 - (-x / (mean - min)).exp();
            upto(above) / upto(width)
        }
        Strategy::Poisson => {
            let step = width / STEPS;
            let expected = (mean - min) / step;
            let upto = |steps: f64| poisson_upto(expected, steps);
            upto((above / step + 1e-9).floor()) / upto(STEPS)
        }
    }
}

fn poisson_upto(mean: f64, most: f64) -> f64 {
    let mut term = (-mean).exp();
    let (mut sum, mut k) = (term, 1.0);
    while k <= most {
        term *= mean / k;
        sum += term;
        k += 1.0;
    }
    sum
}

fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mix::delay;
    use crate::time::Time;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    #[test]
    fn the_law_is_that_of_the_delays_that_are_drawn() {
        let hour = Duration::from_secs(3600);
        let tight = Params { max_delay: 4 * hour, ..Params::default() };
        for (strategy, params) in [Strategy::Exponential, Strategy::Constant, Strategy::Poisson]
            .into_iter()
            .flat_map(|strategy| [(strategy, Params::default()), (strategy, tight.clone())])
        {
            let params = Params { strategy, ..params };
            let law = ticks(&params);
            assert!((law.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{strategy:?}");
            let mut rng = StdRng::seed_from_u64(1);
            let mut counts = vec![0.0; law.len()];
            let start = Time::from_secs(1_800_000_000);
            for _ in 0..100_000 {
                let due = start.plus(LATENCY).plus(delay::draw(&params, &mut rng)).next_tick(params.tick);
                counts[usize::try_from(due.since(start).as_secs() / 300).unwrap()] += 1.0;
            }
            // The greatest distance between the two distributions (Kolmogorov and Smirnov): above 1.95/√n once in 1,000.
            let (mut found, mut wanted, mut far) = (0.0, 0.0, 0.0_f64);
            for (count, chance) in counts.iter().zip(&law) {
                (found, wanted) = (found + count / 100_000.0, wanted + chance);
                far = far.max(f64::abs(found - wanted));
            }
            assert!(far < 1.95 / 316.0, "{strategy:?}: {far}");
        }
    }

    #[test]
    fn a_law_in_steps_makes_the_same_of_what_came() {
        let came: Vec<f64> = (0..700_u32).map(|n| if n % 7 < 3 { f64::from(n % 13) } else { 0.0 }).collect();
        for strategy in [Strategy::Exponential, Strategy::Constant, Strategy::Poisson] {
            let law = ticks(&Params { strategy, ..Params::default() });
            let steps = Steps::of(&law);
            assert!(steps.added.len() < 30, "{strategy:?}: {:?}", steps.added);
            for (tick, found) in steps.delayed(&came).into_iter().enumerate() {
                let wanted: f64 = law.iter().take(tick + 1).zip(came[..=tick].iter().rev()).map(|(c, w)| c * w).sum();
                assert!((found - wanted).abs() < 1e-9, "{strategy:?} at {tick}: {found}, not {wanted}");
            }
            // After the last nothing is left.
            let once = steps.delayed(&[vec![1.0], vec![0.0; 700]].concat());
            assert!(once.iter().skip(law.len()).all(|chance| *chance == 0.0), "{strategy:?}");
        }
        assert_eq!(Steps::of(&[0.0, 1.0]).delayed(&[2.0, 0.0, 1.0]), [0.0, 2.0, 0.0]);
        assert_eq!(Steps::of(&[]).delayed(&[1.0]), [0.0]);
    }

    #[test]
    fn no_delay_is_the_next_tick() {
        let none = Duration::ZERO;
        let params = Params { min_delay: none, mean_delay: none, max_delay: none, ..Params::default() };
        assert_eq!(ticks(&params), [0.0, 1.0]);
    }
}
