//! Quotas and watermarks.

use super::ReadError;
use super::node::{Fields, Node};
use crate::damos::kernel::{
    FailCharge, Goal, GoalMetric, GoalTuner, Quota, WatermarkMetric, Watermarks, Weights,
};
use crate::damos::number::{self, TimeUnit};

/// `effective_sz_bytes` is what damo reads from a kernel; it is no setting.
const MEMBERS: &[&str] = &[
    "time_ms",
    "sz_bytes",
    "reset_interval_ms",
    "weights",
    "goals",
    "goal_tuner",
    "fail_charge_num",
    "fail_charge_denom",
    "effective_sz_bytes",
];

fn millis(node: &Node<'_>) -> Result<u64, ReadError> {
    node.number(|text| number::time(text, TimeUnit::Millis))
}

fn permil<T: TryFrom<u64>>(node: &Node<'_>) -> Result<T, ReadError> {
    let value = node.number(|text| number::share(text, 1_000))?;
    T::try_from(value).map_err(|_too_large| node.error("is too large"))
}

pub(super) fn quota(node: &Node<'_>) -> Result<Quota, ReadError> {
    let fields = node.fields(MEMBERS)?;
    let mut quota = Quota {
        ms: fields.or("time_ms", 0, millis)?,
        bytes: fields.or("sz_bytes", 0, |node| node.number(number::size))?,
        goal_tuner: fields.or("goal_tuner", GoalTuner::Consist, |node| {
            node.keyword("goal tuner", GoalTuner::ALL, GoalTuner::keyword)
        })?,
        fail_charge: FailCharge {
            num: fields.or("fail_charge_num", 0, Node::count)?,
            denom: fields.or("fail_charge_denom", 0, Node::count)?,
        },
        ..Quota::NONE
    };
    if let Some(node) = fields.get("weights") {
        let weights = node.fields(&["sz_permil", "nr_accesses_permil", "age_permil"])?;
        quota.weights = Weights {
            sz: weights.or("sz_permil", 0, permil)?,
            nr_accesses: weights.or("nr_accesses_permil", 0, permil)?,
            age: weights.or("age_permil", 0, permil)?,
        };
    }
    if let Some(node) = fields.get("goals") {
        for element in node.elements()? {
            quota.goals.push(goal(&element)?);
        }
    }
    match fields.get("reset_interval_ms") {
        Some(node) => quota.reset_interval_ms = millis(&node)?,
        // The kernel's default is a new window at each application, damo's a single one for ever: who
        // limits something has to say for how long.
        None if quota.is_set() => {
            return Err(fields.error_at(
                "reset_interval_ms",
                "is missing: a quota is so much in so long, for example \"1 s\"",
            ));
        }
        None => {}
    }
    Ok(quota)
}

fn goal(node: &Node<'_>) -> Result<Goal, ReadError> {
    let fields = node.fields(&[
        "metric",
        "target_value",
        "current_value",
        "nid",
        "memcg_path",
        "complement",
    ])?;
    let metric = fields.or("metric", GoalMetric::UserInput, |node| {
        node.keyword("goal metric", GoalMetric::ALL, GoalMetric::keyword)
    })?;
    if fields.or("complement", false, Node::flag)? {
        return Err(fields.error_at("complement", "is not supported: no released kernel has it"));
    }
    let value = |node: &Node<'_>| match metric {
        GoalMetric::UserInput => node.number(number::count),
        GoalMetric::SomeMemPsiUs => node.number(|text| number::time(text, TimeUnit::Micros)),
        _ => node.number(|text| number::share(text, 10_000)),
    };
    let target_value = fields.or("target_value", 0, value)?;
    if target_value == 0 {
        return Err(
            fields.error_at("target_value", "is missing or 0: no quota can be tuned for it")
        );
    }
    let path = fields.get("memcg_path").map_or(Ok(""), |node| node.string())?;
    if metric.has_path() && path.is_empty() {
        return Err(fields.error_at("memcg_path", format!("is missing, and {metric} needs it")));
    }
    let nid = fields.get("nid");
    if metric.has_node() && nid.is_none() {
        return Err(fields.error_at("nid", format!("is missing: {metric} is about one NUMA node")));
    }
    Ok(Goal {
        metric,
        target_value,
        current_value: fields.or("current_value", 0, value)?,
        nid: if metric.has_node() { nid.map_or(Ok(0), |node| node.count())? } else { 0 },
        path: if metric.has_path() { path.to_owned() } else { String::new() },
    })
}

pub(super) fn watermarks(node: &Node<'_>) -> Result<Watermarks, ReadError> {
    let fields =
        node.fields(&["metric", "interval_us", "high_permil", "mid_permil", "low_permil"])?;
    let metric = fields.or("metric", WatermarkMetric::None, |node| {
        node.keyword("watermark metric", WatermarkMetric::ALL, WatermarkMetric::keyword)
    })?;
    let watermarks = Watermarks {
        metric,
        interval_us: fields
            .or("interval_us", 0, |node| node.number(|t| number::time(t, TimeUnit::Micros)))?,
        high: fields.or("high_permil", 0, permil)?,
        mid: fields.or("mid_permil", 0, permil)?,
        low: fields.or("low_permil", 0, permil)?,
    };
    if metric != WatermarkMetric::None {
        check_order(&fields, &watermarks)?;
    }
    Ok(watermarks)
}

fn check_order(fields: &Fields<'_>, marks: &Watermarks) -> Result<(), ReadError> {
    if marks.high < marks.mid || marks.mid < marks.low {
        return Err(fields.error("the marks are out of order: high, mid, low must not rise"));
    }
    if marks.high == 0 {
        return Err(fields.error_at("high_permil", "is missing or 0: the scheme would never be on"));
    }
    if marks.high > 1_000 {
        return Err(fields.error_at("high_permil", "is more than all memory: 1000 per mille"));
    }
    if marks.interval_us == 0 {
        return Err(fields.error_at("interval_us", "is missing or 0: how often to look, \"5 s\""));
    }
    Ok(())
}
