//! One zstd frame (RFC 8878), and nothing that is not exactly one.

use super::PackError;
use crate::wire::{Malformed, Reader};
use zstd::zstd_safe;

/// Attachments are compressed already and text is short: a higher level costs the node's one engine thread more time
/// than it saves packets. Its window is 4 MiB at most.
const LEVEL: i32 = 9;
/// The most a decoder has to keep of what it has decoded.
const MAX_WINDOW: u64 = 8 << 20;
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// `plain` as one frame that states its content size.
pub(super) fn compress(plain: &[u8]) -> Result<Vec<u8>, PackError> {
    zstd::bulk::compress(plain, LEVEL).map_err(|_| PackError::Compression)
}

/// The content of `frame`, at most `max` bytes. What the frame claims is held against `max` before room is made for it.
pub(super) fn decompress(frame: &[u8], max: usize) -> Result<Vec<u8>, Malformed> {
    let size = content_size(frame)?;
    let size = usize::try_from(size).ok().filter(|&size| size <= max).ok_or(Malformed)?;
    // A second frame, a skippable one or rubbish behind the end would be a place for a mark.
    if zstd_safe::find_frame_compressed_size(frame) != Ok(frame.len()) {
        return Err(Malformed);
    }
    let plain = zstd::bulk::decompress(frame, size).map_err(|_| Malformed)?;
    if plain.len() == size { Ok(plain) } else { Err(Malformed) }
}

/// The content size that the frame's header states, if the header keeps our rules: the zstd magic number (so no
/// skippable and no older frame), no dictionary, a content size, a window of at most `MAX_WINDOW`.
fn content_size(frame: &[u8]) -> Result<u64, Malformed> {
    let mut r = Reader::new(frame);
    if r.array()? != MAGIC {
        return Err(Malformed);
    }
    let descriptor = r.u8()?;
    let (single_segment, reserved, dictionary) = (descriptor & 0x20 != 0, descriptor & 0x08 != 0, descriptor & 0x03);
    if reserved || dictionary != 0 {
        return Err(Malformed);
    }
    let window = if single_segment { None } else { Some(window_size(r.u8()?)) };
    let size = match (descriptor >> 6, single_segment) {
        (0, false) => return Err(Malformed),
        (0, true) => u64::from(r.u8()?),
        (1, _) => u64::from(u16::from_le_bytes(r.array()?)) + 256,
        (2, _) => u64::from(u32::from_le_bytes(r.array()?)),
        _ => u64::from_le_bytes(r.array()?),
    };
    if window.unwrap_or(size) <= MAX_WINDOW { Ok(size) } else { Err(Malformed) }
}

/// RFC 8878, 3.1.1.1.2.
fn window_size(descriptor: u8) -> u64 {
    let base = 1 << (10 + (descriptor >> 3));
    base + base / 8 * u64::from(descriptor & 0x07)
}
