//! When an exit answers, how long its answer is waited for, and whether a mail is sent once more.

use super::delay;
use super::schedule::span_of;
use crate::directory::Params;
use crate::time::Time;
use rand_core::{Infallible, TryCryptoRng, TryRng};
use std::time::Duration;

/// Names the numbers from which the exit's delay is drawn (BLAKE3, `derive_key`).
const ANSWER_CONTEXT: &str = "fog/1 answer";

/// After so many tries in a row on which nothing was heard of the mail, another exit is tried; and after so many if it is one
/// that is known to be there.
const PATIENCE: u8 = 2;
const PATIENCE_WITH_THE_LIVING: u8 = 3;

/// No try arrives later than this many epochs after the mail was taken: exits know a message again for six.
const LONGEST: u32 = 5;

/// How long an exit waits before it answers by the SURB with this key: drawn from the network's law, by numbers that
/// come from the key. So its maker knows when the answer will set out, and takes the hops' keys for that time; to
/// everybody else it is as good as chance.
#[must_use]
pub fn answer_delay(params: &Params, key: &[u8; 32]) -> Duration {
    delay::draw(params, &mut Stream(blake3::Hasher::new_derive_key(ANSWER_CONTEXT).update(key).finalize_xof()))
}

/// The bytes that a key gives, as a source of randomness.
struct Stream(blake3::OutputReader);

impl TryRng for Stream {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, to: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(to);
        Ok(())
    }
}

impl TryCryptoRng for Stream {}

/// The mean wait for a slot that carries something.
#[must_use]
pub fn slot_wait(params: &Params) -> Duration {
    span_of(1, params)
}

/// When a try is over on which nothing was heard: `arrives` is when the exit has the last of its fragments, as the sender
/// drew it, `back` what the answer takes from there to here.
///
/// What is added is for the answer's slot, and for what honest nodes and links are late.
#[must_use]
pub fn deadline(arrives: Time, back: Duration, params: &Params) -> Time {
    let late = params.epoch / 12 + slot_wait(params).saturating_mul(12);
    arrives.plus(back).plus(late)
}

/// By when a mail has arrived that was taken at `taken`, or it is not sent any more.
#[must_use]
pub fn last_arrival(taken: Time, give_up: Duration, params: &Params) -> Time {
    taken.plus(give_up.min(params.epoch.saturating_mul(LONGEST)))
}

/// Whether the next try goes to another exit, after so many on which nothing was heard. Where loops come back through the exit
/// (`is_there`) it is rather the answers that get lost, and another exit would hand the mail out a second time.
#[must_use]
pub const fn changes_exit(silent: u8, is_there: bool) -> bool {
    silent >= if is_there { PATIENCE_WITH_THE_LIVING } else { PATIENCE }
}

/// How long to leave a mail alone of which the exit has said, for the `times`th time, that its MTA puts it off: a 24th
/// of an epoch, doubling up to a fourth.
#[must_use]
pub fn held_pause(times: u8, params: &Params) -> Duration {
    let doubled = (params.epoch / 24).saturating_mul(2_u32.saturating_pow(u32::from(times.saturating_sub(1))));
    doubled.min(params.epoch / 4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::Strategy;

    const HOUR: Duration = Duration::from_secs(3600);

    fn key(n: u32) -> [u8; 32] {
        *blake3::hash(&n.to_be_bytes()).as_bytes()
    }

    #[test]
    fn both_ends_of_a_surb_know_the_answers_delay_and_it_follows_the_networks_law() {
        for strategy in [Strategy::Exponential, Strategy::Constant, Strategy::Poisson] {
            let params = Params { strategy, ..Params::default() };
            let mut drawn: Vec<f64> = Vec::new();
            for n in 0..20_000 {
                let delay = answer_delay(&params, &key(n));
                assert_eq!(delay, answer_delay(&params, &key(n)), "the other end");
                assert!((params.min_delay..=params.max_delay).contains(&delay));
                drawn.push(delay.as_secs_f64() / 3600.0);
            }
            let mean = drawn.iter().sum::<f64>() / 20_000.0;
            let deviation = (drawn.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 20_000.0).sqrt();
            let want = if strategy == Strategy::Constant { 12.5 } else { 3.0 };
            // Five standard errors.
            assert!((mean - want).abs() < 5.0 * deviation / 141.4, "{strategy:?}: {mean}");
        }
    }

    /// A second implementation draws the same: the bytes of docs/spec-message.md.
    #[test]
    fn the_answers_delay_is_that_of_the_specification() {
        let params = Params::default();
        let millis: Vec<_> = (0..3).map(|n| answer_delay(&params, &[n; 32]).as_millis()).collect();
        assert_eq!(millis, [10_159_208, 10_903_024, 15_134_155]);
    }

    #[test]
    fn a_try_is_over_when_the_answer_should_have_been_here_and_some_more() {
        let params = Params::default();
        let arrives = Time::from_secs(1_800_000_000);
        let over = deadline(arrives, HOUR * 15, &params);
        assert_eq!(over.since(arrives), HOUR * 15 + HOUR * 2 + Duration::from_secs(80 * 60));
    }

    #[test]
    fn nothing_arrives_after_the_mail_was_given_up_or_exits_have_forgotten_it() {
        let (params, taken) = (Params::default(), Time::from_secs(1_800_000_000));
        for (hours, want) in [(1, 1), (24, 24), (5 * 24, 5 * 24), (30 * 24, 5 * 24)] {
            assert_eq!(last_arrival(taken, HOUR * hours, &params).since(taken), HOUR * want, "{hours} h");
        }
    }

    #[test]
    fn the_third_try_goes_to_another_exit_and_the_fourth_if_loops_come_back_through_it() {
        assert_eq!([0, 1, 2, 3].map(|silent| changes_exit(silent, false)), [false, false, true, true]);
        assert_eq!([0, 1, 2, 3].map(|silent| changes_exit(silent, true)), [false, false, false, true]);
    }

    #[test]
    fn what_is_held_is_asked_for_less_and_less_often() {
        let params = Params::default();
        let pauses = [1, 2, 3, 4, 200].map(|times| held_pause(times, &params).as_secs() / 3600);
        assert_eq!(pauses, [1, 2, 4, 6, 6]);
    }
}
