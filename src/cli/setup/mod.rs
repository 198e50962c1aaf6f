//! `fog setup`: what Tor, Postfix and Exim need to know of fog, shown, done, and taken back.
//!
//! What is to be done is decided by pure functions from what was found (`postfix::plan`, `exim::plan`, `tor::plan`);
//! `edge` reads, runs and writes.

mod block;
mod client_auth;
mod edge;
mod exim;
mod milter;
mod notices;
mod plan;
mod postfix;
mod tor;

use super::error::CliError;
use super::global::Global;
use crate::config::{LISTEN, Listen, USUAL_LISTEN, parse_listen};
use crate::sys::exit_code::ExitCode;
use client_auth::ClientAuth;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use plan::Plan;
use std::path::{Path, PathBuf};

/// What is wrong without the account that the MTA's pipe runs as, and what makes it.
const NO_USER: &str = "there is no user fog-mta in the group fog-submit";
const ADD_USER: &str = "groupadd --system fog-submit; \
    useradd --system --gid fog-submit --no-create-home --shell /usr/sbin/nologin fog-mta";

/// Where an MTA takes mail that a program of this machine has.
const PORT: &str = "smtp:127.0.0.1:25";

/// What is to be set up, and whether only to show it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to set up
    #[arg(value_enum)]
    what: What,
    /// Do it, and keep a dated copy of each file that is changed
    #[arg(long)]
    apply: bool,
    /// Take it back; .fog addresses are answered with an error from then on
    #[arg(long, conflicts_with = "apply")]
    undo: bool,
    /// Postfix: also the listener that `fog exit` hands its mail to
    #[arg(long)]
    exit: bool,
    /// Tor: where the node listens, as it will be told to fog init [default: as fog.toml says, else 127.0.0.1:9999]
    #[arg(long, value_name = "PLACE")]
    listen: Option<String>,
    /// Tor: let only those find the onion whose keys stand in this file, a line `NAME KEY` each
    #[arg(long, value_name = "FILE")]
    client_auth: Option<PathBuf>,
    /// Where its configuration lies [default: /etc/postfix, /etc/exim4, /etc/tor]
    #[arg(long, value_name = "DIR")]
    config_dir: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum What {
    /// An onion for this node, and a SOCKS socket
    Tor,
    /// Mail to .fog addresses by pipe and milter
    Postfix,
    /// Mail to .fog addresses by pipe
    Exim,
}

/// How it is to be afterwards.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wanted {
    Installed,
    Removed,
}

/// What the others have to know of this fog.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Ours {
    /// `/usr/bin/fog`, with `--config FILE` if that is not the usual one.
    command: String,
    /// `fog`, as in `alice@example.com.fog`.
    suffix: String,
    /// The onion's target.
    listen: Listen,
}

/// Shows what would be done, or does it.
///
/// # Errors
/// What is in the way; nothing was changed then, or it says what was.
pub fn run(args: &Args, global: &Global) -> Result<(), CliError> {
    if args.exit && args.what != What::Postfix {
        return Err(CliError::new(ExitCode::Usage, "only Postfix has a listener for the exit")
            .try_("fog exit talks to Exim's own port: deliver = \"smtp:127.0.0.1:25\" in fog.toml(5)"));
    }
    if args.client_auth.is_some() && args.what != What::Tor {
        return Err(CliError::new(ExitCode::Usage, "client authorization is Tor's"));
    }
    if args.listen.is_some() && args.what != What::Tor {
        return Err(CliError::new(ExitCode::Usage, "only Tor has to know where the node listens"));
    }
    let wanted = if args.undo { Wanted::Removed } else { Wanted::Installed };
    let ours = ours(global, args.listen.as_deref())?;
    let dir = |usual: &str| args.config_dir.clone().unwrap_or_else(|| PathBuf::from(usual));
    let (dir, plan) = match args.what {
        What::Postfix => {
            let dir = dir("/etc/postfix");
            let found = edge::postfix(&dir, &ours.suffix)?;
            let mut plan = postfix::plan(&found, &ours, wanted, args.exit)?;
            let local = edge::postfix_domains(&dir, &ours.suffix)?;
            let deliver = if args.exit { postfix::LISTENER } else { PORT };
            notices::Found::read(global)?.plan(&mut plan, &local, deliver, wanted);
            (dir, plan)
        }
        What::Exim => {
            let dir = dir("/etc/exim4");
            let found = edge::exim(&dir)?;
            let mut plan = exim::plan(&found, &ours, wanted)?;
            let local = edge::exim_domains(&found, &ours.suffix);
            notices::Found::read(global)?.plan(&mut plan, &local, PORT, wanted);
            (dir, plan)
        }
        What::Tor => {
            let dir = dir("/etc/tor");
            let found = edge::tor(&dir)?;
            let auth = args.client_auth.as_ref().filter(|_| !args.undo);
            let auth = auth.map(|list| ClientAuth::read(&global.load()?, list)).transpose()?;
            (dir, tor::plan(&found, &ours, wanted, auth.as_ref())?)
        }
    };
    let changes = args.apply || args.undo;
    let kept = if changes { edge::carry_out(&plan)? } else { Vec::new() };
    tell(args, global, &dir, &plan, &kept)
}

