//! Brings events of several CPUs into the order of time, with bounded memory.
//!
//! perf empties its buffers one after the other and then marks the end of the round. Whatever comes in the rounds
//! after the next mark is later than all that came before the last one (`tools/perf/util/ordered-events.c`).

use crate::import::tracepoints::Item;

/// Events that are held at most, about 100 bytes each.
const MOST: usize = 1 << 18;

/// A round of fewer events is taken together with the next.
const LEAST: usize = 1 << 10;

/// Holds what may come out of order.
#[derive(Debug, Default)]
pub(super) struct Order {
    items: Vec<Item>,
    is_sorted: bool,
    newest_ns: u64,
    /// Items that came since the last round that was not put off.
    fresh: usize,
    /// Nothing earlier than this can come.
    settled_ns: u64,
    handed_ns: u64,
    /// How many came too late to be put into order.
    pub(super) late: u64,
}

impl Order {
    /// Time of the newest item so far.
    pub(super) fn newest_ns(&self) -> u64 {
        self.newest_ns
    }

    /// Holds an item. `true`: it is time for [`Order::make_room`].
    #[inline]
    pub(super) fn push(&mut self, item: Item) -> bool {
        self.late += u64::from(item.time_ns < self.handed_ns);
        self.is_sorted =
            item.time_ns >= self.newest_ns && (self.is_sorted || self.items.is_empty());
        self.newest_ns = self.newest_ns.max(item.time_ns);
        self.items.push(item);
        self.fresh += 1;
        self.items.len() >= MOST
    }

    /// The end of a round: hands out what is settled. Short rounds are put off, so that sorting what is held is paid for by
    /// what has come.
    pub(super) fn round<E>(&mut self, each: impl FnMut(&Item) -> Result<(), E>) -> Result<(), E> {
        if self.fresh < LEAST.max(self.items.len() / 4) {
            return Ok(());
        }
        self.fresh = 0;
        let settled_ns = std::mem::replace(&mut self.settled_ns, self.newest_ns);
        self.sort();
        let count = self.items.partition_point(|item| item.time_ns <= settled_ns);
        self.hand_out(count, each)
    }

    /// Hands out the older half.
    pub(super) fn make_room<E>(
        &mut self,
        each: impl FnMut(&Item) -> Result<(), E>,
    ) -> Result<(), E> {
        self.sort();
        self.hand_out(self.items.len() / 2, each)
    }

    /// Hands out everything.
    pub(super) fn finish<E>(&mut self, each: impl FnMut(&Item) -> Result<(), E>) -> Result<(), E> {
        self.sort();
        self.hand_out(self.items.len(), each)
    }

    fn sort(&mut self) {
        if !self.is_sorted {
            self.items.sort_by_key(|item| item.time_ns);
            self.is_sorted = true;
        }
    }

    fn hand_out<E>(
        &mut self,
        count: usize,
        each: impl FnMut(&Item) -> Result<(), E>,
    ) -> Result<(), E> {
        let first = self.items.get(..count).unwrap_or(&[]);
        self.handed_ns = first.last().map_or(self.handed_ns, |last| last.time_ns);
        first.iter().try_for_each(each)?;
        self.items.drain(..count);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::tracepoints::What;
    use std::convert::Infallible;

    fn item(time_ns: u64) -> Item {
        Item { time_ns, at: 0, what: What::Lost(0) }
    }

    #[test]
    fn rounds_of_several_buffers_come_out_in_order() {
        let mut order = Order::default();
        let mut out = Vec::new();
        let mut each = |item: &Item| {
            out.push(item.time_ns);
            Ok::<(), Infallible>(())
        };
        // In each round two CPUs, one after another; a CPU may be late by up to a round.
        let mut most = 0;
        for round in 0..200_u64 {
            for cpu in 0..2 {
                for i in 0..300 {
                    order.push(item(round * 30_000 + i * 100 + cpu * 37));
                }
            }
            most = most.max(order.items.len());
            let Ok(()) = order.round(&mut each);
        }
        let Ok(()) = order.finish(&mut each);
        assert_eq!((out.len(), order.late), (120_000, 0));
        assert!(most < 5 * LEAST, "what is settled does not wait");
        assert!(out.is_sorted());
    }

    #[test]
    fn memory_is_bounded_and_what_is_late_is_counted() {
        let mut order = Order::default();
        let mut count = 0;
        let mut each = |_: &Item| {
            count += 1;
            Ok::<(), Infallible>(())
        };
        for time_ns in 0..3 * MOST as u64 {
            if order.push(item(time_ns)) {
                let Ok(()) = order.make_room(&mut each);
            }
        }
        assert!(order.items.capacity() <= 2 * MOST);
        order.push(item(5));
        let Ok(()) = order.finish(&mut each);
        assert_eq!((count, order.late), (3 * MOST + 1, 1));
    }
}
