//! What this machine could do: every backend name with its verdict. Reads only; what is tried is tried
//! on the recorder's own memory.

use super::choose::{ALL_NAMES, BUILT, built};
use crate::proc::ProcRoot;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// One backend's verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Name of the backend.
    pub name: &'static str,
    /// Whether this version of the program has it.
    pub supported: bool,
    /// Whether it works here, now, for this user.
    pub works: bool,
    /// Whether the kernel seems to have what it needs, as far as this user can see.
    pub kernel: bool,
    /// One sentence.
    pub reason: String,
}

/// The state of a machine as the survey sees it.
#[derive(Debug)]
pub struct Machine {
    proc: ProcRoot,
    sys: PathBuf,
    root: bool,
    x86_64: bool,
}

impl Default for Machine {
    fn default() -> Self {
        Self {
            proc: ProcRoot::default(),
            sys: PathBuf::from("/sys"),
            root: nix::unistd::geteuid().is_root(),
            x86_64: cfg!(target_arch = "x86_64"),
        }
    }
}

impl Machine {
    /// Every backend, in the order of preference.
    pub fn survey(&self) -> Vec<Finding> {
        ALL_NAMES.iter().map(|name| self.finding(name)).collect()
    }

    fn finding(&self, name: &'static str) -> Finding {
        if let Some(kind) = built(name) {
            let verdict = (kind.self_test)(&self.proc);
            let works = verdict.is_ok();
            return Finding {
                name,
                supported: true,
                works,
                kernel: works,
                reason: verdict.map_err(|refusal| refusal.why).err().unwrap_or_else(|| {
                    format!(
                        "self-test passed: sees {} by {}",
                        kind.access.as_str(),
                        kind.granularity.as_str()
                    )
                }),
            };
        }
        let (kernel, detail) = match name {
            "damon" => self.damon(),
            "pte" => self.pte(),
            "attach" => self.running_kdamond(),
            _ => (false, "no check for it".to_owned()),
        };
        Finding {
            name,
            supported: false,
            works: false,
            kernel,
            reason: format!("not supported by this version; {detail}"),
        }
    }

    fn admin(&self) -> PathBuf {
        self.sys.join("kernel/mm/damon/admin/kdamonds")
    }

    fn damon(&self) -> (bool, String) {
        let admin = self.admin();
        if !admin.is_dir() {
            return (false, "the kernel has no DAMON sysfs interface (CONFIG_DAMON_SYSFS)".into());
        }
        match read_number(&admin.join("nr_kdamonds")) {
            None => (true, "the kernel has DAMON; only root may use it".into()),
            Some(0) => (true, "the kernel has DAMON and nobody uses it".into()),
            Some(count) => {
                let operations = self.operations();
                let offers = if operations.is_empty() {
                    String::new()
                } else {
                    format!(" (it offers {})", operations.join(", "))
                };
                (
                    operations.is_empty() || operations.iter().any(|o| o == "vaddr"),
                    format!("the kernel has DAMON{offers}, and somebody has {count} kdamond(s)"),
                )
            }
        }
    }

    /// Operations sets of the first context anybody has configured.
    fn operations(&self) -> Vec<String> {
        let path = self.admin().join("0/contexts/0/avail_operations");
        std::fs::read_to_string(path)
            .unwrap_or_default()
            .split_whitespace()
            .map(str::to_owned)
            .collect()
    }

    fn running_kdamond(&self) -> (bool, String) {
        let admin = self.admin();
        let count = read_number(&admin.join("nr_kdamonds")).unwrap_or(0);
        let running = (0..count.min(64)).find(|index| {
            std::fs::read_to_string(admin.join(format!("{index}/state")))
                .is_ok_and(|state| state.trim() == "on")
        });
        match running {
            Some(index) => (true, format!("kdamond {index} is running")),
            None => (false, "no kdamond is running (as far as this user can see)".into()),
        }
    }

    fn pte(&self) -> (bool, String) {
        let btf = self.sys.join("kernel/btf/vmlinux").exists();
        match (self.x86_64, btf) {
            (false, _) => (false, "it is for x86-64 only".into()),
            (true, false) => (false, "the kernel has no BTF (CONFIG_DEBUG_INFO_BTF)".into()),
            (true, true) if self.root => (true, "the kernel has BTF".into()),
            (true, true) => (true, "the kernel has BTF; it will need root".into()),
        }
    }
}

fn read_number(path: &Path) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// True when `auto` would find a backend here.
pub fn any_works(findings: &[Finding]) -> bool {
    findings.iter().any(|finding| finding.works)
}

/// The backend `auto` would try first.
pub fn first_that_works(findings: &[Finding]) -> Option<&'static str> {
    BUILT
        .iter()
        .map(|kind| kind.name)
        .find(|name| findings.iter().any(|f| f.name == *name && f.works))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc::fake::put;

    fn machine(dir: &Path) -> Machine {
        Machine { sys: dir.to_path_buf(), root: false, x86_64: true, ..Machine::default() }
    }

    fn reason(machine: &Machine, name: &'static str) -> (bool, String) {
        let finding = machine.finding(name);
        (finding.kernel, finding.reason)
    }

    #[test]
    fn every_name_is_answered_in_order() {
        let found: Vec<&str> = Machine::default().survey().iter().map(|f| f.name).collect();
        assert_eq!(found, ALL_NAMES);
    }

    #[test]
    fn an_empty_machine_has_none_of_the_later_backends() {
        let dir = tempfile::tempdir().unwrap();
        let machine = machine(dir.path());
        for name in ["damon", "pte", "attach"] {
            let (kernel, text) = reason(&machine, name);
            assert!(!kernel && text.contains("not supported by this version"), "{text}");
        }
    }

    #[test]
    fn a_kdamond_of_somebody_else_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let base = "kernel/mm/damon/admin/kdamonds";
        put(dir.path(), &format!("{base}/nr_kdamonds"), "1\n");
        put(dir.path(), &format!("{base}/0/state"), "on\n");
        let operations = format!("{base}/0/contexts/0/avail_operations");
        put(dir.path(), &operations, "paddr\n");
        let machine = machine(dir.path());
        assert!(reason(&machine, "attach").0);
        let (kernel, text) = reason(&machine, "damon");
        assert!(!kernel && text.contains("paddr"), "{text}");
        put(dir.path(), &operations, "vaddr\nfvaddr\npaddr\n");
        assert!(reason(&machine, "damon").0);
    }

    #[test]
    fn what_pte_needs_is_looked_for() {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), "kernel/btf/vmlinux", "");
        let machine = machine(dir.path());
        let (kernel, text) = reason(&machine, "pte");
        assert!(kernel && text.contains("root"), "{text}");
    }
}
