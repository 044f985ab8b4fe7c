//! Parts of a plan that can also be committed to a running context.

use super::context::{Context, IntervalsGoal};
use super::plan::{Plan, Step};
use super::wanted::Target;
use crate::monitor::AddressRange;
use damon_format::Attrs;

/// Intervals and region limits.
pub(in crate::damon) fn attrs(plan: &mut Plan, attrs: &Attrs) {
    let Attrs { sample_us, aggr_us, update_us, min_nr_regions, max_nr_regions } = *attrs;
    plan.push(Step::new("monitoring_attrs/intervals/sample_us", &sample_us));
    plan.push(Step::new("monitoring_attrs/intervals/aggr_us", &aggr_us));
    plan.push(Step::new("monitoring_attrs/intervals/update_us", &update_us));
    plan.push(Step::new("monitoring_attrs/nr_regions/min", &min_nr_regions));
    plan.push(Step::new("monitoring_attrs/nr_regions/max", &max_nr_regions));
}

/// Tuning of the intervals.
pub(super) fn intervals_goal(plan: &mut Plan, goal: &IntervalsGoal) {
    let IntervalsGoal { access_bp, aggrs, min_sample_us, max_sample_us } = *goal;
    for (name, value) in [
        ("access_bp", access_bp),
        ("aggrs", aggrs),
        ("min_sample_us", min_sample_us),
        ("max_sample_us", max_sample_us),
    ] {
        let path = format!("monitoring_attrs/intervals/intervals_goal/{name}");
        plan.push(Step::new(path, &value).needs("tuning of intervals", "Linux 6.15"));
    }
}

/// What a target without a process has for memory: a page that no process maps (`vm.mmap_min_addr` forbids it, and no
/// loader uses it), so that it shares no region with anybody who comes after.
pub(in crate::damon) const VACANT: AddressRange = AddressRange { start: 0x1000, end: 0x2000 };

/// Makes all targets anew.
pub(in crate::damon) fn targets(plan: &mut Plan, targets: &[Target]) {
    plan.push(Step::new(Context::TARGETS, &targets.len()));
    for (index, target) in targets.iter().enumerate() {
        if let Some(pid) = target.pid {
            plan.push(target_pid(index, pid));
        }
        if target.regions.is_empty() {
            continue;
        }
        plan.push(nr_regions(index, target.regions.len()));
        for (region, range) in target.regions.iter().enumerate() {
            let dir = format!("targets/{index}/regions/{region}");
            plan.push(Step::new(format!("{dir}/start"), &range.start));
            plan.push(Step::new(format!("{dir}/end"), &range.end));
        }
    }
}

/// Whom a target is.
pub(in crate::damon) fn target_pid(index: usize, pid: u32) -> Step {
    Step::new(format!("targets/{index}/pid_target"), &pid)
}

/// How many ranges a target's directory lists.
pub(in crate::damon) fn nr_regions(index: usize, count: usize) -> Step {
    Step::new(format!("targets/{index}/regions/nr_regions"), &count)
}
