//! What a simulation did in the course of time: a line of limited length, and minutes.

use super::Outlook;
use super::tiers::Served;
use crate::analysis::num::float;
use serde::Serialize;
use std::cmp::Ordering;

/// Points a line has at most; beyond that, neighbours are put together.
const MOST_POINTS: usize = 2048;

pub(super) const MINUTE_NS: u64 = 60_000_000_000;

/// What happened between two moments.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LinePoint {
    /// Begin, `CLOCK_MONOTONIC` nanoseconds.
    pub start_ns: u64,
    /// End.
    pub end_ns: u64,
    /// Observed time in between.
    pub observed_ns: u64,
    /// Mean of the bytes away at the ends of the aggregations.
    pub away: Outlook,
    /// Bytes that were put away.
    pub put_away: Outlook,
    /// Bytes that were accessed while they were away.
    pub refaulted: Outlook,
    /// Pieces of which a page or more is expected to have come back.
    pub refaults: u64,
    /// Bytes that schemes tried, all schemes together.
    pub tried: u64,
    /// Mean resident size as recorded; none where no memory was recorded.
    pub resident: Option<f64>,
    /// Mean of the bytes in huge pages at the ends of the aggregations; none where no scheme is about them.
    pub huge: Option<f64>,
    /// Accesses that the fast tier served; none where no scheme is about tiers.
    pub served: Option<Served>,
}

impl LinePoint {
    fn add(&mut self, other: &Self) {
        let (a, b) = (float(self.observed_ns), float(other.observed_ns));
        let mean = |x: f64, y: f64| if a + b > 0.0 { (x * a + y * b) / (a + b) } else { y };
        self.away = self.away.with(other.away, mean);
        let either = |one: Option<f64>, two: Option<f64>| match (one, two) {
            (Some(one), Some(two)) => Some(mean(one, two)),
            (one, two) => one.or(two),
        };
        self.resident = either(self.resident, other.resident);
        self.huge = either(self.huge, other.huge);
        if let (Some(served), Some(more)) = (&mut self.served, other.served) {
            served.add(more);
        }
        self.end_ns = other.end_ns;
        self.observed_ns = self.observed_ns.saturating_add(other.observed_ns);
        self.put_away.add(other.put_away);
        self.refaulted.add(other.refaulted);
        self.refaults = self.refaults.saturating_add(other.refaults);
        self.tried = self.tried.saturating_add(other.tried);
    }
}

/// Collects points; where there are too many, two become one.
#[derive(Clone, Debug)]
pub(super) struct Line {
    points: Vec<LinePoint>,
    /// Points at most.
    most: usize,
    /// Moments in a point.
    each: u64,
    /// Moments in the last one.
    open: u64,
}

impl Line {
    pub(super) fn new() -> Self {
        Self { points: Vec::new(), most: MOST_POINTS, each: 1, open: 0 }
    }

    /// Keeps nothing.
    pub(super) fn none() -> Self {
        Self { most: 0, ..Self::new() }
    }

    pub(super) fn push(&mut self, moment: LinePoint) {
        if self.most == 0 {
            return;
        }
        match self.points.last_mut() {
            Some(last) if self.open < self.each => last.add(&moment),
            _ => {
                if self.points.len() >= self.most {
                    self.halve();
                }
                self.points.push(moment);
                self.open = 0;
            }
        }
        self.open += 1;
    }

    fn halve(&mut self) {
        let mut halved: Vec<LinePoint> = Vec::with_capacity(MOST_POINTS);
        for (index, point) in std::mem::take(&mut self.points).into_iter().enumerate() {
            match halved.last_mut() {
                Some(last) if index % 2 == 1 => last.add(&point),
                _ => halved.push(point),
            }
        }
        self.points = halved;
        self.each = self.each.saturating_mul(2);
    }

    pub(super) fn finish(self) -> Vec<LinePoint> {
        self.points
    }
}

/// Refaults of one minute.
#[derive(Clone, Copy, Debug, Default)]
struct Minute {
    /// How many minutes after the start.
    index: u64,
    observed_ns: u64,
    refaulted: Outlook,
}

/// The worst of the minutes since the start, and the present one. Only minutes of which half was observed count, or the best
/// observed ones where there is none such.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Minutes {
    now: Minute,
    worst: Option<Minute>,
}

