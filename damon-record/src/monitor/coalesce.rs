//! Runs of equal counts, and how many of them become few with the least loss.

use super::region::AddressRange;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Neighbouring bytes with what was counted for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// First byte.
    pub(super) start: u64,
    /// One past the last byte.
    pub(super) end: u64,
    /// Sum of the counts of all bytes: means are taken from exact sums, so that merging often loses no
    /// more than merging once.
    sum: u128,
    /// Whether a mapping begins at `start`.
    pub(super) begins_mapping: bool,
}

impl Run {
    /// A whole mapping for which nothing is counted yet.
    pub(super) fn mapping(range: AddressRange) -> Self {
        Self { start: range.start, end: range.end, sum: 0, begins_mapping: true }
    }

    fn size(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// The mean count per byte, rounded to nearest.
    pub(super) fn mean(&self) -> u32 {
        let size = u128::from(self.size());
        let mean = self.sum.saturating_add(size / 2).checked_div(size);
        mean.and_then(|mean| u32::try_from(mean).ok()).unwrap_or(u32::MAX)
    }

    /// This run with `count` more for each byte.
    pub(super) fn counted(mut self, count: u32) -> Self {
        let added = u128::from(self.size()) * u128::from(count);
        self.sum = self.sum.saturating_add(added);
        self
    }

    /// This run with the mean count of `other` for each byte in place of its own.
    pub(super) fn with_count_of(self, other: &Self) -> Self {
        Self { sum: other.share_of(self.size()), ..self }
    }

    /// Cuts off and returns the part in front of `address`; `None`, and nothing cut, unless `address`
    /// lies strictly inside.
    pub(super) fn cut_front(&mut self, address: u64) -> Option<Self> {
        if address <= self.start || address >= self.end {
            return None;
        }
        let mut front = *self;
        front.end = address;
        front.sum = self.share_of(front.size());
        self.start = address;
        self.sum -= front.sum;
        self.begins_mapping = false;
        Some(front)
    }

    /// The sum of `size` of this run's bytes, rounded down.
    fn share_of(&self, size: u64) -> u128 {
        let whole = u128::from(self.size());
        let (Some(mean), Some(rest)) = (self.sum.checked_div(whole), self.sum.checked_rem(whole))
        else {
            return 0;
        };
        let size = u128::from(size);
        mean * size + rest * size / whole
    }

    /// True when `self` and `right` count exactly the same per byte.
    pub(super) fn joins_exactly(&self, right: &Self) -> bool {
        self.end == right.start && self.share_of(right.size()) == right.sum && {
            right.share_of(self.size()) == self.sum
        }
    }

    /// Makes this run cover `right` too.
    pub(super) fn absorb(&mut self, right: &Self) {
        self.end = right.end;
        self.sum = self.sum.saturating_add(right.sum);
    }

    /// What merging the two loses: the growth of the squared error of the count, summed over their
    /// bytes (Ward's criterion). A sliver is cheap to lose, a long run is not.
    fn loss(&self, right: &Self) -> u128 {
        let (a, b) = (u128::from(self.size()), u128::from(right.size()));
        let difference = u128::from(self.mean().abs_diff(right.mean()));
        // Both factors are below 2^64: the harmonic one is at most the smaller size.
        let weight = (a * b).checked_div(a + b).unwrap_or(0);
        (difference * difference).saturating_mul(weight.max(1))
    }
}

/// Working memory of [`reduce`](Coalescer::reduce), allocated once.
#[derive(Debug, Default)]
pub(super) struct Coalescer {
    links: Vec<Link>,
    queue: BinaryHeap<Reverse<Candidate>>,
}

/// A run in the list of those still there.
#[derive(Clone, Copy, Debug)]
struct Link {
    previous: usize,
    next: usize,
    /// Grows with every change, so that queued candidates of before are recognised.
    version: u32,
    alive: bool,
}

/// Merging `left` with its right neighbour; ordered by loss, then by address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    loss: u128,
    left: usize,
    left_version: u32,
    right_version: u32,
}

impl Coalescer {
    /// Merges neighbours, those with the least loss first, until `target` runs are left or only
    /// borders remain that may not go: gaps never, borders of mappings only when `across` is set.
    pub(super) fn reduce(&mut self, runs: &mut Vec<Run>, target: usize, across: bool) {
        if runs.len() <= target {
            return;
        }
        let count = runs.len();
        self.links.clear();
        self.links.extend((0..count).map(|index| Link {
            previous: index.wrapping_sub(1),
            next: index + 1,
            version: 0,
            alive: true,
        }));
        self.queue.clear();
        for left in 0..count {
            self.offer(runs, left, across);
        }
        let mut excess = count.saturating_sub(target);
        while excess > 0 {
            let Some(Reverse(candidate)) = self.queue.pop() else {
                break;
            };
            if self.merge(runs, candidate, across) {
                excess -= 1;
            }
        }
        let mut links = self.links.iter();
        runs.retain(|_| links.next().is_none_or(|link| link.alive));
    }

    /// Queues the merge of `left` and its right neighbour, if it's allowed.
    fn offer(&mut self, runs: &[Run], left: usize, across: bool) {
        let Some(link) = self.links.get(left) else {
            return;
        };
        let (Some(a), Some(b), Some(right)) =
            (runs.get(left), runs.get(link.next), self.links.get(link.next))
        else {
            return;
        };
        if a.end == b.start && (across || !b.begins_mapping) {
            self.queue.push(Reverse(Candidate {
                loss: a.loss(b),
                left,
                left_version: link.version,
                right_version: right.version,
            }));
        }
    }

    /// Carries a candidate out; false when one of its runs has changed since it was queued.
    fn merge(&mut self, runs: &mut [Run], candidate: Candidate, across: bool) -> bool {
        let left = candidate.left;
        let Some(&link) = self.links.get(left) else {
            return false;
        };
        let right = link.next;
        let (Some(&right_link), Some(&right_run)) = (self.links.get(right), runs.get(right)) else {
            return false;
        };
        let current = link.alive
            && link.version == candidate.left_version
            && right_link.version == candidate.right_version;
        if !current {
            return false;
        }
        if let Some(run) = runs.get_mut(left) {
            run.absorb(&right_run);
        }
        if let Some(gone) = self.links.get_mut(right) {
            gone.alive = false;
        }
        if let Some(kept) = self.links.get_mut(left) {
            kept.next = right_link.next;
            kept.version += 1;
        }
        if let Some(after) = self.links.get_mut(right_link.next) {
            after.previous = left;
        }
        self.offer(runs, left, across);
        self.offer(runs, link.previous, across);
        true
    }
}
