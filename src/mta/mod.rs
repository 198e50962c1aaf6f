//! The MTA's side: the pipe that takes mail in, the client that hands it out.
