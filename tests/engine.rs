//! One engine at a time, at its limits: an old document, a full disk, a mail that grows, a packet that comes twice.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests: a failure is to stop them")]

#[path = "engine/answers.rs"]
mod answers;
#[path = "engine/attacks.rs"]
mod attacks;
#[path = "engine/disk.rs"]
mod disk;
#[path = "network/world.rs"]
#[allow(dead_code, reason = "the network test uses the rest")]
mod world;

use fog::delivery::Disposition;
use fog::directory::{Document, Params};
use fog::engine::{
    Counts, Engine, ExitSetup, Input, Listed, Output, QueueAnswer, QueueAsk, Settings, Setup, State, Token, Witness,
};
use fog::id::{MessageId, NodeId, SetId};
use fog::mail::Address;
use fog::mail::block::{BlockList, Who};
use fog::mail::news::Gateway;
use fog::message::payload::Fragment;
use fog::message::shards::{self, SHARD_LEN, Shape, Shard};
use fog::message::{self, Message, Payload};
use fog::secret::Secret;
use fog::sphinx::{self, Hop, Last, Packet, Randomness};
use fog::store::{MemoryDisk, SLOT_LEN, Store};
use fog::submit::{Outcome, Reason, Request, Source, Wish};
use fog::time::{Rate, Time};
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::sync::Arc;
use std::time::Duration;
use world::{START, bare_network, later, without};

/// Nodes of one network, all up, without a world around them.
struct Nodes {
    engines: Vec<Engine>,
    disks: Vec<MemoryDisk>,
    ids: Vec<NodeId>,
    rng: StdRng,
}

impl Nodes {
    fn new(change: impl Fn(&mut Setup)) -> Self {
        Self::sending_every(Duration::from_secs(60), change)
    }

    /// Nodes that have something to send every second, and show what it is.
    fn busy(change: impl Fn(&mut Setup)) -> Self {
        Self::sending_every(Duration::from_secs(1), change)
    }

    fn sending_every(send_every: Duration, change: impl Fn(&mut Setup)) -> Self {
        let demo = send_every == Duration::from_secs(1);
        Self::of(Params { tick: Duration::from_secs(1), batch_min: 0, send_every, demo, ..Params::default() }, change)
    }

    fn of(params: Params, change: impl Fn(&mut Setup)) -> Self {
        let mut rng = StdRng::seed_from_u64(5);
        let (members, document) = bare_network(5, params, &mut rng);
        let ids = members.iter().map(|(setup, _)| setup.me).collect();
        let open = |(mut setup, disk): (Setup, MemoryDisk)| {
            change(&mut setup);
            (Engine::open(Store::on(&disk).unwrap(), setup, Some(Box::new(document.clone()))).unwrap(), disk)
        };
        let (engines, disks) = members.into_iter().map(open).unzip();
        Self { engines, disks, ids, rng }
    }

    /// Cuts the power of a node made by `new` with no change, and opens it again on what its disk has kept.
    fn cut_power(&mut self, node: usize) {
        let document = self.engines[node].document().unwrap().clone();
        // A setup holds secrets and has no copies: the same seed makes the same one.
        let setup = bare_network(5, document.params().clone(), &mut StdRng::seed_from_u64(5)).0.swap_remove(node).0;
        assert_eq!(setup.me, self.ids[node]);
        self.disks[node] = self.disks[node].after_power_cut(&mut self.rng);
        let store = Store::on(&self.disks[node]).unwrap();
        self.engines[node] = Engine::open(store, setup, Some(Box::new(document))).unwrap();
    }

    fn handle(&mut self, node: usize, now: Time, input: Input) -> Vec<Output> {
        self.engines[node].handle(vec![input], now, &mut self.rng).unwrap()
    }

    /// What node 1 answers to a mail for `to`.
    fn submit(&mut self, now: Time, to: &str, mail: &[u8]) -> Outcome {
        self.wish(now, to, mail, Wish::default())
    }

    fn wish(&mut self, now: Time, to: &str, mail: &[u8], wish: Wish) -> Outcome {
        let recipients = vec![Address::parse(to).unwrap()];
        let request = Request { source: Source::Mta, dedup: None, sender: None, wish, recipients, mail: mail.to_vec() };
        match self.handle(1, now, Input::Submit { token: Token(1), request }).as_slice() {
            [Output::Reply { reply, .. }, ..] => reply.outcomes[0],
            other => panic!("{other:?}"),
        }
    }

    /// Lets time pass until a packet leaves node 1; gives it and whom it is for.
    fn first_packet(&mut self) -> (usize, Packet) {
        let mut now = START;
        loop {
            now = now.plus(Duration::from_secs(1));
            for id in self.ids.clone() {
                for output in self.handle(1, now, Input::LinkUp(id)) {
                    if let Output::Send { to, packet, .. } = output {
                        return (self.ids.iter().position(|id| *id == to).unwrap(), packet);
                    }
                }
            }
        }
    }
}

impl Nodes {
    /// The paths of the pieces of mail that leave node 1 within ten minutes.
    fn pieces_of_node_1(&mut self) -> Vec<Vec<NodeId>> {
        let mut paths = Vec::new();
        let mut now = START;
        // They are answered for until their receipts are here, which is long after they have left.
        while now.since(START) < Duration::from_secs(600) {
            now = now.plus(Duration::from_secs(1));
            for id in self.ids.clone() {
                for output in self.handle(1, now, Input::LinkUp(id)) {
                    match output {
                        Output::Witness(Witness::Built { path, .. }) => paths.push(path),
                        Output::Send { to, id, .. } => drop(self.handle(1, now, Input::Acked { to, id })),
                        _ => {}
                    }
                }
            }
        }
        paths
    }
}

/// Tells packets, sets and mails of a test apart.
fn mark(n: u64) -> [u8; 16] {
    let mut mark = [0; 16];
    mark[..8].copy_from_slice(&n.to_be_bytes());
    mark
}

/// What a hostile neighbour can build: any packet it likes for any node of the document.
impl Nodes {
    /// A packet for node `to`, which holds it as briefly as it may; then it goes to `next`, or ends.
    fn build(&mut self, to: usize, next: Option<usize>, payload: &Payload<'_>) -> Packet {
        let document = self.engines[to].document().unwrap();
        let (epoch, hold) = (START.epoch(document.params().epoch), document.params().min_delay);
        let path = [Some(to), next].into_iter().flatten();
        let hops: Vec<_> = path
            .map(|node| Hop { id: self.ids[node], key: &document.node(&self.ids[node]).unwrap().mix_keys[&epoch] })
            .collect();
        let delay_ms = u32::try_from(hold.as_millis()).unwrap();
        let payload = payload.encode(&mut self.rng);
        let random = Randomness::draw(&mut self.rng);
        sphinx::build(&hops, &vec![delay_ms; hops.len() - 1], Last::Deliver { delay_ms }, &payload, &random).unwrap()
    }

    /// Whether node `to` takes the packet from `from`, or is busy.
    fn hand_over(&mut self, now: Time, from: usize, to: usize, packet: Packet) -> bool {
        let (token, from) = (Token(9), self.ids[from]);
        let outputs = self.handle(to, now, Input::Packet { token, from, packet });
        let answers: Vec<_> = outputs
            .iter()
            .filter_map(|output| match output {
                Output::Disposed(Token(9)) => Some(true),
                Output::Busy(Token(9)) => Some(false),
                _ => None,
            })
            .collect();
        assert_eq!(answers.len(), 1, "{outputs:?}");
        answers[0]
    }

    /// Hands node `to` packets from `from`, the next of `packets` each time, until it is busy; gives how many it took.
    fn flood(
        &mut self,
        now: Time,
        (from, to): (usize, usize),
        mut packets: impl FnMut(&mut Self, u64) -> Packet,
    ) -> u64 {
        (0..1000)
            .find(|n| {
                let packet = packets(self, *n);
                !self.hand_over(now, from, to, packet)
            })
            .expect("it takes for ever")
    }

    /// A packet that carries a fragment of a set that never becomes whole, for node `to`, which is an exit, or for
    /// `next` behind it.
    fn lone_fragment(&mut self, to: usize, next: Option<usize>, n: u64) -> Packet {
        let shape = Shape::new(2, 3, u32::try_from(SHARD_LEN).unwrap() + 1).unwrap();
        let shard: &Shard = &[7; SHARD_LEN];
        self.build(to, next, &Payload::Fragment(Fragment { set: SetId(mark(n)), shape, index: 0, shard }))
    }

