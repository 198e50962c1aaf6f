//! What goes over a link, byte by byte (docs/spec-message.md, "Links"). No I/O and no cipher: Noise messages come in
//! decrypted and go out as plaintext.
//!
//! A link carries packets one way, from the node that opened it, and one answer for each, in their order, the other.
//! Everything on it has a known length, so a reader knows what must come before it reads.

use crate::sphinx::geometry::{BODY_LEN, HEADER_LEN, PACKET_LEN};
use crate::time::Time;
use crate::wire::{Malformed, Reader, Writer};

/// The Noise protocol of every link (Noise specification, revision 34).
pub const PATTERN: &str = "Noise_XK_25519_ChaChaPoly_BLAKE2s";
/// The Noise prologue: another version of links fails at the first handshake message.
pub const PROLOGUE: &[u8] = b"fog/1 link";
/// Bytes in front of every Noise message that say how long it is.
pub const PREFIX_LEN: usize = 2;
/// By how much a Noise message is longer than its plaintext.
pub const TAG_LEN: usize = 16;
/// A `Hello`, filled up with zeros.
pub const HELLO_LEN: usize = 64;
/// The three handshake messages, without their prefix: ephemeral key; ephemeral key; static key and hello.
pub const HANDSHAKE_LENS: [usize; 3] = [32 + TAG_LEN, 32 + TAG_LEN, 32 + TAG_LEN + HELLO_LEN + TAG_LEN];
/// The plaintext of a packet's first message: its type and header. That of the second is the body.
pub const FIRST_LEN: usize = 1 + HEADER_LEN;
/// The plaintext of an answer.
pub const ANSWER_LEN: usize = 1;

pub(super) const HELLO_VERSION: u16 = 1;
const PACKET: u8 = 0x01;
const DISPOSED_OF: u8 = 0x01;
const BUSY: u8 = 0x02;

const _: () = assert!(BODY_LEN + TAG_LEN <= 65_535, "the longest Noise message");
const _: () = assert!(FIRST_LEN - 1 + BODY_LEN == PACKET_LEN, "two messages carry a packet");

/// The prefix of a Noise message of `len` bytes, its tag included.
///
/// # Errors
/// `Malformed` for more than Noise allows.
pub fn prefix(len: usize) -> Result<[u8; PREFIX_LEN], Malformed> {
    u16::try_from(len).map(u16::to_be_bytes).map_err(|_| Malformed)
}

/// Holds the prefix of a Noise message against the length that must come next.
///
/// # Errors
/// `Malformed` if it is another one: close the link without reading more.
pub fn check_prefix(prefix: [u8; PREFIX_LEN], expected: usize) -> Result<(), Malformed> {
    if usize::from(u16::from_be_bytes(prefix)) == expected { Ok(()) } else { Err(Malformed) }
}

/// What each side says of itself: the opener in the third handshake message, the other one in its first transport
/// message, and only when it has found the opener's link key in the directory document. So a stranger doesn't learn
/// a node's clock, which could tell where it is, and an opener knows that it is let in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hello {
    /// Its clock, in whole seconds.
    pub now: Time,
    /// The hash of the directory document it goes by; `None` if it has none yet.
    pub document: Option<[u8; 32]>,
}

impl Hello {
    /// Its plaintext.
    #[must_use]
    pub fn encode(&self) -> [u8; HELLO_LEN] {
        let mut w = Writer::with_capacity(HELLO_LEN);
        w.u16(HELLO_VERSION).u64(self.now.as_secs()).bytes(&self.document.unwrap_or_default());
        let mut bytes = [0; HELLO_LEN];
        bytes.iter_mut().zip(w.finish()).for_each(|(to, from)| *to = from);
        bytes
    }

    /// Reads its plaintext.
    ///
    /// # Errors
    /// `Malformed` for another length or version, or non-zero bytes behind the end.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(bytes);
        if bytes.len() != HELLO_LEN || r.u16()? != HELLO_VERSION {
            return Err(Malformed);
        }
        let seconds = r.u64()?;
        let now = Time::from_secs(seconds);
        if now.as_secs() != seconds {
            return Err(Malformed);
        }
        let document = Some(r.array()?).filter(|hash| *hash != [0; 32]);
        if r.rest().iter().all(|&byte| byte == 0) { Ok(Self { now, document }) } else { Err(Malformed) }
    }
}

/// The two plaintexts that carry `packet`, in the order in which they go.
#[must_use]
pub fn messages(packet: &[u8; PACKET_LEN]) -> (Box<[u8; FIRST_LEN]>, &[u8; BODY_LEN]) {
    let (header, body) = packet.split_at(HEADER_LEN);
    let mut first = Writer::with_capacity(FIRST_LEN);
    first.u8(PACKET).bytes(header);
    let first = first.finish().try_into().expect("one byte and HEADER_LEN bytes are FIRST_LEN");
    (first, body.try_into().expect("what a header leaves of a packet is BODY_LEN"))
}

/// Puts packets together from decrypted messages. After an error the link is closed and this is thrown away.
#[derive(Debug, Default)]
pub struct Incoming {
    /// The header, once it is here.
    packet: Vec<u8>,
}

impl Incoming {
    /// The length of the next Noise message, its tag included.
    #[must_use]
    pub const fn expects(&self) -> usize {
        if self.packet.is_empty() { FIRST_LEN + TAG_LEN } else { BODY_LEN + TAG_LEN }
    }

