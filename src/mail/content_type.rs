//! `Content-Type` and `Content-Disposition`: read with all their parameters, written with the few that are needed.

use super::header::as_field;
use mail_parser::{HeaderValue, parsers::MessageStream};

/// Longest value that is read at all. A true one is far shorter, and the parser's time grows with its square.
const MAX_VALUE: usize = 4 * 1024;
/// Longest type or subtype (RFC 6838, 4.2).
const MAX_TOKEN: usize = 127;
/// Longest file name, in octets: what file systems take.
const MAX_FILE_NAME: usize = 255;
/// Longest extension, with its dot, that is kept when a name is cut.
const MAX_EXTENSION: usize = 17;

/// A value with parameters: `kind/sub; name=value`. `kind`, `sub` and names in lower case.
#[derive(Default)]
pub(super) struct Parameters {
    pub(super) kind: String,
    pub(super) sub: String,
    values: Vec<(String, String)>,
}

impl Parameters {
    /// Reads the value of a field; `None` if it has none.
    pub(super) fn read(value: Option<&[u8]>) -> Option<Self> {
        let value = value.filter(|v| v.len() <= MAX_VALUE)?;
        let mut of = Self::parse(value)?;
        // The folders of a path can't be told from its file once the parser has taken the backslashes for quoting.
        if value.contains(&b'\\') {
            let whole = Self::parse(&with_slashes(value)).unwrap_or_default();
            let is_name = |(name, _): &(String, String)| name == "name" || name == "filename";
            of.values.retain(|value| !is_name(value));
            of.values.extend(whole.values.into_iter().filter(is_name));
        }
        Some(of)
    }

    fn parse(value: &[u8]) -> Option<Self> {
        let field = as_field(&unfolded(value));
        let HeaderValue::ContentType(read) = MessageStream::new(&field).parse_content_type() else {
            return None;
        };
        let values = read.attributes.unwrap_or_default().into_iter();
        Some(Self {
            kind: read.c_type.trim().to_ascii_lowercase(),
            sub: read.c_subtype.unwrap_or_default().trim().to_ascii_lowercase(),
            values: values.map(|a| (a.name.to_ascii_lowercase(), a.value.into_owned())).collect(),
        })
    }

    /// Reads a `Content-Type`. What is no type is text where it claims to be, or a multipart or mail, so that what is in
    /// it is seen, else bytes; none at all is `default`. Of one that is too long to read, the type alone is read.
    pub(super) fn media_type(value: Option<&[u8]>, default: &str) -> Self {
        let is_long = |value: &&[u8]| value.len() > MAX_VALUE;
        let short = value.filter(is_long).and_then(|value| value.get(..MAX_VALUE)?.split(|&b| b == b';').next());
        match Self::read(short.or(value)) {
            Some(of) if is_media_type(&of.full()) => of,
            Some(of) if of.kind == "text" => Self { sub: "plain".into(), ..of },
            Some(of) if of.kind == "multipart" => Self { sub: "mixed".into(), ..of },
            Some(of) if of.kind == "message" => Self { sub: "rfc822".into(), ..of },
            Some(of) => Self { kind: "application".into(), sub: "octet-stream".into(), ..of },
            None => Self::read(Some(default.as_bytes())).unwrap_or_default(),
        }
    }

    /// `text/plain` without parameters.
    pub(super) fn plain_text() -> Self {
        Self { kind: "text".into(), sub: "plain".into(), values: Vec::new() }
    }

    /// The first parameter called `name`.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.values.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// `kind/sub`.
    pub(super) fn full(&self) -> String {
        format!("{}/{}", self.kind, self.sub)
    }
}

/// `value` on one line (RFC 5322, 2.2.3): mail-parser ends a quoted string at a fold.
fn unfolded(value: &[u8]) -> Vec<u8> {
    value.iter().copied().filter(|b| !matches!(b, b'\r' | b'\n')).collect()
}

/// Whether `text` can be written as `type/subtype`.
pub(super) fn is_media_type(text: &str) -> bool {
    text.split_once('/').is_some_and(|(kind, sub)| is_token(kind) && is_token(sub))
}

fn is_token(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&b);
    (1..=MAX_TOKEN).contains(&text.len()) && text.bytes().all(allowed)
}

