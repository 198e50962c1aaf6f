//! Postfix: the pipe for every mail to .fog, the milter that keeps its log clean, the listener for an exit.

use super::plan::{Plan, Step};
use super::{ADD_USER, NO_USER, Ours, Wanted};
use crate::cli::error::CliError;
use crate::cli::main_cf::{self, COPIES, OPEN, RESTRICTIONS, asks_the_dns, has_suffix};
use crate::cli::master_cf::{self, Service};
use crate::sys::exit_code::ExitCode;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The snippets that are also there for doing it by hand.
const ENTRY: &str = include_str!("../../../postfix/master.cf");
const EXIT: &str = include_str!("../../../postfix/exit-master.cf");
const HEADER_CHECKS: &str = include_str!("../../../postfix/fog_header_checks");

/// Relative to the queue directory, which is right inside a chroot and outside.
pub(super) const MILTER_SOCKET: &str = "fog/milter.sock";
const MILTER: &str = "{ unix:fog/milter.sock, connect_timeout=5s, command_timeout=60s, default_action=tempfail }";
/// The listener for an exit, as `exit.deliver` has it.
pub(super) const LISTENER: &str = "smtp:127.0.0.1:10027";
const LIMIT: &str = "fog_destination_recipient_limit";

/// The parameters that [`Found::values`] has to hold.
pub(super) const PARAMETERS: [&str; 19] = [
    "transport_maps",
    "smtpd_milters",
    "non_smtpd_milters",
    LIMIT,
    "parent_domain_matches_subdomains",
    "relay_domains",
    "mydestination",
    "virtual_alias_domains",
    "virtual_mailbox_domains",
    "smtpd_client_restrictions",
    "smtpd_helo_restrictions",
    "smtpd_sender_restrictions",
    "smtpd_relay_restrictions",
    "smtpd_recipient_restrictions",
    "always_bcc",
    "sender_bcc_maps",
    "recipient_bcc_maps",
    "receive_override_options",
    "smtpd_milter_maps",
];

/// The services of master.cf that [`Found::services`] has to hold, if they are there.
pub(super) const SERVICES: [&str; 3] = ["fog/unix", "127.0.0.1:10027/inet", "fogcleanup/unix"];

/// A Postfix as it is.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    /// Where main.cf and master.cf lie.
    pub(super) dir: PathBuf,
    /// [`PARAMETERS`], as written; absent if unknown.
    pub(super) values: BTreeMap<String, String>,
    /// [`SERVICES`], words with one blank between.
    pub(super) services: BTreeMap<String, String>,
    /// The tables of transport_maps, ours left out, that have an answer for mail to .fog.
    pub(super) taken_by: Vec<String>,
    /// All services of master.cf.
    pub(super) master: Vec<Service>,
    /// `fog_header_checks`, if there is one.
    pub(super) header_checks: Option<String>,
    /// Whether a milter answers on its socket.
    pub(super) milter_listens: bool,
    /// Whether there is the user that the pipe runs as.
    pub(super) has_user: bool,
    /// Whether it runs, so that it is to be told.
    pub(super) runs: bool,
}

/// What makes `found` as `wanted`.
///
/// # Errors
/// Something is in the way that is not ours to change.
pub(super) fn plan(found: &Found, ours: &Ours, wanted: Wanted, exit: bool) -> Result<Plan, CliError> {
    let mut plan = Plan::default();
    match wanted {
        Wanted::Installed => install(&mut plan, found, ours, exit)?,
        Wanted::Removed => remove(&mut plan, found, ours),
    }
    if plan.steps.iter().any(|step| matches!(step, Step::Run(_))) {
        plan.touched = ["main.cf", "master.cf"].map(|name| found.dir.join(name)).to_vec();
    }
    if !plan.steps.is_empty() {
        plan.check(found.command("postfix", &["check"]));
        if found.runs {
            plan.last.push(found.command("postfix", &["reload"]));
        }
    }
    Ok(plan)
}

