//! What comes back by a mail's two reply blocks, on the last link: in whatever order, altered and again, it counts for what it
//! is, and once.

use super::*;
use fog::store::Shelf;

/// The node whose mail it is.
const SENDER: usize = 1;
const NODES: usize = 5;
const STEP: Duration = Duration::from_secs(5);

fn params() -> Params {
    Params {
        min_delay: Duration::from_secs(10),
        mean_delay: Duration::from_secs(30),
        max_delay: Duration::from_secs(120),
        tick: Duration::from_secs(1),
        send_every: Duration::from_secs(20),
        batch_min: 0,
        demo: true,
        ..Params::default()
    }
}

/// What the sender's node is before anything has come back to it, and what came.
struct Sent {
    nodes: Nodes,
    now: Time,
    arriving: Vec<(NodeId, Packet)>,
}

impl Sent {
    /// Sends a mail to an exit, whose MTA takes it, and keeps all that then comes to the sender's node from it.
    fn new(copies: u8) -> Self {
        let mut nodes = Nodes::of(params(), |_| {});
        assert!(matches!(
            nodes.wish(START, "a@example.com.fog", MAIL, Wish { copies, ..Wish::default() }),
            Outcome::Accepted(..)
        ));
        let mut sent = Self { nodes, now: START, arriving: Vec::new() };
        for node in 0..NODES {
            sent.tell(node, Input::ExitUp);
            sent.nodes.ids.clone().into_iter().for_each(|id| sent.tell(node, Input::LinkUp(id)));
        }
        while sent.now < START.plus(Duration::from_secs(2000)) {
            sent.now = sent.now.plus(STEP);
            for node in 0..NODES {
                let outputs = sent.nodes.engines[node].handle(vec![], sent.now, &mut sent.nodes.rng).unwrap();
                sent.play(node, outputs);
            }
        }
        assert_eq!((0..NODES).map(|node| sent.nodes.counts(node).delivered).sum::<u64>(), 1);
        sent
    }

    fn tell(&mut self, node: usize, input: Input) {
        let outputs = self.nodes.handle(node, self.now, input);
        self.play(node, outputs);
    }

    /// Does what node `node` wants to have done, but that nothing comes to the sender's.
    fn play(&mut self, node: usize, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Send { to, id, packet } => {
                    let next = self.nodes.ids.iter().position(|known| *known == to).unwrap();
                    if next == SENDER {
                        self.arriving.push((self.nodes.ids[node], packet));
                    } else {
                        let from = self.nodes.ids[node];
                        self.tell(next, Input::Packet { token: Token(9), from, packet });
                    }
                    self.tell(node, Input::Acked { to, id });
                }
                Output::Deliver { id, .. } => {
                    self.tell(node, Input::Delivered { id, disposition: Disposition::Delivered });
                }
                Output::Busy(_) => panic!("node {node} is busy"),
                _ => {}
            }
        }
    }

    /// The packets among those which arrive by which the sender's node hears that its mail was delivered.
    fn answers(&mut self) -> Vec<(NodeId, Packet)> {
        let all = self.arriving.clone();
        all.into_iter().filter(|packet| self.sender().hears(packet).receipted == 1).collect()
    }

    /// The sender's node, as a copy of its disk makes it.
    fn sender(&self) -> Sender {
        let document = self.nodes.engines[SENDER].document().unwrap().clone();
        let mut rng = StdRng::seed_from_u64(5);
        let setup = bare_network(NODES, params(), &mut rng).0.swap_remove(SENDER).0;
        assert_eq!(setup.me, self.nodes.ids[SENDER]);
        let disk = MemoryDisk::with_files(self.nodes.disks[SENDER].files());
        let engine = Engine::open(Store::on(&disk).unwrap(), setup, Some(Box::new(document))).unwrap();
        Sender { engine, disk, now: self.now, rng }
    }
}

struct Sender {
    engine: Engine,
    disk: MemoryDisk,
    now: Time,
    rng: StdRng,
}

impl Sender {
    /// Takes a packet and waits for as long as it may be held.
    fn hears(&mut self, (from, packet): &(NodeId, Packet)) -> Counts {
        let input = Input::Packet { token: Token(9), from: *from, packet: packet.clone() };
        self.engine.handle(vec![input], self.now, &mut self.rng).unwrap();
        self.now = self.now.plus(params().max_delay * 2);
        self.engine.handle(vec![], self.now, &mut self.rng).unwrap();
        self.engine.counts()
    }

    /// How many mails it answers for, and how many reply blocks may still be used.
    fn keeps(&mut self) -> (usize, usize) {
        let store = Store::on(&MemoryDisk::with_files(self.disk.files())).unwrap();
        let rows = |shelf| store.rows(shelf).unwrap().len();
        (rows(Shelf::Spool), rows(Shelf::Surbs))
    }
}

/// The same header, and another bit in the body.
fn altered((from, packet): &(NodeId, Packet)) -> (NodeId, Packet) {
    let mut packet = packet.clone();
    packet.body_mut()[1000] ^= 4;
    (*from, packet)
}

#[test]
fn an_answer_that_was_altered_says_nothing_and_the_other_one_counts() {
    let mut sent = Sent::new(1);
    let answers = sent.answers();
    assert_eq!(answers.len(), 2, "two reply blocks, each used once");
    for [first, second] in [[0, 1], [1, 0]].map(|order| order.map(|n| &answers[n])) {
        let mut sender = sent.sender();
        assert_eq!(sender.keeps(), (1, 2));
        let counts = sender.hears(&altered(first));
        assert_eq!((counts.receipted, counts.dropped, sender.keeps()), (0, 1, (1, 1)));
        let counts = sender.hears(first);
        assert_eq!((counts.receipted, counts.replayed, sender.keeps()), (0, 1, (1, 1)), "its block is used up");
        let counts = sender.hears(second);
        assert_eq!((counts.receipted, sender.keeps()), (1, (0, 0)));
    }
}

#[test]
fn a_reply_block_is_used_once_and_after_the_first_answer_the_second_is_nothing() {
    let mut sent = Sent::new(1);
    let [first, second] = <[_; 2]>::try_from(sent.answers()).unwrap();
    let mut sender = sent.sender();
    assert_eq!((sender.hears(&first).receipted, sender.keeps()), (1, (0, 0)));
    // By the same block with other words, from another neighbour too; and by the other block.
    let elsewhere = (sent.nodes.ids[HONEST], altered(&first).1);
    for (packet, dropped, replayed) in [(&first, 0, 1), (&altered(&first), 0, 2), (&elsewhere, 0, 3), (&second, 1, 3)] {
        let counts = sender.hears(packet);
        assert_eq!((counts.receipted, counts.dropped, counts.replayed), (1, dropped, replayed));
    }
    assert_eq!(sender.keeps(), (0, 0));
}

#[test]
fn all_copies_of_a_mail_are_answered_once_by_each_of_its_two_reply_blocks() {
    let mut sent = Sent::new(3);
    assert_eq!(sent.answers().len(), 2);
    // Who uses one twice is caught by the next hop, which sees that there were two.
    assert_eq!((0..NODES).map(|node| sent.nodes.counts(node).replayed).sum::<u64>(), 0);
}
