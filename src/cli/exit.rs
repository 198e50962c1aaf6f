//! `fog exit`: the process that hands mail to the local MTA. It holds no key and no mail.

use super::error::CliError;
use super::global::Global;
use crate::mta::exit::{Event, Exit};
use crate::sys::exit_code::ExitCode;
use crate::sys::log::{self, Program};
use std::path::PathBuf;
use tokio::signal::unix::{SignalKind, signal};

/// `fog exit`: run by systemd beside `fog node`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The node's exit socket
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
}

/// Serves the node until SIGTERM or SIGINT.
///
/// # Errors
/// A configuration that can't be read, or an operating system that gives no signals or sockets.
pub fn run(args: &Args, global: &Global) -> Result<(), CliError> {
    let config = global.load()?;
    let socket = args.socket.clone().unwrap_or_else(|| config.node.exit_socket());
    let Some(exit) = config.exit else {
        return Err(CliError::new(ExitCode::Config, "this node is no exit")
            .found(format!("node.roles in {} is without \"exit\"", global.config.display()))
            .try_("add \"exit\" to node.roles, and an [exit] table (fog.toml(5))"));
    };
    let trouble = |error: std::io::Error| CliError::new(ExitCode::Io, "the exit can't run").found(error.to_string());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(trouble)?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(trouble)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(trouble)?;
        let stop = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        log::log(Program::Exit, log::Event::Start);
        let node = config.node.name;
        Exit::new(exit.deliver, config.entry.suffix, |event| tell(event, &node)).serve(&socket, stop).await;
        log::log(Program::Exit, log::Event::Stop);
        Ok(())
    })
}

fn tell(event: Event, node: &str) {
    let event = match event {
        Event::NodeUp => log::Event::LinkUp { node },
        Event::NodeDown => log::Event::LinkDown { node },
        Event::MtaUp => log::Event::MtaUp,
        Event::MtaDown => log::Event::MtaDown,
    };
    log::log(Program::Exit, event);
}
