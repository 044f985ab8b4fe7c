//! Writing damo's JSON: the form that its `--schemes` takes, every member spelled out, because damo
//! refuses an access pattern or a quota of which only parts are given.

use super::kernel::{Bounds, Dest, Filter, FilterType, Goal, Quota, Watermarks};
use super::number::{TimeUnit, show_percent, show_size, show_time};
use super::scheme::{Age, Frequency, Scheme, Schemes};
use serde_json::{Value, json};

impl Schemes {
    /// The schemes as damo takes them; reading them back gives the same schemes.
    ///
    /// damo drops fractions of a per cent that are written here.
    pub fn to_json(&self) -> Value {
        self.as_slice().iter().map(Scheme::to_json).collect()
    }
}

impl Scheme {
    /// One scheme as damo takes it in a list.
    pub fn to_json(&self) -> Value {
        let mut json = json!({
            "action": self.action,
            "target_nid": (self.target_nid >= 0).then_some(self.target_nid),
            "dests": self.dests.iter().copied().map(dest).collect::<Value>(),
            "access_pattern": {
                "sz_bytes": { "min": show_size(self.sz.min), "max": show_size(self.sz.max) },
                "nr_accesses": frequencies(self.nr_accesses),
                "age": ages(self.age),
            },
            "apply_interval_us": show_time(self.apply_interval_us, TimeUnit::Micros),
            "quotas": quota(&self.quota),
            "watermarks": watermarks(&self.watermarks),
            "filters": self.filters.iter().map(filter).collect::<Value>(),
        });
        if self.max_nr_snapshots > 0
            && let Some(map) = json.as_object_mut()
        {
            map.insert("max_nr_snapshots".into(), self.max_nr_snapshots.to_string().into());
        }
        json
    }
}

fn dest(dest: Dest) -> Value {
    json!({ "id": dest.id, "weight": dest.weight })
}

/// damo knows "max" only beside per cent.
fn frequencies(bounds: Bounds<Frequency>) -> Value {
    let counted = matches!(bounds.min, Frequency::Samples(_));
    let text = |frequency| match frequency {
        Frequency::Percent(parts) => show_percent(parts, Frequency::PARTS_PER_PERCENT * 100),
        Frequency::Samples(samples) => format!("{samples} samples"),
        Frequency::Max if counted => format!("{} samples", u32::MAX),
        Frequency::Max => "max".to_owned(),
    };
    json!({ "min": text(bounds.min), "max": text(bounds.max) })
}

fn ages(bounds: Bounds<Age>) -> Value {
    let counted = matches!(bounds.min, Age::Aggregations(_));
    let text = |age| match age {
        Age::Micros(us) => show_time(us, TimeUnit::Micros),
        Age::Aggregations(count) => format!("{count} aggr_intervals"),
        Age::Max if counted => format!("{} aggr_intervals", u32::MAX),
        Age::Max => "max".to_owned(),
    };
    json!({ "min": text(bounds.min), "max": text(bounds.max) })
}

fn quota(quota: &Quota) -> Value {
    let permil = |weight: u32| show_percent(u64::from(weight), 1_000);
    json!({
        "time_ms": show_time(quota.ms, TimeUnit::Millis),
        "sz_bytes": show_size(quota.bytes),
        "reset_interval_ms": show_time(quota.reset_interval_ms, TimeUnit::Millis),
        "fail_charge_num": quota.fail_charge.num.to_string(),
        "fail_charge_denom": quota.fail_charge.denom.to_string(),
        "goals": quota.goals.iter().map(goal).collect::<Value>(),
        "goal_tuner": quota.goal_tuner,
        "weights": {
            "sz_permil": permil(quota.weights.sz),
            "nr_accesses_permil": permil(quota.weights.nr_accesses),
            "age_permil": permil(quota.weights.age),
        },
    })
}

fn goal(goal: &Goal) -> Value {
    json!({
        "metric": goal.metric,
        "nid": goal.metric.has_node().then(|| goal.nid.to_string()),
        "memcg_path": goal.metric.has_path().then_some(&goal.path),
        "target_value": goal.target_value.to_string(),
        "current_value": goal.current_value.to_string(),
    })
}

fn watermarks(marks: &Watermarks) -> Value {
    let permil = |mark: u32| show_percent(u64::from(mark), 1_000);
    json!({
        "metric": marks.metric,
        "interval_us": show_time(marks.interval_us, TimeUnit::Micros),
        "high_permil": permil(marks.high),
        "mid_permil": permil(marks.mid),
        "low_permil": permil(marks.low),
    })
}

fn filter(filter: &Filter) -> Value {
    let (mut path, mut range, mut index, mut sizes) = (None, None, None, None);
    match &filter.kind {
        FilterType::Memcg { path: below } => path = Some(below),
        FilterType::Addr { start, end } => {
            range = Some(json!({ "start": start.to_string(), "end": end.to_string() }));
        }
        FilterType::Target { index: target } => index = Some(target.to_string()),
        FilterType::HugepageSize { min, max } => sizes = Some([show_size(*min), show_size(*max)]),
        FilterType::Anon | FilterType::Active | FilterType::Young | FilterType::Unmapped => {}
    }
    json!({
        "filter_type": filter.kind.keyword(),
        "matching": filter.matching,
        "allow": filter.allow,
        "memcg_path": path,
        "address_range": range,
        "damon_target_idx": index,
        "hugepage_size": sizes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::damos::samples;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn written_schemes_read_back(schemes in samples::schemes()) {
            prop_assert_eq!(Schemes::from_value(&schemes.to_json()), Ok(schemes));
        }
    }

    #[test]
    fn open_ends_are_written_as_damo_knows_them() {
        let pattern = |pattern: &str| {
            let text = format!(r#"[{{"access_pattern": {pattern}}}]"#);
            Schemes::from_json(&text).unwrap().to_json()[0]["access_pattern"].clone()
        };
        let counted =
            pattern(r#"{"nr_accesses": {"min": "1 samples"}, "age": {"min": "3 aggr_intervals"}}"#);
        assert_eq!(counted["nr_accesses"]["max"], "4294967295 samples");
        assert_eq!(counted["age"]["max"], "4294967295 aggr_intervals");
        let shares = pattern(r#"{"nr_accesses": {"min": "1 %"}, "age": {"min": "3 s"}}"#);
        assert_eq!(
            (&shares["nr_accesses"]["max"], &shares["age"]["max"]),
            (&json!("max"), &json!("max"))
        );
    }

    #[test]
    fn every_member_is_written() {
        let schemes = Schemes::from_json(r#"[{"action": "cold"}]"#).unwrap();
        let json = schemes.to_json();
        let pattern = &json[0]["access_pattern"];
        assert_eq!(pattern["sz_bytes"], json!({"min": "0 B", "max": "max"}));
        assert_eq!(pattern["nr_accesses"], json!({"min": "0 %", "max": "max"}));
        assert_eq!(pattern["age"], json!({"min": "0 us", "max": "max"}));
        let quotas = json[0]["quotas"].as_object().unwrap();
        for member in ["time_ms", "sz_bytes", "reset_interval_ms", "weights", "goals"] {
            assert!(quotas.contains_key(member), "damo refuses quotas without {member}");
        }
    }
}
