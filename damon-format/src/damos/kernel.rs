//! One scheme in the kernel's units, field by field as below `schemes/N/` of DAMON's sysfs directory
//! (`Documentation/admin-guide/mm/damon/usage.rst`, `mm/damon/sysfs-schemes.c`).
//!
//! Types are as wide as the kernel's own (`struct damos`, `include/linux/damon.h`), so that no value is
//! cut when it gets there.

use super::keywords::keywords;
use crate::Region;
use serde::Serialize;

keywords! {
    /// What is done to memory that matches (file `action`).
    Action {
        /// Ask for it to be read in (`MADV_WILLNEED`). Virtual addresses.
        Willneed = "willneed",
        /// Move it to where reclaim looks first (`MADV_COLD`). Virtual addresses.
        Cold = "cold",
        /// Reclaim it (`MADV_PAGEOUT`).
        Pageout = "pageout",
        /// Ask for transparent huge pages (`MADV_HUGEPAGE`). Virtual addresses.
        Hugepage = "hugepage",
        /// Ask for no transparent huge pages (`MADV_NOHUGEPAGE`). Virtual addresses.
        Nohugepage = "nohugepage",
        /// Make huge pages of it now (`MADV_COLLAPSE`). Virtual addresses, 7.2.
        Collapse = "collapse",
        /// Put it in front of the LRU lists. Physical addresses, 6.0.
        LruPrio = "lru_prio",
        /// Put it at the end of the LRU lists. Physical addresses, 6.0.
        LruDeprio = "lru_deprio",
        /// Move it to another node, the hottest first. 6.11, virtual addresses 6.17.
        MigrateHot = "migrate_hot",
        /// Move it to another node, the coldest first. 6.11, virtual addresses 6.17.
        MigrateCold = "migrate_cold",
        /// Only count it.
        Stat = "stat",
    }
}

impl Action {
    /// True for the two actions that need a destination node.
    pub const fn migrates(self) -> bool {
        matches!(self, Self::MigrateHot | Self::MigrateCold)
    }
}

/// A closed interval, `min ..= max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Bounds<T> {
    /// The least value that matches.
    pub min: T,
    /// The greatest value that matches.
    pub max: T,
}

impl<T: PartialOrd> Bounds<T> {
    /// Whether `value` lies inside, ends included.
    pub fn contains(&self, value: &T) -> bool {
        *value >= self.min && *value <= self.max
    }
}

impl Bounds<u64> {
    /// Every value.
    pub const ALL: Self = Self { min: 0, max: u64::MAX };
}

impl Bounds<u32> {
    /// Every value.
    pub const ALL: Self = Self { min: 0, max: u32::MAX };
}

keywords! {
    /// What a quota goal is measured by (file `quotas/goals/N/target_metric`).
    GoalMetric {
        /// The user writes `current_value`. 6.8.
        UserInput = "user_input",
        /// Microseconds in which some task waited for memory, per quota window. 6.9.
        SomeMemPsiUs = "some_mem_psi_us",
        /// Used memory of a node in 1/10000. 6.16.
        NodeMemUsedBp = "node_mem_used_bp",
        /// Free memory of a node in 1/10000. 6.16.
        NodeMemFreeBp = "node_mem_free_bp",
        /// Memory of a node used by a control group, in 1/10000 of the node. 6.19.
        NodeMemcgUsedBp = "node_memcg_used_bp",
        /// Memory of a node not used by a control group, in 1/10000 of the node. 6.19.
        NodeMemcgFreeBp = "node_memcg_free_bp",
        /// Active share of the LRU lists in 1/10000. 7.0.
        ActiveMemBp = "active_mem_bp",
        /// Inactive share of the LRU lists in 1/10000. 7.0.
        InactiveMemBp = "inactive_mem_bp",
        /// Memory of a node that the scheme's pattern matches, in 1/10000. 7.2.
        NodeEligibleMemBp = "node_eligible_mem_bp",
    }
}

impl GoalMetric {
    /// Whether the goal's `nid` means anything.
    pub const fn has_node(self) -> bool {
        matches!(
            self,
            Self::NodeMemUsedBp
                | Self::NodeMemFreeBp
                | Self::NodeMemcgUsedBp
                | Self::NodeMemcgFreeBp
                | Self::NodeEligibleMemBp
        )
    }

    /// Whether the goal's `path` means anything.
    pub const fn has_path(self) -> bool {
        matches!(self, Self::NodeMemcgUsedBp | Self::NodeMemcgFreeBp)
    }
}

/// A value that the quota is tuned for (directory `quotas/goals/N`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Goal {
    /// What is measured.
    pub metric: GoalMetric,
    /// The value to be reached, in the metric's unit.
    pub target_value: u64,
    /// The value as it is; only [`GoalMetric::UserInput`] takes it from here.
    pub current_value: u64,
    /// NUMA node, where [`GoalMetric::has_node`].
    pub nid: i32,
    /// Control group below the cgroup mount, where [`GoalMetric::has_path`]; otherwise empty.
    pub path: String,
}

