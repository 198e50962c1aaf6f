//! Whether `fog exit`, where it hands mail to a `sendmail`, may become what that program has to be.
//!
//! Under NoNewPrivileges no program gets another user or group by its mode. Exim's sendmail is set-user-ID and ends with an
//! error; Postfix's calls postdrop(1), which is set-group-ID, and then waits for ever.

use super::finding::Finding;
use crate::config::Deliver;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

/// What Postfix's sendmail calls.
const POSTDROP: &str = "/usr/sbin/postdrop";

const SET_UID: u32 = 0o4000;
const SET_GID: u32 = 0o2000;

/// What a running process may do.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Process {
    no_new_privileges: bool,
    gids: Vec<u32>,
}

/// What the program has to get by its mode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Needs {
    Nothing,
    User,
    /// Or to be in it already.
    Group(u32),
}

/// What there is to say of it. `config` is the configuration's path, by which a process of another one is told apart.
pub(super) fn findings(deliver: &Deliver, config: &Path) -> Option<Finding> {
    let Deliver::Sendmail(program) = deliver else { return None };
    let needs = needs(program);
    let usual = config == crate::cli::global::default_config();
    let config = config.display().to_string();
    let of_ours = |line: &[String]| is_exit(line) && (usual || line.iter().any(|word| word.contains(&config)));
    let running: Vec<_> =
        processes().into_iter().filter(|(line, _)| of_ours(line)).map(|(_, process)| process).collect();
    Some(judge(program, needs, &running))
}

fn judge(program: &Path, needs: Needs, running: &[Process]) -> Finding {
    let shown = program.display();
    if running.is_empty() {
        return Finding::careful("exit", format!("fog exit does not run: whether it may run {shown} can't be seen"))
            .hint("systemctl start fog-exit");
    }
    let lacks = |process: &&Process| match needs {
        Needs::Nothing => false,
        Needs::User => process.no_new_privileges,
        Needs::Group(group) => process.no_new_privileges && !process.gids.contains(&group),
    };
    let Some(_) = running.iter().find(lacks) else {
        return Finding::good("exit", format!("fog exit may become what {shown} has to be"));
    };
    let (why, way) = match needs {
        Needs::Group(_) => {
            ("its postdrop can't join the group postdrop, and waits for ever", "SupplementaryGroups=postdrop")
        }
        Needs::Nothing | Needs::User => ("it can't become the MTA's user", "NoNewPrivileges=no"),
    };
    Finding::wrong("exit", format!("fog exit runs with NoNewPrivileges, and {shown} needs more: {why}")).hint(format!(
        "let it take SMTP instead: exit.deliver = \"smtp:127.0.0.1:25\"\n\
         or what fog-exit.service says of sendmail, {way} among it: systemctl edit fog-exit"
    ))
}

fn needs(program: &Path) -> Needs {
    let mode = |path: &Path| fs::metadata(path).map(|found| (found.permissions().mode(), found.gid())).ok();
    match (mode(program), mode(Path::new(POSTDROP))) {
        (Some((mode, _)), _) if mode & SET_UID != 0 => Needs::User,
        (Some((mode, group)), _) if mode & SET_GID != 0 => Needs::Group(group),
        (Some(_), Some((mode, group))) if mode & SET_GID != 0 => Needs::Group(group),
        _ => Needs::Nothing,
    }
}

fn is_exit(line: &[String]) -> bool {
    let is_fog = line.first().is_some_and(|program| Path::new(program).file_name().is_some_and(|name| name == "fog"));
    is_fog && line.iter().skip(1).any(|word| word == "exit")
}

/// The command line of each process, and what it may do.
fn processes() -> Vec<(Vec<String>, Process)> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let read = |path: &Path| {
        let line = fs::read(path.join("cmdline")).ok().filter(|line| !line.is_empty())?;
        let status = fs::read_to_string(path.join("status")).ok()?;
        let words = String::from_utf8_lossy(&line).split('\0').map(str::to_owned).collect();
        Some((words, process(&status)))
    };
    entries.filter_map(Result::ok).filter_map(|entry| read(&entry.path())).collect()
}

/// `/proc/PID/status`
fn process(status: &str) -> Process {
    let field =
        |name: &str| status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap_or_default();
    let numbers = |text: &str| text.split_whitespace().filter_map(|word| word.parse().ok()).collect::<Vec<u32>>();
    Process {
        no_new_privileges: field("NoNewPrivs").trim() == "1",
        gids: [numbers(field("Gid")), numbers(field("Groups"))].concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;

    #[test]
    fn a_program_that_needs_more_than_fog_exit_may_is_told() {
        let free = process("Name:\tfog\nGid:\t7\t7\t7\t7\nGroups:\t\nNoNewPrivs:\t0\n");
        let bound = process("Gid:\t7\t7\t7\t7\nGroups:\t9 11 \nNoNewPrivs:\t1\n");
        assert_eq!(bound, Process { no_new_privileges: true, gids: vec![7, 7, 7, 7, 9, 11] });
        for (needs, running, state) in [
            (Needs::Group(5), &bound, State::Wrong),
            (Needs::Group(11), &bound, State::Good),
            (Needs::Group(5), &free, State::Good),
            (Needs::User, &bound, State::Wrong),
            (Needs::User, &free, State::Good),
            (Needs::Nothing, &bound, State::Good),
        ] {
            let found = judge(Path::new("/usr/sbin/sendmail"), needs, &[free.clone(), running.clone()]);
            assert_eq!(found.state, state, "{needs:?} {running:?}: {found:?}");
        }
        assert_eq!(judge(Path::new("/x"), Needs::User, &[]).state, State::Careful);
    }

    #[test]
    fn the_exit_is_known_among_all_processes() {
        for (line, want) in [
            ("/usr/bin/fog exit", true),
            ("fog -c /etc/fog/fog.toml exit", true),
            ("/usr/bin/fog node", false),
            ("/bin/sh exit", false),
            ("/usr/bin/fogger exit", false),
        ] {
            assert_eq!(is_exit(&line.split(' ').map(str::to_owned).collect::<Vec<_>>()), want, "{line}");
        }
    }
}
