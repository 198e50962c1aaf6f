//! The exit: puts mail together again, cleans it once more, and hands it to the local MTA.

use super::answers::Answers;
use super::fates::note;
use super::meter::{Limits, Meter, RecipientMark};
use super::outbox::Outbox;
use super::parts::Parts;
use super::queue::{Listed, State, hour_of, hours, name_of_row};
use super::quota::Quota;
use super::relay::Ended;
use super::rows::{Outgoing, Part, Place, What, damaged};
use super::{Batch, DeliveryId, ExitSetup, Output, entry};
use crate::delivery::Disposition;
use crate::id::{MessageId, NodeId, QueueId, SetId};
use crate::mail::address::Address;
use crate::mail::block::{BlockList, mailbox};
use crate::mail::news;
use crate::mail::sanitize::{self, ExitRules};
use crate::message::payload::{Class, Fragment, Payload, Status};
use crate::message::shards::{self, Shape, Shard};
use crate::message::{self, Message};
use crate::mix::retry;
use crate::secret::Secret;
use crate::sphinx::geometry::PAYLOAD_LEN;
use crate::store::{Marks, RowId, Shelf, Store, StoreError};
use crate::time::Time;
use crate::wire::{Reader, Writer};
use rand_core::CryptoRng;
use std::collections::BTreeMap;

/// Mails given to the exit process and not answered. Bounds what is handed out twice when it dies.
pub const WINDOW: usize = 4;

/// Mails that are looked at in one call, whether they may go.
const LOOKED_AT: usize = 64;

/// After this many epochs a mail that the MTA keeps deferring is given up, and a set that never became whole dropped.
const GIVE_UP: u32 = 5;

/// What this node puts together and hands out.
#[derive(Debug, Default)]
pub(super) struct Exit {
    up: bool,
    sets: BTreeMap<SetId, Set>,
    parts: Parts,
    pub(super) outbox: Outbox,
    pub(super) answers: Answers,
    meter: Meter,
    /// Until then as many have gone out in all as may.
    closed_until: Time,
}

/// The parts of one try at one mail, so far. Invariant: all agree with the first one's shape.
#[derive(Debug)]
struct Set {
    shape: Shape,
    arrived: Time,
    parts: BTreeMap<u8, RowId>,
}

impl Exit {
    pub(super) fn open(store: &Store, quota: &mut Quota) -> Result<Self, StoreError> {
        let mut exit = Self { answers: Answers::open(store, quota)?, ..Self::default() };
        for row in store.rows(Shelf::Parts)? {
            let Part { arrived, place } = Part::decode(&row.meta)?;
            quota.charge(row.id, None);
            exit.parts.add(row.id, None, place.set, place.index);
            let set = exit.sets.entry(place.set).or_insert(Set { shape: place.shape, arrived, parts: BTreeMap::new() });
            set.parts.insert(place.index, row.id);
        }
        for row in store.rows(Shelf::Outbox)? {
            let mail = Outgoing::decode(&row.meta)?;
            if matches!(mail.what, What::Message { .. }) {
                quota.charge_found_mail(row.id, row.slots);
            }
            exit.outbox.insert(row.id, mail);
        }
        Ok(exit)
    }

    /// Mails that wait for the MTA.
    pub(super) fn waiting(&self) -> u64 {
        entry::size(self.outbox.len())
    }

    /// The mails that wait for the MTA, for the operator.
    pub(super) fn list(&self, now: Time, key: &Secret<32>) -> impl Iterator<Item = Listed> {
        self.outbox.iter().map(move |(row, mail)| {
            let state = match mail.what {
                What::Notice { arrived: true, .. } => State::Receipted,
                What::Notice { arrived: false, .. } => State::GivenUp,
                What::Message { .. } if mail.deferred == 0 => State::Outbox,
                What::Message { .. } => State::Deferred,
            };
            Listed { id: name(row, mail, key), state, hours: hours(mail.since, now) }
        })
    }

    /// Has the MTA asked again at once; says for how many mails.
    pub(super) fn retry(&mut self, now: Time, key: &Secret<32>, which: impl Fn(QueueId) -> bool) -> u64 {
        entry::size(self.outbox.hurry(now, |row, mail| which(name(row, mail, key))))
    }

