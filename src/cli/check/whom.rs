//! The user a service runs as, and what that user may get at: root may read everything, the service may not.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A user and all groups they are in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Whom {
    pub(super) name: String,
    uid: u32,
    gids: Vec<u32>,
}

/// What is to be done with a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Want {
    Read,
    Write,
    /// Of a directory: get at what is in it.
    Enter,
}

/// Why it can't be.
#[derive(Debug)]
pub(super) enum Denied {
    /// By the mode of this file, or of a directory above it.
    Mode(PathBuf),
    Io(io::Error),
}

impl Whom {
    /// The user `name` of `passwd` and `group`, the texts of those files.
    pub(super) fn find(name: &str, passwd: &str, group: &str) -> Option<Self> {
        let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        let uid = fields.next()?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        let others = group.lines().filter_map(|line| {
            let mut fields = line.split(':').skip(2);
            let gid = fields.next()?.parse().ok()?;
            fields.next()?.split(',').any(|member| member == name).then_some(gid)
        });
        Some(Self { name: name.to_owned(), uid, gids: std::iter::once(gid).chain(others).collect() })
    }

    /// Whom Postfix's pipe(8) runs a program as: `user` is a user, or a user and a group behind a colon. They are in the one
    /// group alone, their own or that which is named, whatever others the system has them in.
    pub(super) fn of_pipe(user: &str, passwd: &str, group: &str) -> Option<Self> {
        let (name, named) = user.split_once(':').map_or((user, None), |(name, named)| (name, Some(named)));
        let found = Self::find(name, passwd, "")?;
        let Some(named) = named else { return Some(found) };
        let line = group.lines().find(|line| line.split(':').next() == Some(named))?;
        Some(Self { gids: vec![line.split(':').nth(2)?.parse().ok()?], ..found })
    }

    /// Whoever runs this.
    pub(super) fn runs(uid: u32, gid: u32) -> Self {
        Self { name: format!("uid {uid}"), uid, gids: vec![gid] }
    }

    /// Somebody to whom nothing belongs, in no group that anything belongs to.
    pub(super) fn anybody() -> Self {
        Self { name: "anybody".to_owned(), uid: u32::MAX, gids: Vec::new() }
    }

    pub(super) const fn uid(&self) -> u32 {
        self.uid
    }

    /// Whether they may do what is wanted with `path`, as far as modes say.
    pub(super) fn may(&self, want: Want, path: &Path) -> Result<(), Denied> {
        let path = fs::canonicalize(path).map_err(Denied::Io)?;
        let mut above: Vec<_> = path.ancestors().skip(1).collect();
        above.reverse();
        for dir in above {
            self.has(0o1, dir)?;
        }
        let bit = match want {
            Want::Read => 0o4,
            Want::Write => 0o2,
            Want::Enter => 0o1,
        };
        self.has(bit, &path)
    }

    fn has(&self, bit: u32, path: &Path) -> Result<(), Denied> {
        let found = fs::metadata(path).map_err(Denied::Io)?;
        if self.allows(bit, found.mode(), found.uid(), found.gid()) {
            Ok(())
        } else {
            Err(Denied::Mode(path.to_owned()))
        }
    }

    /// The first of owner, group and others that fits decides, as in path_resolution(7).
    fn allows(&self, bit: u32, mode: u32, uid: u32, gid: u32) -> bool {
        if self.uid == 0 {
            return true;
        }
        let shift = if uid == self.uid {
            6
        } else if self.gids.contains(&gid) {
            3
        } else {
            0
        };
        mode >> shift & bit != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0::/root:/bin/sh\nfog:x:900:901::/:/usr/sbin/nologin\nfogger:x:7:7::/:/bin/sh\n";
    const GROUP: &str = "fog:x:901:\nadm:x:4:syslog,fog\nmail:x:8:fogger\n";

    #[test]
    fn a_user_is_in_their_own_group_and_those_that_name_them() {
        let fog = Whom::find("fog", PASSWD, GROUP).unwrap();
        assert_eq!((fog.uid, fog.gids), (900, vec![901, 4]));
        assert_eq!(Whom::find("fo", PASSWD, GROUP), None);
    }

    #[test]
    fn a_pipe_runs_with_one_group_alone() {
        let gids = |user| Whom::of_pipe(user, PASSWD, GROUP).map(|whom| whom.gids);
        assert_eq!(gids("fog"), Some(vec![901]));
        assert_eq!(gids("fog:mail"), Some(vec![8]));
        assert_eq!(gids("nobody"), None);
        assert_eq!(gids("fog:nogroup"), None);
    }

    #[test]
    fn the_first_that_fits_decides() {
        let fog = Whom::find("fog", PASSWD, GROUP).unwrap();
        for (mode, uid, gid, want) in [
            (0o400, 900, 0, true),
            (0o044, 900, 0, false),
            (0o040, 0, 4, true),
            (0o604, 0, 901, false),
            (0o604, 0, 0, true),
            (0o640, 0, 0, false),
        ] {
            assert_eq!(fog.allows(0o4, mode, uid, gid), want, "{mode:o} {uid}:{gid}");
        }
        assert!(Whom::runs(0, 0).allows(0o4, 0, 1, 1));
    }

    #[test]
    fn a_directory_that_is_shut_shuts_what_is_in_it() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "x").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let stranger = Whom::runs(65_534, 65_534);
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
        assert!(matches!(stranger.may(Want::Read, &path), Err(Denied::Mode(shut)) if shut == dir.path()));
        assert!(matches!(stranger.may(Want::Enter, dir.path()), Err(Denied::Mode(shut)) if shut == dir.path()));
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o711)).unwrap();
        assert!(stranger.may(Want::Enter, dir.path()).is_ok());
        assert!(stranger.may(Want::Read, &path).is_ok());
        assert!(matches!(stranger.may(Want::Write, &path), Err(Denied::Mode(shut)) if shut == path));
        assert!(matches!(stranger.may(Want::Read, &dir.path().join("none")), Err(Denied::Io(_))));
    }
}
