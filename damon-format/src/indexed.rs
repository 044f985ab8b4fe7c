//! Reads any block of a trace, in any order, from several threads.

use crate::block::{BlockDecoder, Counting, Counts};
use crate::lasting::LastingCount;
use crate::layout::{BlockEntry, BlockHeader, BlockKind, FileHeader, Footer, FrameHeader};
use crate::read_at::Cursor;
use crate::scan::{Piece, Scanner};
use crate::stream::{read_header, read_info};
use crate::{Damage, DamageKind, OpenError, ReadAt, RecordingInfo, Visitor};
use serde::Serialize;
use std::ops::Range;

/// In what state a trace is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Completeness {
    /// Footer and index are there and fit the file.
    Complete,
    /// The recorder was interrupted; everything up to there is readable.
    Interrupted,
    /// Some of the file cannot be used; see [`IndexedReader::damage`].
    Damaged,
}

/// A trace with random access to its blocks.
#[derive(Debug)]
pub struct IndexedReader<S> {
    source: S,
    header: FileHeader,
    info: RecordingInfo,
    blocks: Vec<BlockEntry>,
    damage: Vec<Damage>,
    completeness: Completeness,
}

impl<S: ReadAt> IndexedReader<S> {
    /// Reads the description and the index. Where the index is missing or unusable it is rebuilt by reading
    /// and checking the whole file.
    pub fn open(source: S) -> Result<Self, OpenError> {
        let size = source.size()?;
        let mut reader = Cursor::new(&source, 0, size);
        let header = read_header(&mut reader)?;
        let mut scanner = Scanner::new(reader, FileHeader::LEN as u64, 0);
        let info = read_info(&mut scanner)?;
        let data_offset = scanner.offset();
        let mut this = Self {
            header,
            info,
            blocks: Vec::new(),
            damage: Vec::new(),
            completeness: Completeness::Complete,
            source,
        };
        match stored_index(&this.source, size, data_offset) {
            Ok(blocks) => this.blocks = blocks,
            Err(reason) => this.rebuild(size, data_offset, &reason),
        }
        Ok(this)
    }

    /// The file header.
    pub fn header(&self) -> &FileHeader {
        &self.header
    }

    /// What was recorded, and how.
    pub fn info(&self) -> &RecordingInfo {
        &self.info
    }

    /// The data blocks in file order, which is the order of their beginnings in time.
    pub fn blocks(&self) -> &[BlockEntry] {
        &self.blocks
    }

    /// The blocks that hold data of `[range.start, range.end)`, nanoseconds of `CLOCK_MONOTONIC`.
    pub fn blocks_in(&self, range: Range<u64>) -> impl Iterator<Item = &BlockEntry> {
        self.blocks.iter().filter(move |b| b.start_ns < range.end && b.end_ns >= range.start)
    }

    /// First and last moment of the recording; `None` when it holds no data.
    pub fn span(&self) -> Option<(u64, u64)> {
        let first = self.blocks.iter().map(|b| b.start_ns).min()?;
        let last = self.blocks.iter().map(|b| b.end_ns).max()?;
        Some((first, last))
    }

    /// What was found unusable while opening. Blocks of a trace with a good index are checked when they are
    /// visited, not before.
    pub fn damage(&self) -> &[Damage] {
        &self.damage
    }

    /// In what state the trace is, as far as opening it tells.
    pub fn completeness(&self) -> Completeness {
        self.completeness
    }

    /// Decodes one block; what precedes damage inside it has been handed to `visitor`.
    ///
    /// # Errors
    /// The first damage; the rest of the block is lost.
    pub fn visit_block(
        &self,
        block: &BlockEntry,
        visitor: &mut impl Visitor,
    ) -> Result<(), Damage> {
        self.visit(block, |decoder, payload| decoder.frame(payload, visitor))
    }

