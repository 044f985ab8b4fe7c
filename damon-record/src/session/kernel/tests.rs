//! Sessions' kernels on a fake of DAMON's files, traced by a fake or not at all.

mod comings;

use super::*;
use crate::damon::collect::{Chosen, Collect, CollectError, Collected, Tally};
use crate::damon::events::Event;
use crate::damon::fake::{Fake, Fault, RunningCopy};
use crate::damon::own::OwnPlace;
use crate::damon::sysfs::{IntervalsGoal, Operations};
use crate::host::monotonic_ns;
use crate::monitor::AddressRange;
use crate::monitor::synthetic::{Config, recording_info};
use crate::plan::OutputPlan;
use crate::proc::fake::{put, stat_line};
use crate::session::Place;
use crate::session::trace::Trace;
use damon_format::damos::kernel::{Action, Scheme};
use damon_format::{IndexedReader, Region, Snapshot, SnapshotView, Visitor};
use nix::errno::Errno;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;
use tempfile::TempDir;

const MS: u64 = 1_000_000;
/// So short that a look is due after every pause.
const ATTRS: Attrs = Attrs {
    sample_us: 5_000,
    aggr_us: 20_000,
    update_us: 1_000_000,
    min_nr_regions: 10,
    max_nr_regions: 1000,
};
const FIXED: [AddressRange; 2] = [
    AddressRange { start: 0x1_0000, end: 0x2_0000 },
    AddressRange { start: 0x8_0000, end: 0x9_0000 },
];

/// What the kernel has told and nobody has fetched, by thread.
type Told = Rc<RefCell<BTreeMap<i32, Vec<Collected>>>>;

#[derive(Debug)]
struct FakeTracing {
    thread: i32,
    told: Told,
}

impl Collect for FakeTracing {
    fn drain(&mut self, each: &mut dyn FnMut(Collected)) -> Result<(), CollectError> {
        let told = self.told.borrow_mut().remove(&self.thread);
        told.into_iter().flatten().for_each(each);
        Ok(())
    }

    fn settle(&mut self, each: &mut dyn FnMut(Collected)) -> Result<(), CollectError> {
        self.drain(each)
    }

    fn fds(&self) -> Vec<BorrowedFd<'_>> {
        Vec::new()
    }

    fn tally(&self) -> Tally {
        Tally::default()
    }

    fn describe(&self) -> String {
        format!("thread {} is traced by a fake", self.thread)
    }
}

/// A machine with the processes 11 to 14, and a recording of it.
struct Scene {
    fake: Fake,
    dir: TempDir,
    told: Told,
    may_trace: bool,
    trace: Option<Trace>,
}

#[derive(Default)]
struct Recorded {
    snapshots: Vec<Snapshot>,
    records: Vec<Record>,
}

impl Visitor for Recorded {
    fn snapshot(&mut self, snapshot: &SnapshotView<'_>) {
        self.snapshots.push(snapshot.to_snapshot());
    }

    fn record(&mut self, record: Record) {
        self.records.push(record);
    }
}

impl Scene {
    fn new(release: (u32, u32), may_trace: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let own = std::process::id();
        put(dir.path(), "sys/kernel/random/boot_id", "b");
        put(dir.path(), &format!("{own}/stat"), &stat_line(own, "x", 'R', 1, 9));
        for pid in 11..15 {
            std::fs::create_dir(dir.path().join(pid.to_string())).unwrap();
        }
        let (fake, told) = (Fake::new(release), Told::default());
        let mut scene = Self { fake, dir, told, may_trace, trace: None };
        let plan = OutputPlan::File { path: scene.path(), force: false };
        let info = recording_info(&Config::with_regions(10));
        scene.trace = Some(Trace::create(&Place::check(&plan, None).unwrap(), &info).unwrap());
        scene
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("x.damon")
    }

    fn machine(&self) -> Machine {
        let place = OwnPlace {
            lock_dirs: vec![self.dir.path().to_owned()],
            modules: self.dir.path().join("module"),
            proc: ProcRoot::new(self.dir.path()),
            guard: None,
            use_spare: false,
        };
        let (told, may_trace) = (Rc::clone(&self.told), self.may_trace);
        let tracing = Tracing::new(move |thread| {
            let told = Rc::clone(&told);
            let traced = may_trace.then(|| Box::new(FakeTracing { thread, told }) as _);
            Chosen::fake(traced)
        });
        Machine { tree: self.fake.tree(), place, tracing }
    }

