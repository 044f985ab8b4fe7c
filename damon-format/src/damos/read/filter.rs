//! Filters.

use super::ReadError;
use super::node::{Fields, Node, bounds};
use crate::damos::kernel::{Bounds, Filter, FilterType};
use crate::damos::number;

/// `type` is sysfs's name for damo's `filter_type`; `filter_pass` is the old name of `allow`.
const MEMBERS: &[&str] = &[
    "filter_type",
    "type",
    "matching",
    "allow",
    "filter_pass",
    "memcg_path",
    "address_range",
    "damon_target_idx",
    "hugepage_size",
    "probe_hits_wsum_range",
];

const TYPES: &[&str] =
    &["anon", "active", "memcg", "young", "hugepage_size", "unmapped", "addr", "target"];

pub(super) fn filter(node: &Node<'_>) -> Result<Filter, ReadError> {
    let fields = node.fields(MEMBERS)?;
    let Some(kind) = fields.either("filter_type", "type")? else {
        return Err(fields.error(format!("filter_type is missing: one of {}", TYPES.join(", "))));
    };
    let kind = match kind.keyword("filter type", TYPES, |word| word)? {
        "anon" => FilterType::Anon,
        "active" => FilterType::Active,
        "young" => FilterType::Young,
        "unmapped" => FilterType::Unmapped,
        "memcg" => {
            let path = fields.get("memcg_path").map_or(Ok(""), |node| node.string())?;
            if path.is_empty() {
                return Err(
                    fields.error_at("memcg_path", "is missing: a path below the cgroup mount")
                );
            }
            FilterType::Memcg { path: path.to_owned() }
        }
        "hugepage_size" => hugepage_size(&fields)?,
        "addr" => address_range(&fields)?,
        _ => {
            let Some(index) = fields.get("damon_target_idx") else {
                return Err(
                    fields.error_at("damon_target_idx", "is missing: 0 is the first target")
                );
            };
            FilterType::Target { index: index.count()? }
        }
    };
    if fields.get("probe_hits_wsum_range").is_some() {
        return Err(fields.error_at("probe_hits_wsum_range", "is not supported"));
    }
    Ok(Filter {
        kind,
        matching: fields.or("matching", true, Node::flag)?,
        allow: fields.either("allow", "filter_pass")?.map_or(Ok(false), |node| node.flag())?,
    })
}

fn address_range(fields: &Fields<'_>) -> Result<FilterType, ReadError> {
    let Some(range) = fields.get("address_range") else {
        return Err(fields.error_at("address_range", "is missing: {\"start\": …, \"end\": …}"));
    };
    let members = range.fields(&["start", "end"])?;
    let (Some(start), Some(end)) = (members.get("start"), members.get("end")) else {
        return Err(range.error("start and end are needed"));
    };
    let (start, end) = (start.number(number::address)?, end.number(number::address)?);
    if start >= end {
        return Err(range.error("the end must lie above the start"));
    }
    Ok(FilterType::Addr { start, end })
}

/// damo writes `[min, max]`; `{"min": …, "max": …}` is what everything else looks like.
fn hugepage_size(fields: &Fields<'_>) -> Result<FilterType, ReadError> {
    let Some(node) = fields.get("hugepage_size") else {
        return Err(fields.error_at("hugepage_size", "is missing: [\"2 MiB\", \"max\"]"));
    };
    let range = if node.is_list() {
        let elements = node.elements()?;
        let [min, max] = elements.as_slice() else {
            return Err(node.error("expected two sizes, the least and the greatest"));
        };
        Bounds { min: min.number(number::size)?, max: max.number(number::size)? }
    } else {
        bounds(&node, Bounds::<u64>::ALL, number::size)?
    };
    if range.min > range.max {
        return Err(node.error("min is greater than max: nothing would match"));
    }
    Ok(FilterType::HugepageSize { min: range.min, max: range.max })
}
