//! What is simulated, and whether it can be: everything that is decided before the first snapshot is read.

use super::backing::Backing;
use super::huge::Huge;
use super::line::share;
use super::series::Series;
use super::tiers::{self, Tiers};
use crate::analysis::groups::GroupBy;
use crate::analysis::layout::Layouts;
use crate::analysis::load::Trace;
use crate::analysis::mappings;
use crate::analysis::num::float;
use crate::analysis::overview::TargetExtent;
use crate::analysis::select::Selection;
use crate::analysis::spans::SpanSet;
use crate::analysis::view::View;
use crate::analysis::wss::ResidentSample;
use damon_format::damos::kernel::{Action, Filter, Goal, WatermarkMetric, Watermarks};
use damon_format::damos::rules::{Addresses, KernelRules};
use damon_format::damos::{Scheme, Schemes, SchemesError};
use damon_format::{AccessKind, Attrs, Granularity, Record, Sampling, TargetId, TargetKind};
use std::collections::BTreeMap;

/// What the user decides.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent decisions of the user")]
pub struct Options {
    /// Whose rules; those of the recording's kernel where `None`.
    pub kernel: Option<KernelRules>,
    /// How fast actions are, bytes per millisecond: what time quotas are charged by.
    pub bytes_per_ms: u64,
    /// Schemes are always on, whatever their watermarks say.
    pub ignore_watermarks: bool,
    /// Filters of pages let everything pass.
    pub ignore_page_filters: bool,
    /// Memory that was not *written* may be put away.
    pub accept_write_only: bool,
    /// Remember all regions to which schemes were applied.
    pub keep_applied: bool,
    /// The same schemes were at work while recording: ages are those that they have left behind.
    pub replay: bool,
    /// How finely mappings are told apart.
    pub group_by: GroupBy,
    /// Size of the fast tier, bytes; none without limit.
    pub fast_tier: Option<u64>,
    /// Follow tiers even if no scheme migrates.
    pub follow_tiers: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            kernel: None,
            bytes_per_ms: Self::BYTES_PER_MS,
            ignore_watermarks: false,
            ignore_page_filters: false,
            accept_write_only: false,
            keep_applied: false,
            replay: false,
            group_by: GroupBy::Mapping,
            fast_tier: None,
            follow_tiers: false,
        }
    }
}

impl Options {
    /// 4 MiB: what the kernel assumes before it has measured anything.
    pub const BYTES_PER_MS: u64 = 4 << 20;
}

/// Why schemes cannot be simulated on a recording.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SimulateError {
    /// Regions have no ages.
    #[error(
        "the recording does not tell the ages of regions (kernels before 5.16 do not), and schemes cannot be \
         simulated without"
    )]
    NoAges,
    /// The recording is shorter than the age that all schemes ask for.
    #[error(
        "the recording lasts {lasts} s, and the schemes ask for memory that has been as it is for at least {asked} s: \
         nothing can be said about that; record for longer, or ask for a lower age"
    )]
    TooShort {
        /// Seconds.
        lasts: String,
        /// Seconds.
        asked: String,
    },
    /// Bounds mean nothing with the intervals of the recording.
    #[error("{0}")]
    Units(#[from] SchemesError),
    /// Reads are not recorded.
    #[error(
        "the recording saw writes only: \"cold\" is what was not written, which may have been read all the time, and \
         {0} of that is bad advice; record with a backend that sees reads, or say --accept-write-only"
    )]
    WriteOnly(Action),
    /// All variants of a sweep mean nothing.
    #[error("none of the {count} variants can be simulated; the first one: {why}")]
    NoVariant {
        /// How many.
        count: usize,
        /// What is wrong with the first one.
        why: String,
    },
    /// Moments of several targets are too far apart in the file to be put together in bounded memory.
    #[error(
        "the recording has more than {most} regions of several targets in one piece, too many to put their moments \
         together; `damon-report slice` writes it in smaller pieces, and --target takes one target alone"
    )]
    Crowded {
        /// Regions that are held.
        most: usize,
    },
    /// Something that the recording cannot tell.
    #[error("schemes[{index}]{why}")]
    Unknown {
        /// Position of the scheme.
        index: usize,
        /// Member, what is missing, and what to do.
        why: String,
    },
}

