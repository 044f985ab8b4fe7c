//! How fine the evidence is on which memory was put away: regions stand for all of their pages, and few looks for all of
//! the time.

use super::line::share;
use crate::analysis::num::float;
use damon_format::Region;
use serde::Serialize;

/// Regions larger than this are called large, bytes.
pub const LARGE: u64 = 16 << 20;

/// Fewer samples than this without an access leave more than 5 % possible (three divided by the number, the upper end of
/// a 95 % interval).
pub const FEW_SAMPLES: u64 = 60;

/// What the monitor's regions and samples add to the uncertainty of what was put away.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Granularity {
    /// [`LARGE`].
    pub large: u64,
    /// Share of the bytes put away that were in regions larger than that, 0..1.
    pub in_large: f64,
    /// [`FEW_SAMPLES`].
    pub few_samples: u64,
    /// Share of the bytes put away whose region had been as it was for fewer samples than that; none where every page was
    /// looked at.
    pub on_few_samples: Option<f64>,
    /// Share of the bytes put away whose region had had less than one sample a page in the time for which it had been as it
    /// was, so that some pages were never looked at; none where every page was.
    pub unseen: Option<f64>,
    /// Share by the size of the region: sizes from a power of two on to the next one, ascending.
    pub by_size: Vec<SizeShare>,
}

/// Share of the bytes put away that were in regions of a size.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct SizeShare {
    /// At least so many bytes, and less than twice that.
    pub at_least: u64,
    /// 0..1.
    pub share: f64,
}

/// Collects it.
#[derive(Clone, Debug)]
pub(super) struct Grain {
    /// By logarithm of the size.
    by_size: [f64; 64],
    large: f64,
    few: f64,
    unseen: f64,
    all: f64,
}

impl Grain {
    pub(super) fn new() -> Self {
        Self { by_size: [0.0; 64], large: 0.0, few: 0.0, unseen: 0.0, all: 0.0 }
    }

    /// So many bytes of a recorded region were put away; `samples` in an aggregation, pages of `page` bytes.
    pub(super) fn put(&mut self, region: &Region, bytes: f64, samples: u32, page: u64) {
        let size = region.size();
        let log = size.checked_ilog2().and_then(|log| usize::try_from(log).ok());
        if let Some(sum) = log.and_then(|log| self.by_size.get_mut(log)) {
            *sum += bytes;
        }
        self.all += bytes;
        if size > LARGE {
            self.large += bytes;
        }
        let looks = u64::from(region.age).saturating_add(1).saturating_mul(samples.into());
        if looks < FEW_SAMPLES {
            self.few += bytes;
        }
        if looks < size / page.max(1) {
            self.unseen += bytes;
        }
    }

    /// None where nothing was put away; `exact` where every page was looked at in every sample.
    pub(super) fn finish(&self, exact: bool) -> Option<Granularity> {
        if self.all <= 0.0 {
            return None;
        }
        let of = |part: f64| share(part, self.all);
        let sizes = self.by_size.iter().zip(0_u32..).filter(|(bytes, _)| **bytes > 0.0);
        Some(Granularity {
            large: LARGE,
            in_large: of(self.large),
            few_samples: FEW_SAMPLES,
            on_few_samples: (!exact).then(|| of(self.few)),
            unseen: (!exact).then(|| of(self.unseen)),
            by_size: sizes
                .map(|(bytes, log)| SizeShare { at_least: 1 << log, share: of(*bytes) })
                .collect(),
        })
    }
}

/// Bytes per day at this rate.
pub(super) fn per_day(bytes_per_second: f64) -> f64 {
    bytes_per_second * float(86_400)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_judged_by_size_and_by_looks() {
        let mut grain = Grain::new();
        assert_eq!(grain.finish(false), None);
        let region = |size, age| Region { start: 0, end: size, nr_accesses: 0, age };
        // 20 samples for 4 pages; 60 for 8192 pages; 2000 for 256 pages.
        grain.put(&region(4 * 4096, 0), 1.0, 20, 4096);
        grain.put(&region(32 << 20, 2), 2.0, 20, 4096);
        grain.put(&region(1 << 20, 99), 1.0, 20, 4096);
        let found = grain.finish(false).unwrap();
        assert_eq!(
            (found.in_large, found.on_few_samples, found.unseen),
            (0.5, Some(0.25), Some(0.5))
        );
        let sizes: Vec<_> = found.by_size.iter().map(|s| (s.at_least, s.share)).collect();
        assert_eq!(sizes, [(16_384, 0.25), (1 << 20, 0.25), (32 << 20, 0.5)]);
        assert_eq!(grain.finish(true).unwrap().unseen, None);
    }
}
