//! SIGHUP: the configuration is read again, and then the directory document. What is wrong changes nothing.

use super::control::Directory;
use super::dial::Road;
use super::document::{self, NotTaken, Ours};
use super::driver::Event;
use super::peers::Us;
use super::start::{envelope_from, exit_setup, us};
use crate::config::Config;
use crate::directory::Document;
use crate::engine::Settings;
use crate::sys::directory_fault::DirectoryFault;
use crate::sys::log::{self, Program, log};
use crate::sys::{block_file, clock};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};

/// What of a running node follows the configuration and the document.
pub(super) struct Reload<'a, R> {
    /// Reads the configuration; or says where it is wrong.
    pub(super) read: R,
    /// What the node was started with.
    pub(super) started: &'a Config,
    pub(super) ours: Ours,
    /// The one in use.
    pub(super) document: Document,
    pub(super) known: watch::Sender<Arc<Us>>,
    pub(super) shown: watch::Sender<Directory>,
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
        let block = block_file::read(&config.block, &self.known.borrow().link_secret);
        let Ok(block) = block.map(Arc::new) else {
            let at = config.block.display().to_string();
            return log(Program::Node, log::Event::ConfigRejected { at: &at });
        };
        self.road.tor.move_to(config.socks.clone());
        let settings = Settings { max_spool: config.spool.max, exit: exit_setup(&config), block };
        let settings = Event::Settings { settings, envelope_from: envelope_from(&config) };
        // Fails when the engine has ended; whoever waits for that will tell.
        let _ = self.events.send(settings).await;
        log(Program::Node, log::Event::Reload { waiting: &waiting(self.started, &config) });
        match self.another_document(&config).await {
            Ok(None) => {}
            Ok(Some(document)) => self.go_by(document),
            Err(not) => match not.fault() {
                what @ DirectoryFault::Fork => log(Program::Node, log::Event::Alarm { what }),
                why => log(Program::Node, log::Event::DirectoryRejected { why }),
            },
        }
    }

    /// The document that lies in the spool now, if it is another one and to be taken; the engine has it then.
    async fn another_document(&self, config: &Config) -> Result<Option<Document>, NotTaken> {
        let now = clock::now();
        // Of the one it was started with; another spool waits for the next start.
        let config = Config { spool: self.started.spool.clone(), exit: self.started.exit.clone(), ..config.clone() };
        let document = document::read(&config, now)?;
        if document.hash() == self.document.hash() {
            return Ok(None);
        }
        let document = Document::verify(&document.to_text(), &config.trust, now, Some(&self.document))
            .map_err(NotTaken::Rejected)?;
        document::check(&document, &self.ours, &config)?;
        let (taken, answer) = oneshot::channel();
        let _ = self.events.send(Event::Document { document: Box::new(document.clone()), taken }).await;
        match answer.await {
            Ok(false) => Err(NotTaken::NoKey(document.epoch())),
            Ok(true) => Ok(Some(document)),
            // The engine has ended.
            Err(_) => Ok(None),
        }
    }

    /// Lets links go by `document`, which the engine has taken.
    fn go_by(&mut self, document: Document) {
        let before = std::mem::replace(&mut self.document, document);
        let ours = Arc::clone(&self.known.borrow());
        let us = us(&self.document, Some(&before), &self.ours, &ours.link_secret);
        self.shown.send_replace(Directory::new(&self.document));
        self.known.send_replace(Arc::new(us));
        log(Program::Node, log::Event::Directory { epoch: self.document.epoch() });
    }
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
        ("spool.path", started.spool.path != now.spool.path),
    ];
    changed.into_iter().filter(|(_, is)| *is).map(|(key, _)| key).collect()
}
