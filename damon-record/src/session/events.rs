//! What can happen while the session sleeps: a signal, the end of a target, the passing of time.

use crate::exit::Failure;
use crate::host::monotonic_ns;
use damon_format::TargetId;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::time::TimeSpec;
use std::os::fd::{AsFd, BorrowedFd};

/// Signals that end a recording in good order.
const ENDING: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];

/// Asks to keep what is recorded. It stays blocked to the end: it never kills.
const KEEPING: Signal = Signal::SIGUSR1;

/// Token of the signal descriptor; targets have their id.
const SIGNALS: u64 = u64::MAX;

/// Why the session woke up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wake {
    /// The time has come.
    Deadline,
    /// A signal asks to end.
    Signal(Signal),
    /// What is recorded up to now is to be kept.
    Keep,
    /// A target has exited.
    Exited(TargetId),
}

/// From here on the signal that asks to keep what is recorded waits for ever. For recordings that nobody can
/// ask: it must not kill them.
pub(crate) fn ignore_keeping() {
    let keeping: SigSet = [KEEPING].into_iter().collect();
    let _cannot_fail_with_valid_mask = keeping.thread_block();
}

/// The sources of events.
#[derive(Debug)]
pub(super) struct Events {
    epoll: Epoll,
    signals: SignalFd,
    /// The mask before the session began, for the command that is started.
    inherited: SigSet,
}

impl Events {
    /// Blocks the signals that mean something to a recording and listens for them. One that comes while
    /// another of its kind is dealt with waits.
    pub(super) fn new() -> Result<Self, Failure> {
        Self::try_new().map_err(|errno| {
            Failure::CannotObserve(format!("cannot prepare to wait for signals: {errno}"))
        })
    }

    fn try_new() -> Result<Self, Errno> {
        let all: SigSet = ENDING.into_iter().chain([KEEPING]).collect();
        let inherited = SigSet::thread_get_mask()?;
        all.thread_block()?;
        let signals = SignalFd::with_flags(&all, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(&signals, EpollEvent::new(EpollFlags::EPOLLIN, SIGNALS))?;
        Ok(Self { epoll, signals, inherited })
    }

    /// The signal mask as it was.
    pub(super) fn inherited_mask(&self) -> SigSet {
        self.inherited
    }

    /// From here on an ending signal ends the process at once, as it did before.
    pub(super) fn let_signals_kill() {
        let ending: SigSet = ENDING.into_iter().collect();
        let _cannot_fail_with_valid_mask = ending.thread_unblock();
    }

    /// Reports the exit of `target`, whose pidfd this is.
    pub(super) fn watch(&self, target: TargetId, pidfd: BorrowedFd<'_>) -> Result<(), Errno> {
        let token = u64::from(target.0);
        self.epoll.add(pidfd, EpollEvent::new(EpollFlags::EPOLLIN, token))
    }

    /// Stops to report it.
    pub(super) fn forget(&self, pidfd: BorrowedFd<'_>) {
        let _was_not_there = self.epoll.delete(pidfd);
    }

    /// Sleeps until `deadline_ns` of the monotonic clock or the next event. An exit is reported again
    /// and again until it is forgotten.
    pub(super) fn wait_until(&mut self, deadline_ns: u64) -> Wake {
        loop {
            let now = monotonic_ns();
            let left = deadline_ns.saturating_sub(now);
            let mut fds = [PollFd::new(self.epoll.0.as_fd(), PollFlags::POLLIN)];
            let timeout = TimeSpec::new(
                i64::try_from(left / 1_000_000_000).unwrap_or(i64::MAX),
                i64::try_from(left % 1_000_000_000).unwrap_or(0),
            );
            match ppoll(&mut fds, Some(timeout), None) {
                Ok(0) | Err(_) if left == 0 => return Wake::Deadline,
                Ok(0) | Err(_) => continue,
                Ok(_) => {}
            }
            if let Some(wake) = self.take() {
                return wake;
            }
            if left == 0 {
                return Wake::Deadline;
            }
        }
    }

    fn take(&mut self) -> Option<Wake> {
        let mut ready = [EpollEvent::empty(); 1];
        if self.epoll.wait(&mut ready, 0_u8).ok()? == 0 {
            return None;
        }
        let [event] = ready;
        if event.data() != SIGNALS {
            return u32::try_from(event.data()).ok().map(|id| Wake::Exited(TargetId(id)));
        }
        let info = self.signals.read_signal().ok()??;
        let number = i32::try_from(info.ssi_signo).ok()?;
        match Signal::try_from(number).ok()? {
            KEEPING => Some(Wake::Keep),
            signal => Some(Wake::Signal(signal)),
        }
    }
}
