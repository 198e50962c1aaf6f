//! Links over real TCP on loopback. The test plays both engines: it sees what the sockets tell the driver, and answers.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test stops at the first surprise")]

use fog::config::Socks;
use fog::directory::{NodeAddress, Source};
use fog::engine::{PacketId, WINDOW};
use fog::id::NodeId;
use fog::link::document::{Opening, PIECE_LEN};
use fog::link::frame::{Answer, Hello};
use fog::node::dial::{self, Pace, Road};
use fog::node::driver::{Event, Outgoing};
use fog::node::fetch::{NoDocument, Wanted, fetch};
use fog::node::listen::{self, Door};
use fog::node::peers::{Known, Peer, Peers, Us};
use fog::node::serve::{ASKERS, Served};
use fog::node::session::{self, Cut};
use fog::node::socks::Tor;
use fog::secret::Secret;
use fog::sphinx::Packet;
use fog::sphinx::geometry::PACKET_LEN;
use fog::store::RowId;
use fog::sys::clock;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{self, error::TryRecvError};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

const PACE: Pace = Pace { first: Duration::from_millis(5), most: Duration::from_millis(20) };
const A: u8 = 1;
const B: u8 = 2;
const STRANGER: u8 = 3;

fn id(seed: u8) -> NodeId {
    NodeId([seed; 32])
}

fn secret(seed: u8) -> Secret<32> {
    Secret::filled(|bytes| bytes.fill(seed))
}

fn public(seed: u8) -> [u8; 32] {
    x25519_dalek::PublicKey::from(&x25519_dalek::StaticSecret::from([seed; 32])).to_bytes()
}

fn packet(mark: u64) -> Packet {
    Packet::from_bytes(&mark.to_be_bytes().repeat(PACKET_LEN / 8)).unwrap()
}

fn address(text: &str) -> NodeAddress {
    NodeAddress::parse(text).unwrap()
}

fn hello() -> Hello {
    Hello { now: clock::now(), document: None }
}

/// A document that takes its time.
fn text() -> String {
    "line\n".repeat(20 * PIECE_LEN)
}

/// Node `seed`, which knows A and B at these addresses.
fn us_at(seed: u8, address: &str) -> Us {
    let peer = |seed: u8| Peer {
        id: id(seed),
        name: format!("n{seed}"),
        address: self::address(address),
        link_key: public(seed),
    };
    let peers: Peers = [A, B].into_iter().filter(|other| *other != seed).map(peer).collect();
    let served = Arc::new(Served::new(text(), [9; 32]));
    Us {
        link_secret: secret(seed),
        document: [9; 32],
        served,
        clock_tolerance: Duration::from_secs(3600),
        peers,
        before: None,
        doubts: mpsc::channel(1).0,
        authorities: BTreeSet::new(),
    }
}

/// Node `seed`, whose directory document never changes.
fn known(seed: u8, address: &str) -> Known {
    watch::channel(Arc::new(us_at(seed, address))).1
}

fn road(only_tor: bool) -> Arc<Road> {
    Arc::new(Road { tor: Tor::new(Socks::Unix("/nowhere".into())), only_tor })
}

/// Node B, listening; its tasks end with the set.
async fn listening(tasks: &mut JoinSet<()>, room: usize) -> (String, mpsc::Receiver<Event>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (events, happened) = mpsc::channel(room);
    tasks.spawn(listen::serve(Door::Tcp(listener), known(B, "127.0.0.1:1"), events, None));
    (address, happened)
}

/// Node A, which keeps a link to B at `address`.
fn dialling(tasks: &mut JoinSet<()>, address: &str) -> mpsc::Receiver<Event> {
    let (events, happened) = mpsc::channel(64);
    tasks.spawn(dial::keep(id(B), known(A, address), road(false), PACE, events));
    happened
}

/// What happens next, but for what peers say of their clocks.
async fn next(at: &mut mpsc::Receiver<Event>) -> Event {
    loop {
        match at.recv().await.unwrap() {
            Event::Clock { .. } => {}
            other => return other,
        }
    }
}

async fn link_up(at: &mut mpsc::Receiver<Event>) -> mpsc::Sender<Outgoing> {
    match next(at).await {
        Event::LinkUp { peer, packets } if peer == id(B) => packets,
        other => panic!("{other:?}"),
    }
}

async fn send(link: &mpsc::Sender<Outgoing>, mark: u64) {
    link.send(Outgoing { id: PacketId(RowId(mark)), packet: packet(mark) }).await.unwrap();
}