/// What becomes of memory under an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// It is put away until it is accessed.
    Away,
    /// It is brought back.
    Back,
    /// It stays where it is.
    None,
}

impl Effect {
    pub(super) fn of(action: Action) -> Self {
        match action {
            Action::Pageout | Action::Cold | Action::LruDeprio | Action::MigrateCold => Self::Away,
            Action::Willneed | Action::LruPrio | Action::MigrateHot => Self::Back,
            Action::Hugepage | Action::Nohugepage | Action::Collapse | Action::Stat => Self::None,
        }
    }
}

/// Whether DAMON applies the action to such addresses; otherwise it tries, and nothing happens.
pub(super) fn works(action: Action, addresses: Addresses) -> bool {
    match action {
        Action::Pageout | Action::MigrateHot | Action::MigrateCold | Action::Stat => true,
        Action::LruPrio | Action::LruDeprio => addresses == Addresses::Physical,
        Action::Willneed
        | Action::Cold
        | Action::Hugepage
        | Action::Nohugepage
        | Action::Collapse => addresses == Addresses::Virtual,
    }
}

/// A simulation that can begin.
#[derive(Debug)]
pub struct Plan<'a> {
    pub(super) selection: &'a Selection,
    pub(super) schemes: Schemes,
    pub(super) addresses: Addresses,
    pub(super) rules: KernelRules,
    pub(super) page_size: u64,
    pub(super) options: Options,
    pub(super) series: Series,
    pub(super) resident: Vec<ResidentSample>,
    /// When targets ended, ascending.
    pub(super) exits: Vec<(u64, TargetId)>,
    /// What was mapped at some time with a right to access it, where that is known.
    pub(super) mapped: BTreeMap<TargetId, SpanSet>,
    /// What could be accessed when, and how much of it was resident.
    pub(super) backing: Backing,
    /// Whose an address was when.
    pub(super) layouts: Layouts,
    /// Rates carry no sampling error.
    pub(super) exact: bool,
    /// All snapshots are of one target.
    pub(super) single: bool,
    pub(super) origin_ns: u64,
    pub(super) assumptions: Vec<String>,
    pub(super) warnings: Vec<String>,
}

impl<'a> Plan<'a> {
    /// Looks at what is asked for and what was recorded.
    pub fn new(
        trace: &Trace,
        view: &'a View,
        schemes: &Schemes,
        options: Options,
    ) -> Result<Self, SimulateError> {
        let overview = &view.overview;
        if !overview.has_ages {
            return Err(SimulateError::NoAges);
        }
        let records = &overview.records;
        let info = trace.info();
        let is_physical = records.iter().any(
            |record| matches!(record, Record::TargetStarted(t) if t.kind == TargetKind::Physical),
        );
        let addresses = if is_physical { Addresses::Physical } else { Addresses::Virtual };
        let of_recording = KernelRules::of_release(&info.kernel);
        let rules = options.kernel.or(of_recording).unwrap_or_default();
        let page_size = if info.page_size == 0 { 4096 } else { u64::from(info.page_size) };
        let time = view.time();
        let mapped = overview.targets.iter().filter_map(|target| {
            Some((target.target, mappings::accessible(records, target.target, &time)?))
        });
        let mapped: BTreeMap<TargetId, SpanSet> = mapped.collect();
        let mut exits: Vec<(u64, TargetId)> = records
            .iter()
            .filter_map(|record| match record {
                Record::TargetExited(exited) => Some((exited.time_ns, exited.target)),
                _ => None,
            })
            .collect();
        exits.sort_unstable();
        let mut plan = Self {
            selection: &view.selection,
            schemes: schemes.clone(),
            addresses,
            rules,
            page_size,
            series: Series::of(records),
            resident: view.resident(),
            exits,
            mapped,
            backing: Backing::of(records),
            layouts: Layouts::new(records, options.group_by),
            exact: info.backend.exact || info.backend.granularity == Granularity::Mapping,
            single: overview.targets.len() <= 1,
            origin_ns: view.origin_ns,
            options,
            assumptions: Vec::new(),
            warnings: Vec::new(),
        };
        plan.warn_of_recording(info.backend.access, records);
        plan.warnings.extend(coverage(&overview.targets));
        if plan.options.kernel.is_none() && of_recording.is_none() {
            plan.assume(
                "the recording does not name its kernel: by the rules of Linux 6.18".into(),
            );
        }
        plan.check_access(info.backend.access)?;
        plan.check(schemes, view)?;
        plan.schemes = plan.as_simulated(schemes.clone());
        plan.assume(
            "what was recorded goes on as it was: in truth an action changes later accesses, and memory that came \
             back is looked for longer"
                .into(),
        );
        Ok(plan)
    }

