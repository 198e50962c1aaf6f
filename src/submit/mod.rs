//! The one request and one reply between an injector and the node (docs/spec-message.md, "Submission").
//!
//! A frame is a four-byte length and that many bytes. A reader takes the first `PREFIX_LEN` bytes, asks `body_len` for the
//! number that follow, and only then makes room for them.

use crate::id::MessageId;
use crate::mail::address::{Address, MAX_ADDRESS};
use crate::wire::{Malformed, Reader, Writer};
use std::fmt;

/// Bytes in front of every request and reply that say how long it is.
pub const PREFIX_LEN: usize = 4;
/// Most recipients of one request.
pub const MAX_RECIPIENTS: usize = 1000;
/// Longest `Request::dedup`.
pub const MAX_DEDUP: usize = 255;

const VERSION: u8 = 1;
const ACCEPTED: u8 = 0;
const TEMPORARY: u8 = 1;
const PERMANENT: u8 = 2;
/// The longest reply: every recipient accepted.
const MAX_REPLY: usize = 1 + 2 + MAX_RECIPIENTS * (1 + MessageId::LEN);

/// A mail and its envelope, as an injector hands it in.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// Who hands it in.
    pub source: Source,
    /// What stays the same when the MTA hands the same mail in again: its queue id. At most `MAX_DEDUP` bytes.
    pub dedup: Option<Vec<u8>>,
    /// The envelope sender; `None` for the null sender or where there is none.
    pub sender: Option<Address>,
    /// The envelope recipients as the MTA wrote them (suffix and all), 1 to `MAX_RECIPIENTS`.
    pub recipients: Vec<Address>,
    /// The mail, raw: any line ends, nothing taken out yet.
    pub mail: Vec<u8>,
}

/// Who hands a mail in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// A person, with `fog send`.
    Person,
    /// An MTA, through its pipe transport or milter: it keeps the mail until it is accepted.
    Mta,
}

/// What became of a request: an outcome for each recipient, in their order. A single refusal may stand for all.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    /// 1 to `MAX_RECIPIENTS`; see `for_each`.
    pub outcomes: Vec<Outcome>,
}

/// What became of the mail for one recipient.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Committed to the node's disk; the node answers for it from now on.
    Accepted(MessageId),
    /// Not taken; trying again later may help. Any reason, so that an MTA can be told to keep what it would bounce.
    Temporary(Reason),
    /// Not taken, now or ever. Only with a reason that is permanent.
    Permanent(Reason),
}

/// Why a mail was not taken. Says nothing about who or to whom, so it can be logged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// A recipient that is no mail address.
    BadAddress,
    /// A recipient outside the suffix: nothing says that it should go through the network.
    NotFog,
    /// No exit of the network may write to this recipient.
    NoExit,
    /// More than the network's `max-size`.
    MailTooBig,
    /// No header, or one that is none: nothing to take apart.
    NotAMail,
    /// A longer header, more parts, or parts deeper in parts, than any mail has.
    TooComplex,
    /// A piece of a mail (`message/partial`), or an attached mail in a broken encoding: what it says can't be seen.
    Unreadable,
    /// A bare CR, LF or NUL where it can't be mended: in a signed or encrypted part, which keeps its bytes.
    BareControl,
    /// It has been through the network once already.
    BeenThrough,
    /// What waits to be sent has reached its limit.
    SpoolFull,
    /// The node is about to stop.
    ShuttingDown,
    /// The request could not be read: another version of fog, or not fog at all.
    NotUnderstood,
    /// A disk or a bug.
    Internal,
    /// The node knows no network to send it through.
    NoDirectory,
    /// Too many recipients for so big a mail in one request.
    TooMuchAtOnce,
}

