//! A network of real engines and real stores, and a world around them that breaks things.
//!
//! Time jumps from event to event. Links keep order, and break in the way TCP does: what was under way is gone, and
//! both ends hear of it. A crash is the loss of everything but the disk.

#![allow(missing_docs, unreachable_pub, reason = "a module of two tests")]

mod flood;

use fog::delivery::Disposition;
use fog::directory::{
    Authority, Candidate, Contents, Descriptor, Document, Domains, ExitPolicy, IdentityKey, NodeAddress, Params,
    Signed, Trust,
};
use fog::engine::{
    Counts, DeliveryId, Engine, EntrySetup, ExitSetup, Input, Limits, Listed, Output, PacketId, QueueAnswer, QueueAsk,
    Setup, Token, Witness,
};
use fog::id::{Epoch, MessageId, NodeId};
use fog::mail::Address;
use fog::mail::block::BlockList;
use fog::secret::Secret;
use fog::sphinx::Packet;
use fog::sphinx::xwing::{MixKey, PublicKey};
use fog::store::{MemoryDisk, Shelf, Store};
use fog::submit::{Outcome, Reason, Request, Source, Wish};
use fog::time::Time;
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

/// What goes wrong, and how often.
#[derive(Clone, Copy)]
pub struct Faults {
    /// The share of packets whose link breaks before they arrive.
    pub loss: f64,
    /// The share of acknowledgements whose link breaks before they arrive.
    pub ack_loss: f64,
    /// Crashes between two calls.
    pub crashes: usize,
    /// Crashes in the middle of a commit.
    pub torn: usize,
    /// The share of hand-overs that the MTA defers.
    pub deferral: f64,
    /// The share of packets that are acknowledged and never heard of again.
    pub vanishing: f64,
}

impl Faults {
    pub const NONE: Self = Self { loss: 0.0, ack_loss: 0.0, crashes: 0, torn: 0, deferral: 0.0, vanishing: 0.0 };
}

/// What is the matter with one node, from the beginning and for good.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    Nothing,
    /// It takes every packet and sends none on.
    Swallows(usize),
    /// Two do.
    BothSwallow(usize, usize),
    /// It can't be reached.
    Gone(usize),
    /// Its MTA refuses every mail.
    Refuses(usize),
    /// Its MTA puts every mail off for so long.
    Defers(usize, Duration),
    /// It says of every mail that its MTA has it, and throws it away.
    Lies(usize),
}

impl Trouble {
    fn swallows(self, node: usize) -> bool {
        match self {
            Self::Swallows(one) => node == one,
            Self::BothSwallow(one, other) => node == one || node == other,
            _ => false,
        }
    }

    /// Whether nothing reaches this node, so that its own mail can have no receipts.
    fn is_deaf(self, node: usize) -> bool {
        self.swallows(node) || self == Self::Gone(node)
    }
}

pub struct Plan {
    pub seed: u64,
    pub nodes: usize,
    pub mails: usize,
    /// Bytes of each mail's text, in turn.
    pub sizes: Vec<usize>,
    /// How often the MTA hands each mail in.
    pub handed_in: usize,
    /// How they shall go.
    pub wish: Wish,
    /// How often each node sends.
    pub send_every: Duration,
    pub faults: Faults,
    /// For so many days there is a new document at each epoch's start, and mails come all the time, half of them near that
    /// moment; none: one document for all of a few hours.
    pub days: u32,
    pub trouble: Trouble,
    /// How long the network is there before the first mail is handed in, where there are no days.
    pub alone: Duration,
    /// Times that a node's clock is set, forth or back, for some hours.
    pub clock_steps: usize,
    /// What stands in the header of every mail of receipts.
    pub header: &'static str,
    /// Whether the senders can be told what becomes of their mail.
    pub tells: bool,
    /// Whether nodes wish for receipts.
    pub receipts: bool,
    /// When the entries give up.
    pub give_up: Duration,
    /// The node that takes mail in; all that hear anything, if there is none.
    pub entry: Option<usize>,
    /// Of every three nodes one is an exit, and no more than so many.
    pub exits: usize,
}

impl Plan {
    pub fn new(seed: u64) -> Self {
        let (sizes, wish) = (vec![700, 3_000, 40_000, 150_000], Wish::default());
        let send_every = Duration::from_secs(1800);
        Self {
            seed,
            nodes: 5,
            mails: 1,
            sizes,
            handed_in: 1,
            wish,
            send_every,
            faults: Faults::NONE,
            days: 0,
            alone: Duration::ZERO,
            trouble: Trouble::Nothing,
            clock_steps: 0,
            header: "",
            tells: true,
            receipts: true,
            give_up: GIVE_UP,
            entry: None,
            exits: usize::MAX,
        }
    }
}

