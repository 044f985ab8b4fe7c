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
/// Of the FIFO that marks come through.
const MARKS: u64 = u64::MAX - 1;

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
    /// There are marks to be read.
    Marks,
    /// There is much to fetch.
    Fetch {
        /// Or there will be nothing more: one of the descriptors is hung up, and would say so for ever.
        hung_up: bool,
    },
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

    /// Reports what comes through the FIFO of marks, or stops to.
    pub(super) fn listen_to_marks(&self, fifo: BorrowedFd<'_>, listen: bool) {
        let _read_in_the_end = if listen {
            self.epoll.add(fifo, EpollEvent::new(EpollFlags::EPOLLIN, MARKS))
        } else {
            self.epoll.delete(fifo)
        };
    }

    /// Sleeps until `deadline_ns` of the monotonic clock or the next event. An exit is reported again
    /// and again until it is forgotten. `rings` are readable when they are to be fetched from.
    pub(super) fn wait_until(&mut self, deadline_ns: u64, rings: &[BorrowedFd<'_>]) -> Wake {
        // Rings of perf say it once only, so that nothing may ask them before this does, as an epoll set would.
        let all = std::iter::once(self.epoll.0.as_fd()).chain(rings.iter().copied());
        let mut fds: Vec<PollFd<'_>> = all.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        loop {
            let now = monotonic_ns();
            let left = deadline_ns.saturating_sub(now);
            let timeout = TimeSpec::new(
                i64::try_from(left / 1_000_000_000).unwrap_or(i64::MAX),
                i64::try_from(left % 1_000_000_000).unwrap_or(0),
            );
            match ppoll(&mut fds, Some(timeout), None) {
                Ok(0) | Err(_) if monotonic_ns() >= deadline_ns => return Wake::Deadline,
                Ok(0) | Err(_) => continue,
                Ok(_) => {}
            }
            if let Some(wake) = take(&self.epoll, &self.signals) {
                return wake;
            }
            let told: PollFlags = fds.iter().skip(1).filter_map(PollFd::revents).collect();
            if !told.is_empty() {
                return Wake::Fetch { hung_up: told != PollFlags::POLLIN };
            }
            if left == 0 {
                return Wake::Deadline;
            }
        }
    }
}

/// What has happened, if it was no ring.
fn take(epoll: &Epoll, signals: &SignalFd) -> Option<Wake> {
    let mut ready = [EpollEvent::empty(); 1];
    if epoll.wait(&mut ready, 0_u8).ok()? == 0 {
        return None;
    }
    let [event] = ready;
    match event.data() {
        SIGNALS => {}
        MARKS => return Some(Wake::Marks),
        id => return u32::try_from(id).ok().map(|id| Wake::Exited(TargetId(id))),
    }
    let info = signals.read_signal().ok()??;
    let number = i32::try_from(info.ssi_signo).ok()?;
    match Signal::try_from(number).ok()? {
        KEEPING => Some(Wake::Keep),
        signal => Some(Wake::Signal(signal)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_wake_and_tell_when_there_will_be_nothing_more() {
        let mut events = Events::new().unwrap();
        let (ring, writer) = nix::unistd::pipe().unwrap();
        let rings = [ring.as_fd()];
        assert_eq!(events.wait_until(monotonic_ns() + 1_000_000, &rings), Wake::Deadline);
        nix::unistd::write(&writer, b"much").unwrap();
        let far = monotonic_ns() + 3_600_000_000_000;
        assert_eq!(events.wait_until(far, &rings), Wake::Fetch { hung_up: false });
        drop(writer);
        assert_eq!(events.wait_until(far, &rings), Wake::Fetch { hung_up: true });
        assert_eq!(events.wait_until(monotonic_ns() + 1_000_000, &[]), Wake::Deadline);
    }

    #[test]
    fn a_time_that_has_passed_still_shows_what_has_happened() {
        let mut events = Events::new().unwrap();
        let (ring, writer) = nix::unistd::pipe().unwrap();
        nix::unistd::write(&writer, b"much").unwrap();
        assert_eq!(events.wait_until(0, &[ring.as_fd()]), Wake::Fetch { hung_up: false });
        assert_eq!(events.wait_until(0, &[]), Wake::Deadline);
    }
}
