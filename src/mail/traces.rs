//! What in the contents of a mail can name its sender, and is not ours to change.

use thiserror::Error;

/// Something that stays in the mail and says who wrote it, or may.
#[derive(Debug, Error, PartialEq, Eq, PartialOrd, Ord, Clone, Copy)]
pub enum Trace {
    /// The name or address in the From line stands in the text.
    #[error("holds your name or address")]
    Sender,
    /// The lines after `-- ` name the sender.
    #[error("ends with a signature block that names you")]
    SignatureBlock,
    /// `Version:` or `Comment:` in OpenPGP armor.
    #[error("has a Version: or Comment: line in its OpenPGP block, which names your program")]
    ArmorHeader,
    /// A time with a zone.
    #[error("holds a time with a time zone, perhaps yours")]
    TimeZone,
    /// `<meta name="generator">`.
    #[error("names the program that wrote it (meta generator)")]
    Generator,
    /// Who has the key signed this.
    #[error("is signed: the signature says whose key made it, for as long as the mail exists")]
    Signed,
    /// A key, with its owner's name.
    #[error("is or holds a key, which names its owner")]
    Key,
    /// EXIF or XMP in a picture.
    #[error("is a picture with data on camera, time or place (EXIF, XMP)")]
    Picture,
    /// A document that says who wrote it.
    #[error("is a document that names its author")]
    Author,
    /// A document that usually does, where it can't be seen from outside.
    #[error("is a document of a kind that usually names its author")]
    Document,
    /// `winmail.dat`.
    #[error("is Outlook's own format (TNEF), which names you and your program: send plain text or HTML")]
    Outlook,
    /// A visiting card.
    #[error("is a visiting card")]
    Card,
    /// An invitation or an answer to one.
    #[error("is a calendar entry with an organizer or attendee")]
    Calendar,
    /// A delivery report or a read receipt.
    #[error("is a report of a mail system, which names hosts and addresses")]
    Report,
}

/// Who the sender is, as far as the mail itself says it.
#[derive(Default)]
pub(super) struct Sender {
    /// Addresses and whole names, in lower case.
    pub(super) names: Vec<String>,
    /// The words of the names: one of them alone says little in a text, but much under it.
    pub(super) words: Vec<String>,
}

/// The traces in a text.
pub(super) fn in_text(text: &str, sub: &str, sender: &Sender) -> Vec<Trace> {
    let lower = text.to_lowercase();
    let (above, block) = signature_block(&lower);
    let is_key = text.contains("-----BEGIN PGP PUBLIC KEY") || text.contains("-----BEGIN PGP PRIVATE KEY");
    let calendar = sub == "calendar" && (text.contains("ORGANIZER") || text.contains("ATTENDEE"));
    let found = [
        (Trace::Sender, sender.names.iter().any(|name| above.contains(name))),
        (Trace::SignatureBlock, sender.names.iter().chain(&sender.words).any(|word| block.contains(word))),
        (Trace::ArmorHeader, has_armor_header(text)),
        (Trace::TimeZone, has_time_zone(text)),
        (Trace::Generator, sub == "html" && names_generator(&lower)),
        (Trace::Signed, text.contains("-----BEGIN PGP SIGNATURE")),
        (Trace::Key, is_key),
        (Trace::Author, text.starts_with("{\\rtf") && text.contains("{\\author")),
        (Trace::Card, matches!(sub, "vcard" | "x-vcard" | "directory")),
        (Trace::Calendar, calendar),
    ];
    found.into_iter().filter(|(_, there)| *there).map(|(trace, _)| trace).collect()
}

/// What stands above the last line `-- `, and what below it.
fn signature_block(text: &str) -> (&str, &str) {
    let marker = text.rmatch_indices("\n--").find(|(at, _)| {
        let line = text.get(at + 3..).unwrap_or_default().lines().next().unwrap_or_default();
        line.trim().is_empty()
    });
    marker.map_or((text, ""), |(at, _)| text.split_at(at))
}

