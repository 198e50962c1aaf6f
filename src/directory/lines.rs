//! Reading text that may be written in one way only, line by line.
//!
//! Descriptors and documents are TOML that any TOML reader takes, but of all the ways to write them fog takes one:
//! each line is expected by name, in order. So an unknown, repeated or missing key needs no check of its own, and
//! what was read is written back byte for byte.

use super::params::BadParams;
use super::units;
use data_encoding::{BASE64, Encoding, HEXLOWER};
use thiserror::Error;

/// Where a text is not what it has to be, and how.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("line {line}: {why}")]
pub struct Malformed {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub why: Wrong,
}

/// What is wrong with a line. Repeats nothing of the text, which a stranger wrote.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Wrong {
    /// More bytes than there may be; nothing was read.
    #[error("the text is longer than it may be")]
    TooLong,
    /// An unknown, repeated, missing or misplaced line.
    #[error("`{0}` must stand here")]
    Expected(&'static str),
    /// The value is outside its bounds, or written in another way than the one there is.
    #[error("the value of `{0}` is wrong, or not written as it has to be")]
    Value(&'static str),
    /// The parameters make no network.
    #[error("{0}")]
    Params(BadParams),
    /// A mix key that FIPS 203 (7.2) refuses, or keys that are no unbroken run of epochs.
    #[error("a bad mix key")]
    MixKey,
    /// The descriptor was not signed by the identity in it, or was changed since.
    #[error("the node's own signature does not hold")]
    OwnSignature,
    /// Entries out of their order, or one twice.
    #[error("this entry is not in its order, or there twice")]
    Order,
    /// A threshold that lying authorities could get round.
    #[error("the threshold does not fit the number of authorities")]
    Threshold,
}

/// A reader over the lines of a text; every line ends in a line feed.
pub(super) struct Lines<'a> {
    rest: &'a str,
    offset: usize,
    number: usize,
}

impl<'a> Lines<'a> {
    pub(super) fn new(text: &'a str, max: usize) -> Result<Self, Malformed> {
        let long = Malformed { line: 1, why: Wrong::TooLong };
        if text.len() > max { Err(long) } else { Ok(Self { rest: text, offset: 0, number: 0 }) }
    }

    /// The next line, which stays the next one.
    pub(super) fn peek(&self) -> Option<&'a str> {
        self.rest.split_once('\n').map(|(line, _)| line)
    }

    /// Bytes read so far.
    pub(super) const fn offset(&self) -> usize {
        self.offset
    }

    /// Whether nothing is left, not even half a line.
    pub(super) const fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// `why`, in the line read last.
    pub(super) fn wrong(&self, why: Wrong) -> Malformed {
        Malformed { line: self.number.max(1), why }
    }

    /// `what` was expected in the next line.
    pub(super) const fn expected(&self, what: &'static str) -> Malformed {
        Malformed { line: self.number + 1, why: Wrong::Expected(what) }
    }

    /// The rest of the next line behind `start`; `None` (and nothing is read) if it starts otherwise.
    pub(super) fn after(&mut self, start: &str) -> Option<&'a str> {
        let (line, rest) = self.rest.split_once('\n')?;
        let value = line.strip_prefix(start)?;
        self.offset += line.len() + 1;
        self.number += 1;
        self.rest = rest;
        Some(value)
    }

    /// Whether an empty line and then `header` come next; the empty line is read then.
    pub(super) fn block(&mut self, header: &str) -> bool {
        let found = self.rest.strip_prefix('\n').and_then(|rest| rest.strip_prefix(header));
        found.is_some_and(|rest| rest.starts_with('\n')) && self.after("").is_some()
    }

    /// A line that is `want` and nothing else.
    pub(super) fn literal(&mut self, want: &'static str) -> Result<(), Malformed> {
        let found = if self.peek() == Some(want) { self.after(want) } else { None };
        found.map(drop).ok_or(self.expected(want))
    }

    /// `key = value`, the value as it stands; `None` if the next line has another key.
    fn raw(&mut self, key: &'static str) -> Option<&'a str> {
        let line = self.peek()?;
        let (found, value) = line.split_once(" = ")?;
        (found == key).then(|| self.after(line))?;
        Some(value)
    }

    /// `key = value` with whatever `parse` makes of the value; `None` if the next line has another key.
    pub(super) fn optional<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&'a str) -> Option<T>,
    ) -> Result<Option<T>, Malformed> {
        let Some(value) = self.raw(key) else { return Ok(None) };
        parse(value).map(Some).ok_or(self.wrong(Wrong::Value(key)))
    }

    /// As `optional`, but it has to be there.
    pub(super) fn value<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&'a str) -> Option<T>,
    ) -> Result<T, Malformed> {
        self.optional(key, parse)?.ok_or(self.expected(key))
    }

    /// `key = "text"` with whatever `parse` makes of the text.
    pub(super) fn string<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&'a str) -> Option<T>,
    ) -> Result<T, Malformed> {
        self.value(key, |value| parse(unquote(value)?))
    }

    /// `key = 17`; no more than any TOML reader takes, 2⁶³ − 1.
    pub(super) fn number(&mut self, key: &'static str) -> Result<u64, Malformed> {
        self.value(key, |value| units::parse_number(value).filter(|n| i64::try_from(*n).is_ok()))
    }

    /// Whether there is a `key = true`; `false` is never written.
    pub(super) fn flag(&mut self, key: &'static str) -> Result<bool, Malformed> {
        let flag = self.optional(key, |value| (value == "true").then_some(true))?;
        Ok(flag.unwrap_or(false))
    }
}

