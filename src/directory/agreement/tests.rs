use super::super::fixture::{EPOCH, contents, descriptor, key, signed, trust};
use super::super::{Descriptor, Document, NodeAddress};
use super::*;
use proptest::prelude::*;

/// The epoch that the document is for.
const NEXT: Epoch = Epoch(EPOCH.0 + 1);

/// Authorities of a network of four nodes; the nth has key 101 + n.
struct Network {
    current: Contents,
    /// What each would have the next document say, if it is awake and honest.
    drafts: Vec<Option<Contents>>,
    schedule: Schedule,
}

fn nodes(numbers: impl IntoIterator<Item = u8>) -> impl Iterator<Item = (u8, Descriptor)> {
    numbers.into_iter().map(|n| (n, newer(n, 1)))
}

/// That of node `n`, with keys for both epochs.
fn newer(n: u8, sequence: u64) -> Descriptor {
    let mut node = descriptor(n);
    let mix_key = node.mix_keys.values().next().unwrap().clone();
    node.mix_keys.insert(NEXT, mix_key);
    Descriptor { sequence, ..node }
}

/// What liars show: to this authority, in this round.
type Lie<'a> = &'a dyn Fn(&Network, usize, usize) -> Vec<String>;

const SILENT: Lie<'static> = &|_, _, _| vec![];

impl Network {
    fn new(authorities: u8, threshold: usize) -> Self {
        let current = contents(authorities, threshold, nodes(1..=4));
        let previous = Some(Candidate::new(&current).unwrap().hash());
        let draft = Contents { previous, ..current.clone() };
        let schedule = Schedule::new(NEXT, &current);
        Self { current, drafts: vec![Some(draft); usize::from(authorities)], schedule }
    }

    /// The same, with this one asleep, or a liar.
    fn without(mut self, n: usize) -> Self {
        self.drafts[n] = None;
        self
    }

    fn key(n: usize) -> IdentityKey {
        key(101 + u8::try_from(n).unwrap())
    }

    fn draft(&self, n: usize) -> &Contents {
        self.drafts[n].as_ref().unwrap()
    }

    fn change(&mut self, of: impl IntoIterator<Item = usize>, change: impl Fn(&mut Contents)) {
        of.into_iter().for_each(|n| change(self.drafts[n].as_mut().unwrap()));
    }

    fn set(&mut self, of: impl IntoIterator<Item = usize>, n: u8, node: &Descriptor) {
        self.change(of, |draft| drop(draft.nodes.insert(key(n).node_id(), signed(node.clone(), n))));
    }

    /// An authority that says `draft`, as it begins.
    fn begun(&self, n: usize, draft: &Contents) -> Agreement {
        let mut agreement = Agreement::new(NEXT, self.current.clone());
        agreement.vote(draft, &Self::key(n));
        agreement
    }

    /// What `n` shows that votes for `draft`, with more signatures under its vote.
    fn lie(&self, n: usize, draft: &Contents, more: &[usize]) -> String {
        let mut agreement = self.begun(n, draft);
        let votes = agreement.votes.values_mut().flatten();
        votes.for_each(|vote| more.iter().for_each(|liar| vote.sign(&Self::key(*liar))));
        agreement.to_text(&Self::key(n).node_id())
    }

    /// All rounds, with whatever liars show as the first or the last thing that anybody sees in a round; gives where each
    /// honest one that is awake stands.
    fn rounds(&self, lie: Lie<'_>, late: bool) -> BTreeMap<usize, Agreement> {
        let drafts = self.drafts.iter().enumerate();
        let mut all: BTreeMap<_, _> =
            drafts.filter_map(|(n, draft)| Some((n, self.begun(n, draft.as_ref()?)))).collect();
        for round in 1..=self.schedule.rounds {
            if !late {
                self.show_lies(&mut all, lie, round);
            }
            Self::exchange(&mut all, Phase::Round(round));
            if late {
                self.show_lies(&mut all, lie, round);
            }
        }
        // Who has a vote of the last round may lack a descriptor.
        Self::exchange(&mut all, Phase::Signing);
        all
    }

