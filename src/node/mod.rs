//! The node's sockets: links, submissions, deliveries, control.