    /// A packet that is a whole mail for the MTA of node `to`.
    fn mail(&mut self, to: usize, n: u64) -> Packet {
        self.mail_for("a@example.com", MAIL, to, n)
    }

    fn mail_for(&mut self, recipient: &str, mail: &[u8], to: usize, n: u64) -> Packet {
        let recipient = Address::parse(recipient).unwrap();
        let message = Message { recipient, mail: mail.to_vec(), id: MessageId(mark(n)), surbs: Vec::new() };
        let (shape, shards) = shards::split(&message::pack(&message).unwrap(), 0).unwrap();
        assert_eq!((shape.k(), shards.len()), (1, 1));
        self.build(to, None, &Payload::Fragment(Fragment { set: SetId(mark(n)), shape, index: 0, shard: &shards[0] }))
    }

    fn counts(&self, node: usize) -> Counts {
        self.engines[node].counts()
    }
}

/// An exit with its MTA beside it, what it hands out, and how the MTA takes that.
struct Delivering {
    nodes: Nodes,
    now: Time,
}

impl Delivering {
    fn new(change: impl Fn(&mut Setup)) -> Self {
        let mut nodes = Nodes::new(change);
        nodes.handle(EXIT, START, Input::ExitUp);
        Self { nodes, now: START }
    }

    /// Lets mails for these recipients come in, and time pass until none of them is held any more.
    fn receive(&mut self, mails: &[(&str, &[u8])], first: u64) -> Vec<(String, String)> {
        for ((to, mail), n) in mails.iter().zip(first..) {
            let packet = self.nodes.mail_for(to, mail, EXIT, n);
            assert!(self.nodes.hand_over(self.now, HONEST, EXIT, packet));
        }
        self.pass(HELD, |_| Disposition::Delivered)
    }

    /// What the MTA is handed while `span` passes: envelope recipients and mails. It answers each at once.
    fn pass(&mut self, span: Duration, mta: impl Fn(&str) -> Disposition) -> Vec<(String, String)> {
        let end = self.now.plus(span);
        let mut handed = Vec::new();
        while self.now < end {
            self.now = end.min(self.now.plus(Duration::from_secs(30)));
            let mut outputs = self.nodes.engines[EXIT].handle(vec![], self.now, &mut self.nodes.rng).unwrap();
            while let Some(output) = outputs.pop() {
                if let Output::Deliver { id, recipient, mail, .. } = output {
                    let (to, mail) = (recipient.to_string(), String::from_utf8(mail).unwrap());
                    let disposition = mta(&to);
                    handed.push((to, mail));
                    outputs.extend(self.nodes.handle(EXIT, self.now, Input::Delivered { id, disposition }));
                }
            }
        }
        handed
    }
}

/// The exit's own manners.
fn manners(change: impl Fn(&mut ExitSetup)) -> impl Fn(&mut Setup) {
    move |setup| setup.exit.iter_mut().for_each(&change)
}

const fn rate(count: u32, seconds: u64) -> Option<Rate> {
    Some(Rate { count, per: Duration::from_secs(seconds) })
}

fn recipients(handed: &[(String, String)]) -> Vec<&str> {
    let mut to: Vec<_> = handed.iter().map(|(to, _)| to.as_str()).collect();
    to.sort_unstable();
    to
}

/// A store of so many slots, half of them for packets of others.
fn slots(n: u64) -> impl Fn(&mut Setup) {
    move |setup| setup.max_spool = n * SLOT_LEN as u64
}

/// Longer than the packets of these tests are held.
const HELD: Duration = Duration::from_secs(3601);

const FLOODER: usize = 2;
const HONEST: usize = 4;
const MIX: usize = 1;
const EXIT: usize = 3;

const MAIL: &[u8] = b"From: a@b.example\r\nSubject: x\r\n\r\ntext\r\n";

#[test]
fn under_an_old_document_mail_waits_and_the_engine_sleeps() {
    let mut nodes = Nodes::new(|_| {});
    assert!(matches!(nodes.submit(START, "a@example.com.fog", MAIL), Outcome::Accepted(..)));
    let late = nodes.engines[1].document().unwrap().valid_until().plus(Duration::from_secs(1));
    assert!(matches!(nodes.submit(late, "b@example.com.fog", MAIL), Outcome::Accepted(..)));
    assert!(nodes.engines[1].next_wakeup().is_none_or(|at| at > late), "it would never sleep");
}

#[test]
fn a_node_whose_disk_is_low_takes_nothing_sends_what_it_has_and_takes_again() {
    let (to, packet) = Nodes::busy(|_| {}).first_packet();
    let mut nodes = Nodes::busy(|_| {});
    let (token, from) = (Token(7), nodes.ids[1]);
    let more = |nodes: &mut Nodes| {
        let outputs = nodes.handle(to, START, Input::Packet { token, from, packet: packet.clone() });
        // By now it has links to ask for, too.
        outputs.iter().any(|output| matches!(output, Output::Disposed(Token(7))))
    };
    assert!(matches!(nodes.submit(START, "a@example.com.fog", MAIL), Outcome::Accepted(..)));
    nodes.handle(1, START, Input::Room(0));
    nodes.handle(to, START, Input::Room(0));
    assert_eq!(nodes.submit(START, "a@example.com.fog", MAIL), Outcome::Temporary(Reason::DiskFull));
    assert!(!more(&mut nodes), "it took a packet");
    assert_eq!(nodes.engines[to].counts().pooled, 0);
    let sent = nodes.pieces_of_node_1();
    assert!(!sent.is_empty(), "what it had stays");
    nodes.handle(1, START, Input::Room(1 << 30));
    nodes.handle(to, START, Input::Room(1 << 30));
    assert!(more(&mut nodes), "something of the packet was remembered");
    assert!(matches!(nodes.submit(START, "a@example.com.fog", MAIL), Outcome::Accepted(..)));
}

#[test]
fn a_full_node_refuses_before_it_remembers() {
    let (to, packet) = Nodes::busy(|_| {}).first_packet();
    let mut full = Nodes::busy(|setup| setup.max_spool = 0);
    assert_eq!(full.submit(START, "a@example.com.fog", MAIL), Outcome::Temporary(Reason::SpoolFull));
    let (token, from) = (Token(7), full.ids[1]);
    let outputs = full.handle(to, START, Input::Packet { token, from, packet: packet.clone() });
    assert!(matches!(outputs.as_slice(), [Output::Busy(Token(7))]), "{outputs:?}");
    assert_eq!(full.engines[to].counts().pooled, 0);
    // The same node with room again takes it: nothing of it was remembered.
    let mut nodes = Nodes::busy(|_| {});
    let outputs = nodes.handle(to, START, Input::Packet { token, from, packet });
    assert!(matches!(outputs.as_slice(), [Output::Disposed(Token(7))]), "{outputs:?}");
    assert_eq!(nodes.engines[to].counts().pooled, 1);
}

#[test]
fn a_canary_lies_in_the_spool_until_its_slot_and_goes_nowhere() {
    let mut nodes = Nodes::busy(|_| {});
    let canary = "a@x.fog-check.invalid.fog";
    assert!(matches!(nodes.submit(START, canary, MAIL), Outcome::Accepted(..)));
    assert_eq!(nodes.engines[1].held().unwrap().mails, 1);
    assert!(nodes.pieces_of_node_1().is_empty(), "it has left");

    // Nor does anybody have to write to such a domain for it.
    let mut alone = Nodes::new(|_| {});
    let document = alone.engines[1].document().unwrap().clone();
    let exits: Vec<_> = document.nodes().filter(|(_, node)| node.exit.is_some()).map(|(id, _)| *id).collect();
    alone.handle(1, START, Input::Document(Box::new(without(&document, &exits))));
    assert!(matches!(alone.submit(START, "a@example.com.fog", MAIL), Outcome::Permanent(Reason::NoExit)));
    assert!(matches!(alone.submit(START, canary, MAIL), Outcome::Accepted(..)));
}

