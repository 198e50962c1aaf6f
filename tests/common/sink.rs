//! An MTA that takes mail and remembers it.

#![allow(dead_code, reason = "each test uses a part")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

/// A mail that was taken.
#[derive(Clone)]
pub(crate) struct Taken {
    /// The envelope's recipient.
    pub(crate) to: String,
    /// As it came, without the dots that SMTP doubles.
    pub(crate) text: String,
    pub(crate) at: Instant,
}

type Mails = Arc<Mutex<Vec<Taken>>>;

/// Listens until the test ends.
pub(crate) struct Sink {
    address: SocketAddr,
    mails: Mails,
    resting: Arc<AtomicBool>,
}

impl Sink {
    pub(crate) fn start() -> Self {
        Self::refusing("")
    }

    /// One that refuses a recipient for good.
    pub(crate) fn refusing(recipient: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, mails) = (listener.local_addr().unwrap(), Mails::default());
        let resting = Arc::new(AtomicBool::new(false));
        let (noted, rests) = (Arc::clone(&mails), Arc::clone(&resting));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (noted, rests) = (Arc::clone(&noted), Arc::clone(&rests));
                // A client that goes in the middle is what is tested.
                thread::spawn(move || stream.and_then(|stream| talk(stream, &noted, recipient, &rests)));
            }
        });
        Self { address, mails, resting }
    }

    /// Whether it turns everybody away for a while, in the middle of what they say too.
    pub(crate) fn rest(&self, is_resting: bool) {
        self.resting.store(is_resting, Ordering::Relaxed);
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn mails(&self) -> Vec<Taken> {
        self.mails.lock().unwrap().clone()
    }

    /// When each mail arrived, each time that it did, by the number in its subject `mark N`.
    pub(crate) fn arrived(&self) -> BTreeMap<usize, Vec<Instant>> {
        let mut arrived: BTreeMap<usize, Vec<Instant>> = BTreeMap::new();
        for mail in self.mails.lock().unwrap().iter() {
            let mark = mail.text.lines().find_map(|line| line.strip_prefix("Subject: mark ")?.parse().ok());
            arrived.entry(mark.expect("a mark in every mail")).or_default().push(mail.at);
        }
        arrived
    }
}

fn talk(mut stream: TcpStream, mails: &Mails, refused: &str, resting: &AtomicBool) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?);
    let mut to = String::new();
    stream.write_all(b"220 sink ESMTP\r\n")?;
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line)? == 0 {
            return Ok(());
        }
        if resting.load(Ordering::Relaxed) {
            return stream.write_all(b"421 4.3.2 not now\r\n");
        }
        let verb = line.get(..4).unwrap_or_default().to_ascii_uppercase();
        if verb == "RCPT" {
            to = line.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
        }
        if verb == "DATA" {
            stream.write_all(b"354 go on\r\n")?;
            let text = data(&mut lines)?;
            // From here on the mail is the MTA's, whether the client hears it or not.
            mails.lock().unwrap().push(Taken { to: to.clone(), text, at: Instant::now() });
        }
        let answer: &[u8] = match verb.as_str() {
            "EHLO" => b"250-sink\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n",
            "RCPT" if to == refused => b"550 5.1.1 not here\r\n",
            _ => b"250 2.0.0 yes\r\n",
        };
        stream.write_all(answer)?;
    }
}

fn data(lines: &mut impl BufRead) -> std::io::Result<String> {
    let mut text = String::new();
    loop {
        let mut line = Vec::new();
        if lines.read_until(b'\n', &mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if line == b".\r\n" {
            return Ok(text);
        }
        text.push_str(&String::from_utf8_lossy(line.strip_prefix(b".").unwrap_or(&line)));
    }
}
