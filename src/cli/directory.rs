//! `fog directory`: the document of a network, made, signed, shown and checked by hand.
//!
//! The node goes by `directory` in its spool. What is to become the next one is `directory.draft` beside it, so that a
//! half-made document never takes the place of a good one. `authority.signed` says what this authority has signed last:
//! it is written before a signature is given, because two documents of one epoch would stop the network.

use super::error::CliError;
use super::global::Global;
use super::init::{authority_key, role_words};
use super::node_info::{MAX_DESCRIPTOR, draft};
use super::words::{candidate, command, io_trouble, key_trouble, params_words, rfc3339, span_words};
use crate::config::Config;
use crate::directory::units::{size, span};
use crate::directory::{Candidate, Contents, Document, Domains, IdentityKey, Rejected, Signed, VALID_EPOCHS};
use crate::id::{Epoch, NodeId};
use crate::sys::exit_code::ExitCode;
use crate::sys::{clock, file, key_file};
use crate::time::Time;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

/// `fog directory`
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Verb {
    /// Take nodes into the draft of the next document, or newer descriptors of those in it
    Add {
        /// What `fog node-info` gave
        #[arg(required = true)]
        file: Vec<PathBuf>,
    },
    /// Sign the draft, or the document once more for this epoch
    Sign,
    /// Show the document this node goes by
    Show {
        /// Show this one; nobody is asked who signed it
        file: Option<PathBuf>,
    },
    /// Say whether a document is to be taken: exit code 0 or 1
    Verify {
        /// The document
        file: PathBuf,
        /// Go by it from now on, if it is to be taken
        #[arg(long)]
        keep: bool,
    },
}

/// Does it.
///
/// # Errors
/// Each with what was found and what to type.
pub fn run(args: &Args, global: &Global) -> Result<(), CliError> {
    let (config, now) = (global.load()?, clock::now());
    let told = match &args.verb {
        Verb::Add { file } => add(file, &config, now, global)?,
        Verb::Sign => sign(&config, now, global)?,
        Verb::Show { file } => show(file.as_deref(), &config, now, global)?,
        Verb::Verify { file, keep } => verify(file, *keep, &config, now, global)?,
    };
    let text = if global.json { format!("{}\n", told.json) } else { told.words };
    if global.quiet { Ok(()) } else { super::print(text.as_bytes()) }
}

/// What a verb has to say.
#[derive(Debug)]
struct Told {
    words: String,
    json: Value,
}

/// Takes descriptors into the draft.
fn add(files: &[PathBuf], config: &Config, now: Time, global: &Global) -> Result<Told, CliError> {
    let mut contents = next_contents(config, now, global)?;
    let (mut words, mut added) = (String::new(), Vec::new());
    for path in files {
        let signed = read_descriptor(path)?;
        let node = signed.descriptor();
        let what = admit(&mut contents, &signed, path)?;
        writeln!(words, "{what:<8}{} ({}), {}", node.name, role_words(node.roles()), node.id())
            .expect("a String takes all");
        added.push(json!({"name": node.name, "id": node.id().to_string(), "what": what}));
    }
    let candidate = Candidate::new(&contents).map_err(|rejected| {
        CliError::new(ExitCode::Data, "these nodes make no document").found(rejected.to_string())
    })?;
    let path = draft(config);
    write(&path, &candidate)?;
    writeln!(
        words,
        "The draft has {} nodes and isn't signed yet:\n  ->  {}",
        contents.nodes.len(),
        command(global, "directory sign")
    )
    .expect("a String takes all");
    Ok(Told { words, json: json!({"v": 1, "draft": path, "nodes": contents.nodes.len(), "added": added}) })
}