#[test]
fn a_packet_that_comes_twice_is_acknowledged_twice_and_pooled_once() {
    let mut nodes = Nodes::busy(|_| {});
    let (to, packet) = nodes.first_packet();
    let from = nodes.ids[1];
    for token in [Token(1), Token(2)] {
        let outputs = nodes.handle(to, START, Input::Packet { token, from, packet: packet.clone() });
        assert!(matches!(outputs.as_slice(), [Output::Disposed(answered)] if *answered == token), "{outputs:?}");
    }
    let counts = nodes.engines[to].counts();
    assert_eq!((counts.pooled, counts.replayed, counts.dropped), (1, 1, 0));
}

#[test]
fn a_packet_taken_before_a_crash_is_not_taken_again_after_it() {
    let mut nodes = Nodes::new(|_| {});
    let packet = nodes.lone_fragment(MIX, Some(EXIT), 1);
    assert!(nodes.hand_over(START, HONEST, MIX, packet.clone()));
    nodes.cut_power(MIX);
    // The neighbour did not hear the answer, or is another that has copied the packet.
    for from in [HONEST, FLOODER] {
        assert!(nodes.hand_over(START, from, MIX, packet.clone()));
    }
    assert_eq!((nodes.counts(MIX).pooled, nodes.counts(MIX).replayed), (0, 2), "it lies in the pool");

    let (later, exit) = (START.plus(HELD), nodes.ids[EXIT]);
    let sent = nodes.handle(MIX, later, Input::LinkUp(exit));
    let [Output::Connect(_), Output::Send { to, id, .. }] = sent.as_slice() else { panic!("{sent:?}") };
    nodes.handle(MIX, later, Input::Acked { to: *to, id: *id });
    assert_eq!(nodes.counts(MIX).handed_on, 1);
    nodes.cut_power(MIX);
    assert!(nodes.hand_over(later, HONEST, MIX, packet));
    assert_eq!((nodes.counts(MIX).pooled, nodes.counts(MIX).replayed), (0, 1), "it has left");
    let sent = nodes.handle(MIX, later.plus(HELD), Input::LinkUp(exit));
    assert!(sent.is_empty(), "{sent:?}");
}

#[test]
fn every_packet_that_is_not_ours_gets_the_same_answer() {
    let mut nodes = Nodes::busy(|_| {});
    let (to, packet) = nodes.first_packet();
    let other = (0..5).find(|n| *n != to && *n != 1).unwrap();
    let mut bytes = packet.as_bytes().to_vec();
    bytes[3000] ^= 1;
    let altered = Packet::from_bytes(&bytes).unwrap();
    let from = nodes.ids[1];
    for (node, packet) in [(other, packet), (to, altered)] {
        let outputs = nodes.handle(node, START, Input::Packet { token: Token(3), from, packet });
        assert!(matches!(outputs.as_slice(), [Output::Disposed(Token(3))]), "{outputs:?}");
        assert_eq!((nodes.engines[node].counts().pooled, nodes.engines[node].counts().dropped), (0, 1));
    }
}

#[test]
fn what_ends_at_a_node_that_is_no_exit_and_is_no_loop_of_its_own_is_dropped() {
    let mut nodes = Nodes::new(|_| {});
    let packets = [
        nodes.mail(MIX, 1),
        nodes.lone_fragment(MIX, None, 2),
        nodes.build(MIX, None, &Payload::Loop([7; 32])),
        nodes.build(EXIT, None, &Payload::Loop([7; 32])),
    ];
    for (packet, node) in packets.into_iter().zip([MIX, MIX, MIX, EXIT]) {
        assert!(nodes.hand_over(START, HONEST, node, packet));
    }
    for (node, count) in [(MIX, 3), (EXIT, 1)] {
        nodes.handle(node, START.plus(HELD), Input::LinkDown(nodes.ids[HONEST]));
        let held = nodes.engines[node].held().unwrap();
        assert_eq!((nodes.counts(node).dropped, held.packets, held.outbox), (count, 0, 0));
        assert_eq!(nodes.counts(node).loops_back, 0);
    }
}

#[test]
fn a_neighbour_that_floods_fills_its_share_and_leaves_room_for_the_others() {
    let mut nodes = Nodes::new(slots(60));
    let taken = nodes.flood(START, (FLOODER, MIX), |nodes, n| nodes.lone_fragment(MIX, Some(EXIT), n));
    assert_eq!((taken, nodes.counts(MIX).pooled), (10, 10), "a third of the half that is for others");
    // Handing it to a friend that takes nothing doesn't make room.
    let later = START.plus(HELD);
    let packet = nodes.lone_fragment(MIX, Some(EXIT), 20);
    assert!(!nodes.hand_over(later, FLOODER, MIX, packet.clone()));
    for n in 30..35 {
        let packet = nodes.lone_fragment(MIX, Some(EXIT), n);
        assert!(nodes.hand_over(later, HONEST, MIX, packet), "{n}: an honest neighbour is shut out");
    }

    // What goes makes room.
    let exit = nodes.ids[EXIT];
    let sent = nodes.handle(MIX, later, Input::LinkUp(exit));
    for output in sent {
        if let Output::Send { to, id, .. } = output {
            nodes.handle(MIX, later, Input::Acked { to, id });
        }
    }
    assert_eq!(nodes.counts(MIX).handed_on, 10);
    assert!(nodes.hand_over(later, FLOODER, MIX, packet));
}

#[test]
fn packets_for_a_node_that_is_away_make_room_when_it_could_not_open_them_any_more() {
    let mut nodes = Nodes::new(slots(60));
    let epoch = nodes.engines[MIX].document().unwrap().params().epoch;
    // A neighbour that is honest has passed on what somebody sends to a node that takes nothing.
    let taken = nodes.flood(START, (HONEST, MIX), |nodes, n| nodes.lone_fragment(MIX, Some(EXIT), n));
    let (exit, garbage) = (nodes.ids[EXIT], Packet::from_bytes(&[7; 65_536]).unwrap());
    nodes.handle(MIX, START.plus(HELD), Input::LinkDown(exit));
    let in_time = START.plus(HELD).plus(epoch / 2);
    let sent = nodes.handle(MIX, in_time, Input::LinkUp(exit));
    assert_eq!(u64::try_from(sent.len()).unwrap(), taken, "{sent:?}");
    nodes.handle(MIX, in_time, Input::LinkDown(exit));
    assert!(!nodes.hand_over(in_time, HONEST, MIX, garbage.clone()));

    let too_late = START.plus(HELD).plus(epoch * 2);
    nodes.handle(MIX, too_late, Input::LinkDown(exit));
    assert_eq!(nodes.counts(MIX).dropped, 0, "the clock may have jumped");
    nodes.handle(MIX, too_late, Input::LinkUp(nodes.ids[HONEST]));
    assert_eq!((nodes.counts(MIX).handed_on, nodes.counts(MIX).dropped), (0, taken));
    assert!(nodes.hand_over(too_late, HONEST, MIX, garbage), "its share is full for good");
}

/// A mix that holds one packet for the exit, which is away.
fn with_a_packet_for_the_exit() -> (Nodes, Time) {
    let mut nodes = Nodes::new(|_| {});
    let packet = nodes.lone_fragment(MIX, Some(EXIT), 0);
    assert!(nodes.hand_over(START, HONEST, MIX, packet));
    (nodes, START.plus(HELD))
}

#[test]
fn what_waits_for_a_node_goes_by_the_document_before_and_is_dropped_when_that_is_gone_too() {
    let all = Nodes::new(|_| {}).engines[MIX].document().unwrap().clone();
    let exit = Nodes::new(|_| {}).ids[EXIT];
    let gone = || without(&all, &[exit]);
    let gone_again = || without(&all, &[exit, Nodes::new(|_| {}).ids[FLOODER]]);
    for (documents, goes, what) in [
        (vec![gone()], true, "in the document before"),
        (vec![gone(), gone_again()], false, "in neither"),
        (vec![gone(), all.clone()], true, "in it again"),
        (vec![gone(), all.clone(), gone()], true, "has left again"),
    ] {
        let (mut nodes, later) = with_a_packet_for_the_exit();
        for document in documents {
            nodes.handle(MIX, later, Input::Document(Box::new(document)));
        }
        let sent = nodes.handle(MIX, later, Input::LinkUp(exit));
        let went = sent.iter().any(|output| matches!(output, Output::Send { to, .. } if *to == exit));
        assert_eq!((went, nodes.counts(MIX).dropped), (goes, u64::from(!goes)), "{what}");
    }
}

