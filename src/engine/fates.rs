//! What an exit knows of the messages that came to it, and whom it tells: their entries, and its own node's senders.

use super::Batch;
use super::answers::Answer;
use super::build::Built;
use super::exit::{Exit, address_mark, encode};
use super::outbox::Outbox;
use super::queue::hour_of;
use super::relay::Relay;
use super::rows::{Outgoing, What};
use crate::directory::Document;
use crate::id::{MessageId, QueueId};
use crate::mail::address::Address;
use crate::mail::block::mailbox;
use crate::mail::notice::{Fate, Notice};
use crate::message::payload::{Class, Status};
use crate::store::{Marks, Shelf, StoreError};
use rand_core::CryptoRng;

/// What may become of a message at an exit, in the end.
const FATES: [(Status, Class); 5] = [
    (Status::Accepted, Class::Success),
    (Status::Refused, Class::Permanent),
    (Status::Refused, Class::None),
    (Status::GivenUp, Class::Temporary),
    (Status::GivenUp, Class::None),
];

/// What has become of a message that came here.
fn fate<R>(batch: &Batch<'_, '_, R>, outbox: &Outbox, message: &MessageId) -> Result<(Status, Class), StoreError> {
    for (status, class) in FATES {
        if batch.remembered(Marks::Delivered, &batch.fate_mark(message, status, class))? {
            return Ok((status, class));
        }
    }
    let waiting = outbox.iter().find(|(_, mail)| mail.message() == Some(*message));
    let asked = waiting.is_some_and(|(_, mail)| mail.deferred > 0);
    Ok((Status::Held, if asked { Class::Temporary } else { Class::None }))
}

/// Remembers what has become of a message, for as long as it is known here if it comes again.
pub(super) fn note<R>(
    batch: &mut Batch<'_, '_, R>,
    message: Option<MessageId>,
    status: Status,
    class: Class,
) -> Result<(), StoreError> {
    let Some(message) = message else { return Ok(()) };
    let mark = batch.fate_mark(&message, status, class);
    batch.txn.mark(Marks::Delivered, batch.epoch, mark).map(drop)
}

impl Exit {
    /// Tells a sender of this node what became of the mail that it calls `of`.
    ///
    /// # Errors
    /// `Full`: nothing has changed.
    pub(super) fn tell<R: CryptoRng>(
        &mut self,
        batch: &mut Batch<'_, '_, R>,
        to: &Address,
        of: QueueId,
        fate: Fate<'_>,
        hours: u64,
    ) -> Result<(), StoreError> {
        let mut seed = [0; 32];
        batch.rng.fill_bytes(&mut seed);
        let notice = Notice { to, id: &of.to_string(), fate, hours, date: batch.now, seed };
        let content = encode(to, &notice.write())?;
        let outgoing = Outgoing {
            since: hour_of(batch.now),
            deferred: 0,
            next: batch.now,
            to: address_mark(batch, &mailbox(to.local(), to.domain())),
            what: What::Notice { of, arrived: fate == Fate::Arrived },
            broken_off: 0,
        };
        let id = batch.txn.put(Shelf::Outbox, batch.epoch, &outgoing.encode(), &content, &[], batch.rng)?;
        self.outbox.insert(id, outgoing);
        Ok(())
    }

    /// How many messages have asked for answers since this was asked last, and how many wait for one.
    pub(super) fn take_asked(&mut self) -> (u64, u64) {
        self.answers.take_asked()
    }

    /// Sends one of the answers that are due, if there is one; says whether it did.
    pub(super) fn answer<R: CryptoRng>(
        &mut self,
        batch: &mut Batch<'_, '_, R>,
        document: &Document,
        relay: &mut Relay,
    ) -> Result<bool, StoreError> {
        self.answers.settle(batch)?;
        if !self.answers.is_any_ready() {
            return Ok(false);
        }
        let outbox = &self.outbox;
        let answer = self.answers.next(batch, |batch, message| fate(batch, outbox, message))?;
        let Some(Answer { row, first, packet }) = answer else { return Ok(false) };
        let leaves = batch.now.next_tick(document.params().tick);
        // Where it was to go there may be nobody any more.
        let goes = batch.is_known(&first);
        if goes && !relay.send_own(batch, &Built { packet, path: vec![first], leaves, ends: leaves })? {
            return Ok(false);
        }
        self.answers.done(batch, row)?;
        Ok(goes)
    }
}
