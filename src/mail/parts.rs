//! The MIME tree, built anew: the same parts in the same order, with nothing of their old frame.

use super::cid;
use super::content::{self, Transfer};
use super::content_type::{Parameters, file_name, needed_parameters};
use super::header::{text, write_line, write_text};
use super::names::Names;
use super::sanitize::Refused;
use super::source::{Part, has_delimiters, has_fields, likely_boundary, split, without_blank_lines};
use mail_builder::headers::{HeaderType, content_type::ContentType, message_id::MessageId, raw::Raw};
use mail_builder::mime::{BodyPart, MimePart};

/// Deepest nesting of parts.
pub(super) const MAX_DEPTH: usize = 32;
/// Most parts of a mail.
pub(super) const MAX_PARTS: usize = 1000;

/// Where a part stands.
#[derive(Clone, Copy)]
struct Place {
    depth: usize,
    /// Nothing follows it in the mail.
    last: bool,
    /// Its mail ends lines with LF alone, as Postfix's pipe gives it.
    unix: bool,
    /// What it is if it doesn't say.
    default: &'static str,
}

impl Place {
    fn within(self, default: &'static str) -> Self {
        Self { depth: self.depth + 1, last: false, default, ..self }
    }
}

/// The building of one mail.
pub(super) struct Rebuild<'r> {
    names: Names<'r>,
    ids: cid::Ids,
    parts: usize,
}

type Built = Result<MimePart<'static>, Refused>;

impl<'r> Rebuild<'r> {
    pub(super) fn new(names: Names<'r>) -> Self {
        Self { names, ids: cid::Ids::default(), parts: 0 }
    }

    /// The tree of a whole mail.
    pub(super) fn mail(&mut self, mail: &Part<'_>) -> Built {
        let place = Place { depth: 0, last: true, unix: is_unix(mail.raw), default: "text/plain" };
        self.ids = cid::Ids::of(mail);
        self.part(mail, place)
    }

    fn count(&mut self, place: Place) -> Result<(), Refused> {
        self.parts += 1;
        if self.parts > MAX_PARTS {
            return Err(Refused::TooManyParts);
        }
        if place.depth > MAX_DEPTH {
            return Err(Refused::TooDeep);
        }
        Ok(())
    }

    fn part(&mut self, part: &Part<'_>, place: Place) -> Built {
        self.count(place)?;
        let of = media_type(part, place.default);
        match (of.kind.as_str(), of.sub.as_str()) {
            ("multipart", sub) => match children(part, &of) {
                Some(children) if children.is_empty() => {
                    Ok(self.framed(part, &of, ContentType::new("text/plain"), "7bit", Vec::new()))
                }
                Some(children) => match (sub, children.as_slice()) {
                    ("signed", &[first, second]) if is_signature(second)? => {
                        self.signed(part, &of, [first, second], place)
                    }
                    ("encrypted", &[first, second]) if is_encrypted(first, second)? => {
                        self.encrypted(part, &of, [first, second], place)
                    }
                    _ => self.multipart(part, &of, &children, place),
                },
                None => self.without_parts(part, place),
            },
            ("message", "rfc822" | "global" | "news") => self.message(part, &of, place),
            ("text", "rfc822-headers") | ("message", "global-headers" | "external-body" | "partial") => {
                self.header_only(part, &of, place)
            }
            _ if keeps_bytes(&of) => self.kept(part, &of, place),
            _ => self.leaf(part, &of, place),
        }
    }

    /// A multipart that is only a text, once nothing of it can be the header of a part.
    fn without_parts(&mut self, part: &Part<'_>, place: Place) -> Built {
        let text = Transfer::read(part.value("content-transfer-encoding")).decode(part.body);
        if text.is_none_or(|text| has_delimiters(&text) && has_fields(&text)) {
            return Err(Refused::BadEncoding);
        }
        self.leaf(part, &Parameters::plain_text(), place)
    }

