//! The mix: takes packets in, holds them, and hands them on in shuffled batches.

use super::build::{self, Built};
use super::entry::size;
use super::keys::Keys;
use super::pool::{Due, Pool};
use super::quota::Quota;
use super::replies::Said;
use super::rows::{Pooled, Then, damaged};
use super::witness::Arrival;
use super::{Batch, Output, PacketId, Token};
use crate::directory::Document;
use crate::id::{Epoch, NodeId, SurbId};
use crate::mix::epoch;
use crate::mix::random::shuffle;
use crate::mix::route;
use crate::sphinx::geometry::{BODY_LEN, HEADER_LEN, PAYLOAD_LEN};
use crate::sphinx::{self, BodyKey, Command, Packet, Peeled};
use crate::store::{Marks, RowId, Shelf, Store, StoreError};
use crate::time::Time;
use rand_core::CryptoRng;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// Packets a neighbour may owe an acknowledgement for. Bounds memory (1 MiB a link) and what a broken link repeats.
pub const WINDOW: usize = 16;

/// Packets whose last layer comes off in one call: each costs 50 us, and the batch is one transaction.
const OPENED_AT_ONCE: usize = 64;

/// A packet whose last layer came off here.
pub(super) struct Ended {
    pub(super) row: RowId,
    pub(super) arrival: Option<Arrival>,
    pub(super) what: What,
}

/// What was under the last layer.
pub(super) enum What {
    /// What a packet carries to the end of its path.
    Payload(Box<[u8; PAYLOAD_LEN]>),
    /// What came by a reply block of ours; nothing, if it is no answer.
    Answer(SurbId, Option<Said>),
}

/// The pool and the neighbours it empties into.
#[derive(Debug, Default)]
pub(super) struct Relay {
    pool: Pool,
    /// Due rows whose last layer is still to come off.
    ending: VecDeque<RowId>,
    neighbours: BTreeMap<NodeId, Neighbour>,
    /// The oldest key that a next hop may still accept, when that was last looked at.
    oldest_key: Option<Epoch>,
    /// When a link last came up, which it does only where the two clocks agree.
    clocks_agreed: Option<Time>,
    /// When a batch is to leave again, be there packets for it or not; none while nothing may be sent.
    next_batch: Option<Time>,
}

#[derive(Debug, Default)]
struct Neighbour {
    up: bool,
    wanted: bool,
    /// Since when there should be a link and is none.
    down_since: Option<Time>,
    /// Due, not sent.
    ready: VecDeque<RowId>,
    /// Sent, not acknowledged, in the order in which they were sent.
    flying: VecDeque<RowId>,
}

impl Relay {
    pub(super) fn open(store: &Store, quota: &mut Quota) -> Result<Self, StoreError> {
        let mut relay = Self::default();
        for row in store.rows(Shelf::Pool)? {
            let pooled = Pooled::decode(&row.meta)?;
            if !matches!(pooled.then, Then::Send(_)) {
                quota.charge(row.id, None);
            }
            relay.pool.hold(row.id, pooled);
        }
        Ok(relay)
    }

    pub(super) fn next_due(&self) -> Option<Time> {
        if !self.ending.is_empty() {
            return Some(Time::from_millis(0));
        }
        [self.pool.next_due(), self.next_batch].into_iter().flatten().min()
    }

    /// Packets held.
    pub(super) fn packets(&self) -> u64 {
        size(self.pool.len())
    }

    /// Packets that are due and that no neighbour has taken.
    pub(super) fn overdue(&self) -> u64 {
        self.neighbours.values().map(|neighbour| size(neighbour.ready.len() + neighbour.flying.len())).sum()
    }

