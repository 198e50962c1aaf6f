//! Why a node doesn't start, or had to stop, in words for its operator.

use super::local::BindError;
use crate::mail::block::NotAList;
use crate::store::StoreError;
use crate::sys::block_file::BlockFileError;
use crate::sys::exit_code::ExitCode;
use crate::sys::file::SecretError;
use crate::sys::key_file::KeyFileError;
use std::io::{Error, ErrorKind};
use std::net::SocketAddr;
use std::path::Path;
use thiserror::Error;

/// What is wrong, what was found, what to do: the three parts of every error of fog.
#[derive(Debug, Error)]
#[error("{what}")]
pub struct Trouble {
    /// The code the process ends with.
    pub exit: ExitCode,
    /// What is wrong, in one line without a full stop.
    pub what: String,
    /// What was found, and what was expected.
    pub found: Option<String>,
    /// What to type or do.
    pub hint: Option<String>,
}

impl Trouble {
    pub(super) fn new(exit: ExitCode, what: impl Into<String>) -> Self {
        Self { exit, what: what.into(), found: None, hint: None }
    }

    pub(super) fn found(self, found: impl Into<String>) -> Self {
        Self { found: Some(found.into()), ..self }
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    pub(super) fn os(what: &str, error: &Error) -> Self {
        Self::new(ExitCode::Io, what).found(error.to_string())
    }

    pub(super) fn key(path: &Path, error: &KeyFileError) -> Self {
        let path = path.display();
        let trouble = |exit, what: &str| Self::new(exit, what).found(format!("{path}: {error}"));
        match error {
            KeyFileError::File(SecretError::Access { .. }) => {
                trouble(ExitCode::Config, "the node key can be read by others")
                    .found(format!("{error}, wanted 0600"))
                    .hint(format!("chmod 600 {path}"))
            }
            KeyFileError::File(SecretError::Io(io)) if io.kind() == ErrorKind::NotFound => {
                trouble(ExitCode::Config, "there is no node key").hint("fog init")
            }
            KeyFileError::File(_) => trouble(ExitCode::Io, "the node key can't be read"),
            KeyFileError::Malformed(_) => trouble(ExitCode::Config, "the node key is damaged")
                .hint("put it back from your copy, or move it away and make a new node with fog init"),
        }
    }

    pub(super) fn authority_key(path: &Path, error: &KeyFileError) -> Self {
        let (found, path) = (format!("{}: {error}", path.display()), path.display());
        let trouble = |what: &str| Self::new(ExitCode::Config, what).found(found.clone());
        match error {
            KeyFileError::File(SecretError::Access { .. }) => {
                trouble("the authority's key can be read by others").hint(format!("chmod 600 {path}"))
            }
            KeyFileError::File(SecretError::Io(io)) if io.kind() == ErrorKind::NotFound => {
                trouble("the node has the role of an authority and not its key")
                    .hint("put the key back from your copy, or take \"authority\" out of node.roles")
            }
            KeyFileError::File(_) => trouble("the authority's key can't be read").hint(
                "with systemd: LoadCredential=authority.key:/etc/fog/authority.key in a drop-in of fog-node.service",
            ),
            KeyFileError::Malformed(_) => trouble("the authority's key is damaged").hint("put it back from your copy"),
        }
    }

    pub(super) fn store(dir: &Path, error: &StoreError) -> Self {
        let path = dir.display();
        let trouble = |exit, what: &str| Self::new(exit, what).found(format!("{path}: {error}"));
        match error {
            StoreError::Locked(_) => trouble(ExitCode::Exists, "another node works on this spool")
                .hint("stop it first, or give this node a spool.path of its own"),
            StoreError::Access { path, wanted, .. } => trouble(ExitCode::Config, "others can get at the spool")
                .found(error.to_string())
                .hint(format!("chmod {wanted:o} {}", path.display())),
            StoreError::Newer(_) => {
                trouble(ExitCode::Config, "the spool was made by a newer fog").hint("install that version again")
            }
            StoreError::Full => {
                trouble(ExitCode::Io, "the disk is full").hint("make room on its file system, then start the node")
            }
            StoreError::Io { source, .. } if source.kind() == ErrorKind::NotFound => {
                trouble(ExitCode::Config, "there is no spool").hint("fog init")
            }
            StoreError::Io { source, .. } if source.kind() == ErrorKind::ReadOnlyFilesystem => {
                trouble(ExitCode::Io, "the disk can't be written to")
                    .hint(format!("see why: dmesg; then: mount -o remount,rw $(df --output=target {path} | tail -1)"))
            }
            _ if error.is_damage() => trouble(ExitCode::Data, "the spool is damaged")
                .hint("what it holds can't be trusted any more: man fog-node, WHEN THE DISK FAILS"),
            _ => trouble(ExitCode::Io, "the store failed")
                .hint("look after the disk, then start the node; what it had acknowledged is kept"),
        }
    }

    pub(super) fn block_list(path: &Path, error: &BlockFileError) -> Self {
        let path = path.display();
        let trouble =
            Self::new(ExitCode::Config, "who is not to be written to can't be read").found(format!("{path}: {error}"));
        match error {
            BlockFileError::Io(error) if error.kind() == ErrorKind::NotFound => {
                trouble.hint("exit.block names it: correct that, or make the list there with fog block add")
            }
            BlockFileError::Io(_) => trouble.hint("let the user fog runs as read it"),
            BlockFileError::NotAList(NotAList::OtherKey) => {
                trouble.hint(format!("put the node key of that time back, or move {path} away and ask people again"))
            }
            BlockFileError::NotAList(NotAList::Malformed(_)) => {
                trouble.hint(format!("take that line out of {path}; fog block writes the others"))
            }
        }
    }

    pub(super) fn listen(address: SocketAddr, error: &Error) -> Self {
        let trouble = Self::new(ExitCode::Io, "links can't be listened for").found(format!("{address}: {error}"));
        match error.kind() {
            ErrorKind::AddrInUse => {
                trouble.hint(format!("see who has it: ss -ltnp sport = :{}; or change node.listen", address.port()))
            }
            ErrorKind::AddrNotAvailable => trouble.hint("node.listen must be an address of this machine"),
            _ => trouble,
        }
    }

    /// `key` is the one of fog.toml(5) that the path comes from.
    pub(super) fn socket(path: &Path, key: &str, error: &BindError) -> Self {
        let shown = path.display();
        let trouble = |exit| Self::new(exit, "a socket can't be opened").found(format!("{shown}: {error}"));
        match error {
            BindError::InUse => trouble(ExitCode::Exists).hint(format!("stop the other node, or change {key}")),
            BindError::NotASocket => trouble(ExitCode::Exists).hint(format!("look at it, and move it away: {shown}")),
            BindError::Io(io) if io.kind() == ErrorKind::NotFound => {
                let dir = path.parent().unwrap_or(path).display();
                trouble(ExitCode::Config).hint(format!("make its directory: mkdir {dir}; or change {key}"))
            }
            BindError::Io(io) if io.kind() == ErrorKind::PermissionDenied => trouble(ExitCode::Permission)
                .hint(format!("let the user fog runs as write to that directory, or change {key}")),
            // The length of a Unix socket's path is limited to 107 bytes.
            BindError::Io(io) if io.kind() == ErrorKind::InvalidInput => {
                trouble(ExitCode::Config).hint(format!("a socket's path has at most 107 bytes: change {key}"))
            }
            BindError::Io(_) => trouble(ExitCode::Io),
        }
    }
}
