//! What a person sees before sending: the mail as its recipient will get it, and what cleaning leaves in it.

use super::Address;
use super::content::{Transfer, to_utf8};
use super::content_type::{Parameters, file_name};
use super::header::as_field;
use super::news;
use super::parts::MAX_DEPTH;
use super::parts::children;
use super::sanitize::{EntryRules, ExitRules, Refused, at_entry, at_exit};
use super::source::{Part, without_blank_lines};
use super::traces::{Sender, in_file, in_text};
use crate::time::Time;
use mail_parser::{HeaderValue, parsers::MessageStream};
use std::fmt;

pub use super::traces::Trace;

/// The domain of all placeholders: it exists nowhere (RFC 2606).
const PLACEHOLDER_DOMAIN: &str = "fog.invalid";
/// Shortest name that is looked for: shorter ones stand in any text.
const MIN_NAME: usize = 3;
/// Most names, and most words of names, that are looked for: each is looked for in the whole mail.
const MAX_NAMES: usize = 50;

/// A trace of the sender in one part of the mail.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Clone)]
pub struct Warning {
    /// Which part: its file name, or its type.
    pub part: String,
    /// What is in it.
    pub trace: Trace,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.part, self.trace)
    }
}

/// The mail as its recipient will get it, cleaned at the entry and at the exit; From, Message-ID and Date are
/// placeholders, and boundaries are the same at every call.
///
/// # Errors
/// Why it would be refused.
pub fn dry_run(raw: &[u8], recipient: &Address, own_domains: &[String]) -> Result<Vec<u8>, Refused> {
    let from = Address::parse("anonymous@fog.invalid").expect("a constant that is an address");
    let message_id_domain = PLACEHOLDER_DOMAIN;
    let entry = EntryRules { recipient, message_id: [0; 16], message_id_domain, own_domains, seed: [0; 32] };
    let date = Time::from_secs(0);
    let entry = at_entry(raw, &entry)?;
    let newsgroups = if recipient.is_news() { news::groups(&entry, recipient).unwrap_or_default() } else { Vec::new() };
    let exit = ExitRules {
        recipient,
        newsgroups: &newsgroups,
        comment: "",
        from: &from,
        from_name: "Anonymous",
        message_id_domain,
        date,
        seed: [1; 32],
    };
    at_exit(&entry, &exit)
}

/// What of `raw`, a mail as its sender wrote it, will still say who wrote it: sorted, each once.
#[must_use]
pub fn warnings(raw: &[u8]) -> Vec<Warning> {
    let Ok(mail) = Part::mail(raw) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    look(&mail, "text/plain", 0, &sender_of(&mail), &mut found);
    found.sort();
    found.dedup();
    found
}

fn sender_of(mail: &Part<'_>) -> Sender {
    let mut sender = Sender::default();
    let fields = ["from", "sender", "reply-to"];
    for value in fields.iter().flat_map(|name| mail.values(name)) {
        let field = as_field(value);
        let HeaderValue::Address(list) = MessageStream::new(&field).parse_address() else {
            continue;
        };
        for one in list.iter() {
            sender.names.extend(one.address().map(str::to_lowercase));
            if let Some(name) = one.name().map(str::to_lowercase).filter(|name| name.chars().count() >= MIN_NAME) {
                sender
                    .words
                    .extend(name.split_whitespace().filter(|w| w.chars().count() >= MIN_NAME).map(str::to_owned));
                sender.names.push(name);
            }
        }
    }
    sender.names.truncate(MAX_NAMES);
    sender.words.truncate(MAX_NAMES);
    sender
}