#[test]
fn a_packet_for_a_node_that_has_just_left_the_document_is_taken_and_a_restart_keeps_it() {
    let (mut nodes, later) = with_a_packet_for_the_exit();
    let (all, exit) = (nodes.engines[MIX].document().unwrap().clone(), nodes.ids[EXIT]);
    let second = nodes.lone_fragment(MIX, Some(EXIT), 1);
    nodes.handle(MIX, later, Input::Document(Box::new(without(&all, &[exit]))));
    assert!(nodes.hand_over(later, HONEST, MIX, second));
    assert_eq!((nodes.counts(MIX).pooled, nodes.counts(MIX).dropped), (2, 0));

    nodes.cut_power(MIX);
    let engine = nodes.engines.remove(MIX).after(&all);
    nodes.engines.insert(MIX, engine);
    nodes.handle(MIX, later, Input::LinkDown(exit));
    let sent = nodes.handle(MIX, later.plus(HELD), Input::LinkUp(exit));
    assert_eq!(sent.iter().filter(|output| matches!(output, Output::Send { .. })).count(), 2, "{sent:?}");
}

#[test]
fn who_has_had_its_share_hears_busy_before_its_packets_are_looked_at() {
    let mut nodes = Nodes::new(slots(60));
    let first = nodes.lone_fragment(MIX, Some(EXIT), 0);
    nodes.flood(START, (FLOODER, MIX), |nodes, n| match n {
        0 => first.clone(),
        n => nodes.lone_fragment(MIX, Some(EXIT), n),
    });
    let before = nodes.counts(MIX);
    let garbage = Packet::from_bytes(&vec![7; first.as_bytes().len()]).unwrap();
    for packet in [&garbage, &first] {
        assert!(!nodes.hand_over(START, FLOODER, MIX, packet.clone()));
    }
    assert_eq!(nodes.counts(MIX), before, "they were opened");
    for packet in [garbage, first] {
        assert!(nodes.hand_over(START, HONEST, MIX, packet));
    }
    let after = nodes.counts(MIX);
    assert_eq!((after.dropped, after.replayed), (before.dropped + 1, before.replayed + 1));
}

#[test]
fn parts_that_wait_in_vain_count_for_who_handed_them_over() {
    let mut nodes = Nodes::new(slots(60));
    let taken = nodes.flood(START, (FLOODER, EXIT), |nodes, n| nodes.lone_fragment(EXIT, None, n));
    assert_eq!(taken, 10);
    let later = START.plus(HELD);
    nodes.handle(EXIT, later, Input::LinkUp(nodes.ids[MIX]));
    assert_eq!(nodes.counts(EXIT).dropped, 5, "a third of half of the half for others is kept");
    let taken = nodes.flood(later, (FLOODER, EXIT), |nodes, n| nodes.lone_fragment(EXIT, None, 20 + n));
    assert_eq!(taken, 5, "what is kept is in its share");
    let packet = nodes.lone_fragment(EXIT, None, 40);
    assert!(nodes.hand_over(later, HONEST, EXIT, packet));
    // When the sets are given up, their room is free again.
    let given_up = later.plus(nodes.engines[EXIT].document().unwrap().params().epoch * 6);
    nodes.handle(EXIT, given_up, Input::LinkUp(nodes.ids[MIX]));
    let garbage = Packet::from_bytes(&[7; 65_536]).unwrap();
    assert!(nodes.hand_over(given_up, FLOODER, EXIT, garbage));
}

/// Somebody has packets sent to an exit for weeks whose mails never become whole, through a mix that passes them on in
/// good faith. Neither that mix nor another is shut out, and of what others brought nothing goes.
#[test]
fn a_patient_flood_of_lone_pieces_through_an_honest_mix_shuts_nobody_out_and_spoils_no_mail_of_others() {
    let mut nodes = Nodes::new(slots(60));
    let (a, b) = (attacks::pieces("a@example.com", 1), attacks::pieces("b@example.com", 2));
    let piece = |nodes: &mut Nodes, (shape, shards, set): &(Shape, Vec<Shard>, SetId), index: u8| {
        let (set, shard) = (*set, &shards[usize::from(index)]);
        nodes.build(EXIT, None, &Payload::Fragment(Fragment { set, shape: *shape, index, shard }))
    };
    let first = piece(&mut nodes, &a, 0);
    assert!(nodes.hand_over(START, FLOODER, EXIT, first), "the other mix brings half of a mail");
    let mut now = START;
    for n in 0..12 {
        for k in 0..4 {
            let packet = nodes.lone_fragment(EXIT, None, 100 + 4 * n + k);
            assert!(nodes.hand_over(now, HONEST, EXIT, packet), "{n}: the honest mix is shut out");
        }
        now = now.plus(HELD);
        nodes.handle(EXIT, now, Input::LinkUp(nodes.ids[MIX]));
    }
    // Mail comes in as before: the one that began before the flood, and one that begins now.
    for packet in [piece(&mut nodes, &a, 1), piece(&mut nodes, &b, 2), piece(&mut nodes, &b, 1)] {
        assert!(nodes.hand_over(now, HONEST, EXIT, packet));
    }
    nodes.handle(EXIT, now.plus(HELD), Input::LinkUp(nodes.ids[MIX]));
    assert_eq!(nodes.counts(EXIT).assembled, 2);
    assert_eq!(nodes.counts(EXIT).dropped, 48 - 4, "four lone pieces are left");
}

#[test]
fn an_exit_whose_mta_takes_nothing_keeps_mail_within_bounds_and_in_the_end_says_busy() {
    let mut nodes = Nodes::new(slots(24));
    let mut now = START;
    let mut sent = 0;
    let mut busy = 0;
    for n in 0..60 {
        let packet = nodes.mail(EXIT, n);
        let taken = nodes.hand_over(now, FLOODER, EXIT, packet);
        (sent, busy) = if taken { (sent + 1, busy) } else { (sent, busy + 1) };
        now = now.plus(Duration::from_secs(300));
    }
    assert_eq!(nodes.counts(EXIT).assembled, 2, "a third of the quarter of the store that is for mail to the MTA");
    assert_eq!(sent, 2 + 4, "what waits behind it is in the flooder's share");
    assert!(busy > 0);
    let packet = nodes.mail(EXIT, 100);
    assert!(nodes.hand_over(now, HONEST, EXIT, packet));
    sent += 1;
    now = now.plus(HELD);
    nodes.handle(EXIT, now, Input::LinkUp(nodes.ids[MIX]));
    assert_eq!(nodes.counts(EXIT).assembled, 3, "another neighbour's mail finds no room");

    // The MTA comes back: everything that was taken is handed out.
    let mut delivered = 0;
    let mut outputs = nodes.handle(EXIT, now, Input::ExitUp);
    while delivered < sent {
        now = now.plus(Duration::from_secs(61));
        let ids: Vec<_> = outputs
            .iter()
            .filter_map(|output| match output {
                Output::Deliver { id, .. } => Some(*id),
                _ => None,
            })
            .collect();
        outputs = nodes.handle(EXIT, now, Input::ExitUp);
        for id in ids {
            delivered += 1;
            outputs = nodes.handle(EXIT, now, Input::Delivered { id, disposition: Disposition::Delivered });
        }
        assert!(now.since(START) < Duration::from_secs(86_400), "only {delivered} of {sent} were handed out");
    }
}