    /// Takes the plaintext of the next message; gives the packet with every second one.
    ///
    /// # Errors
    /// `Malformed` for a message of another length or type than must come now.
    pub fn take(&mut self, message: &[u8]) -> Result<Option<Box<[u8; PACKET_LEN]>>, Malformed> {
        if message.len() + TAG_LEN != self.expects() {
            return Err(Malformed);
        }
        if !self.packet.is_empty() {
            self.packet.extend_from_slice(message);
            return std::mem::take(&mut self.packet).try_into().map(Some).map_err(|_| Malformed);
        }
        let (&kind, header) = message.split_first().ok_or(Malformed)?;
        if kind != PACKET {
            return Err(Malformed);
        }
        self.packet.reserve_exact(PACKET_LEN);
        self.packet.extend_from_slice(header);
        Ok(None)
    }
}

/// What is said to a packet. There are no more than these two, so that nobody learns what became of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// Whatever had to be done with it is done, and durable: the sender deletes its copy.
    DisposedOf,
    /// Not looked at: send it again later. Said before any work on the packet.
    Busy,
}

impl Answer {
    /// The plaintext of the answer.
    #[must_use]
    pub const fn encode(self) -> [u8; ANSWER_LEN] {
        match self {
            Self::DisposedOf => [DISPOSED_OF],
            Self::Busy => [BUSY],
        }
    }

    /// Reads the plaintext of an answer.
    ///
    /// # Errors
    /// `Malformed` for anything else.
    pub fn decode(message: &[u8]) -> Result<Self, Malformed> {
        match message {
            [DISPOSED_OF] => Ok(Self::DisposedOf),
            [BUSY] => Ok(Self::Busy),
            _ => Err(Malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packet(byte: u8) -> Box<[u8; PACKET_LEN]> {
        let mut packet = Box::new([byte; PACKET_LEN]);
        packet[HEADER_LEN] = byte.wrapping_add(1);
        packet
    }

    #[test]
    fn a_packet_is_two_messages_and_comes_out_whole() {
        let mut incoming = Incoming::default();
        for byte in [7, 200] {
            let packet = packet(byte);
            let (first, body) = messages(&packet);
            assert_eq!((first[0], first[1], body[0]), (1, byte, byte + 1));
            assert_eq!(incoming.expects(), FIRST_LEN + TAG_LEN);
            assert_eq!(incoming.take(&first[..]), Ok(None));
            assert_eq!(incoming.expects(), BODY_LEN + TAG_LEN);
            assert_eq!(incoming.take(body), Ok(Some(packet)));
        }
    }

    #[test]
    fn a_message_of_another_length_or_type_is_malformed() {
        let packet = packet(7);
        let (first, body) = messages(&packet);
        let mut other_type = first.clone();
        other_type[0] = 2;
        for bad in [
            &[][..],
            &first[1..],
            &first[..FIRST_LEN - 1],
            &[&first[..], &[0]].concat(),
            &other_type[..],
            body,
            &packet[..],
        ] {
            assert_eq!(Incoming::default().take(bad), Err(Malformed), "{} bytes first", bad.len());
        }
        for bad in [&[][..], &first[..], &body[1..], &[&body[..], &[0]].concat()] {
            let mut incoming = Incoming::default();
            incoming.take(&first[..]).unwrap();
            assert_eq!(incoming.take(bad), Err(Malformed), "{} bytes second", bad.len());
        }
    }

    #[test]
    fn a_prefix_is_the_length_that_must_come_next_and_no_other() {
        assert_eq!(prefix(BODY_LEN + TAG_LEN), Ok([0xe4, 0x55]));
        assert_eq!(prefix(65_536), Err(Malformed));
        assert_eq!(check_prefix([0xe4, 0x55], BODY_LEN + TAG_LEN), Ok(()));
        assert_eq!(check_prefix([0xe4, 0x54], BODY_LEN + TAG_LEN), Err(Malformed));
        assert_eq!(check_prefix([0xe4, 0x56], BODY_LEN + TAG_LEN), Err(Malformed));
    }

    #[test]
    fn an_answer_is_one_of_two_bytes() {
        for answer in [Answer::DisposedOf, Answer::Busy] {
            assert_eq!(Answer::decode(&answer.encode()), Ok(answer));
        }
        for bad in [&[][..], &[0], &[3], &[1, 1]] {
            assert_eq!(Answer::decode(bad), Err(Malformed), "{bad:?}");
        }
    }

    #[test]
    fn a_hello_is_read_as_it_was_written_and_no_other_way() {
        let hello = Hello { now: Time::from_secs(0x6800_0000), document: Some([0xab; 32]) };
        let bytes = hello.encode();
        let said = [&[0, 1, 0, 0, 0, 0, 0x68, 0, 0, 0][..], &[0xab; 32], &[0; 22]].concat();
        assert_eq!(bytes[..], said);
        assert_eq!(Hello::decode(&bytes), Ok(hello));
        let new = Hello { document: None, ..hello };
        assert_eq!(Hello::decode(&new.encode()), Ok(new));
        for (at, byte, what) in [(1, 0, "version 0"), (1, 2, "version 2"), (42, 1, "a mark"), (63, 1, "a mark")] {
            let mut bad = bytes;
            bad[at] = byte;
            assert_eq!(Hello::decode(&bad), Err(Malformed), "{what} at {at}");
        }
        assert_eq!(Hello::decode(&bytes[..63]), Err(Malformed));
        assert_eq!(Hello::decode(&[&bytes[..], &[0]].concat()), Err(Malformed));
    }

    proptest! {
        #[test]
        fn random_messages_are_refused_without_a_panic(
            messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..100), 0..5),
        ) {
            let mut incoming = Incoming::default();
            for message in messages {
                prop_assert_eq!(incoming.take(&message), Err(Malformed));
                let _ = (Hello::decode(&message), Answer::decode(&message));
            }
        }
    }
}
