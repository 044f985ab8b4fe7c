//! A thread that reads proportional memory: the kernel may take seconds for a large process, and nobody waits for it.

use crate::host::monotonic_ns;
use crate::proc::{Identity, ProcError, ProcRoot, Rollup};
use crate::session::budget::own;
use damon_format::TargetId;
use std::io;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::time::Duration;

/// What is asked for it.
pub(super) trait Source: Send + 'static {
    /// Of one process; `None` when it has none (any more).
    fn proportional(&mut self, process: Identity) -> Result<Option<Rollup>, ProcError>;
}

impl Source for ProcRoot {
    fn proportional(&mut self, process: Identity) -> Result<Option<Rollup>, ProcError> {
        let found = self.rollup(process.pid);
        // The number may have another owner since it was asked for.
        if self.is_alive(process) { found } else { Ok(None) }
    }
}

/// One reading.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) target: TargetId,
    /// When it was over.
    pub(super) time_ns: u64,
    /// CPU time that it took.
    pub(super) spent: Duration,
    pub(super) found: Result<Option<Rollup>, ProcError>,
}

/// The thread, as the session sees it. When this is dropped it ends too, once the kernel has answered: what it is
/// reading then is for nobody.
#[derive(Debug)]
pub(super) struct Reader {
    questions: Sender<(TargetId, Identity)>,
    answers: Receiver<Answer>,
    /// Questions without an answer.
    open: usize,
}

impl Reader {
    /// Starts it. Signals that are blocked here are blocked there.
    pub(super) fn start(source: impl Source) -> io::Result<Self> {
        let (questions, asked) = channel();
        let (answer, answers) = channel();
        let thread = std::thread::Builder::new().name("proportional".to_owned());
        let _goes_its_own_way = thread.spawn(move || read_all(source, &asked, &answer))?;
        Ok(Self { questions, answers, open: 0 })
    }

    /// Asks for the memory of one more target, to be read when all before it are.
    pub(super) fn ask(&mut self, target: TargetId, process: Identity) {
        self.open += usize::from(self.questions.send((target, process)).is_ok());
    }

    /// The next answer that is there.
    pub(super) fn answer(&mut self) -> Option<Answer> {
        match self.answers.try_recv() {
            Ok(answer) => {
                self.open = self.open.saturating_sub(1);
                Some(answer)
            }
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => {
                self.open = 0;
                None
            }
        }
    }

    /// Whether answers are to come.
    pub(super) fn is_reading(&self) -> bool {
        self.open > 0
    }
}

fn read_all(
    mut source: impl Source,
    asked: &Receiver<(TargetId, Identity)>,
    answer: &Sender<Answer>,
) {
    while let Ok((target, process)) = asked.recv() {
        let before = own();
        let found = source.proportional(process);
        let spent = own().saturating_sub(before);
        if answer.send(Answer { target, time_ns: monotonic_ns(), spent, found }).is_err() {
            // The recording is over, whatever was asked for.
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{SyncSender, sync_channel};

    /// Reads what it is told to, when it is told to; says whom it is asked for.
    struct Slow {
        asked: Sender<u32>,
        gate: Receiver<Result<Option<Rollup>, ProcError>>,
    }

    impl Source for Slow {
        fn proportional(&mut self, process: Identity) -> Result<Option<Rollup>, ProcError> {
            self.asked.send(process.pid).unwrap();
            self.gate.recv().unwrap_or(Ok(None))
        }
    }

    type Gate = SyncSender<Result<Option<Rollup>, ProcError>>;

    fn slow() -> (Reader, Receiver<u32>, Gate) {
        let (asked, who) = channel();
        let (open, gate) = sync_channel(0);
        (Reader::start(Slow { asked, gate }).unwrap(), who, open)
    }

    fn identity(pid: u32) -> Identity {
        Identity { pid, start_ticks: 1 }
    }

    fn wait_for(reader: &mut Reader) -> Answer {
        loop {
            if let Some(answer) = reader.answer() {
                return answer;
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn targets_are_read_one_after_the_other_and_nobody_waits() {
        let (mut reader, who, open) = slow();
        let begin = monotonic_ns();
        reader.ask(TargetId(3), identity(30));
        reader.ask(TargetId(4), identity(40));
        assert_eq!(who.recv(), Ok(30));
        assert!(reader.answer().is_none() && reader.is_reading(), "the kernel takes its time");
        assert!(who.try_recv().is_err(), "the second waits for the first");
        let released = monotonic_ns();
        open.send(Ok(Some(Rollup { pss: 5, swap_pss: 6 }))).unwrap();
        assert_eq!(who.recv(), Ok(40));
        let first = wait_for(&mut reader);
        let late = monotonic_ns();
        assert_eq!((first.target, first.found.unwrap().unwrap().pss), (TargetId(3), 5));
        assert!(begin < released && (released..=late).contains(&first.time_ns));
        assert!(reader.is_reading());
        open.send(Err(ProcError::Gone { pid: 40 })).unwrap();
        let second = wait_for(&mut reader);
        assert_eq!(second.target, TargetId(4));
        assert!(second.found.is_err() && first.time_ns <= second.time_ns && !reader.is_reading());
    }

    #[test]
    fn the_end_waits_for_no_reading_and_the_rest_is_not_begun() {
        let (mut reader, who, open) = slow();
        (1..4).for_each(|pid| reader.ask(TargetId(pid), identity(pid)));
        assert_eq!(who.recv(), Ok(1));
        drop(reader);
        open.send(Ok(None)).unwrap();
        // It ends, and with it whoever says whom it reads.
        assert!(who.recv().is_err(), "nobody else is read");
    }

    #[test]
    fn a_number_with_another_owner_has_no_memory_of_ours() {
        let proc = ProcRoot::default();
        let pid = std::process::id();
        let start_ticks = proc.stat(pid).unwrap().start_ticks;
        let read = |start_ticks| proc.clone().proportional(Identity { pid, start_ticks }).unwrap();
        assert!(read(start_ticks).unwrap().pss > 0);
        assert_eq!(read(start_ticks + 1), None);
    }
}
