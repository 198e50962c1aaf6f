//! Tor's client authorization: an onion that only those can find whose key it has been given (rend-spec-v3).
//!
//! A node's key for that is made of its node key, so there is none more to keep, and Tor, which has to know it, learns
//! nothing of the node key from it. The public half goes from operator to operator by hand: the directory document has
//! none.

use super::plan::Plan;
use crate::cli::error::CliError;
use crate::cli::node_info::draft;
use crate::cli::words::{candidate, io_trouble, key_trouble};
use crate::config::Config;
use crate::directory::is_name;
use crate::secret::Secret;
use crate::sys::exit_code::ExitCode;
use crate::sys::file;
use crate::sys::key_file::NodeKey;
use data_encoding::BASE32_NOPAD;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

/// Names the key that is derived for it (BLAKE3, `derive_key`).
const CONTEXT: &str = "fog 2026-11 tor client authorization";
/// Where Tor finds the keys of those who may come; its own name for it, below the onion's directory.
const MAY_COME: &str = "/var/lib/tor/fog/authorized_clients";
/// Where Tor finds the keys for onions that want one.
pub(super) const WE_COME_WITH: &str = "/var/lib/tor/fog-client-auth";
/// Longest list of keys that is read.
const MAX_LIST: u64 = 1 << 20;

/// Who may come, and where we go.
#[derive(Debug)]
pub(super) struct ClientAuth {
    /// By name.
    may_come: BTreeMap<String, [u8; 32]>,
    /// Onions without their ending, by name.
    onions: BTreeMap<String, String>,
    secret: Secret<32>,
    us: String,
}

impl ClientAuth {
    /// For the node of `config`, with the keys that `list` has, a line `NAME KEY` each.
    ///
    /// # Errors
    /// What is wrong with the list, the node key or the document.
    pub(super) fn read(config: &Config, list: &Path) -> Result<Self, CliError> {
        let key = NodeKey::read(&config.node.key).map_err(|error| key_trouble(&config.node.key, &error))?;
        let text = file::read_text(list, MAX_LIST).map_err(|error| io_trouble(list, &error))?;
        let document = match candidate(&config.spool.document())? {
            Some(document) => Some(document),
            None => candidate(&draft(config))?,
        };
        let known = document.iter().flat_map(|document| document.contents().nodes.values());
        let known = known.map(|node| (node.descriptor().name.clone(), node.descriptor().address.clone()));
        let all = known.chain([(config.node.name.clone(), config.node.onion.clone())]);
        let onions = all.filter_map(|(name, at)| Some((name, at.host().strip_suffix(".onion")?.to_owned()))).collect();
        let secret = Secret::filled(|bytes| *bytes = blake3::derive_key(CONTEXT, key.link.expose()));
        let mut auth = Self { may_come: parse(&text, list)?, onions, secret, us: config.node.name.clone() };
        // We look for our own onion, to see whether it is found.
        auth.may_come.insert(auth.us.clone(), auth.public());
        Ok(auth)
    }

    /// What the others' operators have to be told.
    pub(super) fn told(&self) -> String {
        format!("{} {}", self.us, BASE32_NOPAD.encode(&self.public()))
    }

    fn public(&self) -> [u8; 32] {
        PublicKey::from(&StaticSecret::from(*self.secret.expose())).to_bytes()
    }

    fn files(&self) -> BTreeMap<PathBuf, Zeroizing<String>> {
        let may_come = self.may_come.iter().map(|(name, key)| {
            let line = format!("descriptor:x25519:{}\n", BASE32_NOPAD.encode(key));
            (Path::new(MAY_COME).join(format!("fog-{name}.auth")), Zeroizing::new(line))
        });
        let secret = Zeroizing::new(BASE32_NOPAD.encode(self.secret.expose()));
        let we_go = self.onions.iter().map(|(name, onion)| {
            let line = format!("{onion}:descriptor:x25519:{}\n", *secret);
            (Path::new(WE_COME_WITH).join(format!("fog-{name}.auth_private")), Zeroizing::new(line))
        });
        may_come.chain(we_go).collect()
    }
}

