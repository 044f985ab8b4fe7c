//! Puts blocks and frames into a sink, and the index and footer at the end. Never seeks.

use crate::WriteError;
use crate::block::Counts;
use crate::lasting::LastingCount;
use crate::layout::{
    BlockEntry, BlockHeader, BlockKind, FileHeader, Footer, FrameHeader, MAX_FRAME_STORED,
};
use std::io::Write;

/// The stored form of a trace while it grows.
#[derive(Debug)]
pub(crate) struct Store<W> {
    sink: W,
    offset: u64,
    block: Option<OpenBlock>,
    next_sequence: u32,
    index: Vec<BlockEntry>,
    /// Of the blocks in the index; `None` in a trace of a version whose index does not tell.
    lasting: Option<LastingCount>,
    abandoned: bool,
    scratch: Vec<u8>,
}

#[derive(Debug)]
struct OpenBlock {
    header: BlockHeader,
    offset: u64,
    frames: u32,
    counts: Counts,
}

impl<W: Write> Store<W> {
    /// Writes the file header.
    pub(crate) fn create(sink: W, header: &FileHeader) -> Result<Self, WriteError> {
        let mut store = Self {
            sink,
            offset: 0,
            block: None,
            next_sequence: 0,
            index: Vec::new(),
            lasting: header.tells_lasting().then(LastingCount::default),
            abandoned: false,
            scratch: Vec::new(),
        };
        store.put(&header.encode())?;
        Ok(store)
    }

    /// Bytes handed to the sink so far.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Bytes of the whole trace if it ended after one more frame of this payload.
    pub(crate) fn len_with(&self, payload: usize) -> u64 {
        let opens = self.block.as_ref().is_none_or(|block| block.frames == 0);
        let head = if opens { BlockHeader::LEN } else { 0 };
        let frame = head + FrameHeader::MAX_LEN + payload;
        self.offset + frame as u64 + self.tail_len()
    }

    /// Bytes of index and footer, the open block listed.
    fn tail_len(&self) -> u64 {
        let entries = (self.index.len() + 1) * BlockEntry::LEN;
        let frames = entries / MAX_FRAME_STORED as usize + 1;
        (BlockHeader::LEN + frames * FrameHeader::MAX_LEN + entries + Footer::LEN) as u64
    }

    /// Rows in the open block.
    pub(crate) fn block_counts(&self) -> Option<&Counts> {
        self.block.as_ref().map(|block| &block.counts)
    }

    /// Closes the open block and begins another; its head is written with its first frame.
    pub(crate) fn begin_block(&mut self, kind: BlockKind, start_ns: u64) {
        self.end_block();
        let header = BlockHeader { kind, optional: false, sequence: self.next_sequence, start_ns };
        self.next_sequence = self.next_sequence.saturating_add(1);
        self.block =
            Some(OpenBlock { header, offset: self.offset, frames: 0, counts: Counts::default() });
    }

    /// Closes the open block. One without frames is not in the file, and its number is free again.
    pub(crate) fn end_block(&mut self) {
        let Some(block) = self.block.take() else {
            return;
        };
        if block.frames == 0 {
            self.next_sequence = block.header.sequence;
            return;
        }
        if block.header.kind != BlockKind::DATA {
            return;
        }
        let (start_ns, end_ns) =
            block.counts.span.unwrap_or((block.header.start_ns, block.header.start_ns));
        let before = self.lasting.as_mut().and_then(|count| count.block(block.counts.left));
        self.tell(before);
        self.index.push(BlockEntry {
            offset: block.offset,
            stored_len: self.offset - block.offset,
            start_ns,
            end_ns,
            rows: block.counts.rows,
            snapshots: block.counts.snapshots,
            records: block.counts.records,
            sequence: block.header.sequence,
            lasting: None,
        });
    }

    /// How many records of the block that was listed last matter to later moments.
    fn tell(&mut self, lasting: Option<u32>) {
        if let Some(last) = self.index.last_mut() {
            last.lasting = lasting;
        }
    }

    /// Appends a frame to the open block; `add` says what it holds.
    pub(crate) fn frame(&mut self, payload: &[u8], add: &Counts) -> Result<(), WriteError> {
        let Some(block) = &mut self.block else {
            return Err(WriteError::Abandoned);
        };
        if payload.len() > MAX_FRAME_STORED as usize {
            return Err(WriteError::Record("a frame exceeds the format's limit of 16 MiB".into()));
        }
        let mut bytes = std::mem::take(&mut self.scratch);
        bytes.clear();
        if block.frames == 0 {
            bytes.extend_from_slice(&block.header.encode());
        }
        let head = FrameHeader::for_payload(block.header.sequence, block.frames, payload);
        head.encode(&mut bytes);
        bytes.extend_from_slice(payload);
        block.frames = block.frames.saturating_add(1);
        block.counts.add(add);
        let result = self.put(&bytes);
        self.scratch = bytes;
        result
    }

    /// Writes the index and the footer and gives the sink back.
    pub(crate) fn finish(mut self) -> Result<W, WriteError> {
        self.end_block();
        let last = self.lasting.as_mut().and_then(LastingCount::finish);
        self.tell(last);
        let index = std::mem::take(&mut self.index);
        let index_offset = self.offset;
        let start_ns = index.first().map_or(0, |entry| entry.start_ns);
        self.begin_block(BlockKind::INDEX, start_ns);
        let per_frame = MAX_FRAME_STORED as usize / BlockEntry::LEN;
        let mut payload = Vec::new();
        let empty: &[BlockEntry] = &[];
        // An empty index still has its block and one frame.
        for entries in index.chunks(per_frame).chain(index.is_empty().then_some(empty)) {
            payload.clear();
            payload.extend(entries.iter().flat_map(BlockEntry::encode));
            self.frame(&payload, &Counts::default())?;
        }
        let entries = u32::try_from(index.len()).unwrap_or(u32::MAX);
        self.put(&Footer { index_offset, entries }.encode())?;
        self.sink.flush()?;
        Ok(self.sink)
    }

    /// Asks the sink to pass on what it holds.
    pub(crate) fn flush(&mut self) -> Result<(), WriteError> {
        if self.abandoned {
            return Err(WriteError::Abandoned);
        }
        Ok(self.sink.flush()?)
    }

    /// After a failed write the tail of the sink is unknown, so nothing may follow it.
    fn put(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        if self.abandoned {
            return Err(WriteError::Abandoned);
        }
        if let Err(error) = self.sink.write_all(bytes) {
            self.abandoned = true;
            return Err(error.into());
        }
        self.offset += bytes.len() as u64;
        Ok(())
    }
}
