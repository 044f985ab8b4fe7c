//! Working sets, summed over targets and weighted by time.

#![expect(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "numbers of tests are small, and a helper that fails is a test that fails"
)]

mod common;

use common::{BEGIN, MIB, SECOND, made};
use damon_format::{Region, Snapshot, TargetId};
use damon_report::analysis::select::Query;
use damon_report::analysis::view::View;
use damon_report::analysis::wss::{Distribution, WorkingSet, WorkingSetOptions};
use proptest::prelude::*;

fn working_set(bytes: Vec<u8>, query: &Query, threshold: u32, exact: bool) -> WorkingSet {
    let trace = made::open(bytes);
    let view = View::new(&trace, query).unwrap();
    view.working_set(&trace, WorkingSetOptions { exact, ..WorkingSetOptions::sampled(threshold) })
}

fn write(list: &[Snapshot]) -> Vec<u8> {
    made::write(&common::info(), 64, &[], list)
}

#[test]
fn touched_counts_whole_regions_expected_their_rate() {
    let set = working_set(common::ten_seconds(), &Query::default(), 1, false);
    assert_eq!(set.samples.len(), 100);
    let samples: Vec<_> = set.samples.iter().collect();
    let (first, last) = (samples[0], samples[99]);
    assert_eq!((first.touched, last.touched), (4 * MIB, 4 * MIB));
    assert!((first.expected - (4 * MIB) as f64).abs() < 1e-6);
    assert!((last.expected - (2 * MIB) as f64).abs() < 1e-6);
    assert!(set.samples.iter().all(|s| s.monitored == 20 * MIB));
    assert!(last.expected_low < last.expected && last.expected < last.expected_high);
    assert_eq!(set.resident.len(), 10);
    assert_eq!(set.resident[0].rss, 12 * MIB);
}

#[test]
fn what_the_kernels_merges_lose_is_in_the_upper_end_and_adds_up_over_targets() {
    // Eight parts of 8 MiB become one that counts 6; beside it is something hot.
    let snapshots = |target: u32| -> Vec<Snapshot> {
        let mut list = common::snapshots(target, 2);
        for (snapshot, parts) in list.iter_mut().zip([8_u64, 1]) {
            let mib = |mib: u64| common::HEAP + mib * MIB;
            let region = |start, end, nr_accesses| Region { start, end, nr_accesses, age: 0 };
            let part = |i: u64| region(mib(i * 8 / parts), mib((i + 1) * 8 / parts), 6);
            snapshot.regions = (0..parts).map(part).collect();
            snapshot.regions.push(region(mib(8), mib(9), 20));
        }
        list
    };
    let both = [snapshots(0), snapshots(1)].concat();
    let last = |list: &[Snapshot], rounds_down| {
        let trace = made::open(write(list));
        let view = View::new(&trace, &Query::default()).unwrap();
        let options = WorkingSetOptions { rounds_down, ..WorkingSetOptions::sampled(1) };
        view.working_set(&trace, options).samples.last().unwrap()
    };
    let (own, kernel) = (last(&snapshots(0), false), last(&snapshots(0), true));
    assert!(own.expected_lost.abs() < 1e-9);
    // 1.4 counts of 20 of 8 MiB, or a little less.
    let lost = kernel.expected_lost / MIB as f64;
    assert!((0.45..0.65).contains(&lost), "{lost}");
    assert!((kernel.expected - own.expected).abs() < 1e-6);
    assert!((kernel.expected_low - own.expected_low).abs() < 1.0);
    assert!((kernel.expected_high - own.expected_high - kernel.expected_lost).abs() < 1.0);
    // Sampling errors of two targets even out in part; what both lose does not.
    let (own, kernel) = (last(&both, false), last(&both, true));
    assert!((kernel.expected_lost / MIB as f64 - 2.0 * lost).abs() < 1e-3);
    assert!((kernel.expected_high - own.expected_high - kernel.expected_lost).abs() < 8.0);
}

/// Snapshots of one target, side by side, each so long and touching so many MiB of 8.
fn steps(target: u32, length_ns: u64, touched: &[u64]) -> Vec<Snapshot> {
    let mut made = common::snapshots(target, touched.len() as u64);
    for ((index, snapshot), mib) in (0..).zip(&mut made).zip(touched) {
        let region = |start, end, nr_accesses| Region { start, end, nr_accesses, age: 0 };
        let (start, middle) = (common::HEAP, common::HEAP + mib * MIB);
        snapshot.start_ns = BEGIN + index * length_ns;
        snapshot.end_ns = snapshot.start_ns + length_ns;
        snapshot.regions =
            vec![region(start, middle, 10), region(middle, common::HEAP + 9 * MIB, 0)];
    }
    made
}

