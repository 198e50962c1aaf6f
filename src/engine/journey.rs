//! What is kept of a mail that this node answers for: how far it is, and what is still to be tried.

use super::queue::State;
use super::rows::{read_node, read_versions, write_node};
use crate::directory::Params;
use crate::id::{MessageId, NodeId};
use crate::mail::address::{Address, MAX_ADDRESS};
use crate::message::payload::Status;
use crate::mix::chain::Chain;
use crate::mix::receipt::{changes_exit, deadline, held_pause};
use crate::store::StoreError;
use crate::time::Time;
use crate::wire::{Malformed, Reader, Writer};
use std::collections::BTreeMap;
use std::time::Duration;

/// The layout that `encode` writes. Of the first one, which knew no receipts, only what had not left is ever found.
const VERSION: u8 = 2;
const FIRST_VERSION: u8 = 1;

/// Most exits that are remembered as having been tried in vain.
const MAX_TRIED: usize = 16;

/// A mail accepted from an injector; its content is the packed message, without a SURB.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Spooled {
    pub(super) message: MessageId,
    /// The hour in which it was taken, by its first instant.
    pub(super) since: Time,
    /// By when a try has to arrive, or it is not begun.
    pub(super) ends: Time,
    /// Into how many a copy is cut, spares included.
    pub(super) pieces: u8,
    /// How many copies go out, 1 or more.
    pub(super) copies: u8,
    /// What was wished for its paths.
    pub(super) chain: Chain,
    pub(super) receipt: Receipts,
    /// Who is told what becomes of it; nobody, if there is none.
    pub(super) sender: Option<Address>,
    /// The exit of the last try, or of the one under way.
    pub(super) exit: Option<NodeId>,
    /// Its first hop, on the way there and the last one on the way back.
    pub(super) first: Option<NodeId>,
    /// Tries begun.
    pub(super) tries: u8,
    /// Tries in a row on which nothing was heard.
    pub(super) silent: u8,
    /// Times that the exit has said that its MTA puts the mail off.
    pub(super) held: u8,
    /// Exits that are not tried again while there are others.
    pub(super) tried: Vec<NodeId>,
    pub(super) stage: Stage,
}

/// What is wished of receipts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Receipts {
    /// None: when it has left, it is forgotten.
    Off,
    /// They are for this node, and nobody else hears of a mail that arrives.
    On,
    /// The sender is to be told, too, that it has arrived.
    Told,
}

/// How far a mail is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// It waits for the slot at which it is cut. Nothing of it is there but itself.
    Waiting,
    /// The exit has it, and its MTA puts it off: no try before then.
    Held(Time),
    /// Its pieces leave.
    Leaving(Try),
    /// They have left. When nothing is heard by then, it waits for its next try.
    Travelling(Time),
    /// It was given up, and nobody could be told. Kept for a while to be listed, without its content.
    GivenUp(Time),
}

/// A try whose pieces leave.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Try {
    /// What the answer takes, from when the exit has the mail to when it is here; none if there will be none.
    pub(super) back: Option<Duration>,
    /// When the last of those that have left is out of the exit's hands.
    pub(super) arrives: Time,
    /// How many of one copy each mix behind the first hop carries.
    pub(super) carried: BTreeMap<NodeId, u8>,
}

/// What a receipt changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Heard {
    /// The MTA at the end has the mail.
    Arrived,
    /// It will never have it.
    Refused,
    /// Something else is known now; the mail is kept.
    Changed,
    /// Nothing.
    Nothing,
}

impl Spooled {
    /// What is shown of it.
    pub(super) const fn state(&self) -> State {
        match self.stage {
            Stage::Waiting if self.tries == 0 => State::Waiting,
            Stage::GivenUp(_) => State::GivenUp,
            Stage::Held(_) => State::Held,
            Stage::Leaving(_) => State::Leaving,
            Stage::Waiting | Stage::Travelling(_) => State::Mixing,
        }
    }

