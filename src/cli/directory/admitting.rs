//! Who is in the next document: nodes let in and put out by hand.

use super::super::error::CliError;
use super::super::global::Global;
use super::super::node_info::{MAX_DESCRIPTOR, draft};
use super::super::words::{command, io_trouble, role_words};
use super::Told;
use super::signing::next_contents;
use crate::config::{Config, parse_fingerprint};
use crate::directory::{Authority, Candidate, Contents, Register, Signed, least_threshold};
use crate::id::NodeId;
use crate::node::authority::desk::Desk;
use crate::sys::exit_code::ExitCode;
use crate::sys::file;
use crate::time::Time;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io;
use std::path::Path;

/// Takes nodes into the next document: descriptors in files, or those that were handed in. With `authority` the nodes'
/// authorities are in it too.
pub(super) fn add(
    nodes: &[String],
    authority: bool,
    config: &Config,
    now: Time,
    global: &Global,
) -> Result<Told, CliError> {
    let desk = Desk::of(&config.spool);
    let register = register(&desk)?;
    let mut contents = next_contents(config, now, global)?;
    let (mut words, mut added, mut descriptors) = (String::new(), Vec::new(), Vec::new());
    for name in nodes {
        let signed = descriptor(name, &register)?;
        let node = signed.descriptor();
        let what = admit(&mut contents, &signed, name)?;
        if authority {
            empower(&mut contents, &signed)?;
        }
        writeln!(words, "{what:<8}{} ({}), {}", node.name, role_words(node.roles()), node.id())
            .expect("a String takes all");
        added.push(json!({"name": node.name, "id": node.id().to_string(), "what": what}));
        descriptors.push(signed);
    }
    if authority || draft(config).exists() {
        return drafted(&contents, config, words, json!({"added": added}), global);
    }
    check(&contents)?;
    for signed in &descriptors {
        desk.add(signed).map_err(|error| io_trouble(&config.spool.path, &error))?;
    }
    Ok(noted(&contents, words, json!({"added": added}), global))
}

/// Puts nodes out of the next document.
pub(super) fn remove(nodes: &[String], config: &Config, now: Time, global: &Global) -> Result<Told, CliError> {
    let desk = Desk::of(&config.spool);
    let register = register(&desk)?;
    let mut contents = next_contents(config, now, global)?;
    let (mut words, mut removed) = (String::new(), Vec::new());
    for name in nodes {
        let known = contents.nodes.values().chain(register.offered.values()).chain(register.added.values());
        let id = named(name, known).map(|node| node.descriptor().id()).ok_or_else(|| unknown(name))?;
        contents.nodes.remove(&id);
        writeln!(words, "out     {name}, {id}").expect("a String takes all");
        removed.push(id);
    }
    let said = removed.iter().map(ToString::to_string).collect::<Vec<_>>();
    if draft(config).exists() {
        return drafted(&contents, config, words, json!({"removed": said}), global);
    }
    for id in &removed {
        desk.remove(id).map_err(|error| io_trouble(&config.spool.path, &error))?;
    }
    Ok(noted(&contents, words, json!({"removed": said}), global))
}

pub(super) fn register(desk: &Desk) -> Result<Register, CliError> {
    desk.register().map_err(|error| {
        CliError::new(ExitCode::Io, "what this authority has kept can't be read").found(error.to_string())
    })
}

/// Writes the draft of a document that is signed by hand.
fn drafted(
    contents: &Contents,
    config: &Config,
    mut words: String,
    said: Value,
    global: &Global,
) -> Result<Told, CliError> {
    let path = draft(config);
    let candidate = check(contents)?;
    file::replace(&path, candidate.to_text().as_bytes(), file::PUBLIC).map_err(|error| io_trouble(&path, &error))?;
    let count = contents.nodes.len();
    writeln!(words, "The draft has {count} nodes and isn't signed yet:\n  ->  {}", command(global, "directory sign"))
        .expect("a String takes all");
    if contents.authorities.len() > 1 {
        let trust: Vec<_> = contents.authorities.keys().map(|id| format!("\"{id}\"")).collect();
        writeln!(
            words,
            "It has {} authorities, of which {} have to sign. Everybody's fog.toml needs, in [directory]:\n\
             trust = [{}]\nthreshold = {}",
            contents.authorities.len(),
            contents.threshold,
            trust.join(", "),
            contents.threshold
        )
        .expect("a String takes all");
    }
    Ok(Told { words, json: merged(said, json!({"draft": path, "nodes": count})) })
}

