//! News: a newsgroup is a recipient, `GROUP@news` and the network's suffix, or `post@news` for the groups that the
//! mail names itself. An exit mails what is for news to a gateway (mail2news), whose address may carry the date.

pub use super::address::NEWS as DOMAIN;
use super::address::{Address, MAX_LOCAL};
use super::header::{is_newsgroup, list};
use super::source::Part;
use crate::time::Time;
use mail_parser::DateTime;
use std::fmt;
use thiserror::Error;

/// The local part for what goes to the groups that the mail's own `Newsgroups:` names.
const POST: &str = "post";

/// Most groups one posting goes to: more is spam wherever it is read, and gateways refuse it.
pub const MAX_GROUPS: usize = 5;

/// A text that names no newsgroup. Carries nothing of it.
#[derive(Debug, Error, PartialEq, Eq, Clone, Copy)]
#[error("a newsgroup is named by letters, digits, + - _ and dots, in at most 64 characters")]
pub struct NotAGroup;

/// The recipient that a posting to `group` goes to.
///
/// # Errors
/// `NotAGroup`.
pub fn recipient(group: &str, suffix: &str) -> Result<Address, NotAGroup> {
    if !is_newsgroup(group) || group.len() > MAX_LOCAL {
        return Err(NotAGroup);
    }
    Address::parse(&format!("{group}@{DOMAIN}.{suffix}")).map_err(|_| NotAGroup)
}

/// The groups that `mail` is posted to if `recipient`, which is for news, gets it; none if there are none, or too many.
#[must_use]
pub fn groups(mail: &[u8], recipient: &Address) -> Option<Vec<String>> {
    let mail = Part::mail(mail).ok()?;
    let mut named = mail.value("newsgroups").map(|value| list(value, is_newsgroup)).unwrap_or_default();
    named.sort();
    named.dedup();
    let wanted = recipient.local();
    if wanted != POST && !named.iter().any(|group| group == wanted) {
        named = vec![wanted.to_owned()];
    }
    let good = (1..=MAX_GROUPS).contains(&named.len()) && named.iter().all(|group| is_newsgroup(group));
    good.then_some(named)
}

/// The address of a gateway, with `{date}` and `{groups}` still in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Gateway(String);

impl Gateway {
    /// Reads an address in which `{date}` stands for the day of posting, as in `20261123`, and `{groups}` for the
    /// groups with `=` between them. `None` if that would be no address.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let gateway = Self(text.to_owned());
        let domain = text.rsplit_once('@').map_or("", |(_, domain)| domain);
        let whole = gateway.address(Time::from_secs(0), &["a.b".to_owned()]).is_some() && !domain.contains('{');
        whole.then_some(gateway)
    }

    /// Where a posting to `groups` goes on the day of `now` (UTC). `None` if these groups don't fit into an address.
    #[must_use]
    pub fn address(&self, now: Time, groups: &[String]) -> Option<Address> {
        let DateTime { year, month, day, .. } = DateTime::from_timestamp(i64::try_from(now.as_secs()).ok()?);
        let text =
            self.0.replace("{date}", &format!("{year:04}{month:02}{day:02}")).replace("{groups}", &groups.join("="));
        Address::parse(&text).ok().filter(|_| !text.contains(['{', '}']))
    }
}

impl fmt::Display for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newsgroup_is_a_recipient() {
        for (group, want) in [
            ("alt.test", Some("alt.test@news.fog")),
            ("comp.lang.c++", Some("comp.lang.c++@news.fog")),
            ("alt..test", None),
            ("alt.test,misc.test", None),
            ("alt.test@x", None),
            ("-alt.test", None),
            ("", None),
            (&"a".repeat(65), None),
        ] {
            assert_eq!(recipient(group, "fog").ok().map(|to| to.to_string()).as_deref(), want, "{group}");
        }
    }

    #[test]
    fn a_posting_goes_where_its_recipient_or_its_header_says() {
        let posted = |to: &str, header: &str| {
            groups(format!("Subject: x\r\n{header}\r\nhello\r\n").as_bytes(), &Address::parse(to).unwrap())
                .map(|groups| groups.join(" "))
        };
        for (to, header, want) in [
            ("alt.test@news", "", Some("alt.test")),
            ("alt.test@news", "Newsgroups: misc.test,alt.test\r\n", Some("alt.test misc.test")),
            ("alt.test@news", "Newsgroups: misc.test\r\n", Some("alt.test")),
            ("post@news", "Newsgroups: misc.test, alt.test,misc.test\r\n", Some("alt.test misc.test")),
            ("post@news", "Newsgroups: a.1,a.2,a.3,a.4,a.5\r\n", Some("a.1 a.2 a.3 a.4 a.5")),
            ("post@news", "Newsgroups: a.1,a.2,a.3,a.4,a.5,a.6\r\n", None),
            ("post@news", "Newsgroups: a..b\r\n", None),
            ("post@news", "", None),
            ("no@news", "", Some("no")),
            ("a'b@news", "", None),
        ] {
            assert_eq!(posted(to, header).as_deref(), want, "{to}, {header}");
        }
    }

    #[test]
    fn a_gateway_is_an_address_on_every_day_and_for_every_group() {
        let (day, groups) = (Time::from_secs(1_795_392_000), ["alt.test".to_owned(), "misc.test".to_owned()]);
        let at = |text: &str| Gateway::parse(text).unwrap().address(day, &groups).map(|address| address.to_string());
        assert_eq!(at("mail2news@example.org").as_deref(), Some("mail2news@example.org"));
        assert_eq!(
            at("mail2news-{date}-{groups}@example.org").as_deref(),
            Some("mail2news-20261123-alt.test=misc.test@example.org")
        );
        let long = [["alt.".to_owned(), "x".repeat(60)].concat()];
        assert_eq!(Gateway::parse("m-{date}-{groups}@example.org").unwrap().address(day, &long), None);
        for text in ["", "mail2news", "m@{groups}.example.org", "m-{dat}@example.org", "a b@example.org", "-m@x.org"] {
            assert_eq!(Gateway::parse(text), None, "{text}");
        }
    }
}
