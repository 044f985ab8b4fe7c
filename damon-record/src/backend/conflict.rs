//! Does the kernel's DAMON clear the Accessed bits of the same pages? Reads its files, writes none
//! (`Documentation/admin-guide/mm/damon/usage.rst`).

use std::fs;
use std::path::Path;

/// Where the kernel shows its state.
pub(super) const SYS: &str = "/sys";

/// Modules that monitor physical memory by themselves, outside of the sysfs interface.
const MODULES: [&str; 3] = ["damon_stat", "damon_reclaim", "damon_lru_sort"];

/// What else looks at the Accessed bits of one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nobody, as far as can be seen.
    Alone,
    /// DAMON monitors physical memory; one sentence about it.
    Beside(String),
    /// DAMON monitors this very process, or may do so; one sentence with what to do.
    Refused(String),
}

/// Looks below `sys` for kdamonds that monitor the process `pid`.
pub(super) fn look(sys: &Path, pid: u32) -> Verdict {
    let mut physical = Vec::new();
    let kdamonds = sys.join("kernel/mm/damon/admin/kdamonds");
    for kdamond in numbered(&kdamonds) {
        let base = kdamonds.join(kdamond.to_string());
        // A state that cannot be read may be any.
        if read(&base.join("state")).is_some_and(|state| state != "on") {
            continue;
        }
        let contexts = base.join("contexts");
        for context in numbered(&contexts) {
            let context = contexts.join(context.to_string());
            match read(&context.join("operations")).as_deref() {
                Some("paddr") => physical.push(format!("kdamond {kdamond}")),
                operations => {
                    let operations = operations.unwrap_or("unknown operations");
                    if let Some(whom) = monitors(&context.join("targets"), pid) {
                        return Verdict::Refused(format!(
                            "kdamond {kdamond} of the kernel's DAMON ({operations}) monitors {whom}, and \
                             both clear the same Accessed bits; watch it with --backend attach, or \
                             end that monitoring first (its owner writes off to {})",
                            base.join("state").display()
                        ));
                    }
                }
            }
        }
    }
    for module in MODULES {
        let enabled = sys.join("module").join(module).join("parameters/enabled");
        if read(&enabled).is_some_and(|value| value == "Y" || value == "1") {
            physical.push(module.to_owned());
        }
    }
    match physical.as_slice() {
        [] => Verdict::Alone,
        [one] => Verdict::Beside(beside(one, "monitors")),
        many => Verdict::Beside(beside(&many.join(" and "), "monitor")),
    }
}

fn beside(who: &str, monitors: &str) -> String {
    format!(
        "the kernel's DAMON ({who}) {monitors} physical memory: each of the two may miss accesses to pages \
         whose Accessed bit the other has just cleared"
    )
}

/// Whom a running context monitors, if that may be `pid`.
fn monitors(targets: &Path, pid: u32) -> Option<String> {
    for target in numbered(targets) {
        match read(&targets.join(target.to_string()).join("pid_target")) {
            Some(text) if text.parse() == Ok(pid) => return Some(format!("process {pid}")),
            Some(text) if text.parse::<u32>().is_ok() => {}
            _ => return Some("a process that cannot be told from here".into()),
        }
    }
    None
}

fn read(path: &Path) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

/// Numbers that name directories in `path`, ascending.
fn numbered(path: &Path) -> Vec<u32> {
    let Ok(entries) = fs::read_dir(path) else {
        return Vec::new();
    };
    let mut numbers: Vec<u32> =
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    numbers.sort_unstable();
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc::fake::put;

    const PID: u32 = 77;

    /// The files of one kdamond with one context and the given targets.
    fn kdamond(sys: &Path, number: u32, state: &str, operations: &str, pids: &[&str]) {
        let base = format!("kernel/mm/damon/admin/kdamonds/{number}");
        put(sys, &format!("{base}/state"), &format!("{state}\n"));
        let context = format!("{base}/contexts/0");
        put(sys, &format!("{context}/operations"), &format!("{operations}\n"));
        put(sys, &format!("{context}/targets/nr_targets"), &format!("{}\n", pids.len()));
        for (index, pid) in pids.iter().enumerate() {
            put(sys, &format!("{context}/targets/{index}/pid_target"), &format!("{pid}\n"));
        }
    }

    fn verdict(prepare: impl Fn(&Path)) -> Verdict {
        let dir = tempfile::tempdir().unwrap();
        prepare(dir.path());
        look(dir.path(), PID)
    }

    #[test]
    fn without_damon_we_are_alone() {
        assert_eq!(verdict(|_| {}), Verdict::Alone);
        assert_eq!(verdict(|sys| kdamond(sys, 0, "off", "vaddr", &["77"])), Verdict::Alone);
        assert_eq!(verdict(|sys| kdamond(sys, 0, "on", "vaddr", &["76", "78"])), Verdict::Alone);
    }

    #[test]
    fn a_kdamond_on_our_process_is_refused_and_named() {
        for operations in ["vaddr", "fvaddr"] {
            let verdict = verdict(|sys| {
                kdamond(sys, 0, "on", "paddr", &["0"]);
                kdamond(sys, 3, "on", operations, &["5", "77"]);
            });
            let Verdict::Refused(why) = verdict else { panic!("{verdict:?}") };
            assert!(why.contains("kdamond 3") && why.contains("process 77"), "{why}");
            assert!(why.contains("--backend attach"), "{why}");
        }
    }

    #[test]
    fn what_cannot_be_read_may_be_our_process() {
        assert!(matches!(
            verdict(|sys| kdamond(sys, 0, "on", "vaddr", &["-"])),
            Verdict::Refused(_)
        ));
        let unreadable = verdict(|sys| {
            kdamond(sys, 0, "on", "vaddr", &["77"]);
            let base = sys.join("kernel/mm/damon/admin/kdamonds/0");
            fs::remove_file(base.join("state")).unwrap();
            fs::remove_file(base.join("contexts/0/operations")).unwrap();
        });
        assert!(matches!(unreadable, Verdict::Refused(_)));
    }

    #[test]
    fn physical_monitoring_is_allowed_and_mentioned() {
        let verdict = verdict(|sys| {
            kdamond(sys, 0, "on", "paddr", &["0"]);
            put(sys, "module/damon_stat/parameters/enabled", "Y\n");
            put(sys, "module/damon_reclaim/parameters/enabled", "N\n");
        });
        let Verdict::Beside(text) = verdict else { panic!("{verdict:?}") };
        assert!(text.contains("kdamond 0 and damon_stat"), "{text}");
        assert!(!text.contains("damon_reclaim"), "{text}");
    }
}
