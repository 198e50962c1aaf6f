//! Exim as it is configured: whether mail for the network gets into fog, by no other way, and without a trace that need not
//! be.
//!
//! What is asked of the real Exim is in [`Exim::ask`]; what it means is decided by [`findings`] alone.

use super::super::main_cf::has_suffix;
use super::finding::Finding;
use super::{Fog, run_program};
use crate::directory::units::parse_size;
use std::collections::BTreeMap;
use std::io;
use std::process::Command;

/// The program, as Debian calls it and as Exim itself does.
const NAMES: [&str; 2] = ["exim4", "exim"];

/// The options of all of it that are asked for.
const MAIN: [&str; 4] = ["log_file_path", "log_selector", "message_size_limit", "spool_directory"];

/// Lists of domains that Exim takes mail for from anybody, by the names that Debian gives them.
const OPEN: [&str; 2] = ["local_domains", "relay_to_domains"];

/// What of the log selector writes down more than the log need have.
const TELLING: [(&str, &str); 4] = [
    ("received_recipients", "the line that names the sender names the recipients too"),
    ("subject", "the log has the subject of each mail"),
    ("arguments", "the log has what sendmail is called with, recipients too"),
    ("all", "the log has recipients and subjects"),
];

/// What Exim says of itself.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Exim {
    /// What it is called.
    pub(super) program: &'static str,
    /// `Exim version 4.96 #2 built ...`
    version: String,
    /// What `exim -bt` says of an address of the network.
    route: String,
    /// The options of fog's router and transport: `user` and its value, a flag with an empty one.
    router: BTreeMap<String, String>,
    transport: BTreeMap<String, String>,
    /// Whether fog's router is there at all.
    has_router: bool,
    main: BTreeMap<String, String>,
    /// The lists of domains, by name.
    lists: BTreeMap<String, String>,
}

impl Exim {
    /// What the Exim of this machine is called; none if there isn't one.
    pub(super) fn program() -> Option<&'static str> {
        let named =
            |name: &&&str| !matches!(exim(name, &["-bV"]), Err(error) if error.kind() == io::ErrorKind::NotFound);
        NAMES.iter().find(named).copied()
    }

    /// Asks the Exim of this machine; none if there isn't one.
    pub(super) fn ask(suffix: &str) -> io::Result<Option<Self>> {
        let Some(program) = Self::program() else { return Ok(None) };
        let version = exim(program, &["-bV"])?;
        // An address that can't be routed ends in an error, and that is an answer too.
        let route = super::output(Command::new(program).args(["-bt", &format!("somebody@example.com.{suffix}")]))?;
        let routers = exim(program, &["-bP", "router_list"])?;
        let mut found = Self {
            program,
            version: version.lines().next().unwrap_or_default().to_owned(),
            route: String::from_utf8_lossy(&route.stdout).into_owned(),
            has_router: routers.lines().any(|name| name.trim() == "fog"),
            main: options(&exim(program, &[&["-bP"][..], &MAIN].concat())?),
            ..Self::default()
        };
        if let Some((router, transport)) = found.way() {
            found.router = options(&exim(program, &["-bP", "router", &router])?);
            found.transport = options(&exim(program, &["-bP", "transport", &transport])?);
        }
        for list in OPEN {
            // A configuration of one's own need not have it.
            if let Ok(domains) = exim(program, &["-bP", &format!("+{list}")]) {
                found.lists.insert(list.to_owned(), domains);
            }
        }
        Ok(Some(found))
    }

    /// The router and the transport that mail to the network goes by.
    fn way(&self) -> Option<(String, String)> {
        self.route.lines().find_map(|line| {
            let (router, transport) = line.trim().strip_prefix("router = ")?.split_once(", transport = ")?;
            Some((router.to_owned(), transport.to_owned()))
        })
    }

    pub(super) fn value(&self, name: &str) -> &str {
        self.main.get(name).map_or("", String::as_str)
    }

    fn command(&self) -> &str {
        self.transport.get("command").map_or("", String::as_str)
    }

    /// Whether mail to the network gets into fog.
    pub(super) fn goes_to_fog(&self) -> bool {
        self.command().contains("send --bsmtp")
    }
}

/// `name = value` a line, or a flag: `use_bsmtp`, `no_use_bsmtp`.
fn options(said: &str) -> BTreeMap<String, String> {
    let option = |line: &str| {
        let (name, value) = line.split_once('=').unwrap_or((line, ""));
        (name.trim().to_owned(), value.trim().to_owned())
    };
    said.lines().map(option).filter(|(name, _)| !name.is_empty()).collect()
}

