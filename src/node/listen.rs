//! Links that others open: who may, how many, and each packet's way to the driver and its acknowledgement's way back.
//! Whoever asks for a text is handed over to [`serve`](super::serve), whoever hands a descriptor in to the
//! [authority](super::authority) of this node, if it is one's.

use super::authority::{Counter, Window};
use super::crowd::{Crowd, Rules};
use super::driver::Event;
use super::inherited::Inherited;
use super::local::Local;
use super::peers::{Known, Us, tell_clock};
use super::serve::{Askers, Colleagues};
use super::session::{self, Cut, Link, Receiver, Sender};
use super::socks::Stream;
use super::trouble::Trouble;
use crate::config::Listen;
use crate::engine::WINDOW;
use crate::id::NodeId;
use crate::link::document::Opening;
use crate::link::frame::Answer;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;

/// Callers whose handshake is under way. They all come from Tor, so no address tells an honest one from a flood; and
/// whoever has the directory document can begin a handshake. What an honest one has is that it is done soon: two round
/// trips, seconds over Tor. Each costs a few kilobytes and a file descriptor, of which a process usually has 1,024.
const STRANGERS: Rules = Rules { room: 512, of_one: 512, patience: Duration::from_secs(8) };

/// Most links one peer has to us. One more, and its oldest goes: after a crash or a change of its address the peer is
/// back before we notice that the old link is dead.
const LINKS_PER_PEER: usize = 2;

/// The pause after `accept` failed, mostly for want of file descriptors: others' ends free some.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// The mode of a socket where links come in: whoever calls proves by a key who it is, as at a port. Who may come as far
/// as that, the directory says that it lies in, or a unit of systemd.
const DOOR_MODE: u32 = 0o666;

/// Where links come in.
#[derive(Debug)]
pub enum Door {
    /// A port.
    Tcp(TcpListener),
    /// A socket of this machine, which Tor connects to: with it a node needs no network interface.
    Unix(Local),
}

impl Door {
    /// What systemd has opened at `listen`, else one that is opened now.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) async fn open(listen: &Listen, inherited: &mut Inherited) -> Result<Self, Trouble> {
        let port = inherited.links(listen)?;
        match listen {
            Listen::Unix(path) => {
                let bound = match inherited.local(path) {
                    Some(socket) => Local::adopt(socket, path),
                    None => Local::bind(path, DOOR_MODE),
                };
                bound.map(Self::Unix).map_err(|error| Trouble::socket(path, "node.listen", &error))
            }
            Listen::Inet(address) => {
                let bound = match port {
                    Some(port) => port.set_nonblocking(true).and_then(|()| TcpListener::from_std(port)),
                    None => TcpListener::bind(address).await,
                };
                bound.map(Self::Tcp).map_err(|error| Trouble::listen(*address, &error))
            }
        }
    }

    /// The next connection, whoever's it is.
    async fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(port) => {
                let (stream, _) = port.accept().await?;
                // Packets and acknowledgements are whole when they are flushed; waiting for more would only cost time.
                // Who has gone already is noticed when it says nothing.
                let _ = stream.set_nodelay(true);
                Ok(Box::new(stream))
            }
            Self::Unix(socket) => Ok(Box::new(socket.accept_anybody().await?)),
        }
    }
}

/// Takes links from the nodes of the directory document until it is dropped, which cuts them all.
pub async fn serve(door: Door, mut known: Known, events: mpsc::Sender<Event>, authority: Option<Window>) {
    let mut strangers = Crowd::new(STRANGERS);
    let mut links = Links::default();
    let (mut askers, mut colleagues, mut counter) = (Askers::default(), Colleagues::default(), Counter::default());
    loop {
        tokio::select! {
            // Whoever is done is seen to before more are let in, and by the document of this moment.
            biased;
            Ok(()) = known.changed() => links.cut_all_but(&known.borrow_and_update()),
            Some(ended) = strangers.next() => match ended {
                Ok(Caller::Peer(peer, key, link)) if known.borrow().peers.holder(&key) == Some(peer) => {
                    links.begin(peer, key, take(link, peer, events.clone()));
                }
                Ok(Caller::Asker(to)) => askers.answer(to, Arc::clone(&known.borrow().served)),
                Ok(Caller::Colleague(key, to)) if known.borrow().authorities.contains(&key) => {
                    let shown = authority.as_ref().and_then(|authority| authority.shown.borrow().clone());
                    if let Some(shown) = shown {
                        colleagues.answer(key, to, shown);
                    }
                }
                Ok(Caller::Giver(key, link)) => {
                    let is_member = known.borrow().peers.holder(&key).is_some();
                    if let Some(authority) = &authority {
                        counter.hear(link, key, is_member, &authority.offers);
                    }
                }
                Ok(Caller::Peer(..) | Caller::Colleague(..)) | Err(Cut) => {}
            },
            Some(_) = links.tasks.join_next() => {}
            Some(()) = askers.next() => {}
            Some(()) = colleagues.next() => {}
            Some(()) = counter.next() => {}
            accepted = door.accept() => match accepted {
                Ok(stream) => {
                    let us = Arc::clone(&known.borrow());
                    strangers.admit(0, |_| admit(stream, us, events.clone()));
                }
                Err(_) => sleep(ACCEPT_PAUSE).await,
            },
        }
    }
}

/// The links under way.
#[derive(Default)]
struct Links {
    tasks: JoinSet<Result<(), Cut>>,
    /// With the link key that each was let in by; oldest first.
    by_peer: BTreeMap<NodeId, VecDeque<([u8; 32], AbortHandle)>>,
}

