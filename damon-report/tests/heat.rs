//! Heat is conserved at every resolution and does not depend on threads.

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "numbers of tests are small"
)]

mod common;

use common::made::{self, open};
use damon_format::{
    Mapping, MappingsChanged, Permissions, Record, Region, Sampling, Snapshot, SnapshotView,
    TargetId,
};
use damon_report::analysis::axis::{self, BandSpan};
use damon_report::analysis::cells::Pool;
use damon_report::analysis::fold::Fold;
use damon_report::analysis::heat::{Edges, Frame, HeatSum, Heatmap};
use damon_report::analysis::overview::Overview;
use damon_report::analysis::select::{Query, Selection};
use damon_report::analysis::view::{View, Wanted};
use damon_report::analysis::wss::WorkingSetOptions;
use proptest::prelude::*;

/// Arbitrary ascending regions with and without gaps.
fn arbitrary_snapshots() -> impl Strategy<Value = Vec<Snapshot>> {
    let region = (0_u64..5000, 1_u64..100_000, 0_u32..=21);
    let snapshot = (0_u32..2, 0_u64..50_000, 1_u64..400_000, prop::collection::vec(region, 0..20));
    prop::collection::vec(snapshot, 1..25).prop_map(|list| {
        let mut ends = [1_000_000_u64; 2];
        list.into_iter()
            .map(|(target, pause, length, parts)| {
                let end = &mut ends[usize::from(target == 1)];
                let start_ns = *end + pause;
                *end = start_ns + length;
                let mut at = 0x1000;
                let mut regions = Vec::new();
                for (gap, size, nr_accesses) in parts {
                    let start = at + if gap < 3000 { 0 } else { gap };
                    at = start + size;
                    regions.push(Region { start, end: at, nr_accesses, age: 0 });
                }
                let sampling = Sampling::from_intervals(5_000, 100_000);
                Snapshot::new(TargetId(target), start_ns, *end, sampling, regions)
            })
            .collect()
    })
}

fn with_view(snapshot: &Snapshot, run: impl FnOnce(&SnapshotView<'_>)) {
    let starts: Vec<u64> = snapshot.regions.iter().map(|r| r.start).collect();
    let ends: Vec<u64> = snapshot.regions.iter().map(|r| r.end).collect();
    let nr_accesses: Vec<u32> = snapshot.regions.iter().map(|r| r.nr_accesses).collect();
    run(&SnapshotView {
        target: snapshot.target,
        start_ns: snapshot.start_ns,
        end_ns: snapshot.end_ns,
        sampling: snapshot.sampling,
        starts: &starts,
        ends: &ends,
        nr_accesses: &nr_accesses,
        ages: None,
        probes: &[],
    });
}

/// The part of `[start, end)` inside `[from, to)`.
fn overlap(start: u64, end: u64, from: u64, to: u64) -> f64 {
    end.min(to).saturating_sub(start.max(from)) as f64
}

/// Heat and monitored area of a rectangle, by the definition.
fn naive(list: &[Snapshot], band: &BandSpan, address: (u64, u64), time: (u64, u64)) -> (f64, f64) {
    let mut sum = (0.0, 0.0);
    for snapshot in list.iter().filter(|s| s.target == band.target) {
        let time = overlap(snapshot.start_ns, snapshot.end_ns, time.0, time.1);
        for region in &snapshot.regions {
            let bytes = overlap(region.start, region.end, address.0, address.1);
            sum.0 += f64::from(region.nr_accesses) / 20.0 * bytes * time;
            sum.1 += bytes * time;
        }
    }
    sum
}

fn total(map: &Heatmap) -> (f64, f64) {
    let cells = map.bands.iter().flat_map(|b| b.cells.iter());
    cells.fold((0.0, 0.0), |s, c| (s.0 + c.heat, s.1 + c.monitored))
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0)
}

