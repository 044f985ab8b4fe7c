use super::*;
use proptest::prelude::*;

const MS: u64 = 1_000_000;
/// 5 ms, 100 ms: bursts are at least 100 ms apart.
const SAMPLING: Sampling = Sampling { sample_us: 5_000, aggr_us: 100_000, max_nr_accesses: 20 };

/// One told event: time, thread, event.
type Told = (u64, i32, Event);

fn region(start: u64, end: u64) -> Region {
    Region { start, end, nr_accesses: 3, age: 7 }
}

/// `count` regions, with a hole after every second one.
fn regions(first: u64, count: u64) -> Vec<Region> {
    (0..count)
        .map(|i| region(first + i * 0x1000, first + (i + 1) * 0x1000 - i % 2 * 0x800))
        .collect()
}

/// The events of one target; one microsecond each.
fn burst(time_ns: u64, thread: i32, target: u64, regions: &[Region]) -> Vec<Told> {
    let nr_regions = u32::try_from(regions.len()).unwrap();
    let event = |&region| Event::Aggregated { target, nr_regions, region, has_age: true };
    (0..).zip(regions).map(|(i, region)| (time_ns + i * 1_000, thread, event(region))).collect()
}

fn watching(threads: &[i32]) -> Assembler {
    let mut assembler = Assembler::default();
    for thread in threads {
        assembler.watch(*thread, SAMPLING);
    }
    assembler
}

fn push(assembler: &mut Assembler, events: &[Told]) -> Vec<Assembled> {
    let mut out = Vec::new();
    for (time_ns, thread, event) in events {
        assembler.push(*time_ns, *thread, event, &mut |assembled| out.push(assembled.clone()));
    }
    out
}

fn finish(assembler: &mut Assembler) -> Vec<Assembled> {
    let mut out = Vec::new();
    assembler.finish(&mut |assembled| out.push(assembled.clone()));
    out
}

/// What is asked most often: target, start and end in milliseconds, regions, missing.
fn brief(assembled: &[Assembled]) -> Vec<(u64, u64, u64, usize, u32)> {
    let brief = |a: &Assembled| {
        (a.target_index, a.start_ns / MS, a.end_ns / MS, a.regions.len(), a.missing)
    };
    assembled.iter().map(brief).collect()
}

#[test]
fn a_target_is_handed_out_with_its_last_region() {
    let mut assembler = watching(&[77]);
    let regions = regions(0x10_0000, 5);
    let events = burst(1_000 * MS, 77, 0, &regions);
    assert_eq!(push(&mut assembler, &events[..4]), []);
    let expected = Assembled {
        thread: 77,
        target_index: 0,
        start_ns: 900 * MS,
        end_ns: 1_000 * MS,
        sampling: SAMPLING,
        tuned_from: None,
        regions,
        has_ages: true,
        missing: 0,
    };
    assert_eq!(push(&mut assembler, &events[4..]), [expected]);
    assert_eq!(finish(&mut assembler), []);
}

#[test]
fn all_targets_of_a_burst_end_together_and_begin_where_the_last_burst_ended() {
    let mut assembler = watching(&[77]);
    let mut events = Vec::new();
    for time in [1_000, 1_103, 1_210] {
        // Target 1 has no regions and tells nothing.
        events.extend(burst(time * MS, 77, 0, &regions(0, 3)));
        events.extend(burst(time * MS + 3_000, 77, 2, &regions(0, 1)));
    }
    let expected = [
        (0, 900, 1_000, 3, 0),
        (2, 900, 1_000, 1, 0),
        (0, 1_000, 1_103, 3, 0),
        (2, 1_000, 1_103, 1, 0),
        (0, 1_103, 1_210, 3, 0),
        (2, 1_103, 1_210, 1, 0),
    ];
    assert_eq!(brief(&push(&mut assembler, &events)), expected);
}

#[test]
fn another_target_alone_is_no_continuation() {
    // First only target 0 has regions, then only target 1.
    let mut assembler = watching(&[77]);
    let mut events = burst(1_000 * MS, 77, 0, &regions(0, 2));
    events.extend(burst(1_100 * MS, 77, 1, &regions(0, 2)));
    let expected = [(0, 900, 1_000, 2, 0), (1, 1_000, 1_100, 2, 0)];
    assert_eq!(brief(&push(&mut assembler, &events)), expected);
}

