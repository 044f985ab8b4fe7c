//! How long memory has been idle: the distribution of idle time over bytes.
//!
//! A region that counts no access has been idle for its age and the aggregation at hand, `(age + 1) · aggregation interval`; one
//! that counts any has not. How long it has really been is not always known: what was idle when the recording began may have been so
//! for longer than the monitor was there to see.
//!
//! Idle times are counted in bins of which no one is wider than 1/64 of the times in it, and which begin anew at each of the
//! [marks](MARKS_US): memory is constant whatever the length, sums at marks are exact, and so is every bin that holds one
//! value only, as nearly all do in recordings of one aggregation interval.

use super::fold::Fold;
use super::load::Trace;
use super::num::float;
use super::observed::Observed;
use super::select::Selection;
use super::view::View;
use damon_format::SnapshotView;
use serde::Serialize;

/// Times at which the curve is told, microseconds.
pub const MARKS_US: [u64; 29] = {
    const MS: u64 = 1_000;
    const S: u64 = 1_000 * MS;
    const MIN: u64 = 60 * S;
    const H: u64 = 60 * MIN;
    [
        MS,
        2 * MS,
        5 * MS,
        10 * MS,
        20 * MS,
        50 * MS,
        100 * MS,
        200 * MS,
        500 * MS,
        S,
        2 * S,
        5 * S,
        10 * S,
        20 * S,
        30 * S,
        MIN,
        2 * MIN,
        5 * MIN,
        10 * MIN,
        20 * MIN,
        30 * MIN,
        H,
        2 * H,
        3 * H,
        6 * H,
        12 * H,
        24 * H,
        48 * H,
        168 * H,
    ]
};

/// log₂ of the number of bins an octave.
const FINE: u32 = 6;
/// Two bins, before and after a mark, for each of the [`FINE`] ones.
const BINS: usize = 2 * ((65 - FINE as usize) << FINE);

/// Bytes of one narrow range of idle times.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct IdleBin {
    /// Shortest idle time in it, microseconds.
    pub least_us: u64,
    /// Longest, microseconds.
    pub most_us: u64,
    /// Mean over time of the bytes that were idle for so long.
    pub bytes: f64,
}

/// The distribution of idle time over bytes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct IdleTimes {
    /// Time that was looked at, nanoseconds.
    pub observed_ns: u64,
    /// Mean over time of the monitored bytes whose idle time is known.
    pub known: f64,
    /// Mean over time of the monitored bytes without an age.
    pub unknown: f64,
    /// Mean over time of the bytes that were not idle.
    pub accessed: f64,
    /// Mean over time of the bytes that were idle since the recording began or longer: what was seen of their idle
    /// time is a part of it, and what is more is known from the age alone.
    pub since_begin: f64,
    /// The largest difference between the idle times in one bin, as a part of them: how exact percentiles are.
    pub resolution: f64,
    /// Idle time, in microseconds, that was not exceeded by `index` per cent of the bytes (each for as long as it was
    /// there), for 0 ..= 100; empty where nothing was monitored.
    pub percentiles: Vec<f64>,
    /// Of bytes that were idle, ascending.
    pub bins: Vec<IdleBin>,
    /// Bytes that had been untouched for at least some time, at [`MARKS_US`] up to the longest.
    pub curve: Vec<Untouched>,
}

/// A point of the cumulative curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Untouched {
    /// Idle for at least this long, microseconds.
    pub at_least_us: u64,
    /// Mean over time of such bytes.
    pub bytes: f64,
}

impl IdleTimes {
    /// The complete curve: each idle time, in microseconds, and the bytes that had been untouched for at least as long.
    pub fn untouched(&self) -> Vec<(f64, f64)> {
        let mut rest = 0.0;
        let mut points: Vec<(f64, f64)> = Vec::with_capacity(self.bins.len());
        for bin in self.bins.iter().rev() {
            rest += bin.bytes;
            points.push((float(bin.most_us), rest));
        }
        points.reverse();
        points
    }
}

impl View {
    /// The distribution of idle time over bytes and the selected time.
    pub fn idle_times(&self, trace: &Trace) -> IdleTimes {
        let scale = IdleScale::new();
        let new = || IdleSum::new(&self.selection, &scale, self.origin_ns);
        trace.fold(&self.selection, new).finish()
    }
}

/// Where each bin is cut in two.
#[derive(Debug)]
pub struct IdleScale {
    cuts: Vec<u64>,
}

impl Default for IdleScale {
    fn default() -> Self {
        Self::new()
    }
}

