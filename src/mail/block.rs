//! Recipients who asked not to be written to, as keyed hashes: who has the list and not the node's key can't tell
//! whose wish it is, nor try addresses on it.

use super::address::{Address, AddressError};
use crate::secret::Secret;
use data_encoding::HEXLOWER;
use std::borrow::Cow;
use std::collections::BTreeMap;
use thiserror::Error;

/// The longest file of them that is read, in bytes: about 80,000.
pub const MAX_FILE: u64 = 4 << 20;

/// Names the key that is derived for it (BLAKE3, `derive_key`).
const CONTEXT: &str = "fog 2026-11 blocked recipients";

/// What the file begins with.
const HEADER: &str = "# fog block list 1: made by fog block; a line is a day and a keyed hash. Kept for the node key ";

const HASH_LEN: usize = 16;
type Hash = [u8; HASH_LEN];

/// Who is not to be written to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Who {
    /// One mailbox, in whatever case it is written, however its domain is, and with whatever `+DETAIL`.
    Mailbox(Address),
    /// All mailboxes of a domain and of what lies under it.
    Domain(String),
}

impl Who {
    /// Reads `ADDRESS`, or `@DOMAIN`.
    ///
    /// # Errors
    /// `AddressError`.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let Some(domain) = text.strip_prefix('@') else { return Address::parse(text).map(Self::Mailbox) };
        // Through the reader of addresses, so that a domain is written here as it is there.
        Address::parse(&format!("x@{domain}")).map(|address| Self::Domain(address.domain().to_owned()))
    }

    fn canonical(&self) -> String {
        match self {
            Self::Mailbox(address) => mailbox(address.local(), address.domain()),
            Self::Domain(domain) => format!("@{}", looked_up(domain)),
        }
    }
}

/// A text that is no block list of this node. Carries nothing of it.
#[derive(Debug, Error, PartialEq, Eq, Clone, Copy)]
pub enum NotAList {
    /// It was made by nobody, or by hand.
    #[error("line {0}: not as fog block writes it")]
    Malformed(usize),
    /// It was made with another node's key: nothing in it could be known again.
    #[error("it was made with another node key: what is in it can't be known again")]
    OtherKey,
}

/// Who is not to be written to.
#[derive(Debug)]
pub struct BlockList {
    key: Secret<32>,
    /// Each with the day on which it was added, as in `2026-11-23`.
    hashes: BTreeMap<Hash, String>,
}

impl BlockList {
    /// An empty list of the node with this link key.
    #[must_use]
    pub fn new(node: &Secret<32>) -> Self {
        Self {
            key: Secret::filled(|bytes| *bytes = blake3::derive_key(CONTEXT, node.expose())),
            hashes: BTreeMap::new(),
        }
    }

    /// Reads what `to_text` writes.
    ///
    /// # Errors
    /// See `NotAList`.
    pub fn parse(text: &str, node: &Secret<32>) -> Result<Self, NotAList> {
        let mut list = Self::new(node);
        let mut lines = text.lines();
        let print = lines.next().and_then(|line| line.strip_prefix(HEADER)).ok_or(NotAList::Malformed(1))?;
        if print != list.print() {
            return Err(NotAList::OtherKey);
        }
        for (number, line) in lines.enumerate() {
            let (day, hash) = entry(line).ok_or(NotAList::Malformed(number + 2))?;
            list.hashes.insert(hash, day);
        }
        Ok(list)
    }

    /// The file.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = format!("{HEADER}{}\n", self.print());
        for (hash, day) in &self.hashes {
            text.push_str(&format!("{day} {}\n", HEXLOWER.encode(hash)));
        }
        text
    }

    /// Adds `who` on `day`; false if that was done before.
    pub fn add(&mut self, who: &Who, day: &str) -> bool {
        let hash = self.hash(&who.canonical());
        let new = !self.hashes.contains_key(&hash);
        if new {
            self.hashes.insert(hash, day.to_owned());
        }
        new
    }

    /// Takes `who` out; false if they weren't in it.
    pub fn remove(&mut self, who: &Who) -> bool {
        self.hashes.remove(&self.hash(&who.canonical())).is_some()
    }

    /// Whether nothing may be sent to `recipient`.
    #[must_use]
    pub fn blocks(&self, recipient: &Address) -> bool {
        if self.hashes.is_empty() {
            return false;
        }
        let has = |text: &str| self.hashes.contains_key(&self.hash(text));
        let domain = looked_up(recipient.domain());
        let mut domains = std::iter::successors(Some(&*domain), |domain| domain.split_once('.').map(|(_, up)| up));
        has(&mailbox(recipient.local(), recipient.domain())) || domains.any(|domain| has(&format!("@{domain}")))
    }

    /// Each entry's day and hash, in the order of the hashes.
    pub fn entries(&self) -> impl Iterator<Item = (&str, String)> {
        self.hashes.iter().map(|(hash, day)| (day.as_str(), HEXLOWER.encode(hash)))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// What the key is known again by, and says nothing of it.
    fn print(&self) -> String {
        HEXLOWER.encode(&self.hash(""))
    }

    fn hash(&self, text: &str) -> Hash {
        let mut hash = [0; HASH_LEN];
        blake3::Hasher::new_keyed(self.key.expose()).update(text.as_bytes()).finalize_xof().fill(&mut hash);
        hash
    }
}

/// One spelling for all by which a mailbox is reached almost everywhere: without `+detail`, in lower case.
#[must_use]
pub fn mailbox(local: &str, domain: &str) -> String {
    let local = local.split_once('+').map_or(local, |(mailbox, _)| mailbox);
    format!("{}@{}", local.to_lowercase(), looked_up(domain))
}

