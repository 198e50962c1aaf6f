//! The configuration as it would stand in a file: every key with the value that holds.

use super::{Config, Deliver, FullDivert, KEYS, Listen, Mixed, Place, Socks};
use crate::config::LogTarget;
use crate::directory::Domains;
use crate::directory::units::{size, span};
use crate::time::Rate;
use data_encoding::HEXLOWER;
use std::path::Path;

impl Config {
    /// Every key in the order of fog.toml(5), with its value in TOML; none for one that is not set and has no default.
    #[must_use]
    pub fn show(&self) -> Vec<(String, Option<String>)> {
        let names = KEYS.iter().flat_map(|(table, keys)| keys.iter().map(move |key| format!("{table}.{key}")));
        names.map(|name| (self.value(&name), name)).map(|(value, name)| (name, value)).collect()
    }

    /// What holds where nothing is set, for a configuration that lies in `base`.
    #[must_use]
    pub fn defaults(base: &Path) -> Vec<(String, Option<String>)> {
        let required = ["node.name", "node.onion", "directory.trust", "directory.threshold"];
        let trust = "0".repeat(64);
        let least = format!("[node]\nname = \"x\"\nonion = \"x:1\"\n[directory]\ntrust = \"{trust}\"\n");
        let config = Self::parse(&[(String::new(), least)], &[], base);
        let mut shown = config.map(|config| config.show()).unwrap_or_default();
        // The threshold's default hangs on the number of authorities.
        shown.iter_mut().filter(|(key, _)| required.contains(&key.as_str())).for_each(|(_, value)| *value = None);
        shown
    }

    fn value(&self, key: &str) -> Option<String> {
        let path = |path: &Path| Some(text(&path.display().to_string()));
        let exit = self.exit.as_ref();
        let sized = |bytes: u64| text(&size(bytes));
        match key {
            "node.name" => Some(text(&self.node.name)),
            "node.roles" => Some(list(self.node.roles.words())),
            "node.onion" => Some(text(&self.node.onion.to_string())),
            "node.listen" => Some(text(&self.node.listen.to_string())),
            "node.key" => path(&self.node.key),
            "node.contact" => self.node.contact.as_deref().map(text),
            "node.family" => self.node.family.as_deref().map(text),
            "node.sockets" => path(&self.node.sockets),
            "entry.suffix" => Some(text(&self.entry.suffix)),
            "entry.max-size" => self.entry.max_size.map(sized),
            "entry.give-up" => Some(text(&span(self.entry.give_up))),
            "entry.notify" => Some(list(self.entry.notify.iter().map(String::as_str))),
            "entry.receipts" => Some(text(if self.entry.receipts { "yes" } else { "no" })),
            "entry.rules" => shown_list(&self.entry.rules.0),
            "exit.deliver" => exit.map(|exit| text(&deliver(&exit.deliver))),
            "exit.from" => exit.map(|exit| text(&format!("{} <{}>", exit.from.name, exit.from.address))),
            "exit.envelope-from" => {
                exit.map(|exit| text(&exit.envelope_from.as_ref().map_or_else(|| "<>".into(), ToString::to_string)))
            }
            "exit.max-size" => exit.and_then(|exit| exit.max_size).map(sized),
            "exit.domains" => match exit.map(|exit| &exit.domains) {
                Some(Domains::Only(names)) => Some(list(names.iter().map(String::as_str))),
                Some(Domains::All) | None => None,
            },
            "exit.news" => shown_list(&exit?.news),
            "exit.per-recipient" => exit.map(|exit| rate(exit.per_recipient)),
            "exit.rate" => exit.map(|exit| rate(exit.rate)),
            "exit.block" => path(&self.block),
            "exit.comment" => exit.map(|exit| text(&exit.comment)),
            "tor.socks" => Some(text(&match &self.socks {
                Socks::Unix(path) => format!("unix:{}", path.display()),
                Socks::Tcp(address) => address.to_string(),
            })),
            "directory.trust" => {
                let all: Vec<_> = self.trust.fingerprints().map(|id| HEXLOWER.encode(&id.0)).collect();
                Some(list(all.iter().map(String::as_str)))
            }
            "directory.threshold" => Some(self.trust.threshold().to_string()),
            "directory.sources" => shown_list(&self.sources),
            "directory.admit" => Some(text(self.admission.word())),
            "milter.listen" => Some(text(&match &self.milter.listen {
                unix @ Listen::Unix(_) => unix.to_string(),
                Listen::Inet(address) => format!("inet:{address}"),
            })),
            "milter.on-full-divert" => Some(text(match self.milter.on_full_divert {
                FullDivert::Erase => "erase",
                FullDivert::Discard => "discard",
            })),
            "milter.mixed" => Some(text(match self.milter.mixed {
                Mixed::Split => "split",
                Mixed::Reject => "reject",
            })),
            "milter.networks" => Some(shown_list(&self.milter.networks).unwrap_or_else(|| "[]".into())),
            "spool.path" => path(&self.spool.path),
            "spool.max" => Some(sized(self.spool.max)),
            "spool.reserve" => Some(sized(self.spool.reserve)),
            "log.level" => Some(text(self.log.level.as_str())),
            "log.target" => Some(text(&match &self.log.target {
                LogTarget::Auto => "auto".into(),
                LogTarget::Stderr => "stderr".into(),
                LogTarget::Syslog(path) => format!("syslog:{}", path.display()),
            })),
            "log.every" => Some(text(&span(self.log.every))),
            "stats.publish" => path(self.publish.as_deref()?),
            "log.round" => Some(self.log.round.to_string()),
            _ => None,
        }
    }
}

fn deliver(deliver: &Deliver) -> String {
    let place = |place: &Place| match place {
        Place::Tcp(address) => address.to_string(),
        Place::Unix(path) => format!("unix:{}", path.display()),
    };
    match deliver {
        Deliver::Smtp(to) => format!("smtp:{}", place(to)),
        Deliver::Lmtp(to) => format!("lmtp:{}", place(to)),
        Deliver::Sendmail(path) => format!("sendmail:{}", path.display()),
        Deliver::Maildir(path) => format!("maildir:{}", path.display()),
    }
}

fn rate(rate: Option<Rate>) -> String {
    text(&rate.map_or_else(|| "none".into(), |Rate { count, per }| format!("{count}/{}", span(per))))
}

/// A list of what shows itself; none if it is empty.
fn shown_list<T: ToString>(items: &[T]) -> Option<String> {
    let all: Vec<_> = items.iter().map(ToString::to_string).collect();
    (!all.is_empty()).then(|| list(all.iter().map(String::as_str)))
}

/// A text as TOML has it.
fn text(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn list<'a>(items: impl Iterator<Item = &'a str>) -> String {
    format!("[{}]", items.map(text).collect::<Vec<_>>().join(", "))
}
