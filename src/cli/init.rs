//! `fog init`: the configuration and the keys of a node. Never overwrites.

use super::error::CliError;
use super::global::Global;
use super::node_info::{self, draft};
use super::words::{candidate, command, io_trouble, role_words, store_trouble};
use crate::config::{Config, parse_fingerprint};
use crate::directory::{
    Authority, Candidate, Contents, Document, IdentityKey, NodeAddress, Params, Signed, Trust, least_threshold,
};
use crate::id::NodeId;
use crate::sys::exit_code::ExitCode;
use crate::sys::key_file::{self, NodeKey};
use crate::sys::{clock, file};
use crate::time::Time;
use serde_json::json;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// What a node to be set up is told.
#[derive(Clone, Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("network").required(true).args(["new_network", "join"]))]
pub struct Args {
    /// Found a network: this node signs its directory document (see also --set network.KEY=VALUE)
    #[arg(long)]
    pub new_network: bool,
    /// Join the network of this directory document
    #[arg(long, value_name = "FILE", requires = "trust")]
    pub join: Option<PathBuf>,
    /// An authority whose signature counts, as its operator told you
    #[arg(long, value_name = "FINGERPRINT", requires = "join", value_delimiter = ',')]
    pub trust: Vec<String>,
    /// How many signatures it takes [default: the least that is safe]
    #[arg(long, value_name = "N", requires = "join")]
    pub threshold: Option<usize>,
    /// The node's name: a-z, 0-9 and -
    #[arg(long)]
    pub name: String,
    /// Where others reach it: ADDRESS.onion:PORT or HOST:PORT
    #[arg(long, value_name = "ADDRESS")]
    pub onion: String,
    /// Where links come in: IP:PORT or unix:PATH [default: the onion's target, 127.0.0.1:9999]
    #[arg(long, value_name = "PLACE")]
    pub listen: Option<String>,
    /// What it does for others: mix, exit, authority; without, it is an entry only
    #[arg(long, value_name = "ROLE,...")]
    pub roles: Option<String>,
    /// Who takes an exit's mail: smtp:HOST:PORT, lmtp:HOST:PORT, sendmail, maildir:PATH [default: smtp:127.0.0.1:25]
    #[arg(long, value_name = "TARGET")]
    pub deliver: Option<String>,
    /// What an exit's mail has as From: `NAME <ADDRESS>`
    #[arg(long)]
    pub from: Option<String>,
    /// How others reach you
    #[arg(long)]
    pub contact: Option<String>,
    /// A name that all your nodes share, so that no path has two of them
    #[arg(long, value_name = "NAME")]
    pub family: Option<String>,
    /// Put everything into this directory
    #[arg(long)]
    pub dir: Option<PathBuf>,
}

/// Sets a node up and says what to type next.
///
/// # Errors
/// `Exists` if there is anything already; what is wrong with the options; a document that is not to be trusted.
pub fn run(args: &Args, global: &Global) -> Result<(), CliError> {
    let done = init(args, global, clock::now())?;
    let text = if global.json { format!("{}\n", done.to_json()) } else { done.to_words() };
    if global.quiet { Ok(()) } else { super::print(text.as_bytes()) }
}

/// What was made.
pub(super) struct Done {
    global: Global,
    config: Config,
    descriptor: Signed,
    /// The fingerprint of the authority at this node, if there is one.
    authority: Option<NodeId>,
    /// Whether a network was founded.
    founded: bool,
    /// Whether there is a signed document.
    signed: bool,
}

/// The network the node is to be part of.
enum Network {
    New(Params),
    /// A signed document, or the unsigned first draft of a network.
    Joined(Box<Candidate>, Trust),
}

impl Network {
    fn params(&self) -> &Params {
        match self {
            Self::New(params) => params,
            Self::Joined(candidate, _) => &candidate.contents().params,
        }
    }
}

