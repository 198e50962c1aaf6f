//! What to say to which reply: SMTP and LMTP as a state machine without I/O.

use crate::delivery::Disposition;
use crate::mail::address::Address;
use crate::mta::reply::Reply;

/// What is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// RFC 5321.
    Smtp,
    /// RFC 2033: SMTP with another greeting, and an answer for each recipient after the final dot. There is one.
    Lmtp,
}

/// How we introduce ourselves.
#[derive(Debug, Clone, Copy)]
pub struct Hello<'a> {
    /// What is spoken.
    pub protocol: Protocol,
    /// A domain name or an address literal.
    pub name: &'a str,
}

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
pub(super) enum Step {
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

/// One mail's way into an MTA.
pub(super) struct Dialogue<'a> {
    hello: Hello<'a>,
    envelope: Envelope<'a>,
    stage: Stage,
}

impl<'a> Dialogue<'a> {
    pub(super) const fn new(hello: Hello<'a>, envelope: Envelope<'a>) -> Self {
        Self { hello, envelope, stage: Stage::Greeting }
    }

    /// Whether the text has gone, so that the next reply is the last.
    pub(super) const fn awaits_verdict(&self) -> bool {
        matches!(self.stage, Stage::Text)
    }

    /// The answer to `reply`.
    ///
    /// Which refusals are final: those of the recipient or of the text. A refused greeting, hello or *sender* says
    /// something about how this MTA is set up, and would be said of every mail; giving mails up for it would lose them
    /// all to one wrong line in its configuration.
    pub(super) fn step(&mut self, reply: &Reply) -> Step {
        match (self.stage, reply.class()) {
            (Stage::Greeting, 2) => {
                let verb = if self.hello.protocol == Protocol::Lmtp { "LHLO" } else { "EHLO" };
                self.say(Stage::Ehlo, format!("{verb} {}\r\n", self.hello.name))
            }
            (Stage::Ehlo, 2) => self.mail(Some(Offers::read(reply))),
            // An MTA from before 1995, or one with EHLO turned off; 421 and other 4xx are no such answer.
            (Stage::Ehlo, 5) if self.hello.protocol == Protocol::Smtp => {
                self.say(Stage::Helo, format!("HELO {}\r\n", self.hello.name))
            }
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
    use crate::mta::reply::Replies;

    const HELLO: Hello<'_> = Hello { protocol: Protocol::Smtp, name: "[127.0.0.1]" };

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
        let mut dialogue = Dialogue::new(HELLO, Envelope { from: Some(&from), to: &to, mail });
        said.iter().map(|text| dialogue.step(&reply(text))).last().unwrap()
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

    #[test]
    fn lmtp_is_greeted_in_its_own_way_and_in_no_other() {
        let to = address("a@x.org");
        let hello = Hello { protocol: Protocol::Lmtp, name: "localhost" };
        let envelope = Envelope { from: None, to: &to, mail: b"A: b\r\n\r\nx\r\n" };
        let mut dialogue = Dialogue::new(hello, envelope);
        assert_eq!(dialogue.step(&reply("220 hi\r\n")), Step::Say("LHLO localhost\r\n".into()));
        assert_eq!(dialogue.step(&reply("250 hi\r\n")), Step::Say("MAIL FROM:<>\r\n".into()));
        let mut dialogue = Dialogue::new(hello, envelope);
        dialogue.step(&reply("220 hi\r\n"));
        assert_eq!(dialogue.step(&reply("500 no LMTP here\r\n")), Step::Done(Disposition::Temporary));
    }
}