    /// What of it depends on the snapshots, beside the warnings.
    pub(super) fn depends(self) -> Depends {
        let Self { single, mapped, resident, assumptions, .. } = self;
        Depends { single, mapped, resident, assumptions }
    }

    /// Whether it does what a plan did that depended on this.
    pub(super) fn is_as(&self, other: &Depends) -> bool {
        let Depends { single, mapped, resident, assumptions } = other;
        self.single == *single
            && self.mapped == *mapped
            && self.resident == *resident
            && self.assumptions == *assumptions
    }

    /// The tiers that are followed.
    pub(super) fn tiers(&self) -> Option<Tiers> {
        let migrates = self.schemes.as_slice().iter().any(|scheme| scheme.action.migrates());
        let wanted = migrates || self.options.follow_tiers || self.options.fast_tier.is_some();
        wanted.then(|| Tiers::new(&self.schemes, self.options.fast_tier))
    }

    /// The huge pages that are followed.
    pub(super) fn huge(&self) -> Option<Huge> {
        let actions = self.schemes.as_slice().iter().map(|scheme| scheme.action);
        actions.into_iter().any(Huge::is_about).then(Huge::default)
    }

    /// What speaks against believing the result, as far as it is known before.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// On what the result rests.
    pub fn assumptions(&self) -> &[String] {
        &self.assumptions
    }

    fn assume(&mut self, text: String) {
        if !self.assumptions.contains(&text) {
            self.assumptions.push(text);
        }
    }

    fn warn_of_recording(&mut self, access: AccessKind, records: &[Record]) {
        if access == AccessKind::Write {
            self.warnings.push(
                "WRITES ONLY: cold means not written; memory that is only read counts as cold, and its refaults are \
                 not seen"
                    .into(),
            );
        }
        let acted = records.iter().any(|record| {
            matches!(record, Record::SchemeInstalled(installed) if is_acting(&installed.json))
        });
        if acted && !self.options.replay {
            self.warnings.push(
                "schemes were active while recording: they have reset ages and changed what was accessed".into(),
            );
        }
    }