fn has_armor_header(text: &str) -> bool {
    let mut inside = false;
    text.lines().any(|line| {
        inside = line.starts_with("-----BEGIN PGP ") || (inside && !line.trim().is_empty());
        inside && (line.starts_with("Version:") || line.starts_with("Comment:"))
    })
}

/// A time of day followed by a zone other than UTC's.
fn has_time_zone(text: &str) -> bool {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.windows(2).any(|pair| matches!(pair, [time, zone] if is_time(time) && is_zone(zone)))
}

fn is_time(word: &str) -> bool {
    let digits = |part: &str| part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
    let mut parts = word.split(':');
    let hour = parts.next().is_some_and(|h| (1..=2).contains(&h.len()) && h.bytes().all(|b| b.is_ascii_digit()));
    hour && word.contains(':') && parts.all(digits)
}

fn is_zone(word: &str) -> bool {
    const NAMES: [&str; 14] =
        ["CET", "CEST", "EET", "EEST", "WEST", "BST", "MSK", "EST", "EDT", "CST", "CDT", "MST", "PST", "PDT"];
    let word = word.trim_matches(|c: char| !c.is_ascii_alphanumeric() && c != '+' && c != '-');
    let offset = word.strip_prefix(['+', '-']).unwrap_or_default();
    let offset = offset.len() == 4 && offset.bytes().all(|b| b.is_ascii_digit()) && offset != "0000";
    offset || NAMES.contains(&word)
}

fn names_generator(html: &str) -> bool {
    html.split("<meta").skip(1).any(|rest| rest.split('>').next().is_some_and(|tag| tag.contains("generator")))
}

/// The traces in a file, told by what it is and not by what it is called.
pub(super) fn in_file(bytes: &[u8], kind: &str, sub: &str) -> Vec<Trace> {
    let mut found: Vec<Trace> = in_format(bytes).into_iter().collect();
    match (kind, sub) {
        ("application", "ms-tnef" | "vnd.ms-tnef") => found.push(Trace::Outlook),
        ("application", "pgp-keys") => found.push(Trace::Key),
        ("application", "pkcs7-signature" | "x-pkcs7-signature" | "pgp-signature") => found.push(Trace::Signed),
        ("message", _) => found.push(Trace::Report),
        _ => {}
    }
    if has_armor_header(&String::from_utf8_lossy(bytes)) {
        found.push(Trace::ArmorHeader);
    }
    found
}