impl Reason {
    /// Every reason there is, in the order of its code on the wire (from 1).
    pub const ALL: [Self; 15] = [
        Self::BadAddress,
        Self::NotFog,
        Self::NoExit,
        Self::MailTooBig,
        Self::NotAMail,
        Self::TooComplex,
        Self::Unreadable,
        Self::BareControl,
        Self::BeenThrough,
        Self::SpoolFull,
        Self::ShuttingDown,
        Self::NotUnderstood,
        Self::Internal,
        Self::NoDirectory,
        Self::TooMuchAtOnce,
    ];

    /// Whether trying the same mail again can't help.
    #[must_use]
    pub const fn is_permanent(self) -> bool {
        !matches!(
            self,
            Self::SpoolFull
                | Self::ShuttingDown
                | Self::NotUnderstood
                | Self::Internal
                | Self::NoDirectory
                | Self::TooMuchAtOnce
        )
    }

    /// The enhanced status code (RFC 3463) that is natural for it, as in `5.3.4`.
    #[must_use]
    pub const fn status(self) -> &'static str {
        match self {
            Self::BadAddress => "5.1.3",
            Self::NotFog => "5.1.2",
            Self::NoExit => "5.7.1",
            Self::MailTooBig => "5.3.4",
            Self::NotAMail | Self::TooComplex | Self::Unreadable | Self::BareControl => "5.6.0",
            Self::BeenThrough => "5.4.6",
            Self::SpoolFull => "4.3.1",
            Self::ShuttingDown => "4.3.2",
            Self::NotUnderstood => "4.3.5",
            Self::Internal => "4.3.0",
            Self::NoDirectory => "4.3.5",
            Self::TooMuchAtOnce => "4.5.3",
        }
    }

    /// What is wrong, in a few words on one line, for an MTA's log: no address, no line end.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::BadAddress => "the recipient is not a mail address",
            Self::NotFog => "the recipient is not an address of the anonymous network",
            Self::NoExit => "no exit of the network takes this recipient",
            Self::MailTooBig => "the mail is bigger than the network takes",
            Self::NotAMail => "this is no mail: its header is missing or broken",
            Self::TooComplex => "the mail's header or its parts are too many to be made clean",
            Self::Unreadable => "a part of the mail can't be read, so it can't be made clean",
            Self::BareControl => "a signed or encrypted part holds a bare CR, LF or NUL",
            Self::BeenThrough => "the mail has been through the network already",
            Self::SpoolFull => "too much mail is waiting to be sent",
            Self::ShuttingDown => "the node is stopping",
            Self::NotUnderstood => "the node does not understand this request",
            Self::Internal => "the node has internal trouble",
            Self::NoDirectory => "the node has no directory document yet",
            Self::TooMuchAtOnce => "too many recipients for so big a mail at once",
        }
    }

    /// What a person can do about it: a sentence or two, on one line.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            Self::BadAddress => "Write it as name@domain, without angle brackets, comments or control characters.",
            Self::NotFog => "Put the network's suffix behind the address, as in alice@example.com.fog.",
            Self::NoExit => "Every exit says in its descriptor who may be written to; `fog directory show` lists them.",
            Self::MailTooBig => "Leave attachments out or send them in several mails.",
            Self::NotAMail => "Begin with header lines such as `Subject: ...` and an empty line, then the text.",
            Self::TooComplex => "Send it in several mails, or pack the attachments into one archive.",
            Self::Unreadable => "Send it in one piece (no message/partial), and attach forwarded mails anew.",
            Self::BareControl => "Sign or encrypt it again with a program that ends its lines with CR LF.",
            Self::BeenThrough => "Look for a rule that forwards what arrives back into the network.",
            Self::SpoolFull => "Mail leaves on a fixed schedule; try again in some hours.",
            Self::ShuttingDown => "Try again when the node is up.",
            Self::NotUnderstood => {
                "Make sure that `fog send` and the running node are the same version; restart the node."
            }
            Self::Internal => "The node's log says what; nothing of the mail was kept.",
            Self::NoDirectory => {
                "Nothing was sent. Join a network with `fog init --join`, or sign a document of your own."
            }
            Self::TooMuchAtOnce => "The first recipients were taken; send it to the others once more.",
        }
    }

    /// The code on the wire.
    const fn code(self) -> u8 {
        match self {
            Self::BadAddress => 1,
            Self::NotFog => 2,
            Self::NoExit => 3,
            Self::MailTooBig => 4,
            Self::NotAMail => 5,
            Self::TooComplex => 6,
            Self::Unreadable => 7,
            Self::BareControl => 8,
            Self::BeenThrough => 9,
            Self::SpoolFull => 10,
            Self::ShuttingDown => 11,
            Self::NotUnderstood => 12,
            Self::Internal => 13,
            Self::NoDirectory => 14,
            Self::TooMuchAtOnce => 15,
        }
    }

    fn from_code(code: u8) -> Result<Self, Malformed> {
        Self::ALL.into_iter().find(|reason| reason.code() == code).ok_or(Malformed)
    }
}

