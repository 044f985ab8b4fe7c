use super::*;
use crate::backend::kind::Refusal;
use crate::backend::referenced;
use crate::proc::fake::put;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::SystemTime;

const BROKEN: Kind = Kind {
    name: "writes",
    self_test: |_| Err(Refusal::with_remedy("no such ioctl", "Linux 6.7 or later")),
    ..referenced::KIND
};
const CLOSED: Kind = Kind {
    name: "idle",
    self_test: |_| Err(Refusal::with_remedy("only root may", BECOME_ROOT)),
    ..referenced::KIND
};
const GOOD: Kind = Kind { name: "soft-dirty", self_test: |_| Ok(()), ..referenced::KIND };
static MIXED: [Kind; 3] = [CLOSED, BROKEN, GOOD];

fn machine(dir: &Path) -> Machine {
    let kinds = &[];
    Machine { sys: dir.to_path_buf(), root: false, x86_64: true, kinds, ..Machine::default() }
}

fn reason(machine: &Machine, name: &'static str) -> (bool, String) {
    let finding = machine.finding(name);
    (finding.kernel, finding.reason)
}

#[test]
fn every_name_is_answered_in_order_and_completely() {
    let findings = Machine::default().survey();
    assert_eq!(findings.iter().map(|f| f.name).collect::<Vec<_>>(), ALL_NAMES);
    for finding in findings {
        assert!(!finding.needs.is_empty() && !finding.reason.is_empty(), "{finding:?}");
        assert_eq!(finding.access.is_none(), finding.name == "attach", "{finding:?}");
        assert_eq!(finding.self_test_us.is_some(), finding.supported, "{finding:?}");
        assert!(!(finding.works && finding.how_to_get.is_some()), "{finding:?}");
    }
}

#[test]
fn a_refusal_says_what_would_help_and_whether_the_kernel_is_to_blame() {
    let machine = Machine { kinds: &MIXED, ..Machine::default() };
    let findings = machine.survey();
    let finding = |name: &str| findings.iter().find(|f| f.name == name).unwrap();
    let broken = finding("writes");
    assert!(broken.supported && !broken.works && !broken.kernel);
    assert_eq!(broken.reason, "no such ioctl");
    assert_eq!(broken.how_to_get.as_deref(), Some("Linux 6.7 or later"));
    let closed = finding("idle");
    assert!(!closed.works && closed.kernel, "only this user may not");
    assert!(finding("soft-dirty").works);
    assert!(!finding("referenced").supported);
    assert_eq!(first_that_works(&findings), Some("soft-dirty"));
    assert_eq!(first_that_works(&findings[..3]), None);
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
    let (kernel, text) = reason(&machine(dir.path()), "pte");
    assert!(kernel && text.contains("root"), "{text}");
}

/// Everything below a folder: content, and when it was written last.
fn state(dir: &Path) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
    let mut all = BTreeMap::new();
    let mut folders = vec![dir.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let written = path.metadata().unwrap().modified().unwrap();
            let content = if path.is_dir() { Vec::new() } else { std::fs::read(&path).unwrap() };
            if path.is_dir() {
                folders.push(path.clone());
            }
            all.insert(path, (content, written));
        }
    }
    all
}

#[test]
fn a_survey_leaves_the_kernels_files_as_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let base = "kernel/mm/damon/admin/kdamonds";
    put(dir.path(), &format!("{base}/nr_kdamonds"), "1\n");
    put(dir.path(), &format!("{base}/0/state"), "on\n");
    put(dir.path(), &format!("{base}/0/contexts/0/avail_operations"), "vaddr\n");
    put(dir.path(), "kernel/btf/vmlinux", "");
    let before = state(dir.path());
    machine(dir.path()).survey();
    let machine = Machine { sys: dir.path().to_path_buf(), ..Machine::default() };
    machine.survey();
    assert_eq!(state(dir.path()), before);
}
