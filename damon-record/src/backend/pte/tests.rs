//! The watch over a made-up process, whose pages resist clearing as real ones do.

use super::clear::Barrier;
use super::fake::{Fake, HUGE, PAGE, Sort};
use crate::backend::{Touched, Watch, WatchError};
use std::time::Duration;

const BASE: u64 = 0x7000_0000_0000;
const MIB: u64 = 1 << 20;
/// The usual sampling interval.
const INTERVAL: Duration = Duration::from_millis(5);

fn at(page: u64) -> u64 {
    BASE + page * PAGE
}

fn check(watch: &mut impl Watch, addresses: &[u64]) -> Vec<bool> {
    let mut accessed = vec![false; addresses.len()];
    watch.check(addresses, &mut accessed).unwrap();
    accessed
}

/// Prepares, lets the target touch `touched`, and checks.
fn round(watch: &mut impl Watch, fake: &Fake, addresses: &[u64], touched: &[u64]) -> Vec<bool> {
    watch.prepare(addresses).unwrap();
    for &address in touched {
        fake.touch(address);
    }
    fake.wait(INTERVAL);
    check(watch, addresses)
}

fn look(watch: &mut impl Watch) -> Vec<(u64, u64)> {
    let mut touched = Vec::new();
    watch.look(&mut touched).unwrap();
    assert!(touched.is_sorted_by(|a, b| a.end <= b.start), "ascending and disjoint: {touched:x?}");
    assert!(touched.iter().all(|t| t.bytes == t.end - t.start), "{touched:x?}");
    touched.iter().map(|t| (t.start, t.end)).collect()
}

#[test]
fn accesses_before_the_interval_do_not_count_and_those_in_it_do() {
    let fake = Fake::default();
    fake.map(BASE, 8, Sort::Ordinary);
    let mut watch = fake.watch();
    let points = [at(0), at(2) + 100, at(5)];
    assert_eq!(round(&mut watch, &fake, &points, &[at(2), at(3)]), [false, true, false]);
    assert_eq!(round(&mut watch, &fake, &points, &[at(5), at(0)]), [true, false, true]);
    assert_eq!(watch.toll().missed, 0);
}

#[test]
fn only_pages_that_were_accessed_are_cleared() {
    let fake = Fake::default();
    fake.map(BASE, 100, Sort::Ordinary);
    let mut watch = fake.watch();
    let points: Vec<u64> = (0..100).map(at).collect();
    round(&mut watch, &fake, &points, &[at(7), at(70)]);
    assert_eq!(fake.get().cold.len(), 100);
    fake.set().cold.clear();
    let _earlier = watch.toll();
    round(&mut watch, &fake, &points, &[]);
    assert_eq!(fake.get().cold, [(at(7), at(8)), (at(70), at(71))]);
    assert!(watch.toll().target > Duration::ZERO, "shooting down TLB entries costs the target");
    round(&mut watch, &fake, &points, &[]);
    assert_eq!(fake.get().cold.len(), 2, "nothing is set, so nothing is done");
    assert_eq!(watch.toll().target, Duration::ZERO);
}

#[test]
fn huge_pages_are_cleared_whole_once_and_never_split() {
    let fake = Fake::default();
    fake.map_huge(BASE, 3, Sort::Ordinary);
    let mut watch = fake.watch();
    let points = [BASE + PAGE, BASE + 3 * PAGE, BASE + 2 * HUGE + 77 * PAGE];
    let accessed = round(&mut watch, &fake, &points, &[BASE + 500 * PAGE]);
    assert_eq!(accessed, [true, true, false], "seen 2 MiB at a time");
    assert_eq!(fake.get().cold, [(BASE, BASE + HUGE), (BASE + 2 * HUGE, BASE + 3 * HUGE)]);
    assert_eq!(fake.get().splits, 0);
}

#[test]
fn parts_of_folios_are_never_given_to_the_kernel() {
    for (anonymous_folios, sort) in
        [(false, Sort::Barred(Barrier::Large)), (true, Sort::Barred(Barrier::Large))]
    {
        let fake = Fake::default();
        fake.set().anonymous_folios = anonymous_folios;
        fake.set().resident = 64 << 30;
        if anonymous_folios {
            fake.map(BASE, 4, sort);
        } else {
            fake.map_file(BASE, 4, sort);
        }
        let mut watch = fake.watch();
        assert_eq!(round(&mut watch, &fake, &[at(1)], &[at(1)]), [false]);
        assert_eq!((fake.get().splits, fake.get().cold.len()), (0, 0));
        assert_eq!(watch.toll().why, "part of a large folio");
    }
}

#[test]
fn a_page_that_is_used_again_at_once_is_not_taken_for_a_stuck_one() {
    let fake = Fake::default();
    fake.map(BASE, 4, Sort::Ordinary);
    fake.set().hammered = vec![at(1)];
    let mut watch = fake.watch();
    assert_eq!(round(&mut watch, &fake, &[at(1), at(2)], &[]), [true, false]);
    assert_eq!((watch.toll().missed, fake.get().clear_refs), (0, 0));
}

