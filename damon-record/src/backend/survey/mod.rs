//! What this machine can do: every backend name with its verdict. Reads only; what is tried is tried on the
//! recorder's own memory.

mod planned;

use super::choose::{ALL_NAMES, BUILT};
use super::kind::{BECOME_ROOT, Kind};
use crate::proc::ProcRoot;
use planned::Planned;
use serde::Serialize;
use std::path::PathBuf;
use std::time::Instant;

/// One backend's verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Name of the backend.
    pub name: &'static str,
    /// Whether this version of the program has it.
    pub supported: bool,
    /// Whether it works here, now, for this user: whether its self-test passed.
    pub works: bool,
    /// Whether the kernel seems to have what it needs, as far as this user can see.
    pub kernel: bool,
    /// Which accesses it sees: `read+write` or `write`; `None` when that is somebody else's decision.
    pub access: Option<&'static str>,
    /// What one observation stands for: `page`, `region` or `mapping`.
    pub granularity: &'static str,
    /// What it needs, in a few words.
    pub needs: &'static str,
    /// One sentence: why it works, or why not.
    pub reason: String,
    /// What would make it work: a command, or an option of the kernel. `None` when it works, or when
    /// nothing is known to help.
    pub how_to_get: Option<String>,
    /// What the self-test took, microseconds; `None` when there is none.
    pub self_test_us: Option<u64>,
}

/// The state of a machine as the survey sees it.
#[derive(Debug)]
pub struct Machine {
    proc: ProcRoot,
    sys: PathBuf,
    root: bool,
    x86_64: bool,
    kinds: &'static [Kind],
}

impl Default for Machine {
    fn default() -> Self {
        Self {
            proc: ProcRoot::default(),
            sys: PathBuf::from("/sys"),
            root: nix::unistd::geteuid().is_root(),
            x86_64: cfg!(target_arch = "x86_64"),
            kinds: &BUILT,
        }
    }
}

impl Machine {
    /// Every backend, in the order of preference.
    pub fn survey(&self) -> Vec<Finding> {
        ALL_NAMES.iter().map(|name| self.finding(name)).collect()
    }

    fn finding(&self, name: &'static str) -> Finding {
        match self.kinds.iter().find(|kind| kind.name == name) {
            Some(kind) => self.tried(kind),
            None => self.foreseen(&Planned::of(name)),
        }
    }

    fn tried(&self, kind: &Kind) -> Finding {
        let begin = Instant::now();
        let verdict = (kind.self_test)(&self.proc);
        let took = begin.elapsed();
        let works = verdict.is_ok();
        let (reason, how_to_get) = match verdict {
            Ok(()) => {
                let (access, granularity) = (kind.access.as_str(), kind.granularity.as_str());
                (format!("self-test passed: sees {access} by {granularity}"), None)
            }
            Err(refusal) => (refusal.why, refusal.remedy),
        };
        Finding {
            name: kind.name,
            supported: true,
            works,
            kernel: works || how_to_get.as_ref().is_some_and(|how| how.starts_with(BECOME_ROOT)),
            access: Some(kind.access.as_str()),
            granularity: kind.granularity.as_str(),
            needs: kind.needs,
            reason,
            how_to_get,
            self_test_us: Some(u64::try_from(took.as_micros()).unwrap_or(u64::MAX)),
        }
    }

    fn foreseen(&self, planned: &Planned) -> Finding {
        let (kernel, detail) = self.has_what_is_needed(planned.name);
        Finding {
            name: planned.name,
            supported: false,
            works: false,
            kernel,
            access: planned.access,
            granularity: planned.granularity,
            needs: planned.needs,
            reason: format!("not supported by this version; {detail}"),
            how_to_get: Some("a later version of damon-record".to_owned()),
            self_test_us: None,
        }
    }
}

/// The backend `auto` tries first, if there is any that works.
pub fn first_that_works(findings: &[Finding]) -> Option<&'static str> {
    findings.iter().find(|finding| finding.works).map(|finding| finding.name)
}

#[cfg(test)]
mod tests;
