//! A recording that fills several files.
//!
//! Nothing is lost or doubled where one part ends and the next begins: what is handed over is kept until
//! it is written, and what does not fit into a part goes, as the first of its own data, into the next. That one has
//! its name before the part before it is closed, so that whoever is killed in between leaves two valid parts.

use super::item::Item;
use super::keep::keep;
use super::opening::{Opened, open, options};
use super::shelf::Shelf;
use super::{Clock, Outcome, Word};
use crate::exit::Failure;
use crate::plan::Rotation;
use crate::session::output::{Output, io_words, write_failure};
use crate::session::place::{PartsPlan, cannot_create};
use damon_format::{
    Finished, Note, Part, Record, RecordingInfo, State, TraceWriter, Workspace, WriteError,
    WriterOptions,
};
use std::io;
use std::path::Path;

/// A part that could not be begun is tried again after this time of the data.
const RETRY_NS: u64 = 5_000_000_000;
#[derive(Debug)]
pub(super) struct Parts {
    writer: TraceWriter<Output>,
    /// How people call the present part.
    name: String,
    shelf: Shelf,
    rotation: Rotation,
    options: WriterOptions,
    /// What the part before the present one has left for the next one.
    spare: Option<Workspace>,
    /// Of the recording's start.
    info: RecordingInfo,
    clock: Clock,
    /// What the written records say.
    state: State,
    /// Handed over and not written yet, in this order.
    pending: Vec<Item>,
    /// The number of the present part.
    number: u32,
    /// Snapshots written, in all parts.
    snapshots: u64,
    /// The newest time that is written.
    newest_ns: u64,
    /// Whether the present part has data of its own, written or pending.
    has_data: bool,
    /// The number in the name of the newest part that holds a snapshot.
    latest: Option<u32>,
    /// When the next part is due, if time counts.
    due_ns: Option<u64>,
    /// The next part could not be begun, and is not tried before this time.
    retry_ns: Option<u64>,
    /// A file could not be removed, and that was said.
    removal_failed: bool,
    words: Vec<Word>,
}

/// What decides that the next part begins.
enum Seam {
    /// The present part is in good order and will be closed.
    Closing,
    /// The present part could not be written on, and ends as it is.
    Torn(io::Error),
}

