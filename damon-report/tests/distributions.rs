//! Regions, histograms, counts, bandwidth and times: numbers worked out by hand, and what must hold for any recording.

#![expect(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "numbers of tests are small, and a helper that fails is a test that fails"
)]

mod common;

use common::{BEGIN, HEAP, MIB, SECOND, made};
use damon_format::{Region, Sampling, Snapshot, TargetId};
use damon_report::analysis::bandwidth::bandwidth;
use damon_report::analysis::bins::{BinScale, Unit};
use damon_report::analysis::histogram::{Bin, Histogram, HistogramOptions, Metric, histogram};
use damon_report::analysis::load::Trace;
use damon_report::analysis::moment::CoveredMoment;
use damon_report::analysis::nr_regions::{Percentiles, nr_regions};
use damon_report::analysis::pattern::{Bounds, Pattern};
use damon_report::analysis::regions::{Order, RegionOptions, RegionTable, regions};
use damon_report::analysis::select::{Query, SelectError};
use damon_report::analysis::strip::strip;
use damon_report::analysis::temperature::Temperature;
use damon_report::analysis::times::{Times, times};
use damon_report::analysis::view::View;
use proptest::prelude::*;

fn open(bytes: Vec<u8>, query: &Query) -> (Trace, View) {
    let trace = made::open(bytes);
    let view = View::new(&trace, query).unwrap();
    (trace, view)
}

fn whole(bytes: Vec<u8>) -> (Trace, View) {
    open(bytes, &Query::default())
}

fn write(list: &[Snapshot], block_rows: u64) -> Vec<u8> {
    made::write(&common::info(), block_rows, &[], list)
}

fn options(metric: Metric) -> HistogramOptions {
    HistogramOptions { metric, bins: 20, scale: None, temperature: Temperature::UseTime }
}

fn of(trace: &Trace, view: &View, metric: Metric) -> Histogram {
    histogram(trace, &view.selection, &options(metric))
}

/// Bins that hold anything: edges, and MiB of both kinds.
fn filled(histogram: &Histogram) -> Vec<(f64, f64, f64, f64)> {
    let mib = |bytes: f64| (bytes / MIB as f64 * 1e6).round() / 1e6;
    let bins = histogram.bins.iter().filter(|bin| bin.bytes() > 0.0);
    bins.map(|b| (b.from, b.to, mib(b.accessed), mib(b.idle))).collect()
}

/// Of ten seconds: half the time 4 MiB at 100 % and half the time at 50 %, 16 MiB idle.
#[test]
fn histograms_are_means_over_time() {
    let (trace, view) = whole(common::ten_seconds());
    let by_rate = of(&trace, &view, Metric::Rate);
    let expected = [(0.0, 0.0, 0.0, 16.0), (0.45, 0.5, 2.0, 0.0), (0.95, 1.0, 2.0, 0.0)];
    assert_eq!(filled(&by_rate), expected);
    assert_eq!((by_rate.bins.len(), by_rate.snapshots), (21, 100));
    assert_eq!(by_rate.time_ns, 10 * SECOND);
    let share: f64 = by_rate.bins[0].share;
    assert!((share - 0.8).abs() < 1e-12);
    assert!((by_rate.bins[20].cumulative - 1.0).abs() < 1e-12);

    let by_size = of(&trace, &view, Metric::Size);
    let mib = |n: u64| (n * MIB) as f64;
    // Three regions of 4 MiB, one of 8.
    assert_eq!(filled(&by_size), [(mib(2), mib(4), 4.0, 8.0), (mib(4), mib(8), 0.0, 8.0)]);

    // Ages go from 0 to 4.9 s twice: a fiftieth of the time each.
    let by_age = of(&trace, &view, Metric::Age);
    assert_eq!(by_age.unit, Unit::Nanoseconds);
    let found = filled(&by_age);
    assert_eq!(found[0], (0.0, 0.0, 0.08, 0.32));
    assert_eq!(found.last(), Some(&(2e9, 5e9, 4.0 * 29.0 / 50.0, 16.0 * 29.0 / 50.0)));

    let by_warmth = of(&trace, &view, Metric::Temperature);
    let idle: f64 = by_warmth.bins.iter().filter(|b| b.to <= 0.0).map(Bin::bytes).sum();
    assert!((idle - mib(16)).abs() < 1.0, "what is idle is below zero");
}

