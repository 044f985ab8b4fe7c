//! All runs of both sides, and every metric of them.

use super::all_runs::AllRuns;
use super::course::Course;
use super::evidence::{Difference, Prior, PriorSource};
use super::history::History;
use super::matching::Matching;
use super::metric::{Measure, Metric, Statistic};
use super::ordered::Ordered;
use super::outcome::{Compared, Noise, Run, Unmatched};
use super::phases::{Align, Phase};
use super::values::Of;
use super::verdict::{Rule, Verdict};
use super::{Options, Recording, Setting, alike, ended, noise, phases};
use crate::analysis::groups::MappingId;
use crate::analysis::num::{float, float_of};
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// All runs, the base first.
pub(super) struct Sides<'a> {
    /// Runs of the base.
    base: usize,
    phases: &'a [Vec<Phase>],
    courses: &'a [Vec<Course>],
    matching: &'a Matching,
    /// Of each run and phase: where in [`Course::groups`] a mapping is.
    places: Vec<Vec<HashMap<usize, usize>>>,
    /// Of each mapping: how many runs of the base and how many new ones have it.
    present: Vec<(usize, usize)>,
}

/// One measure, in a phase of the first run, of all memory or of a mapping.
struct Wanted {
    phase: Option<String>,
    /// The course of the phase in each run.
    courses: Vec<usize>,
    mapping: Option<(usize, String)>,
    measure: Measure,
    statistics: Vec<Statistic>,
}

/// The statistics that there are of each measure.
fn by_measure(
    all: impl Iterator<Item = (Measure, Statistic)>,
) -> BTreeMap<Measure, Vec<Statistic>> {
    let mut list: BTreeMap<Measure, Vec<Statistic>> = BTreeMap::new();
    all.for_each(|(measure, statistic)| list.entry(measure).or_default().push(statistic));
    list
}

impl<'a> Sides<'a> {
    /// All runs; the first `base` of them are the base.
    pub(super) fn new(
        base: usize,
        phases: &'a [Vec<Phase>],
        courses: &'a [Vec<Course>],
        matching: &'a Matching,
    ) -> Self {
        let of_course = |names: &BTreeMap<MappingId, usize>, course: &Course| {
            let groups = course.groups.iter().enumerate();
            groups.filter_map(|(at, (id, _))| Some((*names.get(id)?, at))).collect()
        };
        let places = courses.iter().zip(&matching.of);
        let places = places.map(|(courses, names)| {
            courses.iter().map(|course| of_course(names, course)).collect()
        });
        let mut present = vec![(0, 0); matching.mappings.len()];
        for (run, names) in matching.of.iter().enumerate() {
            for mapping in names.values().copied().collect::<BTreeSet<usize>>() {
                if let Some((old, new)) = present.get_mut(mapping) {
                    *(if run < base { old } else { new }) += 1;
                }
            }
        }
        Self { base, phases, courses, matching, places: places.collect(), present }
    }

    /// The place of the course of a phase in all runs; `None` where a run does not have it.
    fn of_phase(&self, name: Option<&String>) -> Option<Vec<usize>> {
        let of = |(phases, courses): (&Vec<Phase>, &Vec<Course>)| {
            let at = phases.iter().position(|phase| phase.name.as_ref() == name);
            at.filter(|at| *at < courses.len())
        };
        self.phases.iter().zip(self.courses).map(of).collect()
    }

    /// The place of a mapping in a course of a run.
    fn group(&self, run: usize, course: usize, mapping: usize) -> Option<usize> {
        self.places.get(run)?.get(course)?.get(&mapping).copied()
    }

    pub(super) fn metrics(&self, history: Option<&History>, options: &Options) -> Vec<Compared> {
        let (totals, of_mappings) =
            (by_measure(Metric::totals()), by_measure(Metric::of_mappings()));
        let mappings: Vec<String> = self.matching.mappings.iter().map(MappingId::label).collect();
        let mut wanted: Vec<Wanted> = Vec::new();
        for phase in self.phases.first().into_iter().flatten() {
            let Some(courses) = self.of_phase(phase.name.as_ref()) else { continue };
            let all = std::iter::once((None, &totals)).chain(
                mappings.iter().enumerate().map(|(at, l)| (Some((at, l.clone())), &of_mappings)),
            );
            for (mapping, measures) in all {
                wanted.extend(measures.iter().map(|(measure, statistics)| Wanted {
                    phase: phase.name.clone(),
                    courses: courses.clone(),
                    mapping: mapping.clone(),
                    measure: *measure,
                    statistics: statistics.clone(),
                }));
            }
        }
        let one = |wanted: &Wanted| self.compared(wanted, history, options);
        wanted.par_iter().flat_map_iter(one).collect()
    }

    /// One measure, by each rule that is about one of its statistics; nothing where not all runs have it.
    fn compared(
        &self,
        wanted: &Wanted,
        history: Option<&History>,
        options: &Options,
    ) -> Vec<Compared> {
        let lost = wanted.mapping.as_ref().is_some_and(|(index, _)| self.is_lost(*index));
        let lost =
            lost.then(|| "no new recording has it; it may be called otherwise now".to_owned());
        let by_rule = |told: Compared| -> Vec<Compared> {
            let about = options.rules.iter().filter(|rule| rule.metrics.matches(&told.metric));
            let gated: Vec<Compared> = about
                .map(|Rule { threshold, text, .. }| Compared {
                    limit: threshold.bytes(told.base_mean),
                    threshold: *threshold,
                    rule: Some(text.clone()),
                    reason: told.reason.clone().or_else(|| lost.clone()),
                    ..told.clone()
                })
                .collect();
            if gated.is_empty() { vec![told] } else { gated }
        };
        self.told(wanted, history, options).into_iter().flat_map(by_rule).collect()
    }