    fn show_lies(&self, all: &mut BTreeMap<usize, Agreement>, lie: Lie<'_>, round: usize) {
        for (n, agreement) in all {
            for text in lie(self, *n, round) {
                // Whatever it is: what is wrong with it is its liar's business.
                let _ = agreement.take(&text, Phase::Round(round), &Self::key(*n));
            }
        }
    }

    /// Each asks all others, once.
    fn exchange(all: &mut BTreeMap<usize, Agreement>, phase: Phase) {
        let texts: BTreeMap<_, _> =
            all.iter().map(|(n, agreement)| (*n, agreement.to_text(&Self::key(*n).node_id()))).collect();
        for (n, agreement) in all {
            let others = texts.iter().filter(|(other, _)| *other != n);
            others.for_each(|(_, text)| agreement.take(text, phase, &Self::key(*n)).unwrap());
        }
    }

    /// The document that all honest ones sign and take.
    fn agree(&self, lie: Lie<'_>, late: bool) -> Document {
        let mut all = self.rounds(lie, late);
        for (n, agreement) in &mut all {
            let document = agreement.document().unwrap();
            agreement.sign(document, &Self::key(*n));
            assert!(agreement.signed().is_none() || self.current.threshold == 1);
        }
        Self::exchange(&mut all, Phase::Signing);
        let texts: BTreeSet<_> = all.values().map(|agreement| agreement.signed().unwrap().to_text()).collect();
        assert_eq!(texts.len(), 1, "all have the same bytes");
        let authorities = u8::try_from(self.drafts.len()).unwrap();
        let begin = Time::epoch_start(NEXT, self.current.params.epoch);
        let trust = trust(authorities, self.current.threshold);
        Document::verify(texts.first().unwrap(), &trust, begin, None).unwrap()
    }

    /// Their documents, or why there is none.
    fn documents(&self, lie: Lie<'_>) -> Vec<Result<[u8; 32], NoDocument>> {
        let all = self.rounds(lie, false);
        all.values().map(|agreement| agreement.document().map(|document| document.hash())).collect()
    }
}

fn names(document: &Document) -> Vec<&str> {
    let mut names: Vec<_> = document.nodes().map(|(_, node)| node.name.as_str()).collect();
    names.sort_unstable();
    names
}

const FOUR: [&str; 4] = ["node-1", "node-2", "node-3", "node-4"];

#[test]
fn equal_drafts_become_one_document_that_follows_the_one_before() {
    for (authorities, threshold) in [(1, 1), (2, 2), (3, 2), (4, 3), (7, 5)] {
        let network = Network::new(authorities, threshold);
        let document = network.agree(SILENT, false);
        assert_eq!((document.epoch(), names(&document)), (NEXT, FOUR.to_vec()));
        assert_eq!(document.contents().previous, network.draft(0).previous);
        assert_eq!(document.signers().count(), usize::from(authorities));
    }
}

#[test]
fn a_node_is_in_the_document_if_enough_authorities_have_let_it_in() {
    for (have, is_in) in [(3, false), (4, true)] {
        let mut network = Network::new(5, 4);
        network.set(0..have, 9, &newer(9, 1));
        assert_eq!(names(&network.agree(SILENT, false)).contains(&"node-9"), is_in, "{have}");
        let mut network = Network::new(5, 4);
        network.change(0..have, |draft| drop(draft.nodes.remove(&key(2).node_id())));
        assert_eq!(names(&network.agree(SILENT, false)).contains(&"node-2"), have < 2, "{have}");
    }
}

#[test]
fn a_node_whose_new_descriptor_has_not_come_everywhere_keeps_the_one_it_has() {
    for (have, sequence) in [(2, 1), (3, 1), (4, 2), (5, 2)] {
        let mut network = Network::new(5, 4);
        network.set(0..have, 3, &newer(3, 2));
        let document = network.agree(SILENT, false);
        assert_eq!(document.node(&key(3).node_id()).unwrap().sequence, sequence, "{have}");
    }
    // Unless what it had is another's now.
    let mut network = Network::new(5, 4);
    network.set(0..5, 9, &Descriptor { name: "node-3".into(), ..newer(9, 1) });
    network.set(0..3, 3, &Descriptor { name: "other".into(), ..newer(3, 2) });
    network.set(3..5, 3, &Descriptor { name: "third".into(), ..newer(3, 3) });
    let document = network.agree(SILENT, false);
    assert_eq!(document.node(&key(3).node_id()), None);
    assert_eq!(names(&document), FOUR);
}

