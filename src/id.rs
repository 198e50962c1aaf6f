//! The names of things, as types that can't be mixed up.

use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $len;
        }

        impl fmt::Display for $name {
            /// Lower-case hex.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

id!(
    /// A node: SHA-256 of its 32-byte Ed25519 identity public key.
    NodeId,
    32
);
id!(
    /// A mail, drawn at the entry and the same at every try; the exit de-duplicates on it.
    MessageId,
    16
);
id!(
    /// One try at sending a mail: the fragments of one set belong together.
    SetId,
    16
);
id!(
    /// A single-use reply block, known to its maker alone.
    SurbId,
    32
);
id!(
    /// The name that a waiting mail has on its node and nowhere else.
    QueueId,
    6
);
id!(
    /// What marks a packet as seen by one mix key (docs/spec.md, "Hop keys").
    ReplayTag,
    16
);

impl QueueId {
    /// Reads what `Display` wrote.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digit = |byte: u8| char::from(byte).to_digit(16).filter(|_| !byte.is_ascii_uppercase());
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        let mut id = [0; Self::LEN];
        if pairs.len() != Self::LEN || !rest.is_empty() {
            return None;
        }
        for (byte, [high, low]) in id.iter_mut().zip(pairs) {
            *byte = u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()?;
        }
        Some(Self(id))
    }
}

/// A key's validity: `floor(Unix seconds / epoch length)`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch `n` later; stays at the last one there is.
    #[must_use]
    pub fn plus(self, n: u64) -> Self {
        Self(self.0.saturating_add(n))
    }

    /// The epoch `n` earlier; stays at the first.
    #[must_use]
    pub fn minus(self, n: u64) -> Self {
        Self(self.0.saturating_sub(n))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_shown_as_lower_case_hex() {
        let id = MessageId([0xab; 16]);
        assert_eq!(id.to_string(), "ab".repeat(16));
        assert_eq!(format!("{id:?}"), format!("MessageId({})", "ab".repeat(16)));
    }

    #[test]
    fn a_name_in_the_queue_is_read_as_it_was_written_and_nothing_else_is() {
        let id = QueueId([0x0a, 0x1b, 0xff, 0, 7, 0x90]);
        assert_eq!(QueueId::parse(&id.to_string()), Some(id));
        for text in ["", "0", "0a0a0a0a0a0A", "0a0a0a0a0a0a0a", "0a0a0a0a0a0", "0a0a0a0a0a0g", "all"] {
            assert_eq!(QueueId::parse(text), None, "{text}");
        }
    }
}
