//! One scheme.

use super::node::{Fields, Node, bounds};
use super::{ReadError, filter, quota};
use crate::damos::kernel::{Action, Bounds, Dest};
use crate::damos::number::{self, TimeUnit};
use crate::damos::scheme::{Age, Frequency, Scheme};

/// `stats` and the two after it are what damo reads from a kernel; they say nothing about the scheme.
const MEMBERS: &[&str] = &[
    "action",
    "access_pattern",
    "apply_interval_us",
    "quotas",
    "watermarks",
    "filters",
    "target_nid",
    "dests",
    "max_nr_snapshots",
    "core_filters",
    "ops_filters",
    "stats",
    "tried_regions",
    "tried_bytes",
];

pub(super) fn scheme(node: &Node<'_>) -> Result<Scheme, ReadError> {
    let fields = node.fields(MEMBERS)?;
    let action = fields
        .or("action", Action::Stat, |node| node.keyword("action", Action::ALL, Action::keyword))?;
    let mut scheme = Scheme::new(action);
    if let Some(pattern) = fields.get("access_pattern") {
        read_pattern(&pattern, &mut scheme)?;
    }
    if let Some(node) = fields.get("apply_interval_us") {
        scheme.apply_interval_us = node.number(|text| number::time(text, TimeUnit::Micros))?;
    }
    if let Some(node) = fields.get("quotas") {
        scheme.quota = quota::quota(&node)?;
    }
    if let Some(node) = fields.get("watermarks") {
        scheme.watermarks = quota::watermarks(&node)?;
    }
    // The kernel asks the filters of its core first, wherever they stand.
    for list in ["core_filters", "ops_filters", "filters"] {
        if let Some(node) = fields.get(list) {
            for element in node.elements()? {
                scheme.filters.push(filter::filter(&element)?);
            }
        }
    }
    if let Some(node) = fields.get("max_nr_snapshots") {
        scheme.max_nr_snapshots = node.number(number::count)?;
    } else if let Some(node) =
        fields.get("stats").and_then(|stats| stats.member("max_nr_snapshots"))
    {
        scheme.max_nr_snapshots = node.number(number::count)?;
    }
    read_destinations(&fields, &mut scheme)?;
    Ok(scheme)
}

fn read_destinations(fields: &Fields<'_>, scheme: &mut Scheme) -> Result<(), ReadError> {
    if let Some(node) = fields.get("target_nid") {
        // The kernel's word for "none" is -1, and damo repeats it.
        let none = node.number(|text| Ok(text.trim() == "-1"))?;
        scheme.target_nid = if none { -1 } else { node.count()? };
    }
    if let Some(node) = fields.get("dests") {
        for element in node.elements()? {
            let dest = element.fields(&["id", "weight"])?;
            let Some(id) = dest.get("id") else {
                return Err(dest.error("id is missing: the number of a NUMA node"));
            };
            scheme.dests.push(Dest { id: id.count()?, weight: dest.or("weight", 1, Node::count)? });
        }
    }
    let somewhere = scheme.target_nid >= 0 || !scheme.dests.is_empty();
    if scheme.action.migrates() && !somewhere {
        return Err(fields.error_at(
            "target_nid",
            format!("{} needs a NUMA node: target_nid, or dests for several", scheme.action),
        ));
    }
    if !scheme.action.migrates() && !scheme.dests.is_empty() {
        return Err(fields.error_at("dests", format!("{} has no destination", scheme.action)));
    }
    Ok(())
}

fn read_pattern(node: &Node<'_>, scheme: &mut Scheme) -> Result<(), ReadError> {
    let fields = node.fields(&["sz_bytes", "sz", "nr_accesses", "age"])?;
    if let Some(node) = fields.either("sz_bytes", "sz")? {
        scheme.sz = bounds(&node, scheme.sz, number::size)?;
        if scheme.sz.min > scheme.sz.max {
            return Err(node.error("min is greater than max: nothing would match"));
        }
    }
    if let Some(node) = fields.get("nr_accesses") {
        let read = bounds(&node, scheme.nr_accesses, number::frequency)?;
        scheme.nr_accesses = same_frequency(&node, read)?;
    }
    if let Some(node) = fields.get("age") {
        let read = bounds(&node, scheme.age, number::age)?;
        scheme.age = same_age(&node, read)?;
    }
    Ok(())
}

const MIXED: &str = "min and max are in different units: write both in the same one";
const REVERSED: &str = "min is greater than max: nothing would match";

fn same_frequency(
    node: &Node<'_>,
    bounds: Bounds<Frequency>,
) -> Result<Bounds<Frequency>, ReadError> {
    use Frequency::{Max, Percent, Samples};
    // 0 is the same in every unit.
    let bounds = match (bounds.min, bounds.max) {
        (Percent(0), Samples(_)) => Bounds { min: Samples(0), ..bounds },
        (Samples(0), Percent(_)) => Bounds { min: Percent(0), ..bounds },
        _ => bounds,
    };
    match (bounds.min, bounds.max) {
        (Percent(min), Percent(max)) | (Samples(min), Samples(max)) if min > max => {
            Err(node.error(REVERSED))
        }
        (Samples(_), Percent(_)) | (Percent(_), Samples(_)) => Err(node.error(MIXED)),
        (Max, Percent(_) | Samples(_)) => Err(node.error(REVERSED)),
        _ => Ok(bounds),
    }
}

fn same_age(node: &Node<'_>, bounds: Bounds<Age>) -> Result<Bounds<Age>, ReadError> {
    use Age::{Aggregations, Max, Micros};
    let bounds = match (bounds.min, bounds.max) {
        (Micros(0), Aggregations(_)) => Bounds { min: Aggregations(0), ..bounds },
        (Aggregations(0), Micros(_)) => Bounds { min: Micros(0), ..bounds },
        _ => bounds,
    };
    match (bounds.min, bounds.max) {
        (Micros(min), Micros(max)) | (Aggregations(min), Aggregations(max)) if min > max => {
            Err(node.error(REVERSED))
        }
        (Aggregations(_), Micros(_)) | (Micros(_), Aggregations(_)) => Err(node.error(MIXED)),
        (Max, Micros(_) | Aggregations(_)) => Err(node.error(REVERSED)),
        _ => Ok(bounds),
    }
}