    /// Hands over the records of a block alone, for a small part of what decoding its snapshots takes. All checksums are
    /// checked; that a section of snapshots after a right one makes no sense is not noticed.
    ///
    /// # Errors
    /// The first damage; the rest of the block is lost.
    pub fn visit_records(
        &self,
        block: &BlockEntry,
        visitor: &mut impl Visitor,
    ) -> Result<(), Damage> {
        self.visit(block, |decoder, payload| decoder.frame_records(payload, visitor))
    }

    fn visit(
        &self,
        block: &BlockEntry,
        mut frame: impl FnMut(&mut BlockDecoder, &[u8]) -> Result<(), DamageKind>,
    ) -> Result<(), Damage> {
        let end = block.offset.saturating_add(block.stored_len);
        let cursor = Cursor::new(&self.source, block.offset, end);
        let mut scanner = Scanner::new(cursor, block.offset, block.sequence);
        let mut decoder = BlockDecoder::default();
        let mut blocks = 0;
        while let Some(piece) = scanner.next() {
            let (offset, result) = match piece {
                Piece::Block { offset, header } => {
                    blocks += 1;
                    (offset, decoder.block(&header))
                }
                Piece::Frame { offset, payload, .. } => (offset, frame(&mut decoder, payload)),
                Piece::Footer(_) => break,
                Piece::Damage(damage) => return Err(damage),
            };
            result.map_err(|kind| Damage { offset, block: Some(block.sequence), kind })?;
        }
        if blocks == 1 {
            return Ok(());
        }
        let kind = DamageKind::Index("an entry does not describe one block".into());
        Err(Damage { offset: block.offset, block: Some(block.sequence), kind })
    }

    fn rebuild(&mut self, size: u64, data_offset: u64, reason: &NoIndex) {
        let cursor = Cursor::new(&self.source, data_offset, size);
        let mut scanner = Scanner::new(cursor, data_offset, 1);
        let mut decoder = BlockDecoder::default();
        let mut open: Option<(BlockEntry, Counts)> = None;
        let mut damage = Vec::new();
        let mut blocks = Found::default();
        while let Some(piece) = scanner.next() {
            let (offset, end, result) = match piece {
                Piece::Block { offset, header } => {
                    blocks.close(open.take());
                    if header.kind == BlockKind::DATA {
                        open = Some((entry(offset, &header), Counts::default()));
                    }
                    (offset, offset, decoder.block(&header))
                }
                Piece::Frame { offset, payload, .. } => {
                    let end = end_of(offset, payload);
                    let mut counting = Counting::default();
                    let result = decoder.frame(payload, &mut counting);
                    if let Some((_, counts)) = open.as_mut().filter(|_| result.is_ok()) {
                        counts.add(&counting.counts);
                    }
                    (offset, end, result)
                }
                Piece::Footer(_) => continue,
                Piece::Damage(found) => {
                    damage.push(found);
                    continue;
                }
            };
            if let Some((entry, _)) = &mut open {
                match result {
                    Ok(()) => entry.stored_len = end.max(offset) - entry.offset,
                    Err(kind) => {
                        damage.push(Damage { offset, block: Some(entry.sequence), kind });
                        blocks.close(open.take());
                    }
                }
            } else if let Err(kind) = result {
                damage.push(Damage { offset, block: None, kind });
            }
        }
        blocks.close(open.take());
        let only_cut_off = damage.iter().all(|d| matches!(d.kind, DamageKind::Truncated { .. }));
        self.completeness = match reason {
            NoIndex::Absent if only_cut_off => Completeness::Interrupted,
            NoIndex::Absent => Completeness::Damaged,
            NoIndex::Unusable(why) => {
                let kind = DamageKind::Index((*why).into());
                damage.push(Damage { offset: size, block: None, kind });
                Completeness::Damaged
            }
        };
        self.blocks = blocks.finish();
        self.damage = damage;
    }
}

/// File offset after a frame.
fn end_of(offset: u64, payload: &[u8]) -> u64 {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let head = FrameHeader { length, crc: 0 }.stored_len();
    offset + head as u64 + payload.len() as u64
}

