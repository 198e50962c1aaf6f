//! Handing a mail to an MTA's `sendmail` program: `sendmail -i -f SENDER -- RECIPIENT`, the mail on its input.
//!
//! Never `-t`, which also writes to who stands in the header, and never `-N`, which Exim takes for "pretend".

use crate::delivery::Disposition;
use crate::mta::maildir::with_line_feeds;
use crate::mta::smtp::{Envelope, check};
use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// Where the program finds its own helpers. Nothing else of our environment is passed on.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// Runs `program` with the mail, for at most `limit`. What it prints is thrown away: it may hold the recipient.
///
/// The recipient stands in the arguments; an `Address` can't begin with `-`. A program that ends with 0 and has not read
/// all of the mail has not taken it.
///
/// # Errors
/// The program can't be started. The mail is where it was.
pub(super) async fn deliver(program: &Path, envelope: Envelope<'_>, limit: Duration) -> io::Result<Disposition> {
    if check(envelope.mail).is_err() {
        return Ok(Disposition::Permanent);
    }
    let sender = envelope.from.map_or_else(|| "<>".to_owned(), ToString::to_string);
    let mut child = Command::new(program)
        .args(["-i", "-f", &sender, "--", &envelope.to.to_string()])
        .env_clear()
        .env("PATH", PATH)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    Ok(match timeout(limit, feed(&mut child, &with_line_feeds(envelope.mail))).await {
        Ok(Ok(status)) => disposition(status),
        // Cut off, or killed when `child` is dropped: it may have the mail, and a second copy is better than none.
        Ok(Err(_)) | Err(_) => Disposition::Temporary,
    })
}

async fn feed(child: &mut Child, mail: &[u8]) -> io::Result<ExitStatus> {
    let mut written = Ok(());
    if let Some(mut stdin) = child.stdin.take() {
        written = stdin.write_all(mail).await;
    }
    let status = child.wait().await?;
    // One that refuses need not read on; its status says why.
    if status.success() { written.map(|()| status) } else { Ok(status) }
}

/// What sysexits(3) mean here: data and recipient are about this mail, everything else about how this MTA is set up.
fn disposition(status: ExitStatus) -> Disposition {
    const DATAERR: i32 = 65;
    const NOUSER: i32 = 67;
    const NOHOST: i32 = 68;
    match status.code() {
        Some(0) => Disposition::Delivered,
        Some(DATAERR | NOUSER | NOHOST) => Disposition::Permanent,
        _ => Disposition::Temporary,
    }
}
