//! The backends on the kernel that people run.

use crate::machine::{Machine, Section};
use crate::verdict::{Recording, judge};

static STOCK: Machine = Machine::new(
    &["--clock", "virtual", "--timeout", "600"],
    &[
        ("writes", "recorded 6s --backend writes --sample 20ms --aggr 200ms"),
        ("referenced", "recorded 6s --backend referenced --sample 200ms --aggr 1s"),
        ("soft-dirty", "recorded 6s --backend soft-dirty --sample 200ms --aggr 1s"),
        ("doctor", "damon-record doctor"),
    ],
);

/// The section's recording, made by the backend of its name on a Debian kernel.
fn recording(section: &Section, backend: &str) -> Recording {
    let recording = Recording::read(&section.path("recording.damon"));
    assert_eq!(recording.info.backend.name, backend);
    assert!(recording.info.kernel.contains("6.12"), "{}", recording.info.kernel);
    recording
}

#[test]
fn writes_sees_what_is_written_only() {
    let Some(section) = STOCK.section("writes").map(Section::ok) else {
        return;
    };
    recording(&section, "writes");
    let found = judge(&section, 8);
    assert!(found.written > 0.7 && found.read < 0.1 && found.cold < 0.1, "{found:?}");
}

#[test]
fn referenced_sees_mappings_that_are_read() {
    let Some(section) = STOCK.section("referenced").map(Section::ok) else {
        return;
    };
    recording(&section, "referenced");
    let found = judge(&section, 1);
    // Half of the lake is read, and an eighth of the sea written; the mapping is all it can tell.
    assert!((0.45..0.55).contains(&found.read), "{found:?}");
    assert!((0.1..0.2).contains(&found.written) && found.cold < 0.1, "{found:?}");
}

#[test]
fn soft_dirty_sees_what_is_written_only() {
    let Some(section) = STOCK.section("soft-dirty").map(Section::ok) else {
        return;
    };
    recording(&section, "soft-dirty");
    let found = judge(&section, 1);
    assert!(found.written > 0.9 && found.read < 0.05 && found.cold < 0.05, "{found:?}");
}

#[test]
fn doctor_finds_what_debian_kernels_have() {
    let Some(section) = STOCK.section("doctor").map(Section::ok) else {
        return;
    };
    for backend in ["writes", "soft-dirty", "referenced"] {
        let line = section.stdout.lines().find(|line| line.starts_with(backend)).unwrap();
        assert!(line.contains("works"), "{line}");
    }
}