impl Outcome {
    /// The refusal that is natural for `reason`.
    #[must_use]
    pub const fn refused(reason: Reason) -> Self {
        if reason.is_permanent() { Self::Permanent(reason) } else { Self::Temporary(reason) }
    }

    /// The same, but never permanent: for a caller whose MTA would bounce the whole mail.
    #[must_use]
    pub const fn deferred(self) -> Self {
        match self {
            Self::Permanent(reason) => Self::Temporary(reason),
            other => other,
        }
    }

    /// Status and text on one line, as in `4.3.1 fog: too much mail is waiting to be sent`; `None` if accepted.
    #[must_use]
    pub fn line(self) -> Option<String> {
        let (class, reason) = match self {
            Self::Accepted(_) => return None,
            Self::Temporary(reason) => ('4', reason),
            Self::Permanent(reason) => ('5', reason),
        };
        let detail = reason.status().trim_start_matches(['4', '5']);
        Some(format!("{class}{detail} fog: {}", reason.text()))
    }
}

impl Request {
    /// How many bytes follow the first four of a request, for mails of at most `max_mail` bytes.
    ///
    /// # Errors
    /// `Malformed` if they are more than any such request has: nothing more must be read.
    pub fn body_len(prefix: [u8; PREFIX_LEN], max_mail: usize) -> Result<usize, Malformed> {
        const ENVELOPE: usize =
            1 + 1 + (1 + 4 + MAX_DEDUP) + (1 + 4 + MAX_ADDRESS) + 2 + MAX_RECIPIENTS * (4 + MAX_ADDRESS);
        bounded(prefix, max_mail.saturating_add(ENVELOPE + 4))
    }

    /// The whole frame: length, then what `decode` takes.
    ///
    /// # Errors
    /// `Malformed` if there are no recipients or more than `MAX_RECIPIENTS`, or if `dedup` is too long: no node
    /// would read it.
    pub fn encode(&self) -> Result<Vec<u8>, Malformed> {
        let count = u16::try_from(self.recipients.len()).map_err(|_| Malformed)?;
        if !(1..=MAX_RECIPIENTS).contains(&self.recipients.len()) {
            return Err(Malformed);
        }
        let mut body = Writer::with_capacity(self.mail.len().saturating_add(1024));
        body.u8(VERSION).u8(match self.source {
            Source::Person => 0,
            Source::Mta => 1,
        });
        match &self.dedup {
            Some(dedup) if dedup.len() > MAX_DEDUP => return Err(Malformed),
            Some(dedup) => body.u8(1).prefixed(dedup)?,
            None => body.u8(0),
        };
        match &self.sender {
            Some(sender) => body.u8(1).prefixed(sender.to_string().as_bytes())?,
            None => body.u8(0),
        };
        body.u16(count);
        for recipient in &self.recipients {
            body.prefixed(recipient.to_string().as_bytes())?;
        }
        body.prefixed(&self.mail)?;
        framed(&body.finish())
    }