    fn multipart(&mut self, part: &Part<'_>, of: &Parameters, children: &[&[u8]], place: Place) -> Built {
        // A reader takes an unknown kind for mixed (RFC 2046, 5.1.3), so nothing is lost by naming it so.
        let sub = match of.sub.as_str() {
            known @ ("alternative" | "related" | "digest" | "parallel" | "report") => known,
            _ => "mixed",
        };
        let default = if sub == "digest" { "message/rfc822" } else { "text/plain" };
        let build = |child: &&[u8]| self.part(&Part::inner(child)?, place.within(default));
        let children = children.iter().map(build).collect::<Result<Vec<_>, _>>()?;
        let start = of.get("start").filter(|_| sub == "related").map(|id| format!("<{}>", self.new_id(id.as_bytes())));
        Ok(self.container(part, of, sub, start, children))
    }

    /// The first part is what the signature covers: byte for byte as it came, its header too.
    fn signed(&mut self, part: &Part<'_>, of: &Parameters, [covered, signature]: [&[u8]; 2], place: Place) -> Built {
        self.count(place.within("text/plain"))?;
        let covered = MimePart::raw(BodyPart::Binary(with_own_line_ends(covered, place.unix)?.into()));
        let signature = self.part(&Part::inner(signature)?, place.within("text/plain"))?;
        Ok(self.container(part, of, "signed", None, vec![covered, signature]))
    }

    fn encrypted(&mut self, part: &Part<'_>, of: &Parameters, children: [&[u8]; 2], place: Place) -> Built {
        let mut built = Vec::with_capacity(children.len());
        for child in children {
            let (child, place) = (Part::inner(child)?, place.within("text/plain"));
            self.count(place)?;
            let of = media_type(&child, place.default);
            built.push(self.kept(&child, &of, place)?);
        }
        Ok(self.container(part, of, "encrypted", None, built))
    }