/// What becomes of it where authorities agree by themselves.
fn noted(contents: &Contents, mut words: String, said: Value, global: &Global) -> Told {
    let who = match (contents.authorities.len(), contents.threshold) {
        (1, _) => "The next document says so, which the node of this authority signs by itself.".to_owned(),
        (all, some) => format!("The next document says so when {some} of {all} authorities do."),
    };
    writeln!(words, "{who}\nTo look:\n  ->  {}", command(global, "status")).expect("a String takes all");
    Told { words, json: merged(said, json!({"draft": null, "nodes": contents.nodes.len()})) }
}

fn merged(mut said: Value, more: Value) -> Value {
    if let (Value::Object(said), Value::Object(more)) = (&mut said, more) {
        said.insert("v".into(), 1.into());
        said.extend(more);
    }
    said
}

fn check(contents: &Contents) -> Result<Candidate, CliError> {
    Candidate::new(contents)
        .map_err(|rejected| CliError::new(ExitCode::Data, "these nodes make no document").found(rejected.to_string()))
}

/// Puts a node into `contents`; says whether it is new there.
fn admit(contents: &mut Contents, signed: &Signed, from: &str) -> Result<&'static str, CliError> {
    let node = signed.descriptor();
    let refuse = |what: String| CliError::new(ExitCode::Data, what);
    if !node.mix_keys.contains_key(&contents.epoch) {
        return Err(refuse(format!("{from} has no mix key for epoch {}", contents.epoch))
            .found("it is an old one, or of a node with another network's parameters")
            .try_(format!("ask {} for a new one: fog node-info", node.name)));
    }
    if !contents.has_room_for(node) {
        return Err(refuse(format!("{from}: {} is no onion service", node.name))
            .found(format!("it is reached at {}, and this network has only-onions = true", node.address))
            .try_(format!("ask {} for an onion: fog setup tor, node.onion, fog node-info", node.name)));
    }
    if let Some(shared) = contents.clash(node) {
        return Err(refuse(format!("{from}: two nodes with one {shared}"))
            .found(format!("{} would share it with a node that is in the document", node.name)));
    }
    let known = contents.nodes.get(&node.id());
    let what = match known.map(|known| (known == signed, known.descriptor().sequence)) {
        None => "new",
        Some((true, _)) => "same",
        Some((false, sequence)) if sequence < node.sequence => "newer",
        Some((false, sequence)) => {
            return Err(refuse(format!("{from} is older than what is known of {}", node.name))
                .found(format!("its number is {}, the known one's {sequence}", node.sequence)));
        }
    };
    contents.nodes.insert(node.id(), signed.clone());
    Ok(what)
}

/// Makes a node's authority one of those who sign; as many of them have to as is safe.
fn empower(contents: &mut Contents, signed: &Signed) -> Result<(), CliError> {
    let node = signed.descriptor();
    let identity = node.authority.clone().ok_or_else(|| {
        CliError::new(ExitCode::Data, format!("{} is no authority's node", node.name))
            .found("its descriptor has not got that role")
            .try_("there: fog init ... --roles mix,authority")
    })?;
    let authority = Authority { name: node.name.clone(), identity };
    contents.authorities.insert(authority.identity.id(), authority);
    contents.threshold = least_threshold(contents.authorities.len());
    Ok(())
}

/// The descriptor in the file `name`; or the one that was handed in by the node with that name or id.
fn descriptor(name: &str, register: &Register) -> Result<Signed, CliError> {
    let path = Path::new(name);
    if !path.is_file() {
        return named(name, register.offered.values()).cloned().ok_or_else(|| {
            io_trouble(path, &io::ErrorKind::NotFound.into())
                .try_("name a file, or a node that has handed in a descriptor: fog directory show")
        });
    }
    let text = file::read_text(path, MAX_DESCRIPTOR).map_err(|error| io_trouble(path, &error))?;
    Signed::parse(&text).map_err(|bad| {
        CliError::new(ExitCode::Data, format!("{name} is no descriptor"))
            .found(bad.to_string())
            .try_("take what `fog node-info` printed there, byte for byte")
    })
}

/// The node with this name or id.
fn named<'a>(name: &str, nodes: impl Iterator<Item = &'a Signed>) -> Option<&'a Signed> {
    let id: Option<NodeId> = parse_fingerprint(name);
    let mut nodes = nodes.filter(|node| node.descriptor().name == name || Some(node.descriptor().id()) == id);
    nodes.next()
}

fn unknown(name: &str) -> CliError {
    CliError::new(ExitCode::Usage, format!("there is no node `{name}`"))
        .found("wanted: the name or id of a node of the document, or of one that handed in a descriptor")
        .try_("fog directory show")
}
