//! Comparison of recordings whose truth is known.

#![expect(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "numbers of tests are small, and a helper that fails is a test that fails"
)]

mod common;

use common::{BEGIN, HEAP, LIBRARY, MIB, SECOND};
use damon_format::{
    Mapping, MappingsChanged, Mark, MemorySample, Permissions, Record, Region, Sampling, Snapshot,
    TargetId,
};
use damon_report::analysis::compare::{
    Align, CompareError, Compared, Comparison, Entry, History, Measure, Metric, MetricPattern,
    Options, PriorSource, Recording, Rule, Statistic, Threshold, Verdict, compare,
};
use damon_report::analysis::groups::GroupBy;
use damon_report::analysis::load::Trace;
use damon_report::analysis::mapping_use::UseOptions;
use damon_report::analysis::select::Query;
use damon_report::analysis::source::Source;
use damon_report::analysis::view::View;
use damon_report::analysis::wss::WorkingSetOptions;

/// A program of two phases: heap and library are hot, then the heap alone; and what varies from run to run.
#[derive(Clone, Copy)]
struct Program {
    seed: u64,
    heap: u64,
    heap_at: u64,
    /// Seconds of the first and the second phase.
    lasts: (u64, u64),
    resident: u64,
    aggr_us: u64,
    /// Aggregations are so many times as long as said.
    stretched: u64,
    name: &'static str,
    mark: &'static str,
}

const PROGRAM: Program = Program {
    seed: 1,
    heap: 64 * MIB,
    heap_at: HEAP,
    lasts: (10, 20),
    resident: 80 * MIB,
    aggr_us: 100_000,
    stretched: 1,
    name: "work",
    mark: "rest",
};