pub const START: Time = Time::from_secs(1_800_000_000);
const LATENCY: Duration = Duration::from_millis(80);
const RECONNECT: Duration = Duration::from_secs(5);
/// The mails are handed in, and the crashes happen, within this span.
const BUSY: Duration = Duration::from_secs(3 * 3600);
/// By then everything must have arrived, or been given up: far more than the longest path and the longest queue. For longer
/// no document is good.
const END: Duration = Duration::from_secs(72 * 3600);
/// As much, after days with documents: mails may be given up after five.
const END_OF_DAYS: Duration = Duration::from_secs(7 * 86_400);
const DAY: Duration = Duration::from_secs(86_400);
/// In a network of many days, a slot comes so seldom.
const SELDOM: Duration = Duration::from_secs(3600);
/// As often an engine is called at least where the clock is to destroy something, as its driver does.
const BEAT: Duration = Duration::from_secs(1800);
/// Of so many packets one is remembered.
const SAMPLE: u64 = 4;
const MEAN_DELAY: Duration = Duration::from_secs(600);
const MAX_DELAY: Duration = Duration::from_secs(3600);
/// Longer than a packet is under way: when nobody has waited for anything for so long, nothing comes any more but cover.
const LONGEST_WAY: Duration = Duration::from_secs(4 * 3600);
/// When the entries give up, if nothing else is planned.
pub const GIVE_UP: Duration = Duration::from_secs(30 * 3600);
/// How often it is looked whether somebody waits.
const LOOK: Duration = Duration::from_secs(900);

struct Node {
    engine: Option<Engine>,
    disk: MemoryDisk,
    setup: Box<dyn Fn() -> Setup>,
    identity: IdentityKey,
    descriptor: Descriptor,
    /// Which of the documents it goes by.
    goes_by: usize,
    /// Milliseconds by which its clock is ahead.
    ahead: i64,
    rng: StdRng,
}

/// A packet as whoever listens on a link has recorded it.
pub struct Recorded {
    pub to: usize,
    pub at: Time,
    pub packet: Packet,
}

enum Event {
    Submit { node: usize, mail: usize, again: usize },
    Packet { from: usize, to: usize, link: u64, id: PacketId, packet: Packet },
    Ack { from: usize, to: usize, link: u64, id: PacketId },
    LinkUp { from: usize, to: usize },
    Delivered { node: usize, life: u64, id: DeliveryId, disposition: Disposition },
    Crash { node: usize },
    Tear { node: usize },
    Wake { node: usize },
    Epoch,
    Document { node: usize, number: usize },
    Beat,
    Clock { node: usize, ahead: i64 },
    Flood { from: usize, number: u64 },
    Look,
}

#[derive(Default, Clone, Copy)]
struct Link {
    up: bool,
    /// Counts the times it came up: what was under way in an earlier life is gone.
    life: u64,
    wanted: bool,
}

/// What a token of a node stands for.
enum Asked {
    Packet { from: usize, link: u64, id: PacketId },
    Mail { mail: usize, again: usize },
}

pub struct World {
    plan: Plan,
    now: Time,
    rng: StdRng,
    nodes: Vec<Node>,
    ids: BTreeMap<NodeId, usize>,
    documents: Vec<Document>,
    recorded: Vec<Recorded>,
    /// The files of each node as they were once.
    copies: BTreeMap<usize, [Vec<u8>; 3]>,
    links: BTreeMap<(usize, usize), Link>,
    events: BTreeMap<(Time, u64), Event>,
    counter: u64,
    asked: BTreeMap<(usize, Token), Asked>,
    lives: Vec<u64>,
    /// For each mail, the outbox rows it was seen in.
    seen: BTreeMap<usize, BTreeSet<(usize, DeliveryId)>>,
    /// How often an MTA took each mail, and when it did first.
    pub delivered: BTreeMap<usize, (usize, Time)>,
    /// The mails that an exit has lied about.
    pub lied: BTreeSet<usize>,
    /// When a node took each mail.
    pub accepted: BTreeMap<usize, Time>,
    /// What each message is called, and how often it had been cut when an MTA took it first.
    messages: BTreeMap<MessageId, usize>,
    cuts: BTreeMap<MessageId, usize>,
    pub tries: BTreeMap<usize, usize>,
    /// The first hops of the pieces that left.
    pub firsts: BTreeSet<usize>,
    /// How often an MTA was told to come again.
    pub put_off: usize,
    /// What a node said last of the mails that wait there.
    listed: Vec<Listed>,
    /// What the sender of each mail was told.
    pub told: BTreeMap<usize, String>,
    wakes: BTreeMap<usize, Time>,
    trace: DefaultHasher,
    past: Vec<Counts>,
    /// Since when nobody has waited for anything.
    quiet_since: Option<Time>,
    /// Pieces of mail that have left their entry.
    pub pieces: u64,
}

