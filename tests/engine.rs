//! One engine at a time, at its limits: an old document, a full disk, a mail that grows, a packet that comes twice.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests: a failure is to stop them")]

#[path = "network/world.rs"]
#[allow(dead_code, reason = "the network test uses the rest")]
mod world;

use fog::directory::Params;
use fog::engine::{Engine, Input, Output, Setup, Token};
use fog::id::NodeId;
use fog::mail::Address;
use fog::sphinx::Packet;
use fog::store::{MemoryDisk, Store};
use fog::submit::{Outcome, Reason, Request, Source};
use fog::time::Time;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::time::Duration;
use world::{START, bare_network};

/// Nodes of one network, all up, without a world around them.
struct Nodes {
    engines: Vec<Engine>,
    ids: Vec<NodeId>,
    rng: StdRng,
}

impl Nodes {
    fn new(change: impl Fn(&mut Setup)) -> Self {
        let mut rng = StdRng::seed_from_u64(5);
        let params = Params { tick: Duration::from_secs(1), send_every: Duration::from_secs(1), ..Params::default() };
        let (members, document) = bare_network(5, params, &mut rng);
        let ids = members.iter().map(|(setup, _)| setup.me).collect();
        let open = |(mut setup, disk): (Setup, MemoryDisk)| {
            change(&mut setup);
            Engine::open(Store::on(&disk).unwrap(), setup, Some(Box::new(document.clone()))).unwrap()
        };
        Self { engines: members.into_iter().map(open).collect(), ids, rng }
    }

    fn handle(&mut self, node: usize, now: Time, input: Input) -> Vec<Output> {
        self.engines[node].handle(vec![input], now, &mut self.rng).unwrap()
    }

    /// What node 1 answers to a mail for `to`.
    fn submit(&mut self, now: Time, to: &str, mail: &[u8]) -> Outcome {
        let recipients = vec![Address::parse(to).unwrap()];
        let request = Request { source: Source::Mta, dedup: None, sender: None, recipients, mail: mail.to_vec() };
        match self.handle(1, now, Input::Submit { token: Token(1), request }).as_slice() {
            [Output::Reply { reply, .. }, ..] => reply.outcomes[0],
            other => panic!("{other:?}"),
        }
    }

    /// Submits a mail at node 1 and lets time pass until a packet of it leaves; gives it and whom it is for.
    fn first_packet(&mut self) -> (usize, Packet) {
        assert!(matches!(self.submit(START, "a@example.com.fog", MAIL), Outcome::Accepted(_)));
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

const MAIL: &[u8] = b"From: a@b.example\r\nSubject: x\r\n\r\ntext\r\n";

#[test]
fn under_an_old_document_mail_waits_and_the_engine_sleeps() {
    let mut nodes = Nodes::new(|_| {});
    assert!(matches!(nodes.submit(START, "a@example.com.fog", MAIL), Outcome::Accepted(_)));
    let late = nodes.engines[1].document().unwrap().valid_until().plus(Duration::from_secs(1));
    assert!(matches!(nodes.submit(late, "b@example.com.fog", MAIL), Outcome::Accepted(_)));
    assert!(nodes.engines[1].next_wakeup().is_none_or(|at| at > late), "it would never sleep");
}

#[test]
fn a_full_node_refuses_before_it_remembers() {
    let (to, packet) = Nodes::new(|_| {}).first_packet();
    let mut full = Nodes::new(|setup| setup.max_spool = 0);
    assert_eq!(full.submit(START, "a@example.com.fog", MAIL), Outcome::Temporary(Reason::SpoolFull));
    let (token, from) = (Token(7), full.ids[1]);
    let outputs = full.handle(to, START, Input::Packet { token, from, packet: packet.clone() });
    assert!(matches!(outputs.as_slice(), [Output::Busy(Token(7))]), "{outputs:?}");
    assert_eq!(full.engines[to].counts().pooled, 0);
    // The same node with room again takes it: nothing of it was remembered.
    let mut nodes = Nodes::new(|_| {});
    let outputs = nodes.handle(to, START, Input::Packet { token, from, packet });
    assert!(matches!(outputs.as_slice(), [Output::Disposed(Token(7))]), "{outputs:?}");
    assert_eq!(nodes.engines[to].counts().pooled, 1);
}

#[test]
fn a_packet_that_comes_twice_is_acknowledged_twice_and_pooled_once() {
    let mut nodes = Nodes::new(|_| {});
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
fn every_packet_that_is_not_ours_gets_the_same_answer() {
    let mut nodes = Nodes::new(|_| {});
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
}
