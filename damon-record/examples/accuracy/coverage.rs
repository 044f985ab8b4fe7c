//! Whether the 95 % intervals that `damon-report` states contain the truth.
//!
//! Two statements are checked, each by the report's own code:
//!
//! * of a window: the interval of the expected working set of one moment (`damon-report wss`), here of the
//!   memory that the truth is about;
//! * of a region in a window: Wilson's interval of its access rate, from its `nr_accesses` of
//!   `max_nr_accesses` samples. The truth is the mean rate of the region's pages.

use std::ops::Range;

use damon_format::{Snapshot, SnapshotView};
use damon_report::analysis::addresses::Addresses;
use damon_report::analysis::fold::Fold as _;
use damon_report::analysis::sampling_error::wilson;
use damon_report::analysis::select::Selection;
use damon_report::analysis::spans::SpanSet;
use damon_report::analysis::wss::{WorkingSetOptions, WorkingSetSample, WorkingSetSum};
use serde::{Deserialize, Serialize};

use super::num::{float, ratio};
use super::truth::Reality;

/// Rounding of sums of products; far below what a sample can tell.
const TOLERANCE: f64 = 1e-9;

/// How often a statement was made and what became of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// The truth was inside.
    pub inside: u64,
    /// The truth was below the interval: too much was found.
    pub below: u64,
    /// The truth was above the interval: too little was found.
    pub above: u64,
}

impl Coverage {
    /// Counts one statement.
    pub fn judge(&mut self, truth: f64, (low, high): (f64, f64)) {
        let slack = TOLERANCE * truth.abs().max(1.0);
        if truth < low - slack {
            self.below += 1;
        } else if truth > high + slack {
            self.above += 1;
        } else {
            self.inside += 1;
        }
    }

    /// Statements.
    pub fn count(&self) -> u64 {
        self.inside + self.below + self.above
    }

    /// The share of statements that were right.
    pub fn share(&self) -> Option<f64> {
        ratio(float(self.inside), float(self.count()))
    }

    /// Adds other statements.
    pub fn add(&mut self, other: &Self) {
        self.inside += other.inside;
        self.below += other.below;
        self.above += other.above;
    }
}

/// What the report says about the working set of this snapshot, in the memory `domain`, with the interval. `previous` is the target's
/// snapshot before.
pub fn stated(
    domain: Range<u64>,
    previous: Option<&Snapshot>,
    snapshot: &Snapshot,
    options: WorkingSetOptions,
) -> Option<WorkingSetSample> {
    let mut addresses = SpanSet::default();
    addresses.insert(domain);
    let selection = Selection { address: Addresses::of_all(&addresses), ..Selection::everything() };
    let mut sum = WorkingSetSum::new(&selection, options);
    for snapshot in previous.into_iter().chain([snapshot]) {
        let column = |value: fn(&damon_format::Region) -> u64| -> Vec<u64> {
            snapshot.regions.iter().map(value).collect()
        };
        let nr_accesses: Vec<u32> = snapshot.regions.iter().map(|r| r.nr_accesses).collect();
        sum.snapshot(&SnapshotView {
            target: snapshot.target,
            start_ns: snapshot.start_ns,
            end_ns: snapshot.end_ns,
            sampling: snapshot.sampling,
            starts: &column(|region| region.start),
            ends: &column(|region| region.end),
            nr_accesses: &nr_accesses,
            ages: None,
            probes: &snapshot.probes,
        });
    }
    sum.finish(&[]).samples.last()
}

/// Adds what the report says about the working set of this snapshot.
pub fn working_set(
    coverage: &mut Coverage,
    reality: &Reality,
    previous: Option<&Snapshot>,
    snapshot: &Snapshot,
    options: WorkingSetOptions,
) {
    if let Some(sample) = stated(reality.domain(), previous, snapshot, options) {
        coverage.judge(reality.expected(), (sample.expected_low, sample.expected_high));
    }
}

