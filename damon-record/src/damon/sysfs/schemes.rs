//! Schemes: `schemes/N`, in the kernel's units.

use super::context::Context;
use super::error::TreeError;
use super::plan::{Plan, Step, When};
use super::tree::Tree;
use damon_format::damos::kernel::{
    Action, Dest, Filter, FilterType, Goal, GoalMetric, GoalTuner, Quota, Scheme, WatermarkMetric,
    Watermarks,
};

/// What a scheme has done since it was installed, as of the last update of its statistics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SchemeStats {
    /// Regions that it was tried on.
    pub nr_tried: u64,
    /// Their bytes.
    pub sz_tried: u64,
    /// Regions on which it succeeded, at least in part.
    pub nr_applied: u64,
    /// Bytes on which it succeeded.
    pub sz_applied: u64,
    /// How often its quota was used up.
    pub qt_exceeds: u64,
    /// Bytes that passed the filters decided page by page (6.14).
    pub sz_ops_filter_passed: Option<u64>,
    /// Snapshots that it has seen (7.0).
    pub nr_snapshots: Option<u64>,
}

/// The files of one scheme; its directory is held.
#[derive(Clone, Debug)]
pub struct SchemeFiles {
    tree: Tree,
}

impl SchemeFiles {
    pub(super) fn new(tree: Tree) -> Self {
        Self { tree }
    }

    /// Its files.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The kernel's word for its action.
    pub fn action(&self) -> Result<String, TreeError> {
        self.tree.read("action")
    }

    /// Statistics as of the last [`UpdateSchemesStats`](super::Command::UpdateSchemesStats).
    pub fn stats(&self) -> Result<SchemeStats, TreeError> {
        Ok(SchemeStats {
            nr_tried: self.tree.number("stats/nr_tried")?,
            sz_tried: self.tree.number("stats/sz_tried")?,
            nr_applied: self.tree.number("stats/nr_applied")?,
            sz_applied: self.tree.number("stats/sz_applied")?,
            qt_exceeds: self.tree.number("stats/qt_exceeds")?,
            sz_ops_filter_passed: self.tree.optional_number("stats/sz_ops_filter_passed")?,
            nr_snapshots: self.tree.optional_number("stats/nr_snapshots")?,
        })
    }

    /// Bytes that it may try per quota window, as of the last
    /// [`UpdateSchemesEffectiveQuotas`](super::Command::UpdateSchemesEffectiveQuotas); `None` before 6.9.
    pub fn effective_bytes(&self) -> Result<Option<u64>, TreeError> {
        self.tree.optional_number("quotas/effective_bytes")
    }

    /// Bytes of the regions last tried, as of the last
    /// [`UpdateSchemesTriedBytes`](super::Command::UpdateSchemesTriedBytes); `None` before 6.6.
    pub fn tried_bytes(&self) -> Result<Option<u64>, TreeError> {
        self.tree.optional_number("tried_regions/total_bytes")
    }
}

/// Makes all schemes anew. Files of newer kernels are left alone where they would say what older ones do
/// anyway.
pub(in crate::damon) fn plan(plan: &mut Plan, schemes: &[Scheme]) {
    if schemes.is_empty() {
        return;
    }
    plan.push(Step::new(Context::SCHEMES, &schemes.len()));
    for (index, scheme) in schemes.iter().enumerate() {
        let mut writer = Writer { plan, dir: format!("schemes/{index}") };
        writer.scheme(scheme);
    }
}

/// Adds steps below one scheme's directory.
struct Writer<'a> {
    plan: &'a mut Plan,
    dir: String,
}