    /// Forgets mails, because the operator says so; says how many. What the MTA says of one that it is being asked about
    /// comes too late.
    pub(super) fn drop_mails<R>(
        &mut self,
        batch: &mut Batch<'_, '_, R>,
        which: impl Fn(QueueId) -> bool,
    ) -> Result<u64, StoreError> {
        let key = &batch.setup.dedup_key;
        let dropped = self.outbox.iter().filter(|(row, mail)| which(name(*row, mail, key)));
        let dropped: Vec<(RowId, Option<MessageId>)> = dropped.map(|(row, mail)| (row, mail.message())).collect();
        for (row, message) in &dropped {
            // The MTA may take the one that it is being asked about: then another exit must not be tried.
            let is_asked = self.outbox.is_flying(*row);
            let status = if is_asked { Status::Refused } else { Status::GivenUp };
            note(batch, *message, status, Class::None)?;
            self.forget(batch, *row)?;
        }
        Ok(entry::size(dropped.len()))
    }

    /// The next time a mail may be handed out; none while nobody is there to take it.
    pub(super) fn next_try(&self) -> Option<Time> {
        if !self.up || self.outbox.flying() >= WINDOW {
            return None;
        }
        self.outbox.next().map(|next| next.max(self.closed_until))
    }

    pub(super) fn up(&mut self) {
        self.down();
        self.up = true;
    }

    /// What was under way is in nobody's share, and goes out again.
    pub(super) fn down(&mut self) {
        self.up = false;
        self.outbox.land_all().iter().for_each(|to| self.meter.came_back(to));
    }

    /// Takes what a packet carried that ended here.
    pub(super) fn payload<R: CryptoRng>(
        &mut self,
        batch: &mut Batch<'_, '_, R>,
        ended: &Ended,
        payload: &[u8; PAYLOAD_LEN],
    ) -> Result<(), StoreError> {
        match Payload::decode(payload) {
            Ok(Payload::Fragment(fragment)) if batch.setup.exit.is_some() => self.fragment(batch, ended, &fragment),
            // A mail for the world needs an exit, receipts come through SURBs, and a loop is known before it comes here.
            Ok(Payload::Fragment(_) | Payload::Receipt(_) | Payload::Loop(_)) | Err(_) => {
                batch.counts.dropped += 1;
                Ok(())
            }
        }
    }

    fn fragment<R: CryptoRng>(
        &mut self,
        batch: &mut Batch<'_, '_, R>,
        &Ended { row, arrival, .. }: &Ended,
        fragment: &Fragment<'_>,
    ) -> Result<(), StoreError> {
        let Fragment { set, shape, index, shard } = *fragment;
        let place = Place { set, shape, index };
        if batch.remembered(Marks::Delivered, &set.0)? || !self.belongs(&place) {
            batch.counts.dropped += 1;
            return Ok(());
        }
        let stored = self.sets.get(&set).map_or(0, |set| set.parts.len());
        if stored + 1 < usize::from(shape.k()) {
            let owner = batch.quota.owner(row);
            self.make_room(batch, owner)?;
            let part = Part { arrived: hour_of(batch.now), place };
            let part = batch.txn.put(Shelf::Parts, batch.epoch, &part.encode(), shard, &[], batch.rng)?;
            // It lies here for as long as its siblings stay away, which its sender decides.
            batch.quota.inherit(row, part);
            self.parts.add(part, owner, set, index);
            let kept = Set { shape, arrived: batch.now, parts: BTreeMap::new() };
            self.sets.entry(set).or_insert(kept).parts.insert(index, part);
            batch.book.opened(arrival, set, batch.now, &mut batch.out);
            return Ok(());
        }
        // The last one needs no row of its own: until the mail is in the outbox, its packet stays in the pool.
        let whole = assemble(batch, shape, self.sets.get(&set), (index, shard))?;
        if let Some(message) = &whole {
            self.receive(batch, row, message)?;
        }
        batch.book.opened(arrival, set, batch.now, &mut batch.out);
        if let Some(message) = whole {
            batch.book.assembled(message.id, batch.now, &mut batch.out);
        } else {
            batch.counts.dropped += 1;
        }
        self.end(batch, set)
    }

