//! `exit.sock`: one exit process at a time gets the mails of the outbox, and says what the MTA did with each.

use super::driver::Event;
use super::local::{Local, read_frame};
use crate::delivery::{Deliver, Outcome};
use crate::engine::EXIT_WINDOW;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// How long an outcome may take to come in once it has begun.
const OUTCOME_LIMIT: Duration = Duration::from_secs(30);

/// How long a process may owe outcomes without giving one: several times what an MTA may take over a mail. One that
/// stands still makes place for another, and its mails are handed out again.
const OWED_LIMIT: Duration = Duration::from_secs(4 * 3600);

/// The exit process is gone, or said what it may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Gone;

/// Serves one exit process after the other, until it is dropped or the driver has ended.
pub async fn serve(socket: Local, events: mpsc::Sender<Event>) {
    while !events.is_closed() {
        let (stream, _) = socket.accept().await;
        tokio::select! {
            () = attend(stream, &events) => {}
            // A second one is not taken: it sees its connection close, and tries again. A first one that died was
            // noticed by then.
            () = refuse(&socket) => {}
        }
    }
}

async fn refuse(socket: &Local) {
    loop {
        drop(socket.accept().await);
    }
}

/// Tells the driver that an exit process is here, and when it has gone: what it has not answered is the engine's again.
async fn attend(stream: impl AsyncRead + AsyncWrite + Unpin, events: &mpsc::Sender<Event>) {
    let (mails, to_hand_out) = mpsc::channel(EXIT_WINDOW);
    if events.send(Event::ExitUp { mails }).await.is_ok() {
        let (read, write) = split(stream);
        let owed = AtomicUsize::new(0);
        let _ = tokio::try_join!(hand_out(write, to_hand_out, &owed), take_outcomes(read, events, &owed));
        // The driver has ended: nobody is left to be told.
        let _ = events.send(Event::ExitDown).await;
    }
}

async fn hand_out(
    mut to: impl AsyncWrite + Unpin,
    mut mails: mpsc::Receiver<Deliver>,
    owed: &AtomicUsize,
) -> Result<(), Gone> {
    while let Some(mail) = mails.recv().await {
        owed.fetch_add(1, Ordering::Relaxed);
        let frame = mail.encode().map_err(|_| Gone)?;
        // Without a limit: it reads no further while its MTA takes its time over the mail before, and to cut it off
        // then would hand that one out twice. One that has died is noticed by its end of the stream.
        to.write_all(&frame).await.map_err(|_| Gone)?;
    }
    // No sender left: the driver has given this process up.
    Err(Gone)
}

async fn take_outcomes(
    mut from: impl AsyncRead + Unpin,
    events: &mpsc::Sender<Event>,
    owed: &AtomicUsize,
) -> Result<(), Gone> {
    loop {
        let first = [first_byte(&mut from, owed).await?];
        let mut whole = first.chain(&mut from);
        let outcome = timeout(OUTCOME_LIMIT, read_frame(&mut whole, Outcome::body_len)).await;
        let body = outcome.map_err(|_| Gone)?.map_err(|_| Gone)?;
        let Outcome { id, disposition } = Outcome::decode(&body).map_err(|_| Gone)?;
        // One that answers what it was not asked owes no less than nothing.
        let _ = owed.try_update(Ordering::Relaxed, Ordering::Relaxed, |owed| owed.checked_sub(1));
        events.send(Event::Delivered { id, disposition }).await.map_err(|_| Gone)?;
    }
}