async fn acked(at: &mut mpsc::Receiver<Event>) -> u64 {
    match next(at).await {
        Event::Acked { to, id: PacketId(RowId(mark)) } if to == id(B) => mark,
        other => panic!("{other:?}"),
    }
}

/// Takes the packet marked `mark` at B, and gives back what acknowledges it.
async fn taken(at: &mut mpsc::Receiver<Event>, mark: u64) -> tokio::sync::oneshot::Sender<Answer> {
    match next(at).await {
        Event::Packet { from, packet: got, answer } if from == id(A) => {
            assert_eq!(got, packet(mark));
            answer
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn packets_are_pipelined_and_acknowledged_in_order() {
    let mut tasks = JoinSet::new();
    let (address, mut at_b) = listening(&mut tasks, 64).await;
    let mut at_a = dialling(&mut tasks, &address);
    let link = link_up(&mut at_a).await;
    let batch = u64::try_from(WINDOW).unwrap();
    let marks = 0..(200 / batch + 1) * batch;

    let sending = async {
        for mark in marks.clone() {
            send(&link, mark).await;
        }
    };
    // B commits a whole window at once: without pipelining it would wait for ever. It is done in the wrong order.
    let taking = async {
        for first in marks.clone().step_by(WINDOW) {
            let mut disposed = Vec::new();
            for mark in first..first + batch {
                disposed.push(taken(&mut at_b, mark).await);
            }
            disposed.into_iter().rev().for_each(|disposed| disposed.send(Answer::DisposedOf).unwrap());
        }
    };
    let answers = async {
        for mark in marks.clone() {
            assert_eq!(acked(&mut at_a).await, mark);
        }
    };
    tokio::join!(sending, taking, answers);
}

#[tokio::test]
async fn nothing_is_acknowledged_before_the_engine_says_so() {
    let mut tasks = JoinSet::new();
    let (address, mut at_b) = listening(&mut tasks, 64).await;
    let mut at_a = dialling(&mut tasks, &address);
    let link = link_up(&mut at_a).await;
    send(&link, 1).await;
    send(&link, 2).await;
    let first = taken(&mut at_b, 1).await;
    taken(&mut at_b, 2).await.send(Answer::DisposedOf).unwrap();
    // The engine of B stops without a word on the first: the link is cut, and both are A's still.
    drop(first);
    assert!(matches!(next(&mut at_a).await, Event::LinkDown(peer) if peer == id(B)));
}

#[tokio::test]
async fn a_listener_with_another_key_gets_nothing_until_the_right_one_is_back() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut tasks = JoinSet::new();
    let mut at_a = dialling(&mut tasks, &listener.local_addr().unwrap().to_string());
    for _ in 0..3 {
        let (stream, _) = listener.accept().await.unwrap();
        assert_eq!(session::respond(stream, &secret(STRANGER)).await.err(), Some(Cut));
        assert!(matches!(at_a.try_recv(), Err(TryRecvError::Empty)));
    }
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let Ok(caller) = session::respond(stream, &secret(B)).await else { continue };
        let _link = caller.admit(&hello()).await.unwrap();
        link_up(&mut at_a).await;
        return;
    }
}

#[tokio::test]
async fn a_caller_outside_the_document_is_not_let_in() {
    let mut tasks = JoinSet::new();
    let (address, mut at_b) = listening(&mut tasks, 64).await;
    let call = async |seed| {
        let stream = TcpStream::connect(&address).await.unwrap();
        session::initiate(stream, &secret(seed), &public(B), &hello()).await
    };
    assert_eq!(call(STRANGER).await.err(), Some(Cut));
    assert_eq!(call(B).await.err(), Some(Cut), "our own key is no peer's");
    assert!(call(A).await.is_ok());
    assert!(matches!(at_b.try_recv(), Ok(Event::Clock { peer, .. }) if peer == id(A)), "a peer's clock is heard");
    assert!(matches!(at_b.try_recv(), Err(TryRecvError::Empty)), "a stranger's is not");
}

/// Who fills a node's pool with packets of its own knows which one is not: a stranger gets none in, how often and under
/// how many keys it may call, and keeps no peer's out.
#[tokio::test]
async fn attack_17_a_flood_of_strangers_brings_no_packet_in_and_keeps_none_out() {
    let mut tasks = JoinSet::new();
    let (address, mut at_b) = listening(&mut tasks, 64).await;
    for stranger in (0..200).map(|n| 50 + n) {
        let stream = TcpStream::connect(&address).await.unwrap();
        // What it brings is not read where it is not let in.
        if let Ok((mut link, _)) = session::initiate(stream, &secret(stranger), &public(B), &hello()).await {
            let _ = link.sender.packet(&packet(stranger.into())).await;
        }
    }
    let mut at_a = dialling(&mut tasks, &address);
    let link = link_up(&mut at_a).await;
    send(&link, 1).await;
    taken(&mut at_b, 1).await.send(Answer::DisposedOf).unwrap();
    assert_eq!(acked(&mut at_a).await, 1);
}

#[tokio::test]
async fn a_peer_whose_clock_is_another_is_heard_and_gets_no_link() {
    let mut tasks = JoinSet::new();
    let (address, mut at_b) = listening(&mut tasks, 64).await;
    let wrong = Hello { now: clock::now().plus(Duration::from_secs(7200)), document: None };
    let stream = TcpStream::connect(&address).await.unwrap();
    assert_eq!(session::initiate(stream, &secret(A), &public(B), &wrong).await.err(), Some(Cut));
    let heard = |event| matches!(event, Some(Event::Clock { said, .. }) if said.as_secs() == wrong.now.as_secs());
    assert!(heard(at_b.recv().await), "by who is called");

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut at_a = dialling(&mut tasks, &listener.local_addr().unwrap().to_string());
    for _ in 0..2 {
        let (stream, _) = listener.accept().await.unwrap();
        let _link = session::respond(stream, &secret(B)).await.unwrap().admit(&wrong).await.unwrap();
        assert!(heard(at_a.recv().await), "by who calls");
    }
}

fn wanted(have: [u8; 32]) -> Wanted {
    Wanted { have: Some(have), most: usize::MAX }
}

/// B, as somebody who knows its key.
fn source(address: &str) -> Source {
    Source { link_key: public(B), address: self::address(address) }
}

#[tokio::test]
async fn who_asks_for_the_document_hears_that_and_nothing_else_whoever_it_is() {
    let mut tasks = JoinSet::new();
    let (address, mut at_b) = listening(&mut tasks, 64).await;
    for seed in [STRANGER, A, B] {
        let stream = TcpStream::connect(&address).await.unwrap();
        let (mut link, head) = session::ask(stream, &secret(seed), &public(B), &Opening::Document).await.unwrap();
        let length = u32::try_from(text().len()).unwrap();
        assert_eq!(head, [&length.to_be_bytes()[..], &[9; 32]].concat(), "no clock");
        assert_eq!(link.receiver.piece(PIECE_LEN).await.unwrap(), &text().as_bytes()[..PIECE_LEN]);
        // It is no peer, though it may have a peer's key: a packet is not even read.
        link.sender.packet(&packet(1)).await.unwrap();
    }
    let road = road(false);
    assert_eq!(fetch(&road, &source(&address), &wanted([9; 32])).await, Ok(None), "it is here already");
    let other_key = Source { link_key: public(A), ..source(&address) };
    assert_eq!(fetch(&road, &other_key, &wanted([0; 32])).await, Err(NoDocument::Refused));
    assert_eq!(fetch(&road, &source("127.0.0.1:1"), &wanted([0; 32])).await, Err(NoDocument::Unreachable));
    assert!(matches!(at_b.try_recv(), Err(TryRecvError::Empty)));
}

#[tokio::test]
async fn a_small_document_is_here_at_once() {
    let mut tasks = JoinSet::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let text = "x".repeat(PIECE_LEN + 1);
    let us = Us { served: Arc::new(Served::new(text.clone(), [8; 32])), ..us_at(B, &address) };
    let (events, _happened) = mpsc::channel(64);
    tasks.spawn(listen::serve(Door::Tcp(listener), watch::channel(Arc::new(us)).1, events, None));
    assert_eq!(fetch(&road(false), &source(&address), &wanted([9; 32])).await, Ok(Some(text.clone())));
    let less = Wanted { most: text.len() - 1, ..wanted([9; 32]) };
    assert_eq!(fetch(&road(false), &source(&address), &less).await, Err(NoDocument::Length));
}

#[tokio::test]
async fn askers_that_take_all_places_keep_no_peer_out_and_the_next_one_is_turned_away() {
    let mut tasks = JoinSet::new();
    let (address, mut at_b) = listening(&mut tasks, 64).await;
    let ask = async || {
        let stream = TcpStream::connect(&address).await.unwrap();
        session::ask(stream, &secret(STRANGER), &public(B), &Opening::Document).await
    };
    let mut askers = Vec::new();
    for _ in 0..ASKERS {
        askers.push(ask().await.unwrap());
    }
    for _ in 0..3 {
        assert!(ask().await.is_err());
    }
    let mut at_a = dialling(&mut tasks, &address);
    let link = link_up(&mut at_a).await;
    for mark in 0..50 {
        send(&link, mark).await;
        taken(&mut at_b, mark).await.send(Answer::DisposedOf).unwrap();
        assert_eq!(acked(&mut at_a).await, mark);
    }
    // A place is free again when its asker has gone.
    askers.pop();
    timeout(session::HANDSHAKE_LIMIT, async { while ask().await.is_err() {} }).await.unwrap();
}

#[tokio::test]
async fn a_clock_that_is_far_off_keeps_packets_where_they_are() {
    let mut tasks = JoinSet::new();
    let (address, _at_b) = listening(&mut tasks, 64).await;
    let call = async |now| {
        let stream = TcpStream::connect(&address).await.unwrap();
        session::initiate(stream, &secret(A), &public(B), &Hello { now, document: None }).await
    };
    let (near, far) = (Duration::from_secs(3000), Duration::from_secs(4000));
    for (now, let_in) in [
        (clock::now().plus(near), true),
        (clock::now().minus(near), true),
        (clock::now().plus(far), false),
        (clock::now().minus(far), false),
    ] {
        assert_eq!(call(now).await.is_ok(), let_in);
    }
}

#[tokio::test]
async fn garbage_is_cut_and_silence_does_not_close_the_door() {
    let mut tasks = JoinSet::new();
    let (address, _at_b) = listening(&mut tasks, 64).await;
    for garbage in [&b"EHLO example.org\r\n"[..], &[0; 500], &[255; 500], &[[0, 48].as_slice(), &[9; 48]].concat()] {
        let mut stranger = TcpStream::connect(&address).await.unwrap();
        stranger.write_all(garbage).await.unwrap();
        // Cut while there is something unread, it may end in a reset.
        assert!(matches!(stranger.read(&mut [0; 9]).await, Ok(0) | Err(_)));
    }

    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(TcpStream::connect(&address).await.unwrap());
    }
    let mut at_a = dialling(&mut tasks, &address);
    timeout(session::HANDSHAKE_LIMIT / 2, link_up(&mut at_a)).await.unwrap();
}

