//! What a scheme does, in words.

use super::kernel::{
    Action, Bounds, Filter, FilterType, Goal, GoalTuner, Quota, WatermarkMetric, Watermarks,
};
use super::number::{TimeUnit, show_percent, show_size, show_time};
use super::scheme::{Age, Frequency, Scheme, Schemes};

impl Schemes {
    /// One line for each scheme, in the order in which they are applied.
    pub fn describe(&self) -> Vec<String> {
        let numbered = self.as_slice().iter().enumerate();
        numbered.map(|(index, scheme)| format!("scheme {index}: {}", scheme.describe())).collect()
    }
}

impl Scheme {
    /// What is done, to which memory, how often, how much of it, and when not; one line.
    pub fn describe(&self) -> String {
        let mut parts = vec![format!("{} {}", self.action, pattern(self))];
        parts.push(match self.apply_interval_us {
            0 => "at each aggregation".to_owned(),
            us => format!("every {}", show_time(us, TimeUnit::Micros)),
        });
        if self.target_nid >= 0 {
            parts.push(format!("to node {}", self.target_nid));
        }
        if !self.dests.is_empty() {
            let dests = self.dests.iter();
            let dests: Vec<String> =
                dests.map(|dest| format!("{} (weight {})", dest.id, dest.weight)).collect();
            parts.push(format!("to the nodes {}", dests.join(", ")));
        }
        if self.quota.is_set() {
            parts.push(quota(&self.quota, self.action));
        }
        if self.watermarks.metric != WatermarkMetric::None {
            parts.push(watermarks(&self.watermarks));
        }
        if !self.filters.is_empty() {
            let filters: Vec<String> = self.filters.iter().map(filter).collect();
            parts.push(format!("filters: {}", filters.join(", then ")));
        }
        if self.max_nr_snapshots > 0 {
            parts.push(format!("for {} snapshots", self.max_nr_snapshots));
        }
        parts.join("; ")
    }
}

fn pattern(scheme: &Scheme) -> String {
    let mut parts = Vec::new();
    parts.extend(range(&scheme.sz, (0, u64::MAX), "of", "", show_size));
    parts.extend(frequency(&scheme.nr_accesses));
    parts.extend(age(&scheme.age));
    if parts.is_empty() {
        return "all memory".to_owned();
    }
    format!("regions {}", parts.join(", "))
}

/// `verb`, the bounds and their unit, or nothing where there are no bounds.
fn range<T: Copy + PartialEq>(
    bounds: &Bounds<T>,
    (least, most): (T, T),
    verb: &str,
    unit: &str,
    show: impl Fn(T) -> String,
) -> Option<String> {
    let (min, max) = (show(bounds.min), show(bounds.max));
    match (bounds.min == least, bounds.max == most) {
        (true, true) => None,
        (false, true) => Some(format!("{verb} {min}{unit} and more")),
        (true, false) => Some(format!("{verb} at most {max}{unit}")),
        (false, false) if bounds.min == bounds.max => Some(format!("{verb} exactly {min}{unit}")),
        (false, false) => Some(format!("{verb} {min} to {max}{unit}")),
    }
}

fn frequency(bounds: &Bounds<Frequency>) -> Option<String> {
    let zero = |frequency| matches!(frequency, Frequency::Percent(0) | Frequency::Samples(0));
    if zero(bounds.max) {
        return Some("never accessed".to_owned());
    }
    let min = if zero(bounds.min) { Frequency::Percent(0) } else { bounds.min };
    let counted = [min, bounds.max].iter().any(|bound| matches!(bound, Frequency::Samples(_)));
    let unit = if counted { " samples" } else { " of samples" };
    let open = (Frequency::Percent(0), Frequency::Max);
    range(&Bounds { min, max: bounds.max }, open, "accessed in", unit, |bound| match bound {
        Frequency::Percent(parts) => show_percent(parts, Frequency::PARTS_PER_PERCENT * 100),
        Frequency::Samples(samples) => samples.to_string(),
        Frequency::Max => "all".to_owned(),
    })
    .map(|text| text.replace(" 1 samples", " 1 sample"))
}

fn age(bounds: &Bounds<Age>) -> Option<String> {
    let zero = |age| matches!(age, Age::Micros(0) | Age::Aggregations(0));
    let min = if zero(bounds.min) { Age::Micros(0) } else { bounds.min };
    let open = (Age::Micros(0), Age::Max);
    range(&Bounds { min, max: bounds.max }, open, "unchanged for", "", |age| match age {
        Age::Micros(us) => show_time(us, TimeUnit::Micros),
        Age::Aggregations(count) => format!("{count} aggregations"),
        Age::Max => "ever".to_owned(),
    })
}

