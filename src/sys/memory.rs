//! What is in memory stays there: a core file would be a copy of keys and mail.

use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use std::io;

/// Lets this process leave no core file, whatever limits and handlers the machine has, and nobody but root look into it
/// while it runs. Programs that it starts are not bound by that.
///
/// # Errors
/// What the operating system says; it has to know the call.
pub fn close() -> io::Result<()> {
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}
