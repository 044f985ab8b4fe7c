//! What the development binary `damon-writes-target` needs to get into the states that the tests of the
//! backend `writes` want to see. Nothing else uses it.

#![expect(unsafe_code, reason = "mappings, filters, forks and handlers made on purpose")]

use super::own_pages::page_size;
use super::userfaultfd::Userfaultfd;
use nix::errno::Errno;
use nix::libc;
use nix::sys::mman::{
    MRemapFlags, MapFlags, MmapAdvise, ProtFlags, madvise, mlock, mmap, mmap_anonymous, mremap,
    munmap,
};
use std::ffi::c_void;
use std::fs::File;
use std::num::NonZeroUsize;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What lies behind a [`Memory`].
#[derive(Clone, Copy, Debug)]
pub enum Kind<'a> {
    /// Private anonymous memory of small pages.
    Anonymous,
    /// The same of transparent huge pages, aligned to 2 MiB.
    Huge,
    /// Private anonymous memory of reserved huge pages (`vm.nr_hugepages`).
    Reserved,
    /// Shared anonymous memory.
    Shared,
    /// A private mapping of a file.
    PrivateFile(&'a File),
    /// A shared mapping of a file.
    SharedFile(&'a File),
}

/// A mapping that lives until the process ends; may have holes.
#[derive(Debug)]
pub struct Memory {
    base: NonNull<c_void>,
    pages: usize,
}

// SAFETY: a plain address range without thread affinity; all accesses are volatile bytes.
unsafe impl Send for Memory {}

// SAFETY: as above; threads that write to the same byte lose counts of each other, nothing more.
unsafe impl Sync for Memory {}

impl Memory {
    /// Maps `pages` pages.
    pub fn map(kind: Kind<'_>, pages: usize) -> Result<Self, Errno> {
        let huge = 2 << 20;
        let bytes = pages * page_size();
        let reserve = if matches!(kind, Kind::Huge) { bytes + huge } else { bytes };
        let length = NonZeroUsize::new(reserve).ok_or(Errno::EINVAL)?;
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        let (private, shared) = (MapFlags::MAP_PRIVATE, MapFlags::MAP_SHARED);
        let base = match kind {
            Kind::Anonymous | Kind::Huge => {
                // SAFETY: a new mapping at an address of the kernel's choice overlaps nothing.
                unsafe { mmap_anonymous(None, length, protection, private) }
            }
            Kind::Reserved => {
                let flags = private | MapFlags::MAP_HUGETLB;
                // SAFETY: as above.
                unsafe { mmap_anonymous(None, length, protection, flags) }
            }
            Kind::Shared => {
                // SAFETY: as above.
                unsafe { mmap_anonymous(None, length, protection, shared) }
            }
            Kind::PrivateFile(file) => {
                // SAFETY: as above.
                unsafe { mmap(None, length, protection, private, file, 0) }
            }
            Kind::SharedFile(file) => {
                // SAFETY: as above.
                unsafe { mmap(None, length, protection, shared, file, 0) }
            }
        }?;
        let memory = Self { base, pages };
        match kind {
            Kind::Anonymous => {
                // SAFETY: the range is the mapping made above; the advice changes no content.
                unsafe { madvise(base, bytes, MmapAdvise::MADV_NOHUGEPAGE) }?;
                Ok(memory)
            }
            Kind::Huge => {
                let aligned = (base.as_ptr() as usize).next_multiple_of(huge);
                let skip = aligned - base.as_ptr() as usize;
                let base = base.as_ptr().cast::<u8>().wrapping_add(skip);
                let base = NonNull::new(base.cast()).ok_or(Errno::ENOMEM)?;
                // SAFETY: the range lies inside the mapping made above; the advice changes no content.
                unsafe { madvise(base, bytes, MmapAdvise::MADV_HUGEPAGE) }?;
                Ok(Self { base, pages })
            }
            _ => Ok(memory),
        }
    }

    /// Address of the first byte.
    pub fn address(&self) -> u64 {
        self.base.as_ptr() as u64
    }

    fn part(&self, first: usize, count: usize) -> Result<(NonNull<c_void>, usize), Errno> {
        let end = first.checked_add(count).ok_or(Errno::EINVAL)?;
        if end > self.pages {
            return Err(Errno::EINVAL);
        }
        let start = self.base.as_ptr().cast::<u8>().wrapping_add(first * page_size());
        let start = NonNull::new(start.cast()).ok_or(Errno::EINVAL)?;
        Ok((start, count * page_size()))
    }

    /// Writes to one byte of page `page`, which must not be in a hole.
    pub fn write(&self, page: usize) -> Result<(), Errno> {
        let (start, _len) = self.part(page, 1)?;
        let byte = start.as_ptr().cast::<u8>();
        // SAFETY: inside our writable mapping, which nothing else refers to; a hole would end this test
        // process with SIGSEGV.
        let value = unsafe { byte.read_volatile() };
        // SAFETY: as above.
        unsafe { byte.write_volatile(value.wrapping_add(1)) };
        Ok(())
    }

    /// Reads one byte of page `page`, which must not be in a hole.
    pub fn read(&self, page: usize) -> Result<u8, Errno> {
        let (start, _len) = self.part(page, 1)?;
        // SAFETY: inside our readable mapping.
        Ok(unsafe { start.as_ptr().cast::<u8>().read_volatile() })
    }

    /// Has the kernel write: read(2) from `file` into these pages. Returns the bytes read.
    pub fn fill_from(&self, file: &File, first: usize, count: usize) -> Result<usize, Errno> {
        let (start, len) = self.part(first, count)?;
        // SAFETY: the kernel writes at most `len` bytes into our own mapping.
        let read = unsafe { libc::read(file.as_raw_fd(), start.as_ptr(), len) };
        Errno::result(read).map(|read| usize::try_from(read).unwrap_or(0))
    }

    /// Gives pages back (`MADV_DONTNEED`).
    pub fn give_back(&self, first: usize, count: usize) -> Result<(), Errno> {
        let (start, len) = self.part(first, count)?;
        // SAFETY: the content of our own mapping is dispensable.
        unsafe { madvise(start, len, MmapAdvise::MADV_DONTNEED) }
    }

    /// Makes a hole.
    pub fn unmap(&self, first: usize, count: usize) -> Result<(), Errno> {
        let (start, len) = self.part(first, count)?;
        // SAFETY: part of our own mapping, to which no reference exists.
        unsafe { munmap(start, len) }
    }

    /// Unmaps pages and maps fresh memory of the same kind at the same address.
    pub fn replace(&self, first: usize, count: usize) -> Result<(), Errno> {
        let (start, len) = self.part(first, count)?;
        let address = NonZeroUsize::new(start.as_ptr() as usize);
        let length = NonZeroUsize::new(len).ok_or(Errno::EINVAL)?;
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_FIXED;
        // SAFETY: replaces part of our own mapping, to which no reference exists.
        unsafe { mmap_anonymous(address, length, protection, flags) }.map(drop)
    }

    /// Moves the whole mapping elsewhere with twice the size.
    pub fn move_and_grow(&mut self) -> Result<(), Errno> {
        let (start, len) = self.part(0, self.pages)?;
        let away = Self::map(Kind::Anonymous, self.pages * 2)?;
        let flags = MRemapFlags::MREMAP_MAYMOVE | MRemapFlags::MREMAP_FIXED;
        // SAFETY: moves our own mapping onto another one of ours; no references into either exist.
        let base = unsafe { mremap(start, len, len * 2, flags, Some(away.base)) }?;
        self.base = base;
        self.pages *= 2;
        Ok(())
    }

    /// Locks everything into memory.
    pub fn lock(&self) -> Result<(), Errno> {
        let (start, len) = self.part(0, self.pages)?;
        // SAFETY: locking changes no content.
        unsafe { mlock(start, len) }
    }

    /// Gives pages, which must be populated, to a userfaultfd of the program's own.
    pub fn claim(&self, first: usize, count: usize) -> Result<Userfaultfd, Errno> {
        let (start, len) = self.part(first, count)?;
        let uffd = Userfaultfd::create()?;
        let start = start.as_ptr() as u64;
        uffd.claim_missing(start, start + len as u64)?;
        Ok(uffd)
    }
}

/// Grows the heap by `bytes` and returns the old end.
pub fn grow_heap(bytes: usize) -> Result<u64, Errno> {
    let bytes = isize::try_from(bytes).map_err(|_too_big| Errno::ENOMEM)?;
    // SAFETY: only adds memory above what the allocator knows; it copes with foreign use of brk.
    let old = unsafe { libc::sbrk(bytes) };
    if old.addr() == usize::MAX {
        return Err(Errno::last());
    }
    Ok(old as u64)
}

/// Writes a byte at each page of `[address, address + bytes)`, which [`grow_heap`] returned.
pub fn write_heap(address: u64, bytes: usize) {
    for offset in (0..bytes).step_by(page_size()) {
        let byte = ptr::with_exposed_provenance_mut::<u8>(usize::try_from(address).unwrap_or(0));
        // SAFETY: the caller grew the heap by this range, and nobody else uses it.
        unsafe { byte.wrapping_add(offset).write_volatile(1) };
    }
}

/// Makes userfaultfd(2) fail with `EPERM`, or kill the whole process.
pub fn forbid_userfaultfd(kill: bool) -> Result<(), Errno> {
    let verdict = if kill {
        libc::SECCOMP_RET_KILL_PROCESS
    } else {
        libc::SECCOMP_RET_ERRNO | libc::EPERM.cast_unsigned()
    };
    let statement = |code: u32, k: u32, jt: u8, jf: u8| libc::sock_filter {
        code: u16::try_from(code).unwrap_or(0),
        jt,
        jf,
        k,
    };
    let number = u32::try_from(libc::SYS_userfaultfd).map_err(|_negative| Errno::EINVAL)?;
    let mut filter = [
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, number, 0, 1),
        statement(libc::BPF_RET | libc::BPF_K, verdict, 0, 0),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW, 0, 0),
    ];
    let program = libc::sock_fprog { len: 4, filter: filter.as_mut_ptr() };
    nix::sys::prctl::set_no_new_privs()?;
    // SAFETY: seccomp reads the program and its four instructions, both alive across the call.
    let set = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_TSYNC,
            &raw const program,
        )
    };
    Errno::result(set).map(drop)
}

