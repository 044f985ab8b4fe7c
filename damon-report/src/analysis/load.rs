//! Opening a trace and walking over its blocks in parallel.

use super::mapping_history::MappingHistory;
use super::records::Keeper;
use super::room::Room;
use super::select::Selection;
use super::source::{Opened, Source, name_of};
use crate::import::{self, Encoder, ImportError, ImportOptions, Input, Kind, Reading, Sink};
use damon_format::{
    BlockEntry, Completeness, Damage, IndexedReader, OpenError, ReadAt, Record, RecordingInfo,
    SnapshotView, VerifyReport, Visitor,
};
use rayon::prelude::*;
use std::io;
use std::path::Path;

/// Why a trace cannot be worked with at all.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be opened or read.
    #[error("{name}: cannot read: {source}")]
    Io {
        /// What was asked for.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// The bytes are no readable trace.
    #[error("{name}: {source}")]
    Open {
        /// What was asked for.
        name: String,
        /// What is wrong.
        source: OpenError,
    },
    /// The bytes are nothing that can be read.
    #[error(
        "{name}: neither a trace nor a recording of another tool that can be read (of damo or perf, or the text of \
         perf script, trace-cmd report or ftrace)"
    )]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// The recording of another tool cannot be read.
    #[error("{name}: {source}")]
    Import {
        /// What was asked for.
        name: String,
        /// What is wrong.
        source: ImportError,
    },
}

/// An open trace.
#[derive(Debug)]
pub struct Trace {
    name: String,
    bytes: u64,
    source: Source,
    reader: IndexedReader<Source>,
    imported_from: Option<Kind>,
}

/// What stands under a path, and what it is called.
pub(super) fn find(path: &Path, reading: &Reading) -> Result<(String, Opened), LoadError> {
    let name = name_of(path);
    match Opened::open(path, reading) {
        Ok(opened) => Ok((name, opened)),
        Err(source) => Err(LoadError::Io { name, source }),
    }
}

impl Trace {
    /// Opens a path, or standard input for `-`. The recording of another tool becomes a trace in memory, which takes
    /// about a byte for each of its region rows.
    pub fn open(path: &Path) -> Result<Self, LoadError> {
        Self::open_watched(path, &Reading::default())
    }

    /// [`open`](Self::open), with somebody who wants to know how far the file has been read.
    pub fn open_watched(path: &Path, reading: &Reading) -> Result<Self, LoadError> {
        let (name, opened) = find(path, reading)?;
        Self::of((name, path), opened)
    }

    /// [`open`](Self::open), of what was found already.
    pub(super) fn of((name, path): (String, &Path), opened: Opened) -> Result<Self, LoadError> {
        match opened {
            Opened::Trace(source) => Self::from_source(name, source),
            Opened::Foreign(kind, input) => {
                let encoder = Encoder::new(Vec::new(), import::in_memory());
                let made = Self::import((name, path), (kind, input), encoder, |encoder| encoder);
                made.map(|(trace, _)| trace)
            }
        }
    }

    /// Has a sink read the recording of another tool; a trace of what it put into its encoder.
    pub(super) fn import<S: Sink>(
        (name, path): (String, &Path),
        (kind, input): (Kind, Input),
        mut sink: S,
        encoder: impl Fn(&mut S) -> &mut Encoder<Vec<u8>>,
    ) -> Result<(Self, S), LoadError> {
        let beside = import::side_files(path, kind);
        let options = ImportOptions::default();
        let read = import::hand_over(input, kind, &options, beside, &mut sink);
        match read.and_then(|()| encoder(&mut sink).finish()) {
            Ok((bytes, _)) => {
                let trace = Self::from_source(name, Source::memory(bytes))?;
                Ok((Self { imported_from: Some(kind), ..trace }, sink))
            }
            Err(source) => Err(LoadError::Import { name, source }),
        }
    }

    /// Opens bytes that are already at hand.
    pub fn from_source(name: String, source: Source) -> Result<Self, LoadError> {
        let bytes = match source.size() {
            Ok(bytes) => bytes,
            Err(source) => return Err(LoadError::Io { name, source }),
        };
        match IndexedReader::open(source.clone()) {
            Ok(reader) => Ok(Self { name, bytes, source, reader, imported_from: None }),
            Err(OpenError::NotATrace) => Err(LoadError::Unknown { name }),
            Err(OpenError::Io(source)) => Err(LoadError::Io { name, source }),
            Err(source) => Err(LoadError::Open { name, source }),
        }
    }

    /// What the user called it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it was before it was imported into memory; `None` for a trace.
    pub fn imported_from(&self) -> Option<Kind> {
        self.imported_from
    }

    /// Size of the trace.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What was recorded, and how.
    pub fn info(&self) -> &RecordingInfo {
        self.reader.info()
    }

    /// Whether the trace ends as it should, as far as known without reading all of it.
    pub fn completeness(&self) -> Completeness {
        self.reader.completeness()
    }

    /// The blocks of data in file order.
    pub fn blocks(&self) -> &[BlockEntry] {
        self.reader.blocks()
    }

    /// Reads and checks the whole file.
    pub fn verify(&self) -> Result<VerifyReport, LoadError> {
        damon_format::verify(&self.source)
            .map_err(|source| LoadError::Open { name: self.name.clone(), source })
    }

