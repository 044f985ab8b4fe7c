//! Copies everything readable of a damaged trace into a new, whole one.

use crate::block::{BlockDecoder, Counting, Counts};
use crate::layout::{BlockHeader, BlockKind, FileHeader};
use crate::scan::{Piece, Scanner};
use crate::section::put_record;
use crate::store::Store;
use crate::stream::{read_header, read_info};
use crate::stream_codec::Compressor;
use crate::{Damage, Lost, OpenError, Record, WriteError, wire};
use serde::Serialize;
use std::io::{Read, Write};

/// What a recovery saved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecoveryReport {
    /// Frames copied.
    pub frames: u64,
    /// Snapshots in them.
    pub snapshots: u64,
    /// Region rows in them.
    pub rows: u64,
    /// Metadata records in them.
    pub records: u64,
    /// What was left behind.
    pub damage: Vec<Damage>,
}

/// Why a trace could not be recovered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecoverError {
    /// Nothing is readable.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The new trace could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Copies the complete frames of every block to `sink` byte for byte, renumbers the blocks, adds index and
/// footer, and notes in the new trace what was left behind. The input is not changed.
pub fn recover<R: Read, W: Write>(
    mut reader: R,
    sink: W,
) -> Result<(RecoveryReport, W), RecoverError> {
    let header = read_header(&mut reader)?;
    let mut scanner = Scanner::new(reader, FileHeader::LEN as u64, 0);
    let info = read_info(&mut scanner)?;
    // What is copied byte for byte is of the version that it was written in.
    let mut store = Store::create(sink, &header)?;
    let mut bytes = Vec::new();
    wire::put_info(&info, &mut bytes).map_err(WriteError::Record)?;
    store.begin_block(BlockKind::INFO, info.clock.monotonic_ns);
    store.frame(&bytes, &Counts::default())?;

    let mut total = Counts::default();
    let (mut frames, mut snapshots) = (1, 0_u64);
    let mut damage = Vec::new();
    let mut decoder = BlockDecoder::default();
    let mut source: Option<BlockHeader> = None;
    let mut begun = false;
    while let Some(piece) = scanner.next() {
        match piece {
            Piece::Block { offset, header } => {
                source = (header.kind == BlockKind::DATA).then_some(header);
                begun = false;
                if let Err(kind) = decoder.block(&header) {
                    damage.push(Damage { offset, block: Some(header.sequence), kind });
                    source = None;
                }
            }
            Piece::Frame { offset, payload, .. } => {
                let Some(header) = source else { continue };
                let mut counting = Counting::default();
                if let Err(kind) = decoder.frame(payload, &mut counting) {
                    damage.push(Damage { offset, block: Some(header.sequence), kind });
                    source = None;
                    continue;
                }
                if !begun {
                    store.begin_block(BlockKind::DATA, header.start_ns);
                    begun = true;
                }
                store.frame(payload, &counting.counts)?;
                total.add(&counting.counts);
                snapshots += u64::from(counting.counts.snapshots);
                frames += 1;
            }
            Piece::Footer(_) => {}
            Piece::Damage(found) => damage.push(found),
        }
    }
    if !damage.is_empty() {
        let time_ns = total.span.map_or(info.clock.monotonic_ns, |(_, end)| end);
        note_losses(&mut store, &damage, time_ns)?;
    }
    let sink = store.finish()?;
    let records = u64::from(total.records);
    Ok((RecoveryReport { frames, snapshots, rows: total.rows, records, damage }, sink))
}

/// Damages that are noted one by one; a file of nothing but damage must not fill the new trace.
const NOTED: usize = 1000;

/// Adds a block with one [`Lost`] record for each damage, and one for all beyond [`NOTED`].
fn note_losses<W: Write>(
    store: &mut Store<W>,
    damage: &[Damage],
    time_ns: u64,
) -> Result<(), WriteError> {
    let mut sections = Vec::new();
    let mut counts = Counts::default();
    let mut note = |count: usize, what: String| {
        let lost = Record::Lost(Lost { target: None, time_ns, count: count as u64, what });
        let mut body = Vec::new();
        wire::put_record(&lost, &mut body).map_err(WriteError::Record)?;
        put_record(&body, &mut sections);
        counts.record(&lost);
        Ok::<(), WriteError>(())
    };
    for one in damage.iter().take(NOTED) {
        note(1, format!("found while recovering the trace: {one}"))?;
    }
    if let Some(more) = damage.len().checked_sub(NOTED).filter(|&more| more > 0) {
        note(more, "found while recovering the trace: more damage, not listed".into())?;
    }
    let mut stored = Vec::new();
    Compressor::new(3, 17)?.frame(&sections, &mut stored)?;
    store.begin_block(BlockKind::DATA, time_ns);
    store.frame(&stored, &counts)
}