    /// Whether it waits for its first try, or is in it.
    pub(super) const fn is_first(&self) -> bool {
        self.tries == 0 || self.tries == 1 && matches!(self.stage, Stage::Leaving(_))
    }

    /// Whether nothing of it has ever left.
    pub(super) fn has_stayed(&self) -> bool {
        match &self.stage {
            Stage::Leaving(Try { arrives, .. }) => self.tries <= 1 && arrives.as_millis() == 0,
            _ => self.tries == 0,
        }
    }

    /// When something becomes of it without a slot or a packet, in a node that has been there for what comes since a while before
    /// `hears_from`.
    pub(super) fn wakes(&self, hears_from: Option<Time>) -> Time {
        match self.stage {
            Stage::Waiting | Stage::Leaving(_) => self.ends,
            Stage::Travelling(until) => hears_from.map_or(until, |from| until.max(from.min(self.ends))),
            Stage::Held(until) | Stage::GivenUp(until) => until,
        }
    }

    /// A try begins, to `exit` by way of `first`.
    pub(super) fn begin(&mut self, exit: NodeId, first: NodeId, back: Option<Duration>) {
        // Another one is asked as often before it is left.
        self.silent = if self.exit == Some(exit) { self.silent } else { 0 };
        self.exit = Some(exit);
        self.first = Some(first);
        self.tries = self.tries.saturating_add(1);
        self.stage = Stage::Leaving(Try { back, arrives: Time::from_millis(0), carried: BTreeMap::new() });
    }

    /// The last piece has left. Says whether an answer is waited for; if not, nothing more becomes of the mail here.
    pub(super) fn has_left(&mut self, params: &Params) -> bool {
        let Stage::Leaving(Try { back: Some(back), arrives, .. }) = self.stage else { return false };
        self.stage = Stage::Travelling(deadline(arrives, back, params));
        true
    }

    /// The try under way comes to nothing, through nobody's fault but the network's: it is made again.
    pub(super) fn break_off(&mut self) {
        let has_begun = matches!(&self.stage, Stage::Leaving(Try { arrives, .. }) if arrives.as_millis() > 0);
        self.tries = self.tries.saturating_sub(u8::from(!has_begun));
        self.stage = Stage::Waiting;
    }

    /// Nothing was heard in time, of an exit through which loops come back or not.
    pub(super) fn was_silent(&mut self, is_there: bool) {
        self.silent = self.silent.saturating_add(1);
        if changes_exit(self.silent, is_there) {
            self.leave_exit();
        }
        self.stage = Stage::Waiting;
    }

    /// The exit `from` has said what it did.
    pub(super) fn hear(&mut self, from: NodeId, status: Status, now: Time, params: &Params) -> Heard {
        if status == Status::Accepted {
            return Heard::Arrived;
        }
        // An exit that was left behind has no say any more in what another one does.
        if self.exit != Some(from) {
            return Heard::Nothing;
        }
        match status {
            Status::Accepted => Heard::Arrived,
            Status::Refused => Heard::Refused,
            Status::GivenUp => {
                self.silent = 0;
                self.leave_exit();
                self.held = self.held.saturating_add(1);
                // Not at once: where every exit gives up, that would be a try for each slot.
                if !matches!(self.stage, Stage::Leaving(_)) {
                    self.stage = Stage::Held(now.plus(held_pause(self.held, params)));
                }
                Heard::Changed
            }
            // By the other way back, at about the same time.
            Status::Held if matches!(self.stage, Stage::Held(_)) => Heard::Nothing,
            Status::Held => {
                self.silent = 0;
                self.held = self.held.saturating_add(1);
                // What leaves already brings the next answer.
                if !matches!(self.stage, Stage::Leaving(_)) {
                    self.stage = Stage::Held(now.plus(held_pause(self.held, params)));
                }
                Heard::Changed
            }
        }
    }

