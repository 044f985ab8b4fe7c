//! damo's `json` and `json_compressed`.

use crate::collect::{Collected, at, json, json_with, snapshots};
use crate::damo_text::{compress, text};
use damon_format::{Record, Sampling, TargetKind};
use damon_report::import::ImportOptions;
use damon_report::import::damo_json::Pace;
use proptest::prelude::*;

const USUAL: Option<Sampling> =
    Some(Sampling { sample_us: 5_000, aggr_us: 100_000, max_nr_accesses: 20 });

#[test]
fn what_damo_writes_comes_back_whole() {
    let made = snapshots(&[3, 40, 0, 1, 200]);
    let text = text(USUAL, "0", made.clone());
    let plain = json(&text);
    assert_eq!(plain.snapshots, made);
    let info = plain.info.as_ref().unwrap();
    assert_eq!(
        (info.attrs.sample_us, info.attrs.aggr_us, info.attrs.update_us),
        (5_000, 100_000, 1_000_000)
    );
    assert_eq!((info.clock.monotonic_ns, info.clock.realtime_ns), (539_809_434_100, 0));
    assert!(plain.notes().iter().any(|note| note.contains("does not tell the wall clock")));
    assert_eq!(plain.started()[0].kind, TargetKind::Process);
    let (deflated, result) =
        at(Pace::default(), &compress(text.as_bytes()), true, &ImportOptions::default());
    result.unwrap();
    assert_eq!(deflated.snapshots, made);
}

#[test]
fn a_file_of_damo_3_4_3_is_read() {
    let text = include_str!("../../../testdata/import/damo-3.4.3.json");
    let found = json(text);
    let targets: Vec<&str> = found.started().iter().map(|one| one.comm.as_str()).collect();
    assert_eq!(targets, ["target 0", "target 18446612716735190648"]);
    let (base, area) = (0x55d0_8c40_0000, 0x40_0000);
    let first: Vec<_> = found.rows().into_iter().take(3).collect();
    assert_eq!(
        first,
        [
            (base, base + area, 0, 0),
            (base + area, base + 2 * area - 4096, 1, 400),
            (base + 2 * area, base + 3 * area, 2, 800)
        ]
    );
    // 1,234,567 and 2,469,134 bytes passed filters.
    assert_eq!(found.snapshots[0].probes, [[0, 301, 603]]);
    assert_eq!(found.columns(), [[("sz_filter_passed", 4096)]; 2], "of either target");
    assert!(found.notes().iter().any(|note| note.contains("(sz_filter_passed) are rounded")));
    let stats = found.records.iter().filter(|r| matches!(r, Record::SchemeStats(_))).count();
    assert_eq!(stats, 1);
}

/// The same recording in words that damo's reader takes as well.
#[test]
fn order_and_spelling_do_not_matter() {
    let dull = r#"[{"target_id": 7, "snapshots": [{"start_time": 1000000000, "end_time": 1100000000,
        "regions": [
            {"start": 4096, "end": 8192, "nr_accesses": {"samples": 3}, "age": {"aggr_intervals": 20}},
            {"start": 8192, "end": 1056768, "nr_accesses": {"samples": 0}, "age": {"aggr_intervals": 5913}}]}],
        "intervals": {"sample_us": 5000, "aggr_us": 100000}}]"#;
    let rich = r#"
        [ { "new key": {"a": [1, -2.5e3, {"b": [[], {}]}], "c": NaN, "d": "}]\"\\\u00e9"},
            "intervals" : {"ops_update_us": "1 s", "aggr_us": "100 ms", "sample_us": "5,000 us",
                           "intervals_goal": {"aggrs": "0", "access_bp": "4 %"}},
            "target_id": "7", "kdamond_idx": null, "context_idx": "0",
            "snapshots": [ { "total_bytes": "1 MiB", "regions": [
               {"age": {"usec": "2 s"}, "end": "8 KiB", "nr_accesses": {"percent": "15 %"}, "start": "4K"},
               {"sz_filter_passed": 0, "age": "5,913", "nr_accesses": 0, "probe_hits": null,
                "end": "1,056,768", "start": "8.0 KB"}],
               "end_time": "1 s 100 ms", "start_time": "1 s", "damos_stats": null } ] } ] "#;
    let (dull, rich) = (json(dull), json(rich));
    assert_eq!(dull.rows(), [(4096, 8192, 3, 20), (8192, 1_056_768, 0, 5913)]);
    assert_eq!(dull.snapshots, rich.snapshots);
    assert_eq!(dull.started(), rich.started());
    assert_eq!(dull.started()[0].kind, TargetKind::Physical);
}

