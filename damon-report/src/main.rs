//! `damon-report`: see `--help`.

use std::io::{self, BufWriter};
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let exit = damon_report::commands::run(std::env::args_os(), &mut out, &mut io::stderr().lock());
    exit.into()
}
