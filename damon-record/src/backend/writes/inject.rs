//! One system call executed by somebody else's thread.
//!
//! A thread is seized and stopped; its instruction pointer is set to a `syscall` instruction that the
//! kernel itself put into the process (the `[vdso]`), so nothing is written into its memory. It
//! executes userfaultfd(2) there, we copy the descriptor, it executes close(2), and gets its
//! registers back.
//!
//! What makes that invisible to the program is told in [`borrowed`](super::borrowed).
//!
//! Between the first change of registers and the last the thread depends on us. So this runs in a
//! process of its own that nobody kills by accident: see [`helper`](super::helper).

use super::borrowed::{Borrowed, Refusal, trace_failed};
use super::memory::has_memory;
use super::protocol::Failure;
use super::threads::{self, Candidate};
use crate::sys::pidfd;
use crate::sys::ptrace::{self, Report};
use nix::errno::Errno;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// How long one thread may take to stop.
const STOP_LIMIT: Duration = Duration::from_secs(2);
/// How long all attempts together may take before the target is first changed.
const TOTAL_LIMIT: Duration = Duration::from_secs(5);
/// How long to try a thread that is inside a restartable sequence each time.
const SEQUENCE_LIMIT: Duration = Duration::from_millis(200);
/// How long a refusal to be traced may last before it is believed.
const REFUSAL_LIMIT: Duration = Duration::from_millis(50);
const SEQUENCE_PAUSE: Duration = Duration::from_micros(300);
/// The `syscall` instruction.
const SYSCALL: [u8; 2] = [0x0f, 0x05];

/// A userfaultfd of the target.
#[derive(Debug)]
pub(super) struct Injected {
    pub(super) fd: OwnedFd,
    pub(super) tid: i32,
    pub(super) pause: Duration,
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
