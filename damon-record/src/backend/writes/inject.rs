//! One system call executed by somebody else's thread.
//!
//! A thread is seized and stopped; its instruction pointer is set to a `syscall` instruction that the
//! kernel itself put into the process (the `[vdso]`), so nothing is written into its memory. It
//! executes userfaultfd(2) there, we copy the descriptor, it executes close(2), and gets its
//! registers back.
//!
//! What makes that invisible to the program:
//!
//! - Every signal is blocked while the registers are not the thread's own, so a signal that arrives
//!   stays queued with all its details and is delivered afterwards. `SIGSTOP` cannot be blocked: it
//!   is held back and sent again.
//! - The registers are given back in a *second* stop of the same kind as the first, inside the
//!   kernel's signal delivery. Going on from there, the kernel itself decides about an interrupted
//!   system call: a signal with a handler makes it return `EINTR`, otherwise it is resumed or
//!   started again, with the time that was left where the kernel keeps account of that.
//! - System calls that return `EINTR` after any stop (`epoll_wait(2)`, `sigtimedwait(2)`, …) are
//!   presented to that same decision as if they could be started again, which they can.
//! - A thread inside a restartable sequence (rseq(2)) is let go and asked again later.
//! - Seccomp filters are suspended for the duration; where that is refused, nothing is injected,
//!   because a filter may kill the process.
//!
//! Between the first change of registers and the last the thread depends on us. So this runs in a
//! process of its own that nobody kills by accident: see [`helper`](super::helper).

use super::memory::has_memory;
use super::protocol::{Failure, Step};
use super::threads::{self, Candidate};
use crate::sys::ptrace::{self, Registers, Report};
use crate::sys::{detached, pidfd, userfaultfd};
use nix::errno::Errno;
use nix::libc;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// Code segment of 64-bit and of 32-bit programs on x86-64 Linux.
const CS_64: u64 = 0x33;
const CS_32: u64 = 0x23;
/// How long one thread may take to stop.
const STOP_LIMIT: Duration = Duration::from_secs(2);
/// How long all attempts together may take before the target is first changed.
const TOTAL_LIMIT: Duration = Duration::from_secs(5);
/// How long to try a thread that is inside a restartable sequence each time.
const SEQUENCE_LIMIT: Duration = Duration::from_millis(200);
/// How long a refusal to be traced may last before it is believed.
const REFUSAL_LIMIT: Duration = Duration::from_millis(50);
const SEQUENCE_PAUSE: Duration = Duration::from_micros(300);
/// The kernel's internal "start again unless a handler runs" (`include/linux/errno.h`).
const ERESTARTNOHAND: i64 = 514;
const ALL_SIGNALS: u64 = u64::MAX;
/// The `syscall` instruction.
const SYSCALL: [u8; 2] = [0x0f, 0x05];

/// A userfaultfd of the target.
#[derive(Debug)]
pub(super) struct Injected {
    pub(super) fd: OwnedFd,
    pub(super) tid: i32,
    pub(super) pause: Duration,
}

/// Why one thread did not serve.
enum Refusal {
    /// Try another one.
    Thread(Failure),
    /// No other thread would do better.
    Process(Failure),
    /// Try the same one again in a moment.
    Later,
}

fn trace_failed(errno: Errno) -> Refusal {
    Refusal::Process(Failure::Errno { step: Step::Trace, errno: errno as i32 })
}

/// Fetches a new userfaultfd of the process `pid`, which `process` names beyond doubt.
pub(super) fn userfaultfd_of(pid: i32, process: BorrowedFd<'_>) -> Result<Injected, Failure> {
    let deadline = Instant::now() + TOTAL_LIMIT;
    let mut last = Failure::Gone;
    for candidate in threads::candidates(pid) {
        if Instant::now() >= deadline {
            break;
        }
        match with_thread(pid, process, candidate, deadline) {
            Ok(injected) => return Ok(injected),
            Err(Refusal::Process(failure)) => {
                last = failure;
                break;
            }
            // A thread that merely ended says less than one that would not stop.
            Err(Refusal::Thread(Failure::Gone)) => {}
            Err(Refusal::Thread(failure)) => last = failure,
            Err(Refusal::Later) => last = Failure::NoStop,
        }
    }
    if pidfd::has_exited(process) || !has_memory(pid) {
        last = Failure::Gone;
    }
    Err(last)
}

