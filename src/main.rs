//! The `fog` binary: runs the command line and ends the process as it says.

use fog::cli;
use fog::mta::pipe::Parent;
use fog::sys::exit_code::ExitCode;
use fog::sys::memory;
use std::ffi::OsString;
use std::io::Write;

fn main() -> std::process::ExitCode {
    // First of all: once the parent has died it can't be asked for any more.
    let parent = Parent::now();
    let args: Vec<OsString> = std::env::args_os().collect();
    let for_mta = cli::is_for_mta(&args);
    std::panic::set_hook(Box::new(move |panic| end_with_a_bug(panic.location(), for_mta)));
    if let Err(error) = memory::close() {
        cli::note(&format!("fog: a crash may leave what is in memory in a core file: {error}"));
    }
    cli::run(&args, parent).into()
}

/// Says where in the source the bug is, and nothing else: a panic's message can hold anything, a mail's bytes too.
#[expect(clippy::disallowed_methods, reason = "any other end would be the panic's 101, which makes an MTA bounce")]
fn end_with_a_bug(location: Option<&std::panic::Location<'_>>, for_mta: bool) {
    let place = location.map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    // Not println: it panics where the output is closed.
    let exit = if for_mta {
        let _ = write!(std::io::stdout(), "4.3.0 fog: a bug at {place}");
        ExitCode::TryAgain
    } else {
        let _ = writeln!(
            std::io::stderr(),
            "fog: a bug in fog {}\n     at {place}\n  ->  report that line; it holds nothing of your mail",
            env!("CARGO_PKG_VERSION")
        );
        ExitCode::Bug
    };
    std::process::exit(exit.number().into());
}
