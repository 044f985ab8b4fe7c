//! When an access pattern was true.

use super::fold::Fold;
use super::load::Trace;
use super::num::float;
use super::pattern::Pattern;
use super::seen::seen;
use super::select::Selection;
use super::spans::SpanSet;
use super::view::View;
use damon_format::{SnapshotView, TargetId};
use serde::Serialize;
use std::collections::BTreeMap;
use std::ops::Range;

/// A stretch of time in which enough memory matched without interruption.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct TimeInterval {
    /// Begin, `CLOCK_MONOTONIC` nanoseconds.
    pub start_ns: u64,
    /// End; equal to the start of a snapshot that took no time.
    pub end_ns: u64,
    /// Fewest matching bytes in it.
    pub least: u64,
    /// Most matching bytes in it.
    pub most: u64,
}

/// When a pattern was true.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Times {
    /// The pattern.
    pub pattern: Pattern,
    /// So many bytes had to match, of all selected targets together.
    pub min_bytes: u64,
    /// Time that is covered by at least one snapshot of the selection, nanoseconds.
    pub observed_ns: u64,
    /// Of this, the time in which the pattern was true.
    pub matched_ns: u64,
    /// The one by the other, 0..1.
    pub share: f64,
    /// When it was true: ascending, joined where one ends as the next begins, and where less than a sampling interval lies
    /// between them in which nobody looked, as where the intervals were changed.
    pub intervals: Vec<TimeInterval>,
}

/// The times at which at least `min_bytes` (and at least one) of the selected memory are in regions that match. What a snapshot shows
/// holds from its start to its end.
pub fn times(trace: &Trace, view: &View, pattern: &Pattern, min_bytes: u64) -> Times {
    let new = || Matches {
        selection: &view.selection,
        pattern,
        open: BTreeMap::new(),
        closed: Vec::new(),
        observed: SpanSet::default(),
        sample_ns: u64::MAX,
    };
    let mut found = trace.fold(&view.selection, new);
    found.closed.extend(std::mem::take(&mut found.open).into_values());
    let length =
        |set: &SpanSet| set.ranges().map(|r| r.end - r.start).fold(0_u64, u64::saturating_add);
    let intervals = add_up(&found.closed, min_bytes.max(1));
    let lasted = |i: &TimeInterval| i.end_ns.saturating_sub(i.start_ns);
    let matched_ns = intervals.iter().map(lasted).fold(0_u64, u64::saturating_add);
    let observed_ns = length(&found.observed);
    Times {
        pattern: *pattern,
        min_bytes,
        observed_ns,
        matched_ns,
        share: if observed_ns > 0 { float(matched_ns) / float(observed_ns) } else { 0.0 },
        intervals: bridged(intervals, &found.observed, found.sample_ns),
    }
}

/// Bytes of one target that match for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stretch {
    time: Range<u64>,
    bytes: u64,
}

struct Matches<'a> {
    selection: &'a Selection,
    pattern: &'a Pattern,
    /// The latest stretch of each target.
    open: BTreeMap<TargetId, Stretch>,
    closed: Vec<Stretch>,
    observed: SpanSet,
    /// The shortest sampling interval of the snapshots, nanoseconds.
    sample_ns: u64,
}

impl Matches<'_> {
    /// Adds what follows, joined to what it continues.
    fn push(&mut self, target: TargetId, stretch: Stretch) {
        match self.open.get_mut(&target) {
            Some(last) if last.time.end == stretch.time.start && last.bytes == stretch.bytes => {
                last.time.end = stretch.time.end;
            }
            Some(last) => self.closed.push(std::mem::replace(last, stretch)),
            None => drop(self.open.insert(target, stretch)),
        }
    }
}

impl Fold for Matches<'_> {
    fn snapshot(&mut self, snapshot: &SnapshotView<'_>) {
        if !self.selection.has_snapshot(snapshot) {
            return;
        }
        let time = self.selection.time_of(snapshot);
        self.observed.insert(time.clone());
        self.sample_ns = self.sample_ns.min(snapshot.sampling.sample_us.saturating_mul(1000));
        let matching = seen(snapshot).filter(|region| self.pattern.matches(region));
        let bytes = matching
            .flat_map(|r| self.selection.pieces(snapshot.target, r.start, r.end))
            .fold(0_u64, |sum, piece| sum.saturating_add(piece.end - piece.start));
        if bytes > 0 {
            self.push(snapshot.target, Stretch { time, bytes });
        }
    }

    fn merge(&mut self, later: Self) {
        self.observed.extend(&later.observed);
        self.sample_ns = self.sample_ns.min(later.sample_ns);
        // What is closed in the later part is not the last of its target, but may continue the last of this part.
        self.closed.extend(later.closed);
        for (target, stretch) in later.open {
            self.push(target, stretch);
        }
    }
}

