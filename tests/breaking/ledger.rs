//! What became of each mail, and which fault made a second copy.

use super::broken::{ENTRIES, EXITS, LIAR};
use super::senders::{Accepted, HOME, entry_of};
use super::sink::{Sink, Taken};
use fog::id::QueueId;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, Instant};

/// Something that was broken, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    what: What,
    at: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum What {
    Node(usize),
    Exit(usize),
    Mta(usize),
}

impl Fault {
    pub(crate) fn node(index: usize) -> Self {
        Self { what: What::Node(index), at: Instant::now() }
    }

    pub(crate) fn exit(index: usize) -> Self {
        Self { what: What::Exit(index), at: Instant::now() }
    }

    /// The MTA beside an exit has stopped, or has come back.
    pub(crate) fn mta(index: usize) -> Self {
        Self { what: What::Mta(index), at: Instant::now() }
    }
}

/// A fault is noted when it has happened, and a mail by another thread.
const UNNOTED: Duration = Duration::from_millis(200);

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
    pub(crate) fn second_copies(&self, faults: &[Fault]) -> BTreeMap<String, usize> {
        let mut why = BTreeMap::new();
        for (mark, copies) in &self.arrived {
            for pair in copies.windows(2) {
                *why.entry(reason(*mark, pair[0], pair[1], faults)).or_default() += 1;
            }
        }
        why
    }
}

fn reason(mark: usize, (first, at): (usize, Instant), (second, again): (usize, Instant), faults: &[Fault]) -> String {
    if first != second {
        println!("mark {mark} came to n{} and {:?} later to n{}", first + 1, again - at, second + 1);
        return "another exit was tried".into();
    }
    let between = |fault: &&Fault| at - UNNOTED <= fault.at && fault.at <= again;
    let hit = faults.iter().filter(between).find_map(|fault| match fault.what {
        What::Node(index) if index == first => Some(("the exit's node was killed", fault.at)),
        What::Exit(index) if index == first => Some(("the exit was killed", fault.at)),
        What::Mta(index) if index == first => Some(("its MTA was away", fault.at)),
        _ => None,
    });
    let (why, hit) = hit.unwrap_or_else(|| {
        panic!("mark {mark} came again after {:?} to n{}, and nothing was broken there", again - at, first + 1)
    });
    println!("mark {mark} came again to n{} after {:?}: after {:?} {why}", first + 1, again - at, hit - at);
    why.into()
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

    #[test]
    fn a_missing_mail_is_excused_by_its_own_entry_and_its_own_name_alone() {
        let ledger = ledger(4, &[0]);
        let custody = |at: [&[u8]; 2]| at.map(|names| names.iter().map(|name| QueueId([*name; 6])).collect());
        assert!(ledger.nobodys(&custody([&[2], &[1, 3]])).is_empty());
        assert_eq!(ledger.nobodys(&custody([&[0, 2, 4], &[3, 5, 7]])), [1], "as many as are missing, and more");
        assert_eq!(ledger.nobodys(&custody([&[1, 2, 3], &[]])), [1, 3], "another entry's");
    }
}
