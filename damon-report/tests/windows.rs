//! Working sets by the length of the window, against counting page by page; and as damo computes them.

#![expect(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "numbers of tests are small, and a helper that fails is a test that fails"
)]

mod common;

use common::{BEGIN, MIB, SECOND, made};
use damon_format::{Region, Sampling, Snapshot, TargetId};
use damon_report::analysis::load::Trace;
use damon_report::analysis::select::Query;
use damon_report::analysis::view::View;
use damon_report::analysis::windows::WindowLevel;
use damon_report::analysis::wss::WorkingSetOptions;
use damon_report::analysis::wss_damo::DamoOptions;
use proptest::prelude::*;

const PAGE: u64 = 4096;

fn write(list: &[Snapshot], rows: u64) -> Vec<u8> {
    made::write(&common::info(), rows, &[], list)
}

fn open(bytes: Vec<u8>) -> (Trace, View) {
    let trace = made::open(bytes);
    let view = View::new(&trace, &Query::default()).unwrap();
    (trace, view)
}

fn windows(list: &[Snapshot], rows: u64) -> Vec<WindowLevel> {
    let (trace, view) = open(write(list, rows));
    view.windows(&trace, 1)
}

fn snapshot(target: u32, number: u64, regions: &[(u64, u64, u32)]) -> Snapshot {
    let region = |&(start, end, nr_accesses): &(u64, u64, u32)| Region {
        start: start * PAGE,
        end: end * PAGE,
        nr_accesses,
        age: 0,
    };
    let start = BEGIN + number * SECOND / 10;
    let sampling = Sampling::from_intervals(5_000, 100_000);
    let regions = regions.iter().map(region).collect();
    Snapshot::new(TargetId(target), start, start + SECOND / 10, sampling, regions)
}

#[test]
fn a_window_holds_what_any_of_its_aggregations_touched() {
    // Page by page, four aggregations long, at rate 1/2; a fifth that fills no window.
    let mut list: Vec<Snapshot> =
        (0..4).map(|i| snapshot(0, i, &[(i + 1, i + 2, 10), (10, 12, 10)])).collect();
    list.push(snapshot(0, 4, &[(1, 100, 20)]));
    let found = windows(&list, 1 << 16);
    let shape: Vec<_> = found.iter().map(|l| (l.aggregations, l.windows)).collect();
    assert_eq!(shape, [(1, 5), (2, 2), (4, 1)]);
    assert_eq!(found[2].length_ns, 4 * SECOND / 10);
    let pages = |bytes: f64| bytes / PAGE as f64;
    assert!((pages(found[1].touched.mean) - 4.0).abs() < 1e-9);
    assert!((pages(found[2].touched.mean) - 6.0).abs() < 1e-9);
    // Twice two pages at 1 − 1/4, and one each at 1/2.
    assert!((pages(found[1].expected.mean) - (2.0 * 0.75 + 1.0)).abs() < 1e-9);
    assert!((pages(found[2].expected.mean) - (2.0 * (1.0 - 1.0 / 16.0) + 2.0)).abs() < 1e-9);
}

#[test]
fn windows_of_one_aggregation_are_the_working_set() {
    let list = common::snapshots(0, 100);
    let (trace, view) = open(write(&list, 64));
    let found = view.windows(&trace, 1);
    let set = view.working_set(&trace, WorkingSetOptions::without_intervals(1));
    assert_eq!(found[0].touched, set.touched);
    assert!((found[0].expected.mean - set.expected.mean).abs() < 1e-3);
    // Hot is the first quarter, then the last: the window of 64 sees both.
    assert_eq!(found.len(), 7);
    assert_eq!(found[6].touched.at(100), Some(8.0 * MIB as f64));
    assert_eq!(found[4].touched.at(50), Some(4.0 * MIB as f64));
}

