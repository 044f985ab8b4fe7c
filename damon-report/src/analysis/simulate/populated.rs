//! How much of the memory that may be put away has pages at all.
//!
//! A recording tells which addresses could be accessed and how much was resident, and not where. What was seen
//! accessed has pages. Of the rest, which was never seen accessed, the same share is taken everywhere: what is resident
//! beyond the memory seen accessed, over what is accessible beyond it.

use super::plan::Plan;
use crate::analysis::num::float;
use crate::analysis::spans::SpanSet;
use damon_format::{Region, TargetId};
use std::ops::Range;

/// The accessible memory of a target that was seen accessed.
#[derive(Clone, Debug, Default)]
pub(super) struct Used {
    spans: SpanSet,
    bytes: u64,
}

impl Used {
    /// Learns from the regions of a moment.
    pub(super) fn learn(&mut self, regions: &[Region], accessible: &SpanSet) {
        let accessed = regions.iter().filter(|region| region.nr_accesses > 0);
        let mut more = false;
        // The span that covered the last one: regions ascend, and most of them lie in a few spans.
        let mut known = 0..0;
        for range in accessed.map(|region| region.start..region.end) {
            if known.start <= range.start && range.end <= known.end {
                continue;
            }
            if self.spans.covers(&range) {
                let behind = self.spans.within(&(range.start..u64::MAX)).next();
                known = behind.unwrap_or(range);
            } else {
                self.spans.insert(range);
                more = true;
            }
        }
        if more {
            self.bytes = self.spans.intersection(accessible).bytes();
        }
    }

    /// Hands over the parts of a range with the share of them that has pages.
    pub(super) fn split(
        &self,
        range: &Range<u64>,
        rest: f64,
        give: &mut impl FnMut(Range<u64>, f64),
    ) {
        let mut at = range.start;
        for used in self.spans.within(range) {
            if at < used.start {
                give(at..used.start, rest);
            }
            at = used.end;
            give(used, 1.0);
        }
        if at < range.end {
            give(at..range.end, rest);
        }
    }
}

/// The share of the memory never seen accessed that has pages; all of it where that cannot be told. `targets` are
/// those that live.
pub(super) fn share<'u>(
    plan: &Plan<'_>,
    targets: impl Iterator<Item = (&'u TargetId, &'u Used)>,
    resident: Option<f64>,
) -> f64 {
    let Some(resident) = resident else { return 1.0 };
    let (mut used, mut all) = (0_u64, 0_u64);
    for (target, of) in targets {
        used = used.saturating_add(of.bytes);
        all = all.saturating_add(plan.mapped_bytes.get(target).copied().unwrap_or(0));
    }
    let rest = float(all.saturating_sub(used));
    if rest > 0.0 { ((resident - float(used)) / rest).clamp(0.0, 1.0) } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_accessible_memory_counts_and_each_byte_once() {
        let mut accessible = SpanSet::default();
        accessible.insert(10..100);
        let region = |start, end, nr_accesses| Region { start, end, nr_accesses, age: 0 };
        let mut used = Used::default();
        used.learn(&[region(0, 20, 1), region(20, 40, 0), region(40, 50, 3)], &accessible);
        used.learn(&[region(5, 15, 1), region(45, 50, 1)], &accessible);
        assert_eq!(used.bytes, 20);
        let mut parts = Vec::new();
        used.split(&(10..60), 0.25, &mut |part, share| parts.push((part, share)));
        assert_eq!(parts, [(10..20, 1.0), (20..40, 0.25), (40..50, 1.0), (50..60, 0.25)]);
    }
}