/// Sums stretches of all targets, and keeps the time in which there is enough.
fn add_up(stretches: &[Stretch], enough: u64) -> Vec<TimeInterval> {
    // At one time what ends comes before what begins, so that neighbours do not overlap.
    let mut changes: Vec<(u64, bool, u64)> = Vec::new();
    for stretch in stretches.iter().filter(|s| !s.time.is_empty()) {
        changes.push((stretch.time.end, false, stretch.bytes));
        changes.push((stretch.time.start, true, stretch.bytes));
    }
    changes.sort_unstable();
    let mut intervals: Vec<TimeInterval> = Vec::new();
    let mut sum = 0_u128;
    let mut changes = changes.into_iter().peekable();
    while let Some((time, begins, bytes)) = changes.next() {
        let bytes = u128::from(bytes);
        sum = if begins { sum.saturating_add(bytes) } else { sum.saturating_sub(bytes) };
        let Some(next) = changes.peek().map(|next| next.0).filter(|next| *next > time) else {
            continue;
        };
        if sum >= u128::from(enough) {
            let sum = u64::try_from(sum).unwrap_or(u64::MAX);
            let found = TimeInterval { start_ns: time, end_ns: next, least: sum, most: sum };
            join(&mut intervals, found);
        }
    }
    let moments = stretches.iter().filter(|s| s.time.is_empty() && s.bytes >= enough);
    let mut moments: Vec<TimeInterval> = moments
        .map(|s| TimeInterval {
            start_ns: s.time.start,
            end_ns: s.time.start,
            least: s.bytes,
            most: s.bytes,
        })
        .filter(|m| !is_inside(&intervals, m.start_ns))
        .collect();
    if !moments.is_empty() {
        moments.sort_by_key(|moment| moment.start_ns);
        moments.dedup_by_key(|moment| moment.start_ns);
        intervals.append(&mut moments);
        intervals.sort_by_key(|interval| (interval.start_ns, interval.end_ns));
    }
    intervals
}

/// Whether one of the ascending intervals holds a moment.
fn is_inside(intervals: &[TimeInterval], time_ns: u64) -> bool {
    let after = intervals.partition_point(|i| i.start_ns <= time_ns);
    let before = after.checked_sub(1).and_then(|last| intervals.get(last));
    before.is_some_and(|i| time_ns <= i.end_ns)
}

fn join(intervals: &mut Vec<TimeInterval>, next: TimeInterval) {
    match intervals.last_mut() {
        Some(last) if last.end_ns == next.start_ns => last.extend(&next),
        _ => intervals.push(next),
    }
}

impl TimeInterval {
    fn extend(&mut self, next: &Self) {
        self.end_ns = next.end_ns;
        self.least = self.least.min(next.least);
        self.most = self.most.max(next.most);
    }
}

/// Joins neighbours less than `sample_ns` apart if nothing between them was `observed`: no look could have been taken there.
fn bridged(intervals: Vec<TimeInterval>, observed: &SpanSet, sample_ns: u64) -> Vec<TimeInterval> {
    let mut joined: Vec<TimeInterval> = Vec::with_capacity(intervals.len());
    for next in intervals {
        match joined.last_mut() {
            Some(last)
                if next.start_ns.saturating_sub(last.end_ns) < sample_ns
                    && observed.within(&(last.end_ns..next.start_ns)).next().is_none() =>
            {
                last.extend(&next);
            }
            _ => joined.push(next),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(list: &[(u64, u64, u64)], enough: u64) -> Vec<(u64, u64, u64, u64)> {
        let stretches: Vec<Stretch> =
            list.iter().map(|&(a, b, bytes)| Stretch { time: a..b, bytes }).collect();
        let intervals = add_up(&stretches, enough);
        intervals.iter().map(|i| (i.start_ns, i.end_ns, i.least, i.most)).collect()
    }

    #[test]
    fn neighbours_join_and_gaps_part() {
        assert_eq!(
            found(&[(10, 20, 5), (0, 10, 3), (21, 30, 5)], 1),
            [(0, 20, 3, 5), (21, 30, 5, 5)]
        );
        assert_eq!(found(&[(0, 10, 3), (10, 20, 5)], 4), [(10, 20, 5, 5)]);
        assert_eq!(found(&[], 1), []);
    }

    #[test]
    fn gaps_too_short_for_a_look_are_bridged_unless_somebody_looked() {
        let joined = |observed: &[Range<u64>]| {
            let mut set = SpanSet::default();
            for range in observed {
                set.insert(range.clone());
            }
            let intervals = add_up(
                &[(0, 10, 3), (14, 20, 5), (25, 30, 4)]
                    .map(|(a, b, bytes)| Stretch { time: a..b, bytes }),
                1,
            );
            let bridged = bridged(intervals, &set, 5);
            bridged.iter().map(|i| (i.start_ns, i.end_ns, i.least, i.most)).collect::<Vec<_>>()
        };
        assert_eq!(joined(&[0..10, 14..20, 25..30]), [(0, 20, 3, 5), (25, 30, 4, 4)]);
        assert_eq!(joined(&[0..10, 12..30]), [(0, 10, 3, 3), (14, 20, 5, 5), (25, 30, 4, 4)]);
    }

    #[test]
    fn targets_are_added_up_at_each_time() {
        // 3 alone, 8 together, 5 alone.
        let two = [(0, 10, 3), (4, 14, 5)];
        assert_eq!(found(&two, 1), [(0, 14, 3, 8)]);
        assert_eq!(found(&two, 5), [(4, 14, 5, 8)]);
        assert_eq!(found(&two, 8), [(4, 10, 8, 8)]);
        assert_eq!(found(&two, 9), []);
    }

    #[test]
    fn a_moment_counts_where_nothing_else_does() {
        assert_eq!(found(&[(5, 5, 9), (5, 5, 9)], 1), [(5, 5, 9, 9)]);
        assert_eq!(
            found(&[(0, 10, 2), (5, 5, 9), (20, 20, 9)], 1),
            [(0, 10, 2, 2), (20, 20, 9, 9)]
        );
        assert_eq!(found(&[(0, 9, u64::MAX), (0, 9, u64::MAX)], 1).len(), 1);
    }
}
