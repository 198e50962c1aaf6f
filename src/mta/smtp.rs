//! Our own small SMTP client, for one thing: handing one mail for one recipient to the local MTA.
//!
//! The dialogue (what to say to which reply) is a state machine without I/O; [`deliver`] moves its bytes, with a time
//! limit on every step. Whatever the peer does ends in a `Disposition`.

use crate::delivery::Disposition;
use crate::mail::address::Address;
use crate::mta::reply::{BadReply, Replies, Reply};
use std::io;
use std::time::Duration;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// Written at once; each piece has the time limit `block`.
const BLOCK: usize = 65_536;

/// One mail in its SMTP envelope.
#[derive(Clone, Copy)]
pub struct Envelope<'a> {
    /// Whom the bounces go to; `None` is `<>`.
    pub from: Option<&'a Address>,
    /// The one recipient.
    pub to: &'a Address,
    /// The mail, every line ended by CRLF.
    pub mail: &'a [u8],
}

/// How long to wait for the peer, by step. RFC 5321, 4.5.3.2 has the defaults.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// For the greeting and the answer to any command.
    pub command: Duration,
    /// For the peer to take one block of the mail.
    pub block: Duration,
    /// For the answer to the final dot. Giving up early here makes duplicates.
    pub end: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { command: Duration::from_mins(5), block: Duration::from_mins(3), end: Duration::from_mins(10) }
    }
}

/// The mail holds a carriage return, a line feed or a NUL where none may be. Sent as it is, it could end early at one
/// MTA or another, and what follows would be a second mail of somebody's choice.
#[derive(Debug, Error, PartialEq, Eq, Clone, Copy)]
#[error("a bare CR, a bare LF or a NUL in the mail")]
pub struct BareLineEnd;

/// Hands `envelope` over on `stream`, calling ourselves `hello` (a domain name or an address literal).
///
/// Nothing is written before the mail has been found free of bare CR, LF and NUL (else `Permanent`). A connection lost
/// after the final dot is `Temporary`: the MTA may have the mail, but a second copy is better than none.
pub async fn deliver<S>(mut stream: S, hello: &str, envelope: Envelope<'_>, limits: &Limits) -> Disposition
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Ok(text) = stuff(envelope.mail) else { return Disposition::Permanent };
    let mut dialogue = Dialogue::new(hello, envelope);
    let outcome = converse(&mut stream, &mut dialogue, &text, limits).await;
    // Politeness only: whether the peer hears it changes nothing. After a break it might be taken for mail text.
    if outcome.is_ok() {
        let _ = timeout(limits.command, stream.write_all(b"QUIT\r\n")).await;
        let _ = timeout(limits.command, stream.shutdown()).await;
    }
    outcome.unwrap_or(Disposition::Temporary)
}

/// Why a conversation broke off. All of these are the peer's or the connection's fault, so: later.
#[derive(Debug, Error)]
enum Broken {
    #[error("connection lost")]
    Io(#[from] io::Error),
    #[error("silence")]
    Silence(#[from] tokio::time::error::Elapsed),
    #[error(transparent)]
    Reply(#[from] BadReply),
    #[error("spoke out of turn")]
    OutOfTurn,
}

async fn converse<S>(
    stream: &mut S,
    dialogue: &mut Dialogue<'_>,
    text: &[u8],
    l: &Limits,
) -> Result<Disposition, Broken>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut replies = Replies::default();
    loop {
        let patience = if dialogue.stage == Stage::Text { l.end } else { l.command };
        let reply = timeout(patience, read_reply(stream, &mut replies)).await??;
        let step = dialogue.step(&reply);
        if let Step::Done(disposition) = step {
            return Ok(disposition);
        }
        if !replies.is_idle() {
            return Err(Broken::OutOfTurn);
        }
        match &step {
            Step::Say(line) => timeout(l.command, stream.write_all(line.as_bytes())).await??,
            Step::SendText => {
                for block in text.chunks(BLOCK) {
                    timeout(l.block, stream.write_all(block)).await??;
                }
            }
            Step::Done(_) => {}
        }
        timeout(l.block, stream.flush()).await??;
    }
}

async fn read_reply<S: AsyncRead + Unpin>(stream: &mut S, replies: &mut Replies) -> Result<Reply, Broken> {
    let mut bytes = [0; 1024];
    loop {
        if let Some(reply) = replies.reply()? {
            return Ok(reply);
        }
        let n = stream.read(&mut bytes).await?;
        if n == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        replies.feed(bytes.get(..n).unwrap_or_default());
    }
}

/// The mail as it goes over the wire: every line that starts with a dot gets another, and the final dot line.
///
/// # Errors
/// `BareLineEnd`; nothing of such a mail may be sent.
pub fn stuff(mail: &[u8]) -> Result<Vec<u8>, BareLineEnd> {
    let mut wire = Vec::with_capacity(mail.len() + mail.len() / 64 + 5);
    for line in mail.split_inclusive(|&b| b == b'\n') {
        let (text, end) = match line.strip_suffix(b"\r\n") {
            Some(text) => (text, true),
            None => (line, false),
        };
        if text.iter().any(|b| matches!(b, b'\r' | b'\n' | 0)) {
            return Err(BareLineEnd);
        }
        if text.first() == Some(&b'.') {
            wire.push(b'.');
        }
        wire.extend_from_slice(text);
        if end || !text.is_empty() {
            wire.extend_from_slice(b"\r\n");
        }
    }
    wire.extend_from_slice(b".\r\n");
    Ok(wire)
}

/// Which reply is awaited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Greeting,
    Ehlo,
    Helo,
    Mail,
    Rcpt,
    Data,
    Text,
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Say(String),
    SendText,
    Done(Disposition),
}

/// What the peer offers, as far as we care.
#[derive(Debug, Default, Clone, Copy)]
struct Offers {
    eight_bit: bool,
    utf8: bool,
    /// `SIZE`; the inner value is the limit it names, if it names one.
    size: Option<Option<usize>>,
}

impl Offers {
    fn read(reply: &Reply) -> Self {
        let mut offers = Self::default();
        for line in reply.lines.iter().skip(1) {
            let text = String::from_utf8_lossy(line).to_ascii_uppercase();
            let mut words = text.split_ascii_whitespace();
            match words.next() {
                Some("8BITMIME") => offers.eight_bit = true,
                Some("SMTPUTF8") => offers.utf8 = true,
                // RFC 1870: zero is "no fixed maximum".
                Some("SIZE") => offers.size = Some(words.next().and_then(|n| n.parse().ok()).filter(|n| *n > 0)),
                _ => {}
            }
        }
        offers
    }
}

struct Dialogue<'a> {
    hello: &'a str,
    envelope: Envelope<'a>,
    stage: Stage,
}

