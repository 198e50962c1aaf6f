//! What one node says of itself, signed by it.

use super::address::{NodeAddress, is_host_name};
use super::identity::{Identity, IdentityKey, Signature};
use super::lines::{
    Lines, Malformed, Wrong, base64, canonical, is_plain, parse_base64, quote_list, unquote, unquote_list,
};
use super::units;
use super::uptime::{Measured, measured_text, parse_measured};
use crate::id::{Epoch, NodeId};
use crate::mail::address::Address;
use crate::sphinx::xwing::{PUBLIC_KEY_LEN, PublicKey};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Mix keys a node publishes: the current epoch's and seven ahead.
pub const MIX_KEYS: u64 = 8;
/// Most mix keys a descriptor may have.
pub const MAX_MIX_KEYS: usize = 16;
/// Most domains an exit may list.
pub const MAX_DOMAINS: usize = 64;
/// Longest text of a descriptor: 16 keys of 1,624 base64 digits, 64 domains of 253, 128 nodes found wanting, and the rest.
pub(super) const MAX_LEN: usize = 60 << 10;
const MAX_NAME: usize = 32;
const MAX_CONTACT: usize = 128;
const MAX_VERSION: usize = 32;

/// What a node does for others; none of it: it is an entry only.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Roles {
    /// It may stand anywhere on a path.
    pub mix: bool,
    /// It may stand at the end of a mail's path, and hands mail to an MTA.
    pub exit: bool,
    /// It has the key of an authority, and agrees with the others on the directory document.
    pub authority: bool,
}

impl Roles {
    /// Whether it does nothing for others: no path crosses it, and nobody's keys come from it.
    #[must_use]
    pub const fn is_entry_only(self) -> bool {
        !self.mix && !self.exit && !self.authority
    }

    /// Whether it does everything that one with these `other` roles does.
    #[must_use]
    pub const fn cover(self, other: Self) -> bool {
        (self.mix || !other.mix) && (self.exit || !other.exit) && (self.authority || !other.authority)
    }

    /// The roles, in the order in which they are written everywhere.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        let words = [(self.mix, "mix"), (self.exit, "exit"), (self.authority, "authority")];
        words.into_iter().filter_map(|(has, word)| has.then_some(word))
    }
}

/// The domains an exit writes to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Domains {
    /// Every domain.
    All,
    /// These, and what lies under them; host names in lower case, ascending, at least one.
    Only(Vec<String>),
}

/// What mail an exit takes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExitPolicy {
    /// To whom.
    pub domains: Domains,
    /// Up to how many bytes.
    pub max_size: u64,
    /// Whether it posts to newsgroups, whatever domains it writes to.
    pub news: bool,
}

impl ExitPolicy {
    /// Whether the exit takes a mail of `size` bytes to `recipient`.
    #[must_use]
    pub fn takes(&self, recipient: &Address, size: u64) -> bool {
        let domain = match &self.domains {
            _ if recipient.is_news() => self.news,
            Domains::All => true,
            Domains::Only(domains) => domains.iter().any(|domain| recipient.is_within(domain)),
        };
        domain && size <= self.max_size
    }
}

/// A node's statement about itself. As a value it claims nothing: see `Signed`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Descriptor {
    /// For people: 1 to 32 of `a-z`, `0-9`, `-`.
    pub name: String,
    /// Higher than that of every earlier descriptor of this node; below 2⁶³.
    pub sequence: u64,
    /// Who it is.
    pub identity: Identity,
    /// Its X25519 key on links.
    pub link_key: [u8; 32],
    /// Where it is reached.
    pub address: NodeAddress,
    /// Nodes of one family are run by the same people, and never share a path. Written as a name is.
    pub family: Option<String>,
    /// How to reach its operator: at most 128 printable ASCII characters, without quote and backslash.
    pub contact: Option<String>,
    /// What runs there, as in `0.1.0`.
    pub version: String,
    /// Whether it may stand anywhere on a path.
    pub mix: bool,
    /// What mail it takes, if it is an exit.
    pub exit: Option<ExitPolicy>,
    /// The authority whose key it has, if it is one's node: others find that authority there.
    pub authority: Option<Identity>,
    /// Which nodes it has found wanting with its loops; none until it has sent enough of them.
    pub measured: Option<Measured>,
    /// Its mix key of each epoch: an unbroken run of 1 to 16 of them.
    pub mix_keys: BTreeMap<Epoch, PublicKey>,
}

