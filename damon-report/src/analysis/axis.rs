//! The address axis: monitored addresses in bands, large gaps between them left out.

use super::mappings;
use super::num::{float, round};
use super::overview::Overview;
use super::spans::SpanSet;
use damon_format::TargetId;
use serde::Serialize;
use std::ops::Range;

/// Gaps that are drawn may make up at most this part of the monitored bytes.
const DRAWN_GAPS: u64 = 10;

/// One contiguous part of one address space that is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BandSpan {
    /// Whose address space.
    pub target: TargetId,
    /// First and one past the last byte.
    pub range: Range<u64>,
}

/// What was monitored, by whether it was mapped at some time. DAMON's three regions of a process span
/// large holes between its mappings. Targets whose mappings were not recorded count as mapped.
pub fn split_holes(overview: &Overview, time: &Range<u64>) -> (Vec<BandSpan>, Vec<BandSpan>) {
    let (mut mapped, mut holes) = (Vec::new(), Vec::new());
    for extent in &overview.targets {
        let target = extent.target;
        let add = |to: &mut Vec<BandSpan>, set: &SpanSet| {
            to.extend(set.ranges().map(|range| BandSpan { target, range }));
        };
        match mappings::mapped(&overview.mappings, target, time) {
            Some(known) => {
                add(&mut mapped, &extent.spans.intersection(&known));
                add(&mut holes, &extent.spans.difference(&known));
            }
            None => add(&mut mapped, &extent.spans),
        }
    }
    (mapped, holes)
}

/// All that was monitored, mapped or not.
pub fn monitored(overview: &Overview) -> Vec<BandSpan> {
    let mut spans: Vec<BandSpan> = Vec::new();
    for extent in &overview.targets {
        spans.extend(extent.spans.ranges().map(|range| BandSpan { target: extent.target, range }));
    }
    spans
}

/// Joins spans (by target, ascending) into bands. Small gaps stay inside a band, where they show as not
/// monitored; together they are no more than a tenth of the spans' bytes, unless there would be more
/// than `most` bands: then the smallest gaps of all are kept inside as well.
pub fn bands(spans: Vec<BandSpan>, most: usize) -> Vec<BandSpan> {
    join(spans, most, u64::MAX)
}

/// Bytes of all spans.
pub fn bytes(spans: &[BandSpan]) -> u64 {
    spans.iter().fold(0, |sum, s| sum.saturating_add(s.range.end - s.range.start))
}

/// Like [`bands`], but keeps no more than `waste` bytes of gaps for the sake of `most`.
pub fn join(spans: Vec<BandSpan>, most: usize, waste: u64) -> Vec<BandSpan> {
    let monitored = bytes(&spans);
    let mut gaps: Vec<(u64, usize)> = spans
        .windows(2)
        .enumerate()
        .filter_map(|(i, pair)| match pair {
            [a, b] if a.target == b.target => Some((b.range.start - a.range.end, i + 1)),
            _ => None,
        })
        .collect();
    gaps.sort_unstable();
    let mut joined = vec![false; spans.len()];
    let mut count = spans.len();
    let mut drawn = 0_u64;
    for (gap, index) in gaps {
        drawn = drawn.saturating_add(gap);
        let free = drawn <= monitored / DRAWN_GAPS;
        if !free && (count <= most.max(1) || drawn > waste) {
            break;
        }
        if let Some(join) = joined.get_mut(index) {
            *join = true;
            count -= 1;
        }
    }
    let mut bands: Vec<BandSpan> = Vec::with_capacity(count);
    for (span, join) in spans.into_iter().zip(joined) {
        match bands.last_mut() {
            Some(last) if join => last.range.end = span.range.end,
            _ => bands.push(span),
        }
    }
    bands
}

