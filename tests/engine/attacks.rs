//! Attacks on one engine, each as its attacker would stage it: lines of the table in docs/threat-model.md. Those on the
//! packet alone are in `src/sphinx/`.

use super::*;
use fog::id::SurbId;
use fog::sphinx::geometry::BODY_LEN;
use fog::sphinx::surb;
use fog::store::Work;

/// Any packet at all.
impl Nodes {
    fn hop<'a>(document: &'a fog::directory::Document, id: NodeId) -> Hop<'a> {
        let epoch = START.epoch(document.params().epoch);
        Hop { id, key: &document.node(&id).unwrap().mix_keys[&epoch] }
    }

    /// A packet for these nodes with these delays, whatever the network thinks of them.
    fn craft(&mut self, path: &[usize], delays: &[Duration], last: Last) -> Packet {
        let document = self.engines[0].document().unwrap().clone();
        let hops: Vec<_> = path.iter().map(|node| Self::hop(&document, self.ids[*node])).collect();
        let delays: Vec<_> = delays.iter().copied().map(millis).collect();
        let payload = Payload::Loop([7; 32]).encode(&mut self.rng);
        sphinx::build(&hops, &delays, last, &payload, &Randomness::draw(&mut self.rng)).unwrap()
    }

    /// A packet for node `to`, to be sent on to somebody who is not in the document.
    fn packet_for_a_stranger(&mut self, to: usize) -> Packet {
        let document = self.engines[0].document().unwrap().clone();
        let known = Self::hop(&document, self.ids[to]);
        let stranger = Hop { id: NodeId([9; 32]), ..known };
        let (delays, last) = ([millis(SHORTEST)], Last::Deliver { delay_ms: millis(SHORTEST) });
        let payload = Payload::Loop([7; 32]).encode(&mut self.rng);
        sphinx::build(&[known, stranger], &delays, last, &payload, &Randomness::draw(&mut self.rng)).unwrap()
    }

    /// A packet that claims to use a SURB of node `to`, which has made none.
    fn reply_to(&mut self, to: usize) -> Packet {
        let document = self.engines[0].document().unwrap().clone();
        let (hops, random) = ([Self::hop(&document, self.ids[to])], Randomness::draw(&mut self.rng));
        let (surb, _) = surb::make(&hops, &[], SurbId([3; 32]), Secret::filled(|key| key.fill(4)), &random).unwrap();
        surb.reply(&Payload::Loop([7; 32]).encode(&mut self.rng)).1
    }

    /// What node `to` says to a packet, and what its disk does for it.
    fn answer(&mut self, from: usize, to: usize, packet: Packet) -> (Vec<Output>, Work) {
        let before = self.disks[to].work();
        let from = self.ids[from];
        let outputs = self.handle(to, START, Input::Packet { token: Token(9), from, packet });
        let after = self.disks[to].work();
        let work = Work {
            slab_bytes: after.slab_bytes - before.slab_bytes,
            slab_syncs: after.slab_syncs - before.slab_syncs,
            db_syncs: after.db_syncs - before.db_syncs,
        };
        (outputs, work)
    }
}

/// The defaults of the network that these nodes are.
const SHORTEST: Duration = Duration::from_secs(3600);
const LONGEST: Duration = Duration::from_secs(86_400);

fn millis(span: Duration) -> u32 {
    u32::try_from(span.as_millis()).unwrap()
}

fn deliver(delay: Duration) -> Last {
    Last::Deliver { delay_ms: millis(delay) }
}