#[test]
fn missing_intervals_are_guessed_and_said_or_taken_from_the_user() {
    let made = snapshots(&[4; 30]);
    let text = text(None, "null", made.clone());
    let guessed = json(&text);
    assert_eq!(guessed.snapshots, made, "100.6 ms are 100 ms");
    assert!(
        guessed.notes().iter().any(|note| note.contains("100 ms is guessed from the first 16"))
    );
    let options = ImportOptions { sample_us: Some(1_000), aggr_us: Some(50_000) };
    let told = json_with(&text, &options);
    assert_eq!(told.snapshots[29].sampling, Sampling::from_intervals(1_000, 50_000));
    assert!(!told.notes().iter().any(|note| note.contains("guessed")));
    // What the input tells is not overridden.
    let text = crate::damo_text::text(USUAL, "null", made.clone());
    assert_eq!(json_with(&text, &options).snapshots, made);
}

#[test]
fn intervals_behind_the_snapshots_are_used_if_they_come_in_time() {
    let record = |count: usize| {
        let one = |i: usize| {
            format!(
                r#"{{"start_time": {}, "end_time": {}, "regions": []}}"#,
                i * 100,
                i * 100 + 100
            )
        };
        let all: Vec<String> = (0..count).map(one).collect();
        format!(
            r#"[{{"snapshots": [{}], "intervals": {{"sample_us": 7, "aggr_us": 70}}, "target_id": 3}}]"#,
            all.join(",")
        )
    };
    let short = json(&record(5));
    assert_eq!(short.snapshots[0].sampling, Sampling::from_intervals(7, 70));
    assert_eq!(short.started()[0].comm, "target 3");
    let long = json(&record(500));
    assert_eq!(long.snapshots.len(), 500);
    assert!(long.notes().iter().any(|n| n.contains("after its snapshots, too late")), "{long:?}");
    assert!(long.notes().iter().any(|n| n.contains("all targets is target 3")), "{long:?}");
}

#[test]
fn a_first_start_that_is_not_told_is_guessed() {
    let text = r#"[{"snapshots": [
        {"start_time": null, "end_time": 1000, "regions": []},
        {"start_time": 1000, "end_time": 1300, "regions": []},
        {"end_time": 1400, "regions": []}],
        "intervals": {"sample_us": 5000, "aggr_us": 100000}, "target_id": 1}]"#;
    let found = json(text);
    let times: Vec<_> = found.snapshots.iter().map(|s| (s.start_ns, s.end_ns)).collect();
    assert_eq!(times, [(800, 1000), (1000, 1300), (1300, 1400)]);
    assert!(found.notes().iter().any(|n| n.contains("first snapshot of target 1 begins")));
}

#[test]
fn clocks_of_snapshots_are_wall_clocks() {
    let text = r#"[{"snapshots": [{"start_time": "1790000000000000000", "end_time": "1790000000100000000",
        "regions": []}], "scheme_idx": 2, "target_id": null, "data_source": "damon_stat",
        "intervals": {"sample_us": 5000, "aggr_us": 100000}}]"#;
    let found = json(text);
    assert_eq!(found.info.as_ref().unwrap().clock.realtime_ns, 1_790_000_000_000_000_000);
    assert_eq!(found.started()[0].comm, "scheme 2");
    assert!(found.notes().iter().any(|n| n.contains("source of the data: damon_stat")));
}

#[test]
fn tuned_intervals_follow_the_snapshots() {
    let text = r#"[{"intervals": {"sample_us": 5000, "aggr_us": 100000, "intervals_goal": {"aggrs": "3"}},
        "target_id": 0, "snapshots": [
        {"start_time": "0", "end_time": "104 ms", "regions": []},
        {"start_time": "104 ms", "end_time": "304 ms", "regions": []},
        {"start_time": "304 ms", "end_time": "1 s", "regions": [], "sample_interval_us": "30 ms"}]}]"#;
    let found = json(text);
    let scales: Vec<_> = found.snapshots.iter().map(|s| s.sampling).collect();
    let scale = |sample_us, aggr_us| Sampling { sample_us, aggr_us, max_nr_accesses: 20 };
    assert_eq!(scales, [scale(5_000, 100_000), scale(10_000, 200_000), scale(30_000, 600_000)]);
    assert!(found.notes().iter().any(|n| n.contains("were tuned")));
}

