//! The command line: parsed here, turned into a [`Plan`], forgotten.

mod kernel;
mod mark;

pub use mark::MarkArgs;

use crate::backend::{attach, damon};
use crate::damon::sysfs::IntervalsGoal;
use crate::exit::Failure;
use crate::plan::{
    DEFAULT_BUDGET_PERCENT, DEFAULT_MAX_REGIONS, DEFAULT_MIN_REGIONS, OutputPlan, Plan, Rotation,
    Subject, Verbosity, Wanted,
};
use crate::proc::page_size;
use crate::replay::{self, record::ReplayPlan};
use crate::units::{parse_duration, parse_intervals_goal, parse_percent, parse_range, parse_size};
use clap::{Args, Parser, Subcommand};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// Of backends: the best that works.
const AUTO: &str = "auto";

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
    after_help = EXAMPLES,
    args_conflicts_with_subcommands = true,
    override_usage = "damon-record [OPTIONS] <PID>...\n       damon-record [OPTIONS] --cgroup <PATH> | --comm <NAME>\n       damon-record [OPTIONS] -- <COMMAND> [ARG]...\n       damon-record [OPTIONS] --physical | --backend attach\n       damon-record mark [--to <PATH>] <TEXT>...\n       damon-record doctor [--json]\n       damon-record completions <SHELL> | man"
)]
pub struct Cli {
    /// Something else than recording.
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
    #[arg(value_name = "PID", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=i64::from(i32::MAX)))]
    pub pids: Vec<u32>,

    /// Record all processes of a control group and of the groups below it, coming and going: its directory,
    /// or its path as in /proc/PID/cgroup. Ends when the group is removed or has been empty for a second
    #[arg(long, value_name = "PATH")]
    pub cgroup: Vec<PathBuf>,

    /// Record all processes of this name, coming and going: as ps -o comm shows it, or a longer name of the
    /// executable or script. Who executes another program later stays recorded. Ends when there has been
    /// none for a second
    #[arg(long, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub comm: Vec<String>,

    /// With --cgroup and --comm: wait for the first process, and go on when there is none, until Ctrl-C,
    /// --duration, or the removal of the group
    #[arg(long)]
    pub wait: bool,

    /// Command to start and record
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,

    /// Write the recording to FILE, "-" is standard output (the command's own then goes to standard
    /// error) [default: recording.damon, whose predecessor becomes recording.damon.old]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// Replace FILE if it exists. With rotation: older parts of that name go, with --keep one by one as they
    /// become too many
    #[arg(long)]
    pub force: bool,

    /// Go on in a new file before one exceeds SIZE (64MiB, 1G …). The files, each a whole recording of its
    /// time, are recording.000001.damon, recording.000002.damon …, with -o web.damon web.000001.damon …;
    /// numbers that are taken are passed over
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub rotate_size: Option<u64>,

    /// Go on in a new file each TIME, for example 1h; together with --rotate-size whatever comes first
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub rotate_time: Option<Duration>,

    /// Keep the newest N files only: a flight recorder. SIGUSR1 gives all there are a second name,
    /// recording.kept-1.000001.damon …, that nothing removes
    #[arg(long, value_name = "N")]
    pub keep: Option<u32>,

    /// Take marks, names of moments, from the FIFO PATH: a line is a mark. It is made, for its owner only, if it is
    /// not there, and removed in the end; the command finds it by its environment [default: with a command
    /// one in a new directory damon-record-… below $TMPDIR; otherwise none]
    #[arg(long, value_name = "PATH")]
    pub marks: Option<PathBuf>,

    /// Stop after this time, for example 30s [default: when the target ends, or Ctrl-C]
    #[arg(short, long, value_name = "TIME", value_parser = parse_duration)]
    pub duration: Option<Duration>,

    /// How accesses are seen
    #[arg(long, value_name = "NAME", default_value = AUTO, help = BACKENDS)]
    pub backend: String,

    /// Sampling interval [default: 5ms; referenced: 200ms]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub sample: Option<Duration>,

    /// Aggregation interval [default: 100ms; referenced: 1s]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub aggr: Option<Duration>,

