//! Whose senders are told what becomes of their mail (`entry.notify`): a file of our own beside fog.toml.

use super::plan::Plan;
use super::{Wanted, edge};
use crate::cli::error::CliError;
use crate::cli::global::Global;
use crate::cli::local_domains::Local;
use std::path::{Path, PathBuf};

/// The first line of a file that is ours to change and to take away.
const MARK: &str = "# Written by `fog setup`, which takes it away with --undo.";

/// What the configuration says of notices.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Found {
    /// Where our file is, or would be.
    path: PathBuf,
    /// What is in it.
    before: Option<String>,
    /// Whether there is a configuration at all.
    is_configured: bool,
    /// Whether `entry.notify` stands somewhere else.
    has_notify: bool,
    /// And `exit.deliver`.
    has_deliver: bool,
}

impl Found {
    pub(super) fn read(global: &Global) -> Result<Self, CliError> {
        let path = global.dir().join("conf.d/notify.toml");
        let before = edge::read(&path)?;
        let is_configured = global.config.exists();
        let files = if is_configured { global.texts()? } else { Vec::new() };
        let is_ours = |name: &str| Path::new(name) == path && before.as_deref().is_some_and(is_ours);
        let others: Vec<toml::Table> =
            files.iter().filter(|(name, _)| !is_ours(name)).filter_map(|(_, text)| text.parse().ok()).collect();
        let has = |table, key| others.iter().any(|file| file.get(table).is_some_and(|table| table.get(key).is_some()));
        Ok(Self {
            is_configured,
            has_notify: has("entry", "notify"),
            has_deliver: has("exit", "deliver"),
            path,
            before,
        })
    }

    /// Adds to `plan` what tells senders in `local` domains, or takes that back. `deliver` is where the MTA takes notices.
    pub(super) fn plan(&self, plan: &mut Plan, local: &Local, deliver: &str, wanted: Wanted) {
        let before = self.before.as_deref();
        if before.is_some_and(|text| !is_ours(text)) {
            if wanted == Wanted::Installed && !self.has_notify {
                let says = "is not fog's to change: put whose senders are to be told into entry.notify by hand";
                plan.careful.push(format!("{} {says}", self.path.display()));
            }
            return;
        }
        let after = match wanted {
            Wanted::Installed => self.wanted(plan, local, deliver),
            Wanted::Removed => None,
        };
        if before == after.as_deref() {
            return;
        }
        // Where there was nobody to hand anything to there is no socket for it yet.
        let begins = after.is_some() && before.is_none() && !self.has_deliver;
        let then = if begins { "systemctl restart fog-node" } else { "systemctl reload fog-node" };
        plan.then.push(then.to_owned());
        if begins {
            plan.then.push("systemctl enable --now fog-exit".to_owned());
        }
        plan.file(&self.path, before, after.as_deref());
    }

    fn wanted(&self, plan: &mut Plan, local: &Local, deliver: &str) -> Option<String> {
        if !self.is_configured {
            plan.careful.push("there is no fog.toml yet: run this again after fog init, for entry.notify".to_owned());
            return None;
        }
        if self.has_notify {
            return None;
        }
        if !local.unnamed.is_empty() {
            let members = local.unnamed.join(", ");
            plan.careful.push(format!("the domains of {members} can't be listed: add them to entry.notify by hand"));
        }
        if local.domains.is_empty() {
            plan.careful.push(
                "no domain is delivered on this machine, so nobody is told of mail that comes to nothing: \
                 fog queue list has it (entry.notify)"
                    .to_owned(),
            );
            return None;
        }
        let domains: Vec<_> = local.domains.iter().map(|domain| format!("\"{domain}\"")).collect();
        let mut text = format!(
            "{MARK}\n# Senders in these domains are told, without content, when a mail of theirs comes to nothing: the MTA\n\
             # delivers their mail on this machine. To name others, set entry.notify in fog.toml, and run it again.\n\n\
             [entry]\nnotify = [{}]\n",
            domains.join(", ")
        );
        if !self.has_deliver {
            text += &format!("\n[exit]\n# Where fog exit hands it over.\ndeliver = \"{deliver}\"\n");
        }
        Some(text)
    }
}