/// Puts a node into `contents`; says whether it is new there.
fn admit(contents: &mut Contents, signed: &Signed, path: &Path) -> Result<&'static str, CliError> {
    let node = signed.descriptor();
    let refuse = |what: String| CliError::new(ExitCode::Data, what);
    if !node.mix_keys.contains_key(&contents.epoch) {
        return Err(refuse(format!("{} has no mix key for epoch {}", path.display(), contents.epoch))
            .found("it is an old one, or of a node with another network's parameters")
            .try_(format!("ask {} for a new one: fog node-info", node.name)));
    }
    if let Some(shared) = contents.clash(node) {
        return Err(refuse(format!("{}: two nodes with one {shared}", path.display()))
            .found(format!("{} would share it with a node that is in the document", node.name)));
    }
    let known = contents.nodes.get(&node.id());
    let what = match known.map(|known| (known == signed, known.descriptor().sequence)) {
        None => "new",
        Some((true, _)) => "same",
        Some((false, sequence)) if sequence < node.sequence => "newer",
        Some((false, sequence)) => {
            return Err(refuse(format!("{} is older than what is known of {}", path.display(), node.name))
                .found(format!("its number is {}, the known one's {sequence}", node.sequence)));
        }
    };
    contents.nodes.insert(node.id(), signed.clone());
    Ok(what)
}

fn read_descriptor(path: &Path) -> Result<Signed, CliError> {
    let text = file::read_text(path, MAX_DESCRIPTOR).map_err(|error| io_trouble(path, &error))?;
    Signed::parse(&text).map_err(|bad| {
        CliError::new(ExitCode::Data, format!("{} is no descriptor", path.display()))
            .found(bad.to_string())
            .try_("take what `fog node-info` printed there, byte for byte")
    })
}

/// What the next document says, as things stand: the draft, or what the document says now; for the running epoch.
fn next_contents(config: &Config, now: Time, global: &Global) -> Result<Contents, CliError> {
    let document = candidate(&config.spool.document())?;
    let draft = candidate(&draft(config))?;
    let base = draft.as_ref().or(document.as_ref()).ok_or_else(|| {
        CliError::new(ExitCode::NoInput, "there is no directory document, and no draft of one")
            .found(format!("looked in {}", config.spool.path.display()))
            .try_(command(global, "init --new-network"))
    })?;
    let contents = base.contents();
    let epoch = now.epoch(contents.params.epoch);
    Ok(Contents { epoch, previous: document.as_ref().map(Candidate::hash), ..contents.clone() })
}

/// Signs the draft for the running epoch, and goes by it.
fn sign(config: &Config, now: Time, global: &Global) -> Result<Told, CliError> {
    let path = authority_key(config);
    let key = key_file::read_authority(&path).map_err(|error| key_trouble(&path, &error))?;
    let contents = next_contents(config, now, global)?;
    let (epoch, epoch_length) = (contents.epoch, contents.params.epoch);
    if candidate(&draft(config))?.is_none() && kept_epoch(config)? == Some(epoch) {
        let words = format!("The document of epoch {epoch} is signed, and nothing has changed since.\n");
        return Ok(Told { words, json: json!({"v": 1, "epoch": epoch.0, "signed": false}) });
    }
    let candidate = signed_candidate(&contents, &key)?;
    let document = Document::verify(&candidate.to_text(), &config.trust, now, None)
        .map_err(|rejected| not_taken("the document", &rejected))?;
    record(config, epoch, document.hash()).map_err(|refusal| match refusal {
        NotRecorded::Trouble(error) => error,
        NotRecorded::Signed(last) => {
            signed_already(last, Time::epoch_start(last.plus(1), epoch_length).since(now), global)
        }
    })?;
    write(&config.spool.document(), &candidate)?;
    match std::fs::remove_file(draft(config)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io_trouble(&draft(config), &error)),
        _ => {}
    }
    stale_nodes(&document).iter().for_each(|line| super::note(line));
    Ok(told_of_signing(config, &document, now, global))
}

fn kept_epoch(config: &Config) -> Result<Option<Epoch>, CliError> {
    Ok(candidate(&config.spool.document())?.map(|document| document.contents().epoch))
}

fn signed_candidate(contents: &Contents, key: &IdentityKey) -> Result<Candidate, CliError> {
    let mut candidate = Candidate::new(contents).map_err(|rejected| not_taken("the draft", &rejected))?;
    if candidate.sign(key) {
        return Ok(candidate);
    }
    Err(CliError::new(ExitCode::Data, "this node's authority is none of the document's")
        .found(format!("its fingerprint is {}", key.node_id())))
}

fn signed_already(epoch: Epoch, left: std::time::Duration, global: &Global) -> CliError {
    CliError::new(ExitCode::TryAgain, format!("this authority has signed another document of epoch {epoch}"))
        .found("two documents of one epoch would stop the network; the draft is kept")
        .try_(format!("in {}: {}", span_words(left), command(global, "directory sign")))
}

