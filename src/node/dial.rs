//! Links we open: one task a peer, which connects, sends packets, matches the answers, and begins again for ever.

use super::changes::Changes;
use super::driver::{Event, Outgoing};
use super::peers::{Known, Peer, Us, tell_clock};
use super::session::{self, Cut, Link, Receiver, Sender};
use super::socks::{Stream, Tor};
use crate::directory::NodeAddress;
use crate::engine::{PacketId, WINDOW};
use crate::id::NodeId;
use crate::link::frame::Answer;
use crate::sys::clock;
use crate::sys::log::{self, Program, log};
use crate::sys::tor_failure::TorFailure;
use rand::RngExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

/// How long a direct connection may take; over Tor, [`Tor`] has limits of its own.
const CONNECT_LIMIT: Duration = Duration::from_secs(90);

/// How long the peer may take to answer the oldest packet it has. It commits to disk in between, and stops reading
/// when it has too much to do.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(120);

/// Failures in a row that count, at most, with a peer that is there but cuts us off before the link is open. While
/// strangers crowd its door it is chance who gets in, and who tries ever more seldom has ever less of it: so those who
/// make a flood could keep all links out that were not up before.
const MOST_AT_THE_DOOR: u32 = 5;

/// How long to wait before trying again.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// At most this after the first failure.
    pub first: Duration,
    /// Doubled at each failure, up to this.
    pub most: Duration,
}

impl Pace {
    /// The pause after the `failures`th failure in a row: the second half of it by chance, so that nodes cut off
    /// together don't come back together.
    fn pause(self, failures: u32, rng: &mut impl rand::Rng) -> Duration {
        let longest = self.first.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1))).min(self.most);
        longest.mul_f64(rng.random_range(0.5..=1.0))
    }
}

/// How other nodes are reached.
#[derive(Debug)]
pub struct Road {
    /// The way to onions.
    pub tor: Tor,
    /// Whether Tor is the only way: so for a node that is an onion itself, or the first peer with an address of
    /// another kind would learn where it is.
    pub only_tor: bool,
}

impl Road {
    /// A stream to the node `peer` at `address`.
    ///
    /// # Errors
    /// `Unreachable`, also if not in time; through Tor, what Tor said of it. Whether Tor is up or down is logged.
    pub async fn connect(&self, address: &NodeAddress, peer: &NodeId) -> Result<Stream, NoLink> {
        let opened = self.open(address, peer).await;
        if self.by_tor(address) {
            self.tor.note(opened.as_ref().err().copied().and_then(NoLink::by_tor));
        }
        opened
    }

    /// As `connect`, without a word in the log.
    ///
    /// # Errors
    /// As `connect`.
    pub async fn open(&self, address: &NodeAddress, peer: &NodeId) -> Result<Stream, NoLink> {
        if self.by_tor(address) {
            return self.tor.connect(address, peer).await.map_err(NoLink::Tor);
        }
        let connect = TcpStream::connect((address.host(), address.port()));
        let stream = timeout(CONNECT_LIMIT, connect).await.ok().and_then(Result::ok).ok_or(NoLink::Unreachable)?;
        // Packets and acknowledgements are whole when they are flushed; waiting for more would only cost time.
        stream.set_nodelay(true).map_err(Cut::from)?;
        Ok(Box::new(stream))
    }

    fn by_tor(&self, address: &NodeAddress) -> bool {
        self.only_tor || address.is_onion()
    }
}

/// Why there is no link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoLink {
    /// Tor gives no stream.
    #[error(transparent)]
    Tor(TorFailure),
    /// Nothing listens at the address.
    #[error("the node can't be reached")]
    Unreachable,
    /// The node is there and cuts us off, or isn't who it is to be.
    #[error(transparent)]
    Cut(#[from] Cut),
}

/// Why a period in which packets could be sent ended, when the link is still good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Busy;

/// Keeps a link to the node `id` for as long as the driver listens and `known` has that node. Packets go through it
/// when the driver has been told `LinkUp`; what is not acknowledged at `LinkDown` is the engine's again.
pub async fn keep(id: NodeId, mut known: Known, road: Arc<Road>, pace: Pace, events: mpsc::Sender<Event>) {
    let mut changes = Changes::of_what_is_down();
    let mut failures = 0_u32;
    while !events.is_closed() {
        let us = Arc::clone(&known.borrow_and_update());
        let Some(peer) = us.peers.get(&id) else {
            // It may come back with a later document.
            tokio::select! {
                () = changed(&mut known) => continue,
                () = events.closed() => return,
            }
        };
        let opened = open(peer, &us, &road, &events).await;
        let why = opened.as_ref().err().copied();
        if let Ok(mut link) = opened {
            if changes.up() {
                log(Program::Node, log::Event::LinkUp { node: &peer.name });
            }
            // A link is as good as the packets it took; who lets us in only to cut us off is tried ever more seldom.
            while carry(&mut link, peer, &mut known, &events, &mut failures).await == Ok(Busy) {
                let pause = pace.pause(failures, &mut clock::rng());
                sleep(pause).await;
            }
        }
        failures = one_more(failures, why);
        if changes.down() {
            let why = why.and_then(NoLink::by_tor);
            log(Program::Node, log::Event::LinkDown { node: &peer.name, why });
        }
        let pause = pace.pause(failures, &mut clock::rng());
        tokio::select! {
            () = sleep(pause) => {}
            () = moved(peer, &mut known) => failures = 0,
        }
    }
}

