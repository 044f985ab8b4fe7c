//! All regions of a moment in one line: the mean temperature of equal parts of the monitored memory.

use super::moment::CoveredMoment;
use super::num::{edge, float};
use super::regions::seen;
use super::select::Selection;
use super::temperature::Temperature;
use std::ops::Range;

/// One column of a strip.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum StripCell {
    /// Mean temperature of so many bytes, weighted by size; `None` where no temperature is known.
    Memory(Option<f64>),
    /// Here addresses are left out that are not monitored.
    Gap,
}

/// A strip of `columns` columns: monitored memory in order of target and address, with a column for each gap as long as
/// gaps take no more than a third of the strip; of more, the longest are marked. What lies between two marks has at least
/// one column, and more by its size.
pub fn strip(
    moment: &CoveredMoment,
    selection: &Selection,
    temperature: Temperature,
    columns: usize,
) -> Vec<StripCell> {
    let parts = parts(moment, selection, temperature);
    let total = parts.last().map_or(0, |part| part.to);
    if total == 0 || columns == 0 {
        return Vec::new();
    }
    let mut gaps: Vec<(u64, u64)> =
        parts.iter().filter(|p| p.gap > 0 && p.from > 0).map(|p| (p.gap, p.from)).collect();
    gaps.sort_unstable_by(|a, b| b.cmp(a));
    gaps.truncate(columns / 3);
    let mut borders: Vec<u64> = gaps.into_iter().map(|(_, at)| at).chain([0, total]).collect();
    borders.sort_unstable();
    // Whatever lies between two marked gaps has a column; the others are shared by size.
    let spare = (columns + 2).saturating_sub(2 * borders.len() - 1);
    let (mut cells, mut first) = (Vec::with_capacity(columns), 0);
    for pair in borders.windows(2) {
        let &[begin, end] = pair else { continue };
        if begin > 0 {
            cells.push(StripCell::Gap);
        }
        let width = 1 + (share(end, total, spare) - share(begin, total, spare));
        for column in 0..width {
            let (from, to) = (edge(begin, end, column, width), edge(begin, end, column + 1, width));
            cells.push(StripCell::Memory(mean(&parts, &mut first, &(from..to))));
        }
    }
    cells
}

/// `at` of `total` on a scale of `columns`, the nearest.
fn share(at: u64, total: u64, columns: usize) -> usize {
    let (at, total) = (u128::from(at), u128::from(total.max(1)));
    let scaled = (at * (columns as u128) + total / 2) / total;
    usize::try_from(scaled).unwrap_or(columns).min(columns)
}

/// Mean temperature of a range of bytes that does not begin before the one asked for last; `first` keeps the place.
fn mean(parts: &[Part], first: &mut usize, range: &Range<u64>) -> Option<f64> {
    while parts.get(*first).is_some_and(|part| part.to <= range.start) {
        *first += 1;
    }
    let (mut sum, mut known) = (0.0, 0.0);
    for part in parts.iter().skip(*first).take_while(|part| part.from < range.end) {
        let bytes = float(part.to.min(range.end).saturating_sub(part.from.max(range.start)));
        if let Some(value) = part.temperature {
            sum += value * bytes;
            known += bytes;
        }
    }
    (known > 0.0).then(|| sum / known)
}

/// A region laid behind the others.
struct Part {
    from: u64,
    to: u64,
    /// Bytes that are not monitored, or not selected, before it; of the first one of a further target, the most.
    gap: u64,
    temperature: Option<f64>,
}

fn parts(moment: &CoveredMoment, selection: &Selection, temperature: Temperature) -> Vec<Part> {
    let (mut parts, mut at) = (Vec::new(), 0_u64);
    for snapshot in &moment.snapshots {
        let mut end = None;
        for region in seen(snapshot) {
            for piece in selection.pieces(snapshot.target, region.start, region.end) {
                let to = at.saturating_add(piece.end - piece.start);
                let gap = end.map_or(u64::MAX, |end: u64| piece.start.saturating_sub(end));
                parts.push(Part { from: at, to, gap, temperature: temperature.of(&region) });
                (at, end) = (to, Some(piece.end));
            }
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use damon_format::{Region, Sampling, Snapshot, TargetId};

    fn snapshot(target: u32, list: &[(u64, u64, u32)]) -> Snapshot {
        let regions = list
            .iter()
            .map(|&(start, end, nr_accesses)| Region { start, end, nr_accesses, age: 0 })
            .collect();
        let sampling = Sampling { sample_us: 50, aggr_us: 1000, max_nr_accesses: 20 };
        Snapshot::new(TargetId(target), 0, 1_000_000, sampling, regions)
    }

    fn shown(snapshots: Vec<Snapshot>, columns: usize) -> String {
        let moment = CoveredMoment { time_ns: 0, snapshots };
        let cells = strip(&moment, &Selection::everything(), Temperature::UseTime, columns);
        let word = |cell: &StripCell| match cell {
            StripCell::Gap => "~".to_owned(),
            StripCell::Memory(None) => "?".to_owned(),
            StripCell::Memory(Some(ns)) => format!("{} ", ns / 1e5),
        };
        cells.iter().map(word).collect()
    }

    #[test]
    fn columns_are_equal_parts_and_gaps_are_marked() {
        let list = [(0, 100, 20), (100, 200, 0), (5000, 5200, 10)];
        assert_eq!(shown(vec![snapshot(0, &list)], 5), "10 -10 ~5 5 ");
        // Without room for gaps; the columns are means.
        assert_eq!(shown(vec![snapshot(0, &list)], 2), "0 5 ");
        assert_eq!(shown(vec![snapshot(0, &list[..1]), snapshot(1, &list[..1])], 3), "10 ~10 ");
        // A page behind a gap is not lost beside a lot of memory.
        let tiny = [(0, 1 << 40, 0), (1 << 41, (1 << 41) + 4096, 20)];
        assert_eq!(shown(vec![snapshot(0, &tiny)], 6), "-10 -10 -10 -10 ~10 ");
    }

    #[test]
    fn unknown_ages_have_no_temperature() {
        let mut unknown = snapshot(0, &[(0, 100, 20)]);
        unknown.has_ages = false;
        assert_eq!(shown(vec![unknown], 2), "??");
        assert_eq!(shown(vec![snapshot(0, &[])], 5), "");
        assert_eq!(shown(vec![snapshot(0, &[(0, u64::MAX, 0), (0, u64::MAX, 0)])], 1), "-10 ");
    }
}
