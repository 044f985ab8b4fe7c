//! The command line: parsed here, turned into a [`Plan`](crate::plan::Plan), forgotten.

mod kernel;
mod mark;
mod mistaken;
mod pid;
mod plan;
#[cfg(test)]
mod tests;

pub use mark::MarkArgs;
pub use mistaken::explained;

use crate::damon::sysfs::IntervalsGoal;
use crate::plan::{DEFAULT_BUDGET_PERCENT, DEFAULT_MAX_REGIONS, DEFAULT_MIN_REGIONS};
use crate::units::{parse_duration, parse_intervals_goal, parse_percent, parse_range, parse_size};
use clap::{Args, Parser, Subcommand};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// Of backends: the best that works.
const AUTO: &str = "auto";

const FIRST_EXAMPLES: &str = "\
Examples:
  damon-record 4242                        record a running process until it ends or Ctrl-C
  damon-record -d 30s -o web.damon 4242    for thirty seconds, into web.damon
  damon-record -- make -j4                 start a command and record it from its first instruction
  damon-record doctor                      which backends work on this machine, and why not
  damon-report heatmap recording.damon     look at the result";

const EXAMPLES: &str = "\
Examples:
  damon-record 4242                        record a running process until it ends or Ctrl-C
  damon-record -d 30s -o web.damon 4242    for thirty seconds, into web.damon
  damon-record 4242 4243                   several processes in one recording
  damon-record --cgroup system.slice/web.service   all processes of a service, coming and going
  damon-record --comm postgres --wait      all of this name; waits for the first
  damon-record -- make -j4                 start a command and record it from its first instruction
  damon-record --physical -d 1m            the whole machine, by the kernel's DAMON
  damon-record --backend attach            whatever a kdamond monitors that somebody else runs
  damon-record --rotate-size 64MiB --keep 10 4242   a flight recorder of ten files; kill -USR1
                                           keeps them under other names
  damon-record --marks /tmp/m 4242         with names for phases: echo load >/tmp/m, or
                                           damon-record mark --to /tmp/m load; a command has
                                           such a FIFO by itself: \"$DAMON_RECORD_MARKS\"
  damon-record --backend referenced 4242   choose how accesses are seen
  damon-record doctor                      which backends work on this machine, and why not
  damon-report heatmap recording.damon     look at the result

Exit status:
  0 recorded; 2 the command line makes no sense; 3 the target cannot be observed;
  5 the recording cannot be written; with -- COMMAND the command's own status
  (126 it cannot be executed, 127 it was not found).";

/// Headings of the help.
const WHO: &str = "Who is recorded";
const WHERE: &str = "Where to, and until when";
const HOW: &str = "How it is looked at";
const BESIDE: &str = "What is recorded or done beside";
const KERNEL: &str = "With the kernel's DAMON";
const WORDS: &str = "What is said";

const BACKENDS: &str = "\
How accesses are seen.
auto: the best that works here
damon: reads and writes, by the kernel's DAMON (root; CONFIG_DAMON_SYSFS, used by nobody else)
pte: reads and writes, single pages (root; x86-64, Linux 5.10+ with BPF and BTF)
idle: reads and writes of all who share a page (root; CONFIG_IDLE_PAGE_TRACKING)
writes: writes, single pages (userfaultfd, PAGEMAP_SCAN; Linux 6.7+)
soft-dirty: writes, all pages, from 1 s on (clear_refs; CONFIG_MEM_SOFT_DIRTY)
referenced: reads and writes, whole mappings (clear_refs, smaps)
attach: what a kdamond sees that somebody else runs; nothing of it is changed (root)";

/// Record which memory a program really accesses.
#[derive(Debug, Parser)]
#[command(
    name = "damon-record",
    version,
    after_help = FIRST_EXAMPLES,
    after_long_help = EXAMPLES,
    args_conflicts_with_subcommands = true,
    override_usage = "damon-record [OPTIONS] <PID>...\n       damon-record [OPTIONS] --cgroup <PATH> | --comm <NAME>\n       damon-record [OPTIONS] -- <COMMAND> [ARG]...\n       damon-record [OPTIONS] --physical | --backend attach\n       damon-record mark [--to <PATH>] <TEXT>...\n       damon-record doctor [--json]\n       damon-record completions <SHELL> | man"
)]
pub struct Cli {
    /// Something other than recording.
    #[command(subcommand)]
    pub action: Option<Action>,
    /// What to record and how.
    #[command(flatten)]
    pub record: RecordArgs,
}