impl Writer<'_> {
    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.dir)
    }

    fn set(&mut self, name: &str, value: &(impl ToString + ?Sized)) {
        let step = Step::new(self.path(name), value);
        self.plan.push(step);
    }

    fn set_newer(
        &mut self,
        name: &str,
        value: &(impl ToString + ?Sized),
        what: impl Into<String>,
        since: &'static str,
    ) {
        let step = Step::new(self.path(name), value).needs(what, since);
        self.plan.push(step);
    }

    fn scheme(&mut self, scheme: &Scheme) {
        let Scheme {
            action,
            sz,
            nr_accesses,
            age,
            apply_interval_us,
            quota,
            watermarks,
            filters,
            target_nid,
            dests,
            max_nr_snapshots,
        } = scheme;
        self.set_newer(
            "action",
            action.keyword(),
            format!("action {}", action.keyword()),
            action_since(*action),
        );
        self.set("access_pattern/sz/min", &sz.min);
        self.set("access_pattern/sz/max", &sz.max);
        self.set("access_pattern/nr_accesses/min", &nr_accesses.min);
        self.set("access_pattern/nr_accesses/max", &nr_accesses.max);
        self.set("access_pattern/age/min", &age.min);
        self.set("access_pattern/age/max", &age.max);
        if *apply_interval_us != 0 {
            let what = "apply intervals of schemes";
            self.set_newer("apply_interval_us", apply_interval_us, what, "Linux 6.7");
        }
        self.quota(quota);
        self.watermarks(watermarks);
        self.filters(filters);
        if *target_nid != -1 {
            let what = "destination nodes of schemes";
            self.set_newer("target_nid", target_nid, what, "Linux 6.11");
        }
        self.dests(dests);
        if *max_nr_snapshots != 0 {
            let what = "limit of a scheme's snapshots";
            self.set_newer("stats/max_nr_snapshots", max_nr_snapshots, what, "Linux 7.0");
        }
    }

    fn quota(&mut self, quota: &Quota) {
        let Quota { ms, bytes, reset_interval_ms, weights, goals, goal_tuner, fail_charge } = quota;
        self.set("quotas/ms", ms);
        self.set("quotas/bytes", bytes);
        self.set("quotas/reset_interval_ms", reset_interval_ms);
        self.set("quotas/weights/sz_permil", &weights.sz);
        self.set("quotas/weights/nr_accesses_permil", &weights.nr_accesses);
        self.set("quotas/weights/age_permil", &weights.age);
        if !goals.is_empty() {
            self.set_newer("quotas/goals/nr_goals", &goals.len(), "quota goals", "Linux 6.8");
        }
        for (index, goal) in goals.iter().enumerate() {
            self.goal(&format!("quotas/goals/{index}"), goal);
        }
        if *goal_tuner != GoalTuner::Consist {
            let what = format!("goal tuner {}", goal_tuner.keyword());
            self.set_newer("quotas/goal_tuner", goal_tuner.keyword(), what, "Linux 7.1");
        }
        if fail_charge.denom != 0 {
            for (name, value) in [("num", fail_charge.num), ("denom", fail_charge.denom)] {
                let path = format!("quotas/fail_charge_{name}");
                self.set_newer(&path, &value, "charge for failed attempts", "Linux 7.2");
            }
        }
    }

    fn goal(&mut self, dir: &str, goal: &Goal) {
        let Goal { metric, target_value, current_value, nid, path } = goal;
        // Before 6.9 there was no other.
        if *metric != GoalMetric::UserInput {
            let what = format!("quota goal {}", metric.keyword());
            let since = metric_since(*metric);
            self.set_newer(&format!("{dir}/target_metric"), metric.keyword(), what, since);
        }
        self.set(&format!("{dir}/target_value"), target_value);
        if *current_value != 0 {
            self.set(&format!("{dir}/current_value"), current_value);
        }
        if metric.has_node() {
            self.set_newer(&format!("{dir}/nid"), nid, "quota goals of nodes", "Linux 6.16");
        }
        if metric.has_path() {
            let what = "quota goals of control groups";
            self.set_newer(&format!("{dir}/path"), path, what, "Linux 6.19");
        }
    }

    fn watermarks(&mut self, watermarks: &Watermarks) {
        let Watermarks { metric, interval_us, high, mid, low } = watermarks;
        if *metric == WatermarkMetric::None {
            return;
        }
        self.set("watermarks/metric", metric.keyword());
        self.set("watermarks/interval_us", interval_us);
        self.set("watermarks/high", high);
        self.set("watermarks/mid", mid);
        self.set("watermarks/low", low);
    }

    /// Since 6.15 in two directories, of which the kernel installs the first one first; before in one.
    fn filters(&mut self, filters: &[Filter]) {
        if filters.is_empty() {
            return;
        }
        let (core, ops): (Vec<&Filter>, Vec<&Filter>) =
            filters.iter().partition(|filter| filter.kind.is_core());
        let newer = When::Has(self.path("core_filters"));
        let older = When::Lacks(self.path("core_filters"));
        self.filter_dir("core_filters", &core, &newer);
        self.filter_dir("ops_filters", &ops, &newer);
        let all: Vec<&Filter> = filters.iter().collect();
        self.filter_dir("filters", &all, &older);
    }

    fn filter_dir(&mut self, dir: &str, filters: &[&Filter], when: &When) {
        if filters.is_empty() {
            return;
        }
        let mut steps = Plan::default();
        {
            let mut inner = Writer { plan: &mut steps, dir: self.path(dir) };
            inner.set_newer("nr_filters", &filters.len(), "filters of schemes", "Linux 6.3");
            for (index, filter) in filters.iter().enumerate() {
                inner.filter(index, filter);
            }
        }
        for step in steps.steps() {
            self.plan.push(step.clone().when(when.clone()));
        }
    }

    fn filter(&mut self, index: usize, filter: &Filter) {
        let Filter { kind, matching, allow } = filter;
        let of = |name: &str| format!("{index}/{name}");
        let what = format!("filter type {}", kind.keyword());
        self.set_newer(&of("type"), kind.keyword(), what, filter_since(kind));
        match kind {
            FilterType::Anon | FilterType::Active | FilterType::Young | FilterType::Unmapped => {}
            FilterType::Memcg { path } => self.set(&of("memcg_path"), path),
            FilterType::HugepageSize { min, max } => {
                self.set(&of("min"), min);
                self.set(&of("max"), max);
            }
            FilterType::Addr { start, end } => {
                self.set(&of("addr_start"), start);
                self.set(&of("addr_end"), end);
            }
            FilterType::Target { index } => self.set(&of("damon_target_idx"), index),
        }
        self.set(&of("matching"), flag(*matching));
        if *allow {
            self.set_newer(&of("allow"), flag(true), "filters that let pass", "Linux 6.14");
        }
    }

    fn dests(&mut self, dests: &[Dest]) {
        if dests.is_empty() {
            return;
        }
        let what = "weighted destinations of schemes";
        self.set_newer("dests/nr_dests", &dests.len(), what, "Linux 6.17");
        for (index, dest) in dests.iter().enumerate() {
            self.set(&format!("dests/{index}/id"), &dest.id);
            self.set(&format!("dests/{index}/weight"), &dest.weight);
        }
    }
}

