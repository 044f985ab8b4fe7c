//! One target seen through idle page tracking.

use super::frames::{Frames, Marks};
use super::words::{FileWords, Words};
use crate::backend::{Toll, Touched, Watch, WatchError};
use crate::proc::{Entry, ProcError, ProcRoot, page_size};
use damon_format::Mapping;
use std::io;

/// One sampled page between [`prepare`](Watch::prepare) and [`check`](Watch::check).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sample {
    /// It was not in memory.
    Absent,
    /// It was in `frame` and marked idle through the `head` of its folio.
    Marked { frame: u64, head: u64 },
    /// Nothing can be said of it.
    Missed,
}

/// Why pages were missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Miss {
    OffLru,
    NotMarked,
    Moved,
    Isolated,
}

impl Miss {
    const ALL: [Self; 4] = [Self::OffLru, Self::NotMarked, Self::Moved, Self::Isolated];

    fn words(self) -> &'static str {
        match self {
            Self::OffLru => {
                "pages on no LRU list (just made, of hugetlbfs, the zero page) cannot be marked"
            }
            Self::NotMarked => "the kernel did not mark pages idle",
            Self::Moved => "pages were in another frame at the check",
            Self::Isolated => "pages were taken off their LRU list while they were watched",
        }
    }
}

/// A target seen through idle page tracking.
pub struct IdleWatch {
    pid: u32,
    proc: ProcRoot,
    pagemap: Box<dyn Words>,
    frames: Frames,
    page_size: u64,
    samples: Vec<Sample>,
    /// Heads of marked pages with the index of the sample, sorted: what shares a word is together.
    order: Vec<(u64, usize)>,
    missed: [u64; Miss::ALL.len()],
}

impl std::fmt::Debug for IdleWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IdleWatch").field("pid", &self.pid).finish_non_exhaustive()
    }
}

const HIDDEN: &str = "the kernel hides page frame numbers from this user; CAP_SYS_ADMIN outside of \
    containers is needed: run it as root: sudo damon-record ...";

impl IdleWatch {
    /// Opens the files of `pid`; changes nothing yet.
    pub(super) fn attach(proc: &ProcRoot, pid: u32, frames: Frames) -> Result<Self, ProcError> {
        let pagemap = proc.open(pid, &format!("{}pagemap", proc.memory_dir(pid)))?;
        Ok(Self::new(proc, pid, Box::new(FileWords::from(pagemap)), frames))
    }

    pub(super) fn new(proc: &ProcRoot, pid: u32, pagemap: Box<dyn Words>, frames: Frames) -> Self {
        Self {
            pid,
            proc: proc.clone(),
            pagemap,
            frames,
            page_size: page_size(),
            samples: Vec::new(),
            order: Vec::new(),
            missed: [0; Miss::ALL.len()],
        }
    }

    /// Pages of the last [`prepare`](Watch::prepare) that are marked.
    pub(super) fn marked(&self) -> impl Iterator<Item = bool> {
        self.samples.iter().map(|sample| matches!(sample, Sample::Marked { .. }))
    }

    /// The open file no longer tells of memory.
    fn ended(&self) -> WatchError {
        WatchError::of_lost_memory(&self.proc, self.pid)
    }

    /// The frame that holds the page of `address`, if it is in memory.
    fn frame(&self, address: u64) -> Result<Option<u64>, WatchError> {
        match self.pagemap.read(address / self.page_size) {
            Ok(Some(word)) => match Entry(word).frame() {
                Some(0) => Err(WatchError::Failed(HIDDEN.into())),
                frame => Ok(frame),
            },
            Ok(None) => Err(self.ended()),
            Err(error) if error.raw_os_error() == Some(nix::libc::ESRCH) => Err(self.ended()),
            Err(error) => {
                Err(WatchError::Failed(format!("cannot read /proc/{}/pagemap: {error}", self.pid)))
            }
        }
    }

    fn miss(&mut self, why: Miss) {
        for (reason, count) in Miss::ALL.iter().zip(&mut self.missed) {
            *count += u64::from(*reason == why);
        }
    }

    /// Finds the frame of each page, and those of them that can be marked.
    fn locate(&mut self, addresses: &[u64]) -> Result<(), WatchError> {
        self.samples.clear();
        self.order.clear();
        for (index, &address) in addresses.iter().enumerate() {
            let sample = match self.frame(address)? {
                None => Sample::Absent,
                Some(frame) => {
                    let (head, flags) =
                        self.frames.head(frame).map_err(|error| flags_failed(&error))?;
                    if flags.is_on_lru() {
                        self.order.push((head, index));
                        Sample::Marked { frame, head }
                    } else {
                        self.miss(Miss::OffLru);
                        Sample::Missed
                    }
                }
            };
            self.samples.push(sample);
        }
        self.order.sort_unstable();
        Ok(())
    }

