//! What watermarks, goals and time quotas need to know of the machine.

use crate::host::monotonic_ns;
use crate::proc::{ProcRoot, read_meminfo, read_pressure};
use damon_format::damos::kernel::{Goal, GoalMetric};
use damon_format::damos::rules::free_permil;
use std::path::{Path, PathBuf};

/// The machine as schemes see it. Tests put one of their own behind it.
pub trait System {
    /// A clock that never goes back, nanoseconds.
    fn now_ns(&mut self) -> u64;

    /// Free memory in per mille of all; `None` where it is hidden.
    fn free_permil(&mut self) -> Option<u64>;

    /// The value of a goal's metric, see [`damon_format::damos::rules::Readings::read`].
    fn goal(&mut self, goal: &Goal) -> Option<u64>;
}

/// This machine.
#[derive(Clone, Debug)]
pub struct Machine {
    proc: ProcRoot,
    sys: PathBuf,
}

impl Machine {
    /// Reads below `proc` and below `sys` (normally `/sys`).
    pub fn new(proc: ProcRoot, sys: impl Into<PathBuf>) -> Self {
        Self { proc, sys: sys.into() }
    }
}

/// One number of a file like `/proc/meminfo` in ten-thousandths of the sum of others.
fn share(path: &Path, part: &str, whole: &[&str]) -> Option<u64> {
    let text = std::fs::read_to_string(path).ok()?;
    let part = kibibytes(&text, part)?;
    let whole =
        whole.iter().try_fold(0_u64, |sum, name| sum.checked_add(kibibytes(&text, name)?))?;
    part.checked_mul(10_000)?.checked_div(whole)
}

/// The number behind `name`, which in the files of nodes follows two more words.
fn kibibytes(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let (before, after) = line.split_once(name)?;
        let is_whole = before.is_empty() || before.starts_with("Node ") && before.ends_with(' ');
        is_whole.then(|| after.split_whitespace().next()?.parse().ok())?
    })
}

impl System for Machine {
    fn now_ns(&mut self) -> u64 {
        monotonic_ns()
    }

    fn free_permil(&mut self) -> Option<u64> {
        let memory = read_meminfo(&self.proc)?;
        Some(free_permil(memory.free, memory.total))
    }

    fn goal(&mut self, goal: &Goal) -> Option<u64> {
        let node = || self.sys.join(format!("devices/system/node/node{}/meminfo", goal.nid));
        let all = || self.proc.path().join("meminfo");
        let lists = ["Active:", "Inactive:"];
        match goal.metric {
            GoalMetric::SomeMemPsiUs => Some(read_pressure(&self.proc)?.some_us),
            GoalMetric::NodeMemFreeBp => share(&node(), "MemFree:", &["MemTotal:"]),
            GoalMetric::NodeMemUsedBp => share(&node(), "MemUsed:", &["MemTotal:"]),
            GoalMetric::ActiveMemBp => share(&all(), "Active:", &lists),
            GoalMetric::InactiveMemBp => share(&all(), "Inactive:", &lists),
            GoalMetric::UserInput
            | GoalMetric::NodeMemcgUsedBp
            | GoalMetric::NodeMemcgFreeBp
            | GoalMetric::NodeEligibleMemBp => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn goal(metric: GoalMetric, nid: i32) -> Goal {
        Goal { metric, target_value: 1, current_value: 0, nid, path: String::new() }
    }

    #[test]
    fn goals_are_read_from_the_files_of_the_machine() {
        let folder = tempfile::tempdir().unwrap();
        let (proc, sys) = (folder.path().join("proc"), folder.path().join("sys"));
        let node = sys.join("devices/system/node/node1");
        fs::create_dir_all(&node).unwrap();
        fs::create_dir_all(proc.join("pressure")).unwrap();
        let global = "MemTotal: 1000 kB\nMemFree: 333 kB\nActive: 30 kB\nInactive: 10 kB\n\
                      Active(anon): 7 kB\n";
        fs::write(proc.join("meminfo"), global).unwrap();
        fs::write(proc.join("pressure/memory"), "some avg10=0.00 total=77\n").unwrap();
        let text = "Node 1 MemTotal:  800 kB\nNode 1 MemFree:  200 kB\nNode 1 MemUsed:  600 kB\n";
        fs::write(node.join("meminfo"), text).unwrap();
        let mut machine = Machine::new(ProcRoot::new(&proc), &sys);
        assert_eq!(machine.free_permil(), Some(333));
        let mut read = |metric, nid| machine.goal(&goal(metric, nid));
        assert_eq!(read(GoalMetric::SomeMemPsiUs, 0), Some(77));
        assert_eq!(read(GoalMetric::NodeMemFreeBp, 1), Some(2_500));
        assert_eq!(read(GoalMetric::NodeMemUsedBp, 1), Some(7_500));
        assert_eq!(read(GoalMetric::ActiveMemBp, 0), Some(7_500));
        assert_eq!(read(GoalMetric::InactiveMemBp, 0), Some(2_500));
        assert_eq!(read(GoalMetric::NodeMemFreeBp, 0), None, "no such node");
        assert_eq!(read(GoalMetric::NodeMemcgUsedBp, 1), None);
    }

    #[test]
    fn this_machine_tells() {
        let mut machine = Machine::new(ProcRoot::default(), "/sys");
        assert!(machine.free_permil().is_some_and(|free| free <= 1_000));
        assert!(machine.goal(&goal(GoalMetric::ActiveMemBp, 0)).is_some_and(|bp| bp <= 10_000));
        assert!(machine.now_ns() > 0);
    }
}
