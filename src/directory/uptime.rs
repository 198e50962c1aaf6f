//! How much of what is sent through a node comes on, as nodes measure it of each other, and what the document makes of it.

use super::descriptor::{Descriptor, Signed};
use super::lines::{parse_hex, quote_list, unquote_list};
use super::units::parse_number;
use crate::id::NodeId;
use std::collections::BTreeMap;
use std::fmt;

/// Steps in which it is told. What is finer would show how often the node that measured has sent through each other one,
/// and so which first hops it keeps.
const STEP: u8 = 5;
/// Most nodes that a descriptor may complain of: with them it is half as long again.
pub const MAX_MEASURED: usize = 128;
/// So many have to have measured a node before it is judged: with fewer, one that lies would be half of them.
const JUDGES: usize = 3;

/// A share of what was sent through a node, in percent: a multiple of 5 from 0 to 100.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Uptime(u8);

/// The nodes that one node has found wanting; of all others it found nothing, or nothing wrong.
pub type Measured = BTreeMap<NodeId, Uptime>;

impl Uptime {
    /// All of it.
    pub const FULL: Self = Self(100);

    /// `percent`, if it is one of the steps.
    #[must_use]
    pub const fn from_percent(percent: u8) -> Option<Self> {
        if percent <= 100 && percent.is_multiple_of(STEP) { Some(Self(percent)) } else { None }
    }

    /// The step that is nearest to `share`, which is from 0 to 1.
    #[must_use]
    pub fn nearest(share: f64) -> Self {
        let steps = (0..=100 / STEP).map(|n| n * STEP);
        let apart = |step: &u8| (f64::from(*step) - share * 100.0).abs();
        Self(steps.min_by(|a, b| apart(a).total_cmp(&apart(b))).unwrap_or(100))
    }

    /// In percent.
    #[must_use]
    pub const fn percent(self) -> u8 {
        self.0
    }
}

impl fmt::Display for Uptime {
    /// `95 %`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", self.0)
    }
}

/// `["ID 85", "ID 0"]`.
pub(super) fn measured_text(measured: &Measured) -> String {
    let items: Vec<_> = measured.iter().map(|(id, uptime)| format!("{id} {}", uptime.0)).collect();
    quote_list(items.iter().map(String::as_str))
}

/// Reads what `measured_text` wrote: ascending, none at 100 %, and not too many.
pub(super) fn parse_measured(value: &str) -> Option<Measured> {
    let items = unquote_list(value)?;
    let mut measured = Measured::new();
    for item in items {
        let (id, percent) = item.split_once(' ')?;
        let id = NodeId(parse_hex(id)?);
        let percent = u8::try_from(parse_number(percent)?).ok()?;
        let uptime = Uptime::from_percent(percent).filter(|uptime| *uptime < Uptime::FULL)?;
        let ascending = measured.last_key_value().is_none_or(|(last, _)| *last < id);
        if !ascending || measured.len() == MAX_MEASURED {
            return None;
        }
        measured.insert(id, uptime);
    }
    Some(measured)
}

/// What the document says of each node that may stand on a path: the median of what others measured of it, of two in the
/// middle the higher one. Who is an entry only has no say, since anybody may be one; nor has a node of the same family.
pub(super) fn medians(nodes: &BTreeMap<NodeId, Signed>) -> BTreeMap<NodeId, Uptime> {
    let on_paths = || nodes.values().map(Signed::descriptor).filter(|node| node.mix || node.exit.is_some());
    let judged = on_paths().filter_map(|node| {
        let mut found: Vec<Uptime> = on_paths().filter_map(|judge| judgement(judge, node)).collect();
        found.sort_unstable();
        let median = found.get(found.len() / 2).filter(|_| found.len() >= JUDGES)?;
        Some((node.id(), *median))
    });
    judged.collect()
}