#[test]
fn one_moment_is_that_moment() {
    let (trace, view) = whole(common::ten_seconds());
    let moment = CoveredMoment::find(&trace, &view, Some(&"75%".parse().unwrap())).unwrap();
    let then = histogram(&trace, &moment.selection(&view.selection), &options(Metric::Rate));
    assert_eq!(filled(&then), [(0.0, 0.0, 0.0, 16.0), (0.45, 0.5, 4.0, 0.0)]);
    assert_eq!(then.snapshots, 1);
}

fn table(trace: &Trace, view: &View, at: Option<&str>, options: &RegionOptions) -> RegionTable {
    let at = at.map(|text| text.parse().unwrap());
    regions(trace, view, at.as_ref(), options).unwrap().0
}

#[test]
fn the_regions_of_a_moment_are_those_of_the_snapshot_that_covers_it() {
    let (trace, view) = whole(common::ten_seconds());
    let usual = RegionOptions::default();
    let first = table(&trace, &view, Some("0"), &usual);
    assert_eq!((first.start_ns, first.end_ns), (BEGIN, BEGIN + SECOND / 10));
    let hot = &first.rows[0];
    assert_eq!((hot.start, hot.size, hot.nr_accesses, hot.age_ns), (HEAP, 4 * MIB, 20, Some(0)));
    // Wilson for 20 of 20, n / (n + z²), and use time of one aggregation.
    assert!((hot.rate_low - 20.0 / (20.0 + 1.959_964_f64.powi(2))).abs() < 1e-6);
    assert!(hot.rate_high >= 1.0 && hot.temperature == Some(1e8));
    assert_eq!((hot.mappings.len(), hot.mappings[0].name.as_str()), (1, "[heap]"));
    assert_eq!(first.total.hot, 4 * MIB);
    assert_eq!((first.total.cold, first.total.monitored), (16 * MIB, 20 * MIB));

    // Between two snapshots the one that begins counts; without a wish, and at the end, the last one.
    let at_5s = table(&trace, &view, Some("5s"), &usual);
    assert_eq!(at_5s.start_ns, BEGIN + 5 * SECOND);
    for at in [None, Some("100%"), Some("10s"), Some("9.95s")] {
        let last = table(&trace, &view, at, &usual);
        assert_eq!(last.end_ns, BEGIN + 10 * SECOND, "{at:?}");
        assert!((last.total.expected - (2 * MIB) as f64).abs() < 1e-6);
        assert_eq!(last.rows[2].temperature, Some(0.5 * 5e9));
        assert_eq!(last.rows[3].temperature, Some(-5e9));
    }
    let exact = RegionOptions { exact: true, ..usual };
    let row = &table(&trace, &view, None, &exact).rows[2];
    assert_eq!((row.rate_low.to_bits(), row.rate_high), (row.rate.to_bits(), row.rate));
}

#[test]
fn rows_are_filtered_ordered_and_cut_and_totals_are_not() {
    let (trace, view) = whole(common::ten_seconds());
    let pattern = Pattern {
        rate: Bounds { min: None, max: Some(0.0) },
        size: Bounds { min: Some(4 * MIB), max: None },
        ..Pattern::default()
    };
    let options = RegionOptions { pattern, order: Order::Size, top: Some(2), ..Default::default() };
    let found = table(&trace, &view, None, &options);
    let sizes: Vec<u64> = found.rows.iter().map(|row| row.size / MIB).collect();
    assert_eq!(sizes, [8, 4]);
    assert_eq!((found.matching.regions, found.matching.monitored), (3, 16 * MIB));
    assert_eq!((found.total.regions, found.total.monitored), (4, 20 * MIB));
}