impl<'a> Dialogue<'a> {
    const fn new(hello: &'a str, envelope: Envelope<'a>) -> Self {
        Self { hello, envelope, stage: Stage::Greeting }
    }

    /// The answer to `reply`.
    ///
    /// Which refusals are final: those of the recipient or of the text. A refused greeting, hello or *sender* says
    /// something about how this MTA is set up, and would be said of every mail; giving mails up for it would lose them
    /// all to one wrong line in its configuration.
    fn step(&mut self, reply: &Reply) -> Step {
        match (self.stage, reply.class()) {
            (Stage::Greeting, 2) => self.say(Stage::Ehlo, format!("EHLO {}\r\n", self.hello)),
            (Stage::Ehlo, 2) => self.mail(Some(Offers::read(reply))),
            // An MTA from before 1995, or one with EHLO turned off; 421 and other 4xx are no such answer.
            (Stage::Ehlo, 5) => self.say(Stage::Helo, format!("HELO {}\r\n", self.hello)),
            (Stage::Helo, 2) => self.mail(None),
            (Stage::Mail, 2) => self.say(Stage::Rcpt, format!("RCPT TO:<{}>\r\n", self.envelope.to)),
            // "Message size exceeds fixed maximum": the one answer to MAIL that is about this mail.
            (Stage::Mail, 5) if reply.code == 552 => Step::Done(Disposition::Permanent),
            (Stage::Rcpt, 2) => self.say(Stage::Data, "DATA\r\n".to_owned()),
            (Stage::Data, 3) => {
                self.stage = Stage::Text;
                Step::SendText
            }
            (Stage::Text, 2) => Step::Done(Disposition::Delivered),
            (Stage::Rcpt | Stage::Data | Stage::Text, 5) if !about_us(reply.code) => Step::Done(Disposition::Permanent),
            _ => Step::Done(Disposition::Temporary),
        }
    }

    fn say(&mut self, next: Stage, line: String) -> Step {
        self.stage = next;
        Step::Say(line)
    }

    /// `MAIL FROM`, or a verdict if the peer has said that it can't take such a mail. `None`: it knows no extensions.
    fn mail(&mut self, offers: Option<Offers>) -> Step {
        let Envelope { from, to, mail } = self.envelope;
        let utf8 = !to.is_ascii() || !from.is_none_or(Address::is_ascii) || !head(mail).is_ascii();
        let Offers { eight_bit, utf8: utf8_offered, size } = offers.unwrap_or_default();
        if size.flatten().is_some_and(|limit| mail.len() > limit) {
            return Step::Done(Disposition::Permanent);
        }
        if utf8 && !utf8_offered {
            // Without an answer to EHLO it may be having a bad day; with one, it will never take this address.
            return Step::Done(if offers.is_some() { Disposition::Permanent } else { Disposition::Temporary });
        }
        let address = from.map(ToString::to_string).unwrap_or_default();
        let mut line = format!("MAIL FROM:<{address}>");
        if size.is_some() {
            line += &format!(" SIZE={}", mail.len());
        }
        // Eight-bit text goes out even where it isn't offered, as Exim does: whoever is not eight-bit clean today
        // hasn't been looked after for decades, and a signed part can't be re-encoded.
        if eight_bit && !mail.is_ascii() {
            line += " BODY=8BITMIME";
        }
        if utf8 {
            line += " SMTPUTF8";
        }
        self.say(Stage::Mail, line + "\r\n")
    }
}

