//! Header fields: decoded when read, encoded anew when written. Nothing of a field is ever copied as it stands.

use data_encoding::BASE64;
use mail_builder::headers::{Header as _, text::Text};
use mail_parser::{HeaderValue, parsers::MessageStream};

/// Longest text taken from one field. A subject is shorter; what is longer is not worth a reader's time.
const MAX_TEXT: usize = 2_000;
/// Longest value that is decoded for it: several times as long when encoded.
const MAX_VALUE: usize = 16 * 1024;
/// Bytes of text in one encoded word: 60 characters of base64, 72 with its frame (at most 75, RFC 2047).
const WORD_BYTES: usize = 45;

/// `value` as mail-parser's field readers want it: ended, and with no control characters but those of folding.
pub(super) fn as_field(value: &[u8]) -> Vec<u8> {
    let plain = |&b: &u8| if b.is_ascii_control() && !matches!(b, b'\t' | b'\r' | b'\n') { b' ' } else { b };
    value.iter().map(plain).chain(*b"\r\n").collect()
}

/// The text of an unstructured field: unfolded, encoded words decoded, control characters (an encoded word can hold a
/// line end) turned to spaces.
pub(super) fn text(value: &[u8]) -> String {
    let value = value.get(..value.len().min(MAX_VALUE)).unwrap_or_default();
    match MessageStream::new(&as_field(value)).parse_unstructured() {
        HeaderValue::Text(text) => tidy(&text),
        _ => String::new(),
    }
}

fn tidy(text: &str) -> String {
    let ends_line = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    let plain: String = text.chars().map(|c| if ends_line(c) { ' ' } else { c }).collect();
    let cut = plain.floor_char_boundary(MAX_TEXT);
    plain.get(..cut).unwrap_or_default().trim().to_owned()
}

/// The entries of a comma-separated field that `good` takes; comments and all else are left out.
pub(super) fn list(value: &[u8], good: fn(&str) -> bool) -> Vec<String> {
    let text = String::from_utf8_lossy(value);
    text.split(',').map(str::trim).filter(|entry| good(entry)).map(str::to_owned).collect()
}

/// Whether `text` is the name of a newsgroup (RFC 5536, 3.1.4), or `poster`.
pub(super) fn is_newsgroup(text: &str) -> bool {
    let component = |c: &str| !c.is_empty() && c.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-_".contains(&b));
    text.len() <= 100 && text.split('.').all(component)
}

/// Whether `text` is a language tag (RFC 5646) of language, script and region. What could follow is free text.
pub(super) fn is_language(text: &str) -> bool {
    let mut tags = text.split('-');
    let language = tags.next().is_some_and(|tag| (2..=3).contains(&tag.len()) && is_alphabetic(tag));
    let others = |tag: &str| tag.len() <= 4 && tag.len() >= 2 && tag.bytes().all(|b| b.is_ascii_alphanumeric());
    language && text.len() <= 12 && tags.all(others)
}

fn is_alphabetic(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphabetic())
}

/// Writes `name: value` as it stands. `value` must be one line of at most 990 bytes.
pub(super) fn write_line(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
}

/// Writes `name: ` and `entries`, one more a line when the line is full.
pub(super) fn write_list(out: &mut Vec<u8>, name: &str, entries: &[String], separator: &str) {
    out.extend_from_slice(format!("{name}:").as_bytes());
    let mut column = name.len() + 1;
    for (i, entry) in entries.iter().enumerate() {
        if i > 0 {
            out.extend_from_slice(separator.as_bytes());
            column += separator.len();
        }
        if column + 1 + entry.len() > 76 && i > 0 {
            out.extend_from_slice(b"\r\n");
            column = 0;
        }
        out.push(b' ');
        out.extend_from_slice(entry.as_bytes());
        column += 1 + entry.len();
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes an unstructured field, in encoded words where ASCII doesn't do.
pub(super) fn write_text(out: &mut Vec<u8>, name: &str, text: &str) {
    out.extend_from_slice(format!("{name}: ").as_bytes());
    if text.contains("=?") {
        // mail-builder would leave this as it is, and a reader would decode what was never encoded.
        write_words(out, text);
    } else {
        Text::new(text).write_header(out, name.len() + 2);
    }
}

fn write_words(out: &mut Vec<u8>, text: &str) {
    let mut rest = text;
    while !rest.is_empty() {
        let (word, after) = rest.split_at(rest.floor_char_boundary(WORD_BYTES));
        out.extend_from_slice(format!("=?utf-8?B?{}?=\r\n", BASE64.encode(word.as_bytes())).as_bytes());
        if !after.is_empty() {
            out.push(b' ');
        }
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_is_decoded_and_can_hold_no_line_end() {
        for (value, want) in [
            (&b" plain"[..], "plain"),
            (b" folded\r\n over\r\n\tlines", "folded over lines"),
            (b" =?utf-8?Q?caf=C3=A9?= =?iso-8859-1?Q?_cr=E8me?=", "caf\u{e9} cr\u{e8}me"),
            (b" =?iso-2022-jp?B?GyRCJUYlOSVIGyhC?=", "\u{30c6}\u{30b9}\u{30c8}"),
            (b" =?utf-8?Q?a=0D=0ABcc:_x?=", "a  Bcc: x"),
            (b" =?utf-8?Q?a=00b=E2=80=A8c?=", "a b c"),
            (b" a\rb\0c", "a b c"),
            (b"", ""),
        ] {
            assert_eq!(text(value), want, "{:?}", String::from_utf8_lossy(value));
        }
        assert_eq!(text(&[b'x'; 9_000]).len(), MAX_TEXT);
    }

    #[test]
    fn lists_keep_what_is_well_formed() {
        assert_eq!(
            list(b" alt.test,\r\n comp.lang.c++ , (canary) x, a..b, alt.test (canary)", is_newsgroup),
            ["alt.test", "comp.lang.c++"]
        );
        assert_eq!(
            list(b" de, en-US, zh-Hant-TW, x-canary, en-x-canary, i-default, de (canary)", is_language),
            ["de", "en-US", "zh-Hant-TW"]
        );
    }

    #[test]
    fn a_long_list_is_folded_at_its_entries() {
        let mut out = Vec::new();
        write_list(&mut out, "Newsgroups", &vec!["alt.anonymous.messages".to_owned(); 5], ",");
        let lines = out.split(|&b| b == b'\n').map(<[u8]>::len).max();
        assert!(lines <= Some(78), "{}", String::from_utf8_lossy(&out));
        assert_eq!(list(&out[11..], is_newsgroup).len(), 5);
    }

    proptest! {
        #[test]
        fn written_text_is_one_field_and_reads_back(given in "\\PC{0,200}|(=\\?utf-8\\?Q\\?a=0D=0Ab\\?= ?){0,5}|[a-z ]{0,300}") {
            let given = given.split_whitespace().collect::<Vec<_>>().join(" ");
            let mut out = Vec::new();
            write_text(&mut out, "Subject", &given);
            let part = crate::mail::source::Part::mail(&out).unwrap();
            prop_assert_eq!(part.fields.len(), 1);
            prop_assert!(part.body.is_empty() && out.is_ascii() && out.ends_with(b"\r\n"));
            prop_assert_eq!(text(part.fields[0].value), given);
        }
    }
}