impl World {
    pub fn new(plan: Plan) -> Self {
        let mut rng = StdRng::seed_from_u64(plan.seed);
        let params = Params {
            min_delay: Duration::from_secs(60),
            mean_delay: if plan.days == 0 { MEAN_DELAY } else { MEAN_DELAY * 3 },
            max_delay: if plan.days == 0 { MAX_DELAY } else { MAX_DELAY * 4 },
            tick: Duration::from_secs(60),
            send_every: if plan.days == 0 { plan.send_every } else { SELDOM },
            batch_min: 0,
            max_size: 8 << 20,
            demo: true,
            ..Params::default()
        };
        let (exits, entry_setup) = (plan.exits, entry_setup(plan.tells));
        let entry = EntrySetup { give_up: plan.give_up, receipts: plan.receipts, ..entry_setup };
        let (nodes, descriptors) = (0..plan.nodes)
            .map(|n| node(n, n % 3 == 0 && n / 3 < exits, &params, &entry, &mut rng))
            .unzip::<_, _, Vec<_>, Vec<_>>();
        let ids = descriptors.iter().enumerate().map(|(n, signed)| (signed.descriptor().id(), n)).collect();
        let document = document(params, descriptors, &mut rng);
        let lives = vec![0; plan.nodes];
        let mut world = Self {
            plan,
            now: START,
            rng,
            nodes,
            ids,
            documents: vec![document],
            recorded: Vec::new(),
            copies: BTreeMap::new(),
            links: BTreeMap::new(),
            events: BTreeMap::new(),
            counter: 0,
            asked: BTreeMap::new(),
            lives,
            seen: BTreeMap::new(),
            delivered: BTreeMap::new(),
            lied: BTreeSet::new(),
            told: BTreeMap::new(),
            accepted: BTreeMap::new(),
            put_off: 0,
            listed: Vec::new(),
            messages: BTreeMap::new(),
            cuts: BTreeMap::new(),
            tries: BTreeMap::new(),
            firsts: BTreeSet::new(),
            wakes: BTreeMap::new(),
            trace: DefaultHasher::new(),
            past: Vec::new(),
            quiet_since: None,
            pieces: 0,
        };
        (0..world.nodes.len()).for_each(|n| world.boot(n));
        world.schedule_plan();
        world
    }

    fn schedule_plan(&mut self) {
        for mail in 0..self.plan.mails {
            // A node's own mail never goes out at itself.
            let first = usize::from(self.plan.exits == 1);
            let all = first..self.nodes.len();
            let drawn = std::iter::repeat_with(|| self.rng.random_range(all.clone()));
            let hears = |node: &usize| !self.plan.trouble.is_deaf(*node);
            let node = self.plan.entry.or_else(|| drawn.into_iter().find(hears)).unwrap();
            for again in 0..self.plan.handed_in {
                let at = self.moment();
                self.at(at, Event::Submit { node, mail, again });
            }
        }
        for _ in 0..self.plan.faults.crashes {
            let (node, at) = (self.rng.random_range(0..self.nodes.len()), self.moment());
            self.at(at, Event::Crash { node });
        }
        for _ in 0..self.plan.faults.torn {
            let (node, at) = (self.rng.random_range(0..self.nodes.len()), self.moment());
            self.at(at, Event::Tear { node });
        }
        for _ in 0..self.plan.clock_steps {
            let (node, at) = (self.rng.random_range(0..self.nodes.len()), self.moment());
            // Mostly by minutes or hours, sometimes by days.
            let most: i64 = [60_000, 20 * 60_000, 3 * 3_600_000, 5 * 86_400_000][self.rng.random_range(0..4)];
            let (ahead, hours) = (self.rng.random_range(-most..most), self.rng.random_range(1..7));
            self.at(at, Event::Clock { node, ahead });
            self.at(at.plus(Duration::from_secs(hours * 3600)), Event::Clock { node, ahead: 0 });
        }
        let first = START.epoch(DAY);
        if self.plan.days > 0 {
            for day in 1..self.end().as_secs() / DAY.as_secs() {
                self.at(Time::epoch_start(first.plus(day), DAY), Event::Epoch);
            }
            for beat in 1..(self.plan.days + 7) * 48 {
                self.at(START.plus(BEAT * beat), Event::Beat);
            }
        }
        self.at(START.plus(BUSY + DAY * self.plan.days), Event::Look);
    }

    /// Whether all mails have come, and none waits anywhere.
    fn is_quiet(&self) -> bool {
        let waits = |engine: &Engine| {
            let held = engine.held().unwrap();
            held.mails > 0 || held.outbox > 0
        };
        let is_over = |mail: usize| self.seen.contains_key(&mail) || self.told.contains_key(&mail);
        (0..self.plan.mails).all(is_over) && !self.nodes.iter().filter_map(|node| node.engine.as_ref()).any(waits)
    }

    fn look(&mut self) {
        self.quiet_since = if self.is_quiet() { Some(self.quiet_since.unwrap_or(self.now)) } else { None };
        self.at(self.now.plus(LOOK), Event::Look);
    }

