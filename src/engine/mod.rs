//! The node's decisions: what becomes of each mail, packet and acknowledgement.
//!
//! [`Engine::handle`] takes a batch of inputs and returns outputs that are *already committed*: an acknowledgement in
//! them may be sent, because what it acknowledges is on disk. It has a store, but no clock, sockets, threads or
//! randomness of its own, so the same inputs, times and seed give the same outputs.
//!
//! The one rule of custody: a row is deleted when its next owner has acknowledged it, and in no other place but where
//! it is refused or given up for good.

mod admit;
mod answers;
mod batch;
mod bounds;
mod build;
mod clock;
mod custody;
mod entry;
mod epochs;
mod exit;
mod fates;
mod figures;
mod first_hops;
mod health;
mod journey;
mod keys;
mod loops;
mod meter;
mod outbox;
mod pace;
mod parts;
mod pings;
mod pool;
mod ports;
mod proof;
mod queue;
mod quota;
mod relay;
mod replies;
mod rows;
mod schedule;
mod setup;
mod standing;
mod tally;
mod tries;
mod witness;

pub use clock::ClockFault;
pub use exit::WINDOW as EXIT_WINDOW;
pub use figures::{Counts, Held};
pub use health::{LoopFigures, measured};
pub use keys::rotate as rotate_mix_keys;
pub use meter::Limits;
pub use pings::{PingAnswer, PingAsk, Pinged};
pub use ports::{DeliveryId, Input, Output, PacketId, Token};
pub use queue::{Listed, QueueAnswer, QueueAsk, State};
pub use relay::WINDOW;
pub use setup::{EntrySetup, ExitSetup, Settings, Setup};
pub use tries::pieces_of;
pub use witness::{Print, Witness};

use crate::directory::{Document, MIX_KEYS, Measured, Params};
use crate::id::{Epoch, NodeId};
use crate::message::payload::Payload;
use crate::sphinx::xwing::{MixKey, PublicKey};
use crate::store::{Marks, Store, StoreError};
use crate::time::Time;
use batch::{Batch, REMEMBERED};
use bounds::Bounds;
use clock::Clock;
use entry::Entry;
use epochs::Epochs;
use exit::Exit;
use keys::Keys;
use quota::Quota;
use rand_core::CryptoRng;
use relay::{Relay, What};
use replies::Replies;
use schedule::Schedule;
use std::collections::{BTreeMap, BTreeSet};
use witness::Book;

/// A node without its sockets and its clock.
pub struct Engine {
    store: Store,
    keys: Keys,
    epochs: Epochs,
    bounds: Bounds,
    clock: Clock,
    setup: Setup,
    document: Option<Box<Document>>,
    /// Who was in the document before: by that one it lets us in still, and what waits for it can go.
    before: BTreeSet<NodeId>,
    /// The epoch of which there are two documents, if there is one.
    forked: Option<Epoch>,
    counts: Counts,
    relay: Relay,
    entry: Entry,
    schedule: Schedule,
    exit: Exit,
    book: Book,
    quota: Quota,
    replies: Replies,
    /// Whether the disk has no more room for the spool.
    disk_is_low: bool,
}

impl Engine {
    /// Takes up the work where the store says it was left.
    ///
    /// # Errors
    /// `StoreError` if the store can't be read.
    pub fn open(store: Store, setup: Setup, document: Option<Box<Document>>) -> Result<Self, StoreError> {
        let mut quota = Quota::default();
        let (mut epochs, mut bounds, good) = Epochs::open(&store)?;
        if let Some(document) = &document {
            epochs.document(document);
            bounds.add(document);
        }
        Ok(Self {
            epochs,
            bounds,
            clock: Clock::open(good),
            relay: Relay::open(&store, &mut quota)?,
            entry: Entry::open(&store)?,
            schedule: Schedule::open(&store)?,
            exit: Exit::open(&store, &mut quota)?,
            replies: Replies::open(&store)?,
            book: Book::new(document.as_deref()),
            keys: Keys::default(),
            counts: Counts::default(),
            store,
            setup,
            document,
            before: BTreeSet::new(),
            forked: None,
            quota,
            disk_is_low: false,
        })
    }

    /// This engine, when it went by `before` until the document it was opened with came.
    #[must_use]
    pub fn after(mut self, before: &Document) -> Self {
        self.bounds.add(before);
        Self { before: nodes_of(before), ..self }
    }

    /// This engine, where there are two documents of the epoch of the one it was opened with.
    #[must_use]
    pub fn forked(self) -> Self {
        Self { forked: self.document.as_ref().map(|document| document.epoch()), ..self }
    }

