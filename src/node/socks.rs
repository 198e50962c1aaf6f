//! The way through Tor: SOCKS 5, with the name handed over and never looked up here, and a circuit of its own for each
//! peer.
//!
//! The handshake is tokio-socks's. It has no time limits, calls each of Tor's own reply codes `UnknownAuthMethod`, and
//! goes on without a user name if the proxy would rather have none; so what the proxy says is listened to on the way.

use super::changes::Changes;
use crate::config::Socks;
use crate::directory::NodeAddress;
use crate::id::NodeId;
use crate::sys::clock;
use crate::sys::log::{Event, Program, log};
use crate::sys::tor_failure::TorFailure;
use data_encoding::HEXLOWER;
use rand_core::Rng;
use std::io;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_socks::Error;
use tokio_socks::tcp::Socks5Stream;

/// How long Tor may take to take a connection and to agree on a user name: it is on this machine, and busy at worst.
const GREETING_LIMIT: Duration = Duration::from_secs(20);

/// How long Tor may take to find a way: a service that went away was seen to give no answer for 70 s.
const REQUEST_LIMIT: Duration = Duration::from_secs(90);

/// What the proxy says up to the code of its reply: version and method, version and status, version and code.
const HEARD: usize = 6;

/// As far as the status, which ends the greeting.
const GREETING: usize = 4;

/// A stream to another node, whatever carries it.
pub type Stream = Box<dyn Duplex>;

/// What can be read and written.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin + std::fmt::Debug {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + std::fmt::Debug> Duplex for T {}

/// The Tor that this machine goes through.
#[derive(Debug)]
pub struct Tor {
    socks: Mutex<Socks>,
    /// Drawn at each start: with it and the peer's id as user name, Tor gives nobody else's streams our circuits.
    password: String,
    changes: Mutex<Changes>,
    /// Whether it took our last request; none before there was one.
    up: Mutex<Option<bool>>,
}

impl Tor {
    /// The one whose SOCKS port is at `socks`.
    #[must_use]
    pub fn new(socks: Socks) -> Self {
        let mut password = [0; 16];
        clock::rng().fill_bytes(&mut password);
        let socks = Mutex::new(socks);
        Self {
            socks,
            password: HEXLOWER.encode(&password),
            changes: Mutex::new(Changes::of_the_unknown()),
            up: Mutex::default(),
        }
    }

    /// From now on its SOCKS port is at `socks`; streams that are open stay.
    pub fn move_to(&self, socks: Socks) {
        *hold(&self.socks) = socks;
    }

    /// Whether it takes requests; none if it wasn't asked yet.
    #[must_use]
    pub fn is_up(&self) -> Option<bool> {
        *hold(&self.up)
    }

    /// A stream to `address`, over circuits that only streams to `peer` use.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn connect(&self, address: &NodeAddress, peer: &NodeId) -> Result<Stream, TorFailure> {
        let socks = hold(&self.socks).clone();
        match socks {
            Socks::Unix(path) => self.through(UnixStream::connect(path), address, peer).await,
            Socks::Tcp(proxy) => self.through(connect_tcp(proxy), address, peer).await,
        }
    }

    /// Tells the log, when it changes, whether Tor itself is up or down, by what a `connect` came to.
    pub(super) fn note(&self, failure: Option<TorFailure>) {
        let failure = failure.filter(|failure| failure.is_tors_own());
        *hold(&self.up) = Some(failure.is_none());
        let mut changes = hold(&self.changes);
        match failure {
            None if changes.up() => log(Program::Node, Event::TorUp),
            Some(why) if changes.down() => log(Program::Node, Event::TorDown { why }),
            _ => {}
        }
    }

    async fn through<S: Duplex + 'static>(
        &self,
        proxy: impl Future<Output = io::Result<S>>,
        address: &NodeAddress,
        peer: &NodeId,
    ) -> Result<Stream, TorFailure> {
        let proxy = timeout(GREETING_LIMIT, proxy).await.ok().and_then(Result::ok).ok_or(TorFailure::Unreachable)?;
        Ok(Box::new(request(proxy, address, &peer.to_string(), &self.password).await?))
    }
}

