//! Keys that die: what an epoch's end destroys, what it must not lose, and what a clock that is wrong may not do.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests: a failure is to stop them")]

#[path = "network/world.rs"]
#[allow(dead_code, reason = "the network test uses the rest")]
mod world;

use fog::directory::{Document, Params};
use fog::engine::{ClockFault, Engine, Input, Output, Setup, Token};
use fog::id::{Epoch, NodeId, SetId};
use fog::mail::Address;
use fog::message::payload::Fragment;
use fog::message::shards::{SHARD_LEN, Shape};
use fog::message::{self, Payload};
use fog::sphinx::xwing::MixKey;
use fog::sphinx::{self, Hop, Last, Packet, Randomness};
use fog::store::{Marks, MemoryDisk, Row, SHELVES, Shelf, Store, StoreError};
use fog::submit::{Outcome, Request, Source, Wish};
use fog::time::Time;
use rand::SeedableRng;
use rand::rngs::StdRng;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::time::Duration;
use world::{Faults, Plan, START, World, bare_network, later};

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);
/// By which key a packet is for which epoch; `START` lies in the first.
const FIRST: Epoch = Epoch(20_833);
/// Nodes of the network.
const NODES: usize = 5;
/// The one that is looked at, an exit.
const ME: usize = 0;

/// One node of a network whose others say only what a test has them say.
struct One {
    engine: Option<Engine>,
    disk: MemoryDisk,
    /// The document it goes by.
    document: Document,
    first: Document,
    ids: Vec<NodeId>,
    rng: StdRng,
    now: Time,
    /// By the clock that nobody sets.
    up: Duration,
    packets: u8,
}

impl One {
    fn new() -> Self {
        let mut rng = StdRng::seed_from_u64(31);
        let (members, document) = bare_network(NODES, params(), &mut rng);
        let ids = members.iter().map(|(setup, _)| setup.me).collect();
        let (setup, disk) = members.into_iter().nth(ME).unwrap();
        let engine = open(&disk, setup, &document);
        let up = HOUR;
        let first = document.clone();
        let mut one = Self { engine: Some(engine), disk, document, first, ids, rng, now: START, up, packets: 0 };
        one.step(vec![]);
        one
    }

    fn engine(&mut self) -> &mut Engine {
        self.engine.as_mut().unwrap()
    }

    /// Cuts the power, and starts anew on what the disk has kept, with the document that lies there.
    fn restart(&mut self) {
        self.engine = None;
        self.disk = self.disk.after_power_cut(&mut self.rng);
        let setup = bare_network(NODES, params(), &mut StdRng::seed_from_u64(31)).0.into_iter().nth(ME).unwrap().0;
        self.engine = Some(open(&self.disk, setup, &self.document));
        self.step(vec![]);
    }

    fn step(&mut self, mut inputs: Vec<Input>) -> Vec<Output> {
        inputs.insert(0, Input::Uptime(self.up));
        let (now, rng) = (self.now, &mut self.rng);
        self.engine.as_mut().unwrap().handle(inputs, now, rng).unwrap()
    }

    /// Lets time pass, in steps as the driver makes them, and lets all be done that is to be done then.
    fn pass(&mut self, span: Duration) {
        let step = HOUR / 2;
        let end = self.up + span;
        while self.up < end {
            let step = step.min(end - self.up);
            self.up += step;
            self.now = self.now.plus(step);
            self.work();
        }
    }

    /// Lets all be done that is to be done now.
    fn work(&mut self) {
        self.step(vec![]);
        for _ in 0..100 {
            if self.engine().next_wakeup() != Some(Time::from_millis(0)) {
                return;
            }
            self.step(vec![]);
        }
        panic!("it never comes to rest");
    }

    /// The document of a later epoch has been verified.
    fn take_document(&mut self, epochs: u64) {
        self.document = later(&self.first, epochs, |_| {});
        self.step(vec![Input::Document(Box::new(self.document.clone()))]);
        self.work();
    }

    /// The epochs of which it has keys.
    fn keys(&self) -> Vec<u64> {
        self.store().key_epochs().map(|epoch| epoch.0 - FIRST.0).collect()
    }

