//! Tor: an onion that leads to this node, and a SOCKS socket of the machine.

use super::client_auth::{self, ClientAuth, WE_COME_WITH};
use super::plan::Plan;
use super::{Ours, Wanted, block};
use crate::cli::error::CliError;
use crate::sys::exit_code::ExitCode;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Where the onion's key comes to lie.
const SERVICE: &str = "/var/lib/tor/fog";
/// The onion's port, the same for every node.
const PORT: u16 = 9999;
const SOCKET: &str = "unix:/run/tor/socks";

/// A Tor as it is.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    /// torrc.
    pub(super) path: PathBuf,
    /// What is in it; `None`: there is none.
    pub(super) torrc: Option<String>,
    /// What the distribution has in front of it.
    pub(super) defaults: Option<(PathBuf, String)>,
    /// Files with keys of client authorization that an earlier run has made.
    pub(super) keys: BTreeMap<PathBuf, Zeroizing<String>>,
}

/// What makes `found` as `wanted`. Never a restart: it cuts every circuit of the machine.
///
/// # Errors
/// torrc has an onion of this name that is not ours, or there is no torrc.
pub(super) fn plan(found: &Found, ours: &Ours, wanted: Wanted, auth: Option<&ClientAuth>) -> Result<Plan, CliError> {
    let mut plan = Plan::default();
    let Some(torrc) = &found.torrc else {
        return Err(CliError::new(ExitCode::NoInput, format!("{} is missing", found.path.display()))
            .found("nothing was changed")
            .try_("install Tor, or say where its configuration lies: fog setup tor --config-dir DIR"));
    };
    let rest = block::without(torrc);
    // What was closed stays closed, until it is undone.
    if auth.is_some() || wanted == Wanted::Removed {
        client_auth::plan(&mut plan, &found.keys, auth);
    }
    plan.careful.extend(auth.map(|auth| format!("all other nodes need this line in their file: {}", auth.told())));
    if wanted == Wanted::Removed {
        plan.file(&found.path, Some(torrc), Some(&rest));
        if !plan.steps.is_empty() {
            plan.careful.push(format!("{SERVICE} stays: its key is the onion's address"));
        }
    } else {
        if values(&rest, "HiddenServiceDir").any(|dir| dir.trim_end_matches('/') == SERVICE) {
            return Err(CliError::new(ExitCode::Config, format!("{} has {SERVICE} already", found.path.display()))
                .found("those lines are not fog's. Nothing was changed")
                .try_("take them out: this writes them anew, and the onion keeps its address"));
        }
        if values(&rest, "SocksPort").any(|value| value == "0") {
            return Err(CliError::new(ExitCode::Config, format!("{} has SocksPort 0", found.path.display()))
                .found("Tor takes no socket beside that, and fog needs one. Nothing was changed")
                .try_("take that line out"));
        }
        let mut lines = lines(found, &rest, &super::reachable(&ours.listen)?);
        if auth.is_some() || !found.keys.is_empty() {
            lines += &format!("ClientOnionAuthDir {WE_COME_WITH}\n");
        }
        // A service's lines belong to the last HiddenServiceDir above them: only at the end can ours not cut another in two.
        let gap = if rest.is_empty() || rest.ends_with('\n') { "" } else { "\n" };
        let new = format!("{rest}{gap}{}", block::marked(&lines));
        let settled = torrc.contains(block::marked(&lines).as_str());
        plan.file(&found.path, Some(torrc), Some(if settled { torrc } else { &new }));
    }
    if !plan.steps.is_empty() {
        plan.check(check(found));
        plan.then.push("systemctl reload tor".to_owned());
        if wanted == Wanted::Installed {
            plan.then
                .push(format!("cat {SERVICE}/hostname    # the address for fog init --onion, with :{PORT} behind it"));
            plan.then.push(
                "adduser fog debian-tor    # or who else the node runs as: the socket is for that group".to_owned(),
            );
            plan.then.push(format!("in fog.toml, table [tor]: socks = \"{SOCKET}\", which is the default"));
        }
    }
    Ok(plan)
}

fn lines(found: &Found, rest: &str, listen: &str) -> String {
    let mut lines = format!("HiddenServiceDir {SERVICE}\nHiddenServicePort {PORT} {listen}\n");
    let defaults = found.defaults.as_ref().map_or("", |(_, text)| text);
    let own: Vec<_> = values(rest, "SocksPort").collect();
    // Lines of torrc stand in place of the defaults' of that name, unless they begin with a plus.
    let of_defaults = values(defaults, "SocksPort").filter(|_| own.is_empty());
    let in_force = own.iter().copied().chain(of_defaults).chain(values(rest, "+SocksPort"));
    if !in_force.into_iter().any(is_socket) {
        // Debian's /run/tor can be entered by all, and Tor opens no socket there that isn't for a group or for all. Streams are
        // kept apart by name and password anyway; said here, since fog lives by it.
        let flags = "GroupWritable RelaxDirModeCheck OnionTrafficOnly IsolateSOCKSAuth ExtendedErrors";
        lines += &format!("+SocksPort {SOCKET} {flags}\n");
    }
    lines
}

