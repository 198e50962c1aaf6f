//! `fog exit`: the process that hands mail to the local MTA. It holds no key and no mail.

use super::error::CliError;
use super::global::Global;
use crate::config::Config;
use crate::mta::exit::{Event, Exit};
use crate::sys::exit_code::ExitCode;
use crate::sys::log::{self, Program};
use crate::sys::notify;
use std::cell::Cell;
use std::path::PathBuf;
use tokio::signal::unix::{SignalKind, signal};

/// `fog exit`: run by systemd beside `fog node`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The node's exit socket
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
}

/// Serves the node until SIGTERM or SIGINT. At SIGHUP it reads the configuration again, and goes by it if it is good.
///
/// # Errors
/// A configuration that can't be read, or an operating system that gives no signals or sockets.
pub fn run(args: &Args, global: &Global) -> Result<(), CliError> {
    let started = global.load()?;
    let mut config = started.clone();
    let socket = args.socket.clone().unwrap_or_else(|| config.node.exit_socket());
    if config.hand_over.is_none() {
        let found = "node.roles is without \"exit\", and entry.notify names nobody who is told anything";
        return Err(CliError::new(ExitCode::Config, "this node is no exit")
            .found(format!("{}: {found}", global.config.display()))
            .try_("for notices to senders: fog setup postfix --apply\nto be an exit: add \"exit\" to node.roles, and an [exit] table (fog.toml(5))"));
    }
    log::set_up(&config.log);
    let trouble = |error: std::io::Error| CliError::new(ExitCode::Io, "the exit can't run").found(error.to_string());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(trouble)?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(trouble)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(trouble)?;
        let mut hangup = signal(SignalKind::hangup()).map_err(trouble)?;
        log::log(Program::Exit, log::Event::Start);
        notify::ready();
        while let Some(target) = &config.hand_over {
            let reload = Cell::new(false);
            let told = async {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                    _ = hangup.recv() => reload.set(true),
                }
            };
            let (suffix, node) = (config.entry.suffix.clone(), &config.node.name);
            // What was being handed over is done and answered when this ends; the node brings the rest again.
            Exit::new(target.clone(), suffix, |event| tell(event, node)).serve(&socket, told).await;
            if !reload.get() {
                notify::stopping();
                break;
            }
            config = reloaded(&started, config, global, args);
        }
        log::log(Program::Exit, log::Event::Stop);
        Ok(())
    })
}

/// The configuration as it is now, or the one in use if that is wrong.
fn reloaded(started: &Config, config: Config, global: &Global, args: &Args) -> Config {
    let now = match global.reload() {
        Ok(now) => now,
        Err(at) => {
            log::log(Program::Exit, log::Event::ConfigRejected { at: &at });
            return config;
        }
    };
    log::set_up(&now.log);
    let moved = args.socket.is_none() && now.node.sockets != started.node.sockets;
    let suffix = now.entry.suffix != started.entry.suffix;
    let waiting = [("node.roles", now.hand_over.is_none()), ("node.sockets", moved), ("entry.suffix", suffix)];
    let waiting: Vec<_> = waiting.into_iter().filter(|(_, waits)| *waits).map(|(key, _)| key).collect();
    log::log(Program::Exit, log::Event::Reload { waiting: &waiting });
    // Without the role it would end, and mail that is on its way here would wait for nobody.
    // The suffix is the node's, which takes another at its start alone: what is refused here is what it would take.
    Config { hand_over: now.hand_over.or(config.hand_over), entry: config.entry, ..now }
}

fn tell(event: Event, node: &str) {
    let event = match event {
        Event::NodeUp => log::Event::LinkUp { node },
        Event::NodeDown => log::Event::LinkDown { node, why: None },
        Event::MtaUp => log::Event::MtaUp,
        Event::MtaDown => log::Event::MtaDown,
    };
    log::log(Program::Exit, event);
}
