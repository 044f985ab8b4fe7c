use super::*;
use crate::Region;
use crate::damos::kernel::FailCharge;
use crate::damos::rules::NoReadings;
use proptest::prelude::*;

const PAGE: u64 = 4096;
const MS: u64 = 1_000_000;
const SCALE: Scale = Scale {
    sample_us: 5_000,
    aggr_us: 100_000,
    max_nr_accesses: 20,
    granule: PAGE,
    page_size: PAGE,
};
const NEWEST: KernelRules = KernelRules::of(7, 3);

fn opened(quota: Quota, rules: KernelRules) -> Account {
    let mut account = Account::new(quota, rules, &SCALE);
    let _first = account.begin_window(0, &mut NoReadings);
    account
}

fn account(quota: Quota, rules: KernelRules) -> Account {
    Account::new(quota, rules, &SCALE)
}

fn bytes(bytes: u64, reset_interval_ms: u64) -> Quota {
    Quota { bytes, reset_interval_ms, ..Quota::NONE }
}

fn region(start: u64, end: u64) -> Region {
    Region { start, end, nr_accesses: 0, age: 0 }
}

#[test]
fn without_a_quota_everything_goes() {
    let mut account = account(Quota::NONE, NEWEST);
    assert_eq!(account.begin_window(0, &mut NoReadings), Window::None);
    account.charge(u64::MAX, 0, u64::MAX);
    assert!(!account.is_full() && !account.is_limited());
    assert_eq!(account.room(u64::MAX), u64::MAX);
}

#[test]
fn windows_are_as_long_as_said_and_looked_at_only_when_asked() {
    let mut account = account(bytes(2 * PAGE, 1_000), NEWEST);
    let mut at = |ms: u64, charge: u64| {
        let window = account.begin_window(ms * MS, &mut NoReadings);
        account.charge(charge, charge, 0);
        window
    };
    assert_eq!(at(500, PAGE), Window::First);
    assert_eq!(at(1_499, PAGE), Window::Same);
    assert_eq!(at(1_500, PAGE), Window::Next { exceeded: true });
    assert_eq!(at(9_999, 0), Window::Next { exceeded: false });
    assert_eq!(at(10_998, 0), Window::Same);
    assert_eq!(at(10_999, 0), Window::Next { exceeded: false });
    assert_eq!(account.windows(), 3);
}

#[test]
fn the_first_window_by_release() {
    let first = |rules, quota| {
        let mut account = account(quota, rules);
        let window = account.begin_window(7, &mut NoReadings);
        (window, account.is_limited(), account.effective_bytes())
    };
    let (old, hole, new) = (KernelRules::of(6, 12), KernelRules::of(6, 17), NEWEST);
    assert_eq!(first(old, bytes(PAGE, 1_000)), (Window::First, true, PAGE));
    assert_eq!(first(hole, bytes(PAGE, 1_000)), (Window::First, false, 0));
    assert_eq!(first(new, bytes(PAGE, 1_000)), (Window::First, true, PAGE));
    // Endless windows.
    assert_eq!(first(old, bytes(PAGE, u64::MAX)), (Window::None, false, 0));
    assert_eq!(first(hole, bytes(PAGE, u64::MAX)), (Window::First, false, 0));
    assert_eq!(first(new, bytes(PAGE, u64::MAX)), (Window::First, true, PAGE));
    // A window each time: the first one is over at once.
    let next = Window::Next { exceeded: false };
    assert_eq!(first(old, bytes(PAGE, 0)), (Window::First, true, PAGE));
    assert_eq!(first(hole, bytes(PAGE, 0)), (next, true, PAGE));
    assert_eq!(first(new, bytes(PAGE, 0)), (next, true, PAGE));
}

#[test]
fn endless_windows_stay_full() {
    let mut account = opened(bytes(PAGE, u64::from(u32::MAX)), NEWEST);
    account.charge(PAGE, PAGE, 0);
    assert_eq!(account.begin_window(u64::MAX, &mut NoReadings), Window::Same);
    assert!(account.is_full());
    // 2^32 ms and 5 are 5 ms.
    assert_eq!(window_ns((1 << 32) + 5), Some(5 * MS));
}

#[test]
fn time_becomes_bytes_by_the_throughput_so_far() {
    let quota = Quota { ms: 10, reset_interval_ms: 1, ..Quota::NONE };
    let mut account = opened(quota.clone(), NEWEST);
    assert_eq!(account.effective_bytes(), 10 * 1024 * PAGE, "4 MiB/ms before anything is known");
    account.charge(100 * PAGE, 0, 2 * MS);
    let _next = account.begin_window(MS, &mut NoReadings);
    assert_eq!(account.effective_bytes(), 10 * 50 * PAGE, "failed attempts count");
    // The less of time and bytes.
    let both = Quota { bytes: 5 * PAGE, ..quota };
    assert_eq!(opened(both, NEWEST).effective_bytes(), 5 * PAGE);
}

#[test]
fn a_throughput_of_nothing_by_release() {
    let second = |rules| {
        let quota = Quota { ms: 10, reset_interval_ms: 1, ..Quota::NONE };
        let mut account = opened(quota, rules);
        account.charge(1, 1, 100 * MS);
        let _next = account.begin_window(MS, &mut NoReadings);
        (account.effective_bytes(), account.is_limited(), account.is_full())
    };
    assert_eq!(second(NEWEST), (PAGE, true, false));
    assert_eq!(second(KernelRules::of(6, 18)), (0, false, false), "0 limits nothing there");
}