    fn leave_exit(&mut self) {
        let Some(exit) = self.exit.filter(|exit| !self.tried.contains(exit)) else { return };
        if self.tried.len() >= MAX_TRIED {
            self.tried.remove(0);
        }
        self.tried.push(exit);
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(128 + MAX_ADDRESS);
        w.u8(VERSION).bytes(&self.message.0).u64(self.since.as_millis()).u64(self.ends.as_millis());
        w.u8(self.pieces).u8(self.copies).u8(self.receipt as u8);
        w.u8(self.tries).u8(self.silent).u8(self.held);
        write_sender(&mut w, self.sender.as_ref());
        write_node(&mut w, self.exit.as_ref());
        write_node(&mut w, self.first.as_ref());
        write_nodes(&mut w, &self.tried);
        self.stage.write(&mut w);
        for hop in self.chain.hops() {
            write_node(&mut w, hop.as_ref());
        }
        w.finish()
    }

    pub(super) fn decode(meta: &[u8]) -> Result<Self, StoreError> {
        read_versions(meta, |version, r| match version {
            FIRST_VERSION => Self::read_first(r),
            VERSION => Self::read(r),
            _ => Err(Malformed),
        })
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        let message = MessageId(r.array()?);
        let (since, ends) = (time(r)?, time(r)?);
        let (pieces, copies) = (r.u8()?, r.u8()?);
        let receipt = match r.u8()? {
            0 => Receipts::Off,
            1 => Receipts::On,
            2 => Receipts::Told,
            _ => return Err(Malformed),
        };
        let (tries, silent, held) = (r.u8()?, r.u8()?, r.u8()?);
        let sender = read_sender(r)?;
        let (exit, first) = (read_node(r)?, read_node(r)?);
        let tried = read_nodes(r)?;
        let stage = Stage::read(r)?;
        let chain = read_chain(r)?;
        Ok(Self {
            message,
            since,
            ends,
            pieces,
            copies,
            chain,
            receipt,
            sender,
            exit,
            first,
            tries,
            silent,
            held,
            tried,
            stage,
        })
    }

    /// A mail that was taken before there were receipts: it goes as it would have gone then.
    fn read_first(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        let message = MessageId(r.array()?);
        let since = time(r)?;
        let (pieces, copies) = (r.u8()?, r.u8()?);
        let exit = read_node(r)?;
        let leaving = Try { back: None, arrives: Time::from_millis(0), carried: BTreeMap::new() };
        Ok(Self {
            message,
            since,
            ends: Time::from_millis(u64::MAX),
            pieces,
            copies,
            chain: read_chain(r)?,
            receipt: Receipts::Off,
            sender: None,
            exit,
            first: None,
            tries: u8::from(exit.is_some()),
            silent: 0,
            held: 0,
            tried: Vec::new(),
            stage: if exit.is_some() { Stage::Leaving(leaving) } else { Stage::Waiting },
        })
    }
}

impl Stage {
    fn write(&self, w: &mut Writer) {
        match self {
            Self::Waiting => w.u8(0),
            Self::Held(until) => w.u8(1).u64(until.as_millis()),
            Self::Leaving(Try { back, arrives, carried }) => {
                let back = back.map(|back| u64::try_from(back.as_millis()).unwrap_or(u64::MAX));
                w.u8(2).u8(u8::from(back.is_some())).u64(back.unwrap_or(0)).u64(arrives.as_millis());
                w.u16(u16::try_from(carried.len()).unwrap_or(u16::MAX));
                for (node, count) in carried.iter().take(usize::from(u16::MAX)) {
                    w.bytes(&node.0).u8(*count);
                }
                w
            }
            Self::Travelling(until) => w.u8(3).u64(until.as_millis()),
            Self::GivenUp(until) => w.u8(4).u64(until.as_millis()),
        };
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(match r.u8()? {
            0 => Self::Waiting,
            1 => Self::Held(time(r)?),
            2 => {
                let there = r.u8()?;
                let back = Duration::from_millis(r.u64()?);
                let back = match there {
                    0 => None,
                    1 => Some(back),
                    _ => return Err(Malformed),
                };
                let arrives = time(r)?;
                let carried =
                    (0..r.u16()?).map(|_| Ok((NodeId(r.array()?), r.u8()?))).collect::<Result<_, Malformed>>();
                Self::Leaving(Try { back, arrives, carried: carried? })
            }
            3 => Self::Travelling(time(r)?),
            4 => Self::GivenUp(time(r)?),
            _ => return Err(Malformed),
        })
    }
}

