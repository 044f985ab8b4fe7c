//! The heat of one recording by mapping, place in the mapping and time.

use crate::analysis::fold::Fold;
use crate::analysis::groups::{MappingId, MemoryKind};
use crate::analysis::layout::{Cursor, Layouts, Slot, split_placed};
use crate::analysis::num::{edge, float};
use crate::analysis::select::Selection;
use crate::analysis::spans::SpanSet;
use damon_format::SnapshotView;
use std::collections::BTreeSet;
use std::ops::Range;

/// Columns of all phases together.
pub const COLUMNS: usize = 256;
/// A mapping is cut into so many rows at most.
const ROWS: u64 = 64;
/// All mappings of a recording are cut into about so many rows, and into one each.
const ALL_ROWS: u64 = 512;
/// So many mappings are looked at, the largest; what is small moves little, and rows cost memory.
const GROUPS: usize = 512;
/// No row is smaller.
const LEAST: u64 = 4096;

/// The time of a phase, and its columns.
pub(super) type Span = (Range<u64>, Range<usize>);

/// Rate × bytes and bytes of a cell, each × its share of the column's time.
pub(super) type Sums = [f64; 2];

/// How one group of a run is cut.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cut {
    /// Place of its first row among those of all groups.
    pub(super) first: usize,
    pub(super) rows: usize,
    /// Bytes of a row, a power of two.
    pub(super) chunk: u64,
    /// Most bytes at once.
    pub(super) extent: u64,
    /// Rows begin at the upper end.
    pub(super) from_top: bool,
}

/// Of all groups of a recording.
pub(super) fn cuts(layouts: &Layouts) -> Vec<Cut> {
    let extents = layouts.extents();
    let all = extents.iter().fold(0_u64, |sum, extent| sum.saturating_add(*extent));
    let least = power_of_two(all / ALL_ROWS).max(LEAST);
    let mut largest: Vec<(u64, usize)> = extents.iter().copied().zip(0..).collect();
    largest.sort_unstable_by(|a, b| b.cmp(a));
    let largest: BTreeSet<usize> = largest.into_iter().take(GROUPS).map(|(_, i)| i).collect();
    let mut first = 0_usize;
    let of = |(index, (id, extent)): (usize, (&MappingId, &u64))| {
        let chunk = power_of_two(extent.div_ceil(ROWS)).max(least);
        let rows = if largest.contains(&index) { extent.div_ceil(chunk) } else { 0 };
        let rows = usize::try_from(rows).unwrap_or(usize::MAX);
        let from_top = matches!(id.kind, MemoryKind::Stack | MemoryKind::ThreadStack);
        let cut = Cut { first, rows, chunk, extent: *extent, from_top };
        first = first.saturating_add(rows);
        cut
    };
    layouts.groups().iter().zip(&extents).enumerate().map(of).collect()
}

fn power_of_two(value: u64) -> u64 {
    value.checked_next_power_of_two().unwrap_or(1 << 63)
}

/// Heat by mapping, place in it and time.
#[derive(Debug)]
pub(super) struct HeatSum<'a> {
    selection: &'a Selection,
    cursor: Cursor<'a>,
    cuts: &'a [Cut],
    phases: &'a [Span],
    /// [`COLUMNS`] a row.
    pub(super) cells: Vec<Sums>,
    /// Σ bytes × rate × share of the column, of all memory.
    heat: Vec<f64>,
    observed: SpanSet,
    /// Of the snapshot at hand: where each slot begins in its group, the size of the groups, and its share of columns.
    begins: Vec<u64>,
    sizes: Vec<u64>,
    shares: Vec<(usize, f64)>,
}

impl<'a> HeatSum<'a> {
    /// Nothing collected yet.
    pub(super) fn new(
        selection: &'a Selection,
        layouts: &'a Layouts,
        cuts: &'a [Cut],
        phases: &'a [Span],
    ) -> Self {
        let rows = cuts.last().map_or(0, |cut| cut.first.saturating_add(cut.rows));
        Self {
            selection,
            cursor: Cursor::new(layouts),
            cuts,
            phases,
            cells: vec![Sums::default(); rows.saturating_mul(COLUMNS)],
            heat: vec![0.0; COLUMNS],
            observed: SpanSet::default(),
            begins: Vec::new(),
            sizes: vec![0; cuts.len()],
            shares: Vec::new(),
        }
    }

