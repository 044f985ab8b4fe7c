//! One pass over a recording: records, and what each target's snapshots cover.

use super::fold::{AHEAD, Fold};
use super::kept::{self, Kept};
use super::load::Trace;
use super::mapping_history::MappingHistory;
use super::records::{Keeper, Records};
use super::room::Room;
use super::select::Selection;
use super::spans::SpanSet;
use crate::import::are_intervals_guessed;
use damon_format::{
    BlockEntry, Damage, DamageKind, Record, Sampling, SnapshotView, TargetId, Visitor,
};
use rayon::prelude::*;
use serde::Serialize;
use std::collections::BTreeMap;
use std::ops::Range;

/// What people call a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TargetName {
    /// Its number in the trace.
    pub target: TargetId,
    /// Process id, 0 for physical memory.
    pub pid: u32,
    /// Command name (the last one, where the target executed several programs).
    pub comm: String,
}

impl TargetName {
    /// `work (pid 4711)`, or what is known of it.
    pub fn name(&self) -> String {
        match (self.comm.as_str(), self.pid) {
            ("", 0) => format!("target {}", self.target),
            ("", pid) => format!("pid {pid}"),
            (comm, 0) => comm.to_owned(),
            (comm, pid) => format!("{comm} (pid {pid})"),
        }
    }
}

/// What the snapshots of one target cover.
#[derive(Clone, Debug)]
pub struct TargetExtent {
    /// Which one.
    pub target: TargetId,
    /// All addresses that were monitored at some time.
    pub spans: SpanSet,
    /// Begin of the first snapshot.
    pub start_ns: u64,
    /// End of the last snapshot.
    pub end_ns: u64,
    /// Number of snapshots.
    pub snapshots: u64,
    /// Number of regions in all of them.
    pub rows: u64,
    /// Fewest regions in a snapshot.
    pub min_regions: usize,
    /// Most regions in a snapshot.
    pub max_regions: usize,
    /// Time the snapshots cover.
    pub observed_ns: u64,
    /// Time they should have covered by their aggregation intervals.
    pub nominal_ns: u64,
    /// Shortest snapshot.
    pub shortest_ns: u64,
    /// Longest snapshot.
    pub longest_ns: u64,
}

impl TargetExtent {
    pub(crate) fn empty(target: TargetId) -> Self {
        Self {
            target,
            spans: SpanSet::default(),
            start_ns: u64::MAX,
            end_ns: 0,
            snapshots: 0,
            rows: 0,
            min_regions: usize::MAX,
            max_regions: 0,
            observed_ns: 0,
            nominal_ns: 0,
            shortest_ns: u64::MAX,
            longest_ns: 0,
        }
    }

    fn add(&mut self, other: &Self) {
        self.spans.extend(&other.spans);
        self.start_ns = self.start_ns.min(other.start_ns);
        self.end_ns = self.end_ns.max(other.end_ns);
        self.snapshots += other.snapshots;
        self.rows += other.rows;
        self.min_regions = self.min_regions.min(other.min_regions);
        self.max_regions = self.max_regions.max(other.max_regions);
        self.observed_ns = self.observed_ns.saturating_add(other.observed_ns);
        self.nominal_ns = self.nominal_ns.saturating_add(other.nominal_ns);
        self.shortest_ns = self.shortest_ns.min(other.shortest_ns);
        self.longest_ns = self.longest_ns.max(other.longest_ns);
    }
}

/// What a recording, or a part of it, holds.
#[derive(Clone, Debug, Default)]
pub struct Overview {
    /// Records in file order: all that [matter](Trace::blocks_for) in the selected time, and more; except for those of
    /// [mappings](Self::mappings), and of what schemes were applied to, of which there are as many as there are snapshots.
    pub records: Vec<Record>,
    /// What the records say of mappings.
    pub mappings: MappingHistory,
    /// Targets with at least one snapshot, by number.
    pub targets: Vec<TargetExtent>,
    /// Different scales of counters, in order of appearance.
    pub samplings: Vec<Sampling>,
    /// Whether any snapshot has ages.
    pub has_ages: bool,
    /// What could not be read. Blocks that nothing was wanted of were not looked at.
    pub damage: Vec<Damage>,
}

impl Overview {
    /// Whether another tool's recording did not tell its intervals. Rates, and all that is made of them, are as good as the guess.
    pub fn has_guessed_intervals(&self) -> bool {
        let mut records = self.records.iter();
        records
            .any(|record| matches!(record, Record::Note(note) if are_intervals_guessed(&note.text)))
    }

