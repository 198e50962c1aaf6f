//! What the engine writes into the sealed meta of a row, and reads back after a restart.
//!
//! One struct a shelf. Each starts with a version byte; bytes that don't parse mean a damaged store, not a hostile peer.

use super::bounds::{Bound, Bounds};
use super::meter::RecipientMark;
use super::proof::Proof;
use crate::id::{Epoch, MessageId, NodeId, QueueId, SetId, SurbId};
use crate::message::shards::Shape;
use crate::mix::firsts::{First, Firsts};
use crate::store::{RowId, StoreError};
use crate::time::Time;
use crate::wire::{Malformed, Reader, Writer};
use std::time::Duration;

pub(super) const VERSION: u8 = 1;

/// The layout of rows that have changed since there are receipts.
const SECOND_VERSION: u8 = 2;

/// A packet held by this node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Pooled {
    /// The tick at which it leaves.
    pub(super) due: Time,
    pub(super) then: Then,
}

/// What happens to a packet when it is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Then {
    /// One layer is still to come off the body; then on to this node.
    Forward(NodeId),
    /// Built here, or peeled whole: on to this node as it lies.
    Send(NodeId),
    /// The last layer is still to come off the body; it ends here.
    Open,
    /// The same, and then it is the answer to this reply block.
    Reply(SurbId),
}

impl Pooled {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(42);
        let (kind, id) = match self.then {
            Then::Forward(node) => (0, node.0),
            Then::Send(node) => (1, node.0),
            Then::Open => (2, [0; NodeId::LEN]),
            Then::Reply(surb) => (3, surb.0),
        };
        w.u8(VERSION).u64(self.due.as_millis()).u8(kind).bytes(&id);
        w.finish()
    }

    pub(super) fn decode(meta: &[u8]) -> Result<Self, StoreError> {
        read(meta, |r| {
            let due = Time::from_millis(r.u64()?);
            let kind = r.u8()?;
            let id = r.array()?;
            let then = match kind {
                0 => Then::Forward(NodeId(id)),
                1 => Then::Send(NodeId(id)),
                2 => Then::Open,
                3 => Then::Reply(SurbId(id)),
                _ => return Err(Malformed),
            };
            Ok(Self { due, then })
        })
    }
}

pub(super) fn write_node(w: &mut Writer, node: Option<&NodeId>) {
    match node {
        None => w.u8(0),
        Some(node) => w.u8(1).bytes(&node.0),
    };
}

pub(super) fn read_node(r: &mut Reader<'_>) -> Result<Option<NodeId>, Malformed> {
    match r.u8()? {
        0 => Ok(None),
        1 => Ok(Some(NodeId(r.array()?))),
        _ => Err(Malformed),
    }
}

/// Where a fragment stands in its set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    pub(super) set: SetId,
    pub(super) shape: Shape,
    pub(super) index: u8,
}

impl Place {
    fn write(&self, w: &mut Writer) {
        w.bytes(&self.set.0).u8(self.shape.k()).u8(self.shape.n()).u32(self.shape.length()).u8(self.index);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self { set: SetId(r.array()?), shape: Shape::new(r.u8()?, r.u8()?, r.u32()?)?, index: r.u8()? })
    }
}

/// A fragment waiting for a send slot; its content is the shard.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Waiting {
    /// The mail in the spool that it is a piece of.
    pub(super) mail: RowId,
    pub(super) place: Place,
    /// How long each hop of its path will hold it, the exit last: drawn ahead, because when its mail is at the exit
    /// decides under which keys the answer comes back. None if they are still to be drawn.
    pub(super) delays: Vec<u32>,
}

impl Waiting {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(64);
        w.u8(SECOND_VERSION).u64(self.mail.0);
        self.place.write(&mut w);
        for delay in &self.delays {
            w.u32(*delay);
        }
        w.finish()
    }

    pub(super) fn decode(meta: &[u8]) -> Result<Self, StoreError> {
        read_versions(meta, |version, r| {
            let (mail, place) = (RowId(r.u64()?), Place::read(r)?);
            let mut delays = Vec::new();
            while version == SECOND_VERSION && !r.rest().is_empty() {
                delays.push(r.u32()?);
            }
            Ok(Self { mail, place, delays })
        })
    }
}

