//! What became of each mail, and which fault made a second copy.

use super::broken::{ENTRIES, EXITS, LIAR};
use super::senders::{Accepted, HOME, entry_of};
use super::sink::{Sink, Taken};
use fog::id::QueueId;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, Instant};

/// Something that was broken, and from when to when; without an end it is so until the test ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    what: What,
    from: Instant,
    until: Option<Instant>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum What {
    /// A node was killed at the beginning.
    Node(usize),
    /// An exit process was killed at the beginning.
    Exit(usize),
    /// The MTA beside an exit turns it away.
    Mta(usize),
    /// Links lose what is on its way.
    Links,
    /// A mix hands nothing on. Whether it is a first hop of each entry.
    Mix([bool; ENTRIES.len()]),
}

impl Fault {
    /// One that begins now.
    pub(crate) fn of(what: What) -> Self {
        Self { what, from: Instant::now(), until: None }
    }

    /// The same, mended now.
    pub(crate) fn mended(self) -> Self {
        Self { until: Some(Instant::now()), ..self }
    }

    pub(crate) fn is_of(&self, what: What) -> bool {
        self.what == what
    }

    fn was_between(&self, from: Instant, to: Instant) -> bool {
        self.from <= to && self.until.is_none_or(|until| from <= until)
    }
}

/// A fault is noted when it has happened, and a mail by another thread, of a machine that has other things to do.
const UNNOTED: Duration = Duration::from_secs(1);

/// By then an exit has on disk that its MTA has a mail: two processes hear of it one after the other, and the second commits,
/// with all else that has come to it.
const UNWRITTEN: Duration = Duration::from_secs(5);

/// For so long a fault that is over can make mail or its answers late: a node whose clock was thirty seconds ahead holds for
/// that time what it took by it, and an exit comes to its MTA again within a minute.
const AFTERMATH: Duration = Duration::from_secs(60);

/// After so long no answer is waited for any more: the exit's own delay and three hops', of at most two seconds each, the
/// answer's slots, and then what an entry gives those who are late, an epoch's 12th and twelve slots.
const ANSWERED: Duration = Duration::from_secs(50);

/// Sooner no try is over on which nothing is heard: that 12th of an epoch.
const SILENCE: Duration = Duration::from_secs(30);

/// The copies of one mail: at which exit, and when.
type Copies = Vec<(usize, Instant)>;

/// What each entry calls the mails that it answers for.
pub(crate) type Custody = [BTreeSet<QueueId>; ENTRIES.len()];

pub(crate) struct Ledger {
    accepted: Accepted,
    arrived: BTreeMap<usize, Copies>,
    told: BTreeSet<usize>,
    /// What the lying exit has taken.
    lied: BTreeSet<usize>,
}

impl Ledger {
    pub(crate) fn new(accepted: &Accepted, sinks: &[Sink; 2], home: &Sink, lied: &str) -> Self {
        let mut arrived: BTreeMap<usize, Copies> = BTreeMap::new();
        for (exit, sink) in EXITS.iter().zip(sinks) {
            for (mark, times) in sink.arrived() {
                arrived.entry(mark).or_default().extend(times.into_iter().map(|at| (*exit, at)));
            }
        }
        arrived.values_mut().for_each(|copies| copies.sort_by_key(|(_, at)| *at));
        let told = home.mails().iter().filter_map(whom).collect();
        let lied =
            lied.lines().filter_map(|line| line.trim_end().strip_prefix("Subject: mark ")?.parse().ok()).collect();
        Self { accepted: accepted.clone(), arrived, told, lied }
    }

    fn which(&self, is: impl Fn(&usize) -> bool) -> Vec<usize> {
        self.accepted.keys().filter(|mark| is(mark)).copied().collect()
    }

    fn count(&self, is: impl Fn(&usize) -> bool) -> usize {
        self.which(is).len()
    }

    fn copies(&self, mark: &usize) -> usize {
        self.arrived.get(mark).map_or(0, Vec::len)
    }

    pub(crate) fn twice(&self) -> usize {
        self.count(|mark| self.copies(mark) > 1)
    }

    /// Those that are told of, and have not come all the same.
    pub(crate) fn told_of(&self) -> Vec<usize> {
        self.which(|mark| self.copies(mark) == 0 && self.told.contains(mark))
    }

    pub(crate) fn told(&self) -> usize {
        self.told_of().len()
    }

    /// Those of which nobody knows but the lying exit, which said that they are delivered. No receipt can see that.
    pub(crate) fn lied(&self) -> usize {
        self.count(|mark| self.is_with_the_liar(mark))
    }

    fn is_with_the_liar(&self, mark: &usize) -> bool {
        self.copies(mark) == 0 && !self.told.contains(mark) && self.lied.contains(mark)
    }

