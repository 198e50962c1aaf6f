//! `control.sock`: what the node says of itself to who may open the socket. A request is one line; the answer is one
//! line of JSON, or, for `witness`, a line for each thing seen until the asker goes.

use super::crowd::{Crowd, Rules, Standing};
use super::local::Local;
use crate::directory::Document;
use crate::engine::Witness;
use crate::id::{Epoch, NodeId};
use crate::sys::exit_code::ExitCode;
use crate::time::Time;
use mail_parser::DateTime;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::{broadcast, watch};
use tokio::time::timeout;

/// Askers at once. An honest one has asked, and been answered, in an instant.
const ASKERS: Rules = Rules { room: 32, of_one: 32, patience: Duration::from_secs(1) };

/// The longest request, line end included.
const MAX_LINE: u64 = 64;

/// How long a request may take to come in, and each line of the answer to go out.
const LIMIT: Duration = Duration::from_secs(10);

/// What the node says of itself. Nothing in it tells of traffic.
#[derive(Debug)]
pub struct Status {
    /// Its published name.
    pub name: String,
    /// When it began.
    pub up_since: Time,
    /// The directory document in use.
    pub directory: watch::Receiver<Directory>,
    /// How many other nodes packets can go to now.
    pub links_up: Arc<AtomicUsize>,
    /// What is seen in a demonstration network; none in any other.
    pub witness: Option<broadcast::Sender<Witness>>,
}

/// What the node says of its directory document.
#[derive(Debug, Clone)]
pub struct Directory {
    /// Its epoch.
    pub epoch: Epoch,
    /// Until when it is good to send by.
    pub valid_until: Time,
    /// How many other nodes are in it.
    pub others: usize,
}

impl Directory {
    /// What there is to say of `document`, which this node is in.
    #[must_use]
    pub fn new(document: &Document) -> Self {
        let others = document.nodes().count().saturating_sub(1);
        Self { epoch: document.epoch(), valid_until: document.valid_until(), others }
    }
}

/// Answers until it is dropped.
pub async fn serve(socket: Local, status: Arc<Status>) {
    let mut askers = Crowd::new(ASKERS);
    loop {
        tokio::select! {
            // Late or gone: there is nobody to tell.
            Some(Ok(()) | Err(Gone)) = askers.next() => {}
            (stream, user) = socket.accept() => {
                let status = Arc::clone(&status);
                askers.admit(user, |standing| async move { answer(stream, &status, &standing).await });
            }
        }
    }
}

/// The asker is gone, or late.
#[derive(Debug)]
struct Gone;

async fn answer(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    status: &Status,
    standing: &Standing,
) -> Result<(), Gone> {
    let mut line = String::new();
    let mut request = BufReader::new((&mut stream).take(MAX_LINE));
    timeout(LIMIT, request.read_line(&mut line)).await.map_err(|_| Gone)?.map_err(|_| Gone)?;
    match (line.trim_end_matches('\n'), &status.witness) {
        ("status", _) => say(&mut stream, &status.to_json()).await,
        ("witness", Some(witness)) => {
            standing.earn();
            show(stream, witness.subscribe()).await
        }
        ("witness", None) => {
            let why = "this network hides what its nodes see";
            say(&mut stream, &refusal(ExitCode::Permission, why, "only a network made by fog demo shows it")).await
        }
        _ => say(&mut stream, &refusal(ExitCode::Usage, "no such request", "status | witness")).await,
    }
}

impl Status {
    fn to_json(&self) -> Value {
        let directory = self.directory.borrow();
        json!({
            "v": 1,
            "name": self.name,
            "version": env!("CARGO_PKG_VERSION"),
            "up_since": rfc3339(self.up_since),
            "links": { "known": directory.others, "up": self.links_up.load(Ordering::Relaxed) },
            "directory": { "epoch": directory.epoch.0, "valid_until": rfc3339(directory.valid_until) },
        })
    }
}

/// To the minute: enough for a person, and a clock's seconds are nobody's business.
fn rfc3339(time: Time) -> String {
    let minute = time.as_secs() / 60 * 60;
    DateTime::from_timestamp(i64::try_from(minute).unwrap_or(i64::MAX)).to_rfc3339()
}

fn refusal(code: ExitCode, message: &str, hint: &str) -> Value {
    json!({ "v": 1, "error": { "code": code.number(), "message": message, "found": null, "try": hint } })
}

async fn say(to: &mut (impl AsyncWrite + Unpin), line: &Value) -> Result<(), Gone> {
    let line = format!("{line}\n");
    timeout(LIMIT, to.write_all(line.as_bytes())).await.map_err(|_| Gone)?.map_err(|_| Gone)
}

/// Shows what is seen from now on. Who reads too slowly is told how much of it was missed.
async fn show(
    mut to: impl AsyncRead + AsyncWrite + Unpin,
    mut witness: broadcast::Receiver<Witness>,
) -> Result<(), Gone> {
    loop {
        let mut more = [0];
        let seen = tokio::select! {
            seen = witness.recv() => seen,
            // A word more than the request, or the end: either way the asker has had enough.
            _ = to.read(&mut more) => return Ok(()),
        };
        let line = match seen {
            Ok(seen) => seen_json(&seen),
            Err(broadcast::error::RecvError::Lagged(count)) => json!({ "v": 1, "event": "missed", "count": count }),
            Err(broadcast::error::RecvError::Closed) => return Ok(()),
        };
        say(&mut to, &line).await?;
    }
}

