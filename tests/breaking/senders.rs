//! An MTA's side of two entries: each mail again and again under one queue id, until it is taken.

use fog::id::QueueId;
use fog::mta::bsmtp::Transaction;
use fog::mta::pipe::{self, Piped};
use fog::mta::request;
use fog::mta::submit::submit;
use fog::submit::Source;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Those who send at once.
const SENDERS: u64 = 4;

/// From one try to the next.
const AGAIN: Duration = Duration::from_millis(200);

/// The domain that senders write from, whose mail is at home beside the entries.
pub(crate) const HOME: &str = "home.invalid";

/// The mails that were accepted, by their marks, and what each is called on its entry.
pub(crate) type Accepted = BTreeMap<usize, QueueId>;

pub(crate) struct Senders {
    threads: Vec<JoinHandle<()>>,
    accepted: Arc<Mutex<Accepted>>,
}

/// At which of so many entries the mail with this mark is handed in.
pub(crate) const fn entry_of(mark: usize, entries: usize) -> usize {
    mark % entries
}

impl Senders {
    /// Each sender waits for a while between two mails, `pace` times their number on the average.
    pub(crate) fn start(fog: &Path, entries: &[PathBuf], mails: u64, pace: Duration, seed: u64) -> Self {
        let (next, accepted) = (Arc::new(AtomicU64::new(0)), Arc::<Mutex<Accepted>>::default());
        let start = |sender| {
            let (fog, entries) = (fog.to_owned(), entries.to_owned());
            let (next, accepted) = (Arc::clone(&next), Arc::clone(&accepted));
            let mut rng = StdRng::seed_from_u64(seed ^ sender << 8);
            thread::spawn(move || {
                loop {
                    let mark = next.fetch_add(1, Ordering::Relaxed);
                    if mark >= mails {
                        return;
                    }
                    let mark = usize::try_from(mark).unwrap();
                    let mail = mail(mark, size(&mut rng));
                    let entry = &entries[entry_of(mark, entries.len())];
                    while !hand_in(&fog, entry, mark, &mail) {
                        thread::sleep(AGAIN);
                    }
                    accepted.lock().unwrap().insert(mark, name(entry, mark, &mail));
                    let most = 2 * SENDERS * u64::try_from(pace.as_millis()).unwrap();
                    thread::sleep(Duration::from_millis(rng.random_range(0..=most)));
                }
            })
        };
        Self { threads: (0..SENDERS).map(start).collect(), accepted }
    }

    pub(crate) fn are_done(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }

    /// How many mails were accepted.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.lock().unwrap().len()
    }

    /// What they know, when all of them have ended.
    pub(crate) fn end(self) -> Accepted {
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
        self.accepted.lock().unwrap().clone()
    }
}

/// From 1 KB to 2 MB; most are small.
fn size(rng: &mut StdRng) -> usize {
    match rng.random_range(0..100) {
        0..70 => rng.random_range(1_000..20_000),
        70..98 => rng.random_range(20_000..200_000),
        _ => rng.random_range(200_000..2_000_000),
    }
}

/// A mail that doesn't become smaller by being compressed.
fn mail(mark: usize, size: usize) -> Vec<u8> {
    let mut rng = StdRng::seed_from_u64(mark as u64);
    let mut mail =
        format!("Return-Path: <mark-{mark}@{HOME}>\nDelivered-To: bob@example.org.fog\nSubject: mark {mark}\n\n");
    while mail.len() < size {
        (0..72).for_each(|_| mail.push(char::from(rng.random_range(b'0'..b'z'))));
        mail.push('\n');
    }
    mail.into_bytes()
}

fn queue_id(mark: usize) -> String {
    format!("Q{mark}")
}

fn hand_in(fog: &Path, config: &Path, mark: usize, mail: &[u8]) -> bool {
    let mut send = Command::new(fog);
    send.args(["send", "--mta", "--queue-id", &queue_id(mark), "--config"]).arg(config);
    let mut child = send.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // It may have given up already, without reading.
    let _ = child.stdin.take().unwrap().write_all(mail);
    child.wait().unwrap().success()
}

/// What a mail that was accepted is called on its entry, which an MTA is not told. Handed in once more under its queue id it is
/// taken for the same one, and the answer has the name.
fn name(config: &Path, mark: usize, mail: &[u8]) -> QueueId {
    let Piped { sender, recipient, mail } = pipe::envelope(mail).unwrap();
    let mail =
        Transaction { sender, recipients: recipient.into_iter().collect(), misaddressed: false, mail: mail.to_vec() };
    let request = request::request(mail, "fog", Source::Mta, Some(queue_id(mark).into_bytes())).unwrap();
    let socket = config.with_file_name("run").join("submit.sock");
    loop {
        // The entry may have been killed.
        if let Some(name) = submit(&socket, &request, || true).ok().and_then(|outcomes| outcomes[0].name()) {
            return name;
        }
        thread::sleep(AGAIN);
    }
}
