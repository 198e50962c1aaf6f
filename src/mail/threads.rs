//! `In-Reply-To` and `References`, without the ids that say where the sender writes from.

use super::address::is_within;
use super::header::{is_newsgroup, list};
use super::source::Part;
use std::collections::BTreeSet;

/// Longest id that is kept, in bytes.
const MAX_ID: usize = 250;
/// Most ids of one field: the first, which names the thread, and the newest.
const MAX_IDS: usize = 50;

/// The domains that are the sender's own: an id in one of them (a mail the sender wrote before) names the sender.
pub(super) struct OwnDomains<'r> {
    domains: BTreeSet<String>,
    /// The domains above that of `From`, of at least two labels: ids may be made in them, but their other subdomains
    /// can be anybody's.
    above: BTreeSet<String>,
    /// The network's: every anonymous mail has an id in it, so it names nobody.
    network: &'r str,
}

impl<'r> OwnDomains<'r> {
    /// The domains of `From`, `Sender`, `Reply-To`, `Return-Path` and `Message-ID` of `mail`, and `more`.
    pub(super) fn of(mail: &Part<'_>, more: &[String], network: &'r str) -> Self {
        let fields = ["from", "sender", "reply-to", "return-path", "message-id"];
        let values = fields.iter().flat_map(|name| mail.values(name));
        let found = values.flat_map(domains_of);
        let more = more.iter().map(|d| d.trim_matches('.').to_lowercase());
        let above = mail.values("from").flat_map(domains_of).flat_map(|domain| parents(&domain)).collect();
        Self { domains: found.chain(more).filter(|d| !d.is_empty()).collect(), above, network }
    }

    fn holds(&self, id: &str) -> bool {
        let Some((_, domain)) = id.rsplit_once('@') else {
            return true;
        };
        if is_within(domain, self.network) {
            return false;
        }
        let domain = domain.trim_matches(['[', ']', '.']).to_lowercase();
        if self.above.contains(&domain) {
            return true;
        }
        let mut parent = Some(domain.as_str());
        while let Some(name) = parent {
            if self.domains.contains(name) {
                return true;
            }
            parent = name.split_once('.').map(|(_, rest)| rest);
        }
        false
    }

    /// The ids of the field `name` of `mail`, in angle brackets, without own ones. A news post keeps those too: its
    /// threads are made of them, and what is posted under them is anonymous as well.
    pub(super) fn foreign_ids(&self, mail: &Part<'_>, name: &str) -> Vec<String> {
        let groups = mail.value("newsgroups").map(|value| list(value, is_newsgroup)).unwrap_or_default();
        let is_news = groups.iter().any(|group| group != "poster");
        let ids = mail.values(name).flat_map(ids_in);
        let mut kept: Vec<_> = ids.filter(|id| is_news || !self.holds(id)).map(|id| format!("<{id}>")).collect();
        if kept.len() > MAX_IDS {
            kept.drain(1..kept.len() - MAX_IDS + 1);
        }
        kept
    }
}

/// The domains in a field, read with its comments and white space and without: which of them a reader passes over
/// differs, and one domain too many takes only an id.
fn domains_of(value: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(value);
    let mut domains = domains_in(&text);
    domains.extend(domains_in(&bare(&text)));
    domains
}

/// `text` without comments and white space (RFC 5322, 3.2.2).
fn bare(text: &str) -> String {
    let (mut plain, mut depth, mut quoted) = (String::with_capacity(text.len()), 0_usize, false);
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' if quoted || depth > 0 => {
                chars.next();
            }
            '"' if depth == 0 => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth = depth.saturating_sub(1),
            c if depth == 0 && !c.is_whitespace() => plain.push(c),
            _ => {}
        }
    }
    plain
}

/// The domains above `domain` that have two labels or more.
fn parents(domain: &str) -> Vec<String> {
    let above = |name: &str| name.split_once('.').map(|(_, rest)| rest.to_owned()).filter(|rest| rest.contains('.'));
    std::iter::successors(above(domain), |name| above(name)).collect()
}