    /// Whether a part is new and of one geometry with its siblings.
    fn belongs(&self, place: &Place) -> bool {
        self.sets.get(&place.set).is_none_or(|set| place.shape == set.shape && !set.parts.contains_key(&place.index))
    }

    /// Forgets a set's parts, but not that it was there: spare parts may still come.
    fn end<R>(&mut self, batch: &mut Batch<'_, '_, R>, id: SetId) -> Result<(), StoreError> {
        batch.txn.mark(Marks::Delivered, batch.epoch, id.0)?;
        let Some(set) = self.sets.remove(&id) else { return Ok(()) };
        set.parts.into_values().try_for_each(|row| {
            self.parts.remove(row);
            batch.quota.release(row);
            batch.txn.delete(Shelf::Parts, row)
        })
    }

    /// Lets the oldest pieces of a neighbour go that has filled its share of what waits here. That their set was here is
    /// not remembered: its other pieces may still do.
    fn make_room<R>(&mut self, batch: &mut Batch<'_, '_, R>, owner: Option<NodeId>) -> Result<(), StoreError> {
        while let Some((row, id, index)) = self.parts.in_the_way(owner, batch.setup.rooms().parts()) {
            self.parts.remove(row);
            if let Some(set) = self.sets.get_mut(&id) {
                set.parts.remove(&index);
                if set.parts.is_empty() {
                    self.sets.remove(&id);
                }
            }
            batch.quota.release(row);
            batch.txn.delete(Shelf::Parts, row)?;
            batch.counts.dropped += 1;
        }
        Ok(())
    }

    /// Puts the mail that the packet in `row` completes into the outbox, once however often it comes.
    fn receive<R: CryptoRng>(
        &mut self,
        batch: &mut Batch<'_, '_, R>,
        row: RowId,
        message: &Message,
    ) -> Result<(), StoreError> {
        let Some(exit) = &batch.setup.exit else { return Ok(()) };
        let mark = batch.mark_of(Marks::Delivered, &message.id);
        if batch.remembered(Marks::Delivered, &mark)? {
            // Its sender has not heard of it: it is told by the newest way.
            let owed = self.answers.owe(batch, row, message)?;
            return self.answers.asked(batch, message, &owed);
        }
        let has_room = |batch: &Batch<'_, '_, R>, length: usize| {
            batch.quota.takes_mail(row, entry::slots_of(length), batch.setup.rooms())
        };
        // The MTA takes too little of what its neighbour brings: the packet stays in the pool, and in the share of who
        // handed it over. Asked first of the mail as it came, which costs nothing.
        if !has_room(batch, message.mail.len()) {
            return Err(StoreError::Full);
        }
        let to = recipient_mark(batch, message);
        let has_enough = self.has_enough(exit, &to, batch.now);
        // Another exit may have more for them.
        let cleaned = if has_enough { Err(Status::GivenUp) } else { clean(batch, exit, message) };
        let mail = match cleaned {
            Ok(mail) => mail,
            Err(status) => {
                let owed = self.answers.owe(batch, row, message)?;
                self.answers.asked(batch, message, &owed)?;
                batch.counts.undeliverable += 1;
                batch.txn.mark(Marks::Delivered, batch.epoch, mark)?;
                return note(batch, Some(message.id), status, Class::None);
            }
        };
        let outgoing = Outgoing {
            since: hour_of(batch.now),
            deferred: 0,
            next: batch.now,
            to,
            what: What::Message { id: Some(message.id), news: message.recipient.is_news() },
            broken_off: 0,
        };
        let content = encode(&message.recipient, &mail)?;
        if !has_room(batch, content.len()) {
            return Err(StoreError::Full);
        }
        // First of all that is changed: if there is no room, nothing has happened.
        let owed = self.answers.owe(batch, row, message)?;
        let put = batch.txn.put(Shelf::Outbox, batch.epoch, &outgoing.encode(), &content, &[], batch.rng);
        let id = match put {
            Ok(id) => id,
            Err(error) => {
                owed.iter().try_for_each(|owed| self.answers.done(batch, *owed))?;
                return Err(error);
            }
        };
        batch.quota.charge_mail(id, row, entry::slots_of(content.len()));
        self.answers.asked(batch, message, &owed)?;
        batch.txn.mark(Marks::Delivered, batch.epoch, mark)?;
        self.outbox.insert(id, outgoing);
        batch.counts.assembled += 1;
        Ok(())
    }

