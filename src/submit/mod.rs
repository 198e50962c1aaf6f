//! The one request and one reply between an injector and the node (docs/spec-message.md, "Submission").
//!
//! A frame is a four-byte length and that many bytes. A reader takes the first `PREFIX_LEN` bytes, asks `body_len` for the
//! number that follow, and only then makes room for them.

mod reason;
#[cfg(test)]
mod tests;
mod wish;

pub use reason::Reason;
pub use wish::{MAX_CHAIN, MAX_COPIES, Wish, is_name};

use crate::id::{MessageId, QueueId};
use crate::mail::address::{Address, MAX_ADDRESS};
use crate::wire::{Malformed, PREFIX_LEN, Reader, Writer, bounded, framed};
use std::fmt;

/// Most recipients of one request.
pub const MAX_RECIPIENTS: usize = 1000;
/// Longest `Request::dedup`.
pub const MAX_DEDUP: usize = 255;
/// Length of a mark that a client's mail is known by.
pub const MARK_LEN: usize = 32;

const VERSION: u8 = 1;
const ACCEPTED: u8 = 0;
const TEMPORARY: u8 = 1;
const PERMANENT: u8 = 2;
/// The longest reply: every recipient accepted.
const MAX_REPLY: usize = 1 + 2 + MAX_RECIPIENTS * (1 + MessageId::LEN + QueueId::LEN);

/// A mail and its envelope, as an injector hands it in.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// Who hands it in.
    pub source: Source,
    /// What stays the same when the MTA hands the same mail in again: its queue id. At most `MAX_DEDUP` bytes.
    pub dedup: Option<Vec<u8>>,
    /// The envelope sender; `None` for the null sender or where there is none.
    pub sender: Option<Address>,
    /// How it shall go.
    pub wish: Wish,
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
    /// An MTA, through its pipe transport: it keeps the mail until it is accepted.
    Mta,
    /// The client of an MTA, through its milter: it sends the mail again until it is accepted, each time under a new
    /// queue id.
    Milter {
        /// What the mail is known by then: it is the same if one of these was there before.
        marks: [[u8; MARK_LEN]; 2],
        /// And what it is known by if the one before was taken for some of its recipients only.
        text: [u8; MARK_LEN],
    },
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
    /// Committed to the node's disk; the node answers for it from now on. The message, and what the mail is called there
    /// and nowhere else.
    Accepted(MessageId, QueueId),
    /// Not taken; trying again later may help. Any reason, so that an MTA can be told to keep what it would bounce.
    Temporary(Reason),
    /// Not taken, now or ever. Only with a reason that is permanent.
    Permanent(Reason),
}

impl Outcome {
    /// The refusal that is natural for `reason`.
    #[must_use]
    pub const fn refused(reason: Reason) -> Self {
        if reason.is_permanent() { Self::Permanent(reason) } else { Self::Temporary(reason) }
    }

    /// What the mail is called on the node that took it.
    #[must_use]
    pub const fn name(self) -> Option<QueueId> {
        match self {
            Self::Accepted(_, name) => Some(name),
            Self::Temporary(_) | Self::Permanent(_) => None,
        }
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
            Self::Accepted(..) => return None,
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
        bounded(prefix, Self::longest(max_mail))
    }

    /// The longest body of a request for a mail of at most `max_mail` bytes.
    const fn longest(max_mail: usize) -> usize {
        const WISH: usize = 1 + 1 + MAX_CHAIN * (1 + 4 + 32);
        const ENVELOPE: usize = 1
            + (1 + 3 * MARK_LEN)
            + (1 + 4 + MAX_DEDUP)
            + (1 + 4 + MAX_ADDRESS)
            + WISH
            + 2
            + MAX_RECIPIENTS * (4 + MAX_ADDRESS);
        max_mail.saturating_add(ENVELOPE + 4)
    }

    /// How much of a body that is longer than `body_len` allows `decode_start` has to have.
    #[must_use]
    pub const fn start_len(max_mail: usize) -> usize {
        Self::longest(max_mail).saturating_add(1)
    }

    /// The whole frame: length, then what `decode` takes.
    ///
    /// # Errors
    /// `Malformed` if there are no recipients or more than `MAX_RECIPIENTS`, or if `dedup` or the wish is out of bounds:
    /// no node would read it.
    pub fn encode(&self) -> Result<Vec<u8>, Malformed> {
        let count = u16::try_from(self.recipients.len()).map_err(|_| Malformed)?;
        if !(1..=MAX_RECIPIENTS).contains(&self.recipients.len()) {
            return Err(Malformed);
        }
        let mut body = Writer::with_capacity(self.mail.len().saturating_add(1024));
        body.u8(VERSION);
        match self.source {
            Source::Person => body.u8(0),
            Source::Mta => body.u8(1),
            Source::Milter { marks: [first, second], text } => body.u8(2).bytes(&first).bytes(&second).bytes(&text),
        };
        match &self.dedup {
            Some(dedup) if dedup.len() > MAX_DEDUP => return Err(Malformed),
            Some(dedup) => body.u8(1).prefixed(dedup)?,
            None => body.u8(0),
        };
        match &self.sender {
            Some(sender) => body.u8(1).prefixed(sender.to_string().as_bytes())?,
            None => body.u8(0),
        };
        self.wish.write(&mut body)?;
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
        let request = Self::envelope(&mut r)?;
        let mail = r.prefixed(max_mail)?.to_vec();
        r.finish()?;
        Ok(Self { mail, ..request })
    }

    /// Reads the first `start_len` bytes of a request with a bigger mail than is taken: of that there is one byte more than
    /// `max_mail` in it, so that whoever is to refuse it can.
    ///
    /// # Errors
    /// As `decode`.
    pub fn decode_start(start: &[u8], max_mail: usize) -> Result<Self, Malformed> {
        let mut r = Reader::new(start);
        let request = Self::envelope(&mut r)?;
        let announced = usize::try_from(r.u32()?).map_err(|_| Malformed)?;
        let kept = max_mail.saturating_add(1);
        if announced < kept {
            return Err(Malformed);
        }
        Ok(Self { mail: r.bytes(kept)?.to_vec(), ..request })
    }

    /// What stands in front of the mail.
    fn envelope(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        version(r)?;
        let source = match r.u8()? {
            0 => Source::Person,
            1 => Source::Mta,
            2 => Source::Milter { marks: [r.array()?, r.array()?], text: r.array()? },
            _ => return Err(Malformed),
        };
        let dedup = if present(r)? { Some(r.prefixed(MAX_DEDUP)?.to_vec()) } else { None };
        let sender = if present(r)? { Some(Address::read(r)?) } else { None };
        let wish = Wish::read(r)?;
        let count = usize::from(r.u16()?);
        if !(1..=MAX_RECIPIENTS).contains(&count) {
            return Err(Malformed);
        }
        let recipients = (0..count).map(|_| Address::read(r)).collect::<Result<_, _>>()?;
        Ok(Self { source, dedup, sender, wish, recipients, mail: Vec::new() })
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
            [Outcome::Accepted(..)] => Err(Malformed),
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
                Outcome::Accepted(id, name) => body.u8(ACCEPTED).bytes(&id.0).bytes(&name.0),
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
        ACCEPTED => Ok(Outcome::Accepted(MessageId(r.array()?), QueueId(r.array()?))),
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
