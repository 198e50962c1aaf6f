//! `fog send` for an MTA's pipe: one line for the MTA's log, or nothing at all.

use super::{Args, Entry};
use crate::cli::global::Global;
use crate::mta::bsmtp::{self, BsmtpError, Transaction};
use crate::mta::pipe::{self, InputError, Parent};
use crate::mta::request;
use crate::mta::submit::{SubmitError, submit};
use crate::submit::{MAX_DEDUP, Outcome, Reason, Request, Source};
use std::io;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

/// How long all of it may take where an MTA waits: its own limit would bounce the mail.
const DEADLINE: Duration = Duration::from_secs(30);

/// Sends the mail that an MTA's pipe brings. Ends in one line for the MTA's log, or in nothing at all.
///
/// # Errors
/// The line: a 4.x.x status, since anything else would bounce the mail with its text, and no address.
pub fn run_for_mta(args: &Args, global: &Global, parent: Parent) -> Result<(), String> {
    let (bsmtp, id) = (args.bsmtp, queue_id(args));
    if !bsmtp && id.is_none() {
        return Err(wrong_command_line(bsmtp));
    }
    // An MTA waits: with a broken configuration too, most mail can go its way.
    let entry = Entry::read(global).unwrap_or_default();
    let socket = args.socket.clone().unwrap_or(entry.socket);
    let work = move || {
        let input = read(parent, bsmtp)?;
        let requests = if bsmtp { batch(&input, &entry.suffix, id) } else { piped(&input, &entry.suffix, id) }?;
        // A batch has an end that proves it whole; a pipe has only who was writing into it.
        requests.iter().try_for_each(|request| hand_in(&socket, request, || bsmtp || parent.is_alive()))
    };
    within(DEADLINE, work).unwrap_or_else(|| Err("4.4.7 fog: the mail did not come to its end in time".to_owned()))
}

/// The line for a command line that no MTA of ours has.
pub(in crate::cli) fn wrong_command_line(bsmtp: bool) -> String {
    format!("4.3.5 fog: wrong command line in {}", if bsmtp { "the transport" } else { "master.cf" })
}

/// What stays the same when the MTA comes again. Exim says it in the environment.
fn queue_id(args: &Args) -> Option<Vec<u8>> {
    let given = args.queue_id.clone().map(String::into_bytes);
    let exims = || std::env::var("MESSAGE_ID").ok().filter(|id| (1..=MAX_DEDUP).contains(&id.len()));
    given.or_else(|| exims().filter(|_| args.bsmtp).map(String::into_bytes))
}

/// `work`'s result, or `None` if it isn't done in time. It is left alone then, and ends with the process.
fn within<T: Send + 'static>(limit: Duration, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (done, result) = mpsc::sync_channel(1);
    std::thread::spawn(move || done.send(work()));
    result.recv_timeout(limit).ok()
}

fn read(parent: Parent, bsmtp: bool) -> Result<Vec<u8>, String> {
    let input = pipe::read_all(io::stdin().lock()).map_err(|error| match error {
        InputError::TooBig => line_for(Reason::MailTooBig),
        InputError::Io(_) => "4.3.0 fog: the mail can't be read".to_owned(),
    })?;
    // Asked before anything is made of what came: half a mail must not even be complained about as a mail.
    if bsmtp || parent.is_alive() { Ok(input) } else { Err(line_for_failure(&SubmitError::CutOff)) }
}

/// What pipe(8) brings: one mail for one recipient.
fn piped(input: &[u8], suffix: &str, id: Option<Vec<u8>>) -> Result<Vec<Request>, String> {
    let piped = pipe::envelope(input).map_err(|error| format!("4.3.5 fog: {error}"))?;
    let mail = Transaction { sender: piped.sender, recipients: vec![piped.recipient], mail: piped.mail.to_vec() };
    Ok(vec![request(mail, suffix, id)?])
}

/// What Exim brings: all of it, or nothing.
fn batch(input: &[u8], suffix: &str, id: Option<Vec<u8>>) -> Result<Vec<Request>, String> {
    let mails = bsmtp::read(input).map_err(|error| {
        let status = match error {
            BsmtpError::CutOff => "4.4.2",
            BsmtpError::Recipient => "4.1.3",
            BsmtpError::TooMany => "4.5.3",
            BsmtpError::NotBsmtp | BsmtpError::Command | BsmtpError::LineEnd | BsmtpError::Dot => "4.3.5",
        };
        format!("{status} fog: {error}")
    })?;
    mails.into_iter().map(|mail| request(mail, suffix, id.clone())).collect()
}

fn request(mail: Transaction, suffix: &str, id: Option<Vec<u8>>) -> Result<Request, String> {
    request::request(mail, suffix, Source::Mta, id).map_err(|unfit| {
        // For good, but anything that says so would bounce the mail.
        format!("4{} fog: {unfit}", unfit.status().trim_start_matches(['4', '5']))
    })
}

fn hand_in(socket: &Path, request: &Request, is_whole: impl FnOnce() -> bool) -> Result<(), String> {
    let outcomes = submit(socket, request, is_whole).map_err(|error| line_for_failure(&error))?;
    outcomes.into_iter().find_map(|outcome| outcome.deferred().line()).map_or(Ok(()), Err)
}

fn line_for(reason: Reason) -> String {
    Outcome::Temporary(reason).line().unwrap_or_default()
}

fn line_for_failure(error: &SubmitError) -> String {
    format!("{} fog: {error}", error.status())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_is_not_done_in_time_is_left_alone() {
        let (_never, wait) = mpsc::channel::<()>();
        assert_eq!(within(Duration::from_millis(1), move || wait.recv().is_ok()), None);
        assert_eq!(within(Duration::from_mins(1), || 7), Some(7));
    }
}
