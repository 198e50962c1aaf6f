//! The letters that are sent through real Postfix, and what each must look like when it arrives.

use crate::mta::run;
use data_encoding::BASE64_MIME;
use mail_parser::{Message, MessageParser, MimeHeaders, PartType};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Stands in every place of a letter that says something of its sender; none may arrive.
const CANARY: &str = "yellowbird";

/// The only headers that may arrive; the first five are the last MTA's own.
const HEADERS: &[&str] = &[
    "Return-Path",
    "X-Original-To",
    "Delivered-To",
    "Envelope-To",
    "Delivery-Date",
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
    "Content-Language",
    "Remailed-By",
];

/// A letter, to whom it goes, and what to look at when it has arrived.
pub(crate) struct Letter {
    pub(crate) name: &'static str,
    /// The envelope's sender.
    pub(crate) from: &'static str,
    /// Local parts.
    pub(crate) to: &'static [&'static str],
    pub(crate) mail: Vec<u8>,
    pub(crate) check: Box<dyn Fn(&Arrived)>,
}

/// A mail as it lies in the mailbox of `recipient`.
pub(crate) struct Arrived {
    pub(crate) recipient: String,
    pub(crate) raw: Vec<u8>,
}

impl Arrived {
    /// What holds for every letter: nothing of its sender, one recipient, no header that isn't on the list.
    pub(crate) fn check_clean(&self, from: &str) {
        let mail = self.parsed();
        let mut texts = vec![String::from_utf8_lossy(&self.raw).into_owned()];
        for part in &mail.parts {
            let (PartType::Text(text) | PartType::Html(text)) = &part.body else { continue };
            texts.push(text.clone().into_owned());
        }
        for text in texts {
            let text = text.to_lowercase();
            for mark in [CANARY, from, "home.invalid", "127.0.0.1", "swaks"] {
                assert!(!text.contains(mark), "{mark} has arrived at {}:\n{text:.4000}", self.recipient);
            }
        }
        for (name, value) in mail.headers_raw() {
            assert!(HEADERS.iter().any(|kept| kept.eq_ignore_ascii_case(name)), "{name}: {value}");
        }
        let addresses = |list: Option<&mail_parser::Address>| -> Vec<String> {
            list.into_iter()
                .flat_map(mail_parser::Address::iter)
                .filter_map(|one| one.address())
                .map(str::to_owned)
                .collect()
        };
        assert_eq!(addresses(mail.to()), [self.recipient.as_str()]);
        assert_eq!(addresses(mail.from()), ["anonymous@exit.invalid"]);
    }

    fn parsed(&self) -> Message<'_> {
        MessageParser::default().parse(&self.raw).unwrap()
    }

    fn text(&self) -> String {
        self.parsed().body_text(0).unwrap().replace("\r\n", "\n")
    }
}

/// One letter of each kind. `scratch` takes files that one of them needs while it is made and checked.
pub(crate) fn letters(scratch: &Path) -> Vec<Letter> {
    vec![plain(), pictures(), utf8(), eight_bit(), dots(), several(), signed(scratch)]
}

fn plain() -> Letter {
    let headers: String = [
        "Received: from yellowbird.home.invalid (yellowbird [192.0.2.7]) by mx; Mon, 1 Jan 2024 10:00:00 +0300",
        "Sender: yellowbird@home.invalid",
        "Reply-To: Yellowbird <yellowbird@home.invalid>",
        "Cc: yellowbird@example.org",
        "Message-ID: <1.yellowbird@home.invalid>",
        "References: <0.yellowbird@home.invalid>",
        "User-Agent: Yellowbird/1.0",
        "X-Mailer: yellowbird",
        "Organization: Yellowbird\n and daughters of yellowbird",
        "DKIM-Signature: v=1; d=home.invalid; s=yellowbird; b=AAAA",
        "Autocrypt: addr=yellowbird@home.invalid; keydata=AAAA",
        "Disposition-Notification-To: yellowbird@home.invalid",
        "x-YellowBird: folded\n\tyellowbird",
    ]
    .iter()
    .map(|header| format!("{header}\n"))
    .collect();
    Letter {
        name: "plain text",
        from: "ann@home.invalid",
        to: &["plain"],
        mail: crlf(&format!(
            "{headers}From: Yellowbird <ann@home.invalid>\nTo: <plain@dest.invalid.fog>\nSubject: A plain letter\n\
             Date: Mon, 1 Jan 2024 10:00:00 +0300\n\nDear reader,\n\nnothing more.\n"
        )),
        check: Box::new(|arrived| {
            assert_eq!(arrived.parsed().subject(), Some("A plain letter"));
            assert_eq!(arrived.text(), "Dear reader,\n\nnothing more.\n");
            let date = *arrived.parsed().date().unwrap();
            assert_eq!((date.second, date.tz_hour, date.tz_minute), (0, 0, 0), "{date}");
        }),
    }
}

