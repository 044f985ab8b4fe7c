//! How much may be kept of what a file claims to hold.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A limit for all who keep something of one recording together; clones share it.
///
/// They work at the same time, so who finds nothing left depends on chance. That somebody does, does not: whoever asks
/// [afterwards](Self::is_exceeded) decides for all.
#[derive(Clone, Debug)]
pub(crate) struct Room(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    left: AtomicU64,
    exceeded: AtomicBool,
}

impl Room {
    /// For so much, in whatever unit.
    pub(crate) fn new(most: u64) -> Self {
        let (left, exceeded) = (AtomicU64::new(most), AtomicBool::new(false));
        Self(Arc::new(Shared { left, exceeded }))
    }

    /// Takes some of it; `None` if there is not enough, from then on for everybody.
    pub(crate) fn take(&self, some: u64) -> Option<()> {
        let less = |left: u64| left.checked_sub(some);
        let taken = self.0.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        if taken.is_err() {
            self.0.exceeded.store(true, Ordering::Relaxed);
        }
        (!self.is_exceeded()).then_some(())
    }

    /// Whether somebody wanted more than there was.
    pub(crate) fn is_exceeded(&self) -> bool {
        self.0.exceeded.load(Ordering::Relaxed)
    }
}
