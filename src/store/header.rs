//! Which commit of the database holds: redb goes back to the one before where the newest is not whole, and doesn't say so.
//!
//! The first 320 bytes of its file (format 3) are 64 of which bit 0 of byte 9 tells the newer of two slots, and these: 128
//! each, with the number of their commit at byte 104, little-endian. Opening it with a check makes one commit more.

use super::disk::Backing;
use std::io::{self, ErrorKind};

const LEN: usize = 320;
const NEWER: usize = 9;
const SLOTS: [usize; 2] = [64 + 104, 64 + 128 + 104];

/// The numbers of the two newest commits.
pub(super) struct Commits {
    newer: u64,
    other: u64,
}

impl Commits {
    /// Those that the header of `file` names; none of a file that has none.
    pub(super) fn of(file: &Backing) -> io::Result<Option<Self>> {
        let mut header = [0; LEN];
        match file.read(0, &mut header) {
            Ok(()) => Ok(Self::in_header(&header)),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn in_header(header: &[u8; LEN]) -> Option<Self> {
        let number = |at: usize| Some(u64::from_le_bytes(*header.get(at..)?.first_chunk()?));
        let [first, second] = SLOTS.map(number);
        let second_is_newer = header.get(NEWER)? & 1 == 1;
        let (newer, other) = if second_is_newer { (second?, first?) } else { (first?, second?) };
        Some(Self { newer, other })
    }

    /// Whether what was opened between `self` and `after` was not the newest commit.
    pub(super) const fn was_undone(&self, after: &Self) -> bool {
        let opened = after.newer.saturating_sub(1);
        opened != self.newer || opened < self.other
    }
}
