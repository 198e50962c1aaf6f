//! Whether a recipient is one of the network, in whatever form it is written.

use crate::mail::address::{Address, is_within};
use crate::mail::hidden::{DOOR, is_door};

/// The transport that Postfix's `transport_maps` gives an address of the network.
const MAILER: &[u8] = b"fog";

/// What Postfix calls the transports of mail that stays with this machine's own users, or those it receives mail for.
const STAYS: [&[u8]; 5] = [b"local", b"virtual", b"lmtp", b"dovecot", b"relay"];

/// Longest form that is looked at: an address may have twice its length in quotes, and a route in front.
const MAX_FORM: usize = 2048;

/// A recipient, as the MTA tells of it.
#[derive(Debug)]
pub(super) struct Recipient {
    /// As the client wrote it.
    typed: Vec<u8>,
    /// As the MTA has rewritten it (`{rcpt_addr}`): without route and the like, and in lower case.
    rewritten: Option<Vec<u8>>,
    /// The address, if it is one.
    pub(super) address: Option<Address>,
    /// Whether it is one of the network.
    pub(super) is_ours: bool,
    /// Whether the MTA is sure to have it for somebody whom it receives mail for, and not to send it away.
    pub(super) stays: bool,
}

impl Recipient {
    /// `mailer` is what the MTA would do with it (`{rcpt_mailer}`).
    ///
    /// A form that is no address to us and could be one of the network to the MTA counts as one: it is refused then,
    /// which is better than to send it on.
    pub(super) fn of(typed: &[u8], rewritten: Option<&[u8]>, mailer: Option<&[u8]>, suffix: &str) -> Self {
        let forms = [Some(typed), rewritten].into_iter().flatten().filter(|form| form.len() <= MAX_FORM);
        let forms: Vec<String> = forms.map(|form| without_frame(&String::from_utf8_lossy(form)).to_owned()).collect();
        let read = forms.iter().flat_map(|form| [Some(form.as_str()), without_route(form)]).flatten();
        let read: Vec<Address> = read.filter_map(|form| Address::parse(form).ok()).collect();
        let belongs = |address: &&Address| address.is_within(suffix) || is_door(address);
        let ours = read.iter().find(belongs);
        let hidden = || forms.iter().any(|form| Address::parse(form).is_err() && names(form, suffix));
        let too_long = typed.len() > MAX_FORM;
        let is_ours = mailer == Some(MAILER) || ours.is_some() || hidden() || too_long;
        let stays = mailer.is_some_and(|mailer| STAYS.contains(&mailer));
        let address = ours.or(read.first()).filter(|_| !too_long).cloned();
        Self { typed: typed.to_vec(), rewritten: rewritten.map(<[u8]>::to_vec), address, is_ours, stays }
    }

    /// Bytes that it takes, about.
    pub(super) fn size(&self) -> usize {
        let rewritten = self.rewritten.as_ref().map_or(0, Vec::len);
        // The address is a part of one of the two.
        size_of::<Self>().saturating_add(2 * self.typed.len()).saturating_add(rewritten)
    }

    /// Each form under which it has to be taken out: Postfix looks for the one it keeps, and which that is depends.
    pub(super) fn forms(&self) -> impl Iterator<Item = &[u8]> {
        let rewritten =
            self.rewritten.as_deref().filter(|form| without_brackets(form) != without_brackets(&self.typed));
        std::iter::once(self.typed.as_slice()).chain(rewritten)
    }
}

fn without_brackets(form: &[u8]) -> &[u8] {
    form.strip_prefix(b"<").and_then(|form| form.strip_suffix(b">")).unwrap_or(form)
}

fn without_frame(form: &str) -> &str {
    let form = form.trim();
    form.strip_prefix('<').and_then(|form| form.strip_suffix('>')).unwrap_or(form)
}

/// `bob@x.fog` of `@a,@b:bob@x.fog`.
fn without_route(form: &str) -> Option<&str> {
    form.starts_with('@').then(|| form.split_once(':')).flatten().map(|(_, address)| address)
}

/// Whether a domain of the network stands anywhere in `form`, also in characters that a look-up in the DNS takes for the
/// plain ones.
fn names(form: &str, suffix: &str) -> bool {
    let door = DOOR.rsplit_once('@').map_or("", |(_, domain)| domain);
    let plain: String = form.chars().filter_map(plain).collect();
    let words = plain.split(|c: char| c.is_ascii() && !c.is_ascii_alphanumeric() && !matches!(c, '.' | '-'));
    let mut domains = words.map(|word| word.trim_matches('.')).filter(|word| word.contains('.'));
    domains.any(|domain| is_within(domain, suffix) || is_within(domain, door))
}

