use super::*;
use crate::import::collected::Collected;
use damon_format::{
    IntervalsChanged, Record, Region, Sampling, SchemeApplied, TargetId, TargetKind,
};
use proptest::prelude::*;
use std::fmt::Write as _;

const MS: u64 = 1_000_000;
const GIB: u64 = 1 << 30;

fn imported(text: &str) -> Collected {
    Collected::of(|options, sink| read(text.as_bytes(), options, sink)).unwrap()
}

fn refused(text: &[u8]) -> ImportError {
    Collected::of(|options, sink| read(text, options, sink)).unwrap_err()
}

/// A region event; the i-th of a target's `n`.
fn line(text: &mut String, kdamond: &str, time_ns: u64, target: u64, i: u64, n: u64) {
    let (s, us) = (time_ns / 1_000_000_000, time_ns / 1_000 % 1_000_000);
    let (start, end) = (GIB + i * 8192, GIB + i * 8192 + 4096);
    writeln!(
        text,
        " {kdamond} [00{}] {s}.{us:06}: damon:damon_aggregated: target_id={target} nr_regions={n} {start}-{end}: {} {}",
        i % 2,
        i % 21,
        time_ns / (100 * MS)
    )
    .unwrap();
}

/// Aggregations of one kdamond, 102 ms each, regions 2 us apart, of so many targets with `n` regions and more.
fn recording(kdamond: &str, aggregations: u64, targets: u64, n: u64) -> Vec<String> {
    let mut lines = Vec::new();
    for aggregation in 0..aggregations {
        let mut time_ns = 10_000 * MS + aggregation * 102 * MS;
        for target in 0..targets {
            let n = n + target + aggregation % 2;
            for i in 0..n {
                let mut text = String::new();
                line(&mut text, kdamond, time_ns, target, i, n);
                lines.push(text);
                time_ns += 2_000;
            }
        }
    }
    lines
}

/// `(target, end in ms, regions)` of all snapshots.
fn outline(collected: &Collected) -> Vec<(u32, u64, usize)> {
    let outline =
        |s: &damon_format::Snapshot| (s.target.0, s.end_ns / MS - 10_000, s.regions.len());
    collected.snapshots.iter().map(outline).collect()
}

#[test]
fn snapshots_are_put_together_with_their_times_and_the_intervals_are_guessed() {
    let found = imported(&recording("kdamond.0 77", 30, 2, 5).concat());
    assert_eq!(found.snapshots.len(), 60);
    assert_eq!(found.lost(), []);
    let info = found.info.as_ref().unwrap();
    assert_eq!((info.attrs.sample_us, info.attrs.aggr_us), (5_000, 100_000));
    for guess in ["100 ms is guessed from the first", "5 ms is assumed", "beyond 64 TiB"] {
        assert!(found.notes().contains(guess), "{}", found.notes());
    }
    let of = |target| found.snapshots.iter().filter(move |s| s.target == TargetId(target));
    for (target, offset) in [(0, 0), (1, 10_000)] {
        for (k, snapshot) in of(target).enumerate() {
            let k = k as u64;
            // The second target comes after the five or six regions of the first.
            let offset = if target == 1 && k % 2 == 1 { offset + 2_000 } else { offset };
            assert_eq!(snapshot.end_ns, 10_000 * MS + k * 102 * MS + offset);
            assert_eq!(snapshot.sampling, Sampling::from_intervals(5_000, 100_000));
            assert_eq!(snapshot.regions.len() as u64, 5 + u64::from(target) + k % 2);
        }
        let pairs = of(target).zip(of(target).skip(1));
        assert!(pairs.into_iter().all(|(one, next)| one.end_ns == next.start_ns));
    }
    assert_eq!(found.snapshots[0].start_ns, (10_000 - 102) * MS, "mean of sixteen");
    let region = Region { start: GIB + 8192, end: GIB + 12_288, nr_accesses: 1, age: 100 };
    assert_eq!(found.snapshots[0].regions[1], region);
    let kinds = found.records.iter().filter_map(|record| match record {
        Record::TargetStarted(started) => Some((started.kind, started.pid)),
        _ => None,
    });
    assert_eq!(kinds.collect::<Vec<_>>(), [(TargetKind::Physical, 0); 2]);
}