    /// Reads what follows the length.
    ///
    /// # Errors
    /// `Malformed` for another version, anything out of bounds, an address not in the form this code writes, or bytes
    /// left over.
    pub fn decode(body: &[u8], max_mail: usize) -> Result<Self, Malformed> {
        let mut r = Reader::new(body);
        version(&mut r)?;
        let source = match r.u8()? {
            0 => Source::Person,
            1 => Source::Mta,
            _ => return Err(Malformed),
        };
        let dedup = if present(&mut r)? { Some(r.prefixed(MAX_DEDUP)?.to_vec()) } else { None };
        let sender = if present(&mut r)? { Some(address(&mut r)?) } else { None };
        let count = usize::from(r.u16()?);
        if !(1..=MAX_RECIPIENTS).contains(&count) {
            return Err(Malformed);
        }
        let recipients = (0..count).map(|_| address(&mut r)).collect::<Result<_, _>>()?;
        let mail = r.prefixed(max_mail)?.to_vec();
        r.finish()?;
        Ok(Self { source, dedup, sender, recipients, mail })
    }
}

impl Reply {
    /// One refusal for every recipient; also for a request that was not read, so that nobody counted them.
    #[must_use]
    pub fn refusing(reason: Reason) -> Self {
        Self { outcomes: vec![Outcome::refused(reason)] }
    }

    /// An outcome for each of `recipients` recipients.
    ///
    /// # Errors
    /// `Malformed` if the reply does not answer for that many: none of them is accepted then.
    pub fn for_each(&self, recipients: usize) -> Result<Vec<Outcome>, Malformed> {
        match self.outcomes.as_slice() {
            all if all.len() == recipients => Ok(all.to_vec()),
            [Outcome::Accepted(_)] => Err(Malformed),
            [refusal] => Ok(vec![*refusal; recipients]),
            _ => Err(Malformed),
        }
    }

    /// How many bytes follow the first four of a reply.
    ///
    /// # Errors
    /// `Malformed` if they are more than any reply has.
    pub fn body_len(prefix: [u8; PREFIX_LEN]) -> Result<usize, Malformed> {
        bounded(prefix, MAX_REPLY)
    }

    /// The whole frame: length, then what `decode` takes.
    ///
    /// # Errors
    /// `Malformed` if there are no outcomes or more than `MAX_RECIPIENTS`, or a permanent one for a temporary reason.
    pub fn encode(&self) -> Result<Vec<u8>, Malformed> {
        let count = u16::try_from(self.outcomes.len()).map_err(|_| Malformed)?;
        let mut body = Writer::with_capacity(MAX_REPLY);
        body.u8(VERSION).u16(count);
        for outcome in &self.outcomes {
            match outcome {
                Outcome::Accepted(id) => body.u8(ACCEPTED).bytes(&id.0),
                Outcome::Temporary(reason) => body.u8(TEMPORARY).u8(reason.code()),
                Outcome::Permanent(reason) => body.u8(PERMANENT).u8(reason.code()),
            };
        }
        let body = body.finish();
        // What this side must not say is what the other must not believe.
        Self::decode(&body)?;
        framed(&body)
    }

    /// Reads what follows the length.
    ///
    /// # Errors
    /// `Malformed` for another version, an unknown code, a permanent outcome for a temporary reason (a mail would
    /// bounce that only had to wait), no outcome, too many, or bytes left over.
    pub fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(body);
        version(&mut r)?;
        let count = usize::from(r.u16()?);
        if !(1..=MAX_RECIPIENTS).contains(&count) {
            return Err(Malformed);
        }
        let outcomes = (0..count).map(|_| outcome(&mut r)).collect::<Result<_, _>>()?;
        r.finish()?;
        Ok(Self { outcomes })
    }
}