/// Subcommands.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Tell which backends work on this machine, each with the reason; changes nothing
    Doctor {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Name what begins now, in the recording that listens
    Mark(MarkArgs),
    /// Print a script that completes this program's command lines in a shell
    Completions {
        /// For which shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
}

/// Arguments of a recording.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "one per switch of the command line")]
pub struct RecordArgs {
    /// Processes to record; the id of a thread stands for its process
    #[arg(value_name = "PID", value_delimiter = ',', value_parser = pid::parse_pid)]
    pub pids: Vec<u32>,

    /// Record all processes of a control group and of the groups below it, coming and going
    ///
    /// PATH is its directory, or its path as in /proc/PID/cgroup. Ends when the group is removed or has been empty
    /// for a second.
    #[arg(long, value_name = "PATH", help_heading = WHO)]
    pub cgroup: Vec<PathBuf>,

    /// Record all processes of this name, coming and going
    ///
    /// NAME is as ps -o comm shows it, or a longer name of the executable or script. A process that executes another program
    /// later stays recorded. Ends when there has been none for a second.
    #[arg(
        long,
        value_name = "NAME",
        value_parser = clap::builder::NonEmptyStringValueParser::new(),
        help_heading = WHO
    )]
    pub comm: Vec<String>,

    /// With --cgroup and --comm: wait for the first process, and go on when there is none
    ///
    /// Until Ctrl-C, --duration, or the removal of the group.
    #[arg(long, help_heading = WHO)]
    pub wait: bool,

    /// Command to start and record
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,

    /// Record forked processes too, once they have memory of their own
    ///
    /// Root is told of them by the kernel and takes them up within 20 ms; how many ended before that is said and
    /// recorded. For others they are looked for every 50 ms, and who lives shorter is not noticed. With sampling
    /// intervals that are longer, it is done between two samples.
    #[arg(long, help_heading = WHO)]
    pub children: bool,

    /// Record physical memory of the whole machine, by the kernel's DAMON; with --regions only these ranges
    #[arg(long, help_heading = WHO)]
    pub physical: bool,

    /// Write the recording to FILE, "-" is standard output [default: recording.damon, whose predecessor becomes
    /// recording.damon.old]
    ///
    /// What a command itself writes to standard output goes to standard error then.
    #[arg(short, long, value_name = "FILE", help_heading = WHERE)]
    pub output: Option<PathBuf>,

    /// Replace FILE if it exists
    ///
    /// With rotation: older parts of that name go, with --keep one by one as they become too many.
    #[arg(long, help_heading = WHERE)]
    pub force: bool,

    /// Stop after this time, for example 30s [default: when the target ends, or Ctrl-C]
    #[arg(short, long, value_name = "TIME", value_parser = parse_duration, help_heading = WHERE)]
    pub duration: Option<Duration>,

    /// Go on in a new file before one exceeds SIZE (64MiB, 1G …)
    ///
    /// The files, each a whole recording of its time, are recording.000001.damon, recording.000002.damon …, with
    /// -o web.damon web.000001.damon …; numbers that are taken are passed over.
    #[arg(long, value_name = "SIZE", value_parser = parse_size, help_heading = WHERE)]
    pub rotate_size: Option<u64>,

    /// Go on in a new file every TIME, for example 1h; together with --rotate-size whatever comes first
    #[arg(long, value_name = "TIME", value_parser = parse_duration, help_heading = WHERE)]
    pub rotate_time: Option<Duration>,

    /// Keep the newest N files only: a flight recorder
    ///
    /// SIGUSR1 gives all there are a second name, recording.kept-1.000001.damon …, that nothing removes.
    #[arg(long, value_name = "N", help_heading = WHERE)]
    pub keep: Option<u32>,

    /// How accesses are seen: auto (the best that works here), or one of those that doctor lists
    #[arg(
        long,
        value_name = "NAME",
        default_value = AUTO,
        long_help = BACKENDS,
        help_heading = HOW
    )]
    pub backend: String,

    /// Ceiling of what recording costs, here and in the target, per cent of one core
    ///
    /// It decides on exact or sampled looks, regions and intervals; 100% leaves everything as asked for.
    #[arg(
        long,
        value_name = "PERCENT",
        value_parser = parse_percent,
        default_value_t = DEFAULT_BUDGET_PERCENT,
        help_heading = HOW
    )]
    pub budget: f64,

    /// Sampling interval [default: 5ms; referenced: 200ms]
    #[arg(long, value_name = "TIME", value_parser = parse_duration, help_heading = HOW)]
    pub sample: Option<Duration>,

    /// Aggregation interval [default: 100ms; referenced: 1s]
    #[arg(long, value_name = "TIME", value_parser = parse_duration, help_heading = HOW)]
    pub aggr: Option<Duration>,

    /// Interval at which mappings are read again
    #[arg(
        long,
        value_name = "TIME",
        value_parser = parse_duration,
        default_value = "1s",
        help_heading = HOW
    )]
    pub update: Duration,

    /// Minimum number of regions
    #[arg(long, value_name = "N", default_value_t = DEFAULT_MIN_REGIONS, help_heading = HOW)]
    pub min_regions: u32,

    /// Maximum number of regions
    #[arg(long, value_name = "N", default_value_t = DEFAULT_MAX_REGIONS, help_heading = HOW)]
    pub max_regions: u32,

    /// Monitor only these address ranges
    #[arg(
        long,
        value_name = "START-END",
        value_delimiter = ',',
        value_parser = parse_range,
        help_heading = HOW
    )]
    pub regions: Vec<(u64, u64)>,

    /// Take marks, names of moments, from the FIFO PATH: a line is a mark
    ///
    /// It is made, for its owner only, if it is not there, and removed in the end; the command finds it by its
    /// environment [default: with a command one in a new directory damon-record-marks-… below $TMPDIR; otherwise
    /// none].
    #[arg(long, value_name = "PATH", help_heading = BESIDE)]
    pub marks: Option<PathBuf>,

    /// Record also, each TIME, how much memory targets have where what is shared counts in proportion (PSS)
    ///
    /// For example 10s. The kernel visits every page for that, 20 to 40 ms a GiB of small ones, and mmap(2) and the
    /// like of the target wait meanwhile. It is done for one target after the other while recording goes on, and
    /// less often where it would take more than a quarter of the budget.
    #[arg(long, value_name = "TIME", value_parser = parse_duration, help_heading = BESIDE)]
    pub pss: Option<Duration>,

    /// Apply DAMOS schemes while recording, and remove them at the end; FILE is damo's JSON
    #[arg(long, value_name = "FILE", help_heading = BESIDE)]
    pub schemes: Option<PathBuf>,

    /// Say what would be set up, written where, and applied; do nothing
    #[arg(long, help_heading = WORDS)]
    pub dry_run: bool,

    /// Say nothing but errors
    #[arg(short, long, conflicts_with = "verbose", help_heading = WORDS)]
    pub quiet: bool,

    /// Say more
    #[arg(short, long, help_heading = WORDS)]
    pub verbose: bool,

    /// Seed of the random choices
    #[arg(long, value_name = "N", hide = true)]
    pub seed: Option<u64>,

    /// With --backend attach: which kdamond, by its index below /sys/kernel/mm/damon/admin/kdamonds [default:
    /// the only one that runs]
    #[arg(long, value_name = "INDEX", help_heading = KERNEL)]
    pub kdamond: Option<u32>,

    /// Let the kernel tune the intervals so that it observes this share of the accesses it could observe
    ///
    /// As in 4%: AGGRS aggregations between two changes, sampling intervals from MIN to MAX (Linux 6.15); implies
    /// --backend damon.
    #[arg(
        long,
        value_name = "PERCENT[,AGGRS,MIN,MAX]",
        value_parser = parse_intervals_goal,
        help_heading = KERNEL
    )]
    pub intervals_goal: Option<IntervalsGoal>,
}