fn is_ours(text: &str) -> bool {
    text.starts_with(MARK)
}

#[cfg(test)]
mod tests {
    use super::super::plan::Step;
    use super::*;

    fn found() -> Found {
        let path = "/etc/fog/conf.d/notify.toml".into();
        Found { path, before: None, is_configured: true, has_notify: false, has_deliver: false }
    }

    fn local(domains: &[&str], unnamed: &[&str]) -> Local {
        let owned = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        Local { domains: owned(domains).into_iter().collect(), unnamed: owned(unnamed) }
    }

    fn planned(found: &Found, local: &Local, wanted: Wanted) -> Plan {
        let mut plan = Plan::default();
        found.plan(&mut plan, local, "smtp:127.0.0.1:25", wanted);
        plan
    }

    fn after(plan: &Plan) -> Option<String> {
        match plan.steps.as_slice() {
            [Step::File { after, .. }] => after.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn senders_that_are_at_home_here_are_to_be_told_once_and_no_more_when_it_is_taken_back() {
        let local = local(&["b.org", "a.org"], &[]);
        let plan = planned(&found(), &local, Wanted::Installed);
        let text = after(&plan).unwrap();
        let read: toml::Table = text.parse().unwrap();
        assert_eq!(read["entry"]["notify"].to_string(), "[\"a.org\", \"b.org\"]");
        assert_eq!(read["exit"]["deliver"].as_str(), Some("smtp:127.0.0.1:25"));
        assert_eq!(plan.then, ["systemctl restart fog-node", "systemctl enable --now fog-exit"]);
        let done = Found { before: Some(text), ..found() };
        assert_eq!(planned(&done, &local, Wanted::Installed), Plan::default());
        let undone = planned(&done, &local, Wanted::Removed);
        assert_eq!((after(&undone), undone.then), (None, vec!["systemctl reload fog-node".to_owned()]));
        assert_eq!(planned(&found(), &local, Wanted::Removed), Plan::default());
    }

    #[test]
    fn an_exit_hands_notices_over_as_all_else() {
        let plan = planned(&Found { has_deliver: true, ..found() }, &local(&["a.org"], &[]), Wanted::Installed);
        assert!(!after(&plan).unwrap().contains("deliver ="));
        assert_eq!(plan.then, ["systemctl reload fog-node"]);
    }

    #[test]
    fn what_the_operator_has_said_stays() {
        let here = local(&["a.org"], &[]);
        let theirs = Found { has_notify: true, ..found() };
        assert_eq!(planned(&theirs, &here, Wanted::Installed), Plan::default());
        // Ours would win over it.
        let both = Found { before: Some(format!("{MARK}\n")), ..theirs };
        assert_eq!(after(&planned(&both, &here, Wanted::Installed)), None);
        let own = Found { before: Some("[log]\nlevel = \"info\"\n".into()), ..found() };
        let plan = planned(&own, &here, Wanted::Installed);
        assert!(plan.steps.is_empty() && plan.careful[0].contains("is not fog's to change"), "{plan:?}");
        assert_eq!(planned(&own, &here, Wanted::Removed), Plan::default());
    }

    #[test]
    fn what_can_not_be_known_is_told() {
        for (found, local, says) in [
            (found(), local(&[], &[]), "no domain is delivered on this machine"),
            (found(), local(&["a.org"], &["mysql:/x"]), "the domains of mysql:/x can't be listed"),
            (Found { is_configured: false, ..found() }, local(&["a.org"], &[]), "run this again after fog init"),
        ] {
            let plan = planned(&found, &local, Wanted::Installed);
            assert!(plan.careful.len() == 1 && plan.careful[0].contains(says), "{says}: {plan:?}");
        }
    }
}