    fn moment(&mut self) -> Time {
        if self.plan.days > 0 {
            let day = DAY * self.rng.random_range(0..self.plan.days);
            let near = self.rng.random_bool(0.5);
            // START is at eight in the morning: sixteen hours before an epoch's end.
            let hours = if near { 13 * 3600..19 * 3600 } else { 0..24 * 3600 };
            return START.plus(day).plus(Duration::from_secs(self.rng.random_range(hours)));
        }
        let busy = self.rng.random_range(0..u64::try_from(BUSY.as_millis()).unwrap());
        START.plus(self.plan.alone).plus(Duration::from_millis(busy))
    }

    fn at(&mut self, at: Time, event: Event) {
        self.counter += 1;
        self.events.insert((at, self.counter), event);
    }

    /// Plays everything until nothing of the mails is left to happen.
    pub fn run(&mut self) {
        while let Some(((at, _), event)) = self.events.pop_first() {
            let longest = if self.plan.days == 0 { LONGEST_WAY } else { LONGEST_WAY * 4 };
            if self.quiet_since.is_some_and(|since| at.since(since) > longest) {
                break;
            }
            if at.since(START) > self.end() {
                // Who wants to know why will see what is missing.
                break;
            }
            self.now = self.now.max(at);
            self.play(event);
        }
    }

    fn end(&self) -> Duration {
        if self.plan.days == 0 { END } else { END_OF_DAYS + DAY * self.plan.days }
    }

    fn play(&mut self, event: Event) {
        match event {
            Event::Submit { node, mail, again } => self.submit(node, mail, again),
            Event::Packet { from, to, link, id, packet } => {
                if self.is_alive((from, to), link) {
                    let vanishes = self.rng.random_bool(self.plan.faults.vanishing);
                    if vanishes || self.plan.trouble.swallows(to) {
                        return self.at(self.now.plus(LATENCY), Event::Ack { from, to, link, id });
                    }
                    if self.plan.days > 0 && self.counter.is_multiple_of(SAMPLE) {
                        self.recorded.push(Recorded { to, at: self.now, packet: packet.clone() });
                    }
                    let token = self.token(to, Asked::Packet { from, link, id });
                    let from = self.id(from);
                    self.tell(to, Input::Packet { token, from, packet });
                }
            }
            Event::Ack { from, to, link, id } => {
                if self.is_alive((from, to), link) {
                    let to = self.id(to);
                    self.tell(from, Input::Acked { to, id });
                }
            }
            Event::LinkUp { from, to } => {
                if [from, to].into_iter().any(|node| self.plan.trouble == Trouble::Gone(node)) {
                    return;
                }
                let link = self.links.entry((from, to)).or_default();
                if !link.up {
                    link.up = true;
                    link.life += 1;
                    self.compare_clocks(from, to);
                    let to = self.id(to);
                    self.tell(from, Input::LinkUp(to));
                }
            }
            Event::Delivered { node, life, id, disposition } => {
                if self.lives[node] == life {
                    self.tell(node, Input::Delivered { id, disposition });
                }
            }
            Event::Crash { node } => self.crash(node),
            Event::Flood { from, number } => self.hand_over_junk(from, number),
            Event::Look => self.look(),
            Event::Tear { node } => {
                let writes = self.rng.random_range(0..12);
                self.nodes[node].disk.fail_after(writes);
            }
            Event::Epoch => self.agree(),
            Event::Document { node, number } => {
                self.nodes[node].goes_by = number;
                let document = Box::new(self.documents[number].clone());
                self.tell(node, Input::Document(document));
            }
            Event::Clock { node, ahead } => {
                self.nodes[node].ahead = ahead;
                self.wakes.remove(&node);
                self.step(node, vec![]);
            }
            Event::Beat => {
                (0..self.nodes.len()).for_each(|node| self.step(node, vec![]));
                self.copy_those_with_mail();
            }
            Event::Wake { node } => {
                if self.wakes.get(&node) == Some(&self.now) {
                    self.wakes.remove(&node);
                    self.step(node, vec![]);
                }
            }
        }
    }

    /// Somebody copies the disk of each node once, from day ten on, when a mail waits there.
    fn copy_those_with_mail(&mut self) {
        if self.documents.len() < 10 {
            return;
        }
        for (index, node) in self.nodes.iter().enumerate() {
            let waits = node.engine.as_ref().is_some_and(|engine| engine.held().is_ok_and(|held| held.mails > 0));
            if waits {
                self.copies.entry(index).or_insert_with(|| node.disk.files());
            }
        }
    }

    /// The next document, with the keys that nodes publish by now. Each takes it in its time.
    fn agree(&mut self) {
        let now = self.now;
        for index in 0..self.nodes.len() {
            let keys = self.public_keys(index).unwrap_or_else(|| {
                // The power went while it made them.
                self.crash(index);
                self.public_keys(index).unwrap()
            });
            let descriptor = &mut self.nodes[index].descriptor;
            (descriptor.mix_keys, descriptor.sequence) = (keys, descriptor.sequence + 1);
        }
        let signed = self.nodes.iter().map(|node| node.descriptor.clone().sign(&node.identity).unwrap());
        let params = self.documents[0].params().clone();
        let document = document_of(now.epoch(DAY), params, signed.collect(), &mut self.rng);
        let number = self.documents.len();
        self.documents.push(document);
        for node in 0..self.nodes.len() {
            let later = Duration::from_secs(self.rng.random_range(0..3 * 3600));
            self.at(now.plus(later), Event::Document { node, number });
        }
    }

