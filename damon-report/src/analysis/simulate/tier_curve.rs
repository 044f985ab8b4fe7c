//! How much memory serves how much of the accesses: the hottest first, in each aggregation anew.

use crate::analysis::num::float_of;
use serde::Serialize;

/// Shares that points are made for, per cent.
const PERCENTS: usize = 100;

/// A share of the accesses, and the memory that serves it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CurvePoint {
    /// Of all accesses, per cent.
    pub percent: f64,
    /// Bytes of the hottest memory that it needs, mean over the time in which anything was accessed.
    pub mean: f64,
    /// Most in one aggregation.
    pub most: f64,
}

/// Bytes by access frequency, and sums over time of what shares of the accesses need.
#[derive(Clone, Debug, Default)]
pub(super) struct HotBytes {
    /// Of this moment, by `nr_accesses`.
    now: Vec<f64>,
    /// byte ns and most bytes of 1 % to 99 %, 99.9 % and 100 %.
    needs: Vec<(f64, f64)>,
    time: f64,
}

/// Access frequencies that are told apart where an aggregation has this many samples.
fn told_apart(samples: u32) -> u32 {
    samples.clamp(1, 4096)
}

impl HotBytes {
    /// Bytes that were accessed in so many of `most` samples.
    pub(super) fn add(&mut self, nr_accesses: u32, most: u32, bytes: f64) {
        let (most, top) = (u64::from(most.max(1)), u64::from(told_apart(most)));
        let scaled = (u64::from(nr_accesses).min(most) * top).div_ceil(most);
        let Ok(index) = usize::try_from(scaled) else { return };
        if index >= self.now.len() {
            self.now.resize(index.saturating_add(1), 0.0);
        }
        if let Some(sum) = self.now.get_mut(index) {
            *sum += bytes;
        }
    }

    /// The moment is over. Returns the accesses (rate × bytes) that the hottest `size` bytes of it served.
    pub(super) fn moment(&mut self, time: f64, most: u32, size: Option<f64>) -> f64 {
        let top = f64::from(told_apart(most));
        let density = |index: usize| float_of(index) / top;
        let all: f64 = self.now.iter().enumerate().map(|(i, bytes)| bytes * density(i)).sum();
        if all <= 0.0 {
            self.now.clear();
            return 0.0;
        }
        self.needs.resize(PERCENTS.saturating_add(1), (0.0, 0.0));
        let mut hottest = self.now.iter().enumerate().rev().filter(|(_, bytes)| **bytes > 0.0);
        let (mut bytes, mut served, mut at) = (0.0, 0.0, hottest.next());
        for (index, (sum, greatest)) in self.needs.iter_mut().enumerate() {
            let asked = all * percent(index) / 100.0;
            while let Some((count, of)) = at
                && served + of * density(count) < asked
            {
                bytes += of;
                served += of * density(count);
                at = hottest.next();
            }
            let rest =
                at.map_or(0.0, |(count, of)| ((asked - served) / density(count)).clamp(0.0, *of));
            *sum += (bytes + rest) * time;
            *greatest = greatest.max(bytes + rest);
        }
        self.time += time;
        let mut room = size.unwrap_or(f64::INFINITY);
        let mut best = 0.0;
        for (count, of) in self.now.iter().enumerate().rev() {
            best += of.min(room) * density(count);
            room = (room - of).max(0.0);
        }
        self.now.clear();
        best
    }

    /// None where nothing was accessed.
    pub(super) fn finish(&self) -> Vec<CurvePoint> {
        let time = if self.time > 0.0 { self.time } else { 1.0 };
        let points = self.needs.iter().enumerate().map(|(index, (sum, most))| CurvePoint {
            percent: percent(index),
            mean: sum / time,
            most: *most,
        });
        points.collect()
    }
}

/// The share of the `index`-th point: 1 to 99, 99.9 and 100 per cent.
fn percent(index: usize) -> f64 {
    match index {
        index if index + 1 < PERCENTS => float_of(index + 1),
        index if index < PERCENTS => 99.9,
        _ => 100.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hottest_memory_serves_most() {
        let mut hot = HotBytes::default();
        // 10 bytes in each of 20 samples, 100 in one of 20, 1000 never: 10 and 5 accesses.
        hot.add(20, 20, 10.0);
        hot.add(1, 20, 100.0);
        let best = hot.moment(1.0, 20, Some(30.0));
        assert!((best - 11.0).abs() < 1e-9, "{best}");
        // Half as long with nothing but the first, and a while with nothing.
        hot.add(20, 20, 10.0);
        hot.moment(0.5, 20, None);
        hot.moment(9.0, 20, None);
        let curve = hot.finish();
        let at = |percent: f64| *curve.iter().find(|point| point.percent >= percent).unwrap();
        assert_eq!((curve.len(), curve[0].percent, at(99.5).percent), (101, 1.0, 99.9));
        // Half of 15 accesses are 7.5 bytes, and of 10 5.
        assert!((at(50.0).mean - (7.5 + 2.5) / 1.5).abs() < 1e-9);
        // Nine tenths: 13.5 accesses, 10 bytes and 70 of the others.
        assert!((at(90.0).most - 80.0).abs() < 1e-6, "{:?}", at(90.0));
        assert!((at(100.0).most - 110.0).abs() < 1e-6);
        assert!(curve.is_sorted_by(|a, b| a.mean <= b.mean && a.most <= b.most));
        assert!(HotBytes::default().finish().is_empty());
        let mut many = HotBytes::default();
        many.add(500_000, 1_000_000, 8.0);
        many.add(u32::MAX, 1_000_000, 1.0);
        assert!((many.moment(1.0, 1_000_000, None) - 5.0).abs() < 1e-9);
    }
}
