//! The files with the long-lived secret keys: a node's (identity and link) and an authority's (identity).
//!
//! Text, one key a line, each a 32-byte seed in base64: short enough to be copied to paper by hand.

use super::file::{self, SecretError};
use crate::directory::IdentityKey;
use crate::secret::Secret;
use data_encoding::BASE64;
use rand_core::CryptoRng;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;
use zeroize::Zeroizing;

const NODE: &str = "fog node key 1";
const AUTHORITY: &str = "fog authority key 1";

/// Why a key file isn't taken.
#[derive(Debug, Error)]
pub enum KeyFileError {
    /// It can't be read, or others can read it.
    #[error(transparent)]
    File(#[from] SecretError),
    /// It isn't what fog writes.
    #[error("this is no file that begins with `{0}` and was written by fog")]
    Malformed(&'static str),
}

/// What makes a node this node.
#[derive(Debug)]
pub struct NodeKey {
    /// Signs its descriptors.
    pub identity: IdentityKey,
    /// Its X25519 private key on links.
    pub link: Secret<32>,
}

impl NodeKey {
    /// Draws a key and writes it to `path`, readable by its owner alone.
    ///
    /// # Errors
    /// `AlreadyExists` if there is anything at `path`; else what the operating system says.
    pub fn create(path: &Path, rng: &mut impl CryptoRng) -> io::Result<Self> {
        let [identity, link] = [draw(rng), draw(rng)];
        write(path, NODE, &[("identity", &identity), ("link", &link)])?;
        Ok(Self { identity: IdentityKey::from_seed(&identity), link })
    }

    /// Reads what `create` wrote.
    ///
    /// # Errors
    /// See `KeyFileError`.
    pub fn read(path: &Path) -> Result<Self, KeyFileError> {
        Self::parse(&file::read_secret(path)?)
    }

    /// Reads the key that systemd hands to its service alone, from a file that may be root's.
    ///
    /// # Errors
    /// As `read`.
    pub fn read_credential(path: &Path) -> Result<Self, KeyFileError> {
        Self::parse(&file::read_credential(path).map_err(SecretError::Io)?)
    }

    fn parse(text: &str) -> Result<Self, KeyFileError> {
        let [identity, link] = parse(text, NODE, ["identity", "link"]).ok_or(KeyFileError::Malformed(NODE))?;
        Ok(Self { identity: IdentityKey::from_seed(&identity), link })
    }

    /// The public half of the link key, as the descriptor says it.
    #[must_use]
    pub fn link_public(&self) -> [u8; 32] {
        x25519_dalek::PublicKey::from(&x25519_dalek::StaticSecret::from(*self.link.expose())).to_bytes()
    }
}

/// Where systemd has put the node key for this process, if it has (`LoadCredential=node.key:...`).
#[must_use]
pub fn credential() -> Option<PathBuf> {
    let path = PathBuf::from(std::env::var_os("CREDENTIALS_DIRECTORY")?).join("node.key");
    path.exists().then_some(path)
}

/// As `credential`, the key of the authority (`LoadCredential=authority.key:...`).
#[must_use]
pub fn authority_credential() -> Option<PathBuf> {
    let path = PathBuf::from(std::env::var_os("CREDENTIALS_DIRECTORY")?).join("authority.key");
    path.exists().then_some(path)
}

/// Draws an authority's key and writes it to `path`, readable by its owner alone.
///
/// # Errors
/// `AlreadyExists` if there is anything at `path`; else what the operating system says.
pub fn create_authority(path: &Path, rng: &mut impl CryptoRng) -> io::Result<IdentityKey> {
    let identity = draw(rng);
    write(path, AUTHORITY, &[("identity", &identity)])?;
    Ok(IdentityKey::from_seed(&identity))
}

/// Reads what `create_authority` wrote.
///
/// # Errors
/// See `KeyFileError`.
pub fn read_authority(path: &Path) -> Result<IdentityKey, KeyFileError> {
    parse_authority(&file::read_secret(path)?)
}

/// Reads the authority's key that systemd hands to its service alone, from a file that may be root's.
///
/// # Errors
/// See `KeyFileError`.
pub fn read_authority_credential(path: &Path) -> Result<IdentityKey, KeyFileError> {
    parse_authority(&file::read_credential(path).map_err(SecretError::Io)?)
}

fn parse_authority(text: &str) -> Result<IdentityKey, KeyFileError> {
    let [identity] = parse(text, AUTHORITY, ["identity"]).ok_or(KeyFileError::Malformed(AUTHORITY))?;
    Ok(IdentityKey::from_seed(&identity))
}

fn draw(rng: &mut impl CryptoRng) -> Secret<32> {
    Secret::filled(|bytes| rng.fill_bytes(bytes))
}

fn write(path: &Path, header: &str, keys: &[(&str, &Secret<32>)]) -> io::Result<()> {
    // Room from the start: a text that grows leaves copies behind.
    let mut text = Zeroizing::new(String::with_capacity(256));
    text.push_str(header);
    for (name, key) in keys {
        let encoded = Zeroizing::new(BASE64.encode(key.expose()));
        for part in ["\n", name, " ", &encoded] {
            text.push_str(part);
        }
    }
    text.push('\n');
    file::create(path, text.as_bytes(), file::SECRET)
}

fn parse<const N: usize>(text: &str, header: &str, names: [&str; N]) -> Option<[Secret<32>; N]> {
    let mut lines = text.lines();
    let good_header = lines.next() == Some(header);
    let keys = names.map(|name| parse_key(lines.next()?.strip_prefix(name)?.strip_prefix(' ')?));
    let done = good_header && lines.next().is_none() && keys.iter().all(Option::is_some);
    done.then(|| keys.map(|key| key.expect("all are there: checked just above")))
}

fn parse_key(encoded: &str) -> Option<Secret<32>> {
    // 44 base64 digits may stand for 33 bytes; 32 of them are the key.
    let mut bytes = Zeroizing::new([0; 33]);
    let fits = encoded.len() == BASE64.encode_len(32);
    let decoded = fits.then(|| BASE64.decode_mut(encoded.as_bytes(), &mut *bytes).ok())?;
    let key = bytes.first_chunk::<32>().filter(|_| decoded == Some(32))?;
    Some(Secret::filled(|secret| secret.copy_from_slice(key)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_node_key_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.key");
        let made = NodeKey::create(&path, &mut rand::rng()).unwrap();
        let read = NodeKey::read(&path).unwrap();
        assert_eq!(made.identity.node_id(), read.identity.node_id());
        assert_eq!((&made.link, made.link_public()), (&read.link, read.link_public()));
        assert_ne!(made.identity.public().as_bytes(), &made.link_public());
        assert_eq!(NodeKey::create(&path, &mut rand::rng()).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    }

    #[test]
    fn a_credential_is_read_whatever_its_mode() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.key");
        let made = NodeKey::create(&path, &mut rand::rng()).unwrap();
        // As systemd leaves it where an access list lets the service in.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o440)).unwrap();
        assert_eq!(NodeKey::read_credential(&path).unwrap().link_public(), made.link_public());
        assert!(NodeKey::read(&path).is_err());
    }

    #[test]
    fn an_authority_key_is_no_node_key() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("authority.key");
        let made = create_authority(&path, &mut rand::rng()).unwrap();
        assert_eq!(read_authority(&path).unwrap().node_id(), made.node_id());
        assert!(matches!(NodeKey::read(&path), Err(KeyFileError::Malformed(NODE))));
    }

    #[test]
    fn a_key_file_that_was_edited_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.key");
        NodeKey::create(&path, &mut rand::rng()).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let line = text.lines().nth(1).unwrap();
        for edited in [
            String::new(),
            text.replace("key 1", "key 2"),
            text.replace(line, ""),
            text.replace(line, &line[..line.len() - 4]),
            text.replace("link ", "link  "),
            format!("{text}more\n"),
            text.replace(line, &format!("identity {}", BASE64.encode(&[0; 33]))),
        ] {
            fs::write(&path, &edited).unwrap();
            assert!(matches!(NodeKey::read(&path), Err(KeyFileError::Malformed(_))), "{edited}");
        }
    }

    #[test]
    fn the_link_key_is_the_one_of_rfc_7748() {
        let hex =
            |text: &str| -> [u8; 32] { data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap().try_into().unwrap() };
        let private = hex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
        let public = hex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
        let key = NodeKey {
            identity: IdentityKey::from_seed(&Secret::filled(|_| ())),
            link: Secret::filled(|bytes| bytes.copy_from_slice(&private)),
        };
        assert_eq!(key.link_public(), public);
    }
}
