//! A mail as it came: header fields and parts as slices of it, nothing decoded, every bound checked.
//!
//! mail-parser reads a whole mail too, but it takes `--boundary` in the middle of a line for a delimiter, and a mail
//! nested 10,000 deep overflows the stack when its tree is dropped. So the tree is ours, and mail-parser decodes what
//! lies in it.

use super::sanitize::Refused;

/// Most bytes of one header, its fields together.
const MAX_HEADER: usize = 256 * 1024;

/// One header field: what stands before and after the colon, line ends of folding included.
#[derive(Clone, Copy)]
pub(super) struct Field<'x> {
    pub(super) name: &'x [u8],
    pub(super) value: &'x [u8],
    /// Name, colon, value and the last line's end.
    pub(super) whole: &'x [u8],
}

/// A header and what follows it.
pub(super) struct Part<'x> {
    /// Header and body, exactly as they came.
    pub(super) raw: &'x [u8],
    pub(super) fields: Vec<Field<'x>>,
    pub(super) body: &'x [u8],
}

impl<'x> Part<'x> {
    /// Slices a whole mail. An mbox `From ` line in front of it is passed over.
    ///
    /// # Errors
    /// `Empty`, `BadHeader` if a line of the header is no field, `HeaderTooLong`.
    pub(super) fn mail(raw: &'x [u8]) -> Result<Self, Refused> {
        let mut rest = raw;
        if rest.starts_with(b"From ") || rest.starts_with(b">From ") {
            rest = Line::first(rest).rest;
        }
        let part = Self::slice(rest, true)?;
        if part.fields.is_empty() { Err(Refused::Empty) } else { Ok(part) }
    }

    /// Slices a part of a mail. A header line that is no field is passed over: taken for text, it would show the fields
    /// behind it. Where there is no field at all, everything is content.
    ///
    /// # Errors
    /// `HeaderTooLong`; `BadHeader` for a bare CR.
    pub(super) fn inner(raw: &'x [u8]) -> Result<Self, Refused> {
        Self::slice(raw, false)
    }

    fn slice(raw: &'x [u8], strict: bool) -> Result<Self, Refused> {
        let mut fields: Vec<Field<'x>> = Vec::new();
        let mut rest = raw;
        while !rest.is_empty() {
            let line = Line::first(rest);
            if line.text.is_empty() {
                rest = line.rest;
                break;
            }
            match field(rest) {
                Some((field, after)) => {
                    fields.push(field);
                    rest = after;
                }
                None if strict => return Err(Refused::BadHeader),
                None => rest = line.rest,
            }
            if raw.len() - rest.len() > MAX_HEADER {
                return Err(Refused::HeaderTooLong);
            }
        }
        // Some readers end a line at a bare CR: what follows it would be a field of its own to them.
        let header = raw.get(..raw.len() - rest.len()).unwrap_or_default();
        if !fields.is_empty() && has_bare_cr(header) {
            return Err(Refused::BadHeader);
        }
        let body = if fields.is_empty() && !raw.starts_with(b"\n") && !raw.starts_with(b"\r\n") { raw } else { rest };
        Ok(Self { raw, fields, body })
    }

    /// The values of all fields called `name` (lower case), first to last.
    pub(super) fn values(&self, name: &str) -> impl Iterator<Item = &'x [u8]> {
        self.fields.iter().filter(move |f| f.name.eq_ignore_ascii_case(name.as_bytes())).map(|f| f.value)
    }

    /// The value of the first field called `name`.
    pub(super) fn value(&self, name: &str) -> Option<&'x [u8]> {
        self.values(name).next()
    }
}

/// An attached mail from its first line on: readers pass over blank lines before it.
pub(super) fn without_blank_lines(raw: &[u8]) -> &[u8] {
    let mut rest = raw;
    while !rest.is_empty() && Line::first(rest).text.trim_ascii().is_empty() {
        rest = Line::first(rest).rest;
    }
    rest
}

/// A line and what follows it. `\n` ends a line whatever the mail uses: what else does is content.
pub(super) struct Line<'x> {
    pub(super) text: &'x [u8],
    /// The line with its end.
    whole: &'x [u8],
    pub(super) rest: &'x [u8],
}

impl<'x> Line<'x> {
    fn first(bytes: &'x [u8]) -> Self {
        let end = bytes.iter().position(|&b| b == b'\n').map_or(bytes.len(), |at| at + 1);
        let (whole, rest) = bytes.split_at_checked(end).unwrap_or((bytes, b""));
        Self { text: without_line_end(whole), whole, rest }
    }
}

fn without_line_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn has_bare_cr(header: &[u8]) -> bool {
    header.ends_with(b"\r") || header.windows(2).any(|pair| matches!(pair, [b'\r', after] if *after != b'\n'))
}

/// The field at the front of `bytes`, with its continuation lines, and what follows it.
fn field(bytes: &[u8]) -> Option<(Field<'_>, &[u8])> {
    let colon = Line::first(bytes).text.iter().position(|&b| b == b':')?;
    let (name, _) = bytes.split_at_checked(colon)?;
    let name = name.trim_ascii_end();
    if name.is_empty() || !name.iter().all(u8::is_ascii_graphic) {
        return None;
    }
    let mut rest = Line::first(bytes).rest;
    while matches!(rest.first(), Some(b' ' | b'\t')) {
        rest = Line::first(rest).rest;
    }
    let (whole, _) = bytes.split_at_checked(bytes.len() - rest.len())?;
    let value = whole.get(colon + 1..)?;
    Some((Field { name, value: without_line_end(value), whole }, rest))
}