    /// Interval at which mappings are read again
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "1s")]
    pub update: Duration,

    /// Record also, each TIME, for example 10s, how much memory targets have where what is shared counts in
    /// proportion (PSS). The kernel visits every page for that, 20 to 40 ms a GiB of small ones, and looks wait
    /// meanwhile: it is done for one target after the other, and less often where it would take more than a quarter of
    /// the budget
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub pss: Option<Duration>,

    /// Least number of regions
    #[arg(long, value_name = "N", default_value_t = DEFAULT_MIN_REGIONS)]
    pub min_regions: u32,

    /// Greatest number of regions
    #[arg(long, value_name = "N", default_value_t = DEFAULT_MAX_REGIONS)]
    pub max_regions: u32,

    /// Monitor only these address ranges
    #[arg(long, value_name = "START-END", value_delimiter = ',', value_parser = parse_range)]
    pub regions: Vec<(u64, u64)>,

    /// Record forked processes too, once they have memory of their own
    #[arg(long)]
    pub children: bool,

    /// Ceiling of what recording costs, here and in the target, per cent of one core: it decides on exact or
    /// sampled looks, regions and intervals; 100% leaves everything as asked for
    #[arg(long, value_name = "PERCENT", value_parser = parse_percent, default_value_t = DEFAULT_BUDGET_PERCENT)]
    pub budget: f64,

    /// Say nothing but errors
    #[arg(short, long, conflicts_with = "verbose")]
    pub quiet: bool,

    /// Say more
    #[arg(short, long)]
    pub verbose: bool,

    /// Seed of the random choices
    #[arg(long, value_name = "N", hide = true)]
    pub seed: Option<u64>,

    /// Record physical memory of the whole machine, by the kernel's DAMON; with --regions only these ranges
    #[arg(long)]
    pub physical: bool,

    /// With --backend attach: which kdamond, by its index below /sys/kernel/mm/damon/admin/kdamonds [default:
    /// the only one that runs]
    #[arg(long, value_name = "INDEX")]
    pub kdamond: Option<u32>,

    /// Let the kernel tune the intervals so that it observes this share of the accesses it could observe, as in
    /// 4%: AGGRS aggregations between two changes, sampling intervals from MIN to MAX (Linux 6.15); implies --backend damon
    #[arg(long, value_name = "PERCENT[,AGGRS,MIN,MAX]", value_parser = parse_intervals_goal)]
    pub intervals_goal: Option<IntervalsGoal>,

    /// Apply DAMOS schemes while recording, and remove them at the end; FILE is damo's JSON
    #[arg(long, value_name = "FILE")]
    pub schemes: Option<PathBuf>,

    /// Say what would be set up, written where, and applied; do nothing
    #[arg(long)]
    pub dry_run: bool,
}

impl RecordArgs {
    /// The plan these arguments ask for; nothing of the machine is looked at.
    pub fn plan(self) -> Result<Plan, Failure> {
        self.check_kernel().map_err(Failure::Usage)?;
        let (verbosity, output) = (self.verbosity(), self.output_plan());
        let rotation = self.rotation();
        let wanted = Wanted { pids: self.pids, cgroups: self.cgroup, comms: self.comm };
        let is_attached = self.backend == attach::KIND.name;
        let is_open = !wanted.cgroups.is_empty() || !wanted.comms.is_empty();
        if self.wait && !is_open {
            return Err(Failure::Usage(
                "--wait waits for processes of a --cgroup or --comm: give one of these".into(),
            ));
        }
        let subject = match (wanted == Wanted::default(), self.command.is_empty()) {
            (true, true) if is_attached => Subject::Kdamond(self.kdamond),
            (true, true) if self.physical => Subject::Physical,
            _ if is_attached || self.physical => {
                return Err(Failure::Usage(
                    "--physical records the whole machine, and --backend attach what the kdamond monitors: \
                     give neither PID, --cgroup, --comm nor a command"
                        .into(),
                ));
            }
            (false, true) => Subject::Running(wanted),
            (true, false) => Subject::Command(self.command),
            (true, true) => {
                return Err(Failure::Usage(
                    "nothing to record: give a PID, --cgroup, --comm, --physical, or a command after --"
                        .into(),
                ));
            }
            (false, false) => {
                return Err(Failure::Usage(
                    "give either running processes (PID, --cgroup, --comm) or a command after --, \
                     not both"
                        .into(),
                ));
            }
        };
        Ok(Plan {
            subject,
            output,
            rotation,
            marks: self.marks,
            duration: self.duration,
            backend: match self.backend.as_str() {
                // Nobody else can.
                AUTO if self.intervals_goal.is_some() => Some(damon::KIND.name.to_owned()),
                AUTO => None,
                _ => Some(self.backend),
            },
            sample: self.sample,
            aggr: self.aggr,
            update: self.update,
            pss: self.pss,
            min_regions: self.min_regions,
            max_regions: self.max_regions,
            ranges: self.regions,
            children: self.children,
            wait: self.wait,
            budget_percent: self.budget,
            schemes: self.schemes,
            goal: self.intervals_goal,
            dry_run: self.dry_run,
            verbosity,
            seed: self.seed,
        })
    }

