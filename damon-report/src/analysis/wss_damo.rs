//! Working sets as `damo report wss` computes them, for comparisons with it.
//!
//! It differs from [`wss`](super::wss) in this: snapshots weigh the same however long they lasted; the first of each target are left
//! out; percentiles are single snapshots; and of several targets the *sorted* lists are added up, which is the sum of
//! their percentiles and not the percentiles of their sum. With a work time, snapshots are put together first.
//! How that goes depends on what came first, so it is done in the order of the file, in one thread.

use super::load::Trace;
use super::num::float;
use super::select::Selection;
use super::view::View;
use damon_format::{Damage, SnapshotView, TargetId, Visitor};
use serde::Serialize;
use std::collections::BTreeMap;

/// What damo's options say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DamoOptions {
    /// `nr_accesses` from which on a region counts.
    pub threshold: u32,
    /// So many snapshots of each target are left out.
    pub skip: u64,
    /// Snapshots are put together until they span so much time, microseconds.
    pub work_time_us: u64,
    /// Whether lists are sorted by size, and not by time.
    pub sorted: bool,
    /// Whether targets are not added up.
    pub per_target: bool,
}

/// Working sets of one target, or of all.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DamoWss {
    /// Whose; 0 for all together.
    pub target: TargetId,
    /// Bytes, one a window.
    pub sizes: Vec<u64>,
    /// Their mean.
    pub mean: f64,
}

impl DamoWss {
    /// The value of which damo says that it is that percentile.
    pub fn percentile(&self, percent: u32) -> Option<u64> {
        let count = u64::try_from(self.sizes.len()).ok()?;
        let index = truncated(f64::from(percent) / 100.0 * float(count));
        self.sizes.get(index.min(self.sizes.len().checked_sub(1)?)).copied()
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "truncation is what is wanted"
)]
fn truncated(value: f64) -> usize {
    value as usize
}

impl View {
    /// Working sets as damo computes them.
    pub fn damo_wss(&self, trace: &Trace, options: DamoOptions) -> Vec<DamoWss> {
        let mut walk = Walk { selection: &self.selection, options, targets: BTreeMap::new() };
        for block in trace.blocks().iter().filter(|block| self.selection.overlaps(block)) {
            // Damage was named when the view was made; what comes before it counts.
            let _known: Result<(), Damage> = trace.visit_block(block, &mut walk);
        }
        let mut lists: Vec<(TargetId, Vec<u64>)> =
            walk.targets.into_iter().map(|(target, state)| (target, state.sizes)).collect();
        for (_, sizes) in lists.iter_mut().filter(|_| options.sorted) {
            sizes.sort_unstable();
        }
        if !options.per_target {
            let mut sum: Vec<u64> = Vec::new();
            for (_, sizes) in lists {
                sum.resize(sum.len().max(sizes.len()), 0);
                for (total, size) in sum.iter_mut().zip(sizes) {
                    *total = total.saturating_add(size);
                }
            }
            lists = vec![(TargetId(0), sum)];
        }
        let finished = lists.into_iter().map(|(target, sizes)| {
            let sum: f64 = sizes.iter().map(|size| float(*size)).sum();
            let count = float(u64::try_from(sizes.len()).unwrap_or(u64::MAX));
            DamoWss { target, mean: if sizes.is_empty() { 0.0 } else { sum / count }, sizes }
        });
        finished.collect()
    }
}

struct Walk<'a> {
    selection: &'a Selection,
    options: DamoOptions,
    targets: BTreeMap<TargetId, State>,
}

#[derive(Default)]
struct State {
    seen: u64,
    start_ns: u64,
    group: Group,
    sizes: Vec<u64>,
}

/// Snapshots that are put together.
#[derive(Debug, Default)]
struct Group {
    regions: Vec<Counted>,
    gains: Vec<u64>,
    snapshots: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counted {
    start: u64,
    end: u64,
    accesses: u64,
}

impl Group {
    fn add(&mut self, snapshot: impl Iterator<Item = Counted>) {
        self.snapshots += 1;
        if self.regions.is_empty() {
            // Regions of one snapshot do not overlap.
            self.regions.extend(snapshot);
            return;
        }
        self.gains.clear();
        self.gains.resize(self.regions.len(), 0);
        for region in snapshot {
            self.place(region);
        }
        for (region, gain) in self.regions.iter_mut().zip(&self.gains) {
            region.accesses = region.accesses.saturating_add(*gain);
        }
    }

    /// The first region that it overlaps gains; what is left of it on either side goes on, and becomes a region of its
    /// own if it overlaps none.
    fn place(&mut self, region: Counted) {
        let mut left = vec![region];
        while let Some(part) = left.pop() {
            let overlaps = |r: &Counted| r.start < part.end && part.start < r.end;
            let Some(index) = self.regions.iter().position(overlaps) else {
                self.regions.push(part);
                continue;
            };
            if let Some(gain) = self.gains.get_mut(index) {
                *gain = (*gain).max(part.accesses);
            }
            let Some(met) = self.regions.get(index).copied() else { continue };
            if met.end < part.end {
                left.push(Counted { start: met.end, ..part });
            }
            if part.start < met.start {
                left.push(Counted { end: met.start, ..part });
            }
        }
    }
}

impl Visitor for Walk<'_> {
    fn snapshot(&mut self, snapshot: &SnapshotView<'_>) {
        if !self.selection.has_snapshot(snapshot) {
            return;
        }
        let options = self.options;
        let state = self.targets.entry(snapshot.target).or_default();
        state.seen += 1;
        if state.seen <= options.skip {
            return;
        }
        if state.group.snapshots == 0 {
            state.start_ns = snapshot.start_ns;
        }
        let target = snapshot.target;
        let regions = snapshot.regions().flat_map(|region| {
            let pieces = self.selection.pieces(target, region.start, region.end);
            pieces.map(move |piece| Counted {
                start: piece.start,
                end: piece.end,
                accesses: u64::from(region.nr_accesses),
            })
        });
        state.group.add(regions);
        let spans_ns = snapshot.end_ns.saturating_sub(state.start_ns);
        if spans_ns >= options.work_time_us.saturating_mul(1000) {
            let counts = |r: &&Counted| r.accesses >= u64::from(options.threshold);
            let regions = state.group.regions.iter().filter(counts);
            state.sizes.push(regions.fold(0, |sum, r| sum.saturating_add(r.end - r.start)));
            state.group.regions.clear();
            state.group.snapshots = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(list: &[(u64, u64, u64)]) -> Vec<Counted> {
        list.iter().map(|&(start, end, accesses)| Counted { start, end, accesses }).collect()
    }

    #[test]
    fn the_first_that_covers_an_address_keeps_its_borders() {
        let mut group = Group::default();
        group.add(counted(&[(0, 10, 1), (20, 30, 0)]).into_iter());
        group.add(counted(&[(5, 25, 3), (25, 40, 2)]).into_iter());
        let expected = counted(&[(0, 10, 4), (20, 30, 3), (10, 20, 3), (30, 40, 2)]);
        assert_eq!(group.regions, expected);
    }

    #[test]
    fn percentiles_are_single_values() {
        let wss = DamoWss { target: TargetId(0), sizes: vec![1, 2, 3], mean: 2.0 };
        let found: Vec<_> = [0, 25, 50, 75, 100].map(|p| wss.percentile(p)).into();
        assert_eq!(found, [Some(1), Some(1), Some(2), Some(3), Some(3)]);
        assert_eq!(DamoWss { sizes: vec![], ..wss }.percentile(50), None);
    }
}
