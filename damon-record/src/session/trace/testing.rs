//! What the tests of recordings in several files share.

use damon_format::{
    Attrs, EffectiveQuota, IntervalsChanged, Mapping, MappingsChanged, Permissions, Record,
    SchemeInstalled, TargetExecuted, TargetExited, TargetId, TargetKind, TargetStarted,
};
use proptest::prelude::*;

/// What a reader knows, kept in the plainest way.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Reader {
    targets: Vec<Known>,
    attrs: Option<IntervalsChanged>,
    schemes: Vec<SchemeInstalled>,
    quotas: Vec<EffectiveQuota>,
}

#[derive(Debug, PartialEq)]
struct Known {
    started: TargetStarted,
    executed: Option<TargetExecuted>,
    mappings: Option<Vec<Mapping>>,
}

impl Reader {
    pub(super) fn of(records: impl IntoIterator<Item = Record>) -> Self {
        let mut reader = Self::default();
        for record in records {
            reader.read(record);
        }
        reader
    }

    /// How many mappings each target has.
    pub(super) fn targets_with_mappings(&self) -> Vec<usize> {
        self.targets.iter().map(|t| t.mappings.as_ref().map_or(0, Vec::len)).collect()
    }

    pub(super) fn read(&mut self, record: Record) {
        let found =
            |targets: &mut Vec<Known>, id| targets.iter().position(|t| t.started.target == id);
        match record {
            Record::TargetStarted(started) => {
                self.targets.push(Known { started, executed: None, mappings: None });
                self.targets.sort_by_key(|t| t.started.target);
            }
            Record::TargetExecuted(executed) => {
                if let Some(i) = found(&mut self.targets, executed.target) {
                    let known = &mut self.targets[i];
                    known.executed = Some(executed);
                    known.mappings.iter_mut().for_each(Vec::clear);
                }
            }
            Record::TargetExited(exited) => {
                self.targets.retain(|t| t.started.target != exited.target);
            }
            Record::IntervalsChanged(changed) => self.attrs = Some(changed),
            Record::SchemeInstalled(installed) => {
                self.schemes.retain(|known| known.scheme != installed.scheme);
                self.schemes.push(installed);
                self.schemes.sort_by_key(|known| known.scheme);
            }
            Record::EffectiveQuota(quota) => {
                self.quotas.retain(|known| known.scheme != quota.scheme);
                self.quotas.push(quota);
                self.quotas.sort_by_key(|known| known.scheme);
            }
            Record::MappingsChanged(changed) => {
                if let Some(i) = found(&mut self.targets, changed.target) {
                    let list = self.targets[i].mappings.get_or_insert_default();
                    list.retain(|m| !changed.removed.contains(&m.start));
                    for mapping in changed.added {
                        list.retain(|m| m.start != mapping.start);
                        list.push(mapping);
                    }
                    list.sort_by_key(|m| m.start);
                }
            }
            _ => {}
        }
    }
}

pub(super) fn mapping(start: u64, size: u64) -> Mapping {
    Mapping {
        start: start * 4096,
        end: (start + size) * 4096,
        permissions: Permissions::default(),
        offset: size,
        inode: 0,
        name: String::new(),
    }
}

pub(super) fn started(target: u32, time_ns: u64) -> Record {
    Record::TargetStarted(TargetStarted {
        target: TargetId(target),
        time_ns,
        kind: TargetKind::Process,
        pid: target + 100,
        start_ticks: time_ns,
        parent: target.checked_sub(1).map(TargetId),
        comm: format!("comm {target}"),
        exe: "exe".into(),
    })
}

/// Targets come once; everything else happens to any of them, whether it is there or not.
pub(super) fn histories(mappings: usize) -> impl Strategy<Value = Vec<Record>> {
    let many = prop::collection::vec((0_u64..400, 1_u64..9), 0..mappings);
    let one = (0_u8..14, 0_u32..5, many, prop::collection::vec(0_u64..400, 0..20));
    prop::collection::vec(one, 0..60).prop_map(|list| {
        let mut next = 0;
        let mut records = Vec::new();
        for ((what, target, added, removed), time_ns) in list.into_iter().zip(1_u64..) {
            let id = TargetId(target);
            records.push(match what {
                0..3 => {
                    next += 1;
                    started(next - 1, time_ns)
                }
                3 => Record::TargetExecuted(TargetExecuted {
                    target: id,
                    time_ns,
                    comm: format!("new {time_ns}"),
                    exe: String::new(),
                }),
                4 => Record::TargetExited(TargetExited { target: id, time_ns, wait_status: None }),
                5 => Record::IntervalsChanged(IntervalsChanged {
                    time_ns,
                    attrs: Attrs {
                        sample_us: time_ns,
                        aggr_us: 5,
                        update_us: 6,
                        min_nr_regions: 7,
                        max_nr_regions: 8,
                    },
                    reason: "why".into(),
                }),
                6 => Record::SchemeInstalled(SchemeInstalled {
                    time_ns,
                    scheme: target,
                    json: format!("{time_ns}"),
                    by: "kernel".into(),
                }),
                7 => Record::EffectiveQuota(EffectiveQuota {
                    time_ns,
                    scheme: target,
                    bytes: time_ns,
                }),
                _ => Record::MappingsChanged(MappingsChanged {
                    target: id,
                    time_ns,
                    removed: removed.into_iter().map(|page| page * 4096).collect(),
                    added: added.into_iter().map(|(start, size)| mapping(start, size)).collect(),
                }),
            });
        }
        records
    })
}
