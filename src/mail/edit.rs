//! Fields taken out of a mail's header, or put into it, before anything else is done with it.

use super::header::write_text;
use super::sanitize::Refused;
use super::source::Part;

/// A field that was taken out: which of the names it had, and its value.
pub(super) type Taken<'x> = (usize, &'x [u8]);

/// `raw` without the fields of its header that are called one of `names` (in lower case), and those fields. A line of an
/// mbox in front of the header goes too.
///
/// # Errors
/// As for cleaning: a header that can't be read might hide such a field.
pub(super) fn take_out<'x>(raw: &'x [u8], names: &[&str]) -> Result<(Vec<Taken<'x>>, Vec<u8>), Refused> {
    let mail = Part::mail(raw)?;
    let mut taken = Vec::new();
    let mut rest = Vec::with_capacity(raw.len());
    for field in &mail.fields {
        match names.iter().position(|name| field.name.eq_ignore_ascii_case(name.as_bytes())) {
            Some(at) => taken.push((at, field.value)),
            None => rest.extend_from_slice(field.whole),
        }
    }
    let crlf = mail.fields.first().is_some_and(|field| field.whole.ends_with(b"\r\n"));
    let end: &[u8] = if crlf { b"\r\n" } else { b"\n" };
    if !rest.is_empty() && !rest.ends_with(b"\n") {
        rest.extend_from_slice(end);
    }
    rest.extend_from_slice(end);
    rest.extend_from_slice(mail.body);
    Ok((taken, rest))
}

/// `raw` with `subject` for its subject. A mail that begins with an empty line has no header yet, and gets one.
///
/// # Errors
/// As for cleaning.
pub fn with_subject(raw: &[u8], subject: &str) -> Result<Vec<u8>, Refused> {
    let mut mail = Vec::with_capacity(raw.len() + subject.len() + 80);
    write_text(&mut mail, "Subject", subject);
    match take_out(raw, &["subject"]) {
        Ok((_, rest)) => mail.extend_from_slice(&rest),
        Err(Refused::Empty) if !raw.is_empty() => mail.extend_from_slice(raw),
        Err(refused) => return Err(refused),
    }
    Ok(mail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_taken_out_with_their_continuation_lines_and_nothing_else_is() {
        for (raw, want, values) in [
            (
                &b"A: 1\nanon-to : x\n y\nB: 2\nAnon-To:z\n\nAnon-To: text\n"[..],
                &b"A: 1\nB: 2\n\nAnon-To: text\n"[..],
                &[&b" x\n y"[..], b"z"][..],
            ),
            (b"A: 1\r\nAnon-To: x\r\n\r\ntext", b"A: 1\r\n\r\ntext", &[b" x"]),
            (b"From a@b Mon\nA: 1\n\n", b"A: 1\n\n", &[]),
            (b"A: 1", b"A: 1\n\n", &[]),
            (b"Anon-To: x", b"\n", &[b" x"]),
            (b"X-Anon-To: x\nAnon-Top: y\n\n", b"X-Anon-To: x\nAnon-Top: y\n\n", &[]),
        ] {
            let (taken, rest) = take_out(raw, &["anon-to"]).unwrap();
            assert_eq!(rest, want, "{}", raw.escape_ascii());
            assert_eq!(taken, values.iter().map(|&value| (0, value)).collect::<Vec<_>>());
        }
        assert_eq!(take_out(b"A: 1\nno field\n\n", &[]), Err(Refused::BadHeader));
        assert_eq!(take_out(b"A: 1\rAnon-To: x\n\n", &[]), Err(Refused::BadHeader));
    }

    #[test]
    fn a_subject_takes_the_place_of_any_other() {
        for (raw, want) in [
            (&b"A: 1\nSubject: old\n over\nSUBJECT: two\n\ntext"[..], &b"Subject: new\r\nA: 1\n\ntext"[..]),
            (b"\ntext", b"Subject: new\r\n\ntext"),
            (b"\r\ntext", b"Subject: new\r\n\r\ntext"),
        ] {
            assert_eq!(with_subject(raw, "new").unwrap(), want, "{}", raw.escape_ascii());
        }
        let mail = with_subject(b"A: 1\n\n", "caf\u{e9} =?utf-8?Q?x?=").unwrap();
        let part = Part::mail(&mail).unwrap();
        assert_eq!(super::super::header::text(part.value("subject").unwrap()), "caf\u{e9} =?utf-8?Q?x?=");
        assert_eq!(with_subject(b"text\n", "new"), Err(Refused::BadHeader));
        assert_eq!(with_subject(b"", "new"), Err(Refused::Empty));
    }
}
