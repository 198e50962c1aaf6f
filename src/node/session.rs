//! A session: Noise over any stream (`link::frame` says which and why), one side's link key known beforehand, both
//! sides' proved.
//!
//! Every message on it has a length known before it comes, so nobody can make us wait for, or make room for, another.

use crate::link::document::{self, Head, Opening};
use crate::link::frame::{self, Answer, HANDSHAKE_LENS, HELLO_LEN, Hello, Incoming, PREFIX_LEN, TAG_LEN};
use crate::link::offer::{VERDICT_LEN, Verdict};
use crate::secret::Secret;
use crate::sphinx::Packet;
use crate::wire::Malformed;
use snow::{Builder, HandshakeState, StatelessTransportState};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::time::{self, timeout, timeout_at};

/// A handshake is three messages and a hello, over Tor, where a round trip takes seconds at worst.
pub const HANDSHAKE_LIMIT: Duration = Duration::from_secs(20);

/// How long one message may take to come in once it has begun, and what is flushed to go out. A peer with enough to do
/// stops reading for a while, so this is generous; it is there so that one that stands still is let go.
pub const MESSAGE_LIMIT: Duration = Duration::from_secs(120);

/// The link is of no more use: closed, late, or the peer said what it may not.
///
/// One value for all of it, because every caller does the same: drop the link, without an answer and without a word in
/// the log that a stranger could make grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the link is cut")]
pub struct Cut;

impl From<std::io::Error> for Cut {
    fn from(_: std::io::Error) -> Self {
        Self
    }
}

impl From<snow::Error> for Cut {
    fn from(_: snow::Error) -> Self {
        Self
    }
}

impl From<Malformed> for Cut {
    fn from(_: Malformed) -> Self {
        Self
    }
}

impl From<tokio::time::error::Elapsed> for Cut {
    fn from(_: tokio::time::error::Elapsed) -> Self {
        Self
    }
}

/// An open session. The halves work side by side: packets go out while answers come in.
#[derive(Debug)]
pub struct Link<S> {
    /// The outgoing half.
    pub sender: Sender<S>,
    /// The incoming half.
    pub receiver: Receiver<S>,
}

/// Opens a session with the node whose link key is `theirs`, and returns it with that node's hello.
///
/// # Errors
/// `Cut` if the other side can't prove that key, doesn't let us in, or takes longer than `HANDSHAKE_LIMIT`.
pub async fn initiate<S>(
    stream: S,
    ours: &Secret<32>,
    theirs: &[u8; 32],
    hello: &Hello,
) -> Result<(Link<S>, Hello), Cut>
where
    S: AsyncRead + AsyncWrite,
{
    let begin = async {
        let mut link = shake(stream, ours, theirs, &Opening::Packets(*hello)).await?;
        let answer = Hello::decode(link.receiver.next(HELLO_LEN).await?)?;
        Ok((link, answer))
    };
    timeout(HANDSHAKE_LIMIT, begin).await?
}

/// Asks the node whose link key is `theirs` for a text, and returns what comes before it as it came. To ask for the
/// document, `ours` is a key drawn for this: who asks is nobody.
///
/// # Errors
/// `Cut` as for `initiate`.
pub async fn ask<S>(stream: S, ours: &Secret<32>, theirs: &[u8; 32], what: &Opening) -> Result<(Link<S>, Vec<u8>), Cut>
where
    S: AsyncRead + AsyncWrite,
{
    let begin = async {
        let mut link = shake(stream, ours, theirs, what).await?;
        let head = link.receiver.next(document::HEAD_LEN).await?.to_vec();
        Ok((link, head))
    };
    timeout(HANDSHAKE_LIMIT, begin).await?
}

