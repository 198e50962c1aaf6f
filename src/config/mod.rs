//! The configuration: TOML in, a checked `Config` out (fog.toml(5)).

mod error;
mod keys;
mod logging;
mod milter;
mod network;
mod rules;
mod settings;
mod show;

pub use error::ConfigError;
pub(crate) use keys::KEYS;
pub use logging::{Level, Log, LogTarget};
pub use milter::{FullDivert, Listen, Milter, Mixed};
pub use network::network;
pub use rules::{Facts, Rule, Rules, Subnet, Verdict};

use crate::directory::units::{parse_number, parse_rate, parse_size, parse_span};
use crate::directory::{
    Admission, Domains, MAX_DOMAINS, NodeAddress, Roles, Source, Trust, is_contact, is_host_name, is_name,
    least_threshold,
};
use crate::id::NodeId;
use crate::mail::address::Address;
use crate::mail::news::Gateway;
use crate::time::Rate;
use core::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use data_encoding::HEXLOWER;
use settings::Settings;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// All that can be configured, with its defaults filled in and its paths made whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// `[node]`
    pub node: Node,
    /// `[entry]`
    pub entry: Entry,
    /// `[exit]`, if the node has that role.
    pub exit: Option<Exit>,
    /// Where `fog exit` hands mail over, if this node has any for it: `exit.deliver`. A node without the role has notices
    /// for its senders, if `entry.notify` names any.
    pub hand_over: Option<Deliver>,
    /// `[tor]`: where Tor takes requests.
    pub socks: Socks,
    /// `[directory]`: whose signatures count.
    pub trust: Trust,
    /// `[directory]`: whom to ask for a document, if not the nodes of the last one.
    pub sources: Vec<Source>,
    /// `[directory]`: whom an authority lets into the next document without its operator.
    pub admission: Admission,
    /// `[milter]`
    pub milter: Milter,
    /// `[spool]`
    pub spool: Spool,
    /// `exit.block`: the file of recipients who are not to be written to. Every node has one: an entry keeps to it too.
    pub block: PathBuf,
    /// Whether that is another file than the usual one: then there has to be one, for a slip of the pen is not to unblock
    /// anybody.
    pub block_is_named: bool,
    /// `[log]`
    pub log: Log,
    /// `stats.publish`: where the page of the network's nodes is written.
    pub publish: Option<PathBuf>,
}

/// Who the node is and where it listens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Node {
    /// Its name in the directory.
    pub name: String,
    /// What it does for others.
    pub roles: Roles,
    /// Where others reach it.
    pub onion: NodeAddress,
    /// Where links come in: what the onion points to.
    pub listen: Listen,
    /// The file with its long-lived secret keys.
    pub key: PathBuf,
    /// How others reach its operator.
    pub contact: Option<String>,
    /// Shared by the nodes of one operator.
    pub family: Option<String>,
    /// The directory of `submit.sock`, `exit.sock` and `control.sock`.
    pub sockets: PathBuf,
}

impl Node {
    /// The file with the key of the authority, if this is an authority's node.
    #[must_use]
    pub fn authority_key(&self) -> PathBuf {
        self.key.with_file_name("authority.key")
    }

    /// Where mail is handed in.
    #[must_use]
    pub fn submit_socket(&self) -> PathBuf {
        self.sockets.join("submit.sock")
    }

    /// Where the node is asked how it is.
    #[must_use]
    pub fn control_socket(&self) -> PathBuf {
        self.sockets.join("control.sock")
    }

    /// Where mail is handed to `fog exit`.
    #[must_use]
    pub fn exit_socket(&self) -> PathBuf {
        self.sockets.join("exit.sock")
    }
}

/// What mail is taken in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// What stands behind the domain of an address that is to go through fog, without its dot.
    pub suffix: String,
    /// Largest mail in bytes, if below the network's.
    pub max_size: Option<u64>,
    /// After so long a mail of which nothing was heard is given up.
    pub give_up: Duration,
    /// The domains whose mail is delivered on this machine: their senders are told what becomes of theirs.
    pub notify: Vec<String>,
    /// Whether exits are asked for receipts.
    pub receipts: bool,
    /// Which mails go through fog whoever they are to.
    pub rules: Rules,
}

