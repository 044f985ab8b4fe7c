//! What each action really does, and what becomes of memory that resists.

use damon_format::damos::Schemes;
use damon_format::{Attrs, Region, Sampling, Snapshot, TargetId};
use damon_record::actuate::{Actuator, Applied, ByPidfd, Machine, Target, permitted};
use damon_record::proc::{MapsFile, ProcRoot};
use damon_record::sys::madvise::Advice;
use damon_record::sys::pidfd;
use nix::errno::Errno;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

const PAGE: u64 = 4096;
const PAGES: u64 = 512;
const ID: TargetId = TargetId(0);
const ATTRS: Attrs = Attrs {
    sample_us: 50_000,
    aggr_us: 1_000_000,
    update_us: 1_000_000,
    min_nr_regions: 3,
    max_nr_regions: 100,
};

/// A process that maps and touches memory as it is told.
struct Process {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    pidfd: OwnedFd,
}

impl Process {
    fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_damon-writes-target"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut started = Self {
            input: child.stdin.take().unwrap(),
            output: BufReader::new(child.stdout.take().unwrap()),
            pidfd: pidfd::open(child.id().try_into().unwrap()).unwrap(),
            child,
        };
        assert_eq!(started.receive(), "ready");
        started
    }

    fn receive(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn ask(&mut self, command: &str) -> String {
        writeln!(self.input, "{command}").unwrap();
        let answer = self.receive();
        assert!(!answer.starts_with("error"), "{command}: {answer}");
        answer
    }

    /// Maps memory of `PAGES` pages and touches all of it.
    fn map(&mut self, kind: &str, touch: &str) -> u64 {
        let address = u64::from_str_radix(&self.ask(&format!("map {kind}")), 16).unwrap();
        self.ask(&format!("{touch} 0 {PAGES}"));
        address
    }

    /// Bytes in memory of the mappings from `start` on, for `PAGES` pages.
    fn resident(&self, start: u64) -> u64 {
        let smaps = fs::read_to_string(format!("/proc/{}/smaps", self.child.id())).unwrap();
        let (mut inside, mut sum) = (false, 0);
        for line in smaps.lines() {
            let mut words = line.split_whitespace();
            let first = words.next().unwrap();
            if let Some((from, to)) = first.split_once('-')
                && let (Ok(from), Ok(to)) =
                    (u64::from_str_radix(from, 16), u64::from_str_radix(to, 16))
            {
                inside = from >= start && to <= start + PAGES * PAGE;
            } else if first == "Rss:" && inside {
                sum += words.next().unwrap().parse::<u64>().unwrap() * 1024;
            }
        }
        sum
    }

    /// One aggregation in which `regions` (of pages from `base` on) were idle for ages.
    fn apply(&self, actuator: &mut Actuator, base: u64, regions: &[(u64, u64)]) -> Applied {
        let regions = regions.iter().map(|(start, end)| Region {
            start: base + start * PAGE,
            end: base + end * PAGE,
            nr_accesses: 0,
            age: 1_000,
        });
        let sampling = Sampling::from_intervals(ATTRS.sample_us, ATTRS.aggr_us);
        let snapshot = Snapshot::new(ID, 0, 1, sampling, regions.collect());
        let proc = ProcRoot::default();
        let mut mappings = Vec::new();
        if let Ok(mut maps) = MapsFile::open(&proc, self.child.id()) {
            let _changed = maps.read(&mut mappings);
        }
        let mut advise = ByPidfd(self.pidfd.as_fd());
        let mut targets =
            [Target { snapshot: &snapshot, mappings: &mappings, advise: &mut advise }];
        actuator.apply(&mut targets, &mut Machine::new(proc, "/sys"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _already_reaped = self.child.wait();
    }
}

fn actuator(action: &str) -> Actuator {
    let json = format!(
        r#"[{{"action": "{action}", "access_pattern": {{"nr_accesses": {{"max": "0 %"}},
            "age": {{"min": "2 m"}}}}}}]"#
    );
    Actuator::new(Schemes::from_json(&json).unwrap(), &ATTRS, PAGE).unwrap()
}

