//! Arbitrary schemes for property tests.

use super::kernel::{
    Action, Bounds, Dest, FailCharge, Filter, FilterType, Goal, GoalMetric, GoalTuner, Quota,
    WatermarkMetric, Watermarks, Weights,
};
use super::scheme::{Age, Frequency, Scheme, Schemes};
use proptest::prelude::*;
use proptest::sample::select;

fn ordered<T: Ord + std::fmt::Debug>(
    value: impl Strategy<Value = T> + Clone,
) -> impl Strategy<Value = (T, T)> {
    (value.clone(), value).prop_map(|(a, b)| if a <= b { (a, b) } else { (b, a) })
}

fn frequencies() -> impl Strategy<Value = Bounds<Frequency>> {
    let percent = ordered(0..=u64::MAX >> 8)
        .prop_map(|(a, b)| Bounds { min: Frequency::Percent(a), max: Frequency::Percent(b) });
    let samples = ordered(0..u64::from(u32::MAX))
        .prop_map(|(a, b)| Bounds { min: Frequency::Samples(a), max: Frequency::Samples(b) });
    (prop_oneof![percent, samples], any::<bool>()).prop_map(|(bounds, open)| {
        if open { Bounds { max: Frequency::Max, ..bounds } } else { bounds }
    })
}

fn ages() -> impl Strategy<Value = Bounds<Age>> {
    let times = ordered(0..=u64::MAX / 1_000)
        .prop_map(|(a, b)| Bounds { min: Age::Micros(a), max: Age::Micros(b) });
    let counts = ordered(0..u64::from(u32::MAX))
        .prop_map(|(a, b)| Bounds { min: Age::Aggregations(a), max: Age::Aggregations(b) });
    (prop_oneof![times, counts], any::<bool>())
        .prop_map(|(bounds, open)| if open { Bounds { max: Age::Max, ..bounds } } else { bounds })
}

fn goal() -> impl Strategy<Value = Goal> {
    (select(GoalMetric::ALL), 1..u64::MAX / 1_000, 0..u64::MAX / 1_000, 0..8, "/[a-z]{1,5}")
        .prop_map(|(metric, target_value, current_value, nid, path)| Goal {
            metric,
            target_value,
            current_value,
            nid: if metric.has_node() { nid } else { 0 },
            path: if metric.has_path() { path } else { String::new() },
        })
}

fn quota() -> impl Strategy<Value = Quota> {
    (
        (0..u64::MAX / 1_000_000, any::<u64>(), 0..u64::MAX / 1_000_000),
        (any::<u32>(), any::<u32>(), any::<u32>()),
        prop::collection::vec(goal(), 0..3),
        select(GoalTuner::ALL),
        (any::<u32>(), any::<u32>()),
    )
        .prop_map(
            |((ms, bytes, reset_interval_ms), weights, goals, goal_tuner, (num, denom))| Quota {
                ms,
                bytes,
                reset_interval_ms,
                weights: Weights { sz: weights.0, nr_accesses: weights.1, age: weights.2 },
                goals,
                goal_tuner,
                fail_charge: FailCharge { num, denom },
            },
        )
}

fn watermarks() -> impl Strategy<Value = Watermarks> {
    (1..=1_000_u32, 0..=1_000_u32, 0..=1_000_u32, 1..u64::MAX / 1_000, any::<bool>()).prop_map(
        |(a, b, c, interval_us, on)| {
            let mut marks = [a, b, c];
            marks.sort_unstable();
            let [low, mid, high] = marks;
            let metric = if on { WatermarkMetric::FreeMemRate } else { WatermarkMetric::None };
            Watermarks { metric, interval_us, high, mid, low }
        },
    )
}

/// Filters of all types.
pub(super) fn filter() -> impl Strategy<Value = Filter> {
    let kind = prop_oneof![
        Just(FilterType::Anon),
        Just(FilterType::Active),
        Just(FilterType::Young),
        Just(FilterType::Unmapped),
        "/[a-z/]{0,9}".prop_map(|path| FilterType::Memcg { path }),
        ordered(any::<u64>()).prop_map(|(min, max)| FilterType::HugepageSize { min, max }),
        (0..u64::MAX, 1..u64::MAX).prop_map(|(start, length)| FilterType::Addr {
            start,
            end: start.saturating_add(length)
        }),
        any::<u32>().prop_map(|index| FilterType::Target { index }),
    ];
    (kind, any::<bool>(), any::<bool>()).prop_map(|(kind, matching, allow)| Filter {
        kind,
        matching,
        allow,
    })
}

fn scheme() -> impl Strategy<Value = Scheme> {
    (
        (select(Action::ALL), 0..8_i32, prop::collection::vec((any::<u32>(), any::<u32>()), 0..3)),
        ordered(any::<u64>()),
        frequencies(),
        ages(),
        (0..u64::MAX / 1_000, any::<u64>()),
        quota(),
        watermarks(),
        prop::collection::vec(filter(), 0..4),
    )
        .prop_map(
            |((action, nid, dests), sz, nr_accesses, age, rest, quota, watermarks, filters)| {
                let dests = dests.into_iter().map(|(id, weight)| Dest { id, weight });
                Scheme {
                    action,
                    sz: Bounds { min: sz.0, max: sz.1 },
                    nr_accesses,
                    age,
                    apply_interval_us: rest.0,
                    quota,
                    watermarks,
                    filters,
                    target_nid: if action.migrates() { nid } else { -1 },
                    dests: if action.migrates() { dests.collect() } else { Vec::new() },
                    max_nr_snapshots: rest.1,
                }
            },
        )
}

/// Lists of schemes that can be written.
pub(super) fn schemes() -> impl Strategy<Value = Schemes> {
    prop::collection::vec(scheme(), 1..4).prop_map(Schemes)
}
