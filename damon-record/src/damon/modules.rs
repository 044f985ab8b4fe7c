//! The kernel's modules that monitor by themselves: what they monitor with, as their parameters say
//! (`Documentation/admin-guide/mm/damon/{reclaim,lru_sort,stat}.rst`). Reads only.

use super::own::Module;
use crate::proc::ProcRoot;
use damon_format::Attrs;
use std::path::Path;

/// What the modules begin with where they do not tell (`mm/damon/reclaim.c`, `stat.c`).
const USUAL: Attrs = Attrs {
    sample_us: 5_000,
    aggr_us: 100_000,
    update_us: 60_000_000,
    min_nr_regions: 10,
    max_nr_regions: 1_000,
};

impl Module {
    /// The thread that monitors for it; before 7.0 not all of them tell.
    pub fn tid(self, modules: &Path) -> Option<u32> {
        self.parameter(modules, "kdamond_pid")
    }

    /// Its intervals and limits of regions; those that it does not tell are the usual ones.
    pub fn attrs(self, modules: &Path) -> Attrs {
        let sample_us = self.parameter(modules, "sample_interval").unwrap_or(USUAL.sample_us);
        let aggr_us = self
            .parameter(modules, "aggr_interval")
            // The statistics module tunes its intervals and tells the result (6.18).
            .or_else(|| self.parameter(modules, "aggr_interval_us"))
            .unwrap_or(USUAL.aggr_us);
        Attrs {
            // Tuning keeps the proportion of the two.
            sample_us: if self == Self::Stat { aggr_us / 20 } else { sample_us },
            aggr_us,
            update_us: USUAL.update_us,
            min_nr_regions: self
                .parameter(modules, "min_nr_regions")
                .unwrap_or(USUAL.min_nr_regions),
            max_nr_regions: self
                .parameter(modules, "max_nr_regions")
                .unwrap_or(USUAL.max_nr_regions),
        }
    }

    fn parameter<T: std::str::FromStr>(self, modules: &Path, name: &str) -> Option<T> {
        let path = modules.join(self.name()).join("parameters").join(name);
        std::fs::read_to_string(path).ok()?.trim().parse().ok()
    }
}

/// Kernel threads that monitor, by their name `kdamond.N`, ascending. N is not the index of a directory
/// (`mm/damon/core.c`).
pub fn kdamond_threads(proc: &ProcRoot) -> Vec<u32> {
    let is_kdamond = |pid: &u32| {
        proc.stat(*pid)
            .is_ok_and(|stat| stat.is_kernel_thread() && stat.comm.starts_with("kdamond."))
    };
    let mut threads: Vec<u32> = proc.processes().into_iter().filter(is_kdamond).collect();
    threads.sort_unstable();
    threads
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc::fake::{put, root, stat_line};

    #[test]
    fn parameters_are_read_and_missing_ones_are_the_usual() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Module::Reclaim.attrs(dir.path()), USUAL);
        put(dir.path(), "damon_reclaim/parameters/sample_interval", "7000\n");
        put(dir.path(), "damon_reclaim/parameters/aggr_interval", "210000\n");
        put(dir.path(), "damon_reclaim/parameters/max_nr_regions", "300\n");
        put(dir.path(), "damon_reclaim/parameters/kdamond_pid", "-1\n");
        let attrs = Module::Reclaim.attrs(dir.path());
        assert_eq!((attrs.sample_us, attrs.aggr_us, attrs.max_nr_regions), (7_000, 210_000, 300));
        assert_eq!(attrs.min_nr_regions, 10);
        assert_eq!(Module::Reclaim.tid(dir.path()), None, "not running");
        put(dir.path(), "damon_stat/parameters/aggr_interval_us", "4000000\n");
        assert_eq!(Module::Stat.attrs(dir.path()).sample_us, 200_000);
    }

    #[test]
    fn only_threads_of_the_kernel_are_kdamonds() {
        let (dir, proc) = root();
        let kernel = |pid, name| stat_line(pid, name, 'S', 2, 1).replace("4194304", "2129984");
        put(dir.path(), "40/stat", &kernel(40, "kdamond.1"));
        put(dir.path(), "7/stat", &kernel(7, "kdamond.0"));
        put(dir.path(), "8/stat", &kernel(8, "kswapd0"));
        put(dir.path(), "9/stat", &stat_line(9, "kdamond.9", 'S', 1, 1));
        assert_eq!(kdamond_threads(&proc), [7, 40]);
    }
}
