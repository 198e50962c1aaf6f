//! A Postfix of our own: loopback, one directory, Maildir delivery, nothing that can leave the machine.
//!
//! It shares nothing with an installed one but the programs. No chroot, no DNS, no syslog, no service manager.

use crate::mta::on_the_wire;
pub(crate) use crate::mta::{open_to_all, run};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Postfix ends by itself after this many seconds, whatever became of the test.
const LIFETIME: &str = "900";

/// What Debian installs Postfix's daemons as.
const MASTER: &str = "/usr/lib/postfix/sbin/master";

/// A user that Debian always has: pipe(8) refuses root and the user of Postfix itself.
pub(crate) const NOBODY: u32 = 65534;

/// A running Postfix; stopped when dropped.
pub(crate) struct Postfix {
    dir: PathBuf,
    port: u16,
}

impl Postfix {
    /// Starts one in `dir`, which everybody must be able to enter, that is at home in `domain` with `mailboxes` there.
    ///
    /// `main` and `master` are added to main.cf and master.cf. It listens when this returns.
    pub(crate) fn start(dir: &Path, domain: &str, mailboxes: &[&str], main: &str, master: &str) -> Self {
        for sub in ["etc", "spool", "data", "mail"] {
            fs::create_dir_all(dir.join(sub)).unwrap();
        }
        open_to_all(dir);
        run(Command::new("chown").arg("postfix").arg(dir.join("data")));
        run(Command::new("chown").arg(NOBODY.to_string()).arg(dir.join("mail")));
        let port = crate::network::free_ports(1)[0];
        let rows: String = mailboxes.iter().map(|local| format!("{local}@{domain} {local}@{domain}/\n")).collect();
        fs::write(dir.join("etc/mailboxes"), rows).unwrap();
        fs::write(dir.join("etc/main.cf"), main_cf(dir, domain) + main).unwrap();
        fs::write(dir.join("etc/master.cf"), master_cf(port) + master).unwrap();
        let postfix = Self { dir: dir.to_owned(), port };
        // Makes the queue's directories, and refuses what is wrong.
        run(&mut postfix.postfix("check"));
        postfix.start_again();
        postfix
    }

    /// Starts it after [`Self::stop`]; it listens when this returns.
    pub(crate) fn start_again(&self) {
        run(Command::new(MASTER).arg("-c").arg(self.etc()).args(["-e", LIFETIME, "-w"]));
    }

    /// Stops it; what waits in its queue stays there.
    pub(crate) fn stop(&self) {
        run(&mut self.postfix("stop"));
    }

    /// Puts `to` for `from` in master.cf; for the next start.
    pub(crate) fn change_master(&self, from: &str, to: &str) {
        let path = self.etc().join("master.cf");
        fs::write(&path, crate::with(&fs::read_to_string(&path).unwrap(), &[(from, to)])).unwrap();
    }

    /// Changes a parameter of main.cf; for the next start.
    pub(crate) fn set(&self, parameter: &str) {
        run(Command::new("postconf").arg("-c").arg(self.etc()).args(["-e", parameter]));
    }

    /// Hands `mail`, byte for byte, over by swaks, as the mail program of `from` would.
    pub(crate) fn submit(&self, from: &str, recipients: &[&str], mail: &[u8]) {
        run(self.swaks(from, recipients, mail).arg("--hide-all"));
    }

    /// What [`Self::submit`] runs.
    pub(crate) fn swaks(&self, from: &str, recipients: &[&str], mail: &[u8]) -> Command {
        let file = self.dir.join("data.eml");
        fs::write(&file, on_the_wire(mail)).unwrap();
        let mut swaks = Command::new("swaks");
        swaks.args(["--server", &format!("127.0.0.1:{}", self.port), "--from", from, "--to", &recipients.join(",")]);
        swaks.args(["--no-data-fixup", "--data", &format!("@{}", file.display())]);
        swaks
    }

    /// One row for each mail that waits, as `postqueue -j` prints it.
    pub(crate) fn queue(&self) -> Vec<serde_json::Value> {
        let out = run(Command::new("/usr/sbin/postqueue").arg("-c").arg(self.etc()).arg("-j"));
        String::from_utf8(out.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// All that was delivered to `local@domain`, in no order.
    pub(crate) fn mailbox(&self, address: &str) -> Vec<Vec<u8>> {
        let Ok(entries) = fs::read_dir(self.dir.join("mail").join(address).join("new")) else { return Vec::new() };
        entries.map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect()
    }

    /// Its own log.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.join("mail.log")).unwrap_or_default()
    }

    fn postfix(&self, verb: &str) -> Command {
        let mut postfix = Command::new("/usr/sbin/postfix");
        postfix.arg("-c").arg(self.etc()).arg(verb);
        postfix
    }

    /// Where it listens.
    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// Where its configuration lies.
    pub(crate) fn etc(&self) -> PathBuf {
        self.dir.join("etc")
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        let stop = self.postfix("stop").output();
        if std::thread::panicking() {
            eprintln!("--- log of the Postfix in {}, stopped ({stop:?})\n{}", self.dir.display(), self.log());
        }
    }
}

/// What must be there for a Postfix to start; empty if all is.
pub(crate) fn missing() -> Vec<&'static str> {
    let is_root = run(Command::new("id").arg("-u")).stdout == b"0\n";
    let mut missing = Vec::new();
    if !is_root {
        missing.push("root: Postfix does not start without");
    }
    for (program, package) in [
        (MASTER, "the Debian package postfix"),
        ("/usr/bin/swaks", "the Debian package swaks"),
        ("/usr/bin/gpg", "the Debian package gnupg"),
        ("/usr/bin/miltertest", "the Debian package miltertest"),
    ] {
        if !Path::new(program).exists() {
            missing.push(package);
        }
    }
    missing
}

fn main_cf(dir: &Path, domain: &str) -> String {
    let dir = dir.display();
    format!(
        "compatibility_level = 3.6
queue_directory = {dir}/spool
data_directory = {dir}/data
maillog_file_prefixes = {dir}
maillog_file = {dir}/mail.log
myhostname = mx.{domain}
myorigin = {domain}
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtpd_peername_lookup = no
smtp_dns_support_level = disabled
smtp_host_lookup = native
default_transport = error:5.4.4 nothing leaves this machine
alias_maps =
alias_database =
biff = no
append_dot_mydomain = no
message_size_limit = 20480000
mailbox_size_limit = 0
virtual_mailbox_limit = 0
virtual_mailbox_domains = {domain}
virtual_mailbox_maps = texthash:{dir}/etc/mailboxes
virtual_mailbox_base = {dir}/mail
virtual_uid_maps = static:{NOBODY}
virtual_gid_maps = static:{NOBODY}
virtual_minimum_uid = 100
minimal_backoff_time = 2s
maximal_backoff_time = 4s
queue_run_delay = 2s
"
    )
}

fn master_cf(port: u16) -> String {
    format!(
        "127.0.0.1:{port} inet n - n - - smtpd
cleanup    unix n - n - 0 cleanup
qmgr       unix n - n 1 1 qmgr
rewrite    unix - - n - - trivial-rewrite
bounce     unix - - n - 0 bounce
defer      unix - - n - 0 bounce
trace      unix - - n - 0 bounce
flush      unix n - n - 0 flush
showq      unix n - n - - showq
proxymap   unix - - n - - proxymap
smtp       unix - - n - - smtp
error      unix - - n - - error
retry      unix - - n - - error
virtual    unix - n n - - virtual
anvil      unix - - n - 1 anvil
postlog    unix-dgram n - n - 1 postlogd
"
    )
}
