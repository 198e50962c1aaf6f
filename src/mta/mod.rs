//! The MTA's side: the pipe that takes mail in, the client that hands it out.

pub mod exit;
pub mod maildir;
pub mod pipe;
pub mod reply;
pub mod smtp;
pub mod submit;
