//! The entry: takes mail from injectors, sends it a fragment at a time, and answers for it until its receipt is here.

use super::admit::{Ids, MessageIds, clean, refusal};
use super::exit::Exit;
use super::journey::{Receipts, Spooled, Stage};
use super::queue::{Listed, hour_of, hours, name_of_mail};
use super::rows::{Waiting, damaged};
use super::tries::{Mail, pieces};
use super::{Batch, Output, Token};
use crate::directory::Document;
use crate::id::{MessageId, QueueId};
use crate::mail::address::Address;
use crate::mail::notice::{self, Fate};
use crate::message::shards::Shard;
use crate::mix::chain::{Chain, ChainError};
use crate::mix::receipt::last_arrival;
use crate::mix::schedule::span_of;
use crate::secret::Secret;
use crate::store::{Marks, RowId, SLOT_LEN, Shelf, Store, StoreError};
use crate::submit::{Outcome, Reason, Reply, Request, Source};
use crate::time::Time;
use rand_core::CryptoRng;
use std::collections::BTreeMap;

/// Bytes of mail that one request may have cleaned, all its recipients' copies together, beyond the first copy.
const AT_ONCE: usize = 16 << 20;

/// Epochs for which a mail is listed that was given up and of which nobody could be told.
pub(super) const LISTED: u32 = 6;

/// A request, while its recipients are gone through.
struct Handed<'a> {
    request: &'a Request,
    ids: MessageIds,
    /// Copies cleaned so far.
    cleaned: usize,
}

impl Handed<'_> {
    /// Whether one more copy may be cleaned. Each is cleaned and compressed on its own, and everybody else waits
    /// meanwhile. What is known already costs nothing: else an MTA that brings all recipients again would never get
    /// past the first ones.
    const fn may_be_cleaned(&mut self) -> bool {
        let may = self.cleaned == 0 || self.request.mail.len().saturating_mul(self.cleaned) <= AT_ONCE;
        self.cleaned = self.cleaned.saturating_add(1);
        may
    }
}

/// The mail this node answers for.
#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) mails: BTreeMap<RowId, Mail>,
    /// From when on in this life it says something that nothing was heard: what came while this node was away is with its
    /// neighbours still, and by a clock of which nobody has said anything yet a time may be up that isn't.
    pub(super) hears_from: Option<Time>,
}

impl Entry {
    pub(super) fn open(store: &Store) -> Result<Self, StoreError> {
        let mut entry = Self::default();
        for row in store.rows(Shelf::Spool)? {
            entry.mails.insert(row.id, Mail::new(Spooled::decode(&row.meta)?));
        }
        for row in store.rows(Shelf::Fragments)? {
            let waiting = Waiting::decode(&row.meta)?;
            let mail = entry.mails.get_mut(&waiting.mail).ok_or(damaged())?;
            mail.waiting.insert(row.id, waiting);
        }
        entry.mails.values_mut().for_each(Mail::resume);
        Ok(entry)
    }

    /// Send slots that they need still.
    pub(super) fn slots_needed(&self) -> u64 {
        self.mails.values().map(|mail| u64::from(mail.slots())).sum()
    }

    /// Mails that this node answers for.
    pub(super) fn waiting(&self) -> u64 {
        let is_alive = |mail: &&Mail| !matches!(mail.row.stage, Stage::GivenUp(_));
        size(self.mails.values().filter(is_alive).count())
    }

    /// The mails that this node answers for, and those that it has given up, for the operator.
    pub(super) fn list(&self, now: Time, key: &Secret<32>) -> impl Iterator<Item = Listed> {
        self.mails.values().map(move |Mail { row, .. }| {
            let id = name_of_mail(&row.message, key);
            Listed { id, state: row.state(), hours: hours(row.since, now) }
        })
    }

    /// Forgets mails, because the operator says so; says how many.
    pub(super) fn drop_mails<R>(
        &mut self,
        batch: &mut Batch<'_, '_, R>,
        which: impl Fn(QueueId) -> bool,
    ) -> Result<u64, StoreError> {
        let key = &batch.setup.dedup_key;
        let dropped = self.mails.iter().filter(|(_, mail)| which(name_of_mail(&mail.row.message, key)));
        let dropped: Vec<RowId> = dropped.map(|(id, _)| *id).collect();
        for id in &dropped {
            self.forget(batch, *id)?;
        }
        Ok(size(dropped.len()))
    }

    /// When something becomes of a mail without a slot or a packet.
    pub(super) fn next_wakeup(&self) -> Option<Time> {
        self.mails.values().map(|mail| mail.row.wakes(self.hears_from)).min()
    }

