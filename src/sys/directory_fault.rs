//! Why a directory document isn't taken: a closed list, with a word each for the log.

use crate::directory::Rejected;

/// Why a directory document isn't taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DirectoryFault {
    /// It isn't there, or can't be read.
    Unreadable,
    /// It is taken, but can't be kept for the next start.
    Unwritable,
    /// It isn't the text of a document, or names something twice.
    Malformed,
    /// Too few signatures of those who are trusted, or a false one.
    Signatures,
    /// It is older than the one in use.
    Rollback,
    /// It is another one of the same epoch: somebody was shown something else than others.
    Fork,
    /// Its epochs are not as long as those of the one in use.
    Epochs,
    /// Its epoch has not begun.
    Future,
    /// Its epochs are over.
    Expired,
    /// This node isn't in it, or with another link key.
    NotMember,
    /// It promises a role or mix keys that this node hasn't got.
    Promises,
    /// It makes a demonstration of a network that leaves this machine.
    Demonstration,
}

impl DirectoryFault {
    /// Its word in the log (fog-log(7)).
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Unwritable => "unwritable",
            Self::Malformed => "malformed",
            Self::Signatures => "signatures",
            Self::Rollback => "rollback",
            Self::Fork => "fork",
            Self::Epochs => "epochs",
            Self::Future => "future",
            Self::Expired => "expired",
            Self::NotMember => "not-member",
            Self::Promises => "promises",
            Self::Demonstration => "demonstration",
        }
    }
}

impl From<&Rejected> for DirectoryFault {
    fn from(rejected: &Rejected) -> Self {
        match rejected {
            Rejected::TooFewSignatures { .. } | Rejected::UnknownAuthority(_) | Rejected::BadSignature(_) => {
                Self::Signatures
            }
            Rejected::Rollback { .. } => Self::Rollback,
            Rejected::Fork(_) => Self::Fork,
            Rejected::OtherEpochs { .. } => Self::Epochs,
            Rejected::FromTheFuture { .. } => Self::Future,
            Rejected::Expired { .. } => Self::Expired,
            Rejected::TwoNodes(_) | Rejected::NoOnion(_) | Rejected::BadMixKey(_) | Rejected::Malformed(_) => {
                Self::Malformed
            }
        }
    }
}