    /// The replay these arguments ask for, if it is one.
    pub fn replay(&self) -> Option<Result<ReplayPlan, Failure>> {
        let log = PathBuf::from(self.backend.strip_prefix(replay::record::PREFIX)?);
        let running = !self.pids.is_empty()
            || !self.cgroup.is_empty()
            || !self.comm.is_empty()
            || self.physical;
        if running || !self.command.is_empty() {
            let text =
                "--backend replay takes its accesses from a file: give neither PID nor command";
            return Some(Err(Failure::Usage(text.into())));
        }
        let more = !self.regions.is_empty() || self.children || self.marks.is_some();
        if self.duration.is_some() || self.pss.is_some() || more {
            let text = "--backend replay always replays everything, and nothing else: leave out --duration, \
                        --regions, --children, --pss and --marks";
            return Some(Err(Failure::Usage(text.into())));
        }
        let plan = Plan {
            output: self.output_plan(),
            rotation: self.rotation(),
            sample: self.sample,
            aggr: self.aggr,
            update: self.update,
            min_regions: self.min_regions,
            max_regions: self.max_regions,
            seed: self.seed,
            ..Plan::new(Subject::Command(Vec::new()))
        };
        let plan = plan.validated(page_size()).map_err(Failure::Usage);
        Some(plan.map(|plan| ReplayPlan::new(log, plan)))
    }

    fn output_plan(&self) -> OutputPlan {
        match &self.output {
            None => OutputPlan::Default,
            Some(path) if path.as_os_str() == "-" => OutputPlan::Stdout,
            Some(path) => OutputPlan::File { path: path.clone(), force: self.force },
        }
    }

    fn rotation(&self) -> Option<Rotation> {
        let rotation = Rotation { size: self.rotate_size, time: self.rotate_time, keep: self.keep };
        (rotation != Rotation::default()).then_some(rotation)
    }

