//! When a mail will have arrived, and among how many packets it hides: by the law that its own delays and slots will be
//! drawn from, drawn often enough.

use super::delay;
use super::random::{exponential, shuffle, unit};
use super::schedule::span_of;
use crate::directory::{Document, Params};
use crate::time::Time;
use rand_core::CryptoRng;
use std::time::Duration;

/// How often a mail is sent in thought: the half is then known to about 2 % of the spread, the 95 % to about 4 %.
const DRAWS: usize = 2000;

/// What a mail needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pieces {
    /// So many pieces are enough.
    pub needed: usize,
    /// So many are sent.
    pub sent: usize,
    /// Pieces of other mails that wait already.
    pub ahead: usize,
}

/// What is to be expected of a mail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Forecast {
    /// In half of all cases its last piece has left this node by then.
    pub leaves: Duration,
    /// In half of all cases it is out of the network by then, if nothing of it is lost.
    pub half: Duration,
    /// In 95 of 100.
    pub most: Duration,
    /// How long a hop keeps a packet, on the average.
    pub held: Duration,
}

/// Sends a mail in thought, again and again.
pub fn forecast(params: &Params, pieces: Pieces, rng: &mut impl CryptoRng) -> Forecast {
    let (mut leaves, mut arrives) = (Vec::with_capacity(DRAWS), Vec::with_capacity(DRAWS));
    let mut held = Held::default();
    for _ in 0..DRAWS {
        let start = Time::from_millis(0).plus(params.tick.mul_f64(unit(rng)));
        let slots = slots(params, pieces, start, rng);
        let mut there: Vec<Time> = slots.iter().map(|slot| travel(params, *slot, &mut held, rng)).collect();
        there.sort_unstable();
        leaves.push(slots.iter().max().map_or(Duration::ZERO, |last| last.since(start)));
        let enough = there.get(pieces.needed.saturating_sub(1)).or(there.last());
        arrives.push(enough.map_or(Duration::ZERO, |at| at.since(start)));
    }
    Forecast {
        leaves: quantile(&mut leaves, 50),
        half: quantile(&mut arrives, 50),
        most: quantile(&mut arrives, 95),
        held: held.mean(),
    }
}

/// The slots that the pieces of a mail get among all that wait: which of them is whose is up to chance.
fn slots(params: &Params, pieces: Pieces, start: Time, rng: &mut impl CryptoRng) -> Vec<Time> {
    let mut ours: Vec<bool> = (0..pieces.sent + pieces.ahead).map(|i| i < pieces.sent).collect();
    shuffle(&mut ours, rng);
    let every = span_of(1, params);
    let mut at = start;
    let mut slots = Vec::with_capacity(pieces.sent);
    for is_ours in ours {
        at = at.plus(every.mul_f64(exponential(rng)));
        if is_ours {
            slots.push(at);
        }
    }
    slots
}

/// When a packet that got this slot is through.
fn travel(params: &Params, slot: Time, held: &mut Held, rng: &mut impl CryptoRng) -> Time {
    let mut at = slot.next_tick(params.tick);
    for _ in 0..params.hops {
        let gone = at.plus(delay::draw(params, rng)).next_tick(params.tick);
        held.add(gone.since(at));
        at = gone;
    }
    at
}

fn quantile(spans: &mut [Duration], percent: usize) -> Duration {
    spans.sort_unstable();
    spans.get(spans.len() * percent / 100).copied().unwrap_or_default()
}

/// How long hops have held what came.
#[derive(Default)]
struct Held {
    sum: Duration,
    count: u32,
}

impl Held {
    fn add(&mut self, span: Duration) {
        self.sum = self.sum.saturating_add(span);
        self.count = self.count.saturating_add(1);
    }

    fn mean(&self) -> Duration {
        self.sum.checked_div(self.count).unwrap_or_default()
    }
}

