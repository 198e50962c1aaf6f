//! What an authority says to a descriptor that is handed in (docs/spec-message.md, "A descriptor").

use crate::wire::Malformed;
use thiserror::Error;

/// The plaintext of a verdict.
pub const VERDICT_LEN: usize = 1;

/// Longest descriptor that goes over a link: the longest there is.
pub const MAX_DESCRIPTOR: usize = 60 << 10;

/// What becomes of a descriptor. The words are for whoever handed it in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Error)]
pub enum Verdict {
    /// This authority would have it in the next document.
    #[error("it will be in the next document, if the other authorities agree")]
    In,
    /// It is here already, and will be or is in the document.
    #[error("it is known already")]
    Known,
    /// It is kept until the operator lets the node in, or gives it the role it asks for.
    #[error("it waits for the authority's operator: fog directory add")]
    Waits,
    /// It isn't a descriptor's text.
    #[error("it is no descriptor, or its own signature does not hold")]
    Malformed,
    /// A mix key that is none.
    #[error("a bad mix key")]
    BadMixKey,
    /// A newer one is known.
    #[error("it is older than what is known of this node")]
    Old,
    /// Nobody could send to the node by the next document.
    #[error("it has no mix key for the next epoch")]
    NoKey,
    /// Another node has its address.
    #[error("two nodes with one address")]
    Address,
    /// Another node has its name.
    #[error("two nodes with one name")]
    Name,
    /// Another node has its link key.
    #[error("two nodes with one link key")]
    LinkKey,
    /// Too many strangers wait for the operator, or the network is one of onions, and the node is none.
    #[error("there is no room for it: too many wait, or the network takes onions only")]
    NoRoom,
}

impl Verdict {
    /// All of them, in the order of their numbers, from 1.
    pub const ALL: [Self; 11] = [
        Self::In,
        Self::Known,
        Self::Waits,
        Self::Malformed,
        Self::BadMixKey,
        Self::Old,
        Self::NoKey,
        Self::Address,
        Self::Name,
        Self::LinkKey,
        Self::NoRoom,
    ];

    /// Its word in the log.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Known => "known",
            Self::Waits => "waits",
            Self::Malformed => "malformed",
            Self::BadMixKey => "mix-key",
            Self::Old => "old",
            Self::NoKey => "no-key",
            Self::Address => "address",
            Self::Name => "name",
            Self::LinkKey => "link-key",
            Self::NoRoom => "no-room",
        }
    }

    /// Its plaintext.
    #[must_use]
    pub fn encode(self) -> [u8; VERDICT_LEN] {
        let number = (1..).zip(Self::ALL).find(|(_, verdict)| *verdict == self).map_or(0, |(number, _)| number);
        [number]
    }

    /// Reads its plaintext.
    ///
    /// # Errors
    /// `Malformed` for another length or number.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let [number] = bytes else { return Err(Malformed) };
        (1..).zip(Self::ALL).find(|(of, _)| of == number).map(|(_, verdict)| verdict).ok_or(Malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_has_one_byte_and_its_words() {
        let mut said = std::collections::BTreeSet::new();
        for number in 0..=u8::MAX {
            match Verdict::decode(&[number]) {
                Ok(verdict) => assert!(verdict.encode() == [number] && said.insert(verdict.to_string())),
                Err(Malformed) => assert!(!(1..=11).contains(&number)),
            }
        }
        assert_eq!((said.len(), Verdict::In.encode(), Verdict::NoRoom.encode()), (11, [1], [11]));
        assert_eq!((Verdict::decode(&[]), Verdict::decode(&[1, 1])), (Err(Malformed), Err(Malformed)));
    }
}