#[test]
fn one_lost_event_costs_one_snapshot_and_nothing_else() {
    let lines = recording("kdamond.0 77", 12, 2, 3);
    let whole = imported(&lines.concat());
    for lost in 0..lines.len() {
        let mut rest = lines.clone();
        rest.remove(lost);
        let found = imported(&rest.concat());
        assert_eq!(found.snapshots.len(), whole.snapshots.len() - 1, "without line {lost}");
        let [(what, 1)] = found.lost()[..] else { panic!("{:?}", found.lost()) };
        assert!(what.contains("1 of its regions"), "{what}");
        let same = |s: &damon_format::Snapshot| {
            let twin =
                whole.snapshots.iter().find(|w| (w.target, w.end_ns) == (s.target, s.end_ns));
            // A target's first one begins at a guess; and a first event tells the time of the end.
            twin.is_some_and(|w| w.regions == s.regions && w.start_ns.abs_diff(s.start_ns) <= 2_000)
        };
        assert!(found.snapshots.iter().all(same), "without line {lost}");
    }
}

#[test]
fn the_tail_of_one_burst_and_the_head_of_the_next_make_no_snapshot() {
    // 4 regions each; what is left looks like one burst: 2 of the first, then 2 of the second.
    let lines = recording("k 1", 20, 1, 4);
    // Aggregations alternate between 4 and 5 regions: look at 8 and 10, and leave 9 out.
    let at = |aggregation: usize| aggregation / 2 * 9 + aggregation % 2 * 4;
    let cut: Vec<String> = lines
        .iter()
        .enumerate()
        .filter(|(i, _)| !(at(8) + 2..at(10) + 2).contains(i))
        .map(|(_, line)| line.clone())
        .collect();
    let found = imported(&cut.concat());
    assert_eq!(found.snapshots.len(), 17);
    assert_eq!(found.lost().len(), 2);
    let after = &found.snapshots[8];
    assert_eq!((after.end_ns - after.start_ns) / MS, 101, "not the whole gap");
}

#[test]
fn kdamonds_that_talk_at_the_same_time_are_told_apart() {
    let one = recording("kdamond.0 77", 20, 1, 7);
    let two = recording("kdamond.1 78", 20, 1, 7);
    let mixed: String = one.iter().zip(&two).flat_map(|(a, b)| [a.as_str(), b]).collect();
    let found = imported(&mixed);
    assert_eq!(found.lost(), []);
    let outline = outline(&found);
    for target in [0, 1] {
        let mine: Vec<_> = outline.iter().filter(|o| o.0 == target).map(|o| (o.1, o.2)).collect();
        let wanted: Vec<_> = (0..20).map(|k| (k * 102, [7, 8][usize::from(k % 2 == 1)])).collect();
        assert_eq!(mine, wanted);
    }
}

#[test]
fn a_kdamond_may_be_interrupted_inside_a_burst() {
    for (first, second) in [(0, 15), (40, 15), (40, 60)] {
        let mut text = recording("kdamond.0 77", first, 1, 3).concat();
        // Long after the third region, and after the burst before.
        let begin = (10_000 + first * 102) * MS;
        for i in 0..6 {
            let time_ns = begin + i * 2_000 + if i >= 3 { second * MS } else { 0 };
            line(&mut text, "kdamond.0 77", time_ns, 0, i, 6);
        }
        let found = imported(&text);
        assert_eq!(found.lost(), [], "{second} ms in aggregation {first}");
        assert_eq!(found.snapshots.last().unwrap().regions.len(), 6);
    }
}

