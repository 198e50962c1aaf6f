//! Batched SMTP: what Exim's pipe transport writes with `use_bsmtp`, one way, without anybody answering.
//!
//! All of the input is read before any of it is believed. Strict, because what is in front of us was written by a
//! program: a line that no such program writes means that something is broken, and then the MTA keeps the mail.

use crate::mail::address::Address;
use crate::submit::MAX_RECIPIENTS;
use thiserror::Error;

/// Most transactions of one input.
pub const MAX_TRANSACTIONS: usize = 100;
/// Longest command line in bytes, without its end: room for any address and for parameters.
const MAX_COMMAND: usize = 2048;

/// A mail and its envelope.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transaction {
    /// The envelope sender; `None` is the null sender, or one that is no address for us.
    pub sender: Option<Address>,
    /// The envelope recipients that are mail addresses, at most `MAX_RECIPIENTS`.
    pub recipients: Vec<Address>,
    /// Whether there were others, which are none.
    pub misaddressed: bool,
    /// The mail, the dots that were put in front of its lines taken off; line ends as they came.
    pub mail: Vec<u8>,
}

/// Why nothing of the input is taken. Carries no address.
#[derive(Debug, Error, PartialEq, Eq, Clone, Copy)]
pub enum BsmtpError {
    /// No command of SMTP in front, or none at all.
    #[error("use_bsmtp is wanted in the transport")]
    NotBsmtp,
    /// It ends before its end.
    #[error("the mail was cut off")]
    CutOff,
    /// A command that is none, or at the wrong place.
    #[error("a line of the batch is no SMTP command, or not one that fits there")]
    Command,
    /// A line that ends in another way than the first.
    #[error("a line of the batch does not end as the others do")]
    LineEnd,
    /// A line of the mail that begins with a dot, and neither ends the mail nor had a dot put in front.
    #[error("a line of the mail begins with a dot that was not doubled")]
    Dot,
    /// More recipients of a mail than `MAX_RECIPIENTS`, or more mails than `MAX_TRANSACTIONS`.
    #[error("too many mails or recipients at once")]
    TooMany,
}

/// Reads a whole batch: `MAIL FROM:<..>`, one or more `RCPT TO:<..>`, `DATA`, the mail, a line with a dot, as often as
/// there are mails; `HELO`, `EHLO` or `LHLO` before any of them, and `QUIT` as the last line, if they are there.
///
/// Every line of commands ends as the first one does, with LF or with CRLF, and so does the dot. Where that is CRLF, an
/// LF alone stands nowhere. Parameters behind an address are passed over.
///
/// # Errors
/// See [`BsmtpError`].
pub fn read(input: &[u8]) -> Result<Vec<Transaction>, BsmtpError> {
    let mut lines = Lines::of(input);
    let mut found = Vec::new();
    let mut begun: Option<Transaction> = None;
    while let Some(line) = lines.next()? {
        let first = lines.is_first();
        match (Command::read(line).ok_or(if first { BsmtpError::NotBsmtp } else { BsmtpError::Command })?, &mut begun) {
            (Command::Hello, None) => {}
            (Command::Mail(sender), None) if found.len() < MAX_TRANSACTIONS => {
                begun = Some(Transaction { sender, recipients: Vec::new(), misaddressed: false, mail: Vec::new() });
            }
            (Command::Mail(_), None) => return Err(BsmtpError::TooMany),
            (Command::Recipient(_), Some(begun)) if begun.recipients.len() == MAX_RECIPIENTS => {
                return Err(BsmtpError::TooMany);
            }
            (Command::Recipient(Some(address)), Some(begun)) => begun.recipients.push(address),
            (Command::Recipient(None), Some(begun)) => begun.misaddressed = true,
            (Command::Data, Some(addressed)) if addressed.misaddressed || !addressed.recipients.is_empty() => {
                addressed.mail = lines.mail()?;
                found.extend(begun.take());
            }
            (Command::Quit, None) if lines.rest.is_empty() => break,
            _ => return Err(BsmtpError::Command),
        }
    }
    match (begun, found.is_empty()) {
        (Some(_), _) => Err(BsmtpError::CutOff),
        (None, true) => Err(BsmtpError::NotBsmtp),
        (None, false) => Ok(found),
    }
}

/// The lines of a batch.
struct Lines<'a> {
    rest: &'a [u8],
    end: &'static [u8],
    taken: usize,
}

