//! `fog simulate`: how well a network would hide its letters, and how soon they would arrive.

use super::error::CliError;
use super::global::Global;
use super::words::io_trouble;
use crate::sim::{self, Habits, Model, Plan, Report};
use crate::sys::exit_code::ExitCode;
use crate::sys::{clock, file};
use crate::time::Time;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

/// Nothing is said of what takes less.
const PATIENCE: Duration = Duration::from_secs(2);

/// Between two words on how far it is.
const TELL_EVERY: Duration = Duration::from_millis(250);

/// Letters looked at unless one says how many.
const LOOKED_AT: usize = 1000;

/// What is to be simulated.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// How many nodes; each is a mix
    #[arg(long, default_value_t = 5, value_name = "N")]
    pub nodes: usize,
    /// How many mails, each of two packets
    #[arg(long, default_value_t = 1000, value_name = "M")]
    pub mails: usize,
    /// How many nodes are exits too; a third of them if not given
    #[arg(long, value_name = "N")]
    pub exits: Option<usize>,
    /// So many of the others work together against a sender (again for another number)
    #[arg(long, value_name = "N")]
    pub bad: Vec<usize>,
    /// The days over which the mails are handed in
    #[arg(long, default_value_t = 7.0, value_name = "D")]
    pub days: f64,
    /// Letters that the observer looks at, at most
    #[arg(long, default_value_t = LOOKED_AT, value_name = "N")]
    pub letters: usize,
    /// Who plays: the nodes' real engines, or their laws alone
    #[arg(long, value_name = "MODEL")]
    pub model: Option<Player>,
    /// Without cover: nodes send only mail (light model)
    #[arg(long)]
    pub no_cover: bool,
    /// Without receipts; exits answer nothing
    #[arg(long)]
    pub no_receipts: bool,
    /// Where chance begins: the same number gives the same figures
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,
    /// Write the observer's figures to this file too
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
    /// Draw them into this file
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
}

/// Who plays the network.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Player {
    /// A real engine, store and packets for each node
    Engines,
    /// Slots, ways, delays and batches alone
    Light,
}

/// Simulates it.
///
/// # Errors
/// What of the command line makes no network, or a file that can't be written.
pub fn run(args: &Args, global: &Global) -> Result<(), CliError> {
    let plan = plan(args, global)?;
    for path in [&args.csv, &args.svg].into_iter().flatten() {
        is_writable(path)?;
    }
    let progress = Progress::new(global.quiet);
    let report = sim::run(&plan, &|what, share| progress.tell(what, share));
    progress.clear();
    let report = report.map_err(|error| unplayable(&error))?;
    write_files(args, &report)?;
    if global.json {
        return super::print(format!("{}\n", report.to_json()).as_bytes());
    }
    if global.quiet { Ok(()) } else { super::print(report.to_text().as_bytes()) }
}

fn plan(args: &Args, global: &Global) -> Result<Plan, CliError> {
    let (params, others) = crate::config::network(&global.set, false)?;
    if let Some(other) = others.first() {
        return Err(CliError::new(ExitCode::Usage, "a simulated network has no configuration")
            .found(format!("--set {other}; only parameters of the network can be set"))
            .try_("fog simulate --set network.mean-delay=2h"));
    }
    let model = args.model.map(|player| match player {
        Player::Engines => Model::Engines,
        Player::Light => Model::Light,
    });
    let usual = [args.nodes.div_ceil(10), args.nodes.div_ceil(5)];
    let usual = usual.into_iter().filter(|bad| *bad + 2 <= args.nodes);
    let mut bad = if args.bad.is_empty() { usual.collect() } else { args.bad.clone() };
    bad.dedup();
    let plan = Plan {
        nodes: args.nodes,
        exits: args.exits.unwrap_or(args.nodes.div_ceil(3).max(2)),
        mails: args.mails,
        bad,
        days: args.days,
        params,
        habits: Habits { cover: !args.no_cover, receipts: !args.no_receipts },
        model,
        looked_at: args.letters,
        seed: args.seed,
    };
    plan.check().map_err(|error| unplayable(&error))?;
    Ok(plan)
}

fn unplayable(error: &sim::PlanError) -> CliError {
    CliError::new(ExitCode::Usage, "that can't be simulated").found(error.to_string()).try_("fog simulate --help")
}

/// Whether the file's directory is there: better known now than when the work is done.
fn is_writable(path: &Path) -> Result<(), CliError> {
    let dir = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let kind = std::fs::metadata(dir).map_err(|error| io_trouble(dir, &error))?;
    if path.is_dir() || !kind.is_dir() {
        return Err(io_trouble(path, &io::Error::from(io::ErrorKind::IsADirectory)));
    }
    Ok(())
}

fn write_files(args: &Args, report: &Report) -> Result<(), CliError> {
    let write = |path: &Option<PathBuf>, text: &dyn Fn() -> String| match path {
        Some(path) => file::replace(path, text().as_bytes(), 0o644).map_err(|error| io_trouble(path, &error)),
        None => Ok(()),
    };
    write(&args.csv, &|| report.to_csv())?;
    write(&args.svg, &|| sim::svg(report))
}

/// Says on a terminal how far it is, on one line that is gone at the end.
struct Progress {
    shown: bool,
    begun: Time,
    last: Mutex<Option<Time>>,
}

impl Progress {
    fn new(quiet: bool) -> Self {
        Self { shown: !quiet && io::stderr().is_terminal(), begun: clock::now(), last: Mutex::new(None) }
    }

    fn tell(&self, what: &str, share: f64) {
        // Who comes while another one writes has nothing to add.
        let Some(mut last) = self.last.try_lock().ok().filter(|_| self.shown) else { return };
        let now = clock::now();
        if now.since(self.begun) < PATIENCE || last.is_some_and(|last| now.since(last) < TELL_EVERY) {
            return;
        }
        *last = Some(now);
        let _ = write!(io::stderr(), "\r\x1b[K{what}: {:.0} %", share.min(1.0) * 100.0);
    }

    fn clear(&self) {
        if self.last.lock().is_ok_and(|last| last.is_some()) {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