/// Why a signature is not given.
enum NotRecorded {
    /// Something else was signed for this epoch, or a later one.
    Signed(Epoch),
    Trouble(CliError),
}

/// Writes down what is about to be signed; refuses if it would be the second of its epoch.
fn record(config: &Config, epoch: Epoch, hash: &[u8; 32]) -> Result<(), NotRecorded> {
    let path = config.spool.path.join("authority.signed");
    let trouble = |error: &io::Error| NotRecorded::Trouble(io_trouble(&path, error));
    // A hash looks as an id does.
    let line = format!("{epoch} {}\n", NodeId(*hash));
    let last = match file::read_text(&path, 256) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        last => Some(last.map_err(|error| trouble(&error))?),
    };
    if last.as_deref() == Some(&line) {
        return Ok(());
    }
    if let Some(last) = last {
        let last = last.split_once(' ').and_then(|(epoch, _)| epoch.parse().ok()).map(Epoch);
        let last = last.ok_or_else(|| trouble(&io::ErrorKind::InvalidData.into()))?;
        if last >= epoch {
            return Err(NotRecorded::Signed(last));
        }
    }
    file::replace(&path, line.as_bytes(), file::SECRET).map_err(|error| trouble(&error))
}

fn told_of_signing(config: &Config, document: &Document, now: Time, global: &Global) -> Told {
    let path = config.spool.document();
    let words = format!(
        "The document of epoch {} is signed, with {} nodes, good for {} more.\n\
         Give {} to everybody; each node goes by it after\n  ->  fog directory verify --keep FILE\n\
         Sign again within {} epochs, so that the network goes on:\n  ->  {}\n",
        document.epoch(),
        document.nodes().count(),
        span_words(document.valid_until().since(now)),
        path.display(),
        VALID_EPOCHS,
        command(global, "directory sign")
    );
    let hash = NodeId(*document.hash()).to_string();
    Told { words, json: json!({"v": 1, "epoch": document.epoch().0, "signed": true, "document": path, "hash": hash}) }
}

/// Nodes no packet can go through before they have given new keys.
fn stale_nodes(document: &Document) -> Vec<String> {
    let stale = document.nodes().filter(|(_, node)| !node.mix_keys.contains_key(&document.epoch()));
    stale
        .map(|(_, node)| format!("fog: {} has no mix key for this epoch: ask for a new descriptor", node.name))
        .collect()
}

/// Says whether the document at `path` is to be taken.
fn verify(path: &Path, keep: bool, config: &Config, now: Time, global: &Global) -> Result<Told, CliError> {
    let name = path.display().to_string();
    let text = file::read_text(path, 32 << 20).map_err(|error| io_trouble(path, &error))?;
    let have = kept(config, now)?;
    let document = Document::verify(&text, &config.trust, now, have.as_ref()).map_err(|bad| not_taken(&name, &bad))?;
    let here = document.node(&own_id(config)?).is_some();
    let mut words = format!(
        "good: epoch {}, {} nodes, signed by {} of {}, for {} more\n",
        document.epoch(),
        document.nodes().count(),
        document.signers().count(),
        document.contents().authorities.len(),
        span_words(document.valid_until().since(now))
    );
    if keep {
        file::replace(&config.spool.document(), text.as_bytes(), file::PUBLIC)
            .map_err(|error| io_trouble(&config.spool.document(), &error))?;
        words.push_str("kept: the node goes by it when it is started again\n");
    }
    if !here {
        writeln!(words, "this node is not in it; its operator takes\n  ->  {}", command(global, "node-info"))
            .expect("a String takes all");
    }
    let json = json!({"v": 1, "good": true, "epoch": document.epoch().0, "kept": keep, "has_this_node": here,
        "valid_until": rfc3339(document.valid_until())});
    Ok(Told { words, json })
}

fn own_id(config: &Config) -> Result<NodeId, CliError> {
    let key = key_file::NodeKey::read(&config.node.key).map_err(|error| key_trouble(&config.node.key, &error))?;
    Ok(key.identity.node_id())
}

/// The document this node goes by, if there is one that is still to be trusted.
fn kept(config: &Config, now: Time) -> Result<Option<Document>, CliError> {
    let Some(candidate) = candidate(&config.spool.document())? else { return Ok(None) };
    Ok(Document::reopen(&candidate.to_text(), &config.trust, now).ok())
}