impl Descriptor {
    /// The node's id.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.identity.id()
    }

    /// What the node does for others.
    #[must_use]
    pub const fn roles(&self) -> Roles {
        Roles { mix: self.mix, exit: self.exit.is_some(), authority: self.authority.is_some() }
    }

    /// Signs the statement; `identity` becomes that of `key`.
    ///
    /// # Errors
    /// Where the statement breaks a rule of the grammar.
    pub fn sign(mut self, key: &IdentityKey) -> Result<Signed, Malformed> {
        self.identity = key.public();
        let text = self.unsigned_text();
        let signature = key.sign(text.as_bytes());
        Signed::parse(&with_signature(text, &signature))
    }

    fn unsigned_text(&self) -> String {
        let mut text = String::from("[[node]]\n");
        let mut line = |key: &str, value: &str| writeln!(text, "{key} = {value}").expect("a String takes all");
        let quoted = |value: &str| format!("\"{value}\"");
        line("name", &quoted(&self.name));
        line("sequence", &self.sequence.to_string());
        line("identity", &quoted(&base64(self.identity.as_bytes())));
        line("link-key", &quoted(&base64(&self.link_key)));
        line("address", &quoted(&self.address.to_string()));
        self.family.iter().for_each(|family| line("family", &quoted(family)));
        self.contact.iter().for_each(|contact| line("contact", &quoted(contact)));
        line("version", &quoted(&self.version));
        line("roles", &roles_text(self.roles()));
        if let Some(exit) = &self.exit {
            line("exit.domains", &domains_text(&exit.domains));
            line("exit.max-size", &quoted(&units::size(exit.max_size)));
            if exit.news {
                line("exit.news", "true");
            }
        }
        self.authority.iter().for_each(|identity| line("authority", &quoted(&base64(identity.as_bytes()))));
        self.measured.iter().for_each(|measured| line("measured", &measured_text(measured)));
        for (epoch, key) in &self.mix_keys {
            line(&format!("mix-keys.{epoch}"), &quoted(&base64(key.as_bytes())));
        }
        text
    }

    fn read(lines: &mut Lines<'_>) -> Result<Self, Malformed> {
        lines.literal("[[node]]")?;
        let name = lines.string("name", |text| is_name(text).then(|| text.to_owned()))?;
        let sequence = lines.number("sequence")?;
        let identity = lines.string("identity", |text| Identity::parse(&parse_base64(text)?))?;
        let link_key = lines.string("link-key", parse_base64)?;
        let address = lines.string("address", |text| NodeAddress::parse(text).ok())?;
        let family =
            lines.optional("family", |value| unquote(value).filter(|text| is_name(text)).map(str::to_owned))?;
        let contact =
            lines.optional("contact", |value| unquote(value).filter(|text| is_contact(text)).map(str::to_owned))?;
        let version =
            lines.string("version", |text| (1..=MAX_VERSION).contains(&text.len()).then(|| text.to_owned()))?;
        let roles = lines.value("roles", parse_roles)?;
        let exit = if roles.exit { Some(read_exit(lines)?) } else { None };
        let of_authority = |text| Identity::parse(&parse_base64(text)?);
        let authority = if roles.authority { Some(lines.string("authority", of_authority)?) } else { None };
        let measured = lines.optional("measured", parse_measured)?;
        let mix_keys = read_mix_keys(lines)?;
        let mix = roles.mix;
        Ok(Self {
            name,
            sequence,
            identity,
            link_key,
            address,
            family,
            contact,
            version,
            mix,
            exit,
            authority,
            measured,
            mix_keys,
        })
    }
}

