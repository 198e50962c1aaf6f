//! Callers that have yet to show what they are: so many, and when more come, the slow ones go.
//!
//! Whoever is let in has a while in which nobody can push it out: long enough for an honest caller to be done. After
//! that it stays only as long as nobody else needs its place, and a caller for whom no place can be had is turned away
//! at once. So a flood of `rate` silent callers a second costs an honest one nothing while `rate * patience` is below
//! `room`, and above that no more than some tries: each is let in with a chance of `room / (rate * patience)`. To push
//! out the oldest instead, whatever its age, would shut the door at that rate for everybody.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time;

/// How many callers there may be, and how long each is safe.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    /// All together.
    pub(super) room: usize,
    /// Of one and the same user.
    pub(super) of_one: usize,
    /// How long nobody is pushed out.
    pub(super) patience: Duration,
}

/// What a caller has shown; its task says so.
#[derive(Debug, Clone, Default)]
pub(super) struct Standing(Arc<AtomicU8>);

impl Standing {
    const SILENT: u8 = 0;
    const WAITING: u8 = 1;
    const EARNED: u8 = 2;

    /// It has shown that it means it, and it is for us that it waits: its own user's later calls don't push it out, and
    /// others' only when nobody is left of whom less is known.
    pub(super) fn wait(&self) {
        self.0.fetch_max(Self::WAITING, Ordering::Relaxed);
    }

    /// It has done its part: from now on it is not pushed out.
    pub(super) fn earn(&self) {
        self.0.store(Self::EARNED, Ordering::Relaxed);
    }

    fn is_at_most(&self, standing: u8) -> bool {
        self.0.load(Ordering::Relaxed) <= standing
    }
}

/// The callers under way, each with a task of its own.
#[derive(Debug)]
pub(super) struct Crowd<T> {
    rules: Rules,
    tasks: JoinSet<T>,
    /// Oldest first.
    callers: VecDeque<Caller>,
}

#[derive(Debug)]
struct Caller {
    user: u32,
    since: time::Instant,
    task: AbortHandle,
    standing: Standing,
}