/// Waits for a signal that never comes, with a time limit and without glibc's retry.
pub fn wait_for_signal(limit: Duration) -> Result<i32, Errno> {
    let mut set = nix::sys::signal::SigSet::empty();
    set.add(nix::sys::signal::Signal::SIGUSR2);
    set.thread_block()?;
    let limit = nix::sys::time::TimeSpec::from(limit);
    // SAFETY: both structures are alive across the call; no siginfo is asked for.
    let signal = unsafe { libc::sigtimedwait(set.as_ref(), ptr::null_mut(), limit.as_ref()) };
    Errno::result(signal)
}

/// nanosleep(2) without a retry.
pub fn sleep(limit: Duration) -> Result<(), Errno> {
    let limit = nix::sys::time::TimeSpec::from(limit);
    // SAFETY: the request is alive across the call; the remaining time is not asked for.
    let slept = unsafe { libc::nanosleep(limit.as_ref(), ptr::null_mut()) };
    Errno::result(slept).map(drop)
}

/// Ends the calling thread only; as the first thread, it stays as a zombie leader of its process.
pub fn exit_this_thread() {
    // SAFETY: ends this thread without unwinding; nothing on its stack is referred to by others,
    // because the caller has given everything away.
    unsafe { libc::syscall(libc::SYS_exit, 0) };
}