fn install(plan: &mut Plan, found: &Found, ours: &Ours, exit: bool) -> Result<(), CliError> {
    if !found.taken_by.is_empty() {
        let what = format!("a table of transport_maps sends mail to .{} elsewhere", ours.suffix);
        return Err(CliError::new(ExitCode::Config, what)
            .found(format!("{}; it would win over fog's. Nothing was changed", found.taken_by.join(", ")))
            .try_(format!("except .{} in it, then run this again", ours.suffix)));
    }
    let entry = ENTRY.replace("/usr/local/bin/fog", &ours.command);
    install_services(plan, found, &entry, "send --mta")?;
    if exit {
        let checks = found.dir.join("fog_header_checks");
        plan.file(&checks, found.header_checks.as_deref(), Some(HEADER_CHECKS));
        let listener = EXIT.replace("/etc/postfix/fog_header_checks", &checks.display().to_string());
        install_services(plan, found, &listener, "fogcleanup")?;
        plan.then.push(format!("in fog.toml, table [exit]: deliver = \"{LISTENER}\""));
    }
    found.set(plan, LIMIT, "1");
    let table = table(found, ours, "fog:");
    found.set(plan, "transport_maps", &main_cf::with(found.value("transport_maps"), is_table, Some(&table)));
    for list in ["smtpd_milters", "non_smtpd_milters"] {
        // By way of the other list; asked twice, it would see what it has taken as a mail without recipients.
        let other = main_cf::members(found.value(list)).iter().any(|member| member == "$smtpd_milters");
        // One that is in the list stays there though it is not running: to take it out would be to log in clear.
        if found.milter_listens || main_cf::members(found.value(list)).iter().any(|member| is_milter(member)) {
            found.set(plan, list, &main_cf::with(found.value(list), is_milter, (!other).then_some(MILTER)));
        }
    }
    plan.careful.extend(careful(found, &ours.suffix));
    Ok(())
}

fn remove(plan: &mut Plan, found: &Found, ours: &Ours) {
    if main_cf::members(found.value("transport_maps")).iter().any(|member| is_table(member)) {
        // Never nothing: mail to .fog would ask the DNS for its recipient's domain, or go to the relay in clear.
        let table = table(found, ours, "error:5.1.2 fog is not installed here");
        found.set(plan, "transport_maps", &main_cf::with(found.value("transport_maps"), is_table, Some(&table)));
    }
    for list in ["smtpd_milters", "non_smtpd_milters"] {
        found.set(plan, list, &main_cf::with(found.value(list), is_milter, None));
    }
    if found.values.contains_key(LIMIT) {
        plan.steps.push(Step::Run(found.command("postconf", &["-X", LIMIT])));
    }
    for (name, mark) in [("fog/unix", "send --mta"), ("127.0.0.1:10027/inet", "fogcleanup"), ("fogcleanup/unix", "")] {
        if found.services.get(name).is_some_and(|service| service.contains(mark)) {
            plan.steps.push(Step::Run(found.command("postconf", &["-M", "-X", name])));
        }
    }
    if found.header_checks.as_deref() == Some(HEADER_CHECKS) {
        plan.file(&found.dir.join("fog_header_checks"), Some(HEADER_CHECKS), None);
    }
}

/// Adds the services of `snippet`. One of that name that hasn't `mark` in it is somebody else's.
fn install_services(plan: &mut Plan, found: &Found, snippet: &str, mark: &str) -> Result<(), CliError> {
    for (name, service) in services(snippet) {
        match found.services.get(&name) {
            Some(there) if *there == service => {}
            Some(there) if !there.contains(mark) && name != "fogcleanup/unix" => {
                return Err(CliError::new(
                    ExitCode::Config,
                    format!("master.cf has a service {name} that is not fog's"),
                )
                .found(format!("{there}\nNothing was changed"))
                .try_("give it another name, or another port"));
            }
            _ => plan.steps.push(Step::Run(found.command("postconf", &["-M", "-e", &format!("{name}={service}")]))),
        }
    }
    Ok(())
}

/// The services of a piece of master.cf, `NAME/TYPE` and its words.
fn services(snippet: &str) -> Vec<(String, String)> {
    let mut found: Vec<Vec<&str>> = Vec::new();
    for line in snippet.lines().filter(|line| !line.starts_with('#')) {
        match found.last_mut() {
            Some(last) if line.starts_with([' ', '\t']) => last.extend(line.split_whitespace()),
            _ => found.push(line.split_whitespace().collect()),
        }
    }
    let named = found.into_iter().filter_map(|words| {
        let (name, kind) = (words.first()?, words.get(1)?);
        Some((format!("{name}/{kind}"), words.join(" ")))
    });
    named.collect()
}

fn table(found: &Found, ours: &Ours, to: &str) -> String {
    // transport(5): with transport_maps in that list, `.fog` is never looked up.
    let parents = main_cf::members(found.value("parent_domain_matches_subdomains"));
    let dot = if parents.iter().any(|list| list == "transport_maps") { "" } else { "." };
    format!("inline:{{ {{{dot}{} = {to}}}, {{fog.invalid = {to}}} }}", ours.suffix)
}

