//! The network by the node's real engine and store, one each, with real packets, on disks in memory.
//!
//! Its document says `demo`, so that the engines show what a node sees of a packet's way: the judge needs to know who had
//! sent a letter, and bad nodes know which packet was which.

mod member;

use super::num::{NONE, NodeIx, count, ix, node, tick_of, time_of};
use super::paths::KEPT;
use super::trace::{Leg, Letter, Trace};
use super::{LATENCY, Plan, PlanError, ticks_in};
use crate::delivery::Disposition;
use crate::engine::{DeliveryId, Engine, Input, Output, PacketId, Print, Token, Witness};
use crate::id::{MessageId, NodeId};
use crate::mail::Address;
use crate::mix::retry::backoff;
use crate::sphinx::Packet;
use crate::store::Store;
use crate::submit::{Outcome, Request, Source, Wish};
use crate::time::Time;
use member::{Authority, Member};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::BTreeMap;
use std::time::Duration;

/// The beginning of an epoch of any usual length.
const START: Time = Time::from_secs(1_800_057_600);

/// How much longer than planned it is run for what has not arrived by then.
const PATIENCE: Duration = Duration::from_secs(14 * 86_400);

enum Event {
    Submit { mail: u32, attempt: u32 },
    Packet { from: NodeIx, to: NodeIx, id: PacketId, packet: Packet },
    Acked { from: NodeIx, to: NodeIx, id: PacketId },
    LinkUp { from: NodeIx, to: NodeIx },
    Delivered { node: NodeIx, id: DeliveryId },
    Wake { node: NodeIx },
    Documents,
}

/// What a token stands for.
enum Asked {
    Packet { from: NodeIx, id: PacketId },
    Mail { mail: u32, attempt: u32 },
}

struct Player {
    member: Member,
    engine: Engine,
    rng: StdRng,
    wakes_at: Option<Time>,
}

struct World<'a> {
    plan: &'a Plan,
    now: Time,
    start: Time,
    rng: StdRng,
    players: Vec<Player>,
    authority: Authority,
    places: BTreeMap<NodeId, NodeIx>,
    events: BTreeMap<(Time, u64), Event>,
    count: u64,
    asked: BTreeMap<Token, Asked>,
    trace: Trace,
    book: Book,
    undelivered: usize,
}

/// What is known of packets and letters by their prints and ids, until the trace is made of it.
#[derive(Default)]
struct Book {
    legs: BTreeMap<Print, u32>,
    /// What a packet had looked like when it came to the node that it left.
    came_as: BTreeMap<Print, Print>,
    letters: BTreeMap<MessageId, u32>,
    /// What packets of letters look like when they leave their senders.
    packets: BTreeMap<Print, u32>,
}

/// Plays the plan.
pub(super) fn play(plan: &Plan, progress: &(dyn Fn(&str, f64) + Sync)) -> Result<Trace, PlanError> {
    let mut world = World::new(plan)?;
    let days = Duration::from_secs_f64(plan.days_needed() * super::DAY);
    let first = plan.warm_up();
    let planned = time_of(first + ticks_in(days.as_secs_f64(), &plan.params), world.start, plan.params.tick);
    world.hand_in(first, days);
    let whole = planned.since(world.start).as_secs_f64();
    while let Some(((at, _), event)) = world.events.pop_first() {
        if at >= planned && (world.undelivered == 0 || at >= planned.plus(PATIENCE)) {
            break;
        }
        if at > world.now {
            progress("playing", at.since(world.start).as_secs_f64() / whole);
        }
        world.now = world.now.max(at);
        world.play(event)?;
    }
    Ok(world.into_trace())
}

