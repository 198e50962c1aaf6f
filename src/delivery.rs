//! What a node hands to its exit process, and the answer (docs/spec-message.md, "Delivery").
//!
//! Frames as in `submit`: a four-byte length, asked of `body_len` before room is made, and that many bytes.

use crate::mail::address::{Address, MAX_ADDRESS};
use crate::wire::{Malformed, PREFIX_LEN, Reader, Writer, bounded, framed};
use std::fmt;

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
        let recipient = Address::read(&mut r)?;
        let envelope_from = match r.u8()? {
            0 => None,
            1 => Some(Address::read(&mut r)?),
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn deliver() -> Deliver {
        Deliver {
            id: 0x0102_0304_0506_0708,
            recipient: Address::parse("alice@example.com").unwrap(),
            envelope_from: Some(Address::parse("anonymous@exit.example").unwrap()),
            mail: b"Subject: x\r\n\r\nhi\r\n".to_vec(),
        }
    }

    fn split(frame: &[u8]) -> ([u8; PREFIX_LEN], &[u8]) {
        let (prefix, body) = frame.split_first_chunk().unwrap();
        (*prefix, body)
    }

    proptest! {
        #[test]
        fn a_mail_is_read_as_it_was_written(
            id in any::<u64>(),
            null_sender in any::<bool>(),
            mail in proptest::collection::vec(any::<u8>(), 0..2000),
        ) {
            let mut deliver = Deliver { id, mail, ..deliver() };
            if null_sender {
                deliver.envelope_from = None;
            }
            let frame = deliver.encode().unwrap();
            let (prefix, body) = split(&frame);
            prop_assert_eq!(Deliver::body_len(prefix, 2000), Ok(body.len()));
            prop_assert_eq!(Deliver::decode(body, 2000), Ok(deliver));
        }

        #[test]
        fn whatever_is_read_is_the_one_way_to_write_it(
            bytes in proptest::collection::vec(any::<u8>(), 0..100),
            at in any::<proptest::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let _ = Deliver::decode(&bytes, 100);
            let _ = Outcome::decode(&bytes);
            let frame = deliver().encode().unwrap();
            let mut body = split(&frame).1.to_vec();
            *at.get_mut(&mut body) = byte;
            if let Ok(read) = Deliver::decode(&body, 100) {
                let written = read.encode().unwrap();
                prop_assert_eq!(split(&written).1, &body);
            }
        }
    }

    #[test]
    fn an_outcome_is_read_as_it_was_written() {
        for disposition in [Disposition::Delivered, Disposition::Temporary, Disposition::Permanent] {
            let outcome = Outcome { id: u64::MAX - 1, disposition };
            let frame = outcome.encode();
            let (prefix, body) = split(&frame);
            assert_eq!(Outcome::body_len(prefix), Ok(body.len()));
            assert_eq!(Outcome::decode(body), Ok(outcome));
            assert_eq!(Disposition::from_class(disposition.class()), Some(disposition));
        }
        let golden = Outcome { id: 7, disposition: Disposition::Permanent }.encode();
        assert_eq!(golden, [0, 0, 0, 11, 1, 2, 0, 0, 0, 0, 0, 0, 0, 7, 5]);
    }

    #[test]
    fn a_mail_cut_anywhere_or_followed_by_anything_is_malformed() {
        let frame = deliver().encode().unwrap();
        let body = split(&frame).1;
        for end in 0..body.len() {
            assert_eq!(Deliver::decode(&body[..end], 100), Err(Malformed), "cut at {end}");
        }
        assert_eq!(Deliver::decode(&[body, b"x"].concat(), 100), Err(Malformed));
    }

    #[test]
    fn a_mail_above_the_limit_is_refused_unread() {
        let frame = Deliver { mail: vec![b'x'; 5000], ..deliver() }.encode().unwrap();
        let (prefix, body) = split(&frame);
        assert_eq!(Deliver::body_len(prefix, 5000), Ok(body.len()));
        assert_eq!(Deliver::body_len(prefix, 4000), Err(Malformed));
        assert_eq!(Deliver::decode(body, 4999), Err(Malformed));
    }

    #[test]
    fn a_frame_of_another_version_type_or_class_is_malformed() {
        let good = [1, 2, 0, 0, 0, 0, 0, 0, 0, 7, 2];
        assert!(Outcome::decode(&good).is_ok());
        for (at, byte, what) in [
            (0, 2, "version 2"),
            (1, 1, "a delivery"),
            (1, 3, "an unknown type"),
            (10, 3, "class 3"),
            (10, 0, "class 0"),
        ] {
            let mut bad = good;
            bad[at] = byte;
            assert_eq!(Outcome::decode(&bad), Err(Malformed), "{what}");
        }
        assert_eq!(Outcome::decode(&good[..10]), Err(Malformed));
        assert_eq!(Outcome::body_len([0, 0, 0, 10]), Err(Malformed));
        assert_eq!(Outcome::body_len([0, 0, 0, 12]), Err(Malformed));
        assert_eq!(Deliver::decode(&good, 100), Err(Malformed));
    }

    #[test]
    fn a_mail_is_not_printed_by_debug() {
        assert_eq!(format!("{:?}", deliver()), "Deliver(..)");
    }
}