    /// Takes a mail for each of its recipients, or says why not.
    pub(super) fn submit<R: CryptoRng>(
        &mut self,
        batch: &mut Batch<'_, '_, R>,
        exit: &mut Exit,
        token: Token,
        request: &Request,
    ) -> Result<(), StoreError> {
        let mut outcomes = Vec::with_capacity(request.recipients.len());
        let mut handed = Handed { request, ids: MessageIds::of(batch, request)?, cleaned: 0 };
        let mut taken = Vec::new();
        for recipient in &request.recipients {
            let outcome = match self.take(batch, &mut handed, recipient)? {
                Outcome::Permanent(reason) => self.tell_instead(batch, exit, &handed, recipient, reason)?,
                other => other,
            };
            match outcome {
                Outcome::Accepted(..) => {
                    batch.counts.accepted += 1;
                    taken.extend(recipient.under_suffix(&batch.setup.suffix));
                }
                Outcome::Temporary(_) | Outcome::Permanent(_) => batch.counts.refused += 1,
            }
            outcomes.push(outcome);
        }
        let comes_again = outcomes.iter().any(|outcome| matches!(outcome, Outcome::Temporary(_)));
        handed.ids.answered(batch, &taken, comes_again)?;
        batch.out.push(Output::Reply { token, reply: Reply { outcomes } });
        Ok(())
    }

    fn take<R: CryptoRng>(
        &mut self,
        batch: &mut Batch<'_, '_, R>,
        handed: &mut Handed<'_>,
        recipient: &Address,
    ) -> Result<Outcome, StoreError> {
        let request = handed.request;
        let Some(document) = batch.document else { return Ok(Outcome::refused(Reason::NoDirectory)) };
        let target = match (recipient.under_suffix(&batch.setup.suffix), request.source) {
            (Some(target), _) => target,
            // Whoever types `fog send -t` has said what they want.
            (None, Source::Person) => recipient.clone(),
            (None, Source::Mta | Source::Milter { .. }) => return Ok(Outcome::refused(Reason::NotFog)),
        };
        let chain = match (refusal(batch, document, request, &target), Chain::of(document, &request.wish.chain)) {
            (Some(reason), _) => return Ok(Outcome::refused(reason)),
            (None, Err(ChainError::Unknown)) => return Ok(Outcome::refused(Reason::ChainUnknown)),
            (None, Err(ChainError::Length)) => return Ok(Outcome::refused(Reason::ChainLength)),
            (None, Ok(chain)) => chain,
        };
        let ids = handed.ids.of_mail_to(&target, batch.rng);
        let id = ids.first;
        if handed.ids.has_been_taken(batch, &target, &ids)? {
            return Ok(accepted(batch, id));
        }
        if !handed.may_be_cleaned() {
            return Ok(Outcome::refused(Reason::TooMuchAtOnce));
        }
        let packed = match clean(batch, document, request, &target, &chain, id) {
            Err(reason) => return Ok(Outcome::refused(reason)),
            Ok(packed) => packed,
        };
        let receipt = receipts_of(batch, request);
        let Some(pieces) = pieces(packed.len(), receipt) else { return Ok(Outcome::refused(Reason::MailTooBig)) };
        let copies = request.wish.copies;
        if copies > 1 && takes_too_long(document, u32::from(pieces) * u32::from(copies)) {
            return Ok(Outcome::refused(Reason::TooManyCopies));
        }
        let row = Spooled {
            message: id,
            since: hour_of(batch.now),
            ends: last_arrival(batch.now, batch.setup.entry.give_up, document.params()),
            pieces,
            copies,
            chain,
            receipt,
            sender: told(batch, request),
            exit: None,
            first: None,
            tries: 0,
            silent: 0,
            held: 0,
            tried: Vec::new(),
            stage: Stage::Waiting,
        };
        let mail = Mail::new(row);
        if self.is_congested(document, &mail) {
            return Ok(Outcome::refused(Reason::SpoolFull));
        }
        self.keep(batch, &ids, mail, &packed)
    }

