//! The engine's thread: gathers what happened, lets the engine decide and commit once for all of it, and hands out what
//! it returned. It never waits for a socket; sockets wait for it.

use super::disk::Disk;
use super::figures::Figures;
use super::keeper::Keeper;
use crate::config;
use crate::delivery::{Deliver, Disposition};
use crate::directory::{Document, Measured};
use crate::engine::{
    DeliveryId, Engine, Input, Output, PacketId, PingAnswer, PingAsk, QueueAnswer, QueueAsk, Settings, Token, Witness,
};
use crate::id::{Epoch, NodeId};
use crate::link::frame::Answer;
use crate::mail::address::Address;
use crate::sphinx::Packet;
use crate::sphinx::xwing::PublicKey;
use crate::store::StoreError;
use crate::submit::{Reply, Request};
use crate::sys::clock;
use crate::sys::log::{self, Danger, Program};
use crate::sys::notify;
use crate::time::Time;
use rand_core::CryptoRng;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::{self, timeout};

/// How many events may wait for the driver. With this many, sockets stop reading: at worst this many packets lie in
/// memory, 16 MiB.
pub const EVENTS: usize = 256;

/// Most events of one commit. A commit costs two disk flushes whatever is in it, so together is cheaper; but nothing
/// is acknowledged before it ends.
const BATCH: usize = 256;

/// The longest sleep: the clock may be set, or the machine may have slept, while we wait for a time of day.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// Something happened at a socket.
#[derive(Debug)]
pub enum Event {
    /// Somebody hands a mail in.
    Submit {
        /// The mail and its envelope.
        request: Request,
        /// Where the answer goes, once it is durable.
        reply: oneshot::Sender<Reply>,
    },
    /// A packet came.
    Packet {
        /// Who sent it: its link key is proved.
        from: NodeId,
        /// The packet.
        packet: Packet,
        /// Where the answer goes, once it is durable.
        answer: oneshot::Sender<Answer>,
    },
    /// Packets can go to `peer`.
    LinkUp {
        /// Whose link it is.
        peer: NodeId,
        /// Where they go, until the next `LinkDown`.
        packets: mpsc::Sender<Outgoing>,
    },
    /// They can't any more.
    LinkDown(NodeId),
    /// A node that has proved its link key says what time it is.
    Clock {
        /// The node.
        peer: NodeId,
        /// The time.
        said: Time,
    },
    /// The peer has disposed of a packet.
    Acked {
        /// Who.
        to: NodeId,
        /// Which.
        id: PacketId,
    },
    /// An exit process is here.
    ExitUp {
        /// Where mails for it go, until the next `ExitDown`.
        mails: mpsc::Sender<Deliver>,
    },
    /// It has gone.
    ExitDown,
    /// What became of a mail.
    Delivered {
        /// `Deliver::id`.
        id: u64,
        /// What the MTA said.
        disposition: Disposition,
    },
    /// Another directory document, verified.
    Document {
        /// It.
        document: Box<Document>,
        /// Whether it is taken: not if it promises mix keys that this node hasn't got.
        taken: oneshot::Sender<bool>,
    },
    /// The operator has changed something.
    Settings {
        /// For the engine.
        settings: Settings,
        /// The envelope sender of what an exit hands out; the null sender if there is none.
        envelope_from: Option<Address>,
        /// For the figures.
        log: config::Log,
        /// `spool.reserve`.
        reserve: u64,
    },
    /// The operator wants something of the mails that wait.
    Queue {
        /// What.
        ask: QueueAsk,
        /// Where the answer goes, once it is durable.
        reply: oneshot::Sender<QueueAnswer>,
    },
    /// The operator wants other mix keys for the epochs of which no document names one.
    RotateKeys {
        /// Where the epochs go of which there are other keys now, once they are durable.
        reply: oneshot::Sender<Vec<Epoch>>,
    },
    /// There are two documents of the epoch of the one in use.
    Fork,
    /// Somebody wants the public mix keys of this epoch and of those ahead, and what this node has measured of others.
    PublicKeys {
        /// Where they go.
        reply: oneshot::Sender<(BTreeMap<Epoch, PublicKey>, Option<Measured>)>,
    },
    /// The operator wants loops through certain nodes, or to know how they do.
    Ping {
        /// What.
        ask: PingAsk,
        /// Where the answer goes, once it is durable.
        reply: oneshot::Sender<PingAnswer>,
    },
    /// Commit what is here, hand out the answers, and end.
    Stop,
}