/// The snapshot's regions that lie in the judged memory: the mean rate of the pages of each, and what the report
/// says about it.
pub fn rates<'a>(
    reality: &'a Reality,
    snapshot: &'a Snapshot,
) -> impl Iterator<Item = (f64, (f64, f64))> + 'a {
    let domain = reality.domain();
    let inside = move |start: u64, end: u64| domain.start <= start && end <= domain.end;
    let judged = snapshot.regions.iter().filter(move |region| inside(region.start, region.end));
    judged.map(|region| {
        let share = |piece: &super::truth::Piece| {
            let overlap = region.end.min(piece.end).saturating_sub(region.start.max(piece.start));
            float(overlap) * piece.rate
        };
        let first = reality.pieces.partition_point(|piece| piece.end <= region.start);
        let here = reality.pieces[first..].iter().take_while(|piece| piece.start < region.end);
        let truth = here.map(share).sum::<f64>() / float(region.size());
        (truth, wilson(region.nr_accesses, snapshot.sampling.max_nr_accesses))
    })
}

/// Adds what the report says about the rates of the snapshot's regions that lie in the judged memory.
pub fn regions(coverage: &mut Coverage, reality: &Reality, snapshot: &Snapshot) {
    for (truth, interval) in rates(reality, snapshot) {
        coverage.judge(truth, interval);
    }
}

#[cfg(test)]
mod tests {
    use super::super::truth::Piece;
    use super::*;
    use damon_format::{Region, Sampling, TargetId};

    fn snapshot(regions: &[(u64, u64, u32)]) -> Snapshot {
        let sampling = Sampling { sample_us: 5000, aggr_us: 100_000, max_nr_accesses: 20 };
        let regions = regions
            .iter()
            .map(|&(start, end, nr_accesses)| Region { start, end, nr_accesses, age: 0 })
            .collect();
        Snapshot::new(TargetId(0), 1000, 2000, sampling, regions)
    }

    fn reality(rate: f64) -> Reality {
        let pieces =
            vec![Piece { start: 0, end: 100, rate }, Piece { start: 100, end: 200, rate: 0.0 }];
        Reality { pieces, touched: 100.0 }
    }

    #[test]
    fn a_region_is_judged_by_the_mean_of_its_pages() {
        // 10 of 20 states 0.299 .. 0.701; the mean rate over 0..200 is half of that of 0..100.
        let cases = [(1.0, (1, 0, 0)), (0.59, (0, 1, 0)), (0.61, (1, 0, 0))];
        for (rate, expected) in cases {
            let mut coverage = Coverage::default();
            regions(&mut coverage, &reality(rate), &snapshot(&[(0, 200, 10)]));
            let got = (coverage.inside, coverage.below, coverage.above);
            assert_eq!(got, expected, "{rate}");
        }
        let mut coverage = Coverage::default();
        // 0 of 20 states 0 .. 0.161; a region that reaches beyond the judged memory is not judged.
        regions(&mut coverage, &reality(0.17), &snapshot(&[(0, 100, 0), (100, 201, 20)]));
        assert_eq!((coverage.inside, coverage.below, coverage.above), (0, 0, 1));
        assert_eq!(coverage.share(), Some(0.0));
    }

    #[test]
    fn the_working_set_is_judged_as_a_whole_and_only_inside() {
        let mut coverage = Coverage::default();
        // Found: 50 bytes of 0..100, between 29 and 73 together with what the idle rest may hide.
        let found = snapshot(&[(0, 100, 10), (100, 200, 0), (200, 1000, 20)]);
        for (rate, expected) in [(0.5, (1, 0, 0)), (0.29, (1, 1, 0)), (0.76, (1, 1, 1))] {
            working_set(&mut coverage, &reality(rate), None, &found, WorkingSetOptions::sampled(1));
            let got = (coverage.inside, coverage.below, coverage.above);
            assert_eq!(got, expected, "{rate}");
        }
        let third = coverage.share().unwrap();
        assert!((third - 1.0 / 3.0).abs() < 1e-12);
        assert_eq!(Coverage::default().share(), None);
    }
}