#[test]
fn stuck_pages_of_a_small_process_are_cleared_by_clear_refs() {
    use Barrier::{Large, Locked, OffList, Shared, Unknown};
    for barrier in [Locked, Shared, Large, OffList, Unknown] {
        let fake = Fake::default();
        fake.set().resident = MIB;
        fake.map(BASE, 4, Sort::Barred(barrier));
        fake.map(BASE + MIB, 4, Sort::Ordinary);
        let mut watch = fake.watch();
        let points = [at(0), at(3), BASE + MIB];
        for _ in 0..30 {
            assert_eq!(round(&mut watch, &fake, &points, &[at(3)]), [false, true, false]);
        }
        let toll = watch.toll();
        assert_eq!((toll.missed, toll.why), (0, ""), "{barrier:?}");
        assert!(fake.get().clear_refs > 0);
    }
}

#[test]
fn stuck_pages_of_a_large_process_read_as_untouched_and_are_counted() {
    let fake = Fake::default();
    fake.set().resident = 64 << 30;
    fake.map(BASE, 4, Sort::Barred(Barrier::Shared));
    fake.map(BASE + MIB, 4, Sort::Ordinary);
    let mut watch = fake.watch();
    let points = [at(0), at(3), BASE + MIB];
    let accessed = round(&mut watch, &fake, &points, &[at(0), at(3), BASE + MIB]);
    assert_eq!(accessed, [false, false, true]);
    let toll = watch.toll();
    assert_eq!((toll.missed, toll.why), (2, "mapped by several processes"));
    assert_eq!(watch.toll().missed, 0, "told once");
    assert_eq!(fake.get().clear_refs, 0);
}

#[test]
fn clear_refs_that_turns_out_dear_is_given_up() {
    let fake = Fake::default();
    fake.set().resident = MIB;
    fake.set().clear_refs_takes = Duration::from_millis(20);
    fake.map(BASE, 4, Sort::Barred(Barrier::Shared));
    let mut watch = fake.watch();
    assert_eq!(round(&mut watch, &fake, &[at(0)], &[at(0)]), [true]);
    assert_eq!(round(&mut watch, &fake, &[at(0)], &[at(0)]), [false]);
    assert_eq!((fake.get().clear_refs, watch.toll().missed), (1, 1));
}

#[test]
fn what_nothing_clears_is_never_hot() {
    use Barrier::{Device, Hugetlb, Zero};
    for barrier in [Device, Hugetlb, Zero] {
        let fake = Fake::default();
        fake.map(BASE, 4, Sort::Barred(barrier));
        let mut watch = fake.watch();
        for _ in 0..20 {
            assert_eq!(round(&mut watch, &fake, &[at(0), at(1)], &[at(0)]), [false, false]);
        }
        assert_eq!((watch.toll().missed, fake.get().clear_refs), (40, 0), "{barrier:?}");
        look(&mut watch);
        assert_eq!(look(&mut watch), [], "{barrier:?}");
        assert_eq!(watch.toll().missed, 4);
    }
}

#[test]
fn mappings_that_the_kernel_refuses_are_left_alone_and_tried_again_later() {
    let fake = Fake::default();
    fake.set().resident = 64 << 30;
    fake.map(BASE, 4, Sort::Barred(Barrier::Locked));
    let mut watch = fake.watch();
    for _ in 0..100 {
        round(&mut watch, &fake, &[at(0)], &[]);
    }
    assert_eq!(fake.get().cold.len(), 1);
    // munlock(2)
    for page in fake.set().pages.values_mut() {
        page.sort = Sort::Ordinary;
    }
    let seen = (0..200).filter(|_| round(&mut watch, &fake, &[at(0)], &[at(0)]) == [true]).count();
    assert!((50..150).contains(&seen), "seen in {seen} of 200 rounds");
}

#[test]
fn first_touches_and_unmapped_memory() {
    let fake = Fake::default();
    fake.map(BASE, 2, Sort::Ordinary);
    let mut watch = fake.watch();
    let points = [at(0), at(1), at(50), at(51)];
    watch.prepare(&points).unwrap();
    fake.touch(at(50));
    fake.touch(at(1));
    fake.set().pages.remove(&at(1));
    assert_eq!(check(&mut watch, &points), [false, false, true, false]);
}

#[test]
fn a_page_that_became_part_of_a_huge_one_is_missed_not_accessed() {
    let fake = Fake::default();
    fake.map(BASE, 512, Sort::Ordinary);
    let mut watch = fake.watch();
    watch.prepare(&[at(9)]).unwrap();
    fake.set().pages.clear();
    fake.map_huge(BASE, 1, Sort::Ordinary);
    assert_eq!(check(&mut watch, &[at(9)]), [false]);
    assert_eq!(watch.toll().missed, 1);
    // And from then on it is an ordinary huge page.
    assert_eq!(round(&mut watch, &fake, &[at(9)], &[at(100)]), [true]);
}

