//! What a node says of itself to whoever may ask how it is. Of traffic it says what the log said last, and nothing of
//! this moment.

use super::authority::Stand;
use super::dial::Road;
use crate::directory::{Document, Roles};
use crate::engine::ClockFault;
use crate::id::{Epoch, NodeId};
use crate::mix::back::Reach;
use crate::sys::clock;
use crate::sys::summary::{Room, Rounded, Summary};
use crate::time::Time;
use mail_parser::DateTime;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::sync::watch;

/// Where a running node keeps what it says of itself.
#[derive(Debug)]
pub struct Status {
    /// Its published name.
    pub name: String,
    /// What it does for others.
    pub roles: Roles,
    /// How it reaches others.
    pub road: Arc<Road>,
    /// When it began.
    pub up_since: Time,
    /// The directory document in use.
    pub directory: watch::Receiver<Directory>,
    /// What is wrong with the clock.
    pub clock: watch::Receiver<Option<ClockFault>>,
    /// How the next document stands, if this is an authority's node.
    pub authority: watch::Receiver<Option<Stand>>,
    /// The figures of the last period, once there was one.
    pub summary: watch::Receiver<Option<Summary>>,
    /// How many other nodes packets can go to now.
    pub links_up: Arc<AtomicUsize>,
    /// Whether it has anything for an exit process: mail that leaves the network here, or notices for its own senders.
    pub hands_over: bool,
    /// Whether an exit process is here.
    pub exit_up: Arc<AtomicBool>,
    /// Whether no loop comes back.
    pub held_back: Arc<AtomicBool>,
    /// Whether the disk has less room than the spool's reserve.
    pub disk_is_low: Arc<AtomicBool>,
}

/// What the node says of its directory document.
#[derive(Debug, Clone)]
pub struct Directory {
    /// Its epoch.
    pub epoch: Epoch,
    /// Until when it is good to send by.
    pub valid_until: Time,
    /// How many other nodes are in it.
    pub others: usize,
    /// The exits among them.
    pub exits: usize,
    /// How many authorities have signed it.
    pub signed_by: usize,
    /// Of how many.
    pub authorities: usize,
    /// How far a mail of this node comes by it.
    pub reach: Reach,
    /// Whether there is another document of its epoch.
    pub forked: bool,
}

/// What somebody should look after; the order is that of how much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Warning {
    Fork,
    ClockOff,
    ClockSetBack,
    HeldBack,
    DirectoryStale,
    NotEnoughNodes,
    NoWayBack,
    DirectoryUnsigned,
    DiskLow,
    SpoolFull,
    TorDown,
    NoExitProcess,
    SpoolLow,
}

impl Warning {
    /// Its word, as the log has it where it has one.
    const fn word(self) -> &'static str {
        match self {
            Self::Fork => "fork",
            Self::ClockOff => "clock-off",
            Self::ClockSetBack => "clock-set-back",
            Self::HeldBack => "n-1",
            Self::DirectoryStale => "directory-stale",
            Self::NotEnoughNodes => "not-enough-nodes",
            Self::NoWayBack => "no-way-back",
            Self::DirectoryUnsigned => "directory-unsigned",
            Self::DiskLow => "disk-low",
            Self::SpoolFull => "spool-full",
            Self::TorDown => "tor-down",
            Self::NoExitProcess => "no-exit-process",
            Self::SpoolLow => "spool-low",
        }
    }
}

impl Directory {
    /// What there is to say of `document` to the node `me`, which wishes for receipts or doesn't.
    #[must_use]
    pub fn new(document: &Document, me: &NodeId, receipts: bool) -> Self {
        let others = || document.nodes().filter(|(id, _)| *id != me);
        Self {
            epoch: document.epoch(),
            valid_until: document.valid_until(),
            others: others().count(),
            exits: others().filter(|(_, node)| node.exit.is_some()).count(),
            signed_by: document.signers().count(),
            authorities: document.contents().authorities.len(),
            reach: Reach::of_any(document, me, receipts),
            forked: false,
        }
    }

    fn is_stale(&self) -> bool {
        clock::now() >= self.valid_until
    }
}

