//! Where everything is, and what is allowed.

use super::guard::GuardProgram;
use crate::proc::ProcRoot;
use std::path::PathBuf;

/// Where everything is that owning a kdamond needs beside the tree itself.
#[derive(Clone, Debug)]
pub struct OwnPlace {
    /// Directories for the lock file, in order of preference.
    pub lock_dirs: Vec<PathBuf>,
    /// Stands for `/sys/module`.
    pub modules: PathBuf,
    /// Stands for `/proc`.
    pub proc: ProcRoot,
    /// Who restores the tree when we die; `None` leaves that to the next recorder, which is for tests.
    pub guard: Option<GuardProgram>,
    /// Whether a kdamond that somebody has provided, off and without a context, may be used.
    pub use_spare: bool,
}

impl OwnPlace {
    /// This machine's, guarded by this very program.
    pub fn of_this_machine() -> Self {
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let dirs = [Some(PathBuf::from("/run")), runtime, Some(PathBuf::from("/tmp"))];
        Self {
            lock_dirs: dirs.into_iter().flatten().filter(|dir| dir.is_absolute()).collect(),
            modules: PathBuf::from("/sys/module"),
            proc: ProcRoot::default(),
            guard: Some(GuardProgram::this_program()),
            use_spare: false,
        }
    }
}
