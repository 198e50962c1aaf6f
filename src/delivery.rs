//! What a node hands to its exit process, and the answer (docs/spec-message.md, "Delivery").
//!
//! Frames as in `submit`: a four-byte length, asked of `body_len` before room is made, and that many bytes.

use crate::mail::address::{Address, MAX_ADDRESS};
use crate::wire::{Malformed, Reader, Writer};
use std::fmt;

/// Bytes in front of every frame that say how long it is.
pub const PREFIX_LEN: usize = 4;

const VERSION: u8 = 1;
const DELIVER: u8 = 1;
const OUTCOME: u8 = 2;
const OUTCOME_LEN: u32 = 1 + 1 + 8 + 1;

/// A mail for the local MTA, made clean: node to exit process.
#[derive(Clone, PartialEq, Eq)]
pub struct Deliver {
    /// The node's name for this hand-over; the answer carries it. Answers may come in any order.
    pub id: u64,
    /// The one recipient.
    pub recipient: Address,
    /// The envelope sender; `None` is the null sender `<>`.
    pub envelope_from: Option<Address>,
    /// The mail: CR LF line ends, no bare CR, LF or NUL.
    pub mail: Vec<u8>,
}

/// What became of it: exit process to node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// `Deliver::id`.
    pub id: u64,
    /// What the local MTA said.
    pub disposition: Disposition,
}

/// Who owns a mail after an MTA was asked to take it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Disposition {
    /// The MTA took it (2xx): it is the MTA's now.
    Delivered,
    /// Not now (4xx, no answer, no connection): ours still, try again.
    Temporary,
    /// Never (5xx): give it up.
    Permanent,
}

impl Disposition {
    /// The first digit of the SMTP reply that it stands for.
    #[must_use]
    pub const fn class(self) -> u8 {
        match self {
            Self::Delivered => 2,
            Self::Temporary => 4,
            Self::Permanent => 5,
        }
    }

    /// What an SMTP reply with this first digit means; `None` for a digit that ends no transaction.
    #[must_use]
    pub const fn from_class(class: u8) -> Option<Self> {
        match class {
            2 => Some(Self::Delivered),
            4 => Some(Self::Temporary),
            5 => Some(Self::Permanent),
            _ => None,
        }
    }
}

impl Deliver {
    /// How many bytes follow the first four, for mails of at most `max_mail` bytes.
    ///
    /// # Errors
    /// `Malformed` if they are more than any such frame has: nothing more must be read.
    pub fn body_len(prefix: [u8; PREFIX_LEN], max_mail: usize) -> Result<usize, Malformed> {
        const ENVELOPE: usize = 1 + 1 + 8 + (4 + MAX_ADDRESS) + (1 + 4 + MAX_ADDRESS);
        bounded(prefix, max_mail.saturating_add(ENVELOPE + 4))
    }

    /// The whole frame: length, then what `decode` takes.
    ///
    /// # Errors
    /// `Malformed` if the mail has 4 GiB or more.
    pub fn encode(&self) -> Result<Vec<u8>, Malformed> {
        let mut body = Writer::with_capacity(self.mail.len().saturating_add(1024));
        body.u8(VERSION).u8(DELIVER).u64(self.id).prefixed(self.recipient.to_string().as_bytes())?;
        match &self.envelope_from {
            Some(from) => body.u8(1).prefixed(from.to_string().as_bytes())?,
            None => body.u8(0),
        };
        body.prefixed(&self.mail)?;
        framed(&body.finish())
    }

    /// Reads what follows the length.
    ///
    /// # Errors
    /// `Malformed` for another version or type, anything out of bounds, an address not in the form this code writes,
    /// or bytes left over.
    pub fn decode(body: &[u8], max_mail: usize) -> Result<Self, Malformed> {
        let mut r = Reader::new(body);
        starts_with(&mut r, DELIVER)?;
        let id = r.u64()?;
        let recipient = address(&mut r)?;
        let envelope_from = match r.u8()? {
            0 => None,
            1 => Some(address(&mut r)?),
            _ => return Err(Malformed),
        };
        let mail = r.prefixed(max_mail)?.to_vec();
        r.finish()?;
        Ok(Self { id, recipient, envelope_from, mail })
    }
}

impl Outcome {
    /// How many bytes follow the first four.
    ///
    /// # Errors
    /// `Malformed` if they are not as many as an outcome has.
    pub fn body_len(prefix: [u8; PREFIX_LEN]) -> Result<usize, Malformed> {
        let len = u32::from_be_bytes(prefix);
        if len == OUTCOME_LEN { usize::try_from(len).map_err(|_| Malformed) } else { Err(Malformed) }
    }

    /// The whole frame: length, then what `decode` takes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut frame = Writer::default();
        frame.u32(OUTCOME_LEN).u8(VERSION).u8(OUTCOME).u64(self.id).u8(self.disposition.class());
        frame.finish()
    }

    /// Reads what follows the length.
    ///
    /// # Errors
    /// `Malformed` for another version or type, an unknown class, or another length.
    pub fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(body);
        starts_with(&mut r, OUTCOME)?;
        let id = r.u64()?;
        let disposition = Disposition::from_class(r.u8()?).ok_or(Malformed)?;
        r.finish()?;
        Ok(Self { id, disposition })
    }
}

impl fmt::Debug for Deliver {
    /// Redacted: a mail must not get into a log by way of an error text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Deliver(..)")
    }
}

fn starts_with(r: &mut Reader, kind: u8) -> Result<(), Malformed> {
    if r.array()? == [VERSION, kind] { Ok(()) } else { Err(Malformed) }
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
