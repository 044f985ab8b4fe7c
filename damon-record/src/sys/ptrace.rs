//! ptrace(2) on one thread that was seized, with signal numbers kept raw: nix cannot represent a stop
//! by a real-time signal, and such a stop must not be lost.

#![expect(unsafe_code, reason = "ptrace requests that nix lacks")]

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;
use std::ffi::c_void;
use std::io::IoSliceMut;
use std::os::fd::AsFd;
use std::ptr;
use std::time::{Duration, Instant};

/// General-purpose registers as the kernel lays them out for a 64-bit tracer.
pub type Registers = libc::user_regs_struct;

/// `PTRACE_EVENT_STOP` of `include/uapi/linux/ptrace.h`.
const EVENT_STOP: i32 = 128;
const OPTION_SYSGOOD: u64 = 1;
const OPTION_SUSPEND_SECCOMP: u64 = 1 << 21;
const SIGTRAP_OF_SYSCALL: i32 = libc::SIGTRAP | 0x80;
/// Size of the kernel's signal set: one bit for each of 64 signals.
const SIGSET_BYTES: usize = 8;
/// Bytes of `struct rseq_cs` (`include/uapi/linux/rseq.h`).
const RSEQ_CS_BYTES: usize = 32;

/// How soon a thread that announces nothing is asked all the same, at first and after a while: a leader that
/// vanishes because another thread executes a program vanishes silently.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// Why a seized thread reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// It no longer exists.
    Dead,
    /// It stopped at the entry or the exit of a system call.
    Syscall,
    /// It stopped because of [`interrupt`], or because its process is in a group stop.
    Trap,
    /// It is about to receive this signal; the tracer decides.
    Signal(i32),
}

fn request(request: libc::c_uint, tid: i32, addr: usize, data: *mut c_void) -> Result<i64, Errno> {
    // SAFETY: every caller in this file passes for `data` either an integer that the request takes by
    // value or a pointer to live memory of the size that the request defines.
    let value =
        unsafe { libc::ptrace(request, tid, ptr::without_provenance_mut::<c_void>(addr), data) };
    Errno::result(value)
}

fn by_value(value: u64) -> *mut c_void {
    ptr::without_provenance_mut(usize::try_from(value).unwrap_or(0))
}

/// Becomes the tracer of a thread without stopping it. When the tracer dies, the kernel lets the
/// thread go on. `EPERM`: not allowed or traced already; `ESRCH`: no such thread.
pub fn seize(tid: i32) -> Result<(), Errno> {
    request(libc::PTRACE_SEIZE, tid, 0, by_value(OPTION_SYSGOOD)).map(drop)
}

/// Suspends the stopped thread's seccomp filters until it is let go (4.3, needs `CAP_SYS_ADMIN` and
/// no seccomp filter on ourselves: `EPERM`).
pub fn suspend_seccomp(tid: i32) -> Result<(), Errno> {
    let options = by_value(OPTION_SYSGOOD | OPTION_SUSPEND_SECCOMP);
    request(libc::PTRACE_SETOPTIONS, tid, 0, options).map(drop)
}

/// Asks a seized thread to stop.
pub fn interrupt(tid: i32) -> Result<(), Errno> {
    request(libc::PTRACE_INTERRUPT, tid, 0, ptr::null_mut()).map(drop)
}

/// Lets a stopped thread run on, delivering `signal` (0: none).
pub fn resume(tid: i32, signal: i32) -> Result<(), Errno> {
    let signal = by_value(u64::try_from(signal).unwrap_or(0));
    request(libc::PTRACE_CONT, tid, 0, signal).map(drop)
}

/// Lets a stopped thread run on until the next entry or exit of a system call.
pub fn resume_to_syscall(tid: i32) -> Result<(), Errno> {
    request(libc::PTRACE_SYSCALL, tid, 0, ptr::null_mut()).map(drop)
}

/// Lets a stopped thread go for good.
pub fn detach(tid: i32) -> Result<(), Errno> {
    request(libc::PTRACE_DETACH, tid, 0, ptr::null_mut()).map(drop)
}

/// The registers of a stopped thread.
pub fn registers(tid: i32) -> Result<Registers, Errno> {
    nix::sys::ptrace::getregs(Pid::from_raw(tid))
}

/// Sets the registers of a stopped thread.
pub fn set_registers(tid: i32, registers: Registers) -> Result<(), Errno> {
    nix::sys::ptrace::setregs(Pid::from_raw(tid), registers)
}

/// The blocked signals of a stopped thread, bit `n - 1` for signal `n` (3.11). Inside ppoll(2) and the
/// like it is the mask that the thread will have afterwards.
pub fn signal_mask(tid: i32) -> Result<u64, Errno> {
    let mut mask: u64 = 0;
    let data = (&raw mut mask).cast::<c_void>();
    request(libc::PTRACE_GETSIGMASK, tid, SIGSET_BYTES, data)?;
    Ok(mask)
}

/// Sets the blocked signals of a stopped thread.
pub fn set_signal_mask(tid: i32, mask: u64) -> Result<(), Errno> {
    let mut mask = mask;
    let data = (&raw mut mask).cast::<c_void>();
    request(libc::PTRACE_SETSIGMASK, tid, SIGSET_BYTES, data).map(drop)
}

/// True when the stopped thread's system calls may be turned into signals (`PR_SET_SYSCALL_USER_DISPATCH`;
/// readable since 6.4, otherwise reads as false).
pub fn dispatches_syscalls(tid: i32) -> bool {
    let mut config = libc::ptrace_sud_config { mode: 0, selector: 0, offset: 0, len: 0 };
    let data = (&raw mut config).cast::<c_void>();
    let size = size_of_val(&config);
    let read = request(libc::PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG, tid, size, data);
    read.is_ok() && config.mode != 0
}

