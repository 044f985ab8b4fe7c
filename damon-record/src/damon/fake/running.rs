//! The kernel's own copy of a context that runs.

use super::node::{Dir, Node};
use nix::errno::Errno;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What a kdamond works with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningCopy {
    /// Its thread.
    pub tid: u32,
    /// Set of operations.
    pub operations: String,
    /// Sampling, aggregation and update interval, microseconds; least and greatest number of regions.
    pub attrs: [u64; 5],
    /// Targets.
    pub targets: Vec<TargetCopy>,
    /// Actions of the schemes.
    pub schemes: Vec<String>,
}

/// One target of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetCopy {
    /// Process.
    pub pid: i32,
    /// Regions it began with, or that a commit gave it.
    pub regions: Vec<(u64, u64)>,
}

impl RunningCopy {
    /// What the files of a context say, or why the kernel refuses it.
    pub(super) fn of(
        context: &Dir,
        built: &[String],
        gone: &BTreeSet<i32>,
        tid: u32,
    ) -> Result<Self, Errno> {
        let text =
            |path: &str| context.file(path).map(|file| file.value.clone()).unwrap_or_default();
        let number = |path: &str| text(path).parse::<u64>().unwrap_or(0);
        let operations = text("operations");
        if !built.contains(&operations) {
            return Err(Errno::EINVAL);
        }
        let attrs = [
            "intervals/sample_us",
            "intervals/aggr_us",
            "intervals/update_us",
            "nr_regions/min",
            "nr_regions/max",
        ]
        .map(|name| number(&format!("monitoring_attrs/{name}")));
        let [sample, aggr, _, min, max] = attrs;
        if min < 3 || min > max || sample > aggr {
            return Err(Errno::EINVAL);
        }
        let goal =
            |name: &str| number(&format!("monitoring_attrs/intervals/intervals_goal/{name}"));
        if goal("aggrs") != 0 && !(goal("min_sample_us")..=goal("max_sample_us")).contains(&sample)
        {
            return Err(Errno::EINVAL);
        }
        let targets = numbered(context, "targets")
            .map(|dir| TargetCopy::of(dir, operations != "paddr", gone))
            .collect::<Result<Vec<_>, _>>()?;
        if operations == "paddr" && targets.len() > 1 {
            return Err(Errno::EINVAL);
        }
        let schemes = numbered(context, "schemes")
            .map(|dir| dir.file("action").map(|file| file.value.clone()).unwrap_or_default())
            .collect();
        Ok(Self { tid, operations, attrs, targets, schemes })
    }

    /// Takes over a new configuration; targets are matched by index, and keep their regions where the new
    /// one names none.
    pub(super) fn commit(&mut self, new: Self) {
        let mut targets = new.targets;
        for (old, new) in self.targets.iter().zip(&mut targets) {
            if new.regions.is_empty() {
                new.regions.clone_from(&old.regions);
            }
        }
        *self = Self { targets, tid: self.tid, ..new };
    }
}

impl TargetCopy {
    fn of(dir: &Dir, has_pid: bool, gone: &BTreeSet<i32>) -> Result<Self, Errno> {
        let pid = dir.file("pid_target").and_then(|file| file.value.parse().ok()).unwrap_or(0);
        if has_pid && (pid <= 0 || gone.contains(&pid)) {
            return Err(Errno::EINVAL);
        }
        let mut regions: Vec<(u64, u64)> = Vec::new();
        for region in numbered(dir, "regions") {
            let of = |name: &str| {
                region.file(name).and_then(|file| file.value.parse().ok()).unwrap_or(0)
            };
            let (start, end) = (of("start"), of("end"));
            if start >= end || regions.last().is_some_and(|previous| previous.1 > start) {
                return Err(Errno::EINVAL);
            }
            regions.push((start, end));
        }
        Ok(Self { pid, regions })
    }
}

/// The directories `name/0`, `name/1`, … in order.
fn numbered<'a>(dir: &'a Dir, name: &str) -> impl Iterator<Item = &'a Dir> {
    let parent = dir.dir(name);
    (0..).map_while(move |index: u32| match parent?.entries.get(&index.to_string())? {
        Node::Dir(dir) => Some(dir),
        Node::File(_) => None,
    })
}
