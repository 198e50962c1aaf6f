//! `fog send`: hands a mail to the node, for a person or for the MTA's pipe.
//!
//! Starts in no time: no runtime, blocking sockets, and nothing read but one small configuration file.

mod mta;
mod recipients;
mod told;

pub use mta::run_for_mta;
pub(super) use mta::wrong_command_line;

use super::error::CliError;
use super::global::Global;
use super::{note, print};
use crate::mail::address::Address;
use crate::mail::{edit, preview};
use crate::mta::pipe;
use crate::mta::submit::submit;
use crate::submit::{MAX_CHAIN, MAX_DEDUP, Request, Source, Wish, is_name};
use crate::sys::exit_code::ExitCode;
use recipients::{To, parse};
use serde_json::json;
use std::io::{self, IsTerminal};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use told::{account, not_submitted, unreadable};

/// `fog send`: the mail comes on standard input.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("pipe").multiple(true)))]
pub struct Args {
    /// The recipient, with or without .fog; without ADDR, those in the header
    #[arg(short = 't', value_name = "ADDR", num_args = 0..=1, conflicts_with = "pipe")]
    to: Option<Option<String>>,
    /// More recipients
    #[arg(value_name = "ADDR", conflicts_with = "pipe")]
    recipients: Vec<String>,
    /// Post to a newsgroup
    #[arg(short = 'g', value_name = "GROUP", conflicts_with = "pipe")]
    group: Vec<String>,
    /// The subject, in place of the mail's own
    #[arg(short = 's', value_name = "SUBJECT", conflicts_with = "pipe")]
    subject: Option<String>,
    /// The nodes to go through: '*,*,kvara', * for any
    #[arg(short = 'l', value_name = "CHAIN", conflicts_with = "pipe")]
    chain: Option<String>,
    /// Send so many copies; one is delivered
    #[arg(short = 'n', value_name = "COPIES", conflicts_with = "pipe", default_value_t = 1,
          value_parser = clap::value_parser!(u8).range(1..=10))]
    copies: u8,
    /// Taken for sendmail's sake: who to tell of trouble
    #[arg(short = 'f', value_name = "ADDR", conflicts_with = "pipe")]
    from: Option<String>,
    /// Show the mail as its recipient will get it, and send nothing; needs no node
    #[arg(long, conflicts_with = "pipe")]
    dry_run: bool,
    /// Read what Postfix's pipe writes with flags=DORq; end with 0 or 75 only
    #[arg(long, group = "pipe")]
    pub(super) mta: bool,
    /// Read batched SMTP, as Exim's pipe writes it; end with 0 or 75 only
    #[arg(long, group = "pipe")]
    pub(super) bsmtp: bool,
    /// The MTA's name for the mail: the same mail handed in twice is sent once
    #[arg(long, value_name = "ID", requires = "pipe", value_parser = parse_queue_id)]
    queue_id: Option<String>,
    /// The node's socket
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Say for each recipient that the mail is on its way
    #[arg(short = 'v', conflicts_with = "pipe")]
    verbose: bool,
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
    let wish = Wish { chain: chain(args)?, copies: args.copies };
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
    let To { recipients, mail } = recipients::of(args, mail, &entry.suffix)?;
    let mail = with_subject(args, mail)?;
    if args.dry_run {
        return dry_run(&mail, &recipients, &entry.suffix, global);
    }
    let sender = args.from.as_deref().filter(|from| !["", "<>"].contains(from)).map(parse).transpose()?;
    let request = Request { source: Source::Person, dedup: None, sender, wish, recipients, mail };
    let socket = args.socket.as_ref().unwrap_or(&entry.socket);
    let outcomes = submit(socket, &request, || true).map_err(|error| not_submitted(&error, socket))?;
    account(&request.recipients, &outcomes)?;
    let names: Vec<String> =
        outcomes.iter().filter_map(|outcome| outcome.name()).map(|name| name.to_string()).collect();
    if args.verbose || io::stderr().is_terminal() && !global.quiet {
        for (recipient, name) in request.recipients.iter().zip(&names) {
            note(&format!("fog: {recipient}: is on its way, and called {name} here"));
        }
    }
    if global.json {
        return print(format!("{}\n", json!({ "v": 1, "accepted": outcomes.len(), "ids": names })).as_bytes());
    }
    Ok(())
}

fn parse_queue_id(text: &str) -> Result<String, String> {
    let fits = (1..=MAX_DEDUP).contains(&text.len());
    fits.then(|| text.to_owned()).ok_or_else(|| format!("a queue id has 1 to {MAX_DEDUP} bytes"))
}

/// The names in `-l`. Whether there are such nodes is the node's to say.
fn chain(args: &Args) -> Result<Vec<Option<String>>, CliError> {
    let Some(text) = &args.chain else { return Ok(Vec::new()) };
    let hop = |name: &str| match name.trim() {
        "*" => Some(None),
        name => is_name(name).then(|| Some(name.to_owned())),
    };
    let chain: Option<Vec<_>> = text.split(',').map(hop).collect();
    chain.filter(|chain| chain.len() <= MAX_CHAIN).ok_or_else(|| {
        CliError::new(ExitCode::Usage, "a chain is the names of nodes with commas between, * for any")
            .found(format!("{:?}; nothing was sent", text.chars().take(100).collect::<String>()))
            .try_("fog send -l '*,*,kvara' -t alice@example.com < mail")
    })
}

fn with_subject(args: &Args, mail: Vec<u8>) -> Result<Vec<u8>, CliError> {
    let Some(subject) = &args.subject else { return Ok(mail) };
    if subject.chars().any(char::is_control) {
        return Err(CliError::new(ExitCode::Usage, "a subject is one line without control characters")
            .found("nothing was sent")
            .try_("fog send -s SUBJECT -t alice@example.com < mail"));
    }
    edit::with_subject(&mail, subject).map_err(|refused| {
        CliError::new(ExitCode::Data, refused.to_string())
            .found("nothing was sent")
            .try_("begin with header lines and an empty line, or with the empty line alone")
    })
}

/// What `fog send` needs to know of the configuration.
struct Entry {
    suffix: String,
    socket: PathBuf,
}

impl Entry {
    /// From the configuration; from the defaults where there is none in its usual place, or none that this user may read.
    /// Then the suffix may be another than the network's: such mail is refused by the node, or by us, and is never sent in
    /// clear. One that was named and isn't there is a mistake: the mail would go to another node than was meant.
    fn read(global: &Global) -> Result<Self, CliError> {
        match std::fs::File::open(&global.config).map_err(|error| error.kind()) {
            Err(io::ErrorKind::NotFound) if global.is_usual() => Ok(Self::default()),
            Err(io::ErrorKind::PermissionDenied) => Ok(Self::default()),
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

/// An argument stands in `ps` for everybody on this machine to read.
fn warn_of_argv(args: &Args, global: &Global) {
    let addresses = args.to.iter().flatten().chain(&args.recipients).chain(&args.from);
    let given = addresses.chain(&args.group).chain(&args.subject).next().is_some();
    if !given || global.quiet {
        return;
    }
    if is_shared_machine() {
        note("fog: other users of this machine can see recipients and subject in `ps` while this runs");
        note("  ->  write them into To, Anon-Post-To and Subject, and say `fog send -t`");
    }
}

/// Whether somebody else might look at `ps` here.
pub(super) fn is_shared_machine() -> bool {
    let us = std::fs::metadata("/proc/self").map(|us| us.uid()).ok();
    std::fs::read_to_string("/etc/passwd").is_ok_and(|accounts| has_others(&accounts, us))
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
}
