//! A wish for a path: which nodes, where.

use crate::directory::Document;
use crate::id::NodeId;
use thiserror::Error;

/// The nodes that a path shall go along, in their places; where it names none, chance chooses.
///
/// Whoever wishes pays for it: who may choose among fewer nodes hides among fewer senders.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Chain(Vec<Option<NodeId>>);

/// Why names make no chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum ChainError {
    /// No node of the document has this name.
    #[error("the document has no node of that name")]
    Unknown,
    /// There are not as many as a path has hops.
    #[error("a chain has a name for each hop")]
    Length,
}

impl Chain {
    /// The chain of the nodes with these names, the exit last; no names are no wish.
    ///
    /// # Errors
    /// See [`ChainError`].
    pub fn of(document: &Document, names: &[Option<String>]) -> Result<Self, ChainError> {
        let find = |name: &String| {
            let mut named = document.nodes().filter(|(_, node)| node.name == *name);
            named.next().map(|(id, _)| *id).ok_or(ChainError::Unknown)
        };
        let chain = names.iter().map(|name| name.as_ref().map(find).transpose()).collect::<Result<Vec<_>, _>>()?;
        if !chain.is_empty() && chain.len() != usize::from(document.params().hops) {
            return Err(ChainError::Length);
        }
        // Any node in every place is what everybody gets.
        Ok(if chain.iter().all(Option::is_none) { Self::default() } else { Self(chain) })
    }

    /// The chain of these nodes, the exit last.
    #[must_use]
    pub const fn from_hops(hops: Vec<Option<NodeId>>) -> Self {
        Self(hops)
    }

    /// Its hops, the exit last; none if nothing is wished for.
    #[must_use]
    pub fn hops(&self) -> &[Option<NodeId>] {
        &self.0
    }

    /// Whether nothing is wished for.
    #[must_use]
    pub const fn is_any(&self) -> bool {
        self.0.is_empty()
    }

    /// The exit, if one is wished for.
    #[must_use]
    pub fn exit(&self) -> Option<&NodeId> {
        self.0.last()?.as_ref()
    }

    /// What is wished for in front of the exit, on paths of the document's length or, if there is a wish, of its own.
    pub(super) fn mixes(&self, document: &Document) -> Vec<Option<NodeId>> {
        match self.0.split_last() {
            Some((_, mixes)) => mixes.to_vec(),
            None => vec![None; usize::from(document.params().hops).saturating_sub(1)],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::fixture::{descriptor, document, key};

    #[test]
    fn names_are_looked_up_and_counted() {
        let document = document((1..=6).map(|n| (n, descriptor(n))));
        let id = |n: u8| key(n).node_id();
        let name = |n: u8| Some(document.node(&id(n)).unwrap().name.clone());
        for (names, want) in [
            (vec![], Ok(Chain::default())),
            (vec![None, None, None], Ok(Chain::default())),
            (vec![None, name(2), name(3)], Ok(Chain(vec![None, Some(id(2)), Some(id(3))]))),
            (vec![name(1), None, None], Ok(Chain(vec![Some(id(1)), None, None]))),
            (vec![None, None], Err(ChainError::Length)),
            (vec![name(1); 4], Err(ChainError::Length)),
            (vec![None, None, Some("nobody".into())], Err(ChainError::Unknown)),
            (vec![Some("nobody".into())], Err(ChainError::Unknown)),
        ] {
            assert_eq!(Chain::of(&document, &names), want, "{names:?}");
        }
    }
}
