//! The command line: one file a verb.

pub mod block;
pub mod check;
pub mod config;
mod control;
pub mod demo;
pub mod directory;
pub mod error;
pub mod exit;
pub mod global;
pub mod init;
pub mod keys;
mod local_domains;
mod main_cf;
mod master_cf;
pub mod milter;
pub mod node;
pub mod node_info;
pub mod ping;
pub mod queue;
pub mod route;
pub mod send;
pub mod setup;
pub mod simulate;
pub mod stats;
pub mod status;
mod words;

use crate::mta::pipe::Parent;
use crate::sys::exit_code::ExitCode;
use crate::sys::log;
use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use error::CliError;
use global::Global;
use std::ffi::OsString;
use std::io::{self, Write};

/// Anonymous mail for the Postfix or Exim you already run.
#[derive(Debug, Parser)]
#[command(name = "fog", version, disable_help_subcommand = true, disable_help_flag = true, max_term_width = 80)]
struct Cli {
    #[command(flatten)]
    global: Global,
    /// Print help
    #[arg(short, long, global = true, action = clap::ArgAction::HelpShort)]
    help: Option<bool>,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// A whole network on this machine; watch one letter travel
    Demo(demo::Args),
    /// How well a network hides its mail, and how soon it arrives
    Simulate(simulate::Args),
    /// Write the configuration and the keys; never overwrites
    Init(init::Args),
    /// Tor, Postfix or Exim: show what to change, --apply, --undo
    Setup(setup::Args),
    /// Find what is wrong with this set-up; writes nothing
    Check(check::Args),
    /// What is configured (-n: what differs from the defaults)
    Config(config::Args),
    /// Hand over a mail (sendmail-like; also the MTA's pipe)
    Send(send::Args),
    /// How an address would be sent, how long, how well hidden
    Route(route::Args),
    /// What waits here: list | retry | drop
    Queue(queue::Args),
    /// This node, now (--watch, --json, --nagios)
    Status(status::Args),
    /// Whether mail gets through (--link: whether nodes answer)
    Ping(ping::Args),
    /// Every node's last 12 epochs (--html DIR, --format ...)
    Stats(stats::Args),
    /// This node's signed descriptor, to give to the directory
    NodeInfo(node_info::Args),
    /// This node's mix keys: list | rotate
    Keys(keys::Args),
    /// The document: add | sign | show | fetch | verify | import
    Directory(directory::Args),
    /// Recipients who asked not to be written to
    Block(block::Args),
    /// The daemon: mixing, delaying, handing on
    Node(node::Args),
    /// Hand mail that leaves the network to the local MTA
    Exit(exit::Args),
    /// Take mail for the network out of the MTA's hands
    Milter(milter::Args),
}

/// The verbs in groups, as `fog --help` shows them.
const GROUPS: &[(&str, &[&str])] = &[
    ("Try it", &["demo", "simulate"]),
    ("Set up", &["init", "setup", "check", "config"]),
    ("Use", &["send", "route", "queue"]),
    ("Watch", &["status", "ping", "stats"]),
    ("Operate", &["node-info", "keys", "directory", "block"]),
    ("Services", &["node", "exit", "milter"]),
];

/// What `fog` says when nothing is asked of it.
const GREETING: &str = "\
fog: anonymous mail for the Postfix or Exim you already run
     fog demo   a whole network on this machine; watch one letter travel
     fog init   set up a node of your own; `fog --help` has the rest
";

/// Whether these arguments are an MTA's: everything must end with 0 or 75 then, a wrong command line included.
#[must_use]
pub fn is_for_mta(args: &[OsString]) -> bool {
    has_flag(args, "--mta") || is_for_exim(args)
}

fn is_for_exim(args: &[OsString]) -> bool {
    has_flag(args, "--bsmtp")
}

fn has_flag(args: &[OsString], flag: &str) -> bool {
    args.iter().any(|arg| arg.to_string_lossy().split('=').next() == Some(flag))
}

/// Does what `args` (the program's name first) ask for, and says how the process ends. `parent` is who started it.
pub fn run(args: &[OsString], parent: Parent) -> ExitCode {
    let (for_mta, json) = (is_for_mta(args), args.iter().any(|arg| arg == "--json" || arg == "-j"));
    let cli = match parse(args) {
        Ok(cli) => cli,
        // Help on standard output would tell Postfix that the mail is sent.
        Err(_) if for_mta => return defer(&send::wrong_command_line(is_for_exim(args))),
        Err(error) => return refuse_arguments(args, &error, json),
    };
    let result = match &cli.verb {
        None => print(GREETING.as_bytes()),
        Some(Verb::Send(args)) if args.mta || args.bsmtp => match send::run_for_mta(args, &cli.global, parent) {
            Ok(()) => return ExitCode::Ok,
            Err(line) => return defer(&line),
        },
        // `--mta` or `--bsmtp` stands behind `--`, or where it is a value: whoever wrote that is an MTA's pipe all the same.
        Some(_) if for_mta => return defer(&send::wrong_command_line(is_for_exim(args))),
        Some(Verb::Status(args)) if args.nagios => {
            let (line, code) = status::nagios(&cli.global);
            return print(line.as_bytes()).map_or(ExitCode::Unknown, |()| code);
        }
        Some(Verb::Route(args)) => match route::run(args, &cli.global) {
            Ok(code) => return code,
            Err(error) => Err(error),
        },
        Some(Verb::Status(args)) => status::run(args, &cli.global),
        Some(Verb::Ping(args)) => match ping::run(args, &cli.global) {
            Ok(code) => return code,
            Err(error) => Err(error),
        },
        Some(Verb::Stats(args)) => stats::run(args, &cli.global),
        Some(Verb::Queue(args)) => queue::run(args, &cli.global),
        Some(Verb::Config(args)) => config::run(args, &cli.global),
        Some(Verb::Demo(args)) => demo::run(args, &cli.global),
        Some(Verb::Simulate(args)) => simulate::run(args, &cli.global),
        Some(Verb::Node(args)) => node::run(args, &cli.global),
        Some(Verb::Init(args)) => init::run(args, &cli.global),
        Some(Verb::Setup(args)) => setup::run(args, &cli.global),
        Some(Verb::Send(args)) => send::run(args, &cli.global),
        Some(Verb::Keys(args)) => keys::run(args, &cli.global),
        Some(Verb::NodeInfo(args)) => node_info::run(args, &cli.global),
        Some(Verb::Directory(args)) => directory::run(args, &cli.global),
        Some(Verb::Check(args)) => check::run(args, &cli.global),
        Some(Verb::Block(args)) => block::run(args, &cli.global),
        Some(Verb::Exit(args)) => exit::run(args, &cli.global),
        Some(Verb::Milter(args)) => milter::run(args, &cli.global),
    };
    log::flush();
    match result {
        Ok(()) => ExitCode::Ok,
        Err(error) => report(&error, cli.global.json),
    }
}