fn not_taken(what: &str, rejected: &Rejected) -> CliError {
    let error = CliError::new(ExitCode::No, format!("{what} is not taken")).found(rejected.to_string());
    match rejected {
        Rejected::TooFewSignatures { .. } => error.try_("ask the authorities to sign it"),
        Rejected::UnknownAuthority(_) => {
            error.try_("if you have its fingerprint from its operator, add it to trust in [directory]")
        }
        Rejected::Rollback { .. } | Rejected::Expired { .. } => error.try_("ask for the document of today"),
        Rejected::FromTheFuture { .. } => error.try_("look at this machine's clock: date -u"),
        Rejected::Fork(_) => error.try_("do not use either of them before the authorities have explained this"),
        Rejected::BadSignature(_) | Rejected::TwoNodes(_) | Rejected::BadMixKey(_) | Rejected::Malformed(_) => {
            error.try_("take the file as it was given out, byte for byte")
        }
    }
}

/// Shows a document.
fn show(path: Option<&Path>, config: &Config, now: Time, global: &Global) -> Result<Told, CliError> {
    let own = config.spool.document();
    let path = path.unwrap_or(&own);
    let shown = candidate(path)?.ok_or_else(|| {
        let error = io_trouble(path, &io::ErrorKind::NotFound.into());
        if draft(config).exists() { error.try_(command(global, "directory sign")) } else { error }
    })?;
    let trusted = Document::verify(&shown.to_text(), &config.trust, now, None);
    let mut words = shown_words(&shown, &trusted, now);
    if path == own && draft(config).exists() {
        writeln!(
            words,
            "There is a draft beside it that isn't signed yet:\n  ->  {}",
            command(global, "directory sign")
        )
        .expect("a String takes all");
    }
    Ok(Told { words, json: shown_json(&shown, &trusted) })
}

fn shown_words(shown: &Candidate, trusted: &Result<Document, Rejected>, now: Time) -> String {
    let contents = shown.contents();
    let validity = match trusted {
        Ok(document) => format!("valid for {} more", span_words(document.valid_until().since(now))),
        Err(rejected) => format!("NOT TAKEN: {rejected}"),
    };
    let names: Vec<_> =
        shown.signers().filter_map(|id| contents.authorities.get(&id)).map(|a| a.name.as_str()).collect();
    let names = if names.is_empty() { "nobody".into() } else { names.join(", ") };
    let mut text = String::new();
    let mut line = |line: std::fmt::Arguments<'_>| writeln!(text, "{line}").expect("a String takes all");
    line(format_args!("epoch       {}, {validity}", contents.epoch));
    line(format_args!("signed by   {names} ({} of {} needed)", shown.signers().count(), contents.threshold));
    for (id, authority) in &contents.authorities {
        line(format_args!("authority   {} {id}", authority.name));
    }
    line(format_args!("hash        {}", NodeId(shown.hash())));
    line(format_args!("parameters  {}\n", params_words(&contents.params)));
    line(format_args!("{:<20} {:<11} {:<14} ADDRESS", "NODE", "ROLES", "KEYS TO EPOCH"));
    for node in contents.nodes.values().map(Signed::descriptor) {
        let last = node.mix_keys.last_key_value().map_or(0, |(epoch, _)| epoch.0);
        line(format_args!("{:<20} {:<11} {last:<14} {}", node.name, role_words(node.roles()), node.address));
    }
    text
}

fn shown_json(shown: &Candidate, trusted: &Result<Document, Rejected>) -> Value {
    let contents = shown.contents();
    let params = &contents.params;
    let nodes: Vec<_> = contents.nodes.iter().map(|(id, signed)| node_json(id, signed)).collect();
    let authorities: Vec<_> =
        contents.authorities.iter().map(|(id, a)| json!({"name": a.name, "fingerprint": id.to_string()})).collect();
    json!({
        "v": 1,
        "epoch": contents.epoch.0,
        "good": trusted.is_ok(),
        "rejected": trusted.as_ref().err().map(ToString::to_string),
        "valid_until": rfc3339(Time::epoch_start(contents.epoch.plus(VALID_EPOCHS), params.epoch)),
        "hash": NodeId(shown.hash()).to_string(),
        "previous": contents.previous.map(|hash| NodeId(hash).to_string()),
        "threshold": contents.threshold,
        "authorities": authorities,
        "signed_by": shown.signers().map(|id| id.to_string()).collect::<Vec<_>>(),
        "params": {
            "strategy": params.strategy.as_str(),
            "min_delay": span(params.min_delay),
            "mean_delay": span(params.mean_delay),
            "max_delay": span(params.max_delay),
            "tick": span(params.tick),
            "send_every": span(params.send_every),
            "hops": params.hops,
            "epoch": span(params.epoch),
            "max_size": size(params.max_size),
            "message_id_domain": params.message_id_domain,
            "demo": params.demo,
        },
        "nodes": nodes,
    })
}

