//! Links we open: one task a peer, which connects, sends packets, matches the answers, and begins again for ever.

use super::driver::{Event, Outgoing};
use super::peers::{Peer, Us};
use super::session::{self, Cut, Link, Receiver, Sender};
use crate::engine::{PacketId, WINDOW};
use crate::id::NodeId;
use crate::link::frame::Answer;
use crate::sys::clock;
use crate::sys::log::{self, Program, log};
use rand::RngExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{self, sleep, timeout};

/// How long a connection may take: over Tor, one to a service that went away was seen to hang for 70 s.
const CONNECT_LIMIT: Duration = Duration::from_secs(90);

/// How long the peer may take to answer the oldest packet it has. It commits to disk in between, and stops reading
/// when it has too much to do.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(120);

/// At most one `link-down` a peer in this time, however often it comes and goes.
const LOG_EVERY: Duration = Duration::from_secs(3600);

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

/// Why a period in which packets could be sent ended, when the link is still good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Busy;

/// Keeps a link to `peer` for as long as the driver listens. Packets go through it when the driver has been told
/// `LinkUp`; what is not acknowledged at `LinkDown` is the engine's again.
pub async fn keep(peer: Peer, us: Arc<Us>, pace: Pace, events: mpsc::Sender<Event>) {
    let mut changes = Changes::default();
    let mut failures = 0_u32;
    while !events.is_closed() {
        if let Ok(mut link) = open(&peer, &us).await {
            if changes.up() {
                log(Program::Node, log::Event::LinkUp { node: &peer.name });
            }
            // A link is as good as the packets it took; who lets us in only to cut us off is tried ever more seldom.
            while carry(&mut link, peer.id, &events, &mut failures).await == Ok(Busy) {
                let pause = pace.pause(failures, &mut clock::rng());
                sleep(pause).await;
            }
        }
        failures = failures.saturating_add(1);
        if changes.down() {
            log(Program::Node, log::Event::LinkDown { node: &peer.name });
        }
        let pause = pace.pause(failures, &mut clock::rng());
        sleep(pause).await;
    }
}

async fn open(peer: &Peer, us: &Us) -> Result<Link<TcpStream>, Cut> {
    // Looked up like any other name, an onion would be told to the DNS.
    if peer.address.is_onion() {
        return Err(Cut);
    }
    let connect = TcpStream::connect((peer.address.host(), peer.address.port()));
    let stream = timeout(CONNECT_LIMIT, connect).await??;
    // Packets and acknowledgements are whole when they are flushed; waiting for more would only cost time.
    stream.set_nodelay(true)?;
    let (link, hello) = session::initiate(stream, &us.link_secret, &peer.link_key, &us.hello()).await?;
    if us.agrees(&hello) { Ok(link) } else { Err(Cut) }
}

/// One period in which packets go out: tells the driver of its begin and its end.
async fn carry<S: AsyncRead + AsyncWrite>(
    link: &mut Link<S>,
    peer: NodeId,
    events: &mpsc::Sender<Event>,
    failures: &mut u32,
) -> Result<Busy, Cut> {
    // A channel for this period alone: what the engine sent into it and nobody took is dropped with it.
    let (packets, to_send) = mpsc::channel(WINDOW);
    let (sent, unanswered) = mpsc::channel(WINDOW);
    events.send(Event::LinkUp { peer, packets }).await.map_err(|_| Cut)?;
    let ended = tokio::try_join!(
        send(&mut link.sender, to_send, sent),
        take_answers(&mut link.receiver, unanswered, peer, events, failures),
    );
    events.send(Event::LinkDown(peer)).await.map_err(|_| Cut)?;
    ended.map(|((), busy)| busy)
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
            Answer::Busy => {
                busy = true;
                *failures = failures.saturating_add(1);
                unanswered.close();
            }
        }
    }
}

/// Which changes of one link the log tells of: a peer that comes and goes can't fill it.
#[derive(Debug, Default)]
struct Changes {
    /// Whether the last line said `link-up`.
    up: bool,
    last_down: Option<time::Instant>,
}

impl Changes {
    /// Whether to say `link-up` now: if the last word was another.
    fn up(&mut self) -> bool {
        !std::mem::replace(&mut self.up, true)
    }

    /// Whether to say `link-down` now: if the last word was another, and the last `link-down` is long ago. Asked again
    /// at each try, so the log comes to the truth in the end.
    fn down(&mut self) -> bool {
        let say = self.up && self.last_down.is_none_or(|last| last.elapsed() >= LOG_EVERY);
        if say {
            (self.up, self.last_down) = (false, Some(time::Instant::now()));
        }
        say
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::frame;
    use crate::secret::Secret;
    use crate::sphinx::Packet;
    use crate::sphinx::geometry::PACKET_LEN;
    use crate::store::RowId;
    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use tokio::io::{DuplexStream, duplex};

    const PEER: NodeId = NodeId([2; 32]);

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
        let (ended, (told, closed), ()) = tokio::join!(carry(link, PEER, &events, &mut failures), driver, peer);
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
        assert!(failures > 0);

        let peer = async {
            theirs.receiver.packet().await.unwrap();
            theirs.sender.answer(Answer::DisposedOf).await.unwrap();
            drop(theirs);
        };
        let (ended, failures, told) = period(&mut link, [1], peer).await;
        assert_eq!((ended, failures, acked(&told)), (Err(Cut), 0, vec![1]));
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
        assert_eq!(tokio::join!(carry(&mut link, PEER, &events, &mut failures), driver).0, Err(Cut));
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

    #[tokio::test(start_paused = true)]
    async fn a_link_that_comes_and_goes_is_logged_once_an_hour() {
        let mut changes = Changes::default();
        let mut lines = 0;
        for _ in 0..24 * 60 {
            lines += u32::from(changes.up()) + u32::from(changes.down());
            time::advance(Duration::from_secs(60)).await;
        }
        assert_eq!(lines, 1 + 2 * 24);
        assert!(changes.up || changes.up(), "the last word is the true one");
    }
}