impl<'a> World<'a> {
    fn new(plan: &'a Plan) -> Result<Self, PlanError> {
        let mut rng = StdRng::seed_from_u64(plan.seed);
        let start = START.next_tick(plan.params.tick);
        let first = start.epoch(plan.params.epoch);
        let exits = plan.exit_places();
        let last = first.plus(member::PUBLISHED - 1);
        let members = (0..plan.nodes).map(|n| Member::new(n, exits.contains(&node(n)), first, last, &mut rng));
        let members = members.collect::<Result<Vec<_>, _>>()?;
        let authority = Authority::new(&mut rng);
        let document = authority.document(first, &plan.params, members.iter());
        let places = members.iter().zip(0..).map(|(member, place)| (member.id(), place)).collect();
        let mut players = Vec::with_capacity(plan.nodes);
        for member in members {
            let engine = Engine::open(
                Store::on(&member.disk)?,
                member.setup(plan.habits.receipts),
                Some(Box::new(document.clone())),
            )?;
            let rng = StdRng::seed_from_u64(rng.random());
            players.push(Player { member, engine, rng, wakes_at: None });
        }
        let trace = Trace { nodes: plan.nodes, exits, receipts: plan.habits.receipts, ..Trace::default() };
        let mut world = Self {
            plan,
            now: start,
            start,
            rng,
            players,
            authority,
            places,
            events: BTreeMap::new(),
            count: 0,
            asked: BTreeMap::new(),
            trace,
            book: Book::default(),
            undelivered: plan.mails,
        };
        for place in 0..node(plan.nodes) {
            world.tell(place, vec![Input::ExitUp])?;
        }
        world.at(Time::epoch_start(first.plus(1), plan.params.epoch), Event::Documents);
        Ok(world)
    }

    /// The mails, at times and nodes drawn evenly.
    fn hand_in(&mut self, first: u32, days: Duration) {
        let begin = time_of(first, self.start, self.plan.params.tick);
        let mut times: Vec<Time> =
            (0..self.plan.mails).map(|_| begin.plus(days.mul_f64(self.rng.random::<f64>()))).collect();
        times.sort_unstable();
        for (at, mail) in times.into_iter().zip(0..) {
            let sender = self.rng.random_range(0..node(self.plan.nodes));
            let submitted = at.since(self.start).as_millis().try_into().unwrap_or(u64::MAX);
            self.trace.letters.push(Letter { sender, submitted, delivered: None, last_legs: Vec::new() });
            self.at(at, Event::Submit { mail, attempt: 1 });
        }
    }

    fn at(&mut self, at: Time, event: Event) {
        self.count += 1;
        self.events.insert((at, self.count), event);
    }

    /// Plays this event, and all others of the same moment: a node commits what comes at once in one transaction.
    fn play(&mut self, event: Event) -> Result<(), PlanError> {
        let mut inputs: BTreeMap<NodeIx, Vec<Input>> = BTreeMap::new();
        let mut next = Some(event);
        while let Some(event) = next {
            match self.input(event) {
                Some((to, Some(input))) => inputs.entry(to).or_default().push(input),
                Some((to, None)) => drop(inputs.entry(to).or_default()),
                None => self.publish(&mut inputs)?,
            }
            let now = self.now;
            next = self.events.first_entry().filter(|entry| entry.key().0 <= now).map(|entry| entry.remove());
        }
        inputs.into_iter().try_for_each(|(to, inputs)| self.tell(to, inputs))
    }

    /// Whom an event is for and what it brings; none if it is for everybody.
    fn input(&mut self, event: Event) -> Option<(NodeIx, Option<Input>)> {
        match event {
            Event::Submit { mail, attempt } => {
                let token = self.token(Asked::Mail { mail, attempt });
                let sender = self.trace.letters.get(ix(mail)).map_or(0, |letter| letter.sender);
                Some((sender, Some(Input::Submit { token, request: request(mail) })))
            }
            Event::Packet { from, to, id, packet } => {
                let token = self.token(Asked::Packet { from, id });
                Some((to, Some(Input::Packet { token, from: self.id(from), packet })))
            }
            Event::Acked { from, to, id } => Some((from, Some(Input::Acked { to: self.id(to), id }))),
            Event::LinkUp { from, to } => Some((from, Some(Input::LinkUp(self.id(to))))),
            Event::Delivered { node, id } => {
                Some((node, Some(Input::Delivered { id, disposition: Disposition::Delivered })))
            }
            Event::Wake { node } => Some((node, None)),
            Event::Documents => None,
        }
    }

