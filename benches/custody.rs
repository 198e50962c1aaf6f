//! Custody on a real disk: a full pool, packets in and out in batches, each batch durable before the next.
//!
//! ```text
//! cargo bench --bench custody -- --pooled 100000 --churn 40000 --dir /var/tmp
//! ```
//!
//! A child process fills the pool and lets packets in and out; then it is killed with SIGKILL while it goes on, and the
//! store it leaves is opened again. One line comes last:
//! `durable_packets_per_s=… rss_mb=… reopen_s=… pooled=…`. `rss_mb` is the most the child ever had. The line before it
//! is the limit: what the same disk does at the same time with bare slots, overwritten and synced once a batch.
#![allow(
    missing_docs,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program that takes times and says them"
)]

use fog::id::Epoch;
use fog::sphinx::geometry::{BODY_LEN, HEADER_LEN};
use fog::store::{Marks, RowId, SLOT_LEN, Shelf, Store};
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use std::error::Error;
use std::fs::{self, File, Permissions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Packets that one commit makes durable.
const BATCH: usize = 64;
/// What is kept of a pooled packet: when it leaves and whither, sealed ...
const META_LEN: usize = 42;
/// ... and its next header and body key.
const RECORD_LEN: usize = HEADER_LEN + 128;
const EPOCH: Epoch = Epoch(7);

struct Options {
    pooled: usize,
    churn: usize,
    dir: PathBuf,
    child: bool,
}

fn main() -> Outcome<()> {
    let options = options()?;
    if options.child { custody(&options) } else { measure(options) }
}

fn options() -> Outcome<Options> {
    let dir = env!("CARGO_TARGET_TMPDIR").into();
    let mut options = Options { pooled: 100_000, churn: 40_000, dir, child: false };
    let mut given = std::env::args().skip(1);
    while let Some(name) = given.next() {
        let mut value = || given.next().ok_or_else(|| format!("{name} wants a value"));
        match name.as_str() {
            "--pooled" => options.pooled = value()?.parse()?,
            "--churn" => options.churn = value()?.parse()?,
            "--dir" => options.dir = value()?.into(),
            "--child" => options.child = true,
            // cargo says so itself.
            "--bench" => {}
            _ => return Err(format!("{name}: there are --pooled N, --churn N and --dir DIR").into()),
        }
    }
    Ok(options)
}

/// Starts the child, waits for its figures, kills it at its work and opens what it leaves.
fn measure(options: Options) -> Outcome<()> {
    let store = tempfile::tempdir_in(&options.dir)?;
    fs::set_permissions(store.path(), Permissions::from_mode(0o700))?;
    let (pooled, churn) = (options.pooled.to_string(), options.churn.to_string());
    let mut child = Command::new(std::env::current_exe()?)
        .args(["--child", "--pooled", &pooled, "--churn", &churn, "--dir"])
        .arg(store.path())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut figures = String::new();
    BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut figures)?;
    child.kill()?;
    child.wait()?;
    if figures.is_empty() {
        return Err("the child ended early".into());
    }
    let began = Instant::now();
    let opened = Store::open(store.path())?;
    let reopen = began.elapsed().as_secs_f64();
    let kept = opened.rows(Shelf::Pool)?.len();
    if kept != options.pooled {
        return Err(format!("{kept} packets are left of {}", options.pooled).into());
    }
    drop(opened);
    eprintln!("the disk alone: {:.0} slots/s", disk_alone(store.path())?);
    println!("{} reopen_s={reopen:.2} pooled={}", figures.trim(), options.pooled);
    Ok(())
}

/// Slots a second that the disk takes in batches, without a store.
fn disk_alone(dir: &Path) -> Outcome<f64> {
    const SLOTS: usize = 64 * BATCH;
    let mut slot = vec![0; SLOT_LEN];
    let file = File::create(dir.join("slots"))?;
    let offset = |at: usize| (at * SLOT_LEN) as u64;
    for at in 0..SLOTS {
        file.write_all_at(&slot, offset(at))?;
    }
    file.sync_all()?;
    StdRng::seed_from_u64(2).fill_bytes(&mut slot);
    let began = Instant::now();
    for batch in 0..SLOTS / BATCH {
        for at in 0..BATCH {
            file.write_all_at(&slot, offset(at * SLOTS / BATCH + batch))?;
        }
        file.sync_data()?;
    }
    Ok(SLOTS as f64 / began.elapsed().as_secs_f64())
}

/// Fills the pool, measures packets in and out, and goes on until it is killed.
fn custody(options: &Options) -> Outcome<()> {
    let mut rng = StdRng::seed_from_u64(1);
    let mut store = Store::open(&options.dir)?;
    store.ensure_keys(EPOCH, EPOCH, &mut rng)?;
    let mut pool = Vec::with_capacity(options.pooled);
    let began = Instant::now();
    while pool.len() < options.pooled {
        let batch = BATCH.min(options.pooled - pool.len());
        turn(&mut store, &mut pool, batch, 0, &mut rng)?;
    }
    eprintln!("filled with {} packets in {:.0} s", options.pooled, began.elapsed().as_secs_f64());
    let batches = options.churn.div_ceil(BATCH);
    let began = Instant::now();
    for _ in 0..batches {
        turn(&mut store, &mut pool, BATCH, BATCH.min(options.pooled), &mut rng)?;
    }
    let rate = (batches * BATCH) as f64 / began.elapsed().as_secs_f64();
    println!("durable_packets_per_s={rate:.0} rss_mb={}", peak_mb()?);
    std::io::stdout().flush()?;
    loop {
        turn(&mut store, &mut pool, BATCH, BATCH.min(options.pooled), &mut rng)?;
    }
}

/// One commit: `come` packets come in, each with its replay tag, and `leave` of those in the pool, drawn at random as
/// mixing does, are read and leave.
fn turn(store: &mut Store, pool: &mut Vec<RowId>, come: usize, leave: usize, rng: &mut StdRng) -> Outcome<()> {
    let mut body = vec![0; BODY_LEN];
    rng.fill_bytes(&mut body);
    let mut txn = store.begin()?;
    let mut came = Vec::with_capacity(come);
    for _ in 0..come {
        // Bodies differ, or a disk that compresses would have it too easy; drawing all of each would be measured, too.
        body.rotate_left(64);
        if !txn.mark(Marks::Replay, EPOCH, rng.random())? {
            return Err("a tag came twice".into());
        }
        came.push(txn.put(Shelf::Pool, EPOCH, &[1; META_LEN], &[2; RECORD_LEN], &body, rng)?);
    }
    for _ in 0..leave {
        let id = pool.swap_remove(rng.random_range(0..pool.len()));
        if txn.read(Shelf::Pool, id)?.raw.len() != BODY_LEN {
            return Err("a packet came back shorter".into());
        }
        txn.delete(Shelf::Pool, id)?;
    }
    txn.commit()?;
    pool.extend(came);
    Ok(())
}

/// The most memory this process has had, in MB.
fn peak_mb() -> Outcome<u64> {
    let status = fs::read_to_string(Path::new("/proc/self/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1024 / 1_000_000)
}