fn look(part: &Part<'_>, default: &str, depth: usize, sender: &Sender, found: &mut Vec<Warning>) {
    let content_type = part.value("content-type");
    let of = Parameters::media_type(content_type, default);
    let transfer = Transfer::read(part.value("content-transfer-encoding"));
    let Some(bytes) = transfer.decode(part.body).filter(|_| depth <= MAX_DEPTH) else {
        return;
    };
    let disposition = Parameters::read(part.value("content-disposition"));
    let name = file_name(&of, disposition.as_ref()).unwrap_or_else(|| of.full());
    let traces = match (of.kind.as_str(), of.sub.as_str()) {
        ("multipart", sub) => {
            let default = if sub == "digest" { "message/rfc822" } else { "text/plain" };
            for child in children(part, &of).unwrap_or_default() {
                if let Ok(child) = Part::inner(child) {
                    look(&child, default, depth + 1, sender, found);
                }
            }
            Vec::new()
        }
        ("message", "rfc822" | "global" | "news") => {
            if let Ok(mail) = Part::inner(without_blank_lines(&bytes)) {
                look(&mail, "text/plain", depth + 1, sender, found);
            }
            Vec::new()
        }
        ("text", sub) => {
            let text = to_utf8(&bytes, of.get("charset")).bytes;
            in_text(&String::from_utf8_lossy(&text), sub, sender)
        }
        ("application", "pkcs7-mime" | "x-pkcs7-mime") => {
            let signed = of.get("smime-type").is_some_and(|t| t.eq_ignore_ascii_case("signed-data"));
            if signed { vec![Trace::Signed] } else { Vec::new() }
        }
        (kind, sub) => in_file(&bytes, kind, sub),
    };
    found.extend(traces.into_iter().map(|trace| Warning { part: name.clone(), trace }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_looked_at_wherever_it_lies() {
        let raw = "From: \"Alice Example\" <alice@own.example>\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
            --b\r\n\r\nI am ALICE EXAMPLE.\r\n-- \r\nalice\r\n\
            --b\r\nContent-Type: application/pdf; name=cv.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nJVBERi0xLjQgL0F1dGhvciAoQSk=\r\n\
            --b\r\nContent-Type: message/rfc822\r\n\r\nContent-Type: multipart/signed; boundary=c\r\n\r\n\
            --c\r\n\r\nat 10:00 +0200\r\n--c\r\nContent-Type: application/pgp-signature\r\n\r\n-----BEGIN PGP SIGNATURE-----\r\n--c--\r\n\
            --b--\r\n";
        let shown: Vec<_> = warnings(raw.as_bytes()).iter().map(|w| (w.part.clone(), w.trace)).collect();
        let want = [
            ("application/pgp-signature", Trace::Signed),
            ("cv.pdf", Trace::Author),
            ("text/plain", Trace::Sender),
            ("text/plain", Trace::SignatureBlock),
            ("text/plain", Trace::TimeZone),
        ];
        assert_eq!(shown, want.map(|(part, trace)| (part.to_owned(), trace)));
        let first = &warnings(raw.as_bytes())[1];
        assert_eq!(first.to_string(), "cv.pdf is a document that names its author");
    }

    #[test]
    fn a_mail_that_names_nobody_gives_no_warning() {
        assert_eq!(warnings(b"From: Al <al@own.example>\r\nSubject: x\r\n\r\nAll is well, says Al.\r\n"), []);
        assert_eq!(warnings(b"no mail"), []);
    }

    #[test]
    fn no_more_names_are_looked_for_than_a_mail_has_senders() {
        let from: Vec<_> = (100..400).map(|i| format!("name{i} word{i} <a{i}@own.example>")).collect();
        let raw = format!("From: {}\r\n\r\n", from.join(",\r\n "));
        let sender = sender_of(&Part::mail(raw.as_bytes()).unwrap());
        assert_eq!((sender.names.len(), sender.words.len()), (MAX_NAMES, MAX_NAMES));
    }

    #[test]
    fn a_dry_run_shows_the_whole_mail_with_placeholders() {
        let bob = Address::parse("bob@dest.example").unwrap();
        let raw = b"From: alice@own.example\nSubject: hi\nX-Mailer: m\nMessage-ID: <1@own.example>\n\nText\n";
        let want = "From: \"Anonymous\" <anonymous@fog.invalid>\r\nTo: bob@dest.example\r\nSubject: hi\r\n\
            Date: Thu, 1 Jan 1970 00:00:00 +0000\r\nMessage-ID: <00000000000000000000000000000000@fog.invalid>\r\n\
            Remailed-By: fog\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=\"utf-8\"\r\n\
            Content-Transfer-Encoding: 7bit\r\n\r\nText\r\n";
        assert_eq!(String::from_utf8(dry_run(raw, &bob, &[]).unwrap()).unwrap(), want);
    }
}
