//! `control.sock`: what the node says of itself, and what its operator has it do. A request is one line; the answer is one
//! line of JSON, or, for `witness`, a line for each thing seen until the asker goes.
//!
//! Whoever the socket lets in may ask for `status`, which is a group of the operator's choice. All else is for root and the
//! node's own user.

use super::crowd::{Crowd, Rules, Standing};
use super::driver::Event;
use super::local::Local;
use super::status::Status;
use crate::directory::is_name;
use crate::engine::{Listed, PingAnswer, PingAsk, Pinged, QueueAnswer, QueueAsk, Witness};
use crate::id::{NodeId, QueueId};
use crate::sys::exit_code::ExitCode;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::timeout;

/// Askers at once. An honest one has asked, and been answered, in an instant; and none of them keeps the others out.
const ASKERS: Rules = Rules { room: 32, of_one: 8, patience: Duration::from_secs(1) };

/// The longest request, line end included.
const MAX_LINE: u64 = 64;

/// How long a request may take to come in, the engine to answer it, and each line of the answer to go out.
const LIMIT: Duration = Duration::from_secs(10);

/// What there is to be asked.
#[derive(Debug)]
pub struct Control {
    /// What the node says of itself.
    pub status: Status,
    /// What is seen in a demonstration network; none in any other.
    pub witness: Option<broadcast::Sender<Witness>>,
    /// The way to the engine.
    pub events: mpsc::Sender<Event>,
}

/// Answers until it is dropped.
pub async fn serve(socket: Local, control: Arc<Control>) {
    let mut askers = Crowd::new(ASKERS);
    loop {
        tokio::select! {
            // Late or gone: there is nobody to tell.
            Some(Ok(()) | Err(Gone)) = askers.next() => {}
            (stream, user) = socket.accept() => {
                let (control, is_operator) = (Arc::clone(&control), socket.is_operator(user));
                askers.admit(user, |standing| async move { answer(stream, &control, is_operator, &standing).await });
            }
        }
    }
}

/// The asker is gone, or late.
#[derive(Debug)]
struct Gone;

async fn answer(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    control: &Control,
    is_operator: bool,
    standing: &Standing,
) -> Result<(), Gone> {
    let mut line = String::new();
    let mut request = BufReader::new((&mut stream).take(MAX_LINE));
    timeout(LIMIT, request.read_line(&mut line)).await.map_err(|_| Gone)?.map_err(|_| Gone)?;
    let words: Vec<&str> = line.trim_end_matches('\n').split(' ').collect();
    let answer = match (words.as_slice(), &control.witness) {
        (["status"], _) => control.status.to_json(),
        // Whoever may see more has to be told apart before anything else is said.
        _ if !is_operator => refusal(ExitCode::Permission, "only root and the node's user may ask that", "sudo"),
        (["queue", asked @ ..], _) => match queue_ask(asked) {
            Some(ask) => {
                // What is done of it is to be told: nobody else's silence pushes the operator out.
                standing.earn();
                queue(control, ask).await
            }
            None => refusal(ExitCode::Usage, "no such request", "queue list | retry ID | drop ID, or all for the ID"),
        },
        (["keys", "rotate"], _) => {
            standing.earn();
            rotate(control).await
        }
        (["ping", asked @ ..], _) => match ping_ask(asked) {
            Some(ask) => {
                standing.earn();
                ping(control, ask).await
            }
            None => refusal(ExitCode::Usage, "no such request", "ping show | ping all | ping node NAME"),
        },
        (["witness"], Some(witness)) => {
            standing.earn();
            return show(stream, witness.subscribe()).await;
        }
        (["witness"], None) => {
            let why = "this network hides what its nodes see";
            refusal(ExitCode::Permission, why, "only a network made by fog demo shows it")
        }
        _ => refusal(ExitCode::Usage, "no such request", "status | queue | keys rotate | ping | witness"),
    };
    say(&mut stream, &answer).await
}

fn queue_ask(words: &[&str]) -> Option<QueueAsk> {
    let which = |id: &str| if id == "all" { Some(None) } else { QueueId::parse(id).map(Some) };
    match words {
        ["list"] => Some(QueueAsk::List),
        ["retry", id] => which(id).map(QueueAsk::Retry),
        ["drop", id] => which(id).map(QueueAsk::Drop),
        _ => None,
    }
}

/// Has other keys drawn, and tells of which epochs.
async fn rotate(control: &Control) -> Value {
    let asked = async {
        let (reply, answered) = oneshot::channel();
        control.events.send(Event::RotateKeys { reply }).await.ok()?;
        answered.await.ok()
    };
    match timeout(LIMIT, asked).await {
        Ok(Some(epochs)) => json!({ "v": 1, "epochs": epochs.iter().map(|epoch| epoch.0).collect::<Vec<_>>() }),
        Ok(None) => refusal(ExitCode::TryAgain, "the node is stopping", "start it, and ask again"),
        Err(_) => refusal(ExitCode::TryAgain, "the node has too much to do to answer", "ask again later"),
    }
}

