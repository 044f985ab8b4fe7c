//! What the arguments of a recording ask for, and which of them exclude one another.

use super::{AUTO, RecordArgs};
use crate::backend::{attach, damon};
use crate::exit::Failure;
use crate::plan::{OutputPlan, Plan, Rotation, Subject, Verbosity, Wanted};
use crate::proc::page_size;
use crate::replay::{self, record::ReplayPlan};
use std::path::PathBuf;

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