impl<'a> Lines<'a> {
    fn of(input: &'a [u8]) -> Self {
        let first = input.split_inclusive(|&b| b == b'\n').next().unwrap_or_default();
        Self { rest: input, end: if first.ends_with(b"\r\n") { b"\r\n" } else { b"\n" }, taken: 0 }
    }

    const fn is_first(&self) -> bool {
        self.taken == 1
    }

    /// The next line without its end; none after the last.
    fn next(&mut self) -> Result<Option<&'a [u8]>, BsmtpError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let end = self.rest.iter().position(|&b| b == b'\n').ok_or(BsmtpError::CutOff)?;
        let (line, rest) = self.rest.split_at_checked(end.saturating_add(1)).ok_or(BsmtpError::CutOff)?;
        self.rest = rest;
        self.taken = self.taken.saturating_add(1);
        line.strip_suffix(self.end).map(Some).ok_or(BsmtpError::LineEnd)
    }

    /// What stands before the next line with nothing but a dot.
    fn mail(&mut self) -> Result<Vec<u8>, BsmtpError> {
        let mut mail = Vec::new();
        loop {
            let line = self.next()?.ok_or(BsmtpError::CutOff)?;
            let text = match line.strip_prefix(b".") {
                None => line,
                Some(b"") => return Ok(mail),
                Some(stuffed) if stuffed.starts_with(b".") => stuffed,
                Some(_) => return Err(BsmtpError::Dot),
            };
            mail.extend_from_slice(text);
            mail.extend_from_slice(self.end);
        }
    }
}

enum Command {
    Hello,
    Mail(Option<Address>),
    /// None is no address.
    Recipient(Option<Address>),
    Data,
    Quit,
}

impl Command {
    fn read(line: &[u8]) -> Option<Self> {
        let line = str::from_utf8(line).ok().filter(|line| line.len() <= MAX_COMMAND)?;
        if line.chars().any(char::is_control) {
            return None;
        }
        if let Some(path) = after(line, "MAIL FROM:") {
            let (sender, _) = angle(path)?;
            return Some(Self::Mail(Address::parse(sender).ok()));
        }
        if let Some(path) = after(line, "RCPT TO:") {
            let (recipient, _) = angle(path)?;
            return Some(Self::Recipient(Address::parse(recipient).ok()));
        }
        match line.split(' ').next()?.to_ascii_uppercase().as_str() {
            "HELO" | "EHLO" | "LHLO" => Some(Self::Hello),
            "DATA" if line.len() == 4 => Some(Self::Data),
            "QUIT" if line.len() == 4 => Some(Self::Quit),
            _ => None,
        }
    }
}

/// What follows `command`, in any case, with or without a space.
fn after<'a>(line: &'a str, command: &str) -> Option<&'a str> {
    let (head, rest) = line.split_at_checked(command.len())?;
    head.eq_ignore_ascii_case(command).then(|| rest.strip_prefix(' ').unwrap_or(rest))
}

