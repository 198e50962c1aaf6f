//! `submit.sock`: one request, one reply. The reply says "accepted" when the mail is on disk, and not before.

use super::driver::Event;
use super::local::{Local, NoFrame, read_frame};
use crate::submit::{Outcome, Reason, Reply, Request};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy, sink};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Most requests at once. Each may hold a mail of the largest size in memory; more wait in front of the door.
const MAX_REQUESTS: usize = 16;

/// How long a request may take to come in, and its reply to go out. Injectors give up after as long.
const LIMIT: Duration = Duration::from_secs(30);

/// Takes requests until `stop` is dropped; then takes no more, and returns when those under way are answered.
pub async fn serve(socket: Local, max_mail: usize, events: mpsc::Sender<Event>, mut stop: oneshot::Receiver<()>) {
    let room = Arc::new(Semaphore::new(MAX_REQUESTS));
    let mut requests = JoinSet::new();
    loop {
        let next = async {
            let place = Arc::clone(&room).acquire_owned().await;
            (socket.accept().await, place)
        };
        tokio::select! {
            (stream, place) = next => {
                let events = events.clone();
                requests.spawn(async move {
                    answer(stream, max_mail, events).await;
                    drop(place);
                });
            }
            Some(_) = requests.join_next() => {}
            _ = &mut stop => break,
        }
    }
    drop(socket);
    while requests.join_next().await.is_some() {}
}

/// Reads a request and answers it. Who is late, or goes away, is let go; what is not whole is never handed on.
async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, max_mail: usize, events: mpsc::Sender<Event>) {
    let reply = match timeout(LIMIT, read(&mut stream, max_mail)).await {
        Ok(Some(Ok(request))) => hand_on(request, &events).await,
        Ok(Some(Err(reason))) => refusal(reason),
        Ok(None) | Err(_) => return,
    };
    if let Ok(reply) = reply.encode() {
        // Who doesn't read it asks again, and is known by its queue id.
        let _ = timeout(LIMIT, stream.write_all(&reply)).await;
    }
}

/// A whole request, or why it isn't taken; none if it ends before its end.
async fn read(stream: &mut (impl AsyncRead + Unpin), max_mail: usize) -> Option<Result<Request, Reason>> {
    match read_frame(stream, |prefix| Request::body_len(prefix, max_mail)).await {
        // The frame's bound is enough here: the engine says which mail is too big.
        Ok(body) => Some(Request::decode(&body, body.len()).map_err(|_| Reason::NotUnderstood)),
        Err(NoFrame::TooLong(length)) => {
            // Read and thrown away, for closing a socket with something unread in it may take the reply along.
            let thrown = copy(&mut stream.take(length.into()), &mut sink()).await;
            thrown.is_ok_and(|thrown| thrown == u64::from(length)).then_some(Err(Reason::MailTooBig))
        }
        Err(NoFrame::Ended) => None,
    }
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
    use crate::id::MessageId;
    use crate::mail::address::Address;
    use crate::submit::{PREFIX_LEN, Source};
    use std::path::PathBuf;
    use tokio::net::UnixStream;
    use tokio::time::Instant;

    const MAX_MAIL: usize = 1000;

    fn request(mail: usize) -> Request {
        Request {
            source: Source::Person,
            dedup: None,
            sender: None,
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
        Reply { outcomes: vec![Outcome::Accepted(MessageId([7; 16]))] }
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
    async fn what_is_too_big_or_not_understood_is_refused_with_words() {
        let mut node = node();
        let mut other_version = request(1).encode().unwrap();
        other_version[PREFIX_LEN] = 99;
        for (bytes, reason) in [
            (request(MAX_MAIL + (1 << 20)).encode().unwrap(), Reason::MailTooBig),
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
        answer(stream, MAX_MAIL, events).await;
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

    #[tokio::test]
    async fn more_requests_than_there_is_room_for_wait_in_front_of_the_door() {
        let mut node = node();
        let mut silent = Vec::new();
        for _ in 0..MAX_REQUESTS {
            silent.push(UnixStream::connect(&node.path).await.unwrap());
        }
        let bytes = request(10).encode().unwrap();
        let engine = async {
            // Nobody can be answered before one of the silent ones goes, however long the others take.
            for _ in 0..1000 {
                tokio::task::yield_now().await;
            }
            assert!(matches!(node.events.try_recv(), Err(mpsc::error::TryRecvError::Empty)));
            silent.pop();
            let Some(Event::Submit { reply, .. }) = node.events.recv().await else { panic!("no mail") };
            reply.send(accepted()).unwrap();
        };
        assert_eq!(tokio::join!(ask(&node.path, &bytes), engine).0, Some(accepted()));
    }
}