fn is_socket(value: &str) -> bool {
    value.split_whitespace().next().is_some_and(|first| first.trim_matches('"') == SOCKET)
        && !value.contains("NoIsolateSOCKSAuth")
}

/// The values of an option, which Tor knows in any case.
fn values<'a>(text: &'a str, option: &'a str) -> impl Iterator<Item = &'a str> {
    text.lines().filter_map(move |line| {
        let line = line.split('#').next()?.trim();
        let (name, value) = line.split_once([' ', '\t'])?;
        name.eq_ignore_ascii_case(option).then(|| value.trim())
    })
}

fn check(found: &Found) -> Vec<String> {
    let path = |path: &Path| path.display().to_string();
    let mut argv =
        vec!["tor".to_owned(), "--verify-config".to_owned(), "--hush".to_owned(), "-f".to_owned(), path(&found.path)];
    if let Some((defaults, _)) = &found.defaults {
        argv.extend(["--defaults-torrc".to_owned(), path(defaults)]);
    }
    argv
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::setup::plan::Step;
    use crate::config::USUAL_LISTEN;

    const DEFAULTS: &str = "User debian-tor\nSocksPort unix:/run/tor/socks WorldWritable\nSocksPort 9050\n";

    fn ours() -> Ours {
        Ours { command: String::new(), suffix: String::new(), listen: USUAL_LISTEN }
    }

    fn found(torrc: &str, defaults: &str) -> Found {
        Found {
            path: "/etc/tor/torrc".into(),
            torrc: Some(torrc.into()),
            defaults: Some(("/d".into(), defaults.into())),
            keys: BTreeMap::new(),
        }
    }

    fn after(found: &Found, wanted: Wanted) -> Option<String> {
        let plan = plan(found, &ours(), wanted, None).unwrap();
        plan.steps.into_iter().find_map(|step| if let Step::File { after, .. } = step { after } else { None })
    }

    #[test]
    fn a_socket_is_added_where_there_is_none() {
        let onion = "HiddenServiceDir /var/lib/tor/fog\nHiddenServicePort 9999 127.0.0.1:9999\n";
        let socket = "+SocksPort unix:/run/tor/socks GroupWritable RelaxDirModeCheck OnionTrafficOnly \
            IsolateSOCKSAuth ExtendedErrors\n";
        for (torrc, defaults, adds) in [
            ("", DEFAULTS, false),
            ("# SocksPort 9050\n", DEFAULTS, false),
            ("SocksPort 9050\n", DEFAULTS, true),
            ("SocksPort unix:/run/tor/socks\nSocksPort 9050\n", "", false),
            ("SocksPort unix:/run/tor/socks NoIsolateSOCKSAuth\n", "", true),
            ("+SocksPort unix:/run/tor/socks\n", "SocksPort 9050\n", false),
            ("SocksPort 9050\n+SocksPort unix:/run/tor/socks\n", "", false),
            ("", "", true),
        ] {
            let text = after(&found(torrc, defaults), Wanted::Installed).unwrap();
            let want = format!("{onion}{}", if adds { socket } else { "" });
            assert!(text.ends_with(&block::marked(&want)), "{torrc}: {text}");
            assert_eq!(after(&found(&text, defaults), Wanted::Installed), None, "again");
            let back = after(&found(&text, defaults), Wanted::Removed).unwrap();
            assert_eq!(back.trim_end(), torrc.trim_end());
            assert_eq!(after(&found(&back, defaults), Wanted::Removed), None);
        }
    }

    #[test]
    fn an_onion_of_that_name_that_is_not_ours_is_left_alone() {
        let error =
            plan(&found("hiddenservicedir /var/lib/tor/fog/\n", ""), &ours(), Wanted::Installed, None).unwrap_err();
        assert!(error.what.contains("already"), "{error}");
        let no_socket = plan(&found("socksport 0\n", DEFAULTS), &ours(), Wanted::Installed, None).unwrap_err();
        assert!(no_socket.what.contains("SocksPort 0"), "{no_socket}");
        let none = Found { torrc: None, ..found("", "") };
        assert!(plan(&none, &ours(), Wanted::Installed, None).unwrap_err().what.contains("missing"));
    }
}
