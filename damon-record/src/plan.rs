//! What is to be done, resolved and checked: the session knows this and never the command line.

use crate::damon::sysfs::IntervalsGoal;
use crate::units::{normalise_ranges, show_bytes, show_duration};
use damon_format::Attrs;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// Lower bound of regions, as in DAMON.
pub const DEFAULT_MIN_REGIONS: u32 = 10;
/// Upper bound of regions, as in DAMON.
pub const DEFAULT_MAX_REGIONS: u32 = 1000;
/// Interval at which mappings are read again.
pub const DEFAULT_UPDATE: Duration = Duration::from_secs(1);
/// Ceiling of what recording costs, in the recorder and the target, per cent of one core.
pub const DEFAULT_BUDGET_PERCENT: f64 = 1.0;
/// Where a recording goes when nobody says otherwise; its predecessor becomes `recording.damon.old`.
pub const DEFAULT_OUTPUT: &str = "recording.damon";
/// The kernel refuses fewer (`damon_set_attrs`): an address space starts as three regions.
pub const LEAST_MIN_REGIONS: u32 = 3;
/// More would cost more memory than the recorder allows itself.
pub const MOST_MAX_REGIONS: u32 = 50_000;

/// Proportional memory is not read more often.
pub const LEAST_PSS: Duration = Duration::from_secs(1);
/// Smaller parts would hold little but what they repeat of the parts before.
pub const LEAST_ROTATE_SIZE: u64 = 64 << 10;
/// Likewise.
pub const LEAST_ROTATE_TIME: Duration = Duration::from_secs(1);
/// With one part only, next to nothing would be left after each rotation.
pub const LEAST_KEEP: u32 = 2;

/// Sampling and aggregation interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intervals {
    /// Between two looks at the same region.
    pub sample: Duration,
    /// Over which looks are counted.
    pub aggr: Duration,
}

/// Who is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Running processes.
    Running(Wanted),
    /// A command to be started, with its arguments.
    Command(Vec<OsString>),
    /// Physical memory of the whole machine.
    Physical,
    /// Whatever a kdamond monitors that somebody else runs: the one with this index, or the only one.
    Kdamond(Option<u32>),
}

impl Subject {
    /// One running process.
    pub fn pid(pid: u32) -> Self {
        Self::Running(Wanted { pids: vec![pid], ..Wanted::default() })
    }
}

/// Running processes that are to be recorded: all that one of these rules names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// These, by number; a thread stands for its process.
    pub pids: Vec<u32>,
    /// All in these control groups and the groups below, now and later.
    pub cgroups: Vec<PathBuf>,
    /// All with these names, now and later.
    pub comms: Vec<String>,
}

/// Where the recording goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutputPlan {
    /// [`DEFAULT_OUTPUT`] in the current directory; an older one is kept as `.old`.
    Default,
    /// A file; an existing one is replaced only with `force`.
    File {
        /// Which.
        path: PathBuf,
        /// Replace it.
        force: bool,
    },
    /// Standard output.
    Stdout,
}

/// When a recording goes on in another file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rotation {
    /// Before a part would be larger, bytes.
    pub size: Option<u64>,
    /// This long after the part before was due.
    pub time: Option<Duration>,
    /// How many parts are kept, the one that is written included; all when absent.
    pub keep: Option<u32>,
}

impl Rotation {
    /// Checks it, for a recording that goes to `output`.
    fn check(&self, output: &OutputPlan) -> Result<(), String> {
        if self.size.is_none() && self.time.is_none() {
            return Err(
                "--keep keeps the newest parts of a recording in several: add --rotate-size or \
                        --rotate-time"
                    .into(),
            );
        }
        if *output == OutputPlan::Stdout {
            return Err("standard output is one stream and cannot be rotated: give a file name with -o, or \
                        leave out --rotate-size and --rotate-time"
                .into());
        }
        if let Some(size) = self.size.filter(|size| *size < LEAST_ROTATE_SIZE) {
            let (size, least) = (show_bytes(size), show_bytes(LEAST_ROTATE_SIZE));
            return Err(format!("--rotate-size {size} is too small: at least {least}"));
        }
        if let Some(time) = self.time.filter(|time| *time < LEAST_ROTATE_TIME) {
            let (time, least) = (show_duration(time), show_duration(LEAST_ROTATE_TIME));
            return Err(format!("--rotate-time {time} is too short: at least {least}"));
        }
        if let Some(keep) = self.keep.filter(|keep| *keep < LEAST_KEEP) {
            return Err(format!(
                "--keep {keep} is too few: right after each rotation next to nothing would be left; at \
                 least {LEAST_KEEP}"
            ));
        }
        Ok(())
    }
}