    /// Reads what concerns a part of a trace, once.
    pub fn read(trace: &Trace, selection: &Selection) -> Self {
        let blocks = trace.blocks_for(selection);
        Self::of_blocks(trace, &blocks, selection, true)
    }

    /// The same with all records, whatever their time.
    pub fn read_all_records(trace: &Trace, selection: &Selection) -> Self {
        let blocks: Vec<_> = trace.blocks().iter().filter(|b| selection.may_hold(b)).collect();
        Self::of_blocks(trace, &blocks, selection, true)
    }

    /// `ages`: whether damage in ages is looked for, too, for what goes over them later.
    fn of_blocks(trace: &Trace, blocks: &[&BlockEntry], selection: &Selection, ages: bool) -> Self {
        let mut parts = Parts::of(trace);
        let keeper = parts.keeper.clone();
        let new = || OverviewVisitor { ages, ..OverviewVisitor::new(selection, &keeper) };
        let damage = trace.scan(blocks, selection, MANY_AHEAD, new, |part| parts.add(part));
        parts.finish(damage)
    }

    /// Reads a few blocks spread over the selected time: what all of it is probably like.
    pub(crate) fn sketch(trace: &Trace, selection: &Selection) -> Self {
        /// So many, the first and the last among them.
        const LOOKS: usize = 8;
        let blocks = trace.blocks().iter().filter(|b| b.snapshots > 0 && selection.overlaps(b));
        let blocks: Vec<_> = blocks.collect();
        let last = blocks.len().saturating_sub(1);
        let mut looked_at: Vec<usize> = (0..LOOKS).map(|i| last * i / (LOOKS - 1)).collect();
        looked_at.dedup();
        let mut found = Parts::of(trace);
        let parts = looked_at.into_par_iter().filter_map(|index| blocks.get(index)).map(|block| {
            let mut visitor = OverviewVisitor::new(selection, &found.keeper);
            // Whoever reads all of it meets the damage again.
            let _met_again: Result<(), Damage> = trace.visit_block(block, &mut visitor);
            visitor
        });
        let parts: Vec<_> = parts.collect();
        for part in parts {
            found.add(part);
        }
        found.finish(Vec::new())
    }

    /// [`read`](Self::read) that keeps the snapshots if they are few.
    pub(crate) fn read_and_keep(trace: &Trace, selection: &Selection) -> (Self, Option<Kept>) {
        let blocks = trace.blocks_for(selection);
        let snapshots = blocks.iter().filter(|block| selection.overlaps(block));
        let rows = snapshots.fold(0, |sum: u64, block| sum.saturating_add(block.rows));
        if rows > kept::MOST_ROWS {
            // Heat, which this is for, does not look at ages.
            return (Self::of_blocks(trace, &blocks, selection, false), None);
        }
        let (mut parts, mut kept) = (Parts::of(trace), Vec::new());
        let keeper = parts.keeper.clone();
        let kept_room = kept::room();
        let new = || Both((OverviewVisitor::new(selection, &keeper), kept::Part::new(&kept_room)));
        let damage = trace.scan(&blocks, selection, MANY_AHEAD, new, |Both((part, snapshots))| {
            parts.add(part);
            kept.push(snapshots);
        });
        (parts.finish(damage), Kept::new(kept))
    }

    /// Reads a trace once, and computes something of all of it in the same pass. Holds a few blocks' partial results at a
    /// time, as [`Trace::fold`].
    pub(crate) fn read_and_fold<F: Fold>(
        trace: &Trace,
        selection: &Selection,
        make: impl Fn() -> F + Sync,
    ) -> (Self, F) {
        let blocks = trace.blocks_for(selection);
        let (mut parts, mut sum) = (Parts::of(trace), make());
        let keeper = parts.keeper.clone();
        let new = || AndFold(OverviewVisitor::new(selection, &keeper), make());
        let damage = trace.scan(&blocks, selection, AHEAD, new, |AndFold(part, folded)| {
            parts.add(part);
            sum.merge(folded);
        });
        (parts.finish(damage), sum)
    }

    /// Of the records in a trace, and of snapshots that were seen elsewhere.
    pub(super) fn of_records(trace: &Trace, seen: OverviewVisitor<'_>) -> Self {
        let (mut parts, mut damage) = (Parts::of(trace), Vec::new());
        let mut records = OverviewVisitor::new(seen.selection, &parts.keeper);
        for block in trace.blocks() {
            damage.extend(trace.visit_records(block, &mut records).err());
        }
        parts.add(records);
        parts.add(seen);
        parts.finish(damage)
    }