fn node_json(id: &NodeId, signed: &Signed) -> Value {
    let node = signed.descriptor();
    let exit = node.exit.as_ref().map(|exit| {
        let domains = match &exit.domains {
            Domains::All => json!("all"),
            Domains::Only(domains) => json!(domains),
        };
        json!({"domains": domains, "max_size": size(exit.max_size)})
    });
    json!({
        "id": id.to_string(),
        "name": node.name,
        "sequence": node.sequence,
        "address": node.address.to_string(),
        "mix": node.mix,
        "exit": exit,
        "family": node.family,
        "contact": node.contact,
        "version": node.version,
        "keys_from": node.mix_keys.first_key_value().map(|(epoch, _)| epoch.0),
        "keys_to": node.mix_keys.last_key_value().map(|(epoch, _)| epoch.0),
    })
}

fn write(path: &Path, candidate: &Candidate) -> Result<(), CliError> {
    file::replace(path, candidate.to_text().as_bytes(), file::PUBLIC).map_err(|error| io_trouble(path, &error))
}

#[cfg(test)]
mod tests {
    use super::super::init::tests::{args, at_day, joining, set_up};
    use super::super::init::{Done, init};
    use super::super::node_info;
    use super::*;
    use crate::directory::{Descriptor, IdentityKey};
    use crate::secret::Secret;
    use crate::sys::key_file::NodeKey;
    use std::fs;
    use tempfile::TempDir;

    const DAY: u64 = 20_000;

    struct Node {
        dir: TempDir,
        done: Done,
    }

    impl Node {
        fn founded() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let done = set_up(&args(dir.path(), "kvara", 7001), DAY).unwrap();
            Self { dir, done }
        }