/// A fragment that arrived and waits for its siblings; its content is the shard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Part {
    pub(super) arrived: Time,
    pub(super) place: Place,
}

impl Part {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(32);
        w.u8(VERSION).u64(self.arrived.as_millis());
        self.place.write(&mut w);
        w.finish()
    }

    pub(super) fn decode(meta: &[u8]) -> Result<Self, StoreError> {
        read(meta, |r| Ok(Self { arrived: Time::from_millis(r.u64()?), place: Place::read(r)? }))
    }
}

/// A mail for the local MTA; its content is the recipient and the clean mail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Outgoing {
    pub(super) since: Time,
    /// Hand-overs that the MTA has deferred.
    pub(super) deferred: u32,
    /// Not to be tried before.
    pub(super) next: Time,
    /// Whom it goes to, as what counts them goes by.
    pub(super) to: RecipientMark,
    pub(super) what: What,
    /// How often the exit process went while it had the mail. In memory alone: a node that starts again asks anew.
    pub(super) broken_off: u32,
}

/// What a mail for the local MTA is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum What {
    /// A message of the network; its id, unless it came before anybody asked what became of one. Whether it goes to a
    /// newsgroup, by one gateway or another.
    Message { id: Option<MessageId>, news: bool },
    /// What a sender of this node is told of the mail with this name: that it arrived, or that it didn't.
    Notice { of: QueueId, arrived: bool },
}

impl Outgoing {
    /// Whether it goes to a newsgroup.
    pub(super) const fn is_news(&self) -> bool {
        matches!(self.what, What::Message { news: true, .. })
    }

    /// Whether nobody is asked about it any more.
    pub(super) const fn is_shelved(&self) -> bool {
        self.deferred == u32::MAX
    }

    /// It is asked about again.
    pub(super) const fn take_down(&mut self) {
        if self.is_shelved() {
            self.deferred = 1;
        }
    }

    /// The message of the network that it is, if that is known.
    pub(super) const fn message(&self) -> Option<MessageId> {
        match self.what {
            What::Message { id, .. } => id,
            What::Notice { .. } => None,
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(64);
        w.u8(SECOND_VERSION).u64(self.since.as_millis()).u32(self.deferred).u64(self.next.as_millis()).bytes(&self.to);
        match self.what {
            What::Message { id: None, news } => w.u8(u8::from(news)),
            What::Message { id: Some(id), news } => w.u8(2 + u8::from(news)).bytes(&id.0),
            What::Notice { of, arrived } => w.u8(4 + u8::from(arrived)).bytes(&of.0),
        };
        w.finish()
    }

    pub(super) fn decode(meta: &[u8]) -> Result<Self, StoreError> {
        read_versions(meta, |version, r| {
            let (since, deferred, next) = (Time::from_millis(r.u64()?), r.u32()?, Time::from_millis(r.u64()?));
            let to = r.array()?;
            let what = match (r.u8()?, version) {
                (kind @ (0 | 1), _) => What::Message { id: None, news: kind == 1 },
                (kind @ (2 | 3), SECOND_VERSION) => What::Message { id: Some(MessageId(r.array()?)), news: kind == 3 },
                (kind @ (4 | 5), SECOND_VERSION) => What::Notice { of: QueueId(r.array()?), arrived: kind == 5 },
                _ => return Err(Malformed),
            };
            Ok(Self { since, deferred, next, to, what, broken_off: 0 })
        })
    }
}

/// What the engine has to know of itself after a restart; it has no content.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Noted {
    /// How late it is at least.
    pub(super) proof: Proof,
    /// What the clock said when nothing was known to be wrong with it.
    pub(super) clock: Time,
    /// What packets under way may ask for.
    pub(super) bounds: Bounds,
}

impl Noted {
    /// Whether `new` is worth a write: it says more than that some time went by, or that more than `grain` did.
    pub(super) fn is_outdated(&self, new: &Self, grain: Duration) -> bool {
        let apart = new.clock.since(self.clock).max(self.clock.since(new.clock));
        self.proof.document != new.proof.document
            || self.bounds != new.bounds
            || new.proof.up.saturating_sub(self.proof.up) >= grain
            || apart >= grain
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(26 + 24 * self.bounds.0.len());
        w.u8(VERSION).u64(self.proof.document.0).u64(millis(self.proof.up)).u64(self.clock.as_millis());
        for bound in &self.bounds.0 {
            w.u64(millis(bound.min)).u64(millis(bound.max)).u64(bound.last.0);
        }
        w.finish()
    }

