//! A kdamond of ours at work.

mod seats;

use super::own::{Module, NotRestored, OwnError, OwnPlace, Owned, Refusal, Restored};
use super::sysfs::{
    Admin, Command, Context, Kdamond, Operations, Plan, SchemeStats, State, Target, Tree,
    TreeError, Wanted, WantedError, change, schemes,
};
use crate::proc::{ProcRoot, page_size};
use damon_format::Attrs;
use damon_format::damos::kernel::Scheme;
use nix::errno::Errno;
use seats::Seats;

/// Why monitoring does not start. The tree is as it was found, or whoever restores it is told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// What is wanted contradicts itself, and the kernel would refuse it.
    #[error(transparent)]
    Wanted(#[from] WantedError),
    /// There is no kdamond for us.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The kernel is built without these operations.
    #[error(
        "this kernel's DAMON has no {wanted}, only {}: choose another backend (damon-record doctor lists them){}",
        available.join(" and "), physical_hint(available)
    )]
    NoOperations {
        /// The kernel's word for what is wanted.
        wanted: &'static str,
        /// What it has.
        available: Vec<String>,
    },
    /// A target is gone.
    #[error("process {0} does not exist (any more), so DAMON was not started")]
    NoProcess(u32),
    /// The kernel refuses to start it, and does not say why.
    #[error(
        "the kernel accepted every value, and refuses to start DAMON with them: {0}. It checks intervals, limits, \
         regions, targets, filters and control groups here; damon-record --dry-run shows what was written, and \
         the kernel's log (dmesg) may say more"
    )]
    On(TreeError),
    /// Somebody else was faster, or something went wrong with a file.
    #[error(transparent)]
    Own(#[from] OwnError),
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// The new values contradict themselves; nothing was written.
    #[error(transparent)]
    Wanted(#[from] WantedError),
    /// A new target is gone; nothing was written.
    #[error("process {0} does not exist (any more)")]
    NoProcess(u32),
    /// Process ids mean something else to the kernel's thread than to us; nothing was written.
    #[error(
        "targets can be added to a running kdamond from the initial pid namespace only, and we are in another \
         one: start anew with all of them, or run outside of the container"
    )]
    PidNamespace,
    /// The kernel refused the new values and goes on with the old ones.
    #[error("the kernel refuses the change and goes on as before: {0}")]
    Refused(TreeError),
    /// The kdamond has ended: by itself because all targets are gone, or because of the change.
    #[error(
        "the kdamond has ended: its targets are gone, or one of them went while a change was made"
    )]
    Ended,
    /// It is somebody else's now, or something went wrong with a file.
    #[error(transparent)]
    Own(#[from] OwnError),
}

/// What a change of targets has to mind.
#[derive(Clone, Copy)]
pub struct Turn<'a> {
    /// Whether nobody waits for anything any more of the target with this index, which has exited.
    pub free: &'a dyn Fn(usize) -> bool,
    /// Waits for the moment at which the change is to be made; everything has been written by then.
    pub moment: &'a dyn Fn(),
}

impl Turn<'_> {
    /// At once, and in place of anybody who has gone.
    pub const ANY: Turn<'static> = Turn { free: &|_| true, moment: &|| () };
}

impl std::fmt::Debug for Turn<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Turn").finish_non_exhaustive()
    }
}

/// A started kdamond that is ours. Dropping it stops it and restores the tree.
#[derive(Debug)]
pub struct Running {
    owned: Owned,
    wanted: Wanted,
    place: OwnPlace,
    seats: Seats,
    tid: u32,
}

impl Running {
    /// Sets everything up below `tree`, which stands for `/sys/kernel/mm/damon/admin`, and starts it.
    ///
    /// Nothing is written unless `wanted` is sound and a kdamond can be ours.
    pub fn start(tree: Tree, place: &OwnPlace, wanted: &Wanted) -> Result<Self, StartError> {
        wanted.check(page_size())?;
        if let Some(pid) = gone(&place.proc, &wanted.targets) {
            return Err(StartError::NoProcess(pid));
        }
        let mut owned = Owned::acquire(&Admin::new(tree), place)?;
        let context = owned.context();
        let tree = |error| owned.judge(error);
        if let Some(available) = context.avail_operations().map_err(tree)? {
            let wanted = wanted.operations.keyword();
            if !available.iter().any(|name| name == wanted) {
                return Err(StartError::NoOperations { wanted, available });
            }
        }
        wanted.plan().execute(context.tree()).map_err(tree)?;
        let tid = start(&mut owned, place, &wanted.targets)?;
        let seats = Seats::of(&place.proc, &wanted.targets);
        Ok(Self { owned, wanted: wanted.clone(), place: place.clone(), seats, tid })
    }

    /// Its thread, in the initial pid namespace.
    pub fn tid(&self) -> u32 {
        self.tid
    }

    /// Its index below `kdamonds`.
    pub fn index(&self) -> u32 {
        self.owned.kdamond().index()
    }

    /// Its files, for commands that fill in what is to be read.
    pub fn kdamond(&self) -> &Kdamond {
        self.owned.kdamond()
    }

