//! What a node hands to its exit process, and the answer.
