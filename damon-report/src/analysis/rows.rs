//! The address rows of a band, and what a snapshot adds to them.

use super::cells::Cell;
use super::num::{edge, float};
use damon_format::SnapshotView;
use std::hint::select_unpredictable;
use std::ops::Range;

/// A region that was accessed: first byte, one past the last, how often.
pub(super) type Hot = (u64, u64, u32);

/// So many rows take a region's heat without a branch.
const AT_ONCE: usize = 4;

/// Where the rows of a band begin and end.
#[derive(Debug)]
pub(super) struct Rows {
    /// One more than there are rows.
    edges: Vec<u64>,
    /// Bytes of each row.
    sizes: Vec<f64>,
    /// Rows to a byte, in parts of 2⁶⁴.
    per_byte: u64,
}

impl Rows {
    /// Cuts a range into rows of the same size, to a byte.
    pub(super) fn new(range: &Range<u64>, rows: usize) -> Self {
        let edges: Vec<u64> = (0..=rows).map(|i| edge(range.start, range.end, i, rows)).collect();
        let size = |pair: &[u64]| match pair {
            [low, high] => float(high.saturating_sub(*low)),
            _ => 0.0,
        };
        let bytes = u128::from(range.end.saturating_sub(range.start));
        let per_byte = ((rows as u128) << 64) / bytes.max(1);
        Self {
            sizes: edges.windows(2).map(size).collect(),
            edges,
            per_byte: u64::try_from(per_byte).unwrap_or(u64::MAX),
        }
    }

    /// The row of an address inside the band.
    #[inline]
    fn of(&self, address: u64) -> usize {
        let offset = address.saturating_sub(self.edges.first().copied().unwrap_or(0));
        let guess = (u128::from(offset) * u128::from(self.per_byte)) >> 64;
        // Edges are rounded, and so is the guess.
        let mut row = usize::try_from(guess).unwrap_or(usize::MAX).min(self.sizes.len());
        while row > 0 && self.edges.get(row).is_none_or(|edge| *edge > address) {
            row -= 1;
        }
        while self.edges.get(row + 1).is_some_and(|edge| *edge <= address) {
            row += 1;
        }
        row
    }

    /// Adds a snapshot's regions, as far as they lie in one piece of the band, to the cells of one column, which begin with
    /// the band's: `scale` makes rates of counts, `time` is what the snapshot lasted in the column. `hot` is room for its
    /// regions.
    pub(super) fn add(
        &self,
        snapshot: &SnapshotView<'_>,
        (scale, time): (f64, f64),
        piece: &Range<u64>,
        cells: &mut [Cell],
        hot: &mut Vec<Hot>,
    ) {
        let Some(cells) = cells.get_mut(..self.sizes.len()) else { return };
        let first = snapshot.ends.partition_point(|end| *end <= piece.start);
        let last = snapshot.starts.partition_point(|start| *start < piece.end);
        let bounds = snapshot.starts.iter().zip(snapshot.ends);
        let regions = bounds.zip(snapshot.nr_accesses).take(last).skip(first);
        let within = |start: u64, end: u64| start.max(piece.start)..end.min(piece.end);
        // Most of memory is idle, but no processor foresees which region is: those that were accessed are listed without
        // asking, each in the place of the one before if that was not.
        let most = last.saturating_sub(first);
        hot.resize(hot.len().max(most), (0, 0, 0));
        let mut listed = 0;
        // Regions without a gap between them are monitored as one.
        let mut monitored = 0..0;
        for ((&start, &end), &accesses) in regions {
            if start == monitored.end {
                monitored.end = end;
            } else {
                self.monitor(&within(monitored.start, monitored.end), time, cells);
                monitored = start..end;
            }
            if let Some(place) = hot.get_mut(listed) {
                *place = (start, end, accesses);
            }
            listed += usize::from(accesses > 0);
        }
        self.monitor(&within(monitored.start, monitored.end), time, cells);
        for &(start, end, accesses) in hot.iter().take(listed) {
            self.heat(&within(start, end), f64::from(accesses) * scale, time, cells);
        }
    }

