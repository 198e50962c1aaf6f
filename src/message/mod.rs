//! What packets carry: a mail as CBOR, compressed, cut into shards that spare shards can stand in for
//! (docs/spec-message.md).

mod compression;
mod envelope;
pub mod payload;
pub mod shards;

pub use envelope::{ENVELOPE_LEN, Message, SURB_LEN};
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