#[test]
fn kdamonds_do_not_disturb_each_other_and_others_are_ignored() {
    let mut assembler = watching(&[77, 78]);
    let (a, b) =
        (burst(1_000 * MS, 77, 0, &regions(0, 4)), burst(1_000 * MS, 78, 0, &regions(8, 4)));
    let c = burst(1_000 * MS, 79, 0, &regions(0, 4));
    let events: Vec<Told> = a.iter().zip(&b).zip(&c).flat_map(|((a, b), c)| [*a, *b, *c]).collect();
    let out = push(&mut assembler, &events);
    assert_eq!(out.iter().map(|a| (a.thread, a.missing)).collect::<Vec<_>>(), [(77, 0), (78, 0)]);
    assert_eq!(out[1].regions, regions(8, 4));
}

#[test]
fn what_a_loss_leaves_is_remains_and_the_next_burst_is_whole() {
    for missing in 0..4 {
        for told in [false, true] {
            let mut assembler = watching(&[77]);
            let mut out = push(&mut assembler, &burst(900 * MS, 77, 0, &regions(0, 4)));
            let mut events = burst(1_000 * MS, 77, 0, &regions(0, 4));
            events.remove(missing);
            out.extend(push(&mut assembler, &events));
            if told {
                assembler.lost();
            }
            out.extend(push(&mut assembler, &burst(1_100 * MS, 77, 0, &regions(0, 4))));
            let expected = [(0, 800, 900, 4, 0), (0, 900, 1_000, 3, 1), (0, 1_000, 1_100, 4, 0)];
            assert_eq!(brief(&out), expected);
        }
    }
}

#[test]
fn halves_of_two_bursts_are_not_one() {
    // Neither order nor number would tell: two regions of the one, the other two of the other.
    let mut assembler = watching(&[77]);
    let first = burst(1_000 * MS, 77, 0, &regions(0, 4));
    let second = burst(1_100 * MS, 77, 0, &regions(0, 4));
    let out = push(&mut assembler, &[&first[..2], &second[2..]].concat());
    assert_eq!(brief(&out), [(0, 900, 1_000, 2, 2)]);
    assert_eq!(brief(&finish(&mut assembler)), [(0, 1_000, 1_100, 2, 2)]);
}

#[test]
fn an_interruption_inside_a_burst_is_borne_unless_something_is_missing() {
    let mut late = burst(1_000 * MS, 77, 0, &regions(0, 4));
    late[2].0 += 70 * MS;
    late[3].0 += 70 * MS;
    assert_eq!(brief(&push(&mut watching(&[77]), &late)), [(0, 900, 1_000, 4, 0)]);

    let mut assembler = watching(&[77]);
    push(&mut assembler, &late[..2]);
    assembler.lost();
    assert_eq!(brief(&push(&mut assembler, &late[2..])), [(0, 900, 1_000, 2, 2)]);
}

#[test]
fn where_losses_are_told_no_interruption_inside_a_target_is_too_long() {
    let mut late = burst(1_000 * MS, 77, 0, &regions(0, 4));
    late.extend(burst(1_000 * MS, 77, 1, &regions(0, 2)));
    for told in late.iter_mut().skip(2) {
        told.0 += 250 * MS;
    }
    let trusting = || {
        let mut assembler = Assembler::of_told_losses();
        assembler.watch(77, SAMPLING);
        assembler
    };
    let whole = [(0, 900, 1_000, 4, 0), (1, 900, 1_000, 2, 0)];
    assert_eq!(brief(&push(&mut trusting(), &late)), whole);

    // What is told to be lost is not looked for in the next burst.
    let mut assembler = trusting();
    push(&mut assembler, &late[..2]);
    assembler.lost();
    let rest = [(0, 900, 1_000, 2, 2), (1, 1_150, 1_250, 2, 0)];
    assert_eq!(brief(&push(&mut assembler, &late[2..]))[..1], rest[..1]);

    // Between targets a gap still counts: the next aggregation may have other targets.
    let mut events = burst(1_000 * MS, 77, 0, &regions(0, 2));
    events.extend(burst(1_100 * MS, 77, 1, &regions(0, 2)));
    let expected = [(0, 900, 1_000, 2, 0), (1, 1_000, 1_100, 2, 0)];
    assert_eq!(brief(&push(&mut trusting(), &events)), expected);
}