    /// Each column and its time.
    fn columns(&self) -> impl Iterator<Item = (usize, Range<u64>)> + '_ {
        self.phases.iter().flat_map(|(time, columns)| {
            columns.clone().map(move |column| (column, column_time(time, columns, column)))
        })
    }

    /// Expected working set by column, bytes.
    pub(super) fn expected(&self) -> Vec<Option<f64>> {
        let mut list = vec![None; COLUMNS];
        for (column, time) in self.columns() {
            let observed: u64 = self.observed.within(&time).map(|span| span.end - span.start).sum();
            let share = float(observed) / float(time.end.saturating_sub(time.start).max(1));
            if let Some(place) = list.get_mut(column).filter(|_| share > 0.0) {
                *place = self.heat.get(column).map(|heat| heat / share);
            }
        }
        list
    }
}

/// The time of one column of a phase.
fn column_time(time: &Range<u64>, columns: &Range<usize>, column: usize) -> Range<u64> {
    let (at, parts) = (column.saturating_sub(columns.start), columns.len());
    edge(time.start, time.end, at, parts)..edge(time.start, time.end, at + 1, parts)
}

/// Which share of which columns a time takes.
fn shares(
    phases: &[Span],
    time: &Range<u64>,
    observed: &mut SpanSet,
    shares: &mut Vec<(usize, f64)>,
) {
    shares.clear();
    for (phase, columns) in phases {
        let inside = time.start.max(phase.start)..time.end.min(phase.end);
        if inside.start >= inside.end {
            continue;
        }
        observed.insert(inside.clone());
        let length = u128::from(phase.end - phase.start).max(1);
        let offset = u128::from(inside.start - phase.start) * (columns.len() as u128) / length;
        // Edges are rounded down: the column before may still hold the first moment.
        let first = usize::try_from(offset).unwrap_or(0).saturating_sub(1);
        for column in columns.clone().skip(first) {
            let Range { start, end } = column_time(phase, columns, column);
            if start >= inside.end {
                break;
            }
            let both = end.min(inside.end).saturating_sub(start.max(inside.start));
            if both > 0 {
                shares.push((column, float(both) / float(end - start)));
            }
        }
    }
}

impl Fold for HeatSum<'_> {
    fn snapshot(&mut self, snapshot: &SnapshotView<'_>) {
        if !self.selection.has_snapshot(snapshot) {
            return;
        }
        let selected = &self.selection.time;
        let time = snapshot.start_ns.max(selected.start)..snapshot.end_ns.min(selected.end);
        shares(self.phases, &time, &mut self.observed, &mut self.shares);
        if self.shares.is_empty() {
            return;
        }
        let slots = self.cursor.at(snapshot.target, snapshot.end_ns);
        place(slots, &mut self.begins, &mut self.sizes);
        let samples = f64::from(snapshot.sampling.max_nr_accesses.max(1));
        let bounds = snapshot.starts.iter().zip(snapshot.ends).enumerate();
        let pieces = bounds.flat_map(|(index, (&start, &end))| {
            let pieces = self.selection.pieces(snapshot.target, start, end);
            pieces.map(move |piece| (index, piece))
        });
        let (cells, heat) = (&mut self.cells, &mut self.heat);
        split_placed(slots, pieces, |index, piece, slot| {
            let accesses = snapshot.nr_accesses.get(index).copied().unwrap_or(0);
            let rate = f64::from(accesses) / samples;
            let bytes = float(piece.end - piece.start);
            for (column, share) in self.shares.iter().filter(|_| accesses > 0) {
                if let Some(sum) = heat.get_mut(*column) {
                    *sum += bytes * rate * share;
                }
            }
            let Some((begin, slot)) = slot.and_then(|s| self.begins.get(s).zip(slots.get(s)))
            else {
                return;
            };
            let group = usize::try_from(slot.group).unwrap_or(usize::MAX);
            let (Some(cut), Some(size)) = (self.cuts.get(group), self.sizes.get(group)) else {
                return;
            };
            let from = begin.saturating_add(piece.start.saturating_sub(slot.start));
            let to = from.saturating_add(piece.end - piece.start);
            let place = if cut.from_top {
                size.saturating_sub(to)..size.saturating_sub(from)
            } else {
                from..to
            };
            add(cells, cut, &place, rate, &self.shares);
        });
    }

    fn merge(&mut self, later: Self) {
        for ([heat, bytes], [more_heat, more_bytes]) in self.cells.iter_mut().zip(later.cells) {
            *heat += more_heat;
            *bytes += more_bytes;
        }
        for (heat, more) in self.heat.iter_mut().zip(later.heat) {
            *heat += more;
        }
        self.observed.extend(&later.observed);
    }
}