impl Parts {
    /// Begins the first part.
    pub(super) fn begin(
        path: &Path,
        plan: PartsPlan,
        info: &RecordingInfo,
        clock: Clock,
    ) -> Result<Self, Failure> {
        let PartsPlan { rotation, adopts } = plan;
        let mut shelf =
            Shelf::open(path, &rotation, adopts).map_err(|error| cannot_create(path, &error))?;
        let begun_ns = info.clock.monotonic_ns;
        let options = options(&rotation);
        let first = Part {
            time_ns: begun_ns,
            recording: info.clock.realtime_ns,
            number: 1,
            first_snapshot: 0,
            repeated: 0,
        };
        let opened = open(&shelf, info, (options, None), first, &[], &[]);
        let Opened { writer, part, floor } = opened.map_err(|error| match &error {
            WriteError::Io(io) if io.kind() != io::ErrorKind::StorageFull => {
                cannot_create(path, io)
            }
            _ => write_failure(&path.display().to_string(), false, &error),
        })?;
        let published = shelf.publish(part).map_err(|error| cannot_create(path, &error))?;
        let mut parts = Self {
            writer,
            name: published.display().to_string(),
            shelf,
            rotation,
            options,
            spare: None,
            info: info.clone(),
            clock,
            state: State::default(),
            pending: Vec::new(),
            number: 1,
            snapshots: 0,
            newest_ns: begun_ns,
            has_data: false,
            latest: None,
            due_ns: rotation.time.map(|_| begun_ns),
            retry_ns: None,
            removal_failed: false,
            words: Vec::new(),
        };
        parts.pass_due(begun_ns);
        parts.limit(floor);
        parts.prune();
        Ok(parts)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Bytes written, of the parts that are there.
    pub(super) fn bytes(&self) -> u64 {
        self.shelf.bytes().saturating_add(self.writer.bytes_written())
    }

    pub(super) fn words(&mut self) -> &mut Vec<Word> {
        &mut self.words
    }

    pub(super) fn set_clock(&mut self, clock: Clock) {
        self.clock = clock;
    }

    /// Adds something; false when the format refuses it.
    pub(super) fn put(&mut self, mut item: Item) -> Result<bool, Failure> {
        let time_ns = item.time_ns();
        if self.is_due(time_ns) {
            if self.has_data {
                self.end_part(time_ns)?;
                self.prune();
            } else {
                self.pass_due(time_ns);
            }
        }
        if let Item::Record(Record::Finished(finished)) = &mut item {
            self.clock.rest(finished);
        }
        let frames = self.writer.frames();
        let error = match item.write(&mut self.writer) {
            Ok(()) => {
                self.added(item, frames);
                return Ok(true);
            }
            Err(WriteError::Snapshot(_) | WriteError::Record(_)) => {
                // A part of it may have made room all the same.
                if self.writer.frames() > frames {
                    self.settle(self.pending.len());
                }
                return Ok(false);
            }
            Err(error) => error,
        };
        self.pending.push(item);
        match error {
            WriteError::Full => self.go_on(Seam::Closing, time_ns)?,
            error => self.salvage(error, time_ns)?,
        }
        self.prune();
        Ok(true)
    }

    /// Ends the recording in good order.
    pub(super) fn finish(mut self) -> Result<Outcome, Failure> {
        loop {
            match self.flush() {
                Ok(()) => break,
                Err(WriteError::Full) => self.go_on(Seam::Closing, self.newest_ns)?,
                Err(error) => self.salvage(error, self.newest_ns)?,
            }
        }
        self.prune();
        let mut outcome = Outcome { words: std::mem::take(&mut self.words), ..self.outcome() };
        let before = self.writer.bytes_written();
        let output =
            self.writer.finish().map_err(|error| write_failure(&self.name, true, &error))?;
        outcome.bytes = self.shelf.bytes().saturating_add(output.size().unwrap_or(before));
        Ok(outcome)
    }

    /// Gives all parts, up to here, second names that nothing removes.
    pub(super) fn keep(&mut self) -> Result<(), Failure> {
        // What does not fit into the present part any more is a part of its own.
        let mut before = None;
        while self.has_data && before != Some(self.number) {
            before = Some(self.number);
            self.end_part(self.newest_ns)?;
        }
        let mut numbers = self.shelf.numbers();
        // Where no other part could be begun, the present one is kept as it is, and grows on.
        if self.has_data {
            self.flush().map_err(|error| write_failure(&self.name, true, &error))?;
        } else {
            numbers.pop();
        }
        let text = match keep(self.shelf.names(), &numbers) {
            Ok(kept) if kept.files == 0 => {
                self.words.push(Word::Say("SIGUSR1: there is nothing to keep yet".to_owned()));
                return Ok(());
            }
            Ok(kept) => format!("SIGUSR1: {}", kept.describe(self.shelf.names())),
            Err((path, error)) => format!(
                "SIGUSR1: cannot keep what there is: {}: {}; recording goes on",
                path.display(),
                io_words(&error)
            ),
        };
        self.words.push(Word::Say(text.clone()));
        self.prune();
        self.put(Item::Remark(Note { time_ns: self.newest_ns, text })).map(drop)
    }

    /// Ends the present part, if another can be begun. What is too old stays for now.
    fn end_part(&mut self, time_ns: u64) -> Result<(), Failure> {
        match self.flush() {
            Ok(()) | Err(WriteError::Full) => self.go_on(Seam::Closing, time_ns),
            Err(error) => self.salvage(error, time_ns),
        }
    }

    /// The writer has accepted it, and had written so many frames before.
    fn added(&mut self, item: Item, frames: u64) {
        self.has_data |= item.is_data();
        self.pending.push(item);
        if !self.writer.has_pending() {
            self.settle(self.pending.len());
        } else if self.writer.frames() > frames {
            self.settle(self.pending.len().saturating_sub(1));
        }
    }

    /// Writes what is pending.
    fn flush(&mut self) -> Result<(), WriteError> {
        self.writer.flush()?;
        self.settle(self.pending.len());
        Ok(())
    }

    /// The first so many of what is pending are written.
    fn settle(&mut self, count: usize) {
        for item in self.pending.drain(..count) {
            self.newest_ns = self.newest_ns.max(item.time_ns());
            if item.is_snapshot() {
                self.snapshots += 1;
                self.latest = Some(self.shelf.present());
            }
            item.teach(&mut self.state);
        }
    }

    fn is_due(&self, time_ns: u64) -> bool {
        self.retry_ns.or(self.due_ns).is_some_and(|due_ns| time_ns > due_ns)
    }

    /// The next part is due when a whole number of times has passed since the recording began.
    fn pass_due(&mut self, now_ns: u64) {
        if let (Some(due_ns), Some(time)) = (&mut self.due_ns, self.rotation.time)
            && now_ns >= *due_ns
        {
            let step = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).max(1);
            let times = ((now_ns - *due_ns) / step).saturating_add(1);
            *due_ns = due_ns.saturating_add(times.saturating_mul(step));
        }
    }

