//! What one node says of itself, signed by it.

use super::address::{NodeAddress, is_host_name};
use super::identity::{Identity, IdentityKey, Signature};
use super::lines::{
    Lines, Malformed, Wrong, base64, canonical, is_plain, parse_base64, quote_list, unquote, unquote_list,
};
use super::units;
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
const MAX_DOMAINS: usize = 64;
/// Longest text of a descriptor: 16 keys of 1,624 base64 digits, 64 domains of 253, and the rest.
pub(super) const MAX_LEN: usize = 48 << 10;
const MAX_NAME: usize = 32;
const MAX_CONTACT: usize = 128;
const MAX_VERSION: usize = 32;

/// What a node does for others; neither: it is an entry only.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Roles {
    /// It may stand anywhere on a path.
    pub mix: bool,
    /// It may stand at the end of a mail's path, and hands mail to an MTA.
    pub exit: bool,
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
}

impl ExitPolicy {
    /// Whether the exit takes a mail of `size` bytes to `recipient`.
    #[must_use]
    pub fn takes(&self, recipient: &Address, size: u64) -> bool {
        let domain = match &self.domains {
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
    /// Higher than that of every earlier descriptor of this node.
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
        Roles { mix: self.mix, exit: self.exit.is_some() }
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
        }
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
        let contact = lines.optional("contact", |value| plain(unquote(value)?, MAX_CONTACT))?;
        let version = lines.string("version", |text| plain(text, MAX_VERSION))?;
        let roles = lines.value("roles", parse_roles)?;
        let exit = if roles.exit { Some(read_exit(lines)?) } else { None };
        let mix_keys = read_mix_keys(lines)?;
        let mix = roles.mix;
        Ok(Self { name, sequence, identity, link_key, address, family, contact, version, mix, exit, mix_keys })
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

fn with_signature(mut text: String, signature: &Signature) -> String {
    writeln!(text, "own-signature = \"{}\"", base64(&signature.0)).expect("a String takes all");
    text
}

fn plain(text: &str, max: usize) -> Option<String> {
    ((1..=max).contains(&text.len()) && is_plain(text)).then(|| text.to_owned())
}

fn roles_text(roles: Roles) -> String {
    let words = [(roles.mix, "mix"), (roles.exit, "exit")];
    quote_list(words.into_iter().filter_map(|(has, word)| has.then_some(word)))
}

fn parse_roles(value: &str) -> Option<Roles> {
    let all = [(false, false), (true, false), (false, true), (true, true)].map(|(mix, exit)| Roles { mix, exit });
    all.into_iter().find(|roles| roles_text(*roles) == value)
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
    Ok(ExitPolicy { domains, max_size })
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
