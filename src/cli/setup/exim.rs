//! Exim: a router and a transport, in Debian's split configuration as files of their own, else as marked blocks.

use super::plan::{Check, Plan};
use super::{ADD_USER, NO_USER, Ours, Wanted, block};
use crate::cli::error::CliError;
use crate::sys::exit_code::ExitCode;
use std::path::{Path, PathBuf};

/// The snippets that are also there for doing it by hand.
const ROUTER: &str = include_str!("../../../exim/conf.d/router/180_fog");
const TRANSPORT: &str = include_str!("../../../exim/conf.d/transport/30_fog");

/// Instead of the router, when fog has gone: mail to .fog must neither ask the DNS nor go to a smarthost.
const GONE: &str = "\
### router/180_fog
#################################

# fog is not installed any more. Without this, mail to .fog would ask the DNS for its recipient's domain, or leave in clear.

fog:
  debug_print = \"R: fog\"
  driver = redirect
  domains = *.fog : fog.invalid
  allow_fail
  data = :fail: 550 5.1.2 fog is not installed here
  disable_logging
  no_more
";

/// How the configuration is laid out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Layout {
    /// Debian's conf.d: the two files, as they are now.
    Split { router: Option<String>, transport: Option<String> },
    /// One file: Debian's template, or one that is the operator's own.
    One { path: PathBuf, text: String },
}

/// An Exim as it is.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// /etc/exim4.
    pub(super) dir: PathBuf,
    pub(super) layout: Layout,
    /// update-exim4.conf.conf; empty if there is none.
    pub(super) answers: String,
    /// Whether Debian's update-exim4.conf makes the configuration that Exim reads.
    pub(super) generated: bool,
    /// Whether there is the user that the transport names: Exim refuses all of a configuration with one that isn't there.
    pub(super) has_user: bool,
    /// The daemon's process id, if it runs, so that it is to be told.
    pub(super) daemon: Option<u32>,
}

/// What makes `found` as `wanted`.
///
/// # Errors
/// Something is in the way that is not ours to change.
pub(super) fn plan(found: &Found, ours: &Ours, wanted: Wanted) -> Result<Plan, CliError> {
    if wanted == Wanted::Installed && !found.has_user {
        return Err(CliError::new(ExitCode::Config, NO_USER)
            .found("Exim would not start with a transport that names it. Nothing was changed")
            .try_(ADD_USER.replace("; ", "\n")));
    }
    let domains = format!("*.{} : fog.invalid", ours.suffix);
    let of = |text: &str| text.replace("*.fog : fog.invalid", &domains).replace("/usr/local/bin/fog", &ours.command);
    let mut plan = Plan::default();
    match &found.layout {
        Layout::Split { router, transport } => {
            let (at_router, at_transport) =
                (found.dir.join("conf.d/router/180_fog"), found.dir.join("conf.d/transport/30_fog"));
            let (new_router, new_transport) = match wanted {
                Wanted::Installed => (Some(of(ROUTER)), Some(of(TRANSPORT))),
                Wanted::Removed => (router.as_ref().map(|_| of(GONE)), None),
            };
            // The transport first, and taken away last: a router without it is no configuration.
            plan.file(&at_transport, transport.as_deref(), new_transport.as_deref());
            plan.file(&at_router, router.as_deref(), new_router.as_deref());
        }
        Layout::One { path, text } => {
            let new = match wanted {
                Wanted::Installed => with_blocks(path, text, &of(ROUTER), Some(&of(TRANSPORT)))?,
                Wanted::Removed if block::without(text) == *text => text.clone(),
                Wanted::Removed => with_blocks(path, text, &of(GONE), None)?,
            };
            plan.file(path, Some(text), Some(&new));
        }
    }
    if !plan.steps.is_empty() {
        finish(&mut plan, found, &ours.suffix, wanted);
    }
    if wanted == Wanted::Installed {
        plan.careful.extend(careful(found, &ours.suffix));
    }
    Ok(plan)
}