    /// Whether one recipient has had, or is to get, what goes out in two spans: who sends more wants to bury somebody.
    fn has_enough(&mut self, exit: &ExitSetup, to: &RecipientMark, now: Time) -> bool {
        let Some(rate) = exit.limits.per_recipient else { return false };
        let all = self.outbox.waiting_for(to).saturating_add(self.meter.had(rate, to, now));
        all as u64 >= u64::from(rate.count).saturating_mul(2)
    }

    /// Drops sets that can't become whole any more, and the parts' room with them.
    pub(super) fn expire<R>(&mut self, batch: &mut Batch<'_, '_, R>) -> Result<(), StoreError> {
        let Some(document) = batch.document.filter(|_| !batch.clock_is_wrong) else { return Ok(()) };
        let oldest = batch.now.minus(document.params().epoch * GIVE_UP);
        let stale: Vec<SetId> = self.sets.iter().filter(|(_, set)| set.arrived < oldest).map(|(id, _)| *id).collect();
        for id in stale {
            self.end(batch, id)?;
            batch.counts.dropped += 1;
        }
        Ok(())
    }

    /// Hands out what may be tried now.
    pub(super) fn dispatch<R: CryptoRng>(&mut self, batch: &mut Batch<'_, '_, R>) -> Result<(), StoreError> {
        if !self.up {
            return Ok(());
        }
        // A node that is no exit hands out what its own senders are told, and nothing else.
        let limits = batch.setup.exit.as_ref().map_or_else(Limits::default, |exit| exit.limits);
        for _ in 0..LOOKED_AT {
            self.closed_until = self.meter.all_may_go(&limits, batch.now);
            if self.closed_until > batch.now || self.outbox.flying() >= WINDOW {
                break;
            }
            let Some((id, row)) = self.outbox.first(batch.now) else { break };
            if row.is_shelved() {
                self.forget(batch, id)?;
                continue;
            }
            let is_notice = matches!(row.what, What::Notice { .. });
            let free = if is_notice { batch.now } else { self.meter.may_go(&limits, &row.to, batch.now) };
            if is_too_old(batch, &row) && (free > batch.now || row.broken_off > 0) {
                self.give_up(batch, id, &row, Status::GivenUp, Class::None)?;
            } else if free <= batch.now {
                self.hand_out(batch, &limits, id, row)?;
            } else {
                // Not on disk: what keeps it waiting isn't there either.
                self.outbox.put_off(id, free);
            }
        }
        Ok(())
    }

    fn hand_out<R: CryptoRng>(
        &mut self,
        batch: &mut Batch<'_, '_, R>,
        limits: &Limits,
        id: RowId,
        row: Outgoing,
    ) -> Result<(), StoreError> {
        let (recipient, mail) = decode(&batch.txn.read(Shelf::Outbox, id)?.sealed)?;
        let notice = matches!(row.what, What::Notice { .. });
        let addressed = match &batch.setup.exit {
            _ if notice => Some((recipient, mail)),
            // They may have asked for it since it came.
            Some(exit) if !is_blocked(&batch.setup.block, &recipient, &mail) => {
                address(batch, exit, recipient, mail, row.deferred)
            }
            _ => None,
        };
        let Some((recipient, mail)) = addressed else {
            return self.give_up(batch, id, &row, Status::Refused, Class::None);
        };
        self.outbox.fly(id);
        if !notice {
            self.meter.goes(limits, row.to, batch.now);
        }
        batch.out.push(Output::Deliver { id: DeliveryId(id), recipient, mail, notice });
        Ok(())
    }

    fn give_up<R: CryptoRng>(
        &mut self,
        batch: &mut Batch<'_, '_, R>,
        id: RowId,
        row: &Outgoing,
        status: Status,
        class: Class,
    ) -> Result<(), StoreError> {
        batch.counts.undeliverable += 1;
        note(batch, row.message(), status, class)?;
        if matches!(row.what, What::Notice { arrived: false, .. }) {
            // The mail it is about is gone: this is all that says so.
            let until = batch.now.plus(batch.epoch_length.saturating_mul(entry::LISTED));
            let Some(kept) = self.outbox.shelve(id, until) else { return Ok(()) };
            return batch.txn.set_meta(Shelf::Outbox, id, batch.epoch, &kept.encode(), batch.rng);
        }
        self.forget(batch, id)
    }

