//! Memory that is held against memory that is used: resident and virtual size, swap and faults over time, and the working set.

mod proportional;

pub use proportional::ProportionalSample;

use super::distribution::{Distribution, if_known};
use super::load::Trace;
use super::num::float;
use super::samples::Samples;
use super::select::Selection;
use super::view::View;
use super::wss::WorkingSetOptions;
use damon_format::{Record, TargetId};
use proportional::Proportional;
use serde::Serialize;
use std::collections::BTreeMap;

/// What a process held at a moment, or several processes together; of the whole machine, what was in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct FootprintSample {
    /// When.
    pub time_ns: u64,
    /// Resident memory (RSS), bytes; what several processes share counts for each of them.
    pub rss: u64,
    /// Swapped out, bytes.
    pub swap: u64,
    /// Address space, bytes.
    pub virtual_size: u64,
    /// Minor faults a second since the sample before; absent for the first.
    pub minor_faults: Option<f64>,
    /// Major faults a second since the sample before; absent for the first.
    pub major_faults: Option<f64>,
}

/// Memory of the machine in use at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct MachineSample {
    /// When.
    pub time_ns: u64,
    /// Memory that is not free, bytes.
    pub used: u64,
    /// Memory that could not be had without swapping, bytes.
    pub unavailable: u64,
    /// Swap space in use, bytes.
    pub swap: u64,
}

/// How sizes were distributed; each sample weighs as long as it was the latest.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Sizes {
    /// Resident memory.
    #[serde(serialize_with = "if_known")]
    pub rss: Distribution,
    /// Swapped out.
    #[serde(serialize_with = "if_known")]
    pub swap: Distribution,
    /// Address space.
    #[serde(serialize_with = "if_known")]
    pub virtual_size: Distribution,
    /// Resident memory, what is shared in proportion; empty where that was not recorded.
    #[serde(serialize_with = "if_known")]
    pub pss: Distribution,
    /// The same of what is swapped out.
    #[serde(serialize_with = "if_known")]
    pub swap_pss: Distribution,
}

/// Footprint of one target.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TargetFootprint {
    /// Whose.
    pub target: TargetId,
    /// Over time.
    pub samples: Vec<FootprintSample>,
    /// What is shared in proportion, over time; empty where that was not recorded.
    pub proportional: Vec<ProportionalSample>,
    /// Distributions.
    pub sizes: Sizes,
}

/// Footprint of a recording or a part of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Footprint {
    /// Each target for itself.
    pub targets: Vec<TargetFootprint>,
    /// All targets together, at each moment at which one of them changed.
    pub samples: Vec<FootprintSample>,
    /// The same of what is shared in proportion.
    pub proportional: Vec<ProportionalSample>,
    /// Distributions of all together.
    pub sizes: Sizes,
    /// The machine, where that was recorded.
    pub machine: Vec<MachineSample>,
    /// Distribution of its memory in use.
    pub machine_used: Option<Distribution>,
    /// Distribution of the touched working set, an upper estimate.
    pub touched: Distribution,
    /// Distribution of the expected working set, a lower one.
    pub expected: Distribution,
    /// Mean resident memory (of the machine, where no process was recorded: memory in use) over the mean touched
    /// working set: how many times what is used is held.
    pub resident_per_touched: Option<f64>,
    /// The same over the mean expected working set.
    pub resident_per_expected: Option<f64>,
    /// Mean proportional memory over the mean touched working set.
    pub proportional_per_touched: Option<f64>,
    /// The same over the mean expected working set.
    pub proportional_per_expected: Option<f64>,
}

impl View {
    /// Footprint, and the working set over the same time.
    pub fn footprint(&self, trace: &Trace, options: WorkingSetOptions) -> (Footprint, Samples) {
        let set = self.working_set(trace, options);
        let mut found = Footprint::new(&self.overview.records, &self.selection, self.time().end);
        let rss = &found.sizes.rss;
        let held = match (&found.machine_used, rss.percentiles.is_empty()) {
            (Some(used), true) => Some(used.mean),
            (_, false) => Some(rss.mean),
            (None, true) => None,
        };
        let pss = &found.sizes.pss;
        let shared = (!pss.percentiles.is_empty()).then_some(pss.mean);
        let over = |held: Option<f64>, used: f64| held.filter(|_| used > 0.0).map(|h| h / used);
        found.resident_per_touched = over(held, set.touched.mean);
        found.resident_per_expected = over(held, set.expected.mean);
        found.proportional_per_touched = over(shared, set.touched.mean);
        found.proportional_per_expected = over(shared, set.expected.mean);
        found.touched = set.touched;
        found.expected = set.expected;
        (found, set.samples)
    }
}