fn with_thread(
    pid: i32,
    process: BorrowedFd<'_>,
    candidate: Candidate,
    deadline: Instant,
) -> Result<Injected, Refusal> {
    let tid = candidate.tid;
    let Some(instruction) = syscall_instruction(pid, tid) else {
        // Where reading its memory is forbidden, tracing is too, and that is what to say. A thread
        // that could be seized after all is let go when this process ends.
        seize(pid, tid)?;
        return Err(Refusal::Thread(Failure::NoInstruction));
    };
    let sequence_deadline = deadline.min(Instant::now() + SEQUENCE_LIMIT);
    loop {
        match attempt(pid, tid, process, instruction, deadline) {
            Err(Refusal::Later) if Instant::now() < sequence_deadline => {
                std::thread::sleep(SEQUENCE_PAUSE);
            }
            outcome => return outcome,
        }
    }
}

/// Address of a `syscall` instruction in the target's `[vdso]`. That of 32-bit programs holds one too,
/// for processors that enter the kernel that way.
fn syscall_instruction(pid: i32, tid: i32) -> Option<u64> {
    let (start, end) = threads::vdso(pid, tid)?;
    let len = usize::try_from(end.checked_sub(start)?).ok()?;
    let mut code = vec![0; len.min(1 << 20)];
    let read = ptrace::read_memory(tid, start, &mut code);
    let code = code.get(..read)?;
    let offset = code.windows(SYSCALL.len()).position(|two| two == SYSCALL)?;
    Some(start + offset as u64)
}

fn attempt(
    pid: i32,
    tid: i32,
    process: BorrowedFd<'_>,
    instruction: u64,
    deadline: Instant,
) -> Result<Injected, Refusal> {
    seize(pid, tid)?;
    let begun = Instant::now();
    // The pidfd proves that the number still means this process: a number is not reused while the
    // process is unreaped, and what was seized cannot be another one.
    if pidfd::has_exited(process) {
        return Err(Refusal::Process(Failure::Gone));
    }
    stop(tid, deadline.min(begun + STOP_LIMIT))?;
    let borrowed = match Borrowed::take(pid, tid, instruction) {
        Ok(borrowed) => borrowed,
        Err(refusal) => {
            // It stands still with its own registers; if it cannot be let go it is dead.
            let _dead_otherwise = ptrace::detach(tid);
            return Err(refusal);
        }
    };
    let outcome = borrowed.fetch_userfaultfd(process);
    let given_back = borrowed.give_back();
    match (outcome, given_back) {
        (Ok(fd), Ok(())) => Ok(Injected { fd, tid, pause: begun.elapsed() }),
        (Err(refusal), _) | (Ok(_), Err(refusal)) => Err(refusal),
    }
}

/// Becomes the tracer. A refusal is believed only when it lasts: another injection may be under way, and
/// a thread that is just exiting is refused too.
fn seize(pid: i32, tid: i32) -> Result<(), Refusal> {
    let deadline = Instant::now() + REFUSAL_LIMIT;
    loop {
        match ptrace::seize(tid) {
            Ok(()) => return Ok(()),
            Err(Errno::ESRCH) => return Err(Refusal::Thread(Failure::Gone)),
            Err(Errno::EPERM) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(Errno::EPERM) => {
                return Err(Refusal::Process(match threads::tracer(pid, tid) {
                    0 => Failure::NotPermitted,
                    tracer => Failure::Traced { tracer },
                }));
            }
            Err(other) => return Err(trace_failed(other)),
        }
    }
}

/// Brings a seized thread to a stop with all signals that it was about to receive delivered.
///
/// A thread that does not stop in time stays seized until this process ends, which lets it go.
fn stop(tid: i32, deadline: Instant) -> Result<(), Refusal> {
    let gone = |_errno| Refusal::Thread(Failure::Gone);
    ptrace::interrupt(tid).map_err(gone)?;
    let begun = Instant::now();
    loop {
        match ptrace::wait(tid, false) {
            Some(Report::Trap) => return Ok(()),
            Some(Report::Dead) => return Err(Refusal::Thread(Failure::Gone)),
            Some(Report::Signal(signal)) => ptrace::resume(tid, signal).map_err(gone)?,
            Some(Report::Syscall) => ptrace::resume(tid, 0).map_err(gone)?,
            None if Instant::now() >= deadline => return Err(Refusal::Thread(Failure::NoStop)),
            // A stop takes some tens of microseconds; after that it is a matter of patience.
            None if begun.elapsed() < Duration::from_micros(500) => std::thread::yield_now(),
            None => std::thread::sleep(Duration::from_micros(500)),
        }
    }
}