    /// What lies on its disk, opened by somebody else.
    fn store(&self) -> Store {
        Store::on(&MemoryDisk::with_files(self.disk.files())).unwrap()
    }

    /// A packet for this node with its key of an epoch, to be held for `hold`, then to end here.
    fn packet(&mut self, epoch: u64, hold: Duration) -> Packet {
        let id = self.ids[ME];
        let document = later(&self.first, 0, |_| {});
        let key = &document.node(&id).unwrap().mix_keys[&FIRST.plus(epoch)];
        let shape = Shape::new(2, 3, u32::try_from(SHARD_LEN).unwrap() + 1).unwrap();
        self.packets += 1;
        let set = SetId([self.packets; 16]);
        let payload = Payload::Fragment(Fragment { set, shape, index: 0, shard: &[7; SHARD_LEN] });
        let (payload, random) = (payload.encode(&mut self.rng), Randomness::draw(&mut self.rng));
        let delay_ms = u32::try_from(hold.as_millis()).unwrap();
        sphinx::build(&[Hop { id, key }], &[], Last::Deliver { delay_ms }, &payload, &random).unwrap()
    }

    /// Hands a packet over; says whether it was acknowledged, and whether it is a packet more in the pool.
    fn hand_over(&mut self, packet: &Packet) -> (bool, bool) {
        let (token, from, packet) = (Token(1), self.ids[1], packet.clone());
        let before = self.engine().counts().pooled;
        let outputs = self.step(vec![Input::Packet { token, from, packet }]);
        let busy = outputs.iter().any(|output| matches!(output, Output::Busy(_)));
        let disposed = outputs.iter().any(|output| matches!(output, Output::Disposed(_)));
        assert!(busy != disposed, "{outputs:?}");
        (disposed, self.engine().counts().pooled > before)
    }

    /// A mail for the spool; says whether it was taken.
    fn submit(&mut self) -> bool {
        self.packets += 1;
        let recipients = vec![Address::parse("mail-1@example.com.fog").unwrap()];
        let mail = format!("From: a@b.example\r\nSubject: {}\r\n\r\ntext\r\n", self.packets).into_bytes();
        let (source, wish) = (Source::Mta, Wish::default());
        let request = Request { source, dedup: None, sender: None, wish, recipients, mail };
        let outputs = self.step(vec![Input::Submit { token: Token(2), request }]);
        let [Output::Reply { reply, .. }, ..] = outputs.as_slice() else { panic!("{outputs:?}") };
        matches!(reply.outcomes[0], Outcome::Accepted(..))
    }

    /// The other nodes open links, and say by how much their clocks are ahead of ours. Their families are their own.
    fn hear(&mut self, ahead: &[i64]) {
        let said = |ahead: &i64| Time::from_secs(self.now.as_secs().checked_add_signed(*ahead).unwrap());
        let peers = self.ids.iter().skip(1).zip(ahead);
        let inputs = peers.map(|(peer, ahead)| Input::Clock { peer: *peer, said: said(ahead) }).collect();
        self.step(inputs);
        self.work();
    }

    /// All others take packets: to nodes that are away nothing is sent.
    fn link_up(&mut self) {
        let inputs = self.ids.iter().skip(1).map(|peer| Input::LinkUp(*peer)).collect();
        self.step(inputs);
    }

    fn fault(&mut self) -> Option<ClockFault> {
        self.engine().clock_fault()
    }
}

fn params() -> Params {
    Params { send_every: HOUR, batch_min: 0, ..Params::default() }
}

fn open(disk: &MemoryDisk, setup: Setup, document: &Document) -> Engine {
    Engine::open(Store::on(disk).unwrap(), setup, Some(Box::new(document.clone()))).unwrap()
}

/// To the start of the epoch that comes so many after the first, and this much further.
fn until(epoch: u64, further: Duration) -> Duration {
    Time::epoch_start(FIRST.plus(epoch), DAY).plus(further).since(START)
}

