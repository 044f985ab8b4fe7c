//! Events of several rings in the order of time.
//!
//! A thread that moves from one CPU to another leaves its events in two rings, which are read one after the other. What
//! may be handed over is bounded by a moment before the first ring was looked at: everything that a thread told until
//! then is in some ring, because it cannot have told the next thing before the last one was in its ring. What is
//! younger waits for the next round.

/// What came and when.
#[derive(Debug)]
struct Held<T> {
    time_ns: u64,
    what: T,
}

/// Holds events back until those before them are here.
#[derive(Debug)]
pub(crate) struct Order<T> {
    held: Vec<Held<T>>,
    handed_ns: u64,
    late: u64,
}

impl<T> Default for Order<T> {
    fn default() -> Self {
        Self { held: Vec::new(), handed_ns: 0, late: 0 }
    }
}

impl<T> Order<T> {
    /// Takes something that a ring has brought; of one ring in its order.
    pub(crate) fn push(&mut self, time_ns: u64, what: T) {
        self.held.push(Held { time_ns, what });
    }

    /// Hands over what is not younger than `until_ns`, in the order of time, and where that is equal, of pushing.
    pub(crate) fn release(&mut self, until_ns: u64, each: &mut dyn FnMut(T)) {
        // Stable, and made for runs that are sorted already.
        self.held.sort_by_key(|held| held.time_ns);
        let due = self.held.partition_point(|held| held.time_ns <= until_ns);
        for held in self.held.drain(..due) {
            if held.time_ns < self.handed_ns {
                self.late += 1;
            }
            self.handed_ns = self.handed_ns.max(held.time_ns);
            each(held.what);
        }
    }

    /// Events that were handed over after younger ones.
    pub(super) fn late(&self) -> u64 {
        self.late
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(order: &mut Order<u64>, until_ns: u64) -> Vec<u64> {
        let mut counts = Vec::new();
        order.release(until_ns, &mut |count| counts.push(count));
        counts
    }

    #[test]
    fn rings_are_merged_and_what_is_too_young_waits() {
        let mut order = Order::default();
        for (time, count) in [(1, 1), (4, 4), (7, 7), (2, 2), (4, 5), (9, 9)] {
            order.push(time, count);
        }
        assert_eq!(release(&mut order, 4), [1, 2, 4, 5]);
        order.push(6, 6);
        order.push(8, 8);
        assert_eq!(release(&mut order, 8), [6, 7, 8]);
        assert_eq!(order.late(), 0);
        order.push(3, 3);
        assert_eq!(release(&mut order, u64::MAX), [3, 9]);
        assert_eq!(order.late(), 1);
    }
}