/// A descriptor whose signature holds and whose every field keeps its rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Signed {
    descriptor: Descriptor,
    signature: Signature,
}

impl Signed {
    /// Reads a descriptor and checks its signature and mix keys.
    ///
    /// # Errors
    /// Where and how the text breaks the grammar, or what in it is bad. Only the canonical text is taken.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let mut lines = Lines::new(text, MAX_LEN)?;
        let signed = Self::read(&mut lines, text)?;
        if lines.is_at_end() { Ok(signed) } else { Err(lines.expected("the end")) }
    }

    /// Reads one descriptor of a document; `text` is all that `lines` reads.
    pub(super) fn read(lines: &mut Lines<'_>, text: &str) -> Result<Self, Malformed> {
        let start = lines.offset();
        let descriptor = Descriptor::read(lines)?;
        let statement = text.get(start..lines.offset()).unwrap_or_default();
        let signature = Signature(lines.string("own-signature", parse_base64)?);
        if !descriptor.identity.verifies(statement.as_bytes(), &signature) {
            return Err(lines.wrong(Wrong::OwnSignature));
        }
        Ok(Self { descriptor, signature })
    }

    /// The text `parse` reads.
    #[must_use]
    pub fn to_text(&self) -> String {
        with_signature(self.descriptor.unsigned_text(), &self.signature)
    }

    /// What was signed.
    #[must_use]
    pub const fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }
}

