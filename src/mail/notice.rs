//! What a sender is told of a mail that has left their hands: a delivery status notification (RFC 3464) in which nothing
//! of the mail stands, neither its recipient nor its subject nor its text. It goes by the mail's name on this node.

use super::address::Address;
use super::header::write_line;
use super::names::Names;
use super::source::Part;
use crate::time::Time;
use mail_builder::headers::date::Date;

/// The last second of the year 9999: what a Date can say.
const LAST_DATE: u64 = 253_402_300_799;

/// The header field by which a mail asks for a notice when it has arrived, or for none of what makes one possible. It
/// stays behind, as every field does that isn't on the list of what may go.
pub const FIELD: &str = "X-Fog-Receipt";

/// What a mail as its sender wrote it says of receipts: `yes`, `no`, or nothing that is understood.
#[must_use]
pub fn asked(raw: &[u8]) -> Option<bool> {
    let value = Part::mail(raw).ok()?.value(&FIELD.to_ascii_lowercase())?.trim_ascii();
    [(&b"yes"[..], true), (b"no", false)]
        .into_iter()
        .find(|(word, _)| value.eq_ignore_ascii_case(word))
        .map(|(_, yes)| yes)
}

/// What became of the mail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate<'r> {
    /// It was not taken in: a status code (RFC 3463) and why.
    NotTaken(&'r str, &'r str),
    /// No way was found for it in time: nothing of it has left.
    NeverLeft,
    /// It was sent, and nobody has said that it arrived.
    Unanswered,
    /// The recipient's side refused it for good.
    Refused,
    /// The mail server at the network's end has it.
    Arrived,
}

/// All that goes into a notice.
#[derive(Debug)]
pub struct Notice<'r> {
    /// The mail's sender, who gets it.
    pub to: &'r Address,
    /// The mail's name on this node.
    pub id: &'r str,
    /// What became of it.
    pub fate: Fate<'r>,
    /// How long ago it was handed in, in whole hours.
    pub hours: u64,
    /// When the notice is made; its seconds are not shown.
    pub date: Time,
    /// Message-ID and boundary come from it; drawn for this notice and kept by nobody.
    pub seed: [u8; 32],
}