    fn check_access(&self, access: AccessKind) -> Result<(), SimulateError> {
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
    pub(super) fn check(&mut self, schemes: &Schemes, view: &View) -> Result<(), SimulateError> {
        check_units(schemes, view)?;
        for (index, scheme) in schemes.as_slice().iter().enumerate() {
            self.check_scheme(index, scheme, view)?;
        }
        Ok(())
    }

    /// The schemes without what is to be ignored.
    pub(super) fn as_simulated(&self, schemes: Schemes) -> Schemes {
        if !self.options.ignore_watermarks {
            return schemes;
        }
        without_watermarks(schemes.as_slice().to_vec()).unwrap_or(schemes)
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

/// What of a plan depends on the snapshots of a recording.
#[derive(Debug)]
pub(super) struct Depends {
    single: bool,
    mapped: BTreeMap<TargetId, SpanSet>,
    resident: Vec<ResidentSample>,
    assumptions: Vec<String>,
}

pub(super) fn attrs(sample_us: u64, aggr_us: u64) -> Attrs {
    Attrs { sample_us, aggr_us, update_us: 0, min_nr_regions: 0, max_nr_regions: 0 }
}

/// On what accounts of tiers rest.
const TIERS: &str = "all that is mapped has pages; memory begins in the fast tier as far as there is room, each address with the \
                     same share; only schemes move it, an access does not";

/// On what accounts of huge pages rest.
const HUGE: &str = "aligned 2 MiB blocks that lie wholly in advised and mapped memory become huge pages at once, and stop being ones \
                    at once when they are advised otherwise; in truth both take khugepaged, a fault or reclaim";

/// A part of the time that is not covered below which nobody is told.
const GAPS: f64 = 0.01;

/// The same for the part by which aggregations are too long; a few per cent are usual with the kernel's DAMON.
const STRETCH: f64 = 0.05;

/// How much of the time was not observed, and how much longer aggregations took than they should.
fn coverage(targets: &[TargetExtent]) -> Vec<String> {
    let sum = |of: &dyn Fn(&TargetExtent) -> u64| {
        float(targets.iter().map(of).fold(0, u64::saturating_add))
    };
    let spanned = sum(&|t| t.end_ns.saturating_sub(t.start_ns));
    let (observed, nominal) = (sum(&|t| t.observed_ns), sum(&|t| t.nominal_ns));
    let mut warnings = Vec::new();
    let missing = share(spanned - observed, spanned);
    if missing > GAPS {
        warnings.push(format!(
            "{:.1} % of the time was not recorded: what was accessed then is not seen, and nothing is applied",
            missing * 100.0
        ));
    }
    let stretch = share(observed - nominal, nominal);
    if stretch > STRETCH {
        warnings.push(format!(
            "aggregations took {:.1} % longer than their interval: ages are that much greater in truth, and schemes would \
             be applied as much later",
            stretch * 100.0
        ));
    }
    warnings
}

/// Intervals and region limits to monitor by in the way of a recording; what it does not tell is as DAMON has it.
pub(super) fn default_attrs(recorded: Attrs, samplings: &[Sampling]) -> Attrs {
    let or = |value: u64, default: u64| if value == 0 { default } else { value };
    let (sample_us, aggr_us) = match samplings.first() {
        Some(first) if recorded.sample_us == 0 || recorded.aggr_us == 0 => {
            (first.sample_us, first.aggr_us)
        }
        _ => (recorded.sample_us, recorded.aggr_us),
    };
    let (min, max) = (recorded.min_nr_regions, recorded.max_nr_regions);
    let unknown = min == 0 || max == 0;
    Attrs {
        sample_us: or(sample_us, 5_000),
        aggr_us: or(aggr_us, 100_000),
        update_us: or(recorded.update_us, 1_000_000),
        min_nr_regions: if unknown { 10 } else { min },
        max_nr_regions: if unknown { 1_000 } else { max },
    }
}

/// Whether schemes mean something with all intervals of the recording.
pub(super) fn check_units(schemes: &Schemes, view: &View) -> Result<(), SimulateError> {
    for sampling in &view.overview.samplings {
        schemes.to_kernel(&attrs(sampling.sample_us, sampling.aggr_us))?;
    }
    Ok(())
}

fn without_watermarks(mut list: Vec<Scheme>) -> Option<Schemes> {
    for scheme in &mut list {
        scheme.watermarks = Watermarks::NONE;
    }
    Schemes::new(list)
}

/// Whether a scheme that was in force did anything but count.
fn is_acting(json: &str) -> bool {
    Schemes::from_json(&format!("[{json}]"))
        .or_else(|_| Schemes::from_json(json))
        .map_or(true, |schemes| schemes.as_slice().iter().any(|s| s.action != Action::Stat))
}
