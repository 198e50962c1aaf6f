//! One mail address, parsed once and valid from then on.

use crate::wire::{Malformed, Reader};
use std::fmt::{self, Write as _};
use std::str::FromStr;
use thiserror::Error;

/// Longest address in octets, as written in SMTP (RFC 3696 erratum 1690).
pub const MAX_ADDRESS: usize = 254;
/// Longest local part in octets (RFC 5321, 4.5.3.1.1).
pub const MAX_LOCAL: usize = 64;
/// What stands for the domain of every newsgroup, the network's suffix taken off. No host has such a name.
pub const NEWS: &str = "news";
/// Longest label of a domain in octets (RFC 1035).
const MAX_LABEL: usize = 63;

/// An address `local@domain`: no line end or control character in it, no leading `-`, bounded, domain in lower case.
///
/// The local part may be UTF-8 (RFC 6531) or quoted; it is held without its quotes, so `"bob"@x` equals `bob@x`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    local: String,
    domain: String,
}

/// Why a text is no address. Carries nothing of the text, so it can be logged.
#[derive(Debug, Error, PartialEq, Eq, Clone, Copy)]
pub enum AddressError {
    /// There is no `@` with something on both sides.
    #[error("an address looks like local@domain")]
    Incomplete,
    /// A control, line-end or invisible character.
    #[error("the address holds a control or invisible character")]
    Control,
    /// The local part is neither a dot-atom nor a quoted string.
    #[error("the part before the @ is malformed")]
    Local,
    /// A program that takes addresses as arguments would take this one for an option.
    #[error("the part before the @ starts with '-'")]
    Dash,
    /// The domain is not a list of labels.
    #[error("the part after the @ is not a domain name")]
    Domain,
    /// `[192.0.2.1]` and the like: an exit delivers by name only.
    #[error("an IP address can't stand after the @: use a domain name")]
    Literal,
    /// Longer than SMTP carries.
    #[error("the address is longer than mail allows")]
    TooLong,
}

impl Address {
    /// Reads an address with its length in front, in the one form that is written.
    ///
    /// # Errors
    /// `Malformed` for what is no address, or one that would be written otherwise.
    pub fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        let text = std::str::from_utf8(r.prefixed(MAX_ADDRESS)?).map_err(|_| Malformed)?;
        Self::parse(text).ok().filter(|address| address.to_string() == text).ok_or(Malformed)
    }

    /// Parses `text`: no angle brackets, no comments, no display name, no source route.
    ///
    /// # Errors
    /// What is wrong with it, without repeating it.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        // Twice the limit leaves room for a trailing dot and needless quoting, and bounds all work below.
        if text.len() > 2 * MAX_ADDRESS {
            return Err(AddressError::TooLong);
        }
        if !text.chars().all(visible) {
            return Err(AddressError::Control);
        }
        let (local, domain) = text.rsplit_once('@').ok_or(AddressError::Incomplete)?;
        if local.is_empty() || domain.is_empty() {
            return Err(AddressError::Incomplete);
        }
        let address = Self { local: parse_local(local)?, domain: parse_domain(domain)? };
        if address.local.len() > MAX_LOCAL || address.to_string().len() > MAX_ADDRESS {
            return Err(AddressError::TooLong);
        }
        Ok(address)
    }

    /// The part before the `@`, without quotes.
    #[must_use]
    pub fn local(&self) -> &str {
        &self.local
    }

    /// The part after the `@`, in lower case, without a trailing dot.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// Whether it can be sent without SMTPUTF8.
    #[must_use]
    pub fn is_ascii(&self) -> bool {
        self.local.is_ascii() && self.domain.is_ascii()
    }

    /// Whether the domain is `domain` or lies under it.
    #[must_use]
    pub fn is_within(&self, domain: &str) -> bool {
        is_within(&self.domain, domain)
    }

    /// Whether an MTA may take its local part for a route: `bob%there@here`, `there!bob@here`, `"bob@there"@here`. Such
    /// an MTA sends it to where no policy has looked.
    #[must_use]
    pub fn is_routed(&self) -> bool {
        self.local.contains(['@', '%', '!'])
    }

    /// Whether it is a newsgroup's, the network's suffix taken off.
    #[must_use]
    pub fn is_news(&self) -> bool {
        self.domain == NEWS
    }

    /// The address with `suffix` (without or with a leading dot) taken off its domain: `a@example.com.fog` under
    /// `fog` is `a@example.com`. `None` if it doesn't lie under `suffix`, or is `suffix` itself.
    #[must_use]
    pub fn under_suffix(&self, suffix: &str) -> Option<Self> {
        let suffix = suffix.trim_matches('.').to_lowercase();
        let domain = self.domain.strip_suffix(&suffix)?.strip_suffix('.')?;
        Some(Self { local: self.local.clone(), domain: parse_domain(domain).ok()? })
    }

    /// The address under `suffix`: itself if it lies there, else with `suffix` behind its domain.
    ///
    /// # Errors
    /// It would be too long.
    pub fn put_under(&self, suffix: &str) -> Result<Self, AddressError> {
        if self.under_suffix(suffix).is_some() { Ok(self.clone()) } else { Self::parse(&format!("{self}.{suffix}")) }
    }
}