#[test]
fn the_end_of_an_aggregation_is_foreseen() {
    let mut assembler = watching(&[77]);
    assert_eq!(assembler.next_end_ns(77, 950 * MS), None);
    push(&mut assembler, &burst(1_000 * MS, 77, 0, &regions(0, 2)));
    assert_eq!(assembler.next_end_ns(77, 1_000 * MS), Some(1_100 * MS), "as it should be");
    push(&mut assembler, &burst(1_104 * MS, 77, 0, &regions(0, 2)));
    for (after, next) in [(900, 1_208), (1_104, 1_208), (1_207, 1_208), (1_208, 1_312)] {
        assert_eq!(assembler.next_end_ns(77, after * MS), Some(next * MS), "as it really is");
    }
    assert_eq!(assembler.next_end_ns(77, u64::MAX), None);
    assert_eq!(assembler.next_end_ns(78, 0), None);
}

#[test]
fn a_burst_lost_altogether_leaves_a_hole_in_time() {
    let mut assembler = watching(&[77]);
    let mut out = Vec::new();
    // Aggregations really take 140 ms.
    for time in [1_000, 1_140, 1_280] {
        out.extend(push(&mut assembler, &burst(time * MS, 77, 0, &regions(0, 2))));
    }
    assembler.lost();
    out.extend(push(&mut assembler, &burst(1_560 * MS, 77, 0, &regions(0, 2))));
    // Something is lost again, but not a whole burst.
    assembler.lost();
    out.extend(push(&mut assembler, &burst(1_700 * MS, 77, 0, &regions(0, 2))));
    // A pause in which nothing was lost is one long aggregation.
    out.extend(push(&mut assembler, &burst(3_000 * MS, 77, 0, &regions(0, 2))));
    let times: Vec<_> = brief(&out).iter().map(|&(_, start, end, ..)| (start, end)).collect();
    let expected = [
        (900, 1_000),
        (1_000, 1_140),
        (1_140, 1_280),
        (1_420, 1_560),
        (1_560, 1_700),
        (1_700, 3_000),
    ];
    assert_eq!(times, expected);
}

#[test]
fn tuning_marks_the_aggregation_that_was_sampled_before() {
    let mut assembler = watching(&[77]);
    let mut out = push(&mut assembler, &burst(1_000 * MS, 77, 0, &regions(0, 2)));
    let tune = (1_100 * MS, 77, Event::IntervalsTuned { sample_us: 10_000 });
    out.extend(push(&mut assembler, &[tune]));
    out.extend(push(&mut assembler, &burst(1_100 * MS + 10, 77, 0, &regions(0, 2))));
    out.extend(push(&mut assembler, &burst(1_300 * MS, 77, 0, &regions(0, 2))));
    let tuned = Sampling { sample_us: 10_000, aggr_us: 200_000, max_nr_accesses: 20 };
    let scales: Vec<_> = out.iter().map(|a| (a.sampling, a.tuned_from)).collect();
    assert_eq!(scales, [(SAMPLING, None), (tuned, Some(SAMPLING)), (tuned, None)]);
    assert_eq!(brief(&out)[1], (0, 1_000, 1_100, 2, 0));
    assert_eq!(assembler.sampling(77), Some(tuned));
}

#[test]
fn tuning_closes_what_is_incomplete_and_forgets_a_burst_that_never_came() {
    let mut assembler = watching(&[77]);
    let first = burst(1_000 * MS, 77, 0, &regions(0, 4));
    push(&mut assembler, &first[..3]);
    let tune = (1_100 * MS, 77, Event::IntervalsTuned { sample_us: 10_000 });
    assert_eq!(brief(&push(&mut assembler, &[tune])), [(0, 900, 1_000, 3, 1)]);
    assembler.lost();
    let out = push(&mut assembler, &burst(1_300 * MS, 77, 0, &regions(0, 2)));
    assert_eq!((out[0].sampling.sample_us, out[0].tuned_from), (10_000, None));
}

#[test]
fn a_commit_begins_a_new_aggregation() {
    let mut assembler = watching(&[77]);
    push(&mut assembler, &burst(1_000 * MS, 77, 0, &regions(0, 2)));
    let fast = Sampling::from_intervals(1_000, 20_000);
    assembler.watch(77, fast);
    let out = push(&mut assembler, &burst(1_080 * MS, 77, 0, &regions(0, 2)));
    assert_eq!(brief(&out), [(0, 1_060, 1_080, 2, 0)]);
    assert_eq!((out[0].sampling, out[0].tuned_from), (fast, None));
}