#[test]
fn a_key_dies_when_the_clock_is_past_its_window_and_a_later_document_was_verified() {
    let mut one = One::new();
    one.pass(until(1, HOUR));
    one.take_document(1);
    assert_eq!(one.keys()[0], 0, "it is accepted still");
    one.pass(HOUR);
    assert_eq!(one.keys(), (1..=8).collect::<Vec<_>>());
    assert_eq!(one.engine().take_gone_keys(), [FIRST]);
    one.restart();
    assert_eq!(one.keys(), (1..=8).collect::<Vec<_>>(), "it came back");
}

#[test]
fn without_a_later_document_a_key_dies_after_one_and_a_half_epochs_of_uptime_also_in_parts() {
    let mut one = One::new();
    one.pass(35 * HOUR);
    one.restart();
    assert_eq!(one.keys()[0], 0);
    one.pass(2 * HOUR);
    assert_eq!(one.keys()[0], 1, "what went by before the restart is forgotten");
    one.pass(DAY);
    assert_eq!(one.keys()[0], 2);
}

#[test]
fn a_machine_that_was_off_proves_nothing_by_that() {
    let mut one = One::new();
    one.now = one.now.plus(5 * DAY);
    one.up = MINUTE;
    one.restart();
    one.pass(HOUR);
    assert_eq!(one.keys()[0], 0);
    one.take_document(5);
    assert_eq!(one.keys()[0], 5);
}

#[test]
fn rows_that_outlive_their_epoch_are_sealed_anew_a_few_at_a_time_and_nothing_of_them_is_lost() {
    let mut one = One::new();
    // Packets whose fragments wait for siblings, and mail for which there is no slot.
    for _ in 0..9 {
        let packet = one.packet(0, HOUR);
        assert_eq!(one.hand_over(&packet), (true, true));
    }
    assert!(one.submit());
    one.pass(2 * HOUR);
    let parts = |one: &One| one.store().rows(Shelf::Parts).unwrap();
    assert_eq!(parts(&one).len(), 9);
    assert!(parts(&one).iter().all(|row| row.epoch == FIRST));
    one.pass(until(1, 2 * HOUR));
    one.take_document(1);
    one.work();
    assert_eq!(one.keys()[0], 1);
    assert!(parts(&one).iter().all(|row| row.epoch > FIRST));
    one.restart();
    assert_eq!(parts(&one).len(), 9);
}

#[test]
fn attack_4_a_replay_is_refused_at_once_after_a_restart_after_the_epoch_and_with_the_same_ciphertext() {
    let mut one = One::new();
    let packet = one.packet(0, HOUR);
    assert_eq!(one.hand_over(&packet), (true, true));
    assert_eq!(one.hand_over(&packet), (true, false), "at once");
    // The key's part alone decides: with another body it is the same packet.
    let mut other_body = packet.as_bytes().to_vec();
    let last = other_body.len() - 1;
    other_body[last] ^= 1;
    let other_body = Packet::from_bytes(&other_body).unwrap();
    assert_eq!(one.hand_over(&other_body), (true, false), "with the same ciphertext");
    one.restart();
    assert_eq!(one.hand_over(&packet), (true, false), "after a restart");
    assert_eq!(one.engine().counts().replayed, 1);

    // In the last moment of the key, and when it is out of use.
    one.pass(until(1, 2 * HOUR - MINUTE));
    one.take_document(1);
    assert_eq!(one.hand_over(&packet), (true, false), "in the window");
    assert_eq!(one.engine().counts().replayed, 2);
    one.pass(2 * MINUTE);
    assert_eq!(one.hand_over(&packet), (true, false), "after the epoch");
    assert_eq!((one.engine().counts().replayed, one.engine().counts().dropped), (2, 1));

    // Its tags are gone with its key, and a clock that is set back brings none of them back.
    let store = one.store();
    assert_eq!((store.mark_epochs(Marks::Replay).count(), store.mix_seed(FIRST).is_some()), (0, false));
    drop(store);
    one.now = START;
    one.work();
    assert!(!one.hand_over(&packet).1, "with the clock set back");
    one.restart();
    assert!(!one.hand_over(&packet).1, "with the clock set back, after a restart");
}

