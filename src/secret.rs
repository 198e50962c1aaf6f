//! Bytes that must not be seen, copied or left behind.

use std::fmt;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// `N` secret bytes: wiped on drop, never cloned or printed, compared in constant time.
#[derive(ZeroizeOnDrop)]
pub struct Secret<const N: usize>(Box<[u8; N]>);

impl<const N: usize> Secret<N> {
    /// Takes the bytes over and wipes the place they came from.
    #[must_use]
    pub fn take(from: &mut [u8; N]) -> Self {
        let secret = Self(Box::new(*from));
        from.zeroize();
        secret
    }

    /// A secret made in place by `fill`, so that no copy of it stays on the stack.
    #[must_use]
    pub fn filled(fill: impl FnOnce(&mut [u8; N])) -> Self {
        let mut bytes = Box::new([0; N]);
        fill(&mut bytes);
        Self(bytes)
    }

    /// The bytes, for the one call that needs them.
    #[must_use]
    pub fn expose(&self) -> &[u8; N] {
        &self.0
    }
}

impl<const N: usize> PartialEq for Secret<N> {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&*other.0).into()
    }
}

impl<const N: usize> Eq for Secret<N> {}

impl<const N: usize> fmt::Debug for Secret<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_printed_and_its_source_is_wiped() {
        let mut source = [7; 32];
        let secret = Secret::take(&mut source);
        assert_eq!(source, [0; 32]);
        assert_eq!(format!("{secret:?}"), "Secret(..)");
        assert_eq!(secret, Secret::filled(|bytes| bytes.fill(7)));
    }
}
