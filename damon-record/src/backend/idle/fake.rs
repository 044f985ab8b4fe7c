//! A machine in memory with the kernel's rules of idle page tracking (`mm/page_idle.c`, `fs/proc/page.c`).

use super::frames::{Flags, Frames};
use super::watch::IdleWatch;
use super::words::Words;
use crate::proc::{Entry, ProcRoot};
use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;

/// One frame; what concerns the folio is kept at its head.
#[derive(Clone, Copy, Debug, Default)]
struct Frame {
    /// Distance to the head of the folio; 0 for heads and single pages.
    behind_head: usize,
    on_lru: bool,
    idle: bool,
    /// The Accessed bit of anything that maps the folio.
    young: bool,
}

/// The machine. Address spaces are pages; all processes share one table of them, since only the target's
/// pagemap is ever read.
#[derive(Debug)]
pub(super) struct Machine {
    frames: RefCell<Vec<Frame>>,
    /// Entry of each virtual page of the target; `None` when the address space is gone.
    pagemap: RefCell<Option<Vec<u64>>>,
    /// What each file has been asked for: pagemap, flags, bitmap read, bitmap written.
    pub(super) calls: Cell<[u32; 4]>,
    /// Marks are accepted and nothing is done.
    pub(super) ignores_marks: Cell<bool>,
}

impl Machine {
    /// Frames on the LRU lists, all single; a target of as many pages, none of them in memory.
    pub(super) fn new(frames: usize) -> Rc<Self> {
        let frame = Frame { on_lru: true, ..Frame::default() };
        Rc::new(Self {
            frames: RefCell::new(vec![frame; frames]),
            pagemap: RefCell::new(Some(vec![0; frames])),
            calls: Cell::default(),
            ignores_marks: Cell::new(false),
        })
    }

    pub(super) fn watch(self: &Rc<Self>, proc: &ProcRoot) -> IdleWatch {
        let file = |what| Box::new(View { machine: Rc::clone(self), what });
        let frames = Frames::new(file(What::Bitmap), file(What::Flags));
        IdleWatch::new(proc, 5, file(What::Pagemap), frames)
    }

    pub(super) fn frames(self: &Rc<Self>) -> Frames {
        let file = |what| Box::new(View { machine: Rc::clone(self), what });
        Frames::new(file(What::Bitmap), file(What::Flags))
    }

    /// Puts a page of the target into a frame.
    pub(super) fn map(&self, page: usize, frame: u64) {
        self.set_entry(page, Entry::PRESENT | frame);
    }

    pub(super) fn set_entry(&self, page: usize, entry: u64) {
        self.pagemap.borrow_mut().as_mut().unwrap()[page] = entry;
    }

    pub(super) fn end_address_space(&self) {
        *self.pagemap.borrow_mut() = None;
    }

    /// Makes one folio of `count` frames; `head` is a multiple of that.
    pub(super) fn make_folio(&self, head: usize, count: usize) {
        for (distance, frame) in self.frames.borrow_mut()[head..head + count].iter_mut().enumerate()
        {
            frame.behind_head = distance;
        }
    }

    pub(super) fn set_on_lru(&self, frame: usize, on_lru: bool) {
        self.frames.borrow_mut()[frame].on_lru = on_lru;
    }

    /// Any process uses memory in `frame`.
    pub(super) fn touch(&self, frame: usize) {
        let mut frames = self.frames.borrow_mut();
        let head = frame - frames[frame].behind_head;
        frames[head].young = true;
    }

    pub(super) fn head_of(&self, frame: usize) -> usize {
        frame - self.frames.borrow()[frame].behind_head
    }

    /// Frames that are marked.
    pub(super) fn marked(&self) -> Vec<usize> {
        let frames = self.frames.borrow();
        (0..frames.len()).filter(|frame| frames[*frame].idle).collect()
    }

    fn count(&self, call: usize) {
        let mut calls = self.calls.get();
        calls[call] += 1;
        self.calls.set(calls);
    }

    /// `page_idle_get_folio`: only heads on an LRU list exist for idle page tracking.
    fn each_of_word(&self, index: u64, mut each: impl FnMut(u64, &mut Frame)) -> bool {
        let mut frames = self.frames.borrow_mut();
        let start = usize::try_from(index).unwrap() * 64;
        if start >= frames.len() {
            return false;
        }
        for (bit, frame) in frames[start..].iter_mut().take(64).enumerate() {
            if frame.behind_head == 0 && frame.on_lru {
                each(1 << bit, frame);
            }
        }
        true
    }

    fn read_bitmap(&self, index: u64) -> Option<u64> {
        self.count(2);
        let mut word = 0;
        let exists = self.each_of_word(index, |bit, frame| {
            if frame.idle {
                frame.idle = !std::mem::take(&mut frame.young);
                word |= if frame.idle { bit } else { 0 };
            }
        });
        // A word that the frames do not fill is worked on and not shown.
        let is_full = (usize::try_from(index).unwrap() + 1) * 64 <= self.frames.borrow().len();
        (exists && is_full).then_some(word)
    }

    fn write_bitmap(&self, index: u64, word: u64) -> io::Result<()> {
        self.count(3);
        if self.ignores_marks.get() {
            return Ok(());
        }
        let exists = self.each_of_word(index, |bit, frame| {
            if word & bit != 0 {
                frame.young = false;
                frame.idle = true;
            }
        });
        if exists { Ok(()) } else { Err(io::Error::from_raw_os_error(nix::libc::ENXIO)) }
    }

    fn read_flags(&self, frame: u64) -> Option<u64> {
        self.count(1);
        let frames = self.frames.borrow();
        let index = usize::try_from(frame).unwrap();
        let frame = frames.get(index)?;
        let head = frames[index - frame.behind_head];
        let bit = |is_set: bool, bit: u64| if is_set { bit } else { 0 };
        Some(
            bit(frame.behind_head > 0, Flags::TAIL)
                | bit(head.on_lru, Flags::LRU)
                | bit(head.idle, Flags::IDLE),
        )
    }
}

#[derive(Clone, Copy, Debug)]
enum What {
    Pagemap,
    Flags,
    Bitmap,
}

/// One of the kernel's files.
struct View {
    machine: Rc<Machine>,
    what: What,
}

impl Words for View {
    fn read(&self, index: u64) -> io::Result<Option<u64>> {
        Ok(match self.what {
            What::Pagemap => {
                self.machine.count(0);
                let pagemap = self.machine.pagemap.borrow();
                pagemap.as_ref().map(|words| words[usize::try_from(index).unwrap()])
            }
            What::Flags => self.machine.read_flags(index),
            What::Bitmap => self.machine.read_bitmap(index),
        })
    }

    fn write(&self, index: u64, value: u64) -> io::Result<()> {
        match self.what {
            What::Bitmap => self.machine.write_bitmap(index, value),
            What::Pagemap | What::Flags => Err(io::Error::other("read-only")),
        }
    }
}