impl IdleScale {
    /// The scale; always the same one.
    pub fn new() -> Self {
        let mut cuts = vec![u64::MAX; BINS / 2];
        for mark in MARKS_US {
            if let Some(cut) = cuts.get_mut(fine(mark)) {
                *cut = mark;
            }
        }
        Self { cuts }
    }

    fn bin(&self, idle_us: u64) -> usize {
        let fine = fine(idle_us);
        let behind = self.cuts.get(fine).is_some_and(|cut| *cut <= idle_us);
        2 * fine + usize::from(behind)
    }
}

/// Exact below 2^FINE, then so many bins an octave.
#[expect(clippy::cast_possible_truncation, reason = "less than BINS")]
fn fine(value: u64) -> usize {
    let octave = (value | 1).ilog2().saturating_sub(FINE);
    (u64::from(octave) << FINE) as usize + (value >> octave) as usize
}

#[derive(Clone, Copy, Debug)]
struct Bin {
    least: u64,
    most: u64,
    weight: f64,
}

const NOTHING: Bin = Bin { least: u64::MAX, most: 0, weight: 0.0 };

impl Bin {
    fn add(&mut self, other: &Self) {
        self.least = self.least.min(other.least);
        self.most = self.most.max(other.most);
        self.weight += other.weight;
    }
}

/// Sums up idle times.
#[derive(Debug)]
pub struct IdleSum<'a> {
    selection: &'a Selection,
    scale: &'a IdleScale,
    origin_ns: u64,
    observed: Observed,
    /// By [`IdleScale::bin`]; empty before the first.
    bins: Vec<Bin>,
    accessed: f64,
    unknown: f64,
    since_begin: f64,
}

impl<'a> IdleSum<'a> {
    /// Nothing summed up yet; `origin_ns` is the start of the recording.
    pub fn new(selection: &'a Selection, scale: &'a IdleScale, origin_ns: u64) -> Self {
        Self {
            selection,
            scale,
            origin_ns,
            observed: Observed::default(),
            bins: Vec::new(),
            accessed: 0.0,
            unknown: 0.0,
            since_begin: 0.0,
        }
    }

    /// The finished distribution.
    pub fn finish(self) -> IdleTimes {
        let observed_ns = self.observed.total_ns();
        let time = float(observed_ns.max(1));
        let bins: Vec<IdleBin> = self
            .bins
            .iter()
            .filter(|bin| bin.weight > 0.0)
            .map(|b| IdleBin { least_us: b.least, most_us: b.most, bytes: b.weight / time })
            .collect();
        let accessed = self.accessed / time;
        let known = bins.iter().fold(accessed, |sum, bin| sum + bin.bytes);
        let width = |bin: &IdleBin| float(bin.most_us - bin.least_us) / float(bin.most_us.max(1));
        IdleTimes {
            observed_ns,
            known,
            unknown: self.unknown / time,
            accessed,
            since_begin: self.since_begin / time,
            resolution: bins.iter().map(width).fold(0.0, f64::max),
            percentiles: percentiles(accessed, &bins, known),
            curve: curve(&bins),
            bins,
        }
    }
}

fn percentiles(accessed: f64, bins: &[IdleBin], known: f64) -> Vec<f64> {
    let mut percentiles = Vec::new();
    if known <= 0.0 {
        return percentiles;
    }
    let first = if accessed > 0.0 { Some((0, accessed)) } else { None };
    let mut steps = first.into_iter().chain(bins.iter().map(|bin| (bin.most_us, bin.bytes)));
    let (mut value, mut passed) = (0, 0.0);
    for percent in 0..=100_u32 {
        // The last step is reached in spite of rounding errors in the sum.
        while passed == 0.0 || passed * 100.0 < known * f64::from(percent) * (1.0 - 1e-12) {
            let Some((idle, bytes)) = steps.next() else { break };
            value = idle;
            passed += bytes;
        }
        percentiles.push(float(value));
    }
    percentiles
}

fn curve(bins: &[IdleBin]) -> Vec<Untouched> {
    let longest = bins.last().map_or(0, |bin| bin.most_us);
    let mut rest: f64 = bins.iter().map(|bin| bin.bytes).sum();
    let mut left = bins.iter().peekable();
    let marks = MARKS_US.iter().take_while(|mark| **mark <= longest);
    let point = |&mark: &u64| {
        while let Some(bin) = left.next_if(|bin| bin.most_us < mark) {
            rest -= bin.bytes;
        }
        Untouched { at_least_us: mark, bytes: rest.max(0.0) }
    };
    marks.map(point).collect()
}

/// Idle time of a region that counts no access, microseconds.
pub(super) fn idle_us(age: u32, aggr_us: u64) -> u64 {
    (u64::from(age) + 1).saturating_mul(aggr_us)
}

