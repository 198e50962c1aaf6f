//! The configuration: TOML in, a checked `Config` out (fog.toml(5)).

mod error;
mod settings;

pub use error::ConfigError;

use crate::directory::units::{parse_number, parse_size, parse_span};
use crate::directory::{
    Domains, NodeAddress, Params, Roles, Strategy, Trust, is_contact, is_host_name, is_name, least_threshold,
};
use crate::id::NodeId;
use crate::mail::address::Address;
use core::net::SocketAddr;
use data_encoding::HEXLOWER;
use settings::{Setting, Settings};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Each table and its keys. What is not in here is refused, with the nearest that is.
pub(crate) const KEYS: [(&str, &[&str]); 6] = [
    ("node", &["name", "roles", "onion", "listen", "key", "contact", "family", "sockets"]),
    ("entry", &["suffix", "max-size"]),
    ("exit", &["deliver", "from", "envelope-from", "max-size", "domains"]),
    ("tor", &["socks"]),
    ("directory", &["trust", "threshold"]),
    ("spool", &["path", "max"]),
];

/// The keys of `[network]`, which stand in no file: they are given when a network is founded.
const NETWORK_KEYS: [(&str, &[&str]); 1] = [(
    "network",
    &[
        "strategy",
        "min-delay",
        "mean-delay",
        "max-delay",
        "tick",
        "send-every",
        "hops",
        "epoch",
        "max-size",
        "message-id-domain",
        "demo",
    ],
)];

/// All that can be configured, with its defaults filled in and its paths made whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// `[node]`
    pub node: Node,
    /// `[entry]`
    pub entry: Entry,
    /// `[exit]`, if the node has that role.
    pub exit: Option<Exit>,
    /// `[tor]`: where Tor takes requests.
    pub socks: Socks,
    /// `[directory]`: whose signatures count.
    pub trust: Trust,
    /// `[spool]`
    pub spool: Spool,
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
    pub listen: SocketAddr,
    /// The file with its long-lived secret keys.
    pub key: PathBuf,
    /// How others reach its operator.
    pub contact: Option<String>,
    /// Shared by the nodes of one operator.
    pub family: Option<String>,
    /// The directory of `submit.sock` and `exit.sock`.
    pub sockets: PathBuf,
}