/// How much is said on standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Errors only.
    Quiet,
    /// Status line, decisions and summary.
    Normal,
    /// Also what led to the decisions.
    Verbose,
}

/// One recording, fully decided except for what only the target can tell.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Who.
    pub subject: Subject,
    /// Where to.
    pub output: OutputPlan,
    /// When it goes on in another file; one file when absent.
    pub rotation: Option<Rotation>,
    /// The FIFO that marks come through. A command has one of its own when this is absent.
    pub marks: Option<PathBuf>,
    /// For how long; until the target ends when absent.
    pub duration: Option<Duration>,
    /// Which backend; the best that works when absent.
    pub backend: Option<String>,
    /// What the user asked for; the backend's own default otherwise.
    pub sample: Option<Duration>,
    /// Likewise.
    pub aggr: Option<Duration>,
    /// Interval at which mappings are read again.
    pub update: Duration,
    /// How often proportional memory is recorded; not at all when absent.
    pub pss: Option<Duration>,
    /// Lower bound of regions.
    pub min_regions: u32,
    /// Upper bound of regions.
    pub max_regions: u32,
    /// Address ranges to monitor instead of everything mapped; aligned, ascending, disjoint.
    pub ranges: Vec<(u64, u64)>,
    /// Whether forked processes are recorded too.
    pub children: bool,
    /// Whether to wait for the first process of a control group or name, and go on when there is none.
    pub wait: bool,
    /// Ceiling of what recording costs, in the recorder and the target, per cent of one core; 100 and more
    /// are none.
    pub budget_percent: f64,
    /// File of DAMOS schemes to apply while recording.
    pub schemes: Option<PathBuf>,
    /// What the kernel is to tune the intervals for.
    pub goal: Option<IntervalsGoal>,
    /// Say what would be written to the kernel, and do nothing.
    pub dry_run: bool,
    /// How much is said.
    pub verbosity: Verbosity,
    /// Seed of the sampling; from the clock when absent.
    pub seed: Option<u64>,
}

impl Plan {
    /// A plan with every default for `subject`.
    pub fn new(subject: Subject) -> Self {
        Self {
            subject,
            output: OutputPlan::Default,
            rotation: None,
            marks: None,
            duration: None,
            backend: None,
            sample: None,
            aggr: None,
            update: DEFAULT_UPDATE,
            pss: None,
            min_regions: DEFAULT_MIN_REGIONS,
            max_regions: DEFAULT_MAX_REGIONS,
            ranges: Vec::new(),
            children: false,
            wait: false,
            budget_percent: DEFAULT_BUDGET_PERCENT,
            schemes: None,
            goal: None,
            dry_run: false,
            verbosity: Verbosity::Normal,
            seed: None,
        }
    }

    /// Checks what does not depend on the machine; aligns the ranges.
    pub fn validated(mut self, page_size: u64) -> Result<Self, String> {
        if let (Some(sample), Some(aggr)) = (self.sample, self.aggr)
            && sample > aggr
        {
            return Err(format!(
                "--sample {} is longer than --aggr {}: an aggregation needs at least one sample",
                show_duration(sample),
                show_duration(aggr)
            ));
        }
        if self.min_regions < LEAST_MIN_REGIONS {
            return Err(format!(
                "--min-regions {} is too few: at least {LEAST_MIN_REGIONS}",
                self.min_regions
            ));
        }
        if self.max_regions > MOST_MAX_REGIONS {
            return Err(format!(
                "--max-regions {} is too many: at most {MOST_MAX_REGIONS}",
                self.max_regions
            ));
        }
        if self.min_regions > self.max_regions {
            return Err(format!(
                "--min-regions {} is more than --max-regions {}",
                self.min_regions, self.max_regions
            ));
        }
        if let Some(pss) = self.pss.filter(|pss| *pss < LEAST_PSS) {
            let (pss, least) = (show_duration(pss), show_duration(LEAST_PSS));
            return Err(format!("--pss {pss} is too short: at least {least}"));
        }
        if self.pss.is_some() && self.subject == Subject::Physical {
            return Err(
                "--pss tells of processes, and --physical records none: leave it out".into()
            );
        }
        if let Some(rotation) = &self.rotation {
            rotation.check(&self.output)?;
        }
        self.ranges =
            normalise_ranges(&self.ranges, page_size).map_err(|why| format!("--regions: {why}"))?;
        Ok(self)
    }