#[test]
fn long_mails_in_small_packets_fill_a_share_and_leave_room_for_users_and_others() {
    let mut exit = Delivering::new(slots(600));
    exit.nodes.handle(EXIT, START, Input::ExitDown);
    let long = [MAIL, &b"the same line\r\n".repeat(70_000)].concat();
    for n in 0..40 {
        let packet = exit.nodes.mail_for(&format!("a{n}@example.com"), &long, EXIT, n);
        assert!(exit.nodes.hand_over(START, FLOODER, EXIT, packet), "{n}");
    }
    exit.pass(HELD, |_| Disposition::Delivered);
    assert_eq!(exit.nodes.counts(EXIT).assembled, 3, "sixteen slots each, of a quarter of 600");
    let request = Request {
        source: Source::Mta,
        dedup: None,
        sender: None,
        wish: Wish::default(),
        recipients: vec![Address::parse("a@dest.example.fog").unwrap()],
        mail: MAIL.to_vec(),
    };
    let outputs = exit.nodes.handle(EXIT, exit.now, Input::Submit { token: Token(1), request });
    let Some(Output::Reply { reply, .. }) = outputs.first() else { panic!("{outputs:?}") };
    assert!(matches!(reply.outcomes[..], [Outcome::Accepted(..)]), "{:?}", reply.outcomes);
    let packet = exit.nodes.mail_for("b@example.com", &long, EXIT, 100);
    assert!(exit.nodes.hand_over(exit.now, HONEST, EXIT, packet));
    exit.pass(HELD, |_| Disposition::Delivered);
    assert_eq!(exit.nodes.counts(EXIT).assembled, 4, "an honest neighbour's mail finds no room");

    // All of it goes out in the end, though the flooder's packets fill its share and wait for room.
    let (mut outputs, mut handed) = (exit.nodes.handle(EXIT, exit.now, Input::ExitUp), 0);
    while let Some(output) = outputs.pop() {
        if let Output::Deliver { id, .. } = output {
            handed += 1;
            outputs.extend(exit.nodes.handle(
                EXIT,
                exit.now,
                Input::Delivered { id, disposition: Disposition::Delivered },
            ));
        }
    }
    assert_eq!(handed + exit.pass(HELD, |_| Disposition::Delivered).len(), 41);
}

#[test]
fn one_recipient_gets_so_many_mails_a_day_and_a_flood_is_refused() {
    let limit = |exit: &mut ExitSetup| exit.limits.per_recipient = rate(2, 86_400);
    let mut exit = Delivering::new(manners(limit));
    let mails: Vec<_> = (0..7).map(|_| ("a@example.com", MAIL)).chain([("b@example.com", MAIL)]).collect();
    let handed = exit.receive(&mails, 0);
    assert_eq!(recipients(&handed), ["a@example.com", "a@example.com", "b@example.com"]);
    // Two wait for the next day, three were too many.
    let handed = exit.pass(Duration::from_secs(86_400), |_| Disposition::Delivered);
    assert_eq!(recipients(&handed), ["a@example.com", "a@example.com"]);
    assert!(exit.pass(Duration::from_secs(3 * 86_400), |_| Disposition::Delivered).is_empty());
    let counts = exit.nodes.counts(EXIT);
    assert_eq!((counts.delivered, counts.undeliverable), (5, 3));
    assert_eq!(exit.nodes.engines[EXIT].next_wakeup().filter(|at| *at <= exit.now), None, "it would never sleep");
}

#[test]
fn all_recipients_together_get_no_more_than_the_rate() {
    let mut exit = Delivering::new(manners(|exit| exit.limits.all = rate(1, 600)));
    let mails: Vec<_> = ["a@example.com", "b@example.com", "c@example.com"].map(|to| (to, MAIL)).to_vec();
    let mut handed = exit.receive(&mails, 0).len();
    for _ in 0..6 {
        let more = exit.pass(Duration::from_secs(600), |_| Disposition::Delivered).len();
        assert!(more <= 1, "{more} in ten minutes");
        handed += more;
    }
    assert_eq!(handed, 3);
}

#[test]
fn what_an_exit_does_not_write_to_it_does_not_whoever_sends_it() {
    let mut exit = Delivering::new(|_| {});
    // Out of the network again, and beyond what this exit says in the document.
    assert!(exit.receive(&[("a@example.com.fog", MAIL), ("a@example.org", MAIL)], 0).is_empty());
    assert_eq!((exit.nodes.counts(EXIT).undeliverable, exit.nodes.counts(EXIT).assembled), (2, 0));
}

#[test]
fn a_mail_that_the_mta_defers_for_five_epochs_is_given_up_and_not_before() {
    let mut exit = Delivering::new(|_| {});
    let packet = exit.nodes.mail(EXIT, 1);
    assert!(exit.nodes.hand_over(exit.now, HONEST, EXIT, packet));
    let epoch = exit.nodes.engines[EXIT].document().unwrap().params().epoch;
    let tries = exit.pass(epoch * 49 / 10, |_| Disposition::Temporary).len();
    assert!(tries > 20 && exit.nodes.counts(EXIT).undeliverable == 0, "{tries} tries");
    assert!(exit.pass(epoch / 2, |_| Disposition::Temporary).len() <= 3);
    assert_eq!((exit.nodes.counts(EXIT).undeliverable, exit.nodes.counts(EXIT).delivered), (1, 0));
    assert!(exit.pass(epoch, |_| Disposition::Delivered).is_empty());
}

#[test]
fn pieces_are_waited_for_five_epochs_and_a_spare_one_that_comes_late_is_kept_by_nobody() {
    let mut nodes = Nodes::new(slots(60));
    let (shape, shards, set) = attacks::pieces("a@example.com", 1);
    let packet = nodes.lone_fragment(EXIT, None, 9);
    assert!(nodes.hand_over(START, HONEST, EXIT, packet));
    for index in [0, 2, 1] {
        let shard = &shards[usize::from(index)];
        let packet = nodes.build(EXIT, None, &Payload::Fragment(Fragment { set, shape, index, shard }));
        assert!(nodes.hand_over(START, HONEST, EXIT, packet));
    }
    let due = START.plus(HELD);
    nodes.handle(EXIT, due, Input::LinkUp(nodes.ids[MIX]));
    assert_eq!((nodes.counts(EXIT).assembled, nodes.counts(EXIT).dropped), (1, 1), "the spare piece");
    let epoch = nodes.engines[EXIT].document().unwrap().params().epoch;
    nodes.handle(EXIT, due.plus(epoch * 49 / 10), Input::LinkUp(nodes.ids[MIX]));
    assert_eq!(nodes.counts(EXIT).dropped, 1, "a sibling of the lone piece may still come");
    nodes.handle(EXIT, due.plus(epoch * 51 / 10), Input::LinkUp(nodes.ids[MIX]));
    assert_eq!(nodes.counts(EXIT).dropped, 2);
    let used = nodes.engines.remove(EXIT).into_store().usage().unwrap().slots;
    assert_eq!(used, 2, "the mail for the MTA, and nothing else");
}

#[test]
fn a_mail_that_the_mta_defers_is_in_nobodys_share() {
    let mut exit = Delivering::new(manners(|exit| exit.limits.per_recipient = rate(1, 86_400)));
    let packet = exit.nodes.mail(EXIT, 1);
    assert!(exit.nodes.hand_over(exit.now, HONEST, EXIT, packet));
    assert!(exit.pass(HELD * 3, |_| Disposition::Temporary).len() > 1);
    assert_eq!(exit.pass(HELD * 4, |_| Disposition::Delivered).len(), 1);
}

#[test]
fn who_asked_not_to_be_written_to_is_not_from_here_or_through_here() {
    let list = |to: &str| {
        let mut list = BlockList::new(&Secret::filled(|key| key.fill(1)));
        list.add(&Who::parse(to).unwrap(), "2026-11-23");
        Arc::new(list)
    };
    let mut exit = Delivering::new(|setup| setup.block = list("a@example.com"));
    let handed = exit.receive(&[("A+x@example.com", MAIL), ("b@example.com", MAIL)], 0);
    assert_eq!(recipients(&handed), ["b@example.com"]);
    assert_eq!(exit.nodes.counts(EXIT).undeliverable, 1);
    let refused = Outcome::Permanent(Reason::Blocked);
    assert_eq!(exit.nodes.submit(START, "a@example.com.fog", MAIL), refused);

    // Who asks while a mail waits for them is not written to either.
    let packet = exit.nodes.mail_for("c@example.com", MAIL, EXIT, 7);
    exit.nodes.hand_over(exit.now, HONEST, EXIT, packet);
    assert!(!exit.pass(HELD, |_| Disposition::Temporary).is_empty());
    let (entry, block) = (world::entry_setup(false), list("@example.com"));
    let settings = Settings { max_spool: u64::MAX, exit: None, entry, block };
    exit.nodes.handle(EXIT, exit.now, Input::Settings(settings));
    assert!(exit.pass(HELD * 4, |_| Disposition::Delivered).is_empty());
    assert_eq!(exit.nodes.counts(EXIT).undeliverable, 2);
}

