//! The node's decisions. Everything it returns is already committed.
