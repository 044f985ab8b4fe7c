//! Checks every byte of a trace.

use crate::block::{BlockDecoder, Counting, Counts};
use crate::layout::BlockKind;
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
    read_header(&mut reader)?;
    let mut scanner = Scanner::new(reader, crate::layout::FileHeader::LEN as u64, 0);
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
    let mut held: Vec<(u32, Counts)> = Vec::new();
    while let Some(piece) = scanner.next() {
        let (offset, result) = match piece {
            Piece::Block { offset, header } => {
                if header.kind == BlockKind::DATA {
                    report.blocks += 1;
                    held.push((header.sequence, Counts::default()));
                }
                current = Some(header.sequence);
                (offset, decoder.block(&header))
            }
            Piece::Frame { offset, payload, .. } => {
                let mut counting = Counting::default();
                let result = decoder.frame(payload, &mut counting);
                if result.is_ok() {
                    if let Some((_, counts)) = held.last_mut() {
                        counts.add(&counting.counts);
                    }
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
        && let Some(why) = contradiction(index.blocks(), &held)
    {
        report.damage.push(Damage { offset: bytes, block: None, kind: DamageKind::Index(why) });
    }
    let cut_off = |d: &Damage| matches!(d.kind, DamageKind::Truncated { .. });
    if !report.damage.iter().all(cut_off) {
        report.completeness = Completeness::Damaged;
    }
    Ok(report)
}

/// What the index says of a block that is not so.
fn contradiction(index: &[BlockEntry], held: &[(u32, Counts)]) -> Option<String> {
    let mut entries = index.iter().peekable();
    for (sequence, counts) in held {
        // A block of which this version understands nothing may be listed, with times of its own.
        if counts.span.is_none() {
            entries.next_if(|entry| entry.sequence == *sequence && entry.rows == 0);
            continue;
        }
        let told = entries.next().map(|entry| {
            let counts = Counts {
                snapshots: entry.snapshots,
                rows: entry.rows,
                records: entry.records,
                span: Some((entry.start_ns, entry.end_ns)),
            };
            (entry.sequence, counts)
        });
        if told != Some((*sequence, *counts)) {
            return Some(format!("it does not describe what block {sequence} holds"));
        }
    }
    entries.next().map(|entry| format!("it lists block {}, which is not there", entry.sequence))
}