/// The parts between the delimiter lines of `boundary`, each without the line end that belongs to its delimiter.
/// Preamble and epilogue are left out. `None` if there is no delimiter at all.
pub(super) fn split<'x>(body: &'x [u8], boundary: &[u8]) -> Option<Vec<&'x [u8]>> {
    let mut parts = Vec::new();
    let mut start = None;
    let mut rest = body;
    while !rest.is_empty() {
        let line = Line::first(rest);
        let at = body.len() - rest.len();
        rest = line.rest;
        let Some(delimiter) = Delimiter::read(line.text, boundary) else {
            continue;
        };
        // Two delimiters with nothing between them, not even a line end, are one.
        if let Some(part) = start.and_then(|start| body.get(start..at)).filter(|part| !part.is_empty()) {
            parts.push(without_line_end(part));
        }
        if delimiter == Delimiter::Close {
            return Some(parts);
        }
        start = Some(at + line.whole.len());
    }
    parts.push(body.get(start?..).unwrap_or_default());
    Some(parts)
}

/// The boundary of the first line that looks like a delimiter, with a field behind it.
pub(super) fn likely_boundary(body: &[u8]) -> Option<&[u8]> {
    lines(body).filter(|line| field(line.rest).is_some()).find_map(|line| boundary(line.text))
}

/// Whether a line looks like a delimiter of parts.
pub(super) fn has_delimiters(text: &[u8]) -> bool {
    lines(text).any(|line| boundary(line.text).is_some())
}

/// Whether a line looks like a header field; a URL does not.
pub(super) fn has_fields(text: &[u8]) -> bool {
    let starts = std::iter::once(text).chain(lines(text).map(|line| line.rest));
    starts.filter_map(field).any(|(field, _)| !field.value.starts_with(b"//"))
}

/// What a line delimits parts with, if it looks as if it did. A signature's `-- ` doesn't.
fn boundary(line: &[u8]) -> Option<&[u8]> {
    line.strip_prefix(b"--").map(<[u8]>::trim_ascii_end).filter(|boundary| !boundary.is_empty())
}

/// The lines of `bytes`.
pub(super) fn lines(bytes: &[u8]) -> impl Iterator<Item = Line<'_>> {
    std::iter::successors(Some(Line::first(bytes)), |line| {
        Some(Line::first(line.rest)).filter(|next| !next.whole.is_empty())
    })
}

#[derive(PartialEq, Eq)]
enum Delimiter {
    Open,
    Close,
}

impl Delimiter {
    fn read(line: &[u8], boundary: &[u8]) -> Option<Self> {
        let rest = line.strip_prefix(b"--")?.strip_prefix(boundary)?.trim_ascii_end();
        match rest {
            b"" => Some(Self::Open),
            b"--" => Some(Self::Close),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(raw: &[u8]) -> Vec<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Part::mail(raw).unwrap().fields.iter().map(|f| (text(f.name), text(f.value))).collect()
    }

    #[test]
    fn a_field_reaches_over_its_continuation_lines() {
        let raw = b"From x@y Mon Jan 1\r\nA: 1\r\n 2\r\n\t3\r\nB :4\nC:\n\nbody";
        let want = [("A", " 1\r\n 2\r\n\t3"), ("B", "4"), ("C", "")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        assert_eq!(names(raw), want);
        assert_eq!(Part::mail(raw).unwrap().body, b"body");
    }

    #[test]
    fn a_header_line_that_is_no_field_is_refused_on_top_and_passed_over_inside() {
        for raw in [
            &b"A: 1\r\nno field\r\nB: 2\r\n\r\nbody"[..],
            b"Hello\r\n\r\n",
            b" folded: first\r\n\r\n",
            b"a b: c\r\n\r\n",
        ] {
            assert_eq!(Part::mail(raw).err(), Some(Refused::BadHeader));
        }
        for (raw, fields, body) in [
            (&b"A: 1\r\nno field\r\nB: 2\r\n\r\nbody"[..], 2, &b"body"[..]),
            (b"no field\r\n\r\nbody", 0, b"no field\r\n\r\nbody"),
            (b"\r\nbody", 0, b"body"),
            (b"", 0, b""),
        ] {
            let part = Part::inner(raw).unwrap();
            assert_eq!((part.fields.len(), part.body), (fields, body));
        }
        for raw in [&b""[..], b"\r\nbody", b"From x\n"] {
            assert_eq!(Part::mail(raw).err(), Some(Refused::Empty));
        }
        let long = [b"A: ".as_slice(), &vec![b'x'; MAX_HEADER], b"\r\n\r\n"].concat();
        assert_eq!(Part::mail(&long).err(), Some(Refused::HeaderTooLong));
    }

    #[test]
    fn parts_are_cut_at_whole_delimiter_lines_only() {
        let body = b"preamble\r\n--b\r\none\r\n--bc\r\nx --b\r\n--b \r\n\r\n--b\r\n--b--\r\nepilogue\r\n--b\r\n";
        let want: [&[u8]; 2] = [b"one\r\n--bc\r\nx --b", b""];
        assert_eq!(split(body, b"b").unwrap(), want);
        assert_eq!(split(b"--b\nunclosed\n", b"b").unwrap(), [b"unclosed\n"]);
        assert_eq!(split(b"no delimiter", b"b"), None);
    }
}