async fn connect_tcp(proxy: std::net::SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(proxy).await?;
    // Packets and acknowledgements are whole when they are flushed; waiting for more would only cost time.
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Asks the proxy for a stream to `address`, as `user`.
async fn request<S: Duplex>(mut proxy: S, address: &NodeAddress, user: &str, password: &str) -> Result<S, TorFailure> {
    let heard = Mutex::new(Vec::with_capacity(HEARD));
    let listener = Listener { proxy: &mut proxy, heard: &heard };
    let target = (address.host(), address.port());
    let shake = Socks5Stream::connect_with_password_and_socket(listener, target, user, password);
    match in_time(shake, &heard).await? {
        Ok(()) => Ok(proxy),
        Err(error) => Err(failure(&error, &so_far(&heard))),
    }
}

/// The end of the handshake, if the proxy is no slower than it may be.
async fn in_time<T>(
    shake: impl Future<Output = Result<T, Error>>,
    heard: &Mutex<Vec<u8>>,
) -> Result<Result<(), Error>, TorFailure> {
    let mut shake = std::pin::pin!(shake);
    let shaken = match timeout(GREETING_LIMIT, &mut shake).await {
        Ok(shaken) => shaken,
        // It has taken the user name: from here on it is looking for a way.
        Err(_) if so_far(heard).len() >= GREETING => {
            timeout(REQUEST_LIMIT, shake).await.map_err(|_| TorFailure::Late)?
        }
        Err(_) => return Err(TorFailure::Silent),
    };
    Ok(shaken.map(drop))
}

fn so_far(heard: &Mutex<Vec<u8>>) -> Vec<u8> {
    hold(heard).clone()
}

/// Nothing here panics while it holds a lock, so what is behind one is whole.
fn hold<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What went wrong, by the crate's error and what the proxy had said.
fn failure(error: &Error, heard: &[u8]) -> TorFailure {
    match (error, heard) {
        (Error::NoAcceptableAuthMethods | Error::PasswordAuthFailure(_), _) | (_, [5, 0, ..]) => {
            TorFailure::NoIsolation
        }
        (Error::InvalidResponseVersion | Error::InvalidReservedByte, _) => TorFailure::NotSocks,
        (_, [_, _, _, _, 5, code]) if *code != 0 => TorFailure::of_reply(*code),
        (Error::Io(_), _) => TorFailure::Closed,
        _ => TorFailure::NotSocks,
    }
}

/// Passes everything on, and keeps the first bytes of what is read.
#[derive(Debug)]
struct Listener<'a, S> {
    proxy: &'a mut S,
    heard: &'a Mutex<Vec<u8>>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Listener<'_, S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut *self.proxy).poll_read(cx, buf))?;
        let mut heard = hold(self.heard);
        let room = HEARD - heard.len();
        heard.extend(buf.filled().iter().skip(before).take(room));
        // Without a user name all our streams would share circuits: not even the request is to be made.
        if heard.starts_with(&[5, 0]) {
            Poll::Ready(Err(io::ErrorKind::InvalidData.into()))
        } else {
            Poll::Ready(Ok(()))
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Listener<'_, S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.proxy).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.proxy).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.proxy).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::{Instant, sleep};

    const ONION: &str = "2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion";
    const METHOD: &[u8] = &[5, 2];
    const TAKEN: &[u8] = &[1, 0];
    const REPLY: &[u8] = &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0];

    /// What a proxy does when it has said all it says.
    #[derive(Clone, Copy, PartialEq)]
    enum Then {
        StandStill,
        Close,
    }

    /// A proxy that takes what must come, and says these things, in the order of the handshake; what it was asked for
    /// comes back, with its stream.
    async fn proxy(mut stream: DuplexStream, says: &[&[u8]], pause: Duration) -> (Vec<u8>, DuplexStream) {
        let mut asked = Vec::new();
        for (step, said) in says.iter().enumerate() {
            let mut start = [0; 2];
            if stream.read_exact(&mut start).await.is_err() {
                break;
            }
            asked.extend(start);
            let mut rest = match step {
                0 => vec![0; usize::from(start[1])],
                1 => vec![0; usize::from(start[1]) + 1 + 8],
                _ => vec![0; 3 + ONION.len() + 2],
            };
            stream.read_exact(&mut rest).await.unwrap();
            asked.extend(rest);
            sleep(pause).await;
            // A byte at a time: what comes in pieces is no less an answer.
            for byte in *said {
                let _ = stream.write_all(&[*byte]).await;
            }
        }
        (asked, stream)
    }

    fn address() -> NodeAddress {
        NodeAddress::parse(&format!("{ONION}:9999")).unwrap()
    }

    /// How the handshake ends with such a proxy, and when; with it what the proxy was asked for.
    async fn ends(
        says: &[&[u8]],
        pause: Duration,
        then: Then,
    ) -> (Result<DuplexStream, TorFailure>, Duration, Vec<u8>) {
        let begin = Instant::now();
        let (ours, theirs) = duplex(1000);
        let mut kept = None;
        let proxy = async {
            let (asked, stream) = proxy(theirs, says, pause).await;
            if then == Then::StandStill {
                kept = Some(stream);
            }
            asked
        };
        let address = address();
        let (ended, asked) = tokio::join!(request(ours, &address, "peer", "password"), proxy);
        (ended, begin.elapsed(), asked)
    }

    #[tokio::test(start_paused = true)]
    async fn the_name_goes_to_the_proxy_with_user_and_password() {
        let (stream, _, asked) = ends(&[METHOD, TAKEN, REPLY], Duration::ZERO, Then::StandStill).await;
        let user = [&[1, 4][..], b"peer", &[8], b"password"].concat();
        let want = [&[5, 2, 0, 2], &user[..], &[5, 1, 0, 3, 62], ONION.as_bytes(), &9999_u16.to_be_bytes()].concat();
        assert_eq!(asked, want);
        assert!(stream.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_behind_the_reply_belongs_to_the_stream() {
        let long = [&[5, 0, 0, 3, 255][..], &[b'a'; 255], &[0, 80]].concat();
        let ipv6 = [&[5, 0, 0, 4][..], &[0; 18]].concat();
        for reply in [REPLY, &long, &ipv6] {
            let said = [reply, b"rest"].concat();
            let (stream, ..) = ends(&[METHOD, TAKEN, &said], Duration::ZERO, Then::Close).await;
            let mut rest = Vec::new();
            stream.unwrap().read_to_end(&mut rest).await.unwrap();
            assert_eq!(rest, b"rest");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_proxy_that_breaks_the_protocol_is_told_from_one_that_refuses() {
        let not_utf8 = [&[5, 0, 0, 3, 2][..], &[0xff; 2], &[0, 80]].concat();
        for (says, want) in [
            (&[&[4, 2][..]][..], TorFailure::NotSocks),
            (&[b"HTTP/1.1 400 Bad Request\r\n\r\n"], TorFailure::NotSocks),
            (&[b"Tor is not an HTTP Proxy"], TorFailure::NotSocks),
            (&[&[5, 1]], TorFailure::NotSocks),
            (&[&[5, 7]], TorFailure::NotSocks),
            (&[&[5, 0xff]], TorFailure::NoIsolation),
            (&[METHOD, &[1, 1]], TorFailure::NoIsolation),
            (&[METHOD, &[1, 0xff]], TorFailure::NoIsolation),
            (&[METHOD, &[5, 0]], TorFailure::NotSocks),
            (&[METHOD, TAKEN, &[4, 0, 0, 1]], TorFailure::NotSocks),
            (&[METHOD, TAKEN, &[5, 0, 1, 1]], TorFailure::NotSocks),
            (&[METHOD, TAKEN, &[5, 0, 0, 9]], TorFailure::NotSocks),
            (&[METHOD, TAKEN, &not_utf8], TorFailure::NotSocks),
        ] {
            for then in [Then::Close, Then::StandStill] {
                let (ended, took, _) = ends(says, Duration::ZERO, then).await;
                assert_eq!(ended.err(), Some(want), "{says:?}");
                assert_eq!(took, Duration::ZERO, "{says:?}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_proxy_that_wants_no_user_name_gets_no_request() {
        let (ended, _, asked) = ends(&[&[5, 0], REPLY], Duration::ZERO, Then::StandStill).await;
        assert_eq!((ended.err(), asked), (Some(TorFailure::NoIsolation), vec![5, 2, 0, 2]));
    }

    #[tokio::test(start_paused = true)]
    async fn every_reply_code_has_its_own_words() {
        use TorFailure::*;
        let rfc = [General, NotAllowed, NoNetwork, NoHost, Refused, Expired, NotTor, NotTor];
        let tor = [
            NoDescriptor,
            BadDescriptor,
            NoIntroduction,
            NoRendezvous,
            NoClientKey,
            WrongClientKey,
            BadAddress,
            IntroductionLate,
        ];
        let known = (1..).zip(rfc).chain((0xf0..).zip(tor)).chain([(9, Unknown), (0xef, Unknown), (0xff, Unknown)]);
        for (code, want) in known {
            for reply in [&[5, code, 0, 1, 0, 0, 0, 0, 0, 0][..], &[5, code]] {
                let (ended, ..) = ends(&[METHOD, TAKEN, reply], Duration::ZERO, Then::Close).await;
                assert_eq!(ended.err(), Some(want), "{code:#x}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_waited_for_as_long_as_the_step_may_take() {
        let late = GREETING_LIMIT + REQUEST_LIMIT;
        for (says, want, when) in [
            (&[][..], TorFailure::Silent, GREETING_LIMIT),
            (&[&[5][..]], TorFailure::Silent, GREETING_LIMIT),
            (&[METHOD], TorFailure::Silent, GREETING_LIMIT),
            (&[METHOD, TAKEN], TorFailure::Late, late),
            (&[METHOD, TAKEN, &REPLY[..9]], TorFailure::Late, late),
        ] {
            let (ended, took, _) = ends(says, Duration::ZERO, Then::StandStill).await;
            assert_eq!((ended.err(), took), (Some(want), when), "{says:?}");
            let (ended, took, _) = ends(says, Duration::ZERO, Then::Close).await;
            assert_eq!((ended.err(), took), (Some(TorFailure::Closed), Duration::ZERO), "{says:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_answer_is_an_answer() {
        let (ended, took, _) = ends(&[METHOD, TAKEN, REPLY], Duration::from_secs(9), Then::StandStill).await;
        assert!(ended.is_ok() && took == Duration::from_secs(27));
        let (ended, ..) = ends(&[METHOD, TAKEN, REPLY], Duration::from_secs(11), Then::StandStill).await;
        assert_eq!(ended.err(), Some(TorFailure::Silent));
    }

    #[tokio::test]
    async fn every_start_has_circuits_of_its_own_and_what_is_not_there_is_unreachable() {
        let at = |path: &str| Tor::new(Socks::Unix(path.into()));
        assert_ne!(at("/a").password, at("/a").password);
        let tor = at("/nowhere");
        let connect = async || tor.connect(&address(), &NodeId([1; 32])).await.err();
        assert_eq!(connect().await, Some(TorFailure::Unreachable));
        let (listener, port) = {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let port = listener.local_addr().unwrap();
            (listener, port)
        };
        drop(listener);
        tor.move_to(Socks::Tcp(port));
        assert_eq!(connect().await, Some(TorFailure::Unreachable));
    }
}
