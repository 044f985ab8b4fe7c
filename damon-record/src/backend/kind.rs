//! What a backend says of itself, and how it is attached to a target.

use super::Watch;
use crate::plan::Intervals;
use crate::proc::{ProcError, ProcRoot};
use damon_format::{AccessKind, Granularity};
use std::time::Duration;

/// Why a backend cannot be attached to a target.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The target has exited meanwhile.
    #[error("the target has exited")]
    Gone,
    /// Anything else; says what is, what is needed, and what to do.
    #[error("{0}")]
    Refused(String),
}

/// Why a backend does not work on this machine or for this user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What is and what is needed.
    pub why: String,
    /// What would make it work: a command, or an option of the kernel. `None` when nothing is known to.
    pub remedy: Option<String>,
    /// Whether the kernel has what is needed, and only this user or this moment is wrong.
    pub kernel: bool,
}

/// The remedy for everything that only the superuser may do.
pub const BECOME_ROOT: &str = "run it as root: sudo damon-record ...";

impl Refusal {
    /// With what would help.
    pub fn with_remedy(why: impl Into<String>, remedy: impl Into<String>) -> Self {
        let remedy = remedy.into();
        let kernel = remedy.starts_with(BECOME_ROOT);
        Self { why: why.into(), remedy: Some(remedy), kernel }
    }

    /// Only root may, as `sentence` says.
    pub fn only_root(sentence: String) -> Self {
        Self { remedy: Some(BECOME_ROOT.to_owned()), kernel: true, ..Self::from(sentence) }
    }

    /// Of this moment: the kernel has what is needed.
    #[must_use]
    pub fn for_now(self) -> Self {
        Self { kernel: true, ..self }
    }
}

impl From<String> for Refusal {
    /// A sentence of the form `what is; what to do`, or without the second part.
    fn from(sentence: String) -> Self {
        match sentence.split_once("; ") {
            Some((why, remedy)) => Self::with_remedy(why, remedy),
            None => Self { why: sentence, remedy: None, kernel: false },
        }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.why)?;
        match &self.remedy {
            Some(remedy) => write!(f, "; {remedy}"),
            None => Ok(()),
        }
    }
}

impl From<ProcError> for AttachError {
    fn from(error: ProcError) -> Self {
        match error {
            ProcError::Gone { .. } => Self::Gone,
            other => Self::Refused(other.to_string()),
        }
    }
}

/// Begins to watch the process with this pid.
pub type Attach = fn(&ProcRoot, u32) -> Result<Box<dyn Watch>, AttachError>;

/// How a backend can look at its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looks {
    /// One page of each region.
    Sampled,
    /// Everything, each time.
    Exact,
    /// Both; everything from this sampling interval on, where it costs little enough.
    Either {
        /// The shortest interval of exact looks.
        exact_from: Duration,
    },
    /// Not at all: the kernel's DAMON looks, and its events are recorded.
    Kernel,
}

/// A backend that this version has.
#[derive(Debug)]
pub struct Kind {
    /// Its name on the command line and in recordings.
    pub name: &'static str,
    /// Whether `auto` may choose it.
    pub auto: bool,
    /// Which accesses it sees.
    pub access: AccessKind,
    /// What one observation stands for.
    pub granularity: Granularity,
    /// How it can look.
    pub looks: Looks,
    /// Intervals that suit it when the user asks for none.
    pub intervals: Intervals,
    /// What it needs, in a few words, for the table of `doctor`.
    pub needs: &'static str,
    /// One sentence: what it does to the target and to the rest of the system while it watches. Recorded.
    pub side_effect: &'static str,
    /// Proves on the recorder's own memory, within 50 ms, that it sees an access and does not see a missing
    /// one on this kernel. Changes nothing that outlives the call.
    pub self_test: fn(&ProcRoot) -> Result<(), Refusal>,
    /// Begins to watch one process.
    pub attach: Attach,
}

impl Kind {
    /// Whether it looks at everything when it looks every `sample`.
    pub fn is_exact_at(&self, sample: Duration) -> bool {
        match self.looks {
            Looks::Sampled | Looks::Kernel => false,
            Looks::Exact => true,
            Looks::Either { exact_from } => sample >= exact_from,
        }
    }
}