fn ping_ask(words: &[&str]) -> Option<PingAsk> {
    match words {
        ["show"] => Some(PingAsk::Show),
        ["all"] => Some(PingAsk::All),
        ["node", name] if is_name(name) => Some(PingAsk::Node((*name).to_owned())),
        _ => None,
    }
}

/// Asks the engine, in its turn.
async fn ping(control: &Control, ask: PingAsk) -> Value {
    let asked = async {
        let (reply, answered) = oneshot::channel();
        control.events.send(Event::Ping { ask, reply }).await.ok()?;
        answered.await.ok()
    };
    match timeout(LIMIT, asked).await {
        Ok(Some(PingAnswer::Table(nodes))) => {
            json!({ "v": 1, "nodes": nodes.iter().map(pinged).collect::<Vec<_>>() })
        }
        Ok(Some(PingAnswer::Unknown)) => {
            refusal(ExitCode::Usage, "no other mix or exit of the document has that name", "fog stats")
        }
        Ok(None) => refusal(ExitCode::TryAgain, "the node is stopping", "start it, and ask again"),
        Err(_) => refusal(ExitCode::TryAgain, "the node has too much to do to answer", "ask again later"),
    }
}

fn pinged(node: &Pinged) -> Value {
    let Pinged { name, waits, under_way, back, lost } = node;
    json!({ "name": name, "waits": waits, "under_way": under_way, "back": back, "lost": lost })
}

/// Asks the engine, in its turn.
async fn queue(control: &Control, ask: QueueAsk) -> Value {
    let asked = async {
        let (reply, answered) = oneshot::channel();
        control.events.send(Event::Queue { ask, reply }).await.ok()?;
        answered.await.ok()
    };
    match timeout(LIMIT, asked).await {
        Ok(Some(QueueAnswer::List(mails))) => {
            json!({ "v": 1, "mails": mails.iter().map(listed).collect::<Vec<_>>() })
        }
        Ok(Some(QueueAnswer::Done(mails))) => json!({ "v": 1, "mails": mails }),
        Ok(None) => refusal(ExitCode::TryAgain, "the node is stopping", "start it, and ask again"),
        Err(_) => refusal(ExitCode::TryAgain, "the node has too much to do to answer", "ask again later"),
    }
}

