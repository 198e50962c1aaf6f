//! `fog node`: the daemon.

use super::error::CliError;
use super::global::Global;
use crate::node::{self, trouble::Trouble};
use crate::sys::notify;

/// `fog node` takes no arguments of its own: what it is stands in the configuration.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {}

/// Runs the node until it is told to stop.
///
/// # Errors
/// Why it didn't start, or had to stop.
pub fn run(_args: &Args, global: &Global) -> Result<(), CliError> {
    let ended = node::run(&global.load()?, || global.reload(), notify::ready);
    ended.map_err(|Trouble { exit, what, found, hint }| CliError { exit, what, found, try_: hint })
}
