//! `repair`.

use clap::Args;
use std::path::PathBuf;

/// The arguments.
#[derive(Debug, Args)]
pub struct RepairArgs {
    /// The damaged trace, which is never changed; - for standard input
    pub file: PathBuf,
    /// The new trace; - for standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// Replace the output if it exists
    #[arg(long)]
    pub force: bool,
}
