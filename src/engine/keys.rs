//! The mix keys that are accepted now.

use crate::directory::{Document, Params};
use crate::id::{Epoch, NodeId};
use crate::mix::epoch;
use crate::sphinx::geometry::HEADER_LEN;
use crate::sphinx::xwing::MixKey;
use crate::sphinx::{self, Opened};
use crate::store::{Store, StoreError};
use crate::time::Time;
use rand_core::CryptoRng;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// Keys are published this many epochs ahead, so that a sleeping authority does not stop the network.
pub(super) const AHEAD: u64 = 7;

/// Expanded once, because expanding costs as much as a decapsulation.
#[derive(Default)]
pub(super) struct Keys {
    /// Which were accepted when that was looked at last, and which epoch was not proved to be over then.
    turned: Option<(RangeInclusive<Epoch>, Epoch)>,
    live: BTreeMap<Epoch, MixKey>,
}

/// Draws other mix keys for the epochs ahead of which `store` has one and `document` names none for `me`: nobody can have
/// made a packet for them. Gives which these are.
///
/// # Errors
/// `StoreError` if they can't be kept; the store is stopped then.
pub fn rotate<R: CryptoRng>(
    store: &mut Store,
    document: &Document,
    me: &NodeId,
    now: Time,
    rng: &mut R,
) -> Result<Vec<Epoch>, StoreError> {
    let named = document.node(me).and_then(|node| node.mix_keys.last_key_value()).map(|(epoch, _)| *epoch);
    let used = *epoch::accepted(now, document.params()).end();
    let last = named.map_or(used, |named| named.max(used));
    let ahead: Vec<_> = store.key_epochs().filter(|epoch| *epoch > last).collect();
    store.draw_mix_keys_anew(&ahead, rng)?;
    Ok(ahead)
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keys({:?})", self.turned)
    }
}

impl Keys {
    /// Makes the keys due to be made, and keeps expanded those whose acceptance window `now` falls in; gives which these
    /// are. Of epochs before `least` none is made: their keys were destroyed, or never were.
    pub(super) fn turn<R: CryptoRng>(
        &mut self,
        store: &mut Store,
        now: Time,
        least: Epoch,
        params: &Params,
        rng: &mut R,
    ) -> Result<RangeInclusive<Epoch>, StoreError> {
        let window = epoch::accepted(now, params);
        if self.turned.as_ref().is_some_and(|turned| *turned == (window.clone(), least)) {
            return Ok(window);
        }
        let (first, last) = (*window.start(), *window.end());
        store.ensure_keys(first.max(least), last.max(least).plus(AHEAD), rng)?;
        self.live.retain(|epoch, _| window.contains(epoch));
        for epoch in (first.0..=last.0).map(Epoch) {
            if let Some(seed) = store.mix_seed(epoch) {
                self.live.entry(epoch).or_insert_with(|| MixKey::from_seed(seed));
            }
        }
        self.turned = Some((window.clone(), least));
        Ok(window)
    }

    /// Tries the live keys until the header's MAC holds.
    pub(super) fn open(&self, header: &[u8; HEADER_LEN], me: &NodeId) -> Option<(Epoch, Opened)> {
        self.live.iter().find_map(|(epoch, key)| Some((*epoch, sphinx::open(header, key, me).ok()?)))
    }
}
