//! Authorities under virtual time, with real files: each is started anew again and again, some sleep, one lies.

use super::clerk::{Clerk, News};
use super::desk::Desk;
use crate::config::Spool;
use crate::directory::fixture::{EPOCH, contents, descriptor, key, signed, signed_text, trust};
use crate::directory::{Admission, Agreement, Contents, Descriptor, Document, Rejected, Trust, VALID_EPOCHS};
use crate::id::Epoch;
use crate::time::Time;
use std::collections::BTreeSet;
use std::time::Duration;
use tempfile::TempDir;

const DAY: Duration = Duration::from_secs(86_400);
/// Each round is seen some times.
const STEP: Duration = Duration::from_secs(600);

/// What a liar shows to this one, now.
type Lie<'a> = &'a dyn Fn(&Hall, usize) -> Vec<String>;

const HONEST: Lie<'static> = &|_, _| vec![];

/// Authorities 101, 102, ... of a network of four mixes.
struct Hall {
    dirs: Vec<TempDir>,
    clerks: Vec<Clerk>,
    /// What each goes by.
    documents: Vec<Document>,
    trust: Trust,
    now: Time,
    asleep: BTreeSet<usize>,
    news: Vec<(usize, News)>,
    /// Every signed text that anybody has gone by.
    seen: BTreeSet<(Epoch, [u8; 32])>,
}

impl Hall {
    fn new(authorities: u8, threshold: usize) -> Self {
        let nodes = (1..=4).map(|n| (n, descriptor(n)));
        let trust = trust(authorities, threshold);
        let text = signed_text(&contents(authorities, threshold, nodes), 101..101 + authorities);
        let now = Time::epoch_start(EPOCH, DAY).plus(STEP);
        let document = Document::verify(&text, &trust, now, None).unwrap();
        let dirs: Vec<_> = (0..authorities).map(|_| tempfile::tempdir().unwrap()).collect();
        let mut hall = Self {
            clerks: Vec::new(),
            documents: vec![document; dirs.len()],
            dirs,
            trust,
            now,
            asleep: BTreeSet::new(),
            news: Vec::new(),
            seen: BTreeSet::new(),
        };
        hall.clerks = (0..hall.dirs.len()).map(|n| hall.started(n)).collect();
        hall
    }

    fn key(n: usize) -> u8 {
        101 + u8::try_from(n).unwrap()
    }

    fn spool(&self, n: usize) -> Spool {
        Spool { path: self.dirs[n].path().to_owned(), max: 0, reserve: 0 }
    }

    /// Authority `n` as it comes up from what it has on disk.
    fn started(&self, n: usize) -> Clerk {
        Clerk::open(key(Self::key(n)), &self.spool(n)).unwrap()
    }

    fn awake(&self) -> Vec<usize> {
        (0..self.clerks.len()).filter(|n| !self.asleep.contains(n)).collect()
    }

    /// One step of time: all do what is due, then each asks all others.
    fn step(&mut self, lie: Lie<'_>) {
        self.now = self.now.plus(STEP);
        for n in self.awake() {
            let news = self.clerks[n].turn(&self.documents[n], Admission::Nobody, self.now).unwrap();
            self.news.extend(news.map(|news| (n, news)));
            if let Some(text) = self.clerks[n].due(&self.documents[n], self.now) {
                self.documents[n] = Document::verify(&text, &self.trust, self.now, Some(&self.documents[n])).unwrap();
                self.seen.insert((self.documents[n].epoch(), *self.documents[n].hash()));
            }
        }
        let shown: Vec<_> = self.clerks.iter().map(|clerk| clerk.shown().map(str::to_owned)).collect();
        for n in self.awake() {
            let lies = lie(self, n).into_iter().map(|text| (text, false));
            let others = self.awake().into_iter().filter(|other| *other != n);
            let texts: Vec<_> = others.filter_map(|other| Some((shown[other].clone()?, true))).chain(lies).collect();
            for (text, is_honest) in texts {
                let taken = self.clerks[n].take(&text, &self.documents[n], self.now).unwrap();
                assert!(taken.is_ok() || !is_honest, "{taken:?}");
            }
        }
    }

