//! Numbers of nodes and ticks as indexes and as reals. All of them are small: `Plan::check` sees to it.

use crate::time::Time;
use std::time::Duration;

/// A node, by its place in the network.
pub(super) type NodeIx = u16;

/// No leg: what a node sent of its own.
pub(super) const NONE: u32 = u32::MAX;

/// As an index.
pub(super) fn ix(n: u32) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

/// As a count of 32 bits; the largest there is where that overflows.
pub(super) fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// As a node's place; the largest there is where that overflows.
pub(super) fn node(n: usize) -> NodeIx {
    NodeIx::try_from(n).unwrap_or(NodeIx::MAX)
}

/// As a real number, exact below 2^53.
pub(super) fn real(n: usize) -> f64 {
    n as f64
}

/// Whole ticks from `start` to `at`, rounded down.
pub(super) fn tick_of(at: Time, start: Time, tick: Duration) -> u32 {
    let ticks = at.since(start).as_millis().checked_div(tick.as_millis()).unwrap_or(0);
    u32::try_from(ticks).unwrap_or(u32::MAX)
}

/// When the `n`th tick after `start` is.
pub(super) fn time_of(n: u32, start: Time, tick: Duration) -> Time {
    start.plus(tick.saturating_mul(n))
}