/// Opens a session with the node whose link key is `theirs`, to hand in a descriptor.
///
/// # Errors
/// `Cut` as for `initiate`.
pub async fn hand_in<S>(stream: S, ours: &Secret<32>, theirs: &[u8; 32]) -> Result<Link<S>, Cut>
where
    S: AsyncRead + AsyncWrite,
{
    timeout(HANDSHAKE_LIMIT, shake(stream, ours, theirs, &Opening::Descriptor)).await?
}

/// The opener's three messages.
async fn shake<S>(stream: S, ours: &Secret<32>, theirs: &[u8; 32], opening: &Opening) -> Result<Link<S>, Cut>
where
    S: AsyncRead + AsyncWrite,
{
    let [ephemeral, reply, proof] = HANDSHAKE_LENS;
    let (mut read, mut write) = tokio::io::split(stream);
    let mut noise = Builder::new(frame::PATTERN.parse()?)
        .prologue(frame::PROLOGUE)?
        .local_private_key(ours.expose())?
        .remote_public_key(theirs)?
        .build_initiator()?;
    say::<_, 0>(&mut noise, &mut write, ephemeral, &[]).await?;
    hear::<_, 0>(&mut noise, &mut read, reply).await?;
    say(&mut noise, &mut write, proof, &opening.encode()).await?;
    Link::open(noise, read, write)
}

/// An opener that has proved its link key, and waits to be let in.
#[derive(Debug)]
pub struct Caller<S> {
    /// The link key it has proved.
    pub key: [u8; 32],
    /// What it wants.
    pub opening: Opening,
    link: Link<S>,
}

/// Answers a handshake.
///
/// # Errors
/// `Cut` if the other side doesn't know our link key, breaks the handshake, or takes longer than `HANDSHAKE_LIMIT`.
pub async fn respond<S>(stream: S, ours: &Secret<32>) -> Result<Caller<S>, Cut>
where
    S: AsyncRead + AsyncWrite,
{
    let [ephemeral, reply, proof] = HANDSHAKE_LENS;
    let shake = async {
        let (mut read, mut write) = tokio::io::split(stream);
        let mut noise = Builder::new(frame::PATTERN.parse()?)
            .prologue(frame::PROLOGUE)?
            .local_private_key(ours.expose())?
            .build_responder()?;
        hear::<_, 0>(&mut noise, &mut read, ephemeral).await?;
        say::<_, 0>(&mut noise, &mut write, reply, &[]).await?;
        let opening = hear::<_, HELLO_LEN>(&mut noise, &mut read, proof).await?;
        let key = noise.get_remote_static().and_then(|key| key.try_into().ok()).ok_or(Cut)?;
        Ok(Caller { key, opening: Opening::decode(&opening)?, link: Link::open(noise, read, write)? })
    };
    timeout(HANDSHAKE_LIMIT, shake).await?
}

impl<S: AsyncRead + AsyncWrite> Caller<S> {
    /// Lets the caller in: says `hello` to it.
    ///
    /// # Errors
    /// `Cut` if it doesn't take it in time.
    pub async fn admit(mut self, hello: &Hello) -> Result<Link<S>, Cut> {
        self.link.sender.push(&hello.encode())?;
        timeout(HANDSHAKE_LIMIT, self.link.sender.flush()).await??;
        Ok(self.link)
    }

    /// What a caller that asks for a text is answered through. It has nothing more to say.
    pub fn listens(self) -> Sender<S> {
        self.link.sender
    }

    /// The session with a caller that hands in a descriptor.
    pub fn brings(self) -> Link<S> {
        self.link
    }
}

/// Writes one handshake message of `length` bytes that carries `payload`.
async fn say<W: AsyncWrite + Unpin, const N: usize>(
    noise: &mut HandshakeState,
    to: &mut W,
    length: usize,
    payload: &[u8; N],
) -> Result<(), Cut> {
    let mut framed = frame::prefix(length)?.to_vec();
    framed.resize(PREFIX_LEN + length, 0);
    if noise.write_message(payload, framed.get_mut(PREFIX_LEN..).ok_or(Cut)?)? != length {
        return Err(Cut);
    }
    Ok(to.write_all(&framed).await?)
}

