//! What the engine counts, and what it holds.

/// What has happened since the start, for summaries and tests. Never shown as it stands: see docs/threat-model.md.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Mails taken from injectors, one per recipient.
    pub accepted: u64,
    /// Mails refused to injectors, one per recipient.
    pub refused: u64,
    /// Packets pooled.
    pub pooled: u64,
    /// Those of them that neighbours have handed over.
    pub taken: u64,
    /// Packets of cover traffic that ended here.
    pub cover: u64,
    /// Packets of cover traffic built here to end elsewhere.
    pub drops: u64,
    /// Loops that have left.
    pub loops: u64,
    /// Loops that have come back.
    pub loops_back: u64,
    /// Packets acknowledged by the next hop.
    pub handed_on: u64,
    /// Packets whose replay tag was known.
    pub replayed: u64,
    /// Packets dropped: not for us, malformed, out of bounds, without a use.
    pub dropped: u64,
    /// Mails put together for the local MTA.
    pub assembled: u64,
    /// Mails the MTA took.
    pub delivered: u64,
    /// Times that the MTA put a mail off.
    pub deferred: u64,
    /// Mails that the MTA refused for good, or deferred for too long, or that may not go out.
    pub undeliverable: u64,
    /// Tries beyond the first.
    pub again: u64,
    /// Mails of which the exit has said that its MTA took them.
    pub receipted: u64,
    /// Mails that were given up, or refused at their end.
    pub given_up: u64,
    /// Notices that the local MTA took.
    pub told: u64,
}

/// What the engine holds at a moment. Never shown as it stands either.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Packets in the pool.
    pub packets: u64,
    /// Those of them that are due and have found no way yet.
    pub overdue: u64,
    /// Mails that wait for their send slots.
    pub mails: u64,
    /// The slots that they need.
    pub slots: u64,
    /// Mails that wait for the local MTA.
    pub outbox: u64,
    /// Of the rooms for mail of this node, for packets of others and for mail that waits for the local MTA, the share in
    /// use, in percent: of the fullest one.
    pub percent: u64,
}