/// A mail in two pieces and a spare one; gives the payloads of all three.
pub(super) fn pieces(to: &str, set: u64) -> (Shape, Vec<Shard>, SetId) {
    let mut text = MAIL.to_vec();
    let mut noise = u32::try_from(set).unwrap();
    while text.len() < 100_000 {
        for _ in 0..70 {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            text.push(b'0' + noise.to_be_bytes()[0] % 64);
        }
        text.extend_from_slice(b"\r\n");
    }
    let message =
        Message { recipient: Address::parse(to).unwrap(), mail: text, id: MessageId(mark(set)), surbs: Vec::new() };
    let (shape, shards) = shards::split(&message::pack(&message).unwrap(), 1).unwrap();
    assert_eq!((shape.k(), shape.n()), (2, 3));
    (shape, shards, SetId(mark(set)))
}

/// What the exit hands to its MTA when its packets are due.
fn handed_out(nodes: &mut Nodes, now: Time) -> Vec<String> {
    nodes.handle(EXIT, now, Input::ExitUp);
    let outputs = nodes.handle(EXIT, now.plus(Duration::from_secs(61)), Input::ExitUp);
    let to = outputs.iter().filter_map(|output| match output {
        Output::Deliver { recipient, .. } => Some(recipient.to_string()),
        _ => None,
    });
    to.collect()
}

/// A mix and an exit that work together: the mix changes a bit where nothing stands but padding, and the exit looks
/// which mail has it. Under a cipher that keeps the place of a change, the mail would come out whole, and marked.
#[test]
fn attack_2_a_body_that_was_tagged_on_its_way_is_sent_on_as_any_and_brings_nothing() {
    for tagged in [false, true] {
        let mut nodes = Nodes::new(|_| {});
        let recipient = Address::parse("a@example.com").unwrap();
        let message = Message { recipient, mail: MAIL.to_vec(), id: MessageId(mark(1)), surbs: Vec::new() };
        let (shape, shards) = shards::split(&message::pack(&message).unwrap(), 0).unwrap();
        let fragment = Fragment { set: SetId(mark(1)), shape, index: 0, shard: &shards[0] };
        let mut packet = nodes.build(MIX, Some(EXIT), &Payload::Fragment(fragment));
        if tagged {
            packet.body_mut()[BODY_LEN - 1] ^= 1;
        }
        assert!(nodes.hand_over(START, HONEST, MIX, packet), "tagged: {tagged}");
        let (due, exit) = (START.plus(HELD), nodes.ids[EXIT]);
        let sent = nodes.handle(MIX, due, Input::LinkUp(exit));
        let [Output::Connect(_), Output::Send { packet, .. }] = &sent[..] else { panic!("tagged: {tagged}: {sent:?}") };
        assert!(nodes.hand_over(START, MIX, EXIT, packet.clone()), "tagged: {tagged}");
        assert_eq!(nodes.counts(EXIT).pooled, 1, "tagged: {tagged}: the exit can't know before it is due");
        let handed = handed_out(&mut nodes, due);
        assert_eq!((handed.len(), nodes.counts(EXIT).dropped), if tagged { (0, 1) } else { (1, 0) });
    }
}

#[test]
fn attack_5_a_node_without_room_refuses_and_forgets_nothing() {
    let mut nodes = Nodes::new(|_| {});
    let old: Vec<_> = (0..3).map(|n| nodes.lone_fragment(MIX, Some(EXIT), n)).collect();
    for packet in &old {
        assert!(nodes.hand_over(START, HONEST, MIX, packet.clone()));
    }
    // The disk is full: what comes now is not taken, and is as new when it comes again.
    nodes.disks[MIX].limit(0);
    let more: Vec<_> = (10..40).map(|n| nodes.lone_fragment(MIX, Some(EXIT), n)).collect();
    for packet in more.iter().chain(&old) {
        assert!(!nodes.hand_over(START, FLOODER, MIX, packet.clone()));
    }
    nodes.disks[MIX].limit(u64::MAX);
    for packet in old {
        assert!(nodes.hand_over(START, FLOODER, MIX, packet));
    }
    assert_eq!((nodes.counts(MIX).replayed, nodes.counts(MIX).pooled), (3, 3), "what was taken is known");
    for packet in &more {
        assert!(nodes.hand_over(START, FLOODER, MIX, packet.clone()));
    }
    assert_eq!(nodes.counts(MIX).pooled, 33, "what was refused is new");
}

