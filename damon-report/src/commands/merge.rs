//! `merge`: several traces as one.

use super::Streams;
use super::new_file::NewFile;
use super::transformed::{failure, said, written};
use crate::analysis::load::Trace;
use crate::cli::MergeArgs;
use crate::exit::Failure;
use crate::transform::{Clocks, Input, merge};
use std::path::Path;

pub(super) fn run(args: &MergeArgs, terminal: &mut Streams<'_>) -> Result<(), Failure> {
    let paths: Vec<&Path> = args.files.iter().map(AsRef::as_ref).collect();
    if paths.iter().filter(|path| path.as_os_str() == "-").count() > 1 {
        return Err(Failure::Usage("standard input can be one of the inputs only".to_owned()));
    }
    let file = NewFile::new(&args.output, &paths)?;
    let mut inputs = Vec::new();
    for path in paths {
        let input = Input::new(Trace::open_watched(path, terminal.reading)?).map_err(failure)?;
        terminal.warn(input.trace().name(), input.damage());
        inputs.push(input);
    }
    let clocks = if args.same_clock { Clocks::Trusted } else { Clocks::Compared };
    let done = file.write(terminal, |out| written(merge(&inputs, clocks, out)))?;
    said(&file, &done, terminal)
}