        fn joined(&self, name: &str, port: u16, document: PathBuf) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let done = set_up(&joining(dir.path(), name, port, document, self.done.authority()), DAY).unwrap();
            Self { dir, done }
        }

        fn config(&self) -> &Config {
            self.done.config()
        }

        fn add(&self, path: &Path, day: u64) -> Result<Told, CliError> {
            add(&[path.to_owned()], self.config(), at_day(day), self.done.global())
        }

        fn sign(&self, day: u64) -> Result<Told, CliError> {
            sign(self.config(), at_day(day), self.done.global())
        }

        fn verify(&self, path: &Path, keep: bool, day: u64) -> Result<Told, CliError> {
            verify(path, keep, self.config(), at_day(day), self.done.global())
        }

        /// What `fog node-info` gives, in a file.
        fn descriptor(&self, day: u64) -> PathBuf {
            let key = NodeKey::read(&self.config().node.key).unwrap();
            let params = crate::directory::Params::default();
            let signed = node_info::current(self.config(), &params, &key, at_day(day), self.done.global()).unwrap();
            let path = self.dir.path().join(format!("descriptor-{day}"));
            fs::write(&path, signed.to_text()).unwrap();
            path
        }

        fn document(&self) -> Candidate {
            candidate(&self.config().spool.document()).unwrap().unwrap()
        }
    }

    #[test]
    fn one_authority_and_who_joins_its_draft_are_a_network_the_same_day() {
        let kvara = Node::founded();
        let pietro = kvara.joined("pietro", 7002, draft(kvara.config()));
        let told = kvara.add(&pietro.descriptor(DAY), DAY).unwrap();
        assert!(told.words.starts_with("new     pietro (mix), "), "{}", told.words);
        assert!(told.words.contains("The draft has 2 nodes and isn't signed yet:\n  ->  fog -c "));
        assert!(!kvara.config().spool.document().exists());
        kvara.sign(DAY).unwrap();
        assert!(!draft(kvara.config()).exists());
        let document = kvara.config().spool.document();
        let told = pietro.verify(&document, true, DAY).unwrap();
        assert_eq!(told.json["has_this_node"], true);
        assert_eq!(pietro.document(), kvara.document());
        assert_eq!(pietro.document().contents().nodes.len(), 2);
    }

    #[test]
    fn a_signed_document_can_be_joined_and_its_newcomer_is_in_the_next_one() {
        let kvara = Node::founded();
        kvara.sign(DAY).unwrap();
        let first = kvara.document();
        let pietro = kvara.joined("pietro", 7002, kvara.config().spool.document());
        assert_eq!(pietro.document(), first);
        let descriptor = pietro.descriptor(DAY);
        kvara.add(&descriptor, DAY).unwrap();
        let error = kvara.sign(DAY).unwrap_err();
        assert_eq!(error.exit, ExitCode::TryAgain);
        assert!(error.try_.unwrap().starts_with("in 23 h: fog -c "), "one signature an epoch");
        assert_eq!(kvara.document(), first, "the good document stays");
        assert!(draft(kvara.config()).exists(), "and so does the draft");
        kvara.sign(DAY + 1).unwrap();
        let second = kvara.document();
        assert_eq!(second.contents().previous, Some(first.hash()));
        assert_eq!((second.contents().epoch.0, second.contents().nodes.len()), (DAY + 1, 2));
        pietro.verify(&kvara.config().spool.document(), true, DAY + 1).unwrap();
    }

    #[test]
    fn without_a_change_a_document_is_signed_once_an_epoch() {
        let kvara = Node::founded();
        kvara.sign(DAY).unwrap();
        let first = kvara.document();
        assert_eq!(kvara.sign(DAY).unwrap().json["signed"], false);
        assert_eq!(kvara.document(), first);
        assert_eq!(kvara.sign(DAY + 2).unwrap().json["signed"], true);
        assert_eq!(kvara.document().contents().epoch.0, DAY + 2);
        let error = kvara.sign(DAY + 1).unwrap_err();
        assert_eq!(error.exit, ExitCode::TryAgain, "the clock was set back");
    }

    #[test]
    fn a_signature_that_a_crash_kept_from_being_given_can_be_given_again() {
        let kvara = Node::founded();
        let draft_text = fs::read(draft(kvara.config())).unwrap();
        kvara.sign(DAY).unwrap();
        let signed = kvara.document();
        fs::remove_file(kvara.config().spool.document()).unwrap();
        fs::write(draft(kvara.config()), draft_text).unwrap();
        kvara.sign(DAY).unwrap();
        assert_eq!(kvara.document(), signed);
    }

    #[test]
    fn only_the_authority_can_sign() {
        let kvara = Node::founded();
        let pietro = kvara.joined("pietro", 7002, draft(kvara.config()));
        assert_eq!(pietro.sign(DAY).unwrap_err().exit, ExitCode::NoInput);
        let other = Node::founded();
        fs::copy(other.dir.path().join("authority.key"), pietro.dir.path().join("authority.key")).unwrap();
        let error = pietro.sign(DAY).unwrap_err();
        assert_eq!(error.what, "this node's authority is none of the document's");
        assert!(!pietro.config().spool.path.join("authority.signed").exists());
    }

    #[test]
    fn a_node_comes_again_with_a_higher_number_only() {
        let kvara = Node::founded();
        let pietro = kvara.joined("pietro", 7002, draft(kvara.config()));
        let today = pietro.descriptor(DAY);
        let tomorrow = pietro.descriptor(DAY + 1);
        assert_ne!(fs::read(&today).unwrap(), fs::read(&tomorrow).unwrap());
        kvara.add(&today, DAY).unwrap();
        assert_eq!(kvara.add(&today, DAY).unwrap().json["added"][0]["what"], "same");
        assert_eq!(kvara.add(&tomorrow, DAY + 1).unwrap().json["added"][0]["what"], "newer");
        let error = kvara.add(&today, DAY + 1).unwrap_err();
        assert!(error.what.ends_with("is older than what is known of pietro"), "{error}");
        let error = kvara.add(&today, DAY + 8).unwrap_err();
        assert!(error.what.ends_with("has no mix key for epoch 20008"), "{error}");
    }

    #[test]
    fn a_node_with_anothers_name_or_address_is_not_added() {
        let kvara = Node::founded();
        let before = fs::read(draft(kvara.config())).unwrap();
        for (name, port, shared) in [("kvara", 7002, "name"), ("pietro", 7001, "address")] {
            let other = kvara.joined(name, port, draft(kvara.config()));
            let error = kvara.add(&other.descriptor(DAY), DAY).unwrap_err();
            assert!(error.what.ends_with(&format!("two nodes with one {shared}")), "{error}");
        }
        assert_eq!(fs::read(draft(kvara.config())).unwrap(), before);
    }

    #[test]
    fn what_is_no_descriptor_is_not_added() {
        let kvara = Node::founded();
        let path = kvara.dir.path().join("x");
        assert_eq!(kvara.add(&path, DAY).unwrap_err().exit, ExitCode::NoInput);
        let good = fs::read_to_string(kvara.descriptor(DAY)).unwrap();
        fs::write(&path, good.replace("kvara", "pietr")).unwrap();
        let error = kvara.add(&path, DAY).unwrap_err();
        assert_eq!(error.exit, ExitCode::Data);
        assert!(error.found.unwrap().ends_with("the node's own signature does not hold"));
    }

    #[test]
    fn each_document_that_is_not_taken_says_why() {
        let kvara = Node::founded();
        let pietro = kvara.joined("pietro", 7002, draft(kvara.config()));
        let unsigned = fs::read_to_string(draft(kvara.config())).unwrap();
        kvara.sign(DAY).unwrap();
        let signed = fs::read_to_string(kvara.config().spool.document()).unwrap();
        let path = pietro.dir.path().join("document");
        let refused = |text: &str, day: u64| {
            fs::write(&path, text).unwrap();
            let error = pietro.verify(&path, true, day).unwrap_err();
            assert!(!pietro.config().spool.document().exists(), "not kept");
            assert!(error.try_.is_some());
            (error.exit, error.found.unwrap())
        };
        let no = |words: &str| (ExitCode::No, words.to_owned());
        assert_eq!(refused(&unsigned, DAY), no("too few signatures: 0 of the 1 that are wanted"));
        assert_eq!(refused(&signed, DAY - 1), no("from the future: it is of epoch 20000, it is epoch 19999 now"));
        assert_eq!(
            refused(&signed, DAY + 3),
            no("expired: it is of epoch 20000 and good for 3, it is epoch 20003 now")
        );
        let (exit, words) = refused(&signed.replace("hops = 3", "hops = 2"), DAY);
        assert!(exit == ExitCode::No && words.starts_with("the signature of authority"), "{words}");
        fs::write(&path, &signed).unwrap();
        let told = pietro.verify(&path, false, DAY).unwrap();
        assert!(told.words.starts_with("good: epoch 20000, 1 nodes, signed by 1 of 1, for 2 d 23 h more\n"));
        assert!(told.words.contains("this node is not in it"));
        assert!(!pietro.config().spool.document().exists(), "kept only if asked");
    }

    #[test]
    fn a_document_older_than_the_one_kept_is_not_taken() {
        let kvara = Node::founded();
        kvara.sign(DAY).unwrap();
        let old = kvara.dir.path().join("old");
        fs::copy(kvara.config().spool.document(), &old).unwrap();
        kvara.sign(DAY + 1).unwrap();
        let error = kvara.verify(&old, true, DAY + 1).unwrap_err();
        assert_eq!(error.found.unwrap(), "a rollback: it is of epoch 20000, ours of epoch 20001");
        assert_eq!(kvara.document().contents().epoch.0, DAY + 1);
    }

    #[test]
    fn a_document_is_shown_for_people_and_for_programs() {
        let kvara = Node::founded();
        let show = |path: Option<&Path>| show(path, kvara.config(), at_day(DAY), kvara.done.global());
        let error = show(None).unwrap_err();
        assert_eq!(error.exit, ExitCode::NoInput);
        assert!(error.try_.unwrap().ends_with("directory sign"));
        let told = show(Some(&draft(kvara.config()))).unwrap();
        assert!(told.words.contains("NOT TAKEN: too few signatures"), "{}", told.words);
        kvara.sign(DAY).unwrap();
        let told = show(None).unwrap();
        let lines: Vec<_> = told.words.lines().collect();
        assert_eq!(lines[0], "epoch       20000, valid for 2 d 23 h more");
        assert_eq!(lines[1], "signed by   kvara (1 of 1 needed)");
        assert_eq!(*lines.last().unwrap(), "kvara                mix         20007          127.0.0.1:7001");
        assert_eq!(told.json["valid_until"], "2024-10-07T00:00:00Z");
        assert_eq!((&told.json["good"], &told.json["nodes"][0]["name"]), (&json!(true), &json!("kvara")));
    }

    #[test]
    fn a_node_without_a_key_for_the_epoch_is_named_when_it_is_signed() {
        let kvara = Node::founded();
        kvara.sign(DAY).unwrap();
        let later = Contents { epoch: Epoch(DAY + 8), ..kvara.document().contents().clone() };
        let key = key_file::read_authority(&authority_key(kvara.config())).unwrap();
        let text = signed_candidate(&later, &key).unwrap().to_text();
        let document = Document::verify(&text, &kvara.config().trust, at_day(DAY + 8), None).unwrap();
        assert_eq!(stale_nodes(&document), ["fog: kvara has no mix key for this epoch: ask for a new descriptor"]);
    }

    #[test]
    fn a_descriptor_is_given_out_again_until_something_changes() {
        let kvara = Node::founded();
        let descriptor = |day| fs::read_to_string(kvara.descriptor(day)).unwrap();
        let (one, two, later) = (descriptor(DAY), descriptor(DAY), descriptor(DAY + 1));
        assert_eq!(one, two);
        assert_ne!(one, later, "its keys have moved on");
        let draft = candidate(&draft(kvara.config())).unwrap().unwrap();
        assert_eq!(draft.contents().nodes.values().next().unwrap().to_text(), one);
    }

    #[test]
    fn a_running_node_gives_out_its_last_descriptor_while_it_has_a_current_key() {
        let kvara = Node::founded();
        let one = kvara.descriptor(DAY);
        let _running = crate::store::Store::open(&kvara.config().spool.path).unwrap();
        assert_eq!(fs::read(&one).unwrap(), fs::read(kvara.descriptor(DAY + 7)).unwrap());
        let key = NodeKey::read(&kvara.config().node.key).unwrap();
        let params = crate::directory::Params::default();
        let late = node_info::current(kvara.config(), &params, &key, at_day(DAY + 8), kvara.done.global());
        assert_eq!(late.unwrap_err().exit, ExitCode::TryAgain);
    }

    #[test]
    fn another_nodes_descriptor_is_not_given_out() {
        let kvara = Node::founded();
        let path = kvara.config().spool.path.join("descriptor");
        let mut stranger: Descriptor = Signed::parse(&fs::read_to_string(&path).unwrap()).unwrap().descriptor().clone();
        stranger.sequence = 5;
        let key = IdentityKey::from_seed(&Secret::filled(|seed| seed.fill(9)));
        fs::write(&path, stranger.sign(&key).unwrap().to_text()).unwrap();
        let own = Signed::parse(&fs::read_to_string(kvara.descriptor(DAY)).unwrap()).unwrap();
        assert_eq!(own.descriptor().id(), NodeKey::read(&kvara.config().node.key).unwrap().identity.node_id());
    }

    #[test]
    fn init_takes_what_the_command_line_gives() {
        #[derive(clap::Parser)]
        struct Cli {
            #[command(flatten)]
            global: Global,
            #[command(flatten)]
            init: super::super::init::Args,
        }
        let dir = tempfile::tempdir().unwrap();
        let dir_text = dir.path().to_str().unwrap();
        let line = [
            "fog",
            "--new-network",
            "--name",
            "kvara",
            "--onion",
            "localhost:7001",
            "--set",
            "network.hops=2",
            "--dir",
            dir_text,
        ];
        let cli = <Cli as clap::Parser>::try_parse_from(line).unwrap();
        let done = init(&cli.init, &cli.global, at_day(DAY)).unwrap();
        assert_eq!(done.config().node.roles, crate::directory::Roles::default());
        for bad in [
            &["fog", "--name", "a", "--onion", "b:1"][..],
            &line[..2],
            &["fog", "--join", "x", "--name", "a", "--onion", "b:1"],
        ] {
            assert!(<Cli as clap::Parser>::try_parse_from(bad).is_err(), "{bad:?}");
        }
    }
}
