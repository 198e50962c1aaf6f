//! Rules for whole mails (`entry.rules`): which go through the network, whoever they are to.

use crate::mail::address::Address;
use core::fmt;
use core::net::IpAddr;

/// What a rule looks like.
pub(super) const WANTED: &str = "\"fog if CONDITION and ...\" or \"leave if ...\", a condition being header NAME, header NAME: VALUE, \
                                 sender ADDRESS, sender @DOMAIN, user NAME, user * or network ADDRESS/BITS";

/// Rules in their order: the first that fits a mail decides.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Rules(pub Vec<Rule>);

/// One rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rule {
    verdict: Verdict,
    /// All of them must hold.
    conditions: Vec<Condition>,
}

/// What becomes of a mail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// All of it goes through the network.
    Fog,
    /// Its addresses decide.
    Leave,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Condition {
    /// A field of this name (lower case), with this text if any.
    Header { name: String, text: Option<String> },
    /// The envelope sender.
    Sender(Address),
    /// The domain of the envelope sender.
    SenderDomain(String),
    /// Who has authenticated; none is anybody who has.
    User(Option<String>),
    /// Where the client is.
    Network(Subnet),
}

/// What is known of a mail.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The envelope sender.
    pub sender: Option<&'a Address>,
    /// Who has authenticated.
    pub user: Option<&'a str>,
    /// The client.
    pub client: Option<IpAddr>,
    /// The fields that [`Rules::note`] has taken, name in lower case and value; none while the header is still to come.
    pub header: Option<&'a [(String, String)]>,
}

impl Rules {
    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes a field of the header into `seen`, [`Facts::header`], if a rule looks at it, and at nothing like it that is
    /// there already: however many fields a mail has, what is seen of them is no more than what the rules ask for.
    pub fn note(&self, seen: &mut Vec<(String, String)>, name: &str, value: &str) {
        let asks = |condition: &&Condition| matches!(condition, Condition::Header { name: asked, .. } if asked.eq_ignore_ascii_case(name));
        let mut asking = self.0.iter().flat_map(|rule| &rule.conditions).filter(asks).peekable();
        if asking.peek().is_none() {
            return;
        }
        let (name, value) = (name.to_ascii_lowercase(), plain(value));
        let fitting: Vec<&Condition> = asking.filter(|condition| condition.fits_field(&name, &value)).collect();
        if fitting.iter().any(|condition| !seen.iter().any(|(name, value)| condition.fits_field(name, value))) {
            // One that is only to be there may have any length.
            let is_asked = fitting.iter().any(|condition| matches!(condition, Condition::Header { text: Some(_), .. }));
            seen.push((name, if is_asked { value } else { String::new() }));
        }
    }

    /// What becomes of a mail; none if that depends on its header, which is still to come.
    #[must_use]
    pub fn decide(&self, facts: &Facts<'_>) -> Option<Verdict> {
        // Rules that can't fit any more are out of the way.
        let mut left =
            self.0.iter().map(|rule| (rule, rule.fits(facts))).filter(|(_, fits)| *fits != Some(false)).peekable();
        match left.peek() {
            None => Some(Verdict::Leave),
            Some((rule, Some(_))) => Some(rule.verdict),
            Some((_, None)) => left.all(|(rule, _)| rule.verdict == Verdict::Leave).then_some(Verdict::Leave),
        }
    }
}

impl Rule {
    /// Reads `fog if CONDITION and ...` or `leave if ...`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (verdict, conditions) = text.trim().split_once(" if ")?;
        let verdict = match verdict.trim() {
            "fog" => Verdict::Fog,
            "leave" => Verdict::Leave,
            _ => return None,
        };
        let conditions = conditions.split(" and ").map(Condition::parse).collect::<Option<_>>()?;
        Some(Self { verdict, conditions })
    }

    /// None: it depends on the header.
    fn fits(&self, facts: &Facts<'_>) -> Option<bool> {
        let held: Vec<_> = self.conditions.iter().map(|condition| condition.holds(facts)).collect();
        if held.contains(&Some(false)) {
            Some(false)
        } else {
            held.into_iter().collect::<Option<Vec<_>>>().map(|_| true)
        }
    }
}

