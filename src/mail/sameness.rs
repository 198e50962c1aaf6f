//! What of a mail stays the same when it comes again: through another door of the MTA, or under another queue id.

use super::source::{self, Part};
use crate::time::Time;

/// How far apart two mails may be that nothing but their text tells apart, in seconds: from once to twice as far.
const MOMENT: u64 = 60;

/// Shorter queue ids could stand in a Message-ID by chance.
const MIN_QUEUE_ID: usize = 5;

/// Fields that the recipient gets, beside those that the MTA may make.
const SENT: [&str; 7] =
    ["subject", "content-type", "newsgroups", "followup-to", "in-reply-to", "references", "content-language"];

/// How a mail came to the MTA.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arrived {
    /// By its sendmail program: it keeps the mail in a file, and a Date that it adds is the file's.
    BySendmail,
    /// From a client: a Date that the MTA adds is new each time.
    BySmtp(Time),
}

/// The lines of the body without their ends, and without empty ones at its end: what no MTA changes on the way to its
/// pipe.
pub fn body(mail: &[u8]) -> impl Iterator<Item = &[u8]> {
    let body = source::lines(mail).find(|line| line.text.is_empty()).map_or(&b""[..], |line| line.rest);
    let end = body.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |last| last + 1);
    let kept = body.get(..end).unwrap_or_default();
    // Of nothing there is one line, an empty one.
    source::lines(kept).filter(|_| !kept.is_empty()).map(|line| line.text)
}

/// What a mail that a client sends once more is known by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Known {
    /// It is the same if one of these was there before.
    pub marks: [[u8; 32]; 2],
    /// However much later it comes: no proof, but with what else is known of the one before it may be enough.
    pub text: [u8; 32],
}

/// What this mail is known by if it comes once more. `client` is all that is known of who sends it: two who say the same
/// are two.
///
/// The client's own Message-ID or Date tell two mails of the same text apart. The MTA's can't: they are made anew each
/// time, the Message-ID from `queue_id`. A mail with nothing of its own is known for a minute or two, which is enough
/// for a client that tries again at once; for longer, the second of two alarms of the same words would be lost.
#[must_use]
pub fn marks(mail: &[u8], queue_id: &[u8], arrived: Arrived, client: &[&[u8]]) -> Known {
    let fields = Part::mail(mail).map(|part| part.fields).unwrap_or_default();
    let find = |name: &str| fields.iter().position(|field| field.name.eq_ignore_ascii_case(name.as_bytes()));
    let (id, date) = (find("message-id"), find("date"));
    let is_made = |at: usize| fields.get(at).is_some_and(|field| is_made_from(field.value, queue_id));
    let made = id.filter(|at| is_made(*at));
    let own_id = id.filter(|_| made.is_none());
    // The MTA puts what is missing behind what is there, the Message-ID first. Beside the client's own Message-ID nothing
    // tells whose the Date is, and nothing needs to.
    let is_own = |date: &usize| made.is_none_or(|made| *date < made) || arrived == Arrived::BySendmail;
    let own_date = date.filter(|date| own_id.is_none() && is_own(date));
    let mut hash = blake3::Hasher::new_derive_key("fog 2026-11 a mail that comes again");
    let named =
        |name: &'static str| fields.iter().filter(move |field| field.name.eq_ignore_ascii_case(name.as_bytes()));
    let kept = own_id.into_iter().chain(own_date).filter_map(|at| fields.get(at));
    client.iter().for_each(|part| add(&mut hash, part));
    for field in kept.chain(SENT.into_iter().flat_map(named)) {
        add(&mut hash, &field.name.to_ascii_lowercase());
        add(&mut hash, field.value.trim_ascii());
    }
    body(mail).for_each(|line| add(&mut hash, line));
    let moment = match arrived {
        Arrived::BySmtp(now) if own_id.is_none() && own_date.is_none() => Some(now.as_secs() / MOMENT),
        _ => None,
    };
    let marks = [0, 1].map(|back| {
        let mut hash = hash.clone();
        if let Some(moment) = moment {
            hash.update(&moment.saturating_sub(back).to_be_bytes());
        }
        *hash.finalize().as_bytes()
    });
    Known { marks, text: *hash.finalize().as_bytes() }
}

fn is_made_from(id: &[u8], queue_id: &[u8]) -> bool {
    queue_id.len() >= MIN_QUEUE_ID && id.windows(queue_id.len()).any(|part| part == queue_id)
}

