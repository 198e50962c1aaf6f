//! `fog send`: hands a mail to the node, for a person or for the MTA's pipe.
//!
//! Starts in no time: no runtime, blocking sockets, and nothing read but one small configuration file.

use super::error::CliError;
use super::global::Global;
use super::{note, print};
use crate::mail::address::Address;
use crate::mail::preview;
use crate::mta::pipe::{self, InputError, Parent};
use crate::mta::submit::{SubmitError, submit};
use crate::submit::{Outcome, Reason, Request, Source};
use crate::sys::exit_code::ExitCode;
use mail_parser::{HeaderName, HeaderValue, MessageParser};
use std::io::{self, IsTerminal};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

/// How long all of it may take where an MTA waits: its own limit would bounce the mail.
const DEADLINE: Duration = Duration::from_secs(30);

/// `fog send`: the mail comes on standard input.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The recipient, with or without .fog; without ADDR, those in To, Cc and Bcc
    #[arg(short = 't', value_name = "ADDR", num_args = 0..=1)]
    to: Option<Option<String>>,
    /// More recipients
    #[arg(value_name = "ADDR", conflicts_with = "mta")]
    recipients: Vec<String>,
    /// Who is told if it can't be sent; no recipient sees it
    #[arg(short = 'f', value_name = "ADDR")]
    from: Option<String>,
    /// Show the mail as its recipient will get it, and send nothing; needs no node
    #[arg(long)]
    dry_run: bool,
    /// Read what Postfix's pipe writes with flags=DORq; end with 0 or 75 only
    #[arg(long, requires = "queue_id", conflicts_with_all = ["to", "from", "dry_run"])]
    pub(super) mta: bool,
    /// The MTA's name for the mail: the same mail handed in twice is sent once
    #[arg(long, value_name = "ID", requires = "mta")]
    queue_id: Option<String>,
    /// The node's socket
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Taken for sendmail's sake: a line with a dot alone never ends the mail
    #[arg(short = 'i')]
    _ignore_dots: bool,
    /// Taken for sendmail's sake: -oi is -i
    #[arg(short = 'o', value_name = "i", value_parser = ["i"])]
    _option: Vec<String>,
}

/// Sends a person's mail, or shows what would be sent.
///
/// # Errors
/// Why not all of it is on its way, with what was.
pub fn run(args: &Args, global: &Global) -> Result<(), CliError> {
    let entry = Entry::read(global)?;
    warn_of_argv(args, global);
    if io::stdin().is_terminal() && !global.quiet {
        note("fog: reading the mail from the terminal; Ctrl-D ends it");
    }
    let mail = pipe::read_all(io::stdin().lock()).map_err(unreadable)?;
    if mail.is_empty() {
        return Err(CliError::new(ExitCode::NoInput, "there is no mail on standard input")
            .found("nothing was sent")
            .try_("fog send -t alice@example.com < mail"));
    }
    let recipients = recipients(args, &mail, &entry.suffix)?;
    if args.dry_run {
        return dry_run(&mail, &recipients, &entry.suffix, global);
    }
    let sender = args.from.as_deref().filter(|from| !from.is_empty()).map(parse).transpose()?;
    let request = Request { source: Source::Person, dedup: None, sender, recipients, mail };
    let socket = args.socket.as_ref().unwrap_or(&entry.socket);
    let outcomes = submit(socket, &request, || true).map_err(|error| not_submitted(&error, socket))?;
    account(&request.recipients, &outcomes)?;
    if global.json { print(format!("{{\"v\":1,\"accepted\":{}}}\n", outcomes.len()).as_bytes()) } else { Ok(()) }
}

/// Sends the mail that an MTA's pipe brings. Ends in one line for the MTA's log, or in nothing at all.
///
/// # Errors
/// The line: a 4.x.x status, since anything else would bounce the mail with its text, and no address.
pub fn run_for_mta(args: &Args, global: &Global, parent: Parent) -> Result<(), String> {
    // An MTA waits: with a broken configuration too, most mail can go its way.
    let entry = Entry::read(global).unwrap_or_default();
    let socket = args.socket.clone().unwrap_or(entry.socket);
    let queue_id = args.queue_id.clone().unwrap_or_default();
    within(DEADLINE, move || relay(&socket, &entry.suffix, queue_id, parent))
        .unwrap_or_else(|| Err("4.4.7 fog: the mail did not come to its end in time".to_owned()))
}

/// `work`'s result, or `None` if it isn't done in time. It is left alone then, and ends with the process.
fn within<T: Send + 'static>(limit: Duration, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (done, result) = mpsc::sync_channel(1);
    std::thread::spawn(move || done.send(work()));
    result.recv_timeout(limit).ok()
}

