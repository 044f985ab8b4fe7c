//! Starting, steering and watching the target of the `pte` tests.

#[path = "../told/mod.rs"]
mod told;

pub(crate) use told::{TARGET, Target};

use damon_format::Mapping;
use damon_record::backend::kind::AttachError;
use damon_record::backend::pte::KIND;
use damon_record::backend::{Watch, WatchError};
use damon_record::proc::{ProcRoot, parse_maps};
use std::fs;
use std::time::{Duration, Instant};

pub(crate) const PAGE: u64 = 4096;
/// Pages of which nothing was reported.
pub(crate) const NOTHING: [usize; 0] = [];
pub(crate) const HUGE: u64 = 2 << 20;
pub(crate) const RECORDER: &str = env!("CARGO_BIN_EXE_damon-record");
/// Patience with a loaded machine; nothing is measured with it.
const PATIENCE: Duration = Duration::from_secs(30);

/// True (and a printed reason) where the backend cannot work; never for root on a machine that has all
/// it needs.
pub(crate) fn skipped() -> bool {
    match (KIND.self_test)(&ProcRoot::default()) {
        Ok(()) => false,
        Err(refusal) => {
            let able = nix::unistd::geteuid().is_root()
                && cfg!(target_arch = "x86_64")
                && fs::exists("/sys/kernel/btf/vmlinux").unwrap()
                && fs::read_to_string("/sys/kernel/security/lockdown")
                    .is_ok_and(|text| !text.contains("[confidentiality]"));
            assert!(!able, "this machine should have it: {refusal}");
            println!("SKIP: {refusal}");
            true
        }
    }
}

impl Target {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The same when the processor holds no translations of the target: what it does sets Accessed bits even where
    /// `clear_refs` has cleared them, which flushes nothing. Pages on no LRU list are enough for that to be used.
    pub(crate) fn ask_afresh(&mut self, command: &str) {
        self.ask("flush");
        self.ask(command);
    }

    /// Maps memory and writes to the first `pages` of it, and to 64 more: the last ones may not be on
    /// the kernel's lists yet, which keeps them from being cleared.
    pub(crate) fn map(&mut self, kind: &str, pages: u64) -> u64 {
        let (kind, file) = kind.split_once(' ').unwrap_or((kind, ""));
        let base = self.ask(&format!("map {kind} {} {file}", pages + 64));
        self.ask(&format!("write 0 {}", pages + 64));
        u64::from_str_radix(&base, 16).unwrap()
    }

    /// Attaches and tells the watch all mappings.
    pub(crate) fn watch(&self) -> Box<dyn Watch> {
        let mut watch = attach(self.pid()).unwrap();
        watch.mappings_changed(&mappings(self.pid())).unwrap();
        watch
    }
}

pub(crate) fn attach(pid: u32) -> Result<Box<dyn Watch>, AttachError> {
    (KIND.attach)(&ProcRoot::default(), pid)
}

pub(crate) fn mappings(pid: u32) -> Vec<Mapping> {
    let proc = ProcRoot::default();
    let name = format!("{}maps", proc.memory_dir(pid));
    let mut mappings = Vec::new();
    parse_maps(&proc.read(pid, &name).unwrap_or_default(), &mut mappings);
    mappings
}

/// Addresses of the first `count` pages from `base` on.
pub(crate) fn pages(base: u64, count: u64) -> Vec<u64> {
    (0..count).map(|page| base + page * PAGE).collect()
}

/// Indices of the addresses found accessed after `prepare` and what `meanwhile` does.
pub(crate) fn round(
    watch: &mut dyn Watch,
    addresses: &[u64],
    meanwhile: impl FnOnce(),
) -> Result<Vec<usize>, WatchError> {
    watch.prepare(addresses)?;
    meanwhile();
    let mut accessed = vec![false; addresses.len()];
    watch.check(addresses, &mut accessed)?;
    Ok(accessed.iter().enumerate().filter(|(_, a)| **a).map(|(index, _)| index).collect())
}

/// The same of a round in which every page could be observed: tried until there is one.
pub(crate) fn full_round(
    watch: &mut dyn Watch,
    addresses: &[u64],
    mut meanwhile: impl FnMut(),
) -> Vec<usize> {
    let mut last = Vec::new();
    wait_until("every page can be observed", || {
        let _earlier = watch.toll();
        last = round(watch, addresses, &mut meanwhile).unwrap();
        watch.toll().missed == 0
    });
    last
}

/// A line of `/proc/PID/smaps_rollup`, KiB.
pub(crate) fn rollup(pid: u32, field: &str) -> u64 {
    fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))
        .unwrap()
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
        .and_then(|value| value.trim().trim_end_matches(" kB").parse().ok())
        .unwrap()
}

pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < PATIENCE, "timed out: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}
