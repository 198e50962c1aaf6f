//! `fog send` for an MTA's pipe: one line for the MTA's log, or nothing at all.

use super::{Args, Entry};
use crate::cli::global::Global;
use crate::mail::address::Address;
use crate::mta::bsmtp::{self, BsmtpError, Transaction};
use crate::mta::pipe::{self, MAX_MAIL, Parent, Piped};
use crate::mta::request::{self, Unfit};
use crate::mta::submit::{SubmitError, submit};
use crate::submit::{MAX_DEDUP, Outcome, Reason, Request, Source, Wish};
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
        let (suffix, id) = (&entry.suffix, id.as_deref());
        let jobs = if bsmtp { batch(&input, suffix, id) } else { piped(&input, suffix, id) }?;
        // A batch has an end that proves it whole; a pipe has only who was writing into it.
        jobs.into_iter().try_for_each(|job| job.hand_in(&socket, || bsmtp || parent.is_alive()))
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
    let input = pipe::read_start(io::stdin().lock()).map_err(|_| "4.3.0 fog: the mail can't be read".to_owned())?;
    // Asked before anything is made of what came: half a mail must not even be complained about as a mail.
    if !bsmtp && !parent.is_alive() {
        return Err(line_for_failure(&SubmitError::CutOff));
    }
    // The end of a batch is in what was not kept, so nothing says that it is whole.
    if bsmtp && input.len() > MAX_MAIL { Err(line_for(Reason::MailTooBig)) } else { Ok(input) }
}

/// What pipe(8) brings: one mail for one recipient.
fn piped(input: &[u8], suffix: &str, id: Option<&[u8]>) -> Result<Vec<Job>, String> {
    let Piped { sender, recipient, mail } = pipe::envelope(input).map_err(|error| format!("4.3.5 fog: {error}"))?;
    let misaddressed = recipient.is_none();
    let mail = Transaction { sender, recipients: recipient.into_iter().collect(), misaddressed, mail: mail.to_vec() };
    jobs(mail, suffix, id)
}

/// What Exim brings: all of it, or nothing.
fn batch(input: &[u8], suffix: &str, id: Option<&[u8]>) -> Result<Vec<Job>, String> {
    let mails = bsmtp::read(input).map_err(|error| {
        let status = match error {
            BsmtpError::CutOff => "4.4.2",
            BsmtpError::TooMany => "4.5.3",
            BsmtpError::NotBsmtp | BsmtpError::Command | BsmtpError::LineEnd | BsmtpError::Dot => "4.3.5",
        };
        format!("{status} fog: {error}")
    })?;
    let jobs = mails.into_iter().map(|mail| jobs(mail, suffix, id)).collect::<Result<Vec<_>, _>>()?;
    Ok(jobs.into_iter().flatten().collect())
}

/// What is to be handed in for one mail. What is wrong with it for good is the node's to tell its sender: anything that we
/// said ourselves would keep the mail in the queue in vain, or bounce it with all that it says.
fn jobs(mail: Transaction, suffix: &str, id: Option<&[u8]>) -> Result<Vec<Job>, String> {
    let (sender, misaddressed) = (mail.sender.clone(), mail.misaddressed);
    let mark = blake3::hash(&mail.mail);
    let told = |line| Job::to_be_told(sender.clone(), mark, suffix, id, line);
    let mut jobs = Vec::new();
    if misaddressed {
        jobs.push(told(line_for(Reason::BadAddress))?);
    }
    if mail.recipients.is_empty() {
        return Ok(jobs);
    }
    match request::request(mail, suffix, Source::Mta, id.map(<[u8]>::to_vec)) {
        Ok(request) => jobs.push(Job { request, otherwise: None }),
        Err(unfit @ Unfit::Hidden(_)) => jobs.push(told(line_for_unfit(unfit))?),
        // The MTA's set-up, or a header that says nothing for sure: it waits for somebody who looks.
        Err(unfit) => return Err(line_for_unfit(unfit)),
    }
    Ok(jobs)
}

/// A request, and what the MTA's log hears if nothing comes of it, where the node can't know why.
struct Job {
    request: Request,
    otherwise: Option<String>,
}

impl Job {
    /// For a recipient that can't be written into a request: the node, which refuses one that stands for it, tells the sender if
    /// it may. `mark` is the mail's.
    fn to_be_told(
        sender: Option<Address>,
        mark: blake3::Hash,
        suffix: &str,
        id: Option<&[u8]>,
        line: String,
    ) -> Result<Self, String> {
        // By its percent sign it is a route, which no node takes for an address.
        let stands_for_it = Address::parse(&format!("no%address@invalid.{suffix}")).ok();
        let Some((sender, recipient)) = sender.zip(stands_for_it) else { return Err(line) };
        let request = Request {
            source: Source::Mta,
            dedup: id.map(<[u8]>::to_vec),
            sender: Some(sender),
            wish: Wish::default(),
            recipients: vec![recipient],
            // MTAs use their ids again: with what was in the mail this is known for the same one, and no other.
            mail: format!("Subject: \n\n{mark}\n").into_bytes(),
        };
        Ok(Self { request, otherwise: Some(line) })
    }

    fn hand_in(self, socket: &Path, is_whole: impl FnOnce() -> bool) -> Result<(), String> {
        let outcomes = match submit(socket, &self.request, is_whole) {
            Err(error @ SubmitError::CutOff) => return Err(line_for_failure(&error)),
            Err(error) => return Err(self.otherwise.unwrap_or_else(|| line_for_failure(&error))),
            Ok(outcomes) => outcomes,
        };
        let line = outcomes.into_iter().find_map(|outcome| outcome.deferred().line());
        line.map_or(Ok(()), |line| Err(self.otherwise.unwrap_or(line)))
    }
}

fn line_for(reason: Reason) -> String {
    Outcome::Temporary(reason).line().unwrap_or_default()
}

/// For good, but anything that says so would bounce the mail.
fn line_for_unfit(unfit: Unfit) -> String {
    format!("4{} fog: {unfit}", unfit.status().trim_start_matches(['4', '5']))
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