    fn container(
        &mut self,
        part: &Part<'_>,
        of: &Parameters,
        sub: &str,
        start: Option<String>,
        children: Vec<MimePart<'static>>,
    ) -> MimePart<'static> {
        let mut content_type =
            ContentType::new(format!("multipart/{sub}")).attribute("boundary", self.names.boundary());
        // What is not signed or encrypted after all doesn't say how.
        for (name, value) in needed_parameters(of).into_iter().filter(|_| of.sub == sub) {
            content_type = content_type.attribute(name, value);
        }
        if let Some(start) = start {
            content_type = content_type.attribute("start", start);
        }
        let mut headers: Headers = vec![("Content-Type".into(), content_type.into())];
        if !children.iter().all(is_ascii) {
            headers.push(transfer_encoding("8bit"));
        }
        headers.extend(self.content_id(part));
        MimePart { headers, contents: BodyPart::Multipart(children) }
    }

    /// An attached mail is cleaned as a whole mail is; who wrote it to whom and when goes too, for it may be the
    /// sender's own.
    fn message(&mut self, part: &Part<'_>, of: &Parameters, place: Place) -> Built {
        let transfer = Transfer::read(part.value("content-transfer-encoding"));
        let raw = transfer.decode(part.body).ok_or(Refused::BadEncoding)?;
        let unix = if transfer == Transfer::Plain { place.unix } else { is_unix(&raw) };
        let raw = without_blank_lines(&raw);
        let mail = Part::inner(raw)?;
        // Without a header it is a text; with one that begins late, readers don't agree on what it is.
        if mail.fields.is_empty() && has_fields(raw) {
            return Err(Refused::BadEncoding);
        }
        let root = self.part(&mail, Place { unix, last: place.last, ..place.within("text/plain") })?;
        let mut out = Vec::with_capacity(raw.len());
        write_attached_header(&mail, &mut out);
        root.write_part(&mut out);
        // A mail in a mail may be encoded as 7bit or 8bit only (RFC 2046, 5.2.1).
        let encoding = if out.is_ascii() { "7bit" } else { "8bit" };
        Ok(self.framed(part, of, ContentType::new("message/rfc822"), encoding, out))
    }

    /// The header of some mail without the mail, or with what a header alone describes: the text of
    /// `message/external-body`, the first piece of `message/partial`. Other pieces can't be understood, so not cleaned.
    fn header_only(&mut self, part: &Part<'_>, of: &Parameters, place: Place) -> Built {
        let transfer = Transfer::read(part.value("content-transfer-encoding"));
        let raw = transfer.decode(part.body).ok_or(Refused::BadEncoding)?;
        let mail = Part::inner(without_blank_lines(&raw))?;
        let inner = media_type(&mail, place.default);
        let is_piece = of.sub == "partial";
        if is_piece && (of.get("number") != Some("1") || matches!(inner.kind.as_str(), "multipart" | "message")) {
            return Err(Refused::Piece);
        }
        let mut out = Vec::new();
        write_attached_header(&mail, &mut out);
        let text = content::with_crlf(mail.body);
        let has_text = matches!(of.sub.as_str(), "external-body" | "partial");
        if has_text && content::is_clean(&text) && content::has_short_lines(&text) {
            let encoding = Transfer::read(mail.value("content-transfer-encoding")).name(!text.is_ascii());
            write_line(&mut out, "Content-Type", &inner.full());
            write_line(&mut out, "Content-Transfer-Encoding", encoding);
            out.extend_from_slice(b"\r\n");
            out.extend_from_slice(&text);
        } else {
            out.extend_from_slice(b"\r\n");
        }
        let mut content_type = with_needed(of);
        if is_piece {
            content_type = content_type
                .attribute("number", "1")
                .attribute("id", self.new_id(of.get("id").unwrap_or_default().as_bytes()));
        }
        let encoding = if out.is_ascii() { "7bit" } else { "8bit" };
        Ok(self.framed(part, of, content_type, encoding, out))
    }

    /// A part that keeps its bytes, in the encoding they came in.
    fn kept(&mut self, part: &Part<'_>, of: &Parameters, place: Place) -> Built {
        let body = with_own_line_ends(part.body, place.unix)?;
        let encoding = Transfer::read(part.value("content-transfer-encoding")).name(!body.is_ascii());
        Ok(self.framed(part, of, with_needed(of), encoding, body))
    }

    fn leaf(&mut self, part: &Part<'_>, of: &Parameters, place: Place) -> Built {
        let transfer = Transfer::read(part.value("content-transfer-encoding"));
        let Some(bytes) = transfer.decode(part.body) else {
            return Ok(self.undecoded(part, of, transfer, place));
        };
        if of.kind != "text" {
            // Reports must stay readable as they are (RFC 3464, 2.1); anything else is a file.
            let (encoding, body) = if of.kind == "message" {
                content::encode(&content::with_crlf(&bytes), true, place.last)
            } else {
                content::encode(&bytes, false, place.last)
            };
            return Ok(self.framed(part, of, with_needed(of), encoding, body));
        }
        let charset = self.text(part, of, transfer, &bytes);
        let mut content_type = with_needed(of);
        if let Some(label) = charset.label {
            content_type = content_type.attribute("charset", label);
        }
        let (encoding, body) = content::encode(&charset.bytes, true, place.last);
        Ok(self.framed(part, of, content_type, encoding, body))
    }

    /// A part whose encoding is broken. Readers make of it what they can, each in its own way, so they get it as it is.
    fn undecoded(&self, part: &Part<'_>, of: &Parameters, transfer: Transfer, place: Place) -> MimePart<'static> {
        let mut content_type = with_needed(of);
        if let Some(label) = content::as_it_is(b"", of.get("charset")).label.filter(|_| of.kind == "text") {
            content_type = content_type.attribute("charset", label);
        }
        let lines = content::with_crlf(part.body);
        if content::is_clean(&lines) && content::has_short_lines(&lines) {
            return self.framed(part, of, content_type, transfer.name(false), lines.into_owned());
        }
        let (encoding, body) = content::encode(part.body, of.kind == "text", place.last);
        self.framed(part, of, content_type, encoding, body)
    }

    /// The text of a part. A file keeps its bytes, a text to be read becomes UTF-8 with CRLF; what is signed or
    /// encrypted inside a text (OpenPGP's old way) keeps its charset, for the signature is over those bytes.
    fn text(&self, part: &Part<'_>, of: &Parameters, transfer: Transfer, bytes: &[u8]) -> content::Charset {
        let label = of.get("charset");
        if is_file(part, of) {
            let charset = content::as_it_is(bytes, label);
            let bytes =
                if of.sub == "html" { cid::rename(&charset.bytes, &self.ids, &self.names) } else { charset.bytes };
            return content::Charset { bytes, ..charset };
        }
        let charset = if has_armor(bytes) { content::as_it_is(bytes, label) } else { content::to_utf8(bytes, label) };
        // Base64 carries line ends of its own; the others end lines as the mail does. In UTF-16, no byte is a line end.
        let lines = transfer != Transfer::Base64 && !charset.label.as_deref().is_some_and(|l| l.contains("16"));
        let bytes = if lines { content::with_crlf(&charset.bytes).into_owned() } else { charset.bytes };
        let bytes = if has_armor(&bytes) { bytes } else { cid::rename(&bytes, &self.ids, &self.names) };
        content::Charset { bytes, label: charset.label }
    }

    /// A part with the header fields that may stand there.
    fn framed(
        &self,
        part: &Part<'_>,
        of: &Parameters,
        content_type: ContentType<'static>,
        encoding: &'static str,
        body: Vec<u8>,
    ) -> MimePart<'static> {
        let mut headers: Headers = vec![("Content-Type".into(), content_type.into()), transfer_encoding(encoding)];
        headers.extend(disposition(part, of));
        headers.extend(self.content_id(part));
        MimePart { headers, contents: BodyPart::Binary(body.into()) }
    }

    fn content_id(&self, part: &Part<'_>) -> Option<Header> {
        let id = self.new_id(part.value("content-id")?);
        Some(("Content-ID".into(), MessageId::new(id).into()))
    }

    /// The new name of the id in the Content-ID `old`.
    fn new_id(&self, old: &[u8]) -> String {
        self.names.content_id(&cid::bare(old))
    }
}

