//! `fog demo`: a whole network on this machine, and one letter's way through it.

use super::error::CliError;
use super::global::{Color, Global};
use crate::demo::{self, Options};
use crate::mail::Address;
use crate::sys::exit_code::ExitCode;
use std::io::IsTerminal;
use std::path::PathBuf;

/// What is to be shown.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// How many nodes: 4 to 12
    #[arg(long, default_value_t = 5, value_name = "N")]
    pub nodes: usize,
    /// Send this mail instead of the sample letter
    #[arg(long, value_name = "FILE")]
    pub input: Option<PathBuf>,
    /// To whom; it stays on this machine all the same
    #[arg(long, default_value = "friend@example.org", value_name = "ADDRESS")]
    pub to: String,
    /// Put it into this Maildir, which is made if there is none
    #[arg(long, value_name = "DIR")]
    pub maildir: Option<PathBuf>,
    /// Leave the network running, and say how to talk to it
    #[arg(long)]
    pub keep: bool,
}

/// Shows it.
///
/// # Errors
/// What kept the network from starting, or the letter from arriving.
pub fn run(args: &Args, global: &Global) -> Result<(), CliError> {
    let to = Address::parse(&args.to)
        .map_err(|error| CliError::new(ExitCode::Address, "--to is no mail address").found(error.to_string()))?;
    let color = match global.color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
    };
    let Args { nodes, input, maildir, keep, .. } = args.clone();
    demo::run(&Options { nodes, input, to, maildir, keep, json: global.json, color })
}
