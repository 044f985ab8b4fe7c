//! kdamonds: DAMON's threads, each with a directory of its own.

use super::context::Context;
use super::error::TreeError;
use super::tree::Tree;

/// Whether a kdamond runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It monitors.
    On,
    /// It was never started, was stopped, or has stopped by itself (all targets gone, a bad commit).
    Off,
}

impl State {
    /// The kernel's word for it.
    pub const fn keyword(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
        }
    }
}

/// What can be written to `state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Start with what the files say.
    On,
    /// Stop; returns once the thread has ended.
    Off,
    /// Take over what the files say without stopping (5.19).
    Commit,
    /// Fill in `schemes/N/stats` (5.18).
    UpdateSchemesStats,
    /// Fill in `schemes/N/tried_regions/total_bytes` (6.6); takes up to an apply interval.
    UpdateSchemesTriedBytes,
    /// Make a directory for each region tried (6.2); takes up to an apply interval.
    UpdateSchemesTriedRegions,
    /// Remove those directories (6.2).
    ClearSchemesTriedRegions,
    /// Take over `current_value` of quota goals (6.8).
    CommitSchemesQuotaGoals,
    /// Fill in `quotas/effective_bytes` (6.9).
    UpdateSchemesEffectiveQuotas,
    /// Write the tuned intervals to `sample_us` and `aggr_us` (6.15).
    UpdateTunedIntervals,
}

impl Command {
    /// The kernel's word for it.
    pub const fn keyword(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
            Self::Commit => "commit",
            Self::UpdateSchemesStats => "update_schemes_stats",
            Self::UpdateSchemesTriedBytes => "update_schemes_tried_bytes",
            Self::UpdateSchemesTriedRegions => "update_schemes_tried_regions",
            Self::ClearSchemesTriedRegions => "clear_schemes_tried_regions",
            Self::CommitSchemesQuotaGoals => "commit_schemes_quota_goals",
            Self::UpdateSchemesEffectiveQuotas => "update_schemes_effective_quotas",
            Self::UpdateTunedIntervals => "update_tuned_intervals",
        }
    }
}

/// The whole of DAMON's sysfs interface.
#[derive(Clone, Debug)]
pub struct Admin {
    tree: Tree,
}

impl Admin {
    pub(in crate::damon) const COUNT: &'static str = "kdamonds/nr_kdamonds";

    /// The interface below `tree`, which stands for `/sys/kernel/mm/damon/admin`.
    pub fn new(tree: Tree) -> Self {
        Self { tree }
    }

    /// Its files.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// How many kdamonds there are, running or not.
    pub fn nr_kdamonds(&self) -> Result<u32, TreeError> {
        self.tree.number(Self::COUNT)
    }

    /// The kdamond of this index, held.
    pub fn kdamond(&self, index: u32) -> Result<Kdamond, TreeError> {
        Ok(Kdamond { tree: self.tree.hold(&format!("kdamonds/{index}"))?, index })
    }
}

/// One kdamond; its directory is held.
#[derive(Clone, Debug)]
pub struct Kdamond {
    tree: Tree,
    index: u32,
}

impl Kdamond {
    pub(in crate::damon) const STATE: &'static str = "state";
    pub(in crate::damon) const CONTEXTS: &'static str = "contexts/nr_contexts";

    /// Its files.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// Its index, which is not the number in its thread's name.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// What tells its directory from a later one of the same index.
    pub fn identity(&self) -> Result<u64, TreeError> {
        self.tree.identity()
    }

    /// Whether it runs.
    pub fn state(&self) -> Result<State, TreeError> {
        let text = self.tree.read(Self::STATE)?;
        match text.as_str() {
            "on" => Ok(State::On),
            "off" => Ok(State::Off),
            _ => Err(self.tree.malformed(Self::STATE, text, "on or off")),
        }
    }

    /// Id of its thread in the initial pid namespace, while it runs.
    pub fn tid(&self) -> Result<Option<u32>, TreeError> {
        let number: i64 = self.tree.number("pid")?;
        Ok(u32::try_from(number).ok().filter(|tid| *tid > 0))
    }

    /// Period of automatic updates, milliseconds, where the kernel has them (6.17); 0: none.
    pub fn refresh_ms(&self) -> Result<Option<u32>, TreeError> {
        self.tree.optional_number("refresh_ms")
    }

    /// Writes to `state`. Never to another's kdamond.
    pub fn command(&self, command: Command) -> Result<(), TreeError> {
        self.tree.command(Self::STATE, command.keyword())
    }

    /// How many contexts it has: 0 or 1.
    pub fn nr_contexts(&self) -> Result<u32, TreeError> {
        self.tree.number(Self::CONTEXTS)
    }

    /// Its context, held; `None` when it has none.
    pub fn context(&self) -> Result<Option<Context>, TreeError> {
        match self.nr_contexts()? {
            0 => Ok(None),
            _ => self.tree.hold("contexts/0").map(|tree| Some(Context::new(tree))),
        }
    }
}
