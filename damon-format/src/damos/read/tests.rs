use super::*;
use crate::damos::kernel::{
    Action, Bounds, Dest, FailCharge, Filter, FilterType, Goal, GoalMetric, GoalTuner, Quota,
    WatermarkMetric, Watermarks, Weights,
};
use crate::damos::scheme::{Age, Frequency};
use proptest::prelude::*;
use serde_json::json;

fn one(value: &Value) -> Scheme {
    let schemes = Schemes::from_value(&json!([value])).unwrap();
    schemes.as_slice()[0].clone()
}

fn error(value: &Value) -> String {
    Schemes::from_value(value).unwrap_err().to_string()
}

#[test]
fn missing_members_do_not_restrict() {
    assert_eq!(one(&json!({})), Scheme::new(Action::Stat));
    let cold = json!({"action": "cold", "access_pattern": {}, "quotas": {}, "watermarks": {}});
    assert_eq!(one(&cold), Scheme::new(Action::Cold));
    let nulls = json!({"action": "cold", "quotas": null, "filters": [], "target_nid": null});
    assert_eq!(one(&nulls), Scheme::new(Action::Cold));
}

#[test]
fn the_usual_scheme() {
    let scheme = one(&json!({
        "action": "pageout",
        "access_pattern": {"age": {"min": "2 m"}, "nr_accesses": {"max": "0 %"}},
    }));
    assert_eq!(scheme.action, Action::Pageout);
    assert_eq!(scheme.sz, Bounds::<u64>::ALL);
    assert_eq!(scheme.age, Bounds { min: Age::Micros(120_000_000), max: Age::Max });
    let never = Frequency::percent(0);
    assert_eq!(scheme.nr_accesses, Bounds { min: never, max: never });
}

#[test]
fn every_member() {
    let scheme = one(&json!({
        "action": "migrate_cold",
        "dests": [{"id": 1, "weight": 10}, {"id": "2"}],
        "target_nid": -1,
        "access_pattern": {
            "sz_bytes": {"min": "4 KiB", "max": "1.5 G"},
            "nr_accesses": {"min": "1 samples", "max": "5 samples"},
            "age": {"min": "5 aggr_intervals", "max": "1,000 aggr_intervals"},
        },
        "apply_interval_us": "1 s",
        "quotas": {
            "time_ms": 10, "sz_bytes": "128 MiB", "reset_interval_ms": "1 s",
            "fail_charge_num": "1", "fail_charge_denom": 1024,
            "goal_tuner": "temporal", "effective_sz_bytes": "0 B",
            "weights": {"sz_permil": "10", "nr_accesses_permil": "20 %", "age_permil": 300},
            "goals": [
                {"metric": "user_input", "target_value": "10,000", "current_value": 5},
                {"metric": "some_mem_psi_us", "target_value": "1 ms", "complement": false},
                {"metric": "node_memcg_used_bp", "target_value": "99.5 %", "nid": "1", "memcg_path": "/a"},
            ],
        },
        "watermarks": {
            "metric": "free_mem_rate", "interval_us": "5 s",
            "high_permil": "50 %", "mid_permil": 400, "low_permil": "200",
        },
        "filters": [
            {"filter_type": "anon", "matching": true, "allow": false},
            {"filter_type": "addr", "matching": false, "address_range": {"start": "0x1000", "end": "8,192"}},
            {"type": "memcg", "memcg_path": "/b", "filter_pass": true},
            {"filter_type": "target", "damon_target_idx": "1"},
            {"filter_type": "hugepage_size", "hugepage_size": ["2 MiB", "max"]},
        ],
        "max_nr_snapshots": "7",
        "stats": {"max_nr_snapshots": 8, "nr_tried": 3}, "tried_regions": [],
    }));
    let goal = |metric, target_value, current_value, nid, path: &str| Goal {
        metric,
        target_value,
        current_value,
        nid,
        path: path.to_owned(),
    };
    let filter = |kind, matching, allow| Filter { kind, matching, allow };
    let expected = Scheme {
        action: Action::MigrateCold,
        sz: Bounds { min: 4096, max: 3 << 29 },
        nr_accesses: Bounds { min: Frequency::Samples(1), max: Frequency::Samples(5) },
        age: Bounds { min: Age::Aggregations(5), max: Age::Aggregations(1_000) },
        apply_interval_us: 1_000_000,
        quota: Quota {
            ms: 10,
            bytes: 128 << 20,
            reset_interval_ms: 1_000,
            weights: Weights { sz: 10, nr_accesses: 200, age: 300 },
            goals: vec![
                goal(GoalMetric::UserInput, 10_000, 5, 0, ""),
                goal(GoalMetric::SomeMemPsiUs, 1_000, 0, 0, ""),
                goal(GoalMetric::NodeMemcgUsedBp, 9_950, 0, 1, "/a"),
            ],
            goal_tuner: GoalTuner::Temporal,
            fail_charge: FailCharge { num: 1, denom: 1024 },
        },
        watermarks: Watermarks {
            metric: WatermarkMetric::FreeMemRate,
            interval_us: 5_000_000,
            high: 500,
            mid: 400,
            low: 200,
        },
        filters: vec![
            filter(FilterType::Anon, true, false),
            filter(FilterType::Addr { start: 4096, end: 8192 }, false, false),
            filter(FilterType::Memcg { path: "/b".into() }, true, true),
            filter(FilterType::Target { index: 1 }, true, false),
            filter(FilterType::HugepageSize { min: 2 << 20, max: u64::MAX }, true, false),
        ],
        target_nid: -1,
        dests: vec![Dest { id: 1, weight: 10 }, Dest { id: 2, weight: 1 }],
        max_nr_snapshots: 7,
    };
    assert_eq!(scheme, expected);
}

