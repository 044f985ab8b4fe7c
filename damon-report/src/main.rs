//! `damon-report`: see `--help`.

use damon_report::stdout::Stdout;
use std::io::{self, BufWriter};
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut out = BufWriter::with_capacity(1 << 16, Stdout::open());
    let exit = damon_report::commands::run(std::env::args_os(), &mut out, &mut io::stderr().lock());
    exit.into()
}
