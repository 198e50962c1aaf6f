//! A message as deterministic CBOR (RFC 8949, 4.2): one encoding for each message, and no other is read.

use super::PackError;
use crate::id::{MessageId, NodeId};
use crate::mail::address::{Address, MAX_ADDRESS};
use crate::sphinx::geometry::HEADER_LEN;
use crate::wire::Malformed;
use minicbor::{Decoder, Encoder, decode, encode};
use std::convert::Infallible;
use std::fmt;

/// A single-use reply block: a header, the id of its first hop, and a key.
pub const SURB_LEN: usize = HEADER_LEN + NodeId::LEN + 32;
/// The most by which a message is longer than its mail: the map's head, and key, head and bytes of the rest.
pub const ENVELOPE_LEN: usize = 1 + 4 * (1 + 5) + MAX_ADDRESS + SURB_LEN + MessageId::LEN;

const RECIPIENT: u8 = 1;
const MAIL: u8 = 2;
const SURB: u8 = 3;
const ID: u8 = 6;

/// One mail for one recipient.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// To whom the exit delivers it.
    pub recipient: Address,
    /// The mail, made clean; every line end is CR LF, and there is no NUL.
    pub mail: Vec<u8>,
    /// The way back on which the exit says what became of it.
    pub surb: Option<Box<[u8; SURB_LEN]>>,
    /// Drawn at the entry, the same at every try.
    pub id: MessageId,
}

impl Message {
    /// The one encoding of this message.
    ///
    /// # Errors
    /// `BareControl` if the mail has line ends that `decode` refuses.
    pub fn encode(&self) -> Result<Vec<u8>, PackError> {
        if !has_clean_lines(&self.mail) {
            return Err(PackError::BareControl);
        }
        let mut encoder = Encoder::new(Vec::with_capacity(self.mail.len().saturating_add(ENVELOPE_LEN)));
        self.write(&mut encoder).expect("a vector takes whatever is written to it: its error is Infallible");
        Ok(encoder.into_writer())
    }

    fn write(&self, e: &mut Encoder<Vec<u8>>) -> Result<(), encode::Error<Infallible>> {
        e.map(if self.surb.is_some() { 4 } else { 3 })?;
        e.u8(RECIPIENT)?.str(&self.recipient.to_string())?;
        e.u8(MAIL)?.bytes(&self.mail)?;
        if let Some(surb) = &self.surb {
            e.u8(SURB)?.bytes(surb.as_slice())?;
        }
        e.u8(ID)?.bytes(&self.id.0)?;
        Ok(())
    }

    /// Reads a message with a mail of at most `max_size` bytes.
    ///
    /// # Errors
    /// `Malformed` unless `bytes` are exactly what `encode` makes of some message, or if its mail is too big.
    pub fn decode(bytes: &[u8], max_size: usize) -> Result<Self, Malformed> {
        if bytes.len() > max_size.saturating_add(ENVELOPE_LEN) {
            return Err(Malformed);
        }
        let message = Self::read(&mut Decoder::new(bytes)).map_err(|_| Malformed)??;
        if message.mail.len() > max_size {
            return Err(Malformed);
        }
        // Whatever else could be written in two ways (long heads, an address in capitals, bytes behind the end) is
        // caught by writing it again: two encodings of one message would be a mark to know it by.
        if message.encode().ok().as_deref() == Some(bytes) { Ok(message) } else { Err(Malformed) }
    }

    fn read(d: &mut Decoder) -> Result<Result<Self, Malformed>, decode::Error> {
        let with_surb = match d.map()? {
            Some(3) => false,
            Some(4) => true,
            _ => return Ok(Err(Malformed)),
        };
        let recipient = (d.u8()?, d.str()?);
        let mail = (d.u8()?, d.bytes()?);
        let surb = if with_surb { Some((d.u8()?, d.bytes()?)) } else { None };
        let id = (d.u8()?, d.bytes()?);
        Ok(Self::from_fields(recipient, mail, surb, id).ok_or(Malformed))
    }

    fn from_fields(
        recipient: (u8, &str),
        mail: (u8, &[u8]),
        surb: Option<(u8, &[u8])>,
        id: (u8, &[u8]),
    ) -> Option<Self> {
        if (recipient.0, mail.0, id.0) != (RECIPIENT, MAIL, ID) || surb.is_some_and(|(key, _)| key != SURB) {
            return None;
        }
        let surb = match surb {
            Some((_, bytes)) => Some(Box::new(bytes.try_into().ok()?)),
            None => None,
        };
        Some(Self {
            recipient: Address::parse(recipient.1).ok()?,
            mail: mail.1.to_vec(),
            surb,
            id: MessageId(id.1.try_into().ok()?),
        })
    }
}

impl fmt::Debug for Message {
    /// Redacted: a mail must not get into a log by way of an error text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Message(..)")
    }
}

/// No NUL, and CR and LF only as CR LF: anything else is a second line end for somebody on the way.
fn has_clean_lines(mail: &[u8]) -> bool {
    let mut after_cr = false;
    for &byte in mail {
        if byte == 0 || after_cr != (byte == b'\n') {
            return false;
        }
        after_cr = byte == b'\r';
    }
    !after_cr
}
