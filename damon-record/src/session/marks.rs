//! Marks by the user, from the FIFO into the trace: at once, in their order, and never so many that they disturb.

use super::budget::own;
use super::console::Console;
use super::events::Events;
use super::run::Session;
use crate::exit::Failure;
use crate::host::monotonic_ns;
use crate::marks::{Fifo, Lines, VARIABLE, printable};
use crate::plan::{Plan, Subject};
use damon_format::{Lost, Mark, Record};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd};

const SECOND_NS: u64 = 1_000_000_000;
/// More marks in a second are left out: they would name nothing any more, and fill the disk.
const MOST_MARKS: u64 = 200;
/// So much is read at once: what a pipe holds.
const MOST_BYTES: usize = 1 << 16;
/// Reads, and KiB, in a second; beyond that nobody is woken for what is written …
const MOST_WORK: u64 = 400;
/// … and it is read this often only.
const PAUSE_NS: u64 = 20_000_000;
/// Before there is a recording the newest so many are kept for it.
const MOST_EARLY: usize = 10_000;
/// A line that does not end is complete when nothing came for so long. Whoever writes few bytes at once writes them whole.
const UNENDED_NS: u64 = 100_000_000;

/// Where marks come from, if anywhere: what was asked for, or what a command is given so that it can always set some.
pub(super) fn inlet(plan: &Plan, console: &mut Console) -> Result<Option<Fifo>, Failure> {
    let made = match (&plan.marks, &plan.subject) {
        (Some(path), _) => Fifo::at(path)?,
        (None, Subject::Command(_)) => match Fifo::private() {
            Ok(fifo) => fifo,
            Err(failure) => {
                console.detail(&format!("no marks can be set: {failure}"));
                return Ok(None);
            }
        },
        (None, _) => return Ok(None),
    };
    let path = made.path().display().to_string();
    if let Some(owner) = made.foreign_owner() {
        console.say(&format!(
            "marks are taken from {path}, which belongs to another user (uid {owner})"
        ));
    }
    let fifo = made.guarded(|error| {
        let text =
            format!("{path} stays if this recorder is killed: no guard can be started: {error}");
        console.detail(&text);
    });
    console.detail(&format!("marks are taken from {path} ({VARIABLE})"));
    Ok(Some(fifo))
}

/// Marks that come in.
#[derive(Debug)]
pub(super) struct Marks {
    file: File,
    lines: Lines,
    /// When the unended line has begun: the time of its mark.
    unended_ns: Option<u64>,
    /// When something came last: an unended line may still go on for a while.
    heard_ns: u64,
    /// Of the second that began then: marks taken, and work.
    second_ns: u64,
    taken: u64,
    work: u64,
    left_out: u64,
    /// The time of the latest mark. Marks that come together follow each other all the same.
    latest_ns: u64,
    /// Flooded: not woken, but read at this time.
    read_ns: Option<u64>,
    listened_to: bool,
    /// Read before there was a recording.
    early: Early,
}

/// What waits for a recording.
#[derive(Debug, Default)]
struct Early {
    records: VecDeque<Record>,
    /// Older ones that had to make room.
    left_out: u64,
    /// When the latest of these was set.
    left_out_ns: u64,
}

impl Early {
    fn push(&mut self, record: Record) {
        if self.records.len() == MOST_EARLY
            && let Some(oldest) = self.records.pop_front()
        {
            let count = if let Record::Lost(lost) = &oldest { lost.count } else { 1 };
            self.left_out = self.left_out.saturating_add(count);
            self.left_out_ns = oldest.time_ns();
        }
        self.records.push_back(record);
    }

    /// Everything, and that it is not everything.
    fn take(&mut self) -> Vec<Record> {
        let Self { records, left_out: count, left_out_ns: time_ns } = std::mem::take(self);
        let what =
            format!("of the marks before the first process the newest {MOST_EARLY} are here");
        let lost = (count > 0).then_some(Record::Lost(Lost { target: None, time_ns, count, what }));
        lost.into_iter().chain(records).collect()
    }
}

impl Marks {
    /// Those that come through `file`, which must not wait.
    pub(super) fn new(file: File) -> Self {
        Self {
            file,
            lines: Lines::default(),
            unended_ns: None,
            heard_ns: 0,
            second_ns: 0,
            taken: 0,
            work: 0,
            left_out: 0,
            latest_ns: 0,
            read_ns: None,
            listened_to: false,
            early: Early::default(),
        }
    }

    /// When to read although nobody is woken.
    pub(super) fn due_ns(&self) -> u64 {
        let unended = self.unended_ns.map(|_| self.heard_ns.saturating_add(UNENDED_NS));
        let told = (self.left_out > 0).then(|| self.second_ns.saturating_add(SECOND_NS));
        [unended, told, self.read_ns].into_iter().flatten().min().unwrap_or(u64::MAX)
    }

