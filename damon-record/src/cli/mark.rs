//! `damon-record mark`.

use crate::exit::Failure;
use crate::marks::{Unset, set};
use clap::Args;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  damon-record mark load               in a script that damon-record -- COMMAND runs
  damon-record mark --if-recorded run  the same, and no error where nobody records
  damon-record --marks /tmp/m 4242     of a process that runs already; elsewhere:
  damon-record mark --to /tmp/m serve
  echo load >\"$DAMON_RECORD_MARKS\"     each line that is written there is a mark
  damon-report compare --align marks old.damon --new new.damon
                                       phases of the same name against each other

Exit status:
  0 the mark was handed over; 2 the command line makes no sense; 3 nobody records, or the mark was not taken.";

/// Arguments of `mark`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct MarkArgs {
    /// The FIFO of the recorder's --marks [default: the one that damon-record -- COMMAND names in the environment]
    #[arg(long, value_name = "PATH")]
    pub to: Option<PathBuf>,

    /// Do nothing, and succeed, if nobody records
    #[arg(long)]
    pub if_recorded: bool,

    /// What begins now; several words are one mark
    #[arg(value_name = "TEXT", required = true)]
    pub text: Vec<OsString>,
}

impl MarkArgs {
    /// Sets the mark.
    pub fn run(&self) -> Result<(), Failure> {
        let words: Vec<&[u8]> = self.text.iter().map(|word| word.as_bytes()).collect();
        match set(self.to.as_deref(), &words.join(&b' ')) {
            Ok(()) => Ok(()),
            Err(Unset::NotRecorded(_)) if self.if_recorded => Ok(()),
            Err(error @ (Unset::Blank | Unset::NoFifo(_))) => {
                Err(Failure::Usage(error.to_string()))
            }
            Err(error) => Err(Failure::CannotObserve(error.to_string())),
        }
    }
}