impl NoLink {
    const fn by_tor(self) -> Option<TorFailure> {
        match self {
            Self::Tor(why) => Some(why),
            Self::Unreachable | Self::Cut(_) => None,
        }
    }
}

/// Failures in a row with this one, as the next pause counts them.
fn one_more(failures: u32, why: Option<NoLink>) -> u32 {
    let most = if why == Some(NoLink::Cut(Cut)) { MOST_AT_THE_DOOR } else { u32::MAX };
    failures.saturating_add(1).min(most)
}

/// Waits for another directory document; for ever if none can come.
async fn changed(known: &mut Known) {
    if known.changed().await.is_err() {
        std::future::pending().await
    }
}

/// Waits for a directory document in which `peer` is not what it was.
async fn moved(peer: &Peer, known: &mut Known) {
    loop {
        if known.borrow_and_update().peers.get(&peer.id) != Some(peer) {
            return;
        }
        changed(known).await;
    }
}

async fn open(peer: &Peer, us: &Us, road: &Road, events: &mpsc::Sender<Event>) -> Result<Link<Stream>, NoLink> {
    let stream = road.connect(&peer.address, &peer.id).await?;
    let (link, hello) = session::initiate(stream, &us.link_secret, &peer.link_key, &us.hello()).await?;
    tell_clock(peer.id, &hello, events);
    if us.agrees(peer, &hello) { Ok(link) } else { Err(NoLink::Cut(Cut)) }
}

/// One period in which packets go out: tells the driver of its begin and its end.
async fn carry<S: AsyncRead + AsyncWrite>(
    link: &mut Link<S>,
    peer: &Peer,
    known: &mut Known,
    events: &mpsc::Sender<Event>,
    failures: &mut u32,
) -> Result<Busy, Cut> {
    // A channel for this period alone: what the engine sent into it and nobody took is dropped with it.
    let (packets, to_send) = mpsc::channel(WINDOW);
    let (sent, unanswered) = mpsc::channel(WINDOW);
    let id = peer.id;
    events.send(Event::LinkUp { peer: id, packets }).await.map_err(|_| Cut)?;
    let period = async {
        tokio::try_join!(
            send(&mut link.sender, to_send, sent),
            take_answers(&mut link.receiver, unanswered, id, events, failures),
        )
    };
    let ended = tokio::select! {
        ended = period => ended.map(|((), busy)| busy),
        // A document with another key or address for it, or without it.
        () = moved(peer, known) => Err(Cut),
    };
    events.send(Event::LinkDown(id)).await.map_err(|_| Cut)?;
    ended
}

/// Sends packets, each one's id into `sent` first, until that is closed at its other end.
async fn send<S: AsyncWrite>(
    to: &mut Sender<S>,
    mut packets: mpsc::Receiver<Outgoing>,
    sent: mpsc::Sender<PacketId>,
) -> Result<(), Cut> {
    loop {
        let next = tokio::select! {
            () = sent.closed() => return Ok(()),
            next = packets.recv() => next,
        };
        // No sender left: the driver has given this link up.
        let Outgoing { id, packet } = next.ok_or(Cut)?;
        if sent.send(id).await.is_err() {
            return Ok(());
        }
        to.packet(&packet).await?;
    }
}