#[test]
fn a_commit_that_leaves_the_intervals_is_no_measure_of_them() {
    for (told, expected) in [(true, 1_100), (false, 1_000)] {
        let mut assembler = watching(&[77]);
        push(&mut assembler, &burst(1_000 * MS, 77, 0, &regions(0, 2)));
        if told {
            assembler.committed(77);
        }
        // Begun anew in the middle; what was counted is counted since.
        let out = push(&mut assembler, &burst(1_200 * MS, 77, 0, &regions(0, 2)));
        assert_eq!(brief(&out), [(0, expected, 1_200, 2, 0)]);
        assembler.committed(78);
        let out = push(&mut assembler, &burst(1_300 * MS, 77, 0, &regions(0, 2)));
        assert_eq!(brief(&out), [(0, 1_200, 1_300, 2, 0)]);
    }
    let mut assembler = watching(&[77]);
    push(&mut assembler, &burst(1_000 * MS, 77, 0, &regions(0, 2)));
    assembler.committed(77);
    // As 6.12, which makes changes between two aggregations: nothing is special.
    let out = push(&mut assembler, &burst(1_104 * MS, 77, 0, &regions(0, 2)));
    assert_eq!(brief(&out), [(0, 1_000, 1_104, 2, 0)]);
}

#[test]
fn intervals_shorter_than_we_were_told_are_learnt() {
    let mut assembler = watching(&[77]);
    for time in [1_000, 1_020, 1_040] {
        push(&mut assembler, &burst(time * MS, 77, 0, &regions(0, 4)));
    }
    push(&mut assembler, &burst(1_060 * MS, 77, 0, &regions(0, 4))[..2]);
    let out = push(&mut assembler, &burst(1_080 * MS, 77, 0, &regions(0, 4))[2..]);
    assert_eq!(brief(&out), [(0, 1_040, 1_060, 2, 2)]);
}

#[test]
fn the_number_of_regions_tells_bursts_apart() {
    let mut assembler = watching(&[77]);
    let first = burst(1_000 * MS, 77, 0, &regions(0, 4));
    let second = burst(1_000 * MS + 5_000, 77, 0, &regions(0x9000, 3));
    let out = push(&mut assembler, &[&first[..2], &second[..]].concat());
    assert_eq!(brief(&out), [(0, 900, 1_000, 2, 2), (0, 1_000, 1_000, 3, 0)]);
}

#[test]
fn regions_that_are_none_are_refused_and_make_their_target_incomplete() {
    let mut assembler = watching(&[77]);
    let mut events = burst(1_000 * MS, 77, 0, &regions(0, 3));
    events[1].2 = Event::Aggregated {
        target: 0,
        nr_regions: 3,
        region: region(0x1000, 0x1000),
        has_age: true,
    };
    let none = Event::Aggregated { target: 0, nr_regions: 0, region: region(0, 1), has_age: true };
    events.push((1_001 * MS, 77, none));
    assert_eq!(push(&mut assembler, &events), []);
    assert_eq!(brief(&finish(&mut assembler)), [(0, 900, 1_000, 2, 1)]);
}

#[test]
fn a_kdamond_that_ends_leaves_its_remains() {
    let mut assembler = watching(&[77, 78]);
    push(&mut assembler, &burst(1_000 * MS, 77, 0, &regions(0, 3))[..2]);
    let mut out = Vec::new();
    assembler.unwatch(77, &mut |assembled| out.push(assembled.clone()));
    assert_eq!(brief(&out), [(0, 900, 1_000, 2, 1)]);
    assert_eq!((assembler.sampling(77), assembler.sampling(78)), (None, Some(SAMPLING)));
}

/// Aggregations of two kdamonds with up to three targets of up to five regions each.
fn recordings() -> impl Strategy<Value = Vec<Vec<Told>>> {
    let target = prop::collection::vec((0..3_u64, 1..4_u64, 0..21_u32, 0..9_u32), 0..6);
    let aggregation = (prop::collection::vec(target, 3), 0..30 * MS, any::<bool>());
    prop::collection::vec(aggregation, 1..12).prop_map(|aggregations| {
        let mut clocks = [1_000 * MS, 1_013 * MS];
        let tell = |(targets, work, second): (Vec<Vec<_>>, u64, bool)| {
            let clock = &mut clocks[usize::from(second)];
            *clock += 100 * MS + work;
            let mut told = Vec::new();
            for (target, shapes) in (0..).zip(targets) {
                let mut at = 0;
                let shape = |(hole, size, nr_accesses, age): (u64, u64, u32, u32)| {
                    let start = at + hole;
                    at = start + size;
                    Region { start, end: at, nr_accesses, age }
                };
                let regions: Vec<Region> = shapes.into_iter().map(shape).collect();
                told.extend(burst(*clock, 77 + i32::from(second), target, &regions));
                *clock += regions.len() as u64 * 1_000;
            }
            told
        };
        aggregations.into_iter().map(tell).collect()
    })
}