/// Whoever can cut a node's power, or waits until somebody does, hands it the same packet before and after.
#[test]
fn attack_4_a_packet_is_taken_once_whenever_the_power_goes_while_it_comes() {
    let (mut before, mut after) = (0, 0);
    for writes in 0.. {
        let mut one = One::new();
        let packet = one.packet(0, HOUR);
        let held = one.store().rows(Shelf::Pool).unwrap().len();
        one.disk.fail_after(writes);
        let (token, from) = (Token(1), one.ids[1]);
        let input = Input::Packet { token, from, packet: packet.clone() };
        let (now, rng) = (one.now, &mut one.rng);
        let is_acknowledged = one.engine.as_mut().unwrap().handle(vec![input], now, rng).is_ok();
        one.restart();
        let is_there = one.store().rows(Shelf::Pool).unwrap().len() > held;
        assert!(is_there || !is_acknowledged, "after {writes} writes it was lost");
        let pooled = one.hand_over(&packet);
        assert_eq!(pooled, (true, !is_there), "after {writes} writes");
        let counted = if is_there { &mut after } else { &mut before };
        *counted += 1;
        if is_acknowledged {
            break;
        }
    }
    assert!(before > 3 && after > 0, "{before} cuts before it was on disk, {after} after it");
}

#[test]
fn attack_4b_a_packet_held_over_an_epochs_end_is_late_for_its_key() {
    for (late, taken) in [(HOUR, true), (2 * HOUR - MINUTE, true), (2 * HOUR + MINUTE, false), (5 * HOUR, false)] {
        let mut one = One::new();
        // Whoever holds it back can only hope that a later accomplice sees an old key come.
        let packet = one.packet(0, HOUR);
        one.pass(until(1, late));
        assert_eq!(one.hand_over(&packet), (true, taken), "{late:?} after the end");
        // And one for tomorrow's key comes early to nobody.
        let mut one = One::new();
        let packet = one.packet(1, HOUR);
        one.pass(until(1, Duration::ZERO) - late);
        assert_eq!(one.hand_over(&packet), (true, taken), "{late:?} before the begin");
    }
}

#[test]
fn attack_18_a_clock_set_forward_destroys_no_live_key() {
    let mut one = One::new();
    let packets: Vec<_> = (0..4).map(|epoch| one.packet(epoch, HOUR)).collect();
    let right = one.now;
    // Nobody tells it better; a document of then there is not.
    one.now = right.plus(6 * DAY);
    one.pass(30 * HOUR);
    assert!(one.keys().starts_with(&[0, 1, 2, 3]), "{:?}", one.keys());
    one.restart();
    assert!(one.keys().starts_with(&[0, 1, 2, 3]), "after a restart: {:?}", one.keys());
    // Set right, it takes what comes, as if nothing had been.
    one.now = right.plus(30 * HOUR);
    one.hear(&[0, 0, 0]);
    assert_eq!(one.hand_over(&packets[1]), (true, true));
    assert_eq!(one.fault(), None);
}

#[test]
fn attack_18_a_clock_set_back_revives_no_key_and_stops_sending() {
    let mut one = One::new();
    let old = one.packet(0, HOUR);
    one.pass(until(1, 3 * HOUR));
    one.take_document(1);
    one.pass(HOUR);
    assert_eq!(one.keys()[0], 1);
    assert_eq!(one.fault(), None);
    let right = one.now;
    one.now = right.minus(20 * HOUR);
    one.work();
    assert_eq!(one.fault(), Some(ClockFault::SetBack));
    assert!(!one.hand_over(&old).1, "an old key was revived");
    assert_eq!(one.keys()[0], 1, "a key was made for an epoch that is over");

    // Mail is taken, and waits; no packet of this node is made.
    assert!(one.submit());
    one.link_up();
    let pooled = one.engine().counts().pooled;
    one.pass(15 * HOUR);
    assert_eq!(one.engine().counts().pooled, pooled, "it has sent");
    // A restart makes nobody forget it.
    one.restart();
    assert_eq!(one.fault(), Some(ClockFault::SetBack));
    // What is on its way is taken and mixed as far as its key is accepted by this clock; what isn't can wait.
    let due = one.packet(1, HOUR);
    assert!(matches!(one.hand_over(&due), (true, true) | (false, false)));

    // Right again, by itself.
    one.now = right.plus(15 * HOUR);
    one.work();
    assert_eq!(one.fault(), None);
    one.link_up();
    one.pass(12 * HOUR);
    assert!(one.engine().counts().pooled > pooled, "it sends no more");
}

