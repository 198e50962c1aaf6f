//! What waits here in mails, for the one who runs this node: without addresses, sizes or exact times.

use super::{Batch, Engine, Output, Token};
use crate::id::{MessageId, QueueId};
use crate::secret::Secret;
use crate::store::{RowId, StoreError};
use crate::time::Time;
use std::time::Duration;

/// Ages are told, and kept, no finer than this.
const GRAIN: Duration = Duration::from_secs(3600);

/// The name of what is in `row`. It tells nothing: neither what was numbered before it, nor anything of the mail.
pub(super) fn name_of_row(row: RowId, key: &Secret<32>) -> QueueId {
    name(&row.0.to_be_bytes(), key)
}

/// The name of a mail that this node answers for, whatever row it is in: its sender is told it. Without our key it
/// leads nowhere, so no exit that knows the message knows the name.
pub(super) fn name_of_mail(id: &MessageId, key: &Secret<32>) -> QueueId {
    name(&id.0, key)
}

fn name(of: &[u8], key: &Secret<32>) -> QueueId {
    let mut id = [0; QueueId::LEN];
    blake3::Hasher::new_keyed(key.expose()).update(b"queue id").update(of).finalize_xof().fill(&mut id);
    QueueId(id)
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
    /// Word from the exit, or the next try.
    Mixing,
    /// The exit's MTA, which puts it off.
    Held,
    /// Nothing: it arrived, and its sender is to be told.
    Receipted,
    /// Nothing: it was given up, and its sender is to be told, or can't be.
    GivenUp,
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
            Self::Mixing => "mixing",
            Self::Held => "held",
            Self::Receipted => "receipted",
            Self::GivenUp => "given-up",
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
        let is = |wanted: Option<QueueId>, name| wanted.is_none_or(|wanted| wanted == name);
        let answer = match ask {
            QueueAsk::List => {
                let mut list: Vec<_> = entry.list(batch.now, key).chain(exit.list(batch.now, key)).collect();
                // In the order of their names, which is none: that of their rows is the one in which they came.
                list.sort_by_key(|listed| listed.id);
                QueueAnswer::List(list)
            }
            QueueAsk::Retry(wanted) => QueueAnswer::Done(exit.retry(batch.now, key, |name| is(wanted, name))),
            QueueAsk::Drop(wanted) => {
                let dropped = entry.drop_mails(batch, |name| is(wanted, name))?;
                QueueAnswer::Done(dropped + exit.drop_mails(batch, |name| is(wanted, name))?)
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
    fn names_are_of_one_node_and_one_mail() {
        let key = |byte| Secret::filled(|bytes: &mut [u8; 32]| bytes.fill(byte));
        let names = [(1, 1), (2, 1), (1, 2)].map(|(row, node)| name_of_row(RowId(row), &key(node)));
        assert!(names[0] != names[1] && names[0] != names[2]);
        let id = MessageId([1; 16]);
        assert!(name_of_mail(&id, &key(1)) != name_of_mail(&id, &key(2)));
        assert_eq!(name_of_mail(&id, &key(1)), name_of_mail(&id, &key(1)));
    }

    #[test]
    fn ages_are_told_in_hours_that_begin_with_the_clocks() {
        let at = |s| Time::from_secs(s);
        assert_eq!(hour_of(at(7199)), at(3600));
        assert_eq!([3600, 7199, 7200, 10_800].map(|now| hours(at(7000), at(now))), [0, 0, 1, 2]);
        assert_eq!(hours(at(7000), at(10)), 0, "a clock that was set back");
    }
}