/// A packet for a peer.
#[derive(Debug)]
pub struct Outgoing {
    /// The engine's name for it; the acknowledgement goes by it.
    pub id: PacketId,
    /// The packet.
    pub packet: Packet,
}

/// Who waits for an answer of the engine.
#[derive(Debug)]
enum Waiting {
    Reply(oneshot::Sender<Reply>),
    Answer(oneshot::Sender<Answer>),
    Queue(oneshot::Sender<QueueAnswer>),
    Ping(oneshot::Sender<PingAnswer>),
}

/// What the driver tells to whom it is not asked by.
#[derive(Debug)]
pub struct Watchers {
    /// The number of links that are up.
    pub links_up: Arc<AtomicUsize>,
    /// Whether an exit process is here.
    pub exit_up: Arc<AtomicBool>,
    /// What a node of a demonstration network shows of its inside; none in any other network.
    pub witness: Option<broadcast::Sender<Witness>>,
    /// Whether no loop comes back.
    pub held_back: Arc<AtomicBool>,
    /// Traffic, a period at a time.
    pub figures: Figures,
    /// Keys and clock.
    pub keeper: Keeper,
    /// What is left of the disk.
    pub disk: Disk,
}

/// The engine and everybody it talks to.
pub struct Driver<C> {
    engine: Engine,
    /// Opens a link to a peer and keeps it; called once for each.
    connect: C,
    /// For whom it was called.
    wanted: BTreeSet<NodeId>,
    /// The envelope sender of what an exit hands out; the null sender if there is none.
    envelope_from: Option<Address>,
    watchers: Watchers,
    next_token: u64,
    waiting: BTreeMap<Token, Waiting>,
    links: BTreeMap<NodeId, mpsc::Sender<Outgoing>>,
    exit: Option<mpsc::Sender<Deliver>>,
    /// Who wants other keys.
    rotations: Vec<oneshot::Sender<Vec<Epoch>>>,
    /// When systemd last heard of us.
    fed: Option<time::Instant>,
}

impl<C: FnMut(NodeId)> Driver<C> {
    /// A driver for `engine`.
    pub fn new(engine: Engine, connect: C, envelope_from: Option<Address>, watchers: Watchers) -> Self {
        Self {
            engine,
            connect,
            wanted: BTreeSet::new(),
            envelope_from,
            watchers,
            next_token: 0,
            waiting: BTreeMap::new(),
            links: BTreeMap::new(),
            exit: None,
            rotations: Vec::new(),
            fed: None,
        }
    }

    /// Runs on a thread of its own until `Event::Stop`; `runtime` keeps the time.
    ///
    /// # Errors
    /// What the store said, at once: nothing of that batch has been acknowledged to anybody.
    pub fn run(mut self, mut events: mpsc::Receiver<Event>, runtime: &Handle) -> Result<(), StoreError> {
        let mut rng = clock::rng();
        // Three times as often as systemd wants to hear of us. An engine that is stuck says nothing, and neither does one
        // whose sockets and clocks are.
        let longest_sleep = notify::watchdog().map_or(LONGEST_SLEEP, |every| LONGEST_SLEEP.min(every / 3));
        let mut going_on = true;
        while going_on {
            let (mut inputs, more) = self.gather(&mut events, runtime, longest_sleep)?;
            going_on = more;
            inputs.extend([Input::Uptime(clock::uptime()), self.watchers.disk.look()?]);
            for output in self.engine.handle(inputs, clock::now(), &mut rng)? {
                self.hand_out(output);
            }
            self.rotate_keys(&mut rng)?;
            self.look_at_loops();
            self.watchers.figures.look(&self.engine, self.links.len())?;
            self.watchers.keeper.look(&mut self.engine);
            self.feed_watchdog(longest_sleep);
        }
        Ok(())
    }