#[test]
fn attack_18_a_clock_that_three_families_call_wrong_stops_sending_until_it_is_right() {
    let mut one = One::new();
    assert!(one.submit());
    one.hear(&[1200, 1200]);
    assert_eq!(one.fault(), None, "two are too few");
    one.hear(&[0, 1200, 1200]);
    assert_eq!(one.fault(), Some(ClockFault::Off), "the median counts");
    let pooled = one.engine().counts().pooled;
    one.pass(20 * HOUR);
    assert_eq!((one.fault(), one.engine().counts().pooled), (Some(ClockFault::Off), pooled), "it has sent");
    // Set right: what was said still tells the time, by the uptime.
    one.now = one.now.plus(20 * MINUTE);
    one.work();
    assert_eq!(one.fault(), None);
    one.link_up();
    one.pass(12 * HOUR);
    assert!(one.engine().counts().pooled > pooled, "it sends no more");
    // And a jump is found out at once, whichever way.
    for jump in [601, -601] {
        let right = one.now;
        one.now = Time::from_secs(one.now.as_secs().checked_add_signed(jump).unwrap());
        one.work();
        assert_eq!(one.fault(), Some(ClockFault::Off), "{jump}");
        one.now = right;
        one.work();
        assert_eq!(one.fault(), None, "{jump}");
    }
    one.hear(&[500, -500, 590, -590]);
    assert_eq!(one.fault(), None, "within ten minutes");
}

#[test]
fn attack_18_nothing_is_given_up_or_refused_by_a_clock_that_is_wrong() {
    let mut one = One::new();
    let first = one.packet(0, HOUR);
    assert_eq!(one.hand_over(&first), (true, true));
    one.pass(2 * HOUR);
    one.hear(&[0, 0, 0]);
    let parts = |one: &One| one.store().rows(Shelf::Parts).unwrap().len();
    assert_eq!(parts(&one), 1, "its fragment waits for its siblings");
    let right = one.now;
    one.now = right.plus(10 * DAY);
    one.work();
    assert_eq!((one.fault(), parts(&one)), (Some(ClockFault::Off), 1));
    let second = one.packet(0, HOUR);
    assert_eq!(one.hand_over(&second), (false, false), "it can wait where it is");
    one.now = right;
    assert_eq!(one.hand_over(&second), (true, true));
    assert_eq!((one.fault(), parts(&one)), (None, 1));
}

#[test]
fn keys_that_a_wrong_clock_has_made_go_when_others_say_that_it_is_right() {
    let mut one = One::new();
    let right = one.now;
    one.now = right.plus(400 * DAY);
    one.work();
    assert!(one.keys().contains(&400));
    one.now = right;
    one.work();
    assert!(one.keys().contains(&400), "by a clock that may be wrong");
    one.hear(&[0, 0, 0]);
    assert_eq!(one.keys(), (0..=7).collect::<Vec<_>>());
}

#[test]
fn new_bounds_drop_nothing_that_is_under_way_until_it_can_be_no_more() {
    let mut one = One::new();
    let (short, long) = (HOUR, 20 * HOUR);
    one.pass(until(1, 3 * HOUR));
    // From now on packets may be held for less time than before.
    let tight = |params: &mut Params| params.max_delay = 10 * HOUR;
    one.document = later(&one.first, 1, tight);
    one.step(vec![Input::Document(Box::new(one.document.clone()))]);
    for hold in [short, long] {
        let packet = one.packet(1, hold);
        assert_eq!(one.hand_over(&packet), (true, true), "{hold:?}");
    }
    let packet = one.packet(1, 25 * HOUR);
    assert_eq!(one.hand_over(&packet), (true, false), "no document ever allowed it");
    one.restart();
    let packet = one.packet(1, long);
    assert_eq!(one.hand_over(&packet), (true, true), "after a restart");

    // The clock alone makes nothing be forgotten.
    one.now = one.now.plus(20 * DAY);
    one.work();
    one.now = one.now.minus(20 * DAY);
    one.hear(&[0, 0, 0]);
    let packet = one.packet(1, long);
    assert_eq!(one.hand_over(&packet), (true, true), "after a jump");
    // The last key that the first document names is that of epoch 7.
    for epoch in 2..=7 {
        one.pass(DAY);
        one.document = later(&one.first, epoch, tight);
        one.step(vec![Input::Document(Box::new(one.document.clone()))]);
        one.work();
    }
    let packet = one.packet(7, long);
    assert_eq!(one.hand_over(&packet), (true, true), "a SURB of the first document can come still");
}

