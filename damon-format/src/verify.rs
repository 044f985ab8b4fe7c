//! Checks every byte of a trace.

use crate::block::{BlockDecoder, Counting};
use crate::layout::BlockKind;
use crate::scan::{Piece, Scanner};
use crate::stream::{read_header, read_info};
use crate::{Completeness, Damage, DamageKind, IndexedReader, OpenError, ReadAt};
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
    while let Some(piece) = scanner.next() {
        let (offset, result) = match piece {
            Piece::Block { offset, header } => {
                report.blocks += u64::from(header.kind == BlockKind::DATA);
                current = Some(header.sequence);
                (offset, decoder.block(&header))
            }
            Piece::Frame { offset, payload, .. } => {
                let mut counting = Counting::default();
                let result = decoder.frame(payload, &mut counting);
                if result.is_ok() {
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
    let told: u64 = index.blocks().iter().map(|block| block.rows).sum();
    for damage in index.damage().iter().filter(|d| matches!(d.kind, DamageKind::Index(_))) {
        report.damage.push(damage.clone());
    }
    if report.damage.is_empty() && told != report.rows {
        let why = format!("it counts {told} region rows, the blocks hold {}", report.rows);
        report.damage.push(Damage { offset: bytes, block: None, kind: DamageKind::Index(why) });
    }
    let cut_off = |d: &Damage| matches!(d.kind, DamageKind::Truncated { .. });
    if !report.damage.iter().all(cut_off) {
        report.completeness = Completeness::Damaged;
    }
    Ok(report)
}