/// A domain as the DNS is asked for it: `xn--bcher-kva.example` for `b\u{fc}cher.example`, and for every other spelling that
/// an MTA takes for the same. One that can't be asked for is as it is.
fn looked_up(domain: &str) -> Cow<'_, str> {
    let looked_up = idna::domain_to_ascii_cow(domain.as_bytes(), idna::AsciiDenyList::EMPTY);
    looked_up.unwrap_or(Cow::Borrowed(domain))
}

fn entry(line: &str) -> Option<(String, Hash)> {
    let (day, hash) = line.split_once(' ')?;
    let is_day = day.len() == 10
        && day.bytes().enumerate().all(|(at, b)| if at == 4 || at == 7 { b == b'-' } else { b.is_ascii_digit() });
    let hash = HEXLOWER.decode(hash.as_bytes()).ok()?.try_into().ok()?;
    is_day.then(|| (day.to_owned(), hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: &str = "2026-11-23";

    fn key(n: u8) -> Secret<32> {
        Secret::filled(|bytes| bytes.fill(n))
    }

    fn who(text: &str) -> Who {
        Who::parse(text).unwrap()
    }

    fn blocked(list: &BlockList, address: &str) -> bool {
        list.blocks(&Address::parse(address).unwrap())
    }

    #[test]
    fn a_mailbox_is_blocked_in_every_spelling_and_no_other_is() {
        let mut list = BlockList::new(&key(1));
        assert!(!blocked(&list, "alice@example.com"));
        assert!(list.add(&who("Alice+fog@Example.COM."), DAY) && !list.add(&who("alice@example.com"), DAY));
        for (address, want) in [
            ("alice@example.com", true),
            ("ALICE@example.com", true),
            ("alice+news@example.com", true),
            ("alic@example.com", false),
            ("alicefog@example.com", false),
            ("alice@mail.example.com", false),
            ("alice@example.org", false),
        ] {
            assert_eq!(blocked(&list, address), want, "{address}");
        }
        assert_eq!(list.entries().map(|(day, _)| day).collect::<Vec<_>>(), [DAY]);
        assert!(!list.add(&who("ALICE@example.com"), "2027-01-01"));
        assert_eq!(list.entries().map(|(day, _)| day).collect::<Vec<_>>(), [DAY], "the day of their first wish");
        assert!(list.remove(&who("alice@example.com")) && !list.remove(&who("alice@example.com")));
        assert!(!blocked(&list, "alice@example.com") && list.is_empty());
    }

    #[test]
    fn a_domain_is_blocked_with_all_that_lies_under_it() {
        let mut list = BlockList::new(&key(1));
        list.add(&who("@Example.com"), DAY);
        for (address, want) in [
            ("bob@example.com", true),
            ("bob@mail.example.com", true),
            ("bob@badexample.com", false),
            ("bob@com", false),
            ("bob@example.com.org", false),
        ] {
            assert_eq!(blocked(&list, address), want, "{address}");
        }
        for text in ["@", "@exa mple", "example.com", "@@example.com", "a@b@c", "@[192.0.2.1]"] {
            assert!(Who::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_domain_is_one_in_every_spelling_that_is_looked_up_alike() {
        let spellings = [
            "b\u{fc}cher.example",
            "B\u{dc}CHER.example",
            "xn--bcher-kva.example",
            "XN--BCHER-KVA.example",
            "bu\u{308}cher.example",
            "b\u{fc}cher.\u{1d41e}xample",
        ];
        for written in spellings {
            for asked in spellings {
                let mut list = BlockList::new(&key(1));
                list.add(&who(&format!("alice@{written}")), DAY);
                list.add(&who(&format!("@mail.{written}")), DAY);
                assert!(blocked(&list, &format!("alice@{asked}")), "{written} {asked}");
                assert!(blocked(&list, &format!("bob@mx.mail.{asked}")), "{written} {asked}");
                assert!(!blocked(&list, &format!("bob@{asked}")), "{written} {asked}");
            }
        }
        let mut list = BlockList::new(&key(1));
        list.add(&who("alice@xn--a.example"), DAY);
        assert!(blocked(&list, "alice@xn--a.example"), "what is no such domain is itself");
        assert!(!blocked(&list, "alice@bucher.example"));
    }

    #[test]
    fn what_is_written_is_read_back_and_says_nothing() {
        let mut list = BlockList::new(&key(1));
        list.add(&who("alice@example.com"), DAY);
        list.add(&who("@example.org"), "2026-01-02");
        let text = list.to_text();
        assert!(!text.contains("alice") && !text.contains("example"), "{text}");
        let read = BlockList::parse(&text, &key(1)).unwrap();
        assert_eq!((read.hashes == list.hashes, read.len()), (true, 2));
        assert_eq!(read.entries().filter(|(day, hash)| text.contains(&format!("{day} {hash}\n"))).count(), 2);
        assert_eq!(BlockList::parse(&text, &key(2)).unwrap_err(), NotAList::OtherKey);
    }

    #[test]
    fn a_list_that_was_edited_is_refused_with_its_line() {
        let mut list = BlockList::new(&key(1));
        list.add(&who("alice@example.com"), DAY);
        let text = list.to_text();
        for (edited, line) in [
            (String::new(), 1),
            (text.replace("list 1", "list 2"), 1),
            (format!("{text}bob@example.com\n"), 3),
            (text.replace(DAY, "yesterday"), 2),
            (text.replace(DAY, "2026-11-2x"), 2),
            (text.trim_end()[..text.len() - 2].to_owned(), 2),
            (format!("{text}\n"), 3),
        ] {
            assert_eq!(BlockList::parse(&edited, &key(1)).unwrap_err(), NotAList::Malformed(line), "{edited:?}");
        }
    }
}
