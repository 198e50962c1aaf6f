//! How well hidden letters were: what the observer's guesses are worth, held against who had sent them.

use super::Plan;
use super::num::{NodeIx, count, ix, real};
use super::observer::Observer;
use super::trace::{Letter, Trace};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Times that figures are drawn again for their confidence intervals.
const RESAMPLED: usize = 1000;

/// Threads that look at letters: what comes out does not depend on it.
const THREADS: usize = 2;

/// A mean, and the interval that holds the true one 19 times in 20: the middle 95 % of the means of 1,000 samples drawn
/// from what was found (bootstrap, percentiles). A sample whose values are all one says nothing of its spread.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// The interval's lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

impl Estimate {
    /// Of these values; zero if there are none.
    pub(super) fn of(values: &[f64]) -> Self {
        let mean = |sum: f64| sum / real(values.len().max(1));
        let mut rng = StdRng::seed_from_u64(95);
        let mut means: Vec<f64> = (0..RESAMPLED)
            .map(|_| {
                let drawn = (0..values.len()).map(|_| rng.random_range(0..values.len()));
                mean(drawn.filter_map(|place| values.get(place)).sum())
            })
            .collect();
        means.sort_by(f64::total_cmp);
        let at = |place: usize| means.get(place).copied().unwrap_or(0.0);
        Self { mean: mean(values.iter().sum()), low: at(RESAMPLED / 40), high: at(RESAMPLED - 1 - RESAMPLED / 40) }
    }
}

/// What the observer knows of a letter, or of several of one sender to one recipient.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Known {
    /// Shannon's entropy of what he believes, in bits.
    pub entropy_bits: f64,
    /// How likely he holds his best guess to be right.
    pub believed: f64,
    /// Whether it is; a share where several guesses are as good.
    pub guess: f64,
}

impl Known {
    fn of(posterior: &[f64], sender: NodeIx) -> Self {
        let best = posterior.iter().copied().fold(0.0, f64::max);
        let is_best = |chance: f64| chance > 0.0 && chance >= best * (1.0 - 1e-9);
        let as_good = posterior.iter().filter(|chance| is_best(**chance)).count();
        let ours = posterior.get(usize::from(sender)).copied().unwrap_or(0.0);
        let entropy_bits = posterior.iter().filter(|chance| **chance > 0.0).map(|chance| -chance * chance.log2()).sum();
        Self { entropy_bits, believed: best, guess: if is_best(ours) { 1.0 / real(as_good) } else { 0.0 } }
    }
}

/// A letter that was looked at: who had sent it, and the logarithm of how likely each node is to have.
pub(super) struct Looked {
    sender: NodeIx,
    logs: Vec<f32>,
}

/// Of bad nodes, what they add.
pub(super) struct Against {
    pub(super) known: Vec<Known>,
    /// For each letter, whether a packet of it passed bad nodes alone.
    pub(super) traced: Vec<f64>,
}

/// The letters that are looked at: of each sender runs of up to `run`, and those of all senders in turn.
pub(super) fn choose(trace: &Trace, most: usize, run: usize) -> Vec<&Letter> {
    let mut of_sender: Vec<Vec<&Letter>> = vec![Vec::new(); trace.nodes];
    for letter in trace.letters.iter().filter(|letter| letter.delivered.is_some()) {
        of_sender.get_mut(usize::from(letter.sender)).into_iter().for_each(|letters| letters.push(letter));
    }
    let mut chosen: Vec<&Letter> = Vec::new();
    for turn in 0.. {
        let before = chosen.len();
        for letters in &of_sender {
            let next = letters.chunks(run).nth(turn).unwrap_or_default();
            chosen.extend(next.iter().take(most.saturating_sub(chosen.len())));
        }
        if chosen.len() == before {
            break;
        }
    }
    chosen
}

/// Looks at each of `letters` with no help.
pub(super) fn look(observer: &Observer<'_>, letters: &[&Letter], progress: &(dyn Fn(&str, f64) + Sync)) -> Vec<Looked> {
    let look = |_: usize, letter: &Letter| {
        let posterior = observer.posterior(letter, &[]);
        #[expect(clippy::cast_possible_truncation, reason = "seven digits are more than the model has")]
        let logs = posterior.iter().map(|chance| chance.ln() as f32).collect();
        Looked { sender: letter.sender, logs }
    };
    spread_out(letters, &look, &|done| progress("looking at letters", done))
}

/// What is known of the letters, each by itself.
pub(super) fn alone(looked: &[Looked]) -> Vec<Known> {
    looked.iter().map(|one| together(std::slice::from_ref(one))).collect()
}

/// What is known after `k` letters of one sender to one recipient, for each run of so many in `looked`.
pub(super) fn after(looked: &[Looked], k: usize) -> Vec<Known> {
    let of_one = looked.chunk_by(|one, other| one.sender == other.sender);
    of_one.flat_map(|run| run.chunks_exact(k)).map(together).collect()
}

/// Letters of one sender, put together: the likelihoods of all of them multiplied.
fn together(letters: &[Looked]) -> Known {
    let Some(first) = letters.first() else { return Known { entropy_bits: 0.0, believed: 0.0, guess: 0.0 } };
    let mut logs: Vec<f64> = first.logs.iter().copied().map(f64::from).collect();
    for letter in letters.iter().skip(1) {
        logs.iter_mut().zip(&letter.logs).for_each(|(sum, log)| *sum += f64::from(*log));
    }
    let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = logs.iter().map(|log| if most.is_finite() { (log - most).exp() } else { 0.0 }).collect();
    let sum: f64 = weights.iter().sum();
    let posterior: Vec<f64> = weights.iter().map(|weight| weight / sum.max(f64::MIN_POSITIVE)).collect();
    Known::of(&posterior, first.sender)
}