/// A mail as people send them: text beside HTML with a picture in it, and 3 MB behind.
fn pictures() -> Letter {
    let (picture, first, second) = (noise(60_000, 1), noise(1_500_000, 2), noise(1_500_000, 3));
    let attached = |name: &str, bytes: &[u8]| {
        format!(
            "--yellowbird-1\nContent-Type: application/octet-stream; name=\"{name}\"; x-yellowbird=1\n\
             Content-Disposition: attachment; filename=\"{name}\"; creation-date=\"Mon, 1 Jan 2024 10:00:00 +0300\"\n\
             Content-Description: yellowbird\nContent-Transfer-Encoding: base64\n\n{}\n",
            base64(bytes)
        )
    };
    let mail = crlf(&format!(
        "From: ann@home.invalid\nTo: html@dest.invalid.fog\nSubject: Pictures\nMIME-Version: 1.0\n\
         Content-Type: multipart/mixed; boundary=\"yellowbird-1\"\n\nThis is yellowbird's preamble.\n\
         --yellowbird-1\nContent-Type: multipart/alternative; boundary=\"yellowbird-2\"\n\n\
         --yellowbird-2\nContent-Type: text/plain; charset=utf-8\n\nA picture.\n\
         --yellowbird-2\nContent-Type: multipart/related; boundary=\"yellowbird-3\"\n\n\
         --yellowbird-3\nContent-Type: text/html; charset=utf-8\n\n<p>A <b>picture</b>: <img src=\"cid:pic@yellowbird\"></p>\n\
         --yellowbird-3\nContent-Type: image/png\nContent-ID: <pic@yellowbird>\nContent-Disposition: inline\n\
         Content-Transfer-Encoding: base64\n\n{}\n--yellowbird-3--\n--yellowbird-2--\n{}{}--yellowbird-1--\nyellowbird\n",
        base64(&picture),
        attached("one.bin", &first),
        attached("two.bin", &second),
    ));
    Letter {
        name: "HTML with 3 MB of attachments and a picture",
        from: "ann@home.invalid",
        to: &["html"],
        mail,
        check: Box::new(move |arrived| {
            let mail = arrived.parsed();
            assert_eq!(mail.body_text(0).unwrap().trim_end(), "A picture.");
            let html = mail.body_html(0).unwrap();
            let cid = html.split("cid:").nth(1).unwrap().split('"').next().unwrap();
            let shown = mail.parts.iter().find(|part| part.content_id() == Some(cid)).unwrap();
            assert_eq!(shown.contents(), picture);
            for (name, bytes) in [("one.bin", &first), ("two.bin", &second)] {
                let part = mail.parts.iter().find(|part| part.attachment_name() == Some(name)).unwrap();
                assert_eq!(part.contents(), bytes.as_slice(), "{name}");
            }
        }),
    }
}

fn utf8() -> Letter {
    Letter {
        name: "UTF-8 addresses",
        from: "björn@home.invalid",
        to: &["jürgen"],
        mail: crlf(
            "From: björn@home.invalid\nTo: jürgen@dest.invalid.fog\nSubject: Grüße ✉\nMIME-Version: 1.0\n\
             Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\nÄ, ж, 字.\n",
        ),
        check: Box::new(|arrived| {
            assert_eq!(arrived.parsed().subject(), Some("Grüße ✉"));
            assert_eq!(arrived.text(), "Ä, ж, 字.\n");
        }),
    }
}

fn eight_bit() -> Letter {
    let mut mail = crlf(
        "From: ann@home.invalid\nTo: latin@dest.invalid.fog\nSubject: Eight bits\nMIME-Version: 1.0\n\
         Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: 8bit\n\n",
    );
    mail.extend_from_slice(b"Gr\xfc\xdfe\r\n");
    Letter {
        name: "8-bit text",
        from: "ann@home.invalid",
        to: &["latin"],
        mail,
        check: Box::new(|arrived| assert_eq!(arrived.text(), "Grüße\n")),
    }
}

fn dots() -> Letter {
    const TEXT: &str = ".\n..\n...three\n.hidden\n\n.\nFrom here on\nQUIT\n";
    Letter {
        name: "lines that begin with a dot",
        from: "ann@home.invalid",
        to: &["dots"],
        mail: crlf(&format!("From: ann@home.invalid\nTo: dots@dest.invalid.fog\nSubject: Dots\n\n{TEXT}")),
        check: Box::new(|arrived| assert_eq!(arrived.text(), TEXT)),
    }
}

