//! The Unix socket at which links come in, where it is one: the node can make it, and Tor can use it, and nobody else.

use super::finding::Finding;
use super::text;
use super::whom::{Denied, Want, Whom};
use crate::config::Listen;
use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

/// Whom Tor runs as: in Debian, and elsewhere.
const TORS: [&str; 3] = ["debian-tor", "tor", "_tor"];

/// Debian's confinement of Tor, and what the machine's operator adds to it.
const TORS_PROFILE: [&str; 2] = ["/etc/apparmor.d/system_tor", "/etc/apparmor.d/local/system_tor"];

/// Tor's account on this machine, if there is one.
pub(super) fn tor(passwd: &str, group: &str) -> Option<Whom> {
    TORS.iter().find_map(|name| Whom::find(name, passwd, group))
}

/// What there is to say of it; nothing of a port, which is everybody's.
pub(super) fn findings(listen: &Listen, node: &Whom, tor: Option<&Whom>) -> Vec<Finding> {
    let Listen::Unix(path) = listen else { return Vec::new() };
    let Some(dir) = path.parent() else { return Vec::new() };
    if let Some(wrong) = place(path, dir, node) {
        return vec![wrong];
    }
    let is_on = text("/sys/module/apparmor/parameters/enabled").starts_with('Y');
    let mut found = vec![callers(path, dir, tor)];
    found.extend(confined(path, is_on, &TORS_PROFILE.map(text)));
    found
}

/// What keeps the node from listening there.
fn place(path: &Path, dir: &Path, node: &Whom) -> Option<Finding> {
    let (shown, above) = (path.display(), dir.display());
    let make = format!("install -d -m 2750 -o {} -g debian-tor {above}; or change node.listen", node.name);
    match fs::metadata(dir) {
        Err(error) => {
            let says = format!("node.listen wants a socket in {above}: {error}");
            return Some(Finding::wrong("links", says).hint(make));
        }
        Ok(found) if !found.is_dir() => {
            let says = format!("node.listen wants a socket in {above}, which is no directory");
            return Some(Finding::wrong("links", says).hint("change node.listen"));
        }
        Ok(_) => {}
    }
    match fs::symlink_metadata(path) {
        Ok(there) if there.file_type().is_socket() => None,
        Ok(_) => Some(
            Finding::wrong("links", format!("{shown} is no socket: the node leaves it alone, and doesn't start"))
                .hint(format!("move it away: mv {shown} {shown}.old; or change node.listen")),
        ),
        Err(_) => {
            let denied = [Want::Enter, Want::Write].into_iter().find_map(|want| node.may(want, dir).err())?;
            Some(not_allowed(format!("{} can make no socket in {above}", node.name), &denied))
        }
    }
}

/// Who can call there.
fn callers(path: &Path, dir: &Path, tor: Option<&Whom>) -> Finding {
    let shown = path.display();
    let anybody = Whom::anybody();
    if anybody.may(Want::Write, dir).is_ok() && anybody.may(Want::Enter, dir).is_ok() {
        let says = format!("every program of this machine can put a socket of its own in the place of {shown}");
        return Finding::wrong("links", says).hint(format!("chmod o-w {}", dir.display()));
    }
    // Before the node has made it, it is to be open to all who get as far (node::listen).
    let may_call = |whom: &Whom| if path.exists() { whom.may(Want::Write, path) } else { whom.may(Want::Enter, dir) };
    let Some(tor) = tor else {
        return Finding::careful("links", format!("whether Tor can call at {shown} is not known: nobody is {TORS:?}"))
            .hint("fog setup tor");
    };
    if let Err(denied) = may_call(tor) {
        return not_allowed(format!("Tor, which is {}, can't call at {shown}: no link comes in", tor.name), &denied);
    }
    if may_call(&anybody).is_ok() {
        return Finding::careful("links", format!("every program of this machine can call at {shown}, not Tor alone"))
            .hint(format!("SocketGroup={} and SocketMode=0660 in fog-node.socket: fog-node(8)", tor.name));
    }
    Finding::good("links", format!("{} can call at {shown}, and not everybody", tor.name))
}

fn not_allowed(says: String, denied: &Denied) -> Finding {
    let finding = Finding::wrong("links", says);
    match denied {
        Denied::Mode(at) => {
            finding.hint(format!("see who may: ls -ld {}; fog-node(8), \"Under systemd\"", at.display()))
        }
        Denied::Io(error) => finding.hint(format!("{error}; fog-node(8), \"Under systemd\"")),
    }
}

