//! An MTA's side of two entries: each mail again and again under one queue id, until it is taken.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Those who send at once.
const SENDERS: u64 = 4;

/// The domain that senders write from, whose mail is at home beside the entries.
pub(crate) const HOME: &str = "home.invalid";

pub(crate) struct Senders {
    threads: Vec<JoinHandle<()>>,
    accepted: Arc<Mutex<Vec<usize>>>,
}

impl Senders {
    /// Each sender waits for a while between two mails, `pace` times their number on the average.
    pub(crate) fn start(fog: &Path, entries: &[PathBuf], mails: u64, pace: Duration, seed: u64) -> Self {
        let (next, accepted) = (Arc::new(AtomicU64::new(0)), Arc::<Mutex<Vec<usize>>>::default());
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
                    let entry = &entries[mark % entries.len()];
                    while !hand_in(&fog, entry, mark, &mail) {
                        thread::sleep(Duration::from_millis(200));
                    }
                    accepted.lock().unwrap().push(mark);
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

    pub(crate) fn accepted(&self) -> Vec<usize> {
        self.accepted.lock().unwrap().clone()
    }

    /// What they know, when all of them have ended.
    pub(crate) fn end(self) -> Vec<usize> {
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

fn hand_in(fog: &Path, config: &Path, mark: usize, mail: &[u8]) -> bool {
    let mut send = Command::new(fog);
    send.args(["send", "--mta", "--queue-id", &format!("Q{mark}"), "--config"]).arg(config);
    let mut child = send.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // It may have given up already, without reading.
    let _ = child.stdin.take().unwrap().write_all(mail);
    child.wait().unwrap().success()
}