    /// How much is to be said.
    pub fn verbosity(&self) -> Verbosity {
        match (self.quiet, self.verbose) {
            (true, _) => Verbosity::Quiet,
            (false, true) => Verbosity::Verbose,
            (false, false) => Verbosity::Normal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::choose::built;
    use crate::plan::Intervals;
    use crate::units::show_duration;
    use clap::CommandFactory as _;

    fn plan(line: &[&str]) -> Result<Plan, Failure> {
        let words = std::iter::once("damon-record").chain(line.iter().copied());
        Cli::try_parse_from(words).unwrap().record.plan()
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_option_has_a_help_text() {
        for arg in Cli::command().get_arguments() {
            assert!(arg.get_help().is_some(), "{}", arg.get_id());
        }
    }

    #[test]
    fn defaults_are_the_librarys_defaults() {
        assert_eq!(plan(&["12"]).unwrap(), Plan::new(Subject::pid(12)));
    }

    #[test]
    fn the_intervals_of_the_help_are_the_backends() {
        let command = Cli::command();
        let help = |name: &str| {
            let mut arguments = command.get_arguments();
            let found = arguments.find(|a| a.get_id() == name).unwrap();
            found.get_help().unwrap().to_string()
        };
        let expected = |of: fn(&Intervals) -> Duration| {
            let [writes, referenced] = ["writes", "referenced"]
                .map(|name| show_duration(of(&built(name).unwrap().intervals)));
            format!("[default: {writes}; referenced: {referenced}]")
        };
        assert!(help("sample").ends_with(&expected(|i| i.sample)), "{}", help("sample"));
        assert!(help("aggr").ends_with(&expected(|i| i.aggr)), "{}", help("aggr"));
    }

    #[test]
    fn every_option_reaches_the_plan() {
        let line = "-o x.damon --force -d 2s --backend damon --sample 1ms --aggr 10ms --update 3s --pss 20s \
                    --min-regions 4 --max-regions 5 --regions 0x1000-0x2000,8192-12288 --children \
                    --budget 7% -v --seed 9 77,78 79 --cgroup /a --comm web --comm db --wait \
                    --schemes s.json --dry-run --intervals-goal 4%,5,1ms,2s \
                    --rotate-size 64MiB --rotate-time 1h --keep 4 --marks m";
        let words: Vec<&str> = line.split_whitespace().collect();
        let expected = Plan {
            subject: Subject::Running(Wanted {
                pids: vec![77, 78, 79],
                cgroups: vec!["/a".into()],
                comms: vec!["web".into(), "db".into()],
            }),
            output: OutputPlan::File { path: "x.damon".into(), force: true },
            rotation: Some(Rotation {
                size: Some(64 << 20),
                time: Some(Duration::from_secs(3600)),
                keep: Some(4),
            }),
            marks: Some("m".into()),
            duration: Some(Duration::from_secs(2)),
            backend: Some("damon".into()),
            sample: Some(Duration::from_millis(1)),
            aggr: Some(Duration::from_millis(10)),
            update: Duration::from_secs(3),
            pss: Some(Duration::from_secs(20)),
            min_regions: 4,
            max_regions: 5,
            ranges: vec![(0x1000, 0x2000), (0x2000, 0x3000)],
            children: true,
            wait: true,
            budget_percent: 7.0,
            schemes: Some("s.json".into()),
            goal: Some(IntervalsGoal {
                access_bp: 400,
                aggrs: 5,
                min_sample_us: 1000,
                max_sample_us: 2_000_000,
            }),
            dry_run: true,
            verbosity: Verbosity::Verbose,
            seed: Some(9),
        };
        assert_eq!(plan(&words).unwrap(), expected);
    }

    #[test]
    fn everything_after_the_dashes_is_the_command() {
        let got = plan(&["-q", "-o", "-", "--", "ls", "--force", "-o", "doctor"]).unwrap();
        let words = ["ls", "--force", "-o", "doctor"].map(OsString::from);
        assert_eq!(got.subject, Subject::Command(words.to_vec()));
        assert_eq!(got.output, OutputPlan::Stdout);
        assert_eq!(got.verbosity, Verbosity::Quiet);
    }

    #[test]
    fn a_subject_is_needed_and_only_one() {
        assert!(matches!(plan(&[]), Err(Failure::Usage(_))));
        for words in [&["3", "--", "ls"][..], &["--comm", "x", "--", "ls"], &["--wait", "3"]] {
            assert!(matches!(plan(words), Err(Failure::Usage(_))), "{words:?}");
        }
    }

    #[test]
    fn the_machine_and_a_kdamond_are_subjects_of_their_own() {
        assert_eq!(plan(&["--physical"]).unwrap().subject, Subject::Physical);
        let attach = |more: &[&str]| plan(&[&["--backend", "attach"], more].concat());
        assert_eq!(attach(&[]).unwrap().subject, Subject::Kdamond(None));
        assert_eq!(attach(&["--kdamond", "2"]).unwrap().subject, Subject::Kdamond(Some(2)));
        for bad in [&["--physical", "5"][..], &["--physical", "--", "ls"], &["--kdamond", "0", "5"]]
        {
            assert!(matches!(plan(bad), Err(Failure::Usage(_))), "{bad:?}");
        }
        for bad in [
            &["5"][..],
            &["--schemes", "s.json"],
            &["--physical"],
            &["--children"],
            &["--aggr", "1s"],
            &["--regions", "0x1000-0x2000"],
        ] {
            let Err(Failure::Usage(text)) = attach(bad) else { panic!("{bad:?}") };
            assert!(text.contains(bad[0]) || bad == ["5"], "{text}");
        }
    }

    #[test]
    fn doctor_is_a_subcommand_and_takes_no_recording_options() {
        let doctor = Cli::try_parse_from(["damon-record", "doctor", "--json"]).unwrap();
        assert!(matches!(doctor.action, Some(Action::Doctor { json: true })));
        assert!(Cli::try_parse_from(["damon-record", "-q", "doctor"]).is_err());
        for generated in [&["completions", "fish"][..], &["man"], &["mark", "two", "words"]] {
            let line = ["damon-record"].iter().chain(generated);
            assert!(Cli::try_parse_from(line).unwrap().action.is_some());
        }
        for pid in ["0", "-1", "abc", "4294967296"] {
            assert!(Cli::try_parse_from(["damon-record", pid]).is_err(), "{pid}");
        }
    }
}
