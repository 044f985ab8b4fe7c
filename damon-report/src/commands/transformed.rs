//! What the commands that make traces have in common.

use super::Streams;
use super::new_file::NewFile;
use super::words::contents;
use crate::exit::Failure;
use crate::transform::{TransformError, Written};
use damon_format::WriteError;

/// The output that a transformation gives back is done with when the file is closed.
pub(super) fn written<W>(result: Result<(Written, W), TransformError>) -> Result<Written, Failure> {
    result.map(|(written, _)| written).map_err(failure)
}

pub(super) fn failure(error: TransformError) -> Failure {
    match error {
        TransformError::Unsuitable(why) => Failure::Usage(why),
        TransformError::Mismatch(why) => Failure::Input(why),
        TransformError::Write(WriteError::Io(error)) => Failure::Stdout(error),
        TransformError::Write(error) => Failure::Output(error.to_string()),
    }
}

/// Says what there is now.
pub(super) fn said(
    file: &NewFile<'_>,
    written: &Written,
    terminal: &mut Streams<'_>,
) -> Result<(), Failure> {
    for remark in &written.remarks {
        terminal.say(remark);
    }
    let of = contents(written.snapshots, written.rows);
    file.say(terminal, &format!("{}: {of}", file.name()))
}
