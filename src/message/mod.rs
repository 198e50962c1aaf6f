//! What packets carry: a mail as CBOR, compressed, cut into shards that spare shards can stand in for
//! (docs/spec-message.md).

mod compression;
mod envelope;
pub mod payload;
pub mod shards;

pub use envelope::{ENVELOPE_LEN, MAX_SURBS, Message};
pub use payload::Payload;

use crate::wire::Malformed;
use thiserror::Error;

/// Why a mail can't be put into packets.
#[derive(Debug, Error, PartialEq, Eq, Clone, Copy)]
pub enum PackError {
    /// The mail holds a NUL, or a CR or LF that is not part of a CR LF.
    #[error("the mail holds a bare CR, LF or NUL")]
    BareControl,
    /// There is nothing to cut, or more than `shards::MAX_SHARDS` shards hold.
    #[error("the message does not fit 1 to 255 shards")]
    DoesNotFit,
    /// The compressor had no memory.
    #[error("the message could not be compressed")]
    Compression,
}

/// A message as the network carries it: CBOR, compressed. `shards::split` cuts it.
///
/// # Errors
/// `BareControl` or `Compression`.
pub fn pack(message: &Message) -> Result<Vec<u8>, PackError> {
    compression::compress(&message.encode()?)
}

/// The message in `packed`, with a mail of at most `max_size` bytes. Never makes more room than for that.
///
/// # Errors
/// `Malformed` for anything `pack` could not have made, or too big a mail.
pub fn unpack(packed: &[u8], max_size: usize) -> Result<Message, Malformed> {
    let message = compression::decompress(packed, max_size.saturating_add(ENVELOPE_LEN))?;
    Message::decode(&message, max_size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::MessageId;
    use crate::mail::address::Address;

    fn message(mail: Vec<u8>) -> Message {
        Message { recipient: Address::parse("a@x.org").unwrap(), mail, surbs: Vec::new(), id: MessageId([1; 16]) }
    }

    /// 5 MB as an attachment has them: lines of base64 that do not compress well.
    fn attachment() -> Vec<u8> {
        let mut state = 1u32;
        let mut mail = b"Subject: x\r\n\r\n".to_vec();
        while mail.len() < 5_000_000 {
            for _ in 0..76 {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                mail.push(b'A' + u8::try_from(state >> 27).unwrap());
            }
            mail.extend_from_slice(b"\r\n");
        }
        mail
    }

    #[test]
    fn a_big_mail_crosses_packets_with_losses() {
        let message = message(attachment());
        let packed = pack(&message).unwrap();
        let (shape, shards) = shards::split(&packed, 5).unwrap();
        let arrived: Vec<_> = (0..).zip(&shards).skip(5).collect();
        let joined = shards::join(shape, &arrived).unwrap();
        assert!(unpack(&joined, message.mail.len()) == Ok(message));
    }

    #[test]
    fn a_mail_above_the_limit_is_refused() {
        let packed = pack(&message(vec![b'x'; 1000])).unwrap();
        assert!(unpack(&packed, 1000).is_ok());
        assert_eq!(unpack(&packed, 999), Err(Malformed));
    }

    #[test]
    fn a_mail_with_bare_line_ends_is_not_packed() {
        assert_eq!(pack(&message(b"a\nb".to_vec())), Err(PackError::BareControl));
    }
}
