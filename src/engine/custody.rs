//! The entry's custody: a mail is its own until its receipt is here, or its sender knows that there will be none.

use super::Batch;
use super::entry::{Entry, LISTED, may_be_told};
use super::exit::Exit;
use super::first_hops::FirstHop;
use super::journey::{Heard, Receipts, Stage};
use super::queue::{hours, name_of_mail};
use super::relay::Relay;
use super::replies::Said;
use super::standing::Standing;
use super::tries::{Mail, Piece, Turn};
use crate::directory::Document;
use crate::id::SurbId;
use crate::mail::notice::Fate;
use crate::mix::health::slack;
use crate::mix::random;
use crate::store::{RowId, Shelf, StoreError};
use crate::time::Time;
use rand_core::CryptoRng;
use std::time::Duration;

/// Mails that are looked at in one slot, until a piece of one can leave.
const LOOKED_AT: usize = 8;

/// Epochs for which a mail waits at most, while nothing may be sent.
const PATIENCE: u32 = 12;

/// How long a mail waits whose end could not be told for want of room.
const NO_ROOM: Duration = Duration::from_secs(60);

/// This part of an epoch a mail waits that is over by a clock which nothing confirms.
const UNPROVED: u32 = 24;

/// No wait is longer than so many epochs; one that seems to be was begun by another clock.
const LONGEST_WAIT: u32 = 8;

impl Entry {
    /// An answer has come by the reply block `surb`: what it says, if it is one. The block is used up.
    pub(super) fn answered<R: CryptoRng>(
        &mut self,
        batch: &mut Batch<'_, '_, R>,
        exit: &mut Exit,
        surb: &SurbId,
        said: Option<&Said>,
    ) -> Result<(), StoreError> {
        match said {
            Some(said) => self.hear(batch, exit, said)?,
            None => batch.counts.dropped += 1,
        }
        batch.replies.used(&mut batch.txn, surb)
    }

    fn hear<R: CryptoRng>(
        &mut self,
        batch: &mut Batch<'_, '_, R>,
        exit: &mut Exit,
        said: &Said,
    ) -> Result<(), StoreError> {
        let params = batch.params;
        let mail = self.mails.get_mut(&said.mail).filter(|mail| mail.row.message == said.receipt.message);
        let Some(mail) = mail else {
            batch.counts.dropped += 1;
            return Ok(());
        };
        match mail.row.hear(said.exit, said.receipt.status, batch.now, params) {
            Heard::Arrived => {
                let told = mail.row.sender.as_ref().filter(|to| may_be_told(batch, to));
                if let (Receipts::Told, Some(to)) = (mail.row.receipt, told) {
                    let of = name_of_mail(&mail.row.message, &batch.setup.dedup_key);
                    exit.tell(batch, to, of, Fate::Arrived, hours(mail.row.since, batch.now))?;
                }
                batch.counts.receipted += 1;
                self.forget(batch, said.mail)
            }
            Heard::Refused => self.end(batch, exit, said.mail, Fate::Refused),
            Heard::Changed => batch.txn.set_meta(Shelf::Spool, said.mail, batch.epoch, &mail.row.encode(), batch.rng),
            Heard::Nothing => Ok(()),
        }
    }

    /// Looks after the mails of which nothing was heard in time: they are sent once more, or given up.
    pub(super) fn wake<R: CryptoRng>(
        &mut self,
        batch: &mut Batch<'_, '_, R>,
        exit: &mut Exit,
        standing: &Standing,
    ) -> Result<(), StoreError> {
        if batch.clock_is_wrong {
            self.hears_from = None;
            return Ok(());
        }
        let latest = batch.now.plus(slack(batch.params));
        let hears_from = self.hears_from.map_or(latest, |from| from.min(latest));
        self.hears_from = Some(hears_from);
        let last = batch.now.plus(batch.epoch_length.saturating_mul(LONGEST_WAIT));
        let is_due = |mail: &Mail| {
            let at = mail.row.wakes(Some(hears_from));
            at <= batch.now || (at > last && !matches!(mail.row.stage, Stage::Waiting | Stage::Leaving(_)))
        };
        let due: Vec<RowId> = self.mails.iter().filter(|(_, mail)| is_due(mail)).map(|(id, _)| *id).collect();
        for id in due {
            let Some(mail) = self.mails.get_mut(&id) else { continue };
            match mail.row.stage {
                Stage::GivenUp(_) => {
                    self.forget(batch, id)?;
                    continue;
                }
                Stage::Travelling(_) => {
                    mail.row.was_silent(mail.row.exit.is_some_and(|exit| standing.is_there(&exit, batch.epoch)))
                }
                Stage::Held(_) => mail.row.stage = Stage::Waiting,
                Stage::Waiting | Stage::Leaving(_) => {}
            }
            let patience = mail.row.since.plus(batch.epoch_length.saturating_mul(PATIENCE));
            let waits = mail.row.tries == 0 && batch.sends_by().is_none();
            if batch.now >= mail.row.ends && waits && mail.row.ends < patience {
                // Where nothing may be sent it is the document that comes late. One that has left once must not come so late
                // that its exit doesn't know it again.
                mail.row.ends = mail.row.ends.plus(batch.epoch_length);
            }
            if batch.now >= mail.row.ends && !mail.rest_stays_here(batch)? {
                self.give_up(batch, exit, id)?;
            } else {
                batch.txn.set_meta(Shelf::Spool, id, batch.epoch, &mail.row.encode(), batch.rng)?;
            }
        }
        Ok(())
    }