    fn forget<R>(&mut self, batch: &mut Batch<'_, '_, R>, id: RowId) -> Result<(), StoreError> {
        self.outbox.remove(id);
        batch.quota.release_mail(id);
        batch.txn.delete(Shelf::Outbox, id)
    }

    /// What the MTA said: it has the mail now, or will not have it, or shall be asked again.
    pub(super) fn delivered<R: CryptoRng>(
        &mut self,
        batch: &mut Batch<'_, '_, R>,
        DeliveryId(id): DeliveryId,
        disposition: Disposition,
    ) -> Result<(), StoreError> {
        let Some(row) = self.outbox.land(id) else { return Ok(()) };
        let notice = matches!(row.what, What::Notice { .. });
        if disposition == Disposition::Delivered {
            if notice {
                batch.counts.told += 1;
            } else {
                batch.counts.delivered += 1;
            }
            note(batch, row.message(), Status::Accepted, Class::Success)?;
            return self.forget(batch, id);
        }
        if !notice {
            self.meter.came_back(&row.to);
        }
        let untried = untried(batch, &row);
        if !untried && disposition == Disposition::Permanent {
            return self.give_up(batch, id, &row, Status::Refused, Class::Permanent);
        }
        if !untried && is_too_old(batch, &row) {
            return self.give_up(batch, id, &row, Status::GivenUp, Class::Temporary);
        }
        batch.counts.deferred += u64::from(!untried);
        let (now, rng) = (batch.now, &mut *batch.rng);
        let next = |mail: &Outgoing| if untried { now } else { now.plus(retry::backoff(mail.deferred, rng)) };
        let Some(row) = self.outbox.defer(id, next) else { return Ok(()) };
        batch.txn.set_meta(Shelf::Outbox, id, batch.epoch, &row.encode(), batch.rng)
    }
}

/// The name of what waits for the MTA: a notice has that of the mail it is about, which its sender knows.
fn name(row: RowId, mail: &Outgoing, key: &Secret<32>) -> QueueId {
    match mail.what {
        What::Notice { of, .. } => of,
        What::Message { .. } => name_of_row(row, key),
    }
}

/// Whom a mail goes to, as what counts them goes by; without our key it tells nothing.
///
/// However a mailbox is spelled, it is one; and a posting goes to its groups, whatever its recipient is called.
fn recipient_mark<R>(batch: &Batch<'_, '_, R>, message: &Message) -> RecipientMark {
    let recipient = &message.recipient;
    let groups = if recipient.is_news() { news::groups(&message.mail, recipient) } else { None };
    let whom = groups.map_or_else(|| mailbox(recipient.local(), recipient.domain()), |groups| groups.join(","));
    address_mark(batch, &whom)
}

pub(super) fn address_mark<R>(batch: &Batch<'_, '_, R>, whom: &str) -> RecipientMark {
    let mut mark = [0; 16];
    let mut hash = blake3::Hasher::new_keyed(batch.setup.dedup_key.expose());
    hash.update(b"recipient").update(whom.as_bytes()).finalize_xof().fill(&mut mark);
    mark
}

/// Whether somebody whom this mail would reach has asked not to be written to: its recipient, or one of its groups.
fn is_blocked(block: &BlockList, recipient: &Address, mail: &[u8]) -> bool {
    let groups = if recipient.is_news() { news::groups(mail, recipient).unwrap_or_default() } else { Vec::new() };
    let blocks = |group: &String| {
        Address::parse(&format!("{group}@{}", news::DOMAIN)).is_ok_and(|address| block.blocks(&address))
    };
    block.blocks(recipient) || groups.iter().any(blocks)
}

/// Whether there is a gateway that has not been asked yet.
fn untried<R>(batch: &Batch<'_, '_, R>, row: &Outgoing) -> bool {
    let gateways = batch.setup.exit.as_ref().map_or(0, |exit| exit.gateways.len());
    row.is_news() && u64::from(row.deferred).saturating_add(1) < gateways as u64
}