/// True when the stopped thread is at an instruction inside a restartable sequence, which the kernel
/// aborts only if the instruction pointer is still there when the thread goes on (rseq(2), 5.13).
pub fn in_restartable_sequence(tid: i32, instruction: u64) -> bool {
    let mut config = libc::ptrace_rseq_configuration {
        rseq_abi_pointer: 0,
        rseq_abi_size: 0,
        signature: 0,
        flags: 0,
        pad: 0,
    };
    let data = (&raw mut config).cast::<c_void>();
    let size = size_of_val(&config);
    if request(libc::PTRACE_GET_RSEQ_CONFIGURATION, tid, size, data).is_err()
        || config.rseq_abi_pointer == 0
    {
        return false;
    }
    // struct rseq: cpu ids (8 bytes), then the address of the current struct rseq_cs.
    let mut pointer = [0; 8];
    if read_memory(tid, config.rseq_abi_pointer + 8, &mut pointer) != pointer.len() {
        return false;
    }
    let descriptor = u64::from_le_bytes(pointer);
    if descriptor == 0 {
        return false;
    }
    // struct rseq_cs: version and flags (8 bytes), start, length, abort address.
    let mut sequence = [0; RSEQ_CS_BYTES];
    if read_memory(tid, descriptor, &mut sequence) != sequence.len() {
        return false;
    }
    let [_, start, length, _] = words(&sequence);
    instruction.wrapping_sub(start) < length
}

fn words(bytes: &[u8; RSEQ_CS_BYTES]) -> [u64; 4] {
    let mut words = [0; 4];
    let (parts, _none) = bytes.as_chunks::<8>();
    for (word, part) in words.iter_mut().zip(parts) {
        *word = u64::from_le_bytes(*part);
    }
    words
}

/// Reads memory of the process that `tid` belongs to; returns how many bytes could be read.
pub fn read_memory(tid: i32, address: u64, buffer: &mut [u8]) -> usize {
    let Ok(base) = usize::try_from(address) else {
        return 0;
    };
    let len = buffer.len();
    process_vm_readv(
        Pid::from_raw(tid),
        &mut [IoSliceMut::new(buffer)],
        &[RemoteIoVec { base, len }],
    )
    .unwrap_or(0)
}

/// Waits for reports of seized threads, with a time limit and without burning processor time.
#[derive(Debug)]
pub struct Waiter {
    changes: SignalFd,
}

impl Waiter {
    /// The kernel announces each report with `SIGCHLD`, which must be blocked in every thread of this
    /// process and have its default action.
    pub fn new() -> Result<Self, Errno> {
        let mut signals = SigSet::empty();
        signals.add(Signal::SIGCHLD);
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        Ok(Self { changes: SignalFd::with_flags(&signals, flags)? })
    }

    /// What a seized thread has to report; `None` when there is nothing until `deadline`.
    pub fn wait(&self, tid: i32, deadline: Instant) -> Option<Report> {
        let mut pause = FIRST_PAUSE;
        loop {
            if let Some(report) = report(tid) {
                return Some(report);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            // Whole milliseconds, rounded up.
            let timeout = PollTimeout::try_from(left.min(pause) + Duration::from_millis(1));
            pause = (pause * 2).min(LONGEST_PAUSE);
            let mut fds = [PollFd::new(self.changes.as_fd(), PollFlags::POLLIN)];
            // Whether something was announced or not, the next turn asks again.
            let _announced = poll(&mut fds, timeout.unwrap_or(PollTimeout::MAX));
            // Before asking, so that an announcement that comes after the answer wakes the next poll.
            let _drained = self.changes.read_signal();
        }
    }
}

fn report(tid: i32) -> Option<Report> {
    let mut status = 0;
    loop {
        // SAFETY: waitpid writes one int, which `status` is.
        let waited = unsafe { libc::waitpid(tid, &raw mut status, libc::__WALL | libc::WNOHANG) };
        match Errno::result(waited) {
            Ok(0) => return None,
            Ok(_) => return Some(classify(status)),
            Err(Errno::EINTR) => {}
            Err(_) => return Some(Report::Dead),
        }
    }
}

fn classify(status: i32) -> Report {
    if !libc::WIFSTOPPED(status) {
        Report::Dead
    } else if status >> 16 == EVENT_STOP {
        Report::Trap
    } else if libc::WSTOPSIG(status) == SIGTRAP_OF_SYSCALL {
        Report::Syscall
    } else {
        Report::Signal(libc::WSTOPSIG(status))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_statuses_are_told_apart() {
        let stopped = |signal: i32| signal << 8 | 0x7f;
        assert_eq!(classify(0), Report::Dead);
        assert_eq!(classify(libc::SIGKILL), Report::Dead);
        assert_eq!(classify(stopped(libc::SIGTRAP | 0x80)), Report::Syscall);
        assert_eq!(classify(EVENT_STOP << 16 | stopped(libc::SIGTRAP)), Report::Trap);
        assert_eq!(
            classify(EVENT_STOP << 16 | stopped(libc::SIGSTOP)),
            Report::Trap,
            "a group stop"
        );
        assert_eq!(classify(stopped(40)), Report::Signal(40), "real-time");
        assert_eq!(
            classify(stopped(libc::SIGTRAP)),
            Report::Signal(libc::SIGTRAP),
            "a breakpoint of the program itself"
        );
    }
}
