//! `cid:` references: they follow the Content-IDs, which are renamed because the old ones name program, host and time.

use super::content::Transfer;
use super::content_type::Parameters;
use super::names::Names;
use super::parts::{MAX_DEPTH, MAX_PARTS};
use super::source::{Part, split, without_blank_lines};
use std::collections::{BTreeMap, BTreeSet};

/// Longest id that is looked at.
const MAX_ID: usize = 500;

/// The Content-IDs of a mail, as a tree of their bytes: how far a text agrees with one of them is found in one pass.
#[derive(Default)]
pub(super) struct Ids {
    steps: BTreeMap<(usize, u8), usize>,
    ends: BTreeSet<usize>,
}

impl Ids {
    /// The ids of `mail` and of all parts and mails in it.
    pub(super) fn of(mail: &Part<'_>) -> Self {
        let mut ids = Self::default();
        ids.collect(mail, "text/plain", 0);
        ids
    }

    /// Errors are passed over: who builds the mail anew meets them too.
    fn collect(&mut self, part: &Part<'_>, default: &str, depth: usize) {
        if depth > MAX_DEPTH || self.ends.len() > MAX_PARTS {
            return;
        }
        if let Some(id) = part.value("content-id") {
            self.add(&bare(id));
        }
        let of = Parameters::media_type(part.value("content-type"), default);
        match (of.kind.as_str(), of.sub.as_str()) {
            ("multipart", sub) => {
                let default = if sub == "digest" { "message/rfc822" } else { "text/plain" };
                let boundary = of.get("boundary").map(str::trim_end).unwrap_or_default();
                let children = split(part.body, boundary.as_bytes()).unwrap_or_default();
                for child in children.iter().take(MAX_PARTS).filter_map(|child| Part::inner(child).ok()) {
                    self.collect(&child, default, depth + 1);
                }
            }
            ("message", "rfc822" | "global" | "news") => {
                let raw = Transfer::read(part.value("content-transfer-encoding")).decode(part.body).unwrap_or_default();
                if let Ok(mail) = Part::inner(without_blank_lines(&raw)) {
                    self.collect(&mail, "text/plain", depth + 1);
                }
            }
            _ => {}
        }
    }

    fn add(&mut self, id: &str) {
        if !(1..=MAX_ID).contains(&id.len()) {
            return;
        }
        let mut at = 0;
        for b in id.bytes() {
            let new = self.steps.len() + 1;
            at = *self.steps.entry((at, b)).or_insert(new);
        }
        self.ends.insert(at);
    }

    /// The longest id that `text` begins with, and what follows it.
    fn first<'t>(&self, text: &'t [u8]) -> Option<(&'t [u8], &'t [u8])> {
        let (mut at, mut length, mut found) = (0, 0, None);
        while let Some((b, width)) = decoded(text.get(length..).unwrap_or_default()) {
            let Some(&next) = self.steps.get(&(at, b)) else { break };
            (at, length) = (next, length + width);
            if self.ends.contains(&at) {
                found = text.split_at_checked(length);
            }
        }
        found
    }
}

/// The first byte that `text` means, and how many it takes to say it.
fn decoded(text: &[u8]) -> Option<(u8, usize)> {
    for (entity, b) in ENTITIES {
        if text.starts_with(entity) {
            return Some((b, entity.len()));
        }
    }
    let (&b, after) = text.split_first()?;
    let escaped = after.get(..2).filter(|_| b == b'%').and_then(hex_byte);
    Some(escaped.map_or((b, 1), |b| (b, 3)))
}

/// The entities of HTML that an id is written with.
const ENTITIES: [(&[u8], u8); 3] = [(b"&amp;", b'&'), (b"&#64;", b'@'), (b"&#x40;", b'@')];
/// Those that end it.
const QUOTES: [&str; 8] = ["&quot;", "&apos;", "&#34;", "&#39;", "&#x22;", "&#x27;", "&lt;", "&gt;"];