    /// What has come until `now_ns`; at the `last` time all that was begun is complete.
    fn read(&mut self, now_ns: u64, last: bool) -> Vec<Record> {
        let mut records = Vec::new();
        if now_ns.saturating_sub(self.second_ns) >= SECOND_NS {
            records.extend(self.told(now_ns));
            (self.second_ns, self.taken, self.work) = (now_ns, 0, 0);
        }
        let mut buffer = [0; 1 << 13];
        let mut total = 0;
        while total < MOST_BYTES {
            let count = match self.file.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // Nothing is there.
                Err(_) => break,
            };
            total += count;
            self.take(buffer.get(..count).unwrap_or_default(), now_ns, &mut records);
        }
        // Only now: its end may have waited for a recorder that was busy.
        if total > 0 {
            self.heard_ns = now_ns;
        } else if now_ns.saturating_sub(self.heard_ns) >= UNENDED_NS {
            self.complete(&mut records);
        }
        self.work = self.work.saturating_add(1 + (total as u64 >> 10));
        if last {
            self.complete(&mut records);
            records.extend(self.told(now_ns));
        }
        self.read_ns = (self.work > MOST_WORK).then(|| now_ns.saturating_add(PAUSE_NS));
        records
    }

    /// Reads what has come while there is no recording yet. What comes from now on wakes.
    pub(super) fn read_early(&mut self, events: &Events, console: &mut Console) {
        for record in self.read(monotonic_ns(), false) {
            tell(&record, console);
            self.early.push(record);
        }
        self.listen(events);
    }

    /// Has `events` tell what comes, unless it comes too fast.
    fn listen(&mut self, events: &Events) {
        let listens = self.read_ns.is_none();
        if std::mem::replace(&mut self.listened_to, listens) != listens {
            events.listen_to_marks(self.as_fd(), listens);
        }
    }

    fn take(&mut self, bytes: &[u8], now_ns: u64, records: &mut Vec<Record>) {
        let mut lines = std::mem::take(&mut self.lines);
        lines.push(bytes, |line| {
            let time_ns = self.unended_ns.take().unwrap_or(now_ns);
            self.line(line, time_ns, records);
        });
        self.unended_ns = lines.has_rest().then(|| self.unended_ns.unwrap_or(now_ns));
        self.lines = lines;
    }

    fn complete(&mut self, records: &mut Vec<Record>) {
        let mut lines = std::mem::take(&mut self.lines);
        if let Some(time_ns) = self.unended_ns.take() {
            lines.finish(|line| self.line(line, time_ns, records));
        }
        self.lines = lines;
    }

    fn line(&mut self, line: &[u8], time_ns: u64, records: &mut Vec<Record>) {
        if self.taken >= MOST_MARKS {
            self.left_out += u64::from(!line.trim_ascii().is_empty());
        } else if let Some(text) = printable(line) {
            self.taken += 1;
            self.latest_ns = time_ns.max(self.latest_ns.saturating_add(1));
            records.push(Record::Mark(Mark { time_ns: self.latest_ns, text }));
        }
    }

    /// What was left out since the last time.
    fn told(&mut self, time_ns: u64) -> Option<Record> {
        let count = std::mem::take(&mut self.left_out);
        let what = format!("marks came faster than {MOST_MARKS} a second, and were left out");
        (count > 0).then_some(Record::Lost(Lost { target: None, time_ns, count, what }))
    }
}

impl AsFd for Marks {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Session<'_> {
    /// When marks are to be read although nobody is woken for them.
    pub(super) fn marks_due_ns(&self) -> u64 {
        self.marks.as_ref().map_or(u64::MAX, Marks::due_ns)
    }

    /// Records the marks that have come. What comes from now on wakes, unless it comes too fast.
    pub(super) fn take_marks(
        &mut self,
        events: &Events,
        console: &mut Console,
    ) -> Result<(), Failure> {
        self.read_marks(Some(events), console)
    }

    /// Records the last marks.
    pub(super) fn take_last_marks(&mut self, console: &mut Console) -> Result<(), Failure> {
        self.read_marks(None, console)
    }

    fn read_marks(
        &mut self,
        events: Option<&Events>,
        console: &mut Console,
    ) -> Result<(), Failure> {
        let Some(marks) = &mut self.marks else {
            return Ok(());
        };
        let before = own();
        for record in marks.early.take() {
            self.trace.record(&record)?;
        }
        let records = marks.read(monotonic_ns(), events.is_none());
        if let Some(events) = events {
            marks.listen(events);
        }
        for record in &records {
            tell(record, console);
            self.trace.record(record)?;
        }
        self.meter.background(own().saturating_sub(before));
        Ok(())
    }
}

