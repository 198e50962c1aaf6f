//! Who is let into the next document: what an authority would have it say, from the document in use, from what its operator
//! decided, and from descriptors that anybody handed in.
//!
//! Mixes, exits and authorities come in by the operator's hand only, or whoever has most machines would be most of the
//! network. A node that is in says by itself what is new with it, but takes on no role by that. Whoever only sends may be
//! let in without being looked at: no path crosses it.

use super::contents::{Contents, Shared};
use super::descriptor::{Descriptor, Signed};
use crate::id::{Epoch, NodeId};
use std::collections::{BTreeMap, BTreeSet};
use thiserror::Error;

/// Most nodes that are in without having been looked at: strangers make the document no longer than that.
const MOST_ENTRIES: usize = 256;

/// Most strangers' descriptors that wait for the operator.
const MOST_WAITING: usize = 64;

/// Who comes into the document by handing in a descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Admission {
    /// Nobody.
    #[default]
    Nobody,
    /// Nodes that are entries and nothing else.
    Entries,
}

impl Admission {
    /// Its word in the configuration.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::Entries => "entries",
        }
    }

    /// The one with this word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Nobody, Self::Entries].into_iter().find(|admission| admission.word() == word)
    }
}

/// What is to become of a descriptor that somebody handed in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// It is in what this authority would have the next document say.
    In,
    /// It is here already.
    Known,
    /// The operator has to let it in.
    Waits,
}

/// Why a descriptor that somebody handed in is not kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Refused {
    /// Another one with its number or a higher one is here.
    #[error("it is older than what is known of this node")]
    Old,
    /// No packet could go to the node by the next document.
    #[error("it has no mix key for epoch {0}")]
    NoKey(Epoch),
    /// Another node has the same already.
    #[error("two nodes with one {0}")]
    TwoNodes(Shared),
    /// Too many are here, or it is not of the kind that there is room for.
    #[error("there is no room for it")]
    NoRoom,
}

/// What an authority knows beside the document.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Register {
    /// Whom its operator let in, and no document has yet.
    pub added: BTreeMap<NodeId, Signed>,
    /// Whom its operator has put out.
    pub removed: BTreeSet<NodeId>,
    /// What was handed in, the newest of each node.
    pub offered: BTreeMap<NodeId, Signed>,
}

impl Register {
    /// What this authority would have the document for `epoch` say, by which the one that says `current` and has the hash
    /// `previous` is followed.
    #[must_use]
    pub fn draft(&self, current: &Contents, previous: [u8; 32], epoch: Epoch, admission: Admission) -> Contents {
        let mut draft = Contents { epoch, previous: Some(previous), ..current.clone() };
        // Who only sends and is gone for good would be in it for ever: nobody looks after those.
        draft.nodes.retain(|id, node| {
            let node = node.descriptor();
            let lives = node.mix_keys.contains_key(&epoch) || !node.roles().is_entry_only() || self.has_newer(id, node);
            lives && !self.removed.contains(id)
        });
        let added = self.added.values().filter(|node| !self.removed.contains(&node.descriptor().id()));
        added.for_each(|node| self.let_in(&mut draft, node));
        for offered in self.offered.values() {
            self.take(&mut draft, offered, admission);
        }
        draft
    }

    fn has_newer(&self, id: &NodeId, node: &Descriptor) -> bool {
        self.offered.get(id).is_some_and(|newer| newer.descriptor().sequence > node.sequence)
    }

    /// Takes in whom the operator has let in, in the place of those whom nobody has looked at.
    fn let_in(&self, draft: &mut Contents, node: &Signed) {
        let descriptor = node.descriptor();
        if draft.nodes.get(&descriptor.id()).is_some_and(|known| known.descriptor().sequence >= descriptor.sequence) {
            return;
        }
        let mut others = draft.clone();
        let unseen = |id: &NodeId, other: &Signed| {
            other.descriptor().roles().is_entry_only() && !self.added.contains_key(id) && *id != descriptor.id()
        };
        others.nodes.retain(|id, other| !unseen(id, other) || shares_nothing(other.descriptor(), descriptor));
        let fits = others.has_room_for(descriptor) && others.clash(descriptor).is_none();
        if descriptor.mix_keys.contains_key(&draft.epoch) && fits {
            *draft = others;
            draft.nodes.insert(descriptor.id(), node.clone());
        }
    }

