//! A thread that executes system calls for us and does not notice.
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

use super::protocol::{Failure, Step};
use super::threads;
use crate::sys::ptrace::{self, Registers, Report, Waiter};
use crate::sys::{detached, pidfd, userfaultfd};
use nix::errno::Errno;
use nix::libc;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// Code segment of 64-bit and of 32-bit programs on x86-64 Linux.
const CS_64: u64 = 0x33;
const CS_32: u64 = 0x23;
/// The kernel's internal "start again unless a handler runs" (`include/linux/errno.h`).
const ERESTARTNOHAND: i64 = 514;
const ALL_SIGNALS: u64 = u64::MAX;
/// How long a thread may take to get to a system call before it is given back without.
const BORROW_LIMIT: Duration = Duration::from_secs(2);
/// How often a thread that does not report is asked whether it is dead.
const DEATH_CHECK: Duration = Duration::from_secs(1);

/// Why one thread did not serve.
pub(super) enum Refusal {
    /// Try another one.
    Thread(Failure),
    /// No other thread would do better.
    Process(Failure),
    /// Try the same one again in a moment.
    Later,
}

pub(super) fn trace_failed(errno: Errno) -> Refusal {
    // Another thread of the process executed a program, or somebody killed it.
    if errno == Errno::ESRCH {
        return Refusal::Thread(Failure::Gone);
    }
    Refusal::Process(Failure::Errno { step: Step::Trace, errno: errno as i32 })
}

/// A stopped thread whose registers and signals are ours until [`give_back`](Self::give_back).
pub(super) struct Borrowed<'a> {
    waiter: &'a Waiter,
    /// When what is not done is given up and the thread restored.
    deadline: Instant,
    pid: i32,
    tid: i32,
    instruction: u64,
    registers: Registers,
    signal_mask: u64,
    held_stop: std::cell::Cell<bool>,
}

impl<'a> Borrowed<'a> {
    /// Checks everything that forbids an injection; until it succeeds the thread is unchanged.
    pub(super) fn take(
        waiter: &'a Waiter,
        pid: i32,
        tid: i32,
        instruction: u64,
    ) -> Result<Self, Refusal> {
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
            waiter,
            deadline: Instant::now() + BORROW_LIMIT,
            pid,
            tid,
            instruction,
            registers,
            signal_mask,
            held_stop: std::cell::Cell::new(false),
        })
    }

    pub(super) fn fetch_userfaultfd(&self, process: BorrowedFd<'_>) -> Result<OwnedFd, Refusal> {
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
        self.run_to_entry()?;
        self.run_to_exit()?;
        let result = ptrace::registers(self.tid).map_err(trace_failed)?.rax;
        let signed = result.cast_signed();
        Ok(if (-4095..0).contains(&signed) {
            Err(i32::try_from(-signed).map_or(Errno::UnknownErrno, Errno::from_raw))
        } else {
            Ok(result)
        })
    }

    /// Lets the thread go on to the system call. It may be frozen or not scheduled before it gets there:
    /// then nothing has happened yet, and it can be restored.
    fn run_to_entry(&self) -> Result<(), Refusal> {
        while Instant::now() < self.deadline {
            ptrace::resume_to_syscall(self.tid).map_err(trace_failed)?;
            match self.waiter.wait(self.tid, self.deadline) {
                Some(Report::Syscall) => return Ok(()),
                Some(Report::Trap) => {}
                Some(Report::Signal(signal)) => self.hold(signal)?,
                Some(Report::Dead) => return Err(Refusal::Thread(Failure::Gone)),
                None => break,
            }
        }
        Err(Refusal::Process(Failure::NoStop))
    }

    /// Lets the thread execute the system call that it is about to enter. Neither userfaultfd(2) nor the
    /// close(2) of a new descriptor waits for anything, and the next stop comes before any signal.
    fn run_to_exit(&self) -> Result<(), Refusal> {
        ptrace::resume_to_syscall(self.tid).map_err(trace_failed)?;
        match self.next_report() {
            Report::Syscall => Ok(()),
            Report::Signal(signal) => {
                self.hold(signal)?;
                Err(Refusal::Process(Failure::NoStop))
            }
            Report::Trap => Err(Refusal::Process(Failure::NoStop)),
            Report::Dead => Err(Refusal::Thread(Failure::Gone)),
        }
    }

    /// Sleeps until the thread stops or is dead. Here, and only here, there is no time limit: the thread is
    /// inside the kernel, and letting it go with registers that are not its own would kill it.
    fn next_report(&self) -> Report {
        loop {
            match self.waiter.wait(self.tid, Instant::now() + DEATH_CHECK) {
                Some(report) => return report,
                None if threads::has_exited(self.pid, self.tid) => return Report::Dead,
                None => {}
            }
        }
    }

    /// Only `SIGSTOP` comes through a mask that blocks everything (`SIGKILL` is not reported), and a fault,
    /// which is of our making: the thread must not get it.
    fn hold(&self, signal: i32) -> Result<(), Refusal> {
        if signal == libc::SIGSTOP {
            self.held_stop.set(true);
            return Ok(());
        }
        Err(Refusal::Process(Failure::Faulted { signal }))
    }

    /// Restores the thread and lets it go.
    pub(super) fn give_back(self) -> Result<(), Refusal> {
        // The last stop was the exit of a system call, past the point where the kernel looks at
        // interrupted ones; another interruption leads there again before the thread executes
        // anything, and before it is told of another signal.
        ptrace::interrupt(self.tid).map_err(trace_failed)?;
        loop {
            // Refused when it is running after a time limit, or dead, which the report tells.
            let _refused = ptrace::resume(self.tid, 0);
            match self.next_report() {
                Report::Trap => break,
                Report::Dead => return Err(Refusal::Thread(Failure::Gone)),
                // A fault was reported as such already.
                Report::Signal(signal) => drop(self.hold(signal)),
                Report::Syscall => {}
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
            rax: rax.cast_unsigned(),
            rcx: 3,
            rdx: 4,
            rsi: 5,
            rdi: 6,
            orig_rax: orig_rax.cast_unsigned(),
            rip: 7,
            cs,
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