#[test]
fn parameters_and_authorities_change_when_enough_say_so() {
    for (have, threshold) in [(3, 4), (4, 5)] {
        let mut network = Network::new(5, 4);
        network.change(0..have, |draft| draft.threshold = 5);
        let found = network.documents(SILENT);
        let all = network.rounds(SILENT, false);
        if have < 4 {
            assert!(found.iter().all(|found| *found == Err(NoDocument::NoFrame)), "{found:?}");
        } else {
            assert!(all.values().all(|one| one.document().unwrap().contents().threshold == threshold));
        }
    }
    let mut network = Network::new(5, 4);
    let onion = "2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion:9999";
    let address = NodeAddress::parse(onion).unwrap();
    network.set(0..5, 2, &Descriptor { address, ..newer(2, 2) });
    network.change(0..5, |draft| draft.params.only_onions = true);
    assert_eq!(names(&network.agree(SILENT, false)), ["node-2"], "the others are no onions");
    let mut network = Network::new(5, 4);
    network.change(0..5, |draft| draft.params.epoch *= 2);
    assert!(network.documents(SILENT).iter().all(|found| *found == Err(NoDocument::NoFrame)));
}

#[test]
fn a_minority_that_sleeps_changes_nothing_and_more_stop_it() {
    let want = Network::new(5, 4).agree(SILENT, false);
    let mut network = Network::new(5, 4);
    network.drafts[1] = None;
    assert_eq!(network.agree(SILENT, false).hash(), want.hash());
    network.drafts[4] = None;
    let none = Err(NoDocument::TooFewVotes { have: 3, want: 4 });
    assert_eq!(network.documents(SILENT), [none.clone(), none.clone(), none]);
}

/// Four of which the last lies; the honest ones are of one mind but for one node that needs the liar's vote to be in.
fn with_a_liar() -> Network {
    let mut network = Network::new(4, 3);
    network.set(0..2, 9, &newer(9, 1));
    network
}

#[test]
fn a_liar_is_heard_by_all_or_by_none() {
    let network = with_a_liar().without(3);
    let draft = with_a_liar().draft(0).clone();
    for round in 1..=2 {
        for victims in [vec![0], vec![0, 1], vec![2]] {
            for signers in [vec![], vec![3]] {
                for late in [false, true] {
                    let lie = |network: &Network, to: usize, at: usize| {
                        let show = at == round && victims.contains(&to);
                        show.then(|| network.lie(3, &draft, &signers)).into_iter().collect()
                    };
                    let document = network.agree(&lie, late);
                    // In time, those who saw it show it to the others.
                    assert_eq!(names(&document).contains(&"node-9"), round == 1, "{round} {victims:?} {late}");
                }
            }
        }
    }
}

#[test]
fn liars_who_sign_for_each_other_gain_nothing_in_the_last_round() {
    let network = {
        let mut network = Network::new(7, 5);
        network.set(0..4, 9, &newer(9, 1));
        (network.drafts[5], network.drafts[6]) = (None, None);
        network
    };
    assert_eq!(network.schedule.rounds, 3);
    let draft = network.draft(0).clone();
    for (round, is_heard) in [(1, true), (2, true), (3, false)] {
        let lie = |network: &Network, to: usize, at: usize| {
            let show = at == round && to == 1;
            show.then(|| network.lie(5, &draft, &[6])).into_iter().collect()
        };
        for late in [false, true] {
            let document = network.agree(&lie, late);
            assert_eq!(names(&document).contains(&"node-9"), is_heard, "{round} {late}");
        }
    }
}

