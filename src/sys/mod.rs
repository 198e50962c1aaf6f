//! The operating system: clock, randomness, files, exit codes.

pub mod exit_code;