/// As the kernel shows booleans.
const fn flag(value: bool) -> &'static str {
    if value { "Y" } else { "N" }
}

const fn action_since(action: Action) -> &'static str {
    match action {
        Action::LruPrio | Action::LruDeprio => "Linux 6.0",
        Action::MigrateHot | Action::MigrateCold => "Linux 6.11",
        Action::Collapse => "Linux 7.2",
        Action::Willneed
        | Action::Cold
        | Action::Pageout
        | Action::Hugepage
        | Action::Nohugepage
        | Action::Stat => "Linux 5.18",
    }
}

const fn metric_since(metric: GoalMetric) -> &'static str {
    match metric {
        GoalMetric::UserInput => "Linux 6.8",
        GoalMetric::SomeMemPsiUs => "Linux 6.9",
        GoalMetric::NodeMemUsedBp | GoalMetric::NodeMemFreeBp => "Linux 6.16",
        GoalMetric::NodeMemcgUsedBp | GoalMetric::NodeMemcgFreeBp => "Linux 6.19",
        GoalMetric::ActiveMemBp | GoalMetric::InactiveMemBp => "Linux 7.0",
        GoalMetric::NodeEligibleMemBp => "Linux 7.2",
    }
}

const fn filter_since(kind: &FilterType) -> &'static str {
    match kind {
        FilterType::Anon | FilterType::Memcg { .. } => "Linux 6.3",
        FilterType::Addr { .. } | FilterType::Target { .. } => "Linux 6.6",
        FilterType::Young => "Linux 6.10",
        FilterType::HugepageSize { .. } | FilterType::Unmapped | FilterType::Active => "Linux 6.15",
    }
}