/// Whatever stands after an `@`. No address parser: one that gives up would leave a domain out.
fn domains_in(text: &str) -> Vec<String> {
    let ends = |c: char| !(c.is_alphanumeric() || matches!(c, '.' | '-' | '_'));
    let after = text.split('@').skip(1).map(|rest| rest.trim_start_matches('['));
    let domains = after.map(|rest| rest.split(ends).next().unwrap_or_default());
    domains.map(|d| d.trim_matches('.').to_lowercase()).collect()
}

/// The well-formed ids between angle brackets: comments and words around them are left out.
fn ids_in(value: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(value);
    let between = text.split('<').skip(1).filter_map(|rest| rest.split_once('>')).map(|(id, _)| id.trim());
    between.filter(|id| is_id(id)).map(str::to_owned).collect()
}

fn is_id(id: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_graphic() && !b"<>(),;\\\"".contains(&b);
    let whole = id.split_once('@').is_some_and(|(left, right)| !left.is_empty() && !right.is_empty());
    whole && id.len() <= MAX_ID && id.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(mail: &str, more: &[&str]) -> Vec<String> {
        let part = Part::mail(mail.as_bytes()).unwrap();
        let more: Vec<_> = more.iter().map(|&d| d.to_owned()).collect();
        OwnDomains::of(&part, &more, "fog.example").foreign_ids(&part, "references")
    }

    #[test]
    fn ids_in_the_senders_own_domains_go_and_others_stay() {
        for (own, id, stays) in [
            ("From: A <a@own.example>", "1@other.example", true),
            ("From: A <a@own.example>", "1@own.example", false),
            ("From: A <a@own.example>", "1@host.OWN.example", false),
            ("From: A <a@own.example>", "1@notown.example", true),
            ("From: x@y, \"q\" <a@own.example>", "1@own.example", false),
            ("Sender: a@own.example", "1@own.example", false),
            ("Return-Path: <a@own.example>", "1@own.example", false),
            ("Message-ID: <x@host.local>", "1@host.local", false),
            ("Message-ID: <x@[192.0.2.1]>", "1@[192.0.2.1]", false),
            ("X: y", "1@more.example", false),
            ("From: a@more.example", "1@fog.example", true),
            ("Message-ID: <x@fog.example>", "1@fog.example", true),
            ("From: a@own.example\r\nNewsgroups: alt.test", "1@own.example", true),
            ("From: a@own.example\r\nNewsgroups:", "1@own.example", false),
            ("From: a@own.example\r\nNewsgroups: poster, a..b, (x) y", "1@own.example", false),
            ("From: a@own (c (d) \\) @) .\r\n example", "1@own.example", false),
            ("From: \"(\" <a@own(c).example>", "1@own.example", false),
            ("From: a@\r\n own.example", "1@own.example", false),
            ("Reply-To: a@own.example", "1@own.example", false),
            ("From: a@mail.own.example", "1@own.example", false),
            ("From: a@mail.own.example", "1@other.own.example", true),
            ("From: a@own.example", "1@example", true),
            ("Sender: a@mail.own.example", "1@own.example", true),
        ] {
            let ids = kept(&format!("{own}\r\nReferences: <{id}>\r\n\r\n"), &["more.example."]);
            assert_eq!(!ids.is_empty(), stays, "{own} {id}");
        }
    }

    #[test]
    fn only_well_formed_ids_are_kept_and_not_too_many() {
        assert_eq!(
            kept("References: canary <a@b>\r\n (canary) <no-at> <x y@z> <c@d>\r\n\r\n", &[]),
            ["<a@b>", "<c@d>"]
        );
        // Also where no id is the sender's own.
        assert_eq!(kept("Newsgroups: alt.test\r\nReferences: <no-at> <@b> <a@b>\r\n\r\n", &[]), ["<a@b>"]);
        let many: String = (0..200).map(|i| format!(" <{i}@b>\r\n")).collect();
        let ids = kept(&format!("References:{many}\r\n"), &[]);
        assert_eq!(
            (ids.len(), ids[0].as_str(), ids[1].as_str(), ids[49].as_str()),
            (50, "<0@b>", "<151@b>", "<199@b>")
        );
    }
}
