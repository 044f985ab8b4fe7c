//! Schemes that nothing limits.

use super::*;

proptest! {
    /// A filter that lets everything pass changes nothing but the way regions are walked.
    #[test]
    fn what_nothing_limits_is_done_as_everything_is(
        moments in prop::collection::vec(prop::collection::vec(
            (1_u64..5, 0_u64..2, 0_u32..=20, 0_u32..6), 0..12), 1..6),
        bounds in prop::collection::vec((0_u32..=20, 0_u32..6, 1_u64..4), 1..4),
        failing in 0_u64..2 * PAGE,
        newest in any::<bool>(),
    ) {
        let rules = if newest { NEWEST } else { KernelRules::of(5, 16) };
        let schemes = |filtered: bool| {
            let actions = [Action::Pageout, Action::Stat, Action::Willneed];
            let of = |(bounds, action): (&(u32, u32, u64), Action)| {
                let mut scheme = Scheme::new(action);
                scheme.nr_accesses = Bounds { min: 0, max: bounds.0 };
                scheme.age = Bounds { min: bounds.1, max: bounds.1 + 2 };
                scheme.sz = Bounds { min: bounds.2 * PAGE, max: u64::MAX };
                let kind = FilterType::Addr { start: 1 << 50, end: 1 << 51 };
                let filter = Filter { kind, matching: true, allow: false };
                scheme.filters.extend(filtered.then_some(filter));
                scheme
            };
            bounds.iter().zip(actions).map(of).collect::<Vec<_>>()
        };
        let mut both = [false, true].map(|filtered| {
            (operation(schemes(filtered), rules), Diary { failing, ..Diary::default() })
        });
        for (passed, moment) in (1..).zip(&moments) {
            let mut at = 0;
            let regions: Vec<Region> = moment.iter().map(|(size, gap, nr, age)| {
                let start = at + gap;
                at = start + size;
                region(start, at, *nr, *age)
            }).collect();
            let left = both.each_mut().map(|(operation, diary)| {
                let mut targets = [target(1, &regions), target(2, &regions[..regions.len() / 2])];
                let ran = operation.run(passed * AGGR, passed * SECOND, &mut targets, diary);
                (ran, targets)
            });
            prop_assert_eq!(&left[0], &left[1]);
        }
        let [(simple, first), (walked, second)] = both;
        prop_assert_eq!(first.attempts, second.attempts);
        for (one, other) in simple.schemes().iter().zip(walked.schemes()) {
            prop_assert_eq!(one.stats(), other.stats());
            prop_assert_eq!(one.account(), other.account());
        }
    }
}
