//! The content of a part: decoded from whatever encoding and charset it came in, encoded anew in one of three ways.

use data_encoding::BASE64_MIME;
use mail_parser::{decoders::charsets::map::charset_decoder, parsers::MessageStream};
use std::borrow::Cow;

/// Longest line that is left as it is (RFC 5322, 2.1.1).
const MAX_LINE: usize = 998;
/// Longest line of quoted-printable, its soft line end included.
const QP_LINE: usize = 76;

/// How the content of a part came over the wire.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Transfer {
    /// As it stands, in lines.
    Plain,
    QuotedPrintable,
    Base64,
    /// Never a standard, still about; readers know it, so it is passed on.
    Uuencode,
}

impl Transfer {
    /// The encoding that the value of `Content-Transfer-Encoding` names; an unknown one is none.
    pub(super) fn read(value: Option<&[u8]>) -> Self {
        let name = value.unwrap_or_default().trim_ascii();
        // Comments are allowed after the name and are not needed.
        let name = name.split(|b| matches!(b, b' ' | b'\t' | b'(' | b';' | b'\r')).next().unwrap_or_default();
        match name.to_ascii_lowercase().as_slice() {
            b"base64" => Self::Base64,
            b"quoted-printable" => Self::QuotedPrintable,
            b"x-uuencode" | b"uuencode" | b"x-uue" | b"uue" => Self::Uuencode,
            _ => Self::Plain,
        }
    }

    /// What it is called in a mail. `eight_bit`: whether the bytes that stand there are more than ASCII.
    pub(super) const fn name(self, eight_bit: bool) -> &'static str {
        match self {
            Self::Base64 => "base64",
            Self::QuotedPrintable => "quoted-printable",
            Self::Uuencode => "x-uuencode",
            Self::Plain if eight_bit => "8bit",
            Self::Plain => "7bit",
        }
    }

    /// Takes the encoding off; `None` if it is broken, or not one that is decoded here.
    pub(super) fn decode(self, body: &[u8]) -> Option<Cow<'_, [u8]>> {
        let mut stream = MessageStream::new(body);
        let (end, bytes) = match self {
            Self::Plain => return Some(body.into()),
            Self::Uuencode => return None,
            // Readers differ on what follows the end.
            Self::Base64 if goes_on_after_padding(body) => return None,
            Self::QuotedPrintable => stream.decode_quoted_printable_mime(b""),
            Self::Base64 => stream.decode_base64_mime(b""),
        };
        (end != usize::MAX).then(|| bytes.into_owned().into())
    }
}

fn goes_on_after_padding(base64: &[u8]) -> bool {
    let padding = |b: &u8| matches!(b, b'=' | b'\r' | b'\n' | b' ' | b'\t');
    !base64.iter().skip_while(|&&b| b != b'=').all(padding)
}

/// A text and the charset to declare for it; none where it is unknown.
pub(super) struct Charset {
    pub(super) bytes: Vec<u8>,
    pub(super) label: Option<String>,
}

/// Turns a text into UTF-8. Where that would lose something (its bytes are not in the charset it names, or that is
/// unknown), they stay, under the name of a known charset or none.
pub(super) fn to_utf8(bytes: &[u8], label: Option<&str>) -> Charset {
    let decoder = label.and_then(|name| charset_decoder(name.trim().as_bytes()));
    let text = match decoder {
        Some(decode) => Some(decode(bytes)).filter(|text| !text.contains('\u{fffd}')),
        None => str::from_utf8(bytes).ok().map(str::to_owned),
    };
    match text {
        Some(text) => Charset { bytes: text.into_bytes(), label: Some("utf-8".into()) },
        None => as_it_is(bytes, label),
    }
}

/// Keeps a text's bytes, and its charset's name if that is a known one.
pub(super) fn as_it_is(bytes: &[u8], label: Option<&str>) -> Charset {
    let label = label.map(|name| name.trim().to_ascii_lowercase());
    let known = |name: &String| matches!(name.as_str(), "utf-8" | "utf8") || charset_decoder(name.as_bytes()).is_some();
    Charset { bytes: bytes.to_vec(), label: label.filter(known) }
}