impl Links {
    fn begin(&mut self, peer: NodeId, key: [u8; 32], task: impl Future<Output = Result<(), Cut>> + Send + 'static) {
        let of_peer = self.by_peer.entry(peer).or_default();
        of_peer.retain(|(_, link)| !link.is_finished());
        if of_peer.len() >= LINKS_PER_PEER
            && let Some((_, oldest)) = of_peer.pop_front()
        {
            oldest.abort();
        }
        of_peer.push_back((key, self.tasks.spawn(task)));
    }

    /// Cuts the links of nodes that aren't known any more, or not by the key that the link was opened with: whoever got
    /// hold of an old key would keep its link for as long as it likes.
    fn cut_all_but(&mut self, us: &Us) {
        self.by_peer.retain(|peer, links| {
            links.retain(|(key, link)| {
                let stays = us.peers.holder(key) == Some(*peer);
                if !stays {
                    link.abort();
                }
                stays
            });
            !links.is_empty()
        });
    }
}

/// Who has been let in.
enum Caller {
    /// A node that brings packets, and the link key that it has proved.
    Peer(NodeId, [u8; 32], Link<Stream>),
    /// Anybody who asks for the directory document.
    Asker(Sender<Stream>),
    /// Who asks for what the authority shows, and the link key that it has proved.
    Colleague([u8; 32], Sender<Stream>),
    /// Who hands a descriptor in, and the link key that it has proved.
    Giver([u8; 32], Link<Stream>),
}

/// Lets a caller in that asks for a text or brings one; one with packets if its link key is in the document and its
/// clock agrees with ours.
async fn admit(stream: Stream, us: Arc<Us>, events: mpsc::Sender<Event>) -> Result<Caller, Cut> {
    let caller = session::respond(stream, &us.link_secret).await?;
    let hello = match caller.opening {
        // Whoever it is: a key that we know gets no other answer than one that we don't.
        Opening::Document => return Ok(Caller::Asker(caller.listens())),
        Opening::Agreement => return Ok(Caller::Colleague(caller.key, caller.listens())),
        Opening::Descriptor => return Ok(Caller::Giver(caller.key, caller.brings())),
        Opening::Packets(hello) => hello,
    };
    let peer = us.peers.holder(&caller.key).ok_or(Cut)?;
    tell_clock(peer, &hello, &events);
    if !us.peers.get(&peer).is_some_and(|known| us.agrees(known, &hello)) {
        return Err(Cut);
    }
    let key = caller.key;
    Ok(Caller::Peer(peer, key, caller.admit(&us.hello()).await?))
}

/// Takes packets and acknowledges them, in order, until the link is cut.
async fn take<S: AsyncRead + AsyncWrite>(
    mut link: Link<S>,
    from: NodeId,
    events: mpsc::Sender<Event>,
) -> Result<(), Cut> {
    let (taken, answers) = mpsc::channel(WINDOW);
    tokio::try_join!(take_packets(&mut link.receiver, from, events, taken), say_answers(&mut link.sender, answers))
        .map(|_| ())
}

/// Hands packets to the driver. With WINDOW of them unacknowledged, or a driver that has enough to do, it doesn't read:
/// the peer waits.
async fn take_packets<S: AsyncRead>(
    link: &mut Receiver<S>,
    from: NodeId,
    events: mpsc::Sender<Event>,
    taken: mpsc::Sender<oneshot::Receiver<Answer>>,
) -> Result<(), Cut> {
    loop {
        let place = taken.reserve().await.map_err(|_| Cut)?;
        let packet = link.packet().await?;
        let (answer, answered) = oneshot::channel();
        events.send(Event::Packet { from, packet, answer }).await.map_err(|_| Cut)?;
        place.send(answered);
    }
}

/// Says the engine's answer to each packet, in order, when it is there.
async fn say_answers<S: AsyncWrite>(
    link: &mut Sender<S>,
    mut taken: mpsc::Receiver<oneshot::Receiver<Answer>>,
) -> Result<(), Cut> {
    while let Some(answered) = taken.recv().await {
        // Dropped unsaid: the node stops, and the packet is the peer's still.
        let answer = answered.await.map_err(|_| Cut)?;
        link.answer(answer).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::exit_code::ExitCode;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;

    #[tokio::test]
    async fn a_socket_is_open_to_whoever_gets_as_far_and_goes_with_the_node() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("links.sock");
        let listen = Listen::Unix(path.clone());
        let door = Door::open(&listen, &mut Inherited::default()).await.unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o666);
        let (ours, theirs) = tokio::join!(door.accept(), UnixStream::connect(&path));
        theirs.unwrap().write_all(b"hello").await.unwrap();
        let mut said = Vec::new();
        ours.unwrap().read_to_end(&mut said).await.unwrap();
        assert_eq!(said, b"hello");
        let second = Door::open(&listen, &mut Inherited::default()).await.unwrap_err();
        assert_eq!((second.exit, second.hint.unwrap().contains("node.listen")), (ExitCode::Exists, true));
        drop(door);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_socket_that_systemd_has_opened_is_taken_and_left_to_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("links.sock");
        let mut inherited = Inherited::of_local(&path, std::os::unix::net::UnixListener::bind(&path).unwrap());
        let door = Door::open(&Listen::Unix(path.clone()), &mut inherited).await.unwrap();
        let (ours, theirs) = tokio::join!(door.accept(), UnixStream::connect(&path));
        assert!(ours.is_ok() && theirs.is_ok());
        drop(door);
        assert!(path.exists(), "it is systemd's");
    }
}