type Header = (std::borrow::Cow<'static, str>, HeaderType<'static>);
type Headers = Vec<Header>;

fn transfer_encoding(name: &'static str) -> Header {
    ("Content-Transfer-Encoding".into(), Raw::new(name).into())
}

fn disposition(part: &Part<'_>, of: &Parameters) -> Option<Header> {
    let given = Parameters::read(part.value("content-disposition"));
    let file_name = file_name(of, given.as_ref());
    let kind = match given {
        Some(d) if d.kind == "inline" => "inline",
        // An unknown one is an attachment (RFC 2183, 2.8).
        Some(_) => "attachment",
        None => {
            file_name.as_ref()?;
            // Pictures and texts with a name and no disposition are shown, other files are not.
            let shown = matches!(of.kind.as_str(), "image" | "audio" | "video") || of.full() == "text/plain";
            if shown { "inline" } else { "attachment" }
        }
    };
    let mut value = ContentType::new(kind);
    if let Some(name) = file_name {
        value = value.attribute("filename", name);
    }
    Some(("Content-Disposition".into(), value.into()))
}

/// Whether a text is a file somebody attached and not something to be read on the spot.
fn is_file(part: &Part<'_>, of: &Parameters) -> bool {
    let disposition = Parameters::read(part.value("content-disposition"));
    disposition.as_ref().is_some_and(|d| d.kind != "inline") || file_name(of, disposition.as_ref()).is_some()
}

fn media_type(part: &Part<'_>, default: &'static str) -> Parameters {
    Parameters::media_type(part.value("content-type"), default)
}