    /// The records that [`read_all_records`](Self::read_all_records) finds, without a look at snapshots; `None` where something cannot
    /// be read.
    pub(super) fn records_alone(trace: &Trace, selection: &Selection) -> Option<Records> {
        let blocks: Vec<_> = trace.blocks().iter().filter(|b| selection.may_hold(b)).collect();
        let keeper = trace.keeper();
        let found = blocks.into_par_iter().map(|block| {
            let mut visitor = OverviewVisitor::new(selection, &keeper);
            trace.visit_records(block, &mut visitor).ok()?;
            Some(visitor.kept)
        });
        let found = found.collect::<Option<Vec<_>>>()?;
        let mut all = Records::default();
        for some in found {
            all.extend(some);
        }
        (!keeper.is_exceeded()).then_some(all)
    }

    /// Of snapshots that were seen, and records that are known.
    pub(super) fn of_snapshots(seen: OverviewVisitor<'_>, known: Records) -> Self {
        let mut parts = Parts::with(seen.keeper.clone());
        parts.add(seen);
        let Records { records, mappings } = known;
        Self { records, mappings, ..parts.finish(Vec::new()) }
    }

    /// From the start of the first to the end of the last snapshot; empty without snapshots.
    pub fn span(&self) -> Range<u64> {
        let start = self.targets.iter().map(|t| t.start_ns).min().unwrap_or(0);
        let end = self.targets.iter().map(|t| t.end_ns).max().unwrap_or(0);
        start..end
    }

    /// Number of snapshots.
    pub fn snapshots(&self) -> u64 {
        self.targets.iter().map(|t| t.snapshots).sum()
    }

    /// Number of region rows.
    pub fn rows(&self) -> u64 {
        self.targets.iter().map(|t| t.rows).sum()
    }

    /// Names of all targets that were announced or have snapshots, by number.
    pub fn target_names(&self) -> Vec<TargetName> {
        let mut names: BTreeMap<TargetId, TargetName> = BTreeMap::new();
        for extent in &self.targets {
            names.insert(extent.target, unnamed(extent.target));
        }
        for record in &self.records {
            match record {
                Record::TargetStarted(started) => {
                    names.insert(
                        started.target,
                        TargetName {
                            target: started.target,
                            pid: started.pid,
                            comm: started.comm.clone(),
                        },
                    );
                }
                Record::TargetExecuted(executed) => {
                    let name = names.entry(executed.target);
                    name.or_insert_with(|| unnamed(executed.target))
                        .comm
                        .clone_from(&executed.comm);
                }
                _ => {}
            }
        }
        names.into_values().collect()
    }
}

/// Blocks that a thread may be ahead of the others by where what is kept of each is little.
const MANY_AHEAD: usize = 32;

/// An overview as it grows, block by block: records are put into one list at once, so that they are never there twice.
struct Parts {
    overview: Overview,
    kept: Records,
    targets: BTreeMap<TargetId, TargetExtent>,
    keeper: Keeper,
}

impl Parts {
    fn of(trace: &Trace) -> Self {
        Self::with(trace.keeper())
    }

    fn with(keeper: Keeper) -> Self {
        Self {
            overview: Overview::default(),
            kept: Records::default(),
            targets: BTreeMap::new(),
            keeper,
        }
    }

    fn add(&mut self, part: OverviewVisitor<'_>) {
        let overview = &mut self.overview;
        self.kept.extend(part.kept);
        overview.has_ages |= part.has_ages;
        for sampling in part.samplings {
            if !overview.samplings.contains(&sampling) {
                overview.samplings.push(sampling);
            }
        }
        for (id, state) in part.targets {
            self.targets.entry(id).or_insert_with(|| TargetExtent::empty(id)).add(&state.extent);
        }
    }

    fn finish(mut self, mut damage: Vec<Damage>) -> Overview {
        if self.keeper.is_exceeded() {
            self.kept = Records::default();
            let why = "its records take more memory than any recording's of its size: none is used";
            damage.push(Damage { offset: 0, block: None, kind: DamageKind::Malformed(why.into()) });
        }
        let Records { records, mappings } = self.kept;
        let targets = self.targets.into_values().collect();
        Overview { records, mappings, targets, damage, ..self.overview }
    }
}