impl Status {
    /// All of it, as `control.sock` says it.
    pub(super) fn to_json(&self) -> Value {
        let (directory, summary) = (self.directory.borrow(), *self.summary.borrow());
        let exit_up = self.hands_over.then(|| self.exit_up.load(Ordering::Relaxed));
        let warnings = self.warnings(&directory, summary.as_ref());
        json!({
            "v": 1,
            "name": self.name,
            "version": env!("CARGO_PKG_VERSION"),
            "roles": { "mix": self.roles.mix, "exit": self.roles.exit, "authority": self.roles.authority },
            "up_since": rfc3339(self.up_since),
            "can_send": directory.reach == Reach::Whole
                && !directory.forked
                && !directory.is_stale()
                && self.clock.borrow().is_none(),
            "links": { "known": directory.others, "up": self.links_up.load(Ordering::Relaxed) },
            "exits": directory.exits,
            "tor": self.road.tor.is_up().map(|up| if up { "up" } else { "down" }),
            "directory": { "epoch": directory.epoch.0, "valid_until": rfc3339(directory.valid_until),
                "signed_by": directory.signed_by, "authorities": directory.authorities },
            "authority": self.authority.borrow().as_ref().map(stand),
            "exit_process": exit_up,
            "period": summary.as_ref().map(period),
            "warnings": warnings.into_iter().map(Warning::word).collect::<Vec<_>>(),
        })
    }

    fn warnings(&self, directory: &Directory, summary: Option<&Summary>) -> Vec<Warning> {
        let room = summary.map_or(Room::Enough, |summary| summary.room);
        let is_unsigned = self.authority.borrow().as_ref().is_some_and(|stand| stand.trouble.is_some());
        let no_exit_process = self.hands_over && !self.exit_up.load(Ordering::Relaxed);
        let clock = *self.clock.borrow();
        let all = [
            (directory.forked, Warning::Fork),
            (clock == Some(ClockFault::Off), Warning::ClockOff),
            (clock == Some(ClockFault::SetBack), Warning::ClockSetBack),
            (self.held_back.load(Ordering::Relaxed), Warning::HeldBack),
            (directory.is_stale(), Warning::DirectoryStale),
            (directory.reach == Reach::NoPath, Warning::NotEnoughNodes),
            (directory.reach == Reach::NoWayBack, Warning::NoWayBack),
            (is_unsigned, Warning::DirectoryUnsigned),
            (self.disk_is_low.load(Ordering::Relaxed), Warning::DiskLow),
            (room == Room::Full, Warning::SpoolFull),
            (self.road.tor.is_up() == Some(false), Warning::TorDown),
            (no_exit_process, Warning::NoExitProcess),
            (room == Room::Low, Warning::SpoolLow),
        ];
        all.into_iter().filter(|(is, _)| *is).map(|(_, warning)| warning).collect()
    }
}

fn stand(stand: &Stand) -> Value {
    json!({
        "next_epoch": stand.epoch.0,
        "begins": rfc3339(stand.begins),
        "due": rfc3339(stand.due),
        "votes": stand.votes,
        "signed_by": stand.signed_by,
        "authorities": stand.authorities,
        "threshold": stand.threshold,
        "agreed": stand.is_agreed,
        "trouble": stand.trouble,
    })
}

fn period(summary: &Summary) -> Value {
    let Summary {
        period, taken, sent, held, cover, overdue, waiting, slots, dropped, refused, exit, room, loops, ..
    } = *summary;
    json!({
        "seconds": period.as_secs(),
        "in": taken.most(),
        "out": sent.most(),
        "held": held.most(),
        "cover": cover.most(),
        "overdue": overdue.most(),
        "waiting": waiting.most(),
        "slots": slots.most(),
        "dropped": dropped.most(),
        "refused": refused.most(),
        "exit_waiting": exit.map(|exit| Rounded::most(exit.waiting)),
        "exit_deferred": exit.map(|exit| Rounded::most(exit.deferred)),
        "exit_refused": exit.map(|exit| Rounded::most(exit.refused)),
        "spool": room.word(),
        "loops": { "back": loops.back, "lost": loops.lost, "median_s": loops.median.map(|median| median.as_secs()) },
    })
}

