//! A context: what is monitored, and how.

use super::error::TreeError;
use super::schemes::SchemeFiles;
use super::tree::Tree;
use damon_format::Attrs;
use damon_format::damos::sysfs::NR_SCHEMES;

/// A set of monitoring operations: which addresses are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operations {
    /// Virtual addresses of processes; regions follow their mappings.
    Vaddr,
    /// Virtual addresses of processes; regions stay as given.
    Fvaddr,
    /// Physical addresses.
    Paddr,
}

impl Operations {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Vaddr, Self::Fvaddr, Self::Paddr];

    /// The kernel's word for it.
    pub const fn keyword(self) -> &'static str {
        match self {
            Self::Vaddr => "vaddr",
            Self::Fvaddr => "fvaddr",
            Self::Paddr => "paddr",
        }
    }

    /// The set that `keyword` names.
    pub fn from_keyword(keyword: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operations| operations.keyword() == keyword)
    }
}

/// Automatic tuning of the sampling and aggregation intervals (6.15), in which the kernel observes as many
/// accesses as asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IntervalsGoal {
    /// Observed share of the accesses that could be observed, in 1/10000.
    pub access_bp: u64,
    /// Tune every so many aggregations; 0: never.
    pub aggrs: u64,
    /// Never sample faster, microseconds.
    pub min_sample_us: u64,
    /// Never sample slower, microseconds.
    pub max_sample_us: u64,
}

/// One context; its directory is held.
#[derive(Clone, Debug)]
pub struct Context {
    tree: Tree,
}

impl Context {
    pub(in crate::damon) const TARGETS: &'static str = "targets/nr_targets";
    pub(in crate::damon) const SCHEMES: &'static str = NR_SCHEMES;

    /// The context whose directory `tree` is.
    pub fn new(tree: Tree) -> Self {
        Self { tree }
    }

    /// Its files.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The kernel's word for its set of operations.
    pub fn operations(&self) -> Result<String, TreeError> {
        self.tree.read("operations")
    }

    /// The sets that this kernel is built with; `None` before 5.19, where it does not say.
    pub fn avail_operations(&self) -> Result<Option<Vec<String>>, TreeError> {
        if !self.tree.exists("avail_operations") {
            return Ok(None);
        }
        let text = self.tree.read("avail_operations")?;
        Ok(Some(text.split_whitespace().map(str::to_owned).collect()))
    }

    /// Bytes per unit of address (6.18, physical addresses only); 1 on kernels without it.
    pub fn addr_unit(&self) -> Result<u64, TreeError> {
        Ok(self.tree.optional_number("addr_unit")?.unwrap_or(1))
    }

    /// Intervals and region limits as the files say. Of a running context they may differ from what is in
    /// force: written and not committed, or tuned.
    pub fn attrs(&self) -> Result<Attrs, TreeError> {
        let of = |name: &str| format!("monitoring_attrs/{name}");
        Ok(Attrs {
            sample_us: self.tree.number(&of("intervals/sample_us"))?,
            aggr_us: self.tree.number(&of("intervals/aggr_us"))?,
            update_us: self.tree.number(&of("intervals/update_us"))?,
            min_nr_regions: self.tree.number(&of("nr_regions/min"))?,
            max_nr_regions: self.tree.number(&of("nr_regions/max"))?,
        })
    }

    /// The tuning goal; `None` on kernels without it.
    pub fn intervals_goal(&self) -> Result<Option<IntervalsGoal>, TreeError> {
        let dir = "monitoring_attrs/intervals/intervals_goal";
        if !self.tree.exists(dir) {
            return Ok(None);
        }
        let of = |name: &str| self.tree.number(&format!("{dir}/{name}"));
        Ok(Some(IntervalsGoal {
            access_bp: of("access_bp")?,
            aggrs: of("aggrs")?,
            min_sample_us: of("min_sample_us")?,
            max_sample_us: of("max_sample_us")?,
        }))
    }

    /// How many targets there are.
    pub fn nr_targets(&self) -> Result<u32, TreeError> {
        self.tree.number(Self::TARGETS)
    }

    /// `pid_target` of each target, in order; what it says for physical addresses means nothing.
    pub fn target_pids(&self) -> Result<Vec<i32>, TreeError> {
        (0..self.nr_targets()?)
            .map(|index| self.tree.number(&format!("targets/{index}/pid_target")))
            .collect()
    }

    /// How many schemes there are.
    pub fn nr_schemes(&self) -> Result<u32, TreeError> {
        self.tree.number(Self::SCHEMES)
    }

    /// The files of scheme `index`, held.
    pub fn scheme(&self, index: u32) -> Result<SchemeFiles, TreeError> {
        Ok(SchemeFiles::new(self.tree.hold(&format!("schemes/{index}"))?))
    }
}