#[test]
fn a_pause_is_not_part_of_the_snapshot_after_it() {
    let mut lines = recording("kdamond.0 77", 40, 1, 3).concat();
    let late: String = {
        let mut text = String::new();
        (0..3).for_each(|i| line(&mut text, "kdamond.0 77", 60_000 * MS, 0, i, 3));
        text
    };
    lines.push_str(&late);
    let found = imported(&lines);
    let last = found.snapshots.last().unwrap();
    assert_eq!((last.start_ns, last.end_ns), ((60_000 - 102) * MS, 60_000 * MS));
    assert!(found.notes().contains("paused"), "{}", found.notes());
}

#[test]
fn tuned_intervals_keep_their_ratio_and_are_recorded() {
    let mut text = recording("kdamond.0 77", 25, 1, 3).concat();
    text.push_str(
        "kdamond.0 77 [000] 12.549000: damon:damon_monitor_intervals_tune: sample_us=7500\n",
    );
    for k in 0..5 {
        let time_ns = 12_550 * MS + k * 152 * MS;
        (0..3).for_each(|i| line(&mut text, "kdamond.0 77", time_ns, 0, i, 3));
    }
    let found = imported(&text);
    let tuned = Sampling { sample_us: 7_500, aggr_us: 150_000, max_nr_accesses: 20 };
    assert_eq!(found.snapshots.len(), 30);
    for (k, snapshot) in found.snapshots.iter().enumerate() {
        let usual = Sampling::from_intervals(5_000, 100_000);
        assert_eq!(snapshot.sampling, if k < 25 { usual } else { tuned }, "{k}");
    }
    let changed = found.records.iter().filter_map(|record| match record {
        Record::IntervalsChanged(IntervalsChanged { time_ns, attrs, .. }) => {
            Some((*time_ns, attrs.sample_us, attrs.aggr_us))
        }
        _ => None,
    });
    assert_eq!(changed.collect::<Vec<_>>(), [(12_549 * MS, 7_500, 150_000)]);
}

#[test]
fn applied_schemes_come_with_the_aggregation_they_belong_to() {
    let apply = |ms: u64, scheme: u32, start: u64| {
        format!(
            "kdamond.0 77 [000] {}.{:03}000: damon:damos_before_apply: ctx_idx=0 scheme_idx={scheme} target_idx=0 \
             nr_regions=3 {start}-{}: 0 9\n",
            ms / 1000,
            ms % 1000,
            start + 4096
        )
    };
    let mut lines = recording("kdamond.0 77", 3, 1, 3);
    let (first, second) = (apply(9_999, 0, 0) + &apply(9_999, 1, 0), apply(9_999, 0, 8192));
    lines.insert(7, apply(10_203, 0, 4096));
    lines.insert(0, first + &second);
    let found = imported(&lines.concat());
    let applied = found.records.iter().filter_map(|record| match record {
        Record::SchemeApplied(SchemeApplied { time_ns, scheme, regions, .. }) => {
            Some((*time_ns / MS, *scheme, regions.iter().map(|r| r.start).collect::<Vec<_>>()))
        }
        _ => None,
    });
    let wanted = [(9_999, 0, vec![0, 8192]), (9_999, 1, vec![0]), (10_203, 0, vec![4096])];
    assert_eq!(applied.collect::<Vec<_>>(), wanted);
    assert_eq!(found.snapshots.len(), 3);
}

