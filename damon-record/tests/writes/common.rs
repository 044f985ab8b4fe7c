//! Starting, steering and inspecting the target of the `writes` tests.

#[path = "../told/mod.rs"]
mod told;

pub(crate) use told::{TARGET, Target};

use damon_format::{Mapping, Permissions};
use damon_record::backend::writes::{Helper, WritesWatch, self_test};
use damon_record::backend::{Touched, Watch};
use std::fs;
use std::time::{Duration, Instant};

pub(crate) const PAGE: u64 = 4096;
pub(crate) const RECORDER: &str = env!("CARGO_BIN_EXE_damon-record");
/// Pages of which nothing was reported.
pub(crate) const NOTHING: [u64; 0] = [];
/// Patience with a loaded machine; nothing is measured with it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// True (and a printed reason) where the kernel cannot do it; never where it can.
pub(crate) fn skipped() -> bool {
    match self_test() {
        Ok(()) => false,
        Err(reason) => {
            let release = nix::sys::utsname::uname().unwrap();
            let release = release.release().to_string_lossy().into_owned();
            let mut parts = release.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
            let version = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
            assert!(
                version < (6, 7) || !cfg!(target_arch = "x86_64") || in_container(),
                "kernel {release} should have it: {reason}"
            );
            println!("SKIP: {reason}");
            true
        }
    }
}

/// Containers forbid userfaultfd(2) by seccomp.
fn in_container() -> bool {
    fs::read_to_string("/proc/self/status")
        .unwrap()
        .lines()
        .any(|line| line.starts_with("Seccomp:") && !line.ends_with('0'))
}

pub(crate) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

impl Target {
    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    /// Maps memory and returns its address.
    pub(crate) fn map(&mut self, command: &str) -> u64 {
        u64::from_str_radix(&self.ask(command), 16).unwrap()
    }

    pub(crate) fn attach(&self) -> WritesWatch {
        attach(self.pid())
    }

    /// Sends a command and waits until the target sleeps in one of these system calls.
    pub(crate) fn send_and_block(&mut self, command: &str, numbers: &[i64]) {
        self.send(command);
        let pid = self.pid();
        wait_until(&format!("{command}: blocked in {numbers:?}"), || {
            fs::read_to_string(format!("/proc/{pid}/syscall"))
                .ok()
                .and_then(|text| text.split(' ').next()?.parse().ok())
                .is_some_and(|number: i64| numbers.contains(&number))
        });
    }

    /// The target answers, is not traced, and holds nothing of ours.
    pub(crate) fn assert_unharmed(&mut self) {
        let pid = self.pid();
        assert!(self.ask("counter").parse::<u64>().is_ok());
        wait_until("no tracer is left", || status(pid, "TracerPid") == "0");
        assert_eq!(userfaultfds(pid), 0, "a descriptor was left behind");
    }
}

pub(crate) fn helper() -> Helper {
    Helper::program(RECORDER)
}

/// Attaches and registers everything that is mapped now.
pub(crate) fn attach(pid: i32) -> WritesWatch {
    let mut watch = WritesWatch::attach(pid, &helper()).unwrap();
    watch.mappings_changed(&mappings(pid)).unwrap();
    watch
}

pub(crate) fn mappings(pid: i32) -> Vec<Mapping> {
    for task in fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
        let text = fs::read_to_string(task.unwrap().path().join("maps")).unwrap_or_default();
        if !text.is_empty() {
            return text.lines().map(mapping).collect();
        }
    }
    Vec::new()
}

fn mapping(line: &str) -> Mapping {
    let mut fields = line.split_ascii_whitespace();
    let (start, end) = fields.next().unwrap().split_once('-').unwrap();
    let flags = fields.next().unwrap().as_bytes();
    Mapping {
        start: u64::from_str_radix(start, 16).unwrap(),
        end: u64::from_str_radix(end, 16).unwrap(),
        permissions: Permissions {
            read: flags[0] == b'r',
            write: flags[1] == b'w',
            execute: flags[2] == b'x',
            shared: flags[3] == b's',
        },
        offset: 0,
        inode: 0,
        name: fields.nth(3).unwrap_or_default().to_owned(),
    }
}

/// Pages of the `pages` pages from `base` on that an exact look reports, as indices.
pub(crate) fn looked(watch: &mut WritesWatch, base: u64, pages: u64) -> Vec<u64> {
    let mut touched = Vec::new();
    watch.look(&mut touched).unwrap();
    assert!(touched.is_sorted_by(|a, b| a.end <= b.start), "ascending and disjoint: {touched:x?}");
    assert!(touched.iter().all(|t| t.bytes == t.end - t.start));
    indices(&touched, base, pages)
}

pub(crate) fn indices(touched: &[Touched], base: u64, pages: u64) -> Vec<u64> {
    let end = base + pages * PAGE;
    touched
        .iter()
        .flat_map(|t| (t.start.max(base)..t.end.min(end).max(t.start.max(base))).step_by(4096))
        .map(|address| (address - base) / PAGE)
        .collect()
}

pub(crate) fn status(pid: i32, field: &str) -> String {
    fs::read_to_string(format!("/proc/{pid}/status"))
        .unwrap_or_default()
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
        .map(|value| value.trim().to_owned())
        .unwrap_or_default()
}

pub(crate) fn userfaultfds(pid: i32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .filter(|link| link.to_string_lossy().contains("userfaultfd"))
        .count()
}

/// No mapping is registered any more. Not at once: another test's child may hold a copy of the descriptor
/// from its fork to its exec.
pub(crate) fn assert_unregistered(pid: i32) {
    wait_until("all protection is gone", || registered(pid) == 0);
}

/// Mappings registered for write protection (`uw` in `VmFlags`).
pub(crate) fn registered(pid: i32) -> usize {
    fs::read_to_string(format!("/proc/{pid}/smaps"))
        .unwrap()
        .lines()
        .filter(|line| line.starts_with("VmFlags:") && line.contains(" uw"))
        .count()
}

pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < PATIENCE, "timed out: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}