fn exim(program: &str, arguments: &[&str]) -> io::Result<String> {
    run_program(Command::new(program).args(arguments))
}

/// What there is to say of it.
pub(super) fn findings(exim: &Exim, fog: &Fog<'_>) -> Vec<Finding> {
    let mut found = vec![route(exim, fog)];
    if exim.goes_to_fog() {
        found.extend(pipe(exim));
    }
    found.extend(open_relay(exim, fog));
    found.extend(log(exim));
    found.extend(size(exim, fog));
    found
}

fn wrong(says: impl Into<String>, hint: impl Into<String>) -> Finding {
    Finding::wrong("exim", says).hint(hint)
}

fn route(exim: &Exim, fog: &Fog<'_>) -> Finding {
    let suffix = fog.suffix;
    match exim.way() {
        Some(_) if exim.goes_to_fog() => {
            Finding::good("exim", format!("mail to .{suffix} goes to fog ({})", exim.version))
        }
        Some((router, transport)) if exim.has_router => wrong(
            format!("mail to .{suffix} goes by router {router} and transport {transport}, in front of fog's"),
            format!(
                "put fog's router in front of {router}; in Debian's split configuration the number in its name says where"
            ),
        ),
        Some((router, transport)) => wrong(
            format!("mail to .{suffix} goes by router {router} and transport {transport}, not to fog"),
            "fog setup exim --apply",
        ),
        None if exim.has_router => wrong(
            format!("mail to .{suffix} goes nowhere, though there is a router fog: a router in front of it refuses"),
            format!("{} -bt somebody@example.com.{suffix}", exim.program),
        ),
        None => wrong(
            format!("mail to .{suffix} is not for fog: Exim asks the DNS for its domain and bounces it"),
            "fog setup exim --apply",
        ),
    }
}

fn pipe(exim: &Exim) -> Vec<Finding> {
    let mut found = Vec::new();
    let again = "fog setup exim --apply";
    let flag = |name: &str| exim.transport.contains_key(name);
    if !flag("use_bsmtp") {
        found.push(wrong("fog's transport has no use_bsmtp: the recipient would not reach fog", again));
    }
    let command = exim.command();
    if ["$local_part", "$domain", "$sender", "$pipe_addresses", "$recipients", "${local_part", "${domain", "${sender"]
        .iter()
        .any(|name| command.contains(name))
    {
        let says = "fog's transport shows addresses in its arguments, which everybody on the machine can read";
        found.push(wrong(says, again));
    }
    let value = |name: &str| exim.transport.get(name).map_or("", String::as_str);
    if value("temp_errors") != "*" || !flag("timeout_defer") {
        let says = "fog's transport bounces mail, with all of it, when the node is away";
        found.push(wrong(says, format!("it takes `temp_errors = *` and `timeout_defer`: {again}")));
    }
    if ["", "root", "0"].contains(&value("user")) {
        found.push(wrong(
            "fog's transport runs as root, or as whom the mail is for",
            format!("user = fog-mta: {again}"),
        ));
    }
    for (what, options) in [("router", &exim.router), ("transport", &exim.transport)] {
        if !options.contains_key("disable_logging") {
            let says = format!("fog's {what} has no disable_logging: the log joins sender and recipient");
            found.push(wrong(says, again));
        }
    }
    if found.is_empty() {
        found.push(Finding::good(
            "exim",
            "its transport keeps addresses out of arguments and log, and mail in the queue",
        ));
    }
    found
}

fn open_relay(exim: &Exim, fog: &Fog<'_>) -> Vec<Finding> {
    let lists = exim.lists.iter().filter(|(_, domains)| {
        let domains = domains.split_once('=').map_or(domains.as_str(), |(_, domains)| domains);
        has_suffix(&domains.replace([':', ';', '*'], " "), fog.suffix)
    });
    lists
        .map(|(name, _)| {
            wrong(
                format!("{name} has .{}: strangers may send through fog", fog.suffix),
                "take it out: dc_relay_domains and dc_other_hostnames in /etc/exim4/update-exim4.conf.conf",
            )
        })
        .collect()
}

fn log(exim: &Exim) -> Vec<Finding> {
    let mut on: Vec<&str> = Vec::new();
    for word in exim.value("log_selector").split_whitespace() {
        match (word.strip_prefix('+'), word.strip_prefix('-')) {
            (Some(name), _) => on.push(name),
            (_, Some("all")) => on.clear(),
            (_, Some(name)) => on.retain(|on| *on != name),
            _ => {}
        }
    }
    let telling = TELLING.iter().filter(|(name, _)| on.contains(name));
    telling
        .map(|(name, says)| {
            wrong(format!("log_selector has +{name}: {says}"), format!("put -{name} at the end of log_selector"))
        })
        .collect()
}

