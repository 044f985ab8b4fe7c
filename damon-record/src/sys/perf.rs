//! `perf_event_open(2)` for tracepoints, of one thread or of one CPU, and for the start and end of threads; read through
//! a ring of our own.
//!
//! Nothing is switched on for anybody else and nothing outlives the descriptors. Constants and layouts from
//! `include/uapi/linux/perf_event.h`; behaviour from `kernel/events/core.c`.

#![expect(unsafe_code, reason = "a system call with a structure, ioctls, and the ring's mapping")]

use super::area::page_size;
use super::ring::{Memory, Reader, Record};
use nix::errno::Errno;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use nix::{libc, request_code_none, request_code_write};
use std::ffi::{CStr, c_void};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

const PERF_TYPE_SOFTWARE: u32 = 1;
const PERF_TYPE_TRACEPOINT: u32 = 2;
/// Counts nothing; it is there for what comes beside.
const PERF_COUNT_SW_DUMMY: u64 = 9;
const PERF_SAMPLE_TID: u64 = 1 << 1;
const PERF_SAMPLE_TIME: u64 = 1 << 2;
const PERF_SAMPLE_CPU: u64 = 1 << 7;
const PERF_SAMPLE_RAW: u64 = 1 << 10;
const PERF_FORMAT_LOST: u64 = 1 << 4;
const PERF_FLAG_FD_CLOEXEC: libc::c_ulong = 1 << 3;
const PERF_EVENT_IOC_ENABLE: libc::Ioctl = request_code_none!(b'$', 0);
const PERF_EVENT_IOC_SET_OUTPUT: libc::Ioctl = request_code_none!(b'$', 5);
const PERF_EVENT_IOC_SET_FILTER: libc::Ioctl = request_code_write!(b'$', 6, size_of::<usize>());

/// Offsets in `struct perf_event_mmap_page`, whose beginning is padded to 1 KiB for them.
const DATA_HEAD: usize = 1024;
const DATA_TAIL: usize = 1032;
/// Smaller rings are not worth having: a snapshot of 300 regions.
const SMALLEST_RING: usize = 32 << 10;

/// Bit `n` of the bit field in `struct perf_event_attr`, which compilers fill from the other end on big-endian machines.
const fn flag(n: u32) -> u64 {
    if cfg!(target_endian = "big") { 1 << (63 - n) } else { 1 << n }
}
const DISABLED: u64 = flag(0);
const TASK: u64 = flag(13);
const WATERMARK: u64 = flag(14);
const SAMPLE_ID_ALL: u64 = flag(18);
const USE_CLOCKID: u64 = flag(25);

/// `struct perf_event_attr` up to what 4.1 had (`PERF_ATTR_SIZE_VER5`); newer kernels take the rest as zero.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct Attributes {
    kind: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup_watermark: u32,
    breakpoint_type: u32,
    config1: u64,
    config2: u64,
    branch_sample_type: u64,
    sample_regs_user: u64,
    sample_stack_user: u32,
    clockid: i32,
    sample_regs_intr: u64,
    aux_watermark: u32,
    sample_max_stack: u16,
    reserved: u16,
}

/// Whose events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Where {
    /// Those of one thread, wherever it runs, in the order in which it makes them.
    Thread(i32),
    /// Those that happen on one CPU, whoever makes them.
    Cpu(u32),
}

/// Which step of opening failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// `perf_event_open(2)` itself, for the tracepoint with this id.
    Open(u32),
    /// `perf_event_open(2)`, for the start and end of threads.
    OpenTasks,
    /// Mapping the ring, even a small one.
    Map,
    /// Letting several events share the ring.
    Share,
    /// Switching the events on.
    Enable,
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Open(id) => write!(f, "opening tracepoint {id}"),
            Self::OpenTasks => f.write_str("opening the events of threads"),
            Self::Map => f.write_str("mapping the ring"),
            Self::Share => f.write_str("sharing the ring between events"),
            Self::Enable => f.write_str("switching the events on"),
        }
    }
}

/// Why there is no ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{step}: {errno}")]
pub struct OpenError {
    /// What was being done.
    pub step: Step,
    /// What the kernel said. `EACCES`, `EPERM`: no permission (`kernel.perf_event_paranoid`, lockdown; at mapping:
    /// `kernel.perf_event_mlock_kb`). `EINVAL`: no such tracepoint. `ESRCH`: no such thread. `ENODEV`: no such CPU.
    pub errno: Errno,
}

