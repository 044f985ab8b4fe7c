//! The kdamond behind a session: our own, or one that somebody else runs.

use super::looks::Looks;
use crate::damon::own::OwnPlace;
use crate::damon::sysfs::{Operations, State, Target, Tree, Wanted};
use crate::damon::{ChangeError, Running, StartError, Turn};
use crate::monitor::{AddressRange, default_ranges};
use crate::proc::{MapsFile, page_size};
use damon_format::Mapping;
use damon_format::damos::kernel::{Action, Scheme};

/// Whose kdamond it is.
pub(super) enum Source {
    /// Ours.
    Own(Box<Own>),
    /// Somebody else's: nothing of it is ever changed.
    Foreign(Foreign),
}

/// A kdamond of our own, once there is somebody to monitor.
pub(super) struct Own {
    pub(super) tree: Tree,
    pub(super) place: OwnPlace,
    /// What is wanted; without targets until the first one comes.
    pub(super) wanted: Wanted,
    /// How many schemes are the user's; after them there may be one of ours.
    pub(super) nr_schemes: usize,
    pub(super) running: Option<Running>,
}

/// A kdamond that somebody else runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Foreign {
    /// Its thread.
    pub(super) tid: u32,
    /// Its index, or the name of the module that runs it.
    pub(super) name: String,
}

/// How a process came to be monitored.
pub(super) enum Added {
    /// The kdamond goes on, and monitors it with this index among the others.
    ToOthers(usize),
    /// The kdamond has been started, or started anew.
    ByStart(Started),
}

/// A kdamond that has been started.
pub(super) struct Started {
    /// Its thread.
    pub(super) tid: u32,
    /// Which of the earlier processes it monitors. Behind them comes the new one, if there is one.
    pub(super) kept: Vec<u32>,
    /// Why not.
    pub(super) without_new: Option<String>,
}

impl Own {
    /// To monitor as `wanted` says, once there is somebody.
    pub(super) fn new(tree: Tree, place: OwnPlace, wanted: Wanted) -> Self {
        let nr_schemes = wanted.schemes.len();
        Self { tree, place, wanted, nr_schemes, running: None }
    }