/// Sets a node up.
pub(super) fn init(args: &Args, global: &Global, now: Time) -> Result<Done, CliError> {
    let global = located(args, global);
    let is_onion = NodeAddress::parse(&args.onion).is_ok_and(|address| address.is_onion());
    let (params, others) = crate::config::network(&global.set, is_onion)?;
    let network = match &args.join {
        None => Network::New(params),
        Some(path) => join(args, path, now)?,
    };
    if network.params().only_onions && !is_onion {
        return Err(CliError::new(ExitCode::Usage, format!("--onion {} is no onion service", args.onion))
            .found("all nodes of this network have to be (only-onions)")
            .try_("fog setup tor makes one; its address is in /var/lib/tor/fog/hostname"));
    }
    let mut settings = settings(args, &others)?;
    // The authority's key is drawn last of all; until then any fingerprint does.
    let trust = match &network {
        Network::New(_) => vec![NodeId([0; 32])],
        Network::Joined(_, trust) => trust.fingerprints().copied().collect(),
    };
    set_trust(&mut settings, &trust, args.threshold);
    let config = Config::parse(&[], &settings, &global.dir())?;
    nothing_is_there(&global, &config)?;
    let key = make_files(&config, &global, args.dir.is_some())?;
    let authority = make_authority(&config)?;
    let descriptor = node_info::current(&config, network.params(), &key, now, &global)?;
    match (&network, &authority) {
        (Network::New(params), Some(authority)) => {
            found(&config, params, &descriptor, authority, now)?;
            set_trust(&mut settings, &[authority.node_id()], None);
        }
        (Network::New(_), None) => {}
        (Network::Joined(candidate, _), _) => keep(&config, candidate)?,
    }
    let text = config_text(&settings);
    // Last: with a configuration there is everything else too.
    file::create(&global.config, text.as_bytes(), file::PUBLIC).map_err(|error| io_trouble(&global.config, &error))?;
    let signed = matches!(&network, Network::Joined(candidate, _) if candidate.signers().next().is_some());
    let (founded, authority) = (matches!(network, Network::New(_)), authority.map(|key| key.node_id()));
    Ok(Done { config: Config::parse(&[], &settings, &global.dir())?, global, descriptor, authority, founded, signed })
}

/// Where the configuration goes.
fn located(args: &Args, global: &Global) -> Global {
    let config = args.dir.as_ref().map_or_else(|| global.config.clone(), |dir| dir.join("fog.toml"));
    Global { config, ..global.clone() }
}

/// `TABLE.KEY=VALUE` for all that was said.
fn settings(args: &Args, others: &[String]) -> Result<Vec<String>, CliError> {
    let is_exit = args.roles.iter().flat_map(|roles| roles.split(',')).any(|role| role.trim() == "exit");
    let listen = args.listen.clone().or_else(|| {
        // An address that is no onion's is most likely our own.
        args.onion.parse::<core::net::SocketAddr>().is_ok().then(|| args.onion.clone())
    });
    let deliver = args.deliver.clone().or_else(|| is_exit.then(|| "smtp:127.0.0.1:25".into()));
    // Whoever founds a network signs its document.
    let has_role = args.roles.iter().flat_map(|roles| roles.split(',')).any(|role| role.trim() == "authority");
    let roles = match args.roles.as_deref().map(str::trim) {
        Some(roles) if args.new_network && !has_role && !roles.is_empty() => Some(format!("{roles},authority")),
        _ if args.new_network && !has_role => Some("authority".into()),
        roles => roles.map(str::to_owned),
    };
    let given = [
        ("node.name", Some(&args.name)),
        ("node.roles", roles.as_ref()),
        ("node.onion", Some(&args.onion)),
        ("node.listen", listen.as_ref()),
        ("node.contact", args.contact.as_ref()),
        ("node.family", args.family.as_ref()),
        ("exit.deliver", deliver.as_ref()),
        ("exit.from", args.from.as_ref()),
    ];
    let mut settings: Vec<_> = given.into_iter().filter_map(|(key, value)| Some(format!("{key}={}", value?))).collect();
    if args.dir.is_some() {
        settings.extend(["spool.path=spool".into(), "node.sockets=run".into()]);
    }
    settings.extend_from_slice(others);
    if is_exit && !settings.iter().any(|set| set.starts_with("exit.from=")) {
        return Err(CliError::new(ExitCode::Usage, "an exit has to know whom its mail is from")
            .try_("fog init ... --from 'Anonymous <anonymous@YOUR.DOMAIN>'"));
    }
    Ok(settings)
}

fn set_trust(settings: &mut Vec<String>, fingerprints: &[NodeId], threshold: Option<usize>) {
    settings.retain(|set| !set.starts_with("directory."));
    let list: Vec<_> = fingerprints.iter().map(ToString::to_string).collect();
    settings.push(format!("directory.trust={}", list.join(",")));
    settings.push(format!("directory.threshold={}", threshold.unwrap_or(least_threshold(fingerprints.len()))));
}

