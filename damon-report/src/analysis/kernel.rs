//! What a recording says of the kernel beside accesses: schemes in force, the monitoring thread, free memory.

use super::num::float;
use damon_format::{EffectiveQuota, KdamondCpu, Record, SchemeStats, SystemMemory};
use serde::Serialize;
use std::collections::BTreeMap;

/// One DAMOS scheme that was in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SchemeInfo {
    /// Its index.
    pub scheme: u32,
    /// The scheme, in the form that `damo` reads; empty when its record is missing.
    pub json: String,
    /// Who applied it; empty when its record is missing.
    pub by: String,
    /// Its last statistics, which count from its installation.
    pub stats: Option<SchemeStats>,
    /// Its last effective quota, bytes per window.
    pub effective_quota: Option<u64>,
}

/// Memory of the machine while it was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct MachineMemory {
    /// Memory that the kernel manages, bytes.
    pub total: u64,
    /// The least that was free, bytes.
    pub free_least: u64,
    /// The most that was free, bytes.
    pub free_most: u64,
    /// The least that was available without swapping, bytes.
    pub available_least: u64,
    /// Swap space, bytes.
    pub swap_total: u64,
    /// The most of it that was in use, bytes.
    pub swap_used_most: u64,
}

impl MachineMemory {
    fn of(sample: &SystemMemory) -> Self {
        Self {
            total: sample.total,
            free_least: sample.free,
            free_most: sample.free,
            available_least: sample.available,
            swap_total: sample.swap_total,
            swap_used_most: sample.swap_total.saturating_sub(sample.swap_free),
        }
    }

    fn add(&mut self, sample: &SystemMemory) {
        let one = Self::of(sample);
        self.total = self.total.max(one.total);
        self.free_least = self.free_least.min(one.free_least);
        self.free_most = self.free_most.max(one.free_most);
        self.available_least = self.available_least.min(one.available_least);
        self.swap_total = self.swap_total.max(one.swap_total);
        self.swap_used_most = self.swap_used_most.max(one.swap_used_most);
    }
}

/// Everything of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct KernelInfo {
    /// Schemes, by index.
    pub schemes: Vec<SchemeInfo>,
    /// Share of one CPU that the kernel's monitoring threads used; absent where they were not recorded.
    pub kdamond_cpu_share: Option<f64>,
    /// Memory of the machine; absent in recordings that do not tell.
    pub memory: Option<MachineMemory>,
}

impl KernelInfo {
    /// Collects it.
    pub fn new(records: &[Record]) -> Self {
        let mut schemes: BTreeMap<u32, SchemeInfo> = BTreeMap::new();
        let mut scheme = |index: u32, change: &mut dyn FnMut(&mut SchemeInfo)| {
            change(schemes.entry(index).or_insert_with(|| SchemeInfo {
                scheme: index,
                json: String::new(),
                by: String::new(),
                stats: None,
                effective_quota: None,
            }));
        };
        let mut threads: BTreeMap<u32, (KdamondCpu, KdamondCpu)> = BTreeMap::new();
        let mut memory: Option<MachineMemory> = None;
        for record in records {
            match record {
                Record::SchemeInstalled(new) => scheme(new.scheme, &mut |one| {
                    one.json.clone_from(&new.json);
                    one.by.clone_from(&new.by);
                }),
                Record::SchemeStats(stats) => {
                    scheme(stats.scheme, &mut |one| one.stats = Some(*stats));
                }
                Record::EffectiveQuota(EffectiveQuota { scheme: index, bytes, .. }) => {
                    scheme(*index, &mut |one| one.effective_quota = Some(*bytes));
                }
                Record::KdamondCpu(sample) => {
                    threads.entry(sample.thread).or_insert((*sample, *sample)).1 = *sample;
                }
                Record::SystemMemory(sample) => match &mut memory {
                    Some(memory) => memory.add(sample),
                    None => memory = Some(MachineMemory::of(sample)),
                },
                _ => {}
            }
        }
        Self {
            schemes: schemes.into_values().collect(),
            kdamond_cpu_share: share(threads.values()),
            memory,
        }
    }
}

fn share<'a, I: Iterator<Item = &'a (KdamondCpu, KdamondCpu)>>(threads: I) -> Option<f64> {
    let (mut cpu_us, mut wall_ns) = (0_u64, 0_u64);
    for (first, last) in threads {
        cpu_us = cpu_us.saturating_add(last.cpu_us.saturating_sub(first.cpu_us));
        wall_ns = wall_ns.saturating_add(last.time_ns.saturating_sub(first.time_ns));
    }
    (wall_ns > 0).then(|| float(cpu_us) * 1000.0 / float(wall_ns))
}

#[cfg(test)]
mod tests {
    use super::*;
    use damon_format::SchemeInstalled;

    #[test]
    fn the_last_word_of_each_scheme_counts() {
        let stats = |scheme, nr_tried| SchemeStats {
            time_ns: 1,
            scheme,
            nr_tried,
            sz_tried: 0,
            nr_applied: 0,
            sz_applied: 0,
            qt_exceeds: 0,
            sz_ops_filter_passed: None,
            nr_snapshots: None,
        };
        let installed =
            SchemeInstalled { time_ns: 1, scheme: 1, json: "{}".into(), by: "kernel".into() };
        let info = KernelInfo::new(&[
            Record::SchemeInstalled(installed),
            Record::SchemeStats(stats(1, 5)),
            Record::SchemeStats(stats(1, 9)),
            Record::SchemeStats(stats(3, 2)),
        ]);
        let [one, other] = info.schemes.as_slice() else { panic!("{info:?}") };
        assert_eq!((one.scheme, one.by.as_str(), one.stats), (1, "kernel", Some(stats(1, 9))));
        assert_eq!((other.scheme, other.json.as_str()), (3, ""), "its record is missing");
    }

    #[test]
    fn cpu_time_is_a_share_and_memory_a_range() {
        let cpu = |time_ns, cpu_us| Record::KdamondCpu(KdamondCpu { time_ns, thread: 7, cpu_us });
        let memory = |free| {
            Record::SystemMemory(SystemMemory {
                time_ns: 0,
                total: 100,
                free,
                available: free + 1,
                swap_total: 50,
                swap_free: free / 2,
            })
        };
        let info = KernelInfo::new(&[
            cpu(1_000_000_000, 700),
            memory(40),
            memory(20),
            cpu(2_000_000_000, 10_700),
        ]);
        assert!((info.kdamond_cpu_share.unwrap() - 0.01).abs() < 1e-9, "{info:?}");
        let memory = info.memory.unwrap();
        assert_eq!((memory.free_least, memory.free_most, memory.swap_used_most), (20, 40, 40));
        assert_eq!(
            KernelInfo::new(&[cpu(1, 700)]).kdamond_cpu_share,
            None,
            "one sample tells nothing"
        );
    }
}