    /// Monitors `pid` too, beside the processes `living`, which are those of the targets that are of interest still.
    pub(super) fn add(
        &mut self,
        pid: u32,
        mappings: &[Mapping],
        limits: &[AddressRange],
        living: &[u32],
        turn: &Turn<'_>,
    ) -> Result<Added, String> {
        let regions = match (self.wanted.operations, limits) {
            (Operations::Vaddr, _) => default_ranges(mappings, page_size()),
            (_, limits) => limits.to_vec(),
        };
        let target = Target { pid: Some(pid), regions };
        let lists_regions = self.lists_regions();
        let Some(running) = &mut self.running else {
            let tid = self.start(target)?;
            let started = Started { tid, kept: Vec::new(), without_new: None };
            return Ok(Added::ByStart(started));
        };
        if !lists_regions {
            match running.add_targets(std::slice::from_ref(&target), turn) {
                Ok(places) => {
                    let place = places.first().ok_or("the target was given no index")?;
                    return Ok(Added::ToOthers(*place));
                }
                // The last target went before this one came, or one while it came.
                Err(ChangeError::Ended) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        self.restart(living, Some(&target)).map(Added::ByStart)
    }

    /// Starts the kdamond anew with those of the processes `living` that do live, and with `new` if that can be
    /// monitored.
    pub(super) fn restart(
        &mut self,
        living: &[u32],
        mut new: Option<&Target>,
    ) -> Result<Started, String> {
        let again = |pid: &u32| Target { pid: Some(*pid), regions: self.regions(*pid) };
        let old: Vec<Target> = living.iter().map(again).collect();
        let running = self.running.as_mut().ok_or("there is no kdamond")?;
        let (mut kept, mut without_new) = (living.to_vec(), None);
        loop {
            let old = old.iter().filter(|target| target.pid.is_some_and(|pid| kept.contains(&pid)));
            let targets = old.cloned().chain(new.cloned()).collect();
            match running.restart(targets) {
                Ok(()) => return Ok(Started { tid: running.tid(), kept, without_new }),
                Err(StartError::NoProcess(pid)) if kept.contains(&pid) => {
                    kept.retain(|other| *other != pid);
                }
                // The others go on without it.
                Err(error) if new.is_some() && !kept.is_empty() => {
                    new = None;
                    without_new = Some(error.to_string());
                }
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    /// Where to begin with a process that was monitored before.
    fn regions(&self, pid: u32) -> Vec<AddressRange> {
        if self.wanted.operations != Operations::Vaddr {
            // Those that all targets have in common.
            return self.wanted.targets.first().map(|t| t.regions.clone()).unwrap_or_default();
        }
        let mut mappings = Vec::new();
        match MapsFile::open(&self.place.proc, pid).and_then(|mut maps| maps.read(&mut mappings)) {
            Ok(_) => default_ranges(&mappings, page_size()),
            // Those that the kernel finds.
            Err(_) => Vec::new(),
        }
    }

    /// Whether the kdamond has a scheme that lists its regions for us.
    pub(super) fn lists_regions(&self) -> bool {
        self.running
            .as_ref()
            .is_some_and(|running| running.wanted().schemes.len() > self.nr_schemes)
    }

    /// Looks at regions that the running kdamond lists; it is started anew with a scheme for that if need be. What
    /// other schemes do is not changed by it, since it comes after them and changes nothing.
    pub(super) fn list_regions(&mut self) -> Result<Looks, String> {
        let lists_regions = self.lists_regions();
        let running = self.running.as_mut().ok_or("there is no kdamond")?;
        if !lists_regions {
            let everything = Scheme::new(Action::Stat);
            running.restart_with_scheme(everything).map_err(|error| error.to_string())?;
        }
        Looks::new(running)
    }

    fn why_ended(&self) -> Option<String> {
        let running = self.running.as_ref()?;
        match running.state() {
            Ok(State::On) => None,
            Ok(State::Off) => Some(format!(
                "the kernel's kdamond (thread {}) has stopped: somebody else has switched it off, or \
                 the kernel has refused a change",
                running.tid()
            )),
            Err(error) => Some(error.to_string()),
        }
    }

    /// Stops it, and leaves the tree as it was found.
    pub(super) fn release(&mut self) -> Result<(), String> {
        let Some(running) = self.running.take() else {
            return Ok(());
        };
        running.release().map(drop).map_err(|error| {
            format!("the kernel's DAMON could not be left as it was found: {error}")
        })
    }

    /// Starts the kdamond with this target; returns its thread.
    pub(super) fn start(&mut self, target: Target) -> Result<u32, String> {
        self.wanted.targets = vec![target];
        let running = Running::start(self.tree.clone(), &self.place, &self.wanted)
            .map_err(|error| error.to_string())?;
        let tid = running.tid();
        self.running = Some(running);
        Ok(tid)
    }
}

impl Source {
    /// Whether a kdamond of our own lists its regions for us.
    pub(super) fn lists_regions(&self) -> bool {
        matches!(self, Self::Own(own) if own.lists_regions())
    }

    /// The thread that monitors, once there is one.
    pub(super) fn tid(&self) -> Option<u32> {
        match self {
            Self::Own(own) => own.running.as_ref().map(Running::tid),
            Self::Foreign(foreign) => Some(foreign.tid),
        }
    }

    /// Why there are no more events, if there are none: one sentence.
    pub(super) fn why_ended(&self, is_alive: impl Fn(u32) -> bool) -> Option<String> {
        match self {
            Self::Own(own) => own.why_ended(),
            Self::Foreign(Foreign { tid, name }) => (!is_alive(*tid)).then(|| {
                format!("kdamond {name} (thread {tid}) has ended: its owner has stopped it, or its targets are gone")
            }),
        }
    }
}
