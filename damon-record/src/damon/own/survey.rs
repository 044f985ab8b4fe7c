//! Who uses the kernel's DAMON. Reads only.

use crate::damon::sysfs::{Admin, Kdamond, Operations, State, TreeError};
use std::fmt;
use std::path::Path;

/// More kdamonds than this are counted and not looked at.
const MOST: u32 = 256;

/// A module of the kernel that monitors by itself, and shares DAMON with nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Module {
    /// Proactive reclamation.
    Reclaim,
    /// Sorting of the LRU lists.
    LruSort,
    /// Statistics.
    Stat,
}

impl Module {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Reclaim, Self::LruSort, Self::Stat];

    /// Its name below `/sys/module`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reclaim => "damon_reclaim",
            Self::LruSort => "damon_lru_sort",
            Self::Stat => "damon_stat",
        }
    }

    /// Whether it is switched on; false where the kernel has it not.
    pub fn is_enabled(self, modules: &Path) -> bool {
        let path = modules.join(self.name()).join("parameters/enabled");
        std::fs::read_to_string(path).is_ok_and(|text| matches!(text.trim(), "Y" | "y" | "1"))
    }
}

/// Whom a context monitors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetSeen {
    /// A process.
    Process(i32),
    /// Physical memory.
    Physical,
}

/// One kdamond, whoever it belongs to. `None`: it could not be read, and may be anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KdamondSeen {
    /// Its index.
    pub index: u32,
    /// Whether it runs.
    pub state: Option<State>,
    /// Its thread, while it runs.
    pub tid: Option<u32>,
    /// How many contexts it has.
    pub nr_contexts: Option<u32>,
    /// The kernel's word for its set of operations, if it has a context.
    pub operations: Option<String>,
    /// Whom it monitors.
    pub targets: Vec<TargetSeen>,
}

impl KdamondSeen {
    /// Off and without a context: whoever has provided it does not use it.
    pub fn is_spare(&self) -> bool {
        self.state == Some(State::Off) && self.nr_contexts == Some(0)
    }

    fn look(kdamond: &Kdamond) -> Self {
        let state = kdamond.state().ok();
        let context = kdamond.context().ok().flatten();
        let operations = context.as_ref().and_then(|context| context.operations().ok());
        let pids = context.and_then(|context| context.target_pids().ok()).unwrap_or_default();
        let physical = operations.as_deref() == Some(Operations::Paddr.keyword());
        Self {
            index: kdamond.index(),
            state,
            tid: kdamond.tid().ok().flatten(),
            nr_contexts: kdamond.nr_contexts().ok(),
            operations,
            targets: pids
                .into_iter()
                .map(|pid| if physical { TargetSeen::Physical } else { TargetSeen::Process(pid) })
                .collect(),
        }
    }
}

/// As in "kdamond 0 (on, paddr, the machine's memory, thread 77)".
impl fmt::Display for KdamondSeen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "kdamond {} (", self.index)?;
        f.write_str(match self.state {
            Some(State::On) => "on",
            Some(State::Off) => "off",
            None => "state unknown",
        })?;
        match (&self.operations, self.nr_contexts) {
            (Some(operations), _) => write!(f, ", {operations}")?,
            (None, Some(0)) => f.write_str(", without a context")?,
            (None, _) => {}
        }
        let processes: Vec<String> = self
            .targets
            .iter()
            .filter_map(|target| match target {
                TargetSeen::Process(pid) => Some(pid.to_string()),
                TargetSeen::Physical => None,
            })
            .collect();
        match processes.as_slice() {
            [] if self.targets.is_empty() => {}
            [] => f.write_str(", the machine's memory")?,
            [one] => write!(f, ", process {one}")?,
            [one, two, three] => write!(f, ", processes {one}, {two} and {three}")?,
            [one, two] => write!(f, ", processes {one} and {two}")?,
            [one, two, others @ ..] => {
                write!(f, ", processes {one}, {two} and {} others", others.len())?;
            }
        }
        if let Some(tid) = self.tid {
            write!(f, ", thread {tid}")?;
        }
        f.write_str(")")
    }
}

/// Everybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// How many kdamonds there are.
    pub nr_kdamonds: u32,
    /// The first of them.
    pub kdamonds: Vec<KdamondSeen>,
    /// Modules that are switched on.
    pub modules: Vec<Module>,
}

impl Survey {
    /// Whether nobody uses DAMON at all.
    pub fn is_free(&self) -> bool {
        self.nr_kdamonds == 0 && self.modules.is_empty()
    }

    /// The first kdamond that somebody has provided and nobody uses.
    pub fn spare(&self) -> Option<&KdamondSeen> {
        self.kdamonds.iter().find(|kdamond| kdamond.is_spare())
    }
}

/// As in "kdamond 0 (on, …) and the module `damon_stat`".
impl fmt::Display for Survey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kdamonds = self.kdamonds.iter().map(ToString::to_string);
        let modules = self.modules.iter().map(|module| format!("the module {}", module.name()));
        let mut all: Vec<String> = kdamonds.chain(modules).collect();
        let hidden = u64::from(self.nr_kdamonds).saturating_sub(self.kdamonds.len() as u64);
        match (hidden, all.is_empty()) {
            (0, _) => {}
            (1, true) => all.push("a kdamond".to_owned()),
            (_, true) => all.push(format!("{hidden} kdamonds")),
            (_, false) => all.push(format!("{hidden} more")),
        }
        match all.split_last() {
            None => f.write_str("nobody"),
            Some((last, [])) => f.write_str(last),
            Some((last, others)) => write!(f, "{} and {last}", others.join(", ")),
        }
    }
}

/// Looks at everybody: kdamonds below `admin`, and `modules`, which stands for `/sys/module`. Fails only where
/// the number of kdamonds cannot be read.
pub fn survey(admin: &Admin, modules: &Path) -> Result<Survey, TreeError> {
    let nr_kdamonds = admin.nr_kdamonds()?;
    let kdamonds = (0..nr_kdamonds.min(MOST))
        // One that has vanished meanwhile does not count.
        .filter_map(|index| admin.kdamond(index).ok())
        .map(|kdamond| KdamondSeen::look(&kdamond))
        .collect();
    let modules = Module::ALL.into_iter().filter(|module| module.is_enabled(modules)).collect();
    Ok(Survey { nr_kdamonds, kdamonds, modules })
}