fn size(exim: &Exim, fog: &Fog<'_>) -> Option<Finding> {
    let limit = parse_size(exim.value("message_size_limit")).filter(|limit| *limit != 0)?;
    let network = fog.max_size.filter(|network| limit < *network)?;
    let says = format!("message_size_limit is {limit}, the network takes mail of {network} bytes");
    Some(Finding::careful("exim", says).hint(format!("message_size_limit = {network}")))
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;

    /// As `fog setup exim` leaves it.
    fn exim() -> Exim {
        Exim {
            program: "exim4",
            version: "Exim version 4.96".to_owned(),
            route: "somebody@example.com.fog\n  router = fog, transport = fog_pipe\n".to_owned(),
            has_router: true,
            router: options("disable_logging\ndomains = *.fog : fog.invalid\n"),
            transport: options(
                "command = /usr/bin/fog send --bsmtp || exit 75\ndisable_logging\ntemp_errors = *\ntimeout_defer\n\
                 use_bsmtp\nuser = fog-mta\n",
            ),
            main: options("log_selector = +tls_peerdn\nmessage_size_limit = 50M\nspool_directory = /var/spool/exim4\n"),
            lists: BTreeMap::from([
                ("local_domains".to_owned(), "domainlist local_domains = @:localhost:home.org".to_owned()),
                ("relay_to_domains".to_owned(), "domainlist relay_to_domains = notfog".to_owned()),
            ]),
        }
    }

    fn bad(exim: &Exim) -> Vec<(State, String)> {
        let found = findings(exim, &Fog { suffix: "fog", max_size: Some(1 << 20) });
        found.into_iter().filter(|found| found.state > State::Good).map(|found| (found.state, found.says)).collect()
    }

    #[test]
    fn what_setup_leaves_is_good() {
        assert_eq!(bad(&exim()), []);
    }

    #[test]
    fn each_thing_that_is_broken_has_its_sentence() {
        let without = |name: &'static str| {
            move |exim: &mut Exim| {
                exim.transport.remove(name);
            }
        };
        type Way = (&'static str, Box<dyn Fn(&mut Exim)>);
        let ways: [Way; 11] = [
            ("is not for fog", Box::new(|exim| *exim = Exim { lists: exim.lists.clone(), ..Exim::default() })),
            (
                "a router in front of it refuses",
                Box::new(|exim| {
                    exim.route = "somebody@example.com.fog is undeliverable: no\n".to_owned();
                    exim.transport.clear();
                }),
            ),
            (
                "goes by router all and transport smtp, in front of fog's",
                Box::new(|exim| {
                    exim.route = exim.route.replace("= fog,", "= all,").replace("fog_pipe", "smtp");
                    exim.transport.clear();
                }),
            ),
            ("no use_bsmtp", Box::new(without("use_bsmtp"))),
            ("bounces mail", Box::new(without("temp_errors"))),
            ("runs as root", Box::new(without("user"))),
            ("fog's transport has no disable_logging", Box::new(without("disable_logging"))),
            (
                "shows addresses",
                Box::new(|exim| {
                    exim.transport.insert("command".to_owned(), "fog send --bsmtp $local_part".to_owned());
                }),
            ),
            (
                "log_selector has +subject",
                Box::new(|exim| {
                    exim.main.insert("log_selector".to_owned(), "+all -all +subject +arguments -arguments".to_owned());
                }),
            ),
            (
                "relay_to_domains has .fog",
                Box::new(|exim| {
                    exim.lists.insert(
                        "relay_to_domains".to_owned(),
                        "domainlist relay_to_domains = a.org : *.fog".to_owned(),
                    );
                }),
            ),
            (
                "message_size_limit is 524288",
                Box::new(|exim| {
                    exim.main.insert("message_size_limit".to_owned(), "512K".to_owned());
                }),
            ),
        ];
        for (says, how) in ways {
            let mut broken = exim();
            how(&mut broken);
            let [(state, said)] = bad(&broken).try_into().unwrap_or_else(|found| panic!("{says}: {found:?}"));
            let wanted = if says.starts_with("message") { State::Careful } else { State::Wrong };
            assert!(state == wanted && said.contains(says), "{says}: {said}");
        }
    }
}
