//! The trace as the session writes it, into one file or several: failures become sentences, refusals are
//! counted.

mod clock;
mod item;
mod keep;
mod names;
mod opening;
mod parts;
mod shelf;
#[cfg(test)]
mod state;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub(super) use names::Names;

use super::console::Console;
use super::output::{Output, write_failure};
use super::place::{Draft, Opened, Place};
use crate::exit::Failure;
use crate::units::show_bytes;
use clock::Clock;
use damon_format::{
    Record, RecordingInfo, Snapshot, TargetId, TraceWriter, WriteError, WriterOptions,
};
use item::Item;
use parts::Parts;

/// A trace being written.
#[derive(Debug)]
pub(crate) struct Trace {
    file: Files,
    snapshots: u64,
    lost: u64,
    words: Vec<Word>,
}

#[derive(Debug)]
enum Files {
    One { writer: Box<TraceWriter<Output>>, name: String },
    Several(Box<Parts>),
}

/// What there is to say, for the next time there is somebody to say it to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Word {
    Error(String),
    Say(String),
    Detail(String),
}

impl Word {
    fn say(&self, console: &mut Console) {
        match self {
            Self::Error(text) => console.error(text),
            Self::Say(text) => console.say(text),
            Self::Detail(text) => console.detail(text),
        }
    }
}

/// What is left of a finished trace.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// How people call the files that are there.
    pub(super) name: String,
    /// How many there are, when there might be several.
    pub(super) count: Option<String>,
    /// Their size.
    pub(super) bytes: u64,
    /// The newest file with a snapshot in it.
    pub(super) look_at: Option<String>,
    words: Vec<Word>,
}

impl Outcome {
    /// Says what was left to be said.
    pub(crate) fn say_words(&mut self, console: &mut Console) {
        self.words.drain(..).for_each(|word| word.say(console));
    }
}

impl Trace {
    /// Writes the head of a trace to `place`. A file appears under its name when it has this head.
    pub(crate) fn create(place: &Place, info: &RecordingInfo) -> Result<Self, Failure> {
        let file = match place.parts() {
            None => {
                let Opened { output, draft } = place.open()?;
                let name = output.name();
                let writer = TraceWriter::create(output, info, WriterOptions::default())
                    .map_err(|error| write_failure(&name, false, &error))?;
                draft.map_or(Ok(()), Draft::publish)?;
                Files::One { writer: Box::new(writer), name }
            }
            Some((path, plan)) => {
                Files::Several(Box::new(Parts::begin(path, plan, info, Clock::machine())?))
            }
        };
        Ok(Self { file, snapshots: 0, lost: 0, words: Vec::new() })
    }

    /// Takes the time from the data alone, and asks nothing of the machine.
    #[must_use]
    pub(crate) fn with_clock_of_data(mut self) -> Self {
        if let Files::Several(parts) = &mut self.file {
            parts.set_clock(Clock::Data);
        }
        self
    }

    /// How people call the file that is written.
    pub(super) fn name(&self) -> &str {
        match &self.file {
            Files::One { name, .. } => name,
            Files::Several(parts) => parts.name(),
        }
    }

    /// Snapshots stored.
    pub(super) fn snapshots(&self) -> u64 {
        self.snapshots
    }

    /// Snapshots and events that should be in the trace and are not.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    /// Bytes written, of the files that are there.
    pub(super) fn bytes(&self) -> u64 {
        match &self.file {
            Files::One { writer, .. } => writer.bytes_written(),
            Files::Several(parts) => parts.bytes(),
        }
    }

    /// Stores a snapshot; one that the format refuses is counted as lost.
    pub(crate) fn snapshot(&mut self, snapshot: &Snapshot) -> Result<(), Failure> {
        let stored = match &mut self.file {
            Files::One { writer, name } => stored(name, writer.snapshot(snapshot))?,
            Files::Several(parts) => parts.put(Item::Snapshot(snapshot.clone()))?,
        };
        let count = if stored { &mut self.snapshots } else { &mut self.lost };
        *count = count.saturating_add(1);
        Ok(())
    }

    /// Stores a record; one that the format refuses is counted as lost.
    pub(crate) fn record(&mut self, record: &Record) -> Result<(), Failure> {
        if let Record::Lost(lost) = record {
            self.lost = self.lost.saturating_add(lost.count);
        }
        let stored = match &mut self.file {
            Files::One { writer, name } => stored(name, writer.record(record))?,
            Files::Several(parts) => {
                let mut stored = true;
                for item in Item::of(record) {
                    stored &= parts.put(item)?;
                }
                stored
            }
        };
        self.lost = self.lost.saturating_add(u64::from(!stored));
        Ok(())
    }

    /// A target that lives is not recorded any longer; later parts need not name it.
    pub(super) fn forget(&mut self, target: TargetId) -> Result<(), Failure> {
        match &mut self.file {
            Files::One { .. } => Ok(()),
            Files::Several(parts) => parts.put(Item::Forget(target)).map(drop),
        }
    }

    /// SIGUSR1: everything up to here goes to the disk, and keeps a name for good where parts come and go.
    pub(super) fn keep(&mut self) -> Result<(), Failure> {
        match &mut self.file {
            Files::One { writer, name } => {
                writer.flush().map_err(|error| write_failure(name, true, &error))?;
                let (snapshots, bytes) = (self.snapshots, show_bytes(writer.bytes_written()));
                self.words.push(Word::Say(format!(
                    "SIGUSR1: everything up to here is in {name} ({snapshots} snapshots, {bytes}); parts \
                     to be kept come with --rotate-size and --rotate-time"
                )));
                Ok(())
            }
            Files::Several(parts) => parts.keep(),
        }
    }

    /// Says what there is to say since the last call.
    pub(crate) fn say_words(&mut self, console: &mut Console) {
        let words = match &mut self.file {
            Files::One { .. } => &mut self.words,
            Files::Several(parts) => parts.words(),
        };
        words.drain(..).for_each(|word| word.say(console));
    }

    /// Ends the trace in good order; tells what is left.
    pub(crate) fn finish(self) -> Result<Outcome, Failure> {
        let (writer, name) = match self.file {
            Files::Several(parts) => return parts.finish(),
            Files::One { writer, name } => (writer, name),
        };
        let before = writer.bytes_written();
        let output = writer.finish().map_err(|error| write_failure(&name, true, &error))?;
        let look_at = matches!(output, Output::File { .. }).then(|| name.clone());
        let bytes = output.size().unwrap_or(before);
        Ok(Outcome { name, count: None, bytes, look_at, words: self.words })
    }
}

/// Whether it was stored, or refused by the format.
fn stored(name: &str, written: Result<(), WriteError>) -> Result<bool, Failure> {
    match written {
        Ok(()) => Ok(true),
        Err(WriteError::Snapshot(_) | WriteError::Record(_)) => Ok(false),
        Err(error) => Err(write_failure(name, true, &error)),
    }
}
