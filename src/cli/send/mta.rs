//! `fog send` for an MTA's pipe: one line for the MTA's log, or nothing at all.

use super::{Args, Entry};
use crate::cli::global::Global;
use crate::mail::address::Address;
use crate::mail::hidden::{self, HiddenError, Opened, is_door};
use crate::mail::sanitize::Refused;
use crate::mta::bsmtp::{self, BsmtpError, Transaction};
use crate::mta::pipe::{self, InputError, Parent};
use crate::mta::submit::{SubmitError, submit};
use crate::submit::{MAX_DEDUP, MAX_RECIPIENTS, Outcome, Reason, Request, Source, Wish};
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

/// The request for one mail, its recipients found in the header if that is where they are.
fn request(mail: Transaction, suffix: &str, dedup: Option<Vec<u8>>) -> Result<Request, String> {
    let Transaction { sender, recipients, mail } = mail;
    let (doors, mut recipients): (Vec<Address>, Vec<Address>) = recipients.into_iter().partition(is_door);
    if recipients.iter().any(|recipient| recipient.under_suffix(suffix).is_none()) {
        return Err(line_for(Reason::NotFog));
    }
    let mut request = Request { source: Source::Mta, dedup, sender, wish: Wish::default(), recipients: vec![], mail };
    if !doors.is_empty() {
        let Opened { recipients: hidden, mail } = hidden::open(&request.mail, suffix).map_err(line_for_hidden)?;
        request.mail = mail;
        recipients.extend(hidden);
    }
    for recipient in recipients {
        if !request.recipients.contains(&recipient) {
            request.recipients.push(recipient);
        }
    }
    if request.recipients.len() > MAX_RECIPIENTS {
        return Err(format!("4.5.3 fog: {}", BsmtpError::TooMany));
    }
    Ok(request)
}

fn hand_in(socket: &Path, request: &Request, is_whole: impl FnOnce() -> bool) -> Result<(), String> {
    let outcomes = submit(socket, request, is_whole).map_err(|error| line_for_failure(&error))?;
    outcomes.into_iter().find_map(|outcome| outcome.deferred().line()).map_or(Ok(()), Err)
}

fn line_for_hidden(error: HiddenError) -> String {
    match error {
        HiddenError::Header(Refused::HeaderTooLong) => line_for(Reason::TooComplex),
        HiddenError::Header(_) => line_for(Reason::NotAMail),
        HiddenError::TooMany => format!("4.5.3 fog: {error}"),
        HiddenError::None | HiddenError::Address(_) | HiddenError::Group(_) => format!("4.1.3 fog: {error}"),
    }
}

fn line_for(reason: Reason) -> String {
    Outcome::Temporary(reason).line().unwrap_or_default()
}

fn line_for_failure(error: &SubmitError) -> String {
    let status = match error {
        SubmitError::NoNode(_) => "4.3.2",
        SubmitError::Forbidden(_) | SubmitError::NotUnderstood(_) => "4.3.5",
        SubmitError::NoAnswer(_) | SubmitError::CutOff => "4.4.2",
    };
    format!("{status} fog: {error}")
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
