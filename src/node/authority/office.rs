//! An authority at work: by the clock, and with the other authorities, each of which is asked a few times a round for what it
//! shows.
//!
//! Nothing waits for anybody: who is slow, silent or full of lies takes no time from the others.

use super::super::dial::Road;
use super::super::fetch::{Wanted, fetch_agreement};
use super::super::peers::Known;
use super::super::renew::Fetched;
use super::super::serve::Served;
use super::super::trouble::Trouble;
use super::clerk::{Clerk, News, Stand};
use super::desk::Desk;
use super::{Window, registrar};
use crate::config::{Config, Spool};
use crate::directory::{Document, IdentityKey, MAX_AGREEMENT, Phase, Source};
use crate::id::{Epoch, NodeId};
use crate::sys::clock;
use crate::sys::log::{self, Program, log};
use rand::RngExt;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;

/// So often in a round each other authority is asked, about.
const A_ROUND: u32 = 6;

/// The shortest sleep when nobody is to be asked.
const SHORTEST_SLEEP: Duration = Duration::from_millis(100);

/// The longest sleep until a time of day: the clock may be set, or the machine may have slept.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// The pause after files could not be written.
const DISK_PAUSE: Duration = Duration::from_secs(10);

/// What the node goes by, as it changes.
#[derive(Debug, Clone)]
pub(in super::super) struct Brief {
    /// The document in use.
    pub(in super::super) document: Arc<Document>,
    /// The configuration, as far as it holds before the next start.
    pub(in super::super) config: Arc<Config>,
}

impl Brief {
    /// This document, and this configuration.
    pub(in super::super) fn new(document: &Document, config: &Config) -> Self {
        Self { document: Arc::new(document.clone()), config: Arc::new(config.clone()) }
    }
}

/// What connects an authority with its node.
#[derive(Debug)]
pub(in super::super) struct Office {
    pub(in super::super) me: NodeId,
    pub(in super::super) briefs: watch::Receiver<Brief>,
    pub(in super::super) known: Known,
    pub(in super::super) road: Arc<Road>,
    /// How the next document stands.
    pub(in super::super) stands: watch::Sender<Option<Stand>>,
    /// Where a document goes that takes effect.
    pub(in super::super) fetched: mpsc::Sender<Fetched>,
}

/// An authority that has its files, and has not begun to work.
#[derive(Debug)]
pub(in super::super) struct Authority {
    clerk: Clerk,
    desk: Desk,
}

impl Authority {
    /// The one with this key, as it left its files.
    ///
    /// # Errors
    /// What the operating system says.
    pub(in super::super) fn open(key: IdentityKey, spool: &Spool) -> io::Result<Self> {
        Ok(Self { clerk: Clerk::open(key, spool)?, desk: Desk::of(spool) })
    }

    /// Works on a thread of its own, on which files are read and written and keys checked while links go on, until nobody
    /// briefs it any more; what is given back with what others see of it tells when that is done.
    ///
    /// # Errors
    /// No thread can be had.
    pub(in super::super) fn start(
        self,
        office: Office,
        tasks: &mut JoinSet<()>,
    ) -> Result<(Window, oneshot::Receiver<()>), Trouble> {
        let (offers, offered) = mpsc::channel(1);
        tasks.spawn(registrar::keep(self.desk.clone(), office.briefs.clone(), offered));
        let (show, shown) = watch::channel(None);
        let (end, ended) = oneshot::channel();
        let runtime = Handle::current();
        let work = move || {
            runtime.block_on(self.work(office, show));
            // Who doesn't wait for it has gone.
            let _ = end.send(());
        };
        let thread = std::thread::Builder::new().name("authority".into()).spawn(work);
        thread.map_err(|error| Trouble::os("no thread can be had", &error))?;
        Ok((Window { shown, offers }, ended))
    }

    async fn work(mut self, mut office: Office, show: watch::Sender<Option<Arc<Served>>>) {
        let (mut asking, mut disk_is_good) = (Asking::default(), true);
        loop {
            let brief = office.briefs.borrow_and_update().clone();
            let pause = match self.turn(&office, &brief, &show).await {
                Ok(()) => {
                    disk_is_good = true;
                    asking.ask(&office, &self.clerk, &brief)
                }
                Err(_) => {
                    // Once, however often it is tried.
                    if std::mem::replace(&mut disk_is_good, false) {
                        log(Program::Node, log::Event::DirectoryUnsigned { epoch: self.stand(&brief).epoch });
                    }
                    DISK_PAUSE
                }
            };
            let again = sleep(pause);
            tokio::pin!(again);
            loop {
                tokio::select! {
                    () = &mut again => break,
                    Some(heard) = asking.pulls.join_next() => {
                        // One that was cut off by a bug has said nothing.
                        let Ok((id, Some(text))) = heard else { continue };
                        if self.hear(&mut asking, id, &text, &brief).is_err() {
                            break;
                        }
                    }
                    changed = office.briefs.changed() => match changed {
                        Ok(()) => break,
                        Err(_) => return,
                    },
                }
            }
        }
    }