fn seen_json(seen: &Witness) -> Value {
    let hex = |print: &[u8]| data_encoding::HEXLOWER.encode(print);
    match seen {
        Witness::Cut { message, needed, total } => json!({
            "v": 1, "event": "cut", "message": message.to_string(), "needed": needed, "total": total,
        }),
        Witness::Built { message, index, path, packet, at } => json!({
            "v": 1, "event": "built", "message": message.to_string(), "index": index,
            "path": path.iter().map(NodeId::to_string).collect::<Vec<_>>(), "packet": hex(packet),
            "at_ms": at.as_millis(),
        }),
        Witness::Passed { from, arrived, came_as, to, left, went_as } => json!({
            "v": 1, "event": "passed", "from": from.to_string(), "arrived_ms": arrived.as_millis(),
            "came_as": hex(came_as), "to": to.to_string(), "left_ms": left.as_millis(), "went_as": hex(went_as),
        }),
        Witness::Opened { from, arrived, came_as, set, at } => json!({
            "v": 1, "event": "opened", "from": from.to_string(), "arrived_ms": arrived.as_millis(),
            "came_as": hex(came_as), "set": set.to_string(), "at_ms": at.as_millis(),
        }),
        Witness::Assembled { message, at } => json!({
            "v": 1, "event": "assembled", "message": message.to_string(), "at_ms": at.as_millis(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::MessageId;
    use tokio::io::{DuplexStream, duplex};

    fn status(demo: bool) -> Status {
        Status {
            name: "kvara".into(),
            up_since: Time::from_secs(1_780_000_059),
            directory: watch::channel(Directory {
                epoch: Epoch(20_601),
                valid_until: Time::from_secs(1_780_099_200),
                others: 4,
            })
            .1,
            links_up: Arc::new(AtomicUsize::new(3)),
            witness: demo.then(|| broadcast::channel(2).0),
        }
    }

    /// The lines that answer `request`, when the asker says no more.
    async fn ask(status: &Status, request: &[u8]) -> Vec<Value> {
        let (mut asker, stream) = duplex(10_000);
        asker.write_all(request).await.unwrap();
        asker.shutdown().await.unwrap();
        let _ = answer(stream, status, &Standing::default()).await;
        lines(&mut asker).await
    }

    async fn lines(asker: &mut DuplexStream) -> Vec<Value> {
        let mut said = String::new();
        asker.read_to_string(&mut said).await.unwrap();
        said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[tokio::test]
    async fn status_says_nothing_of_traffic_and_no_seconds() {
        let want = json!({
            "v": 1, "name": "kvara", "version": env!("CARGO_PKG_VERSION"), "up_since": "2026-05-28T20:27:00Z",
            "links": { "known": 4, "up": 3 },
            "directory": { "epoch": 20_601, "valid_until": "2026-05-30T00:00:00Z" },
        });
        assert_eq!(ask(&status(false), b"status\n").await, [want]);
    }

    #[tokio::test]
    async fn what_is_no_request_is_refused_with_words() {
        for request in [&b"stop\n"[..], b"\n", b"status please\n", &[b'a'; 5000]] {
            let [said]: [Value; 1] = ask(&status(true), request).await.try_into().unwrap();
            assert_eq!((&said["v"], &said["error"]["code"]), (&json!(1), &json!(64)), "{said}");
        }
        assert!(ask(&status(true), b"\xff\n").await.is_empty(), "no text");
    }

    #[tokio::test]
    async fn a_real_network_shows_nothing_of_its_inside() {
        let [said]: [Value; 1] = ask(&status(false), b"witness\n").await.try_into().unwrap();
        assert_eq!(said["error"]["code"], 77);
    }

    #[tokio::test]
    async fn a_demonstration_shows_what_it_sees_until_the_asker_goes() {
        let status = status(true);
        let seen = |mark| Witness::Assembled { message: MessageId([mark; 16]), at: Time::from_millis(5) };
        let (mut asker, stream) = duplex(10_000);
        asker.write_all(b"witness\n").await.unwrap();
        let watching = async {
            let witness = status.witness.as_ref().unwrap();
            while witness.receiver_count() == 0 {
                tokio::task::yield_now().await;
            }
            // Room for two: the first is missed, and that is said.
            for mark in 1..=3 {
                witness.send(seen(mark)).unwrap();
            }
            let mut shown = BufReader::new(&mut asker).lines();
            let mut next = async || serde_json::from_str::<Value>(&shown.next_line().await.unwrap().unwrap()).unwrap();
            assert_eq!(next().await, json!({ "v": 1, "event": "missed", "count": 1 }));
            let message = MessageId([2; 16]).to_string();
            assert_eq!(next().await, json!({ "v": 1, "event": "assembled", "message": message, "at_ms": 5 }));
            drop(asker);
        };
        let standing = Standing::default();
        tokio::join!(async { answer(stream, &status, &standing).await.unwrap() }, watching);
        assert_eq!(status.witness.as_ref().unwrap().receiver_count(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_asker_is_let_go() {
        let (_asker, stream) = duplex(100);
        let begin = tokio::time::Instant::now();
        assert!(answer(stream, &status(true), &Standing::default()).await.is_err());
        assert_eq!(begin.elapsed(), LIMIT);
    }
}