impl fmt::Debug for Request {
    /// Redacted: a mail must not get into a log by way of an error text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Request(..)")
    }
}

fn outcome(r: &mut Reader) -> Result<Outcome, Malformed> {
    match r.u8()? {
        ACCEPTED => Ok(Outcome::Accepted(MessageId(r.array()?))),
        TEMPORARY => Ok(Outcome::Temporary(Reason::from_code(r.u8()?)?)),
        PERMANENT => match Reason::from_code(r.u8()?)? {
            reason if reason.is_permanent() => Ok(Outcome::Permanent(reason)),
            _ => Err(Malformed),
        },
        _ => Err(Malformed),
    }
}

fn version(r: &mut Reader) -> Result<(), Malformed> {
    if r.u8()? == VERSION { Ok(()) } else { Err(Malformed) }
}

fn present(r: &mut Reader) -> Result<bool, Malformed> {
    match r.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Malformed),
    }
}

fn address(r: &mut Reader) -> Result<Address, Malformed> {
    let text = std::str::from_utf8(r.prefixed(MAX_ADDRESS)?).map_err(|_| Malformed)?;
    Address::parse(text).ok().filter(|address| address.to_string() == text).ok_or(Malformed)
}

fn bounded(prefix: [u8; PREFIX_LEN], max: usize) -> Result<usize, Malformed> {
    usize::try_from(u32::from_be_bytes(prefix)).ok().filter(|&n| n <= max).ok_or(Malformed)
}

