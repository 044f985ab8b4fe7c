//! The kdamond behind a session: our own, or one that somebody else runs.

use crate::damon::own::OwnPlace;
use crate::damon::sysfs::{Operations, State, Target, Tree, Wanted};
use crate::damon::{ChangeError, Running};
use crate::monitor::{AddressRange, default_ranges};
use crate::proc::page_size;
use damon_format::Mapping;

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

impl Own {
    /// Monitors `pid` too. Returns the thread of the kdamond if that is a new one, whose only target it then is.
    pub(super) fn add(
        &mut self,
        pid: u32,
        mappings: &[Mapping],
        limits: &[AddressRange],
    ) -> Result<Option<u32>, String> {
        let regions = match (self.wanted.operations, limits) {
            (Operations::Vaddr, _) => default_ranges(mappings, page_size()),
            (_, limits) => limits.to_vec(),
        };
        let target = Target { pid: Some(pid), regions };
        match &mut self.running {
            None => self.start(target).map(Some),
            Some(running) => match running.add_targets(std::slice::from_ref(&target)) {
                Ok(()) => Ok(None),
                // The last target went before this one came.
                Err(ChangeError::Ended) => {
                    running.restart(vec![target]).map_err(|error| error.to_string())?;
                    Ok(Some(running.tid()))
                }
                Err(error) => Err(error.to_string()),
            },
        }
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