/// Whether `domain` is `parent` or one of its subdomains; both may be in any case and have a trailing dot.
#[must_use]
pub fn is_within(domain: &str, parent: &str) -> bool {
    let parent = parent.trim_matches('.').to_lowercase();
    let domain = domain.trim_end_matches('.').to_lowercase();
    !parent.is_empty() && domain.strip_suffix(&parent).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::parse(text)
    }
}

impl fmt::Display for Address {
    /// As SMTP wants it: the local part is quoted where it must be.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_dot_atom(&self.local) {
            f.write_str(&self.local)?;
        } else {
            f.write_char('"')?;
            for c in self.local.chars() {
                if matches!(c, '"' | '\\') {
                    f.write_char('\\')?;
                }
                f.write_char(c)?;
            }
            f.write_char('"')?;
        }
        write!(f, "@{}", self.domain)
    }
}

impl fmt::Debug for Address {
    /// Redacted: an address must not get into a log by way of an error text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Address(..)")
    }
}

/// Neither a control nor a format character: those end lines somewhere, or make one address look like another.
fn visible(c: char) -> bool {
    let hidden = matches!(c,
        '\u{ad}' | '\u{200b}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff0}'..='\u{ffff}' | '\u{e000}'..='\u{f8ff}' | '\u{e0000}'..);
    !c.is_control() && !hidden
}

fn is_atext(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || (!c.is_ascii() && !c.is_whitespace())
}

fn is_dot_atom(text: &str) -> bool {
    text.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atext))
}

fn parse_local(text: &str) -> Result<String, AddressError> {
    let local = match text.strip_prefix('"') {
        Some(rest) => unquote(rest.strip_suffix('"').ok_or(AddressError::Local)?)?,
        None if is_dot_atom(text) => text.to_owned(),
        None => return Err(AddressError::Local),
    };
    if local.starts_with('-') {
        return Err(AddressError::Dash);
    }
    Ok(local)
}

fn unquote(text: &str) -> Result<String, AddressError> {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => return Err(AddressError::Local),
            '\\' => plain.push(chars.next().ok_or(AddressError::Local)?),
            c => plain.push(c),
        }
    }
    if plain.is_empty() { Err(AddressError::Local) } else { Ok(plain) }
}

fn parse_domain(text: &str) -> Result<String, AddressError> {
    if text.starts_with('[') {
        return Err(AddressError::Literal);
    }
    let domain = text.strip_suffix('.').unwrap_or(text).to_lowercase();
    if !domain.split('.').all(is_label) {
        return Err(AddressError::Domain);
    }
    let last = domain.rsplit('.').next().unwrap_or_default();
    if last.bytes().all(|b| b.is_ascii_digit()) {
        return Err(AddressError::Literal);
    }
    Ok(domain)
}