keywords! {
    /// How goals become a size quota (file `quotas/goal_tuner`, 7.1).
    GoalTuner {
        /// Proportional feedback from window to window; what kernels before 7.1 do.
        Consist = "consist",
        /// Everything until the goal is reached, nothing from then on.
        Temporal = "temporal",
    }
}

/// Relative importance when the quota does not suffice for everything that matches (directory
/// `quotas/weights`, per mille; only ratios matter).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct Weights {
    /// Of the size. Kernels accept and ignore it.
    pub sz: u32,
    /// Of the access frequency.
    pub nr_accesses: u32,
    /// Of the age.
    pub age: u32,
}

/// Share of bytes that is charged although the action failed on them (files
/// `quotas/fail_charge_num` and `_denom`, 7.2). A denominator of 0 charges them fully.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct FailCharge {
    /// Numerator.
    pub num: u32,
    /// Denominator.
    pub denom: u32,
}

/// How much a scheme may do in each window (directory `quotas`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Quota {
    /// Milliseconds of work per window; 0: no limit.
    pub ms: u64,
    /// Bytes tried per window; 0: no limit.
    pub bytes: u64,
    /// Length of a window in milliseconds.
    pub reset_interval_ms: u64,
    /// Who goes first.
    pub weights: Weights,
    /// Values to tune the quota for; 6.8.
    pub goals: Vec<Goal>,
    /// How they are used.
    pub goal_tuner: GoalTuner,
    /// What failed attempts cost.
    pub fail_charge: FailCharge,
}

impl Quota {
    /// No limit, and therefore no order either.
    pub const NONE: Self = Self {
        ms: 0,
        bytes: 0,
        reset_interval_ms: 0,
        weights: Weights { sz: 0, nr_accesses: 0, age: 0 },
        goals: Vec::new(),
        goal_tuner: GoalTuner::Consist,
        fail_charge: FailCharge { num: 0, denom: 0 },
    };

    /// Whether it limits anything.
    pub fn is_set(&self) -> bool {
        self.ms > 0 || self.bytes > 0 || !self.goals.is_empty()
    }
}

keywords! {
    /// What switches a scheme on and off (file `watermarks/metric`).
    WatermarkMetric {
        /// Nothing: it is always on.
        None = "none",
        /// Free memory of the machine in per mille of all.
        FreeMemRate = "free_mem_rate",
    }
}

/// When a scheme is on (directory `watermarks`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Watermarks {
    /// What is looked at.
    pub metric: WatermarkMetric,
    /// How often, while nothing is on; microseconds.
    pub interval_us: u64,
    /// Above it the scheme goes off; per mille.
    pub high: u32,
    /// Below it the scheme goes on; per mille.
    pub mid: u32,
    /// Below it the scheme goes off, too; per mille.
    pub low: u32,
}

impl Watermarks {
    /// Always on.
    pub const NONE: Self =
        Self { metric: WatermarkMetric::None, interval_us: 0, high: 0, mid: 0, low: 0 };
}

/// What a filter looks at (file `type` and the files that belong to each type).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FilterType {
    /// Anonymous pages. 6.3.
    Anon,
    /// Pages on an active LRU list. 6.15.
    Active,
    /// Pages charged to a control group. 6.3.
    Memcg {
        /// Below the cgroup mount (file `memcg_path`).
        path: String,
    },
    /// Pages accessed since they were last looked at. 6.10.
    Young,
    /// Folios of a size within bounds. 6.15.
    HugepageSize {
        /// Least size in bytes (file `min`).
        min: u64,
        /// Greatest size in bytes (file `max`).
        max: u64,
    },
    /// Pages that no page table maps. 6.15.
    Unmapped,
    /// An address range. 6.6.
    Addr {
        /// First byte (file `addr_start`).
        start: u64,
        /// One past the last byte (file `addr_end`).
        end: u64,
    },
    /// One of the context's targets. 6.6.
    Target {
        /// Its index (file `damon_target_idx`).
        index: u32,
    },
}

impl FilterType {
    /// The kernel's word for it.
    pub const fn keyword(&self) -> &'static str {
        match self {
            Self::Anon => "anon",
            Self::Active => "active",
            Self::Memcg { .. } => "memcg",
            Self::Young => "young",
            Self::HugepageSize { .. } => "hugepage_size",
            Self::Unmapped => "unmapped",
            Self::Addr { .. } => "addr",
            Self::Target { .. } => "target",
        }
    }

    /// True for the types that DAMON's core decides by regions (directory `core_filters`); the others
    /// are decided page by page (directory `ops_filters`).
    pub const fn is_core(&self) -> bool {
        matches!(self, Self::Addr { .. } | Self::Target { .. })
    }
}

/// Lets memory pass or keeps it away from the action.
///
/// Decides for memory for which "it is of this type" equals `matching`; leaves the decision about
/// everything else to the filters after it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Filter {
    /// What it looks at.
    #[serde(flatten)]
    pub kind: FilterType,
    /// Decides for memory that is of the type (true) or that is not (false).
    pub matching: bool,
    /// Lets pass (true, 6.14) or rejects (false).
    pub allow: bool,
}