    fn public_keys(&mut self, node: usize) -> Option<BTreeMap<Epoch, PublicKey>> {
        let (now, it) = (self.now, &mut self.nodes[node]);
        it.engine.as_mut().unwrap().public_keys(now, &mut it.rng).ok()
    }

    fn is_alive(&self, link: (usize, usize), life: u64) -> bool {
        self.links.get(&link).is_some_and(|link| link.up && link.life == life)
    }

    fn id(&self, node: usize) -> NodeId {
        *self.ids.iter().find(|(_, n)| **n == node).unwrap().0
    }

    fn token(&mut self, node: usize, asked: Asked) -> Token {
        self.counter += 1;
        let token = Token(self.counter);
        self.asked.insert((node, token), asked);
        token
    }

    fn submit(&mut self, node: usize, mail: usize, again: usize) {
        let size = self.plan.sizes[mail % self.plan.sizes.len()];
        let token = self.token(node, Asked::Mail { mail, again });
        let request = Request {
            source: Source::Mta,
            dedup: Some(format!("queue-id-{mail}").into_bytes()),
            sender: Some(Address::parse(&format!("sender-{mail}@home.example")).unwrap()),
            wish: self.plan.wish.clone(),
            recipients: vec![Address::parse(&format!("mail-{mail}@example.com.fog")).unwrap()],
            mail: [self.plan.header.as_bytes(), &text(mail, size)].concat(),
        };
        self.tell(node, Input::Submit { token, request });
    }

    /// What a node's clock says at `now`.
    fn clock_of(&self, node: usize, now: Time) -> Time {
        shifted(now, self.nodes[node].ahead)
    }

    /// Each of the two ends of a link hears the other's clock, as in their handshake.
    fn compare_clocks(&mut self, from: usize, to: usize) {
        for (one, other) in [(from, to), (to, from)] {
            let (peer, said) = (self.id(other), self.clock_of(other, self.now));
            self.tell(one, Input::Clock { peer, said });
        }
    }

    fn tell(&mut self, node: usize, input: Input) {
        self.step(node, vec![input]);
    }

    fn step(&mut self, node: usize, mut inputs: Vec<Input>) {
        if self.plan.days > 0 {
            inputs.push(Input::Uptime(self.now.since(START)));
        }
        let now = self.clock_of(node, self.now);
        let it = &mut self.nodes[node];
        let ahead = it.ahead;
        let Some(engine) = &mut it.engine else { return };
        let Ok(outputs) = engine.handle(inputs, now, &mut it.rng) else {
            return self.crash(node);
        };
        if let Some(at) = engine.next_wakeup() {
            let at = shifted(at.max(now.plus(Duration::from_millis(1))), -ahead);
            if self.wakes.get(&node).is_none_or(|set| *set <= self.now || at < *set) {
                self.wakes.insert(node, at);
                self.at(at, Event::Wake { node });
            }
        }
        outputs.into_iter().for_each(|output| self.carry_out(node, output));
    }

    fn carry_out(&mut self, node: usize, output: Output) {
        self.note(node, &output);
        match output {
            Output::Reply { token, reply } => self.replied(node, token, &reply.outcomes),
            Output::Disposed(token) => self.disposed(node, token),
            Output::Busy(token) => {
                let Some(Asked::Packet { from, .. }) = self.asked.remove(&(node, token)) else { return };
                self.cut((from, node));
            }
            Output::Connect(to) => {
                let to = self.ids[&to];
                self.links.entry((node, to)).or_default().wanted = true;
                self.at(self.now.plus(LATENCY), Event::LinkUp { from: node, to });
            }
            Output::Send { to, id, packet } => self.send(node, self.ids[&to], id, packet),
            Output::Deliver { id, recipient, mail, notice } => {
                let deferred = self.rng.random_bool(self.plan.faults.deferral);
                let disposition = match self.plan.trouble {
                    _ if notice => self.is_told(recipient.local(), &mail),
                    Trouble::Refuses(at) if at == node => Disposition::Permanent,
                    Trouble::Defers(at, span) if at == node && self.now.since(START) < span => Disposition::Temporary,
                    Trouble::Lies(at) if at == node => Disposition::Delivered,
                    _ if deferred => Disposition::Temporary,
                    _ => Disposition::Delivered,
                };
                if !notice {
                    let mail = recipient.local().strip_prefix("mail-").unwrap().parse().unwrap();
                    self.seen.entry(mail).or_default().insert((node, id));
                    if self.plan.trouble == Trouble::Lies(node) {
                        self.lied.insert(mail);
                    } else if disposition == Disposition::Delivered {
                        self.delivered.entry(mail).or_insert((0, self.now)).0 += 1;
                        let cuts =
                            self.messages.iter().filter(|(_, of)| **of == mail).map(|(id, _)| self.cuts[id]).sum();
                        self.tries.entry(mail).or_insert(cuts);
                    }
                }
                let life = self.lives[node];
                self.at(self.now.plus(LATENCY), Event::Delivered { node, life, id, disposition });
            }
            Output::Queue { answer, .. } => {
                if let QueueAnswer::List(list) = answer {
                    self.listed = list;
                }
            }
            Output::Ping { .. } => panic!("nobody asks"),
            Output::Witness(Witness::Built { path, .. }) => {
                self.pieces += 1;
                self.firsts.insert(self.ids[&path[0]]);
            }
            Output::Witness(Witness::Cut { message, .. }) => *self.cuts.entry(message).or_default() += 1,
            Output::Witness(_) => {}
        }
    }