    pub(super) fn decode(meta: &[u8]) -> Result<Self, StoreError> {
        read(meta, |r| {
            let proof = Proof { document: Epoch(r.u64()?), up: Duration::from_millis(r.u64()?) };
            let clock = Time::from_millis(r.u64()?);
            let mut bounds = Vec::new();
            while !r.rest().is_empty() {
                let (min, max) = (Duration::from_millis(r.u64()?), Duration::from_millis(r.u64()?));
                bounds.push(Bound { min, max, last: Epoch(r.u64()?) });
            }
            Ok(Self { proof, clock, bounds: Bounds(bounds) })
        })
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// A loop that left here. It is kept for a while after it was due: what became of it measures the nodes on its path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Loop {
    /// What it carries, by which it is known again.
    pub(super) mark: [u8; 32],
    /// The others that it goes by, in that order.
    pub(super) path: Vec<NodeId>,
    /// When it left.
    pub(super) left: Time,
    /// When it comes to light here, if nobody holds it for longer than it says.
    pub(super) due: Time,
    /// When it did.
    pub(super) back: Option<Time>,
}

impl Loop {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(64 + NodeId::LEN * self.path.len());
        w.u8(VERSION).bytes(&self.mark).u64(self.left.as_millis()).u64(self.due.as_millis());
        match self.back {
            None => w.u8(0),
            Some(back) => w.u8(1).u64(back.as_millis()),
        };
        self.path.iter().for_each(|node| {
            w.bytes(&node.0);
        });
        w.finish()
    }

    pub(super) fn decode(meta: &[u8]) -> Result<Self, StoreError> {
        read(meta, |r| {
            let mark = r.array()?;
            let (left, due) = (Time::from_millis(r.u64()?), Time::from_millis(r.u64()?));
            let back = match r.u8()? {
                0 => None,
                1 => Some(Time::from_millis(r.u64()?)),
                _ => return Err(Malformed),
            };
            let mut path = Vec::new();
            while !r.rest().is_empty() {
                path.push(NodeId(r.array()?));
            }
            Ok(Self { mark, path, left, due, back })
        })
    }
}

/// The first hops that this node keeps.
pub(super) fn encode_firsts(firsts: &Firsts) -> Vec<u8> {
    let mut w = Writer::with_capacity(96);
    w.u8(VERSION).u64(firsts.changed.as_millis());
    for First { node, since } in &firsts.kept {
        w.bytes(&node.0).u64(since.as_millis());
    }
    w.finish()
}

/// Reads what `encode_firsts` wrote.
pub(super) fn decode_firsts(meta: &[u8]) -> Result<Firsts, StoreError> {
    read(meta, |r| {
        let changed = Time::from_millis(r.u64()?);
        let mut kept = Vec::new();
        while !r.rest().is_empty() {
            kept.push(First { node: NodeId(r.array()?), since: Time::from_millis(r.u64()?) });
        }
        Ok(Firsts { kept, changed })
    })
}

/// A row that this code did not write, or not as it stands.
pub(super) fn damaged() -> StoreError {
    StoreError::Damaged("a row says what no fog writes".into())
}

