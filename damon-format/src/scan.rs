//! Walks the stored pieces of a trace front to back, checks each before anybody decodes it, and finds
//! its feet again after damage.

use crate::layout::{
    BLOCK_MAGIC, BlockHeader, BlockKind, FOOTER_MAGIC, Footer, FrameHeader, MAX_FRAME_STORED,
};
use crate::{Damage, DamageKind};
use std::io::{self, Read};

const READ: usize = 1 << 16;
/// Consumed bytes are dropped from the buffer when there are this many.
const DROP: usize = 1 << 20;
/// Frames up to this length are always checked.
const SMALL: usize = 1 << 16;
/// Longer ones are checked unless frames that failed have cost this many bytes and four times what lies
/// before them: a file of headers that each claim the bytes of the next would take for ever.
const PATIENCE: u64 = 1 << 26;

/// One stored piece, checksum verified.
#[derive(Debug)]
pub(crate) enum Piece<'a> {
    /// A block begins.
    Block {
        offset: u64,
        header: BlockHeader,
    },
    /// A frame of the current block.
    Frame {
        offset: u64,
        payload: &'a [u8],
    },
    /// The footer of a finished trace.
    Footer(Footer),
    Damage(Damage),
}

/// The block that is being read.
#[derive(Clone, Copy, Debug)]
struct Current {
    kind: BlockKind,
    sequence: u32,
    next_frame: u32,
}

/// Reads pieces from `R`; keeps at most one frame in memory.
#[derive(Debug)]
pub(crate) struct Scanner<R> {
    reader: R,
    buffer: Vec<u8>,
    /// Index of the first unread byte in `buffer`.
    at: usize,
    /// File offset of the first unread byte.
    offset: u64,
    eof: bool,
    failed: bool,
    /// `None` where frames have no block.
    block: Option<Current>,
    next_sequence: u32,
    /// Bytes of frames whose check failed.
    wasted: u64,
}

impl<R: Read> Scanner<R> {
    /// `offset` is the file offset of the reader's next byte, `next_sequence` the expected block number.
    pub(crate) fn new(reader: R, offset: u64, next_sequence: u32) -> Self {
        Self {
            reader,
            buffer: Vec::new(),
            at: 0,
            offset,
            eof: false,
            failed: false,
            block: None,
            next_sequence,
            wasted: 0,
        }
    }