fn judgement(judge: &Descriptor, node: &Descriptor) -> Option<Uptime> {
    let kin = judge.family.is_some() && judge.family == node.family;
    let measured = judge.measured.as_ref().filter(|_| !kin && judge.identity != node.identity)?;
    Some(measured.get(&node.id()).copied().unwrap_or(Uptime::FULL))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{descriptor, key, signed};
    use super::*;

    fn uptime(percent: u8) -> Uptime {
        Uptime::from_percent(percent).unwrap()
    }

    /// A node that found these wanting, by their numbers.
    fn judge(n: u8, found: &[(u8, u8)]) -> Descriptor {
        let measured = found.iter().map(|(of, percent)| (key(*of).node_id(), uptime(*percent))).collect();
        Descriptor { measured: Some(measured), ..descriptor(n) }
    }

    /// What a document of these nodes says of node 1.
    fn of_the_first(nodes: impl IntoIterator<Item = (u8, Descriptor)>) -> Option<u8> {
        let nodes = nodes.into_iter().map(|(n, node)| (key(n).node_id(), signed(node, n))).collect();
        medians(&nodes).get(&key(1).node_id()).map(|uptime| uptime.percent())
    }

    #[test]
    fn shares_are_told_in_steps_of_five_percent() {
        for (share, percent) in [(0.0, 0), (0.024, 0), (0.026, 5), (0.874, 85), (0.876, 90), (0.98, 100), (1.0, 100)] {
            assert_eq!(Uptime::nearest(share), uptime(percent), "{share}");
        }
        assert_eq!([4, 101, 105, 255].map(Uptime::from_percent), [None; 4]);
    }

    #[test]
    fn what_was_measured_is_read_back_and_written_in_one_way_only() {
        let [a, b] = [NodeId([1; 32]), NodeId([2; 32])];
        let measured = Measured::from([(a, uptime(85)), (b, uptime(0))]);
        assert_eq!(parse_measured(&measured_text(&measured)), Some(measured));
        assert_eq!(parse_measured("[]"), Some(Measured::new()));
        let line = |items: &[String]| quote_list(items.iter().map(String::as_str));
        for items in [
            vec![format!("{a} 100")],
            vec![format!("{a} 84")],
            vec![format!("{a} 05")],
            vec![format!("{a}  5")],
            vec![format!("{a}")],
            vec![format!("{} 5", a.to_string().to_uppercase().replace('0', "A"))],
            vec![format!("{a} 5"), format!("{a} 5")],
            vec![format!("{b} 5"), format!("{a} 5")],
        ] {
            assert_eq!(parse_measured(&line(&items)), None, "{items:?}");
        }
        let many = |n: usize| -> Vec<_> { (0..n).map(|i| format!("{i:064x} 5")).collect() };
        assert!(parse_measured(&line(&many(MAX_MEASURED))).is_some());
        assert_eq!(parse_measured(&line(&many(MAX_MEASURED + 1))), None);
    }

    #[test]
    fn the_median_counts_and_neither_one_liar_nor_half_of_the_judges_can_change_it() {
        let network = |found: &[u8]| {
            let judges = (2..).zip(found).map(|(n, percent)| match percent {
                100 => (n, judge(n, &[])),
                percent => (n, judge(n, &[(1, *percent)])),
            });
            of_the_first(judges.chain([(1, descriptor(1))]))
        };
        assert_eq!(network(&[0, 0]), None, "two are too few to judge");
        assert_eq!(network(&[0, 100, 100]), Some(100), "one lies");
        assert_eq!(network(&[0, 0, 100]), Some(0));
        assert_eq!(network(&[0, 0, 100, 100]), Some(100), "half of them lie");
        assert_eq!(network(&[70, 80, 85, 90, 95]), Some(85));
    }

    #[test]
    fn entries_kin_and_the_node_itself_have_no_say() {
        let judges = || (2..=4).map(|n| (n, judge(n, &[(1, 50)])));
        let all = |more: Vec<(u8, Descriptor)>| of_the_first(judges().chain([(1, descriptor(1))]).chain(more));
        assert_eq!(all(vec![]), Some(50));
        let entry = |n| (n, Descriptor { mix: false, exit: None, ..judge(n, &[]) });
        assert_eq!(all((5..=9).map(entry).collect()), Some(50), "anybody may be an entry");
        let kin = Some("kin".to_owned());
        let of_kin = |n| (n, Descriptor { family: kin.clone(), ..judge(n, &[]) });
        let node = Descriptor { family: kin.clone(), ..judge(1, &[]) };
        assert_eq!(of_the_first(judges().chain((5..=9).map(of_kin)).chain([(1, node)])), Some(50));
        let silent = (5..=9).map(|n| (n, descriptor(n)));
        assert_eq!(all(silent.collect()), Some(50), "who has measured nothing yet says nothing");
    }

    #[test]
    fn nobody_is_judged_who_stands_on_no_path() {
        let entry = Descriptor { mix: false, exit: None, ..descriptor(1) };
        assert_eq!(of_the_first((2..=5).map(|n| (n, judge(n, &[(1, 0)]))).chain([(1, entry)])), None);
    }
}