    /// A mail that an MTA's pipe brings and that is refused for good would come back to its sender whole, with all that it
    /// says, or wait in vain. Where its sender can be told it is taken, and answered by a notice without content.
    fn tell_instead<R: CryptoRng>(
        &self,
        batch: &mut Batch<'_, '_, R>,
        exit: &mut Exit,
        handed: &Handed<'_>,
        recipient: &Address,
        reason: Reason,
    ) -> Result<Outcome, StoreError> {
        let request = handed.request;
        let Some(to) = told(batch, request).filter(|_| request.source == Source::Mta) else {
            return Ok(Outcome::Permanent(reason));
        };
        let ids = handed.ids.of_mail_to(recipient, batch.rng);
        if handed.ids.has_been_taken(batch, recipient, &ids)? {
            return Ok(accepted(batch, ids.first));
        }
        if batch.is_full() {
            return Ok(Outcome::refused(Reason::SpoolFull));
        }
        let of = name_of_mail(&ids.first, &batch.setup.dedup_key);
        match exit.tell(batch, &to, of, Fate::NotTaken(reason.status(), reason.text()), 0) {
            Ok(()) => {}
            Err(StoreError::Full) => return Ok(Outcome::refused(Reason::SpoolFull)),
            Err(error) => return Err(error),
        }
        remember(batch, &ids)?;
        Ok(accepted(batch, ids.first))
    }

    /// Whether what waits needs more than half an epoch of slots already, what is sent again with it. One mail alone is
    /// always taken. Without this the pieces of many mails would leave so far apart that exits give up on every one of
    /// them.
    fn is_congested(&self, document: &Document, new: &Mail) -> bool {
        let waiting = self.mails.values().map(Mail::slots).fold(0, u32::saturating_add);
        waiting > 0 && takes_too_long(document, waiting.saturating_add(new.slots()))
    }

    fn keep<R: CryptoRng>(
        &mut self,
        batch: &mut Batch<'_, '_, R>,
        ids: &Ids,
        mail: Mail,
        packed: &[u8],
    ) -> Result<Outcome, StoreError> {
        let id = mail.row.message;
        match batch.txn.put(Shelf::Spool, batch.epoch, &mail.row.encode(), packed, &[], batch.rng) {
            Ok(spooled) => {
                batch.ours += slots_of(packed.len());
                self.mails.insert(spooled, mail);
            }
            Err(StoreError::Full) => return Ok(Outcome::refused(Reason::SpoolFull)),
            Err(error) => return Err(error),
        }
        remember(batch, ids)?;
        Ok(accepted(batch, id))
    }
}

fn accepted<R>(batch: &Batch<'_, '_, R>, id: MessageId) -> Outcome {
    Outcome::Accepted(id, name_of_mail(&id, &batch.setup.dedup_key))
}

/// Notes that a mail was taken, so that it isn't when it comes again.
fn remember<R>(batch: &mut Batch<'_, '_, R>, ids: &Ids) -> Result<(), StoreError> {
    for known in &ids.known {
        let mark = batch.mark_of(Marks::Submitted, known);
        batch.txn.mark(Marks::Submitted, batch.epoch, mark)?;
    }
    Ok(())
}

/// Whether there are to be receipts for this mail, and who hears of them.
pub(super) fn receipts_of<R>(batch: &Batch<'_, '_, R>, request: &Request) -> Receipts {
    match notice::asked(&request.mail) {
        Some(false) => Receipts::Off,
        _ if !batch.setup.entry.receipts => Receipts::Off,
        Some(true) => Receipts::Told,
        None => Receipts::On,
    }
}

/// Whom to tell what becomes of a mail: the sender that its MTA names, if they get their mail on this machine.
fn told<R>(batch: &Batch<'_, '_, R>, request: &Request) -> Option<Address> {
    request.sender.clone().filter(|sender| may_be_told(batch, sender))
}

pub(super) fn may_be_told<R>(batch: &Batch<'_, '_, R>, to: &Address) -> bool {
    let is_local = |domain: &String| to.domain().eq_ignore_ascii_case(domain);
    batch.setup.entry.notify.iter().any(is_local) && !to.is_routed() && !to.is_within(&batch.setup.suffix)
}

/// Whether so many pieces need the slots of more than half an epoch.
fn takes_too_long(document: &Document, pieces: u32) -> bool {
    let params = document.params();
    span_of(pieces, params) > params.epoch / 2
}

/// A stored shard, which has one size.
pub(super) fn shard(content: &[u8]) -> Result<&Shard, StoreError> {
    content.try_into().map_err(|_| damaged())
}

pub(super) fn max_size(document: &Document) -> usize {
    usize::try_from(document.params().max_size).unwrap_or(usize::MAX)
}

pub(super) fn size(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

/// Slots of the store that content of so many bytes takes, about.
pub(super) fn slots_of(bytes: usize) -> u64 {
    size(bytes.div_ceil(SLOT_LEN))
}
