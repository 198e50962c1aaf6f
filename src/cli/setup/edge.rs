//! What `fog setup` reads, runs and writes. Decisions are made elsewhere.

use super::plan::{Check, Plan, Step, shell};
use super::{client_auth, exim, milter, postfix, tor};
use crate::cli::check::run_program;
use crate::cli::error::CliError;
use crate::cli::local_domains::{self, Local};
use crate::cli::main_cf;
use crate::cli::master_cf::Service;
use crate::cli::words::{io_trouble, rfc3339};
use crate::sys::exit_code::ExitCode;
use crate::sys::{clock, file};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use zeroize::Zeroizing;

/// Longest configuration file that is read.
const MAX_FILE: u64 = 4 << 20;
/// Where programs of the system lie; root's own PATH may lack half of it.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin";

/// A Postfix as its own programs tell it.
pub(super) fn postfix(dir: &Path, suffix: &str) -> Result<postfix::Found, CliError> {
    let conf = |arguments: &[&str]| {
        let place = dir.display().to_string();
        let words = ["postconf", "-c", &place].into_iter().chain(arguments.iter().copied()).map(str::to_owned);
        text_of(&words.collect::<Vec<_>>())
    };
    let values: BTreeMap<_, _> = conf(&postfix::PARAMETERS)?
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
        .collect();
    let mut services = BTreeMap::new();
    for name in postfix::SERVICES {
        let words = conf(&["-M", name])?.split_whitespace().collect::<Vec<_>>().join(" ");
        if !words.is_empty() {
            services.insert(name.to_owned(), words);
        }
    }
    let master = conf(&["-M"])?.lines().filter_map(Service::parse).collect();
    let queue = PathBuf::from(conf(&["-x", "-h", "queue_directory"])?.trim());
    let tables = conf(&["-x", "-h", "transport_maps"])?;
    let place = dir.display().to_string();
    Ok(postfix::Found {
        dir: dir.to_owned(),
        values,
        services,
        taken_by: main_cf::members(&tables).into_iter().filter(|table| takes_fog(&place, table, suffix)).collect(),
        master,
        header_checks: read(&dir.join("fog_header_checks"))?,
        milter_listens: milter::answers(&queue.join(postfix::MILTER_SOCKET)),
        has_user: has_accounts()?,
        runs: output(&["postfix", "-c", &place, "status"].map(str::to_owned)).is_ok_and(|out| out.status.success()),
    })
}

/// The domains whose mail this Postfix delivers on this machine.
pub(super) fn postfix_domains(dir: &Path, suffix: &str) -> Result<Local, CliError> {
    local_domains::of_postfix(dir, suffix).map_err(|error| {
        CliError::new(ExitCode::Config, "Postfix does not say whose mail it delivers here").found(error.to_string())
    })
}

/// Whether a table that is not ours has an answer for mail to .fog, in any way that transport(5) asks it.
fn takes_fog(place: &str, table: &str, suffix: &str) -> bool {
    if table.contains("{fog.invalid = ") {
        return false;
    }
    let domain = format!("setup.example.{suffix}");
    let door = ["anon@fog.invalid", "fog.invalid"].map(str::to_owned);
    let named = [format!("fog@{domain}"), domain, format!(".example.{suffix}"), format!(".{suffix}")];
    let keys = named.iter().chain(&door);
    keys.into_iter().any(|key| {
        let argv = ["postmap", "-c", place, "-q", key, table].map(str::to_owned);
        // A table that can't be read is Postfix's own trouble, and has no answer.
        output(&argv).is_ok_and(|out| out.status.success() && !out.stdout.is_empty())
    })
}

/// An Exim as its files tell it.
pub(super) fn exim(dir: &Path) -> Result<exim::Found, CliError> {
    let answers = read(&dir.join("update-exim4.conf.conf"))?;
    let own = dir.join("exim4.conf");
    let own_text = read(&own)?;
    let generated = own_text.is_none();
    let split = answers.iter().flat_map(|text| text.lines()).any(|line| {
        line.trim().strip_prefix("dc_use_split_config=").is_some_and(|v| v.trim_matches(['\'', '"']) == "true")
    });
    let layout = match own_text {
        Some(text) => exim::Layout::One { path: own, text },
        None if split => exim::Layout::Split {
            router: read(&dir.join("conf.d/router/180_fog"))?,
            transport: read(&dir.join("conf.d/transport/30_fog"))?,
        },
        None => {
            let path = dir.join("exim4.conf.template");
            let text = read(&path)?.ok_or_else(|| {
                CliError::new(ExitCode::NoInput, format!("there is no Exim configuration in {}", dir.display()))
                    .found("neither exim4.conf nor exim4.conf.template; nothing was changed")
                    .try_("fog setup exim --config-dir DIR")
            })?;
            exim::Layout::One { path, text }
        }
    };
    let daemon = read(Path::new("/run/exim4/exim.pid"))?.and_then(|text| text.trim().parse().ok());
    let daemon = daemon.filter(|pid| Path::new(&format!("/proc/{pid}")).exists());
    Ok(exim::Found {
        dir: dir.to_owned(),
        layout,
        answers: answers.unwrap_or_default(),
        generated,
        has_user: has_accounts()?,
        daemon,
    })
}