/// Looks at each of `letters` with the help of `bad` nodes, drawn anew for each; its sender is never among them.
pub(super) fn against(
    plan: &Plan,
    trace: &Trace,
    observer: &Observer<'_>,
    letters: &[&Letter],
    bad: usize,
    progress: &(dyn Fn(&str, f64) + Sync),
) -> Against {
    let look = |place: usize, letter: &Letter| {
        let seed = plan.seed ^ (u64::from(count(bad)) << 32) ^ u64::from(count(place)).rotate_left(20);
        let is_bad = draw_bad(trace.nodes, bad, letter.sender, &mut StdRng::seed_from_u64(seed));
        let posterior = observer.posterior(letter, &is_bad);
        (Known::of(&posterior, letter.sender), if is_traced(trace, letter, &is_bad) { 1.0 } else { 0.0 })
    };
    let what = format!("looking with {bad} bad nodes");
    let (known, traced) = spread_out(letters, &look, &|done| progress(&what, done)).into_iter().unzip();
    Against { known, traced }
}

fn draw_bad(nodes: usize, bad: usize, sender: NodeIx, rng: &mut StdRng) -> Vec<bool> {
    let mut is_bad = vec![false; nodes];
    let mut left = bad.min(nodes.saturating_sub(1));
    while left > 0 {
        let drawn = rng.random_range(0..nodes);
        if let Some(place) = is_bad.get_mut(drawn).filter(|is_bad| !**is_bad && drawn != usize::from(sender)) {
            *place = true;
            left -= 1;
        }
    }
    is_bad
}

/// Whether one of the letter's packets met bad nodes alone.
fn is_traced(trace: &Trace, letter: &Letter, is_bad: &[bool]) -> bool {
    letter.last_legs.iter().any(|last| {
        let ways = std::iter::successors(trace.legs.get(ix(*last)), |leg| trace.legs.get(ix(leg.came_by)));
        ways.into_iter().all(|leg| is_bad.get(usize::from(leg.to)) == Some(&true))
    })
}

/// Does the work on `THREADS` threads; the results are in the order of the letters.
fn spread_out<T: Send>(
    letters: &[&Letter],
    work: &(dyn Fn(usize, &Letter) -> T + Sync),
    progress: &(dyn Fn(f64) + Sync),
) -> Vec<T> {
    let done = AtomicUsize::new(0);
    let size = letters.len().div_ceil(THREADS).max(1);
    let one = |from: usize, letters: &[&Letter]| -> Vec<T> {
        let letters = letters.iter().enumerate();
        letters
            .map(|(place, letter)| {
                let result = work(from + place, letter);
                progress(real(done.fetch_add(1, Ordering::Relaxed)) / real(size * THREADS));
                result
            })
            .collect()
    };
    std::thread::scope(|scope| {
        let parts = letters.chunks(size).enumerate();
        let started: Vec<_> = parts.map(|(n, part)| scope.spawn(move || one(n * size, part))).collect();
        let joined = |thread: std::thread::ScopedJoinHandle<'_, Vec<T>>| {
            thread.join().unwrap_or_else(|panic| resume_unwind(panic))
        };
        started.into_iter().flat_map(joined).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_even_belief_has_the_entropy_of_its_size_and_is_right_by_chance() {
        let known = Known::of(&[0.25; 4], 2);
        assert_eq!(known, Known { entropy_bits: 2.0, believed: 0.25, guess: 0.25 });
        assert_eq!(Known::of(&[0.5, 0.0, 0.5, 0.0], 1), Known { entropy_bits: 1.0, believed: 0.5, guess: 0.0 });
        assert_eq!(Known::of(&[0.0, 1.0], 1), Known { entropy_bits: 0.0, believed: 1.0, guess: 1.0 });
    }

    #[test]
    fn letters_of_one_sender_are_multiplied() {
        let letter = |chances: [f32; 3]| Looked { sender: 0, logs: chances.map(f32::ln).to_vec() };
        let known = after(&[letter([0.5, 0.3, 0.2]), letter([0.5, 0.2, 0.3])], 2);
        assert_eq!(known.len(), 1);
        let want = 0.25 / (0.25 + 0.06 + 0.06);
        assert!((known[0].believed - want).abs() < 1e-6 && known[0].guess == 1.0);
        let none = after(&[letter([0.0, 1.0, 0.0]), letter([1.0, 0.0, 0.0])], 2);
        assert_eq!((none[0].believed, none[0].guess), (0.0, 0.0), "nobody is left: he was wrong once");
    }

    #[test]
    fn runs_are_of_one_sender_and_whole() {
        let looked: Vec<_> = [0, 0, 0, 1, 1, 0].map(|sender| Looked { sender, logs: vec![0.0, 0.0] }).into();
        assert_eq!([1, 2, 3, 4].map(|k| after(&looked, k).len()), [6, 2, 1, 0]);
    }

    #[test]
    fn the_interval_holds_the_mean_19_times_in_20() {
        let mut rng = StdRng::seed_from_u64(4);
        let held = (0..200).filter(|_| {
            let values: Vec<f64> = (0..60).map(|_| if rng.random::<f64>() < 0.3 { 1.0 } else { 0.0 }).collect();
            let found = Estimate::of(&values);
            (found.low..=found.high).contains(&0.3)
        });
        let held = held.count();
        // 0.95 of 200, with a deviation of 3.1: four of them below, and never all.
        assert!((177..200).contains(&held), "{held}");
        assert_eq!(Estimate::of(&[]), Estimate::default());
    }
}
