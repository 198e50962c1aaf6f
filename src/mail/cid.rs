//! `cid:` references: they follow the Content-IDs, which are renamed because the old ones name program, host and time.

use super::names::Names;

/// Longest reference that is looked at.
const MAX_ID: usize = 500;

/// Renames every `cid:` reference in a text. In HTML it stands in an attribute or a style; in plain text, Outlook
/// writes `[cid:…]` where a picture was. The words "cid:" in prose are left alone.
pub(super) fn rename(text: &[u8], names: &Names<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, old, after)) = next_reference(rest) {
        out.extend_from_slice(before);
        out.extend_from_slice(b"cid:");
        out.extend_from_slice(names.content_id(&canonical(old)).as_bytes());
        rest = after;
    }
    out.extend_from_slice(rest);
    out
}

/// What stands before the next reference, its id, and what follows it.
fn next_reference(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let mut from = 0;
    loop {
        let at = from + text.get(from..)?.windows(4).position(|w| w.eq_ignore_ascii_case(b"cid:"))?;
        from = at + 4;
        let (before, found) = (text.get(..at)?, text.get(from..)?);
        let last = before.last().copied().unwrap_or_default();
        if !last.is_ascii_whitespace() && !b"\"'=([".contains(&last) {
            continue;
        }
        // No further than an id is long, or a text of nothing but references takes the square of its length.
        let near = found.get(..found.len().min(MAX_ID + 1))?;
        let ends = |b: &u8| b.is_ascii_whitespace() || b"\"'<>()[]\\".contains(b);
        let (id, after) = found.split_at_checked(near.iter().position(ends).unwrap_or(near.len()))?;
        // After a space it may be prose, unless it looks like an id.
        let is_reference = !last.is_ascii_whitespace() || id.contains(&b'@');
        if is_reference && (1..=MAX_ID).contains(&id.len()) {
            return Some((before, id, after));
        }
    }
}

/// The id a reference means: percent signs and the entities of HTML undone.
pub(super) fn canonical(id: &[u8]) -> String {
    let text = String::from_utf8_lossy(id).replace("&amp;", "&").replace("&#64;", "@").replace("&#x40;", "@");
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&b, after)) = rest.split_first() {
        let escaped = after.get(..2).filter(|_| b == b'%').and_then(hex_byte);
        plain.push(escaped.unwrap_or(b));
        rest = if escaped.is_some() { after.get(2..).unwrap_or_default() } else { after };
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
            assert_eq!(String::from_utf8(rename(text.as_bytes(), &names)).unwrap(), want);
        }
        assert_eq!(canonical(b"a%4"), "a%4");
        assert_eq!(canonical(b"%zz%+1%41"), "%zz%+1A");
    }
}
