//! Links to onions, over a small SOCKS proxy of the test's own: by Unix socket and by TCP, and by no other way.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test stops at the first surprise")]

use fog::config::Socks;
use fog::directory::{NodeAddress, Source};
use fog::id::NodeId;
use fog::node::dial::{self, NoLink, Pace, Road};
use fog::node::driver::Event;
use fog::node::fetch::{NoDocument, Wanted, fetch};
use fog::node::listen::{self, Door};
use fog::node::local::Local;
use fog::node::peers::{Peer, Us};
use fog::node::serve::Served;
use fog::node::session;
use fog::node::socks::Tor;
use fog::secret::Secret;
use fog::sys::tor_failure::TorFailure;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};

const ONION: &str = "2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion";
const PACE: Pace = Pace { first: Duration::from_millis(5), most: Duration::from_millis(20) };
const TEXT: &str = "a document\n";
const REPLY: [u8; 10] = [5, 0, 0, 1, 0, 0, 0, 0, 0, 0];

fn secret(seed: u8) -> Secret<32> {
    Secret::filled(|bytes| bytes.fill(seed))
}

fn public(seed: u8) -> [u8; 32] {
    x25519_dalek::PublicKey::from(&x25519_dalek::StaticSecret::from([seed; 32])).to_bytes()
}

fn peer(seed: u8, address: &str) -> Peer {
    let address = NodeAddress::parse(address).unwrap();
    Peer { id: NodeId([seed; 32]), name: format!("n{seed}"), address, link_key: public(seed) }
}

fn us(peers: impl IntoIterator<Item = Peer>) -> Us {
    Us {
        link_secret: secret(1),
        document: [9; 32],
        before: None,
        doubts: tokio::sync::mpsc::channel(1).0,
        authorities: std::collections::BTreeSet::new(),
        served: Arc::new(Served::new(TEXT.into(), [9; 32])),
        clock_tolerance: Duration::from_secs(3600),
        peers: peers.into_iter().collect(),
    }
}

/// What a client asked a proxy for.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    user: String,
    password: String,
    host: String,
    port: u16,
}