/// Line ends as mail has them: every `\n` without a `\r` gets one.
pub(super) fn with_crlf(bytes: &[u8]) -> Cow<'_, [u8]> {
    if !has_bare_lf(bytes) {
        return bytes.into();
    }
    let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 32);
    let mut last = 0;
    for &b in bytes {
        if b == b'\n' && last != b'\r' {
            out.push(b'\r');
        }
        out.push(b);
        last = b;
    }
    out.into()
}

fn has_bare_lf(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\n") || bytes.windows(2).any(|pair| matches!(pair, [before, b'\n'] if *before != b'\r'))
}

/// Whether every line ends with CRLF, and no CR, LF or NUL stands elsewhere.
pub(super) fn is_clean(bytes: &[u8]) -> bool {
    let mut rest = bytes.iter();
    while let Some(b) = rest.next() {
        match b {
            0 | b'\n' => return false,
            b'\r' if rest.next() != Some(&b'\n') => return false,
            _ => {}
        }
    }
    true
}

/// Encodes `bytes` and names the encoding: as it is where that is safe, quoted-printable for text where it is shorter,
/// else base64. `last`: nothing follows in the mail, so the content must end with a line end of the encoding's own.
pub(super) fn encode(bytes: &[u8], text: bool, last: bool) -> (&'static str, Vec<u8>) {
    if !text || !is_clean(bytes) {
        return ("base64", BASE64_MIME.encode(bytes).into_bytes());
    }
    let unended = last && !bytes.is_empty() && !bytes.ends_with(b"\n");
    if is_seven_bit(bytes) && !unended {
        return ("7bit", bytes.to_vec());
    }
    let quoted = quoted_printable(bytes, unended);
    let base64_len = bytes.len().div_ceil(3) * 4;
    if quoted.len() <= base64_len + base64_len / 38 + 2 {
        return ("quoted-printable", quoted);
    }
    ("base64", BASE64_MIME.encode(bytes).into_bytes())
}

fn is_seven_bit(bytes: &[u8]) -> bool {
    // mbox files turn "From " into ">From ".
    let from = bytes.split(|&b| b == b'\n').any(|line| line.starts_with(b"From "));
    bytes.iter().all(|&b| matches!(b, b'\t' | b'\r' | b'\n' | b' '..=b'~')) && has_short_lines(bytes) && !from
}

/// Whether no line is longer than mail allows.
pub(super) fn has_short_lines(bytes: &[u8]) -> bool {
    bytes.split(|&b| b == b'\n').all(|line| line.strip_suffix(b"\r").unwrap_or(line).len() <= MAX_LINE)
}

fn quoted_printable(bytes: &[u8], unended: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 4);
    let mut lines = bytes.split(|&b| b == b'\n').peekable();
    while let Some(line) = lines.next() {
        quote_line(line.strip_suffix(b"\r").unwrap_or(line), &mut out);
        if lines.peek().is_some() {
            out.extend_from_slice(b"\r\n");
        } else if unended {
            out.extend_from_slice(b"=\r\n");
        }
    }
    out
}