/// Refuses to go on if any file that would be made is there.
fn nothing_is_there(global: &Global, config: &Config) -> Result<(), CliError> {
    let files = [
        global.config.clone(),
        config.node.key.clone(),
        config.node.authority_key(),
        config.spool.document(),
        draft(config),
    ];
    let there: Vec<_> = files.iter().filter(|path| path.symlink_metadata().is_ok()).collect();
    if there.is_empty() {
        return Ok(());
    }
    let found: Vec<_> = there.iter().map(|path| format!("{} is there", path.display())).collect();
    Err(CliError::new(ExitCode::Exists, "a node is set up here already, and init never overwrites")
        .found(found.join("\n"))
        .try_("choose another --dir, or move those files away: a lost key can't be made again"))
}

fn make_files(config: &Config, global: &Global, own_dir: bool) -> Result<NodeKey, CliError> {
    std::fs::create_dir_all(global.dir()).map_err(|error| io_trouble(&global.dir(), &error))?;
    let private = own_dir.then_some(&config.node.sockets).into_iter().chain([&config.spool.path]);
    for dir in private {
        file::create_private_dir(dir).map_err(|error| io_trouble(dir, &error))?;
    }
    // A store that can't be made must not leave a key behind.
    drop(crate::store::Store::open(&config.spool.path).map_err(|error| store_trouble(&config.spool.path, &error))?);
    NodeKey::create(&config.node.key, &mut clock::rng()).map_err(|error| io_trouble(&config.node.key, &error))
}

/// Draws the key of the authority, if there is to be one at this node.
fn make_authority(config: &Config) -> Result<Option<IdentityKey>, CliError> {
    if !config.node.roles.authority {
        return Ok(None);
    }
    let path = config.node.authority_key();
    let key = key_file::create_authority(&path, &mut clock::rng()).map_err(|error| io_trouble(&path, &error))?;
    Ok(Some(key))
}

/// Makes the first draft of the network's document.
fn found(config: &Config, params: &Params, node: &Signed, key: &IdentityKey, now: Time) -> Result<(), CliError> {
    let authority = Authority { name: config.node.name.clone(), identity: key.public() };
    let contents = Contents {
        epoch: now.epoch(params.epoch),
        previous: None,
        params: params.clone(),
        threshold: 1,
        authorities: [(key.node_id(), authority)].into(),
        nodes: [(node.descriptor().id(), node.clone())].into(),
    };
    let candidate = Candidate::new(&contents)
        .map_err(|bad| CliError::new(ExitCode::Bug, "the draft breaks its own grammar").found(bad.to_string()))?;
    let path = draft(config);
    file::create(&path, candidate.to_text().as_bytes(), file::PUBLIC).map_err(|error| io_trouble(&path, &error))
}

/// Checks the document of the network to join. A network's first draft may be unsigned: it is kept as a draft, for its
/// parameters, and no node sends by it.
fn join(args: &Args, path: &Path, now: Time) -> Result<Network, CliError> {
    let missing = || io_trouble(path, &std::io::ErrorKind::NotFound.into());
    let candidate = candidate(path)?.ok_or_else(missing)?;
    let trust = parse_trust(args)?;
    let draft_of_trusted = || trust.fingerprints().all(|id| candidate.contents().authorities.contains_key(id));
    let first_draft = candidate.contents().previous.is_none() && candidate.signers().next().is_none();
    if !(first_draft && draft_of_trusted()) {
        Document::verify(&candidate.to_text(), &trust, now, None).map_err(|rejected| {
            CliError::new(ExitCode::No, format!("{} is not taken", path.display()))
                .found(rejected.to_string())
                .try_("ask the authorities for the document of today, and for their fingerprints by another way")
        })?;
    }
    Ok(Network::Joined(Box::new(candidate), trust))
}