    /// Hands one block to a visitor; up to the damage everything was handed over.
    pub fn visit_block(
        &self,
        block: &BlockEntry,
        visitor: &mut impl Visitor,
    ) -> Result<(), Damage> {
        self.reader.visit_block(block, visitor)
    }

    /// Hands over a block's snapshots and records if it overlaps the selected time, else its records alone.
    pub fn visit_selected(
        &self,
        block: &BlockEntry,
        selection: &Selection,
        visitor: &mut impl Visitor,
    ) -> Result<(), Damage> {
        if selection.overlaps(block) {
            self.reader.visit_block(block, visitor)
        } else {
            self.reader.visit_records(block, visitor)
        }
    }

    /// Hands over a block's records alone.
    pub(super) fn visit_records(
        &self,
        block: &BlockEntry,
        visitor: &mut impl Visitor,
    ) -> Result<(), Damage> {
        self.reader.visit_records(block, visitor)
    }

    /// Damage found while opening.
    pub fn damage(&self) -> &[Damage] {
        self.reader.damage()
    }

    /// The blocks that concern a selection, in file order: those that overlap its time, and those whose records may matter in
    /// it. These are the block before each of the first and each block that lies before the time while the next one does not
    /// (the latest values before the time), and all blocks whose entry in the index says, or does not deny, that they
    /// hold [lasting](damon_format::Lasting) records (names, mappings …).
    ///
    /// What is known so is the same as in all of the trace: the newest value of a series before the time, in the order of the
    /// file, is in a block that overlaps the time, or lies before it. Of the latter, either nothing of the series is in the
    /// next block, and the value lasts; or the next one has newer values, not before the time, and so does not lie before it.
    pub fn blocks_for(&self, selection: &Selection) -> Vec<&BlockEntry> {
        let blocks = self.blocks();
        let next = blocks.iter().skip(1).map(Some).chain([None]);
        let concerned = blocks.iter().zip(next).filter(|(block, next)| {
            let from_ns = selection.time.start;
            let is_before = next.is_some_and(|next| {
                selection.overlaps(next) || block.end_ns < from_ns && from_ns <= next.end_ns
            });
            let lasts = is_before || block.lasting != Some(0);
            selection.overlaps(block) || block.records > 0 && lasts
        });
        concerned.map(|(block, _)| block).collect()
    }

    /// The mappings of the whole recording, without the damage; of a recording that claims too many, none.
    pub(super) fn mapping_history(&self) -> MappingHistory {
        let blocks = self.blocks().iter().filter(|b| b.records > 0 && b.lasting != Some(0));
        let keeper = self.keeper();
        let found = blocks.collect::<Vec<_>>().into_par_iter().map(|block| {
            let mut history = Mappings(MappingHistory::default(), &keeper);
            // Whoever reads the trace meets the damage, and tells.
            let _met_again: Result<(), Damage> = self.reader.visit_records(block, &mut history);
            history.0
        });
        let mut all = MappingHistory::default();
        for some in found.collect::<Vec<_>>() {
            all.extend(some);
        }
        if keeper.is_exceeded() { MappingHistory::default() } else { all }
    }

    /// Keeps the records of this recording as long as they take no more than [room](Self::room_for_records).
    pub(super) fn keeper(&self) -> Keeper {
        Keeper::new(self.room_for_records())
    }

    /// For all records of the recording, in bytes of memory: what those of true recordings never take, since each takes some of
    /// the file, too. Of more than that none is used. Most of it for their file take forked children that share what they
    /// have mapped and live for a moment: unless they [share](Keeper) it here as well, 300 mappings each are 120 bytes a byte.
    pub(crate) fn room_for_records(&self) -> Room {
        Room::new(self.bytes.saturating_mul(256).saturating_add(8 << 20))
    }

    /// Visits blocks in parallel, each with a visitor of its own; those outside the selected time for their records alone. What
    /// visitors collected goes to `take` in the order of the blocks, whatever the number of threads; at most `ahead`
    /// blocks for each thread are held at a time. Returns the damage met on the way and when the trace was opened, in file order.
    pub fn scan<V: Visitor + Send>(
        &self,
        blocks: &[&BlockEntry],
        selection: &Selection,
        ahead: usize,
        make: impl Fn() -> V + Sync,
        mut take: impl FnMut(V),
    ) -> Vec<Damage> {
        let mut damage = self.reader.damage().to_vec();
        for some in blocks.chunks(rayon::current_num_threads().saturating_mul(ahead).max(1)) {
            let seen = some.par_iter().map(|block| {
                let mut visitor = make();
                let found = self.visit_selected(block, selection, &mut visitor).err();
                (visitor, found)
            });
            for (part, found) in seen.collect::<Vec<_>>() {
                take(part);
                damage.extend(found.filter(|found| !damage.contains(found)));
            }
        }
        damage.sort_by_key(|damage| damage.offset);
        damage
    }
}

struct Mappings<'k>(MappingHistory, &'k Keeper);

impl Visitor for Mappings<'_> {
    fn snapshot(&mut self, _snapshot: &SnapshotView<'_>) {}

    fn record(&mut self, record: Record) {
        self.1.keep_mappings_of(record, &mut self.0);
    }
}