#[test]
fn attack_6_a_flood_of_replays_takes_no_room_and_nobodys_share() {
    let mut nodes = Nodes::new(slots(60));
    let packet = nodes.lone_fragment(MIX, Some(EXIT), 0);
    assert!(nodes.hand_over(START, HONEST, MIX, packet.clone()));
    let (from, before) = (nodes.ids[FLOODER], nodes.engines[MIX].held().unwrap());
    for _ in 0..10 {
        let replay = |n| Input::Packet { token: Token(n), from, packet: packet.clone() };
        let outputs = nodes.engines[MIX].handle((0..100).map(replay).collect(), START, &mut nodes.rng).unwrap();
        assert!(outputs.iter().all(|output| matches!(output, Output::Disposed(_))) && outputs.len() == 100);
    }
    assert_eq!((nodes.counts(MIX).replayed, nodes.counts(MIX).pooled), (1000, 1));
    assert_eq!(nodes.engines[MIX].held().unwrap(), before);
    // Who floods may still hand over all that it could have, and the others too.
    let taken = nodes.flood(START, (FLOODER, MIX), |nodes, n| nodes.lone_fragment(MIX, Some(EXIT), 100 + n));
    assert_eq!(taken, 10, "a third of what is left of the half that is for others");
    let packet = nodes.lone_fragment(MIX, Some(EXIT), 1);
    assert!(nodes.hand_over(START, HONEST, MIX, packet));
}

/// A node of the network fills the pool of another with packets of its own, so that of what leaves it knows all but one. It
/// gets a third of what there is for others' packets, however long it goes on, and as much is left for theirs.
#[test]
fn attack_17_a_neighbour_that_floods_can_not_be_all_that_a_pool_holds() {
    let mut nodes = Nodes::new(slots(60));
    let flooded = nodes.flood(START, (FLOODER, MIX), |nodes, n| nodes.lone_fragment(MIX, Some(EXIT), n));
    let mut others = 0;
    for n in 0..100 {
        let (theirs, its) = (nodes.lone_fragment(MIX, Some(EXIT), 1000 + n), nodes.lone_fragment(MIX, Some(EXIT), n));
        others += u64::from(nodes.hand_over(START, [HONEST, 0][usize::from(n % 2 == 0)], MIX, theirs));
        assert!(!nodes.hand_over(START, FLOODER, MIX, its), "{n}: it has had its share");
    }
    assert_eq!((flooded, nodes.counts(MIX).pooled), (10, flooded + others));
    assert!(others >= flooded, "{others} packets of others, among {flooded} of one that floods");
}