/// Renames every `cid:` reference in a text. In HTML it stands in an attribute or a style; in plain text, Outlook
/// writes `[cid:…]` where a picture was. One to a part of the mail is renamed wherever it stands; of others, the words
/// "cid:" in prose are left alone.
pub(super) fn rename(text: &[u8], ids: &Ids, names: &Names<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, old, after)) = next_reference(rest, ids) {
        out.extend_from_slice(before);
        out.extend_from_slice(b"cid:");
        out.extend_from_slice(names.content_id(&canonical(old)).as_bytes());
        rest = after;
    }
    out.extend_from_slice(rest);
    out
}

/// What stands before the next reference, its id, and what follows it.
fn next_reference<'t>(text: &'t [u8], ids: &Ids) -> Option<(&'t [u8], &'t [u8], &'t [u8])> {
    let mut from = 0;
    loop {
        let at = from + text.get(from..)?.windows(4).position(|w| w.eq_ignore_ascii_case(b"cid:"))?;
        from = at + 4;
        let (before, found) = (text.get(..at)?, text.get(from..)?);
        if let Some((id, after)) = ids.first(found) {
            return Some((before, id, after));
        }
        let last = before.last().copied().unwrap_or_default();
        if last.is_ascii_alphanumeric() {
            continue;
        }
        // No further than an id is long, or a text of nothing but references takes the square of its length.
        let near = found.get(..found.len().min(MAX_ID + 1))?;
        let ends = |b: &u8| b.is_ascii_whitespace() || b"\"'<>()[]\\".contains(b);
        let near = near.get(..near.iter().position(ends).unwrap_or(near.len()))?;
        let quote = |at: &usize| QUOTES.iter().any(|q| near.get(*at..).is_some_and(|n| n.starts_with(q.as_bytes())));
        let (id, after) = found.split_at_checked((0..near.len()).find(quote).unwrap_or(near.len()))?;
        // Where no quote or the like stands before it, it may be prose, unless it looks like an id.
        let is_reference = b"\"'=([".contains(&last) || canonical(id).contains('@');
        if is_reference && (1..=MAX_ID).contains(&id.len()) {
            return Some((before, id, after));
        }
    }
}

/// The id in a Content-ID, which stands in angle brackets or, by mistake, without.
pub(super) fn bare(value: &[u8]) -> String {
    let id = value.split(|&b| b == b'<').next_back().unwrap_or_default();
    let id = id.split(|&b| b == b'>').next().unwrap_or_default();
    canonical(id.trim_ascii())
}

/// The id a reference means: percent signs and the entities of HTML undone.
fn canonical(id: &[u8]) -> String {
    let mut plain = Vec::with_capacity(id.len());
    let mut rest = id;
    while let Some((b, width)) = decoded(rest) {
        plain.push(b);
        rest = rest.get(width..).unwrap_or_default();
    }
    String::from_utf8_lossy(&plain).into_owned()
}

fn hex_byte(digits: &[u8]) -> Option<u8> {
    let digit = |at: usize| digits.get(at).and_then(|&b| char::from(b).to_digit(16));
    u8::try_from(digit(0)? * 16 + digit(1)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_renamed_as_their_ids_are_and_prose_is_not() {
        let names = Names::new(&[7; 32], "fog.example");
        let new = names.content_id("a@b");
        for (text, want) in [
            ("<img src=\"cid:a@b\">", format!("<img src=\"cid:{new}\">")),
            ("<img src='CID:a@b'>", format!("<img src='cid:{new}'>")),
            ("<img src=cid:a%40b width=1>", format!("<img src=cid:{new} width=1>")),
            ("url(cid:a&#64;b)", format!("url(cid:{new})")),
            ("[cid:a@b] see cid:a@b", format!("[cid:{new}] see cid:{new}")),
            ("<img src=\"cid:a@b", format!("<img src=\"cid:{new}")),
            ("the cid: scheme, acid:rain, \"cid:\" cid:x", "the cid: scheme, acid:rain, \"cid:\" cid:x".into()),
            ("", String::new()),
        ] {
            assert_eq!(String::from_utf8(rename(text.as_bytes(), &Ids::default(), &names)).unwrap(), want);
        }
        assert_eq!(canonical(b"a%4"), "a%4");
        assert_eq!(canonical(b"%zz%+1%41"), "%zz%+1A");
    }
}
