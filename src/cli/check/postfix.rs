//! Postfix as it is configured: whether mail for the network gets into fog, by no other way, and without a trace that
//! need not be.
//!
//! What is asked of the real Postfix is in [`Postfix::ask`]; what it means is decided by [`findings`] alone.

use super::super::main_cf::{COPIES, OPEN, RESTRICTIONS, asks_the_dns, has_suffix};
use super::super::master_cf::{self, Service};
use super::finding::Finding;
use super::whom::{Denied, Want, Whom};
use super::{Fog, run_program, tables};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::process::Command;

/// What Postfix says of itself.
#[derive(Clone, Debug, Default)]
pub(super) struct Postfix {
    /// Every parameter of main.cf, expanded.
    main: BTreeMap<String, String>,
    /// The services of master.cf: `smtp/inet` and its fields behind the name and type.
    master: BTreeMap<String, Vec<String>>,
    /// What the transport maps give for an address of the network.
    route: Option<String>,
    /// The lists whose tables have an answer for the network, and the answer.
    taken: BTreeMap<&'static str, String>,
}

/// What may turn one recipient into another before any transport is looked for.
const REWRITING: [&str; 4] =
    ["virtual_alias_maps", "recipient_canonical_maps", "canonical_maps", "virtual_mailbox_maps"];

impl Postfix {
    /// Asks the Postfix whose configuration lies in `dir`.
    pub(super) fn ask(dir: &Path, suffix: &str) -> io::Result<Self> {
        let main = run_program(Command::new("postconf").arg("-c").arg(dir).arg("-x"))?;
        let master = run_program(Command::new("postconf").arg("-c").arg(dir).arg("-M"))?;
        let mut postfix = Self::parse(&main, &master);
        postfix.route = tables::answer(dir, postfix.value("transport_maps"), &tables::route_keys(suffix))?;
        let asked = OPEN.map(|name| (name, tables::domain_keys(suffix)));
        for (name, keys) in asked.into_iter().chain(REWRITING.map(|name| (name, tables::address_keys(suffix)))) {
            if let Some(answer) = tables::answer(dir, postfix.value(name), &keys)? {
                postfix.taken.insert(name, answer);
            }
        }
        Ok(postfix)
    }

    fn parse(main: &str, master: &str) -> Self {
        let main = main.lines().filter_map(|line| line.split_once(" ="));
        let main = main.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect();
        let service = |line: &str| {
            let fields: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            let [name, kind, rest @ ..] = fields.as_slice() else { return None };
            Some((format!("{name}/{kind}"), rest.to_vec()))
        };
        Self { main, master: master.lines().filter_map(service).collect(), route: None, taken: BTreeMap::new() }
    }

    /// Whether mail to the network gets into fog.
    pub(super) fn goes_to_fog(&self) -> bool {
        self.route.as_deref() == Some("fog:")
    }

    /// Whether fog's milter is in a list.
    pub(super) fn has_milter(&self, list: &str) -> bool {
        is_ours(self.value(list))
    }

    pub(super) fn value(&self, name: &str) -> &str {
        self.main.get(name).map_or("", String::as_str)
    }

    /// What is set of the service fog; none if there is no such service, or no such setting.
    fn pipe_setting(&self, name: &str) -> Option<&str> {
        let words = self.master.get("fog/unix")?.iter().skip(5);
        words.into_iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
    }
}

/// What there is to say of it.
pub(super) fn findings(postfix: &Postfix, fog: &Fog<'_>) -> Vec<Finding> {
    let all = [
        route(postfix, fog),
        pipe(postfix),
        open_relay(postfix, fog),
        rewritten(postfix, fog),
        restrictions(postfix),
        copies(postfix),
        milter(postfix),
        size(postfix, fog),
    ];
    all.into_iter().flatten().collect()
}

fn wrong(says: impl Into<String>, hint: impl Into<String>) -> Finding {
    Finding::wrong("postfix", says).hint(hint)
}

fn route(postfix: &Postfix, fog: &Fog<'_>) -> Vec<Finding> {
    let suffix = fog.suffix;
    vec![match postfix.route.as_deref() {
        Some("fog:") => Finding::good("postfix", format!("mail to .{suffix} goes to fog")),
        Some(other) => wrong(
            format!("mail to .{suffix} goes to `{other}`, not to fog"),
            "put fog's line in front of the others in transport_maps: fog setup postfix",
        ),
        None => wrong(
            format!("mail to .{suffix} is not for fog: Postfix asks the DNS for its domain and bounces it"),
            "fog setup postfix --apply",
        ),
    }]
}