#[test]
fn all_shapes_hold_the_same_schemes() {
    let list = json!([{"action": "cold"}, {"action": "stat"}]);
    let expected = Schemes::from_value(&list).unwrap();
    let context = json!({"ops": "vaddr", "targets": [], "schemes": list});
    let kdamond = json!({"state": "on", "pid": 7, "contexts": [context]});
    let idle = json!({"state": "off", "contexts": [{"schemes": []}, {}]});
    for shape in [
        json!({"schemes": list}),
        json!({"kdamonds": [idle, kdamond]}),
        json!([kdamond]),
        json!([idle, kdamond]),
        kdamond.clone(),
    ] {
        assert_eq!(Schemes::from_value(&shape).as_ref(), Ok(&expected), "{shape}");
    }
    let twice = json!({"kdamonds": [kdamond, kdamond]});
    assert!(error(&twice).starts_with("kdamonds[1].contexts[0].schemes: a second context"));
    assert_eq!(error(&json!([idle])), "kdamonds: no context has schemes");
    let bad = json!({"contexts": [{"schemes": [{"action": "col"}]}]});
    assert_eq!(
        error(&bad),
        "contexts[0].schemes[0].action: \"col\" is no action; did you mean cold?"
    );
}

#[test]
fn what_is_no_list_of_schemes() {
    assert_eq!(error(&json!([])), "schemes: the list of schemes is empty");
    assert_eq!(error(&json!({"schemes": []})), "schemes: the list of schemes is empty");
    assert!(error(&json!({"action": "cold"})).contains("brackets"));
    assert!(error(&json!({"schemes": [{}], "action": "cold"})).starts_with("action: unknown"));
    assert!(error(&json!(3)).starts_with("expected a list of schemes"));
    assert!(error(&json!({"schemes": 3})).starts_with("schemes: expected a list, found a number"));
    assert!(Schemes::from_json(" ").unwrap_err().to_string().contains("empty"));
    let torn = Schemes::from_json("[{\"action\": ").unwrap_err().to_string();
    assert!(torn.contains("not JSON") && torn.contains("line 1"), "{torn}");
}

