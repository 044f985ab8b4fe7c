//! Page frames and their idle marks: `/sys/kernel/mm/page_idle/bitmap` and `/proc/kpageflags`
//! (`mm/page_idle.c`, `fs/proc/page.c`).

use super::words::Words;
use std::io;

/// Frames whose marks share a word.
const FRAMES_PER_WORD: u64 = 64;
/// The largest compound pages there are are of 2^18 frames (1 GiB of hugetlbfs).
const MAX_ORDER: u32 = 18;

/// Flags of a frame (include/uapi/linux/kernel-page-flags.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flags(pub(super) u64);

impl Flags {
    pub(super) const LRU: u64 = 1 << 5;
    pub(super) const TAIL: u64 = 1 << 16;
    pub(super) const IDLE: u64 = 1 << 25;

    fn has(self, bit: u64) -> bool {
        self.0 & bit != 0
    }

    /// On an LRU list: user memory, and not being moved.
    pub(super) fn is_on_lru(self) -> bool {
        self.has(Self::LRU)
    }

    fn is_tail(self) -> bool {
        self.has(Self::TAIL)
    }

    /// Marked idle; it may have been used since nevertheless.
    pub(super) fn is_idle(self) -> bool {
        self.has(Self::IDLE)
    }
}

/// Page frames of the machine.
pub(super) struct Frames {
    bitmap: Box<dyn Words>,
    flags: Box<dyn Words>,
}

impl std::fmt::Debug for Frames {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Frames").finish_non_exhaustive()
    }
}

/// Frames in one word of the bitmap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Marks {
    index: u64,
    bits: u64,
}

impl Marks {
    /// Those of `frame` alone.
    pub(super) fn of(frame: u64) -> Self {
        Self { index: frame / FRAMES_PER_WORD, bits: 1 << (frame % FRAMES_PER_WORD) }
    }

    /// Takes in the frames of `other` if they share the word.
    pub(super) fn join(&mut self, other: Self) -> bool {
        let same = self.index == other.index;
        if same {
            self.bits |= other.bits;
        }
        same
    }

    /// Whether `frame`, which must be in this word, is among them.
    pub(super) fn contains(self, frame: u64) -> bool {
        self.bits & Self::of(frame).bits != 0
    }
}

impl Frames {
    pub(super) fn new(bitmap: Box<dyn Words>, flags: Box<dyn Words>) -> Self {
        Self { bitmap, flags }
    }

    /// Flags of a frame; none set where there is no such frame.
    pub(super) fn flags(&self, frame: u64) -> io::Result<Flags> {
        Ok(Flags(self.flags.read(frame)?.unwrap_or(0)))
    }

    /// The frame that stands for `frame` in idle page tracking: the head of the folio that it is in, with
    /// its flags. The kernel ignores the marks of all other frames of a folio.
    ///
    /// A folio of 2^n frames begins at a multiple of 2^n; so the head is the nearest frame before the
    /// tail, among those with ever more low bits cleared, that is no tail itself.
    pub(super) fn head(&self, frame: u64) -> io::Result<(u64, Flags)> {
        let mut flags = self.flags(frame)?;
        let mut head = frame;
        for order in 0..MAX_ORDER {
            if !flags.is_tail() {
                break;
            }
            let aligned = head & !(1 << order);
            if aligned != head {
                head = aligned;
                flags = self.flags(head)?;
            }
        }
        Ok((head, flags))
    }

    /// Marks frames idle, which clears the Accessed bits of all that maps them. What the kernel will not
    /// mark it passes over without a word: ask for the flags.
    pub(super) fn mark(&self, marks: Marks) -> io::Result<()> {
        match self.bitmap.write(marks.index, marks.bits) {
            // Past the last frame of the machine: memory of a device.
            Err(error) if error.raw_os_error() == Some(nix::libc::ENXIO) => Ok(()),
            outcome => outcome,
        }
    }

    /// Which frames of the word of `marks` are idle still. A frame that was used loses its mark.
    ///
    /// `None` when the machine's frames do not fill the word, the last of the bitmap: the kernel takes the
    /// marks away and does not tell; the flags do.
    pub(super) fn idle(&self, marks: Marks) -> io::Result<Option<Marks>> {
        Ok(self.bitmap.read(marks.index)?.map(|bits| Marks { bits, ..marks }))
    }
}