    /// Applies `inputs` and everything that is due by `now`, in one transaction.
    ///
    /// # Errors
    /// `StoreError` if it could not be committed. Nothing was applied then and nothing may be acknowledged; what the
    /// engine remembers is no longer what the store holds, so the caller must stop the node.
    pub fn handle<R: CryptoRng>(
        &mut self,
        inputs: Vec<Input>,
        now: Time,
        rng: &mut R,
    ) -> Result<Vec<Output>, StoreError> {
        let inputs = self.take_changes(inputs);
        // A node without a document keeps keys of the usual length; nothing is sent under them.
        let params = self.document.as_ref().map_or_else(Params::default, |document| document.params().clone());
        let least = self.turn(now, &params, rng)?;
        // Taken off here: what others hand over or take away in this batch changes both.
        let ours = self.store.usage()?.slots.saturating_sub(self.quota.slots());
        let epoch = now.epoch(params.epoch).max(least);
        let outlived = self.outlived_marks(epoch);
        let mut batch = Batch {
            txn: self.store.begin()?,
            now,
            rng,
            out: Vec::new(),
            setup: &self.setup,
            document: self.document.as_deref(),
            before: &self.before,
            forked: self.forked,
            counts: &mut self.counts,
            book: &mut self.book,
            quota: &mut self.quota,
            replies: &mut self.replies,
            epoch,
            epoch_length: params.epoch,
            least,
            bounds: &self.bounds,
            clock_is_wrong: self.clock.fault().is_some(),
            disk_is_low: self.disk_is_low,
            params: &params,
            ours,
        };
        for (kind, epoch) in outlived {
            batch.txn.drop_marks(kind, epoch);
        }
        for input in inputs {
            apply(input, &mut batch, &self.keys, &mut self.relay, &mut self.entry, &mut self.schedule, &mut self.exit)?;
        }
        advance(&mut batch, &mut self.relay, &mut self.entry, &mut self.schedule, &mut self.exit)?;
        self.epochs.work(&mut batch, self.clock.good())?;
        let Batch { txn, out, .. } = batch;
        txn.commit()?;
        Ok(out)
    }

    /// What time does to keys, before anything else of a batch is done: makes and destroys them. Gives the first epoch that
    /// is not proved to be over.
    fn turn<R: CryptoRng>(&mut self, now: Time, params: &Params, rng: &mut R) -> Result<Epoch, StoreError> {
        let (document, me) = (self.document.as_deref(), &self.setup.me);
        self.clock.look(now, document, me);
        let least = self.epochs.least(params.epoch);
        let used = self.keys.turn(&mut self.store, now, least, params, rng)?;
        if self.clock.fault().is_none() {
            let confirmed = self.clock.is_confirmed();
            let is_named =
                |epoch| document.and_then(|it| it.node(me)).is_some_and(|it| it.mix_keys.contains_key(&epoch));
            self.epochs.destroy(&mut self.store, &used, least, |epoch| confirmed && !is_named(epoch))?;
            self.bounds.forget(least.min(*used.start()));
        }
        Ok(least)
    }