#[tokio::test]
async fn a_peers_newest_links_are_kept() {
    let mut tasks = JoinSet::new();
    let (address, mut at_b) = listening(&mut tasks, 64).await;
    let mut links = Vec::new();
    for _ in 0..3 {
        let stream = TcpStream::connect(&address).await.unwrap();
        links.push(session::initiate(stream, &secret(A), &public(B), &hello()).await.unwrap().0);
    }
    assert_eq!(links[0].receiver.answer().await, Err(Cut));
    for (mark, link) in [1, 2].into_iter().zip(&mut links[1..]) {
        link.sender.packet(&packet(mark)).await.unwrap();
        taken(&mut at_b, mark).await.send(Answer::DisposedOf).unwrap();
        assert_eq!(link.receiver.answer().await, Ok(Answer::DisposedOf));
    }
}

#[tokio::test]
async fn a_listener_that_dies_is_found_again_and_takes_what_went_back() {
    let mut tasks = JoinSet::new();
    let mut life = JoinSet::new();
    let (address, mut at_b) = listening(&mut life, 64).await;
    let mut at_a = dialling(&mut tasks, &address);
    for _ in 0..3 {
        let link = link_up(&mut at_a).await;
        send(&link, 1).await;
        send(&link, 2).await;
        taken(&mut at_b, 1).await.send(Answer::DisposedOf).unwrap();
        assert_eq!(acked(&mut at_a).await, 1);
        let _unanswered = taken(&mut at_b, 2).await;

        life.shutdown().await;
        assert!(matches!(next(&mut at_a).await, Event::LinkDown(peer) if peer == id(B)));
        assert!(link.is_closed(), "what the engine sends in vain is not kept for the next link");

        let listener = TcpListener::bind(&address).await.unwrap();
        let (events, happened) = mpsc::channel(64);
        life.spawn(listen::serve(Door::Tcp(listener), known(B, "127.0.0.1:1"), events, None));
        at_b = happened;
    }
}