/// What stands in the angle brackets in front of `path`, and the parameters behind them.
fn angle(path: &str) -> Option<(&str, &str)> {
    let inner = path.strip_prefix('<')?;
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in inner.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '>' if !quoted => {
                let (address, rest) = inner.split_at_checked(at)?;
                let parameters = rest.strip_prefix('>')?;
                return (parameters.is_empty() || parameters.starts_with(' ')).then_some((address, parameters));
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Plain = (Option<String>, Vec<String>, String);

    fn plain(input: &str) -> Result<Vec<Plain>, BsmtpError> {
        let plain = |t: Transaction| {
            let recipients = t.recipients.iter().map(ToString::to_string).collect();
            (t.sender.map(|sender| sender.to_string()), recipients, String::from_utf8(t.mail).unwrap())
        };
        read(input.as_bytes()).map(|found| found.into_iter().map(plain).collect())
    }

    fn one(sender: Option<&str>, recipients: &[&str], mail: &str) -> Plain {
        (sender.map(str::to_owned), recipients.iter().map(|&to| to.to_owned()).collect(), mail.to_owned())
    }

    const FRONT: &str = "MAIL FROM:<a@b.org>\nRCPT TO:<c@d.fog>\nDATA\n";

    #[test]
    fn a_batch_of_one_mail_or_more_is_read() {
        for (input, want) in [
            (format!("{FRONT}X: y\n\nhi\n.\n"), vec![one(Some("a@b.org"), &["c@d.fog"], "X: y\n\nhi\n")]),
            (format!("{FRONT}.\n"), vec![one(Some("a@b.org"), &["c@d.fog"], "")]),
            (
                "EHLO here\r\nMAIL FROM:<>\r\nRCPT TO:<c@d.fog>\r\nRCPT TO:<e@d.fog>\r\nDATA\r\n..\r\n..x\r\n\r\n.\r\nQUIT\r\n"
                    .to_owned(),
                vec![one(None, &["c@d.fog", "e@d.fog"], ".\r\n.x\r\n\r\n")],
            ),
            (
                "mail from: <a@b.org> BODY=8BITMIME SIZE=9\nrcpt to:<\"c>\\\" x\"@d.fog> NOTIFY=NEVER\ndata\n.\n".to_owned(),
                vec![one(Some("a@b.org"), &["\"c>\\\" x\"@d.fog"], "")],
            ),
            (
                format!("HELO a\n{FRONT}1\n.\nHELO b\n{FRONT}2\n.\n"),
                vec![one(Some("a@b.org"), &["c@d.fog"], "1\n"), one(Some("a@b.org"), &["c@d.fog"], "2\n")],
            ),
            // A sender that is no address only means that nobody can be told of a failure.
            ("MAIL FROM:<a@[192.0.2.1]>\nRCPT TO:<c@d.fog>\nDATA\n.\n".to_owned(), vec![one(None, &["c@d.fog"], "")]),
            // What ends a line elsewhere is text here.
            (
                format!("{FRONT}a\r.\rMAIL FROM:<x@y>\r\n..\r\nb\0\n.\n"),
                vec![one(Some("a@b.org"), &["c@d.fog"], "a\r.\rMAIL FROM:<x@y>\r\n.\r\nb\0\n")],
            ),
        ] {
            assert_eq!(plain(&input), Ok(want), "{input:?}");
        }
    }

    #[test]
    fn whatever_is_wrong_nothing_is_taken() {
        use BsmtpError::{Command, CutOff, Dot, LineEnd, NotBsmtp, TooMany};
        let two = format!("{FRONT}1\n.\n");
        for (input, want) in [
            (String::new(), NotBsmtp),
            ("Subject: x\n\nhi\n".to_owned(), NotBsmtp),
            ("From a@b  Sun Nov 22 19:22:11 2026\n".to_owned(), NotBsmtp),
            ("QUIT\n".to_owned(), NotBsmtp),
            (FRONT.to_owned(), CutOff),
            (format!("{FRONT}hi"), CutOff),
            (format!("{FRONT}hi\n"), CutOff),
            (format!("{FRONT}hi\n."), CutOff),
            (format!("{two}MAIL FROM:<a@b.org>\n"), CutOff),
            (format!("{two}MAIL FR"), CutOff),
            (format!("{FRONT}.hi\n.\n"), Dot),
            (format!("{FRONT}.\r\n.\n"), Dot),
            (format!("{FRONT}. \n.\n"), Dot),
            (format!("{two}hi\n"), Command),
            (format!("{two}\n"), Command),
            (format!("{two}.\n"), Command),
            (format!("{two}QUIT\n{two}"), Command),
            (format!("{two}RCPT TO:<c@d.fog>\n"), Command),
            (format!("{two}DATA\n"), Command),
            ("MAIL FROM:<a@b.org>\nDATA\n.\n".to_owned(), Command),
            ("MAIL FROM:<a@b.org>\nMAIL FROM:<a@b.org>\n".to_owned(), Command),
            ("MAIL FROM:<a@b.org>\nHELO x\n".to_owned(), Command),
            ("MAIL FROM:<a@b.org>\nQUIT\n".to_owned(), Command),
            ("MAIL FROM:<a@b.org>\nRCPT TO:<c@d.fog>\nDATA x\n.\n".to_owned(), Command),
            ("MAIL FROM:<a@b.org>\nRCPT TO:<c@d.fog>\r\nDATA\n.\n".to_owned(), Command),
            ("MAIL FROM:<a@b.org\n".to_owned(), NotBsmtp),
            ("MAIL FROM:a@b.org\n".to_owned(), NotBsmtp),
            (format!("HELO {}\n", "x".repeat(MAX_COMMAND)), NotBsmtp),
            ("MAIL FROM:<a@b.org>\nRCPT TO:<c@d\0.fog>\n".to_owned(), Command),
            ("MAIL FROM:<a@b.org>\nRCPT TO:c@d.fog\n".to_owned(), Command),
            ("MAIL FROM:<a@b.org>\nRCPT TO:<-c@d.fog>\n".to_owned(), CutOff),
            ("MAIL FROM:<a@b.org>\nRCPT TO:<c@d.fog>RCPT TO:<e@d.fog>\n".to_owned(), Command),
            ("MAIL FROM:<a@b.org>\r\nRCPT TO:<c@d.fog>\n".to_owned(), LineEnd),
            ("MAIL FROM:<>\r\nRCPT TO:<c@d.fog>\r\nDATA\r\na\n.\nMAIL FROM:<x@y>\r\n.\r\n".to_owned(), LineEnd),
            (format!("MAIL FROM:<>\n{}", "RCPT TO:<c@d.fog>\n".repeat(MAX_RECIPIENTS + 1)), TooMany),
            (two.repeat(MAX_TRANSACTIONS + 1), TooMany),
        ] {
            let start: String = input.chars().take(80).collect();
            assert_eq!(plain(&input), Err(want), "{start:?}");
        }
        assert_eq!(plain(&two.repeat(MAX_TRANSACTIONS)).unwrap().len(), MAX_TRANSACTIONS);
    }

    #[test]
    fn recipients_that_are_no_addresses_are_told_of_beside_the_others() {
        for bad in ["", "-c@d.fog", "@x,@y:c@d.fog", "c@[192.0.2.1].fog"] {
            let [alone] = read(format!("MAIL FROM:<a@b.org>\nRCPT TO:<{bad}>\nDATA\nhi\n.\n").as_bytes())
                .unwrap()
                .try_into()
                .unwrap();
            assert_eq!((alone.misaddressed, alone.recipients.len(), alone.mail.as_slice()), (true, 0, &b"hi\n"[..]));
            assert_eq!(alone.sender.unwrap().to_string(), "a@b.org");
            let both = read(FRONT.replace("DATA", &format!("RCPT TO:<{bad}>\nDATA\n.")).as_bytes()).unwrap();
            assert!(both[0].misaddressed && both[0].recipients.len() == 1, "{bad}");
        }
        assert!(!read(format!("{FRONT}.\n").as_bytes()).unwrap()[0].misaddressed);
    }

    /// As Exim writes it: a dot put in front of every line that begins with one, whatever else is in the mail.
    fn batch(mail: &[u8]) -> Vec<u8> {
        let mut wire = FRONT.as_bytes().to_vec();
        for line in mail.split_inclusive(|&b| b == b'\n') {
            if line.starts_with(b".") {
                wire.push(b'.');
            }
            wire.extend_from_slice(line);
        }
        if !mail.is_empty() && !mail.ends_with(b"\n") {
            wire.push(b'\n');
        }
        wire.extend_from_slice(b".\n");
        wire
    }

    proptest! {
        #[test]
        fn a_mail_with_any_soup_of_line_ends_and_dots_is_one_mail_and_comes_whole(pieces in prop::collection::vec(
            prop::sample::select(vec![
                &b"."[..], b"\r", b"\n", b"\r\n", b"a", b"..", b"\r\n.", b"\0", b"\xff", b"\r\r\n.\r\n", b"\n.\n",
                b"\r.\r", b"\n.\r\n", b"\r\n.\n", b"MAIL FROM:<x@y.org>\n", b"RCPT TO:<v@w.fog>\n", b"DATA\n", b"QUIT\n",
            ]), 0..16,
        )) {
            let mail = pieces.concat();
            let end: &[u8] = if mail.is_empty() || mail.ends_with(b"\n") { b"" } else { b"\n" };
            let found = read(&batch(&mail)).unwrap();
            prop_assert_eq!(found.len(), 1);
            prop_assert_eq!(&found[0].mail, &[mail.as_slice(), end].concat());
        }

        #[test]
        fn a_batch_cut_anywhere_is_never_taken(cut in any::<prop::sample::Index>(), crlf in any::<bool>()) {
            let whole = "HELO x\nMAIL FROM:<a@b.org>\nRCPT TO:<c@d.fog>\nDATA\nX: y\n\n..\n.\n";
            let whole = if crlf { whole.replace('\n', "\r\n") } else { whole.to_owned() };
            let cut = cut.index(whole.len());
            prop_assert!(read(&whole.as_bytes()[..cut]).is_err(), "{:?}", &whole[..cut]);
            prop_assert!(read(whole.as_bytes()).is_ok());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&bytes);
            let _ = read(&[FRONT.as_bytes(), &bytes].concat());
        }
    }
}