#[test]
fn the_last_snapshot_of_a_process_that_exits_is_passed_over_if_it_is_short() {
    let mut list = common::snapshots(0, 5);
    list[4].end_ns = list[4].start_ns + SECOND / 100;
    let (trace, view) = whole(write(&list, 64));
    let found = table(&trace, &view, None, &RegionOptions::default());
    assert_eq!(found.end_ns, list[3].end_ns);
    let asked = table(&trace, &view, Some("100%"), &RegionOptions::default());
    assert_eq!(asked.end_ns, list[3].end_ns, "the end is the last complete one, too");
    let inside = table(&trace, &view, Some("405ms"), &RegionOptions::default());
    assert_eq!(inside.end_ns, list[4].end_ns);
}

#[test]
fn a_moment_without_a_snapshot_is_refused_with_the_nearest() {
    let mut list = common::snapshots(0, 10);
    list.drain(3..6);
    let (trace, view) = whole(write(&list, 4));
    let found = |text: &str| CoveredMoment::find(&trace, &view, Some(&text.parse().unwrap()));
    let error = found("450ms").unwrap_err();
    assert!(matches!(error, SelectError::NothingThen { .. }));
    let sentence = error.to_string();
    assert!(sentence.contains("450ms") && sentence.contains("0.300 s"), "{sentence}");
    assert!(sentence.contains("0.600 s"), "{sentence}");
    // What ends exactly then still counts.
    assert_eq!(found("300ms").unwrap().snapshots[0].end_ns, list[2].end_ns);
    assert!(found("11s").unwrap_err().to_string().contains("lasts 1.000 s"));
}

#[test]
fn targets_that_are_there_at_the_moment_are_shown_together() {
    let list = made::staggered();
    let (trace, view) = whole(write(&list, 8));
    let targets = |at| {
        let rows = table(&trace, &view, at, &RegionOptions::default()).rows;
        rows.iter().map(|row| row.target.0).collect::<Vec<_>>()
    };
    assert_eq!(targets(Some("500ms")), [0, 0, 0, 0, 1, 1, 1, 1]);
    assert_eq!(targets(Some("10ms")), [0; 4]);
    assert_eq!(targets(None), [0; 4]);
}

#[test]
fn counts_are_weighted_by_time_unless_damo_is_asked_for() {
    let mut list = common::snapshots(0, 4);
    list[3].regions.truncate(1);
    list[3].end_ns += 6 * SECOND / 10;
    let (trace, view) = whole(write(&list, 64));
    // 4 regions for 0.3 s, 1 for 0.7 s.
    let found = nr_regions(&trace, &view, Percentiles::TimeWeighted, 0);
    assert_eq!(found.total.distribution.at(50), Some(1.0));
    assert!((found.total.distribution.mean - 1.9).abs() < 1e-9);
    // All below the limit of 10.
    assert_eq!((found.total.above_max, found.total.below_min), (Some(0.0), Some(1.0)));
    let damo = nr_regions(&trace, &view, Percentiles::Damo, 0);
    assert_eq!(damo.total.distribution.at(50), Some(4.0));
    assert!((damo.total.distribution.mean - 3.0).abs() < 1e-12);
    let skipped = nr_regions(&trace, &view, Percentiles::Damo, 3);
    assert_eq!(skipped.targets[0].samples.len(), 1);
    assert!(nr_regions(&trace, &view, Percentiles::Damo, 4).targets.is_empty());
}

#[test]
fn bandwidth_is_bytes_by_the_time_an_aggregation_took() {
    let (trace, view) = whole(common::ten_seconds());
    let found = bandwidth(&trace, &view, true);
    let at = |index| found.samples.iter().nth(index).unwrap();
    let (first, last) = (at(0), at(99));
    let mib = |value: f64| (value / MIB as f64).round();
    // 4 MiB each 100 ms, in all 20 samples; then in 10 of them.
    assert_eq!((mib(first.low), mib(first.high)), (40.0, 800.0));
    assert_eq!((mib(last.low), mib(last.high)), (20.0, 400.0));
    assert_eq!((mib(found.low.mean), mib(found.high.mean)), (30.0, 600.0));
    assert!(last.low_from.to_bits() == last.low.to_bits() && last.low_to <= last.low);
    let sampled = bandwidth(&trace, &view, false).samples.iter().nth(99).unwrap();
    assert!(sampled.low_from < sampled.low && sampled.low < sampled.low_to);
    // A part of an aggregation that is selected does not make it faster.
    let part = Query { time: Some("4.95s..".parse().unwrap()), ..Query::default() };
    let (trace, view) = open(common::ten_seconds(), &part);
    let first = bandwidth(&trace, &view, true).samples.iter().next().unwrap();
    assert_eq!(mib(first.low).to_bits(), 40.0_f64.to_bits());
}