    /// A part may have the size asked for. One that has to repeat very much has half of that for its own data.
    fn limit(&mut self, floor: u64) {
        let limit = self.rotation.size.map(|size| size.max(floor.saturating_add(size / 2)));
        self.writer.limit(limit);
    }

    /// Goes on in the next part with what is pending; when there cannot be one, in the present one if that is
    /// in good order. `time_ns` is when.
    fn go_on(&mut self, seam: Seam, time_ns: u64) -> Result<(), Failure> {
        loop {
            let error = match self.open_next() {
                Ok(opened) => match self.shelf.publish(opened.part) {
                    Ok(path) => {
                        self.switch(opened.writer, opened.floor, &path, &seam, time_ns);
                        return Ok(());
                    }
                    Err(error) => WriteError::Io(error),
                },
                Err(error) => error,
            };
            if !(is_full(&error) && self.make_room()) {
                return match seam {
                    Seam::Closing => self.stay(&error, time_ns),
                    Seam::Torn(torn) => Err(write_failure(&self.name, true, &WriteError::Io(torn))),
                };
            }
        }
    }

    /// A part that could not be written on is given up for the next one where that can help: a limit for file
    /// sizes, or a full disk when there are older parts that may go.
    fn salvage(&mut self, error: WriteError, time_ns: u64) -> Result<(), Failure> {
        let helps = is_full(&error) && self.make_room() || is_too_large(&error);
        match error {
            WriteError::Io(torn) if helps => self.go_on(Seam::Torn(torn), time_ns),
            error => Err(write_failure(&self.name, true, &error)),
        }
    }

    /// Removes the oldest part of those that need not be kept for good.
    fn make_room(&mut self) -> bool {
        let Ok(Some(path)) = self.shelf.remove_oldest() else {
            return false;
        };
        let text = format!("the disk is full: removed {} to go on", path.display());
        self.words.push(Word::Say(text.clone()));
        self.pending.push(Item::Remark(Note { time_ns: self.newest_ns, text }));
        true
    }

    fn open_next(&mut self) -> Result<Opened, WriteError> {
        let part = Part {
            time_ns: self.newest_ns,
            recording: self.info.clock.realtime_ns,
            number: self.number.saturating_add(1),
            first_snapshot: self.snapshots,
            repeated: 0,
        };
        let info = RecordingInfo {
            clock: self.clock.anchor(self.info.clock, self.newest_ns),
            attrs: self.state.attrs().unwrap_or(self.info.attrs),
            ..self.info.clone()
        };
        let setup = (self.options, self.spare.take());
        let repeated: Vec<Record> = self.state.records().collect();
        open(&self.shelf, &info, setup, part, &repeated, &self.pending)
    }