impl Node {
    /// Where mail is handed in.
    #[must_use]
    pub fn submit_socket(&self) -> PathBuf {
        self.sockets.join("submit.sock")
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
}

impl Spool {
    /// The directory document the node goes by.
    #[must_use]
    pub fn document(&self) -> PathBuf {
        self.path.join("directory")
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
        let exit = if node.roles.exit { Some(exit(&settings, base)?) } else { None };
        let default = Socks::Unix("/run/tor/socks".into());
        let wanted = "unix:PATH, or the IP address and port of Tor's SOCKS port";
        let socks = settings.or("tor.socks", default, wanted, |text| socks(text, base))?;
        let (entry, trust, spool) = (entry(&settings)?, trust(&settings)?, spool(&settings, base)?);
        Ok(Self { node, entry, exit, socks, trust, spool })
    }
}

/// The parameters of a network to be founded: the defaults, and those of `set` that begin with `network.`. The others
/// are handed back; they are for the configuration.
///
/// # Errors
/// The first thing that is wrong.
pub fn network(set: &[String]) -> Result<(Params, Vec<String>), ConfigError> {
    let (ours, others): (Vec<_>, Vec<_>) = set.iter().cloned().partition(|set| set.starts_with("network."));
    let mut settings = Settings::new(&NETWORK_KEYS);
    for set in &ours {
        settings.set(set)?;
    }
    let default = Params::default();
    let span = |key, default| settings.or(key, default, "a span such as 250ms, 90s, 15m, 2h or 1d", parse_span);
    let hops = |text: &str| parse_number(text).and_then(|n| u8::try_from(n).ok());
    let domain = |text: &str| is_host_name(text).then(|| text.to_owned());
    let laws = "exponential, constant or poisson";
    let params = Params {
        strategy: settings.or("network.strategy", default.strategy, laws, Strategy::parse)?,
        min_delay: span("network.min-delay", default.min_delay)?,
        mean_delay: span("network.mean-delay", default.mean_delay)?,
        max_delay: span("network.max-delay", default.max_delay)?,
        tick: span("network.tick", default.tick)?,
        send_every: span("network.send-every", default.send_every)?,
        hops: settings.or("network.hops", default.hops, "a number from 1 to 4", hops)?,
        epoch: span("network.epoch", default.epoch)?,
        max_size: settings.or("network.max-size", default.max_size, SIZE, parse_size)?,
        message_id_domain: settings.or("network.message-id-domain", default.message_id_domain, HOST_NAME, domain)?,
        demo: settings.or("network.demo", false, "true or false", |text| text.parse().ok())?,
    };
    params.check().map_err(|bad| ConfigError::of_sets(&ours, &bad.to_string()))?;
    Ok((params, others))
}

const SIZE: &str = "a number of bytes such as 500K, 2M or 1G";
const HOST_NAME: &str = "a host name in lower case";
const NAME: &str = "1 to 32 of a-z, 0-9 and -";
const PATH: &str = "a path";
const DELIVER: &str = "smtp:HOST:PORT, smtp:unix:PATH, lmtp:..., sendmail:PATH or maildir:PATH";

fn node(settings: &Settings, base: &Path) -> Result<Node, ConfigError> {
    let name = |text: &str| is_name(text).then(|| text.to_owned());
    let contact = |text: &str| is_contact(text).then(|| text.to_owned());
    let contact_rule = "at most 128 printable ASCII characters, without quote and backslash";
    let listen = SocketAddr::from(([127, 0, 0, 1], 9999));
    Ok(Node {
        name: settings.required("node.name", NAME, name)?,
        roles: settings.list("node.roles", roles)?.unwrap_or_default(),
        onion: settings
            .required("node.onion", "ADDRESS.onion:PORT or HOST:PORT", |text| NodeAddress::parse(text).ok())?,
        listen: settings.or("node.listen", listen, "an IP address and a port", |text| text.parse().ok())?,
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
        max_size: settings.optional("entry.max-size", SIZE, parse_size)?,
    })
}

fn exit(settings: &Settings, base: &Path) -> Result<Exit, ConfigError> {
    let from: From = settings.required("exit.from", "ADDRESS, or NAME <ADDRESS>", parse_from)?;
    let envelope = |text: &str| if text == "<>" { Some(None) } else { Address::parse(text).ok().map(Some) };
    let deliver = settings.required("exit.deliver", DELIVER, |text| deliver(text, base))?;
    let own = Some(from.address.clone());
    Ok(Exit {
        deliver,
        envelope_from: settings.or("exit.envelope-from", own, "an address, or <>", envelope)?,
        from,
        max_size: settings.optional("exit.max-size", SIZE, parse_size)?,
        domains: settings.list("exit.domains", domains)?.unwrap_or(Domains::All),
    })
}

fn spool(settings: &Settings, base: &Path) -> Result<Spool, ConfigError> {
    Ok(Spool {
        path: settings.or("spool.path", PathBuf::from("/var/lib/fog"), PATH, path_under(base))?,
        max: settings.or("spool.max", 1 << 30, SIZE, parse_size)?,
    })
}

fn trust(settings: &Settings) -> Result<Trust, ConfigError> {
    let fingerprints = settings.list("directory.trust", fingerprints)?;
    let fingerprints = fingerprints.ok_or_else(|| settings.missing("directory.trust"))?;
    let least = least_threshold(fingerprints.len());
    let number = |text: &str| parse_number(text).and_then(|n| usize::try_from(n).ok());
    let threshold = settings.or("directory.threshold", least, "a number of authorities", number)?;
    let all = fingerprints.len();
    Trust::new(threshold, fingerprints).map_err(|least| {
        let message = format!("a threshold of {threshold} of {all} does not protect against lying authorities");
        settings.error("directory.threshold", &message, &format!("from {least} to {all} are possible"))
    })
}

fn roles(setting: &Setting) -> Result<Roles, ConfigError> {
    let mut roles = Roles::default();
    for role in setting.items() {
        match role {
            "mix" => roles.mix = true,
            "exit" => roles.exit = true,
            _ => return Err(setting.wrong("a list of \"mix\" and \"exit\"; an empty one makes an entry only")),
        }
    }
    Ok(roles)
}

fn domains(setting: &Setting) -> Result<Domains, ConfigError> {
    let domains: BTreeSet<&str> = setting.items().collect();
    if domains.is_empty() || !domains.iter().all(|domain| is_host_name(domain)) {
        return Err(setting.wrong("a list of host names in lower case"));
    }
    Ok(Domains::Only(domains.into_iter().map(str::to_owned).collect()))
}

fn fingerprints(setting: &Setting) -> Result<BTreeSet<NodeId>, ConfigError> {
    let parse = |text: &str| parse_fingerprint(text).ok_or_else(|| setting.wrong("a list of 64-digit fingerprints"));
    setting.items().map(parse).collect()
}

/// Reads an authority's fingerprint: 64 lower-case hex digits.
#[must_use]
pub fn parse_fingerprint(text: &str) -> Option<NodeId> {
    HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok().map(NodeId)
}

fn path_under(base: &Path) -> impl Fn(&str) -> Option<PathBuf> {
    move |text| (!text.is_empty()).then(|| base.join(text))
}

fn deliver(text: &str, base: &Path) -> Option<Deliver> {
    if text == "sendmail" {
        return Some(Deliver::Sendmail("/usr/sbin/sendmail".into()));
    }
    let (how, to) = text.split_once(':')?;
    let path = path_under(base);
    let place = |to: &str| match to.strip_prefix("unix:") {
        Some(socket) => path(socket).map(Place::Unix),
        None => NodeAddress::parse(to).ok().map(Place::Tcp),
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
    text.parse().ok().filter(|address: &SocketAddr| address.port() != 0).map(Socks::Tcp)
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
mod tests {
    use super::*;
    use std::time::Duration;

    const FINGERPRINT: &str = "0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a";

    fn minimal() -> String {
        format!("node.name = \"kvara\"\nnode.onion = \"127.0.0.1:7000\"\ndirectory.trust = [\"{FINGERPRINT}\"]\n")
    }

    fn parse(text: &str, set: &[&str]) -> Result<Config, ConfigError> {
        let set: Vec<_> = set.iter().map(|&set| set.to_owned()).collect();
        Config::parse(&[("fog.toml".into(), text.into())], &set, Path::new("/etc/fog"))
    }

    /// The error, as a person sees it.
    fn refused(text: &str, set: &[&str]) -> String {
        parse(text, set).unwrap_err().to_string()
    }

    #[test]
    fn three_lines_are_a_configuration() {
        let config = parse(&minimal(), &[]).unwrap();
        assert_eq!(config.node.roles, Roles::default());
        assert_eq!(config.node.key, Path::new("/etc/fog/node.key"));
        assert_eq!(config.node.listen.to_string(), "127.0.0.1:9999");
        assert_eq!(config.node.submit_socket(), Path::new("/run/fog/submit.sock"));
        assert_eq!(config.entry, Entry { suffix: "fog".into(), max_size: None });
        assert_eq!((config.spool.document(), config.spool.max), (PathBuf::from("/var/lib/fog/directory"), 1 << 30));
        assert_eq!(config.exit, None);
    }

    #[test]
    fn every_key_can_be_set() {
        let text = format!(
            "[node]\nname = \"kvara\"\nroles = [\"mix\", \"exit\"]\nonion = \"mix.example.org:1\"\nlisten = \"[::1]:2\"\n\
             key = \"k\"\ncontact = \"me\"\nfamily = \"us\"\nsockets = \"s\"\n[entry]\nsuffix = \".anon\"\nmax-size = \"1M\"\n\
             [exit]\ndeliver = \"smtp:127.0.0.1:10027\"\nfrom = \"Some Body <a@b.example>\"\nenvelope-from = \"<>\"\n\
             max-size = 500\ndomains = [\"x.example\", \"a.example\"]\n\
             [directory]\ntrust = [\"{FINGERPRINT}\"]\nthreshold = 1\n[spool]\npath = \"/spool\"\nmax = \"2G\"\n"
        );
        let config = parse(&text, &[]).unwrap();
        assert_eq!(config.node.roles, Roles { mix: true, exit: true });
        assert_eq!(config.node.listen.to_string(), "[::1]:2");
        assert_eq!(config.node.key, Path::new("/etc/fog/k"));
        assert_eq!(config.node.exit_socket(), Path::new("/etc/fog/s/exit.sock"));
        assert_eq!((config.node.contact.as_deref(), config.node.family.as_deref()), (Some("me"), Some("us")));
        assert_eq!(config.entry, Entry { suffix: "anon".into(), max_size: Some(1 << 20) });
        let exit = config.exit.unwrap();
        assert_eq!(exit.deliver, Deliver::Smtp(Place::Tcp(NodeAddress::parse("127.0.0.1:10027").unwrap())));
        assert_eq!(exit.from.name, "Some Body");
        assert_eq!((exit.envelope_from, exit.max_size), (None, Some(500)));
        assert_eq!(exit.domains, Domains::Only(vec!["a.example".into(), "x.example".into()]));
        assert_eq!(config.spool, Spool { path: "/spool".into(), max: 2 << 30 });
    }

    #[test]
    fn mail_goes_out_in_one_of_four_ways() {
        let tcp = |text: &str| Place::Tcp(NodeAddress::parse(text).unwrap());
        let base = Path::new("/etc/fog");
        for (text, want) in [
            ("smtp:mx.example.org:25", Some(Deliver::Smtp(tcp("mx.example.org:25")))),
            ("smtp:unix:/run/mta", Some(Deliver::Smtp(Place::Unix("/run/mta".into())))),
            ("lmtp:[::1]:24", Some(Deliver::Lmtp(tcp("[::1]:24")))),
            ("lmtp:unix:lmtp.sock", Some(Deliver::Lmtp(Place::Unix("/etc/fog/lmtp.sock".into())))),
            ("sendmail", Some(Deliver::Sendmail("/usr/sbin/sendmail".into()))),
            ("sendmail:/opt/mta/sendmail", Some(Deliver::Sendmail("/opt/mta/sendmail".into()))),
            ("maildir:mail", Some(Deliver::Maildir("/etc/fog/mail".into()))),
            ("smtp", None),
            ("smtp:", None),
            ("smtp:unix:", None),
            ("lmtp:", None),
            ("lmtp:localhost", None),
            ("unix:/run/mta", None),
            ("sendmail:", None),
            ("uucp:host", None),
        ] {
            assert_eq!(deliver(text, base), want, "{text}");
        }
    }

    #[test]
    fn an_exit_needs_to_know_where_to_and_from_whom() {
        let exit = format!("{}node.roles = [\"exit\"]\n", minimal());
        assert_eq!(refused(&exit, &[]), "fog.toml: `from` is missing in [exit]");
        assert_eq!(refused(&exit, &["exit.from=a@b.example"]), "fog.toml: `deliver` is missing in [exit]");
        let config = parse(&exit, &["exit.from=a@b.example", "exit.deliver=maildir:mail"]).unwrap();
        let exit = config.exit.unwrap();
        assert_eq!(exit.deliver, Deliver::Maildir("/etc/fog/mail".into()));
        assert_eq!((exit.from.name.as_str(), exit.envelope_from), ("Anonymous", Some(exit.from.address)));
    }

    #[test]
    fn later_files_and_then_set_override() {
        let files = [("fog.toml", minimal()), ("conf.d/a.toml", "node.name = \"two\"\nspool.max = \"1M\"".into())];
        let files = files.map(|(name, text)| (name.to_owned(), text));
        let config = Config::parse(&files, &["node.name=three".into()], Path::new("/")).unwrap();
        assert_eq!((config.node.name.as_str(), config.spool.max), ("three", 1 << 20));
        let config = Config::parse(&files, &[], Path::new("/")).unwrap();
        assert_eq!(config.node.name, "two");
    }

    #[test]
    fn an_error_has_file_line_and_column_the_line_and_a_hint() {
        for (text, want) in [
            (
                "[node]\nnmae = \"kvara\"",
                "fog.toml:2:1: there is no key `nmae` in [node]\n    nmae = \"kvara\"\n    did you mean `name`?",
            ),
            (
                "[node]\n  suffix = \"fog\"",
                "fog.toml:2:3: there is no key `suffix` in [node]\n      suffix = \"fog\"\n    `suffix` belongs in [entry]",
            ),
            (
                "[entry]\ncolour = 1",
                "fog.toml:2:1: there is no key `colour` in [entry]\n    colour = 1\n    [entry] has suffix, max-size",
            ),
            ("[nodes]", "fog.toml:1:2: there is no table [nodes]\n    [nodes]\n    did you mean [node]?"),
            (
                "suffix = \"fog\"",
                "fog.toml:1:1: there is no table [suffix]\n    suffix = \"fog\"\n    `suffix` is a key of [entry]",
            ),
            ("spool = 1", "fog.toml:1:1: `spool` is a table\n    spool = 1\n    [spool]"),
            (
                "[colours]",
                "fog.toml:1:2: there is no table [colours]\n    [colours]\n    there are node, entry, exit, directory, spool",
            ),
            (
                "[spool]\nmax = \"2X\"",
                "fog.toml:2:7: the value of spool.max is wrong\n    max = \"2X\"\n    wanted: a number of bytes such as 500K, 2M or 1G",
            ),
            (
                "[spool]\nmax = true",
                "fog.toml:2:7: the value of spool.max is neither a text nor a list of texts\n    max = true",
            ),
        ] {
            let trust = format!("directory.trust={FINGERPRINT}");
            let rest = ["node.name=kvara", "node.onion=127.0.0.1:7000", &trust];
            assert_eq!(refused(&format!("{text}\n"), &rest), want, "{text}");
        }
    }

    #[test]
    fn what_is_no_toml_is_shown_where_it_stops_being_some() {
        let error = parse("[node]\nname = kvara\n", &[]).unwrap_err();
        assert_eq!((error.line, error.column, error.text.as_str()), (2, 8, "name = kvara"));
        assert!(!error.message.is_empty() && !error.message.contains('\n'), "{}", error.message);
        let error = parse("[node]\nname = \"a\"\nname = \"b\"\n", &[]).unwrap_err();
        assert_eq!((error.line, error.message.as_str()), (3, "duplicate key"));
    }

    #[test]
    fn the_networks_keys_are_in_no_file() {
        let error = parse("[network]\nhops = 3\n", &[]).unwrap_err();
        assert!(error.hint.unwrap().contains("fog init --new-network --set network.KEY=VALUE"));
    }

    #[test]
    fn missing_keys_name_their_table() {
        let lines = minimal();
        let lines: Vec<_> = lines.lines().collect();
        for (left_out, want) in [
            (0, "`name` is missing in [node]"),
            (1, "`onion` is missing in [node]"),
            (2, "`trust` is missing in [directory]"),
        ] {
            let mut lines = lines.clone();
            lines.remove(left_out);
            assert_eq!(refused(&lines.join("\n"), &[]), format!("fog.toml: {want}"));
        }
    }

    #[test]
    fn every_key_is_checked() {
        let base = format!(
            "{}node.roles = [\"exit\"]\nexit.deliver = \"smtp:a.example:25\"\nexit.from = \"a@b.example\"\n",
            minimal()
        );
        assert!(parse(&base, &[]).is_ok());
        for (table, keys) in KEYS {
            for key in keys {
                // No host name, no path, no list of anything.
                let wrong = if ["key", "sockets", "path"].contains(key) { "" } else { "\u{7f}, \u{7f}" };
                let error = parse(&base, &[&format!("{table}.{key}={wrong}")]).unwrap_err();
                assert_eq!(error.message, format!("the value of {table}.{key} is wrong"));
                assert!(error.hint.unwrap().starts_with("wanted: "));
            }
        }
    }

    #[test]
    fn values_that_break_a_rule_are_refused() {
        for set in [
            "node.name=Kvara",
            "node.onion=kvara.onion:1",
            "node.onion=127.0.0.1",
            "node.roles=mix,authority",
            "node.listen=localhost:1",
            "entry.suffix=-",
            "entry.max-size=-1",
            "directory.trust=0a",
            "directory.threshold=0",
            "directory.threshold=2",
            "spool.max=1T",
        ] {
            assert!(parse(&minimal(), &[set]).is_err(), "{set}");
        }
        let exit = ["node.roles=exit", "exit.deliver=smtp:127.0.0.1:25", "exit.from=a@b.example"];
        for set in [
            "exit.deliver=127.0.0.1:25",
            "exit.deliver=maildir:",
            "exit.from=Some Body",
            "exit.from=\"Some\" <a@b.example>",
            "exit.from=<a@b.example>",
            "exit.from=a <a@b.example> b",
            "exit.envelope-from=none",
            "exit.domains=",
            "exit.domains=Example.com",
        ] {
            let sets: Vec<_> = exit.iter().copied().chain([set]).collect();
            assert!(parse(&minimal(), &sets).is_err(), "{set}");
        }
    }

    #[test]
    fn a_threshold_that_liars_could_get_round_says_what_is_possible() {
        let trust = (0..4).map(|n| format!("{n:064}")).collect::<Vec<_>>().join(",");
        let trust = format!("directory.trust={trust}");
        assert!(parse(&minimal(), &[&trust, "directory.threshold=3"]).is_ok());
        let error = parse(&minimal(), &[&trust, "directory.threshold=2"]).unwrap_err();
        assert_eq!(error.hint.as_deref(), Some("from 3 to 4 are possible"));
    }

    #[test]
    fn a_set_that_is_none_is_refused() {
        for set in ["", "spool.max", "max=1M", "spool.maxx=1M", "="] {
            let error = parse(&minimal(), &[set]).unwrap_err();
            assert!(error.file == "--set" && error.hint.is_some(), "{set}");
        }
    }

    #[test]
    fn a_network_is_founded_on_the_defaults_and_what_is_set() {
        let sets = ["network.epoch=12h", "spool.max=1M", "network.tick=250ms", "network.hops=2"];
        let (params, rest) = network(&sets.map(str::to_owned)).unwrap();
        assert_eq!(params.tick, Duration::from_millis(250));
        assert_eq!((params.hops, params.epoch), (2, Duration::from_secs(12 * 3600)));
        assert_eq!(params.mean_delay, Params::default().mean_delay);
        assert_eq!(rest, ["spool.max=1M"]);
    }

    #[test]
    fn parameters_that_make_no_network_are_refused_with_their_rule() {
        let error = network(&["network.hops=5".into()]).unwrap_err();
        assert_eq!(error.message, "hops must be 1, 2, 3 or 4");
        assert_eq!(error.hint.as_deref(), Some("what was set: network.hops=5"));
        for (table, keys) in NETWORK_KEYS {
            for key in keys {
                let error = network(&[format!("{table}.{key}=\u{7f}")]).unwrap_err();
                assert_eq!(error.message, format!("the value of {table}.{key} is wrong"));
            }
        }
        let error = network(&["network.hopps=5".into()]).unwrap_err();
        assert_eq!(error.hint.as_deref(), Some("did you mean `hops`?"));
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "\\PC*\n?\\PC*", set in "\\PC*") {
            let _ = parse(&text, &[&set]);
        }
    }
}