/// Where pages are migrated to, one of several (directory `dests/N`, 6.17).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Dest {
    /// NUMA node.
    pub id: u32,
    /// Share of the pages, relative to the other destinations.
    pub weight: u32,
}

/// One scheme.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Scheme {
    /// What is done.
    pub action: Action,
    /// Sizes of regions that match, bytes.
    pub sz: Bounds<u64>,
    /// Access frequencies that match, samples per aggregation.
    pub nr_accesses: Bounds<u32>,
    /// Ages that match, aggregations.
    pub age: Bounds<u32>,
    /// How often it is done, microseconds; 0: at each aggregation.
    pub apply_interval_us: u64,
    /// How much of it is done.
    pub quota: Quota,
    /// When it is done at all.
    pub watermarks: Watermarks,
    /// What it is not done to. In order.
    pub filters: Vec<Filter>,
    /// Where pages are migrated to; -1: nowhere.
    pub target_nid: i32,
    /// Where pages are migrated to, if to several nodes.
    pub dests: Vec<Dest>,
    /// Ends after so many snapshots (file `stats/max_nr_snapshots`, 7.0); 0: never.
    pub max_nr_snapshots: u64,
}

impl Scheme {
    /// `action` for everything, at each aggregation, without limits.
    pub const fn new(action: Action) -> Self {
        Self {
            action,
            sz: Bounds::<u64>::ALL,
            nr_accesses: Bounds::<u32>::ALL,
            age: Bounds::<u32>::ALL,
            apply_interval_us: 0,
            quota: Quota::NONE,
            watermarks: Watermarks::NONE,
            filters: Vec::new(),
            target_nid: -1,
            dests: Vec::new(),
            max_nr_snapshots: 0,
        }
    }

    /// Whether size, frequency and age of `region` lie within the bounds (`__damos_valid_target`).
    pub fn matches(&self, region: &Region) -> bool {
        self.sz.contains(&region.size())
            && self.nr_accesses.contains(&region.nr_accesses)
            && self.age.contains(&region.age)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_are_the_kernels_and_read_back() {
        let words = |all: &[&'static str]| all.join(" ");
        let of = |all: &[Action]| all.iter().map(|a| a.keyword()).collect::<Vec<_>>();
        assert_eq!(
            words(&of(Action::ALL)),
            "willneed cold pageout hugepage nohugepage collapse lru_prio lru_deprio migrate_hot \
             migrate_cold stat"
        );
        for action in Action::ALL {
            assert_eq!(Action::from_keyword(action.keyword()), Some(*action));
        }
        for metric in GoalMetric::ALL {
            assert_eq!(GoalMetric::from_keyword(metric.keyword()), Some(*metric));
        }
        assert_eq!(Action::from_keyword("Pageout"), None);
        assert_eq!(GoalMetric::ALL.len(), 9);
    }

    #[test]
    fn bounds_are_closed() {
        let bounds = Bounds { min: 2, max: 4 };
        assert_eq!([1, 2, 4, 5].map(|v| bounds.contains(&v)), [false, true, true, false]);
        assert!(Bounds::<u64>::ALL.contains(&0) && Bounds::<u64>::ALL.contains(&u64::MAX));
    }

    #[test]
    fn all_three_bounds_must_hold_and_are_closed() {
        let mut scheme = Scheme::new(Action::Stat);
        scheme.sz = Bounds { min: 10, max: 20 };
        scheme.nr_accesses = Bounds { min: 1, max: 2 };
        scheme.age = Bounds { min: 5, max: 6 };
        let matches = |size: u64, nr_accesses, age| {
            scheme.matches(&Region { start: 100, end: 100 + size, nr_accesses, age })
        };
        assert!(matches(10, 1, 5) && matches(20, 2, 6));
        for (size, nr, age) in
            [(9, 1, 5), (21, 1, 5), (10, 0, 5), (10, 3, 5), (10, 1, 4), (10, 1, 7)]
        {
            assert!(!matches(size, nr, age), "{size} {nr} {age}");
        }
    }

    #[test]
    fn serialised_by_the_kernels_words() {
        let mut scheme = Scheme::new(Action::LruDeprio);
        scheme.filters = vec![
            Filter { kind: FilterType::Anon, matching: true, allow: false },
            Filter { kind: FilterType::Addr { start: 1, end: 2 }, matching: true, allow: true },
        ];
        let json = serde_json::to_value(&scheme).unwrap();
        assert_eq!(json["action"], "lru_deprio");
        assert_eq!(json["quota"]["goal_tuner"], "consist");
        assert_eq!(json["watermarks"]["metric"], "none");
        assert_eq!(
            json["filters"],
            serde_json::json!([
                {"type": "anon", "matching": true, "allow": false},
                {"type": "addr", "start": 1, "end": 2, "matching": true, "allow": true},
            ])
        );
        for filter in &scheme.filters {
            let tag = serde_json::to_value(filter).unwrap()["type"].clone();
            assert_eq!(tag, filter.kind.keyword());
        }
    }
}
