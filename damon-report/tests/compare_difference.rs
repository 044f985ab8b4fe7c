//! Where heat changed, on recordings whose truth is known.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod common;
#[expect(dead_code, reason = "what reads outputs is for the tests of the command")]
mod compared;

use common::MIB;
use compared::{Program, WORK};
use damon_report::analysis::compare::{
    Align, COLUMNS, DifferenceMap, Options, Pair, Recording, difference,
};
use damon_report::analysis::load::Trace;
use damon_report::analysis::select::Query;
use damon_report::analysis::source::Source;
use damon_report::analysis::view::View;
use damon_report::render::difference::{Picture, difference_png, difference_svg};

fn recordings(program: Program, seeds: std::ops::Range<u64>) -> Vec<Recording> {
    let one = |seed| {
        let bytes = program.seed(seed).recording();
        let trace = Trace::from_source(format!("{seed}"), Source::memory(bytes)).unwrap();
        let view = View::new(&trace, &Query::default()).unwrap();
        Recording { trace, view }
    };
    seeds.map(one).collect()
}

fn map(base: Program, new: Program, options: &Options) -> DifferenceMap {
    difference(&recordings(base, 0..3), &recordings(new, 100..102), options).unwrap()
}

const GROWN: Program = Program { hot_mib: 36, buffer_mib: 8, ..WORK };

fn near(value: Option<f64>, expected: f64) -> bool {
    value.is_some_and(|value| (value - expected).abs() < 0.06)
}

#[test]
fn what_became_hot_is_seen_where_it_is_whatever_the_addresses() {
    let found = map(WORK, GROWN, &Options::default());
    let labels: Vec<(&str, usize, usize)> =
        found.bands.iter().map(|band| (band.label.as_str(), band.base, band.new)).collect();
    // 12 MiB that became hot move as many bytes as their rate says, 8 MiB that are new count whole.
    let known = [
        ("[heap]", 3, 2),
        ("anonymous 8 MiB #0", 0, 2),
        ("/usr/lib/libwork.so.1 +0x0..0x400000", 3, 2),
    ];
    assert_eq!(labels, known);
    let heap = &found.bands[0];
    assert_eq!((heap.size, heap.rows, heap.row_bytes), (64 * MIB, 64, MIB));
    assert_eq!(heap.cells.len(), heap.rows * COLUMNS);
    for (row, cells) in heap.cells.chunks(COLUMNS).enumerate() {
        for pair in cells {
            // 16 to 20 of 20 samples: 90 % in the mean, and a cell holds less than one aggregation of each run.
            let hot = |rate: Option<f64>| rate.is_some_and(|rate| (0.79..=1.0).contains(&rate));
            let cold = |rate: Option<f64>| rate == Some(0.0);
            match row {
                0..24 => assert!(hot(pair.base) && hot(pair.new), "row {row}: {pair:?}"),
                24..36 => assert!(cold(pair.base) && hot(pair.new), "row {row}: {pair:?}"),
                _ => assert!(cold(pair.base) && cold(pair.new), "row {row}: {pair:?}"),
            }
        }
    }
    let buffer = &found.bands[1];
    assert!(buffer.cells.iter().all(|pair| *pair == Pair { base: None, new: Some(0.0) }));
    let moved = (heap.moved - 12.0 * 0.9 * 1_048_576.0) / (12.0 * 1_048_576.0);
    assert!((-0.02..0.2).contains(&moved), "{moved}");
    assert!((found.scale - 1.0).abs() < 1e-9);
}

#[test]
fn working_sets_are_conserved_by_column() {
    let found = map(WORK, GROWN, &Options::default());
    let mean = |values: &[Option<f64>]| {
        let values: Vec<f64> = values.iter().map(|value| value.unwrap()).collect();
        values.iter().sum::<f64>() / 256.0 / 1_048_576.0
    };
    // 24 or 36 MiB at 90 %, 4 MiB at 5 %.
    assert!(near(Some(mean(&found.base) / 21.8), 1.0), "{}", mean(&found.base));
    assert!(near(Some(mean(&found.new) / 32.6), 1.0), "{}", mean(&found.new));
}

#[test]
fn runs_of_other_lengths_lie_over_each_other() {
    let long = Program { snapshots: 300, ..WORK };
    let found = map(WORK, long, &Options::default());
    assert!(found.bands.iter().flat_map(|band| &band.cells).all(|pair| pair.change().is_some()));
    assert_eq!(found.length_ns, None);
    let by_time = Options { align: Align::Time, ..Options::default() };
    let found = map(WORK, long, &by_time);
    assert_eq!(found.length_ns, Some(10_000_000_000));
    let heap = found.bands.iter().find(|band| band.label == "[heap]").unwrap();
    let hot = heap.cells.iter().filter(|pair| pair.new.is_some_and(|rate| rate > 0.5)).count();
    assert_eq!(hot, 24 * COLUMNS);
}

#[test]
fn threads_change_nothing() {
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| map(WORK, GROWN, &Options::default()))
    };
    assert_eq!(with(1), with(4));
}

#[test]
fn pictures_of_any_size_say_what_they_show() {
    let mut found = map(WORK, GROWN, &Options::default());
    let draw = |map: &DifferenceMap, width, height| {
        let picture = Picture { map, title: "work", subtitle: "writes" };
        assert!(!difference_png(&picture, width, height).unwrap().is_empty());
        difference_svg(&picture, width, height).unwrap()
    };
    let svg = draw(&found, 1280, 800);
    for text in ["64 MiB", "[heap]", "anonymous 8 MiB #0 (new only)", "progress", "75 %", "+100 %"]
    {
        assert!(svg.contains(text), "{text} is not in the picture");
    }
    for (width, height) in [(320, 200), (330, 4000), (4000, 210), (2000, 1500)] {
        draw(&found, width, height);
    }
    found.length_ns = Some(10_000_000_000);
    let svg = draw(&found, 1280, 800);
    assert!(svg.contains("since the start") && svg.contains("5 s"));
    found.phases = vec![(Some("load <1>".into()), 0..100), (Some("serve".into()), 100..COLUMNS)];
    let svg = draw(&found, 1280, 800);
    assert!(svg.contains("load &lt;1&gt;") && svg.contains("serve"));
    let nothing = DifferenceMap { columns: COLUMNS, others: 3, ..DifferenceMap::default() };
    let svg = draw(&nothing, 1280, 800);
    assert!(svg.contains("no mapping is known") && svg.contains("3 more changed less"));
}
