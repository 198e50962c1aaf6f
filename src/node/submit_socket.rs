//! `submit.sock`: one request, one reply. The reply says "accepted" when the mail is on disk, and not before.

use super::crowd::{Crowd, Rules, Standing};
use super::driver::Event;
use super::local::{Local, NoFrame, read_length, read_until};
use crate::submit::{Outcome, Reason, Reply, Request};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy, sink};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::timeout;

/// Requests at once; half of them of one user: Postfix has up to 100 pipes. An honest one has its mail ready when it
/// calls.
const REQUESTS: Rules = Rules { room: 256, of_one: 128, patience: Duration::from_secs(2) };

/// What is read of every request. More of it comes into memory only while the request is one of a few: with the others
/// that is 16 MiB, and four of the largest mails.
const SMALL: usize = 64 << 10;

/// Requests that are more than `SMALL`, at once.
const BIG: usize = 4;

/// Those of one user.
const BIG_OF_ONE: usize = 2;

/// How long the rest of such a request may take to come in, so that those behind it get their turn.
const BIG_LIMIT: Duration = Duration::from_secs(10);

/// How long a request may take to come in, and its reply to go out. Injectors give up after as long.
const LIMIT: Duration = Duration::from_secs(30);

/// Takes requests until `stop` is dropped; then takes no more, and returns when those under way are answered.
pub async fn serve(socket: Local, max_mail: usize, events: mpsc::Sender<Event>, mut stop: oneshot::Receiver<()>) {
    let mut room = Room::new(max_mail);
    let mut requests = Crowd::new(REQUESTS);
    loop {
        tokio::select! {
            Some(()) = requests.next() => {}
            (stream, user) = socket.accept() => {
                let (room, events) = (room.of(user), events.clone());
                requests.admit(user, |standing| answer(stream, room, events, standing));
            }
            _ = &mut stop => break,
        }
    }
    drop(socket);
    while requests.next().await.is_some() {}
}

/// Where large requests are read.
struct Room {
    max_mail: usize,
    all: Arc<Semaphore>,
    /// As many as there are users who may call.
    by_user: BTreeMap<u32, Arc<Semaphore>>,
}

/// The same for one user.
struct UsersRoom {
    max_mail: usize,
    theirs: Arc<Semaphore>,
    all: Arc<Semaphore>,
}

impl Room {
    fn new(max_mail: usize) -> Self {
        Self { max_mail, all: Arc::new(Semaphore::new(BIG)), by_user: BTreeMap::new() }
    }

    fn of(&mut self, user: u32) -> UsersRoom {
        let theirs = self.by_user.entry(user).or_insert_with(|| Arc::new(Semaphore::new(BIG_OF_ONE)));
        UsersRoom { max_mail: self.max_mail, theirs: Arc::clone(theirs), all: Arc::clone(&self.all) }
    }
}

impl UsersRoom {
    /// Waits for a place; it is given back when what comes back is dropped. None is never had: nobody closes a room.
    async fn place(&self) -> Option<[OwnedSemaphorePermit; 2]> {
        // Its user's first: who waits for that takes no place from others.
        let theirs = Arc::clone(&self.theirs).acquire_owned().await.ok()?;
        Some([theirs, Arc::clone(&self.all).acquire_owned().await.ok()?])
    }
}

/// Reads a request and answers it. Who is late, or goes away, is let go; what is not whole is never handed on.
async fn answer(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    room: UsersRoom,
    events: mpsc::Sender<Event>,
    standing: Standing,
) {
    let mut place = None;
    let reply = match timeout(LIMIT, read(&mut stream, &room, &mut place, &standing)).await {
        Ok(Some(Ok(request))) => {
            standing.earn();
            hand_on(request, &events).await
        }
        Ok(Some(Err(reason))) => refusal(reason),
        Ok(None) | Err(_) => return,
    };
    drop(place);
    if let Ok(reply) = reply.encode() {
        // Who doesn't read it asks again, and is known by its queue id.
        let _ = timeout(LIMIT, stream.write_all(&reply)).await;
    }
}