/// To the minute: enough for a person, and a clock's seconds are nobody's business.
fn rfc3339(time: Time) -> String {
    let minute = time.as_secs() / 60 * 60;
    DateTime::from_timestamp(i64::try_from(minute).unwrap_or(i64::MAX)).to_rfc3339()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::config::Socks;
    use crate::node::socks::Tor;
    use crate::sys::summary::tests::summary;
    use crate::sys::tor_failure::TorFailure;

    /// An exit's, whose document is good for centuries.
    pub(in super::super) fn status() -> Status {
        let directory = Directory {
            epoch: Epoch(20_601),
            valid_until: Time::from_secs(32_503_680_059),
            others: 4,
            exits: 2,
            signed_by: 4,
            authorities: 5,
            reach: Reach::Whole,
            forked: false,
        };
        Status {
            name: "kvara".into(),
            roles: Roles { mix: true, exit: true, authority: false },
            road: Arc::new(Road { tor: Tor::new(Socks::Unix("/nonexistent".into())), only_tor: true }),
            up_since: Time::from_secs(1_780_000_059),
            directory: watch::channel(directory).1,
            clock: watch::channel(None).1,
            authority: watch::channel(None).1,
            summary: watch::channel(None).1,
            links_up: Arc::new(AtomicUsize::new(3)),
            hands_over: true,
            exit_up: Arc::new(AtomicBool::new(true)),
            held_back: Arc::default(),
            disk_is_low: Arc::default(),
        }
    }

    #[test]
    fn before_the_first_period_is_over_nothing_is_said_of_traffic_and_seconds_never() {
        let want = json!({
            "v": 1, "name": "kvara", "version": env!("CARGO_PKG_VERSION"), "roles": { "mix": true, "exit": true, "authority": false },
            "up_since": "2026-05-28T20:27:00Z", "can_send": true, "links": { "known": 4, "up": 3 }, "exits": 2,
            "tor": null, "directory": { "epoch": 20_601, "valid_until": "3000-01-01T00:00:00Z", "signed_by": 4, "authorities": 5 },
            "authority": null, "exit_process": true, "period": null, "warnings": [],
        });
        assert_eq!(status().to_json(), want);
    }

    #[test]
    fn an_entry_needs_an_exit_process_only_where_senders_are_told() {
        for (hands_over, exit_process, warnings) in
            [(false, json!(null), json!([])), (true, json!(false), json!(["no-exit-process"]))]
        {
            let roles = Roles { mix: false, exit: false, authority: false };
            let said = Status { roles, hands_over, exit_up: Arc::default(), ..status() }.to_json();
            assert_eq!((&said["exit_process"], &said["warnings"]), (&exit_process, &warnings));
        }
    }

    #[test]
    fn after_it_the_figures_are_those_of_the_log() {
        let status = Status { summary: watch::channel(Some(summary())).1, ..status() };
        let want = json!({
            "seconds": 3600, "in": 64, "out": 64, "held": 48, "cover": 8, "overdue": 8, "waiting": 8, "slots": 8, "dropped": 8,
            "refused": 8,
            "exit_waiting": 8, "exit_deferred": 16, "exit_refused": 8, "spool": "enough",
            "loops": { "back": 47, "lost": 1, "median_s": 40_800 },
        });
        assert_eq!(status.to_json()["period"], want);
    }

    #[test]
    fn where_no_receipt_could_come_back_nothing_is_sent() {
        let status = status();
        let directory = Directory { reach: Reach::NoWayBack, ..status.directory.borrow().clone() };
        let said = Status { directory: watch::channel(directory).1, ..status }.to_json();
        assert_eq!((&said["warnings"], &said["can_send"]), (&json!(["no-way-back"]), &json!(false)));
    }

    #[test]
    fn what_is_wrong_is_said_the_worst_first() {
        let status = status();
        let directory = Directory {
            valid_until: Time::from_secs(1),
            reach: Reach::NoPath,
            forked: true,
            ..status.directory.borrow().clone()
        };
        let full = Some(Summary { room: Room::Full, ..summary() });
        let status = Status {
            directory: watch::channel(directory).1,
            clock: watch::channel(Some(ClockFault::Off)).1,
            summary: watch::channel(full).1,
            exit_up: Arc::default(),
            held_back: Arc::new(AtomicBool::new(true)),
            disk_is_low: Arc::new(AtomicBool::new(true)),
            ..status
        };
        status.road.tor.note(Some(TorFailure::Unreachable));
        let said = status.to_json();
        let want = [
            "fork",
            "clock-off",
            "n-1",
            "directory-stale",
            "not-enough-nodes",
            "disk-low",
            "spool-full",
            "tor-down",
            "no-exit-process",
        ];
        assert_eq!((&said["warnings"], &said["can_send"]), (&json!(want), &json!(false)));
        assert_eq!(status.warnings(&status.directory.borrow(), None).len(), 8);
    }
}