#[test]
fn an_exact_look_reports_what_was_touched_since_the_last_one() {
    let fake = Fake::default();
    fake.map(BASE, 8, Sort::Ordinary);
    fake.map(BASE + MIB, 4, Sort::Barred(Barrier::Locked));
    fake.map_huge(BASE + 2 * HUGE, 2, Sort::Ordinary);
    let mut watch = fake.watch();
    assert_eq!(look(&mut watch), [], "the first only arms");
    assert_eq!(look(&mut watch), []);
    for address in [at(1), at(2), at(5), BASE + MIB, BASE + 3 * HUGE + 5] {
        fake.touch(address);
    }
    let expected = [
        (at(1), at(3)),
        (at(5), at(6)),
        (BASE + MIB, BASE + MIB + PAGE),
        (BASE + 3 * HUGE, BASE + 4 * HUGE),
    ];
    assert_eq!(look(&mut watch), expected);
    assert_eq!(look(&mut watch), []);
    assert_eq!(watch.toll().missed, 0);
}

#[test]
fn exact_looks_are_appended_and_runs_cross_tables_but_not_device_memory() {
    let fake = Fake::default();
    let border = BASE + HUGE;
    fake.map(border - 2 * PAGE, 4, Sort::Ordinary);
    fake.map(border + 2 * PAGE, 1, Sort::Barred(Barrier::Device));
    fake.map(border + 3 * PAGE, 1, Sort::Ordinary);
    let mut watch = fake.watch();
    look(&mut watch);
    for page in 0..6 {
        fake.touch(border - 2 * PAGE + page * PAGE);
    }
    let before = Touched { start: 0, end: border - 2 * PAGE, bytes: 1 };
    let mut touched = vec![before];
    watch.look(&mut touched).unwrap();
    let ranges: Vec<_> = touched.iter().skip(1).map(|t| (t.start, t.end)).collect();
    assert_eq!(touched[0], before, "what was there stays as it was");
    let expected = [(border - 2 * PAGE, border + 2 * PAGE), (border + 3 * PAGE, border + 4 * PAGE)];
    assert_eq!(ranges, expected);
}

#[test]
fn the_end_of_the_process_or_its_program_is_told_from_a_failure() {
    let ends: [fn() -> WatchError; 2] = [|| WatchError::Gone, || WatchError::Replaced];
    for end in ends {
        let fake = Fake::default();
        fake.map(BASE, 4, Sort::Ordinary);
        let mut watch = fake.watch();
        watch.prepare(&[at(0)]).unwrap();
        fake.set().ended = Some(end);
        let same = |error: WatchError| {
            assert_eq!(std::mem::discriminant(&error), std::mem::discriminant(&end()));
        };
        same(watch.check(&[at(0)], &mut [false]).unwrap_err());
        same(watch.prepare(&[at(0)]).unwrap_err());
        same(watch.look(&mut Vec::new()).unwrap_err());
    }
}

#[test]
fn after_a_failed_prepare_nothing_is_taken_for_an_access() {
    let fake = Fake::default();
    fake.map(BASE, 4, Sort::Ordinary);
    let mut watch = fake.watch();
    watch.prepare(&[at(0)]).unwrap();
    fake.set().ended = Some(|| WatchError::Failed("once".into()));
    watch.prepare(&[at(0)]).unwrap_err();
    fake.set().ended = None;
    fake.touch(at(0));
    watch.check(&[at(0)], &mut [false]).unwrap_err();
    assert!(watch.check(&[], &mut [false]).is_err(), "lengths differ");
}

proptest::proptest! {
    /// Whatever the pages are, what is reported was touched in the interval, and what was touched is
    /// reported or counted as missed.
    #[test]
    fn nothing_is_invented_and_nothing_is_lost_silently(
        sorts in proptest::collection::vec(0_usize..7, 1..40),
        touches in proptest::collection::vec(0_u64..40, 0..60),
        resident in proptest::sample::select(vec![MIB, 64 << 30]),
    ) {
        use Barrier::{Device, Locked, OffList, Shared, Zero};
        let kinds = [
            Sort::Ordinary,
            Sort::Ordinary,
            Sort::Barred(Locked),
            Sort::Barred(Shared),
            Sort::Barred(OffList),
            Sort::Barred(Device),
            Sort::Barred(Zero),
        ];
        let fake = Fake::default();
        fake.set().resident = resident;
        for (page, &kind) in (0..).zip(&sorts) {
            fake.map(at(page), 1, kinds[kind]);
        }
        let mut watch = fake.watch();
        let points: Vec<u64> = (0..sorts.len() as u64).map(at).collect();
        for part in touches.chunks(10) {
            let touched: Vec<u64> = part.iter().copied().filter(|p| *p < sorts.len() as u64).collect();
            watch.prepare(&points).unwrap();
            let armed: Vec<bool> = points.iter().map(|p| !fake.is_set(*p)).collect();
            for &page in &touched {
                fake.touch(at(page));
            }
            let accessed = check(&mut watch, &points);
            let missed = watch.toll().missed;
            for (page, (&accessed, &armed)) in (0..).zip(accessed.iter().zip(&armed)) {
                proptest::prop_assert_eq!(accessed, armed && touched.contains(&page));
            }
            proptest::prop_assert_eq!(missed, armed.iter().filter(|armed| !**armed).count() as u64);
        }
    }
}
