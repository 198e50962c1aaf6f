//! One mail to wherever this exit's mail goes.

use crate::config::{Deliver, Place};
use crate::delivery::Disposition;
use crate::mta::smtp::{self, Envelope, Hello, Limits, Protocol};
use crate::mta::{maildir, sendmail};
use crate::sys::clock;
use rand_core::Rng;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

/// How long each step may take.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For a connection to be taken.
    pub connect: Duration,
    /// For the steps of SMTP and LMTP.
    pub smtp: Limits,
    /// For a sendmail program, from its start to its end.
    pub sendmail: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { connect: Duration::from_secs(30), smtp: Limits::default(), sendmail: Duration::from_mins(5) }
    }
}

/// Hands `envelope` to `target`.
///
/// # Errors
/// Nobody is there who could take any mail, or the Maildir can't be written. The mail is where it was.
pub async fn hand_over(target: &Deliver, envelope: Envelope<'_>, patience: &Patience) -> io::Result<Disposition> {
    match target {
        Deliver::Smtp(place) => by_smtp(Protocol::Smtp, place, envelope, patience).await,
        Deliver::Lmtp(place) => by_smtp(Protocol::Lmtp, place, envelope, patience).await,
        Deliver::Sendmail(program) => sendmail::deliver(program, envelope, patience.sendmail).await,
        Deliver::Maildir(dir) => {
            let mut unique = [0; 16];
            clock::rng().fill_bytes(&mut unique);
            maildir::deliver(dir, unique, envelope.mail).map(|_| Disposition::Delivered)
        }
    }
}

async fn by_smtp(
    protocol: Protocol,
    place: &Place,
    envelope: Envelope<'_>,
    patience: &Patience,
) -> io::Result<Disposition> {
    // We call ourselves by our end of the connection: a real name would be the host's.
    match place {
        Place::Tcp(address) => {
            let stream = timeout(patience.connect, TcpStream::connect((address.host(), address.port()))).await??;
            let name = literal(stream.local_addr()?);
            Ok(smtp::deliver(stream, Hello { protocol, name: &name }, envelope, &patience.smtp).await)
        }
        Place::Unix(path) => {
            let stream = timeout(patience.connect, UnixStream::connect(path)).await??;
            Ok(smtp::deliver(stream, Hello { protocol, name: "localhost" }, envelope, &patience.smtp).await)
        }
    }
}

fn literal(us: SocketAddr) -> String {
    match us {
        SocketAddr::V4(us) => format!("[{}]", us.ip()),
        SocketAddr::V6(us) => format!("[IPv6:{}]", us.ip()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn we_call_ourselves_by_our_end_of_the_connection() {
        for (us, want) in [("127.0.0.1:99", "[127.0.0.1]"), ("[::1]:99", "[IPv6:::1]")] {
            assert_eq!(literal(us.parse().unwrap()), want);
        }
    }
}