fn in_format(bytes: &[u8]) -> Option<Trace> {
    let holds = |what: &[u8]| bytes.windows(what.len()).any(|w| w == what);
    // The data of a picture can hold such letters by chance; what describes it stands in front.
    let front = |what: &[u8]| {
        bytes.get(..bytes.len().min(256 * 1024)).is_some_and(|b| b.windows(what.len()).any(|w| w == what))
    };
    match bytes {
        [0xff, 0xd8, 0xff, ..] => (front(b"Exif\0\0") || front(b"http://ns.adobe.com/xap/")).then_some(Trace::Picture),
        [0x89, b'P', b'N', b'G', ..] => {
            (holds(b"eXIf") || front(b"XML:com.adobe.xmp") || front(b"tEXtAuthor")).then_some(Trace::Picture)
        }
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => {
            (holds(b"EXIF") || holds(b"XMP ")).then_some(Trace::Picture)
        }
        [b'I', b'I', 42, 0, ..] | [b'M', b'M', 0, 42, ..] => Some(Trace::Picture),
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => front(b"Exif").then_some(Trace::Picture),
        [b'%', b'P', b'D', b'F', ..] if holds(b"/Author") || holds(b"dc:creator") => Some(Trace::Author),
        // Newer PDFs keep their properties compressed.
        [b'%', b'P', b'D', b'F', ..] => holds(b"/ObjStm").then_some(Trace::Document),
        [b'P', b'K', 3, 4, ..] => (holds(b"docProps/") || holds(b"meta.xml")).then_some(Trace::Document),
        [0xd0, 0xcf, 0x11, 0xe0, ..] => Some(Trace::Document),
        [0x78, 0x9f, 0x3e, 0x22, ..] => Some(Trace::Outlook),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender() -> Sender {
        Sender { names: vec!["alice@own.example".into(), "alice example".into()], words: vec!["alice".into()] }
    }

    #[test]
    fn a_text_that_names_its_sender_is_found_out() {
        use Trace::{ArmorHeader, Author, Calendar, Card, Generator, Key, SignatureBlock, Signed, TimeZone};
        for (text, sub, want) in [
            ("hello alice, all is well at 10:30 +0000", "plain", vec![]),
            ("write to Alice@Own.example", "plain", vec![Trace::Sender]),
            ("yours, ALICE EXAMPLE", "plain", vec![Trace::Sender]),
            ("text\r\n-- \r\nAlice\r\n", "plain", vec![SignatureBlock]),
            ("text\n--\nBob\n", "plain", vec![]),
            ("On Mon, 3 Feb 2025 10:11:12 +0100, B. wrote:", "plain", vec![TimeZone]),
            ("at 9:05 CEST.", "plain", vec![TimeZone]),
            ("ratio 1:234 -0500", "plain", vec![]),
            ("-----BEGIN PGP MESSAGE-----\nVersion: GnuPG v2\n\nabc", "plain", vec![ArmorHeader]),
            ("-----BEGIN PGP MESSAGE-----\n\nVersion: in the text", "plain", vec![]),
            ("-----BEGIN PGP SIGNATURE-----\n\nabc", "plain", vec![Signed]),
            ("-----BEGIN PGP PUBLIC KEY BLOCK-----\nComment: x\n\nabc", "plain", vec![ArmorHeader, Key]),
            ("<META content=\"MSHTML 5\" name=GENERATOR>", "html", vec![Generator]),
            ("<p>a generator</p>", "html", vec![]),
            ("{\\rtf1{\\info{\\author X}}}", "rtf", vec![Author]),
            ("BEGIN:VCARD", "vcard", vec![Card]),
            ("BEGIN:VCALENDAR\nORGANIZER:mailto:x", "calendar", vec![Calendar]),
        ] {
            assert_eq!(in_text(text, sub, &sender()), want, "{text}");
        }
    }

    #[test]
    fn a_file_that_names_its_author_is_found_out() {
        use Trace::{ArmorHeader, Author, Document, Key, Outlook, Picture, Report, Signed};
        for (bytes, of, want) in [
            (&b"\xff\xd8\xff\xe1\0\x10Exif\0\0MM"[..], ("image", "jpeg"), vec![Picture]),
            (b"\xff\xd8\xff\xe0\0\x10JFIF", ("image", "jpeg"), vec![]),
            (b"\x89PNG\r\n\x1a\n....eXIf", ("image", "png"), vec![Picture]),
            (b"\x89PNG\r\n\x1a\n....IDAT", ("image", "png"), vec![]),
            (b"RIFF....WEBPVP8X....EXIF", ("image", "webp"), vec![Picture]),
            (b"II*\0", ("image", "tiff"), vec![Picture]),
            (b"....ftypheic....Exif", ("image", "heic"), vec![Picture]),
            (b"%PDF-1.4 /Author (x)", ("application", "pdf"), vec![Author]),
            (b"%PDF-1.5 /Type /ObjStm", ("application", "pdf"), vec![Document]),
            (b"%PDF-1.4 /Page", ("application", "octet-stream"), vec![]),
            (b"PK\x03\x04....docProps/core.xml", ("application", "zip"), vec![Document]),
            (b"PK\x03\x04....a.txt", ("application", "zip"), vec![]),
            (b"\xd0\xcf\x11\xe0", ("application", "msword"), vec![Document]),
            (b"\x78\x9f\x3e\x22", ("application", "octet-stream"), vec![Outlook]),
            (b"", ("application", "ms-tnef"), vec![Outlook]),
            (b"", ("application", "pgp-keys"), vec![Key]),
            (
                b"-----BEGIN PGP SIGNATURE-----\nComment: x\n",
                ("application", "pgp-signature"),
                vec![Signed, ArmorHeader],
            ),
            (b"", ("message", "delivery-status"), vec![Report]),
        ] {
            assert_eq!(in_file(bytes, of.0, of.1), want, "{of:?}");
        }
    }
}