    /// Does what the operator wants of keys, and tells of which epochs there are others.
    fn rotate_keys(&mut self, rng: &mut impl CryptoRng) -> Result<(), StoreError> {
        for reply in std::mem::take(&mut self.rotations) {
            // Whoever asked may have gone.
            let _ = reply.send(self.engine.rotate_keys(clock::now(), rng)?);
        }
        Ok(())
    }

    /// Raises the alarm, once, when no loop comes back any more.
    fn look_at_loops(&self) {
        let now = self.engine.is_held_back();
        if now && !self.watchers.held_back.swap(now, Ordering::Relaxed) {
            log::log(Program::Node, log::Event::Alarm { what: Danger::HeldBack });
        }
        self.watchers.held_back.store(now, Ordering::Relaxed);
    }

    /// Tells systemd that the engine works, as often as it sleeps at most.
    fn feed_watchdog(&mut self, every: Duration) {
        if self.fed.is_none_or(|fed| fed.elapsed() >= every / 2) {
            notify::alive();
            self.fed = Some(time::Instant::now());
        }
    }

    /// Waits until something happens or the engine wants to be woken, then takes all that is there, up to `BATCH`.
    /// With it comes whether to go on.
    fn gather(
        &mut self,
        events: &mut mpsc::Receiver<Event>,
        runtime: &Handle,
        longest_sleep: Duration,
    ) -> Result<(Vec<Input>, bool), StoreError> {
        let wakeup = self.engine.next_wakeup().map_or(longest_sleep, |at| at.since(clock::now())).min(longest_sleep);
        let mut next = match runtime.block_on(async { timeout(wakeup, events.recv()).await }) {
            Ok(Some(first)) => Some(first),
            Ok(None) => return Ok((Vec::new(), false)),
            Err(_) => None,
        };
        let mut inputs = Vec::new();
        while let Some(event) = next {
            match self.input(event)? {
                Some(input) => inputs.extend(input),
                None => return Ok((inputs, false)),
            }
            next = if inputs.len() < BATCH { events.try_recv().ok() } else { None };
        }
        Ok((inputs, true))
    }

    /// The engine's form of an event that it has to know of, when it has been noted where the answers go; none for
    /// `Stop`.
    fn input(&mut self, event: Event) -> Result<Option<Option<Input>>, StoreError> {
        let input = match event {
            Event::Submit { request, reply } => {
                Input::Submit { token: self.await_answer(Waiting::Reply(reply)), request }
            }
            Event::Packet { from, packet, answer } => {
                Input::Packet { token: self.await_answer(Waiting::Answer(answer)), from, packet }
            }
            Event::LinkUp { peer, packets } => {
                self.links.insert(peer, packets);
                self.watchers.links_up.store(self.links.len(), Ordering::Relaxed);
                Input::LinkUp(peer)
            }
            Event::LinkDown(peer) => {
                self.links.remove(&peer);
                self.watchers.links_up.store(self.links.len(), Ordering::Relaxed);
                Input::LinkDown(peer)
            }
            Event::Clock { peer, said } => Input::Clock { peer, said },
            Event::RotateKeys { reply } => {
                self.rotations.push(reply);
                return Ok(Some(None));
            }
            Event::Acked { to, id } => Input::Acked { to, id },
            Event::ExitUp { mails } => {
                self.exit = Some(mails);
                self.watchers.exit_up.store(true, Ordering::Relaxed);
                Input::ExitUp
            }
            Event::ExitDown => {
                self.exit = None;
                self.watchers.exit_up.store(false, Ordering::Relaxed);
                Input::ExitDown
            }
            Event::Delivered { id, disposition } => Input::Delivered { id: DeliveryId::from_wire(id), disposition },
            Event::Document { document, taken } => {
                let keeps = self.engine.missing_key(&document, clock::now()).is_none();
                // Whoever asked has gone: the node stops.
                let _ = taken.send(keeps);
                return Ok(Some(keeps.then_some(Input::Document(document))));
            }
            Event::Settings { settings, envelope_from, log, reserve } => {
                self.watchers.figures.set_up(log);
                self.watchers.disk.set_up(reserve);
                // Without the role there is none to say; until the next start mail goes out under the one before.
                if settings.exit.is_some() {
                    self.envelope_from = envelope_from;
                }
                Input::Settings(settings)
            }
            Event::Ping { ask, reply } => Input::Ping { token: self.await_answer(Waiting::Ping(reply)), ask },
            Event::Queue { ask, reply } => Input::Queue { token: self.await_answer(Waiting::Queue(reply)), ask },
            Event::Fork => Input::Fork,
            Event::PublicKeys { reply } => {
                // As above.
                let now = clock::now();
                let keys = self.engine.public_keys(now, &mut clock::rng())?;
                let _ = reply.send((keys, self.engine.measured(now)));
                return Ok(Some(None));
            }
            Event::Stop => return Ok(None),
        };
        Ok(Some(Some(input)))
    }

