//! `fog check`: finds what is wrong with a set-up, and changes nothing.

mod exim;
mod exit;
mod files;
mod finding;
mod host;
mod leaks;
mod links;
mod network;
mod notices;
mod postfix;
mod privileges;
mod running;
mod tables;
mod tor;
mod whom;

use super::error::CliError;
use super::global::Global;
use crate::config::Config;
use crate::directory::Document;
use crate::sys::clock;
use crate::sys::exit_code::ExitCode;
use finding::{Finding, State};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use whom::Whom;

/// Who runs the node where the package has set it up.
const SERVICE_USER: &str = "fog";

/// Where programs of the system lie; root's own PATH may lack half of it.
pub(super) const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin";

/// `fog check`: looks at configuration, keys, directory, Tor and the MTA.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Whom the node runs as [default: fog, if there is such a user]
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Where Postfix has its configuration
    #[arg(long, value_name = "DIR", default_value = "/etc/postfix", global = true)]
    postfix: PathBuf,
    /// Ask nothing beyond this machine
    #[arg(long)]
    offline: bool,
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Hand one mail to the MTA, and look where traces of it are left
    Leaks(leaks::Args),
}

/// What the rest of this machine's fog is, as far as an MTA must fit it.
#[derive(Clone, Debug)]
struct Fog<'a> {
    /// `fog`.
    suffix: &'a str,
    /// The largest mail that the network takes, if that is known.
    max_size: Option<u64>,
}

/// Looks, and tells.
///
/// # Errors
/// `Config` if something is wrong, or the configuration itself can't be read.
pub fn run(args: &Args, global: &Global) -> Result<(), CliError> {
    let findings = match &args.what {
        Some(What::Leaks(leaks)) => leaks::run(leaks, global, &args.postfix)?,
        None => {
            let config = global.load()?;
            let whom = service_user(args.user.as_deref())?;
            look(&config, global, &whom, args)
        }
    };
    if global.json {
        let told = findings.iter().filter(|finding| !global.quiet || finding.state > State::Good);
        let lines: String = told.map(|finding| format!("{}\n", finding.to_json())).collect();
        super::print(lines.as_bytes())?;
    } else {
        super::print(finding::words(&findings, global.quiet).as_bytes())?;
    }
    let wrong = findings.iter().filter(|finding| finding.state == State::Wrong).count();
    if wrong == 0 {
        return Ok(());
    }
    let what = if wrong == 1 { "1 thing is wrong".to_owned() } else { format!("{wrong} things are wrong") };
    Err(CliError::new(ExitCode::Config, what))
}

fn look(config: &Config, global: &Global, whom: &Whom, args: &Args) -> Vec<Finding> {
    let now = clock::now();
    let (key, told) = files::key(config);
    let mut findings = vec![files::configuration(&global.config, whom), told, files::spool(config, whom)];
    findings.extend(files::room(config));
    let mounts = text("/proc/self/mountinfo");
    if let Ok(spool) = fs::canonicalize(&config.spool.path) {
        findings.push(host::overwriting(&mounts, &spool));
    }
    let status = running::status(config, global);
    let clock = status.as_ref().and_then(running::clock);
    findings.push(clock.unwrap_or_else(|| host::clock(time_service().as_deref())));
    findings.push(host::swap(&text("/proc/swaps")));
    findings.extend([host::core(&text("/proc/sys/kernel/core_pattern")), tor::socks(config, whom)]);
    let is_whole = findings.last().is_some_and(|socks| socks.state == State::Good);
    if is_whole && !args.offline && config.node.onion.is_onion() {
        findings.push(tor::own_onion(config));
    }
    let (passwd, group) = (text("/etc/passwd"), text("/etc/group"));
    findings.extend(links::findings(&config.node.listen, whom, links::tor(&passwd, &group).as_ref()));
    let (document, told) = network::document(config, now);
    findings.push(told);
    if let (Some(document), Some(key)) = (&document, &key) {
        findings.push(network::membership(document, key, config, now));
        findings.extend(network::mix_keys(document, key, config, now));
        findings.extend(network::authority(document, config));
        findings.push(network::paths(document, key, config));
        findings.push(network::uptimes(document, key));
    }
    findings.extend(status.as_ref().and_then(running::loops));
    if let Some(key) = &key {
        findings.push(files::block_list(config, &key.link, whom));
    }
    findings.extend(config.exit.iter().flat_map(exit::target));
    findings.extend(config.hand_over.iter().filter(|_| config.exit.is_none()).map(exit::taker));
    findings.extend(config.hand_over.iter().flat_map(|deliver| privileges::findings(deliver, &global.config)));
    findings.extend(notices::whom(config, &args.postfix));
    findings.extend(notices::process(config, status.as_ref()));
    findings.extend(mta(config, document.as_ref(), &args.postfix));
    findings
}

