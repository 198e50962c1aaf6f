//! How much more often than others an exit sends.
//!
//! Its answers leave at its ordinary slots. With those of everybody else an exit that hands out some hundred mails a day could
//! answer no more; entries would send again what has long arrived. So it sends more often in an epoch after one in which
//! it was asked for more. That tells about how many mails it handed out the day before, which whoever watches an exit sees.

use super::schedule::span_of;
use crate::directory::Params;

/// So many times as often as the network's `send-every`: a power of two.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pace(u8);

/// The fastest.
const MOST: u8 = 32;

impl Default for Pace {
    fn default() -> Self {
        Self(1)
    }
}

impl Pace {
    /// The pace of so many times as often; none if there is none.
    #[must_use]
    pub const fn of(times: u8) -> Option<Self> {
        if times.is_power_of_two() && times <= MOST { Some(Self(times)) } else { None }
    }

    /// So many times as often.
    #[must_use]
    pub const fn times(self) -> u8 {
        self.0
    }
}

/// The pace of an epoch after one of pace `before`, in which `asked` answers were asked for: such that half of the slots that
/// carry anything are enough for them. It slows down by no more than a half, lest it go up and down with every day.
#[must_use]
pub fn next(before: Pace, asked: u64, params: &Params) -> Pace {
    let slots = params.epoch.div_duration_f64(span_of(2, params).max(std::time::Duration::from_nanos(1)));
    let mut times = (before.0 / 2).max(1);
    while times < MOST && slots * f64::from(times) < asked as f64 {
        times *= 2;
    }
    Pace(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(before: u8, asked: u64) -> u8 {
        // 216 slots for mail or answers in a day.
        next(Pace::of(before).unwrap(), asked, &Params::default()).times()
    }

    #[test]
    fn an_exit_sends_so_often_that_half_of_its_slots_do_for_its_answers() {
        assert_eq!(
            [0, 108, 109, 216, 217, 1000, 3456, 3457, 1 << 40].map(|asked| times(1, asked)),
            [1, 1, 2, 2, 4, 16, 32, 32, 32]
        );
    }

    #[test]
    fn it_slows_down_by_a_half_a_day() {
        assert_eq!([1, 2, 8, 32].map(|before| times(before, 0)), [1, 1, 4, 16]);
        assert_eq!(times(16, 1000), 16);
    }

    #[test]
    fn a_pace_is_a_power_of_two() {
        assert_eq!(
            [0, 1, 2, 3, 32, 64].map(|times| Pace::of(times).is_some()),
            [false, true, true, false, true, false]
        );
    }
}