impl Condition {
    fn parse(text: &str) -> Option<Self> {
        let (what, value) = text.trim().split_once(' ')?;
        let value = value.trim();
        match what {
            "header" => {
                let (name, text) = value.split_once(':').map_or((value, None), |(name, text)| (name, Some(text)));
                let name = name.trim_end();
                let text = text.map(plain);
                let sound =
                    !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic()) && text.as_deref() != Some("");
                sound.then(|| Self::Header { name: name.to_ascii_lowercase(), text })
            }
            "sender" => match value.strip_prefix('@') {
                // As it is in an address, or it would never be found there.
                Some(domain) => Address::parse(&format!("x@{domain}"))
                    .ok()
                    .map(|found| Self::SenderDomain(found.domain().to_owned())),
                None => Address::parse(value).ok().map(Self::Sender),
            },
            "user" if value == "*" => Some(Self::User(None)),
            "user" => {
                (!value.is_empty() && !value.contains(char::is_whitespace)).then(|| Self::User(Some(value.to_owned())))
            }
            "network" => Subnet::parse(value).map(Self::Network),
            _ => None,
        }
    }

    /// In doubt about upper and lower case it holds: a mail that goes through the network by mistake does less harm than
    /// one that doesn't.
    fn holds(&self, facts: &Facts<'_>) -> Option<bool> {
        Some(match self {
            Self::Header { .. } => facts.header?.iter().any(|(name, value)| self.fits_field(name, value)),
            Self::Sender(wanted) => facts.sender.is_some_and(|sender| same(&sender.to_string(), &wanted.to_string())),
            Self::SenderDomain(domain) => facts.sender.is_some_and(|sender| sender.domain() == domain),
            Self::User(None) => facts.user.is_some(),
            Self::User(Some(wanted)) => facts.user.is_some_and(|user| same(user, wanted)),
            Self::Network(network) => facts.client.is_some_and(|client| network.holds(client)),
        })
    }

    fn fits_field(&self, found: &str, value: &str) -> bool {
        let Self::Header { name, text } = self else { return false };
        found == name && text.as_ref().is_none_or(|text| same(text, &plain(value)))
    }
}

fn same(a: &str, b: &str) -> bool {
    a.to_lowercase() == b.to_lowercase()
}