/// Waits for the next outcome to begin: for ever while none is owed.
async fn first_byte(from: &mut (impl AsyncRead + Unpin), owed: &AtomicUsize) -> Result<u8, Gone> {
    loop {
        let owes = owed.load(Ordering::Relaxed) > 0;
        match timeout(OWED_LIMIT, from.read_u8()).await {
            Ok(first) => return first.map_err(|_| Gone),
            // What it owes now it may have been given a moment ago: another round.
            Err(_) if !owes => {}
            Err(_) => return Err(Gone),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::Disposition;
    use crate::mail::address::Address;
    use std::path::Path;
    use tokio::io::AsyncReadExt;
    use tokio::net::UnixStream;
    use tokio::task::JoinSet;

    fn mail(id: u64) -> Deliver {
        let address = |text| Address::parse(text).unwrap();
        let envelope_from = Some(address("anonymous@exit.example"));
        Deliver { id, recipient: address("alice@example.com"), envelope_from, mail: vec![b'x'; 300_000] }
    }

    async fn take(process: &mut UnixStream) -> Deliver {
        let body = read_frame(process, |prefix| Deliver::body_len(prefix, 1 << 20)).await.unwrap();
        Deliver::decode(&body, 1 << 20).unwrap()
    }

    fn node(path: &Path, tasks: &mut JoinSet<()>) -> mpsc::Receiver<Event> {
        let (events, happened) = mpsc::channel(64);
        tasks.spawn(serve(Local::bind(path, 0o660).unwrap(), events));
        happened
    }

    async fn up(happened: &mut mpsc::Receiver<Event>) -> mpsc::Sender<Deliver> {
        match happened.recv().await.unwrap() {
            Event::ExitUp { mails } => mails,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn mails_go_out_and_outcomes_come_back_in_any_order() {
        let (dir, mut tasks) = (tempfile::tempdir().unwrap(), JoinSet::new());
        let path = dir.path().join("exit.sock");
        let mut happened = node(&path, &mut tasks);
        let mut process = UnixStream::connect(&path).await.unwrap();
        let mails = up(&mut happened).await;
        for id in [1, 2] {
            mails.send(mail(id)).await.unwrap();
        }
        assert_eq!((take(&mut process).await, take(&mut process).await), (mail(1), mail(2)));
        for (id, disposition) in [(2, Disposition::Temporary), (1, Disposition::Delivered)] {
            process.write_all(&Outcome { id, disposition }.encode()).await.unwrap();
            let Some(Event::Delivered { id: got, disposition: said }) = happened.recv().await else {
                panic!("nothing")
            };
            assert_eq!((got, said), (id, disposition));
        }
    }

    #[tokio::test]
    async fn a_second_process_is_refused_until_the_first_has_gone() {
        let (dir, mut tasks) = (tempfile::tempdir().unwrap(), JoinSet::new());
        let path = dir.path().join("exit.sock");
        let mut happened = node(&path, &mut tasks);
        let first = UnixStream::connect(&path).await.unwrap();
        let mails = up(&mut happened).await;
        let mut second = UnixStream::connect(&path).await.unwrap();
        assert_eq!(second.read(&mut [0; 9]).await.unwrap(), 0);
        assert!(!mails.is_closed());

        drop(first);
        assert!(matches!(happened.recv().await, Some(Event::ExitDown)));
        assert!(mails.is_closed());
        let mut third = UnixStream::connect(&path).await.unwrap();
        up(&mut happened).await.send(mail(3)).await.unwrap();
        assert_eq!(take(&mut third).await, mail(3));
    }

    #[tokio::test]
    async fn a_process_that_talks_nonsense_is_gone() {
        let (dir, mut tasks) = (tempfile::tempdir().unwrap(), JoinSet::new());
        let path = dir.path().join("exit.sock");
        let mut happened = node(&path, &mut tasks);
        let mut process = UnixStream::connect(&path).await.unwrap();
        let _mails = up(&mut happened).await;
        process.write_all(b"250 OK\r\n").await.unwrap();
        assert!(matches!(happened.recv().await, Some(Event::ExitDown)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_whose_mta_takes_its_time_is_left_alone() {
        let (process, stream) = tokio::io::duplex(1000);
        let (events, mut happened) = mpsc::channel(4);
        let driver = async {
            let mails = up(&mut happened).await;
            mails.send(mail(1)).await.unwrap();
            // Longer than any MTA takes: nothing happens until the process goes.
            let nothing = timeout(OWED_LIMIT - OUTCOME_LIMIT, happened.recv()).await;
            assert!(nothing.is_err(), "{nothing:?}");
            drop(process);
            assert!(matches!(happened.recv().await, Some(Event::ExitDown)));
        };
        tokio::join!(attend(stream, &events), driver);
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_owes_an_answer_for_good_is_gone_and_one_that_owes_none_is_not() {
        let (_process, stream) = tokio::io::duplex(1 << 20);
        let (events, mut happened) = mpsc::channel(4);
        let driver = async {
            let mails = up(&mut happened).await;
            assert!(timeout(OWED_LIMIT * 20, happened.recv()).await.is_err(), "it was asked nothing");
            mails.send(mail(1)).await.unwrap();
            let begin = tokio::time::Instant::now();
            assert!(matches!(happened.recv().await, Some(Event::ExitDown)));
            assert!((OWED_LIMIT..=OWED_LIMIT * 2).contains(&begin.elapsed()), "{:?}", begin.elapsed());
        };
        tokio::join!(attend(stream, &events), driver);
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_stops_in_the_middle_of_an_outcome_is_gone() {
        let (mut process, stream) = tokio::io::duplex(1000);
        let (events, mut happened) = mpsc::channel(4);
        let driver = async {
            let _mails = up(&mut happened).await;
            let begin = tokio::time::Instant::now();
            let outcome = Outcome { id: 1, disposition: Disposition::Delivered }.encode();
            // A byte now and then doesn't help it.
            for byte in outcome.split_last().unwrap().1.iter().take(3) {
                process.write_all(&[*byte]).await.unwrap();
                tokio::time::sleep(OUTCOME_LIMIT / 4).await;
            }
            assert!(matches!(happened.recv().await, Some(Event::ExitDown)));
            assert_eq!(begin.elapsed(), OUTCOME_LIMIT);
        };
        tokio::join!(attend(stream, &events), driver);
    }
}
