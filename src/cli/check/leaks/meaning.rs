//! What it means that a word of the canary is somewhere, and what to change.

use super::super::finding::Finding;
use super::canary::{Field, Fields};
use super::mta::Kind;
use super::search::{Hit, Processes, Seen};

/// All that was looked at.
pub(super) struct Looked {
    pub(super) logs: Seen,
    pub(super) journal: Option<Seen>,
    pub(super) mailboxes: Seen,
    /// The MTA's spool, when it had nothing to do with the mail any more, or when nobody waited longer.
    pub(super) mta: Seen,
    pub(super) fog: Seen,
    pub(super) processes: Processes,
}

/// What there is to say of it: one thing for each place that has a word, and one for each kind of place that has none.
pub(super) fn findings(looked: &Looked, kind: Kind) -> Vec<Finding> {
    let mut all = Vec::new();
    all.extend(of(&looked.logs, "log files", |hit| log(hit, kind)));
    match &looked.journal {
        Some(journal) => all.extend(of(journal, "entries of the journal", |hit| log(hit, kind))),
        None => all.push(good("there is no journal, or nothing new in it")),
    }
    all.extend(of(&looked.mta, "files of the MTA's spool", |hit| spool(hit, kind)));
    all.extend(of(&looked.mailboxes, "mailboxes of this machine", mailbox));
    all.extend(of(&looked.fog, "files of fog's spool", sealed));
    all.extend(of(&looked.processes.arguments, "processes' arguments", arguments));
    all.extend(of(&looked.processes.variables, "processes' environments", |hit| variables(hit, kind)));
    all
}

fn of(seen: &Seen, what: &str, meaning: impl Fn(&Hit) -> Finding) -> Vec<Finding> {
    let mut all: Vec<_> = seen.hits.iter().map(meaning).collect();
    if seen.unread > 0 {
        all.push(careful(format!("not all {what} could be read"), "run this as root, and not in a container"));
    } else if all.is_empty() {
        all.push(good(format!("{} {what}: nothing of the mail", seen.count)));
    }
    all
}

fn good(says: impl Into<String>) -> Finding {
    Finding::good("leaks", says)
}

fn careful(says: impl Into<String>, hint: &str) -> Finding {
    Finding::careful("leaks", says).hint(hint)
}

fn wrong(says: impl Into<String>, hint: &str) -> Finding {
    Finding::wrong("leaks", says).hint(hint)
}

/// `sender, subject`
fn names(fields: &Fields) -> String {
    fields.iter().map(|field| field.name()).collect::<Vec<_>>().join(", ")
}

fn has(hit: &Hit, wanted: &[Field]) -> bool {
    wanted.iter().any(|field| hit.fields.contains(field))
}

/// The place, what it has, and the line that shows it.
fn place(hit: &Hit, means: &str) -> String {
    let line = hit.line.as_ref().map(|line| format!("; {line}")).unwrap_or_default();
    format!("{} has {}: {means}{line}", hit.place, names(&hit.fields))
}

/// Sender and Message-ID are what an MTA always writes of mail that a program of the machine hands it, before fog is asked.
fn log(hit: &Hit, kind: Kind) -> Finding {
    if has(hit, &[Field::Recipient, Field::Domain]) {
        let joined = has(hit, &[Field::Sender, Field::MessageId]);
        let means =
            if joined { "who reads it knows who wrote to whom" } else { "who reads it knows to whom somebody wrote" };
        return wrong(
            place(hit, means),
            match kind {
                Kind::Postfix { has_milter: false } => {
                    "let the milter take mail before it is logged: fog setup postfix --apply"
                }
                Kind::Postfix { has_milter: true } => {
                    "a service of master.cf without fog's milter, or header_checks that log, wrote it: fog check"
                }
                Kind::Exim => {
                    "disable_logging in fog's router and transport, -received_recipients -arguments in log_selector: \
                 fog check; or write to anon@fog.invalid with Anon-To (fog-mta(7))"
                }
            },
        );
    }
    if has(hit, &[Field::Subject, Field::Body]) {
        return wrong(
            place(hit, "who reads it knows what was written"),
            match kind {
                Kind::Postfix { .. } => {
                    "take INFO, WARN and the like out of header_checks and body_checks, or ask what filters mail"
                }
                Kind::Exim => "put -subject at the end of log_selector, and header fields out of log_message in ACLs",
            },
        );
    }
    careful(
        place(hit, "who reads it knows who sent something and when, not to whom"),
        match kind {
            Kind::Postfix { has_milter: true } => {
                "known: Postfix notes who calls sendmail, and the Message-ID, before fog is asked; of mail that comes by SMTP \
             the client and the Message-ID. Keep logs for days, not months: logrotate(8)"
            }
            Kind::Postfix { has_milter: false } | Kind::Exim => {
                "known: the MTA notes from whom each mail comes before fog is asked. Keep logs for days, not months: logrotate(8)"
            }
        },
    )
}