fn relay(socket: &Path, suffix: &str, queue_id: String, parent: Parent) -> Result<(), String> {
    let input = pipe::read_all(io::stdin().lock()).map_err(|error| match error {
        InputError::TooBig => line_for(Reason::MailTooBig),
        InputError::Io(_) => "4.3.0 fog: the mail can't be read".to_owned(),
    })?;
    // Asked before anything is made of what came: half a mail must not even be complained about as a mail.
    if !parent.is_alive() {
        return Err(line_for_failure(&SubmitError::CutOff));
    }
    let piped = pipe::envelope(&input).map_err(|error| format!("4.3.5 fog: {error}"))?;
    if piped.recipient.under_suffix(suffix).is_none() {
        return Err(line_for(Reason::NotFog));
    }
    let request = Request {
        source: Source::Mta,
        dedup: Some(queue_id.into_bytes()),
        sender: piped.sender,
        recipients: vec![piped.recipient],
        mail: piped.mail.to_vec(),
    };
    let outcomes = submit(socket, &request, || parent.is_alive()).map_err(|error| line_for_failure(&error))?;
    outcomes.into_iter().find_map(|outcome| outcome.deferred().line()).map_or(Ok(()), Err)
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

/// What `fog send` needs to know of the configuration.
struct Entry {
    suffix: String,
    socket: PathBuf,
}

impl Entry {
    /// From the configuration; from the defaults where there is none, or none that this user may read. Then the suffix
    /// may be another than the network's: such mail is refused by the node, or by us, and is never sent in clear.
    fn read(global: &Global) -> Result<Self, CliError> {
        match std::fs::File::open(&global.config).map_err(|error| error.kind()) {
            Err(io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => Ok(Self::default()),
            _ => global.load().map(|config| Self { socket: config.node.submit_socket(), suffix: config.entry.suffix }),
        }
    }
}

impl Default for Entry {
    fn default() -> Self {
        Self { suffix: "fog".to_owned(), socket: PathBuf::from("/run/fog/submit.sock") }
    }
}

/// Shows the mail as its recipient will get it, and on standard error what will still say who wrote it.
fn dry_run(mail: &[u8], recipients: &[Address], suffix: &str, global: &Global) -> Result<(), CliError> {
    let Some(recipient) = recipients.first().and_then(|address| address.under_suffix(suffix)) else {
        return Err(CliError::new(ExitCode::Address, "the recipient is nothing but the suffix"));
    };
    let shown = preview::dry_run(mail, &recipient, &[]).map_err(|refused| {
        CliError::new(ExitCode::Data, refused.to_string())
            .found("the mail would be refused as it is; nothing was sent")
            .try_("mend that, then look again: fog send --dry-run -t ADDR < mail")
    })?;
    print(&shown)?;
    if global.quiet {
        return Ok(());
    }
    note("fog: this is what the recipient gets; From, Date and Message-ID are placeholders. Nothing was sent.");
    if recipients.len() > 1 {
        note(&format!("     To is the first of {}; each gets a mail of their own", recipients.len()));
    }
    for warning in preview::warnings(mail) {
        note(&format!("careful: {warning}"));
    }
    Ok(())
}

/// The recipients, each under the suffix and once: those of the command line, and with `-t` alone the header's.
fn recipients(args: &Args, mail: &[u8], suffix: &str) -> Result<Vec<Address>, CliError> {
    let mut found = Vec::new();
    for text in args.to.iter().flatten().chain(&args.recipients) {
        found.push(under(&parse(text)?, suffix)?);
    }
    if args.to == Some(None) {
        found.extend(header_recipients(mail, suffix)?);
    }
    let mut once = Vec::with_capacity(found.len());
    for address in found {
        if !once.contains(&address) {
            once.push(address);
        }
    }
    if once.is_empty() {
        let place = if args.to.is_some() { "in To, Cc or Bcc" } else { "on the command line" };
        return Err(CliError::new(ExitCode::Address, format!("there is no recipient {place}"))
            .found("nothing was sent")
            .try_("fog send -t alice@example.com < mail"));
    }
    Ok(once)
}

/// `address` as the node wants it. On the command line of `fog send` it is clear what is meant without a suffix.
fn under(address: &Address, suffix: &str) -> Result<Address, CliError> {
    if address.under_suffix(suffix).is_some() {
        return Ok(address.clone());
    }
    parse(&format!("{address}.{suffix}"))
}

/// The addresses in To, Cc and Bcc, of which all must lie under the suffix: one that was left out would not get its
/// mail from anybody, and one that was taken along would get it in a way that its writer didn't ask for.
fn header_recipients(mail: &[u8], suffix: &str) -> Result<Vec<Address>, CliError> {
    let parsed = MessageParser::default().parse_headers(mail);
    let headers = parsed.iter().flat_map(|mail| mail.headers());
    let headers = headers.filter(|h| matches!(h.name, HeaderName::To | HeaderName::Cc | HeaderName::Bcc));
    let mut found = Vec::new();
    for header in headers {
        let HeaderValue::Address(list) = &header.value else { continue };
        for entry in list.iter() {
            let text = entry.address.as_deref().or(entry.name.as_deref()).unwrap_or_default();
            let address = parse(text)?;
            if address.under_suffix(suffix).is_none() {
                return Err(CliError::new(
                    ExitCode::Address,
                    format!("a recipient in the header is not under .{suffix}"),
                )
                .found(format!("{address}; nothing was sent, not to the others either"))
                .try_(format!("write {address}.{suffix}, or take it out of the header")));
            }
            found.push(address);
        }
    }
    Ok(found)
}

fn parse(text: &str) -> Result<Address, CliError> {
    Address::parse(text).map_err(|error| {
        CliError::new(ExitCode::Address, error.to_string())
            .found(format!("{:?}; nothing was sent", text.chars().take(100).collect::<String>()))
            .try_("write it as name@domain, without angle brackets or a name in front")
    })
}

fn unreadable(error: InputError) -> CliError {
    match error {
        InputError::TooBig => {
            CliError::new(ExitCode::Data, error.to_string()).found("nothing was sent").try_(Reason::MailTooBig.advice())
        }
        InputError::Io(cause) => {
            CliError::new(ExitCode::Io, "the mail can't be read").found(format!("standard input: {cause}"))
        }
    }
}

fn not_submitted(error: &SubmitError, socket: &Path) -> CliError {
    let socket = socket.display();
    let (exit, found, try_) = match error {
        SubmitError::NoNode(cause) => (
            ExitCode::Unavailable,
            format!("nobody listens on {socket} ({cause}); nothing was sent"),
            "systemctl start fog-node\nor name the socket of another node with --socket",
        ),
        SubmitError::Forbidden(cause) => (
            ExitCode::Permission,
            format!("{socket}: {cause}; nothing was sent"),
            "adduser NAME fog-submit, and log in again",
        ),
        SubmitError::NoAnswer(cause) => (
            ExitCode::TryAgain,
            format!("{socket}: {cause}; it may have the mail or not"),
            "send it again; at worst it arrives twice",
        ),
        SubmitError::NotUnderstood(_) => {
            (ExitCode::TryAgain, format!("{socket}: it may have the mail or not"), Reason::NotUnderstood.advice())
        }
        SubmitError::CutOff => (ExitCode::TryAgain, "nothing was sent".to_owned(), "send it again"),
    };
    CliError::new(exit, error.to_string()).found(found).try_(try_)
}

/// The node's verdict for each recipient, as one error if there is any refusal.
fn account(recipients: &[Address], outcomes: &[Outcome]) -> Result<(), CliError> {
    let refused = |outcome: &Outcome| match *outcome {
        Outcome::Accepted(_) => None,
        Outcome::Temporary(reason) => Some((reason, ExitCode::TryAgain)),
        Outcome::Permanent(reason) => Some((reason, exit_code(reason))),
    };
    let Some((reason, exit)) = outcomes.iter().find_map(refused) else { return Ok(()) };
    let mut found = String::new();
    for (recipient, outcome) in recipients.iter().zip(outcomes) {
        let verdict = refused(outcome).map_or("is on its way", |(reason, _)| reason.text());
        found += &format!("{recipient}: {verdict}\n");
    }
    found += if outcomes.iter().all(|outcome| refused(outcome).is_some()) {
        "nothing was sent"
    } else {
        "to the others it is on its way: don't send it to them again"
    };
    Err(CliError::new(exit, reason.text()).found(found).try_(reason.advice()))
}

const fn exit_code(reason: Reason) -> ExitCode {
    match reason {
        Reason::BadAddress | Reason::NotFog | Reason::NoExit => ExitCode::Address,
        reason if reason.is_permanent() => ExitCode::Data,
        _ => ExitCode::TryAgain,
    }
}

/// An address among the arguments stands in `ps` for everybody on this machine to read.
fn warn_of_argv(args: &Args, global: &Global) {
    let given = args.to.iter().flatten().next().is_some() || !args.recipients.is_empty() || args.from.is_some();
    if !given || global.quiet {
        return;
    }
    let us = std::fs::metadata("/proc/self").map(|us| us.uid()).ok();
    if std::fs::read_to_string("/etc/passwd").is_ok_and(|accounts| has_others(&accounts, us)) {
        note("fog: other users of this machine can see the address in `ps` while this runs");
        note("  ->  write it into To and say `fog send -t`");
    }
}

/// Whether a person other than `us` has an account: the numbers that Debian, Fedora and the others give to people.
fn has_others(accounts: &str, us: Option<u32>) -> bool {
    let person = |line: &str| {
        let mut fields = line.split(':');
        let uid = fields.nth(2)?.parse::<u32>().ok()?;
        let shell = fields.next_back()?;
        let may_log_in = !shell.ends_with("/nologin") && !shell.ends_with("/false");
        Some((1000..60_000).contains(&uid) && may_log_in && Some(uid) != us)
    };
    accounts.lines().filter_map(person).any(|is_other| is_other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_on_the_command_line_gets_the_suffix_once() {
        for (text, want) in [
            ("alice@example.com", "alice@example.com.fog"),
            ("alice@example.com.fog", "alice@example.com.fog"),
            ("Alice@EXAMPLE.com.FOG.", "Alice@example.com.fog"),
        ] {
            assert_eq!(under(&parse(text).unwrap(), "fog").unwrap().to_string(), want);
        }
    }

    #[test]
    fn the_header_names_recipients_in_to_cc_and_bcc_only() {
        let mail = b"To: Alice <alice@x.org.fog>, \"B, b\" <bob@x.org.fog>\r\nTo: carl@x.org.fog\nCC: friends: dora@x.org.fog,\n\
                     \temil@x.org.fog;\nBcc: fritz@x.org.fog\nReply-To: gerd@x.org\nFrom: h@x.org\n\nTo: ida@x.org.fog\n";
        let found: Vec<_> = header_recipients(mail, "fog").unwrap().iter().map(|a| a.local().to_owned()).collect();
        assert_eq!(found, ["alice", "bob", "carl", "dora", "emil", "fritz"]);
    }

    #[test]
    fn a_header_recipient_that_is_not_ours_stops_all() {
        for to in ["a@x.fog, b@x.org", "b@x.org", "a@x.fog, b", "a@x.fog, B <b>", "g: a@x.fog, b@x.org;"] {
            let found = header_recipients(format!("To: {to}\n\n").as_bytes(), "fog");
            assert_eq!(found.map_err(|error| error.exit), Err(ExitCode::Address), "{to}");
        }
    }

    #[test]
    fn other_people_are_told_from_system_accounts_and_ourselves() {
        let system = "root:x:0:0::/root:/bin/bash\nnobody:x:65534:65534::/:/bin/sh\nlp:x:7:7::/:/usr/sbin/nologin\n";
        let bot = "bot:x:1001:1001::/:/usr/sbin/nologin\n";
        let alice = "alice:x:1000:1000::/home/alice:/bin/bash\n";
        for (accounts, us, want) in [
            (system.to_owned(), Some(0), false),
            (format!("{system}{bot}"), Some(0), false),
            (format!("{system}{alice}"), Some(1000), false),
            (format!("{system}{alice}"), Some(0), true),
            (format!("{system}{alice}"), None, true),
            (String::new(), None, false),
        ] {
            assert_eq!(has_others(&accounts, us), want, "{accounts}");
        }
    }

    #[test]
    fn work_that_is_not_done_in_time_is_left_alone() {
        let (_never, wait) = mpsc::channel::<()>();
        assert_eq!(within(Duration::from_millis(1), move || wait.recv().is_ok()), None);
        assert_eq!(within(Duration::from_mins(1), || 7), Some(7));
    }

    #[test]
    fn a_refusal_says_who_has_it_all_the_same() {
        let to: Vec<_> = ["a@x.fog", "b@x.fog"].into_iter().map(|text| parse(text).unwrap()).collect();
        let accepted = Outcome::Accepted(crate::id::MessageId([0; 16]));
        assert_eq!(account(&to, &[accepted, accepted]), Ok(()));
        let error = account(&to, &[accepted, Outcome::Permanent(Reason::NoExit)]).unwrap_err();
        assert_eq!(error.exit, ExitCode::Address);
        let found = error.found.unwrap();
        assert!(found.contains("a@x.fog: is on its way") && found.contains("don't send it to them again"), "{found}");
        let error = account(&to, &[Outcome::Temporary(Reason::NoExit), accepted]).unwrap_err();
        assert_eq!(error.exit, ExitCode::TryAgain);
        let error = account(&to[..1], &[Outcome::Permanent(Reason::MailTooBig)]).unwrap_err();
        assert!(error.exit == ExitCode::Data && error.found.unwrap().ends_with("nothing was sent"));
    }
}