fn when(trace: &Trace, view: &View, pattern: &Pattern, least: u64) -> Vec<(u64, u64)> {
    let ms = |time: u64| (time - BEGIN) / 1_000_000;
    let found = times(trace, view, pattern, least);
    found.intervals.iter().map(|i| (ms(i.start_ns), ms(i.end_ns))).collect()
}

#[test]
fn a_pattern_is_true_from_the_begin_to_the_end_of_snapshots() {
    let (trace, view) = whole(common::ten_seconds());
    let rate = |min| Pattern { rate: Bounds { min: Some(min), max: None }, ..Pattern::default() };
    let found = |pattern: &Pattern, least| when(&trace, &view, pattern, least);
    assert_eq!(found(&rate(0.6), 0), [(0, 5000)]);
    assert_eq!(found(&rate(0.5), 4 * MIB), [(0, 10_000)]);
    assert_eq!(found(&rate(0.5), 4 * MIB + 1), []);
    // Ages begin again after five seconds.
    let old = Pattern { age_ns: Bounds { min: Some(SECOND), max: None }, ..rate(0.5) };
    assert_eq!(found(&old, 0), [(1000, 5000), (6000, 10_000)]);
    let share = times(&trace, &view, &old, 0).share;
    assert!((share - 0.8).abs() < 1e-12);
}

/// Snapshots of up to three targets that follow each other, some with holes in time, some without ages.
fn recording() -> impl Strategy<Value = Vec<Snapshot>> {
    let region = (1_u64..40, 0_u64..6, 0_u32..22, 0_u32..500);
    let regions = prop::collection::vec(region, 0..7);
    let one = (0_u32..3, 0_u64..3, 1_u64..200, prop::bool::weighted(0.9), regions);
    prop::collection::vec(one, 1..40).prop_map(|list| {
        let mut ends = [BEGIN; 3];
        let mut all: Vec<Snapshot> = Vec::new();
        for (target, pause, ms, has_ages, regions) in list {
            let end = &mut ends[usize::try_from(target).unwrap()];
            let start_ns = *end + pause.saturating_sub(1) * 30_000_000;
            *end = start_ns + ms * 1_000_000;
            let mut at = 0x1000_0000;
            let regions = regions.into_iter().map(|(pages, gap, nr_accesses, age)| {
                let start = at + gap * 4096;
                at = start + pages * 4096;
                Region { start, end: at, nr_accesses, age }
            });
            let sampling = Sampling::from_intervals(5_000, 100_000);
            let regions = regions.collect();
            let snapshot = Snapshot::new(TargetId(target), start_ns, *end, sampling, regions);
            all.push(Snapshot { has_ages, ..snapshot });
        }
        all.sort_by_key(|s| s.end_ns);
        all
    })
}

const METRICS: [Metric; 4] = [Metric::Rate, Metric::Age, Metric::Size, Metric::Temperature];

fn any_options() -> impl Strategy<Value = HistogramOptions> {
    let scale = prop::sample::select(vec![None, Some(BinScale::Linear), Some(BinScale::Log)]);
    let weights = Temperature::Weights { size: 0.5, rate: 100.0, age: -1.0 };
    let temperature = prop::sample::select(vec![Temperature::UseTime, weights]);
    (prop::sample::select(&METRICS[..]), 1_usize..40, scale, temperature).prop_map(
        |(metric, bins, scale, temperature)| HistogramOptions { metric, bins, scale, temperature },
    )
}