fn spool(hit: &Hit, kind: Kind) -> Finding {
    if kind == Kind::Exim && hit.place.contains("/db/") && hit.fields == [Field::Domain].into() {
        let means = "a hint of when to try again, kept for a week";
        return careful(place(hit, means), "known: it is written while the node is away; exim_tidydb(8) shortens it");
    }
    wrong(
        place(hit, "the MTA has not got rid of the mail, and who reads its spool has all of it"),
        match kind {
            Kind::Postfix { .. } => "see why it waits: mailq; fog check",
            Kind::Exim => "see why it waits: exim -bp; fog check",
        },
    )
}

fn mailbox(hit: &Hit) -> Finding {
    let means = "a copy of mail to the network is kept in clear, or it came back";
    wrong(
        place(hit, means),
        "see what it is; copies: always_bcc and the like, a system filter; a bounce says why: fog check",
    )
}

fn sealed(hit: &Hit) -> Finding {
    wrong(
        place(hit, "fog has written down in clear what is to be sealed"),
        "a bug: report it; nothing of your mail is in this line",
    )
}

fn arguments(hit: &Hit) -> Finding {
    let means = "every user sees it with ps while that runs";
    wrong(format!("the command line `{}` has {}: {means}", hit.place, names(&hit.fields)), {
        "take addresses out of the arguments of pipes and filters: fog check names those of fog's own service"
    })
}

/// Only root and its own user can read a process's environment.
fn variables(hit: &Hit, kind: Kind) -> Finding {
    let named = hit.line.as_deref().unwrap_or_default();
    let says = format!("the environment of `{}` has {} ({named})", hit.place, names(&hit.fields));
    if kind == Kind::Exim && hit.place.contains("send --bsmtp") {
        let says = format!("{says}: root and the pipe's user can read it while that runs");
        return careful(says, "known: Exim tells every pipe so; let nobody else run programs as fog-mta");
    }
    wrong(format!("{says}: its user and all its children can read it"), "hand addresses over on standard input")
}

#[cfg(test)]
mod tests {
    use super::super::super::finding::State;
    use super::*;

    const MILTER: Kind = Kind::Postfix { has_milter: true };
    const PLAIN: Kind = Kind::Postfix { has_milter: false };

    fn hit(place: &str, fields: &[Field]) -> Hit {
        Hit { place: place.to_owned(), fields: fields.iter().copied().collect(), line: None }
    }

    fn nothing() -> Looked {
        let none = Seen { count: 3, ..Seen::default() };
        Looked {
            logs: none.clone(),
            journal: None,
            mailboxes: none.clone(),
            mta: none.clone(),
            fog: none.clone(),
            processes: Processes { arguments: none.clone(), variables: none },
        }
    }

    #[test]
    fn where_nothing_is_found_all_is_well() {
        let all = findings(&nothing(), MILTER);
        assert!(all.len() == 7 && all.iter().all(|found| found.state == State::Good), "{all:?}");
        let logs = Seen { unread: 1, ..Seen::default() };
        assert_eq!(findings(&Looked { logs, ..nothing() }, MILTER)[0].state, State::Careful);
    }

    #[test]
    fn what_an_mta_always_logs_is_known_and_all_else_gives_somebody_away() {
        use Field::{Body, Domain, MessageId, Recipient, Sender, Subject};
        for (kind, fields, state, says, hint) in [
            (MILTER, &[Sender, MessageId][..], State::Careful, "/m has sender, Message-ID: ", "known: "),
            (Kind::Exim, &[Sender], State::Careful, "not to whom", "known: "),
            (PLAIN, &[Sender, Recipient], State::Wrong, "who wrote to whom", "fog setup postfix"),
            (MILTER, &[Recipient], State::Wrong, "to whom somebody wrote", "without fog's milter"),
            (Kind::Exim, &[Domain, MessageId], State::Wrong, "who wrote to whom", "anon@fog.invalid"),
            (MILTER, &[Subject], State::Wrong, "what was written", "header_checks"),
            (Kind::Exim, &[Body, Sender], State::Wrong, "what was written", "log_selector"),
        ] {
            let found = log(&hit("/m", fields), kind);
            assert!(found.state == state && found.says.contains(says), "{fields:?}: {found:?}");
            assert!(found.hint.as_ref().unwrap().contains(hint), "{fields:?}: {found:?}");
        }
    }

    #[test]
    fn every_other_place_has_its_meaning() {
        use Field::{Domain, Recipient};
        let retry = hit("/var/spool/exim4/db/retry", &[Domain]);
        assert_eq!(spool(&retry, Kind::Exim).state, State::Careful);
        assert_eq!(spool(&retry, PLAIN).state, State::Wrong);
        assert_eq!(spool(&hit("/var/spool/exim4/db/retry", &[Domain, Recipient]), Kind::Exim).state, State::Wrong);
        assert_eq!(spool(&hit("/var/spool/exim4/input/x-H", &[Domain]), Kind::Exim).state, State::Wrong);
        let pipe = hit("/bin/sh -c fog send --bsmtp || exit 75", &[Recipient]);
        assert_eq!(variables(&pipe, Kind::Exim).state, State::Careful);
        assert_eq!(variables(&pipe, PLAIN).state, State::Wrong);
        assert_eq!(variables(&hit("spamd", &[Recipient]), Kind::Exim).state, State::Wrong);
        for found in [mailbox(&retry), sealed(&retry), arguments(&pipe)] {
            assert!(found.state == State::Wrong && found.hint.is_some(), "{found:?}");
        }
    }
}