    /// Steps until this epoch has begun, and one more; each authority that is awake is started anew now and then.
    fn until(&mut self, epoch: Epoch, lie: Lie<'_>) {
        let mut steps = 0;
        while self.now < Time::epoch_start(epoch, DAY).plus(STEP) {
            self.step(lie);
            steps += 1;
            let n = steps % self.clerks.len();
            if steps % 2 == 0 && !self.asleep.contains(&n) {
                self.clerks[n] = self.started(n);
            }
        }
    }

    fn texts(&self) -> BTreeSet<String> {
        self.awake().into_iter().map(|n| self.documents[n].to_text()).collect()
    }

    /// A lie in which authority `n` votes for `draft`.
    fn vote(&self, n: usize, draft: &Contents) -> String {
        let current = &self.documents[0];
        let mut agreement = Agreement::new(self.now.epoch(DAY).plus(1), current.contents().clone());
        agreement.vote(&Contents { previous: Some(*current.hash()), ..draft.clone() }, &key(Self::key(n)));
        agreement.to_text(&key(Self::key(n)).node_id())
    }
}

/// Node `n` with something new to say, and keys to be in later documents.
fn newer(n: u8, sequence: u64) -> Descriptor {
    let mut node = Descriptor { sequence, ..descriptor(n) };
    let mix_key = node.mix_keys.values().next().unwrap().clone();
    node.mix_keys.extend((1..8).map(|ahead| (EPOCH.plus(ahead), mix_key.clone())));
    node
}

#[test]
fn a_lone_authority_signs_each_document_by_itself_in_time() {
    let mut hall = Hall::new(1, 1);
    for age in 1..=5 {
        hall.until(EPOCH.plus(age), HONEST);
        let document = &hall.documents[0];
        assert_eq!((document.epoch(), document.nodes().count()), (EPOCH.plus(age), 4));
    }
    assert!(hall.news.contains(&(0, News::Agreed(EPOCH.plus(5)))));
    assert!(!hall.news.iter().any(|(_, news)| matches!(news, News::Failed(_))), "{:?}", hall.news);
}

#[test]
fn a_lone_authority_that_has_slept_makes_it_good_at_once() {
    let mut hall = Hall::new(1, 1);
    for hours in [70, 200] {
        hall.now = hall.now.plus(Duration::from_secs(hours * 3600));
        // It says what it would have, makes the document, and goes by it.
        (0..2).for_each(|_| hall.step(HONEST));
        assert_eq!(hall.documents[0].epoch(), hall.now.epoch(DAY));
    }
}

#[test]
fn what_the_operator_decides_and_what_members_hand_in_is_in_the_next_document() {
    let mut hall = Hall::new(1, 1);
    let desk = Desk::of(&hall.spool(0));
    desk.add(&signed(newer(9, 1), 9)).unwrap();
    desk.offer(&signed(newer(2, 2), 2)).unwrap();
    desk.remove(&key(3).node_id()).unwrap();
    hall.until(EPOCH.plus(1), HONEST);
    let document = &hall.documents[0];
    let names: Vec<_> =
        document.nodes().map(|(_, node)| node.name.clone()).collect::<BTreeSet<_>>().into_iter().collect();
    assert_eq!(names, ["node-1", "node-2", "node-4", "node-9"]);
    assert_eq!(document.node(&key(2).node_id()).unwrap().sequence, 2);
}

#[test]
fn authorities_agree_on_the_same_bytes_and_one_that_sleeps_changes_nothing() {
    for (authorities, threshold, asleep) in
        [(2, 2, vec![]), (3, 2, vec![]), (3, 2, vec![2]), (4, 3, vec![]), (4, 3, vec![1])]
    {
        let mut hall = Hall::new(authorities, threshold);
        hall.asleep.extend(asleep.clone());
        // Not all have it; enough do.
        for n in hall.awake().into_iter().take(threshold) {
            Desk::of(&hall.spool(n)).offer(&signed(newer(2, 2), 2)).unwrap();
        }
        for age in 1..=2 {
            hall.until(EPOCH.plus(age), HONEST);
            assert_eq!(hall.texts().len(), 1, "{authorities} {asleep:?}");
            let document = &hall.documents[0];
            assert_eq!((document.epoch(), document.nodes().count()), (EPOCH.plus(age), 4));
            assert_eq!(document.node(&key(2).node_id()).unwrap().sequence, 2);
            assert_eq!(document.signers().count(), usize::from(authorities) - asleep.len());
        }
    }
}