#[test]
fn targets_of_several_kdamonds_are_added_up_at_each_time() {
    // Each touches always the same; whatever their intervals, so do both.
    for (length_ms, count) in [(104, 96), (97, 103), (1000, 10), (333, 30)] {
        let mut list = steps(0, SECOND / 10, &[3; 100]);
        list.extend(steps(1, length_ms * 1_000_000, &vec![2; count]));
        list.sort_by_key(|s| s.end_ns);
        let both = Query { time: Some("0s..9.9s".parse().unwrap()), ..Query::default() };
        let set = working_set(write(&list), &both, 1, false);
        assert_eq!(set.touched.at(0), Some((5 * MIB) as f64), "{length_ms} ms");
        assert_eq!(set.touched.at(100), Some((5 * MIB) as f64), "{length_ms} ms");
        assert!((set.expected.mean / (2.5 * MIB as f64) - 1.0).abs() < 1e-9, "{length_ms} ms");
        let time: u64 = set.samples.iter().map(|s| s.end_ns - s.start_ns).sum();
        assert_eq!(time, 99 * SECOND / 10, "{length_ms} ms: no time counts twice");
        assert!(set.samples.iter().all(|s| s.expected_low < s.expected));
    }
    // 1, 8, 1, 8 … MiB in turns, beside 2 MiB in snapshots of a second.
    let turns: Vec<u64> = (0..100).map(|i| 1 + i % 2 * 7).collect();
    let mut list = steps(0, SECOND / 10, &turns);
    list.extend(steps(1, SECOND, &[2; 10]));
    list.sort_by_key(|s| s.end_ns);
    let set = working_set(write(&list), &Query::default(), 1, false);
    let at = |percent| set.touched.at(percent).map(|bytes| bytes / MIB as f64);
    assert_eq!([at(0), at(50), at(51), at(100)], [3.0, 3.0, 10.0, 10.0].map(Some));
    assert!((set.touched.mean / MIB as f64 - 6.5).abs() < 1e-9);
}

#[test]
fn a_threshold_and_an_exact_backend_are_honoured() {
    let set = working_set(common::ten_seconds(), &Query::default(), 11, true);
    assert_eq!(set.samples.iter().next().unwrap().touched, 4 * MIB);
    assert_eq!(set.samples.last().unwrap().touched, 0);
    let exact = |s: damon_report::analysis::wss::WorkingSetSample| {
        s.expected_low.to_bits() == s.expected.to_bits()
            && s.expected_high.to_bits() == s.expected.to_bits()
    };
    assert!(set.samples.iter().all(exact));
}

#[test]
fn targets_of_one_moment_are_summed_though_their_clocks_differ() {
    let list = made::staggered();
    let set = working_set(write(&list), &Query::default(), 1, false);
    assert_eq!(set.samples.len(), 20);
    let monitored: Vec<u64> = set.samples.iter().map(|s| s.monitored / MIB).collect();
    assert_eq!(monitored, [[40; 10], [20; 10]].concat());
    let alone = Query { target: Some("1".into()), ..Query::default() };
    let set = working_set(write(&list), &alone, 1, false);
    assert_eq!(set.samples.len(), 10);
    assert_eq!(set.samples.iter().next().unwrap().start_ns, BEGIN + 30_000_000);
}

#[test]
fn values_weigh_as_long_as_they_lasted() {
    let distribution = Distribution::of(vec![(10.0, 9 * SECOND), (100.0, SECOND)]);
    assert!((distribution.mean - 19.0).abs() < 1e-9);
    assert_eq!(distribution.at(50), Some(10.0));
    assert_eq!(distribution.at(90), Some(10.0));
    assert_eq!(distribution.at(91), Some(100.0));
    assert_eq!(Distribution::of(vec![]).at(50), None);
    assert_eq!(Distribution::of(vec![(7.0, 0)]).at(50), Some(7.0));
}

proptest! {
    #[test]
    fn percentiles_rise_from_the_least_to_the_greatest(
        values in prop::collection::vec((0.0_f64..1e12, 1_u64..SECOND), 1..50)
    ) {
        let found = Distribution::of(values.clone());
        let least = values.iter().map(|v| v.0).fold(f64::INFINITY, f64::min);
        let greatest = values.iter().map(|v| v.0).fold(0.0, f64::max);
        prop_assert_eq!(found.percentiles.len(), 101);
        prop_assert!(found.percentiles.is_sorted());
        prop_assert_eq!(found.at(0), Some(least));
        prop_assert_eq!(found.at(100), Some(greatest));
        prop_assert!(least <= found.mean * (1.0 + 1e-12) && found.mean <= greatest * (1.0 + 1e-12));
    }
}

#[test]
fn targets_have_numbers_of_their_own() {
    let list = common::snapshots(3, 4);
    assert!(list.iter().all(|s| s.target == TargetId(3)));
    let set = working_set(write(&list), &Query::default(), 1, false);
    assert_eq!(set.samples.len(), 4);
}

#[test]
fn a_process_that_exits_in_the_middle_of_a_moment_counts_for_its_part_of_it() {
    let mut list = common::snapshots(1, 1);
    list[0].end_ns = list[0].start_ns + (list[0].end_ns - list[0].start_ns) / 4;
    list.extend(common::snapshots(0, 1));
    let length = list[1].end_ns - list[1].start_ns;
    let set = working_set(write(&list), &Query::default(), 1, false);
    assert_eq!(set.samples.len(), 1);
    let moment = set.samples.last().unwrap();
    assert_eq!(moment.end_ns - moment.start_ns, length, "nobody else's time is cut");
    let alone = Query { target: Some("0".into()), ..Query::default() };
    let one = working_set(write(&list), &alone, 1, false).samples.last().unwrap();
    assert_eq!(moment.touched, 2 * one.touched);
    assert!((moment.expected - 1.25 * one.expected).abs() < 1e-6);
}
