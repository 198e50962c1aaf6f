//! A whole network on this machine, and one letter's way through it.
//!
//! Nothing in it is played: the nodes are processes of this very binary with keys, disks and ports of their own, and
//! the letter goes the way that letters go, in seconds instead of hours. That its way can be watched at all is a
//! parameter of this network, signed in its directory document.

mod letter;
mod network;
mod story;
mod witness;

use crate::cli::error::CliError;
use crate::mail::Address;
use crate::mta::maildir;
use crate::sys::clock;
use crate::sys::exit_code::ExitCode;
use network::{FEWEST, MOST, Network};
use rand_core::Rng;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;
use story::Story;
use tokio::signal::unix::{SignalKind, signal};

/// Other letters under way at the same time.
const OTHERS: usize = 6;

/// How long the letter may be on its way.
const PATIENCE: Duration = Duration::from_secs(90);

/// What is to be shown.
#[derive(Debug)]
pub struct Options {
    /// How many nodes.
    pub nodes: usize,
    /// A letter of one's own.
    pub input: Option<PathBuf>,
    /// To whom it goes.
    pub to: Address,
    /// A Maildir to put the letter into; it is made if there is none.
    pub maildir: Option<PathBuf>,
    /// Leave the network running.
    pub keep: bool,
    /// Tell it as JSON Lines.
    pub json: bool,
    /// Colour it.
    pub color: bool,
}

/// Starts the network, sends the letter and tells its way.
///
/// # Errors
/// What kept the network from starting, or the letter from arriving.
pub fn run(options: &Options) -> Result<(), CliError> {
    if !(FEWEST..=MOST).contains(&options.nodes) {
        return Err(CliError::new(ExitCode::Usage, format!("{} nodes can't be shown", options.nodes))
            .found(format!("{FEWEST} are needed for a way of three hops past its sender; {MOST} is the most"))
            .try_("fog demo --nodes 5"));
    }
    let mail = read_letter(options)?;
    // Before there is anything to take down.
    let interrupted = interruption()?;
    show(options, mail, &interrupted).map_err(|error| {
        // It reaches the nodes too, if it comes from a terminal: what went wrong then is no news.
        let told = interrupted.load(Ordering::Relaxed);
        if told { CliError::new(ExitCode::TryAgain, "interrupted; everything is taken down") } else { error }
    })
}

fn show(options: &Options, mail: Vec<u8>, interrupted: &AtomicBool) -> Result<(), CliError> {
    let mut story = Story::new(options.json, options.color);
    let dir = std::env::temp_dir().join(format!("fog-demo-{}", std::process::id()));
    story.founding(options.nodes);
    let mut network = Network::start(&dir, options.nodes, options.keep)?;
    story.network(&network);
    follow(&mut network, &mut story, options, mail, interrupted)?;
    if options.keep {
        story.kept(&network);
    }
    Ok(())
}

fn read_letter(options: &Options) -> Result<Vec<u8>, CliError> {
    let Some(path) = &options.input else { return Ok(letter::SAMPLE.as_bytes().to_vec()) };
    std::fs::read(path).map_err(|error| {
        CliError::new(ExitCode::NoInput, format!("{} can't be read", path.display())).found(error.to_string())
    })
}

/// Hands the letters in, and tells what becomes of one until it has arrived.
fn follow(
    network: &mut Network,
    story: &mut Story,
    options: &Options,
    mail: Vec<u8>,
    interrupted: &AtomicBool,
) -> Result<(), CliError> {
    let seen = witness::watch(network);
    hand_in_others(network);
    let refused = |why: String| CliError::new(ExitCode::Data, "the node did not take the letter").found(why);
    let entry = network.members.first().map(|member| member.socket("submit.sock")).unwrap_or_default();
    let id = letter::hand_in(&entry, &options.to, mail.clone()).map_err(refused)?;
    story.begins(&network.members, &id, mail.len(), OTHERS, clock::now());
    let end = clock::now().plus(PATIENCE);
    while clock::now() < end {
        match seen.recv_timeout(Duration::from_millis(50)) {
            Ok(seen) => story.hears(network, &seen),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        for dead in network.just_died() {
            story.died(dead);
        }
        if interrupted.load(Ordering::Relaxed) {
            break;
        }
        if let Some((path, arrived)) = arrived(network, story, options) {
            let path = hand_over(options, path, &arrived)?;
            let stays = options.keep || options.maildir.is_some();
            story.ends(&path, &letter::changes(&mail, &arrived), &arrived, clock::now(), stays);
            return Ok(());
        }
    }
    Err(CliError::new(ExitCode::TryAgain, format!("the letter has not arrived within {} s", PATIENCE.as_secs()))
        .found("every node keeps what it holds until the next one has it; a node that is gone keeps it for good")
        .try_("fog demo"))
}

/// The letter, once the exit has put it together and its Maildir has it.
fn arrived(network: &Network, story: &Story, options: &Options) -> Option<(PathBuf, Vec<u8>)> {
    story.is_assembled().then(|| letter::arrived(&network.maildir, &options.to)).flatten()
}

/// Puts the letter, and none of the others, into the Maildir that was asked for.
fn hand_over(options: &Options, path: PathBuf, mail: &[u8]) -> Result<PathBuf, CliError> {
    let Some(maildir) = &options.maildir else { return Ok(path) };
    let mut unique = [0; 16];
    clock::rng().fill_bytes(&mut unique);
    maildir::deliver(maildir, unique, mail).map_err(|error| {
        CliError::new(ExitCode::Io, format!("the letter can't be put into {}", maildir.display()))
            .found(error.to_string())
    })
}

/// Becomes true when the person has had enough (SIGINT, SIGTERM): the network is to be taken down, not left behind.
fn interruption() -> Result<Arc<AtomicBool>, CliError> {
    let trouble = |error: std::io::Error| CliError::new(ExitCode::Io, "no signals can be had").found(error.to_string());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(trouble)?;
    let guard = runtime.enter();
    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt()).map_err(trouble)?, signal(SignalKind::terminate()).map_err(trouble)?);
    drop(guard);
    let told = Arc::new(AtomicBool::new(false));
    let tell = Arc::clone(&told);
    std::thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! { _ = interrupt.recv() => {} _ = terminate.recv() => {} }
        });
        tell.store(true, Ordering::Relaxed);
    });
    Ok(told)
}

/// Letters of other people, each from a node that is not ours. One that is refused is one letter less beside ours.
fn hand_in_others(network: &Network) {
    let senders = network.members.iter().skip(1).cycle();
    for ((n, mail), sender) in letter::others(OTHERS).into_iter().enumerate().zip(senders) {
        let Ok(to) = Address::parse(&format!("someone{n}@example.net")) else { continue };
        let _ = letter::hand_in(&sender.socket("submit.sock"), &to, mail);
    }
}