fn time(r: &mut Reader<'_>) -> Result<Time, Malformed> {
    r.u64().map(Time::from_millis)
}

/// A row is as long as it is whoever's mail it is: its length can be seen on the disk.
fn write_sender(w: &mut Writer, sender: Option<&Address>) {
    let sender = sender.map(ToString::to_string).filter(|text| text.len() <= MAX_ADDRESS).unwrap_or_default();
    let mut field = [0; MAX_ADDRESS];
    field.iter_mut().zip(sender.bytes()).for_each(|(to, byte)| *to = byte);
    w.u8(u8::try_from(sender.len()).unwrap_or(0)).bytes(&field);
}

fn read_sender(r: &mut Reader<'_>) -> Result<Option<Address>, Malformed> {
    let (length, field) = (usize::from(r.u8()?), r.array::<MAX_ADDRESS>()?);
    let sender = str::from_utf8(field.get(..length).ok_or(Malformed)?).map_err(|_| Malformed)?;
    (!sender.is_empty()).then(|| Address::parse(sender)).transpose().map_err(|_| Malformed)
}

fn write_nodes(w: &mut Writer, nodes: &[NodeId]) {
    w.u8(u8::try_from(nodes.len()).unwrap_or(u8::MAX));
    for node in nodes.iter().take(usize::from(u8::MAX)) {
        w.bytes(&node.0);
    }
}

fn read_nodes(r: &mut Reader<'_>) -> Result<Vec<NodeId>, Malformed> {
    (0..r.u8()?).map(|_| Ok(NodeId(r.array()?))).collect()
}