/// The file with our blocks: the router in front of all others, the transport in front of the others.
fn with_blocks(path: &Path, text: &str, router: &str, transport: Option<&str>) -> Result<String, CliError> {
    let clean = block::without(text);
    let put = |text: &str, line: &str, lines: &str| {
        block::behind(text, line, &block::marked(lines)).ok_or_else(|| {
            CliError::new(ExitCode::Config, format!("{} has no line `{line}`", path.display()))
                .found("fog's router or transport has no place there. Nothing was changed")
                .try_(format!("add a line `{line}`, or .include of the file that has it: the lines go there by hand"))
        })
    };
    let with_router = put(&clean, "begin routers", router)?;
    transport.map_or_else(|| Ok(with_router.clone()), |lines| put(&with_router, "begin transports", lines))
}

/// Has Exim look at the result, and read it.
fn finish(plan: &mut Plan, found: &Found, suffix: &str, wanted: Wanted) {
    let dir = found.dir.display().to_string();
    let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
    let usual = found.dir == Path::new("/etc/exim4");
    match &found.layout {
        _ if found.generated && usual => plan.check(words(&["update-exim4.conf"])),
        _ if found.generated => {
            let made = format!("{dir}/config.autogenerated");
            plan.check(words(&["update-exim4.conf", "-d", &dir, "-o", &made, "--check"]));
        }
        Layout::One { path, .. } => plan.check(words(&["exim4", "-C", &path.display().to_string(), "-bV"])),
        Layout::Split { .. } => {}
    }
    // A router of somebody else's that is in front would send it in clear, or ask the DNS for it.
    let route = ["-C".to_owned(), found.own_path(), "-bt".to_owned(), format!("fog@setup.example.{suffix}")];
    let place = if usual { 2 } else { 0 };
    if wanted == Wanted::Installed && (usual || !found.generated) {
        let argv = std::iter::once("exim4".to_owned()).chain(route.into_iter().skip(place)).collect();
        plan.checks.push(Check { argv, says: Some("router = fog, transport = fog_pipe".to_owned()) });
    }
    if let Some(pid) = found.daemon.filter(|_| usual) {
        plan.last.push(words(&["kill", "-HUP", &pid.to_string()]));
    }
}

impl Found {
    /// The one file of the configuration.
    fn own_path(&self) -> String {
        match &self.layout {
            Layout::One { path, .. } => path.display().to_string(),
            Layout::Split { .. } => String::new(),
        }
    }
}