/// A delay that no other packet has is a mark; a command at the wrong hop asks a node for what it doesn't do.
#[test]
fn attack_8_delays_out_of_bounds_and_commands_at_the_wrong_hop_are_refused_as_anything_else() {
    let little = Duration::from_millis(1);
    for (what, taken, make) in [
        (
            "as it should be",
            true,
            &(|n: &mut Nodes| n.craft(&[MIX, EXIT], &[SHORTEST], deliver(SHORTEST))) as Craft<'_>,
        ),
        ("the longest delay", true, &|n| n.craft(&[MIX, EXIT], &[LONGEST], deliver(SHORTEST))),
        ("no delay", false, &|n| n.craft(&[MIX, EXIT], &[Duration::ZERO], deliver(SHORTEST))),
        ("too short a delay", false, &|n| {
            n.craft(&[MIX, EXIT], &[SHORTEST.saturating_sub(Duration::from_millis(1))], deliver(SHORTEST))
        }),
        ("too long a delay", false, &|n| {
            n.craft(&[MIX, EXIT], &[LONGEST.saturating_add(Duration::from_millis(1))], deliver(SHORTEST))
        }),
        // That it is no loop of its own shows when its last layer is off.
        ("a mail for a mix that is no exit", true, &|n| n.craft(&[MIX], &[], deliver(SHORTEST))),
        ("to be sent to itself", false, &|n| n.craft(&[MIX, MIX], &[SHORTEST], deliver(SHORTEST))),
        ("to be sent to a stranger", false, &|n| n.packet_for_a_stranger(MIX)),
    ] {
        let mut nodes = Nodes::new(|_| {});
        let packet = make(&mut nodes);
        let (outputs, _) = nodes.answer(HONEST, MIX, packet);
        assert!(matches!(outputs[..], [Output::Disposed(Token(9))]), "{what}: {outputs:?}");
        let counts = nodes.counts(MIX);
        assert_eq!((counts.pooled, counts.dropped), (u64::from(taken), u64::from(!taken)), "{what}");
    }
    // At an exit, whose last hop's delay is the sender's too.
    for (delay, taken) in [(SHORTEST, true), (little, false), (LONGEST.saturating_add(little), false)] {
        let mut nodes = Nodes::new(|_| {});
        let packet = nodes.craft(&[EXIT], &[], deliver(delay));
        nodes.answer(HONEST, EXIT, packet);
        assert_eq!(nodes.counts(EXIT).pooled, u64::from(taken), "{delay:?}");
    }
}

type Craft<'a> = &'a dyn Fn(&mut Nodes) -> Packet;

/// Whoever makes all nodes look dead, or hands an exit a document with hardly anybody in it, sees nothing leave: not even
/// an exit gives its MTA a mail of its own users that it could.
#[test]
fn attack_10_with_all_nodes_dead_or_gone_mail_waits_and_none_goes_out_directly() {
    for gone in [&[][..], &[0, 1, 2], &[0, 1, 2, 4]] {
        let mut nodes = Nodes::new(|_| {});
        let document = nodes.engines[EXIT].document().unwrap().clone();
        let gone: Vec<_> = gone.iter().map(|node| nodes.ids[*node]).collect();
        nodes.handle(EXIT, START, Input::Document(Box::new(without(&document, &gone))));
        nodes.handle(EXIT, START, Input::ExitUp);
        let recipients = vec![Address::parse("a@example.com.fog").unwrap()];
        let (wish, mail) = (Wish::default(), MAIL.to_vec());
        let request = Request { source: Source::Mta, dedup: None, sender: None, wish, recipients, mail };
        let mut outputs = nodes.handle(EXIT, START, Input::Submit { token: Token(1), request });
        let Output::Reply { reply, .. } = outputs.remove(0) else { panic!("{outputs:?}") };
        let accepted = matches!(reply.outcomes[0], Outcome::Accepted(..));
        // Through the slots of a day, and then for days.
        let seconds = (1..144).map(|n| 600 * n).chain((24..4 * 24).map(|hour| 3600 * hour));
        for span in seconds.map(Duration::from_secs) {
            outputs.extend(nodes.handle(EXIT, START.plus(span), Input::ExitUp));
        }
        let leaves = |output: &&Output| !matches!(output, Output::Connect(_));
        assert_eq!(outputs.iter().find(leaves).map(|output| format!("{output:?}")), None, "{} gone", gone.len());
        let held = nodes.engines[EXIT].held().unwrap();
        let given_up = nodes.engines[EXIT].counts().given_up;
        assert_eq!(held.mails + held.packets + given_up > 0, accepted, "{} gone: it is lost", gone.len());
        assert_eq!(held.outbox, 0);
    }
}

