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
    // More or less content than stated, the reserved bit, a wrong checksum: the library refuses those.
    zstd::bulk::decompress(frame, size).map_err(|_| Malformed)
}

/// The content size that the frame's header states, if the header keeps our rules: the zstd magic number (so no
/// skippable and no older frame), no dictionary, a content size, a window of at most `MAX_WINDOW`.
fn content_size(frame: &[u8]) -> Result<u64, Malformed> {
    let mut r = Reader::new(frame);
    if r.array()? != MAGIC {
        return Err(Malformed);
    }
    let descriptor = r.u8()?;
    let (single_segment, dictionary) = (descriptor & 0x20 != 0, descriptor & 0x03);
    if dictionary != 0 {
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write as _;
    use zstd::stream::Encoder;

    const MAX: usize = 1_000_000;

    fn streamed(plain: &[u8], set: impl FnOnce(&mut Encoder<'_, Vec<u8>>)) -> Vec<u8> {
        let mut encoder = Encoder::new(Vec::new(), 3).unwrap();
        set(&mut encoder);
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    /// A frame in single-segment form with one raw block of `content`, whose header states `size`.
    fn raw_frame(descriptor: u8, size: &[u8], content: &[u8]) -> Vec<u8> {
        let block = u32::try_from(content.len() << 3 | 1).unwrap().to_le_bytes();
        [&MAGIC[..], &[descriptor], size, &block[..3], content].concat()
    }

    #[test]
    fn a_frame_of_another_compressor_is_read_if_it_keeps_the_rules() {
        let plain = b"to be or not to be ".repeat(5000);
        let pledged = Some(u64::try_from(plain.len()).unwrap());
        let frame = streamed(&plain, |encoder| {
            encoder.set_pledged_src_size(pledged).unwrap();
            encoder.include_checksum(true).unwrap();
        });
        assert_eq!(decompress(&frame, plain.len()), Ok(plain));
        assert_eq!(decompress(&raw_frame(0x20, &[2], b"hi"), 2), Ok(b"hi".to_vec()));
        assert_eq!(decompress(&raw_frame(0x60, &[0, 0], &[7; 256]), 256), Ok(vec![7; 256]));
        assert_eq!(decompress(&raw_frame(0xa0, &[2, 0, 0, 0], b"hi"), 2), Ok(b"hi".to_vec()));
        assert_eq!(decompress(&raw_frame(0xe0, &[2, 0, 0, 0, 0, 0, 0, 0], b"hi"), 2), Ok(b"hi".to_vec()));
    }

    #[test]
    fn attack_12_a_bomb_is_refused_by_what_it_claims_and_by_what_it_holds() {
        let bomb = compress(&vec![0; 64 << 20]).unwrap();
        assert!(bomb.len() < 10_000);
        assert_eq!(decompress(&bomb, MAX), Err(Malformed));
        // It claims less than it holds: two bytes, or nearly none of them.
        assert_eq!(decompress(&raw_frame(0x20, &[2], b"hello"), MAX), Err(Malformed));
        assert_eq!(decompress(&raw_frame(0x20, &[9], b"hello"), MAX), Err(Malformed));
        // It claims more memory than there is.
        assert_eq!(decompress(&raw_frame(0xe0, &[0xff; 8], b"hello"), MAX), Err(Malformed));
    }

    #[test]
    fn content_of_the_limit_is_read_and_one_byte_more_refused() {
        let frame = compress(&[7; 1000]).unwrap();
        assert_eq!(decompress(&frame, 1000), Ok(vec![7; 1000]));
        assert_eq!(decompress(&frame, 999), Err(Malformed));
    }

    #[test]
    fn anything_but_one_frame_is_refused() {
        let good = compress(b"hello").unwrap();
        assert_eq!(decompress(&good, MAX), Ok(b"hello".to_vec()));
        assert_eq!(decompress(&raw_frame(0x20, &[0], b""), MAX), Ok(vec![]));
        let skippable = [0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 9, 9];
        let empty = compress(b"").unwrap();
        for (what, bad) in [
            ("two frames", [good.clone(), good.clone()].concat()),
            ("an empty frame behind it", [good.clone(), empty].concat()),
            ("a skippable frame in front", [skippable.to_vec(), good.clone()].concat()),
            ("a skippable frame behind it", [good.clone(), skippable.to_vec()].concat()),
            ("a skippable frame alone", skippable.to_vec()),
            ("a byte behind it", [good.clone(), vec![0]].concat()),
            ("the end missing", good[..good.len() - 1].to_vec()),
            (
                "a skippable frame that reads like an empty one",
                [&[0x50, 0x2a, 0x4d, 0x18, 32, 0, 0, 0][..], &[0; 32]].concat(),
            ),
            (
                "the format of zstd 0.7",
                [&[0x27, 0xb5, 0x2f, 0xfd, 0x20, 2, 0x40, 0, 2][..], b"hi", &[0xc0, 0, 0]].concat(),
            ),
            ("nothing", vec![]),
        ] {
            assert_eq!(decompress(&bad, MAX), Err(Malformed), "{what}");
        }
    }

    #[test]
    fn a_header_outside_the_rules_is_refused() {
        let plain = vec![7; 100_000];
        assert_eq!(decompress(&streamed(&plain, |_| ()), MAX), Err(Malformed), "no content size");
        assert_eq!(decompress(&raw_frame(0x28, &[2], b"hi"), MAX), Err(Malformed), "the reserved bit");
        assert_eq!(decompress(&raw_frame(0x21, &[5, 2], b"hi"), MAX), Err(Malformed), "a dictionary");
        assert_eq!(decompress(&raw_frame(0x21, &[0, 0], b""), MAX), Err(Malformed), "a dictionary named zero");
        let window = |descriptor| raw_frame(0x80, &[descriptor, 2, 0, 0, 0], b"hi");
        assert_eq!(decompress(&window(13 << 3), MAX), Ok(b"hi".to_vec()), "a window of 8 MiB");
        assert_eq!(decompress(&window(13 << 3 | 1), MAX), Err(Malformed), "a window of 9 MiB");
        assert_eq!(decompress(&window(0xff), MAX), Err(Malformed), "the widest window");
    }

    #[test]
    fn our_own_frames_keep_the_window_for_the_biggest_message() {
        let plain: Vec<u8> = (0..15_000_000u32).flat_map(|n| (n / 5).to_le_bytes().into_iter().take(1)).collect();
        let frame = compress(&plain).unwrap();
        assert_eq!(decompress(&frame, plain.len()), Ok(plain));
    }

    proptest! {
        #[test]
        fn what_is_compressed_is_given_back(plain in proptest::collection::vec(any::<u8>(), 0..5000)) {
            prop_assert_eq!(decompress(&compress(&plain).unwrap(), plain.len()), Ok(plain));
        }

        #[test]
        fn damaged_or_random_bytes_never_give_more_than_the_limit(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            at in any::<proptest::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let mut frame = compress(&b"to be or not to be ".repeat(20)).unwrap();
            *at.get_mut(&mut frame) = byte;
            for bytes in [frame, [&MAGIC[..], &bytes].concat()] {
                if let Ok(plain) = decompress(&bytes, 500) {
                    prop_assert!(plain.len() <= 500);
                }
            }
        }
    }
}
