//! The operating system: clock, randomness, files, exit codes.
