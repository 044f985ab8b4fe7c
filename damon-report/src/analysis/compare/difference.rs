//! Where heat changed: both sides laid over each other mapping by mapping, cell by cell.
//!
//! Addresses differ from run to run. Rows are therefore places within a mapping: the so many-th byte of it, for a file that is
//! the order of its offsets; stacks are counted from their upper end. Columns are equal parts of the time of a recording,
//! or of a phase. Runs of one side are pooled: a cell's rate is Σ(rate · bytes · time) / Σ(bytes · time), time as a
//! share of the recording, so that a run that lasted longer counts no more than another.

use super::binned::{COLUMNS, Cut, HeatSum, Span, Sums, cuts};
use super::matching::Matching;
use super::phases::{Align, Phase, phases};
use super::{CompareError, Options, Recording};
use crate::analysis::groups::MappingId;
use crate::analysis::layout::{Layouts, UNKNOWN};
use crate::analysis::num::{float, float_of, round};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::ops::Range;

/// What holds less than this share of all bytes and of all that changed is not worth a band.
const NOTABLE: f64 = 0.01;

/// The access rate of a cell on both sides; none where nothing was monitored.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pair {
    /// Of the base, 0..1.
    pub base: Option<f64>,
    /// Of the new side, 0..1.
    pub new: Option<f64>,
}

impl Pair {
    /// New less base; what is on one side only counts as never accessed on the other.
    pub fn change(&self) -> Option<f64> {
        match (self.base, self.new) {
            (None, None) => None,
            (base, new) => Some(new.unwrap_or(0.0) - base.unwrap_or(0.0)),
        }
    }
}

/// A mapping of both sides, or of one.
#[derive(Clone, Debug, PartialEq)]
pub struct DifferenceBand {
    /// What it is called in the first run that has it.
    pub label: String,
    /// Runs of the base that have it.
    pub base: usize,
    /// New runs that have it.
    pub new: usize,
    /// Its greatest size, bytes.
    pub size: u64,
    /// Bytes of a row.
    pub row_bytes: u64,
    /// Rows.
    pub rows: usize,
    /// Cells row by row, the lowest address first.
    pub cells: Vec<Pair>,
    /// Mean over time of bytes × change of their rate, either way; bytes that only one side has count whole.
    pub moved: f64,
}

/// Two sides laid over each other.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DifferenceMap {
    /// Columns of all rows.
    pub columns: usize,
    /// Phases and their columns; one without a name where there are none.
    pub phases: Vec<(Option<String>, Range<usize>)>,
    /// How long the columns are together, nanoseconds, where they stand for time.
    pub length_ns: Option<u64>,
    /// Mappings, those that changed most first; without those that are small and hardly changed.
    pub bands: Vec<DifferenceBand>,
    /// So many were small and hardly changed.
    pub others: usize,
    /// Expected working set of the base by column, bytes.
    pub base: Vec<Option<f64>>,
    /// The same of the new side.
    pub new: Vec<Option<f64>>,
    /// A round rate that nearly no change exceeds.
    pub scale: f64,
}

/// Lays both sides over each other.
pub fn difference(
    base: &[Recording],
    new: &[Recording],
    options: &Options,
) -> Result<DifferenceMap, CompareError> {
    let all: Vec<&Recording> = base.iter().chain(new).collect();
    let spans: Vec<_> = all.iter().map(|r| (&r.view.overview, r.view.time())).collect();
    let found = phases(options.align, &spans).of;
    let columns = columns(found.first().map_or(&[], Vec::as_slice));
    if columns.is_empty() {
        return Err(CompareError::NoPhases(String::new()));
    }
    let runs: Vec<Run> = all
        .par_iter()
        .zip(&found)
        .map(|(recording, phases)| Run::of(recording, phases, &columns, options))
        .collect();
    let present: Vec<BTreeMap<MappingId, u64>> = runs.iter().map(Run::present).collect();
    let matching = Matching::new(&present);
    // Of each run: where which mapping is.
    let places: Vec<BTreeMap<usize, usize>> = runs
        .iter()
        .zip(&matching.of)
        .map(|(run, names)| {
            let groups = run.groups.iter().enumerate();
            groups.filter_map(|(group, id)| Some((*names.get(id)?, group))).collect()
        })
        .collect();
    let sides = Sides { runs: &runs, places: &places, base: base.len() };
    let mappings = matching.mappings.par_iter().enumerate();
    let mut bands: Vec<DifferenceBand> =
        mappings.filter_map(|(mapping, id)| sides.band(mapping, id)).collect();
    let sums = |of: &dyn Fn(&DifferenceBand) -> f64| bands.iter().map(of).sum::<f64>() * NOTABLE;
    let (size, moved) = (sums(&|band| float(band.size)), sums(&|band| band.moved));
    let all = bands.len();
    bands.retain(|band| float(band.size) >= size || band.moved > moved);
    let others = all - bands.len();
    bands.sort_by(|a, b| b.moved.total_cmp(&a.moved).then(b.size.cmp(&a.size)));
    let (old, fresh) = runs.split_at(base.len());
    let length = |phase: &Phase| phase.time.end.saturating_sub(phase.time.start);
    let by_time = options.align == Align::Time;
    Ok(DifferenceMap {
        columns: COLUMNS,
        length_ns: found.first().and_then(|p| p.first()).filter(|_| by_time).map(length),
        scale: scale(&bands),
        bands,
        others,
        base: expected(old),
        new: expected(fresh),
        phases: columns,
    })
}