/// Reads one handshake message of `length` bytes that carries exactly `N`.
async fn hear<R: AsyncRead + Unpin, const N: usize>(
    noise: &mut HandshakeState,
    from: &mut R,
    length: usize,
) -> Result<[u8; N], Cut> {
    let mut prefix = [0; PREFIX_LEN];
    from.read_exact(&mut prefix).await?;
    frame::check_prefix(prefix, length)?;
    let mut message = vec![0; length];
    from.read_exact(&mut message).await?;
    let mut payload = [0; N];
    if noise.read_message(&message, &mut payload)? == N { Ok(payload) } else { Err(Cut) }
}

impl<S: AsyncRead + AsyncWrite> Link<S> {
    fn open(noise: HandshakeState, read: ReadHalf<S>, write: WriteHalf<S>) -> Result<Self, Cut> {
        let noise = Arc::new(noise.into_stateless_transport_mode()?);
        let (framed, plain) = (Vec::new(), Vec::new());
        Ok(Self {
            sender: Sender { noise: Arc::clone(&noise), nonce: 0, write, out: Vec::new() },
            receiver: Receiver {
                noise,
                nonce: 0,
                read,
                framed,
                have: 0,
                begun: None,
                plain,
                packet: Incoming::default(),
            },
        })
    }
}

/// The outgoing half of a session.
#[derive(Debug)]
pub struct Sender<S> {
    noise: Arc<StatelessTransportState>,
    /// How many messages were pushed: this half alone counts it, so no nonce is used twice.
    nonce: u64,
    write: WriteHalf<S>,
    /// Messages that wait for `flush`.
    out: Vec<u8>,
}

impl<S: AsyncWrite> Sender<S> {
    /// Sends a packet. Not to be dropped half way: the stream would end in the middle of a message.
    ///
    /// # Errors
    /// `Cut` if the stream fails or stands still for `MESSAGE_LIMIT`.
    pub async fn packet(&mut self, packet: &Packet) -> Result<(), Cut> {
        let (first, body) = frame::messages(packet.as_bytes());
        self.push(first.as_slice())?;
        self.push(body)?;
        self.flush().await
    }

    /// Sends the answer to a packet. Not to be dropped half way.
    ///
    /// # Errors
    /// As `packet`.
    pub async fn answer(&mut self, answer: Answer) -> Result<(), Cut> {
        self.push(&answer.encode())?;
        self.flush().await
    }

    /// Says what comes before a document. Not to be dropped half way.
    ///
    /// # Errors
    /// As `packet`.
    pub async fn head(&mut self, head: &Head) -> Result<(), Cut> {
        self.push(&head.encode())?;
        self.flush().await
    }

    /// Sends a piece of a document. Not to be dropped half way.
    ///
    /// # Errors
    /// As `packet`.
    pub async fn piece(&mut self, piece: &[u8]) -> Result<(), Cut> {
        self.push(piece)?;
        self.flush().await
    }

    /// Says what becomes of a descriptor.
    ///
    /// # Errors
    /// As `packet`.
    pub async fn verdict(&mut self, verdict: Verdict) -> Result<(), Cut> {
        self.push(&verdict.encode())?;
        self.flush().await
    }

