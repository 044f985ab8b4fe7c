//! What a snapshot says against what was really so: pure functions from the truth about a window and the
//! regions found in it to numbers.
//!
//! Bytes outside the memory that the truth is about count for nothing; bytes of it that no region covers
//! count as found idle.

use damon_format::Snapshot;

use super::num::{float, ratio};
use super::truth::Reality;

/// A page is hot if it was touched in at least this share of the samples.
pub const HOT: f64 = 0.5;

/// Sums over windows; all in bytes, except for `windows`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Score {
    /// Windows that were judged.
    pub windows: u32,
    /// Memory that was judged.
    pub bytes: f64,
    /// Memory that is hot.
    pub hot: f64,
    /// Memory that was found hot.
    pub found: f64,
    /// Memory that is hot and was found hot.
    pub both: f64,
    /// Bytes times the distance between true and found rate.
    pub error: f64,
    /// Bytes times true rate: the true expected working set.
    pub expected: f64,
    /// Bytes times found rate.
    pub expected_found: f64,
    /// Memory that was touched at least once.
    pub touched: f64,
    /// Memory in regions with at least one access.
    pub touched_found: f64,
}

impl Score {
    /// Of one window.
    pub fn of(reality: &Reality, snapshot: &Snapshot) -> Self {
        let max = f64::from(snapshot.sampling.max_nr_accesses.max(1));
        let mut score = Self { windows: 1, touched: reality.touched, ..Self::default() };
        for piece in &reality.pieces {
            let size = float(piece.end - piece.start);
            score.bytes += size;
            score.expected += size * piece.rate;
            // As if no region was there; corrected below where one is.
            score.error += size * piece.rate;
            score.hot += if piece.rate >= HOT { size } else { 0.0 };
        }
        let mut pieces = reality.pieces.as_slice();
        for region in &snapshot.regions {
            let rate = (f64::from(region.nr_accesses) / max).min(1.0);
            while let Some((first, rest)) = pieces.split_first()
                && first.end <= region.start
            {
                pieces = rest;
            }
            for piece in pieces.iter().take_while(|piece| piece.start < region.end) {
                let size =
                    float(region.end.min(piece.end).saturating_sub(region.start.max(piece.start)));
                score.error += size * ((rate - piece.rate).abs() - piece.rate);
                score.expected_found += size * rate;
                score.touched_found += if region.nr_accesses > 0 { size } else { 0.0 };
                if rate >= HOT {
                    score.found += size;
                    score.both += if piece.rate >= HOT { size } else { 0.0 };
                }
            }
        }
        score
    }

    /// Adds the windows of another score.
    pub fn add(&mut self, other: &Self) {
        self.windows += other.windows;
        self.bytes += other.bytes;
        self.hot += other.hot;
        self.found += other.found;
        self.both += other.both;
        self.error += other.error;
        self.expected += other.expected;
        self.expected_found += other.expected_found;
        self.touched += other.touched;
        self.touched_found += other.touched_found;
    }

    /// The part of the memory found hot that is hot; nothing if none was found.
    pub fn precision(&self) -> Option<f64> {
        ratio(self.both, self.found)
    }

    /// The part of the hot memory that was found; nothing if there is none.
    pub fn recall(&self) -> Option<f64> {
        ratio(self.both, self.hot)
    }

    /// Harmonic mean of the two; nothing if nothing is hot and nothing was found hot.
    pub fn f1(&self) -> Option<f64> {
        ratio(2.0 * self.both, self.hot + self.found)
    }

    /// Mean absolute error of the page rate, over all pages that are judged.
    pub fn rate_error(&self) -> Option<f64> {
        ratio(self.error, self.bytes)
    }

    /// Found expected working set over the true one.
    pub fn expected_ratio(&self) -> Option<f64> {
        ratio(self.expected_found, self.expected)
    }

    /// Found touched working set over the true one.
    pub fn touched_ratio(&self) -> Option<f64> {
        ratio(self.touched_found, self.touched)
    }
}

/// The time from each change of the pattern to the end of the first window whose hot memory agrees with the
/// new pattern (F1 at least `enough`); nothing for a change that was not found before the next one.
///
/// `changes` and `windows` ascend; each window has its end and its agreement with the pattern that holds at
/// its end. `end_ns` is the end of the last pattern.
pub fn detection_delays(
    changes: &[u64],
    end_ns: u64,
    windows: &[(u64, f64)],
    enough: f64,
) -> Vec<Option<u64>> {
    let ends = changes.iter().skip(1).chain(std::iter::once(&end_ns));
    let found = |(&from, &until): (&u64, &u64)| {
        let inside = windows.iter().filter(|(end, _)| (from + 1..=until).contains(end));
        let agrees = inside.clone().find(|(_, agreement)| *agreement >= enough);
        agrees.map(|(end, _)| end - from)
    };
    changes.iter().zip(ends).map(found).collect()
}

