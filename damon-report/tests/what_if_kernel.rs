//! The simulation against a kernel: recordings of its DAMON with schemes of action `stat` at work, made in a virtual machine
//! (`docs/WHAT-IF.md` tells how). The same schemes simulated on what was recorded must do what the kernel did.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use damon_format::damos::Schemes;
use damon_format::{
    Record, RecordingInfo, Region, SchemeApplied, SchemeStats, Snapshot, SnapshotView, TraceWriter,
    Visitor, WriterOptions,
};
use damon_report::analysis::load::Trace;
use damon_report::analysis::select::Query;
use damon_report::analysis::simulate::{Options, Plan, Simulation};
use damon_report::analysis::source::Source;
use damon_report::analysis::view::View;
use std::collections::BTreeMap;
use std::path::Path;

/// Events of an aggregation are nearer to its end than this.
const NEAR_NS: u64 = 50_000_000;

/// What the kernel did.
#[derive(Default)]
struct Kernel {
    schemes: Vec<String>,
    applied: Vec<SchemeApplied>,
    stats: BTreeMap<u32, SchemeStats>,
    snapshots: Vec<Snapshot>,
    records: Vec<Record>,
}

impl Visitor for Kernel {
    fn snapshot(&mut self, snapshot: &SnapshotView<'_>) {
        self.snapshots.push(snapshot.to_snapshot());
    }

    fn record(&mut self, record: Record) {
        match record {
            Record::SchemeInstalled(installed) => self.schemes.push(installed.json),
            Record::SchemeApplied(applied) => self.applied.push(applied),
            Record::SchemeStats(stats) => drop(self.stats.insert(stats.scheme, stats)),
            other => self.records.push(other),
        }
    }
}

impl Kernel {
    /// The kernel applies schemes after it has merged regions and *before* it tells what they are: cuts and ages of 0 that
    /// schemes leave behind are in the snapshot already. The events tell how regions were before.
    fn undo(&mut self) {
        for snapshot in &mut self.snapshots {
            let near = self.applied.iter().filter(|applied| {
                applied.target == snapshot.target
                    && applied.time_ns.abs_diff(snapshot.end_ns) < NEAR_NS
            });
            let mut before: Vec<Region> =
                near.flat_map(|applied| applied.regions.clone()).collect();
            before.sort_by_key(|region| std::cmp::Reverse(region.size()));
            for old in before {
                let inside = |r: &Region| old.start <= r.start && r.end <= old.end;
                if let Some(first) = snapshot.regions.iter().position(inside) {
                    snapshot.regions.retain(|r| !inside(r));
                    snapshot.regions.insert(first, old);
                }
            }
        }
    }

    fn trace(&self, info: &RecordingInfo) -> Trace {
        let mut writer = TraceWriter::create(Vec::new(), info, WriterOptions::default()).unwrap();
        for record in &self.records {
            writer.record(record).unwrap();
        }
        for snapshot in &self.snapshots {
            writer.snapshot(snapshot).unwrap();
        }
        Trace::from_source("undone".into(), Source::memory(writer.finish().unwrap())).unwrap()
    }
}

/// The kernel's account, and that of the simulation up to the aggregation before the kernel was last asked.
fn replay(name: &str) -> (Kernel, Simulation) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/whatif").join(name);
    let recorded = Trace::open(&path).unwrap();
    let mut kernel = Kernel::default();
    for block in recorded.blocks() {
        recorded.visit_block(block, &mut kernel).unwrap();
    }
    let asked_ns = kernel.stats.values().map(|stats| stats.time_ns).max().unwrap();
    let ends = kernel.snapshots.iter().map(|snapshot| snapshot.end_ns);
    let end_ns = ends.filter(|end| *end <= asked_ns).max().unwrap();
    kernel.applied.retain(|applied| applied.time_ns < end_ns + NEAR_NS);
    kernel.snapshots.retain(|snapshot| snapshot.end_ns <= end_ns);
    kernel.undo();
    let trace = kernel.trace(recorded.info());
    let schemes = Schemes::from_json(&format!("[{}]", kernel.schemes.join(","))).unwrap();
    let view = View::new(&trace, &Query::default()).unwrap();
    let options = Options { keep_applied: true, replay: true, ..Options::default() };
    let simulation = Plan::new(&trace, &view, &schemes, options).unwrap().run(&trace).unwrap();
    (kernel, simulation)
}

/// Recordings, and how many schemes each has.
const RECORDINGS: [(&str, usize); 7] = [
    ("open.damon", 4),
    ("quota.damon", 2),
    ("tight.damon", 1),
    ("filter.damon", 2),
    ("bounds.damon", 3),
    ("coldest.damon", 1),
    ("weights.damon", 2),
];

/// What a scheme was applied to, in order.
fn of(scheme: usize, list: &[SchemeApplied]) -> Vec<(u64, Region)> {
    let scheme = u32::try_from(scheme).unwrap();
    let mut of: Vec<&SchemeApplied> = list.iter().filter(|a| a.scheme == scheme).collect();
    of.sort_by_key(|applied| applied.time_ns);
    of.iter().flat_map(|a| a.regions.iter().map(|region| (a.time_ns, *region))).collect()
}

#[test]
fn the_same_is_applied_in_the_same_aggregations() {
    for (name, schemes) in RECORDINGS {
        let (kernel, simulation) = replay(name);
        assert_eq!(simulation.schemes.len(), schemes, "{name}");
        let mut sum = 0;
        for scheme in 0..schemes {
            let (theirs, ours) = (of(scheme, &kernel.applied), of(scheme, &simulation.applied));
            assert_eq!(theirs.len(), ours.len(), "{name} {scheme}");
            for ((kernel_ns, theirs), (time_ns, ours)) in theirs.into_iter().zip(ours) {
                assert_eq!(theirs, ours, "{name} {scheme} at {kernel_ns}");
                assert!(kernel_ns.abs_diff(time_ns) < NEAR_NS, "{name} {scheme} at {kernel_ns}");
                sum += ours.size();
            }
        }
        assert!(sum > 100 << 20, "{name}: {sum}");
    }
}

#[test]
fn the_account_is_the_kernels() {
    for (name, _) in RECORDINGS {
        let (kernel, simulation) = replay(name);
        for (outcome, (scheme, theirs)) in simulation.schemes.iter().zip(&kernel.stats) {
            let ours = SchemeStats {
                time_ns: theirs.time_ns,
                sz_ops_filter_passed: None,
                nr_snapshots: None,
                ..outcome.stats
            };
            assert_eq!(ours, *theirs, "{name} {scheme}");
        }
    }
}