fn open_event(mut attributes: Attributes, at: Where) -> Result<OwnedFd, Errno> {
    let (pid, cpu): (libc::pid_t, libc::c_int) = match at {
        Where::Thread(tid) => (tid, -1),
        Where::Cpu(cpu) => (-1, libc::c_int::try_from(cpu).map_err(|_too_big| Errno::ENODEV)?),
    };
    attributes.size = u32::try_from(size_of::<Attributes>()).map_err(|_never| Errno::E2BIG)?;
    let pointer = &raw mut attributes;
    // SAFETY: `Attributes` mirrors the first 112 bytes of struct perf_event_attr and states that size; the kernel
    // reads no more, and writes only the size it would have liked into it. The group is none (-1).
    let fd = unsafe {
        libc::syscall(libc::SYS_perf_event_open, pointer, pid, cpu, -1, PERF_FLAG_FD_CLOEXEC)
    };
    let fd = RawFd::try_from(Errno::result(fd)?).map_err(|_too_big| Errno::EBADF)?;
    // SAFETY: the kernel has just created this descriptor for us and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn ioctl(fd: &OwnedFd, request: libc::Ioctl, argument: libc::c_ulong) -> Result<(), Errno> {
    // SAFETY: the requests of this file take a number, or a pointer to a string that the caller keeps alive; none
    // makes the kernel write to our memory.
    let done = unsafe { libc::ioctl(fd.as_raw_fd(), request, argument) };
    Errno::result(done).map(drop)
}

/// The mapping of a ring: a page of counters, then a power of two of data pages.
#[derive(Debug)]
struct Mapping {
    base: NonNull<c_void>,
    header: usize,
    data: usize,
}

// SAFETY: an address range without thread affinity, owned by this value alone and looked at through atomics only.
unsafe impl Send for Mapping {}

impl Mapping {
    fn new(fd: &OwnedFd, header: usize, data: usize) -> Result<Self, Errno> {
        let length = NonZeroUsize::new(header + data).ok_or(Errno::EINVAL)?;
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice overlaps nothing.
        let base = unsafe { mmap(None, length, protection, MapFlags::MAP_SHARED, fd, 0) }?;
        Ok(Self { base, header, data })
    }

    fn counter(&self, offset: usize) -> &AtomicU64 {
        debug_assert!(offset + 8 <= self.header, "inside the first page");
        // SAFETY: `offset` is one of the two constants above: aligned, inside the first page, which lives as long as
        // `self`. The kernel accesses these words as 64-bit atomics would; we do through atomics only.
        unsafe { AtomicU64::from_ptr(self.base.as_ptr().wrapping_byte_add(offset).cast()) }
    }

    fn memory(&self) -> Option<Memory<'_>> {
        let data = self.base.as_ptr().wrapping_byte_add(self.header).cast::<AtomicU64>();
        // SAFETY: `data` bytes after the first page are ours (`new`), page-aligned and live as long as `self`; every
        // bit pattern is a u64, and words that the kernel writes meanwhile lie outside of tail..head and are atomics.
        let words = unsafe { std::slice::from_raw_parts(data, self.data / size_of::<u64>()) };
        Memory::new(self.counter(DATA_HEAD), self.counter(DATA_TAIL), words)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range is exactly the mapping made in `new`, and references into it borrow `self`.
        let unmapped = unsafe { munmap(self.base, self.header + self.data) };
        debug_assert_eq!(unmapped, Ok(()), "munmap of our own mapping");
    }
}

/// Tracepoints of one thread or CPU, and the ring they share, so that they come out in the order they happened.
#[derive(Debug)]
pub struct PerfRing {
    /// The event that owns the ring.
    first: OwnedFd,
    others: Vec<OwnedFd>,
    mapping: Mapping,
    reader: Reader,
    counts_losses: bool,
}

impl PerfRing {
    /// Starts recording the tracepoints `ids` (files `id` in tracefs) into a ring of at most `bytes`, rounded to a
    /// power of two of pages; halved as long as the kernel grants less. Times are those of `CLOCK_MONOTONIC`.
    ///
    /// # Errors
    /// See [`OpenError`]; nothing is left behind.
    pub fn open(ids: &[u32], at: Where, bytes: usize) -> Result<Self, OpenError> {
        let (page, size) = size_of_ring(bytes)?;
        let mut read_format = PERF_FORMAT_LOST;
        let mut open = |id| {
            let event = match open_event(attributes(id, size, read_format), at) {
                // Before 6.0 the kernel does not know what we want to read.
                Err(Errno::EINVAL) if read_format != 0 => {
                    read_format = 0;
                    open_event(attributes(id, size, 0), at)
                }
                result => result,
            };
            event.map_err(|errno| OpenError { step: Step::Open(id), errno })
        };
        let (&first, others) =
            ids.split_first().ok_or(OpenError { step: Step::Open(0), errno: Errno::EINVAL })?;
        let first = open(first)?;
        let others = others.iter().map(|&id| open(id)).collect::<Result<Vec<OwnedFd>, _>>()?;
        Self::begin(first, others, (page, size), read_format != 0)
    }