#[test]
fn a_posting_goes_to_a_gateway_of_its_day_and_to_the_next_if_that_refuses() {
    let gateways = ["first@one.example", "m2n-{date}-{groups}@two.example"];
    let mut exit = Delivering::new(manners(|exit| {
        exit.gateways = gateways.iter().map(|text| Gateway::parse(text).unwrap()).collect();
    }));
    let crossposted = b"Newsgroups: misc.test,alt.test\r\nSubject: x\r\n\r\ntext\r\n";
    let handed = exit.receive(&[("alt.test@news", MAIL), ("post@news", crossposted), ("post@news", MAIL)], 0);
    assert_eq!(recipients(&handed), ["first@one.example", "first@one.example"]);
    for (_, mail) in &handed {
        let groups = if mail.contains("misc") { "alt.test, misc.test" } else { "alt.test" };
        assert!(mail.starts_with("To: first@one.example\r\nFrom: "), "{mail}");
        assert_eq!((mail.matches("\r\nTo:").count(), mail.matches("Newsgroups:").count()), (0, 1), "{mail}");
        assert!(mail.contains(&format!("\r\nNewsgroups: {groups}\r\n")), "{mail}");
    }
    assert_eq!(exit.nodes.counts(EXIT).undeliverable, 1, "no group, no posting");

    let packet = exit.nodes.mail_for("post@news", crossposted, EXIT, 8);
    exit.nodes.hand_over(exit.now, HONEST, EXIT, packet);
    let refuses = |to: &str| if to.starts_with("first") { Disposition::Permanent } else { Disposition::Delivered };
    let handed = exit.pass(HELD, refuses);
    let (second, mail) = &handed[1];
    assert_eq!((handed.len(), handed[0].0.as_str()), (2, "first@one.example"));
    assert!(second.starts_with("m2n-20") && second.ends_with("-alt.test=misc.test@two.example"), "{second}");
    assert!(mail.starts_with(&format!("To: {second}\r\n")), "{mail}");
    let packet = exit.nodes.mail_for("post@news", crossposted, EXIT, 9);
    exit.nodes.hand_over(exit.now, HONEST, EXIT, packet);
    assert_eq!(exit.pass(HELD * 4, |_| Disposition::Permanent).len(), 2, "each gateway once");

    let mut exit = Delivering::new(|_| {});
    assert!(exit.receive(&[("alt.test@news", MAIL)], 0).is_empty(), "it has no gateway any more");
    assert_eq!(exit.nodes.counts(EXIT).undeliverable, 1);
}

#[test]
fn a_mailbox_is_one_however_it_is_spelled_and_a_posting_is_its_groups() {
    let mut exit = Delivering::new(manners(|exit| {
        exit.limits.per_recipient = rate(1, 86_400);
        exit.gateways = vec![Gateway::parse("m@news.example").unwrap()];
    }));
    let crossposted = b"Newsgroups: misc.test\r\nSubject: x\r\n\r\ntext\r\n";
    let other = b"Newsgroups: alt.test\r\nSubject: x\r\n\r\ntext\r\n";
    let mails: [(&str, &[u8]); 5] = [
        ("bob+1@example.com", MAIL),
        ("BOB+2@example.com", MAIL),
        ("misc.test@news", MAIL),
        ("post@news", crossposted),
        ("post@news", other),
    ];
    assert_eq!(recipients(&exit.receive(&mails, 0)).len(), 3, "one for bob, one for each group");
}

#[test]
fn a_group_or_a_gateway_that_asked_for_it_is_not_posted_to_under_another_name() {
    let mut exit = Delivering::new(|setup| {
        let mut list = BlockList::new(&Secret::filled(|key| key.fill(1)));
        for who in ["alt.quiet@news", "@away.example"] {
            list.add(&Who::parse(who).unwrap(), "2026-11-23");
        }
        setup.block = Arc::new(list);
        let gateways = ["m@away.example", "m@taking.example"];
        setup.exit.iter_mut().for_each(|exit| {
            exit.gateways = gateways.iter().map(|text| Gateway::parse(text).unwrap()).collect();
        });
    });
    let hidden = b"Newsgroups: alt.loud,alt.quiet\r\nSubject: x\r\n\r\ntext\r\n";
    let mails: [(&str, &[u8]); 4] =
        [("alt.quiet@news", MAIL), ("post@news", hidden), ("alt.loud@news", hidden), ("alt.loud@news", MAIL)];
    let handed = exit.receive(&mails, 0);
    assert_eq!(recipients(&handed), ["m@taking.example"]);
    assert!(handed[0].1.contains("Newsgroups: alt.loud\r\n"), "{}", handed[0].1);
}

#[test]
fn an_address_that_an_mta_would_send_on_is_refused_at_both_ends() {
    let mut exit = Delivering::new(|_| {});
    let routed =
        ["bob%there.example@example.com", "there.example!bob@example.com", "\"bob@there.example\"@example.com"];
    for (to, n) in routed.into_iter().zip(0..) {
        assert_eq!(
            exit.nodes.submit(START, &format!("{to}.fog"), MAIL),
            Outcome::Permanent(Reason::BadAddress),
            "{to}"
        );
        assert!(exit.receive(&[(to, MAIL)], n).is_empty(), "{to}");
    }
    assert_eq!(exit.nodes.counts(EXIT).undeliverable, 3);
}

#[test]
fn a_mail_that_the_exit_process_goes_away_over_is_in_nobodys_share_and_in_nobodys_way() {
    let mut exit = Delivering::new(manners(|exit| exit.limits.per_recipient = rate(1, 86_400)));
    let packet = exit.nodes.mail(EXIT, 1);
    exit.nodes.hand_over(exit.now, HONEST, EXIT, packet);
    exit.now = exit.now.plus(HELD);
    let handed = |outputs: &[Output]| {
        let to = outputs.iter().filter_map(|output| match output {
            Output::Deliver { recipient, .. } => Some(recipient.to_string()),
            _ => None,
        });
        to.collect::<Vec<_>>()
    };
    // It dies of the mail: as often as it comes back it is asked again.
    for _ in 0..3 {
        let outputs = exit.nodes.handle(EXIT, exit.now, Input::ExitUp);
        assert_eq!(handed(&outputs), ["a@example.com"]);
        exit.nodes.handle(EXIT, exit.now, Input::ExitDown);
    }
    for (n, to) in (10..).zip(["b@example.com", "c@example.com", "d@example.com", "e@example.com"]) {
        let packet = exit.nodes.mail_for(to, MAIL, EXIT, n);
        exit.nodes.hand_over(exit.now, HONEST, EXIT, packet);
    }
    exit.now = exit.now.plus(HELD);
    exit.nodes.handle(EXIT, exit.now, Input::ExitDown);
    let outputs = exit.nodes.handle(EXIT, exit.now, Input::ExitUp);
    assert!(!handed(&outputs).contains(&"a@example.com".to_owned()), "{:?}", handed(&outputs));
    assert_eq!(handed(&outputs).len(), 4);
}

#[test]
fn a_posting_without_a_group_is_refused_at_the_door() {
    let mut nodes = Nodes::new(|_| {});
    let taken = nodes.submit(START, "alt.test@news.fog", MAIL);
    assert!(matches!(taken, Outcome::Accepted(..)), "{taken:?}");
    assert_eq!(nodes.submit(START, "post@news.fog", MAIL), Outcome::Permanent(Reason::BadNewsgroups));
}

#[test]
fn a_node_full_of_its_own_mail_still_takes_packets_of_others() {
    let mut nodes = Nodes::new(slots(24));
    assert!(matches!(nodes.submit(START, "a@example.com.fog", MAIL), Outcome::Accepted(..)));
    while nodes.submit(START, "a@example.com.fog", MAIL) != Outcome::Temporary(Reason::SpoolFull) {}
    // Two such nodes, each full of mail for the other, would stand still for good.
    let packet = nodes.lone_fragment(MIX, Some(EXIT), 1);
    assert!(nodes.hand_over(START, HONEST, MIX, packet));
}

#[test]
fn packets_of_others_leave_room_for_mail_of_ones_own() {
    let mut nodes = Nodes::new(slots(24));
    for from in [0, 2, 3, 4] {
        nodes.flood(START, (from, MIX), |nodes, n| nodes.lone_fragment(MIX, Some(EXIT), n));
    }
    assert!(matches!(nodes.submit(START, "a@example.com.fog", MAIL), Outcome::Accepted(..)));
}