fn quota(quota: &Quota, action: Action) -> String {
    let mut limits = Vec::new();
    if quota.bytes > 0 {
        limits.push(show_size(quota.bytes));
    }
    if quota.ms > 0 {
        limits.push(format!("{} of work", show_time(quota.ms, TimeUnit::Millis)));
    }
    let window = match quota.reset_interval_ms {
        0 => "each time".to_owned(),
        u64::MAX => "once for ever".to_owned(),
        ms => format!("in {}", show_time(ms, TimeUnit::Millis)),
    };
    let mut text = if limits.is_empty() {
        format!("as much {window} as needed for")
    } else {
        format!("at most {} {window}", limits.join(" and "))
    };
    if !quota.goals.is_empty() {
        let goals: Vec<String> = quota.goals.iter().map(goal).collect();
        let link = if limits.is_empty() { "" } else { ", tuned for" };
        text = format!("{text}{link} {}", goals.join(" and "));
        if quota.goal_tuner == GoalTuner::Temporal {
            text.push_str(" (all or nothing)");
        }
    }
    let weights = &quota.weights;
    let first = match action {
        Action::Pageout | Action::LruDeprio | Action::MigrateCold => Some("coldest"),
        Action::LruPrio | Action::MigrateHot => Some("hottest"),
        _ => None,
    };
    if let Some(first) = first
        && (weights.nr_accesses > 0 || weights.age > 0)
    {
        text = format!(
            "{text}, {first} first (frequency : age = {} : {})",
            weights.nr_accesses, weights.age
        );
    }
    text
}

fn goal(goal: &Goal) -> String {
    let mut text = format!("{} = {}", goal.metric, goal.target_value);
    if goal.metric.has_node() {
        text = format!("{text} on node {}", goal.nid);
    }
    if goal.metric.has_path() {
        text = format!("{text} by {}", goal.path);
    }
    text
}

fn watermarks(marks: &Watermarks) -> String {
    let permil = |mark: u32| show_percent(u64::from(mark), 1_000);
    format!(
        "from when free memory falls below {} until it is above {} or below {}",
        permil(marks.mid),
        permil(marks.high),
        permil(marks.low)
    )
}

/// What one filter does to which memory.
pub(crate) fn filter(filter: &Filter) -> String {
    let what = match &filter.kind {
        FilterType::Anon => "anonymous pages".to_owned(),
        FilterType::Active => "active pages".to_owned(),
        FilterType::Memcg { path } => format!("pages of the control group {path}"),
        FilterType::Young => "pages accessed lately".to_owned(),
        FilterType::HugepageSize { min, max } => {
            format!("folios of {} to {}", show_size(*min), show_size(*max))
        }
        FilterType::Unmapped => "unmapped pages".to_owned(),
        FilterType::Addr { start, end } => format!("addresses {start:#x}-{end:#x}"),
        FilterType::Target { index } => format!("target {index}"),
    };
    let verb = if filter.allow { "allow" } else { "reject" };
    let but = if filter.matching { "" } else { "all but " };
    format!("{verb} {but}{what}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::damos::samples;
    use proptest::prelude::*;

    fn described(json: &str) -> String {
        let schemes = Schemes::from_json(&format!("[{json}]")).unwrap();
        let lines = schemes.describe();
        assert_eq!(lines.len(), 1);
        lines[0].clone()
    }

    #[test]
    fn schemes_in_words() {
        assert_eq!(described("{}"), "scheme 0: stat all memory; at each aggregation");
        for (least, words) in [(1, "in 1 sample and more"), (21, "in 21 samples and more")] {
            let text = described(&format!(
                r#"{{"access_pattern": {{"nr_accesses": {{"min": "{least} samples"}}}}}}"#
            ));
            assert!(text.contains(words), "{text}");
        }
        assert_eq!(
            described(
                r#"{"action": "pageout", "access_pattern": {"age": {"min": "2 m"},
                    "nr_accesses": {"max": "0 %"}, "sz_bytes": {"min": "4 K"}},
                    "quotas": {"sz_bytes": "128 M", "time_ms": 10, "reset_interval_ms": "1 s",
                    "weights": {"age_permil": 1}}}"#
            ),
            "scheme 0: pageout regions of 4 KiB and more, never accessed, unchanged for 2 m and more; at \
             each aggregation; at most 128 MiB and 10 ms of work in 1 s, coldest first (frequency : age = \
             0 : 1)"
        );
        assert_eq!(
            described(
                r#"{"action": "migrate_hot", "target_nid": 1, "apply_interval_us": "5 s",
                    "access_pattern": {"nr_accesses": {"min": "50 %", "max": "75.5 %"},
                    "age": {"max": "5 aggr_intervals"}, "sz_bytes": {"min": 4096, "max": 4096}},
                    "quotas": {"reset_interval_ms": "1 s", "goal_tuner": "temporal", "goals":
                    [{"metric": "node_mem_used_bp", "target_value": "99.5 %", "nid": 0}]},
                    "watermarks": {"metric": "free_mem_rate", "interval_us": "5 s",
                    "high_permil": 500, "mid_permil": 400, "low_permil": 200},
                    "filters": [{"filter_type": "anon"},
                    {"filter_type": "target", "damon_target_idx": 1, "matching": false, "allow": true}],
                    "max_nr_snapshots": 3}"#
            ),
            "scheme 0: migrate_hot regions of exactly 4 KiB, accessed in 50 % to 75.5 % of samples, unchanged for at most 5 aggregations; every 5 s; to node 1; as much in 1 s as needed \
             for node_mem_used_bp = 9950 on node 0 (all or nothing); from when free memory falls below 40 % \
             until it is above 50 % or below 20 %; filters: reject anonymous pages, then allow all but \
             target 1; for 3 snapshots"
        );
    }

    proptest! {
        #[test]
        fn one_line_each(schemes in samples::schemes()) {
            let lines = schemes.describe();
            prop_assert_eq!(lines.len(), schemes.as_slice().len());
            prop_assert!(lines.iter().all(|line| !line.contains('\n')));
        }
    }
}