fn pipe(postfix: &Postfix) -> Vec<Finding> {
    let Some(service) = postfix.master.get("fog/unix") else {
        return vec![wrong("master.cf has no service fog", "fog setup postfix --apply")];
    };
    let mut found = Vec::new();
    let words: Vec<&str> = service.iter().skip(5).map(String::as_str).collect();
    let flags = postfix.pipe_setting("flags").unwrap_or_default();
    if words.first() != Some(&"pipe") || !words.windows(2).any(|pair| pair == ["send", "--mta"]) {
        found.push(wrong("the service fog does not run `fog send --mta`", "fog setup postfix --apply"));
    } else if !['D', 'O', 'R'].iter().all(|flag| flags.contains(*flag)) {
        let says = format!("the service fog has flags={flags}: the recipient would not reach fog");
        found.push(wrong(says, "it takes flags=DORq: fog setup postfix --apply"));
    }
    let argv = words.iter().skip_while(|word| !word.starts_with("argv=")).copied().collect::<Vec<_>>().join(" ");
    if argv.contains("${recipient}") || argv.contains("${sender}") || argv.contains("${user}") {
        let says = "the service fog shows addresses in its arguments, which everybody on the machine can read";
        found.push(wrong(says, "take ${recipient} and ${sender} out: fog setup postfix --apply"));
    }
    if postfix.pipe_setting("user").is_none_or(|user| user.split(':').next() == Some("root")) {
        found.push(wrong("the service fog runs as root", "user=fog-mta: fog setup postfix --apply"));
    }
    if postfix.value("fog_destination_recipient_limit") != "1" {
        found.push(wrong(
            "fog_destination_recipient_limit is not 1: several recipients would come as one",
            "postconf -e fog_destination_recipient_limit=1",
        ));
    }
    if found.is_empty() {
        found.push(Finding::good("postfix", "the service fog hands mail over one recipient at a time"));
    }
    found
}

/// Whether whom the service fog runs as may hand mail in at `socket`; nothing to say while that is not there.
pub(super) fn pipe_user(postfix: &Postfix, socket: &Path, passwd: &str, group: &str) -> Option<Finding> {
    let user = postfix.pipe_setting("user")?;
    let hint = "user=fog-mta:fog-submit: fog setup postfix --apply";
    let Some(whom) = Whom::of_pipe(user, passwd, group) else {
        return Some(wrong(format!("the service fog runs as {user}, and there is no such user or group"), hint));
    };
    match whom.may(Want::Write, socket) {
        Err(Denied::Mode(path)) => {
            let says = format!("the service fog runs as {user}, who may not hand mail in: mail waits in the queue");
            Some(wrong(says, format!("{} keeps them out; {hint}", path.display())))
        }
        Ok(()) | Err(Denied::Io(_)) => None,
    }
}

fn open_relay(postfix: &Postfix, fog: &Fog<'_>) -> Vec<Finding> {
    let is_open = |name: &&str| has_suffix(postfix.value(name), fog.suffix) || postfix.taken.contains_key(name);
    OPEN.into_iter()
        .filter(is_open)
        .map(|name| {
            wrong(
                format!("{name} has .{}: strangers may send through fog", fog.suffix),
                format!("take it out of {name}; transport_maps alone is enough"),
            )
        })
        .collect()
}

fn rewritten(postfix: &Postfix, fog: &Fog<'_>) -> Vec<Finding> {
    let taken = REWRITING.into_iter().filter_map(|name| Some((name, postfix.taken.get(name)?)));
    taken
        .map(|(name, answer)| {
            wrong(
                format!("{name} takes mail to .{}: it goes to `{answer}`, in clear", fog.suffix),
                format!("except .{} in the tables of {name}", fog.suffix),
            )
        })
        .collect()
}

fn restrictions(postfix: &Postfix) -> Vec<Finding> {
    let asking = RESTRICTIONS.into_iter().filter(|name| asks_the_dns(postfix.value(name)));
    asking
        .map(|name| {
            wrong(
                format!(
                    "{name} asks the DNS for the recipient's domain before it lets the users in: \
                     .fog is refused, and told"
                ),
                format!(
                    "in {name} put permit_mynetworks, permit_sasl_authenticated before reject_unknown_recipient_domain"
                ),
            )
        })
        .collect()
}