/// The plain character for a full-width one, and nothing for one that can't be seen.
fn plain(c: char) -> Option<char> {
    match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c).saturating_sub(0xfee0)),
        '\u{3002}' | '\u{ff61}' => Some('.'),
        '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' => None,
        c => Some(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What becomes of a form: its address, and whether it is ours.
    fn read(typed: &str, rewritten: Option<&str>, mailer: Option<&str>) -> (Option<String>, bool) {
        let found = Recipient::of(typed.as_bytes(), rewritten.map(str::as_bytes), mailer.map(str::as_bytes), "fog");
        (found.address.map(|address| address.to_string()), found.is_ours)
    }

    #[test]
    fn nine_ways_to_write_one_address_are_one() {
        for (typed, rewritten) in [
            ("<Bob@x.fog>", "bob@x.fog"),
            ("<Bob@X.FOG>", "bob@x.fog"),
            ("<Bob@x.fog.>", "bob@x.fog"),
            ("<@a,@b:Bob@x.fog>", "bob@x.fog"),
            ("<\"Bob\"@x.fog>", "bob@x.fog"),
            ("Bob@x.fog", "Bob@x.fog"),
            (" Bob@x.fog ", "bob@x.fog"),
        ] {
            for mailer in [Some("fog"), None] {
                assert_eq!(read(typed, Some(rewritten), mailer), (Some("Bob@x.fog".into()), true), "{typed}");
            }
            assert_eq!(read(typed, None, None), (Some("Bob@x.fog".into()), true), "{typed}");
        }
        for typed in ["<x.fog!Bob>", "<Bob%x.fog@[127.0.0.1]>"] {
            assert_eq!(read(typed, Some("bob@x.fog"), Some("fog")), (Some("bob@x.fog".into()), true), "{typed}");
            // Nobody says what it is: it is refused rather than sent on.
            assert_eq!(read(typed, None, None), (None, true), "{typed}");
        }
    }

    #[test]
    fn other_addresses_are_left_alone() {
        for typed in [
            "<bob@x.org>",
            "<bob@befog>",
            "<bob@fog.org>",
            "<bob@x.fog.org>",
            "<x.fog@x.org>",
            "<bob+x.fog@x.org>",
            "bob",
            "<>",
            "<postmaster>",
            "<bob%x.fog@x.org>",
            "<\"x.fog!bob\"@x.org>",
            "<bob@[192.0.2.1]>",
            "<befog!bob>",
            "<fog>",
            "fog",
            "<fog@[192.0.2.1]>",
        ] {
            assert!(!read(typed, Some(typed), Some("smtp")).1, "{typed}");
        }
    }

    #[test]
    fn what_only_looks_like_none_of_ours_is_held_back() {
        for typed in [
            "<bob@fog>",
            "<bob@fog.>",
            "<bob@.x.fog>",
            "<bob@x.fog..>",
            "<bob@x_y.fog>",
            "<-bob@x.fog>",
            "<bo b@x.fog>",
            "<bob@x.\u{ff46}\u{ff4f}\u{ff47}>",
            "<bob@x\u{3002}fog>",
            "<bob@x.f\u{ad}og>",
            "<bob(a)@x.fog>",
            "<bob@x.fog(a)>",
            "<x.fog!bob>",
            "<fog.invalid!anon>",
            "<anon@fog.invalid>",
            "<Anon@Fog.Invalid.>",
        ] {
            assert!(read(typed, None, None).1, "{typed}");
        }
        assert!(
            read(&format!("<{}@x.org>", "a".repeat(MAX_FORM)), None, None) == (None, true),
            "too long to be looked at"
        );
        assert!(
            read("<alias@home.example>", Some("alias@home.example"), Some("fog")).1,
            "the MTA would send it to the pipe"
        );
    }

    #[test]
    fn both_forms_are_taken_out_if_they_differ() {
        let forms = |typed: &str, rewritten: Option<&str>| -> Vec<String> {
            let found = Recipient::of(typed.as_bytes(), rewritten.map(str::as_bytes), None, "fog");
            found.forms().map(|form| String::from_utf8(form.to_vec()).unwrap()).collect()
        };
        assert_eq!(forms("<@a:Bob@x.fog>", Some("bob@x.fog")), ["<@a:Bob@x.fog>", "bob@x.fog"]);
        assert_eq!(forms("<bob@x.fog>", Some("bob@x.fog")), ["<bob@x.fog>"]);
        assert_eq!(forms("bob@x.fog", None), ["bob@x.fog"]);
    }

    proptest! {
        #[test]
        fn an_address_of_the_network_is_known_with_anything_around_it(
            local in "[a-z]{1,8}", domain in "[a-z]{1,8}(\\.[a-z]{1,8}){0,2}", dots in 0..3_usize, upper: bool, frame in 0..4_usize,
        ) {
            let domain = if upper { format!("{domain}.FoG") } else { format!("{domain}.fog") };
            let address = format!("{local}@{domain}{}", ".".repeat(dots));
            let typed = match frame {
                0 => address,
                1 => format!("<{address}>"),
                2 => format!("<@relay.example:{address}>"),
                _ => format!("<{domain}!{local}>"),
            };
            prop_assert!(read(&typed, None, None).1, "{}", typed);
        }

        #[test]
        fn any_bytes_are_some_recipient(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let found = Recipient::of(&bytes, Some(&bytes), None, "fog");
            prop_assert_eq!(found.forms().count(), 1);
        }
    }
}
