//! The backend `idle` on a kernel with idle page tracking, which no distribution has: the one that
//! `scripts/vm/build-kernel` made, or the one that `DAMON_VM_KERNEL` names.

use crate::machine::Machine;
use crate::verdict::{Recording, judge};

static BUILT: Machine = Machine::optional(
    &["--kernel", "built", "--clock", "virtual", "--timeout", "600"],
    &[
        ("idle", "recorded 6s --backend idle --sample 20ms --aggr 200ms"),
        ("doctor", "damon-record doctor"),
        (
            "unprivileged",
            "su user -c 'damon-record --backend idle -o /tmp/recording.damon -- true' || echo $?",
        ),
    ],
);

#[test]
fn idle_sees_what_is_read_and_what_is_written() {
    let Some(section) = BUILT.section("idle") else {
        return;
    };
    let section = section.ok();
    assert_eq!(Recording::read(&section.path("recording.damon")).info.backend.name, "idle");
    let found = judge(&section, 8);
    assert!(found.written > 0.7 && found.read > 0.7 && found.cold < 0.1, "{found:?}");
}

#[test]
fn doctor_finds_idle_page_tracking() {
    let Some(section) = BUILT.section("doctor") else {
        return;
    };
    let section = section.ok();
    let line = section.stdout.lines().find(|line| line.starts_with("idle")).unwrap();
    assert!(line.contains("works"), "{line}");
}

#[test]
fn idle_refuses_an_ordinary_user() {
    let Some(section) = BUILT.section("unprivileged") else {
        return;
    };
    let section = section.ok();
    assert_eq!(section.stdout.trim(), "3", "{}", section.stderr);
    assert!(section.stderr.contains("root"), "{}", section.stderr);
}