/// What is wrong with the answers to Debian's questions, and is the operator's to decide.
fn careful(found: &Found, suffix: &str) -> Vec<String> {
    let answers = found.answers.lines().filter_map(|line| line.trim().split_once('='));
    let listed =
        answers.filter(|(name, _)| ["dc_relay_domains", "dc_other_hostnames"].contains(name)).filter(|(_, value)| {
            let mut domains = value.trim_matches(['\'', '"']).split([':', ';', ' ', '<']);
            domains.any(|domain| domain.trim_start_matches("*.").trim_start_matches('.') == suffix)
        });
    listed
        .map(|(name, _)| format!("{suffix} is in {name}: strangers can send through this node. Take it out"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::setup::plan::Step;

    const FILE: &str = "primary_hostname = x\nbegin acl\nbegin routers\n\ndnslookup:\n  driver = dnslookup\nbegin transports\nsmtp:\n  driver = smtp\n";

    fn ours() -> Ours {
        Ours { command: "/usr/bin/fog".into(), suffix: "anon".into(), listen: crate::config::USUAL_LISTEN }
    }

    fn one(text: &str) -> Found {
        let layout = Layout::One { path: "/etc/exim4/exim4.conf".into(), text: text.into() };
        Found {
            dir: "/etc/exim4".into(),
            layout,
            answers: String::new(),
            generated: false,
            has_user: true,
            daemon: Some(7),
        }
    }

    fn after(plan: &Plan) -> String {
        let [Step::File { after: Some(after), .. }] = plan.steps.as_slice() else { panic!("{:?}", plan.steps) };
        after.clone()
    }

    #[test]
    fn the_router_stands_before_all_others_and_goes_in_once() {
        let planned = plan(&one(FILE), &ours(), Wanted::Installed).unwrap();
        let text = after(&planned);
        let at = |what: &str| text.find(what).unwrap_or_else(|| panic!("no {what} in {text}"));
        assert!(at("begin routers") < at("\nfog:") && at("\nfog:") < at("dnslookup:"), "{text}");
        assert!(at("begin transports") < at("fog_pipe:") && at("domains = *.anon : fog.invalid") > 0, "{text}");
        assert!(text.contains("command = /usr/bin/fog send --bsmtp || exit 75\n"), "{text}");
        assert_eq!(plan(&one(&text), &ours(), Wanted::Installed).unwrap(), Plan::default());
        assert_eq!(planned.last, [["kill", "-HUP", "7"]]);
    }

    #[test]
    fn what_is_taken_back_leaves_a_router_that_refuses() {
        let with = after(&plan(&one(FILE), &ours(), Wanted::Installed).unwrap());
        let gone = after(&plan(&one(&with), &ours(), Wanted::Removed).unwrap());
        assert_eq!(block::without(&gone), FILE);
        assert!(
            gone.contains("data = :fail: 550 5.1.2 fog is not installed here") && !gone.contains("fog_pipe"),
            "{gone}"
        );
        assert!(gone.contains("*.anon : fog.invalid"), "{gone}");
        assert_eq!(plan(&one(&gone), &ours(), Wanted::Removed).unwrap(), Plan::default());
        assert_eq!(plan(&one(FILE), &ours(), Wanted::Removed).unwrap(), Plan::default());
        assert_eq!(after(&plan(&one(&gone), &ours(), Wanted::Installed).unwrap()), with);
    }

    #[test]
    fn split_files_are_made_and_taken_away() {
        let split = |router: Option<&str>, transport: Option<&str>| Found {
            layout: Layout::Split { router: router.map(str::to_owned), transport: transport.map(str::to_owned) },
            generated: true,
            ..one("")
        };
        let names = |plan: &Plan| -> Vec<(String, bool)> {
            let files = plan.steps.iter().filter_map(|step| match step {
                Step::File { path, after, .. } => Some((path.display().to_string(), after.is_some())),
                Step::Run(_) | Step::Secret { .. } => None,
            });
            files.collect()
        };
        let (router, transport) =
            ("/etc/exim4/conf.d/router/180_fog".to_owned(), "/etc/exim4/conf.d/transport/30_fog".to_owned());
        let plan_of = |found: &Found, wanted| names(&plan(found, &ours(), wanted).unwrap());
        assert_eq!(plan_of(&split(None, None), Wanted::Installed), [(transport.clone(), true), (router.clone(), true)]);
        assert_eq!(plan_of(&split(Some("x"), Some("y")), Wanted::Removed), [(transport, false), (router, true)]);
        assert_eq!(plan_of(&split(None, None), Wanted::Removed), []);
    }

    #[test]
    fn a_domain_that_lets_strangers_in_is_told() {
        for (answers, want) in [
            ("dc_relay_domains='a.org;*.anon'\n", 1),
            ("dc_other_hostnames='anon'\ndc_relay_domains='anon : a.org'\n", 2),
            ("dc_relay_domains='anon.org'\ndc_relay_nets='anon'\n", 0),
        ] {
            let found = Found { answers: answers.into(), ..one(FILE) };
            assert_eq!(plan(&found, &ours(), Wanted::Installed).unwrap().careful.len(), want, "{answers}");
        }
    }

    #[test]
    fn nothing_is_written_that_exim_would_not_start_with() {
        let found = Found { has_user: false, ..one(FILE) };
        assert!(plan(&found, &ours(), Wanted::Installed).unwrap_err().try_.unwrap().contains("useradd"));
        assert!(plan(&found, &ours(), Wanted::Removed).is_ok());
        for text in ["begin routers\n", "begin transports\n", ""] {
            assert!(plan(&one(text), &ours(), Wanted::Installed).unwrap_err().what.contains("has no line"), "{text}");
        }
    }
}
