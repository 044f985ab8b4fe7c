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
use super::gate::Gate;
use super::memory::has_memory;
use super::protocol::Failure;
use super::threads;
use crate::sys::pidfd;
use crate::sys::ptrace::{self, Report, Waiter};
use nix::errno::Errno;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

/// How long one thread may take to stop.
const STOP_LIMIT: Duration = Duration::from_secs(2);
/// How long all attempts together may take before the target is first changed.
const TOTAL_LIMIT: Duration = Duration::from_secs(5);
/// How long to try a thread that is inside a restartable sequence each time.
const SEQUENCE_LIMIT: Duration = Duration::from_millis(200);
/// How long a refusal to be traced may last before it is believed.
const REFUSAL_LIMIT: Duration = Duration::from_millis(50);
/// How many refusals in a row by no visible tracer are believed.
const BELIEVED: u32 = 5;
/// How much later than [`TOTAL_LIMIT`] a tracer that the kernel holds up is given up.
const GRACE: Duration = Duration::from_millis(500);
const SEQUENCE_PAUSE: Duration = Duration::from_micros(300);
/// The `syscall` instruction.
const SYSCALL: [u8; 2] = [0x0f, 0x05];
/// Bytes by which a place in the `[vdso]` is recognised.
const RECOGNISED: usize = 16;

/// A userfaultfd of the target.
#[derive(Debug)]
pub(super) struct Injected {
    pub(super) fd: OwnedFd,
    pub(super) tid: i32,
    pub(super) pause: Duration,
}

/// Fetches a new userfaultfd of the process `pid`, which `process` names beyond doubt.
///
/// Takes at most [`TOTAL_LIMIT`], [`GRACE`] and the time limit of a borrowed thread, unless that thread is
/// not scheduled at all.
pub(super) fn userfaultfd_of(pid: i32, process: BorrowedFd<'_>) -> Result<Injected, Failure> {
    let deadline = Instant::now() + TOTAL_LIMIT;
    let mut last = Failure::Gone;
    while last == Failure::Gone && Instant::now() < deadline {
        for candidate in threads::candidates(pid) {
            match attended(pid, candidate.tid, process, deadline) {
                Ok(injected) => return Ok(injected),
                Err(Refusal::Process(failure)) => return Err(alive_or_gone(pid, process, failure)),
                // A thread that merely ended says less than one that would not stop.
                Err(Refusal::Thread(Failure::Gone)) => {}
                Err(Refusal::Thread(failure)) => last = failure,
                Err(Refusal::Later) => last = Failure::NoStop,
            }
            if Instant::now() >= deadline {
                break;
            }
        }
        last = alive_or_gone(pid, process, last);
        if last == Failure::Gone {
            if is_gone(pid, process) {
                break;
            }
            // All threads vanished and the process did not: one of them executed a program.
            std::thread::sleep(SEQUENCE_PAUSE);
        }
    }
    if last == Failure::Gone && !is_gone(pid, process) {
        last = Failure::NoStop;
    }
    Err(last)
}

fn is_gone(pid: i32, process: BorrowedFd<'_>) -> bool {
    pidfd::has_exited(process) || !has_memory(pid)
}

fn alive_or_gone(pid: i32, process: BorrowedFd<'_>, failure: Failure) -> Failure {
    if is_gone(pid, process) { Failure::Gone } else { failure }
}

/// Tries one thread, from a tracer that is a thread of its own: it may be held up, and when it ends the
/// kernel lets everything go that it had seized. That matters before the next one is tried: while a
/// thread of the target waits in execve(2) for us to acknowledge the death of another, seizing waits for
/// the execve(2).
fn attended(
    pid: i32,
    tid: i32,
    process: BorrowedFd<'_>,
    deadline: Instant,
) -> Result<Injected, Refusal> {
    let process = process.try_clone_to_owned().map_err(|error| out_of(&error))?;
    let gate = Arc::new(Gate::default());
    let (sender, receiver) = mpsc::sync_channel(1);
    let tracer = {
        let gate = Arc::clone(&gate);
        std::thread::Builder::new().spawn(move || {
            // Nobody listens any more when it was given up.
            let _given_up = sender.send(with_thread(pid, tid, process.as_fd(), &gate, deadline));
        })
    };
    let tracer = tracer.map_err(|error| out_of(&error))?;
    let left = deadline.saturating_duration_since(Instant::now());
    let outcome = match receiver.recv_timeout(left + GRACE) {
        Err(RecvTimeoutError::Timeout) if gate.close() => {
            return Err(Refusal::Process(Failure::NoStop));
        }
        Err(RecvTimeoutError::Timeout) => receiver.recv().ok(),
        outcome => outcome.ok(),
    };
    let _ended = tracer.join();
    outcome.unwrap_or(Err(Refusal::Thread(Failure::NoStop)))
}

fn out_of(error: &io::Error) -> Refusal {
    trace_failed(error.raw_os_error().map_or(Errno::UnknownErrno, Errno::from_raw))
}

fn with_thread(
    pid: i32,
    tid: i32,
    process: BorrowedFd<'_>,
    gate: &Gate,
    deadline: Instant,
) -> Result<Injected, Refusal> {
    let waiter = Waiter::new().map_err(trace_failed)?;
    // Looked up before the stop, because that takes its time. What it says is believed in the stop only.
    let expected = Instruction::find(pid, tid);
    let sequence_deadline = deadline.min(Instant::now() + SEQUENCE_LIMIT);
    loop {
        match attempt(pid, tid, process, &waiter, gate, expected.as_ref(), deadline) {
            Err(Refusal::Later) if Instant::now() < sequence_deadline => {
                std::thread::sleep(SEQUENCE_PAUSE);
            }
            outcome => return outcome,
        }
    }
}