#[test]
fn a_majority_that_sleeps_leaves_three_epochs_and_when_it_is_back_it_goes_on() {
    let mut hall = Hall::new(4, 3);
    hall.asleep.extend([2, 3]);
    hall.until(EPOCH.plus(VALID_EPOCHS), HONEST);
    let first = hall.documents[0].clone();
    assert_eq!((first.epoch(), first.valid_until() <= hall.now), (EPOCH, true), "over to the day");
    assert!(hall.news.contains(&(0, News::Failed(EPOCH.plus(1)))));
    assert!(hall.seen.is_empty());
    hall.asleep.clear();
    hall.until(EPOCH.plus(VALID_EPOCHS + 1), HONEST);
    assert_eq!(hall.texts().len(), 1);
    assert_eq!(hall.documents[3].epoch(), EPOCH.plus(VALID_EPOCHS + 1));
    assert_eq!(hall.documents[3].contents().previous, Some(*first.hash()));
}

/// Four authorities of which the last lies.
fn with_a_liar() -> Hall {
    let mut hall = Hall::new(4, 3);
    hall.asleep.insert(3);
    hall
}

#[test]
fn whatever_one_of_four_shows_all_others_have_the_same_document() {
    let honest = {
        let mut hall = with_a_liar();
        hall.until(EPOCH.plus(1), HONEST);
        hall.documents[0].clone()
    };
    let squatting = |hall: &Hall| {
        let mut draft = hall.documents[0].contents().clone();
        draft.nodes.remove(&key(2).node_id());
        let name = Descriptor { name: "node-2".into(), address: descriptor(2).address, ..newer(9, 1) };
        draft.nodes.insert(key(9).node_id(), signed(name, 9));
        draft
    };
    let plain = |hall: &Hall| hall.documents[0].contents().clone();
    let lies: [(&str, Lie<'_>); 7] = [
        ("silent", HONEST),
        ("equivocating", &|hall, to| vec![hall.vote(3, &if to == 0 { plain(hall) } else { squatting(hall) })]),
        ("both to one", &|hall, to| {
            if to == 1 { vec![hall.vote(3, &plain(hall)), hall.vote(3, &squatting(hall))] } else { vec![] }
        }),
        ("garbage", &|hall, _| {
            let vote = hall.vote(3, &plain(hall));
            vec![
                "?".into(),
                String::new(),
                vote[..vote.len() / 2].to_owned(),
                vote.replace("threshold = 3", "threshold = 4"),
            ]
        }),
        ("old", &|hall, _| {
            let mut old = Agreement::new(EPOCH, hall.documents[0].contents().clone());
            old.vote(&plain(hall), &key(104));
            vec![old.to_text(&key(104).node_id())]
        }),
        ("squatting and withholding", &|hall, _| {
            let vote = hall.vote(3, &squatting(hall));
            vec![vote.split("\n\n[[node]]").next().map(|votes| format!("{votes}\n")).unwrap_or(vote)]
        }),
        ("late", &|hall, to| {
            let late = hall.now >= Time::epoch_start(EPOCH.plus(1), DAY).minus(DAY / 2).plus(DAY / 30);
            if late && to == 2 { vec![hall.vote(3, &squatting(hall))] } else { vec![] }
        }),
    ];
    for (name, lie) in lies {
        let mut hall = with_a_liar();
        hall.until(EPOCH.plus(1), lie);
        assert_eq!((hall.texts().len(), hall.documents[0].hash()), (1, honest.hash()), "{name}");
        assert_eq!(hall.seen.len(), 1, "{name}");
    }
}

/// Attack 20: two documents for one epoch. An authority that is stopped between two signatures, and finds something else
/// to sign then, signs what it has signed.
#[test]
fn attack_20_an_authority_that_starts_again_signs_no_second_document_of_an_epoch() {
    let mut hall = Hall::new(1, 1);
    let signing = Time::epoch_start(EPOCH.plus(1), DAY).minus(DAY / 2).plus(DAY / 48).plus(STEP);
    while hall.now < signing {
        hall.step(HONEST);
    }
    let first = hall.clerks[0].stand(&hall.documents[0], hall.now);
    assert!(first.is_agreed && first.signed_by == ["authority-101"]);
    let text = std::fs::read_to_string(hall.dirs[0].path().join("authority.next")).unwrap();
    // All that a crash at the worst moment can lose: what it has shown, and the document; not what it noted before.
    for lost in [&["authority.next"][..], &["authority.votes", "authority.next"]] {
        lost.iter().for_each(|name| std::fs::remove_file(hall.dirs[0].path().join(name)).unwrap());
        Desk::of(&hall.spool(0)).remove(&key(3).node_id()).unwrap();
        hall.clerks[0] = hall.started(0);
        hall.step(HONEST);
        let next = std::fs::read_to_string(hall.dirs[0].path().join("authority.next"));
        let stand = hall.clerks[0].stand(&hall.documents[0], hall.now);
        match next {
            Ok(next) => assert_eq!(next, text, "what was shown is made again"),
            Err(_) => assert_eq!(
                (stand.signed_by.len(), stand.trouble.as_deref()),
                (0, Some("another document of epoch 20001 was signed"))
            ),
        }
    }
}

/// Attack 20: a liar votes, and signs, one way with some and another way with others, where its vote decides.
#[test]
fn attack_20_a_liar_of_two_minds_finds_no_two_documents_that_enough_would_sign() {
    let mut hall = with_a_liar();
    // Two of three are for node 9: with the liar's vote it is in, without it isn't.
    (0..2).for_each(|n| Desk::of(&hall.spool(n)).add(&signed(newer(9, 1), 9)).unwrap());
    let with_9 = |hall: &Hall| {
        let mut draft = hall.documents[0].contents().clone();
        draft.nodes.insert(key(9).node_id(), signed(newer(9, 1), 9));
        draft
    };
    hall.until(EPOCH.plus(1), &|hall, to| {
        let without = hall.documents[0].contents().clone();
        vec![hall.vote(3, &if to == 2 { with_9(hall) } else { without })]
    });
    assert_eq!((hall.seen.len(), hall.texts().len(), hall.documents[0].epoch()), (1, 1, EPOCH.plus(1)));
    assert_eq!(hall.documents[0].node(&key(9).node_id()), None);
    // What it signs alone is no document.
    let forged = signed_text(&Contents { nodes: with_9(&hall).nodes, ..hall.documents[0].contents().clone() }, [104]);
    let verdict = Document::verify(&forged, &hall.trust, hall.now, None);
    assert_eq!(verdict.unwrap_err(), Rejected::TooFewSignatures { have: 1, want: 3 });
}

/// Attack 9: other keys for one sender. What fewer than the threshold have signed for him alone is not taken.
#[test]
fn attack_9_a_document_with_other_keys_for_one_sender_is_not_taken() {
    let mut hall = Hall::new(4, 3);
    hall.until(EPOCH.plus(1), HONEST);
    let all = hall.documents[0].contents();
    // The keys of node 2 are those of whoever wants to read along; whoever keeps the old ones is another network.
    let mut marked = all.clone();
    marked.nodes.insert(key(2).node_id(), signed(newer(2, 99), 2));
    for (signers, taken) in
        [(&[][..], false), (&[104][..], false), (&[103, 104][..], false), (&[102, 103, 104][..], true)]
    {
        let text = signed_text(&marked, signers.iter().copied());
        let verdict = Document::verify(&text, &hall.trust, hall.now, None);
        assert_eq!(verdict.is_ok(), taken, "{signers:?}");
        // And whoever has the one that all have is told.
        let verdict = Document::verify(&text, &hall.trust, hall.now, Some(&hall.documents[0]));
        assert!(
            matches!(verdict, Err(Rejected::TooFewSignatures { .. } | Rejected::Fork(_))),
            "{signers:?}: {verdict:?}"
        );
    }
}

#[test]
fn what_can_not_be_written_is_neither_shown_nor_signed() {
    let mut hall = Hall::new(1, 1);
    let path = hall.dirs[0].path().to_owned();
    // A directory in the place of the file: no user can replace it.
    std::fs::create_dir(path.join("authority.votes")).unwrap();
    std::fs::create_dir(path.join("authority.votes/x")).unwrap();
    let middle = Time::epoch_start(EPOCH.plus(1), DAY).minus(DAY / 4);
    let document = hall.documents[0].clone();
    assert!(hall.clerks[0].turn(&document, Admission::Nobody, middle).is_err());
    assert_eq!(hall.clerks[0].due(&document, middle.plus(DAY)), None);
    assert!(!path.join("authority.signed").exists());
    std::fs::remove_dir_all(path.join("authority.votes")).unwrap();
    hall.until(EPOCH.plus(1), HONEST);
    assert_eq!(hall.documents[0].epoch(), EPOCH.plus(1));
}
