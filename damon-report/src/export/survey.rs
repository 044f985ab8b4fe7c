//! What there is to export.

use crate::analysis::fold::Fold;
use crate::analysis::load::Trace;
use crate::analysis::select::Selection;
use damon_format::{ProbeColumn, ProbeColumns, Record, Sampling, SnapshotView, TargetId};
use std::collections::BTreeMap;

/// What there is of one target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetSurvey {
    /// Which one.
    pub target: TargetId,
    /// Begin of the first snapshot.
    pub start_ns: u64,
    /// End of the first snapshot.
    pub first_end_ns: u64,
    /// End of the last snapshot.
    pub end_ns: u64,
    /// Scale of the first snapshot.
    pub sampling: Sampling,
    /// Snapshots with intervals other than those of the snapshot before them.
    pub changes: u64,
    /// Number of snapshots.
    pub snapshots: u64,
    /// Of these, how many have no ages.
    pub without_ages: u64,
    /// How many have no regions among the selected addresses.
    pub empty: u64,
    last: Sampling,
}

/// What there is in a part of a recording.
#[derive(Clone, Debug)]
pub struct Survey<'a> {
    selection: &'a Selection,
    targets: BTreeMap<TargetId, TargetSurvey>,
    /// Most probe columns of a snapshot.
    pub probes: usize,
    /// Number of region rows.
    pub rows: u64,
    /// What probe columns are, from when on, in the order of the file.
    columns: Vec<ProbeColumns>,
}

impl<'a> Survey<'a> {
    /// Looks at a part of a trace once; `records` are all of its overview.
    pub fn read(trace: &Trace, selection: &'a Selection, records: &[Record]) -> Self {
        let survey = trace.fold(selection, || Self {
            selection,
            targets: BTreeMap::new(),
            probes: 0,
            rows: 0,
            columns: Vec::new(),
        });
        let columns = records.iter().filter_map(|record| match record {
            Record::ProbeColumns(columns) => Some(columns.clone()),
            _ => None,
        });
        Self { columns: columns.collect(), ..survey }
    }

    /// The targets that have snapshots, by number.
    pub fn targets(&self) -> impl Iterator<Item = &TargetSurvey> {
        self.targets.values()
    }

    /// One of them.
    pub fn target(&self, target: TargetId) -> Option<&TargetSurvey> {
        self.targets.get(&target)
    }

    /// What the probe columns of a target's snapshot are that begins then; fewer than there are where nothing says so.
    pub fn columns(&self, target: TargetId, start_ns: u64) -> &[ProbeColumn] {
        let mut of_target = self.columns.iter().filter(|columns| columns.target == target);
        let latest = of_target.rfind(|columns| columns.time_ns <= start_ns);
        latest.map(|latest| latest.columns.as_slice()).unwrap_or_default()
    }

    /// Number of snapshots without ages.
    pub fn without_ages(&self) -> u64 {
        self.targets.values().map(|t| t.without_ages).sum()
    }

    /// Number of snapshots.
    pub fn snapshots(&self) -> u64 {
        self.targets.values().map(|t| t.snapshots).sum()
    }
}

fn intervals(sampling: Sampling) -> (u64, u64) {
    (sampling.sample_us, sampling.aggr_us)
}

impl Fold for Survey<'_> {
    fn snapshot(&mut self, snapshot: &SnapshotView<'_>) {
        if !self.selection.has_snapshot(snapshot) {
            return;
        }
        let spans = snapshot.starts.iter().zip(snapshot.ends);
        let address = &self.selection.address;
        let pieces =
            spans.map(|(&start, &end)| address.pieces(snapshot.target, start, end).count());
        let rows = pieces.sum::<usize>() as u64;
        self.rows += rows;
        self.probes = self.probes.max(snapshot.probes.len());
        let target = self.targets.entry(snapshot.target).or_insert(TargetSurvey {
            target: snapshot.target,
            start_ns: snapshot.start_ns,
            first_end_ns: snapshot.end_ns,
            end_ns: snapshot.end_ns,
            sampling: snapshot.sampling,
            changes: 0,
            snapshots: 0,
            without_ages: 0,
            empty: 0,
            last: snapshot.sampling,
        });
        target.changes += u64::from(intervals(target.last) != intervals(snapshot.sampling));
        target.last = snapshot.sampling;
        target.snapshots += 1;
        target.without_ages += u64::from(snapshot.ages.is_none());
        target.empty += u64::from(rows == 0);
        target.start_ns = target.start_ns.min(snapshot.start_ns);
        target.end_ns = target.end_ns.max(snapshot.end_ns);
    }

    fn merge(&mut self, later: Self) {
        self.rows += later.rows;
        self.probes = self.probes.max(later.probes);
        for (id, target) in later.targets {
            let Some(sum) = self.targets.get_mut(&id) else {
                self.targets.insert(id, target);
                continue;
            };
            let border = intervals(sum.last) != intervals(target.sampling);
            sum.changes += target.changes + u64::from(border);
            sum.last = target.last;
            sum.snapshots += target.snapshots;
            sum.without_ages += target.without_ages;
            sum.empty += target.empty;
            sum.start_ns = sum.start_ns.min(target.start_ns);
            sum.end_ns = sum.end_ns.max(target.end_ns);
        }
    }
}