    pub(crate) fn missing(&self) -> Vec<usize> {
        self.which(|mark| self.copies(mark) == 0 && !self.told.contains(mark) && !self.lied.contains(mark))
    }

    pub(crate) fn lost(&self) -> usize {
        self.missing().len()
    }

    /// Those that are missing, and that their own entry does not have in its custody either.
    pub(crate) fn nobodys(&self, custody: &Custody) -> Vec<usize> {
        let names = |mark: &usize| custody[entry_of(*mark, ENTRIES.len())].contains(&self.accepted[mark]);
        self.missing().into_iter().filter(|mark| !names(mark)).collect()
    }

    /// Why there are second copies. One that no fault explains ends the test.
    pub(crate) fn second_copies(&self, faults: &[Fault]) -> BTreeMap<&'static str, usize> {
        let mut why = BTreeMap::new();
        for (mark, copies) in &self.arrived {
            for pair in copies.windows(2) {
                let ((first, at), (second, again)) = (pair[0], pair[1]);
                let came = format!("mark {mark} came to n{} and {:?} later to n{}", first + 1, again - at, second + 1);
                let Some(reason) = reason(*mark, pair[0], pair[1], faults) else {
                    panic!("{came}, and none of these explains it: {faults:?}")
                };
                println!("{came}: {reason}");
                *why.entry(reason).or_default() += 1;
            }
        }
        why
    }
}

/// Why a mail came twice; none if no fault explains it.
fn reason(mark: usize, first: (usize, Instant), again: (usize, Instant), faults: &[Fault]) -> Option<&'static str> {
    if first.0 == again.0 {
        unwritten(first, faults)
    } else {
        unheard(entry_of(mark, ENTRIES.len()), first.1, again.1, faults)
    }
}

/// Why an exit did not know that it had handed out a mail: one of its processes was killed before that was on disk. Nothing else
/// can be it, neither a kill later on nor an MTA that rests, which has answered for all that it took.
fn unwritten((exit, at): (usize, Instant), faults: &[Fault]) -> Option<&'static str> {
    let near = |fault: &&Fault| at - UNNOTED <= fault.from && fault.from <= at + UNWRITTEN;
    faults.iter().filter(near).find_map(|fault| match fault.what {
        What::Node(index) if index == exit => Some("the exit's node was killed"),
        What::Exit(index) if index == exit => Some("the exit was killed"),
        _ => None,
    })
}

/// Why nothing was heard in time of the exit at which a mail came first, or of the other one, which had it before and handed it
/// out later: something was broken on one of the ways at that time. One mix that hands nothing on takes no answer
/// away for good, unless it is a first hop: there are two ways back. And it makes nothing late.
fn unheard(entry: usize, at: Instant, again: Instant, faults: &[Fault]) -> Option<&'static str> {
    let at_work = || faults.iter().filter(|fault| fault.was_between(at - AFTERMATH, again.min(at + ANSWERED)));
    let passing = at_work().find_map(|fault| match fault.what {
        What::Node(_) => Some("another exit was tried, and nodes were killed"),
        What::Exit(_) | What::Mta(_) => Some("another exit was tried, and exits or their MTAs were away"),
        What::Links => Some("another exit was tried, and links lost what they had"),
        What::Mix(_) => None,
    });
    let mixes = at_work().filter_map(|fault| if let What::Mix(of) = fault.what { Some(of) } else { None });
    let mixes: Vec<_> = mixes.collect();
    match mixes.as_slice() {
        _ if passing.is_some() => passing,
        _ if again - at < SILENCE => None,
        mixes if mixes.iter().any(|of| of[entry]) => Some("another exit was tried, and a first hop handed nothing on"),
        [_, _, ..] => Some("another exit was tried, and two mixes handed nothing on"),
        _ => None,
    }
}

