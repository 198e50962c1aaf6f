//! A message as deterministic CBOR (RFC 8949, 4.2): one encoding for each message, and no other is read.

use super::PackError;
use crate::id::MessageId;
use crate::mail::address::{Address, MAX_ADDRESS};
use crate::sphinx::geometry::SURB_LEN;
use crate::wire::Malformed;
use minicbor::{Decoder, Encoder, decode, encode};
use std::convert::Infallible;
use std::fmt;

/// SURBs in a message at most: two ways back, so that the loss of a mix on one of them costs no other try.
pub const MAX_SURBS: usize = 2;

/// The most by which a message is longer than its mail: the map's head, and key, head and bytes of the rest.
pub const ENVELOPE_LEN: usize = 1 + 4 * (1 + 5) + MAX_ADDRESS + MAX_SURBS * SURB_LEN + MessageId::LEN;

const RECIPIENT: u8 = 1;
const MAIL: u8 = 2;
const SURBS: u8 = 3;
const ID: u8 = 6;

/// One mail for one recipient.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// To whom the exit delivers it.
    pub recipient: Address,
    /// The mail, made clean; every line end is CR LF, and there is no NUL.
    pub mail: Vec<u8>,
    /// The ways back, at most `MAX_SURBS`, on each of which the exit says what became of it.
    pub surbs: Vec<Box<[u8; SURB_LEN]>>,
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
        e.map(if self.surbs.is_empty() { 3 } else { 4 })?;
        e.u8(RECIPIENT)?.str(&self.recipient.to_string())?;
        e.u8(MAIL)?.bytes(&self.mail)?;
        if !self.surbs.is_empty() {
            let surbs: Vec<u8> = self.surbs.iter().flat_map(|surb| surb.iter().copied()).collect();
            e.u8(SURBS)?.bytes(&surbs)?;
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
        let with_surbs = match d.map()? {
            Some(3) => false,
            Some(4) => true,
            _ => return Ok(Err(Malformed)),
        };
        let recipient = (d.u8()?, d.str()?);
        let mail = (d.u8()?, d.bytes()?);
        let surbs = if with_surbs { Some((d.u8()?, d.bytes()?)) } else { None };
        let id = (d.u8()?, d.bytes()?);
        Ok(Self::from_fields(recipient, mail, surbs, id).ok_or(Malformed))
    }

    fn from_fields(
        recipient: (u8, &str),
        mail: (u8, &[u8]),
        surbs: Option<(u8, &[u8])>,
        id: (u8, &[u8]),
    ) -> Option<Self> {
        if (recipient.0, mail.0, id.0) != (RECIPIENT, MAIL, ID) || surbs.is_some_and(|(key, _)| key != SURBS) {
            return None;
        }
        let surbs = match surbs {
            Some((_, bytes)) => surbs_of(bytes)?,
            None => Vec::new(),
        };
        Some(Self {
            recipient: Address::parse(recipient.1).ok()?,
            mail: mail.1.to_vec(),
            surbs,
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

/// One SURB after the other; none are no SURBs, since the key is left out then.
fn surbs_of(bytes: &[u8]) -> Option<Vec<Box<[u8; SURB_LEN]>>> {
    let (surbs, rest) = bytes.as_chunks::<SURB_LEN>();
    let is_right = rest.is_empty() && (1..=MAX_SURBS).contains(&surbs.len());
    is_right.then(|| surbs.iter().map(|surb| Box::new(*surb)).collect())
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MAIL_TEXT: &[u8] = b"Subject: x\r\n\r\nhi\r\n";

    fn message() -> Message {
        Message {
            recipient: Address::parse("a@x.org").unwrap(),
            mail: MAIL_TEXT.to_vec(),
            surbs: Vec::new(),
            id: MessageId([0xab; 16]),
        }
    }

    /// The parts of `message()`'s encoding: map head, recipient, mail, id.
    fn parts() -> [Vec<u8>; 4] {
        [
            vec![0xa3],
            [&[0x01, 0x67][..], b"a@x.org"].concat(),
            [&[0x02, 0x52][..], MAIL_TEXT].concat(),
            [&[0x06, 0x50][..], &[0xab; 16]].concat(),
        ]
    }

    fn surb_part() -> Vec<u8> {
        [&[0x03, 0x59, 0x1b, 0xfb][..], &[7; SURB_LEN]].concat()
    }

    fn surbs_part(count: usize) -> Vec<u8> {
        let length = u16::try_from(count * SURB_LEN).unwrap().to_be_bytes();
        [&[0x03, 0x59][..], &length, &vec![7; count * SURB_LEN]].concat()
    }

    #[test]
    fn a_message_has_the_bytes_of_the_specification() {
        let [head, recipient, mail, id] = parts();
        assert_eq!(message().encode().unwrap(), [head, recipient.clone(), mail.clone(), id.clone()].concat());
        let surb = || Box::new([7; SURB_LEN]);
        let with_surb = Message { surbs: vec![surb()], ..message() }.encode().unwrap();
        assert_eq!(with_surb, [vec![0xa4], recipient.clone(), mail.clone(), surb_part(), id.clone()].concat());
        let with_two = Message { surbs: vec![surb(), surb()], ..message() }.encode().unwrap();
        assert_eq!(with_two, [vec![0xa4], recipient, mail, surbs_part(2), id].concat());
    }

    #[test]
    fn another_encoding_of_the_same_message_is_malformed() {
        let [head, recipient, mail, id] = parts();
        let good = [head.clone(), recipient.clone(), mail.clone(), id.clone()].concat();
        assert_eq!(Message::decode(&good, 100), Ok(message()));
        let long_key = [&[0x18, 0x01, 0x67][..], b"a@x.org"].concat();
        let long_text = [&[0x01, 0x78, 0x07][..], b"a@x.org"].concat();
        let long_bytes = [&[0x02, 0x58, 0x12][..], MAIL_TEXT].concat();
        let eight_byte_head = [&[0x02, 0x5b, 0, 0, 0, 0, 0, 0, 0, 0x12][..], MAIL_TEXT].concat();
        let chunked = [&[0x02, 0x5f, 0x52][..], MAIL_TEXT, &[0xff]].concat();
        let capitals = [&[0x01, 0x67][..], b"a@X.org"].concat();
        let quoted = [&[0x01, 0x69][..], b"\"a\"@x.org"].concat();
        let options = vec![0x05, 0xa0];
        let reserved = vec![0x04, 0x40];
        let short_id = [&[0x06, 0x4f][..], &[0xab; 15]].concat();
        let long_id = [&[0x06, 0x51][..], &[0xab; 17]].concat();
        let text_mail = [&[0x02, 0x72][..], MAIL_TEXT].concat();
        let bytes_recipient = [&[0x01, 0x47][..], b"a@x.org"].concat();
        let (three_surbs, no_surb) = (&surbs_part(3), &vec![0x03, 0x40]);
        let short_surb = [&[0x03, 0x59, 0x1b, 0xfa][..], &[7; SURB_LEN - 1]].concat();
        let (h, r, m, i) = (&head, &recipient, &mail, &id);
        let (four, surb) = (&vec![0xa4], &surb_part());
        for (what, bad) in [
            ("a long map head", vec![&vec![0xb8, 0x03], r, m, i]),
            ("a map without a length", vec![&vec![0xbf], r, m, i, &vec![0xff]]),
            ("a tag", vec![&vec![0xd9, 0xd9, 0xf7, 0xa3], r, m, i]),
            ("a long key", vec![h, &long_key, m, i]),
            ("a long text head", vec![h, &long_text, m, i]),
            ("a long bytes head", vec![h, r, &long_bytes, i]),
            ("a longest bytes head", vec![h, r, &eight_byte_head, i]),
            ("bytes in chunks", vec![h, r, &chunked, i]),
            ("keys out of order", vec![h, m, r, i]),
            ("a key twice", vec![four, r, m, m, i]),
            ("a key twice at the end", vec![four, r, m, i, i]),
            ("a key missing", vec![&vec![0xa2], r, m]),
            ("a SURB that the head does not count", vec![h, r, m, surb, i]),
            ("the SURB behind the id", vec![four, r, m, i, surb]),
            ("options", vec![four, r, m, &options, i]),
            ("the reserved key", vec![four, r, m, &reserved, i]),
            ("a key above 6", vec![four, r, m, i, &vec![0x07, 0x40]]),
            ("an address in capitals", vec![h, &capitals, m, i]),
            ("an address in needless quotes", vec![h, &quoted, m, i]),
            ("a recipient of bytes", vec![h, &bytes_recipient, m, i]),
            ("a mail of text", vec![h, r, &text_mail, i]),
            ("a short id", vec![h, r, m, &short_id]),
            ("a long id", vec![h, r, m, &long_id]),
            ("a short SURB", vec![four, r, m, &short_surb, i]),
            ("three SURBs", vec![four, r, m, three_surbs, i]),
            ("a key for no SURB", vec![four, r, m, no_surb, i]),
            ("a byte behind the end", vec![h, r, m, i, &vec![0x00]]),
            ("nothing", vec![]),
        ] {
            let bad: Vec<u8> = bad.into_iter().flatten().copied().collect();
            assert_eq!(Message::decode(&bad, 100), Err(Malformed), "{what}");
        }
        assert!(Message::decode(&[four.as_slice(), r, m, surb, i].concat(), 100).is_ok());
    }

    #[test]
    fn attack_12_a_length_beyond_the_end_is_malformed_however_large() {
        for length in [19u64, 1 << 32, u64::MAX] {
            let bad = [&[0xa3, 0x01, 0x67][..], b"a@x.org", &[0x02, 0x5b], &length.to_be_bytes(), MAIL_TEXT].concat();
            assert_eq!(Message::decode(&bad, usize::MAX), Err(Malformed), "{length}");
        }
    }

    #[test]
    fn a_bare_cr_lf_or_nul_is_neither_written_nor_read() {
        for bare in [&b"a\rb"[..], b"a\nb", b"\n", b"\r", b"a\r\n\n", b"a\r\r\n", b"a\0b", b"a\r\n\r"] {
            let message = Message { mail: bare.to_vec(), ..message() };
            assert_eq!(message.encode(), Err(PackError::BareControl), "{bare:?}");
            let length = u8::try_from(bare.len()).unwrap();
            let [head, recipient, _, id] = parts();
            let bad = [head, recipient, vec![0x02, 0x40 | length], bare.to_vec(), id].concat();
            assert_eq!(Message::decode(&bad, 100), Err(Malformed), "{bare:?}");
        }
        for clean in [&b""[..], b"a", b"\r\n", b"a\r\n\r\nb\r\n"] {
            assert!(Message { mail: clean.to_vec(), ..message() }.encode().is_ok(), "{clean:?}");
        }
    }

    #[test]
    fn the_longest_envelope_fits_its_bound_and_a_bigger_mail_is_refused() {
        let labels = ["d".repeat(63), "d".repeat(63), "d".repeat(61)].join(".");
        let longest = Address::parse(&format!("{}@{labels}", "l".repeat(64))).unwrap();
        assert_eq!(longest.to_string().len(), MAX_ADDRESS);
        let (mail, surbs) = (vec![b'x'; 100_000], vec![Box::new([7; SURB_LEN]), Box::new([8; SURB_LEN])]);
        let message = Message { recipient: longest, mail, surbs, id: MessageId([1; 16]) };
        let bytes = message.encode().unwrap();
        assert!(bytes.len() <= 100_000 + ENVELOPE_LEN);
        assert_eq!(Message::decode(&bytes, 100_000), Ok(message));
        assert_eq!(Message::decode(&bytes, 99_999), Err(Malformed));
    }

    #[test]
    fn a_message_is_not_printed_by_debug() {
        assert_eq!(format!("{:?}", message()), "Message(..)");
    }

    proptest! {
        #[test]
        fn a_message_is_read_as_it_was_written(
            recipient in "[a-z]{1,20}@[a-z]{1,20}\\.[a-z]{2,5}",
            lines in proptest::collection::vec("[^\r\n\0]{0,80}", 0..40),
            surbs in proptest::collection::vec(any::<u8>(), 0..=MAX_SURBS),
            id in any::<[u8; 16]>(),
        ) {
            prop_assume!(Address::parse(&recipient).is_ok());
            let mail: Vec<u8> = lines.into_iter().flat_map(|line| format!("{line}\r\n").into_bytes()).collect();
            let message = Message {
                recipient: Address::parse(&recipient).unwrap(),
                surbs: surbs.into_iter().map(|byte| Box::new([byte; SURB_LEN])).collect(),
                id: MessageId(id),
                mail,
            };
            let size = message.mail.len();
            prop_assert_eq!(Message::decode(&message.encode().unwrap(), size), Ok(message));
        }

        #[test]
        fn whatever_is_read_is_the_one_way_to_write_it(
            bytes in proptest::collection::vec(any::<u8>(), 0..100),
            at in any::<proptest::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let _ = Message::decode(&bytes, 100);
            let mut bytes = message().encode().unwrap();
            *at.get_mut(&mut bytes) = byte;
            if let Ok(read) = Message::decode(&bytes, 100) {
                prop_assert_eq!(read.encode().unwrap(), bytes);
            }
        }
    }
}