    /// Its context's files.
    pub fn context(&self) -> &Context {
        self.owned.context()
    }

    /// What it was asked to do, changes included.
    pub fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    /// Whether it still runs. It stops by itself when all targets have exited.
    pub fn state(&self) -> Result<State, OwnError> {
        self.owned.state()
    }

    /// Monitors more targets from now on, and tells their indices, which are their `target_id` in events; all
    /// others keep their own, with the regions they have. Indices of targets that have exited before an
    /// earlier change are given away again.
    ///
    /// A new target of `vaddr` has no regions before the next update interval, unless it brings its own;
    /// then those are fitted to its mappings at that update, as always.
    ///
    /// Targets that have exited meanwhile stay in place, as threads without memory: kernels before 6.15
    /// stop monitoring altogether when a change names a process that does not exist. Should one exit in
    /// the very moment of the change, that may still happen ([`ChangeError::Ended`], or
    /// [`state`](Self::state) says so an instant later): then [`restart`](Self::restart).
    pub fn add_targets(
        &mut self,
        new: &[Target],
        turn: &Turn<'_>,
    ) -> Result<Vec<usize>, ChangeError> {
        if new.is_empty() {
            return Ok(Vec::new());
        }
        let places = self.seats.places(new.len(), turn.free);
        for (place, target) in places.iter().zip(new) {
            target.check(*place, self.wanted.operations, page_size())?;
        }
        if let Some(pid) = gone(&self.place.proc, new) {
            return Err(ChangeError::NoProcess(pid));
        }
        if !in_initial_namespace(&self.place.proc) {
            return Err(ChangeError::PidNamespace);
        }
        let (plan, seats) = self.seats.seat(&self.place.proc, self.tid, new, &places);
        self.commit(&plan, || {
            (turn.moment)();
            seats.substitute(&self.place.proc, self.tid)
        })?;
        self.seats = seats;
        for (target, &place) in new.iter().zip(&places) {
            match self.wanted.targets.get_mut(place) {
                Some(old) => old.clone_from(target),
                None => self.wanted.targets.push(target.clone()),
            }
        }
        Ok(places)
    }

    /// Changes intervals and region limits. Regions stay; the kernel converts their counters.
    pub fn set_attrs(&mut self, attrs: &Attrs) -> Result<(), ChangeError> {
        let wanted = Wanted { attrs: *attrs, ..self.wanted.clone() };
        wanted.check(page_size())?;
        if wanted.targets.iter().any(|target| target.pid.is_some())
            && !in_initial_namespace(&self.place.proc)
        {
            return Err(ChangeError::PidNamespace);
        }
        let mut plan = self.seats.keep(&self.place.proc, self.tid);
        change::attrs(&mut plan, attrs);
        self.commit(&plan, Plan::default)?;
        self.wanted = wanted;
        Ok(())
    }

    /// Starts it anew with these targets, numbered anew from 0, whether or not it still runs.
    pub fn restart(&mut self, targets: Vec<Target>) -> Result<(), StartError> {
        let wanted = Wanted { targets, ..self.wanted.clone() };
        let mut plan = Plan::default();
        change::targets(&mut plan, &wanted.targets);
        self.start_anew(wanted, &plan)
    }

    /// Starts it anew with one more scheme, after the others; all of them forget what they have done.
    pub fn restart_with_scheme(&mut self, scheme: Scheme) -> Result<(), StartError> {
        let mut wanted = self.wanted.clone();
        wanted.schemes.push(scheme);
        let mut plan = Plan::default();
        schemes::plan(&mut plan, &wanted.schemes);
        self.start_anew(wanted, &plan)
    }

    fn start_anew(&mut self, wanted: Wanted, plan: &Plan) -> Result<(), StartError> {
        wanted.check(page_size())?;
        if let Some(pid) = gone(&self.place.proc, &wanted.targets) {
            return Err(StartError::NoProcess(pid));
        }
        self.owned.stop()?;
        plan.execute(self.context().tree()).map_err(|error| self.owned.judge(error))?;
        self.tid = start(&mut self.owned, &self.place, &wanted.targets)?;
        self.seats = Seats::of(&self.place.proc, &wanted.targets);
        self.wanted = wanted;
        Ok(())
    }

    /// Statistics of each scheme.
    pub fn scheme_stats(&self) -> Result<Vec<SchemeStats>, OwnError> {
        self.updated(Command::UpdateSchemesStats, |context, index| context.scheme(index)?.stats())
    }

    /// Bytes that each scheme may try per quota window; `None` before 6.9.
    pub fn effective_bytes(&self) -> Result<Vec<Option<u64>>, OwnError> {
        let known = self.context().tree().exists("schemes/0/quotas/effective_bytes");
        if !known {
            return Ok(self.wanted.schemes.iter().map(|_| None).collect());
        }
        self.updated(Command::UpdateSchemesEffectiveQuotas, |context, index| {
            context.scheme(index)?.effective_bytes()
        })
    }

