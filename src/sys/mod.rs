//! The operating system: clock, randomness, files, exit codes, the log, memory, systemd.

pub mod block_file;
pub mod clock;
pub mod directory_fault;
pub mod disk;
pub mod exit_code;
pub mod file;
pub mod history;
pub mod key_file;
pub mod log;
pub mod memory;
pub mod notify;
mod outlet;
pub mod summary;
pub mod tor_failure;