    /// Somebody's MTA has a notice for them.
    fn is_told(&mut self, sender: &str, notice: &[u8]) -> Disposition {
        let mail = sender.strip_prefix("sender-").unwrap().parse().unwrap();
        let notice = str::from_utf8(notice).unwrap();
        // It says nothing of the mail.
        for word in ["mail-", "example.com", &format!("Subject: mail {mail}")] {
            assert!(!notice.contains(word), "{notice}");
        }
        // A crash of its node can bring it twice.
        self.told.insert(mail, notice.to_owned());
        Disposition::Delivered
    }

    fn replied(&mut self, node: usize, token: Token, outcomes: &[Outcome]) {
        let Some(Asked::Mail { mail, again }) = self.asked.remove(&(node, token)) else {
            panic!("an answer to nothing")
        };
        if matches!(outcomes, [Outcome::Temporary(Reason::SpoolFull)]) {
            // More waits than half a day has slots for: an MTA comes again.
            self.put_off += 1;
            return self.at(self.now.plus(LOOK), Event::Submit { node, mail, again });
        }
        let [Outcome::Accepted(id, _)] = outcomes else { panic!("mail {mail} was refused: {outcomes:?}") };
        self.messages.insert(*id, mail);
        self.accepted.entry(mail).or_insert(self.now);
    }

    fn disposed(&mut self, node: usize, token: Token) {
        let Some(Asked::Packet { from, link, id }) = self.asked.remove(&(node, token)) else { return };
        if self.rng.random_bool(self.plan.faults.ack_loss) {
            return self.cut((from, node));
        }
        self.at(self.now.plus(LATENCY), Event::Ack { from, to: node, link, id });
    }

    fn send(&mut self, from: usize, to: usize, id: PacketId, packet: Packet) {
        let link = self.links[&(from, to)];
        if !link.up {
            // It broke under an output of the same batch; the engine has heard of it.
            return;
        }
        if self.rng.random_bool(self.plan.faults.loss) {
            return self.cut((from, to));
        }
        self.at(self.now.plus(LATENCY), Event::Packet { from, to, link: link.life, id, packet });
    }

    /// A link breaks: what was under way is gone, and its owner hears of it and calls again.
    fn cut(&mut self, (from, to): (usize, usize)) {
        let Some(link) = self.links.get_mut(&(from, to)) else { return };
        if !link.up {
            return;
        }
        link.up = false;
        // Not from inside `step`: the engine hears of it as of any event.
        self.at(self.now.plus(RECONNECT), Event::LinkUp { from, to });
        let to = self.id(to);
        self.tell(from, Input::LinkDown(to));
    }

    /// Everything but the disk is gone.
    fn crash(&mut self, node: usize) {
        let engine = self.nodes[node].engine.take();
        self.past.extend(engine.map(|engine| engine.counts()));
        self.lives[node] += 1;
        self.wakes.remove(&node);
        let asked: Vec<_> = self.asked.extract_if(.., |(owner, _), _| *owner == node).map(|(_, asked)| asked).collect();
        for asked in asked {
            // An MTA that got no answer hands the mail in again.
            if let Asked::Mail { mail, again } = asked {
                self.at(self.now.plus(RECONNECT), Event::Submit { node, mail, again });
            }
        }
        let mine: Vec<_> = self.links.extract_if(.., |(from, _), _| *from == node).collect();
        drop(mine);
        self.boot(node);
        let towards: Vec<_> = self.links.keys().filter(|(_, to)| *to == node).copied().collect();
        towards.into_iter().for_each(|link| self.cut(link));
    }

    fn boot(&mut self, node: usize) {
        let it = &mut self.nodes[node];
        it.disk = it.disk.after_power_cut(&mut self.rng);
        let store = Store::on(&it.disk).unwrap();
        let document = Box::new(self.documents[it.goes_by].clone());
        let mut engine = Engine::open(store, (it.setup)(), Some(document)).unwrap();
        if let Some(before) = it.goes_by.checked_sub(1) {
            engine = engine.after(&self.documents[before]);
        }
        // A crash must not make the dice fall as they did.
        it.rng = StdRng::seed_from_u64(self.rng.next_u64());
        it.engine = Some(engine);
        self.tell(node, Input::ExitUp);
    }