/// True (and a printed reason) where this process may not advise others; never where it may.
fn skipped(child: &Process, advice: Advice) -> bool {
    match permitted(child.pidfd.as_fd(), &[advice]) {
        Ok(()) => false,
        Err(reason) => {
            assert!(!may() || reason.contains("this kernel"), "{reason}");
            println!("SKIP: {reason}");
            true
        }
    }
}

/// `CAP_SYS_NICE`, and no filter of system calls.
fn may() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("0");
        u64::from_str_radix(line.trim(), 16).unwrap_or(0)
    };
    field("CapEff:") & 1 << 23 != 0 && field("Seccomp:") == 0
}

/// A file on a disk (shared memory could go to swap only), all of it clean.
fn clean_file(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, vec![7; usize::try_from(PAGES * PAGE).unwrap()]).unwrap();
    fs::File::open(&path).unwrap().sync_all().unwrap();
    path
}

fn is_on_tmpfs(path: &Path) -> bool {
    let kind = nix::sys::statfs::statfs(path).unwrap().filesystem_type();
    kind == nix::sys::statfs::TMPFS_MAGIC
}

fn applied_bytes(actuator: &Actuator) -> (u64, u64) {
    let stats = actuator.stats().next().unwrap();
    (stats.sz_tried, stats.sz_applied)
}

#[test]
fn pageout_takes_clean_file_pages_out_of_memory() {
    let mut child = Process::start();
    if skipped(&child, Advice::Pageout) {
        return;
    }
    let path = clean_file("actuate-pageout");
    if is_on_tmpfs(&path) {
        println!("SKIP: {} is in memory", path.display());
        return;
    }
    let other = clean_file("actuate-stays");
    let mut map =
        |path: &Path| child.map(&format!("private-file {PAGES} {}", path.display()), "read");
    let (stays, leaves) = (map(&other), map(&path));
    assert_eq!((child.resident(stays), child.resident(leaves)), (PAGES * PAGE, PAGES * PAGE));
    let mut actuator = actuator("pageout");
    child.apply(&mut actuator, leaves, &[(0, PAGES)]);
    assert_eq!(applied_bytes(&actuator), (PAGES * PAGE, PAGES * PAGE));
    // Pages on their way to the LRU lists of another processor may resist.
    let left = child.resident(leaves);
    assert!(left < PAGES / 2 * PAGE, "{left} bytes are left");
    assert_eq!(child.resident(stays), PAGES * PAGE, "nobody asked for that");
    child.ask(&format!("read 0 {PAGES}"));
    assert_eq!(child.resident(leaves), PAGES * PAGE, "they come back from the file");
    fs::remove_file(other).unwrap();
    fs::remove_file(path).unwrap();
}

/// With swap the pages leave, without it the kernel keeps them; it takes the advice in both cases.
#[test]
fn pageout_of_anonymous_memory_is_as_good_as_the_swap() {
    let mut child = Process::start();
    if skipped(&child, Advice::Pageout) {
        return;
    }
    let address = child.map(&format!("anonymous {PAGES}"), "write");
    let mut actuator = actuator("pageout");
    child.apply(&mut actuator, address, &[(0, PAGES)]);
    assert_eq!(applied_bytes(&actuator), (PAGES * PAGE, PAGES * PAGE));
    let swap = fs::read_to_string("/proc/swaps").is_ok_and(|text| text.lines().count() > 1);
    let left = child.resident(address);
    if !swap {
        assert_eq!(left, PAGES * PAGE, "there is nowhere to go");
    }
    child.ask(&format!("read 0 {PAGES}"));
    assert_eq!(child.resident(address), PAGES * PAGE);
}