#[test]
fn what_fits_is_cut_to_whole_granules() {
    let mut account = opened(bytes(3 * PAGE + 100, 1_000), KernelRules::of(6, 18));
    assert_eq!(account.room(3 * PAGE), 3 * PAGE);
    assert_eq!(account.room(4 * PAGE), 3 * PAGE);
    account.charge(3 * PAGE, 0, 0);
    assert_eq!(account.room(PAGE), 0);
    assert!(!account.is_full(), "100 bytes are left");
    let mut newer = opened(bytes(3 * PAGE + 100, 1_000), NEWEST);
    newer.charge(3 * PAGE, 0, 0);
    assert!(newer.is_full(), "but nobody can use them");
}

#[test]
fn failed_bytes_cost_what_was_agreed() {
    let charged = |num, denom, applied| {
        let fail_charge = FailCharge { num, denom };
        let mut account = account(Quota { fail_charge, ..bytes(1 << 40, 1_000) }, NEWEST);
        account.charge(1_000 << 20, applied, 0);
        account.charged_bytes()
    };
    assert_eq!(charged(0, 0, 700 << 20), 1_000 << 20);
    assert_eq!(charged(1, 1024, 700 << 20), (700 << 20) + (300 << 10));
    assert_eq!(charged(0, 1, 700 << 20), 700 << 20);
    assert_eq!(charged(1, 1024, 2_000 << 20), 1_000 << 20, "applied to more than asked for");
}

/// Fills the window at `end` of target 1, then asks for the turn of regions.
fn resumed(rules: KernelRules, end: u64) -> Account {
    let rules = KernelRules { first_window: FirstWindow::Limited, ..rules };
    let mut account = opened(bytes(PAGE, 1), rules);
    account.charge(PAGE, PAGE, 0);
    account.stop_at(1, end);
    let _next = account.begin_window(MS, &mut NoReadings);
    account
}

#[test]
fn the_next_window_goes_on_where_the_last_one_stopped() {
    let p = PAGE;
    let mut account = resumed(KernelRules::LINUX_6_12_117, 4 * p);
    assert_eq!(account.turn(0, &region(0, 9 * p), true), Turn::Over, "another target");
    assert_eq!(account.turn(1, &region(0, 2 * p), false), Turn::Over);
    assert_eq!(account.turn(1, &region(2 * p, 6 * p), false), Turn::OverUntil(4 * p));
    assert_eq!(account.turn(1, &region(4 * p, 6 * p), false), Turn::Open);
    assert_eq!(account.turn(2, &region(0, p), true), Turn::Over, "not yet");
    assert_eq!(account.turn(1, &region(6 * p, 7 * p), true), Turn::Open, "the last one");
    assert_eq!(account.turn(2, &region(0, p), true), Turn::Open);
}

#[test]
fn older_kernels_leave_out_the_last_region_and_a_granule() {
    let p = PAGE;
    let mut account = resumed(KernelRules::of(7, 0), 4 * p);
    // Right parts take the turn at once there.
    assert_eq!(account.turn(1, &region(2 * p, 6 * p), false), Turn::OverUntil(4 * p));
    assert_eq!(account.turn(1, &region(6 * p, 7 * p), true), Turn::Open);
    let mut account = resumed(KernelRules::of(7, 0), 4 * p);
    assert_eq!(account.turn(1, &region(4 * p, 5 * p), false), Turn::Over, "one byte past the end");
    assert_eq!(account.turn(1, &region(5 * p, 9 * p), true), Turn::Over, "the last one");
    assert_eq!(account.turn(1, &region(0, p), false), Turn::Open);
    let mut account = resumed(KernelRules::of(7, 2), 4 * p);
    assert_eq!(account.turn(1, &region(4 * p, 5 * p), false), Turn::Open);
    assert_eq!(account.turn(2, &region(0, p), false), Turn::Open, "forgotten once it was reached");
}

#[test]
fn a_target_that_is_gone_holds_nobody_up() {
    let mut account = resumed(NEWEST, 4 * PAGE);
    account.forget_target(0);
    assert_eq!(account.turn(0, &region(0, PAGE), true), Turn::Over);
    account.forget_target(1);
    assert_eq!(account.turn(0, &region(0, PAGE), true), Turn::Open);
}

proptest! {
    #[test]
    fn a_window_never_charges_more_than_it_may(
        limit in 1..1_u64 << 20, sizes in prop::collection::vec(1..64_u64, 0..20),
        minor in 0..=3_u32,
    ) {
        let mut account = opened(bytes(limit, 1_000), KernelRules::of(7, minor));
        for size in sizes {
            if account.is_full() {
                break;
            }
            let room = account.room(size * PAGE);
            prop_assert_eq!(room % PAGE, 0);
            account.charge(room, 0, 0);
        }
        prop_assert!(account.charged_bytes() <= limit);
    }

    #[test]
    fn turns_split_strictly_inside(start in 0..64_u64, pages in 1..64_u64, stop in 0..200_u64) {
        let mut account = resumed(NEWEST, stop * PAGE / 2);
        let region = region(start * PAGE, (start + pages) * PAGE);
        if let Turn::OverUntil(address) = account.turn(1, &region, false) {
            prop_assert!(address > region.start && address < region.end);
            prop_assert_eq!(address % PAGE, 0);
        }
    }
}