    /// Takes in what was handed in, if it needs nobody's leave.
    fn take(&self, draft: &mut Contents, offered: &Signed, admission: Admission) {
        let node = offered.descriptor();
        let id = node.id();
        let may = match draft.nodes.get(&id).map(Signed::descriptor) {
            Some(known) => known.sequence < node.sequence && known.roles().cover(node.roles()),
            None => self.admits(draft, node, admission),
        };
        let fits = draft.has_room_for(node) && draft.clash(node).is_none();
        if may && node.mix_keys.contains_key(&draft.epoch) && fits {
            draft.nodes.insert(id, offered.clone());
        }
    }

    /// Whether a stranger comes in without having been looked at.
    fn admits(&self, draft: &Contents, node: &Descriptor, admission: Admission) -> bool {
        admission == Admission::Entries
            && node.roles().is_entry_only()
            && !self.removed.contains(&node.id())
            && draft.nodes.values().filter(|node| node.descriptor().roles().is_entry_only()).count() < MOST_ENTRIES
    }

    /// What is to become of `offered`, where the next document would say `draft` without it.
    ///
    /// # Errors
    /// Why it is not to be kept.
    pub fn judge(&self, offered: &Signed, draft: &Contents, admission: Admission) -> Result<Standing, Refused> {
        let node = offered.descriptor();
        let id = node.id();
        let known = [&draft.nodes, &self.added, &self.offered].into_iter().filter_map(|all| all.get(&id));
        let newest = known.max_by_key(|known| known.descriptor().sequence);
        match newest {
            Some(known) if known == offered => return Ok(Standing::Known),
            Some(known) if known.descriptor().sequence >= node.sequence => return Err(Refused::Old),
            _ => {}
        }
        if !node.mix_keys.contains_key(&draft.epoch) {
            return Err(Refused::NoKey(draft.epoch));
        }
        if !draft.has_room_for(node) {
            return Err(Refused::NoRoom);
        }
        if let Some(shared) = draft.clash(node) {
            return Err(Refused::TwoNodes(shared));
        }
        let is_in = match draft.nodes.get(&id) {
            Some(known) => known.descriptor().roles().cover(node.roles()),
            None => self.admits(draft, node, admission),
        };
        let strangers = self.offered.keys().filter(|other| !draft.nodes.contains_key(other) && **other != id);
        match (is_in, draft.nodes.contains_key(&id)) {
            (true, _) => Ok(Standing::In),
            (false, true) => Ok(Standing::Waits),
            (false, false) if strangers.count() < MOST_WAITING => Ok(Standing::Waits),
            (false, false) => Err(Refused::NoRoom),
        }
    }

    /// Forgets what the document that says `current` has made good, and what nothing can become of any more.
    pub fn tidy(&mut self, current: &Contents) {
        let known = |id: &NodeId| current.nodes.get(id).map_or(0, |node| node.descriptor().sequence);
        let is_in = |id: &NodeId| current.nodes.contains_key(id);
        self.added.retain(|id, node| !is_in(id) || node.descriptor().sequence > known(id));
        self.offered.retain(|id, node| {
            let node = node.descriptor();
            let has_keys = node.mix_keys.last_key_value().is_some_and(|(last, _)| *last > current.epoch);
            has_keys && !(is_in(id) && node.sequence <= known(id))
        });
    }
}