    fn await_answer(&mut self, who: Waiting) -> Token {
        let token = Token(self.next_token);
        self.next_token += 1;
        self.waiting.insert(token, who);
        token
    }

    /// Everything here is committed. Whoever went away in the meantime misses it, and asks again.
    fn hand_out(&mut self, output: Output) {
        match output {
            Output::Reply { token, reply } => match self.waiting.remove(&token) {
                Some(Waiting::Reply(to)) => drop(to.send(reply)),
                _ => bug(),
            },
            Output::Queue { token, answer } => match self.waiting.remove(&token) {
                Some(Waiting::Queue(to)) => drop(to.send(answer)),
                _ => bug(),
            },
            Output::Ping { token, answer } => match self.waiting.remove(&token) {
                Some(Waiting::Ping(to)) => drop(to.send(answer)),
                _ => bug(),
            },
            Output::Disposed(token) => self.answer(token, Answer::DisposedOf),
            Output::Busy(token) => self.answer(token, Answer::Busy),
            Output::Connect(peer) => {
                if self.wanted.insert(peer) {
                    (self.connect)(peer);
                }
            }
            Output::Send { to, id, packet } => {
                if let Some(link) = self.links.get(&to)
                    && is_full(link.try_send(Outgoing { id, packet }))
                {
                    // Without its sender the link ends, and its LinkDown gives the engine everything back.
                    self.links.remove(&to);
                }
            }
            Output::Deliver { id, recipient, mail, notice } => {
                // Nobody answers a notice.
                let envelope_from = self.envelope_from.clone().filter(|_| !notice);
                let mail = Deliver { id: id.to_wire(), recipient, envelope_from, mail };
                if let Some(exit) = &self.exit
                    && is_full(exit.try_send(mail))
                {
                    self.exit = None;
                }
            }
            // With nobody watching it is gone.
            Output::Witness(seen) => drop(self.watchers.witness.as_ref().map(|watchers| watchers.send(seen))),
        }
    }

    fn answer(&mut self, token: Token, answer: Answer) {
        match self.waiting.remove(&token) {
            Some(Waiting::Answer(to)) => drop(to.send(answer)),
            _ => bug(),
        }
    }
}

/// Whether a channel had no room. The engine's windows are as wide as the channels, so that is a bug; one whose
/// receiver has gone is only about to be reported down.
fn is_full<T>(sent: Result<(), mpsc::error::TrySendError<T>>) -> bool {
    let full = matches!(sent, Err(mpsc::error::TrySendError::Full(_)));
    if full {
        bug();
    }
    full
}