    /// File offset of the next piece.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// The next piece, or `None` at the end.
    pub(crate) fn next(&mut self) -> Option<Piece<'_>> {
        if self.failed {
            return None;
        }
        match self.step() {
            Ok(None) => None,
            Ok(Some(Step::Frame { offset, length })) => {
                let end = self.at;
                let payload = self.buffer.get(end.saturating_sub(length)..end)?;
                Some(Piece::Frame { offset, payload })
            }
            Ok(Some(Step::Block { offset, header })) => Some(Piece::Block { offset, header }),
            Ok(Some(Step::Footer(footer))) => Some(Piece::Footer(footer)),
            Ok(Some(Step::Damage(damage))) => Some(Piece::Damage(damage)),
            Err(error) => {
                self.failed = true;
                let kind = DamageKind::Io(error.to_string());
                Some(Piece::Damage(Damage { offset: self.offset, block: None, kind }))
            }
        }
    }

    fn step(&mut self) -> io::Result<Option<Step>> {
        self.fill(BlockHeader::LEN)?;
        let unread = self.unread();
        let Some(&first) = unread.first() else {
            return Ok(None);
        };
        let offset = self.offset;
        if FrameHeader::begins_with(first) {
            if let Some(block) = self.block {
                return self.frame(offset, block).map(Some);
            }
        } else if let Some(header) = BlockHeader::decode(unread) {
            if header.sequence >= self.next_sequence {
                return Ok(Some(self.block_header(offset, header)));
            }
        } else if let Some(footer) = Footer::decode(unread) {
            self.consume(Footer::LEN);
            self.block = None;
            return Ok(Some(Step::Footer(footer)));
        }
        self.unrecognised(offset).map(Some)
    }

    fn block_header(&mut self, offset: u64, header: BlockHeader) -> Step {
        let missing = header.sequence - self.next_sequence;
        if missing > 0 {
            // Said first; the header itself is found again by the next step.
            self.next_sequence = header.sequence;
            self.block = None;
            return Step::Damage(Damage {
                offset,
                block: Some(header.sequence),
                kind: DamageKind::MissingBlocks { count: missing },
            });
        }
        self.consume(BlockHeader::LEN);
        self.block = Some(Current { kind: header.kind, sequence: header.sequence, next_frame: 0 });
        self.next_sequence = header.sequence.saturating_add(1);
        Step::Block { offset, header }
    }

    fn frame(&mut self, offset: u64, block: Current) -> io::Result<Step> {
        let Current { kind, sequence, next_frame } = block;
        let Some(header) = FrameHeader::decode(self.unread()) else {
            return self.unrecognised(offset);
        };
        let length = header.length as usize;
        let head = header.stored_len();
        let total = head + length;
        let patient = length <= SMALL || self.wasted <= PATIENCE + 4 * offset;
        self.fill(if patient { total } else { head })?;
        let available = self.unread().len();
        let payload = self.unread().get(head..total).filter(|_| patient);
        if payload.is_some_and(|p| FrameHeader::checksum(sequence, next_frame, p) == header.crc) {
            self.consume(total);
            self.block = Some(Current { next_frame: next_frame.saturating_add(1), ..block });
            return Ok(Step::Frame { offset, length });
        }
        // The length may be what is damaged, so the search begins inside the frame.
        self.block = None;
        self.wasted += total.min(available) as u64;
        self.resynchronise()?;
        // Behind the index comes the footer: as many bytes as that are a damaged one, not a frame cut off.
        let footer = kind == BlockKind::INDEX && next_frame > 0 && available == Footer::LEN;
        let kind = if available < total && self.unread().is_empty() && !footer && patient {
            DamageKind::Truncated { missing: (total - available) as u64 }
        } else {
            DamageKind::FrameChecksum { length: header.length }
        };
        Ok(Step::Damage(Damage { offset, block: Some(sequence), kind }))
    }

    fn unrecognised(&mut self, offset: u64) -> io::Result<Step> {
        let block = self.block.take().map(|block| block.sequence);
        let left = self.unread();
        let begins = |magic: &[u8]| {
            let shared = magic.len().min(left.len());
            magic.get(..shared) == left.get(..shared)
        };
        let a_head = begins(&BLOCK_MAGIC)
            || begins(&FOOTER_MAGIC)
            || left.first().is_some_and(|&first| FrameHeader::begins_with(first));
        let cut_off = left.len() < BlockHeader::LEN && a_head;
        let missing = (BlockHeader::LEN - left.len().min(BlockHeader::LEN)) as u64;
        self.resynchronise()?;
        let kind = if cut_off && self.unread().is_empty() {
            DamageKind::Truncated { missing }
        } else {
            DamageKind::Unrecognised { skipped: self.offset - offset }
        };
        Ok(Step::Damage(Damage { offset, block, kind }))
    }

    /// Moves to the next valid block header or footer after the current byte, or to the end.
    fn resynchronise(&mut self) -> io::Result<()> {
        self.consume(1);
        loop {
            self.fill(READ)?;
            let unread = self.unread();
            let found = (0..unread.len()).find(|&index| {
                let here = unread.get(index..).unwrap_or_default();
                // The first byte is compared alone: nearly all positions end here.
                match here.first() {
                    Some(first) if *first == BLOCK_MAGIC[0] => BlockHeader::decode(here)
                        .is_some_and(|header| header.sequence >= self.next_sequence),
                    Some(first) if *first == FOOTER_MAGIC[0] => Footer::decode(here).is_some(),
                    _ => false,
                }
            });
            if let Some(index) = found {
                self.consume(index);
                return Ok(());
            }
            // A header may begin in the last bytes of the buffer.
            let keep = if self.eof { 0 } else { BlockHeader::LEN.max(Footer::LEN) - 1 };
            let skip = self.unread().len().saturating_sub(keep);
            self.consume(skip);
            if self.eof {
                return Ok(());
            }
        }
    }

    fn unread(&self) -> &[u8] {
        self.buffer.get(self.at..).unwrap_or_default()
    }

    fn consume(&mut self, count: usize) {
        let count = count.min(self.unread().len());
        self.at += count;
        self.offset += count as u64;
    }

    /// Makes at least `want` bytes available unless the input ends earlier.
    fn fill(&mut self, want: usize) -> io::Result<()> {
        let want = want.min(FrameHeader::MAX_LEN + MAX_FRAME_STORED as usize);
        if self.eof || self.unread().len() >= want {
            return Ok(());
        }
        if self.at >= DROP || self.at == self.buffer.len() {
            self.buffer.drain(..self.at);
            self.at = 0;
        }
        while self.unread().len() < want {
            // Grows with what really arrives, never by a length that a header merely claims.
            let have = self.buffer.len();
            self.buffer.resize(have + READ, 0);
            let read = match self.buffer.get_mut(have..).map(|room| self.reader.read(room)) {
                Some(Ok(read)) => read,
                Some(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {
                    self.buffer.truncate(have);
                    continue;
                }
                Some(Err(error)) => {
                    self.buffer.truncate(have);
                    return Err(error);
                }
                None => 0,
            };
            self.buffer.truncate(have + read);
            if read == 0 {
                self.eof = true;
                break;
            }
        }
        Ok(())
    }
}

/// A [`Piece`] without its bytes.
enum Step {
    Block { offset: u64, header: BlockHeader },
    Frame { offset: u64, length: usize },
    Footer(Footer),
    Damage(Damage),
}