/// Takes the answers to the packets whose ids come in `unanswered`, in order. At the first `busy` nothing more is
/// sent; when the rest is answered too, the period is over.
async fn take_answers<S: AsyncRead>(
    from: &mut Receiver<S>,
    mut unanswered: mpsc::Receiver<PacketId>,
    peer: NodeId,
    events: &mpsc::Sender<Event>,
    failures: &mut u32,
) -> Result<Busy, Cut> {
    let mut busy = false;
    loop {
        let id = tokio::select! {
            biased;
            id = unanswered.recv() => id,
            // An answer to nothing, or the end.
            _ = from.answer() => return Err(Cut),
        };
        let Some(id) = id else { return if busy { Ok(Busy) } else { Err(Cut) } };
        match timeout(ANSWER_LIMIT, from.answer()).await?? {
            Answer::DisposedOf => {
                *failures = 0;
                events.send(Event::Acked { to: peer, id }).await.map_err(|_| Cut)?;
            }
            // Once, however many were on their way: a window of them would be the longest pause at once.
            Answer::Busy if !busy => {
                busy = true;
                *failures = failures.saturating_add(1);
                unanswered.close();
            }
            Answer::Busy => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::frame;
    use crate::node::serve::Served;
    use crate::secret::Secret;
    use crate::sphinx::Packet;
    use crate::sphinx::geometry::PACKET_LEN;
    use crate::store::RowId;
    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use tokio::io::{DuplexStream, duplex};
    use tokio::sync::watch;
    use tokio::time;

    const PEER: NodeId = NodeId([2; 32]);

    fn peer() -> Peer {
        let address = NodeAddress::parse("127.0.0.1:1").unwrap();
        Peer { id: PEER, name: "p".into(), address, link_key: [2; 32] }
    }

    fn us(peers: impl IntoIterator<Item = Peer>) -> Arc<Us> {
        Arc::new(Us {
            link_secret: Secret::filled(|bytes| bytes.fill(1)),
            document: [9; 32],
            before: None,
            doubts: mpsc::channel(1).0,
            authorities: std::collections::BTreeSet::new(),
            served: Arc::new(Served::new(String::new(), [9; 32])),
            clock_tolerance: Duration::from_secs(3600),
            peers: peers.into_iter().collect(),
        })
    }

    fn packet() -> Packet {
        Packet::from_bytes(&[1; PACKET_LEN]).unwrap()
    }

    /// Both ends of a link.
    async fn pair() -> (Link<DuplexStream>, Link<DuplexStream>) {
        let hello = frame::Hello { now: clock::now(), document: None };
        let (a, b) = duplex(1 << 20);
        let secret = |seed| Secret::filled(|bytes: &mut [u8; 32]| bytes.fill(seed));
        let theirs = x25519_dalek::PublicKey::from(&x25519_dalek::StaticSecret::from([2; 32])).to_bytes();
        let answering = async { session::respond(b, &secret(2)).await.unwrap().admit(&hello).await.unwrap() };
        let ours = secret(1);
        let (opened, answered) = tokio::join!(session::initiate(a, &ours, &theirs, &hello), answering);
        (opened.unwrap().0, answered)
    }

    /// Runs one period; gives its end and the number of failures in a row, then what the driver was told.
    async fn period(
        link: &mut Link<DuplexStream>,
        ids: impl IntoIterator<Item = u64>,
        peer: impl Future<Output = ()>,
    ) -> (Result<Busy, Cut>, u32, Vec<Event>) {
        let (events, mut happened) = mpsc::channel(64);
        let mut failures = 3;
        let driver = async {
            let Some(Event::LinkUp { packets, .. }) = happened.recv().await else { panic!("no LinkUp") };
            for id in ids {
                packets.send(Outgoing { id: PacketId(RowId(id)), packet: packet() }).await.unwrap();
            }
            let mut told = Vec::new();
            while !matches!(told.last(), Some(Event::LinkDown(PEER))) {
                told.push(happened.recv().await.unwrap());
            }
            told.pop();
            (told, packets.is_closed())
        };
        let (_documents, mut known) = watch::channel(us([self::peer()]));
        let us = self::peer();
        let carried = carry(link, &us, &mut known, &events, &mut failures);
        let (ended, (told, closed), ()) = tokio::join!(carried, driver, peer);
        assert!(closed, "a period's packets end with it");
        (ended, failures, told)
    }

    fn acked(told: &[Event]) -> Vec<u64> {
        let id = |event: &Event| match event {
            Event::Acked { to: PEER, id: PacketId(RowId(id)) } => *id,
            other => panic!("{other:?}"),
        };
        told.iter().map(id).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_never_answers_is_cut_and_everything_goes_back() {
        let (mut link, mut theirs) = pair().await;
        let begin = time::Instant::now();
        let peer = async {
            for _ in 0..3 {
                theirs.receiver.packet().await.unwrap();
            }
        };
        let (ended, failures, told) = period(&mut link, 0..3, peer).await;
        assert_eq!((ended, failures, acked(&told)), (Err(Cut), 3, vec![]));
        assert_eq!(begin.elapsed(), ANSWER_LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_peer_gets_the_rest_later_over_the_same_link() {
        let (mut link, mut theirs) = pair().await;
        let peer = async {
            for answer in [Answer::DisposedOf, Answer::Busy, Answer::DisposedOf, Answer::Busy] {
                theirs.receiver.packet().await.unwrap();
                theirs.sender.answer(answer).await.unwrap();
            }
        };
        let (ended, failures, told) = period(&mut link, 0..4, peer).await;
        assert_eq!((ended, acked(&told)), (Ok(Busy), vec![0, 2]), "1 and 3 are unacknowledged at LinkDown");
        assert_eq!(failures, 0, "it takes some, so it is asked again soon");

        let peer = async {
            theirs.receiver.packet().await.unwrap();
            theirs.sender.answer(Answer::DisposedOf).await.unwrap();
            drop(theirs);
        };
        let (ended, failures, told) = period(&mut link, [1], peer).await;
        assert_eq!((ended, failures, acked(&told)), (Err(Cut), 0, vec![1]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_whole_window_answered_busy_is_one_failure() {
        let (mut link, mut theirs) = pair().await;
        let window = u64::try_from(WINDOW).unwrap();
        let peer = async {
            for _ in 0..window {
                theirs.receiver.packet().await.unwrap();
            }
            for _ in 0..window {
                theirs.sender.answer(Answer::Busy).await.unwrap();
            }
        };
        let (ended, failures, told) = period(&mut link, 0..window, peer).await;
        assert_eq!((ended, failures, acked(&told)), (Ok(Busy), 3 + 1, vec![]));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_to_nothing_cuts_the_link() {
        let (mut link, mut theirs) = pair().await;
        let (ended, ..) =
            period(&mut link, [], async { theirs.sender.answer(Answer::DisposedOf).await.unwrap() }).await;
        assert_eq!(ended, Err(Cut));
    }

    #[tokio::test]
    async fn a_driver_that_gives_a_link_up_ends_it() {
        let (mut link, _theirs) = pair().await;
        let (events, mut happened) = mpsc::channel(64);
        let driver = async { drop(happened.recv().await) };
        let mut failures = 0;
        let (us, mut known) = (peer(), watch::channel(us([peer()])).1);
        let carried = carry(&mut link, &us, &mut known, &events, &mut failures);
        assert_eq!(tokio::join!(carried, driver).0, Err(Cut));
        assert!(matches!(happened.recv().await, Some(Event::LinkDown(PEER))));
    }

    #[test]
    fn pauses_grow_to_the_longest_and_are_never_all_the_same() {
        let pace = Pace { first: Duration::from_secs(1), most: Duration::from_secs(300) };
        let mut rng = StdRng::seed_from_u64(1);
        for (failures, longest) in [(0, 1), (1, 1), (2, 2), (3, 4), (9, 256), (10, 300), (99, 300), (u32::MAX, 300)] {
            let longest = Duration::from_secs(longest);
            let drawn: Vec<_> = (0..50).map(|_| pace.pause(failures, &mut rng)).collect();
            assert!(drawn.iter().all(|pause| (longest / 2..=longest).contains(pause)), "{failures}: {drawn:?}");
            assert!(
                drawn.iter().any(|pause| *pause > longest * 3 / 4)
                    && drawn.iter().any(|pause| *pause < longest * 3 / 4)
            );
        }
    }

    #[test]
    fn at_a_crowded_door_it_is_tried_often_and_where_nobody_is_ever_more_seldom() {
        let after = |tries: u32, why| (0..tries).fold(0, |failures, _| one_more(failures, why));
        for why in [Some(NoLink::Tor(TorFailure::Unreachable)), Some(NoLink::Unreachable), None] {
            assert_eq!(after(20, why), 20);
        }
        assert_eq!((after(3, Some(NoLink::Cut(Cut))), after(20, Some(NoLink::Cut(Cut)))), (3, MOST_AT_THE_DOOR));
    }

    #[tokio::test]
    async fn a_link_ends_when_a_document_has_another_key_or_address_for_the_peer_or_not_the_peer() {
        let new_key = Peer { link_key: [3; 32], ..peer() };
        let new_address = Peer { address: NodeAddress::parse("127.0.0.1:2").unwrap(), ..peer() };
        for now in [us([new_key]), us([new_address]), us([])] {
            let (mut link, _theirs) = pair().await;
            let (events, mut happened) = mpsc::channel(64);
            let (documents, mut known) = watch::channel(us([peer()]));
            let driver = async {
                let up = happened.recv().await;
                // The same peer in another document is no reason.
                documents.send_replace(us([peer(), Peer { id: NodeId([7; 32]), link_key: [7; 32], ..peer() }]));
                tokio::task::yield_now().await;
                assert!(happened.try_recv().is_err());
                documents.send_replace(now);
                let down = happened.recv().await;
                assert!(matches!((up, down), (Some(Event::LinkUp { .. }), Some(Event::LinkDown(PEER)))));
            };
            let (us, mut failures) = (peer(), 0);
            let carried = carry(&mut link, &us, &mut known, &events, &mut failures);
            assert_eq!(tokio::join!(carried, driver).0, Err(Cut));
        }
    }
}
