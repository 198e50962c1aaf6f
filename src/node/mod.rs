//! The node's sockets: links, submissions, deliveries, control.
//!
//! One thread belongs to the engine ([`driver`]), one to everything that waits for sockets and clocks. What goes
//! between them, and between their tasks, goes through bounded channels, and the engine never waits: who has too much
//! to say to it waits instead, down to the other end of its socket.

pub mod authority;
mod changes;
pub mod control;
mod crowd;
pub mod descriptor;
pub mod dial;
pub mod disk;
mod document;
pub mod doubt;
pub mod driver;
pub mod exit_socket;
pub mod fetch;
pub mod figures;
pub mod hand_in;
mod inherited;
pub mod keeper;
pub mod listen;
pub mod local;
pub mod peers;
mod reload;
mod renew;
pub mod serve;
pub mod session;
pub mod socks;
mod start;
pub mod status;
pub mod submit_socket;
pub mod trouble;

use crate::config::Config;
use crate::id::NodeId;
use crate::store::StoreError;
use crate::sys::clock;
use crate::sys::exit_code::ExitCode;
use crate::sys::log::{self, Event, Program, log};
use crate::sys::notify;
use crate::sys::summary::Summary;
use authority::{Begun, Brief, Ways};
use dial::{Pace, Road};
use disk::Disk;
use driver::{Driver, EVENTS, Watchers};
use figures::Figures;
use inherited::Inherited;
use keeper::Keeper;
use listen::Door;
use local::Local;
use peers::Known;
use reload::Reload;
use renew::{Aim, Fetched};
use start::Node;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, Handle};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use trouble::Trouble;

/// How long a node that was told to stop takes to commit and to answer what it has taken on.
const STOP_LIMIT: Duration = Duration::from_secs(4);

/// What watchers of a demonstration network may lag behind, in things seen.
const WITNESS_ROOM: usize = 4096;

/// `submit.sock`: for the node's user and the group of those who may hand mail in.
const SUBMIT_MODE: u32 = 0o660;

/// `exit.sock` and `control.sock`: for the node's user alone, unless systemd has opened them for groups of their own. Who
/// may hand mail in may not take it out.
const PRIVATE_MODE: u32 = 0o600;

/// Runs the node until it is told to stop (SIGTERM, SIGINT). At SIGHUP it goes by what `read` gives, the configuration
/// as it is now, or says where that is wrong; and by the directory document as it is now. `ready` is called when its
/// sockets are open.
///
/// # Errors
/// Why it didn't start, or had to stop.
pub fn run(config: &Config, read: impl Fn() -> Result<Config, String>, ready: impl FnOnce()) -> Result<(), Trouble> {
    let inherited = Inherited::take()?;
    log::set_up(&config.log);
    log(Program::Node, Event::Start);
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Trouble::os("no runtime can be had", &error))?;
    let signals = {
        let _inside = runtime.enter();
        // From here on a SIGHUP ends nothing.
        Signals::new()?
    };
    let node = start::load(config)?;
    let ended = runtime.block_on(serve(node, config, inherited, signals, read, ready));
    // A name that is being looked up would hold the end up.
    runtime.shutdown_background();
    ended
}

/// What runs beside the engine.
struct Sockets {
    links: Door,
    submit: Local,
    exit: Option<Local>,
    control: Local,
}

async fn serve(
    node: Node,
    config: &Config,
    inherited: Inherited,
    mut signals: Signals,
    read: impl Fn() -> Result<Config, String>,
    ready: impl FnOnce(),
) -> Result<(), Trouble> {
    let sockets = bind(config, inherited).await?;
    let (doubted, forked) = (node.doubted, node.forked);
    let Node { engine, us, ours, pace, road, envelope_from, max_mail, demo, is_anybody_blocked, document, own, .. } =
        node;
    let road = Arc::new(road);
    let directory = status::Directory { forked, ..status::Directory::new(&document, &ours.id, config.entry.receipts) };
    let (shown, directory) = watch::channel(directory);
    let (documents, known) = watch::channel(Arc::new(us));
    let (fetched, fetches) = mpsc::channel(1);
    let (events, happened) = mpsc::channel(EVENTS);
    let (summaries, summary) = watch::channel(None);
    let (clocks, clock) = watch::channel(None);
    let mut tasks = JoinSet::new();
    let ways = Ways { known: known.clone(), road: Arc::clone(&road), events: events.clone(), fetched: fetched.clone() };
    let Begun { window, closed, briefs, stand } =
        authority::begin(own, ours.id, Brief::new(&document, config), ways, &mut tasks)?;
    let watchers = watchers(config, demo, Keeper::new(clocks), summaries)?;
    let status = status::Status {
        name: config.node.name.clone(),
        roles: config.node.roles,
        road: Arc::clone(&road),
        up_since: clock::now(),
        directory,
        clock,
        summary,
        authority: stand,
        links_up: Arc::clone(&watchers.links_up),
        hands_over: config.hand_over.is_some(),
        exit_up: Arc::clone(&watchers.exit_up),
        held_back: Arc::clone(&watchers.held_back),
        disk_is_low: watchers.disk.is_low(),
    };
    let control = Arc::new(control::Control { status, witness: watchers.witness.clone(), events: events.clone() });

    tasks.spawn(listen::serve(sockets.links, known.clone(), events.clone(), window));
    tasks.spawn(control::serve(sockets.control, control));
    sockets.exit.into_iter().for_each(|exit| drop(tasks.spawn(exit_socket::serve(exit, events.clone()))));
    let (stop_submissions, told_to_stop) = oneshot::channel();
    let submissions = tokio::spawn(submit_socket::serve(sockets.submit, max_mail, events.clone(), told_to_stop));

    let connect = connect(known, Arc::clone(&road), pace, events.clone());
    let mut ended = start_engine(Driver::new(engine, connect, envelope_from, watchers), happened)?;

    reload::announce(config, &document, &shown.borrow());
    log(Program::Node, Event::Ready);
    ready();
    let (aims, aim) = watch::channel(Aim::new(&document, &ours.id, &config.sources));
    tasks.spawn(doubt::look_into(doubted, aim.clone(), Arc::clone(&road), fetched.clone()));
    tasks.spawn(renew::renew(aim, Arc::clone(&road), fetched));
    let mut reload = Reload {
        read,
        started: config,
        config: config.clone(),
        ours,
        is_anybody_blocked,
        document,
        known: documents,
        shown,
        aims,
        briefs,
        told: BTreeSet::new(),
        road,
        events: events.clone(),
    };
    let over = tokio::select! {
        () = signals.stop(&mut reload, fetches) => {
            notify::stopping();
            drop(stop_submissions);
            timeout(STOP_LIMIT, finish(&events, &mut ended, submissions)).await.unwrap_or(Ok(Ok(())))
        }
        over = &mut ended => over,
    };
    drop(reload);
    // What the authority was writing is written then; a disk that stands still is not waited for.
    let _ = timeout(STOP_LIMIT, closed).await;
    said_at_the_end(over, config)
}

