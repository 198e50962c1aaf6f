//! How much room there is on a file system.

use std::fs::File;
use std::io;

/// Bytes that whoever isn't root may still take of the file system that `dir` is on.
///
/// # Errors
/// The operating system's.
pub fn free(dir: &File) -> io::Result<u64> {
    let found = rustix::fs::fstatvfs(dir)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}
