//! Schemes as files: what is written below a context of DAMON's sysfs directory to install them
//! (`Documentation/admin-guide/mm/damon/usage.rst`, `mm/damon/sysfs-schemes.c`). Nothing is written here.

use super::kernel::{
    Action, Dest, Filter, FilterType, Goal, GoalMetric, GoalTuner, Quota, Scheme, WatermarkMetric,
    Watermarks,
};

/// Something that not every kernel has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feature {
    /// As in "this kernel has no …".
    pub what: String,
    /// The first release with it, as in "Linux 6.8".
    pub since: &'static str,
}

impl Feature {
    /// `what`, first released in `since`.
    pub fn new(what: impl Into<String>, since: &'static str) -> Self {
        Self { what: what.into(), since }
    }
}

/// Which kernels a step is for. Both paths are relative to the context's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum When {
    /// All of them.
    Always,
    /// Those that have this file or directory.
    Has(String),
    /// Those that have it not.
    Lacks(String),
}

/// One value in one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Relative to the context's directory.
    pub path: String,
    /// What is written, without a line end.
    pub value: String,
    /// On which kernels.
    pub when: When,
    /// What it is for, where a kernel may be too old for it.
    pub needs: Option<Feature>,
}

impl Step {
    /// Writes `value` into a file that every kernel has.
    pub fn new(path: impl Into<String>, value: &(impl ToString + ?Sized)) -> Self {
        Self { path: path.into(), value: value.to_string(), when: When::Always, needs: None }
    }

    /// Refuses `what` by name on kernels without the file, or that do not know the value.
    #[must_use]
    pub fn needs(self, what: impl Into<String>, since: &'static str) -> Self {
        Self { needs: Some(Feature::new(what, since)), ..self }
    }

    /// Only on some kernels.
    #[must_use]
    pub fn when(self, when: When) -> Self {
        Self { when, ..self }
    }
}

/// How many schemes there are; writing it makes their directories anew.
pub const NR_SCHEMES: &str = "schemes/nr_schemes";

/// Everything that makes these schemes anew, in the order of writing; nothing for none. Files of newer kernels are
/// left alone where they would say what older ones do anyway.
pub fn steps(schemes: &[Scheme]) -> Vec<Step> {
    let mut steps = Vec::new();
    if !schemes.is_empty() {
        steps.push(Step::new(NR_SCHEMES, &schemes.len()));
    }
    for (index, scheme) in schemes.iter().enumerate() {
        let mut writer = Writer { steps: &mut steps, dir: format!("schemes/{index}") };
        writer.scheme(scheme);
    }
    steps
}

/// Adds steps below one scheme's directory.
struct Writer<'a> {
    steps: &'a mut Vec<Step>,
    dir: String,
}

impl Writer<'_> {
    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.dir)
    }

    fn set(&mut self, name: &str, value: &(impl ToString + ?Sized)) {
        let step = Step::new(self.path(name), value);
        self.steps.push(step);
    }

    fn set_newer(
        &mut self,
        name: &str,
        value: &(impl ToString + ?Sized),
        what: impl Into<String>,
        since: &'static str,
    ) {
        let step = Step::new(self.path(name), value).needs(what, since);
        self.steps.push(step);
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
        let mut steps = Vec::new();
        let mut inner = Writer { steps: &mut steps, dir: self.path(dir) };
        inner.set_newer("nr_filters", &filters.len(), "filters of schemes", "Linux 6.3");
        for (index, filter) in filters.iter().enumerate() {
            inner.filter(index, filter);
        }
        self.steps.extend(steps.into_iter().map(|step| step.when(when.clone())));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_schemes_nothing_is_written_and_newer_files_only_where_they_say_something() {
        assert_eq!(steps(&[]), []);
        let plain = steps(&[Scheme::new(Action::Pageout)]);
        assert_eq!((plain[0].path.as_str(), plain[0].value.as_str()), (NR_SCHEMES, "1"));
        let newer: Vec<_> = plain.iter().filter_map(|step| step.needs.as_ref()).collect();
        assert_eq!(newer, [&Feature::new("action pageout", "Linux 5.18")]);
        assert!(plain.iter().any(|step| step.path == "schemes/0/access_pattern/age/max"));
    }

    #[test]
    fn filters_go_where_the_kernel_has_them() {
        let mut scheme = Scheme::new(Action::Stat);
        let addr = FilterType::Addr { start: 1, end: 2 };
        let filter = |kind, allow| Filter { kind, matching: true, allow };
        scheme.filters = vec![filter(FilterType::Anon, true), filter(addr, false)];
        let all = steps(&[scheme]);
        let of = |path: &str| all.iter().find(|step| step.path == path).unwrap();
        let core = of("schemes/0/core_filters/0/addr_start");
        assert_eq!(core.when, When::Has("schemes/0/core_filters".into()));
        assert_eq!(of("schemes/0/ops_filters/nr_filters").value, "1");
        let old = of("schemes/0/filters/1/addr_start");
        assert_eq!(old.when, When::Lacks("schemes/0/core_filters".into()));
        let allow = of("schemes/0/filters/0/allow").needs.as_ref();
        assert_eq!(allow.map(|feature| feature.since), Some("Linux 6.14"));
    }
}