#[test]
fn what_old_kernels_and_damo_write_is_understood() {
    let pointer = u64::MAX - 0x7fff;
    let old = format!(
        "kdamond.0 77 [000] 5.000000: damon:damon_aggregated: target_id={pointer} nr_regions=1 4096-8192: 3\n\
         kdamond.0 77 [000] 5.100000: damon:damon_aggregated: target_id={pointer} nr_regions=1 4096-140737488351232: 3\n"
    );
    let found = imported(&old);
    assert_eq!(found.snapshots.len(), 2);
    assert!(!found.snapshots[0].has_ages);
    assert_eq!(found.snapshots[0].target, TargetId(0));
    assert!(found.notes().contains(&pointer.to_string()), "{}", found.notes());
    // One snapshot, whose duration damo tells by one that does not exist.
    let single = "kdamond.x xxxx xxxx 5.000000: damon:damon_aggregated: target_id=3 nr_regions=1 4096-8192: 3 1\n\
                  kdamond.x xxxx xxxx 5.250000: damon:damon_aggregated: target_id=3 nr_regions=1 0-0: -1 -1\n";
    let found = imported(single);
    let [only] = &found.snapshots[..] else { panic!("{:?}", found.snapshots) };
    assert_eq!((only.start_ns, only.end_ns), (4_750 * MS, 5_000 * MS));
    // damo writes one target after the other.
    let one_by_one = recording("kdamond.x xxxx xxxx", 20, 1, 3).concat()
        + &recording("kdamond.x xxxx xxxx", 20, 1, 3)
            .concat()
            .replace("target_id=0", "target_id=1");
    let found = imported(&one_by_one);
    assert_eq!((found.snapshots.len(), found.lost().len()), (40, 0));
}

#[test]
fn regions_that_are_told_twice_bring_the_counters_of_their_probes() {
    let mut text = String::new();
    for time in ["5.000000", "5.100000", "5.200000"] {
        for start in [4096, 8192] {
            let region = format!("target_id=0 nr_regions=2 {start}-{}: 3 7", start + 4096);
            writeln!(text, "k 1 [000] {time}: damon:damon_aggregated: {region}").unwrap();
            let probed = format!("{region} probe_hits=1f 0{}", start / 4096);
            writeln!(text, "k 1 [000] {time}: damon:damon_region_aggregated: {probed}").unwrap();
        }
    }
    let found = imported(&text);
    assert_eq!((found.snapshots.len(), found.lost().len()), (3, 0));
    for snapshot in &found.snapshots {
        assert_eq!(snapshot.regions.len(), 2);
        assert_eq!(snapshot.probes, [[31, 31], [1, 2]]);
    }
}

#[test]
fn lines_that_cannot_be_understood_are_counted_and_named() {
    let mut lines = recording("kdamond.0 77", 3, 1, 3);
    lines.insert(0, "a line of something else\n".to_owned());
    lines[5] = "k 1 [000] 1.5: damon:damon_aggregated: target_id=?\n".to_owned();
    lines[7] = "CPU:1 [LOST 5 EVENTS]\n".to_owned();
    let found = imported(&lines.concat());
    assert!(found.notes().contains("understood: 1, the first is line 6"), "{}", found.notes());
    assert_eq!(found.lost().iter().filter(|(_, count)| *count == 5).count(), 1);
    assert_eq!(found.snapshots.len(), 2);
}

/// The text with its times as whole numbers: `per_us` of them in a microsecond.
fn in_whole_numbers(text: &str, per_us: u64) -> String {
    let mut whole = String::new();
    for line in text.lines() {
        let (head, tail) = line.split_once(": ").unwrap();
        let (head, time) = head.rsplit_once(' ').unwrap();
        let us: u64 = time.replace('.', "").parse().unwrap();
        // As wide as trace-cmd report makes it, with no space before.
        writeln!(whole, "{head}{:12}: {tail}", us * per_us).unwrap();
    }
    whole
}