/// Adds what puts `wanted` in the place of what is there; none: takes all of it away.
pub(super) fn plan(plan: &mut Plan, there: &BTreeMap<PathBuf, Zeroizing<String>>, wanted: Option<&ClientAuth>) {
    let wanted = wanted.map(ClientAuth::files).unwrap_or_default();
    for (path, text) in &wanted {
        plan.secret(path, there.get(path), Some(text));
    }
    for (path, text) in there.iter().filter(|(path, _)| !wanted.contains_key(*path)) {
        plan.secret(path, Some(text), None);
    }
}

/// The directories that have such files, and how each of them ends.
pub(super) const PLACES: [(&str, &str); 2] = [(MAY_COME, ".auth"), (WE_COME_WITH, ".auth_private")];

fn parse(text: &str, list: &Path) -> Result<BTreeMap<String, [u8; 32]>, CliError> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    let parsed = lines.map(|(at, line)| {
        let key = |key: &str| BASE32_NOPAD.decode(key.as_bytes()).ok()?.try_into().ok();
        let pair = line.trim().split_once(' ').and_then(|(name, text)| Some((name, key(text.trim())?)));
        pair.filter(|(name, _)| is_name(name)).map(|(name, key)| (name.to_owned(), key)).ok_or_else(|| {
            CliError::new(ExitCode::Data, format!("{}: line {} is no name with a key", list.display(), at + 1))
                .found(line)
                .try_("each node's operator has its line: fog setup tor --client-auth prints it")
        })
    });
    parsed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::setup::plan::Step;

    const KEY: &str = "AAAQEAYEAUDAOCAJBIFQYDIOB4IBCEQTCQKRMFYYDENBWHA5DYPQ";

    fn auth(list: &str) -> ClientAuth {
        let may_come = parse(list, Path::new("list")).unwrap();
        let onions = [("dries".to_owned(), "onion".to_owned())].into();
        ClientAuth { may_come, onions, secret: Secret::filled(|bytes| bytes.fill(1)), us: "us".into() }
    }

    #[test]
    fn who_is_on_the_list_may_come_and_who_has_left_it_no_more() {
        let files = auth(&format!("# of friends\ndries {KEY}\n\n pietro  {KEY}\n")).files();
        let names: Vec<_> = files.keys().map(|path| path.display().to_string()).collect();
        assert_eq!(
            names,
            [
                "/var/lib/tor/fog/authorized_clients/fog-dries.auth",
                "/var/lib/tor/fog/authorized_clients/fog-pietro.auth",
                "/var/lib/tor/fog-client-auth/fog-dries.auth_private",
            ]
        );
        assert_eq!(files.values().next().unwrap().as_str(), format!("descriptor:x25519:{KEY}\n"));
        let steps = |wanted: Option<&ClientAuth>| {
            let mut made = Plan::default();
            plan(&mut made, &files, wanted);
            made.steps
        };
        assert_eq!(steps(Some(&auth(&format!("dries {KEY}\npietro {KEY}\n")))), []);
        let left = steps(Some(&auth(&format!("dries {KEY}\n"))));
        assert!(matches!(&left[..], [Step::Secret { path, after: None, .. }] if path.ends_with("fog-pietro.auth")));
        assert_eq!(steps(None).len(), 3);
    }

    #[test]
    fn what_is_no_list_is_refused_with_its_line() {
        for line in ["dries", "Dries AA", &format!("../x {KEY}"), &format!("dries {KEY}A"), &KEY.to_lowercase()] {
            let error = parse(&format!("pietro {KEY}\n{line}\n"), Path::new("list")).unwrap_err();
            assert!(error.what.contains("line 2"), "{error}");
        }
    }

    #[test]
    fn no_key_is_shown() {
        let mut made = Plan::default();
        plan(&mut made, &BTreeMap::new(), Some(&auth("")));
        let words = made.to_words(false, &[], "again") + &made.to_json(false, &[]).to_string();
        assert!(words.contains("fog-dries.auth_private") && !words.contains("x25519"), "{words}");
    }
}