    /// Starts recording which threads begin and end on the CPU `cpu`, whoever makes them, into a ring as that of
    /// [`Self::open`].
    ///
    /// # Errors
    /// See [`OpenError`]; nothing is left behind.
    pub fn tasks(cpu: u32, bytes: usize) -> Result<Self, OpenError> {
        let (page, size) = size_of_ring(bytes)?;
        let attributes = Attributes {
            kind: PERF_TYPE_SOFTWARE,
            config: PERF_COUNT_SW_DUMMY,
            sample_period: 0,
            flags: DISABLED | TASK | WATERMARK | SAMPLE_ID_ALL | USE_CLOCKID,
            ..attributes(0, size, 0)
        };
        let event = open_event(attributes, Where::Cpu(cpu))
            .map_err(|errno| OpenError { step: Step::OpenTasks, errno })?;
        Self::begin(event, Vec::new(), (page, size), false)
    }

    fn begin(
        first: OwnedFd,
        others: Vec<OwnedFd>,
        (page, size): (usize, usize),
        counts_losses: bool,
    ) -> Result<Self, OpenError> {
        let mapping =
            shrink(size, SMALLEST_RING.max(page), |size| Mapping::new(&first, page, size))
                .map_err(|errno| OpenError { step: Step::Map, errno })?;
        let output = libc::c_ulong::try_from(first.as_raw_fd()).unwrap_or(libc::c_ulong::MAX);
        for event in &others {
            // The ring must be there by now.
            ioctl(event, PERF_EVENT_IOC_SET_OUTPUT, output)
                .map_err(|errno| OpenError { step: Step::Share, errno })?;
        }
        for event in others.iter().chain([&first]) {
            ioctl(event, PERF_EVENT_IOC_ENABLE, 0)
                .map_err(|errno| OpenError { step: Step::Enable, errno })?;
        }
        Ok(Self { first, others, mapping, reader: Reader::default(), counts_losses })
    }

    /// Bytes that the ring holds.
    pub fn capacity(&self) -> usize {
        self.mapping.data
    }

    fn events(&self) -> impl Iterator<Item = &OwnedFd> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// Records only events that pass a filter of trace events (`Documentation/trace/events.rst`), like
    /// `common_pid == 77`. What is in the ring stays there.
    ///
    /// # Errors
    /// `EINVAL`: the kernel does not understand it or cannot filter here. `EEXIST`: there is one already.
    pub fn filter(&self, filter: &CStr) -> Result<(), Errno> {
        let address = filter.as_ptr().expose_provenance() as libc::c_ulong;
        self.events().try_for_each(|event| ioctl(event, PERF_EVENT_IOC_SET_FILTER, address))
    }

    /// Hands over what is in the ring; see [`Reader::drain`].
    pub fn drain<B>(&mut self, each: impl FnMut(Record<'_>) -> ControlFlow<B>) -> ControlFlow<B> {
        match self.mapping.memory() {
            Some(memory) => self.reader.drain(memory, each),
            None => ControlFlow::Continue(()),
        }
    }

    /// Samples dropped since opening, those included that no record in the ring has told about yet. `None` before
    /// Linux 6.0. May interrupt the CPU on which the thread runs, so it is not for every round.
    pub fn lost(&self) -> Option<u64> {
        if !self.counts_losses {
            return None;
        }
        self.events().try_fold(0_u64, |sum, event| {
            // Occurrences, then losses.
            let mut counts = [0; 16];
            let read = nix::unistd::read(event, &mut counts).ok()?;
            let lost = counts.get(..read)?.last_chunk()?;
            #[expect(clippy::host_endian_bytes, reason = "the kernel writes its own words")]
            Some(sum.saturating_add(u64::from_ne_bytes(*lost)))
        })
    }
}

impl AsFd for PerfRing {
    /// Readable when a quarter of the ring is full, whichever event filled it; hung up when the thread is gone.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.first.as_fd()
    }
}

/// Bytes of a page, and of a ring that is to hold `bytes`.
fn size_of_ring(bytes: usize) -> Result<(usize, usize), OpenError> {
    let page = page_size().map_err(|errno| OpenError { step: Step::Map, errno })?;
    Ok((page, (bytes.max(SMALLEST_RING).max(page) / page).next_power_of_two() * page))
}

/// Attempts it with `size`, and with half of that as long as more is refused than may be locked or than there is.
fn shrink<T>(
    mut size: usize,
    least: usize,
    mut attempt: impl FnMut(usize) -> Result<T, Errno>,
) -> Result<T, Errno> {
    loop {
        match attempt(size) {
            Err(Errno::EPERM | Errno::ENOMEM) if size / 2 >= least => size /= 2,
            result => return result,
        }
    }
}

fn attributes(id: u32, ring: usize, read_format: u64) -> Attributes {
    Attributes {
        kind: PERF_TYPE_TRACEPOINT,
        config: u64::from(id),
        sample_period: 1,
        sample_type: PERF_SAMPLE_TID | PERF_SAMPLE_TIME | PERF_SAMPLE_CPU | PERF_SAMPLE_RAW,
        read_format,
        flags: DISABLED | WATERMARK | SAMPLE_ID_ALL | USE_CLOCKID,
        wakeup_watermark: u32::try_from(ring / 4).unwrap_or(u32::MAX),
        clockid: libc::CLOCK_MONOTONIC,
        ..Attributes::default()
    }
}

#[cfg(test)]
mod tests;