/// The envelope's recipient and the mail as the MTA gets it: what is for news goes to a gateway, another one each time.
fn address<R>(
    batch: &Batch<'_, '_, R>,
    exit: &ExitSetup,
    recipient: Address,
    mail: Vec<u8>,
    deferred: u32,
) -> Option<(Address, Vec<u8>)> {
    if !recipient.is_news() {
        return Some((recipient, mail));
    }
    let groups = news::groups(&mail, &recipient)?;
    let turn = usize::try_from(deferred).ok()?.checked_rem(exit.gateways.len())?;
    let gateways = exit.gateways.iter().cycle().skip(turn).take(exit.gateways.len());
    let mut open = gateways.filter_map(|gateway| gateway.address(batch.now, &groups));
    let gateway = open.find(|gateway| !batch.setup.block.blocks(gateway))?;
    let mail = [format!("To: {gateway}\r\n").as_bytes(), &mail].concat();
    Some((gateway, mail))
}

fn is_too_old<R>(batch: &Batch<'_, '_, R>, row: &Outgoing) -> bool {
    let document = batch.document.filter(|_| !batch.clock_is_wrong);
    document.is_some_and(|document| batch.now.since(row.since) > document.params().epoch * GIVE_UP)
}

/// The message that the stored parts of a set and the last one are pieces of; none if they are of no message.
fn assemble<R>(
    batch: &Batch<'_, '_, R>,
    shape: Shape,
    set: Option<&Set>,
    last: (u8, &Shard),
) -> Result<Option<Message>, StoreError> {
    let mut contents = Vec::new();
    for (&index, &row) in set.iter().flat_map(|set| &set.parts) {
        contents.push((index, batch.txn.read(Shelf::Parts, row)?.sealed));
    }
    let mut shards = vec![last];
    for (index, content) in &contents {
        shards.push((*index, entry::shard(content)?));
    }
    let max_size = batch.document.map_or(0, entry::max_size);
    let packed = shards::join(shape, &shards);
    Ok(packed.ok().and_then(|packed| message::unpack(&packed, max_size).ok()))
}

/// The mail as its recipient gets it; if it is not for the world, or can't be cleaned, it is refused, and if it is only this
/// exit that doesn't take it, it is given up.
fn clean<R: CryptoRng>(batch: &mut Batch<'_, '_, R>, exit: &ExitSetup, message: &Message) -> Result<Vec<u8>, Status> {
    let document = batch.document.ok_or(Status::GivenUp)?;
    let mine = document.node(&batch.setup.me).ok_or(Status::GivenUp)?;
    let recipient = &message.recipient;
    if recipient.is_within(&batch.setup.suffix) || recipient.is_routed() {
        return Err(Status::Refused);
    }
    if is_blocked(&batch.setup.block, recipient, &message.mail) {
        return Err(Status::Refused);
    }
    let size = entry::size(message.mail.len());
    let taken = mine.exit.as_ref().is_some_and(|policy| policy.takes(recipient, size));
    if !taken {
        return Err(Status::GivenUp);
    }
    let newsgroups = if recipient.is_news() { news::groups(&message.mail, recipient) } else { Some(Vec::new()) };
    let newsgroups = newsgroups.ok_or(Status::Refused)?;
    let mut seed = [0; 32];
    batch.rng.fill_bytes(&mut seed);
    let rules = ExitRules {
        recipient,
        newsgroups: &newsgroups,
        comment: &exit.comment,
        from: &exit.from,
        from_name: &exit.from_name,
        message_id_domain: &document.params().message_id_domain,
        date: batch.now,
        seed,
    };
    sanitize::at_exit(&message.mail, &rules).map_err(|_| Status::Refused)
}

pub(super) fn encode(recipient: &Address, mail: &[u8]) -> Result<Vec<u8>, StoreError> {
    let mut w = Writer::with_capacity(mail.len() + 260);
    w.prefixed(recipient.to_string().as_bytes()).map_err(|_| damaged())?.bytes(mail);
    Ok(w.finish())
}

fn decode(content: &[u8]) -> Result<(Address, Vec<u8>), StoreError> {
    let mut r = Reader::new(content);
    let recipient = r.prefixed(1024).map_err(|_| damaged())?;
    let recipient = std::str::from_utf8(recipient).ok().and_then(|text| Address::parse(text).ok());
    Ok((recipient.ok_or(damaged())?, r.rest().to_vec()))
}