#[test]
fn errors_name_the_place_and_what_is_accepted() {
    for (scheme, expected) in [
        (
            json!({"access_pattern": {"nr_acceses": {}}}),
            "schemes[0].access_pattern.nr_acceses: unknown; did you mean nr_accesses?",
        ),
        (json!({"actoin": 1}), "schemes[0].actoin: unknown; did you mean action?"),
        (json!({"action": 1}), "schemes[0].action: expected a text, found a number"),
        (
            json!({"action": "frobnicate"}),
            "schemes[0].action: \"frobnicate\" is no action; known are willneed, cold,",
        ),
        (
            json!({"access_pattern": {"sz_bytes": ["4 K", "max"]}}),
            "schemes[0].access_pattern.sz_bytes: expected an object, found a list",
        ),
        (
            json!({"access_pattern": {"age": {"min": "2 minutes"}}}),
            "schemes[0].access_pattern.age.min: \"2 minutes\" is not an age: write a time",
        ),
        (
            json!({"access_pattern": {"nr_accesses": {"min": true}}}),
            "schemes[0].access_pattern.nr_accesses.min: expected a number or a text, found true",
        ),
        (
            json!({"access_pattern": {"nr_accesses": {"min": "5 %", "max": "4 %"}}}),
            "schemes[0].access_pattern.nr_accesses: min is greater than max",
        ),
        (
            json!({"access_pattern": {"nr_accesses": {"min": "max", "max": "4 %"}}}),
            "schemes[0].access_pattern.nr_accesses: min is greater than max",
        ),
        (
            json!({"access_pattern": {"age": {"min": "1 s", "max": "7 aggr_intervals"}}}),
            "schemes[0].access_pattern.age: min and max are in different units",
        ),
        (
            json!({"access_pattern": {"sz_bytes": {"min": 2, "max": 1}}}),
            "schemes[0].access_pattern.sz_bytes: min is greater than max",
        ),
        (
            json!({"access_pattern": {"sz": {}, "sz_bytes": {}}}),
            "schemes[0].access_pattern.sz: is the old name of sz_bytes: keep one",
        ),
        (json!({"quotas": {"sz_bytes": "1 G"}}), "schemes[0].quotas.reset_interval_ms: is missing"),
        (
            json!({"quotas": {"reset_interval_ms": 1, "goals": [{"metric": "user_input"}]}}),
            "schemes[0].quotas.goals[0].target_value: is missing or 0",
        ),
        (
            json!({"quotas": {"goals": [{"metric": "node_mem_used_bp", "target_value": "5 %"}]}}),
            "schemes[0].quotas.goals[0].nid: is missing",
        ),
        (
            json!({"quotas": {"goals": [{"complement": true, "target_value": 5}]}}),
            "schemes[0].quotas.goals[0].complement: is not supported",
        ),
        (
            json!({"quotas": {"weights": {"age_permil": 5_000_000_000_u64}}}),
            "schemes[0].quotas.weights.age_permil: is too large",
        ),
        (
            json!({"watermarks": {"metric": "free_mem_rate", "high_permil": 1, "mid_permil": 2}}),
            "schemes[0].watermarks: the marks are out of order",
        ),
        (
            json!({"watermarks": {"metric": "free_mem_rate", "high_permil": "50 %"}}),
            "schemes[0].watermarks.interval_us: is missing or 0",
        ),
        (json!({"action": "migrate_hot"}), "schemes[0].target_nid: migrate_hot needs a NUMA node"),
        (json!({"dests": [{"id": 1}]}), "schemes[0].dests: stat has no destination"),
        (
            json!({"action": "migrate_hot", "dests": [{"weight": 1}]}),
            "schemes[0].dests[0]: id is missing",
        ),
        (json!({"filters": [{}]}), "schemes[0].filters[0]: filter_type is missing: one of anon"),
        (
            json!({"filters": [{"filter_type": "anom"}]}),
            "schemes[0].filters[0].filter_type: \"anom\" is no filter type; did you mean anon?",
        ),
        (
            json!({"filters": [{"filter_type": "addr", "address_range": {"start": 2, "end": 2}}]}),
            "schemes[0].filters[0].address_range: the end must lie above",
        ),
        (
            json!({"filters": [{"filter_type": "memcg"}]}),
            "schemes[0].filters[0].memcg_path: is missing",
        ),
        (
            json!({"filters": [{"filter_type": "anon", "allow": true, "filter_pass": true}]}),
            "schemes[0].filters[0].filter_pass: is the old name of allow: keep one",
        ),
    ] {
        let found = error(&json!([scheme]));
        assert!(found.starts_with(expected), "{found}\n{expected}");
    }
}

#[test]
fn zero_goes_with_every_unit() {
    let age = |bounds| one(&json!({"access_pattern": {"age": bounds}})).age;
    assert_eq!(
        age(json!({"max": "7 aggr_intervals"})),
        Bounds { min: Age::Aggregations(0), max: Age::Aggregations(7) }
    );
    let nr = |bounds| one(&json!({"access_pattern": {"nr_accesses": bounds}})).nr_accesses;
    assert_eq!(
        nr(json!({"max": "0 samples"})),
        Bounds { min: Frequency::Samples(0), max: Frequency::Samples(0) }
    );
    assert_eq!(
        nr(json!({"min": "0 samples", "max": "3 %"})),
        Bounds { min: Frequency::percent(0), max: Frequency::percent(3) }
    );
}

#[test]
fn filters_of_the_core_come_first_wherever_they_stand() {
    let scheme = one(&json!({
        "filters": [{"filter_type": "young"}],
        "ops_filters": [{"filter_type": "anon"}],
        "core_filters": [{"filter_type": "target", "damon_target_idx": 0}],
    }));
    let words: Vec<&str> = scheme.filters.iter().map(|filter| filter.kind.keyword()).collect();
    assert_eq!(words, ["target", "anon", "young"]);
}

#[test]
fn the_documentation_is_right() {
    let text = include_str!("../../../../docs/SCHEMES.md");
    let blocks: Vec<&str> =
        text.split("```json").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(!blocks.is_empty());
    for block in blocks {
        Schemes::from_json(block).unwrap();
    }
    for word in Action::ALL.iter().map(|action| action.keyword()) {
        assert!(text.contains(&format!("`{word}`")), "{word} is not explained");
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[0-9a-z %.,]{0,8}".prop_map(Value::from),
        Just(Value::from("max")),
    ];
    let key = prop_oneof![
        Just("schemes"),
        Just("action"),
        Just("access_pattern"),
        Just("age"),
        Just("nr_accesses"),
        Just("min"),
        Just("quotas"),
        Just("goals"),
        Just("filters"),
        Just("filter_type"),
        Just("address_range"),
        Just("contexts"),
        Just("kdamonds"),
        Just("dests"),
    ];
    leaf.prop_recursive(6, 40, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..4).prop_map(|members| {
                members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<Value>()
            }),
        ]
    })
}

proptest! {
    #[test]
    fn no_json_panics(value in any_json()) {
        drop(Schemes::from_value(&value));
        drop(Schemes::from_value(&json!([{"access_pattern": value}])));
    }

    #[test]
    fn no_text_panics(text: String) {
        drop(Schemes::from_json(&text));
    }
}
