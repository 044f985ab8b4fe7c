//! What is computed while another tool's recording is read is what a trace of it tells.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

#[path = "common/damo_text.rs"]
mod damo_text;

use damon_format::Snapshot;
use damon_record::monitor::synthetic::{Config, snapshots};
use damon_report::analysis::heat::Heatmap;
use damon_report::analysis::load::{LoadError, Trace};
use damon_report::analysis::select::{Query, SelectError};
use damon_report::analysis::summary::cells;
use damon_report::analysis::view::View;
use damon_report::analysis::wss::WorkingSet;
use damon_report::import::{ImportOptions, Input, Kind, Reading, SideFiles, convert, in_memory};
use std::fs::{self, File};
use std::path::Path;

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Select(#[from] SelectError),
}

/// The same recording as damo's file and as a trace.
fn both(snapshots: &[Snapshot]) -> (tempfile::TempDir, [String; 2]) {
    let directory = tempfile::tempdir().unwrap();
    let names = ["damo", "trace"].map(|name| directory.path().join(name));
    let text = damo_text::text(Some(snapshots[0].sampling), "0", snapshots.to_vec());
    fs::write(&names[0], damo_text::compress(text.as_bytes())).unwrap();
    let input = Input::File(File::open(&names[0]).unwrap().into());
    let to = (File::create(&names[1]).unwrap(), in_memory());
    let (kind, options) = (Kind::DamoJsonCompressed, ImportOptions::default());
    convert(input, kind, &options, SideFiles::default(), to).unwrap();
    (directory, names.map(|name| name.to_str().unwrap().to_owned()))
}

fn made(count: usize) -> Vec<Snapshot> {
    snapshots(Config::with_regions(100)).unwrap().take(count).collect()
}

fn working_set(file: &str, query: &Query) -> (WorkingSet, View) {
    let (trace, view, set) =
        View::open_for_working_set::<Error>(Path::new(file), query, 1, &Reading::default())
            .unwrap();
    assert_eq!(trace.imported_from().is_some(), file.ends_with("damo"));
    (set, view)
}

fn heat(file: &str, query: &Query) -> (Heatmap, View) {
    let (trace, view) =
        View::open_for_picture::<Error>(Path::new(file), query, &Reading::default()).unwrap();
    (view.heat_alone(&trace, &cells(&view, 40, 30)), view)
}

fn assert_same(ours: &View, theirs: &View) {
    assert_eq!(ours.selection, theirs.selection);
    assert_eq!((ours.origin_ns, &ours.whole), (theirs.origin_ns, &theirs.whole));
    let all = |view: &View| {
        let extents = view.overview.targets.iter().map(|t| format!("{t:?}"));
        (extents.collect::<Vec<_>>(), view.overview.samplings.clone(), view.overview.has_ages)
    };
    assert_eq!(all(ours), all(theirs));
    assert_eq!(ours.overview.records, theirs.overview.records);
    assert!(!ours.overview.records.is_empty() && ours.overview.snapshots() > 0);
}

#[test]
fn working_sets_and_heat_are_those_of_the_trace() {
    let (_directory, [damo, trace]) = both(&made(200));
    let half = Query { time: Some("25%..75%".parse().unwrap()), ..Query::default() };
    for query in [Query::default(), half] {
        let (of_damo, of_trace) = (working_set(&damo, &query), working_set(&trace, &query));
        assert_eq!(of_damo.0, of_trace.0);
        assert!(of_damo.0.samples.len() >= 100 && of_damo.0.expected_interval.1 > 0.0);
        assert_same(&of_damo.1, &of_trace.1);
        // What the single steps say.
        let opened = Trace::open(Path::new(&trace)).unwrap();
        let view = View::new(&opened, &query).unwrap();
        let options =
            damon_report::analysis::wss::WorkingSetOptions::for_backend(&opened.info().backend, 1);
        assert_eq!(view.working_set(&opened, options), of_trace.0);
        let (of_damo, of_trace) = (heat(&damo, &query), heat(&trace, &query));
        assert_eq!(of_damo.0, of_trace.0);
        assert!(
            of_damo.0.bands.iter().flat_map(|band| band.cells.iter()).any(|cell| cell.heat > 0.0)
        );
        assert_same(&of_damo.1, &of_trace.1);
    }
}

#[test]
fn what_cannot_be_kept_is_in_the_trace_with_all_before_it() {
    let mut list = made(60);
    // No whole pages, in the middle.
    list[40].regions[3].end -= 1;
    list[40].regions[4].start -= 1;
    let (_directory, [damo, trace]) = both(&list);
    let (of_damo, of_trace) = (heat(&damo, &Query::default()), heat(&trace, &Query::default()));
    assert_eq!(of_damo.0, of_trace.0);
    assert_same(&of_damo.1, &of_trace.1);
}

#[test]
fn a_wrong_checksum_is_found() {
    let (_directory, [damo, _]) = both(&made(5));
    let mut bytes = fs::read(&damo).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&damo, &bytes).unwrap();
    let error = View::open_for_working_set::<Error>(
        Path::new(&damo),
        &Query::default(),
        1,
        &Reading::default(),
    );
    let said = error.unwrap_err().to_string();
    let place = format!("byte {}", bytes.len() - 4);
    assert!(said.contains(&place) && said.contains("its checksum is wrong"), "{said}");
    bytes.pop();
    fs::write(&damo, &bytes).unwrap();
    let error =
        View::open_for_picture::<Error>(Path::new(&damo), &Query::default(), &Reading::default());
    assert!(error.unwrap_err().to_string().contains("it is cut off"));
}
