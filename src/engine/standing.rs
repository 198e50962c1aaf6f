//! Through which nodes this node's loops come back of late: by that it chooses among its own first hops, and judges the silence
//! of an exit.

use super::tally::Tally;
use crate::id::{Epoch, NodeId};
use crate::mix::health::STAYS_AWAY;
use std::collections::BTreeMap;

/// Of each node what came of the last loops through it.
#[derive(Debug, Default)]
pub(super) struct Standing(BTreeMap<NodeId, Last>);

#[derive(Debug)]
struct Last {
    /// How many have been lost in a row.
    lost: u8,
    /// The epoch in which the last of them was due that came back.
    back: Option<Epoch>,
    /// The same of all.
    due: Epoch,
}

impl Standing {
    /// What is still known after a restart, as the tallies are by epochs.
    pub(super) fn from_tallies<'a>(tallies: impl Iterator<Item = &'a Tally>) -> Self {
        let mut standing = Self::default();
        for tally in tallies {
            let (lost, back): (Vec<_>, Vec<_>) = tally.ways.iter().partition(|(_, (back, _))| *back == 0);
            for (hops, (_, lost)) in lost {
                (0..*lost).for_each(|_| standing.note(hops, false, tally.epoch));
            }
            back.into_iter().for_each(|(hops, _)| standing.note(hops, true, tally.epoch));
        }
        standing
    }

    /// Notes what came of a loop.
    pub(super) fn note(&mut self, path: &[NodeId], is_back: bool, due: Epoch) {
        for id in path {
            let last = self.0.entry(*id).or_insert(Last { lost: 0, back: None, due });
            last.lost = if is_back { 0 } else { last.lost.saturating_add(1) };
            last.back = if is_back { last.back.max(Some(due)) } else { last.back };
            last.due = due.max(last.due);
        }
    }

    /// Forgets nodes of which nothing was heard since `oldest`.
    pub(super) fn forget(&mut self, oldest: Epoch) {
        self.0.retain(|_, last| last.due >= oldest);
    }

    /// Whether loops come back through this node: one was due in this epoch or the one before, and not many since are lost. Many
    /// epochs pass before enough are lost through one of many nodes.
    pub(super) fn is_there(&self, id: &NodeId, now: Epoch) -> bool {
        let is_fresh = |back: Option<Epoch>| back.is_some_and(|back| back >= now.minus(1));
        self.0.get(id).is_some_and(|last| last.lost < STAYS_AWAY && is_fresh(last.back))
    }

    /// Those of these first hops that don't stay away while another is there. Where one is dead, more than half of the loops by
    /// the other are lost too, as many end by way of both: it has to lose far more than the other.
    pub(super) fn there(&self, firsts: &[NodeId]) -> Vec<NodeId> {
        let lost = |id: &NodeId| self.0.get(id).map_or(0, |last| last.lost);
        let least = firsts.iter().map(lost).min().unwrap_or(0);
        let is_there = |id: &NodeId| lost(id) < STAYS_AWAY || lost(id) / 2 <= least;
        firsts.iter().filter(|id| is_there(id)).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};
    use std::time::Duration;

    const ONE: NodeId = NodeId([1; 32]);
    const TWO: NodeId = NodeId([2; 32]);

    /// Whether each is there, and which of them are as first hops.
    fn said(standing: &Standing) -> ([bool; 2], Vec<NodeId>) {
        ([ONE, TWO].map(|id| standing.is_there(&id, Epoch(8))), standing.there(&[ONE, TWO]))
    }

    #[test]
    fn who_loses_some_in_a_row_is_away_until_one_comes_back() {
        let mut standing = Standing::default();
        assert_eq!(said(&standing), ([false, false], vec![ONE, TWO]), "nothing is known");
        (0..STAYS_AWAY).for_each(|_| standing.note(&[ONE, TWO], false, Epoch(7)));
        assert_eq!(said(&standing), ([false, false], vec![ONE, TWO]), "none is better");
        standing.note(&[TWO], true, Epoch(8));
        assert_eq!(said(&standing), ([false, true], vec![TWO]));
        assert!(standing.is_there(&TWO, Epoch(9)) && !standing.is_there(&TWO, Epoch(10)), "that was long ago");
        standing.forget(Epoch(8));
        assert_eq!(said(&standing), ([false, true], vec![ONE, TWO]));
    }

    #[test]
    fn the_first_hop_that_is_there_may_lose_what_ends_by_the_other() {
        let mut standing = Standing::default();
        for (ones, twos) in [(STAYS_AWAY, STAYS_AWAY - 1), (2 * STAYS_AWAY, STAYS_AWAY)] {
            (0..ones).for_each(|_| standing.note(&[ONE], false, Epoch(7)));
            (0..twos).for_each(|_| standing.note(&[TWO], false, Epoch(7)));
        }
        // 24 and 15.
        assert_eq!(standing.there(&[ONE, TWO]), [ONE, TWO]);
        (0..STAYS_AWAY).for_each(|_| standing.note(&[ONE], false, Epoch(7)));
        assert_eq!(standing.there(&[ONE, TWO]), [TWO]);
        (0..u8::MAX).for_each(|_| standing.note(&[ONE], false, Epoch(7)));
        assert_eq!(standing.there(&[ONE, TWO]), [TWO]);
    }

    /// The other first hop, and one in five of the mixes, belong to somebody who would have all mail go by that hop. They lose
    /// what they know for a loop by this one: all that it hands them, and all that ends by way of both. A loop by the other hop
    /// that comes by this one last they don't know; it comes back.
    #[test]
    fn attack_19_who_drops_a_senders_loops_hardly_moves_its_mail_from_one_first_hop_to_the_other() {
        let (mut standing, mut rng, mut moved) = (Standing::default(), StdRng::seed_from_u64(19), 0);
        for _ in 0..20_000 {
            let (ends_by_the_other, is_met) = (rng.random_bool(0.5), rng.random_bool(0.2));
            let is_back = !ends_by_the_other && !is_met && !rng.random_bool(0.2);
            standing.note(if ends_by_the_other { &[ONE, TWO] } else { &[ONE] }, is_back, Epoch(7));
            standing.note(if rng.random_bool(0.5) { &[TWO, ONE] } else { &[TWO] }, !rng.random_bool(0.2), Epoch(7));
            moved += u32::from(standing.there(&[ONE, TWO]) != [ONE, TWO]);
        }
        assert!(moved < 400, "in {moved} of 20,000");
    }

    #[test]
    fn after_a_restart_the_tallies_say_it_over_epochs() {
        let mut tallies = [Tally::new(Epoch(7)), Tally::new(Epoch(8))];
        tallies.iter_mut().for_each(|tally| tally.add(&[TWO], Some(Duration::ZERO)));
        for tally in &mut tallies {
            (0..STAYS_AWAY / 2).for_each(|_| tally.add(&[ONE, TWO], None));
        }
        assert_eq!(said(&Standing::from_tallies(tallies.iter())), ([false, true], vec![TWO]));
        // Of one epoch it isn't known which of them was the last.
        tallies[1].add(&[ONE], Some(Duration::ZERO));
        assert_eq!(said(&Standing::from_tallies(tallies.iter())), ([true, true], vec![ONE, TWO]));
    }
}