    /// A new epoch has begun: everybody gets its document.
    fn publish(&mut self, inputs: &mut BTreeMap<NodeIx, Vec<Input>>) -> Result<(), PlanError> {
        let params = &self.plan.params;
        let epoch = self.now.epoch(params.epoch);
        for player in &mut self.players {
            player.member.keys = player.engine.public_keys(self.now, &mut player.rng)?;
        }
        let document = self.authority.document(epoch, params, self.players.iter().map(|player| &player.member));
        for place in 0..node(self.players.len()) {
            inputs.entry(place).or_default().push(Input::Document(Box::new(document.clone())));
        }
        self.at(Time::epoch_start(epoch.plus(1), params.epoch), Event::Documents);
        Ok(())
    }

    fn token(&mut self, asked: Asked) -> Token {
        self.count += 1;
        let token = Token(self.count);
        self.asked.insert(token, asked);
        token
    }

    fn id(&self, place: NodeIx) -> NodeId {
        self.players.get(usize::from(place)).map(|player| player.member.id()).expect("places are those of players")
    }

    fn place(&self, id: &NodeId) -> NodeIx {
        self.places.get(id).copied().expect("engines name only nodes of the document")
    }

    fn tell(&mut self, to: NodeIx, mut inputs: Vec<Input>) -> Result<(), PlanError> {
        let now = self.now;
        // With every batch, as a node's driver does: an engine holds the clock against it, and one that seems to jump stops
        // sending.
        inputs.insert(0, Input::Uptime(now.since(self.start)));
        let Some(player) = self.players.get_mut(usize::from(to)) else { return Ok(()) };
        let outputs = player.engine.handle(inputs, now, &mut player.rng)?;
        if let Some(at) = player.engine.next_wakeup() {
            let at = at.max(now.plus(Duration::from_millis(1)));
            if player.wakes_at.is_none_or(|set| set <= now || at < set) {
                player.wakes_at = Some(at);
                self.at(at, Event::Wake { node: to });
            }
        }
        outputs.into_iter().for_each(|output| self.carry_out(to, output));
        Ok(())
    }

    fn carry_out(&mut self, here: NodeIx, output: Output) {
        let soon = self.now.plus(LATENCY);
        match output {
            Output::Reply { token, reply } => self.replied(token, reply.outcomes.first()),
            Output::Disposed(token) => {
                if let Some(Asked::Packet { from, id }) = self.asked.remove(&token) {
                    self.at(soon, Event::Acked { from, to: here, id });
                }
            }
            Output::Busy(token) => {
                // Its owner keeps it and calls again, as after a link that broke.
                if let Some(Asked::Packet { from, .. }) = self.asked.remove(&token) {
                    self.at(self.now.plus(BUSY), Event::LinkUp { from, to: here });
                }
            }
            Output::Connect(to) => {
                let to = self.place(&to);
                self.at(soon, Event::LinkUp { from: here, to });
            }
            Output::Send { to, id, packet } => {
                let to = self.place(&to);
                let tick = tick_of(self.now, self.start, self.plan.params.tick);
                self.book.legs.insert(print(&packet), count(self.trace.legs.len()));
                self.trace.legs.push(Leg { from: here, to, tick, came_by: NONE });
                self.at(soon, Event::Packet { from: here, to, id, packet });
            }
            Output::Deliver { id, .. } => self.at(soon, Event::Delivered { node: here, id }),
            Output::Witness(seen) => self.witness(here, seen),
            Output::Queue { .. } | Output::Ping { .. } => {}
        }
    }

    /// What became of a mail that was handed in: not now, and it comes again, as an MTA sees to it.
    fn replied(&mut self, token: Token, outcome: Option<&Outcome>) {
        let Some(Asked::Mail { mail, attempt }) = self.asked.remove(&token) else { return };
        match outcome {
            Some(Outcome::Accepted(id, _)) => drop(self.book.letters.insert(*id, mail)),
            Some(Outcome::Temporary(_)) => {
                let again = self.now.plus(backoff(attempt, &mut self.rng));
                self.at(again, Event::Submit { mail, attempt: attempt + 1 });
            }
            Some(Outcome::Permanent(_)) | None => self.undelivered -= 1,
        }
    }

