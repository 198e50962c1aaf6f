//! SIGHUP: the configuration is read again, and then the directory document. What is wrong changes nothing. A document
//! that another node gave out is held against the same rules.

use super::authority::Brief;
use super::dial::Road;
use super::document::{self, NotTaken, Ours};
use super::driver::Event;
use super::peers::Us;
use super::renew::{Aim, Fetched};
use super::start::{entry_setup, envelope_from, exit_setup, us};
use super::status::Directory;
use crate::config::{self, Config};
use crate::directory::{Document, Rejected};
use crate::engine::Settings;
use crate::mix::back::Reach;
use crate::sys::directory_fault::DirectoryFault;
use crate::sys::log::{self, Danger, Program, log};
use crate::sys::{block_file, clock};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::spawn_blocking;

/// What of a running node follows the configuration and the document.
pub(super) struct Reload<'a, R> {
    /// Reads the configuration; or says where it is wrong.
    pub(super) read: R,
    /// What the node was started with.
    pub(super) started: &'a Config,
    /// What it goes by where a document is concerned.
    pub(super) config: Config,
    pub(super) ours: Ours,
    /// Whether the list of who is not to be written to, as it was read last, has anybody on it.
    pub(super) is_anybody_blocked: bool,
    /// The one in use.
    pub(super) document: Document,
    pub(super) known: watch::Sender<Arc<Us>>,
    pub(super) shown: watch::Sender<Directory>,
    pub(super) aims: watch::Sender<Aim>,
    pub(super) briefs: watch::Sender<Brief>,
    /// What the log has heard of documents that others gave out, since the one in use came.
    pub(super) told: BTreeSet<DirectoryFault>,
    pub(super) road: Arc<Road>,
    pub(super) events: mpsc::Sender<Event>,
}

impl<R: Fn() -> Result<Config, String>> Reload<'_, R> {
    /// Does it, and tells the log.
    pub(super) async fn reload(&mut self) {
        let config = match (self.read)() {
            Ok(config) => config,
            Err(at) => return log(Program::Node, log::Event::ConfigRejected { at: &at }),
        };
        let block = block_file::read_for(&config, &self.known.borrow().link_secret, self.is_anybody_blocked);
        let Ok(block) = block.map(Arc::new) else {
            let at = config.block.display().to_string();
            return log(Program::Node, log::Event::ConfigRejected { at: &at });
        };
        self.is_anybody_blocked = !block.is_empty();
        self.road.tor.move_to(config.socks.clone());
        let (exit, entry) = (exit_setup(&config), entry_setup(&config));
        let settings = Settings { max_spool: config.spool.max, exit, entry, block };
        let settings = Event::Settings {
            settings,
            envelope_from: envelope_from(&config),
            log: config.log.clone(),
            reserve: config.spool.reserve,
        };
        log::set_up(&config.log);
        // Fails when the engine has ended; whoever waits for that will tell.
        let _ = self.events.send(settings).await;
        log(Program::Node, log::Event::Reload { waiting: &waiting(self.started, &config) });
        // Of the spool and the role it was started with; others wait for the next start.
        self.config = until_next_start(self.started, config);
        // Whether receipts are wished for may be another matter now.
        let reach = Reach::of_any(&self.document, &self.ours.id, self.config.entry.receipts);
        self.shown.send_modify(|shown| shown.reach = reach);
        self.aim();
        if let Err(not) = self.look_into_spool().await {
            tell(not.fault());
        }
    }

    /// Takes a document that another node gave out, if it is to be taken, and keeps it.
    pub(super) async fn fetched(&mut self, Fetched { text, taken }: Fetched) {
        let before = self.document.clone();
        let is_taken = match self.read_aside(text).await {
            Ok(document) => self.take(document).await,
            Err(not) => Err(not),
        };
        // Whoever asked goes on asking, or has gone with the node.
        let _ = taken.send(matches!(is_taken, Ok(true)));
        let fault = match is_taken {
            Ok(true) => {
                let kept = document::keep(&self.config, &self.document, &before, clock::now());
                kept.err().map(|_| DirectoryFault::Unwritable)
            }
            Ok(false) => None,
            // Not all nodes take a new one at once.
            Err(NotTaken::Rejected(Rejected::Rollback { .. })) => None,
            Err(not) => Some(not.fault()),
        };
        // Each once: others could make the log grow.
        if let Some(fault) = fault
            && self.told.insert(fault)
        {
            tell(fault);
        }
    }

    /// Reads a text that anybody may have made, and asks who signed it, on a thread of its own: a long one must not make
    /// links stand still, which would show its maker who reads it.
    async fn read_aside(&self, text: String) -> Result<Document, NotTaken> {
        let trust = self.config.trust.clone();
        let read = spawn_blocking(move || Document::reopen(&text, &trust, clock::now())).await;
        read.map_err(|ended| NotTaken::Unreadable(ended.into()))?.map_err(NotTaken::Rejected)
    }

    /// Takes the document that lies in the spool now, if it is another one and to be taken.
    async fn look_into_spool(&mut self) -> Result<(), NotTaken> {
        let document = document::read(&self.config, clock::now())?;
        self.take(document).await.map(drop)
    }

    /// Goes by `document`, if it is another one and to be taken; the engine has it then. Gives whether it is.
    async fn take(&mut self, document: Document) -> Result<bool, NotTaken> {
        if document.hash() == self.document.hash() {
            return Ok(false);
        }
        let follows = document.may_follow(Some(&self.document), clock::now());
        if matches!(follows, Err(Rejected::Fork(_))) {
            self.fork(&document).await;
        }
        follows.map_err(NotTaken::Rejected)?;
        document::check(&document, &self.ours, &self.config)?;
        let (taken, answer) = oneshot::channel();
        let _ = self.events.send(Event::Document { document: Box::new(document.clone()), taken }).await;
        match answer.await {
            Ok(false) => Err(NotTaken::NoKey(document.epoch())),
            Ok(true) => {
                self.go_by(document);
                Ok(true)
            }
            // The engine has ended.
            Err(_) => Ok(false),
        }
    }

    /// Sends no more by the document in use: there is `other` of its epoch, which is as good.
    async fn fork(&mut self, other: &Document) {
        if self.shown.borrow().forked {
            return;
        }
        let _ = self.events.send(Event::Fork).await;
        self.shown.send_modify(|shown| shown.forked = true);
        // Without it, it is found again by whoever goes by the other one.
        if document::keep_fork(&self.config, other).is_err() {
            tell(DirectoryFault::Unwritable);
        }
    }

    /// Lets links go by `document`, which the engine has taken.
    fn go_by(&mut self, document: Document) {
        let before = std::mem::replace(&mut self.document, document);
        let ours = Arc::clone(&self.known.borrow());
        let us = us(&self.document, Some(&before), &self.ours, &ours.link_secret, ours.doubts.clone());
        let shown = Directory::new(&self.document, &self.ours.id, self.config.entry.receipts);
        self.known.send_replace(Arc::new(us));
        self.told.clear();
        self.aim();
        announce(&self.config, &self.document, &shown);
        self.shown.send_replace(shown);
    }

    fn aim(&self) {
        self.briefs.send_replace(Brief::new(&self.document, &self.config));
        self.aims.send_replace(Aim::new(&self.document, &self.ours.id, &self.config.sources));
    }
}