/// A whole request, or why it isn't taken; none if it ends before its end, or stands still. A large one has a `place`,
/// which is its own until the engine has it.
async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    room: &UsersRoom,
    place: &mut Option<[OwnedSemaphorePermit; 2]>,
    standing: &Standing,
) -> Option<Result<Request, Reason>> {
    match read_length(stream, |prefix| Request::body_len(prefix, room.max_mail)).await {
        Ok(length) => {
            let mut body = Vec::new();
            read_until(stream, &mut body, length.min(SMALL)).await.ok()?;
            if length > SMALL {
                standing.wait();
                *place = room.place().await;
                timeout(BIG_LIMIT, read_until(stream, &mut body, length)).await.ok()?.ok()?;
            }
            // The frame's bound is enough here: the engine says which mail is too big.
            Some(Request::decode(&body, body.len()).map_err(|_| Reason::NotUnderstood))
        }
        Err(NoFrame::TooLong(length)) => {
            standing.wait();
            *place = room.place().await;
            timeout(BIG_LIMIT, read_start(stream, length, room.max_mail)).await.ok()?
        }
        Err(NoFrame::Ended) => None,
    }
}

/// A request with a mail that is too big, as far as the engine needs it to say so, and to tell its sender.
async fn read_start(
    stream: &mut (impl AsyncRead + Unpin),
    length: u32,
    max_mail: usize,
) -> Option<Result<Request, Reason>> {
    let mut start = Vec::new();
    let kept = Request::start_len(max_mail);
    read_until(stream, &mut start, kept).await.ok()?;
    let rest = u64::from(length).saturating_sub(u64::try_from(kept).ok()?);
    // Read and thrown away, for closing a socket with something unread in it may take the reply along.
    let thrown = copy(&mut stream.take(rest), &mut sink()).await;
    let is_whole = thrown.is_ok_and(|thrown| thrown == rest);
    is_whole.then(|| Request::decode_start(&start, max_mail).map_err(|_| Reason::NotUnderstood))
}

async fn hand_on(request: Request, events: &mpsc::Sender<Event>) -> Reply {
    let (reply, answered) = oneshot::channel();
    if events.send(Event::Submit { request, reply }).await.is_err() {
        return refusal(Reason::ShuttingDown);
    }
    // Dropped unanswered: the node stops, and nothing of it was committed.
    answered.await.unwrap_or_else(|_| refusal(Reason::ShuttingDown))
}

