use super::*;
use crate::analysis::overview::Overview;
use crate::analysis::records::Records;
use crate::analysis::testing::written;
use damon_format::{Sampling, Snapshot};
use proptest::prelude::*;

const BEGIN: u64 = 1 << 40;

/// Snapshots of three targets that follow each other, nearly at the same times.
fn recording() -> impl Strategy<Value = Vec<Snapshot>> {
    prop::collection::vec((0_u32..3, 0_u64..30, 1_u64..9), 1..60).prop_map(|list| {
        let mut ends = [BEGIN; 3];
        let one = |(target, late, regions): (u32, u64, u64)| {
            let end = &mut ends[usize::try_from(target).unwrap()];
            let start_ns = *end + if late == 0 { 900_000_000 } else { late * 1_000_000 };
            *end = start_ns + 100_000_000;
            let region =
                |i: u64| Region { start: i << 12, end: (i + 1) << 12, nr_accesses: 1, age: 3 };
            let sampling = Sampling::from_intervals(5_000, 100_000);
            let regions = (0..regions).map(region).collect();
            Snapshot::new(TargetId(target), start_ns, *end, sampling, regions)
        };
        let mut list: Vec<Snapshot> = list.into_iter().map(one).collect();
        list.sort_by_key(|snapshot| snapshot.end_ns);
        list
    })
}

type Moments = Vec<(Range<u64>, Vec<(u32, usize)>)>;

fn moments(trace: &Trace, held: usize) -> (Moments, u64) {
    let selection = Selection::everything();
    let (single, observe, passes) = (false, true, usize::MAX);
    let source = Source { trace, selection: &selection, single, observe, held, passes };
    let mut found = Vec::new();
    let fed = source.feed(|batch| {
        for moment in batch.moments() {
            let shots = moment.shots().map(|shot| (shot.target.0, shot.regions.len()));
            found.push((moment.time(), shots.collect()));
        }
    });
    assert!(!fed.damaged && fed.refused.is_none());
    let seen = Overview::of_snapshots(fed.seen.unwrap(), Records::default());
    (found, seen.snapshots())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn blocks_that_are_gone_through_piece_by_piece_have_the_same_moments(list in recording()) {
        let trace = written(&list, u64::MAX);
        let whole = moments(&trace, HELD);
        prop_assert_eq!(whole.1, u64::try_from(list.len()).unwrap());
        for held in [8, 20, 60, 200] {
            prop_assert_eq!(&whole, &moments(&trace, held), "{} held", held);
        }
        let small = written(&list, 30);
        prop_assert_eq!(&moments(&small, HELD), &moments(&small, 20));
    }
}

#[test]
fn a_block_that_takes_too_many_passes_is_refused_unless_one_target_is_all() {
    let list = (0..100_u64).flat_map(|index| {
        (0..2).map(move |target| {
            let start_ns = BEGIN + index * 100_000_000;
            let region =
                |i: u64| Region { start: i << 12, end: (i + 1) << 12, nr_accesses: 1, age: 3 };
            let sampling = Sampling::from_intervals(5_000, 100_000);
            let regions = (0..7).map(region).collect();
            let target = TargetId(target);
            Snapshot::new(target, start_ns, start_ns + 100_000_000, sampling, regions)
        })
    });
    let trace = written(&list.collect::<Vec<_>>(), u64::MAX);
    let selection = Selection::everything();
    let fed = |single, passes| {
        let source = Source {
            trace: &trace,
            selection: &selection,
            single,
            observe: false,
            held: 200,
            passes,
        };
        let mut seen = 0;
        let fed = source.feed(|batch| seen += batch.moments().count());
        (seen, fed.is_whole().map_err(|error| error.to_string()))
    };
    // Two snapshots of ten each to 50 in a pass.
    assert_eq!(fed(false, 50), (100, Ok(())));
    let (seen, refused) = fed(false, 49);
    assert_eq!(seen, 0, "it is told before anything is done");
    assert!(refused.unwrap_err().contains("more than 2450 regions of several targets"));
    assert_eq!(fed(true, 1), (200, Ok(())));
}
