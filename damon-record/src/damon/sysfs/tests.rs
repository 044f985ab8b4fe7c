//! Against the fake: what is written where, and what kernels lack.

use super::*;
use crate::damon::fake::{Fake, Fault};
use crate::monitor::AddressRange;
use damon_format::Attrs;
use damon_format::damos::kernel::{
    Action, Bounds, Dest, Filter, FilterType, Goal, GoalMetric, GoalTuner, Scheme, WatermarkMetric,
    Watermarks,
};
use nix::errno::Errno;
use proptest::prelude::*;

const ATTRS: Attrs = Attrs {
    sample_us: 4000,
    aggr_us: 80_000,
    update_us: 1_000_000,
    min_nr_regions: 11,
    max_nr_regions: 900,
};

fn wanted() -> Wanted {
    let regions = vec![
        AddressRange { start: 0x1000, end: 0x9000 },
        AddressRange { start: 0x9000, end: 0xa000 },
    ];
    Wanted {
        operations: Operations::Vaddr,
        attrs: ATTRS,
        goal: None,
        targets: vec![Target { pid: Some(5), regions }, Target::process(6)],
        schemes: Vec::new(),
    }
}

/// A fake with one empty context, whose files come along.
fn context(release: (u32, u32)) -> (Fake, Context) {
    let fake = Fake::new(release);
    fake.with(|kernel| {
        kernel.elsewhere("kdamonds/nr_kdamonds", "1").unwrap();
        kernel.elsewhere("kdamonds/0/contexts/nr_contexts", "1").unwrap();
    })
    .unwrap();
    let kdamond = Admin::new(fake.tree()).kdamond(0).unwrap();
    let context = kdamond.context().unwrap().unwrap();
    (fake, context)
}

fn execute(release: (u32, u32), wanted: &Wanted) -> Result<Fake, TreeError> {
    let (fake, context) = context(release);
    wanted.plan().execute(context.tree())?;
    Ok(fake)
}

fn with_scheme(change: impl FnOnce(&mut Scheme)) -> Wanted {
    let mut scheme = Scheme::new(Action::Stat);
    change(&mut scheme);
    Wanted { schemes: vec![scheme], ..wanted() }
}

fn filter(kind: FilterType) -> Filter {
    Filter { kind, matching: true, allow: false }
}

/// Uses everything there is.
fn everything() -> Wanted {
    let goal = |metric| Goal {
        metric,
        target_value: 7,
        current_value: 0,
        nid: 1,
        path: if metric.has_path() { "/a".into() } else { String::new() },
    };
    let mut wanted = with_scheme(|scheme| {
        scheme.action = Action::MigrateHot;
        scheme.sz = Bounds { min: 4096, max: u64::MAX };
        scheme.nr_accesses = Bounds { min: 1, max: u32::MAX };
        scheme.age = Bounds { min: 2, max: 9 };
        scheme.apply_interval_us = 500_000;
        scheme.quota.ms = 10;
        scheme.quota.bytes = 1 << 30;
        scheme.quota.reset_interval_ms = 1000;
        scheme.quota.weights.nr_accesses = 3;
        scheme.quota.goals = GoalMetric::ALL
            .iter()
            .filter(|metric| **metric != GoalMetric::NodeEligibleMemBp)
            .map(|metric| goal(*metric))
            .collect();
        scheme.quota.goal_tuner = GoalTuner::Temporal;
        scheme.quota.fail_charge.num = 1;
        scheme.quota.fail_charge.denom = 2;
        scheme.watermarks = Watermarks {
            metric: WatermarkMetric::FreeMemRate,
            interval_us: 5,
            high: 500,
            mid: 400,
            low: 200,
        };
        scheme.filters = vec![
            filter(FilterType::Anon),
            filter(FilterType::Addr { start: 4096, end: 8192 }),
            Filter { kind: FilterType::Memcg { path: "/b".into() }, matching: false, allow: true },
            filter(FilterType::Target { index: 1 }),
            filter(FilterType::HugepageSize { min: 1, max: 2 }),
        ];
        scheme.target_nid = 1;
        scheme.dests = vec![Dest { id: 0, weight: 3 }, Dest { id: 1, weight: 1 }];
        scheme.max_nr_snapshots = 8;
    });
    wanted.goal =
        Some(IntervalsGoal { access_bp: 400, aggrs: 3, min_sample_us: 100, max_sample_us: 9000 });
    wanted
}

