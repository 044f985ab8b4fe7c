//! What is simulated, and whether it can be: everything that is decided before the first snapshot is read.

mod caution;
mod check;

pub(super) use check::check_units;

use super::backing::Backing;
use super::huge::Huge;
use super::series::Series;
use super::tiers::Tiers;
use crate::analysis::groups::GroupBy;
use crate::analysis::layout::Layouts;
use crate::analysis::load::Trace;
use crate::analysis::mappings;
use crate::analysis::select::Selection;
use crate::analysis::spans::SpanSet;
use crate::analysis::view::View;
use crate::analysis::wss::ResidentSample;
use damon_format::damos::kernel::{Action, Watermarks};
use damon_format::damos::rules::{Addresses, KernelRules};
use damon_format::damos::{Scheme, Schemes, SchemesError};
use damon_format::{Attrs, Granularity, Record, Sampling, TargetId, TargetKind};
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
    /// A block has so many regions of several targets that going through it again and again would take too long.
    #[error(
        "a block of the recording has more than {most} regions of several targets, too many to put together: no recorder          of ours writes such blocks; --target takes one target alone"
    )]
    CrowdedBlock {
        /// Most that can be.
        most: usize,
    },
    /// Targets of several kdamonds with different intervals.
    #[error(
        "target {one} has an aggregation interval of {one_ms} ms and target {other} one of {other_ms} ms at the same time: they were          monitored by several kdamonds, each of which counts ages in its own intervals and applies schemes on its own;          --target takes one target alone"
    )]
    Mixed {
        /// A target.
        one: TargetId,
        /// Its aggregation interval, milliseconds.
        one_ms: String,
        /// Another one.
        other: TargetId,
        /// Its aggregation interval, milliseconds.
        other_ms: String,
    },
    /// Moments of several targets have more regions than a recording of this size can have.
    #[error(
        "the recording has more than {most} regions of several targets at the same time, more than a file of its size \
         should have, and too many to put together; --target takes one target alone"
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
            Some((target.target, mappings::accessible(&overview.mappings, target.target, &time)?))
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
            backing: Backing::of(records, &overview.mappings),
            layouts: Layouts::new(&overview.mappings, options.group_by),
            exact: info.backend.exact || info.backend.granularity == Granularity::Mapping,
            single: overview.targets.len() <= 1,
            origin_ns: view.origin_ns,
            options,
            assumptions: Vec::new(),
            warnings: Vec::new(),
        };
        plan.warn_of_recording(info.backend.access, records);
        plan.warnings.extend(caution::coverage(&overview.targets));
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

    /// The schemes without what is to be ignored.
    pub(super) fn as_simulated(&self, schemes: Schemes) -> Schemes {
        if !self.options.ignore_watermarks {
            return schemes;
        }
        without_watermarks(schemes.as_slice().to_vec()).unwrap_or(schemes)
    }
}

pub(super) fn attrs(sample_us: u64, aggr_us: u64) -> Attrs {
    Attrs { sample_us, aggr_us, update_us: 0, min_nr_regions: 0, max_nr_regions: 0 }
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

fn without_watermarks(mut list: Vec<Scheme>) -> Option<Schemes> {
    for scheme in &mut list {
        scheme.watermarks = Watermarks::NONE;
    }
    Schemes::new(list)
}