impl Notice<'_> {
    /// The mail, to be handed over with the null sender. Every line ends with CRLF and is plain ASCII.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let domain = self.to.domain();
        let mut names = Names::new(&self.seed, domain);
        let (id, boundary) = (names.message_id(), names.boundary());
        let minute = self.date.as_secs().min(LAST_DATE) / 60 * 60;
        let mut out = Vec::with_capacity(2048);
        write_line(&mut out, "From", &format!("Mail Delivery System <MAILER-DAEMON@{domain}>"));
        write_line(&mut out, "To", &self.to.to_string());
        write_line(&mut out, "Subject", self.subject());
        write_line(&mut out, "Date", &Date::new(i64::try_from(minute).unwrap_or_default()).to_rfc822());
        write_line(&mut out, "Message-ID", &format!("<{id}@{domain}>"));
        write_line(&mut out, "Auto-Submitted", "auto-replied");
        write_line(&mut out, "MIME-Version", "1.0");
        out.extend_from_slice(b"Content-Type: multipart/report; report-type=delivery-status;\r\n");
        out.extend_from_slice(format!(" boundary=\"{boundary}\"\r\n\r\n").as_bytes());
        let (action, status) = self.action_and_status();
        for (kind, text) in [
            ("text/plain; charset=us-ascii", self.text()),
            ("message/delivery-status", {
                // The recipient's field has to be there, and has the mail's name: whom it was to is nobody's business.
                let group = format!("Final-Recipient: x-fog; {}\r\nAction: {action}\r\nStatus: {status}\r\n", self.id);
                format!("Reporting-MTA: x-fog; {domain}\r\n\r\n{group}")
            }),
        ] {
            out.extend_from_slice(format!("--{boundary}\r\nContent-Type: {kind}\r\n\r\n{text}\r\n").as_bytes());
        }
        out.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
        out
    }

    const fn subject(&self) -> &'static str {
        match self.fate {
            Fate::Arrived => "An anonymous mail of yours has been handed over",
            Fate::NotTaken(..) | Fate::NeverLeft | Fate::Unanswered | Fate::Refused => {
                "An anonymous mail of yours was not delivered"
            }
        }
    }

    const fn action_and_status(&self) -> (&'static str, &str) {
        match self.fate {
            Fate::NotTaken(status, _) => ("failed", status),
            Fate::NeverLeft | Fate::Unanswered => ("failed", "5.4.7"),
            Fate::Refused => ("failed", "5.0.0"),
            // Whether its recipient gets it is up to that server, and it is not asked to tell.
            Fate::Arrived => ("relayed", "2.0.0"),
        }
    }

    fn text(&self) -> String {
        let what = match self.fate {
            Fate::NotTaken(_, why) => format!("was not sent:\r\n{why}."),
            Fate::NeverLeft => "was not sent: no way was found for it in time.\r\n\
                 Nothing of it has left this machine."
                .into(),
            Fate::Unanswered => "has been sent, and nothing has come\r\n\
                 back that says it arrived. It is given up. It may have arrived all the same."
                .into(),
            Fate::Refused => "has crossed the network, and its\r\nrecipient's side refuses it for good.".into(),
            Fate::Arrived => "has crossed the network, and the mail server\r\n\
                 at its end has taken it over."
                .into(),
        };
        let ago = match self.hours {
            0 => "less than an hour ago".to_owned(),
            1 => "an hour ago".to_owned(),
            hours => format!("{hours} hours ago"),
        };
        format!(
            "The mail that you handed in {ago} for the anonymous network,\r\n\
             and that is {} here, {what}\r\n\r\n\
             Neither its recipient nor its subject nor its text stands in this notice,\r\n\
             so that nobody who reads it learns whom you write to.\r\n",
            self.id
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail_parser::{MessageParser, MimeHeaders};

    const FATES: [Fate<'static>; 5] = [
        Fate::NotTaken("5.3.4", "the mail is bigger than the network takes"),
        Fate::NeverLeft,
        Fate::Unanswered,
        Fate::Refused,
        Fate::Arrived,
    ];

    fn written(fate: Fate<'_>, hours: u64) -> String {
        let to = Address::parse("carol@example.org").unwrap();
        let date = Time::from_secs(1_800_000_059);
        String::from_utf8(Notice { to: &to, id: "0a0b0c0d0e0f", fate, hours, date, seed: [7; 32] }.write()).unwrap()
    }

    #[test]
    fn a_notice_is_a_delivery_report_that_a_mail_program_can_read() {
        for (fate, action, status) in [
            (FATES[0], "failed", "5.3.4"),
            (FATES[1], "failed", "5.4.7"),
            (FATES[2], "failed", "5.4.7"),
            (FATES[3], "failed", "5.0.0"),
            (FATES[4], "relayed", "2.0.0"),
        ] {
            let text = written(fate, 5);
            let mail = MessageParser::default().parse(text.as_bytes()).unwrap();
            let kind = mail.content_type().unwrap();
            assert_eq!((kind.ctype(), kind.subtype()), ("multipart", Some("report")));
            assert_eq!(kind.attribute("report-type"), Some("delivery-status"));
            assert_eq!(mail.parts.len(), 3, "the multipart, what people read, and what programs read");
            assert!(mail.body_text(0).unwrap().contains("5 hours ago"), "{text}");
            let report = mail.parts[2].content_type().unwrap();
            assert_eq!((report.ctype(), report.subtype()), ("message", Some("delivery-status")));
            let report = String::from_utf8(mail.parts[2].contents().to_vec()).unwrap();
            let want = format!(
                "Reporting-MTA: x-fog; example.org\r\n\r\n\
                 Final-Recipient: x-fog; 0a0b0c0d0e0f\r\nAction: {action}\r\nStatus: {status}\r\n"
            );
            assert_eq!(report.trim_end(), want.trim_end());
            assert_eq!(mail.from().unwrap().first().unwrap().address(), Some("MAILER-DAEMON@example.org"));
            assert_eq!(mail.to().unwrap().first().unwrap().address(), Some("carol@example.org"));
            assert_eq!(mail.header_raw("Auto-Submitted").map(str::trim), Some("auto-replied"), "nobody answers it");
        }
    }

    #[test]
    fn a_notice_is_lines_of_ascii_that_any_mta_takes_and_the_same_for_the_same_seed() {
        for fate in FATES {
            let text = written(fate, 0);
            assert_eq!(text, written(fate, 0));
            assert!(text.is_ascii() && text.ends_with("\r\n"));
            assert!(text.replace("\r\n", "").bytes().all(|byte| byte >= b' '), "a bare line end");
            assert!(text.lines().all(|line| line.len() <= 78), "{text}");
        }
    }

    #[test]
    fn what_a_mail_asks_for_is_read_from_its_header_alone() {
        for (mail, want) in [
            ("Subject: x\r\nX-Fog-Receipt: yes\r\n\r\nhi\r\n", Some(true)),
            ("x-fog-receipt: NO \n\nhi\n", Some(false)),
            ("X-Fog-Receipt: perhaps\n\nhi\n", None),
            ("Subject: x\n\nX-Fog-Receipt: yes\n", None),
            ("", None),
        ] {
            assert_eq!(asked(mail.as_bytes()), want, "{mail:?}");
        }
    }

    #[test]
    fn ages_are_told_in_whole_hours() {
        for (hours, want) in [(0, "less than an hour ago"), (1, "an hour ago"), (53, "53 hours ago")] {
            assert!(written(Fate::Refused, hours).contains(want));
        }
        assert!(written(Fate::Refused, 0).contains("08:00:00 +0000"), "the date says no seconds");
    }

    #[test]
    fn only_what_left_may_have_arrived() {
        let said = |fate| written(fate, 9);
        assert!(said(Fate::NeverLeft).contains("Nothing of it has left"));
        assert!(said(Fate::Unanswered).contains("may have arrived"));
        assert!(!said(Fate::NeverLeft).contains("may have arrived"));
        assert!(said(FATES[0]).contains("bigger than the network takes"));
    }
}