#[test]
fn who_shows_two_votes_has_none() {
    let network = with_a_liar().without(3);
    let (one, two) = (with_a_liar().draft(0).clone(), with_a_liar().draft(2).clone());
    let lie = |network: &Network, to: usize, at: usize| {
        let draft = if to == 0 { &one } else { &two };
        (at == 1).then(|| network.lie(3, draft, &[])).into_iter().collect()
    };
    assert_eq!(names(&network.agree(&lie, false)), FOUR);
    assert_eq!(names(&network.agree(&lie, true)), FOUR);
    let all = network.rounds(&lie, true);
    assert!(all.values().all(|agreement| agreement.votes[&Network::key(3).node_id()].len() == 2));
}

#[test]
fn what_is_old_foreign_or_garbage_changes_nothing() {
    let network = Network::new(4, 3).without(3);
    let want = network.agree(SILENT, false);
    let stranger = Network::new(9, 6);
    let lie = |network: &Network, _: usize, round: usize| {
        let draft = network.draft(0);
        let mut old = Agreement::new(EPOCH, network.current.clone());
        old.vote(draft, &Network::key(3));
        // Another's vote, which it didn't give.
        let mut forged = Agreement::new(NEXT, network.current.clone());
        let vote = Vote::of(Network::key(0).node_id(), &Contents { epoch: NEXT, ..network.current.clone() });
        forged.votes.insert(vote.authority, vec![Witnessed::new(vote, &Network::key(3))]);
        let texts = vec![
            stranger.lie(8, draft, &[]),
            old.to_text(&Network::key(3).node_id()),
            forged.to_text(&Network::key(3).node_id()),
            "garbage".into(),
            String::new(),
        ];
        texts.into_iter().cycle().skip(round).take(5).collect()
    };
    for late in [false, true] {
        assert_eq!(network.agree(&lie, late).hash(), want.hash());
        for one in network.rounds(&lie, late).values() {
            assert_eq!(one.votes.values().map(Vec::len).collect::<Vec<_>>(), [1, 1, 1]);
        }
    }
}

#[test]
fn a_name_or_address_cannot_be_taken_by_few_nor_a_descriptor_withheld() {
    let network = Network::new(4, 3).without(3);
    let want = network.agree(SILENT, false);
    let mut draft = network.draft(0).clone();
    draft.nodes.remove(&key(2).node_id());
    let squatter = Descriptor { name: "node-2".into(), address: newer(2, 1).address, ..newer(9, 1) };
    draft.nodes.insert(key(9).node_id(), signed(squatter, 9));
    let lie = |network: &Network, _: usize, _: usize| {
        let text = network.lie(3, &draft, &[]);
        // Without the descriptors that only it has.
        vec![text.split("\n\n[[node]]").next().map(|votes| format!("{votes}\n")).unwrap(), text]
    };
    let taken = |document: &Document| names(document).join(" ");
    assert_eq!(taken(&network.agree(&lie, false)), taken(&want));
}

#[test]
fn one_document_is_signed_and_only_signatures_under_it_count() {
    let network = Network::new(4, 3);
    let mut all = network.rounds(SILENT, false);
    let mut one = all.remove(&0).unwrap();
    let document = one.document().unwrap();
    let mut other = network.draft(0).clone();
    other.nodes.remove(&key(1).node_id());
    let other = Candidate::new(&Contents { epoch: NEXT, ..other }).unwrap();
    one.sign(document.clone(), &Network::key(0));
    one.sign(other.clone(), &Network::key(0));
    assert_eq!(one.document.as_ref().unwrap().hash(), document.hash());
    // Two sign another: their signatures are none under ours.
    for n in [1, 2] {
        let mut liar = all.remove(&n).unwrap();
        liar.sign(other.clone(), &Network::key(n));
        one.take(&liar.to_text(&Network::key(n).node_id()), Phase::Signing, &Network::key(0)).unwrap();
    }
    assert_eq!(one.signed(), None);
    assert_eq!(one.document.as_ref().unwrap().signatures().len(), 1);
    // Nor are a stranger's.
    assert!(!document.clone().add_signature(key(9).node_id(), key(9).sign(b"")));
}

#[test]
fn votes_come_too_late_when_the_rounds_are_over() {
    let network = Network::new(4, 3);
    let mut one = network.begun(0, network.draft(0));
    let late = network.begun(1, network.draft(1)).to_text(&Network::key(1).node_id());
    one.take(&late, Phase::Signing, &Network::key(0)).unwrap();
    one.take(&late, Phase::Before, &Network::key(0)).unwrap();
    assert_eq!(one.votes.len(), 1);
    one.take(&late, Phase::Round(1), &Network::key(0)).unwrap();
    assert_eq!(one.votes.len(), 2);
}