#[tokio::test]
async fn a_driver_with_enough_to_do_makes_the_peer_wait() {
    let mut tasks = JoinSet::new();
    let (address, mut at_b) = listening(&mut tasks, 1).await;
    let mut at_a = dialling(&mut tasks, &address);
    let link = link_up(&mut at_a).await;
    let marks = 0..150;
    let sending = async {
        for mark in marks.clone() {
            send(&link, mark).await;
        }
    };
    let taking = async {
        // Nobody reads at B until A can send no more: then everything still comes, once and in order.
        while link.capacity() > 0 {
            tokio::task::yield_now().await;
        }
        for mark in marks.clone() {
            taken(&mut at_b, mark).await.send(Answer::DisposedOf).unwrap();
        }
    };
    let answers = async {
        for mark in marks.clone() {
            assert_eq!(acked(&mut at_a).await, mark);
        }
    };
    tokio::join!(sending, taking, answers);
}

#[tokio::test]
async fn who_was_in_the_document_before_is_let_in_and_who_was_in_the_one_before_that_is_cut() {
    let mut tasks = JoinSet::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (documents, known) = watch::channel(Arc::new(us_at(B, "127.0.0.1:1")));
    let (events, _happened) = mpsc::channel(64);
    tasks.spawn(listen::serve(Door::Tcp(listener), known, events, None));
    let call = async || {
        let stream = TcpStream::connect(&address).await.unwrap();
        session::initiate(stream, &secret(A), &public(B), &hello()).await
    };
    let mut link = call().await.unwrap().0;

    let a = us_at(B, "127.0.0.1:1").peers.get(&id(A)).unwrap().clone();
    let nobody = || Us { peers: Peers::default(), ..us_at(B, "127.0.0.1:1") };
    documents.send_replace(Arc::new(Us { peers: Peers::default().after([a]), ..nobody() }));
    assert!(call().await.is_ok(), "not all nodes take a document at once");
    documents.send_replace(Arc::new(nobody()));
    assert_eq!(link.receiver.answer().await, Err(Cut), "a link that is up ends");
    assert!(call().await.is_err());
}