/// The name of a parameter, and which values of it are taken.
type Wanted = (&'static str, fn(&str) -> bool);

/// The parameters of a type that a reader needs to read the part, apart from charset, boundary and Content-IDs, which
/// are made anew. Everything else goes: a value nobody needs is a place to mark a mail.
///
/// Each value is one of a closed list, or names a media type.
pub(super) fn needed_parameters(of: &Parameters) -> Vec<(&'static str, String)> {
    let wanted: &[Wanted] = match (of.kind.as_str(), of.sub.as_str()) {
        // How lines of plain text are put together again (RFC 3676).
        ("text", "plain") => &[("format", |v| v == "flowed"), ("delsp", |v| v == "yes")],
        // Whether this is an invitation or an answer (RFC 6047).
        ("text", "calendar") => &[("method", |v| METHODS.contains(&v))],
        ("multipart", "related") => &[("type", is_media_type)],
        // No program checks a signature without these (RFC 1847).
        ("multipart", "signed") => &[("protocol", is_media_type), ("micalg", |v| v.split(',').all(is_hash))],
        ("multipart", "encrypted") => &[("protocol", is_media_type)],
        ("multipart", "report") => &[("report-type", |v| REPORTS.contains(&v))],
        ("application", "pkcs7-mime" | "x-pkcs7-mime") => &[("smime-type", |v| SMIME.contains(&v))],
        _ => &[],
    };
    let value = |name: &str| of.get(name).map(|v| v.trim().to_ascii_lowercase());
    let kept = |(name, good): &Wanted| value(name).filter(|v| good(v)).map(|v| (*name, v));
    wanted.iter().filter_map(kept).collect()
}

const METHODS: [&str; 8] = ["publish", "request", "reply", "add", "cancel", "refresh", "counter", "declinecounter"];
const REPORTS: [&str; 3] = ["delivery-status", "disposition-notification", "feedback-report"];
const SMIME: [&str; 5] = ["enveloped-data", "authenveloped-data", "signed-data", "compressed-data", "certs-only"];
const HASHES: [&str; 12] = [
    "md5",
    "sha1",
    "sha-1",
    "sha224",
    "sha-224",
    "sha256",
    "sha-256",
    "sha384",
    "sha-384",
    "sha512",
    "sha-512",
    "ripemd160",
];

fn is_hash(text: &str) -> bool {
    let name = text.trim();
    let name = name.strip_prefix("pgp-").unwrap_or(name);
    HASHES.contains(&name) || matches!(name, "sha3-256" | "sha3-512" | "rsa-sha1" | "rsa-md5" | "rsa-sha256")
}

/// The file name of a part, from either of the two places it can stand in, without any folder: those name their owner.
pub(super) fn file_name(of: &Parameters, disposition: Option<&Parameters>) -> Option<String> {
    let given = disposition.and_then(|d| d.get("filename")).or_else(|| of.get("name"))?;
    let base = without_folder(given);
    let plain: String = base.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let name = plain.trim();
    if name.len() > MAX_FILE_NAME {
        return Some(shortened(name));
    }
    (!name.is_empty()).then(|| name.to_owned())
}

/// What follows the last `/`, `\` or `:` of a path, percent-encoded ones too.
fn without_folder(path: &str) -> &str {
    let mut base = path.rsplit(['/', '\\', ':']).next().unwrap_or_default();
    // In bytes: a character may begin anywhere, but `%` begins one always.
    let is_separator =
        |w: &[u8]| matches!(w, [b'%', b'2', b'f' | b'F'] | [b'%', b'5', b'c' | b'C'] | [b'%', b'3', b'a' | b'A']);
    if let Some(at) = base.as_bytes().windows(3).rposition(is_separator) {
        base = base.get(at + 3..).unwrap_or_default();
    }
    base
}

/// `name` cut to what file systems take, its extension kept: programs go by it.
fn shortened(name: &str) -> String {
    let (stem, extension) = match name.rfind('.') {
        Some(dot) if name.len() - dot <= MAX_EXTENSION => name.split_at(dot),
        _ => (name, ""),
    };
    let stem = stem.get(..stem.floor_char_boundary(MAX_FILE_NAME - extension.len())).unwrap_or_default();
    format!("{}{extension}", stem.trim_end())
}

/// A value in which every backslash that doesn't quote a quote or a backslash is the `/` it means.
fn with_slashes(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len() + value.len() / 8);
    let (mut quoted, mut bytes) = (false, value.iter().copied().peekable());
    while let Some(b) = bytes.next() {
        quoted ^= b == b'"';
        match bytes.next_if(|&after| b == b'\\' && quoted && matches!(after, b'"' | b'\\')) {
            Some(after) => out.extend_from_slice(&[b, after]),
            None => out.push(if b == b'\\' { b'/' } else { b }),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Parameters {
        Parameters::read(Some(value.as_bytes())).unwrap()
    }

    #[test]
    fn a_type_is_read_through_folds_comments_and_case() {
        let p = read(" Text/PLAIN (made by CANARY);\r\n\tCharset=\"UTF-8\"; x-y=z");
        assert_eq!(p.full(), "text/plain");
        assert_eq!(p.get("charset"), Some("UTF-8"));
        assert!(Parameters::read(Some(b"")).is_none());
        assert!(Parameters::read(Some(&[b'a'; MAX_VALUE + 1])).is_none());
    }

    #[test]
    fn only_parameters_from_the_list_with_values_from_the_list_are_kept() {
        for (value, want) in [
            ("text/plain; format=Flowed; delsp=yes; x-canary=1; name=n", vec![("format", "flowed"), ("delsp", "yes")]),
            ("text/plain; format=canary", vec![]),
            ("text/html; format=flowed", vec![]),
            ("text/calendar; method=REQUEST; component=canary", vec![("method", "request")]),
            (
                "multipart/signed; micalg=pgp-sha512; protocol=\"application/pgp-signature\"",
                vec![("protocol", "application/pgp-signature"), ("micalg", "pgp-sha512")],
            ),
            ("multipart/signed; micalg=canary; protocol=\"can ary\"", vec![]),
            ("application/pkcs7-mime; smime-type=signed-data; name=smime.p7m", vec![("smime-type", "signed-data")]),
        ] {
            let kept = needed_parameters(&read(value));
            assert_eq!(kept.iter().map(|(n, v)| (*n, v.as_str())).collect::<Vec<_>>(), want, "{value}");
        }
    }

    #[test]
    fn a_file_name_is_decoded_and_loses_its_folder() {
        for (value, want) in [
            ("attachment; filename=plain.txt", Some("plain.txt")),
            ("attachment; filename*=utf-8''r%C3%A9sum%C3%A9.pdf", Some("r\u{e9}sum\u{e9}.pdf")),
            ("attachment; filename*0=long; filename*1=-name.txt", Some("long-name.txt")),
            ("attachment; filename=\"=?utf-8?Q?r=C3=A9?=\"", Some("r\u{e9}")),
            ("attachment; filename=\"/home/canary/x.txt\"", Some("x.txt")),
            ("attachment; filename=\"C:\\\\Users\\\\canary\\\\x.txt\"", Some("x.txt")),
            ("attachment; filename*=utf-8''a%0D%0Ab", Some("a  b")),
            ("attachment; filename=\"C:\\Users\\canary\\x.txt\"", Some("x.txt")),
            ("attachment; filename=C:\\canary\\x.txt", Some("x.txt")),
            ("attachment; filename=\"Mac:canary:x.txt\"", Some("x.txt")),
            ("attachment; filename=\"%2Fhome%2fcanary%5cy%5Cx.txt\"", Some("x.txt")),
            ("attachment; filename*=utf-8''%252Fcanary%252Fx.txt", Some("x.txt")),
            ("attachment; filename=\"a \\\"b\\\" c.txt\"", Some("a \"b\" c.txt")),
            ("attachment; filename=\"/\"", None),
            ("attachment", None),
        ] {
            assert_eq!(file_name(&Parameters::default(), Some(&read(value))).as_deref(), want, "{value}");
        }
        assert_eq!(file_name(&read("image/png; name=a.png"), Some(&read("inline"))).as_deref(), Some("a.png"));
        let long = "\u{e9}".repeat(200);
        let name = file_name(&Parameters::default(), Some(&read(&format!("attachment; filename=\"{long}\"")))).unwrap();
        assert_eq!(name.len(), 254, "cut at a character");
        let dotted = format!("attachment; filename=\"{long}.tar.gz\"");
        let name = file_name(&Parameters::default(), Some(&read(&dotted))).unwrap();
        assert!(name.len() <= MAX_FILE_NAME && name.ends_with("\u{e9}.gz"), "{name}");
    }
}
