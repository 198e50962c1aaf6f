//! The entry: takes mail from injectors, and sends it a fragment at a time.

use super::admit::{Ids, MessageIds, clean, refusal};
use super::build;
use super::queue::{Listed, QueueId, State, hour_of, hours};
use super::relay::Relay;
use super::rows::{Place, Spooled, Waiting, damaged};
use super::{Batch, Output, Token};
use crate::directory::Document;
use crate::id::{NodeId, SetId};
use crate::mail::address::Address;
use crate::mail::canary::is_canary;
use crate::message;
use crate::message::payload::{Fragment, Payload};
use crate::message::shards::{self, Shard};
use crate::mix::chain::{Chain, ChainError};
use crate::mix::random;
use crate::mix::route::{self, Front};
use crate::mix::schedule::span_of;
use crate::secret::Secret;
use crate::store::{Marks, RowId, SLOT_LEN, Shelf, Store, StoreError};
use crate::submit::{Outcome, Reason, Reply, Request, Source};
use crate::time::Time;
use rand_core::CryptoRng;
use std::collections::BTreeMap;

/// Bytes of mail that one request may have cleaned, all its recipients' copies together, beyond the first copy.
const AT_ONCE: usize = 16 << 20;

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
    mails: BTreeMap<RowId, Mail>,
}

#[derive(Debug)]
struct Mail {
    row: Spooled,
    waiting: BTreeMap<RowId, Waiting>,
}

impl Mail {
    /// Slots it still needs.
    fn slots(&self) -> u32 {
        if self.waiting.is_empty() {
            u32::from(self.row.pieces) * u32::from(self.row.copies)
        } else {
            u32::try_from(self.waiting.len()).unwrap_or(u32::MAX)
        }
    }
}

impl Entry {
    pub(super) fn open(store: &Store) -> Result<Self, StoreError> {
        let mut entry = Self::default();
        for row in store.rows(Shelf::Spool)? {
            let mail = Mail { row: Spooled::decode(&row.meta)?, waiting: BTreeMap::new() };
            entry.mails.insert(row.id, mail);
        }
        for row in store.rows(Shelf::Fragments)? {
            let waiting = Waiting::decode(&row.meta)?;
            let mail = entry.mails.get_mut(&waiting.mail).ok_or(damaged())?;
            mail.waiting.insert(row.id, waiting);
        }
        Ok(entry)
    }

    /// Send slots that they need still.
    pub(super) fn slots_needed(&self) -> u64 {
        self.mails.values().map(|mail| u64::from(mail.slots())).sum()
    }

    /// Mails that wait.
    pub(super) fn waiting(&self) -> u64 {
        size(self.mails.len())
    }

    /// The mails that wait, for the operator.
    pub(super) fn list(&self, now: Time, key: &Secret<32>) -> impl Iterator<Item = Listed> {
        self.mails.iter().map(move |(row, mail)| {
            let state = if mail.row.exit.is_none() { State::Waiting } else { State::Leaving };
            Listed { id: QueueId::of(*row, key), state, hours: hours(mail.row.since, now) }
        })
    }

    /// Forgets mails, because the operator says so; says how many.
    pub(super) fn drop_mails<R>(
        &mut self,
        batch: &mut Batch<'_, '_, R>,
        which: impl Fn(RowId) -> bool,
    ) -> Result<u64, StoreError> {
        let mut count = 0;
        for (row, mut mail) in self.mails.extract_if(.., |row, _| which(*row)) {
            abandon(batch, &mut mail)?;
            batch.txn.delete(Shelf::Spool, row)?;
            count += 1;
        }
        Ok(count)
    }

