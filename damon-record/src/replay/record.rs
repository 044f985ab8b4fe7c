//! Records a replay: `damon-record --backend replay:FILE`.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use super::log::{Head, LogError, LogReader, Tail};
use super::perform::{Observer, ReplayError, Settings, TARGET, mappings, perform};
use crate::exit::{ExitCode, Failure};
use crate::monitor::AddressRange;
use crate::plan::{Intervals, OutputPlan, Plan, Rotation};
use crate::session::{Console, Place, Trace, ignore_keeping};
use crate::sys::signals::ignore_file_size_signal;
use damon_format::{
    AccessKind, Backend, ClockAnchor, Finished, Granularity, MappingsChanged, Note, Record,
    RecordingInfo, Snapshot, TargetExited, TargetKind, TargetStarted,
};
use std::time::Duration;

/// What `--backend` begins with.
pub const PREFIX: &str = "replay:";

/// Sampling interval from which on every page is looked at, as backends do that can.
const EXACT_FROM: Duration = Duration::from_secs(1);

const DEFAULT_INTERVALS: Intervals =
    Intervals { sample: Duration::from_millis(5), aggr: Duration::from_millis(100) };

/// A replay to be recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplayPlan {
    /// The touch log.
    pub log: PathBuf,
    /// Where the recording goes.
    pub output: OutputPlan,
    /// When it goes on in another file.
    pub rotation: Option<Rotation>,
    /// How it is monitored.
    pub settings: Settings,
}

impl ReplayPlan {
    /// Intervals, limits, seed and output as `plan` says; whom it is about does not matter.
    pub fn new(log: PathBuf, plan: Plan) -> Self {
        let intervals = plan.intervals(DEFAULT_INTERVALS);
        let settings = Settings {
            attrs: plan.attrs(intervals),
            // A replay is for looking at the same thing twice.
            seed: plan.seed.unwrap_or(0),
            exact: intervals.sample >= EXACT_FROM,
        };
        Self { log, output: plan.output, rotation: plan.rotation, settings }
    }
}

/// Carries out `plan`; `command_line` is recorded, and what there is to say of the files goes to `console`.
///
/// The recording depends on the log, the settings and the command line alone: times are those of the log, and
/// nothing of the machine or the hour is written down.
pub fn record(
    plan: &ReplayPlan,
    command_line: Vec<String>,
    console: &mut Console,
) -> Result<ExitCode, Failure> {
    ignore_keeping();
    // A write beyond the limit for file sizes fails instead of killing.
    let _nobody_is_started = ignore_file_size_signal();
    let place = Place::check(&plan.output, plan.rotation.as_ref())?;
    let tail = open(&plan.log)?.tail().map_err(|error| unusable(&plan.log, &error))?;
    let log = open(&plan.log)?;
    let info = info(plan, log.head(), command_line);
    let trace = Trace::create(&place, &info)?.with_clock_of_data();
    let mut recorder = Recorder { trace, end_ns: 0, console };
    recorder.begin(log.head(), &tail)?;
    perform(log, &tail.areas, &plan.settings, &mut recorder).map_err(|error| match error {
        ReplayError::Log(error) => unusable(&plan.log, &error),
        ReplayError::Observer(error) => error,
        ReplayError::Engine(_) | ReplayError::Areas(_) => Failure::Usage(error.to_string()),
    })?;
    recorder.finish()?;
    Ok(ExitCode::Ok)
}

fn open(path: &Path) -> Result<LogReader<BufReader<File>>, Failure> {
    let file = File::open(path)
        .map_err(|error| Failure::CannotObserve(format!("{}: {error}", path.display())))?;
    LogReader::open(BufReader::new(file)).map_err(|error| unusable(path, &error))
}

fn unusable(path: &Path, error: &LogError) -> Failure {
    Failure::CannotObserve(format!("the touch log {} {error}", path.display()))
}

fn info(plan: &ReplayPlan, head: &Head, command_line: Vec<String>) -> RecordingInfo {
    RecordingInfo {
        tool: "damon-record".into(),
        tool_version: env!("CARGO_PKG_VERSION").into(),
        host: "replay".into(),
        kernel: "none".into(),
        arch: "none".into(),
        page_size: u32::try_from(head.page_size).unwrap_or(4096),
        clock: ClockAnchor { monotonic_ns: 0, realtime_ns: 0 },
        command_line,
        backend: Backend {
            name: "replay".into(),
            access: AccessKind::ReadWrite,
            granularity: Granularity::Page,
            exact: plan.settings.exact,
            reason: format!("asked for; its clock is not the machine's: {}", head.clock),
        },
        attrs: plan.settings.attrs,
    }
}

struct Recorder<'a> {
    trace: Trace,
    end_ns: u64,
    console: &'a mut Console,
}

impl Recorder<'_> {
    fn begin(&mut self, head: &Head, tail: &Tail) -> Result<(), Failure> {
        let text = format!(
            "replay of the touches of {}: {}; their times are known to {} us",
            head.name,
            head.clock,
            head.quantum_ns / 1000
        );
        self.trace.record(&Record::Note(Note { time_ns: 0, text }))?;
        self.trace.record(&Record::TargetStarted(TargetStarted {
            target: TARGET,
            time_ns: 0,
            kind: TargetKind::Process,
            pid: 0,
            start_ticks: 0,
            parent: None,
            comm: head.name.clone(),
            exe: String::new(),
        }))?;
        self.trace.record(&Record::MappingsChanged(MappingsChanged {
            target: TARGET,
            time_ns: 0,
            removed: Vec::new(),
            added: mappings(&tail.areas),
        }))
    }

    fn finish(mut self) -> Result<(), Failure> {
        let time_ns = self.end_ns;
        self.trace.record(&Record::TargetExited(TargetExited {
            target: TARGET,
            time_ns,
            wait_status: None,
        }))?;
        let reason = "the touch log is over".into();
        self.trace.record(&Record::Finished(Finished { time_ns, reason, recorder_cpu_us: 0 }))?;
        self.trace.finish()?.say_words(self.console);
        Ok(())
    }
}

impl Observer for Recorder<'_> {
    type Error = Failure;

    fn interval(&mut self, _touched: &[AddressRange]) -> Result<(), Failure> {
        Ok(())
    }

    fn snapshot(&mut self, snapshot: &Snapshot) -> Result<(), Failure> {
        self.end_ns = snapshot.end_ns;
        self.trace.say_words(self.console);
        self.trace.snapshot(snapshot)
    }
}
