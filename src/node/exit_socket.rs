//! `exit.sock`: one exit process at a time gets the mails of the outbox, and says what the MTA did with each.

use super::driver::Event;
use super::local::{Local, read_frame};
use crate::delivery::{Deliver, Outcome};
use crate::engine::EXIT_WINDOW;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, split};
use tokio::sync::mpsc;

/// The exit process is gone, or said what it may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Gone;

/// Serves one exit process after the other, until it is dropped or the driver has ended.
pub async fn serve(socket: Local, events: mpsc::Sender<Event>) {
    while !events.is_closed() {
        let stream = socket.accept().await;
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
        let _ = tokio::try_join!(hand_out(write, to_hand_out), take_outcomes(read, events));
        // The driver has ended: nobody is left to be told.
        let _ = events.send(Event::ExitDown).await;
    }
}

async fn hand_out(mut to: impl AsyncWrite + Unpin, mut mails: mpsc::Receiver<Deliver>) -> Result<(), Gone> {
    while let Some(mail) = mails.recv().await {
        let frame = mail.encode().map_err(|_| Gone)?;
        // Without a limit: it reads no further while its MTA takes its time over the mail before, and to cut it off
        // then would hand that one out twice. One that has died is noticed by its end of the stream.
        to.write_all(&frame).await.map_err(|_| Gone)?;
    }
    // No sender left: the driver has given this process up.
    Err(Gone)
}

async fn take_outcomes(mut from: impl AsyncRead + Unpin, events: &mpsc::Sender<Event>) -> Result<(), Gone> {
    loop {
        let body = read_frame(&mut from, Outcome::body_len).await.map_err(|_| Gone)?;
        let Outcome { id, disposition } = Outcome::decode(&body).map_err(|_| Gone)?;
        events.send(Event::Delivered { id, disposition }).await.map_err(|_| Gone)?;
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
            let nothing = tokio::time::timeout(std::time::Duration::from_secs(3600), happened.recv()).await;
            assert!(nothing.is_err(), "{nothing:?}");
            drop(process);
            assert!(matches!(happened.recv().await, Some(Event::ExitDown)));
        };
        tokio::join!(attend(stream, &events), driver);
    }
}