    /// When `handle` wants to be called again if nothing happens before; none if nothing waits.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Time> {
        if self.epochs.is_busy() {
            return Some(Time::from_millis(0));
        }
        // By a clock that is wrong no mail's time is up.
        let mails = if self.clock.fault().is_none() { self.entry.next_wakeup() } else { None };
        [self.relay.next_due(), self.schedule.next_slot(), mails, self.exit.next_try()].into_iter().flatten().min()
    }

    /// What has happened since the start.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// What became of this node's loops of late.
    #[must_use]
    pub fn loops(&self, now: Time) -> LoopFigures {
        self.schedule.figures(self.epoch_of(now))
    }

    /// Whether all loops stay away: somebody may hold back everything but what they want to follow.
    #[must_use]
    pub const fn is_held_back(&self) -> bool {
        self.schedule.is_held_back()
    }

    /// What this node has found of the others of its document, for its descriptor; none before it has measured any.
    #[must_use]
    pub fn measured(&self, now: Time) -> Option<Measured> {
        self.schedule.measured(self.document.as_deref()?, self.epoch_of(now))
    }

    fn epoch_of(&self, now: Time) -> Epoch {
        now.epoch(self.document.as_ref().map_or_else(|| Params::default().epoch, |document| document.params().epoch))
    }

    /// What is held now.
    ///
    /// # Errors
    /// `StoreError` if the operating system doesn't say how full the store is.
    pub fn held(&self) -> Result<Held, StoreError> {
        let own = self.store.usage()?.slots.saturating_sub(self.quota.slots());
        Ok(Held {
            packets: self.relay.packets(),
            overdue: self.relay.overdue(),
            mails: self.entry.waiting(),
            slots: self.entry.slots_needed(),
            outbox: self.exit.waiting(),
            percent: self.quota.percent(own, self.setup.rooms()),
        })
    }

    /// The directory document in force, if there is one.
    #[must_use]
    pub fn document(&self) -> Option<&Document> {
        self.document.as_deref()
    }

    /// The epoch, from `now` on, of a mix key that `document` publishes for this node and the store hasn't got.
    #[must_use]
    pub fn missing_key(&self, document: &Document, now: Time) -> Option<Epoch> {
        let node = document.node(&self.setup.me)?;
        // Keys that are gone as they should be are missed by nobody, whatever the clock says.
        let length = document.params().epoch;
        let running = now.epoch(length).max(self.epochs.least(length));
        let has = |(epoch, published): (&Epoch, &_)| {
            self.store.mix_seed(*epoch).is_some_and(|seed| MixKey::from_seed(seed).public() == published)
        };
        node.mix_keys.range(running..).find(|entry| !has(*entry)).map(|(epoch, _)| *epoch)
    }

    /// Gives the store back. What the engine knew beyond it is what a crash would lose.
    #[must_use]
    pub fn into_store(self) -> Store {
        self.store
    }

    /// The marks by which mails that come twice are known, of epochs in which nobody sends them again; and the replay tags
    /// whose key is gone. None by a clock that is wrong.
    fn outlived_marks(&self, now: Epoch) -> Vec<(Marks, Epoch)> {
        if self.clock.fault().is_some() {
            return Vec::new();
        }
        let oldest = now.minus(REMEMBERED);
        let of_kind = |kind| self.store.mark_epochs(kind).map(move |epoch| (kind, epoch));
        let outlived = |(kind, epoch): &(Marks, Epoch)| match kind {
            Marks::Submitted | Marks::Delivered => *epoch < oldest,
            Marks::Replay => self.store.mix_seed(*epoch).is_none(),
        };
        [Marks::Submitted, Marks::Delivered, Marks::Replay].into_iter().flat_map(of_kind).filter(outlived).collect()
    }

    /// What is wrong with this node's clock, by what is known. While something is, nothing is sent and no key destroyed.
    #[must_use]
    pub const fn clock_fault(&self) -> Option<ClockFault> {
        self.clock.fault()
    }

    /// The public mix keys of the running epoch and of those that are published ahead; they are made if they aren't there.
    ///
    /// # Errors
    /// `StoreError` if they can't be kept.
    pub fn public_keys<R: CryptoRng>(
        &mut self,
        now: Time,
        rng: &mut R,
    ) -> Result<BTreeMap<Epoch, PublicKey>, StoreError> {
        let length = self.document.as_ref().map_or_else(|| Params::default().epoch, |document| document.params().epoch);
        let running = now.epoch(length).max(self.epochs.least(length));
        let last = running.plus(MIX_KEYS - 1);
        self.store.ensure_keys(running, last, rng)?;
        let seed = |epoch| self.store.mix_seed(epoch).ok_or(StoreError::NoKey(epoch));
        let public = |epoch| seed(epoch).map(|seed| (epoch, MixKey::from_seed(seed).public().clone()));
        (running.0..=last.0).map(Epoch).map(public).collect()
    }

    /// The running epoch, and for how many after it the document names keys of this node; none if it isn't in it.
    #[must_use]
    pub fn published_keys_left(&self, now: Time) -> Option<(Epoch, u64)> {
        let document = self.document.as_deref()?;
        let running = now.epoch(document.params().epoch);
        let left = document.node(&self.setup.me)?.mix_keys.range(running.plus(1)..).count();
        Some((running, entry::size(left)))
    }

    /// Draws other mix keys for the epochs ahead of which the document names none, so that no packet can be made for them
    /// yet; gives which these are. All else stays as it is.
    ///
    /// # Errors
    /// `StoreError` if they can't be kept; the caller must stop the node.
    pub fn rotate_keys<R: CryptoRng>(&mut self, now: Time, rng: &mut R) -> Result<Vec<Epoch>, StoreError> {
        let Some(document) = self.document.as_deref() else { return Ok(Vec::new()) };
        let rotated = keys::rotate(&mut self.store, document, &self.setup.me, now, rng)?;
        self.epochs.add_gone(&rotated);
        Ok(rotated)
    }

    /// The epochs whose keys have been destroyed since this was asked last.
    pub fn take_gone_keys(&mut self) -> Vec<Epoch> {
        self.epochs.take_gone()
    }

    /// What is changed holds for the whole batch, so it is taken before the transaction begins.
    fn take_changes(&mut self, inputs: Vec<Input>) -> Vec<Input> {
        let mut rest = Vec::with_capacity(inputs.len());
        for input in inputs {
            match input {
                Input::Document(document) => {
                    self.epochs.document(&document);
                    self.bounds.add(&document);
                    self.clock.document(&document);
                    self.book = Book::new(Some(&document));
                    self.before = self.document.as_deref().map(nodes_of).unwrap_or_default();
                    self.document = Some(document);
                }
                Input::Fork => self.forked = self.document.as_ref().map(|document| document.epoch()),
                Input::Settings(Settings { max_spool, exit, entry, block }) => {
                    self.setup.max_spool = max_spool;
                    self.setup.entry = entry;
                    self.setup.block = block;
                    if let (Some(ours), Some(theirs)) = (&mut self.setup.exit, exit) {
                        *ours = theirs;
                    }
                }
                Input::Room(bytes) => {
                    self.disk_is_low = bytes == 0;
                    self.store.allow_growth(bytes);
                }
                Input::Uptime(up) => {
                    self.epochs.uptime(up);
                    self.clock.uptime(up);
                }
                Input::Clock { peer, said } => self.clock.heard(peer, said),
                other => rest.push(other),
            }
        }
        rest
    }
}

