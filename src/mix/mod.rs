//! Mixing: how long to hold a packet, which way to send it and under which key.

pub mod back;
pub mod chain;
pub mod delay;
pub mod epoch;
pub mod firsts;
pub mod forecast;
pub mod health;
pub mod pace;
pub mod random;
pub mod receipt;
pub mod retry;
pub mod route;
pub mod schedule;