    fn kernel(&self, schemes: &[Scheme]) -> Kernel {
        let orders = Orders { attrs: ATTRS, goal: None, schemes: schemes.to_vec() };
        Kernel::of_processes(self.machine(), &orders, true)
    }

    fn copy(&self) -> RunningCopy {
        self.fake.with(|kernel| kernel.running[&0].clone()).unwrap()
    }

    fn pids(&self) -> Vec<i32> {
        self.copy().targets.iter().map(|target| target.pid).collect()
    }

    fn listing(&self) -> BTreeMap<String, String> {
        self.fake.with(|kernel| kernel.listing()).unwrap()
    }

    fn count(&self, nr_accesses: u32, age: u32) {
        self.fake.with(|kernel| kernel.counted = (nr_accesses, age)).unwrap();
    }

    /// The kdamond of today tells one region of `target`.
    fn tell(&self, time_ns: u64, target: u64, nr_accesses: u32, age: u32) {
        let thread = i32::try_from(self.copy().tid).unwrap();
        let region = Region { start: 0x1000, end: 0x2000, nr_accesses, age };
        let event = Event::Aggregated { target, nr_regions: 1, region, has_age: true };
        let told = Collected::Event { time_ns, thread, event };
        self.told.borrow_mut().entry(thread).or_default().push(told);
    }

    /// Writes to `state` fail so often.
    fn fail(&self, times: u32) {
        let errno = Errno::EIO as i32;
        let fault = Fault::Write { ends: "0/state".into(), errno, times };
        self.fake.with(|kernel| kernel.faults = vec![fault]).unwrap();
    }

    /// The process exits while the kdamond takes over a change, which ends it.
    /// The process has exited, and nobody is surprised.
    fn depart(&self, pid: u32) {
        std::fs::remove_dir_all(self.dir.path().join(pid.to_string())).unwrap();
    }

    fn exit(&self, pid: u32) {
        std::fs::remove_dir(self.dir.path().join(pid.to_string())).unwrap();
        let number = i32::try_from(pid).unwrap();
        self.fake
            .with(|kernel| {
                kernel.gone.insert(number);
                kernel.stop(0);
            })
            .unwrap();
    }

    fn drain(&mut self, kernel: &mut Kernel) -> Result<(), String> {
        kernel.drain(self.trace.as_mut().unwrap()).unwrap()
    }