#[test]
fn cold_and_willneed_change_nothing_that_the_process_sees() {
    for (action, advice) in [("cold", Advice::Cold), ("willneed", Advice::Willneed)] {
        let mut child = Process::start();
        if skipped(&child, advice) {
            continue;
        }
        let path = clean_file(&format!("actuate-{action}"));
        for kind in
            [format!("anonymous {PAGES}"), format!("private-file {PAGES} {}", path.display())]
        {
            let address = child.map(&kind, "read");
            let mut actuator = actuator(action);
            let resident = child.resident(address);
            let applied = child.apply(&mut actuator, address, &[(0, PAGES)]);
            assert_eq!(applied.failures, [], "{action} {kind}");
            let (tried, done) = applied_bytes(&actuator);
            assert_eq!(tried, PAGES * PAGE);
            // Kernels without swap have nothing to read in for anonymous memory, and say so.
            assert!(done == tried || action == "willneed" && kind.starts_with("anon"), "{kind}");
            assert_eq!(child.resident(address), resident);
        }
        fs::remove_file(path).unwrap();
    }
}

#[test]
fn parts_that_resist_are_counted_as_not_applied() {
    let mut child = Process::start();
    if skipped(&child, Advice::Cold) {
        return;
    }
    let locked = child.map(&format!("anonymous {PAGES}"), "write");
    child.ask("lock");
    let mut actuator = actuator("cold");
    let applied = child.apply(&mut actuator, locked, &[(0, PAGES / 2)]);
    assert_eq!(applied.failures, []);
    assert_eq!(applied_bytes(&actuator), (PAGES / 2 * PAGE, 0), "the kernel leaves it alone");
    let with_hole = child.map(&format!("anonymous {PAGES}"), "write");
    child.ask(&format!("unmap 100 {}", PAGES - 200));
    child.apply(&mut actuator, with_hole, &[(0, PAGES)]);
    assert_eq!(applied_bytes(&actuator), (PAGES / 2 * PAGE + PAGES * PAGE, 200 * PAGE));
}

#[test]
fn collapse_makes_huge_pages_or_counts_as_not_applied() {
    let mut child = Process::start();
    if skipped(&child, Advice::Collapse) {
        return;
    }
    let address = child.map(&format!("huge {PAGES}"), "write");
    let mut actuator = actuator("collapse");
    let applied = child.apply(&mut actuator, address, &[(0, PAGES)]);
    assert_eq!(applied.failures, []);
    let (tried, done) = applied_bytes(&actuator);
    assert_eq!(tried, PAGES * PAGE);
    let huge = fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled").is_ok();
    // Memory may be too fragmented.
    assert!(done == 0 || huge && done == tried, "{done}");
    assert_eq!(child.resident(address), PAGES * PAGE);
}

#[test]
fn a_process_that_has_exited_is_reported() {
    let mut child = Process::start();
    if skipped(&child, Advice::Cold) {
        return;
    }
    let address = child.map(&format!("anonymous {PAGES}"), "write");
    let mut actuator = actuator("cold");
    let sampling = Sampling::from_intervals(ATTRS.sample_us, ATTRS.aggr_us);
    let region = Region { start: address, end: address + PAGE, nr_accesses: 0, age: 1_000 };
    let snapshot = Snapshot::new(ID, 0, 1, sampling, vec![region]);
    let mut mappings = Vec::new();
    let proc = ProcRoot::default();
    MapsFile::open(&proc, child.child.id()).unwrap().read(&mut mappings).unwrap();
    child.child.kill().unwrap();
    child.child.wait().unwrap();
    let mut advise = ByPidfd(child.pidfd.as_fd());
    let mut targets = [Target { snapshot: &snapshot, mappings: &mappings, advise: &mut advise }];
    let applied = actuator.apply(&mut targets, &mut Machine::new(proc, "/sys"));
    assert_eq!(applied.failures, [(ID, Errno::ESRCH)]);
    assert_eq!(applied_bytes(&actuator), (PAGE, 0));
}
