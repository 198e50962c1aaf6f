//! The MTA that the canary is handed to: how, and where traces of it can be left.

use super::super::exim::Exim;
use super::super::postfix::Postfix;
use super::super::{PATH, has_postfix};
use super::canary::{Canary, Field};
use crate::cli::error::CliError;
use crate::sys::exit_code::ExitCode;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Where every program of the system logs.
const LOGS: &str = "/var/log";

/// Which MTA, and what about it decides how a trace is to be judged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Postfix { has_milter: bool },
    Exim,
}

/// An MTA through which mail to the network gets into fog.
#[derive(Debug)]
pub(super) struct Mta {
    pub(super) kind: Kind,
    /// Its `sendmail`, and what that needs to find its configuration.
    sendmail: Vec<String>,
    /// Where it logs, and everybody else.
    pub(super) logs: Vec<PathBuf>,
    /// Where mail lies that it has not got rid of.
    pub(super) spool: Vec<PathBuf>,
    /// Where it puts mail for the users of this machine, and so what it sends back.
    pub(super) mailboxes: Vec<PathBuf>,
}

impl Mta {
    /// The Postfix whose configuration lies in `dir`, or else the Exim of this machine.
    ///
    /// # Errors
    /// There is none, it can't be asked, or mail to the network does not get into fog: it would go out.
    pub(super) fn find(dir: &Path, suffix: &str) -> Result<Self, CliError> {
        let silent = |error: io::Error| {
            CliError::new(ExitCode::Config, "the MTA doesn't say how it is configured")
                .found(format!("{error}; no mail was handed over"))
                .try_("run this as root")
        };
        let (found, goes_to_fog) = if has_postfix(dir) {
            let postfix = Postfix::ask(dir, suffix).map_err(silent)?;
            (Self::postfix(&postfix, dir), postfix.goes_to_fog())
        } else if let Some(exim) = Exim::ask(suffix).map_err(silent)? {
            (Self::exim(&exim), exim.goes_to_fog())
        } else {
            return Err(CliError::new(ExitCode::NoInput, "there is no MTA to hand a mail to")
                .found(format!("neither Postfix in {} nor Exim", dir.display()))
                .try_("fog check --postfix DIR leaks"));
        };
        if goes_to_fog {
            return Ok(found);
        }
        Err(CliError::new(ExitCode::Config, format!("mail to .{suffix} does not get into fog"))
            .found("the MTA would send it elsewhere; no mail was handed over")
            .try_("fog check"))
    }

    fn postfix(postfix: &Postfix, dir: &Path) -> Self {
        let path = |name: &str| Some(PathBuf::from(postfix.value(name))).filter(|path| path.is_absolute());
        let mut sendmail = vec![path("sendmail_path").map_or_else(usual_sendmail, |path| path.display().to_string())];
        if dir != Path::new("/etc/postfix") {
            sendmail.extend(["-C".to_owned(), dir.display().to_string()]);
        }
        Self {
            kind: Kind::Postfix { has_milter: postfix.has_milter("non_smtpd_milters") },
            sendmail,
            logs: path("maillog_file").into_iter().chain([LOGS.into()]).collect(),
            spool: vec![path("queue_directory").unwrap_or_else(|| "/var/spool/postfix".into())],
            mailboxes: path("mail_spool_directory").into_iter().collect(),
        }
    }

    fn exim(exim: &Exim) -> Self {
        let spool = Path::new(exim.value("spool_directory"));
        let logs = exim.value("log_file_path").split(':').map(|path| PathBuf::from(path.trim()));
        let logs = logs.filter(|path| path.is_absolute()).filter_map(|path| path.parent().map(Path::to_owned));
        Self {
            kind: Kind::Exim,
            sendmail: vec![usual_sendmail()],
            // Without a path its log lies in its spool, beside the mail.
            logs: logs.filter(|dir| !dir.starts_with(LOGS)).chain([LOGS.into(), spool.join("log")]).collect(),
            spool: ["input", "msglog", "db", "scan"].map(|dir| spool.join(dir)).into(),
            mailboxes: vec!["/var/mail".into()],
        }
    }

    /// The command line of what hands the canary over. The sender stands in it, as in that of any program which calls
    /// sendmail; the recipient does not.
    fn argv(&self, canary: &Canary) -> Vec<String> {
        let options = ["-t", "-i", "-f", canary.word(Field::Sender)].map(str::to_owned);
        self.sendmail.iter().cloned().chain(options).collect()
    }

    /// The same, as the kernel shows it.
    pub(super) fn own(&self, canary: &Canary) -> Vec<u8> {
        self.argv(canary).iter().flat_map(|word| [word.as_bytes(), &[0]].concat()).collect()
    }

    /// Hands the canary over.
    ///
    /// # Errors
    /// It is not taken.
    pub(super) fn take(&self, canary: &Canary, suffix: &str) -> Result<(), CliError> {
        let argv = self.argv(canary);
        let (program, options) = argv.split_first().map_or(("", &[][..]), |(program, rest)| (program.as_str(), rest));
        let refused = |found: String| {
            CliError::new(ExitCode::TryAgain, format!("{program} does not take the mail")).found(canary.masked(&found))
        };
        let mut sendmail = Command::new(program);
        sendmail.args(options).env_clear().env("PATH", PATH).current_dir("/");
        sendmail.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let ended = sendmail.spawn().and_then(|child| feed(child, canary.mail(suffix).as_bytes()));
        let ended = ended.map_err(|error| refused(error.to_string()))?;
        if ended.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&ended.stderr);
        Err(refused(format!("{}: {}", ended.status, said.trim())))
    }
}

fn usual_sendmail() -> String {
    "/usr/sbin/sendmail".to_owned()
}

fn feed(mut child: Child, mail: &[u8]) -> io::Result<std::process::Output> {
    // One that refuses need not read on; its status says why.
    let written = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(mail));
    let ended = child.wait_with_output()?;
    if ended.status.success() { written.map(|()| ended) } else { Ok(ended) }
}
