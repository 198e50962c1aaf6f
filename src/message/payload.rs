//! What one packet carries for its last hop.

use super::shards::{Shape, Shard};
use crate::id::{MessageId, SetId};
use crate::sphinx::geometry::PAYLOAD_LEN;
use crate::wire::{Malformed, Reader, Writer};
use rand_core::CryptoRng;

const FRAGMENT: u8 = 0x01;
const RECEIPT: u8 = 0x02;
const LOOP: u8 = 0x04;

/// A payload, by its kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Payload<'a> {
    /// A piece of a message.
    Fragment(Fragment<'a>),
    /// What became of a message.
    Receipt(Receipt),
    /// A node's packet to itself: random bytes it knows again.
    Loop([u8; 32]),
}

/// A piece of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fragment<'a> {
    /// The try it belongs to.
    pub set: SetId,
    /// How the message was cut.
    pub shape: Shape,
    /// Which shard this is, below `shape.n()`.
    pub index: u8,
    /// The shard.
    pub shard: &'a Shard,
}

/// What became of a message, said by its exit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Receipt {
    /// Which message.
    pub message: MessageId,
    /// What the exit did with it.
    pub status: Status,
    /// What the exit's MTA said.
    pub class: Class,
}

/// What the exit did with a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// The exit's MTA has it.
    Accepted,
    /// The exit's MTA refused it for good.
    Refused,
    /// The exit gave it up.
    GivenUp,
    /// The exit still has it: the MTA defers.
    Held,
}

/// The first digit of the MTA's SMTP reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// There was no reply.
    None,
    /// 2xx.
    Success,
    /// 4xx.
    Temporary,
    /// 5xx.
    Permanent,
}

impl<'a> Payload<'a> {
    /// The payload, filled up with random bytes.
    #[must_use]
    pub fn encode(&self, rng: &mut impl CryptoRng) -> Box<[u8; PAYLOAD_LEN]> {
        let mut w = Writer::with_capacity(PAYLOAD_LEN);
        match self {
            Self::Fragment(f) => {
                w.u8(FRAGMENT).bytes(&f.set.0).u8(f.shape.k()).u8(f.shape.n()).u8(f.index).u8(0);
                w.u32(f.shape.length()).bytes(f.shard)
            }
            Self::Receipt(r) => w.u8(RECEIPT).bytes(&r.message.0).u8(r.status.code()).u8(r.class.digit()),
            Self::Loop(mark) => w.u8(LOOP).bytes(mark),
        };
        let mut bytes = w.finish();
        let said = bytes.len();
        bytes.resize(PAYLOAD_LEN, 0);
        rng.fill_bytes(bytes.split_at_mut(said).1);
        bytes.try_into().expect("resized to PAYLOAD_LEN four lines above")
    }

    /// Reads a payload; what it is filled up with is not looked at.
    ///
    /// # Errors
    /// `Malformed` for an unknown kind, status or class, a shape that can't be, or an index outside it.
    pub fn decode(bytes: &'a [u8; PAYLOAD_LEN]) -> Result<Self, Malformed> {
        let mut r = Reader::new(bytes);
        match r.u8()? {
            FRAGMENT => fragment(r).map(Self::Fragment),
            RECEIPT => Ok(Self::Receipt(Receipt {
                message: MessageId(r.array()?),
                status: Status::from_code(r.u8()?)?,
                class: Class::from_digit(r.u8()?)?,
            })),
            LOOP => Ok(Self::Loop(r.array()?)),
            _ => Err(Malformed),
        }
    }
}

fn fragment(mut r: Reader) -> Result<Fragment, Malformed> {
    let set = SetId(r.array()?);
    let (k, n, index, zero) = (r.u8()?, r.u8()?, r.u8()?, r.u8()?);
    let shape = Shape::new(k, n, r.u32()?)?;
    let shard = r.rest().try_into().map_err(|_| Malformed)?;
    if index < n && zero == 0 { Ok(Fragment { set, shape, index, shard }) } else { Err(Malformed) }
}

impl Status {
    /// The byte that stands for it.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Accepted => 0,
            Self::Refused => 1,
            Self::GivenUp => 2,
            Self::Held => 3,
        }
    }

    const fn from_code(code: u8) -> Result<Self, Malformed> {
        match code {
            0 => Ok(Self::Accepted),
            1 => Ok(Self::Refused),
            2 => Ok(Self::GivenUp),
            3 => Ok(Self::Held),
            _ => Err(Malformed),
        }
    }
}

