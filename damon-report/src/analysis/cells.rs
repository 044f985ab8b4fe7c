//! Cells of a heatmap, and what is read off all of them together.

use super::heat::Heatmap;
use super::num::{float, round};
use rayon::prelude::*;
use serde::{Serialize, Serializer};
use std::ops::Range;
use std::sync::Arc;

/// One cell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Cell {
    /// Σ(rate · bytes · time) over what was monitored inside the cell, in byte·nanoseconds.
    pub heat: f64,
    /// Σ(bytes · time) that was monitored inside the cell, in byte·nanoseconds; 0 = not monitored.
    pub monitored: f64,
    /// Highest access rate of a region that was monitored inside the cell, however small its part of it.
    pub max_rate: f64,
}

/// What stands for a cell in which rates differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pool {
    /// The mean over bytes and time: heat is conserved at every zoom.
    #[default]
    Mean,
    /// The highest: a hot island survives in a cell of cold memory, heat looks like more than it is.
    Max,
}

impl Cell {
    /// Mean access rate of the monitored part; `None` where nothing was monitored.
    pub fn rate(&self) -> Option<f64> {
        (self.monitored > 0.0).then(|| self.heat / self.monitored)
    }

    /// The rate that stands for the cell; `None` where nothing was monitored.
    pub fn pooled(&self, pool: Pool) -> Option<f64> {
        match pool {
            Pool::Mean => self.rate(),
            Pool::Max => (self.monitored > 0.0).then_some(self.max_rate),
        }
    }

    /// Adds what another part of the same addresses and time holds.
    pub fn add(&mut self, other: &Self) {
        self.heat += other.heat;
        self.monitored += other.monitored;
        self.max_rate = self.max_rate.max(other.max_rate);
    }
}

/// The cells of a band: rows × columns, row 0 at the lowest address.
///
/// They stay where they were summed up, column by column, and the bands of a map share its columns: there are hundreds of
/// thousands, and to put them into new memory would cost as much as to compute them.
#[derive(Clone, Debug, Default)]
pub struct Cells {
    columns: Arc<[Option<Column>]>,
    /// The band's first row in each column.
    first: usize,
    rows: usize,
}

/// The rows of all bands at one time.
pub(super) type Column = Box<[Cell]>;

impl Cells {
    /// Rows of columns that other bands share; a column without data has no memory.
    pub(super) fn shared(columns: &Arc<[Option<Column>]>, first: usize, rows: usize) -> Self {
        Self { columns: Arc::clone(columns), first, rows }
    }

    /// Of cells row by row, in rows of so many.
    pub fn by_rows(columns: usize, cells: &[Cell]) -> Self {
        let columns = columns.max(1);
        let column = |at| cells.iter().skip(at).step_by(columns).copied().collect();
        Self {
            columns: (0..columns).map(|at| Some(column(at))).collect(),
            first: 0,
            rows: cells.len().div_ceil(columns),
        }
    }

    /// Number of address rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of time columns.
    pub fn columns(&self) -> usize {
        self.columns.len()
    }

    /// One cell; nothing was monitored in one that is not there.
    pub fn get(&self, row: usize, column: usize) -> Cell {
        let column = self.columns.get(column).and_then(Option::as_deref).unwrap_or_default();
        let cell = column.get(self.first.saturating_add(row)).filter(|_| row < self.rows);
        cell.copied().unwrap_or_default()
    }

    /// Some rows of a column, as far as there are any.
    pub(crate) fn part(&self, rows: Range<usize>, column: usize) -> &[Cell] {
        let column = self.columns.get(column).and_then(Option::as_deref).unwrap_or_default();
        let at = |row: usize| self.first.saturating_add(row.min(self.rows)).min(column.len());
        column.get(at(rows.start)..at(rows.end)).unwrap_or_default()
    }

    /// A row in the order of time.
    pub fn row(&self, row: usize) -> impl Iterator<Item = Cell> {
        let at = if row < self.rows { self.first.saturating_add(row) } else { usize::MAX };
        self.columns.iter().map(move |column| {
            column.as_deref().and_then(|cells| cells.get(at)).copied().unwrap_or_default()
        })
    }

    /// All cells, row by row.
    pub fn iter(&self) -> impl Iterator<Item = Cell> {
        (0..self.rows).flat_map(|row| self.row(row))
    }
}

impl PartialEq for Cells {
    fn eq(&self, other: &Self) -> bool {
        let size = |cells: &Self| (cells.rows, cells.columns());
        size(self) == size(other) && self.iter().eq(other.iter())
    }
}

