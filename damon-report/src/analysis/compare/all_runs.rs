//! One measure of all runs, and how much its statistics would vary if the same were recorded again.

use super::metric::{Measure, Statistic};
use super::noise;
use super::ordered::Ordered;
use super::values::{Of, parts};
use crate::analysis::num::float_of;

/// One measure of all runs, the base first.
#[derive(Debug)]
pub(super) struct AllRuns<'a> {
    runs: Vec<Of<'a>>,
    /// Values of each run in their order.
    ordered: Vec<Ordered>,
    /// How long each run is, as a share of what is usual.
    lengths: Vec<f64>,
    /// Parts into which all can be cut.
    pub(super) parts: usize,
}

impl<'a> AllRuns<'a> {
    pub(super) fn new(runs: Vec<Of<'a>>, lengths: Vec<f64>) -> Self {
        let parts = runs.iter().map(|run| parts(run.course)).min().unwrap_or(0);
        let ordered = runs.iter().map(|run| run.ordered(parts)).collect();
        Self { runs, ordered, lengths, parts }
    }

    /// Aggregations of the shortest.
    pub(super) fn least_moments(&self) -> usize {
        self.runs.iter().map(|run| run.course.moments.len()).min().unwrap_or(0)
    }

    /// A statistic of each run; `None` where not all of them have it.
    pub(super) fn values(&self, statistic: Statistic) -> Option<Vec<f64>> {
        let one = |((run, ordered), length): ((&Of<'_>, &Ordered), &f64)| {
            let value = run.statistic(ordered, statistic)?;
            Some(if statistic == Statistic::Total { value / length } else { value })
        };
        self.runs.iter().zip(&self.ordered).zip(&self.lengths).map(one).collect()
    }

    /// Mean over the runs of the variance of a run's value by noise within it.
    pub(super) fn within(&self, statistic: Statistic, values: &[f64]) -> f64 {
        let series = || self.runs.iter().map(|run| run.series(self.parts)).collect::<Vec<_>>();
        match statistic {
            Statistic::Mean => self.at_least_sampled(of_mean(&series())),
            Statistic::Total => {
                // As sure as the mean of what it adds up.
                let series = series();
                let means: Vec<f64> = series.iter().map(|run| noise::mean(run)).collect();
                let (mean, total) = (noise::mean(&means), noise::mean(values));
                let scale = if mean > 0.0 { total / mean } else { 0.0 };
                of_mean(&series) * scale * scale
            }
            Statistic::P50 | Statistic::P95 => {
                let share = f64::from(statistic.percent()) / 100.0;
                let below = self.runs.iter().zip(values);
                let below: Vec<Vec<f64>> =
                    below.map(|(run, value)| run.share_below(*value, self.parts)).collect();
                let left = noise::residuals(&below);
                let block = noise::block_length(&left);
                let of = |(ordered, left): (&Ordered, &Vec<f64>)| {
                    let sd = ordered.spread(share, noise::variance_of_mean(left, block).sqrt());
                    sd * sd
                };
                noise::mean(&self.ordered.iter().zip(&left).map(of).collect::<Vec<f64>>())
            }
            Statistic::Max => {
                let highest: Vec<Vec<f64>> =
                    self.runs.iter().map(|run| run.highest(self.parts)).collect();
                let (left, common) = (noise::residuals(&highest), noise::common(&highest));
                let block = noise::block_length(&left);
                let of = |(seed, left): (usize, &Vec<f64>)| {
                    noise::variance_of_max(&common, left, block, seed as u64)
                };
                noise::mean(&left.iter().enumerate().map(of).collect::<Vec<f64>>())
            }
        }
    }

    /// Where sampling errors are known, noise is no less.
    fn at_least_sampled(&self, within: f64) -> f64 {
        let is_known = |run: &Of<'_>| run.measure == Measure::Expected && !run.is_mapping;
        if !self.runs.iter().all(is_known) {
            return within;
        }
        let known = self.runs.iter().map(|run| run.course.sampling_sd * run.course.sampling_sd);
        within.max(known.sum::<f64>() / float_of(self.runs.len()).max(1.0))
    }
}

/// Of means of parts.
fn of_mean(series: &[Vec<f64>]) -> f64 {
    let left = noise::residuals(series);
    let block = noise::block_length(&left);
    let of = |left: &Vec<f64>| noise::variance_of_mean(left, block);
    noise::mean(&left.iter().map(of).collect::<Vec<f64>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::compare::course::{BINS, Course, Moment};
    use crate::analysis::compare::levels::Levels;
    use crate::analysis::groups::MappingId;

    const MOMENTS: usize = 50 * BINS;

    /// A course in which the expected working set is a normal distribution around 100, standard deviation 1, with a step in the middle.
    fn course(seed: u64, step: f64) -> Course {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut course = Course {
            time: vec![50.0; BINS],
            total: vec![Levels::default(); BINS],
            ..Course::default()
        };
        for i in 0..MOMENTS {
            let noise: f64 = (0..12).map(|_| random.f64()).sum::<f64>() - 6.0;
            let expected = 100.0 + noise + if i < MOMENTS / 2 { 0.0 } else { step };
            let levels = Levels { expected, ..Levels::default() };
            let middle = (float_of(i) + 0.5) / float_of(MOMENTS);
            course.moments.push(Moment { length_ns: 1, middle, levels });
            course.total[i / 50].add(&levels, 1.0);
        }
        course
    }

    /// Root of the mean variance that is found, over many pairs of runs.
    fn found(statistic: Statistic, step: f64) -> f64 {
        let one = |seed: u64| {
            let courses = [course(2 * seed, step), course(2 * seed + 1, step)];
            let runs = courses.iter().map(|c| Of::total(c, Measure::Expected)).collect();
            let all = AllRuns::new(runs, vec![1.0; 2]);
            all.within(statistic, &all.values(statistic).unwrap())
        };
        noise::mean(&(0..40).map(one).collect::<Vec<f64>>()).sqrt()
    }

    #[test]
    fn quantiles_vary_as_what_was_observed_and_not_as_means_of_parts() {
        // √(p (1 − p) / n) / density, by hand: 1.2533 / √6400 and 2.113 / √6400. Means of 50 have a seventh of that.
        for (statistic, truth) in [(Statistic::P50, 0.015_67), (Statistic::P95, 0.026_4)] {
            let ratio = found(statistic, 0.0) / truth;
            assert!((0.8..1.25).contains(&ratio), "{statistic:?}: {ratio}");
        }
        // 95 % of all is 90 % of the upper half, which half as many moments are in: √(0.09 / 3200) / 0.1755.
        let ratio = found(Statistic::P95, 100.0) / 0.0302;
        assert!((0.8..1.25).contains(&ratio), "with phases: {ratio}");
        // The greatest of 6400: standard deviation 0.30.
        let ratio = found(Statistic::Max, 0.0) / 0.3;
        assert!((0.4..1.5).contains(&ratio), "{ratio}");
    }

    /// A course of so many aggregations in which a mapping has 100 and noise, standard deviation 1, in each.
    fn of_mapping(seed: u64, moments: usize) -> Course {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut levels = vec![Levels::default(); BINS];
        let mut course = Course { time: vec![1.0; BINS], ..Course::default() };
        for i in 0..moments {
            let noise: f64 = (0..12).map(|_| random.f64()).sum::<f64>() - 6.0;
            let now = Levels { expected: 100.0 + noise, ..Levels::default() };
            let middle = (float_of(i) + 0.5) / float_of(moments);
            course.moments.push(Moment { length_ns: 1, middle, levels: now });
            // In units of 1 / (BINS · moments) of the time.
            for (bin, sum) in levels.iter_mut().enumerate() {
                let (from, to) =
                    ((bin * moments).max(i * BINS), ((bin + 1) * moments).min((i + 1) * BINS));
                sum.add(&now, float_of(to.saturating_sub(from)) / float_of(moments));
            }
        }
        course.groups.push((MappingId::anonymous(1 << 20, 0), levels));
        course
    }

    #[test]
    fn quantiles_of_a_mapping_do_not_depend_on_how_many_aggregations_there_are() {
        let by = |seed: u64| {
            let courses = [of_mapping(2 * seed, 127), of_mapping(2 * seed + 1, 129)];
            assert_eq!(courses.each_ref().map(parts), [64, 128]);
            let of = |course| Of::group(course, Some(0), Measure::Expected);
            let all = AllRuns::new(courses.iter().map(of).collect(), vec![1.0; 2]);
            let values = all.values(Statistic::P95).unwrap();
            values[1] - values[0]
        };
        // Of single ones it would be 1.645 above the mean, of means of two 1.645 / √2: 0.4 less or so. By chance it is off by 0.03.
        let by = noise::mean(&(0..100).map(by).collect::<Vec<f64>>());
        assert!(by.abs() < 0.12, "{by}");
    }
}