/// Gives each phase of the first run columns by its length, and one at least.
fn columns(phases: &[Phase]) -> Vec<(Option<String>, Range<usize>)> {
    let length = |phase: &Phase| float(phase.time.end.saturating_sub(phase.time.start));
    let all: f64 = phases.iter().map(length).sum();
    let spare = float_of(COLUMNS.saturating_sub(phases.len()));
    let mut sum = 0.0;
    let mut at = 0;
    let mut list = Vec::new();
    for (index, phase) in phases.iter().take(COLUMNS).enumerate() {
        sum += if all > 0.0 { length(phase) / all } else { 0.0 };
        let end = usize::try_from(round(sum * spare)).unwrap_or(COLUMNS);
        let end = (end + index + 1).clamp(at + 1, COLUMNS.max(at + 1));
        let end = if index + 1 == phases.len() { COLUMNS.max(at + 1) } else { end };
        list.push((phase.name.clone(), at..end));
        at = end;
    }
    list
}

/// One recording, binned.
struct Run {
    groups: Vec<MappingId>,
    sizes: Vec<u64>,
    cuts: Vec<Cut>,
    cells: Vec<Sums>,
    expected: Vec<Option<f64>>,
}

impl Run {
    fn of(
        Recording { trace, view }: &Recording,
        phases: &[Phase],
        columns: &[(Option<String>, Range<usize>)],
        options: &Options,
    ) -> Self {
        let layouts = Layouts::new(&view.overview.mappings, options.group_by);
        let cuts = cuts(&layouts);
        let of = |phase: &Phase| {
            let columns = columns.iter().find(|(name, _)| *name == phase.name)?;
            Some((phase.time.clone(), columns.1.clone()))
        };
        let phases: Vec<Span> = phases.iter().filter_map(of).collect();
        let new = || HeatSum::new(&view.selection, &layouts, &cuts, &phases);
        let found = trace.fold(&view.selection, new);
        let expected = found.expected();
        let HeatSum { cells, .. } = found;
        Self { groups: layouts.groups().to_vec(), sizes: layouts.extents(), cells, expected, cuts }
    }

    fn rows(&self, group: usize) -> Option<(Cut, &[Sums])> {
        let cut = self.cuts.get(group).copied()?;
        let begin = cut.first.saturating_mul(COLUMNS);
        let cells =
            self.cells.get(begin..begin.saturating_add(cut.rows.saturating_mul(COLUMNS)))?;
        Some((cut, cells))
    }

    /// Mappings of which something was monitored.
    fn present(&self) -> BTreeMap<MappingId, u64> {
        let unknown = usize::try_from(UNKNOWN).unwrap_or(0);
        let has = |group: usize| {
            self.rows(group).is_some_and(|(_, cells)| cells.iter().any(|[_, bytes]| *bytes > 0.0))
        };
        let groups = self.groups.iter().zip(&self.sizes).enumerate();
        groups
            .filter(|(i, _)| *i != unknown && has(*i))
            .map(|(_, (id, size))| (id.clone(), *size))
            .collect()
    }
}

/// Mean expected working set of runs by column.
fn expected(runs: &[Run]) -> Vec<Option<f64>> {
    let mean = |column: usize| {
        let values = runs.iter().filter_map(|run| run.expected.get(column).copied().flatten());
        let values: Vec<f64> = values.collect();
        let sum: f64 = values.iter().sum();
        (!values.is_empty()).then(|| sum / float_of(values.len()))
    };
    (0..COLUMNS).map(mean).collect()
}

