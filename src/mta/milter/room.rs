//! A bound for what all sessions together hold of mails that are still coming in.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// So many bytes, for all.
#[derive(Debug)]
pub(super) struct Room {
    free: AtomicUsize,
}

/// What one mail has of it; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    room: Arc<Room>,
    taken: usize,
}

impl Room {
    pub(super) fn new(bytes: usize) -> Arc<Self> {
        Arc::new(Self { free: AtomicUsize::new(bytes) })
    }

    pub(super) fn share(self: &Arc<Self>) -> Share {
        Share { room: Arc::clone(self), taken: 0 }
    }
}

impl Share {
    /// Takes so many bytes more, if there are as many.
    pub(super) fn grow(&mut self, bytes: usize) -> bool {
        let less = |free: usize| free.checked_sub(bytes);
        let grown = self.room.free.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok();
        if grown {
            self.taken = self.taken.saturating_add(bytes);
        }
        grown
    }

    /// Gives all of it back.
    pub(super) fn give_back(&mut self) {
        self.room.free.fetch_add(std::mem::take(&mut self.taken), Ordering::Relaxed);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_has_another_cannot_have_until_it_is_given_back() {
        let room = Room::new(10);
        let (mut a, mut b) = (room.share(), room.share());
        assert!(a.grow(6) && !b.grow(5) && b.grow(4) && !a.grow(1));
        drop(a);
        assert!(b.grow(6) && !b.grow(1));
        b.give_back();
        assert!(b.grow(10));
    }
}