    fn witness(&mut self, here: NodeIx, seen: Witness) {
        match seen {
            Witness::Built { message, packet, .. } => {
                if let Some(letter) = self.book.letters.get(&message) {
                    self.book.packets.insert(packet, *letter);
                }
            }
            Witness::Passed { came_as, went_as, .. } => drop(self.book.came_as.insert(went_as, came_as)),
            Witness::Assembled { message, at } => {
                let tick = tick_of(at, self.start, self.plan.params.tick);
                let letter = self.book.letters.get(&message).and_then(|mail| self.trace.letters.get_mut(ix(*mail)));
                if let Some(letter) = letter.filter(|letter| letter.delivered.is_none()) {
                    letter.delivered = Some((here, tick));
                    self.undelivered -= 1;
                }
            }
            Witness::Cut { .. } | Witness::Opened { .. } => {}
        }
    }

    /// Joins what the witnesses saw with the legs.
    fn into_trace(self) -> Trace {
        let Self { mut trace, book, now, start, plan, .. } = self;
        trace.ticks = tick_of(now, start, plan.params.tick) + 1;
        let mut goes_by = vec![NONE; trace.legs.len()];
        for (went, came) in &book.came_as {
            let (Some(went), Some(came)) = (book.legs.get(went), book.legs.get(came)) else { continue };
            trace.legs.get_mut(ix(*went)).into_iter().for_each(|leg| leg.came_by = *came);
            goes_by.get_mut(ix(*came)).into_iter().for_each(|next| *next = *went);
        }
        for (packet, letter) in &book.packets {
            let Some(letter) = trace.letters.get_mut(ix(*letter)) else { continue };
            let next = |leg: &u32| goes_by.get(ix(*leg)).copied().filter(|next| *next != NONE);
            let last = std::iter::successors(book.legs.get(packet).copied(), next).last();
            let leg = last.and_then(|last| trace.legs.get(ix(last)));
            if letter.delivered.map(|(exit, _)| exit) == leg.map(|leg| leg.to) {
                letter.last_legs.extend(last);
            }
        }
        trace.first_hops = first_hops(&trace);
        trace.sort();
        trace
    }
}

/// How long a neighbour waits that was told that there is no room.
const BUSY: Duration = Duration::from_secs(5);

/// Whom each node sends most of its own packets to: the two first hops that it keeps. The rest fills up batches.
fn first_hops(trace: &Trace) -> Vec<Vec<NodeIx>> {
    let mut sent = vec![vec![(0_u32, 0); trace.nodes]; trace.nodes];
    sent.iter_mut().for_each(|row| row.iter_mut().zip(0..).for_each(|((_, to), place)| *to = place));
    for leg in trace.legs.iter().filter(|leg| leg.came_by == NONE) {
        let row = sent.get_mut(usize::from(leg.from)).and_then(|row| row.get_mut(usize::from(leg.to)));
        row.into_iter().for_each(|(count, _)| *count += 1);
    }
    sent.iter_mut().for_each(|row| row.sort_unstable_by(|one, other| other.cmp(one)));
    sent.iter().map(|row| row.iter().take(KEPT).map(|(_, to)| *to).collect()).collect()
}

fn request(mail: u32) -> Request {
    Request {
        source: Source::Mta,
        dedup: Some(format!("letter-{mail}").into_bytes()),
        sender: None,
        wish: Wish::default(),
        recipients: vec![
            Address::parse(&format!("letter-{mail}@example.com.fog")).expect("an address as it stands here"),
        ],
        mail: member::letter(mail),
    }
}

/// As `engine::Witness` has it: the same packet at both ends of a link.
fn print(packet: &Packet) -> Print {
    let mut print = Print::default();
    print.iter_mut().zip(packet.digest()).for_each(|(to, from)| *to = from);
    print
}