/// Forks; true in the child.
pub fn fork() -> Result<Option<i32>, Errno> {
    // SAFETY: the test program is single-threaded where it forks, so no lock is held by a lost thread.
    match unsafe { nix::unistd::fork() }? {
        nix::unistd::ForkResult::Parent { child } => Ok(Some(child.as_raw())),
        nix::unistd::ForkResult::Child => Ok(None),
    }
}

/// Sleeps the way a vfork(2) parent does: until its child, which has its own memory here, is done.
pub fn sleep_like_vfork(limit: Duration) -> Result<(), Errno> {
    let flags = libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: a fork whose parent waits; no memory is shared, and the child only sleeps and ends.
    let pid = Errno::result(unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) })?;
    if pid == 0 {
        // The child has nobody to report to.
        let _slept = sleep(limit);
        // SAFETY: ends the child without running destructors that belong to the parent.
        unsafe { libc::_exit(0) };
    }
    Ok(())
}

static SIGNALS: AtomicU64 = AtomicU64::new(0);

extern "C" fn count_signal(_signal: i32) {
    SIGNALS.fetch_add(1, Ordering::Relaxed);
}

/// Counts deliveries of a signal; `restart` as in `SA_RESTART`.
pub fn count_signals(signal: i32, restart: bool) -> Result<(), Errno> {
    let handler: extern "C" fn(i32) = count_signal;
    let action = libc::sigaction {
        sa_sigaction: handler as libc::sighandler_t,
        sa_mask: *nix::sys::signal::SigSet::empty().as_ref(),
        sa_flags: if restart { libc::SA_RESTART } else { 0 },
        sa_restorer: None,
    };
    // SAFETY: the handler only adds to an atomic, which is async-signal-safe.
    let set = unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) };
    Errno::result(set).map(drop)
}