fn is_table(member: &str) -> bool {
    member.starts_with("inline:") && member.contains("{fog.invalid = ")
}

fn is_milter(member: &str) -> bool {
    member.contains(MILTER_SOCKET)
}

impl Found {
    fn value(&self, name: &str) -> &str {
        self.values.get(name).map_or("", String::as_str)
    }

    /// A program of Postfix, for this configuration.
    fn command(&self, program: &str, arguments: &[&str]) -> Vec<String> {
        let place = self.dir.display().to_string();
        let place = if self.dir == Path::new("/etc/postfix") { vec![] } else { vec!["-c".to_owned(), place] };
        let arguments = arguments.iter().map(|&argument| argument.to_owned());
        std::iter::once(program.to_owned()).chain(place).chain(arguments).collect()
    }

    /// Adds what gives `name` this value; empty is the default of all that we change.
    fn set(&self, plan: &mut Plan, name: &str, value: &str) {
        if value == self.value(name) {
            return;
        }
        let step = if value.is_empty() {
            self.command("postconf", &["-X", name])
        } else {
            self.command("postconf", &["-e", &format!("{name} = {value}")])
        };
        plan.steps.push(Step::Run(step));
    }
}

/// What is wrong with the rest of the configuration, and is the operator's to decide.
fn careful(found: &Found, suffix: &str) -> Vec<String> {
    let mut careful = Vec::new();
    if !found.milter_listens {
        careful.push(
            "no milter answers, and without it Postfix logs who wrote to whom: \
             systemctl enable --now fog-milter, and run this again"
                .to_owned(),
        );
    }
    if !found.has_user {
        careful.push(format!("{NO_USER}: until then Postfix keeps all mail to .{suffix}. {ADD_USER}"));
    }
    for gap in master_cf::gaps(&found.master, |name| found.value(name), is_milter) {
        careful.push(format!("{}: it takes mail in that fog's milter does not see", gap.says()));
    }
    for list in RESTRICTIONS {
        if asks_the_dns(found.value(list)) {
            careful.push(format!(
                "{list} asks the DNS for the recipient's domain: \
                 put permit_mynetworks, permit_sasl_authenticated before reject_unknown_recipient_domain"
            ));
        }
    }
    for list in OPEN {
        if has_suffix(found.value(list), suffix) {
            careful.push(format!("{suffix} is in {list}: strangers can send through this node. Take it out"));
        }
    }
    for copy in COPIES.iter().filter(|copy| !found.value(copy).is_empty()) {
        careful.push(format!("{copy} gets every mail in clear, those to .{suffix} too"));
    }
    careful
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours() -> Ours {
        Ours { command: "/usr/bin/fog".into(), suffix: "fog".into(), listen: crate::config::USUAL_LISTEN }
    }

    fn found(values: &[(&str, &str)]) -> Found {
        let values = values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Found { dir: "/etc/postfix".into(), values, milter_listens: true, has_user: true, ..Found::default() }
    }

    fn runs(plan: &Plan) -> Vec<String> {
        let runs = plan.steps.iter().filter_map(|step| match step {
            Step::Run(argv) => Some(argv.join(" ")),
            Step::File { .. } | Step::Secret { .. } => None,
        });
        runs.collect()
    }

    const TABLE: &str = "inline:{ {.fog = fog:}, {fog.invalid = fog:} }";
    const GONE: &str = "inline:{ {.fog = error:5.1.2 fog is not installed here}, {fog.invalid = error:5.1.2 fog is not installed here} }";

    #[test]
    fn lists_that_are_there_are_added_to() {
        let found = found(&[("transport_maps", "hash:/etc/postfix/transport"), ("smtpd_milters", "unix:a inet:b")]);
        let plan = plan(&found, &ours(), Wanted::Installed, false).unwrap();
        assert_eq!(
            runs(&plan),
            [
                "postconf -M -e fog/unix=fog unix - n n - 4 pipe -o syslog_name=postfix/fog flags=DORq null_sender= \
                 user=fog-mta:fog-submit argv=/usr/bin/fog send --mta --queue-id ${queue_id}",
                "postconf -e fog_destination_recipient_limit = 1",
                &format!("postconf -e transport_maps = hash:/etc/postfix/transport, {TABLE}"),
                &format!("postconf -e smtpd_milters = unix:a, inet:b, {MILTER}"),
                &format!("postconf -e non_smtpd_milters = {MILTER}"),
            ]
        );
        assert!(plan.careful.is_empty(), "{:?}", plan.careful);
    }

    #[test]
    fn what_is_taken_back_leaves_no_way_out_for_fog_mail() {
        let mut found = found(&[
            ("transport_maps", &format!("hash:/a, {TABLE}")),
            ("smtpd_milters", &format!("unix:a, {MILTER}")),
            ("non_smtpd_milters", MILTER),
            (LIMIT, "1"),
        ]);
        found.services.insert("fog/unix".into(), "fog unix - n n - 4 pipe argv=/old/fog send --mta".into());
        found.services.insert("127.0.0.1:10027/inet".into(), "127.0.0.1:10027 inet n - n - - smtpd".into());
        let plan = plan(&found, &ours(), Wanted::Removed, false).unwrap();
        assert_eq!(
            runs(&plan),
            [
                &format!("postconf -e transport_maps = hash:/a, {GONE}"),
                "postconf -e smtpd_milters = unix:a",
                "postconf -X non_smtpd_milters",
                "postconf -X fog_destination_recipient_limit",
                "postconf -M -X fog/unix",
            ]
        );
    }

    #[test]
    fn a_table_that_was_left_behind_is_put_to_use_again() {
        let found = found(&[("transport_maps", &format!("{GONE}, hash:/a")), (LIMIT, "1")]);
        let plan = plan(&found, &ours(), Wanted::Installed, false).unwrap();
        assert!(runs(&plan).contains(&format!("postconf -e transport_maps = {TABLE}, hash:/a")), "{:?}", runs(&plan));
    }

    #[test]
    fn a_milter_is_asked_once_about_each_mail() {
        for (list, want) in [("$smtpd_milters", None), ("unix:a", Some(format!("unix:a, {MILTER}")))] {
            let found = found(&[("non_smtpd_milters", list)]);
            let plan = plan(&found, &ours(), Wanted::Installed, false).unwrap();
            let run = runs(&plan).into_iter().find(|run| run.contains("non_smtpd_milters"));
            assert_eq!(run, want.map(|want| format!("postconf -e non_smtpd_milters = {want}")), "{list}");
        }
    }

    #[test]
    fn a_milter_that_does_not_run_is_not_asked_and_one_that_is_asked_stays() {
        let mut found = found(&[("smtpd_milters", "{unix:fog/milter.sock}")]);
        found.milter_listens = false;
        let plan = plan(&found, &ours(), Wanted::Installed, false).unwrap();
        let milters: Vec<_> = runs(&plan).into_iter().filter(|run| run.contains("milters")).collect();
        assert_eq!(milters, [format!("postconf -e smtpd_milters = {MILTER}")]);
        assert!(plan.careful.iter().any(|careful| careful.contains("no milter answers")), "{:?}", plan.careful);
    }

    #[test]
    fn what_is_somebody_elses_is_in_the_way() {
        for (name, there) in
            [("fog/unix", "fog unix - n n - - lmtp"), ("127.0.0.1:10027/inet", "127.0.0.1:10027 inet n - n - - smtpd")]
        {
            let mut found = found(&[]);
            found.services.insert(name.into(), there.into());
            let error = plan(&found, &ours(), Wanted::Installed, true).unwrap_err();
            assert!(error.what.contains(name), "{error}");
        }
        let taken = Found { taken_by: vec!["regexp:/all".into()], ..found(&[]) };
        assert!(plan(&taken, &ours(), Wanted::Installed, false).unwrap_err().what.contains("elsewhere"));
    }

    #[test]
    fn a_parent_domain_is_written_as_postfix_looks_it_up() {
        let found = found(&[("parent_domain_matches_subdomains", "debug_peer_list transport_maps")]);
        assert_eq!(table(&found, &ours(), "fog:"), "inline:{ {fog = fog:}, {fog.invalid = fog:} }");
    }

    #[test]
    fn leaks_of_the_rest_are_told() {
        for (name, value, want) in [
            ("smtpd_recipient_restrictions", "reject_unknown_recipient_domain, permit_mynetworks", true),
            ("smtpd_relay_restrictions", "permit_mynetworks reject_unknown_recipient_domain", true),
            (
                "smtpd_sender_restrictions",
                "permit_mynetworks permit_sasl_authenticated reject_unknown_recipient_domain",
                false,
            ),
            ("smtpd_client_restrictions", "permit_mynetworks", false),
            ("relay_domains", "a.org .fog", true),
            ("mydestination", "$myhostname, localhost", false),
            ("always_bcc", "log@a.org", true),
            ("receive_override_options", "no_milters", true),
            ("smtpd_milter_maps", "cidr:/a", true),
        ] {
            assert_eq!(!careful(&found(&[(name, value)]), "fog").is_empty(), want, "{name} {value}");
        }
    }
}