/// A stopped thread whose registers and signals are ours until [`give_back`](Self::give_back).
struct Borrowed {
    pid: i32,
    tid: i32,
    instruction: u64,
    registers: Registers,
    signal_mask: u64,
    held_stop: std::cell::Cell<bool>,
}

impl Borrowed {
    /// Checks everything that forbids an injection; until it succeeds the thread is unchanged.
    fn take(pid: i32, tid: i32, instruction: u64) -> Result<Self, Refusal> {
        let registers = ptrace::registers(tid).map_err(trace_failed)?;
        if registers.cs != CS_64 && registers.cs != CS_32 {
            return Err(Refusal::Thread(Failure::NoInstruction));
        }
        if ptrace::in_restartable_sequence(tid, registers.rip) {
            return Err(Refusal::Later);
        }
        if ptrace::dispatches_syscalls(tid) {
            return Err(Refusal::Thread(Failure::SyscallDispatch));
        }
        // Asked for in any case: another thread may put this one under a filter while it stands still.
        if ptrace::suspend_seccomp(tid).is_err() && threads::under_seccomp(pid, tid) != Some(false)
        {
            return Err(Refusal::Thread(Failure::Seccomp));
        }
        let signal_mask = ptrace::signal_mask(tid).map_err(trace_failed)?;
        ptrace::set_signal_mask(tid, ALL_SIGNALS).map_err(trace_failed)?;
        Ok(Self {
            pid,
            tid,
            instruction,
            registers,
            signal_mask,
            held_stop: std::cell::Cell::new(false),
        })
    }

    fn fetch_userfaultfd(&self, process: BorrowedFd<'_>) -> Result<OwnedFd, Refusal> {
        let flags = u64::from(userfaultfd::CREATE_FLAGS);
        let number = self.call(libc::SYS_userfaultfd, flags)?.map_err(|errno| {
            Refusal::Process(Failure::Errno { step: Step::Create, errno: errno as i32 })
        })?;
        let fetched = self.fetch(process, number);
        // Whatever became of our copy, the target's must go.
        let closed = self.call(libc::SYS_close, number)?;
        debug_assert_eq!(closed, Ok(0), "close(2) of a descriptor that was just opened");
        fetched
    }

    fn fetch(&self, process: BorrowedFd<'_>, number: u64) -> Result<OwnedFd, Refusal> {
        let failed = |errno: Errno| {
            Refusal::Process(Failure::Errno { step: Step::Fetch, errno: errno as i32 })
        };
        let number = i32::try_from(number).map_err(|_too_big| failed(Errno::EBADF))?;
        // By thread, because a leader that has exited has no descriptors; kernels before 6.9 know
        // only whole processes.
        match pidfd::open_thread(self.tid) {
            Ok(thread) => pidfd::get_fd(thread.as_fd(), number),
            Err(_) => pidfd::get_fd(process, number),
        }
        .map_err(failed)
    }

    /// Has the thread execute one system call. The outer error means that the thread is gone.
    fn call(&self, number: libc::c_long, argument: u64) -> Result<Result<u64, Errno>, Refusal> {
        let number = u64::try_from(number).unwrap_or(u64::MAX);
        let registers = Registers {
            rip: self.instruction,
            cs: CS_64,
            rax: number,
            // Not inside a system call: the kernel has nothing to start again.
            orig_rax: u64::MAX,
            rdi: argument,
            rsi: 0,
            rdx: 0,
            r10: 0,
            r8: 0,
            r9: 0,
            ..self.registers
        };
        ptrace::set_registers(self.tid, registers).map_err(trace_failed)?;
        self.run_to_syscall_stop()?;
        self.run_to_syscall_stop()?;
        let result = ptrace::registers(self.tid).map_err(trace_failed)?.rax;
        let signed = result.cast_signed();
        Ok(if (-4095..0).contains(&signed) {
            Err(i32::try_from(-signed).map_or(Errno::UnknownErrno, Errno::from_raw))
        } else {
            Ok(result)
        })
    }

    fn run_to_syscall_stop(&self) -> Result<(), Refusal> {
        loop {
            ptrace::resume_to_syscall(self.tid).map_err(trace_failed)?;
            match ptrace::wait(self.tid, true) {
                Some(Report::Syscall) => return Ok(()),
                Some(Report::Trap) => {}
                Some(Report::Signal(signal)) => self.hold(signal),
                Some(Report::Dead) | None => return Err(Refusal::Thread(Failure::Gone)),
            }
        }
    }

