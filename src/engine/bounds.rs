//! For how long a packet may ask to be held: by the document in force, and by those before it whose packets can still be
//! under way.

use crate::directory::Document;
use crate::id::Epoch;
use std::time::Duration;

/// What packets of some documents may ask for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Bound {
    pub(super) min: Duration,
    pub(super) max: Duration,
    /// The last epoch of which these documents name a key: behind it no packet made by them is accepted anywhere.
    pub(super) last: Epoch,
}

/// All bounds that hold, the newest last.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Bounds(pub(super) Vec<Bound>);

impl Bounds {
    /// Packets may be made by this document from now on.
    pub(super) fn add(&mut self, document: &Document) {
        let params = document.params();
        let (min, max) = (params.min_delay, params.max_delay);
        let named = document.nodes().filter_map(|(_, node)| node.mix_keys.last_key_value());
        let last = named.map(|(epoch, _)| *epoch).max().unwrap_or(document.epoch());
        match self.0.iter_mut().find(|bound| (bound.min, bound.max) == (min, max)) {
            Some(bound) => bound.last = bound.last.max(last),
            None => self.0.push(Bound { min, max, last }),
        }
    }

    /// Forgets those of which no packet can be under way any more: all their keys are of epochs before `least`.
    pub(super) fn forget(&mut self, least: Epoch) {
        self.0.retain(|bound| bound.last >= least);
    }

    /// Whether a hop may be told to hold a packet that long.
    pub(super) fn allow(&self, delay: Duration) -> bool {
        self.0.iter().any(|bound| (bound.min..=bound.max).contains(&delay))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_of_the_bounds_allows_is_allowed_until_the_last_of_its_keys_is_over() {
        let second = Duration::from_secs;
        let bound = |min, max, last| Bound { min: second(min), max: second(max), last: Epoch(last) };
        let mut bounds = Bounds(vec![bound(10, 20, 5), bound(30, 40, 7)]);
        let allowed = |bounds: &Bounds| -> Vec<u64> { (0..50).filter(|s| bounds.allow(second(*s))).collect() };
        let both: Vec<u64> = (10..=20).chain(30..=40).collect();
        bounds.forget(Epoch(5));
        assert_eq!(allowed(&bounds), both);
        bounds.forget(Epoch(6));
        assert_eq!(allowed(&bounds), (30..=40).collect::<Vec<_>>());
    }
}
