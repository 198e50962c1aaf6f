//! What a demonstration network shows of its inside.
//!
//! `fog demo` follows one letter from node to node, which is just what a mix must never tell. So there is nothing to
//! switch on: the book is kept only under a directory document whose signed parameters say `demo = true`, and every
//! member of such a network can read there that it hides nobody.

use super::Output;
use crate::directory::Document;
use crate::id::{MessageId, NodeId, SetId};
use crate::message::shards::Shape;
use crate::sphinx::Packet;
use crate::store::RowId;
use crate::time::Time;
use std::collections::BTreeMap;

/// The first bytes of a packet's SHA-256: the same packet at both ends of a link.
pub type Print = [u8; 8];

/// One thing a node saw.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Witness {
    /// The entry cut a message into a set of fragments.
    Cut {
        /// The message.
        message: MessageId,
        /// How many fragments are enough.
        needed: u8,
        /// How many there are.
        total: u8,
    },
    /// The entry built a packet for one of them.
    Built {
        /// The message.
        message: MessageId,
        /// The fragment's place in the set.
        index: u8,
        /// The nodes it goes by, the exit last.
        path: Vec<NodeId>,
        /// The packet, as the first of them gets it.
        packet: Print,
        /// When.
        at: Time,
    },
    /// A mix took a packet, held it, and handed it on.
    Passed {
        /// From whom it came.
        from: NodeId,
        /// When it came.
        arrived: Time,
        /// What it looked like then.
        came_as: Print,
        /// To whom it went.
        to: NodeId,
        /// When it went.
        left: Time,
        /// What it looked like then.
        went_as: Print,
    },
    /// The exit took a packet, held it, opened it, and found a fragment.
    Opened {
        /// From whom it came.
        from: NodeId,
        /// When it came.
        arrived: Time,
        /// What it looked like then.
        came_as: Print,
        /// The set of the fragment.
        set: SetId,
        /// When it was opened.
        at: Time,
    },
    /// The exit had enough fragments and put the mail together.
    Assembled {
        /// The message.
        message: MessageId,
        /// When.
        at: Time,
    },
}

/// Arrivals of packets still held, in memory alone; nothing at all outside a demonstration.
#[derive(Debug, Default)]
pub(super) struct Book(Option<BTreeMap<RowId, Arrival>>);

/// When a packet came, from whom, and which it was.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival {
    from: NodeId,
    at: Time,
    print: Print,
}

impl Book {
    pub(super) fn new(document: Option<&Document>) -> Self {
        Self(document.is_some_and(|document| document.params().demo).then(BTreeMap::new))
    }

    pub(super) fn arrived(&mut self, row: RowId, at: Time, from: NodeId, packet: &Packet) {
        if let Some(arrivals) = &mut self.0 {
            arrivals.insert(row, Arrival { from, at, print: print(packet) });
        }
    }

    pub(super) fn left(&mut self, row: RowId, left: Time, to: NodeId, packet: &Packet, out: &mut Vec<Output>) {
        let Some(Arrival { from, at: arrived, print: came_as }) = self.arrival(row) else { return };
        let went_as = print(packet);
        out.push(Output::Witness(Witness::Passed { from, arrived, came_as, to, left, went_as }));
    }

    pub(super) fn cut(&self, message: MessageId, shape: Shape, out: &mut Vec<Output>) {
        if self.0.is_some() {
            let (needed, total) = (shape.k(), shape.n());
            out.push(Output::Witness(Witness::Cut { message, needed, total }));
        }
    }

    pub(super) fn built(
        &self,
        message: MessageId,
        index: u8,
        path: &[NodeId],
        packet: &Packet,
        at: Time,
        out: &mut Vec<Output>,
    ) {
        if self.0.is_some() {
            let (path, packet) = (path.to_vec(), print(packet));
            out.push(Output::Witness(Witness::Built { message, index, path, packet, at }));
        }
    }

    pub(super) fn arrival(&self, row: RowId) -> Option<Arrival> {
        self.0.as_ref()?.get(&row).copied()
    }

    pub(super) fn opened(&self, arrival: Option<Arrival>, set: SetId, at: Time, out: &mut Vec<Output>) {
        if let (Some(_), Some(Arrival { from, at: arrived, print: came_as })) = (&self.0, arrival) {
            out.push(Output::Witness(Witness::Opened { from, arrived, came_as, set, at }));
        }
    }

    pub(super) fn assembled(&self, message: MessageId, at: Time, out: &mut Vec<Output>) {
        if self.0.is_some() {
            out.push(Output::Witness(Witness::Assembled { message, at }));
        }
    }

    pub(super) fn forget(&mut self, row: RowId) {
        if let Some(arrivals) = &mut self.0 {
            arrivals.remove(&row);
        }
    }
}

fn print(packet: &Packet) -> Print {
    let mut print = Print::default();
    print.iter_mut().zip(packet.digest()).for_each(|(to, from)| *to = from);
    print
}