/// The proxy's side of a handshake, up to the request.
async fn serve(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Asked {
    async fn take<const N: usize>(stream: &mut (impl AsyncRead + Unpin)) -> [u8; N] {
        let mut bytes = [0; N];
        stream.read_exact(&mut bytes).await.unwrap();
        bytes
    }
    async fn text(stream: &mut (impl AsyncRead + Unpin)) -> String {
        let [length] = take(stream).await;
        let mut bytes = vec![0; length.into()];
        stream.read_exact(&mut bytes).await.unwrap();
        String::from_utf8(bytes).unwrap()
    }
    assert_eq!(take(stream).await, [5, 2, 0, 2]);
    stream.write_all(&[5, 2]).await.unwrap();
    assert_eq!(take(stream).await, [1]);
    let (user, password) = (text(stream).await, text(stream).await);
    stream.write_all(&[1, 0]).await.unwrap();
    assert_eq!(take(stream).await, [5, 1, 0, 3], "a name, never an address");
    let host = text(stream).await;
    Asked { user, password, host, port: u16::from_be_bytes(take(stream).await) }
}

#[tokio::test]
async fn streams_of_each_peer_are_kept_apart_on_both_kinds_of_sockets() {
    let dir = tempfile::tempdir().unwrap();
    let unix = UnixListener::bind(dir.path().join("socks")).unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tor = Tor::new(Socks::Unix(dir.path().join("socks")));
    let address = NodeAddress::parse(&format!("{ONION}:9999")).unwrap();
    let mut asked = Vec::new();
    for seed in [2, 3, 2] {
        let proxy = async {
            let (mut stream, _) = unix.accept().await.unwrap();
            asked.push(serve(&mut stream).await);
            stream.write_all(&REPLY).await.unwrap();
            stream.write_all(b"hello").await.unwrap();
        };
        let id = NodeId([seed; 32]);
        let (stream, ()) = tokio::join!(tor.connect(&address, &id), proxy);
        let mut said = [0; 5];
        stream.unwrap().read_exact(&mut said).await.unwrap();
        assert_eq!(&said, b"hello");
    }
    tor.move_to(Socks::Tcp(tcp.local_addr().unwrap()));
    let proxy = async {
        let (mut stream, _) = tcp.accept().await.unwrap();
        asked.push(serve(&mut stream).await);
        stream.write_all(&[5, 0xf0, 0, 1, 0, 0, 0, 0, 0, 0]).await.unwrap();
    };
    let (refused, ()) = tokio::join!(tor.connect(&address, &NodeId([2; 32])), proxy);
    assert_eq!(refused.err(), Some(TorFailure::NoDescriptor));

    let [a, b, again, by_tcp] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!((a.host.as_str(), a.port), (ONION, 9999));
    assert!(a == again && a == by_tcp && a.user != b.user, "a user name per peer: {asked:?}");
    assert!(!a.password.is_empty());
}

#[tokio::test]
async fn a_link_to_an_onion_goes_over_the_proxy() {
    let dir = tempfile::tempdir().unwrap();
    let proxy = UnixListener::bind(dir.path().join("socks")).unwrap();
    let road = Arc::new(Road { tor: Tor::new(Socks::Unix(dir.path().join("socks"))), only_tor: true });
    let (events, mut happened) = mpsc::channel(64);
    let known = watch::channel(Arc::new(us([peer(2, &format!("{ONION}:9999"))]))).1;
    let keeping = tokio::spawn(dial::keep(NodeId([2; 32]), known, road, PACE, events));
    // Tor says no, hangs up, and says what is no SOCKS; then there is a way.
    for refusal in [&[5, 1, 0, 1, 0, 0, 0, 0, 0, 0][..], b"", b"HTTP/1.1"] {
        let (mut stream, _): (UnixStream, _) = proxy.accept().await.unwrap();
        serve(&mut stream).await;
        stream.write_all(refusal).await.unwrap();
    }
    let (mut stream, _) = proxy.accept().await.unwrap();
    serve(&mut stream).await;
    stream.write_all(&REPLY).await.unwrap();
    let caller = session::respond(stream, &secret(2)).await.unwrap();
    assert_eq!(caller.key, public(1));
    let _link = caller.admit(&us([]).hello()).await.unwrap();
    assert!(matches!(happened.recv().await, Some(Event::Clock { .. })));
    assert!(matches!(happened.recv().await, Some(Event::LinkUp { peer, .. }) if peer == NodeId([2; 32])));
    keeping.abort();
}

#[tokio::test]
async fn a_document_is_fetched_over_circuits_that_nothing_else_uses() {
    let dir = tempfile::tempdir().unwrap();
    let proxy = UnixListener::bind(dir.path().join("socks")).unwrap();
    let door = dir.path().join("links");
    let node = Local::bind(&door, 0o600).unwrap();
    let (events, _happened) = mpsc::channel(64);
    let known = watch::channel(Arc::new(us([]))).1;
    let listening = tokio::spawn(listen::serve(Door::Unix(node), known, events, None));
    let road = Road { tor: Tor::new(Socks::Unix(dir.path().join("socks"))), only_tor: false };
    let source = Source { link_key: public(1), address: NodeAddress::parse(&format!("{ONION}:9999")).unwrap() };
    let wanted = Wanted { have: None, most: TEXT.len() };
    let mut users = Vec::new();
    for _ in 0..2 {
        let way = async {
            let (mut stream, _) = proxy.accept().await.unwrap();
            users.push(serve(&mut stream).await.user);
            stream.write_all(&REPLY).await.unwrap();
            let mut there = UnixStream::connect(&door).await.unwrap();
            let _ = tokio::io::copy_bidirectional(&mut stream, &mut there).await;
        };
        let (text, ()) = tokio::join!(fetch(&road, &source, &wanted), way);
        assert_eq!(text, Ok(Some(TEXT.into())));
    }
    assert!(users[0] != users[1] && users[0].len() == 64, "each as somebody else: {users:?}");
    let refusal = async {
        let (mut stream, _) = proxy.accept().await.unwrap();
        serve(&mut stream).await;
        stream.write_all(&[5, 0xf0, 0, 1, 0, 0, 0, 0, 0, 0]).await.unwrap();
    };
    let (refused, ()) = tokio::join!(fetch(&road, &source, &wanted), refusal);
    assert_eq!(refused, Err(NoDocument::Tor(TorFailure::NoDescriptor)));
    listening.abort();
}

/// The other address is this test's own listener: a connection to it would be seen.
#[tokio::test]
async fn nothing_is_dialled_directly_by_or_to_an_onion() {
    let here = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let direct = NodeAddress::parse(&here.local_addr().unwrap().to_string()).unwrap();
    let onion = NodeAddress::parse(&format!("{ONION}:9999")).unwrap();
    let road = |only_tor| Road { tor: Tor::new(Socks::Unix("/nowhere".into())), only_tor };
    let id = NodeId([2; 32]);
    let unreachable = NoLink::Tor(TorFailure::Unreachable);
    assert_eq!(road(true).connect(&direct, &id).await.err(), Some(unreachable));
    assert_eq!(road(true).connect(&onion, &id).await.err(), Some(unreachable));
    assert_eq!(road(false).connect(&onion, &id).await.err(), Some(unreachable));
    let (connected, accepted) = tokio::join!(async { road(false).connect(&direct, &id).await.is_ok() }, here.accept());
    assert!(connected, "neither is an onion");
    // The first that came is the last that was made.
    drop::<(TcpStream, _)>(accepted.unwrap());
    assert!(tokio::time::timeout(Duration::ZERO, here.accept()).await.is_err());
}