/// With its length, so that no two lists are the same bytes.
fn add(hash: &mut blake3::Hasher, part: &[u8]) {
    hash.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes()).update(part);
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Time = Time::from_secs(1_800_000_000);

    fn same(a: &str, id_a: &str, b: &str, id_b: &str, arrived: [Arrived; 2]) -> bool {
        let a = marks(a.as_bytes(), id_a.as_bytes(), arrived[0], &[b"ann"]).marks;
        let b = marks(b.as_bytes(), id_b.as_bytes(), arrived[1], &[b"ann"]).marks;
        a.iter().any(|mark| b.contains(mark))
    }

    #[test]
    fn a_mail_that_its_client_sends_again_is_the_same() {
        let smtp = [Arrived::BySmtp(NOON), Arrived::BySmtp(NOON.plus(std::time::Duration::from_hours(1)))];
        let local = [Arrived::BySendmail; 2];
        let soon = [Arrived::BySmtp(NOON), Arrived::BySmtp(NOON.plus(std::time::Duration::from_secs(50)))];
        for (first, again, arrived, want) in [
            (
                "Message-ID: <a@b>\nSubject: s\n\nhi\n",
                "Received: x\nMessage-ID: <a@b>\r\nSubject: s\n\nhi\r\n\r\n",
                smtp,
                true,
            ),
            ("Message-ID: <a@b>\nDate: 1\n\nhi\n", "Message-ID: <a@b>\nDate: 2\n\nhi\n", smtp, true),
            ("Message-ID: <a@b>\n\nhi\n", "Message-ID: <c@b>\n\nhi\n", smtp, false),
            ("Message-ID: <a@b>\n\nhi\n", "Message-ID: <a@b>\n\nho\n", smtp, false),
            ("Message-ID: <a@b>\nSubject: s\n\nhi\n", "Message-ID: <a@b>\nSubject: t\n\nhi\n", smtp, false),
            // Made by the MTA.
            (
                "A: b\nMessage-Id: <QUEUE1@mx>\nDate: 1\n\nhi\n",
                "A: b\nMessage-Id: <QUEUE2@mx>\nDate: 1\n\nhi\n",
                local,
                true,
            ),
            (
                "A: b\nMessage-Id: <QUEUE1@mx>\nDate: 1\n\nhi\n",
                "A: b\nMessage-Id: <QUEUE2@mx>\nDate: 2\n\nhi\n",
                local,
                false,
            ),
            (
                "A: b\nMessage-Id: <QUEUE1@mx>\nDate: 1\n\nhi\n",
                "A: b\nMessage-Id: <QUEUE2@mx>\nDate: 2\n\nhi\n",
                soon,
                true,
            ),
            (
                "A: b\nMessage-Id: <QUEUE1@mx>\nDate: 1\n\nhi\n",
                "A: b\nMessage-Id: <QUEUE2@mx>\nDate: 2\n\nhi\n",
                smtp,
                false,
            ),
            ("Date: 1\nMessage-Id: <QUEUE1@mx>\n\nhi\n", "Date: 1\nMessage-Id: <QUEUE2@mx>\n\nhi\n", smtp, true),
            ("Date: 1\nMessage-Id: <QUEUE1@mx>\n\nhi\n", "Date: 2\nMessage-Id: <QUEUE2@mx>\n\nhi\n", soon, false),
            ("Subject: down\n\nhi\n", "Subject: down\n\nhi\n", soon, true),
            ("Subject: down\n\nhi\n", "Subject: down\n\nhi\n", smtp, false),
            ("Date: 1\n\nhi\n", "Date: 1\n\nhi\n", smtp, true),
            // No mail at all: refused by the node, whatever it is known by.
            ("no header\n\nhi\n", "no header\n\nhi\n", local, true),
        ] {
            assert_eq!(same(first, "QUEUE1", again, "QUEUE2", arrived), want, "{first}{again}");
        }
    }

    #[test]
    fn a_text_is_the_same_at_any_time_and_under_any_queue_id() {
        let text = |mail: &str, id: &str, after: u64| {
            let arrived = Arrived::BySmtp(NOON.plus(std::time::Duration::from_secs(after)));
            marks(mail.as_bytes(), id.as_bytes(), arrived, &[b"ann"]).text
        };
        let first = text("A: b\nMessage-Id: <QUEUE1@mx>\nDate: 1\n\nhi\n", "QUEUE1", 0);
        assert_eq!(text("A: c\nMessage-Id: <QUEUE2@mx>\nDate: 2\n\nhi\n", "QUEUE2", 40_000), first);
        assert_ne!(text("A: b\nMessage-Id: <QUEUE2@mx>\nDate: 2\n\nho\n", "QUEUE2", 0), first);
    }

    #[test]
    fn the_end_of_one_field_is_not_the_start_of_the_next() {
        let local = [Arrived::BySendmail; 2];
        assert!(!same("Date: 1\nSubject: 2\n\n", "", "Date: 12\nSubject:\n\n", "", local));
        assert!(!same("Date: 1\n\nab\n", "", "Date: 1\n\na\nb\n", "", local));
    }

    #[test]
    fn two_clients_who_say_the_same_and_two_postings_are_not_one_mail() {
        let of = |mail: &str, client: &[&[u8]]| marks(mail.as_bytes(), b"QUEUE1", Arrived::BySmtp(NOON), client);
        let mail = "Subject: s\n\ndown\n";
        assert_eq!(of(mail, &[b"ann", b"::1"]), of(mail, &[b"ann", b"::1"]));
        for other in [&[b"bob".as_slice(), b"::1"][..], &[b"ann", b"::2"], &[b"ann::1"], &[b"", b"ann::1"]] {
            assert_ne!(of(mail, &[b"ann", b"::1"]), of(mail, other), "{other:?}");
        }
        for field in SENT {
            assert_ne!(of(&format!("{field}: a\n{mail}"), &[]), of(&format!("{field}: b\n{mail}"), &[]), "{field}");
        }
    }

    #[test]
    fn a_body_is_its_lines_however_they_end() {
        for (mail, want) in [
            (&b"A: b\r\n\r\none\r\n\r\n\r\ntwo\r\n\r\n"[..], &[&b"one"[..], b"", b"", b"two"][..]),
            (b"A: b\n\none\n\n\ntwo", &[b"one", b"", b"", b"two"]),
            (b"A: b\n\n\n\none\n", &[b"", b"", b"one"]),
            (b"A: b\n\n\n\n", &[]),
            (b"A: b\n", &[]),
            (b"", &[]),
        ] {
            assert_eq!(body(mail).collect::<Vec<_>>(), want, "{mail:?}");
        }
    }
}