/// Distributes `rows` over bands in proportion to their sizes, each at least `least` (1 or more). The
/// sum is `rows`, or more when there are not enough for all minima.
pub fn share_rows(bands: &[BandSpan], rows: usize, least: usize) -> Vec<usize> {
    let least = least.max(1).min((rows / bands.len().max(1)).max(1));
    let size = |b: &BandSpan| float(b.range.end - b.range.start);
    let total: f64 = bands.iter().map(size).sum();
    let spare = rows.saturating_sub(least * bands.len());
    let mut shares = vec![least; bands.len()];
    let mut passed = 0.0;
    let mut given = 0;
    for (share, band) in shares.iter_mut().zip(bands) {
        passed += size(band);
        let until = usize::try_from(round(passed / total * float(spare as u64))).unwrap_or(spare);
        *share += until.min(spare) - given;
        given = until.min(spare);
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::mapping_history::MappingHistory;
    use crate::analysis::overview::TargetExtent;
    use damon_format::{Mapping, MappingsChanged, Permissions, Record};

    fn spans(list: &[(u32, u64, u64)]) -> Vec<BandSpan> {
        let span = |&(target, start, end): &(u32, u64, u64)| BandSpan {
            target: TargetId(target),
            range: start..end,
        };
        list.iter().map(span).collect()
    }

    fn list(bands: &[BandSpan]) -> Vec<(u32, u64, u64)> {
        bands.iter().map(|b| (b.target.0, b.range.start, b.range.end)).collect()
    }

    #[test]
    fn small_gaps_stay_inside_large_ones_split() {
        let spans = spans(&[(0, 0, 100), (0, 105, 200), (0, 10_000, 10_100)]);
        assert_eq!(list(&bands(spans, 10)), [(0, 0, 200), (0, 10_000, 10_100)]);
    }

    #[test]
    fn targets_are_never_joined() {
        let spans = spans(&[(0, 0, 100), (1, 100, 200)]);
        assert_eq!(list(&bands(spans, 1)), [(0, 0, 100), (1, 100, 200)]);
    }

    #[test]
    fn the_limit_joins_the_smallest_gaps_first() {
        let spans = spans(&[(0, 0, 10), (0, 1000, 1010), (0, 9000, 9010), (0, 9500, 9510)]);
        assert_eq!(bands(spans.clone(), 4).len(), 4);
        assert_eq!(list(&bands(spans, 2)), [(0, 0, 1010), (0, 9000, 9510)]);
    }

    #[test]
    fn rows_are_proportional_above_a_minimum() {
        let bands = spans(&[(0, 0, 10), (0, 10_000, 10_900), (0, 90_000, 90_090)]);
        let rows = share_rows(&bands, 100, 3);
        assert_eq!(rows.iter().sum::<usize>(), 100);
        assert!(rows.iter().all(|r| *r >= 3));
        assert!(rows[1] > 80, "{rows:?}");
        assert_eq!(share_rows(&bands, 2, 3), [1, 1, 1]);
        assert!(share_rows(&[], 5, 1).is_empty());
    }

    fn set(ranges: &[(u64, u64)]) -> SpanSet {
        let mut set = SpanSet::default();
        for &(start, end) in ranges {
            set.insert(start..end);
        }
        set
    }

    fn mapped(start: u64, end: u64) -> Record {
        Record::MappingsChanged(MappingsChanged {
            target: TargetId(0),
            time_ns: 0,
            removed: Vec::new(),
            added: vec![Mapping {
                start,
                end,
                permissions: Permissions::default(),
                offset: 0,
                inode: 0,
                name: String::new(),
            }],
        })
    }

    #[test]
    fn holes_are_what_was_never_mapped() {
        let mut extent = TargetExtent::empty(TargetId(0));
        extent.spans = set(&[(0, 1000)]);
        let mut overview = Overview { targets: vec![extent], ..Overview::default() };
        let (shown, holes) = split_holes(&overview, &(0..9));
        assert_eq!((list(&shown), list(&holes)), (vec![(0, 0, 1000)], vec![]));
        overview.mappings = MappingHistory::of(&[mapped(0, 100), mapped(900, 1100)]);
        let (shown, holes) = split_holes(&overview, &(0..9));
        assert_eq!(list(&shown), [(0, 0, 100), (0, 900, 1000)]);
        assert_eq!(list(&holes), [(0, 100, 900)]);
        assert_eq!(list(&monitored(&overview)), [(0, 0, 1000)]);
    }
}