fn several() -> Letter {
    Letter {
        name: "several recipients",
        from: "ann@home.invalid",
        to: &["first", "second", "third"],
        mail: crlf(
            "From: ann@home.invalid\nTo: first@dest.invalid.fog, second@dest.invalid.fog\nCc: third@dest.invalid.fog\n\
             Subject: To all\n\nHello.\n",
        ),
        check: Box::new(|arrived| {
            let raw = String::from_utf8_lossy(&arrived.raw);
            for other in ["first@", "second@", "third@"] {
                assert!(arrived.recipient.starts_with(other) || !raw.contains(other), "{raw}");
            }
            assert_eq!(arrived.text(), "Hello.\n");
        }),
    }
}

/// A mail signed by GnuPG, whose signature must still be good.
fn signed(scratch: &Path) -> Letter {
    let home = scratch.join("gnupg");
    fs::create_dir(&home).unwrap();
    let part = crlf(
        "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\nSigned=20by=\n me. \n-- \n.\n",
    );
    let file = scratch.join("part");
    fs::write(&file, &part).unwrap();
    run(gpg(&home).args([
        "--passphrase",
        "",
        "--quick-generate-key",
        "Pen Name <pen@example.org>",
        "ed25519",
        "sign",
        "never",
    ]));
    run(gpg(&home).args(["--armor", "--detach-sign"]).arg(&file));
    let signature = fs::read_to_string(scratch.join("part.asc")).unwrap();
    let mut mail = crlf(
        "From: ann@home.invalid\nTo: signed@dest.invalid.fog\nSubject: Signed\nMIME-Version: 1.0\n\
         Content-Type: multipart/signed; micalg=pgp-sha512; protocol=\"application/pgp-signature\"; boundary=\"=-sig\"\n\n--=-sig\n",
    );
    mail.extend_from_slice(&part);
    mail.extend_from_slice(&crlf(&format!(
        "\n--=-sig\nContent-Type: application/pgp-signature; name=\"signature.asc\"\n\n{signature}\n--=-sig--\n"
    )));
    let scratch = scratch.to_owned();
    Letter {
        name: "PGP/MIME",
        from: "ann@home.invalid",
        to: &["signed"],
        mail,
        check: Box::new(move |arrived| check_signature(arrived, &home, &scratch)),
    }
}

fn check_signature(arrived: &Arrived, home: &Path, scratch: &Path) {
    // A Maildir has LF line ends; signatures are over CRLF.
    let raw = crlf(std::str::from_utf8(&arrived.raw).unwrap());
    let mail = MessageParser::default().parse(&raw).unwrap();
    let PartType::Multipart(parts) = &mail.root_part().body else {
        panic!("not multipart: {}", String::from_utf8_lossy(&raw))
    };
    let [text, signature] = parts.as_slice() else { panic!("not two parts: {parts:?}") };
    let text = mail.part(*text).unwrap();
    let signed = &raw[text.offset_header as usize..text.offset_end as usize];
    let (file, asc) = (scratch.join("arrived"), scratch.join("arrived.asc"));
    fs::write(&file, signed).unwrap();
    fs::write(&asc, mail.part(*signature).unwrap().contents()).unwrap();
    run(gpg(home).arg("--verify").arg(&asc).arg(&file));
    fs::write(&file, [signed, b"x"].concat()).unwrap();
    assert!(!gpg(home).arg("--verify").arg(&asc).arg(&file).output().unwrap().status.success(), "gpg says yes to all");
    run(Command::new("gpgconf").arg("--homedir").arg(home).args(["--kill", "gpg-agent"]));
}

fn gpg(home: &Path) -> Command {
    let mut gpg = Command::new("gpg");
    gpg.arg("--homedir").arg(home).args(["--batch", "--quiet", "--no-permission-warning"]);
    gpg
}

fn crlf(text: &str) -> Vec<u8> {
    text.replace("\r\n", "\n").replace('\n', "\r\n").into_bytes()
}

fn base64(bytes: &[u8]) -> String {
    BASE64_MIME.encode(bytes).replace("\r\n", "\n").trim_end().to_owned()
}

/// Bytes that no compressor makes smaller, the same for the same seed (splitmix64).
fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)).to_le_bytes()
    };
    (0..len.div_ceil(8)).flat_map(|_| next()).take(len).collect()
}