/// A value without folding, and with one space where there were several.
fn plain(value: &str) -> String {
    value.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The addresses that begin with the same bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Subnet {
    first: IpAddr,
    bits: u32,
}

impl Subnet {
    /// Reads `ADDRESS/BITS`, or one address.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/').unzip();
        let first: IpAddr = address.unwrap_or(text).trim().parse().ok()?;
        let most = if first.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(bits) => bits.trim().parse().ok().filter(|bits| *bits <= most)?,
            None => most,
        };
        // As clients are looked at, or it would hold none.
        let mapped = most == 128 && first.to_canonical().is_ipv4();
        (!mapped).then_some(Self { first, bits })
    }

    /// Whether `address` is one of them. An IPv4 address in the clothes of IPv6 is what it is.
    #[must_use]
    pub fn holds(&self, address: IpAddr) -> bool {
        let off = |width: u32| width.saturating_sub(self.bits);
        match (self.first, address.to_canonical()) {
            (IpAddr::V4(first), IpAddr::V4(address)) => {
                (first.to_bits() ^ address.to_bits()).checked_shr(off(32)).unwrap_or(0) == 0
            }
            (IpAddr::V6(first), IpAddr::V6(address)) => {
                (first.to_bits() ^ address.to_bits()).checked_shr(off(128)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

impl fmt::Display for Rule {
    /// As `parse` reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.verdict {
            Verdict::Fog => "fog if ",
            Verdict::Leave => "leave if ",
        })?;
        for (n, condition) in self.conditions.iter().enumerate() {
            write!(f, "{}{condition}", if n == 0 { "" } else { " and " })?;
        }
        Ok(())
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header { name, text: Some(text) } => write!(f, "header {name}: {text}"),
            Self::Header { name, text: None } => write!(f, "header {name}"),
            Self::Sender(address) => write!(f, "sender {address}"),
            Self::SenderDomain(domain) => write!(f, "sender @{domain}"),
            Self::User(user) => write!(f, "user {}", user.as_deref().unwrap_or("*")),
            Self::Network(subnet) => write!(f, "network {subnet}"),
        }
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_rule_is_shown_as_it_is_read() {
        for text in [
            "fog if header x-fog: yes",
            "leave if header x-fog and user *",
            "fog if sender @b.example and user alice and network 10.0.0.0/8",
            "fog if sender a@b.example and network ::1/128",
        ] {
            assert_eq!(Rule::parse(text).unwrap().to_string(), text);
        }
    }

    fn rules(texts: &[&str]) -> Rules {
        Rules(texts.iter().map(|text| Rule::parse(text).expect(text)).collect())
    }

    fn facts<'a>(sender: &'a Address, header: Option<&'a [(String, String)]>) -> Facts<'a> {
        Facts { sender: Some(sender), user: Some("alice"), client: "192.168.7.9".parse().ok(), header }
    }

    #[test]
    fn the_first_rule_that_fits_decides_as_soon_as_it_can() {
        use Verdict::{Fog, Leave};
        let sender = Address::parse("Ann@home.example").unwrap();
        let header = [("x-fog".to_owned(), " YES\r\n\t please ".to_owned()), ("x-fog".to_owned(), "no".to_owned())];
        for (texts, before, after) in [
            (&[][..], Some(Leave), Leave),
            (&["fog if header X-Fog"], None, Fog),
            (&["fog if header x-FOG: yes please"], None, Fog),
            (&["fog if header X-Fog: no"], None, Fog),
            (&["fog if header X-Fog: yes"], None, Leave),
            (&["leave if header X-Fog"], Some(Leave), Leave),
            (&["leave if header X-Fog", "fog if user alice"], None, Leave),
            (&["leave if header X-Other", "fog if user ALICE"], None, Fog),
            (&["fog if user alice", "leave if header X-Fog"], Some(Fog), Fog),
            (&["fog if user bob", "fog if user *"], Some(Fog), Fog),
            (&["fog if user bob and header X-Fog"], Some(Leave), Leave),
            (&["fog if header X-Fog and user bob"], Some(Leave), Leave),
            (&["leave if user alice", "fog if header X-Fog"], Some(Leave), Leave),
            (&["fog if sender ann@HOME.example"], Some(Fog), Fog),
            (&["fog if sender @Home.example"], Some(Fog), Fog),
            (&["fog if sender @example"], Some(Leave), Leave),
            (&["fog if network 192.168.0.0/16 and user alice"], Some(Fog), Fog),
            (&["fog if network 192.168.7.8", "fog if network 10.0.0.0/8"], Some(Leave), Leave),
        ] {
            let rules = rules(texts);
            assert_eq!(rules.decide(&facts(&sender, None)), before, "{texts:?}");
            assert_eq!(rules.decide(&facts(&sender, Some(&header))), Some(after), "{texts:?}");
        }
        let nobody = Facts { sender: None, user: None, client: None, header: Some(&[]) };
        let all = ["fog if user *", "fog if sender @a.example", "fog if network 0.0.0.0/0", "fog if header A"];
        assert_eq!(rules(&all).decide(&nobody), Some(Leave));
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for text in [
            "",
            "fog",
            "fog if",
            "fog if ",
            "drop if user *",
            "fog if user",
            "fog if user  ",
            "fog if header X-Fog:",
            "fog if header : x",
            "fog if header",
            "fog if header a b: c",
            "fog if sender ann",
            "fog if sender @",
            "fog if network 10.0.0.0/33",
            "fog if network ::/129",
            "fog if network ten",
            "fog if network ::ffff:10.0.0.1",
            "fog if user a and",
            "fog if user a and b",
            "fog header X-Fog",
        ] {
            assert_eq!(Rule::parse(text), None, "{text}");
        }
    }

    #[test]
    fn only_fields_that_a_rule_looks_at_are_taken_and_each_kind_once() {
        let rules = rules(&["leave if user a", "fog if user b and header X-Fog: yes", "fog if header X-Any"]);
        let mut seen = Vec::new();
        for (name, value) in [
            ("Subject", "yes"),
            ("User", "a"),
            ("X-Fog", "no"),
            ("X-FOG", " Yes\r\n "),
            ("x-fog", "yes"),
            ("X-Any", "one"),
            ("X-Any", "two"),
        ] {
            rules.note(&mut seen, name, value);
        }
        assert_eq!(seen, [("x-fog".to_owned(), "Yes".to_owned()), ("x-any".to_owned(), String::new())]);
    }

    #[test]
    fn a_subnet_holds_what_begins_like_it() {
        for (net, address, want) in [
            ("127.0.0.0/8", "127.255.0.1", true),
            ("127.0.0.0/8", "128.0.0.1", false),
            ("127.0.0.0/8", "::ffff:127.0.0.1", true),
            ("0.0.0.0/0", "192.0.2.1", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7/31", "192.0.2.6", true),
            ("::1", "::1", true),
            ("::1", "::2", false),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("::/0", "2001:db8::1", true),
        ] {
            assert_eq!(Subnet::parse(net).unwrap().holds(address.parse().unwrap()), want, "{address} in {net}");
        }
    }

    proptest! {
        #[test]
        fn a_decision_without_the_header_stays_with_it(
            picked in proptest::collection::vec(0..8_usize, 0..5),
            header in proptest::collection::vec(0..3_usize, 0..3),
        ) {
            const SOME: [&str; 8] = [
                "fog if header A", "leave if header A", "fog if header B and user alice", "leave if header B and user bob",
                "fog if user alice", "leave if sender @home.example", "fog if network 10.0.0.0/8", "leave if header A and header B",
            ];
            let texts: Vec<&str> = picked.iter().map(|at| SOME[*at]).collect();
            let header: Vec<_> = header.iter().map(|at| (["a", "b", "c"][*at].to_owned(), String::new())).collect();
            let (rules, sender) = (rules(&texts), Address::parse("ann@home.example").unwrap());
            let after = rules.decide(&facts(&sender, Some(&header)));
            prop_assert!(after.is_some());
            if let Some(before) = rules.decide(&facts(&sender, None)) {
                prop_assert_eq!(Some(before), after, "{:?}", texts);
            }
        }
    }
}
