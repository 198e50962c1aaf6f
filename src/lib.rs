//! fog: anonymous mail for the Postfix or Exim you already run.
//!
//! Layers, lowest first; a module may use those above it in this table and none below. `tests/layers.rs` holds the
//! table to it.
//!
//! | layer | modules | may do |
//! |---|---|---|
//! | L0 words | `id` `time` `secret` `wire` | nothing |
//! | L1 core | `sphinx` `message` `mail` `mix` `directory` `link` `submit` `delivery` `config` | compute; no I/O, clock, OS randomness |
//! | L2 store | `store` | keep bytes on disk; no decisions |
//! | L3 engine | `engine` | decide; commit before it answers |
//! | L4 I/O | `sys` `node` `mta` | talk to the world; no decisions |
//! | L5 face | `cli` `demo` `sim` | talk to people |

pub mod id;
pub mod secret;
pub mod time;
pub mod wire;

pub mod config;
pub mod delivery;
pub mod directory;
pub mod link;
pub mod mail;
pub mod message;
pub mod mix;
pub mod sphinx;
pub mod submit;

pub mod store;

pub mod engine;

pub mod mta;
pub mod node;
pub mod sys;

pub mod cli;
pub mod demo;
pub mod sim;