fn framed(body: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut frame = Writer::with_capacity(body.len().saturating_add(PREFIX_LEN));
    frame.prefixed(body)?;
    Ok(frame.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn to(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    fn request() -> Request {
        Request {
            source: Source::Mta,
            dedup: Some(b"4ZQx1".to_vec()),
            sender: Some(to("bob@home.example")),
            recipients: vec![to("alice@example.com.fog"), to("carol@example.org.fog")],
            mail: b"Subject: x\n\nhi\n".to_vec(),
        }
    }

    fn split(frame: &[u8]) -> ([u8; PREFIX_LEN], &[u8]) {
        let (prefix, body) = frame.split_first_chunk().unwrap();
        (*prefix, body)
    }

    fn requests() -> impl Strategy<Value = Request> {
        let address = "[a-z]{1,20}@[a-z]{1,20}\\.fog".prop_map(|text| to(&text));
        (
            any::<bool>(),
            proptest::option::of(proptest::collection::vec(any::<u8>(), 0..=MAX_DEDUP)),
            proptest::option::of(address.clone()),
            proptest::collection::vec(address, 1..20),
            proptest::collection::vec(any::<u8>(), 0..2000),
        )
            .prop_map(|(mta, dedup, sender, recipients, mail)| Request {
                source: if mta { Source::Mta } else { Source::Person },
                dedup,
                sender,
                recipients,
                mail,
            })
    }

    fn outcomes() -> impl Strategy<Value = Outcome> {
        let reason = || proptest::sample::select(Reason::ALL.to_vec());
        prop_oneof![
            any::<[u8; 16]>().prop_map(|id| Outcome::Accepted(MessageId(id))),
            reason().prop_map(Outcome::refused),
            reason().prop_map(Outcome::Temporary),
        ]
    }

    proptest! {
        #[test]
        fn a_request_is_read_as_it_was_written(request in requests()) {
            let frame = request.encode().unwrap();
            let (prefix, body) = split(&frame);
            prop_assert_eq!(Request::body_len(prefix, 2000), Ok(body.len()));
            prop_assert_eq!(Request::decode(body, 2000), Ok(request));
        }

        #[test]
        fn a_reply_is_read_as_it_was_written(outcomes in proptest::collection::vec(outcomes(), 1..50)) {
            let reply = Reply { outcomes };
            let frame = reply.encode().unwrap();
            let (prefix, body) = split(&frame);
            prop_assert_eq!(Reply::body_len(prefix), Ok(body.len()));
            prop_assert_eq!(Reply::decode(body), Ok(reply));
        }

        #[test]
        fn whatever_is_read_is_the_one_way_to_write_it(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            at in any::<proptest::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let _ = Request::decode(&bytes, 100);
            let _ = Reply::decode(&bytes);
            let frame = request().encode().unwrap();
            let mut body = split(&frame).1.to_vec();
            *at.get_mut(&mut body) = byte;
            if let Ok(read) = Request::decode(&body, 100) {
                let written = read.encode().unwrap();
                prop_assert_eq!(split(&written).1, &body);
            }
        }
    }

    #[test]
    fn a_request_cut_anywhere_or_followed_by_anything_is_malformed() {
        let frame = request().encode().unwrap();
        let body = split(&frame).1;
        for end in 0..body.len() {
            assert_eq!(Request::decode(&body[..end], 100), Err(Malformed), "cut at {end}");
        }
        assert_eq!(Request::decode(&[body, b"x"].concat(), 100), Err(Malformed));
    }

    #[test]
    fn the_biggest_request_fits_its_bound_and_one_byte_more_is_refused_unread() {
        let labels = ["d".repeat(63), "d".repeat(63), "d".repeat(57), "fog".into()].join(".");
        let longest = to(&format!("{}@{labels}", "l".repeat(64)));
        assert_eq!(longest.to_string().len(), MAX_ADDRESS);
        let biggest = Request {
            source: Source::Person,
            dedup: Some(vec![7; MAX_DEDUP]),
            sender: Some(longest.clone()),
            recipients: vec![longest; MAX_RECIPIENTS],
            mail: vec![b'x'; 5000],
        };
        let frame = biggest.encode().unwrap();
        let (prefix, body) = split(&frame);
        assert_eq!(Request::body_len(prefix, 5000), Ok(body.len()));
        assert_eq!(Request::body_len(prefix, 4999), Err(Malformed));
        assert_eq!(Request::decode(body, 5000), Ok(biggest));
        assert_eq!(Request::decode(body, 4999), Err(Malformed));
        assert_eq!(Request::body_len([0xff; 4], 5000), Err(Malformed));
    }

    #[test]
    fn a_request_no_node_would_read_is_not_written() {
        let none = Request { recipients: vec![], ..request() };
        let many = Request { recipients: vec![to("a@x.fog"); MAX_RECIPIENTS + 1], ..request() };
        let long = Request { dedup: Some(vec![0; MAX_DEDUP + 1]), ..request() };
        for bad in [none, many, long] {
            assert_eq!(bad.encode(), Err(Malformed));
        }
    }

    #[test]
    fn a_request_of_another_version_or_with_bad_fields_is_malformed() {
        let small = Request {
            source: Source::Person,
            dedup: None,
            sender: None,
            recipients: vec![to("a@x.fog")],
            mail: vec![],
        };
        let good = [&[1, 0, 0, 0, 0, 1, 0, 0, 0, 7][..], b"a@x.fog", &[0, 0, 0, 0]].concat();
        assert_eq!(Request::decode(&good, 0), Ok(small));
        // Offset, the byte put there, and what is wrong then.
        for (at, byte, what) in [
            (0, 0, "version 0"),
            (0, 2, "version 2"),
            (1, 2, "an unknown source"),
            (2, 2, "an unknown flag"),
            (3, 2, "an unknown flag"),
            (5, 0, "no recipients"),
            (4, 4, "1025 recipients"),
            (12, b'X', "an address in capitals, not in the one form"),
            (10, b'-', "no address"),
            (10, 0xff, "no UTF-8"),
            (20, 1, "more mail than there is"),
        ] {
            let mut bad = good.clone();
            bad[at] = byte;
            assert_eq!(Request::decode(&bad, 100), Err(Malformed), "{what}");
        }
    }

    #[test]
    fn a_reply_that_would_bounce_what_can_wait_is_neither_written_nor_read() {
        for reason in Reason::ALL {
            let written = Reply { outcomes: vec![Outcome::Permanent(reason)] }.encode();
            let read = Reply::decode(&[VERSION, 0, 1, PERMANENT, reason.code()]);
            assert_eq!(written.is_ok(), reason.is_permanent(), "{reason:?}");
            assert_eq!(read.is_ok(), reason.is_permanent(), "{reason:?}");
        }
    }

    #[test]
    fn a_reply_that_is_empty_too_long_or_unknown_is_malformed() {
        assert_eq!(Reply { outcomes: vec![] }.encode(), Err(Malformed));
        let accepted = Outcome::Accepted(MessageId([9; 16]));
        assert!(Reply { outcomes: vec![accepted; MAX_RECIPIENTS] }.encode().is_ok());
        assert_eq!(Reply { outcomes: vec![accepted; MAX_RECIPIENTS + 1] }.encode(), Err(Malformed));
        for bad in [
            &[][..],
            &[2, 0, 1, 1, 10],
            &[1, 0, 0],
            &[1, 0, 1, 1, 0],
            &[1, 0, 1, 1, 200],
            &[1, 0, 1, 3, 1],
            &[1, 0, 1, 1, 10, 0],
            &[1, 0, 2, 1, 10],
        ] {
            assert_eq!(Reply::decode(bad), Err(Malformed), "{bad:?}");
        }
        assert_eq!(Reply::body_len([0, 0, 0x42, 0x6b]), Ok(MAX_REPLY));
        assert_eq!(Reply::body_len([0, 0, 0x42, 0x6c]), Err(Malformed));
    }

    #[test]
    fn a_reply_answers_for_every_recipient_or_accepts_none() {
        let accepted = Outcome::Accepted(MessageId([9; 16]));
        let refused = Outcome::Permanent(Reason::MailTooBig);
        assert_eq!(Reply { outcomes: vec![accepted, refused] }.for_each(2), Ok(vec![accepted, refused]));
        assert_eq!(Reply::refusing(Reason::MailTooBig).for_each(3), Ok(vec![refused; 3]));
        assert_eq!(Reply { outcomes: vec![accepted] }.for_each(1), Ok(vec![accepted]));
        for (outcomes, recipients) in
            [(vec![accepted], 2), (vec![accepted, refused], 1), (vec![refused, refused], 3), (vec![], 1)]
        {
            assert_eq!(Reply { outcomes }.for_each(recipients), Err(Malformed));
        }
    }

    #[test]
    fn every_reason_has_a_code_of_its_own_a_fitting_status_and_a_line_without_address() {
        for (code, reason) in (1..).zip(Reason::ALL) {
            assert_eq!(reason.code(), code);
            assert_eq!(reason.status().starts_with('5'), reason.is_permanent(), "{reason:?}");
            for text in [reason.text(), reason.advice()] {
                assert!(!text.contains(['\n', '\r']) && text.is_ascii() && !text.is_empty(), "{text}");
            }
            let line = Outcome::refused(reason).line().unwrap();
            assert!(line.starts_with(reason.status()) && line.len() <= 80 && !line.contains('@'), "{line}");
        }
        assert_eq!(Outcome::Accepted(MessageId([0; 16])).line(), None);
    }

    #[test]
    fn a_permanent_refusal_can_be_deferred_for_an_mta_that_would_bounce() {
        let line = Outcome::refused(Reason::MailTooBig).deferred().line().unwrap();
        assert_eq!(line, "4.3.4 fog: the mail is bigger than the network takes");
        let accepted = Outcome::Accepted(MessageId([0; 16]));
        assert_eq!(accepted.deferred(), accepted);
    }

    #[test]
    fn a_request_is_not_printed_by_debug() {
        assert_eq!(format!("{:?}", request()), "Request(..)");
    }
}
