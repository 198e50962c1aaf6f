//! The mails that wait for the local MTA, found by when they may go: a look at what is due touches nothing else,
//! however many wait.

use super::meter::RecipientMark;
use super::rows::Outgoing;
use crate::store::RowId;
use crate::time::Time;
use std::collections::{BTreeMap, BTreeSet};

/// The mails. Invariant: each is in one of `later`, `ready` and `flying`, and `waiting_for` counts those of the first two.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    mails: BTreeMap<RowId, Outgoing>,
    /// Not to be tried before.
    later: BTreeSet<(Time, RowId)>,
    /// May be tried. What an exit process died of stands behind everything else.
    ready: BTreeSet<(u32, RowId)>,
    /// With the exit process, which has not answered. One that was dropped meanwhile stays here until it does.
    flying: BTreeSet<RowId>,
    waiting_for: BTreeMap<RecipientMark, usize>,
}

impl Outbox {
    /// A mail that waits.
    pub(super) fn insert(&mut self, id: RowId, mail: Outgoing) {
        self.mails.insert(id, mail);
        self.enter(id, mail);
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.mails.len()
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = (RowId, &Outgoing)> {
        self.mails.iter().map(|(id, mail)| (*id, mail))
    }

    /// How many wait for one recipient; none of those that are with the exit process.
    pub(super) fn waiting_for(&self, to: &RecipientMark) -> usize {
        self.waiting_for.get(to).copied().unwrap_or(0)
    }

    /// How many are with the exit process.
    pub(super) fn flying(&self) -> usize {
        self.flying.len()
    }

    /// When the next one may go, as far as they themselves are concerned.
    pub(super) fn next(&self) -> Option<Time> {
        let ready = self.ready.first().map(|_| Time::from_millis(0));
        ready.or_else(|| self.later.first().map(|(next, _)| *next))
    }

    /// The one to look at first of those that may go by `now`. It stays first until something is done with it.
    pub(super) fn first(&mut self, now: Time) -> Option<(RowId, Outgoing)> {
        while let Some(&(next, id)) = self.later.first().filter(|(next, _)| *next <= now) {
            self.later.remove(&(next, id));
            let broken_off = self.mails.get(&id).map_or(0, |mail| mail.broken_off);
            self.ready.insert((broken_off, id));
        }
        let (_, id) = self.ready.first()?;
        self.mails.get(id).map(|mail| (*id, *mail))
    }

    /// Not before `next`.
    pub(super) fn put_off(&mut self, id: RowId, next: Time) {
        self.change(id, |mail| mail.next = next);
    }

    /// Nobody is asked about it any more; it is listed until then. Gives it as it is then.
    pub(super) fn shelve(&mut self, id: RowId, until: Time) -> Option<Outgoing> {
        self.change(id, |mail| {
            mail.deferred = u32::MAX;
            mail.next = until;
        });
        self.mails.get(&id).copied()
    }

    /// Whether it is with the exit process.
    pub(super) fn is_flying(&self, id: RowId) -> bool {
        self.flying.contains(&id)
    }

    /// At once, all of these that were put off and whose time has not come; says how many they are.
    pub(super) fn hurry(&mut self, now: Time, which: impl Fn(RowId, &Outgoing) -> bool) -> usize {
        let put_off = self.later.range((now, RowId(u64::MAX))..).map(|(_, id)| *id);
        let deferred = |id: &RowId| self.mails.get(id).is_some_and(|mail| mail.deferred > 0 && which(*id, mail));
        let which: Vec<RowId> = put_off.filter(deferred).collect();
        which.iter().for_each(|id| {
            self.change(*id, |mail| {
                mail.next = now;
                mail.take_down();
            });
        });
        which.len()
    }

    /// Goes to the exit process.
    pub(super) fn fly(&mut self, id: RowId) {
        if let Some(mail) = self.mails.get(&id).copied() {
            self.leave(id, mail);
            self.flying.insert(id);
        }
    }

    /// The exit process has answered for it; none if it had not been asked, or the mail is gone. It waits again, until
    /// `put_off` or `remove`.
    pub(super) fn land(&mut self, id: RowId) -> Option<Outgoing> {
        let mail = self.flying.remove(&id).then(|| self.mails.get(&id).copied()).flatten()?;
        self.enter(id, mail);
        Some(mail)
    }

    /// The exit process is gone: all that it had waits again. Gives whom that was for.
    pub(super) fn land_all(&mut self) -> Vec<RecipientMark> {
        let mut back = Vec::new();
        for id in std::mem::take(&mut self.flying) {
            let Some(mail) = self.mails.get_mut(&id) else { continue };
            mail.broken_off = mail.broken_off.saturating_add(1);
            let mail = *mail;
            back.push(mail.to);
            self.enter(id, mail);
        }
        back
    }

    /// The MTA has put one off once more; gives it as it is then.
    pub(super) fn defer(&mut self, id: RowId, next: impl FnOnce(&Outgoing) -> Time) -> Option<Outgoing> {
        self.change(id, |mail| {
            mail.deferred = mail.deferred.saturating_add(1);
            mail.next = next(mail);
        });
        self.mails.get(&id).copied()
    }

    /// It goes.
    pub(super) fn remove(&mut self, id: RowId) {
        if let Some(mail) = self.mails.remove(&id)
            && !self.flying.contains(&id)
        {
            self.leave(id, mail);
        }
    }

    fn change(&mut self, id: RowId, change: impl FnOnce(&mut Outgoing)) {
        let Some(mut mail) = self.mails.get(&id).copied() else { return };
        let waits = !self.flying.contains(&id);
        if waits {
            self.leave(id, mail);
        }
        change(&mut mail);
        self.mails.insert(id, mail);
        if waits {
            self.enter(id, mail);
        }
    }

    fn enter(&mut self, id: RowId, mail: Outgoing) {
        self.later.insert((mail.next, id));
        *self.waiting_for.entry(mail.to).or_default() += 1;
    }

    fn leave(&mut self, id: RowId, mail: Outgoing) {
        if !self.later.remove(&(mail.next, id)) {
            self.ready.remove(&(mail.broken_off, id));
        }
        if let Some(count) = self.waiting_for.get_mut(&mail.to) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.waiting_for.remove(&mail.to);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::rows::What;
    use super::*;
    use proptest::prelude::*;

    const MESSAGE: What = What::Message { id: None, news: false };

    fn mail(to: u8, next: u64, deferred: u32) -> Outgoing {
        let next = Time::from_secs(next);
        Outgoing { since: Time::from_secs(0), deferred, next, to: [to; 16], what: MESSAGE, broken_off: 0 }
    }

    /// By looking at all of them, whose time has come.
    fn all_due(outbox: &Outbox, now: Time) -> Vec<RowId> {
        let due = outbox.iter().filter(|(id, mail)| mail.next <= now && !outbox.flying.contains(id));
        let mut due: Vec<_> = due.map(|(id, mail)| (mail.broken_off, id)).collect();
        due.sort_unstable();
        due.into_iter().map(|(_, id)| id).collect()
    }

    fn check(outbox: &mut Outbox, now: Time) {
        let due = all_due(outbox, now);
        assert_eq!(outbox.first(now).map(|(id, _)| id), due.first().copied());
        assert_eq!(outbox.ready.iter().map(|(_, id)| *id).collect::<Vec<_>>(), due);
        for to in 0..3 {
            let waiting = outbox.iter().filter(|(id, mail)| mail.to == [to; 16] && !outbox.flying.contains(id));
            assert_eq!(waiting.count(), outbox.waiting_for(&[to; 16]));
        }
        let waiting = outbox.mails.keys().filter(|id| !outbox.flying.contains(id)).count();
        assert_eq!(outbox.later.len() + outbox.ready.len(), waiting);
    }

    proptest! {
        #[test]
        fn what_is_found_is_what_looking_at_all_would_find(
            steps in proptest::collection::vec((0..8_u8, 0..12_u64, 0..9_u64), 0..60),
        ) {
            let (mut outbox, mut now) = (Outbox::default(), 0);
            for (step, n, span) in steps {
                let (id, later) = (RowId(n), Time::from_secs(now + span));
                match step {
                    0 if !outbox.mails.contains_key(&id) && !outbox.flying.contains(&id) => {
                        outbox.insert(id, mail(u8::try_from(n % 3).unwrap(), now + span, 0));
                    }
                    0 | 1 => outbox.put_off(id, later),
                    2 => drop(outbox.hurry(Time::from_secs(now), |id, _| id.0 % 2 == span % 2)),
                    3 => if let Some((id, _)) = outbox.first(Time::from_secs(now)) { outbox.fly(id) },
                    4 => drop(outbox.land(id)),
                    5 => drop(outbox.land_all()),
                    6 => drop(outbox.defer(id, |_| later)),
                    _ => outbox.remove(id),
                }
                now += span;
                check(&mut outbox, Time::from_secs(now));
            }
        }
    }

    #[test]
    fn a_mail_that_is_dropped_while_the_mta_is_asked_is_no_mail_and_still_under_way() {
        let mut outbox = Outbox::default();
        outbox.insert(RowId(1), mail(1, 0, 0));
        outbox.fly(RowId(1));
        outbox.remove(RowId(1));
        assert_eq!((outbox.len(), outbox.flying()), (0, 1), "the exit process has one still");
        assert_eq!((outbox.land(RowId(1)), outbox.flying()), (None, 0));
    }

    #[test]
    fn only_what_the_mta_has_put_off_is_hurried() {
        let mut outbox = Outbox::default();
        for (id, next, deferred) in [(1, 100, 1), (2, 100, 0), (3, 10, 1), (4, 200, 2)] {
            outbox.insert(RowId(id), mail(1, next, deferred));
        }
        assert_eq!(outbox.hurry(Time::from_secs(50), |id, _| id != RowId(4)), 1);
        let mut found = Vec::new();
        while let Some((id, _)) = outbox.first(Time::from_secs(50)) {
            found.push(id);
            outbox.remove(id);
        }
        assert_eq!(found, [RowId(1), RowId(3)]);
        assert_eq!(outbox.next(), Some(Time::from_secs(100)));
    }
}
