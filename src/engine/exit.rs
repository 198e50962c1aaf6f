//! The exit: puts mail together again, cleans it once more, and hands it to the local MTA.

use super::quota::Quota;
use super::relay::Ended;
use super::rows::{Outgoing, Part, Place, damaged};
use super::{Batch, DeliveryId, ExitSetup, Output, entry};
use crate::delivery::Disposition;
use crate::id::SetId;
use crate::mail::address::Address;
use crate::mail::sanitize::{self, ExitRules};
use crate::message::payload::{Fragment, Payload};
use crate::message::shards::{self, Shape, Shard};
use crate::message::{self, Message};
use crate::mix::retry;
use crate::store::{Marks, RowId, Shelf, Store, StoreError};
use crate::time::Time;
use crate::wire::{Reader, Writer};
use rand_core::CryptoRng;
use std::collections::{BTreeMap, BTreeSet};

/// Mails given to the exit process and not answered. Bounds what is handed out twice when it dies.
pub const WINDOW: usize = 4;

/// After this many epochs a mail that the MTA keeps deferring is given up, and a set that never became whole dropped.
const GIVE_UP: u32 = 5;

/// What this node puts together and hands out.
#[derive(Debug, Default)]
pub(super) struct Exit {
    up: bool,
    sets: BTreeMap<SetId, Set>,
    outbox: BTreeMap<RowId, Outgoing>,
    flying: BTreeSet<RowId>,
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
        let mut exit = Self::default();
        for row in store.rows(Shelf::Parts)? {
            let Part { arrived, place } = Part::decode(&row.meta)?;
            quota.charge(row.id, None);
            let set = exit.sets.entry(place.set).or_insert(Set { shape: place.shape, arrived, parts: BTreeMap::new() });
            set.parts.insert(place.index, row.id);
        }
        for row in store.rows(Shelf::Outbox)? {
            exit.outbox.insert(row.id, Outgoing::decode(&row.meta)?);
        }
        Ok(exit)
    }

    /// The next time a mail may be handed out; none while nobody is there to take it.
    pub(super) fn next_try(&self) -> Option<Time> {
        if !self.up || self.flying.len() >= WINDOW {
            return None;
        }
        self.outbox.iter().filter(|(row, _)| !self.flying.contains(row)).map(|(_, mail)| mail.next).min()
    }

    pub(super) fn up(&mut self) {
        self.down();
        self.up = true;
    }

    pub(super) fn down(&mut self) {
        self.up = false;
        self.flying.clear();
    }

    /// Takes what a packet carried that ended here.
    pub(super) fn payload<R: CryptoRng>(
        &mut self,
        batch: &mut Batch<'_, '_, R>,
        ended: &Ended,
    ) -> Result<(), StoreError> {
        match Payload::decode(&ended.payload) {
            Ok(Payload::Fragment(fragment)) => self.fragment(batch, ended, &fragment),
            // Receipts come through SURBs and loops end at their sender: here they have no use.
            Ok(Payload::Receipt(_) | Payload::Loop(_)) | Err(_) => {
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
            let part = Part { arrived: batch.now, place };
            let part = batch.txn.put(Shelf::Parts, batch.epoch, &part.encode(), shard, &[], batch.rng)?;
            // It lies here for as long as its siblings stay away, which its sender decides.
            batch.quota.inherit(row, part);
            let kept = Set { shape, arrived: batch.now, parts: BTreeMap::new() };
            self.sets.entry(set).or_insert(kept).parts.insert(index, part);
            batch.book.opened(arrival, set, batch.now, &mut batch.out);
            return Ok(());
        }
        // The last one needs no row of its own: until the mail is in the outbox, its packet stays in the pool.
        let whole = assemble(batch, shape, self.sets.get(&set), (index, shard))?;
        if let Some(message) = &whole {
            self.receive(batch, message)?;
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
            batch.quota.release(row);
            batch.txn.delete(Shelf::Parts, row)
        })
    }

    /// Puts a mail into the outbox, once however often it comes.
    fn receive<R: CryptoRng>(&mut self, batch: &mut Batch<'_, '_, R>, message: &Message) -> Result<(), StoreError> {
        let Some(exit) = &batch.setup.exit else { return Ok(()) };
        let mark = batch.mark_of(Marks::Delivered, &message.id);
        if batch.remembered(Marks::Delivered, &mark)? {
            return Ok(());
        }
        if batch.is_full() {
            // The MTA takes nothing. The packet stays in the pool, and in the share of who handed it over.
            return Err(StoreError::Full);
        }
        let Some(mail) = clean(batch, exit, message) else {
            batch.counts.undeliverable += 1;
            return batch.txn.mark(Marks::Delivered, batch.epoch, mark).map(drop);
        };
        let row = Outgoing { since: batch.now, deferred: 0, next: batch.now };
        let content = encode(&message.recipient, &mail)?;
        // First of all that is changed: if there is no room, nothing has happened.
        let id = batch.txn.put(Shelf::Outbox, batch.epoch, &row.encode(), &content, &[], batch.rng)?;
        batch.ours += entry::slots_of(content.len());
        batch.txn.mark(Marks::Delivered, batch.epoch, mark)?;
        self.outbox.insert(id, row);
        batch.counts.assembled += 1;
        Ok(())
    }

    /// Drops sets that can't become whole any more, and the parts' room with them.
    pub(super) fn expire<R>(&mut self, batch: &mut Batch<'_, '_, R>) -> Result<(), StoreError> {
        let Some(document) = batch.document else { return Ok(()) };
        let oldest = batch.now.minus(document.params().epoch * GIVE_UP);
        let stale: Vec<SetId> = self.sets.iter().filter(|(_, set)| set.arrived < oldest).map(|(id, _)| *id).collect();
        for id in stale {
            self.end(batch, id)?;
            batch.counts.dropped += 1;
        }
        Ok(())
    }

    /// Hands out what may be tried now.
    pub(super) fn dispatch<R>(&mut self, batch: &mut Batch<'_, '_, R>) -> Result<(), StoreError> {
        if !self.up {
            return Ok(());
        }
        for (&id, row) in &self.outbox {
            if self.flying.len() >= WINDOW {
                break;
            }
            if row.next > batch.now || self.flying.contains(&id) {
                continue;
            }
            let (recipient, mail) = decode(&batch.txn.read(Shelf::Outbox, id)?.sealed)?;
            self.flying.insert(id);
            batch.out.push(Output::Deliver { id: DeliveryId(id), recipient, mail });
        }
        Ok(())
    }

    /// What the MTA said: it has the mail now, or will not have it, or shall be asked again.
    pub(super) fn delivered<R: CryptoRng>(
        &mut self,
        batch: &mut Batch<'_, '_, R>,
        DeliveryId(id): DeliveryId,
        disposition: Disposition,
    ) -> Result<(), StoreError> {
        if !self.flying.remove(&id) {
            return Ok(());
        }
        let Some(row) = self.outbox.get_mut(&id) else { return Ok(()) };
        match disposition {
            Disposition::Temporary if !is_too_old(batch, row) => {
                row.deferred = row.deferred.saturating_add(1);
                row.next = batch.now.plus(retry::backoff(row.deferred, batch.rng));
                let meta = row.encode();
                return batch.txn.set_meta(Shelf::Outbox, id, batch.epoch, &meta, batch.rng);
            }
            Disposition::Delivered => batch.counts.delivered += 1,
            Disposition::Temporary | Disposition::Permanent => batch.counts.undeliverable += 1,
        }
        self.outbox.remove(&id);
        batch.txn.delete(Shelf::Outbox, id)
    }
}