#[test]
fn a_context_reads_as_it_was_written() {
    let (_fake, context) = context((6, 12));
    wanted().plan().execute(context.tree()).unwrap();
    assert_eq!(context.attrs().unwrap(), ATTRS);
    assert_eq!(context.operations().unwrap(), "vaddr");
    assert_eq!(context.avail_operations().unwrap().unwrap(), ["vaddr", "fvaddr", "paddr"]);
    assert_eq!(context.target_pids().unwrap(), [5, 6]);
    assert_eq!(context.addr_unit().unwrap(), 1);
    assert_eq!(context.intervals_goal().unwrap(), None);
    assert_eq!(context.tree().children("targets/0/regions"), 2);
    assert_eq!(context.tree().read("targets/0/regions/1/end").unwrap(), "40960");
}

#[test]
fn the_oldest_interface_will_do_for_the_plain_things() {
    let scheme = with_scheme(|scheme| scheme.action = Action::Pageout);
    let (fake, context) = context((5, 18));
    scheme.plan().execute(context.tree()).unwrap();
    assert_eq!(context.avail_operations().unwrap(), None);
    let stats = context.scheme(0).unwrap();
    assert_eq!(stats.stats().unwrap(), SchemeStats::default());
    assert_eq!((stats.effective_bytes().unwrap(), stats.tried_bytes().unwrap()), (None, None));
    assert!(fake.with(|kernel| kernel.log.iter().all(|write| write.errno.is_none())).unwrap());
}

/// One truth: the plan shown is what is written, no more and no less.
#[test]
fn what_is_shown_is_what_is_written() {
    for release in [(6, 12), (6, 15), (7, 2)] {
        let wanted = if release == (7, 2) {
            everything()
        } else {
            with_scheme(|scheme| {
                scheme.filters = vec![
                    filter(FilterType::Anon),
                    filter(FilterType::Addr { start: 0, end: 4096 }),
                ];
            })
        };
        let fake = execute(release, &wanted).unwrap();
        let newer = release >= (6, 15);
        let shown: Vec<(String, String)> = wanted
            .plan()
            .listing(&Tree::at("/R"))
            .into_iter()
            .filter(|step| step.condition.as_ref().is_none_or(|c| c.contains("not") != newer))
            .map(|step| (step.path.display().to_string(), step.value))
            .collect();
        let (first, last) = (&shown[..2], &shown[shown.len() - 1]);
        assert_eq!(first[0], ("/R/kdamonds/nr_kdamonds".to_owned(), "1".to_owned()));
        assert_eq!(first[1], ("/R/kdamonds/0/contexts/nr_contexts".to_owned(), "1".to_owned()));
        assert_eq!(*last, ("/R/kdamonds/0/state".to_owned(), "on".to_owned()));
        let written: Vec<(String, String)> = fake
            .with(|kernel| kernel.log.clone())
            .unwrap()
            .into_iter()
            .map(|write| (format!("/R/{}", write.path), write.value))
            .collect();
        assert_eq!(shown[2..shown.len() - 1], written, "{release:?}");
        let listing = fake.with(|kernel| kernel.listing()).unwrap();
        for (path, value) in written.iter().filter(|(path, _)| !path.contains("/nr_")) {
            assert_eq!(listing.get(path.trim_start_matches("/R/")), Some(value), "{path}");
        }
    }
}

#[test]
fn filters_go_where_the_kernel_takes_them_in_order() {
    let wanted = with_scheme(|scheme| {
        scheme.filters = vec![
            filter(FilterType::Anon),
            filter(FilterType::Target { index: 1 }),
            filter(FilterType::Young),
        ];
    });
    let types = |release, dir: &str| {
        let listing = execute(release, &wanted).unwrap().with(|kernel| kernel.listing()).unwrap();
        let dir = format!("kdamonds/0/contexts/0/schemes/0/{dir}");
        let count: usize = listing[&format!("{dir}/nr_filters")].parse().unwrap();
        (0..count).map(|index| listing[&format!("{dir}/{index}/type")].clone()).collect::<Vec<_>>()
    };
    assert_eq!(types((6, 12), "filters"), ["anon", "target", "young"]);
    assert_eq!(types((6, 15), "filters"), [""; 0]);
    assert_eq!(types((6, 15), "core_filters"), ["target"]);
    assert_eq!(types((6, 15), "ops_filters"), ["anon", "young"]);
}