#[test]
fn mail_keeps_to_its_half_also_while_packets_of_others_come_in() {
    let mut nodes = Nodes::new(slots(24));
    let packets: Vec<_> = (0..6).map(|n| nodes.lone_fragment(MIX, Some(EXIT), n)).collect();
    let senders = [FLOODER, HONEST];
    let packet = |(n, packet)| Input::Packet { token: Token(0), from: nodes.ids[senders[n % 2]], packet };
    let mut inputs: Vec<_> = packets.into_iter().enumerate().map(packet).collect();
    inputs.extend((0..30).map(|n| {
        let recipients = vec![Address::parse("a@example.com.fog").unwrap()];
        let (wish, mail) = (Wish::default(), MAIL.to_vec());
        let request = Request { source: Source::Mta, dedup: None, sender: None, wish, recipients, mail };
        Input::Submit { token: Token(n), request }
    }));
    nodes.engines[MIX].handle(inputs, START, &mut nodes.rng).unwrap();
    assert_eq!((nodes.counts(MIX).pooled, nodes.counts(MIX).accepted), (6, 12));
}

#[test]
fn a_mail_that_no_exit_could_take_once_it_is_clean_is_refused_at_the_door() {
    let mut nodes = Nodes::new(|_| {});
    let max = usize::try_from(nodes.engines[1].document().unwrap().params().max_size).unwrap();
    let mut mail = b"From: a@b.example\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n".to_vec();
    // Eight-bit text grows when it is encoded anew.
    while mail.len() < max - 100 {
        mail.extend_from_slice("äöüäöüäöüäöüäöüäöüäöüäöüäöü\r\n".as_bytes());
    }
    assert_eq!(nodes.submit(START, "a@example.com.fog", &mail), Outcome::Permanent(Reason::MailTooBig));
    assert_eq!(nodes.submit(START, "a@example.com", MAIL), Outcome::Permanent(Reason::NotFog));
    assert_eq!(nodes.submit(START, "a@example.com.fog.fog", MAIL), Outcome::Permanent(Reason::NoExit));
    assert_eq!(nodes.submit(START, "anon@fog.invalid.fog", MAIL), Outcome::Permanent(Reason::NoExit));
    let mut strict = Nodes::new(|setup| setup.max_size = MAIL.len());
    assert!(matches!(strict.submit(START, "a@example.com.fog", MAIL), Outcome::Accepted(..)));
    let longer = [MAIL, b"\r\n"].concat();
    assert_eq!(strict.submit(START, "a@example.com.fog", &longer), Outcome::Permanent(Reason::MailTooBig));
}

#[test]
fn an_mta_that_brings_many_recipients_again_gets_past_the_first_ones() {
    let mut nodes = Nodes::new(|_| {});
    let max = usize::try_from(nodes.engines[1].document().unwrap().params().max_size).unwrap();
    // Packed it is small: only the work of cleaning is too much at once.
    let mail = [MAIL, &b"the same line\r\n".repeat((max - 1000) / 15)].concat();
    let recipients: Vec<_> = (0..12).map(|n| Address::parse(&format!("a{n}@example.com.fog")).unwrap()).collect();
    let (source, dedup) = (Source::Mta, Some(b"queue-id".to_vec()));
    let request = Request { source, dedup, sender: None, wish: Wish::default(), recipients, mail };
    let mut taken = 0;
    loop {
        let input = Input::Submit { token: Token(1), request: request.clone() };
        let outputs = nodes.handle(1, START, input);
        let Some(Output::Reply { reply, .. }) = outputs.first() else { panic!("{outputs:?}") };
        let accepted = reply.outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Accepted(..))).count();
        if accepted == reply.outcomes.len() {
            break;
        }
        assert!(reply.outcomes.contains(&Outcome::Temporary(Reason::TooMuchAtOnce)), "{:?}", reply.outcomes);
        assert!(accepted > taken, "stuck at {taken}");
        taken = accepted;
    }
    assert!(taken > 0, "the first request took them all");
}

#[test]
fn a_mail_that_comes_again_by_any_door_is_sent_once() {
    let milter = |mark: u8, other: u8| Source::Milter { marks: [[mark; 32], [other; 32]], text: [9; 32] };
    let received = [b"Received: from x by mx\n".as_slice(), MAIL].concat();
    let other_body = [MAIL, b"more\r\n"].concat();
    for (first, again, sent) in [
        // The client sends it again.
        ((milter(1, 1), "A", MAIL), (milter(1, 1), "B", MAIL), 1),
        ((milter(1, 2), "A", MAIL), (milter(2, 3), "B", MAIL), 1),
        ((milter(1, 1), "A", MAIL), (milter(2, 2), "B", MAIL), 2),
        // What the milter took comes by the pipe as well, or twice by the pipe.
        ((milter(1, 1), "A", MAIL), (Source::Mta, "A", &received), 1),
        ((Source::Mta, "A", MAIL), (Source::Mta, "A", &received), 1),
        // Another mail: of another queue id, or of the same one after a long time.
        ((milter(1, 1), "A", MAIL), (Source::Mta, "B", MAIL), 2),
        ((Source::Mta, "A", MAIL), (Source::Mta, "B", MAIL), 2),
        ((Source::Mta, "A", MAIL), (Source::Mta, "A", &other_body), 2),
    ] {
        let mut nodes = Nodes::busy(|_| {});
        for (source, id, mail) in [first, again] {
            let recipients = vec![Address::parse("a@example.com.fog").unwrap()];
            let (dedup, wish, mail) = (Some(id.into()), Wish::default(), mail.to_vec());
            let request = Request { source, dedup, sender: None, wish, recipients, mail };
            let outputs = nodes.handle(1, START, Input::Submit { token: Token(1), request });
            let Some(Output::Reply { reply, .. }) = outputs.first() else { panic!("{outputs:?}") };
            assert!(matches!(reply.outcomes[..], [Outcome::Accepted(..)]), "{:?}", reply.outcomes);
        }
        // A small mail is one piece and a spare one.
        assert_eq!(nodes.pieces_of_node_1().len(), 2 * sent, "{first:?} {again:?}");
    }
}

#[test]
fn a_mail_that_was_taken_in_part_and_comes_again_late_is_sent_once_and_the_next_of_its_words_is_another() {
    let mut nodes = Nodes::new(|_| {});
    let max = usize::try_from(nodes.engines[1].document().unwrap().params().max_size).unwrap();
    // So long that not all copies of it are cleaned at once.
    let mail = [MAIL, &b"the same line\r\n".repeat((max - 1000) / 15)].concat();
    let (mut n, mut rounds) = (0_u8, Vec::new());
    for alarm in 0..2 {
        let mut times = 0;
        loop {
            // The marks are others each time, as after a few minutes; the queue id is.
            n += 1;
            let source = Source::Milter { marks: [[n; 32], [n + 100; 32]], text: [9; 32] };
            let recipients: Vec<_> =
                (0..12).map(|n| Address::parse(&format!("a{n}@example.com.fog")).unwrap()).collect();
            let (dedup, wish, mail) = (Some(vec![n; 8]), Wish::default(), mail.clone());
            let request = Request { source, dedup, sender: None, wish, recipients, mail };
            let outputs = nodes.handle(1, START, Input::Submit { token: Token(1), request });
            let Some(Output::Reply { reply, .. }) = outputs.first() else { panic!("{outputs:?}") };
            times += 1;
            assert!(times < 12, "it never becomes whole: {:?}", reply.outcomes);
            if reply.outcomes.iter().all(|outcome| matches!(outcome, Outcome::Accepted(..))) {
                break;
            }
        }
        rounds.push(times);
        let listed = listed(&mut nodes, 1, START).len();
        assert_eq!(listed, 12 * (alarm + 1), "after {rounds:?} tries");
    }
    assert!(rounds[0] > 1 && rounds[0] == rounds[1], "{rounds:?}");
}

/// Names of nodes, by number; 9 is any.
fn chain(hops: &[usize]) -> Wish {
    let name = |n: &usize| (*n != 9).then(|| format!("node-{n}"));
    Wish { chain: hops.iter().map(name).collect(), ..Wish::default() }
}