    fn monitor(&self, range: &Range<u64>, time: f64, cells: &mut [Cell]) {
        self.each(range, cells, |cell, bytes| cell.monitored += bytes * time);
    }

    /// In how many rows a region has bytes no processor foresees either: the first few are all added to, those without any of
    /// its bytes nothing.
    fn heat(&self, range: &Range<u64>, rate: f64, time: f64, cells: &mut [Cell]) {
        if range.is_empty() {
            return;
        }
        let first = self.of(range.start);
        let rows = cells.get_mut(first..).and_then(<[Cell]>::first_chunk_mut::<AT_ONCE>);
        let ends = self.edges.get(first + 1..).and_then(<[u64]>::first_chunk::<AT_ONCE>);
        let mut low = range.start;
        for (cell, end) in rows.into_iter().flatten().zip(ends.into_iter().flatten()) {
            let high = range.end.min(*end);
            let rate = select_unpredictable(high > low, rate, 0.0);
            cell.heat += rate * (float(high.saturating_sub(low)) * time);
            cell.max_rate = if rate > cell.max_rate { rate } else { cell.max_rate };
            low = high;
        }
        self.each(&(low..range.end), cells, |cell, bytes| {
            cell.heat += rate * (bytes * time);
            cell.max_rate = cell.max_rate.max(rate);
        });
    }

    /// Shows the cells that a range inside the band has bytes in, and how many.
    #[inline]
    fn each(&self, range: &Range<u64>, cells: &mut [Cell], mut show: impl FnMut(&mut Cell, f64)) {
        if range.is_empty() {
            return;
        }
        let (first, last) = (self.of(range.start), self.of(range.end - 1));
        let Some(cells) = cells.get_mut(first..=last) else { return };
        let [head, middle @ .., tail] = cells else {
            return cells.iter_mut().for_each(|cell| show(cell, float(range.end - range.start)));
        };
        let edge = |index: usize| self.edges.get(index).copied().unwrap_or(0);
        show(head, float(edge(first + 1).saturating_sub(range.start)));
        for (cell, size) in middle.iter_mut().zip(self.sizes.iter().skip(first + 1)) {
            show(cell, *size);
        }
        show(tail, float(range.end.saturating_sub(edge(last))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_address_is_in_its_row(
            start in prop_oneof![Just(0), Just(1 << 46), Just(u64::MAX - (1 << 40))],
            size in prop_oneof![1_u64..100, 1_u64..1 << 40],
            rows in 1_usize..300,
            thousandths in 0_u64..1000,
        ) {
            let end = start + size;
            let table = Rows::new(&(start..end), rows);
            let at = start + size * thousandths / 1000;
            for address in [start, at, end - 1] {
                let row = table.of(address);
                let bounds = edge(start, end, row, rows)..edge(start, end, row + 1, rows);
                prop_assert!(bounds.contains(&address), "{address} in {row}: {bounds:?}");
            }
        }

        #[test]
        fn a_range_has_all_its_bytes_in_its_rows(
            size in 1_u64..5000,
            rows in 1_usize..60,
            from in 0_u64..1000,
            length in 0_u64..=1000,
        ) {
            let table = Rows::new(&(7..7 + size), rows);
            let start = 7 + size * from / 1000;
            let end = start + (7 + size - start) * length / 1000;
            let mut cells = vec![Cell::default(); rows];
            table.monitor(&(start..end), 1.0, &mut cells);
            table.heat(&(start..end), 0.5, 1.0, &mut cells);
            for (row, cell) in cells.iter().enumerate() {
                let (low, high) = (edge(7, 7 + size, row, rows), edge(7, 7 + size, row + 1, rows));
                let bytes = high.min(end).saturating_sub(low.max(start));
                prop_assert!((cell.monitored - float(bytes)).abs() < 0.5, "row {row}: {bytes}");
                prop_assert!((cell.heat - 0.5 * cell.monitored).abs() < 0.25, "row {row}: {bytes}");
                if low < high {
                    let rate = if bytes > 0 { 0.5 } else { 0.0 };
                    prop_assert!(cell.max_rate.to_bits() == f64::to_bits(rate), "row {row}");
                }
            }
        }
    }
}