fn read_chain(r: &mut Reader<'_>) -> Result<Chain, Malformed> {
    let mut hops = Vec::new();
    while !r.rest().is_empty() {
        hops.push(read_node(r)?);
    }
    Ok(Chain::from_hops(hops))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXIT: NodeId = NodeId([1; 32]);
    const OTHER: NodeId = NodeId([2; 32]);

    fn mail() -> Spooled {
        Spooled {
            message: MessageId([5; 16]),
            since: Time::from_millis(7),
            ends: Time::from_millis(70),
            pieces: 8,
            copies: 3,
            chain: Chain::default(),
            receipt: Receipts::Told,
            sender: Some(Address::parse("carol@example.org").unwrap()),
            exit: None,
            first: None,
            tries: 0,
            silent: 0,
            held: 0,
            tried: Vec::new(),
            stage: Stage::Waiting,
        }
    }

    fn now() -> Time {
        Time::from_secs(1_800_000_000)
    }

    /// As it is once its try to `exit` has left.
    fn travelling(exit: NodeId) -> Spooled {
        let mut mail = mail();
        mail.begin(exit, OTHER, Some(Duration::from_secs(60)));
        assert!(mail.has_left(&Params::default()));
        mail
    }

    #[test]
    fn silence_says_nothing_before_the_node_hears_again_but_give_up_comes_when_it_does() {
        let at = Time::from_millis;
        let mail = Spooled { stage: Stage::Travelling(at(20)), ..mail() };
        for (hears_from, want) in [(None, 20), (Some(10), 20), (Some(30), 30), (Some(99), 70)] {
            assert_eq!(mail.wakes(hears_from.map(at)), at(want), "{hears_from:?}");
        }
        let held = Spooled { stage: Stage::Held(at(20)), ..mail };
        assert_eq!(held.wakes(Some(at(30))), at(20), "it was heard");
    }

    #[test]
    fn a_mail_comes_back_as_it_was_written_in_every_stage() {
        let carried: BTreeMap<_, _> = [(EXIT, 3), (OTHER, 1)].into();
        for back in [None, Some(Duration::from_millis(9))] {
            let leaving = Stage::Leaving(Try { back, arrives: Time::from_millis(8), carried: carried.clone() });
            let at = Time::from_millis(3);
            for stage in [Stage::Waiting, Stage::Held(at), leaving, Stage::Travelling(at), Stage::GivenUp(at)] {
                for hops in [vec![], vec![None, Some(OTHER), None]] {
                    let row = Spooled {
                        chain: Chain::from_hops(hops),
                        exit: Some(EXIT),
                        first: Some(OTHER),
                        tried: vec![OTHER, EXIT],
                        tries: 3,
                        silent: 2,
                        held: 1,
                        stage: stage.clone(),
                        ..mail()
                    };
                    assert_eq!(Spooled::decode(&row.encode()).unwrap(), row);
                    let nobody = Spooled { sender: None, exit: None, receipt: Receipts::Off, ..row };
                    assert_eq!(Spooled::decode(&nobody.encode()).unwrap(), nobody);
                }
            }
        }
        let row = mail().encode();
        for cut in 0..row.len() {
            assert!(Spooled::decode(&row[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn the_length_of_a_row_says_nothing_of_the_sender() {
        let longest = format!("{}@{}.{}.{}.org", "a".repeat(60), "b".repeat(63), "c".repeat(63), "d".repeat(61));
        assert_eq!(longest.len(), MAX_ADDRESS);
        for sender in ["a@b.example", "\"a b\"@example.org", &longest] {
            let row = Spooled { sender: Some(Address::parse(sender).unwrap()), ..mail() };
            assert_eq!(Spooled::decode(&row.encode()).unwrap(), row);
            let nobody = Spooled { sender: None, ..row.clone() };
            assert_eq!(row.encode().len(), nobody.encode().len());
        }
    }

    #[test]
    fn a_mail_from_before_there_were_receipts_goes_as_it_would_have_gone() {
        for exit in [None, Some(EXIT)] {
            let mut w = Writer::default();
            w.u8(1).bytes(&[5; 16]).u64(7).u8(8).u8(3);
            write_node(&mut w, exit.as_ref());
            write_node(&mut w, Some(&OTHER));
            let row = Spooled::decode(&w.finish()).unwrap();
            assert_eq!((row.receipt, row.exit, row.pieces, row.copies), (Receipts::Off, exit, 8, 3));
            assert_eq!(matches!(row.stage, Stage::Leaving(_)), exit.is_some());
            assert_eq!(row.chain, Chain::from_hops(vec![Some(OTHER)]));
        }
    }

    #[test]
    fn what_is_heard_decides_and_the_next_try_is_another_exits_only_when_it_has_to_be() {
        let params = Params::default();
        for (status, heard, stage, tried) in [
            (Status::Accepted, Heard::Arrived, "travelling", vec![]),
            (Status::Refused, Heard::Refused, "travelling", vec![]),
            (Status::GivenUp, Heard::Changed, "held", vec![EXIT]),
            (Status::Held, Heard::Changed, "held", vec![]),
        ] {
            let mut mail = travelling(EXIT);
            mail.silent = 1;
            assert_eq!(mail.hear(EXIT, status, now(), &params), heard);
            let found = match mail.stage {
                Stage::Waiting => "waiting",
                Stage::Held(until) => {
                    assert_eq!(until, now().plus(held_pause(1, &params)));
                    "held"
                }
                _ => "travelling",
            };
            assert_eq!((found, &mail.tried), (stage, &tried), "{status:?}");
            assert_eq!(mail.silent, u8::from(matches!(status, Status::Accepted | Status::Refused)), "{status:?}");
        }
    }

    #[test]
    fn an_exit_that_was_left_behind_can_still_say_that_it_has_delivered_and_nothing_else() {
        let params = Params::default();
        for (status, heard) in [
            (Status::Accepted, Heard::Arrived),
            (Status::Refused, Heard::Nothing),
            (Status::GivenUp, Heard::Nothing),
            (Status::Held, Heard::Nothing),
        ] {
            let mut mail = travelling(OTHER);
            let before = mail.clone();
            assert_eq!(mail.hear(EXIT, status, now(), &params), heard);
            assert_eq!(mail, before);
        }
    }

    #[test]
    fn it_has_stayed_until_the_first_piece_of_its_first_try_has_left() {
        let mut mail = mail();
        assert!(mail.has_stayed());
        mail.begin(EXIT, OTHER, None);
        assert!(mail.has_stayed());
        let mut again = mail.clone();
        if let Stage::Leaving(now) = &mut mail.stage {
            now.arrives = Time::from_millis(8);
        }
        assert!(!mail.has_stayed());
        mail.break_off();
        assert!(!mail.has_stayed(), "a piece of it has left");
        mail.begin(EXIT, OTHER, None);
        assert!(!mail.has_stayed());
        again.break_off();
        assert!(again.has_stayed());
    }

    #[test]
    fn what_is_said_of_an_older_try_does_not_break_off_the_one_that_leaves() {
        let params = Params::default();
        for status in [Status::GivenUp, Status::Held] {
            let mut mail = travelling(EXIT);
            mail.was_silent(false);
            mail.begin(EXIT, OTHER, Some(Duration::ZERO));
            assert_eq!(mail.hear(EXIT, status, now(), &params), Heard::Changed);
            assert!(matches!(mail.stage, Stage::Leaving(_)));
            assert_eq!(mail.silent, 0);
        }
    }

    #[test]
    fn after_two_silent_tries_the_exit_is_left_after_three_if_loops_come_back_through_it() {
        for (is_there, tries) in [(false, 2), (true, 3)] {
            let mut mail = travelling(EXIT);
            for _ in 1..tries {
                mail.was_silent(is_there);
                assert!(mail.tried.is_empty() && mail.stage == Stage::Waiting && !mail.is_first());
                mail.begin(EXIT, OTHER, Some(Duration::ZERO));
                assert!(mail.has_left(&Params::default()));
            }
            mail.was_silent(is_there);
            assert_eq!(mail.tried, [EXIT]);
        }
    }

    #[test]
    fn of_too_many_exits_that_were_left_the_oldest_are_forgotten() {
        let mut mail = mail();
        for n in 0..=MAX_TRIED {
            mail.exit = Some(NodeId([u8::try_from(n).unwrap(); 32]));
            mail.leave_exit();
            mail.leave_exit();
        }
        assert_eq!(mail.tried.len(), MAX_TRIED);
        assert_eq!((mail.tried[0], mail.tried.last().copied()), (NodeId([1; 32]), mail.exit));
    }

    #[test]
    fn without_an_answer_to_wait_for_it_is_done_when_it_has_left() {
        let mut mail = mail();
        assert!(mail.is_first());
        mail.begin(EXIT, OTHER, None);
        assert!(mail.is_first() && !mail.has_left(&Params::default()));
    }

    #[test]
    fn every_stage_has_a_word() {
        let at = Time::from_millis(3);
        for (tries, stage, state) in [
            (0, Stage::Waiting, State::Waiting),
            (1, Stage::Waiting, State::Mixing),
            (1, Stage::Travelling(at), State::Mixing),
            (1, Stage::Held(at), State::Held),
            (1, Stage::GivenUp(at), State::GivenUp),
        ] {
            assert_eq!(Spooled { tries, stage, ..mail() }.state(), state);
        }
    }
}