/// How mail is handed out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Exit {
    /// To whom.
    pub deliver: Deliver,
    /// What stands in `From:`.
    pub from: From,
    /// The envelope's sender; none is the null sender.
    pub envelope_from: Option<Address>,
    /// Largest mail in bytes, if below the network's.
    pub max_size: Option<u64>,
    /// Which domains are written to.
    pub domains: Domains,
    /// Where postings to newsgroups go; empty if there are to be none.
    pub news: Vec<Gateway>,
    /// How many mails one recipient gets.
    pub per_recipient: Option<Rate>,
    /// How many mails go out in all.
    pub rate: Option<Rate>,
    /// What stands in every mail's `Comments:`; may be empty.
    pub comment: String,
}

/// Where an exit's mail goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Deliver {
    /// To an MTA, by SMTP.
    Smtp(Place),
    /// To an MTA or a mail store, by LMTP.
    Lmtp(Place),
    /// To an MTA's sendmail program.
    Sendmail(PathBuf),
    /// Into a Maildir.
    Maildir(PathBuf),
}

/// Where an MTA listens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// On a port.
    Tcp(NodeAddress),
    /// On a socket of this machine.
    Unix(PathBuf),
}

/// A name and an address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct From {
    /// For people.
    pub name: String,
    /// The mailbox.
    pub address: Address,
}

/// Tor's SOCKS port. Never a name: looking one up would go round Tor.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Socks {
    /// A Unix socket.
    Unix(PathBuf),
    /// An address of this machine, mostly.
    Tcp(SocketAddr),
}

/// What the node keeps on disk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Spool {
    /// Its directory.
    pub path: PathBuf,
    /// Most bytes it may take.
    pub max: u64,
    /// Bytes of its file system that are left free: with less, nothing is taken.
    pub reserve: u64,
}

impl Spool {
    /// The directory document the node goes by.
    #[must_use]
    pub fn document(&self) -> PathBuf {
        self.path.join("directory")
    }

    /// Another one of the same epoch, if somebody was shown one.
    #[must_use]
    pub fn other_document(&self) -> PathBuf {
        self.path.join("directory.other")
    }

    /// The one it went by before: who was let in by it still is.
    #[must_use]
    pub fn previous_document(&self) -> PathBuf {
        self.path.join("directory.previous")
    }

    /// What the documents of the last epochs said of each node.
    #[must_use]
    pub fn uptimes(&self) -> PathBuf {
        self.path.join("uptimes")
    }
}

impl Config {
    /// Reads `files` (name and text, a later one overrides an earlier one) and then `set` (`table.key=value`).
    /// Relative paths start at `base`.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place and what to do about it.
    pub fn parse(files: &[(String, String)], set: &[String], base: &Path) -> Result<Self, ConfigError> {
        let mut settings = Settings::new(&KEYS);
        for (name, text) in files {
            settings.read(name, text)?;
        }
        for set in set {
            settings.set(set)?;
        }
        let node = node(&settings, base)?;
        let exit = exit(&settings, base, node.roles.exit)?;
        let default = Socks::Unix("/run/tor/socks".into());
        let wanted = "unix:PATH, or the IP address and port of Tor's SOCKS port";
        let socks = settings.or("tor.socks", default, wanted, |text| socks(text, base))?;
        let (entry, trust, spool) = (entry(&settings)?, trust(&settings)?, spool(&settings, base)?);
        let hand_over = match &exit {
            Some(exit) => Some(exit.deliver.clone()),
            None if entry.notify.is_empty() => None,
            None => Some(deliver_to(&settings, base)?.ok_or_else(|| {
                settings.missing("exit.deliver").hint("what entry.notify lets senders be told is handed over there")
            })?),
        };
        let milter = milter::milter(&settings, base)?;
        let usual = base.join("block");
        let block = settings.or("exit.block", usual.clone(), PATH, path_under(base))?;
        let block_is_named = block != usual;
        let admission = settings.or("directory.admit", Admission::default(), ADMIT, Admission::parse)?;
        let (sources, log) = (sources(&settings)?, logging::log(&settings, base)?);
        let publish = settings.optional("stats.publish", PATH, path_under(base))?;
        Ok(Self {
            node,
            entry,
            exit,
            hand_over,
            socks,
            trust,
            sources,
            admission,
            milter,
            spool,
            block,
            block_is_named,
            log,
            publish,
        })
    }
}