    fn updated<T>(
        &self,
        command: Command,
        read: impl Fn(&Context, u32) -> Result<T, TreeError>,
    ) -> Result<Vec<T>, OwnError> {
        if self.wanted.schemes.is_empty() {
            return Ok(Vec::new());
        }
        let all = || -> Result<Vec<T>, TreeError> {
            match self.owned.kdamond().command(command) {
                // It has ended; what it last said is still there.
                Err(TreeError::Write { errno: Errno::EINVAL | Errno::ECANCELED, .. }) => {}
                other => other?,
            }
            let context = self.context();
            (0..context.nr_schemes()?).map(|index| read(context, index)).collect()
        };
        all().map_err(|error| self.owned.judge(error))
    }

    /// Sampling and aggregation interval that tuning has arrived at, microseconds; `None` without tuning.
    pub fn tuned_intervals(&self) -> Result<Option<(u64, u64)>, OwnError> {
        if !self.is_tuned() {
            return Ok(None);
        }
        let both = || -> Result<(u64, u64), TreeError> {
            self.owned.kdamond().command(Command::UpdateTunedIntervals)?;
            let attrs = self.context().attrs()?;
            Ok((attrs.sample_us, attrs.aggr_us))
        };
        both().map(Some).map_err(|error| self.owned.judge(error))
    }

    fn is_tuned(&self) -> bool {
        self.wanted.goal.is_some_and(|goal| goal.aggrs != 0)
    }

    /// Stops it and leaves the tree as it was found. If that fails, the guard goes on trying for a while.
    pub fn release(self) -> Result<Restored, NotRestored> {
        self.owned.release()
    }

    /// Writes a plan, then at the last moment what `lastly` says, and has both taken over.
    fn commit(&self, plan: &Plan, lastly: impl FnOnce() -> Plan) -> Result<(), ChangeError> {
        self.still_runs()?;
        if self.is_tuned() {
            // Otherwise the intervals that tuning began with would be taken over again.
            match self.owned.kdamond().command(Command::UpdateTunedIntervals) {
                Err(TreeError::Write { .. }) => self.still_runs()?,
                other => other.map_err(|error| self.owned.judge(error))?,
            }
        }
        let execute = |plan: &Plan| {
            plan.execute(self.context().tree()).map_err(|error| self.owned.judge(error))
        };
        execute(plan)?;
        execute(&lastly())?;
        let committed = self.owned.kdamond().command(Command::Commit);
        // Older kernels accept everything, and end the thread when they do not like it.
        self.still_runs()?;
        committed.map_err(|error| match error {
            TreeError::Write { .. } if !error.is_gone() => ChangeError::Refused(error),
            _ => self.owned.judge(error).into(),
        })
    }

    fn still_runs(&self) -> Result<(), ChangeError> {
        match self.owned.state()? {
            State::On => Ok(()),
            State::Off => Err(ChangeError::Ended),
        }
    }
}

/// Starts it, and explains what the kernel does not.
fn start(owned: &mut Owned, place: &OwnPlace, targets: &[Target]) -> Result<u32, StartError> {
    let error = match owned.start() {
        Ok(tid) => return Ok(tid),
        Err(error) => error,
    };
    let OwnError::Tree(TreeError::Write { errno, .. }) = &error else {
        return Err(match (&error, gone(&place.proc, targets)) {
            (OwnError::StoppedAtOnce, Some(pid)) => StartError::NoProcess(pid),
            _ => error.into(),
        });
    };
    match (*errno, error) {
        (Errno::EINVAL | Errno::ENOMEM, OwnError::Tree(error)) => {
            Err(gone(&place.proc, targets).map_or(StartError::On(error), StartError::NoProcess))
        }
        (Errno::EBUSY, error) => {
            let module = Module::ALL.into_iter().find(|module| module.is_enabled(&place.modules));
            Err(module.map_or(error.into(), |module| Refusal::Module(module).into()))
        }
        (_, error) => Err(error.into()),
    }
}

/// The first target that does not exist.
fn gone(proc: &ProcRoot, targets: &[Target]) -> Option<u32> {
    targets.iter().filter_map(|target| target.pid).find(|pid| !exists(proc, *pid))
}

/// Threads have a directory, too, though none that is listed.
fn exists(proc: &ProcRoot, id: u32) -> bool {
    proc.of(id, "").exists()
}

/// `PROC_PID_INIT_INO` of `include/linux/proc_ns.h`.
const INITIAL_PID_NAMESPACE: &str = "pid:[4026531836]";

fn in_initial_namespace(proc: &ProcRoot) -> bool {
    std::fs::read_link(proc.path().join("self/ns/pid"))
        .map_or(true, |name| name.as_os_str() == INITIAL_PID_NAMESPACE)
}

/// What else could be done where only physical addresses can be monitored.
fn physical_hint(available: &[String]) -> &'static str {
    if available.iter().any(|name| name == Operations::Paddr.keyword()) {
        "; --physical monitors the whole machine with it"
    } else {
        ""
    }
}

#[cfg(test)]
mod tests;