/// All runs, the base first.
struct Sides<'a> {
    runs: &'a [Run],
    places: &'a [BTreeMap<usize, usize>],
    base: usize,
}

impl Sides<'_> {
    fn band(&self, mapping: usize, id: &MappingId) -> Option<DifferenceBand> {
        // Of each run: its rows, how they are cut, and whether it is of the new side.
        let mut found: Vec<(Cut, &[Sums], bool)> = Vec::new();
        for (index, (run, places)) in self.runs.iter().zip(self.places).enumerate() {
            let rows = places.get(&mapping).and_then(|group| run.rows(*group));
            found.extend(rows.map(|(cut, cells)| (cut, cells, index >= self.base)));
        }
        let chunk = found.iter().map(|(cut, ..)| cut.chunk).max()?;
        let size = found.iter().map(|(cut, ..)| cut.extent).max()?;
        let from_top = found.iter().any(|(cut, ..)| cut.from_top);
        let rows = usize::try_from(size.div_ceil(chunk)).ok()?;
        let mut sums = vec![[Sums::default(); 2]; rows.checked_mul(COLUMNS)?];
        for (cut, cells, is_new) in &found {
            // Both are powers of two.
            let finer = usize::try_from(chunk / cut.chunk.max(1)).unwrap_or(usize::MAX).max(1);
            for (row, cells) in cells.chunks(COLUMNS).enumerate() {
                let begin = (row / finer).saturating_mul(COLUMNS);
                let into = sums.get_mut(begin..).unwrap_or_default();
                for (sides, [heat, bytes]) in into.iter_mut().zip(cells) {
                    let [old, new] = sides;
                    let side = if *is_new { new } else { old };
                    *side = [side[0] + heat, side[1] + bytes];
                }
            }
        }
        let rate = |[heat, bytes]: Sums| (bytes > 0.0).then(|| heat / bytes);
        let cell = |[base, new]: &[Sums; 2]| Pair { base: rate(*base), new: rate(*new) };
        let mut cells: Vec<Pair> = sums.iter().map(cell).collect();
        let moved = |pair: &Pair| match (pair.base, pair.new) {
            (Some(base), Some(new)) => (new - base).abs(),
            (None, None) => 0.0,
            _ => 1.0,
        };
        let moved = cells.iter().map(moved).sum::<f64>() * float(chunk) / float_of(COLUMNS);
        if from_top {
            cells = cells.chunks(COLUMNS).rev().flatten().copied().collect();
        }
        let new = found.iter().filter(|(.., is_new)| *is_new).count();
        Some(DifferenceBand {
            label: id.label(),
            base: found.len() - new,
            new,
            size,
            row_bytes: chunk,
            rows,
            cells,
            moved,
        })
    }
}

/// The least of 5, 10, 20, 50 and 100 % that one of a hundred changes exceeds.
fn scale(bands: &[DifferenceBand]) -> f64 {
    const STEPS: [f64; 4] = [0.05, 0.1, 0.2, 0.5];
    let cells = bands.iter().flat_map(|band| &band.cells);
    let mut changes: Vec<f64> =
        cells.filter_map(Pair::change).map(f64::abs).filter(|change| *change > 0.0).collect();
    changes.sort_by(f64::total_cmp);
    let usual = changes.get(changes.len().saturating_mul(99) / 100).copied().unwrap_or(0.0);
    STEPS.into_iter().find(|step| usual <= *step).unwrap_or(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phase(name: Option<&str>, time: Range<u64>) -> Phase {
        Phase { name: name.map(str::to_owned), time }
    }

    #[test]
    fn phases_share_all_columns() {
        let one = columns(&[phase(None, 5..900)]);
        assert_eq!(one, [(None, 0..COLUMNS)]);
        let two = columns(&[phase(Some("a"), 0..100), phase(Some("b"), 100..400)]);
        let found: Vec<Range<usize>> = two.into_iter().map(|(_, columns)| columns).collect();
        assert_eq!(found, [0..65, 65..COLUMNS]);
        let many: Vec<Phase> = (0..200).map(|i| phase(None, i..i + 1)).collect();
        let many = columns(&many);
        assert!(many.iter().all(|(_, columns)| !columns.is_empty()));
        assert_eq!(many.last().unwrap().1.end, COLUMNS);
        assert!(columns(&[]).is_empty());
    }
}