/// Chance to be missed and whether touched, of each page of each target, by window.
fn naive(list: &[Snapshot], cells: u64, length: u64) -> Vec<(f64, f64)> {
    let pages = 200;
    (0..cells / length)
        .map(|window| {
            let mut miss = vec![1.0; 2 * pages];
            let mut touched = vec![false; 2 * pages];
            for snapshot in list {
                let number = (snapshot.start_ns - BEGIN) / (SECOND / 10);
                if number / length != window {
                    continue;
                }
                for region in snapshot.regions.iter().filter(|r| r.nr_accesses > 0) {
                    for page in region.start / PAGE..region.end / PAGE {
                        let base = pages * usize::try_from(snapshot.target.0).unwrap();
                        let index = base + usize::try_from(page).unwrap();
                        miss[index] *= 1.0 - f64::from(region.nr_accesses) / 20.0;
                        touched[index] = true;
                    }
                }
            }
            let touched = touched.iter().filter(|t| **t).count() as f64;
            (touched * PAGE as f64, miss.iter().map(|m| 1.0 - m).sum::<f64>() * PAGE as f64)
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn windows_are_what_counting_pages_finds_whatever_the_blocks(
        all in prop::collection::vec(
            prop::collection::vec((0_u64..6, 1_u64..12, 0_u32..21), 0..6), 1..40),
        rows in 1_u64..40,
        both in any::<bool>(),
    ) {
        let mut list = Vec::new();
        for (number, regions) in (0..).zip(&all) {
            for target in 0..=u32::from(both) {
                let mut at = u64::from(target);
                let regions: Vec<_> = regions.iter().map(|&(gap, size, accesses)| {
                    let start = at + gap;
                    at = start + size;
                    (start, at, accesses)
                }).collect();
                list.push(snapshot(target, number, &regions));
            }
        }
        let cells = all.len() as u64;
        let found = windows(&list, rows);
        prop_assert_eq!(u32::try_from(found.len()).unwrap(), cells.ilog2() + 1);
        for level in &found {
            let naive = naive(&list, cells, level.aggregations);
            prop_assert_eq!(level.windows, naive.len());
            let most = naive.iter().map(|w| w.0).fold(0.0, f64::max);
            prop_assert_eq!(level.touched.at(100), Some(most));
            let mean = naive.iter().map(|w| w.1).sum::<f64>() / naive.len() as f64;
            prop_assert!((level.expected.mean - mean).abs() < 1e-3, "{} {}", level.expected.mean, mean);
        }
    }
}

fn damo(list: &[Snapshot], options: DamoOptions) -> Vec<Vec<u64>> {
    let (trace, view) = open(write(list, 16));
    view.damo_wss(&trace, options).into_iter().map(|one| one.sizes).collect()
}

const DAMO: DamoOptions =
    DamoOptions { threshold: 1, skip: 0, work_time_us: 1, sorted: true, per_target: false };

#[test]
fn sorted_lists_are_added_up_as_damo_does() {
    // One target has 0 and 10 pages, the other one 10 and 0.
    let list = [
        snapshot(0, 0, &[(0, 10, 0)]),
        snapshot(1, 0, &[(0, 10, 1)]),
        snapshot(0, 1, &[(0, 10, 1)]),
        snapshot(1, 1, &[(0, 10, 0)]),
    ];
    assert_eq!(damo(&list, DAMO), [[0, 20 * PAGE]]);
    let in_time = DamoOptions { sorted: false, ..DAMO };
    assert_eq!(damo(&list, in_time), [[10 * PAGE; 2]]);
    let each = DamoOptions { per_target: true, ..in_time };
    assert_eq!(damo(&list, each), [[0, 10 * PAGE], [10 * PAGE, 0]]);
    assert_eq!(damo(&list, DamoOptions { skip: 1, ..each }), [[10 * PAGE], [0]]);
}

#[test]
fn work_time_puts_snapshots_together_and_drops_the_rest() {
    let list: Vec<_> = (0..5).map(|i| snapshot(0, i, &[(i * 10, i * 10 + 5, 1)])).collect();
    let options = DamoOptions { work_time_us: 200_000, ..DAMO };
    assert_eq!(damo(&list, options), [[10 * PAGE; 2]]);
}
