//! Where a directory document can be had.

use super::address::NodeAddress;
use super::descriptor::Descriptor;
use super::lines::{base64, parse_base64};
use std::fmt;

/// A node that can be asked for the document: where it is, and by which key it is known there. The document proves
/// itself; the key keeps who is on the way from answering in the node's place, and from reading along.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Source {
    /// Its link key.
    pub link_key: [u8; 32],
    /// Where it listens.
    pub address: NodeAddress,
}

impl Source {
    /// Reads `KEY@HOST:PORT`, the key as `link-key` stands in the node's descriptor.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (key, address) = text.split_once('@')?;
        Some(Self { link_key: parse_base64(key)?, address: NodeAddress::parse(address).ok()? })
    }

    /// The node that says this of itself.
    #[must_use]
    pub fn of(node: &Descriptor) -> Self {
        Self { link_key: node.link_key, address: node.address.clone() }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", base64(&self.link_key), self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_read_as_it_is_shown_and_no_other_way() {
        let key = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
        let text = format!("{key}@mix.example.org:9999");
        let source = Source::parse(&text).unwrap();
        assert_eq!((source.link_key, source.address.host()), ([1; 32], "mix.example.org"));
        assert_eq!(source.to_string(), text);
        for bad in [
            "",
            "mix.example.org:9999",
            "@mix.example.org:9999",
            key,
            &format!("{key}@"),
            &format!("{key}@mix.example.org"),
            &format!("{}@mix.example.org:9999", &key[..42]),
            &format!("{}F=@mix.example.org:9999", &key[..42]),
            &format!("{text}@mix.example.org:9999"),
            &format!(" {text}"),
        ] {
            assert_eq!(Source::parse(bad), None, "{bad}");
        }
    }
}