fn tell(record: &Record, console: &mut Console) {
    if let Record::Mark(mark) = record {
        console.detail(&format!("mark: {}", mark.text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::fcntl::OFlag;
    use nix::unistd::pipe2;
    use std::io::Write as _;

    const MS: u64 = 1_000_000;

    fn marks() -> (File, Marks) {
        let (reader, writer) = pipe2(OFlag::O_NONBLOCK).unwrap();
        (writer.into(), Marks::new(reader.into()))
    }

    fn texts(records: &[Record]) -> Vec<(u64, &str)> {
        let marks = records.iter().filter_map(|record| match record {
            Record::Mark(mark) => Some((mark.time_ns, mark.text.as_str())),
            _ => None,
        });
        marks.collect()
    }

    #[test]
    fn marks_have_the_time_they_came_at_and_keep_their_order() {
        let (mut writer, mut marks) = marks();
        writer.write_all(b"load\n\nrun\n").unwrap();
        let records = marks.read(5 * MS, false);
        assert_eq!(texts(&records), [(5 * MS, "load"), (5 * MS + 1, "run")]);
        assert_eq!(marks.due_ns(), u64::MAX);
        writer.write_all(b"half").unwrap();
        assert_eq!(marks.read(6 * MS, false), []);
        assert_eq!(marks.due_ns(), 6 * MS + UNENDED_NS);
        writer.write_all(b" and half\nrest").unwrap();
        assert_eq!(texts(&marks.read(7 * MS, false)), [(6 * MS, "half and half")]);
        // Nobody ends it: what comes later is something else.
        assert_eq!(texts(&marks.read(7 * MS + UNENDED_NS, false)), [(7 * MS, "rest")]);
        writer.write_all(b"later\n").unwrap();
        let time_ns = 8 * MS + UNENDED_NS;
        assert_eq!(texts(&marks.read(time_ns, false)), [(time_ns, "later")]);
        writer.write_all(b"last").unwrap();
        assert_eq!(texts(&marks.read(300 * MS, true)), [(300 * MS, "last")]);
    }

    #[test]
    fn a_line_that_takes_its_time_is_one_mark_of_its_begin() {
        let (mut writer, mut marks) = marks();
        for (part, time_ns) in [("s", 5 * MS), ("lo", 95 * MS), ("w", 185 * MS)] {
            writer.write_all(part.as_bytes()).unwrap();
            assert_eq!(marks.read(time_ns, false), []);
            assert_eq!(marks.due_ns(), time_ns + UNENDED_NS);
        }
        // The recorder could not read for a long time.
        writer.write_all(b"er\nnext\n").unwrap();
        let records = marks.read(900 * MS, false);
        assert_eq!(texts(&records), [(5 * MS, "slower"), (900 * MS, "next")]);
    }

    #[test]
    fn a_flood_is_counted_and_neither_stored_nor_waited_for() {
        let (mut writer, mut marks) = marks();
        let mut written = 0_u64;
        let mut records = Vec::new();
        let mut time_ns = SECOND_NS;
        let mut quiet = 0;
        while time_ns < 2 * SECOND_NS {
            // Whatever a pipe takes.
            while writer.write(b"x\n").is_ok() {
                written += 1;
            }
            records.extend(marks.read(time_ns, false));
            quiet += u32::from(marks.read_ns.is_some());
            // Flooded, it waits for its own time only.
            time_ns = if marks.read_ns.is_some() { marks.due_ns() } else { time_ns + MS };
        }
        assert!(quiet > 10, "it is listened to all the time");
        assert_eq!(texts(&records).len() as u64, MOST_MARKS);
        records.extend(marks.read(time_ns, true));
        let lost = records.iter().filter_map(|record| match record {
            Record::Lost(lost) => Some(lost.count),
            _ => None,
        });
        assert_eq!(lost.sum::<u64>() + MOST_MARKS, written);
        // The next second is another one.
        writer.write_all(b"calm\n").unwrap();
        assert_eq!(texts(&marks.read(3 * SECOND_NS, false)), [(3 * SECOND_NS, "calm")]);
        assert_eq!(marks.read_ns, None);
    }

    #[test]
    fn before_there_is_a_recording_the_newest_marks_are_kept_and_the_others_counted() {
        let mark = |time_ns| Record::Mark(Mark { time_ns, text: time_ns.to_string() });
        let mut early = Early::default();
        assert_eq!(early.take(), []);
        let most = MOST_EARLY as u64;
        (1..=most).for_each(|time_ns| early.push(mark(time_ns)));
        assert_eq!(early.take(), (1..=most).map(mark).collect::<Vec<_>>());
        (1..=most + 3).for_each(|time_ns| early.push(mark(time_ns)));
        let records = early.take();
        let Some(Record::Lost(lost)) = records.first() else { panic!("{:?}", records.first()) };
        assert_eq!((lost.count, lost.time_ns), (3, 3));
        assert_eq!(records[1..], (4..=most + 3).map(mark).collect::<Vec<_>>());
    }
}
