//! Why a directory document is not taken.

use super::contents::Shared;
use super::document::VALID_EPOCHS;
use super::lines::{Malformed, Wrong};
use super::units::span;
use crate::id::{Epoch, NodeId};
use std::time::Duration;
use thiserror::Error;

/// Why a document is not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Rejected {
    /// Not enough authorities that we trust have signed.
    #[error("too few signatures: {have} of the {want} that are wanted")]
    TooFewSignatures {
        /// Good signatures of authorities we trust.
        have: usize,
        /// The higher of our threshold and the document's.
        want: usize,
    },
    /// A signature of an authority that the document doesn't list; or one we don't trust, where its signature is needed.
    #[error("signed by an unknown authority, {0}")]
    UnknownAuthority(NodeId),
    /// The authority didn't sign this.
    #[error("the signature of authority {0} does not hold")]
    BadSignature(NodeId),
    /// Older than the one we have.
    #[error("a rollback: it is of epoch {theirs}, ours of epoch {ours}")]
    Rollback {
        /// The epoch of the document we have.
        ours: Epoch,
        /// The epoch of this one.
        theirs: Epoch,
    },
    /// Not the one we have, but of the same epoch: authorities have signed twice.
    #[error("a fork: another document of epoch {0}, the epoch of ours")]
    Fork(Epoch),
    /// Its epochs are longer or shorter than those of the one we have, so that its numbers mean other times.
    #[error("its epochs are {}, ours {}: epochs and mix keys would be counted anew", span(*theirs), span(*ours))]
    OtherEpochs {
        /// How long an epoch is by the document we have.
        ours: Duration,
        /// And by this one.
        theirs: Duration,
    },
    /// Its epoch has not begun.
    #[error("from the future: it is of epoch {theirs}, it is epoch {running} now")]
    FromTheFuture {
        /// The epoch of this document.
        theirs: Epoch,
        /// The running epoch.
        running: Epoch,
    },
    /// Its epochs are over.
    #[error("expired: it is of epoch {theirs} and good for {VALID_EPOCHS}, it is epoch {running} now")]
    Expired {
        /// The epoch of this document.
        theirs: Epoch,
        /// The running epoch.
        running: Epoch,
    },
    /// Two nodes have in common what they may not.
    #[error("two nodes with one {0}")]
    TwoNodes(Shared),
    /// A node that is no onion, where the parameters say that all have to be.
    #[error("node {0} is no onion service, and this network has no other nodes")]
    NoOnion(NodeId),
    /// A mix key that is none.
    #[error("line {0}: a bad mix key")]
    BadMixKey(usize),
    /// Not a document's text.
    #[error("{0}")]
    Malformed(Malformed),
}

impl From<Malformed> for Rejected {
    fn from(malformed: Malformed) -> Self {
        match malformed {
            Malformed { line, why: Wrong::MixKey } => Self::BadMixKey(line),
            other => Self::Malformed(other),
        }
    }
}
