//! The backend `pte` where it is hardest: randomised addresses (all of these), 5-level page tables, lockdown and
//! PID namespaces.

use crate::machine::{Machine, Section};
use crate::verdict::{Recording, judge};
use crate::ways;

const RECORD: &str = "recorded 6s --backend pte --sample 20ms --aggr 200ms";

static FOUR_LEVELS: Machine = Machine::new(
    &["--levels", "4", "--clock", "virtual", "--timeout", "600"],
    &[
        ("recording", RECORD),
        (
            "namespace",
            "unshare -p -f -m --mount-proc sh -euc '. /root/prelude.sh; test $$ = 1; recorded 6s --backend pte --sample 20ms --aggr 200ms'",
        ),
    ],
);

static FIVE_LEVELS: Machine = Machine::new(
    &["--levels", "5", "--append", "lockdown=integrity", "--clock", "virtual", "--timeout", "600"],
    &[
        ("machine", "grep -m 1 -ow la57 /proc/cpuinfo; cat /sys/kernel/security/lockdown"),
        ("recording", RECORD),
    ],
);

pub(crate) static CONFIDENTIAL: Machine = Machine::new(
    &["--append", "lockdown=confidentiality", "--clock", "virtual", "--timeout", "600"],
    &[
        ("refused", "damon-record --backend pte -o asked.damon -- true || echo $?"),
        ("auto", "damon-record -o recording.damon -- true"),
        ("doctor", "damon-record doctor"),
        ways::TRACING_FORBIDDEN,
    ],
);

fn hot_and_cold(section: Section) {
    let section = section.ok();
    assert_eq!(Recording::read(&section.path("recording.damon")).info.backend.name, "pte");
    let found = judge(&section, 8);
    assert!(found.written > 0.7 && found.read > 0.7 && found.cold < 0.1, "{found:?}");
}

#[test]
fn pages_are_seen_through_four_levels() {
    if let Some(section) = FOUR_LEVELS.section("recording") {
        hot_and_cold(section);
    }
}

#[test]
fn pages_are_seen_from_within_a_pid_namespace() {
    if let Some(section) = FOUR_LEVELS.section("namespace") {
        hot_and_cold(section);
    }
}

#[test]
fn pages_are_seen_through_five_levels_and_under_lockdown_for_integrity() {
    let Some(machine) = FIVE_LEVELS.section("machine") else {
        return;
    };
    assert_eq!(machine.ok().stdout, "la57\nnone [integrity] confidentiality\n");
    hot_and_cold(FIVE_LEVELS.section("recording").unwrap());
}

#[test]
fn lockdown_for_confidentiality_is_a_reason_to_take_another_backend() {
    let Some(refused) = CONFIDENTIAL.section("refused") else {
        return;
    };
    assert_eq!(refused.stdout.trim(), "3", "{}", refused.stderr);
    assert!(refused.stderr.contains("lockdown=confidentiality"), "{}", refused.stderr);
    assert!(!refused.path("asked.damon").exists(), "nothing was recorded");
    let auto = CONFIDENTIAL.section("auto").unwrap().ok();
    let chosen = Recording::read(&auto.path("recording.damon")).info.backend.name;
    assert_ne!(chosen, "pte");
    let doctor = CONFIDENTIAL.section("doctor").unwrap().ok();
    let line = doctor.stdout.lines().find(|line| line.starts_with("pte")).unwrap();
    assert!(line.contains("does not"), "{line}");
    assert!(doctor.stdout.contains("lockdown=confidentiality"), "{}", doctor.stdout);
}