impl Fold for IdleSum<'_> {
    fn snapshot(&mut self, snapshot: &SnapshotView<'_>) {
        if !self.selection.has_snapshot(snapshot) {
            return;
        }
        let time = self.observed.add(&self.selection.time_of(snapshot));
        let aggr_us = snapshot.sampling.aggr_us;
        // An idle time up to half an aggregation shorter than the recording so far began with it.
        let seen_ns = snapshot.end_ns.saturating_sub(self.origin_ns);
        let seen_us = (seen_ns / 1000).saturating_sub(aggr_us / 2);
        if self.bins.is_empty() {
            self.bins.resize(BINS, NOTHING);
        }
        let (mut accessed, mut unknown, mut since_begin) = (0_u64, 0_u64, 0_u64);
        let bounds = snapshot.starts.iter().zip(snapshot.ends).zip(snapshot.nr_accesses);
        let mut ages = snapshot.ages.map(|ages| ages.iter());
        let (first, last) = (snapshot.starts.first(), snapshot.ends.last());
        let whole = first.zip(last).is_some_and(|(&first, &last)| {
            self.selection.address.hold(snapshot.target, first, last)
        });
        for ((&start, &end), &accesses) in bounds {
            let age = ages.as_mut().and_then(Iterator::next);
            let size: u64 = if whole {
                end.saturating_sub(start)
            } else {
                let pieces = self.selection.pieces(snapshot.target, start, end);
                pieces.map(|piece| piece.end - piece.start).sum()
            };
            if size == 0 {
                continue;
            }
            match age {
                _ if accesses > 0 => accessed = accessed.saturating_add(size),
                None => unknown = unknown.saturating_add(size),
                Some(age) => {
                    let idle = idle_us(*age, aggr_us);
                    if idle >= seen_us {
                        since_begin = since_begin.saturating_add(size);
                    }
                    if let Some(bin) = self.bins.get_mut(self.scale.bin(idle)) {
                        bin.add(&Bin { least: idle, most: idle, weight: float(size) * time });
                    }
                }
            }
        }
        self.accessed += float(accessed) * time;
        self.unknown += float(unknown) * time;
        self.since_begin += float(since_begin) * time;
    }

    fn merge(&mut self, later: Self) {
        self.observed.merge(&later.observed);
        self.accessed += later.accessed;
        self.unknown += later.unknown;
        self.since_begin += later.since_begin;
        if self.bins.is_empty() {
            self.bins = later.bins;
        } else {
            for (bin, more) in self.bins.iter_mut().zip(&later.bins) {
                bin.add(more);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bins_are_narrow_ascend_and_begin_at_marks(a in 0_u64.., shift in 0_u32..64, b in 0_u64..) {
            let scale = IdleScale::new();
            let (a, b) = (a >> shift, b >> shift);
            let (low, high) = (a.min(b), a.max(b));
            prop_assert!(scale.bin(low) <= scale.bin(high) && scale.bin(high) < BINS);
            if scale.bin(low) == scale.bin(high) {
                prop_assert!(high - low <= high / 64, "{} {}", low, high);
                let marked = MARKS_US.iter().any(|mark| low < *mark && *mark <= high);
                prop_assert!(!marked, "{} {}", low, high);
            }
        }
    }

    #[test]
    fn the_ends_of_the_scale_have_bins() {
        let scale = IdleScale::new();
        assert_eq!((scale.bin(0), scale.bin(1), scale.bin(63)), (0, 2, 126));
        assert_eq!(scale.bin(u64::MAX), BINS - 1);
        assert!(MARKS_US.is_sorted());
    }

    #[test]
    fn percentiles_and_curve_of_three_values() {
        let bin = |us, bytes| IdleBin { least_us: us, most_us: us, bytes };
        let bins = [bin(1_000_000, 30.0), bin(10_000_000, 60.0)];
        let found = percentiles(10.0, &bins, 100.0);
        assert_eq!((found[0], found[10], found[11], found[40]), (0.0, 0.0, 1e6, 1e6));
        assert_eq!((found[41], found[100], found.len()), (1e7, 1e7, 101));
        let curve = curve(&bins);
        let at = |us| curve.iter().find(|p| p.at_least_us == us).map(|p| p.bytes);
        assert_eq!((at(1000), at(1_000_000), at(2_000_000)), (Some(90.0), Some(90.0), Some(60.0)));
        assert_eq!((at(10_000_000), at(20_000_000)), (Some(60.0), None));
        assert!(percentiles(0.0, &[], 0.0).is_empty());
    }
}