impl Footprint {
    /// Without the working set; the last samples hold until `end_ns`. What holds when the selected time begins is there as
    /// of its start.
    fn new(records: &[Record], selection: &Selection, end_ns: u64) -> Self {
        let mut proportional = Proportional::default();
        let mut targets: BTreeMap<TargetId, Vec<FootprintSample>> = BTreeMap::new();
        let mut counts: BTreeMap<TargetId, (u64, u64, u64)> = BTreeMap::new();
        let mut current: BTreeMap<TargetId, FootprintSample> = BTreeMap::new();
        let mut samples: Vec<FootprintSample> = Vec::new();
        let mut machine = Vec::new();
        let from_ns = selection.time.start;
        let mut held: (BTreeMap<TargetId, FootprintSample>, Option<MachineSample>) =
            Default::default();
        for record in records {
            proportional.record(record, selection);
            let time_ns = record.time_ns();
            match record {
                Record::Memory(sample) if selection.has_target(sample.target) => {
                    let faults = (time_ns, sample.minor_faults, sample.major_faults);
                    let before = counts.insert(sample.target, faults);
                    // How fast faults came before the selected time is not asked, and what that took may not have been read.
                    let is_asked = selection.has_record(record);
                    let rate = |now: u64, before_ns: u64, before: u64| {
                        let time = float(time_ns.saturating_sub(before_ns)) / 1e9;
                        (is_asked && time > 0.0).then(|| float(now.saturating_sub(before)) / time)
                    };
                    let one = FootprintSample {
                        time_ns,
                        rss: sample.rss,
                        swap: sample.swap,
                        virtual_size: sample.virtual_size,
                        minor_faults: before.and_then(|b| rate(sample.minor_faults, b.0, b.1)),
                        major_faults: before.and_then(|b| rate(sample.major_faults, b.0, b.2)),
                    };
                    current.insert(sample.target, one);
                    if time_ns < from_ns {
                        held.0.insert(sample.target, FootprintSample { time_ns: from_ns, ..one });
                    }
                    if is_asked {
                        targets.entry(sample.target).or_default().push(one);
                    }
                }
                Record::TargetExited(exited) => {
                    if time_ns < from_ns {
                        held.0.remove(&exited.target);
                    }
                    if current.remove(&exited.target).is_none() {
                        continue;
                    }
                }
                Record::SystemMemory(sample) => {
                    let one = MachineSample {
                        time_ns: time_ns.max(from_ns),
                        used: sample.total.saturating_sub(sample.free),
                        unavailable: sample.total.saturating_sub(sample.available),
                        swap: sample.swap_total.saturating_sub(sample.swap_free),
                    };
                    if time_ns < from_ns {
                        held.1 = Some(one);
                    } else if selection.has_record(record) {
                        machine.push(one);
                    }
                    continue;
                }
                _ => continue,
            }
            if !selection.has_record(record) {
                continue;
            }
            let sum = together(time_ns, &current);
            match samples.last_mut() {
                Some(last) if last.time_ns == time_ns => *last = sum,
                _ => samples.push(sum),
            }
        }
        if !held.0.is_empty() {
            put_first(&mut samples, together(from_ns, &held.0), |s| s.time_ns);
        }
        for (target, one) in held.0 {
            put_first(targets.entry(target).or_default(), one, |s| s.time_ns);
        }
        if let Some(one) = held.1 {
            put_first(&mut machine, one, |s| s.time_ns);
        }
        let mut proportional = proportional.finish(from_ns);
        let used = lasting(&machine, |s| s.time_ns, end_ns, |s| s.used);
        let of_target = |(target, samples): (TargetId, Vec<FootprintSample>)| {
            let proportional = proportional.targets.remove(&target).unwrap_or_default();
            let sizes = Sizes::of(&samples, &proportional, end_ns);
            TargetFootprint { target, samples, proportional, sizes }
        };
        Self {
            targets: targets.into_iter().map(of_target).collect(),
            sizes: Sizes::of(&samples, &proportional.together, end_ns),
            samples,
            proportional: proportional.together,
            machine_used: (!machine.is_empty()).then_some(used),
            machine,
            touched: Distribution::default(),
            expected: Distribution::default(),
            resident_per_touched: None,
            resident_per_expected: None,
            proportional_per_touched: None,
            proportional_per_expected: None,
        }
    }
}