fn write(list: &[Snapshot]) -> Vec<u8> {
    made::write(&common::info(), 64, &[], list)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn cells_add_up_to_the_samples_at_any_resolution(
        list in arbitrary_snapshots(),
        columns in 1_usize..60,
        rows in 1_usize..60,
        most in 1_usize..12,
    ) {
        let trace = open(write(&list));
        let view = View::new(&trace, &Query::default()).unwrap();
        let bands = axis::bands(view.shown(&trace), most);
        let shares = axis::share_rows(&bands, rows, 1);
        let frame = view.frame(columns, bands, shares);
        let options = WorkingSetOptions::sampled(1);
        let (map, _) = view.heat(&trace, &frame, options);

        let expected = list.iter().fold((0.0, 0.0), |sum, s| {
            let everything = BandSpan { target: s.target, range: 0..u64::MAX };
            let one = naive(std::slice::from_ref(s), &everything, (0, u64::MAX), (0, u64::MAX));
            (sum.0 + one.0, sum.1 + one.1)
        });
        let found = total(&map);
        prop_assert!(close(found.0, expected.0), "{found:?} {expected:?}");
        prop_assert!(close(found.1, expected.1), "{found:?} {expected:?}");
    }

    #[test]
    fn each_cell_is_what_the_definition_says(
        list in arbitrary_snapshots(),
        columns in 1_usize..9,
        rows in 1_usize..9,
        from in 900_000_u64..3_000_000,
        length in 1_u64..3_000_000,
        low in 0_u64..400_000,
        size in 1_u64..600_000,
        cut in 0_usize..25,
    ) {
        let band = BandSpan { target: TargetId(0), range: low..low + size };
        let frame = Frame {
            time: from..from + length,
            columns,
            bands: vec![band.clone()],
            rows: vec![rows],
        };
        let edges = Edges::new(&frame, &Selection::everything());
        let mut sums = [HeatSum::new(&edges), HeatSum::new(&edges)];
        for (i, snapshot) in list.iter().enumerate() {
            with_view(snapshot, |view| sums[usize::from(i >= cut)].snapshot(view));
        }
        let [mut sum, later] = sums;
        sum.merge(later);
        let map = sum.finish(&frame, &Overview::default());
        let edge = |start: u64, length: u64, i: usize, n: usize| start + length * i as u64 / n as u64;
        for row in 0..rows {
            for column in 0..columns {
                let address = (edge(low, size, row, rows), edge(low, size, row + 1, rows));
                let time =
                    (edge(from, length, column, columns), edge(from, length, column + 1, columns));
                let (heat, monitored) = naive(&list, &band, address, time);
                let cell = map.bands[0].cells.get(row, column);
                prop_assert!(close(cell.heat, heat) && close(cell.monitored, monitored));
                prop_assert_eq!(cell.rate().is_none(), monitored == 0.0);
            }
        }
    }
}