fn unnamed(target: TargetId) -> TargetName {
    TargetName { target, pid: 0, comm: String::new() }
}

struct TargetState {
    extent: TargetExtent,
    last: Vec<Range<u64>>,
}

pub(super) struct OverviewVisitor<'a> {
    selection: &'a Selection,
    keeper: Keeper,
    kept: Records,
    targets: BTreeMap<TargetId, TargetState>,
    samplings: Vec<Sampling>,
    has_ages: bool,
    /// Whether it is to be told of damage in ages.
    ages: bool,
    current: Vec<Range<u64>>,
}

impl<'a> OverviewVisitor<'a> {
    fn new(selection: &'a Selection, keeper: &Keeper) -> Self {
        Self {
            selection,
            keeper: keeper.clone(),
            kept: Records::default(),
            targets: BTreeMap::new(),
            samplings: Vec::new(),
            has_ages: false,
            ages: false,
            current: Vec::new(),
        }
    }
}

impl<'a> OverviewVisitor<'a> {
    /// For snapshots alone.
    pub(super) fn of_snapshots(selection: &'a Selection) -> Self {
        Self::new(selection, &Keeper::new(Room::new(0)))
    }
}

struct Both<'a>((OverviewVisitor<'a>, kept::Part));

impl Visitor for Both<'_> {
    fn snapshot(&mut self, snapshot: &SnapshotView<'_>) {
        self.0.0.snapshot(snapshot);
        self.0.1.add(snapshot);
    }

    fn wants_ages(&self) -> bool {
        self.0.0.wants_ages()
    }

    fn record(&mut self, record: Record) {
        self.0.0.record(record);
    }
}

struct AndFold<'a, F>(OverviewVisitor<'a>, F);

impl<F: Fold> Visitor for AndFold<'_, F> {
    fn snapshot(&mut self, snapshot: &SnapshotView<'_>) {
        self.0.snapshot(snapshot);
        self.1.snapshot(snapshot);
    }

    fn wants_ages(&self) -> bool {
        self.0.wants_ages() || self.1.wants_ages()
    }

    fn record(&mut self, record: Record) {
        self.0.record(record);
    }
}

impl Visitor for OverviewVisitor<'_> {
    fn wants_ages(&self) -> bool {
        // What is told here is only whether there are any.
        self.ages
    }

    fn snapshot(&mut self, snapshot: &SnapshotView<'_>) {
        if !self.selection.has_snapshot(snapshot) {
            return;
        }
        self.has_ages |= snapshot.ages.is_some();
        if self.samplings.last() != Some(&snapshot.sampling)
            && !self.samplings.contains(&snapshot.sampling)
        {
            self.samplings.push(snapshot.sampling);
        }
        let current = &mut self.current;
        current.clear();
        for (&start, &end) in snapshot.starts.iter().zip(snapshot.ends) {
            match current.last_mut() {
                Some(last) if last.end == start => last.end = end,
                _ => current.push(start..end),
            }
        }
        let state = self.targets.entry(snapshot.target).or_insert_with(|| TargetState {
            extent: TargetExtent::empty(snapshot.target),
            last: Vec::new(),
        });
        if *current != state.last {
            for range in current.iter() {
                for piece in self.selection.pieces(snapshot.target, range.start, range.end) {
                    state.extent.spans.insert(piece);
                }
            }
            state.last.clone_from(current);
        }
        let taken = snapshot.end_ns.saturating_sub(snapshot.start_ns);
        let extent = &mut state.extent;
        extent.start_ns = extent.start_ns.min(snapshot.start_ns);
        extent.end_ns = extent.end_ns.max(snapshot.end_ns);
        extent.snapshots += 1;
        extent.rows += snapshot.len() as u64;
        extent.min_regions = extent.min_regions.min(snapshot.len());
        extent.max_regions = extent.max_regions.max(snapshot.len());
        extent.observed_ns = extent.observed_ns.saturating_add(taken);
        let nominal = snapshot.sampling.aggr_us.saturating_mul(1000);
        extent.nominal_ns = extent.nominal_ns.saturating_add(nominal);
        extent.shortest_ns = extent.shortest_ns.min(taken);
        extent.longest_ns = extent.longest_ns.max(taken);
    }

    fn record(&mut self, record: Record) {
        if !matches!(record, Record::SchemeApplied(_)) {
            self.keeper.keep(record, &mut self.kept);
        }
    }
}
