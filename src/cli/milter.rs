//! `fog milter`: the MTA's mail filter. It holds no key and no mail.

use super::error::CliError;
use super::global::Global;
use crate::config::{Config, Listen};
use crate::directory::MAX_MAX_SIZE;
use crate::mta::milter::{self, Door, DoorError, Event, Policy};
use crate::sys::exit_code::ExitCode;
use crate::sys::log::{self, Program};
use crate::sys::notify;
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

/// How long the mails in hand may take when it is to stop. What isn't answered then stays with its client.
const GRACE: Duration = Duration::from_secs(4);

/// `fog milter`: run by systemd beside the MTA.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The node's socket
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
}

/// Serves the MTA until SIGTERM or SIGINT. At SIGHUP it reads the configuration again, and goes by it if it is good.
///
/// # Errors
/// A configuration that can't be read, a socket that can't be had, or an operating system that gives no signals.
pub fn run(args: &Args, global: &Global) -> Result<(), CliError> {
    let config = global.load()?;
    log::set_up(&config.log);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(milter::THREADS)
        .build()
        .map_err(|error| trouble(&error))?;
    let ended = runtime.block_on(serve(args, global, config));
    // Not what still waits for the node: nobody waits for it any more.
    runtime.shutdown_background();
    ended
}

async fn serve(args: &Args, global: &Global, config: Config) -> Result<(), CliError> {
    let mut signals = Signals::new().map_err(|error| trouble(&error))?;
    log::log(Program::Milter, log::Event::Start);
    let door = Door::open(&config.milter.listen).map_err(|error| no_door(&config.milter.listen, &error))?;
    let (policy, newest) = watch::channel(Arc::new(policy(args, &config)));
    let (stop, stopped) = oneshot::channel::<()>();
    let mut serving = pin!(milter::serve(door, newest.clone(), async {
        // Dropped is told as well.
        let _ = stopped.await;
    }));
    let name = config.node.name.clone();
    let mut watching = pin!(milter::watch(|| newest.borrow().socket.clone(), |event| tell(event, &name)));
    log::log(Program::Milter, log::Event::Ready);
    notify::ready();
    let mut config = config;
    let ended = loop {
        let is_hangup = tokio::select! {
            ended = &mut serving => break ended,
            never = &mut watching => match never {},
            _ = signals.terminate.recv() => false,
            _ = signals.interrupt.recv() => false,
            _ = signals.hangup.recv() => true,
        };
        if !is_hangup {
            notify::stopping();
            drop(stop);
            break timeout(GRACE, &mut serving).await.unwrap_or(Ok(()));
        }
        config = reloaded(config, global, args);
        policy.send_replace(Arc::new(self::policy(args, &config)));
    };
    log::log(Program::Milter, log::Event::Stop);
    ended.map_err(|error| trouble(&error))
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

fn policy(args: &Args, config: &Config) -> Policy {
    let max_mail = config.entry.max_size.unwrap_or(MAX_MAX_SIZE).min(MAX_MAX_SIZE);
    Policy {
        socket: args.socket.clone().unwrap_or_else(|| config.node.submit_socket()),
        suffix: config.entry.suffix.clone(),
        rules: config.entry.rules.clone(),
        networks: config.milter.networks.clone(),
        max_mail: usize::try_from(max_mail).unwrap_or(usize::MAX),
        on_full_divert: config.milter.on_full_divert,
        mixed: config.milter.mixed,
    }
}

/// The configuration as it is now, or the one in use if that is wrong.
fn reloaded(config: Config, global: &Global, args: &Args) -> Config {
    let now = match global.reload() {
        Ok(now) => now,
        Err(at) => {
            log::log(Program::Milter, log::Event::ConfigRejected { at: &at });
            return config;
        }
    };
    log::set_up(&now.log);
    let moved = args.socket.is_none() && now.node.sockets != config.node.sockets;
    let listen = now.milter.listen != config.milter.listen;
    let suffix = now.entry.suffix != config.entry.suffix;
    let waiting = [("milter.listen", listen), ("node.sockets", moved), ("entry.suffix", suffix)];
    let waiting: Vec<_> = waiting.into_iter().filter(|(_, waits)| *waits).map(|(key, _)| key).collect();
    log::log(Program::Milter, log::Event::Reload { waiting: &waiting });
    // The node takes another suffix and other sockets at its start alone, and the MTA would look for ours in vain.
    let mut now = now;
    now.entry.suffix = config.entry.suffix;
    now.node.sockets = config.node.sockets;
    now.milter.listen = config.milter.listen;
    now
}

fn tell(event: Event, node: &str) {
    let event = match event {
        Event::NodeUp => log::Event::LinkUp { node },
        Event::NodeDown => log::Event::LinkDown { node, why: None },
    };
    log::log(Program::Milter, event);
}

fn trouble(error: &io::Error) -> CliError {
    CliError::new(ExitCode::Io, "the milter can't run").found(error.to_string())
}

fn no_door(listen: &Listen, error: &DoorError) -> CliError {
    let (place, try_) = match listen {
        Listen::Unix(path) => {
            let dir = path.parent().unwrap_or(path).display().to_string();
            (path.display().to_string(), format!("install -d -o fog-mta -g postfix -m 2750 {dir}"))
        }
        Listen::Inet(address) => (address.to_string(), "fog milter --set milter.listen=inet:127.0.0.1:PORT".to_owned()),
    };
    let (exit, try_) = match error {
        DoorError::InUse | DoorError::NotASocket => (ExitCode::Exists, None),
        DoorError::Inherited => (ExitCode::Config, None),
        DoorError::Io(error) if error.kind() == io::ErrorKind::PermissionDenied => (ExitCode::Permission, Some(try_)),
        DoorError::Io(_) => (ExitCode::Io, Some(try_)),
    };
    let error = CliError::new(exit, "the milter's socket can't be opened").found(format!("{place}: {error}"));
    CliError { try_, ..error }
}