fn listed(mail: &Listed) -> Value {
    json!({ "id": mail.id.to_string(), "state": mail.state.word(), "age_h": mail.hours })
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
    use crate::engine::State;
    use crate::id::MessageId;
    use crate::time::Time;
    use tokio::io::{DuplexStream, duplex};

    fn control(demo: bool) -> Control {
        with_engine(demo).0
    }

    fn with_engine(demo: bool) -> (Control, mpsc::Receiver<Event>) {
        let (events, happened) = mpsc::channel(4);
        let witness = demo.then(|| broadcast::channel(2).0);
        (Control { status: super::super::status::tests::status(), witness, events }, happened)
    }

    /// The lines that answer `request` of the operator, when the asker says no more.
    async fn ask(control: &Control, request: &[u8]) -> Vec<Value> {
        ask_as(control, true, request).await
    }

    async fn ask_as(control: &Control, is_operator: bool, request: &[u8]) -> Vec<Value> {
        let (mut asker, stream) = duplex(10_000);
        asker.write_all(request).await.unwrap();
        asker.shutdown().await.unwrap();
        let _ = answer(stream, control, is_operator, &Standing::default()).await;
        lines(&mut asker).await
    }

    async fn lines(asker: &mut DuplexStream) -> Vec<Value> {
        let mut said = String::new();
        asker.read_to_string(&mut said).await.unwrap();
        said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[tokio::test]
    async fn who_is_not_the_operator_gets_the_status_and_nothing_else() {
        let (control, mut happened) = with_engine(true);
        assert_eq!(ask_as(&control, false, b"status\n").await, ask(&control, b"status\n").await);
        for request in
            [&b"queue list\n"[..], b"queue drop all\n", b"witness\n", b"ping show\n", b"stop\n", b"status \n", b"\n"]
        {
            let [said]: [Value; 1] = ask_as(&control, false, request).await.try_into().unwrap();
            assert_eq!(said["error"]["code"], 77, "{said}");
        }
        assert!(happened.try_recv().is_err(), "the engine has heard nothing of it");
    }

    #[tokio::test]
    async fn the_operator_is_told_what_waits_without_addresses_or_sizes() {
        let (control, mut happened) = with_engine(false);
        let id = QueueId::parse("0a0b0c0d0e0f").unwrap();
        let engine = async {
            let Some(Event::Queue { ask: QueueAsk::List, reply }) = happened.recv().await else {
                panic!("no question")
            };
            reply.send(QueueAnswer::List(vec![Listed { id, state: State::Deferred, hours: 3 }])).unwrap();
            let Some(Event::Queue { ask: QueueAsk::Drop(Some(wanted)), reply }) = happened.recv().await else {
                panic!("no question")
            };
            reply.send(QueueAnswer::Done(u64::from(wanted == id))).unwrap();
            let Some(Event::Queue { ask: QueueAsk::Retry(None), .. }) = happened.recv().await else {
                panic!("nothing")
            };
        };
        let asker = async {
            let want = json!({ "v": 1, "mails": [{ "id": "0a0b0c0d0e0f", "state": "deferred", "age_h": 3 }] });
            assert_eq!(ask(&control, b"queue list\n").await, [want]);
            assert_eq!(ask(&control, b"queue drop 0a0b0c0d0e0f\n").await, [json!({ "v": 1, "mails": 1 })]);
            assert_eq!(ask(&control, b"queue retry all\n").await[0]["error"]["code"], 75, "it stops");
        };
        tokio::join!(engine, asker);
    }

    #[tokio::test]
    async fn the_operator_is_told_of_which_epochs_there_are_other_keys() {
        let (control, mut happened) = with_engine(false);
        let engine = async {
            let Some(Event::RotateKeys { reply }) = happened.recv().await else { panic!("no question") };
            reply.send(vec![crate::id::Epoch(7), crate::id::Epoch(8)]).unwrap();
        };
        let asker = async {
            assert_eq!(ask_as(&control, false, b"keys rotate\n").await[0]["error"]["code"], 77);
            assert_eq!(ask(&control, b"keys rotate\n").await, [json!({ "v": 1, "epochs": [7, 8] })]);
        };
        tokio::join!(engine, asker);
    }

    #[tokio::test]
    async fn the_operator_is_told_how_loops_do_that_were_asked_for() {
        let (control, mut happened) = with_engine(false);
        let engine = async {
            let Some(Event::Ping { ask, reply }) = happened.recv().await else { panic!("no question") };
            assert_eq!(ask, PingAsk::Node("kvara".into()));
            let node = Pinged { name: "kvara".into(), waits: true, under_way: 2, back: 1, lost: 0 };
            reply.send(PingAnswer::Table(vec![node])).unwrap();
            let Some(Event::Ping { ask: PingAsk::All, reply }) = happened.recv().await else { panic!("no question") };
            reply.send(PingAnswer::Unknown).unwrap();
        };
        let asker = async {
            let node = json!({ "name": "kvara", "waits": true, "under_way": 2, "back": 1, "lost": 0 });
            assert_eq!(ask(&control, b"ping node kvara\n").await, [json!({ "v": 1, "nodes": [node] })]);
            assert_eq!(ask(&control, b"ping all\n").await[0]["error"]["code"], 64);
        };
        tokio::join!(engine, asker);
    }

    #[tokio::test(start_paused = true)]
    async fn an_engine_that_is_stuck_is_not_waited_for() {
        let (control, _happened) = with_engine(false);
        let begin = tokio::time::Instant::now();
        assert_eq!(ask(&control, b"queue list\n").await[0]["error"]["code"], 75);
        assert_eq!(begin.elapsed(), LIMIT);
    }

    #[tokio::test]
    async fn what_is_no_request_is_refused_with_words() {
        for request in [
            &b"stop\n"[..],
            b"\n",
            b"status please\n",
            b"queue\n",
            b"queue drop\n",
            b"queue drop x\n",
            b"ping\n",
            b"ping node A\n",
            b"ping a\n",
            &[b'a'; 5000],
        ] {
            let [said]: [Value; 1] = ask(&control(true), request).await.try_into().unwrap();
            assert_eq!((&said["v"], &said["error"]["code"]), (&json!(1), &json!(64)), "{said}");
        }
        assert!(ask(&control(true), b"\xff\n").await.is_empty(), "no text");
    }

    #[tokio::test]
    async fn a_real_network_shows_nothing_of_its_inside() {
        let [said]: [Value; 1] = ask(&control(false), b"witness\n").await.try_into().unwrap();
        assert_eq!(said["error"]["code"], 77);
    }

    #[tokio::test]
    async fn a_demonstration_shows_what_it_sees_until_the_asker_goes() {
        let control = control(true);
        let seen = |mark| Witness::Assembled { message: MessageId([mark; 16]), at: Time::from_millis(5) };
        let (mut asker, stream) = duplex(10_000);
        asker.write_all(b"witness\n").await.unwrap();
        let watching = async {
            let witness = control.witness.as_ref().unwrap();
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
        tokio::join!(async { answer(stream, &control, true, &standing).await.unwrap() }, watching);
        assert_eq!(control.witness.as_ref().unwrap().receiver_count(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_asker_is_let_go() {
        let (_asker, stream) = duplex(100);
        let begin = tokio::time::Instant::now();
        assert!(answer(stream, &control(true), true, &Standing::default()).await.is_err());
        assert_eq!(begin.elapsed(), LIMIT);
    }
}
