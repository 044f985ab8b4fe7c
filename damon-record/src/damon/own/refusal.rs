//! Why the kernel's DAMON is not ours to use, and what to do instead.

use super::guard::GuardError;
use super::lock::LockError;
use super::restore::{Lost, NotRestored};
use super::survey::{Module, Survey};
use crate::damon::sysfs::{State, TreeError};
use std::path::PathBuf;

/// Why no kdamond can be had. Nothing was written to the tree, or it was restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The kernel is built without it.
    #[error(
        "this kernel has no DAMON that can be set up from here: {} does not exist (CONFIG_DAMON_SYSFS, Linux \
         5.18); choose another backend (damon-record doctor lists them)",
        path.display()
    )]
    NoDamon {
        /// The file that is missing.
        path: PathBuf,
    },
    /// Not allowed.
    #[error("{0}")]
    Denied(TreeError),
    /// One of the kernel's modules monitors, which excludes everybody else.
    #[error(
        "{} of the kernel monitors already and shares DAMON with nobody; watch it with --backend attach, choose \
         another backend (damon-record doctor lists them), or ask its owner to switch it off \
         (/sys/module/{}/parameters/enabled)",
        .0.name(), .0.name()
    )]
    Module(Module),
    /// Somebody else has kdamonds.
    #[error(
        "the kernel's DAMON is in use by {survey}; {}choose another backend (damon-record doctor lists them): \
         setting up another kdamond would destroy what is there",
        instead(survey)
    )]
    InUse {
        /// Who.
        survey: Survey,
    },
    /// Another recorder of ours has it.
    #[error(
        "another damon-record{} uses the kernel's DAMON; wait until it ends, watch it with --backend attach, \
         or choose another backend (damon-record doctor lists them)",
        by.map(|pid| format!(" (process {pid})")).unwrap_or_default()
    )]
    Busy {
        /// Its process.
        by: Option<u32>,
    },
    /// The lock file holds something else.
    #[error(
        "{} was not written by this version of damon-record ({text}); if no other damon-record runs, look \
         whether a kdamond was left behind (damon-record doctor), and remove the file",
        path.display()
    )]
    StrangeLock {
        /// The lock file.
        path: PathBuf,
        /// Its beginning.
        text: String,
    },
    /// What a killed recorder has left could not be removed.
    #[error("cleaning up after a damon-record (process {pid}) that was killed: {source}")]
    Recovery {
        /// The recorder that was.
        pid: u32,
        /// What went wrong.
        source: NotRestored,
    },
    /// Somebody else was faster.
    #[error(transparent)]
    Lost(#[from] Lost),
    /// The lock file.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// Who would restore the tree if we died.
    #[error(transparent)]
    Guard(#[from] GuardError),
    /// A file of the tree.
    #[error(transparent)]
    Tree(TreeError),
    /// A file of `/proc`.
    #[error("cannot tell who we are, which the lock file must say: {0}")]
    Proc(String),
}

impl From<TreeError> for Refusal {
    fn from(error: TreeError) -> Self {
        if error.is_denied() { Self::Denied(error) } else { Self::Tree(error) }
    }
}

/// What could be done where somebody runs a kdamond, and where one was only left behind, as `damo stop` does.
fn instead(survey: &Survey) -> &'static str {
    let off = survey.kdamonds.iter().filter(|kdamond| kdamond.state == Some(State::Off)).count();
    if u32::try_from(off) == Ok(survey.nr_kdamonds) {
        "none of it runs: if nobody needs it any more, remove it (echo 0 > \
         /sys/kernel/mm/damon/admin/kdamonds/nr_kdamonds), or "
    } else {
        "watch it with --backend attach, or "
    }
}
