//! A development binary: a program whose memory accesses are known; see `--help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    damon_record::workload::cli::run(std::env::args_os())
}