/// Signals counted so far.
pub fn signals_counted() -> u64 {
    SIGNALS.load(Ordering::Relaxed)
}

/// Queues a signal with a value to a process; `EAGAIN` when its queue is full.
pub fn queue_signal(pid: i32, signal: i32, value: usize) -> Result<(), Errno> {
    let value = libc::sigval { sival_ptr: ptr::without_provenance_mut(value) };
    // SAFETY: sigqueue takes its arguments by value.
    let sent = unsafe { libc::sigqueue(pid, signal, value) };
    Errno::result(sent).map(drop)
}

/// The first real-time signal that the C library leaves to programs.
pub fn real_time_signal() -> i32 {
    libc::SIGRTMIN()
}

/// Reads at most `buffer.len()` bytes without a retry.
pub fn read_once(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<usize, Errno> {
    nix::unistd::read(fd, buffer)
}

/// The kernel's view of this thread's restartable sequences (rseq(2)), as the C library registered it
/// (glibc 2.35); `None` where it has not.
#[cfg(all(target_arch = "x86_64", target_env = "gnu"))]
fn restartable_sequences() -> Option<usize> {
    // SAFETY: a lookup by a terminated name.
    let offset = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"__rseq_offset".as_ptr()) };
    // SAFETY: as above.
    let size = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"__rseq_size".as_ptr()) };
    let (offset, size) = (offset.cast::<isize>(), size.cast::<libc::c_uint>());
    if offset.is_null() || size.is_null() {
        return None;
    }
    // SAFETY: glibc documents the symbol as a constant unsigned int.
    if unsafe { size.read() } == 0 {
        return None;
    }
    let thread: usize;
    // SAFETY: reads the thread pointer, which the x86-64 ABI keeps at the start of its own block.
    unsafe {
        std::arch::asm!("mov {}, fs:[0]", out(reg) thread, options(nostack, readonly));
    }
    // SAFETY: glibc documents the symbol as a constant ptrdiff_t.
    Some(thread.wrapping_add_signed(unsafe { offset.read() }))
}

/// Stays inside one restartable sequence until the process is killed; whenever the kernel aborts it, it
/// is entered again. Returns only where that is not possible.
#[cfg(all(target_arch = "x86_64", target_env = "gnu"))]
pub fn stay_in_restartable_sequence() -> Result<std::convert::Infallible, Errno> {
    let area = restartable_sequences().ok_or(Errno::ENOSYS)?;
    // struct rseq_cs: version and flags, start, length, abort address.
    let mut descriptor = Box::new([0_u64; 4]);
    // SAFETY: fills the descriptor, which lives for ever because this never ends, publishes it in the
    // field `rseq_cs` of this thread's own area, and loops; the abort address carries the signature that
    // glibc registers.
    unsafe {
        std::arch::asm!(
            "lea {t}, [rip + 2f]",
            "mov [{d} + 8], {t}",
            "lea {u}, [rip + 3f]",
            "sub {u}, {t}",
            "mov [{d} + 16], {u}",
            "lea {t}, [rip + 4f]",
            "mov [{d} + 24], {t}",
            "5:",
            "mov [{area} + 8], {d}",
            "2:",
            "pause",
            "jmp 2b",
            "3:",
            ".long 0x53053053",
            "4:",
            "jmp 5b",
            t = out(reg) _,
            u = out(reg) _,
            d = in(reg) descriptor.as_mut_ptr(),
            area = in(reg) area,
            options(nostack),
        );
    }
    Err(Errno::EINTR)
}

/// Not possible here.
#[cfg(not(all(target_arch = "x86_64", target_env = "gnu")))]
pub fn stay_in_restartable_sequence() -> Result<std::convert::Infallible, Errno> {
    Err(Errno::ENOSYS)
}