/// The minute in which most came back.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct WorstMinute {
    /// How many minutes after the start of the recording it begins.
    pub minute: u64,
    /// Time of it that was observed.
    pub observed_ns: u64,
    /// Bytes per minute that came back.
    pub refaulted: Outlook,
    /// The same in per cent of the working set.
    pub percent: Outlook,
}

impl Minute {
    /// Half a minute is as good as all of it.
    fn counts_for(&self) -> u64 {
        self.observed_ns.min(MINUTE_NS / 2)
    }

    /// Bytes per minute.
    fn rate(&self) -> Outlook {
        let scale = float(MINUTE_NS) / float(self.observed_ns);
        self.refaulted.map(|bytes| bytes * scale)
    }

    fn is_worse_than(&self, other: &Self) -> bool {
        match self.counts_for().cmp(&other.counts_for()) {
            Ordering::Less => false,
            Ordering::Equal => self.rate().expected > other.rate().expected,
            Ordering::Greater => true,
        }
    }
}

impl Minutes {
    /// Of a moment; moments come in the order of time.
    pub(super) fn add(&mut self, since_begin_ns: u64, observed_ns: u64, refaulted: Outlook) {
        let index = since_begin_ns / MINUTE_NS;
        if index != self.now.index {
            self.worst = self.worst_yet();
            self.now = Minute { index, ..Minute::default() };
        }
        self.now.observed_ns = self.now.observed_ns.saturating_add(observed_ns);
        self.now.refaulted.add(refaulted);
    }

    fn worst_yet(&self) -> Option<Minute> {
        let now = Some(self.now).filter(|now| now.observed_ns > 0);
        match (self.worst, now) {
            (Some(worst), Some(now)) => Some(if now.is_worse_than(&worst) { now } else { worst }),
            (worst, now) => worst.or(now),
        }
    }

    /// The one in which most is expected to have come back.
    pub(super) fn worst(&self, working_set: f64) -> Option<WorstMinute> {
        let worst = self.worst_yet()?;
        let refaulted = worst.rate();
        let percent = refaulted.map(|bytes| share(bytes, working_set) * 100.0);
        let (minute, observed_ns) = (worst.index, worst.observed_ns);
        Some(WorstMinute { minute, observed_ns, refaulted, percent })
    }
}

pub(super) fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "exact in binary")]
mod tests {
    use super::*;

    fn point(index: u64) -> LinePoint {
        LinePoint {
            start_ns: index,
            end_ns: index + 1,
            observed_ns: 1,
            away: Outlook::same(float(index)),
            put_away: Outlook::same(1.0),
            refaulted: Outlook::same(2.0),
            refaults: 1,
            tried: 3,
            resident: Some(5.0),
            huge: Some(float(index)),
            served: Some(Served { fast: 1.0, all: 2.0 }),
        }
    }

    #[test]
    fn a_long_line_gets_coarse_and_loses_nothing() {
        let mut line = Line::new();
        let moments = 3 * 2048 + 5;
        for index in 0..moments {
            line.push(point(index));
        }
        let points = line.finish();
        assert!(points.len() <= MOST_POINTS && points.len() > MOST_POINTS / 2);
        assert_eq!(points.iter().map(|p| p.refaults).sum::<u64>(), moments);
        assert_eq!((points[0].start_ns, points.last().unwrap().end_ns), (0, moments));
        assert!(points.windows(2).all(|pair| pair[0].end_ns == pair[1].start_ns));
        assert_eq!(points[0].away.expected, 1.5, "the mean of 0, 1, 2, 3");
        assert_eq!((points[0].tried, points[0].huge), (12, Some(1.5)));
        assert_eq!(points[0].served, Some(Served { fast: 4.0, all: 8.0 }));
    }

    #[test]
    fn the_worst_minute_was_observed_well() {
        let mut minutes = Minutes::default();
        minutes.add(0, MINUTE_NS, Outlook::same(100.0));
        minutes.add(MINUTE_NS, MINUTE_NS / 2, Outlook::same(60.0));
        minutes.add(2 * MINUTE_NS, 1, Outlook::same(50.0));
        let worst = minutes.worst(1_000.0).unwrap();
        assert_eq!((worst.minute, worst.refaulted.expected), (1, 120.0));
        assert!((worst.percent.expected - 12.0).abs() < 1e-9);
        assert_eq!(Minutes::default().worst(1.0), None);
    }
}