    /// Whether a mapping is in some run of the base and in no new one. Nobody can say then that it got smaller.
    fn is_lost(&self, mapping: usize) -> bool {
        self.present.get(mapping).is_some_and(|(_, new)| *new == 0)
    }

    /// The statistics of one measure, without rules.
    fn told(&self, wanted: &Wanted, history: Option<&History>, options: &Options) -> Vec<Compared> {
        let Wanted { measure, mapping, .. } = wanted;
        let of = |(run, (courses, at)): (usize, (&'a Vec<Course>, &usize))| {
            let course = courses.get(*at)?;
            Some(match mapping {
                None => Of::total(course, *measure),
                Some((index, _)) => Of::group(course, self.group(run, *at, *index), *measure),
            })
        };
        let runs: Option<Vec<Of<'a>>> =
            self.courses.iter().zip(&wanted.courses).enumerate().map(of).collect();
        let Some(runs) = runs else { return Vec::new() };
        let base = self.phases.iter().take(self.base).map(Vec::as_slice);
        let usual = phases::usual_ns(base, wanted.phase.as_ref());
        let runs = AllRuns::new(runs, self.lengths(wanted, usual, options.align));
        let one = |statistic: &Statistic| {
            let metric = Metric {
                phase: wanted.phase.clone(),
                mapping: mapping.as_ref().map(|(_, label)| label.clone()),
                measure: *measure,
                statistic: *statistic,
            };
            // Totals are kept by second.
            let scale = if *statistic == Statistic::Total { usual / 1e9 } else { 1.0 };
            let known = history.and_then(|history| history.variance(&metric));
            let known = known.map(|(variance, freedom)| (variance * scale * scale, freedom));
            self.one(metric, &runs, known, options)
        };
        wanted.statistics.iter().filter_map(one).collect()
    }

    /// Lengths of a phase, as shares of how long it usually is, in the mean of the base. All are the same by time. By progress, a run that took
    /// twice as long for the same has twice the samples and would have accessed twice as much.
    fn lengths(&self, wanted: &Wanted, usual: f64, align: Align) -> Vec<f64> {
        let length = |(phases, at): (&Vec<Phase>, &usize)| {
            let time = phases.get(*at).map(|phase| &phase.time);
            time.map_or(0.0, |time| float(time.end.saturating_sub(time.start)))
        };
        let lengths: Vec<f64> = self.phases.iter().zip(&wanted.courses).map(length).collect();
        let share = |length: &f64| match align {
            Align::Progress | Align::Marks if usual > 0.0 && *length > 0.0 => length / usual,
            Align::Progress | Align::Marks | Align::Time => 1.0,
        };
        lengths.iter().map(share).collect()
    }

    /// One metric, without a rule. From a history its variance from run to run may be `known`, with degrees of freedom.
    fn one(
        &self,
        metric: Metric,
        runs: &AllRuns<'_>,
        known: Option<(f64, usize)>,
        options: &Options,
    ) -> Option<Compared> {
        let all = runs.values(metric.statistic)?;
        let (base, new) = all.split_at_checked(self.base)?;
        let within = runs.within(metric.statistic, &all);
        let (base_mean, new_mean) = (noise::mean(base), noise::mean(new));
        let assumed = options.run_noise * base_mean.abs().max(new_mean.abs());
        let prior = match known {
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
        let few = runs.parts < noise::FEWEST;
        let threshold = options.otherwise;
        let least = runs.least_moments();
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
            intervals_guessed: recording.view.overview.has_guessed_intervals(),
            mean_sample_us: alike::mean_sample_us(&recording.view.overview),
            wait_status: ended::wait_status(&recording.view.overview),
            phases: self.phases.get(run).cloned().unwrap_or_default(),
            moments: self.courses.get(run).into_iter().flatten().map(|c| c.moments.len()).collect(),
            values: values(run),
        };
        all.iter().zip(settings).enumerate().map(of).collect()
    }

    pub(super) fn unmatched(&self) -> Vec<Unmatched> {
        let mut list = Vec::new();
        let mappings = self.matching.mappings.iter().zip(&self.present).enumerate();
        for (index, (id, (base, new))) in mappings {
            if *base > 0 && *new > 0 {
                continue;
            }
            let size = noise::mean(&self.sizes(index));
            let (base, new) = (*base, *new);
            list.push(Unmatched { label: id.label(), mapping: id.clone(), base, new, size });
        }
        list.sort_by(|a, b| b.size.total_cmp(&a.size).then_with(|| a.mapping.cmp(&b.mapping)));
        list
    }

    /// Mean sizes of a mapping in the runs that have it, over their phases.
    fn sizes(&self, mapping: usize) -> Vec<f64> {
        let of_run = |(run, courses): (usize, &Vec<Course>)| {
            let places = self.places.get(run)?;
            places.iter().find(|places| places.contains_key(&mapping))?;
            let of = |(course, places): (&Course, &HashMap<usize, usize>)| {
                let group = places.get(&mapping).copied();
                let of = Of::group(course, group, Measure::Size);
                of.statistic(&Ordered::default(), Statistic::Mean)
            };
            let sizes: Vec<f64> = courses.iter().zip(places).filter_map(of).collect();
            Some(noise::mean(&sizes))
        };
        self.courses.iter().enumerate().filter_map(of_run).collect()
    }
}
