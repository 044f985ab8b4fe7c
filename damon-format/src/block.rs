//! Decodes the frames of data blocks and hands their content to a visitor.

use crate::lasting::Left;
use crate::layout::{BlockHeader, BlockKind};
use crate::section::Sections;
use crate::stream_codec::Decompressor;
use crate::{DamageKind, Record, SnapshotView, Visitor};

/// Follows the blocks of a trace, or of a part of it, frame by frame.
#[derive(Debug, Default)]
pub(crate) struct BlockDecoder {
    state: State,
}

#[derive(Debug, Default)]
enum State {
    /// Before the first block, in a block that may be skipped, or after damage in a block.
    #[default]
    Skip,
    /// In a data block, before its first frame; its start.
    Begun(u64),
    Data(Box<(Decompressor, Sections)>),
}

impl BlockDecoder {
    /// A block begins. An unknown kind that may not be skipped is an error.
    pub(crate) fn block(&mut self, header: &BlockHeader) -> Result<(), DamageKind> {
        self.state = State::Skip;
        match header.kind {
            BlockKind::DATA => {
                self.state = State::Begun(header.start_ns);
                Ok(())
            }
            BlockKind::INFO | BlockKind::INDEX => Ok(()),
            _ if header.optional => Ok(()),
            kind => Err(DamageKind::Unsupported(format!("block kind {}", kind.0))),
        }
    }

    /// The next frame of the current block. After an error the rest of the block is passed over.
    pub(crate) fn frame(
        &mut self,
        payload: &[u8],
        visitor: &mut impl Visitor,
    ) -> Result<(), DamageKind> {
        self.decode(payload, |raw, sections| sections.frame(raw, visitor))
    }

    /// The records of the next frame. Of one block either all frames are asked for their records or none.
    pub(crate) fn frame_records(
        &mut self,
        payload: &[u8],
        visitor: &mut impl Visitor,
    ) -> Result<(), DamageKind> {
        self.decode(payload, |raw, sections| sections.frame_records(raw, visitor))
    }

    fn decode(
        &mut self,
        payload: &[u8],
        sections_of: impl FnOnce(&[u8], &mut Sections) -> Result<(), DamageKind>,
    ) -> Result<(), DamageKind> {
        if let State::Begun(start_ns) = self.state {
            let decompressor =
                Decompressor::new().map_err(|e| DamageKind::Compression(e.to_string()))?;
            self.state = State::Data(Box::new((decompressor, Sections::new(start_ns))));
        }
        let State::Data(state) = &mut self.state else { return Ok(()) };
        let (decompressor, sections) = state.as_mut();
        let result = decompressor.frame(payload).and_then(|raw| sections_of(raw, sections));
        if result.is_err() {
            self.state = State::Skip;
        }
        result
    }
}

/// Counts what it is shown.
#[derive(Debug, Default)]
pub(crate) struct Counting {
    pub(crate) counts: Counts,
}

/// What a block or a trace holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) snapshots: u32,
    pub(crate) rows: u64,
    pub(crate) records: u32,
    pub(crate) span: Option<(u64, u64)>,
    pub(crate) left: Left,
}

impl Counts {
    pub(crate) fn record(&mut self, record: &Record) {
        self.records = self.records.saturating_add(1);
        self.cover(record.time_ns(), record.time_ns());
        self.left.record(record);
    }

    pub(crate) fn cover(&mut self, start_ns: u64, end_ns: u64) {
        let (from, to) = self.span.unwrap_or((start_ns, end_ns));
        self.span = Some((from.min(start_ns), to.max(end_ns)));
    }

    pub(crate) fn add(&mut self, other: &Counts) {
        self.snapshots = self.snapshots.saturating_add(other.snapshots);
        self.records = self.records.saturating_add(other.records);
        self.rows = self.rows.saturating_add(other.rows);
        self.left.add(&other.left);
        if let Some((from, to)) = other.span {
            self.cover(from, to);
        }
    }
}

impl Visitor for Counting {
    fn snapshot(&mut self, snapshot: &SnapshotView<'_>) {
        self.counts.snapshots = self.counts.snapshots.saturating_add(1);
        self.counts.rows += snapshot.len() as u64;
        self.counts.cover(snapshot.start_ns, snapshot.end_ns);
    }

    fn record(&mut self, record: Record) {
        self.counts.record(&record);
    }
}