pub(super) fn read<T>(
    meta: &[u8],
    parse: impl FnOnce(&mut Reader<'_>) -> Result<T, Malformed>,
) -> Result<T, StoreError> {
    read_versions(meta, |version, r| if version == VERSION { parse(r) } else { Err(Malformed) })
}

/// Reads a row that has been written in more than one layout; `parse` gets which one it is, this or the one before.
pub(super) fn read_versions<T>(
    meta: &[u8],
    parse: impl FnOnce(u8, &mut Reader<'_>) -> Result<T, Malformed>,
) -> Result<T, StoreError> {
    let mut r = Reader::new(meta);
    let parsed = (|| {
        let version = r.u8()?;
        if !(VERSION..=SECOND_VERSION).contains(&version) {
            return Err(Malformed);
        }
        let value = parse(version, &mut r)?;
        r.clone().finish()?;
        Ok(value)
    })();
    parsed.map_err(|Malformed| damaged())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTGOING: Outgoing = Outgoing {
        since: Time::from_millis(1),
        deferred: 2,
        next: Time::from_millis(3),
        to: [4; 16],
        what: What::Message { id: Some(MessageId([9; 16])), news: true },
        broken_off: 0,
    };

    #[test]
    fn rows_come_back_as_they_were_written() {
        let place = Place { set: SetId([1; 16]), shape: Shape::new(2, 3, 70_000).unwrap(), index: 1 };
        let thens =
            [Then::Forward(NodeId([2; 32])), Then::Send(NodeId([3; 32])), Then::Open, Then::Reply(SurbId([4; 32]))];
        for then in thens {
            let row = Pooled { due: Time::from_millis(9), then };
            assert_eq!(Pooled::decode(&row.encode()).unwrap(), row);
        }
        for delays in [vec![], vec![1, 0, u32::MAX]] {
            let row = Waiting { mail: RowId(11), place, delays };
            assert_eq!(Waiting::decode(&row.encode()).unwrap(), row);
        }
        let row = Part { arrived: Time::from_millis(10), place };
        assert_eq!(Part::decode(&row.encode()).unwrap(), row);
        let bound = Bound { min: Duration::from_millis(1), max: Duration::from_secs(2), last: Epoch(3) };
        let proof = Proof { document: Epoch(4), up: Duration::from_secs(5) };
        for bounds in [vec![], vec![bound, Bound { last: Epoch(6), ..bound }]] {
            let row = Noted { proof, clock: Time::from_millis(7), bounds: Bounds(bounds) };
            assert_eq!(Noted::decode(&row.encode()).unwrap(), row);
        }
        for back in [None, Some(Time::from_millis(15))] {
            let (left, due) = (Time::from_millis(12), Time::from_millis(13));
            let row = Loop { mark: [14; 32], path: vec![NodeId([7; 32]), NodeId([8; 32])], left, due, back };
            assert_eq!(Loop::decode(&row.encode()).unwrap(), row);
        }
        for kept in [vec![], vec![First { node: NodeId([9; 32]), since: Time::from_millis(16) }]] {
            let firsts = Firsts { kept, changed: Time::from_millis(17) };
            assert_eq!(decode_firsts(&encode_firsts(&firsts)).unwrap(), firsts);
        }
        for news in [true, false] {
            for id in [None, Some(MessageId([5; 16]))] {
                let row = Outgoing { what: What::Message { id, news }, ..OUTGOING };
                assert_eq!(Outgoing::decode(&row.encode()).unwrap(), row);
            }
            let row = Outgoing { what: What::Notice { of: QueueId([6; 6]), arrived: news }, ..OUTGOING };
            assert_eq!(Outgoing::decode(&row.encode()).unwrap(), row);
        }
    }

    /// As they lie in a store from before there were receipts.
    #[test]
    fn rows_of_the_first_layout_are_read() {
        let place = Place { set: SetId([1; 16]), shape: Shape::new(2, 3, 70_000).unwrap(), index: 1 };
        let mut w = Writer::default();
        w.u8(1).u64(11);
        place.write(&mut w);
        assert_eq!(Waiting::decode(&w.finish()).unwrap(), Waiting { mail: RowId(11), place, delays: vec![] });
        let mut w = Writer::default();
        w.u8(1).u64(1).u32(2).u64(3).bytes(&[4; 16]).u8(1);
        let row = Outgoing { what: What::Message { id: None, news: true }, ..OUTGOING };
        assert_eq!(Outgoing::decode(&w.finish()).unwrap(), row);
    }

    #[test]
    fn a_row_cut_short_lengthened_or_of_another_version_is_damaged() {
        let row = OUTGOING.encode();
        let mut longer = row.clone();
        longer.push(0);
        let mut other = row.clone();
        other[0] = 3;
        for bytes in [&row[..row.len() - 1], &longer, &other] {
            assert!(matches!(Outgoing::decode(bytes), Err(StoreError::Damaged(_))));
        }
    }
}