fn mta(config: &Config, document: Option<&Document>, dir: &Path) -> Vec<Finding> {
    let ours = config.entry.max_size;
    let network = document.map(|document| document.params().max_size);
    let fog = Fog { suffix: &config.entry.suffix, max_size: ours.into_iter().chain(network).min() };
    if has_postfix(dir) {
        return match postfix::Postfix::ask(dir, fog.suffix) {
            Ok(found) => {
                let (socket, passwd, group) = (config.node.submit_socket(), text("/etc/passwd"), text("/etc/group"));
                let mut told = postfix::findings(&found, &fog);
                told.extend(postfix::pipe_user(&found, &socket, &passwd, &group));
                told
            }
            Err(error) => vec![silent("postfix", &error)],
        };
    }
    match exim::Exim::ask(fog.suffix) {
        Ok(Some(found)) => exim::findings(&found, &fog),
        Ok(None) => vec![
            Finding::careful("mta", format!("there is neither Postfix in {} nor Exim", dir.display()))
                .hint("fog-mta(7) tells how mail gets into fog without one; or say where: fog check --postfix DIR"),
        ],
        Err(error) => vec![silent("exim", &error)],
    }
}

fn silent(about: &'static str, error: &io::Error) -> Finding {
    Finding::wrong(about, format!("it doesn't say how it is configured: {error}")).hint("run this as root")
}

fn has_postfix(dir: &Path) -> bool {
    dir.join("main.cf").exists()
}

/// What a program of the system answers, in words that are the same everywhere.
fn output(command: &mut Command) -> io::Result<Output> {
    command.env("PATH", PATH).env("LC_ALL", "C").stdin(Stdio::null()).stderr(Stdio::null()).output()
}

/// What it prints; it must end well.
pub(super) fn run_program(command: &mut Command) -> io::Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = output(command)?;
    if !output.status.success() {
        return Err(io::Error::other(format!("{program} ended with {}", output.status)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whom to judge as: who was named, the package's user, or whoever runs this.
fn service_user(named: Option<&str>) -> Result<Whom, CliError> {
    let (passwd, group) = (text("/etc/passwd"), text("/etc/group"));
    if let Some(name) = named {
        return Whom::find(name, &passwd, &group)
            .ok_or_else(|| CliError::new(ExitCode::Usage, format!("there is no user {name}")).try_("getent passwd"));
    }
    if let Some(whom) = Whom::find(SERVICE_USER, &passwd, &group) {
        return Ok(whom);
    }
    let us = fs::metadata("/proc/self").map_err(|error| {
        CliError::new(ExitCode::Io, "nobody can say who runs this").found(format!("/proc/self: {error}"))
    })?;
    Ok(Whom::runs(us.uid(), us.gid()))
}

/// Whether the clock is set by somebody, as systemd has it.
fn time_service() -> Option<String> {
    let mut ask = Command::new("timedatectl");
    ask.args(["show", "-p", "NTPSynchronized", "--value"]).stdin(Stdio::null()).stderr(Stdio::null());
    let answer = ask.output().ok().filter(|answer| answer.status.success())?;
    String::from_utf8(answer.stdout).ok()
}

/// What isn't there says nothing.
fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}