fn together(time_ns: u64, all: &BTreeMap<TargetId, FootprintSample>) -> FootprintSample {
    let add = |a: Option<f64>, b: Option<f64>| match (a, b) {
        (Some(a), Some(b)) => Some(a + b),
        (a, b) => a.or(b),
    };
    all.values().fold(FootprintSample { time_ns, ..FootprintSample::default() }, |sum, one| {
        FootprintSample {
            time_ns,
            rss: sum.rss.saturating_add(one.rss),
            swap: sum.swap.saturating_add(one.swap),
            virtual_size: sum.virtual_size.saturating_add(one.virtual_size),
            minor_faults: add(sum.minor_faults, one.minor_faults),
            major_faults: add(sum.major_faults, one.major_faults),
        }
    })
}

impl Sizes {
    fn of(samples: &[FootprintSample], shared: &[ProportionalSample], end_ns: u64) -> Self {
        let of =
            |value: fn(&FootprintSample) -> u64| lasting(samples, |s| s.time_ns, end_ns, value);
        Self {
            rss: of(|s| s.rss),
            swap: of(|s| s.swap),
            virtual_size: of(|s| s.virtual_size),
            pss: lasting(shared, |s| s.time_ns, end_ns, |s| s.pss),
            swap_pss: lasting(shared, |s| s.time_ns, end_ns, |s| s.swap_pss),
        }
    }
}

/// Puts what held at a moment before all that came later.
fn put_first<T>(samples: &mut Vec<T>, held: T, time: impl Fn(&T) -> u64) {
    if samples.first().is_none_or(|first| time(&held) < time(first)) {
        samples.insert(0, held);
    }
}