#[cfg(test)]
mod tests {
    use super::super::truth::Piece;
    use super::*;
    use damon_format::{Region, Sampling, TargetId};

    fn region(start: u64, end: u64, nr_accesses: u32) -> Region {
        Region { start, end, nr_accesses, age: 0 }
    }

    fn snapshot(regions: Vec<Region>) -> Snapshot {
        let sampling = Sampling { sample_us: 5000, aggr_us: 100_000, max_nr_accesses: 20 };
        Snapshot::new(TargetId(0), 0, 100, sampling, regions)
    }

    fn reality() -> Reality {
        let piece = |start, end, rate| Piece { start, end, rate };
        let pieces = vec![piece(100, 200, 1.0), piece(200, 300, 0.25), piece(300, 400, 0.0)];
        Reality { pieces, touched: 200.0 }
    }

    fn assert_near(a: Option<f64>, b: f64) {
        assert!(a.is_some_and(|a| (a - b).abs() < 1e-12), "{a:?} is not {b}");
    }

    #[test]
    fn a_perfect_snapshot_has_no_fault() {
        let found = [region(100, 200, 20), region(200, 300, 5), region(300, 400, 0)];
        let score = Score::of(&reality(), &snapshot(found.to_vec()));
        for value in [score.precision(), score.recall(), score.f1(), score.expected_ratio()] {
            assert_near(value, 1.0);
        }
        assert_near(score.touched_ratio(), 1.0);
        assert_near(score.rate_error(), 0.0);
        assert_eq!(reality().domain(), 100..400);
    }

    #[test]
    fn boundaries_that_are_off_cost_precision_and_recall() {
        // Found hot: 150..250, of which 50 are hot; 100 are hot, so 50 are missed.
        let found = [region(0, 150, 0), region(150, 250, 20), region(250, 500, 0)];
        let score = Score::of(&reality(), &snapshot(found.to_vec()));
        assert_near(score.precision(), 0.5);
        assert_near(score.recall(), 0.5);
        assert_near(score.f1(), 0.5);
        // 50 bytes off by 1, 50 by 0.75, 50 by 0.25, of 300.
        assert_near(score.rate_error(), 100.0 / 300.0);
        // 100 found at rate 1; 100 at 1 and 100 at 0.25 are true.
        assert_near(score.expected_ratio(), 100.0 / 125.0);
        assert_near(score.touched_ratio(), 0.5);
    }

    #[test]
    fn memory_outside_is_not_judged_and_memory_without_a_region_counts_as_idle() {
        let score =
            Score::of(&reality(), &snapshot(vec![region(0, 100, 20), region(400, 900, 20)]));
        assert_eq!(score.precision(), None);
        assert_near(score.recall(), 0.0);
        assert_near(score.f1(), 0.0);
        assert_near(score.rate_error(), 125.0 / 300.0);
        assert_near(score.expected_ratio(), 0.0);
    }

    #[test]
    fn nothing_hot_and_nothing_found_is_no_result() {
        let mut cold = reality();
        cold.pieces.iter_mut().for_each(|piece| piece.rate = 0.0);
        let score = Score::of(&cold, &snapshot(vec![region(100, 400, 0)]));
        assert_eq!((score.f1(), score.recall(), score.expected_ratio()), (None, None, None));
    }

    #[test]
    fn windows_add_up_by_bytes() {
        let mut sum = Score::default();
        sum.add(&Score::of(&reality(), &snapshot(vec![region(100, 200, 10)])));
        sum.add(&Score::of(&reality(), &snapshot(vec![region(100, 300, 20)])));
        assert_eq!(sum.windows, 2);
        assert_near(sum.precision(), 200.0 / 300.0);
        assert_near(sum.recall(), 1.0);
    }

    #[test]
    fn a_delay_ends_with_the_first_window_that_agrees() {
        let windows = [(5, 0.9), (12, 0.1), (18, 0.85), (19, 0.2), (26, 0.3), (41, 1.0)];
        assert_eq!(
            detection_delays(&[10, 20, 30], 40, &windows, 0.8),
            [Some(8), None, None],
            "a window that ends after the pattern does not count for it"
        );
        assert_eq!(detection_delays(&[], 40, &windows, 0.8), []);
    }
}
