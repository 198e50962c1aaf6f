//! RFC 5322 mail: addresses, and the two cleanings that take the sender out of it.
//!
//! [`sanitize`] cleans a mail at the entry and again at the exit; [`preview`] shows a person what will arrive and
//! warns of what cleaning can't take out; [`hidden`] finds recipients in a header, [`news`] makes one of a newsgroup,
//! [`block`] knows those who asked not to be written to, [`canary`] those who are nobody, [`sameness`] says what
//! stays of a mail that comes again, and [`notice`] tells a sender what became of one.
//! Beneath them, a mail is sliced by `source`, its header fields are read and
//! written by `header`, and its MIME tree is rebuilt by `parts`; nothing of the old mail passes through raw but what
//! a signature or encryption covers.

pub mod address;
pub mod block;
pub mod canary;
pub mod edit;
pub mod hidden;
pub mod news;
pub mod notice;
pub mod preview;
pub mod recipients;
pub mod sameness;
pub mod sanitize;

mod cid;
mod content;
mod content_type;
mod header;
mod names;
mod parts;
mod source;
mod threads;
mod traces;

pub use address::Address;