/// Where each slot begins among the bytes of its group, and how large groups are.
fn place(slots: &[Slot], begins: &mut Vec<u64>, sizes: &mut [u64]) {
    sizes.fill(0);
    begins.clear();
    for slot in slots {
        let group = usize::try_from(slot.group).ok().and_then(|group| sizes.get_mut(group));
        let Some(size) = group else {
            begins.push(0);
            continue;
        };
        begins.push(*size);
        *size = size.saturating_add(slot.end.saturating_sub(slot.start));
    }
}

/// Adds the bytes at some places of a group to its rows.
fn add(cells: &mut [Sums], cut: &Cut, place: &Range<u64>, rate: f64, shares: &[(usize, f64)]) {
    let mut at = place.start;
    while at < place.end {
        let row = at / cut.chunk.max(1);
        let Some(row) = usize::try_from(row).ok().filter(|row| *row < cut.rows) else { return };
        let next = (at / cut.chunk.max(1)).saturating_add(1).saturating_mul(cut.chunk.max(1));
        let until = next.min(place.end);
        let bytes = float(until - at);
        let begin = cut.first.saturating_add(row).saturating_mul(COLUMNS);
        for (column, share) in shares {
            if let Some([heat, monitored]) = cells.get_mut(begin + column) {
                *heat += bytes * rate * share;
                *monitored += bytes * share;
            }
        }
        at = until;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::groups::GroupBy;
    use crate::analysis::mapping_history::MappingHistory;
    use damon_format::{Mapping, MappingsChanged, Permissions, Record, TargetId};

    #[test]
    fn a_time_is_shared_out_whole() {
        let phases = [(100..1100, 0..100), (1100..1200, 100..COLUMNS)];
        let mut found = Vec::new();
        for time in [100..1200, 105..106, 1095..1105, 1199..1200] {
            let mut observed = SpanSet::default();
            shares(&phases, &time, &mut observed, &mut found);
            let of = |(column, share): &(usize, f64)| {
                let (phase, columns) = phases.iter().find(|p| p.1.contains(column)).unwrap();
                let time = column_time(phase, columns, *column);
                share * float(time.end - time.start)
            };
            let sum: f64 = found.iter().map(of).sum();
            assert!((sum - float(time.end - time.start)).abs() < 1e-6, "{time:?}: {sum}");
            assert_eq!(observed.bytes(), time.end - time.start);
        }
        shares(&phases, &(0..100), &mut SpanSet::default(), &mut found);
        assert!(found.is_empty());
    }

    #[test]
    fn bytes_go_to_their_rows() {
        let cut = Cut { first: 1, rows: 3, chunk: 4096, extent: 3 * 4096, from_top: false };
        let mut cells = vec![Sums::default(); 4 * COLUMNS];
        add(&mut cells, &cut, &(2048..3 * 4096 + 5), 0.5, &[(7, 0.25)]);
        let at = |row: usize| cells[row * COLUMNS + 7];
        assert_eq!(
            [at(0), at(1), at(2), at(3)],
            [[0.0, 0.0], [256.0, 512.0], [512.0, 1024.0], [512.0, 1024.0]]
        );
    }

    #[test]
    fn many_mappings_do_not_take_all_memory() {
        let mapping = |i: u64| Mapping {
            start: i << 16,
            end: (i << 16) + 4096 * (1 + i % 2),
            permissions: Permissions::default(),
            offset: 0,
            inode: 0,
            name: format!("/lib/{i}"),
        };
        let change = MappingsChanged {
            target: TargetId(0),
            time_ns: 0,
            removed: Vec::new(),
            added: (1..3000).map(mapping).collect(),
        };
        let history = MappingHistory::of(&[Record::MappingsChanged(change)]);
        let layouts = Layouts::new(&history, GroupBy::Mapping);
        let cuts = cuts(&layouts);
        assert_eq!(cuts.len(), 3000);
        let kept: Vec<&Cut> = cuts.iter().filter(|cut| cut.rows > 0).collect();
        assert_eq!(kept.len(), GROUPS);
        assert!(kept.iter().all(|cut| cut.extent == 8192), "the largest");
        let rows: usize = cuts.iter().map(|cut| cut.rows).sum();
        assert!(rows <= 2 * GROUPS, "{rows}");
    }
}