/// The domains whose mail this Exim delivers on this machine. Nothing is known of one that is not in use yet.
pub(super) fn exim_domains(found: &exim::Found, suffix: &str) -> Local {
    let usual = found.dir == Path::new("/etc/exim4");
    let place = match &found.layout {
        _ if usual => Vec::new(),
        exim::Layout::One { path, .. } if !found.generated => vec!["-C".to_owned(), path.display().to_string()],
        _ => return Local::default(),
    };
    let ask = |words: &[&str]| run_program(Command::new("exim4").args(&place).args(words));
    // A configuration of one's own may have no list of that name.
    local_domains::of_exim(ask, suffix).unwrap_or_default()
}

/// Whether there are the user and the group of the pipe.
fn has_accounts() -> Result<bool, CliError> {
    let has = |database: &str, name: &str| {
        output(&["getent", database, name].map(str::to_owned)).map(|out| out.status.success())
    };
    Ok(has("passwd", "fog-mta")? && has("group", "fog-submit")?)
}

/// A Tor as its files tell it.
pub(super) fn tor(dir: &Path) -> Result<tor::Found, CliError> {
    let path = dir.join("torrc");
    let defaults = PathBuf::from("/usr/share/tor/tor-service-defaults-torrc");
    let defaults = read(&defaults)?.map(|text| (defaults, text));
    let mut keys = BTreeMap::new();
    for (dir, end) in client_auth::PLACES {
        let Ok(entries) = fs::read_dir(dir) else { continue };
        for entry in entries {
            let path = entry.map_err(|error| io_trouble(Path::new(dir), &error))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.starts_with("fog-") && name.ends_with(end) {
                keys.extend(read(&path)?.map(|text| (path, Zeroizing::new(text))));
            }
        }
    }
    Ok(tor::Found { torrc: read(&path)?, path, defaults, keys })
}

/// Does what `plan` says: first copies of all that will change, then the steps, then what looks at the result. Says which
/// copies were made. If anything fails, every file is put back as it was.
pub(super) fn carry_out(plan: &Plan) -> Result<Vec<PathBuf>, CliError> {
    if plan.steps.is_empty() {
        return Ok(Vec::new());
    }
    let before =
        plan.touched.iter().map(|path| Ok((path.clone(), read(path)?))).collect::<Result<Vec<_>, CliError>>()?;
    let kept = keep(plan)?;
    let done = plan.steps.iter().try_for_each(do_step).and_then(|()| plan.checks.iter().try_for_each(look));
    if let Err(error) = done {
        put_back(plan, &before)?;
        // What was made from them is made again; the first error is the one to tell.
        plan.checks.iter().for_each(|check| drop(output(&check.argv)));
        let found = error.found.map(|found| format!("{found}\n")).unwrap_or_default();
        return Err(CliError { found: Some(format!("{found}every file was put back as it was")), ..error });
    }
    plan.last.iter().try_for_each(|argv| must(argv))?;
    Ok(kept)
}

/// Copies beside the files, with the date in their names: programs that read a whole directory pass over them.
fn keep(plan: &Plan) -> Result<Vec<PathBuf>, CliError> {
    let date: String = rfc3339(clock::now()).chars().filter(|c| !"-:".contains(*c)).collect();
    let files = plan.steps.iter().filter_map(|step| match step {
        Step::File { path, before: Some(_), .. } => Some(path),
        _ => None,
    });
    let mut kept = Vec::new();
    for path in files.chain(&plan.touched).filter(|path| path.exists()) {
        let copy = PathBuf::from(format!("{}.fog-{date}", path.display()));
        fs::copy(path, &copy).map_err(|error| io_trouble(&copy, &error))?;
        kept.push(copy);
    }
    Ok(kept)
}

fn do_step(step: &Step) -> Result<(), CliError> {
    match step {
        Step::Run(argv) => must(argv),
        Step::File { path, before, after } => {
            if read(path)? != *before {
                return Err(CliError::new(ExitCode::TryAgain, format!("{} has changed meanwhile", path.display())));
            }
            write(path, after.as_deref())
        }
        Step::Secret { path, after, .. } => write_secret(path, after.as_ref()),
    }
}