fn tell(args: &Args, global: &Global, dir: &Path, plan: &Plan, kept: &[PathBuf]) -> Result<(), CliError> {
    let changes = args.apply || args.undo;
    if global.json {
        return super::print(format!("{}\n", plan.to_json(changes, kept)).as_bytes());
    }
    if global.quiet {
        return Ok(());
    }
    let what = match args.what {
        What::Tor => "tor",
        What::Postfix => "postfix",
        What::Exim => "exim",
    };
    let usual = args.config_dir.is_none();
    let place = if usual { String::new() } else { format!(" --config-dir {}", dir.display()) };
    let exit = if args.exit { " --exit" } else { "" };
    let listen = args.listen.as_ref().map(|listen| format!(" --listen {listen}")).unwrap_or_default();
    let auth = args.client_auth.as_ref().map(|list| format!(" --client-auth {}", list.display())).unwrap_or_default();
    let verb = format!("setup {what}{exit}{listen}{auth}{place}");
    let again = format!("{} --apply", super::words::command(global, &verb));
    super::print(plan.to_words(changes, kept, &again).as_bytes())
}

/// This program, and what its configuration says. Without a configuration: the defaults.
fn ours(global: &Global, listen: Option<&str>) -> Result<Ours, CliError> {
    let config = if global.config.exists() { Some(global.load()?) } else { None };
    let program = std::env::current_exe().map_err(|error| {
        CliError::new(ExitCode::Io, "this program's own path can't be had").found(error.to_string())
    })?;
    let mut command = word(&program)?;
    if config.is_some() && global.config != Path::new("/etc/fog/fog.toml") {
        let path = std::path::absolute(&global.config).unwrap_or_else(|_| global.config.clone());
        command = format!("{command} --config {}", word(&path)?);
    }
    Ok(Ours {
        command,
        suffix: config.as_ref().map_or_else(|| "fog".to_owned(), |config| config.entry.suffix.clone()),
        listen: match (listen, config) {
            (Some(text), _) => told(text, global)?,
            (None, Some(config)) => config.node.listen,
            (None, None) => USUAL_LISTEN,
        },
    })
}

/// What was typed as the place where the node listens.
fn told(text: &str, global: &Global) -> Result<Listen, CliError> {
    let base = std::path::absolute(global.dir()).unwrap_or_else(|_| global.dir());
    parse_listen(text, &base).ok_or_else(|| {
        CliError::new(ExitCode::Usage, format!("--listen can't be {text:?}")).try_(format!("wanted: {LISTEN}"))
    })
}

/// Where Tor finds what listens there: every address is this machine's too.
fn reachable(listen: &Listen) -> Result<String, CliError> {
    let address = match listen {
        Listen::Unix(path) => return Ok(format!("unix:{}", word(path)?)),
        Listen::Inet(address) => address,
    };
    let here: SocketAddr = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => (Ipv4Addr::LOCALHOST, address.port()).into(),
        IpAddr::V6(ip) if ip.is_unspecified() => (Ipv6Addr::LOCALHOST, address.port()).into(),
        _ => *address,
    };
    Ok(here.to_string())
}

/// A path as a word of a command line, in master.cf, in Exim's shell and in torrc, where quoting is another each time.
fn word(path: &Path) -> Result<String, CliError> {
    let plain = |text: &&str| text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+".contains(c));
    path.to_str().filter(plain).map(str::to_owned).ok_or_else(|| {
        CliError::new(ExitCode::Usage, "a path in another program's configuration has letters, digits and /._-+ only")
            .found(path.display().to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_onion_leads_to_an_address() {
        for (listen, want) in [("0.0.0.0:9", "127.0.0.1:9"), ("[::]:9", "[::1]:9"), ("192.0.2.1:9", "192.0.2.1:9")] {
            assert_eq!(reachable(&Listen::Inet(listen.parse().unwrap())).unwrap(), want);
        }
        assert_eq!(reachable(&Listen::Unix("/run/fog/links.sock".into())).unwrap(), "unix:/run/fog/links.sock");
        assert_eq!(reachable(&Listen::Unix("/run/f og".into())).unwrap_err().exit, ExitCode::Usage);
    }

    #[test]
    fn a_path_that_would_need_quotes_is_refused() {
        for (path, want) in [
            ("/usr/bin/fog", true),
            ("/a b/fog", false),
            ("/a$b", false),
            ("/a;b", false),
            ("/\u{e9}", false),
            ("/a'", false),
        ] {
            assert_eq!(word(Path::new(path)).is_ok(), want, "{path}");
        }
    }
}