fn copies(postfix: &Postfix) -> Vec<Finding> {
    let taken = COPIES.into_iter().filter(|name| !postfix.value(name).is_empty());
    taken
        .map(|name| {
            wrong(
                format!("{name} keeps a copy of every mail, with its recipient, in clear"),
                format!("take {name} out, or tell the users that their mail is not anonymous here"),
            )
        })
        .collect()
}

fn milter(postfix: &Postfix) -> Vec<Finding> {
    let lists = ["smtpd_milters", "non_smtpd_milters"].map(|name| (name, postfix.value(name)));
    let missing: Vec<&str> = lists.iter().filter(|(_, list)| !is_ours(list)).map(|(name, _)| *name).collect();
    let mut found = Vec::new();
    if !missing.is_empty() {
        let says = format!("{} without fog's milter: the log joins sender and recipient", missing.join(" and "));
        found.push(Finding::careful("postfix", says).hint("fog setup postfix --apply"));
    }
    let with: Vec<&str> = lists.iter().filter(|(_, list)| is_ours(list)).map(|(_, list)| *list).collect();
    let accepts = |list: &&str| {
        let own = entry_of_fog(list).and_then(|entry| entry.split("default_action=").nth(1));
        let action = own.map_or(postfix.value("milter_default_action"), |own| own.trim());
        action.starts_with("accept") || action.starts_with("shutdown")
    };
    if with.iter().any(accepts) {
        found.push(wrong(
            "while the milter is down mail passes it by: milter_default_action lets it",
            "postconf -e milter_default_action=tempfail, or default_action=tempfail for fog's alone",
        ));
    }
    if with.iter().any(|list| is_beyond_chroot(postfix, list)) {
        found.push(wrong(
            "the milter's socket lies outside of the directory that smtpd is shut in: no mail is taken",
            "unix:fog/milter.sock, below the queue directory: fog setup postfix --apply",
        ));
    }
    let services: Vec<Service> =
        postfix.master.iter().filter_map(|(name, fields)| Service::of(name.clone(), &fields.join(" "))).collect();
    for gap in master_cf::gaps(&services, |name| postfix.value(name), is_ours) {
        let says = format!(
            "{}: fog's milter does not see what it takes in, and its log joins sender and recipient",
            gap.says()
        );
        let hint = match (gap.name, gap.service) {
            ("smtpd_milters" | "non_smtpd_milters", Some(service)) => {
                format!("postconf -P '{service}/{name}=${name}'", name = gap.name)
            }
            ("smtpd_milter_maps", _) => "name fog's milter in each of its answers, too".to_owned(),
            _ => "take no_milters out of it, unless its mail has been through another service already".to_owned(),
        };
        found.push(Finding::careful("postfix", says).hint(hint));
    }
    if found.is_empty() {
        found.push(Finding::good("postfix", "the milter keeps recipients out of the log"));
    }
    found
}

/// Whether fog's milter is among these.
fn is_ours(list: &str) -> bool {
    list.contains("fog/milter.sock") || list.contains("fog-milter")
}

/// The entry of fog's milter, with its own settings if it stands in braces.
fn entry_of_fog(list: &str) -> Option<&str> {
    let at = list.find("fog/milter.sock").or_else(|| list.find("fog-milter"))?;
    let (before, after) = list.split_at_checked(at)?;
    match before.rfind('{') {
        Some(open) if !before.get(open..)?.contains('}') => {
            let end = after.find('}').map_or(list.len(), |end| at + end);
            list.get(open..end)
        }
        _ => None,
    }
}

/// Whether smtpd is chrooted and is to find the socket by a path that it can't see.
fn is_beyond_chroot(postfix: &Postfix, list: &str) -> bool {
    let chrooted = postfix.master.iter().any(|(name, fields)| {
        let is_smtpd = fields.iter().any(|field| field == "smtpd");
        let chroot = fields.get(2).map_or("", String::as_str);
        // `-` is the default, which is no since Postfix 3.0.
        is_smtpd && name.ends_with("/inet") && chroot == "y"
    });
    chrooted && list.split([' ', ',', '{', '}']).any(|word| word.starts_with("unix:/") && word.contains("fog"))
}