/// Disjoint pieces of the addresses that [`arbitrary_snapshots`] use, as people write them.
fn arbitrary_addresses() -> impl Strategy<Value = Vec<(u64, u64)>> {
    prop::collection::vec((0x1000_u64..400_000, 1_u64..60_000), 0..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn heat_is_conserved_under_every_selection(
        list in arbitrary_snapshots(),
        addresses in arbitrary_addresses(),
        heap in (0x1000_u64..300_000, 1_u64..90_000),
        mapped in any::<bool>(),
        time in (0_u32..60, 61_u32..=100),
        target in prop::option::of(0_u32..2),
        columns in 1_usize..20,
        rows in 1_usize..20,
    ) {
        let mut writer = common::writer(&common::info());
        let mapping = Mapping {
            start: heap.0,
            end: heap.0 + heap.1,
            permissions: Permissions::default(),
            offset: 0,
            inode: 0,
            name: "[heap]".into(),
        };
        writer.record(&Record::MappingsChanged(MappingsChanged {
            target: TargetId(0),
            time_ns: 0,
            removed: Vec::new(),
            added: vec![mapping],
        })).unwrap();
        for snapshot in &list {
            writer.snapshot(snapshot).unwrap();
        }
        let trace = open(writer.finish().unwrap());
        let whole = View::new(&trace, &Query::default()).unwrap();
        let query = Query {
            time: Some(format!("{}%..{}%", time.0, time.1).parse().unwrap()),
            address: addresses.iter().map(|(start, size)| {
                format!("{start:x}..{:x}", start + size).parse().unwrap()
            }).collect(),
            mapping: if mapped { vec!["heap".into()] } else { Vec::new() },
            target: target.map(|t| t.to_string()),
        };
        let Ok(view) = View::new(&trace, &query) else {
            return Ok(());
        };

        // Every byte of every snapshot, by the definition; addresses are few enough to be counted in pieces.
        let mut edges: Vec<u64> = vec![0, u64::MAX, heap.0, heap.0 + heap.1];
        edges.extend(addresses.iter().flat_map(|(start, size)| [*start, start + size]));
        edges.sort_unstable();
        let span = whole.time();
        let from_to = (
            span.start + ((span.end - span.start) as f64 * f64::from(time.0) / 100.0).round() as u64,
            span.start + ((span.end - span.start) as f64 * f64::from(time.1) / 100.0).round() as u64,
        );
        let mut expected = (0.0, 0.0);
        for id in 0..2 {
            if target.is_some_and(|t| t != id) {
                continue;
            }
            let band = BandSpan { target: TargetId(id), range: 0..u64::MAX };
            for pair in edges.windows(2) {
                let inside = |(start, size): &(u64, u64)| *start <= pair[0] && pair[1] <= start + size;
                let chosen = addresses.is_empty() || addresses.iter().any(inside);
                let named = !mapped || id == 0 && inside(&heap);
                if chosen && named {
                    let one = naive(&list, &band, (pair[0], pair[1]), from_to);
                    expected = (expected.0 + one.0, expected.1 + one.1);
                }
            }
        }
        // Bands join what is close; what lies between selected ranges must not count all the same.
        for most in [1, 30] {
            let bands = axis::bands(axis::monitored(&view.overview), most);
            let shares = axis::share_rows(&bands, rows, 1);
            let frame = view.frame(columns, bands, shares);
            let (map, set) = view.heat(&trace, &frame, WorkingSetOptions::without_intervals(1));
            let found = total(&map);
            prop_assert!(close(found.0, expected.0), "{found:?} {expected:?}");
            prop_assert!(close(found.1, expected.1), "{found:?} {expected:?}");
            let bytes: f64 = map.marginal().iter().flatten().map(|cell| cell.monitored).sum();
            prop_assert!(close(bytes, expected.1));
            if target.is_some() {
                let of_set = set.samples.iter().map(|s| s.expected * (s.end_ns - s.start_ns) as f64);
                prop_assert!(close(of_set.sum(), expected.0));
            }
        }
    }

    #[test]
    fn the_highest_rate_of_a_cell_is_that_of_a_region_in_it_and_not_below_the_mean(
        list in arbitrary_snapshots(),
        columns in 1_usize..30,
        rows in 1_usize..30,
    ) {
        let trace = open(write(&list));
        let view = View::new(&trace, &Query::default()).unwrap();
        let bands = axis::bands(axis::monitored(&view.overview), 4);
        let shares = axis::share_rows(&bands, rows, 1);
        let frame = view.frame(columns, bands, shares);
        let (map, _) = view.heat(&trace, &frame, WorkingSetOptions::without_intervals(1));
        let mut highest = 0.0_f64;
        for cell in map.bands.iter().flat_map(|b| b.cells.iter()) {
            let (mean, max) = (cell.pooled(Pool::Mean), cell.pooled(Pool::Max));
            prop_assert_eq!(mean.is_some(), max.is_some());
            prop_assert!(max.unwrap_or(0.0) >= mean.unwrap_or(0.0) * (1.0 - 1e-12), "{cell:?}");
            highest = highest.max(cell.max_rate);
        }
        let regions = list.iter().flat_map(|s| &s.regions);
        let expected = regions.map(|r| r.nr_accesses).max().unwrap_or(0);
        prop_assert!(close(highest, f64::from(expected) / 20.0));
    }
}

#[test]
fn mappings_are_selected_by_name() {
    let trace = open(common::ten_seconds());
    let select = |mapping: &[&str], address: &[&str]| {
        let query = Query {
            mapping: mapping.iter().map(|&name| name.to_owned()).collect(),
            address: address.iter().map(|a| a.parse().unwrap()).collect(),
            ..Query::default()
        };
        let view = View::new(&trace, &query).map_err(|error| error.to_string())?;
        Ok(view.overview.targets[0].spans.ranges().collect::<Vec<_>>())
    };
    let heap = common::HEAP..common::HEAP + 16 * common::MIB;
    let library = common::LIBRARY..common::LIBRARY + 4 * common::MIB;
    assert_eq!(select(&["[heap]"], &[]), Ok(vec![heap.clone()]));
    assert_eq!(select(&["libwork"], &[]), Ok(vec![library.clone()]));
    assert_eq!(select(&["/usr/lib/", "[heap]"], &[]), Ok(vec![heap.clone(), library]));
    let low = format!("..{:x}", common::HEAP + common::MIB);
    let high = format!("{:x}..", common::HEAP + 15 * common::MIB);
    let ends = vec![heap.start..heap.start + common::MIB, heap.end - common::MIB..heap.end];
    assert_eq!(select(&["[heap]"], &[&low, &high]), Ok(ends));
    let unknown: Result<_, String> = select(&["libm"], &[]);
    let sentence =
        "no mapping is called `libm` in the selected time; the largest are [heap], libwork.so.1";
    assert_eq!(unknown, Err(sentence.to_owned()));
    assert!(
        select(&["libwork"], &[&low]).unwrap_err().contains("nothing was monitored in libwork at")
    );
}

#[test]
fn the_number_of_threads_does_not_change_a_bit() {
    let trace = open(common::ten_seconds());
    assert!(trace.blocks().len() > 3);
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        pool.build().unwrap().install(|| {
            let view = View::new(&trace, &Query::default()).unwrap();
            let bands = axis::bands(view.shown(&trace), 10);
            let frame = view.frame(77, bands, vec![13, 7]);
            let (map, set) = view.heat(&trace, &frame, WorkingSetOptions::sampled(1));
            serde_json::to_string(&(map, set)).unwrap()
        })
    };
    assert_eq!(run(1), run(7));
}

