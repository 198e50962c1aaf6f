//! The recipients that a header names: none lost, none made up.

use super::header::as_field;
use super::sanitize::Refused;
use super::source::Part;
use mail_parser::{HeaderValue, parsers::MessageStream};
use thiserror::Error;

const SHOWN: [&str; 3] = ["to", "cc", "bcc"];

/// Why the recipients of a header can't be had. Carries nothing of the mail.
#[derive(Debug, Error, PartialEq, Eq, Clone, Copy)]
pub enum ShownError {
    /// A list that could be read in more than one way.
    #[error("To, Cc or Bcc is no list of addresses with commas between")]
    List,
    /// The header can't be read.
    #[error(transparent)]
    Header(#[from] Refused),
}

/// What stands for an address in To, Cc and Bcc, valid or not.
///
/// # Errors
/// See [`ShownError`]. A mail without a header names nobody.
pub fn shown(mail: &[u8]) -> Result<Vec<String>, ShownError> {
    let part = match Part::mail(mail) {
        Err(Refused::Empty) => return Ok(Vec::new()),
        part => part?,
    };
    let mut found = Vec::new();
    for field in &part.fields {
        if SHOWN.iter().any(|name| field.name.eq_ignore_ascii_case(name.as_bytes())) {
            found.extend(entries(field.value).ok_or(ShownError::List)?);
        }
    }
    Ok(found)
}

/// What stands for an address in the value of an address field, valid or not; `None` if it is not clear what does.
///
/// mail-parser reads whatever people write, and guesses: it drops what stands before a colon too many, and takes a lone
/// comment for an address. So each address must stand there as it was read, and there must
/// be one for each `@` outside of quotes and comments.
pub(super) fn entries(value: &[u8]) -> Option<Vec<String>> {
    let value = as_field(value);
    let mut found: Vec<String> = Vec::new();
    let mut rest = value.as_slice();
    if let HeaderValue::Address(list) = MessageStream::new(&value).parse_address() {
        for entry in list.iter() {
            let text = entry.address.as_deref().or(entry.name.as_deref()).unwrap_or_default();
            if text.contains('@') {
                rest = behind(rest, text.as_bytes())?;
            }
            found.push(text.to_owned());
        }
    }
    (found.iter().filter(|text| text.contains('@')).count() == count_ats(&value)).then_some(found)
}

/// What follows the first `text` in `bytes`.
fn behind<'x>(bytes: &'x [u8], text: &[u8]) -> Option<&'x [u8]> {
    let at = bytes.windows(text.len()).position(|window| window == text)?;
    bytes.get(at + text.len()..)
}

/// How many `@` stand outside of quotes and comments.
fn count_ats(value: &[u8]) -> usize {
    let (mut quoted, mut depth, mut escaped, mut count) = (false, 0_usize, false, 0_usize);
    for &b in value {
        match b {
            _ if escaped => escaped = false,
            b'\\' => escaped = quoted || depth > 0,
            b'"' if depth == 0 => quoted = !quoted,
            b'(' if !quoted => depth = depth.saturating_add(1),
            b')' if !quoted => depth = depth.saturating_sub(1),
            b'@' if !quoted && depth == 0 => count = count.saturating_add(1),
            _ => {}
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_list_is_read_as_people_write_it() {
        for (value, want) in [
            ("", &[][..]),
            ("nobody:;", &[]),
            ("a@x.org", &["a@x.org"]),
            ("A <a@x.org>,\n\t\"b, @ c\" <b@x.org> (@friend)", &["a@x.org", "b@x.org"]),
            ("a@x.org,, b@x.org,", &["a@x.org", "b@x.org"]),
            ("a@x.org; b@x.org;", &["a@x.org", "b@x.org"]),
            ("a@x.org, friends: b@x.org, c@x.org; d@x.org", &["a@x.org", "b@x.org", "c@x.org", "d@x.org"]),
            ("<\"a@b\"@x.org>, b", &["\"a@b\"@x.org", "b"]),
            ("<\"a b\"@x.org>", &["\"a b\"@x.org"]),
            ("j\u{f6}@x.org, =?utf-8?Q?J=C3=B6?= <b@x.org>", &["j\u{f6}@x.org", "b@x.org"]),
        ] {
            assert_eq!(entries(value.as_bytes()).unwrap(), want, "{value}");
        }
    }

    #[test]
    fn a_list_that_can_be_read_in_two_ways_is_not_read() {
        for value in [
            "a@x.org: b@x.org",
            "a@x.org friends: b@x.org;",
            "<a b@x.org>",
            "<a@x.org> <b@x.org>",
            "a@x.org b@x.org",
            "a@x.org, (b@x.org)",
            "\"b@x.org\"",
            "=?utf-8?Q?a=40x.org?=",
            "a@x.org, \"b",
        ] {
            let found = entries(value.as_bytes());
            let sound = |text: &String| crate::mail::address::Address::parse(text).is_ok();
            assert!(!found.as_ref().is_some_and(|found| found.iter().all(sound)), "{value}: {found:?}");
        }
    }

    #[test]
    fn the_header_names_recipients_in_to_cc_and_bcc_only() {
        let mail = b"To: Alice <a@x.fog>, \"B, b\" <b@x.fog>\r\nTo: c@x.fog\nCC: friends: d@x.fog,\n\te@x.fog;\n\
                     Bcc: f@x.fog\nReply-To: g@x.org\nFrom: h@x.org\n\nTo: i@x.fog\n";
        assert_eq!(shown(mail).unwrap(), ["a@x.fog", "b@x.fog", "c@x.fog", "d@x.fog", "e@x.fog", "f@x.fog"]);
        assert_eq!(shown(b"\nTo: a@x.fog\n"), Ok(Vec::new()));
        assert_eq!(shown(b"To: a@x.fog: b@x.fog\n\n"), Err(ShownError::List));
        assert_eq!(shown(b"no field\nTo: a@x.fog\n\n"), Err(ShownError::Header(Refused::BadHeader)));
    }

    proptest! {
        #[test]
        fn plain_addresses_come_out_as_they_went_in(locals in prop::collection::vec("[a-z]{1,8}", 1..20)) {
            let want: Vec<_> = locals.iter().map(|local| format!("{local}@x.org")).collect();
            prop_assert_eq!(entries(want.join(", ").as_bytes()), Some(want.clone()));
            let named: Vec<_> = want.iter().map(|address| format!("N <{address}>")).collect();
            prop_assert_eq!(entries(named.join(",\r\n ").as_bytes()), Some(want));
        }

        #[test]
        fn no_bytes_make_it_panic(value in "[a<>@\":;,()\\\\ =?\r\n\t]{0,40}") {
            let _ = entries(value.as_bytes());
        }
    }
}
