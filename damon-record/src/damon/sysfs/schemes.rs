//! Schemes: `schemes/N`, in the kernel's units. What is written there to install them tells
//! [`damon_format::damos::sysfs`].

use super::error::TreeError;
use super::plan::Plan;
use super::tree::Tree;
use damon_format::damos::kernel::Scheme;
use damon_format::damos::sysfs;

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

/// Makes all schemes anew.
pub(in crate::damon) fn plan(plan: &mut Plan, schemes: &[Scheme]) {
    for step in sysfs::steps(schemes) {
        plan.push(step);
    }
}
