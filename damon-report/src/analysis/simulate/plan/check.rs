//! Whether schemes can be simulated on a recording: what it does not tell, and what is assumed instead.

use super::{Effect, Plan, SimulateError, attrs, works};
use crate::analysis::simulate::huge::Huge;
use crate::analysis::simulate::tiers;
use crate::analysis::view::View;
use damon_format::AccessKind;
use damon_format::damos::kernel::{Filter, Goal, WatermarkMetric};
use damon_format::damos::rules::Addresses;
use damon_format::damos::{Scheme, Schemes};

/// On what accounts of tiers rest.
const TIERS: &str = "all that is mapped has pages; memory begins in the fast tier as far as there is room, each address with the \
                     same share; only schemes move it, an access does not";

/// On what accounts of huge pages rest.
const HUGE: &str = "aligned 2 MiB blocks that lie wholly in advised and mapped memory become huge pages at once, and stop being ones \
                    at once when they are advised otherwise; in truth both take khugepaged, a fault or reclaim";

impl Plan<'_> {
    pub(super) fn check_access(&self, access: AccessKind) -> Result<(), SimulateError> {
        if access != AccessKind::Write || self.options.accept_write_only {
            return Ok(());
        }
        let actions = self.schemes.as_slice().iter().map(|scheme| scheme.action);
        match actions.into_iter().find(|action| Effect::of(*action) == Effect::Away) {
            Some(action) => Err(SimulateError::WriteOnly(action)),
            None => Ok(()),
        }
    }

    /// Whether such schemes can be simulated; adds on what assumptions.
    pub(in crate::analysis::simulate) fn check(
        &mut self,
        schemes: &Schemes,
        view: &View,
    ) -> Result<(), SimulateError> {
        check_units(schemes, view)?;
        for (index, scheme) in schemes.as_slice().iter().enumerate() {
            self.check_scheme(index, scheme, view)?;
        }
        Ok(())
    }

    fn check_scheme(
        &mut self,
        index: usize,
        scheme: &Scheme,
        view: &View,
    ) -> Result<(), SimulateError> {
        let unknown = |why: String| Err(SimulateError::Unknown { index, why });
        for sampling in view.overview.samplings.iter().filter(|_| scheme.apply_interval_us > 0) {
            let (asked, aggr) = (scheme.apply_interval_us, sampling.aggr_us);
            if asked < aggr {
                return unknown(format!(
                    ".apply_interval_us: {asked} us is shorter than the recording's aggregation interval of {aggr} us, \
                     between whose ends nothing was recorded; ask for at least that, or leave it out"
                ));
            }
            if asked % aggr.max(1) != 0 {
                self.assume(format!(
                    "schemes[{index}] is applied at the first aggregation that ends after each {asked} us"
                ));
            }
        }
        let pages: Vec<&Filter> = scheme.filters.iter().filter(|f| !f.kind.is_core()).collect();
        if let Some(filter) = pages.first() {
            let kind = filter.kind.keyword();
            if !self.options.ignore_page_filters {
                return unknown(format!(
                    ".filters: recordings do not tell which pages are `{kind}`; leave the filter out, or say \
                     --ignore-page-filters to let everything pass"
                ));
            }
            self.assume(format!(
                "schemes[{index}]: everything passes its filters of pages ({kind}), an upper bound"
            ));
        }
        let goals = &scheme.quota.goals;
        let node = tiers::fast_node(&self.schemes);
        let of_tier =
            |goal: &&Goal| self.options.fast_tier.is_some() && tiers::is_about(goal, node);
        let recorded: Vec<&Goal> = goals.iter().filter(|goal| !of_tier(goal)).collect();
        if let Some(goal) = recorded.iter().find(|goal| !self.series.knows(goal)) {
            return unknown(format!(
                ".quotas.goals: the recording does not tell `{}` of node {} over time; leave the goal out{}",
                goal.metric,
                goal.nid,
                if tiers::is_about(goal, node) {
                    ", or give the node a size: --fast-tier"
                } else {
                    ""
                }
            ));
        }
        if recorded.len() < goals.len() {
            self.assume(format!(
                "schemes[{index}]: goals of node {node} are measured by how full the simulated fast tier is"
            ));
        }
        if !recorded.is_empty() {
            self.assume(format!(
                "schemes[{index}]: goals are measured by what was recorded, machine-wide and without the scheme's effect"
            ));
        }
        if scheme.watermarks.metric != WatermarkMetric::None {
            if self.options.ignore_watermarks {
                self.assume(format!("schemes[{index}] is always on: its watermarks are ignored"));
            } else if !self.series.has_memory() {
                return unknown(
                    ".watermarks: the recording does not tell the machine's free memory; leave them out, or say \
                     --ignore-watermarks"
                        .into(),
                );
            } else {
                self.assume(format!(
                    "schemes[{index}]: free memory is as recorded, without the scheme's effect, and monitoring goes on \
                     while it is off"
                ));
            }
        }
        if scheme.quota.ms > 0 {
            self.assume(format!(
                "schemes[{index}]: the action takes 1 ms for each {} KiB, and time is measured exactly",
                self.options.bytes_per_ms / 1024
            ));
        }
        if !works(scheme.action, self.addresses) {
            let what = match self.addresses {
                Addresses::Physical => "physical",
                Addresses::Virtual => "virtual",
            };
            let warning = format!(
                "schemes[{index}]: DAMON does nothing for `{}` on {what} addresses: it would be tried and not applied",
                scheme.action
            );
            // A sweep asks once for each variant.
            if !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
        }
        if scheme.action.migrates() {
            self.assume(TIERS.into());
        }
        if Huge::is_about(scheme.action) {
            self.assume(HUGE.into());
        }
        if Effect::of(scheme.action) != Effect::None {
            self.assume("an action works for all of the memory to which it is applied".into());
        }
        Ok(())
    }
}

/// Whether schemes mean something with all intervals of the recording.
pub(in crate::analysis::simulate) fn check_units(
    schemes: &Schemes,
    view: &View,
) -> Result<(), SimulateError> {
    for sampling in &view.overview.samplings {
        schemes.to_kernel(&attrs(sampling.sample_us, sampling.aggr_us))?;
    }
    Ok(())
}