impl Serialize for Cells {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl Heatmap {
    /// All time of each address row put together, band by band.
    pub fn marginal(&self) -> Vec<Vec<Cell>> {
        // So many rows of a column lie beside each other in memory, which is read in advance as long as that goes on.
        const ROWS: usize = 256;
        let sums = |cells: &Cells, rows: Range<usize>| {
            let mut sums = vec![Cell::default(); rows.len()];
            for column in 0..cells.columns() {
                let part = cells.part(rows.clone(), column);
                sums.iter_mut().zip(part).for_each(|(sum, cell)| sum.add(cell));
            }
            sums
        };
        let all = |cells: &Cells| {
            let rows = |from: usize| from..from.saturating_add(ROWS).min(cells.rows());
            let parts = (0..cells.rows()).into_par_iter().step_by(ROWS);
            parts.flat_map_iter(|from| sums(cells, rows(from))).collect()
        };
        self.bands.iter().map(|band| all(&band.cells)).collect()
    }

    /// Ranks of rates among the cells that were accessed at all.
    pub fn ranks(&self, pool: Pool) -> Ranks {
        let cells = self.bands.iter().flat_map(|band| band.cells.iter());
        let rates = cells.filter_map(|cell| cell.pooled(pool));
        Ranks::new(rates.filter(|rate| *rate > 0.0 && rate.is_finite()).collect())
    }
}

/// The distribution of positive rates, to colour by rank.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ranks {
    /// Rates, ascending: the `i`-th is not exceeded by `i / (len - 1)` of them.
    quantiles: Vec<f64>,
}

impl Ranks {
    /// Parts a distribution is cut into; finer than any colour scale.
    const PARTS: usize = 500;

    fn new(mut rates: Vec<f64>) -> Self {
        rates.sort_unstable_by(f64::total_cmp);
        let Some(last) = rates.len().checked_sub(1) else {
            return Self::default();
        };
        let at = |part: usize| rates.get(last * part / Self::PARTS).copied().unwrap_or(0.0);
        Self { quantiles: (0..=Self::PARTS).map(at).collect() }
    }

    /// Share, 0..1, of the accessed cells whose rate is lower; never falls as the rate rises. Of a rate that many
    /// cells have, the middle of their shares.
    pub fn position(&self, rate: f64) -> f64 {
        let below = self.quantiles.partition_point(|q| *q < rate);
        let through = self.quantiles.partition_point(|q| *q <= rate);
        let last = self.quantiles.len().saturating_sub(1).max(1) as u64;
        let middle = (float(below as u64) + float(through as u64) - 1.0) / 2.0;
        (middle / float(last)).clamp(0.0, 1.0)
    }

    /// The rate that a share, 0..1, of the accessed cells do not exceed.
    pub fn rate(&self, share: f64) -> Option<f64> {
        let last = self.quantiles.len().checked_sub(1)?;
        let index = round(share.clamp(0.0, 1.0) * float(last as u64));
        self.quantiles.get(usize::try_from(index).ok()?).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ranks_rise_with_rates_and_spread_them_evenly(
            rates in prop::collection::vec(0.000_1_f64..1.0, 1..400),
            asked in prop::collection::vec(0.0_f64..1.1, 2..30),
        ) {
            let ranks = Ranks::new(rates.clone());
            let mut asked = asked;
            asked.extend(&rates);
            asked.sort_by(f64::total_cmp);
            let positions: Vec<f64> = asked.iter().map(|rate| ranks.position(*rate)).collect();
            prop_assert!(positions.is_sorted());
            prop_assert!(positions.iter().all(|p| (0.0..=1.0).contains(p)));
            // What ranks say agrees with counting.
            for rate in &rates {
                let below = float(rates.iter().filter(|r| *r < rate).count() as u64);
                let through = float(rates.iter().filter(|r| *r <= rate).count() as u64);
                let n = float(rates.len() as u64);
                let slack = 1.0 / n + 2.0 / 500.0;
                let found = ranks.position(*rate);
                prop_assert!(found >= below / n - slack && found <= through / n + slack);
            }
        }
    }

    #[test]
    fn one_rate_is_in_the_middle_and_none_has_no_rank() {
        let one = Ranks::new(vec![0.3; 7]);
        assert!((one.position(0.3) - 0.5).abs() < 1e-9);
        assert_eq!(one.rate(0.0), Some(0.3));
        let none = Ranks::new(Vec::new());
        assert_eq!((none.position(0.3), none.rate(0.5)), (0.0, None));
    }
}
