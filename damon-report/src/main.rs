//! `damon-report`: see `--help`.

use damon_report::commands::run_watched;
use damon_report::progress::Progress;
use damon_report::stdout::Stdout;
use std::io::{self, BufWriter};
use std::process::ExitCode;

fn main() -> ExitCode {
    let progress = Progress::start();
    let mut out = BufWriter::with_capacity(1 << 16, progress.results(Stdout::open()));
    let mut err = progress.messages(io::stderr().lock());
    let exit = run_watched(std::env::args_os(), &mut out, &mut err, progress.reading());
    exit.into()
}