    /// Peels a packet and pools it. One answer for every outcome, at the same point of the same path, after the same work
    /// for the disk; only where there is no room, or none for this neighbour, it is another, and then nothing is
    /// remembered of the packet.
    pub(super) fn packet<R: CryptoRng>(
        &mut self,
        batch: &mut Batch<'_, '_, R>,
        keys: &Keys,
        token: Token,
        from: NodeId,
        packet: &Packet,
    ) -> Result<(), StoreError> {
        match self.admit(batch, keys, from, packet) {
            Ok(()) => batch.out.push(Output::Disposed(token)),
            Err(StoreError::Full) => batch.out.push(Output::Busy(token)),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn admit<R: CryptoRng>(
        &mut self,
        batch: &mut Batch<'_, '_, R>,
        keys: &Keys,
        from: NodeId,
        packet: &Packet,
    ) -> Result<(), StoreError> {
        if batch.disk_is_low || !batch.quota.admits(&from, batch.epoch, batch.setup.max_spool, batch.setup.rooms()) {
            // Before any KEM. What others hold for us is safe with them.
            return Err(StoreError::Full);
        }
        let Some((epoch, opened)) = keys.open(packet.header(), &batch.setup.me) else {
            if batch.clock_is_wrong {
                // It may be for a key that the clock says is out of use: it can wait where it is.
                return Err(StoreError::Full);
            }
            refuse(batch, packet)?;
            batch.counts.dropped += 1;
            return Ok(());
        };
        // The tag is looked up before the body is touched, so that a flood of replays costs one KEM each.
        let tag = opened.tag();
        if batch.txn.marked(Marks::Replay, epoch, &tag.0)? {
            refuse(batch, packet)?;
            batch.counts.replayed += 1;
            return Ok(());
        }
        let peeled = opened.route().ok();
        let row = peeled.as_ref().and_then(|peeled| place(batch, peeled));
        match (row, peeled) {
            (Some(row), Some(peeled)) => {
                let id = self.put(batch, row, &record(&peeled), packet.body())?;
                self.pool.hold(id, row);
                batch.quota.charge(id, Some(from));
                batch.counts.taken += 1;
                batch.book.arrived(id, batch.now, from, packet);
            }
            (_, peeled) => {
                refuse(batch, packet)?;
                let is_cover = peeled.is_some_and(|peeled| peeled.command == Command::Drop);
                *(if is_cover { &mut batch.counts.cover } else { &mut batch.counts.dropped }) += 1;
            }
        }
        batch.txn.mark(Marks::Replay, epoch, tag.0)?;
        batch.quota.tagged(from, batch.epoch);
        Ok(())
    }

    /// Pools a packet built here, to leave at the next tick among all others. False if there is no room for it.
    pub(super) fn send_own<R: CryptoRng>(
        &mut self,
        batch: &mut Batch<'_, '_, R>,
        built: &Built,
    ) -> Result<bool, StoreError> {
        let Some((id, row)) = self.put_own(batch, built)? else { return Ok(false) };
        self.pool.hold(id, row);
        Ok(true)
    }

    fn put_own<R: CryptoRng>(
        &self,
        batch: &mut Batch<'_, '_, R>,
        Built { packet, path, leaves, .. }: &Built,
    ) -> Result<Option<(RowId, Pooled)>, StoreError> {
        let Some(&first) = path.first() else { return Ok(None) };
        let row = Pooled { due: *leaves, then: Then::Send(first) };
        match self.put(batch, row, packet.header(), packet.body()) {
            Ok(id) => Ok(Some((id, row))),
            Err(StoreError::Full) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn put<R: CryptoRng>(
        &self,
        batch: &mut Batch<'_, '_, R>,
        row: Pooled,
        record: &[u8],
        body: &[u8; BODY_LEN],
    ) -> Result<RowId, StoreError> {
        let epoch = batch.epoch_of(row.due);
        let id = batch.txn.put(Shelf::Pool, epoch, &row.encode(), record, body, batch.rng)?;
        batch.counts.pooled += 1;
        Ok(id)
    }

    /// Keeps a packet that ended here for a little longer, because there was no room for what it carried.
    pub(super) fn keep(&mut self, now: Time, id: RowId) {
        self.pool.keep(now, id);
    }

    /// Whether there is a link to anybody.
    pub(super) fn has_link(&self) -> bool {
        self.neighbours.values().any(|neighbour| neighbour.up)
    }

    /// Whether packets can't go to this node now. A link that has just been asked for, or has just broken, counts as one.
    pub(super) fn is_down<R>(&self, batch: &Batch<'_, '_, R>, node: &NodeId) -> bool {
        let since = self.neighbours.get(node).and_then(|neighbour| neighbour.down_since);
        since.is_some_and(|since| batch.now.since(since) > batch.params.tick)
    }

    /// Lets go of what is due: tops it up with cover, hands the order to chance, and returns what ends here. What is
    /// returned is still in the pool: `forget` or `keep` it.
    pub(super) fn due<R: CryptoRng>(&mut self, batch: &mut Batch<'_, '_, R>) -> Result<Vec<Ended>, StoreError> {
        let is_sure = self.is_clock_sure(batch);
        let Due { mut leaving, lost } = self.pool.take_due(batch.now, batch.params, is_sure, batch.rng);
        for id in lost {
            batch.counts.dropped += 1;
            self.forget(batch, id)?;
        }
        self.top_up(batch, &mut leaving)?;
        shuffle(&mut leaving, batch.rng);
        for id in leaving {
            match self.pool.get(id).map(|row| row.then) {
                Some(Then::Forward(to) | Then::Send(to)) => self.neighbours.entry(to).or_default().ready.push_back(id),
                Some(Then::Open | Then::Reply(_)) => self.ending.push_back(id),
                None => {}
            }
        }
        self.open_last_layers(batch)
    }

    /// At every tick, makes a batch of what leaves: fills it up with cover where it is small, even out of nothing. Who
    /// holds back from us all packets but one would see that one leave by itself else.
    ///
    /// This cover goes to any mix first, as what we pass on for others does: at a kept first hop it would hide nothing
    /// that goes elsewhere.
    fn top_up<R: CryptoRng>(
        &mut self,
        batch: &mut Batch<'_, '_, R>,
        leaving: &mut Vec<RowId>,
    ) -> Result<(), StoreError> {
        let (params, now) = (batch.params, batch.now);
        let Some(document) = batch.sends_by().filter(|_| params.batch_min > 0) else {
            self.next_batch = None;
            return Ok(());
        };
        let next = now.plus(Duration::from_millis(1)).next_tick(params.tick);
        if self.next_batch.replace(next).is_none_or(|at| at > now) {
            return Ok(());
        }
        let goes = |id: &RowId| match self.pool.get(*id)?.then {
            Then::Forward(to) | Then::Send(to) => Some(to),
            Then::Open | Then::Reply(_) => None,
        };
        let count = leaving.iter().filter_map(goes).filter(|to| !self.is_down(batch, to)).count();
        let mut firsts = route::firsts(document, &batch.setup.me);
        firsts.retain(|id| !self.is_down(batch, id));
        for _ in count..usize::from(params.batch_min) {
            let built = if firsts.is_empty() { None } else { build::drop(batch, document, now, &firsts) };
            let Some(built) = built else { break };
            let Some((id, row)) = self.put_own(batch, &built)? else { break };
            self.pool.add(id, row);
            leaving.push(id);
            batch.counts.drops += 1;
        }
        Ok(())
    }

    fn open_last_layers<R>(&mut self, batch: &mut Batch<'_, '_, R>) -> Result<Vec<Ended>, StoreError> {
        let mut ended = Vec::new();
        for _ in 0..OPENED_AT_ONCE {
            let Some(id) = self.ending.pop_front() else { break };
            let content = batch.txn.read(Shelf::Pool, id)?;
            let mut body = array::<BODY_LEN>(&content.raw)?;
            sphinx::open_body(&BodyKey::from_bytes(&array(&content.sealed)?), &mut body);
            let arrival = batch.book.arrival(id);
            if let Some(Then::Reply(surb)) = self.pool.get(id).map(|row| row.then) {
                let said = batch.replies.read(&batch.txn, &surb, &mut body)?;
                ended.push(Ended { row: id, arrival, what: What::Answer(surb, said) });
                continue;
            }
            match sphinx::payload_of(&body) {
                Ok(payload) => {
                    ended.push(Ended { row: id, arrival, what: What::Payload(Box::new(*payload)) });
                }
                // Nobody is told: the sender tagged it, or a mix on the way did.
                Err(_) => {
                    batch.counts.dropped += 1;
                    self.forget(batch, id)?;
                }
            }
        }
        Ok(ended)
    }

    /// Hands due packets to the links that take them, and asks for the links that are missing.
    pub(super) fn dispatch<R>(&mut self, batch: &mut Batch<'_, '_, R>) -> Result<(), StoreError> {
        self.drop_unreachable(batch)?;
        self.drop_late(batch)?;
        for (to, neighbour) in &mut self.neighbours {
            if neighbour.ready.is_empty() {
                continue;
            }
            if !neighbour.wanted {
                neighbour.wanted = true;
                neighbour.down_since = (!neighbour.up).then_some(batch.now);
                batch.out.push(Output::Connect(*to));
            }
            while neighbour.up && neighbour.flying.len() < WINDOW {
                let Some(id) = neighbour.ready.pop_front() else { break };
                let Some(row) = self.pool.get(id) else { continue };
                let packet = outgoing(batch, id, row.then)?;
                batch.book.left(id, batch.now, *to, &packet, &mut batch.out);
                neighbour.flying.push_back(id);
                batch.out.push(Output::Send { to: *to, id: PacketId(id), packet });
            }
        }
        Ok(())
    }

    /// A next hop that neither the document nor the one before names can't be reached, now or later.
    fn drop_unreachable<R>(&mut self, batch: &mut Batch<'_, '_, R>) -> Result<(), StoreError> {
        if batch.document.is_none() {
            return Ok(());
        }
        let gone: Vec<NodeId> = self
            .neighbours
            .iter()
            .filter(|(id, neighbour)| !neighbour.ready.is_empty() && !batch.is_known(id))
            .map(|(id, _)| *id)
            .collect();
        for id in gone {
            let ready = self.neighbours.get_mut(&id).map(|neighbour| std::mem::take(&mut neighbour.ready));
            for row in ready.unwrap_or_default() {
                self.forget(batch, row)?;
                batch.counts.dropped += 1;
            }
        }
        Ok(())
    }

    /// A next hop that was away until the key was out of use that a packet is for can do nothing with it. To hold on to
    /// it would fill, for good, the share of a neighbour that only passed it on. By our clock alone nothing is dropped:
    /// it may have jumped, and what seems late to it is not.
    fn drop_late<R>(&mut self, batch: &mut Batch<'_, '_, R>) -> Result<(), StoreError> {
        let Some(params) = batch.document.map(Document::params) else { return Ok(()) };
        if !self.is_clock_sure(batch) {
            return Ok(());
        }
        // A little later than by our clock: the next hop's may be behind.
        let oldest_key = *epoch::accepted(batch.now.minus(params.epoch / 12), params).start();
        if self.oldest_key.replace(oldest_key) == Some(oldest_key) {
            return Ok(());
        }
        let ready = self.neighbours.values().flat_map(|neighbour| &neighbour.ready);
        let due = |id: &RowId| self.pool.get(*id).map(|row| row.due);
        let newest_key = |due| *epoch::accepted(due, params).end();
        let late: BTreeSet<RowId> =
            ready.filter(|id| due(id).is_some_and(|due| newest_key(due) < oldest_key)).copied().collect();
        self.neighbours.values_mut().for_each(|neighbour| neighbour.ready.retain(|id| !late.contains(id)));
        for id in late {
            self.forget(batch, id)?;
            batch.counts.dropped += 1;
        }
        Ok(())
    }

    /// Whether our clock was found right lately.
    fn is_clock_sure<R>(&self, batch: &Batch<'_, '_, R>) -> bool {
        let lately = |agreed| batch.now.since(agreed) <= batch.params.epoch / 24;
        !batch.clock_is_wrong && self.clocks_agreed.is_some_and(lately)
    }

    pub(super) fn link_up(&mut self, peer: NodeId, now: Time) {
        self.link_down(peer, now);
        self.clocks_agreed = Some(now);
        let neighbour = self.neighbours.entry(peer).or_default();
        (neighbour.up, neighbour.down_since) = (true, None);
    }

    pub(super) fn link_down(&mut self, peer: NodeId, now: Time) {
        let neighbour = self.neighbours.entry(peer).or_default();
        neighbour.up = false;
        neighbour.down_since.get_or_insert(now);
        // In the order in which they went. Any other, that of their ids for one, would tell the peer who came first.
        for id in std::mem::take(&mut neighbour.flying).into_iter().rev() {
            neighbour.ready.push_front(id);
        }
    }

    /// The next hop has it on disk: only now may it go here.
    pub(super) fn acked<R>(
        &mut self,
        batch: &mut Batch<'_, '_, R>,
        to: NodeId,
        PacketId(id): PacketId,
    ) -> Result<(), StoreError> {
        let Some(neighbour) = self.neighbours.get_mut(&to) else { return Ok(()) };
        let Some(place) = neighbour.flying.iter().position(|flying| *flying == id) else { return Ok(()) };
        neighbour.flying.remove(place);
        batch.counts.handed_on += 1;
        self.forget(batch, id)
    }

    /// Deletes a packet that somebody else answers for now, or nobody.
    pub(super) fn forget<R>(&mut self, batch: &mut Batch<'_, '_, R>, id: RowId) -> Result<(), StoreError> {
        self.pool.remove(id);
        batch.book.forget(id);
        batch.quota.release(id);
        batch.txn.delete(Shelf::Pool, id)
    }
}

/// Refuses a packet for the price of one that is taken: it is written as that would be, and is gone by the same commit. A
/// neighbour that measures how long it waits for its acknowledgement does not learn what became of the packet either,
/// cover that ends here or mail that goes on.
///
/// # Errors
/// `Full`, as for one that would be taken.
fn refuse<R: CryptoRng>(batch: &mut Batch<'_, '_, R>, packet: &Packet) -> Result<(), StoreError> {
    let id = batch.txn.put(Shelf::Pool, batch.epoch, &[], packet.header(), packet.body(), batch.rng)?;
    batch.txn.delete(Shelf::Pool, id)
}

/// Where a peeled packet goes and when, if it goes anywhere.
fn place<R>(batch: &Batch<'_, '_, R>, peeled: &Peeled) -> Option<Pooled> {
    let (delay, then) = match peeled.command {
        Command::Forward { next, delay_ms } => (delay_ms, Then::Forward(next)),
        // At a node that is no exit it may be one of our loops, which shows only when it is opened.
        Command::Deliver { delay_ms } => (delay_ms, Then::Open),
        // It ends here, and has no delay of its own.
        Command::Reply { surb } if batch.replies.expects(&surb) => {
            return Some(Pooled { due: batch.now.next_tick(batch.params.tick), then: Then::Reply(surb) });
        }
        // A reply block that is not ours or is used up; and cover, which ends here.
        Command::Reply { .. } | Command::Drop => return None,
    };
    let params = batch.document?.params();
    let delay = Duration::from_millis(delay.into());
    if !batch.bounds.allow(delay) {
        return None;
    }
    if matches!(then, Then::Forward(next) if !may_be_next(batch, &next)) {
        return None;
    }
    Some(Pooled { due: batch.now.plus(delay).next_tick(params.tick), then })
}

/// Whether there can ever be a link to it: a packet for nobody would lie here for good.
fn may_be_next<R>(batch: &Batch<'_, '_, R>, next: &NodeId) -> bool {
    *next != batch.setup.me && batch.is_known(next)
}

/// What is sealed beside a pooled body: the key to the body, then the next hop's header.
fn record(peeled: &Peeled) -> Vec<u8> {
    let mut record = peeled.body_key.as_bytes().to_vec();
    if let Some(header) = &peeled.next_header {
        record.extend_from_slice(header.as_slice());
    }
    record
}

fn outgoing<R>(batch: &Batch<'_, '_, R>, id: RowId, then: Then) -> Result<Packet, StoreError> {
    let content = batch.txn.read(Shelf::Pool, id)?;
    let mut body = array::<BODY_LEN>(&content.raw)?;
    if matches!(then, Then::Send(_)) {
        return Ok(Packet::from_parts(&array::<HEADER_LEN>(&content.sealed)?, &body));
    }
    let (key, header) = content.sealed.split_at_checked(BodyKey::LEN).ok_or(damaged())?;
    sphinx::open_body(&BodyKey::from_bytes(&array(key)?), &mut body);
    Ok(Packet::from_parts(&array::<HEADER_LEN>(header)?, &body))
}

fn array<const N: usize>(bytes: &[u8]) -> Result<[u8; N], StoreError> {
    bytes.try_into().map_err(|_| damaged())
}