fn nodes_of(document: &Document) -> BTreeSet<NodeId> {
    document.nodes().map(|(id, _)| *id).collect()
}

fn apply<R: CryptoRng>(
    input: Input,
    batch: &mut Batch<'_, '_, R>,
    keys: &Keys,
    relay: &mut Relay,
    entry: &mut Entry,
    schedule: &mut Schedule,
    exit: &mut Exit,
) -> Result<(), StoreError> {
    match input {
        Input::Submit { token, request } => entry.submit(batch, exit, token, &request),
        Input::Packet { token, from, packet } => relay.packet(batch, keys, token, from, &packet),
        Input::LinkUp(peer) => {
            relay.link_up(peer, batch.now);
            Ok(())
        }
        Input::LinkDown(peer) => {
            relay.link_down(peer, batch.now);
            Ok(())
        }
        Input::Acked { to, id } => relay.acked(batch, to, id),
        Input::ExitUp => {
            exit.up();
            Ok(())
        }
        Input::ExitDown => {
            exit.down();
            Ok(())
        }
        Input::Delivered { id, disposition } => exit.delivered(batch, id, disposition),
        Input::Ping { token, ask } => {
            let answer = schedule.ask(batch, &ask)?;
            batch.out.push(Output::Ping { token, answer });
            Ok(())
        }
        Input::Queue { token, ask } => Engine::ask(batch, entry, exit, token, ask),
        // Taken before the batch began.
        Input::Document(_)
        | Input::Fork
        | Input::Room(_)
        | Input::Settings(_)
        | Input::Uptime(_)
        | Input::Clock { .. } => Ok(()),
    }
}

/// What time brings, in the order in which one step can feed the next.
fn advance<R: CryptoRng>(
    batch: &mut Batch<'_, '_, R>,
    relay: &mut Relay,
    entry: &mut Entry,
    schedule: &mut Schedule,
    exit: &mut Exit,
) -> Result<(), StoreError> {
    schedule.slots(batch, entry, relay, exit)?;
    for ended in relay.due(batch)? {
        let taken = match &ended.what {
            What::Answer(surb, said) => entry.answered(batch, exit, surb, said.as_ref()),
            What::Payload(payload) => match Payload::decode(payload) {
                Ok(Payload::Loop(mark)) => schedule.back(batch, &mark),
                _ => exit.payload(batch, &ended, payload),
            },
        };
        match taken {
            Ok(()) => relay.forget(batch, ended.row)?,
            // It was acknowledged, so it is kept until there is room.
            Err(StoreError::Full) => relay.keep(batch.now, ended.row),
            Err(error) => return Err(error),
        }
    }
    entry.wake(batch, exit, schedule.standing())?;
    if !batch.clock_is_wrong {
        let oldest = batch.least.minus(1);
        batch.replies.expire(&mut batch.txn, oldest)?;
    }
    exit.expire(batch)?;
    relay.dispatch(batch)?;
    exit.dispatch(batch)
}
