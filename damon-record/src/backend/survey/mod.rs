//! What this machine can do: every backend with its verdict. Reads only; what is tried is tried on the
//! recorder's own memory.

use super::choose::BUILT;
use super::kind::{Kind, Looks};
use crate::proc::ProcRoot;
use serde::Serialize;
use std::time::Instant;

/// One backend's verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Name of the backend.
    pub name: &'static str,
    /// Whether `auto` may choose it; the other ones must be asked for.
    pub auto: bool,
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
    kinds: &'static [Kind],
}

impl Default for Machine {
    fn default() -> Self {
        Self { proc: ProcRoot::default(), kinds: &BUILT }
    }
}

impl Machine {
    /// Every backend, in the order of preference.
    pub fn survey(&self) -> Vec<Finding> {
        self.kinds.iter().map(|kind| self.tried(kind)).collect()
    }

    fn tried(&self, kind: &Kind) -> Finding {
        let begin = Instant::now();
        let verdict = (kind.self_test)(&self.proc);
        let took = begin.elapsed();
        let works = verdict.is_ok();
        let (reason, how_to_get, kernel) = match verdict {
            Ok(()) => (passed(kind), None, true),
            Err(refusal) => (refusal.why, refusal.remedy, refusal.kernel),
        };
        Finding {
            name: kind.name,
            auto: kind.auto,
            works,
            kernel,
            access: kind.auto.then(|| kind.access.as_str()),
            granularity: kind.granularity.as_str(),
            needs: kind.needs,
            reason,
            how_to_get,
            self_test_us: Some(u64::try_from(took.as_micros()).unwrap_or(u64::MAX)),
        }
    }
}

/// What a passed self-test says. That of the kernel's DAMON only reads, so as not to disturb it.
fn passed(kind: &Kind) -> String {
    let (access, granularity) = (kind.access.as_str(), kind.granularity.as_str());
    match (kind.looks, kind.auto) {
        (Looks::Kernel, true) => {
            format!("nobody uses the kernel's DAMON: sees {access} by {granularity}")
        }
        (Looks::Kernel, false) => "somebody runs a kdamond, and its events can be read".to_owned(),
        _ => format!("self-test passed: sees {access} by {granularity}"),
    }
}

/// The backend `auto` tries first, if there is any that works.
pub fn first_that_works(findings: &[Finding]) -> Option<&'static str> {
    findings.iter().find(|finding| finding.works && finding.auto).map(|finding| finding.name)
}

#[cfg(test)]
mod tests;