/// Most nodes to ask for a document.
const MAX_SOURCES: usize = 16;
const SIZE: &str = "a number of bytes such as 500K, 2M or 1G";
const MAIL_SIZE: &str = "a number of bytes such as 500K or 2M, at least 1K";
const RATE: &str = "N/SPAN, as in 20/1d, or none";
const GATEWAY: &str = "addresses of mail2news gateways; {date} and {groups} in them are filled in";
const COMMENT: &str = "one line of at most 400 bytes";
const GIVE_UP: &str = "a span of at least 1h, as in 5d";
const HOST_NAME: &str = "a host name in lower case";
/// Where links come in, if nothing else is said.
pub const USUAL_LISTEN: Listen = Listen::Inet(SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 9999)));
/// What [`parse_listen`] takes.
pub const LISTEN: &str = "an IP address and a port, or unix:PATH";
const NAME: &str = "1 to 32 of a-z, 0-9 and -";
const ADMIT: &str = "nobody or entries";
const PATH: &str = "a path";
const DELIVER: &str = "smtp:HOST:PORT, smtp:unix:PATH, lmtp:..., sendmail:PATH or maildir:PATH";

fn node(settings: &Settings, base: &Path) -> Result<Node, ConfigError> {
    let name = |text: &str| is_name(text).then(|| text.to_owned());
    let contact = |text: &str| is_contact(text).then(|| text.to_owned());
    let contact_rule = "at most 128 printable ASCII characters, without quote and backslash";
    Ok(Node {
        name: settings.required("node.name", NAME, name)?,
        roles: roles(settings)?,
        onion: settings
            .required("node.onion", "ADDRESS.onion:PORT or HOST:PORT", |text| NodeAddress::parse(text).ok())?,
        listen: settings.or("node.listen", USUAL_LISTEN, LISTEN, |text| parse_listen(text, base))?,
        key: settings.or("node.key", base.join("node.key"), PATH, path_under(base))?,
        contact: settings.optional("node.contact", contact_rule, contact)?,
        family: settings.optional("node.family", NAME, name)?,
        sockets: settings.or("node.sockets", PathBuf::from("/run/fog"), PATH, path_under(base))?,
    })
}

fn entry(settings: &Settings) -> Result<Entry, ConfigError> {
    let suffix = |text: &str| {
        let text = text.strip_prefix('.').unwrap_or(text);
        is_host_name(text).then(|| text.to_owned())
    };
    Ok(Entry {
        suffix: settings.or("entry.suffix", "fog".into(), HOST_NAME, suffix)?,
        max_size: settings.optional("entry.max-size", MAIL_SIZE, mail_size)?,
        give_up: settings.or("entry.give-up", Duration::from_secs(5 * 86_400), GIVE_UP, give_up)?,
        notify: settings.items("entry.notify", HOST_NAME, notify)?.unwrap_or_default(),
        receipts: settings.or("entry.receipts", true, "yes or no", yes_or_no)?,
        rules: Rules(settings.items("entry.rules", rules::WANTED, Rule::parse)?.unwrap_or_default()),
    })
}

fn give_up(text: &str) -> Option<Duration> {
    parse_span(text).filter(|span| *span >= Duration::from_secs(3600))
}

fn notify(text: &str) -> Option<String> {
    is_host_name(text).then(|| text.to_owned())
}

fn yes_or_no(text: &str) -> Option<bool> {
    [("yes", true), ("no", false)].into_iter().find(|(word, _)| *word == text).map(|(_, yes)| yes)
}