    /// Marks what was located, and asks whether the kernel did so.
    fn mark(&mut self) -> Result<(), WatchError> {
        let order = std::mem::take(&mut self.order);
        for same_word in order.chunk_by(|a, b| Marks::of(a.0).join(Marks::of(b.0))) {
            let Some(marks) = join(same_word) else {
                continue;
            };
            self.frames.mark(marks).map_err(|error| bitmap_failed(&error))?;
            for &(head, index) in same_word {
                if !self.frames.flags(head).map_err(|error| flags_failed(&error))?.is_idle() {
                    self.miss(Miss::NotMarked);
                    if let Some(sample) = self.samples.get_mut(index) {
                        *sample = Sample::Missed;
                    }
                }
            }
        }
        self.order = order;
        Ok(())
    }

    /// Judges each page by its frame as far as possible; leaves those in `order` whose marks decide.
    fn locate_again(&mut self, addresses: &[u64], accessed: &mut [bool]) -> Result<(), WatchError> {
        self.order.clear();
        for (index, (&address, accessed)) in addresses.iter().zip(accessed).enumerate() {
            *accessed = false;
            match self.samples.get(index) {
                Some(Sample::Absent) => *accessed = self.frame(address)?.is_some(),
                Some(&Sample::Marked { frame, head }) => match self.frame(address)? {
                    None => {}
                    Some(now) if now == frame => self.order.push((head, index)),
                    Some(_) => self.miss(Miss::Moved),
                },
                Some(Sample::Missed) | None => {}
            }
        }
        self.order.sort_unstable();
        Ok(())
    }

    fn read_marks(&mut self, accessed: &mut [bool]) -> Result<(), WatchError> {
        let order = std::mem::take(&mut self.order);
        for same_word in order.chunk_by(|a, b| Marks::of(a.0).join(Marks::of(b.0))) {
            let Some(marks) = join(same_word) else {
                continue;
            };
            let idle = self.frames.idle(marks).map_err(|error| bitmap_failed(&error))?;
            for &(head, index) in same_word {
                if idle.is_some_and(|idle| idle.contains(head)) {
                    continue;
                }
                if self.frames.flags(head).map_err(|error| flags_failed(&error))?.is_idle() {
                    // A page that is off its list reads as not idle too, but keeps its mark.
                    if idle.is_some() {
                        self.miss(Miss::Isolated);
                    }
                } else if let Some(accessed) = accessed.get_mut(index) {
                    *accessed = true;
                }
            }
        }
        self.order = order;
        Ok(())
    }
}

fn join(pages: &[(u64, usize)]) -> Option<Marks> {
    let mut all = pages.iter().map(|(head, _)| Marks::of(*head));
    let mut marks = all.next()?;
    all.for_each(|other| {
        let _same_word = marks.join(other);
    });
    Some(marks)
}

fn bitmap_failed(error: &io::Error) -> WatchError {
    WatchError::Failed(format!("cannot use the bitmap of idle page tracking: {error}"))
}

fn flags_failed(error: &io::Error) -> WatchError {
    WatchError::Failed(format!("cannot read /proc/kpageflags: {error}"))
}

const NO_EXACT_LOOK: &str =
    "the backend idle samples single pages and cannot look at everything at once";

impl Watch for IdleWatch {
    fn prepare(&mut self, addresses: &[u64]) -> Result<(), WatchError> {
        let done = self.locate(addresses).and_then(|()| self.mark());
        if done.is_err() {
            self.samples.clear();
        }
        done
    }

    fn check(&mut self, addresses: &[u64], accessed: &mut [bool]) -> Result<(), WatchError> {
        if addresses.len() != self.samples.len() || accessed.len() != addresses.len() {
            return Err(WatchError::Failed(format!(
                "{} pages were checked, {} were prepared",
                addresses.len(),
                self.samples.len()
            )));
        }
        self.locate_again(addresses, accessed)?;
        self.read_marks(accessed)
    }

    fn look(&mut self, _touched: &mut Vec<Touched>) -> Result<(), WatchError> {
        Err(WatchError::Failed(NO_EXACT_LOOK.into()))
    }

    fn mappings_changed(&mut self, _mappings: &[Mapping]) -> Result<(), WatchError> {
        Ok(())
    }

    /// The target pays nothing that could be measured: no fault, no TLB shoot-down, no pause.
    fn toll(&mut self) -> Toll {
        let missed = std::mem::take(&mut self.missed);
        let most = Miss::ALL.iter().zip(missed).max_by_key(|(_, count)| *count);
        Toll {
            missed: missed.iter().sum(),
            why: most.filter(|(_, count)| *count > 0).map_or("", |(why, _)| why.words()),
            ..Toll::default()
        }
    }
}