#[test]
fn what_a_kernel_lacks_is_refused_by_name() {
    type Change = fn(&mut Scheme);
    let goal =
        |metric| Goal { metric, target_value: 1, current_value: 0, nid: 0, path: String::new() };
    let cases: [((u32, u32), Change, &str, &str); 16] = [
        ((5, 18), |s| s.action = Action::LruPrio, "action lru_prio", "Linux 6.0"),
        ((6, 10), |s| s.action = Action::MigrateCold, "action migrate_cold", "Linux 6.11"),
        ((7, 1), |s| s.action = Action::Collapse, "action collapse", "Linux 7.2"),
        ((6, 2), |s| s.filters = vec![filter(FilterType::Anon)], "filters", "Linux 6.3"),
        (
            (6, 5),
            |s| s.filters = vec![filter(FilterType::Target { index: 0 })],
            "target",
            "Linux 6.6",
        ),
        ((6, 9), |s| s.filters = vec![filter(FilterType::Young)], "young", "Linux 6.10"),
        ((6, 14), |s| s.filters = vec![filter(FilterType::Active)], "active", "Linux 6.15"),
        (
            (6, 12),
            |s| {
                s.filters = vec![Filter { kind: FilterType::Anon, matching: true, allow: true }];
            },
            "let pass",
            "Linux 6.14",
        ),
        ((6, 6), |s| s.apply_interval_us = 1, "apply intervals", "Linux 6.7"),
        ((6, 10), |s| s.target_nid = 0, "destination nodes", "Linux 6.11"),
        ((6, 16), |s| s.dests = vec![Dest { id: 0, weight: 1 }], "destinations", "Linux 6.17"),
        ((6, 19), |s| s.max_nr_snapshots = 1, "snapshots", "Linux 7.0"),
        ((7, 0), |s| s.quota.goal_tuner = GoalTuner::Temporal, "temporal", "Linux 7.1"),
        ((7, 1), |s| s.quota.fail_charge.denom = 1, "failed attempts", "Linux 7.2"),
        ((6, 7), |s| s.quota.goals.truncate(1), "quota goals", "Linux 6.8"),
        ((6, 15), |s| s.quota.goals.truncate(2), "node_mem_used_bp", "Linux 6.16"),
    ];
    for (release, change, what, since) in cases {
        let wanted = with_scheme(|scheme| {
            scheme.quota.goals = Vec::new();
            if what == "quota goals" || what == "node_mem_used_bp" {
                scheme.quota.goals =
                    vec![goal(GoalMetric::UserInput), goal(GoalMetric::NodeMemUsedBp)];
            }
            change(scheme);
        });
        let text = execute(release, &wanted).unwrap_err().to_string();
        assert!(text.starts_with("this kernel has no "), "{text}");
        for part in [what, since, "/kdamonds/0/contexts/0/schemes/0/"] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
    let tuned = Wanted { goal: everything().goal, ..wanted() };
    let text = execute((6, 12), &tuned).unwrap_err().to_string();
    assert!(text.contains("tuning of intervals") && text.contains("Linux 6.15"), "{text}");
    execute((6, 15), &tuned).unwrap();
}

#[test]
fn a_kernel_that_accepts_and_does_nothing_is_found_out() {
    let (fake, context) = context((6, 12));
    let fault = Fault::Ignore { ends: "nr_regions/max".into() };
    fake.with(|kernel| kernel.faults.push(fault)).unwrap();
    let text = wanted().plan().execute(context.tree()).unwrap_err().to_string();
    for part in ["900", "1000", "/monitoring_attrs/nr_regions/max", "doctor"] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn a_busy_kernel_is_asked_again_for_a_while() {
    let (fake, _) = context((6, 12));
    let kdamond = Admin::new(fake.tree()).kdamond(0).unwrap();
    fake.with(|kernel| kernel.busy = 6).unwrap();
    assert_eq!(kdamond.state().unwrap(), State::Off);
    fake.with(|kernel| kernel.busy = 4).unwrap();
    kdamond.tree().set(Kdamond::CONTEXTS, "1").unwrap();
    assert_eq!(fake.with(|kernel| kernel.log.len()).unwrap(), 5);

    fake.with(|kernel| kernel.busy = u32::MAX).unwrap();
    let error = kdamond.tid().unwrap_err();
    assert_eq!(error.errno(), Some(Errno::EBUSY));
    assert!(error.to_string().contains("kdamonds/0/pid"), "{error}");
}

#[test]
fn the_systems_refusal_names_path_value_and_next_step() {
    for (errno, words) in [
        (Errno::EACCES, &["Permission denied", "root", "sudo"][..]),
        (Errno::EPERM, &["Operation not permitted", "lockdown", "doctor"]),
        (Errno::EROFS, &["read-only", "container"]),
        (Errno::EINVAL, &["Invalid argument"]),
    ] {
        let (fake, context) = context((6, 12));
        let fault = Fault::Write { ends: "nr_regions/min".into(), errno: errno as i32, times: 1 };
        fake.with(|kernel| kernel.faults.push(fault)).unwrap();
        let error = wanted().plan().execute(context.tree()).unwrap_err();
        assert_eq!(error.is_denied(), errno != Errno::EINVAL);
        let text = error.to_string();
        for part in words.iter().chain(&["cannot write 11 to ", "/nr_regions/min"]) {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}

#[test]
fn texts_that_no_kernel_writes_are_refused() {
    let (fake, context) = context((6, 12));
    let kdamond = Admin::new(fake.tree()).kdamond(0).unwrap();
    context.tree().number::<u32>("operations").unwrap_err();
    let error = context.tree().number::<u8>("monitoring_attrs/nr_regions/max").unwrap_err();
    assert!(matches!(&error, TreeError::Malformed { text, .. } if text == "1000"), "{error}");
    assert!(!error.is_gone() && !error.is_denied());
    fake.with(|kernel| kernel.elsewhere("kdamonds/nr_kdamonds", "1").unwrap()).unwrap();
    assert!(kdamond.state().unwrap_err().is_gone(), "another directory of the same name");
    assert!(Admin::new(fake.tree()).kdamond(1).unwrap_err().is_gone());
}

#[test]
fn contradictions_are_refused_before_anything_is_written() {
    let range = |start, end| AddressRange { start, end };
    let attrs = |change: fn(&mut Attrs)| {
        let mut wanted = wanted();
        change(&mut wanted.attrs);
        wanted
    };
    let target = |operations, targets: Vec<Target>| Wanted { operations, targets, ..wanted() };
    let of = |pid, regions: &[AddressRange]| Target { pid, regions: regions.to_vec() };
    let one = [range(0x1000, 0x2000)];
    let goal = |min_sample_us, max_sample_us| {
        let goal = IntervalsGoal { access_bp: 400, aggrs: 3, min_sample_us, max_sample_us };
        Wanted { goal: Some(goal), ..wanted() }
    };
    for (wanted, words) in [
        (attrs(|attrs| attrs.min_nr_regions = 2), "at least 3"),
        (attrs(|attrs| attrs.min_nr_regions = 901), "above the maximum"),
        (attrs(|attrs| attrs.sample_us = 80_001), "longer than the aggregation interval"),
        (goal(5000, 9000), "within 5000 us and 9000 us"),
        (goal(9000, 100), "within 9000 us and 100 us"),
        (target(Operations::Vaddr, vec![]), "no target"),
        (target(Operations::Vaddr, vec![of(None, &one)]), "names no process"),
        (target(Operations::Fvaddr, vec![of(Some(1), &[])]), "--regions"),
        (target(Operations::Paddr, vec![of(None, &[])]), "paddr does not find any"),
        (target(Operations::Paddr, vec![of(None, &one), of(None, &one)]), "one physical"),
        (
            target(
                Operations::Fvaddr,
                vec![of(Some(1), &[range(0x1000, 0x3000), range(0x2000, 0x4000)])],
            ),
            "target 0: range 1 begins at 0x2000",
        ),
        (target(Operations::Vaddr, vec![of(Some(1), &[range(5, 5)])]), "empty or reversed"),
    ] {
        let text = wanted.check(4096).unwrap_err().to_string();
        assert!(text.contains(words), "{words} in {text}");
    }
    let fine = [
        goal(4000, 4000),
        target(Operations::Paddr, vec![of(None, &one)]),
        target(Operations::Fvaddr, vec![of(Some(1), &one)]),
        wanted(),
        everything(),
    ];
    for wanted in fine {
        assert_eq!(wanted.check(4096), Ok(()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Values arrive unchanged, whatever they are.
    #[test]
    fn any_attributes_and_targets_survive_the_way(
        sample_us: u64, aggr_us: u64, update_us: u64, min: u32, max: u32,
        pids in prop::collection::vec(1..i32::MAX.unsigned_abs(), 0..5),
        bounds in prop::collection::vec((any::<u64>(), any::<u64>()), 0..5),
    ) {
        let attrs = Attrs { sample_us, aggr_us, update_us, min_nr_regions: min, max_nr_regions: max };
        let regions: Vec<AddressRange> =
            bounds.iter().map(|(start, end)| AddressRange { start: *start, end: *end }).collect();
        let targets: Vec<Target> =
            pids.iter().map(|pid| Target { pid: Some(*pid), regions: regions.clone() }).collect();
        let (_fake, context) = context((6, 12));
        Wanted { attrs, targets, ..wanted() }.plan().execute(context.tree()).unwrap();
        prop_assert_eq!(context.attrs().unwrap(), attrs);
        let read: Vec<u32> =
            context.target_pids().unwrap().into_iter().map(i32::unsigned_abs).collect();
        prop_assert_eq!(&read, &pids);
        for target in 0..pids.len() {
            for (index, range) in regions.iter().enumerate() {
                let dir = format!("targets/{target}/regions/{index}");
                prop_assert_eq!(context.tree().number::<u64>(&format!("{dir}/start")).unwrap(), range.start);
                prop_assert_eq!(context.tree().number::<u64>(&format!("{dir}/end")).unwrap(), range.end);
            }
        }
    }
}
