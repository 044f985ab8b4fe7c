//! Who decides that an injection has taken too long, and that it is safe to give up.
//!
//! A tracer can be held up inside the kernel: seizing waits while the target executes a program. Ending
//! the process lets every seized thread go, but must not happen while one has registers that are not its
//! own.

use std::sync::atomic::{AtomicU8, Ordering};

const OPEN: u8 = 0;
const BORROWED: u8 = 1;
const CLOSED: u8 = 2;

/// Between the one who borrows threads and the one who watches the time.
#[derive(Debug, Default)]
pub(super) struct Gate(AtomicU8);

impl Gate {
    /// Begins to change a thread; false when it is too late for that.
    pub(super) fn enter(&self) -> bool {
        self.pass(OPEN, BORROWED)
    }

    /// The thread is restored, or dead.
    pub(super) fn leave(&self) {
        self.pass(BORROWED, OPEN);
    }

    /// Forbids further changes; false while a thread is changed.
    pub(super) fn close(&self) -> bool {
        self.pass(OPEN, CLOSED)
    }

    fn pass(&self, from: u8, to: u8) -> bool {
        self.0.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn giving_up_and_changing_exclude_each_other() {
        let gate = Gate::default();
        assert!(gate.enter());
        assert!(!gate.close(), "a thread is changed");
        gate.leave();
        assert!(gate.close());
        assert!(!gate.enter(), "given up");
        gate.leave();
        assert!(!gate.enter(), "for good");
    }
}