    /// The intervals for a backend whose own defaults are `default`. When only one of the two is
    /// given, the other keeps the default's proportion.
    pub fn intervals(&self, default: Intervals) -> Intervals {
        let samples = default.aggr.as_nanos() / default.sample.as_nanos().max(1);
        let samples = u32::try_from(samples).unwrap_or(u32::MAX).max(1);
        match (self.sample, self.aggr) {
            (Some(sample), Some(aggr)) => Intervals { sample, aggr },
            (Some(sample), None) => Intervals { sample, aggr: sample.saturating_mul(samples) },
            (None, Some(aggr)) => {
                Intervals { sample: (aggr / samples).max(Duration::from_micros(1)), aggr }
            }
            (None, None) => default,
        }
    }

    /// The attributes as they are recorded.
    pub fn attrs(&self, intervals: Intervals) -> Attrs {
        let us = |d: Duration| u64::try_from(d.as_micros()).unwrap_or(u64::MAX);
        Attrs {
            sample_us: us(intervals.sample),
            aggr_us: us(intervals.aggr),
            update_us: us(self.update),
            min_nr_regions: self.min_regions,
            max_nr_regions: self.max_regions,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn plan() -> Plan {
        Plan::new(Subject::pid(1))
    }

    #[test]
    fn one_interval_keeps_the_proportion_of_the_default() {
        let default = Intervals { sample: 5 * MS, aggr: 100 * MS };
        let with = |sample: Option<u32>, aggr: Option<u32>| {
            let mut plan = plan();
            plan.sample = sample.map(|n| n * MS);
            plan.aggr = aggr.map(|n| n * MS);
            let got = plan.intervals(default);
            (got.sample.as_micros(), got.aggr.as_micros())
        };
        assert_eq!(with(None, None), (5_000, 100_000));
        assert_eq!(with(Some(10), None), (10_000, 200_000));
        assert_eq!(with(None, Some(1000)), (50_000, 1_000_000));
        assert_eq!(with(Some(7), Some(8)), (7_000, 8_000));
    }

    #[test]
    fn impossible_plans_name_the_option() {
        let mut longer = plan();
        (longer.sample, longer.aggr) = (Some(2 * MS), Some(MS));
        let mut few = plan();
        few.min_regions = 2;
        let mut crossed = plan();
        (crossed.min_regions, crossed.max_regions) = (20, 10);
        let mut many = plan();
        many.max_regions = u32::MAX;
        let mut overlap = plan();
        overlap.ranges = vec![(0x1000, 0x3000), (0x2000, 0x4000)];
        let mut hasty = plan();
        hasty.pss = Some(MS);
        let mut nobody = Plan::new(Subject::Physical);
        nobody.pss = Some(LEAST_PSS);
        let rotated = |size: Option<u64>, time: Option<Duration>, keep: Option<u32>| {
            let rotation = Some(Rotation { size, time, keep });
            Plan { rotation, ..plan() }
        };
        let mut stdout = rotated(Some(1 << 20), None, None);
        stdout.output = OutputPlan::Stdout;
        for (plan, option) in [
            (longer, "--sample 2ms"),
            (few, "--min-regions 2"),
            (crossed, "--min-regions 20"),
            (many, "--max-regions"),
            (hasty, "--pss 1ms"),
            (nobody, "--pss"),
            (overlap, "--regions"),
            (rotated(Some(65_535), None, None), "--rotate-size 63 KiB is too small"),
            (rotated(None, Some(999 * MS), None), "--rotate-time 999ms is too short"),
            (rotated(None, None, Some(3)), "--keep"),
            (rotated(Some(1 << 20), None, Some(1)), "--keep 1 is too few"),
            (stdout, "standard output"),
        ] {
            let text = plan.validated(4096).unwrap_err();
            assert!(text.contains(option), "{text}");
        }
        assert_eq!(plan().validated(4096), Ok(plan()));
        let smallest = rotated(Some(65_536), Some(1000 * MS), Some(2));
        assert_eq!(smallest.clone().validated(4096), Ok(smallest));
    }
}
