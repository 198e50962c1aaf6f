//! An MTA that takes every mail and remembers when, by the number in its subject `mark N`.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

type Arrivals = Arc<Mutex<BTreeMap<usize, Vec<Instant>>>>;

/// Listens until the test ends.
pub(crate) struct Sink {
    address: SocketAddr,
    arrivals: Arrivals,
}

impl Sink {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, arrivals) = (listener.local_addr().unwrap(), Arrivals::default());
        let noted = Arc::clone(&arrivals);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let noted = Arc::clone(&noted);
                // A client that goes in the middle is what is tested.
                thread::spawn(move || stream.and_then(|stream| talk(stream, &noted)));
            }
        });
        Self { address, arrivals }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// When each mark arrived, each time that it did.
    pub(crate) fn arrived(&self) -> BTreeMap<usize, Vec<Instant>> {
        self.arrivals.lock().unwrap().clone()
    }
}

fn talk(mut stream: TcpStream, arrivals: &Arrivals) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?);
    stream.write_all(b"220 sink ESMTP\r\n")?;
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let verb = line.get(..4).unwrap_or_default().to_ascii_uppercase();
        if verb == "DATA" {
            stream.write_all(b"354 go on\r\n")?;
            let mark = data(&mut lines)?;
            // From here on the mail is the MTA's, whether the client hears it or not.
            arrivals.lock().unwrap().entry(mark).or_default().push(Instant::now());
        }
        let answer: &[u8] =
            if verb == "EHLO" { b"250-sink\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n" } else { b"250 2.0.0 yes\r\n" };
        stream.write_all(answer)?;
    }
}

fn data(lines: &mut impl BufRead) -> std::io::Result<usize> {
    let mut mark = None;
    loop {
        let mut line = Vec::new();
        if lines.read_until(b'\n', &mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if line == b".\r\n" {
            return Ok(mark.expect("a mark in every mail"));
        }
        if let Some(number) = line.strip_prefix(b"Subject: mark ") {
            mark = str::from_utf8(number.trim_ascii_end()).ok().and_then(|number| number.parse().ok());
        }
    }
}