    /// Only `SIGSTOP` comes through a mask that blocks everything (`SIGKILL` is not reported).
    fn hold(&self, signal: i32) {
        if signal == libc::SIGSTOP {
            self.held_stop.set(true);
        }
    }

    /// Restores the thread and lets it go.
    fn give_back(self) -> Result<(), Refusal> {
        // The last stop was the exit of a system call, past the point where the kernel looks at
        // interrupted ones; another interruption leads there again before the thread executes
        // anything.
        let interrupted = ptrace::interrupt(self.tid).and_then(|()| ptrace::resume(self.tid, 0));
        if interrupted.is_err() {
            return Err(Refusal::Thread(Failure::Gone));
        }
        loop {
            match ptrace::wait(self.tid, true) {
                Some(Report::Trap) => break,
                Some(Report::Dead) | None => return Err(Refusal::Thread(Failure::Gone)),
                Some(Report::Signal(signal)) => {
                    self.hold(signal);
                    // Fails only when it is dead, which the next wait reports.
                    let _dead = ptrace::resume(self.tid, 0);
                }
                Some(Report::Syscall) => {
                    let _dead = ptrace::resume(self.tid, 0);
                }
            }
        }
        ptrace::set_registers(self.tid, restored(self.registers)).map_err(trace_failed)?;
        ptrace::set_signal_mask(self.tid, self.signal_mask).map_err(trace_failed)?;
        ptrace::detach(self.tid).map_err(trace_failed)?;
        if self.held_stop.get() {
            // Fails only when the thread has ended since, and the stop with it.
            let _dead = detached::signal_thread(self.pid, self.tid, libc::SIGSTOP);
        }
        Ok(())
    }
}

/// The thread's own registers as it gets them back, see the head of this file.
fn restored(registers: Registers) -> Registers {
    let in_syscall = registers.orig_rax.cast_signed() >= 0;
    let mut restored = registers;
    if !in_syscall {
        return restored;
    }
    if registers.cs == CS_32 {
        // The kernel compares the whole register with its negative codes.
        let low = i32::from_le_bytes(low_half(registers.rax));
        restored.rax = i64::from(low).cast_unsigned();
    } else if registers.rax.cast_signed() == -i64::from(libc::EINTR)
        && threads::starts_again(registers.orig_rax.cast_signed())
    {
        restored.rax = (-ERESTARTNOHAND).cast_unsigned();
    }
    restored
}

fn low_half(value: u64) -> [u8; 4] {
    let [a, b, c, d, ..] = value.to_le_bytes();
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registers(cs: u64, orig_rax: i64, rax: i64) -> Registers {
        let pid = nix::unistd::Pid::this();
        // A plain value of the right type: no constructor exists, and zeroing would be unsafe code.
        let mut registers = sample(pid);
        registers.cs = cs;
        registers.orig_rax = orig_rax.cast_unsigned();
        registers.rax = rax.cast_unsigned();
        registers
    }

    fn sample(_pid: nix::unistd::Pid) -> Registers {
        Registers {
            r15: 15,
            r14: 14,
            r13: 13,
            r12: 12,
            rbp: 1,
            rbx: 2,
            r11: 11,
            r10: 10,
            r9: 9,
            r8: 8,
            rax: 0,
            rcx: 3,
            rdx: 4,
            rsi: 5,
            rdi: 6,
            orig_rax: 0,
            rip: 7,
            cs: 0,
            eflags: 0x246,
            rsp: 8,
            ss: 0x2b,
            fs_base: 0,
            gs_base: 0,
            ds: 0,
            es: 0,
            fs: 0,
            gs: 0,
        }
    }

    #[test]
    fn epoll_wait_is_started_again_and_close_is_not() {
        let eintr = -i64::from(libc::EINTR);
        assert_eq!(restored(registers(CS_64, 232, eintr)).rax.cast_signed(), -ERESTARTNOHAND);
        assert_eq!(restored(registers(CS_64, 3, eintr)).rax.cast_signed(), eintr);
        assert_eq!(
            restored(registers(CS_64, -1, eintr)).rax.cast_signed(),
            eintr,
            "the program's own -4, not a system call's"
        );
    }

    #[test]
    fn codes_that_the_kernel_resumes_by_itself_are_kept() {
        for code in [-512, -513, -514, -516, 0, 7] {
            assert_eq!(restored(registers(CS_64, 35, code)).rax.cast_signed(), code);
        }
        assert_eq!(
            restored(registers(CS_32, 162, 0xffff_fdfc)).rax.cast_signed(),
            -516,
            "the low half counts in a 32-bit program"
        );
    }
}