/// Each target that was told, as (thread, target, regions).
fn targets(recording: &[Vec<Told>]) -> Vec<(i32, u64, Vec<Region>)> {
    let mut targets: Vec<(i32, u64, Vec<Region>)> = Vec::new();
    for aggregation in recording {
        let first = targets.len();
        for (_, thread, event) in aggregation {
            let Event::Aggregated { target, region, .. } = *event else { continue };
            match targets[first..].last_mut() {
                Some((_, known, regions)) if *known == target => regions.push(region),
                _ => targets.push((*thread, target, vec![region])),
            }
        }
    }
    targets
}

/// All events in the order of time.
fn in_time(recording: &[Vec<Told>]) -> Vec<Told> {
    let mut told: Vec<Told> = recording.concat();
    told.sort_by_key(|(time, ..)| *time);
    told
}

fn seen(assembled: Vec<Assembled>) -> Vec<(i32, u64, Vec<Region>)> {
    assembled.into_iter().map(|a| (a.thread, a.target_index, a.regions)).collect()
}

fn well_formed(assembled: &Assembled) -> bool {
    assembled.regions.iter().all(|region| region.start < region.end)
        && assembled.regions.is_sorted_by(|left, right| left.end <= right.start)
        && assembled.start_ns <= assembled.end_ns
}

proptest! {
    #[test]
    fn undamaged_events_come_back_exactly(recording in recordings()) {
        let mut assembler = watching(&[77, 78]);
        let out = push(&mut assembler, &in_time(&recording));
        prop_assert!(out.iter().all(|a| a.is_complete() && well_formed(a)));
        prop_assert_eq!(finish(&mut assembler), []);
        for thread in [77, 78] {
            let of = |mut all: Vec<(i32, u64, Vec<Region>)>| {
                all.retain(|(of, ..)| *of == thread);
                all
            };
            prop_assert_eq!(of(seen(out.clone())), of(targets(&recording)));
        }
    }

    #[test]
    fn what_is_complete_was_told_like_that_whatever_is_dropped(
        recording in recordings(),
        drops in prop::collection::vec((0..200_usize, any::<bool>()), 0..40),
    ) {
        let mut assembler = watching(&[77, 78]);
        let told = in_time(&recording);
        let mut out = Vec::new();
        let mut dropped = 0;
        for (index, event) in told.iter().enumerate() {
            match drops.iter().find(|(drop, _)| *drop == index) {
                Some((_, true)) => assembler.lost(),
                Some((_, false)) => {}
                None => {
                    out.extend(push(&mut assembler, &[*event]));
                    continue;
                }
            }
            dropped += 1;
        }
        out.extend(finish(&mut assembler));
        prop_assert!(out.iter().all(well_formed));
        let missing: usize = out.iter().map(|a| a.missing as usize).sum();
        prop_assert!(missing <= dropped, "{missing} of {dropped}");
        out.retain(Assembled::is_complete);
        let expected = targets(&recording);
        for complete in seen(out) {
            prop_assert!(expected.contains(&complete), "{complete:?}");
        }
    }

    #[test]
    fn nothing_complete_is_malformed_whatever_happens(
        recording in recordings(),
        damage in prop::collection::vec((0..200_usize, 0..4_u8, any::<u64>()), 0..60),
    ) {
        let mut assembler = watching(&[77, 78]);
        let mut out = Vec::new();
        let mut told = in_time(&recording);
        for (index, how, number) in damage {
            let index = index % told.len().max(1);
            if index >= told.len() {
                break;
            }
            match (how, &mut told[index].2) {
                (0, _) => {
                    told.remove(index);
                }
                (1, _) => told.insert(index, told[index]),
                (2, _) => told.swap(index, usize::try_from(number % 7).unwrap() % (index + 1)),
                (_, Event::Aggregated { region, nr_regions, .. }) => {
                    region.start ^= number & 7;
                    *nr_regions ^= u32::try_from(number >> 62).unwrap();
                }
                _ => {}
            }
        }
        out.extend(push(&mut assembler, &told));
        out.extend(finish(&mut assembler));
        prop_assert!(out.iter().all(well_formed));
    }
}