fn entry(offset: u64, header: &BlockHeader) -> BlockEntry {
    BlockEntry {
        offset,
        stored_len: BlockHeader::LEN as u64,
        start_ns: header.start_ns,
        end_ns: header.start_ns,
        rows: 0,
        snapshots: 0,
        records: 0,
        sequence: header.sequence,
        lasting: None,
    }
}

/// The blocks found so far.
#[derive(Default)]
struct Found {
    blocks: Vec<BlockEntry>,
    lasting: LastingCount,
}

impl Found {
    fn close(&mut self, open: Option<(BlockEntry, Counts)>) {
        let Some((mut entry, counts)) = open else {
            return;
        };
        // A block whose first frame never arrived holds nothing.
        let Some((start_ns, end_ns)) = counts.span else {
            return;
        };
        entry.start_ns = start_ns;
        entry.end_ns = end_ns;
        entry.rows = counts.rows;
        entry.snapshots = counts.snapshots;
        entry.records = counts.records;
        let before = self.lasting.block(counts.left);
        self.tell(before);
        self.blocks.push(entry);
    }

    fn tell(&mut self, lasting: Option<u32>) {
        if let Some(last) = self.blocks.last_mut() {
            last.lasting = lasting;
        }
    }

    fn finish(mut self) -> Vec<BlockEntry> {
        let last = self.lasting.finish();
        self.tell(last);
        self.blocks
    }
}

/// Why there is no usable index.
enum NoIndex {
    Absent,
    Unusable(&'static str),
}

/// The index as the footer announces it; believed only if all of it fits the file.
fn stored_index<S: ReadAt>(
    source: &S,
    size: u64,
    data_offset: u64,
) -> Result<Vec<BlockEntry>, NoIndex> {
    let footer_offset = size.checked_sub(Footer::LEN as u64).ok_or(NoIndex::Absent)?;
    let mut bytes = [0; Footer::LEN];
    let mut have = 0;
    while let Some(room) = bytes.get_mut(have..).filter(|room| !room.is_empty()) {
        match source.read_at(room, footer_offset + have as u64) {
            Ok(0) | Err(_) => return Err(NoIndex::Unusable("the footer cannot be read")),
            Ok(read) => have += read,
        }
    }
    let footer = Footer::decode(&bytes).ok_or(NoIndex::Absent)?;
    if footer.index_offset < data_offset || footer.index_offset >= footer_offset {
        return Err(NoIndex::Unusable("the footer points outside the file"));
    }
    let cursor = Cursor::new(source, footer.index_offset, footer_offset);
    let mut scanner = Scanner::new(cursor, footer.index_offset, 0);
    let mut entries = Vec::new();
    let mut sequence = None;
    while let Some(piece) = scanner.next() {
        match piece {
            Piece::Damage(Damage { kind: DamageKind::MissingBlocks { .. }, .. }) => {}
            Piece::Block { header, .. } if header.kind == BlockKind::INDEX => {
                sequence = Some(header.sequence);
            }
            Piece::Frame { payload, .. } if payload.len().is_multiple_of(BlockEntry::LEN) => {
                entries
                    .extend(payload.chunks_exact(BlockEntry::LEN).filter_map(BlockEntry::decode));
            }
            _ => return Err(NoIndex::Unusable("the index block is damaged")),
        }
    }
    if entries.len() as u64 != u64::from(footer.entries) {
        return Err(NoIndex::Unusable("the index has another number of entries than announced"));
    }
    // The blocks must fill the file from the description to the index without a gap.
    let mut expected = (data_offset, 1);
    for entry in &entries {
        if (entry.offset, entry.sequence) != expected
            || entry.stored_len < BlockHeader::LEN as u64
            || entry.end_ns < entry.start_ns
        {
            return Err(NoIndex::Unusable("its entries do not fit the file"));
        }
        let end = entry.offset.checked_add(entry.stored_len);
        expected = (
            end.ok_or(NoIndex::Unusable("its entries do not fit the file"))?,
            entry.sequence.saturating_add(1),
        );
    }
    if expected.0 != footer.index_offset || sequence != Some(expected.1) {
        return Err(NoIndex::Unusable("its entries do not fit the file"));
    }
    Ok(entries)
}
