//! `fog check leaks`: hands one mail to the MTA, with a random word in each of its fields, and looks where the words are.

mod canary;
mod meaning;
mod mta;
mod search;

use crate::cli::error::CliError;
use crate::cli::global::Global;
use crate::cli::words;
use crate::sys::clock;
use crate::sys::exit_code::ExitCode;
use canary::{Canary, Field};
use meaning::Looked;
use mta::Mta;
use search::{Before, Processes, Seen};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::finding::Finding;

/// How long the mail may be in the MTA's hands.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long the MTA's spool must have been without it: it is moved about, and a file can be missed on its way.
const GONE: Duration = Duration::from_secs(1);

/// How long to wait where the spool can't be read, and nobody can say whether it is gone.
const BLIND: Duration = Duration::from_secs(10);

/// How long what logs may take to write down what it was told.
const LOGGED: Duration = Duration::from_secs(1);

/// Between two looks at all processes: a pipe's command lives for some milliseconds.
const LOOK: Duration = Duration::from_millis(4);

/// Between two looks at the spool.
const LOOK_AT_SPOOL: Duration = Duration::from_millis(100);

/// `fog check leaks`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Don't ask
    #[arg(short, long)]
    yes: bool,
}

/// Hands the canary over, looks for it everywhere, and says what it means.
///
/// # Errors
/// Nothing was handed over: there is no way from the MTA to the node, or nobody has said yes.
pub(super) fn run(args: &Args, global: &Global, postfix: &Path) -> Result<Vec<Finding>, CliError> {
    let config = global.load()?;
    let suffix = config.entry.suffix.as_str();
    let mta = Mta::find(postfix, suffix)?;
    let socket = config.node.submit_socket();
    UnixStream::connect(&socket).map_err(|error| {
        CliError::new(ExitCode::Unavailable, "the node is not running, or its socket may not be used")
            .found(format!("{}: {error}; no mail was handed over", socket.display()))
            .try_("systemctl start fog-node; run this as root")
    })?;
    let canary = Canary::new(&mut clock::rng());
    agree(args, global, &canary, suffix)?;

    let (before, since) = (Before::of(&mta.logs), Before::nothing());
    let (handed, processes) = while_watched(&canary, &mta.own(&canary), || {
        mta.take(&canary, suffix)?;
        wait_until_gone(|| search::files(&canary, &mta.spool, &since));
        thread::sleep(LOGGED);
        Ok::<_, CliError>(())
    });
    handed?;
    let looked = Looked {
        logs: search::files(&canary, &mta.logs, &before),
        journal: search::journal(&canary, since.at()),
        mailboxes: search::files(&canary, &mta.mailboxes, &since),
        mta: search::files(&canary, &mta.spool, &since),
        fog: search::files(&canary, std::slice::from_ref(&config.spool.path), &since),
        processes,
    };
    Ok(meaning::findings(&looked, mta.kind))
}

/// Says what is about to be done, and asks.
fn agree(args: &Args, global: &Global, canary: &Canary, suffix: &str) -> Result<(), CliError> {
    if !global.quiet && !global.json {
        crate::cli::note(&format!(
            "fog: one mail is handed to the MTA of this machine, with random words in it:\n     \
             from {} to {}\n     \
             That is nobody's address: the node takes the mail and throws it away, and nothing of it leaves this\n     \
             machine. What the MTA notes of it stays in its log. It takes a few seconds.",
            canary.word(Field::Sender),
            canary.recipient(suffix)
        ));
    }
    if words::confirm(args.yes, "one mail would be handed to the MTA", "fog: hand it over? [y/N]")? {
        return Ok(());
    }
    Err(CliError::new(ExitCode::No, "no mail was handed over"))
}

/// Looks at all processes again and again while `work` is done.
fn while_watched<T>(canary: &Canary, own: &[u8], work: impl FnOnce() -> T) -> (T, Processes) {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut found = Processes::default();
            while !done.load(Ordering::Relaxed) {
                search::processes(canary, own, &mut found);
                thread::sleep(LOOK);
            }
            found
        });
        let result = work();
        done.store(true, Ordering::Relaxed);
        let found = watcher.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (result, found)
    })
}

/// Until the spool has been without the mail for a while, or too long.
fn wait_until_gone(look: impl Fn() -> Seen) {
    let begun = clock::now();
    let mut clean = None;
    loop {
        let (seen, now) = (look(), clock::now());
        let waited = now.since(begun);
        if seen.hits.is_empty() {
            let since = *clean.get_or_insert(now);
            if now.since(since) >= GONE && (seen.unread == 0 || waited >= BLIND) {
                return;
            }
        } else {
            clean = None;
        }
        if waited >= PATIENCE {
            return;
        }
        thread::sleep(LOOK_AT_SPOOL);
    }
}
