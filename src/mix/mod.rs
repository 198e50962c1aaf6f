//! Mixing: how long to hold a packet and which way to send it.