fn refusal(reason: Reason) -> Reply {
    Reply { outcomes: vec![Outcome::refused(reason)] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{MessageId, QueueId};
    use crate::mail::address::Address;
    use crate::node::local::read_frame;
    use crate::submit::Source;
    use crate::wire::PREFIX_LEN;
    use std::path::PathBuf;
    use tokio::net::UnixStream;
    use tokio::time::Instant;

    const MAX_MAIL: usize = 1000;

    fn request(mail: usize) -> Request {
        Request {
            source: Source::Person,
            dedup: None,
            sender: None,
            wish: crate::submit::Wish::default(),
            recipients: vec![Address::parse("alice@example.com.fog").unwrap()],
            mail: vec![b'x'; mail],
        }
    }

    struct Node {
        path: PathBuf,
        events: mpsc::Receiver<Event>,
        stop: oneshot::Sender<()>,
        task: tokio::task::JoinHandle<()>,
        _dir: tempfile::TempDir,
    }

    fn node() -> Node {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("submit.sock");
        let socket = Local::bind(&path, 0o660).unwrap();
        let ((events, happened), (stop, stopped)) = (mpsc::channel(4), oneshot::channel());
        let task = tokio::spawn(serve(socket, MAX_MAIL, events, stopped));
        Node { path, events: happened, stop, task, _dir: dir }
    }

    async fn ask(path: &PathBuf, bytes: &[u8]) -> Option<Reply> {
        let mut stream = UnixStream::connect(path).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let body = read_frame(&mut stream, Reply::body_len).await.ok()?;
        Some(Reply::decode(&body).unwrap())
    }

    fn accepted() -> Reply {
        Reply { outcomes: vec![Outcome::Accepted(MessageId([7; 16]), QueueId([7; 6]))] }
    }

    #[tokio::test]
    async fn a_request_is_answered_with_what_the_engine_says() {
        let mut node = node();
        let bytes = request(MAX_MAIL).encode().unwrap();
        let engine = async {
            let Some(Event::Submit { request: got, reply }) = node.events.recv().await else { panic!("no mail") };
            assert_eq!(got, request(MAX_MAIL));
            reply.send(accepted()).unwrap();
        };
        assert_eq!(tokio::join!(ask(&node.path, &bytes), engine).0, Some(accepted()));
    }

    #[tokio::test]
    async fn what_is_too_big_is_the_engines_to_refuse_and_no_more_of_it_is_kept_than_says_so() {
        let mut node = node();
        let bytes = request(MAX_MAIL + (1 << 20)).encode().unwrap();
        let engine = async {
            let Some(Event::Submit { request: got, reply }) = node.events.recv().await else { panic!("no mail") };
            assert_eq!(got, request(MAX_MAIL + 1));
            reply.send(refusal(Reason::MailTooBig)).unwrap();
        };
        assert_eq!(tokio::join!(ask(&node.path, &bytes), engine).0, Some(refusal(Reason::MailTooBig)));
        // Cut short it is nobody's.
        let mut stream = UnixStream::connect(&node.path).await.unwrap();
        stream.write_all(&bytes[..bytes.len() - 1]).await.unwrap();
        stream.shutdown().await.unwrap();
        assert_eq!(stream.read(&mut [0; 9]).await.unwrap(), 0);
        assert!(node.events.try_recv().is_err());
    }

    #[tokio::test]
    async fn what_is_not_understood_is_refused_with_words() {
        let mut node = node();
        let mut other_version = request(1).encode().unwrap();
        other_version[PREFIX_LEN] = 99;
        let long = Request::start_len(MAX_MAIL) + 500;
        for (bytes, reason) in [
            ([&u32::try_from(long).unwrap().to_be_bytes()[..], &vec![9; long]].concat(), Reason::NotUnderstood),
            (other_version, Reason::NotUnderstood),
            (vec![0, 0, 0, 0], Reason::NotUnderstood),
        ] {
            assert_eq!(ask(&node.path, &bytes).await, Some(refusal(reason)));
        }
        assert!(node.events.try_recv().is_err());
    }

    #[tokio::test]
    async fn a_mail_cut_short_is_not_handed_on() {
        let mut node = node();
        let bytes = request(500).encode().unwrap();
        let mut stream = UnixStream::connect(&node.path).await.unwrap();
        stream.write_all(&bytes[..400]).await.unwrap();
        stream.shutdown().await.unwrap();
        assert_eq!(stream.read(&mut [0; 9]).await.unwrap(), 0);
        assert!(node.events.try_recv().is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_late_is_let_go() {
        let (mut injector, stream) = tokio::io::duplex(1000);
        let (events, mut happened) = mpsc::channel(4);
        let begin = Instant::now();
        injector.write_all(&request(100).encode().unwrap()[..50]).await.unwrap();
        answer(stream, Room::new(MAX_MAIL).of(1), events, Standing::default()).await;
        assert_eq!(begin.elapsed(), LIMIT);
        assert!(happened.try_recv().is_err());
    }

    #[tokio::test]
    async fn a_node_that_stops_answers_what_it_has_and_takes_no_more() {
        let mut node = node();
        let bytes = request(10).encode().unwrap();
        let engine = async {
            let Some(Event::Submit { reply: first, .. }) = node.events.recv().await else { panic!("no mail") };
            let Some(Event::Submit { reply: second, .. }) = node.events.recv().await else { panic!("no mail") };
            drop(node.stop);
            while node.path.exists() {
                tokio::task::yield_now().await;
            }
            first.send(accepted()).unwrap();
            drop(second);
        };
        let (one, two, ()) = tokio::join!(ask(&node.path, &bytes), ask(&node.path, &bytes), engine);
        let answers = [one.unwrap(), two.unwrap()];
        assert!(answers.contains(&accepted()) && answers.contains(&refusal(Reason::ShuttingDown)));
        node.task.await.unwrap();
        assert!(UnixStream::connect(&node.path).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn the_largest_mails_of_one_user_wait_for_each_other_and_for_nobody_else() {
        let max_mail = 1 << 20;
        let mut room = Room::new(max_mail);
        let (events, mut happened) = mpsc::channel(4);
        let bytes = request(max_mail).encode().unwrap();
        let mut tasks = tokio::task::JoinSet::new();
        let mut call = |room: UsersRoom, bytes: &[u8]| {
            let (mut injector, stream) = tokio::io::duplex(2 << 20);
            tasks.spawn(answer(stream, room, events.clone(), Standing::default()));
            let bytes = bytes.to_vec();
            async move {
                injector.write_all(&bytes).await.unwrap();
                injector
            }
        };
        // They announce a lot, bring half of it, and stand still.
        let mut stalled = Vec::new();
        for _ in 0..10 {
            stalled.push(call(room.of(1), &bytes[..bytes.len() / 2]).await);
        }
        let begin = Instant::now();
        let other = call(room.of(2), &bytes).await;
        assert!(matches!(happened.recv().await, Some(Event::Submit { .. })));
        assert_eq!(begin.elapsed(), Duration::ZERO, "another user waits for nobody");
        let _behind = call(room.of(1), &bytes).await;
        assert!(timeout(BIG_LIMIT * 2, happened.recv()).await.is_err());
        drop((other, stalled));
    }

    #[tokio::test(start_paused = true)]
    async fn large_mails_of_one_user_are_all_taken_however_long_the_first_take() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("submit.sock");
        let (events, mut happened) = mpsc::channel(4);
        let (_stop, stopped) = oneshot::channel();
        let _node = tokio::spawn(serve(Local::bind(&path, 0o660).unwrap(), 1 << 20, events, stopped));
        let bytes = request(SMALL * 2).encode().unwrap();
        let mut callers = tokio::task::JoinSet::new();
        let mut call = async |count| {
            for _ in 0..count {
                let (path, bytes) = (path.clone(), bytes.clone());
                callers.spawn(async move {
                    let mut stream = UnixStream::connect(path).await.unwrap();
                    // It fails where the caller is turned away.
                    let _ = stream.write_all(&bytes).await;
                    read_frame(&mut stream, Reply::body_len).await.is_ok()
                });
            }
            for _ in 0..5_000 {
                tokio::task::yield_now().await;
            }
        };
        // A mail server sends as many as it may, and when the engine has taken its time, as many again.
        call(REQUESTS.of_one).await;
        tokio::time::advance(REQUESTS.patience).await;
        call(REQUESTS.of_one).await;
        let mut answered = 0;
        let engine = async {
            while let Some(Event::Submit { reply, .. }) = happened.recv().await {
                let _ = reply.send(accepted());
            }
        };
        let answers = async {
            while let Some(answer) = callers.join_next().await {
                answered += usize::from(answer.unwrap());
            }
        };
        tokio::select! {
            () = engine => {}
            () = answers => {}
        }
        assert_eq!(answered, REQUESTS.of_one, "who came first was pushed out for who came later");
    }

    #[tokio::test(start_paused = true)]
    async fn silent_callers_keep_nobody_out() {
        let mut node = node();
        let mut silent = Vec::new();
        for _ in 0..2 * REQUESTS.room {
            silent.push(UnixStream::connect(&node.path).await.unwrap());
            tokio::task::yield_now().await;
        }
        tokio::time::advance(REQUESTS.patience).await;
        let begin = Instant::now();
        let bytes = request(10).encode().unwrap();
        let engine = async {
            let Some(Event::Submit { reply, .. }) = node.events.recv().await else { panic!("no mail") };
            reply.send(accepted()).unwrap();
        };
        assert_eq!(tokio::join!(ask(&node.path, &bytes), engine).0, Some(accepted()));
        assert!(begin.elapsed() < LIMIT / 2, "only when the silent ones were late");
    }
}
