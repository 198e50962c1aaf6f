//! What the engine is told about the node that it is.

use super::meter::Limits;
use super::quota::Rooms;
use crate::id::NodeId;
use crate::mail::address::Address;
use crate::mail::block::BlockList;
use crate::mail::news::Gateway;
use crate::secret::Secret;
use std::sync::Arc;
use std::time::Duration;

/// What a node is told once, at its start.
#[derive(Debug)]
pub struct Setup {
    /// This node.
    pub me: NodeId,
    /// The suffix that asks for anonymous mail, without its dot: `fog`.
    pub suffix: String,
    /// Domains that are the users' own, besides those a mail names: their message ids are taken out of references.
    pub own_domains: Vec<String>,
    /// The largest mail taken from an injector, in bytes; the network's limit holds as well.
    pub max_size: usize,
    /// Bytes of the store that may be in use: half by packets of others, half by mail of this node. Of an exit's own half,
    /// half is for what the packets of others bring for the local MTA.
    pub max_spool: u64,
    /// How this node writes to the world, if it is an exit.
    pub exit: Option<ExitSetup>,
    /// What becomes of mail that is taken here.
    pub entry: EntrySetup,
    /// Who is not to be written to, from here or through here.
    pub block: Arc<BlockList>,
    /// Keys the hashes by which a mail that comes twice is known again. Lives beside the identity, not in the store.
    pub dedup_key: Secret<32>,
}

impl Setup {
    pub(super) const fn rooms(&self) -> Rooms {
        Rooms::of(self.max_spool, self.exit.is_some())
    }
}

/// What can be changed of a running node.
#[derive(Debug, Clone)]
pub struct Settings {
    /// As `Setup::max_spool`.
    pub max_spool: u64,
    /// As `Setup::exit`; whether there is one can't be changed.
    pub exit: Option<ExitSetup>,
    /// As `Setup::entry`, for the mails that come.
    pub entry: EntrySetup,
    /// As `Setup::block`.
    pub block: Arc<BlockList>,
}

/// What becomes of mail that is taken here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntrySetup {
    /// A mail of which nothing was heard for so long is given up.
    pub give_up: Duration,
    /// The domains whose mail is delivered on this machine: to nobody else anything is told.
    pub notify: Vec<String>,
    /// Whether exits are asked for receipts. Without them a mail is forgotten when it has left.
    pub receipts: bool,
}

/// How an exit writes to the world.
#[derive(Debug, Clone)]
pub struct ExitSetup {
    /// The address in `From:`.
    pub from: Address,
    /// The name in `From:`.
    pub from_name: String,
    /// What stands in `Comments:`; nothing if it is empty.
    pub comment: String,
    /// How much it hands out.
    pub limits: Limits,
    /// Where what is for news goes: to the first of them that takes it.
    pub gateways: Vec<Gateway>,
}
