//! All runs of both sides, and every metric of them.

use super::course::Course;
use super::evidence::{Difference, Prior, PriorSource};
use super::history::History;
use super::levels::Levels;
use super::matching::Matching;
use super::metric::{Measure, Metric, Statistic};
use super::outcome::{Compared, Noise, Run, Unmatched};
use super::phases::Phase;
use super::verdict::{Rule, Verdict};
use super::{Options, Recording, Setting, alike, noise, values};
use crate::analysis::groups::MappingId;
use crate::analysis::num::float_of;
use rayon::prelude::*;
use std::collections::BTreeMap;

/// All runs, the base first.
pub(super) struct Sides<'a> {
    /// Runs of the base.
    pub(super) base: usize,
    pub(super) phases: &'a [Vec<Phase>],
    pub(super) courses: &'a [Vec<Course>],
    pub(super) matching: &'a Matching,
}

impl Sides<'_> {
    /// The courses of a phase of the first run, in all runs.
    fn of_phase(&self, name: Option<&String>) -> Vec<&Course> {
        let of = |(phases, courses): (&Vec<Phase>, &'_ Vec<Course>)| {
            phases
                .iter()
                .position(|phase| phase.name.as_ref() == name)
                .filter(|i| *i < courses.len())
        };
        let places = self.phases.iter().zip(self.courses).map(of);
        places.zip(self.courses).filter_map(|(at, courses)| courses.get(at?)).collect()
    }

    /// The place of a mapping in a course.
    fn group(&self, run: usize, course: &Course, mapping: usize) -> Option<usize> {
        let of = self.matching.of.get(run)?;
        course.groups.iter().position(|(id, _)| of.get(id) == Some(&mapping))
    }

    pub(super) fn metrics(&self, history: Option<&History>, options: &Options) -> Vec<Compared> {
        let mut wanted: Vec<(Metric, Option<usize>)> = Vec::new();
        for phase in self.phases.first().into_iter().flatten() {
            let phase = || phase.name.clone();
            wanted.extend(Metric::totals().map(|(measure, statistic)| {
                (Metric { phase: phase(), mapping: None, measure, statistic }, None)
            }));
            for (index, id) in self.matching.mappings.iter().enumerate() {
                let label = id.label();
                wanted.extend(Metric::of_mappings().map(|(measure, statistic)| {
                    let mapping = Some(label.clone());
                    (Metric { phase: phase(), mapping, measure, statistic }, Some(index))
                }));
            }
        }
        let one = |(metric, mapping)| self.compared(metric, mapping, history, options);
        wanted.into_par_iter().flat_map_iter(one).collect()
    }

    /// One metric, by each rule that is about it; nothing where not all runs have it.
    fn compared(
        &self,
        metric: Metric,
        mapping: Option<usize>,
        history: Option<&History>,
        options: &Options,
    ) -> Vec<Compared> {
        let Some(told) = self.told(metric, mapping, history, options) else { return Vec::new() };
        let about = options.rules.iter().filter(|rule| rule.metrics.matches(&told.metric));
        let gated: Vec<Compared> = about
            .map(|Rule { threshold, text, .. }| Compared {
                limit: threshold.bytes(told.base_mean),
                threshold: *threshold,
                rule: Some(text.clone()),
                ..told.clone()
            })
            .collect();
        if gated.is_empty() {
            return vec![told];
        }
        let lost = mapping.is_some_and(|index| self.is_lost(index));
        let lost =
            lost.then(|| "no new recording has it; it may be called otherwise now".to_owned());
        let reason =
            |metric: Compared| Compared { reason: metric.reason.or(lost.clone()), ..metric };
        gated.into_iter().map(reason).collect()
    }

    /// Whether a mapping is in some run of the base and in no new one. Nobody can say then that it got smaller.
    fn is_lost(&self, mapping: usize) -> bool {
        let has = |run: &BTreeMap<MappingId, usize>| run.values().any(|at| *at == mapping);
        !self.matching.of.iter().skip(self.base).any(has)
    }

    /// One metric without a rule.
    fn told(
        &self,
        metric: Metric,
        mapping: Option<usize>,
        history: Option<&History>,
        options: &Options,
    ) -> Option<Compared> {
        let Metric { measure, statistic, .. } = metric;
        let courses = self.of_phase(metric.phase.as_ref());
        let groups: Vec<Option<usize>> = match mapping {
            None => Vec::new(),
            Some(index) => {
                courses.iter().enumerate().map(|(run, c)| self.group(run, c, index)).collect()
            }
        };
        let value = |(run, course): (usize, &&Course)| match mapping {
            None => values::total(course, measure, statistic),
            Some(_) => values::of_group(course, groups.get(run).copied().flatten(), measure),
        };
        let all: Option<Vec<f64>> = courses.iter().enumerate().map(value).collect();
        let all = all.filter(|all| all.len() == self.courses.len())?;
        let (base, new) = all.split_at(self.base);
        let parts = courses.iter().map(|course| values::parts(course)).min().unwrap_or(0);
        let levels = |(run, course): (usize, &&Course)| {
            let levels: Option<&[Levels]> = if mapping.is_none() {
                Some(&course.total)
            } else {
                let group = groups.get(run).copied().flatten();
                group.and_then(|g| course.groups.get(g)).map(|(_, levels)| levels.as_slice())
            };
            values::series(course, levels, measure, parts)
        };
        let series: Vec<Vec<f64>> = courses.iter().enumerate().map(levels).collect();
        let mut within = within(&series, statistic);
        let of_sampling = measure == Measure::Expected && mapping.is_none();
        if of_sampling && statistic == Statistic::Mean {
            let known = courses.iter().map(|c| c.sampling_sd * c.sampling_sd).sum::<f64>();
            within = within.max(known / float_of(courses.len()).max(1.0));
        }
        if measure == Measure::Volume {
            // As sure as the mean of what it adds up.
            let mean = series.iter().map(|run| noise::mean(run)).sum::<f64>();
            let mean = mean / float_of(series.len()).max(1.0);
            let volume = noise::mean(&all);
            within *= if mean > 0.0 { (volume / mean) * (volume / mean) } else { 0.0 };
        }
        let (base_mean, new_mean) = (noise::mean(base), noise::mean(new));
        let assumed = options.run_noise * base_mean.abs().max(new_mean.abs());
        let prior = match history.and_then(|history| history.variance(&metric)) {
            // No run can be surer of its mean than its own noise lets it be.
            Some((variance, freedom)) => Prior {
                variance: variance.max(within),
                freedom: float_of(freedom),
                source: PriorSource::History,
            },
            None => Prior {
                variance: within + assumed * assumed,
                freedom: options.run_noise_freedom,
                source: PriorSource::Assumed,
            },
        };
        let difference = Difference::of(base, new, &prior);
        let reach = difference.reach(options.certainty.misses);
        let few = parts < noise::FEWEST;
        let threshold = options.otherwise;
        let least = courses.iter().map(|course| course.moments.len()).min().unwrap_or(0);
        Some(Compared {
            base: base.to_vec(),
            new: new.to_vec(),
            base_mean,
            new_mean,
            change: difference.change,
            relative: (base_mean.abs() > 0.0).then(|| difference.change / base_mean.abs()),
            low: difference.change - reach,
            high: difference.change + reach,
            p: difference.p,
            limit: threshold.bytes(base_mean),
            threshold,
            rule: None,
            verdict: Verdict::Inconclusive,
            reason: few.then(|| {
                format!(
                    "too little to tell noise from change: {} parts of equal time with an aggregation or more in each are \
                     the least, and the shortest recording has {least} aggregations",
                    noise::FEWEST
                )
            }),
            runs_needed: None,
            longer: None,
            noise: Noise {
                within: within.sqrt(),
                prior,
                run: difference.run_sd,
                freedom: difference.freedom,
            },
            metric,
        })
    }

    pub(super) fn runs(
        &self,
        all: &[&Recording],
        settings: Vec<Setting>,
        metrics: &[Compared],
    ) -> Vec<Run> {
        let values = |run: usize| {
            let value = |m: &Compared| m.base.iter().chain(&m.new).nth(run).copied();
            metrics.iter().filter_map(|m| Some((m.metric.to_string(), value(m)?))).collect()
        };
        let of = |(run, (recording, setting)): (usize, (&&Recording, Setting))| Run {
            name: recording.trace.name().to_owned(),
            setting,
            mean_sample_us: alike::mean_sample_us(&recording.view.overview),
            phases: self.phases.get(run).cloned().unwrap_or_default(),
            moments: self.courses.get(run).into_iter().flatten().map(|c| c.moments.len()).collect(),
            values: values(run),
        };
        all.iter().zip(settings).enumerate().map(of).collect()
    }

    pub(super) fn unmatched(&self) -> Vec<Unmatched> {
        let mut list = Vec::new();
        for (index, id) in self.matching.mappings.iter().enumerate() {
            let has = |run: &BTreeMap<MappingId, usize>| run.values().any(|at| *at == index);
            let base = self.matching.of.iter().take(self.base).filter(|run| has(run)).count();
            let new = self.matching.of.iter().skip(self.base).filter(|run| has(run)).count();
            if base > 0 && new > 0 {
                continue;
            }
            let sizes: Vec<f64> = (0..self.courses.len())
                .filter(|run| self.matching.of.get(*run).is_some_and(&has))
                .map(|run| self.size(run, index))
                .collect();
            let size = noise::mean(&sizes);
            list.push(Unmatched { label: id.label(), mapping: id.clone(), base, new, size });
        }
        list.sort_by(|a, b| b.size.total_cmp(&a.size).then_with(|| a.mapping.cmp(&b.mapping)));
        list
    }

    /// Mean size of a mapping over the phases of a run.
    fn size(&self, run: usize, mapping: usize) -> f64 {
        let Some(courses) = self.courses.get(run) else { return 0.0 };
        let of = |course| values::of_group(course, self.group(run, course, mapping), Measure::Size);
        let sizes: Vec<f64> = courses.iter().filter_map(of).collect();
        noise::mean(&sizes)
    }
}

/// Mean over the runs of the variance of a run's value by noise within it.
fn within(series: &[Vec<f64>], statistic: Statistic) -> f64 {
    let residuals = noise::residuals(series);
    let common = noise::common(series);
    let block = noise::block_length(&residuals);
    let of = |(seed, residual): (usize, &Vec<f64>)| {
        noise::variance_of(statistic, &common, residual, block, seed as u64)
    };
    noise::mean(&residuals.iter().enumerate().map(of).collect::<Vec<f64>>())
}
