//! Recipients in the header: `Anon-To:` and `Anon-Post-To:` of a mail to `anon@fog.invalid`.
//!
//! So an MTA that logs the recipient logs nothing. The fields are taken out of the mail before anybody else sees it.

use super::address::{Address, AddressError};
use super::edit::take_out;
use super::news::{self, NotAGroup};
use super::recipients::entries;
use super::sanitize::Refused;
use thiserror::Error;

/// The recipient that says: look into the header.
pub const DOOR: &str = "anon@fog.invalid";

/// Most recipients that a header may hide.
pub const MAX_HIDDEN: usize = 100;

const FIELDS: [&str; 2] = ["anon-to", "anon-post-to"];

/// A mail with its hidden recipients taken out.
#[derive(PartialEq, Eq)]
pub struct Opened {
    /// Each under the network's suffix, in their order, none twice; 1 to `MAX_HIDDEN`.
    pub recipients: Vec<Address>,
    /// The mail without the fields that named them.
    pub mail: Vec<u8>,
}

/// Why the recipients can't be had. Carries nothing of the mail. None of them gets it then.
#[derive(Debug, Error, PartialEq, Eq, Clone, Copy)]
pub enum HiddenError {
    /// Neither field is there, or nothing is in them.
    #[error("the mail names no recipient in Anon-To or Anon-Post-To")]
    None,
    /// One of them is no address.
    #[error("a recipient in Anon-To is no mail address")]
    Address(#[from] AddressError),
    /// One of them is no newsgroup.
    #[error("a group in Anon-Post-To is no newsgroup")]
    Group(#[from] NotAGroup),
    /// More than `MAX_HIDDEN`.
    #[error("there are more than {MAX_HIDDEN} recipients in Anon-To and Anon-Post-To")]
    TooMany,
    /// The header can't be read.
    #[error(transparent)]
    Header(#[from] Refused),
}

/// Whether mail to `address` has its recipients in its header.
#[must_use]
pub fn is_door(address: &Address) -> bool {
    DOOR.rsplit_once('@')
        .is_some_and(|(local, domain)| address.local().eq_ignore_ascii_case(local) && address.domain() == domain)
}

/// Takes the recipients out of the header of a mail.
///
/// `Anon-To` holds addresses as To does, with or without the suffix; `Anon-Post-To` newsgroups with commas between. Both
/// may stand more than once.
///
/// # Errors
/// See [`HiddenError`]: one bad recipient is enough.
pub fn open(mail: &[u8], suffix: &str) -> Result<Opened, HiddenError> {
    let (taken, mut mail) = take_out(mail, &FIELDS)?;
    let mut recipients: Vec<Address> = Vec::new();
    for (field, value) in taken {
        let found = if field == 0 { addresses(value, suffix)? } else { groups(value, suffix)? };
        for recipient in found {
            if !recipients.contains(&recipient) {
                recipients.push(recipient);
            }
        }
        if recipients.len() > MAX_HIDDEN {
            return Err(HiddenError::TooMany);
        }
    }
    if recipients.is_empty() {
        return Err(HiddenError::None);
    }
    if mail.starts_with(b"\n") || mail.starts_with(b"\r\n") {
        // Nothing else was in the header, and a mail without one is none.
        mail.splice(..0, format!("To: {DOOR}\r\n").into_bytes());
    }
    Ok(Opened { recipients, mail })
}

fn addresses(value: &[u8], suffix: &str) -> Result<Vec<Address>, HiddenError> {
    let texts = entries(value).ok_or(AddressError::Incomplete)?;
    if texts.len() > MAX_HIDDEN {
        return Err(HiddenError::TooMany);
    }
    let mut found = Vec::new();
    for text in texts {
        let address = Address::parse(&text)?;
        if is_door(&address) {
            // It would come out of an exit and look for a door there.
            return Err(AddressError::Domain.into());
        }
        found.push(address.put_under(suffix)?);
    }
    Ok(found)
}

fn groups(value: &[u8], suffix: &str) -> Result<Vec<Address>, HiddenError> {
    let text = str::from_utf8(value).map_err(|_| NotAGroup)?;
    let named: Vec<_> = text.split(',').map(str::trim).filter(|group| !group.is_empty()).collect();
    if named.len() > MAX_HIDDEN {
        return Err(HiddenError::TooMany);
    }
    Ok(named.into_iter().map(|group| news::recipient(group, suffix)).collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(fields: &str) -> Result<Vec<String>, HiddenError> {
        let mail = format!("Subject: x\n{fields}To: anon@fog.invalid\n\ntext\n");
        let opened = open(mail.as_bytes(), "fog")?;
        assert_eq!(opened.mail, b"Subject: x\nTo: anon@fog.invalid\n\ntext\n", "{fields}");
        Ok(opened.recipients.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn recipients_are_read_and_leave_no_trace() {
        for (fields, want) in [
            ("Anon-To: a@x.org\n", &["a@x.org.fog"][..]),
            ("anon-to: a@x.org.fog\n", &["a@x.org.fog"]),
            (
                "Anon-To: A <a@x.org>,\n\t\"b, c\" <b@x.org> (friend)\nAnon-To: a@X.ORG\n",
                &["a@x.org.fog", "b@x.org.fog"],
            ),
            ("Anon-To: friends: a@x.org, b@x.org;\n", &["a@x.org.fog", "b@x.org.fog"]),
            ("Anon-Post-To: alt.test, misc.test\n", &["alt.test@news.fog", "misc.test@news.fog"]),
            ("Anon-Post-To: alt.test\nAnon-To: a@x.org\n", &["alt.test@news.fog", "a@x.org.fog"]),
        ] {
            assert_eq!(opened(fields).unwrap(), want, "{fields}");
        }
    }

    #[test]
    fn a_header_with_nothing_else_in_it_stays_one() {
        for mail in ["Anon-To: a@x.org\n\ntext\n", "Anon-To: a@x.org\r\n\r\ntext\r\n", "Anon-To: a@x.org"] {
            let opened = open(mail.as_bytes(), "fog").map(|opened| opened.mail).unwrap();
            assert!(opened.starts_with(b"To: anon@fog.invalid\r\n"), "{mail}");
            assert!(crate::mail::edit::with_subject(&opened, "x").is_ok());
        }
    }

    #[test]
    fn one_bad_recipient_is_enough_for_none() {
        for (fields, want) in [
            (String::new(), HiddenError::None),
            ("Anon-To:\nAnon-Post-To: ,\n".into(), HiddenError::None),
            ("Anon-To: nobody:;\n".into(), HiddenError::None),
            ("Anon-To: a@x.org, b\n".into(), HiddenError::Address(AddressError::Incomplete)),
            ("Anon-To: -a@x.org\n".into(), HiddenError::Address(AddressError::Dash)),
            ("Anon-To: a@[192.0.2.1]\n".into(), HiddenError::Address(AddressError::Literal)),
            ("Anon-To: Anon@fog.invalid\n".into(), HiddenError::Address(AddressError::Domain)),
            ("Anon-Post-To: alt.test, al t.test\n".into(), HiddenError::Group(NotAGroup)),
            ("no field\n".into(), HiddenError::Header(Refused::BadHeader)),
            ("A: b\rAnon-To: a@x.org\n".into(), HiddenError::Header(Refused::BadHeader)),
            ("Anon-To: a@x.org: b@x.org\n".into(), HiddenError::Address(AddressError::Incomplete)),
            ("Anon-To: <a b@x.org>\n".into(), HiddenError::Address(AddressError::Local)),
            ((0..=MAX_HIDDEN).map(|n| format!("Anon-To: a{n}@x.org\n")).collect(), HiddenError::TooMany),
            // Before any is compared with all others.
            (format!("Anon-To: {}\n", "a@x.org,".repeat(MAX_HIDDEN + 1)), HiddenError::TooMany),
            (format!("Anon-Post-To: {}\n", "alt.test,".repeat(MAX_HIDDEN + 1)), HiddenError::TooMany),
        ] {
            assert_eq!(opened(&fields), Err(want), "{fields}");
        }
    }

    #[test]
    fn the_door_is_one_address() {
        for (text, want) in [
            ("anon@fog.invalid", true),
            ("Anon@FOG.invalid", true),
            ("anon@x.fog.invalid", false),
            ("a@fog.invalid", false),
        ] {
            assert_eq!(is_door(&Address::parse(text).unwrap()), want, "{text}");
        }
    }
}