#[test]
fn whole_numbers_are_nanoseconds_if_aggregations_last_as_long_as_they_should() {
    let text = recording("kdamond.0-77", 30, 2, 5).concat();
    let (seconds, whole) = (imported(&text), imported(&in_whole_numbers(&text, 1_000)));
    assert_eq!(whole.snapshots, seconds.snapshots);
    assert!(whole.notes().contains("taken as nanoseconds"), "{}", whole.notes());
    // Ticks of 2.4 GHz, and numbers of events.
    let ticks = in_whole_numbers(&text, 2_400);
    let error = refused(ticks.as_bytes()).to_string();
    assert!(error.contains("last 244.8 ms") && error.contains("-C mono"), "{error}");
    let mut counted = String::new();
    for (count, line) in (1..).zip(text.lines()) {
        let (head, tail) = line.split_once(": ").unwrap();
        writeln!(counted, "{} {count:12}: {tail}", head.rsplit_once(' ').unwrap().0).unwrap();
    }
    let error = refused(counted.as_bytes()).to_string();
    assert!(error.contains("should be: 100 ms, DAMON's default"), "{error}");
    // Who knows that they are nanoseconds says how long an aggregation was.
    let slow = ImportOptions { sample_us: None, aggr_us: Some(240_000) };
    let found = Collected::of_with(slow, |options, sink| read(ticks.as_bytes(), options, sink));
    assert_eq!(found.unwrap().snapshots.len(), 60);
}

#[test]
fn whole_numbers_of_ftrace_are_no_times() {
    let text = in_whole_numbers(&recording("kdamond.0-77", 30, 1, 5).concat(), 1_000);
    let error = refused(format!("# tracer: nop\n#\n{text}").as_bytes()).to_string();
    assert!(error.contains("trace_clock"), "{error}");
}

#[test]
fn useless_inputs_are_refused_with_the_place() {
    for text in ["", "\n\n\n", "[{\"kdamond_idx\": 0}]", "CPU 1 is empty\n"] {
        assert!(matches!(refused(text.as_bytes()), ImportError::Useless(_)), "{text}");
    }
    let error = refused(b"\nk 1 damon_aggregated: target_id=0\n").to_string();
    assert!(error.starts_with("line 2: expected TIME: damon_aggregated"), "{error}");
    let filtered: String = recording("k 1", 9, 1, 3).into_iter().step_by(3).collect();
    assert!(refused(filtered.as_bytes()).to_string().contains("filtered"));
    let mut twice = recording("k 1", 3, 1, 3);
    twice.extend(twice.clone());
    let error = refused(twice.concat().as_bytes()).to_string();
    assert!(error.starts_with("line 14: expected snapshots of target 0 in the order"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever happens to a text: an answer, and snapshots that a trace can hold (the sink asserts it).
    #[test]
    fn damaged_texts_do_no_harm(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..40),
        cut in any::<prop::sample::Index>(),
        swaps in prop::collection::vec(any::<(prop::sample::Index, prop::sample::Index)>(), 0..4),
    ) {
        let mut lines = recording("kdamond.0 77", 20, 2, 5);
        for (a, b) in swaps {
            let (a, b) = (a.index(lines.len()), b.index(lines.len()));
            lines.swap(a, b);
        }
        let mut text = lines.concat().into_bytes();
        for (at, byte) in changes {
            let at = at.index(text.len());
            text[at] = byte;
        }
        text.truncate(cut.index(text.len()) + 1);
        let _any_answer = Collected::of(|options, sink| read(&*text, options, sink));
    }

    /// Lost events cost the snapshots they belong to, and no other; which is which the times tell.
    #[test]
    fn any_loss_costs_no_more_than_what_it_hits(
        lost in prop::collection::btree_set(0_usize..20 * 13, 1..30),
    ) {
        let lines = recording("kdamond.0 77", 20, 2, 5);
        let kept = lines.iter().enumerate().filter(|(i, _)| !lost.contains(i));
        let found = imported(&kept.map(|(_, line)| line.as_str()).collect::<String>());
        let hit = |first: usize, n: usize| (first..first + n).any(|i| lost.contains(&i));
        let mut first = 0;
        let mut untouched = Vec::new();
        for aggregation in 0..20_usize {
            for target in [0, 1] {
                let n = 5 + usize::from(target == 1) + aggregation % 2;
                if !hit(first, n) {
                    untouched.push((target, aggregation as u64 * 102, n));
                }
                first += n;
            }
        }
        let mut here = outline(&found);
        here.sort_by_key(|(target, end, _)| (*end, *target));
        prop_assert_eq!(here, untouched);
    }
}
