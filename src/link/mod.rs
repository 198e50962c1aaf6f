//! What two nodes say to each other.

pub mod frame;
