//! Who is told of mail that comes to nothing (`entry.notify`): whether anybody is, whether the MTA delivers their mail here,
//! and whether somebody hands the notices over.

use super::super::control::member;
use super::super::local_domains::{Local, of_exim, of_postfix};
use super::exim::Exim;
use super::finding::Finding;
use super::{has_postfix, run_program, tables};
use crate::config::Config;
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// Where mail for a domain goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Goes {
    /// To mailboxes of this machine, or to programs of it.
    Here,
    /// To another machine, or nowhere.
    Elsewhere,
    /// Nobody can say.
    Unknown,
}

/// What there is to say of whom it names, asked of the MTA of this machine.
pub(super) fn whom(config: &Config, postfix: &Path) -> Vec<Finding> {
    let (named, suffix) = (&config.entry.notify, config.entry.suffix.as_str());
    let mta = if has_postfix(postfix) { "postfix" } else { "exim" };
    if named.is_empty() {
        let says =
            "nobody is told of mail that comes to nothing: entry.notify is empty, and fog queue list alone has it";
        return vec![Finding::careful("notices", says).hint(format!("fog setup {mta} --apply"))];
    }
    let goes: Box<dyn Fn(&str) -> Goes> = if has_postfix(postfix) {
        match of_postfix(postfix, suffix) {
            Ok(local) => Box::new(move |domain| in_postfix(&local, postfix, domain)),
            Err(_) => Box::new(|_| Goes::Unknown),
        }
    } else {
        let exim = Exim::program();
        let local = exim.and_then(|exim| of_exim(|words| run_program(Command::new(exim).args(words)), suffix).ok());
        match exim.zip(local) {
            Some((exim, local)) => Box::new(move |domain| in_exim(&local, exim, domain)),
            None => Box::new(|_| Goes::Unknown),
        }
    };
    judge(named, goes)
}

fn judge(named: &[String], goes: impl Fn(&str) -> Goes) -> Vec<Finding> {
    let elsewhere = named.iter().filter(|domain| goes(domain) == Goes::Elsewhere);
    let mut found: Vec<_> = elsewhere
        .map(|domain| {
            let says = format!(
                "entry.notify has {domain}, whose mail the MTA does not deliver on this machine: \
                 notices would tell who keeps it that somebody here uses the network"
            );
            Finding::wrong("notices", says).hint(format!("take {domain} out of entry.notify"))
        })
        .collect();
    let unknown: Vec<_> = named.iter().filter(|domain| goes(domain) == Goes::Unknown).cloned().collect();
    if !unknown.is_empty() {
        let says = format!("whether mail for {} is delivered on this machine can't be seen", unknown.join(", "));
        found.push(Finding::careful("notices", says).hint("entry.notify names only domains whose mailboxes are here"));
    }
    if found.is_empty() {
        found.push(Finding::good("notices", format!("senders in {} are told", named.join(", "))));
    }
    found
}

fn in_postfix(local: &Local, dir: &Path, domain: &str) -> Goes {
    if local.domains.contains(domain) {
        return Goes::Here;
    }
    let asked = local.unnamed.iter().map(|member| tables::answer(dir, member, &[domain.to_owned()]));
    for answer in asked {
        match answer {
            Ok(Some(_)) => return Goes::Here,
            Ok(None) => {}
            Err(_) => return Goes::Unknown,
        }
    }
    Goes::Elsewhere
}

/// Asks Exim itself, which knows what its patterns and lookups match.
fn in_exim(local: &Local, exim: &str, domain: &str) -> Goes {
    if local.domains.contains(domain) {
        return Goes::Here;
    }
    let asked = format!("${{if match_domain{{{domain}}}{{+local_domains}}{{here}}{{elsewhere}}}}");
    match run_program(Command::new(exim).args(["-be", &asked])).as_deref().map(str::trim) {
        Ok("here") => Goes::Here,
        Ok("elsewhere") => Goes::Elsewhere,
        _ => Goes::Unknown,
    }
}

/// Whether the running node has somebody who hands over what it has for the local MTA; nothing of one that isn't running.
pub(super) fn process(config: &Config, status: Option<&Value>) -> Option<Finding> {
    config.hand_over.as_ref()?;
    match member(status?, &["exit_process"]) {
        Value::Bool(true) => Some(Finding::good("notices", "fog exit is there to hand them over")),
        Value::Bool(false) => {
            let says = "fog exit isn't there: what it would hand over, notices too, waits";
            Some(Finding::wrong("notices", says).hint("systemctl enable --now fog-exit"))
        }
        _ => {
            let says = "the node was started before anybody was to be told: notices wait for its next start";
            Some(Finding::wrong("notices", says).hint("systemctl restart fog-node"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;

    #[test]
    fn a_domain_whose_mail_goes_elsewhere_is_wrong_and_one_of_which_nothing_is_known_is_told() {
        let named = ["a.org", "b.org", "c.org"].map(str::to_owned);
        let goes = |domain: &str| match domain {
            "b.org" => Goes::Elsewhere,
            "c.org" => Goes::Unknown,
            _ => Goes::Here,
        };
        let found = judge(&named, goes);
        assert_eq!(found.iter().map(|found| found.state).collect::<Vec<_>>(), [State::Wrong, State::Careful]);
        assert!(found[0].says.contains("has b.org, ") && found[1].says.contains("mail for c.org is"), "{found:?}");
        let found = judge(&named[..1], goes);
        assert_eq!((found.len(), found[0].state), (1, State::Good));
    }
}