/// Whether AppArmor lets Tor call there, as far as Debian's profile says; there are kernels that don't ask it of sockets.
fn confined(path: &Path, is_on: bool, profile: &[String]) -> Option<Finding> {
    let [debians, local] = profile else { return None };
    let rule = path.display().to_string();
    let names = |text: &String| text.lines().any(|line| !line.trim().starts_with('#') && line.contains(&rule));
    if !is_on || debians.is_empty() || names(debians) || names(local) {
        return None;
    }
    let says = format!("AppArmor's profile of Tor does not name {rule}: on some kernels Tor can't call there");
    let add = format!("echo '{rule} rw,' >>{}", TORS_PROFILE.last().copied().unwrap_or_default());
    Some(Finding::careful("links", says).hint(format!("{add}; apparmor_parser -r /etc/apparmor.d/system_tor")))
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixListener;
    use std::path::PathBuf;
    use tempfile::TempDir;

    /// A directory with this mode, and a socket in it, if it has one.
    fn made(dir_mode: u32, socket_mode: Option<u32>) -> (TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("links.sock");
        let chmod = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        if let Some(mode) = socket_mode {
            drop(UnixListener::bind(&path).unwrap());
            chmod(&path, mode);
        }
        chmod(dir.path(), dir_mode);
        (dir, path)
    }

    fn owner(of: &Path) -> Whom {
        use std::os::unix::fs::MetadataExt;
        let found = fs::metadata(of).unwrap();
        Whom::runs(found.uid(), found.gid())
    }

    /// Of the same group as what `of` belongs to.
    fn member(of: &Path) -> Whom {
        use std::os::unix::fs::MetadataExt;
        Whom::runs(65_000, fs::metadata(of).unwrap().gid())
    }

    #[test]
    fn tor_can_call_and_nobody_else_or_it_is_told() {
        for (dir_mode, socket_mode, state, says) in [
            (0o2750, None, State::Good, "can call at"),
            (0o2750, Some(0o666), State::Good, "can call at"),
            (0o2755, Some(0o660), State::Good, "can call at"),
            (0o2755, None, State::Careful, "every program of this machine can call"),
            (0o2755, Some(0o666), State::Careful, "every program of this machine can call"),
            (0o1777, None, State::Wrong, "a socket of its own in the place of"),
            (0o2755, Some(0o600), State::Wrong, "can't call at"),
            (0o2700, Some(0o666), State::Wrong, "can't call at"),
            (0o2700, None, State::Wrong, "can't call at"),
        ] {
            let (dir, path) = made(dir_mode, socket_mode);
            let found = callers(&path, dir.path(), Some(&member(dir.path())));
            assert!(found.state == state && found.says.contains(says), "{dir_mode:o} {socket_mode:?}: {found:?}");
        }
        let (dir, path) = made(0o2750, None);
        let found = callers(&path, dir.path(), None);
        assert!(found.state == State::Careful && found.says.contains("not known"), "{found:?}");
    }

    #[test]
    fn there_is_a_place_for_the_socket_or_it_is_told() {
        let (dir, path) = made(0o2755, None);
        let of = |path: &Path, node: &Whom| place(path, path.parent().unwrap(), node);
        let says = |found: Option<Finding>, what: &str| {
            let is_told = |it: &Finding| it.state == State::Wrong && it.says.contains(what);
            assert!(found.as_ref().is_some_and(is_told), "{found:?}")
        };
        assert_eq!(of(&path, &owner(dir.path())), None);
        says(of(&path, &Whom::anybody()), "can make no socket in");
        says(of(&dir.path().join("none/links.sock"), &owner(dir.path())), "No such file");
        fs::write(&path, "").unwrap();
        says(of(&path, &owner(dir.path())), "is no socket");
        says(of(&path.join("links.sock"), &owner(dir.path())), "which is no directory");
        fs::remove_file(&path).unwrap();
        // Systemd makes it where the node itself can't.
        drop(UnixListener::bind(&path).unwrap());
        assert_eq!(of(&path, &Whom::anybody()), None);
    }

    #[test]
    fn a_profile_of_tor_that_does_not_name_the_socket_is_told_where_it_is_in_force() {
        let path = Path::new("/run/fog/links.sock");
        let debians = "  owner /var/lib/tor/** rwk,\n".to_owned();
        let named = "# what fog wants\n/run/fog/links.sock rw,\n".to_owned();
        let of = |is_on, debians: &String, local: &String| confined(path, is_on, &[debians.clone(), local.clone()]);
        let found = of(true, &debians, &"# /run/fog/links.sock rw,\n".into()).unwrap();
        assert!(found.state == State::Careful && found.hint.unwrap().contains("'/run/fog/links.sock rw,' >>/etc"));
        assert_eq!(of(true, &debians, &named), None);
        assert_eq!(of(true, &named, &String::new()), None);
        assert_eq!(of(false, &debians, &String::new()), None);
        assert_eq!(of(true, &String::new(), &String::new()), None, "there is no such profile");
    }
}