/// Whom a notice tells of their mail, by the address that they wrote from.
fn whom(mail: &Taken) -> Option<usize> {
    mail.to.strip_prefix("mark-")?.strip_suffix(&format!("@{HOME}"))?.parse().ok()
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (once, twice) = (self.count(|mark| self.copies(mark) == 1), self.twice());
        let (told, lied, lost) = (self.told(), self.lied(), self.lost());
        let accepted = self.accepted.len() - lied;
        assert_eq!(once + twice + told + lost, accepted, "each mail is counted, and once");
        write!(f, "accepted={accepted} delivered_once={once} delivered_twice={twice} told={told} lost={lost}")?;
        write!(f, "; and {lied} of which n{} says that they are delivered, a lie", LIAR + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ledger of mails that were accepted, of which these have arrived.
    fn ledger(accepted: usize, arrived: &[usize]) -> Ledger {
        let name = |mark: usize| QueueId([u8::try_from(mark).unwrap(); 6]);
        let arrived = arrived.iter().map(|mark| (*mark, vec![(EXITS[0], Instant::now())]));
        Ledger {
            accepted: (0..accepted).map(|mark| (mark, name(mark))).collect(),
            arrived: arrived.collect(),
            told: BTreeSet::new(),
            lied: BTreeSet::new(),
        }
    }

    /// A fault of so many seconds after the test's first second, and for how many.
    fn fault(began: Instant, what: What, (from, lasts): (i64, Option<u64>)) -> Fault {
        let from = seconds(began, from);
        Fault { what, from, until: lasts.map(|seconds| from + Duration::from_secs(seconds)) }
    }

    fn seconds(began: Instant, seconds: i64) -> Instant {
        // Made-up times begin in the future: an `Instant` may not know what was before the machine started.
        began + Duration::from_secs(u64::try_from(1_000 + seconds).unwrap())
    }

    /// Whether these faults explain the copies of a mail of the first entry: the first one at second 0.
    fn is_explained(first: usize, (second, again): (usize, i64), faults: &[(What, (i64, Option<u64>))]) -> bool {
        let began = Instant::now();
        let faults: Vec<_> = faults.iter().map(|(what, when)| fault(began, *what, *when)).collect();
        reason(0, (first, seconds(began, 0)), (second, seconds(began, again)), &faults).is_some()
    }

    #[test]
    fn a_second_copy_at_one_exit_needs_a_kill_there_while_the_first_was_not_written_down() {
        let [exit, other] = EXITS;
        for (what, second, is_it) in [
            (What::Node(exit), 0, true),
            (What::Exit(exit), 4, true),
            (What::Exit(exit), 6, false),
            (What::Node(exit), 30, false),
            (What::Node(exit), -2, false),
            (What::Node(other), 0, false),
            (What::Exit(other), 0, false),
            (What::Mta(exit), 0, false),
            (What::Links, 0, false),
            (What::Mix([true; 2]), 0, false),
        ] {
            let faults = [(what, (second, Some(1)))];
            assert_eq!(is_explained(exit, (exit, 60), &faults), is_it, "{what:?} after {second} s");
        }
        assert!(!is_explained(exit, (exit, 60), &[]));
    }

    #[test]
    fn a_copy_at_another_exit_needs_a_fault_that_kept_the_first_ones_answer() {
        let [exit, other] = EXITS;
        let brief = Some(1);
        for (what, when, again, is_it) in [
            (What::Node(2), (10, brief), 90, true),
            (What::Mta(exit), (-3, brief), 90, true),
            (What::Exit(other), (3, brief), 5, true),
            (What::Links, (-300, Some(310)), 90, true),
            // Before, and long over; when nothing was waited for any more; after the second copy.
            (What::Links, (-300, Some(200)), 90, false),
            (What::Node(2), (70, brief), 90, false),
            (What::Node(2), (12, brief), 10, false),
            (What::Mix([true, false]), (-300, None), 90, true),
            (What::Mix([false, true]), (-300, None), 90, false),
            (What::Mix([true, false]), (70, None), 90, false),
            (What::Mix([true, false]), (-300, None), 10, false),
        ] {
            assert_eq!(is_explained(exit, (other, again), &[(what, when)]), is_it, "{what:?} {when:?}, {again} s");
        }
        assert!(!is_explained(exit, (other, 90), &[]));
        let mix = |from| (What::Mix([false; 2]), (from, None));
        assert!(is_explained(exit, (other, 90), &[mix(-300), mix(-10)]), "two ways back");
        assert!(!is_explained(exit, (other, 90), &[mix(-300), mix(70)]), "one was there still");
    }

    #[test]
    #[should_panic(expected = "none of these explains it")]
    fn a_second_copy_that_no_fault_explains_ends_the_test() {
        let mut ledger = ledger(1, &[0]);
        let copies = ledger.arrived.get_mut(&0).unwrap();
        copies.push((EXITS[1], copies[0].1 + 2 * SILENCE));
        ledger.second_copies(&[]);
    }

    #[test]
    fn a_missing_mail_is_excused_by_its_own_entry_and_its_own_name_alone() {
        let ledger = ledger(4, &[0]);
        let custody = |at: [&[u8]; 2]| at.map(|names| names.iter().map(|name| QueueId([*name; 6])).collect());
        assert!(ledger.nobodys(&custody([&[2], &[1, 3]])).is_empty());
        assert_eq!(ledger.nobodys(&custody([&[0, 2, 4], &[3, 5, 7]])), [1], "as many as are missing, and more");
        assert_eq!(ledger.nobodys(&custody([&[1, 2, 3], &[]])), [1, 3], "another entry's");
    }
}
