//! Backends that this version has not, and whether the kernel would have what they need.

use super::Machine;
use std::path::{Path, PathBuf};

/// What is known of such a backend.
pub(super) struct Planned {
    pub(super) name: &'static str,
    pub(super) access: Option<&'static str>,
    pub(super) granularity: &'static str,
    pub(super) needs: &'static str,
}

impl Planned {
    pub(super) fn of(name: &'static str) -> Self {
        let (access, granularity, needs) = match name {
            "damon" => {
                (Some("read+write"), "region", "CONFIG_DAMON_SYSFS with vaddr or paddr; root")
            }
            "pte" => (Some("read+write"), "page", "Linux 5.10+ with BPF and BTF, x86-64; root"),
            "attach" => (None, "region", "a kdamond that somebody else runs; root"),
            _ => (None, "page", ""),
        };
        Self { name, access, granularity, needs }
    }
}

impl Machine {
    /// Whether the kernel has what the backend will need, and a sentence about it.
    pub(super) fn has_what_is_needed(&self, name: &str) -> (bool, String) {
        match name {
            "damon" => self.damon(),
            "pte" => self.pte(),
            "attach" => self.running_kdamond(),
            _ => (false, "no check for it".to_owned()),
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