    /// Encrypts `plain` as one message, to go out with the next `flush`.
    fn push(&mut self, plain: &[u8]) -> Result<(), Cut> {
        let length = plain.len() + TAG_LEN;
        self.out.extend_from_slice(&frame::prefix(length)?);
        let start = self.out.len();
        self.out.resize(start + length, 0);
        self.noise.write_message(self.nonce, plain, self.out.get_mut(start..).ok_or(Cut)?)?;
        self.nonce += 1;
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Cut> {
        let sent = async {
            self.write.write_all(&self.out).await?;
            self.write.flush().await
        };
        timeout(MESSAGE_LIMIT, sent).await??;
        self.out.clear();
        Ok(())
    }
}

/// The incoming half of a session.
///
/// A read may be dropped half way and begun again: nothing is lost.
#[derive(Debug)]
pub struct Receiver<S> {
    noise: Arc<StatelessTransportState>,
    nonce: u64,
    read: ReadHalf<S>,
    /// Prefix and ciphertext of the message that is coming in.
    framed: Vec<u8>,
    /// How much of it is here.
    have: usize,
    /// When the first byte came of the packet or answer that is coming in.
    begun: Option<time::Instant>,
    plain: Vec<u8>,
    packet: Incoming,
}

impl<S: AsyncRead> Receiver<S> {
    /// The next packet. Waits for its first byte for ever.
    ///
    /// # Errors
    /// `Cut` if the stream ends, fails or stands still, or brings anything but a packet from our peer.
    pub async fn packet(&mut self) -> Result<Packet, Cut> {
        loop {
            let expected = self.packet.expects();
            self.message(expected).await?;
            if let Some(packet) = self.packet.take(&self.plain)? {
                self.begun = None;
                return Packet::from_bytes(packet.as_slice()).ok_or(Cut);
            }
        }
    }

    /// The next answer. Waits for its first byte for ever.
    ///
    /// # Errors
    /// `Cut` if the stream ends, fails or stands still, or brings anything but an answer from our peer.
    pub async fn answer(&mut self) -> Result<Answer, Cut> {
        Ok(Answer::decode(self.next(frame::ANSWER_LEN).await?)?)
    }

    /// What becomes of the descriptor that was handed in. Waits for its first byte for ever.
    ///
    /// # Errors
    /// `Cut` if the stream ends, fails or stands still, or brings anything but a verdict from our peer.
    pub async fn verdict(&mut self) -> Result<Verdict, Cut> {
        Ok(Verdict::decode(self.next(VERDICT_LEN).await?)?)
    }

    /// What comes before a text, as it came. Waits for its first byte for ever.
    ///
    /// # Errors
    /// `Cut` if the stream ends, fails or stands still, or brings anything but a head from our peer.
    pub async fn head(&mut self) -> Result<Head, Cut> {
        Ok(Head::decode(self.next(document::HEAD_LEN).await?)?)
    }

    /// The next piece of a document, which has `length` bytes. Waits for its first byte for ever.
    ///
    /// # Errors
    /// `Cut` if the stream ends, fails or stands still, or brings anything else from our peer.
    pub async fn piece(&mut self, length: usize) -> Result<&[u8], Cut> {
        self.next(length).await
    }

    /// The next message, alone in what it says, of `length` bytes without its tag.
    async fn next(&mut self, length: usize) -> Result<&[u8], Cut> {
        self.message(length + TAG_LEN).await?;
        self.begun = None;
        Ok(&self.plain)
    }

    /// Reads the next message, which has `length` bytes with its tag, into `plain`.
    async fn message(&mut self, length: usize) -> Result<(), Cut> {
        self.fill(PREFIX_LEN).await?;
        let prefix = self.framed.first_chunk().ok_or(Cut)?;
        frame::check_prefix(*prefix, length)?;
        self.fill(PREFIX_LEN + length).await?;

        self.plain.resize(length - TAG_LEN, 0);
        let message = self.framed.get(PREFIX_LEN..PREFIX_LEN + length).ok_or(Cut)?;
        self.noise.read_message(self.nonce, message, &mut self.plain)?;
        self.nonce += 1;
        self.have = 0;
        Ok(())
    }

