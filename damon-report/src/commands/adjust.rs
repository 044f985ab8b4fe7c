//! `adjust`: a longer aggregation interval.

use super::new_file::NewFile;
use super::transformed::{said, written};
use super::{Streams, open};
use crate::cli::{AdjustArgs, Part};
use crate::exit::Failure;
use crate::transform::adjust;

pub(super) fn run(args: &AdjustArgs, terminal: &mut Streams<'_>) -> Result<(), Failure> {
    let file = NewFile::new(&args.output, &[&args.file])?;
    let (trace, whole) = open(&args.file, &Part::default(), terminal)?;
    let aggr_us = args.aggr.ns() / 1000;
    let done =
        file.write(terminal, |out| written(adjust(&trace, &whole.overview, aggr_us, out)))?;
    said(&file, &done, terminal)
}
