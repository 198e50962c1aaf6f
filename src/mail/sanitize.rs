//! Mail made clean, twice: at the entry, so that no node sees what doesn't matter, and at the exit, so that a careless
//! or hostile entry can't use what the first cleaning takes out.
//!
//! Both times the mail is taken apart and written anew from a list of what may stay (docs/design.md, "Mail is made
//! clean twice"). Signed and encrypted parts keep their bytes.

use super::Address;
use super::content::is_clean;
use super::header::{is_language, is_newsgroup, list, text, write_line, write_list, write_text};
use super::names::{Names, hex};
use super::parts::Rebuild;
use super::source::Part;
use super::threads::OwnDomains;
use crate::time::Time;
use mail_builder::headers::{Header as _, address, date::Date};
use thiserror::Error;

/// The header field that marks a mail of this network, so that none goes round twice.
pub const MARKER: &str = "Remailed-By";
/// The most bytes by which a mail may grow at an exit: what the exit stamps on it is far less, and the rest an entry has
/// written as an exit does.
pub const MAX_GROWTH: usize = 64 << 10;

/// The last second of the year 9999: what a Date can say.
const LAST_DATE: u64 = 253_402_300_799;

/// What the entry stamps on a mail.
pub struct EntryRules<'r> {
    /// The true recipient, the network's suffix taken off.
    pub recipient: &'r Address,
    /// Drawn for this mail: all its copies carry it.
    pub message_id: [u8; 16],
    /// The domain of every Message-ID of the network; a domain name.
    pub message_id_domain: &'r str,
    /// Domains of the sender beside those that the mail itself names.
    pub own_domains: &'r [String],
    /// Boundaries and Content-IDs come from it; drawn for this mail and kept by nobody.
    pub seed: [u8; 32],
}

/// What the exit stamps on a mail.
pub struct ExitRules<'r> {
    /// The recipient. One that is news gets no `To:`: the gateway that it goes to stands there, and that is not known
    /// yet.
    pub recipient: &'r Address,
    /// The newsgroups it is posted to; empty if it goes to a person.
    pub newsgroups: &'r [String],
    /// What the exit says of all such mail, in a `Comments:` field; nothing if it is empty.
    pub comment: &'r str,
    /// The exit's anonymous address.
    pub from: &'r Address,
    /// The exit's name for anonymous senders; may be empty.
    pub from_name: &'r str,
    /// The domain of every Message-ID of the network; a domain name.
    pub message_id_domain: &'r str,
    /// The hand-over tick; its seconds are not shown.
    pub date: Time,
    /// As at the entry.
    pub seed: [u8; 32],
}

/// Why a mail can't be made clean, and is not sent.
#[derive(Debug, Error, PartialEq, Eq, Clone, Copy)]
pub enum Refused {
    /// No header field at all.
    #[error("this is no mail: it begins with header lines (\"Subject: …\") and an empty line")]
    Empty,
    /// A header line that is neither a field nor the continuation of one, or holds a CR that ends no line.
    #[error("a line of the header is no header field, or holds a bare CR: is the empty line before the text missing?")]
    BadHeader,
    /// More header than any mail needs.
    #[error("the header is longer than 256 KiB")]
    HeaderTooLong,
    /// Parts in parts in parts.
    #[error("its parts are nested more than 32 deep")]
    TooDeep,
    /// More parts than any mail needs.
    #[error("it has more than 1000 parts")]
    TooManyParts,
    /// What is signed or encrypted can't be written anew, and as it is it could end the mail early, or be broken by an
    /// MTA that cuts lines.
    #[error(
        "a signed or encrypted part holds a bare CR, LF or NUL, or a line of more than 998 characters: \
         sign it again with a mail program that ends lines properly"
    )]
    BareLineEnd,
    /// What a piece of a mail says can be seen only with the other pieces.
    #[error("it is a piece of a mail (message/partial), which can't be cleaned: send it in one")]
    Piece,
    /// An attached mail or a multipart that can't be taken apart: what it says can't be seen.
    #[error("the encoding or the frame of an attached mail or a multipart is broken, so it can't be cleaned")]
    BadEncoding,
    /// No entry wrote it, for what an entry has written an exit writes alike. An exit could be filled with little.
    #[error("written anew it would be far longer")]
    Growth,
    /// It has come out of the network before.
    #[error("it has been through the network already (its header says Remailed-By)")]
    Loop,
}