impl Class {
    /// The byte that stands for it: the digit, or zero.
    #[must_use]
    pub const fn digit(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Success => 2,
            Self::Temporary => 4,
            Self::Permanent => 5,
        }
    }

    const fn from_digit(digit: u8) -> Result<Self, Malformed> {
        match digit {
            0 => Ok(Self::None),
            2 => Ok(Self::Success),
            4 => Ok(Self::Temporary),
            5 => Ok(Self::Permanent),
            _ => Err(Malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::shards::{FRAGMENT_HEAD_LEN, SHARD_LEN};
    use proptest::prelude::*;
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    fn rng(seed: u64) -> StdRng {
        StdRng::seed_from_u64(seed)
    }

    #[test]
    fn a_fragment_has_the_bytes_of_the_specification_and_fills_its_packet() {
        let shard = [0xcd; SHARD_LEN];
        let shape = Shape::new(2, 5, 100_000).unwrap();
        let fragment = Payload::Fragment(Fragment { set: SetId([0xab; 16]), shape, index: 4, shard: &shard });
        let bytes = fragment.encode(&mut rng(1));
        let head = [&[1][..], &[0xab; 16], &[2, 5, 4, 0, 0x00, 0x01, 0x86, 0xa0]].concat();
        assert_eq!(bytes.split_at(FRAGMENT_HEAD_LEN), (&head[..], &shard[..]));
        assert_eq!(Payload::decode(&bytes), Ok(fragment));
    }

    #[test]
    fn a_receipt_or_loop_has_the_bytes_of_the_specification_and_is_filled_with_random_ones() {
        let receipt = Receipt { message: MessageId([0xab; 16]), status: Status::Held, class: Class::Temporary };
        for (payload, want) in [
            (Payload::Receipt(receipt), [&[2][..], &[0xab; 16], &[3, 4]].concat()),
            (Payload::Loop([0xab; 32]), [&[4][..], &[0xab; 32]].concat()),
        ] {
            let (one, other) = (payload.encode(&mut rng(1)), payload.encode(&mut rng(2)));
            let ((said, filled), (_, filled_otherwise)) = (one.split_at(want.len()), other.split_at(want.len()));
            assert_eq!(said, want);
            // Zeros, or the same bytes twice, would tell this payload from a shard.
            assert!(filled.iter().filter(|&&byte| byte == 0).count() < 500);
            assert!(filled.iter().zip(filled_otherwise).filter(|(a, b)| a == b).count() < 500);
            assert_eq!(Payload::decode(&one), Ok(payload));
        }
    }

    #[test]
    fn every_status_and_class_is_read_as_it_was_written() {
        for status in [Status::Accepted, Status::Refused, Status::GivenUp, Status::Held] {
            for class in [Class::None, Class::Success, Class::Temporary, Class::Permanent] {
                let receipt = Payload::Receipt(Receipt { message: MessageId([1; 16]), status, class });
                assert_eq!(Payload::decode(&receipt.encode(&mut rng(1))), Ok(receipt));
            }
        }
    }

    #[test]
    fn a_payload_outside_the_grammar_is_malformed() {
        let shard = [0; SHARD_LEN];
        let shape = Shape::new(2, 5, 100_000).unwrap();
        let fragment = Payload::Fragment(Fragment { set: SetId([9; 16]), shape, index: 4, shard: &shard });
        let receipt =
            Payload::Receipt(Receipt { message: MessageId([9; 16]), status: Status::Accepted, class: Class::Success });
        // Offset, the byte put there, and what is wrong then.
        for (payload, at, byte, what) in [
            (fragment, 0, 0x00, "kind 0"),
            (fragment, 0, 0x03, "the reserved kind"),
            (fragment, 0, 0x05, "an unknown kind"),
            (fragment, 17, 1, "too few shards for the length"),
            (fragment, 17, 3, "too many shards for the length"),
            (fragment, 18, 1, "n below k"),
            (fragment, 19, 5, "an index outside"),
            (fragment, 20, 1, "a mark where zero must be"),
            (fragment, 21, 1, "a length of 16 MiB"),
            (receipt, 17, 4, "an unknown status"),
            (receipt, 18, 1, "an unknown class"),
            (receipt, 18, 3, "class 3"),
        ] {
            let mut bytes = payload.encode(&mut rng(1));
            bytes[at] = byte;
            assert_eq!(Payload::decode(&bytes), Err(Malformed), "{what}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_read_is_the_one_way_to_say_it(head in any::<[u8; 34]>(), kind in 0u8..6) {
            let mut bytes = Box::new([0; PAYLOAD_LEN]);
            bytes.iter_mut().zip(head).for_each(|(to, from)| *to = from);
            bytes[0] = kind;
            if let Ok(payload) = Payload::decode(&bytes) {
                let said = match payload {
                    Payload::Fragment(_) => PAYLOAD_LEN,
                    Payload::Receipt(_) => 19,
                    Payload::Loop(_) => 33,
                };
                let written = payload.encode(&mut rng(1));
                prop_assert_eq!(written.split_at(said).0, bytes.split_at(said).0);
            }
        }
    }
}