#[test]
fn bands_carry_the_names_of_their_mappings() {
    let trace = open(common::ten_seconds());
    let view = View::new(&trace, &Query::default()).unwrap();
    let bands = axis::bands(view.shown(&trace), 10);
    let frame = view.frame(10, bands, vec![10, 10]);
    let (map, _) = view.heat(&trace, &frame, WorkingSetOptions::sampled(1));
    let names: Vec<_> = map.bands.iter().flat_map(|b| &b.mappings).map(|m| &m.name).collect();
    assert_eq!(names, ["[heap]", "libwork.so.1"]);
    assert_eq!(map.targets[0].comm, "work");
    let hottest = map.bands[0].cells.get(0, 0).rate().unwrap();
    assert!((hottest - 1.0).abs() < 1e-12);
    assert!(map.bands[1].cells.iter().all(|c| c.rate() == Some(0.0)));
}

#[test]
fn a_selection_shows_only_its_part() {
    let trace = open(common::ten_seconds());
    let query = Query {
        time: Some("6s..8s".parse().unwrap()),
        address: vec![format!("{:#x}..", common::LIBRARY).parse().unwrap()],
        mapping: Vec::new(),
        target: Some("work".into()),
    };
    let view = View::new(&trace, &query).unwrap();
    let bands = axis::bands(view.shown(&trace), 10);
    assert_eq!(bands.len(), 1);
    let frame = view.frame(4, bands, vec![4]);
    assert_eq!(frame.time.end - frame.time.start, 2 * common::SECOND);
    let options = WorkingSetOptions::sampled(1);
    let (map, set) = view.heat(&trace, &frame, options);
    assert!(close(total(&map).1, (4 * common::MIB * 2 * common::SECOND) as f64));
    assert!(set.samples.iter().all(|s| s.monitored == 4 * common::MIB));
    assert_eq!(set.samples.len(), 20);
}

