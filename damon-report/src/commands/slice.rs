//! `slice`: a part of a recording as a trace of its own.

use super::new_file::NewFile;
use super::transformed::{said, written};
use super::{Streams, open};
use crate::cli::{Part, SliceArgs};
use crate::exit::Failure;
use crate::transform::slice;

pub(super) fn run(args: &SliceArgs, terminal: &mut Streams<'_>) -> Result<(), Failure> {
    let file = NewFile::new(&args.output, &[&args.file])?;
    let (trace, whole) = open(&args.file, &Part::default(), terminal)?;
    let selection = args.part.query().resolve(&whole.overview)?;
    let done =
        file.write(terminal, |out| written(slice(&trace, &whole.overview, &selection, out)))?;
    said(&file, &done, terminal)
}
