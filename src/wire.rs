//! Reading and writing bytes: big endian, bounded, no surprises.

use thiserror::Error;

/// The bytes end too early, go on too long, or say something they may not.
#[derive(Debug, Error, PartialEq, Eq, Clone, Copy)]
#[error("malformed bytes")]
pub struct Malformed;

/// Reads from the front of a slice; every read is checked.
#[derive(Debug, Clone)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// A reader over all of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next `n` bytes.
    ///
    /// # Errors
    /// `Malformed` if there are fewer.
    pub fn bytes(&mut self, n: usize) -> Result<&'a [u8], Malformed> {
        let (head, tail) = self.0.split_at_checked(n).ok_or(Malformed)?;
        self.0 = tail;
        Ok(head)
    }

    /// The next `N` bytes as an array.
    ///
    /// # Errors
    /// `Malformed` if there are fewer.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.bytes(N)?.try_into().map_err(|_| Malformed)
    }

    /// One byte.
    ///
    /// # Errors
    /// `Malformed` at the end.
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(u8::from_be_bytes)
    }

    /// Two bytes, big endian.
    ///
    /// # Errors
    /// `Malformed` at the end.
    pub fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_be_bytes)
    }

    /// Four bytes, big endian.
    ///
    /// # Errors
    /// `Malformed` at the end.
    pub fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    /// Eight bytes, big endian.
    ///
    /// # Errors
    /// `Malformed` at the end.
    pub fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_be_bytes)
    }

    /// A four-byte length of at most `max`, and that many bytes.
    ///
    /// # Errors
    /// `Malformed` if the length is above `max` or the bytes end before it.
    pub fn prefixed(&mut self, max: usize) -> Result<&'a [u8], Malformed> {
        let n = usize::try_from(self.u32()?).map_err(|_| Malformed)?;
        if n > max {
            return Err(Malformed);
        }
        self.bytes(n)
    }

    /// What has not been read yet.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.0
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// `Malformed` if anything is left.
    pub const fn finish(self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed) }
    }
}

/// Bytes in front of a frame that say how long it is.
pub const PREFIX_LEN: usize = 4;

/// How many bytes follow the prefix of a frame.
///
/// # Errors
/// `Malformed` if they are more than `max`: nothing more must be read.
pub fn bounded(prefix: [u8; PREFIX_LEN], max: usize) -> Result<usize, Malformed> {
    usize::try_from(u32::from_be_bytes(prefix)).ok().filter(|&n| n <= max).ok_or(Malformed)
}

/// The frame of `body`: its length and itself.
///
/// # Errors
/// `Malformed` if it has 4 GiB or more.
pub fn framed(body: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut frame = Writer::with_capacity(body.len().saturating_add(PREFIX_LEN));
    frame.prefixed(body)?;
    Ok(frame.finish())
}

/// Writes to the end of a vector.
#[derive(Debug, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// An empty writer with room for `capacity` bytes.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }

    /// Appends `bytes` as they are.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Appends one byte.
    pub fn u8(&mut self, n: u8) -> &mut Self {
        self.bytes(&[n])
    }

    /// Appends two bytes, big endian.
    pub fn u16(&mut self, n: u16) -> &mut Self {
        self.bytes(&n.to_be_bytes())
    }

    /// Appends four bytes, big endian.
    pub fn u32(&mut self, n: u32) -> &mut Self {
        self.bytes(&n.to_be_bytes())
    }

    /// Appends eight bytes, big endian.
    pub fn u64(&mut self, n: u64) -> &mut Self {
        self.bytes(&n.to_be_bytes())
    }

    /// Appends a four-byte length and `bytes`.
    ///
    /// # Errors
    /// `Malformed` if there are 4 GiB or more of them.
    pub fn prefixed(&mut self, bytes: &[u8]) -> Result<&mut Self, Malformed> {
        let n = u32::try_from(bytes.len()).map_err(|_| Malformed)?;
        Ok(self.u32(n).bytes(bytes))
    }

    /// The bytes written.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let mut w = Writer::default();
        w.u8(1).u16(2).u32(3).u64(4).bytes(b"raw").prefixed(b"more").unwrap();
        let bytes = w.finish();
        let mut r = Reader::new(&bytes);
        assert_eq!((r.u8(), r.u16(), r.u32(), r.u64()), (Ok(1), Ok(2), Ok(3), Ok(4)));
        assert_eq!(r.bytes(3), Ok(&b"raw"[..]));
        assert_eq!(r.prefixed(4), Ok(&b"more"[..]));
        assert_eq!(r.finish(), Ok(()));
    }

    #[test]
    fn what_is_too_short_too_long_or_left_over_is_malformed() {
        assert_eq!(Reader::new(&[0, 0]).u32(), Err(Malformed));
        assert_eq!(Reader::new(&[0, 0, 0, 9, 1]).prefixed(9), Err(Malformed));
        assert_eq!(Reader::new(&[0, 0, 0, 2, 1, 1]).prefixed(1), Err(Malformed));
        assert_eq!(Reader::new(&[1]).finish(), Err(Malformed));
    }
}
