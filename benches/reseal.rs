//! The end of an epoch on a real disk: every row that lies under its spool key is sealed under the next one, some of them
//! in each commit, and then the key is destroyed. Nothing else that the engine has to do goes on during a commit.
//!
//! ```text
//! cargo bench --bench reseal -- --rows 100000 --at-once 256 --dir /var/tmp
//! ```
//!
//! One line comes last: `rows=… reseal_s=… commit_ms_p50=… commit_ms_p99=… commit_ms_max=… cpu_ms=… destroy_ms=…`, where
//! `cpu_ms` is what a commit takes of the processor on the average, whoever else wants it. Rows have the length of pooled
//! packets' and no text behind them, which is not sealed anew: only its key, which lies in the row.
#![allow(
    missing_docs,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program that takes times and says them"
)]

use fog::id::Epoch;
use fog::store::{Shelf, Store};
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::error::Error;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Instant;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// What is kept of a pooled packet: when it leaves and whither, sealed.
const META_LEN: usize = 42;
/// Rows that a commit puts there.
const BATCH: usize = 1000;
const OLD: Epoch = Epoch(7);
const NEW: Epoch = Epoch(8);

struct Options {
    rows: usize,
    at_once: usize,
    dir: PathBuf,
}

fn main() -> Outcome<()> {
    let options = options()?;
    let dir = tempfile::tempdir_in(&options.dir)?;
    fs::set_permissions(dir.path(), Permissions::from_mode(0o700))?;
    let mut rng = StdRng::seed_from_u64(1);
    let mut store = Store::open(dir.path())?;
    store.ensure_keys(OLD, NEW, &mut rng)?;
    fill(&mut store, options.rows, &mut rng)?;
    let (began, busy) = (Instant::now(), cpu_ms()?);
    let commits = seal_anew(&mut store, options.at_once, &mut rng)?;
    let took = began.elapsed().as_secs_f64();
    let busy = (cpu_ms()? - busy) / commits.len().max(1) as f64;
    let began = Instant::now();
    if !store.destroy_keys(OLD)? {
        return Err("a row is left under the old key".into());
    }
    let destroyed = began.elapsed().as_secs_f64() * 1000.0;
    let at = |percent: usize| commits.get(commits.len() * percent / 100).or(commits.last()).copied().unwrap_or(0.0);
    println!(
        "rows={} reseal_s={took:.2} commit_ms_p50={:.1} commit_ms_p99={:.1} commit_ms_max={:.1} cpu_ms={busy:.1} destroy_ms={destroyed:.1}",
        options.rows,
        at(50),
        at(99),
        at(100)
    );
    Ok(())
}

fn options() -> Outcome<Options> {
    let mut options = Options { rows: 100_000, at_once: 256, dir: env!("CARGO_TARGET_TMPDIR").into() };
    let mut given = std::env::args().skip(1);
    while let Some(name) = given.next() {
        let mut value = || given.next().ok_or_else(|| format!("{name} wants a value"));
        match name.as_str() {
            "--rows" => options.rows = value()?.parse()?,
            "--at-once" => options.at_once = value()?.parse()?,
            "--dir" => options.dir = value()?.into(),
            // cargo says so itself.
            "--bench" => {}
            _ => return Err(format!("{name}: there are --rows N, --at-once N and --dir DIR").into()),
        }
    }
    Ok(options)
}

fn fill(store: &mut Store, rows: usize, rng: &mut StdRng) -> Outcome<()> {
    let began = Instant::now();
    for first in (0..rows).step_by(BATCH) {
        let mut txn = store.begin()?;
        for _ in first..rows.min(first + BATCH) {
            txn.put(Shelf::Pool, OLD, &[1; META_LEN], &[], &[], rng)?;
        }
        txn.commit()?;
    }
    eprintln!("filled with {rows} rows in {:.1} s", began.elapsed().as_secs_f64());
    Ok(())
}

/// Seals all of them anew; gives how many milliseconds each commit took with what it sealed, the shortest first.
fn seal_anew(store: &mut Store, at_once: usize, rng: &mut StdRng) -> Outcome<Vec<f64>> {
    let mut commits = Vec::new();
    loop {
        let began = Instant::now();
        let mut txn = store.begin()?;
        let sealed = txn.seal_anew(OLD, NEW, at_once, rng)?;
        txn.commit()?;
        if sealed == 0 {
            break;
        }
        commits.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    commits.sort_by(f64::total_cmp);
    Ok(commits)
}

/// What this process has had of the processor, in ms.
fn cpu_ms() -> Outcome<f64> {
    let stat = fs::read_to_string("/proc/self/schedstat")?;
    Ok(stat.split(' ').next().ok_or("no time in schedstat")?.parse::<f64>()? / 1e6)
}