fn size(postfix: &Postfix, fog: &Fog<'_>) -> Vec<Finding> {
    let limit: Option<u64> = postfix.value("message_size_limit").parse().ok();
    let small = limit.zip(fog.max_size).filter(|(limit, network)| *limit != 0 && limit < network);
    small
        .map(|(limit, network)| {
            let says = format!("message_size_limit is {limit}, the network takes mail of {network} bytes");
            Finding::careful("postfix", says).hint(format!("postconf -e message_size_limit={network}"))
        })
        .into_iter()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;

    const MASTER: &str = "smtp inet n - y - - smtpd\n\
        fog unix - n n - 4 pipe flags=DORq null_sender= user=fog-mta argv=/usr/bin/fog send --mta --queue-id ${queue_id}\n";

    /// As `fog setup postfix` leaves it, with these parameters changed.
    fn postfix(changed: &[(&str, &str)]) -> Postfix {
        let milter = "{ unix:fog/milter.sock, connect_timeout=5s, default_action=tempfail }";
        let mut main: BTreeMap<&str, &str> = [
            ("fog_destination_recipient_limit", "1"),
            ("smtpd_milters", milter),
            ("non_smtpd_milters", milter),
            ("milter_default_action", "accept"),
            ("message_size_limit", "10240000"),
            ("mydestination", "host.example, localhost"),
            ("smtpd_relay_restrictions", "permit_mynetworks, permit_sasl_authenticated, defer_unauth_destination"),
            (
                "smtpd_recipient_restrictions",
                "permit_mynetworks permit_sasl_authenticated reject_unknown_recipient_domain",
            ),
        ]
        .into();
        main.extend(changed.iter().copied());
        let main: Vec<_> = main.iter().map(|(name, value)| format!("{name} = {value}")).collect();
        Postfix { route: Some("fog:".into()), ..Postfix::parse(&main.join("\n"), MASTER) }
    }

    fn bad(postfix: &Postfix) -> Vec<(State, String)> {
        let fog = Fog { suffix: "fog", max_size: Some(2 << 20) };
        let found = findings(postfix, &fog).into_iter().filter(|finding| finding.state > State::Good);
        found.map(|finding| (finding.state, finding.says)).collect()
    }

    fn one(changed: &[(&str, &str)]) -> (State, String) {
        let [found]: [_; 1] =
            bad(&postfix(changed)).try_into().unwrap_or_else(|found| panic!("{changed:?}: {found:?}"));
        found
    }

    #[test]
    fn what_setup_leaves_is_good() {
        assert_eq!(bad(&postfix(&[])), []);
    }

    #[test]
    fn each_thing_that_is_amiss_has_its_sentence() {
        for (name, value, state, says) in [
            ("fog_destination_recipient_limit", "50", State::Wrong, "several recipients would come as one"),
            ("relay_domains", "$mydestination .fog", State::Wrong, "strangers may send through fog"),
            ("virtual_alias_domains", "a.example, x.fog", State::Wrong, "strangers may send through fog"),
            ("always_bcc", "archive@host.example", State::Wrong, "always_bcc keeps a copy"),
            ("recipient_bcc_maps", "hash:/x", State::Wrong, "recipient_bcc_maps keeps a copy"),
            (
                "smtpd_recipient_restrictions",
                "reject_unknown_recipient_domain, permit_mynetworks",
                State::Wrong,
                "asks the DNS",
            ),
            ("smtpd_relay_restrictions", "reject_unknown_recipient_domain", State::Wrong, "asks the DNS"),
            // Users who authenticate from elsewhere are users, too.
            (
                "smtpd_sender_restrictions",
                "permit_mynetworks reject_unknown_recipient_domain",
                State::Wrong,
                "asks the DNS",
            ),
            ("smtpd_milters", "", State::Careful, "smtpd_milters without fog's milter"),
            ("smtpd_milters", "inet:127.0.0.1:8891", State::Careful, "the log joins"),
            ("smtpd_milters", "unix:fog/milter.sock", State::Wrong, "while the milter is down mail passes it by"),
            (
                "smtpd_milters",
                "{ unix:/run/fog/milter.sock, default_action=tempfail }",
                State::Wrong,
                "outside of the directory",
            ),
            ("message_size_limit", "1000000", State::Careful, "message_size_limit is 1000000"),
        ] {
            let found = one(&[(name, value)]);
            assert!(found.0 == state && found.1.contains(says), "{name} = {value}: {found:?}");
        }
        for (name, value) in
            [("message_size_limit", "0"), ("relay_domains", "fog.example"), ("milter_default_action", "x")]
        {
            assert_eq!(bad(&postfix(&[(name, value)])), [], "{name} = {value}");
        }
    }

    #[test]
    fn a_way_that_is_not_fogs_is_told() {
        for (route, says) in [(None, "asks the DNS"), (Some("smtp:[relay.example]"), "goes to `smtp:[relay.example]`")]
        {
            let found = bad(&Postfix { route: route.map(str::to_owned), ..postfix(&[]) });
            assert!(found.len() == 1 && found[0].0 == State::Wrong && found[0].1.contains(says), "{found:?}");
        }
    }

    #[test]
    fn a_pipe_that_loses_or_shows_recipients_is_told() {
        for (from, to, says) in [
            ("flags=DORq", "flags=Rq", "the recipient would not reach fog"),
            ("send --mta", "send", "does not run `fog send --mta`"),
            ("${queue_id}", "${queue_id} ${recipient}", "shows addresses in its arguments"),
            ("user=fog-mta ", "", "runs as root"),
            ("user=fog-mta", "user=root:root", "runs as root"),
            ("fog unix", "gof unix", "master.cf has no service fog"),
        ] {
            let mut changed = postfix(&[]);
            changed.master = Postfix::parse("", &MASTER.replace(from, to)).master;
            let found = bad(&changed);
            assert!(found.len() == 1 && found[0].0 == State::Wrong && found[0].1.contains(says), "{to}: {found:?}");
        }
    }

    #[test]
    fn a_service_that_goes_round_the_milter_is_told() {
        let exit = "127.0.0.1:10027 inet n - n - - smtpd -o syslog_name=postfix/fogexit -o smtpd_milters=";
        for (service, says) in [
            (
                "submission inet n - y - - smtpd -o syslog_name=postfix/submission -o smtpd_milters=",
                "submission/inet has",
            ),
            ("smtpd pass - - y - - smtpd -o receive_override_options=no_milters", "smtpd/pass has receive_override"),
            ("smtps inet n - y - - smtpd -o smtpd_milter_maps=cidr:/a", "smtps/inet has smtpd_milter_maps=cidr:/a"),
        ] {
            let mut changed = postfix(&[]);
            changed.master.extend(Postfix::parse("", &format!("{service}\n{exit}\n")).master);
            let [(state, said)] = bad(&changed).try_into().unwrap();
            assert!(state == State::Careful && said.starts_with(&format!("the service {says}")), "{said}");
        }
        let (state, said) = one(&[("receive_override_options", "no_milters")]);
        assert!(
            state == State::Careful && said.starts_with("main.cf has receive_override_options=no_milters"),
            "{said}"
        );
    }

    #[test]
    fn a_pipe_that_may_not_hand_mail_in_is_told() {
        use std::os::unix::fs::{MetadataExt, PermissionsExt};
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("submit.sock");
        std::fs::write(&socket, "").unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
        std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o660)).unwrap();
        let gid = std::fs::metadata(&socket).unwrap().gid();
        let (passwd, group) = ("fog-mta:x:64001:64002::/:/bin/sh\n", format!("fog-submit:x:{gid}:fog-mta\n"));
        let told = |user: &str| {
            let master = MASTER.replace("user=fog-mta", &format!("user={user}"));
            pipe_user(&Postfix::parse("", &master), &socket, passwd, &group).map(|finding| finding.says)
        };
        assert_eq!(told("fog-mta:fog-submit"), None);
        let may_not = "the service fog runs as fog-mta, who may not hand mail in: mail waits in the queue";
        assert_eq!(told("fog-mta").as_deref(), Some(may_not), "pipe(8) gives nobody their other groups");
        let nobody = "the service fog runs as fog-mta:fogs, and there is no such user or group";
        assert_eq!(told("fog-mta:fogs").as_deref(), Some(nobody));
        std::fs::remove_file(&socket).unwrap();
        assert_eq!(told("fog-mta"), None, "the node isn't running: that is said elsewhere");
    }
}
