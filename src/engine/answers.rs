//! What an exit owes: an answer for each message that came with a reply block, in one of its ordinary send slots.

use super::Batch;
use super::entry::size;
use super::quota::Quota;
use super::rows::{VERSION, damaged, read};
use crate::id::{MessageId, NodeId};
use crate::message::Message;
use crate::message::payload::{Class, Payload, Receipt, Status};
use crate::mix::random::choose;
use crate::mix::receipt::answer_delay;
use crate::sphinx::Packet;
use crate::sphinx::surb::Surb;
use crate::store::{Marks, RowId, Shelf, Store, StoreError};
use crate::time::Time;
use crate::wire::{Malformed, Writer};
use rand_core::CryptoRng;
use std::collections::{BTreeMap, BTreeSet};

/// This part of an epoch an answer waits for its mail to be handed over a first time.
const UNASKED: u32 = 48;

/// The answers that are still to be given. Invariant: each is in `by_message`, and in `later` or `ready`.
#[derive(Debug, Default)]
pub(super) struct Answers {
    owed: BTreeMap<RowId, Owed>,
    by_message: BTreeMap<MessageId, Vec<RowId>>,
    /// Those that may not go yet.
    later: BTreeSet<(Time, RowId)>,
    /// Those that may; which the other answer of its message makes spare is of use only if nothing else is to go.
    ready: BTreeSet<(bool, RowId)>,
    /// Messages that have asked for answers, since it was asked last.
    asked: u64,
}

/// An answer that this node, as an exit, owes; its content is the reply block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Owed {
    /// The message it is about.
    message: MessageId,
    /// It may not go before.
    due: Time,
    /// It goes by the second of two ways.
    is_spare: bool,
}

impl Owed {
    fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(32);
        w.u8(VERSION).bytes(&self.message.0).u64(self.due.as_millis()).u8(u8::from(self.is_spare));
        w.finish()
    }

    fn decode(meta: &[u8]) -> Result<Self, StoreError> {
        read(meta, |r| {
            let (message, due) = (MessageId(r.array()?), Time::from_millis(r.u64()?));
            let is_spare = match r.u8()? {
                0 => false,
                1 => true,
                _ => return Err(Malformed),
            };
            Ok(Self { message, due, is_spare })
        })
    }
}

/// An answer, ready to leave.
pub(super) struct Answer {
    pub(super) row: RowId,
    pub(super) first: NodeId,
    pub(super) packet: Packet,
}

impl Answers {
    pub(super) fn open(store: &Store, quota: &mut Quota) -> Result<Self, StoreError> {
        let mut answers = Self::default();
        for row in store.rows(Shelf::Answers)? {
            quota.charge(row.id, None);
            answers.insert(row.id, Owed::decode(&row.meta)?);
        }
        Ok(answers)
    }

    fn insert(&mut self, id: RowId, owed: Owed) {
        self.by_message.entry(owed.message).or_default().push(id);
        self.later.insert((owed.due, id));
        self.owed.insert(id, owed);
    }

    /// Notes that the message, which the packet in `row` has completed, is to be answered by each of its reply blocks and by
    /// none that came before: the sender made the newer ones when it had heard nothing by the older. Gives the rows.
    ///
    /// # Errors
    /// `Full`: nothing has changed.
    pub(super) fn owe<R: CryptoRng>(
        &mut self,
        batch: &mut Batch<'_, '_, R>,
        row: RowId,
        message: &Message,
    ) -> Result<Vec<RowId>, StoreError> {
        let Some(document) = batch.document else { return Ok(Vec::new()) };
        let mut written: Vec<(RowId, Owed)> = Vec::with_capacity(message.surbs.len());
        for bytes in &message.surbs {
            // The copies of a mail carry the same ones: each is used once, and due when the first of them came.
            let mark = batch.surb_mark(bytes);
            if batch.remembered(Marks::Delivered, &mark)? || !batch.quota.has_room_for_answer(row, batch.setup.rooms())
            {
                continue;
            }
            let surb = Surb::from_bytes(bytes);
            let first = surb.first();
            // A block that nobody can be sent to would lie here until it is out of date.
            if first == batch.setup.me || !batch.is_known(&first) {
                continue;
            }
            let due = batch.now.plus(answer_delay(document.params(), surb.key().expose()));
            let owed = Owed { message: message.id, due, is_spare: !written.is_empty() };
            match batch.txn.put(Shelf::Answers, batch.epoch, &owed.encode(), bytes.as_slice(), &[], batch.rng) {
                Ok(id) => {
                    batch.quota.inherit(row, id);
                    written.push((id, owed));
                }
                Err(error) => {
                    for (id, _) in written {
                        batch.quota.release(id);
                        batch.txn.delete(Shelf::Answers, id)?;
                    }
                    return Err(error);
                }
            }
        }
        if !written.is_empty() {
            let older = self.by_message.remove(&message.id).unwrap_or_default();
            older.into_iter().try_for_each(|older| self.done(batch, older))?;
        }
        for (id, owed) in &written {
            self.insert(*id, *owed);
        }
        Ok(written.into_iter().map(|(id, _)| id).collect())
    }