#[test]
fn the_operator_gets_other_keys_for_the_epochs_of_which_nobody_has_been_told() {
    let mut one = One::new();
    let now = one.now;
    let mut rng = StdRng::seed_from_u64(4);
    assert!(one.engine().rotate_keys(now, &mut rng).unwrap().is_empty(), "all of them are named");
    one.pass(until(1, 3 * HOUR));
    let now = one.now;
    let before = one.engine().public_keys(now, &mut rng).unwrap();
    assert_eq!(one.engine().rotate_keys(now, &mut rng).unwrap(), [FIRST.plus(8)]);
    assert_eq!(one.engine().take_gone_keys(), [FIRST.plus(8)]);
    one.restart();
    let after = one.engine().public_keys(now, &mut rng).unwrap();
    let changed: Vec<_> = after.iter().filter(|(epoch, key)| before[epoch] != **key).map(|(epoch, _)| *epoch).collect();
    assert_eq!(changed, [FIRST.plus(8)]);
    // What is under way opens, and a document that names what was named before is taken.
    let packet = one.packet(1, HOUR);
    assert_eq!(one.hand_over(&packet), (true, true));
    let document = later(&one.first, 1, |_| {});
    assert_eq!(one.engine().missing_key(&document, now), None);
}

#[test]
fn the_document_says_for_how_long_keys_of_a_node_are_published() {
    let mut one = One::new();
    for (epoch, left) in [(0, 7), (5, 2), (7, 0)] {
        let now = Time::epoch_start(FIRST.plus(epoch), DAY);
        assert_eq!(one.engine().published_keys_left(now), Some((FIRST.plus(epoch), left)));
    }
}

#[test]
fn thirty_days_lose_no_mail_at_any_boundary_and_leave_nothing_of_ended_epochs_behind() {
    let faults = Faults { loss: 0.02, ack_loss: 0.02, crashes: 30, torn: 15, deferral: 0.1, vanishing: 0.0 };
    let give_up = DAY * 5;
    let mut world = World::new(Plan { nodes: NODES, mails: 80, days: 30, faults, give_up, ..Plan::new(77) });
    world.run();
    let (missing, doubled) = world.tally();
    assert!(missing.is_empty() && doubled.is_empty(), "missing: {missing:?}, doubled: {doubled:?}");
    assert!(world.told.is_empty(), "{:?}", world.told);

    let (mut ended, mut live, mut told, mut copied) = (0, 0, 0, 0);
    for node in 0..NODES {
        let ((me, now), files) = (world.who(node), world.files(node));
        let running = now.epoch(DAY);
        let store = Store::on(&MemoryDisk::with_files(files.clone())).unwrap();
        let keys: BTreeMap<Epoch, MixKey> =
            store.key_epochs().map(|epoch| (epoch, MixKey::from_seed(store.mix_seed(epoch).unwrap()))).collect();
        let oldest = *keys.first_key_value().unwrap().0;
        assert!(oldest >= running.minus(1), "keys of epoch {oldest} in epoch {running}");
        assert!(store.mark_epochs(Marks::Replay).all(|epoch| epoch >= oldest));

        // Whatever was recorded on the links, with everything that lies on the disk.
        for recorded in world.recorded().iter().filter(|recorded| recorded.to == node) {
            let header = recorded.packet.header();
            let opens = keys.values().any(|key| sphinx::open(header, key, &me).is_ok());
            // Two hours of acceptance.
            if recorded.at.plus(3 * HOUR) < Time::epoch_start(oldest, DAY) {
                assert!(!opens, "a packet of {:?} opens in {running}", recorded.at.epoch(DAY));
                let part = &header[1000..1032];
                assert!(!files.iter().any(|file| file.windows(32).any(|window| window == part)));
                ended += 1;
            } else {
                live += usize::from(opens);
            }
        }
        // Whoever takes the disk finds nothing of a mail on it, and neither does who had copied it when one waited there.
        let copy = world.copy(node);
        assert!(files.iter().chain(&copy).all(|file| !tells(file)), "node {node}: a mail lies there in the clear");
        assert_eq!(rows_that_tell(&store), 0, "node {node}: all mails have long been delivered");
        // By the keys of its time that copy could be read.
        told += rows_that_tell(&Store::on(&MemoryDisk::with_files(copy.clone())).unwrap());
        copied += rows_that_no_key_opens(copy, &files[2], oldest);
    }
    assert!(ended > 100, "{ended} packets of ended epochs are too few to say anything, {live} of live ones");
    assert!(told > 2 && copied > 50, "{told} of {copied} rows of the copies are too few to say anything");
}