    /// Takes a mail for each of its recipients, or says why not.
    pub(super) fn submit<R: CryptoRng>(
        &mut self,
        batch: &mut Batch<'_, '_, R>,
        token: Token,
        request: &Request,
    ) -> Result<(), StoreError> {
        let mut outcomes = Vec::with_capacity(request.recipients.len());
        let mut handed = Handed { request, ids: MessageIds::of(batch, request)?, cleaned: 0 };
        let mut taken = Vec::new();
        for recipient in &request.recipients {
            let outcome = self.take(batch, &mut handed, recipient)?;
            match outcome {
                Outcome::Accepted(_) => {
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
            return Ok(Outcome::Accepted(id));
        }
        if !handed.may_be_cleaned() {
            return Ok(Outcome::refused(Reason::TooMuchAtOnce));
        }
        let packed = match clean(batch, document, request, &target, &chain, id) {
            Err(reason) => return Ok(Outcome::refused(reason)),
            Ok(packed) => packed,
        };
        let Some(pieces) = pieces(packed.len()) else { return Ok(Outcome::refused(Reason::MailTooBig)) };
        let copies = request.wish.copies;
        if copies > 1 && takes_too_long(document, u32::from(pieces) * u32::from(copies)) {
            return Ok(Outcome::refused(Reason::TooManyCopies));
        }
        let row = Spooled { message: id, since: hour_of(batch.now), pieces, copies, chain, exit: None };
        let mail = Mail { row, waiting: BTreeMap::new() };
        if self.is_congested(document, &mail) {
            return Ok(Outcome::refused(Reason::SpoolFull));
        }
        self.keep(batch, &ids, mail, &packed)
    }

    /// Whether what waits needs more than half an epoch of slots already. One mail alone is always taken. Without this
    /// the pieces of many mails would leave so far apart that exits give up on every one of them.
    fn is_congested(&self, document: &Document, new: &Mail) -> bool {
        let waiting = self.mails.values().map(Mail::slots).fold(new.slots(), u32::saturating_add);
        !self.mails.is_empty() && takes_too_long(document, waiting)
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
        for known in &ids.known {
            let mark = batch.mark_of(Marks::Submitted, known);
            batch.txn.mark(Marks::Submitted, batch.epoch, mark)?;
        }
        Ok(Outcome::Accepted(id))
    }

    /// Sends a piece of one mail, chosen by chance, so that a large mail doesn't hold up the small ones. False if none
    /// can go now.
    pub(super) fn send<R: CryptoRng>(
        &mut self,
        batch: &mut Batch<'_, '_, R>,
        document: &Document,
        relay: &mut Relay,
        firsts: &[NodeId],
    ) -> Result<bool, StoreError> {
        let Some(id) = self.turn(batch.rng) else { return Ok(false) };
        let Some(mail) = self.mails.get_mut(&id) else { return Ok(false) };
        let exit = match prepare(batch, document, id, mail, firsts)? {
            Prepared::Leaves(exit) => exit,
            Prepared::Waits => return Ok(false),
            Prepared::EndsHere => {
                self.mails.remove(&id);
                batch.txn.delete(Shelf::Spool, id)?;
                return Ok(false);
            }
        };
        let Some((&fragment, waiting)) = mail.waiting.first_key_value() else { return Ok(false) };
        let content = batch.txn.read(Shelf::Fragments, fragment)?;
        let Place { set, shape, index } = waiting.place;
        let payload = Fragment { set, shape, index, shard: shard(&content.sealed)? };
        let payload = Payload::Fragment(payload).encode(batch.rng);
        let (me, front) = (&batch.setup.me, Front { chain: &mail.row.chain, firsts });
        let draw = |rng: &mut R| route::path(document, me, &exit, front, rng).ok();
        let Some(built) = build::deliver(batch, document, &payload, draw) else { return Ok(false) };
        if !relay.send_own(batch, &built)? {
            return Ok(false);
        }
        batch.book.built(mail.row.message, index, &built.path, &built.packet, batch.now, &mut batch.out);
        batch.txn.delete(Shelf::Fragments, fragment)?;
        mail.waiting.remove(&fragment);
        if mail.waiting.is_empty() {
            // Its last fragment is in the pool by this same commit: the pool answers for it now.
            self.mails.remove(&id);
            batch.txn.delete(Shelf::Spool, id)?;
        }
        Ok(true)
    }

    /// Whose turn it is.
    fn turn(&self, rng: &mut impl CryptoRng) -> Option<RowId> {
        let ids: Vec<RowId> = self.mails.keys().copied().collect();
        random::choose(&ids, rng).copied()
    }
}

/// Whether so many pieces need the slots of more than half an epoch.
fn takes_too_long(document: &Document, pieces: u32) -> bool {
    let params = document.params();
    span_of(pieces, params) > params.epoch / 2
}

/// What becomes of a mail whose slot has come.
enum Prepared {
    /// It has a try under way, to this exit.
    Leaves(NodeId),
    /// Not now.
    Waits,
    /// It was never to leave.
    EndsHere,
}

/// Sees to it that the mail has a try under way, and to an exit that is still there.
fn prepare<R: CryptoRng>(
    batch: &mut Batch<'_, '_, R>,
    document: &Document,
    id: RowId,
    mail: &mut Mail,
    firsts: &[NodeId],
) -> Result<Prepared, StoreError> {
    if let Some(exit) = mail.row.exit {
        if route::is_exit(document, &exit) {
            return Ok(Prepared::Leaves(exit));
        }
        // What is left of the set has nowhere to go, and what has left is of no use without it.
        abandon(batch, mail)?;
    }
    let packed = batch.txn.read(Shelf::Spool, id)?;
    // Whatever the network's limit is by now: it was within the limit when it was taken.
    let message = message::unpack(&packed.sealed, usize::MAX).map_err(|_| damaged())?;
    if is_canary(&message.recipient) {
        return Ok(Prepared::EndsHere);
    }
    let exits = route::exits_for(document, &message.recipient, size(message.mail.len()));
    let front = Front { chain: &mail.row.chain, firsts };
    let Ok(exit) = route::exit(document, &batch.setup.me, &exits, front, batch.rng) else {
        return Ok(Prepared::Waits);
    };
    match cut(batch, id, mail, exit, &packed.sealed) {
        Ok(()) => Ok(Prepared::Leaves(exit)),
        // A set takes more room than its mail. It waits in the spool until there is some.
        Err(StoreError::Full) => abandon(batch, mail).map(|()| Prepared::Waits),
        Err(error) => Err(error),
    }
}

/// Cuts the message into a new set of fragments for each copy and keeps them, to leave at slots of their own. All copies
/// go to one exit, which knows the message again and hands it out once.
fn cut<R: CryptoRng>(
    batch: &mut Batch<'_, '_, R>,
    id: RowId,
    mail: &mut Mail,
    exit: NodeId,
    packed: &[u8],
) -> Result<(), StoreError> {
    let (shape, shards) = shards::split(packed, spares(packed.len())).map_err(|_| damaged())?;
    for _ in 0..mail.row.copies {
        let mut set = SetId([0; SetId::LEN]);
        batch.rng.fill_bytes(&mut set.0);
        for (index, shard) in (0..=u8::MAX).zip(&shards) {
            let waiting = Waiting { mail: id, place: Place { set, shape, index } };
            let row = batch.txn.put(Shelf::Fragments, batch.epoch, &waiting.encode(), shard, &[], batch.rng)?;
            mail.waiting.insert(row, waiting);
        }
        batch.book.cut(mail.row.message, shape, &mut batch.out);
    }
    mail.row.exit = Some(exit);
    batch.txn.set_meta(Shelf::Spool, id, batch.epoch, &mail.row.encode(), batch.rng)
}

fn abandon<R>(batch: &mut Batch<'_, '_, R>, mail: &mut Mail) -> Result<(), StoreError> {
    mail.row.exit = None;
    std::mem::take(&mut mail.waiting).into_keys().try_for_each(|row| batch.txn.delete(Shelf::Fragments, row))
}

/// Spare shards: two for every five, and never none while there is room in a set, so that the loss of a mix need not
/// cost the mail.
fn spares(packed: usize) -> usize {
    let needed = packed.div_ceil(shards::SHARD_LEN);
    (needed * 2).div_ceil(5).min(shards::MAX_SHARDS.saturating_sub(needed))
}

/// Of how many pieces a message of so many bytes has to arrive, and how many are sent; none if no set holds it.
#[must_use]
pub fn pieces_of(packed: usize) -> Option<(usize, usize)> {
    Some((packed.div_ceil(shards::SHARD_LEN), usize::from(pieces(packed)?)))
}

/// How many pieces a message of so many bytes is cut into, spares included; none if no set holds it.
fn pieces(packed: usize) -> Option<u8> {
    u8::try_from(packed.div_ceil(shards::SHARD_LEN) + spares(packed)).ok()
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