    /// Reads on until `want` bytes of the message are here.
    async fn fill(&mut self, want: usize) -> Result<(), Cut> {
        if self.framed.len() < want {
            self.framed.resize(want, 0);
        }
        while let Some(rest) = self.framed.get_mut(self.have..want).filter(|rest| !rest.is_empty()) {
            let got = match self.begun {
                None => self.read.read(rest).await?,
                Some(begun) => timeout_at(begun + MESSAGE_LIMIT, self.read.read(rest)).await??,
            };
            if got == 0 {
                return Err(Cut);
            }
            self.begun.get_or_insert_with(time::Instant::now);
            self.have += got;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sphinx::geometry::PACKET_LEN;
    use crate::time::Time;
    use tokio::io::{DuplexStream, duplex};

    const HELLO: Hello = Hello { now: Time::from_secs(5), document: Some([5; 32]) };
    const ANSWER: Hello = Hello { now: Time::from_secs(6), document: None };
    const FRAMED_ANSWER: usize = PREFIX_LEN + frame::ANSWER_LEN + TAG_LEN;

    fn secret(seed: u8) -> Secret<32> {
        Secret::filled(|bytes| bytes.fill(seed))
    }

    fn public(seed: u8) -> [u8; 32] {
        x25519_dalek::PublicKey::from(&x25519_dalek::StaticSecret::from([seed; 32])).to_bytes()
    }

    fn packet(mark: usize) -> Packet {
        Packet::from_bytes(&mark.to_be_bytes().repeat(PACKET_LEN / 8)).unwrap()
    }

    async fn listener(stream: DuplexStream) -> Result<(Link<DuplexStream>, [u8; 32], Hello), Cut> {
        let caller = respond(stream, &secret(2)).await?;
        let (key, opening) = (caller.key, caller.opening);
        let Opening::Packets(hello) = opening else { panic!("{opening:?}") };
        Ok((caller.admit(&ANSWER).await?, key, hello))
    }

    async fn opener(stream: DuplexStream, theirs: u8) -> Result<(Link<DuplexStream>, Hello), Cut> {
        initiate(stream, &secret(1), &public(theirs), &HELLO).await
    }

    /// Both ends of a link over a stream that holds less than a packet.
    async fn pair() -> (Link<DuplexStream>, Link<DuplexStream>) {
        let (a, b) = duplex(1000);
        let (opened, answered) = tokio::join!(opener(a, 2), listener(b));
        let ((opened, answer), (answered, key, hello)) = (opened.unwrap(), answered.unwrap());
        assert_eq!((key, hello, answer), (public(1), HELLO, ANSWER));
        (opened, answered)
    }

    #[tokio::test]
    async fn both_sides_prove_their_keys_and_say_hello() {
        pair().await;
    }

    #[tokio::test]
    async fn packets_go_one_way_while_answers_come_the_other() {
        let (mut a, mut b) = pair().await;
        let send = async {
            for mark in 0..20 {
                a.sender.packet(&packet(mark)).await.unwrap();
            }
        };
        let answers = async {
            for mark in 0..20 {
                let said = a.receiver.answer().await.unwrap();
                assert_eq!(said, if mark % 3 == 0 { Answer::Busy } else { Answer::DisposedOf });
            }
        };
        let take = async {
            for mark in 0..20 {
                assert_eq!(b.receiver.packet().await.unwrap(), packet(mark));
                b.sender.answer(if mark % 3 == 0 { Answer::Busy } else { Answer::DisposedOf }).await.unwrap();
            }
        };
        tokio::join!(send, answers, take);
    }

    #[tokio::test]
    async fn a_listener_with_another_key_is_refused() {
        let (a, b) = duplex(1000);
        let (opened, answered) = tokio::join!(opener(a, 3), listener(b));
        assert!(opened.is_err() && answered.is_err());
    }

    #[tokio::test]
    async fn a_caller_that_is_not_let_in_hears_no_hello() {
        let (a, b) = duplex(1000);
        let refuse = async { respond(b, &secret(2)).await.map(|caller| caller.key) };
        let (opened, key) = tokio::join!(opener(a, 2), refuse);
        assert_eq!((opened.err(), key), (Some(Cut), Ok(public(1))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_peer_is_cut_when_the_handshake_should_be_over() {
        let begin = time::Instant::now();
        let (a, _silent) = duplex(1000);
        assert!(respond(a, &secret(2)).await.is_err());
        assert_eq!(begin.elapsed(), HANDSHAKE_LIMIT);

        let (a, _silent) = duplex(1000);
        assert!(opener(a, 2).await.is_err());
        assert_eq!(begin.elapsed(), 2 * HANDSHAKE_LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn garbage_is_cut_at_once() {
        let begin = time::Instant::now();
        let keys = [[0, 48].as_slice(), &[7; 48]].concat();
        for garbage in [&b"GET / HTTP/1.0\r\n\r\n"[..], &[0, 48], &[0; 200], &[255; 50], &keys] {
            let (a, mut stranger) = duplex(1000);
            stranger.write_all(garbage).await.unwrap();
            // Too little for any answer but to wait, until no more can come. The others wait too, for what we would say.
            if garbage.len() == 2 {
                stranger.shutdown().await.unwrap();
            }
            assert!(respond(a, &secret(2)).await.is_err());
        }
        assert_eq!(begin.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn an_open_link_may_rest_but_a_packet_once_begun_must_end() {
        let (mut a, mut b) = pair().await;
        let rest = async |b: &mut Link<_>, time| timeout(time, b.receiver.packet()).await;
        assert!(rest(&mut b, Duration::from_secs(86_400)).await.is_err(), "waits for the first byte");

        // Header and body are messages of their own; a stop between them is a stop within the packet.
        let (first, body) = (vec![1; frame::FIRST_LEN], vec![7; PACKET_LEN + 1 - frame::FIRST_LEN]);
        for _ in 0..2 {
            a.sender.push(&first).unwrap();
            tokio::join!(async { a.sender.flush().await.unwrap() }, async {
                assert!(rest(&mut b, MESSAGE_LIMIT / 2).await.is_err());
            });
            a.sender.push(&body).unwrap();
            let (_, packet) = tokio::join!(a.sender.flush(), b.receiver.packet());
            assert!(packet.is_ok(), "a dropped read loses nothing");
        }

        a.sender.push(&first).unwrap();
        let begin = time::Instant::now();
        let (_, packet) = tokio::join!(a.sender.flush(), b.receiver.packet());
        assert_eq!(packet, Err(Cut));
        assert_eq!(begin.elapsed(), MESSAGE_LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_nothing_is_cut() {
        let (mut a, _b) = pair().await;
        let begin = time::Instant::now();
        assert_eq!(a.sender.packet(&packet(1)).await, Err(Cut));
        assert_eq!(begin.elapsed(), MESSAGE_LIMIT);
    }

    #[tokio::test]
    async fn a_message_changed_replayed_out_of_order_or_of_another_kind_is_cut() {
        type Change = fn(&mut Vec<u8>);
        let changes: [(Change, usize); 5] = [
            (|out| out[5] ^= 1, 0),
            (|out| *out = out.repeat(2), 2),
            (|out| out[..2].fill(0), 0),
            (|out| out.rotate_left(FRAMED_ANSWER), 0),
            (|out| out.truncate(FRAMED_ANSWER + 5), 1),
        ];
        for (change, good) in changes {
            let (mut a, mut b) = pair().await;
            a.sender.push(&Answer::DisposedOf.encode()).unwrap();
            a.sender.push(&Answer::Busy.encode()).unwrap();
            assert_eq!(a.sender.out.len(), 2 * FRAMED_ANSWER);
            change(&mut a.sender.out);
            a.sender.flush().await.unwrap();
            drop(a);
            for _ in 0..good {
                b.receiver.answer().await.unwrap();
            }
            assert_eq!(b.receiver.answer().await, Err(Cut), "after {good} good messages");
        }
        let (mut a, mut b) = pair().await;
        a.sender.answer(Answer::DisposedOf).await.unwrap();
        assert_eq!(b.receiver.packet().await, Err(Cut), "an answer is no packet");
    }
}