/// The header section.
fn head(mail: &[u8]) -> &[u8] {
    let end = mail.windows(4).position(|w| w == b"\r\n\r\n").unwrap_or(mail.len());
    mail.get(..end).unwrap_or(mail)
}

/// Codes that complain of how we talk or who we are, not of the mail: unknown command, bad sequence, log in first.
const fn about_us(code: u16) -> bool {
    matches!(code, 500 | 502 | 503 | 504 | 530 | 535 | 538)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    fn reply(text: &str) -> Reply {
        let mut replies = Replies::default();
        replies.feed(text.as_bytes());
        replies.reply().unwrap().unwrap()
    }

    /// What is said after these replies.
    fn last_step(mail: &[u8], to: &str, said: &[&str]) -> Step {
        let (from, to) = (address("anonymous@exit.example"), address(to));
        let mut dialogue = Dialogue::new("[127.0.0.1]", Envelope { from: Some(&from), to: &to, mail });
        said.iter().map(|text| dialogue.step(&reply(text))).last().unwrap()
    }

    #[test]
    fn lines_with_a_dot_are_stuffed_and_the_end_is_marked() {
        for (mail, want) in [
            (&b""[..], &b".\r\n"[..]),
            (b"a\r\n", b"a\r\n.\r\n"),
            (b"a", b"a\r\n.\r\n"),
            (b".", b"..\r\n.\r\n"),
            (b".\r\n", b"..\r\n.\r\n"),
            (b"..\r\n", b"...\r\n.\r\n"),
            (b"\r\n.\r\n", b"\r\n..\r\n.\r\n"),
            (b"a\r\n.b\r\n\r\n", b"a\r\n..b\r\n\r\n.\r\n"),
            (b"a.\r\nb.c\r\n", b"a.\r\nb.c\r\n.\r\n"),
        ] {
            assert_eq!(stuff(mail).as_deref(), Ok(want), "{}", mail.escape_ascii());
        }
    }

    #[test]
    fn a_bare_line_end_or_nul_is_refused() {
        for mail in [
            &b"a\n"[..],
            b"\n",
            b"a\r",
            b"a\rb\r\n",
            b"a\r\r\n",
            b"a\n\r\n",
            b"a\r\n\n",
            b"\r\n\r",
            b"a\0b\r\n",
            b"\r\r\n.\r\n",
            b"\n.\n",
            b"\r.\r",
            b"\n.\r\n",
            b"\r\n.\r",
            b"\r\n.\n",
        ] {
            assert_eq!(stuff(mail), Err(BareLineEnd), "{}", mail.escape_ascii());
        }
    }

    #[test]
    fn only_extensions_that_are_offered_and_needed_are_used() {
        let all = "250-mx\r\n250-8bitmime\r\n250-SMTPUTF8\r\n250 SIZE 1000\r\n";
        let plain = &b"A: b\r\n\r\nx\r\n"[..];
        let eight = "A: b\r\n\r\n\u{e9}\r\n".as_bytes();
        let in_header = "A: \u{e9}\r\n\r\nx\r\n".as_bytes();
        for (mail, to, ehlo, want) in [
            (plain, "a@x.org", all, " SIZE=11"),
            (plain, "a@x.org", "250 mx\r\n", ""),
            (plain, "a@x.org", "250-mx\r\n250 SIZE\r\n", " SIZE=11"),
            (eight, "a@x.org", all, " SIZE=12 BODY=8BITMIME"),
            (eight, "a@x.org", "250 mx\r\n", ""),
            (plain, "\u{e9}@x.org", all, " SIZE=11 SMTPUTF8"),
            (in_header, "a@x.org", all, " SIZE=12 BODY=8BITMIME SMTPUTF8"),
        ] {
            let line = format!("MAIL FROM:<anonymous@exit.example>{want}\r\n");
            assert_eq!(last_step(mail, to, &["220 hi\r\n", ehlo]), Step::Say(line), "{to} {ehlo}");
        }
    }

    #[test]
    fn what_the_peer_cannot_take_is_not_sent() {
        use Disposition::{Permanent, Temporary};
        for (to, said, want) in [
            ("\u{e9}@x.org", ["220 hi\r\n", "250-mx\r\n250 8BITMIME\r\n", ""], Permanent),
            ("\u{e9}@x.org", ["220 hi\r\n", "502 no\r\n", "250 mx\r\n"], Temporary),
            ("a@x.org", ["220 hi\r\n", "250-mx\r\n250 SIZE 10\r\n", ""], Permanent),
        ] {
            let said: Vec<_> = said.into_iter().filter(|text| !text.is_empty()).collect();
            assert_eq!(last_step(b"A: b\r\n\r\nx\r\n", to, &said), Step::Done(want), "{to} {said:?}");
        }
    }
}