fn parse_trust(args: &Args) -> Result<Trust, CliError> {
    let fingerprints: Option<BTreeSet<_>> = args.trust.iter().map(|text| parse_fingerprint(text)).collect();
    let fingerprints = fingerprints.ok_or_else(|| {
        CliError::new(ExitCode::Usage, "a fingerprint has 64 digits, 0-9 and a-f").found(args.trust.join("\n"))
    })?;
    let all = fingerprints.len();
    let threshold = args.threshold.unwrap_or(least_threshold(all));
    Trust::new(threshold, fingerprints).map_err(|least| {
        let what = format!("a threshold of {threshold} of {all} does not protect against lying authorities");
        CliError::new(ExitCode::Usage, what).try_(format!("--threshold {least}, or more, up to {all}"))
    })
}

fn keep(config: &Config, candidate: &Candidate) -> Result<(), CliError> {
    let signed = candidate.signers().next().is_some();
    let path = if signed { config.spool.document() } else { draft(config) };
    file::create(&path, candidate.to_text().as_bytes(), file::PUBLIC).map_err(|error| io_trouble(&path, &error))
}

/// The settings as a file that a person can go on with.
fn config_text(settings: &[String]) -> String {
    let mut text = String::from("# What this fog node is. All keys and their defaults: fog.toml(5).\n");
    for (table, keys) in crate::config::KEYS {
        let of_table = |set: &&String| set.split_once('.').is_some_and(|(name, _)| name == table);
        if !settings.iter().any(|set| of_table(&set)) {
            continue;
        }
        writeln!(text, "\n[{table}]").expect("a String takes all");
        for key in keys {
            let start = format!("{table}.{key}=");
            // The last one counts, as it does for `--set`.
            let Some(value) = settings.iter().rev().find_map(|set| set.strip_prefix(&start)) else { continue };
            comment(&start).iter().for_each(|comment| writeln!(text, "# {comment}").expect("a String takes all"));
            writeln!(text, "{key} = {}", toml_value(key, value)).expect("a String takes all");
        }
    }
    text
}

fn comment(setting: &str) -> Option<&'static str> {
    match setting {
        "node.roles=" => Some(
            "mix: packets of others pass through; exit: mail leaves the network here; authority: signs the directory.",
        ),
        "node.listen=" => Some("Where links come in: what the onion points to."),
        "exit.deliver=" => Some("Who gets the mail that leaves the network here."),
        "directory.trust=" => Some("The authorities whose signatures under the directory document count."),
        "directory.threshold=" => Some("How many of them it takes."),
        _ => None,
    }
}

fn toml_value(key: &str, value: &str) -> String {
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    match key {
        "roles" | "trust" | "domains" => {
            let items: Vec<_> = value.split(',').map(str::trim).filter(|item| !item.is_empty()).map(quoted).collect();
            format!("[{}]", items.join(", "))
        }
        "threshold" => value.to_owned(),
        _ => quoted(value),
    }
}

impl Done {
    /// What was made and what to do next, for people.
    pub(super) fn to_words(&self) -> String {
        let mut text =
            format!("{} is set up: {}\n", self.config.node.name, role_words(self.descriptor.descriptor().roles()));
        let mut line = |path: &Path, what: &str| {
            writeln!(text, "  {:<28} {what}", path.display().to_string()).expect("a String takes all");
        };
        line(&self.global.config, "what this node is; edit it as you like");
        line(&self.config.node.key, "secret: whoever has it is this node; keep a copy elsewhere");
        if self.authority.is_some() {
            line(&self.config.node.authority_key(), "secret: signs the network's document; keep a copy elsewhere");
        }
        line(&self.config.spool.path, "keys that change, and packets under way; no backups of this");
        text.push('\n');
        text.push_str(&self.next());
        text
    }

    fn next(&self) -> String {
        let command = |verb: &str| format!("  ->  {}\n", command(&self.global, verb));
        let document = self.config.spool.document();
        let own = self
            .authority
            .map(|id| format!("The fingerprint of its authority, for those who are to trust it:\n  {id}\n"));
        let own = own.unwrap_or_default();
        match (self.authority.filter(|_| self.founded), self.signed) {
            (Some(fingerprint), _) => format!(
                "Give others this file and this line, to join with:\n  {}\n  \
                 ->  fog init --join FILE --trust {fingerprint} --name NAME --onion ADDRESS:PORT --roles mix\n\
                 Add what `fog node-info` gives them, and sign, which starts the network:\n{}{}",
                draft(&self.config).display(),
                command("directory add FILE..."),
                command("directory sign")
            ),
            (None, true) => format!(
                "{own}Hand this node's descriptor in; once it is in the document, start the node:\n{}{}{}",
                command("directory offer"),
                command("directory fetch"),
                command("node")
            ),
            (None, false) => format!(
                "{own}The document isn't signed yet. Give this node's descriptor to an authority; once it is signed, get it as\n\
                 {}:\n{}{}{}",
                document.display(),
                command("node-info"),
                command("directory fetch"),
                command("node")
            ),
        }
    }

