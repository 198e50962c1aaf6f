//! `fog exit`: the process that hands mail to the local MTA. It holds no key and no mail.

use super::error::CliError;
use super::global::Global;
use super::note;
use crate::mta::exit::{Event, Exit};
use crate::sys::exit_code::ExitCode;
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
        Exit::new(exit.deliver, config.entry.suffix, |event| note(words(event))).serve(&socket, stop).await;
        Ok(())
    })
}

/// One line for the log (fog-log(7)).
const fn words(event: Event) -> &'static str {
    match event {
        Event::NodeUp => "link-up: node",
        Event::NodeDown => "link-down: node",
        Event::MtaUp => "mta-up",
        Event::MtaDown => "mta-down: mail waits in the node",
    }
}