/// Cleans a mail as it comes from its sender (line ends CRLF or LF). There is no From and no Date in the result; every
/// line in it ends with CRLF, and no CR, LF or NUL stands elsewhere.
///
/// # Errors
/// Why it can't be cleaned; nothing of it may be sent then.
pub fn at_entry(raw: &[u8], rules: &EntryRules<'_>) -> Result<Vec<u8>, Refused> {
    let mail = Part::mail(raw)?;
    let own = OwnDomains::of(&mail, rules.own_domains, rules.message_id_domain);
    let mut out = Vec::with_capacity(raw.len() + raw.len() / 2);
    write_line(&mut out, "To", &rules.recipient.to_string());
    write_subject(&mut out, &mail);
    write_line(&mut out, "Message-ID", &format!("<{}@{}>", hex(&rules.message_id), rules.message_id_domain));
    write_kept(&mut out, &mail, &own, &[]);
    write_body(out, &mail, Names::new(&rules.seed, rules.message_id_domain))
}

/// Cleans a mail as it comes out of the network, and stamps the exit's From and Date and the marker on it. The result is
/// longer by at most [`MAX_GROWTH`].
///
/// # Errors
/// Why it can't be cleaned; it is not delivered then.
pub fn at_exit(raw: &[u8], rules: &ExitRules<'_>) -> Result<Vec<u8>, Refused> {
    let mail = Part::mail(raw)?;
    let own = OwnDomains::of(&mail, &[], rules.message_id_domain);
    let names = Names::new(&rules.seed, rules.message_id_domain);
    let id = network_id(&mail, rules.message_id_domain).unwrap_or_else(|| names.message_id());
    let minute = rules.date.as_secs().min(LAST_DATE) / 60 * 60;
    let mut out = Vec::with_capacity(raw.len() + raw.len() / 16);
    write_from(&mut out, rules);
    if rules.newsgroups.is_empty() {
        write_line(&mut out, "To", &rules.recipient.to_string());
    }
    write_subject(&mut out, &mail);
    write_line(&mut out, "Date", &Date::new(i64::try_from(minute).unwrap_or_default()).to_rfc822());
    write_line(&mut out, "Message-ID", &format!("<{id}@{}>", rules.message_id_domain));
    write_kept(&mut out, &mail, &own, rules.newsgroups);
    write_line(&mut out, MARKER, "fog");
    if !rules.comment.is_empty() {
        write_text(&mut out, "Comments", rules.comment);
    }
    let out = write_body(out, &mail, names)?;
    if out.len() > raw.len().saturating_add(MAX_GROWTH) { Err(Refused::Growth) } else { Ok(out) }
}

fn write_from(out: &mut Vec<u8>, rules: &ExitRules<'_>) {
    let name = text(rules.from_name.as_bytes());
    let name = (!name.is_empty()).then_some(name);
    out.extend_from_slice(b"From: ");
    address::Address::new_address(name, rules.from.to_string()).write_header(out, "From: ".len());
}

fn write_subject(out: &mut Vec<u8>, mail: &Part<'_>) {
    let subject = mail.value("subject").map(text).unwrap_or_default();
    if !subject.is_empty() {
        write_text(out, "Subject", &subject);
    }
}

/// The fields that stay beside Subject, in one order whatever theirs was; `newsgroups`, if there are any, in the place
/// of the mail's own.
fn write_kept(out: &mut Vec<u8>, mail: &Part<'_>, own: &OwnDomains<'_>, newsgroups: &[String]) {
    let entries = |name: &str, good: fn(&str) -> bool| mail.value(name).map(|v| list(v, good)).unwrap_or_default();
    let groups = if newsgroups.is_empty() { entries("newsgroups", is_newsgroup) } else { newsgroups.to_vec() };
    for (name, entries, separator) in [
        ("In-Reply-To", own.foreign_ids(mail, "in-reply-to"), ""),
        ("References", own.foreign_ids(mail, "references"), ""),
        ("Newsgroups", groups, ","),
        ("Followup-To", entries("followup-to", is_newsgroup), ","),
        ("Content-Language", entries("content-language", is_language), ","),
    ] {
        if !entries.is_empty() {
            write_list(out, name, &entries, separator);
        }
    }
}

fn write_body(mut out: Vec<u8>, mail: &Part<'_>, names: Names<'_>) -> Result<Vec<u8>, Refused> {
    if mail.value(&MARKER.to_ascii_lowercase()).is_some() {
        return Err(Refused::Loop);
    }
    write_line(&mut out, "MIME-Version", "1.0");
    Rebuild::new(names).mail(mail)?.write_part(&mut out);
    if !out.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    // What was written is clean by construction; a mail that isn't would be two mails to some MTA.
    if is_clean(&out) { Ok(out) } else { Err(Refused::BareLineEnd) }
}

/// The Message-ID, if it is one that an entry draws: any other could say something.
fn network_id(mail: &Part<'_>, domain: &str) -> Option<String> {
    let value = mail.value("message-id")?.trim_ascii();
    let id = str::from_utf8(value.strip_prefix(b"<")?.strip_suffix(b">")?).ok()?;
    let (left, right) = id.split_once('@')?;
    let drawn = left.len() == 32 && left.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    (drawn && right == domain).then(|| left.to_owned())
}
