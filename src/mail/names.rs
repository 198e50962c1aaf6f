//! Names for boundaries and ids: from a seed, so that nothing of the old ones, of the clock or of the host is in them.

use sha2::{Digest, Sha256};
use std::fmt::Write as _;

/// Makes the names of one mail. The same seed gives the same names; without the seed they look random.
pub(super) struct Names<'r> {
    seed: &'r [u8; 32],
    domain: &'r str,
    boundaries: u64,
}

impl<'r> Names<'r> {
    /// Names from `seed`; Content-IDs are made `@` `domain`.
    pub(super) const fn new(seed: &'r [u8; 32], domain: &'r str) -> Self {
        Self { seed, domain, boundaries: 0 }
    }

    /// The next MIME boundary: 128 bits that content can't hold, because whoever wrote it didn't know the seed.
    pub(super) fn boundary(&mut self) -> String {
        self.boundaries = self.boundaries.saturating_add(1);
        self.digest(b"boundary", &self.boundaries.to_be_bytes())
    }

    /// The new Content-ID for `old`. A function of `old`, so that references find it wherever they stand.
    pub(super) fn content_id(&self, old: &str) -> String {
        format!("{}@{}", self.digest(b"content-id", old.as_bytes()), self.domain)
    }

    /// A Message-ID for a mail that came without a usable one.
    pub(super) fn message_id(&self) -> String {
        self.digest(b"message-id", b"")
    }

    fn digest(&self, label: &[u8], data: &[u8]) -> String {
        let hash =
            Sha256::new().chain_update(self.seed).chain_update(label).chain_update([0]).chain_update(data).finalize();
        hex(hash.iter().take(16))
    }
}

/// Lower-case hex.
pub(super) fn hex<'b>(bytes: impl IntoIterator<Item = &'b u8>) -> String {
    bytes.into_iter().fold(String::with_capacity(32), |mut text, byte| {
        // Writing to a string can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_depend_on_the_seed_and_on_nothing_else() {
        let (mut a, mut b, mut c) = (Names::new(&[1; 32], "x"), Names::new(&[1; 32], "x"), Names::new(&[2; 32], "x"));
        let first = a.boundary();
        assert_eq!(first, b.boundary());
        assert_ne!(first, a.boundary(), "each boundary is a new one");
        assert_ne!(first, c.boundary());
        assert_eq!(a.content_id("old@host"), b.content_id("old@host"));
        assert_ne!(a.content_id("old@host"), c.content_id("old@host"));
        assert_ne!(a.message_id(), c.message_id());
        assert_eq!(first.len(), 32);
    }
}