/// Each value holds until the next one, the last until `end_ns`.
fn lasting<T>(
    samples: &[T],
    time: impl Fn(&T) -> u64,
    end_ns: u64,
    value: impl Fn(&T) -> u64,
) -> Distribution {
    let until = samples.iter().skip(1).map(&time).chain([end_ns]);
    let weighted = samples.iter().zip(until);
    let weighted = weighted.map(|(s, until)| (float(value(s)), until.saturating_sub(time(s))));
    Distribution::of(weighted.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use damon_format::{MemorySample, ProportionalMemory, SystemMemory, TargetExited};

    const S: u64 = 1_000_000_000;

    fn memory(target: u32, time_ns: u64, rss: u64, minor_faults: u64) -> Record {
        Record::Memory(MemorySample {
            target: TargetId(target),
            time_ns,
            rss,
            swap: 1,
            virtual_size: 2 * rss,
            minor_faults,
            major_faults: 0,
        })
    }

    #[test]
    fn targets_are_added_up_while_they_are_there() {
        let exited = TargetExited { target: TargetId(1), time_ns: 4 * S, wait_status: None };
        let records = [
            memory(0, 0, 100, 10),
            memory(1, S, 50, 0),
            memory(0, 2 * S, 200, 30),
            Record::TargetExited(exited),
        ];
        let found = Footprint::new(&records, &Selection::everything(), 5 * S);
        let sums: Vec<_> = found.samples.iter().map(|s| (s.time_ns / S, s.rss, s.swap)).collect();
        assert_eq!(sums, [(0, 100, 1), (1, 150, 2), (2, 250, 2), (4, 200, 1)]);
        // 100, 150, 250, 250, 200, a second each.
        assert!((found.sizes.rss.mean - 190.0).abs() < 1e-9);
        assert_eq!(found.sizes.rss.at(100), Some(250.0));
        assert_eq!(found.targets[0].samples[1].minor_faults, Some(10.0));
        assert_eq!(found.targets[0].samples[0].minor_faults, None);
        // 100 for two seconds, then 200 for three.
        assert!((found.targets[0].sizes.rss.mean - 160.0).abs() < 1e-9);
        let part = Selection { time: S..3 * S, ..Selection::everything() };
        let part = Footprint::new(&records, &part, 3 * S);
        assert_eq!(part.samples.iter().map(|s| s.rss).collect::<Vec<_>>(), [150, 250]);
    }

    #[test]
    fn what_held_before_a_part_holds_in_it() {
        let exited = TargetExited { target: TargetId(1), time_ns: 3 * S, wait_status: None };
        let system = |time_ns, free| {
            let (total, available, swap_total, swap_free) = (100, free, 0, 0);
            let sample = SystemMemory { time_ns, total, free, available, swap_total, swap_free };
            Record::SystemMemory(sample)
        };
        let records = [
            memory(0, 0, 100, 10),
            memory(1, S, 50, 0),
            system(S, 30),
            Record::TargetExited(exited),
            memory(0, 6 * S, 200, 30),
            system(6 * S, 20),
        ];
        let in_part = |from: u64, to: u64| {
            let part = Selection { time: from * S..to * S, ..Selection::everything() };
            Footprint::new(&records, &part, to * S)
        };
        let sums = |found: &Footprint| -> Vec<(u64, u64)> {
            found.samples.iter().map(|s| (s.time_ns / S, s.rss)).collect()
        };
        let between = in_part(4, 5);
        assert_eq!(sums(&between), [(4, 100)], "the other one has exited");
        assert_eq!((between.targets.len(), between.sizes.rss.mean), (1, 100.0));
        assert_eq!(between.machine.iter().map(|s| s.used).collect::<Vec<_>>(), [70]);
        let across = in_part(2, 8);
        assert_eq!(sums(&across), [(2, 150), (3, 100), (6, 200)]);
        assert_eq!(across.samples[0].minor_faults, None);
        // 150 for one second, 100 for three, 200 for two.
        assert!((across.sizes.rss.mean - 850.0 / 6.0).abs() < 1e-9);
        // 70 for four, 80 for two.
        assert!((across.machine_used.unwrap().mean - 440.0 / 6.0).abs() < 1e-9);
        assert_eq!(sums(&in_part(0, 1)), [(0, 100), (1, 150)], "at its end belongs to it");
    }

    #[test]
    fn what_is_shared_in_proportion_has_a_time_line_of_its_own() {
        let shared = |target: u32, time_ns: u64, pss: u64| {
            let target = TargetId(target);
            Record::ProportionalMemory(ProportionalMemory { target, time_ns, pss, swap_pss: 3 })
        };
        let exited = TargetExited { target: TargetId(1), time_ns: 4 * S, wait_status: None };
        let records = [
            memory(0, 0, 100, 10),
            shared(0, S, 60),
            memory(1, S, 50, 0),
            shared(1, 2 * S, 20),
            shared(0, 3 * S, 70),
            Record::TargetExited(exited),
        ];
        let found = Footprint::new(&records, &Selection::everything(), 5 * S);
        let of = |all: &[ProportionalSample]| -> Vec<_> {
            all.iter().map(|s| (s.time_ns / S, s.pss, s.swap_pss)).collect()
        };
        assert_eq!(of(&found.proportional), [(1, 60, 3), (2, 80, 6), (3, 90, 6), (4, 70, 3)]);
        assert_eq!(of(&found.targets[1].proportional), [(2, 20, 3)]);
        // 60, 80, 90 and 70, a second each.
        assert!((found.sizes.pss.mean - 75.0).abs() < 1e-9);
        // 60 for two seconds and 70 for two.
        assert!((found.targets[0].sizes.pss.mean - 65.0).abs() < 1e-9);
        // What held when a part begins is there from its start on.
        let part = Selection { time: 5 * S / 2..5 * S, ..Selection::everything() };
        let part = Footprint::new(&records, &part, 5 * S);
        assert_eq!(of(&part.proportional), [(2, 80, 6), (3, 90, 6), (4, 70, 3)]);
        assert_eq!(of(&part.targets[0].proportional), [(2, 60, 3), (3, 70, 3)]);
        let none = Footprint::new(&records[..1], &Selection::everything(), 5 * S);
        assert!(none.sizes.pss.percentiles.is_empty() && none.proportional.is_empty());
        // What is not known is null and not 0.
        let json = serde_json::to_value(&none.sizes).unwrap();
        assert!(json["pss"].is_null() && json["swap_pss"].is_null(), "{json}");
        assert!(json["rss"]["mean"].is_number(), "{json}");
    }

    #[test]
    fn of_a_machine_what_is_not_free_is_used() {
        let sample = SystemMemory {
            time_ns: S,
            total: 100,
            free: 30,
            available: 60,
            swap_total: 10,
            swap_free: 4,
        };
        let found =
            Footprint::new(&[Record::SystemMemory(sample)], &Selection::everything(), 9 * S);
        let machine = MachineSample { time_ns: S, used: 70, unavailable: 40, swap: 6 };
        assert_eq!(found.machine, [machine]);
        assert_eq!(found.machine_used.and_then(|used| used.at(50)), Some(70.0));
        assert!(found.samples.is_empty());
    }
}
