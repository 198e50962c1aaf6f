//! The command line.

pub mod directory;
pub mod error;
pub mod global;
pub mod init;
pub mod node_info;
mod words;

use crate::sys::exit_code::ExitCode;
use error::CliError;
use std::io::{self, Write};

/// Writes `bytes` to standard output. A reader that has gone (`fog ... | head`) is no error.
///
/// # Errors
/// `Io` if it can't be written for another reason, a full disk for instance.
pub fn print(bytes: &[u8]) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(CliError::new(ExitCode::Io, "standard output can't be written").found(error.to_string()))
        }
        _ => Ok(()),
    }
}

/// Writes `line` to standard error; if that can't be done there is nobody left to tell.
pub fn note(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