/// What stands in a set's place by another's hand: pieces of another geometry, or of the same one under a number that
/// is taken. Beside it, another sender's set.
#[test]
fn attack_13_pieces_of_another_geometry_or_another_sender_spoil_no_mail() {
    let mut nodes = Nodes::new(|_| {});
    let (a, b) = (pieces("a@example.com", 1), pieces("b@example.com", 2));
    let junk: &Shard = &[7; SHARD_LEN];
    let length = u32::try_from(SHARD_LEN).unwrap();
    let shapes = [(2, 3, length + 9), (2, 5, a.0.length()), (1, 3, 9), (3, 3, 2 * length + 9)];
    let mut parts: Vec<_> = shapes.map(|(k, n, length)| (a.2, Shape::new(k, n, length).unwrap(), 1, junk)).to_vec();
    parts.push((a.2, a.0, 0, junk));
    parts.insert(0, (a.2, a.0, 0, &a.1[0]));
    parts.insert(2, (b.2, b.0, 2, &b.1[2]));
    parts.extend([(a.2, a.0, 1, &a.1[1]), (b.2, b.0, 0, &b.1[0])]);
    for (at, (set, shape, index, shard)) in (0..).zip(parts) {
        let packet = nodes.build(EXIT, None, &Payload::Fragment(Fragment { set, shape, index, shard }));
        // One after the other, so that they come in this order.
        let now = START.plus(Duration::from_secs(2) * at);
        assert!(nodes.hand_over(now, HONEST, EXIT, packet));
    }
    let mut now = START.plus(HELD.saturating_sub(Duration::from_secs(1)));
    for _ in 0..60 {
        now = now.plus(Duration::from_secs(1));
        nodes.handle(EXIT, now, Input::LinkUp(nodes.ids[MIX]));
    }
    assert_eq!((nodes.counts(EXIT).assembled, nodes.counts(EXIT).dropped), (2, 5));
    let mut handed = handed_out(&mut nodes, now);
    handed.sort_unstable();
    assert_eq!(handed, ["a@example.com", "b@example.com"]);
}

/// A neighbour with a clock: what it hears, and what the disk has to do before it hears it, is the same whatever became
/// of its packet.
#[test]
fn attack_15_no_answer_and_no_work_for_the_disk_tells_what_became_of_a_packet() {
    let mut nodes = Nodes::new(|_| {});
    let good = nodes.craft(&[MIX, EXIT], &[SHORTEST], deliver(SHORTEST));
    // The first one finds the disk empty.
    let first = nodes.craft(&[MIX, EXIT], &[SHORTEST], deliver(SHORTEST));
    assert!(nodes.hand_over(START, HONEST, MIX, first));
    let mut changed = nodes.craft(&[MIX, EXIT], &[SHORTEST], deliver(SHORTEST)).as_bytes().to_vec();
    changed[3000] ^= 1;
    let mut pooled = None;
    for (what, packet) in [
        ("pooled", good.clone()),
        ("a replay", good),
        ("changed", Packet::from_bytes(&changed).unwrap()),
        ("noise", Packet::from_bytes(&[7; 65_536]).unwrap()),
        ("for another node", nodes.craft(&[EXIT], &[], deliver(SHORTEST))),
        ("cover that ends here", nodes.craft(&[MIX], &[], Last::Drop)),
        ("a reply that nobody asked for", nodes.reply_to(MIX)),
        ("mail for a mix that is no exit", nodes.craft(&[MIX], &[], deliver(SHORTEST))),
        ("held for too long", nodes.craft(&[MIX, EXIT], &[LONGEST * 2], deliver(SHORTEST))),
        ("for a stranger", nodes.packet_for_a_stranger(MIX)),
    ] {
        let (outputs, work) = nodes.answer(HONEST, MIX, packet);
        assert!(matches!(outputs[..], [Output::Disposed(Token(9))]), "{what}: {outputs:?}");
        let pooled = *pooled.get_or_insert(work);
        assert_eq!(work, pooled, "{what}");
    }
    assert_eq!((nodes.counts(MIX).pooled, nodes.counts(MIX).replayed, nodes.counts(MIX).dropped), (3, 1, 6));
    assert_eq!(nodes.counts(MIX).cover, 1);
}
