//! What goes into the engine and what comes out of it.

use super::pings::{PingAnswer, PingAsk};
use super::queue::{QueueAnswer, QueueAsk};
use super::setup::Settings;
use super::witness::Witness;
use crate::delivery::Disposition;
use crate::directory::Document;
use crate::id::NodeId;
use crate::mail::address::Address;
use crate::sphinx::Packet;
use crate::store::RowId;
use crate::submit::{Reply, Request};
use crate::time::Time;
use std::time::Duration;

/// What the outside world uses to tell its requests apart; the engine gives it back with the answer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Token(pub u64);

/// A packet on its way to a neighbour.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PacketId(pub RowId);

/// A mail on its way to the local MTA.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DeliveryId(pub(super) RowId);

impl DeliveryId {
    /// The number that stands for it on the socket to the exit process.
    #[must_use]
    pub const fn to_wire(self) -> u64 {
        self.0.0
    }

    /// The delivery that the exit process means by `n`; one that is not under way is ignored by the engine.
    #[must_use]
    pub const fn from_wire(n: u64) -> Self {
        Self(RowId(n))
    }
}

/// What happened outside.
#[derive(Debug)]
pub enum Input {
    /// An injector hands over a mail. Answered by `Output::Reply`.
    Submit {
        /// Comes back with the answer.
        token: Token,
        /// The mail and its envelope.
        request: Request,
    },
    /// A neighbour hands over a packet. Answered by `Output::Disposed` or `Output::Busy`.
    Packet {
        /// Comes back with the answer.
        token: Token,
        /// The neighbour, as its link key proves.
        from: NodeId,
        /// The packet.
        packet: Packet,
    },
    /// The link to this neighbour takes packets.
    LinkUp(NodeId),
    /// It doesn't any more; what it had not acknowledged will be sent again.
    LinkDown(NodeId),
    /// A neighbour has committed a packet.
    Acked {
        /// The neighbour.
        to: NodeId,
        /// The packet.
        id: PacketId,
    },
    /// An exit process is there.
    ExitUp,
    /// It is gone; what it had not answered will be handed out again.
    ExitDown,
    /// The exit process says what the MTA did with a mail.
    Delivered {
        /// The mail.
        id: DeliveryId,
        /// What became of it.
        disposition: Disposition,
    },
    /// A verified directory document.
    Document(Box<Document>),
    /// For how long the machine has been up: by a clock that nobody can set. What the engine destroys it destroys by this
    /// or by a document, never by the wall clock alone; without either, nothing.
    Uptime(Duration),
    /// A neighbour that has proved its link key says what time it is by its clock.
    Clock {
        /// The neighbour.
        peer: NodeId,
        /// The time.
        said: Time,
    },
    /// There is another document of the epoch of the one in force, as good as this: nothing is sent before there is one of
    /// a later epoch.
    Fork,
    /// So many bytes more the spool may take of its disk; with none left nothing is taken in, and what is here goes on.
    Room(u64),
    /// The operator has changed what can be changed of a running node.
    Settings(Settings),
    /// The operator wants something of the mails that wait. Answered by `Output::Queue`.
    Queue {
        /// Comes back with the answer.
        token: Token,
        /// What.
        ask: QueueAsk,
    },
    /// The operator wants loops through certain nodes, or to know how they do. Answered by `Output::Ping`.
    Ping {
        /// Comes back with the answer.
        token: Token,
        /// What.
        ask: PingAsk,
    },
}

/// What is to be done outside; everything it rests on is committed.
#[derive(Debug)]
pub enum Output {
    /// The answer to a submission.
    Reply {
        /// As it came with the submission.
        token: Token,
        /// An outcome for each recipient.
        reply: Reply,
    },
    /// The answer to what the operator wanted of the mails that wait.
    Queue {
        /// As it came.
        token: Token,
        /// What came of it.
        answer: QueueAnswer,
    },
    /// The answer to what the operator wanted of loops.
    Ping {
        /// As it came.
        token: Token,
        /// What came of it.
        answer: PingAnswer,
    },
    /// The packet is disposed of: kept, a duplicate or refused; the neighbour can't tell which.
    Disposed(Token),
    /// There is no room for the packet, or the neighbour has had its share; nothing is remembered of it. It shall come
    /// again later.
    Busy(Token),
    /// Keep a link to this neighbour, and say `LinkUp` when it takes packets.
    Connect(NodeId),
    /// Send a packet. `Acked` or `LinkDown` comes back.
    Send {
        /// The neighbour.
        to: NodeId,
        /// What the acknowledgement goes by.
        id: PacketId,
        /// The packet.
        packet: Packet,
    },
    /// Hand a mail to the MTA. `Delivered` or `ExitDown` comes back.
    Deliver {
        /// What the answer goes by.
        id: DeliveryId,
        /// The envelope's recipient.
        recipient: Address,
        /// The clean mail.
        mail: Vec<u8>,
        /// Whether it is what this node tells a sender of its own: then the envelope's sender is the null sender.
        notice: bool,
    },
    /// What a node of a demonstration network shows of its inside; never made in any other network.
    Witness(Witness),
}