/// Writes `bytes` to standard output. A reader that has gone (`fog ... | head`) is no error.
///
/// # Errors
/// `Io` if it can't be written for another reason, a full disk for instance.
pub fn print(bytes: &[u8]) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(CliError::new(ExitCode::Io, "standard output can't be written").found(error.to_string()))
        }
        _ => Ok(()),
    }
}

/// Writes `line` to standard error; if that can't be done there is nobody left to tell.
pub fn note(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// The whole command line, as the manual pages have to describe it.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}

fn parse(args: &[OsString]) -> Result<Cli, clap::Error> {
    let command = Cli::command();
    let help = format!(
        "{{about}}\n\n{{usage-heading}} fog [OPTIONS] VERB ...\n\n{}\nOptions:\n{{options}}\n\n\
         `fog VERB --help` tells about one verb.\n",
        grouped(&command)
    );
    Cli::from_arg_matches(&command.help_template(help).try_get_matches_from(args)?)
}

/// The verbs that there are, by group, each with what it is for.
fn grouped(command: &clap::Command) -> String {
    let line = |group: &str, verb: &str| {
        let about = command.find_subcommand(verb)?.get_about()?.to_string();
        Some(format!("{group:<10}{verb:<11}{about}\n"))
    };
    let mut text = String::new();
    for (group, verbs) in GROUPS {
        let mut title = *group;
        for shown in verbs.iter().filter_map(|verb| line(title, verb).inspect(|_| title = "")) {
            text.push_str(&shown);
        }
    }
    text
}

/// Tells the MTA, in the one line it looks at, to keep the mail and come again. Without a line end: Postfix would log it
/// as a blank.
fn defer(line: &str) -> ExitCode {
    let mut out = io::stdout().lock();
    let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
    ExitCode::TryAgain
}

fn report(error: &CliError, json: bool) -> ExitCode {
    note(&if json { error.to_json().to_string() } else { error.to_string() });
    error.exit
}

/// Help and version are no errors; the rest is told as all errors are.
fn refuse_arguments(args: &[OsString], error: &clap::Error, json: bool) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        let text = format!("{}\n", error.to_string().trim_end());
        return print(text.as_bytes()).map_or_else(|error| report(&error, json), |()| ExitCode::Ok);
    }
    let text = error.to_string();
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("For more"));
    let what = lines.next().unwrap_or_default().trim_start_matches("error: ").to_owned();
    let found = lines.collect::<Vec<_>>().join("\n");
    let command = Cli::command();
    let verb =
        args.iter().filter_map(|arg| command.find_subcommand(arg)).map(|verb| format!("{} ", verb.get_name())).next();
    let verb = verb.unwrap_or_default();
    let error = CliError::new(ExitCode::Usage, what).try_(format!("fog {verb}--help"));
    report(&if found.is_empty() { error } else { error.found(found) }, json)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split_ascii_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn every_verb_stands_in_one_group_of_the_help() {
        let command = Cli::command();
        command.clone().debug_assert();
        let text = grouped(&command);
        for verb in command.get_subcommands().map(clap::Command::get_name) {
            let lines = text.lines().filter(|line| line.get(10..).unwrap().split(' ').next() == Some(verb));
            assert_eq!(lines.count(), 1, "{verb} in\n{text}");
        }
        assert!(text.lines().all(|line| line.len() <= 80), "\n{text}");
    }

    #[test]
    fn an_mta_is_known_by_its_arguments_however_wrong_they_are() {
        for (line, want) in [
            ("fog send --mta --queue-id 4jX", true),
            ("fog send --frob --mta", true),
            ("fog --mta=yes", true),
            ("fog send --bsmtp", true),
            ("fog send -t --bsmtp=", true),
            ("fog send --bsmtps", false),
            ("fog send --queue-id --mta", true),
            ("fog send -t a@example.com", false),
            ("fog send --mtaa", false),
            ("fog", false),
        ] {
            assert_eq!(is_for_mta(&words(line)), want, "{line}");
        }
    }
}