fn rows(store: &Store) -> impl Iterator<Item = (Shelf, Row)> {
    SHELVES.into_iter().flat_map(|shelf| store.rows(shelf).unwrap().into_iter().map(move |row| (shelf, row)))
}

/// Whether words stand in it that every mail of the thirty days has, or its envelope.
fn tells(bytes: &[u8]) -> bool {
    let has = |word: &[u8]| bytes.windows(word.len()).any(|window| window == word);
    has(b"Subject: mail ") || has(b"@example.com")
}

/// How many rows of an open store say something of a mail, as they are or unpacked.
fn rows_that_tell(store: &Store) -> usize {
    let told = |(shelf, row): &(Shelf, Row)| {
        let sealed = store.read(*shelf, row.id).unwrap().sealed;
        let mail = message::unpack(&sealed, 8 << 20).map(|message| message.mail);
        tells(&row.meta) || tells(&sealed) || mail.is_ok_and(|mail| tells(&mail))
    };
    rows(store).filter(told).count()
}

/// How many rows a copy has. It must have none of an epoch that has not ended, and none that opens by any of the keys that
/// are there now: not by the key of its epoch, which is gone, nor by another under that epoch's name.
fn rows_that_no_key_opens(copy: [Vec<u8>; 3], keys_now: &[u8], oldest: Epoch) -> usize {
    let disk = MemoryDisk::with_files(copy);
    let mut store = Store::on(&disk).unwrap();
    let mut count = 0;
    while let Some((shelf, row)) = { rows(&store).next() } {
        let [db, slab, _] = disk.files();
        let opened = |keys: Vec<u8>| Store::on(&MemoryDisk::with_files([db.clone(), slab.clone(), keys])).err();
        assert!(
            matches!(opened(keys_now.to_vec()), Some(StoreError::NoKey(epoch)) if epoch == row.epoch && epoch < oldest)
        );
        for keys in named(keys_now, row.epoch) {
            let why = format!("{shelf:?} row {}: it does not open", row.id.0);
            assert!(matches!(opened(keys), Some(StoreError::Damaged(found)) if found == why), "{why}");
        }
        // What opens is the first one; the next one's turn comes when it is gone.
        let mut txn = store.begin().unwrap();
        txn.delete(shelf, row.id).unwrap();
        txn.commit().unwrap();
        count += 1;
    }
    count
}

/// A key file for each record of `keys`, which says there that it is the one of `epoch`. A record is the epoch, the two
/// keys, zeros, and SHA-256 of all that; the first one is the file's head.
fn named(keys: &[u8], epoch: Epoch) -> Vec<Vec<u8>> {
    const RECORD: usize = 128;
    let (head, records) = keys.split_at(RECORD);
    let used = records.chunks(RECORD).filter(|record| record.iter().any(|byte| *byte != 0));
    let files = used.map(|record| {
        let body = [&epoch.0.to_be_bytes()[..], &record[8..96]].concat();
        [head, &body, &Sha256::digest(&body)[..]].concat()
    });
    let files: Vec<_> = files.collect();
    assert!(files.len() >= 8, "the running epoch's key and those of seven ahead");
    files
}