    /// Does what is due, and tells whom it concerns.
    async fn turn(
        &mut self,
        office: &Office,
        brief: &Brief,
        show: &watch::Sender<Option<Arc<Served>>>,
    ) -> io::Result<()> {
        let news = self.clerk.turn(&brief.document, brief.config.admission, clock::now());
        show.send_replace(
            self.clerk.shown().map(|text| Arc::new(Served::new(text.to_owned(), Sha256::digest(text).into()))),
        );
        office.stands.send_replace(Some(self.stand(brief)));
        match news? {
            Some(News::Agreed(epoch)) => log(Program::Node, log::Event::DirectorySigned { epoch }),
            Some(News::Failed(epoch)) => log(Program::Node, log::Event::DirectoryUnsigned { epoch }),
            None => {}
        }
        if let Some(text) = self.clerk.due(&brief.document, clock::now()) {
            let (taken, answer) = oneshot::channel();
            let _ = office.fetched.send(Fetched { text, taken }).await;
            if answer.await == Ok(true) {
                self.desk.tidy(office.briefs.borrow().document.contents())?;
            }
        }
        Ok(())
    }

    fn stand(&self, brief: &Brief) -> Stand {
        self.clerk.stand(&brief.document, clock::now())
    }

    fn hear(&mut self, asking: &mut Asking, id: NodeId, text: &str, brief: &Brief) -> io::Result<()> {
        let taken = self.clerk.take(text, &brief.document, clock::now())?;
        match taken {
            Ok(()) => asking.heard.insert(id, Sha256::digest(text).into()),
            // Whoever says it knows what is wrong with it.
            Err(_) => asking.heard.remove(&id),
        };
        Ok(())
    }
}

/// Asking the other authorities.
#[derive(Debug, Default)]
struct Asking {
    pulls: JoinSet<(NodeId, Option<String>)>,
    under_way: BTreeMap<NodeId, AbortHandle>,
    /// The hash of what each has shown last, for as long as the phase is the same.
    heard: BTreeMap<NodeId, [u8; 32]>,
    phase: Option<(Epoch, Phase)>,
}

impl Asking {
    /// Asks each authority that is not being asked, if there is an agreement; gives how long to wait then.
    fn ask(&mut self, office: &Office, clerk: &Clerk, brief: &Brief) -> Duration {
        let (document, now) = (&brief.document, clock::now());
        let schedule = clerk.schedule(document, now);
        let phase = schedule.phase(now);
        if self.phase.replace((clerk.stand(document, now).epoch, phase)) != self.phase {
            self.heard.clear();
        }
        if !matches!(phase, Phase::Round(_) | Phase::Signing) {
            return clerk.rest(document, now).clamp(SHORTEST_SLEEP, LONGEST_SLEEP);
        }
        self.under_way.retain(|_, pull| !pull.is_finished());
        let me = office.me;
        for (id, node) in document.nodes().filter(|(id, node)| **id != me && node.authority.is_some()) {
            if !self.under_way.contains_key(id) {
                let pull = self.pull(office, *id, Source::of(node));
                self.under_way.insert(*id, pull);
            }
        }
        let pause = schedule.round() / A_ROUND;
        pause.mul_f64(clock::rng().random_range(0.5..=1.0)).min(LONGEST_SLEEP)
    }

    fn pull(&mut self, office: &Office, id: NodeId, source: Source) -> AbortHandle {
        let (road, us) = (Arc::clone(&office.road), Arc::clone(&office.known.borrow()));
        let wanted = Wanted { have: self.heard.get(&id).copied(), most: MAX_AGREEMENT };
        let pull = async move {
            let text = fetch_agreement(&road, &id, &source, &us.link_secret, &wanted).await;
            // Who is silent is asked again.
            (id, text.ok().flatten())
        };
        self.pulls.spawn_on(pull, &Handle::current())
    }
}