fn put_back(plan: &Plan, before: &[(PathBuf, Option<String>)]) -> Result<(), CliError> {
    for step in plan.steps.iter().rev() {
        match step {
            Step::File { path, before, .. } => write(path, before.as_deref())?,
            Step::Secret { path, before, .. } => write_secret(path, before.as_ref())?,
            Step::Run(_) => {}
        }
    }
    before.iter().try_for_each(|(path, text)| write(path, text.as_deref()))
}

/// Writes a file with the mode that it has, or for everybody to read if it is new.
fn write(path: &Path, text: Option<&str>) -> Result<(), CliError> {
    // A link stays a link.
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mode = fs::metadata(path).map(|there| there.mode() & 0o7777).unwrap_or(file::PUBLIC);
    let owner = fs::metadata(path).map(|there| (there.uid(), there.gid())).ok();
    let done = match text {
        Some(text) => make_parent(path).and_then(|()| file::replace(path, text.as_bytes(), mode)).and_then(|()| {
            owner.map_or(Ok(()), |(user, group)| std::os::unix::fs::chown(path, Some(user), Some(group)))
        }),
        None => match fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        },
    };
    done.map_err(|error| io_trouble(path, &error))
}

/// Makes the directory that a file is to lie in, for everybody to look into, if it isn't there.
fn make_parent(path: &Path) -> io::Result<()> {
    match path.parent().map(fs::create_dir) {
        Some(Err(error)) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Writes a file for whoever has the directory that it lies in, or the next one above that is there, and for nobody else.
fn write_secret(path: &Path, text: Option<&Zeroizing<String>>) -> Result<(), CliError> {
    let Some(text) = text else { return write(path, None) };
    let missing: Vec<_> = path.ancestors().skip(1).take_while(|dir| !dir.exists()).collect();
    let above = path.ancestors().skip(1).find(|dir| dir.exists()).unwrap_or(Path::new("/"));
    let done = fs::metadata(above).and_then(|above| {
        let give = |path: &Path| std::os::unix::fs::lchown(path, Some(above.uid()), Some(above.gid()));
        for dir in missing.into_iter().rev() {
            file::create_private_dir(dir).and_then(|()| give(dir))?;
        }
        file::replace(path, text.as_bytes(), file::SECRET).and_then(|()| give(path))
    });
    done.map_err(|error| io_trouble(path, &error))
}

/// What is in a file; none if it isn't there.
pub(super) fn read(path: &Path) -> Result<Option<String>, CliError> {
    match file::read_text(path, MAX_FILE) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_trouble(path, &error)),
    }
}

/// What a program prints; it must end well.
fn text_of(argv: &[String]) -> Result<String, CliError> {
    let out = output(argv)?;
    if out.status.success() { Ok(String::from_utf8_lossy(&out.stdout).into_owned()) } else { Err(failed(argv, &out)) }
}

/// Runs what looks at the result.
fn look(check: &Check) -> Result<(), CliError> {
    let said = text_of(&check.argv)?;
    match &check.says {
        Some(wanted) if !said.contains(wanted.as_str()) => {
            Err(CliError::new(ExitCode::Config, format!("{} does not say `{wanted}`", shell(&check.argv))).found(said))
        }
        _ => Ok(()),
    }
}

fn must(argv: &[String]) -> Result<(), CliError> {
    text_of(argv).map(drop)
}

fn output(argv: &[String]) -> Result<Output, CliError> {
    let (program, arguments) = argv.split_first().map_or(("", &[][..]), |(program, rest)| (program.as_str(), rest));
    Command::new(program).args(arguments).env("PATH", PATH).env("LC_ALL", "C").stdin(Stdio::null()).output().map_err(
        |error| {
            let exit = if error.kind() == io::ErrorKind::NotFound { ExitCode::NoInput } else { ExitCode::Io };
            CliError::new(exit, format!("{program} can't be run")).found(format!("{error}; nothing was changed by it"))
        },
    )
}

fn failed(argv: &[String], out: &Output) -> CliError {
    let said = [&out.stdout, &out.stderr].map(|bytes| String::from_utf8_lossy(bytes).trim().to_owned());
    let said = said.iter().filter(|text| !text.is_empty()).cloned().collect::<Vec<_>>().join("\n");
    // Postfix's programs talk to a terminal or to the log.
    let said = if said.is_empty() { "it says why in the mail log".to_owned() } else { said };
    CliError::new(ExitCode::Config, format!("{} ended with {}", shell(argv), out.status)).found(said)
}