    /// The files of a node, now.
    pub fn files(&self, node: usize) -> [Vec<u8>; 3] {
        self.nodes[node].disk.files()
    }

    /// The files of a node as they were once, from day ten on, when a mail waited there.
    pub fn copy(&self, node: usize) -> [Vec<u8>; 3] {
        self.copies[&node].clone()
    }

    /// A part of what somebody has recorded on the links.
    pub fn recorded(&self) -> &[Recorded] {
        &self.recorded
    }

    /// Who a node is, and what it is now.
    pub fn who(&self, node: usize) -> (NodeId, Time) {
        (self.id(node), self.now)
    }

    /// The mails that are in no outbox, and those that are in more than one or there twice.
    pub fn tally(&self) -> (Vec<usize>, Vec<usize>) {
        let rows = |mail: &usize| self.seen.get(mail).map_or(0, BTreeSet::len);
        let all: Vec<usize> = (0..self.plan.mails).collect();
        let missing = all.iter().copied().filter(|mail| rows(mail) == 0).collect();
        (missing, all.into_iter().filter(|mail| rows(mail) > 1).collect())
    }

    pub fn counts(&self, of: impl Fn(&Counts) -> u64) -> u64 {
        let live = self.nodes.iter().filter_map(|node| node.engine.as_ref()).map(Engine::counts);
        live.chain(self.past.iter().copied()).map(|counts| of(&counts)).sum()
    }

    /// Rows in the spools, fragments and outboxes of all nodes, and those in their pools that wait for nothing any more.
    /// Parts are apart: of each set, only k of n are needed.
    pub fn rows_left(&mut self) -> usize {
        let mut left = 0;
        for node in &mut self.nodes {
            let engine = node.engine.take().unwrap();
            let held = usize::try_from(engine.held().unwrap().packets).unwrap();
            let store = engine.into_store();
            for shelf in [Shelf::Spool, Shelf::Fragments, Shelf::Outbox, Shelf::Surbs, Shelf::Answers] {
                left += store.rows(shelf).unwrap().len();
            }
            left += store.rows(Shelf::Pool).unwrap().len() - held;
        }
        left
    }

    /// Packets that are due and that nobody has taken.
    pub fn overdue(&self) -> u64 {
        self.nodes.iter().map(|node| node.engine.as_ref().unwrap().held().unwrap().overdue).sum()
    }

    /// How many mails of one node are in this state.
    pub fn listed_as(&mut self, node: usize, state: &str) -> usize {
        self.tell(node, Input::Queue { token: Token(0), ask: QueueAsk::List });
        self.listed.iter().filter(|listed| listed.state.word() == state).count()
    }

    /// What each node says of the mails that it has, and how late it is: for whoever asks why one is missing.
    pub fn listing(&mut self) -> String {
        let mut all = format!("after {} h", self.now.since(START).as_secs() / 3600);
        for node in 0..self.nodes.len() {
            self.tell(node, Input::Queue { token: Token(0), ask: QueueAsk::List });
            let listed = self.listed.iter().map(|listed| format!("{} for {} h", listed.state.word(), listed.hours));
            all += &format!("; {node}: {}", listed.collect::<Vec<_>>().join(", "));
        }
        all
    }

    pub fn trace(&self) -> u64 {
        self.trace.finish()
    }

    fn note(&mut self, node: usize, output: &Output) {
        (self.now, node).hash(&mut self.trace);
        match output {
            Output::Reply { reply, .. } => format!("{reply:?}").hash(&mut self.trace),
            Output::Disposed(token) | Output::Busy(token) => token.hash(&mut self.trace),
            Output::Connect(to) => to.hash(&mut self.trace),
            Output::Send { to, id, packet } => (to, id, packet.as_bytes()).hash(&mut self.trace),
            Output::Deliver { id, recipient, mail, .. } => (id, recipient.to_string(), mail).hash(&mut self.trace),
            Output::Queue { .. } | Output::Ping { .. } | Output::Witness(_) => {}
        }
    }
}

fn shifted(at: Time, millis: i64) -> Time {
    let by = Duration::from_millis(millis.unsigned_abs());
    if millis < 0 { at.minus(by) } else { at.plus(by) }
}