    fn to_json(&self) -> serde_json::Value {
        json!({
            "v": 1,
            "name": self.config.node.name,
            "id": self.descriptor.descriptor().id().to_string(),
            "config": self.global.config,
            "key": self.config.node.key,
            "spool": self.config.spool.path,
            "authority": self.authority.map(|id| id.to_string()),
            "draft": draft(&self.config).exists().then(|| draft(&self.config)),
            "document": self.signed.then(|| self.config.spool.document()),
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::global::tests::in_dir;
    use super::*;
    use std::collections::BTreeMap;
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    const DAY: u64 = 86_400;

    pub(crate) fn at_day(day: u64) -> Time {
        Time::from_secs(day * DAY + 3600)
    }

    /// What to type for a mix `name` in `dir`.
    pub(crate) fn args(dir: &Path, name: &str, port: u16) -> Args {
        Args {
            new_network: true,
            join: None,
            trust: Vec::new(),
            threshold: None,
            name: name.into(),
            onion: format!("127.0.0.1:{port}"),
            listen: None,
            roles: Some("mix".into()),
            deliver: None,
            from: None,
            contact: None,
            family: None,
            dir: Some(dir.to_owned()),
        }
    }

    pub(crate) fn joining(dir: &Path, name: &str, port: u16, document: PathBuf, authority: NodeId) -> Args {
        let trust = vec![authority.to_string()];
        Args { new_network: false, join: Some(document), trust, ..args(dir, name, port) }
    }

    pub(crate) fn set_up(args: &Args, day: u64) -> Result<Done, CliError> {
        init(args, &in_dir(Path::new("/nowhere"), &[]), at_day(day))
    }

    impl Done {
        pub(crate) fn config(&self) -> &Config {
            &self.config
        }

        pub(crate) fn global(&self) -> &Global {
            &self.global
        }

        pub(crate) fn authority(&self) -> NodeId {
            self.authority.unwrap()
        }
    }

    /// All files under `dir`, with their bytes.
    fn tree(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                files.extend(tree(&path));
            } else {
                files.insert(path.clone(), fs::read(&path).unwrap());
            }
        }
        files
    }

    #[test]
    fn a_founded_network_has_a_configuration_keys_and_an_unsigned_draft() {
        let dir = tempfile::tempdir().unwrap();
        let done = set_up(&args(dir.path(), "kvara", 7001), 20_000).unwrap();
        let config = done.global.load().unwrap();
        assert_eq!(&config, done.config());
        assert_eq!(config.node.listen.to_string(), "127.0.0.1:7001");
        assert_eq!(config.spool.path, dir.path().join("spool"));
        for (path, mode) in [("node.key", 0o600), ("authority.key", 0o600), ("spool", 0o700), ("run", 0o700)] {
            assert_eq!(dir.path().join(path).metadata().unwrap().mode() & 0o7777, mode, "{path}");
        }
        let draft = candidate(&draft(&config)).unwrap().unwrap();
        assert_eq!((draft.contents().epoch.0, draft.signers().count()), (20_000, 0));
        let (id, node) = draft.contents().nodes.first_key_value().unwrap();
        assert_eq!(*id, NodeKey::read(&config.node.key).unwrap().identity.node_id());
        assert_eq!(node.descriptor().mix_keys.len(), 8);
        assert!(draft.contents().authorities.contains_key(&done.authority()));
        assert!(config.trust.fingerprints().eq([&done.authority()]));
    }

    #[test]
    fn nothing_that_is_there_is_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let args = args(dir.path(), "kvara", 7001);
        set_up(&args, 20_000).unwrap();
        for name in ["fog.toml", "node.key", "authority.key", "spool/directory.draft"] {
            let all = tree(dir.path());
            // Of all files, only this one is left.
            for path in all.keys().filter(|path| !path.ends_with(name)) {
                fs::remove_file(path).unwrap();
            }
            let before = tree(dir.path());
            let error = set_up(&args, 20_000).err().unwrap();
            assert_eq!(error.exit, ExitCode::Exists, "{name}");
            assert!(error.found.unwrap().ends_with(&format!("{name} is there")));
            assert_eq!(tree(dir.path()), before, "{name}");
            all.iter().for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
        }
    }