/// How many packets a node on a path holds on the average, where each stays for `held` (Little's law): each node of the
/// document sends one a slot, whether or not there is mail, and each of these passes as many others as a path has hops.
#[must_use]
pub fn crowd(document: &Document, held: Duration) -> f64 {
    let count = |n: usize| f64::from(u32::try_from(n).unwrap_or(u32::MAX));
    let params = document.params();
    let senders = count(document.nodes().count());
    let hops = count(document.nodes().filter(|(_, node)| node.mix || node.exit.is_some()).count());
    let a_slot = held.as_secs_f64() / params.send_every.as_secs_f64();
    if hops > 0.0 { senders / hops * f64::from(params.hops) * a_slot } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::super::random::tests::rng;
    use super::*;
    use crate::directory::Strategy;
    use crate::directory::fixture::{descriptor, document};

    const HOUR: Duration = Duration::from_secs(3600);
    const ONE: Pieces = Pieces { needed: 1, sent: 1, ahead: 0 };

    fn about(found: Duration, hours: f64, within: f64) {
        let found = found.as_secs_f64() / 3600.0;
        assert!((found - hours).abs() < within, "{found} h, wanted {hours} h");
    }

    #[test]
    fn equal_delays_make_an_arrival_that_can_be_reckoned_by_hand() {
        let (min_delay, mean_delay, max_delay) = (HOUR, HOUR, HOUR);
        let params = Params { min_delay, mean_delay, max_delay, ..Params::default() };
        let found = forecast(&params, ONE, &mut rng(50));
        // Three hops of an hour, on the grid of ticks, behind a slot: the median of an exponential of 20/3 min is 4.6 min,
        // and the next tick is 2.5 min away on the average.
        about(found.half, 3.0 + 7.1 / 60.0, 0.04);
        about(found.leaves, 4.6 / 60.0, 0.01);
        assert_eq!(found.held, HOUR);
    }

    #[test]
    fn exponential_delays_arrive_as_the_sum_of_three_does() {
        let found = forecast(&Params { max_delay: 72 * HOUR, ..Params::default() }, ONE, &mut rng(51));
        // 3 h of least delay and three exponentials of 2 h: the median of an Erlang of three is 2.674 means, its 95 % are
        // 6.296 means. Ticks add half of one a hop; then there is the slot.
        about(found.half, 3.0 + 2.0 * 2.674 + 0.25, 0.35);
        about(found.most, 3.0 + 2.0 * 6.296 + 0.3, 0.8);
        about(found.held, 3.0 + 2.5 / 60.0, 0.06);
    }

    #[test]
    fn any_one_of_two_pieces_is_sooner_and_all_of_two_are_later_than_one() {
        let params = Params { strategy: Strategy::Constant, ..Params::default() };
        let half = |needed, sent, ahead| forecast(&params, Pieces { needed, sent, ahead }, &mut rng(52)).half;
        assert!(half(1, 2, 0) < half(1, 1, 0) && half(1, 1, 0) < half(2, 2, 0));
    }

    #[test]
    fn what_waits_already_makes_a_mail_wait() {
        let found = forecast(&Params::default(), Pieces { needed: 1, sent: 1, ahead: 90 }, &mut rng(53));
        // Half of 90 slots of 20/3 min, one slot more, drawn uniformly.
        about(found.leaves, 5.0, 0.4);
    }

    #[test]
    fn the_same_seed_says_the_same() {
        let say = |seed| forecast(&Params::default(), ONE, &mut rng(seed));
        assert_eq!(say(54), say(54));
        assert_ne!(say(54), say(55));
    }

    #[test]
    fn a_hop_holds_what_all_nodes_send_for_as_long_as_it_is_held() {
        let document = document((1..=6).map(|n| (n, descriptor(n))));
        // 6 nodes send 12 packets an hour, each of which passes 3 of 6 nodes and stays 3 h with each.
        assert!((crowd(&document, 3 * HOUR) - 108.0).abs() < 1e-9);
        assert_eq!(crowd(&super::super::super::directory::fixture::document([]), HOUR), 0.0);
    }
}