    /// The next look, when it is due.
    fn look(&mut self, kernel: &mut Kernel) -> Result<(), String> {
        let due = kernel.next_drain_ns(monotonic_ns(), false);
        while monotonic_ns() < due {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.drain(kernel)
    }

    /// Everything that is recorded, after the end.
    fn recorded(&mut self, kernel: &mut Kernel) -> Recorded {
        let mut trace = self.trace.take().unwrap();
        kernel.finish(&mut trace).unwrap();
        trace.finish().unwrap();
        let reader = IndexedReader::open(std::fs::read(self.path()).unwrap()).unwrap();
        let mut all = Recorded::default();
        for block in reader.blocks() {
            reader.visit_block(block, &mut all).unwrap();
        }
        all
    }
}

fn news(kernel: &mut Kernel) -> Vec<String> {
    kernel.news().into_iter().map(|(_, text)| text).collect()
}

fn add(kernel: &mut Kernel, id: u32, pid: u32) -> Result<(), String> {
    kernel.add(TargetId(id), pid, &[], &FIXED)
}

fn targets(recorded: &Recorded) -> Vec<u32> {
    recorded.snapshots.iter().map(|snapshot| snapshot.target.0).collect()
}

#[test]
fn where_tracing_is_forbidden_regions_are_listed_by_a_scheme_of_ours() {
    let mut scene = Scene::new((6, 12), false);
    let before = scene.listing();
    let mut kernel = scene.kernel(&[Scheme::new(Action::Pageout)]);
    add(&mut kernel, 0, 11).unwrap();
    assert_eq!(scene.copy().schemes, ["pageout", "stat"]);
    let told = news(&mut kernel);
    for words in ["schemes/1/tried_regions", "tracing is forbidden here", "without tracing"] {
        assert!(told.len() == 1 && told[0].contains(words), "{words} in {told:?}");
    }
    let error = add(&mut kernel, 1, 12).unwrap_err();
    assert!(error.contains("one process only") && kernel.one_only().is_some(), "{error}");
    assert_eq!(scene.pids(), [11]);

    scene.count(3, 7);
    let begin = monotonic_ns();
    scene.drain(&mut kernel).unwrap();
    scene.look(&mut kernel).unwrap();
    scene.drain(&mut kernel).unwrap();
    scene.count(1, 8);
    scene.look(&mut kernel).unwrap();
    // Only the user's scheme has an account.
    scene.fake.with(|kernel| kernel.stats.insert("stats/nr_tried".into(), 5)).unwrap();
    let samples = kernel.sample(&ProcRoot::new(scene.dir.path()));
    let stats = samples.iter().filter_map(|record| match record {
        Record::SchemeStats(stats) => Some((stats.scheme, stats.nr_tried)),
        _ => None,
    });
    assert_eq!(stats.collect::<Vec<_>>(), [(0, 5)]);
    kernel.release().unwrap();
    assert_eq!(scene.listing(), before);

    let recorded = scene.recorded(&mut kernel);
    assert_eq!(targets(&recorded), [0, 0], "a look is taken when it is due, and not at the end");
    let [first, second] = [&recorded.snapshots[0], &recorded.snapshots[1]];
    let regions = |nr_accesses, age| {
        FIXED.map(|range| Region { start: range.start, end: range.end, nr_accesses, age })
    };
    assert_eq!(
        (first.regions.as_slice(), second.regions.as_slice()),
        (&regions(3, 7)[..], &regions(1, 8)[..])
    );
    assert_eq!(first.sampling.max_nr_accesses, 4);
    assert!(first.end_ns > begin && second.start_ns == first.end_ns);
    let of_schemes =
        |r: &&Record| matches!(r, Record::SchemeInstalled(_) | Record::SchemeApplied(_));
    assert_eq!(recorded.records.iter().find(of_schemes), None);
}

#[test]
fn after_the_only_process_the_next_one_is_looked_at() {
    let mut scene = Scene::new((6, 12), false);
    let mut kernel = scene.kernel(&[]);
    add(&mut kernel, 0, 11).unwrap();
    let (first, told) = (scene.copy().tid, news(&mut kernel));
    scene.look(&mut kernel).unwrap();
    // It has ended by itself, or not taken notice yet.
    for (id, pid, ends) in [(1, 12, true), (2, 13, false)] {
        kernel.remove(TargetId(id - 1));
        if ends {
            scene.fake.with(|kernel| kernel.stop(0)).unwrap();
            // What was listed before is nothing new.
            scene.look(&mut kernel).unwrap();
        }
        add(&mut kernel, id, pid).unwrap();
        assert_eq!(scene.pids(), [i32::try_from(pid).unwrap()]);
        assert_eq!(scene.copy().schemes, ["stat"], "no second one");
        scene.look(&mut kernel).unwrap();
    }
    assert_ne!(scene.copy().tid, first);
    let later = news(&mut kernel);
    assert_eq!(later.len(), 2, "each thread is told: {later:?}");
    let thread = format!("thread {}", scene.copy().tid);
    assert!(later[1].contains(&thread) && !told[0].contains(&thread), "{later:?}");
    assert_eq!(targets(&scene.recorded(&mut kernel)), [0, 1, 2]);
}

#[test]
fn a_kernel_that_cannot_list_regions_says_so_and_is_left_alone() {
    let scene = Scene::new((6, 1), false);
    let before = scene.listing();
    let mut kernel = scene.kernel(&[]);
    let error = add(&mut kernel, 0, 11).unwrap_err();
    for words in ["Linux 6.2", "tracing is forbidden here"] {
        assert!(error.contains(words), "{words} in {error}");
    }
    drop(kernel);
    assert_eq!(scene.listing(), before);
}

#[test]
fn looks_that_fail_are_counted_and_five_in_a_row_end_it() {
    let mut scene = Scene::new((6, 12), false);
    let mut kernel = scene.kernel(&[]);
    add(&mut kernel, 0, 11).unwrap();
    scene.fail(1);
    scene.look(&mut kernel).unwrap();
    scene.look(&mut kernel).unwrap();
    scene.fail(5);
    for _ in 0..4 {
        scene.look(&mut kernel).unwrap();
    }
    let why = scene.look(&mut kernel).unwrap_err();
    assert!(why.contains("update_schemes_tried_regions"), "{why}");
    let recorded = scene.recorded(&mut kernel);
    let lost = recorded.records.iter().filter(|record| matches!(record, Record::Lost(_))).count();
    assert_eq!((targets(&recorded), lost), (vec![0], 5));
}

#[test]
fn physical_memory_is_looked_at_as_well() {
    let mut scene = Scene::new((6, 12), false);
    let orders = Orders { attrs: ATTRS, goal: None, schemes: Vec::new() };
    let mut kernel = Kernel::of_physical(scene.machine(), &orders, FIXED.to_vec()).unwrap();
    assert!(kernel.is_physical());
    scene.look(&mut kernel).unwrap();
    let recorded = scene.recorded(&mut kernel);
    assert_eq!((targets(&recorded), recorded.snapshots[0].regions.len()), (vec![0], 2));
}

#[test]
fn tuned_intervals_are_asked_for_where_no_event_tells() {
    let mut scene = Scene::new((6, 15), false);
    let goal =
        IntervalsGoal { access_bp: 400, aggrs: 3, min_sample_us: 1000, max_sample_us: 1_000_000 };
    let orders = Orders { attrs: ATTRS, goal: Some(goal), schemes: Vec::new() };
    let mut kernel = Kernel::of_processes(scene.machine(), &orders, true);
    add(&mut kernel, 0, 11).unwrap();
    scene.look(&mut kernel).unwrap();
    scene.fake.with(|kernel| kernel.tuned = Some((7_000, 28_000))).unwrap();
    scene.look(&mut kernel).unwrap();
    assert_eq!((kernel.attrs().sample_us, kernel.attrs().aggr_us), (7_000, 28_000));
    scene.look(&mut kernel).unwrap();
    let recorded = scene.recorded(&mut kernel);
    let intervals: Vec<u64> = recorded.snapshots.iter().map(|s| s.sampling.sample_us).collect();
    assert_eq!(intervals, [5_000, 5_000, 7_000], "counted by the old ones, then by the new ones");
    let changed = recorded.records.iter().filter(|r| matches!(r, Record::IntervalsChanged(_)));
    assert_eq!(changed.count(), 1);
}

#[test]
fn somebody_elses_kdamond_gets_no_scheme_of_ours() {
    let scene = Scene::new((6, 12), false);
    scene
        .fake
        .with(|kernel| {
            for (path, value) in [
                ("nr_kdamonds", "1"),
                ("0/contexts/nr_contexts", "1"),
                ("0/contexts/0/targets/nr_targets", "1"),
                ("0/contexts/0/targets/0/pid_target", "12"),
                ("0/state", "on"),
            ] {
                kernel.elsewhere(&format!("kdamonds/{path}"), value).unwrap();
            }
        })
        .unwrap();
    let before = scene.listing();
    let Err(why) = Kernel::of_somebody(&scene.machine(), None) else { panic!("it cannot be read") };
    for words in ["tracing is forbidden here", "--backend damon", "kdamond 0"] {
        assert!(why.contains(words), "{words} in {why}");
    }
    assert_eq!((scene.fake.with(|kernel| kernel.log.len()).unwrap(), scene.listing()), (0, before));
}

#[test]
fn operations_are_those_that_keep_the_ranges_asked_for() {
    let scene = Scene::new((6, 12), true);
    let orders = Orders { attrs: ATTRS, goal: None, schemes: Vec::new() };
    for (fixed, operations) in [(true, Operations::Fvaddr), (false, Operations::Vaddr)] {
        let mut kernel = Kernel::of_processes(scene.machine(), &orders, fixed);
        add(&mut kernel, 0, 11).unwrap();
        assert_eq!(scene.copy().operations, operations.keyword());
    }
}
