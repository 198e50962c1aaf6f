//! How late it is at least, whatever the clock says.
//!
//! A clock can be set, and what is destroyed on its word can't be brought back. So an epoch counts as over only when that
//! is proved, too: by a verified document of a later one, which enough authorities had to sign; or by the time for which
//! this node has been up since it had its last document, which nobody makes longer by setting a clock.

use crate::directory::Document;
use crate::id::Epoch;
use crate::time::Time;
use std::time::Duration;

/// What proves how late it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Proof {
    /// The newest document that was verified, by its epoch.
    pub(super) document: Epoch,
    /// For how long this node has been up since then.
    pub(super) up: Duration,
}

impl Proof {
    /// A document was verified.
    pub(super) fn document(&mut self, document: &Document) {
        let (epoch, length) = (document.epoch(), document.params().epoch);
        if epoch <= self.document {
            return;
        }
        // Where the time up has proved more than the document does, that stays proved.
        self.up = self.proved(length).since(Time::epoch_start(epoch, length));
        self.document = epoch;
    }

    /// The first epoch, for epochs of this length, that is not proved to be over. By time alone one is over half an epoch
    /// after its end, so that a document taken early proves nothing too soon.
    pub(super) fn least(&self, length: Duration) -> Epoch {
        self.document.max(self.proved(length).minus(length / 2).epoch(length))
    }

    fn proved(&self, length: Duration) -> Time {
        Time::epoch_start(self.document, length).plus(self.up)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn an_epoch_is_over_one_and_a_half_epochs_up_after_its_own_document() {
        for (up, least) in [(0, 100), (24, 100), (35, 100), (36, 101), (59, 101), (60, 102)] {
            let proof = Proof { document: Epoch(100), up: Duration::from_secs(up * 3600) };
            assert_eq!(proof.least(DAY), Epoch(least), "{up} h");
        }
    }

    #[test]
    fn nothing_is_proved_without_a_document() {
        assert_eq!(Proof::default().least(DAY), Epoch(0));
        assert_eq!(Proof { document: Epoch(0), up: DAY }.least(DAY), Epoch(0));
    }
}