/// Whether `text` is 1 to 32 of `a-z`, `0-9`, `-`: a node's or authority's name, or a family's.
#[must_use]
pub fn is_name(text: &str) -> bool {
    (1..=MAX_NAME).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// Whether `text` can be a contact: 1 to 128 printable ASCII characters, without quote and backslash.
#[must_use]
pub fn is_contact(text: &str) -> bool {
    (1..=MAX_CONTACT).contains(&text.len()) && is_plain(text)
}

fn with_signature(mut text: String, signature: &Signature) -> String {
    writeln!(text, "own-signature = \"{}\"", base64(&signature.0)).expect("a String takes all");
    text
}

fn roles_text(roles: Roles) -> String {
    quote_list(roles.words())
}

fn parse_roles(value: &str) -> Option<Roles> {
    let words = unquote_list(value)?;
    let has = |word| words.contains(&word);
    let roles = Roles { mix: has("mix"), exit: has("exit"), authority: has("authority") };
    Some(roles).filter(|roles| roles_text(*roles) == value)
}

fn domains_text(domains: &Domains) -> String {
    match domains {
        Domains::All => "\"all\"".into(),
        Domains::Only(domains) => quote_list(domains.iter().map(String::as_str)),
    }
}

fn parse_domains(value: &str) -> Option<Domains> {
    if value == "\"all\"" {
        return Some(Domains::All);
    }
    let domains = unquote_list(value)?;
    let ok = (1..=MAX_DOMAINS).contains(&domains.len())
        && domains.is_sorted_by(|a, b| a < b)
        && domains.iter().all(|domain| is_host_name(domain));
    ok.then(|| Domains::Only(domains.into_iter().map(str::to_owned).collect()))
}

fn read_exit(lines: &mut Lines<'_>) -> Result<ExitPolicy, Malformed> {
    let domains = lines.value("exit.domains", parse_domains)?;
    let max_size = lines.string("exit.max-size", |text| canonical(text, units::parse_size, units::size))?;
    let news = lines.optional("exit.news", |value| (value == "true").then_some(()))?.is_some();
    Ok(ExitPolicy { domains, max_size, news })
}

fn read_mix_keys(lines: &mut Lines<'_>) -> Result<BTreeMap<Epoch, PublicKey>, Malformed> {
    let mut keys = BTreeMap::new();
    while let Some(line) = lines.after("mix-keys.") {
        let (epoch, value) = line.split_once(" = ").ok_or(lines.wrong(Wrong::Value("mix-keys")))?;
        let epoch = units::parse_number(epoch).map(Epoch).ok_or(lines.wrong(Wrong::Value("mix-keys")))?;
        let unbroken =
            keys.last_key_value().is_none_or(|(last, _): (&Epoch, _)| last.0.checked_add(1) == Some(epoch.0));
        let key = unquote(value).and_then(parse_base64::<PUBLIC_KEY_LEN>).and_then(|key| PublicKey::parse(&key).ok());
        match key.filter(|_| unbroken && keys.len() < MAX_MIX_KEYS) {
            Some(key) => keys.insert(epoch, key),
            None => return Err(lines.wrong(Wrong::MixKey)),
        };
    }
    if keys.is_empty() { Err(lines.expected("mix-keys")) } else { Ok(keys) }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{EPOCH, descriptor, key, signed};
    use super::*;
    use proptest::prelude::*;

    fn refused(change: impl FnOnce(&mut Descriptor)) -> Wrong {
        let mut changed = descriptor(1);
        change(&mut changed);
        changed.sign(&key(1)).unwrap_err().why
    }

    /// The text of a descriptor with `find` replaced, signed again: only the grammar can refuse it.
    fn refused_text(find: &str, replace: &str) -> Malformed {
        let text = descriptor(1).unsigned_text();
        let changed = text.replacen(find, replace, 1);
        assert_ne!(changed, text, "{find} is not in the text");
        let signature = key(1).sign(changed.as_bytes());
        Signed::parse(&with_signature(changed, &signature)).unwrap_err()
    }

    #[test]
    fn a_descriptor_is_read_back_as_it_was_signed() {
        let mut full = descriptor(1);
        full.family = Some("kin".into());
        full.exit = Some(ExitPolicy {
            domains: Domains::Only(vec!["a.example".into(), "b.example".into()]),
            max_size: 3,
            news: true,
        });
        let mut entry_only = descriptor(2);
        (entry_only.mix, entry_only.exit, entry_only.contact) = (false, None, None);
        for (n, descriptor) in [(1, full), (2, entry_only)] {
            let signed = signed(descriptor.clone(), n);
            assert_eq!(signed.descriptor(), &descriptor);
            assert_eq!(Signed::parse(&signed.to_text()), Ok(signed));
        }
    }

    #[test]
    fn any_toml_reader_can_read_a_descriptor() {
        let toml: toml::Table = signed(descriptor(1), 1).to_text().parse().unwrap();
        let node = &toml["node"][0];
        assert_eq!(node["name"].as_str(), Some("node-1"));
        assert_eq!(node["exit"]["max-size"].as_str(), Some("2M"));
        assert_eq!(node["mix-keys"][EPOCH.to_string()].as_str().map(str::len), Some(1624));
    }

    #[test]
    fn a_field_that_breaks_its_rule_is_not_signed() {
        for name in ["", "Kvara", "a b", "kvära", &"a".repeat(33)] {
            assert_eq!(refused(|d| d.name = name.into()), Wrong::Value("name"), "{name}");
            assert_eq!(refused(|d| d.family = Some(name.into())), Wrong::Value("family"), "{name}");
        }
        for contact in ["", "a\nb", "a\"b", "a\\b", "ä", "\u{1b}[2J", &"a".repeat(129)] {
            assert_eq!(refused_value(contact), Some("contact"), "{contact}");
        }
        assert_eq!(refused(|d| d.version = String::new()), Wrong::Value("version"));
        assert_eq!(refused(|d| d.exit.as_mut().unwrap().domains = Domains::Only(vec![])), Wrong::Value("exit.domains"));
        assert_eq!(refused(|d| d.mix_keys.clear()), Wrong::Expected("mix-keys"));
    }

    fn refused_value(contact: &str) -> Option<&'static str> {
        match refused(|d| d.contact = Some(contact.into())) {
            Wrong::Value(key) | Wrong::Expected(key) => Some(if key == "version" { "contact" } else { key }),
            _ => None,
        }
    }

    #[test]
    fn mix_keys_are_an_unbroken_run_of_sixteen_at_most() {
        let one = descriptor(1).mix_keys[&EPOCH].clone();
        let run = |n| move |d: &mut Descriptor| d.mix_keys = (0..n).map(|i| (EPOCH.plus(i), one.clone())).collect();
        let mut sixteen = descriptor(1);
        run.clone()(16)(&mut sixteen);
        assert!(sixteen.sign(&key(1)).is_ok());
        assert_eq!(refused(run(17)), Wrong::MixKey);
        assert_eq!(refused(|d| drop(d.mix_keys.insert(EPOCH.plus(2), d.mix_keys[&EPOCH].clone()))), Wrong::MixKey);
    }

    #[test]
    fn a_mix_key_that_fips_203_refuses_is_refused() {
        let good = base64(descriptor(1).mix_keys[&EPOCH].as_bytes());
        // The first 12-bit number becomes 4,095, which is not below 3,329.
        let bad = format!("//8{}", &good[3..]);
        assert_eq!(refused_text(&good, &bad).why, Wrong::MixKey);
        assert_eq!(refused_text(&good, &good[..1620]).why, Wrong::MixKey, "too short");
    }

    #[test]
    fn text_written_in_another_way_is_refused() {
        use Wrong::{Expected, Value};
        for (find, replace, line, why) in [
            ("[[node]]", "[node]", 1, Expected("[[node]]")),
            ("[[node]]\n", "\n[[node]]\n", 1, Expected("[[node]]")),
            ("sequence", "colour = 1\nsequence", 3, Expected("sequence")),
            ("name = \"node-1\"\n", "name = \"node-1\"\nname = \"node-1\"\n", 3, Expected("sequence")),
            ("sequence = 1\n", "", 3, Expected("sequence")),
            ("sequence = 1", "sequence = 01", 3, Value("sequence")),
            ("sequence = 1", "sequence = +1", 3, Value("sequence")),
            ("sequence = 1", "sequence=1", 3, Expected("sequence")),
            ("sequence = 1", "sequence = 1 # one", 3, Value("sequence")),
            ("sequence = 1", "sequence = 9223372036854775808", 3, Value("sequence")),
            ("\"node-1\"", "'node-1'", 2, Value("name")),
            ("\n", "\r\n", 1, Expected("[[node]]")),
            ("\"127.0.0.1:7001\"", "\"127.0.0.1:07001\"", 6, Value("address")),
            ("[\"mix\", \"exit\"]", "[\"exit\", \"mix\"]", 9, Value("roles")),
            ("[\"mix\", \"exit\"]", "[\"mix\",\"exit\"]", 9, Value("roles")),
            ("[\"mix\", \"exit\"]", "[\"mix\"]", 10, Expected("mix-keys")),
            ("exit.domains = \"all\"", "exit.domains = [\"b.c\", \"a.c\"]", 10, Value("exit.domains")),
            ("exit.domains = \"all\"", "exit.domains = [\"a.c\", \"a.c\"]", 10, Value("exit.domains")),
            ("exit.domains = \"all\"", "exit.domains = [\"A.c\"]", 10, Value("exit.domains")),
            ("\"2M\"", "\"2048K\"", 11, Value("exit.max-size")),
            ("mix-keys.20000", "mix-keys.020000", 12, Value("mix-keys")),
        ] {
            assert_eq!(refused_text(find, replace), Malformed { line, why }, "{replace}");
        }
    }

    #[test]
    fn what_follows_a_descriptor_or_makes_it_too_long_is_refused() {
        let text = signed(descriptor(1), 1).to_text();
        assert_eq!(Signed::parse(&format!("{text}\n")).unwrap_err().why, Wrong::Expected("the end"));
        assert_eq!(Signed::parse(&format!("{text}x")).unwrap_err().why, Wrong::Expected("the end"));
        assert_eq!(Signed::parse(&"x".repeat(MAX_LEN + 1)).unwrap_err().why, Wrong::TooLong);
        assert_eq!(Signed::parse(text.trim_end()).unwrap_err().why, Wrong::Expected("own-signature"));
    }

    #[test]
    fn another_nodes_signature_does_not_hold() {
        let text = descriptor(1).unsigned_text();
        let signature = key(2).sign(text.as_bytes());
        assert_eq!(Signed::parse(&with_signature(text, &signature)).unwrap_err().why, Wrong::OwnSignature);
    }

    #[test]
    fn an_exit_takes_what_its_policy_says() {
        let some = ExitPolicy { domains: Domains::Only(vec!["example.com".into()]), max_size: 100, news: true };
        let all = ExitPolicy { domains: Domains::All, max_size: 100, news: false };
        for (address, size, by_some, by_all) in [
            ("a@example.com", 100, true, true),
            ("a@EXAMPLE.com", 100, true, true),
            ("a@mail.example.com", 100, true, true),
            ("a@badexample.com", 100, false, true),
            ("a@example.org", 100, false, true),
            ("a@example.com", 101, false, false),
            ("alt.test@news", 100, true, false),
            ("alt.test@news", 101, false, false),
            // A domain like any other.
            ("a@example.news", 100, false, true),
        ] {
            let address = Address::parse(address).unwrap();
            assert_eq!((some.takes(&address, size), all.takes(&address, size)), (by_some, by_all), "{address}");
        }
    }

    prop_compose! {
        fn any_descriptor()(
            name in "[a-z0-9-]{1,32}", sequence in 0..=i64::MAX.unsigned_abs(), link_key: [u8; 32], port in 1_u16.., mix: bool,
            family in proptest::option::of("[a-z0-9-]{1,32}"),
            contact in proptest::option::of("[ !#-\\[\\]-~]{1,128}"),
            domains in proptest::collection::btree_set("[a-z0-9]{1,9}\\.[a-z]{2,9}", 0..9),
            max_size in proptest::option::of(0_u64..), news: bool, epochs in 1_u64..17,
        ) -> Descriptor {
            let domains = if domains.is_empty() { Domains::All } else { Domains::Only(domains.into_iter().collect()) };
            let base = descriptor(1);
            Descriptor {
                name, sequence, link_key, family, contact, mix,
                address: NodeAddress::parse(&format!("mix.example.org:{port}")).unwrap(),
                exit: max_size.map(|max_size| ExitPolicy { domains, max_size, news }),
                mix_keys: (0..epochs).map(|i| (EPOCH.plus(i), base.mix_keys[&EPOCH].clone())).collect(),
                ..base
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_descriptor_is_read_back(descriptor in any_descriptor()) {
            let signed = descriptor.clone().sign(&key(1)).unwrap();
            let text = signed.to_text();
            prop_assert_eq!(signed.descriptor(), &descriptor);
            prop_assert_eq!(Signed::parse(&text).unwrap().to_text(), text.clone());
            prop_assert!(text.parse::<toml::Table>().is_ok());
        }

        #[test]
        fn a_changed_byte_is_noticed(at: proptest::sample::Index, xor in 1_u8..128) {
            let mut bytes = signed(descriptor(1), 1).to_text().into_bytes();
            let at = at.index(bytes.len());
            bytes[at] ^= xor;
            prop_assert!(String::from_utf8(bytes).map_or(true, |text| Signed::parse(&text).is_err()));
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "(\\[\\[node\\]\\]\n)?(name = \"\\PC*\"\n)?\\PC*\n*\\PC*") {
            let _ = Signed::parse(&text);
        }
    }
}