/// Notes by which document the node goes, and tells the log, and if it is of no use.
pub(super) fn announce(config: &Config, document: &Document, directory: &Directory) {
    document::note(config, document);
    log(Program::Node, log::Event::Directory { epoch: directory.epoch });
    match directory.reach {
        Reach::Whole => {}
        Reach::NoWayBack => log(Program::Node, log::Event::NoWayBack),
        Reach::NoPath => log(Program::Node, log::Event::NotEnoughNodes),
    }
}

fn tell(fault: DirectoryFault) {
    match fault {
        DirectoryFault::Fork => log(Program::Node, log::Event::Alarm { what: Danger::Fork }),
        why => log(Program::Node, log::Event::DirectoryRejected { why }),
    }
}

/// What holds of `now` before the next start.
fn until_next_start(started: &Config, now: Config) -> Config {
    let node = config::Node {
        name: started.node.name.clone(),
        roles: started.node.roles,
        key: started.node.key.clone(),
        ..now.node
    };
    let exit = started.exit.as_ref().map(|exit| now.exit.unwrap_or_else(|| exit.clone()));
    Config { node, exit, spool: started.spool.clone(), ..now }
}

/// The keys whose value is another one now, and has to wait for the next start.
fn waiting(started: &Config, now: &Config) -> Vec<&'static str> {
    let max_size = |config: &Config| config.entry.max_size;
    let changed = [
        ("node.name", started.node.name != now.node.name),
        ("node.roles", started.node.roles != now.node.roles),
        ("node.onion", started.node.onion.is_onion() != now.node.onion.is_onion()),
        ("node.listen", started.node.listen != now.node.listen),
        ("node.key", started.node.key != now.node.key),
        ("node.sockets", started.node.sockets != now.node.sockets),
        ("entry.suffix", started.entry.suffix != now.entry.suffix),
        ("entry.max-size", max_size(started) != max_size(now)),
        ("entry.notify", started.hand_over.is_some() != now.hand_over.is_some()),
        ("spool.path", started.spool.path != now.spool.path),
    ];
    changed.into_iter().filter(|(_, is)| *is).map(|(key, _)| key).collect()
}