/// Letters, digits and inner hyphens, or what may stand in a U-label. Full-width forms and the ideographic full stop
/// are out: IDNA maps them to ASCII, and a name must not become another one on the way to the DNS.
fn is_label(label: &str) -> bool {
    let allowed = |c: char| match c {
        c if c.is_ascii() => c.is_ascii_alphanumeric() || c == '-',
        '\u{3002}' | '\u{ff00}'..='\u{ffef}' => false,
        c => !c.is_whitespace(),
    };
    (1..=MAX_LABEL).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.chars().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn valid_addresses_are_shown_as_smtp_wants_them() {
        for (text, want) in [
            ("alice@example.com", "alice@example.com"),
            ("Alice+tag@EXAMPLE.com.", "Alice+tag@example.com"),
            ("a.b.c@x", "a.b.c@x"),
            ("\"bob\"@x.org", "bob@x.org"),
            ("\"a b\"@x.org", "\"a b\"@x.org"),
            ("\"a\\\"b\\\\\"@x.org", "\"a\\\"b\\\\\"@x.org"),
            ("\"a@b\"@x.org", "\"a@b\"@x.org"),
            ("\"a..b\"@x.org", "\"a..b\"@x.org"),
            ("jos\u{e9}@m\u{fc}nchen.example", "jos\u{e9}@m\u{fc}nchen.example"),
            (
                "\u{7528}\u{6237}@\u{4f8b}\u{5b50}.\u{5e7f}\u{544a}",
                "\u{7528}\u{6237}@\u{4f8b}\u{5b50}.\u{5e7f}\u{544a}",
            ),
            ("x@1.example", "x@1.example"),
        ] {
            assert_eq!(Address::parse(text).map(|a| a.to_string()), Ok(want.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_its_reason() {
        use AddressError::{Control, Dash, Domain, Incomplete, Literal, Local, TooLong};
        let long_local = format!("{}@x.org", "a".repeat(65));
        let long_label = format!("a@{}.org", "b".repeat(64));
        let long = format!("a@{}org", "bcdefgh.".repeat(40));
        let endless = "a".repeat(10_000);
        for (text, want) in [
            ("", Incomplete),
            ("alice", Incomplete),
            ("@x.org", Incomplete),
            ("alice@", Incomplete),
            ("a\r\nb@x.org", Control),
            ("a@x.org\n", Control),
            ("\"a\0b\"@x.org", Control),
            ("\"a\tb\"@x.org", Control),
            ("a\u{85}b@x.org", Control),
            ("a\u{2028}b@x.org", Control),
            ("a\u{202e}b@x.org", Control),
            ("a@f\u{ad}og", Control),
            ("-oQ/tmp@x.org", Dash),
            ("\"-oQ\"@x.org", Dash),
            ("\"\\-oQ\"@x.org", Dash),
            ("a b@x.org", Local),
            ("a..b@x.org", Local),
            (".a@x.org", Local),
            ("\"\"@x.org", Local),
            ("\"a\"b\"@x.org", Local),
            ("\"a\\\"@x.org", Local),
            ("<a@x.org>", Local),
            ("a@x.org>", Domain),
            ("a(comment)@x.org", Local),
            ("@b:a@x.org", Local),
            ("a@b@x.org", Local),
            ("a@x..org", Domain),
            ("a@.org", Domain),
            ("a@x.org..", Domain),
            ("a@-x.org", Domain),
            ("a@x_y.org", Domain),
            ("a@x org", Domain),
            ("a@\u{ff46}og", Domain),
            ("a@x\u{3002}org", Domain),
            (&long_label, Domain),
            ("a@[192.0.2.1]", Literal),
            ("a@[IPv6:::1]", Literal),
            ("a@192.0.2.1", Literal),
            (&long_local, TooLong),
            (&long, TooLong),
            (&endless, TooLong),
        ] {
            assert_eq!(Address::parse(text), Err(want), "{text:?}");
        }
    }

    #[test]
    fn an_address_under_the_suffix_gives_the_true_recipient() {
        let under =
            |text: &str, suffix: &str| Address::parse(text).unwrap().under_suffix(suffix).map(|a| a.to_string());
        assert_eq!(under("alice@example.com.fog", "fog"), Some("alice@example.com".into()));
        assert_eq!(under("alice@Example.com.FOG.", ".Fog"), Some("alice@example.com".into()));
        assert_eq!(under("alice@example.com.mix.example", "mix.example"), Some("alice@example.com".into()));
        assert_eq!(under("a@x.fog.fog", "fog"), Some("a@x.fog".into()));
        for (text, suffix) in [
            ("a@x.org", "fog"),
            ("a@fog", "fog"),
            ("a@befog", "fog"),
            ("a@x.befog", "fog"),
            ("a@1.2.fog", "fog"),
            ("a@x.fog", ""),
        ] {
            assert_eq!(under(text, suffix), None, "{text} under {suffix}");
        }
    }

    #[test]
    fn a_domain_is_within_itself_and_its_parents_only() {
        for (domain, parent, want) in [
            ("fog", "fog", true),
            ("x.FOG", "fog", true),
            ("x.fog.", ".fog", true),
            ("befog", "fog", false),
            ("fog.org", "fog", false),
            ("x", "", false),
        ] {
            assert_eq!(is_within(domain, parent), want, "{domain} within {parent}");
        }
        assert!(Address::parse("a@x.fog").unwrap().is_within("fog"));
    }

    #[test]
    fn an_address_is_not_printed_by_debug() {
        assert_eq!(format!("{:?}", Address::parse("secret@example.com").unwrap()), "Address(..)");
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_is_bounded_and_parses_again_to_itself(text in "\\PC{0,80}|[a-zA-Z\" .\\\\@\\-]{1,30}@[a-z.\\-]{1,30}") {
            if let Ok(address) = Address::parse(&text) {
                let shown = address.to_string();
                prop_assert!(shown.len() <= MAX_ADDRESS && !shown.starts_with('-') && !shown.contains(['\r', '\n', '\0']));
                prop_assert_eq!(Address::parse(&shown), Ok(address));
            }
        }
    }
}
