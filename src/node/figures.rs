//! Traffic, a period at a time: what the engine has counted is rounded up when a period is over, and until the next one
//! is, nobody gets to see anything else.

use crate::config;
use crate::directory::Document;
use crate::engine::{Counts, Engine, Held, LoopFigures};
use crate::store::StoreError;
use crate::sys::clock;
use crate::sys::log::{Event, Program, log};
use crate::sys::summary::{ExitSummary, Room, Rounded, Summary};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time;

/// What makes the figures, and shows them.
#[derive(Debug)]
pub struct Figures {
    log: config::Log,
    is_exit: bool,
    started: time::Instant,
    /// When the running period began, and what had been counted by then.
    began: time::Instant,
    before: Counts,
    /// What of the spool the log was told last.
    room: Room,
    shown: watch::Sender<Option<Summary>>,
}

impl Figures {
    /// Figures of a node that starts now. Each period's are sent to `shown`.
    #[must_use]
    pub fn new(log: config::Log, is_exit: bool, shown: watch::Sender<Option<Summary>>) -> Self {
        let (now, before) = (time::Instant::now(), Counts::default());
        Self { log, is_exit, started: now, began: now, before, room: Room::Enough, shown }
    }

    /// Goes by these settings from here on. The running period began when it began.
    pub(super) fn set_up(&mut self, log: config::Log) {
        self.log = log;
    }

    /// Looks whether a period is over. To be called at each turn.
    pub(super) fn look(&mut self, engine: &Engine, links_up: usize) -> Result<(), StoreError> {
        if self.began.elapsed() < self.log.every {
            return Ok(());
        }
        let counts = engine.counts();
        let others = engine.document().map_or(0, |document| document.nodes().count().saturating_sub(1));
        let valid_until = engine.document().map(Document::valid_until);
        let left = valid_until.map_or(Duration::ZERO, |until| until.since(clock::now()));
        let mut summary = self.summary(&counts, &engine.held()?, (links_up, others), left);
        summary.loops = engine.loops(clock::now());
        (self.began, self.before) = (time::Instant::now(), counts);
        self.tell(&summary);
        self.shown.send_replace(Some(summary));
        Ok(())
    }

    fn summary(&self, counts: &Counts, held: &Held, nodes: (usize, usize), directory: Duration) -> Summary {
        let since = |count: fn(&Counts) -> u64| count(counts).saturating_sub(count(&self.before));
        let up = |count| Rounded::up(count, self.log.round);
        Summary {
            period: self.log.every,
            taken: up(since(|counts| counts.taken + counts.cover)),
            sent: up(since(|counts| counts.handed_on)),
            held: up(held.packets),
            cover: up(since(|counts| counts.cover + counts.loops_back)),
            overdue: up(held.overdue),
            waiting: up(held.mails),
            slots: up(held.slots),
            dropped: up(since(|counts| counts.dropped + counts.replayed)),
            refused: up(since(|counts| counts.refused)),
            exit: self.is_exit.then(|| ExitSummary {
                waiting: up(held.outbox),
                deferred: up(since(|counts| counts.deferred)),
                refused: up(since(|counts| counts.undeliverable)),
            }),
            room: match held.percent {
                0..80 => Room::Enough,
                80..100 => Room::Low,
                _ => Room::Full,
            },
            loops: LoopFigures::default(),
            nodes,
            directory,
            up: self.started.elapsed(),
        }
    }

    fn tell(&mut self, summary: &Summary) {
        let say = |event| log(Program::Node, event);
        let Summary { period, dropped, refused, exit, room, .. } = *summary;
        // Of what looks like none there is nothing to say.
        let is_told = |count: Rounded| count.most() > self.log.round;
        if is_told(dropped) {
            say(Event::Dropped { period, packets: dropped });
        }
        if is_told(refused) {
            say(Event::Refused { period, mails: refused });
        }
        if let Some(exit) = exit {
            if is_told(exit.deferred) {
                say(Event::ExitDeferred { period, mails: exit.deferred });
            }
            if is_told(exit.refused) {
                say(Event::ExitRefused { period, mails: exit.refused });
            }
        }
        if std::mem::replace(&mut self.room, room) != room {
            match room {
                Room::Enough => {}
                Room::Low => say(Event::SpoolLow),
                Room::Full => say(Event::SpoolFull),
            }
        }
        say(Event::Loop(&summary.loops));
        say(Event::Summary(summary));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    const HOUR: Duration = Duration::from_secs(3600);

    fn figures(is_exit: bool) -> (Figures, watch::Receiver<Option<Summary>>) {
        let (shown, seen) = watch::channel(None);
        (Figures::new(config::Log::default(), is_exit, shown), seen)
    }

    fn held() -> Held {
        Held { packets: 41, overdue: 0, mails: 0, slots: 0, outbox: 9, percent: 79 }
    }

    #[tokio::test(start_paused = true)]
    async fn a_period_counts_what_came_since_the_last_one_and_nothing_of_it_is_exact() {
        let (mut figures, _) = figures(true);
        let counts = Counts { taken: 100, cover: 5, handed_on: 30, deferred: 1, ..Counts::default() };
        figures.before = counts;
        let counts = Counts {
            taken: 103,
            cover: 11,
            loops_back: 3,
            handed_on: 47,
            replayed: 2,
            deferred: 1,
            undeliverable: 1,
            ..counts
        };
        advance(HOUR * 50).await;
        assert_eq!(
            figures.summary(&counts, &held(), (3, 4), HOUR).to_string(),
            "period=1h, in<=16, out<=24, held<=48, cover<=16, overdue<=8, waiting<=8, dropped<=8, refused<=8, \
             exit-waiting<=16, exit-deferred<=8, exit-refused<=8, spool=enough, nodes=3/4, directory=1h, up=2d"
        );
        for (percent, room) in [(80, Room::Low), (99, Room::Low), (100, Room::Full), (130, Room::Full)] {
            assert_eq!(figures.summary(&counts, &Held { percent, ..held() }, (3, 4), HOUR).room, room);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_mail_more_or_less_among_few_changes_nothing_that_is_said() {
        let (figures, _) = figures(true);
        let say = |n| {
            let counts = Counts { refused: n, dropped: n, deferred: n, undeliverable: n, ..Counts::default() };
            figures.summary(&counts, &held(), (3, 4), HOUR)
        };
        assert!((1..=8).all(|n| say(n) == say(0)));
        assert_ne!(say(9), say(0));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_shown_before_a_period_is_over_and_nothing_new_before_the_next() {
        let ((mut figures, seen), engine) = (figures(false), super::super::driver::tests::engine());
        figures.look(&engine, 0).unwrap();
        advance(HOUR - Duration::from_secs(1)).await;
        figures.look(&engine, 1).unwrap();
        assert!(seen.borrow().is_none());
        advance(Duration::from_secs(1)).await;
        figures.look(&engine, 2).unwrap();
        let first = (*seen.borrow()).unwrap();
        assert_eq!((first.nodes, first.exit), ((2, 0), None));
        // What is set anew makes no period shorter than ten minutes: the least that can be set.
        figures.set_up(config::Log { every: Duration::from_secs(600), ..config::Log::default() });
        advance(Duration::from_secs(599)).await;
        figures.look(&engine, 3).unwrap();
        assert_eq!(*seen.borrow(), Some(first));
        advance(Duration::from_secs(1)).await;
        figures.look(&engine, 3).unwrap();
        assert_eq!((*seen.borrow()).unwrap().nodes, (3, 0));
    }
}