#[test]
fn who_starts_again_in_the_middle_has_the_vote_it_gave_before() {
    for authorities in [2, 4] {
        let count = usize::from(authorities);
        let network = Network::new(authorities, super::super::least_threshold(count));
        let mut all: BTreeMap<_, _> = (0..count).map(|n| (n, network.begun(n, network.draft(n)))).collect();
        Network::exchange(&mut all, Phase::Round(1));
        let shown = all[&1].to_text(&Network::key(1).node_id());
        let resumed = Agreement::resume(NEXT, network.current.clone(), &shown, &Network::key(1)).unwrap();
        assert_eq!(resumed.to_text(&Network::key(1).node_id()), shown);
        all.insert(1, resumed);
        Network::exchange(&mut all, Phase::Round(2));
        // It gives no other one, though it would say something else now.
        let mut changed = network.draft(1).clone();
        changed.nodes.clear();
        all.get_mut(&1).unwrap().vote(&changed, &Network::key(1));
        let hashes: BTreeSet<_> = all.values().map(|one| one.document().unwrap().hash()).collect();
        assert_eq!(hashes.len(), 1, "{authorities}");
        assert!(all.values().all(|one| one.votes.values().map(Vec::len).collect::<Vec<_>>() == vec![1; count]));
    }
}

#[test]
fn who_is_no_authority_of_the_document_has_no_vote() {
    let network = Network::new(4, 3);
    let mut stranger = network.begun(8, network.draft(0));
    assert_eq!(stranger.votes.len(), 0);
    stranger
        .take(
            &network.begun(1, network.draft(1)).to_text(&Network::key(1).node_id()),
            Phase::Round(1),
            &Network::key(8),
        )
        .unwrap();
    assert_eq!(stranger.votes.values().flatten().map(|vote| vote.signatures.len()).sum::<usize>(), 1);
}

#[test]
fn the_schedule_has_a_round_for_each_liar_and_one_more_and_ends_with_the_epoch() {
    let hour = Duration::from_secs(3600);
    let begin = Time::epoch_start(NEXT, 24 * hour);
    for (authorities, rounds) in [(1, 1), (2, 2), (3, 2), (4, 2), (7, 3), (31, 11)] {
        let threshold = super::super::least_threshold(usize::from(authorities));
        let schedule = Schedule::new(NEXT, &contents(authorities, threshold, nodes(1..=4)));
        let half = Duration::from_secs(1800);
        let phase = |time: Time| schedule.phase(time);
        let second = Duration::from_secs(1);
        assert_eq!(phase(begin.minus(12 * hour).minus(second)), Phase::Before);
        assert_eq!(phase(begin.minus(12 * hour)), Phase::Round(1));
        assert_eq!(phase(begin.minus(12 * hour).plus(half).minus(second)), Phase::Round(1));
        let last = begin.minus(12 * hour).plus(half * rounds).minus(second);
        assert_eq!(phase(last), Phase::Round(usize::try_from(rounds).unwrap()), "{authorities}");
        assert_eq!(phase(last.plus(second)), Phase::Signing);
        assert_eq!(phase(begin.minus(second)), Phase::Signing);
        assert_eq!(phase(begin), Phase::Over);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_vote_with_anything_changed_is_refused(at in any::<prop::sample::Index>(), byte in 0x0a_u8..0x7f) {
        let network = Network::new(4, 3);
        let text = network.begun(1, network.draft(1)).to_text(&Network::key(1).node_id());
        let vote = text.split("\n\n[[node]]").next().unwrap().len();
        let mut changed = text.into_bytes();
        let at = at.index(vote);
        prop_assume!(changed[at] != byte);
        changed[at] = byte;
        let mut one = network.begun(0, network.draft(0));
        prop_assert!(one.take(&String::from_utf8(changed).unwrap(), Phase::Round(1), &Network::key(0)).is_err());
        prop_assert_eq!(one.votes.len(), 1);
    }
}
