//! A new part of a recording.

use super::item::Item;
use super::shelf::{NewPart, Shelf};
use crate::plan::Rotation;
use crate::session::output::Output;
use damon_format::{
    Part, Record, RecordingInfo, TraceWriter, Workspace, WriteError, WriterOptions,
};

/// A frame is at most about this share of a part before compression, so that parts are nearly full.
const FRAMES_PER_PART: u64 = 64;
/// Smaller frames would cost more than they gain.
const LEAST_FRAME_BYTES: u64 = 2048;

/// A part with everything in it that it begins with, and without a name.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) writer: TraceWriter<Output>,
    pub(super) part: NewPart,
    /// Its size before its own data.
    pub(super) floor: u64,
}

/// A new part that begins with what is `repeated`, and then has `items`.
pub(super) fn open(
    shelf: &Shelf,
    info: &RecordingInfo,
    (options, left): (WriterOptions, Option<Workspace>),
    part: Part,
    repeated: &[Record],
    items: &[Item],
) -> Result<Opened, WriteError> {
    let (file, unnamed, path) = shelf.create()?;
    let mut writer = TraceWriter::create_with(Output::File { file, path }, info, options, left)?;
    let count = u32::try_from(repeated.len()).unwrap_or(u32::MAX);
    writer.record(&Record::Part(Part { repeated: count, ..part }))?;
    for record in repeated {
        writer.record(record)?;
    }
    writer.flush()?;
    let floor = writer.bytes_written();
    for item in items {
        item.write(&mut writer)?;
    }
    writer.flush()?;
    Ok(Opened { writer, part: unnamed, floor })
}

/// Frames that suit the size of a part.
pub(super) fn options(rotation: &Rotation) -> WriterOptions {
    let mut options = WriterOptions::default();
    if let Some(size) = rotation.size {
        let bytes = (size / FRAMES_PER_PART).max(LEAST_FRAME_BYTES);
        options.frame_bytes = options.frame_bytes.min(usize::try_from(bytes).unwrap_or(usize::MAX));
    }
    options
}