#[tokio::test]
async fn a_node_that_has_left_the_document_is_dialled_by_the_one_before() {
    let mut tasks = JoinSet::new();
    let (address, mut at_b) = listening(&mut tasks, 64).await;
    let all = us_at(A, &address);
    let b = all.peers.get(&id(B)).unwrap().clone();
    let nobody = || Us { peers: Peers::default(), ..us_at(A, &address) };
    let (documents, known) = watch::channel(Arc::new(nobody()));
    let (events, mut at_a) = mpsc::channel(64);
    tasks.spawn(dial::keep(id(B), known, road(false), PACE, events));
    documents.send_replace(Arc::new(Us { peers: Peers::default().after([b]), ..nobody() }));
    let link = timeout(session::HANDSHAKE_LIMIT, link_up(&mut at_a)).await.unwrap();
    send(&link, 1).await;
    taken(&mut at_b, 1).await.send(Answer::DisposedOf).unwrap();
    assert_eq!(acked(&mut at_a).await, 1);
    documents.send_replace(Arc::new(nobody()));
    assert!(matches!(next(&mut at_a).await, Event::LinkDown(peer) if peer == id(B)));
}

/// Whoever has stolen a link key could keep the link that it opened for as long as it likes.
#[tokio::test]
async fn a_link_whose_key_no_document_has_any_more_is_cut_though_its_node_is_in_it() {
    let mut tasks = JoinSet::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (documents, known) = watch::channel(Arc::new(us_at(B, "127.0.0.1:1")));
    let (events, mut at_b) = mpsc::channel(64);
    tasks.spawn(listen::serve(Door::Tcp(listener), known, events, None));
    let call = async |seed| {
        let stream = TcpStream::connect(&address).await.unwrap();
        session::initiate(stream, &secret(seed), &public(B), &hello()).await
    };
    let mut link = call(A).await.unwrap().0;

    let old = us_at(B, "127.0.0.1:1").peers.get(&id(A)).unwrap().clone();
    let new = Peer { link_key: public(STRANGER), ..old.clone() };
    let peers = || Peers::from_iter([new.clone()]);
    documents.send_replace(Arc::new(Us { peers: peers().after([old]), ..us_at(B, "127.0.0.1:1") }));
    let mut renewed = call(STRANGER).await.unwrap().0;
    link.sender.packet(&packet(1)).await.unwrap();
    taken(&mut at_b, 1).await.send(Answer::DisposedOf).unwrap();
    assert_eq!(link.receiver.answer().await, Ok(Answer::DisposedOf), "the document before has it");

    documents.send_replace(Arc::new(Us { peers: peers(), ..us_at(B, "127.0.0.1:1") }));
    assert_eq!(timeout(session::HANDSHAKE_LIMIT, link.receiver.answer()).await, Ok(Err(Cut)));
    renewed.sender.packet(&packet(2)).await.unwrap();
    taken(&mut at_b, 2).await.send(Answer::DisposedOf).unwrap();
    assert_eq!(renewed.receiver.answer().await, Ok(Answer::DisposedOf), "the new key's link stays");
    assert!(call(A).await.is_err());
}