    /// The message is taken now for which these are owed: its reply blocks are known from now on.
    pub(super) fn asked<R>(
        &mut self,
        batch: &mut Batch<'_, '_, R>,
        message: &Message,
        owed: &[RowId],
    ) -> Result<(), StoreError> {
        self.asked = self.asked.saturating_add(u64::from(!owed.is_empty()));
        for surb in &message.surbs {
            let mark = batch.surb_mark(surb);
            batch.txn.mark(Marks::Delivered, batch.epoch, mark)?;
        }
        Ok(())
    }

    /// Lets those go whose time has come; forgets those whose keys have run out, since nobody would peel them.
    pub(super) fn settle<R>(&mut self, batch: &mut Batch<'_, '_, R>) -> Result<(), StoreError> {
        while let Some(&(due, id)) = self.later.first().filter(|(due, _)| *due <= batch.now) {
            self.later.remove(&(due, id));
            let is_spare = self.owed.get(&id).is_some_and(|owed| owed.is_spare);
            self.ready.insert((is_spare, id));
        }
        let oldest = batch.now.minus(batch.epoch_length);
        let is_late = |id: &RowId| self.owed.get(id).is_some_and(|owed| owed.due < oldest);
        let late: Vec<RowId> = self.ready.iter().map(|(_, id)| *id).filter(is_late).collect();
        late.into_iter().try_for_each(|id| self.done(batch, id))
    }

    /// How many messages have asked for answers since this was asked last, and how many wait for one.
    pub(super) fn take_asked(&mut self) -> (u64, u64) {
        (std::mem::take(&mut self.asked), size(self.by_message.len()))
    }

    /// Whether one may go.
    pub(super) fn is_any_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// One of those that may go, chosen by chance, with what `fate` says of its message; none if there is none.
    pub(super) fn next<R: CryptoRng>(
        &self,
        batch: &mut Batch<'_, '_, R>,
        fate: impl FnOnce(&Batch<'_, '_, R>, &MessageId) -> Result<(Status, Class), StoreError>,
    ) -> Result<Option<Answer>, StoreError> {
        let is_spare = self.ready.first().is_some_and(|(is_spare, _)| *is_spare);
        let ready: Vec<RowId> = self.ready.iter().filter(|(spare, _)| *spare == is_spare).map(|(_, id)| *id).collect();
        let Some(&row) = choose(&ready, batch.rng) else { return Ok(None) };
        let Some(Owed { message, due, .. }) = self.owed.get(&row).copied() else { return Ok(None) };
        let (status, class) = fate(batch, &message)?;
        // Where answers wait for next to nothing the MTA has hardly been asked: then for a little while longer.
        if (status, class) == (Status::Held, Class::None) && batch.now.since(due) < batch.epoch_length / UNASKED {
            return Ok(None);
        }
        let content = batch.txn.read(Shelf::Answers, row)?;
        let surb = Surb::from_bytes(content.sealed.as_slice().try_into().map_err(|_| damaged())?);
        let payload = Payload::Receipt(Receipt { message, status, class }).encode(batch.rng);
        let (first, packet) = surb.reply(&payload);
        Ok(Some(Answer { row, first, packet }))
    }

    /// Forgets one that is given, or that nobody would take.
    pub(super) fn done<R>(&mut self, batch: &mut Batch<'_, '_, R>, id: RowId) -> Result<(), StoreError> {
        let Some(owed) = self.owed.remove(&id) else { return Ok(()) };
        if let Some(rows) = self.by_message.get_mut(&owed.message) {
            rows.retain(|row| *row != id);
            if rows.is_empty() {
                self.by_message.remove(&owed.message);
            }
        }
        self.later.remove(&(owed.due, id));
        self.ready.remove(&(owed.is_spare, id));
        batch.quota.release(id);
        batch.txn.delete(Shelf::Answers, id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_comes_back_as_it_was_written() {
        for is_spare in [false, true] {
            let row = Owed { message: MessageId([1; 16]), due: Time::from_millis(2), is_spare };
            assert_eq!(Owed::decode(&row.encode()).unwrap(), row);
        }
    }
}
