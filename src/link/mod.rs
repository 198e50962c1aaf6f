//! What two nodes say to each other.

pub mod document;
pub mod frame;
pub mod offer;