fn is_too_old<R>(batch: &Batch<'_, '_, R>, row: &Outgoing) -> bool {
    batch.document.is_some_and(|document| batch.now.since(row.since) > document.params().epoch * GIVE_UP)
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

/// The mail as its recipient gets it; none if it is not for the world or can't be cleaned.
fn clean<R: CryptoRng>(batch: &mut Batch<'_, '_, R>, exit: &ExitSetup, message: &Message) -> Option<Vec<u8>> {
    let document = batch.document?;
    let mine = document.node(&batch.setup.me)?;
    let to_the_network = message.recipient.is_within(&batch.setup.suffix);
    let size = entry::size(message.mail.len());
    let taken = mine.exit.as_ref().is_some_and(|policy| policy.takes(&message.recipient, size));
    if to_the_network || !taken {
        return None;
    }
    let mut seed = [0; 32];
    batch.rng.fill_bytes(&mut seed);
    let rules = ExitRules {
        recipient: &message.recipient,
        from: &exit.from,
        from_name: &exit.from_name,
        message_id_domain: &document.params().message_id_domain,
        date: batch.now,
        seed,
    };
    sanitize::at_exit(&message.mail, &rules).ok()
}

fn encode(recipient: &Address, mail: &[u8]) -> Result<Vec<u8>, StoreError> {
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