    /// There is no time for another try.
    fn give_up<R: CryptoRng>(
        &mut self,
        batch: &mut Batch<'_, '_, R>,
        exit: &mut Exit,
        id: RowId,
    ) -> Result<(), StoreError> {
        let Some(mail) = self.mails.get_mut(&id) else { return Ok(()) };
        if !is_proved(batch, mail.row.ends) {
            mail.take_back(batch)?;
            mail.row.stage = Stage::Held(batch.now.plus(batch.epoch_length / UNPROVED));
            return batch.txn.set_meta(Shelf::Spool, id, batch.epoch, &mail.row.encode(), batch.rng);
        }
        let fate = if mail.row.has_stayed() { Fate::NeverLeft } else { Fate::Unanswered };
        match self.end(batch, exit, id, fate) {
            // There is no room to say so in: it is said when there is.
            Err(StoreError::Full) => {
                if let Some(mail) = self.mails.get_mut(&id) {
                    mail.row.stage = Stage::Held(batch.now.plus(NO_ROOM));
                }
                Ok(())
            }
            ended => ended,
        }
    }

    /// The mail will not arrive. Its sender is told; where nobody can be, it stays in the list for as long as it would have
    /// been known again, without its content.
    ///
    /// # Errors
    /// `Full`: nothing has changed.
    fn end<R: CryptoRng>(
        &mut self,
        batch: &mut Batch<'_, '_, R>,
        exit: &mut Exit,
        id: RowId,
        fate: Fate<'_>,
    ) -> Result<(), StoreError> {
        let Some(mail) = self.mails.get(&id) else { return Ok(()) };
        let mut row = mail.row.clone();
        match row.sender.take().filter(|to| may_be_told(batch, to)) {
            Some(to) => {
                let of = name_of_mail(&row.message, &batch.setup.dedup_key);
                exit.tell(batch, &to, of, fate, hours(row.since, batch.now))?;
            }
            None => {
                row.stage = Stage::GivenUp(batch.now.plus(batch.epoch_length.saturating_mul(LISTED)));
                let kept = batch.txn.put(Shelf::Spool, batch.epoch, &row.encode(), &[], &[], batch.rng)?;
                self.mails.insert(kept, Mail::new(row));
            }
        }
        batch.counts.given_up += 1;
        self.forget(batch, id)
    }

    /// Nothing more becomes of this mail here.
    pub(super) fn forget<R>(&mut self, batch: &mut Batch<'_, '_, R>, id: RowId) -> Result<(), StoreError> {
        if let Some(mut mail) = self.mails.remove(&id) {
            mail.take_back(batch)?;
            batch.replies.forget(&mut batch.txn, id)?;
            batch.txn.delete(Shelf::Spool, id)?;
        }
        Ok(())
    }

    /// Sends a piece of one mail, chosen by chance, so that a large mail doesn't hold up the small ones; of one that is
    /// sent again only while none waits that is sent for the first time. False if none can go now.
    pub(super) fn send<R: CryptoRng>(
        &mut self,
        batch: &mut Batch<'_, '_, R>,
        document: &Document,
        relay: &mut Relay,
        exit: &mut Exit,
        hops: FirstHop<'_>,
    ) -> Result<bool, StoreError> {
        let leaving = self.mails.iter().filter(|(_, mail)| mail.slots() > 0);
        let (mut first, mut again): (Vec<_>, Vec<_>) =
            leaving.map(|(id, mail)| (*id, mail.row.is_first())).partition(|(_, is_first)| *is_first);
        for ids in [&mut first, &mut again] {
            random::shuffle(ids, batch.rng);
        }
        // Each mail uses the slots of one first hop, and all that begin now those of the hops that are there.
        let mails = if first.is_empty() { again.len() } else { first.len() };
        let beside = (mails * hops.kept.len() / hops.there.len().max(1)).max(hops.kept.len());
        let turn = Turn { document, hops, beside: u32::try_from(beside).unwrap_or(u32::MAX) };
        let may_leave = |(id, _): &(RowId, bool)| self.mails.get(id).is_some_and(|mail| mail.goes_by(hops));
        // So many of each: first tries that can't leave must not keep the others here.
        let (first, again) = (first.into_iter().filter(may_leave), again.into_iter().filter(may_leave));
        let leaving: Vec<_> = first.take(LOOKED_AT).chain(again.take(LOOKED_AT)).collect();
        for (id, _) in leaving {
            let Some(mail) = self.mails.get_mut(&id) else { continue };
            match mail.leave(batch, turn, relay, id)? {
                Piece::Left => return Ok(true),
                Piece::Gone => {
                    self.forget(batch, id)?;
                    return Ok(true);
                }
                Piece::EndsHere => self.forget(batch, id)?,
                Piece::TooLate => self.give_up(batch, exit, id)?,
                Piece::Stays => {}
            }
        }
        Ok(false)
    }
}

/// Whether it is as late as the clock says, as far as documents and the time up prove it: a clock alone ends no custody.
fn is_proved<R>(batch: &Batch<'_, '_, R>, ends: Time) -> bool {
    ends.epoch(batch.epoch_length) <= batch.least.plus(1)
}
