//! What waits here in mails, for the one who runs this node: without addresses, sizes or exact times.

use super::{Batch, Engine, Output, Token};
use crate::secret::Secret;
use crate::store::{RowId, StoreError};
use crate::time::Time;
use data_encoding::HEXLOWER;
use std::fmt;
use std::time::Duration;

/// Ages are told, and kept, no finer than this.
const GRAIN: Duration = Duration::from_secs(3600);

/// The name that a waiting mail has on this node and nowhere else. It tells nothing: neither what was numbered before
/// it, nor anything of the mail.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct QueueId([u8; Self::LEN]);

impl QueueId {
    const LEN: usize = 6;

    pub(super) fn of(row: RowId, key: &Secret<32>) -> Self {
        let mut id = [0; Self::LEN];
        let mut hash = blake3::Hasher::new_keyed(key.expose());
        hash.update(b"queue id").update(&row.0.to_be_bytes()).finalize_xof().fill(&mut id);
        Self(id)
    }

    /// Reads what `Display` wrote.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok().map(Self)
    }
}

impl fmt::Display for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

/// A wish of the one who runs this node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum QueueAsk {
    /// Which mails wait?
    List,
    /// QueueAsk the MTA again at once, for this one or for all. No delay of the network is shortened.
    Retry(Option<QueueId>),
    /// Forget this one, or all. Nobody is told.
    Drop(Option<QueueId>),
}

/// What comes of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum QueueAnswer {
    /// The mails that wait.
    List(Vec<Listed>),
    /// For how many it was done.
    Done(u64),
}

/// A mail that waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Listed {
    /// Its name.
    pub id: QueueId,
    /// What it waits for.
    pub state: State,
    /// Since when, in whole hours.
    pub hours: u64,
}

/// What a mail waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Its first send slot.
    Waiting,
    /// The send slots of its other pieces.
    Leaving,
    /// The local MTA, which has not been asked yet, or is being asked.
    Outbox,
    /// The local MTA, which has put it off.
    Deferred,
}

impl State {
    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Leaving => "leaving",
            Self::Outbox => "outbox",
            Self::Deferred => "deferred",
        }
    }
}

/// `at` as it is kept of a mail: the hour that it is in.
pub(super) fn hour_of(at: Time) -> Time {
    let hour = GRAIN.as_secs();
    Time::from_secs(at.as_secs() / hour * hour)
}

/// Whole hours from `since` to `now`.
pub(super) fn hours(since: Time, now: Time) -> u64 {
    now.since(hour_of(since)).as_secs() / GRAIN.as_secs()
}

impl Engine {
    /// Does what is asked of the mails that wait.
    pub(super) fn ask<R>(
        batch: &mut Batch<'_, '_, R>,
        entry: &mut super::Entry,
        exit: &mut super::Exit,
        token: Token,
        ask: QueueAsk,
    ) -> Result<(), StoreError> {
        let setup = batch.setup;
        let key = &setup.dedup_key;
        let is = |wanted: Option<QueueId>, row| wanted.is_none_or(|wanted| wanted == QueueId::of(row, key));
        let answer = match ask {
            QueueAsk::List => {
                let mut list: Vec<_> = entry.list(batch.now, key).chain(exit.list(batch.now, key)).collect();
                // In the order of their names, which is none: that of their rows is the one in which they came.
                list.sort_by_key(|listed| listed.id);
                QueueAnswer::List(list)
            }
            QueueAsk::Retry(wanted) => QueueAnswer::Done(exit.retry(batch.now, |row| is(wanted, row))),
            QueueAsk::Drop(wanted) => {
                let dropped = entry.drop_mails(batch, |row| is(wanted, row))?;
                QueueAnswer::Done(dropped + exit.drop_mails(batch, |row| is(wanted, row))?)
            }
        };
        batch.out.push(Output::Queue { token, answer });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_of_one_node_and_read_back() {
        let key = |byte| Secret::filled(|bytes: &mut [u8; 32]| bytes.fill(byte));
        let ids = [(1, 1), (2, 1), (1, 2)].map(|(row, node)| QueueId::of(RowId(row), &key(node)));
        assert!(ids[0] != ids[1] && ids[0] != ids[2]);
        assert_eq!(QueueId::parse(&ids[0].to_string()), Some(ids[0]));
        for text in ["", "0", "0a0a0a0a0a0A", "0a0a0a0a0a0a0a", "all"] {
            assert_eq!(QueueId::parse(text), None, "{text}");
        }
    }

    #[test]
    fn ages_are_told_in_hours_that_begin_with_the_clocks() {
        let at = |s| Time::from_secs(s);
        assert_eq!(hour_of(at(7199)), at(3600));
        assert_eq!([3600, 7199, 7200, 10_800].map(|now| hours(at(7000), at(now))), [0, 0, 1, 2]);
        assert_eq!(hours(at(7000), at(10)), 0, "a clock that was set back");
    }
}