/// All that look at the engine, at their start.
fn watchers(
    config: &Config,
    demo: bool,
    keeper: Keeper,
    summaries: watch::Sender<Option<Summary>>,
) -> Result<Watchers, Trouble> {
    Ok(Watchers {
        links_up: Arc::default(),
        exit_up: Arc::default(),
        held_back: Arc::default(),
        witness: demo.then(|| broadcast::channel(WITNESS_ROOM).0),
        figures: Figures::new(config.log.clone(), config.exit.is_some(), summaries),
        keeper,
        disk: Disk::open(&config.spool).map_err(|error| Trouble::store(&config.spool.path, &error))?,
    })
}

/// Opens a link to a node and keeps it.
fn connect(known: Known, road: Arc<Road>, pace: Pace, events: mpsc::Sender<driver::Event>) -> impl FnMut(NodeId) {
    let runtime = Handle::current();
    move |id| {
        runtime.spawn(dial::keep(id, known.clone(), Arc::clone(&road), pace, events.clone()));
    }
}

/// Lets the engine end, and everybody have the answer that is coming.
async fn finish(
    events: &mpsc::Sender<driver::Event>,
    ended: &mut oneshot::Receiver<Result<(), StoreError>>,
    submissions: JoinHandle<()>,
) -> Result<Result<(), StoreError>, oneshot::error::RecvError> {
    // Fails when the engine has ended, which is what it is to do.
    let _ = events.send(driver::Event::Stop).await;
    let over = ended.await;
    let _ = submissions.await;
    over
}

/// Tells how the engine has ended; nothing from it means that somebody's bug ended it.
fn said_at_the_end(
    over: Result<Result<(), StoreError>, oneshot::error::RecvError>,
    config: &Config,
) -> Result<(), Trouble> {
    match over {
        Ok(Ok(())) => {
            log(Program::Node, Event::Stop);
            Ok(())
        }
        Ok(Err(error)) => Err(Trouble::store(&config.spool.path, &error)),
        Err(_) => Err(Trouble::new(ExitCode::Bug, "the engine has ended without a word").hint("please report it")),
    }
}

/// Starts the engine's thread, and gives what tells how it ended.
fn start_engine(
    driver: Driver<impl FnMut(NodeId) + Send + 'static>,
    events: mpsc::Receiver<driver::Event>,
) -> Result<oneshot::Receiver<Result<(), StoreError>>, Trouble> {
    let (end, ended) = oneshot::channel();
    let runtime = Handle::current();
    std::thread::Builder::new()
        .name("engine".into())
        .spawn(move || end.send(driver.run(events, &runtime)))
        .map_err(|error| Trouble::os("no thread can be had", &error))?;
    Ok(ended)
}

async fn bind(config: &Config, mut inherited: Inherited) -> Result<Sockets, Trouble> {
    let mut local = |path: &Path, mode| {
        let bound = inherited.local(path).map_or_else(|| Local::bind(path, mode), |socket| Local::adopt(socket, path));
        bound.map_err(|error| Trouble::socket(path, "node.sockets", &error))
    };
    let (submit, control) =
        (local(&config.node.submit_socket(), SUBMIT_MODE)?, local(&config.node.control_socket(), PRIVATE_MODE)?);
    let exit = config.hand_over.as_ref().map(|_| local(&config.node.exit_socket(), PRIVATE_MODE)).transpose()?;
    let links = Door::open(&config.node.listen, &mut inherited).await?;
    inherited.check_rest(config)?;
    Ok(Sockets { links, submit, exit, control })
}

/// What a node is told from outside.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> Result<Self, Trouble> {
        let on = |kind| signal(kind).map_err(|error| Trouble::os("signals can't be listened for", &error));
        Ok(Self {
            terminate: on(SignalKind::terminate())?,
            interrupt: on(SignalKind::interrupt())?,
            hangup: on(SignalKind::hangup())?,
        })
    }

    /// Waits until the node is told to stop; reloads what it is told to reload before, and takes documents that come.
    async fn stop(
        &mut self,
        reload: &mut Reload<'_, impl Fn() -> Result<Config, String>>,
        mut fetches: mpsc::Receiver<Fetched>,
    ) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => reload.reload().await,
                Some(fetched) = fetches.recv() => reload.fetched(fetched).await,
            }
        }
    }
}