/// A mail of about `size` bytes that does not compress.
fn text(mail: usize, size: usize) -> Vec<u8> {
    let mut rng = StdRng::seed_from_u64(u64::try_from(mail).unwrap());
    let head = format!("From: Alice <alice@sender.example>\r\nTo: x@y\r\nSubject: mail {mail}\r\n\r\n");
    let mut bytes = head.into_bytes();
    while bytes.len() < size {
        for _ in 0..70 {
            bytes.push(rng.random_range(b'0'..=b'z'));
        }
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// Node `n`: its engine's setup, its empty disk, and the descriptor that the document names it by.
fn node(n: usize, is_exit: bool, params: &Params, entry: &EntrySetup, rng: &mut StdRng) -> (Node, Signed) {
    let identity = IdentityKey::from_seed(&Secret::filled(|seed| rng.fill_bytes(seed)));
    let me = identity.node_id();
    let dedup: [u8; 32] = rng.random();
    let disk = MemoryDisk::new();
    let mut store = Store::on(&disk).unwrap();
    let first = START.epoch(params.epoch);
    store.ensure_keys(first, first.plus(7), rng).unwrap();
    let mix_keys = (first.0..first.0 + 8)
        .map(Epoch)
        .map(|epoch| (epoch, MixKey::from_seed(store.mix_seed(epoch).unwrap()).public().clone()))
        .collect();
    // Node 3 writes only to whom all mails of these tests are for.
    let domains = if n == 3 { Domains::Only(vec!["example.com".into()]) } else { Domains::All };
    let descriptor = Descriptor {
        name: format!("node-{n}"),
        sequence: 1,
        identity: identity.public(),
        link_key: rng.random(),
        address: NodeAddress::parse(&format!("node-{n}.example:9999")).unwrap(),
        family: None,
        contact: None,
        version: "0".into(),
        mix: true,
        exit: is_exit.then_some(ExitPolicy { domains, max_size: params.max_size, news: n == 3 }),
        authority: None,
        measured: None,
        mix_keys,
    };
    let entry = entry.clone();
    let setup = move || Setup {
        me,
        suffix: "fog".into(),
        own_domains: vec![],
        max_size: 8 << 20,
        max_spool: u64::MAX,
        exit: is_exit.then(|| ExitSetup {
            from: Address::parse("anonymous@exit.example").unwrap(),
            from_name: "Anonymous".into(),
            comment: String::new(),
            limits: Limits::default(),
            gateways: vec![],
        }),
        entry: entry.clone(),
        block: Arc::new(BlockList::new(&Secret::filled(|key| *key = dedup))),
        dedup_key: Secret::filled(|key| *key = dedup),
    };
    let rng = StdRng::seed_from_u64(rng.next_u64());
    let signed = descriptor.clone().sign(&identity).unwrap();
    (Node { engine: None, disk, setup: Box::new(setup), identity, descriptor, goes_by: 0, ahead: 0, rng }, signed)
}

/// What becomes of mail; its senders are told if `tells`.
pub fn entry_setup(tells: bool) -> EntrySetup {
    let notify = if tells { vec!["home.example".into()] } else { vec![] };
    EntrySetup { give_up: GIVE_UP, notify, receipts: true }
}

/// The setups and disks of `n` nodes and their document, without a world.
pub fn bare_network(n: usize, params: Params, rng: &mut StdRng) -> (Vec<(Setup, MemoryDisk)>, Document) {
    let (nodes, descriptors): (Vec<_>, Vec<_>) =
        (0..n).map(|n| node(n, n % 3 == 0, &params, &entry_setup(false), rng)).unzip();
    let document = document(params, descriptors, rng);
    (nodes.into_iter().map(|node| ((node.setup)(), node.disk)).collect(), document)
}

/// Another document: of the nodes of `document`, without those that are gone.
pub fn without(document: &Document, gone: &[NodeId]) -> Document {
    let nodes = document.contents().nodes.iter().filter(|(id, _)| !gone.contains(id));
    let nodes = nodes.map(|(_, signed)| signed.clone()).collect();
    self::document(document.params().clone(), nodes, &mut StdRng::seed_from_u64(7))
}

/// The document that is so many epochs later than `document`, of the same nodes and keys.
pub fn later(document: &Document, epochs: u64, change: impl FnOnce(&mut Params)) -> Document {
    let mut params = document.params().clone();
    change(&mut params);
    let nodes = document.contents().nodes.values().cloned().collect();
    document_of(document.epoch().plus(epochs), params, nodes, &mut StdRng::seed_from_u64(epochs))
}

/// The first directory document of these nodes.
fn document(params: Params, nodes: Vec<Signed>, rng: &mut StdRng) -> Document {
    document_of(START.epoch(params.epoch), params, nodes, rng)
}

/// The directory document of these nodes, signed by an authority made for it.
fn document_of(epoch: Epoch, params: Params, nodes: Vec<Signed>, rng: &mut StdRng) -> Document {
    let now = Time::epoch_start(epoch.plus(1), params.epoch);
    let authority = IdentityKey::from_seed(&Secret::filled(|seed| rng.fill_bytes(seed)));
    let id = authority.node_id();
    let contents = Contents {
        epoch,
        previous: None,
        params,
        threshold: 1,
        authorities: [(id, Authority { name: "authority".into(), identity: authority.public() })].into(),
        nodes: nodes.into_iter().map(|node| (node.descriptor().id(), node)).collect(),
    };
    let mut candidate = Candidate::new(&contents).unwrap();
    assert!(candidate.sign(&authority));
    let trust = Trust::new(1, [id].into()).unwrap();
    Document::verify(&candidate.to_text(), &trust, now, None).unwrap()
}