/// A `syscall` instruction, and the code from there on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Instruction {
    address: u64,
    code: [u8; RECOGNISED],
}

impl Instruction {
    /// Finds one in the target's `[vdso]`. That of 32-bit programs holds one too, for processors that enter
    /// the kernel that way.
    fn find(pid: i32, tid: i32) -> Option<Self> {
        let (start, end) = threads::vdso(pid, tid)?;
        let len = usize::try_from(end.checked_sub(start)?).ok()?;
        let mut code = vec![0; len.min(1 << 20)];
        let read = ptrace::read_memory(tid, start, &mut code);
        let code = code.get(..read)?;
        let offset = code.windows(RECOGNISED).position(|code| code.starts_with(&SYSCALL))?;
        let code = code.get(offset..)?.first_chunk()?;
        Some(Self { address: start + offset as u64, code: *code })
    }

    /// True when the memory of the stopped thread still is what was looked at: it may have executed another
    /// program since.
    fn is_there(&self, tid: i32) -> bool {
        let mut code = [0; RECOGNISED];
        ptrace::read_memory(tid, self.address, &mut code) == RECOGNISED && code == self.code
    }
}

fn attempt(
    pid: i32,
    tid: i32,
    process: BorrowedFd<'_>,
    waiter: &Waiter,
    gate: &Gate,
    expected: Option<&Instruction>,
    deadline: Instant,
) -> Result<Injected, Refusal> {
    seize(pid, tid, deadline)?;
    let begun = Instant::now();
    // The pidfd proves that the number still means this process: a number is not reused while the
    // process is unreaped. A thread's number may be, until the thread is seized.
    if pidfd::has_exited(process) {
        return Err(Refusal::Process(Failure::Gone));
    }
    if !threads::is_thread_of(pid, tid) {
        return Err(Refusal::Thread(Failure::Gone));
    }
    stop(waiter, tid, deadline.min(begun + STOP_LIMIT))?;
    let borrowed = match borrow(waiter, gate, pid, tid, expected) {
        Ok(borrowed) => borrowed,
        Err(refusal) => {
            // It stands still with its own registers; if it cannot be let go it is dead.
            let _dead_otherwise = ptrace::detach(tid);
            return Err(refusal);
        }
    };
    let outcome = borrowed.fetch_userfaultfd(process);
    let given_back = borrowed.give_back();
    gate.leave();
    match (outcome, given_back) {
        (Ok(fd), Ok(())) => Ok(Injected { fd, tid, pause: begun.elapsed() }),
        (Err(refusal), _) | (Ok(_), Err(refusal)) => Err(refusal),
    }
}

/// Takes over a thread in a stop. Its address space cannot be exchanged from here on without its death.
fn borrow<'a>(
    waiter: &'a Waiter,
    gate: &Gate,
    pid: i32,
    tid: i32,
    expected: Option<&Instruction>,
) -> Result<Borrowed<'a>, Refusal> {
    let known = expected.copied().filter(|expected| expected.is_there(tid));
    let Some(instruction) = known.or_else(|| Instruction::find(pid, tid)) else {
        // Reading says the same of a thread that has just been killed.
        ptrace::registers(tid).map_err(trace_failed)?;
        return Err(Refusal::Thread(Failure::NoInstruction));
    };
    if !gate.enter() {
        return Err(Refusal::Process(Failure::NoStop));
    }
    let borrowed = Borrowed::take(waiter, pid, tid, instruction.address);
    if borrowed.is_err() {
        gate.leave();
    }
    borrowed
}

/// Becomes the tracer. A refusal is believed only when it lasts: another injection may be under way, and
/// a thread that is just exiting is refused too.
fn seize(pid: i32, tid: i32, limit: Instant) -> Result<(), Refusal> {
    let deadline = limit.min(Instant::now() + REFUSAL_LIMIT);
    let mut unexplained = 0;
    loop {
        match ptrace::seize(tid) {
            Ok(()) => return Ok(()),
            Err(Errno::ESRCH) => return Err(Refusal::Thread(Failure::Gone)),
            Err(Errno::EPERM) => {}
            Err(other) => return Err(trace_failed(other)),
        }
        if threads::has_exited(pid, tid) || !threads::is_thread_of(pid, tid) {
            return Err(Refusal::Thread(Failure::Gone));
        }
        let tracer = threads::tracer(pid, tid);
        unexplained = if tracer == 0 { unexplained + 1 } else { 0 };
        if Instant::now() >= deadline {
            match tracer {
                0 if unexplained >= BELIEVED => {
                    return Err(Refusal::Process(Failure::NotPermitted));
                }
                // It may have let go only after the refusal.
                0 => {}
                // A tracer of ours that is just ending.
                tracer if threads::is_thread_of(own_pid(), tracer) => return Err(Refusal::Later),
                tracer => return Err(Refusal::Process(Failure::Traced { tracer })),
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Brings a seized thread to a stop with all signals that it was about to receive delivered.
///
/// A thread that does not stop in time stays seized until the tracer ends, which lets it go.
fn stop(waiter: &Waiter, tid: i32, deadline: Instant) -> Result<(), Refusal> {
    ptrace::interrupt(tid).map_err(trace_failed)?;
    loop {
        match waiter.wait(tid, deadline) {
            Some(Report::Trap) => return Ok(()),
            Some(Report::Dead) => return Err(Refusal::Thread(Failure::Gone)),
            Some(Report::Signal(signal)) => ptrace::resume(tid, signal).map_err(trace_failed)?,
            Some(Report::Syscall) => ptrace::resume(tid, 0).map_err(trace_failed)?,
            None => return Err(Refusal::Thread(Failure::NoStop)),
        }
    }
}

fn own_pid() -> i32 {
    std::process::id().cast_signed()
}
