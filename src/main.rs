//! The `fog` binary.

fn main() {}