/// Whether `text` can stand between quotes without an escape: printable ASCII but the quote and the backslash.
pub(super) fn is_plain(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, b' '..=b'~') && b != b'"' && b != b'\\')
}

/// What stands between the quotes of a TOML string that needs no escape.
pub(super) fn unquote(value: &str) -> Option<&str> {
    value.strip_prefix('"')?.strip_suffix('"').filter(|text| is_plain(text))
}

/// The strings of `["a", "b"]`.
pub(super) fn unquote_list(value: &str) -> Option<Vec<&str>> {
    let inside = value.strip_prefix('[')?.strip_suffix(']')?;
    if inside.is_empty() {
        return Some(Vec::new());
    }
    inside.split(", ").map(unquote).collect()
}

/// `["a", "b"]`.
pub(super) fn quote_list<'s>(items: impl IntoIterator<Item = &'s str>) -> String {
    let quoted: Vec<_> = items.into_iter().map(|item| format!("\"{item}\"")).collect();
    format!("[{}]", quoted.join(", "))
}

/// What `parse` makes of `text`, if `write` gives that text back.
pub(super) fn canonical<T: Copy>(
    text: &str,
    parse: impl FnOnce(&str) -> Option<T>,
    write: impl FnOnce(T) -> String,
) -> Option<T> {
    parse(text).filter(|value| write(*value) == text)
}

/// Bytes in base64: keys and signatures.
pub(super) fn base64(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

/// Exactly `N` bytes in base64.
pub(super) fn parse_base64<const N: usize>(text: &str) -> Option<[u8; N]> {
    parse_encoded(&BASE64, text)
}

/// Exactly `N` bytes in lower-case hex: ids and hashes.
pub(super) fn parse_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    parse_encoded(&HEXLOWER, text)
}

fn parse_encoded<const N: usize>(encoding: &Encoding, text: &str) -> Option<[u8; N]> {
    let fits = text.len() == encoding.encode_len(N);
    fits.then(|| encoding.decode(text.as_bytes()).ok())??.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_only_if_it_is_the_expected_one() {
        let mut lines = Lines::new("[a]\nn = 7\ns = \"x y\"\n", 100).unwrap();
        assert_eq!(lines.literal("[b]"), Err(Malformed { line: 1, why: Wrong::Expected("[b]") }));
        assert_eq!(lines.literal("[a]"), Ok(()));
        assert_eq!(lines.number("m"), Err(Malformed { line: 2, why: Wrong::Expected("m") }));
        assert_eq!(lines.number("n"), Ok(7));
        assert_eq!(lines.flag("f"), Ok(false));
        assert_eq!(lines.string("s", |_| None::<()>), Err(Malformed { line: 3, why: Wrong::Value("s") }));
        assert!(lines.is_at_end());
    }

    #[test]
    fn half_a_line_is_no_line() {
        let mut lines = Lines::new("n = 7", 100).unwrap();
        assert_eq!(lines.number("n"), Err(Malformed { line: 1, why: Wrong::Expected("n") }));
        assert!(!lines.is_at_end());
    }

    #[test]
    fn strings_need_no_escape() {
        assert_eq!(unquote("\"a b\""), Some("a b"));
        for bad in ["a", "\"a", "\"", "\"a\\n\"", "\"a\"b\"", "\"\t\"", "\"é\""] {
            assert_eq!(unquote(bad), None, "{bad}");
        }
        assert_eq!(unquote_list(r#"["a", "b"]"#), Some(vec!["a", "b"]));
        assert_eq!(unquote_list("[]"), Some(vec![]));
        for bad in [r#"["a","b"]"#, r#"["a", ]"#, r#"["a""#, "[,]"] {
            assert_eq!(unquote_list(bad), None, "{bad}");
        }
    }

    #[test]
    fn bytes_have_one_spelling() {
        assert_eq!(parse_base64::<1>("AA=="), Some([0]));
        for bad in ["AB==", "AA", "AA=\n", "AAAA", ""] {
            assert_eq!(parse_base64::<1>(bad), None, "{bad}");
        }
        assert_eq!(parse_hex::<2>("00ff"), Some([0, 255]));
        assert_eq!(parse_hex::<2>("00FF"), None);
    }
}
