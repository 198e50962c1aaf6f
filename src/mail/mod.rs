//! RFC 5322 mail: addresses, and the two cleanings that take the sender out of it.

pub mod address;

pub use address::Address;