fn shares_nothing(one: &Descriptor, other: &Descriptor) -> bool {
    one.name != other.name && one.address != other.address && one.link_key != other.link_key
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{EPOCH, contents, descriptor, key, signed};
    use super::*;

    const NEXT: Epoch = Epoch(EPOCH.0 + 1);

    /// Node `n` with a key for the next epoch too.
    fn newer(n: u8, sequence: u64) -> Descriptor {
        let mut node = descriptor(n);
        let mix_key = node.mix_keys.values().next().unwrap().clone();
        node.mix_keys.insert(NEXT, mix_key);
        Descriptor { sequence, ..node }
    }

    fn entry(n: u8, sequence: u64) -> Descriptor {
        Descriptor { mix: false, exit: None, ..newer(n, sequence) }
    }

    fn id(n: u8) -> NodeId {
        key(n).node_id()
    }

    /// A document of mixes 1 to 3 and entry 4.
    fn current() -> Contents {
        contents(1, 1, [(1, newer(1, 1)), (2, newer(2, 1)), (3, newer(3, 1)), (4, entry(4, 1))])
    }

    fn offering(offered: impl IntoIterator<Item = (u8, Descriptor)>) -> Register {
        let offered = offered.into_iter().map(|(n, node)| (id(n), signed(node, n))).collect();
        Register { offered, ..Register::default() }
    }

    fn draft(register: &Register, admission: Admission) -> Contents {
        register.draft(&current(), [7; 32], NEXT, admission)
    }

    fn names(contents: &Contents) -> Vec<&str> {
        let mut names: Vec<_> = contents.nodes.values().map(|node| node.descriptor().name.as_str()).collect();
        names.sort_unstable();
        names
    }

    const FOUR: [&str; 4] = ["node-1", "node-2", "node-3", "node-4"];

    #[test]
    fn without_news_the_next_document_says_what_the_last_one_said() {
        let next = draft(&Register::default(), Admission::Nobody);
        assert_eq!(next, Contents { epoch: NEXT, previous: Some([7; 32]), ..current() });
    }

    #[test]
    fn who_is_in_says_what_is_new_with_it_but_takes_no_role_by_that() {
        let (mix, grown) = (newer(2, 2), Descriptor { mix: true, ..entry(4, 2) });
        let authority = Descriptor { authority: Some(key(101).public()), ..newer(1, 2) };
        let register = offering([(2, mix.clone()), (4, grown.clone()), (1, authority.clone())]);
        let next = draft(&register, Admission::Entries);
        let sequence = |n| next.nodes[&id(n)].descriptor().sequence;
        assert_eq!([1, 2, 4].map(sequence), [1, 2, 1]);
        let judge = |n, node| Register::default().judge(&signed(node, n), &current_next(), Admission::Entries);
        assert_eq!(judge(2, mix), Ok(Standing::In));
        assert_eq!(judge(4, grown), Ok(Standing::Waits));
        assert_eq!(judge(1, authority), Ok(Standing::Waits));
        assert_eq!(
            judge(1, Descriptor { exit: None, ..newer(1, 2) }),
            Ok(Standing::In),
            "a role less is its own affair"
        );
    }

    fn current_next() -> Contents {
        draft(&Register::default(), Admission::Nobody)
    }

    #[test]
    fn a_stranger_waits_for_the_operator_unless_it_only_sends_and_that_is_allowed() {
        let register = offering([(8, newer(8, 1)), (9, entry(9, 1))]);
        assert_eq!(names(&draft(&register, Admission::Nobody)), FOUR);
        assert_eq!(names(&draft(&register, Admission::Entries)), [&FOUR[..], &["node-9"]].concat());
        let judge = |n, node, admission| Register::default().judge(&signed(node, n), &current_next(), admission);
        assert_eq!(judge(8, newer(8, 1), Admission::Entries), Ok(Standing::Waits));
        assert_eq!(judge(9, entry(9, 1), Admission::Nobody), Ok(Standing::Waits));
        assert_eq!(judge(9, entry(9, 1), Admission::Entries), Ok(Standing::In));
    }

    #[test]
    fn what_is_old_without_a_key_or_anothers_is_refused_by_name() {
        let register = offering([(2, newer(2, 5)), (9, entry(9, 5))]);
        let judge = |n, node| register.judge(&signed(node, n), &draft(&register, Admission::Nobody), Admission::Nobody);
        assert_eq!(judge(2, newer(2, 5)), Ok(Standing::Known));
        assert_eq!(judge(2, newer(2, 4)), Err(Refused::Old));
        assert_eq!(judge(2, Descriptor { contact: None, ..newer(2, 5) }), Err(Refused::Old));
        assert_eq!(judge(9, entry(9, 4)), Err(Refused::Old));
        assert_eq!(judge(3, Descriptor { sequence: 2, ..descriptor(3) }), Err(Refused::NoKey(NEXT)));
        for (change, shared) in [
            (Descriptor { name: "node-1".into(), ..newer(3, 2) }, Shared::Name),
            (Descriptor { address: newer(1, 1).address, ..newer(3, 2) }, Shared::Address),
            (Descriptor { link_key: newer(1, 1).link_key, ..newer(3, 2) }, Shared::LinkKey),
        ] {
            assert_eq!(judge(3, change), Err(Refused::TwoNodes(shared)));
        }
    }

    #[test]
    fn a_member_that_takes_anothers_name_stays_what_it_was_whoever_comes_first() {
        for (squatter, victim) in [(1, 2), (2, 1), (4, 3), (3, 4)] {
            let stolen = Descriptor { name: format!("node-{victim}"), ..draft_of(squatter) };
            let next = draft(&offering([(squatter, stolen)]), Admission::Entries);
            assert_eq!(names(&next), FOUR, "{squatter}");
        }
    }

    fn draft_of(n: u8) -> Descriptor {
        Descriptor { sequence: 2, ..current().nodes[&id(n)].descriptor().clone() }
    }

    #[test]
    fn whom_the_operator_lets_in_takes_the_place_of_whom_nobody_looked_at_only() {
        for (name, is_in) in [("node-4", true), ("node-1", false)] {
            let mut register = Register::default();
            register.added.insert(id(9), signed(Descriptor { name: name.into(), ..newer(9, 1) }, 9));
            let next = draft(&register, Admission::Nobody);
            assert_eq!(next.nodes.contains_key(&id(9)), is_in, "{name}");
            assert_eq!(names(&next), FOUR);
        }
        let mut register = Register::default();
        register.added.insert(id(4), signed(Descriptor { mix: true, ..entry(4, 2) }, 4));
        assert!(draft(&register, Admission::Nobody).nodes[&id(4)].descriptor().mix, "a role by hand");
    }

    #[test]
    fn whom_the_operator_puts_out_stays_out_whatever_it_hands_in() {
        let mut register = offering([(2, newer(2, 2)), (4, entry(4, 2))]);
        register.removed.extend([id(2), id(4)]);
        let next = draft(&register, Admission::Entries);
        assert_eq!(names(&next), ["node-1", "node-3"]);
        assert_eq!(register.judge(&signed(newer(2, 3), 2), &next, Admission::Entries), Ok(Standing::Waits));
    }

    #[test]
    fn an_entry_without_a_key_is_dropped_and_a_mix_without_one_stays() {
        let old = |n: u8, node: Descriptor| (n, Descriptor { mix_keys: descriptor(n).mix_keys, ..node });
        let current = contents(1, 1, [old(1, newer(1, 1)), old(4, entry(4, 1))]);
        let next = Register::default().draft(&current, [7; 32], NEXT, Admission::Entries);
        assert_eq!(names(&next), ["node-1"]);
        let back = offering([(4, entry(4, 2))]).draft(&current, [7; 32], NEXT, Admission::Nobody);
        assert_eq!(names(&back), ["node-1", "node-4"], "it has new ones");
    }

    #[test]
    fn strangers_fill_neither_the_document_nor_the_waiting_room() {
        // No signature is asked for here, and drawing this many identities would take long.
        let many = |count: usize| {
            let mut register = Register::default();
            for n in 0..count {
                let mut id = [0; 32];
                id[..8].copy_from_slice(&n.to_be_bytes());
                register.offered.insert(NodeId(id), signed(entry(9, 1), 9));
            }
            register
        };
        let judge = |count| many(count).judge(&signed(newer(8, 1), 8), &current_next(), Admission::Nobody);
        assert_eq!((judge(MOST_WAITING - 1), judge(MOST_WAITING)), (Ok(Standing::Waits), Err(Refused::NoRoom)));
        // One is in already.
        for (more, standing) in [(MOST_ENTRIES - 2, Standing::In), (MOST_ENTRIES - 1, Standing::Waits)] {
            let mut full = current_next();
            full.nodes.extend(many(more).offered);
            let judged = Register::default().judge(&signed(entry(8, 1), 8), &full, Admission::Entries);
            assert_eq!(judged, Ok(standing), "{more}");
        }
    }

    #[test]
    fn what_a_document_has_made_good_is_forgotten() {
        let mut register = offering([(1, newer(1, 1)), (2, newer(2, 2)), (9, descriptor(9))]);
        register.added.insert(id(3), signed(newer(3, 1), 3));
        register.added.insert(id(8), signed(newer(8, 1), 8));
        register.removed.insert(id(7));
        register.tidy(&current());
        assert!(register.offered.keys().eq([&id(2)]) && register.added.keys().eq([&id(8)]));
        assert!(register.removed.contains(&id(7)));
    }
}
