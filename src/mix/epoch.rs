//! Under which epoch's key a packet goes, and how long that key is accepted.
//!
//! A key that were accepted for long after its epoch would be a channel: a bad node holds a packet past the boundary,
//! and a later bad node sees an old key come hours late. So the window is short, and honest senders spread over it.

use super::random::below;
use crate::directory::Params;
use crate::id::Epoch;
use crate::time::Time;
use rand_core::CryptoRng;
use std::ops::RangeInclusive;
use std::time::Duration;

/// The epoch whose key to take for a hop where the packet arrives at `arrival`: the one of `arrival + u`, with `u`
/// uniform within a 24th of an epoch to both sides.
pub fn key_epoch(arrival: Time, params: &Params, rng: &mut impl CryptoRng) -> Epoch {
    let spread = params.epoch / 24;
    let width = u64::try_from(spread.as_millis()).unwrap_or(u64::MAX).saturating_mul(2);
    let drawn = Duration::from_millis(below(width.saturating_add(1), rng));
    arrival.plus(drawn).minus(spread).epoch(params.epoch)
}

/// The epochs whose keys a node accepts at `now`: the running one, and its neighbour within a 12th of an epoch.
#[must_use]
pub fn accepted(now: Time, params: &Params) -> RangeInclusive<Epoch> {
    let window = params.epoch / 12;
    now.minus(window).epoch(params.epoch)..=now.plus(window).epoch(params.epoch)
}

/// When a packet comes too late to a hop where it was due at `due`: no node accepts the key then that it may be for. At
/// first that is the earlier of two keys, where `due` is so near a boundary that its sender may have taken either.
#[must_use]
pub fn too_late(due: Time, now: Time, params: &Params) -> Time {
    let (spread, window) = (params.epoch / 24, params.epoch / 12);
    let end = |epoch: Epoch| Time::epoch_start(epoch.plus(1), params.epoch).plus(window);
    let earlier = end(due.minus(spread).epoch(params.epoch));
    if now < earlier { earlier } else { end(due.plus(spread).epoch(params.epoch)) }
}

#[cfg(test)]
mod tests {
    use super::super::random::tests::rng;
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);
    const HOUR: Duration = Duration::from_secs(3600);
    const SECOND: Duration = Duration::from_secs(1);

    fn start() -> Time {
        Time::epoch_start(Epoch(20_000), DAY)
    }

    #[test]
    fn a_key_is_accepted_two_hours_around_its_epoch_and_no_longer() {
        let (start, params) = (start(), Params::default());
        let (before, at) = (Epoch(19_999), Epoch(20_000));
        assert_eq!(accepted(start.plus(12 * HOUR), &params), at..=at);
        assert_eq!(accepted(start.plus(2 * HOUR).minus(SECOND), &params), before..=at);
        assert_eq!(accepted(start.plus(2 * HOUR), &params), at..=at);
        assert_eq!(accepted(start.minus(2 * HOUR), &params), before..=at);
        assert_eq!(accepted(start.minus(2 * HOUR).minus(SECOND), &params), before..=before);
    }

    #[test]
    fn attack_4b_near_a_boundary_senders_take_either_key_as_honest_lateness_would() {
        let (params, mut rng) = (Params::default(), rng(12));
        let mut share_of_new = |at: Time| {
            let new = (0..10_000).filter(|_| key_epoch(at, &params, &mut rng) == Epoch(20_000)).count();
            f64::from(u32::try_from(new).unwrap()) / 10_000.0
        };
        for (minutes, want) in [(-61, 0.0), (-30, 0.25), (0, 0.5), (30, 0.75), (61, 1.0)] {
            let away = SECOND * 60 * i32::unsigned_abs(minutes);
            let at = if minutes < 0 { start().minus(away) } else { start().plus(away) };
            let found = share_of_new(at);
            assert!((found - want).abs() < 0.025, "{minutes} min: {found}");
        }
    }

    #[test]
    fn a_packet_is_too_late_when_no_key_that_it_may_be_for_is_accepted() {
        let (start, params) = (start(), Params::default());
        let next = start.plus(DAY);
        for (due, now, want) in [
            (start.plus(12 * HOUR), start, next.plus(2 * HOUR)),
            (start.plus(12 * HOUR), next.plus(DAY), next.plus(2 * HOUR)),
            (start.plus(HOUR / 2), start, start.plus(2 * HOUR)),
            (start.plus(HOUR / 2), start.plus(2 * HOUR), next.plus(2 * HOUR)),
            (start.minus(HOUR / 2), start, start.plus(2 * HOUR)),
            (start.minus(HOUR / 2), start.plus(3 * HOUR), next.plus(2 * HOUR)),
        ] {
            assert_eq!(too_late(due, now, &params), want, "{due:?} at {now:?}");
            let mut rng = rng(14);
            for _ in 0..100 {
                let key = key_epoch(due, &params, &mut rng);
                let last = too_late(due, want, &params);
                assert!(!accepted(last, &params).contains(&key), "a key that is accepted still");
            }
        }
    }

    #[test]
    fn every_drawn_key_is_still_accepted_an_hour_late() {
        let (params, mut rng) = (Params::default(), rng(13));
        for minutes in (0..48 * 60).step_by(7) {
            let arrival = start().plus(SECOND * 60 * minutes);
            let key = key_epoch(arrival, &params, &mut rng);
            assert!(accepted(arrival, &params).contains(&key));
            assert!(accepted(arrival.plus(HOUR).minus(SECOND), &params).contains(&key));
        }
    }
}