fn bug() {
    log::log(Program::Node, log::Event::Bug);
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::engine::{EntrySetup, ExitSetup, Limits, Setup};
    use crate::mail::block::BlockList;
    use crate::secret::Secret;
    use crate::sphinx::geometry::PACKET_LEN;
    use crate::store::{MemoryDisk, RowId, Store};
    use crate::submit::{Outcome, Source, Wish};
    use std::thread;
    use tokio::sync::watch;

    const PEER: NodeId = NodeId([2; 32]);

    /// The engine of a node that knows no other; it refuses mail, and packets are not for it.
    pub(in super::super) fn engine() -> Engine {
        let setup = Setup {
            me: NodeId([1; 32]),
            suffix: "fog".into(),
            own_domains: Vec::new(),
            max_size: 1000,
            max_spool: 1 << 20,
            exit: None,
            entry: entry(),
            block: block(),
            dedup_key: Secret::filled(|bytes| bytes.fill(1)),
        };
        Engine::open(Store::on(&MemoryDisk::default()).unwrap(), setup, None).unwrap()
    }

    fn driver() -> Driver<impl FnMut(NodeId)> {
        let figures = Figures::new(config::Log::default(), false, watch::channel(None).0);
        let keeper = Keeper::new(watch::channel(None).0);
        let watchers = Watchers {
            links_up: Arc::default(),
            exit_up: Arc::default(),
            held_back: Arc::default(),
            witness: None,
            figures,
            keeper,
            disk: Disk::open(&config::Spool { path: "/".into(), max: 0, reserve: 0 }).unwrap(),
        };
        Driver::new(engine(), |_| panic!("it knows nobody"), None, watchers)
    }

    fn entry() -> EntrySetup {
        EntrySetup { give_up: Duration::from_secs(432_000), notify: Vec::new(), receipts: true }
    }

    fn block() -> Arc<BlockList> {
        Arc::new(BlockList::new(&Secret::filled(|key| key.fill(1))))
    }

    fn packet() -> Packet {
        Packet::from_bytes(&[0; PACKET_LEN]).unwrap()
    }

    fn send(to: NodeId) -> Output {
        Output::Send { to, id: PacketId(RowId(1)), packet: packet() }
    }

    #[tokio::test]
    async fn everybody_gets_the_answer_to_what_they_asked_and_then_it_stops() {
        let (events, happened) = mpsc::channel(EVENTS);
        let runtime = Handle::current();
        let engine = thread::spawn(move || driver().run(happened, &runtime));
        let mut answers = Vec::new();
        for _ in 0..3 {
            let (answer, answered) = oneshot::channel();
            events.send(Event::Packet { from: PEER, packet: packet(), answer }).await.unwrap();
            answers.push(answered);
        }
        let (reply, replied) = oneshot::channel();
        let recipients = vec![Address::parse("alice@example.com.fog").unwrap()];
        let request = Request {
            source: Source::Person,
            dedup: None,
            sender: None,
            wish: Wish::default(),
            recipients,
            mail: b"x".into(),
        };
        events.send(Event::Submit { request, reply }).await.unwrap();
        for answered in answers {
            assert_eq!(answered.await, Ok(Answer::DisposedOf));
        }
        assert!(matches!(replied.await.unwrap().outcomes[..], [Outcome::Temporary(_) | Outcome::Permanent(_)]));

        let (answer, answered) = oneshot::channel();
        let (late, too_late) = oneshot::channel();
        events.send(Event::Packet { from: PEER, packet: packet(), answer }).await.unwrap();
        events.send(Event::Stop).await.unwrap();
        // Its channel may be closed already.
        let _ = events.send(Event::Packet { from: PEER, packet: packet(), answer: late }).await;
        assert_eq!(answered.await, Ok(Answer::DisposedOf), "what came before the stop is committed and answered");
        assert!(too_late.await.is_err(), "what came after it is the peer's still");
        assert!(engine.join().unwrap().is_ok());
    }

    #[tokio::test]
    async fn a_driver_that_nobody_can_reach_ends() {
        let (events, happened) = mpsc::channel(EVENTS);
        let runtime = Handle::current();
        let engine = thread::spawn(move || driver().run(happened, &runtime));
        drop(events);
        while !engine.is_finished() {
            tokio::task::yield_now().await;
        }
        assert!(engine.join().unwrap().is_ok());
    }

    #[test]
    fn packets_go_to_links_that_are_up_and_one_that_overflows_is_given_up() {
        let mut driver = driver();
        driver.hand_out(send(PEER));
        let (packets, mut sent) = mpsc::channel(2);
        assert!(matches!(driver.input(Event::LinkUp { peer: PEER, packets }), Ok(Some(Some(Input::LinkUp(PEER))))));
        assert_eq!(driver.watchers.links_up.load(Ordering::Relaxed), 1);
        driver.hand_out(send(PEER));
        driver.hand_out(send(NodeId([3; 32])));
        assert!(sent.try_recv().is_ok() && sent.try_recv().is_err());

        for _ in 0..3 {
            driver.hand_out(send(PEER));
        }
        assert!(sent.try_recv().is_ok() && sent.try_recv().is_ok());
        assert_eq!(sent.try_recv().err(), Some(mpsc::error::TryRecvError::Disconnected));
        assert!(matches!(driver.input(Event::LinkDown(PEER)), Ok(Some(Some(Input::LinkDown(PEER))))));
        assert_eq!(driver.watchers.links_up.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn the_envelope_sender_changes_with_the_settings_and_stays_when_the_role_goes() {
        let mut driver = driver();
        let (mails, mut handed_out) = mpsc::channel(EVENTS);
        driver.input(Event::ExitUp { mails }).unwrap();
        let address = |text| Address::parse(text).unwrap();
        let exit = ExitSetup {
            from: address("anonymous@exit.example"),
            from_name: "Nobody".into(),
            comment: String::new(),
            limits: Limits::default(),
            gateways: vec![],
        };
        let mut sender_after = |exit: Option<ExitSetup>, envelope_from: Option<Address>| {
            let settings = Settings { max_spool: 1 << 20, exit, entry: entry(), block: block() };
            driver.input(Event::Settings { settings, envelope_from, log: config::Log::default(), reserve: 0 }).unwrap();
            let (id, recipient) = (DeliveryId::from_wire(1), address("alice@example.com"));
            driver.hand_out(Output::Deliver { id, recipient, mail: b"x".into(), notice: false });
            handed_out.try_recv().unwrap().envelope_from
        };
        let bounces = Some(address("bounces@exit.example"));
        assert_eq!(sender_after(Some(exit.clone()), bounces.clone()), bounces);
        assert_eq!(sender_after(None, None), bounces, "the role waits for the next start, and with it all that it has");
        assert_eq!(sender_after(Some(exit), None), None, "the null sender");
    }

    #[test]
    fn a_peer_is_connected_to_once() {
        let mut asked = Vec::new();
        let Driver { engine, watchers, .. } = driver();
        let mut driver = Driver::new(engine, |peer| asked.push(peer), None, watchers);
        for peer in [PEER, NodeId([3; 32]), PEER] {
            driver.hand_out(Output::Connect(peer));
        }
        assert_eq!(asked, [PEER, NodeId([3; 32])]);
    }

    #[test]
    fn mails_go_to_the_exit_process_with_the_envelope_sender() {
        let from = Address::parse("anonymous@exit.example").unwrap();
        let recipient = Address::parse("alice@example.com").unwrap();
        let mut driver = Driver { envelope_from: Some(from.clone()), ..driver() };
        let id = DeliveryId::from_wire(7);
        let deliver = || Output::Deliver { id, recipient: recipient.clone(), mail: b"x".into(), notice: false };
        driver.hand_out(deliver());
        let (mails, mut out) = mpsc::channel(1);
        driver.input(Event::ExitUp { mails }).unwrap();
        driver.hand_out(deliver());
        let want = Deliver { id: 7, recipient: recipient.clone(), envelope_from: Some(from), mail: b"x".into() };
        assert_eq!(out.try_recv(), Ok(want));
        driver.hand_out(deliver());
        driver.hand_out(deliver());
        assert!(driver.exit.is_none(), "one that overflows is given up");
    }
}