/// Numbers 0..1 that look random.
fn random(seed: u64) -> f64 {
    let mut x = seed.wrapping_add(0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((x ^ (x >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

impl Program {
    fn seed(self, seed: u64) -> Self {
        Self { seed, heap_at: HEAP + (seed % 16) * MIB, ..self }
    }

    fn recording(self) -> Recording {
        let mut info = common::info();
        info.attrs.aggr_us = self.aggr_us;
        let mut writer = common::writer(&info);
        writer.record(&common::started(0, 4711, self.name)).unwrap();
        let mapping = |start: u64, size: u64, name: &str| Mapping {
            start,
            end: start + size,
            permissions: Permissions { read: true, write: true, ..Permissions::default() },
            offset: 0,
            inode: 0,
            name: name.into(),
        };
        let library = LIBRARY + (self.seed % 7) * MIB;
        writer
            .record(&Record::MappingsChanged(MappingsChanged {
                target: TargetId(0),
                time_ns: BEGIN,
                removed: vec![],
                added: vec![
                    mapping(self.heap_at, self.heap, "[heap]"),
                    mapping(library, 16 * MIB, "/usr/lib/libwork.so.1"),
                ],
            }))
            .unwrap();
        let step = self.aggr_us * 1000 * self.stretched;
        let (first, second) = (self.lasts.0 * SECOND, self.lasts.1 * SECOND);
        for i in 0..(first + second) / step {
            let (start, end) = (BEGIN + i * step, BEGIN + (i + 1) * step);
            if start <= BEGIN + first && BEGIN + first < end {
                let text = self.mark.to_owned();
                writer.record(&Record::Mark(Mark { time_ns: BEGIN + first, text })).unwrap();
            }
            let in_first = i * step < first;
            let noise = (random(self.seed * 1_000_003 + i) * 6.0) as u32;
            // Half of the heap is accessed in 14 to 19 of 20 samples.
            let half = self.heap_at + self.heap / 2;
            let region = |start, end, nr_accesses, age| Region { start, end, nr_accesses, age };
            let age = i as u32;
            let regions = vec![
                region(self.heap_at, half, 14 + noise, 0),
                region(half, self.heap_at + self.heap, 0, age),
                region(library, library + 16 * MIB, if in_first { 20 } else { 0 }, 0),
            ];
            let sampling = Sampling::from_intervals(
                self.aggr_us * self.stretched / 20,
                self.aggr_us * self.stretched,
            );
            writer.snapshot(&Snapshot::new(TargetId(0), start, end, sampling, regions)).unwrap();
            if i % 10 == 0 {
                writer
                    .record(&Record::Memory(MemorySample {
                        target: TargetId(0),
                        time_ns: end,
                        rss: self.resident,
                        swap: 0,
                        virtual_size: 1 << 30,
                        minor_faults: 0,
                        major_faults: 0,
                    }))
                    .unwrap();
            }
        }
        let bytes = writer.finish().unwrap();
        let trace =
            Trace::from_source(format!("{}.damon", self.seed), Source::memory(bytes)).unwrap();
        let view = View::new(&trace, &Query::default()).unwrap();
        Recording { trace, view }
    }

    fn runs(self, seeds: std::ops::Range<u64>) -> Vec<Recording> {
        seeds.map(|seed| self.seed(seed).recording()).collect()
    }
}

fn compared(base: &[Recording], new: &[Recording], options: &Options) -> Comparison {
    compare(base, new, None, options).unwrap()
}

fn metric<'a>(all: &'a Comparison, name: &str) -> &'a Compared {
    let found = all.metrics.iter().find(|m| m.metric.to_string() == name);
    assert!(found.is_some(), "no {name}");
    found.unwrap()
}

fn near(a: f64, b: f64) {
    assert!((a - b).abs() <= 1e-9 * b.abs().max(1.0), "{a} is not {b}");
}

#[test]
fn values_are_those_of_the_other_reports() {
    let run = PROGRAM.recording();
    let all = compared(&[PROGRAM.recording()], &[PROGRAM.recording()], &Options::default());
    let sampled = WorkingSetOptions::sampled(1);
    let set = run.view.working_set(&run.trace, sampled);
    for (name, value) in [
        ("wss.expected.mean", set.expected.mean),
        ("wss.expected.p95", set.expected.at(95).unwrap()),
        ("wss.touched.p50", set.touched.at(50).unwrap()),
        ("wss.touched.max", set.touched.at(100).unwrap()),
        ("rss.mean", (80 * MIB) as f64),
        ("size.mean", (80 * MIB) as f64),
    ] {
        let found = metric(&all, name);
        near(found.base_mean, value);
        near(found.change, 0.0);
    }
    let options = UseOptions { threshold: 1, idle_ns: 10 * SECOND, group_by: GroupBy::Mapping };
    let used = run.view.mapping_use(&run.trace, options);
    assert_eq!(used.groups.len(), 2);
    for group in used.groups {
        let name = |what: &str| format!("mapping({}).{what}", group.group.label());
        near(metric(&all, &name("wss.expected.mean")).base_mean, group.used.expected);
        near(metric(&all, &name("wss.touched.mean")).base_mean, group.used.touched);
        near(metric(&all, &name("idle.mean")).base_mean, group.used.idle.unwrap());
        near(metric(&all, &name("size.mean")).base_mean, group.used.size);
    }
}

#[test]
fn a_working_set_that_doubled_is_seen_in_one_run() {
    let larger = Program { heap: 2 * PROGRAM.heap, resident: 144 * MIB, ..PROGRAM };
    let all = compared(&PROGRAM.runs(1..2), &larger.runs(11..12), &Options::default());
    assert_eq!(all.verdict, Verdict::Regressed, "{all:#?}");
    let hot = metric(&all, "mapping([heap]).hot.mean");
    near(hot.change, (PROGRAM.heap / 2) as f64);
    assert_eq!(hot.verdict, Verdict::Regressed);
    let library = metric(&all, "mapping(/usr/lib/libwork.so.1 +0x0..0x1000000).hot.mean");
    near(library.change, 0.0);
    let back = compared(&larger.runs(1..2), &PROGRAM.runs(11..12), &Options::default());
    assert!(
        back.verdict != Verdict::Regressed
            && metric(&back, "rss.mean").verdict == Verdict::Improved
    );
}

#[test]
fn few_runs_cannot_tell_and_say_how_many_could() {
    let one = compared(&PROGRAM.runs(1..2), &PROGRAM.runs(11..12), &Options::default());
    assert_eq!(one.verdict, Verdict::Inconclusive);
    let needed = metric(&one, "wss.expected.mean").runs_needed.unwrap();
    assert!((2..6).contains(&needed), "{needed}");
    let runs = needed as u64;
    let more =
        compared(&PROGRAM.runs(1..1 + runs), &PROGRAM.runs(11..11 + runs), &Options::default());
    assert_eq!(more.verdict, Verdict::Pass, "{more:#?}");
    let five = Program { heap: PROGRAM.heap * 21 / 20, resident: 84 * MIB, ..PROGRAM };
    let grown = compared(&PROGRAM.runs(1..6), &five.runs(11..16), &Options::default());
    assert_eq!(metric(&grown, "hot.mean").verdict, Verdict::Regressed, "by 3.4 % of hot memory");
}

#[test]
fn a_history_tells_how_much_runs_vary() {
    let earlier = compared(&PROGRAM.runs(20..24), &PROGRAM.runs(24..28), &Options::default());
    let entries: Vec<Entry> =
        earlier.entries(&earlier.base).chain(earlier.entries(&earlier.new)).collect();
    let lines: Vec<String> = entries.iter().map(|e| serde_json::to_string(e).unwrap()).collect();
    let history = History::parse(&lines.join("\n")).unwrap();
    let (base, new) = (PROGRAM.runs(1..2), PROGRAM.runs(11..12));
    let all = compare(&base, &new, Some(&history), &Options::default()).unwrap();
    let found = metric(&all, "wss.expected.mean");
    assert_eq!(found.noise.prior.source, PriorSource::History);
    assert_eq!(all.verdict, Verdict::Pass, "runs hardly vary: {found:#?}");
    let few = History { entries: history.entries[..2].to_vec() };
    let all = compare(&base, &new, Some(&few), &Options::default()).unwrap();
    assert!(
        all.warnings.iter().any(|w| w.contains("the history has 2 runs")),
        "{:?}",
        all.warnings
    );
    assert_eq!(all.verdict, Verdict::Inconclusive);
}

#[test]
fn what_goes_into_a_history_does_not_depend_on_what_a_run_was_compared_with() {
    let longer = Program { lasts: (20, 40), ..PROGRAM };
    let new = PROGRAM.runs(20..24);
    let all = compared(&PROGRAM.runs(1..2), &new, &Options::default());
    let against_longer = compared(&longer.runs(1..2), &new, &Options::default());
    let volumes = |all: &Comparison| -> Vec<f64> {
        all.entries(&all.new).map(|entry| entry.values["volume.total"]).collect()
    };
    let ratio =
        metric(&against_longer, "volume.total").new_mean / metric(&all, "volume.total").new_mean;
    near(ratio, 2.0);
    for (one, other) in volumes(&all).into_iter().zip(volumes(&against_longer)) {
        near(one, other);
    }
    // Were they to vary much, so would totals of half a minute and of a minute, each in proportion.
    let mut entries: Vec<Entry> = all.entries(&all.new).collect();
    for (entry, by) in entries.iter_mut().zip([0.8, 1.2, 0.9, 1.1]) {
        *entry.values.get_mut("volume.total").unwrap() *= by;
    }
    let history = History { entries };
    let by_second = Metric::total(Measure::Volume, Statistic::Total);
    let (by_second, _) = history.variance(&by_second).unwrap();
    for (base, seconds) in [(PROGRAM, 30.0), (longer, 60.0)] {
        let (base, new) = (base.runs(1..2), PROGRAM.runs(2..3));
        let all = compare(&base, &new, Some(&history), &Options::default()).unwrap();
        let prior = metric(&all, "volume.total").noise.prior;
        assert_eq!(prior.source, PriorSource::History);
        near(prior.variance.sqrt(), by_second.sqrt() * seconds);
    }
}

#[test]
fn phases_are_compared_with_their_like() {
    let options = Options { align: Align::Marks, ..Options::default() };
    // The second program takes longer for its first phase, of which nothing is in the second.
    let slower = Program { lasts: (25, 20), ..PROGRAM };
    let (base, new) = (PROGRAM.runs(1..5), slower.runs(11..15));
    let all = compared(&base, &new, &options);
    let rest = metric(&all, "phase(rest).wss.expected.mean");
    assert!(rest.relative.unwrap().abs() < 0.01, "{rest:?}");
    near(
        metric(&all, "phase(rest).mapping(/usr/lib/libwork.so.1 +0x0..0x1000000).hot.mean")
            .new_mean,
        0.0,
    );
    assert_eq!(all.verdict, Verdict::Pass);
    let whole = compared(&base, &new, &Options::default());
    assert_eq!(whole.verdict, Verdict::Regressed, "the library is hot for longer");
    // By time both are cut at 30 s, where the slower one is in its first phase for most of it.
    let time = Options { align: Align::Time, ..Options::default() };
    let by_time = compared(&base, &new, &time);
    assert!(metric(&by_time, "hot.mean").relative.unwrap() > 0.1);
    let other = Program { mark: "other", ..PROGRAM };
    let error = compare(&base, &other.runs(11..12), None, &options).unwrap_err();
    assert!(matches!(error, CompareError::NoPhases(_)), "{error}");
}

#[test]
fn what_was_recorded_differently_is_refused() {
    let base = PROGRAM.runs(1..3);
    for (other, what) in [
        (Program { aggr_us: 200_000, ..PROGRAM }, "aggregation interval (100000 us, 200000 us)"),
        (Program { name: "play", ..PROGRAM }, "program (work, play)"),
    ] {
        let new = other.runs(11..13);
        let error = compare(&base, &new, None, &Options::default()).unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
        let all = compared(&base, &new, &Options { allow_different: true, ..Options::default() });
        assert!(all.warnings.iter().any(|w| w.contains(what)), "{:?}", all.warnings);
    }
    // Said to be the same, and stretched on the way: rates cannot be compared, sizes can.
    let new = Program { stretched: 2, resident: 160 * MIB, ..PROGRAM }.runs(11..13);
    let all = compared(&base, &new, &Options::default());
    let hot = metric(&all, "hot.mean");
    assert_eq!(hot.verdict, Verdict::Inconclusive);
    assert!(hot.reason.as_ref().unwrap().contains("sampling intervals differ: 5.0 ms in 1.damon"));
    assert_eq!(metric(&all, "rss.mean").verdict, Verdict::Regressed);
}

#[test]
fn one_snapshot_says_nothing() {
    let short = Program { lasts: (0, 1), aggr_us: 1_000_000, ..PROGRAM };
    let all = compared(&short.runs(1..6), &short.runs(11..16), &Options::default());
    assert_eq!(all.verdict, Verdict::Inconclusive);
    let reason = metric(&all, "wss.expected.mean").reason.clone().unwrap();
    assert!(reason.contains("1 aggregations"), "{reason}");
}

#[test]
fn rules_decide_what_is_gated() {
    let metrics = MetricPattern::parse("mapping(*libwork*).hot.mean").unwrap();
    let threshold = Threshold { relative: None, absolute: Some(1024.0), ..Threshold::DEFAULT };
    let rule = Rule { metrics, threshold, text: "library".into() };
    let options = Options { rules: vec![rule.clone()], ..Options::default() };
    let larger = Program { heap: 2 * PROGRAM.heap, ..PROGRAM };
    let all = compared(&PROGRAM.runs(1..5), &larger.runs(11..15), &options);
    let gated: Vec<&Compared> = all.metrics.iter().filter(|m| m.rule.is_some()).collect();
    assert_eq!(gated.len(), 1);
    assert!(all.verdict != Verdict::Regressed, "nobody asked about the heap");
    assert_eq!(metric(&all, "hot.mean").verdict, Verdict::Regressed, "but it is told");
    let nothing = Rule { metrics: MetricPattern::parse("phase(x).hot.mean").unwrap(), ..rule };
    let options = Options { rules: vec![nothing], ..Options::default() };
    let error = compare(&PROGRAM.runs(1..2), &PROGRAM.runs(2..3), None, &options).unwrap_err();
    assert!(matches!(error, CompareError::NoMetric { .. }), "{error}");
}

#[test]
fn mappings_have_quantiles_over_time() {
    let all = compared(&PROGRAM.runs(1..3), &PROGRAM.runs(11..13), &Options::default());
    // All of the library is hot in the first third of the time, and idle after that.
    let library = |what: &str| {
        metric(&all, &format!("mapping(/usr/lib/libwork.so.1 +0x0..0x1000000).{what}")).base_mean
    };
    let size = (16 * MIB) as f64;
    for what in ["hot", "wss.touched", "wss.expected"] {
        assert!((library(&format!("{what}.mean")) - size / 3.0).abs() < 0.001 * size, "{what}");
        assert!(library(&format!("{what}.p50")).abs() < 1.0, "{what}");
        assert!((library(&format!("{what}.p95")) - size).abs() < 0.001 * size, "{what}");
    }
    near(library("size.p50"), size);
    // A gate may ask for them.
    let rule = Rule::parse("mapping(*libwork*).hot.p95 > 5%").unwrap();
    let options = Options { rules: vec![rule], ..Options::default() };
    let all = compared(&PROGRAM.runs(1..4), &PROGRAM.runs(11..14), &options);
    assert_eq!(all.verdict, Verdict::Pass, "{:?}", all.metrics.first());
}

#[test]
fn a_slower_run_of_the_same_has_no_greater_volume() {
    let slower = Program { lasts: (20, 40), ..PROGRAM };
    let (base, new) = (PROGRAM.runs(1..4), slower.runs(11..14));
    let all = compared(&base, &new, &Options::default());
    let volume = metric(&all, "volume.total");
    assert!(volume.relative.unwrap().abs() < 0.01, "{volume:?}");
    // 300 aggregations in which half of the heap is in 16.5 of 20 samples, 100 of which have all of the library.
    let truth = (PROGRAM.heap / 2) as f64 * 300.0 * 16.5 + (16 * MIB) as f64 * 100.0 * 20.0;
    assert!((volume.base_mean / truth - 1.0).abs() < 0.01, "{}", volume.base_mean / truth);
    // By time they are of one length, and the library is hot for all of it.
    let time = Options { align: Align::Time, ..Options::default() };
    assert!(metric(&compared(&base, &new, &time), "volume.total").relative.unwrap() > 0.1);
}

#[test]
fn the_result_does_not_depend_on_threads() {
    let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let (base, new) = (PROGRAM.runs(1..4), PROGRAM.runs(11..14));
    let one = pool(1).install(|| compared(&base, &new, &Options::default()));
    let four = pool(4).install(|| compared(&base, &new, &Options::default()));
    assert_eq!(one, four);
    let total = Metric::total(Measure::Hot, Statistic::Mean);
    assert!(one.metrics.iter().any(|m| m.metric == total));
}