fn quote_line(line: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut column = 0;
    for (i, &b) in line.iter().enumerate() {
        let ends = i + 1 == line.len();
        let plain = match b {
            b' ' | b'\t' => !ends,
            b'.' => i > 0,
            b'F' => i > 0 || !line.starts_with(b"From "),
            b'=' => false,
            b => b.is_ascii_graphic(),
        };
        let width = if plain { 1 } else { 3 };
        if column + width > QP_LINE - 1 {
            out.extend_from_slice(b"=\r\n");
            column = 0;
        }
        column += width;
        if plain {
            out.push(b);
        } else {
            let digit = |n: u8| HEX.get(usize::from(n)).copied().unwrap_or(b'0');
            out.extend_from_slice(&[b'=', digit(b >> 4), digit(b & 15)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_transfer_encoding_is_read_by_name() {
        assert!(Transfer::read(Some(b" BASE64 (canary)\r\n")) == Transfer::Base64);
        assert!(Transfer::read(Some(b"Quoted-Printable")) == Transfer::QuotedPrintable);
        assert!(Transfer::read(Some(b"X-UUEncode")) == Transfer::Uuencode);
        assert!(Transfer::read(Some(b"x-canary")) == Transfer::Plain);
        assert!(Transfer::read(None) == Transfer::Plain);
    }

    #[test]
    fn a_broken_encoding_is_not_decoded() {
        let decode = |transfer: Transfer, body: &[u8]| transfer.decode(body).map(Cow::into_owned);
        assert_eq!(decode(Transfer::Base64, b"aGk=\r\n"), Some(b"hi".to_vec()));
        assert_eq!(decode(Transfer::QuotedPrintable, b"h=69"), Some(b"hi".to_vec()));
        for (transfer, body) in [
            (Transfer::Base64, &b"aGk= aGk="[..]),
            (Transfer::Base64, b"aGk_"),
            (Transfer::QuotedPrintable, b"a==b"),
            (Transfer::Uuencode, b"begin 644 x"),
        ] {
            assert_eq!(decode(transfer, body), None, "{body:?}");
        }
    }

    #[test]
    fn text_becomes_utf8_where_nothing_is_lost() {
        for (bytes, label, want, want_label) in [
            (&b"caf\xe9"[..], Some("ISO-8859-1"), "caf\u{e9}".as_bytes(), Some("utf-8")),
            (b"\x1b$B%F%9%H\x1b(B", Some("iso-2022-jp"), "\u{30c6}\u{30b9}\u{30c8}".as_bytes(), Some("utf-8")),
            (b"ascii", None, b"ascii", Some("utf-8")),
            ("\u{e9}".as_bytes(), None, "\u{e9}".as_bytes(), Some("utf-8")),
            (b"caf\xe9", None, b"caf\xe9", None),
            (b"caf\xe9", Some("x-canary"), b"caf\xe9", None),
            (b"cafe", Some("x-canary"), b"cafe", Some("utf-8")),
            (b"caf\xe9", Some("UTF-8"), b"caf\xe9", Some("utf-8")),
        ] {
            let got = to_utf8(bytes, label);
            assert_eq!((&got.bytes[..], got.label.as_deref()), (want, want_label), "{label:?}");
        }
        assert_eq!(as_it_is(b"x", Some("Windows-1252")).label.as_deref(), Some("windows-1252"));
        assert_eq!(as_it_is(b"x", Some("x-canary")).label, None);
    }

    #[test]
    fn clean_means_crlf_and_no_nul() {
        for (bytes, clean) in [
            (&b""[..], true),
            (b"a\r\nb", true),
            (b"a\nb", false),
            (b"a\rb", false),
            (b"a\r", false),
            (b"\0", false),
            (b"\r\r\n", false),
        ] {
            assert_eq!(is_clean(bytes), clean, "{bytes:?}");
        }
        assert_eq!(&*with_crlf(b"a\nb\r\nc\n\n"), b"a\r\nb\r\nc\r\n\r\n");
    }

    #[test]
    fn an_encoding_is_chosen_by_need() {
        let long = [b'x'; 999];
        for (bytes, text, last, want) in [
            (&b"plain\r\n"[..], true, true, "7bit"),
            (b"plain", true, false, "7bit"),
            (b"plain", true, true, "quoted-printable"),
            (b"From here\r\n", true, true, "quoted-printable"),
            ("na\u{ef}ve text\r\n".as_bytes(), true, true, "quoted-printable"),
            ("\u{65e5}\u{672c}\u{8a9e}\r\n".as_bytes(), true, true, "base64"),
            (b"unix\nlines\n", true, true, "base64"),
            (b"nul \0\r\n", true, true, "base64"),
            (b"plain\r\n", false, true, "base64"),
            (&long, true, false, "quoted-printable"),
            (b"", true, true, "7bit"),
        ] {
            assert_eq!(encode(bytes, text, last).0, want, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes_to_itself_and_is_clean_ascii(
            bytes in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..300),
                "([a-zA-Z=.\u{e9} \t]{0,90}(\r\n)?){0,6}|(From |\\.|  \r\n){0,9}".prop_map(String::into_bytes),
            ],
            text: bool,
            last: bool,
        ) {
            let (name, body) = encode(&bytes, text, last);
            prop_assert!(is_clean(&body) && body.is_ascii());
            prop_assert!(!last || body.is_empty() || body.ends_with(b"\r\n"));
            let longest = if name == "7bit" { MAX_LINE } else { QP_LINE + 1 };
            prop_assert!(body.split(|&b| b == b'\n').all(|line| line.len() <= longest));
            prop_assert_eq!(&*Transfer::read(Some(name.as_bytes())).decode(&body).unwrap(), &bytes[..]);
        }
    }
}