    /// The next part has its name: closes the present one.
    fn switch(
        &mut self,
        writer: TraceWriter<Output>,
        floor: u64,
        path: &Path,
        seam: &Seam,
        time_ns: u64,
    ) {
        let old = std::mem::replace(&mut self.writer, writer);
        let before = std::mem::replace(&mut self.name, path.display().to_string());
        self.number = self.number.saturating_add(1);
        let written = old.bytes_written();
        let size = match seam {
            Seam::Closing => self.close(old).unwrap_or_else(|error| {
                let text = format!(
                    "{before} has no proper end: {error}; what was written is a valid recording"
                );
                self.words.push(Word::Say(text));
                written
            }),
            Seam::Torn(error) => {
                let why = io_words(error);
                let text = format!(
                    "{before} cannot be written any longer: {why}; recording goes on in {}",
                    self.name
                );
                self.words.push(Word::Say(text));
                written
            }
        };
        self.shelf.closed(size);
        self.has_data = self.pending.iter().any(Item::is_data);
        self.settle(self.pending.len());
        self.retry_ns = None;
        self.pass_due(time_ns);
        self.limit(floor);
        self.words.push(Word::Detail(format!("recording goes on in {}", self.name)));
    }

    fn close(&mut self, mut old: TraceWriter<Output>) -> Result<u64, WriteError> {
        let mut finished = Finished {
            time_ns: self.newest_ns,
            reason: format!(
                "part {} is over, the recording goes on in {}",
                self.number - 1,
                self.name
            ),
            recorder_cpu_us: 0,
        };
        self.clock.part(&mut finished);
        old.limit(None);
        old.record(&Record::Finished(finished))?;
        let before = old.bytes_written();
        let (output, left) = old.finish_and_reuse()?;
        self.spare = Some(left);
        Ok(output.size().unwrap_or(before))
    }

    /// Goes on in the present part, whose last block has ended.
    fn stay(&mut self, error: &WriteError, time_ns: u64) -> Result<(), Failure> {
        let mut again = std::mem::take(&mut self.pending);
        if self.retry_ns.is_none() {
            let why = match error {
                WriteError::Io(io) => io_words(io),
                error => error.to_string(),
            };
            let text = format!(
                "cannot begin the next part: {why}; recording goes on in {}, and this is tried again every few \
                 seconds",
                self.name
            );
            self.words.push(Word::Error(text.clone()));
            again.push(Item::Remark(Note { time_ns: self.newest_ns, text }));
        }
        self.retry_ns = Some(time_ns.saturating_add(RETRY_NS));
        self.writer.limit(None);
        for item in again {
            let frames = self.writer.frames();
            item.write(&mut self.writer)
                .map_err(|error| write_failure(&self.name, true, &error))?;
            self.added(item, frames);
        }
        Ok(())
    }

    fn prune(&mut self) {
        match self.shelf.prune() {
            Ok(()) => self.removal_failed = false,
            Err((path, error)) => {
                if !std::mem::replace(&mut self.removal_failed, true) {
                    self.words.push(Word::Error(format!(
                        "cannot remove {}: {}; it is tried again later",
                        path.display(),
                        io_words(&error)
                    )));
                }
            }
        }
    }

    fn outcome(&self) -> Outcome {
        let (parts, begun) = (self.shelf.len(), self.shelf.begun());
        let oldest = self.shelf.oldest().display().to_string();
        let name = if parts > 1 { format!("{oldest} .. {}", self.name) } else { self.name.clone() };
        let count = match usize::try_from(begun).unwrap_or(usize::MAX) {
            1 => "1 part".to_owned(),
            all if all > parts => format!("the newest {parts} of {begun} parts"),
            _ => format!("{parts} parts"),
        };
        let latest = self.latest.map(|number| self.shelf.names().part(number));
        let look_at = latest.filter(|path| path.exists()).map(|path| path.display().to_string());
        Outcome { name, count: Some(count), look_at, bytes: 0, words: Vec::new() }
    }
}

fn is_full(error: &WriteError) -> bool {
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error, WriteError::Io(io) if matches!(io.kind(), StorageFull | QuotaExceeded))
}

fn is_too_large(error: &WriteError) -> bool {
    matches!(error, WriteError::Io(io) if io.kind() == io::ErrorKind::FileTooLarge)
}
