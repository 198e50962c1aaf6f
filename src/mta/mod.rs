//! The MTA's side: what takes mail in from it, and what hands mail out to it.

pub mod bsmtp;
mod dialogue;
pub mod exit;
pub mod hand_over;
pub mod maildir;
pub mod milter;
pub mod pipe;
pub mod reply;
pub mod request;
mod sendmail;
pub mod smtp;
pub mod submit;
