//! `[milter]`: the MTA's mail filter.

use super::rules::Subnet;
use super::settings::Settings;
use super::{ConfigError, path_under};
use core::net::SocketAddr;
use std::fmt;
use std::path::{Path, PathBuf};

/// How `fog milter` meets the MTA.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Milter {
    /// Where the MTA finds it.
    pub listen: Listen,
    /// What becomes of a mail all of which goes through the network.
    pub on_full_divert: FullDivert,
    /// What becomes of a mail to addresses inside and outside the network.
    pub mixed: Mixed,
    /// Whose clients may write into the network without a password.
    pub networks: Vec<Subnet>,
}

/// Where a daemon of ours is called.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Listen {
    /// A socket in a directory that whoever calls can enter.
    Unix(PathBuf),
    /// A port; the milter's is one of loopback: what goes through it is read by nobody else.
    Inet(SocketAddr),
}

/// As `node.listen` has it, and Tor's `HiddenServicePort`.
impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Inet(address) => address.fmt(f),
        }
    }
}

/// What the MTA is told of a mail all of which has gone through the network.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FullDivert {
    /// To take the recipients and the sender out, so that nothing is left; its log names neither.
    Erase,
    /// To throw it away at once; later milters don't see it, and its log names a recipient.
    Discard,
}

/// What becomes of a mail to addresses inside and outside the network.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mixed {
    /// Each recipient's goes its way.
    Split,
    /// It is refused.
    Reject,
}

pub(super) fn milter(settings: &Settings, base: &Path) -> Result<Milter, ConfigError> {
    let wanted = "unix:PATH, or inet: with an IP address of loopback and a port, as in inet:127.0.0.1:8899";
    let default = Listen::Unix("/var/spool/postfix/fog/milter.sock".into());
    let networks = settings.items("milter.networks", "a list of networks as in 192.168.7.0/24", Subnet::parse)?;
    Ok(Milter {
        listen: settings.or("milter.listen", default, wanted, |text| listen(text, base))?,
        on_full_divert: settings.or(
            "milter.on-full-divert",
            FullDivert::Erase,
            "erase or discard",
            |text| match text {
                "erase" => Some(FullDivert::Erase),
                "discard" => Some(FullDivert::Discard),
                _ => None,
            },
        )?,
        mixed: settings.or("milter.mixed", Mixed::Split, "split or reject", |text| match text {
            "split" => Some(Mixed::Split),
            "reject" => Some(Mixed::Reject),
            _ => None,
        })?,
        networks: networks.unwrap_or_else(loopback),
    })
}

fn loopback() -> Vec<Subnet> {
    ["127.0.0.0/8", "::1"].into_iter().filter_map(Subnet::parse).collect()
}

fn listen(text: &str, base: &Path) -> Option<Listen> {
    match text.split_once(':')? {
        ("unix", path) => path_under(base)(path).map(Listen::Unix),
        ("inet", at) => at
            .parse()
            .ok()
            .filter(|at: &SocketAddr| at.port() != 0 && at.ip().to_canonical().is_loopback())
            .map(Listen::Inet),
        _ => None,
    }
}