/// What stands in `[exit]` is looked at in any case, or a mistake would come to light only with the role.
fn exit(settings: &Settings, base: &Path, wanted: bool) -> Result<Option<Exit>, ConfigError> {
    let envelope = |text: &str| if text == "<>" { Some(None) } else { Address::parse(text).ok().map(Some) };
    let from: Option<From> = settings.optional("exit.from", "ADDRESS, or NAME <ADDRESS>", parse_from)?;
    let deliver = deliver_to(settings, base)?;
    let envelope_from = settings.optional("exit.envelope-from", "an address, or <>", envelope)?;
    let max_size = settings.optional("exit.max-size", MAIL_SIZE, mail_size)?;
    let domains = domains(settings)?;
    let news = settings.items("exit.news", GATEWAY, Gateway::parse)?.unwrap_or_default();
    let (day, minute) = (Duration::from_secs(86_400), Duration::from_secs(60));
    let rate_or = |key, default| settings.or(key, Some(default), RATE, rate);
    let per_recipient = rate_or("exit.per-recipient", Rate { count: 20, per: day })?;
    let rate = rate_or("exit.rate", Rate { count: 60, per: minute })?;
    let comment = settings.or("exit.comment", String::new(), COMMENT, comment)?;
    if !wanted {
        return Ok(None);
    }
    let from = from.ok_or_else(|| settings.missing("exit.from"))?;
    let deliver = deliver.ok_or_else(|| settings.missing("exit.deliver"))?;
    let envelope_from = envelope_from.unwrap_or_else(|| Some(from.address.clone()));
    Ok(Some(Exit { deliver, from, envelope_from, max_size, domains, news, per_recipient, rate, comment }))
}

fn deliver_to(settings: &Settings, base: &Path) -> Result<Option<Deliver>, ConfigError> {
    settings.optional("exit.deliver", DELIVER, |text| deliver(text, base))
}

/// A rate, or none at all.
fn rate(text: &str) -> Option<Option<Rate>> {
    if text == "none" { Some(None) } else { parse_rate(text).map(Some) }
}

fn comment(text: &str) -> Option<String> {
    (text.len() <= 400 && !text.contains(char::is_control)).then(|| text.to_owned())
}

fn spool(settings: &Settings, base: &Path) -> Result<Spool, ConfigError> {
    Ok(Spool {
        path: settings.or("spool.path", PathBuf::from("/var/lib/fog"), PATH, path_under(base))?,
        max: settings.or("spool.max", 1 << 30, "a number of bytes such as 500M or 2G, at least 1M", |text| {
            parse_size(text).filter(|max| *max >= 1 << 20)
        })?,
        reserve: settings.or(
            "spool.reserve",
            128 << 20,
            "a number of bytes such as 128M or 1G, at least 64M",
            |text| parse_size(text).filter(|reserve| *reserve >= 64 << 20),
        )?,
    })
}

fn trust(settings: &Settings) -> Result<Trust, ConfigError> {
    let wanted = "a list of fingerprints, each of 64 digits 0-9 and a-f";
    let fingerprints = settings.items("directory.trust", wanted, parse_fingerprint)?;
    let fingerprints: BTreeSet<_> =
        fingerprints.ok_or_else(|| settings.missing("directory.trust"))?.into_iter().collect();
    if fingerprints.is_empty() {
        return Err(settings.wrong("directory.trust", wanted));
    }
    let all = fingerprints.len();
    let least = least_threshold(all);
    let wanted = match all {
        1 => "1: there is 1 fingerprint in trust".into(),
        all => format!("{least} to {all} of the {all} in trust, or lying authorities could get round it"),
    };
    let number = |text: &str| parse_number(text).and_then(|n| usize::try_from(n).ok());
    let threshold = settings.or("directory.threshold", least, &wanted, number)?;
    Trust::new(threshold, fingerprints).map_err(|_| settings.wrong("directory.threshold", &wanted))
}

fn sources(settings: &Settings) -> Result<Vec<Source>, ConfigError> {
    let wanted = format!("a list of at most {MAX_SOURCES} nodes as KEY@ADDRESS, with the link-key of its descriptor");
    let sources = settings.items("directory.sources", &wanted, Source::parse)?.unwrap_or_default();
    if sources.len() > MAX_SOURCES { Err(settings.wrong("directory.sources", &wanted)) } else { Ok(sources) }
}