#[test]
fn a_chain_that_cannot_be_is_refused_with_its_reason() {
    for (hops, to, reason) in [
        (&[9, 9, 7][..], "a@example.com.fog", Reason::ChainUnknown),
        (&[7, 9, 0], "a@example.com.fog", Reason::ChainUnknown),
        (&[9, 0], "a@example.com.fog", Reason::ChainLength),
        (&[9, 9, 9, 0], "a@example.com.fog", Reason::ChainLength),
        (&[0], "a@example.com.fog", Reason::ChainLength),
        (&[9, 9, 2], "a@example.com.fog", Reason::ChainImpossible),
        (&[1, 9, 0], "a@example.com.fog", Reason::ChainImpossible),
        (&[0, 9, 0], "a@example.com.fog", Reason::ChainImpossible),
        (&[2, 2, 9], "a@example.com.fog", Reason::ChainImpossible),
        (&[9, 9, 3], "a@example.org.fog", Reason::ChainExit),
        (&[9, 9, 0], "a@example.com.fog.fog", Reason::NoExit),
    ] {
        let outcome = Nodes::new(|_| {}).wish(START, to, MAIL, chain(hops));
        assert_eq!(outcome, Outcome::Permanent(reason), "{hops:?} to {to}");
    }
    for hops in [&[9, 9, 9][..], &[2, 4, 0], &[9, 0, 3], &[]] {
        let outcome = Nodes::new(|_| {}).wish(START, "a@example.com.fog", MAIL, chain(hops));
        assert!(matches!(outcome, Outcome::Accepted(..)), "{hops:?}: {outcome:?}");
    }
}

#[test]
fn every_packet_of_every_copy_goes_along_the_chain() {
    let mut nodes = Nodes::busy(|_| {});
    let wish = Wish { copies: 4, ..chain(&[2, 9, 3]) };
    assert!(matches!(nodes.wish(START, "a@example.com.fog", MAIL, wish), Outcome::Accepted(..)));
    let paths = nodes.pieces_of_node_1();
    // A small mail is one piece and a spare one.
    assert_eq!(paths.len(), 8);
    assert!(paths.iter().all(|path| path[0] == nodes.ids[2] && path[2] == nodes.ids[3]));
}

#[test]
fn copies_that_would_take_half_an_epoch_to_leave_are_refused() {
    let mut nodes = Nodes::sending_every(Duration::from_mins(4), |_| {});
    let mut noise = 1_u32;
    let mut mail = b"From: a@b.example\r\nSubject: x\r\n\r\n".to_vec();
    while mail.len() < 900_000 {
        for _ in 0..70 {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            mail.push(b'0' + noise.to_be_bytes()[0] % 64);
        }
        mail.extend_from_slice(b"\r\n");
    }
    let wish = |copies| Wish { copies, ..Wish::default() };
    let refused = Outcome::Permanent(Reason::TooManyCopies);
    assert_eq!(nodes.wish(START, "a@example.com.fog", &mail, wish(10)), refused);
    assert!(matches!(nodes.wish(START, "a@example.com.fog", &mail, wish(2)), Outcome::Accepted(..)));
}

/// What is asked of the mails that wait at `node`, and what comes of it.
fn asked(nodes: &mut Nodes, node: usize, now: Time, ask: QueueAsk) -> QueueAnswer {
    let outputs = nodes.handle(node, now, Input::Queue { token: Token(9), ask });
    let answer = outputs.into_iter().find_map(|output| match output {
        Output::Queue { token: Token(9), answer } => Some(answer),
        _ => None,
    });
    answer.expect("an answer")
}

fn listed(nodes: &mut Nodes, node: usize, now: Time) -> Vec<Listed> {
    match asked(nodes, node, now, QueueAsk::List) {
        QueueAnswer::List(list) => list,
        QueueAnswer::Done(_) => panic!("no list"),
    }
}

#[test]
fn mail_that_waits_for_its_slots_is_listed_by_hours_and_can_be_dropped() {
    let mut nodes = Nodes::sending_every(Duration::from_secs(600), |_| {});
    for to in ["a@example.com.fog", "b@example.com.fog"] {
        assert!(matches!(nodes.submit(START, to, MAIL), Outcome::Accepted(..)));
    }
    let later = START.plus(Duration::from_secs(2 * 3600));
    let list = listed(&mut nodes, 1, START);
    assert_eq!(list.iter().map(|mail| (mail.state, mail.hours)).collect::<Vec<_>>(), [(State::Waiting, 0); 2]);
    nodes.cut_power(1);
    assert_eq!(listed(&mut nodes, 1, START), list, "names and ages are the same after a crash");
    assert_eq!(asked(&mut nodes, 1, START, QueueAsk::Retry(None)), QueueAnswer::Done(0), "no delay is shortened");

    assert_eq!(asked(&mut nodes, 1, START, QueueAsk::Drop(Some(list[0].id))), QueueAnswer::Done(1));
    assert_eq!(asked(&mut nodes, 1, START, QueueAsk::Drop(Some(list[0].id))), QueueAnswer::Done(0));
    assert_eq!(listed(&mut nodes, 1, START), list[1..]);
    nodes.cut_power(1);
    assert_eq!(listed(&mut nodes, 1, START), list[1..], "what was dropped is gone");
    assert_eq!(asked(&mut nodes, 1, later, QueueAsk::Drop(None)), QueueAnswer::Done(1));
    let held = nodes.engines[1].held().unwrap();
    assert_eq!((held.mails, held.percent), (0, 0), "and its room with it");
}

#[test]
fn mail_that_the_mta_has_put_off_is_asked_for_again_or_dropped() {
    let mut nodes = Nodes::new(|_| {});
    nodes.handle(EXIT, START, Input::ExitUp);
    let packet = nodes.mail(EXIT, 1);
    assert!(nodes.hand_over(START, HONEST, EXIT, packet));
    let due = START.plus(HELD);
    let delivery = |outputs: Vec<Output>| {
        outputs.into_iter().find_map(|output| match output {
            Output::Deliver { id, .. } => Some(id),
            _ => None,
        })
    };
    let from = nodes.ids[HONEST];
    let id = delivery(nodes.handle(EXIT, due, Input::LinkDown(from))).expect("a mail for the MTA");
    nodes.handle(EXIT, due, Input::Delivered { id, disposition: Disposition::Temporary });
    assert_eq!(nodes.counts(EXIT).deferred, 1);
    let list = listed(&mut nodes, EXIT, due);
    assert_eq!(list.iter().map(|mail| mail.state).collect::<Vec<_>>(), [State::Deferred]);

    let outputs = nodes.handle(EXIT, due, Input::Queue { token: Token(1), ask: QueueAsk::Retry(Some(list[0].id)) });
    assert!(matches!(outputs[0], Output::Queue { answer: QueueAnswer::Done(1), .. }), "{outputs:?}");
    let again = delivery(outputs).expect("it is handed out again at once");
    assert_eq!(asked(&mut nodes, EXIT, due, QueueAsk::Drop(None)), QueueAnswer::Done(1));
    // What the MTA says now comes too late.
    nodes.handle(EXIT, due, Input::Delivered { id: again, disposition: Disposition::Temporary });
    assert_eq!(listed(&mut nodes, EXIT, due), []);
    assert_eq!(nodes.engines[EXIT].held().unwrap().outbox, 0);
}

#[test]
fn attack_20_by_neither_of_two_documents_of_one_epoch_is_anything_sent() {
    let mut nodes = Nodes::new(|_| {});
    let (first, mut now) = (nodes.engines[1].document().unwrap().clone(), START);
    nodes.handle(1, now, Input::Fork);
    assert!(matches!(nodes.submit(now, "a@example.com.fog", MAIL), Outcome::Accepted(..)), "mail is taken, and waits");
    let mut sends = |nodes: &mut Nodes, documents: &[&Document]| {
        for document in documents {
            nodes.handle(1, now, Input::Document(Box::new((*document).clone())));
        }
        let mut sent = 0;
        for _ in 0..60 {
            now = now.plus(Duration::from_secs(1));
            for id in nodes.ids.clone() {
                let out = nodes.handle(1, now, Input::LinkUp(id));
                sent += out.iter().filter(|output| matches!(output, Output::Send { .. })).count();
            }
        }
        sent
    };
    assert_eq!(sends(&mut nodes, &[]), 0);
    assert_eq!(sends(&mut nodes, &[&without(&first, &[]), &first]), 0, "whichever of them it is");
    assert!(sends(&mut nodes, &[&later(&first, 1, |_| {})]) > 0);
}