impl<T: Send + 'static> Crowd<T> {
    pub(super) fn new(rules: Rules) -> Self {
        Self { rules, tasks: JoinSet::new(), callers: VecDeque::new() }
    }

    /// Lets a caller in, if there is a place or one can be had; else `task` is dropped, and its connection with it.
    pub(super) fn admit<F>(&mut self, user: u32, task: impl FnOnce(Standing) -> F)
    where
        F: Future<Output = T> + Send + 'static,
    {
        self.callers.retain(|caller| !caller.task.is_finished());
        if !self.has_place(user) {
            return;
        }
        let standing = Standing::default();
        let task = self.tasks.spawn(task(standing.clone()));
        self.callers.push_back(Caller { user, since: time::Instant::now(), task, standing });
    }

    /// What the next one to end has come to; none if nobody is here.
    pub(super) async fn next(&mut self) -> Option<T> {
        loop {
            // Who was pushed out has come to nothing.
            if let Ok(end) = self.tasks.join_next().await? {
                return Some(end);
            }
        }
    }

    fn has_place(&mut self, user: u32) -> bool {
        let of_user = self.callers.iter().filter(|caller| caller.user == user).count();
        if of_user >= self.rules.of_one {
            return self.push_out(Standing::SILENT, |caller| caller.user == user);
        }
        self.callers.len() < self.rules.room
            || self.push_out(Standing::SILENT, |_| true)
            || self.push_out(Standing::WAITING, |_| true)
    }

    /// Pushes out the oldest of these that have had their time and no more than this standing.
    fn push_out(&mut self, standing: u8, whom: impl Fn(&Caller) -> bool) -> bool {
        let patience = self.rules.patience;
        let is_due = |caller: &Caller| caller.standing.is_at_most(standing) && caller.since.elapsed() >= patience;
        let place = self.callers.iter().position(|caller| whom(caller) && is_due(caller));
        let due = place.and_then(|place| self.callers.remove(place));
        due.inspect(|caller| caller.task.abort()).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;
    use tokio::sync::oneshot;
    use tokio::time::advance;

    const RULES: Rules = Rules { room: 6, of_one: 4, patience: Duration::from_secs(5) };
    const HALF: Duration = Duration::from_millis(2500);

    /// A caller that does nothing; what comes back tells when it is gone.
    fn silent(crowd: &mut Crowd<u8>, user: u32) -> oneshot::Receiver<()> {
        let (alive, gone) = oneshot::channel();
        crowd.admit(user, |_| async move {
            pending::<()>().await;
            drop(alive);
            0
        });
        gone
    }

    async fn gone(callers: &mut [oneshot::Receiver<()>]) -> Vec<bool> {
        // Who was pushed out notices at its next turn.
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        let is_gone =
            |caller: &mut oneshot::Receiver<()>| caller.try_recv() == Err(oneshot::error::TryRecvError::Closed);
        callers.iter_mut().map(is_gone).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_pushed_out_before_its_time_and_the_oldest_first_after_it() {
        let mut crowd = Crowd::new(RULES);
        let mut callers: Vec<_> = (0..6).map(|user| silent(&mut crowd, user)).collect();
        advance(HALF).await;
        callers.push(silent(&mut crowd, 6));
        assert_eq!(
            gone(&mut callers).await,
            [false, false, false, false, false, false, true],
            "the last is turned away"
        );
        advance(HALF).await;
        callers.push(silent(&mut crowd, 7));
        callers.push(silent(&mut crowd, 8));
        assert_eq!(gone(&mut callers).await, [true, true, false, false, false, false, true, false, false]);
    }

    #[tokio::test(start_paused = true)]
    async fn one_user_takes_nobody_elses_place() {
        let mut crowd = Crowd::new(RULES);
        let mut callers: Vec<_> = (0..5).map(|_| silent(&mut crowd, 1)).collect();
        callers.push(silent(&mut crowd, 2));
        assert_eq!(gone(&mut callers).await, [false, false, false, false, true, false]);
        advance(2 * HALF).await;
        callers.push(silent(&mut crowd, 1));
        assert_eq!(gone(&mut callers).await, [true, false, false, false, true, false, false], "it pushes out its own");
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_us_is_not_pushed_out_by_its_own_user_and_last_by_others() {
        let mut crowd = Crowd::new(RULES);
        let waiting = |crowd: &mut Crowd<u8>, user| {
            let (alive, gone) = oneshot::channel();
            crowd.admit(user, |standing| async move {
                standing.wait();
                pending::<()>().await;
                drop(alive);
                0
            });
            gone
        };
        let mut callers: Vec<_> = (0..4).map(|_| waiting(&mut crowd, 1)).collect();
        callers.extend([silent(&mut crowd, 2), silent(&mut crowd, 3)]);
        gone(&mut callers).await;
        advance(2 * HALF).await;
        callers.push(waiting(&mut crowd, 1));
        assert_eq!(gone(&mut callers).await, [false, false, false, false, false, false, true]);
        (4..7).for_each(|user| callers.push(silent(&mut crowd, user)));
        assert_eq!(gone(&mut callers).await, [true, false, false, false, true, true, true, false, false, false]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_done_its_part_stays_and_who_has_ended_makes_room() {
        let mut crowd = Crowd::new(Rules { room: 2, ..RULES });
        let (end, ends) = oneshot::channel();
        crowd.admit(1, |standing| async move {
            standing.earn();
            ends.await.unwrap()
        });
        let mut callers = vec![silent(&mut crowd, 2)];
        advance(2 * HALF).await;
        callers.push(silent(&mut crowd, 3));
        callers.push(silent(&mut crowd, 4));
        assert_eq!(gone(&mut callers).await, [true, false, true]);
        end.send(7).unwrap();
        assert_eq!(crowd.next().await, Some(7));
        callers.push(silent(&mut crowd, 5));
        assert_eq!(gone(&mut callers).await, [true, false, true, false]);
    }
}