fn with_needed(of: &Parameters) -> ContentType<'static> {
    needed_parameters(of).into_iter().fold(ContentType::new(of.full()), |t, (name, value)| t.attribute(name, value))
}

/// The parts of a multipart; `None` if nothing in it looks like a delimiter, so that it is a text. Where the boundary it
/// names (if any) delimits nothing, the first line that looks like a delimiter is one: shown as a text, it would show
/// the headers of its parts.
pub(super) fn children<'x>(part: &Part<'x>, of: &Parameters) -> Option<Vec<&'x [u8]>> {
    let named = of.get("boundary").map(str::trim_end).filter(|b| !b.is_empty());
    let parts = named.and_then(|boundary| split(part.body, boundary.as_bytes()));
    parts.or_else(|| split(part.body, likely_boundary(part.body)?))
}

/// What of an attached mail's header stays.
fn write_attached_header(mail: &Part<'_>, out: &mut Vec<u8>) {
    let subject = mail.value("subject").map(text).unwrap_or_default();
    if !subject.is_empty() {
        write_text(out, "Subject", &subject);
    }
    write_line(out, "MIME-Version", "1.0");
}

/// Parts whose meaning is in their very bytes: OpenPGP and S/MIME.
fn keeps_bytes(of: &Parameters) -> bool {
    let pkcs7 = matches!(of.sub.as_str(), "pkcs7-mime" | "x-pkcs7-mime" | "pkcs7-signature" | "x-pkcs7-signature");
    of.kind == "application" && (of.sub == "pgp" || of.sub.starts_with("pgp-") || pkcs7)
}

/// Whether `part` is what a multipart/signed ends with (RFC 1847, 2.1). Any other frame around kept bytes would be a
/// way past cleaning.
fn is_signature(part: &[u8]) -> Result<bool, Refused> {
    let of = media_type(&Part::inner(part)?, "text/plain");
    let signature = matches!(of.sub.as_str(), "pgp-signature" | "pkcs7-signature" | "x-pkcs7-signature");
    Ok(of.kind == "application" && signature)
}

/// Whether the parts are those of a multipart/encrypted (RFC 3156, 4).
fn is_encrypted(control: &[u8], data: &[u8]) -> Result<bool, Refused> {
    let is = |part, full| Ok(media_type(&Part::inner(part)?, "text/plain").full() == full);
    Ok(is(control, "application/pgp-encrypted")? && is(data, "application/octet-stream")?)
}

/// Whether lines of a text begin an OpenPGP block.
pub(super) fn has_armor(text: &[u8]) -> bool {
    text.split(|&b| b == b'\n').any(|line| line.starts_with(b"-----BEGIN PGP "))
}

/// Bytes that are kept, with CRLF for the LF of a mail that uses that: signatures are over CRLF (RFC 3156, 5).
fn with_own_line_ends(bytes: &[u8], unix: bool) -> Result<Vec<u8>, Refused> {
    if !content::has_short_lines(bytes) {
        return Err(Refused::BareLineEnd);
    }
    if unix && !bytes.contains(&b'\r') && !bytes.contains(&0) {
        return Ok(content::with_crlf(bytes).into_owned());
    }
    if unix || !content::is_clean(bytes) {
        return Err(Refused::BareLineEnd);
    }
    Ok(bytes.to_vec())
}

/// Whether the first line, and so the mail, ends with LF alone.
fn is_unix(raw: &[u8]) -> bool {
    let end = raw.iter().position(|&b| b == b'\n');
    end.is_some_and(|at| at == 0 || raw.get(at - 1) != Some(&b'\r'))
}

fn is_ascii(part: &MimePart<'_>) -> bool {
    match &part.contents {
        BodyPart::Text(text) => text.is_ascii(),
        BodyPart::Binary(bytes) => bytes.is_ascii(),
        BodyPart::Multipart(parts) => parts.iter().all(is_ascii),
    }
}