    #[test]
    fn options_that_make_no_node_leave_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node");
        let good = args(&path, "kvara", 7001);
        for (bad, exit) in [
            (Args { name: "Kvara".into(), ..good.clone() }, ExitCode::Config),
            (Args { onion: "kvara.onion:1".into(), ..good.clone() }, ExitCode::Config),
            (Args { roles: Some("mix,exit".into()), ..good.clone() }, ExitCode::Usage),
            (Args { roles: Some("guard".into()), ..good }, ExitCode::Config),
        ] {
            let error = set_up(&bad, 20_000).err().unwrap();
            assert_eq!(error.exit, exit, "{error}");
            assert!(error.try_.is_some() && !path.exists());
        }
    }

    #[test]
    fn an_exit_says_in_its_descriptor_what_it_takes() {
        let dir = tempfile::tempdir().unwrap();
        let args = Args {
            roles: Some("mix,exit".into()),
            from: Some("Nobody <nobody@exit.example>".into()),
            ..args(dir.path(), "kvara", 7001)
        };
        let set = ["exit.domains=example.org", "exit.max-size=1M", "network.max-size=500K", "network.hops=2"];
        let done = init(&args, &in_dir(dir.path(), &set), at_day(20_000)).unwrap();
        let exit = done.descriptor.descriptor().exit.clone().unwrap();
        assert_eq!(exit.domains, crate::directory::Domains::Only(vec!["example.org".into()]));
        assert_eq!(exit.max_size, 500 << 10, "the network's bound, which is lower");
        let draft = candidate(&draft(&done.config)).unwrap().unwrap();
        assert_eq!(draft.contents().params.hops, 2);
        let loaded = done.global.load_with(&[]).unwrap();
        assert_eq!(loaded.exit.unwrap().from.name, "Nobody");
    }

    #[test]
    fn the_configuration_is_short_and_can_be_read() {
        let settings =
            ["node.name=kvara", "node.roles=mix,exit", "exit.from=\"A\" <a@b.example>", "directory.threshold=1"];
        let want = "\
# What this fog node is. All keys and their defaults: fog.toml(5).

[node]
name = \"kvara\"
# mix: packets of others pass through; exit: mail leaves the network here; authority: signs the directory.
roles = [\"mix\", \"exit\"]

[exit]
from = '\"A\" <a@b.example>'

[directory]
# How many of them it takes.
threshold = 1
";
        assert_eq!(config_text(&settings.map(str::to_owned)), want);
    }

    #[test]
    fn a_first_draft_can_be_joined_unsigned_if_it_lists_whom_we_trust() {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let founder = set_up(&args(a.path(), "kvara", 7001), 20_000).unwrap();
        let draft_file = draft(founder.config());
        let stranger = joining(b.path(), "pietro", 7002, draft_file.clone(), NodeId([1; 32]));
        let error = set_up(&stranger, 20_000).err().unwrap();
        assert_eq!(error.exit, ExitCode::No);
        assert!(error.found.unwrap().starts_with("too few signatures"));
        let done = set_up(&joining(b.path(), "pietro", 7002, draft_file, founder.authority()), 20_000).unwrap();
        assert!(!done.config.spool.document().exists(), "a draft is nothing to go by");
        assert!(done.to_words().contains("isn't signed yet"));
        assert!(!b.path().join("authority.key").exists());
    }

    #[test]
    fn a_fingerprint_or_threshold_that_is_none_is_refused() {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let founder = set_up(&args(a.path(), "kvara", 7001), 20_000).unwrap();
        let good = joining(b.path(), "pietro", 7002, draft(founder.config()), founder.authority());
        for bad in [
            Args { trust: vec!["0a".into()], ..good.clone() },
            Args { threshold: Some(0), ..good.clone() },
            Args { threshold: Some(2), ..good },
        ] {
            let error = set_up(&bad, 20_000).err().unwrap();
            assert_eq!(error.exit, ExitCode::Usage, "{error}");
        }
    }
}