fn roles(settings: &Settings) -> Result<Roles, ConfigError> {
    let wanted = "a list of \"mix\", \"exit\" and \"authority\"; an empty one makes an entry only";
    let role = |text: &str| ["mix", "exit", "authority"].into_iter().find(|role| *role == text);
    let roles = settings.items("node.roles", wanted, role)?.unwrap_or_default();
    let has = |role| roles.contains(&role);
    Ok(Roles { mix: has("mix"), exit: has("exit"), authority: has("authority") })
}

fn domains(settings: &Settings) -> Result<Domains, ConfigError> {
    let wanted = format!("a list of 1 to {MAX_DOMAINS} host names in lower case");
    let name = |text: &str| is_host_name(text).then(|| text.to_owned());
    let Some(domains) = settings.items("exit.domains", &wanted, name)? else { return Ok(Domains::All) };
    let domains: BTreeSet<_> = domains.into_iter().collect();
    if !(1..=MAX_DOMAINS).contains(&domains.len()) {
        return Err(settings.wrong("exit.domains", &wanted));
    }
    Ok(Domains::Only(domains.into_iter().collect()))
}

/// Reads an authority's fingerprint: 64 lower-case hex digits.
#[must_use]
pub fn parse_fingerprint(text: &str) -> Option<NodeId> {
    HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok().map(NodeId)
}

/// Reads where links come in; a relative path starts at `base`.
#[must_use]
pub fn parse_listen(text: &str, base: &Path) -> Option<Listen> {
    match text.strip_prefix("unix:") {
        Some(path) => path_under(base)(path).map(Listen::Unix),
        None => socket_address(text).map(Listen::Inet),
    }
}

fn path_under(base: &Path) -> impl Fn(&str) -> Option<PathBuf> {
    move |text| (!text.is_empty() && !text.contains(char::is_control)).then(|| base.join(text))
}

fn deliver(text: &str, base: &Path) -> Option<Deliver> {
    if text == "sendmail" {
        return Some(Deliver::Sendmail("/usr/sbin/sendmail".into()));
    }
    let (how, to) = text.split_once(':')?;
    let path = path_under(base);
    let place = |to: &str| match to.strip_prefix("unix:") {
        Some(socket) => path(socket).map(Place::Unix),
        // An MTA is of this machine or its neighbourhood; a name under .onion would be looked up in the DNS.
        None => NodeAddress::parse(to).ok().filter(|address| !address.is_onion()).map(Place::Tcp),
    };
    match how {
        "smtp" => place(to).map(Deliver::Smtp),
        "lmtp" => place(to).map(Deliver::Lmtp),
        "sendmail" => path(to).map(Deliver::Sendmail),
        "maildir" => path(to).map(Deliver::Maildir),
        _ => None,
    }
}

fn socks(text: &str, base: &Path) -> Option<Socks> {
    if let Some(path) = text.strip_prefix("unix:") {
        return path_under(base)(path).map(Socks::Unix);
    }
    socket_address(text).map(Socks::Tcp)
}

/// Any port but 0, behind which the system would choose one.
fn socket_address(text: &str) -> Option<SocketAddr> {
    text.parse().ok().filter(|address: &SocketAddr| address.port() != 0)
}

fn mail_size(text: &str) -> Option<u64> {
    parse_size(text).filter(|size| *size >= 1 << 10)
}

fn parse_from(text: &str) -> Option<From> {
    let Some((name, rest)) = text.split_once('<') else {
        return Some(From { name: "Anonymous".into(), address: Address::parse(text).ok()? });
    };
    let (name, address) = (name.trim(), rest.strip_suffix('>')?);
    let plain = !name.is_empty() && !name.contains(|c: char| c.is_control() || "\"<>@\\".contains(c));
    plain.then(|| Some(From { name: name.into(), address: Address::parse(address).ok()? }))?
}

#[cfg(test)]
mod tests;