#[test]
fn what_the_format_cannot_hold_is_counted() {
    let text = r#"[{"intervals": {"sample_us": 5000, "aggr_us": 100000}, "target_id": 0, "snapshots": [
        {"start_time": 0, "end_time": 100, "regions": [
            {"start": 50, "end": 60, "nr_accesses": {"samples": 5}, "age": {"aggr_intervals": 1}},
            {"start": 10, "end": 30, "nr_accesses": {"samples": 9999999999}, "age": {"aggr_intervals": 1}},
            {"start": 20, "end": 40, "nr_accesses": {"samples": 2}, "age": {"aggr_intervals": null}},
            {"start": 7, "end": 7, "nr_accesses": {"samples": 2}, "age": {"aggr_intervals": 1}},
            {"start": 70, "end": 80}]},
        {"start_time": 300, "end_time": 200, "regions": []},
        {"start_time": 100, "end_time": 200, "regions": []},
        {"start_time": 0, "end_time": 100, "regions": []}]}]"#;
    let found = json(text);
    assert_eq!(found.rows(), [(10, 30, u32::MAX, 1), (30, 40, 2, 0), (50, 60, 5, 1)]);
    assert!(!found.snapshots[0].has_ages);
    assert_eq!(found.snapshots.len(), 2);
    let lost: Vec<u64> = found.lost().iter().map(|(count, _)| *count).collect();
    assert_eq!(lost, [1, 1, 1, 1, 2], "empty, uncounted, overlapping, too large, back in time");
}

#[test]
fn probe_hits_become_columns_that_stay() {
    let snapshot = |start: u64, hits: &str, passed: &str| {
        format!(
            r#"{{"start_time": {start}, "end_time": {}, "regions": [{{"start": 0, "end": 4096,
            "nr_accesses": {{"samples": 1}}, "age": {{"aggr_intervals": 1}}, "probe_hits": {hits},
            "sz_filter_passed": "{passed}"}}]}}"#,
            start + 1
        )
    };
    let all = [snapshot(0, "[]", "0 B"), snapshot(1, "[4, 5]", "0 B"), snapshot(2, "[]", "1 MiB")];
    let text = format!(
        r#"[{{"intervals": {{"sample_us": 1, "aggr_us": 2}}, "target_id": 0, "snapshots": [{}]}}]"#,
        all.join(",")
    );
    let found = json(&text);
    let probes: Vec<_> = found.snapshots.iter().map(|s| s.probes.clone()).collect();
    assert_eq!(probes, [vec![], vec![vec![4], vec![5]], vec![vec![0], vec![0], vec![256]]]);
    let (hits, passed) = (("probe_hits", 1), ("sz_filter_passed", 4096));
    assert_eq!(found.columns(), [vec![hits, hits], vec![hits, hits, passed]]);
}

/// A text and how it may be changed without a change of meaning, or with one.
fn mutated() -> impl Strategy<Value = (Vec<u8>, usize)> {
    let sizes = prop::collection::vec(0_usize..9, 1..6);
    let changes = prop::collection::vec((any::<prop::sample::Index>(), 0..6_u8, any::<u8>()), 0..4);
    (sizes, any::<bool>(), changes, 1_usize..3000).prop_map(|(sizes, told, changes, chunk)| {
        let mut made = snapshots(&sizes);
        if let Some(first) = made.first_mut().filter(|one| one.regions.len() > 3) {
            first.probes = vec![(0..).take(first.regions.len()).map(|i| i * i).collect()];
        }
        let mut bytes = text(USUAL.filter(|_| told), "0", made).into_bytes();
        for (at, how, byte) in changes {
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, b' '),
                2 => drop(bytes.remove(at)),
                3 => bytes.truncate(at + 1),
                4 => bytes[at] = b'0' + byte % 10,
                _ => bytes.insert(at, byte),
            }
        }
        (bytes, chunk)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn the_fast_way_is_the_general_one((bytes, chunk) in mutated()) {
        let options = ImportOptions::default();
        let (general, expected) = at(Pace { chunk: 1 << 18, fast: false }, &bytes, false, &options);
        for chunk in [chunk, 1 << 18] {
            let (fast, result) = at(Pace { chunk, fast: true }, &bytes, false, &options);
            prop_assert_eq!(&fast, &general);
            let (result, expected) = (format!("{result:?}"), format!("{expected:?}"));
            prop_assert_eq!(result, expected);
        }
    }
}

#[test]
fn the_smallest_chunks_give_the_same() {
    let made = snapshots(&[3, 0, 2]);
    let bytes = text(USUAL, "0", made.clone()).into_bytes();
    for chunk in 1..40 {
        for compressed in [false, true] {
            let bytes = if compressed { compress(&bytes) } else { bytes.clone() };
            let (found, result) =
                at(Pace { chunk, fast: true }, &bytes, compressed, &ImportOptions::default());
            result.unwrap();
            assert_eq!(found.snapshots, made, "chunks of {chunk}");
        }
    }
}

#[test]
fn two_records_are_two_targets() {
    let made = snapshots(&[2, 2]);
    let one = text(USUAL, "0", made.clone());
    let other = text(USUAL, "1", made);
    let both = format!("{},{}", one.trim_end_matches(']'), other.trim_start_matches('['));
    let found: Collected = json(&both);
    let targets: Vec<u32> = found.snapshots.iter().map(|s| s.target.0).collect();
    assert_eq!(targets, [0, 0, 1, 1]);
}
