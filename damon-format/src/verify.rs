//! Checks every byte of a trace.

use crate::block::{BlockDecoder, Counting, Counts};
use crate::lasting::LastingCount;
use crate::layout::{BlockKind, FileHeader, MINOR};
use crate::scan::{Piece, Scanner};
use crate::stream::{read_header, read_info};
use crate::{BlockEntry, Completeness, Damage, DamageKind, IndexedReader, OpenError, ReadAt};
use serde::Serialize;

/// What checking a trace found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// Length of the file in bytes.
    pub bytes: u64,
    /// Data blocks seen.
    pub blocks: u64,
    /// Frames that passed their checksum and could be decoded.
    pub frames: u64,
    /// Snapshots in them.
    pub snapshots: u64,
    /// Region rows in them.
    pub rows: u64,
    /// Metadata records in them.
    pub records: u64,
    /// In what state the trace is.
    pub completeness: Completeness,
    /// Everything that is wrong, in file order.
    pub damage: Vec<Damage>,
}

/// Reads the whole trace, checks every checksum, decodes everything and compares the index with the blocks.
pub fn verify<S: ReadAt>(source: &S) -> Result<VerifyReport, OpenError> {
    let bytes = source.size()?;
    let mut reader = crate::read_at::Cursor::new(source, 0, bytes);
    let header = read_header(&mut reader)?;
    let mut scanner = Scanner::new(reader, FileHeader::LEN as u64, 0);
    read_info(&mut scanner)?;
    let mut report = VerifyReport {
        bytes,
        blocks: 0,
        frames: 1,
        snapshots: 0,
        rows: 0,
        records: 0,
        completeness: Completeness::Complete,
        damage: Vec::new(),
    };
    let mut decoder = BlockDecoder::default();
    let mut current = None;
    let mut held = Held::default();
    while let Some(piece) = scanner.next() {
        let (offset, result) = match piece {
            Piece::Block { offset, header } => {
                if header.kind == BlockKind::DATA {
                    report.blocks += 1;
                    held.begin(header.sequence);
                }
                current = Some(header.sequence);
                (offset, decoder.block(&header))
            }
            Piece::Frame { offset, payload, .. } => {
                let mut counting = Counting::default();
                let result = decoder.frame(payload, &mut counting);
                if result.is_ok() {
                    held.open.add(&counting.counts);
                    report.frames += 1;
                    report.snapshots += u64::from(counting.counts.snapshots);
                    report.rows += counting.counts.rows;
                    report.records += u64::from(counting.counts.records);
                }
                (offset, result)
            }
            Piece::Footer(_) => continue,
            Piece::Damage(damage) => {
                report.damage.push(damage);
                continue;
            }
        };
        if let Err(kind) = result {
            report.damage.push(Damage { offset, block: current, kind });
        }
    }
    let index = IndexedReader::open(source)?;
    report.completeness = index.completeness();
    for damage in index.damage().iter().filter(|d| matches!(d.kind, DamageKind::Index(_))) {
        report.damage.push(damage.clone());
    }
    if report.damage.is_empty()
        && let Some(why) = contradiction(index.blocks(), &held.finish(), &header)
    {
        report.damage.push(Damage { offset: bytes, block: None, kind: DamageKind::Index(why) });
    }
    let cut_off = |d: &Damage| matches!(d.kind, DamageKind::Truncated { .. });
    if !report.damage.iter().all(cut_off) {
        report.completeness = Completeness::Damaged;
    }
    Ok(report)
}

/// What a block holds.
struct Block {
    sequence: u32,
    snapshots: u32,
    rows: u64,
    records: u32,
    span: Option<(u64, u64)>,
    lasting: Option<u32>,
}

/// The blocks so far, and the counts of the last one.
#[derive(Default)]
struct Held {
    blocks: Vec<Block>,
    open: Counts,
    lasting: LastingCount,
}

impl Held {
    fn begin(&mut self, sequence: u32) {
        self.close();
        let (snapshots, rows, records, span, lasting) = (0, 0, 0, None, None);
        self.blocks.push(Block { sequence, snapshots, rows, records, span, lasting });
    }

    fn close(&mut self) {
        let Counts { snapshots, rows, records, span, left } = std::mem::take(&mut self.open);
        let Some((last, before)) = self.blocks.split_last_mut() else { return };
        *last = Block { snapshots, rows, records, span, ..*last };
        let lasting = self.lasting.block(left);
        if let Some(before) = before.last_mut() {
            before.lasting = lasting;
        }
    }

    fn finish(mut self) -> Vec<Block> {
        self.close();
        if let Some(last) = self.blocks.last_mut() {
            last.lasting = self.lasting.finish();
        }
        self.blocks
    }
}

/// What the index says of a block that is not so. Whether it tells the truth of lasting records is looked at where it
/// tells them, and where this version knows what they are.
fn contradiction(index: &[BlockEntry], held: &[Block], header: &FileHeader) -> Option<String> {
    let mut entries = index.iter().peekable();
    let told_lasting = |entry: &BlockEntry| entry.lasting.filter(|_| header.tells_lasting());
    // Of a later version this one does not know all that is counted.
    let knows_all = header.minor <= MINOR;
    for block in held {
        let sequence = block.sequence;
        // A block of which this version understands nothing may be listed, with times of its own.
        let Some(span) = block.span else {
            entries.next_if(|entry| {
                let told = (entry.snapshots, entry.rows, entry.records);
                let is_empty = told == (0, 0, 0) && told_lasting(entry).unwrap_or(0) == 0;
                entry.sequence == sequence && (is_empty || !knows_all)
            });
            continue;
        };
        let is_so = entries.next().is_some_and(|entry| {
            let told = (entry.sequence, entry.snapshots, entry.rows, entry.records);
            let lasting = told_lasting(entry);
            told == (sequence, block.snapshots, block.rows, block.records)
                && (entry.start_ns, entry.end_ns) == span
                && lasting.is_none_or(|lasting| block.lasting == Some(lasting))
        });
        if !is_so {
            return Some(format!("it does not describe what block {sequence} holds"));
        }
    }
    entries.next().map(|entry| format!("it lists block {}, which is not there", entry.sequence))
}
