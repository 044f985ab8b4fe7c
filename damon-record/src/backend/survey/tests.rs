use super::*;
use crate::backend::kind::{BECOME_ROOT, Refusal};
use crate::backend::referenced;

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
const ASKED: Kind = Kind { name: "elsewhere", auto: false, ..GOOD };
static MIXED: [Kind; 4] = [ASKED, CLOSED, BROKEN, GOOD];

#[test]
fn every_name_is_answered_in_order_and_completely() {
    let findings = Machine::default().survey();
    let names: Vec<&str> = findings.iter().map(|f| f.name).collect();
    assert_eq!(names, ["damon", "pte", "idle", "writes", "soft-dirty", "referenced", "attach"]);
    for finding in findings {
        assert!(!finding.needs.is_empty() && !finding.reason.is_empty(), "{finding:?}");
        assert_eq!(finding.access.is_none(), finding.name == "attach", "{finding:?}");
        assert_eq!(finding.auto, finding.name != "attach", "{finding:?}");
        assert!(!(finding.works && finding.how_to_get.is_some()), "{finding:?}");
    }
}

#[test]
fn a_refusal_says_what_would_help_and_whether_the_kernel_is_to_blame() {
    let machine = Machine { kinds: &MIXED, ..Machine::default() };
    let findings = machine.survey();
    let finding = |name: &str| findings.iter().find(|f| f.name == name).unwrap();
    let broken = finding("writes");
    assert!(!broken.works && !broken.kernel);
    assert_eq!(broken.reason, "no such ioctl");
    assert_eq!(broken.how_to_get.as_deref(), Some("Linux 6.7 or later"));
    let closed = finding("idle");
    assert!(!closed.works && closed.kernel, "only this user may not");
    assert!(finding("soft-dirty").works);
    assert_eq!(finding("elsewhere").access, None, "that is somebody else's decision");
    assert_eq!(first_that_works(&findings), Some("soft-dirty"));
    assert_eq!(first_that_works(&findings[..3]), None);
}