fn any_pattern() -> impl Strategy<Value = (Pattern, u64)> {
    let bound = |range| prop::option::of(range);
    (bound(0_u64..200_000), bound(0_u64..30_000_000_000), bound(0_u64..30), 0_u64..400_000)
        .prop_map(|(size, age, rate, least)| {
            let rate = rate.map(|k| k as f64 / 20.0);
            let pattern = Pattern {
                size: Bounds { min: size, max: None },
                rate: Bounds { min: None, max: rate },
                age_ns: Bounds { min: None, max: age },
            };
            (pattern, least)
        })
}

/// Everything these analyses say, but for the intervals of bandwidth, which rest on the snapshot before.
fn everything(trace: &Trace, view: &View, asked: &HistogramOptions, pattern: &Pattern) -> String {
    let table = table(trace, view, Some("30%"), &RegionOptions::default());
    let bandwidth = bandwidth(trace, view, true);
    let found = (
        histogram(trace, &view.selection, asked),
        nr_regions(trace, view, Percentiles::TimeWeighted, 1),
        times(trace, view, pattern, 5000),
    );
    format!("{table:?} {bandwidth:?} {found:?}")
}

fn near(found: f64, expected: f64) -> bool {
    (found - expected).abs() <= 1e-9 * expected.abs().max(1.0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn bins_hold_all_that_was_monitored(list in recording(), asked in any_options()) {
        let (trace, view) = whole(write(&list, 16));
        let found = histogram(&trace, &view.selection, &asked);
        let monitored: f64 = list
            .iter()
            .flat_map(|s| s.regions.iter().map(move |r| (r.end - r.start) * (s.end_ns - s.start_ns)))
            .map(|byte_ns| byte_ns as f64)
            .sum();
        let held: f64 = found.bins.iter().map(Bin::bytes).sum();
        prop_assert!(near(found.monitored * found.time_ns as f64, monitored));
        prop_assert!(near(held + found.unknown, found.monitored), "{found:?}");
        if list.iter().all(|s| s.has_ages) {
            prop_assert!(found.unknown == 0.0);
        }
        prop_assert!(found.bins.is_sorted_by(|a, b| a.to <= b.from && a.from <= b.from));
        let beside_zero = found.bins.iter().filter(|b| !b.is_zero()).count();
        prop_assert!(beside_zero <= asked.bins.max(2), "{found:?}");
    }

    #[test]
    fn neither_blocks_nor_threads_change_a_number(
        list in recording(),
        asked in any_options(),
        pattern in any_pattern(),
    ) {
        let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let say = |block_rows, threads| {
            let (trace, view) = whole(write(&list, block_rows));
            if CoveredMoment::find(&trace, &view, Some(&"30%".parse().unwrap())).is_err() {
                return String::new();
            }
            pool(threads).install(|| everything(&trace, &view, &asked, &pattern.0))
        };
        let usual = say(10_000, 1);
        prop_assert_eq!(&say(1, 1), &usual);
        prop_assert_eq!(&say(7, 3), &usual);
    }

    #[test]
    fn parts_of_the_addresses_add_up(list in recording(), cut in 1_u64..200) {
        let bytes = write(&list, 16);
        let whole_sum = { let (t, v) = whole(bytes.clone()); of(&t, &v, Metric::Rate) };
        let at = 0x1000_0000 + cut * 2048;
        let mut sum = vec![0.0; whole_sum.bins.len()];
        for address in [format!("0..{at:x}"), format!("{at:x}..")] {
            let query = Query { address: vec![address.parse().unwrap()], ..Query::default() };
            let trace = made::open(bytes.clone());
            // Where nothing was monitored there is nothing to add.
            if let Ok(view) = View::new(&trace, &query) {
                let part = of(&trace, &view, Metric::Rate);
                prop_assert_eq!(part.time_ns, whole_sum.time_ns);
                sum.iter_mut().zip(&part.bins).for_each(|(sum, bin)| *sum += bin.bytes());
            }
        }
        for (sum, bin) in sum.iter().zip(&whole_sum.bins) {
            prop_assert!(near(*sum, bin.bytes()), "{sum} {bin:?}");
        }
    }

    #[test]
    fn parts_of_the_time_add_up(list in recording(), cut in 1_u64..99, asked in any_pattern()) {
        let bytes = write(&list, 16);
        let (pattern, least) = asked;
        let look = |query: &Query| -> Option<(Histogram, Times)> {
            let trace = made::open(bytes.clone());
            let view = View::new(&trace, query).ok()?;
            Some((of(&trace, &view, Metric::Rate), times(&trace, &view, &pattern, least)))
        };
        let all = look(&Query::default()).unwrap();
        let (mut sum, mut matched, mut observed) = (vec![0.0; all.0.bins.len()], 0, 0);
        for time in [format!("..{cut}%"), format!("{cut}%..")] {
            let query = Query { time: Some(time.parse().unwrap()), ..Query::default() };
            if let Some((histogram, times)) = look(&query) {
                let ns = histogram.time_ns as f64;
                let bins = sum.iter_mut().zip(&histogram.bins);
                bins.for_each(|(sum, bin)| *sum += bin.bytes() * ns);
                matched += times.matched_ns;
                observed += times.observed_ns;
            }
        }
        prop_assert_eq!((matched, observed), (all.1.matched_ns, all.1.observed_ns));
        for (sum, bin) in sum.iter().zip(&all.0.bins) {
            prop_assert!(near(*sum, bin.bytes() * all.0.time_ns as f64), "{sum} {bin:?}");
        }
    }

    #[test]
    fn a_pattern_is_true_when_enough_bytes_match(
        list in recording(),
        (pattern, least) in any_pattern(),
        instants in prop::collection::vec(0_u64..4_000_000_000, 20),
    ) {
        let (trace, view) = whole(write(&list, 16));
        let found = times(&trace, &view, &pattern, least);
        for offset in instants {
            let time = BEGIN + offset;
            let now = list.iter().filter(|s| s.start_ns <= time && time < s.end_ns);
            let matching = now.flat_map(|s| s.regions.iter().filter(move |r| {
                let age = u64::from(r.age) * 100_000_000;
                let old = s.has_ages && pattern.age_ns.contain(age) || pattern.age_ns.are_open();
                let rate = f64::from(r.nr_accesses) / 20.0;
                old && pattern.size.contain(r.end - r.start) && pattern.rate.contain(rate)
            }));
            let bytes: u64 = matching.map(|r| r.end - r.start).sum();
            let inside = found.intervals.iter().find(|i| i.start_ns <= time && time < i.end_ns);
            prop_assert_eq!(inside.is_some(), bytes >= least.max(1), "{}", bytes);
            if let Some(interval) = inside {
                prop_assert!(interval.least <= bytes && bytes <= interval.most);
            }
        }
        let apart = found.intervals.windows(2).all(|pair| pair[0].end_ns < pair[1].start_ns);
        prop_assert!(apart, "{found:?}");
    }

    #[test]
    fn a_table_and_a_histogram_of_one_moment_agree(
        list in recording(),
        (pattern, _) in any_pattern(),
        columns in 1_usize..60,
    ) {
        let (trace, view) = whole(write(&list, 16));
        let options = RegionOptions { pattern, ..RegionOptions::default() };
        let (found, moment) = regions(&trace, &view, None, &options).unwrap();
        let (total, matching) = (found.total, found.matching);
        prop_assert_eq!(total.hot + total.cold, total.monitored);
        prop_assert_eq!(found.rows.iter().map(|r| r.size).sum::<u64>(), matching.monitored);
        prop_assert!(total.expected <= total.hot as f64 * 21.0 / 20.0 + 1e-6);
        let then = histogram(&trace, &moment.selection(&view.selection), &self::options(Metric::Rate));
        prop_assert!(near(then.bins.iter().map(|b| b.accessed).sum(), total.hot as f64));
        prop_assert!(near(then.bins.iter().map(|b| b.idle).sum(), total.cold as f64));
        let cells = strip(&moment, &view.selection, Temperature::UseTime, columns);
        let expected = if total.monitored > 0 { columns } else { 0 };
        prop_assert_eq!(cells.len(), expected);
    }
}