#[test]
fn holes_between_mappings_are_shown_only_if_they_are_hot() {
    let mapping = |start, end| Mapping {
        start,
        end,
        permissions: Permissions::default(),
        offset: 0,
        inode: 0,
        name: String::new(),
    };
    let region = |start, end, nr_accesses| Region { start, end, nr_accesses, age: 0 };
    let shown = |in_hole: u32| {
        let mut writer = common::writer(&common::info());
        let record = Record::MappingsChanged(MappingsChanged {
            target: TargetId(0),
            time_ns: 0,
            removed: Vec::new(),
            added: vec![mapping(0x1000, 0x2000), mapping(0x9000, 0xa000)],
        });
        writer.record(&record).unwrap();
        let regions = vec![
            region(0x1000, 0x2000, 20),
            region(0x2000, 0x9000, in_hole),
            region(0x9000, 0xa000, 0),
        ];
        let sampling = Sampling::from_intervals(5_000, 100_000);
        writer.snapshot(&Snapshot::new(TargetId(0), 0, 100_000_000, sampling, regions)).unwrap();
        let trace = open(writer.finish().unwrap());
        let view = View::new(&trace, &Query::default()).unwrap();
        axis::bands(view.shown(&trace), 9).len()
    };
    assert_eq!((shown(0), shown(1), shown(15)), (2, 2, 1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Snapshots that are kept from the first pass, and passes that are made together, change nothing.
    #[test]
    fn a_picture_is_what_its_steps_would_be(
        list in arbitrary_snapshots(),
        aligned in any::<bool>(),
        mapped in prop::collection::vec((0_u64..100, 1_u64..30), 0..6),
        most in 1_usize..12,
        readable in 1_usize..12,
        unmapped in any::<bool>(),
    ) {
        let mut list = list;
        for region in list.iter_mut().filter(|_| aligned).flat_map(|s| &mut s.regions) {
            (region.start, region.end) = (region.start << 12, region.end << 12);
        }
        let unit = if aligned { 4096 * 4096 } else { 4096 };
        let mapping = |&(start, size): &(u64, u64)| Mapping {
            start: start * unit,
            end: (start + size) * unit,
            permissions: Permissions::default(),
            offset: 0,
            inode: 0,
            name: "x".into(),
        };
        let mut writer = common::writer(&common::info());
        writer.record(&Record::MappingsChanged(MappingsChanged {
            target: TargetId(0),
            time_ns: 0,
            removed: Vec::new(),
            added: mapped.iter().map(mapping).collect(),
        })).unwrap();
        for snapshot in &list {
            writer.snapshot(snapshot).unwrap();
        }
        let trace = open(writer.finish().unwrap());
        let options = WorkingSetOptions::without_intervals(1);
        let wanted = Wanted { unmapped, most, readable, options };
        let grid = |bands: &[BandSpan]| {
            Ok::<_, ()>((9, axis::share_rows(bands, 20, 1)))
        };
        let view = View::for_picture(&trace, &Query::default()).unwrap();
        let drawn = view.picture(&trace, &wanted, grid).unwrap();

        let plain = View::new(&trace, &Query::default()).unwrap();
        let spans = if unmapped { axis::monitored(&plain.overview) } else { plain.shown(&trace) };
        let axis = plain.axis(&trace, spans, most, readable);
        let (columns, rows) = grid(&axis.bands).unwrap();
        let frame = plain.frame(columns, axis.bands, rows);
        let (map, set) = plain.heat(&trace, &frame, options);
        prop_assert_eq!(drawn.left_out, axis.left_out);
        prop_assert_eq!(drawn.heatmap.bands.len(), map.bands.len());
        for (one, other) in drawn.heatmap.bands.iter().zip(&map.bands) {
            prop_assert_eq!((one.start, one.end, one.rows), (other.start, other.end, other.rows));
            for (a, b) in one.cells.iter().zip(other.cells.iter()) {
                prop_assert!(close(a.heat, b.heat) && close(a.monitored, b.monitored));
                prop_assert_eq!(a.max_rate.to_bits(), b.max_rate.to_bits());
            }
        }
        prop_assert_eq!(drawn.working_set, set);
    }
}
